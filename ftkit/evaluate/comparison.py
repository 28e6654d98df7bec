"""Base beside tuned on the same rows: task, format, hallucination and latency in one table.

    compare(base, tuned, tokenizer, test)    a `Comparison`, every share with its n and interval
    compare_again(known, base, tuned, …)     the same, of a base that has answered already

The fifth dimension, what the tuning cost in other skills, is `forgetting.table`. Whether a
difference is harm is decided in `red_flags`; each measure is made in the room of its name.
Notebooks 00 and 09.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypedDict

from .. import lora
from ..core.errors import UserError
from ..core.results import Result, TableParts, about
from ..core.statistics import Interval, Rate, paired_difference
from .formats import Schema
from .hallucination import hallucination_rate
from .scoring import NONE, Score, score
from .speed import AdapterOff, Latency, latency

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Rules(TypedDict, total=False):
    """What counts as in format, as `score` takes it."""

    strict_order: bool
    schema: Schema | Mapping | None


class Answered(NamedTuple):
    """What one model said."""

    score: Score
    made_up: Rate  # about strangers


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Two models on the same test rows, the same questions about strangers, and the same clock."""

    base: Score
    tuned: Score
    hallucination: dict[str, Rate]  # of "base" and "tuned": made up about strangers
    speed: Latency  # of "base" and "tuned"

    @property
    def gain(self) -> Interval:
        """Exact answers, tuned − base, as a share of the rows; paired bootstrap."""
        return paired_difference(self.base.exact, self.tuned.exact)

    def table(self) -> TableParts:
        """One line per dimension."""
        base, tuned, made_up = self.base, self.tuned, self.hallucination
        medians = [about(self.speed.median(name)) for name in ("base", "tuned")]
        rows = [
            ("task: exact answer", base.task, tuned.task),
            *((f"· {field}", *rates) for field, rates in self.field_pairs().items()),
            ("format: strict", base.format, tuned.format),
            *(
                (f"· {kind}", *rates)
                for kind, rates in self.error_pairs().items()
                if any_hit(rates)
            ),
            *self.asides(),
            ("hallucination: made up about strangers", made_up["base"], made_up["tuned"]),
            ("hallucination: values not in the prompt", base.invented, tuned.invented),
            ("latency: ms for a token", *medians),
        ]
        title = f"Base and tuned on {len(tuned.exact)} test rows, share [95 % interval]"
        return title, ("dimension", base.name, tuned.name), rows

    def asides(self) -> list[tuple[str, Rate, Rate]]:
        """What is said only where there is some: keys in another order, replies cut off."""
        base, tuned = self.base, self.tuned
        asides = []
        if base.order.hits < base.order.n or tuned.order.hits < tuned.order.n:
            asides.append(("· keys in the gold's order", base.order, tuned.order))
        if base.cut_off.hits or tuned.cut_off.hits:
            asides.append(("· replies cut off", base.cut_off, tuned.cut_off))
        return asides

    def json(self) -> dict:
        """The same by dimension for run.json: shares from 0 to 1 with n and 95 % intervals."""
        base, tuned, made_up = self.base, self.tuned, self.hallucination
        fields = self.field_pairs()
        return {
            "task": rates_as_json(base.task, tuned.task),
            "format": rates_as_json(base.format, tuned.format),
            "format_errors": {
                kind: rates_as_json(*rates) for kind, rates in self.error_pairs().items()
            },
            "key_order": rates_as_json(base.order, tuned.order),
            "cut_off": rates_as_json(base.cut_off, tuned.cut_off),
            "fields": {field: rates_as_json(*rates) for field, rates in fields.items()},
            "hallucination": rates_as_json(made_up["base"], made_up["tuned"]),
            "invented": rates_as_json(base.invented, tuned.invented),
            "gain": self.gain,
            "latency_ms": {name: round(self.speed.median(name), 2) for name in self.speed.ms},
            "latency_p95_ms": {name: round(self.speed.p95(name), 2) for name in self.speed.ms},
        }

    def field_pairs(self) -> dict[str, tuple[Rate, Rate]]:
        """Base's and tuned's rate of each field of the gold objects."""
        return {
            field: (self.base.fields.get(field, Rate(0, 0)), rate)
            for field, rate in self.tuned.fields.items()
        }

    def error_pairs(self) -> dict[str, tuple[Rate, Rate]]:
        """Base's and tuned's rate of each kind of format error."""
        base, tuned = self.base.errors, self.tuned.errors
        return {kind: (base.get(kind, NONE), rate) for kind, rate in tuned.items()}


