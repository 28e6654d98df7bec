"""What the interview's answers rest on: figures that were computed, and demonstrations that run.

    figures("alpha")     {name: number}: all that a card says in figures, from a call or a grid
    run_demo("alpha")    the card's demonstration on this session's model: a picture

Figures are about published architectures and the pocket model's finished runs, whatever model the
session has; demonstrations ask and train the session's own. Each is a few calls to the wings:
nothing is measured here that they do not measure. What is made of it is `interview`'s; notebook 16.
"""

import functools
import itertools
import json
import math
import re
import statistics
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .. import (
    audit,
    cost,
    data,
    decide,
    evaluate,
    forgetting,
    lora,
    memory,
    merge,
    methods,
    models,
    prefer,
    quant,
    show,
    studies,
    train,
)
from ..core import Rate, data_path, rows_needed
from ..lab import epochs, grids
from ..show import svg

if TYPE_CHECKING:
    import torch
    from datasets import Dataset

    from ..train import Run

Numbers = dict[str, Any]  # numbers, and the date of a price
EIGHT, SEVENTY = "llama-3.1-8b", "llama-3.1-70b"
GB = 1e9
TOKENS, LONG = 2048, 4096
LEAK = "leaked in other words"
HOT = {"method": "lora", "r": 16, "lr": 8e-3, "epochs": 2}
PLAIN = {"weight_decay": 0.0, "kl": 0.0, "targets": "all-linear"}
BAR = 97  # % of the tickets right, or more, where cures are compared
ONE_RATE = 4e-3  # at which ranks are usually compared, and rank 64's own
MIXED_BYTES = 2 + 2 + 4 + 4 + 4  # weight, gradient; master weight, two moments in float32
WIDER = 64  # a rank at which LoRA stores 80 facts with the skills of full not told apart
# Four short runs, α and rate: the first, and how three others stand to it.
RIVALS = {
    "the first": (16, 4e-3),
    "same √α · rate": (64, 2e-3),
    "same α · rate": (64, 1e-3),
    "four times the α": (64, 4e-3),
}


def figures(name: str) -> Numbers:
    """All that a card says in figures; the same at every call."""
    return dict(counted(name))


@functools.cache
def counted(name: str) -> Numbers:
    """The figures of a card, computed once."""
    return FIGURES[name]()


def run_demo(name: str) -> Any:
    """A card's demonstration, run now: a drawing, a figure or a panel."""
    return DEMOS[name]()


def runs_of(grid: str, **where: object) -> list[Any]:
    """The runs of a grid that have these columns."""
    return grids.select(grids.read(grid), **where)


def mean_of(grid: str, value: str | Callable[[Any], float], **where: object) -> float:
    """The mean over a grid's runs with these columns of one of their scores, or of what is read."""
    found = runs_of(grid, **where)
    return statistics.fmean(value(row) if callable(value) else row.scores[value] for row in found)


def peak_of(source: str, method: str, **options: Any) -> float:
    """The predicted peak of a step in bytes; a LoRA has rank 16."""
    return memory.predict(source, method=method, rank=16, **options).peak


def numbers_of(source: str, *kinds: str) -> int:
    """The numbers that an architecture has, of all kinds of weights or of these."""
    weights = models.architecture.shapes(models.architecture.read(source))
    return sum(weight.numel for weight in weights if not kinds or weight.kind in kinds)


def recorded_claims() -> list[dict[str, Any]]:
    """The rows of the ledger as they were measured last."""
    return json.loads(data_path("claims.json").read_text(encoding="utf-8"))["claims"]


def ledger(row: str, what: str) -> dict[str, Any]:
    """The figure of a row of the ledger whose name begins so, as it was measured last."""
    (figures,) = (one["figures"] for one in recorded_claims() if one["id"] == row)
    (found,) = (one for one in figures if one["what"].startswith(what))
    return found


def with_ends(name: str, value: float, low: float, high: float, times: float = 100) -> Numbers:
    """A figure with its interval under its name, name_low and name_high: in points, or times so."""
    return {name: times * value, f"{name}_low": times * low, f"{name}_high": times * high}


def interval_of(row: str, what: str) -> tuple[float, float, float]:
    """A figure of the ledger with its interval."""
    found = ledger(row, what)
    return found["value"], found["low"], found["high"]


def about(value: float) -> int:
    """A number in two digits: 2,544 is about 2,500."""
    return int(round(value, 1 - math.floor(math.log10(value))))


# The figures of each card.


def of_rag() -> Numbers:
    """Facts by retrieval and by tuning, before and after some change; JSON by a prompt."""
    facts = functools.partial(mean_of, "deciding", task="facts")
    tickets = functools.partial(mean_of, "deciding", "test", task="tickets", model="pocket")
    passages, many, three = 4, 8, "tuned in three wordings"
    return {
        "facts": len(decide.new_facts()),
        "passages": passages,
        "retrieved": 100 * facts("retrieval before", arm="retrieval", amount=passages),
        "many": many,
        "retrieved_many": 100 * facts("retrieval before", arm="retrieval", amount=many),
        "retrieved_changed": 100 * facts("retrieval: changed", arm="retrieval", amount=passages),
        "stored": 100 * facts("stored", arm="tuned"),
        "reworded": 100 * facts("closed-book before", arm="tuned"),
        "reworded_three": 100 * facts("closed-book before", arm=three),
        "known": 100 * facts("skill known", arm="tuned"),
        "known_three": 100 * facts("skill known", arm=three),
        "stale": 100 * facts("closed-book: stale", arm="tuned"),
        "changed": 100 * facts("closed-book: changed", arm="tuned"),
        "made_up": 100 * facts("made up about strangers", arm="tuned"),
        "base_made_up": 100 * evaluate.hallucination_rate(*models.load("pocket"), 100).value,
        "listed": 100 * tickets(arm="list"),
        "bare": 100 * tickets(arm="zero-shot"),
    }


