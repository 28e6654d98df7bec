"""A run as files state it: a record makes it again, a kill does not lose it, and mistakes are one
sentence.
"""

import dataclasses
import json
import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from ftkit import UserError, lora, models, train
from ftkit.__main__ import app
from ftkit.core import files
from ftkit.train import Experiment, checkpoint, trainer
from ftkit.train.experiment import reopen

TINY = {
    "rows": 12,
    "lora": {"r": 2, "alpha": 4},
    "recipe": {"epochs": 1, "batch_size": 4, "evaluations": 0},
}  # 3 steps
# What a resumed run has to get right: dropout's random numbers, the best step, patience, epochs
# that end midway, micro-batches.
KILLED = {
    "lora": {
        "rows": 24,
        "lora": {"r": 2, "alpha": 4, "dropout": 0.1},
        "recipe": {"epochs": 2.5, "batch_size": 4, "evaluations": 5, "patience": 2},
    },
    "full": {
        "rows": 56,
        "lora": None,
        "recipe": {"lr": 3e-4, "epochs": 2, "batch_size": 8, "evaluations": 0, "seed": 1},
    },
    "dora": {
        "rows": 24,
        "replay": 0.2,
        "lora": {"r": 2, "alpha": 4, "use_dora": True},
        "recipe": {
            "epochs": 2,
            "batch_size": 4,
            "evaluations": 2,
            "kl": 0.1,
            "keep_best": False,
            "schedule": "cosine",
        },
    },
    "qlora": {
        "quant": "nf4",
        "rows": 24,
        "lora": {"r": 2, "alpha": 4},
        "recipe": {"epochs": 2, "batch_size": 4, "evaluations": 3},
    },
}
MORE = (
    0,
    0,
    1,
    1,
    2,
    # each of these runs is killed so often, in random order: after so many more checkpoints, and a
    # moment
)


def weights(out):
    return next(
        file
        for name in ("adapter/adapter_model", "model/model")
        if (file := Path(out, f"{name}.safetensors")).is_file()
    )


def outcome(out):
    """What must come out the same: the weights' bytes and the record, all but how long it took."""
    record = json.loads(Path(out, "run.json").read_text())
    return weights(out).read_bytes(), {k: v for k, v in record.items() if k != "seconds"}


def set_trap(name):
    """Have this process kill itself at a bad moment."""

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def after(owner, method, condition, before=False):
        original = getattr(owner, method)

        def trapped(*args, **options):
            if before and condition(*args):
                die()
            result = original(*args, **options)
            if condition(*args):
                die()
            return result

        setattr(owner, method, trapped)

    if name == "half a checkpoint":
        checkpoint.save_state = lambda folder, *_, **__: (
            (folder / "state.safetensors").write_bytes(b"half"),
            die(),
        )
    elif name == "whole but unnamed":
        after(Path, "rename", lambda path, _: path.name.startswith(".new-"), before=True)
    elif name == "just named":
        after(Path, "rename", lambda path, _: path.name.startswith(".new-"))
    elif name == "half removed":
        after(Path, "rename", lambda path, _: path.name.startswith("checkpoint-"))
    elif name == "over, not saved":
        Experiment.finish = lambda *_: die()
    elif name == "half saved":
        after(Path, "replace", lambda _, target: target.name in ("adapter", "model"))
    elif name == "saved, not tidied":
        after(Experiment, "save", lambda *_: True)


TRAPS = [
    "half a checkpoint",
    "whole but unnamed",
    "just named",
    "half removed",
    "over, not saved",
    "half saved",
    "saved, not tidied",
]


def life(stated, out, every, trap=None):
    """One process that trains into `out`, a checkpoint after every so many seconds."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    trainer.EVERY, trainer.SHARE = every, 1e9
    set_trap(trap)
    Experiment.from_dict(stated).into(out)


@pytest.fixture(scope="module")
def start():
    """A function that starts a `life` in a process of its own, forked from one that has imported
    everything.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["torch", "ftkit.train.experiment", "peft", "trl.trainer.sft_trainer", "test_experiment"]
    )

    def begin(*args):
        process = context.Process(target=life, args=args)
        process.start()
        return process

    return begin


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    """The outcome of each run of KILLED that nothing disturbs, and that writes no more checkpoints
    than it needs.
    """
    found = {}
    for name, stated in KILLED.items():
        process = start(stated, out := tmp_path_factory.mktemp(name), 1e9)
        process.join()
        found[name] = outcome(out)
    return found


def newest(out):
    return max(train.whole_checkpoints(Path(out, "checkpoints")), default=0)


