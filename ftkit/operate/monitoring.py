"""Ten alarms on a stream: how late each rings, and how often when nothing is wrong.

    calibrate(usual, rate)           a `Monitor`: thresholds that healthy streams pass so seldom
    monitor.watch(stream)            {alarm: the first day on which it rings, −1 for never}
    monitor.measure(usual, cases)    `Detections`: every alarm's delay for each case
    ALARMS                           what is watched, and by which statistic of `alarms`

Thresholds come from healthy streams of their own; what is measured is measured on fresh ones. All
streams are simulated (`streams`): on your own, the healthy weeks of before take their place.
Notebook 15.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ..core.errors import UserError, is_whole, nearest
from ..core.results import Result, Table, TableParts, html_text, percent_in
from ..core.statistics import Rate
from . import alarms
from .alarms import NEVER
from .streams import Pool, Scene, Shift, Stream, simulate

WINDOW = 7  # days that a distribution is looked at over
LATENCIES = np.exp(np.arange(math.log(20), math.log(20_000), 0.04))  # ms: edges, 4 % apart
COARSE, FINE = 10, 20  # bins of a feature, with as many requests in each
AT_ONCE = 100  # streams drawn at a time, so that they fit into memory
CALIBRATED = 400  # healthy streams
BESIDE = 4  # columns that a page shows at once: alarms, false ones, and two shifts
OFTEN = 0.5  # an alarm that rings in fewer streams than this has no delay worth telling


class Moments(NamedTuple):
    """Mean and standard deviation of one request's number, in the reference."""

    mean: float
    spread: float


class Binned(NamedTuple):
    """Edges of bins, and how many requests of the reference lie in each."""

    edges: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray, bins: int) -> "Binned":
        """By quantiles."""
        edges = alarms.bin_edges(values, bins)
        return cls(edges, alarms.count_bins(values, edges))


