"""What decides a run of the grid "methods" or "ranks", and what is measured on it.

    MethodRun, method_points()   every method at its own rates, on two tasks
    RankRun, rank_points()       ranks, LoRA+, optimizers, subspaces, rows and starts at their rates
    MethodRow, RankRow           such a run, measured

Nothing is trained here (`method_measuring` does). Rates are chosen around the one at which a method
learned the tickets in trials; one rate of each is a LoRA's usual one. Notebooks 03 and 08.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .points import SEEDS

TEXT = "Write JSON with name, city, item, issue, order, urgent."  # that a prompt may begin with
LORAS = 4e-3  # a rate at which LoRA learns the tickets


@dataclass(frozen=True)
class MethodRun:
    """One run of a method, with its usual options (`methods.METHODS`), to its last step."""

    method: str = "lora"
    start: str = ""  # "text": a prompt that begins with words; "" as the method begins
    task: str = "tickets"
    lr: float = LORAS  # the highest learning rate
    seed: int = 0

    @property
    def label(self) -> str:
        """The method and its start, as a table names it: "prompt, text"."""
        return f"{self.method}, {self.start}" if self.start else self.method


@dataclass(frozen=True, kw_only=True)
class MethodRow(MethodRun):
    """A finished run; shares are from 0 to 1."""

    trainable: int
    epochs: float
    exact: float  # test tickets exactly right; of facts the trained ones, in their own words
    format: float | None  # replies strictly in the tickets' format; None where there is none
    reworded: float | None  # facts asked in other words; None for tickets
    skills: Mapping[str, float]  # share right by skill (see `forgetting.skills`)
    curve: Sequence[Sequence[float]]  # (step, training loss in nats per answer token)
    merges: bool
    gap: float | None  # largest logit gap of the merged model; None where it does not merge
    adapter_gap: float | None  # for scale: of the tuned model to its base
    stopped: str | None  # why it broke off, if the loss did not stay finite
    seconds: float  # of training, on the machine that made the grid


# (rows, steps) of a task, eight rows a step: four epochs of tickets, ten of facts.
TASKS = {"tickets": (96, 48), "facts": (80, 100)}
BATCH = 8

# The rates of each method: the likely one first, so that a part of the grid is already a table.
RATES: dict[str, tuple[float, ...]] = {
    "full": (1e-3, 3e-4, 3e-3, LORAS),
    "lora": (LORAS, 1.5e-3, 1e-2, 5e-4),
    "dora": (LORAS, 1.5e-3, 1e-2, 5e-4),
    "adalora": (5e-2, 1.5e-2, 1.5e-1, LORAS),
    "vera": (1e-1, 3e-2, 3e-1, LORAS),
    "oft": (1.5e-3, 5e-4, LORAS, 1e-2),
    "ia3": (1e-1, 3e-2, 3e-1, LORAS),
    "ln_tuning": (3e-2, 1e-2, 1e-1, LORAS),
    "prompt, text": (1e-1, 3e-2, 3e-1, LORAS),
    "prompt": (3e-1, 1e-1, 1.0, LORAS),
    "prefix": (1e-1, 3e-2, 3e-1, LORAS),
    "p_tuning": (1e-2, 3e-2, LORAS, 1e-3),
    "bottleneck": (LORAS, 1.5e-3, 1e-2, 5e-4),
}
# One rate more, between two of which the lower learns little and the higher forgets much.
BETWEEN = {"ia3": 6e-2}
# Methods of which facts are asked, too: one of each kind.
ON_FACTS = (
    "full", "lora", "dora", "adalora", "vera", "ia3", "prompt, text", "prefix", "bottleneck",
)  # fmt: skip


def method_points() -> list[MethodRun]:
    """Every run of the grid "methods": the likely rates first, of each all methods and seeds."""
    points = []
    rounds = [{label: rates[place] for label, rates in RATES.items()} for place in range(4)]
    for rates in (*rounds, BETWEEN):
        for seed in SEEDS:
            for label, lr in rates.items():
                method, _, start = label.partition(", ")
                run = MethodRun(method, start, "tickets", lr, seed)
                points.append(run)
                if label in ON_FACTS:
                    points.append(replace(run, task="facts"))
    return points


@dataclass(frozen=True)
class RankRun:
    """One run of what a method leaves open, by the loop by hand, to its last step.

    question: "rank" (amount is r), "plus" (LoRA+: how many times faster B is), "optimizer" (of a
    LoRA), "subspace" (all weights, moved in so many random directions), "rows" (amount is how many
    are trained on) or "loftq" (a LoRA on a rounded base; amount is how many alternations made its
    start, 0 for B = 0). setting: the optimizer's name; where a subspace starts, "pretrained" or
    "random"; what is trained on the rows, "lora" or "full"; the format of the rounded base.
    """

    question: str = "rank"
    setting: str = ""
    amount: float = 8
    task: str = "tickets"
    lr: float = LORAS
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class RankRow(RankRun):
    """A finished run; shares are from 0 to 1."""

    trainable: int
    exact: float  # as in `MethodRow`
    skills: float  # the mean over suites
    loss: float  # the last training loss, in nats per answer token
    state: int  # bytes of the optimizer's state
    seconds: float  # of training
    error: float | None = None  # of "loftq", before training: ‖W − Ŵ − ΔW‖ / ‖W‖


# On the matrices of which both sides are 256 or more, so that r = 256 is their full width.
WIDE_TARGETS = ("q_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
RANKS = (1, 4, 16, 64, 256)
OPTIMIZERS = {
    "adam": (1e-3, LORAS, 1.6e-2),
    "adam 8 bits": (1e-3, LORAS, 1.6e-2),
    "sgd": (LORAS, 3e-1, 3.0),
    "momentum": (LORAS, 1e-1, 1.0),
}
SUBSPACES = (100, 300, 1000, 3000, 10000, 30000)
SUBSPACE_RATES = (1e-3, LORAS)  # of a weight: z moves so much faster that weights move by these
# LoRA beside full, by the rows of a task: tickets for as many steps each, facts for ten epochs.
ROWS = {"tickets": (24, 96, 300), "facts": (40, 80, 240)}
ROWS_STEPS, ROWS_EPOCHS = 96, 10
ROWS_RATES = {
    ("lora", "tickets"): (1.5e-3, LORAS), ("lora", "facts"): (LORAS, 1e-2),
    ("full", "tickets"): (3e-4, 1e-3), ("full", "facts"): (3e-4, 1e-3),
}  # fmt: skip
# Starts on a rounded base: QLoRA's, and LoftQ's after so many alternations, at LoRA's own rates.
ALTERNATIONS = {"nf4": (0, 5), "int2": (0, 1, 5)}
STARTS_RATES = {"tickets": LORAS, "facts": 1e-2}


def rank_points() -> list[RankRun]:
    """Every run of the grid "ranks", seed by seed; those by rows and by starts come last."""
    first = [*ranks(), *plus(), *optimizers(), *subspaces()]
    parts = (first, [*by_rows()], [*starts()])
    return [replace(run, seed=seed) for part in parts for seed in SEEDS for run in part]


def ranks() -> Iterator[RankRun]:
    """Facts, of which a high rank may hold more, at three rates; alpha is r, so B A counts once."""
    for r in RANKS:
        yield from (RankRun("rank", "", r, "facts", lr) for lr in (1e-3, LORAS, 1.6e-2))


def plus() -> Iterator[RankRun]:
    """B faster than A, on the tickets (Hayou et al. 2024)."""
    for times in (1, 4, 16):
        yield from (RankRun("plus", "", times, lr=lr) for lr in (2.5e-4, 1e-3, LORAS))


def optimizers() -> Iterator[RankRun]:
    """LoRA on the tickets by other optimizers, each at three rates."""
    for name, rates in OPTIMIZERS.items():
        yield from (RankRun("optimizer", name, lr=lr) for lr in rates)


def subspaces() -> Iterator[RankRun]:
    """All weights of the pocket model, or of a random one, in random subspaces."""
    for start in ("pretrained", "random"):
        for d in SUBSPACES if start == "pretrained" else (1000, 30000):
            yield from (RankRun("subspace", start, d, lr=lr) for lr in SUBSPACE_RATES)


def by_rows() -> Iterator[RankRun]:
    """LoRA and full fine-tuning on few rows and on all, each at two rates of its own."""
    for (what, task), rates in ROWS_RATES.items():
        for rows in ROWS[task]:
            yield from (RankRun("rows", what, rows, task, lr) for lr in rates)


def starts() -> Iterator[RankRun]:
    """A LoRA on a rounded base, begun at B = 0 and by LoftQ (Li et al. 2023)."""
    for task, lr in STARTS_RATES.items():
        for format, several in ALTERNATIONS.items():
            yield from (RankRun("loftq", format, steps, task, lr) for steps in several)
