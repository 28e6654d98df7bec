"""TRL's SFTTrainer as the kit runs it, and what it shares with trainers of preferences (`prefer`).

    sft_config(recipe, folder, …)    TRL's SFTConfig for a `Recipe`
    trl_options(recipe, folder, …)   what of it every trainer of TRL's takes
    parse_sft_config(file)           a config of TRL's command line, by its own parser
    Kept(model, …)                   a trainer that ends at a broken loss and saves whole or not
    Keeper(model, …)                 the same as an SFTTrainer
    NearBase(model, kl=…)            the same, with KL(base ‖ model) beside the loss

Who builds one and trains to the end is `resuming.py`. What the rows look like and how many go at
once is `batches.py`'s business, what a checkpoint is on disk `checkpoint.py`'s. Notebook 07 writes
the loop by hand and holds its losses to this trainer's.
"""

import contextlib
import copy
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl import SFTConfig, SFTTrainer  # pyright: ignore[reportPrivateImportUsage] (trl is lazy)
from trl.scripts.utils import DatasetMixtureConfig, ScriptArguments, TrlParser
from trl.trainer.model_config import ModelConfig

from .. import lora, methods, models
from ..core.errors import UserError
from ..core.session import device_and_dtype, is_first, processes
from .batches import NO_LOSS, ShortFirst
from .checkpoint import (
    Clock,
    drop_checkpoints,
    load_random,
    load_state,
    save_state,
    whole_checkpoints,
    write_checkpoint,
)
from .recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset
    from torch.amp import GradScaler
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler
    from transformers import PreTrainedModel

    from ..lora import PeftModel

METHOD_STATE = "method.safetensors"  # in a checkpoint: see `methods.training_state`
# What no recipe changes: each step is logged, a loss that is not finite as it is; the best
# checkpoint is the one with the lowest validation loss.
ALWAYS: dict[str, Any] = {
    "logging_steps": 1,
    "logging_nan_inf_filter": False,
    "disable_tqdm": True,
    "ddp_find_unused_parameters": False,  # all that is trained is used in every step
    "restore_callback_states_from_checkpoint": True,
    "metric_for_best_model": "eval_loss",
    "greater_is_better": False,
}


def sft_config(
    recipe: Recipe,
    folder: str | Path,
    *,
    rows: int,
    micro: int,
    validated: bool = False,
) -> SFTConfig:
    """TRL's SFTConfig for a `Recipe` on so many rows, `micro` of them at once.

    folder: for checkpoints. validated: there is a validation split to choose the best checkpoint
    by. Which tokens carry loss the rows say themselves (see `batches.as_trl`).
    """
    return SFTConfig(
        max_length=recipe.max_length,
        packing=recipe.packing,
        **trl_options(recipe, folder, rows=rows, micro=micro, validated=validated),
    )


def parse_sft_config(file: str | Path) -> dict[str, Any]:
    """What `trl sft --config FILE` takes, {name: value} with all that it fills in itself.

    Raises `UserError` for what TRL's own parser refuses, such as a key that it does not know.
    """
    kinds = (ScriptArguments, SFTConfig, ModelConfig, DatasetMixtureConfig)
    try:
        parts = TrlParser(kinds).parse_args_and_config(["--config", str(file)])  # type: ignore
    except (ValueError, TypeError, SystemExit) as error:
        raise UserError(f"TRL can't read {file} ({error}).") from error
    return {name: value for part in parts for name, value in vars(part).items()}


def trl_options(
    recipe: Recipe, folder: str | Path, *, rows: int, micro: int, validated: bool = False
) -> dict[str, Any]:
    """What a recipe and the machine decide for any trainer of TRL's; see `sft_config`."""
    return {
        # what the recipe and the rows decide
        "output_dir": str(folder),
        "learning_rate": recipe.lr,
        "num_train_epochs": recipe.epochs,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": recipe.batch_size // (micro * processes()),
        "per_device_eval_batch_size": 4 * (recipe.micro_batch or recipe.batch_size),
        "warmup_steps": recipe.warmup,
        "lr_scheduler_type": recipe.schedule,
        "weight_decay": recipe.weight_decay,
        "gradient_checkpointing": recipe.checkpointing,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "load_best_model_at_end": validated and recipe.keep_best,
        "report_to": recipe.report_to or "none",
        "run_name": Path(folder).absolute().parent.name,
        # what the validation points, the machine and the kit decide
        **rhythm(recipe, rows, validated=validated),
        **machine_options(),
        **ALWAYS,
    }


