"""Errors that teach: one sentence with the argument, its value, what is allowed and the cure.

    raise UserError(f"r is {r}; give a whole number from 1 to {most}.")
    raise UserError(f"there is no skill {name!r}.{nearest(name, SKILLS)}")

Every mistake that a user can mend is a `UserError`: the command line prints it and exits 1, and a
notebook shows it with the line of the cell that it came from. `is_whole` and `is_number` are how
the kit checks an argument. What is wrong with an installation or a run folder is found by `doctor`.
Met in every notebook.
"""

import difflib
import math
import re
import traceback
from collections.abc import Iterable
from typing import TypeGuard

CELL = r"ipykernel_\d+|^<ipython-input|^<cell"  # what IPython calls the file of a cell

BEGUN = 4  # letters of a word that may be the beginning of a longer one


class UserError(ValueError):
    """Something the user can mend, in one sentence: the value, what is allowed and the cure.

    The command line prints it without a traceback and exits 1. It is one printable line: what a
    file or a library puts into it, such as a tab or a line break, is written as Python would.
    """

    def __init__(self, sentence: object) -> None:
        super().__init__("".join(map(printable, str(sentence))))

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the sentence, and the cell's own line."""
        frames = traceback.extract_tb(self.__traceback__)
        own = [frame for frame in frames if re.search(CELL, frame.filename)]
        lines = [f"{type(self).__name__}: {self}"]
        if own and own[-1].line:
            lines += ["", f"    line {own[-1].lineno} of the cell: {own[-1].line}"]
        return lines


def printable(sign: str) -> str:
    """A sign, or what Python writes for one that can't be seen or ends a line."""
    return sign if sign.isprintable() else repr(sign)[1:-1]


def nearest(word: object, known: Iterable[str]) -> str:
    """The question " Did you mean 'nf4'?" where a known spelling is close to `word`, else "".

    Capitals count as small letters, and a name that begins with the word is close to it. It is
    meant for the end of an error's sentence, hence the blank in front.
    """
    spelled = {name.lower(): name for name in known}
    small = str(word).lower()
    close = difflib.get_close_matches(small, spelled, n=1)
    if not close and len(small) >= BEGUN:
        close = [name for name in spelled if name.startswith(small)]
    return f" Did you mean {spelled[close[0]]!r}?" if close else ""


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether `value` is a finite int or float.

    True and False are ints to Python and no numbers here: r=True is a slip, and not r=1. Text,
    NaN, infinity and None are none either.
    """
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_whole(value: object) -> TypeGuard[int]:
    """Whether `value` is a whole number: an int, and neither True nor False.

    2.0 is not whole, because what counts (a rank, rows, a seed) is written without a point. Ask
    for the range beside it: `is_whole(r) and 1 <= r <= most`.
    """
    return isinstance(value, int) and not isinstance(value, bool)


def reason(error: Exception) -> str:
    """The sentence of a library's error that says what is wrong, without its full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    # the last line is the reason of a validator, and where the first announces a list; elsewhere
    # the lines behind the first explain it
    listed = lines[0].endswith(":") or type(error).__name__.startswith("StrictDataclass")
    line = lines[-1] if listed else lines[0]
    if isinstance(error, KeyError):
        line = f"there is no {line}"
    # in a user's words, not in Python's
    line = (
        re.sub(r"^(\[PEFT\S*\] |\w+Error: )", "", line)
        .replace("'NoneType' object", "null")
        .replace("NoneType", "null")
    )
    line = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", line)
    return line.partition(". ")[0].rstrip(".")
