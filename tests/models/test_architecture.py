"""The arithmetic of architectures, held to published totals and to what transformers builds."""

import json
import re
import subprocess
import sys

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from ftkit import UserError
from ftkit.core.files import data_path
from ftkit.models import architecture

SMALL = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "intermediate_size": 48,
    "vocab_size": 100,
    "pad_token_id": 0,
}
FEW_KEYS = {**SMALL, "num_key_value_heads": 2}
SMALL_GPT2 = {"n_embd": 32, "n_head": 4, "n_layer": 3, "vocab_size": 100, "n_positions": 16}


def built(config):
    """The model that transformers makes of a config, on the meta device."""
    keys = {k: v for k, v in config.items() if not k.startswith("_") and k != "model_type"}
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(config["model_type"], **keys))


def parameters(config):
    """{parameter's name: numbers} by our arithmetic."""
    return {
        name if w.kind in ("bias", "expert") else f"{name}.weight": w.d_out * w.d_in * w.each
        for w in architecture.shapes(config)
        for name in w.names
    }


def published():
    """{name: total} from the card, a row a config."""
    rows = re.findall(
        r"^\| (\S+) \| .+ \| (.+) \|$",
        data_path("configs", "README.md").read_text(encoding="utf-8"),
        re.M,
    )
    return {name: int(total.replace(",", "")) for name, total in rows if total[0].isdigit()}


def test_at_least_16_architectures_are_shipped_and_the_card_names_each():
    assert len(architecture.names()) >= 16
    assert set(architecture.names()) == published().keys() | {"gpt3-175b"}
    assert all(architecture.read(name)["_source"] for name in architecture.names())


@pytest.mark.parametrize("name", sorted(published()))
def test_the_sum_of_all_weights_is_the_published_total(name):
    assert sum(w.numel for w in architecture.shapes(architecture.read(name))) == published()[name]


def test_gpt3_is_175_billion():
    assert (
        round(sum(w.numel for w in architecture.shapes(architecture.read("gpt3-175b"))) / 1e9)
        == 175
    )


@pytest.mark.parametrize("name", [*architecture.names(), "pocket"])
def test_every_weight_is_in_the_real_model_by_name_and_size(name):
    config = architecture.read(name)
    assert parameters(config) == {n: p.numel() for n, p in built(config).named_parameters()}


VARIANTS = [
    *(
        {"model_type": kind, **FEW_KEYS}
        for kind in architecture.DECODERS
        if kind not in ("mixtral", "qwen3_moe", "olmoe")
    ),
    *(
        {"model_type": kind, **FEW_KEYS, "tie_word_embeddings": tied}
        for kind in ("llama", "gemma2", "olmo2")
        for tied in (True, False)
    ),
    *(
        {"model_type": kind, **FEW_KEYS, "attention_bias": True, "head_dim": 16}
        for kind in ("llama", "qwen3", "gemma3_text", "mistral")
    ),
    {"model_type": "llama", **FEW_KEYS, "mlp_bias": True},
    {"model_type": "llama", **SMALL, "num_key_value_heads": None, "head_dim": None},
    {"model_type": "mixtral", **FEW_KEYS, "num_local_experts": 5},
    {"model_type": "olmoe", **FEW_KEYS, "num_experts": 5, "attention_bias": True},
    {
        "model_type": "qwen3_moe",
        **FEW_KEYS,
        "num_experts": 5,
        "moe_intermediate_size": 24,
        "decoder_sparse_step": 2,
        "head_dim": 8,
    },
    {
        "model_type": "qwen3_moe",
        **FEW_KEYS,
        "num_experts": 5,
        "moe_intermediate_size": 24,
        "mlp_only_layers": [0, 2],
        "head_dim": 8,
    },
    {
        "model_type": "qwen3_moe",
        **FEW_KEYS,
        "num_experts": 5,
        "moe_intermediate_size": 24,
        "decoder_sparse_step": 9,
        "head_dim": 8,
    },
    {"model_type": "gpt2", **SMALL_GPT2, "n_inner": 40, "tie_word_embeddings": False},
    {"model_type": "gpt2", **SMALL_GPT2},
    {"model_type": "gpt_neox", **SMALL, "attention_bias": False},
    {"model_type": "gpt_neox", **SMALL, "tie_word_embeddings": True},
]


