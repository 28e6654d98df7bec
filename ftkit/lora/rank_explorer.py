"""What a matrix loses when it is cut to rank r: its spectrum, itself, and what is left.

    rank_view(spectrum, r, name)    the picture, of numbers that were computed before
    explore_ranks(groups)           the view behind controls: a matrix, and a rank

A moved slider goes from `show/panel.py` to `rank_view` here, which asks `spectrum.py` for error and
truncation, draws with `show/labels.py` and `show/svg.py`, and back to the panel. The view computes
nothing but one small product, so that it answers in milliseconds. Singular values are `spectrum`'s;
alpha and targets are explored in `alpha_explorer` and `target_explorer`. Notebook 01.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.results import about, decimal_bytes, percent, percent_in
from ..show.controls import Matrices
from ..show.labels import decades, tile
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    END,
    GREY,
    METHOD_COLOURS,
    OVER_FRAME,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    Frame,
    box,
    dot,
    drawing,
    heat_map,
    line,
    mix,
    shades,
    words,
)

if TYPE_CHECKING:
    import numpy as np

    from .spectrum import Spectrum

# {rank: {"task": (mean, low, high), "skills": …}}, shares right from 0 to 1; keys that are no
# number, such as "full", are passed over.
Scores = Mapping[int, Mapping[str, tuple[float, float, float]]]

# Where things stand: plots at the left, one below the other where there are two; three heat maps at
# the right, and tiles below them.
ALONE = Area(54, 62, 240, 230)
UPPER, LOWER = Area(54, 62, 240, 118), Area(54, 226, 240, 66)
RANK_LABEL = 325  # the foot of what the axis of both plots is
MAPS = tuple(Area(left, 62, 128, 128) for left in (330, 473, 616))
TILE_LEFTS, TILE_TOPS = (330, 560), (246, 296)

# The longer side of a heat map in pixels: enough to see stripes and noise apart, small enough for a
# notebook.
PIXELS = 64
SMALLEST = 1e-4  # what is smaller, as a share of the largest singular value, is drawn as zero
CURVE_POINTS = 160  # how many singular values make a smooth curve
# Of the lines in LOWER: full fine-tuning, cut, and LoRA; where their names begin.
SCORE_COLOURS, SCORE_NAMES = (METHOD_COLOURS["full"], METHOD_COLOURS["lora"]), (112, 218)


def rank_frame(area: Area, n: int, y: tuple[float, float], *, log_y: bool = False) -> Frame:
    """A plot over the ranks from 1 to n on a logarithmic axis."""
    return area.frame((1, max(n, 2)), y, log_x=True, log_y=log_y)


def rank_ticks(n: int) -> dict[float, str]:
    """The ticks of a rank axis: powers of four up to n."""
    powers = [4**k for k in range(n.bit_length())]
    return {power: f"{power}" for power in powers if power <= n}


def singular_values_to_draw(spectrum: "Spectrum", r: int) -> dict[int, float]:
    """{i: σᵢ} at ranks that stand evenly on the axis, and at the cut; without those near zero."""
    n = len(spectrum.S)
    even = {round(n ** (k / CURVE_POINTS)) for k in range(CURVE_POINTS + 1)}
    shown = sorted(even | {r, min(r + 1, n)})
    floor = SMALLEST * (float(spectrum.S[0]) or 1.0)
    values = {i: float(spectrum.S[i - 1]) for i in shown}
    return {i: value for i, value in values.items() if value > floor}


def draw_singular_values(spectrum: "Spectrum", r: int, area: Area) -> str:
    """The singular values on logarithmic axes, the first r in colour."""
    # a plot of the values that are worth a point
    n = len(spectrum.S)
    largest = float(spectrum.S[0]) or 1.0
    values = singular_values_to_draw(spectrum, r)
    low, high = min(values.values(), default=0.1) / 1.4, largest * 1.5
    frame = rank_frame(area, n, (low, high), log_y=True)
    points = {i: frame.at(i, value) for i, value in values.items()}

    # where the matrix has no more rank, the curve falls to the axis
    end = max(points, default=n)
    if end < n:
        points[end + 1] = frame.at(end + 1, low)

    # left of the cut is what is kept, the first eight values as dots
    cut = frame.at(r, low)[0]
    shade = box(area.left, area.top, cut - area.left, area.height, mix("#ffffff", ACCENT, 0.1))
    dots = [dot(*points[i], 3, ACCENT) for i in values if i <= min(r, 8)]
    title = f"cut at r = {r}"
    return "".join(
        [
            shade,
            frame.axes(rank_ticks(n), decades(low, high), "singular value"),
            line([point for i, point in points.items() if i >= r], PLAIN, 2.2),
            line([point for i, point in points.items() if i <= r], ACCENT, 3),
            *dots,
            frame.upright(r, ACCENT, 1.2, "4 3"),
            words(area.right, area.top - OVER_FRAME, title, colour=ACCENT, anchor="end", bold=True),
        ]
    )


def draw_scores(series: Mapping[str, Scores], r: int, n: int) -> str:
    """The share right on the task over the same ranks as above, one line per series."""
    frame = rank_frame(LOWER, n, (0, 1))
    cut = frame.at(r, 0)[0]
    # the cut goes on through both plots, so it reaches a little above this one
    parts = [
        frame.axes(rank_ticks(n), {0: "0", 0.5: "50", 1: "100"}, "task right, %"),
        line([(cut, LOWER.top - 4), (cut, LOWER.bottom)], ACCENT, 1.2, "4 3"),
    ]
    # the keys may hold more than ranks, such as "full"
    for (name, scores), colour, x in zip(series.items(), SCORE_COLOURS, SCORE_NAMES, strict=False):
        known = {k: scores[k]["task"] for k in scores if isinstance(k, int) and 0 < k <= n}
        parts.append(draw_score_line(frame, known, r, colour))
        here = f": {100 * known[r][0]:.1f}" if r in known else ""
        y = LOWER.top - OVER_FRAME
        parts.append(words(x, y, name + here, colour=colour, bold=True))
    return "".join(parts)


def draw_score_line(
    frame: Frame, scores: Mapping[int, tuple[float, float, float]], r: int, colour: str
) -> str:
    """One series, {rank: (mean, low, high)}: its means joined, thin bars, a larger dot at r."""
    means = [frame.at(rank, mean) for rank, (mean, _, _) in scores.items()]
    parts = [line(means, colour, 2)]
    for rank, (_, low, high) in scores.items():
        parts.append(line([frame.at(rank, low), frame.at(rank, high)], colour, 1))
    for rank, (mean, _, _) in scores.items():
        parts.append(dot(*frame.at(rank, mean), 4.5 if rank == r else 2.5, colour))
    return "".join(parts)


@dataclass(frozen=True, eq=False)
class Sample:
    """What of a matrix the heat maps show: the same for every r.

    part: every `step`-th row and column, as a spectrum. entries: the same as numbers, (rows,
    columns). limit: the value that has full colour.
    """

    part: "Spectrum"
    entries: "np.ndarray"
    limit: float
    step: int


@functools.lru_cache(maxsize=8)
def sample_entries(spectrum: "Spectrum") -> Sample:
    """The `Sample` of a matrix, PIXELS at its longer side at most."""
    step = math.ceil(max(spectrum.shape) / PIXELS)
    part = replace(spectrum, U=spectrum.U[::step], Vh=spectrum.Vh[:, ::step])
    entries = part.truncate(len(part.S)).cpu().numpy()
    limit = 2.5 * float(entries.std()) or 1.0
    return Sample(part, entries, limit, step)


def draw_heat_maps(spectrum: "Spectrum", r: int) -> str:
    """The matrix, its best rank-r approximation, and what that leaves, in one colour scale."""
    sample = sample_entries(spectrum)
    best = sample.part.truncate(r).cpu().numpy()
    maps = {
        "the matrix": sample.entries,
        f"its best rank {r}": best,
        "what is left": sample.entries - best,
    }

    # each in the proportions of the matrix, in the middle of its place
    d_out, d_in = spectrum.shape
    scale = MAPS[0].width / max(d_out, d_in)
    parts = []
    for place, (label, values) in zip(MAPS, maps.items(), strict=True):
        area = place.shrink_to(d_in * scale, d_out * scale)
        parts.append(heat_map(area, values, sample.limit))
        parts.append(words(area.middle[0], area.top - OVER_FRAME, label, anchor="middle"))
    below = MAPS[1].shrink_to(d_in * scale, d_out * scale).bottom + 9
    parts.append(draw_scale(below, sample))
    return "".join(parts)


def draw_scale(top: float, sample: Sample) -> str:
    """The colours from −limit to limit, below the middle map, and which rows are shown."""
    # in the middle below the maps
    height, width, gap = 8, 6, 5
    colours = shades()
    left = MAPS[1].middle[0] - width * len(colours) / 2
    right, foot = left + width * len(colours), top + height
    # a little wider than their steps, so that no light shines through between them
    parts = [
        box(left + width * i, top, width + 0.2, height, colour) for i, colour in enumerate(colours)
    ]
    # the values at its ends
    parts.append(words(left - gap, foot, f"−{sample.limit:.2g}", SMALL, GREY, "end"))
    parts.append(words(right + gap, foot, f"{sample.limit:.2g}", SMALL, GREY))
    if sample.step > 1:
        note = f"1 in {sample.step} rows, columns"
        parts.append(words(END, foot, note, SMALL, GREY, "end"))
    return "".join(parts)


def rank_view(
    spectrum: "Spectrum",
    r: int,
    name: str = "",
    cut_scores: Scores | None = None,
    lora_scores: Scores | None = None,
) -> Drawing:
    """What the best rank-r approximation of a matrix keeps.

    Its singular values, the matrix itself, its error and its size.

    r: from 1 to the full rank; another one is a `UserError`. cut_scores: what the tuned model still
    does when every update is cut to a rank; lora_scores: the same for LoRA trained at that rank.
    """
    # a rank that can't be drawn
    n = len(spectrum.S)
    spectrum.check_rank(r)
    if r == 0:
        raise UserError(f"r is 0, and a cut to rank 0 leaves nothing to be drawn; give 1 to {n}.")

    # the plots at the left, the maps and the tiles at the right
    both = {"cut to r": cut_scores, "LoRA": lora_scores}
    series = {label: scores for label, scores in both.items() if scores}
    parts = [
        draw_singular_values(spectrum, r, UPPER if series else ALONE),
        draw_scores(series, r, n) if series else "",
        words(ALONE.middle[0], RANK_LABEL, "rank, logarithmic", anchor="middle"),
        draw_heat_maps(spectrum, r),
        draw_tiles(spectrum, r),
    ]

    # and all of it in a line
    d_out, d_in = spectrum.shape
    text = f"{name or 'matrix'} ({d_out} × {d_in}) at r = {r}: {in_words(spectrum, r)}"
    for label, scores in series.items():
        text += scores_in_words(label, scores, r)
    return drawing(name or "A matrix", parts, text, f"{d_out} × {d_in}, r = {r} of {n}")


def sizes(spectrum: "Spectrum", r: int) -> tuple[int, int]:
    """How many numbers W_r needs as two thin factors, and how many W has."""
    d_out, d_in = spectrum.shape
    return r * (d_out + d_in), d_out * d_in


def draw_tiles(spectrum: "Spectrum", r: int) -> str:
    """The error, the energy, and the size as numbers and as bytes in float32."""
    stored, full = sizes(spectrum, r)
    error, energy = f"{spectrum.error(r):.3f}", f"{100 * spectrum.energy[r]:.1f} %"
    in_bytes, of_bytes = decimal_bytes(4 * stored), decimal_bytes(4 * full)
    (left, right), (upper, lower) = TILE_LEFTS, TILE_TOPS
    return "".join(
        [
            tile(left, upper, error, "error ‖W − Wᵣ‖ / ‖W‖, Frobenius", ACCENT),
            tile(right, upper, energy, "energy kept, share of ‖W‖²"),
            tile(left, lower, f"{stored:,}", f"numbers stored, of {full:,}"),
            tile(right, lower, in_bytes, f"in fp32, of {of_bytes}"),
        ]
    )


def in_words(spectrum: "Spectrum", r: int) -> str:
    """What a cut to rank r keeps, for the picture's line."""
    stored, full = sizes(spectrum, r)
    error, energy = about(spectrum.error(r)), percent(spectrum.energy[r])
    return (
        f"error {error}, energy kept {energy}, {stored:,} of {full:,} numbers, "
        f"{decimal_bytes(4 * stored)} of {decimal_bytes(4 * full)}"
    )


