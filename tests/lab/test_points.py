"""The points of the grids, each once and with every seed; and rows, as old files have them."""

import dataclasses
from collections import Counter
from dataclasses import replace

import pytest

from ftkit import data, lab, studies
from ftkit.lab import grids, points, runner
from ftkit.lab.points import LongRow, LongRun, LoraRow, Point, Row, Scores, read_row
from ftkit.world import World


@pytest.mark.parametrize("grid", runner.GRIDS)
def test_every_run_is_asked_for_once_and_with_every_seed(grid):
    # but for a base that is measured as it is, for which no seed decides anything
    found = runner.find_grid(grid).points()
    alone = studies.points.SAME
    asked = [p for p in found if getattr(p, "lr", 1) and getattr(p, "arm", "") not in alone]
    assert len(set(asked)) == len(asked)
    without_seed = Counter(replace(point, seed=None) for point in asked)
    assert set(without_seed.values()) == {len(lab.SEEDS)}
    assert {point.seed for point in asked} == set(lab.SEEDS)


def test_the_targets_share_one_budget():
    """r · Σ (d_in + d_out) of one layer, against rank 8 on all seven, never above and never more
    than 3 % below.
    """
    sides = {
        "q_proj": 512,
        "k_proj": 384,
        "v_proj": 384,
        "o_proj": 512,
        "gate_proj": 768,
        "up_proj": 768,
        "down_proj": 768,
    }
    whole = 8 * sum(sides.values())
    for targets, r in lab.BUDGET.items():
        assert 0.97 * whole < r * sum(sides[t] for t in targets) <= whole


def test_the_field_has_a_word_for_a_point():
    words = {"lora": Point(), "full": Point(r=0), "qlora": Point(quant="nf4")}
    words["dora"] = Point(dora=True)
    assert {word: point.method for word, point in words.items()} == {word: word for word in words}


def test_a_point_is_an_experiment():
    one = Point("facts", r=4, alpha=8, targets=("q_proj", "v_proj"), seed=3, rows=16).experiment()
    assert one.lora == {"r": 4, "alpha": 8, "targets": ["q_proj", "v_proj"]}
    assert (one.model, one.data, one.rows, one.recipe.seed) == ("pocket", "facts", 16, 3)
    assert not one.recipe.keep_best
    assert Point(dora=True).experiment().lora["use_dora"] is True
    assert Point(r=0).experiment().lora is None


def test_every_run_of_the_playground_is_short_and_validated_after_each_epoch():
    for point in points.playground_points():
        assert (point.rows, point.batch_size, point.evaluations) == (96, 4, point.epochs)


def test_the_new_facts_are_new():
    facts, known = data.load("facts"), World()
    assert len(facts["train"]) == len(facts["test"]) == 240
    asked = {m[0]["content"] for m in facts["train"]["messages"]} & {
        m[0]["content"] for m in facts["test"]["messages"]
    }
    assert not asked, "the test rows ask in other words"
    assert [m[-1] for m in facts["train"]["messages"]] == [m[-1] for m in facts["test"]["messages"]]
    text = " ".join(m[0]["content"] for m in facts["train"]["messages"])
    assert not [f.entity for f in known.facts if f.entity in text]


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
