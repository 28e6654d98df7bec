"""Rows T and P: their figures are the notebooks', and their words follow them."""

import pytest
from verdict_rows import Rows

from ftkit import lessons, verdicts
from ftkit.verdicts import training_rows

ROWS = Rows(training_rows.CLAIMS)
CLAIMS, FOUND, figure, moved = ROWS.claims, ROWS.found, ROWS.figure, ROWS.moved
WORDS = {
    "depends": "T2 T3 T4 P1 P3 P4".split(),
    "holds here": ["T6"],
    "fails here": ["T5", "T8"],
    "unverified": ["T7"],
    "cannot be told": ["P2"],
}


def test_each_row_has_its_word():
    expected = {row: word for word, rows in WORDS.items() for row in rows}
    assert {row: found.verdict for row, found in FOUND.items()} == expected
    assert CLAIMS.keys() - FOUND.keys() == {"T1", "T9", "T11"}


def test_each_judge_can_say_something_else():
    for row, found in FOUND.items():
        assert len(verdicts.possible_words(found.claim.judge, found.figures)) > 1, row


@pytest.mark.parametrize(
    ("row", "start", "low", "high"),
    [
        ("T2", "LoRA's rate at 90 %", 8, 10.4),  # 07b: 9.7 [9.0, 10.4]
        ("T2", "pocket model: LoRA's rate", 0.00185, 0.0019),
        ("T2", "pocket model at 5e-4: right after 48 steps", 0.0, 0.0),
        ("T2", "pocket model at 5e-4: right after 288 steps", 0.97, 0.99),
        ("T3", "rate 0.004: score after 3", -0.02, 0.0),
        ("T3", "rate 0.001: score after 5", -0.9, -0.5),
        ("T4", "clean rows, 4e-3", 0, 0),
        ("T4", "a quarter wrong, 4e-3: epochs", 4, 4),  # the sixth of ten, three times
        ("T4", "a quarter wrong: score", 0.088, 0.09),
        ("T5", "1e-3, clean", 0, 0),
        ("T5", "4e-3, a quarter wrong: epochs", 4, 4),
        ("T6", "96 tickets", 0.95, 1.05),
        ("T6", "80 facts", 1.0, 1.0),
        ("T6", "240 facts", 0.98, 1.0),
        ("T7", "the most rows", 300, 300),
        ("T7", "240 facts: full less LoRA, score", 0.005, 0.015),
        ("T7", "240 facts: full less LoRA, skills", 0.48, 0.49),  # 08: 49 points
        ("T8", "tickets: DoRA less LoRA, score", -0.01, 0.01),
        ("T8", "IA³, 3,072 trained", 0.9, 1.0),
        ("P1", "from the base: more than half", 0.0, 0.0),
        ("P2", "and three to four", 3.2, 3.3),
        ("P3", "nine digits", 0.75, 0.75),
        ("P3", "sums that are never", 0.0, 0.0),
        ("P4", "a nat of distance costs 0.3", -0.1, 0.0),
        ("P4", "a nat costs 0.05", -10.0, -2.0),
    ],
)
def test_figures_are_those_of_the_notebooks(row, start, low, high):
    assert low - 1e-12 <= figure(row, start).value <= high + 1e-12


def test_reward_models_take_as_long_as_notebook_12_says():
    times = figure("P2", "and three to four")
    assert (round(times.low, 1), round(times.high, 1)) == (2.7, 3.9)


@pytest.mark.parametrize(
    ("row", "changes", "word"),
    [
        ("T2", [("pocket model: LoRA's rate", 2e-4)], "holds here"),
        ("T5", [("1e-3, clean", 2), ("1e-3, a quarter", 2)], "cannot be told"),
        ("T6", [("96 tickets", 0.8)], "depends"),
        ("T7", [("the most rows", 20_000)], "cannot be told"),
        ("T8", [("facts: DoRA less LoRA, skills", 0.2)], "depends"),
        ("P3", [("sums that are never", 1.0), ("eight digits", 0.5)], "holds here"),
        ("P4", [("stopped at 5 nats", 0.0), ("a nat costs 0.05", 0.0)], "holds here"),
    ],
)
def test_another_figure_is_another_word(row, changes, word):
    assert moved(row, *changes) == word


def test_much_data_decides_only_where_there_is_much():
    sizes = ("24 tickets", "96 tickets", "300 tickets", "40 facts", "80 facts", "240 facts")
    more = [("the most rows", 20_000)]
    more += [(f"{size}: full less LoRA, score", 0.1) for size in sizes]
    assert moved("T7", *more) == "holds here"
    assert moved("T7", *more[1:]) == "unverified"


def test_the_faster_half_of_a_sentence_does_not_carry_the_other():
    """2.7 to 3.9 times as fast is clear; stability is not, and the row says so."""
    stable = [("descriptions: DPO on such", 1.0), ("behind SFT: at twice", 0.0)]
    assert moved("P2", *stable) == "cannot be told"
    assert moved("P2", *stable, ("and three to four", 3.3)) == "holds here"


def test_a_script_is_refused_where_the_signatures_refuse_it():
    found = CLAIMS["T1"].settle()
    refused = [one.guide for one in lessons.check_scripts().of(lessons.guides.REFUSED)]
    counts = {one.what.split()[5]: one.value for one in found.figures}
    assert counts == {guide: refused.count(guide) for guide in ("G1", "G3", "G4")}
    assert found.verdict == "fails here" and min(counts.values()) > 0
    mended = [one._replace(value=0) for one in found.figures]
    assert CLAIMS["T1"].verdict(mended) == "holds here"


@pytest.mark.parametrize("row", list(FOUND))
def test_what_decides_runs_in_a_cell(row):
    exec(CLAIMS[row].decides, {})


@pytest.mark.weekly
def test_a_warm_up_and_a_lower_rate_take_the_spike_away_and_clipping_does_not():
    found = CLAIMS["T9"].settle()
    spikes = {o.what.removeprefix("highest loss / first: "): o for o in found.figures}
    assert found.verdict == "depends" and spikes["as it is"].low > 1.4
    assert spikes["gradients clipped at 1"].low > 1.4
    assert spikes["a warm-up of three of six steps"].high < 1.2
    assert spikes["a tenth of the rate"].high < 0.8


@pytest.mark.weekly
def test_a_record_makes_the_same_adapter_again():
    found = CLAIMS["T11"].settle()
    assert [one.value for one in found.figures] == [7, 1, 0] and found.verdict == "holds here"
    other = [one._replace(value=0.5) for one in found.figures]
    assert CLAIMS["T11"].verdict(other) == "fails here"
