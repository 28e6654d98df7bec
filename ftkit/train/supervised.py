"""Supervised fine-tuning by TRL's SFTTrainer (see `trainer`), with one recipe in and one record
out.
"""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import math
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .. import lora, models
from ..core.errors import UserError
from ..core.results import Result, about
from ..core.session import quiet
from ..core.versions import PACKAGES
from .recipe import Recipe, warn_of_rate
from .trainer import Watcher, build_trainer, train_or_resume


@dataclass(frozen=True, repr=False)
class Run(Result):
    """What a training run did: the model, TRL's trainer, the curves and what it cost."""

    model: object
    trainer: object
    recipe: Recipe
    losses: list[tuple[int, float]]  # (step, nats per answer token)
    validation: list[tuple[int, float]]
    steps: int
    best_step: int
    seconds: float
    trainable: int
    total: int
    hashes: dict[str, str] = field(default_factory=dict)
    stopped: str | None = None  # why it ended before its time, if it diverged

    @property
    def loss(self) -> float:
        """The last training loss, in nats per answer token; NaN where there was none."""
        return self.losses[-1][1] if self.losses else math.nan

    def table(self):
        """The run in seven lines."""
        best = min(self.validation, key=lambda p: p[1])[1] if self.validation else math.nan
        rows = [
            (
                "trainable parameters",
                f"{self.trainable:,} of {self.total:,} ({self.trainable / self.total:.2%})",
            ),
            ("steps", f"{self.steps}, kept step ≈{self.best_step}"),
            ("learning rate", f"{self.recipe.lr:g}, {self.recipe.schedule}"),
            (
                "training loss",
                f"{about(self.losses[0][1] if self.losses else math.nan)} → {about(self.loss)} nats per answer token",
            ),
            (
                "best validation loss",
                f"{about(best)} nats per answer token" if self.validation else "not asked for",
            ),
            ("time", about(self.seconds, 2, " s")),
        ]
        return "Supervised fine-tuning", ("", "value"), rows

    def record(self) -> dict:
        """Everything that makes the run again, as JSON."""
        versions = {p: importlib.metadata.version(p) for p in PACKAGES}
        return {
            "seed": self.recipe.seed,
            "recipe": dataclasses.asdict(self.recipe),
            "hashes": self.hashes,
            "versions": versions,
            "steps": self.steps,
            "best_step": self.best_step,
            "seconds": round(self.seconds, 2),
            "trainable": self.trainable,
            "total": self.total,
            "stopped": self.stopped,
            "losses": self.losses,
            "validation": self.validation,
        }


class Diverged(UserError):
    """The loss came out as NaN or infinite. `.run` is the run up to there, and its model has the
    last good weights again.
    """

    def __init__(self, run: Run):
        super().__init__(run.stopped)
        self.run = run


def hash_sources(model, rows) -> dict[str, str]:
    """What a run was made from: its base and its training rows."""
    return {"base": models.fingerprint(model), "train": digest(rows)}


def digest(rows) -> str:
    """SHA-256 of a split's messages."""
    sha = hashlib.sha256()
    for messages in rows["messages"]:
        sha.update(json.dumps(messages, sort_keys=True).encode())
    return sha.hexdigest()


def sft(
    model,
    tokenizer,
    examples,
    recipe: Recipe | None = None,
    stop=None,
    watch=None,
    checkpoints: Path | None = None,
) -> Run:
    """Tune `model` (a peft model, or a plain one for full fine-tuning) on the assistant's tokens of
    chat examples; returns the `Run`.

    examples: a DatasetDict with "train" and, if it has one, "validation"; or one Dataset. The model
    is trained in place. Where there is a validation split, the best of `recipe.evaluations`
    checkpoints by validation loss is kept.
    stop: a function asked after every step; True ends the run early.
    watch: a function told (step, of so many, losses, validation) after every step.
    checkpoints: a folder for checkpoints; the same call goes on from the last one it finds there,
    on a CPU to the same bytes. Raises `Diverged` at a loss that is NaN or infinite, with the best
    checkpoint's weights in the model, or without one those
    that gave the last finite loss: a copy of the trained weights is held for it. Where the GPU's
    memory runs out, the UserError says what of the step to shrink, and a setting that fits (see
    `room`).
    """
    from transformers import set_seed

    recipe = recipe or Recipe()
    quiet()
    splits = examples if isinstance(examples, Mapping) else {"train": examples}
    if "train" not in splits or not len(splits["train"]):
        raise UserError(
            "there are no training rows; give a data set whose 'train' split holds at least one chat example."
        )
    if said := warn_of_rate(recipe.lr, "LoRA" if lora.is_attached(model) else "full fine-tuning"):
        warnings.warn(said, stacklevel=2)
    losses: list[tuple[int, float]] = []
    validation: list[tuple[int, float]] = []
    with contextlib.ExitStack() as stack:
        set_seed(recipe.seed)
        folder = checkpoints or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="ftkit-"))
        )
        trainer = build_trainer(
            model, tokenizer, splits, recipe, folder, Watcher(losses, validation, stop, watch)
        )
        trainer.lasting = checkpoints is not None
        stopped = train_or_resume(trainer, folder, losses, validation)
        trainer.accelerator.unwrap_model(
            trainer.model, keep_fp32_wrapper=False
        )  # else it would run under autocast from here on
        seconds = time.perf_counter() - trainer.began
    state, (on, total) = trainer.state, lora.trainable(trainer.model)
    best = state.best_global_step or state.global_step
    made_from = hash_sources(model, splits["train"])
    run = Run(
        trainer.model.eval(),
        trainer,
        recipe,
        losses,
        validation,
        state.global_step,
        best,
        seconds,
        on,
        total,
        made_from,
        stopped,
    )
    if stopped:
        raise Diverged(run)
    return run
