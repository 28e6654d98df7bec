"""TODO header of quant.inspection."""

from dataclasses import dataclass

from ..core.results import Result, percent
from .blocks import BLOCK, Error, bits, blockwise, error
from .formats import levels, nearest_codes


@dataclass(frozen=True, repr=False)
class WeightInFormat(Result):
    """One weight in one format, small enough to draw."""

    counts: list[int]  # the weights divided by their block's absmax, in equal bins from −1 to 1
    levels: list[float]  # rising
    taken: list[int]  # how many weights take each level
    error: Error
    bits: float  # a weight, its scale with it

    def table(self):
        """Error, bits, levels in use."""
        used = f"{sum(n > 0 for n in self.taken)} of {len(self.levels)}"
        rows = [
            ("‖W − Ŵ‖ / ‖W‖", percent(self.error.relative)),
            ("bits a weight", f"{self.bits:.4g}"),
            ("levels in use", used),
        ]
        return f"{self.error.format}, block {self.error.block}", ("", "value"), rows


def inspect_weight(W, format: str = "nf4", block: int = BLOCK, bins: int = 81) -> WeightInFormat:
    """What `explore_quant` draws of W (d_out, d_in): its scaled values, the levels they take, the
    error.
    """
    import torch

    of = error(W, format, block)
    scaled, _ = blockwise(W, block)
    table = levels(format).unique()
    taken = torch.bincount(nearest_codes(scaled, table).long(), minlength=len(table))
    counts = torch.histc(scaled, bins, -1, 1).int()
    return WeightInFormat(counts.tolist(), table.tolist(), taken.tolist(), of, bits(format, block))
