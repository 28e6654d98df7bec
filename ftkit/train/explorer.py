"""What a trainer feeds the model: one row token by token, and the batches of an epoch.

    tokens_view(tokens, learned, special)       a row, each token in a box
    explore_batches(orders)                     batches and their padding, with sliders
    batch_view(batches, step)                   the picture of one batch
    count_padding(rows, packed=…)               tokens that only fill

A row of a batch is given as the lengths of the examples in it: [(prompt, answer), …] in tokens. The
rows themselves are made and put in order by `batches.py`. Notebook 07.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.results import about, percent
from ..show.labels import tile_column
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    END,
    FAINT,
    GREY,
    INK,
    MARGIN,
    NORMAL,
    PLAIN,
    SMALL,
    Area,
    Drawing,
    box,
    drawing,
    mix,
    monospace,
    words,
)

# A row of a batch: (tokens without loss, tokens with loss) of each example in it.
Row = Sequence[tuple[int, int]]

SIZES = (1, 2, 4, 8, 16)  # rows of a batch, to choose from
TEMPLATE = "#7b5ea7"  # the colour of the template's own marks
SIGNS = {"\n": "⏎", " ": "·"}  # how a line end and a blank are drawn

# The picture of a row: boxes beside each other, in lines.
FIRST_LINE, LINE = 52, 24  # the top of the first line, and from one line to the next
TOKEN_HEIGHT, TOKEN_FOOT = 19, 13.5  # of a box, and where its text stands in it
LETTER, AROUND, GAP = 6.6, 6, 2  # the width of a letter, what a box adds, what lies between two
BELOW = 36  # from the top of the last line to the end of the picture

# The picture of a batch: bars, and numbers to their right.
BARS = Area(left=MARGIN, top=48, width=500, height=230)
THICKEST, BETWEEN = 22, 2  # a bar with the gap below it, and that gap
NUMBERS_LEFT, NUMBERS_TOP = 540, 76
NOTE_FOOT, LEGEND_FOOT = 226, 300
BATCH_HEIGHT = 316
PADDING = "#f1f3f5"


def visible(token: str) -> str:
    """A token as it is written in a box: line ends and blanks can be seen."""
    for character, sign in SIGNS.items():
        token = token.replace(character, sign)
    return token


def tokens_view(tokens: Sequence[str], learned: Sequence[bool], special: Sequence[bool]) -> Drawing:
    """One training row, every token in a box: red where it carries loss, violet for a mark.

    learned: which tokens carry loss; special: which are the chat template's own marks.
    """
    # box after box, in a new line where one does not fit
    parts, x, y = [], MARGIN, FIRST_LINE
    for token, loss, mark in zip(tokens, learned, special, strict=True):
        text = visible(token)
        width = LETTER * len(text) + AROUND
        if x + width > END:
            x, y = MARGIN, y + LINE
        parts.append(draw_token(Area(x, y, width, TOKEN_HEIGHT), text, loss=loss, mark=mark))
        x += width + GAP
    return drawing(
        "One row as the model reads it",
        parts,
        f"{len(tokens)} tokens, {sum(learned)} of them carry loss, "
        f"{sum(special)} are marks of the template",
        "red: carries loss · violet: the template's marks",
        round(y + BELOW),
    )


def draw_token(area: Area, text: str, *, loss: bool, mark: bool) -> str:
    """One token in its box; a mark has an outline, even where it carries loss."""
    colour = ACCENT if loss else TEMPLATE if mark else PLAIN
    ground = mix("#ffffff", colour, 0.35 if loss else 0.15)
    outline = (colour, 1) if mark else None
    middle, foot = area.left + area.width / 2, area.top + TOKEN_FOOT
    return box(area.left, area.top, area.width, area.height, ground, outline, radius=3) + monospace(
        words(middle, foot, text, NORMAL, INK, "middle")
    )


def length(row: Row) -> int:
    """Tokens of a row, without padding."""
    return sum(prompt + answer for prompt, answer in row)


def count_padding(rows: Sequence[Row], *, packed: bool) -> int:
    """Tokens that only fill a batch: every row is filled up to the longest one.

    Packed rows are laid end to end instead, and need no filling.
    """
    if packed:
        return 0
    lengths = [length(row) for row in rows]
    return max(lengths) * len(lengths) - sum(lengths)


@dataclass(frozen=True)
class Computed:
    """What a model computes in one epoch, in tokens."""

    padding: int
    answers: int  # what carries loss
    total: int

    @classmethod
    def of(cls, batches: Sequence[Sequence[Row]], *, packed: bool) -> "Computed":
        """Count an epoch's batches."""
        rows = [row for batch in batches for row in batch]
        padding = sum(count_padding(batch, packed=packed) for batch in batches)
        answers = sum(answer for row in rows for _, answer in row)
        return cls(padding, answers, padding + sum(map(length, rows)))

    @property
    def padding_share(self) -> float:
        """The share of all tokens that only fill."""
        return self.padding / self.total

    @property
    def answer_share(self) -> float:
        """The share of all tokens that carry loss."""
        return self.answers / self.total


