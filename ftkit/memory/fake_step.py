"""Trace one real training step on tensors that have shapes and no memory: transformers', peft's and
bitsandbytes' own code runs.

Every operation is seen where torch dispatches it. What it returns is put on a `Tape`, and taken off
when the last reference to the storage goes. Nothing is computed, so a laptop traces a model of 70
B, and the GPU that it is for need not be there.
"""

import itertools
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from .. import lora, models
from ..core.errors import UserError
from ..core.files import data_path, write_rows
from ..models import architecture
from .allocator import Allocator
from .formula import predict
from .step import (
    CHOICES,
    METHODS,
    PARTS,
    TILE,
    WORKSPACE,
    Ledger,
    Step,
    at_depth,
    depth,
    make_step,
    refuse_experts,
)
from .storages import Tape, needs_bitsandbytes, recorder

MIDDLE = "backward, middle layers"


def trace(source, every_layer: bool = False, **options) -> Ledger:
    """The `Ledger` of one training step, run on fake tensors; arguments as for `memory.predict`,
    and any dense model.

    The step runs at two small depths: the peak of every phase is affine in the number of layers, so
    that the full depth follows exactly. every_layer=True runs them all, which takes longer, and
    tells what CUDA's allocator would reserve.
    """
    setting = make_step(source, **options)
    refuse_experts(setting.config, architecture.shapes(setting.config))
    full, depths, reserved = depth(setting.config), small_depths(setting), None
    if every_layer or full <= max(depths):
        tape = training_step(setting)
        peaks = tape.peaks
        if setting.device == "cuda":
            reserved = Allocator().run(tape.events)
    else:
        a, b = (training_step(at_depth(setting, n)).peaks for n in depths)
        # In the middle the layer that peaks may change with the depth; the top or the bottom one
        # peaks above it.
        phases = [phase for phase in a if phase != MIDDLE]
        peaks = {
            phase: {part: line(depths, a[phase][part], b[phase][part], full) for part in PARTS}
            for phase in phases
        }
    sums = {phase: sum(parts.values()) for phase, parts in peaks.items()}
    top = max(sums, key=sums.__getitem__)
    return Ledger(setting, "trace", top, peaks[top], sums, sums[top], reserved)


def small_depths(setting: Step) -> tuple[int, int]:
    """The smallest two with a bottom, a top and something between, and every kind of layer that the
    model has.
    """
    kinds = setting.config.get("layer_types") or []
    first = max(
        3,
        setting.config.get("sliding_window_pattern") or 0,
        *(kinds.index(kind) + 1 for kind in set(kinds)),
    )
    return first, first + 1


def line(depths: tuple[int, int], first: int, second: int, depth: int) -> int:
    """The value at `depth` on the line through two points."""
    return first + (second - first) * (depth - depths[0]) // (depths[1] - depths[0])


