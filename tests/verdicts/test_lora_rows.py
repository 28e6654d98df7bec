"""Rows L1 to L11: what they measure, and that another figure would have another word."""

import numpy as np
import pytest

from ftkit import lab
from ftkit.verdicts import lora_rows

CLAIMS = {claim.id: claim for claim in lora_rows.CLAIMS}
QUICK = [name for name in CLAIMS if name not in ("L2", "L3", "L7")]  # these build a model


@pytest.mark.parametrize("name", QUICK)
def test_what_decides_runs_in_a_cell(name):
    exec(CLAIMS[name].decides, {})


def test_a_formula_runs_where_its_shapes_compose():
    assert lora_rows.runs(lora_rows.right, (128, 256)) and lora_rows.runs(lora_rows.right, (4, 4))
    assert lora_rows.runs(lora_rows.with_one_d, (4, 4))
    assert not lora_rows.runs(lora_rows.with_one_d, (128, 256))
    assert not lora_rows.runs(lora_rows.the_wrong_way, (16, 16))
    assert lora_rows.right(np.ones((2, 3)), np.ones(3), 2).shape == (2,)


def test_the_printed_count_is_another_models():
    trained, _, other = lora_rows.attention_of_llama()
    assert trained.value == 13_631_488 and trained.said == (6_553_600, 6_553_600)
    assert other.what == "other counts that give it: llama-2-13b at r = 8 on q,v"


def test_runs_are_compared_seed_by_seed():
    rows = lora_rows.tickets(r=8, alpha=16, lr=2e-3)
    assert [row.seed for row in rows] == [0, 1, 2]
    assert set(lora_rows.minus(rows, rows).values()) == {0}


def test_a_ranks_own_rate_is_the_one_that_keeps_most_of_those_that_store_enough():
    grid = lab.grids.select(lab.grids.read("ranks"), question="rank")
    own = {r: lora_rows.at_own_rate(lab.grids.select(grid, amount=r))[0].lr for r in (1, 16, 256)}
    assert own == {1: 1.6e-2, 16: 1.6e-2, 256: 1e-3}
    (row, *_) = lora_rows.at_own_rate(lab.grids.select(grid, amount=256), bar=2)
    assert row.lr == 4e-3, "where nothing stores enough, the one that stores most"


def test_alpha_is_compared_at_one_rank_and_rate():
    by_rank = {figure.what: figure for figure in lora_rows.rules_for_alpha()}
    low, *_, along, rooted = by_rank.values()
    assert low.answer is False and low.seeds == 3
    assert along.value > 0.3 > abs(rooted.value), "√α · lr keeps the score, α · lr does not"
