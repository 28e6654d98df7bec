"""Rolling out: who gets the new version, and that one may look every day."""

import math
from itertools import product

import numpy as np
import pytest

from ftkit import UserError, operate
from ftkit.operate import rollout

IDS = [f"user {n}" for n in range(4000)]


def test_a_request_always_lies_at_the_same_place_and_the_places_are_spread_evenly():
    assert operate.share_of("user 7", "trial") == operate.share_of("user 7", "trial")
    places = np.array([operate.share_of(name) for name in IDS])
    assert places.min() >= 0 and places.max() < 1
    assert np.abs(np.histogram(places, 10)[0] - 400).max() < 80
    other = np.array([operate.share_of(name, "another trial") for name in IDS])
    assert abs(np.corrcoef(places, other)[0, 1]) < 0.05


def test_a_larger_share_takes_nobody_back():
    got = [{i for i in IDS if operate.choose_version(i, s) == "new"} for s in (0, 0.05, 0.3, 1)]
    assert got[0] == set() and got[3] == set(IDS)
    assert got[1] < got[2] and 120 < len(got[1]) < 280


@pytest.mark.parametrize("share", [-0.1, 1.1, "all", None, math.nan])
def test_a_share_is_one(share):
    with pytest.raises(UserError, match="share is"):
        operate.choose_version("a", share)


def test_evidence_is_the_product_of_its_days():
    old, new = (np.array([3, 5]), np.array([4, 5])), (np.array([1, 0]), np.array([2, 4]))
    total, wanted = 0.0, []
    seen = np.zeros(4)  # right and all, old and new
    for day in range(2):
        a = (seen[0] + 0.18) / (seen[1] + 0.36)
        b = (seen[2] + 0.18) / (seen[3] + 0.36)
        k, n, j, m = old[0][day], old[1][day], new[0][day], new[1][day]
        one = (n * a + m * b) / (n + m)
        total += math.log(
            a**k * (1 - a) ** (n - k) * b**j * (1 - b) ** (m - j)
            / (one ** (k + j) * (1 - one) ** (n + m - k - j))
        )  # fmt: skip
        seen += (k, n, j, m)
        wanted.append(total)
    assert operate.evidence(old, new) == pytest.approx(wanted)
    assert wanted[0] == pytest.approx(0)  # before anything is seen both rates are a half


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.97])
def test_a_day_multiplies_the_evidence_by_one_at_most_on_average(rate):
    """Exactly, over all outcomes of a day, whatever the days before were."""
    before_old, before_new, n, m = (7, 9), (2, 8), 3, 2
    mean = 0.0
    for k, j in product(range(n + 1), range(m + 1)):
        old = np.array([before_old[0], k]), np.array([before_old[1], n])
        new = np.array([before_new[0], j]), np.array([before_new[1], m])
        found = operate.evidence(old, new)
        chance = math.comb(n, k) * math.comb(m, j) * rate ** (k + j) * (1 - rate) ** (n + m - k - j)
        mean += chance * math.exp(found[1] - found[0])
    assert mean <= 1 + 1e-12


@pytest.mark.parametrize("rate", [0.5, 0.95])
def test_looking_every_day_finds_too_much_by_the_usual_p_and_not_by_the_valid_one(rate):
    old, new = operate.same_versions(rate, days=30, per_day=200, streams=1000, seed=1)
    valid = operate.false_finds(operate.always_valid_p(operate.evidence(old, new)))
    usual = operate.daily_p(old, new)
    peeked = operate.false_finds(usual)
    once = operate.false_finds(usual[:, -1:])
    assert valid.n == 1000 and valid.interval[1] <= 0.05
    assert peeked.interval[0] > 0.2
    assert once.interval[0] < 0.05 < once.interval[1]


def test_a_p_that_may_be_looked_at_never_rises():
    p = operate.always_valid_p(np.log([[0.5, 4.0, 1.0, 40.0]]))
    assert p[0] == pytest.approx([1, 0.25, 0.25, 0.025])


def test_the_usual_p_is_the_pooled_z_test():
    p = operate.daily_p(
        (np.array([45.0, 0]), np.array([50.0, 0])), (np.array([35.0, 0]), np.array([50.0, 0]))
    )
    assert p == pytest.approx([0.01242, 0.01242], abs=1e-5)
    assert operate.daily_p(*2 * [(np.array([5]), np.array([5]))]).tolist() == [1]


def test_days_are_compared_within_themselves():
    """By hand: two days, each with its expected right answers and its variance."""
    old, new = (np.array([90, 6]), np.array([100, 10])), (np.array([8, 50]), np.array([10, 100]))
    gap, variance = 0.0, 0.0
    for k, n, j, m in zip(old[0], old[1], new[0], new[1], strict=True):
        rate = (k + j) / (n + m)
        gap += k - n * rate
        variance += n * m * rate * (1 - rate) / (n + m)
    assert rollout.daily_z(old, new)[-1] == pytest.approx(gap / math.sqrt(variance))