def rhythm(recipe: Recipe, rows: int, *, validated: bool) -> dict[str, Any]:
    """When to validate and to save, in TRL's words: at as many points as a recipe has, or never.

    rows: as they are trained on; of packed ones, the packs.
    """
    steps = max(1, math.ceil(math.ceil(rows / recipe.batch_size) * recipe.epochs))
    every = max(1, int(steps // max(1, recipe.evaluations)))
    when = "steps" if validated else "no"
    return {"eval_strategy": when, "save_strategy": when, "eval_steps": every, "save_steps": every}


def machine_options() -> dict[str, Any]:
    """The session's device and dtype in TRL's words.

    TRL turns bf16 on, and checkpointing too, which slows a CPU many times: off unless they help.
    """
    device, dtype = device_and_dtype()
    cuda = device == "cuda"
    sixteen = {"bf16": dtype == "bfloat16", "fp16": dtype == "float16"}
    return {"use_cpu": not cuda, "dataloader_pin_memory": cuda, **sixteen}


class Kept(Trainer):
    """A trainer that ends at a loss that is not finite, and whose checkpoints can be trusted.

    It stands before a trainer of TRL's, as in `class Keeper(Kept, SFTTrainer)`. Its checkpoints are
    whole or not there, small, and free of pickles. The Trainer's own are pickles in part, and half
    there when the process dies while it writes them.

    lasting: checkpoints are there to go on from, now and then; else for the best one alone.
    """

    def __init__(
        self, model: "PreTrainedModel | PeftModel", *, lasting: bool = False, **options: Any
    ) -> None:
        super().__init__(cast("PreTrainedModel", model), **options)
        self.lasting = lasting
        self.clock = Clock()
        self.begun_with = models.sums(self.tuned)
        # (step, copies of the trained weights after it) of the last finite loss
        self.last_good: tuple[int, list[torch.Tensor]] | None = None

    @property
    def tuned(self) -> "PreTrainedModel":
        """The model in training, by the type that the Trainer leaves open."""
        return cast("PreTrainedModel", self.model)

    @property
    def folder(self) -> Path:
        """Where the checkpoints are."""
        return Path(cast(str, self.args.output_dir))

    @property
    def moving_parts(self) -> "tuple[Optimizer, LRScheduler, GradScaler | None]":
        """What a checkpoint holds beside the weights: optimizer, schedule, float16's loss scale."""
        parts = self.optimizer, self.lr_scheduler, self.accelerator.scaler
        return cast("tuple[Optimizer, LRScheduler, GradScaler | None]", parts)

    @property
    def parts(self) -> int:
        """How many times a step goes forward and backward."""
        return self.args.gradient_accumulation_steps

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 (the Trainer gives it by position)
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """TRL's loss, and in training what the method itself adds to it."""
        # some of TRL's versions ask the model for its loss, to which peft adds the method's part
        with methods.without_penalty(self.tuned):
            loss: Any = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if return_outputs or not self.tuned.training:
            return loss
        return loss + methods.penalty(self.tuned) / self.parts

    def training_step(self, *inputs: Any, **options: Any) -> torch.Tensor:
        """A step whose loss has to be finite; FloatingPointError where it is not.

        The weights that gave it are kept, and a checkpoint is asked for when one is due.
        """
        # forward and backward on the rows that go at once: a step is one or several of these
        loss = super().training_step(*inputs, **options)
        if not self.is_fine(loss):
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}"
            )
        # what a method adds to the loss is in the gradients, and no part of the curve
        with torch.no_grad():
            loss = loss - methods.penalty(self.tuned) / self.parts
        # after the last rows of the step: all of them were fine with these weights
        if self.accelerator.sync_gradients:
            self.keep_weights()
        if self.lasting and self.clock.is_due():
            self.control.should_save = True
        return loss

    def is_fine(self, loss: torch.Tensor) -> bool:
        """Whether a loss is finite, in every process that shares the step: all end, or none."""
        fine = loss.isfinite().all()
        if processes() == 1:
            return bool(fine)
        return bool(cast("torch.Tensor", self.accelerator.gather(fine)).all())

    def get_eval_dataloader(self, eval_dataset: Any = None) -> Any:
        """The validation rows in batches; each of several processes is given all of them.

        Shared out, some would be counted twice to make even numbers.
        """
        if processes() == 1:
            return super().get_eval_dataloader(eval_dataset)
        rows = self.eval_dataset if eval_dataset is None else eval_dataset
        size, join = self.args.eval_batch_size, self.data_collator
        return torch.utils.data.DataLoader(cast(Any, rows), batch_size=size, collate_fn=join)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log what the trainer logs, and the seconds of training up to there."""
        super().log({**logs, "seconds": round(self.clock.seconds(), 3)}, start_time)

    def keep_weights(self) -> None:
        """Copy the weights that gave a finite loss on all rows of a step, over the copy before."""
        weights = models.trained_parameters(self.tuned)
        if self.last_good is None:
            copies = [weight.detach().clone() for weight in weights]
        else:
            _, copies = self.last_good
        for copied, weight in zip(copies, weights, strict=True):
            copied.copy_(weight.detach())
        self.last_good = self.state.global_step, copies

    def put_back(self) -> int:
        """Give the model good weights after a loss that is not finite; returns their step.

        They are those of the best checkpoint, else those of the last finite loss, else those that
        are there.
        """
        # the best checkpoint
        best = self.state.best_global_step
        if self.has_best() and best is not None:
            self._load_best_model()
            return best
        # what the model came with, if its first loss broke; else the last that was fine
        if self.last_good is None:
            return self.state.global_step
        step, copies = self.last_good
        with torch.no_grad():
            for weight, copied in zip(models.trained_parameters(self.tuned), copies, strict=True):
                weight.copy_(copied)
        return step

    def has_learned(self) -> bool:
        """Whether the weights act otherwise than those that the run began with.

        LoRA's A alone changes nothing: B is 0 until it has been moved.
        """
        now = models.sums(self.tuned)
        changed = {name for name, value in now.items() if value != self.begun_with.get(name)}
        return any("lora_A" not in name for name in changed)

    def let_go(self) -> None:
        """Give back the memory of a step that did not fit: gradients, moments, kept weights."""
        self.optimizer = self.last_good = None
        self.tuned.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()

    def adopt(self, checkpoint: Path, state: TrainerState) -> None:
        """Take over a checkpoint after which nothing is left to train, and end as a run ends."""
        self.state = state
        self._load_from_checkpoint(str(checkpoint))
        self.find_best()
        if self.has_best():
            self._load_best_model()

    def explain_unmoved(self) -> tuple[str, str] | None:
        """(why nothing moved, the cure) where a trainer knows better than its rates; else None."""
        return None

    def row_lengths(self) -> list[int]:
        """Tokens of each training row."""
        return [len(ids) for ids in cast("Dataset", self.train_dataset)["input_ids"]]

    def save_weights(self, new: Path) -> None:
        """Write the trained weights into the folder `new`."""
        self.tuned.save_pretrained(new)

    def has_best(self) -> bool:
        """Whether the best checkpoint is asked for and is there."""
        return self.args.load_best_model_at_end and bool(self.state.best_model_checkpoint)

    def find_best(self) -> None:
        """Look where the best checkpoint lies now: the folder may have moved meanwhile."""
        step = self.state.best_global_step
        best = None if step is None else whole_checkpoints(self.folder).get(step)
        self.state.best_model_checkpoint = None if best is None else str(best)

    def write_state(self, new: Path) -> None:
        """Write all that a checkpoint holds, the weights first, into the folder `new`."""
        self.save_weights(new)
        if more := methods.training_state(self.tuned):
            save_file(more, new / METHOD_STATE)
        if self.lasting:
            over, seconds = self.control.should_training_stop, self.clock.seconds()
            save_state(new, *self.moving_parts, over=over, seconds=seconds)
        # early stopping counts in its callback, so that goes too
        noted = cast(dict, self.state.stateful_callbacks)
        for callback in [*self.callback_handler.callbacks, self.control]:
            if hasattr(callback, "state"):
                noted[type(callback).__name__] = callback.state()
        self.state.save_to_json(str(new / "trainer_state.json"))

    def take_back(self, checkpoint: str) -> bool:
        """Take the weights out of a checkpoint whose method has more than peft saves; was it so?"""
        file = Path(checkpoint) / METHOD_STATE
        if file.is_file():
            methods.restore_state(self.tuned, load_file(file))
        return file.is_file()

    # What follows replaces the Trainer's own methods; each keeps the name and the arguments by
    # which the Trainer calls it.

    def _save_checkpoint(self, model: object, trial: object) -> None:
        if not self.args.should_save or not (self.lasting or self.args.load_best_model_at_end):
            return
        step, before = self.state.global_step, self.clock.seconds()
        with write_checkpoint(self.folder, step) as new:
            self.write_state(new)
        self.find_best()
        drop_checkpoints(self.folder, but={step, self.state.best_global_step})
        self.clock.set_next(self.clock.seconds() - before)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_state(Path(checkpoint), *self.moving_parts)
            self.find_best()

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_random(Path(checkpoint))

    def _load_from_checkpoint(
        self, resume_from_checkpoint: str, model: torch.nn.Module | None = None
    ) -> None:
        if self.take_back(resume_from_checkpoint):
            return
        with same_dtypes(self.tuned):
            super()._load_from_checkpoint(resume_from_checkpoint, model)

    def _load_best_model(self) -> None:
        if not is_first():  # which saves for all, and wrote the checkpoint
            return
        if self.take_back(cast(str, self.state.best_model_checkpoint)):
            return
        with same_dtypes(self.tuned):
            super()._load_best_model()


class Keeper(Kept, SFTTrainer):
    """An SFTTrainer that is `Kept`, whose validation loss is the mean over the answers' tokens."""

    nats, answer_tokens = 0.0, 0  # of the validation that is going on

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **more: Any) -> Any:
        """A batch's validation loss, and its share in the mean over all answer tokens."""
        loss, *rest = super().prediction_step(model, inputs, *args, **more)
        # the token at position t is foretold at t - 1, so nothing foretells the first
        count = int((inputs["labels"][:, 1:] != NO_LOSS).sum())
        self.nats += count * loss.item()
        self.answer_tokens += count
        return loss, *rest

    def evaluation_loop(self, *args: Any, **options: Any) -> Any:
        """The validation loss: the mean over the answers' tokens, however they are batched.

        The Trainer's own is the mean of the batches' means, which hangs on their size.
        """
        self.nats, self.answer_tokens = 0.0, 0
        output = super().evaluation_loop(*args, **options)
        name = f"{options.get('metric_key_prefix', 'eval')}_loss"
        metrics = cast(dict, output.metrics)
        metrics[name] = self.nats / self.answer_tokens if self.answer_tokens else math.nan
        return output

    def _get_train_sampler(self, train_dataset: Any = None) -> "torch.utils.data.Sampler | None":
        if self.args.gradient_accumulation_steps == 1:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in cast("Dataset", rows)["input_ids"]]
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps * processes()
        return ShortFirst(lengths, size, cast(int, self.args.data_seed))


