"""A difference is only called one when the rows can tell; flags follow their rules; what broke is
listed.
"""

import itertools
import math
import random
from dataclasses import replace

import pytest

from ftkit import UserError, evaluate, forgetting, models
from ftkit.core import Rate, statistics
from ftkit.evaluate import Comparison, Latency, Score, red_flags
from ftkit.forgetting import probing, what_broke
from ftkit.world import entities
from ftkit.world import skills as suites


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


def test_the_interval_and_the_exact_test_rarely_disagree():
    """Where they do, few answers changed; 'better' then never rests on p > 0.08."""
    called = [
        d
        for d in (counted(b, c) for b in range(25) for c in range(25))
        if d.word != "can't be told apart"
    ]
    assert max(d.p for d in called) < 0.08
    silent = [
        d
        for d in (counted(b, c) for b in range(25) for c in range(25))
        if d.word == "can't be told apart"
    ]
    assert min(d.p for d in silent) > 0.02


def test_the_rows_needed_have_the_power_that_they_promise():
    n, rng, seen = statistics.rows_needed(0.05, 0.11), random.Random(0), 0
    for _ in range(400):
        drawn = rng.choices("lg-", (0.03, 0.08, 0.89), k=n)
        seen += statistics.mcnemar(drawn.count("l"), drawn.count("g")) < 0.05
    assert 0.72 <= seen / 400 <= 0.86


def test_rows_needed_by_hand_and_read_backwards():
    """δ = 0.1, ψ = 0.2: (1.95996 √0.2 + 0.84162 √0.19)² / 0.01 = 154.6."""
    assert statistics.rows_needed(0.1, 0.2) == statistics.rows_needed(-0.1, 0.2) == 155
    assert statistics.smallest_change(155, 0.2) == pytest.approx(0.1, abs=1e-3)
    assert math.isnan(statistics.smallest_change(3, 0.2))


@pytest.mark.parametrize(
    ("change", "changed", "power"),
    [(0, 0.1, 0.8), (0.2, 0.1, 0.8), (0.1, 1.2, 0.8), (0.1, 0.2, 1.0), (0.1, 0.2, 0.2)],
)
def test_impossible_questions_about_rows_are_refused(change, changed, power):
    with pytest.raises(UserError, match="give"):
        statistics.rows_needed(change, changed, power)


@pytest.mark.parametrize(
    ("lost", "gained", "says"),
    [
        (
            2,
            20,
            r"^better: ≈\+9\.0 \[\+4\.\d, \+13\.\d\] points on 200 rows \(McNemar p = ≈0\.00012\)$",
        ),
        (20, 2, r"^worse: ≈-9\.0 "),
        (
            5,
            9,
            r"^can't be told apart with n = 200: ≈\+2\.0 .* p = ≈0\.42\); ≈1,400 rows would show such a change$",
        ),
        (3, 3, r"^can't be told apart with n = 200: ≈\+0\.0 .*; as many gained as lost$"),
        (0, 0, r"^can't be told apart"),
    ],
)
def test_the_sentence_says_better_only_when_the_rows_can_tell(lost, gained, says):
    import re

    found = counted(lost, gained)
    assert re.search(says, found.sentence), found.sentence
    low, high = found.interval
    assert ("better" in found.sentence) == (low > 0)
    assert ("worse" in found.sentence) == (high < 0)
    assert found.sentence in str(found)


def test_a_difference_is_counted_from_pairs():
    found = statistics.compare_answers(
        [True, True, False, False, True], [True, False, True, False, True]
    )
    assert (found.kept, found.lost, found.gained, found.neither, found.n, found.change) == (
        2,
        1,
        1,
        1,
        5,
        0.0,
    )
    for other in ([True], []):
        with pytest.raises(UserError, match="same questions"):
            statistics.compare_answers([], other)


def test_two_rates_without_pairs():
    """Newcombe (1998), table II: 56/70 − 48/80 = 0.2, method 10 gives [0.0524, 0.3339]."""
    assert statistics.rate_difference(Rate(48, 80), Rate(56, 70)) == pytest.approx(
        (0.2, 0.0524, 0.3339), abs=1e-4
    )


def test_the_median_of_ratios_has_the_interval_of_order_statistics():
    assert statistics.median_ratio([2] * 5, [1, 1, 1, 2, 2]) == (2, 1, 2)
    assert statistics.median_ratio(list(range(1, 10)), [1] * 9) == (
        5,
        2,
        8,
    )  # 9 values: 2nd and 8th, 96.1 %
    assert statistics.median_ratio(list(range(1, 7)), [1] * 6) == (
        3.5,
        1,
        6,
    )  # 6 values: the range, 96.9 %


