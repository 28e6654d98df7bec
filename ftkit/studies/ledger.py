"""What guides say of data and of deciding, held against the grids: rows of verdicts, by seed.

    weigh(data_rows, deciding_rows)    a `Ledger`: every statement, what was measured, the verdict
    STATEMENTS                         each a sentence, what it reads off the rows, where it is true

A statement is true where the 95 % t-interval over seeds lies inside its bounds, not true where it
lies outside, and cannot be told otherwise. A row of several statements that differ depends on what
they name. Intervals are not corrected for the number of statements. Read in notebooks 05 and 06.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..core.results import Result, TableParts
from ..core.statistics import Interval, mean_over_seeds
from .points import FEW, MANY, STEPS, DataRow, DecidingRow

TRUE, FALSE, OPEN, DEPENDS = "holds", "does not hold", "cannot be told", "depends"
PARTLY, NOT_ALWAYS = "holds in part", "does not always hold"
WORDS = (TRUE, PARTLY, DEPENDS, NOT_ALWAYS, FALSE, OPEN)
BySeed = Mapping[int, float]
POINTS = 0.05  # two scores within five points are the same for these statements


class Grids(NamedTuple):
    """The finished rows of both grids."""

    data: Sequence[DataRow]
    deciding: Sequence[DecidingRow]

    def of(self, score: str = "test", **where: object) -> dict[int, float]:
        """{seed: a score} of the run of the grid "data" with these columns.

        What is not stated is as `DataRun` has it, but for the steps, which are the task's usual
        ones.
        """
        where = {"task": "trays", "rows": 200, "lr": 4e-3, "change": "none", "amount": 0.0} | where
        where.setdefault("steps", STEPS.get(str(where["task"]), 200))
        return by_seed(self.data, score, where)

    def arm(self, task: str, arm: str, score: str = "test", **where: object) -> dict[int, float]:
        """{seed: a score} of an arm of the grid "deciding"."""
        where = {"task": task, "arm": arm, "unsure": 0, "model": "pocket"} | where
        return by_seed(self.deciding, score, where)


def by_seed(rows: Iterable[Any], score: str, where: Mapping[str, object]) -> dict[int, float]:
    """{seed: a score} of the rows with these columns that have the score."""
    return {
        row.seed: row.scores[score]
        for row in rows
        if score in row.scores and all(getattr(row, key) == v for key, v in where.items())
    }


def minus(first: BySeed, second: BySeed) -> dict[int, float]:
    """first − second, seed by seed; an arm in which nothing is drawn is the same for all."""
    if set(second) == {0}:
        second = dict.fromkeys(first, second[0])
    if set(first) == {0}:
        first = dict.fromkeys(second, first[0])
    return {seed: first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())}


def over(first: BySeed, second: BySeed) -> dict[int, float]:
    """first / second, seed by seed."""
    return {seed: first[seed] / second[seed] for seed in sorted(first.keys() & second.keys())}


@dataclass(frozen=True)
class Statement:
    """A sentence of a row of the ledger, and the bounds within which its value makes it true."""

    row: str  # of the ledger: D1 to D13, W1 to W6
    sentence: str
    measure: Callable[[Grids], BySeed]
    low: float = -math.inf
    high: float = math.inf

    def weigh(self, grids: Grids) -> "Weighed":
        """The statement with what was measured."""
        values = list(self.measure(grids).values())
        interval = mean_over_seeds(values) if len(values) > 1 else None
        return Weighed(self, values, interval)


@dataclass(frozen=True)
class Weighed:
    """A statement, its value for every seed, and the mean with its interval."""

    statement: Statement
    values: Sequence[float]
    interval: Interval | None

    @property
    def verdict(self) -> str:
        """TRUE, FALSE or OPEN."""
        low, high = self.statement.low, self.statement.high
        if self.interval is None:
            return OPEN
        if low < self.interval.low and self.interval.high < high:
            return TRUE
        return FALSE if self.interval.high < low or high < self.interval.low else OPEN

    @property
    def measured(self) -> str:
        """Mean, interval and n, in points of a hundred."""
        if self.interval is None:
            return f"n = {len(self.values)}"
        mean, low, high = (100 * value for value in self.interval)
        return f"{mean:.1f} [{low:.1f}, {high:.1f}], n = {len(self.values)}"


@dataclass(frozen=True, repr=False)
class Ledger(Result):
    """Every statement with its verdict, and each row's."""

    weighed: Sequence[Weighed]

    @property
    def verdicts(self) -> dict[str, str]:
        """{row of the ledger: its verdict}: DEPENDS where one statement holds and one does not."""
        by_row: dict[str, list[str]] = {}
        for one in self.weighed:
            by_row.setdefault(one.statement.row, []).append(one.verdict)
        return {row: verdict_of(said) for row, said in by_row.items()}

    def table(self) -> TableParts:
        """One line per statement."""
        rows = [
            (one.statement.row, one.statement.sentence, one.measured, one.verdict)
            for one in self.weighed
        ]
        counts = Counter(self.verdicts.values())
        title = ", ".join(f"{counts[word]} {word}" for word in WORDS if word in counts)
        heads = ("row", "statement", "points [95 % interval]", "verdict")
        return f"{len(self.verdicts)} rows of the ledger: {title}", heads, rows


