"""A healthy run is made as it was, on rows of its own, and the doctor finds nothing again."""

import json
from dataclasses import replace

import pytest

from ftkit import data, ward
from ftkit.lab import grids
from ftkit.ward import healthy_runs


@pytest.mark.weekly
def test_a_shipped_healthy_run_is_made_again():
    run = next(p for p in ward.healthy_points() if p.task == "greeted" and p.rows == 48)
    was = next(
        row
        for row in grids.read("healthy")
        if all(getattr(row, k) == v for k, v in vars(run).items())
    )
    now = ward.measure_healthy(run)
    assert now.found == was.found == []
    assert now.task_score == pytest.approx(was.task_score, abs=0.1)


def test_its_rows_state_their_splits_and_share_none(tmp_path):
    run = ward.HealthyRun("trays", 20)
    splits = data.load(str(healthy_runs.write_rows(run, tmp_path / "mine.jsonl")))
    hashes = {name: {data.row_hash(row) for row in rows} for name, rows in splits.items()}
    assert [len(splits[n]) for n in ("train", "test", "validation")] == [20, 24, 16]
    assert not hashes["test"] & hashes["validation"] and not hashes["train"] & hashes["test"]
    other = healthy_runs.write_rows(replace(run, seed=1), tmp_path / "other.jsonl")
    assert json.loads(other.read_text().splitlines()[0]) != splits["train"][0]
