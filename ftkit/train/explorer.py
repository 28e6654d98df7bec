"""What a trainer feeds the model: one row token by token, and the batches of an epoch.

    tokens_view(tokens, learned, special)       a row, each token in a box
    explore_batches(orders)                     batches and their padding, with sliders
    batch_view(batches, step)                   the picture of one batch
    count_padding(rows, packed=…)               tokens that only fill
    mask_view, explore_masks(packs)             who sees whom in a packed row
    token_losses_view, explore_losses(…)        −log p of each token over the steps

A row of a batch is given as the lengths of the examples in it: [(prompt, answer), …] in tokens. The
rows themselves are made and put in order by `batches.py`. Notebook 07.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.errors import UserError
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
    polygon,
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

# The attention of a packed row: a square, and numbers to its right.
MASK, MASK_HEIGHT = Area(left=MARGIN, top=62, width=300, height=300), 392
# A row with losses: as above, with a number below each learned token.
LOSS_LINE, LOSS_WIDTH = 36, 24
DARKEST_LOSS = 3.0  # nats: a token of 5 % and less is as red as can be


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

    return Panel(
        batch,
        {"size": 8},
        title="What a trainer feeds the model",
        call="train.explore_batches(orders)",
        order=list(orders),
        size=list(sizes),
        step=steps,
    )


def mask_view(lengths: Sequence[int], *, restarts: bool = True) -> Drawing:
    """A packed row's attention: every token across, what it may look back to up and down.

    lengths: tokens of each example in the row; restarts: whether the position ids begin anew with
    each. Where they do not, every example also sees those before it. So transformers draws it where
    nobody hands a mask over.
    """
    total = sum(lengths)
    seen = sum(n * (n + 1) // 2 for n in lengths)
    # of tokens that do not belong to it
    foreign = 0 if restarts else total * (total + 1) // 2 - seen
    parts = [MASK.box("none", (FAINT, 1)), draw_mask(lengths, restarts=restarts)]
    parts.append(words(MASK.left, MASK.top - 8, "columns: the token looked at", SMALL, GREY))
    below = "rows, downwards: the token that looks"
    parts.append(words(MASK.left, MASK.bottom + 15, below, SMALL, GREY))
    tiles = [
        (f"{total:,}", f"tokens, {len(lengths)} examples in one row", INK),
        (f"{seen:,}", "pairs inside an example", PLAIN),
        (f"{foreign:,}", "pairs across examples", ACCENT if foreign else GREY),
    ]
    parts.append(tile_column(MASK.right + 50, MASK.top + 24, tiles))
    title = "One triangle per row of the data" if restarts else "One triangle over all rows"
    how = f"position ids {'begin anew' if restarts else 'count on'}, no mask handed over"
    text = f"{len(lengths)} examples of {', '.join(map(str, lengths))} tokens in one row, {how}: "
    text += f"{seen:,} pairs inside an example, {foreign:,} across"
    return drawing(title, parts, text, how, MASK_HEIGHT)


def draw_mask(lengths: Sequence[int], *, restarts: bool) -> str:
    """Each example's triangle on the diagonal; without new positions, left of it what leaks in."""
    scale = MASK.width / sum(lengths)

    def corner(row: float, column: float) -> tuple[float, float]:
        return MASK.left + column * scale, MASK.top + row * scale

    parts, start = [], 0
    for n in lengths:
        if start and not restarts:
            left, top = corner(start, 0)
            parts.append(box(left, top, start * scale, n * scale, mix("#ffffff", ACCENT, 0.45)))
        corners = [corner(start, start), corner(start + n, start), corner(start + n, start + n)]
        parts.append(polygon(corners, PLAIN))
        start += n
    return "".join(parts)


def explore_masks(packs: Sequence[Sequence[int]]) -> Panel:
    """Choose a packed row and whether its position ids begin anew, and see `mask_view`.

    packs: the lengths of the examples in each row, such as `seq_lengths` of a packed data set.
    """

    def mask(pack: int, positions: str) -> Drawing:
        return mask_view(packs[pack], restarts=positions == "begin anew")

    return Panel(
        mask,
        title="Who sees whom in a packed row",
        call="train.explore_masks(packs)",
        pack=list(range(len(packs))),
        positions=["begin anew", "count on"],
    )


def token_losses_view(
    tokens: Sequence[str], losses: Sequence[float], learned: Sequence[bool], step: int = 0
) -> Drawing:
    """A row, every token in a box that is the redder, the less likely the model finds it.

    losses: −log p of each token in nats, the first one's as 0; learned: which tokens carry loss.
    Below those stand their losses. Raises UserError for lists of different lengths.
    """
    if not len(tokens) == len(losses) == len(learned):
        raise UserError(
            f"there are {len(tokens)} tokens, {len(losses)} losses and {len(learned)} marks "
            "of what is learned; give one of each per token."
        )
    # box after box, in a new line where one does not fit
    parts, x, y = [], float(MARGIN), float(FIRST_LINE)
    for token, loss, own in zip(tokens, losses, learned, strict=True):
        width = max(LETTER * len(visible(token)) + AROUND, LOSS_WIDTH if own else 0)
        if x + width > END:
            x, y = float(MARGIN), y + LOSS_LINE
        area = Area(x, y, width, TOKEN_HEIGHT)
        parts.append(draw_loss(area, visible(token), loss, learned=own))
        x += width + GAP
    # in numbers
    answer = [loss for loss, own in zip(losses, learned, strict=True) if own]
    mean = sum(answer) / len(answer) if answer else 0.0
    worst = max(range(len(tokens)), key=lambda i: losses[i] if learned[i] else -1.0)
    text = (
        f"step {step}: {about(mean)} nats per answer token over {len(answer)} tokens; the dearest "
        f"is {tokens[worst]!r} with {about(losses[worst])}"
    )
    title = f"Step {step}: {mean:.2f} nats per answer token, most for {visible(tokens[worst])}"
    aside = "framed: carries loss, −log p below"
    return drawing(title, parts, text, aside, round(y + BELOW + 14))


def draw_loss(area: Area, text: str, loss: float, *, learned: bool) -> str:
    """One token on a ground that says what it costs; framed, with the number, if it is learned."""
    ground = mix("#ffffff", ACCENT, min(1.0, loss / DARKEST_LOSS) * 0.75)
    middle = area.left + area.width / 2
    shown = area.box(ground, (INK if learned else FAINT, 1), radius=3)
    shown += monospace(words(middle, area.top + TOKEN_FOOT, text, NORMAL, INK, "middle"))
    if learned:
        shown += words(middle, area.bottom + 10, f"{loss:.2f}", 8.5, GREY, "middle")
    return shown


def explore_losses(
    tokens: Sequence[str], losses: Mapping[int, Sequence[float]], learned: Sequence[bool]
) -> Panel:
    """A slider over training steps, and `token_losses_view` at each.

    losses: {step: −log p of every token}, as `TokenLosses` collects them.
    """

    def losses_at(step: int) -> Drawing:
        return token_losses_view(tokens, losses[step], learned, step)

    return Panel(
        losses_at,
        title="What each token costs while the model learns",
        call="train.explore_losses(…)",
        step=sorted(losses),
    )
