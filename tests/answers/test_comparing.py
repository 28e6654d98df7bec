"""Answers are taken as people write them, and what can't be one is told."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from ftkit import UserError, answers
from ftkit.answers import comparing, exercise
from ftkit.answers.exercise import Exercise, Mistake, Prediction

SHARE = Exercise("00.x", "x", 36 / 49, kind=exercise.SHARE)
NUMBER = Exercise("00.x", "x", 4.0634765625)
COUNT = Exercise("00.x", "x", 1536, kind=exercise.COUNT)
POINTS = Exercise("00.x", "x", 98.33, decimals=0)
ROUGH = Exercise("00.x", "x", 1 - 68 / 450, kind=exercise.SHARE, decimals=2)
BIG = Exercise("00.x", "x", 671_088_640)
WORD = Exercise("00.x", "x", "can't say", kind=exercise.WORDS, choices=("yes", "can't say"))


@pytest.mark.parametrize(
    ("asked", "answer", "rounded"),
    [
        (SHARE, 36 / 49, False),
        (SHARE, 0.735, True),
        (SHARE, 0.7347, True),
        (SHARE, 73.5, True),
        (SHARE, "73.5 %", True),
        (SHARE, "73.47 per cent", True),
        (SHARE, "0,735", True),
        (SHARE, "36/49", False),
        (SHARE, Fraction(36, 49), False),
        (SHARE, np.float32(36 / 49), False),
        (SHARE, torch.tensor([36 / 49], requires_grad=True), False),
        (NUMBER, 4.06, True),
        (NUMBER, 4.063, True),
        (NUMBER, "4.0635", True),
        (POINTS, 98, True),
        (POINTS, 98.3, True),
        (POINTS, "98.33", False),
        (POINTS, 98.4, True),
        (ROUGH, 85, True),
        (ROUGH, "85 %", True),
        (ROUGH, 0.85, True),
        (ROUGH, 84.9, True),
        (COUNT, "1,536", False),
        (COUNT, "1 536", False),
        (COUNT, "1_536", False),
        (COUNT, 1536.0, False),
        (COUNT, np.int64(1536), False),
        (BIG, 671_000_000, True),
        (BIG, "6.71e8", True),
        (BIG, "671,088,640", False),
        (WORD, "Can’t_say", False),
        (WORD, " CAN'T SAY. ", False),
    ],
)
def test_what_is_right_is_taken(asked, answer, rounded):
    found = answers.judge(asked, answer)
    assert found.right is True
    assert ("rounded; it is" in found.text) is rounded


@pytest.mark.parametrize(
    ("asked", "answer", "said"),
    [
        (SHARE, 0.734, "a small part is missing, or counted twice"),
        (SHARE, 0.73, "give three significant digits"),
        (SHARE, 0.9, "none of the usual mistakes"),
        (NUMBER, 4.061, "is close, but not it"),
        (NUMBER, 4.1, "give three significant digits"),
        (POINTS, 97, "none of the usual"),
        (POINTS, 99, "none of the usual"),
        (ROUGH, 84, "none of the usual"),
        (ROUGH, 0.85 / 100, "none of the usual"),
        (COUNT, 1540, "none of the usual mistakes"),
        (COUNT, 1535, "none of the usual mistakes"),
        (NUMBER, "about four", "is no number; write one"),
        (NUMBER, True, "is no number"),
        (NUMBER, [4.06, 1], "is no number"),
        (NUMBER, float("nan"), "none of the usual mistakes"),
        (NUMBER, "1/0", "is no number"),
        (WORD, "can't sya", r"none of yes, can't say\. Did you mean \"can't say\"\?"),
        (WORD, 4, "none of yes"),
    ],
)
def test_what_is_wrong_is_told(asked, answer, said):
    import re

    found = answers.judge(asked, answer)
    assert found.right is False and re.search(said, found.text), found


@pytest.mark.parametrize("answer", [None, ..., "...", "", (..., ...), [1, None]])
def test_three_dots_are_no_answer(answer):
    assert answers.judge(NUMBER, answer).right is None


def test_a_named_mistake_comes_before_rounding_and_the_exact_right_before_both():
    asked = Exercise("00.x", "x", 0.5004, (Mistake(0.5, "half"), Mistake(0.5004, "never")))
    assert answers.judge(asked, 0.5).text == "half"
    assert answers.judge(asked, 0.5004).right is True


def test_a_mistake_may_be_rounded_too():
    asked = Exercise("00.x", "x", 2.0, (Mistake(math.pi, "a circle"),))
    assert answers.judge(asked, 3.14).text == "a circle"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,5", 1.5),
        ("1,536.5", 1536.5),
        ("−3", -3),
        ("1e-3", 1e-3),
        ("≈ 12", 12),
        ("12'000", 12000),
    ],
)
def test_numbers_are_read_as_they_are_written(text, value):
    assert comparing.read_number(text).value == pytest.approx(value)


def broken(_):
    raise ValueError("of mine\nand more")


@pytest.mark.parametrize(
    ("code", "right", "said"),
    [
        (broken, False, "it does not run: ValueError, of mine."),
        (lambda: 1, False, "look at the arguments"),
        (lambda x: None, None, "nothing came back"),
        (lambda x: ..., None, "nothing came back"),
        (5, False, "give the function itself"),
    ],
)
def test_code_that_does_not_run_is_told_why(code, right, said):
    value, fault = comparing.attempt(code, 1)
    assert value is None and fault.right is right and said in fault.text


def test_code_that_runs_gives_its_value():
    assert comparing.attempt(lambda x: x + 1, 1) == (2, None)


CHOICE = Prediction("00.x", "?", lambda e: e, options=("a tenth", "a half"))
SLIDER = Prediction("00.x", "?", lambda e: e, between=(1, 100), unit="rows", log=True, near=2)
ORDER = Prediction("00.x", "?", lambda e: e, order=("a", "b", "c"))


@pytest.mark.parametrize(
    ("asked", "guess", "kept"),
    [
        (CHOICE, " A Half", "a half"),
        (SLIDER, "12", 12),
        (SLIDER, torch.tensor(7), 7),
        (ORDER, ["C", "b", "a"], ("c", "b", "a")),
        (ORDER, "c, a, b", ("c", "a", "b")),
    ],
)
def test_a_guess_is_kept_as_the_prediction_has_it(asked, guess, kept):
    assert answers.check_guess(asked, guess) == kept


@pytest.mark.parametrize(
    ("asked", "guess", "said"),
    [
        (CHOICE, "a haff", r"none of 'a tenth', 'a half'\. Did you mean 'a half'"),
        (SLIDER, 0, "no number from 1 to 100 rows"),
        (SLIDER, "many", "no number from 1 to 100"),
        (ORDER, ["a", "b"], "the order has 2 of 3 names"),
        (ORDER, ["a", "b", "b"], "give each of a, b, c once"),
        (ORDER, "a, b, d", "'d' is none of|' d' is none of"),
    ],
)
def test_a_guess_that_can_not_be_is_refused(asked, guess, said):
    with pytest.raises(UserError, match=said):
        answers.check_guess(asked, guess)


def test_near_is_near_enough_and_wrong_evidence_is_refused():
    assert answers.outcome(SLIDER, 12, 20).right is True
    assert answers.outcome(SLIDER, 9, 20).right is False
    with pytest.raises(UserError, match="'a third' is none of a half, a tenth"):
        answers.outcome(CHOICE, "a half", "a third")
    with pytest.raises(UserError, match="'many' is no number"):
        answers.outcome(SLIDER, 9, "many")


def test_evidence_that_was_not_asked_for_is_refused():
    with pytest.raises(UserError, match=r"00\.2 takes an answer and nothing behind it"):
        answers.judge(answers.find_exercise("00.2"), "rate", "rate", {})
    with pytest.raises(UserError, match=r"does not tell it; give the dict `change`"):
        answers.judge(answers.find_exercise("10.2"), 97, {"KL": 1})


def test_of_a_row_of_numbers_it_is_said_how_many_are_right():
    asked = answers.find_exercise("03.1")
    half = [*asked.right[:5], 0.5, 0.6, 0.7]
    assert answers.judge(asked, half).text.startswith("5 of the 8 are right")
    assert answers.judge(asked, asked.right[:5]).text == "there are 5 numbers; give 8."
    assert answers.judge(asked, asked.right[:1]).text == "there is 1 number; give 8."
    one = [asked.right[0], *[9.0] * 7]
    assert answers.judge(asked, one).text == "1 of the 8 is right, the others are not."
    turned = answers.judge(asked, [*asked.right[1:], asked.right[0]]).text
    assert turned == "none of the 8 is right, in this order."