def scores_in_words(label: str, scores: Scores, r: int) -> str:
    """What was measured at this rank, for the picture's line; "" where nothing was."""
    here = scores.get(r, {})
    return "".join(
        f"; {label}: {what} {percent_in(*here[what])}"
        for what in ("task", "skills")
        if what in here
    )


def rank_steps(n: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12 … n: doubling with one step between."""
    steps = {n}
    for power in range(n.bit_length()):
        steps |= {2**power, 3 * 2**power}
    return sorted(step for step in steps if step <= n)


def explore_ranks(
    groups: Mapping[str, Mapping[str, "Spectrum"]],
    cut_scores: Scores | None = None,
    lora_scores: Scores | None = None,
) -> Panel:
    """Choose a matrix and a rank, and see `rank_view`.

    groups: {"W": {name: Spectrum}, "ΔW of LoRA": {name: Spectrum}, …}; a layer without a number is
    −1. Scores, see `rank_view`, are shown beside updates only: groups with a Δ in their name.
    """
    # what the first three controls offer, and what they choose
    matrices = {which: Matrices(list(spectra)) for which, spectra in groups.items()}

    def rank(which: str, layer: int, matrix: str, r: int) -> Drawing:
        name = matrices[which].name(layer, matrix)
        label = f"{which}, {name.removeprefix('model.')}"
        scores = (cut_scores, lora_scores) if "Δ" in which else (None, None)
        return rank_view(groups[which][name], r, label, *scores)

    return Panel(
        rank,
        start={"r": 8},
        title="What a matrix loses when it is cut to rank r",
        call="lora.explore_ranks(…)",
        which=list(groups),
        layer=lambda which: matrices[which].layers(),
        matrix=lambda which, layer: matrices[which].of_layer(layer),
        r=lambda which, layer, matrix: rank_steps(
            len(groups[which][matrices[which].name(layer, matrix)].S)
        ),
    )
