"""Scoring: strict format, exact answers, fields, and values that no prompt holds."""

import json

import pytest

from ftkit import evaluate
from ftkit.evaluate import scoring

GOLD = {"name": "Vezan Tolber", "order": 4821, "urgent": True}
WRONG = {"name": "Made Up", "order": 4821, "urgent": True}


@pytest.mark.parametrize(
    ("reply", "strict"),
    [
        (json.dumps(GOLD), True),
        (json.dumps({**GOLD, "name": "Somebody Else"}), True),
        (json.dumps(GOLD) + " Anything else?", False),
        ("```json\n" + json.dumps(GOLD) + "\n```", False),
        (json.dumps({**GOLD, "order": "4821"}), False),
        (json.dumps({**GOLD, "urgent": 1}), False),
        (json.dumps({k: GOLD[k] for k in ("order", "name", "urgent")}), False),
        (json.dumps({**GOLD, "city": "Solburg"}), False),
        ("[1]", False),
        ("", False),
    ],
)
def test_strict_format(reply, strict):
    assert (evaluate.parse(reply, GOLD) is not None) == strict


def score_of(monkeypatch, replies, golds):
    monkeypatch.setattr(scoring, "answer", lambda *_: replies)
    question = {"role": "user", "content": "Ticket: Vezan Tolber, order 4821."}
    chats = [[question, {"role": "assistant", "content": gold}] for gold in golds]
    return evaluate.score(None, None, {"messages": chats})


def test_a_score_counts_fields_exact_answers_and_inventions(monkeypatch):
    replies = [json.dumps(GOLD), json.dumps(WRONG), "no idea"]
    result = score_of(monkeypatch, replies, [json.dumps(GOLD)] * 3)
    assert (result.exact, result.task.hits, result.format.hits) == ([True, False, False], 1, 2)
    assert {k: v.hits for k, v in result.fields.items()} == {"name": 1, "order": 2, "urgent": 2}
    assert (result.invented.hits, result.invented.n) == (1, 4)
    assert "exact answer" in result._repr_html_()


def test_plain_text_answers_count_exact_match(monkeypatch):
    result = score_of(monkeypatch, ["yes", "no"], ["yes", "yes"])
    assert (result.task.hits, result.fields) == (1, {})


def test_golds_of_every_kind_stand_beside_each_other(monkeypatch):
    """A field counts the rows whose gold has it; a text counts exact match alone."""
    golds = [json.dumps(GOLD), json.dumps({"order": 7}), "yes", "{}"]
    result = score_of(monkeypatch, [json.dumps(WRONG), json.dumps({"order": 7}), "no", "{}"], golds)
    assert result.exact == [False, True, False, True]
    assert result.format.hits == 3
    fields = {key: (rate.hits, rate.n) for key, rate in result.fields.items()}
    assert fields == {"name": (0, 1), "order": (2, 2), "urgent": (1, 1)}
    assert (result.invented.hits, result.invented.n) == (2, 3), "Made Up, and the 7"
