"""Finished grids of runs, as lessons read them: one row per run, and curves over seeds.

    read("lora")                the rows of a grid that ships with the kit
    select(rows, r=8)           those that agree
    curve(rows, "task", "lr")   mean and range over seeds, along a column
    difference(rows, others)    between runs of the same seeds, with its interval

What the columns mean stands in `points`. Nothing is trained here: `python -m ftkit grid
NAME` makes a grid again (`runner`). Used in notebooks 01, 02, 07, 09, 09b and 10.
"""

import dataclasses
import json
import operator
import statistics
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from .. import models, prefer, probes, studies, ward
from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.statistics import Interval, mean_and_range, mean_over_seeds
from .points import MODEL, LongRow, LoraRow, PlaygroundRow, RealRow, Row, read_row

ROWS = {
    "lora": LoraRow,
    "playground": PlaygroundRow,
    "epochs": LongRow,
    "real": RealRow,
    "ward": ward.WardRow,
    "healthy": ward.HealthyRow,
    "data": studies.DataRow,
    "methods": studies.MethodRow,
    "ranks": studies.RankRow,
    "deciding": studies.DecidingRow,
    "preferences": prefer.PreferenceRow,
    "safety": probes.SafetyRow,
}

AnyRow = TypeVar("AnyRow")
Value = str | Callable[[Any], float]  # a column of a row, or what reads a number off a row


class CurvePoint(NamedTuple):
    """What runs measured at one x: the mean, and the lowest and highest over their seeds."""

    x: float
    value: float
    low: float
    high: float


def read(name: str = "lora") -> list[Any]:
    """The rows of a grid that ships with the kit: `ROWS` names their kind.

    Raises UserError for a grid that is not there.
    """
    path = data_path("grids", f"{name}.json")
    if name not in ROWS or not path.is_file():
        shipped = sorted(file.stem for file in path.parent.glob("*.json"))
        raise UserError(
            f"there is no grid {name!r}; the kit ships {', '.join(shipped)}."
            + nearest(name, shipped)
        )
    stored = json.loads(path.read_text(encoding="utf-8"))["rows"]
    return [read_row(ROWS[name], columns) for columns in stored]


def select(rows: Iterable[AnyRow], /, **where: object) -> list[AnyRow]:
    """The rows whose columns have these values: select(rows, data="tickets", r=0)."""
    return [row for row in rows if all(getattr(row, k) == v for k, v in where.items())]


def cuts(rows: Iterable[LoraRow]) -> list[LoraRow]:
    """The truncations of full updates as rows of their own: r is the rank that was kept.

    Where nothing was cut off r is the full rank, the width of the model.
    """
    full_rank = models.architecture.read(MODEL)["hidden_size"]
    truncated = []
    for row in rows:
        for rank, scores in (row.truncated or {}).items():
            r = full_rank if rank == "full" else int(rank)
            truncated.append(dataclasses.replace(row, r=r, **vars(scores)))
    return truncated


def skill(row: Row) -> float:
    """The mean over a row's skills, from 0 to 1."""
    return statistics.fmean(row.skills.values())


def curve(rows: Iterable[Any], value: Value = "task", x: str = "r") -> list[CurvePoint]:
    """A value along a column, such as the task score by rank: mean and range over seeds."""
    number = reader(value)
    return gather_curve((getattr(row, x), number(row)) for row in rows)


def gather_curve(pairs: Iterable[tuple[float, float]]) -> list[CurvePoint]:
    """(x, value) pairs with several values at each x, as a curve: mean and range, by rising x."""
    values: dict[float, list[float]] = {}
    for x, value in pairs:
        values.setdefault(x, []).append(value)
    return [CurvePoint(x, *mean_and_range(values[x])) for x in sorted(values)]


def difference(rows: Iterable[Any], others: Iterable[Any], value: Value = "task") -> Interval:
    """The mean of value(row) − value(other) over runs with the same seed, and its 95 % interval.

    Raises UserError where fewer than two seeds are in both.
    """
    number = reader(value)
    first = {row.seed: number(row) for row in rows}
    return difference_by_seed(first, {row.seed: number(row) for row in others})


def difference_by_seed(first: Mapping[int, float], second: Mapping[int, float]) -> Interval:
    """The mean of first − second over the seeds that both have, and its 95 % t-interval.

    See `core.statistics.mean_over_seeds`. Raises UserError for fewer than two seeds, or too many.
    """
    changes = [first[seed] - second[seed] for seed in first if seed in second]
    if len(changes) < 2:
        shared = "1 seed is" if changes else "no seeds are"
        raise UserError(
            f"{shared} in both; an interval needs two runs or more with the same seeds."
        )
    return mean_over_seeds(changes)


def reader(value: Value) -> Callable[[Any], float]:
    """What reads a number off a row: a column's name, or a function, which is taken as it is."""
    return operator.attrgetter(value) if isinstance(value, str) else value