def any_hit(rates: tuple[Rate, Rate]) -> bool:
    """Whether there is any in one of the two."""
    return any(rate.hits for rate in rates)


def rates_as_json(base: Rate, tuned: Rate) -> dict:
    """Base beside tuned with n and intervals, for JSON (None where there was nothing to judge)."""
    return {
        "base": base.value if base.n else None,
        "tuned": tuned.value if tuned.n else None,
        "n": tuned.n,
        "base_interval": base.interval,
        "tuned_interval": tuned.interval,
    }


def compare(
    base: "PreTrainedModel",
    tuned: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
    *,
    strict_order: bool = False,
    strangers: int = 100,
    schema: Schema | Mapping | None = None,
) -> Comparison:
    """Ask base and tuned the same test rows, the same about strangers, and time them in turn.

    base: another model; or the very one that `tuned` carries its adapter on, or `tuned` itself:
    then it is asked with the adapter switched off. test: chat rows whose answers are JSON objects
    (or any text: then exact match alone counts). strict_order, schema: as in `score`; strangers:
    how many questions about them. No rows, and one fully tuned model given as both, are a
    `UserError`.
    """
    if not len(test):
        raise UserError("there are no test rows; give at least one chat example.")
    if base is tuned and not lora.is_attached(tuned):
        raise UserError(
            "base and tuned are the same model object: full fine-tuning changed it in place; "
            "load the base again for the comparison."
        )
    rules: Rules = {"strict_order": strict_order, "schema": schema}
    inside = lies_inside(base, tuned)
    with lora.using(tuned, None) if inside else nullcontext():
        asked = tuned if inside else base
        before = ask(asked, tokenizer, test, "base", strangers, rules)
    after = ask(tuned, tokenizer, test, "tuned", strangers, rules)
    return put_beside(before, after, time_both(base, tuned, tokenizer, test))


def compare_again(
    known: Comparison,
    base: "PreTrainedModel",
    tuned: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
) -> Comparison:
    """`compare` of another tuned model with a base that has answered these rows before.

    known: that comparison, of this base and by `compare`'s usual rules; the base's part is taken
    from it, tuned is asked as many questions, and both are timed. A comparison of other rows is a
    `UserError`.
    """
    before = Answered(known.base, known.hallucination["base"])
    after = ask(tuned, tokenizer, test, "tuned", before.made_up.n, {})
    if before.score.golds != after.score.golds:
        raise UserError("the comparison was made on other rows; give one of the same test rows.")
    return put_beside(before, after, time_both(base, tuned, tokenizer, test))


def lies_inside(base: "PreTrainedModel", tuned: "PreTrainedModel") -> bool:
    """Whether the base is what `tuned` is with its adapter off: an adapter sits in its base."""
    return lora.is_attached(tuned) and (base is tuned or tuned.get_base_model() is base)


def ask(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
    name: str,
    strangers: int,
    rules: Rules,
) -> Answered:
    """What one of the two says to the test rows, and of strangers."""
    scored = score(model, tokenizer, test, name, **rules)
    return Answered(scored, hallucination_rate(model, tokenizer, strangers))


def time_both(
    base: "PreTrainedModel",
    tuned: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
) -> Latency:
    """How long both take for a token, in turn."""
    first = AdapterOff(tuned) if lies_inside(base, tuned) else base
    return latency({"base": first, "tuned": tuned}, tokenizer, test["messages"][0], rounds=5)


def put_beside(before: Answered, after: Answered, speed: Latency) -> Comparison:
    """Both as a `Comparison`."""
    made_up = {"base": before.made_up, "tuned": after.made_up}
    return Comparison(before.score, after.score, made_up, speed)
