"""The memory explorer: one training step as a bar of its parts against what a card holds, and how
full each phase is.
"""

from collections.abc import Callable, Mapping, Sequence

from ..show.panel import Panel
from ..show.svg import ACCENT, FAINT, GREY, INK, Drawing, Frame, box, drawing, line, words

GIB = 2**30
# The parts of a ledger in the order of a bar: what stands all the time first, then what tokens
# cost.
COLOURS = {
    "weights": "#30638e", "quant_state": "#86abc9", "workspace": "#8a96a1", "adapter": "#00798c", "optimizer": "#66a182",
    "gradients": "#8f6bb3", "activations": "#edae49", "logits": "#c4661f",
}  # fmt: skip
TOPS = (
    1,
    2,
    4,
    8,
    16,
    24,
    32,
    48,
    64,
    96,
    160,
    320,
    640,
    1280,
)  # ends of the axis, GiB: few, so that it rests while a slider moves
RANKS = (4, 8, 16, 32, 64, 128)
LENGTHS = tuple(2**n for n in range(7, 18))
BATCHES = (1, 2, 4, 8, 16)
LEFT, WIDE = 40, 690


def axis_end(size: float) -> float:
    """The end of an axis for `size` bytes, in GiB."""
    return next((top for top in TOPS if top >= 1.02 * size / GIB), 1.1 * size / GIB)


def label(part: str) -> str:
    """A part's name as it is written in a picture."""
    return {"quant_state": "quantization state", "logits": "logits and loss"}.get(part, part)


def stack(ledger, frame: Frame, y: float, height: float) -> str:
    """One bar of a ledger's parts, from left to right in the order of `COLOURS`."""
    parts, below = [], 0.0
    for part, colour in COLOURS.items():
        if size := ledger.parts.get(part, 0) / GIB:
            x = frame.at(below, 0)[0]
            parts.append(box(x, y, frame.at(below + size, 0)[0] - x, height, colour))
            below += size
    return "".join(parts)


def ticks(top: float) -> dict[float, str]:
    """Five marks of an axis that ends at `top`."""
    return {
        top * i / 4: f"{top * i / 4:g}" if top in TOPS else f"{top * i / 4:,.0f}" for i in range(5)
    }


def legend(ledger, x: float, y: float) -> str:
    """Every part with its size and its share of the peak."""
    parts, row = [], 0
    for part, colour in COLOURS.items():
        if size := ledger.parts.get(part, 0):
            at = y + 18 * row
            parts += [box(x, at - 9, 10, 10, colour), words(x + 16, at, label(part), 11)]
            parts += [words(x + 190, at, f"{size / GIB:,.3f} GiB", 11, INK, "end")]
            parts += [words(x + 245, at, f"{100 * size / ledger.peak:.1f} %", 11, GREY, "end")]
            row += 1
    return "".join(parts)


def phases(ledger, x: float, y: float) -> str:
    """The peak of every phase as a thin bar; the highest is the step's."""
    parts = [words(x, y - 20, "the fullest moment of each phase, GiB", 11, GREY)]
    for row, (phase, size) in enumerate(ledger.phases.items()):
        at, long = y + 18 * row, 130 * size / ledger.peak
        colour = ACCENT if phase == ledger.phase else FAINT
        parts += [words(x, at, phase, 11), box(x + 150, at - 9, long, 10, colour)]
        parts += [words(x + 156 + long, at, f"{size / GIB:,.2f}", 10.5, GREY)]
    return "".join(parts)


