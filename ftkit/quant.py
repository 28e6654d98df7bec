"""Four bits from first principles: levels, blocks, codes, packing, double quantization, and what they cost.

W ≈ absmax of its block · level of its code, for NF4 and FP4 bit for bit as bitsandbytes on a CPU; a model that holds its
weights so comes from `models.load(quant="nf4")`.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

from . import data, models
from .record import Record, about, percent
from .runtime import UserError, nearest

BITS = {"nf4": 4, "fp4": 4, "int8": 8, "int4": 4, "int3": 3, "int2": 2}
BLOCK, BLOCKS = 64, (8, 1 << 20)  # neighbours along a row that share a scale: the default, the smallest and the largest
SECOND_BLOCK = 256  # scales that share a scale of their own in double quantization
GRID = 1 << 16  # points on which bitsandbytes' CPU kernel looks up an 8-bit level
HALF = (GRID - 1) / 2
TINY = 1e-38  # what bitsandbytes divides by in place of zero
OFFSET = 0.9677083  # the outermost quantile of NF4, from the reference code


def even_steps(low: float, high: float, n: int) -> list[float]:
    """n numbers from low to high in equal steps, each rounded to float32, as the reference code has them."""
    import torch

    return torch.linspace(low, high, n).tolist()


def levels(format: str = "nf4"):
    """The levels of a format in [−1, 1] by code, float32, (2^bits,) or one fewer.

    nf4: quantiles of the normal distribution (Dettmers et al. 2023, §3): Φ⁻¹ at eight equal steps of probability above one
    half and at seven below it, and an exact zero, divided by the largest; equal to bitsandbytes' table to the last bit.
    fp4: one sign, two exponent and one mantissa bit, in the order of their bit patterns.
    int-k: 2^(k−1) − 1 equal steps to either side of zero: one code stays unused, so that zero is a level.
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
        sizes = [m / 16 if e == 0 else 2 ** (4 - e) * (1 + m / 2) for e in range(4) for m in range(2)]
        return torch.tensor([*sizes, *(-s for s in sizes)]) / max(sizes)
    most = 2 ** (BITS[format] - 1) - 1
    return torch.arange(-most, most + 1) / most


def dynamic_levels():
    """The 256 levels that hold 8-bit scales: zero, one, and ± a decimal exponent 10⁻⁶ … 1 with 2^e fractions (Dettmers 2015)."""
    import torch

    values = [torch.tensor([0.0, 1.0])]
    for e in range(7):
        edges = torch.linspace(0.1, 1, 2**e + 1)
        middles = 10 ** (e - 6) * ((edges[:-1] + edges[1:]) / 2)
        values += [middles, -middles]
    return torch.cat(values).sort().values


@cache
def dynamic_codes():
    """The code of the level nearest to each of 65,536 points from −1 to 1: where bitsandbytes' CPU kernel looks a level up."""
    import torch

    return nearest_codes((torch.arange(GRID, dtype=torch.float64) / HALF - 1).float(), dynamic_levels())


def check_format(format: str) -> None:
    """Refuse a format that is not in BITS."""
    if format not in BITS:
        raise UserError(f"the format is {format!r}; give one of {', '.join(BITS)}.{nearest(format, BITS)}")


def check_block(block: int) -> None:
    """Refuse a block that is no power of two or out of range."""
    low, high = BLOCKS
    if isinstance(block, bool) or not isinstance(block, int) or not low <= block <= high or block & (block - 1):
        raise UserError(f"block is {block!r}; give a power of two from {low} to {high:,}, such as {BLOCK}.")


def check_weight(W, name: str) -> None:
    """Refuse what can't be scaled: packed weights, empty ones, NaN and infinite values."""
    if not W.is_floating_point():
        raise UserError(f"{name} holds {str(W.dtype).removeprefix('torch.')}, so it is packed already; load the model without quant.")
    if not W.numel():
        raise UserError(f"{name} has shape {tuple(W.shape)} and so no values; give a weight that has some.")
    if bad := int((~W.isfinite()).sum()):
        raise UserError(f"{name} holds {bad:,} values that are NaN or infinite, of {W.numel():,}; train again at a lower learning rate.")


def nearest_codes(scaled, table):
    """The code of the level nearest to each value, uint8; half-way between two levels the lower one."""
    import torch

    # Which of FP4's two zeros comes first is left to argsort, here as in bitsandbytes.
    order = torch.argsort(table)
    middles = (table[order[:-1]] + table[order[1:]]) / 2
    return order[torch.bucketize(scaled, middles)].to(torch.uint8)


