"""Settings beside each other: means over seeds, and what is more than chance."""

import pytest

from ftkit import UserError, prefer


def rows(*shares, study="honesty", **scores):
    return [
        prefer.PreferenceRow(
            study=study, seed=seed, scores={"right": share, **scores}, before={}, curve=[],
            columns=(), sample="", stopped=None, seconds=2.0 + seed,
        )
        for seed, share in enumerate(shares)
    ]  # fmt: skip


def test_shares_are_in_per_cent_and_stay_between_none_and_all():
    heads = {"right": "known right", "seconds": "s"}
    table = prefer.over_seeds({"a": rows(0.9, 0.98, 1.0)}, heads, "Ways")
    assert table.heads == ("", "known right", "s")
    assert table.rows == [("a", "96.0 % [82.9, 100.0]", "3.00 [0.52, 5.48]")]


def test_sentences_and_nats_are_no_shares():
    found = rows(1.0, 2.0, 3.0, study="length", kl=4.0)
    table = prefer.over_seeds({"a": found}, {"right": "true", "kl": "KL"}, "Ways")
    assert table.rows == [("a", "2.00 [-0.48, 4.48]", "4.00 [4.00, 4.00]")]
    assert prefer.interval_of(found, "right").value == 2


def test_a_score_that_is_not_there_is_refused_by_name():
    with pytest.raises(
        UserError, match=r"no 'rihgt'; they have seconds, right\. Did you mean 'right'\?"
    ):
        prefer.interval_of(rows(1.0, 0.9), "rihgt")


def test_differences_are_paired_and_corrected():
    usual = rows(0.5, 0.6, 0.7)
    found = prefer.apart({"up": rows(0.61, 0.7, 0.8), "same": rows(0.5, 0.7, 0.6)}, usual, "right")
    assert found["up"].change.value == pytest.approx(0.31 / 3)
    # two comparisons: the smaller p counts twice
    alone = prefer.apart({"up": rows(0.61, 0.7, 0.8)}, usual, "right")["up"]
    assert found["up"].p == pytest.approx(2 * alone.p) and found["up"].p < 0.05
    assert found["same"].p == pytest.approx(1) and found["same"].change.value == pytest.approx(0)


def test_one_seed_makes_no_difference():
    with pytest.raises(UserError, match="'a' shares 1 seed with the other; give two"):
        prefer.apart({"a": rows(0.5)}, rows(0.1, 0.2), "right")


def test_runs_of_two_settings_are_not_taken_for_more_seeds():
    mixed = [*rows(0.1, 0.2), *rows(0.9)]
    for call in (
        lambda: prefer.apart({"a": mixed}, rows(0.1, 0.2), "right"),
        lambda: prefer.apart({"a": rows(0.1, 0.2)}, mixed, "right"),
        lambda: prefer.over_seeds({"a": mixed}, {"right": "right"}, "Ways"),
    ):
        with pytest.raises(UserError, match="seed 0 is there 2 times; give the runs of one"):
            call()
    with pytest.raises(UserError, match="there are no runs; give those of one setting"):
        prefer.over_seeds({"a": []}, {"right": "right"}, "Ways")
