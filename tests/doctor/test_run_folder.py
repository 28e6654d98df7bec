"""A run folder looked over: a healthy run is all ok, and a planted fault is found with its cure."""

import json
import math
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from ftkit import UserError, models, train
from ftkit.__main__ import app
from ftkit.core import files
from ftkit.doctor import environment, run_folder
from ftkit.train import Experiment

CHECKS = [
    "record",
    "versions",
    "base",
    "adapter",
    "learning rate",
    "divergence",
    "training loss",
    "learning",
    "rows",
    "over-fitting",
    "data",
    "scale",
    "modules",
    "prompt",
    "end mark",
    "cut answers",
    "start mark",
    "template",
    "tokens",
    "copies",
    "leak",
]


ASKING = ["pairs", "recitation"]


@pytest.fixture(autouse=True)
def unasked(request, monkeypatch):
    """No model is loaded to be asked: test_asking does that, and one test here."""
    if not request.node.name.startswith("test_a_healthy"):
        monkeypatch.setattr(run_folder, "ask_run", lambda *_: [])


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """A run of twelve steps, made once; its data set is a file of its own."""
    folder = tmp_path_factory.mktemp("runs")
    rows = files.data_path("tasks", "tickets.jsonl").read_text(encoding="utf-8").splitlines()[:60]
    data = folder / "mine.jsonl"
    chats = [json.dumps({"messages": json.loads(row)["messages"]}) for row in rows]
    data.write_text("\n".join(chats), encoding="utf-8")
    stated = {
        "data": str(data),
        "lora": {"r": 2, "alpha": 4},
        "recipe": {"epochs": 1, "batch_size": 4, "evaluations": 2, "lr": 4e-3},
    }
    train.train_into(Experiment.from_dict(stated), folder / "run")
    return folder


@pytest.fixture
def planted(healthy, tmp_path):
    """A copy of the healthy run whose record can be changed.

    planted(recipe={"lr": 1}, losses=[…]) gives the findings by check.
    """
    folder = tmp_path / "run"
    shutil.copytree(healthy / "run", folder)

    def change(**values):
        known = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        for key, value in values.items():
            place = known["experiment"] if key in known["experiment"] else known
            place[key] = {**place[key], **value} if isinstance(value, dict) else value
        (folder / "run.json").write_text(json.dumps(known), encoding="utf-8")
        return {f.check: f for f in environment.examine(folder).findings}

    change.folder = folder
    return change


def only(found, check, *parts):
    """One check alone is wrong, with these words in its detail, and it has a cure."""
    assert [f.check for f in found.values() if not f.ok] == [check]
    assert [p for p in parts if p not in found[check].detail] == []
    assert found[check].cure
    return True


def test_a_healthy_run_is_all_ok(healthy):
    found = run_folder.examine_run(healthy / "run")
    assert [f.check for f in found.findings] == [*CHECKS, *ASKING]
    assert [f.detail for f in found.findings if not f.ok] == []
    messages = {f.check: f.message for f in found.findings}
    assert messages["record"] == "run.json is whole: 12 steps, LoRA, seed 0"
    assert "48 training rows, the same" in messages["data"]
    assert "to the bit" in messages["base"]
    assert "56 tensors, 32,768 numbers, all finite" in messages["adapter"]


def test_other_validation_rows_make_another_run(planted):
    found = planted(hashes={"validation": "0" * 64})
    assert only(found, "data", "now gives other validation rows than those that judged the run's")


def test_rows_that_max_length_left_out_do_not_make_it_another_template(tmp_path):
    rows = [{"prompt": "Say it. " * n, "completion": "Yes."} for n in (1, 2, 30)]
    (tmp_path / "mine.jsonl").write_text("\n".join(map(json.dumps, rows * 4)))
    recipe = train.Recipe(max_length=40, evaluations=0)
    experiment = Experiment("pocket", data=str(tmp_path / "mine.jsonl"), recipe=recipe)
    train_rows, (model, tokenizer) = experiment.load_splits()["train"], models.load("pocket")
    tokenized, notes = train.resuming.tokenize({"train": train_rows}, model, tokenizer, recipe)
    assert "are left out" in notes[0]
    was = train.hash_tokens(tokenized["train"], recipe.max_length)
    assert run_folder.reads_alike(was, train_rows, experiment)
    assert not run_folder.reads_alike("0" * 64, train_rows, experiment)


