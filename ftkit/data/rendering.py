"""Which tokens of a chat are an answer's? One place for training, perplexity, scores and views.

    render(messages, tokenizer)           a `Rendered` chat: text, tokens, and which carry loss
    render_prompt(messages, tokenizer)    the text of a chat up to where the next answer begins
    tools_of(rows)                        the tools of each row of a data set
    end_marks(tokenizer)                  what the template writes behind an answer
    answer_head(tokenizer)                what it writes before an answer's own words
    answer_prompt(tokenizer)              and where it lets one begin

Every turn of the assistant is learned, but for those of weight 0: its text and its end mark. Where
the chat template marks them ({% generation %}) the marks say which tokens, else the text of the
chat is held against the prompt of each turn. `template.py` writes the text. Notebook 07.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from ..core.errors import UserError
from ..core.parsing import shown
from .template import (
    Piece,
    Tools,
    Written,
    find_template,
    marks_answers,
    read_arguments,
    with_arguments,
    write,
    write_arguments,
)

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

HALF_A_TAG = re.compile("<[^<>]*$")
SHOWN = 40  # characters of a text that an error shows
# By tokenizer, and by a template with tools: what it leaves out of them, in words.
known_tools: "WeakKeyDictionary[PreTrainedTokenizerBase, dict[int, str]]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Rendered:
    """A chat as its model reads it."""

    text: str  # as the template writes it
    ids: list[int]  # its tokens; special ones as the template writes them
    learned: list[bool]  # by token: does it carry loss?
    answer: range  # the tokens of the last answer, its end mark included

    @property
    def answer_ids(self) -> list[int]:
        """The token ids of the last answer."""
        return self.ids[self.answer.start : self.answer.stop]


class Span(NamedTuple):
    """From where to where in a text."""

    start: int
    end: int


class Turn(NamedTuple):
    """Where an answer stands in a text, its end mark included, and where that mark begins."""

    start: int
    end: int
    mark: int


def render(
    messages: Sequence[Mapping],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    tools: Tools = None,
    where: str = "the row",
) -> Rendered:
    """A chat whose last message is the assistant's, as text and tokens, and which carry loss.

    A prompt that opens a think block need not be the beginning of the chat: an answer begins where
    the two part. Raises UserError, which names the row by `where`, where the tokenizer has no chat
    template, where the template refuses the messages, and where it drops a part of them.
    """
    turns = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
    if not turns or turns[-1] != len(messages) - 1:
        raise UserError(f"{where} does not end in an answer of the assistant.")
    whole = write(messages, tokenizer, prompt=False, tools=tools, where=where)
    learned_turns = [place for place in turns if messages[place].get("weight") != 0]
    refuse_dropped(whole, messages, where, learned_turns)
    refuse_dropped_tools(whole, tokenizer, where)
    refuse_changed(whole, tokenizer, where, learned_turns, last=turns[-1])

    # in characters, then in tokens
    spans = {turn: find_turn(turn, whole, tokenizer, where) for turn in turns}
    ids, places = tokenize(whole.text, tokenizer)
    covered = {turn: covered_tokens(span.start, span.end, places) for turn, span in spans.items()}
    for turn in {*learned_turns, turns[-1]}:
        refuse_unknown([(ids[t], places[t]) for t in covered[turn]], whole.text, tokenizer, where)
    # which of them carry loss: all of a turn, or what the template marks
    learned, marked = [False] * len(ids), read_marks(whole, tokenizer)
    for turn in learned_turns:
        chosen: Sequence[int] = covered[turn]
        if marked is not None:
            ending = covered_tokens(spans[turn].mark, spans[turn].end, places)
            others = tokens_of_others(turn, whole, places, covered)
            chosen = marked_tokens(covered[turn], ending, others, marked)
        refuse_unfound(chosen, turn, where)
        for token in chosen:
            learned[token] = True
    return Rendered(whole.text, ids, learned, covered[turns[-1]])


def render_prompt(
    messages: Sequence[Mapping],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    tools: Tools = None,
    where: str = "the row",
) -> str:
    """The text of a chat that the assistant is to answer, up to where its answer begins.

    Raises UserError as `render` does; thoughts of earlier answers may be missing, which many
    templates leave out.
    """
    written = write(messages, tokenizer, prompt=True, tools=tools, where=where)
    refuse_dropped(written, messages, where)
    refuse_dropped_tools(written, tokenizer, where)
    return written.text


def tools_of(rows: "Dataset | Mapping") -> list[Tools]:
    """The tools of each row of a data set; None for a row without any."""
    columns = getattr(rows, "column_names", rows)
    return list(rows["tools"]) if "tools" in columns else [None] * len(rows["messages"])


def refuse_dropped(
    written: Written, messages: Sequence[Mapping], where: str, learned_turns: Sequence[int] = ()
) -> None:
    """Refuse a chat of which the template leaves out a part.

    Thoughts may be left out of a turn that is not learned: it is only read then, as it would be
    in a chat.
    """
    missing = [
        part for part in written.dropped if part.kind != "thoughts" or part.message in learned_turns
    ]
    if not missing:
        return
    part = missing[0]
    role = messages[part.message]["role"]
    shown = part.text if len(part.text) <= SHOWN else f"{part.text[:SHOWN]}…"
    cure = "take it out, or take a model whose template writes it"
    if part.kind == "thoughts":
        cure = 'give that turn "weight": 0, or take its thoughts out'
    raise UserError(
        f"the model's chat template leaves out the {part.kind} {shown!r} of {where}'s message "
        f"{part.message + 1} ({role}); {cure}."
    )


def refuse_changed(
    written: Written,
    tokenizer: "PreTrainedTokenizerBase",
    where: str,
    learned_turns: Sequence[int],
    last: int,
) -> None:
    """Refuse a chat whose answers would be others than the row's: in other words, or ended early.

    last: the number of the last answer, which may be a gold and not learned.
    """
    refuse_ends_inside(written, tokenizer, where, [*learned_turns, last])
    for piece in written.pieces:
        text, said = written.text[piece.start : piece.end], piece.part.text
        if piece.part.message in learned_turns and piece.part.kind != "name" and text != said:
            raise UserError(
                f"the model's chat template writes {text[:SHOWN]!r} for the {piece.part.kind} "
                f"{said[:SHOWN]!r} of {where}'s message {piece.part.message + 1} (assistant), so "
                "another answer would be learned; take a model whose template writes it as it is."
            )


def refuse_unfound(tokens: Sequence[int], turn: int, where: str) -> None:
    """Refuse a chat in which an answer has no tokens."""
    if not tokens:
        raise UserError(
            f"the model's chat template writes {where} so that the answer can't be found in "
            f"it (message {turn + 1}); take a model whose template writes the messages in "
            "their order."
        )


def refuse_unknown(
    tokens: Sequence[tuple[int, Span]],
    text: str,
    tokenizer: "PreTrainedTokenizerBase",
    where: str,
) -> None:
    """Refuse an answer with signs that the tokenizer does not know: any others would be as right.

    tokens: the answer's, each with its place in the text.
    """
    for token, (start, end) in tokens:
        sign = text[start:end].strip()
        if token == tokenizer.unk_token_id and sign and sign != tokenizer.unk_token:
            raise UserError(
                f"the model's tokenizer has no token for {sign[:SHOWN]!r} in an answer of {where}, "
                f"so {tokenizer.unk_token} would be learned; take a model that knows such signs."
            )


def refuse_dropped_tools(
    written: Written, tokenizer: "PreTrainedTokenizerBase", where: str
) -> None:
    """Refuse a row of whose tools, or of whose calls' arguments, the template leaves out a part.

    Which parts of the tools are written is looked at once for each set of them.
    """
    refuse_dropped_arguments(written, tokenizer, where)
    tools = written.options["tools"]
    if not tools:
        return
    if write_again(written, tokenizer, tools=None) == written.text:
        raise UserError(
            f"the model's chat template leaves out the tools of {where}; take them out, or take a "
            "model whose template writes them."
        )
    kept = known_tools.setdefault(tokenizer, {})
    key = hash((written.options["chat_template"], json.dumps(tools, default=str)))
    if key not in kept:
        kept[key] = find_dropped_tool(written, tokenizer)
    if kept[key]:
        raise UserError(
            f"the model's chat template leaves out a part of the tools of {where}: {kept[key]}; "
            "take it out, or take a model whose template writes it."
        )


def find_dropped_tool(written: Written, tokenizer: "PreTrainedTokenizerBase") -> str:
    """In words what a template leaves out of a row's tools; "" for nothing that a model needs.

    That is names, descriptions, and what each parameter is called, of which type and which values.
    """
    tools = written.options["tools"]
    found = find_unwritten(
        tools, written.text, lambda each: write_again(written, tokenizer, tools=each), is_of_tool
    )
    if found is None:
        return ""
    tool = tools[found.path[0]]
    name = tool.get("function", tool).get("name")
    return f"{describe_part(found)} of {name}"


def is_of_tool(path: tuple[Any, ...], value: object, of: str) -> bool:
    """Whether a part of a tool says something to the model that is to call it."""
    above, inside, last = ["", "", *path][-3:]
    if of == "key":
        return inside == "properties"
    if inside == "enum":
        return value is not None
    if not isinstance(value, str) or not value.strip():
        return False
    # templates that write a tool as code, such as gpt-oss's, leave these out of deeper ones
    deep = path.count("properties") > 1
    return (
        (not deep and (inside == "required" or last == "description"))
        or (last == "name" and len(path) <= 3)
        or (last == "type" and above == "properties")
    )


def refuse_dropped_arguments(
    written: Written, tokenizer: "PreTrainedTokenizerBase", where: str
) -> None:
    """Refuse a tool call of whose arguments the template leaves out a name or a value."""
    calls = [
        (number, call.get("function", call))
        for number, message in enumerate(written.messages)
        for call in message.get("tool_calls") or []
    ]
    calls = [(number, function) for number, function in calls if "arguments" in function]
    said = [read_arguments(function["arguments"]) for _, function in calls]
    if not any(said):
        return

    def again(values: list) -> str | None:
        """The chat with other arguments, in the form in which the template wants them."""
        left = iter(values)

        def change(old: object) -> object:
            return write_arguments(next(left)) if isinstance(old, str) else next(left)

        chat = [with_arguments(message, change) for message in written.messages]
        return write_again(written, tokenizer, chat)

    found = find_unwritten(said, written.text, again, is_argument)
    if found is not None:
        number, function = calls[found.path[0]]
        raise UserError(
            f"the model's chat template leaves out the arguments of the tool call in {where}'s "
            f"message {number + 1} ({describe_part(found)} of {function.get('name')}); take a "
            "model whose template writes them."
        )


def is_argument(path: tuple[Any, ...], value: object, of: str) -> bool:
    """Whether a part of a call's arguments is a name or a value; an empty object is neither."""
    return len(path) > 1 or bool(value)


