"""Supervised fine-tuning by TRL's SFTTrainer, with one recipe in and one record out. The only file that names TRL's SFT."""

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import data, lora, models
from .record import Record, about
from .runtime import PACKAGES, UserError, chosen_model, device_and_dtype, nearest, progress_wanted, quiet, staged

LORA_KEYS = ("r", "alpha", "targets", "dropout", "use_dora")
REPLAYED = ("general", "self")
SCHEDULES = ("linear", "cosine", "constant_with_warmup")


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of one supervised run. The loss is the mean over the assistant's tokens alone."""

    lr: float = 2e-3
    epochs: float = 2
    batch_size: int = 16
    warmup: float = 0.05  # share of the steps
    schedule: str = "linear"
    weight_decay: float = 0.0
    max_length: int = 512  # tokens; longer rows are cut at the end
    packing: bool = False  # several rows in one sequence
    evaluations: int = 3  # validation points (0: train to the end and keep the last step)
    keep_best: bool = True  # of the validation points; False keeps the last step
    kl: float = 0.0  # weight of KL(base ‖ model), nats per answer token, beside the loss (Li & Hoiem 2016)
    patience: int | None = None  # stop after so many validation points without a new best
    seed: int = 0

    def __post_init__(self):
        limits = {"lr": (0, 1), "epochs": (0, 1000), "batch_size": (0, 4096), "max_length": (0, 1 << 20)}
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
                raise UserError(f"{name} is {value!r}; give a number above {low} and up to {high:,}.")
        for name in ("batch_size", "max_length", "evaluations", "seed"):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int) or value < 0:
                raise UserError(f"{name} is {value!r}; give a whole number from 0 on.")
        for name in ("packing", "keep_best"):
            if not isinstance(value := getattr(self, name), bool):
                raise UserError(f"{name} is {value!r}; give true or false.")
        for name in ("weight_decay", "kl"):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int | float) or not value >= 0:
                raise UserError(f"{name} is {value!r}; give a number from 0 on.")
        if self.schedule not in SCHEDULES:
            raise UserError(f"schedule is {self.schedule!r}; give one of {', '.join(SCHEDULES)}.{nearest(self.schedule, SCHEDULES)}")
        if not 0 <= self.warmup < 1:
            raise UserError(f"warmup is {self.warmup!r}; it is a share of the steps, from 0 to below 1.")
        if self.patience is not None and not self.evaluations:
            raise UserError("patience counts validation points; set evaluations above 0 too.")


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

    @property
    def loss(self) -> float:
        """The last training loss, in nats per answer token."""
        return self.losses[-1][1]

    def table(self):
        """The run in seven lines."""
        best = min(self.validation, key=lambda p: p[1])[1] if self.validation else math.nan
        rows = [
            ("trainable parameters", f"{self.trainable:,} of {self.total:,} ({self.trainable / self.total:.2%})"),
            ("steps", f"{self.steps}, kept step ≈{self.best_step}"),
            ("learning rate", f"{self.recipe.lr:g}, {self.recipe.schedule}"),
            ("training loss", f"{about(self.losses[0][1])} → {about(self.loss)} nats per answer token"),
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
            "losses": self.losses,
            "validation": self.validation,
        }


def digest(rows) -> str:
    """SHA-256 of a split's messages."""
    sha = hashlib.sha256()
    for messages in rows["messages"]:
        sha.update(json.dumps(messages, sort_keys=True).encode())
    return sha.hexdigest()


