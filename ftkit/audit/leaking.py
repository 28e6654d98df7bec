"""What two sets share that they should not: rows, questions, names; and what pretraining has read.

    leaks(rows, others)        rows of the first that the second gives away: `Leaks`
    contamination(rows)        n-grams of the rows in the pocket model's own training text
    entities(text)             the names and numbers in a text, by a rule for any language
    shared_entities(rows, …)   those that both sets hold, by place

A name is two capitalised words in a row, a number has four digits or letters beside them. A script
without capitals has no such names: give a `key` of your own. How to split so that nothing leaks is
in `splitting.py`. Notebook 05.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from .. import data
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts
from ..core.session import LAST_SEED
from ..core.statistics import Rate
from ..show.shares import share_bars
from ..show.svg import Drawing
from ..world import World, corpus, is_held_out
from .likeness import answer, numbers, question

if TYPE_CHECKING:
    from .likeness import Rows

Key = Callable[[Mapping], object]
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*(?![\w-]*\d)|[\w-]*\d[\w-]*|\S|\n")
NUMBER = re.compile(r"(?<![\w.,])(?=[\w-]*\d)[\w-]*\w(?!\w)")
DIGITS = 4  # of a number that stands for one thing: an order, not a count
GRAM = 8  # words of an n-gram; a shorter text is one by itself, from LEAST words on
LEAST = 4
DOCUMENTS = 2000  # of the training text
NAMED = 3  # places that a table names


def entities(text: str, common: Iterable[str] = ()) -> frozenset[str]:
    """The names and numbers in a text: runs of two capitalised words or more, and identifiers.

    An identifier has `DIGITS` digits or more, or digits and letters. common: words in lower case
    that begin or end no name, such as those that the same rows also write small.
    """
    names, run = set(), []
    for word in [*WORD.findall(text), "."]:
        if word[0].isupper() and (len(word) == 1 or not word.isupper()):
            run.append(word)
            continue
        names.add(name_of(run, common))
        run = []
    ids = {found for found in NUMBER.findall(text) if is_identifier(found)}
    return frozenset((names | ids) - {""})


def name_of(run: Sequence[str], common: Iterable[str]) -> str:
    """The name that a run of capitalised words is, "" for none."""
    begin, end = 0, len(run)
    while begin < end and run[begin].lower() in common:
        begin += 1
    while end > begin and run[end - 1].lower() in common:
        end -= 1
    return " ".join(run[begin:end]) if end - begin > 1 else ""


def is_identifier(text: str) -> bool:
    """Whether a text with a digit stands for one thing: 8217 and A-17, but not 12 or 3rd."""
    digits = sum(sign.isdigit() for sign in text)
    letters = sum(sign.isalpha() for sign in text)
    return digits >= DIGITS or (digits > 1 and letters > 0 and not text[-2:].isalpha())


def small_words(rows: Sequence[Mapping]) -> frozenset[str]:
    """The words that rows write small somewhere: no names, where a sentence begins with them."""
    texts = (m["content"] or "" for row in rows for m in row["messages"])
    return frozenset(word for text in texts for word in WORD.findall(text) if word.islower())


def entities_of(rows: Sequence[Mapping], key: Key | None = None) -> list[frozenset]:
    """The names and numbers of each row, or what `key` gives for it: one thing, or several."""
    if key is None:
        common = small_words(rows)
        return [entities(f"{question(row)}\n{answer(row)}", common) for row in rows]
    found = []
    for number, row in enumerate(rows, 1):
        value = read_key(key, row, number)
        several = isinstance(value, list | tuple | set | frozenset)
        found.append(frozenset(value if several else () if value is None else (value,)))
    return found


def read_key(key: Key, row: Mapping, number: int) -> Any:
    """What a key of the user's own says of a row; its error becomes a sentence."""
    try:
        value = key(row)
        hash(value if not isinstance(value, list | set) else tuple(value))
        return value
    except Exception as error:
        raise UserError(
            f"key fails for row {number} ({type(error).__name__}: {error}); give a function of a "
            "row that returns a text, a number, a list of them, or None."
        ) from error


