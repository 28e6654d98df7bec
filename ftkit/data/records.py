"""The rows in a text or a table, each with where it stands: JSON Lines, JSON, CSV, TSV, Parquet.

    read_json(text, name)       JSON Lines; an array; an object with a list of rows, or one a split
    read_csv, read_tsv          a head that names the columns, then a row per record
    read_parquet(raw, name)     a table's rows
    find_split(word)            "train", "validation" or "test", by any of their usual names

A row that cannot be read is a record with its fault, so that one error can name them all. A key
that is stated twice is such a fault, and so is NaN. What a row says is `chat.py`'s business.
"""

import csv
import io
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from ..core.errors import UserError
from ..core.parsing import JsonReader, skip_blank
from .messages import describe, holds_chat

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing"),
}
SPLIT_NAMES = {name: split for split, names in SPLITS.items() for name in names}
LISTS = ("messages", "conversations", "tools", "history")  # a table's cells of these hold JSON
CHATS = ("prompt", "completion", "chosen", "rejected")  # cells of these are texts or messages
# An object with one of these sets of keys is a row, whatever lists it has.
ROWS = (
    {"messages"}, {"conversations"}, {"prompt", "completion"}, {"chosen", "rejected"},
    {"prompt", "responses"},
    {"instruction", "output"},
)  # fmt: skip
OF_TURN = {"role", "from"}  # a list of objects with one of these is a chat, not rows
NO_ROWS = {*LISTS, "features", "responses", "scores", "ranks"}  # lists that are never a file's rows
FILE_OF_SPLIT = re.compile(r"([a-z]+)([-_.][0-9].*)?", re.IGNORECASE)


class BadFile(UserError):
    """A file that is there and cannot be read; `line` is where."""

    def __init__(self, sentence: str, line: int = 1) -> None:
        super().__init__(sentence)
        self.line = line


class Record(NamedTuple):
    """A row as it stands in its file."""

    where: str  # "line 3", or "row 3" where a row is no line
    line: int  # where it begins; in a Parquet table the number of the row
    value: Any = None
    fault: str = ""  # why it could not be read; "" if it could
    split: str | None = None  # by the name of its file or list
    file: str = ""  # in a folder
    around: Mapping[str, Any] = {}  # of a file's first row, what the object says that holds them


def find_split(word: str) -> str | None:
    """The split that a usual name of train, validation or test means, in any case; or None."""
    return SPLIT_NAMES.get(word.strip().lower())


def split_of_file(name: str) -> str | None:
    """The split that a file's name says: train.jsonl, VAL.csv, test-00000-of-00001.parquet."""
    found = FILE_OF_SPLIT.fullmatch(name.split(".")[0])
    return find_split(found[1]) if found else None


def read_json(text: str, name: str) -> list[Record]:
    """The rows of JSON Lines or of JSON, whichever it is.

    JSON is an array of rows, an object with one list of rows ({"data": [...]}), one with a list
    per split ({"train": [...], "test": [...]}), or a single row.
    """
    start = skip_blank(text, 0)
    line, rest = text[start:].partition("\n")[::2]
    alone = not rest.strip()

    # a first line that is whole by itself, with others behind it: JSON Lines
    if not alone and not JsonReader().read(line)[1].startswith("not JSON"):
        return list(read_lines(text))
    if text.startswith("[", start):
        return list(read_array(text, start))
    value, fault = JsonReader().read(text)
    if isinstance(value, dict) and not fault:
        return list(read_object(value, name))
    return list(read_lines(text))


def read_lines(text: str) -> Iterator[Record]:
    """JSON Lines: a row per line, which ends at a line feed and nothing else.

    Unicode has other line ends, and JSON allows them inside its strings.
    """
    reader = JsonReader()
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r\ufeff")
        if line:
            yield Record(f"line {number}", number, *reader.read(line))


def read_array(text: str, start: int) -> Iterator[Record]:
    """A JSON array, row by row; what is no JSON ends the reading."""
    reader, number, line, counted = JsonReader(), 0, 1, 0
    place = skip_blank(text, start + 1)
    if text.startswith("]", place):
        return
    while True:
        # a row
        number += 1
        line, counted = line + text.count("\n", counted, place), place
        value, end, fault = reader.read_first(text, place)
        where = f"row {number}"
        if end < 0:
            fault = f"{fault}, in line {line}" if fault.startswith("not JSON") else fault
            yield Record(where, line, None, fault)
            return
        yield Record(where, line, value, fault)

        # a comma and the next one, or the end
        place = skip_blank(text, end)
        sign = text[place : place + 1]
        if sign == ",":
            place = skip_blank(text, place + 1)
            continue
        after = skip_blank(text, place + 1)
        if sign != "]" or after < len(text):
            line += text.count("\n", counted, place)
            fault = "the array breaks off" if not sign else f"not JSON behind it, in line {line}"
            yield Record(where, line, None, fault)
        return


