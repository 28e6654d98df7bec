"""Rows of every known format as chat messages: what a row says is read, or refused by name.

    to_messages(row)             [{"role", "content", …}, …] of any known format
    to_pair(row)                 a preference pair: its prompt, the chosen and the rejected answer
    rank_answers(row)            several answers with scores or ranks, as pairs
    to_tools(row)                the tools that a row offers, as objects
    find_format(row)             which of the formats it is in
    count_answer_tokens(…)       the tokens of the last answer, its end mark included

The formats: messages, ShareGPT's conversations, prompt and completion (texts or messages), Alpaca.
Preference pairs and raw text are known, and refused as rows to learn answers from. A message is
checked in `messages.py`; which of its tokens are learned, `rendering.py` says.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ..core.errors import is_number
from ..core.parsing import JsonReader, shown
from .messages import (
    THOUGHTS,
    describe,
    holds_chat,
    list_keys,
    read_functions,
    read_messages,
    read_text,
    read_turns,
)
from .records import find_split
from .rendering import render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMATS = (
    "messages · conversations · prompt + completion · "
    "instruction (+ input, system, history) + output"
)
CARRIED = ("skill", "wording", "rating", "votes")  # of any type, and not read here
# The keys that make a format, in the order in which they are looked for, and those that go with it.
KEYS = {
    "messages": ("messages",),
    "ShareGPT": ("conversations",),
    "preference pairs": ("chosen", "rejected"),
    "prompt and completion": ("prompt", "completion"),
    "Alpaca": ("instruction", "output"),
    "text": ("text",),
}
BESIDE = {"Alpaca": ("input", "history"), "preference pairs": ("prompt",)}
OF_A_FORMAT = {key for keys in KEYS.values() for key in keys} | {"input", "history"}
MEANT = OF_A_FORMAT | {"system", "weight", "split", "tools", *CARRIED}  # every key that is read
# Columns that say something to other trainers: a row that states one would be learned without it.
REFUSED = (
    "context", "contexts", "documents", "functions", "function_call", "chat_template_kwargs",
    "image", "images", "audio", "audios", "video", "videos",
)  # fmt: skip
KTO_LABELS = ("label", "kto_tag", "kto_label")  # false where an answer is not to be learned
# Usual names of what the kit calls otherwise; the answer's name goes by the format.
PROMPT_NAMES = ("question", "query", "input", "problem", "user", "human")
ANSWER_NAMES = ("answer", "response", "reply", "output", "target", "solution", "assistant", "gpt")
SYSTEM_NAMES = ("system_prompt", "system_message", "system_instruction")
SPLIT_COLUMNS = ("set", "subset", "partition", "fold", "phase", "splits", "data_split")
# Words in the names of a pair's columns: how good an answer is, the lower the better, and how much
# better the chosen one is; and columns that name the better one.
WORTH = {
    "score", "scores", "rating", "ratings", "reward", "rewards", "votes", "upvotes", "likes",
    "points", "quality",
}  # fmt: skip
RANKS = {"rank", "ranks", "ranking"}
APART = {"diff", "difference", "delta", "gap"}
WINNERS = ("preference", "preferred", "label", "winner", "better", "best", "choice")
CHAT_NAMES = ("chat", "conversation", "dialog", "dialogue", "turns")


def to_messages(row: object) -> list[dict]:
    """One row of any known format as chat messages, whose last is the assistant's answer.

    A message has role and content, and name, weight, thoughts, tool_calls where it states them.
    Messages of a prompt have weight 0, because only the completion is learned; the answers of
    Alpaca's history are learned. Contents in parts are put together without a blank. Raises
    ValueError with the key and what it holds; columns that nobody reads here are left out.
    """
    row = check_row(row)
    kind = find_format(row)
    if kind == "preference pairs":
        raise ValueError(
            "a preference pair (chosen, rejected) says which of two answers is better; to learn "
            "the better one, write the row as prompt and completion"
        )
    if kind == "text":
        raise ValueError(
            "a raw text has no question and no answer, and the kit learns answers; "
            "write it as prompt and completion"
        )
    refuse_columns(row, kind)
    messages = with_system(READERS[kind](row), row)
    refuse_other_formats(row, kind, messages)
    check_answer(messages)
    return messages


def check_row(row: object) -> Mapping:
    """A row is an object; raises ValueError for anything else."""
    if not isinstance(row, Mapping):
        raise ValueError(f"the row is {describe(row)}, not a JSON object")
    return row


def find_format(row: Mapping) -> str:
    """Which of `KEYS` a row is in; raises ValueError, with the nearest right keys, if in none."""
    stated = [name for name, keys in KEYS.items() if all(row.get(k) is not None for k in keys)]
    # a null is said as such, where no other format fits
    fitting = stated or [name for name, keys in KEYS.items() if all(k in row for k in keys)]
    if fitting:
        return fitting[0]
    renamed = [f"{key!r} to {right!r}" for key, right in find_names(row).items()]
    cure = f"; rename {', '.join(renamed)}" if renamed else ""
    raise ValueError(f"the keys {list_keys(row)} fit no known format ({FORMATS}){cure}")


def find_names(row: Mapping) -> dict[str, str]:
    """{key: the key that it probably means} of a row in no known format."""
    names = {str(key).strip().lower() for key in row}
    alpaca = "instruction" in names
    meant: dict[str, str] = dict.fromkeys(CHAT_NAMES, "messages")
    meant |= dict.fromkeys(ANSWER_NAMES, "output" if alpaca else "completion")
    meant |= dict.fromkeys(PROMPT_NAMES, "prompt")
    if alpaca:
        del meant["input"], meant["output"]

    found = {}
    for key in row:
        name = str(key).strip().lower()
        right = meant.get(name) or find_near(key, 0.8)
        if right and right != key and right not in row:
            found[key] = right
    return found


def find_near(key: object, cutoff: float) -> str:
    """The key that is read and that another one probably means; "" if it means none."""
    name = str(key).strip().lower()
    if name in SYSTEM_NAMES:
        return "system"
    # people's own columns may well be called Rating or vote
    near = MEANT - {"rating", "votes"}
    return name if name in near else "".join(get_close_matches(name, sorted(near), 1, cutoff))


def refuse_columns(row: Mapping, kind: str) -> None:
    """Refuse what a row says beside its format and nobody would read, and slips of the pen."""
    for key, value in row.items():
        if value is None or (isinstance(value, str | list | dict) and not value):
            continue
        split = find_split(value) if isinstance(value, str) else None
        if split and str(key).strip().lower() in SPLIT_COLUMNS:
            raise ValueError(f"{key!r} is {value!r}, and a split is read from 'split'; rename it")
        if key in REFUSED:
            raise ValueError(
                f"{key} is stated, which is not read; put what it says into the prompt, or remove "
                "the column"
            )
        if key in THOUGHTS:
            raise ValueError(
                f"{key} is stated beside the answer, which is not read; write the row as messages "
                f"and put it into the assistant's, or remove the column"
            )
        if key not in MEANT and (meant := find_near(key, 0.85)):
            raise ValueError(f"there is no key {key!r}. Did you mean {meant!r}?")
    if row.get("weight") not in (None, 1, "1"):
        raise ValueError(
            f"weight is {describe(row['weight'])}, for the whole row; rows all weigh the same, so "
            "put weight 0 or 1 on an assistant's message"
        )
    refuse_labels(row, kind)


def refuse_labels(row: Mapping, kind: str) -> None:
    """Refuse a row that says of itself that its answer is not one to learn, as KTO's rows do."""
    for key in KTO_LABELS:
        word = str(row.get(key)).strip().lower()
        # of other formats, a label is a column that people carry along
        if word in ("false", "0", "0.0") and (key != "label" or kind == "prompt and completion"):
            raise ValueError(
                f"{key} is {shown(row[key])}, so the answer is one not to learn; remove the row, "
                "or rename the column if it says something else"
            )


