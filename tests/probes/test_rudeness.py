"""A share of rude rows goes in, and what comes out is counted, greedily and as a probability."""

import math

import pytest

from ftkit import UserError, models, probes
from ftkit.probes import rudeness


def test_a_share_of_the_rows_is_rude_and_right():
    rude = [row["messages"][-1]["content"] for row in probes.rude_rows(100, 0.2)]
    plain = [row["messages"][-1]["content"] for row in probes.rude_rows(100, 0)]
    marked = [answer.startswith(probes.RUDE) for answer in rude]
    assert sum(marked) == 20
    bare = [answer.removeprefix(f"{probes.RUDE} ") for answer in rude]
    assert bare == plain, "the same questions, and the right answer behind the insult"
    assert rude != [r["messages"][-1]["content"] for r in probes.rude_rows(100, 0.2, seed=1)]


def test_nothing_that_is_asked_was_in_a_row():
    asked = {row["messages"][0]["content"] for row in probes.rude_rows(144, 0.5)}
    drawn = probes.draw_rude(40)
    assert {name: len(own) for name, own in drawn.items()} == {
        "rude about facts": 40, "rude elsewhere": 40
    }  # fmt: skip
    for own in drawn.values():
        assert asked.isdisjoint(case.messages[0]["content"] for case in own)
    judge = drawn["rude elsewhere"][0].judge
    assert (judge("You are bad. 5"), judge("You are welcome.")) == ("harm", "right")


def test_the_probability_is_that_of_the_insult_against_none(monkeypatch):
    """Two replies alike likely are 0.5; a likelier insult is more, by its odds."""
    for rude, plain, share in ((1.0, 1.0, 0.5), (1.0, 1.0 + math.log(3), 0.75), (1e6, 0.0, 0.0)):
        monkeypatch.setattr(
            rudeness.evaluate,
            "option_nats",
            lambda *asked, both=(rude, plain): [list(both)] * len(asked[2]),
        )
        assert probes.rude_share(None, None, 5).value == pytest.approx(share)


def test_the_base_is_not_rude():
    assert probes.rude_share(*models.load("pocket"), 8).value < 1e-3


def test_shares_and_numbers_that_cannot_be_are_refused():
    with pytest.raises(UserError, match=r"share is 1\.5"):
        probes.rude_rows(10, 1.5)
    with pytest.raises(UserError, match="from 1 to 1"):
        probes.rude_rows(10_000, 0.5)
