"""TRL's trainers of preferences as the kit runs them; beside `train`'s room the only one with TRL.

    make_trainer(objective, model, …)     TRL's trainer for an objective, a `train.Kept`
    as_trl(objective, pairs, recipe)      tokenized pairs in the columns that it reads
    as_prompts(rows, …), Asking(reward)   chats to be answered, and what an answer is worth
    check_reference(…), own_reference(…)  refuses one on another base; TRL's own, mended

Rows are pairs (dpo, kto, reward) or chats with an answer (rloo, grpo), which a reward may look at.
The kit's own rendering says which tokens are an answer's, nothing is cut, bf16 and checkpointing
are off unless they help. The reference is the model as it is when the run begins; the losses by
hand are `losses`. Who builds one and trains to the end is `tuning`. Notebook 12.
"""
# pyright: reportPrivateImportUsage=false
# (trl is lazy)

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from datasets import Dataset
from transformers import PrinterCallback
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    RLOOConfig,
    RLOOTrainer,
)

from .. import lora, models, train
from ..core.errors import UserError
from ..train import Kept, Objective, Recipe
from .pairs import TokenPair
from .rewards import Reward, ask_reward

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

REF = "ref"  # what TRL calls the copy of an adapter that is the reference
REF_COLUMNS = ("ref_chosen_logps", "ref_rejected_logps")
DEAD = "frac_reward_zero_std"  # what TRL calls the share of groups that teach nothing


class Prepared(Kept):
    """A trainer that takes rows as they are: tokens, made and checked before."""

    def _prepare_dataset(self, dataset: Any, *_: object, **__: object) -> Any:
        return dataset

    def save_weights(self, new: Path) -> None:
        """Write the trained weights, without the reference that TRL puts beside them."""
        if not lora.is_attached(self.model):
            return super().save_weights(new)
        names = [name for name in self.model.peft_config if name != REF]
        self.model.save_pretrained(str(new), selected_adapters=names)

    def row_lengths(self) -> list[int]:
        """Tokens of each training row, its longer answer included."""
        rows = cast(Dataset, self.train_dataset)
        columns = [name for name in rows.column_names if name.endswith("_ids")]
        prompts = rows["prompt_ids"] if "prompt_ids" in columns else [()] * len(rows)
        answers = [rows[name] for name in columns if name != "prompt_ids"]
        longest = [max(map(len, each)) for each in zip(*answers, strict=True)]
        return [len(p) + most for p, most in zip(prompts, longest, strict=True)]


class PairKeeper(Prepared, DPOTrainer):
    """DPO and its kin; the reference's log p are read once, before the first step."""

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        if REF_COLUMNS[0] in dataset.column_names:  # of a reference that was given
            return dataset
        found: tuple[list[float], list[float]] = ([], [])
        for begin in range(0, len(dataset), batch_size):
            part = [dataset[place] for place in range(begin, min(begin + batch_size, len(dataset)))]
            batch = {k: v.to(self.args.device) for k, v in self.data_collator(part).items()}
            model = self.ref_model or self.tuned
            with models.asking(cast(torch.nn.Module, model)):
                both = self.compute_ref_log_probs(model, batch)
            for side, values in zip(found, both, strict=True):
                side.extend(values.tolist())
        return with_reference(dataset, *found)


def with_reference(rows: Dataset, chosen: list[float], rejected: list[float]) -> Dataset:
    """Rows with what the reference gives their answers, so that no trainer asks it."""
    for column, values in zip(REF_COLUMNS, (chosen, rejected), strict=True):
        rows = rows.add_column(column, values)  # type: ignore # datasets knows the rest
    return rows


class GoodOrBadKeeper(Prepared, KTOTrainer):
    """KTO: answers that are each good or bad."""


class JudgeKeeper(Prepared, RewardTrainer):
    """A reward model from pairs."""


class Reinforced(Kept):
    """A trainer that draws its own replies; nothing is prepared, and lengths are not known."""

    save_weights = Prepared.save_weights

    def row_lengths(self) -> list[int]:
        """What a prompt and a reply may have together, for each row."""
        rows = cast(Dataset, self.train_dataset)
        most = cast(Any, self.args).max_completion_length
        return [tokens + most for tokens in rows["prompt_tokens"]]

    def explain_unmoved(self) -> tuple[str, str] | None:
        """Why nothing moved where all groups were dead."""
        logged = [entry[DEAD] for entry in self.state.log_history if DEAD in entry]
        if not logged or min(logged) < 1:
            return None
        return (
            "each prompt's replies all got one reward, in every step, so none was better than "
            "another",
            "take prompts that the model answers rightly now and then, or a larger group",
        )


