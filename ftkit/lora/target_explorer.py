"""Where a LoRA sits in a transformer block, and what it trains there.

    target_view(parts, targets, r, total)    one block to scale, with A and B at every target
    explore_targets(parts, total)            the view behind check boxes and a slider
    paths_view(d_out, d_in, r, alpha)        one matrix: the frozen path, and LoRA's beside it
    explore_paths(shapes)                    the same with a slider over r

It counts by r · (d_in + d_out) and knows no model: the shapes come from `counting.count`, which
also says what `targets` may be. Ranks and alphas are explored in `rank_explorer` and
`alpha_explorer`. Notebooks 02 (paths) and 02b (targets).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..core.errors import UserError, nearest
from ..core.results import decimal_bytes
from ..show.controls import Ticks
from ..show.labels import tile
from ..show.panel import Panel
from ..show.svg import (
    ACCENT,
    END,
    FAINT,
    GREY,
    INK,
    MARGIN,
    SMALL,
    Area,
    Drawing,
    arrow,
    box,
    drawing,
    line,
    mix,
    ring,
    words,
)

# {name of a matrix, such as "q_proj": (d_out, d_in, how many of it the model has)}
Parts = Mapping[str, tuple[int, int, int]]

RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

# The halves of a transformer block, by what the names of their matrices hold in the model families:
# fused ones too.
HALVES = {
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj", "qkv", "attn"),
    "MLP": ("gate", "up_proj", "down", "mlp", "fc"),
}

# The block, at the left: a row per half, with its label above the names of its matrices.
BLOCK = Area(24, 40, 392, 258)
ROW_HEAD = 34  # above a row: its label and the names
ROW_GAP = 10  # below a row
NAME_LETTER, NAME_WIDTH = 7, 20  # the width of a letter, and of a short name at least
NAMES_WIDTH = 320  # of all names in a row; where they need more, none is written
THIN, SEAM = 2, 2.5  # A and B are this thick at least, and so far from W

# The list beside it: a line per matrix, then two rows of tiles.
NAME_AT, SHAPE_AT, BAR_AT = 424, 512, 632
HEAD, FIRST = 54, 76  # the feet of the list's head and of its first line
LIST_HEIGHT, LINE_STEP = 150, 21  # at most: many matrices stand closer
BAR_WIDTH, BAR_HEIGHT = 32, 10
RULE = 232
TILE_LEFTS, TILE_TOPS = (424, 620), (258, 304)
NOTE = 319  # the foot of the line below everything


# The two paths of one matrix: x enters at the left, what leaves is added up at the right.
PATHS_HEIGHT = 372
UPPER_LANE, LOWER_LANE, JOIN = 118, 246, 182  # the middle of W's path, of A's and B's, of x and y
LONGEST = 112  # the longer side of W
X_AT, W_AT, A_AT, B_AT, PLUS_AT, Y_AT = 44, 300, 170, 420, 600, 690
PATHS_NOTE = 352


def short_name(part: str) -> str:
    """A matrix's name without what nearly all have in common: "q" for "q_proj"."""
    return part.removesuffix("_proj")


def group_by_half(parts: Sequence[str]) -> dict[str, list[str]]:
    """The names of a block's matrices as "attention", "MLP" and "other", without what is empty."""
    groups: dict[str, list[str]] = {half: [] for half in (*HALVES, "other")}
    for part in parts:
        groups[half_of(part)].append(part)
    return {half: names for half, names in groups.items() if names}


def half_of(part: str) -> str:
    """The half of a block that a matrix belongs to, by its name; else "other"."""
    for half, signs in HALVES.items():
        if any(sign in part for sign in signs):
            return half
    return "other"


@dataclass(frozen=True)
class Layout:
    """How a block is drawn: its matrices in rows, each followed by room for its name.

    rows: {half of the block: its matrices}. rooms: {matrix: the room}. scale: the picture's units
    per number along an edge of a matrix.
    """

    rows: dict[str, list[str]]
    rooms: dict[str, float]
    scale: float


