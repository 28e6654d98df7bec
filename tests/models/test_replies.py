"""Replies: where they end, and what of them is the answer."""

import copy

import families
import pytest

from ftkit import data, models
from ftkit.models import Reply, is_same

TURN = "<|{{ m['role'] }}|>"
EMPTY = "<think>\n\n</think>\n\n"
TEMPLATES = {
    "plain": families.template(TURN + "{{ m['content'] }}<|end|>", "<|assistant|>"),
    "empty think": families.template(
        TURN + "{% if m['role'] == 'assistant' and loop.last %}" + EMPTY + "{% endif %}"
        "{{ m['content'] }}<|end|>",
        "<|assistant|>",
    ),
    "open think": families.template(TURN + "{{ m['content'] }}<|end|>", "<|assistant|><think>\n"),
    "closes think": families.template(
        TURN + "{% if m['role'] == 'assistant' %}<think></think>{% endif %}"
        "{{ m['content'] }}<|end|>",
        "<|assistant|><think>\n",
    ),
    "plain end": families.template(TURN + "{{ m['content'] }}[END]\n", "<|assistant|>"),
}


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


@pytest.fixture
def read(pocket):
    """A function that reads a text as the tokens of a reply, with one of the templates."""
    model, tokenizer = pocket

    def read(text, template="plain"):
        own = copy.deepcopy(tokenizer)
        own.chat_template = TEMPLATES[template]
        reader = models.ReplyReader(model, own)
        return reader.read(own(text, add_special_tokens=False)["input_ids"])

    return read


@pytest.mark.parametrize(
    ("text", "template", "reply"),
    [
        ("yes<|end|>", "plain", Reply("yes")),
        (" yes \n<|end|>no", "plain", Reply("yes")),
        ("yes", "plain", Reply("yes", ended=False)),
        ("<|user|>yes<|end|>", "plain", Reply("yes")),
        ("yes[END]\nno", "plain end", Reply("yes")),
        ("yes[EN", "plain end", Reply("yes[EN", ended=False)),
        # an empty think block is no thought, and a block of thoughts no answer
        (EMPTY + "yes<|end|>", "empty think", Reply("yes")),
        (EMPTY + "yes<|end|>", "plain", Reply("yes")),
        ("<think></think>yes<|end|>", "empty think", Reply("yes")),
        ("yes<|end|>", "empty think", Reply("yes")),
        ("<think>hm</think>yes<|end|>", "plain", Reply("yes", "hm")),
        ("hm\n</think>\nyes<|end|>", "open think", Reply("yes", "hm")),
        ("yes<|end|>", "open think", Reply("yes")),
        ("</think>yes<|end|>", "closes think", Reply("yes")),
        ("<think>hm", "plain", Reply("", "hm", ended=False)),
        ("<think>hm<|end|>", "plain", Reply("<think>hm")),
        ("a <think> b </think> c<|end|>", "plain", Reply("a <think> b </think> c")),
    ],
)
def test_a_reply_is_its_answer(text, template, reply, read):
    assert read(text, template) == reply


def test_thoughts_are_compared_where_the_gold_has_some():
    gold, thoughtful = Reply("yes"), Reply("yes", "hm")
    assert is_same(thoughtful, gold)
    assert is_same(thoughtful, thoughtful)
    assert not is_same(gold, thoughtful)
    assert not is_same(Reply("no", "hm"), thoughtful)


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_gold_is_read_as_its_template_writes_it(template, pocket):
    model, tokenizer = pocket
    own = copy.deepcopy(tokenizer)
    own.chat_template = TEMPLATES[template]
    reader = models.ReplyReader(model, own)
    for gold, reply in (
        ('{"a": 1}', Reply('{"a": 1}')),
        ("<think>\nhm\n</think>\n\nyes", Reply("yes", "hm")),
    ):
        chat = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": gold}]
        if template == "closes think" and reply.thoughts:
            continue  # it writes two blocks then
        read = reader.read(data.render(chat, own).answer_ids)
        assert read._replace(ended=True) == reply


@pytest.mark.parametrize("template", TEMPLATES)
def test_verifying_agrees_with_writing_in_every_template(template, pocket):
    """Golds that are the model's own replies, and others, with thoughts and without."""
    model, tokenizer = pocket
    own = copy.deepcopy(tokenizer)
    own.chat_template = TEMPLATES[template]
    chats = [[{"role": "user", "content": f"Repeat: {word}"}] for word in ("lamp", "a b", "7")]
    replies = models.write_replies(model, own, chats, 12)
    for golds in (
        [reply.text for reply in replies],
        [f"<think>\nhm\n</think>\n\n{reply.text}" for reply in replies],
        [f"{reply.text}!" for reply in replies],
        [reply.text[:2] for reply in replies],
    ):
        reader = models.ReplyReader(model, own)
        rendered = [
            data.render([*chat, {"role": "assistant", "content": gold}], own)
            for chat, gold in zip(chats, golds, strict=True)
        ]
        same = [
            is_same(reply, reader.read(chat.answer_ids))
            for reply, chat in zip(replies, rendered, strict=True)
        ]
        assert models.verify_answers(model, own, chats, golds, 12) == same
