"""What a model writes to a chat: where its reply ends, and what of it is the answer.

    ReplyReader(model, tokenizer).read    the `Reply` that tokens are: its answer, and is it whole?
    greedy(model, reader)                 a with block in which `generate` takes the likeliest token
    is_same(reply, gold)                  does a reply say what the gold says?

Replies and golds are read alike: without the end mark, what the chat template puts before an
answer's own words, thoughts, special tokens, and white space around them. `answering.py` lets a
model write; whether another wording is right too, `evaluate` judges.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, cast

from .. import data

if TYPE_CHECKING:
    from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

BEGIN, END = "<think>", "</think>"


class Reply(NamedTuple):
    """What a model wrote to one chat."""

    text: str  # the answer
    thoughts: str = ""  # what it wrote in a think block before
    ended: bool = True  # False for a reply that was cut off


def is_same(reply: Reply, gold: Reply) -> bool:
    """Whether a reply says what the gold says; of thoughts, only where the gold has some."""
    same_thoughts = not gold.thoughts or reply.thoughts == gold.thoughts
    return reply.text == gold.text and same_thoughts


class ReplyReader:
    """Reads the tokens that a model writes, as its chat template would have them."""

    def __init__(self, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> None:
        added = tokenizer.added_tokens_decoder.items()
        special = {token: str(what.content) for token, what in added if what.special}
        words = {*special.values(), *tokenizer.all_special_tokens} - {str(tokenizer.unk_token)}
        self.tokenizer = tokenizer
        self.special = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
        self.head = data.answer_head(tokenizer).strip()
        self.opens_thoughts = data.answer_prompt(tokenizer).rstrip().endswith(BEGIN)

        # the tokens of end marks that are special; others are looked for in the text
        marks = {mark: self.first_special(mark, special) for mark in data.end_marks(tokenizer)}
        self.plain_ends = [mark.strip() for mark, token in marks.items() if token is None]
        self.ends = find_ends(model, tokenizer, list(marks.values()))

    def first_special(self, mark: str, special: dict[int, str]) -> int | None:
        """The first special token in an end mark; None where the mark is plain text."""
        ids = self.tokenizer(mark, add_special_tokens=False)["input_ids"]
        known = {*special, *self.tokenizer.all_special_ids}
        return next((token for token in ids if token in known), None)

    def read(self, ids: Sequence[int]) -> Reply:
        """The reply that the tokens are, up to the first that ends it."""
        written = self.cut(ids)
        text = self.decode(written)
        ended = len(written) < len(ids)
        for mark in self.plain_ends:
            text, found, _ = text.partition(mark)
            ended = ended or bool(found)

        # what the template writes of itself is no part of the answer, and thoughts are none
        thoughts, closed, own = text.strip().removeprefix(self.head).partition(END)
        begun = thoughts.lstrip().startswith(BEGIN)
        if (closed and (begun or BEGIN not in thoughts)) or (begun and not ended):
            thoughts = thoughts.strip().removeprefix(BEGIN)
        else:
            thoughts, own = "", thoughts + closed + own
        return Reply(self.plain(own), self.plain(thoughts), ended)

    def cut(self, ids: Sequence[int]) -> list[int]:
        """The tokens before the first that ends a reply."""
        place = next((place for place, token in enumerate(ids) if token in self.ends), len(ids))
        return list(ids[:place])

    def decode(self, ids: Sequence[int]) -> str:
        """Tokens as text, special ones among them."""
        return cast(str, self.tokenizer.decode(list(ids), skip_special_tokens=False))

    def plain(self, text: str) -> str:
        """A text without special tokens, and without white space around it."""
        return (self.special.sub("", text) if self.special.pattern else text).strip()

    def may_become(self, begun: Sequence[int], gold: Sequence[int]) -> bool:
        """Whether a reply that begins with the one tokens may still say what the others say."""
        # half a character at the end is not known yet
        text = self.plain(self.decode(begun)).rstrip("\ufffd")
        if self.opens_thoughts or BEGIN.startswith(text) or text.startswith(BEGIN):
            return True
        own = text.removeprefix(self.plain(self.head)).strip()
        whole = self.plain(self.decode(gold))
        return whole.startswith(text) or self.read(gold).text.startswith((text, own))


def find_ends(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", marks: Sequence[int | None]
) -> list[int]:
    """The tokens that end a reply: the model's own, the tokenizer's, and the chat template's.

    Base models end at another token than the template does, and some state none at all.
    """
    own = model.generation_config.eos_token_id if model.generation_config else None
    ends = [*(own if isinstance(own, Sequence) else [own]), tokenizer.eos_token_id, *marks]
    return list(dict.fromkeys(int(end) for end in ends if end is not None))


@contextmanager
def greedy(
    model: "PreTrainedModel", reader: ReplyReader, **options: object
) -> Iterator["GenerationConfig"]:
    """Inside the with block, `model.generate` is greedy, whatever the model's own config says.

    That may ship a repetition penalty, forbidden words or beams, which `generate` applies without
    sampling too. options: more for the block's config, such as max_new_tokens. The model's own is
    put back at the end.
    """
    from transformers import GenerationConfig

    # with an adapter, the model inside is the one that is asked
    inner = getattr(model, "get_base_model", lambda: model)()
    own = inner.generation_config
    tokens = reader.tokenizer
    plain = {
        "do_sample": False,
        "num_beams": 1,
        "bos_token_id": tokens.bos_token_id,
        "eos_token_id": reader.ends or None,
        "pad_token_id": tokens.pad_token_id,
        "stop_strings": reader.plain_ends or None,
    }
    config = GenerationConfig(**{**plain, **options})
    inner.generation_config = config
    try:
        yield config
    finally:
        inner.generation_config = own
