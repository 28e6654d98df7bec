"""Interview cards: every number in an answer is computed, every demonstration runs, and what is
practised or led by buttons can be done by calls as well.
"""

import itertools
import json
import re
import string
from pathlib import Path

import pytest
from transformers import DataCollatorForLanguageModeling

from ftkit import UserError, data, lora, models, train
from ftkit.core import data_path
from ftkit.lab import grids
from ftkit.lessons import evidence, interview
from ftkit.show import Drawing, Panel
from ftkit.verdicts import evaluation_rows

STORED = {one["id"]: one for one in json.loads(data_path("interview.json").read_text())["cards"]}
# Names in which there is a digit that measures nothing.
NAMES = r"Llama 3\.1 8B|\b(8|13|70)B\b|NF4|b?float(16|32)|RTX 4090|A100|H200"
# {card whose demonstration takes less than three seconds: what it then says}
QUICK = {
    "rag": "with passages 100.0 %, changed, index updated 100.0 %",
    "lora": "k_proj (128 × 256) with LoRA at r = 8",
    "lora-maths": "the gradient of A is 0",
    "memory": "the formula is 0.00 % off",
    "medical": "by row 100.0 %, by person 0.0 %",
    "api": "cost the same after 2,544 rows",
    "full": "by facts stored, %: full fine-tuning, LoRA",
    "leakage": "person and answer 50.0 %",
    "seventy": "does not fit",
}
MINE = "I would sweep the rate before anything else."
SPEAKABLE = 6  # numbers in a strong answer, its settings among them

