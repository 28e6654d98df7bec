"""The recipe of a run in the words of other trainers, with its rows.

    write_trl           trl.yaml for `trl sft --config trl.yaml`, read by TRL's own parser
    write_unsloth       train.py for Unsloth
    write_axolotl       axolotl.yaml
    write_llama_factory llama-factory.yaml and dataset_info.json
    write_torchtune     torchtune.yaml

Whatever the recipe, the adapter or the rows state is carried over, or refused by its name with the
cure; `Plan.refuse` is where. Nothing is dropped unsaid: what somebody asks to leave out (--without)
stands in the record of the export. Rows of managed APIs are written by `rows.py`.
"""

import json
import math
import pprint
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from .. import data, lora, models, train
from ..core.errors import UserError, nearest
from ..core.versions import version_of
from . import gguf_files
from . import rows as row_files
from .opened import Opened, Proof, Told, Wish
from .rows import SPLITS

# What each may be without being anything to carry over.
NEUTRAL: dict[str, Any] = {
    "kl": 0.0, "patience": None, "packing": False, "checkpointing": False, "weight_decay": 0.0,
    "warmup": 0, "evaluations": 0, "keep_best": False, "dropout": 0.0, "use_dora": False,
    "quant": None, "micro_batch": None, "report_to": None,
}  # fmt: skip
# Of an adapter's configuration: what the plan states by itself, and what says nothing of training.
STATED = (
    "r", "lora_alpha", "lora_dropout", "target_modules", "use_dora", "task_type", "peft_type",
    "base_model_name_or_path", "inference_mode", "fan_in_fan_out", "peft_version", "revision",
    "auto_mapping",
)  # fmt: skip
THOUGHTS = ("reasoning_content", "reasoning", "thinking")


