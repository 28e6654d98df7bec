"""What may be said of a run, and what may not: sentences that follow from figures by a rule.

    compare_base(measured)           a run beside its base, question by question: `Answer`s
    compare_rows(first, second)      two runs on the same rows (McNemar)
    compare_seeds(first, second)     the same over the seeds that both have (t, and over questions)
    answer_by_seeds(name, pairs)     the same of shares alone, of n questions each: a grid's rows
    correct(answers)                 p by Holm's method, for all that is asked on one page
    say_all(answers)                 the sentences: yes, no, or cannot be told

Yes and no are said only where the corrected p is below 0.05. What is measured is
`forgetting.ask_run`'s, and the page on which it stands `reporting`'s. Notebook 18.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.results import about
from ..core.statistics import (
    LEVEL,
    Difference,
    compare_answers,
    holm,
    mean_over_seeds,
    p_over_seeds,
)

Measured = Mapping[str, Any]  # what a base and what was tuned of it answered: `ask_run`
Counts = tuple[int, int, int]  # the base's hits, the tuned model's, of so many
MAIN = ("task", "format", "strangers", "skills")
NAMED = 3  # skills of which nothing can be told: so many are named, and so many that fell most


@dataclass(frozen=True)
class Question:
    """What is asked of two models; sign: +1 where a rise means yes, -1 where a fall does."""

    asks: str
    asks_beside: str  # the same of two runs, before "than with …"
    sign: int
    yes: str  # what the points are where the answer is yes: "≈3.1 points better"
    no: str  # and where it is the contrary
    of: str  # what was asked so many times


ROWS, STRANGERS = "unseen test rows", "questions about people nobody knows"
QUESTIONS = {
    "task": Question("Better on the task", "Better on the task", 1, "better", "worse", ROWS),
    "format": Question(
        "More often in strict format", "More often in strict format", 1, "more", "fewer", ROWS
    ),
    "strangers": Question(
        "Makes up more about strangers", "Makes up more", 1, "more", "fewer", STRANGERS
    ),
    "skills": Question(
        "Forgets what it could do", "Forgets more", -1, "lost", "gained", "questions of its skills"
    ),
}


def question_of(name: str) -> Question:
    """The question behind a measure; a skill's own name asks whether it is forgotten."""
    asks = f"Forgets {name}"
    own = Question(asks, f"{asks} more", -1, "lost", "gained", "questions")
    return QUESTIONS.get(name, own)


@dataclass(frozen=True)
class Answer:
    """One question, how far apart two models are on it, and how often chance alone does that.

    low, high: the 95 % interval of this one comparison, in shares and turned so that more means
    yes. p: of this one comparison until `correct` has made it one of several.
    """

    name: str
    value: float
    low: float
    high: float
    p: float
    on: str  # what it was asked on, in words: "200 unseen test rows"
    told: str = ""  # the shares themselves, in words
    beside: str = ""  # what it is compared with, where that is not the base
    of: int = 1  # comparisons that p is corrected for
    few: int = 0  # questions, where p is theirs because it is larger than the seeds': so many
    bound: bool = False  # only counts of those were kept: p is the largest that they allow

    @property
    def question(self) -> Question:
        """What it answers."""
        return question_of(self.name)

    @property
    def asks(self) -> str:
        """The question in words."""
        if self.beside:
            return f"{self.question.asks_beside} than {self.beside}"
        return self.question.asks

    @property
    def word(self) -> str:
        """yes, no, or cannot be told: by the corrected p alone."""
        if self.p >= LEVEL:
            return "cannot be told"
        return "yes" if self.value > 0 else "no"

    @property
    def sentence(self) -> str:
        """What may be said."""
        on = f"on {self.on}" + (f" ({self.told})" if self.told else "")
        ends = points(*sorted((abs(self.low), abs(self.high))))
        more, less = self.directions
        if self.word == "yes":
            return f"{self.asks}: yes, by {ends} {on}."
        if self.word == "no":
            return f"{self.asks}: no, {ends} {less} {on}."
        if self.low > 0 or self.high < 0:
            own = "Over its seeds" if self.few else "By its own interval"
            way = more if self.low > 0 else less
            return f"{self.asks}: cannot be told. {own} it is {ends} {way} {on}, but {self.doubt}."
        if self.low == self.high == 0:
            return f"{self.asks}: cannot be told. It is the same {on}; other questions may differ."
        return f"{self.asks}: cannot be told. {self.room} {on}."

    @property
    def doubt(self) -> str:
        """Why nothing is said where the interval leaves zero out: what chance alone gives."""
        which, p = "corrected p" if self.of > 1 else "p", about(self.p, 2)
        if not self.few:
            many = f"among {self.of} comparisons"
            return f"{many} chance gives one like it too often ({which} = {p})"
        asked = f"so few {self.question.of} ({self.few:,})"
        if self.bound:
            kept = f"of {asked} only the counts were kept"
            return f"{kept}, and chance may show as much ({which} up to {p})"
        return f"{asked} would often show as much by chance ({which} = {p})"

    @property
    def room(self) -> str:
        """What an interval around zero leaves room for, in words."""
        (more, less), ends = self.directions, (one_point(end) for end in (-self.low, self.high))
        return f"Anything from {next(ends)} {less} to {next(ends)} {more} is possible"

    @property
    def directions(self) -> tuple[str, str]:
        """What points towards yes are, and points towards no."""
        if self.beside and self.question.sign < 0:  # two tuned models, each of which may have lost
            return "more lost", "fewer lost"
        return self.question.yes, self.question.no


