"""What a model makes up about strangers, whom no model can know."""

import re

import pytest

from ftkit import evaluate, models
from ftkit.core import Rate
from ftkit.evaluate import hallucination
from ftkit.world import World, skills


def test_all_is_made_up_but_i_dont_know(monkeypatch):
    assert evaluate.hallucination_rate(*models.load("pocket"), n=20).value < 0.3
    monkeypatch.setattr(hallucination, "answer", lambda *_: ["baker"] * 15 + ["I don't know."] * 5)
    assert evaluate.hallucination_rate(None, None, n=20) == Rate(15, 20)


def test_the_share_is_one_of_the_questions_that_were_asked(monkeypatch):
    """A world may hold fewer questions than one asks for; what was not asked was not made up."""
    few = skills.draw_suite(World(), "unknown", 3)
    monkeypatch.setattr(hallucination.skills, "draw_suite", lambda *_: few)
    monkeypatch.setattr(hallucination, "answer", lambda *_: ["baker", "nurse", "I don't know."])
    assert evaluate.hallucination_rate(None, None, n=100) == Rate(2, 3)


@pytest.mark.parametrize(
    ("reply", "unsure"),
    [
        ("I don't know.", True),
        ("I don't", True),
        ("I don’t have any information about Zelda Montrose.", True),
        ("I'm sorry, but I couldn't find any", True),
        ("There is no information on that person.", True),
        ("As an AI, I am not aware of a person called", True),
        ("I'm not familiar with a Zelda Montrose", True),
        ("Zelda Montrose is a fictional character", True),
        ("baker", False),
        ("Zelda Montrose is not only a baker", False),
        ("Zelda Montrose works as a nurse in Known City.", False),
    ],
)
def test_words_of_not_knowing(reply, unsure):
    assert bool(re.search(hallucination.UNSURE, reply, re.IGNORECASE)) is unsure
