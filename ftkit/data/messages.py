"""One message of a chat: is it one, and what does it say?

    read_messages(value, key)       a list of messages, checked, in the kit's own form
    read_turns(value, key)          the same of ShareGPT's turns (from, value)
    read_text(value, key)           a text, and nothing that only looks like one
    holds_chat(text)                is it messages, written as text?
    describe(value)                 "5, a number"
    list_keys(row)                  "prompt, completion"

What a message says is kept: its content, name, weight, thoughts and tool calls. What the kit cannot
honour (images, weights between 0 and 1, old names of roles) is refused by name. Keys that mean
nothing to a chat template, such as an id, are left out. Rows are `chat.py`'s.
"""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from ..core.errors import nearest
from ..core.parsing import JsonReader, shown

ROLES = ("system", "user", "assistant", "tool")
# Other words for a role, and the one that chat templates know.
OTHER_ROLES = {
    "human": "user", "gpt": "assistant", "bot": "assistant", "chatbot": "assistant",
    "model": "assistant", "ai": "assistant", "developer": "system", "function": "tool",
    "ipython": "tool", "observation": "tool", "environment": "tool",
}  # fmt: skip
# Who speaks in ShareGPT's turns.
SPEAKERS = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant",
    "assistant": "assistant", "system": "system", "tool": "tool", "observation": "tool",
}  # fmt: skip
THOUGHTS = ("reasoning_content", "reasoning", "thinking")  # where a message may keep them
TEXTS = ("name", "tool_call_id", *THOUGHTS)
DEEPEST = 100  # objects inside objects that are carried along
KEYS_NAMED, KEY_SHOWN = 8, 60  # keys that an error names, and their characters
KEPT = ("role", "content", "weight", "tool_calls", *TEXTS)  # what a message may say
# What others' trainers read in a message, and the kit does not.
REFUSED = {
    "function_call": "write it as tool_calls",
    "loss": "write weight: 0 for a turn that is not to be learned",
    "loss_scale": "write weight: 0 or 1",
    "mask": "write weight: 0 for a turn that is not to be learned",
    "train": "write weight: 0 for a turn that is not to be learned",
    "training": "write weight: 0 for a turn that is not to be learned",
    "prefix": "the kit goes on from no half answer",
    "refusal": "write it as the content if it is to be learned, or remove it",
    "image": "the kit reads text alone", "images": "the kit reads text alone",
    "audio": "the kit reads text alone", "video": "the kit reads text alone",
    "videos": "the kit reads text alone",
}  # fmt: skip

# Other words for the arguments of a tool call, and the keys that a call's function may have.
NOT_ARGUMENTS = ("parameters", "params", "args", "kwargs", "input", "inputs")
OF_CALL = ("name", "arguments", "description", "type", "id", "index", "strict")
# Messages that a program wrote as text, as JSON or as Python does: what they begin and end with.
BRACKETS = re.compile(r"\s*(\[\s*\{.*\}\s*\]|\{.*\})\s*", re.DOTALL)
TURN_KEYS = ({"role", "content"}, {"from", "value"})


def describe(value: object) -> str:
    """A value with what it is, as JSON names it: "5, a number", "null", "a list"."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"{str(value).lower()}, neither text nor number"
    if isinstance(value, int | float):
        return f"{shown(value)}, a number"
    if isinstance(value, str):
        return f"{shown(value)}, a text"
    kinds = {Mapping: "an object", Sequence: "a list"}
    found = (name for kind, name in kinds.items() if isinstance(value, kind))
    return f"{shown(value)}, {next(found, f'a {type(value).__name__}')}"


def list_keys(row: Mapping) -> str:
    """The keys of an object for an error's sentence, the first ones if there are many."""
    named = [name_key(key) for key in list(row)[:KEYS_NAMED]]
    return ", ".join(named + (["…"] if len(row) > KEYS_NAMED else [])) or "(none)"


def name_key(key: object) -> str:
    """A key as it stands there, or short and in escapes where no sentence could hold it."""
    name = str(key)
    return name if name.isprintable() and len(name) <= KEY_SHOWN else shown(key)


def read_text(value: object, key: str) -> str:
    """A text that UTF-8 can hold; raises ValueError, which names it by `key`."""
    if not isinstance(value, str):
        raise ValueError(f"{key} is {describe(value)}; write it as text")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = ascii(value[error.start])
        raise ValueError(
            f"{key} holds {half}, half of a pair that makes one character (an emoji cut in two); "
            "remove it, or write the character whole"
        ) from None
    return value


def holds_chat(text: str) -> bool:
    """Whether a text is a list of messages, or one of them, as JSON or as Python writes it."""
    if not BRACKETS.fullmatch(text):
        return False
    value, fault = JsonReader().read(text)
    if not fault:
        turns = value if isinstance(value, list) else [value]
        return all(isinstance(turn, Mapping) and keys_of_turn(turn) for turn in turns)
    return keys_of_turn({word for _, word in re.findall(r"(['\"])(\w+)\1\s*:", text)})


def keys_of_turn(keys: Mapping | set) -> bool:
    """Whether a message has these keys."""
    return any(wanted <= set(keys) for wanted in TURN_KEYS)


