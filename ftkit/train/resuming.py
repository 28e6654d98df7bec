"""Where a run starts, and how it ends: anew, from the last checkpoint, or broken off.

    begin(model, recipe, rows, since)    where it starts from: the adapter's start, or `since`'s end
    as_it_was(model)                     in a `with`: what training switches is switched back
    build_trainer(model, tokenizer, splits, recipe, folder, watcher)    a `Keeper`, ready to train
    train_or_resume(trainer, watcher)    go on from the last checkpoint; why it broke off, or None

The same call on the same adapter is the same run: the adapter is put back to its start. A run goes
on from the last checkpoint in its folder. It ends early in two ways that a reader can
mend: a loss that is not finite gives the last good weights back, and a full GPU is a `UserError`
that says what fits. What `sft` reports of a run is `supervised.py`'s business. Used by notebook 00
and all that train; notebook 07 breaks a run on purpose.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerState

from .. import data, lora, memory, methods, models
from ..core.errors import UserError
from ..memory import room_for
from .batches import as_trl, cut, refuse_unreadable, rows_at_once
from .checkpoint import HASHES, Clock, check_hashes, read_state, whole_checkpoints
from .recipe import Recipe, warn_of_rate
from .trainer import Keeper, Kept, NearBase, Pruner, hold_in_float32, rhythm, sft_config
from .watcher import Watcher

ENDLESS = (
    "the chat template writes no end behind an answer, so none is learned, and a reply goes on "
    "until it is cut off; let the template end an answer, as in {{ message.content + eos_token }}."
)
# What a checkpoint to go on from holds beside the weights.
PARTS = ("trainer_state.json", "state.json", "state.safetensors", HASHES)
# The attribute of a model that holds {names of trained parameters: [each `Training` of them]}.
TRAININGS = "ftkit_trainings"

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel


@dataclass(eq=False)
class Training:
    """A training that weights have been through in this session."""

    recipe: Recipe
    rows: str  # the hash of its rows as tokens
    start: str  # where it started from, in words
    # what an adapter was before it, on the CPU, by name; None where the model itself is trained
    before: "dict[str, torch.Tensor] | None"
    after: models.Sums | None = None  # of the weights that it left; None where it broke off
    steps: int = 0
    changed: str = ""  # the training after which other hands changed the weights
    forgot: str = ""  # the training that was taken back for it, where that was another call

    def __str__(self) -> str:
        done = f"{self.steps} steps" if self.after is not None else "a run that broke off,"
        return f"{done} at lr {self.recipe.lr:g}"


def begin(
    model: "PreTrainedModel | PeftModel",
    recipe: Recipe,
    rows: str,
    since: Training | None = None,
) -> Training:
    """The `Training` that begins now, noted on the model; its adapter is at its start.

    rows: their hash. since: the training to go on from; by default an adapter that `sft` has
    trained already is put back to what it was before. A model that was trained itself can't be:
    `UserError`.
    """
    check_trainable(model)
    noted = vars(model).setdefault(TRAININGS, {})
    earlier: list[Training] = noted.setdefault(frozenset(named_trained(model)), [])
    forgot = changed = ""
    if since is not None:
        start = go_on(model, earlier, since)
    elif earlier and earlier[0].before is None:
        raise UserError(
            f"this model was trained already ({earlier[-1]}), all of it, so a run would go on "
            "from there; load it again by models.load() for a fresh start, or go on by giving "
            "that run: train.sft(run, …)."
        )
    elif earlier and earlier[-1].after == models.sums(model):
        start, last = earlier[0].start, earlier[-1]
        forgot = str(last) if (last.recipe, last.rows) != (recipe, rows) else ""
        put_back(model, earlier[0])
        earlier.clear()
    else:
        # never trained, or changed by other hands since
        changed = str(earlier[-1]) if earlier else ""
        earlier.clear()
        start = describe_start(model)
    before = None
    if lora.is_attached(model):
        before = {n: p.detach().cpu().clone() for n, p in named_trained(model).items()}
    earlier.append(Training(recipe, rows, start, before, changed=changed, forgot=forgot))
    return earlier[-1]


def describe_start(model: "PreTrainedModel | PeftModel") -> str:
    """Where a run starts that no earlier one of this session has trained, in words."""
    if not lora.is_attached(model):
        return "the model as it was given"
    since = trained_whole(model.get_base_model())
    on_it = f", on a base trained before, {since}" if since else ""
    return lora.describe_start(model) + on_it


def trained_whole(base: torch.nn.Module) -> str:
    """The last training in which a model was trained itself, in words; "" without one."""
    noted = [training for each in vars(base).get(TRAININGS, {}).values() for training in each]
    return str(noted[-1]) if noted else ""


def go_on(model: "PreTrainedModel | PeftModel", earlier: list[Training], since: Training) -> str:
    """Where a run starts that goes on from `since`, in words; the weights are those it ended with.

    A later training is taken back. Raises `UserError` where the weights are gone.
    """
    place = next((n for n, one in enumerate(earlier) if one is since), None)
    later = earlier[place + 1 :] if place is not None else []
    if place is None or since.after is None or (later and later[0].before is None):
        first = "" if since.before is not None else "load its model again by models.load(), then "
        raise UserError(
            f"the weights that this run ended with are gone: its model was trained again since; "
            f"{first}run the cell that made the run once more, and this one after it."
        )
    if later:
        put_back(model, later[0])
        del earlier[place + 1 :]
    other = "" if since.after == models.sums(model) else " and changed by other hands since"
    what = "an adapter" if since.before is not None else "a model"
    steps = sum(training.steps for training in earlier)
    through = f" in {len(earlier)} runs" if len(earlier) > 1 else f" at lr {since.recipe.lr:g}"
    return f"{what} trained before, {steps} steps{through}{other}"


def check_trainable(model: "PreTrainedModel | PeftModel") -> None:
    """Refuse a model of which nothing can be trained; an adapter that was loaded is unfrozen."""
    if not lora.is_attached(model):
        lora.check_bare(model, "train the model that lora.attach or lora.load gave back")
    elif not named_trained(model):
        model.set_adapter(model.active_adapters[0])  # loaded to be used, it is frozen
    if not named_trained(model):
        raise UserError(
            "every weight of this model is frozen, so nothing would be trained; attach an adapter "
            "by lora.attach(model), or unfreeze all by model.requires_grad_(True)."
        )


def named_trained(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    """{name: parameter} of those that are trained."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def put_back(model: torch.nn.Module, training: Training) -> None:
    """Give an adapter the very numbers that it had before a training."""
    for name, parameter in named_trained(model).items():
        parameter.data = (training.before or {})[name].to(parameter.data, copy=True)


