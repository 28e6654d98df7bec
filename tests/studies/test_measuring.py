"""A run of each study is trained and measured; nothing is asked that was not prepared."""

from dataclasses import replace

import pytest

from ftkit import studies
from ftkit.studies import measuring, points, templates

SHORT = {"steps": 1, "rows": 8}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Ten test rows of every task."""
    from ftkit.studies import changing

    monkeypatch.setattr(measuring, "IN_TEMPLATES", 4)
    monkeypatch.setattr(changing, "TESTED", dict.fromkeys(("tickets", "trays"), 4))


@pytest.mark.parametrize(
    ("run", "asked"),
    [
        (points.TRAYS, {"test"}),
        (replace(points.TRAYS, change="end masked"), {"test", "goes on", "cut off"}),
        (replace(points.TICKETS, change="template alpaca"), set(templates.TEMPLATES)),
        (replace(points.TICKETS, change="prompt learned"), {"test", "format"}),
    ],
)
def test_a_run_is_measured(run, asked):
    row = studies.measure_data(replace(run, **SHORT))
    assert {name for name in row.scores if not name.startswith("field ")} == asked
    assert all(0 <= share <= 1 for share in row.scores.values())
    assert row.trained_rows == 8
    assert row.loss > 0


def test_a_run_has_as_many_steps_as_it_says(monkeypatch):
    steps = []
    real = measuring.train.sft
    monkeypatch.setattr(
        measuring.train, "sft", lambda *args: steps.append(real(*args).steps) or real(*args)
    )
    measuring.measure_data(replace(points.TRAYS, rows=24, steps=4))
    assert steps == [4]


def test_replies_that_go_on_are_counted():
    from ftkit import data

    rows = data.to_dataset(
        [{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": "red"}]}]
        * 4
    )
    replies = ["red", "red. blue", "blue", "red red"]
    assert measuring.share_going_on(replies, rows) == 0.5
