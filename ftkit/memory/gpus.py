"""TODO header of memory.gpus."""

import json
from dataclasses import dataclass

import torch

from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.results import Result
from ..models import trained_parameters
from .formula import predict
from .step import GIB, POSITIONS, Step, gib, make_step


def cards() -> dict[str, dict]:
    """The GPUs of data/gpus.json by name; its "about" says how the numbers were derived."""
    return json.loads(data_path("gpus.json").read_text(encoding="utf-8"))["cards"]


def usable(card: str) -> int:
    """Bytes of a card that torch's allocator can hand out: what torch reports as its capacity less
    the CUDA context.
    """
    known = cards()
    if card not in known:
        raise UserError(
            f"there is no card {card!r} in data/gpus.json; give one of {', '.join(known)}.{nearest(card, known)}"
        )
    return int((known[card]["capacity_gib"] - known[card]["context_gib"]) * GIB)


@dataclass(frozen=True, repr=False)
class Fit(Result):
    """What one card holds: the longest sequence at every batch size; 0 where not even one token
    fits.
    """

    card: str
    usable: int
    setting: Step
    longest: dict[int, int]  # {batch: tokens a row}, up to the model's positions
    peaks: dict[int, int]  # {batch: bytes at that length}

    def json(self) -> dict:
        """The same by name."""
        return {
            "card": self.card,
            "usable": self.usable,
            "longest": self.longest,
            "peaks": self.peaks,
        }

    def table(self):
        """One line a batch size."""
        rows = [
            (b, f"{n:,}" if n else "does not fit", f"{b * n:,}", gib(self.peaks[b]))
            for b, n in self.longest.items()
        ]
        s = self.setting
        return (
            f"{s.name}, {s.method} on {self.card}: {gib(self.usable)} GiB usable",
            ("batch", "longest row", "tokens", "peak, GiB"),
            rows,
        )


def fits(
    source, card: str, batches: tuple[int, ...] = (1, 2, 4, 8, 16), reserve: float = 0.05, **options
) -> Fit:
    """The longest sequence that a card holds at each batch size, by bisection on `predict`.

    reserve: the share of the card that is left to the allocator, whose free pieces rarely match
    what is asked for.
    """
    limit = usable(card)
    if not 0 <= reserve < 1:
        raise UserError(
            f"reserve is {reserve!r}; give a share of the card from 0 to below 1, such as 0.05."
        )
    first = make_step(source, **{**options, "seq": 1})
    most = next((first.config[key] for key in POSITIONS if first.config.get(key)), 2**20)
    longest, peaks = {}, {}
    for batch in batches:

        def peak(seq: int, batch: int = batch) -> int:
            return predict(first, seq=seq, batch=batch).peak

        low, high = 0, most
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (
                (middle, high) if peak(middle) <= limit * (1 - reserve) else (low, middle - 1)
            )
        longest[batch], peaks[batch] = low, peak(low or 1)
    return Fit(card, limit, first, longest, peaks)


def free_bytes() -> int:
    """What this process can still get of the GPU's memory."""
    if not torch.cuda.is_available():
        return 0
    return (
        torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    )


def room_for(model) -> int:
    """The bytes that a training step may take, the model itself with it, less the copy of its
    trained weights (see `Keeper.keep`).
    """
    return (
        free_bytes()
        + sum(t.nbytes for t in (*model.parameters(), *model.buffers()))
        - sum(p.nbytes for p in trained_parameters(model))
    )
