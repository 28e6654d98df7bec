"""Does it fit? One training step as a bar of its parts, against what a card holds.

    explore_fits(models, cards)        choose a step and a card, and see `memory_view`
    memory_view(ledger, card, limit)   the picture of one step, in GiB or GB
    steps_view(ledgers, title)         several steps as bars on one axis
    course_view(moments, limits)       one step from its first allocation on; explore_courses

The views draw numbers that are given to them: a `Ledger` of any view, and a limit in bytes. The
controls ask `formula.predict` and `gpus.usable_bytes`. Notebook 04.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.results import GIB, gibibytes
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    NORMAL,
    SMALL,
    UNDER_AXIS,
    UNDER_TICK,
    Area,
    Drawing,
    Frame,
    box,
    dot,
    drawing,
    line,
    polygon,
    words,
)
from .formula import predict
from .gpus import RESERVE, usable_bytes
from .gpus import cards as known_cards
from .sizes import read_architecture
from .step import CHOICES, METHODS, PARTS, Ledger

if TYPE_CHECKING:
    from .fake_step import Course

# The parts of a ledger in the order of a bar: what stands all the time first, then what tokens
# cost.
COLOURS = {
    "weights": "#30638e", "quant_state": "#86abc9", "workspace": "#8a96a1", "adapter": "#00798c",
    "optimizer": "#66a182", "gradients": "#8f6bb3", "activations": "#edae49", "logits": "#c4661f",
}  # fmt: skip
NAMES = {"quant_state": "quantization state", "logits": "logits and loss"}  # where they differ
UNITS = {"GiB": GIB, "GB": 10**9}  # what bytes are written in: what torch finds, what boxes say
# Where an axis may end, in its unit: few places, so that it rests while a slider moves.
AXIS_ENDS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 160, 320, 640, 1280)

# The positions of the sliders.
RANKS = (4, 8, 16, 32, 64, 128)
LENGTHS = tuple(2**n for n in range(7, 18))
BATCHES = (1, 2, 4, 8, 16)

# One step: its bar on an axis, what it says, and below that the parts beside the phases.
BAR = Area(left=40, top=66, width=690, height=44)
THICK = 38  # of the bar, above its axis
VERDICT = 172
ROW, SWATCH = 18, 10  # from one row of a list to the next, and the squares in it
PARTS_LEFT, PARTS_TOP = BAR.left, 200
PHASES_LEFT, PHASES_TOP = 370, 216
LONGEST = 130  # the bar of the fullest phase

# Several steps: names left of the bars, the colours in one line below.
BARS = Area(left=190, top=50, width=490, height=210)
LEGEND_TOP = 303
VISIBLE = 0.004  # of the axis: a part that is smaller everywhere is left out of the legend
LETTER = 6.0  # about as wide as a letter of the legend

# One step moment by moment: the areas, the phases below them, the colours below those.
COURSE, COURSE_POINTS = Area(left=54, top=62, width=670, height=220), 180
COURSE_LEGEND, COURSE_HEIGHT = 316, 340


def axis_end(size: float, unit: str = "GiB") -> float:
    """The end of an axis for `size` bytes, in this unit."""
    amount = size / UNITS[unit]
    return next((end for end in AXIS_ENDS if end >= 1.02 * amount), 1.1 * amount)


def sized(size: float, unit: str, digits: int = 3) -> str:
    """Bytes in one of `UNITS`, the unit left out: "1.500"."""
    return f"{size / UNITS[unit]:,.{digits}f}"


def axis_ticks(end: float) -> dict[float, str]:
    """Five ticks of an axis that ends at `end`: {value: what is written there}."""
    digits = "g" if end in AXIS_ENDS else ",.0f"
    return {end * i / 4: f"{end * i / 4:{digits}}" for i in range(5)}


def part_name(part: str) -> str:
    """A part as it is written in a picture."""
    return NAMES.get(part, part)


def draw_stack(ledger: Ledger, frame: Frame, top: float, height: float, unit: str = "GiB") -> str:
    """The parts of a ledger as one bar, from left to right in the order of `COLOURS`."""
    boxes, below = [], 0.0
    for part, colour in COLOURS.items():
        if size := ledger.parts.get(part, 0) / UNITS[unit]:
            left, right = frame.at(below, 0)[0], frame.at(below + size, 0)[0]
            boxes.append(box(left, top, right - left, height, colour))
            below += size
    return "".join(boxes)


def draw_limit(frame: Frame, label: str, limit: float, peak: float) -> str:
    """What the card holds as a line across the bar, with what goes beyond it framed.

    limit, peak: in the unit of the frame.
    """
    edge, end = frame.at(limit, 0)[0], frame.at(peak, 0)[0]
    parts = []
    if peak > limit:
        parts.append(box(edge, frame.top - 3, end - edge, frame.height, "none", (ACCENT, 2)))
    parts.append(line([(edge, frame.top - 10), (edge, frame.bottom)], INK, 2, "4 3"))
    # The label stands on that side of the line where there is more room.
    if edge > frame.middle[0]:
        parts.append(words(edge - 6, frame.top - 12, label, NORMAL, INK, "end"))
    else:
        parts.append(words(edge + 6, frame.top - 12, label, NORMAL, INK))
    return "".join(parts)


def list_parts(ledger: Ledger, x: float, y: float, unit: str) -> str:
    """Every part with its colour, its size and its share of the peak; the first stands on y."""
    parts = []
    for part, colour in COLOURS.items():
        if size := ledger.parts.get(part, 0):
            share = f"{100 * size / ledger.peak:.1f} %"
            parts += [
                box(x, y - 9, SWATCH, SWATCH, colour),
                words(x + 16, y, part_name(part)),
                words(x + 190, y, f"{sized(size, unit)} {unit}", NORMAL, INK, "end"),
                words(x + 245, y, share, NORMAL, GREY, "end"),
            ]
            y += ROW
    return "".join(parts)


def list_phases(ledger: Ledger, x: float, y: float, unit: str) -> str:
    """The peak of every phase as a thin bar; the highest is the step's."""
    parts = [words(x, y - 20, f"the fullest moment of each phase, {unit}", NORMAL, GREY)]
    for phase, size in ledger.phases.items():
        long = LONGEST * size / ledger.peak
        colour = ACCENT if phase == ledger.phase else FAINT
        parts += [
            words(x, y, phase),
            box(x + 150, y - 9, long, SWATCH, colour),
            words(x + 156 + long, y, sized(size, unit, 2), SMALL, GREY),
        ]
        y += ROW
    return "".join(parts)


