"""The verbs that count before any run: `count`, `memory`, and the tables that hold the formula to account."""

import json
import time
from typing import Annotated

import typer

from .. import lora
from .. import memory as bytes_of_a_step
from ..core.session import quiet
from .app import Json, app, one_sentence, say, show

Config = Annotated[
    str,
    typer.Argument(
        help="A name in data/configs, 'pocket', a config.json, a directory or a hub id."
    ),
]
Rank = Annotated[int, typer.Option("--rank", help="r, the rank of A and B.")]
Targets = Annotated[
    str,
    typer.Option(
        "--targets", help="all-linear, attention, mlp, q,v or names such as q_proj,v_proj."
    ),
]


@app.command()
def count(
    config: Annotated[str, typer.Argument(help="As for memory; 'all' for all of data/configs.")],
    rank: Rank = 16,
    targets: Targets = "all-linear",
    peft: Annotated[
        bool,
        typer.Option(
            "--peft/--no-peft", help="Hold the formula to peft's own count on the meta device."
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    """Count what a LoRA trains on a real architecture.

    By formula, and by peft on a model without memory.
    """
    with one_sentence():
        start = time.perf_counter()
        if config == "all":
            found = lora.count_all(rank, targets)
        elif not peft:
            found = lora.count(config, rank, targets)
        else:
            lora.count(config, rank, targets)  # what is wrong with the question is said at once
            say("building the architecture on the meta device and attaching peft's LoRA")
            quiet()
            found = lora.count_and_check(config, rank, targets)
        seconds = round(time.perf_counter() - start, 3)
        show(found, as_json, {**found.json(), "seconds": seconds})


@app.command()
def memory(
    config: Config,
    method: Annotated[str, typer.Option(help="full, lora or qlora.")] = "full",
    rank: Rank = 16,
    targets: Targets = "all-linear",
    seq: Annotated[int, typer.Option(help="Tokens per row.")] = 2048,
    batch: Annotated[int, typer.Option(help="Rows.")] = 1,
    checkpointing: Annotated[
        bool,
        typer.Option("--checkpointing/--no-checkpointing", help="Layers keep their input alone."),
    ] = True,
    dtype: Annotated[
        str, typer.Option(help="Of the weights: bfloat16, float16 or float32.")
    ] = "bfloat16",
    autocast: Annotated[
        str,
        typer.Option(
            help="What linear layers compute in: bfloat16, float16, none; same: dtype if 16 bits."
        ),
    ] = "same",
    adapter_dtype: Annotated[
        str | None, typer.Option(help="By default peft's float32; TRL's bfloat16 for qlora.")
    ] = None,
    attention: Annotated[str, typer.Option(help="sdpa, eager or flash.")] = "sdpa",
    optimizer: Annotated[
        str,
        typer.Option(help="adamw (fused), adamw_foreach, adamw_8bit or paged_adamw_8bit."),
    ] = "adamw",
    double_quant: Annotated[
        bool,
        typer.Option("--double-quant/--no-double-quant", help="Quantize NF4's absmax too."),
    ] = True,
    kbit_prepare: Annotated[
        bool,
        typer.Option(
            "--kbit-prepare/--no-kbit-prepare", help="peft's prepare_model_for_kbit_training."
        ),
    ] = False,
    loss: Annotated[
        str,
        typer.Option(help="full: transformers' own; held: outputs stay alive; tiled: TRL's."),
    ] = "full",
    card: Annotated[
        str | None, typer.Option(help="A GPU of data/gpus.json: what it holds at most.")
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="Run the step on fake tensors instead of the formula.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Predict the peak memory of one training step, part by part."""
    options = {
        "method": method, "rank": rank, "targets": targets, "seq": seq, "batch": batch,
        "checkpointing": checkpointing, "dtype": dtype, "attention": attention, "loss": loss,
        "autocast": None if autocast == "none" else autocast, "adapter_dtype": adapter_dtype,
        "optimizer": optimizer, "double_quant": double_quant, "kbit_prepare": kbit_prepare,
    }  # fmt: skip
    with one_sentence():
        if trace:
            say("importing torch, and tracing the step at two small depths")
            quiet()
            found = bytes_of_a_step.trace(config, **options)
        else:
            found = bytes_of_a_step.predict(config, **options)
        fit = bytes_of_a_step.fits(config, card, **options) if card else None
        text = f"{found}\n\n{fit}" if fit else found
        show(text, as_json, {**found.json(), **({"fits": fit.json()} if fit else {})})


@app.command()
def trace(as_json: Json = False) -> None:
    """Hold the memory formula to a trace at every setting, and write the table of both."""
    with one_sentence():
        quiet()
        path = bytes_of_a_step.compare_with_trace(say)
        show(f"wrote {path}", as_json, {"file": str(path)})


@app.command()
def measure(
    one: Annotated[
        str, typer.Option(help="Measure this setting alone, given as JSON; its bytes as JSON.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Hold the memory formula to the GPU that is here, and write the table of both."""
    with one_sentence():
        quiet()
        if one:
            found = bytes_of_a_step.measure(**json.loads(one))
            values = {"allocated": found.peak, "reserved": found.reserved}
            values |= {"phase": found.phase, "notes": found.notes}
            show(found, True, values)
            return
        path = bytes_of_a_step.compare_with_gpu(say)
        show(f"wrote {path}", as_json, {"file": str(path)})
