"""A chat as the model's template writes it, and where in the text each message stands.

    write(messages, tokenizer, prompt=…)    the `Written` text with its pieces
    on_date("2026-07-31")                   a with block: templates that write a date write this one
    says_date(tokenizer)                    does its template write the date?
    marks_answers(tokenizer)                does its template mark what the assistant writes?

A template may refuse a chat, or drop a part of it without a word: both are an error here, and name
the row. Which of the tokens are an answer's is decided in `rendering.py`.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..core.errors import UserError
from ..core.parsing import JsonReader
from .messages import THOUGHTS, read_call

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

GENERATION = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
TODAY = re.compile(r"strftime_now\(\s*(['\"])(.*?)\1\s*\)")
REASON = 200  # characters of a template's own error that are shown
TYPE = re.compile(r"""["']type["']: *["']text["']""")  # of a part that is written as it stands
THINK = re.compile(r"(</?think>)")
# Set around each piece of a message to see where the template puts it: no text holds them, because
# Unicode gives these two code points to no character, ever.
OPEN, CLOSE = "\ufdd0", "\ufdd1"
MARK = re.compile(f"{OPEN}([0-9]+){CLOSE}")
Tools = Sequence[dict] | str | None  # the functions that a chat may call; as JSON in a data set
# The date of templates that write one: that of this session's start, so that a prompt and the chat
# that begins with it never differ by a second; `on_date` sets another.
STARTED = datetime.now()
moment: ContextVar[datetime | None] = ContextVar("moment", default=None)


class Part(NamedTuple):
    """A part of a message: its text, or its thoughts, or the name in one of its tool calls."""

    message: int  # the number of its message in the chat, from 0
    number: int  # among the parts of the chat
    kind: str  # "text", "thoughts", "name" or "tool call"
    text: str


class Piece(NamedTuple):
    """A part and where the template puts it."""

    part: Part
    start: int
    end: int


@dataclass(frozen=True)
class Written:
    """A chat as text, its pieces in the order of the text, and the parts that are not in it."""

    text: str
    pieces: list[Piece]
    dropped: list[Part]
    messages: list[dict]  # as the template took them
    options: dict  # what the template was told beside them


@contextmanager
def on_date(date: str | None) -> Iterator[None]:
    """Inside the with block, a template that writes the date writes this one: "2026-07-31".

    A time of day may follow ("2026-07-31T12:00:00"). None is the session's start, as it is
    outside. Raises UserError for what is no date.
    """
    try:
        fixed = None if date is None else datetime.fromisoformat(date)
    except (TypeError, ValueError) as error:
        raise UserError(f"date is {date!r}; give one such as 2026-07-31.") from error
    before = moment.set(fixed)
    try:
        yield
    finally:
        moment.reset(before)


def find_template(
    tokenizer: "PreTrainedTokenizerBase", tools: Sequence[dict] | None = None
) -> str | None:
    """The template that a chat is written with, of several named ones too; None without any."""
    try:
        return tokenizer.get_chat_template(None, cast("list[dict] | None", tools or None))
    except ValueError:  # the tokenizer has none, or none that is the default
        return None


def need_template(tokenizer: "PreTrainedTokenizerBase", tools: Sequence[dict] | None) -> str:
    """The template that a chat is written with; raises UserError where there is none."""
    template = find_template(tokenizer, tools)
    if template is None:
        raise UserError(
            f"the tokenizer of {tokenizer.name_or_path or 'this model'} has no chat template; "
            "take an instruction-tuned model, or set tokenizer.chat_template."
        )
    return template


