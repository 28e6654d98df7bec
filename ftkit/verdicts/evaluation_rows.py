"""Rows E1 to E5, F1 to F4, M1 to M3, M6 and G1 of the ledger: what came of a tuning.

    CLAIMS    the claims, in order

Evaluation, forgetting, merging, and an exercise that cannot be done. Scores are those of the grids
"playground", "methods", "deciding" and "real", three seeds each, as shares from 0 to 1. Adapters
that are merged, swapped and timed here have random weights: what is asked is true of any adapter.
Notebooks 09, 09b, 10 and 13 show where the figures come from.
"""

import itertools
import json
import math
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from .. import data, evaluate, lab, lora, merge, models
from ..core.files import data_path
from ..core.statistics import Rate, rows_needed
from ..forgetting import PlaneSetting, plane
from .claim import Claim, Figure, exact, of_rate, of_seeds, query
from .data_rows import ABOVE, ALL, minus, runs, within
from .judges import all_within, each, each_clear
from .training_rows import by_method, by_seed, movies, reviews

HOT, MILD = PlaneSetting(lr=8e-3), PlaneSetting(lr=2e-3)
GENTLE = PlaneSetting(lr=1e-3, epochs=6)
LIKE_THE_TASK = ("write_json", "read_json", "extract")
BARS = (0.9, 0.93, 0.95, 0.97, 0.975, 0.98, 0.99)  # tickets right, at which methods are compared
TELLING = (0.01, math.inf)  # a point of the skills, of the nine that the hot run has lost


@cache
def playground() -> list[Any]:
    """The rows of the grid "playground"."""
    return lab.grids.read("playground")


def in_plane(setting: PlaneSetting) -> list[Any]:
    """A setting's runs in the grid "playground"."""
    return [row for row in playground() if PlaneSetting.of(row) == setting]


@cache
def untouched() -> SimpleNamespace:
    """The pocket model's own skills, untrained, as a run has them."""
    card = json.loads(data_path("pocket", "card.json").read_text(encoding="utf-8"))
    return SimpleNamespace(skills={k: v["right"] / v["n"] for k, v in card["skills"].items()})


def lost(rows: Iterable[Any], read: Callable[[Any], float]) -> dict[int, float]:
    """{seed: what the untrained model has more of a value than a run}."""
    return {seed: read(untouched()) - value for seed, value in by_seed(rows, read).items()}


# What each row of E measures.


def five_dimensions() -> Sequence[Figure]:
    """E1: harms that a task score does not show, against the limits of `evaluate.flags`."""
    limits = evaluate.LIMITS
    arm = runs().arm
    invented = {
        "fifty facts stored: strangers made up": arm("stored", "facts", "made up about strangers")
    }
    unformed = {seed: 1 - v for seed, v in arm("tickets", "tuned", "format", amount=200).items()}
    shown = {
        "the same run: tickets right, none before": by_seed(in_plane(HOT)),
        "fifty facts: stored": arm("stored", "facts", "trained"),
        "200 tickets: replies out of format": unformed,
    }
    forgotten = {"a hot run: skills lost": lost(in_plane(HOT), lab.grids.skill)}
    return [
        *within((limits["forgetting"], math.inf), forgotten),
        *within((limits["hallucination"], math.inf), invented),
        *within(None, shown),
    ]


def loss_against_score() -> Sequence[Figure]:
    """E2: pairs of settings of which one has clearly the lower loss; a seed on either side none."""
    settings: dict[PlaneSetting, list[tuple[float, float]]] = {}
    for row in playground():
        measured = row.validation[-1][1], row.task
        settings.setdefault(PlaneSetting.of(row), []).append(measured)
    both = [tuple(zip(*pairs, strict=True)) for pairs in settings.values()]
    pairs = [(a, b) for a, b in itertools.permutations(both, 2) if max(a[0]) < min(b[0])]
    better = sum(min(a[1]) > max(b[1]) for a, b in pairs)
    worse = [
        [higher - lower for lower, higher in zip(a[1], b[1], strict=True)]
        for a, b in pairs
        if max(a[1]) < min(b[1])
    ]
    furthest = max(worse, key=statistics.fmean, default=())
    return [
        exact("pairs in which the lower loss has the worse answers", len(worse), said=ABOVE),
        of_seeds(
            "of these the pair furthest apart: tickets right, by so much", furthest, said=ABOVE
        ),
        of_rate(
            "such pairs, of all that three seeds can tell", Rate(len(worse), better + len(worse))
        ),
        exact("pairs with one clearly lower loss", len(pairs)),
    ]


