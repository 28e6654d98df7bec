"""Runs of the grid "preferences": each study makes and measures its own, here in a few steps."""

import dataclasses

import pytest

from ftkit import prefer
from ftkit.prefer import grid_measuring, runs


def replies(model, tokenizer, rows, each, longest):
    """The right answer of each row, and a wrong one that is longer or shorter."""
    wrong = ["No.", "This is a long sentence that says nothing of what was asked at all."]
    return [[row["messages"][-1]["content"], wrong[n % 2]] * 2 for n, row in enumerate(rows)]


@pytest.fixture(scope="module", autouse=True)
def few():
    """Few rows, steps and questions; what runs start from is made of few rows, too."""
    with pytest.MonkeyPatch.context() as patch:
        drawers = {"honesty": prefer.pairs, "describing": prefer.rewards, "sorting": prefer.rewards}
        for name, owner in drawers.items():
            drawn = getattr(owner, name)
            patch.setattr(owner, name, lambda n, *a, drawn=drawn, **k: drawn(min(n, 6), *a, **k))
        patch.setattr(grid_measuring, "draw_replies", replies)
        patch.setattr(grid_measuring, "ASKED", 2)
        patch.setattr(grid_measuring, "PROBES", 1)
        patch.setattr(grid_measuring.data, "first", lambda rows, n: rows.select(range(min(n, 6))))
        patch.setattr(grid_measuring.data, "mix", lambda rows, *_: rows)
        yield
    for name in ("make_start", "measured_start", "own_pairs", "judge"):
        getattr(grid_measuring, name).cache_clear()


def kinds():
    """A run of each study and way of training, two steps long."""
    found = {}
    for run in runs.preference_points():
        key = (run.study, run.start, run.teacher, run.source.split()[0], run.stop_at > 0)
        short = {"steps": min(run.steps, 2), "group": min(run.group, 2)}
        found.setdefault(key, dataclasses.replace(run, **short))
    return [pytest.param(run, id="-".join(map(str, key))) for key, run in found.items()]


@pytest.mark.parametrize("run", kinds())
def test_a_run_is_made_and_measured(run):
    row = prefer.measure_preference(run)
    assert row.scores and row.before and row.seconds >= 0
    assert {f.name: getattr(row, f.name) for f in dataclasses.fields(run)} == vars(run)
    assert all(len(line) == len(row.columns) for line in row.curve)
    assert row.scores.keys() >= row.before.keys() or run.study == "judge"