def training_step(setting: Step) -> Tape:
    """The tape of one training step on fake tensors."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    tape = Tape(setting.device)
    with as_if_real(setting):
        model = build(setting)
        with FakeTensorMode(allow_non_fake_inputs=True):
            fill(model, setting, torch.empty)
            run_step(model, setting, tape)
    return tape


@contextmanager
def as_if_real(setting: Step) -> Iterator[None]:
    """Where libraries read a tensor's values or ask for the device, the answers that the real step
    would get.
    """
    import torch
    from transformers import masking_utils
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if needs_bitsandbytes(setting):
        packed(
            torch.randn(64, 64), double_quant=True
        )  # bitsandbytes makes its tables once, and from real numbers
    ALL_ATTENTION_FUNCTIONS.register("ftkit_fused", fused_attention)
    indices, autocast = (
        masking_utils.find_packed_sequence_indices,
        torch.is_autocast_enabled("cuda"),
    )
    masking_utils.find_packed_sequence_indices = lambda *_: None  # one sequence a row
    torch.set_autocast_enabled(
        "cuda", setting.autocast is not None and setting.device == "cuda"
    )  # peft asks for it
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices = indices
        torch.set_autocast_enabled("cuda", autocast)


def fused_attention(module, query, key, value, mask, scaling=None, dropout=0.0, **_):
    """The shapes of CUDA's flash kernel, which torch knows on every device, in place of the CPU's
    kernel.
    """
    import torch

    if torch.is_autocast_enabled("cpu"):  # as autocast does for torch's own attention
        query, key, value = (x.to(torch.get_autocast_dtype("cpu")) for x in (query, key, value))
    out = torch.ops.aten._scaled_dot_product_flash_attention(
        query, key, value, dropout, True, scale=scaling
    )[0]
    return out.transpose(1, 2).contiguous(), None


def build(setting: Step):
    """The model with its adapter on the meta device: transformers' modules, bitsandbytes' and
    peft's, all shapes, no numbers.
    """
    import torch

    model = architecture.skeleton(setting.config)
    model.config.use_cache = False
    fused = "ftkit_fused" if setting.device == "cuda" else "sdpa"
    model.config._attn_implementation = "eager" if setting.attention == "eager" else fused
    with torch.device("meta"):
        if setting.method == "qlora":
            quantize(model, setting)
        if setting.method != "full":
            model = lora.attach(model, setting.rank, 2 * setting.rank, setting.targets)
    return prepared(model, setting)


def prepared(model, setting: Step):
    """The model ready to train: checkpointing as chosen, and an input that gradients can flow from."""
    if setting.method != "full":
        model.enable_input_require_grads()
    if setting.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def quantize(model, setting: Step) -> None:
    """Every linear layer but the head becomes bitsandbytes' 4-bit layer, as transformers does it."""
    import torch
    from bitsandbytes.nn import Linear4bit

    compute = getattr(torch, setting.autocast or setting.dtype)
    for name, layer in models.linears(model).items():
        if not hasattr(layer, "in_features"):
            raise UserError(
                f"{name} is a Conv1D, which bitsandbytes leaves as it is; give method='lora' for {setting.name}."
            )
        sides = layer.in_features, layer.out_features, layer.bias is not None
        model.set_submodule(
            name, Linear4bit(*sides, compute, setting.double_quant, "nf4", device="meta")
        )
    model.is_loaded_in_4bit = True


def fill(model, setting: Step, make: Callable) -> None:
    """Every parameter and buffer on the meta device becomes what `make(shape, dtype=…)` gives, in
    the setting's dtypes.
    """
    import torch

    frozen_or_full = getattr(torch, "float32" if setting.kbit_prepare else setting.dtype)
    done: dict[
        int, tuple
    ] = {}  # the old parameter is kept with the new one, so that no other gets its id
    for module in model.modules():
        for name, old in module._parameters.items():
            if old is not None and id(old) not in done:
                adapter = old.requires_grad and setting.method != "full"
                dtype = getattr(torch, setting.adapter_dtype) if adapter else frozen_or_full
                if type(old).__name__ == "Params4bit":
                    new = packed(
                        make(old.shape, dtype=getattr(torch, setting.dtype)), setting.double_quant
                    )
                    module.quant_state = new.quant_state
                else:
                    new = torch.nn.Parameter(
                        make(old.shape, dtype=dtype), requires_grad=old.requires_grad
                    )
                done[id(old)] = new, old
            if old is not None:
                module._parameters[name] = done[id(old)][0]
        for name, old in module._buffers.items():
            if old is not None:
                module._buffers[name] = make(old.shape, dtype=old.dtype)


def packed(W, double_quant: bool):
    """A plain parameter with what bitsandbytes' matrix product asks of its own kind, which can't
    hold a fake tensor.
    """
    import torch
    from bitsandbytes import functional

    numbers, state = functional.quantize_4bit(W, compress_statistics=double_quant, quant_type="nf4")
    new = torch.nn.Parameter(numbers, requires_grad=False)
    new.quant_state, new.quant_type, new.compress_statistics = state, "nf4", double_quant
    return new


