"""LoRA and DoRA as plain torch modules, short enough to be read in one go. `lora` hands them on;
this file alone needs torch at its top.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F


def delta_w(A, B, alpha: float):
    """ΔW = (alpha/r) · B A, what merging adds to W: A (r, d_in), B (d_out, r), ΔW (d_out, d_in) (Hu
    et al. 2021, §4.1).
    """
    return (alpha / A.shape[0]) * (B @ A)


class LoRALinear(nn.Module):
    """W x + (alpha/r) · B A x: W (d_out, d_in) frozen, A (r, d_in) random, B (d_out, r) zero (Hu et
    al. 2021, §4.1).
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float):
        super().__init__()
        self.base = base.requires_grad_(False)
        self.A = nn.Parameter(base.weight.new_empty(r, base.in_features))
        self.B = nn.Parameter(base.weight.new_zeros(base.out_features, r))
        self.alpha = alpha
        nn.init.kaiming_uniform_(
            self.A, a=math.sqrt(5)
        )  # uniform up to ±1/√d_in, as in the authors' code and in peft

    def forward(self, x):
        """x (…, d_in) → (…, d_out), by two thin products: ΔW itself is never made."""
        return self.base(x) + (self.alpha / self.A.shape[0]) * (x @ self.A.T @ self.B.T)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The base layer with W + ΔW in place of W."""
        self.base.weight += delta_w(self.A, self.B, self.alpha)
        return self.base


class DoRALinear(LoRALinear):
    """m ⊙ (W + ΔW) x / ‖W + ΔW‖: LoRA turns the rows of W, m (d_out,) sets their lengths, ‖W‖ at
    first (Liu et al. 2024, eq. 5).

    The paper writes W with one column an output; in torch's (d_out, d_in) that is a row. Backward,
    the norm counts as a constant (§4.3).
    """

    def __init__(self, base: nn.Linear, r: int, alpha: float):
        super().__init__(base, r, alpha)
        self.m = nn.Parameter(base.weight.norm(dim=1))

    def weight(self):
        """W′ = m ⊙ (W + ΔW) / ‖W + ΔW‖, (d_out, d_in)."""
        V = self.base.weight + delta_w(self.A, self.B, self.alpha)
        return (self.m / V.norm(dim=1).detach())[:, None] * V

    def forward(self, x):
        """x (…, d_in) → (…, d_out); unlike LoRA, W + ΔW has to be made for its norms."""
        return F.linear(x, self.weight(), self.base.bias)

    @torch.no_grad()
    def merge(self) -> nn.Linear:
        """The base layer with W′ in place of W."""
        self.base.weight.copy_(self.weight())
        return self.base
