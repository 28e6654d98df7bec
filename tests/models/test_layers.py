"""The parts of a loaded model: which layers are linear, and other weights for a while."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from ftkit import data, evaluate, lora, models
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


def test_a_model_in_training_mode_is_asked_without_its_dropout_and_stays_in_that_mode():
    """A loop of one's own leaves it so, and its answers would come out otherwise every time."""
    model, tokenizer = models.load("pocket")
    tuned = lora.attach(model, r=2, dropout=0.5, seed=0)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.02)
    rows = data.first(data.load("tickets")["test"], 2)
    quiet = evaluate.perplexity(tuned.eval(), tokenizer, rows)
    tuned.train()
    asked = [module for module in tuned.modules() if module.training]
    assert evaluate.perplexity(tuned, tokenizer, rows) == quiet
    assert [module for module in tuned.modules() if module.training] == asked
    with pytest.raises(KeyboardInterrupt), models.asking(tuned):
        assert not any(module.training for module in tuned.modules())
        assert not torch.is_grad_enabled()
        raise KeyboardInterrupt
    assert [module for module in tuned.modules() if module.training] == asked


def test_a_default_device_that_a_cell_has_set_moves_no_question():
    """Prompts would lie on it, and the model does not."""
    model, tokenizer = models.load("pocket")
    chats = [[{"role": "user", "content": "Copy: a b"}]]
    before = models.answer(model, tokenizer, chats)
    torch.set_default_device("meta")
    try:
        assert models.answer(models.load("pocket")[0], tokenizer, chats) == before
        whole = [*chats[0], {"role": "assistant", "content": "a b"}]
        assert evaluate.latency({"base": model}, tokenizer, whole, rounds=1).median("base") > 0
    finally:
        torch.set_default_device(None)
