"""How much of an update ΔW is left once W + ΔW is rounded to a format, weight by weight, drawn.

    explore_rounding(starts, updates, formats)    choose W, matrix, format and factor
    rounding_view(rounded, name, format)          the picture of one `RoundedUpdate`

The view draws numbers that are given to it; they are measured in `rounding`, which the controls
call when they are moved. Notebook 13.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING

from ..core.results import about, percent
from ..show.labels import tile_column
from ..show.panel import Matrices, Panel
from ..show.svg import ACCENT, GREY, PLAIN, SMALL, Area, Drawing, dot, drawing, line, words

if TYPE_CHECKING:
    import torch

    from .rounding import RoundedUpdate

DOTS = 400  # weights drawn
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # on ΔW
REACH = 4  # both axes end at so many times the root mean square of ΔW

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
        **matrices.controls,
        W=list(starts),
        format=list(formats),
        factor=list(FACTORS),
    )
