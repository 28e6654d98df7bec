"""One file audited: what is wrong with rows of which each by itself is right.

    audit(file, against=…, label=…)    copies, leaks, balance, secrets and lengths: an `Audit`
    to_html(audited)                   the same as one page, with its pictures

A bad row is refused; `data.check` names them all. It changes no file. What was found, and what to
do about it, is the user's to say: a leak is told, and is no error. `python -m ftkit audit` shows
it. Notebook 05.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import data
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts
from ..show.svg import Drawing
from .classes import WITHOUT, Balance, Label, balance, known_fields, labels_of
from .leaking import Leaks, leaks
from .likeness import Groups, groups
from .privacy import MISSED, Private, find_private
from .synthetic import passes
from .tokens import Lengths, lengths

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMED = 3  # places that the table names
MOST = 30  # classes of a field that is told without being asked for
JUDGED = ("validation", "test")
STYLE = (
    "body{font:15px/1.5 sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "table{border-collapse:collapse;margin:1.5em 0}caption{padding:.3em 0}"
    "td,th{border-bottom:1px solid #ccc;padding:.2em .8em .2em 0;vertical-align:top}"
)


@dataclass(frozen=True, repr=False)
class Audit(Result):
    """What an audit of a file found; places of rows are told as the file's lines."""

    file: str
    where: list[str]  # of each row, in words
    copies: list[int]  # rows that say what an earlier one says
    groups: Groups  # copies and near copies together
    leaks: dict[str, Leaks]  # "test in train", or the second file
    balances: dict[str, Balance]  # of the label, or of every field with few classes
    private: Private
    failed: dict[str, list[int]] = field(default_factory=dict)  # by test of the caller's: rows
    lengths: Lengths | None = None
    max_length: int | None = None

    @property
    def rows(self) -> int:
        """How many rows the file has."""
        return len(self.where)

    def named(self, places: Sequence[int]) -> list[str]:
        """Where rows stand, in words."""
        return [self.where[place] for place in places]

    def json(self) -> dict[str, Any]:
        """All that was found; rows as the file's lines."""
        sets = {name: self.leak_json(found) for name, found in self.leaks.items()}
        found: dict[str, Any] = {
            "file": self.file,
            "rows": self.rows,
            "copies": self.named(self.copies),
            "groups": [self.named(group) for group in self.groups.groups],
            "leaks": sets,
            "balance": {name: each.json() for name, each in self.balances.items()},
            "private": [{**each, "row": self.where[each["row"]]} for each in self.private.found],
            "not_looked_for": MISSED,
            "failed": {name: self.named(places) for name, places in self.failed.items()},
        }
        if self.lengths is not None and self.max_length is not None:
            fit = self.lengths.at(self.max_length)
            found["lengths"] = {"max_length": self.max_length, **fit._asdict()}
            found["lengths"] |= {
                "needed": self.lengths.needed,
                "short": len(self.lengths.shorter()),
            }
            found["lengths"]["learned_share"] = self.lengths.learned_share
        return found

    def leak_json(self, found: Leaks) -> dict[str, Any]:
        """What one set leaks, by how it was looked for."""
        kinds = {name: getattr(found, name) for name in ("exact", "asked", "near", "by_entity")}
        places = {name: [*map(self.place, rows)] for name, rows in kinds.items()}
        shared = {name: [*map(self.place, rows)] for name, rows in found.entities.items()}
        return {"rows": found.rows, "others": found.others, **places, "entities": shared}

    def place(self, place: int) -> str:
        """Where a row of a set stands: the file's line, or its number in a split."""
        return self.where[place]

    def table(self) -> TableParts:
        """A line for everything that was looked for, with the first places."""
        lines: list[tuple] = [
            ("copies", f"{len(self.copies):,}", self.first(self.copies)),
            ("near copies", f"{self.groups.spare - len(self.copies):,}", self.first_group()),
        ]
        for name, found in self.leaks.items():
            lines += self.describe(name, found)
        lines += map(describe_balance, self.balances.values())
        lines += [
            (f"private: {kind}", f"{count:,}", self.first(self.found_in(kind)))
            for kind, count in self.private.counts.items()
        ]
        if not self.private.found:
            lines.append(("private", "0", f"nothing by pattern; {MISSED}"))
        lines += [(f"not {n}", f"{len(p):,}", self.first(p)) for n, p in self.failed.items()]
        lines += self.describe_lengths()
        return f"{self.file}: {self.rows:,} rows", ("what", "how many", "which"), lines

    def describe(self, name: str, found: Leaks) -> list[tuple]:
        """Lines of the table: what one set leaks, or that it shares nothing."""
        head = f"leak: {name}"
        lines = [
            (head, f"{len(places):,}", f"{what}: {self.first(places)}")
            for what, places in found.kinds().items()
            if places
        ]
        return lines or [(head, "0", f"of {found.rows:,} rows: no row, question or name is shared")]

    def describe_lengths(self) -> list[tuple]:
        """Lines of the table: what max_length leaves of the answers."""
        if self.lengths is None or self.max_length is None:
            return []
        fit = self.lengths.at(self.max_length)
        which = f"rows at max_length {self.max_length:,}; {self.lengths.needed:,} tokens cut none"
        share = f"{self.lengths.learned_share:.0%} of all tokens carry loss"
        return [
            ("answer cut", f"{fit.cut:,}", which),
            ("answer gone", f"{fit.lost:,}", f"rows, which teach nothing; {share}"),
        ]

    def found_in(self, kind: str) -> list[int]:
        """The rows in which something private of a kind was found."""
        return sorted({each["row"] for each in self.private.found if each["kind"] == kind})

    def first(self, places: Sequence[int]) -> str:
        """The first places in words."""
        named = self.named(places[:NAMED])
        return ", ".join(named + ["…"] * (len(places) > NAMED))

    def first_group(self) -> str:
        """The largest group of near copies in words."""
        if not self.groups.groups:
            return ""
        largest = self.groups.groups[0]
        return f"the largest group has {len(largest):,}: {self.first(largest)}"

    def pictures(self) -> list[Drawing]:
        """The groups of near copies, each balance, each leak, and the lengths."""
        found = [self.groups, *self.leaks.values(), *self.balances.values()]
        return [each.picture() for each in [*found, *([self.lengths] if self.lengths else [])]]