# What the texts say in figures. Where one moves, its sentence is to be read again.
WORTH = {
    "rag": {
        "facts": 240, "passages": 4, "retrieved": 99.583, "many": 8, "retrieved_many": 79.583,
        "retrieved_changed": 100, "stored": 93.056, "reworded": 45, "reworded_three": 99.722,
        "known": 21.333, "known_three": 30, "stale": 49.305, "changed": 1.3889, "made_up": 100,
        "base_made_up": 0, "listed": 99, "bare": 0,
    },
    "lora": {
        "rank": 16, "tokens": 2048, "trainable": 13.631, "share": 0.16946, "all_trainable": 41.943,
        "all_share": 0.5196, "key_rows": 1024, "width": 4096, "wide": 16.777, "other_rank": 8,
        "other_model": 6_553_600, "flops": 1.3299, "flops_unchecked": 1.443, "full_gb": 64.276,
        "lora_gb": 19.965, "unchecked_gb": 30.764, "weights_gb": 16.061, "low_score": 90,
        "high_score": 99, "apart": 0.15481, "form_rank": 16, "facts": 80, "facts_rank": 8,
        "less": 32.976, "less_low": 19.107, "less_high": 46.845, "wider": 64,
        "wider_less": 17.381, "wider_low": -3.051, "wider_high": 37.813,
    },
    "lora-maths": {
        "side": 4096, "rank": 16, "pair": 131_072, "pair_share": 0.78125, "cut": 8, "width": 256,
        "whole": 99, "cut_score": 98.667, "left": 99.663, "form_epochs": 2, "facts_epochs": 10,
        "facts_whole": 90.695, "facts_cut": 25.833, "left_facts": 28.484, "more": 64,
        "facts_more": 86.806,
    },
    "memory": {
        "tokens": 2048, "long": 4096, "full_gb": 64.276, "lora_gb": 20.305, "qlora_gb": 9.6952,
        "ratio": 2.0943, "long_ratio": 1.7906, "linear_times": 3.877, "model_times": 2.8163,
        "logits": 46.979, "unchecked_gb": 21.278, "full_bytes": 8.0042, "mixed_bytes": 16,
        "shortest": 128, "longest": 32_768, "most_ratio": 2.7184, "slower": 1.2028,
        "slower_low": 1.1865, "slower_high": 1.2372, "rounds": 11,
    },
    "forgetting": {
        "hot_rate": 0.008, "hot_epochs": 2, "hot": 90.857, "gentle_rate": 0.001,
        "gentle_epochs": 6, "gentle": 97.81, "replay": 20, "replayed": 94.905, "more": 50,
        "more_replayed": 98.333, "rank": 16, "low": 1, "low_kept": 90.429, "bar": 97,
        "low_score": 90, "high_score": 99, "form_rank": 16, "apart": 0.15481, "facts": 80,
        "facts_rank": 8, "less": 32.976, "wider": 64, "wider_less": 17.381,
        "wider_low": -3.051, "wider_high": 37.813, "kl": 0.1, "kl_more": 4, "kl_more_low": 2.024,
        "kl_more_high": 5.976, "strong_kl": 1, "strong_right": 7.6667, "decay": 0.1,
        "decay_more": 0.095238, "decay_more_low": -0.10967, "decay_more_high": 0.30014,
    },
    "medical": {
        "by_row": 100, "by_person": 0, "points": 3, "changed": 10, "needed": 870, "right": 90,
        "n": 100, "low": 82.563, "high": 94.477, "made_up": 100, "base_made_up": 0,
    },
    "did-it-help": {
        "points": 3, "changed": 10, "needed": 870, "right": 90, "n": 100, "low": 82.563,
        "high": 94.477, "listed": 99, "rows": 200, "visible": 6.3,
    },
    "api": {
        "tokens": 512, "epochs": 3, "price": 8, "high_price": 12, "date": "2026-03",
        "utilisation": 30, "per_hour": 3.5, "usual_per_hour": 2, "api": 12.288, "rented": 0.49713,
        "setup": 30, "rows": 2500, "more_setup": 120, "more_rows": 10_000, "cheap_rows": 6600,
        "longer": 1024, "longer_rows": 5100,
    },
    "full": {
        "tickets_lora": 98.333, "tickets_lora_kept": 92.857, "tickets_lora_rate": 0.004,
        "tickets_full": 96.111, "tickets_full_kept": 95.833, "tickets_full_rate": 0.0003,
        "facts_lora": 100, "facts_lora_kept": 47.738, "facts_lora_rate": 0.01, "facts_full": 100,
        "facts_full_kept": 80.714, "facts_full_rate": 0.001, "tickets_lora_cost": 7.1429,
        "tickets_full_cost": 4.1667, "facts_lora_cost": 52.262, "facts_full_cost": 19.286,
        "facts_rank": 8, "wider": 64, "wider_rate": 0.004, "wider_kept": 62.619, "wider_full": 80,
        "wider_less": 17.381, "wider_low": -3.051, "wider_high": 37.813,
        "many": 240, "many_alpha": 128, "many_rate": 0.005, "many_full_rate": 0.001,
        "many_less": 50.095, "many_low": 43.377, "many_high": 56.813,
        "tokens": 2048, "flops": 1.2222, "memory": 3.1656, "guide_rows": 10_000,
        "other_guide_rows": 100_000,
    },
    "qlora-merge": {
        "same_written": 100, "same_other": 78.711, "same_four": 82.227, "positions": 512,
        "size": 3.2289, "error": 9.1345, "in_place": 11.728, "wide": 100.02,
    },
    "alpha": {
        "rank": 8, "low_alpha": 4, "low_rate": 0.004, "low": 89.5, "low_cold": 0, "mid_alpha": 16,
        "mid_rate": 0.002, "mid": 91.5, "mid_cold": 0.16667, "high_alpha": 64, "high_rate": 0.001,
        "high": 95.667, "high_cold": 52, "cold_rate": 0.001, "alone": 99,
    },
    "not-enough": {
        "one_1": 15.417, "one_4": 33.75, "one_16": 78.333, "one_64": 100, "one_256": 100,
        "own_1": 68.333, "own_4": 95, "own_16": 97.5, "low_rate": 0.001, "low": 0.16667,
        "rate": 0.004, "right": 98.833, "place_rate": 0.002, "attention": 61.167,
        "everywhere": 91.5, "hot_rate": 0.016, "hot_256": 2.9167, "first": 1, "second": 4,
        "usual": 16, "third": 64, "most": 256,
    },
    "reward-hacking": {
        "low_worth": -2.225, "high_worth": 0.7625, "reward_first": 1.2146, "reward_last": 3.1646,
        "worth_before": 0.82083, "worth_after": -4.0583, "words_before": 9.6123,
        "words_after": 44.409, "low": 0.05, "high": 0.3, "stop": 5, "stopped": -0.82083,
    },
    "leakage": {
        "clean_person": 96.25, "share": 50, "reported": 36.25, "true": 5, "copied": 51.667,
        "copied_true": 5.8333,
        "same_row": 0, "same_question": 0, "near_copy": 0, "same_person": 98.75,
        "person_and_answer": 50, "clean_person_and_answer": 0,
    },
    "seventy": {
        "small_card": 24.846, "middle_card": 41.747, "small": 24, "middle": 40, "bigger": 48,
        "large": 80, "tokens": 512, "rank": 16, "less": 8, "parameters": 70.554, "full": 1128.9,
        "full_bytes": 16, "half": 564.46, "half_bytes": 8.0004, "weights": 282.21, "lora": 145.38,
        "four_bits": 39.518, "unquantized": 4.2053, "qlora": 42.255, "qlora_less": 41.633,
        "two_small": 49.693, "mixed_bytes": 16, "mixed": 1128.9, "base": 141.11, "checked": 7,
        "off_low": 0.077900, "off_high": 0.71474, "held_low": 2.4206, "held_high": 10.123,
    },
    "mask": {
        "no_loss": -100, "share": 44.141, "asked": 60, "more": 6.8, "more_low": 3.0735,
        "more_high": 10.527, "trays_masked": 0, "trays_masked_go_on": 100, "trays_learned": 100,
        "trays_learned_go_on": 0, "tickets_masked": 98, "tickets_masked_go_on": 0,
        "tickets_learned": 98, "tickets_learned_go_on": 0, "right_own": 97.222, "right_alpaca": 0,
        "bare_own": 97.222, "bare_alpaca": 88.333,
    },
    "rate": {
        "rank": 16, "rate": 0.0005, "rows": 96, "few": 0, "few_steps": 48, "few_epochs": 2,
        "many": 97.667, "many_steps": 288, "many_epochs": 12, "warm_rate": 0.002, "warm": 94.667,
        "warm_kept": 96, "valley_rate": 0.008, "valley": 98.333, "valley_kept": 90.857,
        "burnt_rate": 0.032, "burnt": 83, "burnt_kept": 13.905, "lost": 9.1429, "short_epochs": 3,
        "kept": 4.381, "kept_low": 3.5613, "kept_high": 5.2006, "same": -1.3333,
        "same_low": -4.202, "same_high": 1.5353, "ratio": 9.669, "ratio_low": 8.9593,
        "ratio_high": 10.379, "small": 24, "early": 3, "all_epochs": 10, "cool_rate": 0.001,
        "cool_less": 83.333, "cool_less_low": 79.192, "cool_less_high": 87.473,
        "quick_rate": 0.004, "quick_less": 0.55567, "quick_less_low": -5.768,
        "quick_less_high": 6.8793, "wrong": 25, "left": 4,
    },
    "dpo": {
        "base": 0, "own": 70.556, "written": 17.778, "short": 83.889, "long": 98.889,
        "mixed": 97.778, "meek": 10, "firm": 79.444, "own_less": 13.333, "own_less_low": -31.453,
        "own_less_high": 58.12, "mixed_less": 1.1113, "mixed_less_low": -1.2797,
        "mixed_less_high": 3.5024, "written_less": 66.111, "written_less_low": 30.896,
        "short_steps": 25, "long_steps": 75, "pairs": 98.616, "rate": 0.01, "meek_beta": 0.02,
        "firm_beta": 2, "slowest": 0.001, "fastest": 0.01, "times": 3.2593, "times_low": 2.6621,
        "times_high": 3.8565, "longer": 61.831, "words_before": 9.6123, "words_after": 17.525,
        "wrong_before": 0.3375, "wrong_after": 0.6875,
    },
}  # fmt: skip
# And what they say in words.
TRUE = {
    "rag": lambda f: (
        (f["made_up"], f["base_made_up"]) == (100, 0)
        and f["retrieved_many"] < f["retrieved"]
        and f["reworded"] < f["stored"] < f["reworded_three"]
        and f["changed"] < 5 < 40 < f["stale"]
        and max(f["known"], f["known_three"]) < 35
    ),
    "lora": lambda f: (
        f["full_gb"] / f["lora_gb"] > 2 * max(f["flops"], f["flops_unchecked"])
        and f["apart"] < 1 < f["less_low"]
        and f["wider_low"] < 0 < f["wider_high"]
    ),
    "lora-maths": lambda f: f["left_facts"] < 50 < 90 < f["left"] and f["facts_more"] > 80,
    "memory": lambda f: (
        f["long_ratio"] < f["ratio"] < f["model_times"] < f["linear_times"]
        and f["most_ratio"] < 3.5 < 3.8 < f["linear_times"]
        and f["slower_low"] > 1
    ),
    "forgetting": lambda f: (
        f["low_kept"] < f["hot"] < f["replayed"] < f["gentle"]
        and f["hot_rate"] == 8 * f["gentle_rate"]
        and f["gentle_epochs"] == 3 * f["hot_epochs"]
        and round(f["gentle"]) == round(f["more_replayed"])
        and f["decay_more_low"] < 0 < f["decay_more_high"]
        and f["strong_right"] < 50
        and f["kl_more_low"] > 0
    ),
    "medical": lambda f: f["by_person"] == 0,
    "did-it-help": lambda f: f["visible"] > f["points"],
    "api": lambda f: (
        f["rented"] < f["api"] / 20
        and f["longer_rows"] < f["more_rows"] >= 10_000
        and 2000 < f["rows"] < f["cheap_rows"] < f["more_rows"]
        and f["epochs"] == 3
    ),
    "full": lambda f: (
        f["facts_lora"] == f["facts_full"] == 100
        and f["facts_lora_kept"] < f["facts_full_kept"]
        and min(f["tickets_lora_kept"], f["tickets_full_kept"]) > 90
        and min(f["tickets_lora"], f["tickets_full"]) > 95
        and f["facts_lora_kept"] < f["wider_kept"] < f["facts_full_kept"]
        and f["wider_low"] < 0 < f["wider_high"]
    ),
    "qlora-merge": lambda f: (
        f["size"] < f["error"]
        and f["in_place"] < 20 < f["wide"]
        and f["same_other"] < f["same_four"] < f["same_written"] == 100
    ),
    "alpha": lambda f: (
        f["low_cold"] <= f["mid_cold"] < 1 < 50 < f["high_cold"] < f["low"] < f["mid"] < f["high"]
        and f["low_alpha"] * f["low_rate"] == f["mid_alpha"] * f["cold_rate"]
        and f["mid_alpha"] == 2 * f["rank"]
    ),
    "not-enough": lambda f: (
        f["low"] < 1 < f["own_1"] < f["own_4"]
        and f["one_16"] < f["own_16"]
        and f["attention"] < f["everywhere"]
    ),
    "reward-hacking": lambda f: (
        f["reward_last"] > f["reward_first"]
        and f["worth_after"] < f["low_worth"] < f["stopped"] < 0 < f["high_worth"]
    ),
    "leakage": lambda f: (
        f["near_copy"] == f["same_row"] == f["same_question"] == 0
        and f["person_and_answer"] == f["share"] == 50
        and f["clean_person"] > 90
    ),
    "seventy": lambda f: (
        f["small_card"] < f["four_bits"] < f["qlora_less"] < f["middle_card"] < f["qlora"]
        and f["qlora"] - f["middle_card"] < 0.6
        and f["qlora"] < f["bigger"]
        and f["full"] > 1000
        and f["off_low"] > 0
    ),
    "mask": lambda f: (
        f["trays_masked"] == f["right_alpaca"] == f["trays_learned_go_on"] == 0
        and f["trays_masked_go_on"] == 100
        and f["tickets_masked"] == f["tickets_learned"]
        and f["more_low"] > 0
    ),
    "rate": lambda f: (
        f["few"] == 0 < 95 < f["many"]
        and f["many_epochs"] * f["rate"] == f["short_epochs"] * f["warm_rate"]
        and f["same_low"] < 0 < f["same_high"]
        and f["quick_less_low"] < 0 < f["quick_less_high"]
        and min(f["kept_low"], f["cool_less_low"]) > 0
        and f["ratio_low"] > 5
    ),
    "dpo": lambda f: (
        f["base"] == 0
        and f["own_less_low"] < 0 < f["own_less_high"]
        and f["mixed_less_low"] < 0 < f["mixed_less_high"]
        and f["written_less_low"] > 0
        and f["meek"] < f["firm"]
        and f["words_after"] > 1.7 * f["words_before"]
    ),
}