def lay_out(parts: Parts, r: int) -> Layout:
    """The `Layout` of a block with the largest scale at which it fits into BLOCK."""
    # each name needs room; where a row has too many to be named, the list beside the block does it
    rows = group_by_half(list(parts))
    rooms: dict[str, float] = {}
    for names in rows.values():
        needed = {p: max(NAME_WIDTH, NAME_LETTER * len(short_name(p))) for p in names}
        if sum(needed.values()) > NAMES_WIDTH:
            needed = dict.fromkeys(names, NAMES_WIDTH / len(names))
        rooms |= needed

    # numbers per unit that the widest row and all rows together need: B adds r to a matrix's width,
    # A adds r to a row's height
    per_unit = []
    for names in rows.values():
        numbers = sum(parts[name][1] + r for name in names)
        per_unit.append(numbers / (BLOCK.width - sum(rooms[name] for name in names)))
    heights = sum(row_height(parts, names, r) for names in rows.values())
    per_unit.append(heights / (BLOCK.height - (ROW_HEAD + ROW_GAP) * len(rows)))
    return Layout(rows, rooms, 1 / max(per_unit))


def row_height(parts: Parts, names: Sequence[str], r: int) -> int:
    """The numbers along the height of a row: its highest matrix, and A below it."""
    return max(parts[name][0] for name in names) + r


def draw_block(parts: Parts, targets: Sequence[str], r: int) -> str:
    """One transformer block, every W in proportion: d_out high and d_in wide.

    Targets have A (r × d_in) below and B (d_out × r) beside them.
    """
    layout = lay_out(parts, r)
    scale, thin = layout.scale, max(r * layout.scale, THIN)
    drawn, top = [], BLOCK.top
    for half, names in layout.rows.items():
        # a half of the block: a row from left to right, below the one before
        top += ROW_HEAD
        left = BLOCK.left
        drawn.append(words(MARGIN, top - 20, half, colour=GREY, bold=True))
        for name in names:
            d_out, d_in, _ = parts[name]
            W = Area(left, top, d_in * scale, d_out * scale)
            targeted, room = name in targets, layout.rooms[name]
            if room >= NAME_WIDTH:
                colour = ACCENT if targeted else INK
                drawn.append(words(left, top - 5, short_name(name), colour=colour, bold=targeted))
            drawn.append(draw_target(W, thin) if targeted else W.box(FAINT))
            left += W.width + thin + room
        top += row_height(parts, names, r) * scale + ROW_GAP
    return "".join(drawn)


def draw_target(W: Area, thin: float) -> str:
    """A matrix with its LoRA: A below it, as wide, and B beside it, as high."""
    A, B = W.below(SEAM, thin), W.beside(SEAM, thin)
    return W.box(mix("#ffffff", ACCENT, 0.14), (ACCENT, 1)) + A.box(ACCENT) + B.box(ACCENT)


@dataclass(frozen=True)
class TrainedNumbers:
    """What a LoRA trains: {matrix: numbers, 0 where it is no target}, beside `base` parameters."""

    by_matrix: dict[str, int]
    base: int

    @property
    def sum(self) -> int:
        """All trained numbers."""
        return sum(self.by_matrix.values())

    @property
    def total(self) -> int:
        """Base and adapter together."""
        return self.base + self.sum

    @property
    def percent(self) -> float:
        """100 · sum / total."""
        return 100 * self.sum / self.total


def count_numbers(parts: Parts, targets: Sequence[str], r: int, base: int) -> TrainedNumbers:
    """r · (d_in + d_out) numbers for every copy of every target; base: the base's parameters."""
    numbers = {}
    for name, (d_out, d_in, copies) in parts.items():
        numbers[name] = r * (d_in + d_out) * copies if name in targets else 0
    return TrainedNumbers(numbers, base)


def target_view(parts: Parts, targets: Sequence[str], r: int, total: int) -> Drawing:
    """Where a LoRA of rank r sits in a model, and what it trains.

    parts: {"q_proj": (d_out, d_in, copies), …}; targets: some of these names; total: all parameters
    of the base. A target that is no part is a `UserError`.
    """
    # a target that the model does not have would train nothing without a word
    for target in targets:
        if target not in parts:
            raise UserError(
                f"the model has no part {target!r}; it has {', '.join(parts)}."
                f"{nearest(target, parts)}"
            )

    # the block at the left, what is trained of it at the right
    trained = count_numbers(parts, targets, r, total)
    note = "W to scale, A (r × d_in) below it, B (d_out × r) beside it, 2 px at least"
    drawn = [
        draw_block(parts, targets, r),
        draw_list(parts, trained),
        draw_tiles(trained),
        words(MARGIN, NOTE, note, SMALL, GREY),
    ]

    # and all of it in a line
    where = ", ".join(name for name in parts if name in targets) or "nothing"
    text = f"r = {r} on {where}: {in_words(trained)}"
    aside = f"on {len(targets)} of {len(parts)} kinds of matrix"
    return drawing(f"LoRA at r = {r}", drawn, text, aside)


