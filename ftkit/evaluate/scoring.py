"""Is the reply right? Greedy answers held against the gold of each test row.

    score(model, tokenizer, test)            a `Score`: exact answers, format, fields, inventions
    score_replies(reader, test, replies)     the same of replies that are there already

Every measure is a `Rate`, a share with its n and its 95 % interval. What format is, when values are
equal and what the prompt holds stands in `values.py`. Two models side by side stand in
`comparison`, how likely the gold is in `likelihood`; what makes a text good that has no gold is for
`judge`. Notebooks 00 and 09.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .. import data
from ..core.errors import UserError
from ..core.results import Result, TableParts
from ..core.statistics import Rate
from ..models import Reply, ReplyReader, is_same, write_replies
from .values import Claim, Source, list_claims, parse, read_value, same_order, same_value

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LEAST_TOKENS = 64  # that a reply may have, however short the golds are
NONE = Rate(0, 0)
ROOM = 16  # tokens beyond those of the longest gold


@dataclass(frozen=True)
class Answered:
    """One test row and what a model replied to it."""

    source: Source  # all that stands before the answer
    gold: Reply  # the right answer, as the chat template writes it
    reply: Reply
    strict_order: bool = False

    @cached_property
    def wanted(self) -> dict | list | None:
        """The gold as a JSON object or list; None for any other, which counts exact match alone."""
        return read_value(self.gold.text)

    @cached_property
    def parsed(self) -> dict | list | None:
        """The reply as such, if it is strictly in the gold's format."""
        if self.wanted is None:
            return None
        return parse(self.reply.text, self.wanted, strict_order=self.strict_order)

    @property
    def exact(self) -> bool:
        """Whether the reply is the gold: the same values, or the same text."""
        if not self.reply.ended:
            return False
        if self.wanted is None:
            return is_same(self.reply, self.gold)
        same_thoughts = not self.gold.thoughts or self.reply.thoughts == self.gold.thoughts
        return same_thoughts and same_value(self.parsed, self.wanted)

    def right_in(self, key: str) -> bool:
        """Whether the reply has the gold's value in one field."""
        parsed, wanted = self.parsed, self.wanted
        if isinstance(parsed, dict) and isinstance(wanted, dict):
            return same_value(parsed[key], wanted[key])
        return False

    @property
    def claims(self) -> list[Claim]:
        """The strings and numbers in a reply that is in format."""
        return list_claims(self.parsed)

    @property
    def inventions(self) -> list[Claim]:
        """Those of them that stand nowhere before the answer."""
        return [claim for claim in self.claims if not self.source.holds(claim)]


@dataclass(frozen=True, repr=False)
class Score(Result):
    """One model on the test rows."""

    name: str
    replies: list[str]
    exact: list[bool]  # by row
    format: Rate  # replies strictly in format, of the rows whose gold is a JSON object or list
    fields: dict[str, Rate]  # by field: the gold's value, among the golds that have the field
    invented: Rate  # strings and numbers in well-formed replies that stand nowhere before them
    order: Rate = NONE  # well-formed replies whose keys stand in the gold's order
    cut_off: Rate = NONE  # replies that did not end within the limit

    @property
    def task(self) -> Rate:
        """Rows answered exactly right."""
        return Rate(sum(self.exact), len(self.exact))

    def table(self) -> TableParts:
        """One line per measure; keys in another order and replies cut off where there are any."""
        rows: list[Sequence[object]] = [
            ("exact answer", self.task),
            ("strict format", self.format),
            *((f"field {key}", rate) for key, rate in self.fields.items()),
            ("values not in the prompt", self.invented),
        ]
        if self.order.hits < self.order.n:
            rows.insert(2, ("keys in the gold's order", self.order))
        if self.cut_off.hits:
            rows.append(("replies cut off", self.cut_off))
        return f"{self.name}, n = {len(self.exact)}", ("measure", "share [95 % interval]"), rows


