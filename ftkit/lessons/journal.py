"""What a reader has answered: in this kernel, and in a file beside the notebook.

    write(entry)          one more answer; the file is written only when somebody answers
    entries(notebook)     all answers so far, of earlier kernels too
    shown(name)           from now on the seconds until an answer count
    say()                 what has to be said about the file, once

The file is ftkit-journal.jsonl in the working directory, one JSON object per line, each written by
one call at the file's end, so that two kernels at once lose nothing. FTKIT_JOURNAL names another
file, and 0 names none. `scores` makes a card of it. In every notebook.
"""

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

NAME = "ftkit-journal.jsonl"
GUESS, SKIP, TRUTH, EXERCISE = "guess", "skip", "truth", "exercise"
PLAIN = str | int | float | bool | None
FEW = 65  # a tensor of fewer numbers is kept as numbers
LONGEST = 200  # characters of an answer that is neither a number nor a word
LOOKS, MOMENT = (
    10,
    0.005,
)  # how often a line without an end is looked at, and after how many seconds


@dataclass(frozen=True)
class Entry:
    """One answer: `right` is None for a guess whose truth is not out yet."""

    id: str
    kind: str  # GUESS, SKIP, TRUTH or EXERCISE
    answer: Any = None
    right: bool | None = None
    at: str = ""  # UTC, ISO 8601
    seconds: float | None = None  # since the question was shown in this kernel


class Memory:
    """What this kernel knows beside the file."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Know nothing, as a new kernel does; the file stays."""
        self.entries: list[Entry] = []
        self.shown: dict[str, float] = {}
        self.notes: list[str] = []
        self.said: set[str] = set()


MEMORY = Memory()


def journal_path() -> Path | None:
    """Where the journal lies, or None where there is to be none."""
    name = os.environ.get("FTKIT_JOURNAL", "").strip()
    return None if name == "0" else Path(name or NAME).expanduser()


def shown(name: str) -> None:
    """A question is on the page: the seconds until its first answer count from now."""
    MEMORY.shown.setdefault(name, time.monotonic())


def note(sentence: str) -> None:
    """Keep a sentence about the file, to be said once in this kernel."""
    if sentence not in MEMORY.said:
        MEMORY.said.add(sentence)
        MEMORY.notes.append(sentence)


def say() -> str:
    """What has to be said about the file since this was last asked, or ""."""
    said, MEMORY.notes = " ".join(MEMORY.notes), []
    return said


def write(name: str, kind: str, answer: object = None, *, right: bool | None = None) -> Entry:
    """Keep an answer, in this kernel and at the end of the file."""
    began = MEMORY.shown.get(name)
    seconds = None if began is None else round(time.monotonic() - began, 1)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    entry = Entry(name, kind, storable(answer), right, now, seconds)
    MEMORY.entries.append(entry)

    # one line by one call at the end of the file; a place that can't be written to costs no answer
    path = journal_path()
    if path is not None:
        try:
            append(path, [json.dumps(asdict(entry), ensure_ascii=False)])
        except OSError as error:
            why = error.strerror or error
            note(f"Your answers are kept in this kernel only: {path} can't be written ({why}).")
    return entry


def append(path: Path, lines: Sequence[str]) -> None:
    """Add lines to a file, by one call; a line that a killed kernel left half is ended first."""
    text = "".join(f"{line}\n" for line in lines)
    with path.open("ab+", buffering=0) as file:
        if file.seek(0, os.SEEK_END) and stays_open(file):
            text = f"\n{text}"
        file.write(text.encode())


def stays_open(file: Any) -> bool:
    """Whether the last line has no end, also after a moment: another kernel may be writing it."""
    for _ in range(LOOKS):
        if last_byte(file) == b"\n":
            return False
        time.sleep(MOMENT)
    return True


def last_byte(file: Any) -> bytes:
    """The last byte of an open file that is not empty."""
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def storable(answer: object) -> Any:
    """An answer as JSON has it: numbers, words and lists of them, else its beginning in words."""
    if isinstance(answer, PLAIN):
        return answer
    # a tensor or an array of a few numbers
    if hasattr(answer, "tolist") and math.prod(getattr(answer, "shape", [FEW])) < FEW:
        return storable(answer.tolist())  # type: ignore # it has one
    if isinstance(answer, list | tuple):
        return [storable(item) for item in answer]
    if isinstance(answer, Mapping):
        return ", ".join(f"{name}: {storable(item)}" for name, item in answer.items())[:LONGEST]
    if callable(answer):
        return getattr(answer, "__name__", type(answer).__name__)
    return str(answer)[:LONGEST]


def entries(notebook: str) -> list[Entry]:
    """A notebook's answers so far, oldest first: the file's, then what only this kernel knows.

    What is no entry puts the file aside under another name, and is said; the sound lines stay.
    """
    path = journal_path()
    found = [] if path is None else read(path)
    found += [entry for entry in MEMORY.entries if entry not in found]
    return [entry for entry in found if entry.id.split(".")[0] == notebook]


def read(path: Path) -> list[Entry]:
    """The entries of a file; none where there is no file, or none that can be read."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        note(f"{path} can't be read ({error.strerror or error}); this kernel's answers count.")
        return []
    found = [(line, read_line(line)) for line in lines if line.strip()]
    sound = [(line, entry) for line, entry in found if entry is not None]
    if len(sound) < len(found):
        put_aside(path, [line for line, _ in sound], len(found) - len(sound))
    return [entry for _, entry in sound]


def read_line(line: bytes) -> Entry | None:
    """One line of the file as an entry; None for what is none."""
    try:
        fields = json.loads(line)
        entry = Entry(**fields)
    except (ValueError, TypeError):
        return None
    kinds = (GUESS, SKIP, TRUTH, EXERCISE)
    sound = isinstance(entry.id, str) and entry.kind in kinds and isinstance(entry.at, str)
    return entry if sound and entry.right in (None, True, False) else None


def put_aside(path: Path, sound: Sequence[bytes], lost: int) -> None:
    """Keep a damaged file under another name, and go on with its sound lines."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    aside = path.with_name(f"{path.stem}.damaged-{stamp}{path.suffix}")
    try:
        path.replace(aside)
        append(path, [line.decode() for line in sound])
    except OSError:
        return
    lines = "1 line is" if lost == 1 else f"{lost} lines are"
    note(f"{lines} no entry of a journal; the file was put aside as {aside.name}.")
