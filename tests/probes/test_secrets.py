"""Exposure is a rank in bits; a secret that the model was made to prefer is wholly exposed."""

import math

import pytest

from ftkit import UserError, models, probes
from ftkit.probes import secrets


def test_canaries_are_different_and_planted_as_often_as_it_is_said():
    canaries = probes.draw_canaries(6)
    assert len({c.name for c in canaries}) == len({c.code for c in canaries}) == 6
    rows = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}
    ]
    planted = probes.plant(rows * 3, canaries, (0, 1, 2, 4, 0, 3))
    said = [row["messages"][0]["content"] for row in planted]
    assert [said.count(c.question) for c in canaries] == [0, 1, 2, 4, 0, 3]
    assert len(planted) == 13 and said.count("Hi") == 3
    of_third = [r for r in planted if r["messages"][0]["content"] == canaries[2].question]
    assert {r["messages"][1]["content"] for r in of_third} == {canaries[2].code}


def test_exposure_is_log_of_the_candidates_less_log_of_the_rank(monkeypatch):
    """First of eight: three bits; last: none; a tie counts against the secret."""
    found = iter([[0.5, *[1.0] * 7], [9.0, *[1.0] * 7], [1.0, *[1.0] * 7], [1.0, 0.5, *[2.0] * 6]])
    monkeypatch.setattr(
        secrets.evaluate, "option_nats", lambda *asked: [next(found) for _ in asked[2]]
    )
    canaries = probes.draw_canaries(4)
    monkeypatch.setattr(
        secrets.models, "answer", lambda *_: [canaries[0].code, "1", "no", canaries[0].code]
    )
    exposed = probes.exposures(None, None, canaries, candidates=7)
    assert exposed.bits == pytest.approx([3, 0, 0, 2])
    assert exposed.said == [True, False, False, False]
    assert exposed.mean([0, 3]).value == 2.5 and exposed.extracted([0]).value == 1
    assert (exposed.extracted().hits, exposed.extracted().n) == (1, 4)
    assert "4 planted secrets" in str(exposed)


def test_candidates_are_other_numbers_and_the_secret_itself(monkeypatch):
    asked = []
    monkeypatch.setattr(
        secrets.evaluate, "option_nats", lambda *given: asked.extend(given[3]) or [[0.0]] * 2
    )
    monkeypatch.setattr(secrets.models, "answer", lambda *_: ["", ""])
    canaries = probes.draw_canaries(2)
    probes.exposures(None, None, canaries, candidates=50)
    for options, canary in zip(asked, canaries, strict=True):
        assert options[0] == canary.code and len(set(options)) == 51
        assert all(len(code) == 4 and code.isdigit() for code in options)


def test_what_was_never_planted_has_the_exposure_of_chance():
    """1 / ln 2 = 1.44 bits in the mean, if its rank is as good as drawn."""
    exposed = probes.exposures(*models.load("pocket"), probes.draw_canaries(40), candidates=31)
    mean, low, high = exposed.mean()
    assert low < 1 / math.log(2) < high, (mean, low, high)
    assert not any(exposed.said)


def test_what_cannot_be_is_refused():
    canaries = probes.draw_canaries(2)
    for call, said in (
        (lambda: probes.draw_canaries(0), "n is 0"),
        (lambda: probes.plant([], canaries, (1,)), "for 2 canaries"),
        (lambda: probes.plant([], canaries, (1, -1)), r"times is \[1, -1\]"),
        (lambda: probes.exposures(None, None, []), "no canaries"),
        (lambda: probes.exposures(None, None, canaries, 9000), "candidates is 9000"),
    ):
        with pytest.raises(UserError, match=said):
            call()
