"""Which copies does a tool find? Copies of six kinds are planted, and every tool looks for them.

    plant(rows, each)        the rows with copies of each kind put in: `Planted`
    detection(planted)       what every tool finds of them: `Detection`, with a picture
    TOOLS                    exact text to names and numbers: what `detection` tries
    reword(text, share, rng) a ticket of the micro-world in other words

The first four kinds can be planted into any rows, rewordings only into tickets, whose wordings the
world knows. The tools lie in `likeness.py`, `leaking.py` and `data`. Notebook 05.
"""

import math
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from .. import data
from ..core.errors import UserError, is_whole, nearest
from ..core.results import Result, TableParts
from ..core.session import LAST_SEED
from ..show.svg import GREY, INK, PLAIN, Drawing, box, drawing, mix, words
from ..world import lexicon
from .leaking import entities
from .likeness import first_words, minhash_pairs, pairs_of_equal, question

if TYPE_CHECKING:
    from .likeness import Rows

KINDS = ("exact", "case", "filler added", "shuffled", "half reworded", "all reworded")
HALF = 0.5  # likeness of pairs of words at which the tools look; 0.8 is what `check` looks for
SENTENCE = re.compile(r"(?<=[.!?。！？])\s+")
LEFT, TOP, CELL, ROW = 250, 74, 74, 30  # the picture's first cell, and the size of one


@dataclass(frozen=True)
class Planted:
    """Rows with copies in them, and which row is a copy of which."""

    rows: list[dict]
    copies: dict[tuple[int, int], str]  # (place of a row, place of its copy): kind


