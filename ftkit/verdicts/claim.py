"""A claim of a guide as something that is decided: figures in, a word out, and nothing typed.

    Figure(what, value, low, high)   one number with its interval, and what the guide says of it
    Claim(id, sentence, …)           a sentence, what measures it, and the judge of its figures
    Claim.settle()                   the figures, measured now, with their word: `Settled`
    as_written("0.78")               what a number with these digits may stand for
    exact, of_seeds, of_rate         figures of a count, of a value per seed, of a share
    source("G1")                     a guide's title and date, as data/decisions.json has them
    query("lora", "r=8", …)          the call that reads a curve off a grid, as text for a cell

The rows themselves are in the rooms `…_rows`, their judges in `judges`. A claim never reads its
own verdict: `python -m ftkit claims --write` writes what came out. Seen in notebook 17.
"""

import html
import json
import math
import operator
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from ..core.files import data_path
from ..core.results import Result, TableParts, html_text
from ..core.statistics import Rate, mean_over_seeds
from ..core.versions import recorded_versions

HOLDS, HERE, DEPENDS = "holds", "holds here", "depends"
FAILS, NOT_HERE = "fails", "fails here"
SETTLED, UNVERIFIED, OPEN = "conflict settled", "unverified", "cannot be told"
WORDS = (HOLDS, HERE, DEPENDS, SETTLED, FAILS, NOT_HERE, OPEN, UNVERIFIED)
# Sources that are no guides: their titles, and a year or a version.
OTHERS = {"paper": ("LoRA's paper, Hu et al.", "2021"), "TRL": ("the library TRL", "1.16")}
KINDS = {
    "C": "arithmetic, exact on any machine",
    "M": "measured on the shipped models",
    "X": "the guides conflict",
    "R": "reported only",
}
Kind = Literal["C", "M", "X", "R"]
Said = tuple[float, float]  # between which two numbers the guide's sentence is true


class Figure(NamedTuple):
    """One number that bears on a claim.

    low, high: its 95 % interval, or the range over what it was taken of; None for an exact one.
    said: between what the value lies where the sentence is true; None where the figure only
    explains. Either end may be infinite: (0, inf) is above 0, and 0 itself is not. n: rows or
    rounds that it was taken of; seeds: how many.
    """

    what: str
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: int | None = None
    seeds: int | None = None
    said: Said | None = None

    @property
    def answer(self) -> bool | None:
        """Whether it lies within what was said; None where its interval covers an end of that.

        None, too, for a figure about which nothing was said, and for one that is not a number.
        """
        low, high = (self.value if end is None else end for end in (self.low, self.high))
        if self.said is None or any(map(math.isnan, (self.value, low, high))):
            return None
        least, most = self.said
        # "above 0" is not said of 0, while what was written with both its ends may be either
        inside = operator.le if math.isfinite(least) and math.isfinite(most) else operator.lt
        if inside(least, low) and inside(high, most):
            return True
        return False if not (inside(least, high) and inside(low, most)) else None

    @property
    def measured(self) -> bool:
        """Whether it was taken of rows, rounds or seeds, and so is of one model and its data."""
        return self.n is not None or self.seeds is not None

    @property
    def in_words(self) -> str:
        """The value with its interval, unit, and how much it was taken of."""
        text = digits(self.value)
        if self.low is not None and self.high is not None:
            text += f" [{digits(self.low)}, {digits(self.high)}]"
        text += f" {self.unit}" if self.unit else ""
        taken = [f"n = {self.n:,}"] if self.n is not None else []
        taken += [f"{self.seeds} seeds"] if self.seeds is not None else []
        return ", ".join([text, *taken])

    @property
    def said_in_words(self) -> str:
        """Where it would have to lie: "", "0.775 to 0.785", "below 5", "above 0"."""
        if self.said is None:
            return ""
        least, most = self.said
        if math.isinf(least) and math.isinf(most):
            return "any"
        if math.isinf(least):
            return f"below {digits(most)}"
        if math.isinf(most):
            return f"above {digits(least)}"
        return digits(least) if least == most else f"{digits(least)} to {digits(most)}"