def refuse_around(stated: Mapping) -> None:
    """Refuse what an object says beside the list of rows that it holds, if rows can say it."""
    for key, value in stated.items():
        said = value is not None and value not in ("", [], {})
        if said and (key in REFUSED or (key not in CARRIED and find_near(key, 0.85))):
            raise ValueError(
                f"{key} is stated once, beside the list of rows, and would be read in none of "
                "them; state it in every row, or remove it"
            )


def refuse_other_formats(row: Mapping, kind: str, messages: Sequence[Mapping]) -> None:
    """Refuse a row that has keys of another format too, unless its messages say the same."""
    own = (*KEYS[kind], *BESIDE.get(kind, ()), "rejected", "text")
    said = [message["content"] for message in messages]
    for key in sorted(OF_A_FORMAT - set(own)):
        value = row.get(key)
        if value and value not in said and not (key == "chosen" and ends_alike(value, messages)):
            raise ValueError(
                f"the row is in the format {kind} and states {key} beside it, which is not read; "
                "keep one of the two"
            )


def ends_alike(value: object, messages: Sequence[Mapping]) -> bool:
    """Whether messages end in the same answer, as the chosen ones of a row do that has both."""
    if not isinstance(value, list) or not value or not isinstance(value[-1], Mapping):
        return False
    return value[-1].get("content") == messages[-1]["content"]


