"""The points of the grids: each once, with every seed, and the runs that they stand for."""

from collections import Counter
from dataclasses import replace

import pytest

from ftkit import data, lab, studies
from ftkit.lab import points, runner
from ftkit.lab.points import Point
from ftkit.world import World


@pytest.mark.parametrize("grid", runner.GRIDS)
def test_every_run_is_asked_for_once_and_with_every_seed(grid):
    # but for a base that is measured as it is, for which no seed decides anything
    found = runner.find_grid(grid).points()
    alone = studies.points.SAME
    asked = [p for p in found if getattr(p, "lr", 1) and getattr(p, "arm", "") not in alone]
    assert len(set(asked)) == len(asked)
    without_seed = Counter(replace(point, seed=None) for point in asked)
    assert set(without_seed.values()) == {len(lab.SEEDS)}
    assert {point.seed for point in asked} == set(lab.SEEDS)


def test_the_targets_share_one_budget():
    """r · Σ (d_in + d_out) of one layer, against rank 8 on all seven, never above and never more
    than 3 % below.
    """
    sides = {
        "q_proj": 512,
        "k_proj": 384,
        "v_proj": 384,
        "o_proj": 512,
        "gate_proj": 768,
        "up_proj": 768,
        "down_proj": 768,
    }
    whole = 8 * sum(sides.values())
    for targets, r in lab.BUDGET.items():
        assert 0.97 * whole < r * sum(sides[t] for t in targets) <= whole


def test_the_field_has_a_word_for_a_point():
    words = {"lora": Point(), "full": Point(r=0), "qlora": Point(quant="nf4")}
    words["dora"] = Point(dora=True)
    assert {word: point.method for word, point in words.items()} == {word: word for word in words}


def test_a_point_is_an_experiment():
    one = Point("facts", r=4, alpha=8, targets=("q_proj", "v_proj"), seed=3, rows=16).experiment()
    assert one.lora == {"r": 4, "alpha": 8, "targets": ["q_proj", "v_proj"]}
    assert (one.model, one.data, one.rows, one.recipe.seed) == ("pocket", "facts", 16, 3)
    assert not one.recipe.keep_best
    assert Point(dora=True).experiment().lora["use_dora"] is True
    assert Point(r=0).experiment().lora is None


def test_every_run_of_the_playground_is_short_and_validated_after_each_epoch():
    for point in points.playground_points():
        assert (point.rows, point.batch_size, point.evaluations) == (96, 4, point.epochs)


def test_the_new_facts_are_new():
    facts, known = data.load("facts"), World()
    assert len(facts["train"]) == len(facts["test"]) == 240
    asked = {m[0]["content"] for m in facts["train"]["messages"]} & {
        m[0]["content"] for m in facts["test"]["messages"]
    }
    assert not asked, "the test rows ask in other words"
    assert [m[-1] for m in facts["train"]["messages"]] == [m[-1] for m in facts["test"]["messages"]]
    text = " ".join(m[0]["content"] for m in facts["train"]["messages"])
    assert not [f.entity for f in known.facts if f.entity in text]
