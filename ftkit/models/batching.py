"""Chats as batches of token ids, short ones together, so that a batch holds little padding.

    prompt_batches(tokenizer, conversations)    chats to be answered, padded on the left
    chat_batches(tokenizer, rendered)           whole chats to be read, padded on the right

    check_readable(model, tokenizer, rows)      refuses rows with a token or position it has not
    check_tokens(model, tokenizer, highest)     the same of tokens alone
    last_position(model)                        how many tokens it reads at most

A model goes on from the last token of a prompt, hence the left. How a chat becomes text, and which
of its tokens are an answer's, is decided in `data/rendering.py` (notebooks 07 and 09).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from .. import data
from ..core.errors import UserError
from ..core.parsing import shown
from .virtual import virtual_tokens

if TYPE_CHECKING:
    import torch
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerBase


def shortest_first(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """The places of `lengths` in groups of `batch_size`, short ones first."""
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def pad(
    tokenizer: "PreTrainedTokenizerBase", rows: Sequence[list[int]], side: str
) -> "BatchEncoding":
    """Rows of token ids as one batch, filled up on the "left" or "right"."""
    return tokenizer.pad({"input_ids": list(rows)}, padding_side=side, return_tensors="pt")


def prompt_batches(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
    *,
    tools: Sequence[data.Tools] | None = None,
    batch_size: int = 50,
) -> Iterator[tuple[list[int], "BatchEncoding"]]:
    """(places in `conversations`, inputs of shape (rows, length)) for each batch, shortest first.

    Each chat ends where the assistant's answer begins. tools: those that each of them may call.
    Raises UserError for a chat that the chat template refuses or drops a part of.
    """
    texts = render_prompts(tokenizer, conversations, tools)

    # texts of like length together; the template has written all special tokens already
    for places in shortest_first([len(text) for text in texts], batch_size):
        batch = [texts[place] for place in places]
        ids = tokenizer(batch, add_special_tokens=False)["input_ids"]
        yield places, pad(tokenizer, ids, "left")


def render_prompts(
    tokenizer: "PreTrainedTokenizerBase",
    conversations: Sequence[list[dict]],
    tools: Sequence[data.Tools] | None = None,
) -> list[str]:
    """Each conversation as text that ends where the assistant's answer begins."""
    pairs = zip(conversations, tools or [None] * len(conversations), strict=True)
    return [
        data.render_prompt(chat, tokenizer, tools=own, where=f"chat {number}")
        for number, (chat, own) in enumerate(pairs, 1)
    ]


def chat_batches(
    tokenizer: "PreTrainedTokenizerBase",
    rendered: Sequence[data.Rendered],
    *,
    batch_size: int = 50,
) -> Iterator[tuple[list[int], "BatchEncoding"]]:
    """(places in `rendered`, inputs of shape (rows, length)) for each batch, shortest first."""
    for places in shortest_first([len(chat.text) for chat in rendered], batch_size):
        yield places, pad(tokenizer, [rendered[place].ids for place in places], "right")


def last_position(model: "PreTrainedModel") -> int | None:
    """How many positions the model knows, by its configuration; None where that states none.

    Learned positions end there; turned ones go on, and nobody has seen the model there.
    """
    last = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return last if isinstance(last, int) and last > 0 else None


def check_readable(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: Mapping[str, Sequence[int]],
) -> None:
    """Refuse rows with tokens that the model has no embedding for, or beyond its last position.

    rows: {what each is, such as "row 3": its token ids}.
    """
    check_tokens(model, tokenizer, {place: max(ids, default=0) for place, ids in rows.items()})
    last, virtual = last_position(model), virtual_tokens(model)
    for place, ids in rows.items():
        if last is not None and len(ids) + virtual > last:
            before = f", {virtual:,} of them for virtual tokens" if virtual else ""
            raise UserError(
                f"{place} has {len(ids):,} tokens, and the model knows {last:,} positions{before} "
                "(max_position_embeddings); shorten it, or take a model that reads more."
            )


def check_tokens(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", highest: Mapping[str, int]
) -> None:
    """Refuse tokens that the model has no embedding for.

    highest: {what uses it, such as "train row 3": the highest token id in it}.
    """
    known = cast("torch.Tensor", model.get_input_embeddings().weight).shape[0]
    for place, token in highest.items():
        if token >= known:
            raise UserError(
                f"the tokenizer has {len(tokenizer):,} tokens and the model {known:,}: {place} "
                f"uses {shown(tokenizer.convert_ids_to_tokens(token))}, token {token:,}, for which "
                "there is no embedding; call model.resize_token_embeddings(len(tokenizer)) and "
                "save the model again, or take the tokenizer that it was trained with."
            )
