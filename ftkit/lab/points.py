"""What decides one run of a grid, and what a finished grid's rows say of it, column by column.

    Point, LongRun, RealRun    what decides a run; lora_points(), playground_points(), real_points()
    LoraRow                    a row of the grid "lora": ranks, intruders, truncations
    PlaygroundRow              a row of the grid "playground": curves, distance from the base
    LongRow                    a row of the grid "epochs": what every epoch brought
    RealRow                    a row of the grid "real": a model of the real world
    read_row                   a row, or a point alone, out of the columns in a file

A point names a run and trains nothing: `Point.experiment()` is the run, `measuring` trains and
measures it, `runner` makes a whole grid of them, `grids` reads it. Notebooks 01, 02, 07, 09, 10.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, ClassVar, TypeVar

from .. import train, ward

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Series = Sequence[Sequence[float]]  # (step, value) pairs
Kind = TypeVar("Kind", bound="DataclassInstance")

MODEL = "pocket"  # every run of a grid starts from it
SEEDS = (0, 1, 2)

# The grid "lora".
RANKS = (1, 2, 4, 8, 16, 32, 64)
CUTS = (0, 1, 2, 4, 8, 16, 32, 64, 128)  # ranks that a full update is truncated to
# Rates in steps of two, alphas in steps of four: some products alpha · lr come up three times.
ALPHAS = (4.0, 16.0, 64.0)
RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
# Ranks that train as many parameters on other targets as r = 8 does on all seven matrices of a
# layer, or just fewer: r · Σ (d_in + d_out) is 32,768 there.
BUDGET = {
    ("q_proj", "v_proj"): 36,
    ("q_proj", "k_proj", "v_proj", "o_proj"): 18,
    ("gate_proj", "up_proj", "down_proj"): 14,
}

# The grid "playground".
LOW, MILD, HOT = 1e-3, 2e-3, 8e-3  # learning rates of LoRA
FULL_RATES = (2e-4, 8e-4, 3.2e-3)
EPOCHS_OF_RANK = {1: (2, 1, 3), 64: (2, 1, 3), 16: (2, 1, 3), 4: (2,)}
# Gentle runs that come near the hot ones' task score, as (lr, epochs): low rates for more epochs,
# so that methods can be compared at equal scores.
GENTLE = ((5e-4, 8), (5e-4, 12), (1e-3, 4), (1e-3, 6), (1e-3, 8), (1.4e-3, 3))
GENTLE_FULL = ((1e-4, 4), (1e-4, 6), (1e-4, 12), (1.4e-4, 3), (2e-4, 5), (2e-4, 8))


@dataclass(frozen=True)
class Point:
    """One run of the pocket model: what decides it, and nothing else."""

    data: str = "tickets"  # the task, as `data.load` takes it
    r: int = 8  # the adapter's rank; 0 means full fine-tuning
    alpha: float = 16  # the adapter is scaled by alpha / r
    lr: float = 2e-3  # the highest learning rate
    epochs: int = 2  # times that every training row is seen
    targets: str | tuple[str, ...] = "all-linear"  # what gets an adapter
    seed: int = 0
    quant: str | None = None  # of the base: "nf4" makes the run a QLoRA
    dora: bool = False
    rows: int | None = None  # how many training rows; None means all there are
    batch_size: int = 16  # rows per step
    replay: float = 0.0  # share of general rows among the training rows, 0 to below 1
    replayed: str = "general"  # their answers: the data set's, or "self": the base model's own
    weight_decay: float = 0.0
    kl: float = 0.0  # weight of the KL divergence from the base in the loss
    evaluations: int = 0  # times that the validation loss is taken

    @property
    def method(self) -> str:
        """What the field calls it: full, lora, dora or qlora."""
        if not self.r:
            return "full"
        if self.dora:
            return "dora"
        return "qlora" if self.quant else "lora"

    def experiment(self) -> "train.Experiment":
        """The run that this point stands for; its last step is kept, whatever validation says."""
        recipe = train.Recipe(
            self.lr,
            self.epochs,
            self.batch_size,
            weight_decay=self.weight_decay,
            kl=self.kl,
            evaluations=self.evaluations,
            keep_best=False,
            seed=self.seed,
        )
        # a recipe file holds lists, so an experiment does too
        targets = list(self.targets) if isinstance(self.targets, tuple) else self.targets
        adapter = {"r": self.r, "alpha": self.alpha, "targets": targets}
        if self.dora:
            adapter["use_dora"] = True
        return train.Experiment(
            MODEL,
            self.quant,
            self.data,
            self.rows,
            self.replay,
            self.replayed,
            adapter if self.r else None,
            recipe,
        )


FULL = Point(r=0, alpha=0)
# alpha is 16 whatever the rank, so that turning the rank does not also turn the rate (notebook 02).
SHORT = Point(r=16, alpha=16, epochs=2, rows=96, batch_size=4)
SHORT_FULL = replace(SHORT, r=0, alpha=0)


@dataclass(frozen=True)
class LongRun:
    """One run: LoRA r = 8, alpha = 16 on few tickets for many epochs (see `epochs`)."""

    lr: float = 4e-3  # the highest learning rate
    wrong: float = 0.0  # share of the training rows whose answer is spoiled
    dropout: float = 0.0  # of the adapter's input
    seed: int = 0


@dataclass(frozen=True)
class RealRun:
    """One run of SmolLM2-135M on movie reviews, one epoch of 20 steps (see `measuring`)."""

    MODEL: ClassVar[str] = "smollm2"

    lr: float = 3e-3  # the highest learning rate; 0 is the base itself, not trained
    r: int = 8  # the adapter's rank, with alpha = 16; 0 means full fine-tuning
    quant: str | None = None  # of the base: "nf4" makes the run a QLoRA
    seed: int = 0

    @property
    def method(self) -> str:
        """What the field calls it: base, full, lora or qlora."""
        if not self.lr:
            return "base"
        if not self.r:
            return "full"
        return "qlora" if self.quant else "lora"

    def experiment(self) -> "train.Experiment":
        """The run that this point stands for: 160 rows, 8 a step; its last step is kept."""
        recipe = train.Recipe(
            self.lr, epochs=1, batch_size=8, evaluations=0, keep_best=False, seed=self.seed
        )
        adapter = {"r": self.r, "alpha": 16} if self.r else None
        return train.Experiment(
            self.MODEL, self.quant, "reviews", rows=160, lora=adapter, recipe=recipe
        )


REAL_SETTINGS = (
    RealRun(lr=0.0, r=0),  # the base itself
    *(RealRun(lr=lr) for lr in (3e-3, 3e-4, 1e-3, 1e-2)),
    *(RealRun(lr=lr, r=0) for lr in (5e-5, 2e-4, 1e-5)),
    RealRun(quant="nf4"),
)


def real_points() -> list[RealRun]:
    """Every run of the grid "real", seed by seed, so that a part of them is even; the base once."""
    runs = [replace(setting, seed=seed) for seed in SEEDS for setting in REAL_SETTINGS]
    return [run for run in runs if run.lr or run.seed == SEEDS[0]]


def lora_points() -> list[Point]:
    """Full fine-tuning, ranks, new facts, targets at one budget, alpha against learning rate."""
    points: list[Point] = []
    for seed in SEEDS:
        points += [replace(FULL, lr=lr, seed=seed) for lr in (3e-4, 1e-3)]
        # every rank, once with alpha in step with it and once with alpha fixed
        for r in RANKS:
            points += [Point(r=r, alpha=alpha, seed=seed) for alpha in (2 * r, 16)]
        points += new_facts(seed)
        # the same number of trained parameters on other targets
        for targets, r in BUDGET.items():
            points.append(Point(r=r, alpha=2 * r, targets=targets, seed=seed))
    for seed in SEEDS:
        for alpha in ALPHAS:
            points += [Point(alpha=alpha, lr=lr, seed=seed) for lr in RATES]
    return without_repeats(points)


def new_facts(seed: int) -> list[Point]:
    """Facts that the base never saw, to be stored: fully, and at every rank."""
    points = [replace(FULL, data="facts", lr=1e-3, epochs=10, seed=seed)]
    for r in RANKS:
        points.append(Point("facts", r=r, alpha=2 * r, lr=5e-3, epochs=10, seed=seed))
    return points


def without_repeats(points: list[Point]) -> list[Point]:
    """Each point once, where it came first."""
    return list(dict.fromkeys(points))


def playground_points() -> list[Point]:
    """Short runs for the learning-forgetting plane, each setting with every seed.

    They are made in this order, seed by seed, so that a setting is whole as soon as it is there.
    """
    settings = [
        *seven_rates(),
        *against_forgetting(HOT),
        *full_settings(),
        *against_forgetting(MILD),
        *other_adapters(HOT),
        *other_adapters(MILD),
        *ranks_and_epochs(),
        *(replace(SHORT, lr=lr, epochs=epochs) for lr, epochs in GENTLE),
    ]
    points: list[Point] = []
    for setting in settings:
        # validated after every epoch
        validated = replace(setting, evaluations=setting.epochs)
        points += [replace(validated, seed=seed) for seed in SEEDS]
    return without_repeats(points)


def seven_rates() -> list[Point]:
    """LoRA, then full fine-tuning, each at seven learning rates in steps of two."""
    steps = [2**k for k in range(7)]
    return [
        *(replace(SHORT, lr=5e-4 * step) for step in steps),
        *(replace(SHORT_FULL, lr=1e-4 * step) for step in steps),
    ]


def against_forgetting(lr: float) -> list[Point]:
    """Every means against forgetting that is not a rank or a rate, at one learning rate."""
    start = replace(SHORT, lr=lr)
    return [
        *(replace(start, replay=share) for share in (0.05, 0.1, 0.2, 0.5)),
        replace(start, replay=0.2, replayed="self"),
        *(replace(start, kl=weight) for weight in (0.1, 1.0)),
        replace(start, weight_decay=0.1),
    ]


def other_adapters(lr: float) -> list[Point]:
    """QLoRA, DoRA, and LoRA on some of the matrices only, at one learning rate."""
    start = replace(SHORT, lr=lr)
    return [
        replace(start, quant="nf4"),
        replace(start, dora=True),
        *(replace(start, targets=targets) for targets in ("attention", "mlp", "q,v")),
    ]


def full_settings() -> list[Point]:
    """Full fine-tuning: rates by epochs, two means against forgetting, and gentle runs."""
    points = []
    for lr in FULL_RATES:
        points += [replace(SHORT_FULL, lr=lr, epochs=epochs) for epochs in (1, 2, 3)]
    middle = replace(SHORT_FULL, lr=FULL_RATES[1])
    points += [replace(middle, weight_decay=0.1), replace(middle, replay=0.2)]
    points += [replace(SHORT_FULL, lr=lr, epochs=epochs) for lr, epochs in GENTLE_FULL]
    return points


def ranks_and_epochs() -> list[Point]:
    """LoRA's ranks by epochs by learning rates: what the first three sliders offer."""
    points = []
    for r, all_epochs in EPOCHS_OF_RANK.items():
        for epochs in all_epochs:
            points += [replace(SHORT, r=r, epochs=epochs, lr=lr) for lr in (HOT, MILD, LOW)]
    return points


