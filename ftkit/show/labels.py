"""What several pictures have in common: numbers as tiles, ticks of an axis, short names of layers.

    tile(x, y, value, label)         a number in large letters and what it is below it
    tile_column(x, y, tiles)         several of them, one under the other
    decades(low, high)               the ticks of a logarithmic axis
    layers_and_matrices(names)       "model.layers.3.self_attn.q_proj" is (3, "q_proj")

The shapes themselves (boxes, lines, frames) are in `svg`, the controls in `panel`. Seen in the
explorers of notebooks 01 to 13.
"""

import math
import re
from collections.abc import Iterable, Sequence

from .svg import GREY, INK, SMALL, words


def decades(low: float, high: float) -> dict[float, str]:
    """Ticks of a logarithmic axis from low to high, both above zero: {value: what is written}.

    Every power of ten; where that gives fewer than three ticks, 1, 2 and 5 times each power.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    tens = [10.0**power for power in range(first, last + 1)]
    ticks = [ten for ten in tens if low <= ten <= high]
    if len(ticks) < 3:
        finer = [times * ten for ten in tens for times in (1, 2, 5)]
        ticks = [value for value in finer if low <= value <= high]
    return {value: f"{value:g}" for value in ticks}


def tile(x: float, y: float, value: str, label: str, colour: str = INK) -> str:
    """A number in large letters that stand on y, and in small ones below it what it is."""
    large = words(x, y, value, 17, colour, bold=True)
    return large + words(x, y + 15, label, SMALL, GREY)


def tile_column(x: float, y: float, tiles: Iterable[Sequence[str]], step: float = 54) -> str:
    """Tiles one under the other, each (value, label) or (value, label, colour).

    The first stands on y, each next one `step` lower.
    """
    parts = []
    for given in tiles:
        parts.append(tile(x, y, *given))
        y += step
    return "".join(parts)


def layers_and_matrices(names: Sequence[str]) -> dict[tuple[int, str], str]:
    """{(layer, matrix): name} of modules' names, in their order.

    The layer is the first number in a name, −1 where there is none. The matrix is the last part
    of it, or all that follows the number where the last parts alone do not tell the names apart:
    "h.0.attn.c_proj" beside "h.0.mlp.c_proj" is (0, "attn.c_proj").
    """
    places = {layer_and_matrix(name): name for name in names}
    short = {}
    for (layer, rest), name in places.items():
        short[layer, rest.rsplit(".", 1)[-1]] = name
    return short if len(short) == len(names) else places


def layer_and_matrix(name: str) -> tuple[int, str]:
    """The first number in a dotted name and all that follows it, or (−1, name) without one."""
    match = re.search(r"(?:^|\.)(\d+)\.(.+)$", name)
    return (int(match[1]), match[2]) if match else (-1, name)
