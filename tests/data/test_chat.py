"""Chats: every format becomes the same messages; what a row says is read, or refused by name."""

import json

import pytest

from ftkit import UserError, data, models
from ftkit.data import chat

EXCHANGE = {"prompt": "x", "completion": "y"}
MESSAGES = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]
PAIR = {"prompt": "Hello!", "chosen": "Hi.", "rejected": "Go away."}


@pytest.mark.parametrize(
    "row",
    [
        {"messages": MESSAGES},
        {"prompt": "Hello!", "completion": "Hi."},
        {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]},
        {"instruction": "Hello!", "output": "Hi."},
        {"instruction": "Hello!", "input": "", "output": "Hi."},
        {"instruction": "Hello!", "input": None, "output": "Hi.", "system": "", "history": []},
        {"conversations": [{"from": "human", "value": "Hello!"}, {"from": "gpt", "value": "Hi."}]},
        {"conversations": MESSAGES},
        # other columns, and messages that say again what stands beside them (HuggingFaceH4's sets)
        {"messages": MESSAGES, "prompt": "Hello!", "prompt_id": 7, "source": ["x"], "set": "b"},
        {"messages": MESSAGES, **PAIR, "score_chosen": 9.5},
        {"messages": MESSAGES, "prompt": "Hello!", "chosen": MESSAGES, "rejected": MESSAGES[:1]},
        # a cell of a table, and a label of something else
        {"prompt": "Hello!", "completion": "Hi.", "weight": "1", "label": 1},
        {"messages": MESSAGES, "label": 0},
        {"instruction": "Hello!", "output": "Hi.", "text": "### Instruction: Hello! …"},
    ],
)
def test_every_format_becomes_the_same_chat(row):
    assert chat.to_messages(row) == MESSAGES


def test_alpacas_input_is_part_of_the_prompt():
    row = {"instruction": "Translate.", "input": "chat", "output": "cat"}
    assert chat.to_messages(row)[0]["content"] == "Translate.\nchat"


def test_alpacas_system_and_history_become_messages():
    """As LLaMA-Factory reads them, where others dropped them (hiyouga/LlamaFactory 7592)."""
    history = [["Hi", "Hello"], ("How?", "Well.")]
    row = {"instruction": "Greet.", "output": "Arr.", "system": "A pirate.", "history": history}
    said = [(message["role"], message["content"]) for message in chat.to_messages(row)]
    assert said == [
        ("system", "A pirate."),
        *[("user", "Hi"), ("assistant", "Hello"), ("user", "How?"), ("assistant", "Well.")],
        *[("user", "Greet."), ("assistant", "Arr.")],
    ]
    assert "weight" not in str(chat.to_messages(row))  # history is learned


def test_a_system_text_beside_messages_is_their_first_one():
    system = {"role": "system", "content": "S"}
    assert chat.to_messages({"messages": MESSAGES, "system": "S"}) == [system, *MESSAGES]
    assert chat.to_messages({"messages": [system, *MESSAGES], "system": "S"})[0] == system
    with pytest.raises(ValueError, match="another one; keep one"):
        chat.to_messages({"messages": [system, *MESSAGES], "system": "T"})


