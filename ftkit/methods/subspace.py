"""Intrinsic dimension: how few random directions of all weights are enough to learn a task.

    Subspace(model, d, seed)     all weights moved by d numbers along fixed random directions
    smallest_enough(points, of)  d90: the fewest directions that reach 90 % of full fine-tuning

θ = θ₀ + P z, of which z (d numbers) alone is trained (Li et al. 2018; Aghajanyan et al. 2020). Here
every weight follows one of the d numbers with a random sign: the columns of P are orthogonal and
take no memory, where a dense P of a million weights would not fit. Notebook 08.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ..core.errors import UserError, is_whole
from ..core.parsing import shown


class Subspace(nn.Module):
    """`model` as a function of z (d,) alone, which begins at 0: the model as it is.

    Each of its n weights moves by ± z_j / √(n / d) for one j, so that a step in z is as long in the
    weights. Training is ordinary: z is the only parameter with a gradient. More directions than
    weights, or none, are a `UserError`.
    """

    def __init__(self, model: nn.Module, d: int, seed: int = 0) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.start = {name: p.detach().clone() for name, p in model.named_parameters()}
        n = sum(p.numel() for p in self.start.values())
        if not is_whole(d) or not 1 <= d <= n:
            raise UserError(f"d is {shown(d)}; give a whole number of directions from 1 to {n:,}.")
        self.z = nn.Parameter(torch.zeros(d))
        self.scale = math.sqrt(d / n)
        drawn = torch.Generator().manual_seed(seed)
        self.of = {
            name: torch.randint(d, p.shape, generator=drawn) for name, p in self.start.items()
        }
        self.sign = {
            name: torch.randint(2, p.shape, generator=drawn).mul_(2).sub_(1).to(torch.int8)
            for name, p in self.start.items()
        }

    def weights(self) -> dict[str, torch.Tensor]:
        """{name: θ₀ + P z}, through which gradients reach z."""
        return {
            name: start + self.scale * self.sign[name] * self.z[self.of[name]]
            for name, start in self.start.items()
        }

    def forward(self, *args: Any, **inputs: Any) -> Any:
        """What the model gives at z."""
        return torch.func.functional_call(self.model, self.weights(), args, inputs)

    def written(self) -> nn.Module:
        """The model itself, its weights at z for good."""
        with torch.no_grad():
            for name, values in self.weights().items():
                self.model.get_parameter(name).copy_(values)
        return self.model


def smallest_enough(
    points: Iterable[tuple[int, float]], full: float, share: float = 0.9
) -> int | None:
    """The smallest d of (d, score) pairs that reach `share` of `full`; None without one."""
    enough = [d for d, score in points if score >= share * full]
    return min(enough, default=None)
