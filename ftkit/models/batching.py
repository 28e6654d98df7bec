"""Chats as batches of token ids: the one place where conversations are rendered and padded.

    chat_batches(tokenizer, conversations)    shortest first, so that a batch holds little padding

A prompt that a model goes on with is padded on the left, a whole chat that it reads on the right.
Which tokens of a chat carry loss in a training is decided in `train/batches.py`, and which are
scored in `evaluate/likelihood.py` (notebooks 07 and 09).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase


def render_chats(
    tokenizer: "PreTrainedTokenizerBase", conversations: Sequence[list[dict]], *, as_prompts: bool
) -> list[str]:
    """Each conversation as text; as_prompts: ending where the assistant's answer begins."""
    texts = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=as_prompts, tokenize=False)
        for chat in conversations
    ]
    return cast("list[str]", texts)  # which tokenize=False makes of them


def shortest_first(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """The places of `lengths` in groups of `batch_size`, short ones first."""
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def chat_batches(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
    *,
    as_prompts: bool,
    batch_size: int = 50,
) -> Iterator[tuple[list[int], "BatchEncoding"]]:
    """(places in `conversations`, inputs of shape (rows, length)) for each batch, shortest first.

    as_prompts: True ends each chat where the assistant's answer begins and pads on the left, so
    that generation goes on from the last token; False renders it whole and pads on the right.
    """
    texts = render_chats(tokenizer, conversations, as_prompts=as_prompts)

    # texts of like length together; the template has written all special tokens already
    for places in shortest_first([len(text) for text in texts], batch_size):
        inputs = tokenizer(
            [texts[place] for place in places],
            add_special_tokens=False,
            padding=True,
            padding_side="left" if as_prompts else "right",
            return_tensors="pt",
        )
        yield places, inputs
