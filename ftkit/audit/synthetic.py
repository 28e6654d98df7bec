"""Rows that a model has written: which are kept, which go and why, and how many a mix may hold.

    sift(rows, tests)                 each row kept, or dropped for the first test that it fails
    agree(replies, others)            by place: do two replies say the same?
    cap(rows, synthetic, share)       real rows and as many synthetic ones as the share allows

A test is a function of a row, such as `evaluate.is_grounded`: every value of the answer stands in
the question. Two replies to one question, asked in two ways, that agree are a test too. It asks no
model; the rows of a teacher are made by `models.complete`. Notebook 05.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import data
from ..core.errors import UserError, is_number, is_whole
from ..core.parsing import JsonReader
from ..core.results import Result, TableParts
from ..core.session import LAST_SEED

if TYPE_CHECKING:
    from .likeness import Rows

Test = Callable[[Mapping], object] | Sequence[object]
ORIGIN = "synthetic"  # the column that `cap` adds


@dataclass(frozen=True, repr=False)
class Sifted(Result):
    """The rows that are kept, and how many each test dropped."""

    kept: list[dict]
    places: list[int]  # of the kept rows
    dropped: dict[str, list[int]]  # by test: places of the rows that failed it first

    @property
    def rows(self) -> int:
        """All rows that came in: those kept and those dropped."""
        return len(self.kept) + sum(map(len, self.dropped.values()))

    def json(self) -> dict[str, Any]:
        """The counts, and the places of what was dropped."""
        return {"rows": self.rows, "kept": len(self.kept), "dropped": self.dropped}

    def table(self) -> TableParts:
        """A line for each test, in their order."""
        title = f"{len(self.kept):,} of {self.rows:,} rows kept"
        lines = [(name, f"{len(places):,}") for name, places in self.dropped.items()]
        return title, ("dropped, because not", "rows"), lines


def sift(rows: "Rows", tests: Mapping[str, Test]) -> Sifted:
    """The rows that pass every test; each of the others counts for the first test that it fails.

    tests: {what it tests: a function of a row, or a list with a truth for each row}. Raises
    UserError for no tests, for a list of another length, and for a function that fails.
    """
    known = data.as_rows(rows)
    if not isinstance(tests, Mapping) or not tests:
        raise UserError("there are no tests; give {'grounded': evaluate.is_grounded}, or your own.")
    for name, test in tests.items():
        if not callable(test) and len(test) != len(known):
            raise UserError(
                f"the test {name!r} has {len(test)} truths for {len(known)} rows; give one a row."
            )
    places: list[int] = []
    dropped: dict[str, list[int]] = {name: [] for name in tests}
    for place, row in enumerate(known):
        failed = next((n for n, t in tests.items() if not passes(n, t, place, row)), None)
        (places if failed is None else dropped[failed]).append(place)
    return Sifted([known[place] for place in places], places, dropped)


def passes(name: str, test: Test, place: int, row: Mapping) -> bool:
    """Whether a row passes a test; an error in a test of the user's own becomes a sentence."""
    if not callable(test):
        return bool(test[place])
    try:
        return bool(test(row))
    except Exception as error:
        raise UserError(
            f"the test {name!r} fails at row {place + 1} ({type(error).__name__}: {error}); give a "
            "function of a row that returns True or False."
        ) from error


def agree(replies: Sequence[str], others: Sequence[str]) -> list[bool]:
    """By place, whether two replies say the same: the same JSON value, or the same words.

    The order of keys and white space mean nothing; an empty reply agrees with none. Raises
    UserError for lists of different lengths.
    """
    replies, others = list(replies), list(others)
    if len(replies) != len(others):
        raise UserError(
            f"there are {len(replies)} replies and {len(others)}; give two for each question."
        )
    return [bool(a.strip()) and said(a) == said(b) for a, b in zip(replies, others, strict=True)]


def said(reply: str) -> object:
    """What a reply says, so that two of them can be held together; 1 and true are two things."""
    value, fault = JsonReader().read(reply)
    return " ".join(reply.split()) if fault else typed(value)


def typed(value: Any) -> object:
    """A JSON value with the type of each part, because Python takes True for 1."""
    if isinstance(value, Mapping):
        return {key: typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [typed(part) for part in value]
    return (type(value).__name__, value)


def cap(rows: "Rows", synthetic: "Rows", share: float, seed: int = 0) -> list[dict]:
    """All real rows and synthetic ones drawn by `seed`, which make up at most `share`; shuffled.

    Each row says which it is in the column `synthetic`. Where there are fewer synthetic rows than
    the share allows, all of them. Raises UserError unless 0 ≤ share < 1.
    """
    real, made = data.as_rows(rows), data.as_rows(synthetic, "synthetic rows")
    if not is_number(share) or not 0 <= share < 1:
        raise UserError(f"share is {share!r}; give 0 ≤ share < 1, such as 0.5.")
    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 to {LAST_SEED:,}.")
    most = int(len(real) * share / (1 - share) + 1e-9)
    rng = random.Random(f"capped {seed}")
    taken = rng.sample(made, min(most, len(made)))
    mixed = [{**row, ORIGIN: False} for row in real] + [{**row, ORIGIN: True} for row in taken]
    rng.shuffle(mixed)
    return mixed
