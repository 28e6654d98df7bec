"""Four bits from first principles: levels, blocks, codes, packing, double quantization, and what
they cost.

W ≈ absmax of its block · level of its code, for NF4 and FP4 bit for bit as bitsandbytes on a CPU; a
model that holds its weights so comes from `models.load(quant="nf4")`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from .. import models
from ..core.errors import UserError
from ..core.results import Result, about, percent
from .formats import (
    BITS,
    HALF,
    check_format,
    dynamic_codes,
    dynamic_levels,
    levels,
    nearest_codes,
    pack,
)

BLOCK, BLOCKS = (
    64,
    (8, 1 << 20),
)  # neighbours along a row that share a scale: the default, the smallest and the largest
SECOND_BLOCK = 256  # scales that share a scale of their own in double quantization
TINY = 1e-38  # what bitsandbytes divides by in place of zero


def check_block(block: int) -> None:
    """Refuse a block that is no power of two or out of range."""
    low, high = BLOCKS
    if (
        isinstance(block, bool)
        or not isinstance(block, int)
        or not low <= block <= high
        or block & (block - 1)
    ):
        raise UserError(
            f"block is {block!r}; give a power of two from {low} to {high:,}, such as {BLOCK}."
        )


def check_weight(W, name: str) -> None:
    """Refuse what can't be scaled: packed weights, empty ones, NaN and infinite values."""
    if not W.is_floating_point():
        raise UserError(
            f"{name} holds {str(W.dtype).removeprefix('torch.')}, so it is packed already; load the model without quant."
        )
    if not W.numel():
        raise UserError(
            f"{name} has shape {tuple(W.shape)} and so no values; give a weight that has some."
        )
    if bad := int((~W.isfinite()).sum()):
        raise UserError(
            f"{name} holds {bad:,} values that are NaN or infinite, of {W.numel():,}; train again at a lower learning rate."
        )


def blockwise(W, block: int):
    """(W divided by its block's absmax, flat (n,); absmax (⌈n/block⌉,) float32), on the CPU. A
    block of zeros stays zeros.
    """
    import torch

    flat = W.detach().float().flatten().cpu()
    width = min(block, len(flat))
    rows = torch.nn.functional.pad(flat, (0, -len(flat) % width)).view(-1, width)
    absmax = rows.abs().amax(1)
    scaled = rows * (1 / absmax.clamp(min=TINY))[:, None]
    if (
        len(flat) % block
        # bitsandbytes multiplies by 1/absmax in full blocks and divides in a last one that is not full
    ):
        absmax[-1].clamp_(min=TINY)
        scaled[-1] = rows[-1] / absmax[-1]
    return scaled.flatten()[: len(flat)], absmax


@dataclass(frozen=True, repr=False, eq=False)
class Scales(Result):
    """Double quantization: a matrix's absmax values less their mean, in 8 bits with a scale for
    every 256 (Dettmers et al. 2023, §3).
    """

    codes: object  # (blocks,) uint8, into dynamic_levels()
    absmax: object  # (⌈blocks/256⌉,) float32
    offset: object  # the mean, one float32

    def restore(self):
        """absmax ≈ level · second scale + offset, (blocks,) float32."""
        return (
            dynamic_levels()[self.codes.long()] * spread(self.absmax, SECOND_BLOCK, len(self.codes))
            + self.offset
        )

    def table(self):
        """One line a part."""
        rows = [
            ("codes", len(self.codes), "uint8"),
            ("second scales", len(self.absmax), "float32"),
            ("offset", 1, "float32"),
        ]
        return "Scales in 8 bits", ("part", "how many", "type"), rows


def spread(absmax, block: int, n: int):
    """Each block's scale for each of its values, (n,)."""
    return absmax.repeat_interleave(block)[:n]


def compress(absmax) -> Scales:
    """`absmax` (blocks,) in 8 bits: its mean is taken off, then blocks of 256 are coded by the
    dynamic map.

    The level is looked up as bitsandbytes 0.50 does on a CPU: at the nearest of 65,536 grid points.
    So where two levels are almost equally near it may take the other one, and an exact zero, which
    is no grid point, takes a level just above it.
    """
    import torch

    offset = absmax.mean()
    centred = absmax - offset
    rows = torch.nn.functional.pad(centred, (0, -len(centred) % SECOND_BLOCK)).view(
        -1, SECOND_BLOCK
    )
    second = rows.abs().amax(1)
    scaled = (rows * (1 / second)[:, None]).flatten()[: len(centred)].clamp(-1, 1)
    codes = dynamic_codes()[((scaled.nan_to_num() + 1) * HALF + 0.5).long()]
    codes[spread(second, SECOND_BLOCK, len(codes)) == 0] = 0
    return Scales(codes, second, offset)


