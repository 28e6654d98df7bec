"""Runs on pairs and rewards keep what `train` promises: record, folder, resume, refusals."""

import json
import math

import pytest
import torch
import yaml
from verbs import invoke

from ftkit import UserError, doctor, lora, models, prefer, train
from ftkit.prefer import by_trl, tuning

PAIRS = prefer.honesty_pairs(prefer.honesty(3, seed=5))
RECIPE = train.Recipe(lr=2e-3, epochs=1, batch_size=3, evaluations=0, warmup=0)
ONE_STEP = train.Recipe(lr=2e-3, epochs=1, batch_size=2, evaluations=0, warmup=0)


@pytest.fixture(scope="module")
def pocket():
    """(base, tokenizer, an adapter on it)."""
    base, tokenizer = models.load("pocket")
    return base, tokenizer, lora.attach(base, r=2, seed=0)


@pytest.fixture(scope="module")
def tuned(pocket):
    """A run by DPO."""
    _, tokenizer, model = pocket
    return prefer.tune(model, tokenizer, PAIRS, train.Objective("dpo", sft=0.5), RECIPE)


def test_a_run_tells_what_its_loss_hides(tuned):
    assert tuned.steps == 2 and tuned.json()["curves"] == tuned.curves
    assert set(tuned.curves) >= {"log p of the chosen", "log p of the rejected", "pairs right"}
    shown = str(tuned)
    assert shown.startswith("Direct preference optimization")
    assert "log p of the chosen" in shown and "untouched adapter" in shown
    # the copy that TRL keeps as reference is gone, and is not counted
    assert list(tuned.model.peft_config) == ["default"]
    assert (tuned.trainable, tuned.total) == lora.trainable(tuned.model)


def test_bf16_and_checkpointing_are_off_on_a_cpu(tuned):
    args = tuned.trainer.args
    assert not (args.bf16 or args.fp16 or args.gradient_checkpointing) and args.use_cpu


def test_the_same_call_is_the_same_run(pocket, tuned):
    _, tokenizer, model = pocket
    again = prefer.tune(model, tokenizer, PAIRS, train.Objective("dpo", sft=0.5), RECIPE)
    assert again.losses == tuned.losses


def test_a_run_goes_on_from_another_whose_end_is_its_reference(pocket):
    _, tokenizer, model = pocket
    first = prefer.tune(model, tokenizer, PAIRS, "dpo", RECIPE)
    second = prefer.tune(first, tokenizer, PAIRS, "dpo", RECIPE)
    assert second.training.start == "an adapter trained before, 2 steps at lr 0.002"
    # at its first step nothing has left the reference
    assert second.losses[0][1] == pytest.approx(math.log(2), abs=1e-6)


def test_kto_takes_pairs_apart(pocket):
    _, tokenizer, model = pocket
    run = prefer.tune(model, tokenizer, PAIRS, "kto", RECIPE)
    assert run.steps == 4 and "KL" in run.curves
    with pytest.raises(UserError, match="kto compares rows of a batch; set batch_size to 2"):
        prefer.tune(model, tokenizer, PAIRS, "kto", train.Recipe(batch_size=1))


def test_groups_that_all_get_one_reward_are_told_and_move_nothing(pocket):
    _, tokenizer, model = pocket
    goal = train.Objective("rloo", group=2, tokens=4, beta=0.0)
    with pytest.warns(UserWarning, match="each prompt's replies all got one reward"):
        run = prefer.tune(model, tokenizer, prefer.adding(2), goal, ONE_STEP)
    # B is as it began
    assert all(p.eq(0).all() for name, p in model.named_parameters() if "lora_B" in name)
    assert run.curves["dead groups"] == [(1, 1.0)]
    assert any("of the groups 100% got one reward" in note for note in run.notes)


@pytest.mark.parametrize("name", ["rloo", "grpo"])
def test_a_reward_is_followed(pocket, name):
    _, tokenizer, model = pocket
    given = []

    def shorter(rows, replies):
        given.append((len(rows), [row["messages"][-1]["content"] for row in rows]))
        return [-float(len(reply)) for reply in replies]

    goal = train.Objective(name, group=2, tokens=12, beta=0.1)
    rows = prefer.sorting(2, seed=4)
    run = prefer.tune(model, tokenizer, rows, goal, ONE_STEP, shorter)
    assert run.steps == 1 and given[0][0] == 4
    assert set(given[0][1]) == {row["messages"][-1]["content"] for row in rows}
    assert set(run.curves) >= {"reward", "KL", "tokens of a reply"}


def test_a_reward_that_fails_ends_the_run_and_leaves_the_adapter(pocket):
    _, tokenizer, model = pocket
    goal = train.Objective("rloo", group=2, tokens=4, beta=0.0)
    before = models.sums(model)
    with pytest.raises(UserError, match="the reward <lambda> returned None"):
        prefer.tune(model, tokenizer, prefer.adding(2), goal, ONE_STEP, lambda rows, replies: None)
    assert models.sums(model) == before and list(model.peft_config) == ["default"]