@dataclass(frozen=True)
class Scores:
    """Shares of right answers, from 0 to 1."""

    task: float  # of the task's test rows, answered exactly right
    skills: Mapping[str, float]  # of each skill's probes (see `forgetting.skills`)
    stored: float | None = None  # of the training rows, where they are facts to be stored


@dataclass(frozen=True, kw_only=True)
class Row(Point):
    """One finished run: its point (see `Point`), and what every grid of points measures on it."""

    trainable: int  # parameters that were trained
    loss: float  # the last training loss, in nats per answer token
    task: float  # share of the task's test rows answered exactly right, 0 to 1
    skills: Mapping[str, float]  # share right by skill (see `forgetting.skills`), 0 to 1
    size: float  # ‖ΔW‖ / ‖W‖ in the Frobenius norm, the mean over the matrices that changed
    seconds: float  # of training, on the machine that made the grid

    @property
    def point(self) -> Point:
        """What decided the run, without what was measured."""
        return Point(**{f.name: getattr(self, f.name) for f in fields(Point)})


@dataclass(frozen=True, kw_only=True)
class LoraRow(Row):
    """A row of the grid "lora"; the task is asked on all of its test rows."""

    # {share of ‖ΔW‖² as text, such as "0.9": the rank that holds it, as a share of the full rank}:
    # the median over matrices (see `lora.spectrum.ranks`)
    ranks: Mapping[str, float]
    # directions of W + ΔW that W did not have, over all matrices (see `lora.spectrum.intruders`)
    intruders: int
    # share of the training rows answered right, 0 to 1; None where they are no facts to be stored
    stored: float | None = None
    # {the rank that ΔW was cut to as text, or "full": the scores of the base with that update};
    # None but for full fine-tuning
    truncated: Mapping[str, Scores] | None = None