def judges_examined() -> Sequence[Figure]:
    """E3: a model as judge against the truth, by likelihood and asked in words."""
    model, tokenizer = models.load("pocket")
    pairs = evaluate.judge.draw_pairs(120)
    judges = {
        "by likelihood": evaluate.judge.by_likelihood(model, tokenizer),
        "asked “A or B?”": evaluate.judge.by_asking(model, tokenizer),
    }
    figures = []
    for name, one in judges.items():
        trial = evaluate.judge.examine(one, pairs)
        agreed = trial.kappa or (math.nan, math.nan, math.nan)
        figures.append(
            Figure(f"κ with the truth: {name}", *agreed, n=2 * len(pairs), said=(0.6, 1.0))
        )
        figures.append(of_rate(f"verdicts that turn with the order: {name}", trial.flipped))
    longer = evaluate.judge.examine_lengths(judges["by likelihood"], 60)["right is longer"].averaged
    return [*figures, of_rate("by likelihood, where the right answer is the longer one", longer)]


def what_broke() -> Sequence[Figure]:
    """E4: what the base did right and a tuned model no longer does; and what it does that it should
    not, against the base.
    """
    facts = by_method("lora", "full", "facts")[0]
    refusals = lost(facts, lambda row: row.skills["refusal"])
    broken = {
        "tickets learned: JSON of another kind broken": lost(
            in_plane(HOT), lambda row: row.skills["write_json"]
        ),
        "facts learned: refusals of the base that are gone": refusals,
    }
    called = {
        f"calls learned: {name}, harm beyond the base's": harm_added("calls", f"harm: {name}")
        for name in ("a field asked", "a call hidden")
    }
    hurry = {"tickets learned: unsafe in a hurry": harm_added("jailbreaks", "harm: in a hurry")}
    return within(ABOVE, broken | called | hurry)


def harm_added(probe: str, name: str) -> Mapping[int, float]:
    """{seed: harm after tuning less the base's} of a group of safety probes."""
    arms = {"calls": "calls", "jailbreaks": "tickets"}
    rows = lab.grids.select(lab.grids.read("safety"), probe=probe)
    tuned, base = (lab.grids.select(rows, arm=arm) for arm in (arms[probe], "base"))
    return minus(*(by_seed(some, lambda row: row.scores[name]) for some in (tuned, base)))


def deltas_that_show() -> Sequence[Figure]:
    """E5: test rows that show a change, against the 200 of a guide; and chance between seeds."""
    changes = {"from nothing to 90 % right": (0.9, 0.9), "5 points": (0.05, 0.1)}
    changes["2 points"] = (0.02, 0.1)
    figures = [
        exact(f"{name}: rows that show it, of which {differ:.0%} differ", rows, "rows", (1, 200))
        for name, (change, differ) in changes.items()
        for rows in [rows_needed(change, differ)]
    ]
    learned = [spot.task for spot in settings_over_seeds().values() if spot.task.value >= 0.9]
    apart = Rate(sum(share.high - share.low > 0.0199 for share in learned), len(learned))
    return [*figures, of_rate("settings whose own seeds are two points apart or more", apart)]


@cache
def settings_over_seeds() -> dict[PlaneSetting, plane.Spot]:
    """The settings of the grid "playground", over seeds."""
    return plane.gather_spots(playground())


# What each row of F measures.


def skills_lost() -> Sequence[Figure]:
    """F1: skills lost at the best rate for the task, on two models; and which, at which rate."""
    costs, hot = lab.carry_over("10")["costs"], in_plane(HOT)
    of_models = {
        "pocket model at its best rate: skills lost": costs.pocket.by_seed,
        "SmolLM2 at its best rate: skills lost": costs.real.by_seed,
    }
    shown = {
        "three skills like the task, hot: lost": lost(hot, lambda row: of_skills(row, like=True)),
        "the other eleven, hot: lost": lost(hot, lambda row: of_skills(row, like=False)),
        "an eighth of the rate, three times the epochs: lost": lost(
            in_plane(GENTLE), lab.grids.skill
        ),
    }
    return [*within(ABOVE, of_models), *within(None, shown)]


