"""When a training step does not fit the GPU: what of it to shrink, and a setting that fits. By the
formula of `memory`.
"""

import dataclasses
from collections.abc import Iterator

from .. import lora
from ..core.errors import UserError
from .formula import predict
from .step import GIB, Step, make_step

# the share of the room that is left to the allocator, whose free pieces rarely match what is asked
# for
RESERVE = 0.05
# of the peak that did not fit, whatever the formula says of the room: it may have left something
# out
SHRINK = 0.75


def step_in_training(
    model, rows: int, tokens: int, checkpointing: bool, autocast: str | None
) -> Step:
    """The step of a model that is being trained, as the ledger states it: `rows` at once, the
    longest of them `tokens` long.
    """
    attached = lora.is_attached(model)
    base = model.get_base_model() if attached else model
    trained = next(p for p in model.parameters() if p.requires_grad)
    held = (
        "float32" if autocast == "float16" else str(trained.dtype).removeprefix("torch.")
    )  # a loss scaler asks for float32
    options = {"method": "full", "dtype": held}
    if attached:
        adapter = model.peft_config[model.active_adapters[0]]
        targets = (
            adapter.target_modules
            if isinstance(adapter.target_modules, str)
            else sorted(adapter.target_modules)
        )
        options = {
            "method": "qlora" if getattr(base, "is_loaded_in_4bit", False) else "lora",
            "rank": adapter.r,
            "targets": targets,
        }
        options |= {"dtype": str(base.dtype).removeprefix("torch."), "adapter_dtype": held}
    how = {
        "batch": rows,
        "seq": tokens,
        "checkpointing": checkpointing,
        "autocast": autocast,
        "loss": "tiled",
    }
    return make_step(base, **options, **how)


def divisors(n: int) -> list[int]:
    """Of a whole number, itself first."""
    return [d for d in range(n, 0, -1) if n % d == 0]


def rows_that_fit(s: Step, room: int) -> int:
    """How many of the rows of a step fit into `room` bytes together, of those numbers that divide
    it evenly; at least 1.
    """
    fitting = (n for n in divisors(s.batch) if predict(s, batch=n).peak <= (1 - RESERVE) * room)
    return next(fitting, 1)


def smaller_steps(s: Step) -> Iterator[tuple[str, Step]]:
    """(what to write, the step it makes), the cures that cost least time first.

    Fewer rows at once give the same steps; checkpointing the same numbers in more time; the other
    ways another run.
    """
    whole, *fewer = divisors(s.batch)
    for n in fewer:
        yield (
            f"micro_batch={n} in the recipe, which gives the same steps",
            dataclasses.replace(s, batch=n),
        )
    for n in [whole, *fewer] if not s.checkpointing else []:
        how = f"checkpointing=True and micro_batch={n} in the recipe, which gives the same steps in more time"
        yield how, dataclasses.replace(s, batch=n, checkpointing=True)
    least = dataclasses.replace(s, batch=1, checkpointing=True)
    small = "micro_batch=1 and checkpointing=True in the recipe"
    if s.method == "full":
        least = dataclasses.replace(least, method="lora", adapter_dtype="float32")
        yield f"a LoRA (lora.attach, r={s.rank}) with {small}", least
    if s.method != "qlora":
        yield (
            f"a QLoRA (models.load(quant='nf4'), then lora.attach) with {small}",
            dataclasses.replace(least, method="qlora"),
        )
    for tokens in (s.seq // 2**k for k in range(1, s.seq.bit_length())):
        yield (
            f"max_length={tokens} with {small}",
            dataclasses.replace(s, batch=1, checkpointing=True, seq=tokens),
        )


def advise(s: Step, room: int) -> str:
    """What did not fit into `room` bytes, its largest part, and the first of the `smaller` settings
    that does fit.
    """
    peak = predict(s)
    parts = {name: size for name, size in peak.parts.items() if size}
    largest = max(parts, key=parts.__getitem__)
    limit = min((1 - RESERVE) * room, SHRINK * peak.peak)
    cure = next(
        (
            f"give {how} (≈{predict(t).peak / GIB:.1f} GiB)"
            for how, t in smaller_steps(s)
            if predict(t).peak <= limit
        ),
        None,
    )
    return (
        f"the GPU is full: a step of {s.batch} × {s.seq:,} tokens ({s.method}) takes ≈{peak.peak / GIB:.1f} GiB by formula, "
        f"{parts[largest] / GIB:.1f} of them {largest.replace('_', ' ')}, and {room / GIB:.1f} are there for it; "
        f"{cure or 'no setting of this run fits, so take a smaller model, or free what else is on the GPU'}."
    )


def explain_full_gpu(
    model, rows: int, tokens: int, checkpointing: bool, autocast: str | None, room: int
) -> str:
    """`sentence` for a model in training; without figures where the formula does not know the
    architecture.
    """
    try:
        return advise(step_in_training(model, rows, tokens, checkpointing, autocast), room)
    except UserError:
        return (
            f"the GPU is full: a step of {rows} × {tokens:,} tokens does not fit into {room / GIB:.1f} GiB; give a smaller micro_batch "
            "in the recipe, then checkpointing=True, then a smaller max_length."
        )
