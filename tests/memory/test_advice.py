"""A full GPU: which part to shrink, and a setting that fits."""

import dataclasses
import gc
import weakref

import pytest
import torch

from ftkit import UserError, data, lora, memory, models, train
from ftkit.memory import GIB, advice, gpus
from ftkit.models import architecture
from ftkit.train import batches, trainer

T4 = memory.usable_bytes("T4 16")


def step(source="qwen2.5-0.5b", **options):
    return memory.make_step(
        source,
        **{
            "loss": "tiled",
            "dtype": "float16",
            "batch": 16,
            "seq": 1024,
            "checkpointing": False,
            **options,
        },
    )


@pytest.mark.parametrize(
    ("s", "cure"),
    [
        (step(method="lora"), "give micro_batch=8 in the recipe, which gives the same steps"),
        (
            step("llama-3.1-8b", method="qlora", seq=4096),
            "give checkpointing=True and micro_batch=2 in the recipe, which gives the same",
        ),
        (
            step("llama-3.1-8b", method="full"),
            r"give a QLoRA \(models.load\(quant='nf4'\), then lora.attach\) with micro_batch=1",
        ),
        (
            step("llama-3.2-1b", method="full", dtype="float32", seq=512),
            r"give a LoRA \(lora.attach, r=16\) with micro_batch=1",
        ),
        (
            step("llama-3.1-8b", method="qlora", batch=1, seq=65536, checkpointing=True),
            "give max_length=[0-9]+ with micro_batch=1",
        ),
        (
            step("llama-3.1-70b", method="qlora", batch=1),
            "no setting of this run fits, so take a smaller model",
        ),
    ],
    ids=["rows", "checkpointing", "qlora", "lora", "length", "none"],
)
def test_the_cure_fits_by_the_formula_and_is_the_first_that_does(s, cure):
    with pytest.raises(AssertionError, match=cure):
        raise AssertionError(said := advice.advise(s, T4))
    limit = 0.95 * T4
    fitting = [
        how
        for how, t in advice.smaller_steps(s)
        if memory.predict(t).peak <= min(limit, advice.SHRINK * memory.predict(s).peak)
    ]
    assert (fitting[0] in said) if fitting else "no setting" in said


def test_the_sentence_names_the_largest_part_and_adds_up():
    s = step(method="lora")
    peak = memory.predict(s)
    assert (
        f"≈{peak.peak / GIB:.1f} GiB by formula, {peak.parts['activations'] / GIB:.1f} of them activations"
        in advice.advise(s, T4)
    )
    assert "of them weights" in advice.advise(step("llama-3.1-70b", method="qlora", batch=1), T4)


def test_where_the_formula_saw_enough_room_the_cure_is_smaller_all_the_same():
    s = step(method="lora", seq=128)
    assert memory.predict(s).peak < T4
    assert "micro_batch=" in advice.advise(s, T4)


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_a_models_own_step_is_what_the_formula_is_asked_for(method):
    model, _ = models.load("pocket", "nf4" if method == "qlora" else None)
    if method != "full":
        model = lora.attach(model, r=4, targets="q,v")
    found = memory.step_in_training(model, 16, 100, False, None)
    assert (found.method, found.batch, found.seq, found.dtype) == (method, 16, 100, "float32")
    if method != "full":
        assert (found.rank, found.targets, found.adapter_dtype) == (
            4,
            ["q_proj", "v_proj"],
            "float32",
        )
        assert memory.predict(found).parts["adapter"] == pytest.approx(
            4 * lora.trainable(model)[0], rel=0.02
        )


def test_an_architecture_that_the_formula_does_not_know():
    from transformers import GPT2Config, GPT2LMHeadModel

    model = GPT2LMHeadModel(GPT2Config(n_layer=1, n_embd=32, n_head=2, vocab_size=100))
    assert (
        "16 × 64 tokens does not fit into 14.2 GiB; give a smaller micro_batch"
        in memory.explain_full_gpu(model, 16, 64, False, None, T4)
    )


class Held:
    """Something a step holds."""


