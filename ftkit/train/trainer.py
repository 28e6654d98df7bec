"""TRL's SFTTrainer as the kit runs it: bars and curves, whole checkpoints, an end at a loss that is
not finite. Imported late.
"""

import contextlib
import copy
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from torch.nn import functional as F
from tqdm.auto import tqdm
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback, TrainerState
from trl import SFTConfig, SFTTrainer

from .. import lora, memory, models
from ..core.errors import UserError
from ..core.session import device_and_dtype, progress_wanted
from ..memory import room_for
from ..models import trained_parameters
from .batches import ShortFirst, rows_at_once
from .checkpoint import (
    drop_checkpoints,
    load_random,
    load_state,
    read_state,
    save_state,
    whole_checkpoints,
    write_checkpoint,
)

EVERY, SHARE = (
    10.0,
    0.02,
)  # lasting checkpoints: seconds between two, and the share of the time that writing them may take


class Watcher(TrainerCallback):
    """Fills the two curves, tells `watch` or else draws a bar with time to go, and ends the run
    when `stop()` says so.
    """

    def __init__(self, losses: list, validation: list, stop=None, watch=None):
        self.losses, self.validation, self.stop, self.watch, self.bar = (
            losses,
            validation,
            stop,
            watch,
            None,
        )

    def on_train_begin(self, args, state, control, **_):
        """Open the bar, at the step where a resumed run goes on."""
        hidden = self.watch is not None or not progress_wanted()
        self.bar = tqdm(
            total=state.max_steps,
            initial=state.global_step,
            desc="training",
            unit="step",
            disable=hidden,
        )

    def on_log(self, args, state, control, logs=None, **_):
        """A loss, of training or of validation, joins its curve."""
        if "loss" in logs:
            self.losses.append((state.global_step, float(logs["loss"])))
            self.bar.set_postfix_str(f"loss {self.losses[-1][1]:.3f}")
        if "eval_loss" in logs:
            self.validation.append((state.global_step, float(logs["eval_loss"])))

    def on_step_end(self, args, state, control, **_):
        """Move the bar, tell who watches, and stop if asked to."""
        self.bar.update()
        if self.watch is not None:
            self.watch(state.global_step, state.max_steps, self.losses, self.validation)
        if self.stop is not None and self.stop():
            control.should_training_stop = True

    def on_train_end(self, args, state, control, **_):
        """Close the bar."""
        self.bar.close()