def test_answers_in_a_prompt_are_given_and_not_learned():
    row = {"prompt": [*MESSAGES, MESSAGES[0]], "completion": "Hi again."}
    weights = [message.get("weight") for message in chat.to_messages(row)]
    assert weights == [None, 0, None, None]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("text", "the row is 'text', a text, not a JSON object"),
        (None, "the row is null, not a JSON object"),
        ({}, r"the keys \(none\) fit no known format"),
        ({"question": "x", "answer": "y"}, "rename 'question' to 'prompt', 'answer' to 'compl"),
        ({"Prompt": "x", "Completion": "y"}, "rename 'Prompt' to 'prompt', 'Completion' to 'compl"),
        ({"input": "x", "output": "y"}, "rename 'input' to 'prompt', 'output' to 'completion'"),
        ({"instruction": "x", "response": "y"}, "rename 'response' to 'output'"),
        ({"message": MESSAGES}, "rename 'message' to 'messages'"),
        ({"conversation": MESSAGES}, "rename 'conversation' to 'messages'"),
        ({"instruction": "add", "output": 5}, "output is 5, a number; write it as text"),
        ({"instruction": "add", "output": True}, "output is true, neither text nor number"),
        ({"instruction": "add", "output": None}, "output is null; write it as text"),
        ({"instruction": "x", "input": ["a"], "output": "y"}, r"input is \['a'\], a list"),
        ({"instruction": "x", "input": 0, "output": "y"}, "input is 0, a number"),
        ({"instruction": "x", "output": "y", "history": [["a"]]}, "history holds .* pairs"),
        ({"instruction": "x", "output": "y", "history": "a"}, "history is 'a', a text"),
        ({"instruction": "x", "output": "y", "Input": "z"}, "no key 'Input'. Did you mean 'input'"),
        ({"prompt": "x", "completion": "y", "history": [["a", "b"]]}, "states history beside it"),
        ({"prompt": "x", "completion": "y", "instruction": "z"}, "states instruction beside it"),
        ({"prompt": "x", "completion": "y", "context": "z"}, "context is stated, which is not"),
        ({"prompt": "x", "completion": "y", "images": ["a.png"]}, "images is stated"),
        ({"prompt": "x", "completion": "y", "system_prompt": "z"}, "Did you mean 'system'"),
        ({"prompt": "x", "completion": "y", "Split": "test"}, "Did you mean 'split'"),
        ({"prompt": "x", "completion": "y", "set": "Test"}, "'set' is 'Test', and a split is read"),
        ({"prompt": "x", "completion": "y", "weight": 0.5}, "weight is 0.5, a number, for the who"),
        (
            {"prompt": "x", "completion": "y", "label": False},
            "label is False, so the answer is one",
        ),
        ({"prompt": "x", "completion": "y", "label": "false"}, "label is 'false', so the answer"),
        ({"prompt": "x", "completion": "y", "label": 0}, "label is 0, so the answer is one not"),
        ({"messages": MESSAGES, "kto_tag": False}, "kto_tag is False, so the answer is one not"),
        ({"prompt": "x", "completion": "y", "reasoning": "z"}, "reasoning is stated beside the"),
        # LLaMA-Factory's pairs: what both answer is the conversation
        (
            {"conversations": MESSAGES, "chosen": {"from": "gpt", "value": "Yes."}},
            "states chosen beside it",
        ),
        ({"messages": MESSAGES, "conversations": MESSAGES}, "states conversations beside it"),
        ({"messages": MESSAGES, "system": 5}, "system is 5, a number"),
        ({"messages": "Hi"}, "messages is 'Hi', a text; write a list"),
        ({"messages": []}, "messages is an empty list"),
        ({"messages": MESSAGES[:1]}, "not an answer of the assistant but of the role user"),
        ({"prompt": "x", "completion": " \n"}, "the answer is empty"),
        ({"text": "Once upon a time"}, "a raw text has no question"),
        (
            {"prompt": [*MESSAGES[:1], {"role": "assistant", "content": "{"}], "completion": "1}"},
            "the prompt ends in an answer, and the kit goes on from no half answer",
        ),
        *[
            ({**EXCHANGE, key: json.dumps(MESSAGES[:1])}, f"{key} is messages written as text")
            for key in EXCHANGE
        ],
        ({**EXCHANGE, "prompt": str(MESSAGES[:1])}, "prompt is messages written as text"),
        (PAIR, "a preference pair .* write the row as prompt and completion"),
    ],
)
def test_a_row_is_refused_with_the_key_and_what_it_holds(row, reason):
    with pytest.raises(ValueError, match=reason):
        chat.to_messages(row)


