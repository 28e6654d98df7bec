"""Predict the peak memory of one training step from a config, by arithmetic: nothing is built,
torch is not imported.

    peak = what lives all the time (weights, quantization state, adapter, optimizer) + the worst moment of the step

What a layer keeps for its backward pass is a sum over its tensors (`kept`), so are the moments at
which the step can peak (`moments`). Every view of a step, this formula, `trace` and `measure`,
gives the same record, a `Ledger`.

Left out: mixtures of experts, dropout, padding masks, several GPUs, torch.compile, kernels that
fuse a whole layer, and what lies outside torch's allocator (the CUDA context, NCCL).
"""

from dataclasses import dataclass

from .. import lora
from ..core.errors import UserError
from ..models import architecture
from .step import PARTS, TILE, UNIT, WORKSPACE, Ledger, Step, make_step, refuse_experts, width


@dataclass(frozen=True)
class Sizes:
    """The widths of a decoder of the Llama family, read off its weights."""

    h: int  # of the residual stream
    q: int  # of all query heads
    kv: int  # of all key heads
    f: int  # inside the MLP
    heads: int
    layers: int
    vocab: int
    sides: dict[
        str, tuple[int, int]
    ]  # (d_out, d_in) of every linear layer of a block, by the end of its name
    places: tuple[str, ...]  # the full names of those in the first layer
    others: tuple[tuple[int, int], ...]  # (numbers, copies) of every weight that is none
    norms: int  # on the residual stream, in one layer
    qk: int  # numbers a token of the normalised queries and keys
    fused: bool
    tied: bool
    gemma: bool
    capped: bool
    post: bool  # norms behind attention and MLP


def sizes(config: dict) -> Sizes:
    """What the formula needs to know of an architecture; refuses what it does not model."""
    weights = architecture.shapes(config)
    refuse_experts(config, weights)
    by = {w.part: w for w in weights}
    if "self_attn.o_proj" not in by:
        raise UserError(
            f"the formula knows the Llama family, and model_type is {config['model_type']!r}; trace it: --trace, or trace.trace()."
        )
    o, down = by["self_attn.o_proj"], by["mlp.down_proj"]
    fused = "self_attn.qkv_proj" in by
    kv = (by["self_attn.qkv_proj"].d_out - o.d_in) // 2 if fused else by["self_attn.k_proj"].d_out
    linear = [w for w in weights if w.kind == "linear"]
    return Sizes(
        o.d_out, o.d_in, kv, down.d_in, config["num_attention_heads"], len(down.layers), weights[0].d_out,
        sides={w.part.rpartition(".")[2]: (w.d_out, w.d_in) for w in linear},
        places=tuple(w.name.replace("*", "0") for w in linear),
        others=tuple((w.d_out * w.d_in, w.copies) for w in weights if w.kind != "linear"),
        norms=sum(w.part.endswith("layernorm") for w in weights),
        qk=o.d_in + kv if "self_attn.q_norm" in by else 0,
        fused=fused, tied=not any(w.kind == "head" for w in weights), gemma=config["model_type"].startswith("gemma"),
        capped=bool(config.get("final_logit_softcapping")), post="post_feedforward_layernorm" in by,
    )  # fmt: skip