@dataclass(frozen=True, kw_only=True)
class PlaygroundRow(Row):
    """A row of the grid "playground"; the task is asked on the first hundred test rows."""

    curve: Series  # the training loss at about twenty steps, in nats per answer token
    validation: Series  # the validation loss after every epoch, in nats per answer token
    kl_task: float  # KL(base ‖ tuned) on the task's validation rows, in nats per answer token
    kl_general: float  # the same on general rows


@dataclass(frozen=True, kw_only=True)
class LongRow(LongRun):
    """A row of the grid "epochs": a run, and what was measured on it."""

    curve: Series  # the training loss of every step, in nats per answer token
    validation: Series  # the validation loss after every epoch, in nats per answer token
    task: Series  # the share of the test tickets exactly right after every epoch, 0 to 1
    seconds: float  # of training, on the machine that made the grid


@dataclass(frozen=True, kw_only=True)
class RealRow(RealRun):
    """A row of the grid "real": a run, and what was measured on it; likelihoods throughout."""

    trainable: int  # parameters that were trained
    curve: Series  # the training loss of every step, in nats per answer token
    task: Mapping[str, float]  # by kind of text: share of test rows whose label is the likelier
    validation: float  # loss on the task's validation rows, in nats per answer token
    kl_task: float  # KL(base ‖ tuned) on them, in nats per answer token
    text: float  # cross-entropy on plain English, in nats per token (see `forgetting.text_loss`)
    kl_text: float  # KL(base ‖ tuned) there, in nats per token
    skills: Mapping[str, float]  # share right by skill, by choice (see `forgetting.choices`)
    seconds: float  # of training, on the machine that made the grid


def read_row(kind: type[Kind], columns: Mapping) -> Kind:
    """A row or a point of this kind out of the columns that a file states.

    What an older file does not state is as it was then: the field's default. Columns that are no
    field are left out, so that a row's columns give its point too.
    """
    known = {f.name: columns[f.name] for f in fields(kind) if f.name in columns}
    # JSON has lists where a point, which is a key, has tuples
    if isinstance(known.get("targets"), list):
        known["targets"] = tuple(known["targets"])
    if known.get("truncated"):
        cuts = known["truncated"].items()
        known["truncated"] = {rank: read_row(Scores, scores) for rank, scores in cuts}
    if known.get("samples"):
        known["samples"] = [read_row(ward.Sample, sample) for sample in known["samples"]]
    return kind(**known)
