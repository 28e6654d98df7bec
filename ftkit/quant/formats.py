"""The levels that a weight may take in each format, and its code: the number of the nearest level.

    levels("nf4")                  the 16 values of NF4 in [−1, 1], in the order of their codes
    nearest_codes(scaled, table)   the code of the level nearest to each value
    pack(codes)                    two 4-bit codes in one byte
    dynamic_levels()               the 256 values that double quantization gives to scales

Everything here lies in [−1, 1]: what a weight is divided by to get there is in `blocks.py`. NF4,
FP4 and the dynamic levels equal those of bitsandbytes to the last bit. Notebook 03.
"""

from functools import cache
from statistics import NormalDist

import torch

from ..core.errors import UserError, nearest

BITS = {"nf4": 4, "fp4": 4, "int8": 8, "int4": 4, "int3": 3, "int2": 2}  # of one code, by format
OUTERMOST = 0.9677083  # the outermost quantile of NF4, from the reference code
GRID = 1 << 16  # points on which bitsandbytes' CPU kernel looks an 8-bit level up
HALF_GRID = (GRID - 1) / 2


def check_format(format: str) -> None:
    """Refuse a format that is not in BITS."""
    if format not in BITS:
        hint = nearest(format, BITS)
        raise UserError(f"the format is {format!r}; give one of {', '.join(BITS)}.{hint}")


def levels(format: str = "nf4") -> torch.Tensor:
    """The levels of a format in [−1, 1] by code: float32, (2^bits,), or one fewer for int-k.

    Raises UserError for a format that is not in BITS.
    """
    check_format(format)
    if format == "nf4":
        return nf4_levels()
    if format == "fp4":
        return fp4_levels()
    return integer_levels(BITS[format])


def nf4_levels() -> torch.Tensor:
    """Quantiles of the normal distribution (Dettmers et al. 2023, §3): float32, (16,), rising.

    Φ⁻¹ at eight equal steps of probability above one half and at seven below it, and an exact
    zero, all divided by the largest.
    """
    quantile = NormalDist().inv_cdf
    above = [quantile(p) for p in even_steps(OUTERMOST, 0.5, 9)[:-1]]
    below = [-quantile(p) for p in even_steps(OUTERMOST, 0.5, 8)[:-1]]
    values = torch.tensor(sorted([*below, 0.0, *above]))
    return values / values.max()


def even_steps(start: float, end: float, n: int) -> list[float]:
    """n numbers from start to end in equal steps, each rounded to float32 as in the reference."""
    return torch.linspace(start, end, n).tolist()


def fp4_levels() -> torch.Tensor:
    """One sign, two exponent and one mantissa bit: float32, (16,), in the order of bit patterns."""
    magnitudes = []
    for exponent in range(4):
        for mantissa in range(2):
            # Exponent 0 stands for numbers without a leading one, as in every IEEE format.
            subnormal, normal = mantissa / 16, 2 ** (4 - exponent) * (1 + mantissa / 2)
            magnitudes.append(normal if exponent else subnormal)
    both_signs = [*magnitudes, *(-magnitude for magnitude in magnitudes)]
    return torch.tensor(both_signs) / max(magnitudes)


def integer_levels(bits: int) -> torch.Tensor:
    """2^(bits−1) − 1 equal steps to either side of zero: float32, (2^bits − 1,), rising.

    One code stays unused, so that zero is a level.
    """
    most = 2 ** (bits - 1) - 1
    return torch.arange(-most, most + 1) / most


def dynamic_levels() -> torch.Tensor:
    """The 256 levels that hold 8-bit scales, rising (Dettmers 2015): float32, (256,).

    Zero, one, and ± a decimal exponent 10⁻⁶ … 1 with 2^e fractions each.
    """
    values = [torch.tensor([0.0, 1.0])]
    for e in range(7):
        edges = torch.linspace(0.1, 1, 2**e + 1)
        middles = 10 ** (e - 6) * ((edges[:-1] + edges[1:]) / 2)
        values += [middles, -middles]
    return torch.cat(values).sort().values


def dynamic_codes(values: torch.Tensor) -> torch.Tensor:
    """The code of a dynamic level for each value in [−1, 1]: (n,) → (n,) uint8.

    Looked up as bitsandbytes 0.50 does on a CPU, at the nearest of 65,536 grid points. So where two
    levels are almost equally near it may take the other one, and an exact zero, which is no grid
    point, takes a level just above it.
    """
    return codes_on_grid()[((values + 1) * HALF_GRID + 0.5).long()]


@cache
def codes_on_grid() -> torch.Tensor:
    """The code of the dynamic level nearest to each grid point from −1 to 1: (65536,) uint8."""
    grid = torch.arange(GRID, dtype=torch.float64) / HALF_GRID - 1
    return nearest_codes(grid.float(), dynamic_levels())


def nearest_codes(scaled: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The code of the level nearest to each value, uint8 in the shape of `scaled`.

    table: the levels by code, in any order. Half-way between two levels it is the lower one.
    """
    # Which of FP4's two zeros comes first is left to argsort, here as in bitsandbytes.
    order = torch.argsort(table)
    middles = (table[order[:-1]] + table[order[1:]]) / 2
    return order[torch.bucketize(scaled, middles)].to(torch.uint8)


def pack(codes: torch.Tensor) -> torch.Tensor:
    """Two 4-bit codes in a byte, the first in the high half: (n,) → (⌈n/2⌉,) uint8.

    An odd end is filled with zero bits.
    """
    codes = torch.nn.functional.pad(codes.flatten(), (0, codes.numel() % 2))
    return (codes[::2] << 4) | codes[1::2]
