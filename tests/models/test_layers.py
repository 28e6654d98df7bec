"""The parts of a loaded model: which layers are linear, and other weights for a while."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ftkit import models
from ftkit.models import layers


def test_linears_are_all_linear_layers_but_the_head():
    model, _ = models.load("pocket")
    names = {name.rsplit(".", 1)[-1] for name in models.linears(model)}
    assert names == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert len(models.linears(model)) == 7 * model.config.num_hidden_layers


def test_a_conv1d_is_a_linear_layer():
    model = GPT2LMHeadModel(GPT2Config(n_embd=16, n_head=2, n_layer=2, vocab_size=50))
    assert len(models.linears(model)) == 2 * 4


def test_other_weights_are_there_inside_the_block_alone_whatever_ends_it():
    layer = torch.nn.Linear(3, 2)
    before = layer.weight.detach().clone()
    with pytest.raises(ZeroDivisionError), models.replace_weights({layer.weight: before + 1}):
        assert torch.equal(layer.weight, before + 1)
        raise ZeroDivisionError
    assert torch.equal(layer.weight, before)
    assert layer.weight.requires_grad


def test_the_trained_parameters_are_those_that_gradients_reach():
    layer = torch.nn.Linear(3, 2)
    layer.bias.requires_grad_(False)
    (trained,) = models.trained_parameters(layer)
    assert trained is layer.weight


@pytest.mark.parametrize(("quant", "packed"), [(None, False), ("nf4", True), ("int8", True)])
def test_a_packed_model_is_seen(quant, packed):
    assert models.is_packed(models.load("pocket", quant)[0]) is packed


@pytest.mark.parametrize("quant", [None, "nf4", "int8"])
def test_numbers_are_counted_and_not_the_bytes_that_hold_them(quant):
    """Two 4-bit numbers lie in a byte, which torch counts as one (peft 1020)."""
    model, _ = models.load("pocket", quant)
    assert models.count_numbers(model) == 2_689_280


def test_a_tied_head_counts_once():
    config = GPT2Config(n_embd=16, n_head=2, n_layer=1, vocab_size=50)
    model = GPT2LMHeadModel(config)
    assert models.count_numbers(model) == model.num_parameters()
    assert models.count_numbers(model.lm_head) == 16 * 50


def test_a_large_model_is_slow_on_a_cpu_and_a_small_one_or_a_gpu_is_not(monkeypatch):
    pocket, _ = models.load("pocket")
    assert not models.is_slow_here(pocket)
    assert models.affordable(pocket, 200, 12) == 200
    monkeypatch.setattr(layers, "SLOW", 1_000_000)
    assert models.is_slow_here(pocket)
    assert models.affordable(pocket, 200, 12) == 12
    with torch.device("meta"):
        elsewhere = torch.nn.Linear(2000, 2000)
    assert not models.is_slow_here(elsewhere)
