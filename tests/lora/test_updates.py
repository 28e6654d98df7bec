"""Single weights out of a model or out of its files, and ΔW out of a model and into it."""

import types

import huggingface_hub
import pytest
import torch

from ftkit import UserError, lora, models


def test_a_weight_is_one_tensor_from_disk_or_from_the_model(tmp_path, monkeypatch):
    name = "model.layers.1.self_attn.k_proj"
    from_disk = lora.weight("pocket", name)
    model, _ = models.load("pocket")
    assert from_disk.shape == (128, 256)
    assert torch.equal(from_disk, lora.weight(model, name))
    assert torch.equal(from_disk, lora.weight("pocket", name + ".weight"))
    model.save_pretrained(tmp_path, max_shard_size="2MB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", None)
    assert torch.equal(from_disk, lora.weight(tmp_path, name))
    assert torch.equal(from_disk, lora.weight(lora.attach(model, 2), name))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("model.layers.0.self_attn.qproj", "the nearest are model.layers.0.self_attn.q_proj"),
        ("xyz", "no weight 'xyz' among its 38 tensors"),
        ("model.norm", "model.norm.weight has shape .256,., so it is no matrix"),
    ],
)
def test_a_wrong_tensor_name(name, message):
    with pytest.raises(UserError, match=message):
        lora.weight("pocket", name)
    with pytest.raises(UserError, match=message):
        lora.weight(models.load("pocket")[0], name)


def test_a_header_that_lies_about_its_size(tmp_path):
    models.load("pocket")[0].save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    whole = file.read_bytes()
    for damaged in (whole[:-1000], (1 << 40).to_bytes(8, "little") + whole[8:], whole + b"more"):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match="is not a whole safetensors file"):
            lora.weight(tmp_path, "model.norm")


def test_a_hub_model_gives_one_file(tmp_path, monkeypatch):
    """The hub client's two calls are answered from a local directory, and one file is fetched."""
    model, _ = models.load("pocket")
    model.save_pretrained(tmp_path, max_shard_size="2MB")
    fetched = []
    index = models.tensor_files(str(tmp_path))

    def metadata(where):
        return types.SimpleNamespace(weight_map=index)

    def download(where, file):
        fetched.append(file)
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "get_safetensors_metadata", metadata)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    name = "model.layers.3.mlp.up_proj"
    assert torch.equal(lora.weight("owner/name", name), lora.weight(model, name))
    assert fetched == [index[f"{name}.weight"]]


def test_a_hub_that_can_not_be_reached():
    sentence = "'owner/name' is not in the cache and the hub can't be reached"
    with pytest.raises(UserError, match=sentence):
        lora.weight("owner/name", "model.norm")


def test_a_layer_is_found_by_its_part_loaded_or_not():
    adapted = lora.attach(models.load("pocket")[0], r=2)
    for source in ("pocket", models.load("pocket")[0], adapted, adapted.get_base_model()):
        assert lora.find_layer(source, "q_proj") == "model.layers.0.self_attn.q_proj"
        assert lora.find_layer(source, "up_proj", layer=2) == "model.layers.2.mlp.up_proj"
    assert tuple(lora.weight("pocket", lora.find_layer("pocket", "v_proj")).shape) == (128, 256)


@pytest.mark.parametrize(
    ("part", "layer", "message"),
    [
        ("q_porj", 0, "no 'q_porj' in layer 0; it holds .*Did you mean 'q_proj'"),
        ("q_proj", 99, "no 'q_proj' in layer 99; it holds nothing"),
    ],
)
def test_a_layer_that_is_not_there(part, layer, message):
    for source in ("pocket", models.load("pocket")[0]):
        with pytest.raises(UserError, match=message):
            lora.find_layer(source, part, layer)


def random_adapter(seed, **options):
    """The pocket model with an adapter whose B is not zero."""
    torch.manual_seed(seed)
    adapted = lora.attach(models.load("pocket")[0], **options)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    return adapted


