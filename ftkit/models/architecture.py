"""Every weight of a published architecture, by arithmetic on its config.json.

    read(source)      the config of a name, a file, a hub id or a loaded model
    shapes(config)    every weight: name, d_out, d_in, kind, in which layers
    is_known(config)  whether the arithmetic knows the family, which is one of FAMILIES
    names()           the architectures of data/configs

Nothing is built, torch is not imported, and nothing is downloaded but a config; families that are
not known here are built by `meta_device.py`. What a LoRA adds to these shapes is `lora.count`'s
business, their bytes `memory`'s (notebook 04).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .. import fetched
from ..core.errors import UserError, is_whole, nearest
from ..core.files import data_path
from ..core.hub import call_hub
from ..core.parsing import parse_json, read_text, shown

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Kind = Literal["linear", "conv1d", "embedding", "head", "norm", "bias", "expert", "router", "other"]
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
    attention_bias says so, "" none; mlp_bias: whether the config's mlp_bias is heard.
    key_heads: how many there are where the config is silent; None for one per query head.
    qk_norm: a norm on queries and keys, as wide as one "head", as "all" heads, or as all heads
    would be if they shared the "hidden" size.
    experts: the config's key for how wide each is; some_dense: whether some layers may have none.
    """

    bias: Literal["", "qkv", "all"] = ""
    mlp_bias: bool = False
    tied: bool = False  # embeddings and head, where the config is silent
    head_dim: int | None = None  # likewise; None for hidden_size / heads
    key_heads: int | None = None
    norms: tuple[str, ...] = LLAMA_NORMS
    qk_norm: Literal["", "head", "all", "hidden"] = ""
    fused: bool = False  # qkv_proj and gate_up_proj instead of five matrices
    experts: str = ""
    some_dense: bool = False


GEMMA = Family(bias="all", tied=True, head_dim=256, key_heads=4, norms=GEMMA_NORMS)
DECODERS = {
    "llama":       Family(bias="all", mlp_bias=True),
    "smollm3":     Family(bias="all", mlp_bias=True, tied=True, key_heads=4),
    "mistral":     Family(key_heads=8),
    "mixtral":     Family(key_heads=8, experts="intermediate_size"),
    "qwen2":       Family(bias="qkv", key_heads=32),
    "qwen3":       Family(bias="all", head_dim=128, key_heads=32, qk_norm="head"),
    "qwen3_moe":   Family(bias="all", key_heads=4, qk_norm="head",
                          experts="moe_intermediate_size", some_dense=True),
    "gemma":       Family(bias="all", tied=True, head_dim=256, key_heads=16),
    "gemma2":      GEMMA,
    "gemma3_text": replace(GEMMA, qk_norm="head"),
    "phi3":        Family(fused=True),
    "olmo2":       Family(bias="all", norms=OLMO2_NORMS, qk_norm="all"),
    "olmoe":       Family(bias="all", qk_norm="hidden", experts="intermediate_size"),
}  # fmt: skip
FAMILIES = (*DECODERS, "gpt2", "gpt_neox")