def watcher(losses: list, validation: list, stop=None, watch=None):
    """A Trainer callback that fills the two curves, tells `watch` or else draws a bar with time to go, and stops when `stop()` says so."""
    from tqdm.auto import tqdm
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        bar = None

        def on_train_begin(self, args, state, control, **_):
            self.bar = tqdm(total=state.max_steps, desc="training", unit="step", disable=watch is not None or not progress_wanted())

        def on_log(self, args, state, control, logs=None, **_):
            if "loss" in logs:
                losses.append((state.global_step, float(logs["loss"])))
                self.bar.set_postfix_str(f"loss {losses[-1][1]:.3f}")
            if "eval_loss" in logs:
                validation.append((state.global_step, float(logs["eval_loss"])))

        def on_step_end(self, args, state, control, **_):
            self.bar.update()
            if watch is not None:
                watch(state.global_step, state.max_steps, losses, validation)
            if stop is not None and stop():
                control.should_training_stop = True

        def on_train_end(self, args, state, control, **_):
            self.bar.close()

    return Watcher()


def config(recipe: Recipe, folder: str, rows: int, validated: bool, assistant_marks: bool):
    """TRL's SFTConfig for a recipe. TRL turns bf16 and checkpointing on, which slows a CPU down many times: off unless they help."""
    from trl import SFTConfig

    device, dtype = device_and_dtype()
    cuda = device == "cuda"
    steps = max(1, math.ceil(rows / recipe.batch_size) * recipe.epochs)
    every = max(1, int(steps // max(1, recipe.evaluations)))
    rhythm = {"eval_strategy": "steps", "eval_steps": every, "save_strategy": "steps", "save_steps": every}
    return SFTConfig(
        output_dir=folder,
        learning_rate=recipe.lr,
        num_train_epochs=recipe.epochs,
        per_device_train_batch_size=recipe.batch_size,
        per_device_eval_batch_size=4 * recipe.batch_size,
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
        gradient_checkpointing=False,
        logging_steps=1,
        report_to="none",
        disable_tqdm=True,
        save_only_model=True,
        save_total_limit=2,
        load_best_model_at_end=validated and recipe.keep_best,
        dataloader_pin_memory=cuda,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        **(rhythm if validated else {"save_strategy": "no"}),
    )


def as_trl(rows, assistant_marks: bool):
    """Chat rows as TRL wants them: `messages` with a marked template, prompt and completion without."""
    rows = rows.select_columns("messages")
    if assistant_marks:
        return rows
    return rows.map(lambda r: {"prompt": r["messages"][:-1], "completion": r["messages"][-1:]}, remove_columns="messages")


def near_base(model):
    """An SFTTrainer whose loss is the usual one + args.kl · KL(base ‖ model), the mean over the answers' tokens.

    The base is `model` with its adapter off, or a frozen copy of a model without adapter, which costs its memory again.
    """
    import copy

    import torch
    from torch.nn import functional as F
    from trl import SFTTrainer

    frozen = None if lora.is_attached(model) else copy.deepcopy(model).requires_grad_(False).eval()

    class NearBase(SFTTrainer):
        kl = 0.0

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            loss = super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            if not self.model.training or return_outputs:
                return loss
            answer = inputs["labels"][:, 1:] != -100
            asked = {k: v for k, v in inputs.items() if k != "labels"}
            with torch.no_grad(), contextlib.nullcontext() if frozen else self.model.disable_adapter():
                base = (frozen or model)(**asked).logits[:, :-1][answer].log_softmax(-1)
            ours = model(**asked).logits[:, :-1][answer].log_softmax(-1)
            return loss + self.kl * F.kl_div(ours, base, log_target=True, reduction="sum") / (num_items_in_batch or answer.sum())

    return NearBase


def sft(model, tokenizer, examples, recipe: Recipe | None = None, stop=None, watch=None) -> Run:
    """Tune `model` (a peft model, or a plain one for full fine-tuning) on the assistant's tokens of chat examples; returns the `Run`.

    examples: a DatasetDict with "train" and, if it has one, "validation"; or one Dataset. The model is trained in place.
    Where there is a validation split, the best of `recipe.evaluations` checkpoints by validation loss is kept.
    stop: a function asked after every step; True ends the run early.
    watch: a function told (step, of so many, losses, validation) after every step.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback, set_seed
    from trl import SFTTrainer

    recipe = recipe or Recipe()
    quiet()
    splits = examples if isinstance(examples, Mapping) else {"train": examples}
    if "train" not in splits or not len(splits["train"]):
        raise UserError("there are no training rows; give a data set whose 'train' split holds at least one chat example.")
    validated = recipe.evaluations > 0 and len(splits.get("validation", ())) > 0
    marks = "{% generation" in (tokenizer.chat_template or "").replace("{%-", "{%")
    losses: list[tuple[int, float]] = []
    validation: list[tuple[int, float]] = []
    with tempfile.TemporaryDirectory(prefix="ftkit-") as folder:
        set_seed(recipe.seed)
        callbacks = [watcher(losses, validation, stop, watch)]
        if validated and recipe.patience is not None:
            callbacks.append(EarlyStoppingCallback(early_stopping_patience=recipe.patience))
        trainer = (near_base(model) if recipe.kl else SFTTrainer)(
            model,
            args=config(recipe, folder, len(splits["train"]), validated, marks),
            processing_class=tokenizer,
            callbacks=callbacks,
            train_dataset=as_trl(splits["train"], marks),
            eval_dataset=as_trl(splits["validation"], marks) if validated else None,
        )
        trainer.kl = recipe.kl
        trainer.remove_callback(PrinterCallback)
        refuse_all_masked(trainer.train_dataset, recipe.max_length)
        began = time.perf_counter()
        trainer.train()
        seconds = time.perf_counter() - began
        best = trainer.state.best_model_checkpoint
    best_step = int(best.rsplit("-", 1)[-1]) if best else trainer.state.global_step
    on, total = lora.trainable(trainer.model)
    hashes = {"base": models.fingerprint(model), "train": digest(splits["train"])}
    return Run(trainer.model.eval(), trainer, recipe, losses, validation, trainer.state.global_step, best_step, seconds, on, total, hashes)


def refuse_all_masked(rows, max_length: int) -> None:
    """Raise when no token carries loss (TRL drops such rows without a word), so that the run would train on nothing."""
    if not any(label != -100 for labels in rows["labels"] for label in labels):
        raise UserError(
            f"every row is masked: no answer token is left within max_length={max_length}, so there is nothing to learn; "
            "raise max_length, or check that the last message of each row is the assistant's answer."
        )


@dataclass(frozen=True)
class Experiment:
    """A whole run as a file can state it: base, data, replay, adapter and recipe. `lora=None` means full fine-tuning."""

    model: str | None = None
    quant: str | None = None  # of the base: "nf4" makes the run a QLoRA
    data: str = "tickets"
    rows: int | None = None  # train on the first so many rows
    replay: float = 0.0  # share of general rows mixed into the training rows
    replayed: str = "general"  # those rows' answers: the data set's ("general"), or what the base itself says ("self")
    lora: Mapping | None = field(default_factory=lambda: {"r": 8, "alpha": 16})
    recipe: Recipe = field(default_factory=Recipe)

    @classmethod
    def from_dict(cls, stated: Mapping) -> "Experiment":
        """From a parsed recipe file; unknown keys are refused with the nearest right one."""
        if not isinstance(stated, Mapping):
            raise UserError("a recipe file holds keys such as model, data, replay, lora and recipe; this one holds none.")
        check_keys(stated, field_names(cls), "the file")
        if (given := stated.get("replayed", "general")) not in REPLAYED:
            raise UserError(f"replayed is {given!r}; give one of {', '.join(REPLAYED)}.{nearest(given, REPLAYED)}")
        for name, known in (("recipe", field_names(Recipe)), ("lora", LORA_KEYS)):
            if not isinstance(stated.get(name) or {}, Mapping):
                raise UserError(f"{name} is {stated[name]!r}; give keys and values such as {{{known[0]}: …}}.")
            check_keys(stated.get(name) or {}, known, name)
        recipe = {k: as_number(v) for k, v in (stated.get("recipe") or {}).items()}
        return cls(**{**stated, "recipe": Recipe(**recipe)})

    @classmethod
    def read(cls, path: str | Path) -> "Experiment":
        """From a YAML recipe or from the `run.json` of an earlier run."""
        import yaml

        path = Path(path)
        path = path / "run.json" if path.is_dir() else path
        if not path.is_file():
            raise UserError(f"there is no recipe file {str(path)!r}.{nearest(path.name, [p.name for p in path.parent.glob('*.y*ml')])}")
        try:
            stated = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}.") from error
        return cls.from_dict(stated["experiment"] if path.name == "run.json" else stated)

    def splits(self, model, tokenizer):
        """The data as this experiment trains on it: cut to `rows`, replay mixed in."""
        splits = data.load(str(self.data), tokenizer, seed=self.recipe.seed)
        if self.rows is not None:
            splits["train"] = data.first(splits["train"], self.rows)
        if self.replay:
            general = data.load("general")["train"]
            if self.replayed == "self":
                general = data.answered(general, models.answers(model, tokenizer, [m[:-1] for m in general["messages"]]))
            splits["train"] = data.mix(splits["train"], general, self.replay, self.recipe.seed)
        return splits

    def run(self, stop=None, watch=None) -> tuple[Run, object]:
        """Load, attach, mix and train from the recipe's seed; returns the run and the tokenizer."""
        from transformers import set_seed

        set_seed(self.recipe.seed)
        model, tokenizer = models.load(self.model, self.quant)
        splits = self.splits(model, tokenizer)
        if self.lora is not None:
            model = lora.attach(model, **self.lora)
        return sft(model, tokenizer, splits, self.recipe, stop, watch), tokenizer

    def save(self, run: Run, tokenizer, out: str | Path, scores: Mapping | None = None) -> Path:
        """Write `run.json` and `adapter/` (or `model/` after full fine-tuning) into `out`, whole or not at all."""
        out = Path(out)
        stated = {**dataclasses.asdict(self), "model": chosen_model(self.model)}  # the dial may point elsewhere tomorrow
        record = {"experiment": stated, **run.record(), "scores": scores or {}}
        with staged(out) as new:
            target = new / ("adapter" if lora.is_attached(run.model) else "model")
            run.model.save_pretrained(target)
            tokenizer.save_pretrained(target)
            (new / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return out


def as_number(value: object) -> object:
    """2e-3 is text to YAML, which wants 2.0e-3; a person means the number."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return float(value)
    return value


def field_names(cls: type) -> list[str]:
    """The names of a dataclass's fields."""
    return [f.name for f in dataclasses.fields(cls)]


def check_keys(stated: Mapping, known: Sequence[str], where: str) -> None:
    """Refuse keys that are not among the known ones."""
    for key in stated:
        if key not in known:
            raise UserError(f"{where} has the key {key!r}; the keys are {', '.join(known)}.{nearest(key, known)}")


def reopen(folder: str | Path) -> tuple[object, object, object]:
    """`(tuned, base, tokenizer)` of a run folder; base and tuned are two objects, loaded afresh."""
    folder = Path(folder)
    if not (folder / "run.json").is_file():
        raise UserError(f"{folder} holds no run.json; give the folder that `train --out` or `tour --out` wrote.")
    experiment = Experiment.read(folder)
    base, tokenizer = models.load(experiment.model)
    was, now = json.loads((folder / "run.json").read_text(encoding="utf-8"))["hashes"]["base"], models.fingerprint(base)
    if was != now:
        raise UserError(
            f"{folder} was trained on another {experiment.model!r} ({was[:12]}…, here {now[:12]}…); give it the base it was trained on."
        )
    if experiment.lora is None:
        return models.load(folder / "model")[0], base, tokenizer
    return lora.load(models.load(experiment.model)[0], folder / "adapter").eval(), base, tokenizer
