"""A random sample of rows for people to judge: blind, taken away, and read back.

    make_sheet(rows, n)             a `Sheet`; save it as .csv or .html
    read_verdicts(path)             what a reviewer has answered: {id of a row: verdict}
    review(rows, *paths)            the share that is right, and how far two reviewers agree
    review(rows, *paths, by="model") the same for each value of a column that no reviewer saw

Whoever reviews sees question and answer, in random order, and not which file, split or model they
are from. Verdicts are "right", "wrong" and "unsure". A sheet belongs to rows by what they say, so
that rows may move and must not change. Notebook 05.
"""

import csv
import io
import json
import random
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import data
from ..core.errors import UserError, is_whole, nearest
from ..core.files import write_whole
from ..core.parsing import parse_json, read_text, shown
from ..core.results import Result, TableParts
from ..core.session import LAST_SEED
from ..core.statistics import Interval, Rate, kappa
from .leaking import exactly
from .likeness import answer

if TYPE_CHECKING:
    from .likeness import Rows

VERDICTS = ("right", "wrong", "unsure")
HEADS = ("id", "question", "answer", "verdict", "note")
ID = 12  # hex digits of what a row says
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet would compute
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Review</title><style>
body{font:16px/1.5 sans-serif;margin:2em auto;max-width:50em;padding:0 1em}
article{border-top:1px solid #bbb;padding:1em 0}
pre{white-space:pre-wrap;background:#f4f6f8;padding:.6em}
label{margin-right:1.5em}button{font:inherit;padding:.4em 1em}
</style></head><body><h1>Right, wrong, or unsure?</h1>
<p>Read each question, then judge its answer. At the end save your verdicts as a file.</p>
<main></main><p><button id="save">Save the verdicts</button> <span id="left"></span></p><script>
const rows = $ROWS;
const main = document.querySelector("main"), left = document.querySelector("#left");
rows.forEach((row, n) => {
  const part = document.createElement("article");
  for (const [name, text] of [["question", row.question], ["answer", row.answer]]) {
    const head = document.createElement("b"), body = document.createElement("pre");
    head.textContent = name; body.textContent = text; part.append(head, body);
  }
  for (const verdict of ["right", "wrong", "unsure"]) {
    const label = document.createElement("label"), radio = document.createElement("input");
    radio.type = "radio"; radio.name = "row" + n; radio.value = verdict;
    radio.addEventListener("change", () => { row.verdict = verdict; count(); });
    label.append(radio, " " + verdict); part.append(label);
  }
  main.append(part);
});
function count() { left.textContent = rows.filter(row => !row.verdict).length + " to go"; }
count();
document.querySelector("#save").addEventListener("click", () => {
  const kept = rows.map(row => ({id: row.id, verdict: row.verdict || ""}));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(kept)], {type: "application/json"}));
  link.download = "verdicts.json"; link.click();
});
</script></body></html>
"""


class Asked(NamedTuple):
    """One row as a reviewer sees it."""

    id: str
    question: str
    answer: str


@dataclass(frozen=True, repr=False)
class Sheet(Result):
    """A sample to be judged, in random order."""

    of: int  # rows that it was drawn from
    rows: list[Asked]

    def table(self) -> TableParts:
        """The first rows of the sheet."""
        title = f"{len(self.rows):,} of {self.of:,} rows to be judged, in random order"
        lines = [
            (each.id, one_line(each.question), one_line(each.answer)) for each in self.rows[:5]
        ]
        return title, HEADS[:3], lines

    def save(self, path: str | Path) -> Path:
        """Write the sheet: .csv for a spreadsheet, .html as a page that needs nothing else.

        Raises UserError for another suffix, and for a folder that is not there.
        """
        path = Path(path)
        writers = {".csv": self.csv, ".html": self.html}
        if path.suffix not in writers:
            raise UserError(
                f"the sheet's name is {str(path)!r}; give one that ends in .csv or .html."
            )
        if path.is_dir() or not path.parent.is_dir():
            raise UserError(f"there is no folder {str(path.parent)!r} to write {path.name} into.")
        write_whole(path, writers[path.suffix]())
        return path

    def csv(self) -> str:
        """As a table with an empty column for the verdict."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADS)
        writer.writerows(
            [each.id, quoted(each.question), quoted(each.answer), "", ""] for each in self.rows
        )
        return stream.getvalue()

    def html(self) -> str:
        """As a page with three choices for each row, which saves verdicts.json."""
        rows = json.dumps([each._asdict() for each in self.rows], ensure_ascii=False)
        return PAGE.replace("$ROWS", rows.replace("<", "\\u003c").replace("\u2028", "\\u2028"))


