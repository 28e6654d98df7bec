"""TODO header of core.errors."""

import difflib
import math
from collections.abc import Iterable


class UserError(ValueError):
    """Something the user can mend: one sentence with the value, what is allowed and the cure. The
    verbs print it and exit 1.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """' Did you mean …?' when a known spelling is close, else nothing."""
    close = difflib.get_close_matches(str(word), list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def is_number(value: object) -> bool:
    """True for a finite number, which True and False are not meant to be."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> bool:
    """True for a whole number."""
    return is_number(value) and isinstance(value, int)
