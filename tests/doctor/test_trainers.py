"""A trainer in memory: what its next batch teaches, and what of its model can be trained."""

from types import SimpleNamespace

import pytest
import torch
from transformers import DataCollatorForLanguageModeling
from trl import SFTConfig, SFTTrainer

from ftkit import UserError, data, doctor, lora, methods, models, train
from ftkit.doctor import trainers


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


@pytest.fixture(scope="module")
def rows():
    return data.first(data.load("tickets")["train"], 16)


@pytest.fixture
def make(pocket, tmp_path):
    """make(rows, model=…, **arguments): a trainer."""

    def trainer(rows, model=None, collator=None, **more):
        args = SFTConfig(
            str(tmp_path), report_to="none", bf16=False, learning_rate=2e-3, max_length=512, **more
        )
        model = model or lora.attach(models.load("pocket")[0], r=2, alpha=4, seed=0)
        return SFTTrainer(
            model, args, train_dataset=rows, processing_class=pocket[1], data_collator=collator
        )

    return trainer


def wrong(trainer):
    return {f.check: f for f in doctor.examine(trainer).wrong}


def test_rows_that_say_what_carries_loss_raise_nothing(make, rows, pocket):
    trainer = make(train.as_trl(rows, pocket[1]))
    state = torch.get_rng_state()
    assert wrong(trainer) == {}
    assert torch.equal(torch.get_rng_state(), state)


def test_trls_default_teaches_the_prompt(make, rows):
    found = wrong(make(rows.select_columns("messages")))
    assert list(found) == ["prompt"] and "assistant_only_loss" in found["prompt"].cure


def test_a_collator_that_takes_the_end_mark_for_padding_is_found(make, rows, pocket):
    tokenizer = models.load_tokenizer("pocket")
    tokenizer.pad_token = tokenizer.eos_token
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    taught = train.as_trl(rows, pocket[1]).select_columns("input_ids")
    found = wrong(make(taught, collator=collator, dataset_kwargs={"skip_prepare_dataset": True}))
    assert "end mark" in found and "pad_token" in found["end mark"].cure


def test_a_frozen_b_and_a_frozen_model_are_named(make, rows, pocket):
    model = lora.attach(models.load("pocket")[0], r=2, alpha=4, seed=0)
    trainer = make(train.as_trl(rows, pocket[1]), model)
    for name, weight in model.named_parameters():
        weight.requires_grad_("lora_A" in name)
    assert "every B is frozen" in wrong(trainer)["trainable"].message
    model.requires_grad_(False)
    assert "no parameter requires a gradient" in wrong(trainer)["trainable"].message


def test_an_absurd_rate_is_named(make, rows, pocket):
    trainer = make(train.as_trl(rows, pocket[1]))
    trainer.args.learning_rate = 5.0
    assert list(wrong(trainer)) == ["learning rate"]


def test_a_rate_is_judged_by_the_method_that_is_trained(make, rows, pocket):
    """0.2 would be absurd of a LoRA, and is usual of IA³."""
    adapted = methods.attach(models.load("pocket")[0], "ia3")
    trainer = make(train.as_trl(rows, pocket[1]), adapted)
    trainer.args.learning_rate = 0.2
    assert not wrong(trainer)
    trainer = make(train.as_trl(rows, pocket[1]))
    trainer.args.learning_rate = 0.2
    assert list(wrong(trainer)) == ["learning rate"]


def test_after_some_steps_a_b_that_did_not_move_is_named(make, rows, pocket):
    trainer = make(train.as_trl(rows, pocket[1]))
    trainer.state.global_step = 10
    trainer.state.log_history = [{"step": n, "loss": 1.0 + n / 9} for n in range(1, 10)]
    assert {"learning", "training loss"} == set(wrong(trainer))


@pytest.mark.parametrize(
    ("args", "fine"),
    [({"fp16": True}, False), ({"bf16": True}, True), ({}, True)],
)
def test_fp16_without_a_gpu_is_named(args, fine):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    found = trainers.check_precision(SimpleNamespace(**args))
    assert found.ok is fine and (fine or "65,504" in found.message)


def test_what_is_no_trainer_is_refused():
    with pytest.raises(UserError, match="dict is no trainer; give a Trainer or SFTTrainer"):
        doctor.examine({})