def quoted(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(FORMULAS) else text


def one_line(text: str, most: int = 60) -> str:
    """The begin of a text, on one line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def id_of(row: Mapping) -> str:
    """What a row is known by: the begin of the hash of what it says."""
    return data.row_hash(row)[:ID]


def make_sheet(rows: "Rows", n: int = 50, seed: int = 0) -> Sheet:
    """A random sample of `n` different rows, to be judged by people who see no more than the rows.

    Raises UserError unless 1 ≤ n ≤ the different rows there are.
    """
    known = {id_of(row): row for row in data.as_rows(rows)}
    if not is_whole(n) or not 1 <= n <= len(known):
        raise UserError(
            f"n is {n!r}; give a whole number from 1 to {len(known)}, the different rows there are."
        )
    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 to {LAST_SEED:,}.")
    chosen = random.Random(f"review {seed}").sample(sorted(known), n)
    return Sheet(
        len(known),
        [Asked(name, whole_question(known[name]), answer_of(known[name])) for name in chosen],
    )


def whole_question(row: Mapping) -> str:
    """All that stands before the answer; who says it, where there is more than one message."""
    before = row["messages"][:-1]
    if len(before) == 1:
        return before[0]["content"] or ""
    return "\n\n".join(f"[{message['role']}] {message['content'] or ''}" for message in before)


def answer_of(row: Mapping) -> str:
    """The answer, its tool calls as JSON behind it."""
    calls = row["messages"][-1].get("tool_calls")
    return answer(row) + (f"\n{json.dumps(calls, ensure_ascii=False)}" if calls else "")


def read_verdicts(path: str | Path) -> dict[str, str]:
    """{id: verdict} of a sheet that came back, .csv or the page's .json; "" where none was given.

    Raises UserError for a file that is no sheet, and for a verdict that is none, with its line.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r}; give a sheet that was judged.")
    text = read_text(path)
    stated = parse_json(text, path) if path.suffix == ".json" else read_csv(text)
    if not isinstance(stated, list) or not all(isinstance(each, Mapping) for each in stated):
        raise UserError(f"{path} is no sheet; give one that make_sheet wrote.")
    found: dict[str, str] = {}
    for number, each in enumerate(stated, 1):
        name, said = each.get("id"), str(each.get("verdict") or "").strip().lower()
        if not isinstance(name, str) or "verdict" not in each:
            raise UserError(
                f"{path} has no id and verdict in row {number}; give a sheet with both."
            )
        if said and said not in VERDICTS:
            raise UserError(
                f"{path} says {shown(said)} in row {number}; a verdict is {', '.join(VERDICTS)}."
                f"{nearest(said, VERDICTS)}"
            )
        if found.get(name, said) != said:
            raise UserError(f"{path} judges {name} twice, and not alike; keep one verdict.")
        found[name] = said
    return found


def read_csv(text: str) -> list[dict]:
    """The rows of a sheet that a spreadsheet has saved, whatever it parts columns by."""
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=mark))


@dataclass(frozen=True, repr=False)
class Review(Result):
    """What reviewers say of a sample."""

    rows: int  # of the set that the sample stands for
    verdicts: list[dict[str, int]]  # of each reviewer: how many of each
    right: list[Rate]  # of each reviewer: right, of right and wrong
    both: int = 0  # rows that the first two have judged, unsure too
    agreed: float = 0.0  # the share of them on which they say the same
    kappa: float | None = None  # agreement beyond chance (Cohen 1960); None where there is none
    kappa_interval: tuple[float, float] | None = None  # 95 %
    by: dict[str, list[Rate]] | None = None  # of each value of a column: right, by each reviewer

    def json(self) -> dict[str, Any]:
        """Every field; a rate as its share and interval."""
        parts = {name: list(map(rate_as_json, rates)) for name, rates in (self.by or {}).items()}
        right = list(map(rate_as_json, self.right))
        return {**asdict(self), "right": right, "by": parts or None}

    def table(self) -> TableParts:
        """A row for each reviewer."""
        title = f"A sample of {self.rows:,} rows, judged"
        if self.both:
            beyond = "undefined" if self.kappa is None else f"{self.kappa:.2f}"
            if self.kappa_interval:
                beyond += " [{:.2f}, {:.2f}]".format(*self.kappa_interval)
            title += f": two reviewers agree on {self.agreed:.0%} of {self.both:,}, κ = {beyond}"
        lines = [
            (f"reviewer {n}", *(f"{said[v]:,}" for v in VERDICTS), exactly(rate) if rate.n else "")
            for n, (said, rate) in enumerate(zip(self.verdicts, self.right, strict=True), 1)
        ]
        for name, rates in (self.by or {}).items():
            lines += [
                (f"{name}, reviewer {n}", f"{rate.hits:,}", f"{rate.n - rate.hits:,}", "",
                 exactly(rate) if rate.n else "")
                for n, rate in enumerate(rates, 1)
            ]  # fmt: skip
        return title, ("", *VERDICTS, "right [95 %]"), lines


