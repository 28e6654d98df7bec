"""A weight in four bits, from first principles: blocks, their scales, codes, and what it costs.

    quantize(W, "nf4")           codes and scales: W ≈ absmax of its block · levels[code]
    rounding_error(W, "nf4")     how far that is from W
    bits_per_weight("nf4")       what it takes, scales with it
    in_format(model, "int3")     a model in that format, inside a `with` block

For NF4 and FP4 codes, scales and values equal those of bitsandbytes on a CPU, bit for bit. A model
that lies in memory so comes from `models.load(quant="nf4")`; what bitsandbytes holds for it is
counted in `storage.py`, and what the answers lose is measured by `evaluate.cost`. Notebook 03.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import models
from ..core.errors import UserError, is_whole
from ..core.results import Result, TableParts, about, percent
from .formats import (
    BITS,
    check_format,
    dynamic_codes,
    dynamic_levels,
    levels,
    nearest_codes,
    pack,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

BLOCK = 64  # neighbours along a row that share a scale, as in QLoRA
SMALLEST_BLOCK, LARGEST_BLOCK = 8, 1 << 20
SCALE_BLOCK = 256  # scales that share a scale of their own in double quantization
TINY = 1e-38  # what bitsandbytes divides by in place of zero


def check_block(block: int) -> None:
    """Refuse a block that is no power of two or out of range."""
    low, high = SMALLEST_BLOCK, LARGEST_BLOCK
    # A power of two has a single bit, which is gone below it: 64 & 63 is 0.
    if not is_whole(block) or not low <= block <= high or block & (block - 1):
        raise UserError(
            f"block is {block!r}; give a power of two from {low} to {high:,}, such as {BLOCK}."
        )


def check_weight(W: torch.Tensor, name: str) -> None:
    """Refuse what can't be scaled: packed weights, empty ones, NaN and infinite values."""
    if not W.is_floating_point():
        dtype = str(W.dtype).removeprefix("torch.")
        raise UserError(
            f"{name} holds {dtype}, so it is packed already; load the model without quant."
        )
    if not W.numel():
        raise UserError(
            f"{name} has shape {tuple(W.shape)} and so no values; give a weight that has some."
        )
    if bad := int((~W.isfinite()).sum()):
        raise UserError(
            f"{name} holds {bad:,} values that are NaN or infinite, of {W.numel():,}; "
            "train again at a lower learning rate."
        )


def in_blocks(values: torch.Tensor, block: int) -> torch.Tensor:
    """Flat values (n,) as rows of one block each, (⌈n/block⌉, block); zeros fill the last one."""
    return torch.nn.functional.pad(values, (0, -len(values) % block)).view(-1, block)


