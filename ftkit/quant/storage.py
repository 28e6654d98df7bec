"""What bitsandbytes holds for a model in four bits, counted on its own tensors.

    stored_bytes(model)        codes, scales, second scales, offsets and tables, in bytes
    import_bitsandbytes()      bitsandbytes.functional, or one sentence that says what to install

`get_memory_footprint()` of transformers sees the codes alone. What it should be by arithmetic is
`blocks.bits_per_weight`; what a whole training step takes is predicted by `memory`. Notebooks 03
and 04.
"""

import math
from dataclasses import dataclass
from types import ModuleType

import torch

from ..core.errors import UserError
from ..core.results import Result, TableParts


def import_bitsandbytes() -> ModuleType:
    """`bitsandbytes.functional`; a UserError where it or its compiled CPU kernels are missing."""
    try:
        import bitsandbytes
        from bitsandbytes import functional
        from bitsandbytes.cextension import ErrorHandlerMockBNBNativeLibrary, lib
    except ImportError as missing:
        raise UserError(
            f"bitsandbytes could not be imported ({missing}); "
            'install it: pip install "bitsandbytes>=0.50,<1".'
        ) from missing
    # It can be imported all the same without the kernels that do the work.
    if isinstance(lib, ErrorHandlerMockBNBNativeLibrary):
        raise UserError(
            f"bitsandbytes {bitsandbytes.__version__} is here without its compiled CPU kernels; "
            "install a wheel for this platform: pip install --force-reinstall bitsandbytes."
        )
    return functional


@dataclass(frozen=True, repr=False)
class StoredBytes(Result):
    """The bytes that bitsandbytes holds for a model's 4-bit layers, by kind."""

    parameters: int  # how many weights the layers have: a number, and no bytes
    codes: int
    scales: int  # absmax, or with double quantization its 8-bit codes
    second_scales: int
    offsets: int
    tables: int  # of levels; each layer has its own copy

    @property
    def bits_per_weight(self) -> float:
        """Bits of codes and scales of both kinds per weight: what `bits_per_weight` predicts."""
        return 8 * (self.codes + self.scales + self.second_scales) / self.parameters

    @property
    def total(self) -> int:
        """All bytes."""
        return self.codes + self.scales + self.second_scales + self.offsets + self.tables

    def table(self) -> TableParts:
        """Each kind in bytes and in bits per weight, and the total."""
        rows = []
        for kind in ("codes", "scales", "second_scales", "offsets", "tables", "total"):
            size = getattr(self, kind)
            bits = 8 * size / self.parameters
            rows.append((kind.replace("_", " "), f"{size:,}", f"{bits:.4f}"))
        title = f"What bitsandbytes holds for {self.parameters:,} weights"
        return title, ("kind", "bytes", "bits per weight"), rows


def stored_bytes(model: torch.nn.Module) -> StoredBytes:
    """Count the storage of every 4-bit weight of the model and of its quantization state.

    Raises UserError for a model without 4-bit layers.
    """
    # bitsandbytes' QuantState of each weight; with double quantization a second one inside it.
    state_of = {weight: getattr(weight, "quant_state", None) for weight in model.parameters()}
    state_of = {weight: state for weight, state in state_of.items() if state is not None}
    if not state_of:
        raise UserError(
            f"the {type(model).__name__} has no 4-bit layer; "
            "load one with models.load(quant='nf4')."
        )
    states = list(state_of.values())
    doubled = [state for state in states if state.nested]
    second = [state.state2 for state in doubled]
    return StoredBytes(
        parameters=sum(math.prod(state.shape) for state in states),
        codes=sum(weight.nbytes for weight in state_of),
        scales=sum(state.absmax.nbytes for state in states),
        second_scales=sum(state.absmax.nbytes for state in second),
        offsets=sum(state.offset.nbytes for state in doubled),
        tables=sum(state.code.nbytes for state in (*states, *second)),
    )
