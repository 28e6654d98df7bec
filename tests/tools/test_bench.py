"""The bench: both ways give the same answer, ours with less work, and the yardstick is right.

Nothing here is held to a clock: where seconds depend on the machine, work is counted.
"""

from dataclasses import dataclass

import pytest
import torch
from torch.nn.modules import module as torch_module
from torch.utils.flop_counter import FlopCounterMode
from transformers.models.llama.modeling_llama import LlamaMLP

from ftkit import models
from ftkit.tools import bench, processes


@dataclass
class Work:
    """What went through a model: calls of its layers' MLPs, and rows × places in them."""

    calls: int = 0
    places: int = 0


@pytest.fixture
def work():
    counted = Work()

    def count(module, given):
        # inside a layer, where checkpointing runs it a second time
        if isinstance(module, LlamaMLP):
            counted.calls += 1
            counted.places += given[0].shape[0] * given[0].shape[1]

    handle = torch_module.register_module_forward_pre_hook(count)
    yield counted
    handle.remove()


def test_training_gives_the_same_with_less_work(work, monkeypatch):
    """As it is the script runs every layer twice, for checkpointing; and it pads more."""
    monkeypatch.setattr(bench, "clock", lambda: work.places)
    # without bfloat16, which many a CPU multiplies slowly; it changes no amount of work
    monkeypatch.setattr(bench, "device_and_dtype", lambda: ("cpu", "float16"))
    pace, loss, free, free_loss, limit = bench.time_training(rows=24, rounds=1)
    assert pace.ratio > 2
    assert 2 > free.ratio > 1
    for row in (loss, free_loss):
        assert row.ours == pytest.approx(row.plain, rel=0.03), row
    assert {row.plain_way for row in (pace, loss)} != {free.plain_way}
    assert (limit.ours, limit.unit) == (pace.ours, pace.unit)


def test_the_products_alone_are_those_of_the_layers_and_of_the_answers_head(monkeypatch):
    def multiplications(products):
        with FlopCounterMode(display=False) as counted:
            products()
        return counted.get_total_flops() / 2

    monkeypatch.setattr(bench, "seconds", multiplications)
    model, _ = models.load("pocket")
    layers = sum(layer.weight.numel() for layer in models.linears(model).values())
    head = model.get_output_embeddings().weight.numel()
    # forward and back to the input, both for every token; the head for one of four
    assert bench.time_products("pocket", (100, 25)) == 1e6 * 2 * (layers + head / 4)


def test_the_skill_check_gives_the_same_in_fewer_calls(work, monkeypatch):
    """`time_skill_check` itself asserts that all answers are the same."""
    monkeypatch.setattr(bench, "clock", lambda: work.calls)
    rows = bench.time_skill_check(n=4)
    assert ["adapter" in row.what for row in rows] == [False, True]
    assert all(row.ratio > 4 for row in rows), rows


def test_a_move_of_the_slider_takes_no_spectrum_apart(monkeypatch):
    """One for each of the matrices and one to begin with; then one for each move the plain way."""
    taken, svd = [], torch.linalg.svd
    monkeypatch.setattr(torch.linalg, "svd", lambda *a, **k: taken.append(1) or svd(*a, **k))
    monkeypatch.setattr(bench, "seconds", lambda move: move() and float(len(taken)))
    whole, move = bench.time_spectra()
    assert "28 matrices" in whole.what
    assert move.ours == 1e3 * (1 + 28), "our moves take none"
    moves = len(taken) - 1 - 28
    assert moves == 16
    assert move.plain == 1e3 * (1 + 28 + (1 + moves) / 2)


def test_importing_the_kit_takes_less_than_importing_all_it_may_need(monkeypatch):
    asked = []
    fake = {bench.IMPORT_OURS: iter((0.3, 0.1, 0.2)), bench.IMPORT_PLAIN: iter((5.0,))}

    def run(code):
        asked.append(code)
        return processes.Cost(next(fake[code]), 1)

    monkeypatch.setattr(bench, "run_fresh", run)
    (row,) = bench.time_imports()
    assert (row.ours, row.plain, row.ratio) == (0.1, 5.0, 50)
    assert asked == [bench.IMPORT_OURS] * 3 + [bench.IMPORT_PLAIN]


def test_importing_the_kit_imports_nothing_that_is_timed_beside_it():
    named = ("torch", "transformers", "peft", "trl", "ipywidgets", "matplotlib")
    check = f"import sys; assert not {set(named)} & sys.modules.keys()"
    processes.run_fresh(f"{bench.IMPORT_OURS}; {check}")
    processes.run_fresh(
        f"{bench.IMPORT_PLAIN}; import sys; assert {set(named)} <= sys.modules.keys()"
    )


def test_70b_with_peft_in_two_gigabytes():
    assert processes.run_fresh(bench.COUNT_META).peak <= 2e9


def test_the_formula_needs_no_torch():
    check = "import sys; assert 'torch' not in sys.modules"
    assert processes.run_fresh(f"{bench.COUNT_FORMULA}; {check}").peak <= 100e6


@pytest.mark.weekly
def test_the_plain_way_really_holds_its_weights():
    """Scaled down to 0.1 B: two bytes per parameter, on top of what the libraries take."""
    code = bench.COUNT_PLAIN.replace("llama-3.2-1b", "smollm2-135m")
    assert code != bench.COUNT_PLAIN
    with_weights = processes.run_fresh(code).peak
    without = bench.COUNT_META.replace("llama-3.1-70b", "smollm2-135m")
    held = with_weights - processes.run_fresh(without).peak
    assert 0.9 * 2 * 134_515_008 < held < 1.5 * 2 * 134_515_008


def test_counting_says_what_a_parameter_costs(monkeypatch):
    monkeypatch.setattr(bench, "run_fresh", lambda code: processes.Cost(2.0, 10**9))
    rows = bench.time_counting()
    assert [row.unit for row in rows] == ["s", "s", "GB", "B"]
    assert rows[3].ours == pytest.approx(1e9 / 70_553_706_496, rel=1e-6)
    assert rows[2].verdict == "within 2 GB"


def test_a_measurement_says_ratio_and_verdict():
    row = bench.Measurement("what", "s", 2.0, 1.0, "the plain way", 6.0)
    assert (row.ratio, row.verdict) == (3, "OVER 1 s")
    assert bench.Measurement("what", "s", 2.0).verdict == ""
    report = bench.Bench((row, bench.Measurement("alone", "s", 2.0, 3)))
    assert report.json()["rows"][0]["ratio"] == 3
    assert report.json()["rows"][1]["ratio"] is None
    lines = str(report).splitlines()
    assert "≈3 ×" in lines[2]
    assert "within 3 s" in lines[3]


def test_every_part_is_told_and_measured(monkeypatch):
    told = []
    for name in ("imports", "counting", "spectra", "training", "skill_check"):
        row = bench.Measurement(name, "s", 1.0)
        monkeypatch.setattr(bench, f"time_{name}", lambda row=row: [row])
    report = bench.run_bench(told.append)
    assert [row.what for row in report.rows] == [
        "imports",
        "counting",
        "spectra",
        "training",
        "skill_check",
    ]
    assert told[0] == "measuring: imports"
    assert len(told) == 5
