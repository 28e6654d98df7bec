"""Make the runs of a grid, once: `python -m ftkit grid NAME` writes data/grids/NAME.json.

A row is one training run with everything that was measured on it; the file says with which versions
and how long it took. Runs that are already there are not made again, so that an interrupted command
goes on where it stopped, and several workers may share a folder. What a run measures is in
`measuring` and `epochs`; finished grids are read by `grids`.
"""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import data_path, write_rows
from . import epochs
from .epochs import LongRun
from .measuring import measure, observe
from .points import Point, lora_points, playground_points


@dataclass(frozen=True)
class Grid:
    """What a grid holds, and how one of its points is measured: a row of JSON values."""

    points: Callable[[], list]
    measure: Callable[[object], dict]
    point: type  # the dataclass whose fields tell a row's point


GRIDS = {
    "lora": Grid(lora_points, measure, Point),
    "playground": Grid(playground_points, observe, Point),
    "epochs": Grid(epochs.points, epochs.observe, LongRun),
}


def grid_points(name: str = "lora") -> list:
    """Every run of a grid."""
    return GRIDS[name].points()


def key(row: Mapping, point: type = Point) -> str:
    """What makes a row unique, as text; what an older row does not state has the field's default."""
    stated = {f.name: row.get(f.name, f.default) for f in dataclasses.fields(point)}
    return json.dumps(stated)


def compact(row: object) -> object:
    """Numbers to five digits: a grid is read, not recomputed."""
    if isinstance(row, dict):
        return {k: compact(v) for k, v in row.items()}
    if isinstance(row, list | tuple):
        return [compact(v) for v in row]
    return float(f"{row:.5g}") if isinstance(row, float) else row


def finished(folder: Path, grid: Grid) -> dict[str, dict]:
    """The rows that earlier or neighbouring commands have left in `folder`, by key."""
    rows = {}
    for file in sorted(folder.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            rows[key(row, grid.point)] = row
    return rows


def make_grid(
    name: str,
    parts: Path | None = None,
    worker: int = 0,
    workers: int = 1,
    say: Callable[[str], object] = lambda _: None,
) -> Path | None:
    """Make this worker's share of the runs; whoever finishes the last one writes data/grids/NAME.json.

    parts: a folder for finished rows, build/grids/NAME by default. Returns the path written, or
    None while runs of other workers are missing. Raises UserError for a grid that is not known.
    """
    if name not in GRIDS:
        raise UserError(
            f"there is no grid {name!r}; give one of {', '.join(GRIDS)}.{nearest(name, GRIDS)}"
        )
    grid = GRIDS[name]
    parts = parts or Path("build", "grids", name)
    parts.mkdir(parents=True, exist_ok=True)
    keys = {key(dataclasses.asdict(point), grid.point): point for point in grid.points()}
    # every run of this share that nobody has made yet
    with (parts / f"{worker}-of-{workers}.jsonl").open("a", encoding="utf-8") as file:
        for text, point in list(keys.items())[worker::workers]:
            if text in finished(parts, grid):
                continue
            began = time.perf_counter()
            file.write(json.dumps(compact(grid.measure(point))) + "\n")
            file.flush()
            say(f"{text} in {time.perf_counter() - began:.0f} s")
    # the whole grid, once nothing is missing
    rows = finished(parts, grid)
    if any(text not in rows for text in keys):
        return None
    in_order = [rows[text] for text in keys]
    head = {"command": f"python -m ftkit grid {name}"}
    seconds = {"training_seconds": round(sum(row["seconds"] for row in in_order))}
    return write_rows(data_path("grids", f"{name}.json"), head, in_order, seconds)
