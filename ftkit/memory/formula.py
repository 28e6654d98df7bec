"""Predict the peak memory of one training step by arithmetic on a config; no torch, no model.

    predict(source, **options)    the `Ledger` of one step
    bytes_kept(step)              what one layer keeps for its backward pass, per token

    peak = what stands all the time (weights, quantization state, adapter, optimizer)
           + the worst moment of the step

Every tensor that stands, that a layer keeps or that the step holds for a moment is a line below.
`fake_step.py` runs the same step on fake tensors and `real_step.py` for real; both say how far the
formula is off. Left out: mixtures of experts, dropout, padding masks, several GPUs, torch.compile,
kernels that fuse a whole layer, and what lies outside torch's allocator (the CUDA context, NCCL).
Notebook 04.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from .sizes import Tensors
from .step import (
    PARTS,
    TILE_TOKENS,
    TILE_WORDS,
    UNIT,
    WORKSPACE,
    Ledger,
    Step,
    make_ledger,
    make_step,
)

if TYPE_CHECKING:
    from .sizes import Source

FLOAT32 = 4  # bytes of one number
# NF4 as bitsandbytes stores it, and `quant` explains it: a scale for 64 numbers and a second one
# for 256 scales.
NF4_BLOCK, SCALE_BLOCK = 64, 256
NF4_LEVELS, SCALE_LEVELS = 16, 256  # in the tables that every weight has a copy of
# 8-bit Adam as bitsandbytes has it: a scale for 256 numbers, and small tensors in float32.
ADAM_BLOCK, ADAM_SMALL = 256, 4096


def predict(source: "Source | Step", **options: Any) -> Ledger:
    """The `Ledger` of one training step by formula: what stands, and the largest of six phases.

    source: what `models.architecture.read` takes: a name in data/configs, a config.json, a
    directory, a hub id, a config, a model; or a `Step`.
    options: the fields of `Step`: method, rank, targets, seq, batch, checkpointing, dtype,
    autocast, adapter_dtype, attention, optimizer, double_quant, kbit_prepare, loss, device.

    Raises UserError for a wrong option, and for all but dense decoders of the Llama family.
    """
    step = make_step(source, **options)
    standing = standing_bytes(step)
    phases = {phase: {**standing, **parts} for phase, parts in passing_bytes(step).items()}
    return make_ledger(step, "formula", phases)


# What stands through the whole step, in bytes.


def standing_bytes(step: Step) -> dict[str, int]:
    """By part what lives all through the step; 0 for the parts that come and go."""
    sizes = step.sizes
    standing = dict.fromkeys(PARTS, 0)

    # Embeddings, norms and head; kbit_prepare makes all of them float32.
    others = allocated_bytes(sizes.others, lambda numbers: step.stream_bytes * numbers)
    # The linear layers of the blocks, in four bits with their scales or as they are.
    if step.method == "qlora":
        linear = allocated_bytes(sizes.linear, lambda numbers: numbers / 2)
        standing["quant_state"] = allocated_bytes(
            sizes.linear, lambda numbers: quant_state_bytes(numbers, double=step.double_quant)
        )
    else:
        linear = allocated_bytes(sizes.linear, lambda numbers: step.weight_bytes * numbers)
    standing["weights"] = others + linear

    # What trains beside the weights, and the optimizer's state of whatever trains.
    trained = step.trained_bytes
    if step.method != "full":
        standing["adapter"] = allocated_bytes(
            step.trained_tensors, lambda numbers: trained * numbers
        )
    standing["optimizer"] = allocated_bytes(
        step.trained_tensors, lambda numbers: adam_state_bytes(numbers, trained, step.optimizer)
    )
    standing["workspace"] = WORKSPACE if step.device == "cuda" else 0
    return standing


def round_up(size: float) -> int:
    """Bytes as the allocator hands them out."""
    return -(-int(size) // UNIT) * UNIT


def allocated_bytes(tensors: Iterable[Tensors], bytes_of: Callable[[int], float]) -> int:
    """Σ copies · bytes_of(numbers), each tensor as the allocator hands it out."""
    return sum(copies * round_up(bytes_of(numbers)) for numbers, copies in tensors)


def quant_state_bytes(numbers: int, *, double: bool) -> int:
    """bitsandbytes' NF4 state of one weight.

    A float32 absmax for 64 numbers: 32/64 = 0.5 bits per number. With double quantization it has 8
    bits, and a float32 for 256 of them: 8/64 + 32/(64 · 256) = 0.127 bits (Dettmers et al. 2023,
    §3).
    """
    scales = numbers / NF4_BLOCK
    levels = round_up(FLOAT32 * NF4_LEVELS)
    if not double:
        return round_up(FLOAT32 * scales) + levels
    second_scales = round_up(FLOAT32 * scales / SCALE_BLOCK)
    offset = round_up(FLOAT32)
    scale_levels = round_up(FLOAT32 * SCALE_LEVELS)
    return round_up(scales) + second_scales + levels + offset + scale_levels


def adam_state_bytes(numbers: int, own: int, optimizer: str) -> int:
    """Adam's two moments of one tensor, whose numbers have `own` bytes.

    torch keeps them in the tensor's dtype, and counts the steps besides; bitsandbytes in 8 bits
    with a float32 for 256 numbers.
    """
    if optimizer in ("adamw", "adamw_foreach"):
        steps = round_up(FLOAT32)
        return 2 * round_up(own * numbers) + steps
    if numbers < ADAM_SMALL:
        return 2 * round_up(FLOAT32 * numbers)
    scales = -(-numbers // ADAM_BLOCK)
    return 2 * (round_up(numbers) + round_up(FLOAT32 * scales))


# What one layer keeps for its backward pass, in bytes per token.


def bytes_kept(step: Step) -> dict[str, int]:
    """Bytes per token that one layer keeps for its backward pass, by group of tensors.

    norms        the float32 copy of a row, one factor per row; and the normalised row where the
                 norm's weight trains
    attention    what enters the kernel, its output, and what it keeps of the softmax
    mlp          gate, its activation, up
    inputs       what the linear layers that train were given, but for the down projection
    down_input   what the down projection was given, the product of gate and up
    low_rank     A x of every adapter
    """
    sizes, stream, output = step.sizes, step.stream_bytes, output_bytes(step)
    # Layers that read the same input keep it once.
    queries_keys_values = ("q_proj", "k_proj", "v_proj", "qkv_proj")
    gate_and_up = ("gate_proj", "up_proj", "gate_up_proj")
    inputs = input_bytes(step, queries_keys_values, sizes.hidden, stream)
    inputs += input_bytes(step, gate_and_up, sizes.hidden, stream)
    # The output projection reads what attention keeps anyway, unless it is given a rearranged copy.
    kept_anyway = not sizes.fused or step.attention == "eager"
    inputs += input_bytes(
        step, ("o_proj",), sizes.query, heads_bytes(step), kept_anyway=kept_anyway
    )
    return {
        "norms": norm_bytes(step),
        "attention": attention_bytes(step),
        "mlp": 3 * output * sizes.inner,
        "inputs": inputs,
        "down_input": input_bytes(step, ("down_proj",), sizes.inner, output),
        "low_rank": low_rank_bytes(step),
    }


def heads_bytes(step: Step) -> int:
    """Bytes of one number of queries, keys and values as they enter the attention kernel."""
    return step.compute_bytes if step.autocast else step.stream_bytes


def output_bytes(step: Step) -> int:
    """Bytes of one number that a linear layer gives; bitsandbytes' gives the dtype it was given."""
    return step.stream_bytes if step.method == "qlora" else step.compute_bytes