def memory_view(
    ledger: Ledger, card: str, limit: float, unit: str = "GiB", title: str = ""
) -> Drawing:
    """One training step against one card, of which it may take `limit` bytes.

    Above, the parts at the peak and the card's line; below, their sizes, and the peak of every
    phase. unit: "GiB", as torch counts, or "GB", as guides and boxes do; UserError for another.
    title: in place of the model and the step's settings, which are then in its words alone.
    """
    if unit not in UNITS:
        raise UserError(f"unit is {unit!r}; give {' or '.join(map(repr, UNITS))}.")
    step, left = ledger.step, limit - ledger.peak
    fits = "fits" if left >= 0 else "does not fit"
    more = f"{sized(abs(left), unit, 2)} {unit} {'left' if left >= 0 else 'too much'}"
    verdict, colour = f"{fits}, {more}", INK if left >= 0 else ACCENT

    # The bar, and the card's line across it.
    end = axis_end(max(limit, ledger.peak), unit)
    frame = BAR.frame((0, end), (0, 1))
    label = f"{card}: {sized(limit, unit, 2)} {unit}"
    sentence = f"{sized(ledger.peak, unit, 2)} {unit} at the peak: {verdict}"
    parts = [
        draw_stack(ledger, frame, frame.top, THICK, unit),
        draw_limit(frame, label, limit / UNITS[unit], ledger.peak / UNITS[unit]),
        frame.axes(axis_ticks(end), {}, ""),
        words(frame.middle[0], frame.bottom + UNDER_AXIS, unit, SMALL, GREY, "middle"),
        words(BAR.left, VERDICT, sentence, 15, colour, bold=True),
        list_parts(ledger, PARTS_LEFT, PARTS_TOP, unit),
        list_phases(ledger, PHASES_LEFT, PHASES_TOP, unit),
    ]

    # The same in words.
    how = step_in_words(ledger)
    peak = f"{sized(ledger.peak, unit)} {unit} in '{ledger.phase}'"
    text = f"{step.name}, {how}: {peak}; {card}: {verdict}"
    return drawing(title or step.name, parts, text, "" if title else how)


def step_in_words(ledger: Ledger) -> str:
    """What a step does, as it stands below its picture."""
    step = ledger.step
    rank = "" if step.method == "full" else f" r {step.rank}"
    checkpointing = "on" if step.checkpointing else "off"
    return (
        f"{step.method}{rank}, {step.batch} × {step.seq:,} tokens, checkpointing {checkpointing}, "
        f"{step.optimizer}, {step.loss} loss"
    )


