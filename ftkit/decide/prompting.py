"""What can a prompt do alone? The question as it is, solved examples, a schema, a list to parse.

    zero_shot(rows)                       the prompts of chat rows as they are
    few_shot(model, tok, chats, shots)    solved examples before each question, as turns
    nearest_shots(chats, rows, k)         for each chat the k rows most like it, by BM25
    ask_for(chats, instruction, …)        another last line: what is to be written
    schema_instruction(fields)            "Write JSON with name, city."
    list_instruction(fields)              "List name, city."
    read_list(reply)                      the lines "name: value" as an object

Shots that a model has no room for are refused: nothing is cut off silently. Notebook 06.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .. import data
from ..core.errors import UserError, is_whole
from ..models import last_position
from .retrieval import Index, question_of

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Chat = Sequence[Mapping]
REPLY_ROOM = 64  # tokens of a reply that a prompt has to leave room for
TRUTHS = {"yes": True, "no": False}


def zero_shot(rows: "Dataset | Mapping") -> list[list[dict]]:
    """The chats of rows without their last message, the answer."""
    return [[*map(dict, chat[:-1])] for chat in rows["messages"]]


def few_shot(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    chats: Sequence[Chat],
    shots: Sequence[Chat] | Sequence[list[Chat]],
    room: int = REPLY_ROOM,
) -> list[list[dict]]:
    """The chats, each with solved examples before its question, as turns of the same chat.

    shots: whole chats that end in an answer, the same for all; or for each chat its own list of
    them (`nearest_shots`). They come in the order given, behind the chat's system turn; their own
    system turns are left out. room: tokens left for the reply. Raises UserError for no shots, for
    one without an answer, and for more than the model has positions for: with the most that fit.
    """
    own = shots_of_each(chats, shots)
    asked = [with_shots(chat, few) for chat, few in zip(chats, own, strict=True)]
    spare = room_left(model, tokenizer, asked, room)
    if spare >= 0:
        return asked

    # the most that would fit: fewer of the same shots, the first ones; each half is tried in turn
    given = max(map(len, own))
    most, too_many = 0, given
    while too_many - most > 1:
        tried = (most + too_many) // 2
        fewer = [with_shots(chat, few[:tried]) for chat, few in zip(chats, own, strict=True)]
        fits = room_left(model, tokenizer, fewer, room) >= 0
        most, too_many = (tried, too_many) if fits else (most, tried)
    raise UserError(
        f"{given} shots and {room} tokens for the reply need {-spare:,} more than the "
        f"{last_position(model):,} positions that the model knows; give {most} at most."
    )


def shots_of_each(chats: Sequence[Chat], shots: Sequence) -> list[list[Chat]]:
    """For each chat its own list of shots, every one of them checked."""
    if not len(shots):
        raise UserError("there are no shots; give one solved example at least, or ask zero-shot.")
    is_message = isinstance(shots[0][0], Mapping) if len(shots[0]) else True
    own = [list(shots) for _ in chats] if is_message else [list(few) for few in shots]
    if len(own) != len(chats):
        raise UserError(
            f"there are {len(own)} lists of shots for {len(chats)} chats; give one each."
        )
    for few in own:
        for number, shot in enumerate(few, 1):
            roles = [message.get("role") for message in shot]
            if roles[-1:] != ["assistant"]:
                raise UserError(
                    f"shot {number} ends in {roles[-1] if roles else 'nothing'}; "
                    "give chats whose last message is the assistant's answer."
                )
    return own


def with_shots(chat: Chat, shots: Sequence[Chat]) -> list[dict]:
    """The system turns of a chat, the turns of the shots, and the chat's own."""
    system = [dict(message) for message in chat if message["role"] == "system"]
    asked = [dict(message) for message in chat if message["role"] != "system"]
    turns = [dict(m) for shot in shots for m in shot if m["role"] != "system"]
    return [*system, *turns, *asked]


def room_left(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    chats: Sequence[Chat],
    room: int = REPLY_ROOM,
) -> int:
    """Positions that the longest chat and its reply leave free; below 0 where they do not fit.

    A model whose config states no last position has room for all.
    """
    if not is_whole(room) or room < 1:
        raise UserError(f"room is {room!r}; give the tokens left for a reply, from 1 on.")
    last = last_position(model)
    longest = max(count_prompt_tokens(tokenizer, chats), default=0)
    return 0 if last is None else last - room - longest


def count_prompt_tokens(
    tokenizer: "PreTrainedTokenizerBase", chats: Sequence[Chat], tools: Sequence | None = None
) -> list[int]:
    """The tokens of each chat as the model reads it, up to where its answer begins."""
    each = zip(chats, tools or [None] * len(chats), strict=True)
    texts = [
        data.render_prompt(chat, tokenizer, tools=own, where=f"chat {number}")
        for number, (chat, own) in enumerate(each, 1)
    ]
    ids = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    return [len(row) for row in ids]


def nearest_shots(chats: Sequence[Chat], rows: "Dataset | Mapping", k: int) -> list[list[Chat]]:
    """For each chat the k rows whose question is most like its own, the most like one last.

    By BM25 over the rows' questions; of equally like ones, the earlier row. The last shot stands
    right before the question. Raises UserError unless 1 ≤ k ≤ the rows there are.
    """
    solved = list(rows["messages"])
    index = Index([question_of(chat[:-1]) for chat in solved])
    ranked = [index.rank(question_of(chat), k) for chat in chats]
    return [[solved[place] for place in reversed(places)] for places in ranked]


def ask_for(
    chats: Sequence[Chat], instruction: str, instead_of: str | None = None
) -> list[list[dict]]:
    """The chats with `instruction` as the last line of their question.

    instead_of: the line that it takes the place of, such as "Give the ticket as JSON."; None adds
    it. Raises UserError for a question that does not end in that line.
    """
    asked = []
    for number, chat in enumerate(chats, 1):
        question = question_of(chat)
        if instead_of is not None and not question.endswith(instead_of):
            raise UserError(
                f"the question of chat {number} does not end in {instead_of!r}; give the words "
                "that it ends in, or None to add a line."
            )
        kept = question.removesuffix(instead_of or "").rstrip()
        asked.append([*map(dict, chat[:-1]), {**chat[-1], "content": f"{kept}\n{instruction}"}])
    return asked


def schema_instruction(fields: Sequence[str]) -> str:
    """The schema in words: "Write JSON with name, city."."""
    return f"Write JSON with {name_fields(fields)}."


def list_instruction(fields: Sequence[str]) -> str:
    """The same as lines to be parsed: "List name, city."."""
    return f"List {name_fields(fields)}."


def name_fields(fields: Sequence[str]) -> str:
    """The names of fields with commas between; refuses none."""
    if isinstance(fields, str) or not len(fields):
        raise UserError(
            f"the fields are {fields!r}; give a list of names, such as ['name', 'city']."
        )
    return ", ".join(fields)


def read_list(reply: str) -> dict[str, object]:
    """The lines "name: value" of a reply as an object: yes and no as truths, digits as a number.

    Lines without ": " are left out, so a reply that is no list is {}.
    """
    pairs = [line.strip().partition(": ") for line in reply.splitlines()]
    return {key: read_word(value) for key, colon, value in pairs if colon}


def read_word(value: str) -> object:
    """A truth for yes and no, a whole number for digits, else the text itself."""
    return int(value) if value.isascii() and value.isdigit() else TRUTHS.get(value, value)
