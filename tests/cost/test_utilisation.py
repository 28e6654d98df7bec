"""Utilisation: the measured one is derived from the file that the runs wrote."""

import json

import pytest

from ftkit import UserError, cost
from ftkit.core.files import data_path
from ftkit.cost.utilisation import utilisation


def test_a_share_is_what_was_done_over_what_could_be():
    assert utilisation(1e12, 2, 1e12) == 0.5
    for wrong in ((0, 1, 1), (1, -1, 1), (1, 1, float("nan"))):
        with pytest.raises(UserError, match="give a number above 0"):
            utilisation(*wrong)
    with pytest.raises(UserError, match=r"2\.00 times the peak"):
        utilisation(2, 1, 1)


def test_the_measured_share_is_that_of_the_seconds_in_the_file():
    stated = json.loads(data_path("measurements", "gpu_nvidia_h200.json").read_text("utf-8"))
    rows = [row for row in stated["rows"] if row["stage"] == "qlora"]
    found = [run for run in cost.measured_utilisations().runs if run.model == "llama-3.1-8b"]
    assert len(found) == len(rows) == 2
    for run, row in zip(found, rows, strict=True):
        # 16 rows per step, by the rule of thumb a little too much: an embedding multiplies nothing
        rule = cost.rule_of_thumb("llama-3.1-8b", 16 * row["tokens"], "qlora")
        assert run.per_second * row["seconds_a_step"] == pytest.approx(rule, rel=0.08)
        assert run.share == pytest.approx(run.per_second / 989.4e12)
        assert run.card == "H200 141" and str(row["tokens"]) in run.what


def test_usual_is_from_the_lowest_measured_of_a_large_model_to_the_highest_published():
    low, high = cost.usual_utilisation()
    runs = cost.measured_utilisations().runs
    assert low == min(run.share for run in runs if run.parameters > 1e9)
    assert high == cost.PUBLISHED[1] == 0.43
    assert min(run.share for run in runs) < low < 0.06, "a small model fills even less of a card"
    assert "TFLOP per second" in str(cost.measured_utilisations())


def test_this_machine_multiplies():
    assert 1e8 < cost.time_products(128, 0.05) < 1e15
    assert cost.time_products(16, 0) > 0, "once, however little time there is"
    with pytest.raises(UserError, match="size is 0; give a whole number from 1 on"):
        cost.time_products(0)
