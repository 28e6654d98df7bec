"""TODO header of core.statistics."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from .errors import UserError
from .results import Result, about, percent_in


class Interval(NamedTuple):
    """A value and its 95 % interval: what more rows, rounds or seeds would very likely stay in."""

    value: float
    low: float
    high: float


class Range(NamedTuple):
    """A mean and the lowest and highest of what it was taken of: three seeds, say. No interval."""

    value: float
    low: float
    high: float


def mean_and_range(values: Sequence[float]) -> Range:
    """The `Range` of some values: with three seeds it says more than a standard error."""
    return Range(statistics.fmean(values), min(values), max(values))


@dataclass(frozen=True)
class Rate:
    """`hits` out of `n`, with its 95 % Wilson score interval (Wilson 1927)."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """hits / n; NaN for n = 0."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """(p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n) with z = 1.96; (0, 1) for n = 0."""
        if not self.n:
            return 0.0, 1.0
        z, p, n = 1.96, self.value, self.n
        centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        if not self.n:
            return "none to judge"
        return percent_in(self.value, *self.interval)


def paired_difference(
    before: Sequence[bool], after: Sequence[bool], draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """(mean of after − before, low, high): 95 % bootstrap interval over the rows that both
    answered.
    """
    import numpy as np

    change = np.asarray(after, float) - np.asarray(before, float)
    means = change[np.random.default_rng(seed).integers(0, len(change), (draws, len(change)))].mean(
        1
    )
    low, high = np.quantile(means, [0.025, 0.975])
    return float(change.mean()), float(low), float(high)


Z = NormalDist().inv_cdf(0.975)


def mcnemar(lost: int, gained: int) -> float:
    """The exact two-sided p of McNemar's test (1947): were `gained` of the lost + gained changed
    answers a fair coin's heads?
    """
    n, fewer = lost + gained, min(lost, gained)
    return min(1.0, sum(math.comb(n, k) for k in range(fewer + 1)) / 2 ** (n - 1)) if n else 1.0


def rows_needed(change: float, changed: float, power: float = 0.8) -> int:
    """How many rows show a true `change` of the share right (0.02: two points) with that power, at
    5 % two-sided.

    n = (z₀.₉₇₅ √ψ + z_power √(ψ − δ²))² / δ² (Connor 1987), where δ = `change` and ψ = `changed` is
    the share of rows on
    which the two models differ: two models that err on the same rows are told apart with far fewer.
    """
    if not 0 < abs(change) <= changed <= 1:
        raise UserError(
            f"change is {change} and changed {changed}; give 0 < |change| ≤ changed ≤ 1, both shares of the rows."
        )
    if not 0.5 <= power < 1:
        raise UserError(f"power is {power}; give a share from 0.5 to below 1, such as 0.8.")
    root = Z * math.sqrt(changed) + NormalDist().inv_cdf(power) * math.sqrt(
        changed - change * change
    )
    return math.ceil((root / change) ** 2)


def smallest_change(n: int, changed: float, power: float = 0.8) -> float:
    """The smallest true change that `n` rows show with that power: `rows_needed` read backwards;
    NaN where n is too small for any.
    """
    if rows_needed(changed, changed, power) > n:
        return math.nan
    low, high = 0.0, changed
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if rows_needed(middle, changed, power) <= n else (middle, high)
    return high


@dataclass(frozen=True, repr=False)
class Difference(Result):
    """Two models on the same questions: how many of the first one's right answers the second lost,
    and how many it gained.
    """

    kept: int
    lost: int
    gained: int
    neither: int

    @property
    def n(self) -> int:
        """Questions asked of both."""
        return self.kept + self.lost + self.gained + self.neither

    @property
    def change(self) -> float:
        """The second's share of right answers less the first's: (gained − lost) / n."""
        return (self.gained - self.lost) / self.n

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the change, one answer added on either side so that few changed ones are
        not over-read (Bonett & Price 2012).
        """
        n = self.n + 2
        a, b = (self.lost + 1) / n, (self.gained + 1) / n
        half = Z * math.sqrt((a + b - (b - a) ** 2) / n)
        return max(-1.0, b - a - half), min(1.0, b - a + half)

    @property
    def p(self) -> float:
        """McNemar's exact p."""
        return mcnemar(self.lost, self.gained)

    @property
    def word(self) -> str:
        """better, worse, or can't be told apart: decided by the interval alone."""
        low, high = self.interval
        return "better" if low > 0 else "worse" if high < 0 else "can't be told apart"

    @property
    def rows_needed(self) -> int | None:
        """Rows that would show a change as large as the one seen, at 80 % power; None where none
        was seen.
        """
        return (
            rows_needed(self.change, (self.lost + self.gained) / self.n)
            if self.lost != self.gained
            else None
        )

    @property
    def sentence(self) -> str:
        """What may be said: better or worse only when the interval leaves zero out, else how many
        rows it would take.
        """
        low, high = (100 * x for x in self.interval)
        size = f"≈{100 * self.change:+.1f} [{low:+.1f}, {high:+.1f}] points"
        if self.word != "can't be told apart":
            return f"{self.word}: {size} on {self.n} rows (McNemar p = {about(self.p, 2)})"
        need = (
            f"{two_digits(self.rows_needed)} rows would show such a change"
            if self.rows_needed
            else "as many gained as lost"
        )
        return f"{self.word} with n = {self.n}: {size} (McNemar p = {about(self.p, 2)}); {need}"

    def table(self):
        """The four counts, then the sentence."""
        heads = ("", "second right", "second wrong")
        rows = [
            ("first right", about(self.kept), about(self.lost)),
            ("first wrong", about(self.gained), about(self.neither)),
        ]
        return self.sentence, heads, rows


def two_digits(n: int) -> str:
    """A count to two digits: rounded(3127) is "≈3,100"."""
    return f"≈{round(n, 2 - len(str(n))):,}"


def compare_answers(first: Sequence[bool], second: Sequence[bool]) -> Difference:
    """Two models' right and wrong answers to the same questions, in the same order."""
    if len(first) != len(second) or not len(first):
        raise UserError(
            f"there are {len(first)} answers and {len(second)}; give both models' answers to the same questions, one at least."
        )
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    return Difference(
        *(
            pairs.count(kind)
            for kind in ((True, True), (True, False), (False, True), (False, False))
        )
    )


def rate_difference(first: Rate, second: Rate) -> tuple[float, float, float]:
    """(second − first, low, high): 95 % interval out of the two Wilson intervals (Newcombe 1998,
    method 10), which needs no pairs.
    """
    (l1, u1), (l2, u2), change = first.interval, second.interval, second.value - first.value
    below = math.hypot(second.value - l2, u1 - first.value)
    return change, change - below, change + math.hypot(u2 - second.value, first.value - l1)


def median_ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, float, float]:
    """Median of the rounds' ratios and its interval by order statistics: 95 % or more from six
    rounds on, with fewer the whole range.
    """
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    n, cut = len(ratios), 0
    while 2 * sum(math.comb(n, k) for k in range(cut + 1)) / 2**n < 0.05:
        cut += 1
    return statistics.median(ratios), ratios[max(0, cut - 1)], ratios[n - max(1, cut)]
