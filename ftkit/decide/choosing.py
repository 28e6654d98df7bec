"""Prompt, retrieve or tune? Answers in; a recommendation, its reasons and what would change it out.

    choose(Situation(lacks="facts"))    a `Recommendation`
    ANSWERS                             {question: the answers that it takes}
    RULES                               the first that fits decides: nothing else does
    cards()                             the guides' own examples, to hold the rules to

The order is that of the guides: first prompt, then retrieve, then tune. Where they disagree, their
sentences are shown with it (data/decisions.json). What the rules rest on was measured on one small
model (notebook 06); measure your own arms with `compare_arms` before you spend anything.
"""

import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from typing import Any, NamedTuple

from ..core.errors import UserError, is_whole, nearest
from ..core.files import data_path
from ..core.results import Result, TableParts

PROMPT, RETRIEVE, TUNE, BOTH = "prompt", "retrieve", "tune", "tune and retrieve"
MEASURE = "build a test set"
UNTRIED, ENOUGH, FAILS = "not yet", "is enough", "is not enough"
# The answers that each question takes; True and False for yes and no, int for a whole number.
ANSWERS: dict[str, tuple | type] = {
    "lacks": ("format", "judgement", "facts", "both", "nothing"),
    "prompted": (UNTRIED, ENOUGH, FAILS),
    "rows": int,
    "facts_change": ("seldom", "weekly"),
    "cites": (False, True),
    "behaviour_changes": (False, True),
    "tests": (False, True),
    "calls": int,
    "prompt_tokens": int,
    "latency": ("relaxed", "tight"),
    "private": (False, True),
}
# The questions as people ask them.
QUESTIONS = {
    "lacks": "what is wrong with the replies: format (shape, tone, words), judgement (a rule or a "
    "way to reason), facts, both (facts and format), nothing (but speed or cost)",
    "prompted": "whether a good prompt was tried: not yet, is enough, is not enough",
    "rows": "good training rows that you have or can get",
    "facts_change": "how often facts change: seldom, weekly",
    "cites": "whether answers have to name their source",
    "behaviour_changes": "whether the wanted behaviour itself changes every few weeks",
    "tests": "whether there are held-out rows to measure on",
    "calls": "calls per day",
    "prompt_tokens": "tokens of the prompt that works today",
    "latency": "relaxed or tight",
    "private": "whether the data may not leave your machines",
}
# Rows from which a tuning was worth it here; the guides say from 50 to 1,000.
LEAST = {"format": 50, "both": 50, "nothing": 50, "judgement": 100}
MANY_ROWS = 1000  # from which on no guide asks for more
LINE = 96  # characters of a line in a terminal
DEAR = 100_000_000  # prompt tokens per day: at a dollar for a million, a hundred dollars a day


@dataclass(frozen=True)
class Situation:
    """The answers to `QUESTIONS`; what is not said is what decides nothing.

    Raises UserError for an answer that a question does not take.
    """

    lacks: str = "format"
    prompted: str = FAILS
    rows: int = 1000
    facts_change: str = "seldom"
    cites: bool = False
    behaviour_changes: bool = False
    tests: bool = True
    calls: int = 1000
    prompt_tokens: int = 300
    latency: str = "relaxed"
    private: bool = False

    def __post_init__(self) -> None:
        for column in fields(self):
            check_answer(column.name, getattr(self, column.name))

    @property
    def needs_facts(self) -> bool:
        """Whether facts are missing, go stale, or have to name their source."""
        needs_form = self.lacks in ("format", "judgement")
        stale = self.cites or self.facts_change == "weekly"
        return self.lacks in ("facts", "both") or (needs_form and stale)

    @property
    def needs_form(self) -> bool:
        """Whether it is the behaviour that is wrong, alone or beside the facts."""
        return self.lacks in ("format", "judgement", "both")

    @property
    def works(self) -> bool:
        """Whether a prompt gives the right replies already."""
        return self.lacks == "nothing" or self.prompted == ENOUGH

    @property
    def is_dear(self) -> bool:
        """Whether there is a reason to leave a prompt that works: time, tokens, or privacy."""
        return self.latency == "tight" or self.private or self.calls * self.prompt_tokens >= DEAR

    @property
    def teachable(self) -> bool:
        """Whether there are rows enough, and the behaviour stays what they show."""
        return self.rows >= LEAST.get(self.lacks, 0) and not self.behaviour_changes


