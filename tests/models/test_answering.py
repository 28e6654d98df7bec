"""Answers: those that are only verified are the ones that would have been written."""

import copy

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ftkit import UserError, models
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
    written, plain = [], models.write_replies

    def write_replies(model, tokenizer, asked, limit):
        written.extend(asked)
        return plain(model, tokenizer, asked, limit)

    monkeypatch.setattr(answering, "write_replies", write_replies)
    # white space around a gold says nothing
    same = [reply == gold.strip() for reply, gold in zip(replies, golds, strict=True)]
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
    model, tokenizer = models.load("pocket")
    reader = models.ReplyReader(model, tokenizer)
    end = tokenizer.eos_token_id
    words = ("city", "order", "the", "name", "ticket")
    letters = {word: tokenizer(word[0], add_special_tokens=False)["input_ids"][0] for word in words}
    tokens = {word: tokenizer(word, add_special_tokens=False)["input_ids"] for word in words}
    word = next(w for w in words if tokens[w][0] != letters[w])
    one, other = tokens[word], tokenizer("#", add_special_tokens=False)["input_ids"]
    assert answering.verify_row(reader, [*one, end], one) is True
    assert answering.verify_row(reader, [end, *one], one) is False
    assert answering.verify_row(reader, [*one, other[0]], one) is False
    assert answering.verify_row(reader, [other[0], *one[1:], end], one) is False
    # its first letter alone may go on to it
    assert answering.verify_row(reader, [letters[word], *one[1:], end], one) is None


def test_a_limit_has_to_leave_room_for_a_token(clumsy, chats):
    with pytest.raises(UserError, match="max_new_tokens is 0; give a whole number from 1 on"):
        models.answer(*clumsy, chats[:1], 0)


# What models ship in generation_config.json, and `generate` applies without sampling too.
SHIPPED = {
    "repetition_penalty": 5.0,
    "no_repeat_ngram_size": 1,
    "suppress_tokens": list(range(3, 300)),
    "begin_suppress_tokens": list(range(3, 900)),
    "bad_words_ids": [[token] for token in range(3, 300)],
    "forced_eos_token_id": 5,
    "forced_bos_token_id": 7,
    "min_length": 90,
    "min_new_tokens": 15,
    "num_beams": 3,
    "num_return_sequences": 1,
    "do_sample": True,
    "temperature": 3.0,
    "top_k": 2,
    "max_length": 30,
    "max_new_tokens": 2,
    "sequence_bias": [[[9], 20.0]],
    "exponential_decay_length_penalty": (1, 2.0),
    "stop_strings": ["a", "e"],
    "penalty_alpha": 0.6,
    "guidance_scale": 3.0,
}


@pytest.mark.parametrize("shipped", SHIPPED)
def test_greedy_is_greedy_whatever_the_model_ships(shipped, clumsy, chats, replies):
    """Qwen2.5 Instruct ships a repetition penalty: the same weights then answered otherwise."""
    model, tokenizer = clumsy
    own = model.generation_config
    config = copy.deepcopy(own)
    setattr(config, shipped, SHIPPED[shipped])
    model.generation_config = config
    try:
        few = slice(0, None, 7)
        assert models.answer(model, tokenizer, chats[few], LIMIT) == replies[few]
        assert models.verify_answers(model, tokenizer, chats[few], replies[few], LIMIT) == [
            True for _ in replies[few]
        ]
        assert model.generation_config is config
        assert getattr(config, shipped) == SHIPPED[shipped]
    finally:
        model.generation_config = own


def test_the_models_own_config_comes_back_after_an_error(clumsy, chats):
    model, tokenizer = clumsy
    own = model.generation_config
    reader = models.ReplyReader(model, tokenizer)
    with pytest.raises(RuntimeError), models.greedy(model, reader, max_new_tokens=1) as config:
        assert model.generation_config is config
        raise RuntimeError
    assert model.generation_config is own


@pytest.mark.parametrize("end", ["<|pad|>", None, ["<|pad|>", "<|bos|>"]])
def test_a_reply_ends_where_the_chat_template_ends_it(end, clumsy, chats, replies):
    """Base models end at <|endoftext|>, their template at <|im_end|>; some state no end at all."""
    model, tokenizer = clumsy
    own = model.generation_config
    model.generation_config = copy.deepcopy(own)
    names = tokenizer.convert_tokens_to_ids(end) if end else None
    model.generation_config.eos_token_id = names
    try:
        assert models.answer(model, tokenizer, chats, LIMIT) == replies
        assert models.verify_answers(model, tokenizer, chats, replies, LIMIT) == [True] * 40
    finally:
        model.generation_config = own


def test_a_reply_that_is_cut_off_says_so(clumsy, chats, replies):
    written = models.write_replies(*clumsy, chats, LIMIT)
    assert [reply.text for reply in written] == replies
    longer = models.write_replies(*clumsy, chats, LIMIT + 30)
    for cut, whole in zip(written, longer, strict=True):
        assert cut.text == whole.text if cut.ended else whole.text.startswith(cut.text)
    assert {reply.ended for reply in written} == {True, False}


def test_the_bar_moves_with_every_token_and_ends_full(clumsy, chats, replies, monkeypatch):
    moved = []

    class Bar:
        n = 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            moved.append(self.n)

        def update(self, n=1):
            self.n += n
            moved.append(n)

    def bar(what, total, unit):
        assert (what, total, unit) == (f"{len(chats)} answers", 2 * LIMIT, "token")
        return Bar()

    monkeypatch.setattr(answering, "bar", bar)
    half = -(-len(chats) // 2)
    assert models.answer(*clumsy, chats, LIMIT, batch_size=half) == replies
    assert moved[-1] == 2 * LIMIT
    assert moved.count(1) > 3


@pytest.fixture(scope="module")
def short():
    """A model with learned positions, 96 of them, and the pocket model's tokenizer."""
    _, tokenizer = models.load("pocket")
    torch.manual_seed(0)
    sizes = {"n_positions": 96, "n_embd": 32, "n_layer": 1, "n_head": 2}
    config = GPT2Config(**sizes, vocab_size=len(tokenizer), eos_token_id=0, bos_token_id=0)
    return GPT2LMHeadModel(config).eval(), tokenizer


def test_a_reply_ends_at_the_models_last_position(short):
    """Where positions are learned, one more was an IndexError."""
    chats = [[{"role": "user", "content": "lamp " * n}] for n in (1, 20, 60)]
    whole = models.write_replies(*short, chats, 200)
    assert not any(reply.ended for reply in whole)
    # each has the room that it has by itself
    assert whole == [models.write_replies(*short, [chat], 200)[0] for chat in chats]
    assert models.verify_answers(*short, chats, ["lamp " * 80] * 3, 200) == [False] * 3
    with pytest.raises(
        UserError, match=r"chat 2 has 1\d\d tokens and the model knows 96 positions"
    ):
        models.write_replies(*short, [chats[0], [{"role": "user", "content": "lamp " * 100}]])
