"""Rows D and W: their figures are the notebooks', and their words follow them."""

import math

import pytest
from verdict_rows import Rows

from ftkit import verdicts
from ftkit.verdicts import data_rows

ROWS = Rows(data_rows.CLAIMS)
FOUND, figure, moved = ROWS.found, ROWS.figure, ROWS.moved
WORDS = {
    "depends": "D1 D2 D3 D4 D6 D7 D8 D9 D11 D12 D13 W1 W3 W4 W5 W6".split(),
    "holds here": "D5 D10 W2".split(),
}


def test_each_row_has_its_word():
    expected = {row: word for word, rows in WORDS.items() for row in rows}
    assert {row: found.verdict for row, found in FOUND.items()} == expected


def test_each_judge_can_say_something_else():
    for row, found in FOUND.items():
        assert len(verdicts.possible_words(found.claim.judge, found.figures)) > 1, row


@pytest.mark.parametrize(
    ("row", "start", "low", "high"),
    [
        ("D2", "tickets: right with 8", 0.85, 1.0),  # 05: about 90 % and more
        ("D2", "trays: right with 8", 0.0, 1 / 3),
        ("D2", "trays: right with 96", 0.95, 1.0),
        ("D3", "trays, more and gentler steps: 100 clean rows beat 1,200 with 50", 0.4, 0.7),
        ("D4", "copies of six kinds that exact", 1 / 6, 1 / 6),
        ("D4", "that MinHash", 0.81, 5 / 6),
        ("D4", "full rewordings", 0.0, 0.0),
        ("D4", "a wrong row that stands there 50", 1.0, 1.0),
        ("D5", "facts, half of the test rows", 0.3, 0.6),
        ("D5", "facts, half of them leaked in other", 0.3, 0.33),
        ("D6", "test rows that show", 312, 312),
        ("D7", "tickets in unseen wordings", -0.05, 0.05),
        ("D8", "recall of the 5 % after 40", 0.0, 0.2),
        ("D8", "“never”", 0.776, 0.778),  # 05: 24 to 100 %, mean 77.7
        ("D9", "trained in its own template", 0.9, 1.0),
        ("D10", "tickets, 25 steps", 0.06, 0.09),
        ("D10", "trays, 80 steps", 0.14, 0.16),
        ("D11", "right rows dropped: tickets", 0.0, 0.0),
        ("D11", "right rows dropped: facts", 1.0, 1.0),
        ("D11", "right rows dropped: general", 0.85, 0.95),
        ("D12", "the instruction in front", 0.6, 0.75),
        ("D13", "rows on which two prompts agree beat all of the second", -0.02, 0.02),
        ("W1", "240 facts taught in one wording: right", 0.44, 0.46),
        ("W1", "240 facts taught in three wordings", 0.99, 1.0),
        ("W1", "three wordings: what is left", 0.25, 0.35),
        ("W2", "four passages, nothing trained", 0.97, 1.0),
        ("W3", "tickets: the best prompt less tuned", -0.03, 0.03),
        ("W3", "combined is better: tuned on the facts", -0.12, -0.08),
        ("W4", "one example", 0.95, 1.0),
        ("W4", "four examples reach", 0.0, 0.0),
        ("W5", "prompt tokens of a list", 71.9, 72.1),
        ("W6", "examples that one decision", 43, 43),
        ("W6", "of the others", 3, 3),
    ],
)
def test_figures_are_those_of_the_notebooks(row, start, low, high):
    assert low - 1e-12 <= figure(row, start).value <= high + 1e-12


@pytest.mark.parametrize(
    ("row", "start", "value", "word"),
    [
        ("D1", "completion, as one raw text", 1, "holds"),
        ("D5", "facts, half of the test rows", -0.1, "depends"),
        ("D10", "loss on answers alone", -0.1, "fails here"),
        ("D12", "an unseen instruction behind", 0.2, "holds here"),
        ("D13", "rows on which two prompts agree beat all of the second", 0.2, "holds here"),
        ("W1", "240 facts taught in three wordings", 0.5, "holds here"),
        ("W2", "four passages, the index", 0.5, "fails here"),
        ("W4", "one example", 0.1, "fails here"),
        ("W5", "calls until $4 are paid back, against a list", 1000, "holds"),
        ("W6", "examples that one decision", 46, "holds"),
        ("W6", "of the others", 2, "fails"),
    ],
)
def test_another_figure_is_another_word(row, start, value, word):
    assert moved(row, (start, value)) == word


def test_three_seeds_have_intervals_and_counts_have_none():
    seeds = [one for row in ("D3", "D5", "W1", "W3") for one in FOUND[row].figures]
    assert {one.seeds for one in seeds} == {3} and all(one.low <= one.high for one in seeds)
    assert all(one.low is None for one in FOUND["D6"].figures[:6])


def test_a_list_is_never_paid_back_and_shots_are():
    assert math.isinf(figure("W5", "calls until $4 are paid back, against a list").value)
    assert figure("W5", "calls until $4 are paid back, against four").value < 5000


@pytest.mark.parametrize("row", list(FOUND))
def test_what_decides_runs_in_a_cell(row, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(FOUND[row].claim.decides, {})
