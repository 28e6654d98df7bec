"""The trainer: each step's rows are those of a plain one, in micro-batches with less padding and
the same loss.
"""

import pytest
import torch
from accelerate.data_loader import SeedableRandomSampler

from ftkit import data, lora, merge, models, train
from ftkit.train import batches, trainer


def blocks(order, size):
    return [order[i : i + size] for i in range(0, len(order), size)]


def test_short_first_draws_what_accelerate_draws_and_sorts_each_step():
    lengths = [30, 5, 12, 8, 40, 7, 21, 3, 9, 11, 2]
    theirs = SeedableRandomSampler(lengths, generator=torch.Generator(), data_seed=7)
    ours = batches.ShortFirst(lengths, 4, 7)
    for epoch in (0, 1, 5):
        theirs.set_epoch(epoch)
        ours.set_epoch(epoch)
        drawn, found = blocks(list(theirs), 4), blocks(list(ours), 4)
        assert [sorted(rows) for rows in drawn] == [sorted(rows) for rows in found]
        assert all([lengths[i] for i in rows] == sorted(lengths[i] for i in rows) for rows in found)
        assert drawn != found
    assert len(ours) == 11


def mixed(rows=40):
    return data.mix(
        data.first(data.load("tickets")["train"], rows // 2), data.load("general")["train"], 0.5
    )


def tuned(monkeypatch, micro, **recipe):
    """A run of three steps an epoch at most, its losses and the tokens and padding of its forward
    passes.
    """
    monkeypatch.setattr(batches, "MICRO", micro)
    model, tokenizer = models.load("pocket")
    torch.manual_seed(0)
    model = lora.attach(model, r=4)
    seen = []

    def note(_module, _args, inputs):
        seen.append(inputs["attention_mask"])

    model.register_forward_pre_hook(note, with_kwargs=True)
    run = train.sft(
        model, tokenizer, mixed(), train.Recipe(2e-3, 2, evaluations=0, seed=3, **recipe)
    )
    return (
        run.losses,
        [tuple(mask.shape) for mask in seen],
        sum(int((mask == 0).sum()) for mask in seen),
    )


@pytest.mark.parametrize(
    "recipe",
    [{"batch_size": 16}, {"batch_size": 9}, {"batch_size": 16, "kl": 0.5}],
    ids=["16", "9", "kl"],
)
def test_micro_batches_give_the_same_losses_with_less_padding(recipe, monkeypatch):
    """40 rows: the last step of an epoch has fewer rows than the others."""
    whole, _, filled = tuned(monkeypatch, (), **recipe)
    losses, shapes, padding = tuned(monkeypatch, (4, 3, 2), **recipe)
    assert max(rows for rows, _ in shapes) == (3 if recipe["batch_size"] == 9 else 4)
    assert [step for step, _ in losses] == [step for step, _ in whole]
    assert [loss for _, loss in losses] == pytest.approx([loss for _, loss in whole], abs=1e-4)
    assert padding < 0.7 * filled


@pytest.mark.parametrize(
    ("stated", "rows", "accumulated"),
    [
        ({"batch_size": 16}, 4, 4),
        ({"batch_size": 4}, 4, 1),
        ({"batch_size": 7}, 7, 1),
        ({"batch_size": 8, "packing": True}, 8, 1),
    ],
)
def test_a_batch_is_split_where_it_can_be(stated, rows, accumulated, tmp_path):
    recipe = train.Recipe(**stated)
    micro = batches.rows_at_once(None, None, None, recipe)
    args = train.sft_config(recipe, str(tmp_path), 64, False, True, micro)
    assert (args.per_device_train_batch_size, args.gradient_accumulation_steps) == (
        rows,
        accumulated,
    )


def test_a_loss_that_breaks_within_a_step_keeps_the_weights_before_it(monkeypatch):
    """The first micro-batch of step 2 is finite and the second is not: the weights kept are those
    that all of step 1 was fine with.
    """
    model, tokenizer = models.load("pocket")
    model = lora.attach(model, r=2)
    plain, seen = trainer.SFTTrainer.training_step, []

    def step(self, *inputs, **options):
        loss = plain(self, *inputs, **options)
        seen.append(loss)
        return loss * float("nan") if len(seen) == 4 else loss

    before = [p.detach().clone() for p in models.trained_parameters(model)]
    monkeypatch.setattr(trainer.SFTTrainer, "training_step", step)
    with pytest.raises(train.Diverged, match="at step 2 of 5; the weights after step 0 are kept"):
        train.sft(
            model, tokenizer, mixed(), train.Recipe(epochs=1, batch_size=8, evaluations=0, warmup=0)
        )
    assert len(seen) == 4
    assert all(
        torch.equal(a, b) for a, b in zip(before, models.trained_parameters(model), strict=True)
    )


def test_a_loss_scaler_gets_float32_whatever_is_trained(tmp_path):
    """On a GPU without bfloat16: TRL has made the adapter bfloat16 by then; the frozen 4-bit
    weights stay packed.
    """
    model, tokenizer = models.load("pocket", "nf4")
    rows = {"train": data.first(data.load("tickets", tokenizer)["train"], 4)}
    built = trainer.build_trainer(
        lora.attach(model, r=2), tokenizer, rows, train.Recipe(), tmp_path, trainer.Watcher([], [])
    ).model
    assert {p.dtype for p in models.trained_parameters(built)} == {torch.bfloat16}
    frozen = {name: p.dtype for name, p in built.named_parameters() if not p.requires_grad}
    trainer.hold_in_float32(built)
    assert {p.dtype for p in models.trained_parameters(built)} == {torch.float32}
    assert frozen == {name: p.dtype for name, p in built.named_parameters() if not p.requires_grad}
    assert torch.uint8 in frozen.values()


def test_after_training_in_16_bits_the_model_runs_as_it_is(monkeypatch):
    """Accelerate leaves autocast around the forward pass: a float32 model would go on computing in
    bfloat16, its merged twin would not.
    """
    monkeypatch.setenv("FTKIT_DTYPE", "bfloat16")
    model, tokenizer = models.load("pocket")
    run = train.sft(
        lora.attach(model.float(), r=2),
        tokenizer,
        {"train": mixed(8)},
        train.Recipe(epochs=1, evaluations=0),
    )
    assert run.trainer.args.bf16
    _, proof = merge.merge(run.model)
    assert proof.max_logit_gap < 1e-4
