"""How figures become a word: the judges that the ledger's rows share.

    each(figures)              all as said: holds; none: fails; some: depends
    each_clear(figures)        the same of those figures that are not open
    settle_conflict(figures)   guides that differ, one figure each or more: which of them is right?
    settle_by_setting(figures) the same where a guide may be right in one setting and not in another
    interval_above(bound)      makes a judge: the first figure's interval lies above a bound
    interval_below(bound)      the same below it
    reported(figures)          what was only told: unverified, until something was measured
    possible_words(judge, …)   every word that a judge gives when figures are moved about

A judge sees figures alone. What stands between "fails" and "holds" is "cannot be told": see
`claim.Claim`. Rows with a rule of their own write it beside them. Seen in notebook 17.
"""

import math
from collections.abc import Sequence

from .claim import (
    DEPENDS,
    FAILS,
    HERE,
    HOLDS,
    NOT_HERE,
    OPEN,
    SETTLED,
    UNVERIFIED,
    Figure,
    Judge,
)


def true_word(figures: Sequence[Figure]) -> str:
    """HERE where a figure was measured on rows or seeds, else HOLDS."""
    return HERE if any(one.measured for one in figures) else HOLDS


def false_word(figures: Sequence[Figure]) -> str:
    """NOT_HERE where a figure was measured on rows or seeds, else FAILS."""
    return NOT_HERE if any(one.measured for one in figures) else FAILS


def answers(figures: Sequence[Figure]) -> list[bool | None]:
    """The answers of the figures about which something was said."""
    return [one.answer for one in figures if one.said is not None]


def each(figures: Sequence[Figure]) -> str:
    """All within what was said: holds. None: fails. Some within and some outside: depends.

    Cannot be told where an interval covers an end, and no other figures differ.
    """
    found = answers(figures)
    if True in found and False in found:
        return DEPENDS
    if not found or None in found:
        return OPEN
    return true_word(figures) if found[0] else false_word(figures)


def each_clear(figures: Sequence[Figure]) -> str:
    """As `each`, of the figures that are clear of an end alone: for cases of which some are open.

    Cannot be told where none is clear.
    """
    return each([one for one in figures if one.answer is not None])


def all_within(figures: Sequence[Figure]) -> str:
    """All within what was said: holds. One outside: fails. Else cannot be told."""
    found = answers(figures)
    if False in found:
        return false_word(figures)
    return OPEN if not found or None in found else true_word(figures)


def settle_conflict(figures: Sequence[Figure]) -> str:
    """Some of what the guides say is right and some is not: the conflict is settled.

    A figure is held against what one guide says; where one has several settings, this is not the
    judge. All right: it depends, as each is true of its own setting. All wrong: fails. Cannot be
    told where no figure lies clear of what was said, or where all that do say the same and others
    are open.
    """
    found = answers(figures)
    if True in found and False in found:
        return SETTLED
    if not found or None in found:
        return OPEN
    return DEPENDS if found[0] else false_word(figures)


def interval_above(bound: float) -> Judge:
    """A judge by the first figure: holds where its interval lies above `bound`."""
    return lambda figures: all_within([figures[0]._replace(said=(bound, math.inf))])


def interval_below(bound: float) -> Judge:
    """A judge by the first figure: holds where its interval lies below `bound`."""
    return lambda figures: all_within([figures[0]._replace(said=(-math.inf, bound))])


def reported(figures: Sequence[Figure]) -> str:
    """Unverified while no figure was measured; then as `each`."""
    if any(one.measured for one in figures if one.said is not None):
        return each(figures)
    return UNVERIFIED


def settle_by_setting(figures: Sequence[Figure]) -> str:
    """As `settle_conflict`, where what a guide says may be right in one setting alone.

    A figure is named "what a guide says: the setting". What is right in no setting is wrong; what
    is right in some is right there. Some wrong and some right: the conflict is settled. None wrong:
    holds if all settings agree, else it depends on the setting. All wrong: fails.
    """
    by_guide: dict[str, list[bool | None]] = {}
    for one in figures:
        if one.said is not None:
            by_guide.setdefault(one.what.partition(":")[0], []).append(one.answer)
    right = [True in found for found in by_guide.values()]
    open_ones = any(None in found and True not in found for found in by_guide.values())
    if open_ones or not right:
        return OPEN
    if all(right):
        every = all(False not in found and None not in found for found in by_guide.values())
        return true_word(figures) if every else DEPENDS
    return SETTLED if any(right) else false_word(figures)


def possible_words(judge: Judge, figures: Sequence[Figure]) -> set[str]:
    """The words that a judge gives when each figure is moved inside, outside and across.

    All of them at once, the first and the last alone, and with every figure measured or none. A
    judge that has one word alone decides nothing, whatever its figures are.
    """
    found = {judge(figures)}
    for move in (inside, outside, across):
        moved = [move(one) for one in figures]
        tried = [moved, [moved[0], *figures[1:]], [*figures[:-1], moved[-1]]]
        tried.append([inside(figures[0]), *(outside(one) for one in figures[1:])])
        tried.append([one._replace(n=one.n or 1) for one in moved])
        found |= {judge(some) for some in tried}
    return found


def inside(figure: Figure) -> Figure:
    """The figure where it makes true what was said; without such a thing, at 1."""
    least, most = figure.said or (0.0, 2.0)
    finite = [end for end in (least, most) if math.isfinite(end)] or [0.0]
    middle = sum(finite) / len(finite)
    value = middle if len(finite) == 2 else middle + (1 if math.isfinite(least) else -1)
    return at(figure, value, value)


def outside(figure: Figure) -> Figure:
    """The figure where it makes false what was said: beyond an end of it."""
    least, most = figure.said or (0.0, 2.0)
    value = most + 1 + abs(most) if math.isfinite(most) else least - 1 - abs(least)
    return at(figure, value, value)


def across(figure: Figure) -> Figure:
    """The figure with an interval from the one to the other."""
    ends = sorted((inside(figure).value, outside(figure).value))
    return at(figure, *ends)


def at(figure: Figure, low: float, high: float) -> Figure:
    """The figure somewhere else; exact where both ends are one and it was exact."""
    if low == high and figure.low is None:
        return figure._replace(value=low)
    return figure._replace(value=(low + high) / 2, low=low, high=high)
