"""What a trainer is fed: rows as TRL wants them, how many of them at once, and in which order.

    as_trl(rows, tokenizer)                        rows as tokens, and labels where there is loss
    cut(rows, max_length, split)                   which of them lose their answer, or its end
    refuse_unreadable(rows, model, …)              tokens and positions that the model has not
    rows_at_once(model, rows, recipe)              rows of one forward pass
    check_processes(wanted)                        how many processes share a step's rows
    ShortFirst(lengths, size, seed)                each step's rows by length: less padding

Which tokens carry loss `data.render` decides, for training and for scores alike; TRL cuts, pads
and packs what comes from here. How many rows would fit into a GPU is `memory/gpus.py`'s formula.
Taught in notebook 07.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch.utils.data import Sampler

from .. import data, memory, models
from ..core.errors import UserError, is_whole
from ..core.session import device_and_dtype, processes
from ..memory import room_for
from .recipe import Recipe

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

# Rows of a forward pass on a CPU, whichever divides the batch: more at once gain nothing there.
MICRO = (4, 3, 2)
NO_LOSS = -100  # the label of a token that carries no loss
WORDS = {"train": "training"}  # what a split is called in a sentence
NAMED = 5  # rows that a sentence names; the others it counts


def as_trl(
    rows: "Dataset", tokenizer: "PreTrainedTokenizerBase", split: str = "train"
) -> "Dataset":
    """Chat rows as TRL takes them: `input_ids`, and `labels` that are NO_LOSS but for the answers.

    Every answer of a chat carries loss, its end mark too (see `data.render`), but for those of
    weight 0. split: the word for it in a `UserError`, which names the row that the template
    refuses.
    """
    from datasets import Dataset, Features, List, Value

    both = zip(rows["messages"], data.tools_of(rows), strict=True)
    chats = [
        data.render(messages, tokenizer, tools=tools, where=f"{split} row {n}")
        for n, (messages, tools) in enumerate(both, 1)
    ]
    ids = [chat.ids for chat in chats]
    labels = [
        [token if loss else NO_LOSS for token, loss in zip(chat.ids, chat.learned, strict=True)]
        for chat in chats
    ]
    columns = Features(dict.fromkeys(("input_ids", "labels"), List(Value("int64"))))
    return Dataset.from_dict({"input_ids": ids, "labels": labels}, columns)


@dataclass(frozen=True)
class Cut:
    """What is left of a split's rows within so many tokens; rows are numbered from 1."""

    split: str
    rows: int
    longest: int  # tokens of the longest row
    max_length: int
    lost: list[int]  # rows without any token that carries loss
    short: list[int]  # rows that lose some of them: the end of an answer, or a whole one

    @property
    def left(self) -> int:
        """Rows that still teach, or judge, anything."""
        return self.rows - len(self.lost)

    @property
    def note(self) -> str:
        """What is lost, as a sentence with its cure; "" where nothing is."""
        if not self.lost and not self.short:
            return ""
        fate = "and are left out" if self.left else "so nothing is validated"
        parts = []
        if self.lost:
            parts.append(
                f"{self.count(self.lost)} have no answer token within max_length "
                f"{self.max_length}, {fate} ({numbers(self.lost)})"
            )
        if self.short:
            parts.append(
                f"{self.count(self.short)} lose the end of an answer to max_length "
                f"{self.max_length} ({numbers(self.short)})"
            )
        return (
            f"{' and '.join(parts)}; raise max_length, the longest row has {self.longest} tokens, "
            "or shorten the rows."
        )

    def left_of(self, rows: "Dataset") -> "Dataset":
        """The rows without those that are lost."""
        lost = set(self.lost)
        places = [place for place in range(len(rows)) if place + 1 not in lost]
        return rows.select(places) if lost else rows

    def count(self, rows: list[int]) -> str:
        """Some rows, of so many."""
        return f"{len(rows):,} of {self.rows:,} {WORDS.get(self.split, self.split)} rows"


def numbers(rows: list[int]) -> str:
    """The numbers of some rows, the first ones if there are many: "rows 1, 2, 3, …"."""
    named = [f"{row}" for row in rows[:NAMED]] + (["…"] if len(rows) > NAMED else [])
    return f"row{'s' if len(rows) > 1 else ''} {', '.join(named)}"


