"""Train to the end, or go on from the last checkpoint after a kill; what to do when it breaks off.

    build_trainer(model, tokenizer, splits, recipe, folder, watcher)    a `Keeper`, ready to train
    train_or_resume(trainer, watcher)    go on from the last checkpoint; why it broke off, or None

A run goes on from the last checkpoint in its folder. It ends early in two ways that a reader can
mend: a loss that is not finite gives the last good weights back, and a full GPU is a `UserError`
that says what fits. What `sft` reports of a run is `supervised.py`'s business. Used by notebook 00
and all that train; notebook 07 breaks a run on purpose.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerState

from .. import memory, models
from ..core.errors import UserError
from ..memory import room_for
from .batches import as_trl, cut, refuse_unreadable, rows_at_once
from .checkpoint import HASHES, Clock, check_hashes, read_state, whole_checkpoints
from .recipe import Recipe
from .trainer import Keeper, NearBase, hold_in_float32, rhythm, sft_config
from .watcher import Watcher

# What a checkpoint to go on from holds beside the weights.
PARTS = ("trainer_state.json", "state.json", "state.safetensors", HASHES)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel


def build_trainer(
    model: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    splits: "Mapping[str, Dataset]",
    recipe: Recipe,
    folder: Path,
    watcher: Watcher,
    *,
    lasting: bool = False,
) -> Keeper:
    """The trainer for a `Recipe`, with `watcher` among its callbacks; its checkpoints in `folder`.

    splits: those of `tokenize`. lasting: the checkpoints are there to go on from.
    """
    # TRL's arguments, and how many rows go at once
    rows, validated = splits["train"], "validation" in splits
    micro = rows_at_once(model, rows, recipe)
    config = sft_config(recipe, folder, rows=len(rows), micro=micro, validated=validated)
    # the trainer itself, which cuts the rows, and packs them if it is asked to
    options: dict[str, Any] = {
        "args": config,
        "processing_class": tokenizer,
        "callbacks": [watcher, *early_stopping(recipe, validated=validated)],
        "train_dataset": rows,
        "eval_dataset": splits.get("validation"),
        "lasting": lasting,
    }
    trainer = NearBase(model, kl=recipe.kl, **options) if recipe.kl else Keeper(model, **options)
    # what TRL left to mend: dtypes, a callback that prints, points counted before it packed
    if config.fp16:
        hold_in_float32(trainer.tuned)
    trainer.remove_callback(PrinterCallback)
    packed = len(cast("Dataset", trainer.train_dataset))
    for name, value in rhythm(recipe, packed, validated=validated).items():
        setattr(config, name, value)
    return trainer


def tokenize(
    splits: "Mapping[str, Dataset]",
    model: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    recipe: Recipe,
) -> "tuple[dict[str, Dataset], list[str]]":
    """(the splits that a run uses as tokens, what has to be said of them), before anything trains.

    Rows that max_length leaves without an answer are left out and counted, in each split; so the
    validation split is missing where none is left. Raises UserError where no training row is left,
    and for what the model cannot read.
    """
    tokenized, notes = {}, []
    for split in ("train", "validation") if recipe.evaluations else ("train",):
        if not len(splits.get(split, ())):
            continue
        rows = as_trl(splits[split], tokenizer, split)
        kept = cut(rows, recipe.max_length, split)
        if split == "train" and not kept.left:
            raise UserError(
                f"every row is masked: no answer token is left within "
                f"max_length={recipe.max_length}, so there is nothing to learn; raise max_length, "
                f"the longest row has {kept.longest} tokens, or shorten the rows."
            )
        refuse_unreadable(rows, model, tokenizer, recipe.max_length, split)
        notes += [kept.note] if kept.note else []
        if kept.left:
            lost = set(kept.lost)
            places = [place for place in range(len(rows)) if place + 1 not in lost]
            tokenized[split] = rows.select(places) if lost else rows
    return tokenized, notes


def early_stopping(recipe: Recipe, *, validated: bool) -> list[EarlyStoppingCallback]:
    """The callback that counts a recipe's patience, where it has any and there is what to count."""
    if recipe.patience is None or not validated:
        return []
    return [EarlyStoppingCallback(early_stopping_patience=recipe.patience)]