@pytest.mark.parametrize(
    "pair",
    [
        PAIR,
        {"prompt": MESSAGES[:1], "chosen": "Hi.", "rejected": "Go away."},
        {
            "chosen": MESSAGES,
            "rejected": [MESSAGES[0], {"role": "assistant", "content": "Go away."}],
        },
        {
            "prompt": "Hello!",  # said again in both
            "chosen": MESSAGES,
            "rejected": [MESSAGES[0], {"role": "assistant", "content": "Go away."}],
        },
        {
            **PAIR,
            "score_chosen": 9,
            "score_rejected": 1,
            "chosen-rating": "5",
            "rejected-rating": "",
        },
        {**PAIR, "chosen_rank": 1, "rejected_rank": 2, "margin": 0.5, "preference": "chosen"},
        {**PAIR, "chosen_tokens": 1, "rejected_tokens": 9, "label": 1},
    ],
)
def test_every_kind_of_pair_becomes_the_same(pair):
    read = chat.to_pair(pair)
    assert (read["prompt"], read["chosen"]) == (MESSAGES[:1], MESSAGES[1:])
    assert read["rejected"] == [{"role": "assistant", "content": "Go away."}]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**PAIR, "rejected": "Hi."}, "say the same"),
        ({**PAIR, "chosen": 3}, "chosen is 3, a number"),
        ({**PAIR, "input": "and this"}, "preference pairs and states input beside it"),
        ({"chosen": "Hi.", "rejected": "No."}, "no prompt"),
        ({"prompt": "x", "completion": "y"}, "no preference pair"),
        *[
            ({**PAIR, **more}, reason)
            for more, reason in [
                ({"score_chosen": 1, "score_rejected": 9}, "score_chosen and score_rejected are 1"),
                ({"chosen_score": "1", "rejected_score": "9.5"}, "the rejected answer is the bett"),
                (
                    {"chosen-rating": 1, "rejected-rating": 2},
                    "chosen-rating and rejected-rating ar",
                ),
                ({"chosen_avg_rating": 1.5, "rejected_avg_rating": 2}, "rejected answer is the be"),
                ({"chosen_rank": 2, "rejected_rank": 1}, "the rejected answer is the better one"),
                ({"scores": {"chosen": 1, "rejected": 9}}, "scores of chosen and rejected are 1 a"),
                ({"score_chosen": 5, "score_rejected": 5}, "both 5, so neither answer is better"),
                ({"margin": -1}, "margin is -1, so the rejected answer is the better one"),
                ({"score_diff": "-0.5"}, "score_diff is '-0.5', so the rejected"),
                ({"preference": "rejected"}, "preference is 'rejected', so the rejected"),
                ({"label": 0}, "label is 0, so the rejected answer is the better one"),
            ]
        ],
        (
            {**PAIR, "prompt": [*MESSAGES, MESSAGES[0], MESSAGES[1]]},
            "the prompt ends in an answer",
        ),
        (
            {**PAIR, "chosen": [{"role": "user", "content": "Other."}, MESSAGES[1]]},
            "chosen has 2 messages behind what both sides share",
        ),
        ({**PAIR, "rejected": "Hi. "}, "have the same text"),
        ({**PAIR, "chosen": json.dumps(MESSAGES)}, "chosen is messages written as text"),
    ],
)
def test_a_pair_that_says_nothing_is_refused(row, reason):
    with pytest.raises(ValueError, match=reason):
        chat.to_pair(row)


@pytest.mark.parametrize("tools", [None, "", [], "[]"])
def test_no_tools_are_none(tools):
    assert chat.to_tools({"tools": tools}) == []


def test_tools_may_be_json_in_a_text():
    weather = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    assert chat.to_tools({"tools": [weather]}) == [weather]
    assert chat.to_tools({"tools": '[{"name": "weather"}]'}) == [{"name": "weather"}]
    for bad in ("weather", '{"name": "weather"}', [5], [{"type": "function"}], {"a": 1}):
        with pytest.raises(ValueError, match="tools"):
            chat.to_tools({"tools": bad})


def test_the_answer_is_counted_with_its_end_mark():
    _, tokenizer = models.load("pocket")
    answer = tokenizer("Hi.<|end|>", add_special_tokens=False)["input_ids"]
    assert data.count_answer_tokens(MESSAGES, tokenizer) == len(answer)


def test_a_row_that_the_template_refuses_is_named():
    _, tokenizer = models.load("pocket")
    tokenizer.chat_template = "{{ raise_exception('no answers here') }}"
    with pytest.raises(UserError, match=r"row 3 does not fit .*no answers here"):
        data.count_answer_tokens(MESSAGES, tokenizer, where="row 3")


def test_a_column_of_ones_own_is_no_slip_of_the_pen():
    row = {"prompt": "Q", "completion": "A", "Rating": 5, "vote": 1}
    assert data.to_messages(row)[-1]["content"] == "A"


def test_a_prompt_may_be_said_again_behind_a_system_turn_of_both():
    """Each side was 3 messages then, which only the trainer refused."""
    system = {"role": "system", "content": "S"}
    sides = {"chosen": [system, *MESSAGES], "rejected": [system, MESSAGES[0]]}
    sides["rejected"].append({"role": "assistant", "content": "Go away."})
    read = chat.to_pair({"prompt": "Hello!", **sides})
    assert read["prompt"] == [system, MESSAGES[0]]
    assert read["chosen"] == MESSAGES[1:]
