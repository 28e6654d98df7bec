"""Trace one real training step on tensors that have shapes and no memory.

    trace(source, **options)     the `Ledger` of a step that ran on fake tensors
    trace_course(source, …)      the same moment by moment: a `Course`
    run_on_tape(model, …)        one step, with every storage that it makes on a `Tape`
    loss_of, make_optimizer      its parts, which the real step runs too
    compare_with_trace()         writes the table that holds the formula to the trace

transformers', peft's and bitsandbytes' own code runs; nothing is computed, so a laptop traces a
model of 70 B, and the GPU that it is for need not be there. What is alive is counted by
`storages.py`; a step with numbers in it is run by `real_step.py`. Notebook 04.
"""

import random
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch._subclasses.fake_tensor import FakeTensorMode, unset_fake_temporarily
from transformers import masking_utils
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .. import lora, methods, models
from ..core.errors import UserError
from ..core.files import data_path, write_rows
from .decoder import BOTTOM, END, FORWARD, LOSS, LOSS_BACKWARD, MIDDLE, OPTIMIZER, TOP
from .formula import peaks_at_depth, predict
from .sizes import read_architecture
from .step import (
    CHOICES,
    METHODS,
    OTHERS,
    TILE_TOKENS,
    TILE_WORDS,
    WORKSPACE,
    Ledger,
    Step,
    make_ledger,
    make_step,
)
from .storages import Allocator, Tape, check_bitsandbytes, uses_bitsandbytes, watch_storages

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from ..lora import PeftModel
    from .sizes import Source

FUSED = "ftkit_fused"  # what transformers knows `fused_attention` by


def trace(source: "Source | Step", *, every_layer: bool = False, **options: Any) -> Ledger:
    """The `Ledger` of one training step, run on fake tensors.

    source, options: as for `predict`, and any dense model.

    The step runs at two small depths: the peak of every phase is affine in the number of layers, so
    that the full depth follows exactly. every_layer=True runs them all, which takes longer, and
    tells what CUDA's allocator would reserve; a model whose layers differ always runs so.

    Raises UserError for a wrong option, for a mixture of experts, for a model that its own code
    can't train so, and where bitsandbytes is missing or leaves a layer as it is.
    """
    step = make_step(source, **options)
    step.architecture.refuse_experts()
    # Two small depths, and the line through them.
    depth, depths = step.architecture.depth, small_depths(step)
    if not every_layer and step.architecture.alike and depth > max(depths):
        first, second = (fake_tape(step.at_depth(layers)).peaks for layers in depths)
        return make_ledger(step, "trace", peaks_at_depth(depth, depths, first, second))
    # All layers, whose events CUDA's allocator can be asked about.
    tape = fake_tape(step)
    reserved = Allocator().run(tape.events) if step.device == "cuda" else None
    return make_ledger(step, "trace", tape.peaks, reserved)


@dataclass(frozen=True)
class Course:
    """A step in the order of its allocations: (phase, bytes of each of PARTS) after every one."""

    step: Step
    moments: list[tuple[str, tuple[int, ...]]]

    @property
    def peak(self) -> int:
        """Bytes at the fullest moment."""
        return max(sum(parts) for _, parts in self.moments)


def trace_course(source: "Source | Step", **options: Any) -> Course:
    """One training step on fake tensors, moment by moment, with all of its layers.

    source, options, errors: as for `trace`; the course's peak is that ledger's.
    """
    step = make_step(source, **options)
    step.architecture.refuse_experts()
    return Course(step, fake_tape(step).moments)


def small_depths(step: Step) -> tuple[int, int]:
    """The smallest two depths with a bottom, a top and something between.

    Every kind of layer that the model has is among them.
    """
    config = step.architecture.language
    kinds = config.get("layer_types") or []
    every_kind = (kinds.index(kind) + 1 for kind in set(kinds))
    first = max(3, config.get("sliding_window_pattern") or 0, *every_kind)
    return first, first + 1


