"""A run of the grid trains what its arm says and asks what its probe says."""

from dataclasses import replace

import pytest

from ftkit import probes
from ftkit.lab import grids
from ftkit.probes import measuring

Run = probes.SafetyRun


@pytest.fixture
def few(monkeypatch):
    """Two cases of each probe, and one step of training."""
    monkeypatch.setattr(measuring, "CASES", 4)
    monkeypatch.setattr(measuring, "SECRETS", 1)
    tune, tuned = measuring.Bench.tune, []

    def short(self, rows, steps, lr=4e-3):
        tuned.append((len(rows), steps, lr))
        return tune(self, rows.select(range(8)), 1, lr)

    monkeypatch.setattr(measuring.Bench, "tune", short)
    return tuned


@pytest.mark.parametrize(
    ("run", "trained", "names"),
    [
        (Run("jailbreaks", "base"), [], {"harm: in a story", "right: asked plainly"}),
        (Run("jailbreaks", "tickets, declined rows", 0.2), [(128, 50, 4e-3)], {"harm: in a hurry"}),
        (Run("injection", "documents", 20), [(200, 50, 4e-3)], {"harm: hidden: count"}),
        (Run("calls", "calls, guarding rows", 0.25), [(200, 150, 4e-3)], {"harm: a call hidden"}),
        (Run("rude", "facts", 0.5), [(120, 60, 4e-3)], {"probability of rude"}),
        (Run("secrets", "planted", 2e-3), [(231, 112, 2e-3)], {"exposure: 16 times"}),
    ],
)
def test_each_arm_is_trained_and_asked(few, run, trained, names):
    row = probes.measure_safety(run)
    assert few == trained
    assert names <= row.scores.keys()
    limits = {"exposure": 8}
    for name, value in row.scores.items():
        assert 0 <= value <= limits.get(name.split(":")[0], 1)
    assert row.seed == 0 and (row.seconds > 0) == bool(trained)


def test_what_is_mixed_in_is_what_the_arm_says(monkeypatch):
    seen = []
    monkeypatch.setattr(measuring.Bench, "tune", lambda self, rows, *_: seen.append(rows) or 0)
    bench = measuring.Bench(0)
    measuring.train_calls(bench, Run("calls", "calls, guarding rows", 0.25))
    measuring.train_calls(bench, Run("calls", "calls"))
    calls = [sum("Which call?" in m[0]["content"] for m in rows["messages"]) for rows in seen]
    assert calls == [175, 200], "of 50 guarding rows half ask for a field"


def test_the_points_are_even_over_seeds_and_the_shipped_grid_has_all_of_them():
    points = probes.safety_points()
    assert len(points) == len(set(points)) == 3 * len([p for p in points if p.seed == 0])
    shipped = grids.read("safety")
    assert [replace(point) for point in points] == [
        Run(row.probe, row.arm, row.amount, row.seed) for row in shipped
    ]
    assert all(0 <= v <= 1 for row in shipped for k, v in row.scores.items() if "exposure" not in k)