def one_point(share: float) -> str:
    """A share in points, marked as one machine's: one_point(0.031) is "≈3.1 points"."""
    return f"≈{max(0.0, 100 * share):.1f} points"


def points(low: float, high: float) -> str:
    """Two shares in points: "≈3.1 to ≈5.2 points", one number where both are the same."""
    ends = [f"≈{100 * end:.1f}" for end in (low, high)]
    return f"{ends[0]} points" if ends[0] == ends[1] else f"{ends[0]} to {ends[1]} points"


def difference(first: Sequence[int], second: Sequence[int]) -> Difference:
    """Two models' right and wrong answers, row by row (`compare_answers`)."""
    return compare_answers([bool(one) for one in first], [bool(one) for one in second])


def at_most(first: int, second: int, n: int) -> Difference:
    """The same where only the counts of right answers to the same n questions are left.

    As many are taken to have changed as can have: all that the first had right and the second may
    have wrong. So the interval is at least as wide as the rows' own, and p as large.
    """
    lost = min(first, n - second)
    gained = lost + second - first
    return Difference(kept=first - lost, lost=lost, gained=gained, neither=n - first - gained)


def answer_by_rows(name: str, found: Difference, beside: str = "") -> Answer:
    """A difference of two models on the same questions as an answer."""
    question = question_of(name)
    low, high = sorted(question.sign * end for end in found.interval)
    first, second = (found.kept + found.lost) / found.n, (found.kept + found.gained) / found.n
    on, told = f"{found.n:,} {question.of}", tell_shares(first, second, beside)
    value = 0.0 + question.sign * found.change  # no minus before a zero
    return Answer(name, value, low, high, found.p, on, told, beside)


def tell_shares(first: float, second: float, beside: str) -> str:
    """Two shares in words: "≈3.0 % before, ≈96.0 % after"."""
    one, other = (f"≈{100 * share:.1f} %" for share in (first, second))
    return f"{one} {beside}, {other} here" if beside else f"{one} before, {other} after"


def answer_by_seeds(
    name: str, pairs: Mapping[int, tuple[float, float]], beside: str = "", n: int = 0
) -> Answer:
    """Two shares of every seed, the second less the first, as an answer: Student's t over seeds.

    n: the questions behind each share, the same ones for every seed. Then p is the larger of the
    seeds' and the largest that the questions' counts allow (`at_most` of their means: which ones
    were right is not known); without n other questions are not asked after.
    """
    sign = question_of(name).sign
    turned = [sign * (second - first) for first, second in pairs.values()]
    mean, low, high = mean_over_seeds(turned)
    first, second = map(statistics.fmean, zip(*pairs.values(), strict=True))
    told = f"means: {tell_shares(first, second, beside)}"
    on = f"{len(pairs)} seeds, {', '.join(map(str, pairs))}"
    # no share changes by more than the whole
    low, high = max(-1.0, low), min(1.0, high)
    answer = Answer(name, mean, low, high, p_over_seeds(turned), on, told, beside)
    if not n:
        return answer
    return hold(answer, at_most(round(first * n), round(second * n), n).p, n, bound=True)


