"""A file of rows looked over before any run: every bad row by line, and what makes a score lie.

    check(path, tokenizer, against=…)     a `Checked` file: faults, copies, leaks, lengths
    to_html(checked)                      the same as one page, with every fault and every copy

Rows are read as `sets.load` reads them, so what is a fault here is refused there; preference pairs
are checked as pairs. Copies are found by `duplicates.py`. It changes no file and trains nothing.
`python -m ftkit check` shows it.
"""

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError, is_whole
from ..core.parsing import shown
from ..core.results import Result, Table, TableParts
from .chat import MEANT, RANKED, check_row, find_format
from .duplicates import calls_in, copies, near_copies, row_hash
from .files import read_records
from .messages import KEPT, name_key
from .records import SPLITS, BadFile, Record
from .rendering import Rendered, is_endless, render, special_tokens
from .sets import (
    Parsed,
    find_file,
    parse,
    rows_of_split,
    spread,
    state_splits,
    take_pair,
    take_row,
    whole,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAIRS = "preference pairs"
RANKS = "ranked answers"  # each row is as many pairs as two of its answers differ
ON_PAIRS = (PAIRS, RANKS)
NAMED = 5  # faults and copies that the table names; page and JSON have all of them
COMMON = 5  # answers that are listed by how often they are given
LOST_BYTE = "\ufffd"  # what programs write for a byte that they could not read
OF_TURNS = {*KEPT, "from", "value"}  # the keys of messages that are read
STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "table{border-collapse:collapse;margin:1.5em 0}caption{padding:.3em 0}"
    "td,th{border-bottom:1px solid #ccc;padding:.2em .8em .2em 0;vertical-align:top}"
)


@dataclass(frozen=True, repr=False)
class Checked(Result):
    """What is in a file of rows; `errors` is empty if all of it can be used."""

    file: str
    rows: int  # good and bad ones
    valid: int
    format: str  # "messages", …; "mixed" if there are several, "unknown" if none is known
    formats: dict[str, int]  # rows of each
    errors: list[dict]  # of every bad row its line, where (in words) and reason
    splits: dict[str, int] = field(default_factory=dict)  # rows of each; empty if none is stated
    duplicates: int = 0  # rows that say what an earlier one says
    near_duplicates: int = 0  # more rows that say nearly that, see `near_copies`
    copies: list[list[str]] = field(default_factory=list)  # [where, where the earlier one is]
    near_copies: list[list[str]] = field(default_factory=list)
    leaks: dict[str, dict] = field(default_factory=dict)  # of a split, what training has too
    against: dict[str, dict] = field(default_factory=dict)  # what the second file has too
    pairs: int = 0  # of a better and a worse answer, in all rows
    both_ways: int = 0  # pairs of which an earlier one says the contrary
    other_answers: int = 0  # rows that answer an earlier question in another way
    answers: list[list] = field(default_factory=list)  # the most common: [answer, rows]
    different_answers: int = 0
    left_out: list[str] = field(default_factory=list)  # columns and keys that nothing reads
    lost_bytes: int = 0  # rows with U+FFFD in them
    marks: dict[str, int] = field(default_factory=dict)  # rows that say a special token, by token
    endless: bool = False  # does the chat template write no end behind an answer?
    tokens: dict[str, Any] = field(default_factory=dict)  # lengths; empty without a tokenizer

    def json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)

    def table(self) -> TableParts:
        """What was found, the first faults and copies by line."""
        title = f"{self.file}: {self.rows:,} rows, {self.valid:,} of them good; {self.format}"
        rows: list[tuple] = [("bad row", e["where"], e["reason"]) for e in self.errors[:NAMED]]
        if len(self.errors) > NAMED:
            rows.append(("bad rows", f"{len(self.errors):,}", "all of them: --html or --json"))
        # then what is to be known of the good ones
        rows += describe_splits(self)
        rows += describe_copies(self)
        rows += describe_answers(self)
        if self.pairs:
            which = "a recipe's objective dpo, kto or reward takes them; the usual one, answers"
            rows.append(("pairs", f"{self.pairs:,}", which))
        if self.both_ways:
            which = "pairs say the contrary of an earlier one"
            rows.append(("both ways", f"{self.both_ways:,}", which))
        if self.lost_bytes:
            rows.append(("damaged", f"{self.lost_bytes:,}", "rows have U+FFFD for a lost byte"))
        for mark, count in self.marks.items():
            rows.append(
                ("marks", f"{count:,}", f"rows say {mark}, no word but a mark to the model")
            )
        if self.endless:
            rows.append(("no end", "all", "the chat template writes no end behind an answer"))
        if self.left_out:
            rows.append(("left out", f"{len(self.left_out):,}", ", ".join(self.left_out)))
        rows += describe_lengths(self.tokens) if self.tokens else []
        return title, ("what", "how many", "which"), rows