def write_again(
    written: Written,
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping] | None = None,
    **changed: object,
) -> str | None:
    """A chat once more with other messages or options; None where the template breaks on them."""
    options: dict = {**written.options, **changed}
    chat: list = list(written.messages if messages is None else messages)
    try:
        return str(tokenizer.apply_chat_template(chat, tokenize=False, **options))
    except Exception:  # it reads them, and in any way
        return None


class Spot(NamedTuple):
    """A key or a value somewhere in lists and objects."""

    path: tuple[Any, ...]  # the keys and numbers that lead to it, its own the last
    of: str  # "key" or "value"
    value: Any


def describe_part(spot: Spot) -> str:
    """A part of a tool or of a call, for an error's sentence."""
    keys = [str(key) for key in spot.path[1:] if key != "function"]
    if spot.of == "key":
        return f"the name {spot.value!r}"
    inside = f" ({'.'.join(keys)})" if keys else ""
    return f"{shown(spot.value)}{inside}"


def find_unwritten(
    whole: list,
    text: str,
    again: Callable[[list], str | None],
    asked: Callable[[tuple[Any, ...], object, str], bool],
) -> Spot | None:
    """The first part of `whole` that could be another one without any change of the text.

    again: writes the text with another whole. asked: which parts are to be in it, by their path,
    value and kind. All of them are written with signs around them first; only those of which a
    sign is gone are changed one by one.
    """
    spots: list[Spot] = []

    def with_signs(spot: Spot) -> object:
        if not asked(spot.path, spot.value, spot.of):
            return spot.value
        spots.append(spot)
        return disguise(spot.value, len(spots))[0]

    signed = again(vary(whole, with_signs)) or ""
    for number, spot in enumerate(spots, 1):
        for other, sign in disguise(spot.value, number)[1]:
            if sign and sign in signed:
                continue
            if again(with_one(whole, spot, other)) == text:
                return spot
    return None