@dataclass(frozen=True, repr=False, eq=False)
class Quantized(Result):
    """A weight as codes and scales: W ≈ absmax of its block · levels(format)[code]."""

    codes: object  # W's shape, uint8
    absmax: object  # (blocks,) float32, or Scales
    format: str
    block: int
    dtype: object  # of the weight before, and of what `dequantize` gives back

    @property
    def packed(self):
        """The codes as bitsandbytes stores them, two in a byte: (⌈n/2⌉,) uint8."""
        if BITS[self.format] != 4:
            raise UserError(
                f"the format is {self.format}, and only 4-bit codes are packed here: give one of nf4, fp4, int4."
            )
        codes = self.codes.flatten()
        if len(codes) % 2:  # bitsandbytes fills up with the code of 0.0
            import torch

            codes = torch.cat([codes, nearest_codes(torch.zeros(1), levels(self.format))])
        return pack(codes)

    def dequantize(self):
        """levels[codes] · absmax in W's shape and dtype."""
        absmax = self.absmax.restore() if isinstance(self.absmax, Scales) else self.absmax
        flat = levels(self.format)[self.codes.flatten().long()] * spread(
            absmax, self.block, self.codes.numel()
        )
        return flat.to(self.dtype).view(self.codes.shape)

    @property
    def bits(self) -> float:
        """Bits for one weight: codes and scales, without the offset and the tables of levels."""
        double = isinstance(self.absmax, Scales)
        scales = (
            8 * len(self.absmax.codes) + 32 * len(self.absmax.absmax)
            if double
            else 32 * len(self.absmax)
        )
        return BITS[self.format] + scales / self.codes.numel()

    def table(self):
        """Shape, format and bits."""
        double = ", in 8 bits" if isinstance(self.absmax, Scales) else ""
        rows = [
            ("shape", " × ".join(map(str, self.codes.shape))),
            ("levels", len(levels(self.format))),
        ]
        rows += [
            ("block", f"{self.block} values share a scale{double}"),
            ("bits a weight", f"{self.bits:.4g}"),
        ]
        return f"A weight in {self.format}", ("", "value"), rows


def quantize(
    W, format: str = "nf4", block: int = BLOCK, double: bool = False, name: str = "the weight"
) -> Quantized:
    """W (d_out, d_in) as codes of `format`, a scale for every `block` neighbours along its rows;
    `double`: the scales in 8 bits.

    A block as large as the matrix or larger gives the whole of it one scale. For nf4 and fp4 codes,
    scales and dequantized values equal those of bitsandbytes on a CPU, bit for bit. (Its 0.50 takes
    wrong scales when it dequantizes with AVX-512 and d_in is a multiple of 16 but not of `block`;
    the values here are right.)
    """
    check_format(format)
    check_block(block)
    check_weight(W, name)
    scaled, absmax = blockwise(W, block)
    codes = nearest_codes(scaled, levels(format)).view(W.shape)
    return Quantized(codes, compress(absmax) if double else absmax, format, block, W.dtype)


def bits(format: str = "nf4", block: int = BLOCK, double: bool = False) -> float:
    """Bits a weight: the code's + 32/block for its scale, or + 8/block + 32/(256 · block) with
    double quantization.

    bits("nf4", 64, double=True) = 4 + 8/64 + 32/16384 = 4.127. Left out: four bytes of offset and
    the tables of levels a matrix.
    """
    check_format(format)
    check_block(block)
    return BITS[format] + (8 / block + 32 / (SECOND_BLOCK * block) if double else 32 / block)


@dataclass(frozen=True, repr=False)
class Error(Result):
    """How far a quantized weight Ŵ is from W."""

    relative: float  # ‖W − Ŵ‖_F / ‖W‖_F, 0 for a matrix of zeros
    largest: float  # max |W − Ŵ|
    format: str
    block: int

    def table(self):
        """Both errors."""
        rows = [("‖W − Ŵ‖ / ‖W‖", percent(self.relative)), ("largest |W − Ŵ|", about(self.largest))]
        return f"{self.format}, block {self.block}", ("error", "value"), rows


def error(W, format: str = "nf4", block: int = BLOCK, double: bool = False) -> Error:
    """The `Error` of quantizing W (d_out, d_in)."""
    gap = (W.detach().cpu() - quantize(W, format, block, double).dequantize()).float()
    norm = W.detach().float().norm().item()
    return Error(gap.norm().item() / norm if norm else 0.0, gap.abs().max().item(), format, block)


@contextmanager
def in_format(model, format: str = "nf4", block: int = BLOCK, double: bool = False) -> Iterator:
    """`model` with every linear layer of its blocks quantized and dequantized inside the block, and
    with the very same W after it.

    For formats that bitsandbytes lacks, and to compare formats in one precision; an adapter's own
    matrices stay as they are.
    """
    layers = {name: m.weight for name, m in models.linears(model).items() if ".lora_" not in name}
    with models.replace_weights(
        {W: quantize(W, format, block, double, name).dequantize() for name, W in layers.items()}
    ):
        yield model