@contextmanager
def undone_if_broken_off(model: torch.nn.Module, training: Training) -> Iterator[None]:
    """Give an adapter back what it was where its training breaks off inside the block.

    A model that is trained itself keeps what it has learned, and the next run is refused for it.
    """
    try:
        yield
    except BaseException:
        if training.before is not None:
            put_back(model, training)
            vars(model)[TRAININGS][frozenset(training.before)].remove(training)
        raise


def is_latest(model: torch.nn.Module, training: Training) -> bool:
    """Whether the weights that this training left are still the model's."""
    noted = vars(model).get(TRAININGS, {}).values()
    return any(trainings and trainings[-1] is training for trainings in noted)


@contextmanager
def as_it_was(model: "PreTrainedModel | PeftModel") -> Iterator[None]:
    """Switch back after the block what training switches: the cache, and checkpointing.

    Where the block breaks off, so are the forward and the mode of training or evaluation, and
    gradients are let go.
    """
    inner = cast("PreTrainedModel", model.get_base_model() if lora.is_attached(model) else model)
    cache, checkpointed = getattr(inner.config, "use_cache", None), is_checkpointed(inner)
    modes = {module: module.training for module in model.modules()}
    own = {module: vars(module).get("forward") for module in (model, inner)}
    try:
        yield
    except BaseException:
        for module, mode in modes.items():
            module.training = mode
        # TRL's and accelerate's, which compute otherwise
        for module, forward in own.items():
            vars(module).pop("forward", None)
            vars(module).update({} if forward is None else {"forward": forward})
        model.zero_grad(set_to_none=True)
        raise
    finally:
        if is_checkpointed(inner) and not checkpointed:
            inner.gradient_checkpointing_disable()
            inner.disable_input_require_grads()
        if cache is not None:
            inner.config.use_cache = cache


def is_checkpointed(model: torch.nn.Module) -> bool:
    """Whether any layer keeps its input alone, and runs again in the backward pass."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


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
        "callbacks": [Pruner(), watcher, *early_stopping(recipe, validated=validated)],
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
    tokenized, notes = {}, [ENDLESS] if data.is_endless(tokenizer) else []
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
            tokenized[split] = kept.left_of(rows)
    return tokenized, notes


def early_stopping(recipe: Recipe, *, validated: bool) -> list[EarlyStoppingCallback]:
    """The callback that counts a recipe's patience, where it has any and there is what to count."""
    if recipe.patience is None or not validated:
        return []
    return [EarlyStoppingCallback(early_stopping_patience=recipe.patience)]


def train_or_resume(trainer: Kept, watcher: Watcher) -> str | None:
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
    except AttributeError as error:
        # every trainer of a process shares accelerate's state, and a new one takes it
        if "_reset_state()" not in str(error):
            raise
        raise UserError(
            f"another trainer was made in this session while this run was at step "
            f"{trainer.state.global_step}, and took accelerate's state away from it; train one "
            "after the other."
        ) from error
    return None


def last_checkpoint(trainer: Kept) -> Path | None:
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


def take_over(trainer: Kept, watcher: Watcher, last: Path) -> bool:
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


def refuse_infinite_weights(trainer: Kept) -> None:
    """Raise FloatingPointError where the last step, after which no loss comes, broke a weight."""
    if not all(weight.isfinite().all() for weight in models.trained_parameters(trainer.tuned)):
        raise FloatingPointError(f"a weight is not finite after step {trainer.state.global_step}")


def end_diverged(trainer: Kept, error: FloatingPointError) -> str:
    """End a run that diverged, good weights in its model; returns what happened and the cure."""
    trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
    step, rate = trainer.put_back(), trainer.args.learning_rate
    # a warm-up does not make a rate bearable that nobody uses
    absurd = warn_of_rate(rate, methods.name_of(trainer.tuned) or "lora")
    return (
        f"{error} of {trainer.state.max_steps}; the weights after step {step} are kept. To mend "
        f"it, lower the learning rate (lr is {rate:g}){'' if absurd else ' or warm up longer'}."
    )


def train_within_memory(trainer: Kept, last: Path | None) -> None:
    """Train, from a checkpoint or the start; a full GPU is a `UserError` that says what fits.

    The memory of the step that did not fit is free again by then.
    """
    room = room_for(trainer.tuned)
    if fits_memory(trainer, last):
        return
    trainer.let_go()

    # the step that did not fit: its longest row, and as many rows as there are
    args = trainer.args
    lengths = trainer.row_lengths()
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


def fits_memory(trainer: Kept, last: Path | None) -> bool:
    """Train, and say whether the GPU's memory was enough.

    torch's error ends here: as the context of the next error it would keep the frames of the step,
    and they its tensors.
    """
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    except torch.OutOfMemoryError:
        return False
    return True
