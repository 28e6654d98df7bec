"""What a trainer feeds the model: one row token by token, and the batches of an epoch with their
padding.
"""

from collections.abc import Mapping, Sequence

from ..core.results import about, percent
from ..show.marks import tile
from ..show.panel import Panel
from ..show.svg import ACCENT, FAINT, GREY, INK, PLAIN, WIDTH, Drawing, box, drawing, mix, words

Row = Sequence[
    tuple[int, int]
]  # one row of a batch: (tokens without loss, tokens with loss) of each example in it
SIZES = (1, 2, 4, 8, 16)
LEFT, WIDE, TALL = 16, 500, 230  # of the picture of a batch
TEMPLATE = "#7b5ea7"
NAMED = {"\n": "⏎", " ": "·"}


def written(token: str) -> str:
    """A token as it is written in a box: line ends and leading blanks can be seen."""
    for plain, sign in NAMED.items():
        token = token.replace(plain, sign)
    return token


def tokens_view(tokens: Sequence[str], learned: Sequence[bool], special: Sequence[bool]) -> Drawing:
    """One training row: every token in a box, red where it carries loss, violet where it is the
    template's own mark.
    """
    parts, x, y = [], 16.0, 52.0
    for token, loss, mark in zip(tokens, learned, special, strict=True):
        text = written(token)
        wide = 6.6 * len(text) + 6
        if x + wide > WIDTH - 16:
            x, y = 16.0, y + 24
        colour = ACCENT if loss else TEMPLATE if mark else PLAIN
        parts += [
            box(
                x,
                y,
                wide,
                19,
                mix("#ffffff", colour, 0.35 if loss else 0.15),
                (colour, 1) if mark else None,
                radius=3,
            )
        ]
        parts += [
            f"<g font-family='monospace'>{words(x + wide / 2, y + 13.5, text, 11, INK, 'middle')}</g>"
        ]
        x += wide + 2
    text = f"{len(tokens)} tokens, {sum(learned)} of them carry loss, {sum(special)} are marks of the template"
    return drawing(
        "One row as the model reads it",
        parts,
        text,
        "red: carries loss · violet: the template's marks",
        round(y + 36),
    )


def padded(rows: Sequence[Row], packed: bool) -> int:
    """Tokens that only fill: rows are filled up to the longest one; packed rows are laid end to end
    instead.
    """
    lengths = [sum(a + b for a, b in row) for row in rows]
    return 0 if packed else max(lengths) * len(lengths) - sum(lengths)


def batch_view(
    batches: Sequence[Sequence[Row]], step: int, packed: bool = False, title: str = "A batch"
) -> Drawing:
    """Batch number `step` of an epoch as bars, and what the whole epoch computes:
    batches[step][row] = [(prompt, answer), …].
    """
    rows = batches[step]
    longest = max(sum(a + b for a, b in row) for row in rows)
    scale, high = WIDE / longest, min(22.0, TALL / len(rows))
    parts = [box(LEFT, 48, WIDE, high * len(rows) - 2, "none" if packed else "#f1f3f5")]
    for i, row in enumerate(rows):
        x, y = float(LEFT), 48 + high * i
        for prompt, answer in row:
            parts += [
                box(x, y, prompt * scale - 0.5, high - 2, FAINT),
                box(x + prompt * scale, y, answer * scale - 1, high - 2, ACCENT),
            ]
            x += (prompt + answer) * scale
    answers = sum(b for rows in batches for row in rows for _, b in row)
    filled = sum(padded(rows, packed) for rows in batches)
    computed = filled + sum(a + b for rows in batches for row in rows for a, b in row)
    here, seen = padded(rows, packed), sum(a + b for row in rows for a, b in row)
    parts += [
        tile(540, 76, f"{len(batches)}", "steps an epoch", PLAIN),
        tile(
            540, 130, f"{100 * filled / computed:.1f} %", "of the epoch's tokens are padding", GREY
        ),
        tile(540, 184, f"{100 * answers / computed:.1f} %", "of the epoch's tokens carry loss"),
        words(540, 226, f"this batch: {seen:,} tokens, {here:,} padding", 10.5, GREY),
        words(
            LEFT, 300, f"0 … {longest} tokens; grey: prompt, red: answer, blank: padding", 11, INK
        ),
    ]
    text = f"{title}: {len(batches)} steps an epoch, padding {percent(filled / computed)}, carrying loss {percent(answers / computed)}"
    return drawing(
        title,
        parts,
        f"{text}; batch {step} has {len(rows)} rows, the longest {about(longest)} tokens",
        f"batch {step}",
        316,
    )


def explore_batches(orders: Mapping[str, Sequence[Row]], sizes: Sequence[int] = SIZES) -> Panel:
    """Choose how rows are put together, the batch size and a step: orders[name] is an epoch's rows
    in order; "packed" is end to end.
    """

    def cut(order: str, size: int) -> list[Sequence[Row]]:
        rows = orders[order]
        return [rows[i : i + size] for i in range(0, len(rows), size)]

    def batch(order: str, size: int, step: int) -> Drawing:
        return batch_view(
            cut(order, size), step, order == "packed", f"{order.capitalize()}, {size} rows a step"
        )

    return Panel(
        batch,
        {"size": 8},
        order=list(orders),
        size=list(sizes),
        step=lambda order, size: list(range(len(cut(order, size)))),
    )
