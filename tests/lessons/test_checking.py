"""A check answers back and helps one step more with every wrong answer."""

import pytest

from ftkit import UserError, answers
from ftkit.lessons import check, hint, journal, predict, reveal, score_card, solution


@pytest.fixture(autouse=True)
def in_a_new_kernel():
    journal.MEMORY.clear()  # the tests' journal is this kernel's alone
    yield
    journal.MEMORY.clear()


def heads(feedback):
    return [head for head, _ in feedback.more]


def test_the_ladder_has_a_hint_then_where_to_look_then_the_solution():
    assert check("00.1").right is None and heads(check("00.1", ...)) == []
    assert heads(check("00.1", 2048)) == ["A hint"]
    assert heads(check("00.1", 2048)) == ["A hint"], "the same answer again is no further try"
    assert heads(check("00.1", 1024)) == ["A hint", "Where to look"]
    assert heads(check("00.1", 7)) == ["A hint", "Where to look", "The solution"]
    right = check("00.1", "1 536")
    assert right.right is True and heads(right) == ["The solution"]


def test_what_is_said_is_said_in_text_and_in_html():
    wrong = check("00.1", 2048)
    assert repr(wrong).startswith("Not yet: v_proj is not square") and "A hint: A is" in repr(wrong)
    shown = wrong._repr_html_()
    assert shown.startswith("<b>Not yet:</b>") and "<details><summary>A hint</summary>" in shown
    assert "<code>4 * (256 + 128) = 1536</code>" in check("00.1", 1536)._repr_html_()
    assert "<script>" not in check("00.1", "<script>")._repr_html_()


def test_help_can_be_asked_for_by_hand():
    assert repr(hint("00.1")).startswith("A hint: A is (r, d_in)")
    assert "1536" in repr(solution("00.1")) and "<code>" in solution("00.1")._repr_html_()


def test_evidence_decides_and_its_absence_is_told():
    assert check("01b.1", "lower", 0.5, 0.8).right is True
    assert check("01b.1", "lower", 0.8, 0.5).right is False
    with pytest.raises(UserError, match=r"01b\.1 is measured"):
        check("01b.1", "lower")
    with pytest.raises(UserError, match="Did you mean"):
        check("00.11", 1)


def test_code_that_is_wrong_in_another_way_is_another_try():
    check("09.mcnemar", lambda lost, gained: 0.5)
    check("09.mcnemar", lambda lost, gained: 0.5)
    assert heads(check("09.mcnemar", lambda lost, gained: 2)) == ["A hint", "Where to look"]


def test_a_card_without_answers_says_what_there_is(monkeypatch):
    empty = repr(score_card("00"))
    assert empty.startswith("3 predictions and 6 exercises, none of them answered yet\n")
    monkeypatch.setenv("FTKIT_JOURNAL", "elsewhere.jsonl")
    assert repr(score_card("00")) == empty, "the same on every machine"


def test_the_card_counts_what_was_right_and_the_tries():
    check("00.1", 2048)
    check("00.1", 1536)
    check("00.2", "replay")
    card = score_card("00")
    assert (card.exercises_right, card.predictions_right) == (1, 0)
    lines = {line[0]: line[2:] for line in card.answered}
    assert lines["00.1"] == ("1,536", "✓ right, 2 tries")
    assert lines["00.2"] == ("'replay'", "✗ not yet, 1 try")
    assert lines["00.3"] == ("–", "3 minutes, easy")
    assert "1 of 6 exercises right, 0 of 3 predictions right" in repr(card)


def test_the_card_rounds_what_was_true_as_the_answer_did():
    predict("00.cost", 12)
    reveal("00.cost", 0.32571428)
    assert {line[0]: line[2:] for line in score_card("00").predicted}["00.cost"] == ("12", "✗ 32.6")
    assert [answers.three_digits(x) for x in (16.667, 999.6, 1960, 0.00412)] == [
        "16.7", "1,000", "1,960", "0.00412",
    ]  # fmt: skip


def test_pauses_are_no_minutes_at_work():
    from ftkit.lessons import scores

    times = ("10:00:00", "10:06:00", "12:00:00", "12:04:00", "")
    entries = [journal.Entry("00.1", "exercise", at=f"2026-01-01T{t}+00:00") for t in times]
    assert scores.minutes_spent(entries) == 10
