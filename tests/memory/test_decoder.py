"""The step on sizes, held to the trace: at random settings of small models, phase by phase."""

import random

import pytest

from ftkit import UserError, memory
from ftkit.memory import decoder, fake_step, formula
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


@pytest.mark.parametrize("seed", range(4))
def test_the_formula_is_the_trace_at_random_settings(seed):
    for options in settings(10, seed):
        traced, predicted = memory.trace(**options), memory.predict(**options)
        assert predicted.peak == pytest.approx(traced.peak, rel=1e-3), options
        for phase, size in traced.phases.items():
            assert predicted.phases[phase] == pytest.approx(size, rel=3e-3), (phase, options)