@pytest.mark.parametrize("name", KILLED)
def test_killed_at_random_moments_a_run_ends_with_the_same_bytes(
    name, start, uninterrupted, tmp_path
):
    """Each life ends at a random moment after up to two more checkpoints; some end before the
    first, some while one is written.
    """
    dice, seen = random.Random(name), []
    for more in dice.sample(MORE, len(MORE)):
        process = start(KILLED[name], tmp_path, 0.0)
        goal = newest(tmp_path) + more
        while process.is_alive() and newest(tmp_path) < goal:
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.1))
        process.kill()
        process.join()
        if process.exitcode == 0:  # a quick machine was done before the last kills
            break
        assert process.exitcode == -signal.SIGKILL
        seen.append(newest(tmp_path))
    assert len(seen) >= 3, "it was over too soon: give it more steps"
    process = start(KILLED[name], tmp_path, 0.0)
    process.join()
    assert process.exitcode == 0
    assert len(set(seen)) > 2, f"the checkpoints at the kills were {seen}"
    assert outcome(tmp_path) == uninterrupted[name]
    assert sorted(p.name for p in tmp_path.iterdir()) == [weights(tmp_path).parent.name, "run.json"]


def test_killed_at_the_worst_moments_it_does_too(start, uninterrupted, tmp_path):
    for trap in TRAPS:
        process = start(KILLED["lora"], tmp_path, 0.0, trap)
        process.join()
        assert process.exitcode == -signal.SIGKILL, trap
    process = start(KILLED["lora"], tmp_path, 0.0)
    process.join()
    assert outcome(tmp_path) == uninterrupted["lora"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["adapter", "run.json"]


def test_the_command_killed_and_given_again(uninterrupted, tmp_path):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(yaml.safe_dump(KILLED["lora"]))
    command = [sys.executable, "-m", "ftkit", "train", str(recipe), "--out", str(out), "--json"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while process.poll() is None and not newest(out):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert newest(out)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["steps"] == outcome(out)[1]["steps"]
    assert outcome(out) == uninterrupted["lora"]


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(trainer, "EVERY", 0.0)
    monkeypatch.setattr(trainer, "SHARE", 1e9)


def test_a_full_disk_leaves_the_last_good_checkpoint(every_step, tmp_path):
    """A process may write no file above 20 kB from step 2 on, as if the disk were full."""
    tiny, (_, hard) = Experiment.from_dict(TINY), resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step, *_):
        if step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))

    try:
        with pytest.raises(
            UserError,
            match=r"could not write into .*checkpoints .*the checkpoint of step 1 is whole, and the same command",
        ):
            tiny.into(tmp_path / "out", watch=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert newest(tmp_path / "out") == 1
    tiny.into(tmp_path / "out")
    tiny.into(tmp_path / "calm")
    assert outcome(tmp_path / "out") == outcome(tmp_path / "calm")


def test_a_disk_that_is_full_at_the_end_leaves_the_checkpoint_too(
    every_step, tmp_path, monkeypatch
):
    full = pytest.MonkeyPatch()
    full.setattr(
        Experiment, "save", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(UserError, match=r"No space left on device.*step 3 is whole"):
        Experiment.from_dict(TINY).into(tmp_path)
    full.undo()
    assert Experiment.from_dict(TINY).into(tmp_path).steps == 3


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"could not write into .*out \(Not a directory\)"):
        Experiment.from_dict(TINY).into(tmp_path / "file" / "out")
    with pytest.raises(UserError, match="is a file; give a folder"):
        Experiment.from_dict(TINY).into(tmp_path / "file")


def test_one_folder_one_run(tmp_path):
    with (
        checkpoint.lock_folder(tmp_path),
        pytest.raises(UserError, match="another run is writing into"),
    ):
        Experiment.from_dict(TINY).into(tmp_path)


def test_a_folder_with_a_run_is_that_run_s_alone(every_step, tmp_path):
    tiny, out = Experiment.from_dict(TINY), tmp_path / "out"
    other = dataclasses.replace(tiny, rows=13, recipe=dataclasses.replace(tiny.recipe, lr=1e-3))

    def halt(step, *_):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.into(out, watch=halt)
    for _ in range(2):
        with pytest.raises(
            UserError,
            match=r"holds another run \(rows was 12 and is 13 now; recipe.lr was 0.002 and is 0.001 now; hashes.tr",
        ):
            other.into(out)
        tiny.into(out)
    before = outcome(out)
    assert tiny.into(out) is None
    assert outcome(out) == before
    (tmp_path / "foreign" / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no begun\.json"):
        tiny.into(tmp_path / "foreign")


def test_a_run_that_diverges_leaves_its_last_good_adapter_and_exits_1(tmp_path):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(
        "rows: 24\nlora: {r: 2, alpha: 4}\nrecipe: {lr: 1e30, warmup: 0, evaluations: 0, batch_size: 4, epochs: 1}"
    )
    with pytest.warns(UserWarning, match="may well diverge"):
        done = CliRunner().invoke(app, ["train", str(recipe), "--out", str(out)])
    assert done.exit_code == 1
    assert "at step 2 of 6; the weights after step 0 are kept" in done.output
    assert "at step 2 of 6" in json.loads((out / "run.json").read_text())["stopped"]
    tuned, _, _ = reopen(out)
    assert all(p.isfinite().all() for p in tuned.parameters())
    assert sorted(p.name for p in out.iterdir()) == ["adapter", "run.json"]
    again = CliRunner().invoke(app, ["train", str(recipe), "--out", str(out)])
    assert again.exit_code == 1
    assert "holds this run already, and it broke off" in again.output


@pytest.mark.parametrize(
    "more",
    [
        {"rows": 10},
        {"quant": "nf4"},
        {"replay": 0.1, "replayed": "self"},
        {"recipe": {"kl": 0.5}},
        {"lora": None, "recipe": {"lr": 1e-4}},
    ],
    ids=["rows", "quant", "self", "kl", "full"],
)
def test_a_record_gives_the_same_weights_again(more, tmp_path):
    first = Experiment.from_dict(
        {**TINY, **more, "recipe": {**TINY["recipe"], "seed": 3, **more.get("recipe", {})}}
    )
    first.save(*first.run(), tmp_path / "one")
    second = Experiment.read(tmp_path / "one")
    assert second == dataclasses.replace(first, model="pocket")
    second.into(tmp_path / "two")
    assert outcome(tmp_path / "one") == outcome(tmp_path / "two")
    record = json.loads((tmp_path / "one" / "run.json").read_text())
    assert {"seed", "recipe", "hashes", "versions", "scores", "experiment"} <= record.keys()
    assert record["hashes"]["base"] == models.hash_weights(files.data_path("pocket"))


def test_a_run_is_reopened_on_the_base_it_was_trained_on(tmp_path):
    experiment = Experiment.from_dict({**TINY, "quant": "nf4"})
    run, tokenizer = experiment.run()
    folder = experiment.save(run, tokenizer, tmp_path / "out")
    tuned, base, _ = reopen(folder)
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        torch.testing.assert_close(
            tuned(tokens).logits, run.model(tokens).logits, atol=0.01, rtol=0
        )  # an adapter in bfloat16, now in float32
        gap = (base(tokens).logits - models.load("pocket")[0](tokens).logits).abs().max()
    assert gap > 0.1, "the base is in four bits too"
    assert lora.is_attached(tuned)
    record = json.loads((folder / "run.json").read_text())
    record["hashes"]["base"] = "0" * 64
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"trained on another 'pocket' \(000000000000…"):
        reopen(folder)


def test_a_failed_save_leaves_nothing_behind(tmp_path, monkeypatch):
    run, tokenizer = Experiment.from_dict(TINY).run()
    monkeypatch.setattr(
        type(run.model),
        "save_pretrained",
        lambda *a, **k: (_ for _ in ()).throw(OSError("the disk is full")),
    )
    with pytest.raises(OSError, match="full"):
        Experiment().save(run, tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: {learning_rate: 1}", "recipe has the key 'learning_rate'"),
        ("recipe: {keep_bets: true}", "Did you mean 'keep_best'"),
        ("recipe: {KL: 1}", "recipe has the key 'KL'"),
        ("modell: pocket", "Did you mean 'model'"),
        ("row: 8", "Did you mean 'rows'"),
        ("replayd: self", "Did you mean 'replayed'"),
        ("lora: {rank: 8}", "lora has the key 'rank'; the keys are r, alpha"),
        ("lora: 8", "lora is 8; give keys"),
        ("recipe: {lr: fast}", "lr is 'fast'"),
        ("recipe: {kl: .nan}", "kl is nan; give a number from 0 on"),
        ("rows: 0", "rows is 0; give a whole number from 1 on"),
        ("rows: ten", "rows is 'ten'"),
        ("quant: nf5", "Did you mean 'nf4'"),
        ("{quant: nf4, lora: null}", "a base in nf4 cannot be trained itself"),
        ("replay: 1", "replay is 1; it is a share"),
        ("replayed: me", "replayed is 'me'; give one of general, self"),
        ("- a\n- b", "holds none"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_bad_recipe_file_is_one_sentence(tmp_path, text, message):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        Experiment.read(path)


def test_the_recipe_of_the_readme_is_one():
    readme = Path(__file__).parents[2].joinpath("README.md").read_text(encoding="utf-8")
    stated = Experiment.from_dict(yaml.safe_load(readme.split("```yaml\n")[1].split("```")[0]))
    assert stated == Experiment(replay=0.25, recipe=train.Recipe(lr=2e-3, epochs=2))


def test_yamls_2e_3_is_a_number(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("recipe: {lr: 2e-3}\nlora: {alpha: 1e1}")
    experiment = Experiment.read(path)
    assert (experiment.recipe.lr, experiment.lora) == (0.002, {"alpha": 10.0})


def test_rows_there_are_not_are_refused():
    with pytest.raises(UserError, match="rows is 1000; give a whole number from 1 to 300"):
        Experiment(rows=1000).prepared()


def test_a_folder_beside_or_inside_is_staged(tmp_path):
    out = tmp_path / "out"
    for place in (tmp_path, out):
        with files.whole_or_nothing(out) as new:
            assert new.parent == place
            (new / "x").write_text("x")
    assert [p.name for p in out.iterdir()] == ["x"]