def batch_view(
    batches: Sequence[Sequence[Row]], step: int, *, packed: bool = False, title: str = "A batch"
) -> Drawing:
    """Batch number `step` of an epoch as bars, and what the whole epoch computes.

    batches: [batch][row] = [(prompt, answer), …] in tokens.
    """
    # this batch, and the epoch
    rows, epoch = batches[step], Computed.of(batches, packed=packed)
    longest = max(map(length, rows))
    seen, filling = sum(map(length, rows)), count_padding(rows, packed=packed)
    steps, padding, loss = f"{len(batches)}", epoch.padding_share, epoch.answer_share

    # in numbers
    tiles = (
        (steps, "steps per epoch", PLAIN),
        (f"{100 * padding:.1f} %", "of the epoch's tokens are padding", GREY),
        (f"{100 * loss:.1f} %", "of the epoch's tokens carry loss"),
    )
    note = f"this batch: {seen:,} tokens, {filling:,} padding"
    legend = f"0 … {longest} tokens; grey: prompt, red: answer, blank: padding"

    # in a picture, and in one line
    parts = [
        draw_bars(rows, longest, "none" if packed else PADDING),
        tile_column(NUMBERS_LEFT, NUMBERS_TOP, tiles),
        words(NUMBERS_LEFT, NOTE_FOOT, note, SMALL, GREY),
        words(BARS.left, LEGEND_FOOT, legend, NORMAL, INK),
    ]
    text = (
        f"{title}: {steps} steps per epoch, padding {percent(padding)}, carrying loss "
        f"{percent(loss)}; batch {step} has {len(rows)} rows, the longest {about(longest)} tokens"
    )
    return drawing(title, parts, text, f"batch {step}", BATCH_HEIGHT)


def draw_bars(rows: Sequence[Row], longest: int, ground: str) -> str:
    """The rows of a batch as bars on a ground that shows where there is padding.

    longest: tokens that fill the whole width.
    """
    scale = BARS.width / longest  # units per token
    high = min(THICKEST, BARS.height / len(rows))
    parts = [box(BARS.left, BARS.top, BARS.width, high * len(rows) - BETWEEN, ground)]
    for number, row in enumerate(rows):
        x, y = BARS.left, BARS.top + high * number
        for prompt, answer in row:
            # a hair is left free after each prompt, and twice that after each answer
            parts.append(box(x, y, prompt * scale - 0.5, high - BETWEEN, FAINT))
            parts.append(box(x + prompt * scale, y, answer * scale - 1, high - BETWEEN, ACCENT))
            x += (prompt + answer) * scale
    return "".join(parts)


def explore_batches(orders: Mapping[str, Sequence[Row]], sizes: Sequence[int] = SIZES) -> Panel:
    """Choose how rows are put together, how many make a batch, and which batch to see.

    orders: {name: an epoch's rows in order}; the rows of "packed" are laid end to end.
    """

    def cut(order: str, size: int) -> list[Sequence[Row]]:
        rows = orders[order]
        return [rows[start : start + size] for start in range(0, len(rows), size)]

    def batch(order: str, size: int, step: int) -> Drawing:
        title = f"{order.capitalize()}, {size} rows per step"
        return batch_view(cut(order, size), step, packed=order == "packed", title=title)

    def steps(order: str, size: int) -> list[int]:
        return list(range(len(cut(order, size))))

    return Panel(batch, {"size": 8}, order=list(orders), size=list(sizes), step=steps)
