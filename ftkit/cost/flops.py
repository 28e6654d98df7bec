"""FLOPs of a training step and of an answer, by formula on an architecture's matrices.

    train_flops(source, **options)          one step: a `Work`, by place and by pass
    answer_flops(source, prompt, reply)     reading a prompt and writing a reply
    rule_of_thumb(source, tokens, method)   6 · N · tokens, or 4 for an adapter on a frozen base

A product of (m, k) and (k, n) is 2 · m · k · n FLOPs: each multiplication and each addition is one.
Only products count, as in torch's `FlopCounterMode`, to which tests hold the sums; norms, softmax
and the optimizer are left out. How long a machine takes is `estimates.py`'s. Notebook 14.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import memory
from ..core.errors import UserError, is_number, is_whole, nearest
from ..core.results import Result, TableParts

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    Source = str | Path | dict | PreTrainedModel  # what `models.architecture.read` takes

PLACES: tuple[str, ...] = ("blocks", "adapter", "attention", "head")
PASSES: tuple[str, ...] = (
    "forward",
    "forward again",
    "gradients of inputs",
    "gradients of weights",
)
# Of the products of one layer's attention: scores and their use forward; backward two for each, and
# with a kernel that keeps no scores these once more.
ATTENTION_FORWARD, ATTENTION_BACKWARD, KERNEL_BACKWARD = 2, 4, 5
# A block's linear layers in the order in which a row goes through them, by those that lie above.
UPSTREAM: dict[str, tuple[str, ...]] = {
    "o_proj": ("q_proj", "k_proj", "v_proj", "qkv_proj"),
    "up_proj": ("o_proj",),
    "gate_proj": ("o_proj",),
    "gate_up_proj": ("o_proj",),
    "down_proj": ("up_proj", "gate_proj", "gate_up_proj"),
}
RULE = {"full": 6, "lora": 4, "qlora": 4}  # FLOPs per parameter and token
AGAIN = 2  # more with checkpointing


@dataclass(frozen=True, repr=False)
class Work(Result):
    """FLOPs by place and by pass; their sum is `total`."""

    name: str
    tokens: int
    parts: Mapping[str, Mapping[str, int]]  # {place: {pass: FLOPs}}
    how: str = ""

    @property
    def total(self) -> int:
        """The sum, in FLOPs."""
        return sum(sum(row.values()) for row in self.parts.values())

    @property
    def per_token(self) -> float:
        """total / tokens."""
        return self.total / self.tokens

    def of_place(self, place: str) -> int:
        """FLOPs of one of PLACES."""
        return sum(self.parts.get(place, {}).values())

    def of_pass(self, name: str) -> int:
        """FLOPs of one of PASSES."""
        return sum(row.get(name, 0) for row in self.parts.values())

    def json(self) -> dict:
        """FLOPs: the parts, their total, and those per token."""
        parts = {place: dict(row) for place, row in self.parts.items()}
        return {
            "flops": self.total,
            "tokens": self.tokens,
            "per_token": self.per_token,
            "parts": parts,
        }

    def table(self) -> TableParts:
        """A line per place, a column per pass, in FLOPs with three digits."""
        passes = [name for name in PASSES if self.of_pass(name)]
        rows = []
        for place, row in self.parts.items():
            if any(row.values()):
                cells = [in_flops(row.get(name, 0)) for name in passes]
                rows.append((place, *cells, in_flops(sum(row.values()))))
        sums = [in_flops(self.of_pass(name)) for name in passes]
        rows.append(("all", *sums, in_flops(self.total)))
        title = f"{self.name}{', ' if self.how else ''}{self.how}: {in_flops(self.total)}"
        return title, ("FLOPs", *passes, "all"), rows


def in_flops(flops: float) -> str:
    """FLOPs in three digits and a unit: in_flops(2.4e13) is "24 TFLOP"; "–" for none."""
    if not flops:
        return "–"
    for unit in ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"):
        if flops < 999.5:
            return f"{flops:.3g} {unit}"
        flops /= 1000
    return f"{flops:,.3g} EFLOP"


def train_flops(source: "Source | memory.Step", **options: Any) -> Work:
    """The FLOPs of one training step of batch · seq tokens.

    source, options: as for `memory.predict`: method "full", "lora" or "qlora", rank, targets, seq,
    batch, checkpointing, attention. Of the matrices M of the blocks, per token (Kaplan et al. 2020,
    §2.1; Hu et al. 2021):

        forward 2M · gradients of inputs 2M · gradients of weights 2M, where they are trained

    The head is the same once more, an embedding is looked up for nothing, and attention takes
    4 · seq · width forward per layer and token, twice that and a fifth product of recomputed scores
    backward. Checkpointing runs the blocks forward again, but for the last product of each, which
    nothing waits for. Without it nothing goes back further than the first layer that trains.

    A 4-bit base multiplies as any other. Causal attention counts whole, though a kernel may leave
    half of it out; so does the head, which TRL asks for the tokens of answers alone. Raises
    UserError for a wrong option, and for all but dense decoders of the Llama family.
    """
    return count_step(read_step(source, **options))


def read_step(source: "Source | memory.Step", **options: Any) -> "memory.Step":
    """`memory.make_step`, for architectures and methods whose products are known here."""
    check_method(options.get("method", "lora"))
    smallest = memory.make_step(source, seq=1)  # which every model takes
    try:
        _ = smallest.sizes
    except memory.NotModelled as error:
        family = smallest.architecture.config.get("model_type")
        raise memory.NotModelled(
            f"FLOPs are counted for dense decoders of the Llama family, and {smallest.name} is of "
            f"another, {family!r}; give one of those, such as 'llama-3.1-8b'."
        ) from error
    return memory.make_step(source, **options)


def count_step(step: "memory.Step") -> Work:
    """`train_flops` of a checked step."""
    check_method(step.method)
    sizes, full = step.sizes, step.method == "full"
    needed = {part: count_needed(step, part) for part in sizes.sides}
    trained = set(step.trained_layers)

    # the matrices of all blocks, the adapters beside them, and the head
    blocks, adapter = dict.fromkeys(PASSES, 0), dict.fromkeys(PASSES, 0)
    for part, (d_out, d_in) in sizes.sides.items():
        forward = 2 * d_out * d_in * step.tokens
        add(blocks, step, forward, needed[part] * forward, full * forward)
        if part in trained and not full:
            a, b = (2 * step.rank * side * step.tokens for side in (d_in, d_out))
            back = needed[part] * a + sizes.layers * b
            add(adapter, step, a + b, back, a + b)
    last = adapter if "down_proj" in trained and not full else blocks
    last[PASSES[1]] -= step.checkpointing * last_product(step)
    forward = 2 * sizes.vocab * sizes.hidden * step.tokens
    head = {PASSES[0]: forward, PASSES[2]: forward, PASSES[3]: full * forward}

    # scores and what is mixed by them: each seq · width products for every token
    product = 2 * step.seq * sizes.query * step.tokens
    attention = dict.fromkeys(PASSES, 0)
    add(attention, step, ATTENTION_FORWARD * product, products_back(step) * product, 0)
    parts = {"blocks": blocks, "adapter": adapter, "attention": attention, "head": head}
    return Work(step.name, step.tokens, parts, how_of(step))


def check_method(method: str) -> None:
    """Refuse a method whose products are not counted."""
    if method not in RULE:
        raise UserError(
            f"FLOPs are counted for {', '.join(RULE)}, and method is {method!r}; another adapter "
            "on a frozen base takes what a LoRA does, but for its own few products."
            f"{nearest(method, RULE)}"
        )


def how_of(step: "memory.Step") -> str:
    """A step in a few words."""
    rank = "" if step.method == "full" else f" r {step.rank}"
    rows = f"{step.batch} × {step.seq:,} tokens"
    return f"{step.method}{rank}, {rows}, checkpointing {'on' if step.checkpointing else 'off'}"


def add(row: dict[str, int], step: "memory.Step", forward: int, back: int, weights: int) -> None:
    """Add the products of one kind of matrix to a place's passes.

    forward, weights: of one layer; back: gradients of inputs, of all layers that need them.
    """
    layers = step.sizes.layers
    row[PASSES[0]] += layers * forward
    row[PASSES[1]] += layers * forward * step.checkpointing
    row[PASSES[2]] += back
    row[PASSES[3]] += layers * weights


def products_back(step: "memory.Step") -> int:
    """Products of all layers' attention in the backward pass.

    In the first layer those alone that lead to what trains, which a kernel does not tell apart.
    """
    each = ATTENTION_BACKWARD if step.attention == "eager" else KERNEL_BACKWARD
    first = each if count_needed(step, "o_proj") == step.sizes.layers else 0
    everything = step.method == "full" or step.checkpointing or step.sizes.fused
    if first and step.attention == "eager" and not everything:
        q, k, v = (name in step.trained_layers for name in ("q_proj", "k_proj", "v_proj"))
        first = (q or k) + q + k + v
    return each * (step.sizes.layers - 1) + first


def last_product(step: "memory.Step") -> int:
    """The last product of every block: the down projection, or B of its adapter."""
    d_out, d_in = step.sizes.sides["down_proj"]
    adapted = step.method != "full" and "down_proj" in step.trained_layers
    return step.sizes.layers * 2 * d_out * (step.rank if adapted else d_in) * step.tokens


def count_needed(step: "memory.Step", part: str) -> int:
    """In how many layers the gradient of what a part is given is asked for.

    In all of them, but not in the first where nothing that trains lies above it; there too with
    checkpointing, for which the embeddings are told to ask for gradients.
    """
    layers = step.sizes.layers
    if step.method == "full" or step.checkpointing:
        return layers
    trained, waiting, above = set(step.trained_layers), [part], set()
    while waiting:
        for name in UPSTREAM.get(waiting.pop(), ()):
            above.add(name)
            waiting.append(name)
    return layers if above & trained else layers - 1


def rule_of_thumb(
    source: "Source", tokens: float, method: str = "lora", *, checkpointing: bool = False
) -> float:
    """6 · N · tokens for full fine-tuning, 4 · N · tokens where the N are frozen, in FLOPs.

    N: all parameters of the model. checkpointing: 2 · N · tokens more. The embedding counts though
    it multiplies nothing, and attention does not. Raises UserError for a mixture of experts, of
    whose parameters a token meets a few.
    """
    check_method(method)
    if not is_number(tokens) or tokens < 0:
        raise UserError(f"tokens is {tokens!r}; give a number from 0 on.")
    architecture = memory.make_step(source, seq=1).architecture
    if any(weight.kind == "expert" for weight in architecture.weights):
        raise UserError(
            f"{architecture.name} is a mixture of experts, of which a token meets a few, so its "
            "parameters say nothing of its FLOPs; give a dense model."
        )
    parameters = sum(weight.numel for weight in architecture.weights)
    return (RULE[method] + AGAIN * checkpointing) * parameters * tokens


def answer_flops(source: "Source", prompt: int, reply: int = 0) -> Work:
    """The FLOPs of reading a prompt and writing a reply with a cache of keys and values.

    prompt, reply: tokens. 2M per token for the matrices, 4 · context · width per layer for
    attention, whose context grows by one per token, and the head for each token of the reply.
    """
    for name, value in {"prompt": prompt, "reply": reply}.items():
        if not is_whole(value) or value < (name == "prompt"):
            first = 1 if name == "prompt" else 0
            raise UserError(f"{name} is {value!r}; give a whole number of tokens from {first} on.")
    step = read_step(source, seq=1)
    longest = step.architecture.positions
    if longest and prompt + reply > longest:
        raise UserError(
            f"prompt is {prompt:,} and reply {reply:,}; {step.name} has positions for {longest:,} "
            "tokens in all."
        )
    sizes = step.sizes
    matrices = 2 * sum(d_out * d_in for d_out, d_in in sizes.sides.values()) * sizes.layers
    per_pair = 4 * sizes.query * sizes.layers

    # the prompt at once, then token by token: the last token of a reply is not read any more
    read = max(0, reply - 1)
    pairs = prompt**2 + sum(prompt + i + 1 for i in range(read))
    parts = {
        "blocks": {PASSES[0]: matrices * (prompt + read)},
        "attention": {PASSES[0]: per_pair * pairs},
        "head": {PASSES[0]: 2 * sizes.vocab * sizes.hidden * reply},
    }
    return Work(step.name, prompt + reply, parts, f"{prompt:,} tokens in, {reply:,} out")