def test_fewer_prompts_than_a_step_takes_are_refused(pocket):
    _, tokenizer, model = pocket
    with pytest.raises(UserError, match="there are 2 prompts, and batch_size is 3"):
        prefer.tune(model, tokenizer, prefer.adding(2), "grpo", RECIPE)


def test_a_loss_that_breaks_ends_the_run_with_good_weights(pocket):
    _, tokenizer, model = pocket
    with pytest.raises(train.Diverged, match="the loss is nan at step 2 of 2") as caught:
        broken = prefer.tuning.make_trainer

        def breaking(*args, **more):
            trainer = broken(*args, **more)
            compute = trainer.compute_loss

            def loss(*given, **options):
                return compute(*given, **options) * (math.nan if trainer.state.global_step else 1)

            trainer.compute_loss = loss
            return trainer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tuning, "make_trainer", breaking)
            prefer.tune(model, tokenizer, PAIRS, "dpo", RECIPE)
    assert caught.value.run.stopped and isinstance(caught.value.run, prefer.TunedRun)
    assert all(p.isfinite().all() for p in models.trained_parameters(model))


def test_a_reference_on_another_base_is_refused(pocket):
    base, tokenizer, model = pocket
    other, _ = models.load("pocket")
    with torch.no_grad():
        next(other.parameters()).add_(1.0)
    with pytest.raises(UserError, match="the reference is no model on the same base"):
        prefer.tune(model, tokenizer, PAIRS, "dpo", RECIPE, reference=other)
    with pytest.raises(UserError, match="the reference is the model itself, which moves"):
        prefer.tune(model, tokenizer, PAIRS, "dpo", RECIPE, reference=model)
    with pytest.raises(UserError, match="kto takes no reference of its own"):
        prefer.tune(model, tokenizer, PAIRS, "kto", RECIPE, reference=base)


def test_a_reference_that_is_given_is_the_reference(pocket):
    _, tokenizer, model = pocket
    far = lora.attach(models.load("pocket")[0], r=2, seed=0)
    for name, parameter in far.named_parameters():
        if "lora_B" in name:
            parameter.data.fill_(0.2)
    run = prefer.tune(model, tokenizer, PAIRS, "dpo", RECIPE, reference=far)
    assert abs(run.losses[0][1] - math.log(2)) > 1e-3


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ({"packing": True}, "dpo has no packing; leave it out"),
        ({"kl": 0.5}, "dpo has no kl; the objective's beta keeps it near"),
    ],
)
def test_what_a_recipe_asks_of_chats_alone_is_refused(pocket, recipe, sentence):
    _, tokenizer, model = pocket
    with pytest.raises(UserError, match=sentence):
        prefer.tune(model, tokenizer, PAIRS, "dpo", train.Recipe(**recipe))


def test_chats_are_no_pairs_and_pairs_no_chats(pocket):
    _, tokenizer, model = pocket
    with pytest.raises(UserError, match="pair 1 has no prompt"):
        prefer.tune(model, tokenizer, prefer.adding(2), "dpo", RECIPE)
    with pytest.raises(UserError, match="a row has messages"):
        prefer.tune(model, tokenizer, PAIRS, "rloo", RECIPE)


def write_recipe(folder, **stated):
    """A recipe on a file of pairs."""
    (folder / "pairs.jsonl").write_text("".join(json.dumps(pair) + "\n" for pair in PAIRS))
    recipe = {"lr": 2e-3, "epochs": 1, "batch_size": 2, "evaluations": 0}
    file = folder / "recipe.yaml"
    usual = {"data": str(folder / "pairs.jsonl"), "lora": {"r": 2}, "recipe": recipe}
    file.write_text(yaml.safe_dump({**usual, **stated}))
    return train.Experiment.read(file)


def test_a_recipe_of_pairs_fills_a_run_folder_once(tmp_path):
    experiment = write_recipe(tmp_path, objective={"name": "dpo", "beta": "2e-1"})
    assert experiment.goal.beta == 0.2
    run = prefer.train_into(experiment, tmp_path / "out")
    assert run.steps == 2 and prefer.train_into(experiment, tmp_path / "out") is None
    record = train.read_record(tmp_path / "out")
    noted = {"name": "dpo", "beta": 0.2, "loss": "sigmoid", "sft": 0.0}
    assert record["experiment"]["objective"] == noted
    assert train.Experiment.read(tmp_path / "out").goal == experiment.goal
    tuned, _, tokenizer = train.reopen(tmp_path / "out")
    assert models.answer(tuned, tokenizer, [PAIRS[0]["prompt"]], 4)
    other = write_recipe(tmp_path, objective="dpo")
    with pytest.raises(UserError, match=r"holds another run \(.*beta"):
        prefer.train_into(other, tmp_path / "out")


