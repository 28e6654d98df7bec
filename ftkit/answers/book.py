"""All exercises and predictions by their ids, such as "00.1" or "00.share".

    find_exercise("00.1")      the `Exercise`, or a UserError with the nearest id
    find_prediction("00.cost") the `Prediction`
    exercises("00")            all of a notebook's, in order; predictions("00") the same

An id is the notebook's name up to the first underscore, a point, and a number or a word. What is
asked and what is right lies in the rooms by theme; `lessons` shows it to a reader.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TypeVar

from ..core.errors import UserError, nearest
from . import first_steps, judging, mathematics, sizes, training
from .exercise import Exercise, Prediction

ROOMS = (first_steps, mathematics, sizes, training, judging)
Asked = TypeVar("Asked", Exercise, Prediction)


@cache
def all_exercises() -> Mapping[str, Exercise]:
    """Every exercise by its id, in the order of the rooms."""
    return {asked.id: asked for room in ROOMS for asked in room.EXERCISES}


@cache
def all_predictions() -> Mapping[str, Prediction]:
    """Every prediction by its id, in the order of the rooms."""
    return {asked.id: asked for room in ROOMS for asked in room.PREDICTIONS}


def find_exercise(name: str) -> Exercise:
    """The exercise of this id; raises UserError, with the nearest one, where there is none."""
    return find("exercise", name, all_exercises())


def find_prediction(name: str) -> Prediction:
    """The prediction of this id; raises UserError, with the nearest one, where there is none."""
    return find("prediction", name, all_predictions())


def find(kind: str, name: object, known: Mapping[str, Asked]) -> Asked:
    """What bears this id among those known."""
    if isinstance(name, str) and name in known:
        return known[name]
    # an id of the other kind, or none at all
    if isinstance(name, str) and name in all_exercises():
        raise UserError(f"{name} is an exercise: check({name!r}, your answer).")
    if isinstance(name, str) and name in all_predictions():
        raise UserError(f"{name} is a prediction: predict({name!r}, your guess).")
    first = next(iter(known))
    raise UserError(f"there is no {kind} {name!r}; ids look like {first}.{nearest(name, known)}")


def exercises(notebook: str) -> Sequence[Exercise]:
    """A notebook's exercises in order; raises UserError where there is no such notebook."""
    return of_notebook(notebook, all_exercises())


def predictions(notebook: str) -> Sequence[Prediction]:
    """A notebook's predictions in order; raises UserError where there is no such notebook."""
    return of_notebook(notebook, all_predictions())


def of_notebook(notebook: str, asked: Mapping[str, Asked]) -> Sequence[Asked]:
    """Those whose id begins with a notebook's."""
    known = list(dict.fromkeys(name.split(".")[0] for name in (*all_exercises(), *asked)))
    if notebook not in known:
        raise UserError(
            f"no notebook {notebook!r} has exercises; there are {', '.join(known)}."
            f"{nearest(notebook, known)}"
        )
    return [item for name, item in asked.items() if name.split(".")[0] == notebook]