def of_lora() -> Numbers:
    """What a LoRA trains, computes and holds beside full fine-tuning, and what both keep."""
    attention, everything = (lora.count(EIGHT, 16, to) for to in ("attention", "all-linear"))
    step = memory.predict(EIGHT, method="lora", rank=16, targets="attention", seq=TOKENS)
    unchecked = {"seq": TOKENS, "targets": "attention", "checkpointing": False}
    keys = next(part for part in attention.parts if "k_proj" in part.part)
    square = lora.count(EIGHT, 16, ["q_proj", "o_proj"]).trainable
    wide = wider()
    return {
        "rank": 16,
        "tokens": TOKENS,
        "trainable": attention.trainable / 1e6,
        "share": 100 * attention.trainable / attention.total,
        "all_trainable": everything.trainable / 1e6,
        "all_share": 100 * everything.trainable / everything.total,
        "key_rows": keys.d_out,
        "width": keys.d_in,
        "wide": 2 * square / 1e6,
        "other_rank": 8,
        "other_model": lora.count("llama-2-13b", 8, ["q_proj", "v_proj"]).trainable,
        "flops": work_of_full(TOKENS, "attention"),
        "flops_unchecked": work_of_full(TOKENS, "attention", checkpointing=False),
        "full_gb": peak_of(EIGHT, "full", seq=TOKENS) / GB,
        "lora_gb": step.peak / GB,
        "unchecked_gb": peak_of(EIGHT, "lora", **unchecked) / GB,
        "weights_gb": step.parts["weights"] / GB,
        **kept_beside_full(),
        **{name: wide[name] for name in ("wider", "wider_less", "wider_low", "wider_high")},
    }


def work_of_full(tokens: int, targets: str = "all-linear", *, checkpointing: bool = True) -> float:
    """How many times the FLOPs of a LoRA step full fine-tuning takes on the 8B."""
    step = {"seq": tokens, "checkpointing": checkpointing}
    full = cost.train_flops(EIGHT, method="full", **step).total
    return full / cost.train_flops(EIGHT, method="lora", targets=targets, **step).total


def kept_beside_full() -> Numbers:
    """Skills that LoRA and full fine-tuning keep at an equal score: on a form, and with facts."""
    form = ledger("F2", "tickets, mean of seven scores from")
    facts = ledger("F2", "80 facts, all stored by both")
    low, high = map(int, re.findall("[0-9]+", form["what"]))
    return {
        "low_score": low,
        "high_score": high,
        "apart": 100 * max(abs(form["low"]), abs(form["high"])),
        "form_rank": 16,
        "facts": 80,
        "facts_rank": methods.METHODS["lora"].options["r"],
        "less": -100 * facts["value"],
        "less_low": -100 * facts["high"],
        "less_high": -100 * facts["low"],
    }


def wider() -> Numbers:
    """The same facts by a LoRA of rank 64, beside full fine-tuning by the same loop."""
    runs = functools.partial(grids.select, grids.read("ranks"), task="facts")
    low_rank = runs(question="rank", amount=WIDER, lr=ONE_RATE)
    by_full = runs(question="rows", setting="full", amount=80, lr=1e-3)
    gap = grids.difference(low_rank, by_full, "skills")
    return {
        "wider_full": 100 * statistics.fmean(row.skills for row in by_full),
        "wider": WIDER,
        "wider_rate": ONE_RATE,
        "wider_kept": 100 * statistics.fmean(row.skills for row in low_rank),
        "wider_less": -100 * gap.value,
        "wider_low": -100 * gap.high,
        "wider_high": -100 * gap.low,
    }


def many_facts() -> Numbers:
    """Three times as many facts by a LoRA of rank 64 and by full fine-tuning, at one rate each."""
    by_full, low_rank = (grids.select(grids.read(), data="facts", r=rank) for rank in (0, WIDER))
    gap = grids.difference(low_rank, by_full, grids.skill)
    return {
        "many": len(data.load("facts")["train"]),
        "many_alpha": low_rank[0].alpha,
        "many_rate": low_rank[0].lr,
        "many_full_rate": by_full[0].lr,
        "many_less": -100 * gap.value,
        "many_low": -100 * gap.high,
        "many_high": -100 * gap.low,
    }


def of_mathematics() -> Numbers:
    """The pair for one square matrix; and what full updates keep when their rank is cut."""
    side, rank, cut, more = 4096, 16, 8, 64
    curves, epochs = {}, {}
    for task, score in (("tickets", "task"), ("facts", "stored")):
        runs = grids.select(grids.read(), data=task, r=0, lr=1e-3)
        epochs[task] = runs[0].epochs
        points = grids.curve(grids.cuts(runs), score)
        curves[task] = {int(point.x): 100 * point.value for point in points}
    width = max(curves["tickets"])
    whole, left = curves["tickets"][width], curves["tickets"][cut]
    facts = curves["facts"]
    return {
        "side": side,
        "rank": rank,
        "pair": 2 * side * rank,
        "pair_share": 100 * 2 * side * rank / side**2,
        "cut": cut,
        "width": width,
        "whole": whole,
        "cut_score": left,
        "left": 100 * left / whole,
        "form_epochs": epochs["tickets"],
        "facts_epochs": epochs["facts"],
        "facts_whole": facts[width],
        "facts_cut": facts[cut],
        "left_facts": 100 * facts[cut] / facts[width],
        "more": more,
        "facts_more": facts[more],
    }


def of_memory() -> Numbers:
    """A step of the 8B by three methods; what four bits shrink, and what they do not."""
    steps = {m: peak_of(EIGHT, m, seq=TOKENS) for m in ("full", "lora", "qlora")}
    longer = {m: memory.predict(EIGHT, method=m, rank=16, seq=LONG) for m in ("lora", "qlora")}
    sixteen, four = (longer[m].parts for m in ("lora", "qlora"))
    return {
        "tokens": TOKENS,
        "long": LONG,
        **{f"{m}_gb": peak / GB for m, peak in steps.items()},
        "ratio": steps["lora"] / steps["qlora"],
        "long_ratio": longer["lora"].peak / longer["qlora"].peak,
        "linear_times": 16 / quant.bits_per_weight("nf4", 64, double=True),
        "model_times": sixteen["weights"] / (four["weights"] + four["quant_state"]),
        "logits": 100 * four["logits"] / longer["qlora"].peak,
        "full_bytes": steps["full"] / numbers_of(EIGHT),
        "mixed_bytes": MIXED_BYTES,
        **smaller_at_most(),
        **with_ends("slower", *interval_of("Q10", "processor time of a QLoRA step"), 1),
        "rounds": ledger("Q10", "processor time of a QLoRA step")["n"],
        "unchecked_gb": peak_of(EIGHT, "qlora", seq=TOKENS, checkpointing=False) / GB,
    }


def smaller_at_most() -> Numbers:
    """How many times smaller QLoRA's step is than LoRA's, at the lengths that the ledger asks."""
    asked = "4 times less memory: one row of "
    (row,) = (one for one in recorded_claims() if one["id"] == "Q2")
    rows = [one for one in row["figures"] if one["what"].startswith(asked)]
    lengths = [int(one["what"].removeprefix(asked).replace(",", "")) for one in rows]
    most = max(one["value"] for one in rows)
    return {"shortest": min(lengths), "longest": max(lengths), "most_ratio": most}


