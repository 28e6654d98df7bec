"""Exercises that answer back, and a ladder of help: one more step for every wrong answer.

    check("00.1", answer, …)   right, the likely mistake by name, or "your turn"
    hint("00.1")               the first step of the ladder, by hand
    solution("00.1")           its last

A wrong answer raises nothing. What is right stands in `answers`, by the exercise's id; what a
reader answered is kept in the `journal`. Every notebook asks in this way.
"""

import html
from dataclasses import dataclass, replace
from typing import Any

from .. import answers
from ..answers import Exercise, Feedback
from . import journal

HINT, LOOK, SOLUTION = "A hint", "Where to look", "The solution"


@dataclass(frozen=True, repr=False)
class Note:
    """A step of the ladder that was asked for: its name and its text."""

    head: str
    text: str

    def __repr__(self) -> str:
        return f"{self.head}: {self.text}"

    def _repr_html_(self) -> str:
        return f"<b>{html.escape(self.head)}:</b> {answers.marked(self.text)}"


def check(name: str, answer: Any = ..., *evidence: Any) -> Feedback:
    """Hold an answer against an exercise's right one; a wrong one is told what it likely is.

    name: the exercise's id. answer: a number in three digits, a word, or the reader's own function
    or class where code was asked for; None and three dots are no answer yet. evidence: what was
    measured, where the right answer depends on it. With each wrong answer one step more of help is
    folded below: a hint, where to look, the solution. Raises UserError for an unknown id.
    """
    asked = answers.find_exercise(name)
    found = answers.judge(asked, answer, *evidence)
    if found.right is None:
        journal.shown(name)
        return found

    # the same answer again is no further try
    past = tries(asked)
    said = journal.storable(answer)
    if asked.kind == answers.CODE and not found.right:
        said = f"{said}: {found.text}"[: journal.LONGEST]
    if not past or (past[-1].answer, past[-1].right) != (said, found.right):
        past = [*past, journal.write(name, journal.EXERCISE, said, right=found.right)]
    misses = sum(entry.right is False for entry in past)
    more = ladder(asked, 0 if found.right else misses)
    return replace(found, more=more, note=journal.say())


def tries(asked: Exercise) -> list[journal.Entry]:
    """What was answered to an exercise so far, oldest first."""
    notebook = asked.id.split(".")[0]
    return [entry for entry in journal.entries(notebook) if entry.id == asked.id]


def ladder(asked: Exercise, misses: int) -> tuple[tuple[str, str], ...]:
    """The folds after so many wrong answers; after a right one (0) the solution to compare with."""
    if misses == 0:
        return ((SOLUTION, asked.solution),) if asked.solution else ()
    steps = ((HINT, asked.hint), (LOOK, asked.look), (SOLUTION, asked.solution))
    return tuple(step for step in steps[:misses] if step[1])


def hint(name: str) -> Note:
    """An exercise's hint; raises UserError for an unknown id."""
    return Note(HINT, answers.find_exercise(name).hint)


def solution(name: str) -> Note:
    """An exercise's solution; raises UserError for an unknown id."""
    return Note(SOLUTION, answers.find_exercise(name).solution)