def check_answer(name: str, value: object) -> None:
    """Refuse an answer that a question does not take."""
    taken = ANSWERS[name]
    if taken is int:
        if not is_whole(value) or value < 0:
            raise UserError(f"{name} is {value!r}; give a whole number from 0 on.")
        return
    known = list(taken) if isinstance(taken, tuple) else []
    # 0 and 1 are equal to False and True, and are none
    if type(value) is not type(known[0]) or value not in known:
        raise UserError(
            f"{name} is {value!r}; give one of {', '.join(map(str, known))}."
            f"{nearest(value, map(str, known))}"
        )


class Rule(NamedTuple):
    """When it fits, what it says, why, and which questions of the guides it touches."""

    name: str
    fits: Callable[[Situation], bool]
    what: str
    why: str
    then: str  # the next step
    asks: tuple[str, ...] = ()  # keys of data/decisions.json


RULES = (
    Rule(
        "no test set", lambda s: not s.tests, MEASURE,
        "without held-out rows nobody can tell whether a prompt, an index or a tuning helped",
        "put a hundred or two real questions with their right answers aside, none to be tuned on",
    ),
    Rule(
        "facts", lambda s: s.needs_facts and not s.needs_form, RETRIEVE,
        "a fact tuned in by one wording is half known in others, goes stale, and teaches the model "
        "to answer about things that it does not know; an index is right as soon as it is updated",
        "index the facts, measure recall@k, and put the passages before the question",
        ("facts",),
    ),
    Rule(
        "facts, and a format by prompt", lambda s: s.needs_facts and s.prompted != FAILS,
        RETRIEVE,
        "passages bring the facts, and a schema named in the prompt may bring the format: "
        "nothing to train",
        "retrieve, name the schema behind the question, and measure both before tuning",
        ("facts", "prompt first"),
    ),
    Rule(
        "facts, and a format to be tuned", lambda s: s.needs_facts and s.teachable, BOTH,
        "facts come from an index, and the form from rows that have passages in their prompts: a "
        "model tuned without them reads passages worse than its base",
        "make rows that carry retrieved passages, tune on those, and ask with passages",
        ("both", "rows"),
    ),
    Rule(
        "facts, and too few rows", lambda s: s.needs_facts, RETRIEVE,
        "the facts can be retrieved today; for the format there are too few rows, or it will not "
        "stay what they show",
        "retrieve, name the schema in the prompt, and collect rows",
        ("facts", "rows"),
    ),
    Rule(
        "it works, and costs little", lambda s: s.works and not s.is_dear, PROMPT,
        "the replies are right already, so a tuning could only make them shorter to ask for",
        "keep the prompt, and its test set for the day when the model changes",
        ("few shots",),
    ),
    Rule(
        "it works, and costs much", lambda s: s.works and s.teachable, TUNE,
        "the replies are right, so a smaller model can learn them, run on your own machines, and "
        "need no long prompt",
        "tune a small model on the replies that are right, and count when it has paid for itself",
        ("latency", "volume", "rows"),
    ),
    Rule(
        "it works, and can't be taught yet", lambda s: s.works, PROMPT,
        "it costs much, but there are too few rows, or they would not stay true",
        "keep the prompt and store its right replies: they are the rows",
        ("rows", "volume"),
    ),
    Rule(
        "no prompt was tried", lambda s: s.prompted == UNTRIED, PROMPT,
        "a schema named behind the question, or a list and six lines of Python, may do it all "
        "in an afternoon",
        "try the schema in words, a list to be parsed, and a few solved examples, on the test set",
        ("prompt first", "few shots"),
    ),
    Rule(
        "behaviour that changes", lambda s: s.behaviour_changes, PROMPT,
        "a prompt is changed in a minute, a tuning has to be made, tested and rolled out again",
        "keep the behaviour in the prompt until it stays the same for longer than a tuning takes",
    ),
    Rule(
        "too few rows", lambda s: not s.teachable, PROMPT,
        "so few rows teach their own wording, and leave none to test with",
        "prompt for now, and collect rows until there are as many as were enough here",
        ("rows", "few shots"),
    ),
    Rule(
        "behaviour", lambda s: True, TUNE,
        "the failure is one of behaviour, prompts were not enough, and there are rows to show it",
        "tune on the best prompt that you have: it needs the fewest rows and steps",
        ("prompt first", "rows"),
    ),
)  # fmt: skip


class Saying(NamedTuple):
    """A sentence as it stands in a guide."""

    guide: str  # its title
    date: str
    sentence: str


class Question(NamedTuple):
    """A question that the rule touches, and what the guides say to it."""

    question: str
    agree: bool
    sayings: list[Saying]