def hold(answer: Answer, p: float, n: int, *, bound: bool = False) -> Answer:
    """An answer over seeds held against the p over its n questions: the larger one counts.

    bound: p is the largest that the questions' counts allow, and not their own.
    """
    # three seeds that agree on a handful of questions say nothing of other questions
    return dataclasses.replace(answer, p=p, few=n, bound=bound) if p > answer.p else answer


def rights(measured: Measured, name: str, who: str) -> list[int] | None:
    """Who answered what right of a measure, row by row, as 1 and 0; None where no row was kept."""
    rows = measured.get("answers", {})
    suites = rows.get("skills", {})
    if name == "skills":
        return [one for suite in suites.values() for one in suite[who]] or None
    found = rows.get(name) or suites.get(name)
    return found[who] if found else None


def counts(measured: Measured, name: str) -> Counts | None:
    """How often base and tuned did what a measure counts; None where it was not asked."""
    values = measured["values"]
    suites = values.get("skills", {})
    if name == "skills":
        parts = [part for suite in suites if (part := count_suite(suites[suite]))]
        if not parts:
            return None
        base, tuned, n = (sum(column) for column in zip(*parts, strict=True))
        return base, tuned, n
    if name in suites:
        return count_suite(suites[name])
    one = values.get("hallucination" if name == "strangers" else name) or {}
    return count(one.get("base"), one.get("tuned"), one.get("n"))


def count_suite(suite: Mapping[str, Any]) -> Counts | None:
    """The counts of one skill suite."""
    return count(suite.get("before"), suite.get("after"), suite.get("n"))


def count(base: float | None, tuned: float | None, n: int | None) -> Counts | None:
    """Two shares of n as counts; None where there is nothing to count."""
    if base is None or tuned is None or not n:
        return None
    return round(base * n), round(tuned * n), n


def measures(measured: Measured) -> list[str]:
    """Everything that was asked: the four main questions, then every skill by itself."""
    names = [*MAIN, *measured["values"].get("skills", {})]
    return [name for name in names if counts(measured, name)]


def compare_base(measured: Measured) -> list[Answer]:
    """A run beside its base, on every question that was asked of both."""
    found = []
    for name in measures(measured):
        before, after = (rights(measured, name, who) for who in ("base", "tuned"))
        asked = counts(measured, name)
        if before and after:
            found.append(answer_by_rows(name, difference(before, after)))
        elif asked is not None:
            found.append(answer_by_rows(name, at_most(*asked)))
    return found


def compare_rows(first: Measured, second: Measured, beside: str) -> list[Answer]:
    """What the first run's model is beside the second's, on the same rows; the main questions.

    Skills are left out where the two were asked other ones.
    """
    alike = first.get("probes") == second.get("probes")
    found = []
    for name in MAIN if alike else MAIN[:-1]:
        one, other = (rights(each, name, "tuned") for each in (first, second))
        mine, theirs = (counts(each, name) for each in (first, second))
        if one and other:
            found.append(answer_by_rows(name, difference(other, one), beside))
        elif mine and theirs and mine[2] == theirs[2]:
            found.append(answer_by_rows(name, at_most(theirs[1], mine[1], mine[2]), beside))
    return found


def share(measured: Measured, name: str, who: int = 1) -> float:
    """The share of a measure, who: 0 the base's, 1 the tuned model's; NaN where it is unasked."""
    asked = counts(measured, name)
    return asked[who] / asked[2] if asked else math.nan


