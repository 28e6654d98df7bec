"""Intervals: what a measured number may be said to show, and what it may not.

    Rate(hits, n)                        a share and its interval, each answer right or wrong
    compare_answers(first, second)       two models on the same questions: a `Difference`
    paired_difference, mean_over_rows    the same of any numbers, and a mean, by drawing rows again
    rate_difference(first, second)       two rates on different questions
    median_ratio(above, below)           two lists of times, round by round
    kappa(first, second)                 two raters' agreement beyond chance
    holm(ps)                             the p of several tests, corrected for their number
    rows_needed(change, changed)         how many rows would show a change
    mean_and_range(values)               a few seeds: no interval, their range
    mean_over_seeds, changes_over_seeds  a few seeds: t-intervals; of several changes, with their p

All are 95 %, by the method that the docstring names; what is right is `evaluate`'s. Notebook 09.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from .errors import UserError
from .results import Result, TableParts, about, percent_in

Z = NormalDist().inv_cdf(0.975)  # 1.96: a normal number is within ±Z of its mean 95 times in 100
# The 97.5 % quantiles of Student's t by degrees of freedom, from 1.
STUDENT = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
LEVEL = 0.05  # a p from here on refuses nothing
ALIKE = "can't be told apart"


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


def mean_over_seeds(values: Sequence[float]) -> Interval:
    """The mean of a value that every seed gave once, and its 95 % t-interval.

    mean ± t · s / √n with Student's t of n − 1 degrees of freedom, s the standard deviation of the
    n values. Raises UserError for fewer than two, or more than the table of t has.
    """
    most = len(STUDENT) + 1
    if not 2 <= len(values) <= most:
        found = f"is {len(values)} seed" if len(values) == 1 else f"are {len(values)} seeds"
        raise UserError(f"there {found}; an interval needs 2 to {most} of them.")
    mean = statistics.fmean(values)
    half = STUDENT[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


@dataclass(frozen=True)
class Rate:
    """`hits` out of `n`, with its interval."""

    hits: int
    n: int

    @property
    def value(self) -> float:
        """hits / n; NaN for n = 0."""
        return self.hits / self.n if self.n else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval (low, high) of the share, by Wilson's score (Wilson 1927).

        (p̂ + z²/2n ± z·√(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n): all shares p that a test at 5 % would
        not refuse, given p̂ = hits / n. Unlike p̂ ± z·√(p̂(1−p̂)/n) it stays inside 0 and 1, and has
        a width when nothing or everything is right. (0, 1) for n = 0.
        """
        if not self.n:
            return 0.0, 1.0
        p, n, z = self.value, self.n, Z
        shrunk = 1 + z * z / n
        centre = (p + z * z / (2 * n)) / shrunk
        variance = p * (1 - p) / n + z * z / (4 * n * n)
        half = z * math.sqrt(variance) / shrunk
        return max(0.0, centre - half), min(1.0, centre + half)

    def __str__(self) -> str:
        if not self.n:
            return "none to judge"
        return percent_in(self.value, *self.interval)


def paired_difference(
    before: Sequence[float], after: Sequence[float], draws: int = 2000, seed: int = 0
) -> Interval:
    """The mean of after − before over rows that both have, by a percentile bootstrap.

    The rows may be right or wrong, or any numbers. See `mean_over_rows`. Raises UserError where the
    two have different lengths, and where there are none.
    """
    if len(before) != len(after):
        raise UserError(
            f"before and after have {len(before)} and {len(after)} values; give both of the same "
            "rows, in the same order."
        )
    return mean_over_rows(np.asarray(after, float) - np.asarray(before, float), draws, seed)


def mean_over_rows(
    values: "Sequence[float] | np.ndarray", draws: int = 2000, seed: int = 0
) -> Interval:
    """The mean of a value that every row gave once, by a percentile bootstrap.

    The rows are drawn again with replacement, `draws` times; 95 % of the means lie in the interval
    (Efron 1979; Efron & Tibshirani 1993, §13.3). It assumes nothing but that rows were drawn
    independently, and needs some dozens of them. Raises UserError where there are none.
    """
    given = np.asarray(values, float)
    n = len(given)
    if not n:
        raise UserError("there are no rows; a mean needs one at least.")
    rows = np.random.default_rng(seed).integers(0, n, (draws, n))
    low, high = np.quantile(given[rows].mean(1), [0.025, 0.975])
    return Interval(float(given.mean()), float(low), float(high))


def mcnemar(lost: int, gained: int) -> float:
    """The exact two-sided p of McNemar's test (McNemar 1947).

    Of all answers that changed, `gained` became right and `lost` wrong: how often would a fair coin
    thrown lost + gained times be as uneven as this? 1.0 where nothing changed.
    """
    changed = lost + gained
    if not changed:
        return 1.0
    return min(1.0, 2 * coin_tail(changed, min(lost, gained)))


