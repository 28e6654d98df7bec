"""Figures: numbers in, a matplotlib `Figure` out (`Picture`), and no pyplot state.

    curves, skills, bars, intervals      a training run, skills, rates, changes
    lines, heat, histogram(s)            any curves, a matrix, how values are spread
    new_figure(width, height)            an empty figure and its axes, for a plot of your own
    figure.describe(title, alt)          what it shows, as a claim, and words for who can't see it

One accent colour marks what the reader should look at. Nothing is computed here: means and
intervals come from `core.statistics`, spectra from `lora`, curves from `train` and `lab`. Pictures
that answer to a control are drawn as SVG (`svg`). Seen from notebook 00 on.
"""

import base64
import html
import io
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ..core.errors import UserError
from ..core.results import without_mark
from .svg import ACCENT, FAINT, METHOD_COLOURS, PLAIN, method_of

COLOURS = (ACCENT, PLAIN, "#8a8f98", "#edae49", "#00798c", "#6b4e71", "#2f4b26")
ROW = 0.27  # inches that a row of words takes
POINTS = "offset points"  # matplotlib's name for "so many points right and up of that place"
LETTERS, LINE = 11, 0.2  # of a title: letters to an inch, and inches that a line takes
LETTER = 17  # pixels from one label to the next, so that they do not lie on each other


class Picture(Figure):
    """A matplotlib Figure that any front end shows, whether or not pyplot was ever imported.

    A described one (`describe`) is an HTML image with words for those who do not see it, because
    JupyterLab and GitHub know no such words beside a plain PNG; any other one is a PNG.
    """

    title: str = ""
    alt: str = ""

    def describe(self, title: str, alt: str = "") -> "Picture":
        """Give the picture a title, best what it shows as a claim, and words for what is drawn.

        alt: what someone has to know who does not see it; by default what lies on its axes. The
        title stands above the picture and begins those words, too. Returns the picture itself.
        Raises UserError for an empty title.
        """
        if not title.strip():
            raise UserError("the title of the picture is empty; say what it shows, as a claim.")
        self.title = without_mark(title)
        seen = without_mark(alt) or ". ".join(map(axes_in_words, self.axes))
        self.alt = f"{self.title.rstrip('.')}. {seen}"
        # as wide as the picture is, which grows by its height
        first = not self.get_suptitle()
        lines = textwrap.wrap(self.title, int(LETTERS * self.get_figwidth()))
        if first:
            self.set_figheight(self.get_figheight() + LINE * len(lines))
        self.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=11, fontweight="bold")
        return self

    def __repr__(self) -> str:
        return self.alt or super().__repr__()

    def _repr_html_(self) -> str | None:  # type: ignore # matplotlib's own says nothing either
        if not self.alt:
            return None
        data = base64.b64encode(self.png()).decode("ascii")
        return f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{data}">'

    def _repr_png_(self) -> bytes | None:
        return None if self.alt else self.png()

    def png(self) -> bytes:
        """The picture as a PNG of 128 colours, which takes a third of the bytes of a full one."""
        from PIL import Image

        stream, small = io.BytesIO(), io.BytesIO()
        self.savefig(stream, format="png", metadata={"Software": None})
        few = Image.open(stream).convert("RGB").quantize(128)
        few.save(small, format="png", optimize=True)
        return small.getvalue()


def axes_in_words(ax: Axes) -> str:
    """What is drawn in one pair of axes, without its numbers: "loss by step: training, kept"."""
    what = " by ".join(filter(None, (ax.get_ylabel(), ax.get_xlabel()))) or "a drawing"
    _, named = ax.get_legend_handles_labels()
    named += [text.get_text() for text in ax.texts]
    names = dict.fromkeys(name for name in named if not any(map(str.isdecimal, name)))
    return f"{what}: {', '.join(names)}" if names else what