def shared_entities(
    rows: "Rows", others: "Rows", key: Key | None = None
) -> dict[object, list[int]]:
    """{a name or number that both sets hold: the places of `rows` that hold it}."""
    ours, theirs = data.as_rows(rows), data.as_rows(others, "others")
    found = entities_of([*ours, *theirs], key)
    known = frozenset().union(*found[len(ours) :])
    places: dict[object, list[int]] = {}
    for place, held in enumerate(found[: len(ours)]):
        for entity in sorted(held & known, key=str):
            places.setdefault(entity, []).append(place)
    return places


@dataclass(frozen=True, repr=False)
class Leaks(Result):
    """What of some rows stands in others too; every list has places of the rows, from 0."""

    rows: int
    others: int
    likeness: float
    exact: list[int]  # the same row
    asked: list[int]  # the same question, with whatever answer
    near: list[int]  # nearly the same, beside the exact ones
    entities: dict[str, list[int]]  # a name or number that both hold: the rows that hold it

    @property
    def by_entity(self) -> list[int]:
        """Rows with a name or a number that the others have too."""
        return sorted({place for places in self.entities.values() for place in places})

    @property
    def any(self) -> list[int]:
        """Rows that leak in one way or another."""
        return sorted({*self.exact, *self.asked, *self.near, *self.by_entity})

    def kinds(self) -> dict[str, list[int]]:
        """What was looked for, in words, and the rows."""
        return {
            "the same row": self.exact,
            "the same question": self.asked,
            f"nearly the same ({self.likeness:.0%})": self.near,
            "a shared name or number": self.by_entity,
        }

    def json(self) -> dict[str, Any]:
        """Every field, and the places by entity."""
        return {**asdict(self), "by_entity": self.by_entity}

    def table(self) -> TableParts:
        """How many rows, which share with its interval, and the first places."""
        title = (
            f"{len(self.any):,} of {self.rows:,} rows have something of the other {self.others:,}"
        )
        lines = [
            (
                name,
                f"{len(places):,}",
                exactly(Rate(len(places), self.rows)),
                numbers(places, NAMED) if places else "",
            )
            for name, places in self.kinds().items()
        ]
        shared = sorted(self.entities, key=lambda name: (-len(self.entities[name]), name))
        if shared:
            lines.append(("names and numbers", f"{len(shared):,}", "", ", ".join(shared[:NAMED])))
        return title, ("what both have", "rows", "share [95 %]", "which"), lines

    def picture(self) -> Drawing:
        """The share of rows that leak, by how it was looked for."""
        kinds = {name: len(places) / self.rows for name, places in self.kinds().items()}
        title = f"{len(self.any) / self.rows:.0%} of the rows share something with the other set"
        return share_bars(title, kinds)


def exactly(rate: Rate) -> str:
    """A rate that is counted, and no other on another machine, with its interval."""
    low, high = (100 * end for end in rate.interval)
    return f"{100 * rate.value:.1f} % [{low:.1f}, {high:.1f}]"


def leaks(
    rows: "Rows", others: "Rows", *, likeness: float = data.LIKENESS, key: Key | None = None
) -> Leaks:
    """What of `rows`, such as a test set, stands in `others`, such as the training rows.

    key: a function of a row that names what it is about, where `entities` would not see it. Raises
    UserError for a set without rows, a likeness that is none, and a key that fails.
    """
    ours, theirs = data.as_rows(rows), data.as_rows(others, "others")
    exact = data.copies(ours, theirs)
    asked = pairs_asked(ours, theirs)
    near = data.near_copies(ours, theirs, likeness).keys() - exact.keys()
    shared = shared_entities(ours, theirs, key)
    named = {str(name): places for name, places in shared.items()}
    sizes = (len(ours), len(theirs), likeness)
    return Leaks(*sizes, sorted(exact), asked, sorted(near), named)


def pairs_asked(ours: Sequence[Mapping], theirs: Sequence[Mapping]) -> list[int]:
    """The places of rows whose question is asked in the others too, whatever the answer."""
    known = {data.row_hash(row["messages"][:-1]) for row in theirs if len(row["messages"]) > 1}
    return [place for place, row in enumerate(ours) if data.row_hash(row["messages"][:-1]) in known]


