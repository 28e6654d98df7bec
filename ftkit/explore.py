"""Explorers: pure views, drawn from numbers that were computed before, and panels that put controls in front of them.

A view computes nothing but simple means, so that a moved slider is answered in a few milliseconds.
"""

import functools
import html
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .drawing import ACCENT, FAINT, GREY, INK, PLAIN, Drawing, Frame, box, dot, drawing, heat_map, line, mix, shades, words
from .panel import Panel, Ticks
from .record import about, percent, percent_in

# The halves of a transformer block, by what the names of their matrices hold in the model families: fused ones too.
HALVES = {"attention": ("q_proj", "k_proj", "v_proj", "o_proj", "qkv", "attn"), "MLP": ("gate", "up_proj", "down", "mlp", "fc")}
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
PIXELS = 64  # the longer side of a heat map: enough to see stripes and noise apart, small enough for a notebook
LEFT, TOP, SIDE = 54, 62, 128  # of the plots in the rank explorer; the longer side of a heat map in the picture's units


def __getattr__(name: str):
    """The playground, when it is first named: it trains, and explorers only draw."""
    if name == "playground":
        from .playground import playground

        return playground
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def answers_view(prompt: str, gold: str, replies: dict[str, str]) -> str:
    """One prompt, the right answer, and what each model replied, as an HTML table; right replies are green, wrong ones red."""
    cell = "style='text-align:left;white-space:pre-wrap;font-family:monospace'"
    rows = [
        f"<tr><th>prompt</th><td {cell}>{html.escape(prompt)}</td></tr>",
        f"<tr><th>right answer</th><td {cell}>{html.escape(gold)}</td></tr>",
    ]
    for name, reply in replies.items():
        colour = "#2a7f4f" if reply == gold else "#b3263a"
        rows.append(f"<tr><th>{html.escape(name)}</th><td {cell}><span style='color:{colour}'>{html.escape(reply)}</span></td></tr>")
    return f"<table>{''.join(rows)}</table>"


def answers(test, replies: dict[str, Sequence[str]], rows: Sequence[int] | None = None) -> Panel:
    """A slider over test rows: what each model answered. `replies` maps a model's name to its answers, in the test's order."""
    prompts = [m[-2]["content"] for m in test["messages"]]
    golds = [m[-1]["content"] for m in test["messages"]]

    def row_view(row: int) -> str:
        return answers_view(prompts[row], golds[row], {name: all_of[row] for name, all_of in replies.items()})

    return Panel(row_view, row=list(rows if rows is not None else range(len(prompts))))


def size(count: float) -> str:
    """Bytes in decimal units: size(16384) is "16.4 kB"."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def decades(low: float, high: float) -> dict[float, str]:
    """Ticks of a logarithmic axis: every power of ten, or 1, 2 and 5 where there would be fewer than three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    tens = [10.0**p for p in powers if low <= 10.0**p <= high]
    values = tens if len(tens) > 2 else [m * 10.0**p for p in powers for m in (1, 2, 5) if low <= m * 10.0**p <= high]
    return {v: f"{v:g}" for v in values}


def falling(spectrum, r: int, height: float) -> str:
    """The singular values on logarithmic axes, the first r in colour; below a ten-thousandth of the largest they count as zero."""
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


def measured(series: Mapping[str, Mapping[int, Mapping]], r: int, n: int) -> str:
    """The share right on the task over the same ranks as the spectrum above, one line a series; intervals as thin bars."""
    frame = Frame(LEFT, 226, 240, 66, (1, n), (0, 1), log_x=True)
    cut = frame.at(r, 0)[0]
    parts = [frame.axes(rank_ticks(n), {0: "0", 0.5: "50", 1: "100"}, "task right, %")]
    parts.append(line([(cut, 222), (cut, 292)], ACCENT, 1.2, "4 3"))
    for (name, points), colour, x in zip(series.items(), (ACCENT, PLAIN), (112, 218), strict=False):
        known = {k: points[k]["task"] for k in points if isinstance(k, int) and 0 < k <= n}
        parts.append(line([frame.at(k, mean) for k, (mean, _, _) in known.items()], colour, 2))
        parts += [line([frame.at(k, low), frame.at(k, high)], colour, 1) for k, (_, low, high) in known.items()]
        parts += [dot(*frame.at(k, mean), 4.5 if k == r else 2.5, colour) for k, (mean, _, _) in known.items()]
        here = f": {100 * known[r][0]:.1f}" if r in known else ""
        parts.append(words(x, 217, name + here, 11, colour, bold=True))
    return "".join(parts)


