"""Supervised fine-tuning: `sft` takes a model, chats and a recipe, and gives a `Run`.

    run = sft(model, tokenizer, examples, recipe)
    carry_out(model, recipe, made_from, build, …)       any training: from its start to its `Run`
    run.model, run.losses, run.validation, run.loss     what came of it
    run.json()                                          what makes it again, without the data

Underneath is TRL's SFTTrainer (`run.trainer`; see `trainer.py`). It takes a model that is loaded
and has its adapter; a run as a file states it, from the base to the saved adapter, is
`experiment.py`'s and `run_folder.py`'s business. Taught in notebooks 00 and 07.
"""

import contextlib
import functools
import hashlib
import json
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from transformers import set_seed

from .. import data, lora, methods, models
from ..core.errors import UserError
from ..core.results import Result, TableParts, about
from ..core.session import plain_torch, processes, quiet
from ..core.trackers import check_tracker, tracked
from ..core.versions import recorded_versions
from .checkpoint import keep_tokens
from .recipe import Recipe, as_stated, check_together, warn_of_rate
from .resuming import (
    Training,
    as_it_was,
    begin,
    build_trainer,
    is_latest,
    tokenize,
    train_or_resume,
    trained_whole,
    undone_if_broken_off,
)
from .trainer import Kept
from .watcher import STEPS, Curve, Stop, Watch, Watcher, alone

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

UNIT = "nats per answer token"
TRACKED = "tracking"  # the folder of a tracker: beside run.json, or here where there is none


@dataclass(frozen=True, repr=False)
class Run(Result):
    """What a training run did: the model, TRL's trainer, the curves and what it cost."""

    trainer: Kept
    training: Training  # where it started from, and what of the model's it trained
    recipe: Recipe
    losses: Curve  # (step, nats per answer token)
    validation: Curve
    steps: int
    best_step: int
    seconds: float
    trainable: int  # parameters
    total: int
    hashes: dict[str, str] = field(default_factory=dict)
    stopped: str | None = None  # why it ended before its time, if it diverged
    ended_early: bool = False  # somebody asked it to
    notes: list[str] = field(default_factory=list)  # what its numbers do not say, such as rows lost
    rows: dict[str, list[str]] = field(default_factory=dict)  # {split: what each row says, hashed}
    date: str | None = None  # what the chat template wrote, if it writes the date
    curves: dict[str, Curve] = field(default_factory=dict)  # what else was watched, by its name

    @property
    def model(self) -> "PreTrainedModel":
        """The tuned model, or peft's model around it, which has the same calls.

        Raises `UserError` where this run's weights are gone: a later run has trained the same
        model, or its adapter was merged in place.
        """
        if not is_latest(self.trainer.tuned, self.training):
            raise UserError(
                "this run's weights are gone: a later run trained the same model. Give each run a "
                "fresh one, lora.attach(models.load()[0]), or run the cell of this run again."
            )
        if lora.is_attached(self.trainer.tuned):
            lora.check_adapters(self.trainer.tuned)
        return self.trainer.tuned

    @property
    def loss(self) -> float:
        """The last training loss, in nats per answer token; NaN where there was none."""
        return self.losses[-1][1] if self.losses else math.nan

    def table(self) -> TableParts:
        """The run in seven lines, and one more for each note."""
        first = self.losses[0][1] if self.losses else math.nan
        best = min((loss for _, loss in self.validation), default=math.nan)
        unlooked = any("so nothing is validated" in note for note in self.notes)
        share = f"{self.trainable:,} of {self.total:,} ({self.trainable / self.total:.2%})"
        rows = [
            ("starts from", self.training.start),
            ("trainable parameters", share),
            ("steps", f"{self.steps}, kept step ≈{self.best_step}"),
            ("learning rate", f"{self.recipe.lr:g}, {self.recipe.schedule}"),
            ("training loss", f"{about(first)} → {about(self.loss)} {UNIT}"),
            (
                "best validation loss",
                f"{about(best)} {UNIT}"
                if self.validation
                else "no row is left"
                if unlooked
                else "not asked for",
            ),
            ("time", f"≈{self.seconds:.0f} s"),
            *(("note", note) for note in self.notes),
        ]
        return "Supervised fine-tuning", ("", "value"), rows

    def json(self) -> dict:
        """What makes the run again, but for its data: recipe, hashes, versions; and its curves."""
        return {
            "seed": self.recipe.seed,
            "recipe": as_stated(self.recipe),
            "starts_from": self.training.start,
            "hashes": self.hashes,
            "versions": recorded_versions(),
            "steps": self.steps,
            "best_step": self.best_step,
            "seconds": round(self.seconds, 2),
            **({"processes": processes()} if processes() > 1 else {}),
            "trainable": self.trainable,
            "total": self.total,
            "stopped": self.stopped,
            "notes": self.notes,
            "losses": self.losses,
            "validation": self.validation,
            **({"curves": self.curves} if self.curves else {}),
        }


