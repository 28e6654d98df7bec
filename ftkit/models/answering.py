"""What a model answers, greedily: written out, or only verified against a gold answer.

    answer(model, tokenizer, conversations)                   the reply to each conversation
    verify_answers(model, tokenizer, conversations, golds)    is the reply the gold? seldom writes

A conversation is a list of chat messages, the last of them the user's. Sampling is left to the
model's own `generate`; whether another wording is right as well, to `evaluate` (notebook 09) and
`forgetting` (notebook 10).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import torch

from .batching import chat_batches, render_chats, shortest_first

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def answer(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
    max_new_tokens: int = 64,
    batch_size: int = 50,
) -> list[str]:
    """The greedy reply to each conversation, in the order given, without white space around it."""
    replies = [""] * len(conversations)
    batches = chat_batches(tokenizer, conversations, as_prompts=True, batch_size=batch_size)
    for places, inputs in batches:
        inputs = inputs.to(model.device)
        with torch.no_grad():
            output = model.generate(  # type: ignore # a causal model can, its base class can't
                **inputs, max_new_tokens=max_new_tokens, do_sample=False
            )
        # generate returns prompt and reply, and every prompt of a batch is padded to one length
        written = output[:, inputs["input_ids"].shape[1] :]
        texts = tokenizer.batch_decode(written, skip_special_tokens=True)
        for place, text in zip(places, texts, strict=True):
            replies[place] = text.strip()
    return replies


def verify_answers(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
    golds: Sequence[str],
    max_new_tokens: int = 64,
) -> list[bool]:
    """`reply == gold` for the greedy reply to each conversation, without writing most of them.

    One forward pass over prompt and gold shows which token greedy decoding puts after each (the
    check of speculative decoding, Leviathan et al. 2023). Where they are the gold's own and then
    an end, the reply is the gold; where the first other one leads away from the gold's text, it
    is not. What that leaves open, such as the same text in other tokens, is written out.
    """
    prompts = render_chats(tokenizer, conversations, as_prompts=True)
    prompt_ids = tokenizer(prompts, add_special_tokens=False)["input_ids"]
    gold_ids = tokenizer(list(golds), add_special_tokens=False)["input_ids"]

    # a reply is stripped and may be cut off, so one pass can't tell about golds that would not be
    verifiable = [
        place
        for place, gold in enumerate(golds)
        if len(gold_ids[place]) < max_new_tokens and gold == gold.strip()
    ]
    verified = verify_tokens(
        model,
        tokenizer,
        prompts=[prompt_ids[place] for place in verifiable],
        golds=[gold_ids[place] for place in verifiable],
    )
    verdicts: dict[int, bool | None] = dict.fromkeys(range(len(golds)))
    verdicts.update(zip(verifiable, verified, strict=True))

    # what is still open is written out
    still_open = [place for place, verdict in verdicts.items() if verdict is None]
    asked = [conversations[place] for place in still_open]
    replies = answer(model, tokenizer, asked, max_new_tokens)
    for place, reply in zip(still_open, replies, strict=True):
        verdicts[place] = reply == golds[place]
    return [bool(verdict) for verdict in verdicts.values()]


def verify_tokens(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    prompts: Sequence[list[int]],
    golds: Sequence[list[int]],
    batch_size: int = 25,
) -> list[bool | None]:
    """Does greedy decoding go on from each prompt with the gold's tokens and an end?

    None where its first other token may still lead to the gold's text. prompts, golds: token ids.
    """
    ends = set(torch.tensor(model.generation_config.eos_token_id).flatten().tolist())
    verdicts: list[bool | None] = [None] * len(prompts)
    rows = [prompt + gold for prompt, gold in zip(prompts, golds, strict=True)]
    for places in shortest_first([len(row) for row in rows], batch_size):
        # padded on the left, so that every gold ends at the last position
        batch = {"input_ids": [rows[place] for place in places]}
        inputs = tokenizer.pad(batch, padding_side="left", return_tensors="pt")
        inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)

        # the logits from the prompt's last token on: they choose the gold's first token
        positions = 1 + max(len(golds[place]) for place in places)
        with torch.no_grad():
            logits = model(**inputs.to(model.device), logits_to_keep=positions).logits
        likeliest = logits.argmax(-1).tolist()  # (rows, positions)
        for place, chosen in zip(places, likeliest, strict=True):
            gold = golds[place]
            verdicts[place] = verify_row(tokenizer, chosen[-1 - len(gold) :], gold, ends)
    return verdicts


def verify_row(
    tokenizer: "PreTrainedTokenizerBase",
    likeliest: list[int],
    gold: list[int],
    ends: set[int],
) -> bool | None:
    """`verify_tokens` for one row; likeliest[j] is what greedy decoding puts after gold[:j]."""
    # how many of the gold's tokens greedy decoding writes before it departs or ends
    same = 0
    while same < len(gold) and likeliest[same] == gold[same]:
        same += 1
    if likeliest[same] in ends:
        return same == len(gold)

    # it departs: the text so far, without half a character at its end, may still begin the gold's
    departed = [*gold[:same], likeliest[same]]
    begun = cast(str, tokenizer.decode(departed, skip_special_tokens=True))
    begun = begun.strip().rstrip("\ufffd")
    return None if cast(str, tokenizer.decode(gold)).startswith(begun) else False
