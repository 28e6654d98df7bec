"""Did the tuning do harm? Five dimensions, and the rule that raises a red flag for each.

    flags(compared, forgotten)    the `Flags` of a `Comparison` and of what was forgotten

A flag is RED only when its harm's whole 95 % interval lies past the limit in `LIMITS`; where the
rows can't tell, it stays open. The measures come from `comparison` and from the wing `forgetting`,
the tests from `core.statistics`; which prompts broke is listed by `forgetting.regressions`.
Notebook 09.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts
from ..core.statistics import Interval, Rate, compare_answers, rate_difference
from .comparison import Comparison

# From where on a dimension is red. The guides say "dropped", "errors", "degraded", "increased",
# "more than twice as slow".
LIMITS = {"task": 0.0, "format": 0.05, "forgetting": 0.02, "hallucination": 0.05, "latency": 2.0}

# The states of a flag as a page shows them: words on colours, at a contrast of 4.5 to 1 and more.
LOOKS = {
    "RED": "color:white;background:#b3261e;padding:1px 6px",
    "open": "color:black;background:#f2c14e;padding:1px 6px",
    "clear": "color:white;background:#1b7345;padding:1px 6px",
}


class Forgotten(Protocol):
    """What a tuning cost in skills: `forgetting.table` gives one (that wing stands above this)."""

    @property
    def lost(self) -> Interval:
        """Mean skill lost, before − after, as a share from 0 to 1."""
        ...


@dataclass(frozen=True)
class Flag:
    """One dimension's harm with its 95 % interval against the limit from where on it is red."""

    dimension: str
    harm: str  # what is measured, in words
    value: float  # a ratio for latency, a share from 0 to 1 for the others
    low: float
    high: float
    limit: float

    @property
    def state(self) -> str:
        """RED: the whole interval is past the limit; clear: none of it; open: rows can't tell."""
        if self.low > self.limit:
            return "RED"
        return "clear" if self.high <= self.limit else "open"

    @property
    def rule(self) -> str:
        """When the flag is red, in words."""
        limit = f"{self.limit:.2f}×" if self.is_ratio else f"{100 * self.limit:.1f} %"
        return f"{self.harm} > {limit}"

    @property
    def size(self) -> str:
        """The harm with its interval, as people read it."""
        if self.is_ratio:
            return f"≈{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"
        value, low, high = (100 * share for share in (self.value, self.low, self.high))
        return f"≈{value:.1f} % [{low:.1f}, {high:.1f}]"

    @property
    def is_ratio(self) -> bool:
        """True for latency, which says how many times as long; the others are shares."""
        return self.dimension == "latency"


@dataclass(frozen=True, repr=False)
class Flags(Result):
    """The five dimensions, each with the rule that raises its flag."""

    flags: list[Flag]

    @property
    def red(self) -> list[str]:
        """The dimensions whose flag is up."""
        return [flag.dimension for flag in self.flags if flag.state == "RED"]

    def json(self) -> dict:
        """By dimension: the harm, its interval, the limit and the state."""
        by_dimension = {}
        for flag in self.flags:
            by_dimension[flag.dimension] = {
                "harm": flag.value,
                "interval": (flag.low, flag.high),
                "limit": flag.limit,
                "state": flag.state,
            }
        return {"flags": by_dimension}

    def table(self) -> TableParts:
        """One line per dimension."""
        title = "Red flags: RED if the whole interval is past the limit, open if part of it is"
        rows: list[Sequence[object]] = [
            (flag.dimension, flag.state, flag.size, flag.rule) for flag in self.flags
        ]
        return title, ("dimension", "flag", "harm", "RED when"), rows

    def _repr_html_(self) -> str:
        # the word of each flag on its colour
        shown = super()._repr_html_()
        for state, look in LOOKS.items():
            shown = shown.replace(f">{state}</td>", f"><b style='{look}'>{state}</b></td>")
        return shown


def flags(
    compared: Comparison, forgotten: Forgotten, limits: Mapping[str, float] | None = None
) -> Flags:
    """A red flag by rule for each of the five dimensions of base beside tuned.

    forgotten: what `forgetting.table` gives. limits: other numbers for some of `LIMITS`; a
    dimension that is not there is a `UserError`.
    """
    for name in limits or {}:
        if name not in LIMITS:
            raise UserError(
                f"there is no dimension {name!r}; give limits for {', '.join(LIMITS)}."
                f"{nearest(name, LIMITS)}"
            )
    limit = {**LIMITS, **(limits or {})}
    return Flags(
        [
            Flag(dimension, harm, *measured, limit[dimension])
            for dimension, (harm, measured) in measure_harms(compared, forgotten).items()
        ]
    )


def measure_harms(
    compared: Comparison, forgotten: Forgotten
) -> dict[str, tuple[str, tuple[float, float, float]]]:
    """By dimension: the harm in words, and (value, low, high); more is worse in all of them."""
    # what was gained is a harm with the sign turned round
    task = compare_answers(compared.base.exact, compared.tuned.exact)
    low, high = task.interval

    in_format, made_up = compared.tuned.format, compared.hallucination
    out_of_format = Rate(in_format.n - in_format.hits, in_format.n)
    of_format = ("replies out of format", (out_of_format.value, *out_of_format.interval))
    more_made_up = rate_difference(made_up["base"], made_up["tuned"])
    return {
        "task": ("right answers lost", (-task.change, -high, -low)),
        # answers in plain words have no format, so there is none to harm
        **({"format": of_format} if in_format.n else {}),
        "forgetting": ("mean skill lost", forgotten.lost),
        "hallucination": ("more made up than the base", more_made_up),
        "latency": ("time for a token, tuned / base", compared.speed.slowdown("tuned", "base")),
    }