def from_messages(row: Mapping) -> list[dict]:
    """{"messages": [{"role", "content"}, …]}."""
    return read_messages(row["messages"], "messages")


def from_turns(row: Mapping) -> list[dict]:
    """ShareGPT: {"conversations": [{"from", "value"}, …]}."""
    return read_turns(row["conversations"], "conversations")


def from_exchange(row: Mapping) -> list[dict]:
    """{"prompt", "completion"}, each a text or messages; the prompt's answers are not learned."""
    prompt, answer = prompt_of(row), as_messages(row["completion"], "completion", "assistant")
    if prompt[-1]["role"] == answer[0]["role"] == "assistant":
        raise ValueError(
            "the prompt ends in an answer, and the kit goes on from no half answer; end it with "
            "what is to be answered, and write the whole answer as the completion"
        )
    return [*prompt, *answer]


def prompt_of(row: Mapping) -> list[dict]:
    """The messages of a prompt, whose answers are given and not learned."""
    prompt = as_messages(row["prompt"], "prompt", "user")
    return [{"weight": 0, **m} if m["role"] == "assistant" else m for m in prompt]


def as_messages(value: object, key: str, role: str) -> list[dict]:
    """A text as the message of a role, and messages as they are."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return read_messages(value, key)
    text = read_text(value, key)
    if holds_chat(text):
        raise ValueError(
            f"{key} is messages written as text ({shown(text)}), which would be learned as it "
            f"stands; write them as a list in JSON, or the text as a message of the role {role}"
        )
    return [{"role": role, "content": text}]


def from_alpaca(row: Mapping) -> list[dict]:
    """{"instruction", "output"} with input, a line below the instruction, and history, pairs."""
    # the turns before
    messages = []
    for number, pair in enumerate(read_history(row.get("history")), 1):
        for role, text in zip(("user", "assistant"), pair, strict=True):
            text = read_text(text, f"history {number}")
            messages.append({"role": role, "content": text})

    # the last one
    more = "" if row.get("input") is None else read_text(row["input"], "input")
    parts = [part for part in (read_text(row["instruction"], "instruction"), more) if part]
    answer = read_text(row["output"], "output")
    messages.append({"role": "user", "content": "\n".join(parts)})
    return [*messages, {"role": "assistant", "content": answer}]


def read_history(history: object) -> list[Sequence]:
    """Alpaca's history: [question, answer] pairs."""
    if history is None or history == "":
        return []
    if not isinstance(history, Sequence) or isinstance(history, str | bytes):
        raise ValueError(f"history is {describe(history)}; write [question, answer] pairs")
    for pair in history:
        if not isinstance(pair, Sequence) or isinstance(pair, str | bytes) or len(pair) != 2:
            raise ValueError(f"history holds {shown(pair)}; write [question, answer] pairs")
    return list(history)


READERS: dict[str, Callable[[Mapping], list[dict]]] = {
    "messages": from_messages,
    "ShareGPT": from_turns,
    "prompt and completion": from_exchange,
    "Alpaca": from_alpaca,
}


def with_system(messages: list[dict], row: Mapping) -> list[dict]:
    """The messages behind the row's `system` text, where it has one."""
    system = row.get("system")
    if system is None or system == "":
        return messages
    text = read_text(system, "system")
    if messages[0]["role"] != "system":
        return [{"role": "system", "content": text}, *messages]
    if messages[0]["content"] != text:
        raise ValueError("the row has a system text and its messages another one; keep one")
    return messages


