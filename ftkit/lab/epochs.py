"""Long runs on few rows, some of them wrong, looked at after every epoch: `python -m ftkit grid epochs`
writes data/grids/epochs.json.
"""

import dataclasses
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from .. import data, evaluate, lora, models, train
from ..core.errors import UserError
from ..core.session import setup

SEEDS = (0, 1, 2)
ROWS, EPOCHS, BATCH, JUDGED = (
    24,
    10,
    4,
    60,
)  # training rows, epochs, rows a step; rows to judge on, of validation and of test
SETTINGS = (
    {"lr": 4e-3, "wrong": 0.25},
    {"lr": 4e-3},
    {"lr": 1e-3},
    {"lr": 1e-3, "wrong": 0.25},
    {"lr": 4e-3, "wrong": 0.25, "dropout": 0.1},
)


@dataclass(frozen=True)
class LongRun:
    """One run: LoRA r = 8, alpha = 16 on `ROWS` tickets for `EPOCHS` epochs; `wrong` is the share
    of rows whose answer is spoiled.
    """

    lr: float = 4e-3
    wrong: float = 0.0
    dropout: float = 0.0
    seed: int = 0


def points() -> list[LongRun]:
    """Every run, seed by seed."""
    return [LongRun(**setting, seed=seed) for seed in SEEDS for setting in SETTINGS]


def spoil(rows, share: float, seed: int = 0):
    """Ticket rows of which a share carries wrong answers, as careless labelling leaves them:
    another row's city, item and issue.
    """
    from datasets import Dataset

    if not 0 <= share <= 1 or len(rows) < 2:
        raise UserError(
            f"share is {share} of {len(rows)} rows; give a share from 0 to 1 of two rows or more."
        )
    noise = random.Random(seed)
    golds = [json.loads(m[-1]["content"]) for m in rows["messages"]]
    answers = [m[-1]["content"] for m in rows["messages"]]
    for i in noise.sample(range(len(golds)), round(share * len(golds))):
        other = golds[(i + noise.randrange(1, len(golds))) % len(golds)]
        answers[i] = json.dumps(
            {**golds[i], **{key: other[key] for key in ("city", "item", "issue")}}
        )
    return Dataset.from_list(
        [
            {"messages": [*m[:-1], {**m[-1], "content": a}]}
            for m, a in zip(rows["messages"], answers, strict=True)
        ]
    )


def tune(point: LongRun, epochs: int = EPOCHS):
    """`(run, tokenizer, kept)`: the trained run, its last weights in place, and the adapter's
    weights after each epoch by step.
    """
    import torch

    setup(seed=point.seed)
    model, tokenizer = models.load("pocket")
    splits = data.load("tickets", tokenizer)
    rows = data.first(splits["train"].shuffle(seed=point.seed), ROWS)
    torch.manual_seed(point.seed)
    tuned = lora.attach(model, r=8, alpha=16, dropout=point.dropout)
    moving = [p for p in tuned.parameters() if p.requires_grad]
    kept: dict[int, list] = {}

    def watch(step: int, *_) -> None:
        if step % (ROWS // BATCH) == 0:
            kept[step] = [p.detach().clone() for p in moving]

    examples = {
        "train": spoil(rows, point.wrong, point.seed),
        "validation": data.first(splits["validation"], JUDGED),
    }
    recipe = train.Recipe(
        point.lr, epochs, BATCH, evaluations=epochs, keep_best=False, seed=point.seed
    )
    return train.sft(tuned, tokenizer, examples, recipe, watch=watch), tokenizer, kept


def observe(point: LongRun) -> dict:
    """Train one point and score every epoch's weights: losses in nats per answer token, share of
    test tickets exactly right.
    """
    run, tokenizer, kept = tune(point)
    moving = [p for p in run.model.parameters() if p.requires_grad]
    test = data.first(data.load("tickets")["test"], JUDGED)
    task = []
    for step, weights in kept.items():
        with models.replace_weights(dict(zip(moving, weights, strict=True))):
            task.append((step, evaluate.score(run.model, tokenizer, test, "tuned").task.value))
    return {
        **dataclasses.asdict(point),
        "curve": run.losses,
        "validation": run.validation,
        "task": task,
        "seconds": round(run.seconds, 1),
    }


def best_step(curve: Sequence[Sequence[float]]) -> int:
    """The step of the lowest value: the checkpoint that is kept."""
    return int(min(curve, key=lambda point: point[1])[0])


def stops_at(curve: Sequence[Sequence[float]], patience: int) -> int:
    """The step at which early stopping ends the run: after `patience` points in a row without a new
    lowest value.
    """
    best, waited = float("inf"), 0
    for step, value in curve:
        best, waited = (value, 0) if value < best else (best, waited + 1)
        if waited == patience:
            return int(step)
    return int(curve[-1][0])