def to_json(value: object, key: str) -> str:
    """A value as JSON; ValueError if nested beyond DEEPEST, TypeError for what JSON has not."""
    level = [value]
    for _ in range(DEEPEST):
        level = [part for each in level for part in parts_of(each)]
    if level:
        raise ValueError(f"{key} is nested more than {DEEPEST} deep; flatten it")
    return json.dumps(value, ensure_ascii=False)


def refuse_inexact(value: object, key: str) -> None:
    """Refuse a number that would not come out of a column of `datasets` as it went in.

    Its type Json keeps 15 digits of a float, and makes a text of an integer beyond 64 bits.
    """
    for part in parts_of(value):
        refuse_inexact(part, key)
    changed = isinstance(value, float) and float(f"{value:.15g}") != value
    if changed or (isinstance(value, int) and not -(2**63) <= value < 2**63):
        raise ValueError(f"{key} holds {shown(value)}, of too many digits; write it as text")


def parts_of(value: object) -> list:
    """What an object or a list holds; nothing else holds anything."""
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []


def read_content(value: object, key: str) -> str:
    """The text of a message: a text, or the texts of its parts one behind the other."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return read_text(value, key)
    texts = []
    for number, part in enumerate(value, 1):
        place = f"part {number} of {key}"
        if not isinstance(part, Mapping):
            raise ValueError(
                f'{place} is {describe(part)}; write {key} as text, or as {{"type": "text", …}}'
            )
        kind = part.get("type")
        if kind != "text":
            raise ValueError(
                f"{place} is of the type {shown(kind)}; the kit reads text alone"
                f"{nearest(kind, ['text'])}"
            )
        texts.append(read_text(part.get("text"), f"the text of {place}"))
    return "".join(texts)


def read_messages(value: object, key: str) -> list[dict]:
    """A list of chat messages in the kit's own form: role, content as text, and what else is said.

    Raises ValueError with the number of the message, the key and what it holds.
    """
    return [read_message(message, place) for message, place in numbered(value, key, "message")]


def numbered(value: object, key: str, noun: str) -> list[tuple[dict, str]]:
    """The objects of a list, each with the name that an error gives it, without what is null."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(f"{key} is {describe(value)}; write a list of {noun}s")
    if not value:
        raise ValueError(f"{key} is an empty list; write one {noun} at least")
    found = []
    for number, each in enumerate(value, 1):
        if not isinstance(each, Mapping):
            raise ValueError(f"{noun} {number} of {key} is {describe(each)}; write an object")
        place = f"{noun} {number}" if key in ("messages", "conversations") else ""
        stated = {name: said for name, said in each.items() if said is not None}
        if "content" in each:
            stated["content"] = each["content"]
        found.append((stated, place or f"{noun} {number} of {key}"))
    return found


def read_message(message: dict, place: str) -> dict:
    """One message, without keys that mean nothing to a template."""
    role = read_role(message, place)
    refuse_keys(message, place)
    found: dict = {"role": role}

    # an answer that calls a tool may say nothing else
    calls = read_calls(message.get("tool_calls"), role, place)
    if calls and not message.get("content"):
        found["content"] = ""
    elif "content" in message:
        found["content"] = read_content(message["content"], f"content of {place} ({role})")
    else:
        raise ValueError(f"{place} ({role}) has no content; write its text")

    # what else it says
    for key in TEXTS:
        if key in message:
            found[key] = read_text(message[key], f"{key} of {place}")
    if "weight" in message:
        found |= read_weight(message["weight"], role, place)
    if calls:
        found["tool_calls"] = calls
    return found


def read_role(message: dict, place: str) -> str:
    """Who speaks, as templates name it; other words are refused with the right one."""
    role = message.get("role")
    if role in ROLES:
        return str(role)
    if "role" not in message:
        keys = list_keys(message)
        raise ValueError(f"{place} has no role (its keys: {keys}); write role and content")
    word = role.strip().lower() if isinstance(role, str) else ""
    right = OTHER_ROLES.get(word, word)
    meant = f" Did you mean {right!r}?" if right in ROLES else nearest(role, ROLES)
    raise ValueError(f"{place} has the role {shown(role)}; give {', '.join(ROLES)}.{meant}")


def refuse_keys(message: Mapping, place: str) -> None:
    """Refuse keys of a message that say something to others and nothing here."""
    for key, value in message.items():
        if key in REFUSED and value not in ("", [], {}):
            raise ValueError(f"{place} states {key}, which is not read: {REFUSED[key]}")
        name = str(key).strip().lower()
        if key not in KEPT and name in KEPT:
            raise ValueError(f"{place} has the key {shown(key)}. Did you mean {name!r}?")
    refuse_second(message, place)


def refuse_second(message: Mapping, place: str) -> None:
    """Refuse a message that says in ShareGPT's keys something else than in its own."""
    speaker, value = message.get("from"), message.get("value")
    meant = {
        ("role", "from"): SPEAKERS.get(str(speaker).strip().lower()),
        ("content", "value"): value if isinstance(value, str) else None,
    }
    for (own, other), said in meant.items():
        if said is not None and message.get(own) not in (None, said):
            raise ValueError(
                f"{place} states {own} and {other}, and the two differ "
                f"({shown(message[own])}, {shown(message[other])}); keep one of them"
            )