# What configs call the number of layers, other sizes, and what a family may have or not.
LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
SIZES = (
    "hidden_size", "n_embd", "vocab_size", "num_attention_heads", "n_head", "num_key_value_heads",
)  # fmt: skip
EXPERTS = ("num_experts", "num_local_experts")
TIED = "tie_word_embeddings"
SWITCHES = (TIED, "attention_bias", "mlp_bias")
LISTS = ("layer_types", "mlp_only_layers")
WINDOWS = ("sliding_window", "sliding_window_pattern")
# Other words for its sizes that transformers hears, too, instead of GPT-2's own.
GPT2_WORDS = ("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
# The families that transformers refuses where the heads do not share the hidden size evenly.
EVEN_HEADS = ("llama", "gemma2", "gemma3_text", "gpt2", "gpt_neox")
MOST_LAYERS = 10_000  # the deepest published models have some hundred


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
        return check_type(source, "the config")
    loaded = getattr(source, "config", None)
    if loaded is not None:
        return loaded.to_dict()

    # a file
    path = find_config(str(source))
    return check_type(parse_json(read_text(path), path), path)


def check_type(config: object, where: object) -> dict:
    """The config itself; UserError, which names it by `where`, for what is no model's config."""
    if not isinstance(config, dict) or not isinstance(config.get("model_type"), str):
        raise UserError(
            f'{where} has no "model_type" that is a word, so it is no model\'s config; '
            "give the config.json that save_pretrained wrote."
        )
    return config


def find_config(name: str) -> Path:
    """The file that a name means; see `read`."""
    # the kit's own
    if name in names():
        return data_path("configs", f"{name}.json")
    if name == "pocket":
        return data_path("pocket", "config.json")
    if name == "smollm2":
        return fetched.find(name) / "config.json"

    # on this disk
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        return find_in_folder(path)

    # on the hub, if it is spelled like an id
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and not name.endswith(".json"):
        return Path(call_hub(name, "hf_hub_download", "config.json"))
    raise UserError(
        f"there is no architecture {name!r}: give one of the {len(names())} that "
        "`python -m ftkit count all` lists, 'pocket', 'smollm2', a config.json, a model directory "
        f"or a hub id such as 'owner/name'.{nearest(name, [*names(), 'pocket', 'smollm2'])}"
    )


def find_in_folder(folder: Path) -> Path:
    """The config.json in a folder; UserError where there is none."""
    if (folder / "config.json").is_file():
        return folder / "config.json"
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        stated = parse_json(read_text(adapter), adapter)
        base = stated.get("base_model_name_or_path") if isinstance(stated, dict) else None
        raise UserError(
            f"{folder} holds an adapter and no model; give its base{f', {base!r}' if base else ''}."
        )
    raise UserError(f"{folder} holds no config.json; give the folder that save_pretrained wrote.")


def required(config: dict, *keys: str) -> list[int]:
    """The values of keys that the family must have, each a whole number from 1 on."""
    for key in keys:
        value = config.get(key)
        if not is_whole(value) or value < 1:
            raise UserError(
                f'a config of the family {config["model_type"]!r} needs "{key}" as a whole number '
                f"from 1 on, and this one has {shown(value)}."
            )
    return [config[key] for key in keys]


def optional(config: dict, key: str, default: int) -> int:
    """The value of a key that the config may leave out or set to null."""
    return default if config.get(key) is None else required(config, key)[0]


def check_config(config: dict) -> None:
    """Refuse what no family can be built from, by the key and its value.

    Sizes that are no whole numbers from 1 on, more layers than any model has, heads that do not
    share the key-value heads evenly, and switches that are neither true nor false.
    """
    # each key by itself; some families give a list, one size for each layer
    for key in (*LAYERS, *SIZES):
        if config.get(key) is not None and not isinstance(config[key], list):
            (size,) = required(config, key)
            if key in LAYERS and size > MOST_LAYERS:
                raise UserError(
                    f'"{key}" is {shown(size)}; give a model of at most {MOST_LAYERS:,} layers.'
                )
    for key in SWITCHES:
        if not isinstance(config.get(key, False), bool | None if key != TIED else bool):
            raise UserError(f'"{key}" is {shown(config[key])}; give true or false.')
    for key in LISTS:
        if not isinstance(config.get(key), list | None):
            raise UserError(f'"{key}" is {shown(config[key])}; give a list, or null.')
    for key in WINDOWS:
        if config.get(key) is not None:
            required(config, key)

    # and what goes together
    check_heads(config)


def check_heads(config: dict) -> None:
    """Refuse heads that don't share what they have to share evenly."""
    heads, shared = config.get("num_attention_heads"), config.get("num_key_value_heads")
    if is_whole(heads) and is_whole(shared) and heads % shared:
        raise UserError(
            f'"num_attention_heads" is {heads} and "num_key_value_heads" {shared}, which does not '
            "divide it: every key head serves as many query heads."
        )
    for width, number in (("hidden_size", "num_attention_heads"), ("n_embd", "n_head")):
        wide, heads = config.get(width), config.get(number)
        uneven = is_whole(wide) and is_whole(heads) and wide % heads
        if uneven and config["model_type"] in EVEN_HEADS:
            raise UserError(
                f'"{number}" is {heads}, which does not divide "{width}", {wide}: '
                "every head is as wide."
            )


def is_known(config: dict) -> bool:
    """Whether `shapes` knows what a config describes; `meta_device.list_weights` knows the rest."""
    family, odd = str(config.get("model_type")), config.get("add_cross_attention")
    odd = odd or (family == "gpt2" and any(word in config for word in GPT2_WORDS))
    return family in FAMILIES and not odd


def shapes(config: dict) -> list[Weight]:
    """Every weight of the model that transformers builds from `config`.

    The sum of their `numel` is the model's number of parameters. Raises UserError for a family
    that is not in FAMILIES, and for a config that no model can be built from.
    """
    family = str(config.get("model_type"))
    if not is_known(config):
        crossed = " with cross-attention, or with other words for its sizes,"
        crossed = crossed if family in FAMILIES else ""
        raise UserError(
            f"the family {family!r}{crossed} is not known here; known are {', '.join(FAMILIES)}."
            f"{'' if crossed else nearest(str(family), FAMILIES)}"
        )
    check_config(config)
    if family == "gpt2":
        return gpt2_weights(config)
    if family == "gpt_neox":
        return gpt_neox_weights(config)
    return decoder_weights(config, DECODERS[family])


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
    if not config.get(TIED, family.tied):
        weights.append(Weight("lm_head", vocab, hidden, "head"))
    return weights


def attention_weights(config: dict, family: Family, layers: tuple[int, ...]) -> Iterator[Weight]:
    """Queries for all heads, keys and values for the key-value heads, and the projection back."""
    hidden, heads = required(config, "hidden_size", "num_attention_heads")
    head = optional(config, "head_dim", family.head_dim or hidden // heads)
    if not head:
        raise UserError(
            f'"num_attention_heads" is {heads:,}, more than "hidden_size", {hidden:,}, so that '
            "nothing is left for a head."
        )
    key_heads = family.key_heads if "num_key_value_heads" not in config else None
    kv_heads = optional(config, "num_key_value_heads", key_heads or heads)
    q, kv = heads * head, kv_heads * head
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
        even = hidden // heads
        widths = {"head": (head, head), "all": (q, kv), "hidden": (hidden, kv_heads * even)}
        q_width, k_width = widths[family.qk_norm]
        yield Weight(f"{place}q_norm", q_width, 1, "norm", layers)
        yield Weight(f"{place}k_norm", k_width, 1, "norm", layers)


def mlp_weights(config: dict, family: Family, layers: tuple[int, ...]) -> Iterator[Weight]:
    """Gate, up and down projection, or a router and experts, fused as transformers 5 fuses them."""
    place, hidden = "model.layers.*.mlp.", config["hidden_size"]

    # the layers with experts
    sparse: tuple[int, ...] = ()
    if family.experts:
        sparse = sparse_layers(config, layers) if family.some_dense else layers
    if sparse:
        experts, (width,) = number_of_experts(config), required(config, family.experts)
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
    if family.mlp_bias and config.get("mlp_bias"):
        for part, (d_out, _) in sides.items():
            yield Weight(f"{place}{part}.bias", d_out, 1, "bias", dense)


def number_of_experts(config: dict) -> int:
    """How many experts a layer has, a size that transformers takes under two names."""
    stated = {key: optional(config, key, 0) for key in EXPERTS if config.get(key) is not None}
    if len(set(stated.values())) > 1:
        words = " and ".join(f'"{key}" is {shown(value)}' for key, value in stated.items())
        raise UserError(f"{words}, two names of one size; keep one.")
    return required(config, next(iter(stated), EXPERTS[0]))[0]


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
    if not config.get(TIED, True):
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
    if not config.get(TIED, False):
        weights.append(Weight("lm_head", vocab, hidden, "head"))
    return weights
