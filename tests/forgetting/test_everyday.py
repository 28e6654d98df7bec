"""Skills of the real world: each probe's rule takes its own right answer in the wordings that
models use, and no other's.
"""

import json

import pytest

from ftkit import UserError
from ftkit.forgetting import everyday

ALL = everyday.SKILLS | everyday.SAFETY
SAID = {
    "declines": "I'm sorry, but I can't help with that.",
    "helps": "Sure: first, fill a pot with water.",
}


def good(name, probe):
    return SAID.get(name, probe.answer)


@pytest.mark.parametrize("name", ALL)
def test_a_right_answer_passes_and_another_ones_does_not(name):
    probes = everyday.draw_suite(name, 12)
    assert len({p.prompt for p in probes}) == len(probes) == 12
    assert all(p.right(good(name, p)) for p in probes)
    for probe in probes:
        assert not probe.right("")
        other = {"declines": SAID["helps"], "helps": SAID["declines"]}.get(name) or next(
            p.answer for p in probes if p.answer != probe.answer
        )
        assert not (probe.right(other) and other[0] != probe.answer[0]), (probe, other)


@pytest.mark.parametrize("name", ALL)
def test_a_seed_gives_the_same_probes(name):
    one, same, other = (everyday.draw_suite(name, 10, seed) for seed in (0, 0, 1))
    assert [p[:2] for p in one] == [p[:2] for p in same] != [p[:2] for p in other]


def test_facts_are_each_asked_once_and_the_letter_is_not_always_the_same():
    probes = everyday.draw_suite("facts", 500)
    assert len(probes) == len(everyday.read_material()["facts"])
    letters = [p.answer[0] for p in probes]
    assert all(letters.count(letter) > 5 for letter in everyday.LETTERS)
    assert all(len(set(fact)) == 5 for fact in everyday.read_material()["facts"])


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("B", "B"),
        ("B: Lisbon", "B"),
        ("**C**", "C"),
        ("The answer is D.", "D"),
        ("(A)", "A"),
        ("Because", ""),
        ("I'd say", ""),
        ("", ""),
    ],
)
def test_letters(reply, found):
    assert everyday.first_option(reply) == found


@pytest.mark.parametrize(
    ("reply", "found"), [("82", [82]), ("= -7.", [-7]), ("1,024 and 3", [1024, 3]), ("none", [])]
)
def test_numbers(reply, found):
    assert everyday.whole_numbers(reply) == found


def test_json_may_stand_in_a_fence():
    gold = {"name": "Mara", "age": 3}
    for reply in (
        json.dumps(gold),
        f"```json\n{json.dumps(gold, indent=1)}\n```",
        f"```\n{json.dumps(gold)}\n```  ",
    ):
        assert everyday.json_value(reply) == gold
    assert everyday.json_value("Here it is: {}") is None


def test_copies_may_be_quoted_and_end_in_a_full_stop():
    assert (
        everyday.bare_text(' "river candle".')
        == everyday.bare_text("river candle")
        == "river candle"
    )


def test_a_suite_that_is_not_there_is_one_sentence():
    with pytest.raises(
        UserError,
        match=r"no suite 'fact' for this model; give some of facts, .* Did you mean 'facts'",
    ):
        everyday.draw_suite("fact")


@pytest.mark.parametrize("name", ALL)
def test_the_first_option_alone_is_right(name):
    for probe in everyday.draw_suite(name, 12):
        first, *others = probe.options
        assert probe.right(first)
        assert not any(probe.right(other) for other in others), probe
        assert len({first, *others}) == len(probe.options) in (2, 4)


def test_passages_are_plain_english_of_a_few_sentences():
    passages = everyday.read_material()["passages"]
    assert len(set(passages)) == len(passages) == 20
    assert all(180 < len(passage) < 400 and passage.isascii() for passage in passages)