def draw_list(parts: Parts, trained: TrainedNumbers) -> str:
    """Every matrix with its shape and copies, and what is trained of it as a bar and a number."""
    head = "trained numbers: r · (d_in + d_out) · copies"
    drawn = [words(NAME_AT, HEAD, head, colour=GREY, bold=True)]
    step = min(LINE_STEP, LIST_HEIGHT / len(parts))
    most = max(1, *trained.by_matrix.values())
    for i, (name, numbers) in enumerate(trained.by_matrix.items()):
        # its name and shape
        y, targeted = FIRST + step * i, numbers > 0
        shape = " × ".join(f"{side}" for side in parts[name])
        colour = ACCENT if targeted else GREY
        drawn.append(words(NAME_AT, y, name, colour=colour, bold=targeted))
        drawn.append(words(SHAPE_AT, y, shape, SMALL, GREY))
        # what is trained of it
        width, colour = BAR_WIDTH * numbers / most, INK if targeted else GREY
        drawn.append(box(BAR_AT, y - BAR_HEIGHT + 1, width, BAR_HEIGHT, ACCENT))
        drawn.append(words(END, y, f"{numbers:,}", colour=colour, anchor="end"))
    return "".join(drawn)


def draw_tiles(trained: TrainedNumbers) -> str:
    """The sums: trained numbers, their share, and the adapter's bytes in two formats."""
    (left, right), (upper, lower) = TILE_LEFTS, TILE_TOPS
    in_fp32, in_bf16 = bytes_in_words(trained)
    return "".join(
        [
            line([(NAME_AT, RULE), (END, RULE)], FAINT),
            tile(left, upper, f"{trained.sum:,}", "trained numbers", ACCENT),
            tile(right, upper, f"{trained.percent:.3g} %", "of base + adapter"),
            tile(left, lower, in_fp32, "adapter in fp32"),
            tile(right, lower, in_bf16, "adapter in bf16"),
        ]
    )


def bytes_in_words(trained: TrainedNumbers) -> tuple[str, str]:
    """The adapter's size in float32 and in bfloat16: "13.6 MB", "6.82 MB"."""
    return decimal_bytes(4 * trained.sum), decimal_bytes(2 * trained.sum)


def in_words(trained: TrainedNumbers) -> str:
    """What is trained, for the picture's line."""
    in_fp32, in_bf16 = bytes_in_words(trained)
    numbers = f"{trained.sum:,} trained of {trained.total:,} ({trained.percent:.3g} %)"
    return f"{numbers}, {in_fp32} in fp32, {in_bf16} in bf16"


def explore_targets(parts: Parts, total: int, r: Sequence[int] = RANKS) -> Panel:
    """Tick targets, choose r, and see `target_view`.

    parts and total: see there. Ranks above the shortest side of all parts are left out.
    """
    # usual choices get a button each
    presets = {"all-linear": list(parts), **group_by_half(list(parts))}
    if {"q_proj", "v_proj"} <= set(parts):
        presets["q, v"] = ["q_proj", "v_proj"]
    # no A and B can have more rank than their W
    shortest = min(min(d_out, d_in) for d_out, d_in, _ in parts.values())

    possible = [value for value in r if value <= shortest]

    def attached(targets: Sequence[str], r: int) -> Drawing:
        return target_view(parts, targets, r, total)

    ticks = Ticks(dict.fromkeys(parts, True), presets)
    title, call = "Where a LoRA sits, and what it trains", "lora.explore_targets(parts, total)"
    return Panel(attached, start={"r": 8}, title=title, call=call, targets=ticks, r=possible)


