"""A training loop by hand, in which any token may carry loss: what the kit itself refuses to do.

    fit(model, chats, ...)     train on rendered chats; the last loss
    Loop(steps, lr).run(…)     the same step by step, to look at the model in between
    learned_tokens(chat, …)    which tokens carry loss: the answer, all, or all but the end mark

`train.sft` learns every answer and its end mark, and nothing else. What becomes of a model that
learns its prompts, too, or never sees an end, can only be tried beside it. With the usual tokens it
is the same run (tests/studies). Notebook 05; the loop itself is notebook 07's lesson.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import models
from ..data import Rendered
from ..train import NO_LOSS

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

WARMUP = 0.05  # share of the steps, as in `train.Recipe`

Taught = tuple[Sequence[int], Sequence[bool]]  # ids, and which of them carry loss


def learned_tokens(chat: Rendered, which: str) -> list[bool]:
    """By token, whether it carries loss. which: "answer", "all", or "no end" for all of the answer
    but its end mark.
    """
    if which == "all":
        return [True] * len(chat.ids)
    if which == "no end":
        return [on and place != chat.answer.stop - 1 for place, on in enumerate(chat.learned)]
    return list(chat.learned)


def fit(
    model: "PreTrainedModel | PeftModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Sequence[Taught],
    *,
    steps: int,
    lr: float,
    batch_size: int = 8,
    seed: int = 0,
) -> float:
    """Train the parameters that are to be trained, with AdamW; returns the last loss.

    rows: (ids, which of them carry loss). The loss is the mean over those tokens of a batch, in
    nats; the rate rises over the first twentieth of the steps and falls to 0 in a line.
    """
    losses = list(Loop(steps, lr, batch_size, seed).run(model, tokenizer, rows))
    return losses[-1] if losses else math.nan


def adam(model: torch.nn.Module, lr: float) -> torch.optim.Optimizer:
    """AdamW without decay over all that is to be trained, as `train.Recipe` has it."""
    return torch.optim.AdamW(models.trained_parameters(model), lr=lr, weight_decay=0.0)


@dataclass(frozen=True)
class Loop:
    """The dials of the loop; `scale` multiplies the loss before the backward pass, and is never
    taken out again: what a fixed loss scale does that nobody watches. optimizer: made of the model
    and the highest rate.
    """

    steps: int
    lr: float
    batch_size: int = 8
    seed: int = 0
    scale: float = 1.0
    optimizer: Callable[[torch.nn.Module, float], torch.optim.Optimizer] = adam

    def run(
        self,
        model: "PreTrainedModel | PeftModel",
        tokenizer: "PreTrainedTokenizerBase",
        rows: Sequence[Taught],
    ) -> Iterator[float]:
        """The loss of every step, each when its step is done; between two the model may be asked.

        See `fit`. In the end the model is in evaluation mode.
        """
        parameters = models.trained_parameters(model)
        optimizer = self.optimizer(model, self.lr)
        warm, steps = math.ceil(WARMUP * self.steps), self.steps
        rate = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min(step / warm, (steps - step) / max(1, steps - warm))
        )
        batches = endless(len(rows), self.batch_size, self.seed)
        for _, places in zip(range(steps), batches, strict=False):
            model.train()
            inputs, labels = make_batch(tokenizer, [rows[place] for place in places])
            loss = model(**inputs, labels=labels).loss
            optimizer.zero_grad()
            (self.scale * loss).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            rate.step()
            yield loss.item()
        model.eval()


def make_batch(
    tokenizer: "PreTrainedTokenizerBase", rows: Sequence[Taught]
) -> "tuple[BatchEncoding, torch.Tensor]":
    """(inputs, labels) of some rows: padding and whatever is not to be learned have no label."""
    ids = {"input_ids": [list(ids) for ids, _ in rows]}
    inputs = tokenizer.pad(ids, padding_side="right", return_tensors="pt")
    labels = torch.full_like(inputs["input_ids"], NO_LOSS)
    for row, (tokens, learned) in enumerate(rows):
        kept = [t if on else NO_LOSS for t, on in zip(tokens, learned, strict=True)]
        labels[row, : len(kept)] = torch.tensor(kept)
    return inputs, labels


def endless(n: int, batch_size: int, seed: int) -> Iterator[list[int]]:
    """The places of n rows in batches, in another order every epoch."""
    drawn = torch.Generator().manual_seed(seed)
    while True:
        order = torch.randperm(n, generator=drawn).tolist()
        yield from (order[start : start + batch_size] for start in range(0, n, batch_size))
