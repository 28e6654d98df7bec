"""A linear layer that holds four bits per weight and trains what is around it, in plain torch.

    FourBitLinear(layer, format)    packed codes and scales; W is made anew in every forward pass
    loftq(W, r, format)             codes of W with an A and B that take up what rounding lost
    start_rounded(model, format)    a model whose LoRA begins on a rounded base, also by LoftQ

Codes, scales and values are those of `quantize`, so of bitsandbytes, bit for bit; gradients pass
to the input as through W itself, which is all that a QLoRA asks of its base. A model in four bits
comes from `models.load(quant="nf4")`. Notebook 03.
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .. import lora
from ..core.errors import UserError, is_whole
from .blocks import BLOCK, QuantizedScales, QuantizedWeight, quantize, repeat_scales
from .formats import levels


class FourBitLinear(nn.Module):
    """A frozen layer of which codes, two in a byte, and scales are all that is kept.

    format: "nf4", "fp4" or "int4". double: the scales in 8 bits, as QLoRA has them (Dettmers et al.
    2023). A weight that can't be quantized is a `UserError`.
    """

    def __init__(
        self, layer: nn.Linear, format: str = "nf4", block: int = BLOCK, *, double: bool = False
    ) -> None:
        super().__init__()
        made = quantize(layer.weight.detach(), format, block, double=double)
        self.format, self.block, self.dtype = format, block, made.dtype
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.register_buffer("packed", made.packed)
        scales = made.absmax
        parts: tuple[torch.Tensor, ...]
        if isinstance(scales, QuantizedScales):
            parts = scales.codes, scales.absmax, scales.offset
        else:
            parts = (scales,)
        self.in_8_bits = len(parts) > 1  # the scales
        for number, part in enumerate(parts):
            self.register_buffer(f"scales_{number}", part)
        self.register_buffer("levels", levels(format))
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone(), False)

    @property
    def weight(self) -> torch.Tensor:
        """W (d_out, d_in): two codes out of each byte, their levels times the scales of blocks."""
        held: Any = self  # buffers, of which torch says no type
        codes = torch.stack([held.packed >> 4, held.packed & 15], 1).flatten()
        n = self.out_features * self.in_features
        absmax = held.scales_0
        if self.in_8_bits:
            absmax = QuantizedScales(held.scales_0, held.scales_1, held.scales_2).restore()
        flat = held.levels[codes[:n].long()] * repeat_scales(absmax, self.block, n)
        return flat.to(self.dtype).view(self.out_features, self.in_features)

    @property
    def nbytes(self) -> int:
        """What is held for W: codes and scales, without the table of levels."""
        held = [buffer for name, buffer in self.named_buffers() if name != "levels"]
        return sum(buffer.nbytes for buffer in held)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, d_in) times W, which is let go again; the backward pass makes it once more."""
        product = FourBitProduct.apply(x, self)
        return product if self.bias is None else product + self.bias


class FourBitProduct(torch.autograd.Function):
    """x W^T whose backward pass keeps neither x nor W: W is made of its codes again."""

    @staticmethod
    def forward(context, x: torch.Tensor, layer: FourBitLinear) -> torch.Tensor:  # noqa: ANN001
        """(…, d_out)."""
        context.layer = layer
        return F.linear(x, layer.weight)

    @staticmethod
    def backward(context, gradient: torch.Tensor):  # noqa: ANN001, ANN205 (torch's own form)
        """The gradient of x (…, d_in); W has none."""
        return gradient @ context.layer.weight, None


def loftq(
    W: torch.Tensor, r: int = 8, format: str = "nf4", block: int = BLOCK, steps: int = 5
) -> tuple[QuantizedWeight, torch.Tensor, torch.Tensor]:
    """(codes of W, A (r, d_in), B (d_out, r)) with W ≈ Ŵ + B A (Li et al. 2023, algorithm 1).

    In turn W − B A is quantized, and B A is the best rank r of what that leaves: so an adapter
    starts at W and not at its rounded twin. With steps = 1 it is the best for the plain codes. A
    rank or a number of steps that can't be is a `UserError`.
    """
    lora.check_rank(r, min(W.shape))
    if not is_whole(steps) or steps < 1:
        raise UserError(f"steps is {steps!r}; give a whole number from 1 on, usually 5.")
    low_rank = torch.zeros_like(W)
    for _ in range(steps):
        made = quantize(W - low_rank, format, block)
        U, S, Vh = torch.linalg.svd((W - made.dequantize()).float(), full_matrices=False)
        A, B = S[:r, None].sqrt() * Vh[:r], U[:, :r] * S[:r].sqrt()
        low_rank = (B @ A).to(W.dtype)
    return made, A, B


def start_rounded(
    model: lora.PeftModel, format: str = "nf4", block: int = BLOCK, steps: int = 0
) -> float:
    """Round every W under a fresh LoRA, in place; ‖W − Ŵ − ΔW‖ / ‖W‖ of all of them together.

    steps: 0 leaves the adapter as it is, so that ΔW = 0, as QLoRA begins. From 1 on A and B are
    those of `loftq`, over √(alpha/r) each, as ΔW = (alpha/r) · B A. The base keeps its precision.
    An adapter that is no plain LoRA or is trained already, a base that is packed and what `loftq`
    refuses are a `UserError`, before anything changes.
    """
    (name,) = lora.check_adapters(model).active_adapters
    layers: list[Any] = [layer for _, layer in lora.adapted_layers(model, [name])]
    check_fresh(layers, name)
    # everything is made before the first weight is changed
    made = [rounded_start(layer, layer.r[name], format, block, steps) for layer in layers]
    lost = total = 0.0
    for layer, (W, rounded, pair) in zip(layers, made, strict=True):
        gap = (W - rounded).float()
        with torch.no_grad():
            if pair:
                A, B = pair
                gap -= B @ A
                scale = layer.scaling[name] ** 0.5
                layer.lora_A[name].weight.copy_(A / scale)
                layer.lora_B[name].weight.copy_(B / scale)
            weight = layer.get_base_layer().weight
            weight.copy_(rounded.T if layer.fan_in_fan_out else rounded)
        lost, total = lost + gap.norm().item() ** 2, total + W.float().norm().item() ** 2
    return (lost / total) ** 0.5


def check_fresh(layers: list[Any], name: str) -> None:
    """Refuse layers that add more than B A, and a B that was trained."""
    if not layers or any(name in layer.lora_variant for layer in layers):
        raise UserError(f"the adapter {name!r} is no plain LoRA; attach one by lora.attach(model).")
    if any(layer.lora_B[name].weight.count_nonzero() for layer in layers):
        raise UserError(
            f"the adapter {name!r} is trained already, and its start is over; {lora.FRESH}."
        )


Start = tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, torch.Tensor] | None]


def rounded_start(layer: Any, r: int, format: str, block: int, steps: int) -> Start:
    """(W (d_out, d_in), Ŵ, (A, B) or None) of one of peft's layers."""
    W = layer.get_base_layer().weight.detach().clone()
    W = W.T.contiguous() if layer.fan_in_fan_out else W
    if steps == 0:
        return W, quantize(W, format, block).dequantize(), None
    made, A, B = loftq(W, r, format, block, steps)
    return W, made.dequantize(), (A, B)
