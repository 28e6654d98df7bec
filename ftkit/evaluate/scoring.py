"""Is the reply right? Greedy answers held against the gold of each test row.

    score(model, tokenizer, test)    a `Score`: exact answers, strict format, fields, inventions
    parse(reply, gold)               the reply as an object if it is strictly in format, else None

Every measure is a `Rate`, a share with its n and its 95 % interval. Two models side by side stand
in `comparison`, how likely the gold is in `likelihood`; what makes a text good that has no gold is
for `judge`. Notebooks 00 and 09.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ..core.results import Result, TableParts
from ..core.statistics import Rate
from ..models import answer

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def json_object(text: str) -> dict | None:
    """The JSON object that `text` is, or None."""
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        return value if isinstance(value, dict) else None
    return None


def parse(reply: str, gold: dict) -> dict | None:
    """The reply as an object if it is strictly in format, else None.

    Strictly: one JSON object and nothing else, with gold's keys in gold's order and gold's types.
    """
    value = json_object(reply)
    if value is None or list(value) != list(gold):
        return None
    same_types = all(type(value[key]) is type(wanted) for key, wanted in gold.items())
    return value if same_types else None


@dataclass(frozen=True)
class Answered:
    """One test row and what a model replied to it."""

    prompt: str  # the last message before the answer
    gold: str  # the right answer
    reply: str

    @cached_property
    def wanted(self) -> dict | None:
        """The gold as a JSON object; None for any other gold, which counts exact match alone."""
        return json_object(self.gold)

    @cached_property
    def parsed(self) -> dict | None:
        """The reply as an object, if an object is wanted and the reply is strictly in format."""
        return None if self.wanted is None else parse(self.reply, self.wanted)

    @property
    def well_formed(self) -> bool:
        """Whether the reply has the gold's format; a gold that is plain text has only itself."""
        return self.reply == self.gold if self.wanted is None else self.parsed is not None

    @property
    def exact(self) -> bool:
        """Whether the reply is the gold: the same object, or the same text."""
        return self.reply == self.gold if self.wanted is None else self.parsed == self.wanted

    def right_in(self, key: str) -> bool:
        """Whether the reply has the gold's value in one field."""
        parsed, wanted = self.parsed, self.wanted
        return parsed is not None and wanted is not None and parsed[key] == wanted[key]

    @property
    def claims(self) -> list[str]:
        """The strings and numbers in a reply that is in format, as they would stand in a text."""
        values = (self.parsed or {}).values()
        return [str(value) for value in values if not isinstance(value, bool)]

    @property
    def inventions(self) -> list[str]:
        """Those of them that occur nowhere in the prompt."""
        return [claim for claim in self.claims if claim not in self.prompt]


@dataclass(frozen=True, repr=False)
class Score(Result):
    """One model on the test rows."""

    name: str
    replies: list[str]
    exact: list[bool]  # by row
    format: Rate  # replies strictly in format
    fields: dict[str, Rate]  # by field: the gold's value, among the golds that have the field
    invented: Rate  # strings and numbers in well-formed replies that occur nowhere in the prompt

    @property
    def task(self) -> Rate:
        """Rows answered exactly right."""
        return Rate(sum(self.exact), len(self.exact))

    def table(self) -> TableParts:
        """One line per measure."""
        rows: list[Sequence[object]] = [
            ("exact answer", self.task),
            ("strict format", self.format),
            *((f"field {key}", rate) for key, rate in self.fields.items()),
            ("values not in the prompt", self.invented),
        ]
        return f"{self.name}, n = {len(self.exact)}", ("measure", "share [95 % interval]"), rows


def score(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
    name: str = "model",
    max_new_tokens: int = 64,
) -> Score:
    """Answer every test row greedily and hold each reply against its gold.

    test: chat rows whose last message is the gold: a JSON object, or any text, of which exact
    match alone is counted. name: what the table calls the model.
    """
    chats = test["messages"]
    replies = answer(model, tokenizer, [chat[:-1] for chat in chats], max_new_tokens)
    rows = [
        Answered(prompt=chat[-2]["content"], gold=chat[-1]["content"], reply=reply)
        for chat, reply in zip(chats, replies, strict=True)
    ]
    # of all values that well-formed replies state, how many no prompt holds
    claims = sum(len(row.claims) for row in rows)
    inventions = sum(len(row.inventions) for row in rows)
    return Score(
        name=name,
        replies=replies,
        exact=[row.exact for row in rows],
        format=Rate(sum(row.well_formed for row in rows), len(rows)),
        fields=rate_fields(rows),
        invented=Rate(inventions, claims),
    )


def rate_fields(rows: Sequence[Answered]) -> dict[str, Rate]:
    """How often each field has the gold's value, among the rows whose gold has the field."""
    keys = dict.fromkeys(key for row in rows for key in row.wanted or {})
    rates = {}
    for key in keys:
        asked = [row for row in rows if key in (row.wanted or {})]
        rates[key] = Rate(sum(row.right_in(key) for row in asked), len(asked))
    return rates
