"""The methods of a grid, drawn: score over rate, what each keeps, and the differences.

    rates_figure(outcomes)            the rates tried for each method, and its own
    methods_view(outcomes, method)    all methods on one plane, task against skills kept, and the
                                      rates of one of them
    explore_methods(outcomes)         the same with menus
    differences_figure(differences)   skills kept beside LoRA's, with intervals

outcomes: `comparing.outcomes(rows, task)`, which are numbers; a lone method's rates are its path on
the plane. Notebook 08.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.errors import UserError, nearest
from ..core.results import percent
from ..show.panel import Panel
from ..show.plots import Picture, intervals, new_figure
from ..show.svg import (
    ACCENT,
    FAINT,
    GREY,
    MARGIN,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    Frame,
    dot,
    drawing,
    line,
    mix,
    words,
)
from .catalogue import METHODS
from .comparing import BAR, Difference, Outcome, rank, title_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEIGHT = 468
PLANE = Area(left=62, top=74, width=392, height=300)
SKILLS = Area(left=566, top=92, width=170, height=282)
SHARES = {share / 100: f"{share}" for share in (0, 50, 75, 90, 96, 99, 100)}
KEY_TOP, KEY_COLUMNS, KEY_STEP = 424, 5, 148
ROW = 19
BAR_AT = 86  # from a skill's name to its bar


def rates_figure(found: Sequence[Outcome], names: Sequence[str] = (), bar: float = BAR) -> Picture:
    """The rates of each method, a row per method, the lowest own rate on top, scores above them.

    Filled where `bar` is reached, and joined there; in colour its own rate. names: labels such as
    "lora" or "prompt, text"; empty: all. Raises UserError for a method that was not run, and where
    there are no outcomes.
    """
    if not found:
        raise UserError("there are no outcomes to draw; give those of methods.outcomes.")
    own = {
        label: best_of(found, label, bar)
        for label in names or dict.fromkeys(one.label for one in found)
    }
    labels = sorted(own, key=lambda label: (own[label].lr, -own[label].trainable))
    figure, ax = new_figure(8.0, 1.0 + 0.36 * len(labels))
    for row, label in enumerate(labels):
        draw_rates(ax, row, of_method(found, label), bar)
        ax.plot(own[label].lr, row, "o", ms=9, mfc="none", mec=ACCENT, mew=2.2, zorder=4)
    ax.set_xscale("log")
    ax.set_yticks(range(len(labels)), [title_of(label) for label in labels])
    ax.set(xlabel="highest learning rate", ylim=(len(labels) - 0.5, -0.8))
    # what the signs mean
    ax.plot([], [], "o", ms=9, mfc="none", mec=ACCENT, mew=2.2, label="its own rate")
    ax.plot([], [], "o-", ms=5, color=PLAIN, lw=2.5, label=f"{bar:.0%} or more right")
    ax.plot([], [], "o", ms=5, mfc="white", mec="gray", label="fewer")
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.12), ncols=3, frameon=False)
    return figure


def draw_rates(ax: "Axes", row: int, outcomes: Sequence[Outcome], bar: float) -> None:
    """One method's rates in their row, each with the percent that it got right above it."""
    reached = [one.lr for one in outcomes if one.exact.value >= bar]
    ax.plot(reached, [row] * len(reached), "-", color=PLAIN, lw=2.5, alpha=0.5)
    for one in outcomes:
        good = one.exact.value >= bar
        ax.plot(
            one.lr, row, "o", ms=5, mfc=PLAIN if good else "white", mec=PLAIN if good else "gray"
        )
        score = f"{100 * one.exact.value:.0f}"
        ax.annotate(score, (one.lr, row), (0, 6), textcoords="offset points", ha="center", size=7)


def of_method(found: Sequence[Outcome], label: str) -> list[Outcome]:
    """The outcomes of one method; UserError, with the nearest, for one that was not run."""
    known = list(dict.fromkeys(one.label for one in found))
    if label not in known:
        raise UserError(
            f"method is {label!r}; the rows have {', '.join(known)}.{nearest(label, known)}"
        )
    return [one for one in found if one.label == label]


def best_of(found: Sequence[Outcome], label: str, bar: float = BAR) -> Outcome:
    """A method at its own rate, as `comparing.choose_rates` takes it."""
    return max(of_method(found, label), key=lambda one: rank(one, bar))


