"""Rows: read from columns as old files have them, and the point that they were measured at."""

import dataclasses

import pytest

from ftkit.lab import grids
from ftkit.lab.epochs import LongRow, LongRun
from ftkit.lab.points import Point
from ftkit.lab.rows import LoraRow, Row, Scores, read_row

MEASURED = {"trainable": 1, "loss": 0.1, "task": 0.5, "skills": {"a": 1.0}, "size": 0.1}
COLUMNS = {**MEASURED, "seconds": 2.0, "r": 4, "targets": ["q_proj"], "no_field": 7}


def test_a_row_is_its_point_and_what_was_measured():
    row = read_row(Row, COLUMNS)
    assert row.point == read_row(Point, COLUMNS) == Point(r=4, targets=("q_proj",))
    assert (row.task, row.skills, row.lr) == (0.5, {"a": 1.0}, Point().lr)


def test_truncations_are_scores():
    more = {"ranks": {"0.5": 0.1}, "intruders": 0, "truncated": {"8": {"task": 1.0, "skills": {}}}}
    assert read_row(LoraRow, COLUMNS | more).truncated == {"8": Scores(1.0, {})}
    assert read_row(LoraRow, COLUMNS | more | {"truncated": None}).truncated is None


def test_a_row_without_a_column_is_refused():
    with pytest.raises(TypeError, match="'task'"):
        read_row(Row, {name: value for name, value in COLUMNS.items() if name != "task"})


@pytest.mark.parametrize("name", grids.ROWS)
def test_every_column_of_a_shipped_grid_is_a_field(name):
    """But `method`, which the point says itself."""
    stored = grids.json.loads(grids.data_path("grids", f"{name}.json").read_text())["rows"]
    fields = {field.name for field in dataclasses.fields(grids.ROWS[name])}
    for columns, row in zip(stored, grids.read(name), strict=True):
        assert columns.keys() - fields <= {"method"}
        if "method" in columns:
            assert columns["method"] == row.method
        seen = columns.keys() & {"seed", "lr", "task", "seconds", "scores"}
        assert {"seed", "seconds"} <= seen
        assert all(getattr(row, k) == columns[k] for k in seen)


def test_a_long_row_is_a_long_run():
    assert dataclasses.fields(LongRow)[:4] == dataclasses.fields(LongRun)
