"""How often is each class there, and is the rare one learned? Accuracy alone does not tell.

    balance(rows, label)            rows by class, and what always saying the usual one would score
    by_class(golds, replies, label) recall and precision of every class: `PerClass`
    oversample(rows, label, value)  the rows of a class repeated, up to a share
    label_of(answer, label)         the class of an answer

A label is the whole answer, a field of answers in JSON, a column of the rows, or a function of the
answer's text. Whether a difference between two models says anything is `evaluate`'s. Notebook 05.
"""

import json
import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .. import data
from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.parsing import JsonReader, shown
from ..core.results import Result, TableParts, percent
from ..core.session import LAST_SEED
from ..core.statistics import Rate
from ..show.shares import share_bars
from ..show.svg import Drawing
from .likeness import answer

if TYPE_CHECKING:
    from datasets import Dataset

    from .likeness import Rows

Label = str | Callable[[str], object] | None
WITHOUT = "(none)"  # the class of an answer that has no such field, or is none that was asked for
SHOWN = 20  # classes in the table and in the picture
LONGEST = 40  # characters of a class that are shown


def label_of(text: str, label: Label = None) -> str:
    """The class of an answer, as a text; `WITHOUT` where it has no such field.

    Raises UserError where a function of the user's own fails.
    """
    if label is None:
        return " ".join(text.split())
    if callable(label):
        try:
            value = label(text)
        except Exception as error:
            raise UserError(
                f"label fails for the answer {shown(text)} ({type(error).__name__}: {error}); give "
                "a function of an answer's text that returns its class."
            ) from error
        return WITHOUT if value is None else in_words(value)
    value, fault = JsonReader().read(text)
    if fault or not isinstance(value, Mapping) or value.get(label) is None:
        return WITHOUT
    return in_words(value[label])


def in_words(value: object) -> str:
    """A class as JSON writes it, a text without its quotes: true, 5, late."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def labels_of(rows: Sequence[Mapping], label: Label = None) -> list[str]:
    """The class of each row; raises UserError for a field or column that no row has."""
    if label is not None and not isinstance(label, str) and not callable(label):
        raise UserError(
            f"label is {shown(label)}; give a field of the answers, a column, or a function of an "
            "answer's text."
        )
    if isinstance(label, str) and any(row.get(label) is not None for row in rows):
        values = (row.get(label) for row in rows)
        return [WITHOUT if value is None else in_words(value) for value in values]
    found = [label_of(answer(row), label) for row in rows]
    if isinstance(label, str) and set(found) == {WITHOUT}:
        fields = known_fields(rows)
        there = f"there are {', '.join(fields)}" if fields else "no answer is a JSON object"
        raise UserError(
            f"no answer has a field {label!r}, and no row such a column; {there}."
            f"{nearest(label, fields)}"
        )
    return found


def known_fields(rows: Sequence[Mapping]) -> list[str]:
    """The fields of answers that are JSON objects, in the order in which they come."""
    values = (JsonReader().read(answer(row))[0] for row in rows)
    return list(dict.fromkeys(key for v in values if isinstance(v, Mapping) for key in v))


@dataclass(frozen=True, repr=False)
class Balance(Result):
    """How many rows each class has, the most common first."""

    label: str
    counts: dict[str, int]

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(self.counts.values())

    @property
    def usual(self) -> str:
        """The most common class."""
        return next(iter(self.counts))

    @property
    def rarest(self) -> str:
        """The least common class."""
        return list(self.counts)[-1]

    @property
    def baseline(self) -> float:
        """The accuracy of always saying the most common class."""
        return self.counts[self.usual] / self.rows

    def json(self) -> dict[str, Any]:
        """Every field and the baseline."""
        return {**asdict(self), "rows": self.rows, "baseline": self.baseline}

    def table(self) -> TableParts:
        """Rows and share of each class."""
        title = f"{len(self.counts):,} classes of {self.label} in {self.rows:,} rows; "
        title += f"always {short(self.usual)!r} would be right in {self.baseline:.1%}"
        lines = [
            (short(name), f"{count:,}", f"{count / self.rows:.1%}")
            for name, count in [*self.counts.items()][:SHOWN]
        ]
        if len(self.counts) > SHOWN:
            lines.append(("…", f"{sum([*self.counts.values()][SHOWN:]):,}", ""))
        return title, ("class", "rows", "share"), lines

    def picture(self) -> Drawing:
        """A bar for each of the most common classes."""
        title = f"Always {short(self.usual)!r} would be right in {self.baseline:.0%} of the rows"
        shares = {short(name): n / self.rows for name, n in [*self.counts.items()][:SHOWN]}
        return share_bars(title, shares)


def short(name: str) -> str:
    """A class, cut where it is long."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def balance(rows: "Rows", label: Label = None) -> Balance:
    """How many rows each class has; a row without the field counts as `WITHOUT`.

    label: see the room. Raises UserError for no rows, and for a field that no answer has.
    """
    counts = Counter(labels_of(data.as_rows(rows), label))
    ordered = dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
    return Balance(name_label(label), ordered)


