"""What a training costs, with sliders: its hours on an axis, and what each assumption does to them.

    explore_cost(models)           choose a case, and see `cost_view`
    cost_view(found, said)         one case: a tornado of its assumptions, and guides' figures
    break_even_view(costs, …)      money over calls: prompted, tuned, and where the lines cross

Both views are pictures of numbers that `assumptions` and `paying` give; the axis of hours is
logarithmic, because the assumptions differ by factors. Notebook 14.
"""

import math
from collections.abc import Iterable, Mapping, Sequence

from ..core.errors import UserError
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    FAINT,
    GREY,
    INK,
    MARGIN,
    NORMAL,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    Frame,
    box,
    dot,
    drawing,
    line,
    words,
)
from .assumptions import (
    FIGURES,
    USUAL_RANGES,
    WORDS,
    Case,
    Sensitivity,
    describe,
    in_dial,
    sensitivity,
    short_title,
)
from .estimates import in_hours
from .paying import check_amounts
from .prices import Range, in_money

# The tornado: names left, bars on a logarithmic axis, guides' figures above them.
BARS = Area(left=160, top=98, width=560, height=170)
THICK = 22  # of a bar
LETTER = 6.5  # width of one, SMALL
GUIDES_TOP, GUIDE_STEP, MOST_GUIDES = 50, 17, 3
TILES = 318
# Where an axis of hours may begin, end and have a tick: few places, so that it rests while a slider
# moves.
TICKS = {
    1 / 3600: "1 s", 1 / 360: "10 s", 1 / 60: "1 min", 1 / 6: "10 min", 1.0: "1 h", 10.0: "10 h",
    100.0: "100 h", 1e3: "1,000 h", 1e4: "10,000 h", 1e5: "100,000 h", 1e6: "1,000,000 h",
}  # fmt: skip
ROOM = 1.3  # left and right of what is drawn, for its words: a factor

# The positions of the sliders.
TOKENS = (128, 256, 512, 1024, 2048, 4096)
ROWS = (100, 300, 1000, 3000, 10_000, 100_000)
EPOCHS = (1, 2, 3, 5)
SHARES = (0.05, 0.1, 0.2, 0.3, 0.43)
CARDS = ("A100 40", "A100 80", "H100 80")

# Money over calls.
MONEY = Area(left=70, top=82, width=500, height=198)
NOTE = 45  # where it is said when the lines cross, below the title
LINES = (PLAIN, ACCENT, INK)  # colours of the ways


def axis_of(hours: Iterable[float]) -> tuple[Range, dict[float, str]]:
    """The ends of a logarithmic axis that holds these hours, and its ticks."""
    low, high = min(shown := list(hours)) / ROOM, max(shown) * ROOM
    begin = max((tick for tick in TICKS if tick <= low), default=low)
    end = min((tick for tick in TICKS if tick >= high), default=high)
    return (begin, end), {tick: text for tick, text in TICKS.items() if begin <= tick <= end}


def draw_swings(found: Sensitivity, frame: Frame) -> list[str]:
    """A bar per assumption from one outcome to the other, its ends named; the widest in red."""
    parts, apart = [], frame.height / len(found.swings)
    for row, swing in enumerate(found.swings):
        top = frame.top + apart * row + (apart - THICK) / 2
        foot = top + THICK / 2 + 4
        ends = sorted((swing.first, swing.last), key=lambda end: end[1])
        left, right = (frame.at(hours, 0)[0] for _, hours in ends)
        colour = ACCENT if row == 0 else PLAIN
        last = in_dial(swing.name, ends[1][0])
        # nothing is drawn through the words at its right end
        wide = LETTER * len(last)
        parts += [
            box(right + 3, top + 4, wide, THICK - 8, "white") if right + wide < frame.right else "",
            words(frame.left - 12, foot, WORDS[swing.name], NORMAL, INK, "end"),
            box(left, top, max(1.0, right - left), THICK, colour),
            words(left - 5, foot, in_dial(swing.name, ends[0][0]), SMALL, GREY, "end"),
            words(right + 5, foot, last, SMALL, GREY),
        ]
    return parts


