"""A model without its memory: transformers' own modules on the meta device, every shape there.

    skeleton(source)        the model that transformers builds from a config
    language_part(config)   the part of a config that is a causal language model
    list_weights(model)     every weight of a model, as `architecture.shapes` gives it

For the families that `architecture.py` does not know by arithmetic, and to hold it to the truth
where it does. Seconds instead of milliseconds: torch and transformers are imported. Nothing is
downloaded but a config, and code that a config brings along is never run.
"""

import copy
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.configuration_auto import (
    CONFIG_MAPPING_NAMES,  # type: ignore[reportPrivateImportUsage] there is no public one
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)
from transformers.pytorch_utils import Conv1D

from ..core.errors import UserError, nearest, reason
from .architecture import Kind, Weight, check_config, read

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

# Keys of a config that choose how a model computes, or where its code lies, and no shape.
NO_SHAPES = ("model_type", "auto_map", "attn_implementation", "quantization_config")


def skeleton(source: "dict | str | Path | PreTrainedModel") -> "PreTrainedModel":
    """The real model on the meta device: transformers' own modules, every shape and no memory.

    source: as in `architecture.read`; of a model that also sees or hears, what transformers takes
    for a causal language model, which is `language_part`. Raises UserError for a config that
    transformers refuses, and for a model that predicts no next token.
    """
    config = language_part(read(source))
    family, inner = config["model_type"], config.get("text_config")
    check_config(config)
    if isinstance(inner, dict):
        check_config({"model_type": family, **inner})
    # nothing of where the kit got the config from; transformers writes into what lies inside
    keys = {k: v for k, v in config.items() if k not in NO_SHAPES and not k.startswith("_")}
    keys = copy.deepcopy(keys)
    try:
        built = AutoConfig.for_model(family, **keys)
        refuse_encoder(built)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(built)
    except UserError:
        raise
    except Exception as error:  # a wrong value fails wherever transformers first computes with it
        raise UserError(
            f"transformers can't build a {family!r} from this config ({reason(error)}); "
            "check its keys."
        ) from error


def language_part(config: dict) -> dict:
    """The config itself where transformers has its family as a causal language model, else its
    "text_config", where that is one.

    Raises UserError for a model that has neither, such as T5 or a ViT, and for an unknown family.
    """
    family, inner = config["model_type"], config.get("text_config")
    if family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return config
    inside = inner.get("model_type") if isinstance(inner, dict) else None
    if isinstance(inner, dict) and inside in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return inner
    if family in CONFIG_MAPPING_NAMES:
        raise UserError(
            f"transformers has no causal language model of the family {family!r}, the only kind "
            "that is tuned here; give one that predicts the next token, such as a 'llama'."
        )
    own_code = ""
    if config.get("auto_map"):
        own_code = "; its config brings code along (auto_map), which is never run here"
    raise UserError(
        f"transformers knows no model_type {family!r}{own_code}; check its spelling, or update "
        f"transformers.{nearest(family, CONFIG_MAPPING_NAMES)}"
    )


def refuse_encoder(built: "PreTrainedConfig") -> None:
    """Raise UserError for a model that reads the whole text before it writes.

    transformers makes a causal model of its decoder, or of an encoder that sees what follows.
    """
    family = built.model_type
    if getattr(built, "is_encoder_decoder", False):
        kind = "an encoder with a decoder"
    elif family in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(built, "is_decoder", True):
        kind = "an encoder (its config has no is_decoder: true)"
    else:
        return
    raise UserError(
        f"{family!r} is {kind}, no causal language model, the only kind that is tuned here; "
        "give one that predicts the next token, such as a 'llama'."
    )


def list_weights(model: "PreTrainedModel") -> list[Weight]:
    """Every weight of a model, as `architecture.shapes` gives it for the families that it knows.

    The sum of their `numel` is the model's number of parameters. Weights that differ in the number
    of their layer alone are one `Weight`, unless they differ in shape.
    """
    # by name and shape; * is the first number of a name, which is the layer's
    alike: dict[tuple, list[int]] = {}
    head = model.get_output_embeddings()
    for name, parameter in model.named_parameters():
        owner, _, leaf = name.rpartition(".")
        module = model.get_submodule(owner)
        kind = "head" if module is head and leaf == "weight" else kind_of(module, name, parameter)
        d_out, d_in, each = sides_of(parameter, kind)
        if kind not in ("bias", "expert"):
            name = name.removesuffix(".weight")
        pattern, layer = star(name)
        layers = alike.setdefault((pattern, d_out, d_in, kind, each), [])
        layers += layer
    return [
        Weight(pattern, d_out, d_in, kind, tuple(layers), each)
        for (pattern, d_out, d_in, kind, each), layers in alike.items()
    ]


def star(name: str) -> tuple[str, list[int]]:
    """A name with * for its first number, and that number: ("h.*.attn.c_attn", [3])."""
    parts = name.split(".")
    for place, part in enumerate(parts):
        if part.isdigit():
            return ".".join([*parts[:place], "*", *parts[place + 1 :]]), [int(part)]
    return name, []


def kind_of(module: torch.nn.Module, name: str, parameter: torch.nn.Parameter) -> Kind:
    """What a parameter of a module is, by the module and by its name."""
    leaf = name.rpartition(".")[2]
    if leaf.endswith("bias"):
        return "bias"
    for kind, classes in MODULES.items():
        if isinstance(module, classes):
            return kind
    if parameter.ndim == 3 and ("expert" in name or "moe" in name):
        return "expert"
    if parameter.ndim == 1:
        return "norm"
    return "router" if parameter.ndim == 2 and "gate" in name.split(".")[-2:] else "other"


MODULES: dict[Kind, type] = {
    "linear": torch.nn.Linear,
    "conv1d": Conv1D,
    "embedding": torch.nn.Embedding,
}


def sides_of(parameter: torch.nn.Parameter, kind: Kind) -> tuple[int, int, int]:
    """(d_out, d_in, matrices) of a parameter; a vector is d_out × 1."""
    shape = tuple(parameter.shape)
    if kind == "conv1d":
        return shape[1], shape[0], 1
    if kind == "expert" and len(shape) == 3:
        return shape[1], shape[2], shape[0]
    return (shape[0] if shape else 1), math.prod(shape[1:]), 1
