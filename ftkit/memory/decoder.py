"""A training step of a decoder on sizes, operation by operation: what the formula adds up.

    Decoder(step, layers, account).train()     one whole step
    decoder.layer(number, around, hidden)      one layer's forward pass

It follows the code of transformers, peft, bitsandbytes and TRL: a variable here stands for a tensor
there, and lives as long, so the order of lines and every `del` matter. What an operation keeps and
makes is `autograd.py`'s; `formula.py` asks for the peaks. Without torch. Notebook 04.
"""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from .autograd import FLOAT32, WIDTHS, Account, Autograd, Leaf, Tensor
from .step import TILE_TOKENS, TILE_WORDS, Step

NF4_BLOCK = 64  # numbers that share a scale
# The phases of a step, in order.
FORWARD, LOSS, LOSS_BACKWARD = "forward", "loss, forward", "loss, backward"
TOP, MIDDLE = "backward, top layer", "backward, middle layers"
BOTTOM, END = "backward, bottom layer", "backward, end"
OPTIMIZER = "optimizer"
# Of so many layers the last looks at the whole row, and the others at a window.
WINDOWS = {"gemma2": 2, "gemma3_text": 6}
PADDED = 1  # one label more per row, by which labels are shifted


class Surroundings(NamedTuple):
    """What the layers of one kind are given besides the residual stream."""

    mask: Tensor | None
    cos: Tensor
    sin: Tensor


def pieces(whole: int, most: int) -> Iterator[int]:
    """`whole` in pieces of `most` and a rest; of many equal ones two are enough."""
    full, rest = divmod(whole, most)
    yield from [most] * min(full, 2)
    if rest:
        yield rest