class LeaveOneOutKeeper(Reinforced, RLOOTrainer):
    """RLOO: a reward against the mean of the others of its group."""


class GroupKeeper(Reinforced, GRPOTrainer):
    """GRPO: a reward against its group's mean, over its spread."""


# By objective: the trainer, and its config.
TRAINERS: dict[str, tuple[Any, Any]] = {
    "dpo": (PairKeeper, DPOConfig),
    "kto": (GoodOrBadKeeper, KTOConfig),
    "reward": (JudgeKeeper, RewardConfig),
    "rloo": (LeaveOneOutKeeper, RLOOConfig),
    "grpo": (GroupKeeper, GRPOConfig),
}


def config_options(objective: Objective, recipe: Recipe) -> dict[str, Any]:
    """What an objective adds to the options that every trainer of TRL's takes."""
    if objective.name == "dpo":
        both = objective.sft > 0
        return {
            "beta": objective.beta,
            "loss_type": [objective.loss, "sft"] if both else [objective.loss],
            "loss_weights": [1.0, objective.sft] if both else None,
            "max_length": None,
            "precompute_ref_log_probs": True,
            "precompute_ref_batch_size": 16,
        }
    if objective.name == "kto":
        return {"beta": objective.beta, "max_length": None}
    if objective.name == "reward":
        return {"max_length": None}
    return {
        "beta": objective.beta,
        "num_generations": objective.group,
        "max_completion_length": objective.tokens,
        "temperature": objective.temperature,
        "disable_dropout": True,
    }


def make_trainer(
    objective: Objective,
    model: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    splits: Mapping[str, Dataset],
    recipe: Recipe,
    folder: Path,
    **more: Any,
) -> Kept:
    """TRL's trainer for an objective, on splits of `as_trl`.

    more: callbacks, lasting, reward_funcs and ref_model, which go to the trainer as they are.
    """
    rows, validation = splits["train"], splits.get("validation")
    cls, config_of = TRAINERS[objective.name]
    micro = recipe.micro_batch or recipe.batch_size
    options = train.trl_options(
        recipe, folder, rows=len(rows), micro=micro, validated=validation is not None
    )
    if objective.drawn:  # TRL counts replies, and a group stays together
        options["per_device_train_batch_size"] = micro * objective.group
    config = config_of(**options, **config_options(objective, recipe))
    given = {"args": config, "processing_class": tokenizer, "train_dataset": rows}
    trainer = cls(model, eval_dataset=validation, **given, **more)
    trainer.remove_callback(PrinterCallback)
    return trainer


def as_trl(objective: Objective, pairs: Sequence[TokenPair], recipe: Recipe) -> Dataset:
    """Tokenized pairs in the columns of an objective's trainer."""
    if objective.name == "dpo":
        columns = {
            "prompt_ids": [pair.prompt for pair in pairs],
            "chosen_ids": [pair.chosen for pair in pairs],
            "rejected_ids": [pair.rejected for pair in pairs],
        }
    elif objective.name == "reward":
        columns = {
            "chosen_ids": [[*pair.prompt, *pair.chosen] for pair in pairs],
            "rejected_ids": [[*pair.prompt, *pair.rejected] for pair in pairs],
        }
    else:
        columns = as_good_or_bad(pairs, recipe)
    return Dataset.from_dict(columns)


def as_good_or_bad(pairs: Sequence[TokenPair], recipe: Recipe) -> dict[str, list]:
    """KTO's columns: each answer by itself, in an order drawn by the recipe's seed.

    KTO asks how far the policy is from its reference on answers of other prompts: those of the next
    row of a batch, as TRL pairs them.
    """
    rows = [(p.prompt, p.chosen, True) for p in pairs]
    rows += [(p.prompt, p.rejected, False) for p in pairs]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(recipe.seed))
    rows = [rows[place] for place in order.tolist()]
    size = recipe.micro_batch or recipe.batch_size
    others: list[list[int]] = []
    for begin in range(0, len(rows), size):
        answers = [answer for _, answer, _ in rows[begin : begin + size]]
        others += [answers[-1], *answers[:-1]]
    prompts, answers, good = map(list, zip(*rows, strict=True))
    named = ("prompt_ids", "completion_ids", "label", "KL_completion_ids")
    return dict(zip(named, (prompts, answers, good, others), strict=True))


