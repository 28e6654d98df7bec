"""Measure one real training step: every live storage on a CPU, torch's allocator on a GPU.

    measure(source, **options)    the `Ledger` of a step that really runs
    build_model(step)             the model of a step with numbers in it, ready to train
    compare_with_gpu()            writes the table that holds the formula to the GPU that is here

Loss, optimizer and phases are those of `fake_step.py`, which runs the same step without memory.
`python -m ftkit measure` writes the table, with each step in a process of its own. Notebook 04.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .. import models
from ..core.errors import UserError
from ..core.files import data_path, write_rows
from ..core.session import device_and_dtype
from .fake_step import (
    build_skeleton,
    fill_parameters,
    loss_of,
    make_optimizer,
    prepare_training,
    put_adapter,
    run_on_tape,
    trace,
    unwrap,
)
from .formula import predict
from .step import METHODS, Ledger, Step, make_ledger, make_step
from .storages import Tape, check_bitsandbytes

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..lora import PeftModel
    from .sizes import Source

SEED = 0
AT_ONCE = 6, 3, 1  # steps that are measured beside each other, while the card has room
ROOM = 0.85  # of the card: the rest is the processes' own


def measure(source: "Source | Step", **options: Any) -> Ledger:
    """The `Ledger` of one training step that really runs; arguments as for `predict`.

    "pocket" and model directories are loaded as they are, by `models.load`, `lora.attach` and
    bitsandbytes; of any other name the architecture is filled with random numbers, which take the
    same memory.

    On a CPU every storage that the step makes is counted until it goes. On a GPU the allocator is
    asked: its peak of allocated bytes, after a first step and a reset, and what it holds in
    reserve; parts can't be told apart there.

    Raises UserError where `trace` does, and for device="cuda" without a GPU.
    """
    # By default on the device that is here; a CPU computes in float32.
    here, _ = device_and_dtype()
    device = options.setdefault("device", here)
    if device == "cpu":
        options.setdefault("dtype", "float32")
    if device == "cuda" and here != "cuda":
        raise UserError(
            "device is 'cuda' and torch sees no GPU here; give device='cpu', "
            "or trace the step: memory.trace()."
        )
    # What can't be run is refused before anything is built.
    step = make_step(source, **options)
    step.architecture.refuse_experts()
    check_bitsandbytes(step)
    model = build_model(step)
    return measure_on_gpu(model, step) if device == "cuda" else measure_on_cpu(model, step)


def build_model(step: Step) -> "PreTrainedModel | PeftModel":
    """The model of a step with numbers in it, ready to train, on the step's device."""
    torch.manual_seed(SEED)
    if has_files(step.name):
        return load_model(step)

    def make_random(shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        tensor = torch.empty(shape, dtype=dtype, device=step.device)
        return tensor.normal_(std=0.02) if dtype.is_floating_point else tensor.zero_()

    model = build_skeleton(step)
    unwrap(model).config._attn_implementation = attention_name(step)
    fill_parameters(model, step, make_random)
    return model


def has_files(name: str) -> bool:
    """Whether a name stands for a model on this disk: "pocket", or a folder with weights in it."""
    folder = Path(name)
    return name == "pocket" or (folder.is_dir() and any(folder.glob("*.safetensors")))


def attention_name(step: Step) -> str:
    """What transformers calls the attention."""
    return "flash_attention_2" if step.attention == "flash" else step.attention


def load_model(step: Step) -> "PreTrainedModel | PeftModel":
    """A model from its files, quantized and with an adapter as the step says."""
    if step.method == "qlora" and not step.double_quant:
        raise UserError(
            "models.load quantizes twice, and double_quant is False; give double_quant=True, "
            "or the architecture's name."
        )
    quant = "nf4" if step.method == "qlora" else None
    model, _ = models.load(step.name, quant=quant, device=step.device, dtype=step.dtype)
    model.config.use_cache = False
    model.set_attn_implementation(attention_name(step))

    # peft's prepare_model_for_kbit_training: what is not packed becomes float32.
    if step.kbit_prepare:
        for parameter in model.parameters():
            if parameter.is_floating_point():
                parameter.data = parameter.data.float()
    if step.method != "full":
        model = put_adapter(model, step)
        for parameter in models.trained_parameters(model):
            parameter.data = parameter.data.to(getattr(torch, step.trained_dtype))
    return prepare_training(model, step)


def measure_on_cpu(model: "PreTrainedModel | PeftModel", step: Step) -> Ledger:
    """The step with every storage counted while it lives."""
    tape = Tape("cpu")
    run_on_tape(model, step, tape)
    return make_ledger(step, "measure", tape.peaks)


def measure_on_gpu(model: "PreTrainedModel | PeftModel", step: Step) -> Ledger:
    """The second of two steps, by the allocator's own counters."""
    torch.cuda.empty_cache()
    optimizer = make_optimizer(step, models.trained_parameters(model))
    # The first step makes the optimizer's state.
    for _ in range(2):
        phases = run_on_gpu(model, step, optimizer)
    peak, reserved = phases["optimizer"], torch.cuda.max_memory_reserved()
    top = next(phase for phase, highest in phases.items() if highest == peak)

    # Paged states lie outside the allocator, and are counted by their tensors.
    paged = paged_bytes(optimizer)
    notes = [torch.cuda.get_device_name(), f"torch {torch.__version__}"]
    if paged:
        notes.append(f"{paged:,} bytes of paged states")
    return Ledger(
        step,
        "measure",
        phase=top,
        parts={},
        phases={phase: highest + paged for phase, highest in phases.items()},
        peak=peak + paged,
        reserved=reserved + paged,
        notes=tuple(notes),
    )


def run_on_gpu(
    model: "PreTrainedModel | PeftModel", step: Step, optimizer: torch.optim.Optimizer
) -> dict[str, int]:
    """Run one step; {phase: the most bytes that were allocated up to its end}."""
    torch.cuda.reset_peak_memory_stats()
    ids = torch.zeros(step.batch, step.seq, dtype=torch.long, device="cuda")
    # The tape only hears where the step is; no storage is put on it.
    loss, outputs = loss_of(model, ids, step, Tape("cuda"))
    forward = torch.cuda.max_memory_allocated()
    loss.backward()
    del loss, outputs
    backward = torch.cuda.max_memory_allocated()
    optimizer.step()
    optimizer.zero_grad()
    torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated()
    return {"forward and loss": forward, "backward": backward, "optimizer": peak}


def paged_bytes(optimizer: torch.optim.Optimizer) -> int:
    """The bytes of an optimizer's states that bitsandbytes moves between GPU and CPU."""
    values = [value for state in optimizer.state.values() for value in state.values()]
    return sum(value.nbytes for value in values if getattr(value, "is_paged", False))


# The formula held to a GPU.


def options_to_measure() -> list[dict]:
    """The arguments of each step to measure on a GPU, from half a billion to 70 B: 26 of them."""
    rows = []
    # Two small models with every method.
    for source in ("qwen2.5-0.5b", "llama-3.2-1b"):
        for method in METHODS:
            small = {"source": source, "method": method}
            rows += [
                {**small, "seq": 1024, "checkpointing": True, "loss": "full"},
                {**small, "seq": 2048, "checkpointing": False, "loss": "tiled"},
                {**small, "seq": 4096, "checkpointing": True, "loss": "tiled"},
            ]
    # One of 8 B, and one that takes a large card.
    eight = {"source": "llama-3.1-8b", "seq": 2048}
    for optimizer in ("adamw", "adamw_8bit", "paged_adamw_8bit"):
        rows.append({**eight, "method": "full", "optimizer": optimizer})
    for method in ("lora", "qlora"):
        for loss in ("full", "tiled"):
            rows.append({**eight, "method": method, "loss": loss})
    return [*rows, {"source": "llama-3.1-70b", "method": "qlora", "seq": 2048, "loss": "tiled"}]


def compare_with_gpu(say: Callable[[str], object] = lambda _: None) -> Path:
    """Measure all of `options_to_measure` on the GPU here, each in a process of its own.

    Steps that the card holds beside each other run at once: every process counts its own bytes. A
    step that the card can't hold is recorded as such. Returns the path of the table that holds
    formula, trace and measurement beside each other, written anew with every row. say: is told
    every row, as JSON.
    """
    if not torch.cuda.is_available():
        raise UserError(
            "there is no GPU here; on a CPU, memory.measure('pocket') counts every storage."
        )
    card, total = torch.cuda.get_device_name(), torch.cuda.mem_get_info()[1]
    head = {"command": "python -m ftkit measure", "card": card, "cuda": torch.version.cuda}
    path = data_path("measurements", f"memory_{card.replace(' ', '_').lower()}.json")
    rows, waiting = [], options_to_measure()

    # The small ones first and many at once, the largest alone.
    for jobs in AT_ONCE:
        share = ROOM * total / jobs
        ready = [o for o in waiting if jobs == 1 or predict(**o).peak <= share]
        waiting = [o for o in waiting if o not in ready]
        with ThreadPoolExecutor(jobs) as pool:
            measured = pool.map(measure_apart, ready)
            # the traces in this thread, for one tape at a time hears a step
            views = [two_views(options) for options in ready]
            for options, view, figures in zip(ready, views, measured, strict=True):
                rows.append({**options, **view, **figures})
                say(json.dumps(rows[-1]))
                write_rows(path, head, rows)
    return path


def two_views(options: dict) -> dict:
    """A step's peak by formula and by trace, in bytes."""
    traced = trace(**options, every_layer=True)
    peaks = {"formula": predict(**options).peak, "trace": traced.peak}
    return {**peaks, "trace_reserved": traced.reserved}


def measure_apart(options: dict) -> dict:
    """The figures of one step, measured in a process of its own; {"failed": why} if it breaks."""
    command = [sys.executable, "-m", "ftkit", "measure", "--one", json.dumps(options)]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        return {"failed": process.stderr.strip().splitlines()[-1]}
    return json.loads(process.stdout)
