"""The learning-forgetting plane, drawn: one setting of a grid of runs, and all of them around it.

    plane_view(spots, chosen)    its loss, its task score, what it forgot by skill, and the plane

Numbers in, picture out: `plane.gather_spots` makes the numbers, and `lab.open_playground` puts
controls in front of the picture and runs beside it. Notebooks 00 and 10.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..core.results import about, decimal_bytes, percent_in
from ..core.statistics import Range
from ..show.labels import decades, tile
from ..show.svg import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    MARGIN,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    Frame,
    box,
    dot,
    drawing,
    line,
    mix,
    polygon,
    ring,
    words,
)
from .plane import (
    Curve,
    LiveRun,
    PlaneSetting,
    Spot,
    describe_run,
    frontier,
    nearest_setting,
    paths,
)

PATH = mix("#ffffff", FAINT, 0.6)  # one method over rising rates
TIE = mix("#ffffff", PLAIN, 0.45)  # from a name to its dot
TICKS = (0, 0.5, 0.75, 0.9, 0.96, 0.99, 1)  # of a stretched axis
CORNER, CORNER_TICKS = 0.9, (0.9, 0.95, 0.98, 0.995, 1)  # of the plane when it is zoomed
BYTES_FP32 = 4  # per parameter

# Tiles above; left the plane and its key, right the losses and below them the skills as bars.
HEIGHT = 454
TILES, TILE_Y = (MARGIN, 192, 376, 560), 66
PLANE = Area(left=54, top=128, width=350, height=262)
LOSSES = Area(left=504, top=128, width=216, height=86)
SKILLS = Area(left=470, top=290, width=290, height=122)  # its top is the foot of the first name
COLUMN, ROW = 146, 17.5  # from skill to skill, in two columns
BAR_AT, BAR = 58, 46  # from a skill's name to its bar, and the bar's length at 100 %
KEY_Y = 442
NOTE_Y = 43  # of the sentence on a setting that was not run, between title and tiles
NAME_LETTER, NAME_STEP, NAME_GAP = 5.4, 14, 12  # of the names beside the frontier


def stretch(share: float) -> float:
    """−√(1 − share): a place on an axis that gives the last percents room.

    75, 96 and 99 % stand 0.5, 0.2 and 0.1 before 100 %.
    """
    return -math.sqrt(max(0.0, 1 - share))


def stretched_ticks(bounds: tuple[float, float]) -> dict[float, str]:
    """The ticks of a stretched axis inside its bounds, in percent."""
    shares = CORNER_TICKS if bounds[0] >= stretch(CORNER) else TICKS
    ticks = {stretch(tick): f"{100 * tick:g}" for tick in shares}
    return {place: text for place, text in ticks.items() if place >= bounds[0]}


def plane_frame(spots: Iterable[Spot], runs: Iterable[LiveRun], *, zoom: bool = False) -> Frame:
    """The plane's axes: skills to the right, task upwards, wide enough for all of them.

    Both go from the tick below the lowest share to 100 %; zoomed, from CORNER.
    """
    if zoom:
        return PLANE.frame((stretch(CORNER), 0.0), (stretch(CORNER), 0.0))
    spots, runs = list(spots), list(runs)
    skills = [*(spot.skills.low for spot in spots), *(run.skills for run in runs)]
    task = [*(spot.task.low for spot in spots), *(run.task for run in runs)]
    return PLANE.frame((stretch(tick_below(skills)), 0.0), (stretch(tick_below(task)), 0.0))


def tick_below(shares: Iterable[float | None]) -> float:
    """The tick where an axis begins that has to hold these shares, with a little room."""
    lowest = min(share for share in shares if share is not None)
    return max(tick for tick in TICKS[:-2] if tick < lowest - 0.01 or not tick)


def pixel(frame: Frame, skills: float, task: float) -> tuple[float, float]:
    """Where a pair of shares stands on the plane; what lies below its axes stands on them."""
    return frame.at(max(frame.x[0], stretch(skills)), max(frame.y[0], stretch(task)))


def is_inside(frame: Frame, spot: Spot) -> bool:
    """Whether a spot stands on this part of the plane."""
    return stretch(spot.skills.value) >= frame.x[0] and stretch(spot.task.value) >= frame.y[0]


def draw_plane(
    spots: Mapping[PlaneSetting, Spot], here: Spot, runs: Sequence[LiveRun], frame: Frame
) -> str:
    """Every spot, the frontier as a line, the chosen one in colour, runs made here numbered."""

    def at(spot: Spot) -> tuple[float, float]:
        return pixel(frame, spot.skills.value, spot.task.value)

    # faint paths over rising rates; the frontier; full dots are adapters, hollow ones are full
    shown = {setting: spot for setting, spot in spots.items() if is_inside(frame, spot)}
    edge = [spot for spot in frontier(spots.values()) if is_inside(frame, spot)]
    on_edge = {spot.setting for spot in edge}
    parts = [frame.axes(stretched_ticks(frame.x), stretched_ticks(frame.y), "task right, %")]
    parts += [line(map(at, path), PATH, 1) for path in paths(shown.values())]
    # where the rate alone differs, every dot has its name
    alone = len({replace(setting, lr=0.0) for setting in spots}) == 1
    parts.append(name_spots(list(shown.values()) if alone else edge, frame))
    parts.append(line([at(spot) for spot in edge], PLAIN, 1.6))
    for setting, spot in shown.items():
        colour = PLAIN if setting in on_edge else FAINT
        adapter, full = (3.4, colour), (2.9, "white", colour)
        parts.append(dot(*at(spot), *adapter) if setting.r else dot(*at(spot), *full))

    # the chosen one, with the range of its seeds across and along
    across = [pixel(frame, share, here.task.value) for share in (here.skills.low, here.skills.high)]
    along = [pixel(frame, here.skills.value, share) for share in (here.task.low, here.task.high)]
    parts += [line(across, ACCENT, 2), line(along, ACCENT, 2), dot(*at(here), 5, ACCENT)]

    # runs made here; the ring comes last, over all of them
    parts += [draw_run(run, spots.get(run.setting), frame) for run in runs]
    return "".join([*parts, ring(*at(here), 10, ACCENT)])


def draw_run(run: LiveRun, foretold: Spot | None, frame: Frame) -> str:
    """A run made here as its number, tied to what the grid foretold if that has such runs."""
    place = pixel(frame, run.skills, run.task)  # type: ignore # these were measured
    tie = ""
    if foretold:
        there = pixel(frame, foretold.skills.value, foretold.task.value)
        tie = line([there, place], INK, 1, "2 2")
    number = words(place[0], place[1] + 3, str(run.number), 8.5, "white", "middle", bold=True)
    return tie + dot(*place, 6, INK) + number


def name_spots(spots: Sequence[Spot], frame: Frame) -> str:
    """The spots' settings in the empty corner below, from the highest, tied to their dots."""
    places = [(pixel(frame, spot.skills.value, spot.task.value), spot) for spot in spots]
    left, y = frame.left + NAME_GAP, frame.bottom - NAME_STEP * len(spots) + 4
    # where only the rate differs, the rate is the name
    names = {spot.setting: spot.setting.short for spot in spots}
    if len({replace(setting, lr=0.0) for setting in names}) == 1:
        names = {setting: f"lr {setting.lr:g}" for setting in names}
    long = NAME_LETTER * max(map(len, names.values()), default=0)
    # clear of a dot that stands above the corner
    if any(place[0] < left + long for place, _ in places):
        left += long
    parts = []
    for place, spot in sorted(places, key=lambda one: one[0][1]):
        side = left - 4 if place[0] < left else left + long
        parts.append(line([(side, y - 4), place], TIE, 0.8))
        parts.append(words(left, y, names[spot.setting], SMALL, PLAIN))
        y += NAME_STEP
    return "".join(parts)


