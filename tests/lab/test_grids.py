"""Finished grids: read, selected, gathered over seeds, and compared seed by seed."""

from types import SimpleNamespace

import pytest

from ftkit import UserError, lab
from ftkit.core.statistics import STUDENT, Interval
from ftkit.lab import grids, runner
from ftkit.lab.points import LoraRow, Scores


def run(**columns):
    return SimpleNamespace(**columns)


def lora_row(**columns):
    measured = {"trainable": 1, "loss": 0.1, "skills": {}, "size": 0.1, "seconds": 1.0}
    return LoraRow(**measured, ranks={}, intruders=0, **columns)


def test_a_curve_is_the_mean_and_the_range_over_seeds():
    rows = [
        run(r=r, seed=s, task=r / 10 + s / 100, skills={"a": 1.0, "b": s / 2})
        for r in (2, 1)
        for s in (0, 1, 2)
    ]
    curve = grids.curve(rows)
    assert [pytest.approx(p) for p in curve] == [(1, 0.11, 0.1, 0.12), (2, 0.21, 0.2, 0.22)]
    assert (curve[0].x, curve[0].low) == (1, 0.1)
    assert grids.curve(grids.select(rows, r=1), grids.skill) == [(1, 0.75, 0.5, 1.0)]
    assert len(grids.select(rows, r=1, seed=2)) == 1
    assert grids.gather_curve((row.r, row.task) for row in rows) == curve


def test_pairs_by_seed_and_says_how_sure_it_is():
    """Of the changes .1, .2, .3: mean .2, standard error .1/√3, and t = 4.303 with two degrees of
    freedom.
    """
    before = [run(seed=s, task=0.5) for s in (2, 0, 1)]
    after = [run(seed=s, task=0.6 + s / 10) for s in range(3)]
    change = grids.difference(after, before)
    assert isinstance(change, Interval)
    half = 4.303 * 0.1 / 3**0.5
    assert change == pytest.approx((0.2, 0.2 - half, 0.2 + half))
    assert change == grids.difference_by_seed({0: 0.6, 1: 0.7, 2: 0.8}, {1: 0.5, 0: 0.5, 2: 0.5})
    with pytest.raises(UserError, match="1 seed is in both; an interval needs two runs or more"):
        grids.difference(after[:1], before)


def test_students_quantiles_leave_one_in_forty_above():
    """The density of t is integrated from 0 to the quantile: 0.975 − 0.5."""
    from math import gamma, pi, sqrt

    for n, t in enumerate(STUDENT, 1):
        scale = gamma((n + 1) / 2) / (sqrt(n * pi) * gamma(n / 2))
        step = t / 20_000
        places = ((i + 0.5) * step for i in range(20_000))
        area = sum(scale * (1 + x * x / n) ** (-(n + 1) / 2) * step for x in places)
        assert area == pytest.approx(0.475, abs=2e-5), n


def test_truncations_become_rows():
    """The full rank of the pocket model's matrices is its width, 256."""
    cut = {"4": Scores(0.5, {"a": 0.9}), "full": Scores(0.9, {"a": 0.8})}
    rows = [lora_row(r=0, task=0.9, lr=1e-3, truncated=cut), lora_row(r=8, task=1.0)]
    found = grids.cuts(rows)
    assert [(row.r, row.task, row.skills["a"]) for row in found] == [(4, 0.5, 0.9), (256, 0.9, 0.8)]
    assert {row.lr for row in found} == {1e-3}


def test_an_unknown_grid_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"no grid 'loar'; the kit ships .*Did you mean 'lora'\?"):
        grids.read("loar")


def test_the_shipped_grid_is_the_one_that_the_command_makes():
    assert [row.point for row in grids.read()] == runner.find_grid("lora").points()


def test_the_shipped_playground_holds_whole_settings_of_its_plan():
    found = [row.point for row in grids.read("playground")]
    assert set(found) <= set(runner.find_grid("playground").points())
    assert len(set(found)) == len(found)
    settings = {}
    for row in grids.read("playground"):
        settings.setdefault(lab.points.replace(row.point, seed=0), set()).add(row.seed)
    assert set(map(tuple, settings.values())) == {lab.SEEDS}