@functools.lru_cache(maxsize=8)
def sampled(spectrum) -> tuple:
    """What is the same for every r: one in `step` rows and columns as a spectrum, their entries, the value with full colour, step."""
    d_out, d_in = spectrum.shape
    step = math.ceil(max(d_out, d_in) / PIXELS)
    part = replace(spectrum, U=spectrum.U[::step], Vh=spectrum.Vh[:, ::step])
    entries = part.truncate(len(part.S)).cpu().numpy()
    return part, entries, 2.5 * float(entries.std()) or 1.0, step


def maps(spectrum, r: int) -> str:
    """Three heat maps in one colour scale: the matrix, its best rank-r approximation, and what that leaves."""
    part, entries, limit, step = sampled(spectrum)
    best = part.truncate(r).cpu().numpy()
    scale = SIDE / max(spectrum.shape)
    height, width = (side * scale for side in spectrum.shape)
    found, top, below = [], TOP + (SIDE - height) / 2, TOP + (SIDE + height) / 2 + 9
    for k, (label, values) in enumerate({"the matrix": entries, f"its best rank {r}": best, "what is left": entries - best}.items()):
        middle = 394 + 143 * k
        found += [heat_map(middle - width / 2, top, width, height, values, limit), words(middle, top - 9, label, 11, INK, "middle")]
    colours = "".join(box(492 + 6 * i, below, 6.2, 8, colour) for i, colour in enumerate(shades()))
    ends = words(487, below + 8, f"−{limit:.2g}", 10.5, GREY, "end") + words(587, below + 8, f"{limit:.2g}", 10.5, GREY)
    drawn = words(744, below + 8, f"1 in {step} rows, columns", 10.5, GREY, "end") if step > 1 else ""
    return "".join([*found, colours, ends, drawn])


def tile(x: float, y: float, value: str, label: str, colour: str = INK) -> str:
    """A number and what it is."""
    return words(x, y, value, 17, colour, bold=True) + words(x, y + 15, label, 10.5, GREY)


def rank_view(spectrum, r: int, name: str = "", kept: Mapping | None = None, trained: Mapping | None = None) -> Drawing:
    """What the best rank-r approximation of a matrix keeps: singular values, the matrix itself, its error and its size.

    spectrum: a `spectrum.Spectrum`; r from 1 to its full rank. kept: what the tuned model still does when every update is cut
    to a rank, {rank: {"task": (mean, low, high), "skills": (mean, low, high)}}, shares from 0 to 1; trained: the same for
    LoRA trained at that rank.
    """
    d_out, d_in = spectrum.shape
    error, energy = spectrum.error(r), spectrum.energy[r]
    stored, full = r * (d_out + d_in), d_out * d_in
    series = {label: points for label, points in (("cut to r", kept), ("LoRA", trained)) if points}
    parts = [
        falling(spectrum, r, 118 if series else 230),
        measured(series, r, len(spectrum.S)) if series else "",
        words(LEFT + 120, 325, "rank, logarithmic", 11, INK, "middle"),
        maps(spectrum, r),
        tile(330, 246, f"{error:.3f}", "error ‖W − Wᵣ‖ / ‖W‖, Frobenius", ACCENT),
        tile(560, 246, f"{100 * energy:.1f} %", "energy kept, share of ‖W‖²"),
        tile(330, 296, f"{stored:,}", f"numbers stored, of {full:,}"),
        tile(560, 296, size(4 * stored), f"in fp32, of {size(4 * full)}"),
    ]
    text = f"{name or 'matrix'} ({d_out} × {d_in}) at r = {r}: error {about(error)}, energy kept {percent(energy)}"
    text += f", {stored:,} of {full:,} numbers, {size(4 * stored)} of {size(4 * full)}"
    for label, points in series.items():
        if r in points:
            text += "".join(f"; {label}: {what} {percent_in(*points[r][what])}" for what in ("task", "skills") if what in points[r])
    return drawing(name or "A matrix", parts, text, f"{d_out} × {d_in}, r = {r} of {len(spectrum.S)}")


