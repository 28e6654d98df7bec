"""The runner: shares, an interruption, a torn line, and the file that the last worker writes."""

import json
from dataclasses import dataclass

import pytest

from ftkit import UserError
from ftkit.lab import grids, runner
from ftkit.lab.points import Point


@dataclass(frozen=True, kw_only=True)
class SmallRow(Point):
    task: float
    seconds: float = 1.0


@pytest.fixture
def made(monkeypatch, tmp_path):
    """The seeds of the runs made of a grid of three points, whose runs cost nothing."""
    made = []
    for room in (grids, runner):
        monkeypatch.setattr(room, "data_path", lambda *parts: tmp_path.joinpath(*parts))

    def measure(point):
        made.append(point.seed)
        return SmallRow(**vars(point), task=0.5 + point.seed / 10)

    small = runner.Grid(Point, lambda: [Point(seed=s) for s in range(3)], measure)
    monkeypatch.setitem(runner.GRIDS, "lora", small)
    monkeypatch.setitem(grids.ROWS, "lora", SmallRow)
    return made


def test_two_workers_share_the_points_and_the_last_one_writes(made, tmp_path):
    told = []
    assert runner.make_grid("lora", tmp_path / "parts", 0, 2, told.append) is None
    assert made == [0, 2]
    assert not (tmp_path / "grids").exists()
    path = runner.make_grid("lora", tmp_path / "parts", 1, 2)
    assert (made, path) == ([0, 2, 1], tmp_path / "grids" / "lora.json")
    runner.make_grid("lora", tmp_path / "parts", 0, 1)
    assert made == [0, 2, 1], "nothing is made twice"
    assert [row.task for row in grids.read()] == [0.5, 0.6, 0.7]
    stated = json.loads(path.read_text())
    assert stated["command"] == "python -m ftkit grid lora"
    assert stated["training_seconds"] == 3
    assert len(told) == 2
    assert "seed=2" in told[1]
    with pytest.raises(UserError, match="no grid 'loar'; the kit ships lora"):
        grids.read("loar")


def test_a_line_torn_by_a_kill_is_made_again(made, tmp_path):
    parts = tmp_path / "parts"
    runner.make_grid("lora", parts, 0, 3)
    (file,) = parts.glob("*.jsonl")
    whole = file.read_text()
    file.write_text(whole + whole[:40])
    runner.make_grid("lora", parts, 0, 3)
    assert made == [0], "the whole line before it counts"
    file.write_text(whole[:40])
    runner.make_grid("lora", parts, 0, 3)
    assert made == [0, 0]
    assert file.read_text() == f"{whole[:40]}\n{whole}"


def test_rows_that_older_commands_left_count(made, tmp_path):
    """They state less, and what they leave out is as it was then: the default."""
    parts = tmp_path / "parts"
    parts.mkdir()
    old = {"data": "tickets", "r": 8, "alpha": 16.0, "seed": 1, "targets": "all-linear"}
    (parts / "rows.jsonl").write_text(json.dumps({**old, "task": 0.25, "seconds": 4}) + "\n")
    runner.make_grid("lora", parts)
    assert made == [0, 2]
    assert [row.task for row in grids.read()] == [0.5, 0.25, 0.7]


@pytest.mark.parametrize(
    ("name", "worker", "workers", "message"),
    [
        (
            "loar",
            0,
            1,
            r"no grid 'loar'; give one of lora, playground, .*safety\. Did you mean 'lora'",
        ),
        ("lora", 2, 2, "worker is 2 of 2"),
        ("lora", -1, 2, "worker is -1 of 2"),
        ("lora", 0, 0, "worker is 0 of 0"),
    ],
)
def test_what_can_not_be_made_is_refused_and_leaves_nothing(
    tmp_path, name, worker, workers, message
):
    with pytest.raises(UserError, match=message):
        runner.make_grid(name, tmp_path / "parts", worker, workers)
    assert not (tmp_path / "parts").exists()


def test_numbers_are_stored_to_five_digits():
    value = {"a": [0.123456789, (1, 2.0)], "b": "text", "c": None}
    assert runner.compact(value) == {"a": [0.12346, [1, 2.0]], "b": "text", "c": None}
