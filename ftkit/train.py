"""Supervised fine-tuning by TRL's SFTTrainer (see `trainer`), with one recipe in and one record out."""

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

from . import lora, models
from .record import Record, about
from .runtime import PACKAGES, UserError, nearest, quiet

SCHEDULES = ("linear", "cosine", "constant_with_warmup")
USUAL = {"LoRA": (1e-5, 1e-2), "full fine-tuning": (1e-6, 1e-3)}  # learning rates that people use, from billions of parameters to few


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of one supervised run. The loss is the mean over the assistant's tokens alone."""

    lr: float = 2e-3
    epochs: float = 2
    batch_size: int = 16
    warmup: float = 0.05  # share of the steps
    schedule: str = "linear"
    weight_decay: float = 0.0
    micro_batch: int | None = None  # rows at once, a divisor of batch_size; None: as many as a GPU has room for, a few on a CPU
    checkpointing: bool = False  # a layer keeps its input alone and runs again in the backward pass: less memory, more time
    max_length: int = 512  # tokens; longer rows are cut at the end
    packing: bool = False  # several rows in one sequence
    evaluations: int = 3  # validation points (0: train to the end and keep the last step)
    keep_best: bool = True  # of the validation points; False keeps the last step
    kl: float = 0.0  # weight of KL(base ‖ model), nats per answer token, beside the loss (Li & Hoiem 2016)
    patience: int | None = None  # stop after so many validation points without a new best
    seed: int = 0

    def __post_init__(self):
        for name, high in {"epochs": 1000, "batch_size": 4096, "max_length": 1 << 20}.items():
            if not is_number(value := getattr(self, name)) or not 0 < value <= high:
                raise UserError(f"{name} is {value!r}; give a number above 0 and up to {high:,}.")
        for name in ("batch_size", "max_length", "evaluations", "seed"):
            if not is_whole(value := getattr(self, name)) or value < 0:
                raise UserError(f"{name} is {value!r}; give a whole number from 0 on.")
        if (micro := self.micro_batch) is not None and (not is_whole(micro) or micro < 1 or self.batch_size % micro):
            raise UserError(f"micro_batch is {micro!r}; give null, or a whole number that divides batch_size, {self.batch_size}.")
        for name in ("checkpointing", "packing", "keep_best"):
            if not isinstance(value := getattr(self, name), bool):
                raise UserError(f"{name} is {value!r}; give true or false.")
        for name in ("lr", "weight_decay", "kl"):
            if not is_number(value := getattr(self, name)) or value < 0:
                raise UserError(f"{name} is {value!r}; give a number from 0 on.")
        if self.schedule not in SCHEDULES:
            raise UserError(f"schedule is {self.schedule!r}; give one of {', '.join(SCHEDULES)}.{nearest(self.schedule, SCHEDULES)}")
        if not is_number(self.warmup) or not 0 <= self.warmup < 1:
            raise UserError(f"warmup is {self.warmup!r}; it is a share of the steps, from 0 to below 1.")
        if self.patience is not None and (not is_whole(self.patience) or self.patience < 1):
            raise UserError(f"patience is {self.patience!r}; give a whole number of validation points from 1 on, or null.")
        if self.patience is not None and not self.evaluations:
            raise UserError("patience counts validation points; set evaluations above 0 too.")


def is_number(value: object) -> bool:
    """True for a finite number, which True and False are not meant to be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> bool:
    """True for a whole number."""
    return is_number(value) and isinstance(value, int)


def unusual(lr: float, method: str) -> str:
    """What to expect of a learning rate far outside the `USUAL` range of a method, as a sentence; empty for all others."""
    low, high = USUAL[method]
    if low / 100 <= lr <= 10 * high:
        return ""
    fate = "nothing is learned" if lr == 0 else "next to nothing is learned" if lr < low else "the run may well diverge"
    return f"lr is {lr:g}, so {fate}: for {method} usual rates lie between {low:g} and {high:g}, the larger the model the lower."


@dataclass(frozen=True, repr=False)
class Run(Record):
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
            ("trainable parameters", f"{self.trainable:,} of {self.total:,} ({self.trainable / self.total:.2%})"),
            ("steps", f"{self.steps}, kept step ≈{self.best_step}"),
            ("learning rate", f"{self.recipe.lr:g}, {self.recipe.schedule}"),
            ("training loss", f"{about(self.losses[0][1] if self.losses else math.nan)} → {about(self.loss)} nats per answer token"),
            ("best validation loss", f"{about(best)} nats per answer token" if self.validation else "not asked for"),
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
    """The loss came out as NaN or infinite. `.run` is the run up to there, and its model has the last good weights again."""

    def __init__(self, run: Run):
        super().__init__(run.stopped)
        self.run = run


def hashes(model, rows) -> dict[str, str]:
    """What a run was made from: its base and its training rows."""
    return {"base": models.fingerprint(model), "train": digest(rows)}


def digest(rows) -> str:
    """SHA-256 of a split's messages."""
    sha = hashlib.sha256()
    for messages in rows["messages"]:
        sha.update(json.dumps(messages, sort_keys=True).encode())
    return sha.hexdigest()


def sft(model, tokenizer, examples, recipe: Recipe | None = None, stop=None, watch=None, checkpoints: Path | None = None) -> Run:
    """Tune `model` (a peft model, or a plain one for full fine-tuning) on the assistant's tokens of chat examples; returns the `Run`.

    examples: a DatasetDict with "train" and, if it has one, "validation"; or one Dataset. The model is trained in place.
    Where there is a validation split, the best of `recipe.evaluations` checkpoints by validation loss is kept.
    stop: a function asked after every step; True ends the run early.
    watch: a function told (step, of so many, losses, validation) after every step.
    checkpoints: a folder for checkpoints; the same call goes on from the last one it finds there, on a CPU to the same bytes.
    Raises `Diverged` at a loss that is NaN or infinite, with the best checkpoint's weights in the model, or without one those
    that gave the last finite loss: a copy of the trained weights is held for it. Where the GPU's memory runs out, the UserError
    says what of the step to shrink, and a setting that fits (see `room`).
    """
    from transformers import set_seed

    from . import trainer as trl

    recipe = recipe or Recipe()
    quiet()
    splits = examples if isinstance(examples, Mapping) else {"train": examples}
    if "train" not in splits or not len(splits["train"]):
        raise UserError("there are no training rows; give a data set whose 'train' split holds at least one chat example.")
    if said := unusual(recipe.lr, "LoRA" if lora.is_attached(model) else "full fine-tuning"):
        warnings.warn(said, stacklevel=2)
    losses: list[tuple[int, float]] = []
    validation: list[tuple[int, float]] = []
    with contextlib.ExitStack() as stack:
        set_seed(recipe.seed)
        folder = checkpoints or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ftkit-")))
        trainer = trl.build(model, tokenizer, splits, recipe, folder, trl.Watcher(losses, validation, stop, watch))
        trainer.lasting = checkpoints is not None
        stopped = trl.proceed(trainer, folder, losses, validation)
        trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)  # else it would run under autocast from here on
        seconds = time.perf_counter() - trainer.began
    state, (on, total) = trainer.state, lora.trainable(trainer.model)
    best = state.best_global_step or state.global_step
    made_from = hashes(model, splits["train"])
    run = Run(trainer.model.eval(), trainer, recipe, losses, validation, state.global_step, best, seconds, on, total, made_from, stopped)
    if stopped:
        raise Diverged(run)
    return run
