"""A stream of requests over time with all alarms on it, drawn: what rings, and how late.

    monitor_view(levels, names, …)        the picture of one stream, of statistics given to it
    explore_monitor(usual, changed)       choose what shifts, by how much, and how shy alarms are

Every line is a statistic divided by its threshold, so that all ring at 1. The statistics are
`monitoring`'s; the controls draw one stream each, always of the same seed. Notebook 15.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ..core.results import percent
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    drawing,
    line,
    ring,
    words,
)

if TYPE_CHECKING:
    from .monitoring import Monitor
    from .streams import Pool

# One colour for all alarms that watch the same thing.
COLOURS = {
    "inputs": PLAIN, "quality": ACCENT, "feedback": "#b35c00", "latency": "#007a6e",
    "tokens": "#6a4c93",
}  # fmt: skip
PLOT = Area(left=52, top=64, width=426, height=250)
COLUMN, FIRST, STEP = PLOT.right + 22, PLOT.top + 4, 25
TOP = 2.0  # thresholds: what is higher is drawn there
HEIGHT = 372
SIZES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
RATES = (0.005, 0.01, 0.05, 0.2, 0.5)  # healthy streams in which an alarm may ring


def monitor_view(
    levels: Mapping[str, Sequence[float]],
    watches: Mapping[str, str],
    day: int | None,
    title: str = "A stream and its alarms",
    aside: str = "",
) -> Drawing:
    """Every alarm's statistic over the days, in multiples of its threshold.

    levels: {alarm: one number a day}; watches: {alarm: what it watches}; day: on which something
    changes, counted from 0; None for a healthy stream.
    """
    days = len(next(iter(levels.values())))
    frame = PLOT.frame((0, days), (0, TOP))
    ticks = {float(at): f"{at}" for at in range(0, days + 1, 10)}
    parts = [frame.axes(ticks, {0.0: "0", 1.0: "1", TOP: f"{TOP:g}"}, "× its threshold")]
    parts.append(frame.x_label("day"))
    parts.append(line([frame.at(0, 1), frame.at(days, 1)], GREY, 1, "4 3"))
    if day is not None:
        parts.append(frame.upright(day, INK, 1.2, "2 3"))
        parts.append(words(frame.at(day, 0)[0], PLOT.top - 6, "it changes", SMALL, GREY, "middle"))

    # each alarm: its line, a ring where it first rings, and what is said of it at the right
    first = {name: first_above(values) for name, values in levels.items()}
    for place, (name, values) in enumerate(levels.items()):
        colour = COLOURS[watches[name]]
        points = [frame.at(at + 0.5, min(max(value, 0), TOP)) for at, value in enumerate(values)]
        rang = first[name]
        parts.append(line(points, colour if rang is not None else FAINT, 1.4))
        if rang is not None:
            parts.append(ring(*frame.at(rang + 0.5, min(values[rang], TOP)), 4, colour))
        y = FIRST + STEP * place
        parts.append(words(COLUMN, y, name, SMALL, colour, bold=rang is not None))
        parts.append(words(COLUMN + 142, y, when(rang, day), SMALL, GREY if rang is None else INK))
    note = "grey: it never rings. The day of the change counts as day 1 of the delay."
    parts.append(words(PLOT.left, PLOT.bottom + 50, note, SMALL, GREY))
    return drawing(title, parts, in_words(first, day), aside, HEIGHT)


def first_above(values: Sequence[float]) -> int | None:
    """The first day above the threshold."""
    return next((day for day, value in enumerate(values) if value > 1), None)


def when(rang: int | None, day: int | None) -> str:
    """What is said of an alarm."""
    if rang is None:
        return "–"
    if day is None or rang < day:
        return f"day {rang}: falsely"
    return f"day {rang}: after {rang - day + 1}"


def in_words(first: Mapping[str, int | None], day: int | None) -> str:
    """The picture in a line."""
    begin = "nothing changes" if day is None else f"it changes on day {day}"
    rung = [rang for rang in first.values() if rang is not None]
    soonest = f", the first on day ≈{min(rung)}" if rung else ""
    return f"{begin}; ≈{len(rung)} of {len(first)} alarms ring{soonest}"


def name_stream(shift: str, size: float, levels: Mapping[str, Sequence[float]]) -> str:
    """The title: what shifts, and how many alarms ring."""
    what = f"{shift} shift by {size:g}" if size else "Nothing changes"
    rung = sum(first_above(values) is not None for values in levels.values())
    return f"{what[0].upper()}{what[1:]}: {rung} of {len(levels)} ring"


def explore_monitor(usual: "Pool", changed: "Pool", monitor: "Monitor | None" = None) -> Panel:
    """Choose what shifts, by how much, and how often a healthy stream may ring; see what rings.

    A move draws one stream. usual, changed: see `simulate`. monitor: as `calibrate` gives it, by
    default one that is calibrated here, in some seconds.
    """
    from .monitoring import ALARMS, calibrate
    from .streams import KINDS, Shift, simulate

    watcher = calibrate(usual) if monitor is None else monitor
    watches = {name: alarm.watches for name, alarm in ALARMS.items()}

    @cache
    def statistics(kind: str, size: float) -> Mapping[str, Sequence[float]]:
        shift = Shift(kind, size) if size else None
        stream = simulate(usual, changed, shift, 1, watcher.scene, seed=7)
        return {name: values[0].tolist() for name, values in watcher.statistics(stream).items()}

    @cache
    def view(shift: str, size: float, false_alarms: float) -> Drawing:
        heights = watcher.at(false_alarms).heights
        levels = {
            name: [value / max(heights[name], 1e-9) for value in values]
            for name, values in statistics(shift, size).items()
        }
        day = Shift(shift, size).day if size else None
        aside = f"an alarm may ring in {percent(false_alarms)} of healthy streams"
        return monitor_view(levels, watches, day, name_stream(shift, size, levels), aside)

    return Panel(
        view,
        start={"shift": "inputs", "size": 0.1, "false_alarms": 0.05},
        title="What rings, and how late",
        call="operate.explore_monitor(…)",
        shift=list(KINDS),
        size=list(SIZES),
        false_alarms=list(RATES),
    )