def sft_config(recipe, folder: str, rows: int, validated: bool, assistant_marks: bool, micro: int):
    """TRL's SFTConfig for a `train.Recipe`, `micro` rows at once.

    TRL turns bf16 and checkpointing on, which slows a CPU many times: off unless they help.
    """
    device, dtype = device_and_dtype()
    cuda = device == "cuda"
    steps = max(1, math.ceil(rows / recipe.batch_size) * recipe.epochs)
    every = max(1, int(steps // max(1, recipe.evaluations)))
    rhythm = {
        "eval_strategy": "steps",
        "eval_steps": every,
        "save_strategy": "steps",
        "save_steps": every,
    }
    return SFTConfig(
        output_dir=folder,
        learning_rate=recipe.lr,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=micro,
        gradient_accumulation_steps=recipe.batch_size // micro,
        per_device_eval_batch_size=4 * (recipe.micro_batch or recipe.batch_size),
        warmup_steps=recipe.warmup,
        lr_scheduler_type=recipe.schedule,
        weight_decay=recipe.weight_decay,
        max_length=recipe.max_length,
        packing=recipe.packing,
        assistant_only_loss=assistant_marks,
        seed=recipe.seed,
        data_seed=recipe.seed,
        bf16=dtype == "bfloat16",
        fp16=dtype == "float16",
        use_cpu=not cuda,
        gradient_checkpointing=recipe.checkpointing,
        logging_steps=1,
        logging_nan_inf_filter=False,
        report_to="none",
        disable_tqdm=True,
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=validated and recipe.keep_best,
        dataloader_pin_memory=cuda,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        **(rhythm if validated else {"save_strategy": "no"}),
    )


def marks_answers(tokenizer) -> bool:
    """Does the chat template mark the assistant's tokens, so that TRL can find them itself?"""
    return "{% generation" in (tokenizer.chat_template or "").replace("{%-", "{%")


def as_trl(rows, assistant_marks: bool):
    """Chat rows as TRL wants them: `messages` with a marked template, prompt and completion
    without.
    """
    rows = rows.select_columns("messages")
    if assistant_marks:
        return rows
    return rows.map(
        lambda r: {"prompt": r["messages"][:-1], "completion": r["messages"][-1:]},
        remove_columns="messages",
    )


class Keeper(SFTTrainer):
    """An SFTTrainer that ends at a loss that is not finite, and whose checkpoints are whole, small
    and free of pickles.

    The Trainer's own are pickles in part, and half there when the process dies while it writes
    them.
    """

    kl = 0.0
    lasting = False  # the checkpoints are there to go on from; else for the best one alone
    due = math.inf  # when the next one is, by time.perf_counter
    good: tuple[int, list] | None = None  # (step, weights after it) of the last finite loss
    began = 0.0

    def training_step(self, *inputs, **options):
        """A step whose loss has to be finite; the weights that gave it are kept, and a checkpoint
        is asked for when one is due.
        """
        loss = super().training_step(*inputs, **options)
        if not loss.isfinite():
            raise FloatingPointError(
                f"the loss is {loss.item()} at step {self.state.global_step + 1}"
            )
        if self.accelerator.sync_gradients:  # the last rows of the step
            self.keep()
        if self.lasting and time.perf_counter() > self.due:
            self.control.should_save = True
        return loss

    def keep(self) -> None:
        """Copy the weights that gave a finite loss on all rows of a step."""
        weights = trained_parameters(self.model)
        if self.good is None:
            self.good = 0, [p.detach().clone() for p in weights]
        for kept, p in zip(self.good[1], weights, strict=True):
            kept.copy_(p.detach())
        self.good = self.state.global_step, self.good[1]

    def _get_train_sampler(self, train_dataset=None):
        if self.args.gradient_accumulation_steps == 1:
            return super()._get_train_sampler(train_dataset)
        rows = self.train_dataset if train_dataset is None else train_dataset
        size = self.args.train_batch_size * self.args.gradient_accumulation_steps
        return ShortFirst([len(ids) for ids in rows["input_ids"]], size, self.args.data_seed)

    def _save_checkpoint(self, model, trial):
        if not self.args.should_save or not (self.lasting or self.args.load_best_model_at_end):
            return
        start, folder, step = (
            time.perf_counter(),
            Path(self.args.output_dir),
            self.state.global_step,
        )
        with write_checkpoint(folder, step) as new:
            self.model.save_pretrained(new)
            if self.lasting:
                over, seconds = self.control.should_training_stop, start - self.began
                save_state(
                    new,
                    self.optimizer,
                    self.lr_scheduler,
                    self.accelerator.scaler,
                    over=over,
                    seconds=seconds,
                )
            for callback in (
                c for c in [*self.callback_handler.callbacks, self.control] if hasattr(c, "state")
            ):
                self.state.stateful_callbacks[type(callback).__name__] = callback.state()
            self.state.save_to_json(new / "trainer_state.json")
        self.find_best()
        drop_checkpoints(folder, but={step, self.state.best_global_step})
        self.due = time.perf_counter() + max(EVERY, (time.perf_counter() - start) / SHARE)

    def find_best(self):
        """Where the best checkpoint lies now: the folder may have moved since it was written."""
        best = whole_checkpoints(Path(self.args.output_dir)).get(self.state.best_global_step)
        self.state.best_model_checkpoint = best and str(best)

    def _load_optimizer_and_scheduler(self, folder):
        if folder is not None:
            load_state(Path(folder), self.optimizer, self.lr_scheduler, self.accelerator.scaler)
            self.find_best()

    def _load_rng_state(self, folder):
        if folder is not None:
            load_random(Path(folder))

    def _load_from_checkpoint(self, folder, model=None):
        with same_dtypes(self.model):
            super()._load_from_checkpoint(folder, model)

    def _load_best_model(self):
        with same_dtypes(self.model):
            super()._load_best_model()


def hold_in_float32(model) -> None:
    """Trained weights in float32, which a loss scaler asks for: a full model comes in float16, and
    TRL makes a QLoRA's adapter bfloat16.
    """
    for p in trained_parameters(model):
        p.data = p.data.float()


@contextlib.contextmanager
def same_dtypes(model) -> Iterator[None]:
    """Leave the trained parameters in the dtypes that they have: peft loads a QLoRA's adapter,
    which TRL makes bfloat16, as float32.
    """
    dtypes = {
        name: p.dtype for name, p in model.named_parameters() if p.requires_grad
    }  # by name: peft puts new ones in their place
    yield
    for name, p in model.named_parameters():
        if name in dtypes:
            p.data = p.data.to(dtypes[name])


class NearBase(Keeper):
    """A `Keeper` whose loss is the usual one + kl · KL(base ‖ model), the mean over the answers'
    tokens.

    The base is the model with its adapter off, or a frozen copy of a model without adapter, which
    costs its memory again.
    """

    def __init__(self, model, *inputs, **options):
        self.frozen = (
            None if lora.is_attached(model) else copy.deepcopy(model).requires_grad_(False).eval()
        )
        super().__init__(model, *inputs, **options)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """The usual loss, and in training the distance on top."""
        loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if not self.model.training or return_outputs:
            return loss
        answer = inputs["labels"][:, 1:] != -100
        asked = {k: v for k, v in inputs.items() if k != "labels"}
        with (
            torch.no_grad(),
            contextlib.nullcontext() if self.frozen else self.model.disable_adapter(),
        ):
            base = (self.frozen or model)(**asked).logits[:, :-1][answer].log_softmax(-1)
        ours = model(**asked).logits[:, :-1][answer].log_softmax(-1)
        return loss + self.kl * F.kl_div(ours, base, log_target=True, reduction="sum") / (
            num_items_in_batch or answer.sum()
        )


def build_trainer(
    model, tokenizer, splits: Mapping, recipe, folder: Path, watching: Watcher
) -> Keeper:
    """The trainer for a `train.Recipe`, with `watching` among its callbacks."""
    validated = recipe.evaluations > 0 and len(splits.get("validation", ())) > 0
    marks = marks_answers(tokenizer)
    patient = (
        [EarlyStoppingCallback(early_stopping_patience=recipe.patience)]
        if validated and recipe.patience is not None
        else []
    )
    trainer = (NearBase if recipe.kl else Keeper)(
        model,
        args=sft_config(
            recipe,
            str(folder),
            len(splits["train"]),
            validated,
            marks,
            rows_at_once(model, tokenizer, splits["train"], recipe),
        ),
        processing_class=tokenizer,
        callbacks=[watching, *patient],
        train_dataset=as_trl(splits["train"], marks),
        eval_dataset=as_trl(splits["validation"], marks) if validated else None,
    )
    if trainer.args.fp16:
        hold_in_float32(trainer.model)
    trainer.kl = recipe.kl
    trainer.remove_callback(PrinterCallback)
    refuse_all_masked(trainer.train_dataset, recipe.max_length)
    return trainer


def train_or_resume(trainer, folder: Path, losses: list, validation: list) -> str | None:
    """Train from the start or from the last checkpoint in `folder`; returns why it broke off, if
    the loss did not stay finite.
    """
    last = (
        list(whole_checkpoints(folder).values())[-1]
        if trainer.lasting and whole_checkpoints(folder)
        else None
    )
    trainer.began = time.perf_counter()
    if last:
        for file in last.glob("*.safetensors"):
            models.check_safetensors(file)
        state, more = (
            TrainerState.load_from_json(str(last / "trainer_state.json")),
            read_state(last),
        )
        losses += [(h["step"], h["loss"]) for h in state.log_history if "loss" in h]
        validation += [(h["step"], h["eval_loss"]) for h in state.log_history if "eval_loss" in h]
        trainer.began -= more["seconds"]
        if more["over"]:  # killed between the last step and its end: nothing is left to train
            trainer.state = state
            trainer._load_from_checkpoint(str(last))
            trainer.find_best()
            if trainer.args.load_best_model_at_end and state.best_model_checkpoint:
                trainer._load_best_model()
            return None
    trainer.due = time.perf_counter() + EVERY
    try:
        train_within_memory(trainer, last)
        if not all(p.isfinite().all() for p in trained_parameters(trainer.model)):
            raise FloatingPointError(
                f"a weight is not finite after step {trainer.state.global_step}"
            )
    except FloatingPointError as error:
        trainer.callback_handler.on_train_end(trainer.args, trainer.state, trainer.control)
        kept, lr = put_back(trainer), trainer.args.learning_rate
        cure = f"lower the learning rate (lr is {lr:g}) or warm up longer"
        return f"{error} of {trainer.state.max_steps}; the weights after step {kept} are kept. To mend it, {cure}."
    return None


def train_within_memory(trainer, last: Path | None) -> None:
    """Train, from a checkpoint or the start; where the GPU is full, say in a sentence what fits,
    and give the step's memory back.
    """
    model, args = trainer.model, trainer.args
    had = room_for(model)
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
        return
    except torch.OutOfMemoryError:
        # left here: as the context of the next error it would keep the frames, and they the step's
        # tensors
        pass
    trainer.optimizer = trainer.good = None
    model.zero_grad(set_to_none=True)
    torch.cuda.empty_cache()
    lengths = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    rows = min(args.per_device_train_batch_size, len(lengths))
    autocast = "bfloat16" if args.bf16 else "float16" if args.fp16 else None
    raise UserError(
        memory.explain_full_gpu(
            model, rows, max(lengths), args.gradient_checkpointing, autocast, had
        )
    )


def put_back(trainer) -> int:
    """Give the model its best checkpoint's weights, else those of the last finite loss, else leave
    them; returns their step.
    """
    state = trainer.state
    if trainer.args.load_best_model_at_end and state.best_model_checkpoint:
        trainer._load_best_model()
        return state.best_global_step
    if trainer.good is None:
        return state.global_step
    step, weights = trainer.good
    with torch.no_grad():
        for p, kept in zip(trained_parameters(trainer.model), weights, strict=True):
            p.copy_(kept)
    return step


def refuse_all_masked(rows, max_length: int) -> None:
    """Raise when no token carries loss (TRL drops such rows without a word), so that the run would
    train on nothing.
    """
    if not any(label != -100 for labels in rows["labels"] for label in labels):
        raise UserError(
            f"every row is masked: no answer token is left within max_length={max_length}, so there is nothing to learn; "
            "raise max_length, or check that the last message of each row is the assistant's answer."
        )
