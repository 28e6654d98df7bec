"""Long runs on few rows: what is spoiled, which checkpoint is best, when patience ends, and the
grid that ships.
"""

import json

import pytest
import torch

from ftkit import UserError, data, models
from ftkit.lab import epochs, grids
from ftkit.lab.points import read_row


@pytest.fixture(scope="module")
def rows():
    return data.first(data.load("tickets")["train"], 24)


def golds(rows):
    return [json.loads(m[-1]["content"]) for m in rows["messages"]]


def test_the_share_of_spoiled_answers_is_what_was_asked(rows):
    for share in (0, 0.25, 1):
        before, after = golds(rows), golds(epochs.spoil(rows, share, seed=3))
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        assert len(changed) <= round(share * 24)
        assert len(changed) >= round(share * 24) - 1  # two tickets may agree in all three
        assert all(a[k] == b[k] for a, b in changed for k in ("name", "order", "urgent"))
        assert all(list(a) == list(b) for a, b in changed)


def test_spoiling_leaves_prompts_alone_and_is_seeded(rows):
    one, two, other = (epochs.spoil(rows, 0.5, seed)["messages"] for seed in (1, 1, 2))
    assert one == two != other
    assert [m[:-1] for m in one] == [m[:-1] for m in rows["messages"]]


def test_a_share_outside_is_refused(rows):
    with pytest.raises(UserError, match=r"share is 1\.5 of 24 rows"):
        epochs.spoil(rows, 1.5)
    with pytest.raises(UserError, match="of 1 rows"):
        epochs.spoil(data.first(rows, 1), 0.5)


def test_the_best_step_and_where_patience_ends():
    curve = [(6, 0.5), (12, 0.3), (18, 0.4), (24, 0.35), (30, 0.2)]
    assert epochs.best_step(curve) == 30
    assert epochs.best_step(curve[:4]) == 12
    assert [epochs.stops_at(curve, patience) for patience in (1, 2, 3)] == [18, 24, 30]


def test_weights_are_kept_after_every_epoch():
    run, _, by_step = epochs.tune(epochs.LongRun(wrong=0.25), epochs=1)
    assert list(by_step) == [run.steps] == [epochs.ROWS // epochs.BATCH]
    trained = models.trained_parameters(run.model)
    assert all(torch.equal(p, was) for p, was in zip(trained, by_step[run.steps], strict=True))
    assert len(run.validation) == 1


def test_a_run_is_measured_after_every_epoch(monkeypatch):
    monkeypatch.setattr(epochs, "JUDGED", 4)
    whole = epochs.tune
    monkeypatch.setattr(epochs, "tune", lambda point: whole(point, epochs=2))
    row = epochs.measure(epochs.LongRun(seed=1))
    assert (row.seed, row.lr) == (1, 4e-3)
    assert [step for step, _ in row.task] == [step for step, _ in row.validation] == [6, 12]
    assert len(row.curve) == 12
    assert all(0 <= share <= 1 for _, share in row.task)


def test_the_grid_that_ships_holds_every_run():
    rows = grids.read("epochs")
    assert [read_row(epochs.LongRun, vars(row)) for row in rows] == epochs.points()
    assert all(len(row.validation) == len(row.task) == epochs.EPOCHS for row in rows)
    assert all(row.validation[-1][0] == row.task[-1][0] == len(row.curve) for row in rows)
