"""The corpus as batches: token ids, positions that restart at each document, and what each token
counts in the loss.
"""

import torch
from transformers import PreTrainedTokenizerFast

from ..world import World, corpus
from .plan import Plan


def loss_weight(role: corpus.Role, tokens: int, answering: bool) -> float:
    """What each of a segment's tokens counts in the loss. A prompt is mostly random names: little
    to learn, but not nothing.

    In the answering phases a short answer counts as much as six tokens, or the few tokens of a fact
    drown in long documents.
    """
    if role == "mark":
        return 0.0
    if not answering:
        return 0.1 if role == "prompt" else 1.0
    return {"prompt": 0.02, "text": 0.3, "answer": max(1.0, 6 / tokens)}[role]


def encode(
    tokenizer: PreTrainedTokenizerFast, document: corpus.Document, answering: bool
) -> tuple[list[int], list[float]]:
    """Token ids and loss weights of one document."""
    ids, weights = [], []
    for text, role in document:
        part = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids
        ids += part
        weights += [loss_weight(role, len(part), answering)] * len(part)
    return ids, weights


def batch(
    plan: Plan, world: World, tokenizer: PreTrainedTokenizerFast, step: int
) -> dict[str, torch.Tensor]:
    """Batch number `step`: whole documents packed first-fit into rows; positions restart at each,
    so none sees another.
    """
    long = step % 8 == 7
    length = plan.length * (2 if long else 1)
    rows = plan.tokens_per_step // length
    ids = torch.full((rows, length), tokenizer.pad_token_id)
    weights = torch.zeros(rows, length)
    positions = torch.arange(length).repeat(rows, 1)
    used = [0] * rows
    phase = sum(step >= begin for begin in plan.phases)
    mix = corpus.PHASES[phase] | (corpus.MANY_DIALOGUES if long and phase else {})
    for document in corpus.documents(world, step, mix):
        tokens, weight = encode(tokenizer, document, answering=phase >= 2)
        if len(tokens) > length:
            continue
        row = next((r for r in range(rows) if used[r] + len(tokens) <= length), None)
        if row is None:
            break
        span = slice(used[row], used[row] + len(tokens))
        ids[row, span], weights[row, span] = torch.tensor(tokens), torch.tensor(weight)
        positions[row, used[row] :] -= positions[row, used[row]].item()
        used[row] += len(tokens)
        positions[row, used[row] :] -= positions[row, used[row]].item() if used[row] < length else 0
    return {"input_ids": ids, "position_ids": positions, "weights": weights}