def with_one(whole: list, spot: Spot, value: object) -> list:
    """The same with one part as another value."""
    return vary(whole, lambda each: value if each[:2] == spot[:2] else each.value)


def disguise(value: object, number: int) -> tuple[object, list[tuple[object, str]]]:
    """A value with signs, and the values with one of them alone, each with its sign.

    A number is another one, which is its sign; what can have none is as it is, and changed alone.
    """
    begin, end = f"Zq{number}b", f"Zq{number}e"
    if isinstance(value, str):
        return f"{begin}{value}{end}", [(f"{begin}{value}", begin), (f"{value}{end}", end)]
    if isinstance(value, int | float) and not isinstance(value, bool):
        whole = 9_417_000_000 + number
        other = whole if isinstance(value, int) else whole + 0.5
        return other, [(other, str(whole))]
    return value, [(value is not True, "")]


def vary(value: object, change: Callable[[Spot], Any], path: tuple[Any, ...] = ()) -> Any:
    """The same with every key and every value changed that is no list or object of others."""
    if isinstance(value, Mapping) and value:
        return {
            change(Spot((*path, key), "key", key)): vary(part, change, (*path, key))
            for key, part in value.items()
        }
    if isinstance(value, list) and value:
        return [vary(part, change, (*path, number)) for number, part in enumerate(value)]
    return change(Spot(path, "value", value))


