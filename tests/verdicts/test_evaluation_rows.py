"""Rows E, F, M and G1: their figures are the notebooks', and their words follow them."""

import pytest
from verdict_rows import Rows

from ftkit import verdicts
from ftkit.verdicts import evaluation_rows

ROWS = Rows(evaluation_rows.CLAIMS)
CLAIMS, FOUND, figure, moved = ROWS.claims, ROWS.found, ROWS.figure, ROWS.moved
WORDS = {
    "depends": "E5 F3".split(),
    "holds here": "E1 E2 E4 F1".split(),
    "fails here": "F2 G1".split(),
    "cannot be told": ["F4"],
}


def test_each_row_has_its_word():
    expected = {row: word for word, rows in WORDS.items() for row in rows}
    assert {row: found.verdict for row, found in FOUND.items()} == expected
    assert CLAIMS.keys() - FOUND.keys() == {"E3", "M1", "M2", "M3", "M6"}


def test_each_judge_can_say_something_else():
    for row, found in FOUND.items():
        assert len(verdicts.possible_words(found.claim.judge, found.figures)) > 1, row


@pytest.mark.parametrize(
    ("row", "start", "low", "high"),
    [
        ("E1", "a hot run", 0.07, 0.1),  # 10: about 90 % are left
        ("E1", "fifty facts stored", 0.95, 1.0),
        ("E2", "pairs in which", 47, 47),
        ("E2", "of these the pair furthest", 0.223, 0.224),
        ("E2", "such pairs", 47 / 2542, 47 / 2542),
        ("E2", "pairs with one", 3061, 3061),
        ("E4", "tickets learned: JSON", 0.8, 1.0),
        ("E5", "5 points", 312, 312),
        ("E5", "2 points", 1960, 1960),
        ("F1", "three skills like", 0.3, 0.55),
        ("F1", "the other eleven", 0.0, 0.01),
        ("F2", "tickets, mean of seven", -0.012, 0.012),  # 10: at most 1.2 points apart
        ("F3", "rank 1 instead of 16: skills", -0.01, 0.01),
        ("F3", "half the rate: skills", 0.023, 0.034),
        ("F3", "weight decay 0.1: skills", -0.003, 0.003),
        ("F4", "10% replay, hot", 0.015, 0.025),  # 10: by two and four points
        ("F4", "20% replay, hot", 0.035, 0.045),
        ("F4", "5% replay, hot", -0.001, 0.001),
        ("F4", "50% replay, hot", 0.05, 0.1),
        ("G1", "outputs of a sentiment", 2, 2),
    ],
)
def test_figures_are_those_of_the_notebooks(row, start, low, high):
    assert low - 1e-12 <= figure(row, start).value <= high + 1e-12


@pytest.mark.parametrize(
    ("row", "changes", "word"),
    [
        ("E1", [("a hot run", 0.01)], "fails here"),
        ("E2", [("of these the pair", -0.1)], "fails here"),
        ("E2", [("pairs in which", 0)], "fails here"),
        ("E4", [("calls learned: a field", -0.2)], "depends"),
        ("E5", [("5 points", 100), ("2 points", 150)], "holds here"),
        ("F1", [("SmolLM2", -0.1)], "fails here"),
        ("F2", [("80 facts", 0.2)], "depends"),
        (
            "F3",
            [("weight decay 0.1: skills", 0.05), ("rank 1 instead of 16: skills", 0.05)],
            "holds here",
        ),
        (
            "F4",
            [(f"{n}% replay, {run}", 0.1) for n in (10, 20) for run in ("hot", "mild")],
            "holds here",
        ),
        ("G1", [("outputs of", 3), ("texts on which", 0.95)], "holds here"),
    ],
)
def test_another_figure_is_another_word(row, changes, word):
    assert moved(row, *changes) == word


def test_at_equal_score_the_two_methods_are_the_notebooks():
    lora, full = evaluation_rows.keepers(0.95)
    assert (lora.lr, lora.epochs, full.lr, full.epochs) == (5e-4, 12, 1e-4, 12)
    assert (lora.method, full.method) == ("lora", "full")


def test_the_limits_are_those_of_the_red_flags():
    from ftkit import evaluate

    assert figure("E1", "a hot run").said[0] == evaluate.LIMITS["forgetting"]
    assert figure("E1", "fifty facts stored").said[0] == evaluate.LIMITS["hallucination"]


@pytest.mark.parametrize("row", [row for row in FOUND if row != "G1"])
def test_what_decides_runs_in_a_cell(row):
    exec(CLAIMS[row].decides, {})


@pytest.mark.weekly
@pytest.mark.parametrize(
    ("row", "word"),
    [("E3", "depends"), ("M1", "holds here"), ("M2", "fails here"), ("M3", "holds here")],
)
def test_dear_rows_have_their_word_and_can_have_another(row, word):
    found = CLAIMS[row].settle()
    assert found.verdict == word
    assert len(verdicts.possible_words(CLAIMS[row].judge, found.figures)) > 1


def test_three_adapters_that_differ_on_one_base_fail():
    one = verdicts.Figure("of 3 adapters", 3.0, n=512, said=(4.0, 4.0))
    assert CLAIMS["M3"].verdict([one]) == "fails here"
    assert CLAIMS["M3"].verdict([one._replace(value=4.0)]) == "holds here"
