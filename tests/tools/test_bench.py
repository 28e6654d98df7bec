"""The shortcuts keep their bounds, and the yardstick itself is right."""

import json

import pytest
from typer.testing import CliRunner

from ftkit.__main__ import app
from ftkit.tools import bench


@pytest.fixture(scope="module")
def report():
    """The parts that need neither a gigabyte nor a minute."""
    return bench.Bench((*bench.imports(), *bench.spectra()))


def test_importing_the_kit_and_moving_a_slider_are_quick(report):
    for row in report.rows:
        assert row.verdict.startswith("within"), row
        assert row.ratio is None or row.ratio > 2, row
    assert [row.plain is None for row in report.rows] == [False, True, False]


def test_training_and_the_skill_check_beat_the_plain_ways():
    """A few rows and probes, so the ratios are smaller than those of `python -m ftkit bench`; the
    losses and all answers are the same.
    """
    speed, loss, free, free_loss = bench.training(rows=24, rounds=1)
    assert speed.ratio > 1.2
    assert free.ratio > 1
    for row in (loss, free_loss):
        assert row.ours == pytest.approx(row.plain, rel=0.03), row
    for row in bench.checking(n=4):
        assert row.ratio > 2, row


def test_70b_with_peft_in_ten_seconds_and_two_gigabytes():
    seconds, peak = bench.fresh(bench.COUNT_META)
    assert seconds <= 10
    assert peak <= 2e9


def test_the_formula_needs_no_torch():
    seconds, peak = bench.fresh(bench.COUNT_FORMULA)
    assert seconds <= 1
    assert peak <= 100e6


def test_the_plain_way_really_holds_its_weights():
    """Scaled down to 0.1 B: two bytes a parameter, on top of what the libraries take."""
    code = bench.COUNT_PLAIN.replace("llama-3.2-1b", "smollm2-135m")
    assert code != bench.COUNT_PLAIN
    _, with_weights = bench.fresh(code)
    _, without = bench.fresh("from ftkit import count; count.checked('smollm2-135m', 16)")
    assert 0.9 * 2 * 134_515_008 < with_weights - without < 1.5 * 2 * 134_515_008


def test_a_peak_is_the_childs_own():
    ballast = bytearray(400_000_000)
    ballast[::4096] = b"x" * len(ballast[::4096])
    _, small = bench.fresh("pass")
    _, large = bench.fresh("kept = bytearray(200_000_000); kept[::4096] = b'x' * len(kept[::4096])")
    assert small < 100e6
    assert 190e6 < large - small < 210e6


def test_a_row_says_ratio_and_verdict():
    row = bench.Row("what", "s", 2.0, 1.0, "the plain way", 6.0)
    assert (row.ratio, row.verdict) == (3, "OVER 1 s")
    assert bench.Row("what", "s", 2.0).verdict == ""
    report = bench.Bench((row, bench.Row("alone", "s", 2.0, 3)))
    assert report.json()["rows"][0]["ratio"] == 3
    assert report.json()["rows"][1]["ratio"] is None
    lines = str(report).splitlines()
    assert "≈3 ×" in lines[2]
    assert "within 3 s" in lines[3]


def test_the_verb_prints_one_json_object(monkeypatch):
    monkeypatch.setattr(
        bench,
        "run_bench",
        lambda say: bench.Bench((bench.Row("what", "s", 2.0, 1.0, "the plain way", 6.0),)),
    )
    done = CliRunner().invoke(app, ["bench", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"][0]["verdict"] == "OVER 1 s"