def refuse_ends_inside(
    written: Written, tokenizer: "PreTrainedTokenizerBase", where: str, turns: Sequence[int]
) -> None:
    """Refuse an answer that holds what ends an answer: it would end there, and go on.

    A gold would be cut off there too, and half of it be a right reply.
    """
    ends = {mark.strip() for mark in [*end_marks(tokenizer), tokenizer.eos_token or ""]} - {""}
    said = [
        (piece.part.message, written.text[piece.start : piece.end])
        for piece in written.pieces
        if piece.part.kind != "name"
    ]
    # arguments are no piece: a text of them that stands in the chat is written
    for turn in dict.fromkeys(turns):
        calls = written.messages[turn].get("tool_calls") or []
        texts = [text for call in calls for text in texts_of(call.get("function", call))]
        said += [(turn, text) for text in texts if text in written.text]
    for turn, text in said:
        found = next((mark for mark in sorted(ends) if mark in text), None)
        if found and turn in turns:
            raise UserError(
                f"message {turn + 1} of {where} (assistant) holds {found!r}, with "
                "which the model ends an answer, and the chat template writes it; take it out."
            )


def texts_of(function: Mapping) -> list[str]:
    """Every text in the arguments of a tool call, as it stands there and as JSON writes it."""
    found: list[str] = []

    def note(spot: Spot) -> object:
        if isinstance(spot.value, str):
            found.extend((spot.value, json.dumps(spot.value, ensure_ascii=False)[1:-1]))
        return spot.value

    for form in (function.get("arguments"), read_arguments(function.get("arguments"))):
        vary(form, note)
    return found


def find_turn(turn: int, whole: Written, tokenizer: "PreTrainedTokenizerBase", where: str) -> Turn:
    """Where the assistant's message number `turn` stands: all that the model would write of it."""
    own = [p for p in whole.pieces if p.part.message == turn and p.part.kind != "name"]
    start = find_start(turn, own, whole, tokenizer, where)
    begun = max([start, *(piece.end for piece in own)])

    # the end mark is looked for up to where the next message has its first words
    later = [p.start for p in whole.pieces if p.part.message != turn and p.start >= begun]
    behind = whole.text[begun : min(later, default=len(whole.text))]
    found = [(place, mark) for mark in end_marks(tokenizer) if (place := behind.find(mark)) >= 0]
    if found:
        place, mark = min(found)
        return Turn(start, begun + place + len(mark), begun + place)

    # or it is what the template writes behind a chat that ends here
    ending = behind
    if later:
        options = {"tools": whole.options["tools"], "where": where}
        short = write(whole.messages[: turn + 1], tokenizer, prompt=False, **options)
        last = max((p.end for p in short.pieces), default=0)
        ending = HALF_A_TAG.sub("", common_prefix(short.text[last:], behind))
    return Turn(start, begun + len(ending.rstrip() or ending), begun)


