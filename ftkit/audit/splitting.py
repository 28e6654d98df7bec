"""Train, validation and test in five ways, and what leaks under each of them.

    split(rows, by="entity")     a `DatasetDict`: random, entity, wording, time or hard
    compare_splits(rows)         what each way leaves in test that training gives away
    template_of(text, …)         a question without its names and numbers

Rows that must not part are a group (all about one person, of one wording, of one day) and go
together. `data.load` splits at random, or as the rows say. Notebook 05.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any

from .. import data
from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.results import Result, TableParts
from ..core.session import LAST_SEED
from .leaking import NUMBER, WORD, Key, Leaks, entities_of, leaks, read_key, small_words
from .likeness import join, question

if TYPE_CHECKING:
    from datasets import DatasetDict

    from .likeness import Rows

WAYS = ("random", "entity", "wording", "time", "hard")
HOLE = "_"
ALONE = 0.9  # of the rows with a wording of their own: then there are no wordings to hold out


def split(
    rows: "Rows",
    by: str = "random",
    *,
    test: float = 0.1,
    validation: float = 0.1,
    seed: int = 0,
    key: Key | None = None,
    column: str | None = None,
) -> "DatasetDict":
    """The rows as a `DatasetDict` of train, validation and test.

    by: "random"; "entity": rows that share a name or number stay together; "wording": those of one
    template; "time": by `column`, the latest are test; "hard": test has the rows that are least
    like all others. key: a function of a row that says its entity or wording. test, validation:
    shares, at least; a group goes whole, so there may be more. Raises UserError for what can't be
    split so.
    """
    known = data.as_rows(rows)
    check_shares(len(known), test, validation, seed)
    if by not in WAYS:
        raise UserError(f"there is no split by {by!r}; give {', '.join(WAYS)}.{nearest(by, WAYS)}")
    groups = group_rows(known, by, seed, key, column)

    # from the end of the groups: test, then validation, the rest for training
    parts: dict[str, list[int]] = {}
    for name, share in (("test", test), ("validation", validation)):
        parts[name] = []
        while groups and len(parts[name]) < share * len(known) - 1e-9:
            parts[name] += groups.pop()
    parts["train"] = [place for group in groups for place in group]
    refuse_lopsided(parts, len(known), by, test + validation)
    return to_splits(known, parts)


def to_splits(rows: Sequence[Mapping], parts: Mapping[str, Sequence[int]]) -> "DatasetDict":
    """The rows of each part, in their own order and without a split that they stated."""
    from datasets import DatasetDict

    plain = [{name: v for name, v in row.items() if name != "split"} for row in rows]
    order = [name for name in ("train", "validation", "test") if parts[name]]
    return DatasetDict(
        {name: data.to_dataset([plain[place] for place in sorted(parts[name])]) for name in order}
    )


def check_shares(rows: int, test: float, validation: float, seed: int) -> None:
    """Refuse shares that leave a part without rows, and a seed that is none."""
    for name, share, least in (("test", test, "above 0"), ("validation", validation, "from 0")):
        if not is_number(share) or not 0 <= share < 1 or (name == "test" and not share):
            raise UserError(f"{name} is {share!r}; give a share {least} and below 1, such as 0.1.")
    if test + validation >= 1:
        raise UserError(
            f"test is {test} and validation {validation}, which leaves nothing to train on; give "
            "shares below 1 together."
        )
    if rows < 3:
        raise UserError(f"there are {rows} rows; train, validation and test need three at least.")
    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 to {LAST_SEED:,}.")


def refuse_lopsided(parts: Mapping[str, Sequence[int]], rows: int, by: str, asked: float) -> None:
    """Refuse groups so large that training gets less than half of what it should have."""
    if len(parts["train"]) >= 0.5 * (1 - asked) * rows:
        return
    raise UserError(
        f"by {by}, rows hang together in groups so large that {len(parts['train'])} of {rows} are "
        "left to train on; give a key that makes smaller ones, or split in another way."
    )


def group_rows(
    rows: Sequence[Mapping], by: str, seed: int, key: Key | None, column: str | None
) -> list[list[int]]:
    """The places of rows in groups that stay together; the last groups are held out first."""
    if key is not None and by not in ("entity", "wording"):
        raise UserError(
            f"key says an entity or a wording, and the split is by {by!r}; leave it out."
        )
    if (column is None) == (by == "time"):
        raise UserError(
            "a split by time needs the column that states it: column='date'."
            if by == "time"
            else f"column is {column!r}, and the split is by {by!r}; leave it out."
        )
    if by == "time":
        return by_time(rows, str(column))
    if by == "hard":
        return by_likeness(rows)
    groups = {
        "random": lambda: [[place] for place in range(len(rows))],
        "entity": lambda: by_entity(rows, key),
        "wording": lambda: by_wording(rows, key),
    }[by]()
    random.Random(f"split {seed}").shuffle(groups)
    return groups


def by_entity(rows: Sequence[Mapping], key: Key | None = None) -> list[list[int]]:
    """Rows that a chain of shared names and numbers joins."""
    held: dict[object, list[int]] = {}
    for place, found in enumerate(entities_of(rows, key)):
        for entity in found:
            held.setdefault(entity, []).append(place)
    if not held:
        raise UserError(
            "no row has a name or a number to split by; give key=, a function of a row that says "
            "what it is about."
        )
    chained = [pair for places in held.values() for pair in pairwise(places)]
    return join(len(rows), chained)


def by_wording(rows: Sequence[Mapping], key: Key | None = None) -> list[list[int]]:
    """Rows whose questions are the same but for names and numbers, or that `key` says are."""
    if key is None:
        small = small_words(rows)
        said: list[object] = [template_of(question(row), small) for row in rows]
    else:
        said = [read_key(key, row, number) for number, row in enumerate(rows, 1)]
    groups: dict[object, list[int]] = {}
    for place, wording in enumerate(said):
        groups.setdefault(wording, []).append(place)
    if len(groups) > ALONE * len(rows):
        raise UserError(
            f"{len(groups)} of {len(rows)} rows have a wording of their own, so none can be held "
            "out; give key=, a function of a row that says its wording, or split by hard."
        )
    return list(groups.values())


def template_of(text: str, small: frozenset[str] = frozenset()) -> str:
    """A question with a hole for every name and number: what is left is its wording.

    small: words that the rows also write small, which are no names.
    """
    without = NUMBER.sub(HOLE, text)
    begin, kept = True, []
    for word in WORD.findall(without):
        is_name = word[0].isupper() and word.lower() not in small and (not begin or not small)
        kept.append(HOLE if is_name else word.lower())
        begin = word in ".!?。！？:"
    joined = " ".join(kept)
    while f"{HOLE} {HOLE}" in joined:
        joined = joined.replace(f"{HOLE} {HOLE}", HOLE)
    return joined


def by_time(rows: Sequence[Mapping], column: str) -> list[list[int]]:
    """Rows of the same time together, the earliest first."""
    groups: dict[Any, list[int]] = {}
    for place, row in enumerate(rows):
        value = row.get(column)
        if value is None:
            names = sorted({key for r in rows for key in r} - {"messages"})
            raise UserError(
                f"row {place + 1} states no {column!r}; read the rows with "
                f"data.read_placed(file, columns=[{column!r}]), and state it in every row."
                f"{nearest(column, names)}"
            )
        groups.setdefault(value, []).append(place)
    try:
        return [groups[value] for value in sorted(groups)]
    except TypeError as error:
        kinds = sorted({type(value).__name__ for value in groups})
        raise UserError(
            f"{column} holds values of the types {', '.join(kinds)}, which have no order; write "
            "all as dates like 2026-07-31, or all as numbers."
        ) from error


def by_likeness(rows: Sequence[Mapping]) -> list[list[int]]:
    """Rows one by one, those that are least like the others last.

    How like a row is to the rest: the mean over its question's pairs of words of how many other
    rows have that pair.
    """
    pairs = [data.word_pairs(row["messages"][:-1]) for row in rows]
    counts = Counter(pair for each in pairs for pair in each)
    alike = [fmean(counts[pair] - 1 for pair in each) if each else 0.0 for each in pairs]
    return [[place] for place in sorted(range(len(rows)), key=lambda p: (-alike[p], p))]


@dataclass(frozen=True, repr=False)
class Splits(Result):
    """What each way to split leaves in test that training gives away."""

    sizes: dict[str, dict[str, int]]  # by way: rows of each part
    leaks: dict[str, Leaks]  # by way: of the test rows
    wordings: dict[str, float]  # by way: share of test rows with a wording of the training rows
    refused: dict[str, str]  # by way: why these rows can't be split so

    def json(self) -> dict[str, Any]:
        """Every field."""
        return {**asdict(self), "leaks": {way: found.json() for way, found in self.leaks.items()}}

    def table(self) -> TableParts:
        """A row for each way."""
        heads = (
            "by", "test rows", "same question", "near copy", "shared name", "known wording", "",
        )  # fmt: skip
        lines: list[tuple] = [
            (
                way,
                f"{found.rows:,}",
                f"{len(found.asked) / found.rows:.0%}",
                f"{len({*found.near, *found.exact}) / found.rows:.0%}",
                f"{len(found.by_entity) / found.rows:.0%}",
                f"{self.wordings[way]:.0%}",
                "",
            )
            for way, found in self.leaks.items()
        ]
        lines += [(way, *["–"] * 5, reason) for way, reason in self.refused.items()]
        return "What of the test rows is in the training rows too", heads, lines


def compare_splits(
    rows: "Rows",
    ways: Sequence[str] = WAYS,
    *,
    test: float = 0.1,
    seed: int = 0,
    key: Key | None = None,
    column: str | None = None,
) -> Splits:
    """The rows split in each of these ways, and what of the test rows training gives away.

    "time" is tried where `column` is given. A way in which the rows can't be split is told with
    its reason. Raises UserError for a way that is none.
    """
    known = data.as_rows(rows)
    sizes, found, wordings, refused = {}, {}, {}, {}
    for way in ways if column is not None else [way for way in ways if way != "time"]:
        options: dict[str, Any] = {"key": key} if way == "entity" else {}
        options |= {"column": column} if way == "time" else {}
        try:
            parts = split(known, way, test=test, seed=seed, **options)
        except UserError as error:
            if way not in WAYS:
                raise
            refused[way] = str(error)
            continue
        sizes[way] = {name: len(part) for name, part in parts.items()}
        found[way] = leaks(parts["test"], parts["train"], key=key)
        wordings[way] = shared_wordings(parts["test"], parts["train"])
    return Splits(sizes, found, wordings, refused)


def shared_wordings(rows: "Rows", others: "Rows") -> float:
    """The share of rows whose wording one of the others has too."""
    ours, theirs = data.as_rows(rows), data.as_rows(others)
    small = small_words([*ours, *theirs])
    known = {template_of(question(row), small) for row in theirs}
    return fmean(template_of(question(row), small) in known for row in ours)
