"""The quantization explorer: how a weight's values are spread, which levels a format gives them,
what that errs and takes.
"""

from collections.abc import Callable, Mapping, Sequence

from ..core.results import about, percent
from ..show.marks import layers_and_matrices, tile
from ..show.panel import Panel
from ..show.svg import ACCENT, FAINT, GREY, INK, PLAIN, Drawing, Frame, box, drawing, line, words

LEFT, WIDE = 54, 460
BLOCKS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def spread(counts: Sequence[int], levels: Sequence[float]) -> str:
    """A histogram of the scaled weights, the levels as lines across it."""
    most = max(counts)
    frame = Frame(LEFT, 62, WIDE, 118, (-1, 1), (0, most))
    bottom, wide = 180, WIDE / len(counts)
    heights = [bottom - frame.at(0, n)[1] for n in counts]
    parts = [box(LEFT + i * wide, bottom - h, wide, h, FAINT) for i, h in enumerate(heights) if h]
    thin = 1.2 if len(levels) < 32 else 0.4
    parts += [
        line([(x, 62), (x, bottom)], ACCENT, thin)
        for x in (frame.at(level, 0)[0] for level in levels)
    ]
    axes = frame.axes(
        {-1: "−1", -0.5: "−0.5", 0: "0", 0.5: "0.5", 1: "1"},
        {0: "0", most: f"{most:,}"},
        "weights, and the levels as lines",
    )
    return "".join([*parts, axes])


def shares(levels: Sequence[float], taken: Sequence[int]) -> str:
    """The share of weights that takes each level."""
    top = max(taken) / sum(taken)
    frame = Frame(LEFT, 226, WIDE, 62, (-1, 1), (0, top))
    thick = 7 if len(levels) < 32 else 1.4
    parts = []
    for level, n in zip(levels, taken, strict=True):
        x, y = frame.at(level, n / sum(taken))
        parts.append(box(x - thick / 2, y, thick, 288 - y, ACCENT))
    axes = frame.axes(
        {-1: "−1", 0: "0", 1: "1"},
        {0: "0", top: f"{100 * top:.0f}"},
        "% of the weights on each level",
    )
    return "".join([*parts, axes])


def quant_view(look, name: str = "") -> Drawing:
    """One weight in one format: a `quant.Look` as a picture.

    Above, its values divided by the absmax of their block, and the levels; below, how many take
    each level; the error is ‖W − Ŵ‖_F / ‖W‖_F, and bits count code and scale.
    """
    error, levels = look.error, look.levels
    used = sum(n > 0 for n in look.taken)
    parts = [
        spread(look.counts, levels),
        shares(levels, look.taken),
        words(LEFT + WIDE / 2, 320, "weight / absmax of its block", 11, INK, "middle"),
        tile(556, 84, f"{100 * error.relative:.2f} %", "error ‖W − Ŵ‖ / ‖W‖, Frobenius", ACCENT),
        tile(556, 138, f"{look.bits:.3f}", "bits a weight, scales in fp32"),
        tile(556, 192, f"{32 / look.bits:.2f} ×", "smaller than fp32", PLAIN),
        tile(556, 246, f"{used} of {len(levels)}", "levels in use"),
        words(556, 288, f"one scale for {error.block:,} neighbours", 10.5, GREY),
    ]
    text = f"{name or 'matrix'} in {error.format}, block {error.block}: error {percent(error.relative)}, largest {about(error.largest)}"
    text += f", {look.bits:.4g} bits a weight, {used} of {len(levels)} levels in use"
    return drawing(name or "A matrix", parts, text, f"{error.format}, block {error.block}")


def explore_formats(
    weights: Mapping[str, object],
    look: Callable,
    names: Sequence[str],
    blocks: Sequence[int] = BLOCKS,
) -> Panel:
    """Choose a matrix, a format and a block, and see `quant_view`: weights = {name: W}, look =
    quant.look, names = list(quant.BITS).
    """
    index = layers_and_matrices(list(weights))

    def quantization(layer: int, matrix: str, format: str, block: int) -> Drawing:
        name = index[layer, matrix]
        return quant_view(look(weights[name], format, block), name.removeprefix("model."))

    return Panel(
        quantization,
        start={"block": 64},
        layer=sorted({layer for layer, _ in index}),
        matrix=lambda layer: [matrix for at, matrix in index if at == layer],
        format=list(names),
        block=list(blocks),
    )
