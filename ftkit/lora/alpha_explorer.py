"""TODO header of lora.alpha_explorer."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.results import percent_in
from ..show.marks import tile
from ..show.panel import Panel
from ..show.svg import ACCENT, FAINT, GREY, INK, PLAIN, Drawing, box, drawing, line, mix, words


@dataclass(frozen=True)
class Cell:
    """The runs at one alpha and one learning rate, over seeds: (mean, lowest, highest) share right,
    from 0 to 1.
    """

    r: int
    seeds: int
    task: tuple[float, float, float]
    skills: tuple[float, float, float]


def cells(rows: Sequence[Mapping]) -> dict[tuple[float, float], Cell]:
    """{(alpha, lr): Cell} of a grid's rows; of the settings in it, data, r, targets and epochs, the
    one run at most (alpha, lr).
    """
    settings: dict[tuple, dict] = {}
    for row in rows:
        if not row["r"]:
            continue  # full fine-tuning, which has no alpha
        setting = settings.setdefault(
            tuple(str(row.get(k)) for k in ("data", "r", "targets", "epochs")), {}
        )
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


def draw_squares(
    grid: Mapping[tuple[float, float], Cell],
    what: str,
    label: str,
    left: float,
    chosen: tuple[float, float],
) -> str:
    """One heat map of means: alpha upwards, lr to the right, the chosen square ringed, squares with
    its √alpha · lr joined.
    """
    alphas, lrs = (sorted({at[k] for at in grid}) for k in (0, 1))
    width, height = min(232 / len(lrs), 60), min(200 / len(alphas), 52)
    lowest = min(
        0.9, *(getattr(cell, what)[0] for cell in grid.values())
    )  # so that a percent or two stay pale differences
    corner = {
        (a, b): (left + width * j, 264 - height * (i + 1))
        for i, a in enumerate(alphas)
        for j, b in enumerate(lrs)
    }
    parts = [words(left, 255 - height * len(alphas), label, 11.5, INK, bold=True)]
    for at, (x, y) in corner.items():
        mean = getattr(grid[at], what)[0] if at in grid else None
        depth = 0.0 if mean is None else 0.04 + 0.86 * (mean - lowest) / (1 - lowest)
        parts.append(
            box(
                x,
                y,
                width,
                height,
                mix("#ffffff", PLAIN, depth),
                "white" if at in grid else FAINT,
                1.5,
            )
        )
        shown = "–" if mean is None else f"{100 * mean:.1f}"
        parts.append(
            words(
                x + width / 2,
                y + height / 2 + 4,
                shown,
                11.5,
                "white" if depth > 0.5 else INK,
                "middle",
            )
        )
    equal = [
        at
        for at in corner
        if math.isclose(at[0] * at[1] ** 2, chosen[0] * chosen[1] ** 2, rel_tol=1e-6)
    ]
    for x, y in (corner[at] for at in equal if len(equal) > 1):
        for start, end in ((0, 0.24), (0.76, 1)):  # around the number
            ends = [(x + part * width, y + part * height) for part in (start, end)]
            parts += [line(ends, "white", 4), line(ends, ACCENT, 2)]
    x, y = corner[chosen]
    parts.append(box(x + 1, y + 1, width - 2, height - 2, "none", ACCENT, 3, 3))
    for j, b in enumerate(lrs):
        parts.append(
            words(
                left + width * (j + 0.5),
                280,
                f"{b:g}",
                10.5,
                ACCENT if b == chosen[1] else GREY,
                "middle",
                b == chosen[1],
            )
        )
    for i, a in enumerate(alphas):
        parts.append(
            words(
                left - 7,
                264 - height * (i + 0.5) + 4,
                f"{a:g}",
                10.5,
                ACCENT if a == chosen[0] else GREY,
                "end",
                a == chosen[0],
            )
        )
    return "".join(
        [
            *parts,
            words(left + width * len(lrs) / 2, 297, "learning rate", 11, INK, "middle"),
            words(left - 7, 255 - height * len(alphas), "alpha", 11, INK, "end"),
        ]
    )


def alpha_view(cells: Mapping[tuple[float, float], Cell], alpha: float, lr: float) -> Drawing:
    """What alpha and the learning rate do together: task and skills over a grid of runs (see
    `cells`), one of them in numbers.

    LoRA adds (alpha/r) · B A, the product of √(alpha/r) B and √(alpha/r) A. Adam moves each of
    these two by √(alpha/r) · lr a step, whatever the gradient's size: so squares with the same
    √alpha · lr are joined (A's random start apart).
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
        draw_squares(cells, "task", "task right, %", 62, (alpha, lr)),
        draw_squares(cells, "skills", "skills still right, %", 348, (alpha, lr)),
        words(
            62, 318, "Along the red marks √alpha · lr stays the same. Darker is better.", 10.5, GREY
        ),
        *(
            tile(610, 78 + 44 * i, value, label, ACCENT)
            for i, (label, value) in enumerate(facts.items())
        ),
    ]
    for i, (label, share) in enumerate(
        {"task right": cell.task, "skills right": cell.skills}.items() if cell else ()
    ):
        mean, low, high = (100 * value for value in share)
        parts.append(tile(610, 170 + 44 * i, f"{mean:.1f} %", f"{label}, {low:.1f} to {high:.1f}"))
    seeds = (
        "no run here" if cell is None else f"{cell.seeds} seed{'s' * (cell.seeds > 1)}: mean, range"
    )
    parts.append(words(610, 258 if cell else 170, seeds, 10.5, GREY))
    return drawing(
        "alpha and the learning rate", parts, text, f"r = {r}, alpha = {alpha:g}, lr = {lr:g}"
    )


def explore_alphas(rows: Sequence[Mapping]) -> Panel:
    """Choose alpha and the learning rate in a grid of finished runs, such as `grids.read()`, and
    see `alpha_view`.
    """
    grid = cells(rows)
    values = [sorted({at[k] for at in grid}) for k in (0, 1)]

    def alpha_lr(alpha: float, lr: float) -> Drawing:
        return alpha_view(grid, alpha, lr)

    middle = {name: v[len(v) // 2] for name, v in zip(("alpha", "lr"), values, strict=True)}
    return Panel(alpha_lr, start=middle, alpha=values[0], lr=values[1])
