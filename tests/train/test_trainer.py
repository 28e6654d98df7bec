"""The trainer: good weights after a loss that breaks, and a model that is left as it was."""

import pytest
import torch

from ftkit import data, lora, merge, models, train
from ftkit.train import resuming, trainer, watcher


def tickets(rows):
    return {"train": data.first(data.load("tickets")["train"], rows)}


def test_a_loss_that_breaks_within_a_step_keeps_the_weights_before_it(monkeypatch):
    """The first micro-batch of step 2 is finite and the second is not.

    The weights kept are those that all of step 1 was fine with.
    """
    model, tokenizer = models.load("pocket")
    model = lora.attach(model, r=2)
    plain, losses = trainer.SFTTrainer.training_step, []

    def step(self, *inputs, **options):
        losses.append(plain(self, *inputs, **options))
        return losses[-1] * float("nan") if len(losses) == 4 else losses[-1]

    before = [p.detach().clone() for p in models.trained_parameters(model)]
    monkeypatch.setattr(trainer.SFTTrainer, "training_step", step)
    recipe = train.Recipe(epochs=1, batch_size=8, evaluations=0, warmup=0)
    with pytest.raises(train.Diverged, match="at step 2 of 5; the weights after step 0 are kept"):
        train.sft(model, tokenizer, tickets(40), recipe)
    assert len(losses) == 4
    after = models.trained_parameters(model)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_loss_scaler_gets_float32_whatever_is_trained(tmp_path):
    """On a GPU without bfloat16: TRL has made the adapter bfloat16 by then.

    The frozen 4-bit weights stay packed.
    """
    model, tokenizer = models.load("pocket", "nf4")
    model, recipe = lora.attach(model, r=2), train.Recipe()
    built = resuming.build_trainer(
        model, tokenizer, tickets(4), recipe, tmp_path, watcher.Watcher()
    ).tuned
    assert {p.dtype for p in models.trained_parameters(built)} == {torch.bfloat16}
    frozen = {name: p.dtype for name, p in built.named_parameters() if not p.requires_grad}
    trainer.hold_in_float32(built)
    assert {p.dtype for p in models.trained_parameters(built)} == {torch.float32}
    assert frozen == {name: p.dtype for name, p in built.named_parameters() if not p.requires_grad}
    assert torch.uint8 in frozen.values()


def test_after_training_in_16_bits_the_model_runs_as_it_is(monkeypatch):
    """Accelerate leaves autocast around the forward pass.

    A float32 model would go on computing in bfloat16, its merged twin would not.
    """
    monkeypatch.setenv("FTKIT_DTYPE", "bfloat16")
    model, tokenizer = models.load("pocket")
    model, recipe = lora.attach(model.float(), r=2), train.Recipe(epochs=1, evaluations=0)
    run = train.sft(model, tokenizer, tickets(8), recipe)
    assert run.trainer.args.bf16
    _, proof = merge.merge(run.model)
    assert proof.max_logit_gap < 1e-4
