"""Rows Q1 to Q10: figures in GB held against what guides name, and scores against bounds."""

import pytest

from ftkit import memory, verdicts
from ftkit.verdicts import memory_rows

CLAIMS = {claim.id: claim for claim in memory_rows.CLAIMS}


@pytest.mark.parametrize("name", ["Q2", "Q4", "Q5", "Q6", "Q9"])
def test_what_decides_runs_in_a_cell(name):
    exec(CLAIMS[name].decides, {})


def test_a_named_figure_meets_three_settings():
    figures = memory_rows.enough("G1", "llama-3.1-8b", "full", 80)
    assert [one.answer for one in figures] == [True, False, True]  # float32 takes twice as much
    assert figures[1].value > 1.9 * figures[0].value
    peak = memory.predict("llama-3.1-8b", method="full", seq=512, rank=16).peak
    assert figures[0].value == peak / 1e9
    assert {one.what.partition(":")[0] for one in figures} == {"G1, full of llama-3.1-8b in 80 GB"}


def test_four_figures_about_seventy_billion_fit_nothing():
    by_figure = {}
    for one in memory_rows.memory_of_seventy():
        if one.said:
            by_figure.setdefault(one.said[1], []).append(one.answer)
    assert sorted(gb for gb, found in by_figure.items() if True not in found) == [24, 35, 40, 280]


def test_four_times_less_is_met_at_no_length_and_half_at_one():
    found = {}
    for one in verdicts.recorded()["Q2"].figures:
        found.setdefault(one.what.partition(":")[0], []).append(one.answer)
    assert True not in found["4 times less memory"] and True in found["half the memory"]


def test_a_method_is_scored_at_its_best_rate():
    runs = {("qlora", 1.0): {0: 0.2, 1: 0.9}, ("qlora", 2.0): {0: 0.7, 1: 0.7}, ("full", 1.0): {}}
    assert memory_rows.at_best(runs, "qlora") == {0: 0.7, 1: 0.7}
    scores = memory_rows.scores_of_grids()
    assert {method for method, _ in scores["SmolLM2-135M"]} == {"lora", "full", "qlora"}
    assert all(len(seeds) == 3 for seeds in scores["pocket model"].values())