@pytest.mark.parametrize(
    "config",
    VARIANTS,
    ids=lambda c: "-".join(
        [c["model_type"], *(key for key in c if key not in SMALL | SMALL_GPT2 | {"model_type": 0})]
    ),
)
def test_what_a_config_may_leave_out_or_switch_on(config):
    assert parameters(config) == {n: p.numel() for n, p in built(config).named_parameters()}


def test_a_matrix_is_d_out_by_d_in_also_in_a_conv1d():
    config = architecture.read("gpt2")
    model = built(config)
    for w in architecture.shapes(config):
        if w.kind == "conv1d":
            assert tuple(model.get_submodule(w.names[-1]).weight.shape) == (w.d_in, w.d_out)
    for w in architecture.shapes(architecture.read("llama-3.1-8b")):
        if w.part == "self_attn.k_proj":
            assert (w.d_out, w.d_in, w.copies, w.kind, w.names[31]) == (
                1024,
                4096,
                32,
                "linear",
                "model.layers.31.self_attn.k_proj",
            )


def test_experts_count_as_copies():
    experts = [
        w for w in architecture.shapes(architecture.read("mixtral-8x7b")) if w.kind == "expert"
    ]
    assert [(w.part, w.d_out, w.d_in, w.copies, len(w.names)) for w in experts] == [
        ("mlp.experts.gate_up_proj", 28672, 4096, 256, 32),
        ("mlp.experts.down_proj", 4096, 14336, 256, 32),
    ]


def test_a_config_is_found_by_name_file_folder_dict_and_model(tmp_path):
    config = {"model_type": "llama", **FEW_KEYS}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert (
        architecture.read(tmp_path)
        == architecture.read(str(tmp_path / "config.json"))
        == architecture.read(config)
        == config
    )
    assert architecture.read("pocket")["hidden_size"] == 256
    assert parameters(architecture.read(built(config))) == parameters(config)


def test_of_a_hub_model_only_the_config_is_fetched(tmp_path, monkeypatch):
    import huggingface_hub

    asked = []
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", **FEW_KEYS}))
    monkeypatch.setattr(
        huggingface_hub,
        "hf_hub_download",
        lambda *words: asked.append(words) or str(tmp_path / "config.json"),
    )
    assert architecture.read("owner/name")["model_type"] == "llama"
    assert asked == [("owner/name", "config.json")]


@pytest.mark.parametrize(
    ("source", "text", "sentence"),
    [
        ("llama-3.1-8", None, "Did you mean 'llama-3.1-8b'"),
        ("owner/name", None, "check the network and HF_HUB_OFFLINE"),
        ("folder", None, "folder holds no config.json"),
        ("c.json", "{a", "c.json is not JSON"),
        ("c.json", "[]", 'has no "model_type"'),
        ("c.json", '{"model_type": "llama", "hidden_size": 8}', 'needs "num_hidden_layers".*None'),
        (
            "c.json",
            '{"model_type": "gpt2", "n_embd": -8}',
            'needs "n_embd" as a whole number from 1 on.*-8',
        ),
        ("c.json", '{"model_type": "lama"}', "'lama' is not known here.*Did you mean 'llama'"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, source, text, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    if text:
        (tmp_path / source).write_text(text)
    with pytest.raises(UserError, match=sentence):
        architecture.shapes(architecture.read(source))


def test_arithmetic_needs_neither_torch_nor_transformers():
    code = "import sys; from ftkit.models import architecture as a; a.shapes(a.read('gpt2'));"
    code += "print({'torch', 'transformers'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"