def cut(rows: "Dataset", max_length: int, split: str) -> Cut:
    """What max_length leaves of rows from `as_trl`: TRL cuts them at the end without a word.

    A row that keeps no token with loss teaches nothing, and one whose answer loses its end teaches
    a model never to stop.
    """
    lost, short = [], []
    for number, labels in enumerate(rows["labels"], 1):
        within = sum(label != NO_LOSS for label in labels[:max_length])
        if not within:
            lost.append(number)
        elif within < sum(label != NO_LOSS for label in labels):
            short.append(number)
    longest = max(map(len, rows["labels"]), default=0)
    return Cut(split, len(rows), longest, max_length, lost, short)


def refuse_unreadable(
    rows: "Dataset",
    model: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    split: str = "train",
) -> None:
    """Refuse tokens that the model has no embedding for, and rows beyond its last position.

    rows: those of `as_trl`, which are cut at max_length. Padding is a token, too.
    """
    within = {f"{split} row {n}": ids[:max_length] for n, ids in enumerate(rows["input_ids"], 1)}
    # tokens: those of the rows, and the one that fills them up
    highest = {row: max(ids, default=0) for row, ids in within.items()}
    if isinstance(tokenizer.pad_token_id, int):
        highest["padding"] = tokenizer.pad_token_id
    models.check_tokens(cast("PreTrainedModel", model), tokenizer, highest)

    # positions
    last = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    for row, ids in within.items():
        if isinstance(last, int) and 0 < last < len(ids):
            raise UserError(
                f"{row} has {len(ids):,} tokens within max_length, and the model knows {last:,} "
                f"positions (max_position_embeddings); set max_length to {last}, or shorten the "
                "row."
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


def share_of_step(recipe: Recipe) -> int:
    """Rows of a step that one process takes; `UserError` where they are not as many for each."""
    many = processes()
    share, rest = divmod(recipe.batch_size, many)
    if rest:
        raise UserError(
            f"batch_size is {recipe.batch_size}, and {many} processes share the rows of a step "
            f"evenly; give a multiple of {many}."
        )
    if recipe.micro_batch and share % recipe.micro_batch:
        raise UserError(
            f"micro_batch is {recipe.micro_batch}, and each of {many} processes takes {share} of a "
            f"step's rows; give null, or a whole number that divides {share}."
        )
    return share


def rows_at_once(model: "PreTrainedModel | PeftModel", rows: "Dataset", recipe: Recipe) -> int:
    """How many rows one forward pass takes, a divisor of this process's share of a step.

    As many as the recipe says; else a few on a CPU, and on a GPU as many as the memory formula
    finds room for. rows: those of `as_trl`. Several processes share a step's rows evenly:
    `UserError` where they can't.
    """
    device, dtype = device_and_dtype()
    share = share_of_step(recipe)
    if recipe.micro_batch or recipe.packing:
        return recipe.micro_batch or share
    if device == "cpu":
        return next((m for m in MICRO if share % m == 0), share)

    # the longest row, as the trainer will cut it
    longest = min(recipe.max_length, max(map(len, rows["input_ids"])))
    try:
        step = memory.step_in_training(
            model,
            rows=share,
            tokens=longest,
            checkpointing=recipe.checkpointing,
            autocast=None if dtype == "float32" else dtype,
        )
        return memory.rows_that_fit(step, room_for(model))
    except memory.NotModelled:
        return share


def check_processes(wanted: int | None) -> None:
    """Refuse another number of processes than the one that was asked for.

    On a CPU `accelerate launch` starts a single one, whatever it was told, where there is no MPI.
    """
    if wanted is None:
        return
    if not is_whole(wanted) or wanted < 1:
        raise UserError(f"processes is {wanted!r}; give a whole number from 1 on.")
    if wanted != (here := processes()):
        launcher = "python" if wanted == 1 else f"torchrun --nproc_per_node {wanted}"
        by = ", and accelerate launch starts one on a CPU without MPI" if by_accelerate() else ""
        asked = "1 process was" if wanted == 1 else f"{wanted} processes were"
        raise UserError(
            f"{asked} asked for, and there {'is' if here == 1 else 'are'} {here}{by}; begin with "
            f"{launcher} -m ftkit train …"
        )


def by_accelerate() -> bool:
    """Whether `accelerate launch` started this process."""
    return "ACCELERATE_DYNAMO_MODE" in os.environ


def told_processes() -> str:
    """How many processes share the run, for the line that is told as it begins."""
    if processes() > 1:
        return f", {processes()} processes"
    if by_accelerate():
        return " in one process: accelerate launch starts no more on a CPU; torchrun does"
    return ""
