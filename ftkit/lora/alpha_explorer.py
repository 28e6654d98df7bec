"""Alpha and the learning rate together: a grid of finished runs as two heat maps.

    alpha_grid(rows)               {(alpha, lr): Cell} of a grid's rows, means over seeds
    alpha_view(grid, alpha, lr)    task and skills over the grid, one square of it in numbers
    explore_alphas(rows)           the view behind two sliders

It draws runs that were made before and trains nothing: `lab` makes and reads the grids. Ranks are
explored in `rank_explorer`, targets in `target_explorer`. Notebook 02.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import UserError
from ..core.results import percent_in
from ..core.statistics import Range, mean_and_range
from ..show.labels import tile_column
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    drawing,
    line,
    mix,
    words,
)

Place = tuple[float, float]  # (alpha, learning rate)

# Where things stand in the picture: two maps on one ground line, then a column of tiles.
TASK_LEFT, SKILLS_LEFT, TILES_LEFT = 62, 348, 610
GROUND = 264  # the foot of both maps
MAP_WIDTH, MAP_HEIGHT = 232, 200  # at most: many squares become narrower
SQUARE_WIDTH, SQUARE_HEIGHT = 60, 52  # at most: few squares do not grow beyond
FACTS_TOP, SCORES_TOP, TILE_STEP = 78, 170, 44
NOTE = 318  # the foot of the line below everything

# Around a map: from its edge to the foot of the words above, of the rates below, of what they are;
# and from its left edge to the end of the alphas.
OVER, UNDER, UNDER_ALL, BESIDE = 9, 16, 33, 7

LABEL = 11.5  # the size of a map's title and of the numbers in it
HALF_LETTER = 4  # from the middle of a number to the line it stands on
PALEST, DARKEST = 0.04, 0.9  # how much of its colour the lowest and the highest square have
DIGITS_TURN = 0.75  # so deep a square has white digits: below it dark ones are read better


@dataclass(frozen=True)
class Cell:
    """The runs at one alpha and one learning rate: shares right, from 0 to 1, over `seeds` runs."""

    r: int
    seeds: int
    task: Range
    skills: Range

    @property
    def runs(self) -> str:
        """How many runs these are, in words: "3 seeds"."""
        return f"{self.seeds} seed{'s' * (self.seeds > 1)}"


def alpha_grid(rows: Sequence[Any]) -> dict[Place, Cell]:
    """{(alpha, learning rate): Cell} of a grid's rows.

    rows: finished runs with the attributes data, r, alpha, lr, targets, epochs, task (share right)
    and skills ({skill: share right}), as `lab.grids.read()` gives them. Of the settings in them
    (data, r, targets, epochs) the one is taken that was run at most places. Rows without any LoRA
    are a `UserError`.
    """
    # the runs of each setting by place; full fine-tuning, r = 0, has no alpha
    settings: dict[tuple, dict[Place, list]] = {}
    for row in rows:
        if row.r:
            setting = (row.data, row.r, str(row.targets), row.epochs)
            places = settings.setdefault(setting, {})
            places.setdefault((row.alpha, row.lr), []).append(row)
    if not settings:
        raise UserError(
            f"there is no LoRA run among the {len(rows)} rows; give rows with r, alpha, lr, task "
            "and skills, as lab.grids.read() has."
        )

    # sorted, so that a grid reads from the smallest alpha and learning rate on
    largest = max(settings.values(), key=len)
    return {place: summarise(runs) for place, runs in sorted(largest.items())}


def summarise(runs: Sequence[Any]) -> Cell:
    """The `Cell` of the runs at one place, which differ in their seeds alone."""
    task = mean_and_range([run.task for run in runs])
    skills = mean_and_range([statistics.fmean(run.skills.values()) for run in runs])
    return Cell(runs[0].r, len(runs), task, skills)


@dataclass(frozen=True)
class Squares:
    """Where the squares of a map stand: alpha grows upwards, the learning rate to the right."""

    left: float
    alphas: Sequence[float]
    lrs: Sequence[float]

    @property
    def width(self) -> float:
        """The width of one square."""
        return min(MAP_WIDTH / len(self.lrs), SQUARE_WIDTH)

    @property
    def height(self) -> float:
        """The height of one square."""
        return min(MAP_HEIGHT / len(self.alphas), SQUARE_HEIGHT)

    @property
    def area(self) -> Area:
        """All squares together."""
        height = self.height * len(self.alphas)
        return Area(self.left, GROUND - height, self.width * len(self.lrs), height)

    def at(self, place: Place) -> Area:
        """The square at an (alpha, learning rate)."""
        row, column = self.alphas.index(place[0]), self.lrs.index(place[1])
        left = self.left + self.width * column
        return Area(left, GROUND - self.height * (row + 1), self.width, self.height)

    def places(self) -> list[Place]:
        """Every (alpha, learning rate) on the map, whether it was run or not."""
        return [(alpha, lr) for alpha in self.alphas for lr in self.lrs]


def draw_map(squares: Squares, label: str, shares: Mapping[Place, float], chosen: Place) -> str:
    """A heat map of shares right, {(alpha, learning rate): 0 to 1}, the chosen square ringed."""
    # the scale spans a tenth at least, so that a percent or two stay pale differences
    lowest = min(0.9, *shares.values())
    title = words(squares.left, squares.area.top - OVER, label, LABEL, bold=True)
    grid = [draw_square(squares.at(place), shares.get(place), lowest) for place in squares.places()]
    # inside its square, so that the ring hides no neighbour
    ring = squares.at(chosen).shrink_to(squares.width - 2, squares.height - 2)
    ringed = ring.box("none", (ACCENT, 3), radius=3)
    return "".join(
        [title, *grid, draw_equal_steps(squares, chosen), ringed, draw_axes(squares, chosen)]
    )


def draw_square(square: Area, share: float | None, lowest: float) -> str:
    """One square with its share in percent, the darker the higher; a dash where nothing was run."""
    edge, depth, number = FAINT, 0.0, "–"
    if share is not None:
        edge, number = "white", f"{100 * share:.1f}"
        depth = PALEST + (DARKEST - PALEST) * (share - lowest) / (1 - lowest)
    ground = square.box(mix("#ffffff", PLAIN, depth), (edge, 1.5))
    ink = "white" if depth > DIGITS_TURN else INK
    x, y = square.middle
    return ground + words(x, y + HALF_LETTER, number, LABEL, ink, "middle")


def draw_equal_steps(squares: Squares, chosen: Place) -> str:
    """Marks across the squares with the same √alpha · lr as the chosen one, if there are others."""
    # √alpha · lr, squared, so that no root rounds it
    step = chosen[0] * chosen[1] ** 2
    equal = [
        (alpha, lr)
        for alpha, lr in squares.places()
        if math.isclose(alpha * lr**2, step, rel_tol=1e-6)
    ]
    if len(equal) < 2:
        return ""
    # a diagonal through each, with a gap around the number, on a white rim
    parts = []
    for square in map(squares.at, equal):
        for begin, end in ((0, 0.24), (0.76, 1)):
            ends = [
                (square.left + part * square.width, square.top + part * square.height)
                for part in (begin, end)
            ]
            parts += [line(ends, "white", 4), line(ends, ACCENT, 2)]
    return "".join(parts)


def draw_axes(squares: Squares, chosen: Place) -> str:
    """The learning rates below the map and the alphas beside it, the chosen ones in colour."""
    area, beside = squares.area, squares.left - BESIDE
    below = area.bottom + UNDER
    parts = []
    # a value per column and per row
    for lr in squares.lrs:
        x, _ = squares.at((squares.alphas[0], lr)).middle
        parts.append(draw_value(x, below, lr, "middle", chosen=lr == chosen[1]))
    for alpha in squares.alphas:
        _, y = squares.at((alpha, squares.lrs[0])).middle
        parts.append(draw_value(beside, y + HALF_LETTER, alpha, "end", chosen=alpha == chosen[0]))
    # what the values are
    parts.append(words(area.middle[0], area.bottom + UNDER_ALL, "learning rate", anchor="middle"))
    parts.append(words(beside, area.top - OVER, "alpha", anchor="end"))
    return "".join(parts)


def draw_value(x: float, y: float, value: float, anchor: str, *, chosen: bool) -> str:
    """An alpha or a learning rate, in colour where it is the chosen one."""
    colour = ACCENT if chosen else GREY
    return words(x, y, f"{value:g}", SMALL, colour, anchor, bold=chosen)


def axes_of(grid: Mapping[Place, Cell]) -> tuple[list[float], list[float]]:
    """The alphas and the learning rates of a grid, each in rising order."""
    return sorted({alpha for alpha, _ in grid}), sorted({lr for _, lr in grid})


def check_place(place: Place, grid: Mapping[Place, Cell]) -> None:
    """Refuse an alpha or a learning rate at which nothing in the grid was run."""
    for label, value, known in zip(("alpha", "lr"), place, axes_of(grid), strict=True):
        if value not in known:
            listed = ", ".join(f"{other:g}" for other in known)
            raise UserError(f"{label} is {value!r}; the grid has runs at {listed}.")


def alpha_view(grid: Mapping[Place, Cell], alpha: float, lr: float) -> Drawing:
    """What alpha and the learning rate do together: task and skills over a grid of runs.

    LoRA adds (alpha/r) · B A, the product of √(alpha/r) B and √(alpha/r) A. Adam moves each of
    these two by √(alpha/r) · lr per step, whatever the gradient's size. If A started at zero as B
    does, the same √alpha · lr would be the same run: such squares are joined, to be compared.

    grid: see `alpha_grid`; alpha, lr: the square that is told in numbers. One beside the grid is a
    `UserError`.
    """
    # what is chosen, and what was run there
    chosen = alpha, lr
    check_place(chosen, grid)
    cell = grid.get(chosen)
    r = next(iter(grid.values())).r

    # two maps of means beside each other, the tiles to their right
    axes = axes_of(grid)
    task = {place: cell.task.value for place, cell in grid.items()}
    skills = {place: cell.skills.value for place, cell in grid.items()}
    note = "Along the red marks √alpha · lr stays the same. Darker is better."
    parts = [
        draw_map(Squares(TASK_LEFT, *axes), "task right, %", task, chosen),
        draw_map(Squares(SKILLS_LEFT, *axes), "skills kept, %", skills, chosen),
        words(TASK_LEFT, NOTE, note, SMALL, GREY),
        draw_facts(r, alpha, lr),
        draw_scores(cell),
    ]

    # and all of it in a line
    text = f"r = {r}, alpha = {alpha:g} (scale {alpha / r:g}), lr = {lr:g}: {in_words(cell)}"
    return drawing(head_of(cell, alpha, lr), parts, text, f"r = {r}")


def head_of(cell: Cell | None, alpha: float, lr: float) -> str:
    """The picture's head: what the chosen square came to."""
    place = f"alpha {alpha:g} at a rate of {lr:g}"
    if cell is None:
        return f"{place} was not run"
    task, skills = 100 * cell.task.value, 100 * cell.skills.value
    return f"{place}: {task:.1f} % of the task right, {skills:.1f} % of the skills kept"


