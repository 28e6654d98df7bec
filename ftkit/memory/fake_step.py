"""Trace one real training step on tensors that have shapes and no memory.

    trace(source, **options)     the `Ledger` of a step that ran on fake tensors
    run_on_tape(model, …)        one step, with every storage that it makes on a `Tape`
    loss_of, make_optimizer      its parts, which the real step runs too
    compare_with_trace()         writes the table that holds the formula to the trace

transformers', peft's and bitsandbytes' own code runs; nothing is computed, so a laptop traces a
model of 70 B, and the GPU that it is for need not be there. What is alive is counted by
`storages.py`; a step with numbers in it is run by `real_step.py`. Notebook 04.
"""

import itertools
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from transformers import masking_utils
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .. import lora, models
from ..core.errors import UserError
from ..core.files import data_path, write_rows
from .allocator import Allocator
from .formula import predict
from .step import (
    CHOICES,
    METHODS,
    PARTS,
    TILE_TOKENS,
    TILE_WORDS,
    WORKSPACE,
    Ledger,
    Step,
    make_ledger,
    make_step,
)
from .storages import Tape, check_bitsandbytes, uses_bitsandbytes, watch_storages

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

    from .sizes import Source

TOP, MIDDLE, BOTTOM = (f"backward, {which}" for which in ("top layer", "middle layers", "bottom layer"))
FUSED = "ftkit_fused"  # what transformers knows `fused_attention` by


def trace(source: "Source | Step", *, every_layer: bool = False, **options: Any) -> Ledger:
    """The `Ledger` of one training step, run on fake tensors.

    source, options: as for `predict`, and any dense model.

    The step runs at two small depths: the peak of every phase is affine in the number of layers, so
    that the full depth follows exactly. every_layer=True runs them all, which takes longer, and
    tells what CUDA's allocator would reserve.

    Raises UserError for a wrong option, for a mixture of experts, and where bitsandbytes is missing
    or leaves a layer as it is.
    """
    step = make_step(source, **options)
    step.architecture.refuse_experts()
    depths = small_depths(step)
    if every_layer or step.architecture.depth <= max(depths):
        tape = training_step(step)
        reserved = Allocator().run(tape.events) if step.device == "cuda" else None
        return make_ledger(step, "trace", tape.peaks, reserved)
    first, second = (training_step(at_depth(step, depth)).peaks for depth in depths)
    phases = {}
    for phase in first:
        # In the middle the layer that peaks may change with the depth; the top or the bottom one
        # peaks above it.
        if phase != MIDDLE:
            values = ((first[phase][part], second[phase][part]) for part in PARTS)
            full = (extrapolate(depths, pair, step.architecture.depth) for pair in values)
            phases[phase] = dict(zip(PARTS, full, strict=True))
    return make_ledger(step, "trace", phases)
