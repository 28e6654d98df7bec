"""Grids: what is in them, how they go on after an interruption, and what is read off them."""

import dataclasses
import json

import pytest

from ftkit import UserError, data, lab
from ftkit.lab import grids, measuring, points, runner


@pytest.mark.parametrize("grid", runner.GRIDS)
def test_every_run_is_asked_for_once_and_with_every_seed(grid):
    points = runner.grid_points(grid)
    assert len({p.key for p in points}) == len(points)
    assert {p.seed for p in points} == set(lab.SEEDS)
    by_seed = [
        {p.key.replace(f'"seed": {s}', "") for p in points if p.seed == s} for s in lab.SEEDS
    ]
    assert by_seed[0] == by_seed[1] == by_seed[2]


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


def test_a_run_is_measured():
    row = measuring.measure(points.Point("facts", r=2, alpha=4, lr=5e-3, epochs=1))
    assert row["trainable"] == 32_768
    assert 0 <= row["task"] <= row["stored"] + 0.1 <= 1.1
    assert set(row["skills"]) >= {"known", "copy", "refusal"}
    assert row["ranks"]["0.99"] <= 2 / 128
    assert row["size"] > 0
    assert json.loads(json.dumps(runner.compact(row)))["loss"] == pytest.approx(
        row["loss"], rel=1e-4
    )


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A grid of three points whose runs cost nothing; `made` says which were made."""
    made = []
    three = [points.Point(seed=s) for s in range(3)]
    for room in (grids, runner):
        monkeypatch.setattr(room, "data_path", lambda *parts: tmp_path.joinpath(*parts))

    def measure(point):
        made.append(point.seed)
        return {**dataclasses.asdict(point), "task": 0.5 + point.seed / 10, "seconds": 1.0}

    monkeypatch.setitem(runner.GRIDS, "lora", runner.Grid(lambda: three, measure, points.Point))
    return made


def test_two_workers_share_the_points_and_the_last_one_writes(small, tmp_path):
    runner.make_grid("lora", tmp_path / "parts", 0, 2)
    assert small == [0, 2]
    assert not (tmp_path / "grids").exists()
    runner.make_grid("lora", tmp_path / "parts", 1, 2)
    assert small == [0, 2, 1]
    runner.make_grid("lora", tmp_path / "parts", 0, 1)
    assert small == [0, 2, 1], "nothing is made twice"
    rows = grids.read()
    assert [row["task"] for row in rows] == [0.5, 0.6, 0.7]
    stated = json.loads((tmp_path / "grids" / "lora.json").read_text())
    assert stated["command"] == "python -m ftkit grid lora"
    assert stated["training_seconds"] == 3
    with pytest.raises(UserError, match="no grid 'loar'; the kit ships lora"):
        grids.read("loar")


def test_a_curve_is_the_mean_and_the_range_over_seeds():
    rows = [
        {"r": r, "seed": s, "task": r / 10 + s / 100, "skills": {"a": 1.0, "b": s / 2}}
        for r in (2, 1)
        for s in (0, 1, 2)
    ]
    assert [pytest.approx(p) for p in grids.curve(rows)] == [
        (1, 0.11, 0.1, 0.12),
        (2, 0.21, 0.2, 0.22),
    ]
    assert grids.curve(grids.select(rows, r=1), grids.skill) == [(1, 0.75, 0.5, 1.0)]
    assert len(grids.select(rows, r=1, seed=2)) == 1


def test_pairs_by_seed_and_says_how_sure_it_is():
    """Of the changes .1, .2, .3: mean .2, standard error .1/√3, and t = 4.303 with two degrees of
    freedom.
    """
    before = [{"seed": s, "task": 0.5} for s in (2, 0, 1)]
    after = [{"seed": s, "task": 0.6 + s / 10} for s in range(3)]
    assert grids.paired(after, before) == pytest.approx(
        (0.2, 0.2 - 4.303 * 0.1 / 3**0.5, 0.2 + 4.303 * 0.1 / 3**0.5)
    )
    with pytest.raises(UserError, match="1 seeds are in both"):
        grids.paired(after[:1], before)


def test_truncations_become_rows():
    row = {"r": 0, "task": 0.9, "truncated": {"4": {"task": 0.5}, "full": {"task": 0.9}}}
    assert [(cut["r"], cut["task"]) for cut in grids.cuts([row, {"r": 8, "task": 1.0}])] == [
        (4, 0.5),
        (256, 0.9),
    ]


def test_the_shipped_grid_is_the_one_that_the_command_makes():
    assert [lab.as_point(row).key for row in grids.read()] == [p.key for p in runner.grid_points()]


def test_the_shipped_playground_holds_whole_settings_of_its_plan():
    keys = [lab.as_point(row).key for row in grids.read("playground")]
    planned = {p.key for p in runner.grid_points("playground")}
    assert set(keys) <= planned
    assert len(set(keys)) == len(keys)
    assert {
        tuple(k.replace(f'"seed": {one}', f'"seed": {s}') in keys for s in lab.SEEDS)
        for one in lab.SEEDS
        for k in keys
        if f'"seed": {one}' in k
    } == {(True, True, True)}


def test_a_point_of_the_plane_is_observed():
    point = points.Point(
        r=4, rows=16, batch_size=8, epochs=1, evaluations=1, replay=0.2, replayed="self", kl=0.5
    )
    row = json.loads(json.dumps(runner.compact(measuring.observe(point))))
    assert lab.as_point(row) == point
    assert lab.experiment_of(row) == point.experiment()
    assert row["method"] == "lora"
    assert 0 < row["kl_general"] < row["kl_task"]
    assert [step for step, _ in row["curve"]] == [1, 2, 3]
    assert len(row["validation"]) == 1


def test_the_new_facts_are_new():
    facts, known = data.load("facts"), grids.forgetting.World()
    assert len(facts["train"]) == len(facts["test"]) == 240
    asked = {m[0]["content"] for m in facts["train"]["messages"]} & {
        m[0]["content"] for m in facts["test"]["messages"]
    }
    assert not asked, "the test rows ask in other words"
    assert [m[-1] for m in facts["train"]["messages"]] == [m[-1] for m in facts["test"]["messages"]]
    text = " ".join(m[0]["content"] for m in facts["train"]["messages"])
    assert not [f.entity for f in known.facts if f.entity in text]