def train_or_resume(trainer: Keeper, watcher: Watcher) -> str | None:
    """Train from the start, or go on from the last checkpoint of a trainer whose checkpoints last.

    Returns why it broke off, as a sentence, if the loss did not stay finite.
    """
    last = last_checkpoint(trainer)
    trainer.clock = Clock()
    if last is not None and take_over(trainer, watcher, last):
        return None
    try:
        train_within_memory(trainer, last)
        refuse_infinite_weights(trainer)
    except FloatingPointError as error:
        return end_diverged(trainer, error)
    return None


def last_checkpoint(trainer: Keeper) -> Path | None:
    """The checkpoint to go on from, None without one; refused where it is damaged or not whole."""
    paths = list(whole_checkpoints(trainer.folder).values()) if trainer.lasting else []
    if not paths:
        return None
    last = paths[-1]
    missing = [name for name in PARTS if not (last / name).is_file()]
    if not any(last.glob("*model*.safetensors")):
        missing.append("its weights")
    if missing:
        raise UserError(
            f"{last} is no whole checkpoint ({missing[0]} missing); remove or rename it, and the "
            "same command goes on from the one before."
        )
    for file in last.glob("*.safetensors"):
        models.check_safetensors(file)
    # the one to go on from, and the best so far
    for path in paths:
        if (path / HASHES).is_file():
            check_hashes(path)
    return last


def take_over(trainer: Keeper, watcher: Watcher, last: Path) -> bool:
    """Take over curves and clock from a checkpoint; True where nothing is left to train.

    That is so when the process died between the last step and the end of the run. Else the Trainer
    reads weights and moments when it is told to go on from there.
    """
    state = TrainerState.load_from_json(str(last / "trainer_state.json"))
    more = read_state(last)
    watcher.add_history(state.log_history)
    trainer.clock = Clock(spent=more["seconds"])
    if more["over"]:
        trainer.adopt(last, state)
    return more["over"]


def refuse_infinite_weights(trainer: Keeper) -> None:
    """Raise FloatingPointError where the last step, after which no loss comes, broke a weight."""
    if not all(weight.isfinite().all() for weight in models.trained_parameters(trainer.tuned)):
        raise FloatingPointError(f"a weight is not finite after step {trainer.state.global_step}")


def end_diverged(trainer: Keeper, error: FloatingPointError) -> str:
    """End a run that diverged, good weights in its model; returns what happened and the cure."""
    trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
    step = trainer.put_back()
    return (
        f"{error} of {trainer.state.max_steps}; the weights after step {step} are kept. To mend "
        f"it, lower the learning rate (lr is {trainer.args.learning_rate:g}) or warm up longer."
    )


def train_within_memory(trainer: Keeper, last: Path | None) -> None:
    """Train, from a checkpoint or the start; a full GPU is a `UserError` that says what fits.

    The memory of the step that did not fit is free again by then.
    """
    room = room_for(trainer.tuned)
    if fits_memory(trainer, last):
        return
    trainer.let_go()

    # the step that did not fit: its longest row, and as many rows as there are
    args = trainer.args
    lengths = [len(ids) for ids in cast("Dataset", trainer.train_dataset)["input_ids"]]
    autocast = "bfloat16" if args.bf16 else "float16" if args.fp16 else None
    raise UserError(
        memory.explain_full_gpu(
            trainer.tuned,
            rows=min(args.per_device_train_batch_size, len(lengths)),
            tokens=max(lengths),
            checkpointing=bool(args.gradient_checkpointing),
            autocast=autocast,
            room=room,
        )
    )


def fits_memory(trainer: Keeper, last: Path | None) -> bool:
    """Train, and say whether the GPU's memory was enough.

    torch's error ends here: as the context of the next error it would keep the frames of the step,
    and they its tensors.
    """
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    except torch.OutOfMemoryError:
        return False
    return True