def describe_splits(checked: Checked) -> list[tuple]:
    """Lines of the table: the splits, those without rows too, and what training shares."""
    if not checked.splits:
        return [("split", "none", "drawn by seed: 80/10/10")]
    lines: list[tuple] = [
        ("split", f"{checked.splits.get(name, 0):,}", f"{name} rows") for name in SPLITS
    ]
    for split, found in checked.leaks.items():
        which = f"{split} rows stand in train too, and {found['near_duplicates']:,} nearly"
        lines.append(("leak", f"{found['duplicates']:,}", which))
    return lines


def describe_copies(checked: Checked) -> list[tuple]:
    """Lines of the table: rows that are there twice, here or in the second file."""
    lines: list[tuple] = [
        ("duplicates", f"{checked.duplicates:,}", name_copies(checked.copies)),
        ("near duplicates", f"{checked.near_duplicates:,}", name_copies(checked.near_copies)),
    ]
    for file, found in checked.against.items():
        which = f"rows stand in {file} too, and {found['near_duplicates']:,} nearly"
        lines.append(("leak", f"{found['duplicates']:,}", which))
    return lines


def name_copies(pairs: Sequence[Sequence[str]]) -> str:
    """The first of them: "line 4 as line 1, line 9 as line 2, …"."""
    named = [" as ".join(pair) for pair in pairs[:NAMED]]
    return ", ".join(named + (["…"] if len(pairs) > NAMED else []))


def describe_answers(checked: Checked) -> list[tuple]:
    """Lines of the table: how many answers there are, and whether they contradict each other."""
    lines: list[tuple] = []
    if checked.answers:
        answer, rows = checked.answers[0]
        which = f"the most common in {rows:,} rows: {shown(answer)}"
        lines.append(("different answers", f"{checked.different_answers:,}", which))
    if checked.other_answers:
        which = "rows answer an earlier row's question in another way"
        lines.append(("two answers", f"{checked.other_answers:,}", which))
    return lines


def describe_lengths(tokens: Mapping[str, Any]) -> list[tuple]:
    """Lines of the table: lengths in tokens, and what does not fit."""
    which = f"in all; shortest row {tokens['shortest']:,}, median {tokens['median']:,}, "
    which += f"longest {tokens['longest']:,} ({tokens['longest_row']})"
    lines: list[tuple] = [("tokens", f"{tokens['all']:,}", which)]
    most, positions = f"{tokens['max_length']:,}", tokens["positions"]
    lines.append(("cut", f"{tokens['cut']:,}", f"rows are longer than max_length {most}"))
    lines.append(("lost", f"{tokens['lost']:,}", "rows have no token to learn within it"))
    if positions:
        which = f"rows are longer than the model's {positions:,} positions"
        lines.append(("too long", f"{tokens['too_long']:,}", which))
    return lines


def check(
    path: str | Path,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    *,
    max_length: int = 512,
    positions: int | None = None,
    against: str | Path | None = None,
    encoding: str | None = None,
) -> Checked:
    """Look over a file of rows, or a task of the kit; what is wrong with it is told, not raised.

    tokenizer: where given, rows that its chat template refuses are bad ones, and lengths are
    counted in tokens, beside max_length, where training cuts, and positions, the most that the
    model reads. against: a second file, which should have no row of this one. encoding: see
    `load`. Raises UserError for a file that is not there, and for a second one that `read` refuses.
    """
    if not is_whole(max_length) or max_length < 1:
        raise UserError(f"max_length is {max_length!r}; give a whole number of tokens from 1 on.")
    file = find_file(path)
    others = None if against is None else read_either(find_file(against), encoding)
    try:
        records = read_records(file, encoding)
    except BadFile as error:
        fault = {"line": error.line, "where": "the file", "reason": str(error)}
        return Checked(str(path), 0, 0, "unknown", {}, [fault])

    # every row by itself, then all of them together
    parsed = parse(spread_ranked(records), take_any)
    found: dict[str, Any] = {}
    if tokenizer is not None:
        parsed, chats = fit(parsed, tokenizer)
        found["tokens"] = count_lengths(parsed, chats, max_length, positions)
        found |= {"marks": count_marks(parsed.rows, tokenizer), "endless": is_endless(tokenizer)}
    found |= {**find_copies(parsed), **count_answers(parsed.rows), **find_unread(parsed.records)}
    if others is not None:
        found["against"] = {str(against): count_copies(parsed.rows, others)}
    found |= find_splits(parsed, path) | {"lost_bytes": count_lost_bytes(parsed.rows)}
    formats = count_formats(records)
    found["errors"] += mixed_kinds(formats["formats"])
    return Checked(str(path), len(records), count_good(parsed), **formats, **found)


