"""Explorers: pure views, drawn from numbers that were computed before, and panels that put controls
in front of them.

A view computes nothing but simple means, so that a moved slider is answered in a few milliseconds.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import replace

from ..core.results import about, decimal_bytes, percent, percent_in
from ..show.marks import decades, layers_and_matrices, tile
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    GREY,
    INK,
    PLAIN,
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

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
# the longer side of a heat map: enough to see stripes and noise apart, small enough for a notebook
PIXELS = 64
LEFT, TOP, SIDE = (
    54,
    62,
    128,
)  # of the plots in the rank explorer; the longer side of a heat map in the picture's units


def draw_singular_values(spectrum, r: int, height: float) -> str:
    """The singular values on logarithmic axes, the first r in colour; below a ten-thousandth of the
    largest they count as zero.
    """
    n = len(spectrum.S)
    largest = float(spectrum.S[0]) or 1.0
    shown = sorted({round(n ** (k / 160)) for k in range(161)} | {r, min(r + 1, n)})
    values = {i: v for i in shown if (v := float(spectrum.S[i - 1])) > 1e-4 * largest}
    low, high = min(values.values(), default=0.1) / 1.4, largest * 1.5
    frame = Frame(LEFT, TOP, 240, height, (1, n), (low, high), log_x=True, log_y=True)
    points = {i: frame.at(i, v) for i, v in values.items()}
    if points and len(points) < len(shown):
        end = max(points)
        points[end + 1] = frame.at(end + 1, low)
    cut = frame.at(r, low)[0]
    return "".join(
        [
            box(LEFT, TOP, cut - LEFT, height, mix("#ffffff", ACCENT, 0.1)),
            frame.axes(rank_ticks(n), decades(low, high), "singular value"),
            line([p for i, p in points.items() if i >= r], PLAIN, 2.2),
            line([p for i, p in points.items() if i <= r], ACCENT, 3),
            *(dot(*p, 3, ACCENT) for i, p in points.items() if i <= min(r, 8) and i in values),
            line([(cut, TOP), (cut, TOP + height)], ACCENT, 1.2, "4 3"),
            words(LEFT + 240, TOP - 9, f"cut at r = {r}", 11, ACCENT, "end", bold=True),
        ]
    )


def rank_ticks(n: int) -> dict[float, str]:
    """Powers of four up to n."""
    return {4**k: f"{4**k}" for k in range(n.bit_length()) if 4**k <= n}


def draw_measured(series: Mapping[str, Mapping[int, Mapping]], r: int, n: int) -> str:
    """The share right on the task over the same ranks as the spectrum above, one line a series;
    intervals as thin bars.
    """
    frame = Frame(LEFT, 226, 240, 66, (1, n), (0, 1), log_x=True)
    cut = frame.at(r, 0)[0]
    parts = [frame.axes(rank_ticks(n), {0: "0", 0.5: "50", 1: "100"}, "task right, %")]
    parts.append(line([(cut, 222), (cut, 292)], ACCENT, 1.2, "4 3"))
    for (name, points), colour, x in zip(series.items(), (ACCENT, PLAIN), (112, 218), strict=False):
        known = {k: points[k]["task"] for k in points if isinstance(k, int) and 0 < k <= n}
        parts.append(line([frame.at(k, mean) for k, (mean, _, _) in known.items()], colour, 2))
        parts += [
            line([frame.at(k, low), frame.at(k, high)], colour, 1)
            for k, (_, low, high) in known.items()
        ]
        parts += [
            dot(*frame.at(k, mean), 4.5 if k == r else 2.5, colour)
            for k, (mean, _, _) in known.items()
        ]
        here = f": {100 * known[r][0]:.1f}" if r in known else ""
        parts.append(words(x, 217, name + here, 11, colour, bold=True))
    return "".join(parts)


@functools.lru_cache(maxsize=8)
def sample_entries(spectrum) -> tuple:
    """What is the same for every r: one in `step` rows and columns as a spectrum, their entries,
    the value with full colour, step.
    """
    d_out, d_in = spectrum.shape
    step = math.ceil(max(d_out, d_in) / PIXELS)
    part = replace(spectrum, U=spectrum.U[::step], Vh=spectrum.Vh[:, ::step])
    entries = part.truncate(len(part.S)).cpu().numpy()
    return part, entries, 2.5 * float(entries.std()) or 1.0, step


def draw_maps(spectrum, r: int) -> str:
    """Three heat maps in one colour scale: the matrix, its best rank-r approximation, and what that
    leaves.
    """
    part, entries, limit, step = sample_entries(spectrum)
    best = part.truncate(r).cpu().numpy()
    scale = SIDE / max(spectrum.shape)
    height, width = (side * scale for side in spectrum.shape)
    found, top, below = [], TOP + (SIDE - height) / 2, TOP + (SIDE + height) / 2 + 9
    for k, (label, values) in enumerate(
        {"the matrix": entries, f"its best rank {r}": best, "what is left": entries - best}.items()
    ):
        middle = 394 + 143 * k
        found += [
            heat_map(middle - width / 2, top, width, height, values, limit),
            words(middle, top - 9, label, 11, INK, "middle"),
        ]
    colours = "".join(box(492 + 6 * i, below, 6.2, 8, colour) for i, colour in enumerate(shades()))
    ends = words(487, below + 8, f"−{limit:.2g}", 10.5, GREY, "end") + words(
        587, below + 8, f"{limit:.2g}", 10.5, GREY
    )
    drawn = (
        words(744, below + 8, f"1 in {step} rows, columns", 10.5, GREY, "end") if step > 1 else ""
    )
    return "".join([*found, colours, ends, drawn])


def rank_view(
    spectrum, r: int, name: str = "", kept: Mapping | None = None, trained: Mapping | None = None
) -> Drawing:
    """What the best rank-r approximation of a matrix keeps: singular values, the matrix itself, its
    error and its size.

    spectrum: a `spectrum.Spectrum`; r from 1 to its full rank. kept: what the tuned model still
    does when every update is cut to a rank, {rank: {"task": (mean, low, high), "skills": (mean,
    low, high)}}, shares from 0 to 1; trained: the same for LoRA trained at that rank.
    """
    d_out, d_in = spectrum.shape
    error, energy = spectrum.error(r), spectrum.energy[r]
    stored, full = r * (d_out + d_in), d_out * d_in
    series = {label: points for label, points in (("cut to r", kept), ("LoRA", trained)) if points}
    parts = [
        draw_singular_values(spectrum, r, 118 if series else 230),
        draw_measured(series, r, len(spectrum.S)) if series else "",
        words(LEFT + 120, 325, "rank, logarithmic", 11, INK, "middle"),
        draw_maps(spectrum, r),
        tile(330, 246, f"{error:.3f}", "error ‖W − Wᵣ‖ / ‖W‖, Frobenius", ACCENT),
        tile(560, 246, f"{100 * energy:.1f} %", "energy kept, share of ‖W‖²"),
        tile(330, 296, f"{stored:,}", f"numbers stored, of {full:,}"),
        tile(560, 296, decimal_bytes(4 * stored), f"in fp32, of {decimal_bytes(4 * full)}"),
    ]
    text = f"{name or 'matrix'} ({d_out} × {d_in}) at r = {r}: error {about(error)}, energy kept {percent(energy)}"
    text += f", {stored:,} of {full:,} numbers, {decimal_bytes(4 * stored)} of {decimal_bytes(4 * full)}"
    for label, points in series.items():
        if r in points:
            text += "".join(
                f"; {label}: {what} {percent_in(*points[r][what])}"
                for what in ("task", "skills")
                if what in points[r]
            )
    return drawing(
        name or "A matrix", parts, text, f"{d_out} × {d_in}, r = {r} of {len(spectrum.S)}"
    )


def rank_steps(n: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12 … n: doubling with one step between."""
    return sorted(
        {step for k in range(n.bit_length()) for step in (1 << k, 3 << k) if step <= n} | {n}
    )


def explore_ranks(
    groups: Mapping[str, Mapping[str, object]],
    kept: Mapping | None = None,
    trained: Mapping | None = None,
) -> Panel:
    """Choose a matrix and a rank, and see `rank_view`: groups = {"W": {name: Spectrum}, "ΔW of
    LoRA": {name: Spectrum}, …}.

    kept and trained, see `rank_view`, are shown beside updates only: groups with a Δ in their name.
    A layer without a number is −1.
    """
    index = {which: layers_and_matrices(list(spectra)) for which, spectra in groups.items()}

    def rank(which: str, layer: int, matrix: str, r: int) -> Drawing:
        name = index[which][layer, matrix]
        curves = (kept, trained) if "Δ" in which else (None, None)
        return rank_view(groups[which][name], r, f"{which}, {name.removeprefix('model.')}", *curves)

    return Panel(
        rank,
        start={"r": 8},
        which=list(groups),
        layer=lambda which: sorted({layer for layer, _ in index[which]}),
        matrix=lambda which, layer: [matrix for at, matrix in index[which] if at == layer],
        r=lambda which, layer, matrix: rank_steps(
            len(groups[which][index[which][layer, matrix]].S)
        ),
    )