def draw_facts(r: int, alpha: float, lr: float) -> str:
    """What follows from the choice alone, as tiles."""
    facts = [
        (f"{alpha / r:g}", "alpha / r", ACCENT),
        (f"{math.sqrt(alpha) * lr:.3g}", "√alpha · lr", ACCENT),
    ]
    return tile_column(TILES_LEFT, FACTS_TOP, facts, TILE_STEP)


def draw_scores(cell: Cell | None) -> str:
    """What the runs of the chosen square came to, as tiles; None where there are none."""
    if cell is None:
        return words(TILES_LEFT, SCORES_TOP, "no run here", SMALL, GREY)
    tiles = []
    for label, share in (("task right", cell.task), ("skills kept", cell.skills)):
        mean, low, high = (100 * value for value in share)
        tiles.append((f"{mean:.1f} %", f"{label}, {low:.1f} to {high:.1f}"))
    note_at = SCORES_TOP + TILE_STEP * len(tiles)
    note = words(TILES_LEFT, note_at, f"{cell.runs}: mean, range", SMALL, GREY)
    return tile_column(TILES_LEFT, SCORES_TOP, tiles, TILE_STEP) + note


def in_words(cell: Cell | None) -> str:
    """What the runs of a square came to, for the picture's line."""
    if cell is None:
        return "no run here"
    task, skills = percent_in(*cell.task), percent_in(*cell.skills)
    return f"task right {task}, skills kept {skills}, mean and range of {cell.runs}"


def explore_alphas(rows: Sequence[Any]) -> Panel:
    """Choose alpha and the learning rate in a grid of finished runs, and see `alpha_view`.

    rows: see `alpha_grid`.
    """
    grid = alpha_grid(rows)
    alphas, lrs = axes_of(grid)

    def alpha_lr(alpha: float, lr: float) -> Drawing:
        return alpha_view(grid, alpha, lr)

    middle = {"alpha": alphas[len(alphas) // 2], "lr": lrs[len(lrs) // 2]}
    title, call = "Alpha and the learning rate together", "lora.explore_alphas(rows)"
    return Panel(alpha_lr, start=middle, title=title, call=call, alpha=alphas, lr=lrs)