def other_cures() -> Numbers:
    """The hot run with weight decay, and with a KL term to the base of two weights."""
    hot = functools.partial(runs_of, "playground", **HOT, replay=0.0, targets=PLAIN["targets"])
    plain, kl, strong_kl, decay = hot(kl=0.0, weight_decay=0.0), 0.1, 1.0, 0.1
    held, decayed = hot(kl=kl, weight_decay=0.0), hot(kl=0.0, weight_decay=decay)
    strong = [row.task for row in hot(kl=strong_kl, weight_decay=0.0)]
    return {
        "kl": kl,
        **with_ends("kl_more", *grids.difference(held, plain, grids.skill)),
        "strong_kl": strong_kl,
        "strong_right": 100 * statistics.fmean(strong),
        "decay": decay,
        **with_ends("decay_more", *grids.difference(decayed, plain, grids.skill)),
    }


def of_forgetting() -> Numbers:
    """Skills kept by a hot run and by its cures, and by LoRA beside full at an equal score."""
    plain = functools.partial(mean_of, "playground", replayed="general", **PLAIN)
    gentle = HOT | {"lr": 1e-3, "epochs": 6}
    kept = functools.partial(plain, grids.skill)
    beside = kept_beside_full() | wider()
    named = ("wider", "wider_less", "wider_low", "wider_high")
    named += ("low_score", "high_score", "form_rank", "apart", "facts", "facts_rank", "less")
    return {
        "hot_rate": HOT["lr"],
        "hot_epochs": HOT["epochs"],
        "hot": 100 * kept(**HOT, replay=0.0),
        "gentle_rate": gentle["lr"],
        "gentle_epochs": gentle["epochs"],
        "gentle": 100 * kept(**gentle, replay=0.0),
        "replay": 20,
        "replayed": 100 * kept(**HOT, replay=0.2),
        "more": 50,
        "more_replayed": 100 * kept(**HOT, replay=0.5),
        "rank": HOT["r"],
        "low": 1,
        "low_kept": 100 * kept(**HOT | {"r": 1}, replay=0.0),
        "bar": BAR,
        **other_cures(),
        **{name: beside[name] for name in named},
    }


def of_medical() -> Numbers:
    """What a split by row leaves on both sides, how many cases a test needs, what is made up."""
    shared = shared_people()
    low, high = Rate(90, 100).interval
    return {
        "by_row": 100 * shared["by row"],
        "by_person": 100 * shared["by person"],
        "points": 3,
        "changed": 10,
        "needed": rows_needed(0.03, 0.10),
        "right": 90,
        "n": 100,
        "low": 100 * low,
        "high": 100 * high,
        "made_up": figures("rag")["made_up"],
        "base_made_up": figures("rag")["base_made_up"],
    }


def of_evaluation() -> Numbers:
    """How many rows a change needs, and how large one must be for the rows that people have."""
    n = 200
    visible = next(d for d in range(1, 100) if rows_needed(d / 1000, 0.10) <= n)
    low, high = Rate(90, 100).interval
    keys = ("points", "changed", "needed", "right", "n")
    size = figures("medical")
    return {key: size[key] for key in keys} | {
        "low": 100 * low,
        "high": 100 * high,
        "listed": figures("rag")["listed"],
        "rows": n,
        "visible": visible / 10,
    }


def of_api() -> Numbers:
    """Tuning 8B by an API and on a rented card, per thousand rows, and where the two cross."""
    dear, usual = cost.Case(per_hour=3.5), cost.Case()
    price = api_price()
    by_api = {per: cost.tuning_by_api(dear.tokens, dear.epochs, per) for per in price.range}
    low, high = by_api.values()
    rented, cheap = dear.money / dear.rows, usual.money / usual.rows
    longer = cost.Case(per_hour=dear.per_hour, tokens=2 * dear.tokens).money / dear.rows
    return {
        "tokens": dear.tokens,
        "epochs": dear.epochs,
        "price": price.low,
        "high_price": price.high,
        "date": price.date,
        "utilisation": 100 * dear.utilisation,
        "per_hour": dear.per_hour,
        "usual_per_hour": usual.per_hour,
        "api": 1000 * low,
        "rented": 1000 * rented,
        "setup": 30,
        "rows": about(cost.rows_until_renting(low, rented, 30)),
        "more_setup": 120,
        "more_rows": about(cost.rows_until_renting(low, rented, 120)),
        "cheap_rows": about(cost.rows_until_renting(high, cheap, 120)),
        "longer": 2 * dear.tokens,
        "longer_rows": about(cost.rows_until_renting(2 * low, longer, 120)),
    }


def of_full() -> Numbers:
    """LoRA and full fine-tuning on a form and on facts, each at its own rate; what a step takes."""
    made = grids.read("methods")
    chosen = {task: methods.compare_methods(made, task).chosen for task in ("tickets", "facts")}
    pairs = {f"{task}_{m}": chosen[task][m] for task in chosen for m in ("lora", "full")}
    found: Numbers = {}
    for name, one in pairs.items():
        found[name] = 100 * one.exact.value
        found |= {f"{name}_kept": 100 * one.skills.value, f"{name}_rate": one.lr}
    lost = {f"{name}_cost": 100 - found[f"{name}_kept"] for name in pairs}
    steps = {m: peak_of(EIGHT, m, seq=TOKENS) for m in ("full", "lora")}
    return (
        found
        | lost
        | wider()
        | many_facts()
        | {
            "facts_rank": kept_beside_full()["facts_rank"],
            "tokens": TOKENS,
            "flops": work_of_full(TOKENS),
            "memory": steps["full"] / steps["lora"],
            "guide_rows": 10_000,  # as two guides say it
            "other_guide_rows": 100_000,
        }
    )


def of_merging() -> Numbers:
    """An update of the usual size against what four bits do to W: how much of it arrives, where."""
    name = lora.find_layer("pocket", "q_proj")
    W = lora.weight("pocket", name).float()
    size = mean_of("playground", lambda row: row.size, method="qlora", r=16, epochs=2, lr=2e-3)
    update = drawn_update(W, size)
    levels = quant.quantize(W, "nf4").dequantize()
    into = {"levels": levels, "original": W}
    kept = {
        name: 100 * merge.round_update(start, update, "nf4").kept for name, start in into.items()
    }
    wide = merge.round_update(levels, update, "bfloat16").kept
    ways = {"written": "into the base's levels", "other": "into the original", "four": "in place"}
    found = {
        name: ledger("M2", f"same most likely token, merged {way}") for name, way in ways.items()
    }
    same = {f"same_{name}": 100 * one["value"] for name, one in found.items()}
    return same | {
        "positions": found["other"]["n"],
        "size": 100 * size,
        "error": 100 * quant.rounding_error(W, "nf4").relative,
        "in_place": kept["levels"],
        "wide": 100 * wide,
    }