@contextmanager
def as_one_sentence(step: Step) -> Iterator[None]:
    """What a model's own code fails with on fake tensors, as a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # some models read values, or refuse checkpointing, in their own way
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(
            f"the step of {step.name} can't be traced ({lines[0].rstrip('.')}); "
            "try --no-checkpointing or --attention eager, or measure it on a GPU."
        ) from error


def fake_tape(step: Step) -> Tape:
    """The tape of one training step on fake tensors."""
    tape = Tape(step.device)
    with as_one_sentence(step), as_if_real(step):
        model = build_skeleton(step)
        with FakeTensorMode(allow_non_fake_inputs=True):
            fill_parameters(model, step, torch.empty)
            run_on_tape(model, step, tape)
    return tape


@contextmanager
def as_if_real(step: Step) -> Iterator[None]:
    """Where libraries read values or ask for the device, they get what the real step would give.

    After the block all is as before.
    """
    # bitsandbytes makes its tables once, and from real numbers.
    check_bitsandbytes(step)
    if uses_bitsandbytes(step):
        make_4bit_parameter(torch.randn(64, 64), double_quant=True)
    ALL_ATTENTION_FUNCTIONS.register(FUSED, fused_attention)

    # transformers looks for several sequences in one row, and peft asks whether autocast is on.
    find_sequences, join = masking_utils.find_packed_sequence_indices, torch.cat
    autocast = torch.is_autocast_enabled("cuda")
    masking_utils.find_packed_sequence_indices = lambda *_: None
    torch.cat = join_as_on_cuda(join) if step.device == "cuda" else join
    torch.set_autocast_enabled("cuda", step.autocast is not None and step.device == "cuda")
    try:
        yield
    finally:
        masking_utils.find_packed_sequence_indices, torch.cat = find_sequences, join
        torch.set_autocast_enabled("cuda", autocast)


def join_as_on_cuda(join: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """`join`, outside autocast, which on CUDA leaves it alone.

    A CPU's autocast refuses two 16-bit tensors whose dtype is not its own.
    """

    def join_outside(*args: Any, **options: Any) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return join(*args, **options)

    return join_outside


def fused_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **_: object,
) -> tuple[torch.Tensor, None]:
    """The shapes of CUDA's flash kernel, which torch knows on every device, for the CPU's kernel.

    query: (batch, heads, seq, d); key, value: (batch, key heads, seq, d). Returns
    (batch, seq, heads, d) and no probabilities.
    """
    # As autocast does for torch's own attention.
    if torch.is_autocast_enabled("cpu"):
        dtype = torch.get_autocast_dtype("cpu")
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    attention = torch.ops.aten._scaled_dot_product_flash_attention
    out = attention(query, key, value, dropout, True, scale=scaling)[0]
    return out.transpose(1, 2).contiguous(), None


# The model: transformers' modules, bitsandbytes' and peft's, ready to train.


def build_skeleton(step: Step) -> "PreTrainedModel | PeftModel":
    """The model with its adapter on the meta device: all shapes, no numbers."""
    model = models.skeleton(step.architecture.config)
    for config in (model.config, model.config.get_text_config()):
        config.use_cache = False
    model.config._attn_implementation = attention_kernel(model, step)
    with torch.device("meta"):
        if step.method == "qlora":
            use_4bit_layers(model, step)
        if step.method != "full":
            model = put_adapter(model, step)
    return prepare_training(model, step)


def put_adapter(model: "PreTrainedModel", step: Step) -> "PreTrainedModel | PeftModel":
    """The model with the step's adapter on it."""
    if step.method in OTHERS:
        dials = methods.dials_of(step.method).items()
        return methods.attach(
            model, step.method, **{option: getattr(step, dial) for dial, option in dials}
        )
    return lora.attach(model, step.rank, 2 * step.rank, step.targets)


