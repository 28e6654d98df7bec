"""How a tuning moved the rows of each W: their lengths, and their directions (DoRA's analysis).

    moved(tuned, base)      a `Moved` per layer: ΔM and ΔD
    correlation(found)      how length and direction go together, from -1 to 1

Liu et al. 2024, §3.2: LoRA moves both together, full fine-tuning the one or the other. A row of W
(d_out, d_in) is what one output reads, as peft's DoRA has it. Updates themselves are read in
`lora.deltas`. Notebook 02b.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from .. import lora, models
from ..core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Moved:
    """How far the rows of a layer's W moved, the mean over rows."""

    layer: str
    length: float  # ΔM: |‖w′‖ − ‖w‖| / ‖w‖
    direction: float  # ΔD: 1 − cos(w′, w)


def moved(tuned: "PreTrainedModel | lora.PeftModel", base: "PreTrainedModel") -> list[Moved]:
    """ΔM and ΔD of every layer that the tuning changed.

    tuned: a model that was trained itself, or one with an adapter that updates matrices.
    """
    layers = models.linears(base)
    return rows_moved(lora.deltas(tuned, base), {name: w.weight for name, w in layers.items()})


def rows_moved(
    updates: Mapping[str, torch.Tensor], weights: Mapping[str, torch.Tensor]
) -> list[Moved]:
    """The same of ΔW and W (d_out, d_in) by name."""
    found = []
    for name, update in updates.items():
        before = weights[name].detach().float()
        after = before + update.float()
        lengths = before.norm(dim=1)
        change = ((after.norm(dim=1) - lengths).abs() / lengths).mean()
        turned = 1 - torch.nn.functional.cosine_similarity(after, before, dim=1)
        found.append(Moved(name, change.item(), turned.mean().item()))
    return found


def correlation(found: Sequence[Moved]) -> float:
    """Pearson's r of ΔM and ΔD over layers. Fewer than three layers are a `UserError`."""
    if len(found) < 3:
        raise UserError(f"{len(found)} layers moved; a correlation needs three at least.")
    return statistics.correlation([one.length for one in found], [one.direction for one in found])