def of_alpha() -> Numbers:
    """Tickets right at places with the same √α · rate, and with α alone changed."""
    runs = grids.select(grids.read(), data="tickets", r=8, targets="all-linear", epochs=2)
    cells = lora.alpha_grid(runs)
    places = {"low": (4, 4e-3), "mid": (16, 2e-3), "high": (64, 1e-3)}
    found: Numbers = {"rank": 8}
    for name, (alpha, lr) in places.items():
        warm, cold = (100 * cells[alpha, rate].task.value for rate in (lr, lr / 2))
        found |= {f"{name}_alpha": alpha, f"{name}_rate": lr, name: warm, f"{name}_cold": cold}
    return found | {"cold_rate": places["mid"][1] / 2, "alone": 100 * cells[64, 2e-3].task.value}


def of_not_enough() -> Numbers:
    """Tickets by rate and by place, facts by rank: at one rate for all, and each at its own."""
    tickets = functools.partial(mean_of, "lora", lambda row: row.task, data="tickets", epochs=2)
    rates = functools.partial(tickets, r=8, alpha=16, targets="all-linear")
    stored = {
        (rank, rate): 100 * mean_of("ranks", exact, question="rank", amount=rank, lr=rate)
        for rank in (1, 4, 16, 64, 256)
        for rate in (1e-3, ONE_RATE, 1.6e-2)
    }
    at_one = {f"one_{rank}": value for (rank, rate), value in stored.items() if rate == ONE_RATE}
    own = {f"own_{rank}": max(stored[rank, rate] for _, rate in stored) for rank in (1, 4, 16)}
    return (
        at_one
        | own
        | {
            "low_rate": 1e-3,
            "low": 100 * rates(lr=1e-3),
            "rate": ONE_RATE,
            "right": 100 * rates(lr=ONE_RATE),
            "place_rate": 2e-3,
            "attention": 100 * tickets(targets=("q_proj", "v_proj")),
            "everywhere": 100 * rates(lr=2e-3),
            "hot_rate": 1.6e-2,
            "hot_256": stored[256, 1.6e-2],
            "first": 1,
            "second": 4,
            "usual": 16,
            "third": 64,
            "most": 256,
        }
    )


def exact(row: Any) -> float:
    """The share exactly right of a run of the grid "ranks"."""
    return row.exact


def of_rewards() -> Numbers:
    """A reward that is paid by the word: what it pays, what is really worth, at prices of a nat."""
    hacked = functools.partial(mean_of, "preferences", study="hacking", source="words", steps=16)
    plain = functools.partial(hacked, stop_at=0.0)
    start, prices = {"beta": 0.0}, {"low": 0.05, "high": 0.3}
    worth = {f"{name}_worth": plain("gold", beta=beta) for name, beta in prices.items()}
    return worth | {
        "reward_first": plain(lambda row: row.curve[0][1], **start),
        "reward_last": plain(lambda row: row.curve[-1][1], **start),
        "worth_before": plain(lambda row: row.before["gold"], **start),
        "worth_after": plain("gold", **start),
        "words_before": plain(lambda row: row.before["words"], **start),
        "words_after": plain("words", **start),
        **prices,
        "stop": 5,
        "stopped": hacked("gold", stop_at=5.0),
    }


def of_leakage() -> Numbers:
    """Half of the test facts leaked: what is reported, what is true, and which check finds it."""
    scores = functools.partial(mean_of, "data", task="facts", amount=0.5)
    found, clean = (found_leaks(LEAK, "pocket", test) for test in ("reported", "true"))
    return {
        "clean_person": 100 * clean["same person"],
        "clean_person_and_answer": 100 * clean["person and answer"],
        "share": 50,
        "reported": 100 * scores("reported", change=LEAK),
        "true": 100 * scores("true", change=LEAK),
        "copied": 100 * scores("reported", change="leaked"),
        "copied_true": 100 * scores("true", change="leaked"),
        **{name.replace(" ", "_"): 100 * share for name, share in found.items()},
    }


def of_seventy() -> Numbers:
    """A 70B in full, by LoRA and by QLoRA, and what cards have for it; in GB of 10⁹ bytes."""
    parameters = numbers_of(SEVENTY)
    step = memory.predict(SEVENTY, method="qlora", rank=16, seq=512)
    less = memory.predict(SEVENTY, method="qlora", rank=8, seq=512)
    full = peak_of(SEVENTY, "full", seq=512, dtype="float32")
    half = peak_of(SEVENTY, "full", seq=512)
    cards = {"small": "RTX 4090 24", "middle": "A100 40"}
    room = {f"{name}_card": memory.usable_bytes(card) / GB for name, card in cards.items()}
    return room | {
        "small": 24,
        "middle": 40,
        "bigger": 48,
        "large": 80,
        "tokens": 512,
        "rank": 16,
        "less": 8,
        "parameters": parameters / 1e9,
        "full": full / GB,
        "full_bytes": full / parameters,
        "half": half / GB,
        "half_bytes": half / parameters,
        "mixed_bytes": MIXED_BYTES,
        "mixed": MIXED_BYTES * parameters / GB,
        "base": 2 * parameters / GB,
        **off_by(),
        "weights": 4 * parameters / GB,
        "lora": peak_of(SEVENTY, "lora", seq=512) / GB,
        "four_bits": (step.parts["weights"] + step.parts["quant_state"]) / GB,
        "unquantized": 2 * (parameters - numbers_of(SEVENTY, "linear")) / GB,
        "qlora": step.peak / GB,
        "qlora_less": less.peak / GB,
        "two_small": 2 * room["small_card"],
    }


def off_by() -> Numbers:
    """By how many per cent real steps of an 8B took more than the formula says, and reserved more.

    At the least and at the most of the steps that were measured.
    """
    steps = [one for one in memory.measured("NVIDIA H200") if one["source"] == EIGHT]
    found: Numbers = {"checked": len(steps)}
    for name, counted_bytes in (("off", "allocated"), ("held", "reserved")):
        over = [100 * (one[counted_bytes] / one["formula"] - 1) for one in steps]
        found |= {f"{name}_low": min(over), f"{name}_high": max(over)}
    return found


def of_masks() -> Numbers:
    """Answers with their end mark unlearned, tickets in foreign templates, prompts learned, too."""
    score = functools.partial(mean_of, "data")
    rows, tokenizer = data.load("tickets")["train"], models.load("pocket")[1]
    found: Numbers = {
        "no_loss": train.NO_LOSS,
        "share": 100 * audit.lengths(rows, tokenizer).learned_share,
        "asked": 60,
        **with_ends("more", *interval_of("D10", "loss on answers alone gains")),
    }
    for task in ("trays", "tickets"):
        for change in ("end masked", "end learned"):
            runs = functools.partial(score, task=task, change=change)
            name = f"{task}_{change.removeprefix('end ')}"
            found |= {name: 100 * runs("test"), f"{name}_go_on": 100 * runs("goes on")}
    for learned in ("right", "bare"):
        runs = functools.partial(score, task="tickets", change=f"template {learned}")
        found |= {f"{learned}_own": 100 * runs("right"), f"{learned}_alpaca": 100 * runs("alpaca")}
    return found


