"""The corpus as batches: token ids, positions that restart at each document, and loss weights.

    make_batch(plan, world, tokenizer, step)   one step's rows, packed with whole documents
    loss_weight(role, …)                       what a token of a role counts in the loss

A batch is a function of the plan, the world and the number of the step. The documents come from
`world.corpus`; what a fine-tuning run packs and masks is `train`'s business (notebook 07).
"""

from typing import cast

import torch
from transformers import PreTrainedTokenizerFast

from ..world import World, corpus
from .plan import Plan

LONG_EVERY = 8  # steps; every eighth has rows of twice the length
ANSWERING = 2  # the phase of corpus.PHASES from which the answers count most


def loss_weight(role: corpus.Role, tokens: int, *, answering: bool) -> float:
    """What each of the `tokens` of a segment counts in the loss.

    A prompt is mostly random names: little to learn, but not nothing. In the answering phases a
    short answer counts as much as six tokens, or the few tokens of a fact drown in long documents.
    """
    if role == "mark":
        return 0.0
    if not answering:
        return 0.1 if role == "prompt" else 1.0
    return {"prompt": 0.02, "text": 0.3, "answer": max(1.0, 6 / tokens)}[role]


def encode(
    tokenizer: PreTrainedTokenizerFast, document: corpus.Document, *, answering: bool
) -> tuple[list[int], list[float]]:
    """Token ids and loss weights of one document."""
    ids: list[int] = []
    weights: list[float] = []
    for text, role in document:
        part = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        ids += part
        weights += [loss_weight(role, len(part), answering=answering)] * len(part)
    return ids, weights


def first_with_room(used: list[int], n: int, length: int) -> int | None:
    """The first row that has `n` tokens of its `length` left; None where no row has."""
    for row, taken in enumerate(used):
        if taken + n <= length:
            return row
    return None


def make_batch(
    plan: Plan, world: World, tokenizer: PreTrainedTokenizerFast, step: int
) -> dict[str, torch.Tensor]:
    """Batch number `step`: input_ids, position_ids and weights, each of shape (rows, length).

    Whole documents are packed first-fit into rows; positions restart at each, so that none sees
    another.
    """
    # what is read in this step, and in rows of which length
    long = step % LONG_EVERY == LONG_EVERY - 1
    length = plan.length * 2 if long else plan.length
    rows = plan.tokens_per_step // length
    phase = sum(step >= begin for begin in plan.phases)
    mix = corpus.PHASES[phase] | (corpus.MANY_DIALOGUES if long and phase else {})

    # empty rows, then documents until one finds no room
    ids = torch.full((rows, length), cast(int, tokenizer.pad_token_id))
    weights = torch.zeros(rows, length)
    positions = torch.arange(length).repeat(rows, 1)
    used = [0] * rows
    for document in corpus.documents(world, step, mix):
        tokens, counts = encode(tokenizer, document, answering=phase >= ANSWERING)
        n = len(tokens)
        if n > length:
            continue
        row = first_with_room(used, n, length)
        if row is None:
            break
        begin, end = used[row], used[row] + n
        ids[row, begin:end] = torch.tensor(tokens)
        weights[row, begin:end] = torch.tensor(counts)
        positions[row, begin:] = torch.arange(length - begin)
        positions[row, end:] = torch.arange(length - end)
        used[row] = end
    return {"input_ids": ids, "position_ids": positions, "weights": weights}
