"""Data sets on disk: read in any format, found by name, split.

    load(name, tokenizer)       train, validation and test as a datasets.DatasetDict
    test_rows(name)             the rows to judge a model on
    read(path)                  the rows of a file or folder, every bad one named
    read_pairs(path)            the same of preference pairs, and of answers with scores or ranks
    load_pairs(path)            its train, validation and test splits
    read_placed(path, columns)  the rows with columns of your own, and the line of each
    to_dataset(rows)            rows as a datasets.Dataset, whatever their messages state
    as_rows(rows)               a Dataset, or a list of rows, as a list: checked and not empty

What a row has to look like stands in `chat.py`, what a file in `files.py`; how the kit's own tasks
were drawn in `world/tasks.py`. The second line of most notebooks, from 00 on.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import fetched
from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.parsing import shown
from .chat import (
    CARRIED,
    check_row,
    rank_answers,
    refuse_around,
    to_messages,
    to_pair,
    to_tools,
)
from .files import SUFFIXES, read_records
from .messages import describe, name_key, read_text, to_json
from .records import SPLIT_NAMES, SPLITS, Record, find_split
from .rendering import render

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict
    from transformers import PreTrainedTokenizerBase

TASKS = ("tickets", "general", "facts", "trays", "shipments", "greeted", "calls")
KNOWN = (*TASKS, "reviews")  # data sets by name, fetched ones too
NAMED = 3  # reasons, and rows for each, that an error names; the others it counts


class Parsed(NamedTuple):
    """A file's rows and where each stands, and what is wrong with the others."""

    rows: list[dict]
    records: list[Record]  # of the rows, in the same order
    faults: list[tuple[Record, str]]  # a record that is no row, and why


def parse(records: Sequence[Record], take: Callable[[Any], dict]) -> Parsed:
    """The records as rows; `take` makes a row of what stands there, or raises ValueError."""
    parsed = Parsed([], [], [])
    for record in records:
        try:
            if record.fault:
                raise ValueError(record.fault)
            row = take(record.value)
            refuse_around(record.around)
            if record.split is not None:
                row = {"split": record.split} | row
                if row["split"] != record.split:
                    raise ValueError(f"split is {row['split']!r} in a list of {record.split} rows")
        except ValueError as error:
            parsed.faults.append((record, str(error)))
        else:
            parsed.rows.append(row)
            parsed.records.append(record)
    return parsed


def read(path: str | Path, encoding: str | None = None) -> list[dict]:
    """The rows of a file or a folder (see `read_records`), in any format of `to_messages`.

    A row has `messages`, and split, skill, wording and tools where it states them; other columns
    are left out. A split is "train", "validation" or "test", whichever usual name the file has for
    it. Raises UserError for a file that cannot be read; one error names all bad rows.
    """
    return whole(path, parse(read_records(path, encoding), take_row))


def read_pairs(path: str | Path, encoding: str | None = None) -> list[dict]:
    """The preference pairs of a file, each with prompt, chosen and rejected as messages.

    And split and tools, where it states them. A row of several answers with their scores or ranks
    is as many pairs as two of them differ (see `rank_answers`). Raises UserError as `read` does,
    and for rows that are no pairs.
    """
    return whole(path, parse(spread(read_records(path, encoding)), take_pair))


def spread(records: Iterable[Record]) -> list[Record]:
    """The records, those of ranked answers as a record of each pair, at the same place."""
    found: list[Record] = []
    for record in records:
        try:
            rows = rank_answers(record.value) if not record.fault else None
        except ValueError as error:
            found.append(record._replace(value=None, fault=str(error)))
            continue
        if rows is None:
            found.append(record)
        else:
            found += [record._replace(value=row) for row in rows]
    return found


def read_placed(
    path: str | Path, encoding: str | None = None, columns: Sequence[str] = ()
) -> tuple[list[dict], list[str]]:
    """The rows of a file or a task of the kit, and in words where each stands: "line 4".

    columns: names of the file's own columns that the rows keep, such as a date. Raises UserError
    as `read` does, and for a column that no row has.
    """
    path = find_file(path)
    parsed = parse(read_records(path, encoding), take_row)
    rows = whole(path, parsed)
    for name in columns:
        stated = [record.value.get(name) for record in parsed.records]
        if all(value is None for value in stated):
            known = dict.fromkeys(key for record in parsed.records for key in record.value)
            raise UserError(
                f"{path} has no column {shown(name)}; there are {', '.join(map(name_key, known))}."
                f"{nearest(name, map(str, known))}"
            )
        for row, value in zip(rows, stated, strict=True):
            row.setdefault(name, value)
    return rows, [record.where for record in parsed.records]


