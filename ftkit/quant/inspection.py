"""One weight in one format, counted until it is small enough to draw.

    inspect_weight(W, "nf4", 64)    a histogram of its values, how many take each level, the error

It quantizes by `blocks.py` and draws nothing: `explorer.py` does. Notebook 03.
"""

from dataclasses import dataclass

import torch

from ..core.results import Result, TableParts, percent
from .blocks import BLOCK, RoundingError, bits_per_weight, rounding_error, scale_blocks
from .formats import levels, nearest_codes


@dataclass(frozen=True, repr=False)
class WeightInFormat(Result):
    """One weight in one format, small enough to draw."""

    counts: list[int]  # the weights divided by their block's absmax, in equal bins from −1 to 1
    levels: list[float]  # rising
    taken: list[int]  # how many weights take each level
    error: RoundingError
    bits_per_weight: float  # of code and scale

    @property
    def levels_in_use(self) -> int:
        """How many levels at least one weight takes."""
        return sum(n > 0 for n in self.taken)

    def table(self) -> TableParts:
        """Error, bits per weight, levels in use."""
        rows = [
            ("‖W − Ŵ‖ / ‖W‖", percent(self.error.relative)),
            ("bits per weight", f"{self.bits_per_weight:.4g}"),
            ("levels in use", f"{self.levels_in_use} of {len(self.levels)}"),
        ]
        return f"{self.error.format}, block {self.error.block}", ("", "value"), rows


def inspect_weight(
    W: torch.Tensor, format: str = "nf4", block: int = BLOCK, bins: int = 81
) -> WeightInFormat:
    """What `quant_view` draws of W (d_out, d_in): its scaled values, their levels, the error.

    bins: of the histogram. Raises as `quantize` does.
    """
    error = rounding_error(W, format, block)
    scaled, _ = scale_blocks(W, block)
    # FP4 has two zeros, which are one level here.
    table = levels(format).unique()
    codes = nearest_codes(scaled, table)
    return WeightInFormat(
        counts=torch.histc(scaled, bins, -1, 1).int().tolist(),
        levels=table.tolist(),
        taken=torch.bincount(codes.long(), minlength=len(table)).tolist(),
        error=error,
        bits_per_weight=bits_per_weight(format, block),
    )