def memory_view(ledger, card: str, limit: float) -> Drawing:
    """One training step against one card: a `ledger.Ledger`, the card's name, and the bytes of it
    that the step may take.

    Above, the parts at the peak and the card's line; below, their sizes, and the peak of every
    phase.
    """
    s, left = ledger.setting, limit - ledger.peak
    top = axis_end(max(limit, ledger.peak))
    frame = Frame(LEFT, 66, WIDE, 44, (0, top), (0, 1))
    edge = frame.at(limit / GIB, 0)[0]
    end = frame.at(ledger.peak / GIB, 0)[0]
    verdict = (
        f"fits, {left / GIB:,.2f} GiB left"
        if left >= 0
        else f"does not fit, {-left / GIB:,.2f} GiB too much"
    )
    colour = INK if left >= 0 else ACCENT
    side = "end" if edge > LEFT + WIDE / 2 else "start"
    parts = [
        stack(ledger, frame, 66, 38),
        box(edge, 63, end - edge, 44, "none", (ACCENT, 2)) if left < 0 else "",
        line([(edge, 56), (edge, 110)], INK, 2, "4 3"),
        words(
            edge + (-6 if side == "end" else 6),
            54,
            f"{card}: {limit / GIB:,.2f} GiB",
            11,
            INK,
            side,
        ),
        frame.axes(ticks(top), {}, ""),
        words(LEFT + WIDE / 2, 142, "GiB", 10.5, GREY, "middle"),
        words(
            LEFT, 172, f"{ledger.peak / GIB:,.2f} GiB at the peak: {verdict}", 15, colour, bold=True
        ),
        legend(ledger, LEFT, 200),
        phases(ledger, 370, 216),
    ]
    how = f"{s.method}{'' if s.method == 'full' else f' r {s.rank}'}, {s.batch} × {s.seq:,} tokens"
    more = f"checkpointing {'on' if s.checkpointing else 'off'}, {s.optimizer}, {s.loss} loss"
    text = f"{s.name}, {how}, {more}: {ledger.peak / GIB:,.3f} GiB in '{ledger.phase}'; {card}: {verdict}"
    return drawing(s.name, parts, text, f"{how}, {more}")


def steps_view(ledgers: Mapping[str, object], title: str) -> Drawing:
    """One bar for each named ledger, six at most, on one axis."""
    top = axis_end(max(ledger.peak for ledger in ledgers.values()))
    step = 210 / len(ledgers)
    frame = Frame(LEFT + 150, 50, WIDE - 200, 210, (0, top), (0, 1))
    parts = [
        frame.axes(ticks(top), {}, ""),
        words(frame.left + frame.width + 12, 276, "GiB", 10.5, GREY),
    ]
    for row, (name, ledger) in enumerate(ledgers.items()):
        y, thick = 50 + step * (row + 0.14), 0.72 * step
        end = frame.at(ledger.peak / GIB, 0)[0]
        parts += [
            words(frame.left - 8, y + thick / 2 + 4, name, 11, INK, "end"),
            stack(ledger, frame, y, thick),
        ]
        parts.append(
            words(end + 6, y + thick / 2 + 4, f"{ledger.peak / GIB:,.2f}", 11, INK, bold=True)
        )
    seen = [
        part
        for part in COLOURS
        if any(ledger.parts.get(part, 0) >= 0.004 * top * GIB for ledger in ledgers.values())
    ]
    x = float(LEFT)
    for part in seen:
        parts += [box(x, 303, 10, 10, COLOURS[part]), words(x + 14, 312, label(part), 10.5)]
        x += 26 + 6.0 * len(label(part))
    return drawing(
        title,
        parts,
        f"{title}: "
        + ", ".join(f"{name} {ledger.peak / GIB:,.3f} GiB" for name, ledger in ledgers.items()),
    )


def explore_fits(
    predict: Callable,
    cards: Mapping[str, float],
    models: Mapping[str, int],
    choices: Mapping[str, Sequence[str]],
) -> Panel:
    """Does it fit? Choose a step and a card and see `memory_view`.

    predict: `memory.predict`; cards: the bytes of each card that a step may take; models: each
    one's positions, the longest row;
    choices: `ledger.CHOICES`.
    """

    def step(
        model: str,
        length: int,
        batch: int,
        method: str,
        rank: int,
        checkpoint: str,
        optimizer: str,
        loss: str,
        card: str,
    ) -> Drawing:
        options = {
            "method": method,
            "rank": rank,
            "checkpointing": checkpoint == "on",
            "optimizer": optimizer,
            "loss": loss,
        }
        return memory_view(predict(model, seq=length, batch=batch, **options), card, cards[card])

    return Panel(
        step,
        start={"length": 2048, "method": "qlora", "rank": 16},
        model=list(models),
        length=lambda model: [n for n in LENGTHS if n <= models[model]],
        batch=list(BATCHES),
        method=list(choices["method"]),
        rank=list(RANKS),
        checkpoint=["on", "off"],
        optimizer=list(choices["optimizer"]),
        loss=list(choices["loss"]),
        card=list(cards),
    )
