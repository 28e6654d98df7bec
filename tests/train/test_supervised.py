"""Training: the loss falls on the answers alone, good weights are kept, mistakes are a sentence."""

import json

import pytest
import torch
from datasets import Dataset, DatasetDict

from ftkit import UserError, data, lora, models, train

SMALL = train.Recipe(epochs=1, batch_size=8, evaluations=2)
ONE_STEP = train.Recipe(epochs=1, batch_size=40, evaluations=0)
COUNTS = {"train": 40, "validation": 16, "test": 16}


@pytest.fixture(scope="module")
def tickets():
    splits = data.load("tickets")
    return DatasetDict({name: splits[name].select(range(n)) for name, n in COUNTS.items()})


@pytest.fixture
def attached():
    model, tokenizer = models.load("pocket")
    torch.manual_seed(0)
    return lora.attach(model, r=4), tokenizer


def trained_copies(model):
    return [p.detach().clone() for p in models.trained_parameters(model)]


def same(first, second):
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_run_learns_and_reports(attached, tickets):
    run = train.sft(*attached, tickets, SMALL)
    assert run.model is attached[0]
    assert run.steps == 5
    assert len(run.losses) == 5
    assert run.loss < run.losses[0][1]
    assert [step for step, _ in run.validation] == [2, 4, 5][: len(run.validation)]
    layers = models.linears(models.load("pocket")[0]).values()
    assert run.trainable == 4 * sum(layer.in_features + layer.out_features for layer in layers)
    assert "trainable parameters" in run._repr_html_()
    assert json.loads(json.dumps(run.json()))["recipe"]["lr"] == SMALL.lr


def test_the_first_loss_is_the_mean_over_answer_tokens(tickets):
    """By hand: cross-entropy of the answers' tokens alone, in one batch of the whole split."""
    model, tokenizer = models.load("pocket")
    total, count = 0.0, 0
    for messages in tickets["train"]["messages"]:
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        n = data.count_answer_tokens(messages, tokenizer)
        with torch.no_grad():
            logits = model(ids).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits[-n:], ids[0, -n:], reduction="sum").item()
        count += n
    torch.manual_seed(0)
    run = train.sft(lora.attach(model), tokenizer, {"train": tickets["train"]}, ONE_STEP)
    assert run.losses[0][1] == pytest.approx(total / count, rel=1e-3)


def test_the_best_checkpoint_is_the_one_that_is_kept(attached, tickets):
    """A rate that wrecks the model after a good start.

    The kept weights give the best validation loss, not the last.
    """
    wrecking = {"lr": 0.2, "warmup": 0.5, "schedule": "constant_with_warmup"}
    recipe = train.Recipe(**wrecking, epochs=2, batch_size=8, evaluations=10)
    run = train.sft(*attached, tickets, recipe)
    best_step, best = min(run.validation, key=lambda point: point[1])
    assert run.best_step == best_step < run.steps
    assert run.trainer.evaluate()["eval_loss"] == pytest.approx(best, rel=1e-4)


def test_early_stopping_stops(attached, tickets):
    recipe = train.Recipe(
        lr=0.2, epochs=6, batch_size=8, schedule="constant_with_warmup", evaluations=30, patience=2
    )
    assert train.sft(*attached, tickets, recipe).steps < 30


def test_packing_trains_on_the_same_tokens_in_fewer_steps(attached, tickets):
    recipe = train.Recipe(epochs=1, batch_size=8, packing=True, evaluations=0)
    run = train.sft(*attached, tickets["train"], recipe)
    assert run.steps < 5
    assert run.loss > 0


@pytest.mark.parametrize("validated", [False, True], ids=["last", "best"])
def test_a_loss_that_is_not_finite_ends_the_run_with_good_weights(attached, tickets, validated):
    """At a rate of 1e30 one step breaks every weight, so the next loss is NaN.

    The weights before it come back.
    """
    splits = tickets if validated else {"train": tickets["train"]}
    # 5 steps, the first at rate 0
    recipe = train.Recipe(lr=1e30, epochs=1, batch_size=8, warmup=0.4, evaluations=5)
    before = trained_copies(attached[0])
    with (
        pytest.warns(UserWarning, match="the run may well diverge"),
        pytest.raises(train.Diverged) as error,
    ):
        train.sft(*attached, splits, recipe)
    run = error.value.run
    assert run.steps == 2, "step 2 breaks the weights, step 3 sees it"
    assert "step 3 of 5; the weights after step 1 are kept" in str(error.value)
    assert run.stopped == run.json()["stopped"] == str(error.value)
    assert run.model is attached[0]
    assert same(before, trained_copies(run.model))
    assert str(run)


def test_a_run_that_diverges_at_once_keeps_the_weights_it_came_with(attached, tickets):
    before = trained_copies(attached[0])
    attached[0].get_input_embeddings().weight.data.fill_(float("nan"))
    kept = "the loss is nan at step 1 of 5; the weights after step 0 are kept"
    with pytest.raises(train.Diverged, match=kept):
        train.sft(*attached, {"train": tickets["train"]}, SMALL)
    assert same(before, trained_copies(attached[0]))


def test_rate_0_warns_and_learns_nothing(attached, tickets):
    before, recipe = trained_copies(attached[0]), train.Recipe(lr=0, epochs=1, batch_size=20)
    with pytest.warns(UserWarning, match="lr is 0, so nothing is learned"):
        train.sft(*attached, {"train": tickets["train"]}, recipe)
    assert same(before, trained_copies(attached[0]))


def test_stop_ends_a_run(attached, tickets):
    assert train.sft(*attached, tickets, SMALL, stop=lambda: True).steps == 1


def test_a_template_without_generation_marks_still_masks_the_prompt(attached, tickets):
    model, tokenizer = attached
    for mark in ("{% generation %}", "{% endgeneration %}"):
        tokenizer.chat_template = tokenizer.chat_template.replace(mark, "")
    run = train.sft(model, tokenizer, {"train": tickets["train"]}, ONE_STEP)
    learned = sum(
        label != -100 for labels in run.trainer.train_dataset["labels"] for label in labels
    )
    texts = [messages[-1]["content"] for messages in tickets["train"]["messages"]]
    answers = tokenizer(texts, add_special_tokens=False)["input_ids"]
    # the end mark, and one more that TRL may add
    assert len(answers) <= learned - sum(map(len, answers)) <= 2 * len(answers)


def test_full_fine_tuning_moves_every_weight(tickets):
    model, tokenizer = models.load("pocket")
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    recipe = train.Recipe(lr=1e-3, epochs=1, evaluations=0)
    run = train.sft(model, tokenizer, {"train": tickets["train"]}, recipe)
    assert run.trainable == run.total
    assert all(not torch.equal(p, before[name]) for name, p in run.model.named_parameters())


def test_no_rows_and_only_masked_rows(attached, tickets):
    empty = Dataset.from_list([]).add_column("messages", [])
    with pytest.raises(UserError, match="no training rows"):
        train.sft(*attached, {"train": empty})
    with pytest.raises(UserError, match=r"every row is masked.*max_length=16"):
        train.sft(*attached, {"train": tickets["train"]}, train.Recipe(max_length=16))