def compare_seeds(
    first: Mapping[int, Measured], second: Mapping[int, Measured] | None = None, beside: str = ""
) -> list[Answer]:
    """Runs by seed beside others of the same seeds, or where there are none beside their base.

    Intervals are over seeds. p is the larger of the seeds' and the questions': yes or no is said
    where neither another seed nor other questions would often show as much.
    """
    found = []
    seeds = [seed for seed in first if second is None or seed in second]
    for name in MAIN:
        pairs = {}
        for seed in seeds:
            other = share(second[seed], name) if second else share(first[seed], name, 0)
            pairs[seed] = other, share(first[seed], name)
        known = not any(math.isnan(one) for pair in pairs.values() for one in pair)
        if len(pairs) > 1 and known:
            answer = answer_by_seeds(name, pairs, beside)
            asked = counts(first[seeds[0]], name)
            p, bound = p_over_questions(name, first, second, seeds)
            found.append(hold(answer, p, asked[2] if asked else 0, bound=bound))
    return found


def p_over_questions(
    name: str,
    first: Mapping[int, Measured],
    second: Mapping[int, Measured] | None,
    seeds: Sequence[int],
) -> tuple[float, bool]:
    """How often other questions alone would show such a change: t over each one's mean over seeds.

    Where it was not kept who was right on which, it is the largest that the counts allow, as in
    `at_most` of their means. The second value says that it is this bound.
    """
    changes, ends = [], []
    for seed in seeds:
        base = (second[seed], "tuned") if second else (first[seed], "base")
        before, after = rights(base[0], name, base[1]), rights(first[seed], name, "tuned")
        if before and after and len(before) == len(after):
            changes.append([b - a for a, b in zip(before, after, strict=True)])
        asked = counts(first[seed], name)
        other = counts(second[seed], name) if second else asked
        if asked and other and asked[2] == other[2]:
            ends.append((other[1] if second else other[0], asked[1], asked[2]))
    if len(changes) == len(seeds) and len({*map(len, changes)}) == 1:
        return p_over_seeds([statistics.fmean(each) for each in zip(*changes, strict=True)]), False
    if not ends or len({n for *_, n in ends}) > 1:
        return 0.0, False  # other questions for each seed: the seeds have them in their spread
    before, after = (round(statistics.fmean(one)) for one in list(zip(*ends, strict=True))[:2])
    return at_most(before, after, ends[0][2]).p, True


def correct(answers: Sequence[Answer]) -> list[Answer]:
    """The same answers with p corrected for their number, by Holm's method."""
    ps = holm([answer.p for answer in answers])
    return [
        dataclasses.replace(answer, p=p, of=len(answers))
        for answer, p in zip(answers, ps, strict=True)
    ]


def say_all(answers: Sequence[Answer]) -> list[str]:
    """A sentence for each answer; skills of which nothing can be told share one."""
    single = [one for one in answers if one.name not in QUESTIONS]
    left = [one for one in single if one.word == "cannot be told"]
    said = [one.sentence for one in answers if one not in left]
    if left:
        said.append(say_untold(left, "other skills" if len(single) > len(left) else "skills"))
    return said


def say_untold(left: Sequence[Answer], what: str) -> str:
    """The sentence that skills share of which nothing can be told by itself; what: many of them."""
    names = ", ".join(one.name for one in left)
    if len(left) > NAMED:
        names = f"any of {len(left)} {what}"
    fell = sorted((one for one in left if one.value > 0), key=lambda one: -one.value)[:NAMED]
    falls = ", ".join(f"{one.name} by {one_point(one.value)}" for one in fell)
    most = one_point(max(one.high for one in left))
    return (
        f"Forgets {names}: cannot be told, with {left[0].on} each. "
        f"{f'Fell most: {falls}. ' if falls else ''}One may have lost up to {most}."
    )


def how_corrected(answers: Sequence[Answer]) -> str:
    """How yes and no were decided, as a sentence."""
    many = len(answers)
    if many == 1:
        return "The interval is one of 95 %, and yes or no is said where p is below 0.05."
    return (
        f"{many} comparisons were made. Yes or no is said only where p is below 0.05 after Holm's "
        f"correction for all {many}; each interval is the 95 % interval of one comparison alone."
    )
