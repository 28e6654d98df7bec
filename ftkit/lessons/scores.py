"""A card at the end of a notebook: what was predicted, what was answered, and in how many tries.

    score_card("00")   every prediction and exercise of a notebook, with what the reader made of it

It reads the `journal`, which says where it lies, and asks nothing itself. In every notebook, last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from .. import answers
from ..core.results import Result, TableParts
from . import journal
from .journal import EXERCISE, GUESS, TRUTH, Entry

PAUSE = timedelta(minutes=20)  # whoever answers nothing for longer has left the table
NOTHING = "–"
QUESTION = 58  # characters of a prediction's question


@dataclass(frozen=True, repr=False)
class ScoreCard(Result):
    """A notebook's predictions and exercises with a reader's answers: (id, what, said, right)."""

    notebook: str
    predicted: Sequence[tuple[str, str, str, str]]
    answered: Sequence[tuple[str, str, str, str]]
    predictions_right: int
    exercises_right: int
    minutes: float
    kept_in: str

    def table(self) -> TableParts:
        """One line for each prediction and exercise; the title counts those that were right."""
        heads = ("id", "what", "your answer", "outcome")
        lines = [*self.predicted, *self.answered]
        if all(line[2] == NOTHING for line in lines):
            exercises = in_words(len(self.answered), "exercise")
            asked = f"{in_words(len(self.predicted), 'prediction')} and {exercises}"
            return f"{asked}, none of them answered yet", heads, lines
        title = (
            f"{self.exercises_right} of {len(self.answered)} exercises right, "
            f"{self.predictions_right} of {len(self.predicted)} predictions right, "
            f"{in_words(round(self.minutes), 'minute')} between the first answer and the last; "
            f"{self.kept_in}"
        )
        return title, heads, lines


def in_words(n: int, what: str) -> str:
    """So many of them, in words: "1 minute", "2 minutes"."""
    return f"{n} {what}{'' if n == 1 else 's'}"


def score_card(notebook: str) -> ScoreCard:
    """What a reader has made of a notebook so far; raises UserError for an unknown one.

    notebook: its name up to the first underscore, such as "00" or "ten".
    """
    exercises, predictions = answers.exercises(notebook), answers.predictions(notebook)
    entries = journal.entries(notebook)
    by_id = {asked.id: [] for asked in (*exercises, *predictions)}
    for entry in entries:
        by_id.setdefault(entry.id, []).append(entry)

    # the lines, and how many of them are right
    answered = [exercise_line(asked, by_id[asked.id]) for asked in exercises]
    predicted = [prediction_line(asked, by_id[asked.id]) for asked in predictions]
    return ScoreCard(
        notebook,
        predicted,
        answered,
        sum(line[3].startswith("✓") for line in predicted),
        sum(line[3].startswith("✓") for line in answered),
        minutes_spent(entries),
        kept_in(),
    )


def exercise_line(asked: answers.Exercise, entries: Sequence[Entry]) -> tuple[str, str, str, str]:
    """An exercise with the last answer, and in how many tries it was right."""
    tried = [entry for entry in entries if entry.kind == EXERCISE]
    if not tried:
        return (
            asked.id,
            asked.title,
            NOTHING,
            f"{in_words(asked.minutes, 'minute')}, {asked.difficulty}",
        )
    # the tries up to the first right one
    until = next((n for n, entry in enumerate(tried, 1) if entry.right), None)
    count = until or len(tried)
    word = "✓ right" if until else "✗ not yet"
    tries = "try" if count == 1 else "tries"
    said = tried[-1] if until is None else tried[until - 1]
    return asked.id, asked.title, answers.spell(said.answer), f"{word}, {count} {tries}"


def prediction_line(
    asked: answers.Prediction, entries: Sequence[Entry]
) -> tuple[str, str, str, str]:
    """A prediction with its last guess, and what was true."""
    question = asked.question
    if len(question) > QUESTION:
        question = f"{question[: QUESTION - 1].rstrip()}…"
    kept = [entry for entry in entries if entry.kind != EXERCISE]
    guesses = [entry for entry in kept if entry.kind == GUESS]
    truths = [entry for entry in kept if entry.kind == TRUTH]
    said = spell_guess(guesses[-1].answer) if guesses else "skipped" if kept else NOTHING
    if not truths:
        return asked.id, question, said, NOTHING
    right = bool(guesses) and truths[-1].right
    sign = "✓" if right else "✗" if guesses else ""
    return asked.id, question, said, f"{sign} {spell_guess(truths[-1].answer)}".strip()


def spell_guess(answer: object) -> str:
    """A guess or a truth as it is said; a number as `reveal` rounds it."""
    if isinstance(answer, list):
        return ", ".join(map(str, answer))
    if isinstance(answer, float):
        return answers.three_digits(answer)
    return answer if isinstance(answer, str) else answers.spell(answer)


def minutes_spent(entries: Sequence[Entry]) -> float:
    """The minutes between the first answer and the last, without pauses of more than 20."""
    times = sorted(filter(None, (moment(entry.at) for entry in entries)))
    spent = [later - earlier for earlier, later in pairwise(times)]
    return sum((gap for gap in spent if gap <= PAUSE), timedelta()).total_seconds() / 60


def moment(text: str) -> datetime | None:
    """An entry's time; None for one that is none."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def kept_in() -> str:
    """Where the answers are kept, in words."""
    path = journal.journal_path()
    if path is None:
        return "kept in this kernel only"
    return f"kept in {path}"
