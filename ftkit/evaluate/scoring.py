"""Is the reply right? Greedy answers held against the gold of each test row.

    score(model, tokenizer, test)            a `Score`: exact answers, format, fields, inventions
    score_replies(reader, test, replies)     the same of replies that are there already
    fuzzy(score)                             how like the gold are those that are not exact?
    rows_to_rate(test, scores, n)            replies of several models, to be judged blind

Every measure is a `Rate`, a share with its n and its 95 % interval. What format is stands in
`formats.py`, when values are equal and what the prompt holds in `values.py`. Two models side by
side stand in `comparison`, how likely the gold is in `likelihood`; what makes a text good that has
no gold is for `judge`, and for people. Notebooks 00 and 09.
"""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from .. import data
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts, about, percent_in
from ..core.statistics import Interval, Rate, mean_over_rows
from ..models import Reply, ReplyReader, is_same, write_replies
from .formats import KINDS, ORDER, RULE, Schema, find_errors, likeness, same_order
from .values import Claim, Source, list_claims, read_value, same_value

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LEAST_TOKENS = 64  # that a reply may have, however short the golds are
NONE = Rate(0, 0)
ROOM = 16  # tokens beyond those of the longest gold
NEAR = 0.9  # from where on two texts are nearly the same


@dataclass(frozen=True)
class Format:
    """What a reply in format is held against, beside its gold."""

    schema: Schema | None = None
    strict_order: bool = False

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of error that there can be."""
        ordered = self.strict_order or bool(self.schema and self.schema.order)
        left = (set() if ordered else {ORDER}) | (set() if self.schema else {RULE})
        return tuple(kind for kind in KINDS if kind not in left)


PLAIN = Format()


@dataclass(frozen=True)
class Answered:
    """One test row and what a model replied to it."""

    source: Source  # all that stands before the answer
    gold: Reply  # the right answer, as the chat template writes it
    reply: Reply
    format: Format = PLAIN

    @cached_property
    def wanted(self) -> dict | list | None:
        """The gold as a JSON object or list; None for any other, which counts exact match alone."""
        return read_value(self.gold.text)

    @cached_property
    def found(self) -> tuple[dict | list | None, list[str]]:
        """(the reply as such, what is wrong with its format); nothing where the gold has none."""
        if self.wanted is None:
            return None, []
        rules = self.format
        return find_errors(
            self.reply.text, self.wanted, rules.schema, strict_order=rules.strict_order
        )

    @property
    def parsed(self) -> dict | list | None:
        """The reply as a JSON value, if it is strictly in format."""
        value, errors = self.found
        return None if errors else value

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
            return key in parsed and same_value(parsed[key], wanted[key])
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
    errors: dict[str, Rate] = field(default_factory=dict)  # replies with each kind of format error
    golds: list[str] = field(default_factory=list)  # the right answers, in the same order

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
        faults = [(f"· {kind}", rate) for kind, rate in self.errors.items() if rate.hits]
        if self.order.hits < self.order.n:
            faults.append(("keys in the gold's order", self.order))
        rows[2:2] = faults
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
    schema: Schema | Mapping | None = None,
) -> Score:
    """Answer every test row greedily and hold each reply against its gold.

    test: chat rows whose last message is the gold: a JSON object or list, or any text, of which
    exact match alone is counted. name: what the table calls the model. max_new_tokens: where a
    reply is cut off; None leaves room for the longest gold. strict_order: only replies with the
    gold's order of keys are in format; schema: those that obey it are, whatever keys the gold has.
    No rows are a `UserError`, and golds that break the schema.
    """
    if not len(test["messages"]):
        raise UserError("there are no test rows; give at least one chat example.")
    reader = ReplyReader(model, tokenizer)
    golds = [chat.answer_ids for chat in render_rows(tokenizer, test)]
    checked = fit_schema(schema, [reader.read(gold).text for gold in golds])
    replies = write_replies(
        model,
        tokenizer,
        [chat[:-1] for chat in test["messages"]],
        longest_reply(golds) if max_new_tokens is None else max_new_tokens,
        tools=data.tools_of(test),
    )
    return score_replies(reader, test, replies, name, strict_order=strict_order, schema=checked)


def fit_schema(schema: Schema | Mapping | None, golds: Sequence[str]) -> Schema | None:
    """The schema that replies have to obey; UserError where the golds themselves do not."""
    if schema is None:
        return None
    checked = schema if isinstance(schema, Schema) else Schema(schema)
    values = [(number, read_value(gold)) for number, gold in enumerate(golds, 1)]
    judged = [(number, value) for number, value in values if value is not None]
    if not judged:
        raise UserError(
            "no test row's answer is a JSON object or list, so there is nothing for the schema to "
            "judge; leave it out."
        )
    for number, value in judged:
        if broken := checked.find_errors(value):
            raise UserError(
                f"the right answer of test row {number} breaks the schema itself "
                f"({', '.join(broken)}); mend one of the two."
            )
    return checked


def score_replies(
    reader: ReplyReader,
    test: "Dataset",
    replies: Sequence[Reply],
    name: str = "model",
    asked: Sequence[Sequence[Mapping]] | None = None,
    *,
    strict_order: bool = False,
    schema: Schema | Mapping | None = None,
) -> Score:
    """Replies that were written already, one to each test row, held against the golds.

    asked: the chats that they answered, where those are not the rows' own: with passages in them,
    say, from which a value may be taken. strict_order, schema: as in `score`.
    """
    chats = [chat[:-1] for chat in test["messages"]] if asked is None else asked
    golds = [reader.read(chat.answer_ids) for chat in render_rows(reader.tokenizer, test)]
    rules = Format(fit_schema(schema, [gold.text for gold in golds]), strict_order)
    rows = [
        Answered(Source(chat, tools), gold, reply, rules)
        for chat, tools, gold, reply in zip(chats, data.tools_of(test), golds, replies, strict=True)
    ]
    return count(rows, name, rules.kinds)


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


def count(rows: Sequence[Answered], name: str, kinds: Sequence[str]) -> Score:
    """The `Score` of answered rows."""
    # of all values that well-formed replies state, how many nobody told the model
    claims = sum(len(row.claims) for row in rows)
    inventions = sum(len(row.inventions) for row in rows)

    # format is judged where the gold has one, the order of keys where the reply has that format
    judged = [row for row in rows if row.wanted is not None]
    formed = [row for row in judged if row.parsed is not None]
    objects = [row for row in formed if isinstance(row.wanted, dict)]
    ordered = sum(same_order(row.parsed or {}, row.wanted or {}) for row in objects)
    errors = {kind: sum(kind in row.found[1] for row in judged) for kind in kinds}
    return Score(
        name=name,
        replies=[row.reply.text for row in rows],
        exact=[row.exact for row in rows],
        format=Rate(len(formed), len(judged)),
        fields=rate_fields(rows),
        invented=Rate(inventions, claims),
        order=Rate(ordered, len(objects)),
        cut_off=Rate(sum(not row.reply.ended for row in rows), len(rows)),
        errors={kind: Rate(hits, len(judged)) for kind, hits in errors.items()},
        golds=[row.gold.text for row in rows],
    )


def rate_fields(rows: Sequence[Answered]) -> dict[str, Rate]:
    """How often each field has the gold's value, among the rows whose gold has the field."""
    golds = [row.wanted if isinstance(row.wanted, dict) else {} for row in rows]
    rates = {}
    for key in dict.fromkeys(key for gold in golds for key in gold):
        asked = [row for row, gold in zip(rows, golds, strict=True) if key in gold]
        rates[key] = Rate(sum(row.right_in(key) for row in asked), len(asked))
    return rates