def as_rows(rows: "Dataset | Iterable", what: str = "rows") -> list[dict]:
    """A Dataset, or any list of rows, as a list of them; each has `messages` that end in an answer.

    what: their name in an error. Raises UserError for no rows at all, and for the first that is
    none, by its number.
    """
    if isinstance(rows, str | Path | Mapping) or not isinstance(rows, Iterable):
        raise UserError(
            f"{what} is {shown(rows)}; give a list of rows or a Dataset, such as "
            "data.read('rows.jsonl') or data.load('tickets')['train']."
        )
    taken = [dict(row) if isinstance(row, Mapping) else row for row in rows]
    for number, row in enumerate(taken, 1):
        chat = row.get("messages") if isinstance(row, dict) else None
        if not isinstance(chat, list) or not chat or not is_answer(chat[-1]):
            raise UserError(
                f"row {number} of {what} is {shown(row)}; a row has messages, of which the last is "
                "the assistant's answer."
            )
    if not taken:
        raise UserError(f"there are no {what}; give one at least.")
    return taken  # type: ignore # each is a dict by now


def is_answer(message: object) -> bool:
    """Whether a message is one of the assistant's, and has a text."""
    said = isinstance(message, Mapping) and isinstance(message.get("content"), str)
    return said and message.get("role") == "assistant"  # type: ignore # it is a mapping


def whole(path: str | Path, parsed: Parsed) -> list[dict]:
    """The rows, unless there are bad ones among them: UserError, which names the first."""
    if not parsed.faults:
        return parsed.rows
    places: dict[str, list[str]] = {}
    for record, reason in parsed.faults:
        places.setdefault(reason.removesuffix("."), []).append(record.where)

    # the first places of the first reasons
    bad = [f"{', '.join(first_ones(where))}: {reason}" for reason, where in places.items()]
    count = f"{len(parsed.faults)} bad row{'s' if len(parsed.faults) > 1 else ''}"
    sentence = f"{path} has {count}: {'; '.join(first_ones(bad))}"
    raise UserError(f"{sentence}{'' if sentence.endswith('?') else '.'} Mend or remove them.")


def first_ones(texts: list[str]) -> list[str]:
    """The first texts, and … for the others."""
    return texts[:NAMED] + (["…"] if len(texts) > NAMED else [])


def take_row(stated: object) -> dict:
    """What stands in a file as a row; raises ValueError with the reason."""
    stated = check_row(stated)
    messages = to_messages(stated)
    carried = {name: carry(stated[name], name) for name in CARRIED if name in stated}
    return {**take_columns(stated), **carried, "messages": messages}


def take_pair(stated: object) -> dict:
    """What stands in a file as a preference pair; raises ValueError with the reason."""
    stated = check_row(stated)
    return {**to_pair(stated), **take_columns(stated)}


def take_columns(stated: Mapping) -> dict:
    """The columns beside a row's messages that mean something, each in its type."""
    row: dict = {}
    if "split" in stated:
        row["split"] = take_split(stated["split"])
    if tools := to_tools(stated):
        row["tools"] = tools
    return row


def carry(value: object, name: str) -> object:
    """A value of any type that is carried along; as text, where JSON has no such type."""
    try:
        text = value if isinstance(value, str) else to_json(value, name)
    except TypeError:
        value = text = str(value)
    read_text(text, name)
    return value


def take_split(split: object) -> str:
    """The split that a row states, in the kit's own word."""
    if not isinstance(split, str):
        raise ValueError(
            f"split is {describe(split)}; give {', '.join(SPLITS)}, or state no split at all"
        )
    found = find_split(split)
    if found is None:
        raise ValueError(
            f"split is {shown(split)}; give {', '.join(SPLITS)}."
            f"{nearest(split.lower(), SPLIT_NAMES)}"
        )
    return found


def find_file(name: str | Path) -> Path:
    """The file of a task of the kit ("tickets", "general", "facts"), or the file that is named.

    "reviews" and its kinds, such as "reviews/tweets", are fetched first (see `fetched`); a folder
    of yours that bears a name of these is "./reviews".
    """
    if not isinstance(name, str | Path):
        raise UserError(
            f"the data set is {shown(name)}; give one of {', '.join(TASKS)} or a file of rows."
        )
    if str(name) in TASKS:
        return data_path("tasks", f"{name}.jsonl")
    if str(name).partition("/")[0] == "reviews" and not Path(name).suffix:
        return find_reviews(str(name))
    path = Path(name)
    if not path.suffix and not os.path.exists(path):
        raise UserError(
            f"there is no data set {shown(str(name))}; give one of {', '.join(KNOWN)} or a file of "
            f"rows ({', '.join(SUFFIXES)}).{nearest(str(name), KNOWN)}"
        )
    return path


def find_reviews(name: str) -> Path:
    """The fetched file of "reviews", which are of movies, or of a kind such as "reviews/tweets"."""
    kind = name.partition("/")[2] or "movies"
    if kind not in fetched.KINDS:
        known = [f"reviews/{kind}" for kind in fetched.KINDS]
        raise UserError(
            f"there are no {name!r}; give one of {', '.join(known)}.{nearest(name, known)}"
        )
    return fetched.find("reviews") / f"{kind}.jsonl"