def round_up(size: float) -> int:
    """Bytes as the allocator hands them out."""
    return -(-int(size) // UNIT) * UNIT


def standing_bytes(s: Step, m: Sizes) -> dict[str, int]:
    """What lives all through the step: weights, quantization state, adapter and the optimizer's
    state.
    """
    linear = [(d_out * d_in, m.layers) for d_out, d_in in m.sides.values()]
    trained = trained_tensors(s, m)
    own, low = width(s.dtype), width(s.adapter_dtype)
    found = dict.fromkeys(PARTS, 0)
    # The head of a kbit_prepare'd model is float32 as well, so that it is among the others.
    found["weights"] = total(m.others, lambda n: s.stream * n)
    if s.method == "qlora":
        found["weights"] += total(linear, lambda n: n / 2)
        found["quant_state"] = total(linear, lambda n: quant_state(n, s.double_quant))
    else:
        found["weights"] += total(linear, lambda n: own * n)
    if s.method != "full":
        found["adapter"] = total(trained, lambda n: low * n)
    found["optimizer"] = total(trained, lambda n: optimizer_state(n, trained_width(s), s.optimizer))
    found["workspace"] = WORKSPACE if s.device == "cuda" else 0
    return found


def total(tensors, bytes_of) -> int:
    """Σ copies · bytes of (numbers, copies), each tensor as the allocator hands it out."""
    return sum(copies * round_up(bytes_of(numbers)) for numbers, copies in tensors)


def trained_tensors(s: Step, m: Sizes) -> list[tuple[int, int]]:
    """(numbers, copies) of every tensor that is trained: all weights, or A (r, d_in) and B (d_out,
    r) of every target.
    """
    if s.method == "full":
        return [*m.others, *((d_out * d_in, m.layers) for d_out, d_in in m.sides.values())]
    return [(s.rank * side, m.layers) for name in picked(s, m) for side in m.sides[name]]


def trained_width(s: Step) -> int:
    """Bytes of one trained number."""
    return width(s.dtype if s.method == "full" else s.adapter_dtype)


def picked(s: Step, m: Sizes) -> list[str]:
    """The ends of the names that the adapter targets."""
    if s.method == "full":
        return []
    ends = [name.rpartition(".")[2] for name in lora.choose_layers(m.places, s.targets)]
    lora.check_rank(s.rank, min(min(m.sides[end]) for end in ends))
    return ends


def quant_state(numbers: int, double: bool) -> int:
    """bitsandbytes' NF4 state of one weight: a float32 absmax for 64 numbers and a table of 16.

    With double quantization absmax has 8 bits, with a float32 for 256 of them, one offset and a
    table of 256 (Dettmers et al. 2023, §3): 8/64 + 32/(64 · 256) = 0.127 bits a number instead of
    32/64 = 0.5.
    """
    blocks = numbers / 64
    if not double:
        return round_up(4 * blocks) + round_up(4 * 16)
    return (
        round_up(blocks)
        + round_up(4 * blocks / 256)
        + round_up(4 * 16)
        + round_up(4)
        + round_up(4 * 256)
    )


def optimizer_state(numbers: int, own: int, optimizer: str) -> int:
    """Adam's two moments of one tensor: in its own dtype, or in 8 bits with a float32 for 256
    numbers; torch counts steps besides.
    """
    if optimizer in ("adamw", "adamw_foreach"):
        return 2 * round_up(own * numbers) + UNIT
    if numbers < 4096:
        return 2 * round_up(4 * numbers)
    return 2 * (round_up(numbers) + round_up(4 * -(-numbers // 256)))


def bytes_kept(s: Step, m: Sizes) -> dict[str, int]:
    """Bytes a token that one layer keeps for its backward pass, by tensor.

    norms: the float32 copy and one factor a row (and the normalised row where the norm's weight is
    trained).
    attention: q, k, v as they enter the kernel, its output and a float32 a head; eager keeps the
    probabilities, seq a head.
    mlp: gate, its activation, up. inputs, down_input: what linear layers whose weight or adapter is
    trained were given: one for layers that share it, a copy for each where a cast stands between.
    low_rank: A x, r a target.
    """
    R, c, a, M = s.stream, s.compute, width(s.adapter_dtype), linear_output(s)
    heads_width = c if s.autocast else R
    ends = picked(s, m)

    def inputs(names: tuple[str, ...], wide: int, own: int, saved: bool = False) -> int:
        """`saved`: the tensor is kept anyway, by what made it."""
        if s.method == "full":
            n, cast, copy = len(set(names) & set(m.sides)), bool(s.autocast) and own != c, c
        else:
            n, cast, copy = len(set(names) & set(ends)), casts(s, own), c if s.autocast else a
        return n * wide * copy if cast else bool(n and not saved) * wide * own

    attention = heads_width * 2 * (m.q + m.kv) + 4 * m.heads
    if s.attention == "eager":
        repeated = 2 * (m.q if m.kv != m.q else m.kv)  # keys and values once for every query head
        attention = heads_width * (2 * m.q + repeated) + probability(heads_width) * m.heads * s.seq
    if m.fused and heads_width == M:
        attention += M * (
            m.q + m.kv
        )  # the values are a view that keeps queries and keys alive, unless autocast copies them
    kernels_own = (
        not m.fused or s.attention == "eager"
    )  # else the output projection is given a rearranged copy of it
    normalised = (4 if m.gemma else R) if s.method == "full" else 0
    return {
        "norms": m.norms * (m.h * (4 + normalised) + 4)
        + m.qk * (4 + normalised)
        + 8 * m.heads * bool(m.qk),
        "attention": attention,
        "mlp": 3 * M * m.f,
        "inputs": inputs(("q_proj", "k_proj", "v_proj", "qkv_proj"), m.h, R)
        + inputs(("gate_proj", "up_proj", "gate_up_proj"), m.h, R)
        + inputs(("o_proj",), m.q, heads_width, saved=kernels_own),
        "down_input": inputs(("down_proj",), m.f, M),
        "low_rank": len(ends) * s.rank * (c if s.autocast else a),
    }


def probability(heads_width: int) -> int:
    """Bytes of one attention probability: float32 out of the softmax, and a copy where the kernel
    that follows takes 16 bits.
    """
    return 4 if heads_width == 4 else 4 + heads_width


def linear_output(s: Step) -> int:
    """Bytes of one number that a linear layer gives; bitsandbytes' gives what it was given."""
    return s.stream if s.method == "qlora" else s.compute


def casts(s: Step, own: int) -> bool:
    """Whether an adapter gets a copy of an input whose numbers have `own` bytes.

    peft casts it to the adapter's dtype, but on a quantized base leaves that to autocast.
    """
    a = width(s.adapter_dtype)
    if s.autocast and s.method == "qlora":
        return own != s.compute
    return a != own or bool(s.autocast and a != s.compute)


def moments(s: Step, m: Sizes, layer: dict[str, int]) -> dict[str, int]:
    """Bytes that the backward pass of one layer needs for a moment beside what the layer keeps, at
    each place where that can peak.
    """
    R, c, M, T = s.stream, s.compute, linear_output(s), s.tokens
    down = layer["down_input"]
    cut = (
        3 * M * m.f + down + 4 * m.h
    )  # what belongs to the MLP and its norm is gone when attention's turn comes
    heads_width = c if s.autocast else R
    weight = (
        round_up(c * m.f * m.h * (2 if m.fused else 1)) + round_up(4 * m.f * m.h / 64)
        if s.method == "qlora"
        else 0
    )
    found = {
        # Three gradients as wide as the MLP: of the product and of its two factors.
        "mlp product": (3 * M * m.f - down + R * m.h) * T,
        "down projection": (M * m.f + R * m.h) * T + weight,
        "attention": (4 * m.q + 2 * heads_width * (m.q + m.kv) + 2 * R * m.h - cut) * T,
    }
    if m.kv != m.q:
        found["attention"] += 2 * heads_width * m.q * T  # dK and dV for all heads
    if s.attention == "eager":
        # The probabilities, their gradient, its product with them and the result, all float32.
        found["attention"] = ((16 - probability(heads_width)) * m.heads * s.seq - cut) * T
    if s.checkpointing and "down_proj" in picked(s, m) and s.method == "lora" and casts(s, M):
        found["cast of the product"] = ((M + width(s.adapter_dtype)) * m.f + 5 * R * m.h) * T
    if m.post:
        found["norm behind the mlp"] = (5 * 4 + R) * m.h * T
    return found


def loss_bytes(s: Step, m: Sizes) -> tuple[int, int]:
    """What head and loss need at most in the forward and in the backward pass.

    In transformers 10 and 12 bytes for every token and word of the vocabulary: the logits in 16
    bits and in float32 and their log-softmax; that, and two gradients of its size. held: the 16-bit
    logits stay besides. tiled: one tile of logits, and in the backward pass the gradients of hidden
    states and of a trained head in float32.
    """
    R, c, V, T = s.stream, s.compute, m.vocab, s.tokens
    if s.loss == "tiled":
        rows, columns = TILE
        trained = (4 + (R if R < 4 else 0)) * V * m.h if s.method == "full" else 0
        # Where a cast stands between: a chunk of the hidden states, and two tiles' rows of the
        # head.
        cast = c * (min(V, 2 * columns) + min(T, rows)) * m.h if R != c else 0
        tile = c * min(T, rows) * columns + R * m.h * T
        return tile + cast + R * m.h * T, tile + cast + (
            4 + (R if R < 4 else 0)
        ) * m.h * T + trained
    besides = held_logits(s, m) + (c * V * T if m.capped else 0) + (c * V * m.h if R != c else 0)
    return (8 + (c if c < 4 else 0)) * V * T, 12 * V * T + besides


def held_logits(s: Step, m: Sizes) -> int:
    """The logits that a loop keeps alive through the backward pass when it holds the model's
    `outputs`.
    """
    return s.compute * m.vocab * s.tokens if s.loss == "held" else 0


def phases_of(s: Step, m: Sizes) -> dict[str, dict[str, int]]:
    """The bytes beside `standing` at the peak of each phase of the step."""
    R, T, layer = s.stream, s.tokens, bytes_kept(s, m)
    own = sum(layer.values()) * T  # of one layer
    alive = m.layers * (R * m.h * T if s.checkpointing else own)
    working = max(moments(s, m, layer).values()) + (
        own - (R * m.h * T if R == 4 else 0) if s.checkpointing else 0
    )
    gradients = total(trained_tensors(s, m), lambda n: trained_width(s) * n)
    head = trained_width(s) * m.vocab * m.h if s.method == "full" else 0
    casted = casted_weights(s, m)
    casted_now = casted // m.layers if s.checkpointing else casted
    final = (
        (
            4
            + (R if s.method == "full" else 0)
            + (R if s.method == "full" and s.loss != "tiled" else 0)
        )
        * m.h
        * T
    )
    # Of the lowest layer only the down projection has its gradient by then.
    missing = (
        trained_width(s) * (sum(a * b for a, b in m.sides.values()) - m.f * m.h)
        if s.method == "full"
        else 0
    )
    logits = held_logits(s, m)
    # The embedding's output is a leaf of the graph where an adapter is trained, and stays;
    # checkpointing counts it as an input.
    leaf = R * m.h * T if s.method != "full" and not s.checkpointing else 0
    forward, backward = loss_bytes(s, m)
    return {
        "loss, forward": {"activations": alive + leaf + final + casted, "logits": forward},
        "loss, backward": {
            "activations": alive + leaf + final + (0 if s.checkpointing else casted),
            "logits": backward,
        },
        "backward, top layer": {
            "activations": alive + working + casted_now,
            "gradients": head,
            "logits": logits,
        },
        "backward, bottom layer": {
            "activations": alive // m.layers + working + casted_now,
            "gradients": gradients - missing - head,
            "logits": logits + (head if m.tied else 0),
        },
        "backward, end": {
            "activations": R * m.h * T,
            "gradients": gradients,
            "logits": logits + (head if m.tied else 0),
        },
        "optimizer": {
            "gradients": gradients,
            "activations": gradients if s.optimizer == "adamw_foreach" else 0,
        },
    }


def casted_weights(s: Step, m: Sizes) -> int:
    """Bytes of the copies that autocast makes of trained matrices in the layers, and keeps until
    the forward pass ends.
    """
    if not s.autocast or trained_width(s) == s.compute:
        return 0
    if s.method == "full":
        return s.compute * m.layers * sum(a * b for a, b in m.sides.values())
    return s.compute * sum(n * copies for n, copies in trained_tensors(s, m))


def predict(source, **options) -> Ledger:
    """The `Ledger` of one training step by formula: the standing parts and the largest of six
    phases.

    source: what `architecture.read` takes: a name in data/configs, a config.json, a directory, a
    hub id, a config, a model.
    options: the fields of `Setting`: method, rank, targets, seq, batch, checkpointing, dtype,
    adapter_dtype, attention, optimizer, double_quant, kbit_prepare, loss, autocast, device.
    """
    s = make_step(source, **options)
    m = sizes(s.config)
    base = standing_bytes(s, m)
    phases = phases_of(s, m)
    below = sum(base.values())
    sums = {phase: below + sum(parts.values()) for phase, parts in phases.items()}
    top = max(sums, key=sums.__getitem__)
    return Ledger(s, "formula", top, {**base, **phases[top]}, sums, sums[top])