def test_the_verb_shows_a_table_and_exits_1_where_something_is_wrong(planted):
    done = CliRunner().invoke(app, ["doctor", str(planted.folder)])
    assert done.exit_code == 0, done.output
    assert f"all {len(CHECKS)} checks are fine" in done.output
    lost = "the loss is nan at step 3 of 12; the weights after step 2 are kept."
    planted(stopped=f"{lost} To mend it, lower the learning rate.")
    done = CliRunner().invoke(app, ["doctor", str(planted.folder), "--json"])
    assert done.exit_code == 1
    bad = [f for f in json.loads(done.stdout)["findings"] if not f["ok"]]
    assert [f["check"] for f in bad] == ["divergence"]
    assert "the loss is nan at step 3" in bad[0]["detail"]


REST = '"hashes": {}, "versions": {}, "steps": 1, "validation": []'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"experiment": {', "is not JSON"),
        ("[]", "'experiment' is missing"),
        (f'{{"experiment": {{"modle": "pocket"}}, "losses": [], {REST}}}', "modle"),
        (f'{{"experiment": {{}}, "losses": [[1, "x"]], {REST}}}', "'losses' is missing or of"),
        (f'{{"experiment": {{}}, "losses": 3, {REST}}}', "'losses' is missing or of"),
    ],
)
def test_a_record_that_cannot_be_read_is_one_finding(text, message, planted):
    (planted.folder / "run.json").write_text(text, encoding="utf-8")
    (found,) = run_folder.examine_run(planted.folder).findings
    assert (found.check, found.ok) == ("record", False)
    assert message in found.message
    assert "train again" in found.cure


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no run\.json"):
        run_folder.examine_run(tmp_path)
    done = CliRunner().invoke(app, ["doctor", str(tmp_path / "nothing")])
    assert done.exit_code == 1
    assert "holds no run.json; give the folder" in done.output


def test_a_run_that_was_killed_is_told_from_no_run(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "begun.json").write_text("{}")
    (found,) = run_folder.examine_run(tmp_path).findings
    assert not found.ok
    assert "no checkpoint was whole yet" in found.message
    for step in (9, 10):
        (tmp_path / "checkpoints" / f"checkpoint-{step}").mkdir()
    (found,) = run_folder.examine_run(tmp_path).findings
    assert "the checkpoint of step 10 is whole" in found.message
    assert f"ftkit train RECIPE --out {tmp_path}" in found.cure


def test_other_versions_are_named_with_the_command_that_brings_them_back(planted):
    found = planted(versions={"torch": "2.1.0+cu121", "gone": "1.0"})
    assert only(
        found,
        "versions",
        "torch was 2.1.0+cu121 and is 2.",
        "gone was 1.0 and is not installed",
        "pip install torch==2.1.0 gone==1.0",
    )


def test_another_base_is_found(planted, tmp_path):
    assert only(
        planted(hashes={"base": "f" * 64}), "base", "another base now", "train again on this one"
    )
    other = tmp_path / "other"
    shutil.copytree(files.data_path("pocket"), other)
    tensors = load_file(other / "model.safetensors")
    next(iter(tensors.values())).flatten()[0] += 1
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    was = models.hash_weights(files.data_path("pocket"))
    assert "to the bit" in planted(model="pocket", hashes={"base": was})["base"].message
    assert only(planted(model=str(other)), "base", "another base now")
    shutil.rmtree(other)
    assert only(planted(model=str(other)), "base", "there is no model", "put the base back")


def test_a_hub_model_is_looked_up_in_the_cache_alone(planted, monkeypatch):
    elsewhere = planted(model="nobody/nothing", hashes={"base": "hub commit abc"})["base"]
    assert "not in the hub cache" in elsewhere.message
    asked = []

    def cached(hub_id):
        asked.append(hub_id)
        return "hub commit abc"

    monkeypatch.setattr(models.files, "hub_commit", cached)
    assert planted()["base"].ok
    assert asked == ["nobody/nothing"]
    assert only(planted(hashes={"base": "hub commit older"}), "base", "hub commit abc")