def says_date(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the chat template writes the date, so that the same chat reads otherwise tomorrow."""
    return "strftime_now" in (find_template(tokenizer) or "")


def marks_answers(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the chat template marks the assistant's tokens, by {% generation %}."""
    return GENERATION.search(find_template(tokenizer) or "") is not None


def dated(template: str) -> str:
    """The template with the date written out (see `on_date`)."""
    date = moment.get() or STARTED
    return TODAY.sub(lambda call: json.dumps(date.strftime(call[2])), template)


def write(
    messages: Sequence[Mapping],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    prompt: bool,
    tools: Tools = None,
    where: str = "the row",
) -> Written:
    """A chat as text; prompt: ending where the assistant's next answer begins.

    Templates that want each content as a list of parts are given one. Raises UserError, which
    names the row by `where`, for a tokenizer without a template and where the template refuses
    the messages; what it drops without a word is told in `dropped`.
    """
    shown, fault = JsonReader().read(tools) if isinstance(tools, str) else (tools, "")
    if fault:
        raise UserError(f"tools of {where} is a text and no JSON: {fault}.")
    if not isinstance(shown, list | tuple | None):
        raise UserError(f"tools of {where} is {str(shown)[:REASON]!r}; give a list of objects.")
    options = {
        "chat_template": dated(need_template(tokenizer, shown)),
        "add_generation_prompt": prompt,
        "tools": list(shown) if shown else None,
    }

    # the usual form first; the others only where it is refused or something of it is missing
    found, refused = [], None
    for form in forms(with_calls(messages, where)):
        try:
            written = locate(form, tokenizer, options)
            refuse_structure(written)
            found.append(written)
        except Exception as error:  # the templates raise jinja2's and their own errors
            refused = refused or error
        if found and not found[-1].dropped:
            return found[-1]
    if not found:
        reason = str(refused)[:REASON].rstrip(".")
        raise UserError(f"{where} does not fit the model's chat template: {reason}.") from refused
    return min(found, key=lambda written: len(written.dropped))


def refuse_structure(written: Written) -> None:
    """Refuse a text in which a template that knows no parts writes a list of them as it stands.

    Any template says "[{'type': 'text', 'text': …}]" of one, and seems to leave nothing out.
    """
    said = [message.get("content") for message in written.messages]
    if any(isinstance(content, list) for content in said):
        own = sum(len(TYPE.findall(str(part.get("text")))) for c in said if c for part in c)
        if len(TYPE.findall(written.text)) > own:
            raise ValueError("the template writes no content that is a list of parts")


def forms(messages: Sequence[Mapping]) -> Iterator[list[dict]]:
    """The same chat in the forms that templates want it in, the usual one first."""
    # a key whose value is None says nothing; the arguments of a tool call are an object
    plain = [{key: v for key, v in message.items() if v is not None} for message in messages]
    usual = [with_arguments(message, read_arguments) for message in plain]
    yield usual

    # some want the arguments as text (transformers 45419)
    as_text = [with_arguments(message, write_arguments) for message in plain]
    if as_text != usual:
        yield as_text

    # some want each content as a list of parts
    yield [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if isinstance(message.get("content"), str)
        else message
        for message in usual
    ]


def with_calls(messages: Sequence[Mapping], where: str) -> list[Mapping]:
    """The messages with their tool calls as `read_call` reads them; UserError for one that isn't.

    A file's calls were read so already, and others were not.
    """
    found = []
    for message in messages:
        try:
            calls = [read_call(call, "tool_calls") for call in message.get("tool_calls") or []]
        except ValueError as error:
            end = "" if str(error).endswith("?") else "."
            raise UserError(f"{where}: {error}{end}") from error
        found.append({**message, "tool_calls": calls} if calls else message)
    return found


def with_arguments(message: dict, change: Callable[[Any], Any]) -> dict:
    """A message with the arguments of its tool calls changed."""
    calls = []
    for call in message.get("tool_calls") or []:
        function = call.get("function", call)
        if "arguments" in function:
            function = {**function, "arguments": change(function["arguments"])}
        calls.append({**call, "function": function} if "function" in call else function)
    return {**message, "tool_calls": calls} if calls else message


def read_arguments(arguments: object) -> object:
    """The arguments of a tool call as an object, as most templates want them."""
    value, fault = JsonReader().read(arguments) if isinstance(arguments, str) else (None, "none")
    return arguments if fault or not isinstance(value, dict) else value


def write_arguments(arguments: object) -> object:
    """The same as JSON text; what is text stays as it is."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def locate(messages: list[dict], tokenizer: "PreTrainedTokenizerBase", options: dict) -> Written:
    """Write a chat, and once more with a mark before and behind each part, to see where it goes."""
    marker = Marker()
    marked = [marker.message(message, number) for number, message in enumerate(messages)]
    text, with_marks = (
        cast(str, tokenizer.apply_chat_template(chat, tokenize=False, **options))
        for chat in (messages, marked)
    )

    # where the marks stand in the text without them
    places: dict[int, int] = {}
    cut = 0
    for mark in MARK.finditer(with_marks):
        places.setdefault(int(mark[1]), mark.start() - cut)  # a name may be written twice
        cut += len(mark[0])
    if MARK.sub("", with_marks) != text:
        places = search_parts(text, marker.parts)

    # a part of which a mark is gone is gone too
    pieces, dropped = [], []
    for number, part in enumerate(marker.parts):
        start, end = places.get(2 * number), places.get(2 * number + 1)
        if start is None or end is None:
            dropped.append(part)
        else:
            pieces.append(Piece(part, start, end))
    pieces.sort(key=lambda piece: piece.start)
    return Written(text, pieces, dropped, messages, options)


def search_parts(text: str, parts: Sequence[Part]) -> dict[int, int]:
    """Where the parts stand in a text, by plain search from one to the next.

    For a template that writes another text as soon as marks are in it.
    """
    places, begin = {}, 0
    for number, part in enumerate(parts):
        start = text.find(part.text, begin)
        if start >= 0:
            begin = start + len(part.text)
            places |= {2 * number: start, 2 * number + 1: begin}
    return places


class Marker:
    """Sets marks around the parts of a chat's messages, which it collects."""

    def __init__(self) -> None:
        self.parts: list[Part] = []

    def message(self, message: dict, number: int) -> dict:
        """A message with marks around each of its texts."""
        marked, content = dict(message), message.get("content")
        thoughts = next((key for key in THOUGHTS if isinstance(message.get(key), str)), None)
        if thoughts:
            marked[thoughts] = self.mark(message[thoughts], number, "thoughts")
        if content:
            marked["content"] = self.content(content, number, message["role"])
        if calls := message.get("tool_calls"):
            marked["tool_calls"] = [self.call(call, number) for call in calls]
        if message.get("name") and message["role"] != "tool":
            marked["name"] = self.mark(str(message["name"]), number, "name")
        return marked

    def content(self, content: str | list[dict], number: int, role: str) -> str | list[dict]:
        """The content with marks; think blocks apart, which templates write elsewhere or drop."""
        if not isinstance(content, str):
            texts = (self.content(part.get("text", ""), number, role) for part in content)
            return [
                {**part, "text": text} if text else part
                for part, text in zip(content, texts, strict=True)
            ]
        kind, marked = "text", ""
        for bit in THINK.split(content) if role == "assistant" else [content]:
            kind = {"<think>": "thoughts", "</think>": "text"}.get(bit, kind)
            marked += bit if THINK.fullmatch(bit) else self.mark(bit, number, kind)
        return marked

    def call(self, call: dict, number: int) -> dict:
        """A tool call with marks around the name of its function."""
        function = call.get("function", call)
        name = self.mark(str(function.get("name", "")), number, "tool call")
        function = {**function, "name": name}
        return {**call, "function": function} if "function" in call else function

    def mark(self, text: str, number: int, kind: str) -> str:
        """A text with marks; white space stays outside of them, because templates trim it."""
        core = text.strip()
        if not core:
            return text
        before, behind = text.split(core, 1)
        place = 2 * len(self.parts)
        self.parts.append(Part(number, len(self.parts), kind, core))
        return f"{before}{OPEN}{place}{CLOSE}{core}{OPEN}{place + 1}{CLOSE}{behind}"
