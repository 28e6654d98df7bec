"""The learning-forgetting plane: what a tuning learned, against what is left of everything else.

    gather_spots(rows)          {setting: its `Spot`}, the mean and the range of its seeds
    frontier(spots)             the spots that no other one beats in task and skills
    nearest_setting(one, known) what comes closest to a setting that was not run
    paths(spots)                one method over rising learning rates, as often as there are such
    describe_run(run, spots)    a run made here in words, beside what the grid foretold

Numbers only: `explorer.plane_view` draws them, and `lab` makes the grid, its rows and the runs.
Notebook 10.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import NamedTuple, Protocol

from ..core.results import percent
from ..core.statistics import Range, mean_and_range

METHOD_NAMES = {"lora": "LoRA", "full": "full fine-tuning", "qlora": "QLoRA", "dora": "DoRA"}
Curve = Sequence[Sequence[float]]  # (step, training loss in nats per answer token) pairs


class GridRow(Protocol):
    """What is read of a grid's row besides the fields of `PlaneSetting`, which it has too."""

    @property
    def trainable(self) -> int:
        """Parameters that were trained."""
        ...

    @property
    def task(self) -> float:
        """The task's share right, from 0 to 1."""
        ...

    @property
    def skills(self) -> Mapping[str, float]:
        """The share right of each skill, from 0 to 1."""
        ...

    @property
    def curve(self) -> Curve:
        """The training loss at some of the steps."""
        ...


@dataclass(frozen=True)
class PlaneSetting:
    """What decides a run besides its seed; r = 0 means full fine-tuning.

    The first six are the playground's controls.
    """

    method: str = "lora"
    r: int = 16
    lr: float = 2e-3
    epochs: int = 2
    targets: str = "all-linear"
    replay: float = 0.0
    replayed: str = "general"
    weight_decay: float = 0.0
    kl: float = 0.0

    @classmethod
    def of(cls, row: GridRow) -> "PlaneSetting":
        """The setting of a grid's row."""
        return cls(**{field.name: getattr(row, field.name) for field in fields(cls)})

    @property
    def offered(self) -> bool:
        """Whether the playground's controls can choose it.

        The other means against forgetting are points on the plane only.
        """
        return (self.replayed, self.weight_decay, self.kl) == ("general", 0, 0)

    @property
    def title(self) -> str:
        """Method, rank and learning rate."""
        rank = f" r = {self.r}" if self.r else ""
        return f"{METHOD_NAMES[self.method]}{rank}, lr {self.lr:g}"

    @property
    def short(self) -> str:
        """The same in few letters, for a name on the plane; what is usual is left out."""
        rank = f" r {self.r}" if self.r else ""
        name = METHOD_NAMES[self.method].removesuffix(" fine-tuning")
        rest = self.aside.replace("epochs", "ep").replace("epoch", "ep")
        return f"{name}{rank}, {self.lr:g}, {rest}"

    @property
    def aside(self) -> str:
        """Everything else; what is usual is left out."""
        parts = [f"{self.epochs} epoch{'s' * (self.epochs > 1)}"]
        if self.r and self.targets != "all-linear":
            parts.append(f"on {self.targets}")
        if self.replay:
            own = " of its own answers" if self.replayed == "self" else ""
            parts.append(f"{100 * self.replay:g} % replay{own}")
        if self.weight_decay:
            parts.append(f"weight decay {self.weight_decay:g}")
        if self.kl:
            parts.append(f"KL {self.kl:g}")
        return ", ".join(parts)

    def __str__(self) -> str:
        return f"{self.title}, {self.aside}"


@dataclass(frozen=True)
class Spot:
    """The runs of one setting: shares from 0 to 1, losses in nats per answer token."""

    setting: PlaneSetting
    seeds: int  # how many runs, which differ in their seeds only
    trainable: int
    task: Range
    skills: Range  # of the mean over skills
    by_skill: dict[str, Range]
    curve: list[tuple[float, float, float, float]]  # (step, mean, lowest, highest loss)

    @property
    def loss(self) -> float:
        """The mean of the last training losses."""
        return self.curve[-1][1]


class Gap(NamedTuple):
    """How far a share lies above a spot's mean, and whether inside the range of its seeds."""

    above: float
    inside: bool