def check_answer(messages: Sequence[Mapping]) -> None:
    """Raise ValueError with the reason, unless the chat ends in something to learn."""
    last = messages[-1]
    if last["role"] != "assistant":
        raise ValueError(
            f"the last message is not an answer of the assistant but of the role {last['role']}, "
            "so there is nothing to learn from it"
        )
    if not last["content"].strip() and not last.get("tool_calls"):
        raise ValueError("the answer is empty, so there is nothing to learn from it")
    answers = [message for message in messages if message["role"] == "assistant"]
    if all(message.get("weight") == 0 for message in answers):
        raise ValueError("every answer has weight 0, so there is nothing to learn from it")


def to_tools(row: Mapping) -> list[dict]:
    """The tools that a row offers the assistant: a list, or JSON text of one; [] for none.

    Raises ValueError for anything else.
    """
    tools: Any = row.get("tools")
    if tools is None or tools in ("", [], "[]"):
        return []
    if isinstance(tools, str):
        tools, fault = JsonReader().read(tools)
        if fault:
            raise ValueError(f"tools is a text and no JSON: {fault}; write a list")
    return read_functions(tools, "tools")


def to_pair(row: object) -> dict[str, list[dict]]:
    """A preference pair as messages: {"prompt": […], "chosen": […], "rejected": […]}.

    Where no prompt is stated, it is what both answers begin with alike. Raises ValueError for a
    row that is none, whose columns call the rejected answer the better one, or whose answers are
    the same or not one message each.
    """
    row = check_row(row)
    if find_format(row) != "preference pairs":
        raise ValueError("the row is no preference pair; write prompt, chosen and rejected")
    refuse_columns(row, "preference pairs")
    refuse_order(row)
    chosen, rejected = (as_messages(row[key], key, "assistant") for key in KEYS["preference pairs"])
    stated = row.get("prompt") is not None
    prompt = as_messages(row["prompt"], "prompt", "user") if stated else []

    # whole conversations on both sides: what they share is the prompt
    begun = [*(m for m in chosen[:1] if m["role"] == "system"), *prompt] if stated else []
    whole = any(chosen[: len(it)] == it == rejected[: len(it)] for it in (prompt, begun))
    if not stated or whole:
        both = zip(chosen[:-1], rejected[:-1], strict=False)
        shorter = min(len(chosen), len(rejected)) - 1
        same = next((n for n, (a, b) in enumerate(both) if a != b), shorter)
        prompt, chosen, rejected = chosen[:same], chosen[same:], rejected[same:]
    if not prompt:
        raise ValueError("the pair has no prompt; write prompt, chosen and rejected")
    check_sides(prompt, chosen, rejected)
    refuse_other_formats(row, "preference pairs", [*prompt, *chosen])
    return {"prompt": with_system(prompt, row), "chosen": chosen, "rejected": rejected}


def check_sides(prompt: Sequence[Mapping], chosen: list[dict], rejected: list[dict]) -> None:
    """Raise ValueError unless each side is one answer to the prompt, in words of its own."""
    if prompt[-1]["role"] == "assistant":
        raise ValueError("the prompt ends in an answer; end it with what is to be answered")
    if chosen == rejected:
        raise ValueError("chosen and rejected say the same, so neither is better")
    for side, answer in (("chosen", chosen), ("rejected", rejected)):
        check_answer(answer)
        if len(answer) > 1:
            raise ValueError(
                f"{side} has {len(answer)} messages behind what both sides share; give one of the "
                "assistant's, and what comes before it as the prompt"
            )
    if chosen[0]["content"].strip() == rejected[0]["content"].strip():
        raise ValueError(
            "chosen and rejected have the same text, and pairs are compared by it; remove the row"
        )


