"""When a training step does not fit the GPU: what of it to shrink, and a step that fits.

    step_in_training(model, …)     the `Step` of a model that is being trained
    rows_that_fit(step, room)      how many of its rows would fit together
    explain_full_gpu(model, …)     what did not fit, its largest part, and the cheapest cure

All by the formula, which knows the Llama family alone. How much room there is says `gpus.py`; how
many rows do go at once is decided in `train/batches.py`. Met where a run meets a full GPU; the
formula is taught in notebook 04.
"""

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .. import lora, models
from ..core.errors import UserError
from ..core.results import gibibytes
from .formula import predict
from .gpus import RESERVE
from .step import Step, make_step

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..lora import PeftModel

# A cure takes no more than this share of what did not fit, whatever the formula says of the room:
# it may have left something out.
SHRINK = 0.75


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
        adapter: Any = model.peft_config[model.active_adapters[0]]
        targets = adapter.target_modules
        options = {
            "method": "qlora" if getattr(base, "is_loaded_in_4bit", False) else "lora",
            "rank": adapter.r,
            "targets": targets if isinstance(targets, str) else sorted(targets),
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