class Plan:
    """All that decides a run's training, by name; and what of it another trainer can't say."""

    def __init__(self, opened: Opened, wish: Wish) -> None:
        self.opened, self.wish, self.told = opened, wish, Told()
        self.experiment, self.recipe = opened.experiment, opened.experiment.recipe
        opened.need_usual_loss("these recipes are")
        self.check_method()
        self.splits = opened.splits

    def check_method(self) -> None:
        """Refuse what is neither a LoRA nor full fine-tuning."""
        if self.experiment.trains_adapter:
            self.opened.need_lora(
                "other trainers are told of LoRA, DoRA and full fine-tuning here",
                cure="train it by the kit",
            )

    @cached_property
    def adapter(self) -> dict[str, Any]:
        """The adapter's dials as peft's configuration states them; {} after full fine-tuning."""
        if not self.experiment.trains_adapter:
            return {}
        _, stated = self.opened.adapter
        return {
            "r": stated["r"],
            "alpha": stated["lora_alpha"],
            "targets": stated["target_modules"],
            "dropout": stated["lora_dropout"],
            "use_dora": bool(stated.get("use_dora")),
        }

    @cached_property
    def unusual(self) -> dict[str, Any]:
        """What the adapter's configuration states otherwise than peft does by itself."""
        if not self.experiment.trains_adapter:
            return {}
        usual, (_, stated) = lora.known_keys("LORA"), self.opened.adapter
        return {
            key: value
            for key, value in stated.items()
            if key not in STATED and value and key in usual and value != usual[key]
        }

    @cached_property
    def stated(self) -> dict[str, Any]:
        """{name: value} of all that is not as it is where nobody says anything."""
        recipe, more = vars(self.recipe), row_files.extras(self.splits)
        values = {**recipe, **self.adapter, "quant": self.experiment.quant, **self.unusual, **more}
        if not self.validated:
            values |= {"evaluations": 0, "keep_best": False, "patience": None}
        return {
            name: value
            for name, value in values.items()
            if name not in NEUTRAL or value != NEUTRAL[name]
        }

    def refuse(self, target: str, cannot: Mapping[str, str]) -> None:
        """Refuse what is stated and can't be carried over, but for what may be left out.

        cannot: {name: why}. Adapter options that no recipe of the kit states are never carried.
        """
        cannot = {**dict.fromkeys(self.unusual, "the adapter has it from peft alone"), **cannot}
        for name in self.wish.without:
            if name not in cannot:
                known = [each for each in cannot if each in self.stated] or list(cannot)
                raise UserError(
                    f"{name!r} need not be left out for {target}; of this run it can't carry "
                    f"{', '.join(known)}.{nearest(name, cannot)}"
                )
        wrong = {name: why for name, why in cannot.items() if name in self.stated}
        self.told.left_out |= wrong.keys() & set(self.wish.without)
        rest = {name: why for name, why in wrong.items() if name not in self.told.left_out}
        if rest:
            told = "; ".join(f"{name} = {self.stated[name]} ({why})" for name, why in rest.items())
            raise UserError(
                f"{target} can't be told all of this run: {told}; train it by the kit, or leave "
                f"that out: --without {','.join(rest)}."
            )

    def keeps(self, name: str) -> bool:
        """Whether something is stated and not left out."""
        return name in self.stated and name not in self.told.left_out

    @property
    def validated(self) -> bool:
        """Whether the run looks at a validation split."""
        return "validation" in self.splits and self.recipe.evaluations > 0

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run, rows unpacked."""
        per_epoch = math.ceil(len(self.splits["train"]) / self.recipe.batch_size)
        return max(1, math.ceil(per_epoch * self.recipe.epochs))

    @property
    def micro(self) -> int:
        """Rows at once."""
        return self.recipe.micro_batch or self.recipe.batch_size

    @property
    def every(self) -> int:
        """Steps between two validation points."""
        return max(1, self.steps // max(1, self.recipe.evaluations))

    @property
    def targets(self) -> list[str]:
        """The endings of the layers that are trained; `UserError` for a pattern of names."""
        named = self.adapter["targets"]
        if isinstance(named, str):
            raise UserError(
                f"the adapter's layers are a pattern, {named!r}, and other trainers take names; "
                "attach it with targets as a list."
            )
        return sorted(named)

    def write_chats(self, new: Path, carried: tuple[str, ...] = ()) -> None:
        """train.jsonl and validation.jsonl of plain messages."""

        def take(row: Any, where: str) -> dict:
            chat = row_files.plain(row, where, "this file", carried)
            return {"messages": [{key: m[key] for key in ("role", "content")} for m in chat]}

        row_files.write_rows(self.splits, new, take)

    def head(self, command: str) -> str:
        """The comment on top of a recipe: what it is, how it is run, and what was left out."""
        lines = [f"The run {self.opened.name!r} of ftkit.", f"Run in this folder: {command}"]
        if self.told.left_out:
            lines.append(f"Left out, as asked: {', '.join(sorted(self.told.left_out))}.")
        return "".join(f"# {line}\n" for line in lines)

    def write(self, file: Path, values: Mapping[str, Any], command: str) -> None:
        """Write a recipe in YAML."""
        text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
        file.write_text(f"{self.head(command)}{text}", encoding="utf-8")


def trl_values(plan: Plan) -> dict[str, Any]:
    """What the recipe and the machine say, in the words of TRL's SFTConfig."""
    recipe = plan.recipe
    rows, micro = len(plan.splits["train"]), plan.micro
    told = train.trl_options(recipe, "out", rows=rows, micro=micro, validated=plan.validated)
    return {**told, "max_length": recipe.max_length, "packing": recipe.packing}


def write_trl(opened: Opened, new: Path, wish: Wish) -> Told:
    """trl.yaml and the rows; TRL's own parser reads it before anything is kept."""
    plan = Plan(opened, wish)
    plan.refuse("trl sft", {
        "kl": "its loss has no such term", "patience": "its command line stops at no point",
        **whole_alpha(plan),
    })  # fmt: skip
    masks = write_trl_rows(plan, new)
    values = {
        "model_name_or_path": opened.base_folder,
        "dtype": str(opened.base.dtype).removeprefix("torch."),
        **trl_files(plan),
        **masks,
        **trl_values(plan),
        **trl_adapter(plan),
    }
    plan.write(new / "trl.yaml", values, "trl sft --config trl.yaml")
    plan.told.proofs.append(parse_by_trl(new / "trl.yaml", values))
    return plan.told


def whole_alpha(plan: Plan) -> dict[str, str]:
    """An alpha that is no whole number, as most command lines want it."""
    alpha = plan.adapter.get("alpha", 1)
    why = f"it takes whole numbers alone; left out, it is {int(alpha)}"
    return {} if float(alpha).is_integer() else {"alpha": why}


def trl_files(plan: Plan) -> dict[str, Any]:
    """Where TRL finds the rows: a folder of JSONL files is a data set of that many splits."""
    test = {"dataset_test_split": "validation"} if "validation" in plan.splits else {}
    return {"dataset_name": "rows", "dataset_train_split": "train", **test}