def spread_ranked(records: Sequence[Record]) -> list[Record]:
    """The records, those of ranked answers as a record of each pair."""
    return [
        each
        for record in records
        for each in (spread([record]) if format_of(record) == RANKS else [record])
    ]


def count_good(parsed: Parsed) -> int:
    """The rows of the file without a fault, of which ranked answers make several."""
    bad = {(record.file, record.where) for record, _ in parsed.faults}
    return len({(record.file, record.where) for record in parsed.records} - bad)


def mixed_kinds(formats: Mapping[str, int]) -> list[dict]:
    """The fault of a file that holds pairs and chats: no recipe takes both."""
    pairs = sum(count for name, count in formats.items() if name in ON_PAIRS)
    chats = sum(
        count for name, count in formats.items() if name not in (*ON_PAIRS, "text", "unknown")
    )
    if not pairs or not chats:
        return []
    reason = (
        f"{pairs:,} of its rows are pairs and {chats:,} have one answer, and no recipe takes "
        "both; put them into two files"
    )
    return [{"line": 1, "where": "the file", "reason": reason}]


def read_either(file: Path, encoding: str | None) -> list[dict]:
    """The rows of a second file, in UTF-8 or, where it is none, in the first one's encoding."""
    try:
        records = read_records(file)
    except BadFile:
        records = read_records(file, encoding)
    return whole(file, parse(spread_ranked(records), take_any))


def count_formats(records: Sequence[Record]) -> dict[str, Any]:
    """The rows of each format, and the format of the file."""
    formats = Counter(format_of(record) for record in records)
    known = [name for name in formats if name != "unknown"]
    name = "mixed" if len(known) > 1 else "".join(known) or "unknown"
    return {"format": name, "formats": dict(formats)}


def take_any(stated: object) -> dict:
    """A row to learn from, or a pair as its prompt and chosen answer, with the rejected one."""
    stated = check_row(stated)
    if find_format(stated) != PAIRS:
        return take_row(stated)
    pair = take_pair(stated)
    return {**pair, "messages": pair.pop("prompt") + pair.pop("chosen")}


def format_of(record: Record) -> str:
    """The format that a record is in, or "unknown"."""
    try:
        found = find_format(check_row(record.value))
    except ValueError:
        found = "unknown"
    ranked = isinstance(record.value, Mapping) and RANKED in record.value
    return RANKS if ranked and found in ("unknown", PAIRS) else found


def fit(parsed: Parsed, tokenizer: "PreTrainedTokenizerBase") -> tuple[Parsed, list[Rendered]]:
    """The rows that the chat template takes, rendered; those that it refuses become faults."""
    fitting, chats = Parsed([], [], list(parsed.faults)), []
    for row, record in zip(parsed.rows, parsed.records, strict=True):
        try:
            chat, *_ = [
                render(messages, tokenizer, tools=row.get("tools"), where="the row")
                for messages in sides_of(row)
            ]
        except UserError as error:
            fitting.faults.append((record, str(error)))
        else:
            fitting.rows.append(row)
            fitting.records.append(record)
            chats.append(chat)
    fitting.faults.sort(key=lambda fault: (fault[0].file, fault[0].line))
    return fitting, chats


def sides_of(row: Mapping) -> list[list[dict]]:
    """The chats in a row: one, or a pair's, with the chosen answer and with the rejected one."""
    chat, rejected = row["messages"], row.get("rejected")
    return [chat, [*chat[:-1], *rejected]] if rejected else [chat]


def count_lengths(
    parsed: Parsed, chats: Sequence[Rendered], max_length: int, positions: int | None
) -> dict[str, Any]:
    """Lengths of rows in tokens, and how many rows do not fit; {} without rows."""
    if not chats:
        return {}
    lengths = [len(chat.ids) for chat in chats]
    longest = lengths.index(max(lengths))
    read = [min(length, max_length) for length in lengths]
    return {
        "all": sum(lengths),
        "shortest": min(lengths),
        "median": median_low(lengths),
        "longest": lengths[longest],
        "longest_row": parsed.records[longest].where,
        "max_length": max_length,
        "cut": sum(length > max_length for length in lengths),
        "lost": sum(not any(chat.learned[:max_length]) for chat in chats),
        "positions": positions,
        "too_long": sum(length > positions for length in read) if positions else 0,
    }


def find_copies(parsed: Parsed) -> dict[str, Any]:
    """Rows that are there twice, or nearly, each with the earlier row."""
    # a pair is told from another one by both its answers
    chats = [[*row["messages"], *row.get("rejected", [])] for row in parsed.rows]
    same = copies(chats)
    near = {row: other for row, other in near_copies(chats).items() if row not in same}
    where = [record.where for record in parsed.records]
    return {
        "duplicates": len(same),
        "near_duplicates": len(near),
        "copies": [[where[row], where[other]] for row, other in same.items()],
        "near_copies": [[where[row], where[other]] for row, other in near.items()],
    }