def blockwise(W, block: int):
    """(W divided by its block's absmax, flat (n,); absmax (⌈n/block⌉,) float32), on the CPU. A block of zeros stays zeros."""
    import torch

    flat = W.detach().float().flatten().cpu()
    width = min(block, len(flat))
    rows = torch.nn.functional.pad(flat, (0, -len(flat) % width)).view(-1, width)
    absmax = rows.abs().amax(1)
    scaled = rows * (1 / absmax.clamp(min=TINY))[:, None]
    if len(flat) % block:  # bitsandbytes multiplies by 1/absmax in full blocks and divides in a last one that is not full
        absmax[-1].clamp_(min=TINY)
        scaled[-1] = rows[-1] / absmax[-1]
    return scaled.flatten()[: len(flat)], absmax


def pack(codes):
    """Two 4-bit codes in a byte, the first in the high half: (n,) → (⌈n/2⌉,) uint8; an odd end is filled with zero bits."""
    import torch

    codes = torch.nn.functional.pad(codes.flatten(), (0, codes.numel() % 2))
    return (codes[::2] << 4) | codes[1::2]


def unpack(packed, n: int):
    """The first n codes of packed bytes, (n,) uint8."""
    import torch

    return torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1).flatten()[:n]


@dataclass(frozen=True, repr=False, eq=False)
class Scales(Record):
    """Double quantization: a matrix's absmax values less their mean, in 8 bits with a scale for every 256 (Dettmers et al. 2023, §3)."""

    codes: object  # (blocks,) uint8, into dynamic_levels()
    absmax: object  # (⌈blocks/256⌉,) float32
    offset: object  # the mean, one float32

    def restore(self):
        """absmax ≈ level · second scale + offset, (blocks,) float32."""
        return dynamic_levels()[self.codes.long()] * spread(self.absmax, SECOND_BLOCK, len(self.codes)) + self.offset

    def table(self):
        """One line a part."""
        rows = [("codes", len(self.codes), "uint8"), ("second scales", len(self.absmax), "float32"), ("offset", 1, "float32")]
        return "Scales in 8 bits", ("part", "how many", "type"), rows


def spread(absmax, block: int, n: int):
    """Each block's scale for each of its values, (n,)."""
    return absmax.repeat_interleave(block)[:n]


def compress(absmax) -> Scales:
    """`absmax` (blocks,) in 8 bits: its mean is taken off, then blocks of 256 are coded by the dynamic map.

    The level is looked up as bitsandbytes 0.50 does on a CPU: at the nearest of 65,536 grid points. So where two levels are
    almost equally near it may take the other one, and an exact zero, which is no grid point, takes a level just above it.
    """
    import torch

    offset = absmax.mean()
    centred = absmax - offset
    rows = torch.nn.functional.pad(centred, (0, -len(centred) % SECOND_BLOCK)).view(-1, SECOND_BLOCK)
    second = rows.abs().amax(1)
    scaled = (rows * (1 / second)[:, None]).flatten()[: len(centred)].clamp(-1, 1)
    codes = dynamic_codes()[((scaled.nan_to_num() + 1) * HALF + 0.5).long()]
    codes[spread(second, SECOND_BLOCK, len(codes)) == 0] = 0
    return Scales(codes, second, offset)


@dataclass(frozen=True, repr=False, eq=False)
class Quantized(Record):
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
            raise UserError(f"the format is {self.format}, and only 4-bit codes are packed here: give one of nf4, fp4, int4.")
        codes = self.codes.flatten()
        if len(codes) % 2:  # bitsandbytes fills up with the code of 0.0
            import torch

            codes = torch.cat([codes, nearest_codes(torch.zeros(1), levels(self.format))])
        return pack(codes)

    def dequantize(self):
        """levels[codes] · absmax in W's shape and dtype."""
        absmax = self.absmax.restore() if isinstance(self.absmax, Scales) else self.absmax
        flat = levels(self.format)[self.codes.flatten().long()] * spread(absmax, self.block, self.codes.numel())
        return flat.to(self.dtype).view(self.codes.shape)

    @property
    def bits(self) -> float:
        """Bits for one weight: codes and scales, without the offset and the tables of levels."""
        double = isinstance(self.absmax, Scales)
        scales = 8 * len(self.absmax.codes) + 32 * len(self.absmax.absmax) if double else 32 * len(self.absmax)
        return BITS[self.format] + scales / self.codes.numel()

    def table(self):
        """Shape, format and bits."""
        double = ", in 8 bits" if isinstance(self.absmax, Scales) else ""
        rows = [("shape", " × ".join(map(str, self.codes.shape))), ("levels", len(levels(self.format)))]
        rows += [("block", f"{self.block} values share a scale{double}"), ("bits a weight", f"{self.bits:.4g}")]
        return f"A weight in {self.format}", ("", "value"), rows