def scale_blocks(W: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """W divided by its blocks' absmax, flat (n,), and the absmax (⌈n/block⌉,); float32, on the CPU.

    A block of zeros stays zeros.
    """
    flat = W.detach().float().flatten().cpu()
    rows = in_blocks(flat, min(block, len(flat)))
    absmax = rows.abs().amax(1)
    scaled = rows * (1 / absmax.clamp(min=TINY))[:, None]
    # bitsandbytes multiplies by 1/absmax in full blocks, and divides in a last one that is shorter.
    if len(flat) % block:
        absmax[-1].clamp_(min=TINY)
        scaled[-1] = rows[-1] / absmax[-1]
    return scaled.flatten()[: len(flat)], absmax


def repeat_scales(absmax: torch.Tensor, block: int, n: int) -> torch.Tensor:
    """The scale of each of n values: (blocks,) → (n,)."""
    return absmax.repeat_interleave(block)[:n]


@dataclass(frozen=True, repr=False, eq=False)
class QuantizedScales(Result):
    """Double quantization: scales less their mean, in 8 bits (Dettmers et al. 2023, §3)."""

    codes: torch.Tensor  # (blocks,) uint8, into dynamic_levels()
    absmax: torch.Tensor  # (⌈blocks/256⌉,) float32, the scales of the scales
    offset: torch.Tensor  # the mean, one float32

    def restore(self) -> torch.Tensor:
        """absmax ≈ level · second scale + offset, (blocks,) float32."""
        n = len(self.codes)
        centred = dynamic_levels()[self.codes.long()] * repeat_scales(self.absmax, SCALE_BLOCK, n)
        return centred + self.offset

    def table(self) -> TableParts:
        """The three parts: how many numbers of which type."""
        rows = [
            ("codes", len(self.codes), "uint8"),
            ("second scales", len(self.absmax), "float32"),
            ("offset", 1, "float32"),
        ]
        return "Scales in 8 bits", ("part", "how many", "type"), rows


def quantize_scales(absmax: torch.Tensor) -> QuantizedScales:
    """Scales (blocks,) in 8 bits: their mean is taken off, then blocks of 256 are coded."""
    offset = absmax.mean()
    centred = absmax - offset
    # Blocks of scales, each divided by its own largest.
    rows = in_blocks(centred, SCALE_BLOCK)
    second = rows.abs().amax(1)
    scaled = (rows * (1 / second)[:, None]).flatten()[: len(centred)].clamp(-1, 1)
    # A block of equal scales is all zeros now, and NaN once divided; bitsandbytes gives it code 0.
    codes = dynamic_codes(scaled.nan_to_num())
    codes[repeat_scales(second, SCALE_BLOCK, len(codes)) == 0] = 0
    return QuantizedScales(codes, second, offset)


@dataclass(frozen=True, repr=False, eq=False)
class QuantizedWeight(Result):
    """A weight as codes and scales: W ≈ absmax of its block · levels(format)[code]."""

    codes: torch.Tensor  # uint8, in W's shape
    absmax: torch.Tensor | QuantizedScales  # (blocks,) float32, or the same in 8 bits
    format: str
    block: int
    dtype: torch.dtype  # of the weight before, and of what `dequantize` gives back

    @property
    def packed(self) -> torch.Tensor:
        """The codes as bitsandbytes stores them, two in a byte: (⌈n/2⌉,) uint8."""
        if BITS[self.format] != 4:
            raise UserError(
                f"the format is {self.format}, and only 4-bit codes are packed here: "
                "give one of nf4, fp4, int4."
            )
        codes = self.codes.flatten()
        # An odd number of codes: bitsandbytes fills up with the code of 0.0.
        if len(codes) % 2:
            codes = torch.cat([codes, nearest_codes(torch.zeros(1), levels(self.format))])
        return pack(codes)

    def dequantize(self) -> torch.Tensor:
        """levels[codes] · absmax, in W's shape and dtype."""
        absmax = self.absmax.restore() if isinstance(self.absmax, QuantizedScales) else self.absmax
        scales = repeat_scales(absmax, self.block, self.codes.numel())
        flat = levels(self.format)[self.codes.flatten().long()] * scales
        return flat.to(self.dtype).view(self.codes.shape)

    @property
    def bits_per_weight(self) -> float:
        """Bits of codes and scales per weight, without the offset and the tables of levels."""
        if isinstance(self.absmax, QuantizedScales):
            scales = 8 * len(self.absmax.codes) + 32 * len(self.absmax.absmax)
        else:
            scales = 32 * len(self.absmax)
        return BITS[self.format] + scales / self.codes.numel()

    def table(self) -> TableParts:
        """Shape, number of levels, block and bits per weight."""
        double = ", in 8 bits" if isinstance(self.absmax, QuantizedScales) else ""
        rows = [
            ("shape", " × ".join(map(str, self.codes.shape))),
            ("levels", len(levels(self.format))),
            ("block", f"{self.block} values share a scale{double}"),
            ("bits per weight", f"{self.bits_per_weight:.4g}"),
        ]
        return f"A weight in {self.format}", ("", "value"), rows


def quantize(
    W: torch.Tensor,
    format: str = "nf4",
    block: int = BLOCK,
    *,
    double: bool = False,
    name: str = "the weight",
) -> QuantizedWeight:
    """W (d_out, d_in) as codes of `format`, and one scale for every `block` neighbours in a row.

    double: the scales in 8 bits; name: what an error calls W. A block as large as the matrix or
    larger gives the whole of it one scale.

    For nf4 and fp4 codes, scales and dequantized values equal those of bitsandbytes on a CPU, bit
    for bit. (Its 0.50 takes wrong scales when it dequantizes with AVX-512 and d_in is a multiple of
    16 but not of `block`; the values here are right.)

    Raises UserError for an unknown format, a block that is no power of two from 8 to 2²⁰, and a W
    that is packed, empty or not finite.
    """
    check_format(format)
    check_block(block)
    check_weight(W, name)
    # Scales first, then the level nearest to each scaled value.
    scaled, absmax = scale_blocks(W, block)
    codes = nearest_codes(scaled, levels(format)).view(W.shape)
    scales = quantize_scales(absmax) if double else absmax
    return QuantizedWeight(codes, scales, format, block, W.dtype)


def bits_per_weight(format: str = "nf4", block: int = BLOCK, *, double: bool = False) -> float:
    """Bits per weight: those of its code, and its share of the scales.

    32/block for a float32 scale, or 8/block + 32/(256 · block) with double quantization:
    bits_per_weight("nf4", 64, double=True) = 4 + 8/64 + 32/16384 = 4.127. Left out are four bytes
    of offset and the tables of levels per matrix.
    """
    check_format(format)
    check_block(block)
    scales = 8 / block + 32 / (SCALE_BLOCK * block) if double else 32 / block
    return BITS[format] + scales


@dataclass(frozen=True, repr=False)
class RoundingError(Result):
    """How far a quantized weight Ŵ is from W."""

    relative: float  # ‖W − Ŵ‖_F / ‖W‖_F, 0 for a matrix of zeros
    largest: float  # max |W − Ŵ|
    format: str
    block: int

    def table(self) -> TableParts:
        """The relative error and the largest."""
        rows = [
            ("‖W − Ŵ‖ / ‖W‖", percent(self.relative)),
            ("largest |W − Ŵ|", about(self.largest)),
        ]
        return f"{self.format}, block {self.block}", ("error", "value"), rows


def rounding_error(
    W: torch.Tensor, format: str = "nf4", block: int = BLOCK, *, double: bool = False
) -> RoundingError:
    """The `RoundingError` of quantizing W (d_out, d_in); raises as `quantize` does."""
    rounded = quantize(W, format, block, double=double).dequantize()
    gap = (W.detach().cpu() - rounded).float()
    norm = W.detach().float().norm().item()
    relative = gap.norm().item() / norm if norm else 0.0
    return RoundingError(relative, gap.abs().max().item(), format, block)


@contextmanager
def in_format(
    model: "PreTrainedModel", format: str = "nf4", block: int = BLOCK, *, double: bool = False
) -> Iterator["PreTrainedModel"]:
    """The model with every linear layer of its blocks rounded to `format`, inside the block.

    Its weights are quantized and dequantized, so that it computes in its own precision; after the
    block it has the very same W again. For formats that bitsandbytes lacks, and to compare formats.
    An adapter's own matrices stay as they are. Raises as `quantize` does, before any is changed.
    """
    # All of them are rounded before the first is changed.
    rounded = {}
    for name, layer in models.linears(model).items():
        if ".lora_" not in name:
            quantized = quantize(layer.weight, format, block, double=double, name=name)
            rounded[layer.weight] = quantized.dequantize()
    with models.replace_weights(rounded):
        yield model
