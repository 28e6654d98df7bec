"""Training: the loss falls on the answer alone, a record makes the run again, and mistakes are one
sentence.
"""

import json

import pytest
import torch
from datasets import Dataset, DatasetDict

from ftkit import UserError, data, lora, models, train

SMALL = train.Recipe(epochs=1, batch_size=8, evaluations=2)


@pytest.fixture(scope="module")
def tickets():
    splits = data.load("tickets")
    return DatasetDict(
        {
            s: splits[s].select(range(n))
            for s, n in {"train": 40, "validation": 16, "test": 16}.items()
        }
    )


@pytest.fixture
def attached():
    model, tokenizer = models.load("pocket")
    torch.manual_seed(0)
    return lora.attach(model, r=4), tokenizer


def test_a_run_learns_and_reports(attached, tickets):
    run = train.sft(*attached, tickets, SMALL)
    assert run.model is attached[0]
    assert run.steps == 5
    assert len(run.losses) == 5
    assert run.loss < run.losses[0][1]
    assert [step for step, _ in run.validation] == [2, 4, 5][: len(run.validation)]
    assert run.trainable == 4 * sum(
        m.in_features + m.out_features for m in models.linears(models.load("pocket")[0]).values()
    )
    assert "trainable parameters" in run._repr_html_()
    assert json.loads(json.dumps(run.record()))["recipe"]["lr"] == SMALL.lr


def test_the_first_loss_is_the_mean_over_answer_tokens(tickets):
    """By hand: cross-entropy of the answers' tokens alone, in one batch of the whole split."""
    model, tokenizer = models.load("pocket")
    total, count = 0.0, 0
    for messages in tickets["train"]["messages"]:
        ids = tokenizer(
            tokenizer.apply_chat_template(messages, tokenize=False),
            add_special_tokens=False,
            return_tensors="pt",
        )["input_ids"]
        n = data.count_answer_tokens(messages, tokenizer)
        with torch.no_grad():
            logits = model(ids).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits[-n:], ids[0, -n:], reduction="sum").item()
        count += n
    torch.manual_seed(0)
    run = train.sft(
        lora.attach(model),
        tokenizer,
        {"train": tickets["train"]},
        train.Recipe(epochs=1, batch_size=40, evaluations=0),
    )
    assert run.losses[0][1] == pytest.approx(total / count, rel=1e-3)


def test_the_best_checkpoint_is_the_one_that_is_kept(attached, tickets):
    """A rate that wrecks the model after a good start: the kept weights give the best validation
    loss, not the last.
    """
    run = train.sft(
        *attached,
        tickets,
        train.Recipe(
            lr=0.2,
            epochs=2,
            batch_size=8,
            warmup=0.5,
            schedule="constant_with_warmup",
            evaluations=10,
        ),
    )
    best_step, best = min(run.validation, key=lambda p: p[1])
    assert run.best_step == best_step < run.steps
    assert run.trainer.evaluate()["eval_loss"] == pytest.approx(best, rel=1e-4)


def test_early_stopping_stops(attached, tickets):
    recipe = train.Recipe(
        lr=0.2, epochs=6, batch_size=8, schedule="constant_with_warmup", evaluations=30, patience=2
    )
    assert train.sft(*attached, tickets, recipe).steps < 30


def test_packing_trains_on_the_same_tokens_in_fewer_steps(attached, tickets):
    run = train.sft(
        *attached,
        {"train": tickets["train"]},
        train.Recipe(epochs=1, batch_size=8, packing=True, evaluations=0),
    )
    assert run.steps < 5
    assert run.loss > 0