def of_rates() -> Numbers:
    """A LoRA on the tickets by rate and by steps: what it gets right, and what it keeps."""
    plain = {"method": "lora", "r": 16, "replay": 0.0, **PLAIN}
    runs = functools.partial(runs_of, "playground", **plain)
    two, long = runs(epochs=2), runs(lr=5e-4, epochs=12)
    found: Numbers = {"rank": 16, "rate": 5e-4, "rows": long[0].rows}
    for name, made in (("few", grids.select(two, lr=5e-4)), ("many", long)):
        steps = made[0].epochs * made[0].rows // made[0].batch_size
        found |= {name: 100 * statistics.fmean(row.task for row in made), f"{name}_steps": steps}
        found[f"{name}_epochs"] = made[0].epochs

    # two epochs by rate; "valley" is where the validation loss is lowest
    held = grids.curve(two, lambda row: row.validation[-1][1], "lr")
    valley = min(held, key=lambda point: point.value).x
    for name, rate in (("warm", 2e-3), ("valley", valley), ("burnt", 3.2e-2)):
        made = grids.select(two, lr=rate)
        found |= {f"{name}_rate": rate, name: 100 * statistics.fmean(row.task for row in made)}
        found[f"{name}_kept"] = 100 * statistics.fmean(map(grids.skill, made))
    found["lost"] = 100 - found["valley_kept"]

    # as much rate times epochs, at four times the rate
    short = runs(lr=found["warm_rate"], epochs=3)
    return (
        found
        | {"short_epochs": short[0].epochs}
        | with_ends("kept", *grids.difference(long, short, grids.skill))
        | with_ends("same", *grids.difference(long, short))
        | with_ends("ratio", *interval_of("T2", "LoRA's rate at 90 % right"), 1)
        | of_epochs()
    )


def of_epochs() -> Numbers:
    """Tickets after three epochs less those after ten; and where wrong labels over-fit."""
    found: Numbers = {"small": epochs.ROWS, "early": 3, "all_epochs": epochs.EPOCHS}
    for name, rate in (("cool", 1e-3), ("quick", 4e-3)):
        value, low, high = interval_of("T3", f"rate {rate:g}: score after 3 epochs")
        found |= {f"{name}_rate": rate} | with_ends(f"{name}_less", -value, -high, -low)
    left = ledger("T4", "a quarter wrong, 4e-3: epochs of ten after the lowest loss")
    return found | {"wrong": 25, "left": left["value"]}


def of_pairs() -> Numbers:
    """DPO from the base, behind SFT and with SFT's loss: known facts that are right afterwards."""
    runs = functools.partial(runs_of, "preferences", study="honesty")
    from_base = runs(start="base", teacher="dpo", source="own", extra=0.0)
    behind = functools.partial(runs, start="sft", teacher="dpo", extra=0.0)
    short, long = (runs(start="base", teacher="sft", lr=5e-3, steps=n) for n in (25, 75))
    ways = {
        "base": from_base,
        "own": behind(source="own", lr=2e-3, beta=0.1),
        "written": behind(source="written"),
        "short": short,
        "long": long,
        "mixed": runs(start="base", teacher="dpo", lr=5e-3, extra=1.0),
        "meek": behind(source="own", lr=1e-2, beta=0.02),
        "firm": behind(source="own", lr=1e-2, beta=2.0),
    }
    found: Numbers = {name: mean_score(rows, "right") for name, rows in ways.items()}
    found |= less_than("own_less", ways["own"], short)
    found |= less_than("mixed_less", ways["mixed"], long)
    harm = less_than("written_less", ways["written"], short)
    return (
        found
        | {name: harm[name] for name in ("written_less", "written_less_low")}
        | {"short_steps": short[0].steps, "long_steps": long[0].steps}
        | {"pairs": mean_score(from_base, "pairs right"), "rate": ways["firm"][0].lr}
        | {f"{name}_beta": ways[name][0].beta for name in ("meek", "firm")}
        | {"slowest": min(row.lr for row in from_base), "fastest": max(row.lr for row in from_base)}
        | with_ends("times", *interval_of("P2", "descriptions: a reward model of 320 pairs"), 1)
        | of_length()
    )


def mean_score(rows: "Sequence[prefer.PreferenceRow]", name: str) -> float:
    """The mean over runs of a share that was asked in the end, in per cent."""
    return 100 * statistics.fmean(row.scores[name] for row in rows)


def less_than(name: str, rows: Sequence[Any], others: Sequence[Any]) -> Numbers:
    """By how many points fewer known facts are right than by other runs of the same seeds."""
    right = grids.difference(others, rows, lambda row: row.scores["right"])
    return with_ends(name, *right)


def of_length() -> Numbers:
    """Descriptions before and after DPO on pairs by worth: their words, and wrong sentences."""
    dpo = {"teacher": "dpo", "source": "own", "extra": 0.0}
    rows = runs_of("preferences", study="length", **dpo)
    found: Numbers = {"longer": mean_score(rows, "chosen longer")}
    for name in ("words", "wrong"):
        found[f"{name}_before"] = statistics.fmean(row.before[name] for row in rows)
        found[f"{name}_after"] = statistics.fmean(row.scores[name] for row in rows)
    return found


FIGURES: dict[str, Callable[[], Numbers]] = {
    "rag": of_rag,
    "lora": of_lora,
    "lora-maths": of_mathematics,
    "memory": of_memory,
    "forgetting": of_forgetting,
    "medical": of_medical,
    "did-it-help": of_evaluation,
    "api": of_api,
    "full": of_full,
    "qlora-merge": of_merging,
    "alpha": of_alpha,
    "not-enough": of_not_enough,
    "reward-hacking": of_rewards,
    "leakage": of_leakage,
    "seventy": of_seventy,
    "mask": of_masks,
    "rate": of_rates,
    "dpo": of_pairs,
}


# What figures and demonstrations both ask.


def shared_people() -> dict[str, float]:
    """{split: the share of test rows with a person who is in the training rows, too}."""
    facts = data.load("facts")
    people = data.as_rows(facts["train"]) + data.as_rows(facts["test"])
    leaks = audit.compare_splits(people).leaks
    ways = {"by row": "random", "by person": "entity"}
    return {name: len(leaks[way].by_entity) / leaks[way].rows for name, way in ways.items()}


