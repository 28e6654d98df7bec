"""Several processes: the rows of a step shared, one writer, and what can't be shared refused.

Two processes on gloo take half a minute to start; that they train as one does is tried weekly, and
whatever can be without them always.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from verbs import invoke

from ftkit import UserError, data, lora, models, train
from ftkit.core import session
from ftkit.train import batches, run_folder

LAUNCHED = Path(__file__).parents[1] / "processes.py"
RECIPE = {"lr": 5e-3, "epochs": 2, "batch_size": 8, "evaluations": 2}
STATED = {"rows": 32, "lora": {"r": 4, "alpha": 8}, "recipe": RECIPE}


@pytest.fixture
def shared(monkeypatch):
    """Says that this is process RANK of so many."""

    def say(many, rank=0):
        monkeypatch.setenv("WORLD_SIZE", str(many))
        monkeypatch.setenv("RANK", str(rank))

    return say


def test_without_a_launcher_there_is_one_process(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert session.processes() == 1 and session.is_first()
    train.check_processes(1)
    with pytest.raises(
        UserError, match="2 processes were asked for, and there is 1; begin with torchrun"
    ):
        train.check_processes(2)
    # what accelerate launch leaves in the environment
    monkeypatch.setenv("ACCELERATE_DYNAMO_MODE", "default")
    with pytest.raises(UserError, match="accelerate launch starts one on a CPU without MPI"):
        train.check_processes(2)
    assert "accelerate launch starts no more" in train.told_processes()
    with pytest.raises(UserError, match="processes is 0"):
        train.check_processes(0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("ACCELERATE_DYNAMO_MODE")
    with pytest.raises(UserError, match=r"1 process was asked for, .*are 2; begin with python -m"):
        train.check_processes(1)


def test_the_first_speaks_for_all(shared, monkeypatch):
    monkeypatch.setenv("FTKIT_PROGRESS", "1")
    shared(4, 0)
    assert session.processes() == 4 and session.is_first() and session.progress_wanted()
    assert train.told_processes() == ", 4 processes"
    shared(4, 3)
    assert not session.is_first() and not session.progress_wanted()


def test_a_steps_rows_are_shared_evenly_or_not_at_all(shared):
    model, tokenizer = models.load("pocket")
    rows = batches.as_trl(data.first(data.load("tickets")["train"], 8), tokenizer)
    shared(2)
    assert batches.rows_at_once(model, rows, train.Recipe(batch_size=2)) == 1
    options = train.trl_options(train.Recipe(batch_size=16), "x/y", rows=64, micro=4)
    assert options["gradient_accumulation_steps"] == 2
    with pytest.raises(UserError, match=r"batch_size is 9, and 2 processes share.*a multiple of 2"):
        batches.rows_at_once(model, rows, train.Recipe(batch_size=9))
    with pytest.raises(UserError, match="micro_batch is 8, and each of 2 processes takes 4"):
        batches.rows_at_once(model, rows, train.Recipe(batch_size=8, micro_batch=8))


@pytest.mark.parametrize(
    ("recipe", "method", "said"),
    [
        ({"kl": 0.1}, "lora", "keeps a second model"),
        ({"packing": True}, "lora", "other packs"),
        ({}, "adalora", "adalora cuts ranks"),
    ],
)
def test_what_was_not_made_for_several_is_refused_by_name(shared, recipe, method, said):
    from ftkit.train.supervised import refuse_several

    refuse_several(train.Recipe(**recipe), method)
    shared(2)
    with pytest.raises(UserError, match=said):
        refuse_several(train.Recipe(**recipe), method)


def test_another_objective_is_trained_in_one(shared, tmp_path):
    shared(2)
    done = invoke(
        "train", write(tmp_path, {"objective": "dpo", "data": "x"}), "--out", tmp_path / "o"
    )
    assert (
        done.exit_code == 1 and "2 processes share this run, and dpo is trained in" in done.output
    )


def write(folder, stated):
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(stated), encoding="utf-8")
    return path


def test_another_number_than_was_asked_for_is_refused_before_anything_runs(tmp_path):
    done = invoke("train", write(tmp_path, STATED), "--out", tmp_path / "o", "--processes", "2")
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert "torchrun --nproc_per_node 2" in done.stderr and not (tmp_path / "o").exists()


def test_only_the_first_writes(shared, tmp_path, monkeypatch):
    taught = []
    teaching = run_folder.Teaching(
        ready=lambda _: ("model", models.load("pocket")[1], {}),
        teach=lambda _: lambda *given: taught.append(given),  # type: ignore
    )
    shared(2, 1)
    experiment = train.Experiment.from_dict(STATED)
    assert train.train_into(experiment, tmp_path / "o", teaching=teaching) is None
    assert len(taught) == 1 and taught[0][-1] == tmp_path / "o" / "checkpoints"
    assert not (tmp_path / "o").exists()
    # a run that is done is trained by nobody
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / "run.json").write_text("{}")
    train.train_into(experiment, tmp_path / "o", teaching=teaching)
    assert len(taught) == 1


def test_rows_that_are_seen_twice_are_told(shared):
    from ftkit.train.supervised import uneven

    recipe = train.Recipe(batch_size=8)
    assert uneven(33, recipe) == []
    shared(2)
    assert uneven(32, recipe) == []
    (note,) = uneven(33, recipe)
    assert "33 rows are no whole number of steps of 8" in note


def launch(many, *words):
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(many)]
    command += [str(LAUNCHED), *map(str, words)]
    port = {"MASTER_PORT": str(20_000 + os.getpid() % 20_000), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env={**os.environ, **port}, stderr=subprocess.PIPE)


def record(out):
    return json.loads((out / "run.json").read_text(encoding="utf-8"))


@pytest.mark.weekly
def test_two_processes_train_as_one_and_go_on_after_a_kill(tmp_path):
    recipe, one, two = tmp_path / "recipe.json", tmp_path / "one", tmp_path / "two"
    recipe.write_text(json.dumps(STATED))
    assert launch(1, "train", recipe, one).wait() == 0

    # one of the two is killed after its third checkpoint, and takes the other along
    process = launch(2, "train", recipe, two)
    while process.poll() is None and not list(two.glob("checkpoints/checkpoint-3")):
        time.sleep(0.01)
    ranks = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "processes.py"], capture_output=True, text=True
    )
    os.kill(int(ranks.stdout.split()[-1]), signal.SIGKILL)
    assert process.wait() != 0
    assert not (two / "run.json").exists() and list(two.glob("checkpoints/checkpoint-*"))
    assert launch(2, "train", recipe, two).wait() == 0

    alone, both = record(one), record(two)
    assert both["processes"] == 2 and "processes" not in alone
    for curve in ("losses", "validation"):
        for (step, loss), (again, other) in zip(alone[curve], both[curve], strict=True):
            assert step == again and round(abs(loss - other), 4) == 0
    tuned = [lora.load(models.load("pocket")[0], out / "adapter") for out in (one, two)]
    for a, b in zip(*(models.trained_parameters(model.train()) for model in tuned), strict=True):
        assert (a - b).abs().max() < 1e-4
    assert sorted(path.name for path in two.iterdir()) == sorted(
        path.name for path in one.iterdir()
    )


@pytest.mark.weekly
def test_sharded_each_process_holds_half_and_the_losses_are_the_same(tmp_path):
    seen = {}
    for many in (1, 2):
        out = tmp_path / f"{many}.json"
        assert launch(many, "shard", out).wait() == 0
        seen[many] = json.loads(out.read_text())
    assert seen[1]["held"] == seen[1]["whole"] == seen[2]["whole"]
    assert seen[2]["held"] == seen[2]["moments"] == seen[2]["whole"] // 2
    assert seen[1]["losses"] == pytest.approx(seen[2]["losses"], abs=1e-4)
    assert seen[2]["losses"][0] > seen[2]["losses"][-1]