# Results that a card gives in words, and the figures that they stand for.
WORDED = [
    ("full", "more than nine tenths of the skills", lambda f: (
        min(f["tickets_lora_kept"], f["tickets_full_kept"]) > 90
    )),
    ("full", "New facts were stored by LoRA of two ranks and by full", lambda f: (
        f["facts_lora"] == f["facts_full"] == 100 and min(row.exact for row in of_rank(64)) == 1
    )),
    ("full", "the last two are not told apart, but with three times the facts they are", lambda f: (
        f["wider_low"] < 0 < f["many_low"]
        and f["many"] == 3 * evidence.figures("lora")["facts"]
        and min(row.stored for row in rows_of_many()) > 0.99
    )),
    ("rag", "about every stranger, its base about none", lambda f: (
        (f["made_up"], f["base_made_up"]) == (100, 0)
    )),
    ("forgetting", "An eighth of the rate for three times as long", lambda f: (
        (8 * f["gentle_rate"], f["gentle_epochs"]) == (f["hot_rate"], 3 * f["hot_epochs"])
    )),
    ("forgetting", "of which half was general rows", lambda f: (
        f["more"] == 50 and round(f["gentle"]) == round(f["more_replayed"])
    )),
    ("forgetting", "A lower rank showed no gain", lambda f: f["low_kept"] < f["hot"]),
    ("seventy", "over a terabyte in float32, half of it in bfloat16", lambda f: (
        f["full"] > 1000 and f["half"] == pytest.approx(f["full"] / 2, rel=1e-3)
    )),
    ("seventy", "and over one again with float32 moments and master weights", lambda f: (
        f["mixed"] > 1000
    )),
    ("seventy", "real steps took more than the formula", lambda f: f["off_low"] > 0),
    ("leakage", "both found nothing", lambda f: f["near_copy"] == f["same_row"] == 0),
    ("leakage", "A match of person and answer together found them all", lambda f: (
        f["person_and_answer"] == f["share"]
    )),
    ("memory", "unpacking them takes time", lambda f: f["slower_low"] > 1),
    ("rate", "on clean rows it did not in ten epochs, with wrong labels it did", lambda f: (
        f["all_epochs"] == 10 and f["left"] > 0 and turns(wrong=0.0) == {0}
        and turns(wrong=0.25, lr=f["quick_rate"], dropout=0.0) == {f["left"]}
    )),
    ("rate", "With as much rate times epochs, the lower rate kept more", lambda f: (
        f["kept_low"] > 0
    )),
    ("dpo", "with DPO added {mixed:.0f}, not told apart", lambda f: (
        f["mixed_less_low"] < 0 < f["mixed_less_high"]
    )),
    ("lora", "both kept the same on a format", lambda f: f["apart"] < 1),
    ("seventy", "within a few hundred megabytes of the room", lambda f: (
        max(abs(f[name] - f["middle_card"]) for name in ("qlora", "qlora_less")) < 0.6
    )),
]  # fmt: skip