def digits(value: float) -> str:
    """A number as it is read: whole ones whole, others in four digits."""
    if math.isnan(value) or math.isinf(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1e3 else f"{value:.4g}"


Measure = Callable[[], Sequence[Figure]]
Judge = Callable[[Sequence[Figure]], str]


@dataclass(frozen=True)
class Claim:
    """What guides say, and how it is decided.

    Its verdict is one of WORDS. "cannot be told" is for an interval that covers the bound: "fails"
    would say that the claim is wrong, and "depends" that something decides it, and neither was
    seen. "holds here" and "fails here" stand where rows or seeds were measured, "holds" and
    "fails" where a count is exact on any machine.
    """

    id: str  # of the ledger: "L1"
    sentence: str  # the claim, in the kit's own words
    kind: Kind
    sources: tuple[str, ...]  # guides by their ids in data/decisions.json, or ("paper",)
    decides: str  # the call or the query of a grid that decides, to be pasted into a cell
    rule: str  # one plain sentence: from the numbers to the word
    measure: Measure
    judge: Judge
    notebook: str  # where it is shown: "02"
    quote: Mapping[str, str] = field(default_factory=dict)  # {guide: its own short sentence}
    dear: bool = False  # it takes more than about two seconds

    def verdict(self, figures: Sequence[Figure]) -> str:
        """The judge's word about some figures. Raises ValueError for one that is none of WORDS."""
        word = self.judge(figures)
        if word not in WORDS:
            raise ValueError(f"the judge of {self.id} says {word!r}, which is none of {WORDS}")
        return word

    def settle(self) -> "Settled":
        """Measure now and judge."""
        start = time.perf_counter()
        figures = tuple(self.measure())
        seconds = time.perf_counter() - start
        return Settled(self, figures, self.verdict(figures), machine(), seconds)


@dataclass(frozen=True, repr=False)
class Settled(Result):
    """A claim with its figures and their word; machine: what measured them; seconds: how long."""

    claim: Claim
    figures: Sequence[Figure]
    verdict: str
    machine: Mapping[str, str]
    seconds: float

    def table(self) -> TableParts:
        """A line per figure: what, the value, where the guide has it, and whether it lies there."""
        answers = {True: "yes", False: "no", None: "?"}
        rows = [
            (one.what, one.in_words, one.said_in_words, answers[one.answer] if one.said else "")
            for one in self.figures
        ]
        title = f"{self.claim.id} · {self.verdict.upper()} · {self.claim.sentence}"
        return title, ("figure", "measured", "true between", "is it?"), rows

    def __repr__(self) -> str:
        quotes = [f"  {guide}: “{said}”" for guide, said in self.claim.quote.items()]
        cell = [f"  {line}" for line in self.claim.decides.splitlines()]
        ends = [f"Rule: {self.claim.rule}", from_whom(self.claim), *quotes, "In a cell:", *cell]
        return "\n".join([super().__repr__(), *ends])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return f"{super()._repr_html_()}{self.html_below()}"

    def html_below(self) -> str:
        """What stands below the figures: rule, sources, quotes and the cell that decides."""
        quotes = "".join(
            f"<li>{guide}: “{html_text(said)}”</li>" for guide, said in self.claim.quote.items()
        )
        return (
            f"<p>Rule: {html_text(self.claim.rule)}</p><p>{html_text(from_whom(self.claim))}</p>"
            f"<ul>{quotes}</ul><pre>{html.escape(self.claim.decides)}</pre>"
        )


def source(guide: str) -> dict[str, str]:
    """{"id", "title", "date"} of a guide, of a paper or of a library."""
    known = json.loads(data_path("decisions.json").read_text(encoding="utf-8"))["guides"]
    title, date = OTHERS.get(guide, (guide, ""))
    return {"id": guide, **known.get(guide, {"title": title, "date": date})}


def short_title(title: str) -> str:
    """A title up to what explains it: its first dash, or a comma and "a"."""
    return title.partition(" — ")[0].partition(", a ")[0]


def from_whom(claim: Claim) -> str:
    """The guides by title and date, and where it is shown, in a sentence."""
    told = []
    for guide in claim.sources:
        about = source(guide)
        dated = f" ({about['date']})" if about["date"] else ""
        named = "" if guide in OTHERS else f"{guide}, "
        told.append(f"{named}{short_title(about['title'])}{dated}")
    return f"From: {'; '.join(told)}. Shown in notebook {claim.notebook}."


def machine() -> dict[str, str]:
    """What measures: the libraries' versions, Python's, and the kind of processor."""
    return {
        "python": platform.python_version(),
        "processor": platform.machine(),
        **recorded_versions(),
    }


def query(grid: str, where: str, value: str, x: str) -> str:
    """The call that reads a curve off a grid, to be pasted: mean and range over seeds by x."""
    return (
        f"from ftkit import lab\nrows = lab.grids.select(lab.grids.read({grid!r}), {where})\n"
        f"lab.grids.curve(rows, {value}, {x!r})"
    )


# How figures are made.


def as_written(text: str) -> Said:
    """What a rounded number may stand for: as_written("0.78") is (0.775, 0.785).

    Half a unit of its last digit to either side; commas are left out. A whole number in full
    digits is itself: as_written("131,072") is (131072, 131072).
    """
    plain = text.replace(",", "")
    value, decimals = float(plain), len(plain.partition(".")[2])
    half = 0.5 * 10**-decimals if decimals else 0.0
    return value - half, value + half


def exact(what: str, value: float, unit: str = "", said: Said | None = None) -> Figure:
    """A count or a formula: without an interval, rows or seeds."""
    return Figure(what, value, unit=unit, said=said)


def of_seeds(
    what: str,
    values: Mapping[int, float] | Iterable[float],
    unit: str = "",
    said: Said | None = None,
) -> Figure:
    """The mean of a value that every seed gave once, with its 95 % t-interval.

    values: {seed: value}, or the values. A single seed has no interval and settles nothing: its
    ends are NaN. See `core.statistics.mean_over_seeds`.
    """
    found = list(values.values() if isinstance(values, Mapping) else values)
    if len(found) < 2:
        value = found[0] if found else math.nan
        return Figure(what, value, math.nan, math.nan, unit, seeds=len(found), said=said)
    mean, low, high = mean_over_seeds(found)
    return Figure(what, mean, low, high, unit, seeds=len(found), said=said)


def of_rate(what: str, rate: Rate, said: Said | None = None) -> Figure:
    """A share of right answers, with Wilson's interval: 0 to 1."""
    low, high = rate.interval
    return Figure(what, rate.value, low, high, "", rate.n, said=said)
