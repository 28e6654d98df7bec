"""What a trainer is fed: the steps of a plain one, in smaller pieces with less padding."""

import pytest
import torch
from accelerate.data_loader import SeedableRandomSampler

from ftkit import data, lora, models, train
from ftkit.train import batches


def blocks(order, size):
    return [order[i : i + size] for i in range(0, len(order), size)]


def test_short_first_draws_what_accelerate_draws_and_sorts_each_step():
    lengths = [30, 5, 12, 8, 40, 7, 21, 3, 9, 11, 2]
    theirs = SeedableRandomSampler(lengths, generator=torch.Generator(), data_seed=7)
    ours = batches.ShortFirst(lengths, 4, 7)
    for epoch in (0, 1, 5):
        theirs.set_epoch(epoch)
        ours.set_epoch(epoch)
        drawn, short_first = blocks(list(theirs), 4), blocks(list(ours), 4)
        assert [sorted(rows) for rows in drawn] == [sorted(rows) for rows in short_first]
        assert all(rows == sorted(rows, key=lengths.__getitem__) for rows in short_first)
        assert drawn != short_first
    assert len(ours) == 11


def mixed(rows=40):
    tickets = data.first(data.load("tickets")["train"], rows // 2)
    return data.mix(tickets, data.load("general")["train"], 0.5)


def tuned(monkeypatch, micro, **recipe):
    """(losses, shapes, padding): a run of three steps per epoch at most, and its forward passes."""
    monkeypatch.setattr(batches, "MICRO", micro)
    model, tokenizer = models.load("pocket")
    torch.manual_seed(0)
    model = lora.attach(model, r=4)
    masks = []

    def note(_module, _args, inputs):
        masks.append(inputs["attention_mask"])

    model.register_forward_pre_hook(note, with_kwargs=True)
    recipe = train.Recipe(2e-3, 2, evaluations=0, seed=3, **recipe)
    run = train.sft(model, tokenizer, mixed(), recipe)
    padding = sum(int((mask == 0).sum()) for mask in masks)
    return run.losses, [tuple(mask.shape) for mask in masks], padding


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
    args = train.sft_config(recipe, tmp_path, rows=64, micro=micro, marked=True)
    split = args.per_device_train_batch_size, args.gradient_accumulation_steps
    assert split == (rows, accumulated)


def test_with_a_template_that_marks_no_answers_the_last_message_is_the_completion():
    tokenizer = models.load("pocket")[1]
    rows = data.load("tickets")["train"].select(range(3))
    assert train.as_trl(rows, tokenizer)["messages"] == rows["messages"]
    tokenizer.chat_template = tokenizer.chat_template.replace("{% generation %}", "").replace(
        "{% endgeneration %}", ""
    )
    split = train.as_trl(rows, tokenizer)
    assert split.column_names == ["prompt", "completion"]
    assert [p + c for p, c in zip(split["prompt"], split["completion"], strict=True)] == list(
        rows["messages"]
    )
    assert all(len(completion) == 1 for completion in split["completion"])
