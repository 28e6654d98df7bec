"""Training: the loss falls on the answer alone, a record makes the run again, and mistakes are one sentence."""

import dataclasses
import json

import pytest
import torch
from datasets import Dataset, DatasetDict
from safetensors.torch import load_file

from ftkit import UserError, data, lora, models, train

SMALL = train.Recipe(epochs=1, batch_size=8, evaluations=2)


@pytest.fixture(scope="module")
def tickets():
    splits = data.load("tickets")
    return DatasetDict({s: splits[s].select(range(n)) for s, n in {"train": 40, "validation": 16, "test": 16}.items()})


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
    assert run.trainable == 4 * sum(m.in_features + m.out_features for m in models.linears(models.load("pocket")[0]).values())
    assert "trainable parameters" in run._repr_html_()
    assert json.loads(json.dumps(run.record()))["recipe"]["lr"] == SMALL.lr


def test_the_first_loss_is_the_mean_over_answer_tokens(tickets):
    """By hand: cross-entropy of the answers' tokens alone, in one batch of the whole split."""
    model, tokenizer = models.load("pocket")
    total, count = 0.0, 0
    for messages in tickets["train"]["messages"]:
        ids = tokenizer(tokenizer.apply_chat_template(messages, tokenize=False), add_special_tokens=False, return_tensors="pt")["input_ids"]
        n = data.answer_tokens(messages, tokenizer)
        with torch.no_grad():
            logits = model(ids).logits[0, :-1]
        total += torch.nn.functional.cross_entropy(logits[-n:], ids[0, -n:], reduction="sum").item()
        count += n
    torch.manual_seed(0)
    run = train.sft(lora.attach(model), tokenizer, {"train": tickets["train"]}, train.Recipe(epochs=1, batch_size=40, evaluations=0))
    assert run.losses[0][1] == pytest.approx(total / count, rel=1e-3)


def test_the_best_checkpoint_is_the_one_that_is_kept(attached, tickets):
    """A rate that wrecks the model after a good start: the kept weights give the best validation loss, not the last."""
    run = train.sft(
        *attached, tickets, train.Recipe(lr=0.2, epochs=2, batch_size=8, warmup=0.5, schedule="constant_with_warmup", evaluations=10)
    )
    best_step, best = min(run.validation, key=lambda p: p[1])
    assert run.best_step == best_step < run.steps
    assert run.trainer.evaluate()["eval_loss"] == pytest.approx(best, rel=1e-4)


def test_early_stopping_stops(attached, tickets):
    recipe = train.Recipe(lr=0.2, epochs=6, batch_size=8, schedule="constant_with_warmup", evaluations=30, patience=2)
    assert train.sft(*attached, tickets, recipe).steps < 30


def test_packing_trains_on_the_same_tokens_in_fewer_steps(attached, tickets):
    run = train.sft(*attached, {"train": tickets["train"]}, train.Recipe(epochs=1, batch_size=8, packing=True, evaluations=0))
    assert run.steps < 5
    assert run.loss > 0


def test_stop_ends_a_run(attached, tickets):
    assert train.sft(*attached, tickets, SMALL, stop=lambda: True).steps == 1


def test_a_template_without_generation_marks_still_masks_the_prompt(attached, tickets):
    model, tokenizer = attached
    tokenizer.chat_template = tokenizer.chat_template.replace("{% generation %}", "").replace("{% endgeneration %}", "")
    run = train.sft(model, tokenizer, {"train": tickets["train"]}, train.Recipe(epochs=1, batch_size=40, evaluations=0))
    learned = sum(label != -100 for labels in run.trainer.train_dataset["labels"] for label in labels)
    answers = [tokenizer(m[-1]["content"], add_special_tokens=False)["input_ids"] for m in tickets["train"]["messages"]]
    assert len(answers) <= learned - sum(map(len, answers)) <= 2 * len(answers)  # the end mark, and one more that TRL may add


def test_full_fine_tuning_moves_every_weight(tickets):
    model, tokenizer = models.load("pocket")
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    run = train.sft(model, tokenizer, {"train": tickets["train"]}, train.Recipe(lr=1e-3, epochs=1, evaluations=0))
    assert run.trainable == run.total
    assert all(not torch.equal(p, before[n]) for n, p in run.model.named_parameters())


def test_a_record_gives_the_same_adapter_again(tmp_path):
    source = tmp_path / "rows.jsonl"
    rows = data.load("tickets")["train"].select(range(30))
    source.write_text("".join(json.dumps({"messages": m}) + "\n" for m in rows["messages"]))
    first = train.Experiment(data=str(source), lora={"r": 2, "alpha": 4}, recipe=train.Recipe(epochs=1, seed=3))
    first.save(*first.run(), tmp_path / "one")
    second = train.Experiment.read(tmp_path / "one")
    assert second == dataclasses.replace(first, model="pocket")
    second.save(*second.run(), tmp_path / "two")
    one, two = (load_file(tmp_path / n / "adapter" / "adapter_model.safetensors") for n in ("one", "two"))
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert any(t.any() for k, t in one.items() if "lora_B" in k)
    record = json.loads((tmp_path / "one" / "run.json").read_text())
    assert {"seed", "recipe", "hashes", "versions", "scores", "experiment"} <= record.keys()
    assert record["hashes"]["base"] == models.fingerprint_of(models.data_path("pocket"))


def test_a_run_on_another_base_is_not_reopened(attached, tickets, tmp_path):
    run = train.sft(*attached, {"train": tickets["train"].select(range(8))}, train.Recipe(epochs=1, evaluations=0))
    folder = train.Experiment(lora={"r": 4}).save(run, attached[1], tmp_path / "out")
    assert train.reopen(folder)[0]
    record = json.loads((folder / "run.json").read_text())
    record["hashes"]["base"] = "0" * 64
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"trained on another 'pocket' \(000000000000…"):
        train.reopen(folder)


def test_a_failed_save_leaves_nothing_behind(attached, tickets, tmp_path, monkeypatch):
    run = train.sft(*attached, {"train": tickets["train"].select(range(8))}, train.Recipe(epochs=1, evaluations=0))
    monkeypatch.setattr(type(run.model), "save_pretrained", lambda *a, **k: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        train.Experiment().save(run, attached[1], tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_no_rows_and_only_masked_rows(attached, tickets):
    empty = Dataset.from_list([]).add_column("messages", [])
    with pytest.raises(UserError, match="no training rows"):
        train.sft(*attached, {"train": empty})
    with pytest.raises(UserError, match=r"every row is masked.*max_length=16"):
        train.sft(*attached, {"train": tickets["train"]}, train.Recipe(max_length=16))


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({"lr": 0}, "lr is 0; give a number above 0"),
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


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: {learning_rate: 1}", "recipe has the key 'learning_rate'"),
        ("modell: pocket", "Did you mean 'model'"),
        ("lora: {rank: 8}", "lora has the key 'rank'; the keys are r, alpha"),
        ("lora: 8", "lora is 8; give keys"),
        ("recipe: {lr: fast}", "lr is 'fast'"),
        ("- a\n- b", "holds none"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_recipe_file_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        train.Experiment.read(path)


def test_yamls_2e_3_is_a_number(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("recipe: {lr: 2e-3}")
    assert train.Experiment.read(path).recipe.lr == 0.002
