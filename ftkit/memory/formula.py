"""Predict the peak memory of one training step by arithmetic on a config; no torch, no model.

    predict(source, **options)    the `Ledger` of one step
    sharded_peak(step, cards)     what each of several cards holds at least
    bytes_kept(step)              what one layer keeps for its backward pass, per token
    peaks_at_depth(depth, …)      a deep model's peaks from those at two small depths

    peak = what stands all the time (weights, quantization state, adapter, optimizer)
           + the worst moment of the step

What stands is summed up here; what comes and goes is added up by `decoder.py`, operation by
operation. `fake_step.py` runs the same step on fake tensors and `real_step.py` for real. Left out:
mixtures of experts, dropout, padding masks, torch.compile, kernels that fuse a whole layer, and
what lies outside torch's allocator (the CUDA context, NCCL). Notebooks 04 and 14.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError, is_whole
from .autograd import Account
from .decoder import MIDDLE, NF4_BLOCK, Decoder
from .sizes import NotModelled, Tensors
from .step import METHODS, OTHERS, PARTS, WORKSPACE, Ledger, Step, make_ledger, make_step

if TYPE_CHECKING:
    from .sizes import Source

FLOAT32 = 4  # bytes of one number
# NF4 as bitsandbytes stores it, and `quant` explains it: a scale for 64 numbers (NF4_BLOCK) and a
# second one for 256 scales.
SCALE_BLOCK = 256
NF4_LEVELS, SCALE_LEVELS = 16, 256  # in the tables that every weight has a copy of
# 8-bit Adam as bitsandbytes has it: a scale for 256 numbers, and small tensors in float32.
ADAM_BLOCK, ADAM_SMALL = 256, 4096


def predict(source: "Source | Step", **options: Any) -> Ledger:
    """The `Ledger` of one training step by formula: what stands, and the largest of its phases.

    source: what `models.architecture.read` takes: a name in data/configs, a config.json, a
    directory, a hub id, a config, a model; or a `Step`.
    options: the fields of `Step`: method, rank, targets, seq, batch, checkpointing, dtype,
    autocast, adapter_dtype, attention, optimizer, double_quant, kbit_prepare, loss, device.

    Raises UserError for a wrong option, and for all but dense decoders of the Llama family.
    """
    step = make_step(source, **options)
    if step.method in OTHERS:
        raise NotModelled(
            f"the formula knows {', '.join(METHODS)}, and method is {step.method!r}; ask "
            "memory.trace, which runs the step on fake tensors."
        )
    return make_ledger(step, "formula", peaks_of(step))


# What FSDP and ZeRO-3 cut up; activations, logits and workspace are each card's own.
CUT_UP = ("weights", "quant_state", "adapter", "gradients", "optimizer")


def sharded_peak(step: Step, cards: int) -> float:
    """Bytes that each of so many cards holds at least, the model and its moments cut up among them.

    The step's rows are those of one card. Phase by phase, for the fullest moment may be another
    one than on a single card. The layer that is at work, which every card then holds whole, comes
    on top; what FSDP's own mixed precision frees between layers, autocast's copies, goes off.
    Raises UserError for a number of cards that is none.
    """
    if not is_whole(cards) or cards < 1:
        raise UserError(f"cards is {cards!r}; give a whole number from 1 on.")
    phases = peaks_of(step).values()
    return max(
        sum(size / cards if part in CUT_UP else size for part, size in parts.items())
        for parts in phases
    )


# What stands through the whole step, in bytes.


def standing_bytes(step: Step) -> dict[str, int]:
    """By part what lives all through the step; 0 for the parts that come and go."""
    sizes = step.sizes
    standing = dict.fromkeys(PARTS, 0)

    def allocated(tensors: Iterable[Tensors], bytes_of: Callable[[int], Iterable[float]]) -> int:
        """Bytes of tensors, or of all that belongs to each, as the allocator hands them out."""
        return sum(
            copies * sum(map(step.round_up, bytes_of(numbers))) for numbers, copies in tensors
        )

    # Embeddings, norms and head; kbit_prepare makes all of them float32.
    others = allocated(sizes.others, lambda numbers: [step.stream_bytes * numbers])
    # The linear layers of the blocks, in four bits with their scales or as they are.
    if step.method == "qlora":
        linear = allocated(sizes.linear, lambda numbers: [numbers / 2])
        double = step.double_quant
        standing["quant_state"] = allocated(
            sizes.linear, lambda numbers: quant_state(numbers, double=double)
        )
    else:
        linear = allocated(sizes.linear, lambda numbers: [step.weight_bytes * numbers])
    standing["weights"] = others + linear

    # What trains beside the weights, and the optimizer's state of whatever trains.
    trains, own = step.trained_tensors, step.trained_bytes
    if step.method != "full":
        standing["adapter"] = allocated(trains, lambda numbers: [own * numbers])
    standing["optimizer"] = allocated(
        trains, lambda numbers: adam_state(numbers, own, step.optimizer)
    )
    standing["workspace"] = WORKSPACE if step.device == "cuda" else 0
    return standing


def quant_state(numbers: int, *, double: bool) -> list[int]:
    """Bytes of each tensor in bitsandbytes' NF4 state of one weight.

    A float32 absmax for 64 numbers: 32/64 = 0.5 bits per number. With double quantization it has 8
    bits, and a float32 for 256 of them: 8/64 + 32/(64 · 256) = 0.127 bits (Dettmers et al. 2023,
    §3).
    """
    scales = -(-numbers // NF4_BLOCK)
    levels = FLOAT32 * NF4_LEVELS
    if not double:
        return [FLOAT32 * scales, levels]
    second_scales = FLOAT32 * -(-scales // SCALE_BLOCK)
    offset = FLOAT32
    return [scales, second_scales, levels, offset, FLOAT32 * SCALE_LEVELS]


def adam_state(numbers: int, own: int, optimizer: str) -> list[int]:
    """Bytes of Adam's two moments of one tensor, whose numbers have `own` bytes, and of scales.

    torch keeps them in the tensor's dtype, and counts the steps besides; bitsandbytes in 8 bits
    with a float32 for 256 numbers.
    """
    if optimizer in ("adamw", "adamw_foreach"):
        steps = FLOAT32
        return [own * numbers, own * numbers, steps]
    if numbers < ADAM_SMALL:
        return 2 * [FLOAT32 * numbers]
    scales = -(-numbers // ADAM_BLOCK)
    return 2 * [numbers, FLOAT32 * scales]


# What comes and goes.

Peaks = dict[str, dict[str, int]]  # {phase: {part: bytes}}
DEPTHS = (2, 3)  # with a bottom and a top layer, and one more
GROUPS = ("norms", "attention", "mlp", "inputs", "down_input", "low_rank")


def peaks_of(step: Step) -> Peaks:
    """{phase: {part: bytes}} at the fullest moment of each, with all layers."""
    depth = step.sizes.layers
    if depth <= max(DEPTHS):
        return peaks_of_layers(step, depth)
    first, second = (peaks_of_layers(step, layers) for layers in DEPTHS)
    return peaks_at_depth(depth, DEPTHS, first, second)


def peaks_of_layers(step: Step, layers: int) -> Peaks:
    """The same for the step on its first so many layers."""
    standing = standing_bytes(step.at_depth(layers))
    account = Account(standing, step.unit)
    Decoder(step, layers, account).train()
    return account.peaks()


def peaks_at_depth(depth: int, depths: tuple[int, int], first: Peaks, second: Peaks) -> Peaks:
    """The peaks at full depth, on the line through those at two small depths."""
    layers_more = depth - depths[0]
    peaks = {}
    for phase in first:
        # In the middle the layer that peaks may change with the depth; the top or the bottom one
        # peaks above it.
        if phase == MIDDLE:
            continue
        peaks[phase] = {}
        for part in PARTS:
            per_layer = second[phase][part] - first[phase][part]
            peaks[phase][part] = first[phase][part] + per_layer * layers_more
    return peaks


def bytes_kept(step: Step) -> dict[str, int]:
    """Bytes per token that one layer keeps for its backward pass, by group of tensors.

    norms        the float32 copy of a row, one factor per row; and the normalised row where the
                 norm's weight trains
    attention    what enters the kernel, its output, and what it keeps of the softmax
    mlp          gate, its activation, up
    inputs       what the linear layers that train were given, but for the down projection
    down_input   what the down projection was given, the product of gate and up
    low_rank     A x of every adapter

    Copies of weights, which autocast can make and keep, come on top.
    """
    account = Account({}, unit=1)
    decoder = Decoder(step, 2, account)
    hidden = decoder.embed(decoder.run.empty(step.tokens, "int64"))
    around = decoder.surroundings(hidden)[0]
    # The second layer: the first one's input may differ from what layers give.
    before: dict[str, int] = {}
    for number in range(2):
        before = dict(account.groups)
        hidden = decoder.layer(number, around, hidden)
    after = {group: account.groups.get(group, 0) for group in GROUPS}
    return {group: (after[group] - before.get(group, 0)) // step.tokens for group in GROUPS}