@dataclass(frozen=True)
class LiveRun:
    """One run that was made here; one that was stopped has no shares."""

    number: int  # written on the plane
    setting: PlaneSetting
    seed: int
    steps: int
    curve: Curve
    task: float | None = None
    by_skill: Mapping[str, float] | None = None

    @property
    def skills(self) -> float | None:
        """The mean over skills."""
        return statistics.fmean(self.by_skill.values()) if self.by_skill else None

    def gaps(self, spot: Spot) -> tuple[Gap, Gap]:
        """The gaps of task and of skills to a spot, for a run that was measured."""
        task = measure_gap(self.task, spot.task)  # type: ignore # it was measured
        skills = measure_gap(self.skills, spot.skills)  # type: ignore # with the task
        return task, skills


def measure_gap(share: float, seeds: Range) -> Gap:
    """How far a share is from what a grid's seeds had; rounding alone puts none outside."""
    return Gap(share - seeds.value, seeds.low - 1e-9 <= share <= seeds.high + 1e-9)


def gather_spots(rows: Sequence[GridRow]) -> dict[PlaneSetting, Spot]:
    """A grid's rows, such as `lab.grids.read("playground")`, gathered over seeds."""
    runs: dict[PlaneSetting, list[GridRow]] = {}
    for row in rows:
        runs.setdefault(PlaneSetting.of(row), []).append(row)
    return {setting: average_seeds(setting, of_one) for setting, of_one in runs.items()}


def average_seeds(setting: PlaneSetting, runs: Sequence[GridRow]) -> Spot:
    """Runs that differ in their seeds only, as one spot."""
    # every curve has the same steps; one that ended early ends the mean
    curve = []
    for points in zip(*(run.curve for run in runs), strict=False):
        step = points[0][0]
        curve.append((step, *mean_and_range([loss for _, loss in points])))
    names = runs[0].skills
    return Spot(
        setting=setting,
        seeds=len(runs),
        trainable=runs[0].trainable,
        task=mean_and_range([run.task for run in runs]),
        skills=mean_and_range([statistics.fmean(run.skills.values()) for run in runs]),
        by_skill={name: mean_and_range([run.skills[name] for run in runs]) for name in names},
        curve=curve,
    )


def nearest_setting(one: PlaneSetting, known: Iterable[PlaneSetting]) -> PlaneSetting:
    """What of `known` comes closest to a setting: the same method before all else.

    Between settings of a method, a factor of two in rate, rank or epochs weighs as much as a
    quarter of replay, and other targets twice as much.
    """

    def away(other: PlaneSetting) -> float:
        far = 100.0 * (one.method != other.method) + 2 * (one.targets != other.targets)
        far += 4 * abs(one.replay - other.replay) + 50 * (not other.offered)
        for a, b in ((one.lr, other.lr), (one.r, other.r), (one.epochs, other.epochs)):
            far += abs(math.log2(a / b)) if a and b else 0
        return far

    return min(known, key=away)


def paths(spots: Iterable[Spot]) -> list[list[Spot]]:
    """Spots that differ in their learning rate only, two or more, from the lowest on."""
    groups: dict[PlaneSetting, list[Spot]] = {}
    for spot in spots:
        groups.setdefault(replace(spot.setting, lr=0.0), []).append(spot)
    return [
        sorted(group, key=lambda spot: spot.setting.lr)
        for group in groups.values()
        if len(group) > 1
    ]


def frontier(spots: Iterable[Spot]) -> list[Spot]:
    """The spots that no other one beats or equals in the means of both, task and skills.

    The one that keeps most skills stands first.
    """
    edge: list[Spot] = []
    for spot in sorted(spots, key=lambda one: (-one.skills.value, -one.task.value)):
        # all before it kept more skills, so it has to have learned more than any of them
        if not edge or spot.task.value > edge[-1].task.value:
            edge.append(spot)
    return edge


def describe_run(run: LiveRun, spots: Mapping[PlaneSetting, Spot]) -> str:
    """A run made here in words, and how far it is from the grid's runs of its setting."""
    if run.task is None or run.skills is None:
        return f"run {run.number}: {run.steps} steps, stopped before it was measured"
    shares = {"task": run.task, "skills": run.skills}
    if run.setting not in spots:
        parts = [f"{what} {percent(share)}" for what, share in shares.items()]
        return f"run {run.number}: {', '.join(parts)}"

    # the grid has this setting: say how near it came
    parts = []
    for (what, share), gap in zip(shares.items(), run.gaps(spots[run.setting]), strict=True):
        distance = f"{100 * gap.above:+.1f} points from the finished runs' mean"
        where = "inside" if gap.inside else "outside"
        parts.append(f"{what} {percent(share)}, {distance} ({where} their range)")
    return f"run {run.number} (seed {run.seed}): {', '.join(parts)}"