def quantize(W, format: str = "nf4", block: int = BLOCK, double: bool = False, name: str = "the weight") -> Quantized:
    """W (d_out, d_in) as codes of `format`, a scale for every `block` neighbours along its rows; `double`: the scales in 8 bits.

    A block as large as the matrix or larger gives the whole of it one scale. For nf4 and fp4 codes, scales and dequantized
    values equal those of bitsandbytes on a CPU, bit for bit. (Its 0.50 takes wrong scales when it dequantizes with AVX-512 and
    d_in is a multiple of 16 but not of `block`; the values here are right.)
    """
    check_format(format)
    check_block(block)
    check_weight(W, name)
    scaled, absmax = blockwise(W, block)
    codes = nearest_codes(scaled, levels(format)).view(W.shape)
    return Quantized(codes, compress(absmax) if double else absmax, format, block, W.dtype)


def bits(format: str = "nf4", block: int = BLOCK, double: bool = False) -> float:
    """Bits a weight: the code's + 32/block for its scale, or + 8/block + 32/(256 · block) with double quantization.

    bits("nf4", 64, double=True) = 4 + 8/64 + 32/16384 = 4.127. Left out: four bytes of offset and the tables of levels a matrix.
    """
    check_format(format)
    check_block(block)
    return BITS[format] + (8 / block + 32 / (SECOND_BLOCK * block) if double else 32 / block)


@dataclass(frozen=True, repr=False)
class Error(Record):
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


@dataclass(frozen=True, repr=False)
class Look(Record):
    """One weight in one format, small enough to draw."""

    counts: list[int]  # the weights divided by their block's absmax, in equal bins from −1 to 1
    levels: list[float]  # rising
    taken: list[int]  # how many weights take each level
    error: Error
    bits: float  # a weight, its scale with it

    def table(self):
        """Error, bits, levels in use."""
        used = f"{sum(n > 0 for n in self.taken)} of {len(self.levels)}"
        rows = [("‖W − Ŵ‖ / ‖W‖", percent(self.error.relative)), ("bits a weight", f"{self.bits:.4g}"), ("levels in use", used)]
        return f"{self.error.format}, block {self.error.block}", ("", "value"), rows


def look(W, format: str = "nf4", block: int = BLOCK, bins: int = 81) -> Look:
    """What `explore_quant` draws of W (d_out, d_in): its scaled values, the levels they take, the error."""
    import torch

    of = error(W, format, block)
    scaled, _ = blockwise(W, block)
    table = levels(format).unique()
    taken = torch.bincount(nearest_codes(scaled, table).long(), minlength=len(table))
    counts = torch.histc(scaled, bins, -1, 1).int()
    return Look(counts.tolist(), table.tolist(), taken.tolist(), of, bits(format, block))


@contextmanager
def quantized(model, format: str = "nf4", block: int = BLOCK, double: bool = False) -> Iterator:
    """`model` with every linear layer of its blocks quantized and dequantized inside the block, and with the very same W after it.

    For formats that bitsandbytes lacks, and to compare formats in one precision; an adapter's own matrices stay as they are.
    """
    layers = {name: m.weight for name, m in models.linears(model).items() if ".lora_" not in name}
    with models.replaced({W: quantize(W, format, block, double, name).dequantize() for name, W in layers.items()}):
        yield model


def library():
    """`bitsandbytes.functional`, or one sentence when it or its compiled CPU kernels are missing."""
    try:
        import bitsandbytes
        from bitsandbytes.cextension import ErrorHandlerMockBNBNativeLibrary, lib
    except ImportError as missing:
        raise UserError(f'bitsandbytes could not be imported ({missing}); install it: pip install "bitsandbytes>=0.50,<1".') from missing
    if isinstance(lib, ErrorHandlerMockBNBNativeLibrary):
        raise UserError(
            f"bitsandbytes {bitsandbytes.__version__} is here without its compiled CPU kernels; "
            "install a wheel for this platform: pip install --force-reinstall bitsandbytes."
        )
    return bitsandbytes.functional


