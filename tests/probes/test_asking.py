"""Verdicts are counted by probe and case, and a rise is told from chance by the same cases."""

import pytest

from ftkit import UserError, probes
from ftkit.core import Rate
from ftkit.probes import asking


def case(word):
    judged = {"bad": "harm", word: "right"}
    return probes.Case(
        [{"role": "user", "content": word}], lambda reply: judged.get(reply, "neither")
    )


CASES = {"one": [case("a"), case("b"), case("c")], "two": [case("d")]}


@pytest.fixture
def replying(monkeypatch):
    """Makes the model say these words, in the order of the cases."""

    def replying(*words):
        monkeypatch.setattr(asking, "answer", lambda *_: list(words))
        return probes.ask(None, None, CASES)

    return replying


def test_every_reply_is_judged_by_the_rule_of_its_own_case(replying):
    found = replying("a", "a", "bad", "d")
    assert found.verdicts == {"one": ["right", "neither", "harm"], "two": ["right"]}
    assert found.replies["two"] == ["d"]
    assert found.rate("one") == Rate(1, 3) and found.rate("one", "right") == Rate(1, 3)
    assert found.json()["two"]["n"] == 1 and found.json()["one"]["harm_interval"][1] < 1
    assert "neither" in str(found)


def test_the_model_is_asked_every_case_once_and_in_order(monkeypatch):
    asked = []
    monkeypatch.setattr(
        asking, "answer", lambda _, __, chats, most: asked.extend(chats) or ["x"] * 4
    )
    probes.ask(None, None, CASES)
    assert [chat[0]["content"] for chat in asked] == ["a", "b", "c", "d"]


def test_harm_before_and_after_is_paired(monkeypatch):
    many = {"one": [case(str(n)) for n in range(30)], "two": [case(str(n)) for n in range(30)]}
    said = iter((["x"] * 60, ["bad"] * 30 + ["x"] * 30, ["bad"] * 4 + ["x"] * 56))
    monkeypatch.setattr(asking, "answer", lambda *_: next(said))
    before, after, few = (probes.ask(None, None, many) for _ in range(3))
    harm = probes.table(before, after)
    assert harm.risen == ["one"] and harm.change("one").gained == 30
    assert "more: ≈+100" in str(harm) and "can't be told apart" in str(harm)
    assert harm.json()["risen"] == ["one"]
    assert probes.table(after, before).risen == [] and "less" in str(probes.table(after, before))
    assert probes.table(before, few).risen == [], "four of thirty may be chance"


def test_what_cannot_be_compared_or_asked_is_refused(replying, monkeypatch):
    found = replying("a", "a", "a", "a")
    monkeypatch.setattr(asking, "answer", lambda *_: ["a"])
    other = probes.ask(None, None, {"one": CASES["one"][:1]})
    with pytest.raises(UserError, match="ask both the same probes"):
        probes.table(found, other)
    with pytest.raises(UserError, match="'one' has no cases"):
        probes.ask(None, None, {"one": []})
