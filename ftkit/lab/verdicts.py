"""Does it carry over? Claims about the pocket model, put to the same runs of SmolLM2-135M.

    carry_over("10")   a notebook's claims, or all of them: a `CarryOver`, which shows as a table
    CLAIMS             each a sentence, what it reads off a model's runs, and where it is true
    Runs               a model's runs of one grid, and the rates that its own scores call best

Figures and verdicts are computed from the rows of the grids "playground" and "real", by seed; what
the columns mean stands in `points`. Read in notebooks 00, 03, 07 and 10.
"""

import itertools
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.results import Result, TableParts, html_text
from ..core.statistics import Interval
from . import grids

CARRIES, FAILS, OPEN = "carries over", "does not", "cannot be told"
NOTE = (
    "Means over seeds and their 95 % t-intervals, cut where no value can lie; n seeds; all alike: "
    "each gave the same. Cannot be told: an interval covers the bound, or there is no second seed. "
    "SmolLM2-135M here is its four-bit conversion (Q4_1), unpacked; its task is movie reviews, its "
    "other text plain English."
)
ALIKE = 0.03  # task scores no further apart count as equal: three of a hundred rows
Unit = Literal["points", "times", "share", "ρ", "difference of ρ"]
# Between what a value of a unit lies, whatever the width of its interval.
BOUNDS = {"points": (-1.0, 1.0), "share": (0.0, math.inf), "ρ": (-1.0, 1.0)}


class Outcome(NamedTuple):
    """One run, as both grids have it."""

    method: str
    lr: float
    seed: int
    curve: Sequence[Sequence[float]]  # (step, training loss), nats per answer token
    task: float  # share of the task's test rows right, 0 to 1
    validation: float  # loss on the task's validation rows, nats per answer token
    moved: float  # KL(base ‖ tuned) on text that is not the task's, nats per token
    kept: float  # the mean over skills, 0 to 1


@dataclass(frozen=True)
class Runs:
    """A model's runs with nothing changed but method, rate and seed, and its untrained skills."""

    outcomes: Sequence[Outcome]
    base_kept: float

    def at(self, method: str, lr: float) -> dict[int, Outcome]:
        """{seed: its run} of a method at a rate."""
        found = (run for run in self.outcomes if (run.method, run.lr) == (method, lr))
        return {run.seed: run for run in found}

    def of_seed(self, seed: int, *methods: str) -> list[Outcome]:
        """A seed's runs by rising rate, of these methods or of all."""
        found = [run for run in self.outcomes if run.seed == seed]
        return sorted((run for run in found if run.method in (methods or METHODS)), key=rate)

    def rates(self, method: str) -> list[float]:
        """Every rate at which a method was run, rising."""
        return sorted({run.lr for run in self.outcomes if run.method == method})

    def seeds(self, *methods: str) -> list[int]:
        """The seeds that have every run of these methods, or of all."""
        every = {run[:2] for run in self.outcomes if run.method in (methods or METHODS)}
        return [
            seed
            for seed in sorted({run.seed for run in self.outcomes})
            if {run[:2] for run in self.of_seed(seed, *methods)} == every
        ]

    def best(self, method: str) -> float:
        """The rate with the highest mean task score over its whole seeds; the lower of two."""
        seeds = self.seeds(method)

        def score(lr: float) -> float:
            return statistics.fmean(self.at(method, lr)[seed].task for seed in seeds)

        return max(self.rates(method), key=score)

    def near(self, lr: float) -> float:
        """LoRA's rate that is nearest to `lr` by ratio."""
        return min(self.rates("lora"), key=lambda one: abs(math.log(one / lr)))


METHODS = ("lora", "full", "qlora")
Measure = Callable[[Runs], dict[int, float]]  # {seed: value}; ratios as their logarithm


def rate(run: Outcome) -> float:
    """What runs are sorted by."""
    return run.lr


# What claims read off a model's runs.


