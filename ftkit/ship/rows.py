"""The rows of a run as files of other programs: the kit's own chats, and those of managed APIs.

    write_rows(splits, new, take)      train.jsonl and validation.jsonl
    plain(chat, …)                     a chat of role and content alone, or what else it says
    write_openai, write_together, write_bedrock, write_vertex    rows of a provider

A row file states rows: how long, how fast and on which model a provider trains is said to the
provider. What its rows can't say (tools, thoughts, turns of weight 0) is refused by name and row.
Recipes of other trainers are `recipes.py`'s.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data
from ..core.errors import UserError
from ..core.parsing import shown
from .opened import Opened, Told, Wish

if TYPE_CHECKING:
    from datasets import DatasetDict

SPLITS = ("train", "validation")
Row = Mapping[str, Any]
Take = Callable[[Row, str], dict]  # a row of the kit's, and what to call it, as one of another
LEAST = {"openai": 10, "bedrock": 8}  # rows that a provider wants at least


def write_rows(splits: "DatasetDict", new: Path, take: Take) -> int:
    """train.jsonl, and validation.jsonl where there is such a split; how many rows train."""
    for split in SPLITS:
        if split not in splits:
            continue
        rows = splits[split]
        lines = [
            json.dumps(take(row, f"{split} row {number}"), ensure_ascii=False) + "\n"
            for number, row in enumerate(with_tools(rows), 1)
        ]
        (new / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    return len(splits["train"])


def with_tools(rows: Any) -> list[dict[str, Any]]:
    """Each row as {"messages": …, "tools": …}, without what is empty in it."""
    chats = zip(rows["messages"], data.tools_of(rows), strict=True)
    return [{"messages": [said(m) for m in chat], "tools": tools} for chat, tools in chats]


def said(message: Mapping[str, Any]) -> dict[str, Any]:
    """What a message states; a data set fills up with null what other rows state."""
    return {key: value for key, value in message.items() if value is not None}


def extras(splits: "DatasetDict") -> dict[str, str]:
    """{what some rows say beside role and content: the first row that does}."""
    found: dict[str, str] = {}
    for split in SPLITS:
        for number, row in enumerate(with_tools(splits[split]) if split in splits else [], 1):
            for key in beyond(row):
                found.setdefault(key, f"{split} row {number}")
    return found


def beyond(row: Row) -> list[str]:
    """What a row says beside roles and contents; a weight of 1 is what every answer has."""
    keys = ["tools"] if row["tools"] else []
    for message in row["messages"]:
        keys += [key for key in message if key not in ("role", "content", "weight")]
        keys += ["weight"] if message.get("weight") == 0 else []
    return keys


def plain(row: Row, where: str, target: str, carried: Sequence[str] = ()) -> list[dict]:
    """The messages of a row; `UserError` for what this target's rows can't say.

    carried: keys beside role and content that they can.
    """
    if wrong := [key for key in beyond(row) if key not in carried]:
        raise UserError(
            f"{where} states {wrong[0]}, for which {target} has no place; leave it out of the "
            "rows, or train by another program."
        )
    keep = ("role", "content", *carried)
    return [
        {key: value for key, value in message.items() if key in keep} for message in row["messages"]
    ]


def write_provider(opened: Opened, new: Path, target: str, take: Take) -> Told:
    """The rows of a provider, and what they do not state."""
    opened.need_usual_loss("these rows are")
    count = write_rows(opened.splits, new, take)
    least = LEAST.get(target, 1)
    if count < least:
        raise UserError(f"{target} takes {least} rows at least, and the run has {count}.")
    return Told([], ["rows alone: model, rate, epochs and method are the provider's to choose"])


def write_openai(opened: Opened, new: Path, wish: Wish) -> Told:
    """{"messages": […]}, weight 0 as it is, tools and their calls as functions with an id."""
    carried = ("weight", "tools", "tool_calls", "tool_call_id", "name")

    def take(row: Row, where: str) -> dict:
        chat = with_openai_calls(plain(row, where, "OpenAI", carried), where)
        tools = [as_function(tool) for tool in as_json(row["tools"]) or []]
        return {"messages": chat, **({"tools": tools} if tools else {})}

    return write_provider(opened, new, "openai", take)


def with_openai_calls(chat: Sequence[Row], where: str) -> list[dict]:
    """The messages with their tool calls as OpenAI states them: an id, and arguments as text.

    Raises UserError for a call without an id, and for a tool's message that answers no call.
    """
    known, found = set(), []
    for number, message in enumerate(chat, 1):
        calls = [openai_call(call, f"{where}, message {number}") for call in calls_of(message)]
        known |= {call["id"] for call in calls}
        if message["role"] == "tool" and message.get("tool_call_id") not in known:
            raise UserError(
                f"{where}, message {number}: the tool's tool_call_id is "
                f"{shown(message.get('tool_call_id'))}, and OpenAI wants the id of a call before "
                f"it ({', '.join(map(shown, sorted(known))) or 'there is none'}); write that."
            )
        found.append({**message, **({"tool_calls": calls} if calls else {})})
    return found


def calls_of(message: Row) -> list[Row]:
    """The tool calls of a message; none is an empty list."""
    return message.get("tool_calls") or []


def openai_call(call: Row, where: str) -> dict:
    """A tool call as OpenAI states it."""
    name = call.get("function", call)["name"]
    if not isinstance(call.get("id"), str) or not call["id"]:
        raise UserError(
            f"{where}: the call of {name} has the id {shown(call.get('id'))}, and OpenAI wants a "
            'text that the tool\'s answer repeats; write "id" into the call and "tool_call_id" '
            "into the tool's message."
        )
    stated = call.get("function") or {k: v for k, v in call.items() if k in ("name", "arguments")}
    said = stated.get("arguments", {})
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    return {"id": call["id"], "type": "function", "function": {**stated, "arguments": text}}


def as_function(tool: Row) -> dict:
    """A tool as {"type": "function", "function": {…}}, which many files state without the type."""
    return dict(tool) if "function" in tool else {"type": "function", "function": dict(tool)}


def as_json(tools: Any) -> Any:
    """Tools as JSON values; a data set keeps them as text."""
    return json.loads(tools) if isinstance(tools, str) else tools


def write_together(opened: Opened, new: Path, wish: Wish) -> Told:
    """{"messages": […]}, weight 0 as it is."""

    def take(row: Row, where: str) -> dict:
        return {"messages": plain(row, where, "Together", ("weight",))}

    return write_provider(opened, new, "together", take)


def turns(row: Row, where: str, target: str) -> tuple[str, list[dict]]:
    """(system message, the others), which begin with the user and change speakers each time."""
    chat = plain(row, where, target)
    system = chat[0]["content"] if chat[0]["role"] == "system" else ""
    rest = chat[1:] if system else chat
    wanted = ["user", "assistant"] * (len(rest) // 2)
    if [message["role"] for message in rest] != wanted or not rest:
        raise UserError(
            f"{where}: {target} takes user and assistant in turns, and here speak "
            f"{', '.join(message['role'] for message in rest)}; write the row so."
        )
    return system, rest


def write_bedrock(opened: Opened, new: Path, wish: Wish) -> Told:
    """Amazon Bedrock's conversations ("bedrock-conversation-2024")."""

    def take(row: Row, where: str) -> dict:
        system, chat = turns(row, where, "Bedrock")
        said = [{"role": m["role"], "content": [{"text": m["content"]}]} for m in chat]
        head = {"system": [{"text": system}]} if system else {}
        return {"schemaVersion": "bedrock-conversation-2024", **head, "messages": said}

    return write_provider(opened, new, "bedrock", take)


def write_vertex(opened: Opened, new: Path, wish: Wish) -> Told:
    """Vertex AI's contents, where the assistant is called "model"."""

    def take(row: Row, where: str) -> dict:
        system, chat = turns(row, where, "Vertex")
        head = {"systemInstruction": {"role": "system", "parts": [{"text": system}]}}
        names = {"user": "user", "assistant": "model"}
        said = [{"role": names[m["role"]], "parts": [{"text": m["content"]}]} for m in chat]
        return {**(head if system else {}), "contents": said}

    return write_provider(opened, new, "vertex", take)
