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
    with pytest.warns(UserWarning, match="nothing was learned"):
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


@pytest.mark.filterwarnings("ignore:lr is 0", "ignore:nothing was learned")
def test_the_validation_loss_is_the_mean_over_answer_tokens_however_rows_are_batched(attached):
    """Short answers that are hard, long ones that are easy: a mean of means hangs on the batches.

    The Trainer's own does (transformers 39241). Packed rows come to the same.
    """
    model, tokenizer = attached
    chats = [ask("Say a word.", "xylophone"), ask("Say a word.", "zebra"), ask("Count.", "1 " * 30)]
    chats += [ask("Say it.", "one two three four five"), ask("Say.", "quartz")]
    rows = Dataset.from_list([{"messages": chat} for chat in chats])
    splits = {"train": rows, "validation": rows}
    total, count = 0.0, 0
    for row in train.as_trl(rows, tokenizer):
        ids, labels = torch.tensor(row["input_ids"]), torch.tensor(row["labels"])
        with torch.no_grad():
            logits = model(ids[None]).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits, labels[1:], reduction="sum").item()
        count += int((labels[1:] != -100).sum())
    options = {"lr": 0, "epochs": 1, "evaluations": 1, "keep_best": False}
    for batching in ({"batch_size": 2, "micro_batch": 1}, {"batch_size": 5}, {"packing": True}):
        run = train.sft(model, tokenizer, splits, train.Recipe(**options, **batching))
        assert run.validation[-1][1] == pytest.approx(total / count, rel=1e-5), batching


def ask(question, answer):
    return [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]


def test_packing_keeps_its_validation_points(attached, tickets):
    """40 rows are 10 packs: counted by rows, the first point would come after the last step."""
    recipe = train.Recipe(epochs=2, batch_size=4, packing=True, evaluations=3, keep_best=False)
    run = train.sft(*attached, tickets, recipe)
    assert [step for step, _ in run.validation] == [2, 4, 6]
    assert run.steps == 6


def test_half_an_epoch_is_validated_at_its_end(attached, tickets):
    """Three steps of 40 rows by 8: the one point asked for is the last step."""
    recipe = train.Recipe(epochs=0.5, batch_size=8, evaluations=1)
    run = train.sft(*attached, tickets, recipe)
    assert [step for step, _ in run.validation] == [run.steps] == [3]


@pytest.mark.parametrize(
    ("stated", "why"),
    [
        ({}, "the only step had that rate; state warmup: 0, more epochs, or a smaller batch_size."),
        (
            {"warmup": 0, "lr": 1e-60},
            "no trained weight moved in 1 steps at rates up to 1e-60; rai",
        ),
    ],
    ids=["warm-up", "tiny"],
)
@pytest.mark.filterwarnings("ignore:lr is 1e-60")
def test_a_run_that_learned_nothing_says_so(stated, why, attached, tickets):
    rows = {"train": tickets["train"].select(range(4))}
    with pytest.warns(UserWarning, match=f"nothing was learned: .*{why}"):
        run = train.sft(*attached, rows, train.Recipe(epochs=1, evaluations=0, **stated))
    (note,) = run.notes
    assert note in str(run)
    assert run.json()["notes"] == [note]


def test_a_best_step_before_anything_moved_is_no_learning(attached, tickets):
    """A rate that wrecks the model: the best of the validation points is step 1, at rate 0."""
    recipe = train.Recipe(lr=0.4, epochs=1, batch_size=20, evaluations=2, warmup=0.5)
    with pytest.warns(UserWarning, match="points step 1 was the best, and nothing had moved by"):
        run = train.sft(*attached, tickets, recipe)
    assert run.best_step == 1
    assert all(not p.any() for n, p in run.model.named_parameters() if "lora_B" in n)


def test_a_run_that_learned_has_nothing_to_say(attached, tickets):
    run = train.sft(*attached, {"train": tickets["train"]}, SMALL)
    assert run.notes == []
    assert "note" not in str(run)


def test_rows_that_lose_their_answer_are_counted_by_split_before_the_run(attached):
    """18 of 20 rows end before their answer begins; TRL would drop them without a word."""
    long, short = ask("word " * 80, "yes"), ask("Say yes.", "yes")
    rows = Dataset.from_list([{"messages": long}] * 18 + [{"messages": short}] * 2)
    lost = Dataset.from_list([{"messages": long}] * 2)
    recipe = train.Recipe(epochs=2, batch_size=1, max_length=64)
    with pytest.warns(UserWarning, match="18 of 20 training rows have no answer token") as warned:
        run = train.sft(*attached, {"train": rows, "validation": lost}, recipe)
    said = [str(w.message) for w in warned]
    assert any(
        "2 of 2 validation rows have no answer token within max_length 64" in s for s in said
    )
    assert run.steps == 4
    assert run.validation == []
    assert "no row is left" in str(run)
    assert run.json()["notes"] == run.notes == said[-2:]


def test_every_answer_of_a_chat_is_learned_and_weight_0_is_not(attached):
    chat = [*ask("One?", "first"), *ask("Two?", "second")]
    rows = data.to_dataset([{"messages": [*chat[:1], {**chat[1], "weight": 0}, *chat[2:]]}])
    for given, learned in ((Dataset.from_list([{"messages": chat}]), 2), (rows, 1)):
        run = train.sft(*attached, {"train": given}, train.Recipe(epochs=1, warmup=0))
        (labels,) = run.trainer.train_dataset["labels"]
        ends = attached[1].convert_tokens_to_ids("<|end|>")
        assert labels.count(ends) == learned


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
    assert str(error.value).endswith("lower the learning rate (lr is 1e+30).")
    assert run.stopped == run.json()["stopped"] == str(error.value)
    assert run.model is attached[0]
    assert same(before, trained_copies(run.model))
    assert str(run)


def test_a_run_that_diverges_at_once_keeps_the_weights_it_came_with(attached, tickets):
    before = trained_copies(attached[0])
    attached[0].get_input_embeddings().weight.data.fill_(float("nan"))
    kept = "the loss is nan at step 1 of 5; the weights after step 0 are kept.* or warm up longer"
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


def test_a_template_without_generation_marks_gives_the_same_run(attached, tickets):
    model, tokenizer = attached
    marked = train.as_trl(tickets["train"], tokenizer)
    for mark in ("{% generation %}", "{% endgeneration %}"):
        tokenizer.chat_template = tokenizer.chat_template.replace(mark, "")
    with pytest.warns(UserWarning, match="nothing was learned"):
        run = train.sft(model, tokenizer, {"train": tickets["train"]}, ONE_STEP)
    assert list(run.trainer.train_dataset["labels"]) == list(marked["labels"])


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
