"""Named shares as bars in SVG: what a slider moves, and what a count by name is shown as.

    share_bars(title, {"calm": 0.9, "urgent": (0.1, 0.0, 0.3)})    a `Drawing`

A share lies from 0 to 1; with its lowest and highest it has a line from the one to the other, over
seeds, say. Bars that no control moves, in groups and with intervals, are drawn by `plots`. Seen in
notebook 05.
"""

from collections.abc import Mapping, Sequence

from .svg import ACCENT, INK, Drawing, box, drawing, line, words

LEFT, WIDE, TOP, ROW = 250, 420, 52, 30  # where bars begin, their length at 1, and a bar's height
TRACK = "#eef1f4"  # what a bar leaves: paler than any bar


def share_bars(
    title: str,
    shares: Mapping[str, float | Sequence[float]],
    aside: str = "",
    *,
    colours: Mapping[str, str] | None = None,
) -> Drawing:
    """A bar for each named share.

    shares: {name: share}, or {name: (mean, lowest, highest)}. What lies outside 0 and 1 is cut
    there. colours: of bars that have one of their own.
    """
    parts, seen = [], []
    for row, (name, given) in enumerate(shares.items()):
        share, *ends = given if isinstance(given, Sequence) else (given,)
        y = TOP + ROW * row
        parts.append(words(LEFT - 10, y + 15, name, 11, INK, "end"))
        parts.append(box(LEFT, y, WIDE, 20, TRACK))
        parts.append(box(LEFT, y, WIDE * within(share), 20, (colours or {}).get(name, ACCENT)))
        # the range over seeds
        if ends and ends[0] != ends[1]:
            low, high = (LEFT + WIDE * within(end) for end in ends)
            parts.append(line([(low, y + 10), (high, y + 10)], INK, 2))
        said = f"{100 * share:.1f} %"
        parts.append(words(LEFT + WIDE + 10, y + 15, said))
        seen.append(f"{name} {said}")
    text = f"{title}: {', '.join(seen)}"
    return drawing(title, parts, text, aside, TOP + ROW * len(shares) + 10)


def within(share: float) -> float:
    """A share, cut at 0 and 1."""
    return min(1.0, max(0.0, share))
