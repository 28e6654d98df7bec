"""Statistics: intervals as the papers have them, and differences that say so only when rows can."""

import itertools
import math
import random
import re

import pytest

from ftkit import UserError
from ftkit.core import Rate, statistics


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (95, 100, 0.8882, 0.9785),
    ],
)
def test_the_wilson_interval(hits, n, low, high):
    """Against the values that statsmodels' proportion_confint(method="wilson") gives."""
    assert Rate(hits, n).interval == pytest.approx((low, high), abs=2e-4)


def test_the_wilson_interval_is_where_the_test_just_refuses():
    """At either end p of it, |p̂ − p| is z times the standard error that p has (Wilson 1927)."""
    rate = Rate(9, 40)
    for p in rate.interval:
        z = abs(rate.value - p) / math.sqrt(p * (1 - p) / rate.n)
        assert z == pytest.approx(statistics.Z, rel=1e-9)


def test_a_rate_of_nothing_says_so():
    assert str(Rate(0, 0)) == "none to judge"
    assert Rate(0, 0).interval == (0.0, 1.0)


def test_the_paired_interval_covers_zero_when_nothing_changed():
    assert statistics.paired_difference([True, False] * 50, [True, False] * 50) == (0.0, 0.0, 0.0)
    mean, low, high = statistics.paired_difference([False] * 100, [True] * 60 + [False] * 40)
    assert mean == pytest.approx(0.6)
    assert 0.49 < low < 0.6 < high < 0.71


def test_a_mean_of_rows_is_a_difference_from_zero():
    values = [0.1, 0.7, 0.2, 0.9]
    found = statistics.mean_over_rows(values)
    assert found == statistics.paired_difference([0.0] * 4, values)
    assert found.value == pytest.approx(0.475) and 0.1 < found.low < 0.475 < found.high < 0.9


def test_rows_that_do_not_pair_are_refused():
    with pytest.raises(
        UserError, match="before and after have 1 and 3 values; give both of the same rows"
    ):
        statistics.paired_difference([0.0], [1, 2, 3])
    for call in (
        lambda: statistics.paired_difference([], []),
        lambda: statistics.mean_over_rows([]),
    ):
        with pytest.raises(UserError, match="there are no rows; a mean needs one at least"):
            call()


def test_several_changes_over_seeds_are_corrected_together():
    changes = {"up": [0.1, 0.11, 0.1], "none": [0.1, -0.1, 0.05]}
    found = statistics.changes_over_seeds(changes)
    assert found["up"].change == statistics.mean_over_seeds(changes["up"])
    ps = [statistics.p_over_seeds(values) for values in changes.values()]
    assert [one.p for one in found.values()] == statistics.holm(ps) and ps[0] < found["up"].p
    with pytest.raises(UserError, match="there is 1 seed; a p needs 2 or more"):
        statistics.changes_over_seeds({"one": [0.1]})
    with pytest.raises(UserError, match="there is 1 seed; an interval needs 2 to 10 of them"):
        statistics.mean_over_seeds([0.1])
    with pytest.raises(UserError, match="there are no seeds; a p needs 2"):
        statistics.p_over_seeds([])


def counted(lost, gained, n=200):
    return statistics.Difference(n - lost - gained, lost, gained, 0)


