"""Answers: those that are only verified are the ones that would have been written."""

import pytest
import torch

from ftkit import models
from ftkit.models import answering
from ftkit.world import World, skills

LIMIT = 20  # new tokens, few enough to cut a reply off


@pytest.fixture(scope="module")
def clumsy():
    """A model that errs too: the pocket model, every weight shaken."""
    model, tokenizer = models.load("pocket")
    with torch.no_grad():
        for p in model.parameters():
            noise = torch.randn(p.shape, generator=torch.Generator().manual_seed(0))
            p += 0.4 * p.std() * noise
    return model, tokenizer


@pytest.fixture(scope="module")
def probes():
    names = ("copy", "sort", "known", "write_json")
    return [probe for name in names for probe in skills.draw_suite(World(), name, 10, 1)]


@pytest.fixture(scope="module")
def chats(probes):
    return [[{"role": "user", "content": probe.prompt}] for probe in probes]


@pytest.fixture(scope="module")
def replies(clumsy, chats):
    return models.answer(*clumsy, chats, LIMIT)


def golds_of_every_kind(probes, replies):
    return {
        "right": [probe.answer for probe in probes],
        "its own": replies,
        "longer": [f"{reply} x" for reply in replies],
        "shorter": [reply[:-1] for reply in replies],
        "spaced": [f" {reply}" for reply in replies],
        "empty": [""] * len(replies),
    }


@pytest.mark.parametrize("kind", ["right", "its own", "longer", "shorter", "spaced", "empty"])
def test_whether_a_reply_is_the_gold_is_seen_without_writing_it(
    kind, clumsy, probes, chats, replies, monkeypatch
):
    golds = golds_of_every_kind(probes, replies)[kind]
    written, plain = [], models.answer

    def answer(model, tokenizer, asked, limit):
        written.extend(asked)
        return plain(model, tokenizer, asked, limit)

    monkeypatch.setattr(answering, "answer", answer)
    same = [reply == gold for reply, gold in zip(replies, golds, strict=True)]
    assert models.verify_answers(*clumsy, chats, golds, LIMIT) == same
    assert len(written) < len(chats) or kind in ("spaced", "shorter", "empty")


def test_the_golds_of_that_test_are_of_every_kind(clumsy, probes, replies):
    golds = golds_of_every_kind(probes, replies)
    shares = {kind: sum(map(str.__eq__, replies, gold)) for kind, gold in golds.items()}
    assert 5 < shares["right"] < 35, "the test needs both kinds"
    assert shares["its own"] == 40
    _, tokenizer = clumsy
    lengths = [len(ids) for ids in tokenizer(replies, add_special_tokens=False)["input_ids"]]
    assert max(lengths) >= LIMIT, "and a reply that the limit cuts off"


def test_what_the_first_other_token_says():
    _, tokenizer = models.load("pocket")
    end = tokenizer.eos_token_id
    words = ("city", "order", "the", "name", "ticket")
    letters = {word: tokenizer(word[0], add_special_tokens=False)["input_ids"][0] for word in words}
    tokens = {word: tokenizer(word, add_special_tokens=False)["input_ids"] for word in words}
    word = next(w for w in words if tokens[w][0] != letters[w])
    one, other = tokens[word], tokenizer("#", add_special_tokens=False)["input_ids"]
    assert answering.verify_row(tokenizer, [*one, end], one, {end}) is True
    assert answering.verify_row(tokenizer, [end, *one], one, {end}) is False
    assert answering.verify_row(tokenizer, [*one, other[0]], one, {end}) is False
    assert answering.verify_row(tokenizer, [other[0], *one[1:], end], one, {end}) is False
    # its first letter alone may go on to it
    assert answering.verify_row(tokenizer, [letters[word], *one[1:], end], one, {end}) is None
