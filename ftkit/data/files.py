"""Files of rows as people have them: which kind is it, and what text or table is in it?

    read_records(path, encoding)    every row of a file or folder, bad ones with the reason

JSON Lines, JSON, CSV, TSV and Parquet, each packed by gzip or not; a folder has a file per split.
Text is UTF-8 unless its encoding is named: none is guessed, no byte replaced. What the rows in a
text are is read in `records.py`, what they say in `chat.py`.
"""

import codecs
import encodings.aliases
import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.parsing import MARKS, shown
from . import records
from .records import BadFile, Record

TEXTS: dict[str, Callable[[str, str], list[Record]]] = {
    ".jsonl": records.read_json,
    ".ndjson": records.read_json,
    ".json": records.read_json,
    ".csv": records.read_csv,
    ".tsv": records.read_tsv,
}
SUFFIXES = (*TEXTS, ".parquet")
GZIP, PARQUET, ZIP = b"\x1f\x8b", b"PAR1", b"PK\x03\x04"  # how such files begin
# What may lie beside rows under a split's name: programs, recipes and notes.
NO_ROWS = {
    ".py", ".ipynb", ".sh", ".md", ".rst", ".log", ".yaml", ".yml", ".toml", ".ini", ".cfg",
    ".lock", ".html", ".pdf", ".png", ".svg",
}  # fmt: skip
CURE = "save it as UTF-8, or name its encoding (encoding='cp1252', or --encoding cp1252)"


def read_records(path: str | Path, encoding: str | None = None) -> list[Record]:
    """Every row of a file, or of a folder's files, as it stands there and where.

    encoding: of a text that is not in UTF-8, as Python names it ("cp1252"). Raises UserError for
    a file that is not there or of no known kind; `BadFile` where it cannot be read to its end.
    """
    path = Path(path)
    if encoding is not None:
        check_encoding(encoding)
    # os.path, because a name that no disk could hold is then no file either
    if os.path.isdir(path):
        return read_folder(path, encoding)
    if not os.path.isfile(path):
        raise UserError(there_is_no_file(path))
    return read_file(path, encoding)


def there_is_no_file(path: Path) -> str:
    """The sentence on a file that is not there, with the nearest one that is."""
    if os.path.exists(path):
        return f"{path} is neither a file nor a folder; give a file of rows."
    folder = path.parent if os.path.isdir(path.parent) else Path()
    near = nearest(path.name, [file.name for file in list_folder(folder) if kind_of(file)])
    return f"there is no file {shown(str(path))}.{near}"


def list_folder(folder: Path) -> list[Path]:
    """What is in a folder, by name; UserError where that may not be read."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"could not read {folder} ({error.strerror or error}).") from error


def kind_of(path: Path) -> str:
    """The suffix that says what kind of rows a file holds, .gz left out; "" for no known kind."""
    suffix = Path(path.stem).suffix if path.suffix.lower() == ".gz" else path.suffix
    return suffix.lower() if suffix.lower() in SUFFIXES else ""


def read_folder(folder: Path, encoding: str | None) -> list[Record]:
    """The rows of a folder's files, each file a split: train.jsonl, val.csv, test-0001.parquet."""
    refuse_unread(folder)
    files = [file for file in list_folder(folder) if kind_of(file) and file.is_file()]
    if not files:
        raise UserError(
            f"the folder {folder} holds no file of rows; give a file ({', '.join(SUFFIXES)}), "
            "or a folder with files such as train.jsonl and test.jsonl."
        )

    # a name that is no split would leave rows nobody knows what to do with
    splits = {file: records.split_of_file(file.name) for file in files}
    strange = [file.name for file, split in splits.items() if split is None]
    if strange:
        raise UserError(
            f"the folder {folder} holds {', '.join(strange)}, whose names are no splits; name a "
            "folder's files train, validation and test, or give a single file."
        )
    found = []
    for file, split in splits.items():
        for record in read_file(file, encoding):
            where, fault = f"{file.name} {record.where}", record.fault
            if record.split not in (None, split):
                fault = fault or (
                    f"the row is in a list of {record.split} rows, in a file of {split} rows; "
                    "rename the list or the file"
                )
            found.append(record._replace(where=where, split=split, file=file.name, fault=fault))
    return found


