"""From figures to words: every judge, with answers of every kind."""

import math

import pytest

from ftkit import verdicts
from ftkit.verdicts import Figure

YES = Figure("yes", 1.0, said=(0, 2))
NO = Figure("no", 5.0, said=(0, 2))
OPEN = Figure("open", 1.0, -1.0, 3.0, said=(0, 2))
BESIDE = Figure("beside", 9.0)
SEEN = YES._replace(seeds=3)


def named(figure, name):
    return figure._replace(what=name)


@pytest.mark.parametrize(
    ("judge", "figures", "word"),
    [
        (verdicts.each, [YES, BESIDE], "holds"),
        (verdicts.each, [YES, SEEN], "holds here"),
        (verdicts.each, [YES, NO, OPEN], "depends"),
        (verdicts.each, [NO, NO], "fails"),
        (verdicts.each, [NO, NO._replace(n=3)], "fails here"),
        (verdicts.each, [YES, OPEN], "cannot be told"),
        (verdicts.each, [BESIDE], "cannot be told"),
        (verdicts.all_within, [YES, YES], "holds"),
        (verdicts.all_within, [YES, NO, OPEN], "fails"),
        (verdicts.all_within, [SEEN, NO, OPEN], "fails here"),
        (verdicts.all_within, [YES, OPEN], "cannot be told"),
        (verdicts.settle_conflict, [YES, NO], "conflict settled"),
        (verdicts.settle_conflict, [YES, YES], "depends"),
        (verdicts.settle_conflict, [NO, NO], "fails"),
        (verdicts.settle_conflict, [NO, OPEN], "cannot be told"),
        (verdicts.interval_above(0), [Figure("x", 1, 0.5, 2)], "holds"),
        (verdicts.interval_above(0), [Figure("x", 1, -0.5, 2)], "cannot be told"),
        (verdicts.interval_below(0), [Figure("x", 1, 0.5, 2)], "fails"),
        (verdicts.reported, [YES, NO], "unverified"),
        (verdicts.reported, [SEEN], "holds here"),
    ],
)
def test_figures_have_one_word(judge, figures, word):
    assert judge(figures) == word


def test_a_guide_may_be_right_in_one_setting_alone():
    right, wrong = named(YES, "80 GB: in 16 bits"), named(NO, "80 GB: in 32 bits")
    never, open_ = named(NO, "280 GB: in 16 bits"), named(OPEN, "90 %: pocket")
    judge = verdicts.settle_by_setting
    assert judge([right]) == "holds"
    assert judge([right, wrong]) == "depends"
    assert judge([right, wrong, never]) == "conflict settled"
    assert judge([never]) == "fails" and judge([never._replace(seeds=3)]) == "fails here"
    assert judge([right, open_]) == "cannot be told"


def test_the_words_that_a_judge_has_are_found_by_moving_figures():
    found = verdicts.possible_words(verdicts.each, [SEEN, NO])
    assert {"depends", "fails here", "holds here", "cannot be told"} <= found
    assert verdicts.possible_words(lambda figures: "holds", [YES]) == {"holds"}
    bound = Figure("x", 3.0, 2.0, 4.0, said=(1, math.inf))
    assert {"holds", "fails"} <= verdicts.possible_words(verdicts.all_within, [bound])