def norm_bytes(step: Step) -> int:
    """What the norms of a layer keep per token."""
    sizes = step.sizes
    float32_copy, factor = FLOAT32, FLOAT32
    # The normalised row serves the gradient of the norm's weight.
    normalised = 0
    if step.method == "full":
        normalised = FLOAT32 if sizes.norms_in_float32 else step.stream_bytes
    per_number = float32_copy + normalised
    on_stream = sizes.norms * (per_number * sizes.hidden + factor)
    if not sizes.normed_heads:
        return on_stream
    # Norms on queries and keys have a factor per head of either.
    return on_stream + per_number * sizes.normed_heads + 2 * factor * sizes.heads


def attention_bytes(step: Step) -> int:
    """What attention keeps per token."""
    sizes, number = step.sizes, heads_bytes(step)
    if step.attention == "eager":
        # Query and output; keys and values, repeated once for every query head.
        rows = number * (2 * sizes.query + 2 * sizes.query)
        # A row of probabilities per head.
        softmax = probability_bytes(number) * sizes.heads * step.seq
    else:
        # Query and output; keys and values.
        rows = number * (2 * sizes.query + 2 * sizes.key)
        # The logarithm of the softmax's sum per head.
        softmax = FLOAT32 * sizes.heads
    # Values out of a fused layer are a view of its output, which stays alive with its queries and
    # keys, unless autocast copies them.
    view = 0
    if sizes.fused and number == output_bytes(step):
        view = number * (sizes.query + sizes.key)
    return rows + softmax + view