def attention_kernel(model: "PreTrainedModel", step: Step) -> str:
    """What transformers calls the attention that runs in a step of a model.

    Models of older code choose among their own; those without any other run the eager one.
    """
    has_flash, has_sdpa = model._supports_flash_attn, model._supports_sdpa
    if step.attention == "eager" or not (has_flash if step.attention == "flash" else has_sdpa):
        return "eager"
    code = vars(sys.modules[type(model).__module__])
    chooses = "ALL_ATTENTION_FUNCTIONS" in code
    return FUSED if step.device == "cuda" and chooses else "sdpa"


def prepare_training(
    model: "PreTrainedModel | PeftModel", step: Step
) -> "PreTrainedModel | PeftModel":
    """The model ready to train: checkpointing as chosen, an input that gradients can flow from."""
    if step.method != "full":
        model.enable_input_require_grads()
    if step.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def use_4bit_layers(model: "PreTrainedModel", step: Step) -> None:
    """Make every linear layer but the head bitsandbytes' 4-bit layer, as transformers does it."""
    from bitsandbytes.nn import Linear4bit  # type: ignore  # where its users import it from

    compute = getattr(torch, step.autocast or step.dtype)
    for name, layer in models.linears(model).items():
        if not isinstance(layer, torch.nn.Linear):
            raise UserError(
                f"{name} is a Conv1D, which bitsandbytes leaves as it is; "
                f"give method='lora' for {step.name}."
            )
        sides = layer.in_features, layer.out_features, layer.bias is not None
        options = (compute, step.double_quant, "nf4")
        model.set_submodule(name, Linear4bit(*sides, *options, device="meta"))
    model.is_loaded_in_4bit = True  # type: ignore  # as transformers does it


def fill_parameters(model: torch.nn.Module, step: Step, make: Callable[..., torch.Tensor]) -> None:
    """Every parameter and buffer on the meta device becomes what `make(shape, dtype=…)` gives.

    Parameters get the step's dtypes, buffers keep theirs; tied parameters stay tied.
    """
    # {id of an old parameter: (the new one, the old one)}: it stays alive, so that no other gets
    # its id meanwhile.
    made: dict[int, tuple[Any, torch.nn.Parameter]] = {}
    for module in model.modules():
        for name, old in module._parameters.items():
            if old is None:
                continue
            if id(old) not in made:
                made[id(old)] = make_parameter(old, step, make), old
            new, _ = made[id(old)]
            module._parameters[name] = new
            # bitsandbytes' layers ask for it on the layer too.
            if hasattr(new, "quant_state"):
                module.quant_state = new.quant_state
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = make(buffer.shape, dtype=buffer.dtype)


def make_parameter(
    old: torch.nn.Parameter, step: Step, make: Callable[..., torch.Tensor]
) -> torch.nn.Parameter:
    """The parameter that takes the place of one on the meta device."""
    if type(old).__name__ == "Params4bit":
        weight = make(old.shape, dtype=getattr(torch, step.dtype))
        return make_4bit_parameter(weight, double_quant=step.double_quant)
    if old.requires_grad and step.method != "full":
        dtype = step.trained_dtype
    else:
        dtype = "float32" if step.kbit_prepare else step.dtype
    return torch.nn.Parameter(make(old.shape, dtype=getattr(torch, dtype)), old.requires_grad)


def make_4bit_parameter(W: torch.Tensor, *, double_quant: bool) -> torch.nn.Parameter:
    """W (d_out, d_in) in NF4, as a plain parameter (⌈d_out · d_in / 2⌉, 1) uint8.

    It has what bitsandbytes' matrix product asks of its own kind, which can't hold a fake tensor.
    """
    from bitsandbytes import functional

    numbers, state = functional.quantize_4bit(W, compress_statistics=double_quant, quant_type="nf4")
    parameter: Any = torch.nn.Parameter(numbers, requires_grad=False)
    parameter.quant_state = state
    parameter.quant_type, parameter.compress_statistics = "nf4", double_quant
    return parameter


