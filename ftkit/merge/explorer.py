"""The merging explorer: an update, weight by weight, as it was wanted and as it arrives once W + ΔW
has to fit a format.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache

from ..core.results import about, percent
from ..show.marks import tile
from ..show.panel import Matrices, Panel
from ..show.svg import ACCENT, GREY, INK, PLAIN, Drawing, Frame, dot, drawing, line, words

DOTS = 400  # weights drawn
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


def rounding_view(arrival, name: str = "", format: str = "") -> Drawing:
    """One `merge.Arrival` as a picture: each dot a weight, across what ΔW wanted, up what arrived;
    on the line nothing is lost.

    Both axes are in multiples of the root mean square of ΔW, cut at ±4.
    """
    wanted, arrived = arrival.wanted.flatten(), arrival.arrived.flatten()
    step = max(1, len(wanted) // DOTS)
    scale = wanted.square().mean().sqrt().item() or 1.0
    frame = Frame(60, 62, 420, 226, (-4, 4), (-4, 4))
    ticks = {v: f"{v}".replace("-", "−") for v in (-4, -2, 0, 2, 4)}
    parts = [
        frame.axes(ticks, ticks, "arrived, in units of ΔW's root mean square"),
        line([frame.at(-4, -4), frame.at(4, 4)], PLAIN, 1.4),
    ]
    for x, y in zip(wanted[::step].tolist(), arrived[::step].tolist(), strict=True):
        parts.append(
            dot(*frame.at(*(max(-4, min(4, v / scale)) for v in (x, y))), 2, ACCENT, "none")
        )
    parts += [
        words(270, 320, "wanted", 11, INK, "middle"),
        tile(540, 92, f"{100 * arrival.kept:.0f} %", "of the update arrives, on average", ACCENT),
        tile(540, 152, f"{100 * arrival.error:.0f} %", "error ‖arrived − ΔW‖ / ‖ΔW‖"),
        tile(540, 212, f"{100 * arrival.size:.1f} %", "size ‖ΔW‖ / ‖W‖", PLAIN),
        words(540, 262, "on the line: nothing is lost", 10.5, GREY),
    ]
    text = f"{name or 'matrix'} merged in {format}: size {percent(arrival.size)}, kept {percent(arrival.kept)}, error {about(arrival.error)}"
    return drawing(name or "An update", parts, text, format)


def explore_rounding(
    starts: Mapping[str, Mapping[str, object]],
    updates: Mapping[str, object],
    arrival: Callable,
    formats: Sequence[str],
) -> Panel:
    """Choose what W is, a matrix, a format and a factor on ΔW, and see `arrival_view`.

    starts: {"on NF4's levels": {name: W}, …}; updates: {name: ΔW}; arrival: `merge.arrival`.
    """
    matrices = Matrices(list(updates))

    @cache
    def rounding(layer: int, matrix: str, W: str, format: str, factor: float) -> Drawing:
        name = matrices.name(layer, matrix)
        seen = arrival(starts[W][name], factor * updates[name], format)
        return rounding_view(seen, name.removeprefix("model."), f"{format}, W {W}, ΔW × {factor:g}")

    return Panel(
        rounding,
        start={"factor": 1.0},
        **matrices.controls,
        W=list(starts),
        format=list(formats),
        factor=list(FACTORS),
    )