def plant(rows: "Rows", each: int = 40, kinds: Sequence[str] = KINDS, seed: int = 0) -> Planted:
    """The rows with `each` copies of every kind behind them, each of another row.

    Raises UserError for a kind that is none, for fewer rows than copies, and for a rewording of
    rows that are no tickets.
    """
    # what was asked for can be done
    known = data.as_rows(rows)
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"there is no kind {kind!r} of copies.{nearest(kind, KINDS)}")
    if not is_whole(each) or not 1 <= each <= len(known) // max(1, len(kinds)):
        raise UserError(
            f"each is {each!r}; give a whole number from 1 to {len(known) // max(1, len(kinds))}, "
            f"because {len(known)} rows have to suffice for {len(kinds)} kinds."
        )
    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 to {LAST_SEED:,}.")

    # each kind takes rows of its own
    rng = random.Random(f"planted {seed}")
    chosen = rng.sample(range(len(known)), each * len(kinds))
    planted, copies = list(known), {}
    for number, place in enumerate(chosen):
        kind = kinds[number // each]
        copies[place, len(planted)] = kind
        planted.append(copy_of(known[place], kind, rng))
    return Planted(planted, copies)


def copy_of(row: Mapping, kind: str, rng: random.Random) -> dict:
    """The row with its last question in the words of a kind of copy."""
    *before, last, said = row["messages"]
    text, ask = cut_ask(last["content"])
    head, _, body = text.rpartition("Ticket: ")
    sentences = SENTENCE.split(body)
    if kind == "case":
        body, ask = body.upper(), ask.upper()
    elif kind == "filler added":
        new = [filler for filler in lexicon.FILLERS if filler not in body]
        sentences.insert(rng.randint(0, len(sentences)), rng.choice(new or lexicon.FILLERS))
        body = " ".join(sentences)
    elif kind == "shuffled":
        rng.shuffle(sentences)
        body = " ".join(sentences)
    elif kind.endswith("reworded"):
        body = reword(body, 0.5 if kind == "half reworded" else 1, rng)
    named = f"{head}Ticket: " if "Ticket: " in text else ""
    return {**row, "messages": [*before, {**last, "content": named + body + ask}, said]}


def cut_ask(text: str) -> tuple[str, str]:
    """A question in two: the text, and the last line that says what to do with it."""
    body, line_end, ask = text.rpartition("\n")
    return (body, line_end + ask) if line_end else (text, "")


@cache
def forms() -> dict[str, list[re.Pattern]]:
    """The sentence forms of tickets as patterns, in the order of the lexicon."""
    holes = {"name": r"\w+ \w+", "city": r"\w+", "order": r"\d+"}
    holes |= {"item": "|".join(lexicon.ITEMS), "issue": "|".join(lexicon.ISSUES)}
    patterns: dict[str, list[re.Pattern]] = {}
    for field, texts in lexicon.TICKET.items():
        patterns[field] = []
        for text in texts:
            escaped = re.escape(text)
            for hole, words_of in holes.items():
                escaped = escaped.replace(rf"\{{{hole}\}}", f"(?P<{hole}>{words_of})")
            patterns[field].append(re.compile(escaped))
    return patterns


def reword(text: str, share: float, rng: random.Random) -> str:
    """A ticket of the micro-world with `share` of its fields' sentences in other words.

    With a share of 1 all else is another sentence too: what says whether it is urgent, and what
    says nothing. Raises UserError for a text that is no ticket.
    """
    # a field's sentence says a value; the pattern that fits it is known
    parts = split_ticket(text)
    fields = [place for place, (_, field, _) in enumerate(parts) if field in lexicon.TICKET]
    if len(fields) < len(lexicon.TICKET):
        raise UserError(
            f"{text[:60]!r} is no ticket of the kit, so it can't be put in other words; "
            f"plant other kinds: kinds={KINDS[:4]}."
        )
    changed = rng.sample(fields, math.ceil(share * len(fields)))

    # then the others, where all is to change
    sentences = []
    for place, (sentence, field, values) in enumerate(parts):
        if place in changed:
            sentence = say_otherwise(sentence, field, values, rng)
        elif share == 1:
            kin = next((k for k in (lexicon.URGENT, lexicon.CALM) if sentence in k), None)
            others = [s for s in kin or lexicon.FILLERS if s not in text]
            sentence = rng.choice(others)
        sentences.append(sentence)
    if share == 1:
        rng.shuffle(sentences)
    return " ".join(sentences)


def say_otherwise(sentence: str, field: str, values: Mapping, rng: random.Random) -> str:
    """A field's sentence in another form."""
    new = [form.format(**values) for form in lexicon.TICKET[field]]
    return rng.choice([form for form in new if form != sentence])


def split_ticket(text: str) -> list[tuple[str, str, dict]]:
    """A ticket's sentences, each with the field that it states ("" for none) and its values."""
    rest, found = text.strip(), []
    fixed = [*lexicon.URGENT, *lexicon.CALM, *lexicon.FILLERS]
    while rest:
        said = next((s for s in fixed if rest.startswith(s)), None)
        part = (said, "", {}) if said else read_field(rest)
        if part is None:
            part = (SENTENCE.split(rest, maxsplit=1)[0], "", {})
        found.append(part)
        rest = rest[len(part[0]) :].lstrip()
    return found


def read_field(text: str) -> tuple[str, str, dict] | None:
    """The field's sentence that a text begins with: the longest that fits."""
    fits = [
        (match[0], field, match.groupdict())
        for field, patterns in forms().items()
        for pattern in patterns
        if (match := pattern.match(text)) and text[match.end() :][:1] in ("", " ")
    ]
    return max(fits, key=lambda fit: len(fit[0]), default=None)


def plain_words(row: Mapping) -> tuple[str, ...]:
    """The words of a row's question in lower case, without signs."""
    return tuple(re.findall(r"\w+", question(row).lower()))


def sentence_set(row: Mapping) -> frozenset[str]:
    """The sentences of a row's question as a set, in lower case."""
    text, ask = cut_ask(question(row))
    sentences = SENTENCE.split(text.lower().rpartition("ticket: ")[2])
    return frozenset([*sentences, ask.lower()])


def who_and_what(row: Mapping) -> frozenset[str] | None:
    """The names and numbers that a row's question holds; None where it holds fewer than two."""
    found = entities(question(row))
    return found if len(found) > 1 else None


def asked(rows: Sequence[Mapping]) -> list[Sequence[Mapping]]:
    """What the rows ask, without the answers: a copy in other words may well keep its answer."""
    return [row["messages"][:-1] for row in rows]


Found = Iterable[tuple[int, int]]
TOOLS: dict[str, Callable[[Sequence[Mapping]], Found]] = {
    "the same text": lambda rows: pairs_of_equal(map(data.row_hash, asked(rows))),
    "lower case, words only": lambda rows: pairs_of_equal(map(plain_words, rows)),
    "set of sentences": lambda rows: pairs_of_equal(map(sentence_set, rows)),
    "Jaccard of word pairs ≥ 0.8": lambda rows: data.near_pairs(asked(rows), data.LIKENESS),
    "Jaccard of word pairs ≥ 0.5": lambda rows: data.near_pairs(asked(rows), HALF),
    "MinHash, verified ≥ 0.5": lambda rows: minhash_pairs(asked(rows), HALF),
    "the same names and numbers": lambda rows: pairs_of_equal(map(who_and_what, rows)),
}


@dataclass(frozen=True, repr=False)
class Detection(Result):
    """What each tool found of the planted copies, and what it found that is none."""

    each: dict[str, int]  # planted copies of each kind
    found: dict[str, dict[str, int]]  # by tool: of each kind
    wrong: dict[str, int]  # by tool: pairs that are no copies
    examples: dict[str, str]  # of each kind, the begin of a copy

    def recall(self, tool: str, kind: str | None = None) -> float:
        """The share of the planted copies, of one kind or of all, that a tool finds."""
        kinds = self.each if kind is None else [kind]
        return sum(self.found[tool][k] for k in kinds) / sum(self.each[k] for k in kinds)

    def precision(self, tool: str) -> float:
        """The share of what a tool finds that is a planted copy; NaN where it finds nothing."""
        right = sum(self.found[tool].values())
        return right / (right + self.wrong[tool]) if right + self.wrong[tool] else math.nan

    @property
    def hardest(self) -> tuple[str, list[str]]:
        """The kind that the fewest tools find, and the tools that find more than half of it."""
        finders = {k: [t for t in self.found if self.recall(t, k) > 0.5] for k in self.each}
        kind = min(finders, key=lambda kind: len(finders[kind]))
        return kind, finders[kind]

    def json(self) -> dict[str, Any]:
        """Every field, and precision and recall by tool."""
        rates = {t: {"precision": self.precision(t), "recall": self.recall(t)} for t in self.found}
        return {**asdict(self), "rates": rates}

    def table(self) -> TableParts:
        """A row for each tool: precision, recall, and recall by kind."""
        title = f"Of {sum(self.each.values()):,} planted copies, found by"
        heads = ("tool", "precision", "recall", *self.each)
        rows = [
            (
                t,
                self.exact(t),
                f"{self.recall(t):.0%}",
                *(f"{self.recall(t, k):.0%}" for k in self.each),
            )
            for t in self.found
        ]
        return title, heads, rows

    def exact(self, tool: str) -> str:
        """The precision in words."""
        share = self.precision(tool)
        return "nothing found" if math.isnan(share) else f"{share:.0%}"

    def picture(self) -> Drawing:
        """The share found, by tool and kind: the darker, the more."""
        kind, finders = self.hardest
        find = "finds" if len(finders) == 1 else "find"
        title = f"{len(finders)} of {len(self.found)} tools {find} most of the copies '{kind}'"
        parts = []
        for column, kind in enumerate(self.each):
            parts.append(words(LEFT + CELL * (column + 0.5), TOP - 10, kind, 10, GREY, "middle"))
        for row, tool in enumerate(self.found):
            y = TOP + ROW * row
            parts.append(words(LEFT - 10, y + 19, tool, 11, INK, "end"))
            for column, kind in enumerate(self.each):
                share = self.recall(tool, kind)
                x = LEFT + CELL * column
                parts.append(
                    box(x, y, CELL - 3, ROW - 3, mix("#ffffff", PLAIN, share), (GREY, 0.5))
                )
                ink = "white" if share > 0.5 else INK
                parts.append(words(x + CELL / 2 - 1, y + 18, f"{share:.0%}", 11, ink, "middle"))
        seen = "; ".join(f"{t}: {self.recall(t):.0%} of all" for t in self.found)
        return drawing(title, parts, f"{title}. {seen}", "", TOP + ROW * len(self.found) + 12)


def detection(planted: Planted, tools: Mapping[str, Callable] | None = None) -> Detection:
    """What each tool finds of planted copies.

    tools: {name: function of the rows that gives pairs of places, the earlier one first}, by
    default `TOOLS`. Copies that the rows had before anything was planted count as found wrongly.
    """
    tools = TOOLS if tools is None else tools
    kinds = dict.fromkeys(planted.copies.values())
    each = {kind: list(planted.copies.values()).count(kind) for kind in kinds}
    found, wrong = {}, {}
    for name, tool in tools.items():
        pairs = {tuple(sorted(pair)) for pair in tool(planted.rows)}
        right = [kind for pair, kind in planted.copies.items() if pair in pairs]
        found[name] = {kind: right.count(kind) for kind in each}
        wrong[name] = len(pairs) - len(right)
    places = {kind: place for (_, place), kind in reversed(planted.copies.items())}
    examples = {kind: first_words(planted.rows[places[kind]], 160) for kind in each}
    return Detection(each, found, wrong, examples)
