"""The verbs that count before any run: `count`, `memory`, `cost`, and two that hold `memory` to it.

    count     what a LoRA trains on a real architecture            lora.count, count_and_check
    memory    the peak memory of one training step, part by part   memory.predict, trace, fits
    cost      FLOPs, hours, money and energy of a training         cost.estimate
    trace     the formula beside a trace, at every setting         memory.compare_with_trace
    measure   the formula beside the GPU that is here              memory.compare_with_gpu

For the families that the kit's arithmetic knows, `count --no-peft` and `memory` without --trace
import no torch, so they answer at once; any other is built on the meta device and traced, in
seconds. `cost` knows the Llama family. What they count is taught in notebooks 01, 02, 04 and 14.
"""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import cost as costs
from .. import lora, methods, models
from .. import memory as bytes_of_a_step
from ..core.errors import UserError
from ..core.results import gibibytes
from ..core.session import quiet
from ..memory import Ledger, NotModelled, Step
from ..methods import METHODS
from .app import UPKEEP, Json, app, one_sentence, say, show

# What both verbs ask for.
Rank = Annotated[
    int | None,
    typer.Option(
        help="r, the rank of A and B.", show_default=f"{Step.rank}, or of another method its usual"
    ),
]
Targets = Annotated[
    str | None,
    typer.Option(
        help="all-linear, attention, mlp, q,v or names such as q_proj,v_proj.",
        show_default="all-linear",
    ),
]

# What decides a step's memory; the defaults are those of `memory.Step`.
Config = Annotated[
    str,
    typer.Argument(
        help="A name in data/configs, 'pocket', a config.json, a directory or a hub id."
    ),
]
Method = Annotated[str, typer.Option(help="full, lora or qlora; others, such as ia3, are traced.")]
Seq = Annotated[int, typer.Option(help="Tokens per row.")]
Batch = Annotated[int, typer.Option(help="Rows.")]
Checkpointing = Annotated[
    bool,
    typer.Option(help="Gradient checkpointing: layers keep their input and run twice."),
]
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
    str,
    typer.Option(help="full: transformers' own; held: its logits stay in memory; tiled: TRL's."),
]
Card = Annotated[
    str | None,
    typer.Option(help="A GPU of data/gpus.json: does the step fit, and how long a row would?"),
]
Traced = Annotated[
    bool, typer.Option("--trace", help="Run the step on fake tensors instead of the formula.")
]