class Pruner(TrainerCallback):
    """Cuts AdaLoRA's ranks on the way, over the true number of steps; nothing else is pruned."""

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Set the schedule to the steps of this run."""
        methods.begin_pruning(more["model"], state.max_steps, anew=not state.global_step)

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Cut after a step, as long as its gradients are there."""
        methods.prune(more["model"], state.global_step)


class NearBase(Keeper):
    """A `Keeper` that stays near the base: its loss is the usual one + kl · KL(base ‖ model).

    The distance is the mean over the answers' tokens, in nats (Li & Hoiem 2016). The base is the
    model with its adapter off, or a frozen copy of a model without adapter, which costs its memory
    again.
    """

    def __init__(
        self, model: "PreTrainedModel | PeftModel", *, kl: float, lasting: bool, **options: Any
    ) -> None:
        self.kl = kl
        self.frozen = None
        if not lora.is_attached(model):
            self.frozen = copy.deepcopy(model).requires_grad_(False).eval()
        super().__init__(model, lasting=lasting, **options)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,  # noqa: FBT001, FBT002 (the Trainer gives it by position)
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """The usual loss, and in training the distance on top.

        inputs: token ids, labels and masks of shape (rows, length).
        """
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not self.tuned.training or return_outputs:
            return loss

        # at place t the logits foretell token t + 1: both models' log p there, (tokens, vocabulary)
        learned = inputs["labels"][:, 1:] != NO_LOSS
        rows_length = inputs["labels"].shape[1]  # virtual tokens stand before
        asked = {name: value for name, value in inputs.items() if name != "labels"}
        with torch.no_grad(), self.adapter_off():
            base = (self.frozen or model)(**asked)
            theirs = base.logits[:, -rows_length:-1][learned].log_softmax(-1)
        ours = model(**asked).logits[:, -rows_length:-1][learned].log_softmax(-1)

        # summed, then divided by the tokens of the whole step, as the usual loss is
        distance = F.kl_div(ours, theirs, log_target=True, reduction="sum")
        return loss + self.kl * distance / (num_items_in_batch or learned.sum())

    def adapter_off(self) -> contextlib.AbstractContextManager:
        """The model without its adapter inside the block; nothing where it has none."""
        if lora.is_attached(self.model):
            return self.model.disable_adapter()
        return contextlib.nullcontext()


def hold_in_float32(model: torch.nn.Module) -> None:
    """Put the trained weights into float32, which a loss scaler asks for.

    A full model comes in float16, and TRL makes a QLoRA's adapter bfloat16.
    """
    for parameter in models.trained_parameters(model):
        parameter.data = parameter.data.float()


@contextlib.contextmanager
def same_dtypes(model: torch.nn.Module) -> Iterator[None]:
    """Leave the trained parameters in the dtypes that they have before the block.

    peft loads a QLoRA's adapter, which TRL makes bfloat16, as float32.
    """
    # by name: peft puts new parameters in their place
    dtypes = {name: p.dtype for name, p in model.named_parameters() if p.requires_grad}
    yield
    for name, parameter in model.named_parameters():
        if name in dtypes:
            parameter.data = parameter.data.to(dtypes[name])
