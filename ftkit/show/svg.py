"""Pictures for sliders: SVG written by hand, in a millisecond, beside one line that says it all.

    drawing(title, parts, text)          the whole picture, a `Drawing`
    words, box, line, arrow, dot, ring…  the parts, each a piece of SVG as text
    Area, Frame                          rectangles with named edges; axes and where a value stands
    heat_map(area, values, limit)        a matrix as colours
    ACCENT, PLAIN, FAINT, INK, GREY      the colours of all pictures: ACCENT is the chosen thing
    METHOD_COLOURS, method_of(name)      a method's own colour, wherever it is drawn

A view joins parts and computes nothing (the wings do); `panel` puts controls in front of it, and
figures that no control moves are drawn by `plots`. The ground is white, so that a picture reads the
same in a light and in a dark notebook; nothing in it has an id, so that many can stand on one page.
Seen in every notebook from 01 on.
"""

import base64
import html
import io
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..core.results import without_mark

if TYPE_CHECKING:
    import numpy as np

# One colour for what the reader should look at, one for the rest, one for what is only there.
ACCENT, PLAIN, FAINT = "#d1495b", "#30638e", "#c3cdd6"
INK, GREY = "#1f2933", "#66737f"  # words, and words that matter less

# One colour for each method, in every picture of the kit: by it a curve is known again. What a
# method learns is drawn solid, its skills dashed (`plots.lines`).
METHOD_COLOURS = {
    "base": GREY, "lora": ACCENT, "full": PLAIN, "qlora": "#b35c00", "dora": "#007a6e",
}  # fmt: skip

# A picture's own units: it is WIDTH of them wide, and its text keeps MARGIN from the edges.
WIDTH, HEIGHT, MARGIN = 760, 330, 16
END = WIDTH - MARGIN  # where a line of text ends that stands at the right
NORMAL, SMALL = 11, 10.5  # sizes of text: labels, and ticks and notes
FONTS = "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

# What a frame keeps free around itself.
TICK = 4  # the length of a tick
UNDER_TICK = 16  # from an axis to the foot of the numbers below it
UNDER_AXIS = 32  # from an axis to the foot of its label
OVER_FRAME = 9  # from the top of a frame to the foot of the words above it
OVER_AXIS = 34  # how far left of its axis the label of y begins, above the numbers

# The colours of a heat map: an odd number, so that zero is white, and few, so that its PNG needs
# four bits a pixel.
LEVELS = 15
SAFE = " =:/'+;,()?!*$@-._~"  # what a data address may hold as it is, besides letters and digits


@dataclass(frozen=True, repr=False)
class Drawing:
    """A picture and its content in words.

    `svg` is what people see, `text` is what a notebook's test compares.
    """

    svg: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        """The same as an image.

        JupyterLab hides SVG in a notebook that it does not trust yet, such as one just cloned, but
        shows this.
        """
        return as_image(self.svg, self.text)


def plain(text: str) -> str:
    """Words for a picture, in which a number needs no ≈ before it."""
    return html.escape(without_mark(text))


def as_image(svg: str, text: str) -> str:
    """SVG as an HTML image, with `text` for those who do not see it."""
    return f'<img alt="{plain(text)}" src="data:image/svg+xml,{quote(svg, safe=SAFE)}">'


def drawing(
    title: str, parts: Iterable[str], text: str, aside: str = "", height: int = HEIGHT
) -> Drawing:
    """The `Drawing` of these parts under a title, on a white ground of WIDTH × `height` units.

    text: the picture in one line of words; aside: a few words in grey after the title. On a narrow
    page the picture shrinks, on a wide one it keeps its size.
    """
    gap = "&#160;" * 3
    beside = f"<tspan fill='{GREY}' font-weight='normal'>{gap}{plain(aside)}</tspan>"
    head = f"{plain(title)}{beside}"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        'style="max-width:100%;height:auto;display:block" role="img" '
        f'aria-label="{plain(text)}" font-family="{FONTS}">'
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
        f"<text x='{MARGIN}' y='25' font-size='15' font-weight='bold' fill='{INK}'>{head}</text>"
        f"{''.join(parts)}</svg>"
    )
    return Drawing(svg, text)