def unwrap(model: "PreTrainedModel | PeftModel") -> "PreTrainedModel":
    """The transformers model inside a peft model, or the model itself."""
    if lora.is_attached(model):
        return cast("PreTrainedModel", model.get_base_model())
    return model


def head_of(model: "PreTrainedModel") -> torch.nn.Module:
    """The layer that gives the logits; every model that is trained here has one."""
    return cast(torch.nn.Module, model.get_output_embeddings())


# The step: forward, loss, backward, optimizer.


def run_on_tape(model: "PreTrainedModel | PeftModel", step: Step, tape: Tape) -> None:
    """Run the step once, with all that is there before it and all that it makes on the tape."""
    trained = models.trained_parameters(model)
    # bitsandbytes reads the values of its tables.
    with unset_fake_temporarily():
        optimizer = make_optimizer(step, trained)
    announce_phases(model, step, tape)
    with watch_storages(tape, step):
        put_standing(model, step, tape)
        put_optimizer_state(optimizer, trained, tape)

        # From here on peaks count.
        tape.forget_peaks()
        tape.enter(FORWARD)
        ids = torch.zeros(step.batch, step.seq, dtype=torch.long)
        loss, outputs = loss_of(model, ids, step, tape)
        tape.enter(LOSS_BACKWARD)
        loss.backward()
        del loss, outputs
        tape.enter(OPTIMIZER)
        optimizer.step()
        tape.over = True