@dataclass(frozen=True, repr=False)
class Recommendation(Result):
    """What to do, by which rule, and what would change it."""

    situation: Situation
    rule: str
    what: str
    why: str
    then: str
    changes: dict[str, str]  # {"rows = 49": what would be recommended}
    guides: list[Question]

    @property
    def disagreements(self) -> list[Question]:
        """The questions to which the guides say different things."""
        return [asked for asked in self.guides if not asked.agree]

    def table(self) -> TableParts:
        """The reason, the next step, what would change it, and what the guides say."""
        rows = [("because", self.why), ("next", self.then)]
        rows += [(f"if {answer}", what) for answer, what in self.changes.items()]
        for asked in self.guides:
            head = "the guides agree" if asked.agree else "the guides disagree"
            rows.append((head, asked.question))
            rows += [(f"· {s.guide}", f"“{s.sentence}”") for s in asked.sayings]
        return f"Recommendation: {self.what}", ("", self.rule), rows

    def __repr__(self) -> str:
        # sentences are too long for columns, so they are broken into lines
        title, (_, rule), rows = self.table()
        shown = [title, f"  by the rule: {rule}"]
        for head, text in rows:
            wide = {"width": LINE, "initial_indent": "  ", "subsequent_indent": "      "}
            shown += textwrap.wrap(f"{head}: {text}", **wide)
        return "\n".join(shown)

    __str__ = __repr__

    def json(self) -> dict:
        """The answers, the recommendation, and what the guides say, as plain values."""
        return {
            "situation": asdict(self.situation),
            "what": self.what,
            "rule": self.rule,
            "why": self.why,
            "then": self.then,
            "changes": self.changes,
            "guides": [
                {**asked._asdict(), "sayings": [said._asdict() for said in asked.sayings]}
                for asked in self.guides
            ],
        }


def rule_for(situation: Situation) -> Rule:
    """The first rule that fits; the last one fits all."""
    return next(rule for rule in RULES if rule.fits(situation))


def choose(situation: Situation | None = None, **answers: Any) -> Recommendation:
    """What to do in a situation, or with these answers to `QUESTIONS`.

    Raises UserError for a question that there is not, and an answer that one does not take.
    """
    for name in answers:
        if name not in ANSWERS:
            raise UserError(
                f"there is no question {name!r}; there are {', '.join(ANSWERS)}."
                f"{nearest(name, ANSWERS)}"
            )
    situation = replace(situation or Situation(), **answers)
    rule = rule_for(situation)
    return Recommendation(
        situation=situation,
        rule=rule.name,
        what=rule.what,
        why=rule.why,
        then=rule.then,
        changes=list_changes(situation),
        guides=[question_of_guides(key) for key in rule.asks if matters(key, situation)],
    )


def matters(key: str, situation: Situation) -> bool:
    """Whether a question of the guides is one in this situation: rows are none where many are."""
    if key == "rows":
        return situation.rows < MANY_ROWS
    return key != "prompt first" or situation.lacks in ("format", "both")


def list_changes(situation: Situation) -> dict[str, str]:
    """{one other answer: what would be recommended then}, where that is something else.

    Of numbers, the nearest one that changes it: fewer rows or more, or a hundred times the calls.
    """
    now, changes = rule_for(situation).what, {}
    for name, taken in ANSWERS.items():
        others = taken if isinstance(taken, tuple) else NUMBERS.get(name, ())
        for other in others:
            if other == getattr(situation, name):
                continue
            what = rule_for(replace(situation, **{name: other})).what
            if what != now:
                changes[f"{name} = {other}"] = what
                break
    return changes


NUMBERS = {"rows": (49, 99, 50, 100), "calls": (1_000, 1_000_000), "prompt_tokens": (100_000, 100)}


@cache
def decisions() -> dict:
    """data/decisions.json: the guides' titles, their sentences by question, and the cards."""
    return json.loads(data_path("decisions.json").read_text(encoding="utf-8"))


def question_of_guides(key: str) -> Question:
    """What the guides say to a question."""
    stated, guides = decisions()["questions"][key], decisions()["guides"]
    sayings = [
        Saying(guides[said["guide"]]["title"], guides[said["guide"]]["date"], said["sentence"])
        for said in stated["says"]
    ]
    return Question(stated["question"], stated.get("agree", False), sayings)


@dataclass(frozen=True)
class Card:
    """An example of a guide's: its sentence, the situation in our words, and what it recommends.

    disputed: the question on which other guides, or what was measured here, say otherwise.
    """

    guide: str
    sentence: str
    situation: Situation
    expected: str
    disputed: str = ""


def cards() -> list[Card]:
    """The guides' own examples, 46 of them."""
    titles: Mapping[str, Mapping] = decisions()["guides"]
    return [
        Card(
            guide=titles[card["guide"]]["title"],
            sentence=card["says"],
            situation=Situation(**card["answers"]),
            expected=card["expected"],
            disputed=card.get("disputed", ""),
        )
        for card in decisions()["cards"]
    ]
