"""What a lesson asks: exercises with their right answers, and predictions with their truth.

    Exercise(id, title, right, mistakes, …)   a number, a word or code of the reader's
    Mistake(wrong, why)                       a wrong answer that people do give, and what it tells
    Prediction(id, question, options, truth)  a guess before a cell runs: a choice, number or order
    Feedback(right, text)                     what is said about an answer

Whether an answer is right is found by `comparing`; the rooms beside it hold the exercises by theme,
and `book` finds one by its id. How a reader meets them is `lessons`. In every notebook.
"""

import html
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

HEADS = {None: "Your turn", True: "Right", False: "Not yet"}
DIFFICULTIES = ("easy", "medium", "hard")
NUMBER, SHARE, COUNT, NUMBERS = "number", "share", "count", "numbers"
WORDS, THING, NAMES, CODE = "words", "thing", "names", "code"
KINDS = (NUMBER, SHARE, COUNT, NUMBERS, WORDS, THING, NAMES, CODE)
Step = tuple[str, str]  # what is written on a fold, and what is in it


@dataclass(frozen=True, repr=False)
class Feedback:
    """What is said about an answer; `right` is None as long as there is no answer.

    more: folds below it, each (what is written on it, what is in it); note: said last.
    """

    right: bool | None
    text: str
    more: tuple[Step, ...] = ()
    note: str = ""

    def __repr__(self) -> str:
        folded = [f"  {head}: {text}" for head, text in self.more]
        said = [f"{HEADS[self.right]}: {self.text}", *folded, self.note]
        return "\n".join(filter(None, said))

    def _repr_html_(self) -> str:
        folds = [
            f"<details><summary>{html.escape(head)}</summary>{marked(text)}</details>"
            for head, text in self.more
        ]
        note = f"<div><small>{html.escape(self.note)}</small></div>" if self.note else ""
        return f"<b>{HEADS[self.right]}:</b> {marked(self.text)}{''.join(folds)}{note}"


UNANSWERED = Feedback(None, "put your answer in place of the three dots and run the cell again.")


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people do give: a value, or a function of the evidence that gives one."""

    wrong: Any
    why: str


@dataclass(frozen=True)
class Exercise:
    """One question of a notebook, and all that can be said to an answer.

    right: the answer, or a function of the evidence that gives it; for code, and for names (a dict
    with one for each thing), a function right(answer, *evidence) that gives a `Feedback`. kind: one
    of `KINDS`; choices: all words that may be answered; evidence: in words, what is to be passed
    behind the answer; decimals: places behind the point that are enough, where three significant
    digits are not asked for. `because` is said with a right answer, behind what a function says;
    `hint`, `look` (where to look) and `solution` are the ladder.
    """

    id: str
    title: str
    right: Any
    mistakes: tuple[Mistake, ...] = ()
    because: str = ""
    hint: str = ""
    look: str = ""
    solution: str = ""
    difficulty: str = "easy"
    minutes: int = 3
    importance: int = 3  # from 1, may be left out, to 5, the notebook's point
    kind: str = NUMBER
    choices: tuple[str, ...] = ()
    evidence: str = ""
    decimals: int | None = None


@dataclass(frozen=True)
class Prediction:
    """A question that is asked before the cell which answers it has run.

    options: what to choose from; or between: the lowest and highest number, in `unit`; or order:
    what to put in order. truth: a function of the evidence that gives the right option, number or
    order; told: the same evidence in words, such as "4.65 %"; evidence: what that is. near: how far
    off a number may be, as a factor (1.25: a quarter more or less) on a logarithmic scale, else in
    `unit`.
    """

    id: str
    question: str
    truth: Callable[[Any], Any]
    options: tuple[str, ...] = ()
    between: tuple[float, float] | None = None
    unit: str = ""
    log: bool = False
    near: float = 0.0
    order: tuple[str, ...] = ()
    told: Callable[[Any], str] | None = None
    evidence: str = ""

    @classmethod
    def of_share(
        cls,
        id: str,
        question: str,
        near: float,
        evidence: str,
        told: Callable[[Any], str] | None = None,
    ) -> "Prediction":
        """A share from 0 to 1, guessed from 0 to 100 %; near: so many points."""
        return cls(
            id, question, lambda share: 100 * share, between=(0, 100), unit="%", near=near,
            told=told, evidence=evidence,
        )  # fmt: skip


def marked(text: str) -> str:
    """A text as HTML, with `code` between backticks and lines kept."""
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text, quote=False))
    return shown.replace("\n", "<br>")