def find_start(
    turn: int,
    own: Sequence[Piece],
    whole: Written,
    tokenizer: "PreTrainedTokenizerBase",
    where: str,
) -> int:
    """Where the assistant's message number `turn` begins: where its prompt and the chat part."""
    first = own[0].start if own else None
    if turn == 0:
        return first or 0
    prompt = write(
        whole.messages[:turn],
        tokenizer,
        prompt=True,
        tools=whole.options["tools"],
        where=where,
    )

    # both from the last words on that they share: earlier ones may be written in another way
    ends = {piece.part[:2]: piece.end for piece in whole.pieces if piece.part.message < turn}
    last = prompt.pieces[-1] if prompt.pieces else None
    if last is not None and last.part[:2] in ends:
        before, shared = ends[last.part[:2]], prompt.text[last.end :]
    else:
        before, shared = 0, prompt.text
    start = before + len(shared_begin(shared, whole.text[before:]))
    # words of the answer may go on as the prompt does, where it is no beginning of the chat
    if first is None or whole.text.startswith(shared, before):
        return start
    return min(start, first)


def shared_begin(prompt: str, chat: str) -> str:
    """What the end of a prompt and a chat have in common, from where both are the same.

    Half a tag is the answer's own: <t, where one has <think> and the other <tool_call>.
    """
    same = common_prefix(prompt, chat)
    return same if same == prompt else HALF_A_TAG.sub("", same)


class Around(NamedTuple):
    """What a chat template writes around the words of an answer, of what the model writes."""

    prompt: str  # before them all, which the model is given
    head: str  # before them, such as an empty think block
    ends: list[str]  # behind them; some templates end the last answer otherwise than earlier ones


NOTHING = Around("", "", [])
known: "WeakKeyDictionary[PreTrainedTokenizerBase, dict[str, Around]]" = WeakKeyDictionary()


def around_answers(tokenizer: "PreTrainedTokenizerBase") -> Around:
    """What the chat template writes around an answer, read off a chat of its own."""
    template = find_template(tokenizer) or ""
    by_template = known.setdefault(tokenizer, {})
    if template not in by_template:
        question, answer = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
        try:
            asked = write([question], tokenizer, prompt=True)
            last = write([question, answer], tokenizer, prompt=False)
            earlier = write([question, answer, question], tokenizer, prompt=False)
            by_template[template] = Around(
                asked.text[asked.pieces[-1].end :],
                read_head(asked, last),
                list(dict.fromkeys(read_ends(asked, last, earlier, special_tokens(tokenizer)))),
            )
        except (UserError, IndexError):  # a template with rules of its own
            by_template[template] = NOTHING
    return by_template[template]