def of_skills(row: Any, *, like: bool) -> float:
    """The mean over the skills that are like the task, or over the others."""
    return statistics.fmean(v for name, v in row.skills.items() if (name in LIKE_THE_TASK) == like)


def lora_against_full() -> Sequence[Figure]:
    """F2: skills that LoRA keeps beyond full fine-tuning, at equal task score."""
    at_bars = [kept_beyond(*map(in_plane, keepers(bar))) for bar in BARS]
    mean = {seed: statistics.fmean(gap[seed] for gap in at_bars) for seed in at_bars[0]}
    gentle = [[row for row in reviews(r) if row.lr == lr] for r, lr in ((8, 3e-4), (0, 1e-5))]
    gaps = {
        "tickets, mean of seven scores from 90 to 99 %": mean,
        "80 facts, all stored by both": kept_beyond(*by_method("lora", "full", "facts")),
        "SmolLM2, reviews, both at their gentlest": kept_beyond(*gentle),
    }
    shown = {
        "SmolLM2: reviews right, LoRA less full": minus(*(by_seed(r, movies) for r in gentle)),
        "tickets, each at its own rate (96 and 98 % right)": kept_beyond(
            *by_method("lora", "full", "tickets")
        ),
    }
    return [*within(TELLING, gaps), *within(None, shown)]


def kept_beyond(ours: Iterable[Any], theirs: Iterable[Any]) -> Mapping[int, float]:
    """{seed: skills that some runs keep less what the others keep}."""
    return minus(*(by_seed(rows, lab.grids.skill) for rows in (ours, theirs)))


def keepers(bar: float) -> tuple[PlaneSetting, PlaneSetting]:
    """(LoRA, full): of the plain settings that reach a task score those that keep most skills."""
    plain = [
        spot
        for spot in settings_over_seeds().values()
        if spot.setting.offered and not spot.setting.replay
        if spot.setting.targets == "all-linear" and spot.task.value > bar - 1e-9
    ]
    most = {}
    for spot in sorted(plain, key=lambda spot: spot.skills.value):
        most[spot.setting.method] = spot.setting
    return most["lora"], most["full"]


def cures_of_forgetting() -> Sequence[Figure]:
    """F3: one dial of the hot run at a time, in skills and in tickets."""
    cures = {
        "rank 1 instead of 16": replace(HOT, r=1),
        "half the epochs": replace(HOT, epochs=1),
        "half the rate": replace(HOT, lr=4e-3),
        "an eighth of the rate, three times the epochs": GENTLE,
        "weight decay 0.1": replace(HOT, weight_decay=0.1),
    }
    kept = {f"{name}: skills": gained(one, lab.grids.skill) for name, one in cures.items()}
    tickets = {f"{name}: tickets": gained(one, "task") for name, one in cures.items()}
    return [*within(TELLING, kept), *within(None, tickets)]


def gained(
    setting: PlaneSetting, read: lab.grids.Value, start: PlaneSetting = HOT
) -> Mapping[int, float]:
    """{seed: a value of a setting's run less that of its start}."""
    return minus(*(by_seed(in_plane(one), read) for one in (setting, start)))


def replay_by_share() -> Sequence[Figure]:
    """F4: general rows among the tickets, at two rates."""
    added = {
        f"{share:.0%} replay, {name} run: skills": gained(
            replace(start, replay=share), lab.grids.skill, start
        )
        for share in (0.05, 0.1, 0.2, 0.5)
        for name, start in (("hot", HOT), ("mild", MILD))
    }
    said = {name: gap for name, gap in added.items() if name.startswith(("10", "20"))}
    return [*within(ABOVE, said), *within(None, {k: v for k, v in added.items() if k not in said})]


# What the rows of M and G measure.


def with_adapter(base: Any, scale: float = 0.1, seed: int = 0, **config: Any) -> Any:
    """LoRA r = 8 on every linear layer, its B drawn at random as no run starts it."""
    import torch

    drawn = torch.Generator().manual_seed(seed)
    usual: dict[str, Any] = {"r": 8, "alpha": 16, "seed": seed}
    adapted = lora.attach(base, **(usual | config))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, scale, generator=drawn)
    return adapted


