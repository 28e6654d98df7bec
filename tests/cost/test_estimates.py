"""Hours, money and energy are the FLOPs divided and multiplied by hand, as ranges."""

import pytest

from ftkit import UserError, cost, memory

GIVEN = {"seq": 512, "checkpointing": False, "method": "lora"}


def test_hours_are_flops_over_what_the_cards_do():
    # 3.12e14 FLOPs per second at the peak of an A100: at half of it 1.56e14
    assert cost.hours_of(1.56e14 * 3600, "A100 80", (0.5, 0.5)) == pytest.approx((1, 1))
    assert cost.hours_of(1.56e14 * 3600, "A100 80", (0.25, 0.5), 4) == pytest.approx((0.25, 0.5))


def test_an_estimate_by_hand():
    found = cost.estimate(
        "llama-3.1-8b", 1000, 3, "A100 40", utilisation=(0.2, 0.4), prices=(1.5, 3.5), **GIVEN
    )
    flops = cost.train_flops("llama-3.1-8b", **GIVEN).total * 3000
    assert found.flops == flops and found.tokens == 1000 * 512 * 3
    slow = flops / (3.12e14 * 0.2) / 3600
    assert found.hours == pytest.approx((slow / 2, slow))
    assert found.money == pytest.approx((slow / 2 * 1.5, slow * 3.5))
    assert found.energy == pytest.approx((slow / 2 * 0.4 * 1.1, slow * 0.4 * 1.58))
    assert found.note == ""
    said = str(found)
    assert "20.0 to 40.0 % of A100 40's peak" in said and "1 × 400 W all the time" in said


def test_two_cards_halve_the_hours_and_not_the_money():
    one, two = (
        cost.estimate("llama-3.1-8b", 10, 1, cards=n, utilisation=(0.3, 0.3), **GIVEN)
        for n in (1, 2)
    )
    assert two.hours[1] == pytest.approx(one.hours[1] / 2)
    assert two.money == pytest.approx(one.money) and two.energy == pytest.approx(one.energy)


def test_without_a_word_it_is_from_the_lowest_measured_to_the_highest_published():
    found = cost.estimate("llama-3.1-8b", 1000)
    assert found.utilisation == cost.usual_utilisation()
    assert found.hours[1] / found.hours[0] > 5
    assert found.price.range == cost.read_prices().of("card hour", "A100 80").range
    assert found.json()["assumptions"].keys() >= {"utilisation", "price", "energy"}


def test_a_card_without_a_price_has_hours_and_no_money():
    found = cost.estimate("llama-3.1-8b", 10, card="T4 16", **{**GIVEN, "method": "qlora"})
    assert found.money is None and found.json()["money"] is None
    assert "no price known" in str(found) and "unknown per hour" in str(found)


def test_what_the_card_does_not_hold_is_said():
    found = cost.estimate("llama-3.1-70b", 10, method="full", cards=2)
    peak = memory.predict("llama-3.1-70b", method="full").peak / 2**30
    assert f"a step of one row takes {peak:,.1f} GiB" in found.note
    assert "2 × A100 80 have" in found.note
    assert cost.estimate("llama-3.1-70b", 10, method="qlora").note == ""


def test_two_ends_in_brackets_are_a_range_too():
    both = [
        cost.estimate("llama-3.1-8b", 10, utilisation=share, prices=price, **GIVEN)  # type: ignore
        for share, price in (((0.2, 0.4), (1, 2)), ([0.2, 0.4], [1, 2]))
    ]
    assert both[0].money == both[1].money and both[0].hours == both[1].hours


def test_energy_is_watts_times_hours_times_what_the_building_adds():
    assert cost.energy(2, 400, (1, 1)) == (0.8, 0.8)
    assert cost.energy((1, 2), 700, (1.1, 1.5)) == pytest.approx((0.77, 2.1))


def test_a_reply_reads_all_weights_for_every_token():
    one = cost.reply_seconds("llama-3.1-8b", 300, 1, "A100 80")
    twenty = cost.reply_seconds("llama-3.1-8b", 300, 20, "A100 80")
    # 7.505e9 numbers of 2 bytes at 2,039 GB per second
    assert twenty.per_token == pytest.approx(7_504_658_432 * 2 / 2.039e12)
    assert twenty.seconds == pytest.approx(one.seconds + 19 * twenty.per_token)
    assert one.reading == pytest.approx(cost.answer_flops("llama-3.1-8b", 300, 1).total / 3.12e14)
    four_bits = cost.reply_seconds("llama-3.1-8b", 300, 20, "A100 80", bits=4)
    assert four_bits.per_token == pytest.approx(twenty.per_token / 4)
    assert "each further token" in str(twenty)


def test_hours_are_said_as_people_say_them():
    assert cost.in_hours(0.001) == "3.6 s"
    assert cost.in_hours((0.2, 1.5)) == "12 min to 90 min"
    assert cost.in_hours((0.2, 2.5)) == "12 min to 2.5 h"
    assert cost.in_hours((2.5, 2.5)) == "2.5 h"
    assert cost.in_hours(16578) == "16,578 h"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rows": 0}, "rows is 0; give a whole number from 1"),
        ({"epochs": 0}, "epochs is 0; give a number above 0"),
        ({"epochs": float("nan")}, "epochs is nan"),
        ({"cards": 1.5}, "cards is 1.5; give a whole number"),
        ({"card": "A100"}, "Did you mean 'A100 80'"),
        ({"utilisation": (0.5, 1.5)}, "utilisation is .*numbers from 0 to 1"),
        ({"utilisation": (0, 0.5)}, "utilisation begins at 0"),
        ({"utilisation": 0.3}, "utilisation is 0.3; give low and high, numbers from 0 to 1, the"),
        (
            {"prices": 2.5},
            "the price per hour is 2.5; give low and high, numbers from 0 to 1,000,0",
        ),
        ({"prices": "mine.yaml"}, "the price per hour is 'mine.yaml'"),
        ({"batch": 0}, "batch is 0"),
        ({"prices": (3, 1)}, "the price per hour is"),
        ({"seq": 10**6}, "the positions of llama-3.1-8b"),
        ({"method": "qlor"}, "counted for full, lora, qlora, and .*Did you mean 'qlora'"),
    ],
)
def test_what_cannot_be_is_a_sentence(options, said):
    with pytest.raises(UserError, match=said):
        cost.estimate("llama-3.1-8b", **options)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cost.energy(1, 0), "watts is 0"),
        (lambda: cost.energy(-1, 400), "hours is -1"),
        (lambda: cost.energy(1, 400, 1.2), "pue is 1.2; give low and high"),  # type: ignore
        (lambda: cost.energy(1, 400, (0.9, 1)), "pue begins at 0.9"),
        (lambda: cost.reply_seconds("pocket", 9, 9, "T4 16", utilisation=0), "utilisation is 0"),
        (lambda: cost.reply_seconds("pocket", 9, 9, "T4 16", bits=64), "bits is 64"),
    ],
)
def test_what_energy_and_replies_cannot_be_is_a_sentence(call, said):
    with pytest.raises(UserError, match=said):
        call()
