"""What guides say of data, deciding and preferences, held against the grids: verdicts, by seed.

    weigh(data_rows, deciding_rows)    a `Ledger`: every statement, what was measured, the verdict
    weigh_preferences(rows)            the same of rows of the grid "preferences"
    STATEMENTS, OF_PREFERENCES         each a sentence, what it reads off the rows, where it is true

A statement is true where the 95 % t-interval over seeds lies inside its bounds, not true where it
lies outside, and cannot be told otherwise. A row of several statements that differ depends on what
they name. Intervals are not corrected for the number of statements. Notebooks 05, 06, 12, 12b.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from .. import prefer
from ..core.results import Result, TableParts
from ..core.statistics import Interval, mean_over_seeds
from .points import FEW, MANY, STEPS, DataRow, DecidingRow

TRUE, FALSE, OPEN, DEPENDS = "holds", "does not hold", "cannot be told", "depends"
PARTLY, NOT_ALWAYS = "holds in part", "does not always hold"
WORDS = (TRUE, PARTLY, DEPENDS, NOT_ALWAYS, FALSE, OPEN)
BySeed = Mapping[int, float]
POINTS = 0.05  # two scores within five points are the same for these statements
# Between what a value of a unit lies, whatever the width of its interval.
BOUNDS = {"points": (-1.0, 1.0), "share": (0.0, 1.0), "ratio": (0.0, math.inf)}


class Grids(NamedTuple):
    """The finished rows of the grids."""

    data: Sequence[DataRow] = ()
    deciding: Sequence[DecidingRow] = ()
    preferences: Sequence[prefer.PreferenceRow] = ()

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

    def tuned(
        self, value: Callable[[prefer.PreferenceRow], float], run: prefer.PreferenceRun
    ) -> dict[int, float]:
        """{seed: a value} of a run of the grid "preferences", of whatever seed."""
        return {
            row.seed: value(row)
            for row in self.preferences
            if all(getattr(row, key) == v for key, v in vars(run).items() if key != "seed")
        }


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

    row: str  # of the ledger: D1 to D13, W1 to W6, P1 to P4
    sentence: str
    measure: Callable[[Grids], BySeed]
    low: float = -math.inf
    high: float = math.inf
    unit: str = "points"  # of a hundred, as a share and a ratio are; or another one, which is said

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
        """Mean, interval and n; in hundredths, unless the statement's unit is one of its own.

        The interval is cut where no value can lie. The verdict is that of the whole one.
        """
        if self.interval is None:
            return f"n = {len(self.values)}"
        unit = self.statement.unit
        least, most = BOUNDS.get(unit, (-math.inf, math.inf))
        scale, named = (100, "") if unit in BOUNDS else (1, f" {unit}")
        mean, low, high = self.interval
        mean, low, high = (scale * x for x in (mean, max(low, least), min(high, most)))
        return f"{mean:.1f} [{low:.1f}, {high:.1f}]{named}, n = {len(self.values)}"


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


def weigh_preferences(rows: Sequence[prefer.PreferenceRow]) -> Ledger:
    """Hold every statement about preferences and rewards against the rows of their grid."""
    grids = Grids(preferences=rows)
    return Ledger([statement.weigh(grids) for statement in OF_PREFERENCES])


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
        "trays, more and gentler steps: 100 clean rows beat 1,200 with 50 % random errors",
        lambda g: minus(
            g.of(rows=FEW, **GENTLE),
            g.of(change="random answer", rows=MANY, amount=0.5, **GENTLE),
        ),
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
        unit="share",
    ),
    Statement(
        "D4",
        "a wrong row 50 times: rows that are like it fall by more than five points",
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
        "facts, half of them leaked in other words: the reported score is above the true one",
        lambda g: minus(
            g.of("reported", change="leaked in other words", amount=0.5, **FACTS),
            g.of("true", change="leaked in other words", amount=0.5, **FACTS),
        ),
        low=0,
    ),
    Statement(
        "D5",
        "trays (a rule), half of the test rows leaked: the reported score is above the true one",
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
        "of a class of 5 %, fewer than half of the rows are right after 40 steps",
        lambda g: g.of("black", steps=40, change="rare", **RARE),
        high=0.5,
        unit="share",
    ),
    Statement(
        "D8",
        "of a class of 5 %, fewer than half of the rows are right after 160 steps",
        lambda g: g.of("black", steps=160, change="rare", **RARE),
        high=0.5,
        unit="share",
    ),
    Statement(
        "D9",
        "trained in its own template and asked in Alpaca's, a model loses more than half",
        lambda g: minus(
            g.of("right", task="tickets", rows=48, change="template right"),
            g.of("alpaca", task="tickets", rows=48, change="template right"),
        ),
        low=0.5,
    ),
    Statement(
        "D9",
        "trained in a bare template and asked in its own, a model loses more than half",
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
        "tickets after 50 steps: loss on the answer alone is better than on the prompt, too",
        lambda g: minus(g.of(**TICKETS), g.of(**TICKETS, change="prompt learned")),
        low=0,
    ),
    Statement(
        "D10",
        "trays after 80 steps: loss on the answer alone is better than on the prompt, too",
        lambda g: minus(g.of(steps=80), g.of(steps=80, change="prompt learned")),
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
        "an unseen instruction behind, as always: eight wordings beat one by ten points",
        lambda g: minus(
            g.of(SHORT, **TICKETS, change="wordings", amount=8),
            g.of(SHORT, **TICKETS, change="wordings", amount=1),
        ),
        low=0.1,
    ),
    Statement(
        "D13",
        "a teacher's rows as they come cost more than ten points against the right ones",
        lambda g: minus(g.of(**TEACHER), g.of(**TEACHER, change="teacher")),
        low=0.1,
    ),
    Statement(
        "D13",
        "rows on which two prompts agree beat all of the teacher's by more than ten points",
        lambda g: minus(
            g.of(**TEACHER, change="teacher, two prompts agree"),
            g.of(**TEACHER, change="teacher"),
        ),
        low=0.1,
    ),
    Statement(
        "D13",
        "rows on which two prompts agree beat all of the second prompt's by over five points",
        lambda g: minus(
            g.of(**TEACHER, change="teacher, two prompts agree"),
            g.of(**TEACHER, change="teacher, listed"),
        ),
        low=POINTS,
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
        unit="share",
    ),
    Statement(
        "W1",
        "fifty facts, stored: more than half of the answers about strangers are made up",
        lambda g: g.arm("stored", "facts", "made up about strangers"),
        low=0.5,
        unit="share",
    ),
    Statement(
        "W2",
        "four passages, nothing trained: more than nine of ten new facts are right",
        lambda g: g.arm("facts", "retrieval", "retrieval before", amount=4),
        low=0.9,
        unit="share",
    ),
    Statement(
        "W2",
        "four passages, the index updated: more than nine of ten changed facts are right",
        lambda g: g.arm("facts", "retrieval", "retrieval: changed", amount=4),
        low=0.9,
        unit="share",
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
        unit="ratio",
    ),
    Statement(
        "W4",
        "four examples reach eight tenths of 48 trained rows: tickets",
        lambda g: over(g.arm("tickets", "shots", amount=4), g.arm("tickets", "tuned", amount=48)),
        low=0.8,
        unit="ratio",
    ),
)  # fmt: skip


def scored(name: str) -> Callable[[prefer.PreferenceRow], float]:
    """What a run scores in the end."""
    return lambda row: row.scores[name]


def gained(name: str) -> Callable[[prefer.PreferenceRow], float]:
    """What a run scores in the end, less what its start did."""
    return lambda row: row.scores[name] - row.before[name]


def rose(column: str) -> Callable[[prefer.PreferenceRow], float]:
    """A column of a run's curve, the last step that has it less the first."""

    def change(row: prefer.PreferenceRow) -> float:
        place = list(row.columns).index(column)
        values = [step[place] for step in row.curve]
        known = [value for value in values if value is not None]
        return known[-1] - known[0]

    return change


