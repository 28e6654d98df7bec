"""What the tests of the explorers ask of a picture, and of the controls in front of it.

elements, texts          what is drawn, as XML; the words, each of them inside the picture
pixels                   the heat maps in it
options, sweep           the positions of one control, and what is shown at each of them
every_position           all positions of all controls
TorchCalls               which of torch's functions a block calls, and how large what they give
"""

import base64
import io
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator

import numpy as np
from PIL import Image
from torch.overrides import TorchFunctionMode

LETTER = 0.55  # of its size is about as wide as a letter is


def elements(svg, kind):
    """The elements of a picture of one kind: "text", "rect", "circle", …"""
    return list(ET.fromstring(svg).iter(f"{{http://www.w3.org/2000/svg}}{kind}"))


def numbers(element, *names):
    """Some attributes of an element, as numbers; an absent one is 0, as in SVG."""
    return [float(element.get(name, 0)) for name in names]


def words_of(element):
    """What a text element says."""
    return "".join(element.itertext())


def texts(shown):
    """The texts of a well-formed picture, each of them inside it."""
    width, height = map(float, ET.fromstring(shown.svg).get("viewBox").split()[2:])
    drawn = elements(shown.svg, "text")
    for text in drawn:
        x, y, size = numbers(text, "x", "y", "font-size")
        wide = LETTER * size * len(words_of(text))
        left = x - {"middle": wide / 2, "end": wide}.get(text.get("text-anchor"), 0)
        assert left > 0 and left + wide < width + 2, f"{words_of(text)!r} stands outside"
        assert 8 < y < height - 1, f"{words_of(text)!r} stands outside"
    return [words_of(text) for text in drawn]


def pixels(svg):
    """The numbers of the colours in each heat map of a picture, as arrays (rows, columns)."""
    images = re.findall(r"base64,([^']+)", svg)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(data)))) for data in images]


def options(control):
    """The values that a slider or menu offers now."""
    return [value for _, value in control.options]


def sweep(panel, name):
    """The panel's (picture, line) at every position of one control, which ends where it began.

    No two of them are the same.
    """
    control, seen = panel.controls[name], []
    began = control.value
    for value in [v for v in options(control) if v != began] + [began]:
        control.value = value
        assert control.value == value
        seen.append((panel.html, panel.text))
    assert len(set(seen)) == len(seen) == len(options(control)), (
        f"{name} does not change the picture everywhere"
    )
    return seen


def every_position(panel, *names) -> Iterator[dict]:
    """Move the controls `names`, by default all, through all positions, the last one fastest.

    Yields the panel's values at each. What a control offers is asked when those before it stand.
    """
    first, *rest = names or panel.controls
    for value in options(panel.controls[first]):
        panel.controls[first].value = value
        if rest:
            yield from every_position(panel, *rest)
        else:
            yield panel.values()


class TorchCalls(TorchFunctionMode):
    """Torch's functions that a block calls: `with TorchCalls() as calls: …; assert not calls`.

    `.largest` is {function: the entries of the largest tensor that it gave}. A view that is to
    answer within milliseconds on any machine calls none, or multiplies only small ones.
    """

    def __init__(self):
        super().__init__()
        self.largest = {}

    def __len__(self):
        return len(self.largest)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        entries = math.prod(getattr(result, "shape", ()))
        self.largest[func.__name__] = max(entries, self.largest.get(func.__name__, 0))
        return result