@dataclass(frozen=True)
class Seen:
    """Streams to be watched, and what several alarms need of them."""

    stream: Stream

    def week(self, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """How many requests of the last week lie in each bin: (streams, days, bins)."""
        return alarms.last_days(alarms.count_bins(values, edges), WINDOW)

    @cached_property
    def latency(self) -> np.ndarray:
        """The last week's latencies, between LATENCIES."""
        return self.week(self.stream.latency, LATENCIES)

    @cached_property
    def down(self) -> np.ndarray:
        """Thumbs that point down."""
        return self.stream.thumbs < 0


@dataclass(frozen=True)
class Reference:
    """What a healthy stream of before was like; all alarms are held against it."""

    coarse: Mapping[str, Binned]  # of each feature
    fine: Mapping[str, Binned]
    latency: Binned
    moments: Mapping[str, Moments]  # of what is added up day by day

    @classmethod
    def of(cls, stream: Stream) -> "Reference":
        """From one healthy stream."""
        coarse, fine = (
            {name: Binned.of(values.ravel(), bins) for name, values in stream.features.items()}
            for bins in (COARSE, FINE)
        )
        return cls(
            coarse,
            fine,
            Binned(LATENCIES, alarms.count_bins(stream.latency.ravel(), LATENCIES)),
            {
                "down": moments(stream.thumbs < 0),
                "wrong": moments(~stream.right[stream.judged]),
                "tokens": moments(stream.tokens),
                "new words": moments(stream.features["new words"]),
            },
        )


def moments(values: np.ndarray) -> Moments:
    """Mean and spread; a spread of a hundredth at least, so that one may divide by it."""
    return Moments(float(values.mean()), max(float(values.std()), 0.01))


def rises(values: np.ndarray, usual: Moments) -> np.ndarray:
    """Each day's mean, in standard deviations of such a mean above the usual one."""
    return (values.mean(-1) - usual.mean) / (usual.spread / math.sqrt(values.shape[-1]))


def largest_psi(seen: Seen, usual: Reference) -> np.ndarray:
    """The largest PSI of any feature over the last week."""
    return largest(seen, usual.coarse, alarms.psi)


def largest_ks(seen: Seen, usual: Reference) -> np.ndarray:
    """The largest Kolmogorov–Smirnov distance of any feature over the last week."""
    return largest(seen, usual.fine, alarms.ks)


def largest(
    seen: Seen,
    usual: Mapping[str, Binned],
    distance: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> np.ndarray:
    """The largest distance of any feature from the reference: (streams, days)."""
    of_each = [
        distance(binned.counts, seen.week(seen.stream.features[name], binned.edges))
        for name, binned in usual.items()
    ]
    return without_start(np.max(of_each, 0))


def without_start(values: np.ndarray) -> np.ndarray:
    """No alarm before a window is full."""
    values[:, : WINDOW - 1] = 0
    return values


def rise_of_new_words(seen: Seen, usual: Reference) -> np.ndarray:
    """CUSUM of words that nobody wrote before."""
    return alarms.cusum(rises(seen.stream.features["new words"], usual.moments["new words"]))


def rise_of_wrong(seen: Seen, usual: Reference) -> np.ndarray:
    """CUSUM of wrong answers among those whose gold is known."""
    mean, spread = usual.moments["wrong"]
    judged = seen.stream.judged.sum(-1)
    wrong = (seen.stream.judged & ~seen.stream.right).sum(-1)
    return alarms.cusum((wrong - judged * mean) / (spread * np.sqrt(np.maximum(judged, 1))))


def rise_of_thumbs(seen: Seen, usual: Reference) -> np.ndarray:
    """CUSUM of thumbs that point down."""
    return alarms.cusum(rises(seen.down, usual.moments["down"]))


def hinkley_of_thumbs(seen: Seen, usual: Reference) -> np.ndarray:
    """Page–Hinkley of the same, against the stream's own mean so far."""
    return alarms.page_hinkley(rises(seen.down, usual.moments["down"]))


def rise_of_tokens(seen: Seen, usual: Reference) -> np.ndarray:
    """CUSUM of tokens."""
    return alarms.cusum(rises(seen.stream.tokens, usual.moments["tokens"]))


def slower_at(share: float) -> Callable[[Seen, Reference], np.ndarray]:
    """ln of how many times as long as usual a percentile of the last week takes."""

    def slower(seen: Seen, usual: Reference) -> np.ndarray:
        """That percentile."""
        before = alarms.quantile_of(usual.latency.counts, LATENCIES, share)
        return without_start(np.log(alarms.quantile_of(seen.latency, LATENCIES, share) / before))

    return slower


class Alarm(NamedTuple):
    """What is watched, and the statistic that rings when it is high: (streams, days)."""

    watches: str
    statistic: Callable[[Seen, Reference], np.ndarray]


ALARMS: Mapping[str, Alarm] = {
    "inputs, PSI": Alarm("inputs", largest_psi),
    "inputs, KS": Alarm("inputs", largest_ks),
    "new words, CUSUM": Alarm("inputs", rise_of_new_words),
    "golds, CUSUM": Alarm("quality", rise_of_wrong),
    "thumbs, CUSUM": Alarm("feedback", rise_of_thumbs),
    "thumbs, Page–Hinkley": Alarm("feedback", hinkley_of_thumbs),
    "latency p50": Alarm("latency", slower_at(0.5)),
    "latency p95": Alarm("latency", slower_at(0.95)),
    "latency p99": Alarm("latency", slower_at(0.99)),
    "tokens, CUSUM": Alarm("tokens", rise_of_tokens),
}


class Case(NamedTuple):
    """A shift, and the pool that it draws from where it changes the inputs."""

    shift: Shift
    changed: Pool | None = None


@dataclass(frozen=True)
class Monitor:
    """Alarms that know a healthy stream.

    maxima: {alarm: the highest that it stood in each of the healthy streams of calibration}; rate:
    of healthy streams, in how many of `scene.days` days one alarm may ring, on average; together:
    that is the rate of all alarms, each then being given its part (Bonferroni).
    """

    reference: Reference
    maxima: Mapping[str, np.ndarray]
    rate: float
    scene: Scene
    together: bool = False

    @property
    def heights(self) -> dict[str, float]:
        """{alarm: its threshold}."""
        rate = self.rate / len(self.maxima) if self.together else self.rate
        return {name: alarms.threshold_at(high, rate) for name, high in self.maxima.items()}

    def at(self, rate: float, *, together: bool = False) -> "Monitor":
        """The same monitor at another rate of false alarms; nothing is drawn again."""
        monitor = replace(self, rate=rate, together=together)
        monitor.heights  # noqa: B018  a rate that there cannot be is refused here
        return monitor

    def statistics(self, stream: Stream) -> dict[str, np.ndarray]:
        """{alarm: its statistic, (streams, days)}."""
        seen = Seen(stream)
        return {name: ALARMS[name].statistic(seen, self.reference) for name in self.maxima}

    def watch(self, stream: Stream) -> dict[str, np.ndarray]:
        """{alarm: the first day on which it rings in each stream, −1 where it never does}."""
        heights = self.heights
        return {
            name: alarms.first_over(values, heights[name])
            for name, values in self.statistics(stream).items()
        }

    def rings(
        self, usual: Pool, case: Case | None = None, streams: int = 200, seed: int = 1
    ) -> dict[str, np.ndarray]:
        """`watch` on so many simulated streams; without a case healthy ones."""
        shift, changed = case or (None, None)
        days = [
            self.watch(simulate(usual, changed, shift, n, self.scene, seed + 1000 * k))
            for k, n in enumerate(batches(streams))
        ]
        return {name: np.concatenate([day[name] for day in days]) for name in self.maxima}

    def measure(
        self, usual: Pool, cases: Mapping[str, Case], streams: int = 200, seed: int = 1
    ) -> "Detections":
        """False alarms and, for every case, delays, each on `streams` fresh streams.

        seed: another one than that of calibration, or nothing would be fresh.
        """
        healthy = self.rings(usual, None, streams, seed)
        found = {}
        for number, (label, case) in enumerate(cases.items(), 1):
            days = self.rings(usual, case, streams, seed + 50_000 * number)
            found[label] = {name: Delay.of(first, case.shift.day) for name, first in days.items()}
        rung = {name: int((first != NEVER).sum()) for name, first in healthy.items()}
        quiet = {name: Rate(hits, streams) for name, hits in rung.items()}
        ever = np.max(list(healthy.values()), 0) != NEVER
        return Detections(self.scene.days, quiet, Rate(int(ever.sum()), streams), found)


def batches(streams: int) -> list[int]:
    """So many streams in parts that fit into memory."""
    whole, rest = divmod(streams, AT_ONCE)
    return [AT_ONCE] * whole + [rest] * bool(rest)


def calibrate(
    usual: Pool,
    rate: float = 0.05,
    scene: Scene | None = None,
    streams: int = CALIBRATED,
    seed: int = 0,
    only: Sequence[str] = (),
) -> Monitor:
    """A monitor whose every alarm rings in a share `rate` of healthy streams.

    rate: for each alarm, over `scene.days` days. One stream more is drawn as the reference. only:
    some of `ALARMS`. Raises UserError for an alarm that there is not, and for a rate that so few
    streams cannot show.
    """
    for name in only:
        if name not in ALARMS:
            raise UserError(
                f"there is no alarm {name!r}; there are {', '.join(ALARMS)}.{nearest(name, ALARMS)}"
            )
    if not is_whole(streams) or streams < 1:
        raise UserError(f"streams is {streams!r}; give a whole number from 1 on.")
    scene = scene or Scene()
    reference = Reference.of(simulate(usual, scene=scene, seed=seed))
    names = list(only or ALARMS)
    monitor = Monitor(reference, dict.fromkeys(names, np.zeros(0)), rate, scene)
    highest: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for number, n in enumerate(batches(streams), 1):
        healthy = simulate(usual, None, None, n, scene, seed + 1_000_000 * number)
        for name, values in monitor.statistics(healthy).items():
            highest[name].append(values.max(-1))
    maxima = {name: np.concatenate(parts) for name, parts in highest.items()}
    return replace(monitor, maxima=maxima).at(rate)


class Delay(NamedTuple):
    """What an alarm did with a shift, over streams in which it had not rung before it."""

    seen: Rate  # rang on its day or later
    days: float | None  # the median of days from its first one, that one counted as 1
    early: int  # rang before it: false alarms, counted nowhere else

    @classmethod
    def of(cls, first: np.ndarray, day: int) -> "Delay":
        """From the first days of ringing."""
        early = (first != NEVER) & (first < day)
        late = first[first >= day]
        seen = Rate(len(late), int((~early).sum()))
        return cls(seen, float(np.median(late)) - day + 1 if len(late) else None, int(early.sum()))

    def __str__(self) -> str:
        often = f"≈{100 * self.seen.value:.0f} %"
        if self.days is None or self.seen.value < OFTEN:
            return often
        return f"≈{self.days:.0f} d, {often}"


@dataclass(frozen=True, repr=False)
class Detections(Result):
    """Every alarm: how often it rings in healthy streams, and how late after each shift."""

    days: int
    false_alarms: Mapping[str, Rate]
    any_false: Rate  # streams in which at least one alarm rang
    found: Mapping[str, Mapping[str, Delay]]  # {shift: {alarm: delay}}

    def table(self) -> TableParts:
        """A line per alarm: the days until it rang, and in what share of the streams it did.

        Where that is below a half, the share alone.
        """
        rows = []
        for name, rate in self.false_alarms.items():
            delays = [found[name] for found in self.found.values()]
            rows.append((name, percent_in(rate.value, *rate.interval), *delays))
        n = self.any_false.n
        title = f"{n} fresh streams of {self.days} days: how late each alarm rings, and in how many"
        return title, ("alarm", "rings, nothing wrong", *self.found), rows

    def _repr_html_(self) -> str:
        title, heads, rows = self.table()
        first = Table(title, heads[:BESIDE], [row[:BESIDE] for row in rows])._repr_html_()
        if len(heads) <= BESIDE:
            return first

        # more shifts than a page is wide are folded, under their names
        more = [(row[0], *row[BESIDE:]) for row in rows]
        others = Table("After other changes", (heads[0], *heads[BESIDE:]), more)._repr_html_()
        named = html_text(f"After other changes: {', '.join(heads[BESIDE:])}")
        return f"{first}<details><summary>{named}</summary>{others}</details>"

    def json(self) -> dict:
        """The same in numbers."""
        return {
            "days": self.days,
            "streams": self.any_false.n,
            "any_false": self.any_false.value,
            "false_alarms": {name: rate.value for name, rate in self.false_alarms.items()},
            "found": {
                shift: {
                    name: {"seen": delay.seen.value, "days": delay.days}
                    for name, delay in found.items()
                }
                for shift, found in self.found.items()
            },
        }
