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
from ..core.errors import UserError, is_number, is_whole

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    Source = str | Path | dict | PreTrainedModel  # what `models.architecture.read` takes

# What configs call the longest row.
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
# Families whose layers differ though their weights do not: one in four leaves the rotation out.
MIXED = ("smollm3",)


class NotModelled(UserError):
    """An architecture that the formula does not know; a trace does, but for mixtures of experts."""


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
        """Every weight of the model: by arithmetic, or off the model on the meta device.

        Raises UserError for what no causal language model can be built from.
        """
        if models.architecture.is_known(self.config):
            return models.architecture.shapes(self.config)
        return models.list_weights(models.skeleton(self.config))

    @cached_property
    def sizes(self) -> "Sizes":
        """The `Sizes` of a dense decoder of the Llama family; UserError for any other."""
        return read_sizes(self)

    @cached_property
    def language(self) -> dict:
        """The config of the part that reads and writes text: "text_config" where there is one."""
        inner = self.config.get("text_config")
        return inner if isinstance(inner, dict) else self.config

    @property
    def positions(self) -> int | None:
        """Tokens of the longest row that the model takes; None where the config is silent.

        Where positions are stretched, as YaRN does it, that is factor times the original.
        """
        stated = next((self.language[key] for key in POSITIONS if self.language.get(key)), None)
        stretched = self.language.get("rope_scaling") or self.language.get("rope_parameters")
        if not is_whole(stated) or not isinstance(stretched, dict):
            return stated if is_whole(stated) else None
        factor = stretched.get("factor")
        original = stretched.get("original_max_position_embeddings")
        if is_number(factor) and is_number(original):
            return max(stated, int(factor * original))
        return stated

    @property
    def depth(self) -> int:
        """The number of layers."""
        return self.language[self.depth_key]

    @cached_property
    def depth_key(self) -> str:
        """What the config calls the number of layers."""
        names = models.architecture.LAYERS
        for key in names:
            if is_whole(self.language.get(key)):
                return key
        raise UserError(
            f"the config of {self.name} does not say how many layers there are; "
            f"give it one of {', '.join(names)}."
        )

    @cached_property
    def alike(self) -> bool:
        """Whether all layers do the same; hybrids have layers of several kinds."""
        if self.language.get("model_type") in MIXED:
            return False
        # a vision tower is another stack of layers, of its own depth
        stacks: dict[str, set[tuple[int, ...]]] = {}
        for weight in self.weights:
            stack, _, inside = weight.name.partition(".*.")
            if inside:
                stacks.setdefault(stack, set()).add(weight.layers)
        deep = (kinds for kinds in stacks.values() if self.depth == 1 + max(map(max, kinds)))
        return all(len(kinds) == 1 for kinds in deep)

    def at_depth(self, layers: int) -> "Architecture":
        """The same architecture with its first `layers` layers alone."""
        if layers not in self.cut:
            self.cut[layers] = self.make_cut(layers)
        return self.cut[layers]

    @cached_property
    def cut(self) -> "dict[int, Architecture]":
        """{layers: the architecture with so many}, each made once."""
        return {}

    def make_cut(self, layers: int) -> "Architecture":
        """What `at_depth` hands out: what the config says layer by layer is cut as well."""
        depth = self.depth
        language = {
            key: value[:layers] if isinstance(value, list) and len(value) == depth else value
            for key, value in self.language.items()
        }
        language[self.depth_key] = layers
        nested = self.language is not self.config
        config = {**self.config, "text_config": language} if nested else language
        return dataclasses.replace(self, config=config)

    def refuse_experts(self) -> None:
        """Raise NotModelled for a mixture of experts.

        Which experts a token goes to decides its memory, and nothing here knows that.
        """
        if any(weight.kind == "expert" or ".experts." in weight.name for weight in self.weights):
            raise NotModelled(
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
    biases: frozenset[str]  # the linear layers of a block that have one
    others: tuple[Tensors, ...]  # every weight that is no linear layer of a block
    normed_before: bool  # a norm before attention and one before the MLP
    normed_behind: bool  # one behind each
    normed_heads: bool  # norms on queries and keys
    fused: bool  # qkv_proj and gate_up_proj in place of five matrices
    tied: bool  # the head is the embedding
    capped: bool  # Gemma 2 bounds its logits by a tanh

    @property
    def head(self) -> int:
        """Numbers per token of one head."""
        return self.query // self.heads

    @property
    def linear(self) -> list[Tensors]:
        """The linear layers of all blocks."""
        return [Tensors(d_out * d_in, self.layers) for d_out, d_in in self.sides.values()]


def refuse_other_families(family: str) -> None:
    """Raise NotModelled for a family that the formula does not know; nothing is built to tell."""
    if family not in models.architecture.DECODERS:
        raise NotModelled(
            f"the formula knows the Llama family, and model_type is {family!r}; "
            "trace it: --trace, or memory.trace()."
        )


def read_sizes(architecture: Architecture) -> Sizes:
    """What the formula needs to know of an architecture; UserError for what it does not model."""
    config = architecture.config
    refuse_other_families(config["model_type"])
    architecture.refuse_experts()
    weights = architecture.weights
    by_part = {weight.part: weight for weight in weights}

    # The output projection leads from all query heads back to the residual stream.
    output, down = by_part["self_attn.o_proj"], by_part["mlp.down_proj"]
    if fused := by_part.get("self_attn.qkv_proj"):
        key = (fused.d_out - output.d_in) // 2
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
        biases=frozenset(part.split(".")[1] for part in by_part if part.endswith("_proj.bias")),
        others=tuple(Tensors(weight.d_out * weight.d_in, weight.copies) for weight in others),
        normed_before="input_layernorm" in by_part,
        normed_behind="post_feedforward_layernorm" in by_part,
        normed_heads="self_attn.q_norm" in by_part,
        fused=fused is not None,
        tied=not any(weight.kind == "head" for weight in weights),
        capped=bool(config.get("final_logit_softcapping", config["model_type"] == "gemma2")),
    )