def refuse_unread(folder: Path) -> None:
    """Refuse a folder with rows of a split in a form, or at a place, that is not read."""
    for file in list_folder(folder):
        split, suffixes = records.split_of_file(file.name), [s.lower() for s in file.suffixes]
        if file.is_dir() and split:
            raise UserError(
                f"the folder {folder} holds the folder {file.name}, which is not looked into; put "
                f"its files beside the others, as {split}-0.jsonl, {split}-1.jsonl, …"
            )
        # one of a split's name, or of rows that are packed: more.jsonl.bz2
        packed = not file.name.startswith(".") and set(suffixes[:-1]) & set(SUFFIXES)
        strange = not kind_of(file) and file.suffix.lower() not in NO_ROWS
        if file.is_file() and strange and (split or packed):
            raise UserError(
                f"the folder {folder} holds {file.name}, which is in no form that is read "
                f"({', '.join(SUFFIXES)}, and .gz behind that); unpack it or save it in one of "
                "these, or take it out of the folder."
            )


def read_file(path: Path, encoding: str | None) -> list[Record]:
    """The rows of one file."""
    kind, raw = kind_of(path), read_bytes(path)
    if raw.startswith(PARQUET) != (kind == ".parquet") and raw:
        raise BadFile(f"{path} {'is' if kind != '.parquet' else 'is no'} Parquet; {rename(kind)}.")
    if raw.startswith(ZIP):
        raise BadFile(f"{path} is a zip archive or a workbook; unpack it, or save it as CSV.")
    if not kind:
        raise UserError(
            f"{path} ends in {path.suffix or 'no suffix'}; a file of rows ends in "
            f"{', '.join(SUFFIXES)}, and in .gz behind that if packed."
        )

    # rows, or nothing at all
    if kind == ".parquet":
        found = records.read_parquet(raw, str(path))
    else:
        found = TEXTS[kind](decode(raw, path, encoding), str(path))
    if not found:
        raise BadFile(f"{path} is empty; a data set needs a row at least.")
    return found


def rename(kind: str) -> str:
    """What to do with a file whose bytes are not what its name says."""
    if kind == ".parquet":
        return "write it again, or give it the suffix of what it is"
    return "name it .parquet"


def read_bytes(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is packed by gzip."""
    try:
        raw = path.read_bytes()
        if not raw.startswith(GZIP):
            if path.suffix.lower() == ".gz" and raw:
                raise BadFile(f"{path} is not packed by gzip; leave out the .gz, or pack it.")
            return raw
        return gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BadFile(
            f"{path} is packed by gzip and breaks off or is damaged ({error}); copy it again."
        ) from error
    except OSError as error:
        raise UserError(f"could not read {path} ({error.strerror or error}).") from error


def check_encoding(encoding: object) -> None:
    """Refuse what is the name of no text encoding."""
    known = sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values()})
    try:
        # rot13 and base64 are codecs too, and no encodings of text
        if isinstance(encoding, str) and codecs.lookup(encoding)._is_text_encoding:
            return
    except (LookupError, ValueError):
        pass
    raise UserError(
        f"encoding is {shown(encoding)}; give a name that Python knows, such as 'utf-8', 'cp1252' "
        f"or 'utf-16'.{nearest(encoding, known)}"
    )


def decode(raw: bytes, path: Path, encoding: str | None) -> str:
    """The text of a file without its byte order mark; the first byte that is none is named."""
    # what says itself in which encoding it is
    mark = next((name for mark, name in MARKS.items() if raw.startswith(mark)), None)
    if encoding is None and mark:
        raise BadFile(
            f"{path} is in {mark}; save it as UTF-8, or name its encoding "
            f"(encoding={mark.lower()!r}, or --encoding {mark.lower()})."
        )
    utf8 = encoding is None or codecs.lookup(encoding).name.startswith("utf-8")
    if raw.startswith(codecs.BOM_UTF8) and not utf8:
        raise BadFile(
            f"{path} begins with the mark of UTF-8 and encoding is {encoding!r}; leave it out."
        )

    # a byte that is no text stays none
    try:
        text = raw.decode(encoding or "utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line, byte = 1 + raw.count(b"\n", 0, error.start), raw[error.start]
        column = error.start - raw.rfind(b"\n", 0, error.start)
        raise BadFile(
            f"{path} is not {encoding or 'UTF-8'}: line {line} holds the byte 0x{byte:02x} at its "
            f"byte {column}; {CURE}.",
            line,
        ) from error
    except UnicodeError as error:
        reason = " ".join(str(error).split())
        raise BadFile(f"{path} is not {encoding} ({reason}); {CURE}.") from error
    if "\x00" in text:
        line = 1 + text.count("\n", 0, text.index("\x00"))
        raise BadFile(f"{path} holds a NUL in line {line}: it is no text, or not in UTF-8.", line)
    return text
