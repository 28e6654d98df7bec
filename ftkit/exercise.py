"""Exercises that answer back: a check names the likely mistake instead of only saying 'wrong'."""

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check says about an answer; `right` is None as long as there is no answer."""

    right: bool | None
    text: str

    def __repr__(self) -> str:
        return f"{ {None: 'Your turn', True: 'Right', False: 'Not yet'}[self.right] }: {self.text}"

    def _repr_html_(self) -> str:
        head, text = repr(self).split(": ", 1)
        return f"<b>{head}:</b> {html.escape(text)}"


def check(answer: object, right: object, mistakes: Mapping[object, str] | None = None, because: str = "") -> Verdict:
    """Hold `answer` against `right` (numbers to six digits).

    mistakes: wrong answers that people do give, each with what went wrong; because: said with a right answer.
    """
    if answer is None or answer is ...:
        return Verdict(None, "put your answer in place of the three dots and run the cell again.")
    if same(answer, right):
        return Verdict(True, because or f"{right}.")
    for wrong, why in (mistakes or {}).items():
        if same(answer, wrong):
            return Verdict(False, why)
    return Verdict(False, f"{answer!r} is not it, and not one of the usual mistakes either; look at the cell above once more.")


def same(a: object, b: object) -> bool:
    """Equal; numbers up to a relative 1e-6."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6)
    return a == b