@dataclass(frozen=True, repr=False)
class Fuzzy(Result):
    """How like the golds a model's replies are, letter by letter."""

    name: str
    alike: list[float]  # by row, from 0 to 1
    exact: Rate
    near: Rate  # not exact, and at least `least` alike
    least: float

    @property
    def mean(self) -> Interval:
        """The mean likeness, with the interval of a bootstrap over rows."""
        return mean_over_rows(self.alike)

    def json(self) -> dict:
        """Mean and shares, with n and intervals."""
        mean, low, high = self.mean
        return {
            "likeness": mean,
            "likeness_interval": (low, high),
            "near": self.near.value,
            "near_interval": self.near.interval,
            "n": self.near.n,
        }

    def table(self) -> TableParts:
        """Exact, nearly so, and how like in the mean."""
        rows: list[Sequence[object]] = [
            ("exact", self.exact),
            (f"not exact, {self.least:.0%} alike or more", self.near),
            ("mean likeness", percent_in(*self.mean)),
            ("median likeness", about(statistics.median(self.alike))),
        ]
        return f"{self.name}: fuzzy match, n = {len(self.alike)}", ("", "[95 % interval]"), rows


def fuzzy(score: Score, least: float = NEAR) -> Fuzzy:
    """How like each reply of a score is to its gold (`likeness`), and how many just missed it.

    Raises UserError for a `least` that is no share, and where rapidfuzz is not installed.
    """
    if not 0 < least <= 1:
        raise UserError(f"least is {least!r}; give a share above 0 and up to 1, such as {NEAR}.")
    alike = likeness(score.replies, score.golds)
    near = sum(a >= least and not exact for a, exact in zip(alike, score.exact, strict=True))
    return Fuzzy(score.name, alike, score.task, Rate(near, len(alike)), least)


def rows_to_rate(
    test: "Dataset", scores: Sequence[Score], n: int = 50, seed: int = 0
) -> list[dict]:
    """The replies of several models to n test rows, as rows that people may judge blind.

    Every model is shown on the same n questions. `audit.make_sheet(rows, …)` hides the column
    `model`, and `audit.review(rows, sheet, by="model")` brings it back with the verdicts. Raises
    UserError unless 1 ≤ n ≤ the test rows.
    """
    if not is_whole(n) or not 1 <= n <= len(test):
        raise UserError(f"n is {n!r}; give a whole number from 1 to {len(test)}, the test rows.")
    chosen = sorted(random.Random(f"rate {seed}").sample(range(len(test)), n))
    rows = []
    for score in scores:
        for place in chosen:
            reply = {"role": "assistant", "content": score.replies[place]}
            asked = test["messages"][place][:-1]
            rows.append({"messages": [*asked, reply], "model": score.name})
    return rows
