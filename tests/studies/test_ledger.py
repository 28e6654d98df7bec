"""Verdicts follow the rows: another figure, another word; and too few seeds say nothing."""

from dataclasses import replace

import pytest

from ftkit import prefer, studies
from ftkit.studies import ledger, points

LOW = ledger.Statement("D0", "it is above a half", lambda g: g.of(), low=0.5)


def rows(*shares, **changed):
    """Runs of trays, a seed each."""
    return [
        studies.DataRow(
            **vars(replace(points.TRAYS, seed=seed, **changed)),
            scores={"test": share},
            trained_rows=200,
            loss=0.1,
            seconds=1.0,
        )
        for seed, share in enumerate(shares)
    ]


def arms(*shares, task="tickets", arm="shots", **changed):
    return [
        studies.DecidingRow(task=task, arm=arm, seed=seed, scores={"test": share}, **changed)
        for seed, share in enumerate(shares)
    ]


def verdict(statement, data, deciding=()):
    return statement.weigh(ledger.Grids(data, deciding)).verdict


@pytest.mark.parametrize(
    ("shares", "word"),
    [
        ((0.9, 0.91, 0.9), ledger.TRUE),
        ((0.1, 0.11, 0.1), ledger.FALSE),
        ((0.9, 0.1, 0.9), ledger.OPEN),
        ((0.9,), ledger.OPEN),
        ((), ledger.OPEN),
    ],
)
def test_an_interval_decides(shares, word):
    assert verdict(LOW, rows(*shares)) == word


def test_other_runs_are_not_looked_at():
    assert verdict(LOW, [*rows(0.9, 0.9, 0.9), *rows(0.1, 0.1, 0.1, change="flag")]) == ledger.TRUE


def test_differences_are_seed_by_seed():
    first, second = {0: 0.9, 1: 0.8}, {1: 0.5, 2: 0.1}
    assert ledger.minus(first, second) == {1: pytest.approx(0.3)}
    assert ledger.over(first, second) == {1: pytest.approx(1.6)}
    # an arm that draws nothing has one run, which stands beside every other
    assert ledger.minus(first, {0: 0.4}) == {0: pytest.approx(0.5), 1: pytest.approx(0.4)}


@pytest.mark.parametrize(
    ("said", "word"),
    [
        (["holds"], "holds"),
        (["holds", "does not hold"], "depends"),
        (["holds", "does not hold", "cannot be told"], "depends"),
        (["holds", "cannot be told"], "holds in part"),
        (["does not hold", "cannot be told"], "does not always hold"),
        (["cannot be told", "cannot be told"], "cannot be told"),
        (["does not hold", "does not hold"], "does not hold"),
    ],
)
def test_a_rows_verdict(said, word):
    assert ledger.verdict_of(said) == word


def test_few_shots_are_held_against_tuning():
    four = [*arms(0.0, 0.0, amount=4), *arms(0.98, 0.96, arm="tuned", amount=48)]
    found = studies.weigh([], four)
    of = {one.statement.sentence: one.verdict for one in found.weighed if one.values}
    assert list(of.values()) == [ledger.FALSE]
    assert found.verdicts["D2"] == ledger.OPEN


def test_every_statement_finds_its_runs_in_the_grids():
    from ftkit.lab import grids

    found = studies.weigh(grids.read("data"), grids.read("deciding"))
    for one in found.weighed:
        assert len(one.values) >= 3, one.statement.sentence
    assert list(found.verdicts) == [
        "D2", "D3", "D4", "D5", "D7", "D8", "D9", "D10", "D12", "D13", "W1", "W2", "W3", "W4",
    ]  # fmt: skip
    assert repr(found).count("\n") == len(ledger.STATEMENTS) + 1


def preference_rows(*right, **changed):
    """Runs on preferences behind SFT, a seed each."""
    return [
        prefer.PreferenceRow(
            **vars(replace(ledger.BEHIND_SFT, seed=seed, **changed)),
            scores={"right": share}, before={"right": 0.4}, sample="", stopped=None, seconds=1.0,
            columns=("step", "reward"), curve=[[1, 1.5], [2, 4.0 + seed]],
        )
        for seed, share in enumerate(right)
    ]  # fmt: skip


def test_preferences_are_held_against_their_own_grid():
    found = studies.weigh_preferences(
        [*preference_rows(0.8, 0.81, 0.8), *preference_rows(0.1, lr=9)]
    )
    of = {one.statement.sentence: one for one in found.weighed if one.values}
    (gain,) = of.values()
    assert gain.verdict == ledger.TRUE and gain.measured == "40.3 [38.9, 41.8], n = 3"
    assert found.verdicts["P1"] == ledger.PARTLY and found.verdicts["P4"] == ledger.OPEN


def test_a_step_that_has_no_value_is_not_taken_for_zero():
    (row,) = preference_rows(0.5)
    gaps = replace(row, curve=[[1, None], [2, 1.5], [3, 4.0], [4, None]])
    assert ledger.rose("reward")(gaps) == 2.5


def test_what_has_another_unit_says_so():
    rises = ledger.Statement(
        "P0", "the reward rises", lambda g: g.tuned(ledger.rose("reward"), ledger.BEHIND_SFT), 0,
        unit="per reply",
    )  # fmt: skip
    weighed = rises.weigh(ledger.Grids(preferences=preference_rows(0.5, 0.5, 0.5)))
    assert weighed.measured == "3.5 [1.0, 6.0] per reply, n = 3" and weighed.verdict == ledger.TRUE


@pytest.mark.parametrize(
    ("unit", "measured"),
    [
        ("share", "77.7 [24.1, 100.0], n = 3"),
        ("points", "77.7 [24.1, 100.0], n = 3"),
        ("ratio", "77.7 [24.1, 131.2], n = 3"),
    ],
)
def test_an_interval_is_cut_where_no_value_can_lie(unit, measured):
    some = ledger.Statement("D0", "some are right", lambda g: g.of(), low=0.2, unit=unit)
    weighed = some.weigh(ledger.Grids(rows(0.57, 0.76, 1.0)))
    assert weighed.measured == measured
    # the verdict is that of the whole interval
    assert weighed.verdict == ledger.TRUE and weighed.interval.high > 1


@pytest.mark.parametrize(("unit", "least"), [("share", "0.0"), ("points", "-33.0")])
def test_a_share_is_not_below_zero_and_a_difference_may_be(unit, least):
    few = ledger.Statement("D0", "few are right", lambda g: g.of(), high=0.5, unit=unit)
    assert f"[{least}, " in few.weigh(ledger.Grids(rows(0.0, 0.0, 0.3))).measured


def test_every_statement_about_preferences_finds_its_runs():
    from ftkit.lab import grids

    found = studies.weigh_preferences(grids.read("preferences"))
    assert {len(one.values) for one in found.weighed} == {3}
    assert list(found.verdicts) == ["P1", "P2", "P3", "P4"]
