"""Preferences behind controls: rate and β, group size and distance, and who is pushed up and down.

    pairs_view(runs)          log p of chosen and rejected by step, and what came of it
    explore_pairs(rows)       the same behind sliders of rate and β
    rewards_view(runs)        reward, gold and distance by step
    explore_rewards(rows)     the same behind menus of reward, group size and cost of distance
    pushes_view(pushes)       each token of a pair: is it likelier than before?
    explore_pushes(steps)     the same behind a slider of steps

Rows are those of the grid "preferences" (`runs.PreferenceRow`), seeds of one setting beside each
other; pushes come from `measures.token_pushes`. Nothing is computed here but means. Notebook 12.
"""

import statistics
from collections.abc import Mapping, Sequence

from ..core.errors import UserError
from ..core.results import about
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    GREY,
    INK,
    NORMAL,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    Frame,
    box,
    drawing,
    line,
    mix,
    words,
)
from .measures import Pushes
from .runs import PreferenceRow

COURSE = Area(70, 70, 300, 170)
BARS = Area(560, 62, 150, 0)
BAR, BAR_GAP, NUMBER = 16, 30, 28
THICK, THIN = 2.4, 0.8
# What is shown of a run on pairs, by its name in the scores; and in words.
SHOWN = {
    "pairs right": "pairs right",
    "unsure": "strangers: I don't know",
    "right": "known facts right",
    "over_refusal": "known facts refused",
    "skills": "skills",
}
FULL = 3.0  # nats per token from which a token's box has its full colour
LETTER, AROUND, HEIGHT, LINE, END = 8.2, 12, 24, 46, 730


def check_runs(runs: Sequence[PreferenceRow]) -> Sequence[PreferenceRow]:
    """Refuse no runs, and runs of several settings as if they were seeds of one."""
    if not runs:
        raise UserError("no run of the grid has this setting; choose one that the controls offer.")
    settings = {(r.study, r.start, r.teacher, r.source, r.lr, r.beta, r.group) for r in runs}
    if len(settings) > 1:
        raise UserError(f"these are runs of {len(settings)} settings; give the seeds of one.")
    return runs


def series(run: PreferenceRow, column: str) -> list[tuple[float, float]]:
    """(step, value) of a column of a run's curve."""
    if column not in run.columns:
        raise UserError(f"the run has no column {column!r}; it has {', '.join(run.columns)}.")
    place = list(run.columns).index(column)
    points = [(values[0], values[place]) for values in run.curve]
    return [(step, value) for step, value in points if step is not None and value is not None]


