"""Did the tuning do harm? Five dimensions, and the rule that raises a red flag for each.

    flags(compared, forgotten)    the `Flags` of a `Comparison` and of what was forgotten
    flags(…, preferred=…)         four more after a run on preferences, see `prefer.preferred`

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
# And of a run on preferences, whose loss sees none of it: nats per reply, and shares.
OF_PREFERENCES = {"distance": 5.0, "length": 0.25, "repetition": 0.05, "over-refusal": 0.05}
SIGNS = {"latency": "×", "distance": " nats"}  # what is no share

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


class Preferred(Protocol):
    """What a run on preferences did beside what it is for: `prefer.preferred` gives one."""

    @property
    def kl(self) -> Interval:
        """KL(tuned ‖ base), nats per reply."""
        ...

    @property
    def longer(self) -> Interval:
        """Words more than the base's, as a share of them."""
        ...

    @property
    def repeating(self) -> Interval:
        """More of a reply that says again what was said, as a share."""
        ...

    @property
    def over_refusing(self) -> Interval:
        """More questions refused that have an answer, as a share."""
        ...


@dataclass(frozen=True)
class Flag:
    """One dimension's harm with its 95 % interval against the limit from where on it is red."""

    dimension: str
    harm: str  # what is measured, in words
    value: float  # a ratio for latency, nats for distance, a share for the others
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
        sign = SIGNS.get(self.dimension)
        limit = f"{100 * self.limit:.1f} %" if sign is None else f"{self.limit:.2f}{sign}"
        return f"{self.harm} > {limit}"

    @property
    def size(self) -> str:
        """The harm with its interval, as people read it."""
        if self.dimension in SIGNS:
            return f"≈{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"
        value, low, high = (100 * share for share in (self.value, self.low, self.high))
        return f"≈{value:.1f} % [{low:.1f}, {high:.1f}]"


@dataclass(frozen=True, repr=False)
class Flags(Result):
    """The dimensions, each with the rule that raises its flag."""

    flags: list[Flag]

    @property
    def red(self) -> list[str]:
        """The dimensions whose flag is up."""
        return [flag.dimension for flag in self.flags if flag.state == "RED"]

    def json(self) -> dict:
        """By dimension: the harm, its interval, the limit, the state and the rule in words."""
        by_dimension = {}
        for flag in self.flags:
            by_dimension[flag.dimension] = {
                "harm": flag.value,
                "interval": (flag.low, flag.high),
                "limit": flag.limit,
                "state": flag.state,
                "rule": flag.rule,
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
    compared: Comparison,
    forgotten: Forgotten,
    limits: Mapping[str, float] | None = None,
    preferred: Preferred | None = None,
) -> Flags:
    """A red flag by rule for each of the five dimensions of base beside tuned.

    forgotten: what `forgetting.table` gives. preferred: what `prefer.preferred` gives, after a run
    on preferences, for four dimensions more. limits: other numbers for some of `LIMITS` and
    `OF_PREFERENCES`; a dimension that is not there is a `UserError`.
    """
    known = LIMITS if preferred is None else {**LIMITS, **OF_PREFERENCES}
    for name in limits or {}:
        if name not in known:
            raise UserError(
                f"there is no dimension {name!r}; give limits for {', '.join(known)}."
                f"{nearest(name, known)}"
            )
    limit = {**known, **(limits or {})}
    harms = measure_harms(compared, forgotten)
    if preferred is not None:
        harms |= {
            "distance": ("KL from the base, nats per reply,", preferred.kl),
            "length": ("longer than the base's replies", preferred.longer),
            "repetition": ("more said again in a reply", preferred.repeating),
            "over-refusal": ("more refused that has an answer", preferred.over_refusing),
        }
    return Flags(
        [
            Flag(dimension, harm, *measured, limit[dimension])
            for dimension, (harm, measured) in harms.items()
        ]
    )


def measure_harms(
    compared: Comparison, forgotten: Forgotten
) -> dict[str, tuple[str, tuple[float, float, float]]]:
    """By dimension: the harm in words, and (value, low, high); more is worse in all of them."""
    # what was gained is a harm with the sign turned round, from zero: a 0 stays without a sign
    task = compare_answers(compared.base.exact, compared.tuned.exact)
    low, high = task.interval

    in_format, made_up = compared.tuned.format, compared.hallucination
    out_of_format = Rate(in_format.n - in_format.hits, in_format.n)
    of_format = ("replies out of format", (out_of_format.value, *out_of_format.interval))
    more_made_up = rate_difference(made_up["base"], made_up["tuned"])
    return {
        "task": ("right answers lost", (0.0 - task.change, 0.0 - high, 0.0 - low)),
        # answers in plain words have no format, so there is none to harm
        **({"format": of_format} if in_format.n else {}),
        "forgetting": ("mean skill lost", forgotten.lost),
        "hallucination": ("more made up than the base", more_made_up),
        "latency": ("time for a token, tuned / base", compared.speed.slowdown("tuned", "base")),
    }
