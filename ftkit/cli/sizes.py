"""The verbs that count before any run: `count`, `memory`, and the two that hold the formula to it.

    count     what a LoRA trains on a real architecture            lora.count, count_and_check
    memory    the peak memory of one training step, part by part   memory.predict, trace, fits
    trace     the formula beside a trace, at every setting         memory.compare_with_trace
    measure   the formula beside the GPU that is here              memory.compare_with_gpu

`count --no-peft` and `memory` without --trace import no torch, so they answer at once. What they
count is taught in notebooks 01, 02 and 04.
"""

import json
import time
from typing import Annotated

import typer

from .. import lora
from .. import memory as bytes_of_a_step
from ..core.errors import UserError
from ..core.session import quiet
from ..memory import Step
from .app import Json, app, one_sentence, say, show

# What both verbs ask for.
Rank = Annotated[int, typer.Option(help="r, the rank of A and B.")]
Targets = Annotated[
    str, typer.Option(help="all-linear, attention, mlp, q,v or names such as q_proj,v_proj.")
]

# What decides a step's memory; the defaults are those of `memory.Step`.
Config = Annotated[
    str,
    typer.Argument(
        help="A name in data/configs, 'pocket', a config.json, a directory or a hub id."
    ),
]
Method = Annotated[str, typer.Option(help="full, lora or qlora.")]
Seq = Annotated[int, typer.Option(help="Tokens per row.")]
Batch = Annotated[int, typer.Option(help="Rows.")]
Checkpointing = Annotated[bool, typer.Option(help="Layers keep their input alone.")]
Dtype = Annotated[str, typer.Option(help="Of the weights: bfloat16, float16 or float32.")]
Autocast = Annotated[
    str,
    typer.Option(
        help="What linear layers compute in: bfloat16, float16, none; same: dtype if 16 bits."
    ),
]
AdapterDtype = Annotated[
    str | None, typer.Option(help="By default peft's float32; TRL's bfloat16 for qlora.")
]
Attention = Annotated[str, typer.Option(help="sdpa, eager or flash.")]
Optimizer = Annotated[
    str, typer.Option(help="adamw (fused), adamw_foreach, adamw_8bit or paged_adamw_8bit.")
]
DoubleQuant = Annotated[bool, typer.Option(help="Quantize NF4's absmax too.")]
KbitPrepare = Annotated[bool, typer.Option(help="peft's prepare_model_for_kbit_training.")]
Loss = Annotated[
    str, typer.Option(help="full: transformers' own; held: outputs stay alive; tiled: TRL's.")
]
Card = Annotated[str | None, typer.Option(help="A GPU of data/gpus.json: what it holds at most.")]
Traced = Annotated[
    bool, typer.Option("--trace", help="Run the step on fake tensors instead of the formula.")
]


@app.command()
def count(
    config: Annotated[str, typer.Argument(help="As for memory; 'all' for all of data/configs.")],
    rank: Rank = Step.rank,
    targets: Targets = "all-linear",
    peft: Annotated[
        bool, typer.Option(help="Hold the formula to peft's own count on the meta device.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Count what a LoRA trains on a real architecture.

    By formula, and by peft on a model without memory.
    """
    with one_sentence():
        start = time.perf_counter()
        if config == "all":
            counted = lora.count_all(rank, targets)
        else:
            counted = lora.count(config, rank, targets)
        # the formula first, so that what is wrong with the question is said at once
        if peft and config != "all":
            say("building the architecture on the meta device and attaching peft's LoRA")
            quiet()
            counted = lora.count_and_check(config, rank, targets)
        seconds = round(time.perf_counter() - start, 3)
        show(counted, as_json, {**counted.json(), "seconds": seconds})


@app.command()
def memory(
    config: Config,
    method: Method = Step.method,
    rank: Rank = Step.rank,
    targets: Targets = "all-linear",
    seq: Seq = Step.seq,
    batch: Batch = Step.batch,
    checkpointing: Checkpointing = Step.checkpointing,
    dtype: Dtype = Step.dtype,
    autocast: Autocast = "same",
    adapter_dtype: AdapterDtype = Step.adapter_dtype,
    attention: Attention = Step.attention,
    optimizer: Optimizer = Step.optimizer,
    double_quant: DoubleQuant = Step.double_quant,
    kbit_prepare: KbitPrepare = Step.kbit_prepare,
    loss: Loss = Step.loss,
    card: Card = None,
    trace: Traced = False,
    as_json: Json = False,
) -> None:
    """Predict the peak memory of one training step, part by part."""
    step = {
        "method": method, "rank": rank, "targets": targets, "seq": seq, "batch": batch,
        "checkpointing": checkpointing, "dtype": dtype, "attention": attention, "loss": loss,
        "autocast": None if autocast == "none" else autocast, "adapter_dtype": adapter_dtype,
        "optimizer": optimizer, "double_quant": double_quant, "kbit_prepare": kbit_prepare,
    }  # fmt: skip
    with one_sentence():
        if trace:
            say("importing torch, and tracing the step at two small depths")
            quiet()
            ledger = bytes_of_a_step.trace(config, **step)
        else:
            ledger = bytes_of_a_step.predict(config, **step)
        if card is None:
            show(ledger, as_json, ledger.json())
            return
        # what the card holds at most is asked of the formula, whichever made the ledger
        fit = bytes_of_a_step.fits(config, card, **step)
        show(f"{ledger}\n\n{fit}", as_json, {**ledger.json(), "fits": fit.json()})


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
        # how `measure` asks a process of its own for each row of its table
        if one:
            setting = parse_setting(one)
            quiet()
            ledger = bytes_of_a_step.measure(**setting)
            values = {"allocated": ledger.peak, "reserved": ledger.reserved}
            values |= {"phase": ledger.phase, "notes": ledger.notes}
            show(ledger, True, values)
            return
        quiet()
        path = bytes_of_a_step.compare_with_gpu(say)
        show(f"wrote {path}", as_json, {"file": str(path)})


def parse_setting(text: str) -> dict:
    """A setting out of JSON: source and options of a step, as `memory.measure` takes them."""
    try:
        setting = json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"--one is {text!r}, which is not JSON: {error}.") from error
    if not isinstance(setting, dict) or "source" not in setting:
        raise UserError(
            f"--one is {text!r}; give an object with a source and options of a step, such as "
            '{"source": "pocket", "method": "lora", "device": "cpu"}.'
        )
    return setting