def test_an_adapter_that_is_cut_short_holds_nan_or_is_gone(planted):
    file = planted.folder / "adapter" / "adapter_model.safetensors"
    whole, tensors = file.read_bytes(), load_file(file)
    file.write_bytes(whole[:-100])
    assert only(planted(), "adapter", "not a whole safetensors file", "train again")
    name = next(n for n in tensors if "layers.1.mlp.up_proj.lora_B" in n)
    tensors[name][0, :2] = torch.tensor([math.nan, math.inf])
    save_file(tensors, file)
    assert only(
        planted(), "adapter", "layers.1.mlp.up_proj.lora_B", "holds 2 values", "lower learning rate"
    )
    file.unlink()
    assert only(planted(), "adapter", "holds no *.safetensors file")


def test_a_full_model_is_looked_at_in_its_own_folder(planted):
    (planted.folder / "adapter").rename(planted.folder / "model")
    found = planted(lora=None, recipe={"lr": 1e-4})
    assert [f.check for f in found.values() if not f.ok] == []
    assert "model" in found
    assert "full fine-tuning" in found["record"].message


@pytest.mark.parametrize("lr", [0.0, 1e-8, 1.0])
def test_an_unusual_learning_rate_is_found(lr, planted):
    assert only(
        planted(recipe={"lr": lr}),
        "learning rate",
        f"lr is {lr:g}",
        "usual rates lie between 1e-05 and 0.01",
        {0.0: "lr is 0, so nothing", 1e-8: "less than 0.01 times", 1.0: "more than 10 times"}[lr],
    )


def test_a_rate_a_little_outside_the_usual_ones_is_fine_and_told(planted):
    """0.024 is no fault of a LoRA, and no usual rate either."""
    found = planted(recipe={"lr": 0.024})["learning rate"]
    assert found.ok and found.message.startswith("0.024 lies above the usual rates for LoRA, 1e-05")
    assert "below" in planted(recipe={"lr": 5e-6})["learning rate"].message
    usual = planted(recipe={"lr": 2e-3})["learning rate"]
    assert usual.ok and usual.message == "0.002 is no unusual rate for LoRA"


def curve(*losses):
    return [[step, loss] for step, loss in enumerate(losses, 1)]


def test_a_curve_that_diverged(planted):
    found = planted(losses=curve(3.0, 2.0, math.nan, 1.0))
    assert only(found, "divergence", "the loss of step 3 is not finite", "lower the learning rate")


@pytest.mark.parametrize(
    ("losses", "ok"),
    [
        ((3, 2, 1), True),
        ((3, 3), False),
        ((1, 2, 3), False),
        ((3, 3, 3, 2, 2, 2, 1, 1, 9), True),  # a last step that jumps is noise
        ((1, 9, 1, 1, 5, 5, 5, 5, 2, 2, 2, 2), False),  # and so is one that is high at the start
        ((2,), True),
        ((), True),
    ],
)
def test_the_ends_of_the_curve_decide_whether_it_fell(losses, ok, planted):
    found = planted(losses=curve(*losses))
    assert found["training loss"].ok == ok
    if not ok:
        assert only(found, "training loss", "did not fall", "learning rate")


@pytest.mark.parametrize(
    ("goal", "said"),
    [
        ({"name": "sft"}, "nats per answer token"),
        ({"name": "dpo"}, "nats per pair"),
        ({"name": "dpo", "loss": "hinge"}, "per pair"),
        ({"name": "dpo", "sft": 0.5}, "per pair"),
        ({"name": "kto"}, "per answer"),
        ({"name": "reward"}, "nats per pair"),
    ],
)
def test_a_loss_is_counted_in_its_own_unit(goal, said):
    objective = train.Objective(**goal)
    found = run_folder.check_training_loss(curve(0.693, 0.628), objective)
    assert found.ok and found.message == f"it fell: ≈0.693 → ≈0.628 {said}"
    found = run_folder.check_training_loss(curve(0.693, 0.693), objective)
    assert ("gained nothing on the worse" in found.message) is objective.on_pairs


@pytest.mark.parametrize(
    ("validation", "ok"),
    [
        ((2, 1.5, 1), True),
        ((2, 1, 1.01), True),
        ((2, 1, 1.1), False),
        ((1,), True),
        ((), True),
        ((1, math.nan), True),
    ],
)
def test_a_validation_loss_that_ends_above_its_best_is_a_sign_of_overfitting(
    validation, ok, planted
):
    found = planted(validation=curve(*validation), recipe={"keep_best": False})
    assert found["over-fitting"].ok == ok
    if not ok:
        assert only(
            found,
            "over-fitting",
            "≈1 at step 2 and rose to ≈1.1 at step 3",
            "the last step's weights were kept",
            "keep_best: true",
        )
        # with the best weights kept, a small rise costs nothing
        assert planted(recipe={"keep_best": True})["over-fitting"].ok
        far = planted(validation=curve(2, 1, 1.6), recipe={"keep_best": True})
        kept = "the best step's weights were kept"
        assert only(far, "over-fitting", kept, "fewer epochs")