def probability_bytes(number: int) -> int:
    """Bytes of one attention probability: float32 out of the softmax, and perhaps a copy.

    The product with the values that follows takes 16 bits where those have 16.
    """
    return FLOAT32 if number == FLOAT32 else FLOAT32 + number


def input_bytes(
    step: Step, readers: tuple[str, ...], width: int, stored: int, *, kept_anyway: bool = False
) -> int:
    """What the trained ones of the linear layers `readers` keep of their common input per token.

    width: numbers per token; stored: bytes of each; kept_anyway: by what made it. They keep it
    once together, or a copy for each where a cast stands between.
    """
    trained = len(set(readers) & set(step.trained_layers))
    if trained and casts_input(step, stored):
        cast = step.compute_bytes if step.autocast else step.adapter_bytes
        return trained * width * cast
    return width * stored if trained and not kept_anyway else 0


def casts_input(step: Step, stored: int) -> bool:
    """Whether a layer that trains gets a copy of an input whose numbers have `stored` bytes.

    Autocast makes one for a weight. For an adapter peft casts the input to the adapter's dtype, but
    on a quantized base leaves that to autocast.
    """
    by_autocast = bool(step.autocast) and stored != step.compute_bytes
    if step.method == "full" or (step.autocast and step.method == "qlora"):
        return by_autocast
    adapter = step.adapter_bytes
    return adapter != stored or bool(step.autocast and adapter != step.compute_bytes)


def low_rank_bytes(step: Step) -> int:
    """A x, r numbers for every target, per token."""
    if step.method == "full":
        return 0
    number = step.compute_bytes if step.autocast else step.adapter_bytes
    return len(step.trained_layers) * step.rank * number


# What the backward pass of one layer and the loss need for a moment, in bytes.


def backward_bytes(step: Step, layer: dict[str, int]) -> int:
    """The most that the backward pass of one layer needs beside what it keeps.

    layer: that, per token, as `bytes_kept` gives it.
    """
    sizes, output = step.sizes, output_bytes(step)
    # A tensor as wide as the residual stream and one as wide as the MLP, per token.
    row, wide = step.stream_bytes * sizes.hidden, output * sizes.inner
    # What belongs to the MLP and its norm is gone when attention's turn comes.
    gone = 3 * wide + layer["down_input"] + FLOAT32 * sizes.hidden
    moments = {
        # Gradients of the product and of its two factors; the product itself is gone.
        "mlp product": 3 * wide - layer["down_input"] + row,
        "down projection": wide + row,
        "attention": attention_gradient_bytes(step) - gone,
    }
    adapts_down = step.method == "lora" and "down_proj" in step.trained_layers
    if step.checkpointing and adapts_down and casts_input(step, output):
        # The product in its own dtype and in the adapter's, and five rows.
        moments["cast of the product"] = wide + step.adapter_bytes * sizes.inner + 5 * row
    if sizes.norm_behind_mlp:
        # Five float32 rows inside the norm, and the gradient of its input.
        moments["norm behind the mlp"] = 5 * FLOAT32 * sizes.hidden + row
    # All of that for every token, and a weight once.
    in_bytes = {moment: per_token * step.tokens for moment, per_token in moments.items()}
    in_bytes["down projection"] += dequantized_bytes(step)
    return max(in_bytes.values())


