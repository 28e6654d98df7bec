"""What decides one run of a grid: a `Point`, and the points of the grids "lora" and "playground".

    lora_points()         ranks, new facts, targets at one budget, alpha against the learning rate
    playground_points()   short runs: what the sliders offer, and every other means they are held to

A point names a run and trains nothing: `Point.experiment()` is the run, `measuring` trains and
measures it, `runner` makes a whole grid of them. The points of the grid "epochs" stand in `epochs`.
Read in notebooks 01 and 02 (lora), 07, 09 and 10 (playground).
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from .. import train

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
    """One run of SmolLM2-135M on movie reviews, one epoch of 20 steps (see `real`)."""

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