def draw_guides(said: Mapping[str, Range], frame: Frame) -> list[str]:
    """What guides say as thick lines above the bars, each with its name."""
    parts = []
    for row, (name, (low, high)) in enumerate(said.items()):
        y = GUIDES_TOP + GUIDE_STEP * row
        left, right = frame.at(low, 0)[0], frame.at(high, 0)[0]
        right = max(right, left + 4)
        for x in (left, right):
            parts.append(line([(x, y), (x, frame.bottom)], FAINT, 1, "3 3"))
        parts.append(line([(left, y), (right, y)], INK, 5))
        anchor, x = ("end", left - 6) if left > frame.middle[0] else ("start", right + 6)
        parts.append(words(x, y + 4, f"{name} says", SMALL, INK, anchor))
    return parts


def cost_view(found: Sensitivity, said: Mapping[str, Range] | None = None) -> Drawing:
    """A case's hours, what each assumption does to them, and what guides say (three at most).

    found: a `sensitivity` of hours; said: {guide: (lowest, highest) hours}. Raises UserError for
    one of money, and for more guides than there is room for.
    """
    if found.of != "hours":
        raise UserError(f"found is a sensitivity of {found.of}; give one of hours.")
    if said and len(said) > MOST_GUIDES:
        raise UserError(f"said names {len(said)} guides; give {MOST_GUIDES} at most.")
    said, case = said or {}, found.case
    hours = [end[1] for swing in found.swings for end in (swing.first, swing.last)]
    span, ticks = axis_of([*hours, *(end for ends in said.values() for end in ends)])
    frame = BARS.frame(span, (0, 1), log_x=True)
    middle = frame.at(found.middle, 0)[0]
    low, high = found.together
    on = f"as chosen, on {case.cards} × {case.card}"
    parts = [
        *draw_guides(said, frame),
        *draw_swings(found, frame),
        line([(middle, frame.top - 6), (middle, frame.bottom)], INK, 1.6),
        dot(middle, frame.top - 8, 4.5, INK),
        frame.axes(ticks, {}, ""),
        words(BARS.left - 144, TILES, in_hours(found.middle), 17, INK, bold=True),
        words(BARS.left - 144, TILES + 15, on, SMALL, GREY),
        words(310, TILES, in_money(case.money), 17, INK, bold=True),
        words(310, TILES + 15, f"at {in_money(case.per_hour)} per hour and card", SMALL, GREY),
        words(520, TILES, f"{in_hours(low)} to {in_hours(high)}", 17, ACCENT, bold=True),
        words(520, TILES + 15, "all dials at one end, at the other", SMALL, GREY),
    ]
    swings = ", ".join(f"{WORDS[s.name]} {s.factor:.1f} times" for s in found.swings)
    guides = "".join(f"; {name} {in_hours(span)}" for name, span in said.items())
    text = f"{describe(case)}: {in_hours(found.middle)}; {swings}{guides}"
    how = f"{case.model}, {case.method}, {case.rows:,} rows"
    return drawing(title_of(found), parts, text, how, TILES + 28)


def title_of(found: Sensitivity) -> str:
    """What a picture of a sensitivity shows: its hours, and which assumption moves them most."""
    widest = found.swings[0]
    most = f"{WORDS[widest.name]} can move it {widest.factor:.0f} times"
    return f"{in_hours(found.middle)} as chosen; {most}"


def explore_cost(models: Sequence[str] = ("llama-3.1-8b", "llama-3.1-70b")) -> Panel:
    """Choose a training, and see its hours and money, and which assumption matters most.

    models: names of architectures that the FLOPs are known of, dense ones of the Llama family.
    """
    ranges = {name: ends for name, ends in USUAL_RANGES.items() if name != "per_hour"}

    def view(model: str, tokens: int, utilisation: float, card: str, **chosen: object) -> Drawing:
        case = Case(model, tokens=tokens, utilisation=utilisation, card=card, **chosen)  # type: ignore
        longest = max(tokens, ranges["tokens"][1])
        turned = {**ranges, "tokens": (ranges["tokens"][0], longest)}
        return cost_view(sensitivity(case, turned), said_of(case))

    return Panel(
        view,
        start={"method": "lora", "rows": 1000, "tokens": 512, "epochs": 3, "utilisation": 0.3},
        title="What does a training cost?",
        call="cost.explore_cost(models)",
        model=list(models),
        method=["lora", "qlora", "full"],
        rows=list(ROWS),
        tokens=list(TOKENS),
        epochs=list(EPOCHS),
        utilisation=list(SHARES),
        card=list(CARDS),
    )


