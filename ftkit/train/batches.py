"""What a trainer is fed: rows as TRL wants them, how many of them at once, and in which order.

    marks_answers(tokenizer)                       does the chat template mark what carries loss?
    as_trl(rows, tokenizer)                        a data set whose answers alone will carry loss
    rows_at_once(model, tokenizer, rows, recipe)   rows of one forward pass
    ShortFirst(lengths, size, seed)                each step's rows by length: less padding

Here it is decided which tokens carry loss and how many rows go at once. TRL does the masking
(`assistant_only_loss` in `trainer.sft_config`); how many rows would fit into a GPU is
`memory/advice.py`'s formula. Taught in notebook 07.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch.utils.data import Sampler

from .. import memory
from ..core.errors import UserError
from ..core.session import device_and_dtype
from ..memory import room_for
from .recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

# Rows of a forward pass on a CPU, whichever divides the batch: more at once gain nothing there.
MICRO = (4, 3, 2)
NO_LOSS = -100  # the label of a token that carries no loss


def marks_answers(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the chat template marks the assistant's tokens, so that TRL finds them itself."""
    template = tokenizer.chat_template or ""
    return "{% generation" in str(template).replace("{%-", "{%")


def as_trl(rows: "Dataset", tokenizer: "PreTrainedTokenizerBase") -> "Dataset":
    """Chat rows as TRL wants them so that the answers alone carry loss.

    With a template that marks the answers their `messages` as they are, else the last message as
    the `completion` of a `prompt`.
    """
    rows = rows.select_columns("messages")
    if marks_answers(tokenizer):
        return rows
    return rows.map(split_answer, remove_columns="messages")


def split_answer(row: dict) -> dict:
    """A chat as a prompt and its completion, the last message."""
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}


def refuse_all_masked(rows: "Dataset", max_length: int) -> None:
    """Refuse tokenized rows of which no token carries loss: the run would train on nothing.

    TRL drops such rows without a word.
    """
    if not any(label != NO_LOSS for labels in rows["labels"] for label in labels):
        raise UserError(
            f"every row is masked: no answer token is left within max_length={max_length}, so "
            "there is nothing to learn; raise max_length, or check that the last message of each "
            "row is the assistant's answer."
        )


class ShortFirst(Sampler[int]):
    """The rows of an epoch in accelerate's own order, but each step's rows by length.

    The steps are the same, with less padding in each of their forward passes. lengths: tokens of
    each row; size: rows of a step.
    """

    def __init__(self, lengths: list[int], size: int, seed: int) -> None:
        self.lengths, self.size, self.seed = lengths, size, seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set which epoch comes next; each has its own order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        dice = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.lengths), generator=dice).tolist()
        for start in range(0, len(order), self.size):
            step = order[start : start + self.size]
            yield from sorted(step, key=self.lengths.__getitem__)


def rows_at_once(
    model: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Dataset",
    recipe: Recipe,
) -> int:
    """How many rows one forward pass takes, a divisor of the recipe's `batch_size`.

    As many as the recipe says; else a few on a CPU, and on a GPU as many as the memory formula
    finds room for.
    """
    device, dtype = device_and_dtype()
    if recipe.micro_batch or recipe.packing:
        return recipe.micro_batch or recipe.batch_size
    if device == "cpu":
        return next((m for m in MICRO if recipe.batch_size % m == 0), recipe.batch_size)

    # the longest row, as the trainer will cut it
    chats = rows["messages"]
    texts = [str(tokenizer.apply_chat_template(chat, tokenize=False)) for chat in chats]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"]
    longest = min(recipe.max_length, max(map(len, ids)))
    try:
        step = memory.step_in_training(
            model,
            rows=recipe.batch_size,
            tokens=longest,
            checkpointing=recipe.checkpointing,
            autocast=None if dtype == "float32" else dtype,
        )
        return memory.rows_that_fit(step, room_for(model))
    except UserError:  # the formula does not know the architecture
        return recipe.batch_size
