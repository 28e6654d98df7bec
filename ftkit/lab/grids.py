"""Grids of whole runs, made once and read by lessons: `python -m ftkit.grids playground` writes
data/grids/playground.json.

A row is one training run with everything that was measured on it; the file says with which versions
and how long it took. Runs that are already there are not made again, so that an interrupted command
goes on where it stopped.
"""

import json
import math
import statistics
from collections.abc import Callable

from ..core.errors import UserError
from ..core.files import data_path

STUDENT = (
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
)  # 97.5 % quantiles of t by degrees of freedom, from 1


def read(name: str = "lora") -> list[dict]:
    """The rows of a grid that ships with the kit."""
    path = data_path("grids", f"{name}.json")
    if not path.is_file():
        raise UserError(
            f"there is no grid {name!r}; the kit ships {', '.join(p.stem for p in sorted(path.parent.glob('*.json')))}."
        )
    return json.loads(path.read_text(encoding="utf-8"))["rows"]


def select(rows: list[dict], **where) -> list[dict]:
    """The rows that agree with every keyword."""
    return [
        row
        for row in rows
        if all(row[k] == (list(v) if isinstance(v, tuple) else v) for k, v in where.items())
    ]


def cuts(rows: list[dict]) -> list[dict]:
    """The truncations of full updates as rows of their own: r is the rank that was kept, 256 where
    nothing was cut off.
    """
    return [
        {**row, **scores, "r": 256 if r == "full" else int(r)}
        for row in rows
        for r, scores in row.get("truncated", {}).items()
    ]


def skill(row: dict) -> float:
    """The mean over a row's skills."""
    return statistics.fmean(row["skills"].values())


def curve(
    rows: list[dict], value: str | Callable[[dict], float] = "task", x: str = "r"
) -> list[tuple[float, float, float, float]]:
    """(x, mean, lowest, highest) of a value over seeds, by x: with three runs the range says more
    than a standard error.
    """
    read_off = value if callable(value) else lambda row: row[value]
    found: dict[float, list[float]] = {}
    for row in rows:
        found.setdefault(row[x], []).append(read_off(row))
    return [(place, statistics.fmean(v), min(v), max(v)) for place, v in sorted(found.items())]


def paired(
    rows: list[dict], others: list[dict], value: str | Callable[[dict], float] = "task"
) -> tuple[float, float, float]:
    """(mean, low, high) of value(row) − value(other) over runs with the same seed; 95 % interval by
    Student's t.
    """
    read_off = value if callable(value) else lambda row: row[value]
    before = {row["seed"]: read_off(row) for row in others}
    changes = [read_off(row) - before[row["seed"]] for row in rows if row["seed"] in before]
    if not 2 <= len(changes) <= len(STUDENT) + 1:
        raise UserError(
            f"{len(changes)} seeds are in both; an interval needs 2 to {len(STUDENT) + 1} runs with the same seeds."
        )
    mean, half = (
        statistics.fmean(changes),
        STUDENT[len(changes) - 2] * statistics.stdev(changes) / math.sqrt(len(changes)),
    )
    return mean, mean - half, mean + half
