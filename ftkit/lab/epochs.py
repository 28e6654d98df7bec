"""Long runs on few rows, some of them wrong, looked at after every epoch: the grid "epochs".

    points()            its runs
    measure(point)      train one and score every epoch's weights: a `LongRow`
    spoil(rows, share)  rows of which a share carries wrong answers
    best_step(curve)    the checkpoint that is kept; stops_at(curve, patience) where waiting ends

`python -m ftkit grid epochs` makes the grid (`runner`), notebook 07 reads it (`grids`).
"""

import json
import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from datasets import Dataset

from .. import data, evaluate, lora, models, train
from ..core.errors import UserError
from ..core.session import setup
from .points import MODEL, SEEDS, LongRow, LongRun

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS = 24  # training rows
EPOCHS = 10
BATCH = 4  # rows per step
JUDGED = 60  # rows to judge on, of validation and of test
WRONG_FIELDS = ("city", "item", "issue")  # what a wrong answer has from another ticket
SETTINGS = (
    {"lr": 4e-3, "wrong": 0.25},
    {"lr": 4e-3},
    {"lr": 1e-3},
    {"lr": 1e-3, "wrong": 0.25},
    {"lr": 4e-3, "wrong": 0.25, "dropout": 0.1},
)


class Tuned(NamedTuple):
    """A trained run with its last weights in place, and the weights that it had before."""

    run: "train.Run"
    tokenizer: "PreTrainedTokenizerBase"
    by_step: dict[int, list[torch.Tensor]]  # the adapter's weights after each epoch, by step


def points() -> list[LongRun]:
    """Every run, seed by seed."""
    return [LongRun(**setting, seed=seed) for seed in SEEDS for setting in SETTINGS]


def spoil(rows: Dataset, share: float, seed: int = 0) -> Dataset:
    """Ticket rows of which a share carries wrong answers, as careless labelling leaves them.

    A wrong answer has another row's city, item and issue, the rest is right. Raises UserError for
    a share outside 0 to 1, and for fewer than two rows.
    """
    if not 0 <= share <= 1 or len(rows) < 2:
        raise UserError(
            f"share is {share} of {len(rows)} rows; give a share from 0 to 1 of two rows or more."
        )
    noise = random.Random(seed)
    chats = [list(messages) for messages in rows["messages"]]
    golds = [json.loads(chat[-1]["content"]) for chat in chats]
    for i in noise.sample(range(len(golds)), round(share * len(golds))):
        # any row but this one
        other = golds[(i + noise.randrange(1, len(golds))) % len(golds)]
        wrong = golds[i] | {key: other[key] for key in WRONG_FIELDS}
        chats[i][-1] = {**chats[i][-1], "content": json.dumps(wrong)}
    return Dataset.from_list([{"messages": chat} for chat in chats])


def tune(point: LongRun, epochs: int = EPOCHS) -> Tuned:
    """Train one run, and copy the adapter's weights after each epoch."""
    setup(seed=point.seed)
    model, tokenizer = models.load(MODEL)
    splits = data.load("tickets", tokenizer)
    rows = data.first(splits["train"].shuffle(seed=point.seed), ROWS)
    examples = {
        "train": spoil(rows, point.wrong, point.seed),
        "validation": data.first(splits["validation"], JUDGED),
    }
    # the adapter's start is drawn from the run's seed, whatever was drawn before
    torch.manual_seed(point.seed)
    tuned = lora.attach(model, r=8, alpha=16, dropout=point.dropout)
    trained = models.trained_parameters(tuned)
    by_step: dict[int, list[torch.Tensor]] = {}

    def copy_after_epoch(step: int, *_: object) -> None:
        if step % (ROWS // BATCH) == 0:
            by_step[step] = [parameter.detach().clone() for parameter in trained]

    recipe = train.Recipe(
        point.lr, epochs, BATCH, evaluations=epochs, keep_best=False, seed=point.seed
    )
    run = train.sft(tuned, tokenizer, examples, recipe, watch=copy_after_epoch)
    return Tuned(run, tokenizer, by_step)


def measure(point: LongRun) -> LongRow:
    """Train one point and score every epoch's weights on test tickets."""
    run, tokenizer, by_step = tune(point)
    trained = models.trained_parameters(run.model)
    test = data.first(data.load("tickets")["test"], JUDGED)
    # each epoch's weights, put into the model for as long as they are asked
    task = []
    for step, weights in by_step.items():
        with models.replace_weights(dict(zip(trained, weights, strict=True))):
            task.append((step, evaluate.score(run.model, tokenizer, test, "tuned").task.value))
    return LongRow(
        **vars(point),
        curve=run.losses,
        validation=run.validation,
        task=task,
        seconds=round(run.seconds, 1),
    )


def best_step(curve: Sequence[Sequence[float]]) -> int:
    """The step of the lowest value: the checkpoint that is kept."""
    return int(min(curve, key=lambda point: point[1])[0])


def stops_at(curve: Sequence[Sequence[float]], patience: int) -> int:
    """The step at which early stopping ends the run.

    It waits for `patience` points in a row without a new lowest value, or for the curve's end.
    """
    lowest, waited = float("inf"), 0
    for step, value in curve:
        if value < lowest:
            lowest, waited = value, 0
        else:
            waited += 1
        if waited == patience:
            return int(step)
    return int(curve[-1][0])
