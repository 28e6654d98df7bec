"""Figures: numbers in, `Figure` out. No computing, no pyplot state, one accent colour for what the
reader should look at.
"""

import io
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .svg import ACCENT, FAINT, PLAIN


class Picture(Figure):
    """A matplotlib Figure that any notebook front end shows, whether or not pyplot was ever
    imported.
    """

    def _repr_png_(self) -> bytes:
        from PIL import Image

        stream = io.BytesIO()
        self.savefig(stream, format="png", metadata={"Software": None})
        small = io.BytesIO()
        Image.open(stream).convert("RGB").quantize(128).save(
            small, format="png", optimize=True
        )  # a third of the bytes in a notebook
        return small.getvalue()


def new(width: float = 7.0, height: float = 3.2):
    """A figure without pyplot, and its axes."""
    figure = Picture(figsize=(width, height), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    ax.spines[["top", "right"]].set_visible(False)
    return figure, ax


def curves(
    losses: Sequence[tuple[int, float]],
    validation: Sequence[tuple[int, float]] = (),
    best: int | None = None,
) -> Figure:
    """Training and validation loss by step, the kept step marked."""
    figure, ax = new()
    ax.plot(*zip(*losses, strict=True), color=PLAIN, lw=1.2)
    above = not validation or losses[-1][1] > validation[-1][1]
    ax.annotate(
        "training",
        losses[-1],
        xytext=(4, 6 if above else -12),
        textcoords="offset points",
        color=PLAIN,
    )
    if validation:
        ax.plot(*zip(*validation, strict=True), "o-", color=ACCENT, lw=1.2, ms=4)
        ax.annotate(
            "validation",
            validation[-1],
            xytext=(4, -12 if above else 6),
            textcoords="offset points",
            color=ACCENT,
        )
    if best is not None:
        ax.axvline(best, color=FAINT, lw=1, zorder=0)
        ax.annotate(
            "kept",
            (best, ax.get_ylim()[1]),
            xytext=(-4, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            color="gray",
        )
    ax.set(xlabel="step", ylabel="loss, nats per answer token", yscale="log")
    ax.margins(x=0.12)
    return figure


def skills(
    before: Mapping[str, float],
    after: Mapping[str, Mapping[str, float]],
    order: Sequence[str] | None = None,
) -> Figure:
    """A dumbbell a skill: the share right before (grey) and after each named tuning."""
    names = list(order or before)[::-1]
    figure, ax = new(7.0, 0.9 + 0.27 * len(names))
    rows = range(len(names))
    ax.scatter([100 * before[n] for n in names], rows, color=FAINT, s=70, zorder=2, label="before")
    for (label, values), colour in zip(after.items(), (PLAIN, ACCENT), strict=False):
        shares = [100 * values[n] for n in names]
        ax.hlines(
            rows, [100 * before[n] for n in names], shares, color=colour, lw=1, alpha=0.5, zorder=1
        )
        ax.scatter(shares, rows, color=colour, s=26, zorder=3, label=label)
    ax.set_yticks(rows, names)
    ax.set(xlabel="right answers, %", xlim=(-3, 103))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.14), ncols=3, frameon=False)
    return figure