def loss_frame(here: Spot, curves: Sequence[Curve]) -> Frame:
    """The axes of `draw_losses`: logarithmic upwards, wide enough for whoever made more steps."""
    losses = [loss for _, *three in here.curve for loss in three]
    losses += [loss for curve in curves for _, loss in curve]
    low, high = max(1e-4, min(losses)), max(losses)
    steps = max([here.curve[-1][0], *(curve[-1][0] for curve in curves if curve)])
    return LOSSES.frame((1, max(2, steps)), (low / 1.3, max(high, 10 * low) * 1.2), log_y=True)


def draw_losses(here: Spot, curves: Sequence[Curve]) -> str:
    """The training loss of the grid's runs, mean and range, and in ink that of runs made here."""
    frame = loss_frame(here, curves)
    floor = frame.y[0]  # what lies below it is drawn on it

    # the range of the seeds as a band, their mean as a line
    above = [frame.at(step, max(high, floor)) for step, _, _, high in here.curve]
    below = [frame.at(step, max(low, floor)) for step, _, low, _ in here.curve]
    parts = [polygon([*above, *below[::-1]], mix("#ffffff", ACCENT, 0.22))]
    parts.append(line([frame.at(step, mean) for step, mean, _, _ in here.curve], ACCENT, 1.8))

    for curve in curves:
        if curve:
            parts.append(line([frame.at(step, max(loss, floor)) for step, loss in curve], INK, 1.3))
    last = round(frame.x[1])
    steps: dict[float, str] = {1: "1", last: f"step {last}"}
    parts.append(frame.axes(steps, decades(*frame.y), "training loss, nats per answer token"))
    return "".join(parts)


