"""Prompts say what was asked for, in the order given, and never more than a model has room for."""

import json

import pytest

from ftkit import UserError, data, decide, models

FIELDS = ("name", "city", "item", "issue", "order", "urgent")
LINE = "Give the ticket as JSON."


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


@pytest.fixture(scope="module")
def tickets():
    return data.load("tickets")


def said(chat):
    return [(m["role"], m["content"]) for m in chat]


def user(text):
    return {"role": "user", "content": text}


def shot(question, reply, system=None):
    """A solved example as a chat."""
    head = [{"role": "system", "content": system}] if system else []
    return [*head, user(question), {"role": "assistant", "content": reply}]


def test_zero_shot_is_the_row_without_its_answer(tickets):
    chats = decide.zero_shot(tickets["test"])
    assert len(chats) == 200
    assert chats[0] == tickets["test"][0]["messages"][:-1]


def test_shots_stand_behind_the_system_turn_and_before_the_question(pocket):
    chats = [[{"role": "system", "content": "Be kind."}, user("two?")], [user("three?")]]
    asked = decide.few_shot(*pocket, chats, [shot("one?", "1", "Be short."), shot("none?", "0")])
    turns = [("user", "one?"), ("assistant", "1"), ("user", "none?"), ("assistant", "0")]
    assert said(asked[0]) == [("system", "Be kind."), *turns, ("user", "two?")]
    assert said(asked[1]) == [*turns, ("user", "three?")]


def test_each_chat_may_have_shots_of_its_own(pocket):
    chats = [[user("tea?")], [user("salt?")]]
    asked = decide.few_shot(*pocket, chats, [[shot("a", "b")], [shot("c", "d"), shot("e", "f")]])
    assert [len(chat) for chat in asked] == [3, 5]
    assert asked[1][0]["content"] == "c"


def test_the_nearest_shot_stands_last():
    rows = {"messages": [shot("the red lamp", "1"), shot("a blue fan", "2"), shot("red", "3")]}
    near = decide.nearest_shots([[user("my red lamp")], [user("blue fan")]], rows, 2)
    assert [few[-1][-1]["content"] for few in near] == ["1", "2"]
    assert near[0][0][-1]["content"] == "3"


def test_shots_that_do_not_fit_are_refused_with_the_most_that_do(pocket, tickets):
    chats = decide.zero_shot(tickets["test"])[:20]
    shots = list(tickets["train"]["messages"])[:12]
    with pytest.raises(UserError) as error:
        decide.few_shot(*pocket, chats, shots)
    most = int(str(error.value).split("give ")[1].split()[0])
    assert "12 shots and 64 tokens for the reply need" in str(error.value)
    assert "1,024 positions that the model knows" in str(error.value)
    assert 4 < most < 12
    # the number is the largest: so many fit, and one more does not
    assert len(decide.few_shot(*pocket, chats, shots[:most])) == 20
    with pytest.raises(UserError, match=f"give {most} at most"):
        decide.few_shot(*pocket, chats, shots[: most + 1])


def test_tokens_are_counted_as_the_model_reads_them(pocket, tickets):
    _, tokenizer = pocket
    chats = decide.zero_shot(tickets["test"])[:3]
    counted = decide.count_prompt_tokens(tokenizer, chats)
    written = [tokenizer.apply_chat_template(c, add_generation_prompt=True) for c in chats]
    assert counted == [len(w["input_ids"]) for w in written]
    assert decide.count_prompt_tokens(tokenizer, []) == []


def test_another_last_line_takes_the_place_of_the_old_one_or_is_added():
    chats = [[user("Ticket: a lamp.\nGive the ticket as JSON.")]]
    schema = decide.schema_instruction(["name", "city"])
    assert decide.ask_for(chats, schema, LINE)[0][-1]["content"] == (
        "Ticket: a lamp.\nWrite JSON with name, city."
    )
    added = decide.ask_for(chats, decide.list_instruction(["name"]))[0][-1]["content"]
    assert added == "Ticket: a lamp.\nGive the ticket as JSON.\nList name."
    assert chats[0][-1]["content"].endswith(LINE)


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("name: Ann Lo\norder: 42\nurgent: yes", {"name": "Ann Lo", "order": 42, "urgent": True}),
        ("urgent: no\nnote: a: b", {"urgent": False, "note": "a: b"}),
        ("  name: Ann  ", {"name": "Ann"}),
        ("order: ٤٢", {"order": "٤٢"}),
        ("order: -4", {"order": "-4"}),
        ("I don't know.", {}),
        ("", {}),
    ],
)
def test_a_list_is_read_line_by_line(reply, read):
    assert decide.read_list(reply) == read


def test_what_a_prompt_alone_can_do_on_tickets(pocket, tickets):
    chats = decide.zero_shot(tickets["test"])[:40]
    golds = [json.loads(row[-1]["content"]) for row in tickets["test"]["messages"][:40]]
    asked = decide.ask_for(chats, decide.list_instruction(FIELDS), LINE)
    replies = models.answer(*pocket, asked)
    right = [decide.read_list(text) == gold for text, gold in zip(replies, golds, strict=True)]
    assert sum(right) >= 38


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: decide.few_shot(*p, [[user("a")]], []), "there are no shots; give one solved"),
        (lambda p: decide.few_shot(*p, [[user("a")]], [[user("b")]]), "shot 1 ends in user; give"),
        (lambda p: decide.few_shot(*p, [[user("a")]], [[]]), "shot 1 ends in nothing"),
        (lambda p: decide.few_shot(*p, [[user("a")]], [[shot("b", "c")]] * 2), "2 lists of shots"),
        (lambda p: decide.few_shot(*p, [[user("a")]], [shot("b", "c")], 0), "room is 0; give"),
        (lambda p: decide.nearest_shots([[user("a")]], {"messages": [shot("b", "c")]}, 2), "k is"),
        (lambda p: decide.ask_for([[user("a")]], "b", "c"), "of chat 1 does not end in 'c'"),
        (lambda p: decide.schema_instruction([]), "the fields are []; give a list of names"),
        (lambda p: decide.list_instruction("name"), "the fields are 'name'; give a list"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_in_a_sentence(pocket, call, words):
    with pytest.raises(UserError) as error:
        call(pocket)
    assert words in str(error.value)
