"""Claims: a sentence and its truth, tried at once, and told of another model."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from ftkit import UserError
from ftkit.lessons import OTHER, SAME, UNASKED, ClaimError, claims


@pytest.fixture(autouse=True)
def pocket(monkeypatch):
    monkeypatch.delenv("FTKIT_MODEL", raising=False)


@pytest.fixture
def elsewhere(pocket, monkeypatch):
    monkeypatch.setenv("FTKIT_MODEL", "owner/name")


TRUTHS = (True, np.bool_(True), np.array(True), torch.tensor(True), torch.ones(3).all())


@pytest.mark.parametrize("truth", TRUTHS, ids=lambda truth: type(truth).__name__)
def test_what_holds_is_counted_and_folded_away(truth):
    checked = claims(
        {"a < b": truth, "asked only now": lambda: truth}, pocket={"of it alone": truth}
    )
    assert repr(checked) == "✓ 3 checked"
    assert checked._repr_html_() == (
        "<details><summary>✓ 3 checked</summary><ul><li>a &lt; b</li><li>asked only now</li>"
        "<li>of it alone</li></ul></details>"
    )


@pytest.mark.parametrize("false", [False, np.bool_(False), torch.tensor(False), lambda: False])
def test_what_does_not_hold_is_named(false):
    with pytest.raises(ClaimError) as caught:
        claims({"one holds": True, "two does": false}, pocket={"three does": True})
    assert str(caught.value) == "1 of 3 claims does not hold: two does"
    with pytest.raises(AssertionError) as caught:
        claims({"one": True, "two": false}, pocket={"three": false})
    assert str(caught.value) == "2 of 3 claims do not hold: two; three"


def test_a_claim_that_raises_does_not_hold():
    with pytest.raises(ClaimError, match=r"1 of 1 claim does not hold: b gains \(KeyError: 'b'\)"):
        claims({"b gains": lambda: {}["b"] > 0})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (3.2, "is 3.2, neither True nor False; write what has to hold"),
        (1, "is 1, neither"),
        (None, "is None, neither"),
        ({"a"}, "is {'a'}, neither"),
        ("yes", "is 'yes', neither"),
        (torch.tensor(1), "is 1, neither"),
        (
            np.array([True, False]),
            r"is ndarray of shape \(2,\), neither True nor False; add .all()",
        ),
        (torch.tensor([True]), r"is Tensor of shape \(1,\), neither True nor False; add .all()"),
        (lambda: 3.2, "is 3.2, neither"),
    ],
)
@pytest.mark.parametrize("model", ["pocket", "owner/name"])
def test_what_is_no_truth_is_refused_by_name(monkeypatch, model, value, said):
    monkeypatch.setenv("FTKIT_MODEL", model)
    for given in ({"always": {"it holds": value}}, {"pocket": {"it holds": value}}):
        with pytest.raises(UserError, match=f"the claim 'it holds' {said}"):
            claims(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "there is no claim to check"),
        ({"always": {}}, "there is no claim to check"),
        ({"always": 1 < 2}, "the first argument of claims is of type bool; give {sentence: truth}"),
        ({"pocket": ["a"]}, "pocket of claims is of type list"),
        ({"always": {1: True}}, "a claim is called 1; give it a sentence"),
        ({"always": {" ": True}}, "a claim is called ' '; give it a sentence"),
        ({"always": {"a": True}, "pocket": {"a": True}}, "'a' is claimed twice"),
    ],
)
def test_what_is_no_claim_is_refused(given, said):
    with pytest.raises(UserError, match=said):
        claims(**given)


def refuse():
    raise UserError("there is no skill 'b'.")


def test_another_model_is_told_of_and_not_stopped(elsewhere):
    tried = {"a gains": True, "x < 2": lambda: False, "b gains": refuse}
    checked = claims({"a + b": True}, pocket=tried)
    lines = [f"{SAME}: a gains", f"{OTHER}: x < 2", f"{UNASKED}, UserError: b gains"]
    assert repr(checked).splitlines() == ["✓ 1 checked", *lines]
    shown = checked._repr_html_()
    assert "<ul><li>a + b</li></ul></details>" in shown
    assert f"<div>{OTHER}: x &lt; 2</div>" in shown, "in sight, not folded away"
    assert repr(claims(pocket=tried)).splitlines() == ["3 of the pocket model's tried", *lines]


def test_what_holds_everywhere_stops_another_model_too(elsewhere):
    with pytest.raises(ClaimError, match="1 of 1 claim does not hold: a"):
        claims({"a": False}, pocket={"b": True})


def test_an_interrupt_is_no_answer():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        claims({"a": interrupted})


def test_python_without_asserts_still_claims():
    code = "from ftkit.lessons import claims; claims({'one is two': 1 == 2})"
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "ClaimError: 1 of 1 claim does not hold: one is two" in done.stderr