class Diverged(UserError):
    """The loss came out as NaN or infinite.

    `.run` is the run up to there, and its model has the last good weights again.
    """

    def __init__(self, run: Run) -> None:
        super().__init__(run.stopped)
        self.run = run


def hash_sources(model: "PreTrainedModel | PeftModel", rows: "Dataset") -> dict[str, str]:
    """What a run is made from: the fingerprint of its base and the hash of its training rows."""
    base = cast("PreTrainedModel", model)  # of a peft model too: its configuration is the base's
    print_of_base = models.fingerprint(base)
    # trained itself before the adapter came, it is another one than its files
    if lora.is_attached(model) and (since := trained_whole(model.get_base_model())):
        print_of_base = f"unknown: {print_of_base[:12]}… after {since}"
    return {"base": print_of_base, "train": hash_rows(rows)}


def hash_judges(splits: "Mapping[str, Dataset] | DatasetDict", recipe: Recipe) -> dict[str, str]:
    """{"validation": the hash of the rows that judge a run's steps}; {} where none is judged."""
    if not recipe.evaluations:
        return {}
    judges = splits.get("validation")
    return {"validation": hash_rows(judges) if judges is not None and len(judges) else "no rows"}


def hash_rows(rows: "Dataset") -> str:
    """SHA-256 of a split's messages, or its pairs', and of the tools that rows offer."""
    sha = hashlib.sha256()
    for column in ("messages", "prompt", "chosen", "rejected", "tools"):
        for stated in rows[column] if column in rows.column_names else ():
            sha.update(json.dumps(stated, sort_keys=True).encode())
    return sha.hexdigest()


def hash_tokens(rows: "Dataset", max_length: int) -> str:
    """SHA-256 of tokenized rows as they are trained on: their tokens, and which carry loss."""
    sha = hashlib.sha256()
    for ids, labels in zip(rows["input_ids"], rows["labels"], strict=True):
        sha.update(json.dumps([ids[:max_length], labels[:max_length]]).encode())
    return sha.hexdigest()


def prepare(
    model: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    splits: "Mapping[str, Dataset]",
    recipe: Recipe,
) -> "tuple[dict[str, Dataset], dict[str, Any]]":
    """(the splits as tokens, what a run is made from), and a warning of what is lost or absurd.

    What it is made from, by the names of `Run`: hashes, the rows' own, and notes.
    """
    refuse_several(recipe, methods.name_of(model))
    tokenized, notes = tokenize(splits, model, tokenizer, recipe)
    notes += uneven(len(tokenized["train"]), recipe)
    warn(warn_of_rate(recipe.lr, methods.name_of(model) or "lora"), *notes)
    made_from = hash_sources(model, splits["train"]) | hash_judges(splits, recipe)
    rendered = hash_tokens(tokenized["train"], recipe.max_length)
    return tokenized, {
        "hashes": {**made_from, "rendered": rendered},
        "rows": {split: [data.row_hash(row) for row in splits[split]] for split in tokenized},
        "notes": notes,
    }


def refuse_several(recipe: Recipe, method: str | None) -> None:
    """Raise UserError for what several processes can't share."""
    why = "recipe.kl keeps a second model beside the first" if recipe.kl else ""
    why = why or (f"{method} cuts ranks on the way" if method == "adalora" else "")
    why = why or ("packing makes other packs of other rows" if recipe.packing else "")
    if processes() > 1 and why:
        raise UserError(
            f"{processes()} processes share this run, and {why}, which was not made for several; "
            "train it in one, python -m ftkit train."
        )


