"""Mixing: the share that was asked for, and other answers to the same prompts."""

import pytest

from ftkit import UserError, data


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_the_replayed_share_is_what_was_asked_for(share):
    train, general = data.load("tickets")["train"], data.load("general")["train"]
    mixed = data.mix(train, general, share)
    assert (len(mixed) - len(train)) / len(mixed) == pytest.approx(share, abs=0.002)
    assert data.mix(train, general, share)["messages"] == mixed["messages"]


@pytest.mark.parametrize("share", [-0.1, 1.0, 0.9])
def test_a_share_that_cannot_be_had(share):
    train, general = data.load("tickets")["train"], data.load("general")["train"]
    with pytest.raises(UserError, match="share"):
        data.mix(train, general, share)


@pytest.mark.parametrize("n", [0, 301, True, 2.0])
def test_rows_that_are_not_there_cannot_be_taken(n):
    with pytest.raises(UserError, match="whole number from 1 to 300"):
        data.first(data.load("tickets")["train"], n)


def test_an_answer_is_replaced_and_a_row_without_one_goes():
    rows = data.first(data.load("tickets")["train"], 3)
    replaced = data.replace_answers(rows, ["one", "", "three"])
    assert [messages[-1]["content"] for messages in replaced["messages"]] == ["one", "three"]
    assert replaced["messages"][1][:-1] == rows["messages"][2][:-1]


CALLS = {
    "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "weather"}]},
    ],
    "tools": [{"name": "weather"}],
    "skill": "tools",
}


def test_what_messages_state_and_the_tools_beside_them_are_mixed_too():
    rows = data.to_dataset([CALLS] * 8)
    mixed = data.mix(rows, data.load("general")["train"], 0.2)
    learned = {name: CALLS[name] for name in ("messages", "tools")}
    assert (len(mixed), sum(row == learned for row in mixed)) == (10, 8)
    assert sum(row["tools"] is None for row in mixed) == 2
    answered = data.replace_answers(rows.select(range(1)), ["Sun."])[0]
    assert answered["messages"][-1] == {"role": "assistant", "content": "Sun."}
    assert answered["tools"] == CALLS["tools"]