def write_trl_rows(plan: Plan, new: Path) -> dict[str, Any]:
    """rows/train.jsonl and rows/validation.jsonl, and what TRL has to be told of them.

    As chats, where TRL makes the very same tokens and the same of them carry loss; else as tokens.
    """
    (new / "rows").mkdir()
    if same_for_trl(plan):

        def take(row: Any, where: str) -> dict:
            return {"messages": row["messages"]}

        row_files.write_rows(plan.splits, new / "rows", take)
        return {"assistant_only_loss": True}
    write_tokens(plan, new / "rows", SPLITS)
    plan.told.notes.append(
        "the rows are tokens: TRL would make others of these chats, or give others loss"
    )
    return {}


def write_tokens(plan: Plan, folder: Path, splits: Sequence[str]) -> None:
    """The rows of some splits as tokens, and labels where there is loss; see `train.as_trl`."""
    with data.on_date(plan.experiment.date):
        for split in filter(plan.splits.__contains__, splits):
            made = train.as_trl(plan.splits[split], plan.opened.tokenizer, split)
            lines = "".join(json.dumps(row) + "\n" for row in made)
            (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")


def same_for_trl(plan: Plan) -> bool:
    """Whether TRL's own way from chats to tokens and loss is the kit's, on every row."""
    tokenizer = plan.opened.tokenizer
    if not data.marks_answers(tokenizer) or data.says_date(tokenizer):
        return False
    for split in filter(plan.splits.__contains__, SPLITS):
        for number, row in enumerate(row_files.with_tools(plan.splits[split]), 1):
            if row_files.beyond(row):
                return False
            ours = data.render(row["messages"], tokenizer, where=f"{split} row {number}")
            theirs: Any = tokenizer.apply_chat_template(
                row["messages"], return_dict=True, return_assistant_tokens_mask=True
            )
            marks = [bool(mark) for mark in theirs["assistant_masks"]]
            if list(theirs["input_ids"]) != list(ours.ids) or marks != list(
                map(bool, ours.learned)
            ):
                return False
    return True


def trl_adapter(plan: Plan) -> dict[str, Any]:
    """Adapter and quantization in the words of TRL's ModelConfig."""
    if not plan.adapter:
        return {"use_peft": False}
    four = {"load_in_4bit": True, "use_bnb_nested_quant": True}
    quant = plan.experiment.quant
    packed = {"load_in_8bit": True} if quant == "int8" else {**four, "bnb_4bit_quant_type": quant}
    return {
        "use_peft": True,
        "lora_r": plan.adapter["r"],
        "lora_alpha": int(plan.adapter["alpha"]),
        "lora_dropout": plan.adapter["dropout"],
        "lora_target_modules": plan.targets,
        "use_dora": plan.adapter["use_dora"],
        **(packed if quant else {}),
    }


def parse_by_trl(file: Path, values: Mapping[str, Any]) -> Proof:
    """The recipe as TRL's own parser reads it: every key known, every value as it was written."""
    read = train.parse_sft_config(file)
    equal = sum(name in read and same_value(read[name], value) for name, value in values.items())
    return Proof(
        "keys of its arguments, as TRL reads them", equal, len(values), f"trl {version_of('trl')}"
    ).check()


def same_value(read: Any, written: Any) -> bool:
    """Whether a parser read what was written: it may make a path or an enumeration of a text."""
    if isinstance(read, list) and isinstance(written, str):  # report_to
        read = ",".join(map(str, read)) or "none"
    read = getattr(read, "value", read)
    return str(read) == str(written) or read == written


def write_unsloth(opened: Opened, new: Path, wish: Wish) -> Told:
    """train.py: the base and the LoRA by Unsloth, the training by TRL with the same arguments."""
    plan = Plan(opened, wish)
    cannot = {"kl": "TRL's loss has no such term"}
    if opened.experiment.quant not in (None, "nf4"):
        cannot["quant"] = "it packs a base as nf4 alone"
    plan.refuse("unsloth", cannot)
    values = {**trl_values(plan), **write_trl_rows(plan, new)}
    plan.write(check := new / "check.yaml", values, "")
    plan.told.proofs.append(parse_by_trl(check, values))
    check.unlink()
    # what a machine decides is asked where the script runs
    for name in ("use_cpu", "bf16", "fp16", "dataloader_pin_memory"):
        del values[name]
    four = plan.keeps("quant")
    lora_lines = "" if not plan.adapter else UNSLOTH_LORA.format(
        r=plan.adapter["r"], alpha=plan.adapter["alpha"], dropout=plan.adapter["dropout"],
        targets=plan.targets, dora=plan.adapter["use_dora"], seed=plan.recipe.seed,
        checkpointing=plan.recipe.checkpointing,
    )  # fmt: skip
    patience = plan.recipe.patience if plan.keeps("patience") else None
    text = UNSLOTH.format(
        base=opened.base_folder, length=plan.recipe.max_length, four=four, full=not plan.adapter,
        lora=lora_lines, options=pprint.pformat(values, width=96, sort_dicts=False),
        callbacks=f"[EarlyStoppingCallback({patience})]" if patience else "[]",
        validation='rows["validation"]' if plan.validated else "None",
    )  # fmt: skip
    text = f"{plan.head('python train.py')}{text}"
    compile(text, "train.py", "exec")
    (new / "train.py").write_text(text, encoding="utf-8")
    return plan.told


UNSLOTH_LORA = """\
model = FastLanguageModel.get_peft_model(
    model,
    r={r},
    lora_alpha={alpha},
    lora_dropout={dropout},
    target_modules={targets},
    use_dora={dora},
    random_state={seed},
    use_gradient_checkpointing={checkpointing},
)
"""
UNSLOTH = """\
from unsloth import FastLanguageModel  # before all that it changes

from datasets import load_dataset
from transformers import EarlyStoppingCallback
from trl import SFTConfig, SFTTrainer

model, tokenizer = FastLanguageModel.from_pretrained(
    {base!r}, max_seq_length={length}, load_in_4bit={four}, full_finetuning={full}
)
{lora}rows = load_dataset("rows")
options = {options}
trainer = SFTTrainer(
    model,
    args=SFTConfig(**options),
    train_dataset=rows["train"],
    eval_dataset={validation},
    processing_class=tokenizer,
    callbacks={callbacks},
)
trainer.train()
trainer.save_model("out")
"""


def write_axolotl(opened: Opened, new: Path, wish: Wish) -> Told:
    """axolotl.yaml and the rows, their template written out."""
    plan = Plan(opened, wish)
    plan.refuse("axolotl", {
        "kl": "its loss has no such term", **{name: "its rows have no place for it here" for name
        in ("tools", "tool_calls", "name", "tool_call_id", *THOUGHTS)}, **whole_alpha(plan),
    })  # fmt: skip
    refuse_date(plan, "axolotl")
    write_weighted(plan, new)
    recipe = plan.recipe
    values = {
        "base_model": opened.base_folder,
        **axolotl_adapter(plan),
        **axolotl_rows(plan),
        "sequence_len": recipe.max_length,
        "excess_length_strategy": "truncate",
        "sample_packing": recipe.packing,
        "eval_sample_packing": recipe.packing,
        "micro_batch_size": plan.micro,
        "gradient_accumulation_steps": recipe.batch_size // plan.micro,
        "num_epochs": recipe.epochs,
        "optimizer": "adamw_torch",
        "learning_rate": recipe.lr,
        "lr_scheduler": recipe.schedule,
        "warmup_ratio": recipe.warmup,
        "weight_decay": recipe.weight_decay,
        "max_grad_norm": 1.0,
        "gradient_checkpointing": recipe.checkpointing,
        "seed": recipe.seed,
        **validation_values(plan),
        **({"early_stopping_patience": recipe.patience} if plan.keeps("patience") else {}),
        **({f"use_{recipe.report_to}": True} if plan.keeps("report_to") else {}),
        "bf16": "auto",
        "output_dir": "out",
    }
    plan.write(new / "axolotl.yaml", values, "axolotl train axolotl.yaml")
    return plan.told


def axolotl_adapter(plan: Plan) -> dict[str, Any]:
    """Adapter and quantization in Axolotl's words."""
    if not plan.adapter:
        return {}
    quant = plan.experiment.quant
    four = {
        "load_in_4bit": True,
        "bnb_config_kwargs": {"bnb_4bit_quant_type": quant, "bnb_4bit_use_double_quant": True},
    }
    packed = {"load_in_8bit": True} if quant == "int8" else four if quant else {}
    return {
        "adapter": "qlora" if "load_in_4bit" in packed else "lora",
        **packed,
        "lora_r": plan.adapter["r"],
        "lora_alpha": int(plan.adapter["alpha"]),
        "lora_dropout": plan.adapter["dropout"],
        "lora_target_modules": plan.targets,
        "peft_use_dora": plan.adapter["use_dora"],
    }


def axolotl_rows(plan: Plan) -> dict[str, Any]:
    """The rows, which of them are learned, and the chat template, in Axolotl's words."""
    how = {
        "ds_type": "json",
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
        "message_field_training": "train",
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }
    files = {split: [{"path": f"{split}.jsonl", **how}] for split in SPLITS}
    test = {"test_datasets": files["validation"]} if plan.validated else {}
    return {
        "chat_template": "jinja",
        "chat_template_jinja": gguf_files.plain_template(plan.opened.tokenizer),
        "datasets": files["train"],
        **test,
        "val_set_size": 0.0,
    }


def write_weighted(plan: Plan, new: Path) -> None:
    """The rows as messages that say of each answer whether it is learned ("train")."""

    def take(row: Any, where: str) -> dict:
        chat = row_files.plain(row, where, "axolotl", ("weight",))
        return {
            "messages": [
                {
                    "role": message["role"],
                    "content": message["content"],
                    "train": message["role"] == "assistant" and message.get("weight") != 0,
                }
                for message in chat
            ]
        }

    row_files.write_rows(plan.splits, new, take)


def refuse_date(plan: Plan, target: str) -> None:
    """Refuse a chat template that writes the date: another program would write today's."""
    if data.says_date(plan.opened.tokenizer):
        raise UserError(
            f"the chat template writes the date, and {target} would write the day's; export to "
            "trl, which takes the rows as tokens."
        )


def validation_values(plan: Plan) -> dict[str, Any]:
    """When to validate and to save, in the Trainer's words; nothing where the run did not."""
    if not plan.validated:
        return {"eval_strategy": "no", "save_strategy": "no"}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    return {
        "eval_strategy": "steps",
        "eval_steps": plan.every,
        "save_strategy": "steps",
        "save_steps": plan.every,
        **(best if plan.recipe.keep_best else {}),
    }


def write_llama_factory(opened: Opened, new: Path, wish: Wish) -> Told:
    """llama-factory.yaml, dataset_info.json and the rows."""
    plan = Plan(opened, wish)
    plan.refuse("llama-factory", {
        "kl": "its loss has no such term", "weight": "it learns every answer of a row",
        **{name: "its rows have no place for it here" for name in
        ("tools", "tool_calls", "name", "tool_call_id", *THOUGHTS)}, **whole_alpha(plan),
    })  # fmt: skip
    refuse_date(plan, "llama-factory")
    plan.write_chats(new)
    named = {split: f"ftkit_{split}" for split in SPLITS}
    write_dataset_info(plan, new, named)
    values = {
        "model_name_or_path": opened.base_folder,
        "stage": "sft",
        "do_train": True,
        **factory_adapter(plan),
        "dataset_dir": ".",
        "dataset": named["train"],
        **({"eval_dataset": named["validation"]} if plan.validated else {}),
        "mask_history": False,
        "train_on_prompt": False,
        "output_dir": "out",
        **factory_recipe(plan),
        **validation_values(plan),
        "logging_steps": 1,
    }
    plan.write(new / "llama-factory.yaml", values, "llamafactory-cli train llama-factory.yaml")
    return plan.told


def factory_recipe(plan: Plan) -> dict[str, Any]:
    """The recipe in LLaMA-Factory's words."""
    recipe = plan.recipe
    stop = {"early_stopping_steps": recipe.patience} if plan.keeps("patience") else {}
    return {
        "cutoff_len": recipe.max_length,
        "packing": recipe.packing,
        "per_device_train_batch_size": plan.micro,
        "gradient_accumulation_steps": recipe.batch_size // plan.micro,
        "num_train_epochs": recipe.epochs,
        "learning_rate": recipe.lr,
        "lr_scheduler_type": recipe.schedule,
        "warmup_steps": math.ceil(recipe.warmup * plan.steps),
        "weight_decay": recipe.weight_decay,
        "disable_gradient_checkpointing": not recipe.checkpointing,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        **stop,
        "report_to": recipe.report_to if plan.keeps("report_to") else "none",
    }


def factory_adapter(plan: Plan) -> dict[str, Any]:
    """Adapter and quantization in LLaMA-Factory's words."""
    if not plan.adapter:
        return {"finetuning_type": "full"}
    quant = plan.experiment.quant
    four = {"quantization_bit": 4, "quantization_type": quant, "double_quantization": True}
    packed = {"quantization_bit": 8} if quant == "int8" else four
    return {
        "finetuning_type": "lora",
        "lora_rank": plan.adapter["r"],
        "lora_alpha": int(plan.adapter["alpha"]),
        "lora_dropout": plan.adapter["dropout"],
        "lora_target": ",".join(plan.targets),
        "use_dora": plan.adapter["use_dora"],
        **({"quantization_method": "bnb", **packed} if quant else {}),
    }


def write_dataset_info(plan: Plan, new: Path, named: Mapping[str, str]) -> None:
    """dataset_info.json: where LLaMA-Factory finds a message's words and who says them."""
    tags = {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    }
    how = {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags}
    info = {
        named[split]: {"file_name": f"{split}.jsonl", **how}
        for split in filter(plan.splits.__contains__, SPLITS)
    }
    (new / "dataset_info.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")


TORCHTUNE_SCHEDULES = {
    "linear": "transformers.get_linear_schedule_with_warmup",
    "cosine": "torchtune.training.lr_schedulers.get_cosine_schedule_with_warmup",
}


def write_torchtune(opened: Opened, new: Path, wish: Wish) -> Told:
    """torchtune.yaml, the rows as tokens, and the few lines that read them."""
    plan, config = Plan(opened, wish), opened.base.config
    check_for_torchtune(plan, config)
    recipe = plan.recipe
    write_tokens(plan, new, ["train"])
    (new / "token_rows.py").write_text(TOKEN_ROWS, encoding="utf-8")
    values = {
        "output_dir": "out",
        "model": torchtune_model(plan, config),
        "tokenizer": {"_component_": "token_rows.Padding", "pad_id": opened.tokenizer.pad_token_id},
        "checkpointer": torchtune_base(config._name_or_path, config),
        "resume_from_checkpoint": False,
        "save_adapter_weights_only": True,
        "dataset": {
            "_component_": "token_rows.TokenRows",
            "file": "train.jsonl",
            "max_length": recipe.max_length,
        },
        "seed": recipe.seed,
        "shuffle": True,
        "batch_size": plan.micro,
        "gradient_accumulation_steps": recipe.batch_size // plan.micro,
        **torchtune_optimizer(plan),
        "epochs": whole_epochs(recipe.epochs),
        "max_steps_per_epoch": None,
        "clip_grad_norm": 1.0,
        "compile": False,
        "enable_activation_checkpointing": recipe.checkpointing,
        "enable_activation_offloading": False,
        **TORCHTUNE_REST,
        "dtype": "fp32" if str(opened.base.dtype) == "torch.float32" else "bf16",
    }
    command = "tune run lora_finetune_single_device --config torchtune.yaml"
    plan.write(new / "torchtune.yaml", values, command)
    plan.told.notes.append("torchtune leaves out the last rows of an epoch that fill no step")
    return plan.told


def whole_epochs(epochs: float) -> int:
    """Epochs without a fraction, but one at least."""
    return max(1, int(epochs))


def torchtune_base(folder: str, config: Any) -> dict[str, Any]:
    """The base's weights in torchtune's words."""
    return {
        "_component_": "torchtune.training.FullModelHFCheckpointer",
        "checkpoint_dir": folder,
        "checkpoint_files": sorted(set(models.tensor_files(folder).values())),
        "output_dir": "out",
        "model_type": "LLAMA3_2" if config.tie_word_embeddings else "LLAMA3",
    }


TORCHTUNE_REST: dict[str, Any] = {
    "metric_logger": {
        "_component_": "torchtune.training.metric_logging.DiskLogger", "log_dir": "out/logs",
    },
    "log_every_n_steps": 1,
    "log_peak_memory_stats": False,
    "profiler": {"_component_": "torchtune.training.setup_torch_profiler", "enabled": False},
    "device": "cpu",
}  # fmt: skip


def check_for_torchtune(plan: Plan, config: Any) -> None:
    """Refuse what its single-device LoRA recipe has no word for."""
    recipe, opened = plan.recipe, plan.opened
    if not plan.adapter or config.model_type != "llama":
        what = f"a {config.model_type}" if plan.adapter else "full fine-tuning"
        raise UserError(
            f"the recipe for torchtune is of LoRA on models of the llama family, and this run is "
            f"of {what}; export it to trl, axolotl or llama-factory."
        )
    cannot = {
        "kl": "its loss has no such term", "evaluations": "it does not validate",
        "keep_best": "it does not validate", "patience": "it does not validate",
        "packing": "the rows are tokens", "report_to": "it writes a log here",
    }  # fmt: skip
    if recipe.schedule not in TORCHTUNE_SCHEDULES:
        known = " and ".join(TORCHTUNE_SCHEDULES)
        cannot["schedule"] = f"it has {known}; left out, it is linear"
    if len(plan.splits["train"]) < recipe.batch_size:
        cannot["batch_size"] = "it leaves out a step that is not full, and the rows fill none"
    if recipe.epochs != whole_epochs(recipe.epochs):
        cannot["epochs"] = f"it counts whole ones; left out, it is {whole_epochs(recipe.epochs)}"
    if opened.experiment.quant not in (None, "nf4"):
        cannot["quant"] = "it packs a base as nf4 alone"
    known = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    mlp = {"gate_proj", "up_proj", "down_proj"} & set(plan.targets)
    if not set(plan.targets) <= known or len(mlp) not in (0, 3):
        cannot["targets"] = "it adapts layers of attention by name, and the MLP whole"
    plan.refuse("torchtune", cannot)


def torchtune_model(plan: Plan, config: Any) -> dict[str, Any]:
    """The model by torchtune's builder, which makes one of any size."""
    rope = config.rope_parameters
    attention = [name for name in plan.targets if name in ("q_proj", "k_proj", "v_proj")]
    attention += ["output_proj"] if "o_proj" in plan.targets else []
    if gguf_files.head_width(config) * config.num_attention_heads != config.hidden_size:
        raise UserError("torchtune takes heads that fill the hidden size; export it to trl.")
    return {
        "_component_": "torchtune.models.llama3_2.lora_llama3_2",
        "lora_attn_modules": attention,
        "apply_lora_to_mlp": "gate_proj" in plan.targets,
        "apply_lora_to_output": False,
        "vocab_size": config.vocab_size,
        "num_layers": config.num_hidden_layers,
        "num_heads": config.num_attention_heads,
        "num_kv_heads": config.num_key_value_heads,
        "embed_dim": config.hidden_size,
        "max_seq_len": config.max_position_embeddings,
        "intermediate_dim": config.intermediate_size,
        "norm_eps": config.rms_norm_eps,
        "rope_base": rope["rope_theta"],
        "scale_factor": rope.get("factor", 1),
        "tie_word_embeddings": config.tie_word_embeddings,
        "lora_rank": plan.adapter["r"],
        "lora_alpha": plan.adapter["alpha"],
        "lora_dropout": plan.adapter["dropout"],
        "use_dora": plan.adapter["use_dora"],
        "quantize_base": plan.experiment.quant == "nf4",
    }


def torchtune_optimizer(plan: Plan) -> dict[str, Any]:
    """Optimizer, schedule and loss in torchtune's words."""
    recipe = plan.recipe
    per_epoch = len(plan.splits["train"]) // recipe.batch_size
    return {
        "optimizer": {
            "_component_": "torch.optim.AdamW",
            "lr": recipe.lr,
            "weight_decay": recipe.weight_decay,
        },
        "lr_scheduler": {
            "_component_": TORCHTUNE_SCHEDULES.get(recipe.schedule, TORCHTUNE_SCHEDULES["linear"]),
            "num_warmup_steps": math.ceil(recipe.warmup * per_epoch * recipe.epochs),
        },
        "loss": {"_component_": "torchtune.modules.loss.CEWithChunkedOutputLoss"},
    }


TOKEN_ROWS = '''\
"""Rows that are tokens already, for torchtune: {"input_ids": [...], "labels": [...]} a line."""

import json

from torch.utils.data import Dataset


class Padding:
    """What torchtune asks of a tokenizer, where rows are tokens: the token that fills them up."""

    def __init__(self, pad_id):
        self.pad_id, self.max_seq_len = pad_id, None


class TokenRows(Dataset):
    """The rows of a file, each cut at max_length."""

    def __init__(self, tokenizer, file, max_length):
        with open(file, encoding="utf-8") as lines:
            rows = [json.loads(line) for line in lines]
        self.rows = [
            {"tokens": row["input_ids"][:max_length], "labels": row["labels"][:max_length]}
            for row in rows
        ]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, place):
        return self.rows[place]
'''