def uneven(rows: int, recipe: Recipe) -> list[str]:
    """That some rows are seen once more, so that all processes have as many; nothing if none is."""
    many = processes()
    last = rows % recipe.batch_size
    if many == 1 or not last:
        return []
    return [
        f"{rows} rows are no whole number of steps of {recipe.batch_size}, so {many} processes "
        "fill each epoch's last step with rows of its first: its loss is another than one "
        "process's."
    ]


def warn(*sentences: str, level: int = 4) -> None:
    """Warn who called `sft` of what these sentences say; "" says nothing. level: as warnings'."""
    for sentence in filter(None, sentences):
        warnings.warn(sentence, stacklevel=level)


def warn_of_start(training: Training) -> None:
    """Warn who called `sft` of a start that it may not expect: put back, or changed meanwhile."""
    if training.changed:
        warn(
            f"the adapter was changed since a run had trained it ({training.changed}), by other "
            "hands; this run starts from what it is now. Attach a fresh one for an untouched "
            "start.",
            level=5,
        )
    if training.forgot:
        warn(
            f"the adapter was put back to its start: another run had trained it "
            f"({training.forgot}). To go on from there, give that run: train.sft(run, …).",
            level=5,
        )


def explain_unmoved(trainer: Kept, recipe: Recipe) -> str:
    """Why a run that is done acts as its base does, with the cure; "" where it has learned.

    A warm-up begins at rate 0, so a run of one step is nothing but that.
    """
    if trainer.has_learned():
        return ""
    steps, logged = trainer.state.global_step, trainer.state.log_history
    rates = [entry["learning_rate"] for entry in logged if "learning_rate" in entry]
    best = trainer.state.best_global_step
    known = trainer.explain_unmoved()
    if known is not None:
        why, cure = known
    elif recipe.lr == 0:
        why, cure = "lr is 0", "give a learning rate above 0"
    elif not any(rates):
        spell = f"all {steps} steps" if steps > 1 else "the only step"
        why = f"the warm-up begins at a learning rate of 0, and {spell} had that rate"
        cure = "state warmup: 0, more epochs, or a smaller batch_size"
    elif recipe.keep_best and best and best < steps:
        why = f"of the validation points step {best} was the best, and nothing had moved by then"
        cure = "lower lr, or state keep_best: false"
    else:
        why = f"no trained weight moved in {steps} steps at rates up to {max(rates):g}"
        cure = "raise lr"
    return f"nothing was learned: {why}; {cure}."


def check_splits(
    examples: "Mapping[str, Dataset] | DatasetDict | Dataset",
) -> "Mapping[str, Dataset]":
    """The examples by split, one split alone being "train"; refused without a training row."""
    splits = examples if isinstance(examples, Mapping) else {"train": examples}
    splits = cast("Mapping[str, Dataset]", splits)
    if "train" not in splits or not len(splits["train"]):
        raise UserError(
            "there are no training rows; give a data set whose 'train' split holds at least one "
            "chat example."
        )
    return splits


@contextlib.contextmanager
def checkpoint_folder(checkpoints: Path | None) -> Iterator[Path]:
    """The folder for checkpoints: the one that is given, else one that goes with the run."""
    if checkpoints is not None:
        yield checkpoints
        return
    with tempfile.TemporaryDirectory(prefix="ftkit-") as folder:
        yield Path(folder)


def finish_run(
    trainer: Kept, training: Training, watcher: Watcher, stopped: str | None, **made_from: Any
) -> Run:
    """Make the `Run` of a trainer that is done, its model in evaluation mode.

    stopped: why it broke off, if it did; made_from: see `prepare`. A run that learned nothing is
    warned of.
    """
    # else the model would go on computing under autocast
    trainer.accelerator.unwrap_model(trainer.tuned, keep_fp32_wrapper=False)
    seconds, state, recipe = trainer.clock.seconds(), trainer.state, training.recipe
    if early := 0 < watcher.stopped_at < state.max_steps:
        at = f"ended early, as asked: step {watcher.stopped_at} of {state.max_steps}."
        made_from["notes"].append(at)
    if not stopped and (unmoved := explain_unmoved(trainer, recipe)):
        warn(unmoved, level=5)
        made_from["notes"].append(unmoved)

    # what it made, and what it cost
    trainer.tuned.eval()
    training.after, training.steps = models.sums(trainer.tuned), state.global_step
    trainable, total = lora.trainable(trainer.tuned)
    return Run(
        trainer=trainer,
        training=training,
        recipe=recipe,
        losses=watcher.losses,
        validation=watcher.validation,
        steps=state.global_step,
        best_step=state.best_global_step or state.global_step,
        seconds=seconds,
        trainable=trainable,
        total=total,
        stopped=stopped,
        ended_early=early,
        **made_from,
    )


