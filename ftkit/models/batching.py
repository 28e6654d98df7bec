"""Chats as batches of token ids: the one place where conversations are rendered and padded.

    chat_batches(tokenizer, conversations)    shortest first, so that a batch holds little padding

A prompt that a model goes on with is padded on the left, a whole chat that it reads on the right.
Which tokens of a chat are its answer is `evaluate.likelihood`'s business.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerBase


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
    texts = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=as_prompts, tokenize=False)
        for chat in conversations
    ]
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        inputs = tokenizer(
            [texts[place] for place in places],
            add_special_tokens=False,
            padding=True,
            padding_side="left" if as_prompts else "right",
            return_tensors="pt",
        )
        yield places, inputs
