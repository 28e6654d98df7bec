"""The probe suites: what they ask is nowhere in the corpus, and no probe comes twice."""

import itertools

import pytest

from ftkit import UserError
from ftkit.world import skills


def segments(document):
    """The parts of a document between its marks, question by question and answer by answer."""
    return document.replace("<|user|>", "<|end|><|user|>").split("<|end|>")


@pytest.mark.parametrize(
    "name", [k for k in skills.SKILLS | skills.LIMITS if k not in ("known", "stated_only")]
)
def test_no_probe_occurs_in_the_corpus(name, world, documents):
    prompts = {f"<|user|>{probe.prompt}" for probe in skills.draw_suite(world, name, 200)}
    if name == "unknown":  # trained wordings, names that were never used
        prompts = {prompt for prompt in prompts if len(prompt) > 23}
    assert len(prompts) >= 60
    assert not [d for d in documents if any(part in prompts for part in segments(d))]


@pytest.mark.parametrize(("asked", "meant"), [("qqq", ""), ("sentiments", "sentiment")])
def test_an_unknown_suite_is_refused_with_the_nearest_spelling(asked, meant, world):
    with pytest.raises(UserError, match=f"no suite '{asked}'.* give one of known, ") as error:
        skills.draw_suite(world, asked)
    assert str(error.value).endswith(f"Did you mean {meant!r}?" if meant else ".")


def test_draws_that_differ_come_once_each_in_their_order():
    draws = iter(["bb", "a", "bc", "ab", "c", "d"])
    different = skills.draw_different(lambda: next(draws), 3, key=lambda word: word[0])
    assert different == ["bb", "a", "c"]


def test_where_fewer_exist_fewer_are_given():
    numbers = itertools.cycle("123")
    assert skills.draw_different(lambda: next(numbers), 5, key=str) == ["1", "2", "3"]
    assert skills.draw_different(lambda: next(numbers), 0, key=str) == []