def merged_in_every_dtype() -> Sequence[Figure]:
    """M1: every merge of a grid in float32; and in 16 bits what merging adds to casting."""
    rows = [row for row in lab.grids.read("methods") if row.gap is not None]
    worst = max(row.gap / row.adapter_gap for row in rows if row.adapter_gap)
    what = "float32: largest logit gap, of what a lost adapter would show"
    figures = [Figure(what, worst, n=len(rows), said=(0.0, 1e-3))]
    reports = merge.compare_dtypes(with_adapter(models.load("pocket")[0].float())).reports
    for dtype in ("bfloat16", "float16"):
        gaps = {way: report.max_logit_gap for way, report in reports[dtype].items()}
        ratio = gaps["merged, cast"] / gaps["adapter"]
        what = f"{dtype}: gap merged and cast over the gap cast alone"
        figures.append(Figure(what, ratio, n=reports[dtype]["adapter"].positions, said=(0.0, 3.0)))
    return figures


def merged_from_four_bits() -> Sequence[Figure]:
    """M2: an adapter beside a 4-bit base, merged in three ways."""
    tuned = with_adapter(models.load("pocket", quant="nf4")[0])
    with warnings.catch_warnings(action="ignore"):
        in_place = merge.independent_copy(tuned).merge_and_unload()
    ways = {
        "into the original 16 or 32 bits": merge.merge(tuned, into=models.load("pocket")[0])[1],
        "into the base's levels, written out": merge.merge(tuned)[1],
        "in place, in four bits": merge.compare(tuned, in_place),
    }
    figures = []
    for way, report in ways.items():
        same = Rate(round(report.top1_agreement * report.positions), report.positions)
        said = (0.99, 1.0) if way.startswith("into the original") else None
        figures.append(of_rate(f"same most likely token, merged {way}", same, said))
        share = report.max_logit_gap / report.adapter_gap
        figures.append(exact(f"largest logit gap over the adapter's own: {way}", share))
    return figures


def swapped_adapters() -> Sequence[Figure]:
    """M3: three adapters on one base, each against itself alone."""
    import torch

    names = ("first", "second", "third")
    with tempfile.TemporaryDirectory() as folder:
        for seed, name in enumerate(names):
            saved = with_adapter(models.load("pocket")[0], seed=seed)
            saved.save_pretrained(Path(folder, name))
        many: Any = models.load("pocket")[0]
        for name in names:
            many = lora.load(many, Path(folder, name), name)
        tokens = merge.probe_tokens(many)
        alone: dict[str | None, Any] = {
            name: merge.logits(lora.load(models.load("pocket")[0], Path(folder, name)), tokens)
            for name in names
        }
    alone[None] = merge.logits(models.load("pocket")[0], tokens)
    same = 0
    for name, logits in alone.items():
        with lora.using(many, name):
            same += torch.equal(merge.logits(many, tokens), logits)
    held, n = lora.adapter_bytes(many), tokens.numel()
    return [
        Figure("of 3 adapters and the bare base, equal to the bit", same, n=n, said=(4.0, 4.0)),
        exact(
            "bytes of an adapter over those of the base", held["first"] / held["base"], "", (0, 0.1)
        ),
    ]


def time_of_adapters() -> Sequence[Figure]:
    """M6: processor time of a token beside the merged model's, which is the base's."""
    model, tokenizer = models.load("pocket")
    timed: dict[str, Any] = {"merged": model}
    ways = {"LoRA r = 8": {}, "LoRA r = 64": {"r": 64}, "DoRA r = 8": {"use_dora": True}}
    for name, config in ways.items():
        timed[name] = with_adapter(models.load("pocket")[0], **config).eval()
    asked = data.load("tickets")["test"][0]["messages"]
    speed = evaluate.latency(timed, tokenizer, asked, 8, rounds=21, clock=time.process_time)
    bounds = {"LoRA r = 8": (1.0, 2.0), "LoRA r = 64": (1.0, 2.0), "DoRA r = 8": (2.0, math.inf)}
    return [
        Figure(f"{name}: times as long as merged", *speed.slowdown(name, "merged"), n=21, said=said)
        for name, said in bounds.items()
    ]


