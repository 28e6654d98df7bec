"""Is it better? A paired test that says so only when the rows can tell, red flags by rule, and
every prompt that broke.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from ..core.errors import UserError, nearest
from ..core.results import Result
from ..core.statistics import Rate, compare_answers, median_ratio, rate_difference
from ..forgetting import Forgetting
from .comparison import Comparison

# From where on a dimension is red. The guides say "dropped", "errors", "degraded", "increased",
# "more than twice as slow".
LIMITS = {"task": 0.0, "format": 0.05, "forgetting": 0.02, "hallucination": 0.05, "latency": 2.0}


@dataclass(frozen=True)
class Flag:
    """One dimension's harm with its 95 % interval against the limit from where on it is red."""

    dimension: str
    harm: str
    value: float
    low: float
    high: float
    limit: float

    @property
    def state(self) -> str:
        """RED: the whole interval lies above the limit. clear: none of it does. open: these rows
        can't tell.
        """
        return "RED" if self.low > self.limit else "clear" if self.high <= self.limit else "open"

    @property
    def rule(self) -> str:
        """The rule in words."""
        return f"{self.harm} > {harm_as_text(self.limit, self.dimension)}"


def harm_as_text(value: float, dimension: str) -> str:
    """A harm as people read it: latency is a ratio, the others are shares."""
    return f"{value:.2f}×" if dimension == "latency" else f"{100 * value:.1f} %"


@dataclass(frozen=True, repr=False)
class Flags(Result):
    """The five dimensions, each with the rule that raises its flag."""

    flags: list[Flag]

    @property
    def red(self) -> list[str]:
        """The dimensions whose flag is up."""
        return [f.dimension for f in self.flags if f.state == "RED"]

    def json(self) -> dict:
        """By dimension: the harm, its interval, the limit and the state."""
        return {
            "flags": {
                f.dimension: {
                    "harm": f.value,
                    "interval": (f.low, f.high),
                    "limit": f.limit,
                    "state": f.state,
                }
                for f in self.flags
            }
        }

    def table(self):
        """One line a dimension."""
        rows = []
        for f in self.flags:
            times = f.dimension == "latency"
            value, low, high = (x if times else 100 * x for x in (f.value, f.low, f.high))
            size = (
                f"≈{value:.2f} [{low:.2f}, {high:.2f}]"
                if times
                else f"≈{value:.1f} % [{low:.1f}, {high:.1f}]"
            )
            rows.append((f.dimension, f.state, size, f.rule))
        return (
            "Red flags: RED if the whole interval is past the limit, open if part of it is",
            ("dimension", "flag", "harm", "RED when"),
            rows,
        )


def flags(
    compared: Comparison, forgotten: Forgetting, limits: Mapping[str, float] | None = None
) -> Flags:
    """The five dimensions of base beside tuned, a red flag for each by rule; `limits` moves some of
    LIMITS.
    """
    for name in limits or {}:
        if name not in LIMITS:
            raise UserError(
                f"there is no dimension {name!r}; give limits for {', '.join(LIMITS)}.{nearest(name, LIMITS)}"
            )
    limit = {**LIMITS, **(limits or {})}
    task = compare_answers(compared.base.exact, compared.tuned.exact)
    low, high = task.interval
    wrong = Rate(compared.tuned.format.n - compared.tuned.format.hits, compared.tuned.format.n)
    measured = {
        "task": ("right answers lost", -task.change, -high, -low),
        "format": ("replies out of format", wrong.value, *wrong.interval),
        "forgetting": ("mean skill lost", *forgotten.lost),
        "hallucination": (
            "more made up than the base",
            *rate_difference(*(compared.hallucination[k] for k in ("base", "tuned"))),
        ),
        "latency": (
            "time for a token, tuned / base",
            *median_ratio(compared.speed.ms["tuned"], compared.speed.ms["base"]),
        ),
    }
    return Flags([Flag(name, *harm, limit[name]) for name, harm in measured.items()])