def read_weight(weight: object, role: str, place: str) -> dict:
    """A message's weight: 0 is not learned, 1 is. It is the assistant's alone."""
    if isinstance(weight, bool) or weight not in (0, 1):
        raise ValueError(
            f"weight of {place} is {describe(weight)}; give 0 (not learned) or 1 (learned)"
        )
    if role != "assistant" and weight == 1:
        raise ValueError(
            f"{place} ({role}) has weight 1; only the assistant's turns are learned, "
            "so leave it out"
        )
    return {"weight": int(weight)} if role == "assistant" else {}  # type: ignore  # 0 or 1


def read_calls(calls: object, role: str, place: str) -> list[dict]:
    """The tool calls of a message; none is an empty list."""
    if calls is None or calls == [] or calls == "":
        return []
    if role != "assistant":
        raise ValueError(f"{place} ({role}) has tool_calls; only the assistant calls tools")
    key = f"tool_calls of {place}"
    return [read_call(call, key) for call in read_functions(calls, key)]


def read_call(call: dict, key: str) -> dict:
    """A tool call as it stands there; one that states no arguments has none, which is {}.

    Raises ValueError, which names it by `key`, for arguments elsewhere, or that are no object.
    """
    inner = call.get("function", call)
    refuse_beside(call, inner, key)
    arguments = inner.get("arguments")
    if isinstance(arguments, str) and arguments.strip():
        value, fault = JsonReader().read(arguments)
        if fault:
            raise ValueError(
                f"arguments of {inner['name']} are a text and no JSON ({shown(arguments)}): "
                f"{fault}; write an object"
            )
        if not isinstance(value, Mapping):
            raise ValueError(
                f"arguments of {inner['name']} are a text of {describe(value)}; write an object"
            )
    elif not arguments:
        arguments = {}
    function = {**inner, "arguments": arguments}
    return {**call, "function": function} if "function" in call else function


def refuse_beside(call: Mapping, function: Mapping, key: str) -> None:
    """Refuse a call that states its arguments in another key, or beside its function."""
    beside = {} if function is call else call
    found = [
        *(other for other in function if other != "arguments" and means_arguments(other, function)),
        *(other for other in beside if other != "function" and means_arguments(other, beside)),
    ]
    if not found:
        return
    name, other = function["name"], name_key(found[0])
    if function.get("arguments") is not None:
        raise ValueError(
            f"{key}: {name} has {other!r} beside its arguments, which is not read; write all that "
            "the call is given into the arguments"
        )
    inside = " inside its function" if found[0] in beside else ""
    raise ValueError(
        f"{key}: {name} has {other!r} and no arguments. Did you mean 'arguments'{inside}?"
    )


def means_arguments(key: str, stated: Mapping) -> bool:
    """Whether a key of a call says what the function is called with."""
    if stated[key] is None or (key in OF_CALL and key != "arguments"):
        return False
    near = get_close_matches(str(key).strip().lower(), ("arguments", *NOT_ARGUMENTS), 1, 0.8)
    return bool(near) or isinstance(stated[key], Mapping)


def read_functions(value: object, key: str) -> list[dict]:
    """A list of tools or of tool calls, each with a function's name, as they stand there."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(f"{key} is {describe(value)}; write a list of objects")
    for each in value:
        function = each.get("function", each) if isinstance(each, Mapping) else None
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not name:
            raise ValueError(
                f"{key} holds {shown(each)}; write "
                '{"type": "function", "function": {"name": …}}'
            )
        arguments = function.get("arguments") if isinstance(function, Mapping) else None
        if not isinstance(arguments, Mapping | str | None):
            raise ValueError(f"arguments of {name} are {describe(arguments)}; write an object")
    try:
        read_text(to_json(value, key), key)
        refuse_inexact(value, key)
    except TypeError as error:  # a table may hold what JSON does not
        raise ValueError(f"{key} is no JSON ({error}); write it as JSON") from None
    return [dict(each) for each in value]


def read_turns(value: object, key: str) -> list[dict]:
    """ShareGPT's turns, {"from": "human", "value": …}, as messages; messages may be among them."""
    found = []
    for turn, place in numbered(value, key, "turn"):
        if "role" in turn or not {"from", "value"} & turn.keys():
            found.append(read_message(turn, place))
            continue
        speaker = turn.get("from")
        word = speaker.strip().lower() if isinstance(speaker, str) else None
        if word not in SPEAKERS:
            calls = " Write the row as messages with tool_calls." if word == "function_call" else ""
            raise ValueError(
                f"{place} is from {shown(speaker)}; give {', '.join(SPEAKERS)}."
                f"{calls or nearest(speaker, SPEAKERS)}"
            )
        rest = {name: said for name, said in turn.items() if name not in ("from", "value")}
        if "value" in turn:
            refuse_second(turn, place)
            rest["content"] = turn["value"]
        found.append(read_message({**rest, "role": SPEAKERS[word]}, place))
    return found