def run_step(model, setting: Step, tape: Tape, device: str = "cpu") -> None:
    """The step: forward, loss, backward, optimizer. An optimizer step before it makes the
    optimizer's state.
    """
    import torch
    from torch._subclasses.fake_tensor import unset_fake_temporarily

    trained = [p for p in model.parameters() if p.requires_grad]
    with unset_fake_temporarily():  # bitsandbytes reads the values of its tables
        optimizer = optimizer_of(setting, trained)
    watch_gradients(model, setting, tape)
    with recorder(tape, setting):
        hold(model, setting, tape)
        for p in trained:
            p.grad = torch.zeros_like(p)
            tape.put(p.grad, "gradients")
            p.register_post_accumulate_grad_hook(lambda p: tape.put(p.grad, "gradients"))
        optimizer.step()
        optimizer.zero_grad()
        for value in (
            v
            for state in optimizer.state.values()
            for v in state.values()
            if isinstance(v, torch.Tensor)
        ):
            tape.put(value, "optimizer")
        tape.forget()
        tape.enter("forward")
        ids = torch.zeros(setting.batch, setting.seq, dtype=torch.long, device=device)
        loss, outputs = loss_of(model, ids, setting, tape)
        tape.enter("loss, backward")
        loss.backward()
        del loss, outputs
        tape.enter("optimizer")
        optimizer.step()


def optimizer_of(setting: Step, parameters: list):
    """The optimizer by the setting's name; its learning rate is of no importance."""
    import torch

    if setting.optimizer in ("adamw", "adamw_foreach"):
        fused = setting.optimizer == "adamw"
        return torch.optim.AdamW(parameters, 1e-4, fused=fused, foreach=not fused)
    from bitsandbytes.optim import AdamW8bit

    return AdamW8bit(
        parameters, 1e-4, is_paged=setting.optimizer == "paged_adamw_8bit" and parameters[0].is_cuda
    )


def hold(model, setting: Step, tape: Tape) -> None:
    """Put on the tape what is there before the step."""
    if setting.device == "cuda":
        tape.change(-1, WORKSPACE, "workspace")
    for p in model.parameters():
        tape.put(p, "adapter" if p.requires_grad and setting.method != "full" else "weights")
        state = getattr(p, "quant_state", None)
        for owner in filter(None, (state, getattr(state, "state2", None))):
            for value in vars(owner).values():
                if hasattr(value, "untyped_storage"):
                    tape.put(value, "quant_state")
    for buffer in model.buffers():
        tape.put(buffer, "weights")


def watch_gradients(model, setting: Step, tape: Tape) -> None:
    """Hooks that tell the tape where the step is: a layer's gradients begin when the gradient of
    its output is there.
    """
    import torch

    base = plain(model)
    head, n = base.get_output_embeddings(), depth(setting.config)
    layers = next(m for m in base.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == n)
    tape.embedding = head.weight.shape

    def tell(tensor, phase: str) -> None:
        if tensor.requires_grad:
            tensor.register_hook(lambda _: tape.enter(phase))

    def watch_layer(layer, phase: str) -> None:
        layer.register_forward_hook(
            lambda _module, _inputs, out: tell(out[0] if isinstance(out, tuple) else out, phase)
        )

    head.register_forward_pre_hook(lambda *_: tape.enter("loss, forward"))
    layers[0].register_forward_pre_hook(lambda _, inputs: tell(inputs[0], "backward, end"))
    for i, layer in enumerate(layers):
        watch_layer(
            layer, {0: "backward, bottom layer", n - 1: "backward, top layer"}.get(i, MIDDLE)
        )


def plain(model):
    """The transformers model inside a peft model, or the model itself."""
    return model.get_base_model() if lora.is_attached(model) else model


def loss_of(model, ids, setting: Step, tape: Tape) -> tuple:
    """(loss, what the loop holds besides)."""
    import torch

    kind = ids.device.type
    with (
        torch.autocast(kind, getattr(torch, setting.autocast))
        if setting.autocast
        else nullcontext()
    ):
        if setting.loss != "tiled":
            outputs = model(input_ids=ids, labels=ids)
            return outputs.loss, outputs if setting.loss == "held" else None
        base = plain(model)
        hidden = base.base_model(input_ids=ids).last_hidden_state[:, :-1]
        tape.enter("loss, forward")
        return tiled_loss(hidden, base.get_output_embeddings().weight), None