def new_figure(width: float = 7.0, height: float = 3.2) -> tuple[Picture, Axes]:
    """A figure of this size in inches without pyplot, and its axes."""
    figure = Picture(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def curves(
    losses: Sequence[tuple[int, float]],
    validation: Sequence[tuple[int, float]] = (),
    best: int | None = None,
) -> Picture:
    """Training and validation loss in nats per answer token, by step; `best`: the kept step."""
    figure, ax = new_figure()

    # The higher of the two curves gets its name above its end, the other one below.
    above = not validation or losses[-1][1] > validation[-1][1]
    ax.plot(*zip(*losses, strict=True), color=PLAIN, lw=1.2)
    name_point(ax, "training", losses[-1], (4, 6 if above else -12), PLAIN)
    if validation:
        ax.plot(*zip(*validation, strict=True), "o-", color=ACCENT, lw=1.2, ms=4)
        name_point(ax, "validation", validation[-1], (4, -12 if above else 6), ACCENT)

    # The kept step is a line with its name at the top.
    if best is not None:
        ax.axvline(best, color=FAINT, lw=1, zorder=0)
        top = (best, ax.get_ylim()[1])
        name_point(ax, "kept", top, (-4, -2), "gray", ha="right", va="top")
    ax.set(xlabel="step", ylabel="loss, nats per answer token", yscale="log")
    ax.margins(x=0.12)
    return figure


def name_point(
    ax: Axes,
    name: str,
    point: tuple[float, float],
    offset: tuple[float, float],
    colour: str,
    **look: Any,
) -> None:
    """Write a name beside a point of the data; offset: how far right and up, in points."""
    ax.annotate(name, point, xytext=offset, textcoords=POINTS, color=colour, **look)


def skills(
    before: Mapping[str, float],
    after: Mapping[str, Mapping[str, float]],
    order: Sequence[str] | None = None,
) -> Picture:
    """A dumbbell per skill: the share right before (grey) and after each named tuning.

    before: {skill: share from 0 to 1}; after: {tuning: the same}, two at most; order: the skills
    to show, from the top.
    """
    # A row for each skill, the last one at the bottom, with a large grey dot: before the tuning.
    names = list(order or before)[::-1]
    rows = range(len(names))
    begun = [100 * before[name] for name in names]
    figure, ax = new_figure(7.0, 0.9 + ROW * len(names))
    ax.scatter(begun, rows, color=FAINT, s=70, zorder=2, label="before")

    # A smaller dot for each tuning, and a line from the grey one to it.
    for (label, values), colour in zip(after.items(), (PLAIN, ACCENT), strict=False):
        shares = [100 * values[name] for name in names]
        ax.hlines(rows, begun, shares, color=colour, lw=1, alpha=0.5, zorder=1)
        ax.scatter(shares, rows, color=colour, s=26, zorder=3, label=label)

    # The skills' names stand at the left, what the colours mean above.
    ax.set_yticks(rows, names)
    ax.set(xlabel="right answers, %", xlim=(-3, 103))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, frameon=False)
    return figure


def bars(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]], ylabel: str = "share, %"
) -> Picture:
    """Grouped bars with their values and intervals.

    groups: {measure: {model: (value, low, high)}}, shares from 0 to 1, three models at most.
    """
    # A group of bars for each measure, a colour for each model.
    models = list(next(iter(groups.values())))
    colours = dict(zip(models, (FAINT, PLAIN, ACCENT), strict=False))
    width = 0.8 / len(models)
    figure, ax = new_figure(1.2 + 0.45 * len(models) * len(groups), 3.2)
    for i, values in enumerate(groups.values()):
        for j, model in enumerate(models):
            value, low, high = (100 * share for share in values[model])
            # The bars of a group stand side by side around its number.
            x = i + (j - (len(models) - 1) / 2) * width
            label = model if i == 0 else None
            ax.bar(x, value, width * 0.92, color=colours[model], label=label)
            ax.vlines(x, low, high, color="black", lw=1)
            name_point(ax, f"{value:.0f}", (x, high), (0, 2), "black", ha="center", fontsize=8)

    # The measures' names stand below, what the colours mean above.
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel=ylabel, ylim=(0, 108))
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=len(models), frameon=False)
    return figure


