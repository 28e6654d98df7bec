"""How much of an update ΔW is left once W + ΔW is rounded to a format, weight by weight, drawn.

    explore_rounding(starts, updates, formats)    choose W, matrix, format and factor
    rounding_view(rounded, name, format)          the picture of one `RoundedUpdate`
    routes_view(right, trained)                   the three ways to merge a QLoRA
    explore_weight(levels)                        one weight between two levels: `weight_view`

The view draws numbers that are given to it; they are measured in `rounding`, which the controls
call when they are moved. Notebook 13.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.results import about, percent
from ..show.controls import Matrices
from ..show.labels import tile, tile_column
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    GREY,
    INK,
    MARGIN,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    arrow,
    box,
    dot,
    drawing,
    line,
    mix,
    words,
)

if TYPE_CHECKING:
    import torch

    from .rounding import RoundedUpdate

DOTS = 400  # weights drawn
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # on ΔW
REACH = 4  # both axes end at so many times the root mean square of ΔW

# The three ways: what happens on each, from W in four bits with an update beside it.
ROUTES = {
    "in place": ("dequantize W", "add ΔW", "round again\nto 4 bits"),
    "into the dequantized base": ("dequantize W", "add ΔW", "keep full\nprecision"),
    "into the original base": ("take W as it was\nbefore 4 bits", "add ΔW", "keep full\nprecision"),
}
START_Y, LANES_TOP, LANE, LANE_LEFT, STATION, GAP = 160, 90, 84, 196, 118, 26
ROUTES_HEIGHT = 310
# One weight: its line, and two numbers below.
WEIGHT_LINE = Area(left=MARGIN + 20, top=60, width=680, height=110)
TILES_AT, WEIGHT_TILES = (MARGIN, 220), 240

# Left the dots, right a column of numbers and what the line means.
PLOT = Area(left=60, top=62, width=420, height=226)
COLUMN, FIRST_TILE, TILE_STEP, NOTE_Y = PLOT.right + 60, 92, 60, 262


def draw_weights(rounded: "RoundedUpdate") -> str:
    """Each dot a weight, across what ΔW wanted, up what arrived; on the line nothing is lost.

    Both axes are in multiples of the root mean square of ΔW, and cut at ±REACH.
    """
    frame = PLOT.frame((-REACH, REACH), (-REACH, REACH))
    ticks = {-4.0: "−4", -2.0: "−2", 0.0: "0", 2.0: "2", 4.0: "4"}
    parts = [frame.axes(ticks, ticks, "arrived, in units of ΔW's root mean square")]
    parts.append(line([frame.at(-REACH, -REACH), frame.at(REACH, REACH)], PLAIN, 1.4))

    # as many weights as can be seen apart, spread evenly over the matrix
    wanted, arrived = rounded.wanted.flatten(), rounded.arrived.flatten()
    step = max(1, len(wanted) // DOTS)
    unit = wanted.square().mean().sqrt().item() or 1.0
    for pair in zip(wanted[::step].tolist(), arrived[::step].tolist(), strict=True):
        x, y = (max(-REACH, min(REACH, value / unit)) for value in pair)
        parts.append(dot(*frame.at(x, y), 2, ACCENT, "none"))
    return "".join([*parts, frame.x_label("wanted")])


def rounding_view(rounded: "RoundedUpdate", name: str = "", format: str = "") -> Drawing:
    """One `RoundedUpdate` as a picture: its weights as dots, and how much of it arrives."""
    tiles = [
        (f"{100 * rounded.kept:.0f} %", "of the update arrives, on average", ACCENT),
        (f"{100 * rounded.error:.0f} %", "error ‖arrived − ΔW‖ / ‖ΔW‖"),
        (f"{100 * rounded.size:.1f} %", "size ‖ΔW‖ / ‖W‖", PLAIN),
    ]
    parts = [
        draw_weights(rounded),
        tile_column(COLUMN, FIRST_TILE, tiles, TILE_STEP),
        words(COLUMN, NOTE_Y, "on the line: nothing is lost", SMALL, GREY),
    ]
    text = (
        f"{name or 'matrix'} merged in {format}: size {percent(rounded.size)}, "
        f"kept {percent(rounded.kept)}, error {about(rounded.error)}"
    )
    return drawing(name or "An update", parts, text, format)


def explore_rounding(
    starts: "Mapping[str, Mapping[str, torch.Tensor]]",
    updates: "Mapping[str, torch.Tensor]",
    formats: Sequence[str],
) -> Panel:
    """Choose what W is, a matrix, a format and a factor on ΔW, and see `rounding_view`.

    starts: {"on NF4's levels": {layer: W}, …}; updates: {layer: ΔW}, as `lora.deltas` gives them;
    formats: see `rounding.round_to`.
    """
    # Here, because torch comes with it, and a picture alone needs none.
    from .rounding import round_update

    matrices = Matrices(list(updates))

    @cache
    def view(layer: int, matrix: str, W: str, format: str, factor: float) -> Drawing:
        name = matrices.name(layer, matrix)
        rounded = round_update(starts[W][name], factor * updates[name], format)
        aside = f"{format}, W {W}, ΔW × {factor:g}"
        return rounding_view(rounded, name.removeprefix("model."), aside)

    return Panel(
        view,
        start={"factor": 1.0},
        title="How much of an update is left once it is merged",
        call="merge.explore_rounding(…)",
        **matrices.controls,
        W=list(starts),
        format=list(formats),
        factor=list(FACTORS),
    )


def routes_view(right: Mapping[str, float], trained: float) -> Drawing:
    """The three ways from a QLoRA to one matrix, and the share right that each leaves.

    right: {"in place", "into the dequantized base", "into the original base": share from 0 to 1};
    trained: the share before. Raises UserError for other names.
    """
    if list(right) != list(ROUTES):
        raise UserError(f"right has {', '.join(right)}; give {', '.join(ROUTES)}, in this order.")
    # which ways lose more than ten points, and where all begin
    lost = [name for name, share in right.items() if share < trained - 0.1]
    parts = [
        tile(MARGIN, START_Y, f"{100 * trained:.0f} %", "right as trained", INK),
        words(MARGIN, START_Y + 34, "W in 4 bits + ΔW beside it", SMALL, GREY),
    ]
    # a lane for each route: its stations, and what is right at its end
    for lane, (name, stations) in enumerate(ROUTES.items()):
        y = LANES_TOP + LANE * lane
        colour = ACCENT if name in lost else PLAIN
        parts.append(words(LANE_LEFT, y - 26, name, colour=colour, bold=True))
        left = LANE_LEFT
        for station in stations:
            parts.append(
                box(left, y - 17, STATION, 34, mix("#ffffff", colour, 0.12), (colour, 1), 4)
            )
            for row, text in enumerate(station.split("\n")):
                foot = y + 4 + 12 * row - 6 * station.count("\n")
                parts.append(words(left + STATION / 2, foot, text, SMALL, INK, "middle"))
            parts.append(arrow((left + STATION + 2, y), (left + STATION + GAP - 3, y), colour))
            left += STATION + GAP
        parts.append(words(left, y + 6, f"{100 * right[name]:.0f} %", 17, colour, bold=True))
    shares = ", ".join(f"{name} {percent(share)}" for name, share in right.items())
    text = f"three ways to merge a QLoRA, right as trained {percent(trained)}: {shares}"
    lose = f"Merged {' and '.join(lost)}, what was trained in four bits is lost"
    title = lose if lost else "What was trained in four bits survives on every way"
    return drawing(title, parts, text, height=ROUTES_HEIGHT)


def weight_view(weight: float, delta: float, levels: Sequence[float]) -> Drawing:
    """One weight between the levels of a format: W, the update's arrow, and where it falls.

    All in one unit, such as the block's absmax. What arrives is the level nearest to W + ΔW, less
    the level nearest to W: an update of less than half a step moves nothing from a level.
    """
    ordered = sorted(levels)
    begin, wanted = nearest_level(weight, ordered), weight + delta
    end = nearest_level(wanted, ordered)
    arrived = end - begin
    share = f" ({100 * arrived / delta:.0f} % of it)" if delta else ""
    moved = "moves to another level" if arrived else "falls back: nothing of it arrives"
    # the levels around both places
    frame = WEIGHT_LINE.frame(bounds_around(begin, end, weight, wanted, ordered), (0, 1))
    parts = [line([frame.at(frame.x[0], 0), frame.at(frame.x[1], 0)], GREY)]
    for level in ordered:
        if frame.x[0] <= level <= frame.x[1]:
            x, y = frame.at(level, 0)
            chosen = level in (begin, end)
            parts.append(line([(x, y - 12), (x, y + 4)], ACCENT if level == end else PLAIN, 2))
            label = f"{level:.3f}".replace("-", "−")
            parts.append(
                words(x, y + 20, label, SMALL, INK if chosen else GREY, "middle", bold=chosen)
            )
    # W, its update, and the fall
    at, to = frame.at(weight, 0.62), frame.at(wanted, 0.62)
    parts += [arrow(at, to, ACCENT, 2), dot(*at, 6, PLAIN), dot(*to, 4, ACCENT)]
    parts.append(arrow((to[0], to[1] + 6), (frame.at(end, 0)[0], frame.bottom - 16), ACCENT))
    parts.append(words(at[0], at[1] - 12, "W", colour=PLAIN, anchor="middle", bold=True))
    parts.append(words(to[0], to[1] - 12, "W + ΔW", colour=ACCENT, anchor="middle", bold=True))
    for x, one in zip(
        TILES_AT, ((f"{delta:.3f}", "ΔW wanted"), (f"{arrived:.3f}", "arrived")), strict=True
    ):
        parts.append(tile(x, WEIGHT_TILES, one[0].replace("-", "−"), one[1], ACCENT))
    text = f"W {weight:.3f} + ΔW {delta:.3f}: {moved}; {arrived:.3f} arrives{share}"
    return drawing(f"The update {moved}", parts, text, "one weight, in its block's absmax", 280)


def nearest_level(value: float, levels: Sequence[float]) -> float:
    """The level nearest to a value; half-way between two the lower one."""
    return min(levels, key=lambda level: (abs(level - value), level))


def bounds_around(
    begin: float, end: float, weight: float, wanted: float, levels: Sequence[float]
) -> tuple[float, float]:
    """From one level below what is drawn to one above it."""
    low, high = min(begin, end, weight, wanted), max(begin, end, weight, wanted)
    below = max((level for level in levels if level < low), default=low)
    above = min((level for level in levels if level > high), default=high)
    room = 0.08 * (above - below) or 0.1
    return below - room, above + room


def explore_weight(levels: Sequence[float]) -> Panel:
    """Put W on a level or between two, draw its update longer, and see `weight_view`.

    levels: of a format, as `quant.levels` gives them; the update is in shares of the step from the
    middle level to the next.
    """
    ordered = sorted(set(levels))
    middle = len(ordered) // 2
    here, step = ordered[middle], ordered[middle + 1] - ordered[middle]
    starts = {"on a level": here, "between two": here + 0.4 * step}

    def falls(W: str, update: float) -> Drawing:
        return weight_view(starts[W], update * step, ordered)

    return Panel(
        falls,
        start={"update": 0.3},
        title="One weight and its update between the levels",
        call="merge.explore_weight(levels)",
        W=list(starts),
        update=[round(0.1 * i, 1) for i in range(-15, 16)],
    )