def test_out_of_memory_in_a_run_is_one_sentence_and_lets_go_of_the_step(monkeypatch):
    model, tokenizer = models.load("pocket")
    model, held = lora.attach(model, r=4), []

    def full(self, *_inputs, **_options):
        tensors = Held()
        held.append(weakref.ref(tensors))
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.SFTTrainer, "training_step", full)
    monkeypatch.setattr(gpus, "free_bytes", lambda: 2**28)
    rows = {"train": data.first(data.load("tickets")["train"], 32)}
    with pytest.raises(
        UserError, match=r"the GPU is full: a step of 4 × \d+ tokens \(lora\) .* give micro_batch="
    ) as caught:
        train.sft(model, tokenizer, rows, train.Recipe(evaluations=0))
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    gc.collect()
    assert held
    assert [ref() for ref in held] == [None]


@pytest.mark.parametrize("rows", [16, 8, 2, 1])
def test_on_a_gpu_as_many_rows_go_at_once_as_there_is_room_for(rows, monkeypatch):
    model, tokenizer = models.load("pocket")
    tickets = data.load("tickets")["train"]
    model = lora.attach(model, r=4)
    longest = max(
        len(tokenizer.apply_chat_template(m, tokenize=True, return_dict=True)["input_ids"])
        for m in tickets["messages"]
    )
    just = (
        int(
            memory.predict(memory.step_in_training(model, rows, longest, False, "float16")).peak
            / 0.95
        )
        + 1
    )
    monkeypatch.setattr(batches, "device_and_dtype", lambda: ("cuda", "float16"))
    for given, fitting in ((just, rows), (just - 2, rows // 2 or 1)):
        monkeypatch.setattr(batches, "room_for", lambda model, given=given: given)
        assert batches.rows_at_once(model, tokenizer, tickets, train.Recipe()) == fitting
    assert batches.rows_at_once(model, tokenizer, tickets, train.Recipe(micro_batch=4)) == 4


def test_the_hubs_default_model_fits_a_t4_with_the_longest_run_of_the_notebooks():
    """A full fine-tuning in float16 with a float32 copy for the loss scaler, beside two more models
    on the card.

    Half a token a byte is more than any tokenizer makes of these rows; 40 for what a template puts
    around them.
    """
    longest = (
        max(
            len("".join(t["content"] for t in m).encode())
            for m in data.load("tickets")["train"]["messages"]
        )
        // 2
        + 40
    )
    weights = sum(w.numel for w in architecture.shapes(architecture.read("qwen2.5-0.5b")))
    left = (
        T4 - 2 * 2 * weights - 4 * weights
    )  # two more models in float16, and the copy of `Keeper.keep`
    full = memory.make_step(
        "qwen2.5-0.5b",
        dtype="float32",
        autocast="float16",
        batch=16,
        seq=longest,
        checkpointing=False,
        loss="tiled",
    )
    assert memory.rows_that_fit(full, left) >= 4
    assert (
        memory.rows_that_fit(dataclasses.replace(full, method="lora", dtype="float16"), left) == 16
    )


def test_micro_batch_and_checkpointing_give_the_same_run():
    tickets = data.first(data.load("tickets")["train"], 32)
    runs = []
    for more in ({}, {"micro_batch": 8}, {"micro_batch": 1, "checkpointing": True}):
        model, tokenizer = models.load("pocket")
        torch.manual_seed(0)
        run = train.sft(
            lora.attach(model, r=4),
            tokenizer,
            {"train": tickets},
            train.Recipe(evaluations=0, **more),
        )
        runs.append([loss for _, loss in run.losses])
        assert run.trainer.args.per_device_train_batch_size == more.get("micro_batch", 4)
        assert run.trainer.args.gradient_checkpointing is more.get("checkpointing", False)
    for losses in runs[1:]:
        assert losses == pytest.approx(runs[0], abs=1e-4)


@pytest.mark.parametrize("value", [0, 3, 2.0, True, -4, "8"])
def test_a_micro_batch_that_does_not_divide_the_batch(value):
    with pytest.raises(UserError, match=r"micro_batch is .*divides batch_size, 16"):
        train.Recipe(micro_batch=value)
