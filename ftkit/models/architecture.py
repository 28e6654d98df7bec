"""Every weight of a published architecture, by arithmetic on its config.json.

    read(source)      the config of a name, a file, a hub id or a loaded model
    shapes(config)    every weight: name, d_out, d_in, kind, in which layers
    skeleton(source)  the same model built by transformers on the meta device, without memory
    names()           the architectures of data/configs

But for `skeleton` nothing is built, torch is not imported, and nothing is downloaded but a config.
What a LoRA adds to these shapes is `lora.count`'s business, their bytes `memory`'s (notebook 04).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..core.errors import UserError, is_whole, nearest
from ..core.files import data_path
from ..core.hub import call_hub

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Kind = Literal["linear", "conv1d", "embedding", "head", "norm", "bias", "expert", "router"]
Sides = dict[str, tuple[int, int]]  # {name of a matrix: (d_out, d_in)}


@dataclass(frozen=True)
class Weight:
    """One kind of weight: its shape, and every place where the model has it.

    A matrix W is (d_out, d_in), as in y = W x, also where a Conv1D stores it the other way round;
    a vector is d_out × 1. A tied head is no weight of its own.
    """

    name: str  # "model.layers.*.self_attn.q_proj", where * stands for the number of the layer
    d_out: int
    d_in: int
    kind: Kind
    layers: tuple[int, ...] = ()  # the numbers that * stands for; empty for what the model has once
    each: int = 1  # matrices under one name: a fused tensor holds all experts of a layer

    @property
    def part(self) -> str:
        """The name inside a layer, such as "self_attn.q_proj"."""
        return self.name.rpartition("*.")[2]

    @property
    def names(self) -> list[str]:
        """The full name of every copy; a fused tensor of experts counts as one."""
        return [self.name.replace("*", str(i)) for i in self.layers] or [self.name]

    @property
    def copies(self) -> int:
        """How many matrices of this shape the model has."""
        return len(self.names) * self.each

    @property
    def numel(self) -> int:
        """copies · d_out · d_in."""
        return self.copies * self.d_out * self.d_in


LLAMA_NORMS = ("input_layernorm", "post_attention_layernorm")
OLMO2_NORMS = ("post_attention_layernorm", "post_feedforward_layernorm")
GEMMA_NORMS = (*LLAMA_NORMS, "pre_feedforward_layernorm", "post_feedforward_layernorm")


@dataclass(frozen=True)
class Family:
    """What the layers of one `model_type` have beside the plain Llama layer.

    bias: which attention projections have one: "qkv" always, "all" four if the config's
    attention_bias says so, "" none.
    qk_norm: a norm on queries and keys, as wide as one "head" or as "all" heads.
    experts: the config's keys for how many experts there are and how wide each is.
    """

    bias: Literal["", "qkv", "all"] = ""
    tied: bool = False  # embeddings and head, where the config is silent
    head_dim: int | None = None  # likewise; None for hidden_size / heads
    norms: tuple[str, ...] = LLAMA_NORMS
    qk_norm: Literal["", "head", "all"] = ""
    fused: bool = False  # qkv_proj and gate_up_proj instead of five matrices
    experts: tuple[str, str] | None = None


MIXTRAL_EXPERTS = ("num_local_experts", "intermediate_size")
OLMOE_EXPERTS = ("num_experts", "intermediate_size")
QWEN3_EXPERTS = ("num_experts", "moe_intermediate_size")
DECODERS = {
    "llama":       Family(bias="all"),
    "smollm3":     Family(bias="all", tied=True),
    "mistral":     Family(),
    "mixtral":     Family(experts=MIXTRAL_EXPERTS),
    "qwen2":       Family(bias="qkv"),
    "qwen3":       Family(bias="all", head_dim=128, qk_norm="head"),
    "qwen3_moe":   Family(bias="all", qk_norm="head", experts=QWEN3_EXPERTS),
    "gemma":       Family(bias="all", tied=True, head_dim=256),
    "gemma2":      Family(bias="all", tied=True, head_dim=256, norms=GEMMA_NORMS),
    "gemma3_text": Family(bias="all", tied=True, head_dim=256, norms=GEMMA_NORMS, qk_norm="head"),
    "phi3":        Family(fused=True),
    "olmo2":       Family(bias="all", norms=OLMO2_NORMS, qk_norm="all"),
    "olmoe":       Family(bias="all", qk_norm="all", experts=OLMOE_EXPERTS),
}  # fmt: skip
FAMILIES = (*DECODERS, "gpt2", "gpt_neox")


def names() -> list[str]:
    """The architectures that the kit ships in data/configs."""
    return sorted(path.stem for path in data_path("configs").glob("*.json"))


def read(source: "dict | str | Path | PreTrainedModel") -> dict:
    """The config that `source` means: a dict as it is, a loaded model's, or a config.json by name.

    By name: one of `names()`, "pocket", a config.json, a directory that holds one, or a hub id
    "owner/name", whose config.json alone is downloaded, once. Raises UserError for any other.
    """
    # what has a config already
    if isinstance(source, dict):
        return source
    loaded = getattr(source, "config", None)
    if loaded is not None:
        return loaded.to_dict()

    # a file
    path = find_config(str(source))
    cure = "give the config.json that save_pretrained wrote."
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); {cure}") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise UserError(f'{path} has no "model_type", so it is no model\'s config; {cure}')
    return config


def find_config(name: str) -> Path:
    """The file that a name means; see `read`."""
    # the kit's own
    if name in names():
        return data_path("configs", f"{name}.json")
    if name == "pocket":
        return data_path("pocket", "config.json")

    # on this disk
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"{name} holds no config.json; give the folder that save_pretrained wrote."
            )
        return path / "config.json"

    # on the hub, if it is spelled like an id
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(".json"):
        return Path(call_hub(name, "hf_hub_download", "config.json"))
    raise UserError(
        f"there is no architecture {name!r}: give one of the {len(names())} that "
        "`python -m ftkit count all` lists, 'pocket', a config.json, a model directory or a hub id "
        f"such as 'owner/name'.{nearest(name, [*names(), 'pocket'])}"
    )


def required(config: dict, *keys: str) -> list[int]:
    """The values of keys that the family must have, each a whole number from 1 on."""
    for key in keys:
        value = config.get(key)
        if not is_whole(value) or value < 1:
            raise UserError(
                f'a config of the family {config["model_type"]!r} needs "{key}" as a whole number '
                f"from 1 on, and this one has {value!r}."
            )
    return [config[key] for key in keys]


def optional(config: dict, key: str, default: int) -> int:
    """The value of a key that the config may leave out or set to null."""
    return default if config.get(key) is None else required(config, key)[0]


def shapes(config: dict) -> list[Weight]:
    """Every weight of the model that transformers builds from `config`.

    The sum of their `numel` is the model's number of parameters. Raises UserError for a family
    that is not in FAMILIES.
    """
    family = config.get("model_type")
    if family in DECODERS:
        return decoder_weights(config, DECODERS[family])
    if family == "gpt2":
        return gpt2_weights(config)
    if family == "gpt_neox":
        return gpt_neox_weights(config)
    raise UserError(
        f"the family {family!r} is not known here; known are {', '.join(FAMILIES)}."
        f"{nearest(str(family), FAMILIES)}"
    )


def decoder_weights(config: dict, family: Family) -> list[Weight]:
    """The Llama layer and its relatives: RMS norms, grouped queries, a gated MLP or experts."""
    hidden, n, vocab = required(config, "hidden_size", "num_hidden_layers", "vocab_size")
    layers = tuple(range(n))
    weights = [
        Weight("model.embed_tokens", vocab, hidden, "embedding"),
        *attention_weights(config, family, layers),
        *mlp_weights(config, family, layers),
        *(Weight(f"model.layers.*.{norm}", hidden, 1, "norm", layers) for norm in family.norms),
        Weight("model.norm", hidden, 1, "norm"),
    ]
    if not config.get("tie_word_embeddings", family.tied):
        weights.append(Weight("lm_head", vocab, hidden, "head"))
    return weights


def attention_weights(config: dict, family: Family, layers: tuple[int, ...]) -> Iterator[Weight]:
    """Queries for all heads, keys and values for the key-value heads, and the projection back."""
    hidden, heads = required(config, "hidden_size", "num_attention_heads")
    head = optional(config, "head_dim", family.head_dim or hidden // heads)
    q, kv = heads * head, optional(config, "num_key_value_heads", heads) * head
    place = "model.layers.*.self_attn."

    # the matrices
    sides: Sides = {"q_proj": (q, hidden), "k_proj": (kv, hidden), "v_proj": (kv, hidden)}
    if family.fused:
        sides = {"qkv_proj": (q + 2 * kv, hidden)}
    sides["o_proj"] = (hidden, q)
    yield from matrices(place, sides, "linear", layers)

    # their biases, where the family or the config has some
    biased = [part for part in sides if part != "o_proj"] if family.bias == "qkv" else []
    if family.bias == "all" and config.get("attention_bias"):
        biased = list(sides)
    for part in biased:
        yield Weight(f"{place}{part}.bias", sides[part][0], 1, "bias", layers)

    # the norms on queries and keys
    if family.qk_norm:
        q_width, k_width = (head, head) if family.qk_norm == "head" else (q, kv)
        yield Weight(f"{place}q_norm", q_width, 1, "norm", layers)
        yield Weight(f"{place}k_norm", k_width, 1, "norm", layers)


def mlp_weights(config: dict, family: Family, layers: tuple[int, ...]) -> Iterator[Weight]:
    """Gate, up and down projection, or a router and experts, fused as transformers 5 fuses them."""
    place, hidden = "model.layers.*.mlp.", config["hidden_size"]

    # the layers with experts
    sparse = sparse_layers(config, layers) if family.experts else ()
    if family.experts and sparse:
        experts, width = required(config, *family.experts)
        yield Weight(f"{place}gate", experts, hidden, "router", sparse)
        ups, down = f"{place}experts.gate_up_proj", f"{place}experts.down_proj"
        yield Weight(ups, 2 * width, hidden, "expert", sparse, each=experts)
        yield Weight(down, hidden, width, "expert", sparse, each=experts)

    # the others, which are all in most families
    dense = tuple(i for i in layers if i not in sparse)
    if not dense:
        return
    (width,) = required(config, "intermediate_size")
    sides: Sides = {"gate_proj": (width, hidden), "up_proj": (width, hidden)}
    if family.fused:
        sides = {"gate_up_proj": (2 * width, hidden)}
    sides["down_proj"] = (hidden, width)
    yield from matrices(place, sides, "linear", dense)
    if config.get("mlp_bias"):
        for part, (d_out, _) in sides.items():
            yield Weight(f"{place}{part}.bias", d_out, 1, "bias", dense)


def sparse_layers(config: dict, layers: tuple[int, ...]) -> tuple[int, ...]:
    """The layers whose MLP is a mixture of experts: all, unless the config leaves some dense."""
    step = optional(config, "decoder_sparse_step", 1)
    dense = config.get("mlp_only_layers") or ()
    return tuple(i for i in layers if (i + 1) % step == 0 and i not in dense)


def matrices(
    place: str, sides: Sides, kind: Kind, layers: tuple[int, ...] = ()
) -> Iterator[Weight]:
    """A weight for each matrix of `sides`, in every layer."""
    for part, (d_out, d_in) in sides.items():
        yield Weight(place + part, d_out, d_in, kind, layers)


def with_biases(weights: Iterator[Weight]) -> Iterator[Weight]:
    """Each weight, and after it its bias."""
    for weight in weights:
        yield weight
        yield Weight(f"{weight.name}.bias", weight.d_out, 1, "bias", weight.layers)


def gpt2_weights(config: dict) -> list[Weight]:
    """GPT-2: learned positions, queries, keys and values in one matrix, Conv1D, layer norms."""
    hidden, n, vocab, positions = required(config, "n_embd", "n_layer", "vocab_size", "n_positions")
    width, layers = optional(config, "n_inner", 4 * hidden), tuple(range(n))

    # what every layer has, then the whole model
    sides = {
        "attn.c_attn": (3 * hidden, hidden),
        "attn.c_proj": (hidden, hidden),
        "mlp.c_fc": (width, hidden),
        "mlp.c_proj": (hidden, width),
    }
    norms = {"ln_1": (hidden, 1), "ln_2": (hidden, 1)}
    place = "transformer.h.*."
    weights = [
        Weight("transformer.wte", vocab, hidden, "embedding"),
        Weight("transformer.wpe", positions, hidden, "embedding"),
        *with_biases(matrices(place, sides, "conv1d", layers)),
        *with_biases(matrices(place, norms, "norm", layers)),
        *with_biases(matrices("transformer.", {"ln_f": (hidden, 1)}, "norm")),
    ]
    if not config.get("tie_word_embeddings", True):
        weights.append(Weight("lm_head", vocab, hidden, "head"))
    return weights


def gpt_neox_weights(config: dict) -> list[Weight]:
    """GPT-NeoX and Pythia: queries, keys and values in one matrix, biases but in the head."""
    keys = ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size")
    hidden, n, vocab, width = required(config, *keys)
    layers, place = tuple(range(n)), "gpt_neox.layers.*."
    attention = {
        "attention.query_key_value": (3 * hidden, hidden),
        "attention.dense": (hidden, hidden),
    }
    mlp = {"mlp.dense_h_to_4h": (width, hidden), "mlp.dense_4h_to_h": (hidden, width)}
    norms = {"input_layernorm": (hidden, 1), "post_attention_layernorm": (hidden, 1)}

    # the attention's biases alone can be switched off
    attending = matrices(place, attention, "linear", layers)
    if config.get("attention_bias", True):
        attending = with_biases(attending)
    weights = [
        Weight("gpt_neox.embed_in", vocab, hidden, "embedding"),
        *attending,
        *with_biases(matrices(place, mlp, "linear", layers)),
        *with_biases(matrices(place, norms, "norm", layers)),
        *with_biases(matrices("gpt_neox.", {"final_layer_norm": (hidden, 1)}, "norm")),
    ]
    if not config.get("tie_word_embeddings", False):
        weights.append(Weight("lm_head", vocab, hidden, "head"))
    return weights


def skeleton(source: "dict | str | Path | PreTrainedModel") -> "PreTrainedModel":
    """The real model on the meta device: transformers' own modules, every shape and no memory.

    source: as in `read`. Raises UserError for a config that transformers refuses.
    """
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM

    config = read(source)
    family = config["model_type"]
    # transformers takes the type by itself, and nothing of where the kit got the config from
    keys = {key: v for key, v in config.items() if not key.startswith("_")}
    del keys["model_type"]
    try:
        built = AutoConfig.for_model(family, **keys)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(built)
    except (ValueError, TypeError, KeyError, StrictDataclassError) as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise UserError(
            f"transformers can't build a {family!r} from this config ({reason}); check its keys."
        ) from error
