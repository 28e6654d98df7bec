"""TODO header of quant.storage."""

import math
from dataclasses import dataclass

from ..core.errors import UserError
from ..core.results import Result


def library():
    """`bitsandbytes.functional`, or one sentence when it or its compiled CPU kernels are missing."""
    try:
        import bitsandbytes
        from bitsandbytes.cextension import ErrorHandlerMockBNBNativeLibrary, lib
    except ImportError as missing:
        raise UserError(
            f'bitsandbytes could not be imported ({missing}); install it: pip install "bitsandbytes>=0.50,<1".'
        ) from missing
    if isinstance(lib, ErrorHandlerMockBNBNativeLibrary):
        raise UserError(
            f"bitsandbytes {bitsandbytes.__version__} is here without its compiled CPU kernels; "
            "install a wheel for this platform: pip install --force-reinstall bitsandbytes."
        )
    return bitsandbytes.functional


@dataclass(frozen=True, repr=False)
class Held(Result):
    """The bytes that bitsandbytes holds for a model's 4-bit layers, by kind, counted on its own
    tensors.
    """

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
        kinds = {
            k: getattr(self, k)
            for k in ("codes", "scales", "second_scales", "offsets", "tables", "total")
        }
        rows = [
            (k.replace("_", " "), f"{n:,}", f"{8 * n / self.parameters:.4f}")
            for k, n in kinds.items()
        ]
        return (
            f"What bitsandbytes holds for {self.parameters:,} weights",
            ("kind", "bytes", "bits a weight"),
            rows,
        )


def hold(model) -> Held:
    """Count the storage of every `Linear4bit` weight of the model and of its quantization state."""
    states = [
        (p, p.quant_state)
        for p in model.parameters()
        if getattr(p, "quant_state", None) is not None
    ]
    if not states:
        raise UserError(
            f"the {type(model).__name__} has no 4-bit layer; load one with models.load(quant='nf4')."
        )
    second = [s.state2 for _, s in states if s.nested]
    return Held(
        sum(math.prod(s.shape) for _, s in states),
        sum(p.nbytes for p, _ in states),
        sum(s.absmax.nbytes for _, s in states),
        sum(s.absmax.nbytes for s in second),
        sum(s.offset.nbytes for _, s in states if s.nested),
        sum(s.code.nbytes for s in [*(s for _, s in states), *second]),
    )
