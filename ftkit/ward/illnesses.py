"""The ward: runs of the pocket model that are ill on purpose, each with its cure.

    ILLNESSES            {name: an `Illness`: the sick run, the cured one, and the doctor's check}
    ward_points()        every run of the ward, sick and cured, seed by seed
    WardRun, WardRow     what decides such a run; and what its owner saw, when it is done
    healthy_points()     runs by the kit's own trainer in which nothing is wrong
    HealthyRun, HealthyRow

A sick run differs from its cured one by one fault alone (the over-fit one by rows, steps and rate,
and `HALVES` tell these apart).
They are made by `sick_runs` and `healthy_runs`, and named by `doctor`; `python -m ftkit grid ward`
and `grid healthy` make all of them again. Notebook 11.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..studies import SEEDS

LEARNED = "⟦", "⟧"  # around the part of a row that carries loss, where one is shown
HEALTHY = "none"


@dataclass(frozen=True)
class WardRun:
    """One run of LoRA on the pocket model; `fault` is one of `sick_runs.FAULTS`, or "none"."""

    fault: str = HEALTHY
    task: str = "tickets"  # see `data.load`
    rows: int = 48  # training rows before the fault
    steps: int = 40
    lr: float = 4e-3  # the highest learning rate
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """A question that was not trained on: what was right, and what the model wrote."""

    asked: str
    wanted: str
    reply: str
    ended: bool  # False: it was cut off, because it did not end by itself


@dataclass(frozen=True, kw_only=True)
class WardRow(WardRun):
    """A finished run as its owner saw it, and what the doctor said."""

    losses: Sequence[Sequence[float]]  # [step, nats per token that carries loss]
    validation: Sequence[Sequence[float]]
    samples: Sequence[Sample]
    scores: Mapping[str, float]  # by name: the share of exactly right answers, of replies that end
    record: Mapping[str, Any]  # of run.json, what its owner would look at
    found: Sequence[str]  # the doctor's checks that found something to mend
    said: str = ""  # and what the first of those that name the illness said
    seconds: float = 0.0  # of training, on the machine that made the file


@dataclass(frozen=True)
class Illness:
    """A fault that people make, on the ward."""

    name: str
    sick: WardRun
    cured: WardRun
    check: str  # the doctor's check that is to find it
    sign: str  # what its owner sees, as the end of "then …"
    cure: str  # in a few words
    because: str  # why it does what it does, in a sentence


BRIEF = WardRun()
TRAYS = WardRun(task="trays", rows=200, steps=160)
FEW = WardRun(rows=2, steps=120, lr=2.4e-2)
HALVES = replace(FEW, rows=48), replace(FEW, lr=BRIEF.lr)  # over-fit by its rate or rows alone
FACTS = WardRun(task="facts", rows=80, steps=100)


def spoiled(fault: str, run: WardRun = BRIEF) -> tuple[WardRun, WardRun]:
    """(the run with a fault, the same without)."""
    return replace(run, fault=fault), run


ILLNESSES: dict[str, Illness] = {
    illness.name: illness
    for illness in (
        Illness(
            "rate too high", replace(BRIEF, lr=100 * BRIEF.lr), BRIEF, "learning rate",
            "the loss would jump up and never come down to where it began",
            "a hundredth of the rate",
            "Each step is so long that the weights leave the place where the base was good.",
        ),
        Illness(
            "B never trained", *spoiled("B frozen"), "learning",
            "the loss would go on as it began, and the replies would be the base's",
            "give the optimizer every B",
            "ΔW = B·A, and B starts at 0: as long as B stays there, A may move as it likes.",
        ),
        Illness(
            "overflow in fp16", *spoiled("fp16"), "adapter",
            "the curve would break off, and the replies would be empty",
            "train in bf16 or fp32",
            "fp16 ends at 65,504; what is larger becomes infinite, and infinity − infinity is NaN.",
        ),
        Illness(
            "over-fit", FEW, BRIEF, "over-fitting",
            "the validation loss would fall, and then rise while the training loss falls on",
            "more rows, fewer passes, a lower rate",
            "A few rows seen many times are learned by heart, together with their names.",
        ),
        Illness(
            "another template", *spoiled("template"), "template",
            "the saved template would write other marks than the first row of training has",
            "ask in the template of training",
            "The answer was learned behind marks that the prompt no longer has.",
        ),
        Illness(
            "alpha not divided by r", *spoiled("alpha"), "scale",
            "adapter_config.json would state another alpha than run.json",
            "write the alpha of training",
            "The update is added r times as large as it was trained.",
        ),
        Illness(
            "wrong base", *spoiled("base"), "base",
            "the base's hash would be another one now than in run.json",
            "load the base of training",
            "ΔW is a difference to one W; beside another W it is noise.",
        ),
        Illness(
            "end mark forgotten", *spoiled("end masked", TRAYS), "end mark",
            "the end mark of the first row would carry no loss, and replies go on and on",
            "give the end mark a label",
            "A token without a label is never learned, so the model never learns to stop.",
        ),
        Illness(
            "loss on the prompt", *spoiled("prompt learned", replace(BRIEF, steps=20)), "prompt",
            "the first row would carry loss from its first word on",
            "loss on the answers alone",
            "The loss is for the customer's words, too, which nobody can foresee.",
        ),
        Illness(
            "shuffled answers", *spoiled("shuffled"), "pairs",
            "replies would have the right form, and values from nowhere",
            "join questions and answers by key",
            "No answer belongs to its question, so only the form can be learned.",
        ),
        Illness(
            "wrong modules", *spoiled("modules"), "modules",
            "far fewer numbers would be trained than in the other runs",
            "adapt every linear layer",
            "Two small matrices of one layer can't carry the whole change.",
        ),
        Illness(
            "a dead token", *spoiled("dead token", TRAYS), "tokens",
            "the first row would end in a mark that the base never had",
            "train the new mark's embedding too",
            "A new token has no row of its own: the frozen one is the mean of all the others.",
        ),
        Illness(
            "test rows in training", *spoiled("leaked", FACTS), "leak",
            "the score on the test rows would be far above what its validation loss promises",
            "take the test rows out of training",
            "What was learned by heart is asked again: the score says nothing of other questions.",
        ),
        Illness(
            "one wrong row 50 times", *spoiled("repeated", TRAYS), "copies",
            "far fewer training rows would be different ones, and one reply be wrong for sure",
            "keep one copy, and mend it",
            "A row that is there 50 times is weighed 50 times.",
        ),
        Illness(
            "answers cut off", *spoiled("cut"), "cut answers",
            "the first row would stop in the middle of its answer",
            "raise max_length",
            "The end of each answer, with its end mark, was cut away before training.",
        ),
        Illness(
            "two start marks", *spoiled("two starts"), "start mark",
            "the first row would begin with the start mark twice",
            "add special tokens once",
            "The template writes the start mark, and the tokenizer adds it again.",
        ),
    )
}  # fmt: skip
# The patients of notebook 11 in their rooms: what can be seen of them is of the same kind.
ROOMS: dict[str, dict[str, str]] = {
    "curves": {
        "A": "over-fit", "B": "overflow in fp16", "C": "rate too high", "D": "B never trained",
    },
    "replies": {
        "E": "wrong base", "F": "end mark forgotten", "G": "alpha not divided by r",
        "H": "another template",
    },
    "losses": {
        "J": "shuffled answers", "K": "a dead token", "L": "loss on the prompt",
        "M": "wrong modules",
    },
    "rows": {
        "N": "two start marks", "P": "one wrong row 50 times", "Q": "answers cut off",
        "R": "test rows in training",
    },
}  # fmt: skip


def ward_points() -> list[WardRun]:
    """Every run of the ward, seed by seed; a cured run that several share is there once.

    `HALVES` are among them, which are nobody's illness or cure.
    """
    runs = [run for illness in ILLNESSES.values() for run in (illness.sick, illness.cured)]
    return [replace(run, seed=seed) for seed in SEEDS for run in dict.fromkeys([*runs, *HALVES])]


@dataclass(frozen=True)
class HealthyRun:
    """A run by `train` on a task of the kit, at usual settings."""

    task: str = "tickets"
    rows: int = 48
    epochs: float = 3
    lr: float = 4e-3
    r: int = 8  # 0: full fine-tuning
    targets: str = "all-linear"
    replay: float = 0.0  # share of general rows
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class HealthyRow(HealthyRun):
    """Such a run, done: how well it answers, and what the doctor found in its folder."""

    task_score: float  # the share of exactly right answers to some test rows
    found: Sequence[str]  # the doctor's checks that called something wrong
    said: Sequence[str]  # and their sentences
    seconds: float = 0.0


def healthy_points() -> list[HealthyRun]:
    """Eighteen settings that people use, and three seeds of each."""
    tickets, trays = HealthyRun(), HealthyRun("trays", 100, 8)
    settings = [
        tickets,
        replace(tickets, rows=24, epochs=8),
        replace(tickets, r=2, epochs=5),
        replace(tickets, r=32),
        replace(tickets, targets="q,v", epochs=8),
        replace(tickets, r=0, lr=1e-3),
        replace(tickets, replay=0.2),
        trays,
        replace(trays, rows=200, epochs=5),
        replace(trays, rows=200, epochs=8, lr=2e-3, r=16),
        replace(trays, targets="mlp"),
        replace(trays, targets="attention"),
        replace(trays, r=0, lr=1e-3),
        HealthyRun("greeted", 48, 10),
        HealthyRun("greeted", 96, 6),
        HealthyRun("calls", 24, 10),
        HealthyRun("shipments", 96, 10),
        HealthyRun("shipments", 96, 10, lr=2e-3),
    ]
    return [replace(run, seed=seed) for seed in SEEDS for run in settings]
