"""TODO header of train.batches."""

from collections.abc import Iterator

import torch
from torch.utils.data import Sampler

from .. import memory
from ..core.errors import UserError
from ..core.session import device_and_dtype
from ..memory import room_for

MICRO = (
    4,
    3,
    2,
    # rows a forward pass on a CPU, whichever divides the batch: nothing is gained there by more at once
)


class ShortFirst(Sampler):
    """An epoch's rows in the order that accelerate would draw them, but each step's `size` rows by
    length: the same steps, less padding.
    """

    def __init__(self, lengths: list[int], size: int, seed: int):
        self.lengths, self.size, self.seed, self.epoch = lengths, size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Which epoch comes next; each has its own order."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        order = torch.randperm(
            len(self.lengths), generator=torch.Generator().manual_seed(self.seed + self.epoch)
        ).tolist()
        for start in range(0, len(order), self.size):
            yield from sorted(order[start : start + self.size], key=self.lengths.__getitem__)


def rows_at_once(model, tokenizer, rows, recipe) -> int:
    """Rows of a forward pass: as the recipe says, else a few on a CPU, and on a GPU as many of a
    step as the formula finds room for.
    """
    device, dtype = device_and_dtype()
    if recipe.micro_batch or recipe.packing:
        return recipe.micro_batch or recipe.batch_size
    if device == "cpu":
        return next((m for m in MICRO if recipe.batch_size % m == 0), recipe.batch_size)
    texts = [
        tokenizer.apply_chat_template(messages, tokenize=False) for messages in rows["messages"]
    ]
    tokens = min(
        recipe.max_length, max(map(len, tokenizer(texts, add_special_tokens=False)["input_ids"]))
    )
    try:
        step = memory.step_in_training(
            model,
            recipe.batch_size,
            tokens,
            recipe.checkpointing,
            None if dtype == "float32" else dtype,
        )
        return memory.rows_that_fit(step, room_for(model))
    except UserError:  # the formula does not know the architecture
        return recipe.batch_size
