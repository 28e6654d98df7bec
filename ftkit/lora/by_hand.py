"""LoRA and DoRA as plain torch layers, short enough to be read in one go.

    LoRALinear(base, r, alpha)    y = W x + (alpha/r) · B A x
    DoRALinear(base, r, alpha)    the same direction, and a length per row of its own (DoRA)
    delta_w(A, B, alpha)          ΔW = (alpha/r) · B A, what merging adds to W

Tests hold each of them to peft: outputs, gradients, merged weights. This room wraps one layer; a
whole model gets its adapters from `by_peft.attach`. Notebooks 02 and 02b.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

# The shapes, as torch and peft store them:
#
#          d_in                      r        d_in
#       ┌────────┐                 ┌───┐   ┌────────┐
#       │        │                 │   │ · │   A    │ r
# d_out │   W    │  +  alpha / r · │ B │   └────────┘
#       │        │                 │   │
#       └────────┘                 └───┘
#         frozen                   zeros     random       at the start


def delta_w(A: torch.Tensor, B: torch.Tensor, alpha: float) -> torch.Tensor:
    """ΔW = (alpha/r) · B A, what merging adds to W (Hu et al. 2021, §4.1).

    Args:
        A: (r, d_in), down to r numbers.
        B: (d_out, r), up again.
        alpha: the update's scale, before it is divided by r.

    Returns: (d_out, d_in), the shape of W; its rank is r at most.
    """
    return (alpha / A.shape[0]) * (B @ A)


class LoRALinear(nn.Module):
    """y = W x + (alpha/r) · B A x: W is frozen, A and B learn (Hu et al. 2021, §4.1).

    base: the layer with W (d_out, d_in). r: how many numbers pass between A and B.
    A (r, d_in) starts random and B (d_out, r) zero, so that the layer starts as its base.
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(base.weight.new_empty(r, base.in_features))
        self.B = nn.Parameter(base.weight.new_zeros(base.out_features, r))
        self.alpha = alpha
        # uniform up to ±1/√d_in, as in the authors' code and in peft
        nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, d_in) → (…, d_out), by two thin products: ΔW itself is never made."""
        return self.base(x) + (self.alpha / self.A.shape[0]) * (x @ self.A.T @ self.B.T)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The base layer with W + ΔW in place of W."""
        self.base.weight += delta_w(self.A, self.B, self.alpha)
        return self.base


class DoRALinear(LoRALinear):
    """y = W′ x, W′ = m ⊙ (W + ΔW) / ‖W + ΔW‖: LoRA turns W's rows, m (d_out,) sets their lengths.

    m starts as ‖W‖, row by row, so that the layer starts as its base (Liu et al. 2024, eq. 5).
    The paper writes W with one column per output; in torch's (d_out, d_in) that is a row.
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float):
        super().__init__(base, r, alpha)
        self.m = nn.Parameter(base.weight.norm(dim=1))

    def weight(self) -> torch.Tensor:
        """W′ (d_out, d_in); backward, the norm counts as a constant (§4.3)."""
        V = self.base.weight + delta_w(self.A, self.B, self.alpha)
        return (self.m / V.norm(dim=1).detach())[:, None] * V

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x (…, d_in) → (…, d_out); unlike LoRA, W + ΔW has to be made for its norms."""
        return F.linear(x, self.weight(), self.base.bias)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The base layer with W′ in place of W."""
        self.base.weight.copy_(self.weight())
        return self.base