@app.command()
def count(
    config: Annotated[str, typer.Argument(help="As for memory; 'all' for all of data/configs.")],
    rank: Rank = None,
    targets: Targets = None,
    method: Annotated[
        str, typer.Option(help=f"lora, or with its other options as usual {', '.join(METHODS)}.")
    ] = "lora",
    peft: Annotated[
        bool, typer.Option(help="Hold the formula to peft's own count on the meta device.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Count what a LoRA, or another method, trains on a real architecture.

    By formula, and by peft on a model without memory; of a family that the formula does not know,
    on such a model alone.
    """
    with one_sentence():
        start = time.perf_counter()
        given = methods.read_dials(method, only_given(rank=rank, targets=targets))
        if method == "lora":
            dials = {"r": Step.rank, "targets": Step.targets, **given}
            counted = count_all_or_one(config, **dials, peft=peft)
        else:
            check_single(config, method)
            counted = methods.count(config, method, **given)
        seconds = round(time.perf_counter() - start, 3)
        show(counted, as_json, {**counted.json(), "seconds": seconds})


def only_given(**options: Any) -> dict[str, Any]:
    """Those options that the command line gave."""
    return {name: value for name, value in options.items() if value is not None}


def given_to(method: str, **dials: Any) -> dict[str, Any]:
    """The rank and the targets that the command line gave to a step; refused where all is trained.

    Whether a traced method has them, `memory.make_step` knows.
    """
    given = only_given(**dials)
    if method == "full":
        methods.read_dials(method, given)
    return given


def check_single(config: str, method: str) -> None:
    """Refuse all architectures for a method that is counted on one at a time."""
    if config == "all":
        raise UserError(
            f"'all' counts LoRA on every architecture of data/configs, and method is {method!r}; "
            "give one architecture, such as llama-3.1-8b, or leave the method out."
        )


def count_all_or_one(config: str, r: int, targets: str, *, peft: bool) -> Any:
    """What `count` shows: the table of all architectures, or one, held to peft's count."""
    if config == "all":
        return lora.count_all(r, targets)
    building = "building the architecture on the meta device and attaching peft's LoRA"
    if not models.architecture.is_known(models.architecture.read(config)):
        say(f"no formula here knows this family: {building}")
        quiet()
        return lora.count_and_check(config, r, targets)

    # the formula first, so that what is wrong with the question is said at once
    counted = lora.count(config, r, targets)
    if peft and counted.peft is None:
        say(building)
        quiet()
        counted = lora.count_and_check(config, r, targets)
    return counted


@app.command()
def memory(
    config: Config,
    method: Method = Step.method,
    rank: Rank = None,
    targets: Targets = None,
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
        "method": method, "seq": seq, "batch": batch,
        "checkpointing": checkpointing, "dtype": dtype, "attention": attention, "loss": loss,
        "autocast": None if autocast == "none" else autocast, "adapter_dtype": adapter_dtype,
        "optimizer": optimizer, "double_quant": double_quant, "kbit_prepare": kbit_prepare,
    }  # fmt: skip
    with one_sentence():
        step |= given_to(method, rank=rank, targets=targets)
        if card is not None:
            bytes_of_a_step.usable_bytes(card)  # a card that is none is told before anything runs
        ledger, reason = predict_or_trace(config, step, traced=trace)
        values = {**ledger.json(), "predicted_by": ledger.view, "reason": reason}
        text = f"{reason}\n{ledger}" if reason else str(ledger)
        if card is not None:
            verdict, values["fits"] = hold_to_card(config, card, step, ledger)
            text = f"{text}\n\n{verdict}"
        show(text, as_json, values)


def predict_or_trace(config: str, step: dict, *, traced: bool) -> tuple[Ledger, str]:
    """The ledger of a step, and why it is not the formula's; "" where it is, or was not wanted.

    A trace where the formula does not know the architecture.
    """
    reason = ""
    if not traced:
        try:
            return bytes_of_a_step.predict(config, **step), ""
        except NotModelled as error:
            reason = f"Traced: {str(error).partition('; ')[0]}."
    say(
        "importing torch, and tracing the step at small depths, or layer by layer where they differ"
    )
    quiet()
    return bytes_of_a_step.trace(config, **step), reason


def hold_to_card(config: str, card: str, step: dict, ledger: Ledger) -> tuple[str, dict]:
    """What the card holds at most, by formula, whichever made the ledger; in words and values.

    Where the formula does not know the architecture, whether it holds this step.
    """
    try:
        fit = bytes_of_a_step.fits(config, card, **step)
        return str(fit), fit.json()
    except NotModelled:
        usable = bytes_of_a_step.usable_bytes(card)
    holds = ledger.peak <= (1 - bytes_of_a_step.RESERVE) * usable
    text = (
        f"This step {'fits' if holds else 'does not fit'} on {card}: {gibibytes(ledger.peak)} of "
        f"{gibibytes(usable)} GiB usable; how long a row may be, only the formula says at once."
    )
    return text, {"card": card, "usable": usable, "this_step": holds}


@app.command()
def cost(
    config: Config,
    method: Annotated[str, typer.Option(help="full, lora or qlora.")] = "lora",
    rank: Rank = None,
    targets: Targets = None,
    rows: Annotated[int, typer.Option(help="Training rows.")] = 1000,
    seq: Annotated[int, typer.Option(help="Tokens per row, padding counted.")] = 512,
    epochs: Annotated[float, typer.Option(help="How often each row is seen.")] = 3,
    checkpointing: Checkpointing = Step.checkpointing,
    card: Annotated[str, typer.Option(help="A GPU of data/gpus.json.")] = "A100 80",
    cards: Annotated[int, typer.Option(help="How many of them share the work.")] = 1,
    utilisation: Annotated[
        str | None,
        typer.Option(
            help="Share of the card's peak: 0.3, or 0.1,0.4; else from measured to published ones."
        ),
    ] = None,
    price_per_hour: Annotated[
        str | None, typer.Option(help="Of a card: 2, or 1.5,3.5; in place of the table's.")
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(help="A price table of your own, dated; see data/prices.json.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Estimate FLOPs, hours, money and energy of a training, as ranges with their assumptions."""
    with one_sentence():
        share = None if utilisation is None else costs.price_range(utilisation, "utilisation", 1)
        if prices and price_per_hour:
            raise UserError("--prices and --price-per-hour both price a card; give one of them.")
        table = costs.read_prices(prices)
        hour = None if price_per_hour is None else costs.price_range(price_per_hour)
        step = {"method": method, **given_to(method, rank=rank, targets=targets)}
        step |= {"seq": seq, "checkpointing": checkpointing}
        found = costs.estimate(
            config, rows, epochs, card, cards, utilisation=share, prices=hour or table, **step
        )
        show(found, as_json, found.json())


@app.command(rich_help_panel=UPKEEP)
def trace(as_json: Json = False) -> None:
    """Compare the memory formula with a trace at every setting, and write the table of both."""
    with one_sentence():
        quiet()
        path = bytes_of_a_step.compare_with_trace(say)
        show(f"wrote {path}", as_json, {"file": str(path)})


@app.command(rich_help_panel=UPKEEP)
def measure(
    one: Annotated[
        str, typer.Option(help="Measure only this setting, given as JSON, and print its bytes.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Compare the memory formula with this machine's GPU, and write the table of both."""
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
