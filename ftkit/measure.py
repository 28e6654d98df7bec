"""Measure one real training step: every live storage on a CPU, torch's allocator on a GPU."""

from pathlib import Path

from . import architecture, ledger, lora, models, trace
from .ledger import Ledger, Setting
from .runtime import UserError, device_and_dtype
from .tape import Tape, needs_bitsandbytes

SEED = 0


def measure(source, **options) -> Ledger:
    """The `Ledger` of one training step that really runs; arguments as for `memory.predict`.

    "pocket" and model directories are loaded as they are, by `models.load`, `lora.attach` and bitsandbytes; of any other
    name the architecture is filled with random numbers, which take the same memory. On a CPU every storage that the step
    makes is counted until it goes. On a GPU the allocator is asked: its peak of allocated bytes, after a first step and a
    reset, and what it holds in reserve; parts can't be told apart there.
    """
    device = options.setdefault("device", device_and_dtype()[0])
    if device == "cpu":
        options.setdefault("dtype", "float32")
    setting = ledger.setting(source, **options)
    ledger.refuse_experts(setting.config, architecture.shapes(setting.config))
    needs_bitsandbytes(setting)
    model = real_model(setting)
    return on_gpu(model, setting) if device == "cuda" else on_cpu(model, setting)


def real_model(setting: Setting):
    """The model of a setting with numbers in it, ready to train, on the setting's device."""
    import torch

    torch.manual_seed(SEED)
    if setting.name == "pocket" or (Path(setting.name).is_dir() and any(Path(setting.name).glob("*.safetensors"))):
        return loaded(setting)

    def random(shape, dtype):
        made = torch.empty(shape, dtype=dtype, device=setting.device)
        return made.normal_(std=0.02) if dtype.is_floating_point else made.zero_()

    model = trace.build(setting)
    plain = trace.plain(model)
    plain.config._attn_implementation = kernel(setting)
    trace.fill(model, setting, random)
    return model


def kernel(setting: Setting) -> str:
    """transformers' name of the attention."""
    return {"flash": "flash_attention_2"}.get(setting.attention, setting.attention)


def loaded(setting: Setting):
    """A model from its files, quantized and with an adapter as the setting says."""
    import torch

    quant = "nf4" if setting.method == "qlora" else None
    if quant and not setting.double_quant:
        raise UserError("models.load quantizes twice, and double_quant is False; give double_quant=True, or the architecture's name.")
    model, _ = models.load(setting.name, quant=quant)
    model.config.use_cache = False
    model.set_attn_implementation(kernel(setting))
    if setting.kbit_prepare or not quant:
        dtype = torch.float32 if setting.kbit_prepare else getattr(torch, setting.dtype)
        for p in model.parameters():
            if p.is_floating_point():
                p.data = p.data.to(dtype)
    if setting.method != "full":
        model = lora.attach(model, setting.rank, 2 * setting.rank, setting.targets)
        for p in (p for p in model.parameters() if p.requires_grad):
            p.data = p.data.to(getattr(torch, setting.adapter_dtype))
    return trace.prepared(model, setting)


def on_cpu(model, setting: Setting) -> Ledger:
    """The step with every storage counted while it lives."""
    tape = Tape("cpu")
    trace.run(model, setting, tape)
    top = max(tape.sums, key=tape.sums.__getitem__)
    return Ledger(setting, "measure", top, tape.peaks[top], tape.sums, tape.sums[top])


def on_gpu(model, setting: Setting) -> Ledger:
    """The second of two steps, by the allocator's own counters; paged states lie outside it and are counted by their tensors."""
    import torch

    torch.cuda.empty_cache()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = trace.optimizer_of(setting, trained)
    tape = Tape("cuda")  # only tells where the step is; no storage is put on it
    ids = torch.zeros(setting.batch, setting.seq, dtype=torch.long, device="cuda")
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        loss, outputs = trace.loss_of(model, ids, setting, tape)
        forward = torch.cuda.max_memory_allocated()
        loss.backward()
        del loss, outputs
        backward = torch.cuda.max_memory_allocated()
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.synchronize()
    peak, reserved = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    phase = "forward and loss" if peak == forward else "backward" if peak == backward else "optimizer"
    paged = sum(v.nbytes for s in optimizer.state.values() for v in s.values() if getattr(v, "is_paged", False))
    phases = {"forward and loss": forward + paged, "backward": backward + paged, "optimizer": peak + paged}
    card = torch.cuda.get_device_name()
    notes = (card, f"torch {torch.__version__}", *((f"{paged:,} bytes of paged states",) if paged else ()))
    return Ledger(setting, "measure", phase, {}, phases, peak + paged, reserved + paged, notes)
