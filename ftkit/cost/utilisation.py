"""Of what a card could do at most, how much did it? Measured, published, and of your machine.

    utilisation(flops, seconds, peak)     the share of a peak that a run has used
    measured_utilisations()               what the kit's runs on a GPU have used
    usual_utilisation()                   (lowest measured, the best of Llama 3's training)
    time_products(seconds)                what this machine's products reach: a peak of its own

The share is of the published peak of the tensor cores on 16-bit numbers. Every product that is done
counts, with checkpointing those of the second forward pass too; without it the share is what papers
call model FLOPs utilisation (Chowdhery et al. 2022, §4.1). Notebook 14.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from .. import memory, train
from ..core.errors import UserError, is_number, is_whole
from ..core.files import data_path
from ..core.results import Result, TableParts, percent
from .flops import train_flops

# Llama 3 405B in bfloat16 on 8,192 to 16,384 H100, pretrained: Grattafiori et al. 2024, table 4.
# PaLM reports 46 %, on other machines (Chowdhery et al. 2022, §4.1).
PUBLISHED = (0.38, 0.43)
STATES_SIZE = 1_000_000_000  # of the measured models those that say something of large ones


@dataclass(frozen=True)
class Measured:
    """One measured run: the FLOPs that it needed at most per second, and the share of the peak."""

    card: str
    model: str
    what: str
    parameters: int
    per_second: float  # FLOPs
    share: float


@dataclass(frozen=True, repr=False)
class Utilisations(Result):
    """What the kit's runs on a GPU have used of its peak."""

    runs: tuple[Measured, ...]

    def table(self) -> TableParts:
        """A line per run."""
        rows = [
            (run.card, run.model, run.what, f"{run.per_second / 1e12:.1f}", percent(run.share))
            for run in self.runs
        ]
        heads = ("card", "model", "what", "TFLOP per second", "of the peak")
        return "Utilisation, measured", heads, rows


def utilisation(flops: float, seconds: float, peak: float) -> float:
    """flops / (seconds · peak): a share of what a card could do at most.

    peak: FLOPs per second. Raises UserError for what is not above 0, and for a share above 1: then
    more was counted than was done, or the peak is another card's.
    """
    for name, value in {"flops": flops, "seconds": seconds, "peak": peak}.items():
        if not is_number(value) or value <= 0:
            raise UserError(f"{name} is {value!r}; give a number above 0.")
    share = flops / (seconds * peak)
    if share > 1:
        raise UserError(
            f"{flops:.3g} FLOPs in {seconds:g} s are {share:.2f} times the peak, {peak:.3g} per "
            "second; look at what was counted, and whose peak that is."
        )
    return share


def peak_of(card: str) -> float:
    """A card's published peak on 16-bit numbers, in FLOPs per second."""
    memory.usable_bytes(card)  # says which cards there are, if it is none
    return 1e12 * memory.cards()[card]["tflops"]


@cache
def measured_utilisations() -> Utilisations:
    """The runs of data/measurements/gpu_*.json: how much of the card's peak each has used.

    A QLoRA's rows count as long as the longest, so it used at most that share in its four steps, of
    which the first also starts the card up. Of a run that states its time per token the matrices
    alone count, so its share is a little more.
    """
    runs = []
    for path in sorted(data_path("measurements").glob("gpu_*.json")):
        stated = json.loads(path.read_text(encoding="utf-8"))
        cards = [name for name in memory.cards() if stated["card"].endswith(name.split()[0])]
        for row in stated["rows"] if cards else ():
            if found := read_row(row, cards[0]):
                runs.append(found)
    return Utilisations(tuple(dict.fromkeys(runs)))


def read_row(row: Mapping, card: str) -> Measured | None:
    """One row of a file of measurements; None for what says nothing of speed."""
    if row["stage"] == "qlora":
        # a step of the recipe's usual rows, of which so many went at once
        batch = train.Recipe().batch_size
        work = train_flops(
            row["model"], method="qlora", batch=batch, seq=row["tokens"], checkpointing=False
        )
        per_second = work.total / row["seconds_a_step"]
        what = f"QLoRA r 16, {row['dtype']}, {row['rows']} rows at once of {row['tokens']} tokens"
    elif row["stage"] == "speed" and row["unit"] == "µs per token":
        options = {"method": "lora", "targets": "attention", "checkpointing": False}
        work = train_flops(row["model"], seq=128, **options)
        needed = work.total - work.of_place("attention")
        per_second = needed / work.tokens / (1e-6 * row["ours"])
        what = "LoRA r 16, 16 short rows per step, everything from the rows on"
    else:
        return None
    parameters = memory.make_step(row["model"], seq=1).architecture.weights
    numbers = sum(weight.numel for weight in parameters)
    share = utilisation(per_second, 1, peak_of(card))
    return Measured(card, row["model"], what, numbers, per_second, share)


def usual_utilisation() -> tuple[float, float]:
    """(lowest, highest): the lowest measured of a model of a billion parameters or more, and the
    highest of PUBLISHED, which are Llama 3's.
    """
    large = [run.share for run in measured_utilisations().runs if run.parameters >= STATES_SIZE]
    return min(large, default=PUBLISHED[0]), PUBLISHED[1]


def time_products(size: int = 1024, seconds: float = 0.5) -> float:
    """FLOPs per second that products of two size × size matrices reach on this machine.

    The fastest of those that `seconds` leave time for, one at least, in float32 on a CPU and in the
    model's dtype on a GPU: for want of a data sheet, the peak.
    """
    if not is_whole(size) or size < 1:
        raise UserError(f"size is {size!r}; give a whole number from 1 on.")
    import torch

    from ..core.session import device_and_dtype

    device, dtype = device_and_dtype()
    a, b = (torch.randn(size, size, device=device).to(getattr(torch, dtype)) for _ in range(2))
    fastest, end = float("inf"), time.perf_counter() + seconds
    while True:  # once at least
        began = time.perf_counter()
        product = a @ b
        product[0, 0].item()  # a GPU answers when it is done
        fastest = min(fastest, time.perf_counter() - began)
        if time.perf_counter() >= end:
            break
    return 2 * size**3 / fastest