def mean_line(lines: Sequence[Sequence[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The mean over lines at each step that all of them have."""
    return [
        (points[0][0], statistics.fmean(value for _, value in points))
        for points in zip(*lines, strict=False)
    ]


def draw_courses(
    area: Area, runs: Sequence[PreferenceRow], columns: Mapping[str, str], label: str
) -> str:
    """Columns of runs by step, {column: colour}: a thin line a seed, a thick one for the mean."""
    lines = {column: [series(run, column) for run in runs] for column in columns}
    values = [value for each in lines.values() for one in each for _, value in one]
    steps = [step for each in lines.values() for one in each for step, _ in one]
    low, high = min([0.0, *values]), max([0.0, *values])
    room = 0.05 * (high - low) or 1.0
    frame = area.frame((1, max(steps, default=1)), (low - room, high + room))
    ticks = {value: tick(value) for value in (low, high)}
    last = max(steps, default=1)
    parts = [frame.axes({1: "1", last: f"{last:.0f}"}, ticks, label), frame.x_label("step")]
    for column, colour in columns.items():
        parts += [draw_line(frame, one, colour, THIN) for one in lines[column]]
        parts.append(draw_line(frame, mean_line(lines[column]), colour, THICK))
    return "".join(parts)


def tick(value: float) -> str:
    """A number at an axis: two digits, and all that stand before the point."""
    return f"{value:.0f}" if abs(value) >= 100 else about(value, 2).lstrip("≈")


def draw_line(
    frame: Frame, points: Sequence[tuple[float, float]], colour: str, thick: float
) -> str:
    """A line of (step, value) in a frame."""
    return line([frame.at(*point) for point in points], colour, thick)


def legend(x: float, y: float, colours: Mapping[str, str]) -> str:
    """What the colours are, side by side."""
    parts = []
    for name, colour in colours.items():
        parts.append(box(x, y - 9, 10, 10, colour) + words(x + 15, y, name, NORMAL, INK))
        x += 30 + 7 * len(name)
    return "".join(parts)


def mean_of(runs: Sequence[PreferenceRow], name: str, *, before: bool = False) -> float:
    """The mean of a score over seeds."""
    return statistics.fmean((run.before if before else run.scores)[name] for run in runs)


def pairs_view(runs: Sequence[PreferenceRow]) -> Drawing:
    """Seeds of one setting on pairs: log p by step on the left, what came of it on the right.

    A tick on a bar is what the model was before. Raises UserError for no runs or several settings.
    """
    runs = check_runs(runs)
    colours = {"chosen": ACCENT, "rejected": PLAIN}
    parts = [
        draw_courses(COURSE, runs, colours, "log p of an answer, nats"),
        legend(COURSE.left, COURSE.bottom + 52, colours),
    ]
    told = []
    for place, (name, label) in enumerate(SHOWN.items()):
        if name not in runs[0].scores:
            continue
        value, y = mean_of(runs, name), BARS.top + place * BAR_GAP
        parts.append(words(BARS.left - 8, y + 12, label, NORMAL, INK, "end"))
        parts.append(box(BARS.left, y, value * BARS.width, BAR, ACCENT, radius=2))
        told.append(f"{label} ≈{100 * value:.0f} %")
        end = BARS.left + value * BARS.width
        if name in runs[0].before:
            x = BARS.left + mean_of(runs, name, before=True) * BARS.width
            parts.append(line([(x, y - 3), (x, y + BAR + 3)], INK, 1.5))
            # the number does not lie on the tick
            end = max(end, x) if x < end + NUMBER else end
        parts.append(words(end + 6, y + 12, f"{100 * value:.0f}"))
    note = f"%, mean of {len(runs)} seeds; a tick: before"
    parts.append(words(BARS.left - 120, BARS.top + len(SHOWN) * BAR_GAP + 14, note, SMALL, GREY))
    right, known = mean_of(runs, "pairs right"), mean_of(runs, "right")
    title = f"{100 * right:.0f} % of the pairs right, {100 * known:.0f} % of the known facts"
    first = runs[0]
    text = f"{first.teacher}, rate {first.lr:g}, β {first.beta:g}: {', '.join(told)}"
    return drawing(title, parts, text, f"rate {first.lr:g}, β {first.beta:g}", height=300)


def explore_pairs(rows: Sequence[PreferenceRow]) -> Panel:
    """Choose a rate and a β, and see `pairs_view` of the seeds that have them.

    rows: of one study, start and loss, such as those of DPO behind SFT.
    """
    rows = [row for row in rows if "chosen" in row.columns]
    check_settings(rows, ("study", "start", "teacher", "source"))
    rates = sorted({row.lr for row in rows})

    def betas(lr: float) -> list[float]:
        return sorted({row.beta for row in rows if row.lr == lr})

    def view(lr: float, beta: float) -> Drawing:
        return pairs_view([row for row in rows if (row.lr, row.beta) == (lr, beta)])

    return Panel(view, title="Rate and β", call="prefer.explore_pairs(rows)", lr=rates, beta=betas)


def check_settings(rows: Sequence[PreferenceRow], names: Sequence[str]) -> None:
    """Refuse no rows, and rows that differ in what no control chooses."""
    if not rows:
        raise UserError("there are no such runs; give rows of the grid 'preferences'.")
    for name in names:
        found = sorted({str(getattr(row, name)) for row in rows})
        if len(found) > 1:
            raise UserError(
                f"the rows have several values of {name} ({', '.join(found)}); select those of one."
            )


def rewards_view(runs: Sequence[PreferenceRow]) -> Drawing:
    """Seeds of one setting on a reward: reward and gold by step on the left, distance on the right.

    Where replies can be verified the reward is gold. Raises UserError for no runs.
    """
    runs = check_runs(runs)
    hacked = "gold" in runs[0].columns
    colours = {"reward": ACCENT, "gold": PLAIN} if hacked else {"reward": ACCENT}
    beside = COURSE.beside(80, 250)
    parts = [
        draw_courses(COURSE, runs, colours, "what replies are worth"),
        draw_courses(beside, runs, {"kl": GREY}, "distance from the start, nats per reply"),
        legend(COURSE.left, COURSE.bottom + 52, colours),
    ]
    ends = {name: mean_line([series(run, name) for run in runs]) for name in (*colours, "kl")}
    told = ", ".join(
        f"{name} {about(line_of[0][1], 2)} → {about(line_of[-1][1], 2)}"
        for name, line_of in ends.items()
    )
    first = runs[0]
    rose, fell = ends["reward"], ends.get("gold", ends["reward"])
    what = f"reward {rose[0][1]:.1f} → {rose[-1][1]:.1f}"
    title = f"{what}, gold {fell[0][1]:.1f} → {fell[-1][1]:.1f}" if hacked else what
    aside = f"{first.source}, group {first.group}, a nat costs {first.beta:g}"
    return drawing(title, parts, f"{aside}: {told}", aside, height=310)


def explore_rewards(rows: Sequence[PreferenceRow]) -> Panel:
    """Choose a reward, a group size and what distance costs, and see `rewards_view`."""
    rows = [row for row in rows if "reward" in row.columns and not row.stop_at]
    check_settings(rows, ("study", "teacher"))
    sources = list(dict.fromkeys(row.source for row in rows))

    def groups(source: str) -> list[int]:
        return sorted({row.group for row in rows if row.source == source})

    def costs(source: str, group: int) -> list[float]:
        return sorted({r.beta for r in rows if (r.source, r.group) == (source, group)})

    def view(source: str, group: int, beta: float) -> Drawing:
        chosen = [r for r in rows if (r.source, r.group, r.beta) == (source, group, beta)]
        settings = {(r.lr, r.steps) for r in chosen}
        first = min(settings, key=lambda one: one[1])
        return rewards_view([r for r in chosen if (r.lr, r.steps) == first])

    choices = {"source": sources, "group": groups, "beta": costs}
    return Panel(
        view, title="A reward taken at its word", call="prefer.explore_rewards(rows)", **choices
    )


def pushes_view(pushes: Pushes) -> Drawing:
    """Both answers of a pair, each token in a box: red is likelier than before, blue less so.

    Below a box stands its change of log p in nats.
    """
    parts, y = [], 66.0
    for side in ("chosen", "rejected"):
        tokens, changes = getattr(pushes, side)
        total = sum(changes)
        parts.append(words(16, y, f"{side}: {total:+.1f} nats", NORMAL, INK, bold=True))
        drawn, y = draw_tokens(tokens, changes, y + 12)
        parts.append(drawn)
        y += LINE + 18
    up, down = sum(pushes.chosen[1]), sum(pushes.rejected[1])
    title = f"The chosen answer {in_words(up)} nats, the rejected {in_words(down)}"
    worst = min(zip(pushes.chosen[1], pushes.chosen[0], strict=True))
    text = (
        f"chosen {about(up, 2)} nats, rejected {about(down, 2)} nats; of the chosen "
        f"{worst[1]!r} loses most, {about(worst[0], 2)}"
    )
    return drawing(title, parts, text, "by token, after − before", height=round(y))


def in_words(change: float) -> str:
    """Which way something has moved, and how far."""
    return f"{'rises' if change > 0 else 'falls'} by {abs(change):.1f}"


def draw_tokens(tokens: Sequence[str], changes: Sequence[float], y: float) -> tuple[str, float]:
    """(boxes of tokens from y on, the y of the last line)."""
    parts, x = [], 16.0
    for token, change in zip(tokens, changes, strict=True):
        shown = token.replace(" ", "·") or "∅"
        width = max(LETTER * len(shown) + AROUND, 40)
        if x + width > END:
            x, y = 16.0, y + LINE
        share = min(1.0, abs(change) / FULL)
        fill = mix("#ffffff", "#e2604a" if change > 0 else "#4a7fe2", share)
        parts.append(box(x, y, width, HEIGHT, fill, ("#c8c8c8", 1), 3))
        parts.append(words(x + width / 2, y + 16, shown, NORMAL, INK, "middle"))
        parts.append(words(x + width / 2, y + HEIGHT + 12, f"{change:+.1f}", SMALL, GREY, "middle"))
        x += width + 4
    return "".join(parts), y


def explore_pushes(steps: Mapping[int, Pushes]) -> Panel:
    """Move through the steps of a run, and see `pushes_view` of one pair."""
    if not steps:
        raise UserError("there are no steps; give {step: pushes}, as measures.token_pushes gives.")

    def view(step: int) -> Drawing:
        return pushes_view(steps[step])

    return Panel(view, title="Who is pushed", call="prefer.explore_pushes(steps)", step=list(steps))