@dataclass(frozen=True, repr=False)
class Held(Record):
    """The bytes that bitsandbytes holds for a model's 4-bit layers, by kind, counted on its own tensors."""

    parameters: int
    codes: int
    scales: int  # absmax, or with double quantization its 8-bit codes
    second_scales: int
    offsets: int
    tables: int  # of levels; each layer has its own copy

    @property
    def bits(self) -> float:
        """Codes and scales of both kinds, bits a weight: what `bits` predicts."""
        return 8 * (self.codes + self.scales + self.second_scales) / self.parameters

    @property
    def total(self) -> int:
        """All bytes."""
        return self.codes + self.scales + self.second_scales + self.offsets + self.tables

    def table(self):
        """One line a kind."""
        kinds = {k: getattr(self, k) for k in ("codes", "scales", "second_scales", "offsets", "tables", "total")}
        rows = [(k.replace("_", " "), f"{n:,}", f"{8 * n / self.parameters:.4f}") for k, n in kinds.items()]
        return f"What bitsandbytes holds for {self.parameters:,} weights", ("kind", "bytes", "bits a weight"), rows


def held(model) -> Held:
    """Count the storage of every `Linear4bit` weight of the model and of its quantization state."""
    states = [(p, p.quant_state) for p in model.parameters() if getattr(p, "quant_state", None) is not None]
    if not states:
        raise UserError(f"the {type(model).__name__} has no 4-bit layer; load one with models.load(quant='nf4').")
    second = [s.state2 for _, s in states if s.nested]
    return Held(
        sum(math.prod(s.shape) for _, s in states),
        sum(p.nbytes for p, _ in states),
        sum(s.absmax.nbytes for _, s in states),
        sum(s.absmax.nbytes for s in second),
        sum(s.offset.nbytes for _, s in states if s.nested),
        sum(s.code.nbytes for s in [*(s for _, s in states), *second]),
    )


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model predicts at every answer token of chat rows."""

    logs: object  # (n, vocabulary) log-probabilities
    tokens: object  # (n,) the right tokens
    rows: object  # (n,) the number of the row that each belongs to

    def kl(self, other: "Answers") -> list[float]:
        """KL(this ‖ other) by row, the mean over its answer tokens, in nats."""
        import torch

        each = (self.logs.exp() * (self.logs - other.logs)).sum(-1)
        return [each[self.rows == row].mean().item() for row in torch.unique(self.rows)]


def answer_logs(model, tokenizer, rows, batch_size: int = 10) -> Answers:
    """The `Answers` of `model` to chat rows: the right answer is given, so every token is predicted from the right ones before it."""
    import torch

    logs, tokens, numbers = [], [], []
    for start in range(0, len(rows), batch_size):
        chats = rows[start : start + batch_size]["messages"]
        texts = [tokenizer.apply_chat_template(m, tokenize=False) for m in chats]
        batch = tokenizer(texts, add_special_tokens=False, padding=True, padding_side="left", return_tensors="pt").to(model.device)
        with torch.no_grad():
            predicted = model(**batch).logits.float().log_softmax(-1)
        for i, messages in enumerate(chats):
            n = data.answer_tokens(messages, tokenizer)
            logs.append(predicted[i, -n - 1 : -1].cpu())
            tokens.append(batch["input_ids"][i, -n:].cpu())
            numbers += [start + i] * n
    return Answers(torch.cat(logs), torch.cat(tokens), torch.tensor(numbers))


@dataclass(frozen=True, repr=False)
class Cost(Record):
    """What a change of the weights costs on the same answers, in nats per answer token."""

    loss: float  # mean −log p of the right token, after
    kl: float  # mean KL(before ‖ after)
    agreement: float  # share of tokens with the same most likely token

    def table(self):
        """One line a measure."""
        rows = [("loss", about(self.loss)), ("KL from before", about(self.kl)), ("same most likely token", percent(self.agreement))]
        return "Cost on answers, nats per answer token", ("measure", "value"), rows


def cost(before: Answers, after: Answers) -> Cost:
    """The `Cost` of going from `before` to `after`, which answer the same rows."""
    a, b = before.logs, after.logs
    kl = (a.exp() * (a - b)).sum(-1).mean().item()
    same = (a.argmax(-1) == b.argmax(-1)).float().mean().item()
    return Cost(-b.gather(1, before.tokens[:, None]).mean().item(), max(0.0, kl), same)
