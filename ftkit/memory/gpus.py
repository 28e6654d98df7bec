"""What a GPU holds: published cards by arithmetic, and the one that is here.

    cards()                the GPUs of data/gpus.json, by name
    usable_bytes(card)     what torch can hand out of one
    fits(source, card)     the longest row that it holds, for several batch sizes
    free_bytes()           what this process can still get of the GPU that is here
    room_for(model)        the same, with the model that is to be trained in it

Prediction is `formula.predict`'s; what to shrink when a step does not fit says `advice.py`. Cards
are weighed without torch. Notebook 04.
"""

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import models
from ..core.errors import UserError, is_number, nearest
from ..core.files import data_path
from ..core.results import GIB, Result, TableParts, gibibytes
from .formula import predict
from .step import Step, make_step

if TYPE_CHECKING:
    import torch

    from .sizes import Source

# The share of a card that is left to torch's allocator, whose free pieces rarely match what is
# asked for.
RESERVE = 0.05
# The longest row that is tried where a config names no limit.
LONGEST_ROW = 2**20


def cards() -> dict[str, dict]:
    """{card: its figures} of data/gpus.json, whose "about" says how they were derived.

    nameplate_gb in GB; capacity_gib, what torch reports, and context_gib, what lies outside its
    allocator, in GiB; capability, CUDA's compute capability.
    """
    return json.loads(data_path("gpus.json").read_text(encoding="utf-8"))["cards"]


def usable_bytes(card: str) -> int:
    """Bytes of a card that torch's allocator can hand out: its capacity less the CUDA context."""
    known = cards()
    if card not in known:
        raise UserError(
            f"there is no card {card!r} in data/gpus.json; give one of {', '.join(known)}."
            f"{nearest(card, known)}"
        )
    return int((known[card]["capacity_gib"] - known[card]["context_gib"]) * GIB)


@dataclass(frozen=True, repr=False)
class Fit(Result):
    """What one card holds: the longest row at every batch size, 0 where not one token fits."""

    card: str
    usable: int  # bytes
    step: Step  # with one row of one token
    longest: dict[int, int]  # {batch: tokens per row}, up to the model's positions
    peaks: dict[int, int]  # {batch: bytes at that length}

    def json(self) -> dict:
        """Card, usable bytes, and the two dictionaries."""
        return {
            "card": self.card,
            "usable": self.usable,
            "longest": self.longest,
            "peaks": self.peaks,
        }

    def table(self) -> TableParts:
        """For each batch size the longest row, the tokens of a step, and its peak in GiB."""
        rows = []
        for batch, longest in self.longest.items():
            row = f"{longest:,}" if longest else "does not fit"
            rows.append((batch, row, f"{batch * longest:,}", gibibytes(self.peaks[batch])))
        title = (
            f"{self.step.name}, {self.step.method} on {self.card}: "
            f"{gibibytes(self.usable)} GiB usable"
        )
        return title, ("batch", "longest row", "tokens", "peak, GiB"), rows


def fits(
    source: "Source | Step",
    card: str,
    batches: tuple[int, ...] = (1, 2, 4, 8, 16),
    reserve: float = RESERVE,
    **options: Any,
) -> Fit:
    """The longest row that a card holds at each batch size, by `predict`.

    source, options: as for `predict`, but for seq and batch. reserve: the share of the card that is
    left to the allocator. Raises UserError for an unknown card and for a share that is none.
    """
    usable = usable_bytes(card)
    if not is_number(reserve) or not 0 <= reserve < 1:
        raise UserError(
            f"reserve is {reserve!r}; give a share of the card from 0 to below 1, such as 0.05."
        )
    # One token first, which every model takes.
    smallest = make_step(source, **{**options, "seq": 1})
    longest, peaks = {}, {}
    for batch in batches:
        step = make_step(smallest, batch=batch)
        longest[batch] = longest_row(step, usable * (1 - reserve))
        peaks[batch] = predict(step, seq=longest[batch] or 1).peak
    return Fit(card, usable, smallest, longest, peaks)


def longest_row(step: Step, limit: float) -> int:
    """Tokens of the longest rows with which a step takes no more than `limit` bytes; 0 for none.

    By bisection: what a step takes grows with its rows.
    """
    low, high = 0, step.architecture.positions or LONGEST_ROW
    while low < high:
        middle = (low + high + 1) // 2
        if predict(step, seq=middle).peak <= limit:
            low = middle
        else:
            high = middle - 1
    return low


def free_bytes() -> int:
    """What this process can still get of the GPU's memory; 0 without a GPU."""
    import torch

    if not torch.cuda.is_available():
        return 0
    free, _ = torch.cuda.mem_get_info()
    held_in_reserve = torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    return free + held_in_reserve


def room_for(model: "torch.nn.Module") -> int:
    """The bytes that a training step of a loaded model may take, the model itself among them.

    That is less by a copy of its trained weights, which a run keeps besides: the last good ones.
    """
    tensors = (*model.parameters(), *model.buffers())
    trained = models.trained_parameters(model)
    return free_bytes() + sum(t.nbytes for t in tensors) - sum(p.nbytes for p in trained)