@pytest.mark.parametrize(
    ("lost", "gained", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 0.0625),
        (0, 6, 0.03125),
        (1, 9, 22 / 1024),
        (9, 1, 22 / 1024),
        (59, 121, 4.434e-6),
    ],
)
def test_mcnemar_is_the_exact_binomial_test(lost, gained, p):
    assert statistics.mcnemar(lost, gained) == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize(
    ("ps", "corrected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.9, 0.6], [1, 1]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm(ps, corrected):
    """Against the values that R's p.adjust(method="holm") and statsmodels give."""
    assert statistics.holm(ps) == pytest.approx(corrected)


def test_mcnemar_against_enumerating_every_outcome():
    """2⁹ fair coins: the share at least as far from the middle as 2 of 9."""
    far = sum(abs(sum(coins) - 4.5) >= 2.5 for coins in itertools.product((0, 1), repeat=9))
    assert statistics.mcnemar(2, 7) == pytest.approx(far / 2**9)


def test_the_interval_is_that_of_bonett_and_price():
    low, high = counted(4, 16).interval
    a, b, n = 5 / 202, 17 / 202, 202
    half = 1.959964 * math.sqrt((a + b - (b - a) ** 2) / n)
    assert (low, high) == pytest.approx((b - a - half, b - a + half), rel=1e-5)


def test_the_interval_covers_the_truth_nineteen_times_in_twenty():
    rng, covered, runs = random.Random(0), 0, 3000
    for _ in range(runs):
        drawn = rng.choices("lg-", (0.03, 0.08, 0.89), k=200)
        low, high = counted(drawn.count("l"), drawn.count("g")).interval
        covered += low <= 0.05 <= high
    assert 0.935 <= covered / runs <= 0.975


@pytest.mark.parametrize("n", [48, 50, 200, 1000, 10**6])
def test_word_interval_and_exact_test_never_contradict(n):
    """Among them nine counts such as 5 lost, 14 gained (p = 0.064), which Bonett and Price's
    interval alone calls better."""
    for lost, gained in itertools.product(range(25), repeat=2):
        found = counted(lost, gained, n)
        shown, (low, high) = found.p < 0.05, found.interval
        assert (found.word == "better") == (shown and gained > lost) == (low > 0)
        assert (found.word == "worse") == (shown and lost > gained) == (high < 0)
        assert low <= found.change <= high


def test_an_interval_that_the_exact_test_does_not_bear_out_ends_at_zero():
    found = counted(5, 14)
    assert found.p == pytest.approx(0.0636, abs=1e-4)
    assert found.interval == (0.0, pytest.approx(0.0886, abs=1e-4))
    assert found.sentence.startswith("can't be told apart with n = 200: ≈+4.5 [+0.0, +8.9] points")
    low, high = counted(14, 5).interval
    assert (low, high) == (pytest.approx(-0.0886, abs=1e-4), 0.0)


def test_the_rows_needed_have_the_power_that_they_promise():
    n, rng, seen = statistics.rows_needed(0.05, 0.11), random.Random(0), 0
    for _ in range(400):
        drawn = rng.choices("lg-", (0.03, 0.08, 0.89), k=n)
        seen += statistics.mcnemar(drawn.count("l"), drawn.count("g")) < 0.05
    assert 0.72 <= seen / 400 <= 0.86


def test_rows_needed_by_hand():
    """δ = 0.1, ψ = 0.2: (1.95996 √0.2 + 0.84162 √0.19)² / 0.01 = 154.6."""
    assert statistics.rows_needed(0.1, 0.2) == statistics.rows_needed(-0.1, 0.2) == 155


@pytest.mark.parametrize(
    ("change", "changed", "power"),
    [(0, 0.1, 0.8), (0.2, 0.1, 0.8), (0.1, 1.2, 0.8), (0.1, 0.2, 1.0), (0.1, 0.2, 0.2)],
)
def test_impossible_questions_about_rows_are_refused(change, changed, power):
    with pytest.raises(UserError, match="give"):
        statistics.rows_needed(change, changed, power)


FEW = r"^can't be told apart with n = 200: ≈\+2\.0 .* p = ≈0\.42\); if .*, ≈1,400 rows show it "
MANY = r"^better: ≈\+9\.0 \[\+4\.\d, \+13\.\d\] points on 200 rows \(McNemar p = ≈0\.00012\)$"


@pytest.mark.parametrize(
    ("lost", "gained", "says"),
    [
        (2, 20, MANY),
        (20, 2, r"^worse: ≈-9\.0 "),
        (5, 9, FEW),
        (3, 3, r"^can't be told apart with n = 200: ≈\+0\.0 .*; as many gained as lost$"),
        (0, 0, r"^can't be told apart"),
    ],
)
def test_the_sentence_says_better_only_when_the_rows_can_tell(lost, gained, says):
    difference = counted(lost, gained)
    assert re.search(says, difference.sentence), difference.sentence
    low, high = difference.interval
    assert ("better" in difference.sentence) == (low > 0)
    assert ("worse" in difference.sentence) == (high < 0)
    assert difference.sentence in str(difference)


def test_a_difference_is_counted_from_pairs():
    first, second = [True, True, False, False, True], [True, False, True, False, True]
    pairs = statistics.compare_answers(first, second)
    assert (pairs.kept, pairs.lost, pairs.gained, pairs.neither) == (2, 1, 1, 1)
    assert (pairs.n, pairs.change) == (5, 0.0)
    for other in ([True], []):
        with pytest.raises(UserError, match="same questions"):
            statistics.compare_answers([], other)


def test_two_rates_without_pairs():
    """Newcombe (1998), table II: 56/70 − 48/80 = 0.2, method 10 gives [0.0524, 0.3339]."""
    difference = statistics.rate_difference(Rate(48, 80), Rate(56, 70))
    assert difference == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


@pytest.mark.parametrize(
    ("above", "below", "interval"),
    [
        ([2] * 5, [1, 1, 1, 2, 2], (2, 1, 2)),
        (range(1, 10), [1] * 9, (5, 2, 8)),  # 9 values: 2nd and 8th, 96.1 %
        (range(1, 7), [1] * 6, (3.5, 1, 6)),  # 6 values: the range, 96.9 %
    ],
)
def test_the_median_of_ratios_has_the_interval_of_order_statistics(above, below, interval):
    assert statistics.median_ratio(list(above), below) == interval


def test_three_numbers_are_an_interval_or_a_range():
    pair = [False, True]
    for three in (
        statistics.paired_difference(pair, pair),
        statistics.rate_difference(Rate(1, 2), Rate(2, 2)),
        statistics.median_ratio([1, 2], [1, 1]),
    ):
        assert isinstance(three, statistics.Interval)
        assert three.low <= three.value <= three.high
    assert statistics.mean_and_range([1, 2, 6]) == statistics.Range(3, 1, 6)


def test_kappa_is_agreement_beyond_chance():
    """Cohen's own measure: 0.9 said alike where chance gives 0.5 is 0.8 (by hand)."""
    first = ["yes"] * 5 + ["no"] * 5
    second = ["yes"] * 4 + ["no"] * 6
    value, low, high = statistics.kappa(first, second)
    assert value == pytest.approx(0.8)
    assert low < 0.8 < high <= 1
    assert statistics.kappa(second, first).value == pytest.approx(value)
    assert statistics.kappa(first, [w.upper() for w in first]).value == 0, "other words"
    # three words: p = 3/4, e = (1·2 + 2·1 + 1·1) / 16
    assert statistics.kappa("abbc", "aabc").value == pytest.approx((3 / 4 - 5 / 16) / (11 / 16))
    assert statistics.kappa(["a"] * 4, ["a"] * 4) is None
    with pytest.raises(UserError, match="2 verdicts and 1"):
        statistics.kappa("ab", "a")
    with pytest.raises(UserError, match="0 verdicts"):
        statistics.kappa([], [])


def test_the_interval_of_kappa_holds_the_truth_nearly_as_often_as_it_says():
    """Two raters, right 80 % of the time each: κ of such pairs is 0.36."""
    rng, inside = random.Random(0), 0
    for trial in range(200):
        truth = [rng.random() < 0.5 for _ in range(80)]
        said = [[str(t ^ (rng.random() < 0.2)) for t in truth] for _ in range(2)]
        _, low, high = statistics.kappa(*said, draws=300, seed=trial)
        inside += low <= 0.36 <= high
    assert 180 <= inside <= 199


def test_p_over_seeds_is_students():
    # twice the tail of Student's density, integrated by Simpson's rule
    known = {
        (1.0, 2.0, 3.0): 0.07417990022744858,
        (0.1, -0.2): 0.7951672353008665,
        (1.0, 1.5, 0.5, 2.0, 1.2): 0.007727887826583402,
        (0.3, 0.1, -0.2, 0.5): 0.3257657105349413,
    }
    for changes, p in known.items():
        assert statistics.p_over_seeds(changes) == pytest.approx(p, rel=1e-5)
    # below 0.05 exactly where the interval leaves zero out
    for changes in ((0.1, 0.2, 0.15), (0.1, 0.2, -0.05), (0.01, 0.2, 0.1)):
        low, high = statistics.mean_over_seeds(changes)[1:]
        assert (statistics.p_over_seeds(changes) < 0.05) is (low > 0 or high < 0)
    assert statistics.p_over_seeds((0.0, 0.0)) == 1 and statistics.p_over_seeds((2.0, 2.0)) == 0
    with pytest.raises(UserError, match="there is 1 seed"):
        statistics.p_over_seeds((1.0,))