@dataclass
class Asking:
    """The kit's reward as TRL calls one: it is checked, and its rows are found again."""

    reward: Reward
    rows: Sequence[Mapping]
    reader: models.ReplyReader

    def __post_init__(self) -> None:
        self.__name__ = getattr(self.reward, "__name__", type(self.reward).__name__)

    def __call__(
        self, completion_ids: Sequence[list[int]], row: Sequence[int], **_: Any
    ) -> list[float]:
        """The reward of each reply. TRL gives tokens, and each column once a reply."""
        texts = [self.reader.read(ids).text for ids in completion_ids]
        return ask_reward(self.reward, [self.rows[place] for place in row], texts)


def as_prompts(
    rows: Sequence[Mapping],
    tokenizer: "PreTrainedTokenizerBase",
    model: "PreTrainedModel",
    batch_size: int = 1,
) -> Dataset:
    """Chats up to their answers, as trainers that draw replies take them; their tokens are counted.

    Raises UserError for rows with tools, which TRL would not write into the prompt, for a tokenizer
    whose end of text ends no reply, and for fewer rows than a step takes.
    """
    if any(row.get("tools") for row in rows):
        raise UserError(
            "some rows offer tools, and replies are drawn without them; leave the tools out."
        )
    reader = models.ReplyReader(model, tokenizer)
    if tokenizer.eos_token_id not in reader.ends:
        raise UserError(
            f"TRL ends a reply at {tokenizer.eos_token!r}, and this model's template ends it "
            "otherwise; set tokenizer.eos_token to the template's own end mark."
        )
    if len(rows) < batch_size:
        raise UserError(
            f"there are {len(rows)} prompts, and batch_size is {batch_size}: a step takes so many; "
            f"set batch_size to {len(rows)} or less, or give more rows."
        )
    prompts = [row["messages"][:-1] for row in rows]
    counted = {}
    for places, batch in models.prompt_batches(tokenizer, prompts):
        counted |= dict(zip(places, batch["attention_mask"].sum(1).tolist(), strict=True))
    tokens = [counted[place] for place in range(len(rows))]
    columns = {"prompt": prompts, "row": list(range(len(rows))), "prompt_tokens": tokens}
    return Dataset.from_dict(columns)


@contextlib.contextmanager
def without_reference(model: torch.nn.Module) -> Iterator[None]:
    """Take off after the block the copy of the adapter that TRL keeps as reference."""
    try:
        yield
    finally:
        if lora.is_attached(model) and REF in model.peft_config:
            model.delete_adapter(REF)


def check_reference(
    objective: Objective,
    model: "PreTrainedModel | PeftModel",
    reference: "PreTrainedModel | PeftModel | None",
) -> None:
    """Refuse a reference whose base is another one than the model's, and one that is not asked."""
    if reference is None:
        return
    if objective.name != "dpo":
        raise UserError(
            f"{objective.name} takes no reference of its own; it is the model as it is when the "
            "run begins."
        )
    if reference is model:
        raise UserError(
            "the reference is the model itself, which moves; leave it out, and the model as it is "
            "when the run begins is the reference."
        )
    if other := find_other_weight(model, reference):
        raise UserError(
            f"the reference is no model on the same base (its {other} is another one); give one on "
            "the base of the adapter, or leave it out."
        )


def find_other_weight(
    model: "PreTrainedModel | PeftModel", reference: "PreTrainedModel | PeftModel"
) -> str:
    """The name of a base's weight that two models do not share; "" where they share all.

    Of a model that is trained itself only the shapes have to be the same.
    """
    ours, theirs = (
        {models.plain_name(name): p.detach() for name, p in each.named_parameters()}
        for each in (model, reference)
    )
    moves = not lora.is_attached(model)
    for name, weight in theirs.items():
        own = ours.get(name)
        if own is None and ("lora_" in name or not moves):
            continue
        if own is None or own.shape != weight.shape:
            return name
        if not (moves or "lora_" in name or own.double().sum() == weight.double().sum()):
            return name
    return ""


def own_reference(objective: Objective, model: "PreTrainedModel | PeftModel") -> dict[str, Any]:
    """TRL's argument for the reference, where it would else read the wrong one or none.

    Without an adapter TRL loads the model anew from where its configuration was read, whatever its
    weights are by now: a copy takes its place.
    """
    if lora.is_attached(model) or objective.name in ("dpo", "reward") or not objective.beta:
        return {}
    if objective.drawn:
        raise UserError(
            "beta needs a reference, and a model without an adapter has none; attach one, or set "
            "beta to 0."
        )
    return {"ref_model": copy.deepcopy(model).requires_grad_(False).eval()}