def words(
    x: float,
    y: float,
    text: str,
    size: float = NORMAL,
    colour: str = INK,
    anchor: str = "start",
    *,
    bold: bool = False,
) -> str:
    """One line of text, standing on y.

    anchor: which part of it stands at x, its "start", "middle" or "end".
    """
    weight = " font-weight='bold'" if bold else ""
    place = f"x='{x:.1f}' y='{y:.1f}'"
    look = f"font-size='{size}' fill='{colour}' text-anchor='{anchor}'{weight}"
    return f"<text {place} {look}>{plain(text)}</text>"


def monospace(parts: str) -> str:
    """Parts whose letters are all of one width, such as tokens."""
    return f"<g font-family='monospace'>{parts}</g>"


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    edge: tuple[str, float] | None = None,
    radius: float = 0,
) -> str:
    """A rectangle with its upper left corner at (x, y).

    fill: a colour, or "none"; edge: (colour, thickness) of its outline; radius: of round corners.
    """
    outline = f" stroke='{edge[0]}' stroke-width='{edge[1]}'" if edge else ""
    place = f"x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' rx='{radius}'"
    return f"<rect {place} fill='{fill}'{outline}/>"


def line(
    points: Iterable[tuple[float, float]], colour: str, thick: float = 1, dash: str = ""
) -> str:
    """A line through points; dash: lengths on and off, such as "4 3"."""
    dashes = f" stroke-dasharray='{dash}'" if dash else ""
    look = f"fill='none' stroke='{colour}' stroke-width='{thick}' stroke-linejoin='round'{dashes}"
    return f"<polyline points='{coordinates(points)}' {look}/>"


def arrow(
    begin: tuple[float, float], end: tuple[float, float], colour: str, thick: float = 1.4
) -> str:
    """A line from one place to another with a head at its end."""
    (x, y), long = end, 7.0
    turn = math.atan2(y - begin[1], x - begin[0])
    wings = [(x - long * math.cos(turn + a), y - long * math.sin(turn + a)) for a in (0.45, -0.45)]
    return line([begin, end], colour, thick) + polygon([end, *wings], colour)


def polygon(points: Iterable[tuple[float, float]], fill: str) -> str:
    """A filled area with these corners, such as a band between two curves."""
    return f"<polygon points='{coordinates(points)}' fill='{fill}'/>"


def coordinates(points: Iterable[tuple[float, float]]) -> str:
    """Points as SVG writes them: "1.0,2.0 3.0,4.0"."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def dot(x: float, y: float, radius: float, fill: str, stroke: str = "white") -> str:
    """A filled circle around (x, y) with a thin rim."""
    look = f"fill='{fill}' stroke='{stroke}' stroke-width='1.2'"
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius}' {look}/>"


def ring(x: float, y: float, radius: float, colour: str, thick: float = 2) -> str:
    """A circle around (x, y) through which one sees."""
    look = f"fill='none' stroke='{colour}' stroke-width='{thick}'"
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius}' {look}/>"


def method_of(name: str) -> str | None:
    """The method that a name speaks of: "lora" of "LoRA r = 8, task"; None of any other name."""
    found = [word for word in re.findall("[a-z]+", name.lower()) if word in METHOD_COLOURS]
    return found[0] if found else None


def mix(a: str, b: str, share: float) -> str:
    """The colour `share` of the way from a to b, all "#rrggbb".

    mix("#000000", "#ffffff", 0.5) is "#808080".
    """
    colour = "#"
    for digits in (slice(1, 3), slice(3, 5), slice(5, 7)):  # red, green, blue
        begin, end = int(a[digits], 16), int(b[digits], 16)
        colour += f"{round(begin + share * (end - begin)):02x}"
    return colour


def shades() -> list[str]:
    """The LEVELS colours of a heat map: from the lowest value over white at zero to the highest."""
    half = LEVELS // 2
    below = [mix("#ffffff", PLAIN, (half - i) / half) for i in range(half)]
    above = [mix("#ffffff", ACCENT, i / half) for i in range(half + 1)]
    return below + above


@dataclass(frozen=True)
class Area:
    """A rectangle of a picture with named edges, in the picture's units; y grows downwards.

    A view keeps its areas as constants and asks them for edges, so that a moved area takes along
    what stands in, above and below it.
    """

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of its right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The y of its lower edge."""
        return self.top + self.height

    @property
    def middle(self) -> tuple[float, float]:
        """The (x, y) of its middle."""
        return self.left + self.width / 2, self.top + self.height / 2

    def below(self, gap: float, height: float) -> "Area":
        """An area of the same width, `gap` below this one."""
        return Area(self.left, self.bottom + gap, self.width, height)

    def beside(self, gap: float, width: float) -> "Area":
        """An area of the same height, `gap` to the right of this one."""
        return Area(self.right + gap, self.top, width, self.height)

    def shrink_to(self, width: float, height: float) -> "Area":
        """An area of this size with the same middle."""
        x, y = self.middle
        return Area(x - width / 2, y - height / 2, width, height)

    def frame(
        self,
        x: tuple[float, float],
        y: tuple[float, float],
        *,
        log_x: bool = False,
        log_y: bool = False,
    ) -> "Frame":
        """A plot in this area: x and y are what stands at (left, right) and at (bottom, top)."""
        place = (self.left, self.top, self.width, self.height)
        return Frame(*place, x, y, log_x=log_x, log_y=log_y)

    def box(self, fill: str, edge: tuple[str, float] | None = None, radius: float = 0) -> str:
        """The whole area as a rectangle: see `box`."""
        return box(self.left, self.top, self.width, self.height, fill, edge, radius)