def attention_gradient_bytes(step: Step) -> int:
    """What the backward pass of attention needs per token."""
    sizes, number = step.sizes, heads_bytes(step)
    if step.attention == "eager":
        # The probabilities, their gradient, its product with them and the result, all float32;
        # the probabilities themselves are kept already.
        four = 4 * FLOAT32 - probability_bytes(number)
        return four * sizes.heads * step.seq
    sum_of_dq = FLOAT32 * sizes.query
    gradients = number * (2 * sizes.query + 2 * sizes.key)
    rows = 2 * step.stream_bytes * sizes.hidden
    # dK and dV for all query heads, before those that share a key head are added up.
    repeated = 2 * number * sizes.query if sizes.key != sizes.query else 0
    return sum_of_dq + gradients + rows + repeated


def dequantized_bytes(step: Step) -> int:
    """A quantized layer's largest matrix brought back to 16 bits, and its scales to float32."""
    if step.method != "qlora":
        return 0
    numbers = step.sizes.inner * step.sizes.hidden
    matrices = 2 if step.sizes.fused else 1
    weight = round_up(step.compute_bytes * numbers * matrices)
    return weight + round_up(FLOAT32 * numbers / NF4_BLOCK)


def loss_bytes(step: Step) -> tuple[int, int]:
    """What head and loss need at most: (in the forward pass, in the backward pass).

    In transformers 10 bytes and 12 for every token and word of the vocabulary.
    """
    if step.loss == "tiled":
        return tiled_loss_bytes(step)
    sizes, compute = step.sizes, step.compute_bytes
    numbers = sizes.vocab * step.tokens

    # Forward: the logits as the head gives them and in float32, and their log-softmax.
    sixteen_bits = compute if compute < FLOAT32 else 0
    forward = (sixteen_bits + FLOAT32 + FLOAT32) * numbers

    # Backward: the log-softmax and two gradients of its size. The 16-bit logits stay where the loop
    # holds them, those before a cap for its gradient, and a cast copy of the head's weight.
    backward = (FLOAT32 + FLOAT32 + FLOAT32) * numbers + held_logits_bytes(step)
    if sizes.capped:
        backward += compute * numbers
    if step.stream_bytes != compute:
        backward += compute * sizes.vocab * sizes.hidden
    return forward, backward


def held_logits_bytes(step: Step) -> int:
    """The logits that a loop keeps through the backward pass by holding the model's `outputs`."""
    return step.compute_bytes * step.sizes.vocab * step.tokens if step.loss == "held" else 0


def tiled_loss_bytes(step: Step) -> tuple[int, int]:
    """What TRL's fused head needs: (in the forward pass, in the backward pass)."""
    sizes, tokens = step.sizes, step.tokens
    stream, compute = step.stream_bytes, step.compute_bytes
    rows = min(tokens, TILE_TOKENS)

    # One tile of logits, and the hidden states of the tokens that are asked for, a copy.
    tile = compute * rows * TILE_WORDS + hidden_states_bytes(step)
    # Where a cast stands between: a tile's rows of the hidden states, and two tiles' of the head.
    if stream != compute:
        tile += compute * (min(sizes.vocab, 2 * TILE_WORDS) + rows) * sizes.hidden

    # Gradients add up in float32, and are cast at the end: of the hidden states, of a head that
    # trains.
    gradient = FLOAT32 + (stream if stream < FLOAT32 else 0)
    backward = tile + gradient * sizes.hidden * tokens
    if step.method == "full":
        backward += gradient * sizes.vocab * sizes.hidden
    # In the forward pass the model's own hidden states are there as well.
    return tile + hidden_states_bytes(step), backward


# The six phases of the step, in bytes.


def passing_bytes(step: Step) -> dict[str, dict[str, int]]:
    """{phase: {part: bytes}}, what is alive at the peak of each phase beside what stands."""
    layer = bytes_kept(step)
    # What waits for the backward pass: all that the layers keep, or their inputs alone.
    each = hidden_states_bytes(step) if step.checkpointing else sum(layer.values()) * step.tokens
    waiting = step.sizes.layers * each
    return {
        **loss_phases(step, waiting),
        **layer_phases(step, waiting, backward_peak=working_bytes(step, layer)),
        **last_phases(step),
    }