def steps_view(ledgers: Mapping[str, Ledger], title: str) -> Drawing:
    """One bar for each named ledger, six at most, on one axis."""
    end = axis_end(max(ledger.peak for ledger in ledgers.values()))
    frame = BARS.frame((0, end), (0, 1))
    parts = [
        frame.axes(axis_ticks(end), {}, ""),
        words(frame.right + 12, frame.bottom + UNDER_TICK, "GiB", SMALL, GREY),
    ]

    # A bar for each step, its name before and its peak behind it.
    apart = frame.height / len(ledgers)
    thick = 0.72 * apart
    for row, (name, ledger) in enumerate(ledgers.items()):
        top = frame.top + apart * (row + 0.14)
        foot = top + thick / 2 + 4
        behind = frame.at(ledger.peak / GIB, 0)[0] + 6
        parts += [
            words(frame.left - 8, foot, name, NORMAL, INK, "end"),
            draw_stack(ledger, frame, top, thick),
            words(behind, foot, gibibytes(ledger.peak, 2), bold=True),
        ]

    parts.append(draw_legend(ledgers.values(), visible=VISIBLE * end * GIB))
    peaks = (f"{name} {gibibytes(ledger.peak)} GiB" for name, ledger in ledgers.items())
    return drawing(title, parts, f"{title}: {', '.join(peaks)}")


def draw_legend(ledgers: Iterable[Ledger], visible: float) -> str:
    """The colours of all parts that have `visible` bytes in one of the ledgers, in one line."""
    largest: dict[str, int] = {}
    for ledger in ledgers:
        for part, size in ledger.parts.items():
            largest[part] = max(size, largest.get(part, 0))
    parts, x = [], float(BAR.left)
    for part, colour in COLOURS.items():
        if largest.get(part, 0) >= visible:
            name = part_name(part)
            parts.append(box(x, LEGEND_TOP, SWATCH, SWATCH, colour))
            parts.append(words(x + 14, LEGEND_TOP + 9, name, SMALL))
            x += 26 + LETTER * len(name)
    return "".join(parts)


def explore_fits(models: Sequence[str], cards: Iterable[str] | None = None) -> Panel:
    """Does it fit? Choose a step and a card, and see `memory_view`.

    models: names of architectures that the formula knows; cards: names of `cards()`, by default all
    of them. A card is held to be full when `RESERVE` of it is left to the allocator.
    """
    # What each card holds, and how long each model's rows may be.
    names = known_cards() if cards is None else cards
    limits = {card: (1 - RESERVE) * usable_bytes(card) for card in names}
    positions = {name: read_architecture(name).positions or max(LENGTHS) for name in models}

    def view(model: str, length: int, checkpoint: str, card: str, **options: Any) -> Drawing:
        ledger = predict(model, seq=length, checkpointing=checkpoint == "on", **options)
        return memory_view(ledger, card, limits[card])

    # One control for each choice; what the model takes limits the length.
    return Panel(
        view,
        start={"length": 2048, "method": "qlora", "rank": 16},
        title="Does it fit?",
        call="memory.explore_fits(models, cards)",
        model=list(models),
        length=lambda model: [n for n in LENGTHS if n <= positions[model]],
        batch=BATCHES,
        method=METHODS,
        rank=RANKS,
        checkpoint=["on", "off"],
        optimizer=CHOICES["optimizer"],
        loss=CHOICES["loss"],
        card=list(limits),
    )


def course_view(
    moments: Sequence[tuple[str, Sequence[int]]],
    limits: Mapping[str, float],
    title: str = "One step",
    highest: float = 0,
) -> Drawing:
    """One training step from its first allocation to its last, its parts as areas.

    moments: (phase, bytes of each of PARTS) in order, as `trace_course` gives them; limits: {card:
    bytes}, a line each; highest: bytes that the axis reaches at least, so that several steps can be
    compared. Across stands the order of the allocations and no time.
    """
    # what is drawn: of neighbouring moments the fullest
    shown = thin_out(moments, COURSE_POINTS)
    sums = [sum(parts) for _, parts in shown]
    peak = max(range(len(shown)), key=sums.__getitem__)
    end = axis_end(max([sums[peak], *limits.values(), highest]))
    frame = COURSE.frame((0, len(shown) - 1), (0, end))
    parts = draw_areas(shown, frame)

    # the phases below, the cards across, the peak as a dot
    parts += draw_course_phases([phase for phase, _ in shown], frame)
    for card, limit in limits.items():
        y = frame.at(0, limit / GIB)[1]
        parts.append(line([(frame.left, y), (frame.right, y)], INK, 1.4, "4 3"))
        label = f"{card}: {gibibytes(limit, 2)} GiB"
        parts.append(words(frame.right - 4, y - 5, label, SMALL, INK, "end"))
    place = frame.at(peak, sums[peak] / GIB)
    parts += [frame.axes({}, axis_ticks(end), "alive, GiB"), dot(*place, 5, ACCENT)]
    phase = shown[peak][0]
    aside = f"peak {gibibytes(sums[peak], 2)} GiB in '{phase}'"
    parts.append(draw_course_legend(shown, end))
    over = [card for card, limit in limits.items() if sums[peak] > limit]
    fits = f"; more than {', '.join(over)}" if over else ""
    text = f"{title}: {gibibytes(sums[peak])} GiB at the peak, in '{phase}'{fits}"
    return drawing(title, parts, text, aside, COURSE_HEIGHT)


