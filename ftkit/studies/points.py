"""What decides one run of a study, and what was measured on it; nothing is trained here.

    DataRun          rows of a task, and what was done to them before training
    data_points()    every run of the grid "data", seed by seed
    DataRow          such a run, measured
    DecidingRun, deciding_points(), DecidingRow
                     the same of the grid "deciding": a task, and an arm that is to solve it

Every run is LoRA on all matrices of the pocket model, to its last step; a real model is prompted
alone. `measuring` and `deciding` train and ask. Read in notebooks 05 and 06.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

SEEDS = (0, 1, 2)
REAL = "smollm2"  # fetched once by python -m ftkit fetch smollm2
SAME = ("zero-shot", "schema", "list")  # arms in which nothing is drawn
BATCH = 8  # rows of a step
FEW, MANY = 100, 1200  # the clean rows that are few, the noisy ones that are many
NOISE = (0.3, 0.5)  # shares of wrong answers


@dataclass(frozen=True)
class DataRun:
    """One run on rows that something was done to; `changing.CHANGES` says what may be done."""

    task: str = "trays"  # see `data.load`
    rows: int = 200  # training rows before the change
    steps: int = 200
    lr: float = 4e-3  # the highest learning rate
    change: str = "none"  # what was done to the rows
    amount: float = 0.0  # to which share of them, or how often
    r: int = 8  # the adapter's rank; alpha is twice as much
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class DataRow(DataRun):
    """A finished run: what was asked by name, and the share of exactly right answers, 0 to 1."""

    scores: Mapping[str, float]
    trained_rows: int  # after the change
    loss: float  # the last training loss, in nats per learned token
    seconds: float  # of training, on the machine that made the grid


# Steps of 8 rows after which a task's loss has come to rest.
STEPS = {"tickets": 50, "trays": 200, "shipments": 200, "greeted": 100, "calls": 200}
TRAYS = DataRun()
GENTLE = replace(TRAYS, lr=2e-3, steps=300)  # more steps, at half the rate
TICKETS = DataRun("tickets", rows=96, steps=50)
FACTS = DataRun("facts", rows=80, r=16)


def data_points() -> list[DataRun]:
    """Every run of the grid "data", seed by seed, so that a part of them is even."""
    groups = (
        curves, noise, repeats, shares, leaks, teachers, wordings, masks, templates, endings,
        reasons,
    )  # fmt: skip
    settings = dict.fromkeys(run for group in groups for run in group())
    return [replace(run, seed=seed) for seed in SEEDS for run in settings]


def curves() -> Iterator[DataRun]:
    """Rows against score: at equal steps, and at equal epochs, of which few rows make few steps."""
    for rows in (8, 24, 48, 96, 200, 400, 1200):
        yield replace(TRAYS, rows=rows)
        if rows <= 400:
            yield replace(TRAYS, rows=rows, steps=8 * rows // BATCH)
    for rows in (8, 24, 48, 96, 200):
        yield replace(TICKETS, rows=rows)
        yield replace(TICKETS, rows=rows, steps=4 * rows // BATCH)
    for task in ("shipments", "greeted", "calls"):
        yield from (DataRun(task, rows, STEPS[task]) for rows in (8, 48, 200))


def noise() -> Iterator[DataRun]:
    """Wrong answers: at random and always the same way, in few and many rows, for two schedules."""
    for schedule in (TRAYS, GENTLE):
        for rows in (FEW, MANY):
            start = replace(schedule, rows=rows)
            yield start
            for kind in ("random answer", "next answer"):
                yield from (replace(start, change=kind, amount=x) for x in NOISE)
    for rows, steps in ((96, 50), (1000, 100)):
        start = replace(TICKETS, rows=rows, steps=steps)
        yield start
        yield from (replace(start, change=kind, amount=0.3) for kind in ("other value", "flag"))


def repeats() -> Iterator[DataRun]:
    """One wrong row, repeated."""
    yield from (replace(TRAYS, change="repeated", amount=n) for n in (1, 50))


def shares() -> Iterator[DataRun]:
    """A rare class: its share, the steps, and what oversampling mends."""
    for steps in (40, 80, 160):
        start = replace(TRAYS, rows=FEW, steps=steps)
        yield from (replace(start, change="rare", amount=x) for x in (0.5, 0.2, 0.05))
        yield replace(start, change="oversampled", amount=0.05)


def leaks() -> Iterator[DataRun]:
    """Test rows among the training rows: as they stand, and in other words."""
    yield from (replace(FACTS, change="leaked", amount=x) for x in (0.0, 0.25, 0.5))
    yield from (replace(TRAYS, rows=24, change="leaked", amount=x) for x in (0.0, 0.5))
    yield replace(FACTS, change="leaked in other words", amount=0.5)


def teachers() -> Iterator[DataRun]:
    """Answers of a teacher, which is the base with a better prompt, and what sifts them."""
    kinds = (
        "teacher", "teacher, grounded", "teacher, two prompts agree", "teacher, listed",
        "as often wrong",
    )  # fmt: skip
    start = replace(TICKETS, rows=200)
    yield from (start, *(replace(start, change=kind) for kind in kinds))


def wordings() -> Iterator[DataRun]:
    """One instruction, two or eight of them."""
    yield from (replace(TICKETS, change="wordings", amount=n) for n in (1, 2, 8))


def masks() -> Iterator[DataRun]:
    """Loss on the prompt, too."""
    for start, all_steps in ((TICKETS, (25, 50)), (TRAYS, (40, 80, 160))):
        for steps in all_steps:
            yield from (replace(start, steps=steps, change=c) for c in ("none", "prompt learned"))


def templates() -> Iterator[DataRun]:
    """Trained in one template, asked in six."""
    start = replace(TICKETS, rows=48)
    yield from (replace(start, change=f"template {name}") for name in ("right", "alpaca", "bare"))


def endings() -> Iterator[DataRun]:
    """The end mark left out of the loss, as where the padding token is the end mark."""
    for start in (replace(TRAYS, steps=160), TICKETS):
        yield from (replace(start, change=change) for change in ("end learned", "end masked"))


def reasons() -> Iterator[DataRun]:
    """The label alone, without the reasons before it; or reasons where the task has none."""
    yield from (replace(TRAYS, rows=rows, change="label only") for rows in (48, 400))
    yield DataRun("shipments", 200, STEPS["shipments"], change="reasons first")


WORDINGS = {"tuned three times as long": 1, "tuned in three wordings": 3}  # per fact, by arm


@dataclass(frozen=True)
class DecidingRun:
    """One arm on one task: prompted, given passages, or tuned (see `deciding.MEASURES`)."""

    task: str
    arm: str
    amount: float = 0.0  # solved examples, passages, rows or the share that is unknown
    unsure: int = 0  # rows among them that are answered "I don't know."
    seed: int = 0
    model: str = "pocket"  # the base, as `models.load` takes it


@dataclass(frozen=True, kw_only=True)
class DecidingRow(DecidingRun):
    """A finished arm: shares from 0 to 1 by name, and what it read and took."""

    scores: Mapping[str, float]
    prompt_tokens: float | None = None  # the mean over the test rows
    seconds: float = 0.0  # of training, on the machine that made the grid


def deciding_points() -> list[DecidingRun]:
    """Every run of the grid "deciding", seed by seed."""
    groups = (prompted, facts, records, stored, doses, patterns, prompted_for_real)
    settings = [run for group in groups for run in group()]
    runs = [replace(run, seed=seed) for seed in SEEDS for run in settings]
    return [run for run in runs if run.arm not in SAME or run.task == "records" or not run.seed]


def prompted() -> Iterator[DecidingRun]:
    """Five tasks, prompted in every way and tuned."""
    for task in ("tickets", "trays", "shipments", "calls", "greeted"):
        yield DecidingRun(task, "zero-shot")
        yield from (DecidingRun(task, "shots", k) for k in (1, 2, 4))
        if task in ("tickets", "shipments", "calls"):
            yield DecidingRun(task, "schema")
        yield DecidingRun(task, "tuned", 200)
    yield DecidingRun("tickets", "schema, shots", 1)
    yield DecidingRun("tickets", "list")
    # few rows and few steps, under both prompts
    yield from (DecidingRun("tickets", "tuned", rows) for rows in (8, 48))
    yield from (DecidingRun("tickets", arm, 8) for arm in ("tuned briefly", "tuned on the schema"))


def prompted_for_real() -> Iterator[DecidingRun]:
    """Tickets, prompted alone, asked of a model of the real world."""
    for arm, amount in (("zero-shot", 0), ("schema", 0), ("shots", 1), ("shots", 2), ("shots", 4)):
        yield DecidingRun("tickets", arm, amount, model=REAL)


def facts() -> Iterator[DecidingRun]:
    """New facts: retrieved or tuned in, before and after some of them change."""
    yield DecidingRun("facts", "zero-shot")
    yield from (DecidingRun("facts", "retrieval", k) for k in (1, 2, 3, 4, 5, 8))
    yield DecidingRun("facts", "tuned", 4)
    yield from (DecidingRun("facts", arm, 4) for arm in WORDINGS)


def records() -> Iterator[DecidingRun]:
    """A new fact as JSON: knowledge and form at once."""
    arms = (
        "zero-shot", "retrieval", "schema", "retrieval, schema", "tuned on the form",
        "tuned on the facts", "tuned on passages",
    )  # fmt: skip
    yield from (DecidingRun("records", arm) for arm in arms)


def stored() -> Iterator[DecidingRun]:
    """Fifty facts, briefly and until they are stored; fifty tickets beside them."""
    yield from (DecidingRun("stored", arm) for arm in ("tickets", "facts briefly", "facts"))


def doses() -> Iterator[DecidingRun]:
    """Rows of which a share is unknown to the base, and some rows of not knowing."""
    yield from (DecidingRun("doses", "tuned", share) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    yield from (DecidingRun("doses", "tuned", share, 24) for share in (0.5, 1.0))
    yield DecidingRun("doses", "tuned", 1.0, 96)


def patterns() -> Iterator[DecidingRun]:
    """A rewriting that examples show: in the prompt, or as rows."""
    yield from (DecidingRun("patterns", "shots", k) for k in (0, 1, 2, 4, 8, 12))
    yield from (DecidingRun("patterns", "tuned", rows) for rows in (4, 12, 48))
