"""TODO header of lab.points."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass

from .. import train
from ..train import Experiment

SEEDS = (0, 1, 2)
RANKS = (1, 2, 4, 8, 16, 32, 64)
CUTS = (0, 1, 2, 4, 8, 16, 32, 64, 128)  # ranks that a full update is truncated to
ALPHAS = (4.0, 16.0, 64.0)
RATES = (
    5e-4,
    1e-3,
    2e-3,
    4e-3,
    8e-3,
)  # steps of two, alphas in steps of four: some products alpha · lr come up three times
PLANE_RANKS = {1: (2, 1, 3), 64: (2, 1, 3), 16: (2, 1, 3), 4: (2,)}  # and for how many epochs
PLANE_RATES = {"lora": (1e-3, 2e-3, 8e-3), "full": (2e-4, 8e-4, 3.2e-3)}
# Gentle runs that come near the hot ones' task score: low rates for more epochs, so that methods
# can be compared at equal scores.
GENTLE = {
    "lora": ((5e-4, 8), (5e-4, 12), (1e-3, 4), (1e-3, 6), (1e-3, 8), (1.4e-3, 3)),
    "full": ((1e-4, 4), (1e-4, 6), (1e-4, 12), (1.4e-4, 3), (2e-4, 5), (2e-4, 8)),
}
# The same number of trained parameters on different targets: r · Σ (d_in + d_out) is 32,768 a layer
# for r = 8 on all seven, or just below.
BUDGET = {
    ("q_proj", "v_proj"): 36,
    ("q_proj", "k_proj", "v_proj", "o_proj"): 18,
    ("gate_proj", "up_proj", "down_proj"): 14,
}


@dataclass(frozen=True)
class Point:
    """One run: what decides it, and nothing else. r = 0 means full fine-tuning; `rows` None all
    training rows there are.
    """

    data: str = "tickets"
    r: int = 8
    alpha: float = 16
    lr: float = 2e-3
    epochs: int = 2
    targets: str | tuple[str, ...] = "all-linear"
    seed: int = 0
    quant: str | None = None
    dora: bool = False
    rows: int | None = None
    batch_size: int = 16
    replay: float = 0.0
    replayed: str = "general"
    weight_decay: float = 0.0
    kl: float = 0.0
    evaluations: int = 0

    @property
    def key(self) -> str:
        """The point as text: what makes a row unique."""
        return json.dumps(dataclasses.asdict(self))

    @property
    def method(self) -> str:
        """What the field calls it: full, lora, dora or qlora."""
        return "full" if not self.r else "dora" if self.dora else "qlora" if self.quant else "lora"

    def experiment(self) -> Experiment:
        """The run that this point stands for; the last step is kept."""
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
        targets = list(self.targets) if isinstance(self.targets, tuple) else self.targets
        adapter = {"r": self.r, "alpha": self.alpha, "targets": targets} | (
            {"use_dora": True} if self.dora else {}
        )
        return Experiment(
            "pocket",
            self.quant,
            self.data,
            self.rows,
            self.replay,
            self.replayed,
            adapter if self.r else None,
            recipe,
        )


def experiment_of(row: Mapping) -> Experiment:
    """The run that a grid's row was measured on."""
    return as_point(row).experiment()


def as_point(row: Mapping) -> Point:
    """The point of a row; what an older row does not state is as it was then: the default."""
    stated = {f.name: row[f.name] for f in dataclasses.fields(Point) if f.name in row}
    return Point(
        **stated | {"targets": tuple(t) if isinstance(t := stated["targets"], list) else t}
    )


def lora_points() -> list[Point]:
    """Full fine-tuning, ranks, new facts, targets at one budget, alpha against learning rate."""
    found: dict[Point, None] = {}
    for seed in SEEDS:
        found |= {Point(r=0, alpha=0, lr=lr, seed=seed): None for lr in (3e-4, 1e-3)}
        found |= {Point(r=r, alpha=a, seed=seed): None for r in RANKS for a in (2 * r, 16)}
        found[Point("facts", r=0, alpha=0, lr=1e-3, epochs=10, seed=seed)] = None
        found |= {
            Point("facts", r=r, alpha=2 * r, lr=5e-3, epochs=10, seed=seed): None for r in RANKS
        }
        found |= {Point(r=r, alpha=2 * r, targets=t, seed=seed): None for t, r in BUDGET.items()}
    for seed in SEEDS:
        found |= {Point(alpha=alpha, lr=lr, seed=seed): None for alpha in ALPHAS for lr in RATES}
    return list(found)


def playground_points() -> list[Point]:
    """Short runs for the learning-forgetting plane: what the sliders offer, then every other means
    against forgetting.

    alpha is 16 whatever the rank, so that turning the rank does not also turn the rate (notebook
    02).
    """
    start = {"alpha": 16, "rows": 96, "batch_size": 4}
    low, mild, hot = PLANE_RATES["lora"]
    rates = [{"lr": 5e-4 * 2**k} for k in range(7)] + [
        {"r": 0, "alpha": 0, "lr": 1e-4 * 2**k} for k in range(7)
    ]
    means = [{"replay": share} for share in (0.05, 0.1, 0.2, 0.5)] + [
        {"replay": 0.2, "replayed": "self"}
    ]
    means += [{"kl": 0.1}, {"kl": 1.0}, {"weight_decay": 0.1}]
    others = [
        {"quant": "nf4"},
        {"dora": True},
        *({"targets": t} for t in ("attention", "mlp", "q,v")),
    ]
    plane = [
        {"r": r, "lr": lr, "epochs": e}
        for r, epochs in PLANE_RANKS.items()
        for e in epochs
        for lr in (hot, mild, low)
    ]
    full = [
        {"r": 0, "alpha": 0, "lr": lr, "epochs": e} for lr in PLANE_RATES["full"] for e in (1, 2, 3)
    ]
    full += [
        {"r": 0, "alpha": 0, "lr": 8e-4, **one} for one in ({"weight_decay": 0.1}, {"replay": 0.2})
    ]
    full += [{"r": 0, "alpha": 0, "lr": lr, "epochs": e} for lr, e in GENTLE["full"]]
    plane += [{"lr": lr, "epochs": e} for lr, e in GENTLE["lora"]]
    crossed = [{"lr": lr, **one} for some in (means, others) for lr in (hot, mild) for one in some]
    stated = [*rates, *crossed[: len(means)], *full, *crossed[len(means) :], *plane]
    every = [{"r": 16, "epochs": 2} | start | one for one in stated]
    found = {
        Point(**one, evaluations=one["epochs"], seed=seed): None for one in every for seed in SEEDS
    }
    return list(found)
