"""Which rows can be decided, and what others lack."""

import math

import pytest

from ftkit import UserError, verdicts
from ftkit.verdicts import Figure

ROW = {
    "sentence": "LoRA at rank 16 trains less than 1 %",
    "measure": "lora.count",
    "rule": (0, 1),
    "source": "a guide of 2026",
}
SENTENCE, MEASURE, RULE, SOURCE = verdicts.check_row(ROW).found


def test_a_whole_row_is_decidable():
    found = verdicts.check_row(ROW)
    assert found.ok and found.missing == [] and "Decidable" in str(found)


@pytest.mark.parametrize(
    ("changes", "missing", "said"),
    [
        ({"sentence": "LoRA is often good enough"}, SENTENCE, "'often'"),
        ({"sentence": "LoRA changes the weights"}, SENTENCE, "counted or compared"),
        ({"sentence": "LoRA is better."}, SENTENCE, "not than what"),
        ({"sentence": "LoRA is the best method"}, SENTENCE, "not than what"),
        ({"sentence": "LoRA, as said, needs no more"}, SENTENCE, "not than what"),
        ({"sentence": ""}, SENTENCE, "no sentence"),
        ({"measure": "lora.cuont"}, MEASURE, "'count'"),
        ({"measure": "loar.count"}, MEASURE, "'lora'"),
        ({"measure": "grid lroa"}, MEASURE, "'lora'"),
        ({"measure": "the loss"}, MEASURE, "no name of the kit"),
        ({"measure": lambda: 3}, MEASURE, "list of figures"),
        ({"measure": lambda: 1 / 0}, MEASURE, "ZeroDivisionError"),
        ({"rule": (-math.inf, math.inf)}, RULE, "no figure could"),
        ({"rule": (2, 1)}, RULE, "the lower one first"),
        ({"rule": "it is true"}, RULE, "there is no rule"),
        ({"rule": lambda figures: "holds"}, RULE, "whatever the figures are"),
        ({"rule": lambda figures: 1 / 0}, RULE, "ZeroDivisionError"),
        ({"source": "somebody"}, SOURCE, "nobody is named"),
        ({"source": "a guide of the year"}, SOURCE, "no year"),
    ],
)
def test_what_is_missing_is_named(changes, missing, said):
    found = verdicts.check_row(ROW | changes)
    assert found.missing == [missing] and said in found.found[missing][1]


def test_grids_functions_and_judges_count_as_well():
    own = {"measure": lambda: [Figure("x", 1.0)], "rule": verdicts.each}
    assert verdicts.check_row(ROW | own).ok
    assert verdicts.check_row(ROW | {"measure": "grid lora"}).ok
    for said in (
        "NF4 errs less than int4 does",
        "LoRA is as good as full",
        "It loses at most half",
    ):
        assert verdicts.check_row(ROW | {"sentence": said}).ok, said


def test_a_row_of_another_shape_is_refused():
    with pytest.raises(UserError, match=r"'sentance'.*'sentence'"):
        verdicts.check_row(ROW | {"sentance": "x"})
    with pytest.raises(UserError, match="give a dict"):
        verdicts.check_row("LoRA is good")


def test_an_empty_row_lacks_all_four():
    assert len(verdicts.check_row({}).missing) == 4