def intervals(
    changes: Mapping[str, tuple[float, float, float]],
    xlabel: str,
    settled: Collection[str] | Mapping[str, str] | None = None,
    unsettled: str = "",
) -> Picture:
    """A row per name: a value with its interval, in colour where the interval leaves zero out.

    changes: {name: (value, low, high)}, the first name on top. settled: the names in colour, where
    something else than their own interval decides, such as a corrected p; as {name: word} the word
    stands at the end of its row, and all have one colour: a yes may be good or bad. unsettled: the
    word at the others.
    """
    if settled is None:
        settled = [name for name, (_, low, high) in changes.items() if low > 0 or high < 0]
    figure, ax = new_figure(7.0, 0.9 + ROW * len(changes) + LINE * xlabel.count("\n"))
    from_below = list(changes.items())[::-1]
    for row, (name, (value, low, high)) in enumerate(from_below):
        colour = ACCENT if name in settled else "gray"
        if isinstance(settled, Mapping):
            colour = PLAIN if name in settled else "gray"
            side = "right" if value < 0 else "left"
            end, offset = (low, (-5, 0)) if value < 0 else (high, (5, 0))
            word = settled.get(name, unsettled)
            name_point(ax, word, (end, row), offset, colour, ha=side, va="center")
        ax.hlines(row, low, high, color=colour, lw=1.6)
        ax.plot(value, row, "o", color=colour, ms=5)
    if isinstance(settled, Mapping):
        ax.margins(x=0.12)  # room for the words
    ax.axvline(0, color="black", lw=0.8, zorder=0)
    ax.set_yticks(range(len(changes)), list(changes)[::-1])
    # half a row of room at either end, so that no point lies on the frame
    ax.set(xlabel=xlabel, ylim=(-0.6, len(changes) - 0.4))
    return figure


def lines(
    series: Mapping[str, Sequence[Sequence[float]]],
    xlabel: str,
    ylabel: str,
    *,
    xlog: bool = False,
    ylog: bool = False,
    markers: bool = False,
    mark: float | None = None,
) -> Picture:
    """Named curves, labelled at their ends.

    series: {name: points}, seven at most; a point is (x, y), or (x, y, low, high) for a band.
    xlog, ylog: a logarithmic axis; markers: a dot at each point; mark: an upright line at x.
    """
    # Each curve with its band, and where it ends.
    figure, ax = new_figure()
    ends = []
    for (name, points), (colour, dash) in zip(series.items(), line_looks(series), strict=False):
        x, y, *band = zip(*points, strict=True)
        ax.plot(x, y, dash, marker="o" if markers else None, color=colour, lw=1.4, ms=4)
        if band:
            low, high = band
            ax.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        ends.append((x[-1], y[-1], name, colour))

    # The axes, and each curve's name once it is known where its end stands.
    if xlog:
        set_log_ticks(ax, [point[0] for points in series.values() for point in points])
    if ylog:
        ax.set_yscale("log")
    if mark is not None:
        ax.axvline(mark, color=FAINT, lw=1, zorder=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    label_ends(ax, ends)
    return figure


def line_looks(names: Iterable[str]) -> list[tuple[str, str]]:
    """(colour, dash) of each curve: a method's own colour, and dashes for its skills.

    Names that no method tells apart get the colours in turn.
    """
    names = list(names)
    looks = []
    for name in names:
        dash = "--" if "skill" in name.lower() else "-"
        looks.append((METHOD_COLOURS.get(method_of(name) or ""), dash))
    if None in (colour for colour, _ in looks) or len(set(looks)) < len(looks):
        return [(colour, "-") for colour in COLOURS[: len(names)]]
    return looks


def set_log_ticks(ax: Axes, values: Sequence[float]) -> None:
    """Make x logarithmic to base 2, with zero on it if need be, and a tick at each of few values.

    Around zero such an axis (matplotlib's "symlog") is linear.
    """
    ax.set_xscale("symlog" if 0 in values else "log", base=2)
    ticks = sorted(set(values))
    if len(ticks) <= 12:
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)