def compared(
    one: Mapping[int, Outcome],
    two: Mapping[int, Outcome],
    value: Callable[[Outcome, Outcome], float],
) -> dict[int, float]:
    """{seed: value(one, two)} over the seeds that both have."""
    return {seed: value(one[seed], two[seed]) for seed in sorted(one.keys() & two.keys())}


def points(column: str) -> Callable[[Outcome, Outcome], float]:
    """one − two of a share."""
    return lambda one, two: getattr(one, column) - getattr(two, column)


def times(column: str) -> Callable[[Outcome, Outcome], float]:
    """log(one / two)."""
    return lambda one, two: math.log(getattr(one, column) / getattr(two, column))


def best_runs(runs: Runs, method: str = "lora") -> dict[int, Outcome]:
    """{seed: its run} of a method at its best rate."""
    return runs.at(method, runs.best(method))


def highest_runs(runs: Runs) -> dict[int, Outcome]:
    """{seed: its run} of LoRA at the highest rate there is."""
    return runs.at("lora", runs.rates("lora")[-1])


def equal(one: Outcome, two: Outcome) -> bool:
    """Whether two task scores are no further apart than ALIKE."""
    return abs(one.task - two.task) <= ALIKE + 1e-9


def loss_left(runs: Runs) -> dict[int, float]:
    """The mean training loss of the last quarter of the steps, over that of the first step."""
    left = {}
    for seed, run in sorted(best_runs(runs).items()):
        losses = [loss for _, loss in run.curve]
        left[seed] = statistics.fmean(losses[-len(losses) // 4 :]) / losses[0]
    return left


def rate_ratio(runs: Runs) -> dict[int, float]:
    """LoRA's gentlest rate within ALIKE of its best score over full fine-tuning's, seed by seed."""
    return {
        seed: math.log(gentlest(runs, seed, "lora").lr / gentlest(runs, seed, "full").lr)
        for seed in runs.seeds("lora", "full")
    }


def gentlest(runs: Runs, seed: int, method: str) -> Outcome:
    """A seed's run of the lowest rate whose task score is within ALIKE of the highest."""
    found = runs.of_seed(seed, method)
    highest = max(found, key=lambda run: run.task)
    return next(run for run in found if equal(run, highest))


def lowest_loss_kept(runs: Runs) -> dict[int, float]:
    """Skills kept at the gentlest rate that learned the task, less those at the lowest loss."""
    less = {}
    for seed in runs.seeds("lora"):
        lowest = min(runs.of_seed(seed, "lora"), key=lambda run: run.validation)
        less[seed] = gentlest(runs, seed, "lora").kept - lowest.kept
    return less


def moved_with_rate(runs: Runs) -> dict[int, float]:
    """The rank correlation of rate and KL on other text, mean of LoRA and full fine-tuning."""
    found = {}
    for seed in runs.seeds("lora", "full"):
        by_method = [runs.of_seed(seed, method) for method in ("lora", "full")]
        found[seed] = statistics.fmean(correlate(of, "lr", "moved") for of in by_method)
    return found


def moved_foretells(runs: Runs) -> dict[int, float]:
    """The rank correlation over a seed's runs of KL on other text and skills lost."""
    return {seed: -correlate(runs.of_seed(seed), "moved", "kept") for seed in runs.seeds()}


def better_witness(runs: Runs) -> dict[int, float]:
    """That correlation less the one of the task score and skills lost."""
    return {
        seed: correlation + correlate(runs.of_seed(seed), "task", "kept")
        for seed, correlation in moved_foretells(runs).items()
    }


def apart_at_equal_score(runs: Runs) -> dict[int, float]:
    """Of two runs with equal task scores: the larger KL on other text over the smaller, mean."""
    found = {}
    for seed in runs.seeds():
        pairs = itertools.combinations(runs.of_seed(seed), 2)
        logs = [abs(times("moved")(a, b)) for a, b in pairs if equal(a, b)]
        if logs:
            found[seed] = statistics.fmean(logs)
    return found


def full_against_lora(runs: Runs) -> dict[int, float]:
    """KL on other text of each full run over that of the LoRA run nearest in task score, mean.

    Runs that did not learn say nothing: the full ones within a tenth of a seed's highest score.
    """
    found = {}
    for seed in runs.seeds("lora", "full"):
        full, ours = runs.of_seed(seed, "full"), runs.of_seed(seed, "lora")
        able = [run for run in full if run.task > 0.9 * max(run.task for run in full)]
        nearest_to = [(one, min(ours, key=lambda run: abs(run.task - one.task))) for one in able]
        found[seed] = statistics.fmean(times("moved")(one, other) for one, other in nearest_to)
    return found


def correlate(runs: Sequence[Outcome], first: str, second: str) -> float:
    """Spearman's rank correlation of two columns; 0 where one of them never changes."""
    columns = [ranks([getattr(run, name) for run in runs]) for name in (first, second)]
    if any(len(set(column)) == 1 for column in columns):
        return 0.0
    return statistics.correlation(*columns)


def ranks(values: Sequence[float]) -> list[float]:
    """The place of each value from 0, equal values at the mean of their places."""
    return [
        sum(other < value for other in values) + (values.count(value) - 1) / 2 for value in values
    ]


# The claims, and what is found about them.


@dataclass(frozen=True)
class Claim:
    """A sentence, and the open interval of the measured value within which it is true."""

    name: str
    sentence: str
    notebooks: tuple[str, ...]
    measure: Measure
    low: float = -math.inf
    high: float = math.inf
    unit: Unit = "points"

    def holds(self, figure: "Figure") -> bool | None:
        """Whether the interval lies inside; False where it lies outside; None for neither."""
        interval = figure.interval
        if interval is None:
            return None
        if self.low < interval.low and interval.high < self.high:
            return True
        outside = interval.high < self.low or interval.low > self.high
        return False if outside else None


def of_qlora(value: Callable[[Outcome, Outcome], float]) -> Measure:
    """QLoRA against LoRA at the QLoRA runs' rate that is nearest to LoRA's best."""

    def measure(runs: Runs) -> dict[int, float]:
        if not (rates := runs.rates("qlora")):
            return {}
        lr = min(rates, key=lambda one: abs(math.log(one / runs.best("lora"))))
        return compared(runs.at("qlora", lr), runs.at("lora", lr), value)

    return measure


CLAIMS = (
    Claim(
        "learns",
        "A few dozen steps of LoRA bring the loss on the answers below a tenth of its start",
        ("00",),
        loss_left,
        high=0.1,
        unit="share",
    ),
    Claim(
        "costs",
        "A LoRA run at its best rate for the task has lost some of its other skills",
        ("00", "10"),
        lambda runs: {
            seed: runs.base_kept - run.kept for seed, run in sorted(best_runs(runs).items())
        },
        low=0,
    ),
    Claim(
        "hot costs task",
        "LoRA at its highest rate ends below its best rate on the task itself",
        ("00", "07b"),
        lambda runs: compared(best_runs(runs), highest_runs(runs), points("task")),
        low=0,
    ),
    Claim(
        "hot costs skills",
        "LoRA at its highest rate keeps fewer of the other skills than at its best rate",
        ("00", "10"),
        lambda runs: compared(best_runs(runs), highest_runs(runs), points("kept")),
        low=0,
    ),
    Claim(
        "qlora task",
        "QLoRA ends within five points of LoRA's task score, at the same rate",
        ("03",),
        of_qlora(points("task")),
        low=-0.05,
        high=0.05,
    ),
    Claim(
        "qlora text",
        "QLoRA moves other text (KL from the base) between half and twice as far as LoRA",
        ("03",),
        of_qlora(times("moved")),
        low=-math.log(2),
        high=math.log(2),
        unit="times",
    ),
    Claim(
        "qlora skills",
        "QLoRA keeps the other skills within five points of what LoRA keeps",
        ("03",),
        of_qlora(points("kept")),
        low=-0.05,
        high=0.05,
    ),
    Claim(
        "rate ratio",
        "The lowest rate that learns the task is at least five times higher for LoRA than for full",
        ("07b",),
        rate_ratio,
        low=math.log(5),
        unit="times",
    ),
    Claim(
        "a tenth",
        "LoRA at about a tenth of its best rate ends at least 20 points below on the task",
        ("07b",),
        lambda runs: compared(
            best_runs(runs), runs.at("lora", runs.near(runs.best("lora") / 10)), points("task")
        ),
        low=0.2,
    ),
    Claim(
        "full as good",
        "LoRA and full fine-tuning, each at its best rate, end within five points of the task",
        ("07b",),
        lambda runs: compared(best_runs(runs, "full"), best_runs(runs), points("task")),
        low=-0.05,
        high=0.05,
    ),
    Claim(
        "lowest loss",
        "The lowest validation loss keeps fewer skills than the lowest rate that learns the task",
        ("07b", "10"),
        lowest_loss_kept,
        low=0,
    ),
    Claim(
        "moved with rate",
        "The higher the rate, the further a run moves other text (rank correlation above 0.9)",
        ("07b", "10"),
        moved_with_rate,
        low=0.9,
        unit="ρ",
    ),
    Claim(
        "hot moves text",
        "LoRA at its highest rate moves other text more than twice as far as at its best rate",
        ("10",),
        lambda runs: compared(highest_runs(runs), best_runs(runs), times("moved")),
        low=math.log(2),
        unit="times",
    ),
    Claim(
        "KL foretells",
        "Runs that moved other text further lost more skills (rank correlation above 0)",
        ("10",),
        moved_foretells,
        low=0,
        unit="ρ",
    ),
    Claim(
        "KL better",
        "KL on other text orders the runs by skills lost better than the task score does",
        ("10",),
        better_witness,
        low=0,
        unit="difference of ρ",
    ),
    Claim(
        "score blind",
        "Of two runs with equal task scores one moved other text at least twice as far",
        ("10",),
        apart_at_equal_score,
        low=math.log(2),
        unit="times",
    ),
    Claim(
        "LoRA careful",
        "At the nearest task score full fine-tuning moved other text further than LoRA",
        ("10",),
        full_against_lora,
        low=0,
        unit="times",
    ),
)


@dataclass(frozen=True)
class Figure:
    """What a claim measures on one model, by seed."""

    by_seed: Mapping[int, float]

    @property
    def interval(self) -> Interval | None:
        """The mean and its 95 % t-interval over seeds; None below two of them.

        No width where all seeds agree, as they may on a rate out of a short list.
        """
        if len(self.by_seed) < 2:
            return None
        return grids.difference_by_seed(self.by_seed, dict.fromkeys(self.by_seed, 0.0))

    def in_words(self, unit: Unit) -> str:
        """Mean, interval and n; for an interval without a width that the seeds are alike."""
        values = list(self.by_seed.values())
        if not values:
            return "no runs"
        shown, alike = in_unit(statistics.fmean(values), unit), ""
        if (interval := self.interval) is not None:
            # what no value can be is no part of it
            lowest, highest = BOUNDS.get(unit, (-math.inf, math.inf))
            ends = max(interval.low, lowest), min(interval.high, highest)
            low, high = (in_unit(end, unit) for end in ends)
            alike = ", all alike" if low == high else ""
            shown += "" if alike else f" [{low}, {high}]"
        return f"{shown}, n = {len(values)}{alike}"


def in_unit(value: float, unit: Unit) -> str:
    """A measured value as a reader sees it."""
    if unit == "times":
        # two digits, and no power of ten
        return f"{float(f'{math.exp(value):.2g}'):,.10g}×"
    if unit == "share":
        return f"{100 * value:.1f} %"
    return f"{100 * value:+.1f}" if unit == "points" else f"{value:+.2f}"


@dataclass(frozen=True)
class Finding:
    """A claim and what it measures on each model."""

    claim: Claim
    pocket: Figure
    real: Figure

    @property
    def verdict(self) -> str:
        """Carries over where both models give the same answer, whichever it is."""
        answers = self.claim.holds(self.pocket), self.claim.holds(self.real)
        if None in answers:
            return OPEN
        return CARRIES if answers[0] == answers[1] else FAILS

    def row(self) -> tuple[str, ...]:
        """The sentence, each model's answer and figure, and the verdict."""
        cells = [self.claim.sentence]
        for figure in (self.pocket, self.real):
            answer = {True: "yes", False: "no", None: "?"}[self.claim.holds(figure)]
            cells.append(f"{answer}: {figure.in_words(self.claim.unit)}")
        return *cells, self.verdict


@dataclass(frozen=True, repr=False)
class CarryOver(Result):
    """What was found about each claim."""

    findings: Sequence[Finding]

    def __getitem__(self, name: str) -> Finding:
        """The finding about the claim of this name."""
        by_name = {finding.claim.name: finding for finding in self.findings}
        if name not in by_name:
            known = ", ".join(by_name)
            raise UserError(f"no claim here is named {name!r}; give one of {known}.")
        return by_name[name]

    def table(self) -> TableParts:
        """One line per claim; differences of shares are in points of a hundred."""
        words = [finding.verdict for finding in self.findings]
        several = {CARRIES: "carry over", FAILS: "do not"}
        counted = [(words.count(word), word) for word in (CARRIES, FAILS, OPEN)]
        said = (f"{n} {word if n == 1 else several.get(word, word)}" for n, word in counted)
        heads = ("claim", "pocket model", "SmolLM2-135M", "verdict")
        title = f"Does it carry over? {', '.join(said)}"
        return title, heads, [found.row() for found in self.findings]

    def __repr__(self) -> str:
        return f"{super().__repr__()}\n{NOTE}"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f"{super()._repr_html_()}<p>{html_text(NOTE)}</p>"


def carry_over(notebook: str | None = None) -> CarryOver:
    """Each claim of a notebook, such as "10", or of all, decided by both models' grids.

    A claim is true of a model where the 95 % t-interval over its seeds lies within the claim's
    bounds, and false where it lies outside. Raises UserError for a notebook without claims.
    """
    known = sorted({name for claim in CLAIMS for name in claim.notebooks})
    if notebook is not None and notebook not in known:
        raise UserError(
            f"notebook {notebook!r} has no claims to carry over; give one of {', '.join(known)}, "
            f"or leave it out for all.{nearest(str(notebook), known)}"
        )
    pocket, real = pocket_runs(), real_runs()
    chosen = [claim for claim in CLAIMS if notebook is None or notebook in claim.notebooks]
    measured = [
        (claim, Figure(claim.measure(pocket)), Figure(claim.measure(real))) for claim in chosen
    ]
    return CarryOver([Finding(*one) for one in measured])


def pocket_runs() -> Runs:
    """The playground's runs at rank 16 for two epochs, with no means against forgetting."""
    card = json.loads(data_path("pocket", "card.json").read_text(encoding="utf-8"))
    shares = [score["right"] / score["n"] for score in card["skills"].values()]
    usual = {"epochs": 2, "targets": "all-linear", "dora": False}
    unmixed = {"replay": 0, "kl": 0, "weight_decay": 0}
    outcomes = [
        Outcome(
            row.method,
            row.lr,
            row.seed,
            row.curve,
            row.task,
            row.validation[-1][1],
            row.kl_general,
            grids.skill(row),
        )
        for row in grids.select(grids.read("playground"), **usual, **unmixed)
        if row.r in (0, 16)
    ]
    return Runs(outcomes, statistics.fmean(shares))


def real_runs() -> Runs:
    """The runs of the grid "real"; its task score is that of its own kind of text, the movies.

    Raises UserError where no seed of it is whole.
    """
    rows = grids.read("real")
    outcomes = [
        Outcome(
            row.method,
            row.lr,
            row.seed,
            row.curve,
            row.task["movies"],
            row.validation,
            row.kl_text,
            grids.skill(row),
        )
        for row in rows
        if row.lr
    ]
    base = [grids.skill(row) for row in rows if not row.lr]
    runs = Runs(outcomes, base[0] if base else math.nan)
    if not runs.seeds() or not base:
        raise UserError(
            'the grid "real" holds no seed with every run yet; make it: python -m ftkit grid real.'
        )
    return runs