def make_optimizer(step: Step, parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """The optimizer that the step names; its learning rate is of no importance."""
    if step.optimizer in ("adamw", "adamw_foreach"):
        fused = step.optimizer == "adamw"
        return torch.optim.AdamW(parameters, 1e-4, fused=fused, foreach=not fused)
    from bitsandbytes.optim import AdamW8bit  # type: ignore  # where its users import it from

    paged = step.optimizer == "paged_adamw_8bit" and parameters[0].is_cuda
    return AdamW8bit(parameters, 1e-4, is_paged=paged)


def put_standing(model: "PreTrainedModel | PeftModel", step: Step, tape: Tape) -> None:
    """Put on the tape what is there before the step: weights, adapter, their states, buffers."""
    if step.device == "cuda":
        tape.change(-1, WORKSPACE, "workspace")  # no storage has the number −1
    for parameter in model.parameters():
        adapter = parameter.requires_grad and step.method != "full"
        tape.put(parameter, "adapter" if adapter else "weights")
        # bitsandbytes' state of a 4-bit weight; with double quantization a second one inside it.
        state = getattr(parameter, "quant_state", None)
        for owner in filter(None, (state, getattr(state, "state2", None))):
            for value in vars(owner).values():
                if isinstance(value, torch.Tensor):
                    tape.put(value, "quant_state")
    for buffer in model.buffers():
        tape.put(buffer, "weights")


def put_optimizer_state(
    optimizer: torch.optim.Optimizer, trained: list[torch.nn.Parameter], tape: Tape
) -> None:
    """Take an optimizer step, which makes its state, and put that on the tape.

    From then on gradients are put on it as well, whenever there are new ones.
    """
    # Gradients of zero, and a hook that is called when there are real ones.
    for parameter in trained:
        parameter.grad = torch.zeros_like(parameter)
        tape.put(parameter.grad, "gradients")
        parameter.register_post_accumulate_grad_hook(lambda p: tape.put(p.grad, "gradients"))
    # Now the state is there.
    optimizer.step()
    optimizer.zero_grad()
    for state in optimizer.state.values():
        for value in state.values():
            if isinstance(value, torch.Tensor):
                tape.put(value, "optimizer")


def announce_phases(model: "PreTrainedModel | PeftModel", step: Step, tape: Tape) -> None:
    """Hooks that tell the tape where the step is.

    A layer's backward pass begins when the gradient of its output is there.
    """
    # The head, and the list of layers: the only one that is as long as the model is deep.
    base = unwrap(model)
    head, depth = head_of(base), step.architecture.depth
    lists = (m for m in base.modules() if isinstance(m, torch.nn.ModuleList))
    layers = next(layers for layers in lists if len(layers) == depth)
    tape.embedding = tuple(cast(torch.Tensor, head.weight).shape)

    def announce_with_gradient(tensor: torch.Tensor, phase: str) -> None:
        if tensor.requires_grad:
            tensor.register_hook(lambda _: tape.enter(phase))

    def watch_output(layer: torch.nn.Module, phase: str) -> None:
        def announce(_module: object, _inputs: object, out: Any) -> None:
            announce_with_gradient(out[0] if isinstance(out, tuple) else out, phase)

        layer.register_forward_hook(announce)

    # The loss begins at the head; gradients come from the top layer down to the first one's input.
    head.register_forward_pre_hook(lambda *_: tape.enter(LOSS))
    layers[0].register_forward_pre_hook(lambda _, inputs: announce_with_gradient(inputs[0], END))
    for number, layer in enumerate(layers):
        watch_output(layer, {0: BOTTOM, depth - 1: TOP}.get(number, MIDDLE))


def loss_of(
    model: "PreTrainedModel | PeftModel", ids: torch.Tensor, step: Step, tape: Tape
) -> tuple[torch.Tensor, object]:
    """The loss of ids (batch, seq) as the step computes it, and what the loop holds besides."""
    autocast = nullcontext()
    if step.autocast:
        autocast = torch.autocast(ids.device.type, getattr(torch, step.autocast))
    with autocast:
        if step.loss != "tiled":
            outputs = model(input_ids=ids, labels=ids)
            return outputs.loss, outputs if step.loss == "held" else None
        base = unwrap(model)
        hidden = base.base_model(input_ids=ids).last_hidden_state[:, :-1]
        tape.enter(LOSS)
        return tiled_loss(hidden, cast(torch.Tensor, head_of(base).weight)), None


def tiled_loss(hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """What TRL's fused head makes and frees: tiles of logits, filled anew, never all logits.

    hidden: (batch, seq, d); weight: (vocabulary, d). The numbers of the loss are not computed.
    """
    batch, seq = hidden.shape[:2]
    place = torch.arange(batch * seq, device=hidden.device)
    # A copy, as TRL's choice of tokens is.
    chosen = hidden[place // seq, place % seq]
    return TiledHead.apply(chosen, weight)


class TiledHead(torch.autograd.Function):
    """Head and loss in tiles: forward and backward pass fill the same tiles.

    hidden: (tokens, d); weight: (vocabulary, d); the loss is a single zero.
    """

    @staticmethod
    def forward(ctx: Any, hidden: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Fill the tiles, and make what TRL counts of every token: seven numbers."""
        device = hidden.device.type
        autocast = torch.is_autocast_enabled(device)
        ctx.dtype = torch.get_autocast_dtype(device) if autocast else hidden.dtype
        ctx.save_for_backward(hidden, weight)
        sums = [torch.zeros(len(hidden), device=hidden.device) for _ in range(7)]
        fill_tiles(hidden, weight, ctx.dtype)
        return sums[0].sum()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Gradients add up in float32 while the tiles are filled again, and are cast at the end."""
        hidden, weight = ctx.saved_tensors
        d_hidden = torch.zeros(hidden.shape, device=hidden.device)
        d_weight = None
        if ctx.needs_input_grad[1]:
            d_weight = torch.zeros(weight.shape, device=hidden.device)
        # The tiles stay until the end.
        tiles = fill_tiles(hidden, weight, ctx.dtype)  # noqa: F841
        hidden_gradient = d_hidden.to(hidden.dtype)
        weight_gradient = None if d_weight is None else d_weight.to(weight.dtype)
        return hidden_gradient, weight_gradient


def fill_tiles(hidden: torch.Tensor, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Compute all logits one tile after the other, each into the same storage, which it returns."""
    rows = min(TILE_TOKENS, len(hidden))
    tile = torch.empty(rows, TILE_WORDS, dtype=dtype, device=hidden.device)
    for i in range(0, len(hidden), TILE_TOKENS):
        x = hidden[i : i + TILE_TOKENS].to(dtype)
        for j in range(0, len(weight), TILE_WORDS):
            W = weight[j : j + TILE_WORDS].to(dtype)
            torch.mm(x, W.t(), out=tile[: len(x), : len(W)])
    return tile


# The formula held to the trace.

ARCHITECTURES = (
    "smollm2-135m", "smollm2-360m", "qwen2.5-0.5b", "qwen3-0.6b", "gemma-3-1b", "gemma-2-2b",
    "llama-3.2-1b", "phi-3-mini", "mistral-7b", "llama-2-7b", "llama-3.1-8b", "qwen2.5-7b",
    "qwen3-8b", "olmo-2-7b", "llama-2-13b", "llama-3.1-70b",
)  # fmt: skip
LENGTHS, BATCHES = (1, 7, 33, 128, 257, 512, 1024, 2048, 4096, 8192), (1, 1, 2, 3, 4, 7, 8)
RANKS, TARGETS = (1, 4, 8, 16, 64, 128), ("all-linear", "attention", "mlp", "q,v", "some", "some")
SETTINGS = 320


def options_to_trace(settings: int = SETTINGS, seed: int = 0) -> list[dict]:
    """The arguments of so many steps at which the formula is held to the trace, drawn at random.

    Every option is drawn by itself; what `make_step` refuses is drawn anew.
    """
    chance = random.Random(seed)
    rows: list[dict] = []
    while len(rows) < settings:
        row = draw_options(chance)
        try:
            step = make_step(**row)
            assert step.trained_layers
        except UserError:
            continue
        rows.append(row)
    return rows


def draw_options(chance: random.Random) -> dict:
    """The arguments of one step, each drawn by itself."""
    pick = chance.choice
    row = {"source": pick(ARCHITECTURES), "seq": pick(LENGTHS), "batch": pick(BATCHES)}
    for name in ("method", "dtype", "autocast", "attention", "optimizer", "loss"):
        row[name] = pick(METHODS if name == "method" else CHOICES[name])
    row["checkpointing"] = pick((True, False))
    # An adapter, on some of the layers that this architecture has.
    if row["method"] != "full":
        row["rank"], row["targets"] = pick(RANKS), pick(TARGETS)
        row["adapter_dtype"] = pick(CHOICES["adapter_dtype"])
        if row["targets"] == "some":
            layers = list(read_architecture(row["source"]).sizes.sides)
            row["targets"] = sorted(chance.sample(layers, chance.randint(1, len(layers) - 1)))
    if row["method"] == "qlora":
        row["double_quant"], row["kbit_prepare"] = pick((True, False)), pick((True, False))
    return row


def compare_with_trace(say: Callable[[str], object] = lambda _: None) -> Path:
    """Hold the formula to the trace at all of `options_to_trace`; the path of the table of both.

    say: is told how far the formula is off, step by step.
    """
    # Both views of each step.
    rows, errors = [], []
    for options in options_to_trace():
        traced, predicted = trace(**options), predict(**options)
        peaks = {"trace": traced.peak, "formula": predicted.peak, "phase": traced.phase}
        rows.append({**options, **peaks})
        error = predicted.peak / traced.peak - 1
        errors.append(abs(error))
        say(f"{len(errors)}: {options['source']} {options['method']}: {error:+.3%}")

    # The table, with what it shows at its head.
    errors.sort()
    head = {
        "command": "python -m ftkit trace",
        "settings": len(errors),
        "median_error": round(statistics.median(errors), 9),
        "99th_percentile": round(errors[len(errors) * 99 // 100], 9),
        "worst_error": round(errors[-1], 9),
    }
    return write_rows(data_path("measurements", "formula_vs_trace.json"), head, rows)