def loss_phases(step: Step, waiting: int) -> dict[str, dict[str, int]]:
    """The moments when the loss is there, and when its gradient is."""
    activations = waiting + final_norm_bytes(step)
    # Where an adapter trains, the embedding's output is a leaf of the graph and stays;
    # with checkpointing it is among the inputs.
    if step.method != "full" and not step.checkpointing:
        activations += hidden_states_bytes(step)
    copies = autocast_copies_bytes(step)
    copies_left = 0 if step.checkpointing else copies
    forward, backward = loss_bytes(step)
    return {
        "loss, forward": {"activations": activations + copies, "logits": forward},
        "loss, backward": {"activations": activations + copies_left, "logits": backward},
    }


def layer_phases(step: Step, waiting: int, backward_peak: int) -> dict[str, dict[str, int]]:
    """The backward passes of the top layer, when all others wait, and of the bottom layer."""
    gradients, logits = gradient_bytes(step), held_logits_bytes(step)
    return {
        "backward, top layer": {
            "activations": waiting + backward_peak,
            "gradients": gradients.head,
            "logits": logits,
        },
        "backward, bottom layer": {
            "activations": waiting // step.sizes.layers + backward_peak,
            "gradients": gradients.at_bottom,
            "logits": logits + gradients.tied_head,
        },
    }


def last_phases(step: Step) -> dict[str, dict[str, int]]:
    """The end of the backward pass at the embedding, and the optimizer's step."""
    gradients = gradient_bytes(step)
    # torch's older kernel makes another tensor for each gradient.
    temporary = gradients.every if step.optimizer == "adamw_foreach" else 0
    return {
        "backward, end": {
            "activations": hidden_states_bytes(step),
            "gradients": gradients.every,
            "logits": held_logits_bytes(step) + gradients.tied_head,
        },
        "optimizer": {"gradients": gradients.every, "activations": temporary},
    }


def hidden_states_bytes(step: Step) -> int:
    """The residual stream between two layers: one row for each token."""
    return step.stream_bytes * step.sizes.hidden * step.tokens


def final_norm_bytes(step: Step) -> int:
    """What the norm before the head keeps, and what the head keeps of its input."""
    float32_copy = FLOAT32
    normalised = step.stream_bytes if step.method == "full" else 0
    heads_input = step.stream_bytes if step.method == "full" and step.loss != "tiled" else 0
    return (float32_copy + normalised + heads_input) * step.sizes.hidden * step.tokens


def working_bytes(step: Step, layer: dict[str, int]) -> int:
    """What a layer needs during its backward pass beside what waits.

    layer: what it keeps per token, as `bytes_kept` gives it.
    """
    working, copies = backward_bytes(step, layer), autocast_copies_bytes(step)
    if not step.checkpointing:
        return working + copies
    # A checkpointed layer has just run again, so that all it keeps is there once; the float32 copy
    # that its first norm makes of a float32 row is the input that waits.
    again = sum(layer.values()) * step.tokens
    if step.stream_bytes == FLOAT32:
        again -= hidden_states_bytes(step)
    return working + again + copies // step.sizes.layers


def autocast_copies_bytes(step: Step) -> int:
    """The copies that autocast makes of trained matrices in the layers.

    It keeps them until the forward pass ends, or with checkpointing until the layer's does.
    """
    if not step.autocast or step.trained_bytes == step.compute_bytes:
        return 0
    if step.method == "full":
        return step.compute_bytes * step.sizes.layers * step.sizes.linear_numbers
    return step.compute_bytes * sum(numbers * copies for numbers, copies in step.trained_tensors)


class Gradients(NamedTuple):
    """The bytes of gradients, as they come one after the other."""

    every: int  # at the end
    head: int  # of the head, or of the embedding, which is as large
    at_bottom: int  # when the bottom layer peaks
    tied_head: int  # the head's own, until it is added to that of the embedding it is tied to


def gradient_bytes(step: Step) -> Gradients:
    """What gradients take at the moments where the step can peak."""
    every = allocated_bytes(step.trained_tensors, lambda numbers: step.trained_bytes * numbers)
    if step.method != "full":
        return Gradients(every, head=0, at_bottom=every, tied_head=0)
    sizes = step.sizes
    head = step.trained_bytes * sizes.vocab * sizes.hidden
    # Of the bottom layer only the down projection has its gradient by then, and the embedding,
    # which comes last, has none.
    missing = step.trained_bytes * (sizes.linear_numbers - sizes.inner * sizes.hidden)
    return Gradients(every, head, every - missing - head, head if sizes.tied else 0)