def count_copies(rows: Sequence[Mapping], others: Sequence[Mapping]) -> dict[str, int]:
    """How many of the rows stand among others too, to the word and nearly."""
    same, near = copies(rows, others), near_copies(rows, others)
    return {"duplicates": len(same), "near_duplicates": len(near.keys() - same.keys())}


def count_answers(rows: Sequence[Mapping]) -> dict[str, Any]:
    """The answers by how often they are given, and questions that have several.

    Of pairs, a question may well have several; what contradicts another pair is counted.
    """
    answers = Counter(answer_of(row["messages"][-1]) for row in rows)
    first: dict[str, str] = {}
    other, both_ways, known = 0, 0, set()
    for row in rows:
        question, said = row_hash(row["messages"][:-1]), row_hash(row)
        if "rejected" in row:
            worse = row_hash(sides_of(row)[1])
            both_ways += (worse, said) in known
            known.add((said, worse))
        else:
            other += first.setdefault(question, said) != said
    common = [list(pair) for pair in answers.most_common(COMMON)]
    return {
        "answers": common, "different_answers": len(answers), "other_answers": other,
        "pairs": sum("rejected" in row for row in rows), "both_ways": both_ways,
    }  # fmt: skip


def answer_of(message: Mapping) -> str:
    """An answer in words, its tool calls behind what it says."""
    return " ".join(text for text in (message["content"], *calls_in(message)) if text)


def find_splits(parsed: Parsed, path: str | Path) -> dict[str, Any]:
    """Every fault, rows per split, and what training shares with the others.

    That only some rows state a split is a fault of the file.
    """
    rows = parsed.rows
    errors = [
        {"line": record.line, "where": record.where, "reason": reason}
        for record, reason in parsed.faults
    ]
    try:
        if not state_splits(rows, path):
            return {"errors": errors}
    except UserError as error:
        return {"errors": [*errors, {"line": 1, "where": "the file", "reason": str(error)}]}
    train = rows_of_split(rows, "train")
    splits = Counter(row["split"] for row in rows)
    judged = [name for name in SPLITS if name != "train" and name in splits]
    leaks = {name: count_copies(rows_of_split(rows, name), train) for name in judged}
    return {"errors": errors, "splits": dict(splits), "leaks": leaks}


def find_unread(records: Sequence[Record]) -> dict[str, Any]:
    """Columns, and keys of messages, that nothing reads."""
    unread: dict[str, None] = {}
    for record in records:
        unread |= dict.fromkeys(name_key(key) for key in record.value if key not in MEANT)
        unread |= dict.fromkeys(f"{name_key(key)} (of the file)" for key in record.around)
        turns = record.value.get("messages") or record.value.get("conversations") or []
        for turn in turns if isinstance(turns, list) else []:
            keys = turn if isinstance(turn, Mapping) else ()
            names = (name_key(key) for key in keys if key not in OF_TURNS)
            unread |= dict.fromkeys(f"{name} (of a message)" for name in names)
    return {"left_out": list(unread)}


def count_lost_bytes(rows: Sequence[Mapping]) -> int:
    """Rows in which another program wrote U+FFFD for a byte that it could not read."""
    chats = [row["messages"] for row in rows]
    return sum(any(LOST_BYTE in turn["content"] for turn in chat) for chat in chats)


def count_marks(rows: Sequence[Mapping], tokenizer: "PreTrainedTokenizerBase") -> dict[str, int]:
    """How many rows say a special token of the model, such as those of a template by hand."""
    chats = [[turn["content"] for turn in row["messages"]] for row in rows]
    found = Counter(
        mark
        for texts in chats
        for mark in set(special_tokens(tokenizer))
        if any(mark in text for text in texts)
    )
    return dict(sorted(found.items()))


def to_html(checked: Checked) -> str:
    """One page that needs nothing else: what was found, and every fault and copy by line."""
    tables: list[Result] = [checked]
    if checked.errors:
        rows = [(error["where"], error["reason"]) for error in checked.errors]
        tables.append(Table(f"{len(rows):,} bad rows", ("where", "reason"), rows))
    for title, pairs in (("duplicates", checked.copies), ("nearly", checked.near_copies)):
        if pairs:
            tables.append(Table(f"{len(pairs):,} {title}", ("row", "as"), pairs))
    if checked.answers:
        title = f"{checked.different_answers:,} different answers, the most common"
        tables.append(Table(title, ("answer", "rows"), checked.answers))
    name = html.escape(checked.file)
    body = "".join(table._repr_html_() for table in tables)
    head = f'<meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'