@dataclass(frozen=True)
class Frame(Area):
    """A plot: an area, and the values that stand at (left, right) and at (bottom, top) of it.

    log_x, log_y: that axis is logarithmic, and its values are above zero.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    log_x: bool = field(default=False, kw_only=True)
    log_y: bool = field(default=False, kw_only=True)

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pair of values stands in the picture."""
        across = share(x, *self.x, log=self.log_x)
        up = share(y, *self.y, log=self.log_y)
        return self.left + across * self.width, self.top + (1 - up) * self.height

    def axes(self, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], label: str) -> str:
        """Both axes with ticks: {value: what is written there}.

        The label of y stands above its axis, where it reads level; for that of x see `x_label`.
        """
        left, bottom = self.left, self.bottom
        parts = [line([(left, self.top), (left, bottom), (self.right, bottom)], GREY)]

        # Below the axis of x: a tick at each value, and its text centred under it.
        for value, text in x_ticks.items():
            x, _ = self.at(value, self.y[0])
            parts.append(line([(x, bottom), (x, bottom + TICK)], GREY))
            parts.append(words(x, bottom + UNDER_TICK, text, SMALL, GREY, "middle"))

        # Left of the axis of y: the same, and the label above.
        for value, text in y_ticks.items():
            _, y = self.at(self.x[0], value)
            parts.append(line([(left - TICK, y), (left, y)], GREY))
            parts.append(words(left - TICK - 3, y + 3.5, text, SMALL, GREY, "end"))
        parts.append(words(left - OVER_AXIS, self.top - OVER_FRAME, label))
        return "".join(parts)

    def x_label(self, text: str, gap: float = UNDER_AXIS) -> str:
        """What the values of x are, in the middle below their ticks."""
        return words(self.middle[0], self.bottom + gap, text, anchor="middle")

    def upright(self, x: float, colour: str, thick: float = 1, dash: str = "") -> str:
        """A line over the whole height at a value of x."""
        across = self.at(x, self.y[0])[0]
        return line([(across, self.top), (across, self.bottom)], colour, thick, dash)


def share(value: float, low: float, high: float, *, log: bool = False) -> float:
    """How far `value` is on the way from low to high: 0 at low, 1 at high."""
    if log:
        return share(math.log(value), math.log(low), math.log(high))
    return (value - low) / (high - low)


def heat_map(area: Area, values: "np.ndarray", limit: float) -> str:
    """A matrix (rows, columns) that fills an area, as a small PNG inside the SVG.

    −limit and below is blue, zero is white, limit and above is red: see `shades`.
    """
    import numpy as np
    from PIL import Image

    # Each value becomes the number of its colour, 0 to LEVELS − 1.
    half = LEVELS // 2
    steps = np.rint(values * (half / limit))
    colours = np.clip(steps, -half, half) + half
    image = Image.fromarray(colours.astype(np.uint8), "P")
    palette = "".join(shades()).replace("#", "")
    image.putpalette(bytes.fromhex(palette))

    # The PNG travels inside the SVG, one pixel per value, and is stretched without smoothing.
    stream = io.BytesIO()
    image.save(stream, format="PNG", bits=4)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    place = f"x='{area.left:.1f}' y='{area.top:.1f}'"
    size = f"width='{area.width:.1f}' height='{area.height:.1f}'"
    look = "preserveAspectRatio='none' image-rendering='pixelated'"
    picture = f"<image {place} {size} {look} href='data:image/png;base64,{data}'/>"
    return picture + area.box("none", (FAINT, 1))
