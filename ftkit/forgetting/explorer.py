"""The learning-forgetting plane: what a tuning learned against what is left of everything else, one
point a setting of a grid.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from ..core.results import about, decimal_bytes, percent_in
from ..show.marks import decades, tile
from ..show.svg import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    PLAIN,
    Drawing,
    Frame,
    box,
    dot,
    drawing,
    line,
    mix,
    words,
)
from .plane import Curve, LiveRun, PlaneSetting, Spot, describe, frontier

TICKS = (0, 0.5, 0.75, 0.9, 0.96, 0.99, 1)  # of a stretched axis
HEIGHT = 454


def stretched(share: float) -> float:
    """−√(1 − share): a place on an axis that gives the last percents room; 75, 96 and 99 % stand
    0.5, 0.2 and 0.1 before 100 %.
    """
    return -math.sqrt(max(0.0, 1 - share))


def stretched_frame(
    skills: Iterable[float],
    task: Iterable[float],
    left: float,
    top: float,
    width: float,
    height: float,
) -> Frame:
    """The plane's area: skills to the right, task upwards, both from the tick below the lowest
    share to 100 %.
    """
    ends = [
        max(t for t in TICKS[:-2] if t < lowest - 0.01 or not t)
        for lowest in (min(skills), min(task))
    ]
    return Frame(left, top, width, height, *((stretched(end), 0.0) for end in ends))


def ticks(bounds: tuple[float, float]) -> dict[float, str]:
    """The stretched axis's ticks inside its bounds."""
    return {stretched(t): f"{100 * t:g}" for t in TICKS if stretched(t) >= bounds[0]}


def place(frame: Frame, skills: float, task: float) -> tuple[float, float]:
    """The pixel of a pair of shares."""
    return frame.at(stretched(skills), stretched(task))


def plane(
    found: Mapping[PlaneSetting, Spot],
    chosen: PlaneSetting,
    trials: Sequence[LiveRun],
    frame: Frame,
) -> str:
    """Every setting faint, the frontier as a line, the chosen one in colour with the range of its
    seeds, runs made here numbered.
    """
    here, edge = found[chosen], frontier(found.values())
    x, y = place(frame, here.skills[0], here.task[0])
    parts = [frame.axes(ticks(frame.x), ticks(frame.y), "task right, %")]
    parts.append(line([place(frame, s.skills[0], s.task[0]) for s in edge], PLAIN, 1.6))
    for one in found.values():
        at = place(frame, one.skills[0], one.task[0])
        colour = PLAIN if one in edge else FAINT
        parts.append(dot(*at, 3.4, colour) if one.setting.r else dot(*at, 2.9, "white", colour))
    across = [place(frame, share, here.task[0]) for share in here.skills[1:]]
    along = [place(frame, here.skills[0], share) for share in here.task[1:]]
    parts += [line(across, ACCENT, 2), line(along, ACCENT, 2), dot(x, y, 5, ACCENT)]
    for trial in trials:
        at = place(frame, trial.skills, trial.task)
        if trial.setting in found:
            grid = found[trial.setting]
            parts.append(line([place(frame, grid.skills[0], grid.task[0]), at], INK, 1, "2 2"))
        parts += [
            dot(*at, 6, INK),
            words(at[0], at[1] + 3, str(trial.number), 8.5, "white", "middle", bold=True),
        ]
    parts.append(
        f"<circle cx='{x:.1f}' cy='{y:.1f}' r='10' fill='none' stroke='{ACCENT}' stroke-width='2'/>"
    )
    return "".join(parts)


def losses(here: Spot, made: Sequence[Curve], frame: Frame) -> str:
    """The training loss of the grid's runs, mean and range, and in ink the curves of runs made
    here.
    """
    above = [frame.at(step, max(high, frame.y[0])) for step, _, _, high in here.curve]
    below = [frame.at(step, max(low, frame.y[0])) for step, _, low, _ in here.curve]
    area = " ".join(f"{x:.1f},{y:.1f}" for x, y in [*above, *below[::-1]])
    parts = [f"<polygon points='{area}' fill='{mix('#ffffff', ACCENT, 0.22)}'/>"]
    parts.append(line([frame.at(step, mean) for step, mean, _, _ in here.curve], ACCENT, 1.8))
    parts += [
        line([frame.at(step, max(loss, frame.y[0])) for step, loss in curve], INK, 1.3)
        for curve in made
        if curve
    ]
    last = round(frame.x[1])
    steps = {1: "1", last: f"step {last}"}
    return "".join(
        [*parts, frame.axes(steps, decades(*frame.y), "training loss, nats per answer token")]
    )


