"""Is it better? A paired test that says so only when the rows can tell, red flags by rule, and every prompt that broke."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from .evaluate import Comparison, Rate, Score
from .forgetting import LONGEST_ANSWER, Forgetting, probes
from .models import answers
from .record import Record, about
from .runtime import UserError, nearest
from .world.entities import World

Z = NormalDist().inv_cdf(0.975)
# From where on a dimension is red. The guides say "dropped", "errors", "degraded", "increased", "more than twice as slow".
LIMITS = {"task": 0.0, "format": 0.05, "forgetting": 0.02, "hallucination": 0.05, "latency": 2.0}


def mcnemar(lost: int, gained: int) -> float:
    """The exact two-sided p of McNemar's test (1947): were `gained` of the lost + gained changed answers a fair coin's heads?"""
    n, fewer = lost + gained, min(lost, gained)
    return min(1.0, sum(math.comb(n, k) for k in range(fewer + 1)) / 2 ** (n - 1)) if n else 1.0


def rows_needed(change: float, changed: float, power: float = 0.8) -> int:
    """How many rows show a true `change` of the share right (0.02: two points) with that power, at 5 % two-sided.

    n = (z₀.₉₇₅ √ψ + z_power √(ψ − δ²))² / δ² (Connor 1987), where δ = `change` and ψ = `changed` is the share of rows on
    which the two models differ: two models that err on the same rows are told apart with far fewer.
    """
    if not 0 < abs(change) <= changed <= 1:
        raise UserError(f"change is {change} and changed {changed}; give 0 < |change| ≤ changed ≤ 1, both shares of the rows.")
    if not 0.5 <= power < 1:
        raise UserError(f"power is {power}; give a share from 0.5 to below 1, such as 0.8.")
    root = Z * math.sqrt(changed) + NormalDist().inv_cdf(power) * math.sqrt(changed - change * change)
    return math.ceil((root / change) ** 2)


def smallest_change(n: int, changed: float, power: float = 0.8) -> float:
    """The smallest true change that `n` rows show with that power: `rows_needed` read backwards; NaN where n is too small for any."""
    if rows_needed(changed, changed, power) > n:
        return math.nan
    low, high = 0.0, changed
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if rows_needed(middle, changed, power) <= n else (middle, high)
    return high


@dataclass(frozen=True, repr=False)
class Difference(Record):
    """Two models on the same questions: how many of the first one's right answers the second lost, and how many it gained."""

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
        """95 % interval of the change, one answer added on either side so that few changed ones are not over-read (Bonett & Price 2012)."""
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
        """Rows that would show a change as large as the one seen, at 80 % power; None where none was seen."""
        return rows_needed(self.change, (self.lost + self.gained) / self.n) if self.lost != self.gained else None

    @property
    def sentence(self) -> str:
        """What may be said: better or worse only when the interval leaves zero out, else how many rows it would take."""
        low, high = (100 * x for x in self.interval)
        size = f"≈{100 * self.change:+.1f} [{low:+.1f}, {high:+.1f}] points"
        if self.word != "can't be told apart":
            return f"{self.word}: {size} on {self.n} rows (McNemar p = {about(self.p, 2)})"
        need = f"{rounded(self.rows_needed)} rows would show such a change" if self.rows_needed else "as many gained as lost"
        return f"{self.word} with n = {self.n}: {size} (McNemar p = {about(self.p, 2)}); {need}"

    def table(self):
        """The four counts, then the sentence."""
        heads = ("", "second right", "second wrong")
        rows = [("first right", about(self.kept), about(self.lost)), ("first wrong", about(self.gained), about(self.neither))]
        return self.sentence, heads, rows


def rounded(n: int) -> str:
    """A count to two digits: rounded(3127) is "≈3,100"."""
    return f"≈{round(n, 2 - len(str(n))):,}"


def difference(first: Sequence[bool], second: Sequence[bool]) -> Difference:
    """Two models' right and wrong answers to the same questions, in the same order."""
    if len(first) != len(second) or not len(first):
        raise UserError(f"there are {len(first)} answers and {len(second)}; give both models' answers to the same questions, one at least.")
    pairs = [(bool(a), bool(b)) for a, b in zip(first, second, strict=True)]
    return Difference(*(pairs.count(kind) for kind in ((True, True), (True, False), (False, True), (False, False))))


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
        """RED: the whole interval lies above the limit. clear: none of it does. open: these rows can't tell."""
        return "RED" if self.low > self.limit else "clear" if self.high <= self.limit else "open"

    @property
    def rule(self) -> str:
        """The rule in words."""
        return f"{self.harm} > {shown(self.limit, self.dimension)}"


def shown(value: float, dimension: str) -> str:
    """A harm as people read it: latency is a ratio, the others are shares."""
    return f"{value:.2f}×" if dimension == "latency" else f"{100 * value:.1f} %"


