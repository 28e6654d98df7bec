"""Rows of managed APIs: each form as its provider states it, and what it can't say refused."""

import json

import pytest
from shipping import write_run

from ftkit import UserError, ship
from ftkit.ship import rows

SYSTEM = {"role": "system", "content": "Be brief."}
ASKED = {"role": "user", "content": "Hi, “you”"}
SAID = {"role": "assistant", "content": "Ho."}
FORMS = {
    "openai": {"messages": [SYSTEM, ASKED, SAID]},
    "together": {"messages": [SYSTEM, ASKED, SAID]},
    "bedrock": {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi, “you”"}]},
            {"role": "assistant", "content": [{"text": "Ho."}]},
        ],
    },
    "vertex": {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi, “you”"}]},
            {"role": "model", "parts": [{"text": "Ho."}]},
        ],
    },
}


def run_of(tmp_path, *chats, times=10):
    """A run on such rows."""
    lines = [json.dumps({"messages": list(chat)}) + "\n" for chat in chats]
    (tmp_path / "d.jsonl").write_text("".join(lines) * times)
    return write_run(tmp_path / "run", data=str(tmp_path / "d.jsonl"))


@pytest.fixture(scope="module")
def briefed(tmp_path_factory):
    return run_of(tmp_path_factory.mktemp("rows"), [SYSTEM, ASKED, SAID], times=20)


@pytest.mark.parametrize("target", FORMS)
def test_a_row_is_as_the_provider_states_it(briefed, target, tmp_path):
    done = ship.export(briefed, target, tmp_path)
    train = (tmp_path / "train.jsonl").read_text().splitlines()
    assert json.loads(train[0]) == FORMS[target]
    assert len(train) == len(ship.Opened(briefed).splits["train"])
    assert "rows alone" in done.notes[0]


def test_what_a_form_has_no_place_for_is_refused_by_row(tmp_path):
    chat = [ASKED, {**SAID, "weight": 0}, ASKED, SAID]
    row = {"messages": chat, "tools": None}
    assert rows.plain(row, "row 1", "OpenAI", ("weight",))[1] == {**SAID, "weight": 0}
    thought = {"messages": [ASKED, {**SAID, "reasoning_content": "Hm."}], "tools": None}
    with pytest.raises(UserError, match="row 2 states reasoning_content, for which Together has"):
        rows.plain(thought, "row 2", "Together", ("weight",))
    folder = run_of(tmp_path, chat, times=20)
    for target in ("bedrock", "vertex"):
        with pytest.raises(UserError, match=r"train row 1 states weight, for which \w+ has no pl"):
            ship.export(folder, target, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_speakers_that_do_not_take_turns_are_refused():
    row = {"messages": [ASKED, ASKED, SAID], "tools": None}
    with pytest.raises(UserError, match="row 1: Bedrock takes user and assistant in turns, and he"):
        rows.turns(row, "row 1", "Bedrock")


def test_too_few_rows_are_said(tmp_path):
    folder = run_of(tmp_path, [ASKED, SAID], times=5)
    with pytest.raises(UserError, match="openai takes 10 rows at least, and the run has"):
        ship.export(folder, "openai", tmp_path / "out")


CALL = {"id": "c1", "function": {"name": "find", "arguments": {"order": 1}}}


def test_a_tool_call_is_as_openai_states_it():
    chat = [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [CALL, {"id": "c2", "name": "stop"}]},
        {"role": "tool", "content": "found", "tool_call_id": "c1"},
        SAID,
    ]
    calls = rows.with_openai_calls(chat, "row 1")[1]["tool_calls"]
    assert calls[0] == {
        "id": "c1",
        "type": "function",
        "function": {"name": "find", "arguments": '{"order": 1}'},
    }
    assert calls[1]["function"] == {"name": "stop", "arguments": "{}"}
    assert rows.as_function({"name": "f"}) == {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize(
    ("call", "answer", "reason"),
    [
        ({**CALL, "id": None}, "c1", "message 2: the call of find has the id None, and OpenAI"),
        (CALL, None, "message 3: the tool's tool_call_id is None, .*before it .'c1'."),
        (CALL, "c9", "message 3: the tool's tool_call_id is 'c9'"),
    ],
)
def test_a_tool_call_without_its_id_is_refused(call, answer, reason):
    chat = [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "found", "tool_call_id": answer},
        SAID,
    ]
    with pytest.raises(UserError, match=f"row 1, {reason}"):
        rows.with_openai_calls(chat, "row 1")