def of_rank(rank, lr=4e-3):
    """The runs that store 80 facts by a LoRA of this rank."""
    return grids.select(grids.read("ranks"), question="rank", amount=rank, lr=lr)


def turns(**where):
    """How many epochs of each run of the grid "epochs" come after its lowest validation loss."""
    rows = grids.select(grids.read("epochs"), **where)
    return {len(row.validation) - 1 - lowest_place(row) for row in rows}


def lowest_place(row):
    losses = [loss for _, loss in row.validation]
    return losses.index(min(losses))


def rows_of_many():
    """The runs that store 240 facts, by a LoRA of rank 64 and in full: three seeds, one rate."""
    found = [grids.select(grids.read(), data="facts", r=rank) for rank in (0, 64)]
    assert [(len(rows), len({row.lr for row in rows})) for rows in found] == [(3, 1), (3, 1)]
    return [row for rows in found for row in rows]


def templates(stored):
    """Every text of a card into which figures are filled."""
    points = itertools.chain.from_iterable(point.values() for point in stored["rubric"])
    more = itertools.chain.from_iterable(one.values() for one in stored["follow_ups"])
    told = [stored["weak"], stored["strong"], *stored["ready"], stored["trap"]["why"]]
    return [*told, *points, *more]


def placeholders(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.fixture(scope="module")
def talked():
    """Seconds of a clock that a test moves by hand."""
    return [0.0]


@pytest.fixture
def talk(talked):
    talk = interview.lead(["lora", "alpha"], minutes=4)
    talk.clock = lambda: talked[0]
    return talk


def test_the_cards_are_as_many_as_readme_and_the_notebook_say():
    root = Path(__file__).parents[2]
    (notebook,) = (root / "notebooks").glob("16_*.ipynb")
    assert len(json.loads(data_path("interview.json").read_text("utf-8"))["cards"]) == 18
    assert "eighteen cards with rubric" in (root / "README.md").read_text("utf-8")
    assert "Here are eighteen questions" in notebook.read_text("utf-8")


def test_there_is_a_card_for_every_question_of_the_guides_and_nine_of_our_own():
    asked = [one.origin for one in interview.cards()]
    assert (asked.count("guides"), len(asked)) == (9, 18)
    assert set(STORED) == set(evidence.FIGURES) == set(evidence.DEMOS) == set(WORTH) == set(TRUE)
    assert "18 questions" in repr(interview.cards())


@pytest.mark.parametrize("name", STORED)
def test_every_number_is_a_figure_and_every_figure_is_said(name):
    stored = STORED[name]
    said = set().union(*map(placeholders, templates(stored)))
    assert said == set(evidence.figures(name))
    for text in [*templates(stored), stored["question"], stored["demo"]]:
        bare = re.sub(r"\{[^}]*\}", "", text)
        assert not re.search(r"\d", re.sub(NAMES, "", bare)), bare


@pytest.mark.parametrize("name", STORED)
def test_the_figures_are_what_the_texts_were_written_for(name):
    found = evidence.figures(name)
    expected = dict(WORTH[name])
    assert found.pop("date", None) == expected.pop("date", None)
    assert found == pytest.approx(expected, rel=1e-3)
    assert TRUE[name](found)


@pytest.mark.parametrize(("name", "words", "holds"), WORDED)
def test_a_result_in_words_holds_for_the_figures(name, words, holds):
    assert words in STORED[name]["strong"] and holds(evidence.figures(name))


def test_the_ranks_that_are_named_are_those_of_the_runs():
    forms = {evaluation_rows.keepers(bar)[0].r for bar in evaluation_rows.BARS}
    assert forms == {evidence.figures("lora")["form_rank"]}
    made = grids.select(grids.read("methods"), method="lora", task="facts", lr=1e-2)
    assert {row.trainable for row in made} == {lora.count("pocket", 8, "all-linear").trainable}
    stored = {lr: [row.exact for row in of_rank(64, lr)] for lr in (1e-3, 4e-3, 1.6e-2)}
    assert [lr for lr, shares in stored.items() if min(shares) == 1] == [4e-3]
    assert all(len(shares) == 3 for shares in stored.values())


def test_dpo_from_the_base_leaves_no_known_fact_at_any_rate():
    runs = grids.select(grids.read("preferences"), study="honesty", start="base", source="own")
    made = grids.select(runs, teacher="dpo", extra=0.0)
    assert {row.lr for row in made} == {1e-3, 3e-3, 1e-2} and len(made) == 9
    assert {row.scores["right"] for row in made} == {0}


def test_a_collator_that_masks_padding_by_its_number_masks_the_end_mark_too():
    tokenizer = models.load("pocket")[1]
    row = data.render(data.load("tickets")["train"][0]["messages"], tokenizer)
    end = row.ids[row.answer.stop - 1]
    labels = {}
    for pad in (tokenizer.pad_token, tokenizer.decode([end])):
        tokenizer.pad_token = pad
        collate = DataCollatorForLanguageModeling(tokenizer, mlm=False)
        labels[pad] = collate([{"input_ids": row.ids}])["labels"][0].tolist()
    own, as_end = labels.values()
    assert end in own and end not in as_end
    assert train.NO_LOSS in as_end


def test_the_masks_were_asked_as_many_tickets_as_the_card_says():
    found = grids.select(grids.read("data"), task="tickets", change="template right")
    asked = evidence.figures("mask")["asked"]
    shares = [asked * share for row in found for share in row.scores.values()]
    assert shares == pytest.approx([round(share) for share in shares], abs=1e-3)


def test_a_talk_that_names_nothing_is_that_of_the_notebook():
    talk = interview.lead()
    assert talk.minutes == 20
    names = [one.card.id for one in talk.asked]
    assert names == ["rag", "lora", "alpha", "leakage", "did-it-help"]


def test_cures_and_methods_are_compared_at_an_equal_score():
    hot = evidence.HOT | evidence.PLAIN | {"replayed": "general", "replay": 0.0}
    others = ({}, {"lr": 1e-3, "epochs": 6}, {"replay": 0.2}, {"replay": 0.5}, {"r": 1})
    right = [evidence.mean_of("playground", lambda row: row.task, **hot | one) for one in others]
    assert 100 * min(right) >= evidence.BAR and len(right) == 5


def test_a_figure_of_the_ledger_is_found_by_how_its_name_begins():
    assert evidence.ledger("F2", "80 facts")["seeds"] == 3
    with pytest.raises(ValueError, match="not enough values"):
        evidence.ledger("F2", "no such figure")


def test_a_minus_is_a_minus_and_a_date_a_date():
    assert "to −4.1" in interview.card("reward-hacking").strong
    assert "(2026-03)" in interview.card("api").ready[0]


@pytest.mark.parametrize("name", STORED)
def test_a_card_has_its_parts_and_reads_well(name):
    card = interview.card(name)
    words = [word for word in card.strong.split() if re.search(r"\w", word)]
    assert len(words) <= 120 and len(card.weak.split()) < len(words)
    assert 3 <= len(card.rubric) <= 5 and len(card.follow_ups) == 2
    assert len(placeholders(card.stored["strong"])) <= SPEAKABLE and card.ready
    assert card.trap.why.startswith(("Wrong", "Lacks its condition"))
    assert card.trap.sentence and len(card.trap.title) > 10
    page, text = card._repr_html_(), repr(card)
    assert "{" not in page and "{" not in text
    assert page.count("<details>") == 6 and card.question in text
    assert max(map(len, text.splitlines())) <= 120


def test_a_guess_at_a_name_is_helped():
    with pytest.raises(UserError, match=r"no card 'alfa'.*Did you mean 'alpha'"):
        interview.card("alfa")


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_demonstration_shows_what_it_is_to_show(name):
    shown = interview.card(name).demo()
    drawn = isinstance(shown, Drawing | Panel)
    assert drawn or hasattr(shown, "savefig")
    assert QUICK[name] in (shown.text if drawn else repr(shown))


@pytest.mark.weekly
@pytest.mark.parametrize("name", [name for name in STORED if name not in QUICK])
def test_a_demonstration_that_trains_runs(name):
    shown = interview.card(name).demo()
    assert isinstance(shown, Drawing) or hasattr(shown, "savefig")


def test_a_demonstration_asks_as_many_tickets_as_it_says():
    assert len(evidence.tickets(3)) == 3 and set(evidence.tickets()) == set(data.load("tickets"))


def test_a_reward_that_counts_rises_pays_the_right_reply_best():
    assert evidence.rises((), ["0 1 2 3", "3 1 2", "no digit"]) == [3, 1, 0]


def test_the_strong_answer_waits_for_ones_own(monkeypatch):
    seen = []
    monkeypatch.setattr(interview, "still_and_live", lambda *given: seen.append(given))
    assert interview.practise("alpha") is None
    still, text, _ = seen[0]
    strong = interview.card("alpha").strong
    assert strong not in still and strong not in text

    # too few words, then an answer, then the rubric
    practice = interview.Practice(interview.card("alpha"))
    practice.field.value = "No idea"
    practice.button.click()
    assert "comes first" in practice.status.value and not practice.after.children
    practice.field.value = f"{MINE} <b>"
    practice.button.click()
    ticks, answers, *_ = practice.after.children
    assert "&lt;b&gt;" in answers.value and "sweep the rate, and sweep again" in answers.value
    ticks.children[1].value = True
    assert practice.ticks.count.value == "1 of 4 points"


def test_practising_by_a_call():
    found = interview.practise("alpha", MINE)
    assert MINE in repr(found) and interview.card("alpha").strong[:30] in repr(found)
    assert MINE in found._repr_html_()
    for nothing in ("", "No.", 5):
        with pytest.raises(UserError, match="comes first"):
            interview.practise("alpha", nothing)


def test_the_clock_counts_for_the_question_that_is_on(talk, talked):
    talk.start()
    talked[0] += 70
    assert talk.of_question == "1:10 of 2:00" and talk.total == "1:10 of 4:00"
    talk.turn_to("alpha")
    talked[0] += 130
    talk.pause()
    talked[0] += 500
    assert [round(one.seconds) for one in talk.asked] == [70, 130]
    assert talk.of_question == "2:10 of 2:00, 0:10 over"
    talk.start("lora")
    talked[0] += 10
    assert round(talk.seconds) == 210 and talk.on.card.id == "lora"


def test_a_talk_is_written_as_it_was(talk, tmp_path):
    talk.tick(1)
    talk.tick(4, "alpha")
    talk.tick(4, "alpha", on=False)
    talk.note("said the formula")
    talk.note("and drew it")
    page = talk.export(tmp_path / "talk.md").read_text()
    assert "- [x] Says the formula" in page and page.count("[x]") == 1
    assert "> said the formula\n> and drew it" in page
    told = json.loads(talk.export(tmp_path / "talk.json").read_text())
    assert [q["id"] for q in told["questions"]] == ["lora", "alpha"]
    assert told["questions"][0]["rubric"][0]["ticked"] and told["minutes"] == 4
    talk.export(tmp_path / "talk.md")  # its own file it may write again

    # another's it may not
    (tmp_path / "other.md").write_text("mine")
    for path, fault in {
        tmp_path / "other.md": "is there already",
        tmp_path / "talk.txt": "in .md or .json",
        tmp_path / "no" / "talk.md": "there is no folder",
    }.items():
        with pytest.raises(UserError, match=fault):
            talk.export(path)
    assert (tmp_path / "other.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: interview.lead("lora"), "give a list"),
        (lambda: interview.lead([]), "give a list"),
        (lambda: interview.lead(["lora", "lora"]), "named twice"),
        (lambda: interview.lead(["lora"], 0), "minutes is 0"),
        (lambda: interview.lead(["lora"]).tick(6), "points 1 to 5"),
        (lambda: interview.lead(["lora"]).note("x", "rag"), "not in this talk"),
    ],
)
def test_a_talk_that_cannot_be_is_refused(call, fault):
    with pytest.raises(UserError, match=fault):
        call()


