"""Alarms: as seldom as they are said to be where nothing is wrong, and there where something is."""

import math
from dataclasses import replace

import numpy as np
import pytest

from ftkit import UserError, operate
from ftkit.operate import monitoring
from ftkit.operate.alarms import NEVER

SCENE = operate.Scene(days=40, per_day=40)
DAY = 20


def shift(kind, size):
    return operate.Shift(kind, size, DAY)


@pytest.fixture(scope="module")
def watched():
    """(a monitor, the usual pool, what was measured on fresh streams)."""
    known = [chat[0]["content"] for chat in operate.draw_tickets(48, seed=5)["messages"]]
    usual, products, wordings = (
        operate.Pool.of(operate.draw_tickets(60, change, 1), right, known=known)
        for change, right in (("usual", 0.97), ("new products", 0.0), ("new wordings", 0.97))
    )
    cases = {
        "wordings": operate.Case(shift("inputs", 0.2), wordings),
        "products": operate.Case(shift("inputs", 0.2), products),
        "quality": operate.Case(shift("quality", 0.3)),
        "latency": operate.Case(shift("latency", 0.3)),
        "tail": operate.Case(shift("tail", 0.05)),
        "tokens": operate.Case(shift("tokens", 0.1)),
        "mood": operate.Case(shift("mood", 2.0)),
    }
    monitor = operate.calibrate(usual, 0.05, SCENE, streams=400)
    return monitor, usual, monitor.measure(usual, cases, streams=200)


@pytest.mark.parametrize("alarm", operate.ALARMS)
def test_no_alarm_rings_oftener_on_healthy_streams_than_it_may(watched, alarm):
    """On 200 fresh streams: 5 %, and three times what 400 of calibration and these leave open."""
    _, _, found = watched
    assert found.false_alarms[alarm].n == 200
    spread = math.sqrt(0.05 * 0.95 * (1 / 400 + 1 / 200))
    assert found.false_alarms[alarm].value <= 0.05 + 3 * spread


def test_on_average_they_ring_as_often_as_they_may_or_less(watched):
    rates = [rate.value for rate in watched[2].false_alarms.values()]
    assert sum(rates) / len(rates) <= 0.06


@pytest.mark.parametrize(
    ("case", "alarm", "days"),
    [
        ("wordings", "new words, CUSUM", 3),
        ("wordings", "inputs, PSI", 4),
        ("products", "thumbs, CUSUM", 9),
        ("products", "golds, CUSUM", 14),
        ("quality", "golds, CUSUM", 9),
        ("quality", "thumbs, CUSUM", 6),
        ("quality", "thumbs, Page–Hinkley", 7),
        ("latency", "latency p50", 5),
        ("tail", "latency p99", 6),
        ("tokens", "tokens, CUSUM", 3),
        ("mood", "thumbs, CUSUM", 6),
    ],
)
def test_what_is_planted_is_found_within_days(watched, case, alarm, days):
    found = watched[2].found[case][alarm]
    assert found.seen.value > 0.8 and found.days <= days, str(found)


def test_what_an_alarm_does_not_watch_leaves_it_silent(watched):
    found = watched[2].found
    # wordings that are answered well: inputs ring, quality does not
    assert found["wordings"]["golds, CUSUM"].seen.value < 0.1
    # products that are answered wrong: words and forms hardly show it
    assert found["products"]["new words, CUSUM"].seen.value < 0.1
    # a tail that p50 cannot see, and a bad mood that no gold confirms
    assert found["tail"]["latency p50"].seen.value < 0.1
    assert found["mood"]["golds, CUSUM"].seen.value < 0.1


def test_ten_alarms_ring_oftener_than_one_and_bonferroni_mends_it(watched):
    monitor, usual, found = watched
    assert found.any_false.interval[0] > 0.1
    together = monitor.at(0.05, together=True)
    days = together.rings(usual, None, 200, seed=9)
    ever = np.max(list(days.values()), 0) != NEVER
    assert ever.mean() <= 0.09
    assert all(together.heights[name] >= high for name, high in monitor.heights.items())


def test_a_page_shows_two_shifts_and_folds_the_others_with_nothing_lost(watched):
    found = watched[2]
    page = found._repr_html_()
    first, folded = page.split("<details>")
    assert first.count("<th ") == 4 and "products" in first and "quality" not in first
    assert "quality, latency, tail, tokens, mood</summary>" in folded
    # every cell of the table stands once; the alarms head both halves
    assert page.count("<td ") == len(found.table()[2]) * (len(found.table()[1]) + 1)
    few = replace(found, found={"products": found.found["products"]})
    assert "<details>" not in few._repr_html_()


def test_a_higher_rate_gives_lower_thresholds_and_nothing_is_drawn_again(watched):
    monitor = watched[0]
    heights = [monitor.at(rate).heights for rate in (0.01, 0.05, 0.5)]
    for name in operate.ALARMS:
        assert heights[0][name] >= heights[1][name] >= heights[2][name]
    with pytest.raises(UserError, match=r"400 streams cannot show"):
        monitor.at(0.001)


def test_a_delay_counts_from_the_day_of_the_shift_and_leaves_early_alarms_out():
    found = monitoring.Delay.of(np.array([20, 22, 24, NEVER, 5]), 20)
    assert (found.seen.hits, found.seen.n, found.days, found.early) == (3, 4, 3.0, 1)
    assert str(found) == "≈3 d, ≈75 %"
    assert str(monitoring.Delay.of(np.array([NEVER]), 20)) == "≈0 %"
    assert str(monitoring.Delay.of(np.array([NEVER, NEVER, 21]), 20)) == "≈33 %"


def test_the_table_has_a_line_for_each_alarm_and_a_column_for_each_case(watched):
    _, heads, rows = watched[2].table()
    assert [row[0] for row in rows] == list(operate.ALARMS)
    assert list(heads[2:]) == list(watched[2].found)
    values = watched[2].json()
    assert values["streams"] == 200 and values["found"]["quality"]["golds, CUSUM"]["days"] >= 1


def test_some_alarms_alone_and_the_same_seed_the_same_monitor(watched):
    _, usual, _ = watched
    one, same = (operate.calibrate(usual, 0.1, SCENE, 20, only=["golds, CUSUM"]) for _ in range(2))
    assert one.heights == same.heights and list(one.heights) == ["golds, CUSUM"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"only": ["gold, CUSUM"]}, "Did you mean 'golds, CUSUM'"),
        ({"streams": 0}, "streams is 0"),
        ({"rate": 2}, "rate is 2"),
    ],
)
def test_what_cannot_be_is_a_sentence(watched, options, said):
    with pytest.raises(UserError, match=said):
        operate.calibrate(watched[1], **{"scene": SCENE, "streams": 20, **options})