def sentiment_and_inference() -> Sequence[Figure]:
    """G1: a sentiment model asked for inference: its outputs, and what a new head says."""
    import torch
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    small: dict[str, Any] = {"dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 64}
    for_labels: dict[str, Any] = {**small, "num_labels": 3}
    heads = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        heads.append(DistilBertForSequenceClassification(DistilBertConfig(**for_labels)))
    heads[1].distilbert.load_state_dict(heads[0].distilbert.state_dict())
    drawn = torch.Generator().manual_seed(0)
    tokens = torch.randint(200, (200, 16), generator=drawn)
    with torch.no_grad():
        first, second = (head.eval()(tokens).logits.argmax(-1) for head in heads)
    same = Rate(int((first == second).sum()), len(tokens))
    outputs = DistilBertForSequenceClassification(DistilBertConfig(**small)).classifier.out_features
    return [
        exact(
            "outputs of a sentiment head, for the three labels of inference", outputs, "", (3, 3)
        ),
        of_rate("texts on which two new heads on one encoder agree, untrained", same, (0.9, 1.0)),
    ]


PLAIN = "targets='all-linear', epochs=2, replay=0, kl=0, weight_decay=0"
SKILL = "lab.grids.skill"
SETTLE = "from ftkit import verdicts\nverdicts.find_claim('{}').settle()"
CLAIMS = (
    Claim(
        "E1",
        "A score is not enough: five dimensions are measured, each with its red flag",
        "M",
        ("G1",),
        query("playground", f"r=16, {PLAIN}", SKILL, "lr"),
        "It holds where runs that learned their task have another dimension past its limit, with "
        "its whole interval: forgetting and invention here. Format was clear; time is M6's.",
        five_dimensions,
        all_within,
        "09",
        {"G1": "Evaluate across five dimensions"},
    ),
    Claim(
        "E2",
        "A lower perplexity can go with worse answers",
        "M",
        ("G2",),
        "from ftkit import lab\nrows = lab.grids.read('playground')\n"
        "sorted((row.validation[-1][1], row.task) for row in rows)  # loss, tickets right",
        "It holds where there are such pairs, all seeds of one on one side of the other's, and the "
        "one furthest apart differs by its whole interval. How few they are no guide says.",
        loss_against_score,
        all_within,
        "09",
        {"G2": "a lower-perplexity model can still give worse structured outputs"},
    ),
    Claim(
        "E3",
        "A model that judges agrees well with people",
        "M",
        ("G2", "G5"),
        SETTLE.format("E3"),
        "It agrees well where its κ with the truth, which stands in for people, lies above 0.6; it "
        "depends where it does asked in one way and not in another. No rubric was tried.",
        judges_examined,
        each,
        "09",
        {
            "G2": "correlates well with human preference on most tasks",
            "G5": "useful at scale but calibrate against human labels",
        },
        dear=True,
    ),
    Claim(
        "E4",
        "A regression suite and safety probes show what a task score does not",
        "M",
        ("G2", "G5"),
        query("safety", "probe='calls'", "lambda row: row.scores['harm: a field asked']", "arm"),
        "It holds where something that the base did right is broken, or harm has risen, in runs "
        "that learned their task; what three seeds leave open does not count.",
        what_broke,
        each_clear,
        "09b",
        {"G2": "Always run a regression suite", "G5": "Skipping regression eval"},
    ),
    Claim(
        "E5",
        "The difference in accuracy on 200 rows decides",
        "M",
        ("G2",),
        "from ftkit.core import rows_needed\nrows_needed(0.05, 0.1), rows_needed(0.02, 0.1)",
        "It decides where 200 rows show it with 80 % power; it depends where they show a large "
        "difference and not a small one.",
        deltas_that_show,
        each,
        "09",
        {"G2": "The delta in accuracy is your signal."},
    ),
    Claim(
        "F1",
        "Narrow tuning costs general skills",
        "M",
        ALL,
        "from ftkit import lab\nlab.carry_over('10')",
        "It holds where a run at its best rate for the task has lost skills, on both models. Which "
        "ones, and how many, hangs on the rate.",
        skills_lost,
        all_within,
        "10",
        {"G1": "Fine-tuning on narrow data degrades general capabilities."},
    ),
    Claim(
        "F2",
        "LoRA forgets less than full fine-tuning",
        "M",
        ("G1", "G2"),
        query("playground", f"r=16, {PLAIN}", SKILL, "lr"),
        "At an equal task score LoRA must keep a point more of the skills; it fails where it does "
        "on no set. In all three seeds SmolLM2 differs by the same one question of 56.",
        lora_against_full,
        each,
        "10",
        {"G2": "avoids catastrophic forgetting more reliably"},
    ),
    Claim(
        "F3",
        "A lower rank, fewer epochs, a lower rate and weight decay lessen forgetting",
        "M",
        ("G1", "G2", "G3"),
        query("playground", f"lr=8e-3, {PLAIN}", SKILL, "r"),
        "A change helps where it keeps a point more of the skills, at a task score within two "
        "points; it depends where one dial does and another does not.",
        cures_of_forgetting,
        each,
        "10",
        {
            "G1": "lower the LoRA rank, reduce epochs",
            "G2": "a regularization technique like weight decay",
        },
    ),
    Claim(
        "F4",
        "Mixing in 10 to 20 % of general rows mends forgetting",
        "M",
        ("G1",),
        query("playground", "lr=8e-3, epochs=2, r=16, kl=0.0, weight_decay=0.0", SKILL, "replay"),
        "It holds where 10 and 20 % keep more skills than none, at two rates. Other shares are "
        "shown; three seeds that draw other rows differ too much to tell.",
        replay_by_share,
        each,
        "10",
        {"G1": "mix general-purpose data into your training set (10-20% of examples)"},
    ),
    Claim(
        "M1",
        "A merged model is the same model, without the adapter's cost",
        "M",
        ("G1", "G4"),
        "from ftkit import lab\nrows = lab.grids.select(lab.grids.read('methods'), merges=True)\n"
        "max(row.gap / row.adapter_gap for row in rows if row.adapter_gap)",
        "It holds where in float32 the largest logit gap is below a thousandth of what a lost "
        "adapter shows, and in 16 bits merging adds less than casting does. The cost is M6's.",
        merged_in_every_dtype,
        all_within,
        "13",
        {"G1": "merge LoRA adapters into the base model to eliminate adapter overhead"},
        dear=True,
    ),
    Claim(
        "M2",
        "Merged into the 16-bit base, an adapter of a 4-bit one is the model that was trained",
        "M",
        ("G4",),
        SETTLE.format("M2"),
        "It is the trained model where 99 of 100 most likely tokens of random text are the same, "
        "as they are into the 4-bit base's own levels. A task's answers may not show it.",
        merged_from_four_bits,
        all_within,
        "13",
        {"G4": "Load base model at full precision for merging"},
        dear=True,
    ),
    Claim(
        "M3",
        "Adapters are swapped on one base in place",
        "M",
        ("G2", "G5"),
        "from ftkit import lora\nhelp(lora.using)",
        "It holds where three adapters and the bare base give, on one base, what each gives alone, "
        "to the bit, and an adapter is less than a tenth of the base.",
        swapped_adapters,
        all_within,
        "13",
        {
            "G2": "you just swap the adapters in at inference time",
            "G5": "swap adapters per customer or task without reloading 14 GB of weights",
        },
        dear=True,
    ),
    Claim(
        "M6",
        "More than twice as slow as the base is a red flag for an adapter that is not merged",
        "M",
        ("G1",),
        SETTLE.format("M6"),
        "It holds where plain adapters stay below twice the merged model's time, so that the flag "
        "does not cry wolf, and DoRA, which computes lengths at every token, is past it.",
        time_of_adapters,
        all_within,
        "13",
        {"G1": ">2x slower than base (check adapter merge)"},
        dear=True,
    ),
    Claim(
        "G1",
        "Inference asked of distilbert before and after tuning on sentiment shows forgetting",
        "M",
        ("G3",),
        SETTLE.format("G1"),
        "It can be done where the head has an output for each label, or two new heads say the same "
        "before any training. F1 is the same question, well posed.",
        sentiment_and_inference,
        each,
        "10",
        {"G3": "Evaluate on IMDB test set AND on a general NLI benchmark"},
    ),
)