def test_data_that_changed_are_found_and_data_that_are_elsewhere_are_not_held_against_the_run(
    planted, healthy, tmp_path
):
    mine = tmp_path / "mine.jsonl"
    lines = (healthy / "mine.jsonl").read_text(encoding="utf-8").splitlines()
    mine.write_text("\n".join(lines), encoding="utf-8")
    assert planted(data=str(mine))["data"].ok
    mine.write_text("\n".join(line.replace("city", "town") for line in lines), encoding="utf-8")
    assert only(planted(), "data", "other training rows", "put the file back")
    mine.unlink()
    assert planted()["data"].ok
    assert "not looked at" in planted()["data"].message
    assert "takes the model" in planted(replay=0.2, replayed="self")["data"].message


def test_a_run_that_learned_nothing_is_wrong(planted):
    """As the run says it itself, or, of an older record, as its weights do."""
    note = "nothing was learned: the only step had a rate of 0; state warmup: 0."
    assert only(planted(notes=[note]), "learning", "the only step had", "state warmup: 0")
    assert planted(notes=[])["learning"].ok
    file = planted.folder / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    for name in tensors:
        if "lora_B" in name:
            tensors[name] = torch.zeros_like(tensors[name])
    save_file(tensors, file)
    assert only(planted(), "learning", "every B of the adapter is 0", "more steps")


def test_what_the_run_had_to_say_is_told(planted):
    lost = "18 of 20 training rows have no answer token within max_length 64; raise max_length."
    other = "this is another run than the record's: the data give other training rows."
    assert only(planted(notes=[lost, other]), "rows", "18 of 20", "another run", "raise max_length")
    assert only(planted(notes=[other]), "rows", "another run", "keep the new record")
    assert planted(notes="none")["rows"].ok


def test_a_template_that_makes_other_tokens_of_the_same_rows_is_wrong(healthy, planted, tmp_path):
    assert planted()["data"].ok
    shutil.copytree(files.data_path("pocket"), tmp_path / "base")
    template = tmp_path / "base" / "chat_template.jinja"
    template.write_text(template.read_text().replace("'<|assistant|>'", "' <|assistant|>'"))
    found = planted(model=str(tmp_path / "base"))
    assert only(found, "data", "48 training rows", "other tokens", "put the template back")


def without_prefix(tensors):
    return {name.removeprefix("base_model.model."): values for name, values in tensors.items()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: {}, "holds 0 numbers in 0 tensors; the run trained 32,768"),
        (lambda t: dict(sorted(t.items())[:28]), "in 28 tensors; the run trained 32,768"),
        (lambda t: {n: v for n, v in t.items() if "lora_A" in n}, "in 28 tensors; the run"),
        (without_prefix, "promises under other names"),
    ],
)
def test_an_adapter_that_lost_its_tensors_or_their_names(change, said, planted):
    """peft 2566 and 2699: such a file loads without an error, and gives the untouched base."""
    file = planted.folder / "adapter" / "adapter_model.safetensors"
    save_file(change(load_file(file)), file)
    found = planted()["adapter"]
    assert not found.ok and said in found.message
    assert "train again" in found.cure


def test_an_adapter_whose_configuration_speaks_of_another(planted):
    file = planted.folder / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"r": 4}))
    found = planted()["adapter"]
    assert (
        not found.ok and "holds another rank than its adapter_config.json states" in found.message
    )


@pytest.mark.parametrize(
    ("key", "value"), [("hashes", {"base": 5}), ("versions", {"torch": None}), ("stopped", 3)]
)
def test_what_a_record_says_in_another_kind_is_one_finding(planted, key, value):
    file = planted.folder / "run.json"
    record = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**record, key: value}), encoding="utf-8")
    (found,) = run_folder.examine_run(planted.folder).findings
    assert not found.ok
    assert f"{key!r} is missing or of another kind" in found.message
