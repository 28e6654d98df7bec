"""An architecture as a training step needs it: its config, and the sizes read off it, once.

    read_architecture(source)    an `Architecture`: name, config, weights, depth, positions
    architecture.sizes           the widths that the formula multiplies

A `Step` carries its architecture along, so that a step at other lengths or batch sizes reads no
config again. The weights themselves are `models.architecture`'s business; what a step makes of the
sizes is `formula.py`'s. Notebook 04.
"""

import dataclasses
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .. import models
from ..core.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    Source = str | Path | dict | PreTrainedModel  # what `models.architecture.read` takes

# What configs call the longest row, and the number of layers.
POSITIONS = ("max_position_embeddings", "n_positions")
LAYERS = ("num_hidden_layers", "n_layer")


class Tensors(NamedTuple):
    """Tensors of one size: how many numbers each has, and how many of them there are."""

    numbers: int
    copies: int


@dataclass(frozen=True, eq=False)
class Architecture:
    """A model's config and the name that it was asked for by; two are equal if they are the same.

    What is derived from the config is derived once.
    """

    name: str
    config: dict = field(repr=False)

    @cached_property
    def weights(self) -> "list[models.architecture.Weight]":
        """Every weight of the model. Raises UserError for a family that is not known."""
        return models.architecture.shapes(self.config)

    @cached_property
    def sizes(self) -> "Sizes":
        """The `Sizes` of a dense decoder of the Llama family; UserError for any other."""
        return read_sizes(self)

    @property
    def positions(self) -> int | None:
        """Tokens of the longest row that the model takes; None where the config is silent."""
        return next((self.config[key] for key in POSITIONS if self.config.get(key)), None)

    @property
    def depth(self) -> int:
        """The number of layers."""
        return next(self.config[key] for key in LAYERS if self.config.get(key))

    def at_depth(self, layers: int) -> "Architecture":
        """The same architecture with its first `layers` layers alone."""
        key = next(key for key in LAYERS if self.config.get(key))
        config = {**self.config, key: layers}
        if config.get("layer_types"):
            config["layer_types"] = config["layer_types"][:layers]
        return dataclasses.replace(self, config=config)

    def refuse_experts(self) -> None:
        """Raise UserError for a mixture of experts.

        Which experts a token goes to decides its memory, and nothing here knows that.
        """
        if any(weight.kind == "expert" for weight in self.weights):
            raise UserError(
                f"{self.config['model_type']!r} is a mixture of experts, whose memory depends on "
                "the routing; give a dense model."
            )


def read_architecture(source: "Source") -> Architecture:
    """The `Architecture` that `source` means: a name, a file, a directory, a config or a model."""
    if isinstance(source, str):
        return read_named(source)
    config = models.architecture.read(source)
    name = config.get("_name_or_path") or config.get("model_type", "a config")
    return Architecture(str(name), config)


@cache
def read_named(name: str) -> Architecture:
    """The architecture of a name, read once: a slider asks often."""
    return Architecture(name, models.architecture.read(name))


@dataclass(frozen=True)
class Sizes:
    """The widths of a decoder of the Llama family, read off its weights."""

    hidden: int  # numbers per token in the residual stream
    query: int  # of all query heads
    key: int  # of all key heads, and of all value heads
    inner: int  # inside the MLP
    heads: int  # query heads
    layers: int
    vocab: int
    sides: dict[str, tuple[int, int]]  # {linear layer of a block: (d_out, d_in)}, "q_proj" say
    linear_names: tuple[str, ...]  # the full names of those layers in the first block
    others: tuple[Tensors, ...]  # every weight that is no linear layer of a block
    norms: int  # on the residual stream, in one layer
    normed_heads: int  # numbers per token of queries and keys that a norm is on; 0 without
    fused: bool  # qkv_proj and gate_up_proj in place of five matrices
    tied: bool  # the head is the embedding
    norms_in_float32: bool  # Gemma multiplies by the norm's weight in float32
    capped: bool  # Gemma 2 bounds its logits by a tanh
    norm_behind_mlp: bool  # a norm behind attention and MLP

    @property
    def linear_numbers(self) -> int:
        """The numbers in the linear layers of one block."""
        return sum(d_out * d_in for d_out, d_in in self.sides.values())

    @property
    def linear(self) -> list[Tensors]:
        """The linear layers of all blocks."""
        return [Tensors(d_out * d_in, self.layers) for d_out, d_in in self.sides.values()]


def read_sizes(architecture: Architecture) -> Sizes:
    """What the formula needs to know of an architecture; UserError for what it does not model."""
    architecture.refuse_experts()
    config, weights = architecture.config, architecture.weights
    by_part = {weight.part: weight for weight in weights}
    if "self_attn.o_proj" not in by_part:
        raise UserError(
            f"the formula knows the Llama family, and model_type is {config['model_type']!r}; "
            "trace it: --trace, or memory.trace()."
        )

    # The output projection leads from all query heads back to the residual stream.
    output, down = by_part["self_attn.o_proj"], by_part["mlp.down_proj"]
    if fused := "self_attn.qkv_proj" in by_part:
        key = (by_part["self_attn.qkv_proj"].d_out - output.d_in) // 2
    else:
        key = by_part["self_attn.k_proj"].d_out

    # The embedding comes first, and its rows are the vocabulary.
    linear = [weight for weight in weights if weight.kind == "linear"]
    others = [weight for weight in weights if weight.kind != "linear"]
    return Sizes(
        hidden=output.d_out,
        query=output.d_in,
        key=key,
        inner=down.d_in,
        heads=config["num_attention_heads"],
        layers=len(down.layers),
        vocab=weights[0].d_out,
        sides={weight.part.rpartition(".")[2]: (weight.d_out, weight.d_in) for weight in linear},
        linear_names=tuple(weight.name.replace("*", "0") for weight in linear),
        others=tuple(Tensors(weight.d_out * weight.d_in, weight.copies) for weight in others),
        norms=sum(weight.part.endswith("layernorm") for weight in weights),
        normed_heads=output.d_in + key if "self_attn.q_norm" in by_part else 0,
        fused=fused,
        tied=not any(weight.kind == "head" for weight in weights),
        norms_in_float32=config["model_type"].startswith("gemma"),
        capped=bool(config.get("final_logit_softcapping")),
        norm_behind_mlp="post_feedforward_layernorm" in by_part,
    )