def p_over_seeds(changes: Sequence[float]) -> float:
    """The two-sided p of a mean change over seeds, where there is none, by Student's t.

    P(|T| ≥ t) with t = mean · √n / s and n − 1 degrees of freedom, by the finite sums of Abramowitz
    & Stegun 1964, 26.7.3 and 26.7.4. It is below 0.05 where `mean_over_seeds` leaves zero out.
    Changes that are all alike give 1 where they are zero, else 0. Raises UserError for fewer than
    two.
    """
    n = len(changes)
    if n < 2:
        found = "is 1 seed" if n else "are no seeds"
        raise UserError(f"there {found}; a p needs 2 or more of them.")
    mean, spread = statistics.fmean(changes), statistics.stdev(changes)
    if spread == 0:
        return float(mean == 0)
    degrees = n - 1
    angle = math.atan(abs(mean) * math.sqrt(n) / spread / math.sqrt(degrees))
    odd = degrees % 2
    term = math.cos(angle) if odd else 1.0
    total = 0.0 if degrees == 1 else term
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= math.cos(angle) ** 2 * (k - 1) / k
        total += term
    within = math.sin(angle) * total
    return 1 - (2 / math.pi * (angle + within) if odd else within)


def holm(ps: Sequence[float]) -> list[float]:
    """The p of several tests, corrected for there being several (Holm 1979), in the same order.

    Sorted, the k-th smallest of m is multiplied by m − k + 1, and none is below the one before it;
    1 at most. A corrected p below 0.05 comes by chance in 5 % of all such lists, not of all tests.
    """
    corrected, highest = [0.0] * len(ps), 0.0
    for done, place in enumerate(sorted(range(len(ps)), key=lambda place: ps[place])):
        highest = max(highest, min(1.0, (len(ps) - done) * ps[place]))
        corrected[place] = highest
    return corrected


class Apart(NamedTuple):
    """A change over paired seeds, and how often chance alone gives one as large."""

    change: Interval
    p: float  # corrected for the number of changes


def changes_over_seeds(changes: Mapping[str, Sequence[float]]) -> dict[str, Apart]:
    """Several changes, a value per seed of each: their t-intervals, and p by Holm's method.

    See `mean_over_seeds` and `p_over_seeds`. The intervals are those of single changes.
    """
    ps = holm([p_over_seeds(values) for values in changes.values()])
    return {
        name: Apart(mean_over_seeds(values), p)
        for (name, values), p in zip(changes.items(), ps, strict=True)
    }


def coin_tail(n: int, most: int) -> float:
    """How probable at most `most` heads are in n throws of a fair coin."""
    return sum(math.comb(n, heads) for heads in range(most + 1)) / 2**n


def rows_needed(change: float, changed: float, power: float = 0.8) -> int:
    """How many rows show a true change of the share right, by a test at 5 %, two-sided.

    change: the change to be seen, as a share: 0.02 is two points. changed: the share of rows on
    which the two models differ; two that err on the same rows are told apart with far fewer. power:
    how often the rows would show it. With δ = change and ψ = changed,
    n = (z₀.₉₇₅ √ψ + z_power √(ψ − δ²))² / δ² (Connor 1987). Raises UserError for shares that
    cannot be.
    """
    if not 0 < abs(change) <= changed <= 1:
        raise UserError(
            f"change is {change} and changed {changed}; "
            "give 0 < |change| ≤ changed ≤ 1, both shares of the rows."
        )
    if not 0.5 <= power < 1:
        raise UserError(f"power is {power}; give a share from 0.5 to below 1, such as 0.8.")
    z_power = NormalDist().inv_cdf(power)
    without_change = Z * math.sqrt(changed)
    with_change = z_power * math.sqrt(changed - change * change)
    return math.ceil(((without_change + with_change) / change) ** 2)


@dataclass(frozen=True, repr=False)
class Difference(Result):
    """Two models on the same questions: how many right answers the second lost and gained.

    kept: both are right; lost: the first alone; gained: the second alone; neither: none is.
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
        """The 95 % interval (low, high) of the change: Bonett & Price 2012, with zero by McNemar.

        With a = (lost + 1) / (n + 2) and b = (gained + 1) / (n + 2) it is
        b − a ± z·√((a + b − (b − a)²) / (n + 2)): Wald's interval of a paired difference after one
        answer is added on either side, so that few changed ones are not over-read. Whether zero is
        in it is for McNemar's exact test to say: where p is 0.05 or more, an interval that ends
        short of zero is drawn out to it. So the interval, `word` and `p` never contradict.
        """
        n = self.n + 2
        a, b = (self.lost + 1) / n, (self.gained + 1) / n
        variance = (a + b - (b - a) ** 2) / n
        half = Z * math.sqrt(variance)
        low, high = max(-1.0, b - a - half), min(1.0, b - a + half)
        return (low, high) if self.p < LEVEL else (min(low, 0.0), max(high, 0.0))

    @property
    def p(self) -> float:
        """McNemar's exact p."""
        return mcnemar(self.lost, self.gained)

    @property
    def word(self) -> str:
        """better, worse, or can't be told apart: by the interval, and so by p below 0.05."""
        low, high = self.interval
        if low > 0:
            return "better"
        return "worse" if high < 0 else ALIKE

    @property
    def rows_needed(self) -> int | None:
        """Rows that would show the change that was seen, at 80 % power; None where none was."""
        if self.lost == self.gained:
            return None
        return rows_needed(self.change, (self.lost + self.gained) / self.n)

    @property
    def sentence(self) -> str:
        """What may be said of it.

        Better or worse only when the interval leaves zero out, else how many rows it would take.
        """
        low, high = (100 * share for share in self.interval)
        size = f"≈{100 * self.change:+.1f} [{low:+.1f}, {high:+.1f}] points"
        test = f"McNemar p = {about(self.p, 2)}"
        if self.word != ALIKE:
            return f"{self.word}: {size} on {self.n} rows ({test})"
        need = "as many gained as lost"
        if self.rows_needed:
            rows = two_digits(self.rows_needed)
            need = f"if it is the true change, {rows} rows show it four times out of five"
        return f"{self.word} with n = {self.n}: {size} ({test}); {need}"

    def table(self) -> TableParts:
        """The four counts, under the sentence."""
        heads = ("", "second right", "second wrong")
        rows = [
            ("first right", about(self.kept), about(self.lost)),
            ("first wrong", about(self.gained), about(self.neither)),
        ]
        return self.sentence, heads, rows