def rank_steps(n: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12 … n: doubling with one step between."""
    return sorted({step for k in range(n.bit_length()) for step in (1 << k, 3 << k) if step <= n} | {n})


def places(names: Sequence[str]) -> dict[tuple, str]:
    """(layer, matrix) of every name: "model.layers.3.self_attn.q_proj" is (3, "q_proj"), or (3, "self_attn.q_proj") if that is needed."""
    for short in (True, False):
        found: dict[tuple, str] = {}
        for name in names:
            match = re.search(r"(?:^|\.)(\d+)\.(.+)$", name)
            layer, rest = (int(match[1]), match[2]) if match else (-1, name)
            found[layer, rest.rsplit(".", 1)[-1] if short else rest] = name
        if len(found) == len(names):
            break
    return found


def ranks(groups: Mapping[str, Mapping[str, object]], kept: Mapping | None = None, trained: Mapping | None = None) -> Panel:
    """Choose a matrix and a rank, and see `rank_view`: groups = {"W": {name: Spectrum}, "ΔW of LoRA": {name: Spectrum}, …}.

    kept and trained, see `rank_view`, are shown beside updates only: groups with a Δ in their name. A layer without a number is −1.
    """
    index = {which: places(list(spectra)) for which, spectra in groups.items()}

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
        r=lambda which, layer, matrix: rank_steps(len(groups[which][index[which][layer, matrix]].S)),
    )


@dataclass(frozen=True)
class Cell:
    """The runs at one alpha and one learning rate, over seeds: (mean, lowest, highest) share right, from 0 to 1."""

    r: int
    seeds: int
    task: tuple[float, float, float]
    skills: tuple[float, float, float]


def cells(rows: Sequence[Mapping]) -> dict[tuple[float, float], Cell]:
    """{(alpha, lr): Cell} of a grid's rows; of the settings in it, data, r, targets and epochs, the one run at most (alpha, lr)."""
    settings: dict[tuple, dict] = {}
    for row in rows:
        if not row["r"]:
            continue  # full fine-tuning, which has no alpha
        setting = settings.setdefault(tuple(str(row.get(k)) for k in ("data", "r", "targets", "epochs")), {})
        setting.setdefault((row["alpha"], row["lr"]), []).append(row)

    def spread(values: Sequence[float]) -> tuple[float, float, float]:
        return statistics.fmean(values), min(values), max(values)

    if not settings:
        raise ValueError(
            f"there is no LoRA run among the {len(rows)} rows; give rows with r, alpha, lr, task and skills, as grids.read() has."
        )
    chosen = max(settings.values(), key=len)
    return {
        at: Cell(
            runs[0]["r"],
            len(runs),
            spread([run["task"] for run in runs]),
            spread([statistics.fmean(run["skills"].values()) for run in runs]),
        )
        for at, runs in sorted(chosen.items())
    }


def squares(grid: Mapping[tuple[float, float], Cell], what: str, label: str, left: float, chosen: tuple[float, float]) -> str:
    """One heat map of means: alpha upwards, lr to the right, the chosen square ringed, squares with its √alpha · lr joined."""
    alphas, lrs = (sorted({at[k] for at in grid}) for k in (0, 1))
    width, height = min(232 / len(lrs), 60), min(200 / len(alphas), 52)
    lowest = min(0.9, *(getattr(cell, what)[0] for cell in grid.values()))  # so that a percent or two stay pale differences
    corner = {(a, b): (left + width * j, 264 - height * (i + 1)) for i, a in enumerate(alphas) for j, b in enumerate(lrs)}
    parts = [words(left, 255 - height * len(alphas), label, 11.5, INK, bold=True)]
    for at, (x, y) in corner.items():
        mean = getattr(grid[at], what)[0] if at in grid else None
        depth = 0.0 if mean is None else 0.04 + 0.86 * (mean - lowest) / (1 - lowest)
        parts.append(box(x, y, width, height, mix("#ffffff", PLAIN, depth), "white" if at in grid else FAINT, 1.5))
        shown = "–" if mean is None else f"{100 * mean:.1f}"
        parts.append(words(x + width / 2, y + height / 2 + 4, shown, 11.5, "white" if depth > 0.5 else INK, "middle"))
    equal = [at for at in corner if math.isclose(at[0] * at[1] ** 2, chosen[0] * chosen[1] ** 2, rel_tol=1e-6)]
    for x, y in (corner[at] for at in equal if len(equal) > 1):
        for start, end in ((0, 0.24), (0.76, 1)):  # around the number
            ends = [(x + part * width, y + part * height) for part in (start, end)]
            parts += [line(ends, "white", 4), line(ends, ACCENT, 2)]
    x, y = corner[chosen]
    parts.append(box(x + 1, y + 1, width - 2, height - 2, "none", ACCENT, 3, 3))
    for j, b in enumerate(lrs):
        parts.append(words(left + width * (j + 0.5), 280, f"{b:g}", 10.5, ACCENT if b == chosen[1] else GREY, "middle", b == chosen[1]))
    for i, a in enumerate(alphas):
        parts.append(
            words(left - 7, 264 - height * (i + 0.5) + 4, f"{a:g}", 10.5, ACCENT if a == chosen[0] else GREY, "end", a == chosen[0])
        )
    return "".join(
        [
            *parts,
            words(left + width * len(lrs) / 2, 297, "learning rate", 11, INK, "middle"),
            words(left - 7, 255 - height * len(alphas), "alpha", 11, INK, "end"),
        ]
    )


def alpha_view(cells: Mapping[tuple[float, float], Cell], alpha: float, lr: float) -> Drawing:
    """What alpha and the learning rate do together: task and skills over a grid of runs (see `cells`), one of them in numbers.

    LoRA adds (alpha/r) · B A, the product of √(alpha/r) B and √(alpha/r) A. Adam moves each of these two by √(alpha/r) · lr a
    step, whatever the gradient's size: so squares with the same √alpha · lr are joined (A's random start apart).
    """
    cell = cells.get((alpha, lr))
    r = next(iter(cells.values())).r
    facts = {"alpha / r": f"{alpha / r:g}", "√alpha · lr": f"{math.sqrt(alpha) * lr:.3g}"}
    text = f"r = {r}, alpha = {alpha:g} (scale {alpha / r:g}), lr = {lr:g}: "
    if cell is None:
        text += "no run here"
    else:
        task, skills = (percent_in(*share) for share in (cell.task, cell.skills))
        text += f"task right {task}, skills right {skills}, mean and range of {cell.seeds} seed{'s' * (cell.seeds > 1)}"
    parts = [
        squares(cells, "task", "task right, %", 62, (alpha, lr)),
        squares(cells, "skills", "skills still right, %", 348, (alpha, lr)),
        words(62, 318, "Along the red marks √alpha · lr stays the same. Darker is better.", 10.5, GREY),
        *(tile(610, 78 + 44 * i, value, label, ACCENT) for i, (label, value) in enumerate(facts.items())),
    ]
    for i, (label, share) in enumerate({"task right": cell.task, "skills right": cell.skills}.items() if cell else ()):
        mean, low, high = (100 * value for value in share)
        parts.append(tile(610, 170 + 44 * i, f"{mean:.1f} %", f"{label}, {low:.1f} to {high:.1f}"))
    seeds = "no run here" if cell is None else f"{cell.seeds} seed{'s' * (cell.seeds > 1)}: mean, range"
    parts.append(words(610, 258 if cell else 170, seeds, 10.5, GREY))
    return drawing("alpha and the learning rate", parts, text, f"r = {r}, alpha = {alpha:g}, lr = {lr:g}")


def alphas(rows: Sequence[Mapping]) -> Panel:
    """Choose alpha and the learning rate in a grid of finished runs, such as `grids.read()`, and see `alpha_view`."""
    grid = cells(rows)
    values = [sorted({at[k] for at in grid}) for k in (0, 1)]

    def alpha_lr(alpha: float, lr: float) -> Drawing:
        return alpha_view(grid, alpha, lr)

    middle = {name: v[len(v) // 2] for name, v in zip(("alpha", "lr"), values, strict=True)}
    return Panel(alpha_lr, start=middle, alpha=values[0], lr=values[1])


def halves(parts: Sequence[str]) -> dict[str, list[str]]:
    """The names of a block's matrices as "attention", "MLP" and "other", without what is empty."""
    found: dict[str, list[str]] = {**{half: [] for half in HALVES}, "other": []}
    for part in parts:
        found[next((half for half, signs in HALVES.items() if any(sign in part for sign in signs)), "other")].append(part)
    return {half: names for half, names in found.items() if names}


def block(parts: Mapping[str, tuple[int, int, int]], targets: Sequence[str], r: int) -> str:
    """One transformer block, every W in proportion: d_out high, d_in wide; targets with A (r × d_in) below and B (d_out × r) beside."""
    rows = halves(parts)
    tall = {label: max(parts[p][0] for p in names) + r for label, names in rows.items()}
    room = {p: max(20, 7 * len(p.removesuffix("_proj"))) for p in parts}
    for names in rows.values():
        if sum(room[p] for p in names) > 320:  # too many to be named here; the list beside the block names them all
            room |= dict.fromkeys(names, 320 / len(names))
    wide = max(sum(parts[p][1] + r for p in names) / (392 - sum(room[p] for p in names)) for names in rows.values())
    scale = 1 / max(wide, sum(tall.values()) / (258 - 44 * len(rows)))
    found, top = [], 40.0
    for label, names in rows.items():
        x, top = 24.0, top + 34
        found.append(words(16, top - 20, label, 11, GREY, bold=True))
        for p in names:
            (d_out, d_in, _), on = parts[p], p in targets
            width, height, thin = d_in * scale, d_out * scale, max(r * scale, 2)
            if room[p] >= 20:
                found.append(words(x, top - 5, p.removesuffix("_proj"), 11, ACCENT if on else INK, bold=on))
            found.append(box(x, top, width, height, mix("#ffffff", ACCENT, 0.14) if on else FAINT, ACCENT if on else "none", 1))
            if on:
                found.append(box(x, top + height + 2.5, width, thin, ACCENT) + box(x + width + 2.5, top, thin, height, ACCENT))
            x += width + thin + room[p]
        top += tall[label] * scale + 10
    return "".join(found)


def attach_view(parts: Mapping[str, tuple[int, int, int]], targets: Sequence[str], r: int, total: int) -> Drawing:
    """Where a LoRA of rank r sits in a model, and what it trains: r · (d_in + d_out) numbers for every targeted matrix.

    parts: {"q_proj": (d_out, d_in, copies), …}; targets: some of these names; total: all parameters of the base.
    """
    if unknown := [t for t in targets if t not in parts]:
        raise ValueError(f"the model has no part {unknown[0]!r}; it has {', '.join(parts)}.")
    counts = {p: r * (d_in + d_out) * copies if p in targets else 0 for p, (d_out, d_in, copies) in parts.items()}
    trained = sum(counts.values())
    share = 100 * trained / (total + trained)
    step, most = min(21, 150 / len(parts)), max(1, *counts.values())
    found = [block(parts, targets, r), words(424, 54, "trained numbers: r · (d_in + d_out) · copies", 11, GREY, bold=True)]
    for i, (p, n) in enumerate(counts.items()):
        y, shape = 76 + step * i, " × ".join(str(side) for side in parts[p])
        found.append(words(424, y, p, 11, ACCENT if n else GREY, bold=bool(n)) + words(512, y, shape, 10.5, GREY))
        found.append(box(632, y - 9, 32 * n / most, 10, ACCENT) + words(744, y, f"{n:,}", 11, INK if n else GREY, "end"))
    found.append(line([(424, 232), (744, 232)], FAINT))
    found.append(tile(424, 258, f"{trained:,}", "trained numbers", ACCENT) + tile(620, 258, f"{share:.3g} %", "of base + adapter"))
    found.append(tile(424, 304, size(4 * trained), "adapter in fp32") + tile(620, 304, size(2 * trained), "adapter in bf16"))
    found.append(words(16, 319, "W to scale, A (r × d_in) below it, B (d_out × r) beside it, 2 px at least", 10.5, GREY))
    where = ", ".join(p for p in parts if p in targets) or "nothing"
    text = f"r = {r} on {where}: {trained:,} trained of {total + trained:,} ({share:.3g} %), "
    text += f"{size(4 * trained)} in fp32, {size(2 * trained)} in bf16"
    return drawing(f"LoRA at r = {r}", found, text, f"on {len(targets)} of {len(parts)} kinds of matrix")


def attach(parts: Mapping[str, tuple[int, int, int]], total: int, r: Sequence[int] = RANKS) -> Panel:
    """Tick targets, choose r, and see `attach_view`; ranks above the shortest side of all parts are left out."""
    presets = {"all-linear": list(parts), **halves(parts)}
    if {"q_proj", "v_proj"} <= set(parts):
        presets["q, v"] = ["q_proj", "v_proj"]
    shortest = min(min(d_out, d_in) for d_out, d_in, _ in parts.values())

    def attached(targets: Sequence[str], r: int) -> Drawing:
        return attach_view(parts, targets, r, total)

    possible = [value for value in r if value <= shortest]
    ticks = Ticks(dict.fromkeys(parts, True), presets)
    return Panel(attached, start={"r": 8}, targets=ticks, r=possible)
