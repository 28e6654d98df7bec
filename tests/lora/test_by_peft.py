"""Adapters by peft: attached, refused before anything changes, saved and loaded, on and off.

That bad files are refused whole is held in tests/merge/test_combining.py, with two adapters loaded.
"""

import warnings

import pytest
import torch

from ftkit import UserError, lora, models

IDS = torch.arange(6, 26)[None]


@pytest.fixture
def model():
    return models.load("pocket")[0]


def with_effect(model, r=2, **options):
    """The model with an adapter whose B is not zero."""
    adapted = lora.attach(model, r, **options)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.02, generator=generator)
    return adapted.eval()


def test_the_count_is_r_times_the_sum_of_both_sides(model):
    sides = sum(m.in_features + m.out_features for m in models.linears(model).values())
    _, base = lora.trainable(model)
    assert lora.trainable(lora.attach(model, r=4)) == (4 * sides, base + 4 * sides)


def test_b_is_zero_so_the_model_starts_as_its_base(model):
    before = model(IDS).logits
    adapted = lora.attach(model, r=8)
    assert torch.equal(adapted(IDS).logits, before)
    assert all(not p.any() for name, p in adapted.named_parameters() if "lora_B" in name)


def test_named_targets(model):
    adapted = lora.attach(model, r=2, targets=["q_proj", "v_proj"])
    trained = {name.split(".")[-4] for name, p in adapted.named_parameters() if p.requires_grad}
    assert trained == {"q_proj", "v_proj"}


@pytest.mark.parametrize("r", [0, -1, 129, 2.5, True])
def test_a_rank_out_of_range_names_value_and_range(model, r):
    with pytest.raises(UserError, match=rf"r is {r!r}; .* from 1 to 128"):
        lora.attach(model, r=r)


@pytest.mark.parametrize("alpha", [0, -2, "big", None, True, float("nan"), float("inf")])
def test_an_alpha_out_of_range(model, alpha):
    with pytest.raises(UserError, match=rf"alpha is {alpha!r}; give a number above 0"):
        lora.attach(model, alpha=alpha)


def test_an_unknown_target_names_the_nearest(model):
    with pytest.raises(UserError, match="Did you mean 'q_proj'"):
        lora.attach(model, targets=["q_porj"])


def test_a_saved_adapter_loads_again(model, tmp_path):
    adapted = with_effect(model)
    adapted.save_pretrained(tmp_path)
    again = lora.load(models.load("pocket")[0], tmp_path)
    torch.testing.assert_close(again(IDS).logits, adapted(IDS).logits)


