"""A model of the llama family, or a LoRA alone, as a GGUF file for llama.cpp and Ollama.

    write_model(model, tokenizer, file, kind)    all of it: weights, tokenizer, chat template, ends
    write_adapter(tuned, file, kind)             A and B, to be put on the base's own GGUF
    find_kind(name)                              what the weights are stored as: f32, f16, q8_0 …
    check_widths(weights, kind)                  refuses a kind that the rows can't be cut into

Written by the `gguf` package of llama.cpp; what is of a family (names, the order of the rows of Q
and K, the tokenizer's pattern) stands here. The K-kinds are packed by llama.cpp itself
(`packing.py`); that a file is the model is shown by `proof.py`. Notebook 13.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from .. import data, lora, models
from ..core.errors import UserError, nearest

if TYPE_CHECKING:
    from gguf import GGUFWriter
    from numpy import ndarray
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

# model_type of transformers: llama.cpp's name of the architecture.
ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}
KINDS = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
OTHER_NAMES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int8": "q8_0"}
PLAIN = ("f32", "f16", "bf16")  # one number each; the others are packed in blocks of BLOCK
BLOCK = 32
# Both are too dear in four or five bits: llama.cpp itself keeps them in more.
ENDS = ("token_embd.weight", "output.weight")
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5  # kinds of tokens, by ggml's numbers

# What cuts a text before BPE: the pattern in tokenizer.json, and llama.cpp's name for it.
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
PATTERNS = {
    ("Digits", "ByteLevel by its own regex"): "smollm",
    ("ByteLevel by its own regex",): "gpt-2",
    (LLAMA_3, "ByteLevel"): "llama-bpe",
    (QWEN_2, "ByteLevel"): "qwen2",
}


class Weight(NamedTuple):
    """A tensor as it goes into the file."""

    name: str  # llama.cpp's
    values: torch.Tensor
    kind: str
    own: str = ""  # the model's own name for it


def write_model(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", file: Path, kind: str = "f32"
) -> None:
    """Write a model without an adapter; kind: one of KINDS, of its matrices (vectors are f32).

    In four and five bits the embedding and the head are q8_0. Raises `UserError` for an
    architecture, a tokenizer or a width that the file can't hold.
    """
    gguf, kind = need_gguf(), find_kind(kind)
    if lora.is_attached(model):
        raise UserError("the model carries an adapter; merge it first, by merge.merge(model).")
    weights = list(name_weights(model, kind))
    check_widths({one.name: one.values.shape for one in weights}, kind)
    writer = gguf.GGUFWriter(None, ARCHITECTURES[model.config.model_type])
    writer.add_file_type(file_type(gguf, kind))
    add_shape(writer, model)
    add_tokenizer(writer, model, tokenizer)
    write_tensors(writer, file, weights)


def file_type(gguf: Any, kind: str) -> int:
    """GGUF's number of a kind of file."""
    return gguf.LlamaFileType["ALL_F32" if kind == "f32" else f"MOSTLY_{kind.upper()}"]


def need_gguf() -> Any:
    """The gguf package; `UserError` where it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise UserError(
            'writing GGUF needs the gguf package; pip install "ftkit[gguf]" brings it.'
        ) from error
    return gguf


def find_kind(name: str) -> str:
    """One of KINDS by its name or torch's; `UserError` for another, with the nearest."""
    kind = OTHER_NAMES.get(name, name.lower())
    if kind not in KINDS:
        cure = ""
        if "_k" in kind:
            cure = " K-kinds are packed by llama.cpp itself: ship.quantize(file, kind)."
        raise UserError(
            f"a GGUF in {name!r} is not written here; give one of {', '.join(KINDS)}."
            f"{nearest(kind, KINDS)}{cure}"
        )
    return kind


def check_widths(shapes: Mapping[str, Any], kind: str) -> None:
    """Refuse a kind in blocks of 32 where the rows of a matrix are no whole number of blocks."""
    if kind in PLAIN:
        return
    for name, shape in shapes.items():
        if len(shape) > 1 and shape[-1] % BLOCK:
            raise UserError(
                f"{name} has rows of {shape[-1]:,} numbers, and {kind} packs {BLOCK} at a time; "
                f"give one of {', '.join(PLAIN)}."
            )


