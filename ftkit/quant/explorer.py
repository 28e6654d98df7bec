"""A weight in a format, to look at: its values, the levels that it gets, the error and the bits.

    explore_formats(weights)       choose a matrix, a format and a block, and see `quant_view`
    quant_view(seen, name)         the picture of one `WeightInFormat`
    explore_levels()               drag one weight along the levels, and see `level_view`
    level_view(weight, absmax, …)  the level that it falls to, its code, and the byte

The views draw numbers that are given to them; what is counted is counted in `inspection.py`, which
the controls call when they are moved. Notebook 03.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.results import about, percent
from ..show.controls import Matrices
from ..show.labels import tile, tile_column
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    FAINT,
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

    from .inspection import WeightInFormat

BLOCKS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
FEW = 32  # levels that can be told apart in the picture; of more only the density is seen

# Left the values above and the levels below, on one axis; right a column of numbers.
VALUES = Area(left=54, top=62, width=460, height=118)
LEVELS = VALUES.below(gap=46, height=62)
COLUMN, FIRST_TILE, TILE_STEP = VALUES.right + 42, 84, 54

# One weight: the number line above, the byte and the steps below it.
LINE = Area(left=MARGIN + 8, top=70, width=712, height=88)
BYTE = Area(left=520, top=250, width=224, height=24)
STEPS_AT, OFF_AT, LEVEL_HEIGHT = ((MARGIN, 262), (280, 262), (MARGIN, 318)), (280, 318), 350


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
        title="A weight in a few bits",
        call="quant.explore_formats(weights)",
        **matrices.controls,
        format=list(BITS),
        block=list(blocks),
    )


def level_view(
    weight: float, absmax: float, levels: Sequence[float], neighbour: int = 0, format: str = "nf4"
) -> Drawing:
    """One weight on its way to a code: scaled, put on the nearest level, packed into a byte.

    weight: as it stands in W; absmax: of its block; levels: of a 4-bit format, by code;
    neighbour: the code of the next weight, which shares the byte as its lower half.
    """
    # the nearest level; between two equally near ones the lower
    scaled = weight / absmax
    code = min(range(len(levels)), key=lambda i: (abs(levels[i] - scaled), levels[i]))
    back = levels[code] * absmax
    title = f"{weight:.4g} becomes code {code}, which stands for {back:.4g}"
    byte = code << 4 | neighbour
    steps = [
        (f"{weight:.4g} / {absmax:.4g} = {scaled:.3f}", "1. divided by the block's absmax"),
        (f"code {code} = {code:04b}", f"2. the nearest of {len(levels)} levels", ACCENT),
        (f"{levels[code]:.4f} · {absmax:.4g} = {back:.4g}", "4. read back: level times absmax"),
    ]
    parts = [draw_number_line(scaled, levels, code), draw_byte(code, neighbour)]
    for (x, y), step in zip(STEPS_AT, steps, strict=True):
        parts.append(tile(x, y, *step))
    off = f"off by {abs(back - weight):.3g}: {share_of(abs(back - weight), weight)}"
    parts.append(words(OFF_AT[0], OFF_AT[1], off, SMALL, GREY))
    text = (
        f"{format}: {weight:.4g} of a block with absmax {absmax:.4g} is {scaled:.3f}, takes level "
        f"{levels[code]:.4f}, code {code} ({code:04b}), byte {byte} with its neighbour; read back "
        f"{back:.4g}"
    )
    return drawing(title, parts, text, format, LEVEL_HEIGHT)


def share_of(off: float, weight: float) -> str:
    """An error in percent of the weight."""
    return f"{100 * off / abs(weight):.1f} % of the weight" if weight else "the weight is 0"


def draw_number_line(scaled: float, levels: Sequence[float], code: int) -> str:
    """The levels with their codes, the weight above them, and an arrow to the level it takes."""
    frame = LINE.frame((-1.05, 1.05), (0, 1))
    parts = [line([frame.at(-1.05, 0), frame.at(1.05, 0)], GREY)]
    for i, level in enumerate(levels):
        x, y = frame.at(level, 0)
        chosen = i == code
        colour, long = (ACCENT, 16) if chosen else (PLAIN, 10)
        parts.append(line([(x, y - long), (x, y + 4)], colour, 3 if chosen else 1.4))
        parts.append(words(x, y + 18 + 11 * (i % 2), f"{i}", SMALL, colour, "middle", bold=chosen))
    for end in (-1, 0, 1):
        x, y = frame.at(end, 0)
        parts.append(words(x, y + 46, f"{end:g}".replace("-", "−"), SMALL, GREY, "middle"))
    # the weight, and where it falls
    at = frame.at(max(-1.05, min(1.05, scaled)), 0.75)
    to = frame.at(levels[code], 0)
    parts += [arrow((at[0], at[1] + 6), (to[0], to[1] - 20), ACCENT), dot(*at, 6, ACCENT)]
    parts.append(
        words(at[0], at[1] - 11, f"{scaled:.3f}", colour=ACCENT, anchor="middle", bold=True)
    )
    parts.append(words(MARGIN, LINE.top - 14, "weight / absmax; below, the levels and their codes"))
    return "".join(parts)


def draw_byte(code: int, neighbour: int) -> str:
    """Eight bits as boxes: this weight's code above, the next weight's below."""
    parts = [words(BYTE.left, BYTE.top - 8, "3. two codes share a byte", SMALL, GREY)]
    wide = BYTE.width / 8
    for i, bit in enumerate(f"{code:04b}{neighbour:04b}"):
        x, own = BYTE.left + i * wide, i < 4
        ground = mix("#ffffff", ACCENT if own else FAINT, 0.3)
        parts.append(box(x, BYTE.top, wide, BYTE.height, ground, (ACCENT if own else GREY, 1)))
        parts.append(words(x + wide / 2, BYTE.top + 17, bit, 13, INK, "middle"))
    for half, label in enumerate(("this weight", "the next one")):
        x = BYTE.left + wide * (2 + 4 * half)
        parts.append(words(x, BYTE.bottom + 14, label, SMALL, GREY, "middle"))
    return "".join(parts)


def explore_levels(absmax: float = 0.1, formats: Sequence[str] = ("nf4", "fp4", "int4")) -> Panel:
    """Drag one weight along the levels of a 4-bit format, and see `level_view`.

    absmax: of the weight's block; the slider goes from −absmax to absmax.
    """
    # Here, because torch comes with it, and a picture alone needs none.
    from .formats import levels

    tables = {format: levels(format).tolist() for format in formats}
    zero = {format: min(range(len(t)), key=lambda i: abs(t[i])) for format, t in tables.items()}

    def falls(format: str, weight: float) -> Drawing:
        return level_view(weight, absmax, tables[format], zero[format], format)

    weights = [round(absmax * i / 40, 10) for i in range(-40, 41)]
    return Panel(
        falls,
        start={"weight": weights[53]},
        title="Which of sixteen levels a weight falls to",
        call="quant.explore_levels()",
        format=list(formats),
        weight=weights,
    )