def loss_frame(
    here: Spot, made: Sequence[Curve], left: float, top: float, width: float, height: float
) -> Frame:
    """The area of `losses`: logarithmic upwards, wide enough for whoever made more steps."""
    seen = [loss for _, *three in here.curve for loss in three] + [
        loss for curve in made for _, loss in curve
    ]
    low, high = max(1e-4, min(seen)), max(seen)
    steps = max([here.curve[-1][0], *(curve[-1][0] for curve in made if curve)])
    return Frame(
        left,
        top,
        width,
        height,
        (1, max(2, steps)),
        (low / 1.3, max(high, 10 * low) * 1.2),
        log_y=True,
    )


def by_skill(here: Spot, base: Mapping[str, float], left: float, top: float) -> str:
    """Every skill's share after the tuning as a bar with the range of its seeds; a small mark where
    the base model stands.
    """
    parts, half = [], math.ceil(len(here.by_skill) / 2)
    for i, (name, (mean, low, high)) in enumerate(here.by_skill.items()):
        x, y = left + 146 * (i // half), top + 17.5 * (i % half)
        begin, lost = x + 58, mean < base.get(name, 1) - 0.1
        parts.append(words(x, y, name, 10.5) + box(begin, y - 8, 46, 8, mix("#ffffff", FAINT, 0.4)))
        parts.append(box(begin, y - 8, 46 * mean, 8, ACCENT if lost else PLAIN))
        parts.append(line([(begin + 46 * low, y - 4), (begin + 46 * high, y - 4)], INK, 1.2))
        if name in base:
            parts.append(
                line(
                    [(begin + 46 * base[name], y - 10), (begin + 46 * base[name], y + 2)], INK, 1.2
                )
            )
        parts.append(
            words(begin + 71, y, f"{100 * mean:.0f}", 10.5, ACCENT if lost else GREY, "end")
        )
    return "".join(parts)


def plane_view(
    found: Mapping[PlaneSetting, Spot],
    chosen: PlaneSetting,
    base: Mapping[str, float] | None = None,
    trials: Sequence[LiveRun] = (),
    live: Curve = (),
) -> Drawing:
    """One setting of a grid of runs (see `spots`): its loss, its task score, what it forgot by
    skill, and all settings on one plane.

    base: the base model's share by skill; trials: runs made here, each shown beside what the grid
    foretold; live: the loss of a run of this very setting that is being made. Shares are means over
    seeds, with their range.
    """
    here = found[chosen]
    made = [*(trial.curve for trial in trials if trial.setting == chosen), live]
    measured = [trial for trial in trials if trial.task is not None]
    shares = (
        [*(getattr(s, what)[1] for s in found.values()), *(getattr(t, what) for t in measured)]
        for what in ("skills", "task")
    )
    frame = stretched_frame(*shares, 54, 128, 350, 262)
    tiles = (
        (
            f"{100 * here.task[0]:.1f} %",
            f"task right, {100 * here.task[1]:.1f} to {100 * here.task[2]:.1f}",
            ACCENT,
        ),
        (
            f"{100 * here.skills[0]:.1f} %",
            f"skills still right, {100 * here.skills[1]:.1f} to {100 * here.skills[2]:.1f}",
            INK,
        ),
        (
            decimal_bytes(4 * here.trainable),
            f"{'adapter' if chosen.r else 'all weights'} in fp32",
            INK,
        ),
        (f"{here.loss:.3g}", "last training loss, nats per token", INK),
    )
    parts = [
        *(tile(x, 66, *shown) for x, shown in zip((16, 192, 376, 560), tiles, strict=True)),
        plane(found, chosen, measured, frame),
        words(frame.left + frame.width / 2, 422, "skills still right, %", 11, INK, "middle"),
        key(442),
        losses(here, made, loss_frame(here, made, 504, 128, 216, 86)),
        words(470, 268, "share right by skill, %", 11, INK),
        by_skill(here, base or {}, 470, 290),
        words(
            470,
            422,
            "mean and range" + ("; the upright mark is the base" if base else ""),
            10.5,
            GREY,
        ),
    ]
    text = f"{chosen}: task right {percent_in(*here.task)}, skills right {percent_in(*here.skills)}, mean and range of {here.seeds} seeds"
    text += f"; loss {about(here.loss)}; {decimal_bytes(4 * here.trainable)} in fp32"
    text += "".join(f"; {describe(trial, found)}" for trial in trials)
    return drawing(
        chosen.title, parts, text, f"{chosen.aside}; {here.seeds} seeds: mean and range", HEIGHT
    )


def key(y: float) -> str:
    """What the marks of the plane mean."""
    marks = [
        (dot(20, y - 4, 5, ACCENT), "chosen", 30),
        (dot(88, y - 4, 3.4, FAINT), "adapters", 96),
        (dot(158, y - 4, 2.9, "white", FAINT), "full", 166),
        (line([(200, y - 4), (216, y - 4)], PLAIN, 1.6), "frontier", 221),
        (dot(282, y - 4, 5, INK), "run here; axes stretched near 100", 291),
    ]
    return "".join(mark + words(x, y, text, 10.5, GREY) for mark, text, x in marks)
