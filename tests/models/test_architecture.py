"""The arithmetic of architectures, held to published totals and to what transformers builds."""

import json
import random
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


# Keys that the families hear or pass over, each in its own way; and what may be wrong with none.
HEARD = {
    "head_dim": [8, 16],
    "num_key_value_heads": [1, 2, 4],
    "tie_word_embeddings": [True, False],
    "attention_bias": [True, False],
    "mlp_bias": [True, False],
    "num_experts": [5],
    "num_local_experts": [5],
    "mlp_only_layers": [[0], []],
    "decoder_sparse_step": [1, 2],
    "add_cross_attention": [False],
    "n_inner": [None, 40],
    "qk_norm": [True],
    "use_qkv_bias": [True],
    "bias": [True],
    "shared_expert_intermediate_size": [16],
    "sliding_window": [4],
}


@pytest.mark.parametrize("family", architecture.FAMILIES)
def test_what_a_family_hears_of_its_config_and_what_not(family):
    """A key that is left out means the family's own default, and some keys mean nothing to it."""
    draw = random.Random(family)
    for _ in range(12):
        sizes = SMALL_GPT2 if family == "gpt2" else {**SMALL, "moe_intermediate_size": 24}
        config = {"model_type": family, **sizes}
        for key, values in HEARD.items():
            if draw.random() < 0.4:
                config[key] = draw.choice(values)
        if "num_local_experts" not in config:
            config["num_experts"] = 5
        ours = {name: p.numel() for name, p in built(config).named_parameters()}
        assert parameters(config) == ours, config


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


LLAMA = {"model_type": "llama", **FEW_KEYS}


def but(**keys):
    """The text of a small Llama's config with other values."""
    return json.dumps({**LLAMA, **keys})


@pytest.mark.parametrize(
    ("source", "text", "sentence"),
    [
        ("llama-3.1-8", None, "Did you mean 'llama-3.1-8b'"),
        ("owner/name", None, "check the network and HF_HUB_OFFLINE"),
        ("folder", None, "folder holds no config.json"),
        ("adapter", None, "adapter holds an adapter and no model; give its base, 'pocket'"),
        ("c.json", "{a", "c.json is not JSON"),
        ("c.json", "[" * 10**5, "c.json is not JSON"),
        ("c.json", "[]", 'has no "model_type"'),
        ("c.json", '{"model_type": 5}', 'has no "model_type" that is a word'),
        ("c.json", '{"model_type": "llama", "hidden_size": 8}', 'needs "num_hidden_layers".*None'),
        ("c.json", but().replace("{", '{"vocab_size": 7, ', 1), "states 'vocab_size' twice"),
        ("c.json", '{"model_type": "lama"}', "'lama' is not known here.*Did you mean 'llama'"),
        ("c.json", but(model_type="gpt2", add_cross_attention=True), "'gpt2' with cross-attention"),
        ("c.json", but(hidden_size=-8), 'needs "hidden_size" as a whole number from 1 on.*-8'),
        ("c.json", but(hidden_size=0), 'needs "hidden_size" .* 0'),
        ("c.json", but(hidden_size="32"), "needs \"hidden_size\" .* '32'"),
        ("c.json", but(hidden_size=32.0), 'needs "hidden_size" .* 32.0'),
        ("c.json", but(vocab_size=True), 'needs "vocab_size" .* True'),
        ("c.json", but(num_hidden_layers=10**9), "10000000+; give a model of at most 10,000"),
        ("c.json", but(hidden_size=30), '"num_attention_heads" is 4, which does not divide'),
        ("c.json", but(num_key_value_heads=3), '"num_key_value_heads" 3, which does not divide it'),
        ("c.json", but(tie_word_embeddings="false"), "is 'false'; give true or false"),
        ("c.json", but(tie_word_embeddings=None), "is None; give true or false"),
        ("c.json", but(attention_bias=1), '"attention_bias" is 1; give true or false'),
        (
            "c.json",
            but(model_type="qwen2", num_attention_heads=2**40, num_key_value_heads=1),
            'more than "hidden_size", 32, so that nothing is left for a head',
        ),
        ("c.json", but(model_type="mixtral", num_experts={}), 'needs "num_experts" .* {}'),
        (
            "c.json",
            but(model_type="mixtral", num_experts=4, num_local_experts=8),
            '"num_experts" is 4 and "num_local_experts" is 8, two names of one size',
        ),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, monkeypatch, source, text, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "adapter").mkdir()
    stated = json.dumps({"peft_type": "LORA", "base_model_name_or_path": "pocket"})
    (tmp_path / "adapter" / "adapter_config.json").write_text(stated)
    if text:
        (tmp_path / source).write_text(text)
    with pytest.raises(UserError, match=sentence) as error:
        architecture.shapes(architecture.read(source))
    assert "\n" not in str(error.value)


def test_a_config_is_utf_8_with_or_without_a_mark(tmp_path):
    file = tmp_path / "c.json"
    file.write_text(but(), encoding="utf-8-sig")
    assert architecture.read(file) == LLAMA
    file.write_text(but(), encoding="utf-16")
    with pytest.raises(UserError, match=r"c\.json is in UTF-16; save it as UTF-8"):
        architecture.read(file)


def test_a_dictionary_is_looked_at_too():
    with pytest.raises(UserError, match='the config has no "model_type"'):
        architecture.read({"hidden_size": 8})


def test_arithmetic_needs_neither_torch_nor_transformers():
    code = "import sys; from ftkit.models import architecture as a; a.shapes(a.read('gpt2'));"
    code += "print({'torch', 'transformers'} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_other_words_for_the_sizes_of_gpt2_are_left_to_transformers():
    config = {"model_type": "gpt2", "n_layer": 2, "n_embd": 8, "n_head": 2, "vocab_size": 9}
    assert architecture.is_known(config)
    assert not architecture.is_known({**config, "num_hidden_layers": 4}), "which it would hear"


@pytest.mark.parametrize(
    ("key", "value"), [("layer_types", 3), ("mlp_only_layers", 1.5), ("sliding_window", False)]
)
def test_a_list_and_a_window_are_none_of_another_kind(key, value):
    config = {**architecture.read("mistral-7b"), key: value}
    with pytest.raises(UserError, match=f'"{key}"'):
        architecture.shapes(config)