def methods_view(
    found: Sequence[Outcome], method: str = "lora", rate: int | None = None
) -> Drawing:
    """All methods at their own rates on one plane, and all the rates of one of them as its path.

    Hollow dots are methods that cannot be merged. rate: which of its rates is looked at, counted
    from 1; None: its own. Right of the plane the skills that it keeps. Raises UserError for a
    method or a rate that was not run.
    """
    path = sorted(of_method(found, method), key=lambda one: one.lr)
    if rate is not None and not 1 <= rate <= len(path):
        raise UserError(f"rate is {rate}; this method has the rates 1 to {len(path)}.")
    here = best_of(found, method) if rate is None else path[rate - 1]
    frame = PLANE.frame((-1.0, 0.0), (-1.0, 0.0))
    parts = [
        *draw_axes(frame),
        *draw_others(frame, found, method),
        *draw_path(frame, path, here),
        words(PLANE.left + PLANE.width, PLANE.top - 8, own_line(here), SMALL, ACCENT, "end"),
        words(SKILLS.left, SKILLS.top - 22, "share right by skill, %"),
        *draw_skills(here),
    ]
    aside = f"{here.trainable:,} trained, {here.seeds} seeds"
    return drawing(f"{here.title} at {here.lr:g}", parts, describe(here), aside, HEIGHT)


def stretch(share: float) -> float:
    """−√(1 − share): a place on an axis that gives the last percents room, where most methods are.

    75, 96 and 100 % stand at −0.5, −0.2 and 0.
    """
    return -math.sqrt(max(0.0, 1 - share))


def place_of(frame: Frame, one: Outcome) -> tuple[float, float]:
    """Where an outcome stands: skills kept to the right, the task upwards."""
    return frame.at(stretch(one.skills.value), stretch(one.exact.value))


def own_line(here: Outcome) -> str:
    """What the path through the rates is called."""
    return f"red line: {here.title} at its rates"


def draw_axes(frame: Frame) -> list[str]:
    """Skills kept to the right, the task upwards, both stretched towards 100 %."""
    ticks = {stretch(share): text for share, text in SHARES.items()}
    return [
        frame.axes(ticks, ticks, "task exactly right, %"),
        frame.x_label("skills still right, % (both axes stretched towards 100)"),
    ]


def draw_others(frame: Frame, found: Sequence[Outcome], method: str) -> list[str]:
    """Every other method at its own rate as a numbered dot, and below all what the numbers are."""
    parts = []
    labels = list(dict.fromkeys(one.label for one in found))
    places = {label: place_of(frame, best_of(found, label)) for label in labels if label != method}
    for number, label in enumerate(labels, 1):
        row, column = divmod(number - 1, KEY_COLUMNS)
        name = f"{number} {title_of(label)}"
        colour = ACCENT if label == method else GREY
        parts.append(words(MARGIN + KEY_STEP * column, KEY_TOP + 14 * row, name, 9.5, colour))
        if label != method:
            # hollow where it can't be merged
            fill = PLAIN if METHODS[best_of(found, label).method].merges else "#ffffff"
            others = [place for name, place in places.items() if name != label]
            parts += draw_numbered(places[label], number, others, fill)
    return parts


def draw_numbered(
    place: tuple[float, float], number: int, others: Sequence[tuple[float, float]], fill: str
) -> list[str]:
    """A dot with its number inside, or small with the number beside it where another dot is near.

    The dot that is further left has its number at its left.
    """
    x, y = place
    near = [other for other in others if math.dist(place, other) < 13]
    if near:
        side = -8 if place < min(near) else 8
        return [
            dot(x, y, 4, fill, PLAIN),
            words(x + side, y + 3, str(number), 8.5, PLAIN, "end" if side < 0 else "start"),
        ]
    inside = "#ffffff" if fill == PLAIN else PLAIN
    return [dot(x, y, 7, fill, PLAIN), words(x, y + 3, str(number), 8.5, inside, "middle")]


def draw_path(frame: Frame, path: Sequence[Outcome], here: Outcome) -> list[str]:
    """One method over its rates, the one that is looked at in full colour."""
    places = [place_of(frame, one) for one in path]
    parts = [line(places, mix("#ffffff", ACCENT, 0.5), 1.5)] if len(places) > 1 else []
    named = [place_of(frame, here)]  # the one that is looked at has its name, and those with room
    for one, (x, y) in zip(path, places, strict=True):
        chosen = one is here
        colour = ACCENT if chosen else mix("#ffffff", ACCENT, 0.5)
        parts.append(dot(x, y, 6 if chosen else 3.5, colour))
        if chosen or all(abs(x - a) > 30 or abs(y - b) > 11 for a, b in named):
            parts.append(words(x + 8, y - 6, f"{one.lr:g}", 9, ACCENT))
            named.append((x, y))
    return parts


