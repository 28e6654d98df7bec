"""Rows that are nearly the same, by MinHash written out, and the groups that they make.

    signature(parts)          a text's parts, such as its pairs of words, as 128 small numbers
    chance(likeness)          how likely two rows of that likeness meet in a band
    minhash_pairs(rows)       pairs of rows that met, each one verified
    groups(rows)              rows that hang together by near copies: a `Groups` with a picture

MinHash misses a pair now and then and finds none that is wrong; `data.near_pairs` is exact, and
quicker up to some thousand rows. A full rewording is found by neither (`planting.py` measures it).
Notebook 05.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import data
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts
from ..show.svg import ACCENT, FAINT, GREY, PLAIN, Drawing, dot, drawing, line, words

if TYPE_CHECKING:
    from datasets import Dataset

    Rows = Dataset | Iterable[Mapping]

BANDS, DEPTH = 32, 4  # 128 numbers: bands of four, which have to be equal
SHOWN = 12  # groups in the picture, and in the table
DOTS = 40  # rows of a group that are drawn
SIDE, TOP, ROOM = 118, 62, 120  # of the picture: a group's width, the first row, a row's height


def signature(parts: Iterable[object], size: int = BANDS * DEPTH, seed: int = 0) -> np.ndarray:
    """The MinHash signature of a set: for each of `size` hash functions the least value of a part.

    Two sets agree at a place with a probability that is their Jaccard index (Broder 1997). The
    functions are (a·h + b) mod 2⁶⁴, the upper half, with h by BLAKE2b: equal on every machine.
    """
    draw = np.random.default_rng(seed)
    a, b = draw.integers(0, 2**63, (2, size), dtype=np.uint64)
    hashes = [hashlib.blake2b(repr(part).encode(), digest_size=8).digest() for part in set(parts)]
    h = np.frombuffer(b"".join(hashes), dtype="<u8")[:, None]
    if not len(h):
        return np.full(size, 2**32, dtype=np.uint64)
    return ((h * (2 * a + 1) + b) >> np.uint64(32)).min(axis=0)


def chance(likeness: float, bands: int = BANDS, depth: int = DEPTH) -> float:
    """1 − (1 − sᵈ)ᵇ: how likely rows of likeness s agree in all d places of one of b bands."""
    return 1 - (1 - likeness**depth) ** bands


def minhash_pairs(
    rows: Iterable,
    likeness: float = data.LIKENESS,
    *,
    bands: int = BANDS,
    depth: int = DEPTH,
    seed: int = 0,
) -> dict[tuple[int, int], float]:
    """{(place of a row, place of a later one): their likeness}: what `data.near_pairs` finds, but
    for a few that it misses.

    Rows that agree in a band are candidates, and each is verified by its exact likeness. Raises
    UserError unless 0 < likeness ≤ 1, and for bands or depth below 1.
    """
    for name, value in (("bands", bands), ("depth", depth)):
        if not is_whole(value) or not 1 <= value <= 1024:
            raise UserError(f"{name} is {value!r}; give a whole number from 1 to 1024.")
    data.near_pairs([], likeness)  # refuses what is no likeness
    known = [data.word_pairs(row) for row in rows]

    met, found = defaultdict(list), {}
    for place, pairs in enumerate(known):
        by_band = signature(pairs, bands * depth, seed).reshape(bands, depth)
        for band, values in enumerate(by_band):
            bucket = met[band, values.tobytes()]
            for earlier in bucket:
                if (earlier, place) not in found:
                    found[earlier, place] = jaccard(known[earlier], pairs)
            bucket.append(place)
    return {pair: alike for pair, alike in sorted(found.items()) if alike >= likeness}


def jaccard(one: frozenset, other: frozenset) -> float:
    """What two sets share of all that they hold together; 1 for two empty ones."""
    return len(one & other) / len(one | other) if one or other else 1.0


@dataclass(frozen=True, repr=False)
class Groups(Result):
    """Rows that hang together: each is nearly the same as another one of its group."""

    rows: int
    likeness: float
    groups: list[list[int]]  # places of rows, largest group first
    pairs: dict[tuple[int, int], float]
    texts: dict[int, str] = field(default_factory=dict)  # the begin of what those rows ask

    @property
    def spare(self) -> int:
        """Rows that could go if one of each group stayed."""
        return sum(len(group) - 1 for group in self.groups)

    def json(self) -> dict[str, Any]:
        """Every field; pairs as [place, place, likeness]."""
        pairs = [[*pair, alike] for pair, alike in self.pairs.items()]
        return {**asdict(self), "pairs": pairs, "spare": self.spare}

    def table(self) -> TableParts:
        """The largest groups, with the rows by number from 1."""
        title = f"{len(self.groups):,} groups of near copies among {self.rows:,} rows"
        rows = [
            (f"{len(group):,}", numbers(group), self.texts[group[0]])
            for group in self.groups[:SHOWN]
        ]
        return title, ("rows", "which", "the first asks"), rows

    def picture(self) -> Drawing:
        """The largest groups as a graph: a dot per row, a line per pair, thick where the same."""
        title = f"{self.spare:,} of {self.rows:,} rows say again what another one says"
        shown = self.groups[:SHOWN]
        parts = [self.draw(group, place) for place, group in enumerate(shown)]
        if not shown:
            parts.append(words(16, TOP, "no two rows are nearly the same", colour=GREY))
        text = f"{title}: {len(self.groups):,} groups, the largest of "
        text += f"{len(self.groups[0]) if self.groups else 0:,} rows"
        aside = f"lines: {self.likeness:.0%} alike or more; red: the same"
        height = TOP + ROOM * max(1, math.ceil(len(shown) / 6))
        return drawing(title, parts, text, aside, height)

    def draw(self, group: Sequence[int], number: int) -> str:
        """One group around its place in the picture, its first rows if it has many."""
        x, y = 60 + SIDE * (number % 6), TOP + 42 + ROOM * (number // 6)
        drawn = group[:DOTS]
        turn = 2 * math.pi / len(drawn)
        places = {
            row: (x + 36 * math.sin(turn * n), y - 36 * math.cos(turn * n))
            for n, row in enumerate(drawn)
        }
        parts = [
            line([places[one], places[other]], *(((ACCENT, 2.4)) if alike == 1 else (FAINT, 1.6)))
            for (one, other), alike in self.pairs.items()
            if one in places and other in places
        ]
        parts += [dot(*place, 4.5, PLAIN) for place in places.values()]
        return "".join(parts) + words(x, y + 58, numbers(group, 3), 10, GREY, "middle")


def numbers(places: Sequence[int], most: int = 5) -> str:
    """Rows by their number from 1, the first ones: "row 2, 8, 9, …"."""
    named = [str(place + 1) for place in places[:most]] + ["…"] * (len(places) > most)
    return f"row {', '.join(named)}"


def groups(
    rows: "Rows", likeness: float = data.LIKENESS, pairs: Mapping[tuple, float] | None = None
) -> Groups:
    """The groups that near copies make.

    Each row is joined to the first earlier one that it is nearly the same as (`data.near_copies`):
    those joined are the rows that would go. pairs: what a tool found instead, {(place, place):
    likeness}, such as all of `data.near_pairs`. Raises UserError for no rows and for a likeness
    that is none.
    """
    known = data.as_rows(rows)
    if pairs is None:
        earlier = data.near_copies(known, likeness=likeness)
        said = {place: data.word_pairs(known[place]) for pair in earlier.items() for place in pair}
        pairs = {(one, row): jaccard(said[one], said[row]) for row, one in earlier.items()}
    pairs = dict(sorted(pairs.items()))
    joined = join(len(known), pairs)
    several = sorted((group for group in joined if len(group) > 1), key=lambda g: (-len(g), g))
    texts = {row: first_words(known[row]) for group in several for row in group}
    return Groups(len(known), likeness, several, pairs, texts)


def join(size: int, pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """All places below `size`, in groups that pairs join; groups and places in order."""
    root = list(range(size))

    def top(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for one, other in pairs:
        low, high = sorted((top(one), top(other)))
        root[high] = low
    together = defaultdict(list)
    for place in range(size):
        together[top(place)].append(place)
    return list(together.values())


def pairs_of_equal(keys: Iterable[object]) -> set[tuple[int, int]]:
    """All pairs of places that have an equal key; None is no key."""
    places = defaultdict(list)
    for place, key in enumerate(keys):
        if key is not None:
            places[key].append(place)
    return {pair for same in places.values() for pair in combinations(same, 2)}


def question(row: Mapping) -> str:
    """What a row asks: its messages before the answer, but for the system's, as one text."""
    said = [m["content"] or "" for m in row["messages"][:-1] if m["role"] != "system"]
    return "\n".join(said)


def answer(row: Mapping) -> str:
    """What a row's last message says."""
    return row["messages"][-1]["content"] or ""


def first_words(row: Mapping, most: int = 60) -> str:
    """The begin of a row's question, on one line."""
    text = " ".join(question(row).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"
