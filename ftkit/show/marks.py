"""TODO header of show.marks."""

import math
import re
from collections.abc import Sequence

from .svg import GREY, INK, words


def decades(low: float, high: float) -> dict[float, str]:
    """Ticks of a logarithmic axis: every power of ten, or 1, 2 and 5 where there would be fewer
    than three.
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**p for p in powers if low <= 10.0**p <= high]
    values = (
        tens
        if len(tens) > 2
        else [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    )
    return {v: f"{v:g}" for v in values}


def tile(x: float, y: float, value: str, label: str, colour: str = INK) -> str:
    """A number and what it is."""
    return words(x, y, value, 17, colour, bold=True) + words(x, y + 15, label, 10.5, GREY)


def layers_and_matrices(names: Sequence[str]) -> dict[tuple, str]:
    """(layer, matrix) of every name: "model.layers.3.self_attn.q_proj" is (3, "q_proj"), or (3,
    "self_attn.q_proj") if that is needed.
    """
    for short in (True, False):
        found: dict[tuple, str] = {}
        for name in names:
            match = re.search(r"(?:^|\.)(\d+)\.(.+)$", name)
            layer, rest = (int(match[1]), match[2]) if match else (-1, name)
            found[layer, rest.rsplit(".", 1)[-1] if short else rest] = name
        if len(found) == len(names):
            break
    return found
