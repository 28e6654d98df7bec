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
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ..core.errors import UserError
from ..core.parsing import shown

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "development", "eval", "evaluation"),
    "test": ("test", "testing"),
}
SPLIT_NAMES = {name: split for split, names in SPLITS.items() for name in names}
LISTS = ("messages", "conversations", "tools", "history")  # a table's cells of these hold JSON
LISTS_OF_ROW = {*LISTS, "prompt", "completion", "chosen", "rejected"}
BLANK = re.compile(r"[ \t\r\n]*")
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


def find_split(word: str) -> str | None:
    """The split that a usual name of train, validation or test means, in any case; or None."""
    return SPLIT_NAMES.get(word.strip().lower())


def split_of_file(name: str) -> str | None:
    """The split that a file's name says: train.jsonl, VAL.csv, test-00000-of-00001.parquet."""
    found = FILE_OF_SPLIT.fullmatch(name.split(".")[0])
    return find_split(found[1]) if found else None


class Reader:
    """A JSON decoder that notes what Python takes without a word and JSON does not."""

    def __init__(self) -> None:
        self.fault = ""
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self.take_object,
            parse_constant=self.take_constant,
            parse_float=self.take_float,
        )

    def take_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object; a key that it states twice is a fault."""
        stated: dict[str, Any] = {}
        for key, value in pairs:
            if key in stated:
                both = f"as {shown(stated[key])} and as {shown(value)}"
                self.fault = self.fault or f"{key!r} is stated twice, {both}; keep one"
            stated[key] = value
        return stated

    def take_constant(self, word: str) -> None:
        """NaN and Infinity, which are no JSON."""
        self.fault = self.fault or f"{word} is no number in JSON; write null, or leave it out"

    def take_float(self, digits: str) -> float:
        """A number with a point or an exponent; one too large to hold is a fault."""
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            self.fault = self.fault or f"{digits} is too large a number; write it as text"
        return number

    def read(self, text: str, start: int = 0) -> tuple[Any, int, str]:
        """The value that begins at `start`, where it ends, and what is wrong ("" if nothing)."""
        self.fault = ""
        try:
            value, end = self.decoder.raw_decode(text, start)
            return value, end, self.fault
        except json.JSONDecodeError as error:
            # the column in its line
            column = error.pos - text.rfind("\n", 0, error.pos)
            return None, -1, f"not JSON ({error.msg} at column {column})"
        except RecursionError:
            return None, -1, "nested too deeply to be read; flatten it"
        except ValueError:  # Python's own limit
            return None, -1, "a number of thousands of digits; write it as text"


def read_json(text: str, name: str) -> list[Record]:
    """The rows of JSON Lines or of JSON, whichever it is.

    JSON is an array of rows, an object with one list of rows ({"data": [...]}), one with a list
    per split ({"train": [...], "test": [...]}), or a single row.
    """
    start = BLANK.match(text).end()  # type: ignore  # it matches anything
    line, rest = text[start:].partition("\n")[::2]
    alone = not rest.strip()

    # a first line that is whole by itself, with others behind it: JSON Lines
    if not alone and not Reader().read(line.strip())[2].startswith("not JSON"):
        return list(read_lines(text))
    if text.startswith("[", start):
        return list(read_array(text, start))
    value, end, fault = Reader().read(text, start)
    if isinstance(value, dict) and not fault and BLANK.fullmatch(text, end):
        return list(read_object(value, name))
    return list(read_lines(text))


def read_lines(text: str) -> Iterator[Record]:
    """JSON Lines: a row per line, which ends at a line feed and nothing else.

    Unicode has other line ends, and JSON allows them inside its strings.
    """
    reader = Reader()
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip(" \t\r\ufeff")
        if not line:
            continue
        value, end, fault = reader.read(line)
        if not fault and end < len(line):
            fault = f"not JSON (more than one value: the second begins at column {end + 1})"
        yield Record(f"line {number}", number, value, fault)


def read_array(text: str, start: int) -> Iterator[Record]:
    """A JSON array, row by row; what is no JSON ends the reading."""
    reader, number, line, counted = Reader(), 0, 1, 0
    place = skip_blank(text, start + 1)
    if text.startswith("]", place):
        return
    while True:
        # a row
        number += 1
        line, counted = line + text.count("\n", counted, place), place
        value, end, fault = reader.read(text, place)
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


def skip_blank(text: str, place: int) -> int:
    """Where the next sign stands that is no white space."""
    return BLANK.match(text, place).end()  # type: ignore  # it matches anything


def read_object(stated: dict, name: str) -> Iterator[Record]:
    """The rows of an object: the object itself, its one list, or its lists by split."""
    lists = {key: value for key, value in stated.items() if is_rows(value)}
    splits = {key: find_split(key) for key in lists}

    # the object is a row, or it holds them
    if not lists or lists.keys() & LISTS_OF_ROW:
        yield Record("line 1", 1, stated)
    elif None not in splits.values():
        rows = [(key, row) for key, value in lists.items() for row in value]
        for number, (key, row) in enumerate(rows, 1):
            yield Record(f"row {number}", number, row, split=splits[key])
    elif len(lists) == 1:
        for number, row in enumerate(*lists.values(), start=1):
            yield Record(f"row {number}", number, row)
    else:
        raise BadFile(
            f"{name} holds several lists ({', '.join(lists)}); leave the one with the rows, or "
            "name them train, validation and test."
        )


def is_rows(value: object) -> bool:
    """Is it a list of objects? What else stands in it is a bad row."""
    return isinstance(value, list) and any(isinstance(row, dict) for row in value)


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
            cell = row[key].strip()
            row[key], end, bad = Reader().read(cell)
            if not bad and end < len(cell):
                bad = f"not JSON (more than one value: the second begins at column {end + 1})"
            fault = f"{key}: {bad}" if bad else fault
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