def check_architecture(config: Any) -> str:
    """llama.cpp's name of an architecture; `UserError` for one that is not written here."""
    known, cure = ARCHITECTURES, "merge it, and convert that folder by llama.cpp's own script"
    if config.model_type not in known:
        raise UserError(
            f"the architecture is {config.model_type!r}, and GGUF is written here for "
            f"{', '.join(known)}; {cure}.{nearest(config.model_type, known)}"
        )
    rope = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    window = getattr(config, "sliding_window", None)
    used = window and getattr(config, "use_sliding_window", config.model_type == "mistral")
    odd = {
        "hidden_act": (config.hidden_act, "silu"),
        "rope_type": (rope, "llama3" if rope == "llama3" else "default"),
        "sliding_window": (window if used and window < config.max_position_embeddings else 0, 0),
    }
    for name, (value, known_value) in odd.items():
        if value != known_value:
            raise UserError(
                f"the model's {name} is {value!r}, which the GGUF written here could not state; "
                f"{cure}."
            )
    return known[config.model_type]


def name_weights(model: "PreTrainedModel", kind: str) -> Iterator[Weight]:
    """Every weight under llama.cpp's name, with what it is stored as.

    Of a matrix that is embedding and head, one; the rows of Q and K of a llama in llama.cpp's
    order. RoPE that is stretched as Llama 3's is stated as one factor of each frequency.
    """
    config, gguf = model.config, need_gguf()
    family = check_architecture(config)
    names = gguf.get_tensor_name_map(arch_of(gguf, family), config.num_hidden_layers)
    for name, values in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, _, ending = name.rpartition(".")
        named = names.get_name(stem)
        if named is None:
            raise UserError(f"{name} of this model has no place in a GGUF of {family!r}.")
        named, values = f"{named}.{ending}", values.detach().float().cpu()
        values = turn_rows(values, named, config) if family == "llama" else values
        yield Weight(named, values, kind_of(named, values, kind), name)
    if (factors := rope_factors(model)) is not None:
        yield Weight("rope_freqs.weight", factors, "f32")


def arch_of(gguf: Any, family: str) -> Any:
    """The gguf package's number of an architecture."""
    return next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == family)


def kind_of(name: str, values: torch.Tensor, kind: str) -> str:
    """What a tensor is stored as: a vector in f32, and the two ends in eight bits at least."""
    if values.dim() < 2:
        return "f32"
    return "q8_0" if name in ENDS and kind.startswith(("q4", "q5")) else kind


def turn_rows(values: torch.Tensor, name: str, config: Any) -> torch.Tensor:
    """The rows of Q and K in the order of llama.cpp: 0, n/2, 1, n/2 + 1, and so on.

    Its RoPE turns neighbours against each other, and that of transformers the halves of a head.
    """
    if not re.search(r"\.attn_[qk]\.", name):
        return values
    query = ".attn_q." in name
    heads = config.num_attention_heads if query else config.num_key_value_heads
    return values.reshape(heads, 2, -1, *values.shape[1:]).transpose(1, 2).reshape(values.shape)


def rope_factors(model: "PreTrainedModel") -> torch.Tensor | None:
    """By how much each frequency of RoPE is stretched; None where none is."""
    rope = model.config.rope_parameters
    if rope.get("rope_type", "default") == "default":
        return None
    own = cast(Any, model).model.rotary_emb.inv_freq.float().cpu()
    steps = torch.arange(len(own), dtype=torch.float32) / len(own)
    return rope["rope_theta"] ** -steps / own


def add_shape(writer: "GGUFWriter", model: "PreTrainedModel") -> None:
    """What config.json says, in GGUF's words."""
    config = model.config
    width = head_width(config)
    writer.add_name(Path(config._name_or_path).name or config.model_type)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)


def head_width(config: Any) -> int:
    """Numbers of a head."""
    stated = getattr(config, "head_dim", None)
    return stated or config.hidden_size // config.num_attention_heads