def tiled_loss(hidden, weight):
    """What TRL's fused head makes and frees: tiles of logits that are filled again and again, never
    all logits.

    The numbers of the loss are not computed; forward and backward pass fill the same tiles.
    """
    import torch

    rows, columns = TILE

    def fill_tiles(hidden, weight, dtype):
        tiles = torch.empty(min(rows, len(hidden)), columns, dtype=dtype, device=hidden.device)
        for i in range(0, len(hidden), rows):
            x = hidden[i : i + rows].to(dtype)
            for j in range(0, len(weight), columns):
                W = weight[j : j + columns].to(dtype)
                torch.mm(x, W.t(), out=tiles[: len(x), : len(W)])
        return tiles

    class Tiled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, hidden, weight):
            kind = hidden.device.type
            ctx.dtype = (
                torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
            )
            ctx.save_for_backward(hidden, weight)
            sums = [
                torch.zeros(len(hidden), device=hidden.device) for _ in range(7)
            ]  # what it counts of every token
            fill_tiles(hidden, weight, ctx.dtype)
            return sums[0].sum()

        @staticmethod
        def backward(ctx, grad):
            hidden, weight = ctx.saved_tensors
            d_hidden = torch.zeros(
                hidden.shape, device=hidden.device
            )  # float32, as all that it adds up
            d_weight = (
                torch.zeros(weight.shape, device=hidden.device) if ctx.needs_input_grad[1] else None
            )
            tiles = fill_tiles(hidden, weight, ctx.dtype)  # noqa: F841, they stay until the end
            return d_hidden.to(hidden.dtype), None if d_weight is None else d_weight.to(
                weight.dtype
            )

    place = torch.arange(hidden.shape[0] * hidden.shape[1], device=hidden.device)
    chosen = hidden[
        place // hidden.shape[1], place % hidden.shape[1]
    ]  # a copy, as TRL's choice of tokens is
    return Tiled.apply(chosen, weight)


ARCHITECTURES = (
    "smollm2-360m", "qwen2.5-0.5b", "gemma-3-1b", "llama-3.2-1b", "phi-3-mini", "mistral-7b", "llama-3.1-8b", "qwen3-8b",
    "llama-3.1-70b",
)  # fmt: skip
LENGTHS, BATCHES = (512, 1024, 2048, 4096), (1, 2, 4)
RANKS, TARGETS = (8, 16, 64), ("all-linear", "attention", "all-linear")


def comparison() -> list[dict]:
    """The settings at which the formula is held to the trace: each architecture with each method,
    with and without checkpointing, twice; length, batch, optimizer, loss, rank and targets take
    turns.
    """
    optimizers, losses = (CHOICES[key] for key in ("optimizer", "loss"))
    rows = []
    for source, method, checkpointing, again in itertools.product(
        ARCHITECTURES, METHODS, (True, False), range(2)
    ):
        i = len(rows)
        row = {
            "source": source,
            "method": method,
            "checkpointing": checkpointing,
            "seq": LENGTHS[i % 4],
            "batch": BATCHES[i % 3],
        }
        row |= {"optimizer": optimizers[i // 2 % 4], "loss": losses[(i + i // 3) % 3]}
        if method != "full":
            row |= {"rank": RANKS[i // 3 % 3], "targets": TARGETS[i // 2 % 3]}
        if method == "qlora":
            row |= {"kbit_prepare": bool(again and i % 8 < 4), "double_quant": i % 5 > 0}
        rows.append(row)
    return rows


def compare_with_trace(say: Callable[[str], object] = lambda _: None) -> Path:
    """Hold the formula to the trace at every setting of `comparison`; the path of the table of both."""
    rows = []
    for row in comparison():
        traced, predicted = trace(**row), predict(**row)
        rows.append({**row, "trace": traced.peak, "formula": predicted.peak, "phase": traced.phase})
        say(f"{row['source']} {row['method']}: {predicted.peak / traced.peak - 1:+.2%}")
    errors = sorted(abs(row["formula"] / row["trace"] - 1) for row in rows)
    head = {
        "command": "python -m ftkit trace",
        "median_error": round(statistics.median(errors), 6),
        "worst_error": round(errors[-1], 6),
    }
    return write_rows(data_path("measurements", "formula_vs_trace.json"), head, rows)
