"""Methods compared at a common bar, each at its own rate, out of a grid of finished runs.

    outcomes(rows, task)              every method at every rate: an `Outcome`, means over seeds
    choose_rates(rows, task, bar)     of each method the rate that keeps most among those that learn
    compare_methods(rows, task, bar)  the table: trainable, rate, exact, skills, seconds, merges
    differences(rows, task, bar)      skills kept against LoRA's, seed by seed, corrected (Holm)

rows: `lab.grids.read("methods")`, or rows of your own with the same attributes. Intervals are 95 %
t-intervals over seeds. `explorer` draws them; nothing is trained here. Notebook 08.
"""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts, percent, percent_in
from ..core.statistics import (
    Interval,
    Range,
    changes_over_seeds,
    mean_and_range,
    mean_over_seeds,
)  # fmt: skip
from .catalogue import METHODS

BAR = 0.9  # share exactly right from which a method has learned its task


class MethodRun(Protocol):
    """What is read of a row: one finished run of a method at a rate, with a seed."""

    @property
    def label(self) -> str:
        """The method, and how it starts: "prompt, text"."""
        ...

    @property
    def method(self) -> str:
        """Its name in `METHODS`."""
        ...

    @property
    def task(self) -> str:
        """What was learned."""
        ...

    @property
    def lr(self) -> float:
        """The highest learning rate."""
        ...

    @property
    def seed(self) -> int:
        """The seed, by which runs are paired."""
        ...

    @property
    def trainable(self) -> int:
        """Parameters that were trained."""
        ...

    @property
    def exact(self) -> float:
        """The task's share right, from 0 to 1."""
        ...

    @property
    def skills(self) -> Mapping[str, float]:
        """The share right of each skill, from 0 to 1."""
        ...

    @property
    def seconds(self) -> float:
        """Seconds of training."""
        ...

    @property
    def gap(self) -> float | None:
        """The largest logit gap of the merged model; None where there is none."""
        ...


def kept(row: MethodRun) -> float:
    """The mean over a run's skills, from 0 to 1."""
    return statistics.fmean(row.skills.values())


@dataclass(frozen=True)
class Outcome:
    """The runs of a method at one rate, over seeds: shares from 0 to 1 with their range."""

    label: str
    method: str
    lr: float
    seeds: int
    trainable: int
    exact: Range
    skills: Range
    by_skill: Mapping[str, float]  # the mean of each
    seconds: float  # the least of its runs: what a busy machine adds is no method's
    gap: float | None  # the largest of the merged models' logit gaps
    runs: tuple[MethodRun, ...]

    @property
    def title(self) -> str:
        """The method as people call it, and how it starts: "prompt tuning, text"."""
        return title_of(self.label)

    def interval(self, value: str) -> Interval | None:
        """The t-interval of "exact" or "skills"; None of a single seed."""
        of = kept if value == "skills" else lambda run: run.exact
        values = [of(run) for run in self.runs]
        return mean_over_seeds(values) if len(values) > 1 else None


def title_of(label: str) -> str:
    """A label of the grid as people call the method."""
    name, _, start = label.partition(", ")
    title = METHODS[name].title if name in METHODS else name
    return f"{title}, {start}" if start else title


def outcomes(rows: Iterable[MethodRun], task: str = "tickets") -> list[Outcome]:
    """Every method at every rate, by rising rate, methods in the order of the rows.

    Raises UserError for a task that no row has.
    """
    rows = list(rows)
    found: dict[str, dict[float, list[MethodRun]]] = {}
    for row in rows:
        if row.task == task:
            found.setdefault(row.label, {}).setdefault(row.lr, []).append(row)
    if not found:
        known = sorted({row.task for row in rows})
        raise UserError(
            f"there is no run of the task {task!r}; the rows have {', '.join(known) or 'none'}."
            f"{nearest(task, known)}"
        )
    return [gather(label, rates[lr]) for label, rates in found.items() for lr in sorted(rates)]


def gather(label: str, runs: Sequence[MethodRun]) -> Outcome:
    """Runs that differ in their seeds only, as one outcome."""
    gaps = [run.gap for run in runs if run.gap is not None]
    names = runs[0].skills
    return Outcome(
        label=label,
        method=runs[0].method,
        lr=runs[0].lr,
        seeds=len(runs),
        trainable=runs[0].trainable,
        exact=mean_and_range([run.exact for run in runs]),
        skills=mean_and_range([kept(run) for run in runs]),
        by_skill={name: statistics.fmean(run.skills[name] for run in runs) for name in names},
        seconds=min(run.seconds for run in runs),
        gap=max(gaps, default=None),
        runs=tuple(runs),
    )


