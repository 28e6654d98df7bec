"""A saved adapter is loaded whole, or refused in one sentence before the model is touched.

The kinds of damage are those of public bug reports: peft 2566, 2699 and 2018 (tensors that are
missing or bear other names load without a word), transformers 45127 (a vocabulary that has grown),
safetensors 498 (ZeRO-3 leaves empty tensors).
"""

import json
import warnings

import pytest
import torch
from peft import HRAConfig, LoHaConfig, LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from ftkit import UserError, lora, models
from ftkit.lora import saved

IDS = torch.arange(6, 26)[None]
FIRST = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
EMBEDDING = "base_model.model.model.embed_tokens.weight"


@pytest.fixture
def base():
    return models.load("pocket")[0]


def make(folder, model=None, **options):
    """Save an adapter with an effect, made by peft alone; the logits that it should give."""
    model = models.load("pocket")[0] if model is None else model
    values = {"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **options}
    adapted = get_peft_model(model, LoraConfig(**values)).eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
    with warnings.catch_warnings(action="ignore"):
        adapted.save_pretrained(folder)
    return adapted(IDS).logits.detach()


@pytest.fixture
def folder(tmp_path):
    make(tmp_path / "adapter")
    return tmp_path / "adapter"


def rewrite(folder, change):
    file = folder / saved.WEIGHTS
    tensors = change(load_file(file))
    save_file({n: t.contiguous() for n, t in tensors.items()}, file, {"format": "pt"})


def state(folder, **values):
    file = folder / saved.CONFIG
    stated = json.loads(file.read_text()) | values
    file.write_text(json.dumps(stated))


def refused(model, folder, *parts):
    """One sentence with these words; the model is as it was."""
    before = {name: values.clone() for name, values in model.state_dict().items()}
    with pytest.raises(UserError) as error:
        lora.load(model, folder)
    message = str(error.value)
    assert [part for part in parts if part not in message] == [], message
    assert "\n" not in message
    after = model.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def renamed(old, new):
    return lambda tensors: {name.replace(old, new): t for name, t in tensors.items()}


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda t: {}, ["promises 16 tensors on this model and it holds none of them"]),
        (lambda t: {n: v for n, v in t.items() if "lora_A" in n}, ["holds 8 of them", "lora_B"]),
        (lambda t: dict(sorted(t.items())[:8]), ["holds 8 of them", "model.layers.2."]),
        (lambda t: dict(sorted(t.items())[:-1]), ["holds 15 of them", "layers.3.self_attn.v_proj"]),
        (renamed("base_model.model.", ""), ["16 of the 16", "other names", f"for {FIRST!r}"]),
        (renamed("base_model.", "module.base_model."), ["other names"]),
        (renamed("base_model.model.", "base_model.model.module."), ["other names"]),
        (renamed("base_model.model.", "base_model.model._orig_mod."), ["other names"]),
        (renamed("layers.0.", "layers.0._fsdp_wrapped_module."), ["layers.0", "other names"]),
        (renamed(".weight", ".default.weight"), ["other names", "default.weight"]),
        (renamed(".weight", ".mine.weight"), ["other names", "mine.weight"]),
        (renamed("lora_A", "lora.down"), ["promises 16 tensors"]),
        (
            lambda t: {**t, FIRST.replace("q_proj", "k_proj"): t[FIRST] + 0},
            ["not promise (1 of 17)"],
        ),
        (lambda t: {**t, "base_model.model.x.y": t[FIRST] + 0}, ["another base: it updates x.y"]),
        (lambda t: {n: torch.empty(0) for n in t}, ["16 empty tensors", "ZeRO-3"]),
        (lambda t: {**t, FIRST: torch.empty(0)}, ["1 empty tensors", "gathered"]),
        (lambda t: {**t, FIRST: t[FIRST] / 0}, ["NaN or infinite values", "layers.0.self_attn"]),
        (lambda t: {**t, FIRST: t[FIRST].to(torch.int8)}, ["torch.int8", "fractions"]),
        (lambda t: {**t, FIRST: t[FIRST][:3]}, ["another rank", "3 × 256", "4 × 256"]),
        (lambda t: {**t, FIRST: t[FIRST][:, :9]}, ["another base: its A", "4 × 9", "256 × 256"]),
        (lambda t: {**t, EMBEDDING: torch.zeros(1280, 256)}, ["0% of its rows are this base's"]),
        (lambda t: {**t, EMBEDDING: torch.zeros(1281, 256)}, ["1281 × 256", "resize_token_embed"]),
    ],
)
def test_a_file_that_is_not_what_its_configuration_promises(change, parts, folder, base):
    rewrite(folder, change)
    refused(base, folder, *parts)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"r": 8}, ["another rank", "4 × 256", "8 × 256"]),
        ({"r": 0}, ["the rank 0", "from 1 on"]),
        ({"r": "8"}, ["the rank '8'"]),
        ({"lora_alpha": 0}, ["the alpha 0", "other than 0"]),
        ({"lora_alpha": None}, ["the alpha None"]),
        ({"rank_pattern": [1]}, ["rank_pattern = [1]", "no table"]),
        ({"rank_pattern": {"q_proj": "x"}}, ["the rank 'x' (q_proj)"]),
        ({"alpha_pattern": {"q_porj": 64}}, ["'q_porj' in its alpha_pattern", "'q_proj'?"]),
        ({"use_dora": True}, ["promises 24 tensors", "lora_magnitude_vector"]),
        ({"modules_to_save": ["lm_head"]}, ["promises 17 tensors", "lm_head"]),
        ({"layers_to_transform": [0]}, ["not promise (12 of 16)"]),
        ({"target_modules": ["nothing"]}, ["does not fit this base", "'nothing'"]),
        ({"target_modules": "("}, ["does not fit this base"]),
        ({"alora_invocation_tokens": [1, 2]}, ["alora_invocation_tokens = [1, 2]", "everywhere"]),
        ({"monteclora_config": "x"}, ["monteclora_config = 'x'", "no table"]),
        ({"modules_to_save": ["lm_hed"]}, ["'lm_hed'", "modules_to_save"]),
        ({"base_model_name_or_path": {"a": 1}, "r": 0}, ["the rank 0"]),
        ({"use_magic": True, "peft_version": "9.1"}, ["use_magic = True", "written by 9.1"]),
        ({"peft_type": "LORAX"}, ["kind 'LORAX'", "reads LORA"]),
        ({"task_type": "SEQ_CLS"}, ["task 'SEQ_CLS'", "CAUSAL_LM"]),
        ({"init_lora_weights": "pissa"}, ["'pissa'", "path_initial_model_for_weight_conversion"]),
        ({"init_lora_weights": "pissa_niter_4"}, ["'pissa_niter_4'"]),
        ({"init_lora_weights": "olora"}, ["'olora'"]),
        ({"layer_replication": [[0, 4], [2, 4]]}, ["layer_replication"]),
        ({"use_rslora": "false"}, ["use_rslora = 'false'", "true or false"]),
        ({"fan_in_fan_out": 1}, ["fan_in_fan_out = 1", "true or false"]),
        (
            {"target_parameters": ["mlp.experts.down_proj"], "peft_version": "0.18.0"},
            ["updates experts (mlp.experts.down_proj)", "peft 0.19"],
        ),
    ],
)
def test_a_configuration_that_does_not_speak_of_this_file_or_base(values, parts, folder, base):
    state(folder, **values)
    refused(base, folder, *parts)


