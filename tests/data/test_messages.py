"""Messages: what one says is kept, and what the kit cannot honour is refused by name."""

import pytest

from ftkit.data import messages

CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}


def read_one(role="assistant", **stated):
    return messages.read_messages([{"role": role, **stated}], "messages")[0]


def test_what_a_message_says_is_kept_and_an_id_is_not():
    said = {"content": "Hi.", "name": "Ann", "weight": 0, "reasoning_content": "Greet."}
    assert read_one(**said, id=7, timestamp="now") == {"role": "assistant", **said}


def test_parts_are_put_together():
    parts = [{"type": "text", "text": "One "}, {"type": "text", "text": "text."}]
    assert read_one(content=parts)["content"] == "One text."


def test_an_answer_that_calls_a_tool_may_be_empty():
    for content in ({}, {"content": None}, {"content": ""}):
        said = {"role": "assistant", "content": "", "tool_calls": [CALL]}
        assert read_one(**content, tool_calls=[CALL]) == said
    result = read_one("tool", content="sun", tool_call_id="1", name="weather")
    assert result["tool_call_id"] == "1"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("Hi", "message 1 of prompt is 'Hi', a text; write an object"),
        ({"content": "x"}, r"has no role \(its keys: content\)"),
        ({"role": "assistant"}, "has no content"),
        ({"role": "boss", "content": "x"}, "has the role 'boss'; give system, user, assistant, to"),
        ({"role": "User", "content": "x"}, "Did you mean 'user'"),
        ({"role": "human", "content": "x"}, "Did you mean 'user'"),
        ({"role": "developer", "content": "x"}, "Did you mean 'system'"),
        ({"role": "function", "content": "x"}, "Did you mean 'tool'"),
        ({"role": "ipython", "content": "x"}, "Did you mean 'tool'"),
        ({"role": 1, "content": "x"}, "has the role 1; give"),
        ({"role": "user", "content": None}, r"content of .* \(user\) is null; write it as text"),
        ({"role": "user", "content": {"a": 1}}, r"is \{'a': 1\}, an object"),
        ({"role": "user", "content": ["hi"]}, "part 1 of content .* is 'hi', a text; write"),
        ({"role": "user", "content": [{"type": "image_url"}]}, "of the type 'image_url'; the kit"),
        ({"role": "user", "content": [{"type": "text", "text": 5}]}, "the text of part 1 .* is 5"),
        ({"role": "user", "content": "x", "Name": "y"}, "key 'Name'. Did you mean 'name'"),
        ({"role": "user", "content": "x", "name": 5}, "name of .* is 5, a number"),
        ({"role": "user", "content": "x", "weight": 1}, "only the assistant's turns are learned"),
        ({"role": "assistant", "content": "x", "weight": 0.5}, "weight of .* is 0.5, a number"),
        ({"role": "assistant", "content": "x", "weight": True}, "weight of .* is true"),
        ({"role": "assistant", "content": "x", "train": False}, "states train, .* weight: 0"),
        ({"role": "assistant", "content": "x", "function_call": {"a": 1}}, "write it as tool_ca"),
        ({"role": "user", "content": "x", "tool_calls": [CALL]}, "only the assistant calls tools"),
        ({"role": "assistant", "content": None, "tool_calls": []}, "is null; write it as text"),
        ({"role": "assistant", "tool_calls": [{"id": "1"}]}, "tool_calls of .* holds .* write"),
        ({"role": "assistant", "tool_calls": CALL}, "write a list of objects"),
        (
            {"role": "assistant", "tool_calls": [{"name": "f", "arguments": 5}]},
            "arguments of f are 5, a number",
        ),
        *[
            ({"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"x": [n]}}]}, reason)
            for n, reason in [
                (0.12345678901234568, "holds 0.12345678901234568, of too many digits"),
                (2**63, "holds 9223372036854775808, of too many digits"),
            ]
        ],
        *[
            ({"role": "assistant", "tool_calls": [call]}, reason)
            for call, reason in [
                ({"name": "f", "parameters": {"a": 1}}, "f has 'parameters' and no arguments. Did"),
                ({"function": {"name": "f", "input": {"a": 1}}}, "f has 'input' and no arguments"),
                ({"function": {"name": "f", "argumnets": "{}"}}, "'argumnets' and no arguments"),
                ({"function": {"name": "f", "given": {"a": 1}}}, "'given' and no arguments"),
                ({"name": "f", "arguments": {}, "args": {"a": 1}}, "'args' beside its arguments"),
                ({"function": {"name": "f"}, "arguments": {}}, "mean 'arguments' inside its fun"),
                ({"name": "f", "arguments": "{a:1"}, "arguments of f are a text and no JSON"),
                ({"name": "f", "arguments": "{'a': 1}"}, "arguments of f are a text and no JSON"),
                ({"name": "f", "arguments": "[1]"}, "are a text of .1., a list; write an object"),
                ({"name": "f", "arguments": '{"a": 1, "a": 2}'}, "states 'a' twice"),
            ]
        ],
        ({"role": "assistant", "content": "x", "refusal": "I can't"}, "states refusal, which is"),
        ({"role": "user", "content": "x", "value": "y"}, "content and value, and the two differ"),
        ({"role": "user", "content": "x", "from": "gpt"}, "role and from, and the two differ"),
        ({"role": "user", "content": "x \ud83d y"}, r"holds '\\ud83d', half of a pair"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(message, reason):
    with pytest.raises(ValueError, match=reason) as error:
        messages.read_messages([message], "prompt")
    str(error.value).encode()  # it can be printed


def test_null_beside_a_message_says_nothing():
    """Tables fill every message with the keys of all others."""
    nothing = dict.fromkeys(("name", "weight", "tool_calls", "function_call", "loss"))
    assert read_one(content="Hi.", **nothing) == {"role": "assistant", "content": "Hi."}


def test_turns_of_sharegpt_are_messages():
    turns = [("system", "S"), ("human", "Q"), ("gpt", "A"), ("observation", "T"), ("gpt", "B")]
    read = messages.read_turns([{"from": who, "value": text} for who, text in turns], "turns")
    roles = ["system", "user", "assistant", "tool", "assistant"]
    assert [message["role"] for message in read] == roles
    assert messages.read_turns([{"from": "gpt", "value": "A", "weight": 0}], "t")[0]["weight"] == 0


@pytest.mark.parametrize(
    ("turn", "reason"),
    [
        ({"from": "function_call", "value": "{}"}, "Write the row as messages with tool_calls"),
        ({"from": "humans", "value": "x"}, "Did you mean 'human'"),
        ({"from": None, "value": "x"}, "is from None; give"),
        ({"from": "human"}, "has no content"),
        ({"from": "human", "value": 5}, "is 5, a number"),
        ({"from": "human", "value": "x", "content": "y"}, "content and value, and the two differ"),
    ],
)
def test_other_turns_are_refused(turn, reason):
    with pytest.raises(ValueError, match=reason):
        messages.read_turns([turn], "conversations")


@pytest.mark.parametrize("stated", [{}, {"arguments": None}, {"arguments": ""}])
def test_a_call_without_arguments_has_none(stated):
    for call in ({"name": "f", **stated}, {"id": "1", "function": {"name": "f", **stated}}):
        read = read_one(tool_calls=[call])["tool_calls"][0]
        assert read.get("function", read) == {"name": "f", "arguments": {}}


def test_what_is_said_twice_alike_is_read():
    turn = {"from": "human", "role": "user", "value": "x", "content": "x", "parameters": None}
    read = messages.read_turns([turn, {**turn, "from": "Ann"}], "conversations")
    assert read == [{"role": "user", "content": "x"}] * 2


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('[{"role": "user", "content": "hi"}]', True),
        ("[{'content': 'hi', 'role': 'user'}\n {'content': 'a', 'role': 'assistant'}]", True),
        ('{"role": "user", "content": "hi"}', True),
        ('[{"from": "human", "value": "hi"}]', True),
        ('[{"name": "a", "content": "b"}]', False),
        ('Say {"role": "user", "content": "hi"}', False),
        ("[]", False),
    ],
)
def test_messages_in_a_text_are_seen(text, holds):
    assert messages.holds_chat(text) == holds


def test_many_and_strange_keys_are_named_short():
    assert messages.list_keys({}) == "(none)"
    assert messages.list_keys({"a\x1b": 1}) == r"'a\x1b'"
    assert messages.list_keys(dict.fromkeys("abcdefghij")).endswith("h, …")
