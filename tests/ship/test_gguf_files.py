"""A GGUF is the model, whatever its family; what the file can't hold is refused by name."""

import warnings

import families
import pytest
import torch
from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import AutoTokenizer

from ftkit import UserError, lora, models, ship
from ftkit.core.files import data_path
from ftkit.ship import gguf_files, proof

PROMPTS = [[{"role": "user", "content": f"Say {word}."}] for word in ("one", "two", "three")]
# Heads of different numbers, biases, RoPE that is stretched, a head of its own.
SHAPES = {
    "llama": ("llama", "f32", {}),
    "stretched": ("llama", "bf16", {"tie_word_embeddings": False}),
    "qwen": ("qwen", "q4_0", {}),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_read_back_is_the_model(shape, tmp_path):
    family, kind, options = SHAPES[shape]
    model, tokenizer = models.load(families.write(family, tmp_path / "base", ending=20, **options))
    file = tmp_path / "model.gguf"
    ship.write_model(model, tokenizer, file, kind)
    proofs = ship.prove_model(model, tokenizer, file, kind, PROMPTS)
    assert [one.equal for one in proofs[:4]] == [one.of for one in proofs[:4]]
    assert proofs[-1].exact == (kind == "f32") and proofs[0].of >= 20


def test_rope_that_is_stretched_is_stated_by_its_factors(tmp_path):
    """transformers reads no such tensor: held to the model's own frequencies instead."""
    model, tokenizer = models.load(families.write("llama", tmp_path / "base"))
    assert model.config.rope_parameters["rope_type"] == "llama3"
    factors = gguf_files.rope_factors(model)
    own = model.model.rotary_emb.inv_freq
    theta, half = model.config.rope_parameters["rope_theta"], len(own)
    plain = 1 / theta ** (torch.arange(half) / half)
    assert torch.allclose(plain / factors, own) and factors[0] == 1 < factors[-1]
    assert any("rope_freqs" in note for note in gguf_files.notes(model, tokenizer))
    assert gguf_files.rope_factors(models.load("pocket")[0]) is None


def test_a_tensor_that_was_written_wrong_is_seen(tmp_path, monkeypatch):
    """The rows of Q and K in the order that they have in transformers make another model."""
    model, tokenizer = models.load(families.write("llama", tmp_path / "base", ending=20))
    monkeypatch.setattr(gguf_files, "turn_rows", lambda values, *_: values)
    ship.write_model(model, tokenizer, tmp_path / "model.gguf")
    said = r"of tensors, as f32 holds them \d+ of \d+ are equal, read back by transformers"
    with pytest.raises(UserError, match=said):
        ship.prove_model(model, tokenizer, tmp_path / "model.gguf", "f32", PROMPTS)


def test_rows_are_turned_and_back():
    config = models.load("pocket")[0].config
    rows = torch.arange(256.0)
    turned = gguf_files.turn_rows(rows, "blk.0.attn_q.weight", config)
    assert turned[:4].tolist() == [0, 16, 1, 17]  # of a head of 32
    assert torch.equal(gguf_files.turn_back(turned, "blk.0.attn_q.weight", config), rows)
    assert torch.equal(gguf_files.turn_rows(rows, "blk.0.attn_v.weight", config), rows)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("q8", r"'q8' is not written here; give one of f32, .*q8_0"),
        ("q4_k_m", r"K-kinds are packed by llama.cpp itself"),
        ("int4", "a GGUF in 'int4' is not written here"),
    ],
)
def test_a_kind_that_is_none_is_refused(kind, said):
    with pytest.raises(UserError, match=said):
        gguf_files.find_kind(kind)
    assert [gguf_files.find_kind(name) for name in ("float16", "BF16")] == ["f16", "bf16"]


def test_widths_that_a_kind_does_not_allow_are_refused(tmp_path):
    folder = families.write("qwen", tmp_path / "base", intermediate_size=250)
    model, tokenizer = models.load(folder)
    said = r"blk.0.ffn_down.weight has rows of 250 numbers, and q8_0 packs 32 .* f32, f16, bf16"
    with pytest.raises(UserError, match=said):
        ship.write_model(model, tokenizer, tmp_path / "model.gguf", "q8_0")
    assert not (tmp_path / "model.gguf").exists()


def test_an_architecture_that_is_not_known_is_refused(tmp_path):
    model, tokenizer = models.load(families.write("gemma", tmp_path / "base"))
    with pytest.raises(UserError, match=r"the architecture is 'gemma3_text', .* qwen3; merge it"):
        ship.write_model(model, tokenizer, tmp_path / "model.gguf")


