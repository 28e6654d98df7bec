"""Every weight of a published architecture, by arithmetic on its config.json: nothing is built,
nothing is downloaded but the config.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.files import data_path
from ..core.hub import call_hub


@dataclass(frozen=True)
class Weight:
    """One kind of weight: its shape, and every place where the model has it.

    A matrix W is (d_out, d_in), as in y = W x, also where a Conv1D stores it the other way round; a
    vector is d_out × 1.
    kind: linear, conv1d, embedding, head, norm, bias, expert or router. A tied head is no weight of
    its own.
    """

    name: str  # "model.layers.*.self_attn.q_proj", where * stands for the number of the layer
    d_out: int
    d_in: int
    kind: str
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


@dataclass(frozen=True)
class Family:
    """What the layers of one `model_type` have beside the plain Llama layer; `tied` and `head_dim`
    hold where the config is silent.
    """

    tied: bool = False
    head_dim: int | None = None
    bias: str = ""  # on which attention projections: "all" if the config's attention_bias says so, "qkv" always
    norms: tuple[str, ...] = ("input_layernorm", "post_attention_layernorm")
    qk_norm: str = ""  # a norm on queries and keys: a "head" wide, or as wide as "all" heads
    fused: bool = False  # qkv_proj and gate_up_proj instead of five matrices
    experts: tuple[str, str] | None = None  # the config's keys for how many and how wide


GEMMA_NORMS = (
    "input_layernorm",
    "post_attention_layernorm",
    "pre_feedforward_layernorm",
    "post_feedforward_layernorm",
)
DECODERS = {
    "llama": Family(bias="all"),
    "smollm3": Family(bias="all", tied=True),
    "mistral": Family(),
    "mixtral": Family(experts=("num_local_experts", "intermediate_size")),
    "qwen2": Family(bias="qkv"),
    "qwen3": Family(bias="all", head_dim=128, qk_norm="head"),
    "qwen3_moe": Family(
        bias="all", qk_norm="head", experts=("num_experts", "moe_intermediate_size")
    ),
    "gemma": Family(bias="all", head_dim=256, tied=True),
    "gemma2": Family(bias="all", head_dim=256, tied=True, norms=GEMMA_NORMS),
    "gemma3_text": Family(bias="all", head_dim=256, tied=True, norms=GEMMA_NORMS, qk_norm="head"),
    "phi3": Family(fused=True),
    "olmo2": Family(
        bias="all", norms=("post_attention_layernorm", "post_feedforward_layernorm"), qk_norm="all"
    ),
    "olmoe": Family(bias="all", qk_norm="all", experts=("num_experts", "intermediate_size")),
}
FAMILIES = (*DECODERS, "gpt2", "gpt_neox")


def names() -> list[str]:
    """The architectures that the kit ships in data/configs."""
    return sorted(path.stem for path in data_path("configs").glob("*.json"))


def read(source) -> dict:
    """The config that `source` means: a dict as it is, a loaded model's, or a config.json by name.

    By name: one of `names()`, "pocket", a config.json, a directory that holds one, or a hub id
    "owner/name", whose config.json alone is downloaded, once.
    """
    if isinstance(source, dict):
        return source
    if hasattr(source, "config"):
        return source.config.to_dict()
    path = find(str(source))
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path} is not JSON ({error}); give the config.json that save_pretrained wrote."
        ) from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise UserError(
            f'{path} has no "model_type", so it is no model\'s config; give the config.json that save_pretrained wrote.'
        )
    return config


def find(name: str) -> Path:
    """The file that a name means; see `read`."""
    path = Path(name).expanduser()
    if name in names():
        return data_path("configs", f"{name}.json")
    if name == "pocket":
        return data_path("pocket", "config.json")
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise UserError(
                f"{name} holds no config.json; give the folder that save_pretrained wrote."
            )
        return path / "config.json"
    if path.is_file():
        return path
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(".json"):
        return Path(call_hub(name, "hf_hub_download", "config.json"))
    raise UserError(
        f"there is no architecture {name!r}: give one of the {len(names())} that `python -m ftkit count all` lists, 'pocket', "
        f"a config.json, a model directory or a hub id such as 'owner/name'.{nearest(name, [*names(), 'pocket'])}"
    )


def numbers(config: dict, *keys: str) -> list[int]:
    """The values of keys that the family must have, each a whole number from 1 on."""
    for key in keys:
        value = config.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(
                f'a config of the family {config["model_type"]!r} needs "{key}" as a whole number from 1 on, and this one has {value!r}.'
            )
    return [config[key] for key in keys]


def number_or(config: dict, key: str, default: int) -> int:
    """The value of a key that the config may leave out or set to null."""
    return default if config.get(key) is None else numbers(config, key)[0]


def shapes(config: dict) -> list[Weight]:
    """Every weight of the model that transformers builds from `config`; the sum of their `numel` is
    its number of parameters.
    """
    kind = config.get("model_type")
    if kind in DECODERS:
        return decoder(config, DECODERS[kind])
    if kind in FAMILIES:
        return {"gpt2": gpt2, "gpt_neox": gpt_neox}[kind](config)
    raise UserError(
        f"the family {kind!r} is not known here; known are {', '.join(FAMILIES)}.{nearest(kind, FAMILIES)}"
    )


def decoder(config: dict, family: Family) -> list[Weight]:
    """The Llama layer and its relatives: RMS norms, grouped queries, a gated MLP or experts instead
    of it.
    """
    h, n, vocab = numbers(config, "hidden_size", "num_hidden_layers", "vocab_size")
    layer = partial(Weight, layers=tuple(range(n)))
    found = [
        Weight("model.embed_tokens", vocab, h, "embedding"),
        *attention(config, family, layer),
        *mlp(config, family, n),
    ]
    found += [layer(f"model.layers.*.{norm}", h, 1, "norm") for norm in family.norms]
    found.append(Weight("model.norm", h, 1, "norm"))
    if not config.get("tie_word_embeddings", family.tied):
        found.append(Weight("lm_head", vocab, h, "head"))
    return found


def attention(config: dict, family: Family, layer) -> list[Weight]:
    """Queries for all heads, keys and values for the key-value heads, and the projection back."""
    h, heads = numbers(config, "hidden_size", "num_attention_heads")
    d = number_or(config, "head_dim", family.head_dim or h // heads)
    q, kv = heads * d, number_or(config, "num_key_value_heads", heads) * d
    place = "model.layers.*.self_attn."
    if family.fused:
        return [
            layer(f"{place}qkv_proj", q + 2 * kv, h, "linear"),
            layer(f"{place}o_proj", h, q, "linear"),
        ]
    sides = {"q_proj": (q, h), "k_proj": (kv, h), "v_proj": (kv, h), "o_proj": (h, q)}
    biased = {
        "qkv": ("q_proj", "k_proj", "v_proj"),
        "all": tuple(sides) if config.get("attention_bias") else (),
        "": (),
    }[family.bias]
    found = [layer(place + part, *side, "linear") for part, side in sides.items()]
    found += [layer(f"{place}{part}.bias", sides[part][0], 1, "bias") for part in biased]
    if family.qk_norm:
        widths = {"head": (d, d), "all": (q, kv)}[family.qk_norm]
        found += [
            layer(place + norm, width, 1, "norm")
            for norm, width in zip(("q_norm", "k_norm"), widths, strict=True)
        ]
    return found


def mlp(config: dict, family: Family, n: int) -> list[Weight]:
    """Gate, up and down projection; in a mixture-of-experts layer a router and the experts, fused
    as transformers 5 fuses them.
    """
    place, h = "model.layers.*.mlp.", config["hidden_size"]
    found: list[Weight] = []
    sparse = sparse_layers(config, n) if family.experts else ()
    if sparse:
        experts, wide = numbers(config, *family.experts)
        found.append(Weight(f"{place}gate", experts, h, "router", sparse))
        found.append(Weight(f"{place}experts.gate_up_proj", 2 * wide, h, "expert", sparse, experts))
        found.append(Weight(f"{place}experts.down_proj", h, wide, "expert", sparse, experts))
    dense = tuple(i for i in range(n) if i not in sparse)
    if dense:
        (wide,) = numbers(config, "intermediate_size")
        ups = {"gate_up_proj": 2 * wide} if family.fused else {"gate_proj": wide, "up_proj": wide}
        sides = {**{part: (d_out, h) for part, d_out in ups.items()}, "down_proj": (h, wide)}
        found += [Weight(place + part, *side, "linear", dense) for part, side in sides.items()]
        if config.get("mlp_bias"):
            found += [
                Weight(f"{place}{part}.bias", side[0], 1, "bias", dense)
                for part, side in sides.items()
            ]
    return found


def sparse_layers(config: dict, n: int) -> tuple[int, ...]:
    """The layers whose MLP is a mixture of experts: all, unless the config leaves some dense."""
    step, dense = number_or(config, "decoder_sparse_step", 1), config.get("mlp_only_layers") or ()
    return tuple(i for i in range(n) if (i + 1) % step == 0 and i not in dense)


def with_bias(
    place: str, d_out: int, d_in: int, kind: str, layers: tuple[int, ...] = ()
) -> list[Weight]:
    """A weight and its bias."""
    return [
        Weight(place, d_out, d_in, kind, layers),
        Weight(f"{place}.bias", d_out, 1, "bias", layers),
    ]


def gpt2(config: dict) -> list[Weight]:
    """GPT-2: learned positions, one fused matrix for queries, keys and values, Conv1D layers with
    biases, layer norms.
    """
    h, n, vocab, positions = numbers(config, "n_embd", "n_layer", "vocab_size", "n_positions")
    wide, layers = number_or(config, "n_inner", 4 * h), tuple(range(n))
    found = [
        Weight("transformer.wte", vocab, h, "embedding"),
        Weight("transformer.wpe", positions, h, "embedding"),
    ]
    sides = {
        "attn.c_attn": (3 * h, h),
        "attn.c_proj": (h, h),
        "mlp.c_fc": (wide, h),
        "mlp.c_proj": (h, wide),
    }
    for part, side in sides.items():
        found += with_bias(f"transformer.h.*.{part}", *side, "conv1d", layers)
    for norm in ("ln_1", "ln_2"):
        found += with_bias(f"transformer.h.*.{norm}", h, 1, "norm", layers)
    found += with_bias("transformer.ln_f", h, 1, "norm")
    return (
        found
        if config.get("tie_word_embeddings", True)
        else [*found, Weight("lm_head", vocab, h, "head")]
    )


def gpt_neox(config: dict) -> list[Weight]:
    """GPT-NeoX and Pythia: queries, keys and values in one matrix, biases everywhere but in the
    head, layer norms.
    """
    h, n, vocab, wide = numbers(
        config, "hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"
    )
    layers = tuple(range(n))
    found = [Weight("gpt_neox.embed_in", vocab, h, "embedding")]
    for part, side in {"attention.query_key_value": (3 * h, h), "attention.dense": (h, h)}.items():
        both = with_bias(f"gpt_neox.layers.*.{part}", *side, "linear", layers)
        found += both if config.get("attention_bias", True) else both[:1]
    for part, side in {"mlp.dense_h_to_4h": (wide, h), "mlp.dense_4h_to_h": (h, wide)}.items():
        found += with_bias(f"gpt_neox.layers.*.{part}", *side, "linear", layers)
    for norm in ("input_layernorm", "post_attention_layernorm"):
        found += with_bias(f"gpt_neox.layers.*.{norm}", h, 1, "norm", layers)
    found += with_bias("gpt_neox.final_layer_norm", h, 1, "norm")
    return (
        found
        if config.get("tie_word_embeddings", False)
        else [*found, Weight("lm_head", vocab, h, "head")]
    )


def skeleton(source):
    """The real model on the meta device: transformers' own modules with every shape and no memory."""
    import torch
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig, AutoModelForCausalLM

    config = read(source)
    known = {
        key: value
        for key, value in config.items()
        if not key.startswith("_") and key != "model_type"
    }
    try:
        built = AutoConfig.for_model(config["model_type"], **known)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(built)
    except (ValueError, TypeError, KeyError, StrictDataclassError) as error:
        reason = str(error).strip().splitlines()[-1].strip().rstrip(".")
        raise UserError(
            f"transformers can't build a {config['model_type']!r} from this config ({reason}); check its keys."
        ) from error