def name_label(label: Label) -> str:
    """A label in words."""
    if label is None:
        return "the answer"
    return label if isinstance(label, str) else getattr(label, "__name__", "label").strip("<>")


@dataclass(frozen=True, repr=False)
class PerClass(Result):
    """How many of each class were right: what accuracy hides where one class is rare."""

    recalls: dict[str, Rate]  # of the rows of a class, how many were said to be of it
    precisions: dict[str, Rate]  # of the rows that were said to be of a class, how many are

    @property
    def accuracy(self) -> Rate:
        """All rows that are right."""
        rates = self.recalls.values()
        return Rate(sum(rate.hits for rate in rates), sum(rate.n for rate in rates))

    @property
    def balanced(self) -> float:
        """The mean of the recalls, in which every class counts the same (balanced accuracy)."""
        return sum(rate.value for rate in self.recalls.values()) / len(self.recalls)

    @property
    def baseline(self) -> float:
        """The accuracy of always saying the most common class."""
        return max(rate.n for rate in self.recalls.values()) / self.accuracy.n

    def json(self) -> dict[str, Any]:
        """Every rate with its interval, and the three numbers of all."""
        rates = {
            name: {"recall": as_json(rate), "precision": as_json(self.precisions[name])}
            for name, rate in self.recalls.items()
        }
        sums = {"accuracy": self.accuracy.value, "balanced": self.balanced}
        return {"classes": rates, **sums, "baseline": self.baseline}

    def table(self) -> TableParts:
        """Recall and precision of each class, under the accuracies."""
        title = f"right {self.accuracy}; mean of the classes {percent(self.balanced)}; "
        title += f"always the usual class {100 * self.baseline:.1f} %"
        lines = [
            (short(name), f"{rate.n:,}", rate, self.precisions[name])
            for name, rate in self.recalls.items()
        ]
        return title, ("class", "rows", "recall [95 %]", "precision [95 %]"), lines


def as_json(rate: Rate) -> dict[str, Any]:
    """A rate with its interval; null for one of nothing."""
    value = None if math.isnan(rate.value) else rate.value
    return {"value": value, "interval": list(rate.interval), "n": rate.n}


def by_class(golds: Sequence[str], replies: Sequence[str], label: Label = None) -> PerClass:
    """Recall and precision of each class of the golds, with intervals (Wilson 1927).

    golds, replies: texts in the same order; label: a field of JSON, or a function of a text. A
    reply that is no such answer is of no class. Raises UserError for lists of different lengths,
    for none, and for a field that no gold has.
    """
    golds, replies = list(golds), list(replies)
    if len(golds) != len(replies) or not golds:
        raise UserError(
            f"there are {len(golds)} golds and {len(replies)} replies; give both for the same "
            "questions, one at least."
        )
    right = [label_of(text, label) for text in golds]
    if set(right) == {WITHOUT}:
        raise UserError(f"no gold has the field {label!r}; give one that the answers have.")
    said = [label_of(text, label) for text in replies]
    pairs = Counter(zip(right, said, strict=True))
    there, claimed = Counter(right), Counter(said)
    names = sorted(there, key=lambda name: (-there[name], name))
    recalls = {name: Rate(pairs[name, name], there[name]) for name in names}
    precisions = {name: Rate(pairs[name, name], claimed[name]) for name in names}
    return PerClass(recalls, precisions)


def oversample(
    rows: "Rows", label: Label, value: object, share: float, seed: int = 0
) -> "Dataset | list[dict]":
    """The rows, those of the class `value` repeated until they make up `share`, and shuffled.

    Each is repeated equally often, give or take once; nothing is left out, so a class that has the
    share already stays as it is. A Dataset gives a Dataset. Raises UserError unless
    0 < share < 1, for a class that no row has, and where every row is of it.
    """
    known = data.as_rows(rows)
    if not is_number(share) or not 0 < share < 1:
        raise UserError(f"share is {share!r}; give a share between 0 and 1, such as 0.5.")
    if not is_whole(seed) or not 0 <= seed <= LAST_SEED:
        raise UserError(f"seed is {seed!r}; give a whole number from 0 to {LAST_SEED:,}.")
    labels, wanted = labels_of(known, label), in_words(value)
    own = [row for row, name in zip(known, labels, strict=True) if name == wanted]
    if not own:
        classes = ", ".join(map(short, sorted(set(labels))[:SHOWN]))
        raise UserError(
            f"no row is of the class {wanted!r}; there are {classes}.{nearest(wanted, labels)}"
        )
    others = len(known) - len(own)
    if not others:
        raise UserError(f"every row is of the class {wanted!r}, so no share of it can be chosen.")

    # own + more of it, of all: n / (n + others) = share
    rng = random.Random(f"oversampled {seed}")
    needed = max(len(own), math.ceil(share * others / (1 - share) - 1e-9))
    rng.shuffle(own)
    more = [own[place % len(own)] for place in range(needed - len(own))]
    mixed = [*known, *more]
    rng.shuffle(mixed)
    return mixed if isinstance(rows, list | tuple) else data.to_dataset(mixed)
