"""What a GPU holds: published cards by arithmetic, and the one that is here.

    cards()                the GPUs of data/gpus.json, by name
    measured(card)         the training steps that were measured on one
    usable_bytes(card)     what torch can hand out of one
    fits(source, card)     the longest row that it holds, for several batch sizes
    free_bytes()           what this process can still get of the GPU that is here
    room_for(model)        the same, with the model that is to be trained in it
    step_in_training(…)    the `Step` of a model that is being trained
    rows_that_fit(…)       how many of its rows would fit together
    explain_full_gpu(…)    what did not fit, its largest part, and the cheapest cure

All by `formula.predict`, and without torch but for the GPU that is here. How many rows do go at
once is decided in `train/batches.py`. Notebook 04.
"""

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import lora, methods, models
from ..core.errors import UserError, is_number, nearest
from ..core.files import data_path
from ..core.results import GIB, Result, TableParts, gibibytes
from .formula import predict
from .sizes import NotModelled
from .step import OTHERS, Step, make_step

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from ..lora import PeftModel
    from .sizes import Source

# The share of a card that is left to torch's allocator, whose free pieces rarely match what is
# asked for.
RESERVE = 0.05
# A cure takes no more than this share of what did not fit, whatever the formula says of the room:
# it may have left something out.
SHRINK = 0.75
# The longest row that is tried where a config names no limit.
LONGEST_ROW = 2**20


def cards() -> dict[str, dict]:
    """{card: its figures} of data/gpus.json, whose "about" says how they were derived.

    nameplate_gb in GB; capacity_gib, what torch reports, and context_gib, what lies outside its
    allocator, in GiB; capability, CUDA's compute capability; tflops, the published peak on 16-bit
    numbers in 10¹² FLOPs per second; gb_per_second, the memory's bandwidth; watts, the
    board's limit.
    """
    return json.loads(data_path("gpus.json").read_text(encoding="utf-8"))["cards"]


def measured(card: str) -> list[dict]:
    """The steps that `python -m ftkit measure` measured on a card, by torch's name of it.

    Each row holds the options of `predict` and bytes: formula, trace, trace_reserved, allocated and
    reserved, the last two by torch's own counters. UserError for a card that none was measured on.
    """
    tables = {}
    for path in sorted(data_path("measurements").glob("memory_*.json")):
        table = json.loads(path.read_text(encoding="utf-8"))
        tables[table["card"]] = table["rows"]
    if card not in tables:
        raise UserError(
            f"nothing was measured on {card!r}; there are figures of {', '.join(tables)}."
            f"{nearest(card, tables)}"
        )
    return tables[card]


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

    What a step takes grows with its rows, mostly along a line: so the next guess is where the line
    through the two ends meets the limit, and by bisection where that is no help.
    """
    low, high = 1, step.architecture.positions or LONGEST_ROW
    peaks = {tokens: predict(step, seq=tokens).peak for tokens in (low, high)}
    if peaks[high] <= limit:
        return high
    if peaks[low] > limit:
        return 0
    # From here on `low` fits and `high` does not.
    while high - low > 1:
        share = (limit - peaks[low]) / (peaks[high] - peaks[low])
        guess = low + int(share * (high - low))
        for tokens in (guess, guess + 1, (low + high) // 2):
            if low < tokens < high:
                peaks[tokens] = predict(step, seq=tokens).peak
                low, high = (tokens, high) if peaks[tokens] <= limit else (low, tokens)
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


# A run that met a full GPU.


def step_in_training(
    model: "PreTrainedModel | PeftModel",
    rows: int,
    tokens: int,
    *,
    checkpointing: bool,
    autocast: str | None,
) -> Step:
    """The step of a model that is being trained: `rows` at once, the longest `tokens` long."""
    # A loss scaler asks for trained numbers in float32.
    trained = models.trained_parameters(model)[0]
    trained_dtype = "float32" if autocast == "float16" else plain_dtype(trained.dtype)
    options: dict = {"method": "full", "dtype": trained_dtype}
    base: Any = model
    if lora.is_attached(model):
        base = model.get_base_model()
        name = model.active_adapters[0]
        layers: dict[str, Any] = dict(lora.adapted_layers(model, [name]))
        if (other := methods.name_of(model)) in OTHERS:
            raise NotModelled(f"the formula knows LoRA, and this adapter is {other}.")
        options = {
            "method": "qlora" if getattr(base, "is_loaded_in_4bit", False) else "lora",
            "rank": max(layer.r[name] for layer in layers.values()),
            "targets": endings(layers),
            "dtype": plain_dtype(base.dtype),
            "adapter_dtype": trained_dtype,
        }
    return make_step(
        base,
        batch=rows,
        seq=tokens,
        checkpointing=checkpointing,
        autocast=autocast,
        loss="tiled",
        **options,
    )


def endings(layers: Iterable[str]) -> list[str]:
    """What the layers of an adapter are called at their ends: "q_proj".

    peft's own targets may be a pattern, or the whole names of all. Raises NotModelled for a head or
    an embedding, which lies in no block.
    """
    names = list(layers)
    if outside := [name for name in names if not re.search(r"\.\d+\.", name)]:
        raise NotModelled(
            f"the formula knows a LoRA on the layers of the blocks, and this one is on {outside[0]}"
            " too."
        )
    return sorted({name.rpartition(".")[2] for name in names})


def plain_dtype(dtype: object) -> str:
    """The name of torch's dtype: "bfloat16"."""
    return str(dtype).removeprefix("torch.")