def said_of(case: Case) -> dict[str, Range]:
    """What guides say of a model of this size, this method and this many rows: {guide: hours}."""
    large = "70b" in str(case.model)
    return {
        short_title(figure.guide).replace("an article about fine-tuning by ", ""): figure.range
        for figure in FIGURES
        if figure.of == "hours"
        and (figure.case.method, figure.case.rows) == (case.method, case.rows)
        and ("70b" in str(figure.case.model)) == large
    }


def round_end(amount: float) -> float:
    """The end of an axis of four equal steps above an amount above 0: 1, 2, 4, 6 or 8 · 10ⁿ."""
    ten = 10.0 ** math.floor(math.log10(amount))
    return next(times * ten for times in (1, 2, 4, 6, 8, 10) if times * ten >= amount)


def in_digits(number: float) -> str:
    """A number of calls, rows or months: whole from 20 on, below with a digit behind the point."""
    return f"{number:,.0f}" if number >= 20 or number == int(number) else f"{number:.1f}"


def check_ways(costs: Mapping[str, tuple[float, float]], most: float) -> None:
    """Refuse more ways than there are colours, amounts below 0, and ways that all cost nothing."""
    if not 1 <= len(costs) <= len(LINES):
        raise UserError(f"costs names {len(costs)} ways; give 1 to {len(LINES)}.")
    check_amounts(most=most)
    for name, (spent, each) in costs.items():
        check_amounts(**{f"what {name} costs": spent, f"each of {name}": each})
    if not most:
        raise UserError(f"most is {most:g}; give a number above 0.")
    if not any(map(any, costs.values())):
        raise UserError(f"nothing is spent on {' or '.join(costs)}; give amounts above 0.")


def break_even_view(
    costs: Mapping[str, tuple[float, float]],
    most: float,
    unit: str = "calls",
    title: str = "When has it paid?",
    note: str = "",
) -> Drawing:
    """Money over calls, rows or months, up to `most` of them: a line per way, three at most.

    costs: {way: (spent before the first one, cost of each)}; unit: what they are called. Where two
    lines cross, the one that began dearer begins to pay: that is said below the title (or
    `note` is, if given), and the text names each crossing. Raises UserError for more ways, and
    where there is nothing to draw.
    """
    check_ways(costs, most)
    top = round_end(max(spent + most * each for spent, each in costs.values()))
    frame = MONEY.frame((0, most), (0, top))
    parts, crossings = [], {}
    for (name, (spent, each)), colour in zip(costs.items(), LINES, strict=False):
        begin, end = frame.at(0, spent), frame.at(most, spent + most * each)
        parts += [line([begin, end], colour, 2), words(end[0] + 6, end[1] + 4, name, colour=colour)]
    ways = list(costs.items())
    for number, (name, (spent, each)) in enumerate(ways):
        for other, (more, less) in ways[number + 1 :]:
            at = (more - spent) / (each - less) if each != less else -1
            if 0 < at <= most:
                parts.append(dot(*frame.at(at, spent + at * each), 5, INK))
                crossings[f"{name} and {other} cost the same after {in_digits(at)} {unit}"] = at
    x_ticks = {most * i / 4: in_digits(most * i / 4) for i in range(5)}
    y_ticks = {top * i / 4: in_money(top * i / 4) for i in range(5)}
    parts += [frame.axes(x_ticks, y_ticks, "money spent"), frame.x_label(unit)]
    said = "; ".join(crossings) or f"no two ways cost the same within {in_digits(most)} {unit}"
    # several crossings with their names are more than a line holds
    places = " and ".join(map(in_digits, sorted(crossings.values())))
    note = note or (said if len(crossings) < 2 else f"two lines cross after {places} {unit}")
    parts.append(words(MARGIN, NOTE, note, 12, GREY))
    gap = " " if title.endswith("?") else ": "
    return drawing(title, parts, f"{title}{gap}{said}")