def two_digits(count: int) -> str:
    """A count to two digits: two_digits(3127) is "≈3,100"."""
    return f"≈{round(count, 2 - len(str(count))):,}"


def compare_answers(first: Sequence[bool], second: Sequence[bool]) -> Difference:
    """Two models' right and wrong answers to the same questions, in the same order.

    Raises UserError where the two have different lengths, and where there are none.
    """
    if len(first) != len(second) or not len(first):
        raise UserError(
            f"there are {len(first)} answers and {len(second)}; "
            "give both models' answers to the same questions, one at least."
        )
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    return Difference(
        kept=pairs.count((True, True)),
        lost=pairs.count((True, False)),
        gained=pairs.count((False, True)),
        neither=pairs.count((False, False)),
    )


def rate_difference(first: Rate, second: Rate) -> Interval:
    """second − first of two rates on different rows (Newcombe 1998, method 10).

    Each end lies as far from the difference as the two Wilson intervals reach that way, taken
    together like the sides of a right angle: √((p₂ − l₂)² + (u₁ − p₁)²) below it. It needs no
    pairs; where the rows are the same, `compare_answers` sees smaller changes.
    """
    (low_1, high_1), (low_2, high_2) = first.interval, second.interval
    change = second.value - first.value
    below = math.hypot(second.value - low_2, high_1 - first.value)
    above = math.hypot(high_2 - second.value, first.value - low_1)
    return Interval(change, change - below, change + above)


def kappa(
    first: Sequence[str], second: Sequence[str], draws: int = 2000, seed: int = 0
) -> Interval | None:
    """Cohen's κ of two raters of the same things, with its interval by a percentile bootstrap.

    κ = (p − e) / (1 − e), where p is the share said alike and e what chance would give two raters
    who use each word as often as these do (Cohen 1960); things are drawn again, `draws` times
    (Efron 1979). None where e is 1: both say one word alone. Raises UserError for raters of
    different things, and of none.
    """
    if len(first) != len(second) or not len(first):
        raise UserError(
            f"there are {len(first)} verdicts and {len(second)}; give both raters' verdicts on the "
            "same things, one at least."
        )
    # how often each pair of words was said
    words = sorted({*first, *second})
    places = {word: place for place, word in enumerate(words)}
    counts = np.zeros((len(words), len(words)))
    for one, other in zip(first, second, strict=True):
        counts[places[one], places[other]] += 1

    # a draw of n things is a draw of n such pairs
    n = len(first)
    drawn = np.random.default_rng(seed).multinomial(n, counts.ravel() / n, draws)
    (value,) = kappas(counts[None])
    if math.isnan(value):
        return None
    low, high = np.nanquantile(kappas(drawn.reshape(draws, *counts.shape)), [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def kappas(counts: np.ndarray) -> np.ndarray:
    """κ of each table of counts (tables, words, words); NaN where chance alone agrees always."""
    n = counts.sum((1, 2))
    alike = np.trace(counts, axis1=1, axis2=2) / n
    by_chance = (counts.sum(1) * counts.sum(2)).sum(1) / n**2
    beyond = np.where(by_chance > 1 - 1e-12, np.nan, 1 - by_chance)
    return (alike - by_chance) / beyond


def median_ratio(above: Sequence[float], below: Sequence[float]) -> Interval:
    """The median of the rounds' ratios above / below, by order statistics (Thompson 1936).

    The interval runs from the k-th smallest ratio to the k-th largest. The true median is outside
    as often as a fair coin, thrown once per round, comes up heads fewer than k times or tails fewer
    than k times; k is the largest with that below 5 %. No shape of the times is assumed. It is
    95 % or more from six rounds on, with fewer the whole range.
    """
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    median, n, k = statistics.median(ratios), len(ratios), 1
    while 2 * coin_tail(n, k) < 0.05:
        k += 1
    return Interval(median, ratios[k - 1], ratios[n - k])
