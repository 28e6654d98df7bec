"""A weight in a format, to look at: its values, the levels that it gets, the error and the bits.

    explore_formats(weights)       choose a matrix, a format and a block, and see `quant_view`
    quant_view(seen, name)         the picture of one `WeightInFormat`

The views draw numbers that are given to them; what is counted is counted in `inspection.py`, which
the controls call when they are moved. Notebook 03.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.results import about, percent
from ..show.labels import tile_column
from ..show.panel import Matrices, Panel
from ..show.svg import ACCENT, FAINT, GREY, PLAIN, SMALL, Area, Drawing, box, drawing, words

if TYPE_CHECKING:
    import torch

    from .inspection import WeightInFormat

BLOCKS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
FEW = 32  # levels that can be told apart in the picture; of more only the density is seen

# Left the values above and the levels below, on one axis; right a column of numbers.
VALUES = Area(left=54, top=62, width=460, height=118)
LEVELS = VALUES.below(gap=46, height=62)
COLUMN, FIRST_TILE, TILE_STEP = VALUES.right + 42, 84, 54


def draw_values(counts: Sequence[int], levels: Sequence[float]) -> str:
    """A histogram of the scaled weights, and the levels as lines across it."""
    most = max(counts)
    frame = VALUES.frame((-1, 1), (0, most))
    parts = []

    # The weights: one bar per bin.
    wide = frame.width / len(counts)
    for i, n in enumerate(counts):
        if height := frame.bottom - frame.at(0, n)[1]:
            parts.append(box(frame.left + i * wide, frame.bottom - height, wide, height, FAINT))

    # The levels, thinner where there are many.
    thick = 1.2 if len(levels) < FEW else 0.4
    parts += [frame.upright(level, ACCENT, thick) for level in levels]

    across = {-1.0: "−1", -0.5: "−0.5", 0.0: "0", 0.5: "0.5", 1.0: "1"}
    up = {0.0: "0", float(most): f"{most:,}"}
    return "".join([*parts, frame.axes(across, up, "weights, and the levels as lines")])


def draw_levels(levels: Sequence[float], taken: Sequence[int]) -> str:
    """The share of the weights that takes each level, as bars."""
    # A bar on each level, as high as its share.
    shares = [n / sum(taken) for n in taken]
    top = max(shares)
    frame = LEVELS.frame((-1, 1), (0, top))
    thick = 7 if len(levels) < FEW else 1.4
    parts = []
    for level, share in zip(levels, shares, strict=True):
        x, y = frame.at(level, share)
        parts.append(box(x - thick / 2, y, thick, frame.bottom - y, ACCENT))

    across = {-1.0: "−1", 0.0: "0", 1.0: "1"}
    up = {0.0: "0", top: f"{100 * top:.0f}"}
    parts.append(frame.axes(across, up, "% of the weights on each level"))
    parts.append(frame.x_label("weight / absmax of its block"))
    return "".join(parts)


def quant_view(seen: "WeightInFormat", name: str = "") -> Drawing:
    """One weight in one format, as `inspect_weight` found it, under the name of its matrix.

    Above, its values divided by the absmax of their block, and the levels; below, how many take
    each level. The error is ‖W − Ŵ‖_F / ‖W‖_F, and bits count code and scale.
    """
    # The column of numbers.
    error = seen.error
    used = f"{seen.levels_in_use} of {len(seen.levels)}"
    tiles = [
        (f"{100 * error.relative:.2f} %", "error ‖W − Ŵ‖ / ‖W‖, Frobenius", ACCENT),
        (f"{seen.bits_per_weight:.3f}", "bits per weight, scales in fp32"),
        (f"{32 / seen.bits_per_weight:.2f} ×", "smaller than fp32", PLAIN),
        (used, "levels in use"),
    ]
    # The picture, and the same in words.
    below = FIRST_TILE + (len(tiles) - 1) * TILE_STEP + 42
    parts = [
        draw_values(seen.counts, seen.levels),
        draw_levels(seen.levels, seen.taken),
        tile_column(COLUMN, FIRST_TILE, tiles, TILE_STEP),
        words(COLUMN, below, f"one scale for {error.block:,} neighbours", SMALL, GREY),
    ]
    text = (
        f"{name or 'matrix'} in {error.format}, block {error.block}: "
        f"error {percent(error.relative)}, largest {about(error.largest)}, "
        f"{seen.bits_per_weight:.4g} bits per weight, {used} levels in use"
    )
    return drawing(name or "A matrix", parts, text, f"{error.format}, block {error.block}")


def explore_formats(weights: Mapping[str, "torch.Tensor"], blocks: Sequence[int] = BLOCKS) -> Panel:
    """Choose a matrix, a format and a block, and see `quant_view`.

    weights: {name of a layer: W (d_out, d_in)}; blocks: the positions of that slider.
    """
    # Here, because torch comes with them, and a picture alone needs none.
    from .formats import BITS
    from .inspection import inspect_weight

    matrices = Matrices(list(weights))

    def view(layer: int, matrix: str, format: str, block: int) -> Drawing:
        name = matrices.name(layer, matrix)
        seen = inspect_weight(weights[name], format, block)
        return quant_view(seen, name.removeprefix("model."))

    return Panel(
        view,
        start={"block": 64},
        **matrices.controls,
        format=list(BITS),
        block=list(blocks),
    )
