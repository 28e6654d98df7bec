"""Flags follow their rules: RED only when the whole interval is past the limit."""

import dataclasses

import pytest

from ftkit import UserError, evaluate, forgetting
from ftkit.core import Rate
from ftkit.evaluate import Comparison, Latency, Score, red_flags
from ftkit.forgetting import probing

STRANGERS = 100  # questions about them


def score(right, in_format=None, n=200):
    exact = [i < right for i in range(n)]
    replies = ["yes" if e else "no" for e in exact]
    format = Rate(n if in_format is None else in_format, n)
    return Score("model", replies, exact, format, {}, Rate(0, n))


def compared(right=190, in_format=200, made_up=0, slower=1.1):
    """Base and tuned as they might come out; the base is right on half of the rows."""
    hallucination = {"base": Rate(0, STRANGERS), "tuned": Rate(made_up, STRANGERS)}
    speed = Latency({"base": [10.0] * 9, "tuned": [10.0 * slower] * 9})
    return Comparison(score(100), score(right, in_format), hallucination, speed)


def forgotten(skill=50):
    """Eight skills of fifty probes, all right before and `skill` of them after."""
    before, after = ({k: [i < hits for i in range(50)] for k in "abcdefgh"} for hits in (50, skill))
    return forgetting.table(probing.Skills(before), probing.Skills(after))


@pytest.mark.parametrize(
    ("changes", "dimension", "state"),
    [
        ({}, None, "clear"),
        ({"right": 60}, "task", "RED"),
        ({"right": 100}, "task", "open"),
        ({"in_format": 170}, "format", "RED"),
        ({"in_format": 192}, "format", "open"),
        ({"skill": 45}, "forgetting", "RED"),
        ({"skill": 49}, "forgetting", "open"),
        ({"made_up": 30}, "hallucination", "RED"),
        ({"made_up": 6}, "hallucination", "open"),
        ({"slower": 2.5}, "latency", "RED"),
    ],
)
def test_each_flag_follows_its_rule(changes, dimension, state):
    lost = forgotten(changes.pop("skill", 50))
    result = evaluate.flags(compared(**changes), lost)
    states = dict.fromkeys(red_flags.LIMITS, "clear") | ({dimension: state} if dimension else {})
    assert {flag.dimension: flag.state for flag in result.flags} == states
    assert result.red == ([dimension] if state == "RED" else [])
    assert all(flag.rule in str(result) for flag in result.flags)
    assert result.json()["flags"][dimension or "task"]["state"] == state


def test_answers_in_plain_words_have_no_format_to_harm():
    words = compared()
    words = dataclasses.replace(words, tuned=dataclasses.replace(words.tuned, format=Rate(0, 0)))
    raised = evaluate.flags(words, forgotten())
    assert "format" not in {flag.dimension for flag in raised.flags}
    assert "out of format" not in str(raised)


def test_harms_are_written_as_people_read_them():
    """Latency is a ratio, the others are shares in percent."""
    shown = str(evaluate.flags(compared(slower=2.5), forgotten(45)))
    assert "≈2.50 [2.50, 2.50]" in shown
    assert "time for a token, tuned / base > 2.00×" in shown
    assert "≈10.0 % [" in shown
    assert "mean skill lost > 2.0 %" in shown


def test_limits_can_be_moved_and_misspelt_ones_are_named():
    result = evaluate.flags(compared(in_format=170), forgotten(), {"format": 0.5})
    assert "format" not in result.red
    with pytest.raises(UserError, match=r"no dimension 'fromat'.* 'format'"):
        evaluate.flags(compared(), forgotten(), {"fromat": 0.5})