def score(right, in_format=None, n=200):
    exact = [i < right for i in range(n)]
    return Score(
        "model",
        ["yes" if e else "no" for e in exact],
        exact,
        Rate(n if in_format is None else in_format, n),
        {},
        Rate(0, n),
    )


def measured(right=190, in_format=200, made_up=0, slower=1.1, skill=50):
    speed = Latency({"base": [10.0] * 9, "tuned": [10.0 * slower] * 9})
    compared = Comparison(
        score(100),
        score(right, in_format),
        {"base": Rate(0, 100), "tuned": Rate(made_up, 100)},
        speed,
    )
    before, after = ({k: [i < hits for i in range(50)] for k in "abcdefgh"} for hits in (50, skill))
    return evaluate.flags(compared, forgetting.table(probing.Skills(before), probing.Skills(after)))


@pytest.mark.parametrize(
    ("changes", "dimension", "state"),
    [
        ({}, None, "clear"),
        ({"right": 60}, "task", "RED"),
        ({"right": 100}, "task", "open"),
        ({"in_format": 170}, "format", "RED"),
        ({"in_format": 192}, "format", "open"),
        ({"skill": 45}, "forgetting", "RED"),
        ({"skill": 49}, "forgetting", "open"),
        ({"made_up": 30}, "hallucination", "RED"),
        ({"made_up": 6}, "hallucination", "open"),
        ({"slower": 2.5}, "latency", "RED"),
    ],
)
def test_each_flag_follows_its_rule(changes, dimension, state):
    found = measured(**changes)
    assert {f.dimension: f.state for f in found.flags} == dict.fromkeys(
        red_flags.LIMITS, "clear"
    ) | ({dimension: state} if dimension else {})
    assert found.red == ([dimension] if state == "RED" else [])
    assert all(f.rule in str(found) for f in found.flags)
    assert found.json()["flags"][dimension or "task"]["state"] == state


def test_limits_can_be_moved_and_misspelt_ones_are_named():
    compared = Comparison(
        score(100),
        score(190, 170),
        {"base": Rate(0, 100), "tuned": Rate(0, 100)},
        Latency({"base": [1.0] * 6, "tuned": [1.0] * 6}),
    )
    same = probing.Skills({"copy": [True] * 50})
    found = evaluate.flags(compared, forgetting.table(same, same), {"format": 0.5})
    assert "format" not in found.red
    with pytest.raises(UserError, match=r"no dimension 'fromat'.* 'format'"):
        evaluate.flags(compared, forgetting.table(same, same), {"fromat": 0.5})


def test_broken_probes_are_listed_with_what_is_said_now(monkeypatch):
    before = probing.Skills({"copy": [True, True, False], "count": [True, True, True]})
    after = probing.Skills({"copy": [True, False, False], "count": [False, True, False]})
    monkeypatch.setattr(
        red_flags,
        "answers",
        lambda model, tokenizer, chats, n: [f"said {c[0]['content']}" for c in chats],
    )
    found = forgetting.regressions(forgetting.table(before, after), None, models.load("pocket")[1])
    copy, count = (suites.draw_suite(entities.World(), name, 3) for name in ("copy", "count"))
    assert found.broken == [
        ("copy", copy[1].prompt, copy[1].answer, f"said {copy[1].prompt}"),
        ("count", count[0].prompt, count[0].answer, f"said {count[0].prompt}"),
        ("count", count[2].prompt, count[2].answer, f"said {count[2].prompt}"),
    ]
    assert found.counts == {"count": 2, "copy": 1}
    assert found.passed == 5
    assert copy[1].prompt in str(found)


def test_broken_rows_are_listed():
    rows = {
        "messages": [
            [{"role": "user", "content": f"ask {i}"}, {"role": "assistant", "content": "gold"}]
            for i in range(3)
        ]
    }
    base = replace(score(2, n=3), replies=["gold", "gold", "no"])
    tuned = replace(score(3, n=3), replies=["gold", "bad", "gold"], exact=[True, False, True])
    found = what_broke.row_regressions(rows, base, tuned)
    assert found.broken == [("row 1", "ask 1", "gold", "bad")]
    assert statistics.Rate(len(found.broken), found.passed).value == 0.5