def read_object(stated: dict, name: str) -> Iterator[Record]:
    """The rows of an object: the object itself, its one list, or its lists by split."""
    lists = {key: value for key, value in stated.items() if is_rows(key, value)}
    splits = {key: find_split(key) for key in lists}

    # the object is a row, or it holds them
    if not lists or any(keys <= stated.keys() for keys in ROWS):
        yield Record("line 1", 1, stated)
        return
    if len(lists) > 1 and None in splits.values():
        raise BadFile(
            f"{name} holds several lists ({', '.join(lists)}); leave the one with the rows, or "
            "name them train, validation and test."
        )

    # what it says beside them goes with the first
    around = {key: value for key, value in stated.items() if key not in lists}
    refuse_lost_split(around, splits.values(), name)
    rows = [(key, row) for key, value in lists.items() for row in value]
    for number, (key, row) in enumerate(rows, 1):
        split = splits[key]
        yield Record(f"row {number}", number, row, split=split, around=around)
        around = {}


def refuse_lost_split(around: Mapping, splits: Collection[str | None], name: str) -> None:
    """Refuse a split that is stated beside lists of rows and is no such list itself."""
    parted = None not in splits
    for key, value in around.items():
        near = get_close_matches(str(key).strip().lower(), SPLIT_NAMES, 1, 0.8)
        # beside a single list, a word or a number under such a name may say anything
        whole = isinstance(value, list | dict)
        if value and near and (whole or (parted and find_split(key))):
            raise BadFile(
                f"{name} holds lists of rows, and its {key!r} is {describe(value)}; write a list "
                f"of rows{'' if find_split(key) else f' named {near[0]!r}'}, or remove it."
            )


def is_rows(key: str, value: object) -> bool:
    """Is it a list of objects that are no turns of a chat? What else stands in it is a bad row."""
    objects = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
    turns = any(OF_TURN & row.keys() for row in objects)
    return bool(objects) and not turns and key not in NO_ROWS


def read_csv(text: str, name: str) -> list[Record]:
    """The rows of a CSV file; what parts its columns is a comma, or ; or a tab, by its head."""
    head = re.sub(r'"[^"]*"', "", text.lstrip("\r\n").partition("\n")[0])
    return read_cells(text, name, max(",;\t", key=head.count))


def read_tsv(text: str, name: str) -> list[Record]:
    """The rows of a file whose columns are parted by tabs."""
    return read_cells(text, name, "\t")


def read_cells(text: str, name: str, delimiter: str) -> list[Record]:
    """The rows of a table in text: every cell is a text, an empty split none."""
    if text.lstrip()[:1] in ("{", "["):
        raise BadFile(f"{name} holds JSON; give it the suffix .jsonl or .json.")
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    # a cell may be as long as the text
    limit = csv.field_size_limit(len(text) + 1)
    found, begun, heads = [], 1, None
    try:
        for cells in lines:
            begun, line = lines.line_num + 1, begun
            if not cells:
                continue
            if heads is None:
                heads = check_heads(cells, name)
            else:
                found.append(read_cell_row(heads, cells, line))
    except csv.Error as error:
        fault = f"not CSV ({error}; it begins in this line)"
        found.append(Record(f"line {begun}", begun, None, fault))
    finally:
        csv.field_size_limit(limit)
    return found


def check_heads(cells: Sequence[str], name: str) -> list[str]:
    """The names of the columns; each has to be there, once."""
    heads = [cell.strip() for cell in cells]
    twice = [head for place, head in enumerate(heads) if head in heads[:place]]
    bad = twice + ["(empty)"] * heads.count("")
    if bad:
        raise BadFile(
            f"the first line of {name} names the column {', '.join(bad)} twice or not at all; "
            "it has to name each column once."
        )
    return heads


def read_cell_row(heads: Sequence[str], cells: Sequence[str], line: int) -> Record:
    """One line of a table; its lists are JSON in a cell."""
    if len(cells) != len(heads):
        fault = f"{len(cells)} cells under {len(heads)} heads; quote cells that hold the delimiter"
        return Record(f"line {line}", line, None, fault)
    row: dict[str, Any] = dict(zip(heads, cells, strict=True))
    if not row.get("split", "-").strip():
        del row["split"]
    fault = ""
    for key in row.keys() & set(LISTS):
        if row[key].lstrip().startswith("["):
            row[key], bad = JsonReader().read(row[key].strip())
            fault = f"{key}: {bad}" if bad else fault
    for key in row.keys() & set(CHATS):
        value, bad = JsonReader().read(row[key]) if holds_chat(row[key]) else (None, "")
        if isinstance(value, list) and not bad:
            row[key] = value
    return Record(f"line {line}", line, row, fault)


def read_parquet(raw: bytes, name: str) -> list[Record]:
    """The rows of a Parquet table; a split that is null is none."""
    import pyarrow
    import pyarrow.parquet
    from datasets import Dataset

    # datasets reads its own types, such as JSON objects, back as they were
    try:
        table = pyarrow.parquet.read_table(pyarrow.BufferReader(raw))
        rows = Dataset(table).to_list()
    except (pyarrow.ArrowException, OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())
        raise BadFile(f"{name} cannot be read as Parquet ({reason}); write it again.") from error
    if table.num_rows and "split" in table.column_names:
        rows = [{k: v for k, v in row.items() if k != "split" or v is not None} for row in rows]
    return [Record(f"row {number}", number, row) for number, row in enumerate(rows, 1)]
