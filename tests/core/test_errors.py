"""Errors that teach, and the checks of an argument."""

import math

import pytest

from ftkit.core import UserError, errors


def test_a_close_spelling_is_asked_for():
    assert errors.nearest("nf5", ["nf4", "int8"]) == " Did you mean 'nf4'?"
    assert errors.nearest("nothing like it", ["nf4", "int8"]) == ""
    assert errors.nearest(4, ["nf4"]) == "", "what is no text has no spelling"


def test_a_user_error_is_a_value_error():
    with pytest.raises(ValueError, match="give"):
        raise UserError("r is 0; give a whole number from 1 on.")


@pytest.mark.parametrize(
    ("value", "number", "whole"),
    [
        (0, True, True),
        (-3, True, True),
        pytest.param(10**400, True, True, id="larger than any float"),
        (2.0, True, False),
        (True, False, False),
        (math.nan, False, False),
        (math.inf, False, False),
        ("1", False, False),
        (None, False, False),
    ],
)
def test_numbers_and_whole_numbers(value, number, whole):
    assert (errors.is_number(value), errors.is_whole(value)) == (number, whole)


def test_a_sentence_is_one_printable_line():
    sentence = "row 3 holds \t, \x0f, \u2028 and \ud83d;\nmend it."
    expected = "row 3 holds \\t, \\x0f, \\u2028 and \\ud83d;\\nmend it."
    assert str(errors.UserError(sentence)) == expected
