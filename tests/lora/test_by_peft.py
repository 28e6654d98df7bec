"""Attaching: what peft gets, and what is refused before it."""

import pytest
import torch

from ftkit import UserError, lora, models


@pytest.fixture
def model():
    return models.load("pocket")[0]


def test_the_count_is_r_times_the_sum_of_both_sides(model):
    sides = sum(m.in_features + m.out_features for m in models.linears(model).values())
    _, base = lora.trainable(model)
    assert lora.trainable(lora.attach(model, r=4)) == (4 * sides, base + 4 * sides)


def test_b_is_zero_so_the_adapter_starts_as_the_base(model):
    ids = torch.arange(6, 26)[None]
    before = model(ids).logits
    adapted = lora.attach(model, r=8)
    assert torch.equal(adapted(ids).logits, before)
    assert all(not p.any() for n, p in adapted.named_parameters() if "lora_B" in n)


def test_named_targets(model):
    adapted = lora.attach(model, r=2, targets=["q_proj", "v_proj"])
    assert {n.split(".")[-4] for n, p in adapted.named_parameters() if p.requires_grad} == {
        "q_proj",
        "v_proj",
    }


@pytest.mark.parametrize("r", [0, -1, 129, 2.5])
def test_a_rank_out_of_range_names_value_and_range(model, r):
    with pytest.raises(UserError) as error:
        lora.attach(model, r=r)
    assert f"r is {r!r}" in str(error.value)
    assert "1 to 128" in str(error.value)


@pytest.mark.parametrize("alpha", [0, -2, "big"])
def test_an_alpha_out_of_range(model, alpha):
    with pytest.raises(UserError, match=r"alpha is .*above 0"):
        lora.attach(model, alpha=alpha)


def test_an_unknown_target_names_the_nearest(model):
    with pytest.raises(UserError, match="Did you mean 'q_proj'"):
        lora.attach(model, targets=["q_porj"])


def test_a_saved_adapter_loads_again(model, tmp_path):
    adapted = lora.attach(model, r=2)
    for p in adapted.parameters():
        if p.requires_grad:
            torch.nn.init.normal_(p, std=0.02)
    adapted.save_pretrained(tmp_path)
    again = lora.load(models.load("pocket")[0], tmp_path)
    ids = torch.arange(6, 26)[None]
    torch.testing.assert_close(again(ids).logits, adapted(ids).logits)


def test_a_folder_without_an_adapter_and_one_with_a_pickle(model, tmp_path):
    with pytest.raises(UserError, match="adapter_config"):
        lora.load(model, tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80")
    with pytest.raises(UserError, match="safetensors only"):
        lora.load(model, tmp_path)


def test_the_update_is_what_peft_adds_and_what_full_tuning_changed():
    base, _ = models.load("pocket")
    adapted = lora.attach(models.load("pocket")[0], r=2, alpha=6)
    for name, p in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(0))
    changes = lora.deltas(adapted)
    name = "model.layers.2.self_attn.v_proj"
    layer = adapted.get_submodule(f"base_model.model.{name}")
    torch.testing.assert_close(
        changes[name], 3 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    )
    merged = adapted.merge_and_unload()
    full = lora.deltas(merged, base)
    assert set(full) == set(changes) == set(models.linears(base))
    torch.testing.assert_close(full[name], changes[name], atol=1e-5, rtol=1e-4)


def test_after_full_fine_tuning_the_base_is_needed():
    model, _ = models.load("pocket")
    with pytest.raises(UserError, match="give the untouched base too"):
        lora.deltas(model)
    with pytest.raises(UserError, match="give the untouched base too"):
        lora.deltas(model, model)


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
    with (
        pytest.raises(UserError, match="k_proj"),
        lora.add_updates(model, {"model.layers.0.self_attn.kproj": W}),
    ):
        pass


def test_a_layer_is_found_by_its_part_loaded_or_not():
    model = models.load("pocket")[0]
    for source in ("pocket", model, lora.attach(models.load("pocket")[0], r=2).get_base_model()):
        assert lora.find_layer(source, "q_proj") == "model.layers.0.self_attn.q_proj"
        assert lora.find_layer(source, "up_proj", layer=2) == "model.layers.2.mlp.up_proj"
    assert tuple(lora.weight("pocket", lora.find_layer("pocket", "v_proj")).shape) == (128, 256)
    with pytest.raises(
        UserError, match=r"no 'q_porj' in layer 0; it holds .*Did you mean 'q_proj'"
    ):
        lora.find_layer("pocket", "q_porj")
    with pytest.raises(UserError, match="in layer 99; it holds nothing"):
        lora.find_layer(model, "q_proj", layer=99)