def thin_out(
    moments: Sequence[tuple[str, Sequence[int]]], most: int
) -> list[tuple[str, Sequence[int]]]:
    """At most so many moments, each the fullest of its neighbours, none over two phases."""
    step = max(1, math.ceil(len(moments) / most))
    kept, group = [], []
    for moment in moments:
        if group and (len(group) == step or group[0][0] != moment[0]):
            kept.append(max(group, key=lambda one: sum(one[1])))
            group = []
        group.append(moment)
    return [*kept, max(group, key=lambda one: sum(one[1]))]


def draw_areas(shown: Sequence[tuple[str, Sequence[int]]], frame: Frame) -> list[str]:
    """The parts as areas on top of each other, in the order of `COLOURS`."""
    below = [0.0] * len(shown)
    areas = []
    for part, colour in COLOURS.items():
        place = PARTS.index(part)
        above = [low + parts[place] / GIB for low, (_, parts) in zip(below, shown, strict=True)]
        if above != below:
            upper = [frame.at(i, y) for i, y in enumerate(above)]
            lower = [frame.at(i, y) for i, y in enumerate(below)]
            areas.append(polygon([*corners(upper), *corners(lower[::-1])], colour))
        below = above
    return areas


def corners(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points of a line without those inside a level stretch, which draw nothing."""
    inner = zip(points, points[1:], points[2:], strict=False)
    bent = [here for before, here, after in inner if not before[1] == here[1] == after[1]]
    return [points[0], *bent, points[-1]]


def draw_course_phases(phases: Sequence[str], frame: Frame) -> list[str]:
    """A thin line where forward, loss, backward and optimizer begin, each name below its middle."""
    # all phases of one pass go by what stands before their comma
    names = [phase.split(",")[0] for phase in phases]
    begins = [0] + [i for i in range(1, len(names)) if names[i] != names[i - 1]]
    parts, busy = [], 0.0
    for begin, end in zip(begins, [*begins[1:], len(names) - 1], strict=True):
        x, _ = frame.at(begin, 0)
        parts.append(line([(x, frame.top), (x, frame.bottom + 4)], FAINT, 0.8))
        half = LETTER * len(names[begin]) / 2
        middle = min(max((x + frame.at(end, 0)[0]) / 2, frame.left + half), frame.right - half)
        if middle - half >= busy:
            parts.append(words(middle, frame.bottom + 15, names[begin], SMALL, GREY, "middle"))
            busy = middle + half
    return parts


def draw_course_legend(shown: Sequence[tuple[str, Sequence[int]]], end: float) -> str:
    """The colours of the parts that can be seen, in one line below the phases."""
    parts, x = [], float(COURSE.left)
    for part, colour in COLOURS.items():
        place = PARTS.index(part)
        if max(sizes[place] for _, sizes in shown) >= VISIBLE * end * GIB:
            parts.append(box(x, COURSE_LEGEND, SWATCH, SWATCH, colour))
            parts.append(words(x + 14, COURSE_LEGEND + 9, part_name(part), SMALL))
            x += 26 + LETTER * len(part_name(part))
    return "".join(parts)


def explore_courses(courses: "Mapping[str, Course]", cards: Iterable[str]) -> Panel:
    """Choose one of several traced steps, and see `course_view` with lines for the cards.

    courses: {what it is: Course}, such as one with and one without checkpointing; all on one axis.
    """
    limits = {card: (1 - RESERVE) * usable_bytes(card) for card in cards}
    highest = max(course.peak for course in courses.values())

    def course(step: str) -> Drawing:
        return course_view(courses[step].moments, limits, step, highest)

    title, call = "One training step, moment by moment", "memory.explore_courses(courses, cards)"
    return Panel(course, title=title, call=call, step=list(courses))
