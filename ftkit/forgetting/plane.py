"""TODO header of forgetting.plane."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from ..core.results import percent

NAMES = {"lora": "LoRA", "full": "full fine-tuning", "qlora": "QLoRA", "dora": "DoRA"}
Spread = tuple[float, float, float]  # (mean, lowest, highest) over seeds
Curve = Sequence[tuple[int, float]]  # (step, nats per answer token)


@dataclass(frozen=True)
class PlaneSetting:
    """What decides a run besides its seed; r = 0 means full fine-tuning. The first six are the
    playground's controls.
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
    def of(cls, row: Mapping) -> "PlaneSetting":
        """The setting of a grid's row."""
        return cls(**{f.name: row[f.name] for f in fields(cls)})

    @property
    def offered(self) -> bool:
        """Whether the playground's controls can choose it: the other means against forgetting are
        points on the plane only.
        """
        return (self.replayed, self.weight_decay, self.kl) == ("general", 0, 0)

    @property
    def title(self) -> str:
        """Method, rank and learning rate."""
        return f"{NAMES[self.method]}{f' r = {self.r}' if self.r else ''}, lr {self.lr:g}"

    @property
    def aside(self) -> str:
        """Everything else, what is usual left out."""
        replayed = "of its own answers" if self.replayed == "self" else ""
        said = [
            f"{self.epochs} epoch{'s' * (self.epochs > 1)}",
            f"on {self.targets}" if self.r and self.targets != "all-linear" else "",
            f"{100 * self.replay:g} % replay {replayed}".strip() if self.replay else "",
            f"weight decay {self.weight_decay:g}" if self.weight_decay else "",
            f"KL {self.kl:g}" if self.kl else "",
        ]
        return ", ".join(filter(None, said))

    def __str__(self) -> str:
        return f"{self.title}, {self.aside}"


@dataclass(frozen=True)
class Spot:
    """The runs of one setting; shares from 0 to 1, losses in nats per answer token."""

    setting: PlaneSetting
    seeds: int
    trainable: int
    task: Spread
    skills: Spread
    by_skill: dict[str, Spread]
    curve: list[tuple[int, float, float, float]]  # (step, mean, lowest, highest)

    @property
    def loss(self) -> float:
        """The mean of the last training losses."""
        return self.curve[-1][1]


@dataclass(frozen=True)
class LiveRun:
    """One run that was made here: `number` is written on the plane; a run that was stopped has no
    shares.
    """

    number: int
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

    def gaps(self, spot: Spot) -> tuple[tuple[float, bool], tuple[float, bool]]:
        """Of task and skills: how far above the grid's mean, and whether it lies in the range of
        the grid's seeds.
        """
        pairs = ((self.task, spot.task), (self.skills, spot.skills))
        return tuple(
            (value - mean, low - 1e-9 <= value <= high + 1e-9) for value, (mean, low, high) in pairs
        )


def mean_and_range(values: Iterable[float]) -> Spread:
    """(mean, lowest, highest)."""
    values = list(values)
    return statistics.fmean(values), min(values), max(values)


def spots(rows: Sequence[Mapping]) -> dict[PlaneSetting, Spot]:
    """A grid's rows, such as `grids.read("playground")`, gathered over seeds."""
    runs: dict[PlaneSetting, list[Mapping]] = {}
    for row in rows:
        runs.setdefault(PlaneSetting.of(row), []).append(row)
    return {setting: spot(setting, of_one) for setting, of_one in runs.items()}


def spot(setting: PlaneSetting, runs: Sequence[Mapping]) -> Spot:
    """Runs that differ in their seeds only, as one point."""
    return Spot(
        setting,
        len(runs),
        runs[0]["trainable"],
        mean_and_range(run["task"] for run in runs),
        mean_and_range(statistics.fmean(run["skills"].values()) for run in runs),
        {name: mean_and_range(run["skills"][name] for run in runs) for name in runs[0]["skills"]},
        [
            (points[0][0], *mean_and_range(loss for _, loss in points))
            for points in zip(*(run["curve"] for run in runs), strict=False)
        ],
    )


def frontier(found: Iterable[Spot]) -> list[Spot]:
    """The settings that no other one beats or equals in the means of both, task and skills; the one
    that keeps most skills first.
    """
    best, kept = -1.0, []
    for one in sorted(found, key=lambda s: (-s.skills[0], -s.task[0])):
        if one.task[0] > best:
            best = one.task[0]
            kept.append(one)
    return kept


def describe(trial: LiveRun, found: Mapping[PlaneSetting, Spot]) -> str:
    """A run made here in words, and how far it is from the grid."""
    if trial.task is None:
        return f"run {trial.number}: {trial.steps} steps, stopped before it was measured"
    shares = zip(("task", "skills"), (trial.task, trial.skills), strict=True)
    if trial.setting not in found:
        return f"run {trial.number}: " + ", ".join(
            f"{what} {percent(share)}" for what, share in shares
        )
    gaps = trial.gaps(found[trial.setting])
    return f"run {trial.number} (seed {trial.seed}): " + ", ".join(
        f"{what} {percent(share)}, {100 * gap:+.1f} points from the grid's mean ({'inside' if inside else 'outside'} its range)"
        for (what, share), (gap, inside) in zip(shares, gaps, strict=True)
    )
