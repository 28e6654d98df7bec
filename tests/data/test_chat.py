"""Chats: every format becomes the same messages, and the answer alone carries loss."""

import pytest

from ftkit import UserError, data, models
from ftkit.data import chat

MESSAGES = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": MESSAGES},
        {"prompt": "Hello!", "completion": "Hi."},
        {"instruction": "Hello!", "output": "Hi."},
        {"instruction": "Hello!", "input": "", "output": "Hi."},
    ],
)
def test_every_format_becomes_the_same_chat(row):
    assert chat.to_messages(row) == MESSAGES


def test_alpacas_input_is_part_of_the_prompt():
    row = {"instruction": "Translate.", "input": "chat", "output": "cat"}
    assert chat.to_messages(row)[0]["content"] == "Translate.\nchat"


def test_only_the_answer_carries_loss():
    _, tokenizer = models.load("pocket")
    answer = tokenizer("Hi.<|end|>", add_special_tokens=False)["input_ids"]
    assert data.count_answer_tokens(MESSAGES, tokenizer) == len(answer)


def test_a_row_that_the_template_refuses_is_named():
    _, tokenizer = models.load("pocket")
    tokenizer.chat_template = "{{ raise_exception('no answers here') }}"
    with pytest.raises(UserError, match=r"row 3 does not fit .*no answers here"):
        data.count_answer_tokens(MESSAGES, tokenizer, where="row 3")
