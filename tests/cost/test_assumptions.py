"""What each assumption does, and at which a guide's figure comes out: solved, then put in again."""

import dataclasses

import pytest

from ftkit import UserError, cost
from ftkit.cost.assumptions import USUAL_RANGES


def test_a_case_is_the_estimate_at_one_point():
    case = cost.Case()
    found = cost.estimate(
        case.model, case.rows, case.epochs, case.card, utilisation=(0.3, 0.3), prices=(2, 2),
        seq=case.tokens, checkpointing=False,
    )  # fmt: skip
    assert case.hours == pytest.approx(found.hours[0])
    assert case.money == pytest.approx(found.money[0])


def test_each_assumption_is_turned_alone_and_the_widest_comes_first():
    found = cost.sensitivity(of="money")
    factors = {swing.name: swing.factor for swing in found.swings}
    assert list(factors.values()) == sorted(factors.values(), reverse=True)
    assert factors.keys() == USUAL_RANGES.keys()
    assert factors["epochs"] == pytest.approx(5)
    assert factors["utilisation"] == pytest.approx(0.43 / 0.05)
    assert factors["per_hour"] == pytest.approx(3.5 / 1.5)
    assert factors["tokens"] > 16, "attention grows with the square"
    low, high = found.together
    product = 1.0
    for factor in factors.values():
        product *= factor
    assert high / low == pytest.approx(product, rel=0.05)
    assert "all together" in str(found)
    hours = cost.sensitivity()
    assert "per_hour" not in {swing.name for swing in hours.swings}
    assert hours.middle == cost.Case().hours


def test_cards_can_be_an_assumption():
    found = cost.sensitivity(ranges={"card": ("H100 80", "T4 16")})
    assert found.swings[0].factor == pytest.approx(989.4 / 65)


@pytest.mark.parametrize("figure", cost.FIGURES, ids=lambda figure: figure.says[:40])
def test_at_what_is_needed_a_guides_figure_comes_out(figure):
    for dial in ("utilisation", "epochs", "tokens"):
        for value, wanted in zip(cost.needed(figure, dial), figure.range, strict=True):
            if value is None:
                continue
            value = int(value) if dial == "tokens" else value
            case = dataclasses.replace(figure.case, **{dial: value})
            assert getattr(case, figure.of) == pytest.approx(wanted, rel=0.01)


def test_no_one_utilisation_makes_all_guides_right():
    needs = [cost.needed(figure, "utilisation") for figure in cost.FIGURES]
    lowest = max(min(need) for need in needs)
    highest = min(max(need) for need in needs)
    assert lowest > highest
    said = str(cost.figures("utilisation"))
    assert "never" not in said and "right at: utilisation" in said
    assert "never" in str(cost.figures("tokens")), (
        "a row may have to be longer than the model takes"
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cost.sensitivity(ranges={"token": (1, 2)}), "Did you mean 'tokens'"),
        (lambda: cost.sensitivity(of="days"), "of is 'days'; give 'hours' or 'money'"),
        (lambda: cost.sensitivity(ranges={}), "name one assumption at least"),
        (lambda: cost.sensitivity(ranges={"epochs": 3}), "the range of epochs is 3; give two"),  # type: ignore
        (
            lambda: cost.sensitivity(ranges={"per_hour": (1, 3)}),
            "a price per hour changes no hours",
        ),
        (lambda: cost.Case(utilisation=30).hours, "utilisation is 30; .*numbers from 0 to 1"),
        (lambda: cost.Case(rows=-5).hours, "rows is -5"),
        (lambda: cost.Case(epochs=0).hours, "epochs is 0"),
        (lambda: cost.Case(cards=0).hours, "cards is 0"),
        (lambda: cost.Case(per_hour=-2).money, "per_hour is -2; give a number from 0 on"),
        (lambda: cost.figures("epoch"), "Did you mean 'epochs'"),
        (lambda: cost.needed(cost.FIGURES[0], "card"), "dial is 'card'"),
    ],
)
def test_what_is_no_assumption_is_a_sentence(call, said):
    with pytest.raises(UserError, match=said):
        call()