def divisors(n: int) -> list[int]:
    """The whole numbers that divide n, from n down to 1: divisors(6) is [6, 3, 2, 1]."""
    return [divisor for divisor in range(n, 0, -1) if n % divisor == 0]


def rows_that_fit(step: Step, room: int) -> int:
    """How many of the step's rows fit into `room` bytes at once; at least 1.

    Only numbers that divide the rows evenly, so that several passes make up the same step.
    """
    for rows in divisors(step.batch):
        if predict(step, batch=rows).peak <= (1 - RESERVE) * room:
            return rows
    return 1


def smaller_steps(step: Step) -> Iterator[tuple[str, Step]]:
    """(what to write, the step that it makes), the cures that cost least time first.

    Fewer rows at once give the same steps; checkpointing the same numbers in more time; the other
    ways another run.
    """
    all_rows, *fewer = divisors(step.batch)
    # Fewer rows at once.
    for rows in fewer:
        cure = f"micro_batch={rows} in the recipe, which gives the same steps"
        yield cure, dataclasses.replace(step, batch=rows)

    # Checkpointing, with all rows or fewer.
    if not step.checkpointing:
        for rows in (all_rows, *fewer):
            cure = f"checkpointing=True and micro_batch={rows} in the recipe, "
            cure += "which gives the same steps in more time"
            yield cure, dataclasses.replace(step, batch=rows, checkpointing=True)

    # Another method, with one row and checkpointing.
    least = dataclasses.replace(step, batch=1, checkpointing=True)
    small = "micro_batch=1 and checkpointing=True in the recipe"
    if step.method == "full":
        least = dataclasses.replace(least, method="lora", adapter_dtype="float32")
        yield f"a LoRA (lora.attach, r={step.rank}) with {small}", least
    if step.method != "qlora":
        cure = f"a QLoRA (models.load(quant='nf4'), then lora.attach) with {small}"
        yield cure, dataclasses.replace(least, method="qlora")

    # Shorter rows, by halves.
    for halvings in range(1, step.seq.bit_length()):
        tokens = step.seq // 2**halvings
        cure = f"max_length={tokens} with {small}"
        yield cure, dataclasses.replace(step, batch=1, checkpointing=True, seq=tokens)


def advise(step: Step, room: int) -> str:
    """One sentence on a step that did not fit into `room` bytes: what it takes, and a cure.

    It names the largest part, and the first of the `smaller_steps` that fits.
    """
    ledger = predict(step)
    largest, size = max(ledger.parts.items(), key=lambda item: item[1])
    cure = find_cure(step, limit=min((1 - RESERVE) * room, SHRINK * ledger.peak))
    what = f"a step of {step.batch} × {step.seq:,} tokens ({step.method})"
    return (
        f"the GPU is full: {what} takes ≈{gibibytes(ledger.peak, 1)} GiB by formula, "
        f"{gibibytes(size, 1)} of them {largest.replace('_', ' ')}, "
        f"and {gibibytes(room, 1)} are there for it; {cure}."
    )


def find_cure(step: Step, limit: float) -> str:
    """What to write so that a step takes no more than `limit` bytes."""
    for cure, smaller in smaller_steps(step):
        peak = predict(smaller).peak
        if peak <= limit:
            return f"give {cure} (≈{gibibytes(peak, 1)} GiB)"
    return "no setting of this run fits, so take a smaller model, or free what else is on the GPU"


def explain_full_gpu(
    model: "PreTrainedModel | PeftModel",
    rows: int,
    tokens: int,
    room: int,
    *,
    checkpointing: bool,
    autocast: str | None,
) -> str:
    """`advise` for a model in training that met a full GPU with `room` bytes for its step.

    Without figures where the formula does not know the architecture.
    """
    how = {"checkpointing": checkpointing, "autocast": autocast}
    try:
        return advise(step_in_training(model, rows, tokens, **how), room)
    # No architecture that the formula knows.
    except UserError:
        return (
            f"the GPU is full: a step of {rows} × {tokens:,} tokens does not fit into "
            f"{gibibytes(room, 1)} GiB; give a smaller micro_batch in the recipe, "
            "then checkpointing=True, then a smaller max_length."
        )