def draw_skills(here: Outcome) -> list[str]:
    """A bar per skill."""
    parts = []
    for row, (name, share) in enumerate(here.by_skill.items()):
        y = SKILLS.top + ROW * row
        parts.append(words(SKILLS.left, y + 4, name, SMALL, GREY))
        start, end = SKILLS.left + BAR_AT, SKILLS.left + SKILLS.width
        parts.append(line([(start, y), (end, y)], FAINT, 5))
        colour = ACCENT if share < 0.9 else PLAIN
        if share:
            parts.append(line([(start, y), (start + share * (end - start), y)], colour, 5))
    below = SKILLS.top + ROW * len(here.by_skill) + 4
    return [*parts, words(SKILLS.left, below, "red: less than 90 %", SMALL, ACCENT)]


def describe(here: Outcome) -> str:
    """The picture in one line of words."""
    lost = sorted(here.by_skill, key=lambda name: here.by_skill[name])[:2]
    worst = ", ".join(f"{name} {percent(here.by_skill[name])}" for name in lost)
    return (
        f"{here.title} at rate {here.lr:g}: task {percent(here.exact.value)}, skills "
        f"{percent(here.skills.value)}, worst {worst}; {here.trainable:,} trained"
    )


def explore_methods(found: Sequence[Outcome]) -> Panel:
    """The plane behind two controls: the method, and which of its rates."""
    labels = list(dict.fromkeys(one.label for one in found))

    def view(method: str, rate: str) -> Drawing:
        path = sorted(of_method(found, method), key=lambda one: one.lr)
        rates = [f"{one.lr:g}" for one in path]
        return methods_view(found, method, None if rate == "its own" else rates.index(rate) + 1)

    def rates_of(method: str) -> list[str]:
        path = sorted(of_method(found, method), key=lambda one: one.lr)
        return ["its own", *(f"{one.lr:g}" for one in path)]

    call = "methods.explore_methods(outcomes)"
    return Panel(view, title="Methods at their rates", call=call, method=labels, rate=rates_of)


def differences_figure(found: Sequence[Difference]) -> Picture:
    """Skills kept minus LoRA's in points, a row per method, its corrected p behind its name.

    In colour where that p is below 0.05; the interval is that of a single comparison. A row that
    lies far off the others is written at the picture's edge instead, so that these can be told.
    Raises UserError where there are none.
    """
    if not found:
        raise UserError("there are no differences to draw; give those of methods.differences.")
    changes, settled = {}, []
    for one in found:
        name = f"{one.title} (p {one.p:.2g})"
        value, low, high = (100 * share for share in one.change)
        changes[name] = value, low, high
        settled += [name] if one.p < 0.05 else []
    figure = intervals(changes, "skills kept, points above LoRA", settled)
    far = far_off(list(changes.values()))
    if far:
        colours = [ACCENT if name in settled else "gray" for name in changes]
        write_at_edge(figure.axes[0], list(changes.values()), {row: colours[row] for row in far})
    return figure


def far_off(changes: Sequence[tuple[float, float, float]]) -> set[int]:
    """Places of the intervals that lie wholly beyond four times the middle one's extent."""
    sizes = sorted(max(abs(low), abs(high)) for _, low, high in changes)
    typical = 4 * sizes[len(sizes) // 2]
    return {row for row, (_, low, high) in enumerate(changes) if max(low, -high) > typical}


def write_at_edge(
    ax: "Axes", changes: Sequence[tuple[float, float, float]], far: Mapping[int, str]
) -> None:
    """Draw the axis for what is near, and write the values that are far at its edge.

    far: {place: its colour}.
    """
    near = [change for row, change in enumerate(changes) if row not in far]
    low, high = min(min(one) for one in near), max(max(one) for one in near)
    room = 0.1 * (high - low)
    ax.set_xlim(low - room, high + room)
    for row in far:
        value, below, above = changes[row]
        said = f"{value:+.0f} [{below:+.0f}, {above:+.0f}]".replace("-", "−")
        left = value < low
        ax.annotate(
            f"← {said}" if left else f"{said} →",
            (0.01 if left else 0.99, len(changes) - 1 - row),
            xycoords=("axes fraction", "data"),
            ha="left" if left else "right",
            va="center",
            color=far[row],
        )
