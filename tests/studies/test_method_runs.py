"""The runs of the grids "methods" and "ranks": even from the first one on, and each measured."""

from collections import Counter

import pytest
import torch
from peft.optimizers import create_loraplus_optimizer

from ftkit import lab, lora, methods, models, studies
from ftkit.studies import method_runs, rank_measuring


def test_every_method_has_its_rates_seeds_and_tasks():
    points = studies.method_points()
    assert len(points) == len(set(points)) == 270
    on = {task: {p.label for p in points if p.task == task} for task in ("tickets", "facts")}
    assert len(on["tickets"]) == 13 and len(on["facts"]) == 9 and on["facts"] <= on["tickets"]
    assert {p.method for p in points} == set(methods.METHODS)
    for count in Counter((p.label, p.task, p.lr) for p in points).values():
        assert count == 3
    # each at four rates, of which one is a LoRA's usual one
    assert all(len(set(rates)) == 4 for rates in method_runs.RATES.values())
    assert all(method_runs.LORAS in rates for rates in method_runs.RATES.values())
    # and where one was added, it lies between two of them
    for label, lr in method_runs.BETWEEN.items():
        rates = method_runs.RATES[label]
        assert lr not in rates and min(rates) < lr < max(rates)
        assert {p.lr for p in points if p.label == label} == {*rates, lr}


def test_a_part_of_the_grid_is_even():
    points = studies.method_points()
    first = Counter((p.label, p.task) for p in points[:66])
    assert set(first.values()) == {3}  # the likely rate, with all seeds
    assert Counter(p.seed for p in studies.rank_points()[:52]) == {0: 52}


def test_the_grid_that_ships_is_the_whole_of_it():
    rows = lab.grids.read("methods")
    points = {studies.MethodRun(r.method, r.start, r.task, r.lr, r.seed) for r in rows}
    assert points == set(studies.method_points())
    for row in rows:
        merges = methods.METHODS[row.method].merges and row.method != "full"
        assert (row.gap is not None) is merges and (row.gap or 0) < 1e-3
        assert row.trainable == methods.count("pocket", row.method).trainable
        assert (row.format is None) is (row.task == "facts")


def test_a_run_is_measured_and_stays_within_its_seed(monkeypatch):
    monkeypatch.setitem(method_runs.TASKS, "tickets", (8, 2))
    for module in ("ftkit.studies.method_measuring", "ftkit.studies.rank_measuring"):
        monkeypatch.setattr(f"{module}.TESTED", 2)
        monkeypatch.setattr(f"{module}.PROBES", 1)
    row = studies.measure_method(studies.MethodRun("prompt", "text", lr=3e-1))
    assert (row.label, row.trainable, row.epochs, row.merges) == ("prompt, text", 5120, 2, False)
    assert row.gap is None and len(row.curve) == 2 and row.stopped is None
    merged = studies.measure_method(studies.MethodRun("ia3", lr=1e-1))
    assert merged.gap < 1e-3 < merged.adapter_gap


@pytest.mark.parametrize(
    ("question", "setting", "amount", "trainable", "state"),
    [
        ("rank", "", 2, 26_624, 212_992), ("plus", "", 4, 131_072, 1_048_576),
        ("optimizer", "sgd", 8, 131_072, 0), ("optimizer", "momentum", 8, 131_072, 524_288),
        ("subspace", "pretrained", 100, 100, 800), ("loftq", "int2", 1, 131_072, 1_048_576),
    ],
)  # fmt: skip
def test_what_a_method_leaves_open_is_measured(
    question, setting, amount, trainable, state, monkeypatch
):
    monkeypatch.setitem(method_runs.TASKS, "tickets", (8, 2))
    monkeypatch.setattr(rank_measuring, "TESTED", 2)
    monkeypatch.setattr(rank_measuring, "PROBES", 1)
    row = studies.measure_rank(studies.RankRun(question, setting, amount))
    assert row.trainable == trainable
    assert 0 <= row.state - state < 1000  # steps are counted beside the moments
    assert row.error == (pytest.approx(0.674, abs=1e-3) if question == "loftq" else None)


def test_the_grid_of_ranks_that_ships_is_the_whole_of_it():
    """Every question with its seeds; a start is as far from W whatever the seed and the task."""
    rows = lab.grids.read("ranks")
    points = [lab.points.read_row(studies.RankRun, vars(row)) for row in rows]
    assert points == studies.rank_points()
    starts = lab.grids.select(rows, question="loftq")
    assert len(starts) == 30 and {row.error is None for row in rows if row not in starts} == {True}
    for one in {(row.setting, row.amount) for row in starts}:
        of_it = lab.grids.select(starts, setting=one[0], amount=one[1])
        assert len({row.error for row in of_it}) == 1 and len(of_it) == 6


def test_loras_plus_is_pefts():
    """By hand and by peft each number moves at the same rate."""
    model = lora.attach(models.load("pocket")[0], r=2)
    theirs = create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-3, loraplus_lr_ratio=4)
    ours = rank_measuring.lora_plus(4)(model, 1e-3)
    by_hand, by_peft = (
        {id(p): group["lr"] for group in made.param_groups for p in group["params"]}
        for made in (ours, theirs)
    )
    assert by_hand == by_peft
    assert set(by_hand.values()) == {1e-3, 4e-3}
