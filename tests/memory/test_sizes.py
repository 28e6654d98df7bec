"""An architecture's sizes: read once, whatever is asked of it, and refused where not modelled."""

import pytest

from ftkit import UserError, memory
from ftkit.memory import sizes
from ftkit.models import architecture


def test_sizes_are_those_of_the_config():
    config = architecture.read("llama-3.1-8b")
    found = sizes.read_architecture("llama-3.1-8b").sizes
    assert (found.hidden, found.inner) == (config["hidden_size"], config["intermediate_size"])
    assert (found.vocab, found.layers) == (config["vocab_size"], config["num_hidden_layers"])
    assert found.key * config["num_attention_heads"] == found.query * config["num_key_value_heads"]
    weights = architecture.shapes(config)
    linear = sum(weight.numel for weight in weights if weight.kind == "linear")
    assert found.layers * found.linear_numbers == linear
    others = sum(numbers * copies for numbers, copies in found.others)
    assert linear + others == sum(weight.numel for weight in weights)


@pytest.mark.parametrize(
    ("name", "fused", "tied", "capped", "norm_behind_mlp"),
    [
        ("llama-3.1-8b", False, False, False, False),
        ("phi-3-mini", True, False, False, False),
        ("gemma-2-2b", False, True, True, True),
        ("olmo-2-7b", False, False, False, True),
    ],
)
def test_what_families_differ_in(name, fused, tied, capped, norm_behind_mlp):
    found = sizes.read_architecture(name).sizes
    assert (found.fused, found.tied) == (fused, tied)
    assert (found.capped, found.norm_behind_mlp) == (capped, norm_behind_mlp)


def test_a_config_is_read_once_for_all_steps_on_it(monkeypatch):
    """`rows_that_fit` and `fits` ask a dozen times; a slider asks at every move."""
    asked = []
    shapes = architecture.shapes
    monkeypatch.setattr(architecture, "shapes", lambda config: asked.append(1) or shapes(config))
    step = memory.make_step(architecture.read("llama-3.2-1b"), method="lora", batch=16)
    memory.rows_that_fit(step, 2**34)
    memory.fits(step, "T4 16", batches=(1, 2))
    for seq in (128, 256, 512):
        memory.predict(step, seq=seq)
    assert len(asked) == 1


def test_an_architecture_cut_to_some_layers():
    config = architecture.read("llama-3.2-1b")
    kinds = ["full_attention"] * config["num_hidden_layers"]
    whole = sizes.read_architecture({**config, "layer_types": kinds})
    cut = whole.at_depth(3)
    assert (cut.depth, len(cut.config["layer_types"]), cut.sizes.layers) == (3, 3, 3)
    assert whole.depth == whole.sizes.layers > 3


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("llama-3.1-8", "Did you mean 'llama-3.1-8b'"),
        ("mixtral-8x7b", "'mixtral' is a mixture of experts"),
        ("gpt2", "the formula knows the Llama family, and model_type is 'gpt2'; trace it"),
        (
            {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 2},
            'needs "vocab_size"',
        ),
    ],
)
def test_an_architecture_that_the_formula_does_not_know_is_one_sentence(source, sentence):
    with pytest.raises(UserError, match=sentence) as error:
        memory.predict(source, seq=512)
    assert "\n" not in str(error.value)