def add_tokenizer(
    writer: "GGUFWriter", model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> None:
    """Tokens, merges, the pattern before them, special tokens, chat template and ends."""
    stated = read_bpe(tokenizer)
    tokens, kinds = list_tokens(model, tokenizer)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(find_pattern(stated))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    pairs = stated["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in pairs])

    # the marks, and whether a text gets them by itself
    for name in ("bos", "eos", "pad", "unk"):
        if (number := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    ids = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(ids[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(ids[-1] == tokenizer.eos_token_id)

    # where a reply ends, where that is another mark than the end of a text
    ends = [number for mark in data.end_marks(tokenizer) if (number := as_one(tokenizer, mark))]
    if ends and ends[0] != tokenizer.eos_token_id:
        writer.add_eot_token_id(ends[0])
    writer.add_chat_template(plain_template(tokenizer))


def as_one(tokenizer: "PreTrainedTokenizerBase", mark: str) -> int | None:
    """The token that a mark is; None for one that is several."""
    ids = cast("list[int]", tokenizer.encode(mark.strip(), add_special_tokens=False))
    return ids[0] if len(ids) == 1 else None


def read_bpe(tokenizer: "PreTrainedTokenizerBase") -> dict[str, Any]:
    """What tokenizer.json says of a byte-level BPE; `UserError` for another kind of tokenizer."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    stated = json.loads(backend.to_str()) if backend else {"model": {"type": "no tokenizer.json"}}
    kind, normalizer = stated["model"]["type"], (stated.get("normalizer") or {}).get("type", "NFC")
    if kind != "BPE" or stated["model"].get("byte_fallback") or normalizer != "NFC":
        told = "BPE with a normalizer or bytes as tokens" if kind == "BPE" else kind
        raise UserError(
            f"the tokenizer is a {told}, and GGUF is written here for byte-level BPE; merge the "
            "run, and convert that folder by llama.cpp's own script."
        )
    return stated


def find_pattern(stated: Mapping[str, Any]) -> str:
    """llama.cpp's name for what cuts a text before BPE; `UserError` for a cut that it has not."""
    step = stated.get("pre_tokenizer") or {}
    steps = step.get("pretokenizers", [step])
    cut = tuple(map(describe_step, steps))
    if cut not in PATTERNS:
        raise UserError(
            f"before BPE the tokenizer cuts texts by {' and '.join(cut) or 'nothing'}, for which "
            "llama.cpp has no name here; merge the run, and convert that folder by its own script."
        )
    return PATTERNS[cut]


def describe_step(step: Mapping[str, Any]) -> str:
    """One step of a pre-tokenizer as PATTERNS calls it."""
    kind = step.get("type", "nothing")
    if kind == "Digits" and step.get("individual_digits"):
        return "Digits"
    if kind == "ByteLevel" and not step.get("add_prefix_space"):
        return "ByteLevel by its own regex" if step.get("use_regex", True) else "ByteLevel"
    if kind == "Split" and step.get("behavior") == "Isolated" and not step.get("invert"):
        return str(step["pattern"].get("Regex", step["pattern"]))
    return str(kind)


def list_tokens(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase"
) -> tuple[list[str], list[int]]:
    """(tokens, their kinds) by number, filled up to the rows of the embedding."""
    size = model.config.vocab_size
    known = {number: token for token, number in tokenizer.get_vocab().items()}
    if known and max(known) >= size:
        raise UserError(
            f"the tokenizer has a token {max(known):,}, and the model's embedding {size:,} rows; "
            "the two belong to different models."
        )
    added = tokenizer.added_tokens_decoder
    special = set(tokenizer.all_special_ids)
    kinds = []
    for number in range(size):
        token = added.get(number)
        if number not in known:
            kinds.append(UNUSED)
        elif number in special or (token is not None and token.special):
            kinds.append(CONTROL)
        else:
            kinds.append(NORMAL if token is None else USER_DEFINED)
    return [known.get(number, f"[PAD{number}]") for number in range(size)], kinds


def plain_template(tokenizer: "PreTrainedTokenizerBase") -> str:
    """The chat template without {% generation %}, which transformers alone knows.

    It becomes {% if true %}, so that the white space around it is cut as before.
    """
    template = cast(str, tokenizer.get_chat_template())
    template = re.sub(r"\{%([-+]?)\s*generation\s*([-+]?)%\}", r"{%\1 if true \2%}", template)
    return re.sub(r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}", r"{%\1 endif \2%}", template)


def write_tensors(writer: "GGUFWriter", file: Path, weights: list[Weight]) -> None:
    """Write the file: its head first, then one tensor after the other."""
    import numpy as np

    gguf = need_gguf()
    for name, values, kind, _ in weights:
        # a number that numpy knows, or bytes
        number, shape = gguf.GGMLQuantizationType[kind.upper()], tuple(values.shape)
        dtype = np.dtype({"f32": "float32", "f16": "float16"}.get(kind, "uint8"))
        if dtype == np.uint8:
            shape = gguf.quant_shape_to_byte_shape(shape, number)
        nbytes = dtype.itemsize * torch.Size(shape).numel()
        writer.add_tensor_info(name, shape, dtype, nbytes, number)
    writer.write_header_to_file(file)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, values, kind, _ in weights:
        writer.write_tensor_data(pack(values, kind))
    writer.close()


def pack(values: torch.Tensor, kind: str) -> "ndarray":
    """Numbers as they are stored."""
    gguf = need_gguf()
    return gguf.quantize(values.contiguous().numpy(), gguf.GGMLQuantizationType[kind.upper()])


def unpack(packed: "ndarray", kind: str) -> torch.Tensor:
    """The numbers that stored ones stand for, in float32."""
    gguf = need_gguf()
    values = gguf.dequantize(packed, gguf.GGMLQuantizationType[kind.upper()])
    return torch.from_numpy(values.copy())


def as_stored(model: "PreTrainedModel", kind: str) -> Iterator[tuple[str, torch.Tensor]]:
    """(the model's own name, the numbers that a file of this kind holds) of every weight."""
    matrices = model.state_dict()
    for weight in name_weights(model, kind):
        if weight.own:
            values = matrices[weight.own].detach().float().cpu()
            yield weight.own, unpack(pack(values, weight.kind), weight.kind)


def write_adapter(tuned: "PeftModel", file: Path, kind: str = "f32") -> None:
    """Write the A and B of the LoRA that is on, for `llama-cli --lora` or Ollama's ADAPTER.

    kind: one of PLAIN. llama.cpp scales each layer by alpha over its rank; where the adapter scales
    otherwise (rsLoRA, patterns of ranks), the difference is in B. Raises `UserError` for an
    adapter that is no plain LoRA of linear layers.
    """
    gguf, kind = need_gguf(), find_kind(kind)
    check_plain(kind)
    check_plain_lora(tuned)
    name, config = tuned.active_adapter, cast(Any, tuned.active_peft_config)
    alpha = float(config.lora_alpha)
    weights = list(name_updates(tuned, str(name), alpha, kind))
    writer = gguf.GGUFWriter(None, check_architecture(tuned.config))
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    writer.add_file_type(file_type(gguf, kind))
    write_tensors(writer, file, weights)


def check_plain(kind: str) -> None:
    """Refuse a kind in blocks, for an adapter."""
    if kind not in PLAIN:
        raise UserError(
            f"an adapter in {kind} would round rows of its rank in blocks, which they need not "
            f"fill; give one of {', '.join(PLAIN)}."
        )


def check_plain_lora(tuned: "PeftModel") -> None:
    """Refuse all but A and B beside linear layers, by the name of what is there beside them."""
    lora.check_adapters(tuned)
    for label, _ in tuned.named_parameters():
        if lora.adapter_of(label) and not re.search(r"\.lora_[AB]\.[^.]+\.weight$", label):
            raise UserError(
                f"the adapter holds {models.plain_name(label)}, and a GGUF adapter holds the A and "
                "B of a LoRA alone; export it merged (--part merged)."
            )


def name_updates(tuned: "PeftModel", name: str, alpha: float, kind: str) -> Iterator[Weight]:
    """A and B of every layer under llama.cpp's names, the rows of B in its order."""
    config, gguf = tuned.config, need_gguf()
    family = check_architecture(config)
    names = gguf.get_tensor_name_map(arch_of(gguf, family), config.num_hidden_layers)
    for layer, module in lora.adapted_layers(tuned, [name]):
        parts, named = cast(Any, module), names.get_name(layer)
        if named is None:
            raise UserError(f"{layer} of this model has no place in a GGUF of {family!r}.")
        A, B = (part[name].weight.detach().float().cpu() for part in (parts.lora_A, parts.lora_B))
        named = f"{named}.weight"
        B = turn_rows(B, named, config) if family == "llama" else B
        B = B * (parts.scaling[name] * len(A) / alpha)
        yield Weight(f"{named}.lora_a", A, kind, layer)
        yield Weight(f"{named}.lora_b", B, kind, layer)


def read_adapter(model: "PreTrainedModel", file: Path) -> dict[str, torch.Tensor]:
    """{layer of the model: ΔW} of a GGUF adapter, as llama.cpp would add it: alpha/r · B A."""
    gguf, config = need_gguf(), model.config
    reader = gguf.GGUFReader(file)
    alpha = float(reader.fields[gguf.Keys.Adapter.LORA_ALPHA].parts[-1][0])
    stored = {
        tensor.name: torch.from_numpy(gguf.dequantize(tensor.data, tensor.tensor_type).copy())
        for tensor in reader.tensors
    }
    family = check_architecture(config)
    names = gguf.get_tensor_name_map(arch_of(gguf, family), config.num_hidden_layers)
    updates = {}
    for layer in models.linears(model):
        named = f"{names.get_name(layer)}.weight"
        if f"{named}.lora_a" in stored:
            A, B = stored[f"{named}.lora_a"], stored[f"{named}.lora_b"]
            update = alpha / len(A) * (B @ A)
            updates[layer] = turn_back(update, named, config) if family == "llama" else update
    return updates


def turn_back(values: torch.Tensor, name: str, config: Any) -> torch.Tensor:
    """What `turn_rows` did, undone."""
    numbers = torch.arange(len(values)).unsqueeze(1)
    order = turn_rows(numbers, name, config).flatten()
    back = torch.empty_like(values)
    back[order] = values
    return back


def notes(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> list[str]:
    """What another program does otherwise than the model here, as far as it is known."""
    said = []
    if read_bpe(tokenizer).get("normalizer"):
        said.append("llama.cpp does not compose letters and accents first (NFC), as the model does")
    if rope_factors(model) is not None:
        said.append("RoPE's factors are in rope_freqs.weight, which transformers does not read")
    return said
