"""A new version for some of the requests: who gets it, and may one look at the result every day?

    share_of(request, salt)        where a request lies between 0 and 1, by its hash
    choose_version(request, share) "new" for so large a share of them, always the same ones
    evidence(old, new)             how strongly they differ, valid whenever one looks
    always_valid_p(evidence)       1 / the strongest so far
    daily_p(old, new)              the usual test of every day, which is not valid so
    falling_limits(shares)         z of each day's look, where all looks are planned
    roll_out(rates, plan)          simulated: step by step, back at the first strong evidence

`evidence` is an e-process (Turner, Ly & Grünwald 2024, arXiv:2106.02693): with no difference its
mean is 1 at most whenever one stops, so it ever reaches 20 in at most 5 % of streams (Ville 1939).
Where the last day is known, a falling limit (O'Brien & Fleming 1979) finds more. All compare within
each day (Cochran 1954): the new version's answers are the late ones, when the world may have moved.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.errors import UserError, is_number, is_whole
from ..core.results import Result, TableParts, percent_in
from ..core.statistics import Rate

Counts = tuple[np.ndarray, np.ndarray]  # (right answers, requests), each (…, days)
WALKS = 100_000  # equal pairs that a limit for many looks is drawn from
DIGITS = 52  # bits of a hash that a float holds


def share_of(request: str, salt: str = "") -> float:
    """Where a request lies from 0 to below 1: the first bits of SHA-256 of salt and id.

    The same for ever and on every machine. salt: another one for every trial, or the same people
    would be tried on again and again.
    """
    digest = hashlib.sha256(f"{salt}\x00{request}".encode()).digest()
    return (int.from_bytes(digest[:8]) >> (64 - DIGITS)) / 2**DIGITS


def choose_version(request: str, share: float, salt: str = "") -> Literal["old", "new"]:
    """Which version answers: the new one for a share of all ids.

    A larger share keeps all who had the new one, so nobody is sent to and fro. request: an id of
    the user or the conversation. Raises UserError for what is no share.
    """
    if not is_number(share) or not 0 <= share <= 1:
        raise UserError(f"share is {share!r}; give a number from 0 to 1, such as 0.05.")
    return "new" if share_of(request, salt) < share else "old"


def evidence(old: Counts, new: Counts, prior: float = 0.18) -> np.ndarray:
    """ln E after each day, (…, days): how many times likelier two rates are than one.

    old, new: (right, requests) of each day, (…, days). A day multiplies E by
    p(answers | θ_old, θ_new) / p(answers | θ₀, θ₀), the two rates as the days *before* tell them,
    (right + prior) / (requests + 2 · prior), and θ₀ their mean, weighted by the day's requests.
    Each factor has a mean of 1 at most where both rates are one, whatever it is.
    """
    rate_old, rate_new = rates_before(old, prior), rates_before(new, prior)
    requests = np.maximum(old[1] + new[1], 1)
    one = (old[1] * rate_old + new[1] * rate_new) / requests
    one = np.where(old[1] + new[1] > 0, one, 0.5)
    gain = log_likelihood(old, rate_old) + log_likelihood(new, rate_new)
    gain = gain - log_likelihood(old, one) - log_likelihood(new, one)
    return np.cumsum(gain, -1)


def rates_before(counts: Counts, prior: float) -> np.ndarray:
    """The rate that the days before each day tell; a half on the first."""
    right, requests = (np.cumsum(each, -1) - each for each in counts)
    return (right + prior) / (requests + 2 * prior)


def log_likelihood(counts: Counts, rate: np.ndarray) -> np.ndarray:
    """ln of the probability of so many right and wrong answers, in one order."""
    right, requests = counts
    return right * np.log(rate) + (requests - right) * np.log1p(-rate)


def always_valid_p(evidence: np.ndarray) -> np.ndarray:
    """A p that may be looked at every day: 1 / the largest E so far, 1 at most.

    It falls below 0.05 on any day in at most 5 % of streams without a difference.
    """
    return np.exp(-np.maximum.accumulate(np.maximum(evidence, 0), -1))


def daily_p(old: Counts, new: Counts) -> np.ndarray:
    """The two-sided p of the usual z-test of two rates, on all days so far, by `daily_z`.

    Right for one look that was planned; looked at every day, it finds a difference far too often.
    1 where a rate cannot be told.
    """
    return np.vectorize(math.erfc)(np.abs(daily_z(old, new)) / math.sqrt(2))


def daily_z(old: Counts, new: Counts) -> np.ndarray:
    """By how many standard errors the new rate is lower: the days' differences, added up.

    A day adds the old version's right answers less those that it would have had at the day's rate
    of both, and the variance of this (Cochran 1954). One day alone is the usual pooled z-test. 0
    where a rate cannot be told.
    """
    (k1, n1), (k2, n2) = old, new
    both = np.maximum(n1 + n2, 1)
    rate = (k1 + k2) / both
    gap = np.cumsum(k1 - n1 * rate, -1)
    variance = np.cumsum(n1 * n2 * rate * (1 - rate) / both, -1)
    known = variance > 0
    return np.where(known, gap / np.sqrt(np.where(known, variance, 1)), 0)


def falling_limits(shares: np.ndarray, level: float = 0.05) -> np.ndarray:
    """The z of each of so many planned looks (O'Brien & Fleming 1979): high at first, then lower.

    shares: the new version's on each day. z · √(what is known by that day, as a share of the last)
    is a random walk where both rates are one; the limit is what level / 2 of such walks ever pass.
    """
    known = np.cumsum(shares * (1 - shares))
    known = known / known[-1]
    rng = np.random.default_rng(0)
    steps = rng.standard_normal((WALKS, len(known))) * np.sqrt(np.diff(known, prepend=0))
    highest = np.cumsum(steps, 1).max(1)
    return np.quantile(highest, 1 - level / 2) / np.sqrt(known)


@dataclass(frozen=True)
class Plan:
    """A roll-out: the shares of requests that the new version gets, and for how many days each.

    strength: E that sends it back (or ends the trial), 1 / the share of false alarms.
    """

    steps: Sequence[float] = (0.01, 0.05, 0.25, 1.0)
    days: int = 3
    strength: float = 20.0

    def __post_init__(self) -> None:
        good = all(is_number(step) and 0 < step <= 1 for step in self.steps)
        if not self.steps or not good or list(self.steps) != sorted(self.steps):
            raise UserError(
                f"steps is {tuple(self.steps)}; give rising shares above 0 and up to 1, such as "
                "(0.01, 0.05, 0.25, 1)."
            )
        check_counts(days=self.days)
        if not is_number(self.strength) or self.strength <= 1:
            raise UserError(f"strength is {self.strength!r}; give a number above 1, such as 20.")

    @property
    def shares(self) -> np.ndarray:
        """The new version's share on every day."""
        return np.repeat(np.asarray(self.steps, float), self.days)


@dataclass(frozen=True, repr=False)
class RolledOut(Result):
    """What became of many simulated roll-outs of the same two versions."""

    back: Rate  # sent back on strong evidence that the new one is worse
    day: float | None  # the median day on which they were, counted from 1
    wrong: float  # wrong answers of the new version that its requests got, on average
    all_at_once: float  # the same had it been given to everybody on the first day, for all days
    once: Rate | None  # found worse by the usual p, looked at once: the last evening with both
    once_on: int  # that day, counted from 1
    planned: Rate | None  # found worse by a look on each day with both, by `falling_limits`
    planned_day: float | None  # the median day on which they were, counted from 1

    def table(self) -> TableParts:
        """Seven lines; four where everybody has the new version from the first day on."""
        rows = [
            ("sent back", percent_in(self.back.value, *self.back.interval)),
            ("on day, median", in_days(self.day)),
            ("wrong answers of the new one", f"≈{self.wrong:,.0f}"),
            ("the same, to everybody at once", f"≈{self.all_at_once:,.0f}"),
        ]
        if self.once is not None and self.planned is not None:
            looks = {f"one look after day {self.once_on}": self.once}
            looks[f"{self.once_on} planned looks, by a limit that falls"] = self.planned
            rows += [(f"found by {n}", percent_in(r.value, *r.interval)) for n, r in looks.items()]
            rows.append(("by these on day, median", in_days(self.planned_day)))
        return f"{self.back.n} simulated roll-outs", ("", ""), rows


def in_days(day: float | None) -> str:
    """A median day in words; a dash where there is none."""
    return "–" if day is None else f"≈{day:.0f}"


def roll_out(
    rates: tuple[float, float],
    plan: Plan | None = None,
    per_day: int = 1000,
    streams: int = 400,
    seed: int = 0,
) -> RolledOut:
    """Roll out a version again and again, and look every day.

    rates: how often the old and the new version are right. A version is sent back on the first day
    on which E is above the plan's strength and the new one is lower by `daily_z`. Beside it
    stands what planned looks would have found while both versions answer: one at `daily_p` on the
    last day, and one every day by `falling_limits`. Raises UserError for what is no rate or number.
    """
    plan = plan or Plan()
    if len(rates) != 2 or not all(is_number(rate) and 0 <= rate <= 1 for rate in rates):
        raise UserError(f"rates is {rates!r}; give two shares from 0 to 1.")
    check_counts(per_day=per_day, streams=streams)
    rng = np.random.default_rng([seed, streams])

    # every day's requests of both, and how many are answered right
    size = (streams, len(plan.shares))
    to_new = rng.binomial(per_day, plan.shares, size)
    old = rng.binomial(per_day - to_new, rates[0]), per_day - to_new
    new = rng.binomial(to_new, rates[1]), to_new
    strong = evidence(old, new) > math.log(plan.strength)
    stop = strong & (daily_z(old, new) > 0)

    # the new version answers until the evening of the day on which it is sent back
    back, last = stop.any(-1), stop.argmax(-1)
    until = np.where(back, last, size[1] - 1)
    served = np.arange(size[1]) <= until[:, None]
    wrong = ((new[1] - new[0]) * served).sum(-1).mean()
    day = float(np.median(last[back])) + 1 if back.any() else None
    at_once = per_day * size[1] * (1 - rates[1])
    rivals = planned_looks(old, new, plan.shares[plan.shares < 1])
    return RolledOut(Rate(int(back.sum()), streams), day, float(wrong), at_once, *rivals)


def planned_looks(
    old: Counts, new: Counts, shares: np.ndarray
) -> tuple[Rate | None, int, Rate | None, float | None]:
    """What planned looks find on the days on which both answer: the last fields of `RolledOut`."""
    found, day = look_daily(old, new, shares)
    return look_once(old, new, len(shares)), len(shares), found, day


def look_once(old: Counts, new: Counts, days: int, level: float = 0.05) -> Rate | None:
    """In how many streams the usual p, looked at after so many days alone, finds the new one worse.

    None for no days: then there is nothing to look at.
    """
    if not days:
        return None
    worse = daily_z(old, new)[:, days - 1] > 0
    found = (daily_p(old, new)[:, days - 1] < level) & worse
    return Rate(int(found.sum()), found.size)


def look_daily(
    old: Counts, new: Counts, shares: np.ndarray
) -> tuple[Rate, float | None] | tuple[None, None]:
    """In how many streams planned daily looks find the new one worse, and the median day of it.

    None for no days, as in `look_once`.
    """
    if not len(shares):
        return None, None
    over = daily_z(old, new)[:, : len(shares)] > falling_limits(shares)
    found = over.any(-1)
    day = float(np.median(over.argmax(-1)[found])) + 1 if found.any() else None
    return Rate(int(found.sum()), found.size), day


def check_counts(**counts: int) -> None:
    """Refuse what is no number of days, requests or streams."""
    for name, count in counts.items():
        if not is_whole(count) or count < 1:
            raise UserError(f"{name} is {count!r}; give a whole number from 1 on.")


def false_finds(ps: np.ndarray, level: float = 0.05) -> Rate:
    """In how many streams a p, looked at every day, ever falls below the level."""
    found = (np.asarray(ps) < level).any(-1)
    return Rate(int(found.sum()), found.size)


def same_versions(
    rate: float, days: int = 30, per_day: int = 200, streams: int = 400, seed: int = 0
) -> tuple[Counts, Counts]:
    """Trials in which both sides are the same version: (right, requests) of each day and side.

    per_day: of both together. Raises UserError for a rate or a number that is none.
    """
    if not is_number(rate) or not 0 <= rate <= 1:
        raise UserError(f"rate is {rate!r}; give a share from 0 to 1, such as 0.95.")
    check_counts(days=days, per_day=per_day, streams=streams)
    rng = np.random.default_rng([seed, streams])
    requests = np.full((streams, days), per_day // 2)
    first, second = (rng.binomial(requests, rate) for _ in range(2))
    return (first, requests), (second, requests)
