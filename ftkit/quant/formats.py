"""TODO header of quant.formats."""

from functools import cache
from statistics import NormalDist

from ..core.errors import UserError, nearest

BITS = {"nf4": 4, "fp4": 4, "int8": 8, "int4": 4, "int3": 3, "int2": 2}
GRID = 1 << 16  # points on which bitsandbytes' CPU kernel looks up an 8-bit level
HALF = (GRID - 1) / 2
OFFSET = 0.9677083  # the outermost quantile of NF4, from the reference code


def even_steps(low: float, high: float, n: int) -> list[float]:
    """n numbers from low to high in equal steps, each rounded to float32, as the reference code has
    them.
    """
    import torch

    return torch.linspace(low, high, n).tolist()


def levels(format: str = "nf4"):
    """The levels of a format in [−1, 1] by code, float32, (2^bits,) or one fewer.

    nf4: quantiles of the normal distribution (Dettmers et al. 2023, §3): Φ⁻¹ at eight equal steps
    of probability above one half and at seven below it, and an exact zero, divided by the largest;
    equal to bitsandbytes' table to the last bit.
    fp4: one sign, two exponent and one mantissa bit, in the order of their bit patterns. int-k:
    2^(k−1) − 1 equal steps to either side of zero: one code stays unused, so that zero is a level.
    """
    import torch

    check_format(format)
    if format == "nf4":
        quantile = NormalDist().inv_cdf
        above = [quantile(p) for p in even_steps(OFFSET, 0.5, 9)[:-1]]
        below = [-quantile(p) for p in even_steps(OFFSET, 0.5, 8)[:-1]]
        values = torch.tensor(sorted([*below, 0.0, *above]))
        return values / values.max()
    if format == "fp4":
        sizes = [
            m / 16 if e == 0 else 2 ** (4 - e) * (1 + m / 2) for e in range(4) for m in range(2)
        ]
        return torch.tensor([*sizes, *(-s for s in sizes)]) / max(sizes)
    most = 2 ** (BITS[format] - 1) - 1
    return torch.arange(-most, most + 1) / most


def dynamic_levels():
    """The 256 levels that hold 8-bit scales: zero, one, and ± a decimal exponent 10⁻⁶ … 1 with 2^e
    fractions (Dettmers 2015).
    """
    import torch

    values = [torch.tensor([0.0, 1.0])]
    for e in range(7):
        edges = torch.linspace(0.1, 1, 2**e + 1)
        middles = 10 ** (e - 6) * ((edges[:-1] + edges[1:]) / 2)
        values += [middles, -middles]
    return torch.cat(values).sort().values


@cache
def dynamic_codes():
    """The code of the level nearest to each of 65,536 points from −1 to 1: where bitsandbytes' CPU
    kernel looks a level up.
    """
    import torch

    return nearest_codes(
        (torch.arange(GRID, dtype=torch.float64) / HALF - 1).float(), dynamic_levels()
    )


def check_format(format: str) -> None:
    """Refuse a format that is not in BITS."""
    if format not in BITS:
        raise UserError(
            f"the format is {format!r}; give one of {', '.join(BITS)}.{nearest(format, BITS)}"
        )


def nearest_codes(scaled, table):
    """The code of the level nearest to each value, uint8; half-way between two levels the lower
    one.
    """
    import torch

    # Which of FP4's two zeros comes first is left to argsort, here as in bitsandbytes.
    order = torch.argsort(table)
    middles = (table[order[:-1]] + table[order[1:]]) / 2
    return order[torch.bucketize(scaled, middles)].to(torch.uint8)


def pack(codes):
    """Two 4-bit codes in a byte, the first in the high half: (n,) → (⌈n/2⌉,) uint8; an odd end is
    filled with zero bits.
    """
    import torch

    codes = torch.nn.functional.pad(codes.flatten(), (0, codes.numel() % 2))
    return (codes[::2] << 4) | codes[1::2]


def unpack(packed, n: int):
    """The first n codes of packed bytes, (n,) uint8."""
    import torch

    return torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1).flatten()[:n]
