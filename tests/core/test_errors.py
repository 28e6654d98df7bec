"""Errors that teach, and the checks of an argument."""

import math

import pytest

from ftkit.core import UserError, errors


def test_a_close_spelling_is_asked_for():
    assert errors.nearest("nf5", ["nf4", "int8"]) == " Did you mean 'nf4'?"
    assert errors.nearest("nothing like it", ["nf4", "int8"]) == ""
    assert errors.nearest("NF4", ["nf4", "int8"]) == " Did you mean 'nf4'?"
    assert errors.nearest("b frosen", ["B frozen"]) == " Did you mean 'B frozen'?"
    assert errors.nearest("constant", ["constant_with_warmup"]).endswith("'constant_with_warmup'?")
    assert errors.nearest("con", ["constant_with_warmup"]) == ""
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


def in_a_cell(source):
    """What a notebook shows of an error: the lines of its output."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    shown = []
    shell._showtraceback = lambda kind, value, lines: shown.extend(lines)
    shell.run_cell(source)
    return shown


def test_a_notebook_shows_the_sentence_and_the_cells_line_alone():
    cell = "from ftkit import UserError\ndef check(r):\n    raise UserError(f'r is {r}.')\ncheck(0)"
    assert in_a_cell(cell) == [
        "UserError: r is 0.",
        "",
        "    line 3 of the cell: raise UserError(f'r is {r}.')",
    ]
    # raised within the kit it is the cell's own line that is shown
    inside = "from ftkit.world import skills, World\nskills.draw_suite(World(), 'nix')"
    shown = in_a_cell(inside)
    assert shown[0].startswith("UserError: ")
    assert shown[-1] == "    line 2 of the cell: skills.draw_suite(World(), 'nix')"
    # what is no mistake of the user's keeps its traceback
    assert any("ZeroDivisionError" in line for line in in_a_cell("1 / 0"))