def test_a_world_that_gets_worse_for_both_is_not_held_against_the_new_version():
    """The new version's answers are the late ones: in one pot they would look far worse."""
    shares = operate.Plan().shares[:9]
    rate = np.repeat([0.95, 0.855], [6, 3])
    rng = np.random.default_rng(0)
    to_new = rng.binomial(1000, shares, (1000, 9))
    old = rng.binomial(1000 - to_new, rate), 1000 - to_new
    new = rng.binomial(to_new, rate), to_new
    z = rollout.daily_z(old, new)
    assert (z[:, -1] > 1.96).mean() < 0.05
    assert (z > rollout.falling_limits(shares)).any(-1).mean() < 0.05
    pot = [tuple(each.sum(-1, keepdims=True) for each in side) for side in (old, new)]
    assert (rollout.daily_z(*pot) > 1.96).mean() > 0.98


def test_a_bad_version_is_sent_back_and_an_equal_one_hardly_ever():
    bad = operate.roll_out((0.95, 0.5))
    assert bad.back.value == 1 and bad.day <= 3 and bad.wrong < bad.all_at_once / 50
    equal = operate.roll_out((0.95, 0.95), streams=1000)
    assert equal.back.interval[1] < 0.05
    better = operate.roll_out((0.8, 0.95))
    assert better.back.hits == 0 and better.day is None
    assert "sent back" in repr(better)


def test_one_planned_look_finds_more_than_one_may_take_every_day():
    worse = operate.roll_out((0.95, 0.93))
    assert worse.once_on == 9 and worse.once.interval[0] > 0.5 > 0.3 > worse.back.interval[1]
    assert "found by one look after day 9" in repr(worse)
    equal = operate.roll_out((0.95, 0.95), streams=4000)
    assert equal.once.interval[0] < 0.025 < equal.once.interval[1], "half of 5 %: the worse side"
    at_once = operate.roll_out((0.95, 0.5), operate.Plan((1.0,)))
    assert at_once.once is None and "look" not in repr(at_once)
    assert at_once.planned is None and at_once.planned_day is None


def test_daily_looks_that_were_planned_find_as_much_as_one():
    equal, worse, broken = (
        operate.roll_out((0.95, new), streams=2000) for new in (0.95, 0.93, 0.02)
    )
    assert 0.02 < equal.planned.value < 0.035, "half of 5 %, and a little for few answers"
    assert abs(worse.planned.value - worse.once.value) < 0.04
    assert broken.planned.value == 1 and broken.planned_day == 2
    assert "found by 9 planned looks, by a limit that falls" in repr(worse)
    assert "by these on day, median" in repr(worse) and worse.planned_day > broken.planned_day


def test_the_limit_for_many_looks_falls_and_is_the_usual_one_for_a_single_look():
    assert rollout.falling_limits(np.array([0.5])) == pytest.approx([1.96], abs=0.02)
    limits = rollout.falling_limits(np.full(5, 0.5))
    assert limits == pytest.approx(2.04 * np.sqrt(5 / np.arange(1, 6)), rel=0.01)  # their table


def test_one_that_everybody_has_can_no_longer_be_told_apart():
    """At a share of 1 nobody has the old one: nothing is learned of the difference."""
    old, new = (np.zeros((1, 5)), np.zeros((1, 5))), (np.ones((1, 5)), np.full((1, 5), 9.0))
    assert operate.evidence(old, new) == pytest.approx(np.zeros((1, 5)), abs=1e-12)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"steps": (0.5, 0.1)}, "steps is"),
        ({"steps": ()}, "steps is"),
        ({"steps": (0, 1)}, "steps is"),
        ({"days": 0}, "days is 0"),
        ({"strength": 1}, "strength is 1"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan, said):
    with pytest.raises(UserError, match=said):
        operate.Plan(**plan)


def test_rates_are_shares():
    for rates in ((0.9, 1.2), (0.9,), (0.9, None)):
        with pytest.raises(UserError, match="rates is"):
            operate.roll_out(rates)
    with pytest.raises(UserError, match=r"rate is 1\.5"):
        operate.same_versions(1.5)
    assert rollout.Plan((0.1, 1.0), 2).shares.tolist() == [0.1, 0.1, 1, 1]


@pytest.mark.parametrize("count", [0, -1, 2.5, True])
def test_requests_and_streams_are_whole_numbers(count):
    for name in ("per_day", "streams"):
        for draw in (lambda **n: operate.roll_out((0.9, 0.9), **n), same_at_ninety):
            with pytest.raises(UserError, match=name):
                draw(**{name: count})
    with pytest.raises(UserError, match="days is"):
        same_at_ninety(days=count)


def same_at_ninety(**counts):
    return operate.same_versions(0.9, **counts)