@pytest.mark.parametrize(
    "values",
    [
        {"use_magic": False, "enable_lora": None},
        {"base_model_name_or_path": None, "revision": "main", "lora_dropout": 0.3},
        {"task_type": None},
    ],
)
def test_what_says_nothing_is_passed_over(values, folder, base):
    want = lora.load(models.load("pocket")[0], folder)(IDS).logits
    state(folder, **values)
    assert torch.equal(lora.load(base, folder).eval()(IDS).logits, want)


def test_other_methods_are_refused_by_name(tmp_path, base):
    for config in (
        LoHaConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]),
        HRAConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]),
    ):
        get_peft_model(models.load("pocket")[0], config).save_pretrained(tmp_path / "other")
        refused(base, tmp_path / "other", f"kind {config.peft_type.value!r}", "peft itself")


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        (saved.WEIGHTS, None, ["no adapter_model.safetensors", "save_pretrained"]),
        (saved.WEIGHTS, "adapter_model.bin", ["adapter_model.bin, a pickle", "where you trust it"]),
        (saved.WEIGHTS, "adapter_model-00001-of-00002.safetensors", ["1 other files of it"]),
        (saved.CONFIG, None, ["no adapter_config.json"]),
        (saved.CONFIG, "mine/adapter_config.json", ["it holds mine: give one of them"]),
    ],
)
def test_a_folder_without_one_of_the_two_files(old, new, parts, folder, base):
    (folder / "mine").mkdir()
    if new:
        (folder / old).rename(folder / new)
    else:
        (folder / old).unlink()
    refused(base, folder, *parts)


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": "all-linear"},
        {"target_modules": r".*layers\.[01]\.self_attn\.(q|k)_proj"},
        {"layers_to_transform": [1]},
        {"rank_pattern": {"v_proj": 2}, "alpha_pattern": {"layers.0.self_attn.q_proj": 64}},
        {"use_rslora": True},
        {"use_dora": True},
        {"lora_bias": True},
        {"bias": "all"},  # of a base without biases
        {"init_lora_weights": "orthogonal"},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"modules_to_save": ["lm_head", "norm"]},
        {"trainable_token_indices": [1, 2, 3]},
    ],
)
def test_every_kind_of_lora_is_itself_after_loading_and_the_base_when_off(options, tmp_path, base):
    before = base(IDS).logits
    want = make(tmp_path, **options)
    with warnings.catch_warnings(action="ignore"):
        loaded = lora.load(base, tmp_path).eval()
    torch.testing.assert_close(loaded(IDS).logits, want)
    assert not torch.allclose(want, before)
    with lora.using(loaded, None):
        assert torch.equal(loaded(IDS).logits, before)