class Decoder:
    """A decoder of the Llama family with so many layers, on sizes."""

    def __init__(self, step: Step, layers: int, account: Account):
        self.step, self.sizes, self.layers = step, step.sizes, layers
        self.account = account
        self.run = Autograd(account, step.autocast)
        self.weights: dict[object, Tensor] = {}
        self.model_type = step.architecture.config["model_type"]
        self.gemma = self.model_type.startswith("gemma")
        self.kinds = self.kinds_of_layers()

    def weight(self, name: object, numbers: int, dtype: str, *, trains: bool) -> Tensor:
        """A weight, the same one whenever it is asked for."""
        if name not in self.weights:
            self.weights[name] = Tensor(numbers, dtype, None, Leaf() if trains else None)
        return self.weights[name]

    def other(self, name: object, numbers: int) -> Tensor:
        """A weight of a norm, the embedding or the head, or a bias."""
        trains = self.step.method == "full"
        return self.weight(name, numbers, self.step.stream_dtype, trains=trains)

    # The whole step.

    def train(self) -> None:
        """One step: forward, loss, backward, optimizer."""
        step, account = self.step, self.account
        account.enter(FORWARD)
        ids = self.run.empty(step.tokens, "int64")
        loss, held = self.loss(ids)
        self.run.copies.clear()
        account.enter(LOSS_BACKWARD)
        self.run.backward(loss)
        del loss, held
        account.enter(OPTIMIZER)
        # torch's older kernel makes another tensor for each gradient.
        if step.optimizer == "adamw_foreach":
            account.take_briefly(account.alive["gradients"])

    def loss(self, ids: Tensor) -> tuple[Tensor, Tensor | None]:
        """The loss, and the logits if the loop holds them."""
        step, sizes, run = self.step, self.sizes, self.run
        hidden = self.body(ids)
        self.account.enter(LOSS)
        name = "embedding" if sizes.tied else "head"
        head = self.other(name, sizes.vocab * sizes.hidden)
        if step.loss == "tiled":
            return self.tiled_loss(hidden, head), None
        logits = self.apply(hidden, head, sizes.vocab, "head", "logits")
        if sizes.capped:
            logits = run.scale(logits)
            logits = run.tanh(logits)
            logits = run.scale(logits)
        loss = self.cross_entropy(logits)
        return loss, logits if step.loss == "held" else None

    def cross_entropy(self, logits: Tensor) -> Tensor:
        """transformers' loss: logits in float32, their log-softmax, and what is picked of it."""
        step, run = self.step, self.run
        logits = run.cast(logits, FLOAT32)
        numbers = logits.numbers
        padded = run.empty(step.tokens + step.batch * PADDED, "int64")
        labels = padded if step.batch == 1 else run.empty(step.tokens, "int64")
        likelihoods = run.tanh(logits)  # as a tanh, a log-softmax keeps what it gives
        loss, count = run.empty(1, FLOAT32), run.empty(1, FLOAT32)
        kept = [likelihoods, labels, count]
        return run.record(
            [likelihoods], loss, lambda kept, grads: [run.empty(numbers, FLOAT32)], kept
        )

    def tiled_loss(self, hidden: Tensor, head: Tensor) -> Tensor:
        """TRL's fused head on a copy of the rows that have a next token."""
        step, sizes, run = self.step, self.sizes, self.run
        rows = step.batch * (step.seq - 1)
        numbers, dtype = rows * sizes.hidden, hidden.dtype
        place = run.empty(rows, "int64")
        row, column = run.empty(rows, "int64"), run.empty(rows, "int64")
        given = run.cut(hidden, numbers)
        chosen = run.record(
            [given],
            (numbers, dtype),
            lambda kept, grads: [run.empty(numbers, dtype)],
            [row, column],
        )
        del place, row, column
        return self.fused_head(chosen, head, rows)

    def fused_head(self, chosen: Tensor, head: Tensor, rows: int) -> Tensor:
        """The loss by tiles of logits, which the backward pass fills anew."""
        run = self.run
        sizes = [(x.numbers, x.dtype) for x in ([chosen, head] if head.node else [chosen])]
        dtypes = chosen.dtype, head.dtype

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor | None]:
            # Gradients add up in float32, and are cast at the end; the tile stays until then.
            sums = [run.empty(numbers, FLOAT32) for numbers, _ in sizes]
            tile = self.fill_tiles(rows, *dtypes)
            made = [
                x if dtype == FLOAT32 else run.empty(x.numbers, dtype)
                for x, (_, dtype) in zip(sums, sizes, strict=True)
            ]
            del tile
            return [*made, None][:2]

        # What TRL counts of every token: seven numbers.
        counts = [run.empty(rows, FLOAT32) for _ in range(7)]
        tile = self.fill_tiles(rows, *dtypes)
        del tile, counts
        return run.record([chosen, head], (1, FLOAT32), backward, [chosen, head])

    def fill_tiles(self, rows: int, dtype: str, head_dtype: str) -> Tensor:
        """The tile that all logits go through; pieces of rows and head are cast where need be."""
        sizes, run = self.sizes, self.run
        product = self.step.autocast or dtype
        tile = run.empty(min(TILE_TOKENS, rows) * TILE_WORDS, product)
        # Each piece is made while the one before is still there.
        x = W = None
        for some in pieces(rows, TILE_TOKENS):
            if dtype != product:
                x = run.empty(some * sizes.hidden, product)
            for words in pieces(sizes.vocab, TILE_WORDS):
                if head_dtype != product:
                    W = run.empty(words * sizes.hidden, product)
        del x, W
        return tile

    def body(self, ids: Tensor) -> Tensor:
        """Embeddings, layers, and the last norm."""
        step, run = self.step, self.run
        embeds = self.embed(ids)
        positions = run.empty(step.seq, "int64")
        around = self.surroundings(embeds)
        hidden = embeds
        phases = {0: BOTTOM, self.layers - 1: TOP}
        for number in range(self.layers):
            layer = partial(self.layer, number, around[number % self.kinds], hidden)
            hidden = run.checkpoint(layer) if step.checkpointing else layer()
            del layer
            if hidden.node:
                hidden.node.phase = phases.get(number, MIDDLE)
        hidden = self.norm("norm", hidden, self.sizes.hidden, step.tokens)
        del positions, embeds
        return hidden

    def embed(self, ids: Tensor) -> Tensor:
        """The embeddings; below an adapter they are where the gradient ends."""
        step, sizes, run = self.step, self.sizes, self.run
        numbers, dtype = step.tokens * sizes.hidden, step.stream_dtype
        words = sizes.vocab * sizes.hidden
        self.account.group = "norms"
        W = self.other("embedding", words)
        out = run.record(
            [W], (numbers, dtype), lambda kept, grads: [run.empty(words, dtype)], [ids]
        )
        # Gemma scales them.
        if self.gemma:
            out = run.scale(out)
        if step.method != "full":
            out.node = Leaf(out.storage)
        assert out.node is not None
        out.node.phase = END
        return out

    def surroundings(self, embeds: Tensor) -> list[Surroundings]:
        """What the layers of each kind are given, from the bottom layer up."""
        step, run = self.step, self.run
        self.account.group = "surroundings"
        # Masks, of which Gemma makes two whatever layers there are.
        count = 2 if self.model_type in WINDOWS else self.kinds
        masks: list[Tensor | None] = [None] * count
        if step.attention == "eager":
            size = step.batch * step.seq**2
            masks = [run.empty(size, embeds.dtype) for _ in range(count)]
        # Cosines and sines of every position, which OLMo 2 leaves in float32.
        size = step.seq * self.sizes.head
        dtype = FLOAT32 if self.model_type == "olmo2" else embeds.dtype
        pairs = self.kinds if self.model_type == "gemma3_text" else 1
        turns = [(run.empty(size, dtype), run.empty(size, dtype)) for _ in range(pairs)]
        return [Surroundings(mask, *turns[i % pairs]) for i, mask in enumerate(masks)]

    def kinds_of_layers(self) -> int:
        """2 where some layers look at a window and some at the whole row, by turns; else 1."""
        config = self.step.architecture.config
        if named := config.get("layer_types"):
            return len(set(named))
        every = config.get("sliding_window_pattern") or WINDOWS.get(self.model_type)
        windows = config.get("use_sliding_window") or (every and self.sizes.layers >= every)
        return 2 if windows else 1

    # One layer.

    def layer(self, number: int, around: Surroundings, hidden: Tensor) -> Tensor:
        """Attention and MLP, each added to the stream, with norms before them, behind or both."""
        sizes = self.sizes
        row = (sizes.hidden, self.step.tokens)
        stream = "norms" if sizes.normed_before else "inputs"

        # A weight of attention stays until the layer is done.
        residual = hidden
        if sizes.normed_before:
            hidden = self.norm((number, "before attention"), hidden, *row)
        hidden, weights = self.attention(number, around, hidden)
        if sizes.normed_behind:
            hidden = self.norm((number, "behind attention"), hidden, *row)
        self.account.group = stream
        hidden = self.run.add(residual, hidden)

        residual = hidden
        if sizes.normed_before:
            hidden = self.norm((number, "before mlp"), hidden, *row)
        hidden = self.mlp(number, hidden)
        if sizes.normed_behind:
            hidden = self.norm((number, "behind mlp"), hidden, *row)
        self.account.group = stream
        hidden = self.run.add(residual, hidden)
        del weights
        return hidden

    def norm(self, name: object, x: Tensor, width: int, rows: int) -> Tensor:
        """An RMSNorm of so many rows, computed in float32."""
        run, dtype = self.run, x.dtype
        self.account.group = "norms"
        weight = self.other(name, width)
        x = run.cast(x, FLOAT32)
        x = run.multiply(x, run.inverse_rms(x, rows))
        # Gemma multiplies by 1 + weight in float32, OLMo 2 by the weight.
        if self.gemma:
            x = run.multiply(x, run.clone(run.cast(weight, FLOAT32)))
        elif self.model_type == "olmo2":
            x = run.multiply(weight, x)
        else:
            narrow = run.cast(x, dtype)
            self.account.group = "inputs"
            return run.multiply(weight, narrow)
        self.account.group = "inputs"
        return run.cast(x, dtype)

    def attention(
        self, number: int, around: Surroundings, hidden: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Queries, keys and values, rotated; the kernel; the output projection."""
        q, k, v = self.projections(number, hidden)
        self.account.group = "attention"
        if self.rotates(number):
            q, k = self.rotate(q, around), self.rotate(k, around)
        if self.step.attention == "eager":
            out, weights = self.eager(q, k, v, around.mask)
        else:
            out, weights = self.fused(q, k, v), None
        return self.linear(number, "o_proj", out), weights

    def projections(self, number: int, hidden: Tensor) -> list[Tensor]:
        """Queries, keys and values of all heads, with their norms."""
        sizes, step = self.sizes, self.step
        self.account.group = "attention"
        # Heads come before positions in the kernel: at once, or when all three are there.
        at_once = not sizes.fused and self.model_type != "olmo2"
        if sizes.fused:
            whole = self.linear(number, "qkv_proj", hidden)
            widths = sizes.query, sizes.key, sizes.key
            three = [self.run.cut(whole, step.tokens * width) for width in widths]
            return [self.by_heads(name, x) for name, x in zip("qkv", three, strict=True)]
        three = []
        for name in "qkv":
            x = self.linear(number, f"{name}_proj", hidden)
            x = self.by_heads(name, x) if at_once else x
            if sizes.normed_heads and name != "v" and self.model_type != "gemma3_text":
                x = self.norm_heads(number, name, x)
            three.append(x)
        # OLMo 2 puts the heads first at the end, Gemma 3 norms them there.
        if not at_once:
            three = [self.by_heads(name, x) for name, x in zip("qkv", three, strict=True)]
        if self.model_type == "gemma3_text":
            q, k, v = three
            three = [self.norm_heads(number, "q", q), self.norm_heads(number, "k", k), v]
        return three

    def by_heads(self, name: str, x: Tensor) -> Tensor:
        """x with its heads before its positions; the way back is a copy but for flash's values."""
        heads = x.numbers // self.step.tokens // self.sizes.head
        as_it_is = name == "v" and self.step.attention != "eager"
        if as_it_is or self.step.seq == 1 or heads == 1:
            return x
        return self.run.view_copied_back(x)

    def norm_heads(self, number: int, name: str, x: Tensor) -> Tensor:
        """A norm on queries or keys, of every head or in OLMo 2 of all together."""
        tokens = self.step.tokens
        head = self.sizes.head
        width = x.numbers // tokens if self.model_type == "olmo2" else head
        return self.norm((number, name), x, width, x.numbers // width)

    def rotates(self, number: int) -> bool:
        """Whether a layer has a rotary embedding; in SmolLM3 every fourth has none."""
        if self.model_type != "smollm3":
            return True
        config = self.step.architecture.config
        # The top layer of a few stands for that of all.
        layer = self.sizes.layers - 1 if number == self.layers - 1 else number
        marks = config.get("no_rope_layers")
        if marks:
            return bool(marks[layer])
        return (layer + 1) % config.get("no_rope_layer_interval", 4) > 0

    def rotate(self, x: Tensor, around: Surroundings) -> Tensor:
        """The rotary embedding."""
        run, dtype = self.run, x.dtype
        self.account.group = "attention"
        if self.sizes.fused:
            rest = run.cut(x, 0)
            turned = run.add(
                run.multiply(x, around.cos), run.multiply(run.rotate_half(x), around.sin)
            )
            return run.join(turned, rest)
        x = run.add(run.multiply(x, around.cos), run.multiply(run.rotate_half(x), around.sin))
        return run.cast(x, dtype) if self.model_type == "olmo2" else x

    def fused(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """torch's flash attention, under autocast in its dtype."""
        run, step, sizes = self.run, self.step, self.sizes
        dtype = step.autocast or q.dtype
        q, k, v = run.cast(q, dtype), run.cast(k, dtype), run.cast(v, dtype)
        made = [(x.numbers, x.dtype) for x in (q, k, v)]
        out = run.empty(q.numbers, dtype)
        kept = [out, run.empty(sizes.heads * step.tokens, FLOAT32)]
        kept += [run.empty(2, "int64"), run.empty(1, "int64")]
        # A float32 sum of dQ with a number for each row; dK and dV for all heads, where they share.
        hidden = 4 * q.numbers + 4 * sizes.heads * step.tokens
        if sizes.query != sizes.key:
            hidden += 2 * q.numbers * WIDTHS[dtype]

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor | None]:
            gradients: list[Tensor | None] = [run.empty(*one) for one in made]
            run.take_hidden(hidden)
            return gradients

        out = run.record([q, k, v], out, backward, [q, k, v, *kept])
        del kept
        # It comes in the order of q, which is that of the output unless q was put together.
        return run.clone(out) if sizes.fused and step.seq > 1 else out

    def eager(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attention in Python: (its output, its weights), which are as long as a row is wide."""
        run, step, sizes = self.run, self.step, self.sizes
        config = step.architecture.config
        # Heads that share a key head have copies of it, or one view if there is no other. Those of
        # several rows are copied for a product, unless they were just made side by side.
        scattered = step.batch > 1 and step.seq > 1 and sizes.heads > 1
        alone, shared = sizes.key == sizes.head, sizes.key != sizes.query
        keys, values = (self.share(x) if shared else x for x in (k, v))
        by_itself = scattered and (alone or not shared)
        copied = (scattered and not sizes.fused, by_itself and not sizes.fused)
        size = sizes.heads * step.tokens * step.seq
        weights = run.scale(run.product(q, keys, size, copied))
        if self.model_type == "gemma2" and config.get("attn_logit_softcapping", 50.0):
            weights = run.scale(weights)
            weights = run.tanh(weights)
            weights = run.scale(weights)
        if mask:
            weights = run.add(weights, mask)
        weights = run.cast(run.softmax(run.cast(weights, FLOAT32)), q.dtype)
        out = run.product(weights, values, q.numbers, (False, by_itself))
        out = run.view_copied_back(out) if scattered else out
        out = run.clone(out)
        return out, weights

    def share(self, x: Tensor) -> Tensor:
        """Keys or values for every query head; a view if there is one head of them."""
        numbers, alone = self.sizes.query * self.step.tokens, self.sizes.key == self.sizes.head
        return self.run.repeat(x, numbers, in_place=alone)

    def mlp(self, number: int, hidden: Tensor) -> Tensor:
        """The gated MLP."""
        run, account = self.run, self.account
        account.group = "mlp"
        if self.sizes.fused:
            both = self.linear(number, "gate_up_proj", hidden)
            gate, up = run.halve(both)
            account.group = "mlp"
            gate = run.activate(gate)
            account.group = "down_input"
            up = run.multiply(up, gate)
            del gate
            return self.linear(number, "down_proj", up)
        gate = run.activate(self.linear(number, "gate_proj", hidden))
        up = self.linear(number, "up_proj", hidden)
        account.group = "down_input"
        product = run.multiply(gate, up)
        del gate, up
        return self.linear(number, "down_proj", product)

    # One linear layer. `given` and `made` name the groups of its copied input and of its output.

    def linear(self, number: int, name: str, x: Tensor) -> Tensor:
        """A linear layer of a block, and what its adapter adds."""
        run, step, account = self.run, self.step, self.account
        made, given = account.group, "down_input" if name == "down_proj" else "inputs"
        four_bits = step.method == "qlora"
        if four_bits:
            out = self.four_bit(name, x)
        else:
            out = self.plain(number, name, x, given, made)
        if step.method == "full" or name not in step.trained_layers:
            return out

        # peft copies what a 4-bit layer gives, and casts what A is given unless autocast does.
        dtype = out.dtype
        out = run.clone(out) if four_bits else out
        account.group = given
        x = x if four_bits and step.autocast else run.cast(x, step.trained_dtype)
        A, B = ((number, name, letter) for letter in "AB")
        d_out, d_in = self.sizes.sides[name]
        low = self.apply(x, self.trained(A, step.rank * d_in), step.rank, given, "low_rank")
        more = self.apply(low, self.trained(B, d_out * step.rank), d_out, "low_rank", made)
        more = run.scale(more)
        if four_bits and not step.autocast:
            more = run.cast(more, dtype)
        out = run.add(out, more)
        if not four_bits:
            del more
            out = run.cast(out, dtype)
        return out

    def trained(self, name: object, numbers: int) -> Tensor:
        """A matrix of an adapter."""
        return self.weight(name, numbers, self.step.trained_dtype, trains=True)

    def plain(self, number: int, name: str, x: Tensor, given: str, made: str) -> Tensor:
        """A linear layer whose weight is not quantized."""
        step, (d_out, d_in) = self.step, self.sizes.sides[name]
        trains = step.method == "full"
        W = self.weight((number, name), d_out * d_in, step.dtype, trains=trains)
        bias = None
        if name in self.sizes.biases:
            bias = self.other((number, name, "bias"), d_out)
        return self.apply(x, W, d_out, given, made, bias)

    def apply(
        self, x: Tensor, W: Tensor, d_out: int, given: str, made: str, bias: Tensor | None = None
    ) -> Tensor:
        """x Wᵀ, under autocast in its dtype."""
        self.account.group = given
        W, x = self.run.for_product(W), self.run.for_product(x)
        self.account.group = made
        return self.run.matmul(x, W, d_out, bias)

    def four_bit(self, name: str, x: Tensor) -> Tensor:
        """bitsandbytes' linear layer, which brings its weight back for each product."""
        run, step, given = self.run, self.step, x.dtype
        d_out, d_in = self.sizes.sides[name]
        numbers, scales = d_out * d_in, -(-d_out * d_in // NF4_BLOCK)
        x = run.cast(x, step.autocast or step.dtype)
        size, dtype, nested = x.numbers, x.dtype, step.double_quant
        # The scales, which double quantization has in 8 bits, and the weight.
        first = run.empty(scales, FLOAT32) if nested else None
        shifted = run.empty(scales, FLOAT32) if nested else None
        del first
        W = run.empty(numbers, dtype)
        out = run.empty(size // d_in * d_out, dtype)
        del shifted, W

        def backward(kept: list[Tensor], grads: list[Tensor]) -> list[Tensor | None]:
            # The weight comes back in the dtype that it was quantized from.
            shifted = run.empty(scales, FLOAT32) if nested else None
            W = run.empty(numbers, step.dtype)
            del shifted
            W = run.cast(W, dtype)
            return [run.empty(size, dtype)]

        return run.cast(run.record([x], out, backward), given)