def seconds(row: prefer.PreferenceRow) -> float:
    """Of training and drawing."""
    return row.seconds


RUN = prefer.PreferenceRun
BEHIND_SFT = RUN(start="sft")
PLAIN_SFT = RUN(teacher="sft", source="gold", lr=5e-3, steps=25)
BY_GOLD = RUN("length", "sft", steps=36)
BY_RL = RUN("sorting", teacher="grpo", source="exact", beta=0.0, steps=15, group=8)
HOPELESS = replace(BY_RL, teacher="rloo", source="impossible", steps=4)
HACKED = RUN("hacking", "sft", "rloo", "words", 3e-3, 0.0, steps=16, group=8)
BY_JUDGE = replace(HACKED, source="judge 320")
OF_PREFERENCES = (
    Statement(
        "P1",
        "behind SFT: DPO on own mistakes makes more of the known facts right",
        lambda g: g.tuned(gained("right"), BEHIND_SFT),
        low=0,
    ),
    Statement(
        "P1",
        "from the base: more than half of the known facts are still right",
        lambda g: g.tuned(scored("right"), RUN(lr=3e-3, steps=50)),
        low=0.5,
        unit="share",
    ),
    Statement(
        "P1",
        "behind SFT it gets more known facts right than plain SFT at a higher rate",
        lambda g: minus(
            g.tuned(scored("right"), BEHIND_SFT), g.tuned(scored("right"), PLAIN_SFT)
        ),
        low=0,
    ),
    Statement(
        "P1",
        "from the base, SFT's loss on top: it gets more of them right than SFT in as many steps",
        lambda g: minus(
            g.tuned(scored("right"), RUN(source="written", lr=5e-3, extra=1.0, steps=75)),
            g.tuned(scored("right"), replace(PLAIN_SFT, steps=75)),
        ),
        low=0,
    ),
    Statement(
        "P2",
        "descriptions: a reward model of 320 pairs and 16 steps on it take over twice the time",
        lambda g: over(g.tuned(seconds, BY_JUDGE), g.tuned(seconds, BY_GOLD)),
        low=2,
        unit="times",
    ),
    Statement(
        "P2",
        "and three to four times",
        lambda g: over(g.tuned(seconds, BY_JUDGE), g.tuned(seconds, BY_GOLD)),
        low=3,
        high=4,
        unit="times",
    ),
    Statement(
        "P2",
        "descriptions: DPO on such pairs ends with more gold than that",
        lambda g: minus(g.tuned(scored("gold"), BY_GOLD), g.tuned(scored("gold"), BY_JUDGE)),
        low=0,
        unit="sentences",
    ),
    Statement(
        "P2",
        "behind SFT: at twice the rate DPO keeps the known facts to within ten points",
        lambda g: minus(
            g.tuned(scored("right"), BEHIND_SFT),
            g.tuned(scored("right"), replace(BEHIND_SFT, lr=4e-3)),
        ),
        high=0.1,
    ),
    Statement(
        "P3",
        "nine digits, right a quarter of the time: GRPO gains more than fifty points",
        lambda g: g.tuned(gained("9 digits"), BY_RL),
        low=0.5,
    ),
    Statement(
        "P3",
        "sums that are never right: any weight moves",
        lambda g: g.tuned(scored("moved"), HOPELESS),
        low=1e-12,
        unit="largest change",
    ),
    Statement(
        "P3",
        "eight digits, never trained: GRPO beats SFT on right answers",
        lambda g: minus(
            g.tuned(scored("8 digits"), BY_RL),
            g.tuned(scored("8 digits"), replace(BY_RL, teacher="sft", source="gold")),
        ),
        low=0,
    ),
    Statement(
        "P4",
        "paid by the word: the reward rises",
        lambda g: g.tuned(rose("reward"), HACKED),
        low=0,
        unit="per reply",
    ),
    Statement(
        "P4",
        "and gold falls below what it was",
        lambda g: g.tuned(gained("gold"), HACKED),
        high=0,
        unit="sentences",
    ),
    Statement(
        "P4",
        "a nat of distance costs 0.3: gold falls by less than half a sentence",
        lambda g: g.tuned(gained("gold"), replace(HACKED, beta=0.3)),
        low=-0.5,
        unit="sentences",
    ),
    Statement(
        "P4",
        "stopped at 5 nats: gold falls by less than half a sentence",
        lambda g: g.tuned(gained("gold"), replace(HACKED, stop_at=5.0)),
        low=-0.5,
        unit="sentences",
    ),
    Statement(
        "P4",
        "a reward model of 30 pairs: gold falls below what it was",
        lambda g: g.tuned(gained("gold"), replace(HACKED, source="judge 30")),
        high=0,
        unit="sentences",
    ),
)  # fmt: skip
