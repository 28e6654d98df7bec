"""Pictures for sliders: SVG written by hand, in a millisecond, beside one line that says what it
shows.

The ground is white, so that a picture reads the same in a light and in a dark notebook; nothing in
it has an id, so that many can stand on one page.
"""

import base64
import html
import io
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

ACCENT, PLAIN, FAINT = "#d1495b", "#30638e", "#c3cdd6"
INK, GREY = "#1f2933", "#66737f"
WIDTH, HEIGHT = 760, 330
SAFE = " =:/'+;,()?!*$@-._~"  # what a data address may hold as it is, besides letters and digits
# of a heat map's colours: odd, so that zero is white, and few, so that a PNG needs four bits a
# pixel
LEVELS = 15


@dataclass(frozen=True, repr=False)
class Drawing:
    """A picture and its content in words: `svg` is what people see, `text` what a notebook's test
    compares.
    """

    svg: str
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        """The same as an image: JupyterLab hides SVG in a notebook that it does not trust yet, such
        as one just cloned, but shows this.
        """
        return f'<img alt="{html.escape(self.text)}" src="data:image/svg+xml,{quote(self.svg, safe=SAFE)}">'


def drawing(
    title: str, parts: Iterable[str], text: str, aside: str = "", height: int = HEIGHT
) -> Drawing:
    """A `Drawing` of the parts on a white ground of 760 × `height` units, at most as wide as the
    page; `aside` follows the title.
    """
    head = f"{html.escape(title)}<tspan fill='{GREY}' font-weight='normal'>{'&#160;' * 3}{html.escape(aside)}</tspan>"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'style="max-width:100%;height:auto;display:block" role="img" aria-label="{html.escape(text)}" '
        "font-family=\"system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif\">"
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>'
        f"<text x='16' y='25' font-size='15' font-weight='bold' fill='{INK}'>{head}</text>{''.join(parts)}</svg>"
    )
    return Drawing(svg, text)


def words(
    x: float,
    y: float,
    text: str,
    size: float = 11,
    colour: str = INK,
    anchor: str = "start",
    bold: bool = False,
) -> str:
    """One line of text; anchor "start", "middle" or "end" says which part of it stands at x."""
    weight = " font-weight='bold'" if bold else ""
    return f"<text x='{x:.1f}' y='{y:.1f}' font-size='{size}' fill='{colour}' text-anchor='{anchor}'{weight}>{html.escape(text)}</text>"


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    fill: str,
    stroke: str = "none",
    thick: float = 1,
    radius: float = 0,
) -> str:
    """A rectangle."""
    edge = "" if stroke == "none" else f" stroke='{stroke}' stroke-width='{thick}'"
    return f"<rect x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}' rx='{radius}' fill='{fill}'{edge}/>"


def line(
    points: Iterable[tuple[float, float]], colour: str, thick: float = 1, dash: str = ""
) -> str:
    """A line through points in pixels; dash such as "4 3"."""
    dashes = f" stroke-dasharray='{dash}'" if dash else ""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='{thick}' stroke-linejoin='round'{dashes}/>"


def dot(x: float, y: float, radius: float, fill: str, stroke: str = "white") -> str:
    """A filled circle with a rim."""
    return f"<circle cx='{x:.1f}' cy='{y:.1f}' r='{radius}' fill='{fill}' stroke='{stroke}' stroke-width='1.2'/>"


def mix(a: str, b: str, share: float) -> str:
    """The colour `share` of the way from a to b, both "#rrggbb": mix("#000000", "#ffffff", 0.5) is
    "#808080".
    """
    pairs = ((int(a[i : i + 2], 16), int(b[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(x + share * (y - x)):02x}" for x, y in pairs)


def shades() -> list[str]:
    """The colours of a heat map from the lowest value over white at zero to the highest."""
    half = LEVELS // 2
    return [
        mix("#ffffff", PLAIN if i < half else ACCENT, abs(i - half) / half) for i in range(LEVELS)
    ]


def heat_map(x: float, y: float, width: float, height: float, values, limit: float) -> str:
    """A matrix (a numpy array) as a small PNG inside the SVG: −limit and below is blue, zero white,
    limit and above red.
    """
    import numpy as np
    from PIL import Image

    half = LEVELS // 2
    places = np.clip(np.rint(values * (half / limit)), -half, half) + half
    image = Image.fromarray(places.astype(np.uint8), "P")
    image.putpalette(bytes.fromhex("".join(colour[1:] for colour in shades())))
    stream = io.BytesIO()
    image.save(stream, format="PNG", bits=4)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    place = f"x='{x:.1f}' y='{y:.1f}' width='{width:.1f}' height='{height:.1f}'"
    return (
        f"<image {place} preserveAspectRatio='none' image-rendering='pixelated' href='data:image/png;base64,{data}'/>"
        + box(x, y, width, height, "none", FAINT)
    )


@dataclass(frozen=True)
class Frame:
    """A plot's area in pixels and what it shows: `x` and `y` are (left, right) and (bottom, top);
    either axis may be logarithmic.
    """

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]
    log_x: bool = False
    log_y: bool = False

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The pixel of a value."""
        across = share(x, *self.x, self.log_x)
        return self.left + across * self.width, self.top + (
            1 - share(y, *self.y, self.log_y)
        ) * self.height

    def axes(self, x_ticks: Mapping[float, str], y_ticks: Mapping[float, str], label: str) -> str:
        """Both axes with ticks (value → what is written there); the label of y stands above its
        axis, where it reads level.
        """
        left, bottom = self.left, self.top + self.height
        parts = [line([(left, self.top), (left, bottom), (left + self.width, bottom)], GREY)]
        for value, tick in x_ticks.items():
            x = self.at(value, self.y[0])[0]
            parts += [
                line([(x, bottom), (x, bottom + 4)], GREY),
                words(x, bottom + 16, tick, 10.5, GREY, "middle"),
            ]
        for value, tick in y_ticks.items():
            y = self.at(self.x[0], value)[1]
            parts += [
                line([(left - 4, y), (left, y)], GREY),
                words(left - 7, y + 3.5, tick, 10.5, GREY, "end"),
            ]
        return "".join([*parts, words(left - 34, self.top - 9, label, 11, INK)])


def share(value: float, low: float, high: float, log: bool) -> float:
    """How far `value` is on the way from low to high, from 0 to 1."""
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)
