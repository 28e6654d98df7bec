"""The step on sizes, held to the trace: at random settings of small models, phase by phase."""

import random

import pytest

from ftkit import UserError, memory
from ftkit.memory import autograd, decoder, fake_step, formula
from ftkit.models import architecture

LENGTHS, BATCHES, VOCABULARIES = (1, 2, 7, 33, 128, 257, 400), (1, 2, 3, 7), (64, 1000, 40000)
MARKS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def shrink(name, chance):
    """A published config with three layers, and random widths."""
    config = architecture.read(name)
    keys, shared, head = chance.choice((1, 2, 4)), chance.choice((1, 2, 3)), chance.choice((32, 64))
    heads = keys * shared
    small = {
        "hidden_size": heads * head,
        "intermediate_size": chance.choice((64, 200, 1000)),
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
        "num_hidden_layers": 3,
        "vocab_size": chance.choice(VOCABULARIES),
        "tie_word_embeddings": chance.random() < 0.5,
        "max_position_embeddings": 512,
    }
    if "head_dim" in config:
        small["head_dim"] = head
    return {**config, **MARKS, **small}


def draw(chance):
    """The arguments of a step of a small model, as `options_to_trace` draws those of large ones."""
    options = fake_step.draw_options(chance)
    small = {"source": shrink(options["source"], chance)}
    small |= {"seq": chance.choice(LENGTHS), "batch": chance.choice(BATCHES)}
    if "rank" in options:
        small["rank"] = chance.choice((1, 4, 16))
    return {**options, **small}


def settings(count, seed):
    """So many arguments, of which no step is refused."""
    chance, found = random.Random(seed), []
    while len(found) < count:
        options = draw(chance)
        try:
            memory.make_step(**options)
        except UserError:
            continue
        found.append(options)
    return found


ON_MONDAYS = [pytest.param(seed, marks=pytest.mark.weekly) for seed in (2, 3)]


@pytest.mark.parametrize("seed", [0, 1, *ON_MONDAYS])
def test_the_formula_is_the_trace_at_random_settings(seed):
    for options in settings(9, seed):
        traced, predicted = memory.trace(**options), memory.predict(**options)
        assert predicted.peak == pytest.approx(traced.peak, rel=1e-3), options
        for phase, size in traced.phases.items():
            assert predicted.phases[phase] == pytest.approx(size, rel=3e-3), (phase, options)


WIDTHS = {
    "hidden_size": 384,
    "intermediate_size": 1000,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 1000,
    "num_hidden_layers": 8,
    "max_position_embeddings": 512,
}


@pytest.mark.parametrize("family", ["gemma", "smollm3"])
def test_families_of_which_no_config_is_shipped(family):
    """SmolLM3's layers differ: every fourth, so the top one here, has no rotary embedding."""
    config = {**MARKS, **WIDTHS, "model_type": family}
    for options in ({"method": "lora"}, {"method": "full", "checkpointing": False}):
        options |= {"seq": 400, "attention": "eager", "loss": "tiled"}
        traced, predicted = memory.trace(config, **options), memory.predict(config, **options)
        assert predicted.peak == pytest.approx(traced.peak, rel=1e-3)
        for phase in predicted.phases:
            assert predicted.phases[phase] == pytest.approx(traced.phases[phase], rel=3e-3), phase


DEEP = [
    ("smollm2-135m", {"method": "full", "loss": "held", "checkpointing": False}),
    ("gemma-2-2b", {"method": "lora", "attention": "eager", "autocast": "float16"}),
    ("qwen3-0.6b", {"method": "qlora", "kbit_prepare": True, "loss": "tiled", "batch": 3}),
    ("gemma-3-1b", {"method": "qlora", "checkpointing": False, "optimizer": "adamw_foreach"}),
]


@pytest.mark.parametrize(("source", "options"), DEEP, ids=[name for name, _ in DEEP])
def test_two_depths_give_all_layers_to_the_byte(source, options):
    step = memory.make_step(source, seq=512, **options)
    every_layer = formula.peaks_of_layers(step, step.sizes.layers)
    assert formula.peaks_of(step) == {
        phase: parts for phase, parts in every_layer.items() if phase != decoder.MIDDLE
    }


def test_what_stands_and_passes_is_all_given_back():
    """A step leaves its gradients and nothing else."""
    step = memory.make_step("smollm2-135m", method="lora", seq=128)
    account = autograd.Account({}, step.unit)
    one = decoder.Decoder(step, 3, account)
    one.train()
    trained = sum(numbers for numbers, _ in step.trained_tensors)
    assert account.alive == {"activations": 0, "logits": 0, "gradients": 3 * 4 * trained}