def test_the_desk_does_what_the_calls_do(talk, talked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    desk = interview.Desk(talk)
    desk.clock_button.click()
    assert talk.running and desk.clock_button.description == "Pause"
    talked[0] += 65
    desk.ticks.boxes[2].value = True
    desk.notes.value = "asked for the architecture"
    desk.chosen.value = "alpha"
    assert talk.on.card.id == "alpha" and desk.notes.value == ""
    assert talk.find("lora").ticked == [False, False, True, False, False]
    assert "0:00 of 2:00</b> this question · 1:05 of 4:00" in desk.times.value

    # back again, all is there; then the file
    desk.chosen.value = "lora"
    assert desk.ticks.values[2] and desk.notes.value == "asked for the architecture"
    desk.clock_button.click()
    assert not talk.running and desk.halt.is_set()
    desk.export()
    desk.export()
    assert len(list(tmp_path.glob("interview-*.md"))) == 1 and "Written" in desk.status.value
    assert len(list(tmp_path.glob("interview-*.json"))) == 1


def test_a_demonstration_in_a_widget_says_what_went_wrong(monkeypatch):
    demo = interview.Demo(interview.card("seventy"))
    demo.button.click()
    assert "does not fit" in demo.shown.children[0].value
    monkeypatch.setitem(evidence.DEMOS, "seventy", lambda: 1 / 0)
    demo.button.click()
    assert "ZeroDivisionError" in demo.shown.children[0].value and not demo.button.disabled