def draw_skills(here: Spot, base: Mapping[str, float]) -> str:
    """Every skill's share after the tuning as a bar; an upright mark where the base stands."""
    half = math.ceil(len(here.by_skill) / 2)
    parts = []
    for i, (name, seeds) in enumerate(here.by_skill.items()):
        x, y = SKILLS.left + COLUMN * (i // half), SKILLS.top + ROW * (i % half)
        parts.append(words(x, y, name, SMALL))
        parts.append(draw_skill(x + BAR_AT, y, seeds, base.get(name)))
    return "".join(parts)


def draw_skill(x: float, y: float, seeds: Range, base: float | None) -> str:
    """One bar that begins at x and the number after it; in colour where much was lost."""
    lost = seeds.value < (1 if base is None else base) - 0.1
    low, high, middle = x + BAR * seeds.low, x + BAR * seeds.high, y - 4
    parts = [
        box(x, y - 8, BAR, 8, mix("#ffffff", FAINT, 0.4)),
        box(x, y - 8, BAR * seeds.value, 8, ACCENT if lost else PLAIN),
        line([(low, middle), (high, middle)], INK, 1.2),
    ]
    if base is not None:
        mark = x + BAR * base
        parts.append(line([(mark, y - 10), (mark, y + 2)], INK, 1.2))
    colour = ACCENT if lost else GREY
    parts.append(words(x + BAR + 25, y, f"{100 * seeds.value:.0f}", SMALL, colour, "end"))
    return "".join(parts)


def draw_tiles(here: Spot) -> str:
    """Task, skills, size and loss as numbers, above everything else."""
    task, skills = here.task, here.skills
    task_range = f"{100 * task.low:.1f} to {100 * task.high:.1f}"
    skills_range = f"{100 * skills.low:.1f} to {100 * skills.high:.1f}"
    trained = "adapter" if here.setting.r else "all weights"
    tiles = [
        (f"{100 * task.value:.1f} %", f"task right, {task_range}", ACCENT),
        (f"{100 * skills.value:.1f} %", f"skills still right, {skills_range}", INK),
        (decimal_bytes(BYTES_FP32 * here.trainable), f"{trained} in fp32", INK),
        (f"{here.loss:.3g}", "last training loss, nats per token", INK),
    ]
    return "".join(tile(x, TILE_Y, *parts) for x, parts in zip(TILES, tiles, strict=True))


def draw_key(spots: Mapping[PlaneSetting, Spot], runs: Sequence[LiveRun]) -> str:
    """What the marks of the plane mean, those that there are, and that its axes are stretched."""
    y = KEY_Y - 4  # marks stand on the middle of the letters
    marks = [
        (dot(20, y, 5, ACCENT), "chosen", 30, True),
        (dot(88, y, 3.4, FAINT), "adapters", 96, any(one.r for one in spots)),
        (dot(158, y, 2.9, "white", FAINT), "full", 166, not all(one.r for one in spots)),
        (line([(200, y), (216, y)], PLAIN, 1.6), "frontier", 221, True),
        (line([(272, y), (288, y)], PATH, 1.6), "rate rising", 293, True),
        (dot(362, y, 5, INK), "run here", 371, bool(runs)),
    ]
    key = "".join(
        mark + words(x, KEY_Y, text, SMALL, GREY) for mark, text, x, here in marks if here
    )
    note = "both axes are stretched towards 100 %"
    return key + words(PLANE.right, PLANE.top - 6, note, SMALL, GREY, "end")


def plane_view(
    spots: Mapping[PlaneSetting, Spot],
    chosen: PlaneSetting,
    base: Mapping[str, float] | None = None,
    runs: Sequence[LiveRun] = (),
    live: Curve = (),
    *,
    zoom: bool = False,
) -> Drawing:
    """One setting of a grid of runs: its loss, its task score, what it forgot, and the plane.

    A setting that is not in the grid shows what comes nearest to it, and says so. zoom: only the
    corner of the plane in which both are above 90 %.

    spots: see `plane.gather_spots`; shares are means over seeds, with their range. base: the base
    model's share by skill. runs: runs made here, each shown beside what the grid foretold. live:
    the loss of a run of this very setting that is being made.
    """
    here = spots[chosen] if chosen in spots else spots[nearest_setting(chosen, spots)]
    missing = "" if chosen in spots else f"{chosen} is not in the grid; nearest: {here.setting}"
    # a run that was stopped has a loss and no place on the plane
    curves = [*(run.curve for run in runs if run.setting == chosen), live]
    measured = [run for run in runs if run.task is not None]
    frame = plane_frame(spots.values(), measured, zoom=zoom)
    note = "mean and range" + ("; the upright mark is the base" if base else "")
    parts = [
        draw_tiles(here),
        draw_plane(spots, here, measured, frame),
        frame.x_label("skills still right, %"),
        draw_key(spots, measured),
        draw_losses(here, curves),
        words(SKILLS.left, SKILLS.top - 22, "share right by skill, %"),
        draw_skills(here, base or {}),
        words(SKILLS.left, SKILLS.bottom + 10, note, SMALL, GREY),
        words(MARGIN, NOTE_Y, missing, SMALL, ACCENT),
    ]
    text = f"{missing}; " * bool(missing) + describe_view(here, spots, runs)
    aside = f"{here.setting.aside}; {here.seeds} seeds: mean and range"
    return drawing(here.setting.title, parts, text, aside, HEIGHT)


def describe_view(here: Spot, spots: Mapping[PlaneSetting, Spot], runs: Sequence[LiveRun]) -> str:
    """The whole picture in one line of words."""
    task, skills = percent_in(*here.task), percent_in(*here.skills)
    parts = [
        f"{here.setting}: task right {task}, skills right {skills}, "
        f"mean and range of {here.seeds} seeds",
        f"loss {about(here.loss)}",
        f"{decimal_bytes(BYTES_FP32 * here.trainable)} in fp32",
        *(describe_run(run, spots) for run in runs),
    ]
    return "; ".join(parts)