def test_the_update_is_what_peft_adds_and_what_full_tuning_changed():
    base, _ = models.load("pocket")
    adapted = random_adapter(0, r=2, alpha=6)
    changes = lora.deltas(adapted)
    name = "model.layers.2.self_attn.v_proj"
    layer = adapted.get_submodule(f"base_model.model.{name}")
    A, B = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    torch.testing.assert_close(changes[name], lora.delta_w(A, B, alpha=6))
    merged = adapted.merge_and_unload()
    full = lora.deltas(merged, base)
    assert set(full) == set(changes) == set(models.linears(base))
    torch.testing.assert_close(full[name], changes[name], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("quant", [None, "nf4"])
def test_of_a_dora_it_is_what_a_merge_adds(quant):
    """Its lengths belong to the update, which B A alone is not."""
    adapted = random_adapter(0, r=2, alpha=6, targets="q,v", use_dora=True)
    name = "model.layers.2.self_attn.v_proj"
    layer = adapted.get_submodule(f"base_model.model.{name}")
    with torch.no_grad():
        layer.lora_magnitude_vector["default"].weight.mul_(1.5)
    base, _ = models.load("pocket", quant)
    if quant:
        adapted = lora.carry_over(adapted, base)
        base = models.load("pocket", quant)[0].dequantize()
        adapted_plain = lora.carry_over(adapted, models.load("pocket", quant)[0].dequantize())
    else:
        adapted_plain = adapted
    changes = lora.deltas(adapted)
    full = lora.deltas(adapted_plain.merge_and_unload(), base)
    for each, change in changes.items():
        torch.testing.assert_close(change, full[each], atol=1e-5, rtol=1e-4)


def test_of_several_adapters_each_has_its_own_updates(tmp_path):
    """Also where they change other layers than the one that is on, "mlp", does."""
    both = models.load("pocket")[0]
    for seed, targets in enumerate(("attention", "mlp")):
        random_adapter(seed, r=2, targets=targets).save_pretrained(tmp_path / targets)
        both = lora.load(both, tmp_path / targets, targets)
    updates = {name: lora.deltas(both, adapter=name) for name in ("attention", "mlp")}
    assert all("self_attn" in layer for layer in updates["attention"])
    assert all("mlp" in layer for layer in updates["mlp"])
    assert len(updates["attention"]) + len(updates["mlp"]) == len(models.linears(models.load()[0]))
    assert list(lora.deltas(both)) == list(updates["mlp"])
    layer, change = next(iter(updates["attention"].items()))
    assert torch.equal(change, lora.deltas(random_adapter(0, r=2, targets="attention"))[layer])


def test_an_adapter_that_is_not_there():
    with pytest.raises(UserError, match="no adapter 'facts'; the model carries default"):
        lora.deltas(random_adapter(0, r=2), adapter="facts")


def test_after_full_fine_tuning_the_base_is_needed():
    model, _ = models.load("pocket")
    with pytest.raises(UserError, match="give the untouched base too"):
        lora.deltas(model)
    with pytest.raises(UserError, match="give the untouched base too"):
        lora.deltas(model, model)
    with pytest.raises(UserError, match="LlamaForCausalLM without an adapter"):
        lora.deltas(model, models.load("pocket")[0], adapter="default")


def test_an_added_update_goes_away_again_bit_for_bit():
    model, _ = models.load("pocket")
    name = "model.layers.0.self_attn.k_proj"
    W = models.linears(model)[name].weight
    before = W.detach().clone()
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        lora.add_updates(model, {name: torch.full_like(W, 0.1)}) as same,
    ):
        assert same is model
        torch.testing.assert_close(W.detach(), before + 0.1)
        raise RuntimeError("on purpose")
    assert torch.equal(W, before)


def test_an_update_of_a_layer_that_is_not_there():
    model, _ = models.load("pocket")
    changes = {"model.layers.0.self_attn.kproj": torch.zeros(128, 256)}
    sentence = r"no linear layer .*\.kproj'\. Did you mean 'model\.layers\.0\.self_attn\.k_proj'"
    with pytest.raises(UserError, match=sentence), lora.add_updates(model, changes):
        pass