def test_a_vocabulary_that_has_grown_is_asked_of_the_base(tmp_path, base):
    grown = models.load("pocket")[0]
    grown.resize_token_embeddings(1281)
    want = make(tmp_path, grown, modules_to_save=["embed_tokens", "lm_head"])
    refused(base, tmp_path, "1281 × 256", "1280 × 256", "model.resize_token_embeddings first")
    base.resize_token_embeddings(1281)
    torch.testing.assert_close(lora.load(base, tmp_path).eval()(IDS).logits, want)


def small(family, **values):
    """An untrained model of another family, whose biases are not zero."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **values)).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter)
    return model


SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 64,
}


def test_biases_of_the_base_itself_can_not_be_switched_off(tmp_path):
    make(tmp_path, small("qwen2", **SIZES), bias="all")
    refused(small("qwen2", **SIZES), tmp_path, "bias = 'all'", "6 biases", "merge_and_unload")


def test_a_bias_of_a_module_that_is_saved_whole_is_the_adapters_own(tmp_path):
    """A norm with a bias in modules_to_save was taken for bias = "all"."""
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 4, "n_positions": 64, "vocab_size": 64}
    options = {"target_modules": ["c_attn"], "fan_in_fan_out": True, "modules_to_save": ["ln_f"]}
    want = make(tmp_path, small("gpt2", **sizes), **options)
    base = small("gpt2", **sizes)
    before = base(IDS).logits
    loaded = lora.load(base, tmp_path).eval()
    torch.testing.assert_close(loaded(IDS).logits, want)
    with lora.using(loaded, None):
        assert torch.equal(loaded(IDS).logits, before)


KINDS = {
    "plain": {},
    "tokens": {"trainable_token_indices": [3]},
    "lengths": {"use_dora": True, "target_modules": ["q_proj", "v_proj", "up_proj"]},
    "biases": {"lora_bias": True, "target_modules": ["q_proj", "up_proj"]},
    "parameter": {"target_parameters": ["up_proj.weight"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("tokens", "plain"),
        ("tokens", "embedding"),
        ("embedding", "tokens"),
        ("parameter", "lengths"),
        ("parameter", "biases"),
    ],
)
def test_kinds_that_peft_can_not_put_beside_each_other_leave_the_first_alone(
    first, second, tmp_path
):
    """peft breaks off half way, or, beside a parameter, drops the biases of B without a word."""
    for kind in (first, second):
        make(tmp_path / kind, small("llama", **SIZES), **KINDS[kind])
    with warnings.catch_warnings(action="ignore"):
        model = lora.load(small("llama", **SIZES), tmp_path / first, "a").eval()
        want = model(IDS).logits
        said = r"is of a kind that peft can't put beside a on one model \(.*\); load it on a base"
        with pytest.raises(UserError, match=said):
            lora.load(model, tmp_path / second, "b")
    assert torch.equal(model(IDS).logits, want)
    assert set(lora.adapter_bytes(model)) == {"a", "base"}


def test_a_dora_on_eight_bits_and_a_cpu_is_refused_where_peft_can_not_run_it(tmp_path):
    make(tmp_path, use_dora=True)
    packed = models.load("pocket", quant="int8")[0]
    if packed.device.type == "cpu":
        refused(packed, tmp_path, "use_dora", "eight bits on a CPU", "quant='nf4'")
        with pytest.raises(UserError, match="this LoRA states use_dora"):
            lora.attach(packed, use_dora=True)
    four = models.load("pocket", quant="nf4")[0]
    assert lora.load(four, tmp_path).eval()(IDS.to(four.device)).logits.isfinite().all()


def test_gpt2_stores_its_matrices_the_other_way_round(tmp_path):
    sizes = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": 64}
    want = make(tmp_path, small("gpt2", **sizes), target_modules=["c_attn"], fan_in_fan_out=True)
    loaded = lora.load(small("gpt2", **sizes), tmp_path).eval()
    torch.testing.assert_close(loaded(IDS).logits, want)


def test_experts_under_their_old_names_are_found_by_peft(tmp_path):
    """transformers 5 holds a layer's experts in two tensors; older adapters know each by name."""

    def mixtral():
        return small("mixtral", num_local_experts=2, **SIZES)

    # W1 and W3 of an expert stand in one matrix, W2 in another
    sides = {"w1": (48, 32), "w2": (32, 48), "w3": (48, 32)}
    tensors, want = {}, mixtral()
    for layer in range(2):
        experts = want.model.layers[layer].mlp.experts
        for expert in range(2):
            delta = {}
            for part, (d_out, d_in) in sides.items():
                name = f"model.layers.{layer}.block_sparse_moe.experts.{expert}.{part}"
                A, B = torch.randn(4, d_in) / 20, torch.randn(d_out, 4) / 20
                tensors[f"base_model.model.{name}.lora_A.weight"] = A
                tensors[f"base_model.model.{name}.lora_B.weight"] = B
                delta[part] = 2 * B @ A
            experts.gate_up_proj.data[expert] += torch.cat([delta["w1"], delta["w3"]])
            experts.down_proj.data[expert] += delta["w2"]
    save_file(tensors, tmp_path / saved.WEIGHTS, {"format": "pt"})
    config = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["w1", "w2", "w3"]}
    (tmp_path / saved.CONFIG).write_text(json.dumps(config))

    loaded = lora.load(mixtral(), tmp_path).eval()
    torch.testing.assert_close(loaded(IDS).logits, want(IDS).logits)
    rewrite(tmp_path, lambda t: dict(sorted(t.items())[:-1]))
    refused(mixtral(), tmp_path, "block_sparse_moe")


def test_the_skeleton_of_a_base_is_enough_to_see_whether_an_adapter_is_whole(folder):
    assert lora.check_saved(models.skeleton("pocket"), folder)["r"] == 4
    rewrite(folder, lambda t: dict(sorted(t.items())[:8]))
    with pytest.raises(UserError, match="holds 8 of them"):
        lora.check_saved(models.skeleton("pocket"), folder)