def choose_rates(
    rows: Iterable[MethodRun], task: str = "tickets", bar: float = BAR
) -> dict[str, Outcome]:
    """{method: its outcome at its own rate}: of the rates that reach `bar`, what keeps most skills.

    A method that reaches it at no rate stands at the rate of its best score.
    """
    chosen: dict[str, Outcome] = {}
    for outcome in outcomes(rows, task):
        best = chosen.get(outcome.label)
        if best is None or rank(outcome, bar) > rank(best, bar):
            chosen[outcome.label] = outcome
    return chosen


def rank(outcome: Outcome, bar: float) -> tuple[bool, float]:
    """What is better at a bar: to have learned at all, then what is kept."""
    learned = outcome.exact.value >= bar
    return learned, outcome.skills.value if learned else outcome.exact.value


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Every method at its own rate on one task."""

    task: str
    bar: float
    chosen: Mapping[str, Outcome]

    def table(self) -> TableParts:
        """A line per method, those that reach the bar first, by the skills that they keep."""
        order = sorted(self.chosen.values(), key=lambda one: rank(one, self.bar), reverse=True)
        heads = (
            "method", "numbers trained", "rate", "exactly right [95 %]", "skills kept [95 %]",
        )  # fmt: skip
        rows = [
            (
                one.title,
                f"{one.trainable:,}",
                f"{one.lr:g}",
                shown(one, "exact"),
                shown(one, "skills"),
            )
            for one in order
        ]
        reached = sum(one.exact.value >= self.bar for one in order)
        if 0 < reached < len(order):
            rows.insert(reached, (f"— below {self.bar:.0%}: —", "", "", "", ""))
        title = (
            f"{self.task}: {reached} of {len(order)} methods reach {self.bar:.0%}, "
            "each at its own rate"
        )
        return title, heads, rows

    def json(self) -> dict:
        """{method: its numbers}."""
        return {
            label: {
                "trainable": one.trainable,
                "lr": one.lr,
                "exact": one.exact.value,
                "skills": one.skills.value,
                "seconds": one.seconds,
                "merges": METHODS[one.method].merges,
                "gap": one.gap,
            }
            for label, one in self.chosen.items()
        }


def shown(outcome: Outcome, value: str) -> str:
    """A mean with its interval, or of one seed the value alone."""
    interval = outcome.interval(value)
    if interval is None:
        return percent(getattr(outcome, value).value)
    return percent_in(interval.value, max(0.0, interval.low), min(1.0, interval.high))


def compare_methods(
    rows: Iterable[MethodRun], task: str = "tickets", bar: float = BAR
) -> Comparison:
    """Every method at its own rate (see `choose_rates`); seconds are the least at any rate."""
    rows = list(rows)
    found = outcomes(rows, task)
    least = {
        label: min(one.seconds for one in found if one.label == label)
        for label in {one.label for one in found}
    }
    chosen = choose_rates(rows, task, bar)
    fastest = {label: replace(one, seconds=least[label]) for label, one in chosen.items()}
    return Comparison(task, bar, fastest)


@dataclass(frozen=True)
class Difference:
    """What a method keeps of the skills more than another one, as a share, over paired seeds."""

    label: str
    change: Interval
    p: float  # corrected for the number of comparisons

    @property
    def title(self) -> str:
        """The method as people call it."""
        return title_of(self.label)


def differences(
    rows: Iterable[MethodRun], task: str = "tickets", bar: float = BAR, against: str = "lora"
) -> list[Difference]:
    """Skills kept minus those of `against`, of every method that reaches the bar, at its own rate.

    Paired by seed; p by Student's t, corrected by Holm's method. Raises UserError where `against`
    is not among the methods, or does not reach the bar.
    """
    chosen = {
        label: one for label, one in choose_rates(rows, task, bar).items() if one.exact.value >= bar
    }
    if against not in chosen:
        raise UserError(
            f"against is {against!r}, which reaches {bar:.0%} at no rate here; give one of "
            f"{', '.join(chosen) or 'none'}.{nearest(against, chosen)}"
        )
    theirs = {run.seed: kept(run) for run in chosen.pop(against).runs}
    changes = {}
    for label, one in chosen.items():
        paired = [kept(run) - theirs[run.seed] for run in one.runs if run.seed in theirs]
        if len(paired) > 1:
            changes[label] = paired
    return [Difference(label, *apart) for label, apart in changes_over_seeds(changes).items()]
