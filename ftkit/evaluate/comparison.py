"""TODO header of evaluate.comparison."""

from dataclasses import dataclass

from .. import lora
from ..core.errors import UserError
from ..core.results import Result, about
from ..core.statistics import Rate, paired_difference
from ..lora import as_base
from .hallucination import made_up
from .scoring import Score, score
from .speed import Latency, latency


@dataclass(frozen=True, repr=False)
class Comparison(Result):
    """Base beside tuned on the same rows: task, format, hallucination and latency (forgetting is in
    `forgetting.table`).
    """

    base: Score
    tuned: Score
    hallucination: dict[str, Rate]
    speed: Latency

    def table(self):
        """One line a dimension."""
        b, t = self.base, self.tuned
        fields = [(f"· {k}", b.fields.get(k, Rate(0, 0)), v) for k, v in t.fields.items()]
        rows = [
            ("task: exact answer", b.task, t.task),
            *fields,
            ("format: strict", b.format, t.format),
            (
                "hallucination: made up about strangers",
                self.hallucination["base"],
                self.hallucination["tuned"],
            ),
            ("hallucination: values not in the prompt", b.invented, t.invented),
            (
                "latency: ms for a token",
                about(self.speed.median("base")),
                about(self.speed.median("tuned")),
            ),
        ]
        return (
            f"Base and tuned on {len(t.exact)} test rows, share [95 % interval]",
            ("dimension", b.name, t.name),
            rows,
        )

    def json(self) -> dict:
        """The dimensions by the design's keys; shares from 0 to 1 with n and 95 % intervals."""
        b, t, made = self.base, self.tuned, self.hallucination
        return {
            "task": pair(b.task, t.task),
            "format": pair(b.format, t.format),
            "fields": {k: pair(b.fields[k], v) for k, v in t.fields.items()},
            "hallucination": pair(made["base"], made["tuned"]),
            "invented": pair(b.invented, t.invented),
            "gain": self.gain,
            "latency_ms": {k: round(self.speed.median(k), 2) for k in self.speed.ms},
        }

    @property
    def gain(self) -> tuple[float, float, float]:
        """Exact answers, tuned − base: (difference, low, high), paired bootstrap."""
        return paired_difference(self.base.exact, self.tuned.exact)


def pair(base: Rate, tuned: Rate) -> dict:
    """Base beside tuned with n and intervals, for JSON (None where there was nothing to judge)."""
    return {
        "base": base.value if base.n else None,
        "tuned": tuned.value if tuned.n else None,
        "n": tuned.n,
        "base_interval": base.interval,
        "tuned_interval": tuned.interval,
    }


def compare(base, tuned, tokenizer, test) -> Comparison:
    """Base and tuned model on the same test rows.

    base: a model, or the very model that `tuned` carries its adapter on (then it is asked with the
    adapter switched off).
    test: chat rows whose answers are JSON objects (or any text: then exact match alone counts).
    """
    if not len(test):
        raise UserError("there are no test rows; give at least one chat example.")
    same = lora.is_attached(tuned) and tuned.get_base_model() is base
    if not lora.is_attached(tuned) and base is tuned:
        raise UserError(
            "base and tuned are the same model object: full fine-tuning changed it in place; load the base again for the comparison."
        )
    asked = tuned if same else base
    with as_base(asked, same):
        scores = [score(asked, tokenizer, test, "base")]
        made = {"base": made_up(asked, tokenizer)}
    scores.append(score(tuned, tokenizer, test, "tuned"))
    made["tuned"] = made_up(tuned, tokenizer)
    speed = latency(
        {"base": (asked, same), "tuned": tuned}, tokenizer, test["messages"][0], rounds=5
    )
    return Comparison(*scores, made, speed)