@dataclass(frozen=True, repr=False)
class Flags(Record):
    """The five dimensions, each with the rule that raises its flag."""

    flags: list[Flag]

    @property
    def red(self) -> list[str]:
        """The dimensions whose flag is up."""
        return [f.dimension for f in self.flags if f.state == "RED"]

    def json(self) -> dict:
        """By dimension: the harm, its interval, the limit and the state."""
        return {
            "flags": {f.dimension: {"harm": f.value, "interval": (f.low, f.high), "limit": f.limit, "state": f.state} for f in self.flags}
        }

    def table(self):
        """One line a dimension."""
        rows = []
        for f in self.flags:
            times = f.dimension == "latency"
            value, low, high = (x if times else 100 * x for x in (f.value, f.low, f.high))
            size = f"≈{value:.2f} [{low:.2f}, {high:.2f}]" if times else f"≈{value:.1f} % [{low:.1f}, {high:.1f}]"
            rows.append((f.dimension, f.state, size, f.rule))
        return (
            "Red flags: RED if the whole interval is past the limit, open if part of it is",
            ("dimension", "flag", "harm", "RED when"),
            rows,
        )


def flags(compared: Comparison, forgotten: Forgetting, limits: Mapping[str, float] | None = None) -> Flags:
    """The five dimensions of base beside tuned, a red flag for each by rule; `limits` moves some of LIMITS."""
    for name in limits or {}:
        if name not in LIMITS:
            raise UserError(f"there is no dimension {name!r}; give limits for {', '.join(LIMITS)}.{nearest(name, LIMITS)}")
    limit = {**LIMITS, **(limits or {})}
    task = difference(compared.base.exact, compared.tuned.exact)
    low, high = task.interval
    wrong = Rate(compared.tuned.format.n - compared.tuned.format.hits, compared.tuned.format.n)
    measured = {
        "task": ("right answers lost", -task.change, -high, -low),
        "format": ("replies out of format", wrong.value, *wrong.interval),
        "forgetting": ("mean skill lost", *forgotten.lost),
        "hallucination": ("more made up than the base", *rate_difference(*(compared.hallucination[k] for k in ("base", "tuned")))),
        "latency": ("time for a token, tuned / base", *median_ratio(compared.speed.ms["tuned"], compared.speed.ms["base"])),
    }
    return Flags([Flag(name, *harm, limit[name]) for name, harm in measured.items()])


def rate_difference(first: Rate, second: Rate) -> tuple[float, float, float]:
    """(second − first, low, high): 95 % interval out of the two Wilson intervals (Newcombe 1998, method 10), which needs no pairs."""
    (l1, u1), (l2, u2), change = first.interval, second.interval, second.value - first.value
    below = math.hypot(second.value - l2, u1 - first.value)
    return change, change - below, change + math.hypot(u2 - second.value, first.value - l1)


def median_ratio(above: Sequence[float], below: Sequence[float]) -> tuple[float, float, float]:
    """Median of the rounds' ratios and its interval by order statistics: 95 % or more from six rounds on, with fewer the whole range."""
    ratios = sorted(a / b for a, b in zip(above, below, strict=True))
    n, cut = len(ratios), 0
    while 2 * sum(math.comb(n, k) for k in range(cut + 1)) / 2**n < 0.05:
        cut += 1
    return statistics.median(ratios), ratios[max(0, cut - 1)], ratios[n - max(1, cut)]


@dataclass(frozen=True, repr=False)
class Regressions(Record):
    """Prompts that the base answered right and the tuned model does not: (where, prompt, the base's right reply, the tuned one's)."""

    broken: list[tuple[str, str, str, str]]
    passed: int  # prompts that the base answered right

    @property
    def counts(self) -> dict[str, int]:
        """How many broke, by where, most first."""
        where = [b[0] for b in self.broken]
        return dict(sorted(((w, where.count(w)) for w in dict.fromkeys(where)), key=lambda kv: -kv[1]))

    def table(self):
        """One line a prompt."""
        title = f"{about(len(self.broken))} of {about(self.passed)} prompts that the base answered right"
        return title, ("where", "prompt", "base", "tuned"), self.broken


def regressions(forgotten: Forgetting, model, tokenizer, seed: int = 0, world: World | None = None) -> Regressions:
    """The skill probes that went from right to wrong, and what the tuned `model` says now; `seed` and `world` as in `forgetting.skills`."""
    broken = []
    for name, before in forgotten.before.right.items():
        (group,) = probes(tokenizer, len(before), seed, [name], world).values()
        answered = zip(group, before, forgotten.after.right[name], strict=True)
        broken += [(name, probe) for probe, was, now in answered if was and not now]
    replies = answers(model, tokenizer, [[{"role": "user", "content": probe.prompt}] for _, probe in broken], LONGEST_ANSWER)
    found = [(name, probe.prompt, probe.answer, reply) for (name, probe), reply in zip(broken, replies, strict=True)]
    return Regressions(found, sum(map(sum, forgotten.before.right.values())))


def row_regressions(test, base: Score, tuned: Score) -> Regressions:
    """The test rows that went from right to wrong."""
    broken = [
        (f"row {i}", m[-2]["content"], b, t)
        for i, (m, b, t, was, now) in enumerate(zip(test["messages"], base.replies, tuned.replies, base.exact, tuned.exact, strict=True))
        if was and not now
    ]
    return Regressions(broken, sum(base.exact))
