"""Rows that stand there twice, or nearly so: in one set, or in what is trained on and what judges.

    row_hash(row)                 what a row says, white space apart, as a short text
    copies(rows, others)          rows that say the same
    near_copies(rows, others)     rows that share most of their pairs of words
    near_pairs(rows, likeness)    all pairs of rows that do, each with its likeness

A full rewording is found by neither: it shares almost no pair of words. Which rows were trained on
is recorded by `train`; `checking.py` reports what is found here, `evaluate` leaves it out.
"""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..core.errors import UserError, is_number
from .messages import THOUGHTS
from .template import read_arguments, with_arguments

LIKENESS = 0.8  # of two rows' pairs of words, the share that makes them near copies
SKETCH = 1024  # bits
ROUNDING = 1e-9
HASHED = ("role", "content", "name", "tool_calls")  # of a message; its weight is no content
# a word; where scripts put no blanks between words, a character; any other sign for itself
UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")


def row_hash(row: object) -> str:
    """32 hex digits that two rows share if they say the same, white space apart.

    row: a row with `messages`, or the messages alone. Role, content, name, tool calls and thoughts
    count; tools, weights, the ids of calls, and the columns beside them do not. Equal on every
    machine (BLAKE2b).
    """
    said = [said_in(message) for message in chat_of(row)]
    text = json.dumps(said, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def said_in(message: Mapping) -> list:
    """What a message says, whatever form its tool calls and its thoughts have."""
    if message.get("tool_calls"):
        message = with_arguments(dict(message), read_arguments)
        calls = [{k: v for k, v in call.items() if k != "id"} for call in message["tool_calls"]]
        message = {**message, "tool_calls": calls}
    thoughts = [plain(message[key]) for key in THOUGHTS if message.get(key)]
    return [*(plain(message.get(key)) for key in HASHED), *thoughts]


def calls_in(message: Mapping) -> list[str]:
    """The tool calls of a message in words: f({"a": 1})."""
    calls = with_arguments(dict(message), read_arguments).get("tool_calls") or []
    functions = [call.get("function", call) for call in calls]
    return [
        f"{each.get('name')}({json.dumps(each.get('arguments'), ensure_ascii=False)})"
        for each in functions
    ]


def plain(value: object) -> object:
    """A text with single blanks for all white space, and anything else as it is."""
    return (" ".join(value.split()) if isinstance(value, str) else value) or None


def chat_of(row: object) -> Sequence[Mapping]:
    """The messages of a row, which may be given alone; of a pair with its chosen answer."""
    chat = row
    if isinstance(row, Mapping):
        pair = "messages" not in row and "chosen" in row
        chat = [*row["prompt"], *row["chosen"]] if pair else row["messages"]
    if not isinstance(chat, Sequence):
        raise UserError(f"a row is {chat!r}; give a row with messages, or its messages.")
    return chat


def copies(rows: Iterable, others: Iterable | None = None) -> dict[int, int]:
    """{place of a row: place of the first of `others` that says the same (see `row_hash`)}.

    Without others, of the first earlier row: the first of several copies is none itself.
    """
    earlier: dict[str, int] = {}
    for place, row in enumerate(others or ()):
        earlier.setdefault(row_hash(row), place)

    found = {}
    for place, row in enumerate(rows):
        said = row_hash(row)
        if said in earlier:
            found[place] = earlier[said]
        elif others is None:
            earlier[said] = place
    return found


def near_copies(
    rows: Iterable, others: Iterable | None = None, likeness: float = LIKENESS
) -> dict[int, int]:
    """{place of a row: place of one of `others` that is nearly the same}, copies among them.

    Nearly: the two share `likeness` or more of all their pairs of neighbouring words (their
    Jaccard index), case and system turns apart. Without others, of an earlier row. The answer is
    exact, no estimate: only rows that share one of their rarest pairs are compared (the prefix
    filter of Bayardo et al. 2007, section 3). Raises UserError unless 0 < likeness ≤ 1.
    """
    check_likeness(likeness)

    # the rarest pairs of every row come first in its prefix
    asked = [word_pairs(row) for row in rows]
    known = asked if others is None else [word_pairs(row) for row in others]
    counts = Counter(pair for pairs in known for pair in pairs)
    met = Met(likeness, counts)

    # others are all there before; among themselves, rows meet those before them
    if others is not None:
        for place, pairs in enumerate(known):
            met.add(pairs, place)
    found = {}
    for place, pairs in enumerate(asked):
        match = met.find(pairs)
        if match is not None:
            found[place] = match
        if others is None and (match is None or known[match] != pairs):
            met.add(pairs, place)
    return found


def check_likeness(likeness: object) -> None:
    """Refuse what is no share of pairs of words."""
    if not is_number(likeness) or not 0 < likeness <= 1:
        raise UserError(f"likeness is {likeness!r}; give a share above 0 and up to 1, such as 0.8.")


def near_pairs(rows: Iterable, likeness: float = LIKENESS) -> dict[tuple[int, int], float]:
    """{(place of a row, place of a later one): their likeness} of all pairs that are nearly alike.

    The likeness is that of `near_copies`, exactly; a set in which each row is like every other has
    n(n − 1)/2 of them. Raises UserError unless 0 < likeness ≤ 1.
    """
    check_likeness(likeness)
    known = [word_pairs(row) for row in rows]
    met = Met(likeness, Counter(pair for pairs in known for pair in pairs))
    found = {}
    for place, pairs in enumerate(known):
        # a row may stand under several of the pairs that are looked for
        alike = dict(met.find_all(pairs))
        found |= {(earlier, place): alike[earlier] for earlier in sorted(alike)}
        met.add(pairs, place)
    return found


def word_pairs(row: object) -> frozenset[tuple]:
    """The pairs of neighbouring words of a chat without its system turns."""
    chat = [message for message in chat_of(row) if message.get("role") != "system"]
    texts = [text for each in chat for text in (each.get("content") or "", *calls_in(each))]
    words = WORD.findall(" ".join(texts).lower())
    # a single word is its own pair
    return frozenset(zip(words, words[1:] or words, strict=False))


class Met:
    """The rows met so far, to be found again by their rarest pairs of words."""

    def __init__(self, likeness: float, counts: Mapping[tuple, int]) -> None:
        self.likeness = likeness
        self.counts = counts
        self.most_apart = (1 - likeness) / (1 + likeness)  # pairs of one row alone, of both's sum
        self.under: dict[tuple, list[tuple]] = {}  # pair: (place, pairs, sketch) of rows

    def rarest(self, pairs: frozenset[tuple]) -> list[tuple]:
        """So many of the rarest pairs that any near copy has one of them.

        Of n pairs, a near copy has ⌈likeness · n⌉ or more; so it has one of any n − that + 1.
        """
        taken = len(pairs) - math.ceil(self.likeness * len(pairs) - ROUNDING) + 1
        return sorted(pairs, key=lambda pair: (self.counts.get(pair, 0), pair))[:taken]

    def add(self, pairs: frozenset[tuple], place: int) -> None:
        """Note the row at `place` under its rarest pairs."""
        row = (place, pairs, sketch(pairs))
        for pair in self.rarest(pairs):
            self.under.setdefault(pair, []).append(row)

    def find(self, pairs: frozenset[tuple]) -> int | None:
        """The place of a row that is like enough, or None."""
        return next((place for place, _ in self.find_all(pairs)), None)

    def find_all(self, pairs: frozenset[tuple]) -> Iterator[tuple[int, float]]:
        """(place, likeness) of the rows that are like enough, some of them more than once."""
        ours = sketch(pairs)
        for pair in self.rarest(pairs):
            for place, theirs, other in self.under.get(pair, ()):
                # bits that differ are pairs of one row alone: most are passed over by counting
                most = self.most_apart * (len(pairs) + len(theirs)) + ROUNDING
                if (ours ^ other).bit_count() <= most:
                    both = len(pairs & theirs)
                    either = len(pairs) + len(theirs) - both
                    if both >= self.likeness * either - ROUNDING:
                        yield place, both / either


def sketch(pairs: frozenset[tuple]) -> int:
    """The pairs as bits of one number; it only speeds up, so Python's own hashes will do."""
    bits = 0
    for pair in pairs:
        bits |= 1 << (hash(pair) % SKETCH)
    return bits