def sft(
    model: "PreTrainedModel | PeftModel | Run",
    tokenizer: "PreTrainedTokenizerBase",
    examples: "Mapping[str, Dataset] | DatasetDict | Dataset",
    recipe: Recipe | None = None,
    stop: Stop | None = None,
    watch: Watch | None = None,
    checkpoints: Path | None = None,
) -> Run:
    """Tune `model` in place on the assistant's tokens of chat examples; returns the `Run`.

    model: a peft model, or a plain one for full fine-tuning. The same call is the same run: an
    adapter that was trained here before is put back to its start. A `Run` in its place goes on from
    that run. examples: {"train": rows} and, if there is one, "validation", of which the best of
    `recipe.evaluations` checkpoints is kept; or rows alone. stop: asked after every step, True ends
    the run. watch: told (step, of so many, losses, validation) after every step. checkpoints: a
    folder; the same call goes on from the last checkpoint there, on a CPU to the same bytes.

    Rows that `recipe.max_length` leaves without an answer are left out: that, and a run that
    learned nothing, is a UserWarning and one of the run's `notes`. Interrupted, it leaves an
    adapter as it was. Raises `Diverged` at a loss that is not finite, and `UserError` where there
    are no rows, where the model lacks a token or a position of theirs, where another run goes on in
    this session, and where the GPU's memory runs out, with a setting that fits.
    """
    recipe = recipe or Recipe()
    check_tracker(recipe.report_to)
    quiet()
    since = model.training if isinstance(model, Run) else None
    model = model.trainer.tuned if isinstance(model, Run) else model
    with alone(f"train.sft at lr {recipe.lr:g}"), plain_torch(), as_it_was(model):
        tokenized, made_from = prepare(model, tokenizer, check_splits(examples), recipe)
        build = functools.partial(build_trainer, model, tokenizer, tokenized, recipe)
        watcher = Watcher(stop, watch)
        run = carry_out(model, recipe, made_from, build, watcher, checkpoints, since)
    if run.stopped:
        raise Diverged(run)
    return run


Build = Callable[..., Kept]  # (folder, watcher, *, lasting): the trainer, ready to train


def carry_out(
    model: "PreTrainedModel | PeftModel",
    recipe: Recipe,
    made_from: dict[str, Any],
    build: Build,
    watcher: Watcher,
    checkpoints: Path | None,
    since: Training | None = None,
) -> Run:
    """The `Run` of any training, from the model's start or from `since`; see `sft` for the rest.

    made_from: hashes, rows and notes, as `prepare` gives them. One that diverged says so in
    `stopped`. It goes inside `alone` and `as_it_was`.
    """
    check_together(recipe)
    if checkpoints is not None:
        keep_tokens(checkpoints, made_from["hashes"]["rendered"])
    training = begin(model, recipe, made_from["hashes"]["rendered"], since)
    warn_of_start(training)
    with undone_if_broken_off(model, training):
        trainer, stopped = train_once(build, recipe, watcher, checkpoints)
        return finish_run(trainer, training, watcher, stopped, **made_from)


def train_once(
    build: Build, recipe: Recipe, watcher: Watcher, checkpoints: Path | None
) -> tuple[Kept, str | None]:
    """(the trainer when it is done, why it broke off or None) of a model that is ready."""
    # everything random from here on comes from the seed
    set_seed(recipe.seed)
    lasting = checkpoints is not None
    report = tracked(recipe.report_to, (checkpoints.parent if checkpoints else Path()) / TRACKED)
    with checkpoint_folder(checkpoints) as folder, contextlib.closing(watcher), report:
        trainer = build(folder, watcher, lasting=lasting)
        watcher.log = folder / STEPS if lasting else None
        return trainer, train_or_resume(trainer, watcher)
