"""Merging: the proof passes for a right merge and fails for a wrong one."""

import copy
import types

import pytest
import torch

from ftkit import UserError, lora, merge, models


@pytest.fixture
def tuned():
    """An adapter with a real effect on the model."""
    model = lora.attach(models.load("pocket")[0], r=4)
    torch.manual_seed(1)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.05)
    return model


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
    W, A, B = layer.base_layer.weight, layer.lora_A["default"].weight, layer.lora_B["default"].weight
    merged, _ = merge.merge(tuned)
    torch.testing.assert_close(merged.model.layers[1].self_attn.k_proj.weight, W + (16 / 4) * (B @ A))


def test_the_proof_fails_when_the_adapter_is_lost(tuned, monkeypatch):
    monkeypatch.setattr(type(tuned.base_model), "merge_and_unload", lambda self, **_: self.unload())
    _, report = merge.merge(tuned)
    assert report.max_logit_gap == pytest.approx(report.adapter_gap)
    assert report.kl > 1e-3


def test_the_merged_copy_runs_its_own_weights_after_a_trainer_patched_the_model(tuned):
    """TRL leaves a forward bound to the original; a copy that kept it would prove nothing."""
    base = tuned.get_base_model()
    original = base.forward
    base.forward = types.MethodType(lambda self, *args, **options: original(*args, **options), base)
    twin = merge.own_copy(tuned)
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
    with pytest.raises(UserError, match="LlamaForCausalLM without an adapter"):
        merge.merge(models.load("pocket")[0])
