"""Merging: the proof passes for a right merge and fails for a wrong one."""

import copy
import types

import pytest
import torch

from ftkit import UserError, lora, merge, models


def test_a_merge_is_the_same_model_as_a_plain_transformers_one(tuned):
    merged, report = merge.merge(tuned)
    assert 0 < report.max_logit_gap < 1e-4 < 1 < report.adapter_gap
    assert report.top1_agreement == 1.0
    assert report.kl < 1e-8
    assert not lora.is_attached(merged)
    assert lora.is_attached(tuned)
    assert not any("lora" in n for n, _ in merged.named_parameters())
    assert "largest logit gap" in report._repr_html_()


def test_the_merged_weight_is_w_plus_scaled_ba(tuned):
    layer = tuned.get_base_model().model.layers[1].self_attn.k_proj
    W, A, B = (
        layer.base_layer.weight,
        layer.lora_A["default"].weight,
        layer.lora_B["default"].weight,
    )
    merged, _ = merge.merge(tuned)
    torch.testing.assert_close(
        merged.model.layers[1].self_attn.k_proj.weight, W + (16 / 4) * (B @ A)
    )


def test_the_proof_fails_when_the_adapter_is_lost(tuned, monkeypatch):
    monkeypatch.setattr(type(tuned.base_model), "merge_and_unload", lambda self, **_: self.unload())
    with pytest.raises(UserError, match=r"is not the tuned one: its logits are off by"):
        merge.merge(tuned)
    report = merge.compare(tuned, merge.independent_copy(tuned).unload())
    assert report.max_logit_gap == pytest.approx(report.adapter_gap)
    assert report.kl > 1e-3


def test_the_merged_copy_runs_its_own_weights_after_a_trainer_patched_the_model(tuned):
    """TRL leaves a forward bound to the original; a copy that kept it would prove nothing."""
    base = tuned.get_base_model()
    original = base.forward
    base.forward = types.MethodType(lambda self, *args, **options: original(*args, **options), base)
    twin = merge.independent_copy(tuned)
    with torch.no_grad():
        twin.get_base_model().model.norm.weight.zero_()
    ids = torch.arange(6, 20)[None]
    assert twin(ids).logits.abs().max() == 0 < tuned(ids).logits.abs().max()
    naive = copy.deepcopy(tuned)
    with torch.no_grad():
        naive.get_base_model().model.norm.weight.zero_()
    assert naive(ids).logits.abs().max() > 0


def test_in_place_uses_the_models_own_memory(tuned):
    weight = tuned.get_base_model().model.layers[0].self_attn.q_proj.base_layer.weight
    merged, report = merge.merge(tuned, in_place=True)
    assert merged.model.layers[0].self_attn.q_proj.weight.data_ptr() == weight.data_ptr()
    assert report.max_logit_gap < 1e-4


def test_a_model_without_an_adapter():
    for ask in (
        lambda m: merge.merge(m),
        lambda m: merge.compare(m, m),
        lambda m: merge.compare_dtypes(m),
    ):
        with pytest.raises(UserError, match="LlamaForCausalLM without an adapter"):
            ask(models.load("pocket")[0])


def weights_of(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_broken_numbers_are_refused_before_anything_is_merged(tuned):
    with torch.no_grad():
        tuned.get_base_model().model.layers[2].mlp.up_proj.lora_B["default"].weight[3, 1] = float(
            "nan"
        )
    before = weights_of(tuned)
    with pytest.raises(UserError, match=r"layers.2.mlp.up_proj.lora_B.*NaN or infinite"):
        merge.merge(tuned, in_place=True)
    assert all(
        torch.equal(p, before[name]) for name, p in tuned.named_parameters() if not p.isnan().any()
    )


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"modules_to_save": ["norm"]}, "modules_to_save"),
        ({"trainable_token_indices": [1, 2]}, "trainable_tokens_delta"),
    ],
)
def test_so_are_they_in_what_an_adapter_trains_beside_a_and_b(options, part):
    model = lora.attach(models.load("pocket")[0], r=2, targets="q,v", **options)
    broken = next(p for name, p in model.named_parameters() if part in name)
    broken.data.view(-1)[0] = float("nan")
    with pytest.raises(UserError, match=rf"the adapter's .*{part}.* holds NaN or infinite values"):
        merge.merge(model)


@pytest.fixture(scope="module")
def packed():
    """A small adapter, as gentle runs leave them, on the base in four bits."""
    model = lora.attach(models.load("pocket", quant="nf4")[0], r=4)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=0.01)
    return model.eval()


def test_an_adapter_on_four_bits_is_merged_into_the_dequantized_base(packed):
    tokens = merge.probe_tokens(packed)
    before = merge.logits(packed, tokens)
    merged, report = merge.merge(packed)
    assert report.dtype == "float32" and report.max_logit_gap < 1e-3 < 0.3 < report.adapter_gap
    assert type(merged.model.layers[0].self_attn.q_proj) is torch.nn.Linear
    assert getattr(merged.config, "quantization_config", None) is None
    assert torch.equal(merge.logits(packed, tokens), before), "the adapter model is left as it was"


def test_other_ways_to_merge_four_bits_are_other_models(packed):
    base = models.load("pocket")[0]
    before = weights_of(base)
    original, report = merge.merge(packed, into=base)
    assert report.max_logit_gap > 100 * merge.merge(packed)[1].max_logit_gap
    assert all(torch.equal(p, before[name]) for name, p in base.named_parameters())
    assert not any("lora" in name for name, _ in base.named_modules())
    layer = "model.layers.1.mlp.up_proj"
    wanted = base.get_submodule(layer).weight + lora.deltas(packed)[layer]
    torch.testing.assert_close(original.get_submodule(layer).weight, wanted)
    with pytest.warns(UserWarning, match="rounding errors"):
        in_place = merge.independent_copy(packed).merge_and_unload()
    lost = merge.compare(packed, in_place)
    assert lost.max_logit_gap > 0.5 * lost.adapter_gap, (
        "rounding again leaves little of a small update"
    )


def test_what_in_place_can_not_do(packed, tuned):
    for model, options in ((packed, {}), (tuned, {"into": models.load("pocket")[0]})):
        with pytest.raises(UserError, match="leave in_place out"):
            merge.merge(model, in_place=True, **options)


def test_a_base_that_the_adapter_does_not_fit(tuned):
    from transformers import AutoModelForCausalLM

    config = copy.deepcopy(tuned.get_base_model().config)
    config.intermediate_size //= 2
    with pytest.raises(
        UserError, match=r"does not fit this base .*size mismatch.*give the base it was trained on"
    ):
        merge.merge(tuned, into=AutoModelForCausalLM.from_config(config))


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_an_adapter_that_began_with_a_part_of_its_base_fits_no_other(start):
    model = lora.attach(models.load("pocket")[0], r=4, init_lora_weights=start).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.mul_(1.1)
    with pytest.raises(UserError, match=f"'{start}', which took a part .* fits no other base"):
        merge.merge(model, into=models.load("pocket")[0])
    assert merge.merge(model)[1].max_logit_gap < 1e-3


def test_a_matrix_that_embedding_and_head_share_is_folded_for_neither():
    model = lora.attach(models.load("pocket")[0], r=4, target_modules=["q_proj", "lm_head"])
    with pytest.raises(UserError, match="embedding and head share"), merge.fold(model):
        pass