def paths_view(d_out: int, d_in: int, r: int, alpha: float = 16, name: str = "W") -> Drawing:
    """A linear layer with LoRA as two paths from x to y, every matrix in proportion.

    y = W x + (alpha/r) · B (A x). W (d_out × d_in) is frozen; A (r × d_in) and B (d_out × r) are
    trained. Raises UserError for a rank below 1 or above the shorter side.
    """
    if not 1 <= r <= min(d_out, d_in):
        raise UserError(f"r is {r!r}, and {d_out} × {d_in} has room for 1 to {min(d_out, d_in)}.")
    # each matrix in the middle of its place; a thin one is drawn with two pixels at least
    scale = LONGEST / max(d_out, d_in)
    wide, high, thin = d_in * scale, d_out * scale, max(r * scale, THIN)
    W = Area(W_AT - wide / 2, UPPER_LANE - high / 2, wide, high)
    A = Area(A_AT - wide / 2, LOWER_LANE - thin / 2, wide, thin)
    B = Area(B_AT - thin / 2, LOWER_LANE - high / 2, thin, high)

    # the picture, and the same in a line
    trained, frozen = r * (d_in + d_out), d_out * d_in
    part = f"{trained:,} of {frozen:,} numbers ({100 * trained / frozen:.3g} %)"
    share = f"{100 * trained / frozen:.3g} % of {name}"
    title = f"LoRA trains a second path only: as many numbers as {share}"
    note = f"A and B: r · (d_in + d_out) = {trained:,} numbers beside {frozen:,} in W; to scale"
    parts = [draw_ends(wide, high, d_in, d_out), draw_lanes(W, A, B, r, alpha)]
    labels = [
        (W, f"{name}, frozen: {d_out:,} × {d_in:,}", GREY),
        (A, f"A: {r} × {d_in:,}", ACCENT),
        (B, f"B: {d_out:,} × {r}", ACCENT),
    ]
    for area, text, colour in labels:
        middle, _ = area.middle
        parts.append(words(middle, area.top - 7, text, colour=colour, anchor="middle", bold=True))
    parts.append(words(MARGIN, PATHS_NOTE, note, SMALL, GREY))
    text = f"{name} ({d_out} × {d_in}) with LoRA at r = {r}, alpha = {alpha:g}: {part} are trained"
    return drawing(title, parts, text, height=PATHS_HEIGHT)


def draw_ends(wide: float, high: float, d_in: int, d_out: int) -> str:
    """The vectors x and y as upright bars in W's scale, and the sum before y."""
    parts = []
    for x, long, label in ((X_AT, wide, f"x: {d_in:,}"), (Y_AT, high, f"y: {d_out:,}")):
        parts.append(box(x - 4, JOIN - long / 2, 8, long, INK))
        parts.append(words(x, JOIN - long / 2 - 7, label, anchor="middle", bold=True))
    parts += [ring(PLUS_AT, JOIN, 11, INK, 1.4), words(PLUS_AT, JOIN + 5, "+", 15, INK, "middle")]
    parts.append(arrow((PLUS_AT + 12, JOIN), (Y_AT - 10, JOIN), INK))
    return "".join(parts)


def draw_lanes(W: Area, A: Area, B: Area, r: int, alpha: float) -> str:
    """The matrices and the arrows through them: above the frozen path, below the trained one."""
    upper, lower = (W.middle[1], A.middle[1])
    scale_at = (B.right + PLUS_AT) / 2
    return "".join(
        [
            W.box(FAINT),
            A.box(ACCENT),
            B.box(ACCENT),
            arrow((X_AT + 10, JOIN - 8), (W.left - 4, upper), GREY),
            arrow((W.right + 4, upper), (PLUS_AT - 10, JOIN - 7), GREY),
            arrow((X_AT + 10, JOIN + 8), (A.left - 4, lower), ACCENT),
            arrow((A.right + 4, lower), (B.left - 4, lower), ACCENT),
            words((A.right + B.left) / 2, lower + 15, f"{r} numbers", SMALL, GREY, "middle"),
            arrow((B.right + 4, lower), (PLUS_AT - 10, JOIN + 7), ACCENT),
            words(scale_at, lower + 15, f"× alpha / r = {alpha / r:g}", SMALL, ACCENT, "middle"),
        ]
    )


def explore_paths(
    shapes: Mapping[str, tuple[int, int]], alpha: float = 16, r: Sequence[int] = RANKS
) -> Panel:
    """Choose a matrix and r, and see `paths_view`.

    shapes: {"q_proj": (d_out, d_in), …}. Ranks above a matrix's shorter side are left out.
    """

    def paths(matrix: str, r: int) -> Drawing:
        return paths_view(*shapes[matrix], r, alpha, matrix)

    return Panel(
        paths,
        start={"r": 8},
        title="LoRA's two paths",
        call="lora.explore_paths(shapes)",
        matrix=list(shapes),
        r=lambda matrix: [value for value in r if value <= min(shapes[matrix])],
    )