@dataclass(frozen=True, repr=False)
class Contamination(Result):
    """What of some rows the pocket model's own training text holds."""

    rows: int
    documents: int
    gram: int
    whole: list[int]  # rows of which every n-gram stands in the text
    partly: list[int]  # rows of which one does, beside those
    names: int  # names of people in the rows
    trained: dict[str, list[int]]  # names on the side that training draws from: their rows

    def json(self) -> dict[str, Any]:
        """Every field."""
        return asdict(self)

    def table(self) -> TableParts:
        """How many rows, and the names that pretraining may have met."""
        title = f"{self.rows:,} rows against {self.documents:,} documents of the pretraining text"
        lines = [
            (f"all {self.gram}-grams are there", f"{len(self.whole):,}", named(self.whole)),
            (f"one {self.gram}-gram is there", f"{len(self.partly):,}", named(self.partly)),
            (
                "names that training may draw",
                f"{len(self.trained):,} of {self.names:,}",
                ", ".join([*self.trained][:NAMED]),
            ),
        ]
        return title, ("what", "rows", "which"), lines


def named(places: Sequence[int]) -> str:
    """The first places as rows by number; "" for none."""
    return numbers(places, NAMED) if places else ""


def contamination(
    rows: "Rows",
    world: World | None = None,
    *,
    documents: int = DOCUMENTS,
    gram: int = GRAM,
    seed: int = 0,
) -> Contamination:
    """What of the rows stands in the pretraining text of the micro-world, word for word.

    An n-gram is `gram` words of a question and its answer; of the text the first `documents` are
    read from batch number `seed` on. Names of people are told where they are none of the eighth
    that pretraining holds out, so that it may have drawn them. Raises UserError for counts below 1.
    """
    for name, value, most in (("documents", documents, 10**6), ("gram", gram, 50)):
        if not is_whole(value) or not 1 <= value <= most:
            raise UserError(f"{name} is {value!r}; give a whole number from 1 to {most:,}.")
    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 to {LAST_SEED:,}.")
    known = data.as_rows(rows)
    lists = [read_words(f"{question(row)}\n{answer(row)}") for row in known]

    # rows that are shorter than an n-gram are held against n-grams of their own length
    wanted = [grams(each, min(gram, max(LEAST, len(each)))) for each in lists]
    sizes = {len(next(iter(each))) for each in wanted if each}
    read = read_grams(world or World(), documents, seed, tuple(sorted(sizes)))
    share = [len(each & read) / len(each) if each else 0.0 for each in wanted]
    whole = [place for place, s in enumerate(share) if s == 1]
    partly = [place for place, s in enumerate(share) if 0 < s < 1]

    # names of two words are people's
    people: dict[str, list[int]] = {}
    for place, held in enumerate(entities_of(known)):
        for name in sorted(held):
            if name.count(" ") == 1 and not any(map(str.isdigit, name)):
                people.setdefault(name, []).append(place)
    trained = {name: places for name, places in people.items() if not is_held_out(name)}
    return Contamination(len(known), documents, gram, whole, partly, len(people), trained)


def read_words(text: str) -> list[str]:
    """The words and numbers of a text in lower case, without signs."""
    return re.findall(r"\w+", text.lower())


def grams(said: Sequence[str], size: int) -> frozenset[tuple]:
    """All runs of `size` words; none of a text that is shorter."""
    return frozenset(tuple(said[i : i + size]) for i in range(len(said) - size + 1))


@lru_cache(maxsize=4)
def read_grams(world: World, documents: int, seed: int, sizes: tuple[int, ...]) -> frozenset:
    """The n-grams of the training text's first documents, of all these sizes."""
    found: set[tuple] = set()
    for document in islice(corpus.documents(world, seed, corpus.BROAD), documents):
        said = read_words(" ".join(text for text, role in document))
        found.update(gram for size in sizes for gram in grams(said, size))
    return frozenset(found)