def api_price() -> cost.Price:
    """What an API takes for a million training tokens, by the list that ships."""
    return cost.read_prices().of("training tokens", "AWS Bedrock Custom Models")


def drawn_update(W: "torch.Tensor", size: float) -> "torch.Tensor":
    """A random update of rank 8 whose norm is this share of W's."""
    import torch

    draw = torch.Generator().manual_seed(0)
    B, A = torch.randn(len(W), 8, generator=draw), torch.randn(8, W.shape[1], generator=draw)
    return B @ A * (size * W.norm() / (B @ A).norm())


def found_leaks(change: str, model: str | None = None, test: str = "reported") -> dict[str, float]:
    """{check: the share of the test rows in which it finds something}, half of the facts leaked.

    test: "reported", the test that has leaked, or "true", one of other rows that has not.
    """
    base, tokenizer = models.load(model)
    run = studies.DataRun("facts", 80, 200, change=change, amount=0.5)
    sets = studies.change_rows(run, base, tokenizer)
    asked = sets.asked[test]
    told = audit.leaks(asked, sets.train)
    both = audit.leaks(asked, sets.train, key=name_and_answer)
    found = {
        "same row": told.exact,
        "same question": told.asked,
        "near copy": told.near,
        "same person": told.by_entity,
        "person and answer": both.by_entity,
    }
    return {check: len(places) / told.rows for check, places in found.items()}


def name_and_answer(row: Any) -> str:
    """What a row is about: its names, and what is answered."""
    return f"{', '.join(audit.entities(audit.question(row)))}: {audit.answer(row)}"


# The demonstrations.


def tuned(lr: float, steps: int = 24, *, r: int = 8, alpha: float = 16, base: Any = None) -> "Run":
    """A LoRA on the session's model, or on a base that is given, on so many steps of 8 tickets."""
    base = models.load()[0] if base is None else base
    rows = data.first(tickets()["train"], models.affordable(base, 8 * steps, 16))
    recipe = train.Recipe(lr, epochs=1, batch_size=8, evaluations=0, keep_best=False)
    adapted = lora.attach(base, r=r, alpha=alpha, seed=0)
    return train.sft(adapted, models.load()[1], {"train": rows}, recipe, watch=unwatched)


def unwatched(*_: object) -> None:
    """Watch a training without a bar, which a widget could not show."""


def tickets(n: int = 0) -> Any:
    """The splits of the tickets, or the first n test rows: fewer where the model is slow."""
    base, tokenizer = models.load()
    splits = data.load("tickets", tokenizer)
    return data.first(splits["test"], models.affordable(base, n, 4)) if n else splits


def right_share(model: Any, rows: "Dataset") -> float:
    """The share of tickets answered exactly right."""
    return evaluate.score(model, models.load()[1], rows).task.value


