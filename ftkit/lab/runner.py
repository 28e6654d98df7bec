"""Make the runs of a grid, once: `python -m ftkit grid NAME` writes data/grids/NAME.json.

    make_grid(name)   every run that nobody has made yet; the file, once all are there

Every finished run is a line in a folder of parts before the next one starts. So an interrupted
command goes on where it stopped, and several workers may share a folder. What a run is and what is
measured on it stand in `points`, `measuring` and `epochs`; finished grids are read by `grids`.
"""

import contextlib
import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import prefer, probes, studies, ward
from ..core.errors import UserError, is_whole, nearest
from ..core.files import data_path, write_rows
from . import epochs
from .measuring import measure_lora, measure_playground, measure_real
from .points import (
    LongRun,
    Point,
    RealRun,
    lora_points,
    playground_points,
    read_row,
    real_points,
)


@dataclass(frozen=True)
class Grid:
    """What a grid holds, and how one of its runs is made and measured."""

    point: type  # the dataclass of its points: what decides a run
    points: Callable[[], list]
    measure: Callable[[Any], Any]  # a point in, its row out: a dataclass


GRIDS = {
    "lora": Grid(Point, lora_points, measure_lora),
    "playground": Grid(Point, playground_points, measure_playground),
    "epochs": Grid(LongRun, epochs.points, epochs.measure),
    "real": Grid(RealRun, real_points, measure_real),
    "ward": Grid(ward.WardRun, ward.ward_points, ward.measure_ward),
    "healthy": Grid(ward.HealthyRun, ward.healthy_points, ward.measure_healthy),
    "data": Grid(studies.DataRun, studies.data_points, studies.measure_data),
    "methods": Grid(studies.MethodRun, studies.method_points, studies.measure_method),
    "ranks": Grid(studies.RankRun, studies.rank_points, studies.measure_rank),
    "deciding": Grid(studies.DecidingRun, studies.deciding_points, studies.measure_deciding),
    "preferences": Grid(prefer.PreferenceRun, prefer.preference_points, prefer.measure_preference),
    "safety": Grid(probes.SafetyRun, probes.safety_points, probes.measure_safety),
}


def find_grid(name: str) -> Grid:
    """A grid by its name; UserError, with the nearest spelling, for one that is not known."""
    if name not in GRIDS:
        known = ", ".join(GRIDS)
        raise UserError(f"there is no grid {name!r}; give one of {known}.{nearest(name, GRIDS)}")
    return GRIDS[name]


def make_grid(
    name: str,
    parts: Path | None = None,
    worker: int = 0,
    workers: int = 1,
    say: Callable[[str], object] = lambda _: None,
) -> Path | None:
    """Make this worker's share of the runs; whoever finishes the last one writes the grid's file.

    parts: a folder for finished rows, build/grids/NAME by default. Returns the path written, or
    None while runs of other workers are missing. Raises UserError for a grid that is not known and
    for a worker that is not one of so many.
    """
    grid = find_grid(name)
    if not (is_whole(worker) and is_whole(workers) and 0 <= worker < workers):
        raise UserError(
            f"worker is {worker!r} of {workers!r}; give workers from 1 on, and a worker from 0 to "
            "one less."
        )
    parts = parts or Path("build", "grids", name)
    parts.mkdir(parents=True, exist_ok=True)
    points = grid.points()
    make_share(grid, points[worker::workers], parts / f"{worker}-of-{workers}.jsonl", say)
    # the whole grid, once nothing is missing
    rows = finished_rows(parts, grid)
    if any(point not in rows for point in points):
        return None
    in_order = [rows[point] for point in points]
    seconds = {"training_seconds": round(sum(row["seconds"] for row in in_order))}
    head = {"command": f"python -m ftkit grid {name}"}
    return write_rows(data_path("grids", f"{name}.json"), head, in_order, seconds)


def make_share(grid: Grid, points: list, file: Path, say: Callable[[str], object]) -> None:
    """Make those of the points that nobody has made yet, and append a line to `file` for each."""
    took: list[float] = []
    for place, point in enumerate(points, 1):
        # asked before every run: a neighbour may have made it meanwhile
        if point in finished_rows(file.parent, grid):
            continue
        began = time.perf_counter()
        row = columns(grid.measure(point))
        append_line(file, json.dumps(row))
        # how far it is, and how long the others take if they take as long
        took.append(time.perf_counter() - began)
        to_go = statistics.fmean(took) * (len(points) - place) / 60
        far = f"{place} of {len(points)}, about {to_go:.0f} min to go"
        say(f"{point} in {took[-1]:.0f} s; {far}")


def append_line(file: Path, line: str) -> None:
    """Add a line of its own, also behind one that a killed command left without its end."""
    before = file.read_text(encoding="utf-8") if file.is_file() else ""
    torn = before and not before.endswith("\n")
    with file.open("a", encoding="utf-8") as end:
        end.write(f"\n{line}\n" if torn else f"{line}\n")


def finished_rows(folder: Path, grid: Grid) -> dict[Hashable, dict]:
    """{point: its row's columns} of all that earlier or neighbouring commands left in `folder`.

    A line that is no JSON was torn when its command was killed: that run is to be made again.
    """
    rows = {}
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                row = json.loads(line)
                rows[read_row(grid.point, row)] = row
    return rows


def columns(row: Any) -> dict:
    """A row, which is a dataclass, as JSON values; numbers to five digits, for a grid is read."""
    return {name: compact(value) for name, value in dataclasses.asdict(row).items()}


def compact(value: object) -> object:
    """Every float inside to five digits, and tuples as lists."""
    if isinstance(value, dict):
        return {key: compact(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [compact(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value
