"""TODO header of lora.target_explorer."""

from collections.abc import Mapping, Sequence

from ..core.results import decimal_bytes
from ..show.marks import tile
from ..show.panel import Panel, Ticks
from ..show.svg import ACCENT, FAINT, GREY, INK, Drawing, box, drawing, line, mix, words
from .rank_explorer import RANKS

# The halves of a transformer block, by what the names of their matrices hold in the model families:
# fused ones too.
HALVES = {
    "attention": ("q_proj", "k_proj", "v_proj", "o_proj", "qkv", "attn"),
    "MLP": ("gate", "up_proj", "down", "mlp", "fc"),
}


def group_by_half(parts: Sequence[str]) -> dict[str, list[str]]:
    """The names of a block's matrices as "attention", "MLP" and "other", without what is empty."""
    found: dict[str, list[str]] = {**{half: [] for half in HALVES}, "other": []}
    for part in parts:
        found[
            next(
                (half for half, signs in HALVES.items() if any(sign in part for sign in signs)),
                "other",
            )
        ].append(part)
    return {half: names for half, names in found.items() if names}


def draw_block(parts: Mapping[str, tuple[int, int, int]], targets: Sequence[str], r: int) -> str:
    """One transformer block, every W in proportion: d_out high, d_in wide; targets with A (r ×
    d_in) below and B (d_out × r) beside.
    """
    rows = group_by_half(parts)
    tall = {label: max(parts[p][0] for p in names) + r for label, names in rows.items()}
    room = {p: max(20, 7 * len(p.removesuffix("_proj"))) for p in parts}
    for names in rows.values():
        if (
            sum(room[p] for p in names) > 320
        ):  # too many to be named here; the list beside the block names them all
            room |= dict.fromkeys(names, 320 / len(names))
    wide = max(
        sum(parts[p][1] + r for p in names) / (392 - sum(room[p] for p in names))
        for names in rows.values()
    )
    scale = 1 / max(wide, sum(tall.values()) / (258 - 44 * len(rows)))
    found, top = [], 40.0
    for label, names in rows.items():
        x, top = 24.0, top + 34
        found.append(words(16, top - 20, label, 11, GREY, bold=True))
        for p in names:
            (d_out, d_in, _), on = parts[p], p in targets
            width, height, thin = d_in * scale, d_out * scale, max(r * scale, 2)
            if room[p] >= 20:
                found.append(
                    words(x, top - 5, p.removesuffix("_proj"), 11, ACCENT if on else INK, bold=on)
                )
            found.append(
                box(
                    x,
                    top,
                    width,
                    height,
                    mix("#ffffff", ACCENT, 0.14) if on else FAINT,
                    ACCENT if on else "none",
                    1,
                )
            )
            if on:
                found.append(
                    box(x, top + height + 2.5, width, thin, ACCENT)
                    + box(x + width + 2.5, top, thin, height, ACCENT)
                )
            x += width + thin + room[p]
        top += tall[label] * scale + 10
    return "".join(found)


def target_view(
    parts: Mapping[str, tuple[int, int, int]], targets: Sequence[str], r: int, total: int
) -> Drawing:
    """Where a LoRA of rank r sits in a model, and what it trains: r · (d_in + d_out) numbers for
    every targeted matrix.

    parts: {"q_proj": (d_out, d_in, copies), …}; targets: some of these names; total: all parameters
    of the base.
    """
    if unknown := [t for t in targets if t not in parts]:
        raise ValueError(f"the model has no part {unknown[0]!r}; it has {', '.join(parts)}.")
    counts = {
        p: r * (d_in + d_out) * copies if p in targets else 0
        for p, (d_out, d_in, copies) in parts.items()
    }
    trained = sum(counts.values())
    share = 100 * trained / (total + trained)
    step, most = min(21, 150 / len(parts)), max(1, *counts.values())
    found = [
        draw_block(parts, targets, r),
        words(424, 54, "trained numbers: r · (d_in + d_out) · copies", 11, GREY, bold=True),
    ]
    for i, (p, n) in enumerate(counts.items()):
        y, shape = 76 + step * i, " × ".join(str(side) for side in parts[p])
        found.append(
            words(424, y, p, 11, ACCENT if n else GREY, bold=bool(n))
            + words(512, y, shape, 10.5, GREY)
        )
        found.append(
            box(632, y - 9, 32 * n / most, 10, ACCENT)
            + words(744, y, f"{n:,}", 11, INK if n else GREY, "end")
        )
    found.append(line([(424, 232), (744, 232)], FAINT))
    found.append(
        tile(424, 258, f"{trained:,}", "trained numbers", ACCENT)
        + tile(620, 258, f"{share:.3g} %", "of base + adapter")
    )
    found.append(
        tile(424, 304, decimal_bytes(4 * trained), "adapter in fp32")
        + tile(620, 304, decimal_bytes(2 * trained), "adapter in bf16")
    )
    found.append(
        words(
            16,
            319,
            "W to scale, A (r × d_in) below it, B (d_out × r) beside it, 2 px at least",
            10.5,
            GREY,
        )
    )
    where = ", ".join(p for p in parts if p in targets) or "nothing"
    text = f"r = {r} on {where}: {trained:,} trained of {total + trained:,} ({share:.3g} %), "
    text += f"{decimal_bytes(4 * trained)} in fp32, {decimal_bytes(2 * trained)} in bf16"
    return drawing(
        f"LoRA at r = {r}", found, text, f"on {len(targets)} of {len(parts)} kinds of matrix"
    )


def explore_targets(
    parts: Mapping[str, tuple[int, int, int]], total: int, r: Sequence[int] = RANKS
) -> Panel:
    """Tick targets, choose r, and see `attach_view`; ranks above the shortest side of all parts are
    left out.
    """
    presets = {"all-linear": list(parts), **group_by_half(parts)}
    if {"q_proj", "v_proj"} <= set(parts):
        presets["q, v"] = ["q_proj", "v_proj"]
    shortest = min(min(d_out, d_in) for d_out, d_in, _ in parts.values())

    def attached(targets: Sequence[str], r: int) -> Drawing:
        return target_view(parts, targets, r, total)

    possible = [value for value in r if value <= shortest]
    ticks = Ticks(dict.fromkeys(parts, True), presets)
    return Panel(attached, start={"r": 8}, targets=ticks, r=possible)