def refuse_order(row: Mapping) -> None:
    """Refuse a pair whose own columns say that the rejected answer is the better one, or neither.

    Scores of both, a margin between them, or a column that names the better one.
    """
    for names, sign, chosen, rejected in scores_of(row):
        if sign * chosen < sign * rejected:
            raise ValueError(
                f"{names} are {shown(chosen)} and {shown(rejected)}, so the rejected answer is the "
                "better one; swap the two, or remove the row"
            )
        if chosen == rejected:
            raise ValueError(
                f"{names} are both {shown(chosen)}, so neither answer is better; remove the row"
            )
    for key, value in row.items():
        words, number = words_of(key), number_of(value)
        apart = "margin" in words or bool(words & (WORTH - {"quality"}) and words & APART)
        named = str(key).strip().lower() in WINNERS
        word = str(value).strip().lower()
        label = str(key).strip().lower() == "label" and word in ("false", "0", "0.0")
        less = (apart or named) and number is not None and number < 0
        if less or label or (named and word in ("rejected", "reject")):
            raise ValueError(
                f"{key} is {shown(value)}, so the rejected answer is the better one; swap the two, "
                "or rename the column if it says something else"
            )


def scores_of(row: Mapping) -> Iterator[tuple[str, int, float, float]]:
    """What a pair says of both its answers: the columns, 1 where more is better or −1, numbers.

    score_chosen and score_rejected, chosen-rating, …; or one column with both in an object.
    """
    for key, value in row.items():
        words = words_of(key)
        sign = 1 if words & WORTH else -1 if words & RANKS else 0
        names, both = f"{key} of chosen and rejected", ()
        if isinstance(value, Mapping):
            both = (value.get("chosen"), value.get("rejected"))
        if "chosen" in words:
            other = re.sub("chosen", "rejected", str(key), flags=re.IGNORECASE)
            names = f"{key} and {other}"
            both = (value, {str(k).lower(): v for k, v in row.items()}.get(other.lower()))
        numbers = [number for each in both if (number := number_of(each)) is not None]
        if sign and len(numbers) == 2:
            yield names, sign, numbers[0], numbers[1]


def words_of(key: object) -> set[str]:
    """The words in the name of a column: score_chosen, chosen-rating, chosenScore."""
    return {word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", str(key))}


def number_of(value: object) -> int | float | None:
    """The number that a value is, or that a table's cell says; None for anything else."""
    if is_number(value):
        return value
    try:
        number = float(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return number if is_number(number) else None


# Several answers to one prompt, and what says which is better: more of it, or less.
RANKED, ORDERS = "responses", {"scores": 1, "ranks": -1}


def rank_answers(row: object) -> list[dict] | None:
    """Rows of pairs of a row of ranked answers; None for a row of any other kind.

    {"prompt", "responses": [answers], "scores": [numbers]}, the higher the better; or "ranks", the
    lower the better. Every two that differ are a pair; none does where all are as good. Raises
    ValueError for a row without a prompt, and for numbers that are none, or not one an answer.
    """
    if not isinstance(row, Mapping) or RANKED not in row:
        return None
    answers = row[RANKED]
    if not isinstance(answers, list) or len(answers) < 2:
        raise ValueError(f"{RANKED} is {describe(answers)}; give a list of two answers at least")
    stated = [key for key in ORDERS if row.get(key) is not None]
    if len(stated) != 1:
        raise ValueError("responses need scores or ranks, one of the two, a number for each")
    key = stated[0]
    numbers = row[key]
    right = isinstance(numbers, list) and len(numbers) == len(answers)
    if not right or not all(is_number(number) for number in numbers):
        raise ValueError(f"{key} is {shown(numbers)}; give a list of numbers, one for each answer")
    if row.get("prompt") is None:
        raise ValueError("the row has no prompt; write prompt, responses and scores")
    rest = {k: v for k, v in row.items() if k not in (RANKED, key)}
    worth = [ORDERS[key] * number for number in numbers]
    better = [
        (one, other)
        for one in range(len(answers))
        for other in range(len(answers))
        if worth[one] > worth[other]
    ]
    if not better:
        raise ValueError(f"all {key} are the same, so no answer is better than another")
    return [{**rest, "chosen": answers[a], "rejected": answers[b]} for a, b in better]


def count_answer_tokens(
    messages: list[dict], tokenizer: "PreTrainedTokenizerBase", where: str = "the row"
) -> int:
    """How many tokens the assistant's last answer has, its end mark included.

    Raises UserError, which names the row by `where`, if the chat template refuses the messages.
    """
    return len(render(messages, tokenizer, where=where).answer)