def bars(
    groups: Mapping[str, Mapping[str, tuple[float, float, float]]], ylabel: str = "share, %"
) -> Figure:
    """Grouped bars with intervals and their values: groups[measure][model] = (value, low, high),
    shares from 0 to 1.
    """
    models = list(next(iter(groups.values())))
    figure, ax = new(1.2 + 0.45 * len(models) * len(groups), 3.2)
    colours = dict(zip(models, (FAINT, PLAIN, ACCENT), strict=False))
    width = 0.8 / len(models)
    for i, values in enumerate(groups.values()):
        for j, m in enumerate(models):
            v, low, high = (100 * x for x in values[m])
            x = i + (j - (len(models) - 1) / 2) * width
            ax.bar(x, v, width * 0.92, color=colours[m], label=m if i == 0 else None)
            ax.vlines(x, low, high, color="black", lw=1)
            ax.annotate(
                f"{v:.0f}",
                (x, high),
                xytext=(0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
    ax.set_xticks(range(len(groups)), list(groups))
    ax.set(ylabel=ylabel, ylim=(0, 108))
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=len(models), frameon=False)
    return figure


def intervals(changes: Mapping[str, tuple[float, float, float]], xlabel: str) -> Figure:
    """A row a name: a value with its interval, in colour where the interval leaves zero out.
    changes[name] = (value, low, high).
    """
    figure, ax = new(7.0, 0.9 + 0.27 * len(changes))
    for row, (value, low, high) in enumerate(reversed(changes.values())):
        colour = ACCENT if low > 0 or high < 0 else "gray"
        ax.hlines(row, low, high, color=colour, lw=1.6)
        ax.plot(value, row, "o", color=colour, ms=5)
    ax.axvline(0, color="black", lw=0.8, zorder=0)
    ax.set_yticks(range(len(changes)), list(changes)[::-1])
    ax.set(xlabel=xlabel)
    return figure


COLOURS = (ACCENT, PLAIN, "#8a8f98", "#edae49", "#00798c", "#6b4e71", "#2f4b26")


def lines(
    series: Mapping[str, Sequence[Sequence[float]]],
    xlabel: str,
    ylabel: str,
    xlog: bool = False,
    ylog: bool = False,
    markers: bool = False,
    mark: float | None = None,
) -> Figure:
    """Named curves, labelled at their ends; a point is (x, y), or (x, y, low, high) for a band.
    `mark`: a vertical line at x.
    """
    figure, ax = new()
    ends = []
    for (name, points), colour in zip(series.items(), COLOURS, strict=False):
        x, y, *band = zip(*points, strict=True)
        ax.plot(x, y, "o-" if markers else "-", color=colour, lw=1.4, ms=4)
        if band:
            ax.fill_between(x, *band, color=colour, alpha=0.15, lw=0)
        ends.append((x[-1], y[-1], name, colour))
    if xlog:
        ax.set_xscale(
            "symlog" if any(p[0] == 0 for points in series.values() for p in points) else "log",
            base=2,
        )
        ticks = sorted({p[0] for points in series.values() for p in points})
        if len(ticks) <= 12:
            ax.set_xticks(ticks, [f"{t:g}" for t in ticks], minor=False)
    if ylog:
        ax.set_yscale("log")
    if mark is not None:
        ax.axvline(mark, color=FAINT, lw=1, zorder=0)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    label_ends(ax, ends)
    return figure


def label_ends(ax, ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Each curve's name to the right of its last point, pushed apart where two would lie on each
    other.
    """
    places = sorted(
        (ax.transData.transform((x, y))[1], y, name, colour) for x, y, name, colour in ends
    )
    lowest = float("-inf")
    for pixel, y, name, colour in places:
        lowest = max(pixel, lowest + 17)
        up = (lowest - pixel) * 72 / ax.figure.dpi
        place = {
            "xycoords": ("axes fraction", "data"),
            "textcoords": "offset points",
            "va": "center",
            "color": colour,
        }
        ax.annotate(name, (1, y), xytext=(6, up), **place)


def heat(
    values: Sequence[Sequence[float]],
    xlabel: str,
    ylabel: str,
    title: str = "",
    top: float | None = None,
) -> Figure:
    """A matrix as a heat-map, rows from the top, numbered from 1; `top` is the value of the darkest
    colour.
    """
    figure, ax = new(4.6, 3.6)
    shape = len(values), len(values[0])
    picture = ax.imshow(
        values,
        cmap="Blues",
        vmin=0,
        vmax=top,
        aspect="auto",
        extent=(0.5, shape[1] + 0.5, shape[0] + 0.5, 0.5),
    )
    figure.colorbar(picture, ax=ax)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    return figure


def histogram(
    values: Sequence[float], marks: Mapping[str, Sequence[float]], xlabel: str, bins: int = 80
) -> Figure:
    """How values are spread, and under it one row of ticks for each named set of marks, such as the
    levels of a format.
    """
    figure, ax = new(7.0, 2.6 + 0.25 * len(marks))
    counts, _, _ = ax.hist(values, bins=bins, color=FAINT)
    step = -0.12 * max(counts)
    for row, ((name, places), colour) in enumerate(zip(marks.items(), COLOURS, strict=False), 1):
        ax.vlines(places, (row + 0.3) * step, (row - 0.3) * step, color=colour, lw=1.4)
        ax.annotate(
            name,
            (1, row * step),
            xytext=(6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="center",
        )
    ax.set(xlabel=xlabel, ylabel="how many")
    ax.set_yticks([t for t in ax.get_yticks() if t >= 0])
    ax.set_ylim((len(marks) + 0.7) * step, 1.05 * max(counts))
    return figure