def rate_as_json(rate: Rate) -> dict[str, Any]:
    """A rate as its share, interval and n."""
    return {"share": rate.value, "interval": rate.interval, "n": rate.n}


def review(rows: "Rows", *sheets: str | Path | Mapping[str, str], by: str | None = None) -> Review:
    """What one or two sheets, judged and read back, say of the rows they were drawn from.

    sheets: files, or what `read_verdicts` gives. Rows without a verdict count nowhere. by: a column
    of the rows, such as the model that wrote the answer, which no reviewer has seen; rows that say
    the same count for each of its values. Raises UserError for a sheet of other rows, for one
    without a single verdict, for no sheets, and for a column that a row has not.
    """
    taken = data.as_rows(rows)
    ids = {id_of(row) for row in taken}
    found = read_judged(sheets, ids)
    counts = [{v: list(said.values()).count(v) for v in VERDICTS} for said in found]
    right = [right_of(said) for said in found]
    parts = None if by is None else rate_parts(taken, found, by)
    if len(found) < 2:
        return Review(len(ids), counts, right, by=parts)
    both, agreed, beyond = agreement(*found[:2])
    value, interval = (None, None) if beyond is None else (beyond.value, (beyond.low, beyond.high))
    return Review(len(ids), counts, right, both, agreed, value, interval, parts)


def right_of(said: Mapping[str, str]) -> Rate:
    """Right, of right and wrong."""
    verdicts = list(said.values())
    return Rate(verdicts.count("right"), verdicts.count("right") + verdicts.count("wrong"))


def rate_parts(
    rows: list[dict], found: Sequence[Mapping[str, str]], by: str
) -> dict[str, list[Rate]]:
    """For each value of a column: how much of its rows is right, by each reviewer."""
    parts: dict[str, set[str]] = {}
    for number, row in enumerate(rows, 1):
        if row.get(by) is None:
            raise UserError(
                f"row {number} has no {by!r}; give a column that all rows have.{nearest(by, row)}"
            )
        parts.setdefault(str(row[by]), set()).add(id_of(row))
    return {
        name: [right_of({each: said[each] for each in said if each in ids}) for said in found]
        for name, ids in parts.items()
    }


def read_judged(
    sheets: Sequence[str | Path | Mapping[str, str]], ids: Set[str]
) -> list[dict[str, str]]:
    """The verdicts of each sheet of rows with these ids, without what was left open."""
    if not sheets:
        raise UserError("there is no sheet; give one or two that were judged.")
    found = []
    for number, sheet in enumerate(sheets, 1):
        said = dict(sheet) if isinstance(sheet, Mapping) else read_verdicts(sheet)
        name = f"sheet {number}" if isinstance(sheet, Mapping) else str(sheet)
        strange = [each for each in said if each not in ids]
        if strange:
            raise UserError(
                f"{name} is no sheet of these rows: {len(strange)} of its {len(said)} rows, such "
                f"as {shown(strange[0])}, are none of them; give the rows that it was drawn from."
            )
        judged = {each: verdict for each, verdict in said.items() if verdict}
        if not judged:
            raise UserError(f"{name} holds no verdict; write {', '.join(VERDICTS)} into it.")
        found.append(judged)
    return found


def agreement(
    one: Mapping[str, str], other: Mapping[str, str]
) -> tuple[int, float, Interval | None]:
    """(rows judged by both, share said alike, Cohen's κ) of two reviewers; see `kappa`."""
    both = sorted(one.keys() & other.keys())
    if not both:
        raise UserError("the two sheets have no judged row in common; give both the same sheet.")
    said, heard = ([each[name] for name in both] for each in (one, other))
    alike = sum(a == b for a, b in zip(said, heard, strict=True)) / len(both)
    return len(both), alike, kappa(said, heard)
