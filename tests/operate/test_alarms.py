"""Statistics of drift: against their definitions written out, and at their limits."""

import numpy as np
import pytest

from ftkit import UserError
from ftkit.operate import alarms

RNG = np.random.default_rng(0)


def test_psi_is_its_formula_and_zero_where_nothing_moved():
    expected, found = np.array([50, 30, 20]), np.array([20, 30, 50])
    e, f = expected / 100, found / 100
    assert alarms.psi(expected, found) == pytest.approx(sum((f - e) * np.log(f / e)))
    assert alarms.psi(expected, 7 * expected) == pytest.approx(0)
    # an empty bin counts for half a request
    assert alarms.psi(np.array([10, 10]), np.array([20, 0])) == pytest.approx(
        alarms.psi(np.array([10, 10]), np.array([20, 0.5]))
    )
    many = np.stack([expected, found])
    assert alarms.psi(expected, many).tolist() == [0, alarms.psi(expected, found)]


def test_ks_is_the_largest_gap_of_two_distribution_functions():
    one, other = RNG.normal(size=200), RNG.normal(0.5, size=90)
    levels = np.unique(np.concatenate([one, other]))
    gap = max(abs((one <= x).mean() - (other <= x).mean()) for x in levels)
    counts = [alarms.count_bins(each, levels) for each in (one, other)]
    assert alarms.ks(*counts) == pytest.approx(gap)
    assert alarms.ks(counts[0], counts[0]) == 0


def test_bins_hold_what_is_above_their_lower_edge_and_at_most_their_upper_one():
    values = np.array([[[0, 1, 1, 2], [5, 5, 5, 5]]])
    assert alarms.count_bins(values, np.array([1, 3])).tolist() == [[[3, 1, 0], [0, 0, 4]]]
    reference = np.array([4.0] * 90 + [6.0] * 10)  # few values give few bins
    assert alarms.bin_edges(reference).tolist() == [4, 6]
    assert alarms.count_bins(reference, alarms.bin_edges(reference)).tolist() == [90, 10, 0]


def test_a_quantile_is_the_edge_in_which_its_share_is_reached():
    values = RNG.lognormal(size=5000)
    edges = np.exp(np.arange(-5, 5, 0.01))
    for share in (0.5, 0.95, 0.99):
        found = alarms.quantile_of(alarms.count_bins(values, edges), edges, share)
        assert found == pytest.approx(np.quantile(values, share), rel=0.02)
    assert alarms.quantile_of(np.array([0, 0, 5]), np.array([1.0, 2.0]), 0.5) == 2


def test_cusum_adds_up_what_is_above_the_slack_and_never_falls_below_zero():
    values = np.array([[1.0, -9.0, 2.0, 0.5, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert alarms.cusum(values, 0.5).tolist() == [[0.5, 0, 1.5, 1.5, 4.0], [0] * 5]


def test_page_hinkley_is_its_recursion_and_needs_no_healthy_mean():
    values = RNG.normal(3, 1, 40)
    mean = total = lowest = 0.0
    wanted = []
    for day, x in enumerate(values, 1):
        mean += (x - mean) / day
        total += x - mean - 0.5
        lowest = min(lowest, total)
        wanted.append(total - lowest)
    assert alarms.page_hinkley(values, 0.5) == pytest.approx(wanted)
    assert alarms.page_hinkley(values + 100, 0.5) == pytest.approx(wanted)


def test_a_window_sums_its_days():
    counts = np.arange(5).reshape(1, 5, 1)
    assert alarms.last_days(counts, 2)[0, :, 0].tolist() == [0, 1, 3, 5, 7]
    assert counts[0, :, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_threshold_is_passed_by_so_many_healthy_streams_at_most():
    """Of exchangeable streams: averaged over calibrations, the rate that was asked for."""
    passed = [
        (RNG.normal(size=100) > alarms.threshold_at(RNG.normal(size=99), 0.1)).mean()
        for _ in range(300)
    ]
    assert np.mean(passed) == pytest.approx(0.1, abs=0.01)
    assert alarms.threshold_at(np.arange(19.0), 0.05) == 18


@pytest.mark.parametrize("rate", [0, 1, -1, "0.05", True])
def test_a_rate_is_a_share(rate):
    with pytest.raises(UserError, match=r"rate is .*above 0 and below 1"):
        alarms.threshold_at(np.arange(99.0), rate)


def test_a_rate_that_so_few_streams_cannot_show_is_refused_with_how_many_can():
    with pytest.raises(UserError, match=r"18 streams cannot show.*draw 19 streams"):
        alarms.threshold_at(np.arange(18.0), 0.05)


def test_the_first_day_above_or_never():
    values = np.array([[0, 2, 3], [0, 0, 1], [1, 1, 1]])
    assert alarms.first_over(values, 1).tolist() == [1, -1, -1]