def test_tokenizers_that_llama_cpp_would_read_otherwise_are_refused(tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(families.write("llama", tmp_path / "base"))
    stated = gguf_files.read_bpe(tokenizer)
    assert gguf_files.find_pattern(stated) == "gpt-2"
    odd = {"pre_tokenizer": {"type": "Whitespace"}}
    with pytest.raises(UserError, match=r"cuts texts by Whitespace, for which llama.cpp has no"):
        gguf_files.find_pattern(odd)
    assert gguf_files.find_pattern(gguf_files.read_bpe(models.load("pocket")[1])) == "smollm"


@pytest.mark.parametrize(
    ("pattern", "name"), [(gguf_files.LLAMA_3, "llama-bpe"), (gguf_files.QWEN_2, "qwen2")]
)
def test_a_pattern_has_the_name_under_which_it_is_read(pattern, name, tmp_path):
    """The names are llama.cpp's; transformers has its own table of them."""
    read = pytest.importorskip("transformers.integrations.gguf.gguf_tokenizer_mapping")
    assert read.GGUF_PRE_TOKENIZER_SPLITS[name] == pattern
    tokenizer = families.make_tokenizer(*families.FAMILIES["qwen"][1:])
    steps = [
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    assert gguf_files.find_pattern(gguf_files.read_bpe(tokenizer)) == name
    tokenizer.backend_tokenizer.normalizer = normalizers.NFC()
    model = models.load(families.write("qwen", tmp_path / "base"))[0]
    assert any("NFC" in note for note in gguf_files.notes(model, tokenizer))
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(UserError, match="the tokenizer is a BPE with a normalizer or bytes"):
        gguf_files.read_bpe(tokenizer)


def test_the_template_without_generation_writes_the_same():
    tokenizer = models.load("pocket")[1]
    chat = [{"role": "user", "content": "A"}, {"role": "assistant", "content": "B"}]
    plain = gguf_files.plain_template(tokenizer)
    assert "generation" in tokenizer.chat_template
    assert "generation %" not in plain and "if true" in plain
    own = tokenizer.apply_chat_template(chat, tokenize=False)
    assert tokenizer.apply_chat_template(chat, tokenize=False, chat_template=plain) == own


def adapted(**options):
    with warnings.catch_warnings(action="ignore"):
        model = lora.attach(models.load("pocket")[0], **{"r": 4, "targets": "q,v", **options})
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.05, generator=generator)
    return model.eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"use_rslora": True},
        {"targets": ["q_proj", "k_proj", "down_proj"], "rank_pattern": {"k_proj": 2},
         "alpha_pattern": {"q_proj": 3}},
    ],
)  # fmt: skip
def test_an_adapter_alone_is_the_tuned_model_on_its_base(options, tmp_path):
    """llama.cpp scales every layer by one alpha over its rank: what differs has to be in B."""
    model, file = adapted(**options), tmp_path / "adapter.gguf"
    ship.write_adapter(model, file, "f32")
    base, tokenizer = models.load("pocket")
    proofs = ship.prove_adapter(model, base, tokenizer, file, "f32", PROMPTS)
    assert [one.equal for one in proofs] == [one.of for one in proofs]
    updates = gguf_files.read_adapter(base, file)
    wanted = lora.deltas(model, base)
    assert updates.keys() == wanted.keys()
    assert all(torch.allclose(updates[n], wanted[n], atol=1e-5) for n in wanted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"use_dora": True}, "the adapter holds .*lora_magnitude_vector"),
        ({"modules_to_save": ["lm_head"]}, r"the adapter holds .*modules_to_save.* \(--part merg"),
    ],
)
def test_what_a_gguf_adapter_can_not_hold_is_refused(options, said, tmp_path):
    with pytest.raises(UserError, match=said):
        ship.write_adapter(adapted(**options), tmp_path / "adapter.gguf")
    with pytest.raises(UserError, match="an adapter in q8_0 would round rows of its rank"):
        ship.write_adapter(adapted(), tmp_path / "adapter.gguf", "q8_0")
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_on_another_base_is_seen(tmp_path):
    model, file = adapted(), tmp_path / "adapter.gguf"
    ship.write_adapter(model, file)
    other, tokenizer = models.load(data_path("pocket"))
    with torch.no_grad():
        other.model.layers[0].self_attn.q_proj.weight.mul_(-1)
    with pytest.raises(UserError, match="the adapter belongs to another base"):
        proof.prove_adapter(model, other, tokenizer, file, "f32", PROMPTS)