def test_a_run_that_was_ended_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    experiment = write_recipe(tmp_path, objective="dpo")
    whole = prefer.train_into(experiment, tmp_path / "whole")
    monkeypatch.setattr("ftkit.train.checkpoint.Clock.is_due", lambda _: True)

    class Killed(Exception):
        pass

    def kill(step, *_):
        if step == 2:
            raise Killed

    with pytest.raises(Killed):
        prefer.train_into(experiment, tmp_path / "out", watch=kill)
    again = prefer.train_into(experiment, tmp_path / "out")
    assert again.losses == whole.losses and again.curves == whole.curves
    weights = "adapter/adapter_model.safetensors"
    assert (tmp_path / "out" / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


def test_a_reward_model_is_trained_opened_and_asked(tmp_path):
    experiment = write_recipe(tmp_path, objective="reward", lora={"r": 2, "alpha": 6})
    run = prefer.train_into(experiment, tmp_path / "judge")
    stated = json.loads((tmp_path / "judge/adapter/adapter_config.json").read_text())
    assert (stated["r"], stated["lora_alpha"]) == (2, 6)
    found = {f.check: f.ok for f in doctor.examine(tmp_path / "judge").findings}
    assert found["adapter"] and found["scale"] and found["tokens"]
    rows, replies = prefer.adding(1), ["a reply"]
    reward = prefer.find_reward(str(tmp_path / "judge"))
    kept = prefer.ModelReward(run.model, reward.tokenizer)
    assert reward(rows, replies) == pytest.approx(kept(rows, replies), abs=1e-5)
    with pytest.raises(UserError, match=r"model of rewards, .*open it by prefer\.open_reward"):
        train.reopen(tmp_path / "judge")
    with pytest.raises(UserError, match="there is no reward 'exat'"):
        prefer.find_reward("exat")


@pytest.mark.parametrize(
    ("stated", "sentence"),
    [
        ({"objective": "dpoo"}, r"objective is 'dpoo'; give one of .*Did you mean 'dpo'"),
        ({"objective": {"name": "dpo", "group": 4}}, "dpo has no group; its dials are: beta, loss"),
        ({"objective": {"name": "dpo", "beta": -1}}, "beta is -1; give a number from 0 on"),
        ({"objective": {"name": "dpo", "los": "ipo"}}, r"has the key 'los'.*Did you mean 'loss'"),
        ({"objective": {"name": "dpo", "loss": "sigmod"}}, r"'sigmod'.*Did you mean 'sigmoid'"),
        ({"objective": {"name": "grpo", "group": 1}}, "group is 1; give a whole number from 2 on"),
        ({"objective": {"beta": 1}}, "give a name such as dpo, or its dials too"),
        ({"method": "dpo", "objective": "kto"}, "a run has one objective"),
        ({"objective": "dpo", "replay": 0.2}, "replay mixes chats into the rows, and dpo"),
    ],
)
def test_slips_in_a_recipe_are_refused(tmp_path, stated, sentence):
    with pytest.raises(UserError, match=sentence):
        write_recipe(tmp_path, **stated)


def test_the_usual_objective_is_not_stated_in_a_record(tmp_path):
    assert "objective" not in write_recipe(tmp_path, objective="sft").to_dict()


def test_pairs_are_not_trained_by_the_usual_loss_in_silence(tmp_path):
    experiment = write_recipe(tmp_path, objective="dpo")
    with pytest.raises(UserError, match="the objective is dpo, not the usual loss"):
        train.train_into(experiment, tmp_path / "out")
    with pytest.raises(UserError, match=r"which prefer\.train_into trains"):
        experiment.run()


def test_an_end_of_text_that_ends_no_reply_is_refused(pocket, monkeypatch):
    base, tokenizer, _ = pocket
    monkeypatch.setattr(
        models.ReplyReader, "__init__", lambda self, *_: setattr(self, "ends", {-1})
    )
    with pytest.raises(UserError, match="TRL ends a reply at '<\|end\|>'"):
        by_trl.as_prompts(prefer.adding(1), tokenizer, base)


@pytest.mark.parametrize("stated", ["dpo", {"name": "dpo", "beta": 0.2}])
def test_an_objective_stated_as_the_method_is_one(stated):
    by_method = train.Experiment.from_dict({"method": stated})
    assert by_method == train.Experiment.from_dict({"objective": stated})
    assert by_method.goal.name == "dpo"
    assert by_method.lora is not None


def test_what_stood_at_a_place_still_stands_there():
    """The recipe is the eighth by position, as before there were methods and objectives."""
    recipe = train.Recipe(lr=1e-3)
    assert (
        train.Experiment(None, None, "tickets", None, 0.0, "general", None, recipe).recipe is recipe
    )


def test_the_verb_trains_and_merges_what_a_recipe_says(tmp_path):
    write_recipe(tmp_path, method={"name": "dpo", "sft": 0.5})
    done = invoke("train", tmp_path / "recipe.yaml", "--out", tmp_path / "out", "--json")
    told = json.loads(done.stdout)
    assert told["steps"] == 2 and math.isfinite(told["loss"])
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["experiment"]["objective"]["sft"] == 0.5
    assert "log p of the chosen" in record["curves"]
    assert not invoke("merge", tmp_path / "out", "--out", tmp_path / "merged").exit_code
    assert (tmp_path / "merged/config.json").is_file()