def show_retrieval() -> Any:
    """New facts by retrieval, before and after half of them change, with both indexes."""
    model, tokenizer = models.load()
    facts = decide.new_facts()[: models.affordable(model, 48, 6)]
    changed = decide.update_facts(facts, len(facts) // 2)
    old, new = (decide.Index(decide.sentences(some)) for some in (facts, changed))

    def right(asked: Sequence, index: decide.Index | None) -> float:
        rows = decide.questions(asked)
        chats = decide.zero_shot(rows)
        given = chats if index is None else decide.retrieve(chats, index, 4)
        golds = [chat[-1]["content"] for chat in rows["messages"]]
        replies = models.answer(model, tokenizer, given, 16)
        return statistics.fmean(map(str.__eq__, replies, golds))

    shares = {
        "no passages": right(facts, None),
        "with passages": right(facts, old),
        "changed, index updated": right(changed, new),
        "changed, old index": right(changed, old),
    }
    fresh, stale = (100 * shares[name] for name in ("with passages", "changed, old index"))
    title = f"With passages {fresh:.0f} % of {len(facts)} new facts are right; once half change,"
    colours = {name: svg.PLAIN for name in shares if name != "changed, old index"}
    return show.share_bars(f"{title} {stale:.0f} % by the old index", shares, colours=colours)


def show_paths() -> Any:
    """Both paths of a LoRA to scale, on matrices of this model, with the rank to choose."""
    base = models.load()[0]
    layers, shapes = models.linears(base), {}
    for part in ("k_proj", "q_proj", "up_proj"):
        d_out, d_in = layers[lora.find_layer(base, part)].weight.shape
        shapes[part] = (d_out, d_in)
    return lora.explore_paths(shapes)


def show_first_steps() -> Any:
    """How long the gradients of A and B are in the first steps: A's begins at zero, as B does."""
    import torch

    base, tokenizer = models.load()
    net = lora.attach(base, r=8, alpha=16, seed=0).train()
    chats = data.first(tickets()["train"], 8)["messages"]
    optimizer = torch.optim.AdamW(models.trained_parameters(net), lr=4e-3)
    lengths: dict[str, list[tuple[int, float]]] = {"A": [], "B": []}
    for step, chat in enumerate(chats, 1):
        row = data.render(chat, tokenizer)
        ids, learned = (torch.tensor([one], device=net.device) for one in (row.ids, row.learned))
        net(input_ids=ids, labels=torch.where(learned, ids, -100)).loss.backward()
        # one length over all layers
        for side, seen in lengths.items():
            named = [p for name, p in net.named_parameters() if f"lora_{side}." in name]
            squares = [float(p.grad.square().sum()) for p in named if p.grad is not None]
            seen.append((step, sum(squares) ** 0.5))
        optimizer.step()
        optimizer.zero_grad()

    figure = show.lines(lengths, "step", "length of the gradient", markers=True)
    at_first = lengths["A"][0][1]
    return figure.describe(f"B begins at zero, so at step 1 the gradient of A is {at_first:g}")


def show_steps() -> Any:
    """A step of the 8B by three methods; and how near the formula is to a real step here."""
    here = {"seq": 128, "batch": 8, "device": "cpu", "dtype": "float32", "method": "lora"}
    off = memory.predict("pocket", **here).peak / memory.measure("pocket", **here).peak - 1
    steps = {
        name: memory.predict(EIGHT, method=name.lower(), rank=16, seq=TOKENS)
        for name in ("full", "LoRA", "QLoRA")
    }
    near = f"on a real step of the pocket model the formula is {100 * abs(off):.2f} % off"
    return memory.steps_view(steps, f"Llama 3.1 8B, {TOKENS:,} tokens; {near}")


def show_forgetting() -> Any:
    """A hot run on the tickets, and what it leaves of every skill."""
    base, tokenizer = models.load()
    n = models.affordable(base, 12, 3)
    before = forgetting.skills(base, tokenizer, n)
    run = tuned(8e-3, r=16)
    after = forgetting.skills(run.model, tokenizer, n)
    first, last = ({name: r.value for name, r in s.rates.items()} for s in (before, after))
    order = sorted(first, key=lambda name: last[name] - first[name])
    figure = show.skills(first, {"after the hot run": last}, order)
    return figure.describe(
        f"Skills right on average: {100 * before.mean:.0f} % before, {100 * after.mean:.0f} % after"
    )


def show_splits() -> Any:
    """The same rows split by row and by person: who stands on both sides?"""
    return show.share_bars("Test rows whose person is in training, too", shared_people())


def show_comparison() -> Any:
    """Base beside tuned: the task, the format, what is made up, and the skills."""
    rows = tickets(40)
    run, base = tuned(4e-3), models.load()[0]
    tokenizer = models.load()[1]
    few = models.affordable(base, 30, 6)
    found = evaluate.compare(base, run.model, tokenizer, rows, strangers=few)
    skills = {
        name: forgetting.skills(model, tokenizer, models.affordable(base, 5, 2))
        for name, model in (("base", base), ("tuned", run.model))
    }
    rates = {
        "exactly right": {"base": found.base.task, "tuned": found.tuned.task},
        "in format": {"base": found.base.format, "tuned": found.tuned.format},
        "made up": found.hallucination,
        "skills": {name: skilled(one) for name, one in skills.items()},
    }
    groups = {
        measure: {name: (rate.value, *rate.interval) for name, rate in pair.items()}
        for measure, pair in rates.items()
    }
    low, high = found.gain[1:]
    return show.bars(groups).describe(
        f"On {len(rows)} tickets: {100 * low:+.0f} to {100 * high:+.0f} points exactly right"
    )


def skilled(found: forgetting.Skills) -> Rate:
    """All probes of all skills as one rate."""
    rates = found.rates.values()
    return Rate(sum(rate.hits for rate in rates), sum(rate.n for rate in rates))


def show_api() -> Any:
    """Money over rows: an API, and a rented card with little and with much set-up."""
    seen = figures("api")
    by_api, rented = seen["api"] / 1000, seen["rented"] / 1000
    ways = {
        "by an API": (0, by_api),
        **{f"rented, ${seen[key]:.0f}": (seen[key], rented) for key in ("setup", "more_setup")},
    }
    return cost.break_even_view(ways, 15_000, "rows", "Tuning 8B, in dollars")


def show_rates() -> Any:
    """Facts stored against skills kept, LoRA and full fine-tuning at four rates each."""
    found = methods.outcomes(grids.read("methods"), "facts")
    names = {"lora": "LoRA", "full": "full fine-tuning"}
    series = {
        title: [
            (100 * one.exact.value, *(100 * share for share in one.skills))
            for one in found
            if one.label == label
        ]
        for label, title in names.items()
    }
    figure = show.lines(series, "facts stored, %", "skills kept, % (band: 3 seeds)", markers=True)
    rank = figures("full")["facts_rank"]
    return figure.describe(
        f"80 facts: full fine-tuning keeps more of the rest than LoRA of rank {rank}"
    )


def show_merging() -> Any:
    """A QLoRA merged in three ways, each asked the same tickets."""
    run = tuned(4e-3, base=models.load(quant="nf4")[0])
    rows = tickets(20)
    in_place: Any = merge.independent_copy(run.model)
    with warnings.catch_warnings(action="ignore"):  # peft's, of what is to be seen here
        in_place = in_place.merge_and_unload()
    ways = {
        "in place": in_place,
        "into the dequantized base": merge.merge(run.model)[0],
        "into the original base": merge.merge(run.model, into=models.load()[0])[0],
    }
    right = {name: right_share(model, rows) for name, model in ways.items()}
    return merge.routes_view(right, right_share(run.model, rows))


def show_alpha() -> Any:
    """Four runs: beside the first one with its √α · rate, one with its α · rate, one with more."""
    runs = {name: tuned(lr, 12, alpha=alpha).losses for name, (alpha, lr) in RIVALS.items()}
    return draw_rivals(runs)


def draw_rivals(losses: dict[str, list[tuple[int, float]]]) -> Any:
    """The loss of each of the `RIVALS` by step, with its last one at the end of its line."""
    ends = {name: points[-1][1] for name, points in losses.items()}
    named = {f"{name}: {ends[name]:.2f}": points for name, points in losses.items()}
    first, root, whole, _ = ends.values()
    both = all(first / 2 < end < 2 * first for end in (root, whole))
    title = "Twelve steps cannot tell √α · rate from α · rate"
    figure = show.lines(named, "step", "loss, nats per answer token")
    return figure.describe(
        title if both else "Twelve steps part √α · rate from α · rate, or both from the first run",
        f"The loss by step ends at: {'; '.join(named)}",
    )


def show_cold() -> Any:
    """The same LoRA at the guides' rate and at its own: is it the rank?"""
    runs = {rate: tuned(rate) for rate in (2e-4, 4e-3)}
    rows = tickets(20)
    right = {rate: right_share(run.model, rows) for rate, run in runs.items()}
    losses = {f"rate {rate:g}": run.losses for rate, run in runs.items()}
    figure = show.lines(losses, "step", "loss, nats per answer token")
    shares = " and ".join(f"{100 * share:.0f} %" for share in right.values())
    return figure.describe(f"The same rank at two rates: {shares} of the tickets right")


def show_hacking() -> Any:
    """Paid for digits that rise: the reward, and what it was meant to stand for."""
    base, tokenizer = models.load()
    torch_seed()
    pace = prefer.Pace(2e-3, models.affordable(base, 12, 2), falls=False)
    rollouts = prefer.Rollouts(8, 8, 24)
    steps = prefer.reinforce(
        lora.attach(base, seed=0), tokenizer, prefer.sorting(200), rises, pace, rollouts
    )
    series: dict[str, list[tuple[int, float]]] = {"reward, % of the right reply's": [], "right": []}
    for step in steps:
        really = statistics.fmean(prefer.exact(step.rows, step.texts))
        for seen, value in zip(series.values(), (step.reward / 8, really), strict=True):
            seen.append((step.step, 100 * value))
    figure = show.lines(series, "step", "%", markers=True)
    last = series["right"][-1][1]
    return figure.describe(f"The reward rises; in the end {last:.0f} % of the replies are right")


def rises(_: Sequence, replies: Sequence[str]) -> list[float]:
    """A flawed reward for sorting: how often a digit is above the one before it."""
    digits = [[int(token) for token in reply.split() if token.isdigit()] for reply in replies]
    return [sum(a < b for a, b in itertools.pairwise(said)) for said in digits]


def torch_seed() -> None:
    """The draws of replies begin at the same place."""
    import torch

    torch.manual_seed(0)


def show_leaks() -> Any:
    """Half of the test facts stand in training in other words: what does each check find?"""
    found, clean = (found_leaks(LEAK, test=test) for test in ("reported", "true"))
    shares, colours = {}, {"person and answer": svg.PLAIN}
    for check, share in found.items():
        shares[check] = share
        if check in ("same person", "person and answer"):
            beside = f"{check}, nothing leaked"
            shares[beside], colours[beside] = clean[check], svg.GREY
    title = "Half of the test leaked in other words: near copies are found in"
    title = f"{title} {100 * found['near copy']:.0f} % of the rows"
    return show.share_bars(title, shares, colours=colours)


def show_masks() -> Any:
    """Tickets asked in a foreign template; trays learned with the end mark and without it."""
    run, asked = tuned(4e-3), tickets(20)
    foreign = studies.templates.written_in(models.load()[1], "alpaca")
    shares = {
        "tickets right, own template": right_share(run.model, asked),
        "tickets right, Alpaca's headings": evaluate.score(run.model, foreign, asked).task.value,
        "replies run on, end mark taught": run_on_share("answer"),
        "replies run on, end mark masked": run_on_share("no end"),
    }
    _, alpaca, _, gone_on = (f"{100 * share:.0f} %" for share in shares.values())
    title = f"In Alpaca's headings {alpaca} of the tickets are right; the end mark masked,"
    colours = {name: svg.PLAIN for name in [*shares][::2]}
    return show.share_bars(f"{title} {gone_on} run on", shares, colours=colours)


def run_on_share(which: str) -> float:
    """The share of replies to trays that are much longer than the answer: they do not end.

    which: the tokens that carry loss, as `studies.learned_tokens` takes it.
    """
    base, tokenizer = models.load()
    trays = data.load("trays")
    few, steps = models.affordable(base, (200, 80), (16, 2))
    chats = [data.render(chat, tokenizer) for chat in trays["train"]["messages"][:few]]
    rows = [(chat.ids, studies.learned_tokens(chat, which)) for chat in chats]
    net: Any = lora.attach(base, r=8, alpha=16, seed=0)
    studies.fit(net, tokenizer, rows, steps=steps, lr=4e-3)
    asked = trays["test"]["messages"][: models.affordable(base, 30, 4)]
    replies = models.answer(net, tokenizer, asked, 24)
    pairs = zip(replies, (chat[-1]["content"] for chat in asked), strict=True)
    return statistics.fmean(len(reply) > len(gold) + 4 for reply, gold in pairs)


def show_sweep() -> Any:
    """Short runs at three rates: the tickets that are right, and the skills that are kept."""
    tokenizer, asked, right, kept = models.load()[1], tickets(16), {}, {}
    for rate in (2e-3, 8e-3, 3.2e-2):
        net = tuned(rate).model
        right[rate] = 100 * right_share(net, asked)
        few = models.affordable(net, 2, 1)
        kept[rate] = 100 * forgetting.skills(net, tokenizer, few).mean
    series = {"tickets right": [*right.items()], "skills kept": [*kept.items()]}
    figure = show.lines(series, "learning rate", "%", xlog=True, markers=True)
    # the gentlest of the best, beside the hottest, which may get as many right
    best, hottest = max(right, key=lambda rate: right[rate]), max(right)
    return figure.describe(
        f"At {best:g}: {right[best]:.0f} % of tickets right, {kept[best]:.0f} % of skills kept; "
        f"at {hottest:g}: {right[hottest]:.0f} and {kept[hottest]:.0f} %"
    )


def show_pairs() -> Any:
    """DPO from the base on its own pairs: pairs ranked right, and what it then says."""
    base, tokenizer = models.load()
    test = prefer.honesty(models.affordable(base, 20, 2), "test", seed=100)
    pace = prefer.Pace(3e-3, models.affordable(base, 30, 4))
    tokens = prefer.tokenize_pairs(own_pairs(base, tokenizer), tokenizer, base)
    names = ("pairs ranked right", "known facts right", "strangers refused")
    series: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    net: Any = lora.attach(base, seed=0)
    for step in prefer.tune_on_pairs(net, tokenizer, tokens, prefer.losses.dpo, pace):
        if step.step in (1, 2, 4, 6, 8, 12, 20, 30):
            said = prefer.honesty_measures(net, tokenizer, test)
            found = (step.right, said.right.value, said.unsure.value)
            for points, share in zip(series.values(), found, strict=True):
                points.append((step.step, 100 * share))
    figure = show.lines(series, "step", "%", markers=True)
    ranked, right, refused = (points[-1][1] for points in series.values())
    return figure.describe(
        f"In the end {ranked:.0f} % of the pairs are ranked right, {right:.0f} % of the known "
        f"facts are right, and {refused:.0f} % of the strangers refused"
    )


def own_pairs(model: Any, tokenizer: Any) -> list[Any]:
    """The right answers beside the model's own wrong ones, to strangers and to known facts."""
    rows = prefer.honesty(models.affordable(model, 40, 4), seed=10)
    torch_seed()
    asked = [row["messages"][:-1] for row in rows]
    drawn = prefer.sample(model, tokenizer, asked, 2, max_new_tokens=20).texts
    said = [
        [*drawn[2 * place : 2 * place + 2], row["messages"][-1]["content"]]
        for place, row in enumerate(rows)
    ]

    def worth(row: Any, reply: str) -> float:
        return prefer.exact([row], [reply])[0]

    return prefer.pairs_by(rows, said, worth, gold=True) or prefer.honesty_pairs(rows)


def show_seventy() -> Any:
    """A QLoRA step of the 70B against the card that a guide names for it."""
    step = memory.predict(SEVENTY, method="qlora", rank=16, seq=512)
    card = "RTX 4090 24"
    room = memory.usable_bytes(card)
    title = f"A QLoRA step of {step.step.seq} tokens of the 70B is"
    title = f"{title} {(step.peak - room) / GB:.0f} GB too large for an {card.rpartition(' ')[0]}"
    return memory.memory_view(step, card, room, unit="GB", title=title)


DEMOS: dict[str, Callable[[], Any]] = {
    "rag": show_retrieval,
    "lora": show_paths,
    "lora-maths": show_first_steps,
    "memory": show_steps,
    "forgetting": show_forgetting,
    "medical": show_splits,
    "did-it-help": show_comparison,
    "api": show_api,
    "full": show_rates,
    "qlora-merge": show_merging,
    "alpha": show_alpha,
    "not-enough": show_cold,
    "reward-hacking": show_hacking,
    "leakage": show_leaks,
    "seventy": show_seventy,
    "mask": show_masks,
    "rate": show_sweep,
    "dpo": show_pairs,
}