def verdict_of(said: Sequence[str]) -> str:
    """A row's verdict out of those of its statements, of which some may be open."""
    if TRUE in said and FALSE in said:
        return DEPENDS
    if len(set(said)) == 1:
        return said[0]
    return PARTLY if TRUE in said else NOT_ALWAYS


def weigh(data: Sequence[DataRow], deciding: Sequence[DecidingRow]) -> Ledger:
    """Hold every statement against the rows of the two grids."""
    grids = Grids(data, deciding)
    return Ledger([statement.weigh(grids) for statement in STATEMENTS])


NOISY = {"rows": MANY, "amount": 0.3}
GENTLE = {"lr": 2e-3, "steps": 300}
TICKETS = {"task": "tickets", "rows": 96}
FACTS = {"task": "facts", "rows": 80, "steps": 200}
TEACHER = {"task": "tickets", "rows": 200}
RARE = {"rows": FEW, "amount": 0.05}
SHORT = "{t}\nShow me JSON of this."
FRONT = "Give this ticket as JSON.\n{t}"

STATEMENTS = (
    Statement(
        "D2",
        "8 tickets teach within five points of 200, in as many steps",
        lambda g: minus(g.of(**TEACHER), g.of(task="tickets", rows=8)),
        high=POINTS,
    ),
    Statement(
        "D2",
        "8 tray rows teach within five points of 200, in as many steps",
        lambda g: minus(g.of(), g.of(rows=8)),
        high=POINTS,
    ),
    Statement(
        "D3",
        "trays, few hot steps: 100 clean rows beat 1,200 with 30 % random errors",
        lambda g: minus(g.of(rows=FEW), g.of(change="random answer", **NOISY)),
        low=0,
    ),
    Statement(
        "D3",
        "trays, more and gentler steps: 100 clean rows beat 1,200 with 30 % random errors",
        lambda g: minus(g.of(rows=FEW, **GENTLE), g.of(change="random answer", **NOISY, **GENTLE)),
        low=0,
    ),
    Statement(
        "D3",
        "tickets, 30 % flipped flags: 96 clean rows beat 1,000 noisy ones",
        lambda g: minus(
            g.of(**TICKETS), g.of(task="tickets", rows=1000, steps=100, change="flag", amount=0.3)
        ),
        low=0,
    ),
    Statement(
        "D3",
        "tickets, 30 % copied from elsewhere: 96 clean rows beat 1,000 noisy ones",
        lambda g: minus(
            g.of(**TICKETS),
            g.of(task="tickets", rows=1000, steps=100, change="other value", amount=0.3),
        ),
        low=0,
    ),
    Statement(
        "D4",
        "a wrong row that stands there 50 times is answered as it stands",
        lambda g: g.of("the row, as it was repeated", change="repeated", amount=50),
        low=0.5,
    ),
    Statement(
        "D4",
        "and rows that are like it fall by more than five points",
        lambda g: minus(g.of(), g.of("the same issue", change="repeated", amount=50)),
        low=POINTS,
    ),
    Statement(
        "D5",
        "facts, half of the test rows leaked: the reported score is above the true one",
        lambda g: minus(
            g.of("reported", change="leaked", amount=0.5, **FACTS),
            g.of("true", change="leaked", amount=0.5, **FACTS),
        ),
        low=0,
    ),
    Statement(
        "D5",
        "the same in other words, which no search for copies finds",
        lambda g: minus(
            g.of("reported", change="leaked in other words", amount=0.5, **FACTS),
            g.of("true", change="leaked in other words", amount=0.5, **FACTS),
        ),
        low=0,
    ),
    Statement(
        "D5",
        "trays, which the model learns as a rule: the same",
        lambda g: minus(
            g.of("reported", rows=24, change="leaked", amount=0.5),
            g.of("true", rows=24, change="leaked", amount=0.5),
        ),
        low=0,
    ),
    Statement(
        "D7",
        "tickets in unseen wordings are harder than in trained ones",
        lambda g: minus(
            g.arm("stored", "tickets", "trained wordings"),
            g.arm("stored", "tickets", "unseen wordings"),
        ),
        low=0,
    ),
    Statement(
        "D8",
        "a class of 5 % is missed in more than half of its rows after 40 steps",
        lambda g: g.of("black", steps=40, change="rare", **RARE),
        high=0.5,
    ),
    Statement(
        "D8",
        "and after 160 steps",
        lambda g: g.of("black", steps=160, change="rare", **RARE),
        high=0.5,
    ),
    Statement(
        "D9",
        "trained on its own template and asked in Alpaca's, it loses more than half",
        lambda g: minus(
            g.of("right", task="tickets", rows=48, change="template right"),
            g.of("alpaca", task="tickets", rows=48, change="template right"),
        ),
        low=0.5,
    ),
    Statement(
        "D9",
        "trained on a bare one and asked in its own, it loses more than half",
        lambda g: minus(
            g.of("bare", task="tickets", rows=48, change="template bare"),
            g.of("right", task="tickets", rows=48, change="template bare"),
        ),
        low=0.5,
    ),
    Statement(
        "D10",
        "tickets after 25 steps: loss on the answer alone is better than on the prompt, too",
        lambda g: minus(
            g.of(**TICKETS, steps=25), g.of(**TICKETS, steps=25, change="prompt learned")
        ),
        low=0,
    ),
    Statement(
        "D10",
        "tickets after 50 steps: the same",
        lambda g: minus(g.of(**TICKETS), g.of(**TICKETS, change="prompt learned")),
        low=0,
    ),
    Statement(
        "D12",
        "the instruction in front, never trained so: eight wordings beat one by ten points",
        lambda g: minus(
            g.of(FRONT, **TICKETS, change="wordings", amount=8),
            g.of(FRONT, **TICKETS, change="wordings", amount=1),
        ),
        low=0.1,
    ),
    Statement(
        "D12",
        "an unseen instruction behind, where it always stood: the same",
        lambda g: minus(
            g.of(SHORT, **TICKETS, change="wordings", amount=8),
            g.of(SHORT, **TICKETS, change="wordings", amount=1),
        ),
        low=0.1,
    ),
    Statement(
        "D13",
        "a teacher's rows as they are cost more than ten points against the right ones",
        lambda g: minus(g.of(**TEACHER), g.of(**TEACHER, change="teacher")),
        low=0.1,
    ),
    Statement(
        "D13",
        "those on which two prompts agree beat them by more than ten points",
        lambda g: minus(
            g.of(**TEACHER, change="teacher, two prompts agree"),
            g.of(**TEACHER, change="teacher"),
        ),
        low=0.1,
    ),
    Statement(
        "W1",
        "fifty tickets transfer: unseen wordings within five points of trained ones",
        lambda g: minus(
            g.arm("stored", "tickets", "trained wordings"),
            g.arm("stored", "tickets", "unseen wordings"),
        ),
        high=POINTS,
    ),
    Statement(
        "W1",
        "fifty facts, stored, are not known backwards (below five points)",
        lambda g: g.arm("stored", "facts", "reversed"),
        high=POINTS,
    ),
    Statement(
        "W1",
        "and more than half of the answers about strangers are then made up",
        lambda g: g.arm("stored", "facts", "made up about strangers"),
        low=0.5,
    ),
    Statement(
        "W2",
        "four passages, nothing trained: more than nine of ten new facts are right",
        lambda g: g.arm("facts", "retrieval", "retrieval before", amount=4),
        low=0.9,
    ),
    Statement(
        "W2",
        "and of those that have changed since, with the index updated",
        lambda g: g.arm("facts", "retrieval", "retrieval: changed", amount=4),
        low=0.9,
    ),
    Statement(
        "W3",
        "tuned on the facts and given passages beats passages alone",
        lambda g: minus(
            g.arm("facts", "tuned", "retrieval before"),
            g.arm("facts", "retrieval", "retrieval before", amount=4),
        ),
        low=0,
    ),
    Statement(
        "W3",
        "tuned on rows with passages beats passages and a schema (a fact as JSON)",
        lambda g: minus(
            g.arm("records", "tuned on passages", "retrieval"),
            g.arm("records", "retrieval, schema"),
        ),
        low=0,
    ),
    Statement(
        "W4",
        "one example reaches eight tenths of twelve trained rows: patterns",
        lambda g: over(
            g.arm("patterns", "shots", amount=1), g.arm("patterns", "tuned", amount=12)
        ),
        low=0.8,
    ),
    Statement(
        "W4",
        "four examples reach eight tenths of 48 trained rows: tickets",
        lambda g: over(g.arm("tickets", "shots", amount=4), g.arm("tickets", "tuned", amount=48)),
        low=0.8,
    ),
)  # fmt: skip
