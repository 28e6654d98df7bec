"""Arms as bars, two tasks back to back: what is best on one is not on the other.

    arms_view(tasks, left, right)    the picture, of shares that were measured before
    explore_arms(tasks)              the view behind two menus

An arm has one colour by what it does, on both sides. What was measured comes from `arms`
(`Arms.shares`) or from a grid. Notebook 06.
"""

from collections.abc import Mapping

from ..core.errors import UserError, nearest
from ..core.results import percent_in
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    GREY,
    INK,
    METHOD_COLOURS,
    NORMAL,
    PLAIN,
    Area,
    Drawing,
    box,
    drawing,
    line,
    words,
)

# {task: {arm: (share right, low, high)}}
Tasks = Mapping[str, Mapping[str, tuple[float, float, float]]]

# What an arm does, by the words that are all in its name, and its colour; the first that fits.
COLOURS = (
    (("tuned", "retriev"), "#6a4c93"),
    (("tuned",), ACCENT),
    (("retriev",), METHOD_COLOURS["dora"]),
    (("zero",), METHOD_COLOURS["base"]),
    ((), PLAIN),  # any other prompt
)
NAMES_WIDTH = 168  # in the middle
LEFT = Area(16, 70, 280, 0)
RIGHT_AT = LEFT.right + NAMES_WIDTH
ROW, THICK = 30, 18


def colour_of(arm: str) -> str:
    """The colour of an arm, by what its name says that it does."""
    named = arm.lower()
    return next(colour for marks, colour in COLOURS if all(mark in named for mark in marks))


def arms_view(tasks: Tasks, left: str, right: str) -> Drawing:
    """Bars of every arm on two tasks, back to back, the best of each side in bold.

    tasks: {task: {arm: (share right, low, high)}}; an arm that a task has not been asked with is
    "not tried" there. Raises UserError for a task that there is not.
    """
    for name in (left, right):
        if name not in tasks:
            raise UserError(
                f"there is no task {name!r}; there are {', '.join(tasks)}.{nearest(name, tasks)}"
            )
    arms = list(dict.fromkeys(arm for task in (left, right) for arm in tasks[task]))
    best = {name: max(tasks[name], key=lambda arm: tasks[name][arm][0]) for name in (left, right)}
    parts = [
        words(LEFT.right, LEFT.top - 14, left, 13, INK, "end", bold=True),
        words(RIGHT_AT, LEFT.top - 14, right, 13, INK, bold=True),
    ]
    for place, arm in enumerate(arms):
        y = LEFT.top + place * ROW
        parts.append(words(LEFT.right + NAMES_WIDTH / 2, y + 13, arm, NORMAL, INK, "middle"))
        for task, side in ((left, -1), (right, 1)):
            if arm in tasks[task]:
                parts.append(draw_bar(tasks[task][arm], arm, y, side, bold=arm == best[task]))
            else:
                start, anchor = (LEFT.right - 6, "end") if side < 0 else (RIGHT_AT + 6, "start")
                parts.append(words(start, y + 13, "not tried", NORMAL, GREY, anchor))
    foot = LEFT.top + len(arms) * ROW
    for x in (LEFT.right, RIGHT_AT):
        parts.append(line([(x, LEFT.top - 6), (x, foot)], GREY))
    note = "share of exactly right answers, %, with its 95 % interval or the range of three seeds"
    parts.append(words(LEFT.left, foot + 20, note, NORMAL, GREY))
    title = f"Best on {left}: {best[left]}. Best on {right}: {best[right]}."
    return drawing(title, parts, in_words(tasks, left, right), height=int(foot + 34))


def draw_bar(
    share: tuple[float, float, float], arm: str, y: float, side: int, *, bold: bool
) -> str:
    """One arm's bar, growing to the left (side −1) or right (1), with its interval and number."""
    value, low, high = share
    room = LEFT.width - 44  # for the number
    start = LEFT.right if side < 0 else RIGHT_AT
    width = value * room
    x = start - width if side < 0 else start
    ends = [(start + side * room * end, y + THICK / 2) for end in (low, high)]
    number = words(
        start + side * (room * max(value, high) + 6),
        y + 13,
        f"{100 * value:.0f}" + (" ✓" if bold else ""),
        12 if bold else NORMAL,
        INK,
        "end" if side < 0 else "start",
        bold=bold,
    )
    return box(x, y, width, THICK, colour_of(arm), radius=2) + line(ends, INK, 1.2) + number


def in_words(tasks: Tasks, left: str, right: str) -> str:
    """The picture in a line: every arm with its share."""
    said = []
    for task in (left, right):
        shares = ", ".join(f"{arm} {percent_in(*share)}" for arm, share in tasks[task].items())
        said.append(f"{task}: {shares}")
    return "; ".join(said)


def explore_arms(tasks: Tasks) -> Panel:
    """Choose two tasks, and see `arms_view`. Raises UserError for fewer than two."""
    if len(tasks) < 2:
        raise UserError(f"there are {len(tasks)} tasks; give two at least.")
    names = list(tasks)

    def back_to_back(left: str, right: str) -> Drawing:
        return arms_view(tasks, left, right)

    return Panel(
        back_to_back,
        start={"left": names[0], "right": names[1]},
        title="What is best on one task is not on the other",
        call="decide.explore_arms(…)",
        left=names,
        right=names,
    )
