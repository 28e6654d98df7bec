"""Runs in which nothing is wrong: how often does the doctor call one of them sick?

    measure_healthy(run)    train it by the kit's own trainer, score it, and ask the doctor

Eighteen usual settings, and three seeds of each, stand in `illnesses.healthy_points`. They were
chosen before the doctor saw any of them. `python -m ftkit grid healthy` makes all. Notebook 11.
"""

import json
import random
import tempfile
from pathlib import Path

from .. import data, doctor, evaluate, models, studies, train
from ..studies import BATCH, DataRun
from .illnesses import HealthyRow, HealthyRun

TESTED, HELD_OUT = 24, 16  # test rows, and rows for the validation loss
ASKED = 12  # test rows that are scored


def measure_healthy(run: HealthyRun) -> HealthyRow:
    """A run by the kit's own trainer, its score, and what the doctor says of its folder."""
    wanted = {"r": run.r, "alpha": 2 * run.r, "targets": run.targets} if run.r else None
    recipe = train.Recipe(run.lr, run.epochs, BATCH, seed=run.seed)
    with tempfile.TemporaryDirectory(prefix="ftkit-healthy-") as folder:
        file = write_rows(run, Path(folder, "mine.jsonl"))
        experiment = train.Experiment(
            model="pocket", data=str(file), lora=wanted, replay=run.replay, recipe=recipe
        )
        done = train.train_into(experiment, Path(folder, "run"))
        assert done is not None  # the folder is new
        wrong = doctor.examine(Path(folder, "run")).wrong
        tokenizer, rows = models.load_tokenizer("pocket"), data.test_rows(str(file))
        score = evaluate.score(done.model, tokenizer, data.first(rows, ASKED))
    return HealthyRow(
        **vars(run),
        task_score=score.task.value,
        found=[finding.check for finding in wrong],
        said=[finding.detail.replace(folder, "…") for finding in wrong],
        seconds=round(done.seconds, 1),
    )


def write_rows(run: HealthyRun, file: Path) -> Path:
    """A file as people bring it: rows that state their split, drawn by the run's seed."""
    held_out = data.test_rows(run.task).to_list()
    random.Random(f"healthy {run.seed}").shuffle(held_out)
    splits = {
        "train": studies.draw(DataRun(run.task, run.rows, seed=run.seed)),
        "test": held_out[:TESTED],
        "validation": held_out[TESTED : TESTED + HELD_OUT],
    }
    lines = [
        json.dumps({"messages": row["messages"], "split": split})
        for split, rows in splits.items()
        for row in rows
    ]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file