def label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Write each curve's name to the right of the axes, level with its last point.

    ends: (x, y, name, colour) of each curve. Names that would lie on each other are pushed up.
    """
    places = []
    for x, y, name, colour in ends:
        _, pixel = ax.transData.transform((x, y))
        places.append((pixel, y, name, colour))
    lowest = float("-inf")
    for pixel, y, name, colour in sorted(places):
        # From the lowest curve on, each name stands a letter's height above the one before.
        lowest = max(pixel, lowest + LETTER)
        up = (lowest - pixel) * 72 / ax.figure.dpi  # matplotlib's points, 72 to an inch
        label_right(ax, name, y, up, colour)


def label_right(ax: Axes, name: str, y: float, up: float = 0.0, colour: str = "black") -> None:
    """Write a name to the right of the axes at a height y of the data, `up` points above it."""
    place = {"xycoords": ("axes fraction", "data"), "textcoords": POINTS}
    ax.annotate(name, (1, y), xytext=(6, up), va="center", color=colour, **place)


def heat(
    values: Sequence[Sequence[float]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    top: float | None = None,
) -> Picture:
    """A matrix (rows, columns) as a heat map, rows from the top, both numbered from 1.

    Zero is white; `top` is the value of the darkest colour, by default the largest one.
    """
    figure, ax = new_figure(4.6, 3.6)
    rows, columns = len(values), len(values[0])
    edges = (0.5, columns + 0.5, rows + 0.5, 0.5)  # left, right, bottom, top
    picture = ax.imshow(values, cmap="Blues", vmin=0, vmax=top, aspect="auto", extent=edges)
    figure.colorbar(picture, ax=ax)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return figure


def histogram(
    values: Sequence[float], marks: Mapping[str, Sequence[float]], xlabel: str, bins: int = 80
) -> Picture:
    """How values are spread, and under it a row of ticks for each named set of marks.

    marks: {name: places}, such as the levels of a format.
    """
    # The bars.
    figure, ax = new_figure(7.0, 2.6 + 0.25 * len(marks))
    counts, _, _ = ax.hist(values, bins=bins, color=FAINT)
    highest = float(np.max(counts))

    # The rows of ticks stand below zero, each an eighth of the highest bar under the one before.
    step = -0.12 * highest
    named = zip(marks.items(), COLOURS, strict=False)
    for row, ((name, places), colour) in enumerate(named, 1):
        ax.vlines(places, (row + 0.3) * step, (row - 0.3) * step, color=colour, lw=1.4)
        label_right(ax, name, row * step)

    # A count is no less than zero, so the axis has no tick below it.
    ax.set(xlabel=xlabel, ylabel="how many")
    ax.set_yticks([tick for tick in ax.get_yticks() if tick >= 0])
    ax.set_ylim((len(marks) + 0.7) * step, 1.05 * highest)
    return figure


def histograms(
    series: Mapping[str, Sequence[float]], xlabel: str, bins: int | Sequence[float] = 40
) -> Picture:
    """How several sets of values are spread, one above the other, each with a line at its mean.

    series: {name: values}, the first on top; bins: how many in all, or their edges.
    """
    figure, first = new_figure(7.0, 1.1 + 1.1 * len(series))
    first.remove()
    edges = np.histogram_bin_edges(np.concatenate([*map(np.asarray, series.values())]), bins)
    axes = figure.subplots(len(series), sharex=True, squeeze=False)[:, 0]
    for ax, (name, values), colour in zip(axes, series.items(), COLOURS, strict=False):
        ax.hist(values, bins=edges, color=colour, alpha=0.5)
        mean, top = float(np.mean(values)), 1.25 * ax.get_ylim()[1]  # room for the name
        ax.set_ylim(0, top)
        ax.axvline(mean, color=colour, lw=1.6)
        name_point(ax, f"{name}: mean {round(mean)}", (mean, top), (5, -3), colour, va="top")
        ax.spines[["top", "right"]].set_visible(False)
        ax.set_ylabel("how many")
    axes[-1].set_xlabel(xlabel)
    return figure
