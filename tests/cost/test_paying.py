"""Break-even is arithmetic on prices that are given."""

import math

import pytest

from ftkit import UserError, cost


def test_a_call_costs_its_tokens():
    assert cost.cost_of_call(1_000_000, 500_000, (0.15, 0.6)) == pytest.approx(0.45)


def test_one_price_is_not_two():
    with pytest.raises(UserError, match="prices is 3; give two, of the prompt and of the reply"):
        cost.cost_of_call(1, 1, 3)  # type: ignore


def test_a_tuning_pays_after_so_many_calls():
    found = cost.break_even(prompted=0.002, tuned=0.0005, spent=15)
    assert found.calls == 10_000
    assert found.days(1000) == 10
    assert "paid back after 10,000 calls" in str(found)
    assert "less than a day" in str(found)
    assert cost.break_even(0.001, 0.0, 0).calls == 0
    assert math.isinf(found.days(0))
    with pytest.raises(UserError, match="calls_per_day is -1"):
        found.days(-1)


def test_it_never_pays_where_a_call_is_no_cheaper():
    for tuned in (0.001, 0.002):
        found = cost.break_even(0.001, tuned, 5)
        assert found.calls is None and math.isinf(found.days(1000))
        assert "never" in str(found)


def test_an_api_and_a_rented_card():
    assert cost.tuning_by_api(500_000, 3, 8) == 12
    assert cost.tuning_by_renting(1.5, 2, 10) == 13
    assert cost.rows_until_renting(0.012, 0.002, 30) == pytest.approx(3000)
    assert math.isinf(cost.rows_until_renting(0.001, 0.002, 1))
    assert cost.rows_until_renting(0.001, 0.001, 0) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: cost.break_even(-1, 0, 0),
        lambda: cost.cost_of_call(1, 1, (math.nan, 1)),
        lambda: cost.tuning_by_api(1, "3", 1),
        lambda: cost.tuning_by_renting(1, 1, math.inf),
    ],
)
def test_amounts_that_cannot_be_are_refused(call):
    with pytest.raises(UserError, match="give a number from 0 on"):
        call()