def end_marks(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """What the chat template writes behind an answer, such as <|im_end|>; empty if nothing."""
    return around_answers(tokenizer).ends


def is_endless(tokenizer: "PreTrainedTokenizerBase") -> bool:
    """Whether the chat template writes nothing behind the last answer, so that no end is learned.

    False for a template that no chat of one question fits.
    """
    around = around_answers(tokenizer)
    return not around.ends and around != NOTHING


def answer_head(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the chat template writes before an answer's own words, such as an empty think block.

    The model has to write it, because the prompt does not hold it.
    """
    return around_answers(tokenizer).head


def answer_prompt(tokenizer: "PreTrainedTokenizerBase") -> str:
    """What the chat template writes between a question and where the model goes on."""
    return around_answers(tokenizer).prompt


def read_head(asked: Written, last: Written) -> str:
    """What stands between the prompt of a question and its answer's own words."""
    shared = asked.text[asked.pieces[-1].end :]
    own = last.text[last.pieces[0].end : last.pieces[1].start]
    return own[len(shared_begin(shared, own)) :]


def read_ends(
    asked: Written, last: Written, earlier: Written, special: Sequence[str]
) -> Iterator[str]:
    """The marks behind the last answer of a chat, and behind an earlier one."""
    after_last = last.text[last.pieces[-1].end :]
    after_question = asked.text[asked.pieces[-1].end :]
    after_earlier = earlier.text[earlier.pieces[1].end : earlier.pieces[2].start]

    # up to the first special token, or up to others right behind it; or what both have
    if mark := up_to_special(after_last, special):
        while more := up_to_special(after_last[len(mark) :], special):
            if more not in special or mark + more not in after_earlier:
                break
            mark += more
        yield mark
    elif mark := common_prefix(after_last, after_earlier).rstrip():
        yield mark

    # an earlier answer may have another, which questions have too
    mark = up_to_special(after_earlier, special)
    if mark and mark == up_to_special(after_question, special):
        yield mark


def special_tokens(tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """The special tokens of a tokenizer, in words."""
    added = tokenizer.added_tokens_decoder.values()
    return [*tokenizer.all_special_tokens, *(str(t.content) for t in added if t.special)]


def up_to_special(text: str, special: Sequence[str]) -> str:
    """The text up to the end of the first special token in it; "" if there is none."""
    found = [(text.find(token), -len(token)) for token in special if token in text]
    if not found:
        return ""
    place, size = min(found)
    return text[: place - size]


def tokenize(text: str, tokenizer: "PreTrainedTokenizerBase") -> tuple[list[int], list[Span]]:
    """The tokens of a text, and where in it each of them stands."""
    if tokenizer.is_fast:
        encoded = tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return encoded["input_ids"], [Span(*place) for place in encoded["offset_mapping"]]

    # a slow tokenizer does not say where: token by token, what the tokens so far make of text
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    ends = [len(str(tokenizer.decode(ids[: n + 1]))) for n in range(len(ids))]
    return ids, [Span(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def covered_tokens(start: int, end: int, places: Sequence[Span]) -> range:
    """The tokens that have a part of the text from start to end."""
    inside = [
        token
        for token, place in enumerate(places)
        if place.start < end and place.end > start and place.end > place.start
    ]
    return range(inside[0], inside[-1] + 1) if inside else range(0)


def tokens_of_others(
    turn: int, whole: Written, places: Sequence[Span], covered: Mapping[int, range]
) -> set[int]:
    """The tokens of all that other messages than number `turn` say; covered: of each answer."""
    others = (piece for piece in whole.pieces if piece.part.message != turn)
    answers = {token for other in covered if other != turn for token in covered[other]}
    return answers | {t for piece in others for t in covered_tokens(piece.start, piece.end, places)}


def read_marks(whole: Written, tokenizer: "PreTrainedTokenizerBase") -> list[bool] | None:
    """By token: is it inside the template's {% generation %} marks? None without such marks."""
    if not (marks_answers(tokenizer) and tokenizer.is_fast):
        return None
    encoded = tokenizer.apply_chat_template(
        whole.messages, return_dict=True, return_assistant_tokens_mask=True, **whole.options
    )
    return [bool(mark) for mark in encoded["assistant_masks"]]  # type: ignore # a dict, as asked


def marked_tokens(
    turn: range, ending: range, others: Set[int], marked: Sequence[bool]
) -> list[int]:
    """The tokens of a turn that carry loss by the template's marks.

    They may reach beyond the turn's own, to a line end behind it, but not into the `others`. Marks
    that leave out the end mark would teach a model never to end: it is learned in any case.
    """
    inside = [token for token in turn if marked[token]]
    if not inside:
        return []
    first, last = inside[0], inside[-1]
    while first > 0 and marked[first - 1] and first - 1 not in others:
        first -= 1
    while last + 1 < len(marked) and marked[last + 1] and last + 1 not in others:
        last += 1
    return sorted({*(token for token in range(first, last + 1) if marked[token]), *ending})


def common_prefix(one: str, other: str) -> str:
    """What two texts begin with."""
    size = next(
        (n for n, both in enumerate(zip(one, other, strict=False)) if both[0] != both[1]),
        min(len(one), len(other)),
    )
    return one[:size]
