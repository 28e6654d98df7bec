"""Measure one real training step: every live storage on a CPU, torch's allocator on a GPU.

`python -m ftkit.measure` measures `comparison()` on the GPU that is there, each setting in a
process of its own, and writes formula, trace and measurement side by side into data/measurements/.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from .. import lora, models
from ..core.errors import UserError
from ..core.files import data_path, write_rows
from ..core.session import device_and_dtype
from ..models import architecture
from . import fake_step
from .fake_step import build, fill, loss_of, make_optimizer, prepared, run_step, trace
from .formula import predict
from .step import METHODS, Ledger, Step, make_step, refuse_experts
from .storages import Tape, needs_bitsandbytes

SEED = 0


def measure(source, **options) -> Ledger:
    """The `Ledger` of one training step that really runs; arguments as for `memory.predict`.

    "pocket" and model directories are loaded as they are, by `models.load`, `lora.attach` and
    bitsandbytes; of any other name the architecture is filled with random numbers, which take the
    same memory. On a CPU every storage that the step makes is counted until it goes. On a GPU the
    allocator is asked: its peak of allocated bytes, after a first step and a reset, and what it
    holds in reserve; parts can't be told apart there.
    """
    here = device_and_dtype()[0]
    device = options.setdefault("device", here)
    if device == "cpu":
        options.setdefault("dtype", "float32")
    if device == "cuda" and here != "cuda":
        raise UserError(
            "device is 'cuda' and torch sees no GPU here; give device='cpu', or trace the step: trace.trace()."
        )
    setting = make_step(source, **options)
    refuse_experts(setting.config, architecture.shapes(setting.config))
    needs_bitsandbytes(setting)
    model = build_model(setting)
    return on_gpu(model, setting) if device == "cuda" else on_cpu(model, setting)


def build_model(setting: Step):
    """The model of a setting with numbers in it, ready to train, on the setting's device."""
    import torch

    torch.manual_seed(SEED)
    if setting.name == "pocket" or (
        Path(setting.name).is_dir() and any(Path(setting.name).glob("*.safetensors"))
    ):
        return load_for(setting)

    def random(shape, dtype):
        made = torch.empty(shape, dtype=dtype, device=setting.device)
        return made.normal_(std=0.02) if dtype.is_floating_point else made.zero_()

    model = build(setting)
    plain = fake_step.plain(model)
    plain.config._attn_implementation = kernel(setting)
    fill(model, setting, random)
    return model


def kernel(setting: Step) -> str:
    """transformers' name of the attention."""
    return {"flash": "flash_attention_2"}.get(setting.attention, setting.attention)


def load_for(setting: Step):
    """A model from its files, quantized and with an adapter as the setting says."""
    import torch

    quant = "nf4" if setting.method == "qlora" else None
    if quant and not setting.double_quant:
        raise UserError(
            "models.load quantizes twice, and double_quant is False; give double_quant=True, or the architecture's name."
        )
    model, _ = models.load(setting.name, quant=quant, device=setting.device, dtype=setting.dtype)
    model.config.use_cache = False
    model.set_attn_implementation(kernel(setting))
    if setting.kbit_prepare:
        for p in (p for p in model.parameters() if p.is_floating_point()):
            p.data = p.data.float()
    if setting.method != "full":
        model = lora.attach(model, setting.rank, 2 * setting.rank, setting.targets)
        for p in (p for p in model.parameters() if p.requires_grad):
            p.data = p.data.to(getattr(torch, setting.adapter_dtype))
    return prepared(model, setting)


def on_cpu(model, setting: Step) -> Ledger:
    """The step with every storage counted while it lives."""
    tape = Tape("cpu")
    run_step(model, setting, tape)
    top = max(tape.sums, key=tape.sums.__getitem__)
    return Ledger(setting, "measure", top, tape.peaks[top], tape.sums, tape.sums[top])


def on_gpu(model, setting: Step) -> Ledger:
    """The second of two steps, by the allocator's own counters; paged states lie outside it and are
    counted by their tensors.
    """
    import torch

    torch.cuda.empty_cache()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = make_optimizer(setting, trained)
    tape = Tape("cuda")  # only tells where the step is; no storage is put on it
    ids = torch.zeros(setting.batch, setting.seq, dtype=torch.long, device="cuda")
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        loss, outputs = loss_of(model, ids, setting, tape)
        forward = torch.cuda.max_memory_allocated()
        loss.backward()
        del loss, outputs
        backward = torch.cuda.max_memory_allocated()
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.synchronize()
    peak, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    phase = (
        "forward and loss" if peak == forward else "backward" if peak == backward else "optimizer"
    )
    paged = sum(
        v.nbytes
        for s in optimizer.state.values()
        for v in s.values()
        if getattr(v, "is_paged", False)
    )
    phases = {
        "forward and loss": forward + paged,
        "backward": backward + paged,
        "optimizer": peak + paged,
    }
    card = torch.cuda.get_device_name()
    notes = (
        card,
        f"torch {torch.__version__}",
        *((f"{paged:,} bytes of paged states",) if paged else ()),
    )
    return Ledger(setting, "measure", phase, {}, phases, peak + paged, reserved + paged, notes)


def comparison() -> list[dict]:
    """What to measure on a GPU, from half a billion to 70 B: 26 settings; one that the card can't
    hold is recorded as such.
    """
    rows = []
    for source in ("qwen2.5-0.5b", "llama-3.2-1b"):
        for method in METHODS:
            for seq, checkpointing, loss in (
                (1024, True, "full"),
                (2048, False, "tiled"),
                (4096, True, "tiled"),
            ):
                rows.append(
                    {
                        "source": source,
                        "method": method,
                        "seq": seq,
                        "checkpointing": checkpointing,
                        "loss": loss,
                    }
                )
    eight = {"source": "llama-3.1-8b", "seq": 2048}
    rows += [
        {**eight, "method": "full", "optimizer": optimizer}
        for optimizer in ("adamw", "adamw_8bit", "paged_adamw_8bit")
    ]
    rows += [
        {**eight, "method": method, "loss": loss}
        for method in ("lora", "qlora")
        for loss in ("full", "tiled")
    ]
    return [*rows, {"source": "llama-3.1-70b", "method": "qlora", "seq": 2048, "loss": "tiled"}]


def compare_with_gpu(say: Callable[[str], object] = lambda _: None) -> Path:
    """Measure the settings of `comparison` on the GPU here, each in a process of its own.

    Returns the path of the table that holds formula, trace and measurement beside each other.
    """
    import torch

    if not torch.cuda.is_available():
        raise UserError(
            "there is no GPU here; on a CPU, memory.measure('pocket') counts every storage."
        )
    card = torch.cuda.get_device_name()
    rows = []
    for row in comparison():
        command = [sys.executable, "-m", "ftkit", "measure", "--one", json.dumps(row)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            measured = {"failed": done.stderr.strip().splitlines()[-1]}
        else:
            measured = json.loads(done.stdout)
        traced = trace(**row, every_layer=True)
        figures = {
            "formula": predict(**row).peak,
            "trace": traced.peak,
            "trace_reserved": traced.reserved,
        }
        rows.append({**row, **figures, **measured})
        say(json.dumps(rows[-1]))
    head = {"command": "python -m ftkit measure", "card": card, "cuda": torch.version.cuda}
    name = f"memory_{card.replace(' ', '_').lower()}.json"
    return write_rows(data_path("measurements", name), head, rows)