def test_a_folder_without_an_adapter_and_one_with_a_pickle(model, tmp_path):
    with pytest.raises(UserError, match="adapter_config"):
        lora.load(model, tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80")
    with pytest.raises(UserError, match="safetensors only"):
        lora.load(model, tmp_path)


def test_off_it_is_the_base_and_on_again_after_the_block(model):
    before = model(IDS).logits
    adapted = with_effect(model)
    after = adapted(IDS).logits
    with lora.using(adapted, None) as same:
        assert same is adapted
        assert torch.equal(adapted(IDS).logits, before)
    assert torch.equal(adapted(IDS).logits, after)
    assert not torch.equal(before, after)


@pytest.mark.parametrize("name", [None, "default"])
def test_a_model_without_an_adapter_has_none_to_switch(model, name):
    """Its own answers would pass for the base's."""
    with (
        pytest.raises(UserError, match="LlamaForCausalLM without an adapter"),
        lora.using(model, name),
    ):
        pass


def test_every_adapters_bytes_are_its_own_whatever_its_name(model, tmp_path):
    """The parameters of all adapters end in .weight, which is a name that peft takes too."""
    r = {"weight": 2, "lora_A": 3}
    for name, rank in r.items():
        with_effect(models.load("pocket")[0], rank).save_pretrained(tmp_path / name)
    base = 4 * lora.trainable(model)[1]
    for name in r:
        model = lora.load(model, tmp_path / name, name)
    sizes = {name: lora.count("pocket", rank).trainable * 4 for name, rank in r.items()}
    assert lora.adapter_bytes(model) == {**sizes, "base": base}


def test_a_matrix_that_is_trained_whole_is_the_adapters_own(model):
    size, rows = 1280 * 256, 2 * 256
    base = 4 * lora.trainable(model)[1]
    adapted = lora.attach(model, r=2, modules_to_save=["lm_head"])
    assert (
        lora.adapter_bytes(adapted)["default"] - 4 * lora.count("pocket", 2).trainable == 4 * size
    )
    fresh = models.load("pocket")[0]
    tokens = lora.adapter_bytes(lora.attach(fresh, r=2, trainable_token_indices=[1, 2]))
    assert tokens["default"] - 4 * lora.count("pocket", 2).trainable == 4 * rows
    assert tokens["base"] == base


@pytest.mark.parametrize("text", ["[]", "{}", '{"hashes": 3}', '{"hashes": {"base": null}}'])
def test_a_run_json_that_states_no_base_is_none(text, model, tmp_path):
    with_effect(model).save_pretrained(tmp_path / "adapter")
    (tmp_path / "run.json").write_text(text)
    lora.load(models.load("pocket")[0], tmp_path / "adapter")


def test_a_run_json_that_is_damaged_is_one_sentence(model, tmp_path):
    with_effect(model).save_pretrained(tmp_path / "adapter")
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run.json is not JSON"):
        lora.load(models.load("pocket")[0], tmp_path / "adapter")


def test_where_nothing_tells_two_bases_apart_their_other_names_are_said(model, tmp_path):
    adapted = with_effect(model)
    adapted.save_pretrained(tmp_path / "same")
    adapted.peft_config["default"].base_model_name_or_path = "/home/you/models/llama"
    adapted.save_pretrained(tmp_path / "other")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        lora.load(models.load("pocket")[0], tmp_path / "same")
    with pytest.warns(UserWarning, match=r"trained on /home/you/models/llama, .*can't be told"):
        lora.load(models.load("pocket")[0], tmp_path / "other")


def test_all_adapters_that_were_on_are_on_again_after_the_block():
    model = lora.attach(models.load("pocket")[0], r=2)
    model.add_adapter("second", model.peft_config["default"])
    model.base_model.set_adapter(["default", "second"])
    with lora.using(model, "second"):
        assert model.active_adapters == ["second"]
    assert model.active_adapters == ["default", "second"]
    assert model.active_adapter == "default"
    with pytest.raises(UserError, match="on together"):
        lora.carry_over(model, models.load("pocket")[0])


def test_the_cure_of_a_refusal_by_peft_names_no_targets_for_another_argument():
    with pytest.raises(UserError) as refused:
        lora.attach(models.load("pocket")[0], r=2, bias="some")
    assert "targets=" not in str(refused.value)


def test_the_same_seed_draws_the_same_a_and_leaves_the_generator_alone(model):
    torch.manual_seed(5)
    first = lora.attach(model, r=2, seed=3)
    drawn = torch.rand(2)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(2), drawn)
    second = lora.attach(models.load("pocket")[0], r=2, seed=3)
    other = lora.attach(models.load("pocket")[0], r=2, seed=4)
    values = [dict(adapted.named_parameters()) for adapted in (first, second, other)]
    A = next(name for name in values[0] if "lora_A" in name)
    assert torch.equal(values[0][A], values[1][A])
    assert not torch.equal(values[0][A], values[2][A])


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "0"])
def test_a_seed_that_is_none_is_refused(seed, model):
    with pytest.raises(UserError, match=r"seed is .*give a whole number from 0 to 4,294,967,295"):
        lora.attach(model, seed=seed)


def test_a_second_adapter_on_the_same_base_is_refused_and_changes_nothing(model, tmp_path):
    """peft would put a LoRA around the LoRA's own matrices, or load over what is there."""
    adapted = with_effect(model)
    adapted.save_pretrained(tmp_path)
    before = adapted(IDS).logits
    said = r"carries the adapter 'default'; load the base again by models\.load\(\)"
    for again in (
        lambda: lora.attach(model),
        lambda: lora.attach(adapted),
        lambda: lora.load(model, tmp_path),
    ):
        with pytest.raises(UserError, match=said):
            again()
    assert torch.equal(adapted(IDS).logits, before)
    # the cure that the sentence names
    fresh = lora.attach(adapted.unload(), r=2)
    assert torch.equal(fresh(IDS).logits, models.load("pocket")[0](IDS).logits)


def test_the_base_inside_an_adapter_can_be_had_without_a_dtype_or_device_left_on(model):
    torch.set_default_dtype(torch.float64)
    try:
        adapted = lora.attach(model, r=2)
    finally:
        torch.set_default_dtype(torch.float32)
    assert {parameter.dtype for parameter in adapted.parameters()} == {torch.float32}
