"""An architecture's sizes: read once, whatever is asked of it, and refused where not modelled."""

import subprocess
import sys

import pytest
from architectures import BUILT

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
    assert sum(numbers * copies for numbers, copies in found.linear) == linear
    others = sum(numbers * copies for numbers, copies in found.others)
    assert linear + others == sum(weight.numel for weight in weights)


@pytest.mark.parametrize(
    ("name", "fused", "tied", "capped", "normed_behind"),
    [
        ("llama-3.1-8b", False, False, False, False),
        ("phi-3-mini", True, False, False, False),
        ("gemma-2-2b", False, True, True, True),
        ("olmo-2-7b", False, False, False, True),
    ],
)
def test_what_families_differ_in(name, fused, tied, capped, normed_behind):
    found = sizes.read_architecture(name).sizes
    assert (found.fused, found.tied) == (fused, tied)
    assert (found.capped, found.normed_behind) == (capped, normed_behind)


def test_a_config_is_read_once_for_all_steps_on_it(monkeypatch):
    """`rows_that_fit` and `fits` ask a dozen times, a slider at every move: once, and once for each
    of the two small depths.
    """
    asked = []
    shapes = architecture.shapes
    monkeypatch.setattr(architecture, "shapes", lambda config: asked.append(1) or shapes(config))
    step = memory.make_step(architecture.read("llama-3.2-1b"), method="lora", batch=16)
    memory.rows_that_fit(step, 2**34)
    memory.fits(step, "T4 16", batches=(1, 2))
    for seq in (128, 256, 512):
        memory.predict(step, seq=seq)
    assert len(asked) == 3


def test_an_architecture_cut_to_some_layers():
    config = architecture.read("llama-3.2-1b")
    kinds = ["full_attention"] * config["num_hidden_layers"]
    whole = sizes.read_architecture({**config, "layer_types": kinds})
    cut = whole.at_depth(3)
    assert (cut.depth, len(cut.config["layer_types"]), cut.sizes.layers) == (3, 3, 3)
    assert whole.depth == whole.sizes.layers > 3


def test_an_architecture_that_is_nested_or_calls_its_depth_otherwise():
    """Of a model that also sees, the text part has the depth; other lists of that length stay."""
    text = {"model_type": "gemma3_text", "num_hidden_layers": 6, "max_position_embeddings": 99}
    text["layer_types"] = ["sliding_attention"] * 5 + ["full_attention"]
    nested = sizes.read_architecture({"model_type": "gemma3", "text_config": text})
    assert (nested.depth, nested.positions) == (6, 99)
    cut = nested.at_depth(2)
    assert (cut.depth, cut.config["text_config"]["layer_types"]) == (2, ["sliding_attention"] * 2)
    assert nested.config["text_config"] is text
    assert len(text["layer_types"]) == 6
    mpt = sizes.read_architecture({"model_type": "mpt", "n_layers": 4, "max_seq_len": 7})
    assert (mpt.depth, mpt.at_depth(3).depth, mpt.positions) == (4, 3, 7)
    with pytest.raises(UserError, match="does not say how many layers there are"):
        _ = sizes.read_architecture({"model_type": "blt"}).depth


@pytest.mark.parametrize(
    ("scaling", "positions"),
    [
        (None, 1024),
        ({"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}, 4096),
        ({"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 64}, 1024),
        ({"rope_type": "linear", "factor": 2.0}, 1024),
    ],
)
def test_positions_that_are_stretched(scaling, positions):
    """Qwen2.5 states 32,768 and a YaRN factor of 4: it reads 131,072."""
    config = {**architecture.read("qwen2.5-0.5b"), "max_position_embeddings": 1024}
    found = sizes.read_architecture({**config, "rope_scaling": scaling})
    assert found.positions == positions
    assert memory.predict({**config, "rope_scaling": scaling}, seq=positions).peak > 0


@pytest.mark.parametrize(
    ("family", "alike"),
    [("opt", True), ("gemma3", True), ("zamba2", False), ("recurrent_gemma", False)],
)
def test_hybrids_have_layers_of_several_kinds(family, alike):
    """A vision tower is another stack, and no other kind of layer."""
    assert sizes.read_architecture(BUILT[family]).alike is alike


def test_weights_of_any_family_and_the_experts_among_them():
    falcon = sizes.read_architecture(BUILT["falcon"])
    falcon.refuse_experts()
    linear = [weight for weight in falcon.weights if weight.kind == "linear"]
    assert sum(weight.copies for weight in linear) == 2 * 4
    for family in ("granitemoe", "jetmoe", "deepseek_v3", "qwen2_moe"):
        with pytest.raises(UserError, match=f"{family!r} is a mixture of experts"):
            sizes.read_architecture(BUILT[family]).refuse_experts()


def test_what_the_formula_does_not_know_needs_no_torch_to_say_so():
    """It is told apart from a mistake, so that the verb can trace it instead."""
    code = (
        "import sys; from ftkit import memory\n"
        "try: memory.predict({'model_type': 'opt', 'num_hidden_layers': 2}, seq=8)\n"
        "except memory.NotModelled as error: print(error, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "model_type is 'opt'; trace it" in done.stdout, done.stderr
    assert done.stdout.endswith("False\n")


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