def describe_balance(found: Balance) -> tuple:
    """A line of the table: how many classes there are, and how uneven."""
    missing = found.counts.get(WITHOUT, 0)
    rare = f"{found.rarest!r} has {found.counts[found.rarest]:,} rows"
    usual = f"classes of {found.label}; always {found.usual!r} would be right in "
    words = f"{usual}{found.baseline:.0%}, {rare}" + f"; {missing:,} without it" * bool(missing)
    return "balance", f"{len(found.counts):,}", words


def audit(
    file: str | Path,
    against: str | Path | None = None,
    label: Label = None,
    *,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    max_length: int = 512,
    encoding: str | None = None,
    tests: Mapping[str, Callable[[Mapping], object]] | None = None,
) -> Audit:
    """Audit a file of rows, or a task of the kit.

    against: a second file, which should have no row, question or name of this one. label: what to
    count the classes of: a field of JSON answers, a column, or a function of an answer's text; by
    default every field with few classes. tokenizer: where given, what max_length cuts is counted.
    tests: {what should hold: a function of a row}. Raises UserError where `data.read` does, and
    for a label that no row has.
    """
    if not is_whole(max_length) or max_length < 1:
        raise UserError(f"max_length is {max_length!r}; give a whole number of tokens from 1 on.")
    rows, where = read(file, encoding, label)
    others = None if against is None else data.read_placed(against, encoding)[0]
    failed = {
        name: [place for place, row in enumerate(rows) if not passes(name, test, place, row)]
        for name, test in (tests or {}).items()
    }
    found = {} if others is None else {f"in {against}": leaks(rows, others)}
    return Audit(
        str(file),
        where,
        sorted(data.copies(rows)),
        groups(rows),
        leaks_of_splits(rows) | found,
        count_classes(rows, label),
        find_private(rows),
        failed,
        None if tokenizer is None else lengths(rows, tokenizer),
        None if tokenizer is None else max_length,
    )


def read(file: str | Path, encoding: str | None, label: Label) -> tuple[list[dict], list[str]]:
    """The rows of a file and where each stands; a label that is a column of its own is kept."""
    rows, where = data.read_placed(file, encoding)
    if isinstance(label, str) and label not in known_fields(rows):
        try:
            rows, where = data.read_placed(file, encoding, [label])
        except UserError:
            # neither a field nor a column: the sentence that knows both
            labels_of(rows, label)
            raise
    return rows, where


def leaks_of_splits(rows: Sequence[Mapping]) -> dict[str, Leaks]:
    """What each split shares with the training rows, places among all rows of the file."""
    by_split: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        by_split.setdefault(row.get("split") or "", []).append(place)
    if "train" not in by_split:
        return {}
    train = [rows[place] for place in by_split["train"]]
    found = {}
    for name in (name for name in JUDGED if name in by_split):
        places = by_split[name]
        told = leaks([rows[place] for place in places], train)
        found[f"{name} in train"] = moved(told, places)
    return found


def moved(found: Leaks, places: Sequence[int]) -> Leaks:
    """The same leaks, with the rows' places in the file."""

    def there(rows: Sequence[int]) -> list[int]:
        return [places[row] for row in rows]

    shared = {name: there(rows) for name, rows in found.entities.items()}
    exact, asked, near = map(there, (found.exact, found.asked, found.near))
    return Leaks(found.rows, found.others, found.likeness, exact, asked, near, shared)


def count_classes(rows: Sequence[Mapping], label: Label) -> dict[str, Balance]:
    """The classes of the label; without one, of the answers and of every field that has few."""
    if label is not None:
        found = balance(rows, label)
        return {found.label: found}
    names: list[Label] = [None, *known_fields(rows)]
    counted = (balance(rows, name) for name in names)
    few = (b for b in counted if 1 < len(b.counts) <= min(MOST, len(rows) // 4))
    return {found.label: found for found in few if 2 * found.counts.get(WITHOUT, 0) < len(rows)}


def to_html(audited: Audit) -> str:
    """One page that needs nothing else: tables and pictures."""
    tables: list[Result] = [audited, audited.groups, *audited.leaks.values()]
    tables += [*audited.balances.values(), audited.private]
    tables += [audited.lengths] if audited.lengths else []
    body = "".join(table._repr_html_() for table in tables)
    shown = "".join(f"<p>{picture.svg}</p>" for picture in audited.pictures())
    name = html.escape(audited.file)
    head = f'<meta charset="utf-8"><title>{name}</title><style>{STYLE}</style>'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}{shown}</body></html>\n'
    )
