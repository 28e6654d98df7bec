"""Did it help? Ask both models the same questions and say how sure the answer is: five dimensions,
each with n and interval.
"""

import contextlib
import json
from dataclasses import dataclass

from ..core.results import Result
from ..core.statistics import Rate
from ..models import answer


def parse(reply: str, gold: dict) -> dict | None:
    """The reply as an object if it is strictly in format: one JSON object and nothing else, gold's
    keys, gold's types.
    """
    try:
        found = json.loads(reply)
    except ValueError:
        return None
    if not isinstance(found, dict) or list(found) != list(gold):
        return None
    return found if all(type(found[k]) is type(v) for k, v in gold.items()) else None


@dataclass(frozen=True, repr=False)
class Score(Result):
    """One model on the test rows: strict format, exact match, each field, and values that the
    prompt does not hold.
    """

    name: str
    replies: list[str]
    exact: list[bool]
    format: Rate
    fields: dict[str, Rate]
    invented: Rate  # strings and numbers in well-formed replies that occur nowhere in the prompt

    @property
    def task(self) -> Rate:
        """Rows answered exactly right."""
        return Rate(sum(self.exact), len(self.exact))

    def table(self):
        """One line a measure."""
        rows = [
            ("exact answer", self.task),
            ("strict format", self.format),
            *((f"field {k}", v) for k, v in self.fields.items()),
        ]
        rows.append(("values not in the prompt", self.invented))
        return f"{self.name}, n = {len(self.exact)}", ("measure", "share [95 % interval]"), rows


def score(model, tokenizer, test, name: str = "model", max_new_tokens: int = 64) -> Score:
    """Answer every test row greedily and hold it against the gold JSON object; other golds count
    exact match alone.
    """
    replies = answer(model, tokenizer, [m[:-1] for m in test["messages"]], max_new_tokens)
    golds = [m[-1]["content"] for m in test["messages"]]
    objects = [as_object(g) for g in golds]
    parsed = [parse(r, g) if g is not None else None for r, g in zip(replies, objects, strict=True)]
    well_formed = [
        p is not None if g is not None else r == gold
        for p, g, r, gold in zip(parsed, objects, replies, golds, strict=True)
    ]
    exact = [
        p == g if g is not None else r == gold
        for p, g, r, gold in zip(parsed, objects, replies, golds, strict=True)
    ]
    keys = dict.fromkeys(k for g in objects if g for k in g)
    fields = {
        k: Rate(
            sum(
                bool(p) and p[k] == g[k]
                for p, g in zip(parsed, objects, strict=True)
                if g and k in g
            ),
            sum(g is not None and k in g for g in objects),
        )
        for k in keys
    }
    claims = [
        str(v) in m[-2]["content"]
        for p, m in zip(parsed, test["messages"], strict=True)
        if p
        for v in p.values()
        if not isinstance(v, bool)
    ]
    return Score(
        name,
        replies,
        exact,
        Rate(sum(well_formed), len(replies)),
        fields,
        Rate(len(claims) - sum(claims), len(claims)),
    )


def as_object(text: str) -> dict | None:
    """The JSON object in `text`, or None."""
    with contextlib.suppress(ValueError):
        return found if isinstance(found := json.loads(text), dict) else None
    return None
