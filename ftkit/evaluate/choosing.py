"""Which of several replies does a model find the likeliest? For answers that are one of a few.

    option_nats(model, tokenizer, prompts, options)    −log p of each option as the whole reply

A small model seldom answers to the letter, but which label it would rather give can always be told.
What a model writes is scored in `scoring`, one given answer in `likelihood`. Notebooks 07 and 10.
"""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from transformers.modeling_outputs import CausalLMOutputWithPast

from .. import data, models
from ..core.session import plain_torch, progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
# Keys and values of what was read: their new name in transformers, or the one before.
NAMES = [part.name for part in dataclasses.fields(CausalLMOutputWithPast)]
CACHE = "cache" if "cache" in NAMES else "past_key_values"


@plain_torch()
def option_nats(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[dict]],
    options: Sequence[Sequence[str]],
) -> list[list[float]]:
    """−log p of each option of each prompt, in nats: of the whole reply, its end mark included.

    prompts: chats that end before the answer; options: the replies to choose from, for each. The
    lowest is the likeliest. A prompt is read once, whatever the number of its options.
    """
    found = []
    pairs = zip(prompts, options, strict=True)
    for prompt, replies in progress(pairs, "replies to choose from", len(prompts)):
        chats = [[*prompt, {"role": "assistant", "content": reply}] for reply in replies]
        rendered = [data.render(chat, tokenizer) for chat in chats]
        longest = max(rendered, key=lambda chat: len(chat.ids))
        models.check_readable(model, tokenizer, {f"prompt {len(found) + 1}": longest.ids})
        found.append(nats_of_replies(model, rendered))
    return found


def nats_of_replies(model: "PreTrainedModel", replies: Sequence[data.Rendered]) -> list[float]:
    """−log p of the answers of chats that begin alike: what they share goes through once."""
    # up to the token before the first of any answer, whose logits foretell that one
    begun = count_shared([reply.ids for reply in replies])
    shared = min(begun, *(reply.answer.start for reply in replies)) - 1
    rows = [torch.tensor(reply.ids) for reply in replies]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
    lengths = torch.tensor([[len(row)] for row in rows], device=model.device)
    mask = (torch.arange(ids.shape[1], device=model.device) < lengths).long()
    with models.asking(model):
        read = model(input_ids=ids[:1, :shared], use_cache=True, logits_to_keep=1)
        read[CACHE].batch_repeat_interleave(len(rows))
        behind = ids[:, shared:]
        logits = model(input_ids=behind, attention_mask=mask, **{CACHE: read[CACHE]}).logits
    # logits[:, t] foretell behind[:, t + 1]
    log_p = logits[:, :-1].float().log_softmax(-1).gather(-1, behind[:, 1:, None])[..., 0]
    nats = []
    for reply, row in zip(replies, log_p, strict=True):
        start, stop = (place - shared - 1 for place in (reply.answer.start, reply.answer.stop))
        nats.append(-row[start:stop].sum().item())
    return nats


def count_shared(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens the rows have in common at their beginning."""
    for place, tokens in enumerate(zip(*rows, strict=False)):
        if len(set(tokens)) > 1:
            return place
    return min(map(len, rows))
