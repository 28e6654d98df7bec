"""Calls of a notebook with arguments that are wrong: an answer, or a sentence that teaches."""

import dataclasses

import pytest
from families import write
from fuzzing import SIZES, WEIRD, misspell, run_cases

from ftkit import core, data, lora, memory, models
from ftkit.memory import step as steps
from ftkit.train import Experiment, Recipe

NAMES = ("q,v", "mlp", "attention", "all-linear", "q_proj", ["q_proj", "v_proj"], [], "x", ("mlp",))
NUMBERS = (0, 1, 2, 3, 8, 16, 100, -1, 0.5, 1.5, 2.0, 1e9, "8", None, True, float("nan"))


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return models.load(write("qwen", tmp_path_factory.mktemp("base"), **SIZES))


def draw_options(rng, known):
    """Some options of a call, each with a value that it could have, or could not."""
    chosen = rng.sample(sorted(known), rng.randrange(1, min(4, len(known)) + 1))
    options = {}
    for name in chosen:
        values = [*known[name], *rng.sample(WEIRD, 2), *rng.sample(NUMBERS, 2)]
        options[name] = rng.choice(values)
        if isinstance(options[name], str) and rng.random() < 0.1:
            options[name] = misspell(options[name], rng)
    return options


STEP = {name: tuple(choices) for name, choices in steps.CHOICES.items()} | {
    "rank": (1, 8), "seq": (1, 64, 2048), "batch": (1, 4), "targets": NAMES,
    "checkpointing": (True,), "double_quant": (False,), "kbit_prepare": (True,),
}  # fmt: skip
LORA = {"r": (1, 4), "alpha": (8, 0.5), "targets": NAMES, "dropout": (0.0, 0.1)}
CHAT = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]


def call_any(case, loaded):
    """One call of those that notebooks make."""
    rng, (model, tokenizer) = case.rng, loaded
    fields = {field.name: () for field in dataclasses.fields(Recipe)}
    tickets = data.load("tickets")["train"]
    calls = {
        lora.attach: ((model,), LORA),
        lora.count: (("llama-3.2-1b",), {"r": (1, 8), "targets": NAMES}),
        memory.predict: (("llama-3.2-1b",), STEP),
        memory.fits: (("llama-3.2-1b", "T4"), STEP),
        Recipe: ((), fields),
        Experiment: ((), {"rows": (5,), "replay": (0.2,), "lora": (LORA, None), "quant": ("nf4",)}),
        data.first: ((tickets,), {"n": (1, 5)}),
        data.load: ((), {"name": ("tickets", "facts"), "seed": (0, 1)}),
        data.mix: ((tickets, tickets), {"share": (0.1,), "seed": (0,)}),
        models.resolve: ((), {"name": ("pocket",)}),
        models.answer: ((model, tokenizer, [CHAT[:1]]), {"max_new_tokens": (1, 2)}),
        data.render: ((CHAT, tokenizer), {"tools": (None,)}),
        data.to_messages: ((), {"row": ({"prompt": "Q", "completion": "A"},)}),
        core.Rate: ((), {"hits": (1,), "n": (2,)}),
    }
    function = rng.choice(sorted(calls, key=lambda each: each.__name__))
    given, known = calls[function]
    options = draw_options(rng, known)
    if function is models.answer and options["max_new_tokens"] in (10**400, 2**63, 10**9, 1024):
        return  # which it would write, given the time
    case.did.append(f"{function.__name__}(…, {options})")
    try:
        result, _ = case.call(function, *given, **options)
    except TypeError as error:  # an argument that is missing
        assert "missing" in str(error) and "required" in str(error), error
        return
    except ValueError as error:  # a row alone is read by what names it
        assert function is data.to_messages, error
        return
    if function is lora.attach and result is not None:
        result.unload()


def test_a_call_gives_an_answer_or_teaches(tmp_path, loaded):
    run_cases("calls", 200, lambda case: call_any(case, loaded), tmp_path)


def test_the_fuzz_finds_a_check_that_is_gone(tmp_path, loaded, monkeypatch):
    monkeypatch.setattr(steps, "check_choices", lambda step: None)
    with pytest.raises(AssertionError, match="KeyError"):
        run_cases("calls", 100, lambda case: call_any(case, loaded), tmp_path)