def the_trained(model):
    return [p.detach().clone() for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("validated", [False, True], ids=["last", "best"])
def test_a_loss_that_is_not_finite_ends_the_run_with_good_weights(attached, tickets, validated):
    """At a rate of 1e30 one step breaks every weight, so the next loss is NaN: the weights before
    it come back.
    """
    splits = tickets if validated else {"train": tickets["train"]}
    recipe = train.Recipe(
        lr=1e30, epochs=1, batch_size=8, warmup=0.4, evaluations=5
    )  # 5 steps, the first at rate 0
    before = the_trained(attached[0])
    with (
        pytest.warns(UserWarning, match="the run may well diverge"),
        pytest.raises(train.Diverged) as error,
    ):
        train.sft(*attached, splits, recipe)
    run = error.value.run
    assert run.steps == 2, "step 2 breaks the weights, step 3 sees it"
    kept = 1
    assert f"step 3 of 5; the weights after step {kept} are kept" in str(error.value)
    assert run.stopped == run.record()["stopped"] == str(error.value)
    assert run.model is attached[0]
    assert all(torch.equal(a, b) for a, b in zip(before, the_trained(run.model), strict=True))
    assert str(run)


def test_a_run_that_diverges_at_once_keeps_the_weights_it_came_with(attached, tickets):
    before = the_trained(attached[0])
    attached[0].get_input_embeddings().weight.data.fill_(float("nan"))
    with pytest.raises(
        train.Diverged, match=r"the loss is nan at step 1 of 5; the weights after step 0 are kept"
    ):
        train.sft(*attached, {"train": tickets["train"]}, SMALL)
    assert all(torch.equal(a, b) for a, b in zip(before, the_trained(attached[0]), strict=True))


@pytest.mark.parametrize(
    ("lr", "method", "said"),
    [
        (0, "LoRA", "nothing is learned: for LoRA usual rates lie between 1e-05 and 0.01"),
        (1e-9, "LoRA", "next to nothing"),
        (0.5, "LoRA", "may well diverge"),
        (
            0.05,
            "full fine-tuning",
            "may well diverge: for full fine-tuning usual rates lie between 1e-06 and 0.001",
        ),
        (0.05, "LoRA", None),
        (2e-3, "full fine-tuning", None),
    ],
)
def test_an_absurd_learning_rate_is_named(lr, method, said):
    found = train.warn_of_rate(lr, method)
    assert said in found if said else not found


def test_rate_0_warns_and_learns_nothing(attached, tickets):
    before = the_trained(attached[0])
    with pytest.warns(UserWarning, match="lr is 0, so nothing is learned"):
        train.sft(
            *attached, {"train": tickets["train"]}, train.Recipe(lr=0, epochs=1, batch_size=20)
        )
    assert all(torch.equal(a, b) for a, b in zip(before, the_trained(attached[0]), strict=True))


def test_stop_ends_a_run(attached, tickets):
    assert train.sft(*attached, tickets, SMALL, stop=lambda: True).steps == 1


def test_a_template_without_generation_marks_still_masks_the_prompt(attached, tickets):
    model, tokenizer = attached
    tokenizer.chat_template = tokenizer.chat_template.replace("{% generation %}", "").replace(
        "{% endgeneration %}", ""
    )
    run = train.sft(
        model,
        tokenizer,
        {"train": tickets["train"]},
        train.Recipe(epochs=1, batch_size=40, evaluations=0),
    )
    learned = sum(
        label != -100 for labels in run.trainer.train_dataset["labels"] for label in labels
    )
    answers = [
        tokenizer(m[-1]["content"], add_special_tokens=False)["input_ids"]
        for m in tickets["train"]["messages"]
    ]
    assert (
        len(answers) <= learned - sum(map(len, answers)) <= 2 * len(answers)
    )  # the end mark, and one more that TRL may add


def test_full_fine_tuning_moves_every_weight(tickets):
    model, tokenizer = models.load("pocket")
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    run = train.sft(
        model,
        tokenizer,
        {"train": tickets["train"]},
        train.Recipe(lr=1e-3, epochs=1, evaluations=0),
    )
    assert run.trainable == run.total
    assert all(not torch.equal(p, before[n]) for n, p in run.model.named_parameters())


def test_no_rows_and_only_masked_rows(attached, tickets):
    empty = Dataset.from_list([]).add_column("messages", [])
    with pytest.raises(UserError, match="no training rows"):
        train.sft(*attached, {"train": empty})
    with pytest.raises(UserError, match=r"every row is masked.*max_length=16"):
        train.sft(*attached, {"train": tickets["train"]}, train.Recipe(max_length=16))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"lr": -1e-3}, "lr is -0.001; give a number from 0 on"),
        ({"lr": float("nan")}, "lr is nan; give a number from 0 on"),
        ({"kl": -1}, "kl is -1; give a number from 0 on"),
        ({"keep_best": "no"}, "keep_best is 'no'; give true or false"),
        ({"warmup": "long"}, "warmup is 'long'"),
        ({"patience": 0}, "patience is 0; give a whole number of validation points from 1 on"),
        ({"lr": "fast"}, "lr is 'fast'"),
        ({"epochs": -1}, "epochs is -1"),
        ({"schedule": "liner"}, "Did you mean 'linear'"),
        ({"warmup": 5}, "share of the steps"),
        ({"batch_size": 2.5}, "batch_size is 2.5; give a whole number"),
        ({"seed": "x"}, "seed is 'x'; give a whole number"),
        ({"packing": 3}, "packing is 3; give true or false"),
        ({"evaluations": 0, "patience": 2}, "evaluations above 0"),
    ],
)
def test_a_bad_recipe_is_one_sentence(stated, message):
    with pytest.raises(UserError, match=message):
        train.Recipe(**stated)