def load(
    name: str | Path,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    seed: int = 0,
    encoding: str | None = None,
) -> "DatasetDict":
    """A `datasets.DatasetDict` of chat examples with the splits train, validation and test.

    name: a task of the kit, a file or a folder (see `find_file`). Rows that state their `split`
    keep it; else 80/10/10 by `seed`.
    tokenizer: where given, every row is rendered once, so that a template that refuses a row, or
    leaves out what it says, does so here. Raises UserError for what `read` refuses, for splits that
    only some rows state or without a training row, and for fewer than three rows to split.
    """
    path = find_file(name)
    parsed = parse(read_records(path, encoding), take_row)
    rows = whole(path, parsed)
    if tokenizer is not None:
        render_all(parsed, tokenizer, path.name)

    return split_rows(rows, path, seed)


def load_pairs(name: str | Path, seed: int = 0, encoding: str | None = None) -> "DatasetDict":
    """A `datasets.DatasetDict` of preference pairs, split as `load` splits rows.

    Raises UserError for what `read_pairs` refuses.
    """
    if str(name) in KNOWN:
        raise UserError(
            f"{shown(str(name))} holds chats with one answer each; give a file of pairs with "
            "prompt, chosen and rejected."
        )
    return split_rows(read_pairs(find_file(name), encoding), Path(name), seed)


def split_rows(rows: Sequence[Mapping], path: Path, seed: int) -> "DatasetDict":
    """Rows by the splits that they state, or by drawn ones."""
    from datasets import DatasetDict

    # the splits that the rows state
    if state_splits(rows, path):
        names = dict.fromkeys(row["split"] for row in rows)
        if "train" not in names:
            raise UserError(
                f'{path} states splits and has no training rows; mark some with "split": "train", '
                "or state no splits at all."
            )
        return DatasetDict({split: to_dataset(rows_of_split(rows, split)) for split in names})

    # or drawn ones
    if len(rows) < 3:
        raise UserError(
            f"{path} has {len(rows)} row{'s' if len(rows) > 1 else ''}; "
            "train, validation and test need three at least."
        )
    return draw_splits(rows, seed)


def draw_splits(rows: Sequence[Mapping], seed: int) -> "DatasetDict":
    """A tenth of the rows for test, a tenth for validation, the rest for training."""
    from datasets import DatasetDict

    shuffled = to_dataset(rows).shuffle(seed=seed)
    tenth = max(1, len(rows) // 10)
    places = {
        "train": range(2 * tenth, len(rows)),
        "validation": range(tenth, 2 * tenth),
        "test": range(tenth),
    }
    return DatasetDict({split: shuffled.select(part) for split, part in places.items()})


def render_all(parsed: Parsed, tokenizer: "PreTrainedTokenizerBase", name: str) -> None:
    """Render every row once; UserError names the first that the chat template does not take."""
    for row, record in zip(parsed.rows, parsed.records, strict=True):
        where = f"{name} {record.where}"
        render(row["messages"], tokenizer, tools=row.get("tools"), where=where)


def state_splits(rows: Sequence[Mapping], path: str | Path) -> bool:
    """Whether the rows state their splits; raises UserError where only some do."""
    stating = sum("split" in row for row in rows)
    if 0 < stating < len(rows):
        raise UserError(
            f"{path}: {stating} of {len(rows)} rows state a split; state one in every row, "
            "or in none."
        )
    return stating > 0


def rows_of_split(rows: Sequence[Mapping], split: str) -> list[dict]:
    """The rows of one split, without the column that states it."""
    chosen = [row for row in rows if row["split"] == split]
    return [{name: v for name, v in row.items() if name != "split"} for row in chosen]


def to_dataset(rows: Sequence[Mapping]) -> "Dataset":
    """Rows as a `datasets.Dataset` that gives every row back as it was.

    Messages of role and content alone are a list of structs. Where they state more, and where a
    column holds values of several kinds, it is of the type Json: structs would invent keys.
    """
    from datasets import Dataset, Features, Json, List, Value

    # a column of any row is one of all
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in rows] for name in names}
    text = Value("string")
    types: dict[str, Any] = {}
    for name, values in columns.items():
        if name == "messages":
            plain = all(m.keys() == {"role", "content"} for chat in values for m in chat)
            types[name] = List({"role": text, "content": text} if plain else Json())
        else:
            types[name] = text if all(isinstance(v, str | None) for v in values) else Json()
    return Dataset.from_dict(columns, features=Features(types))


def test_rows(name: str | Path, encoding: str | None = None) -> "Dataset":
    """The rows to judge a model on: the test split, or every row of a file that states no splits.

    Raises UserError for a file whose splits have no test rows.
    """
    path = find_file(name)
    rows = read(path, encoding)
    if state_splits(rows, path):
        rows = rows_of_split(rows, "test")

    if not rows:
        raise UserError(
            f'{name} states splits and has no test rows; mark some with "split": "test", '
            "or state no splits at all."
        )
    return to_dataset(rows)