def score(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
    name: str = "model",
    max_new_tokens: int | None = None,
    *,
    strict_order: bool = False,
) -> Score:
    """Answer every test row greedily and hold each reply against its gold.

    test: chat rows whose last message is the gold: a JSON object or list, or any text, of which
    exact match alone is counted. name: what the table calls the model. max_new_tokens: where a
    reply is cut off; None leaves room for the longest gold. strict_order: only replies with the
    gold's order of keys are in format. No rows are a `UserError`.
    """
    if not len(test["messages"]):
        raise UserError("there are no test rows; give at least one chat example.")
    reader = ReplyReader(model, tokenizer)
    golds = [chat.answer_ids for chat in render_rows(tokenizer, test)]
    replies = write_replies(
        model,
        tokenizer,
        [chat[:-1] for chat in test["messages"]],
        longest_reply(golds) if max_new_tokens is None else max_new_tokens,
        tools=data.tools_of(test),
    )
    return score_replies(reader, test, replies, name, strict_order=strict_order)


def score_replies(
    reader: ReplyReader,
    test: "Dataset",
    replies: Sequence[Reply],
    name: str = "model",
    asked: Sequence[Sequence[Mapping]] | None = None,
    *,
    strict_order: bool = False,
) -> Score:
    """Replies that were written already, one to each test row, held against the golds.

    asked: the chats that they answered, where those are not the rows' own: with passages in them,
    say, from which a value may be taken.
    """
    chats = [chat[:-1] for chat in test["messages"]] if asked is None else asked
    golds = [chat.answer_ids for chat in render_rows(reader.tokenizer, test)]
    rows = [
        Answered(Source(chat, tools), reader.read(gold), reply, strict_order)
        for chat, tools, gold, reply in zip(chats, data.tools_of(test), golds, replies, strict=True)
    ]
    return count(rows, name)


def render_rows(tokenizer: "PreTrainedTokenizerBase", test: "Dataset") -> list[data.Rendered]:
    """The test rows as the model reads them; what the template refuses is named."""
    pairs = enumerate(zip(test["messages"], data.tools_of(test), strict=True), 1)
    return [
        data.render(chat, tokenizer, tools=tools, where=f"test row {number}")
        for number, (chat, tools) in pairs
    ]


def longest_reply(golds: Sequence[Sequence[int]]) -> int:
    """Tokens that every right reply has room in, and some of a wrong one."""
    return max(LEAST_TOKENS, ROOM + max(map(len, golds)))


def count(rows: Sequence[Answered], name: str) -> Score:
    """The `Score` of answered rows."""
    # of all values that well-formed replies state, how many nobody told the model
    claims = sum(len(row.claims) for row in rows)
    inventions = sum(len(row.inventions) for row in rows)

    # format is judged where the gold has one, the order of keys where the reply has that format
    judged = [row for row in rows if row.wanted is not None]
    formed = [row for row in judged if row.parsed is not None]
    objects = [row for row in formed if isinstance(row.wanted, dict)]
    ordered = sum(same_order(row.parsed or {}, row.wanted or {}) for row in objects)
    return Score(
        name=name,
        replies=[row.reply.text for row in rows],
        exact=[row.exact for row in rows],
        format=Rate(len(formed), len(judged)),
        fields=rate_fields(rows),
        invented=Rate(inventions, claims),
        order=Rate(ordered, len(objects)),
        cut_off=Rate(sum(not row.reply.ended for row in rows), len(rows)),
    )


def rate_fields(rows: Sequence[Answered]) -> dict[str, Rate]:
    """How often each field has the gold's value, among the rows whose gold has the field."""
    golds = [row.wanted if isinstance(row.wanted, dict) else {} for row in rows]
    rates = {}
    for key in dict.fromkeys(key for gold in golds for key in gold):
        asked = [row for row, gold in zip(rows, golds, strict=True) if key in gold]
        rates[key] = Rate(sum(row.right_in(key) for row in asked), len(asked))
    return rates
