"""A run in its folder: no kill loses it, its record makes it again, and one folder is one run."""

import dataclasses
import json
import multiprocessing
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from ftkit import UserError, data, lora, models, train
from ftkit.__main__ import app
from ftkit.core import files
from ftkit.train import Experiment, Recipe, checkpoint, run_folder, trainer
from ftkit.train.run_folder import reopen, save_run, train_into

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
            "epochs": 2, "batch_size": 4, "evaluations": 2,
            "kl": 0.1, "keep_best": False, "schedule": "cosine",
        },
    },
    "qlora": {
        "quant": "nf4",
        "rows": 24,
        "lora": {"r": 2, "alpha": 4},
        "recipe": {"epochs": 2, "batch_size": 4, "evaluations": 3},
    },
    # what peft saves of these is not enough to go on from
    "adalora": {
        "rows": 24,
        "method": {"name": "adalora", "r": 2, "first_r": 4},
        "recipe": {"lr": 2e-2, "epochs": 3, "batch_size": 4, "evaluations": 3},
    },
    "p_tuning": {
        "rows": 24,
        "method": {"name": "p_tuning", "tokens": 4, "hidden": 16},
        "recipe": {"lr": 1e-2, "epochs": 2.5, "batch_size": 4, "evaluations": 2},
    },
}  # fmt: skip
# Each of these runs is killed so often, in random order: after so many more checkpoints, and a
# moment.
MORE = (0, 0, 1, 1, 2)


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


def die(*_args, **_options):
    os.kill(os.getpid(), signal.SIGKILL)


WHOLE = ["adapter", "rows.json", "run.json", "steps.jsonl"]  # a run folder when the run is done


def steps_logged(folder):
    """The steps whose training loss steps.jsonl holds, in its order."""
    lines = (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    return [logged["step"] for logged in map(json.loads, lines) if "loss" in logged]


def save_half(folder, *_args, **_options):
    (folder / "state.safetensors").write_bytes(b"half")
    die()


def die_at(owner, method, condition, *, before=False):
    """Have this process kill itself before or after a call whose arguments fulfil a condition."""
    original = getattr(owner, method)

    def trapped(*args, **options):
        if before and condition(*args):
            die()
        result = original(*args, **options)
        if condition(*args):
            die()
        return result

    setattr(owner, method, trapped)


def named(start):
    """A condition: the path that is moved is named so."""
    return lambda path, _target: path.name.startswith(start)


def becomes_weights(_path, target):
    return target.name in ("adapter", "model")


# The bad moments, and how a process kills itself there.
TRAPS = {
    "half a checkpoint": lambda: setattr(trainer, "save_state", save_half),
    "whole but unnamed": lambda: die_at(Path, "rename", named(".new-"), before=True),
    "just named": lambda: die_at(Path, "rename", named(".new-")),
    "half removed": lambda: die_at(Path, "rename", named("checkpoint-")),
    "over, not saved": lambda: setattr(run_folder, "finish", die),
    "half saved": lambda: die_at(Path, "replace", becomes_weights),
    "saved, not tidied": lambda: die_at(run_folder, "save_run", lambda *_: True),
}


def life(stated, out, every, trap=None):
    """One process that trains into `out`, a checkpoint after every so many seconds."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    checkpoint.EVERY, checkpoint.SHARE = every, 1e9
    if trap is not None:
        TRAPS[trap]()
    train_into(Experiment.from_dict(stated), out)


@pytest.fixture(scope="module")
def start():
    """A function that starts a `life` in a process of its own.

    It is forked from one that has imported everything.
    """
    context = multiprocessing.get_context("forkserver")
    imported = ["ftkit.train.run_folder", "trl.trainer.sft_trainer", life.__module__]
    context.set_forkserver_preload(imported)

    def begin(*args):
        process = context.Process(target=life, args=args)
        process.start()
        return process

    return begin


@pytest.fixture(scope="module")
def uninterrupted(start, tmp_path_factory):
    """A function: the outcome of a run of KILLED, by name, that nothing disturbs.

    Such a run writes no more checkpoints than it needs.
    """
    outcomes = {}

    def once(name):
        if name not in outcomes:
            out = tmp_path_factory.mktemp(name)
            process = start(KILLED[name], out, 1e9)
            process.join()
            outcomes[name] = outcome(out)
        return outcomes[name]

    return once


def newest(out):
    return max(train.whole_checkpoints(Path(out, "checkpoints")), default=0)


WEEKLY = ("full", "qlora", "dora", "adalora", "p_tuning")  # lora is killed every time


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.weekly if n in WEEKLY else ()) for n in KILLED]
)
def test_killed_at_random_moments_a_run_ends_with_the_same_bytes(
    name, start, uninterrupted, tmp_path
):
    """Each life ends at a random moment after up to two more checkpoints.

    Some end before the first, some while one is written.
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
    assert outcome(tmp_path) == uninterrupted(name)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        weights(tmp_path).parent.name,
        *WHOLE[1:],
    ]
    assert steps_logged(tmp_path) == list(range(1, len(steps_logged(tmp_path)) + 1))


def test_killed_at_the_worst_moments_it_does_too(start, uninterrupted, tmp_path):
    for trap in TRAPS:
        process = start(KILLED["lora"], tmp_path, 0.0, trap)
        process.join()
        assert process.exitcode == -signal.SIGKILL, trap
    process = start(KILLED["lora"], tmp_path, 0.0)
    process.join()
    assert outcome(tmp_path) == uninterrupted("lora")
    assert sorted(p.name for p in tmp_path.iterdir()) == WHOLE


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
    assert outcome(out) == uninterrupted("lora")


@pytest.fixture
def every_step(monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY", 0.0)
    monkeypatch.setattr(checkpoint, "SHARE", 1e9)


def test_a_full_disk_leaves_the_last_good_checkpoint(every_step, tmp_path):
    """A process may write no file above 20 kB from step 2 on, as if the disk were full."""
    tiny, (_, hard) = Experiment.from_dict(TINY), resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(step, *_):
        if step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))

    refused = r"could not write into .*checkpoints .*step 1 is whole, and the same command"
    try:
        with pytest.raises(UserError, match=refused):
            train_into(tiny, tmp_path / "out", watch=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert newest(tmp_path / "out") == 1
    train_into(tiny, tmp_path / "out")
    train_into(tiny, tmp_path / "calm")
    assert outcome(tmp_path / "out") == outcome(tmp_path / "calm")


def fail(*_args, **_options):
    raise OSError(28, "No space left on device")


def test_a_disk_that_is_full_at_the_end_leaves_the_checkpoint_too(every_step, tmp_path):
    with pytest.MonkeyPatch.context() as full:
        full.setattr(run_folder, "save_run", fail)
        with pytest.raises(UserError, match=r"No space left on device.*step 3 is whole"):
            train_into(Experiment.from_dict(TINY), tmp_path)
    assert train_into(Experiment.from_dict(TINY), tmp_path).steps == 3


def test_a_folder_of_which_nothing_came_goes_again(tmp_path):
    with pytest.raises(UserError, match="rows is 1000"):
        train_into(Experiment(rows=1000), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"could not write into .*out \(Not a directory\)"):
        train_into(Experiment.from_dict(TINY), tmp_path / "file" / "out")
    with pytest.raises(UserError, match="is a file; give a folder"):
        train_into(Experiment.from_dict(TINY), tmp_path / "file")


def test_one_folder_one_run(tmp_path):
    with (
        checkpoint.lock_folder(tmp_path),
        pytest.raises(UserError, match="another run is writing into"),
    ):
        train_into(Experiment.from_dict(TINY), tmp_path)


def test_a_folder_with_a_run_is_that_run_s_alone(every_step, tmp_path):
    tiny, out = Experiment.from_dict(TINY), tmp_path / "out"
    other = dataclasses.replace(tiny, rows=13, recipe=dataclasses.replace(tiny.recipe, lr=1e-3))

    def halt(step, *_):
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_into(tiny, out, watch=halt)
    changed = "rows was 12 and is 13 now; recipe.lr was 0.002 and is 0.001 now; hashes.tr"
    for _ in range(2):
        with pytest.raises(UserError, match=rf"holds another run \({changed}"):
            train_into(other, out)
        train_into(tiny, out)
    before = outcome(out)
    assert train_into(tiny, out) is None
    assert outcome(out) == before
    (tmp_path / "foreign" / "checkpoints" / "checkpoint-5").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no begun\.json"):
        train_into(tiny, tmp_path / "foreign")


def halt_at(last, experiment, out):
    """Train into a folder, and be interrupted after a step."""

    def halt(step, *_):
        if step == last:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_into(experiment, out, watch=halt)


@pytest.mark.parametrize("name", ["checkpoint-best", "checkpoint-2-backup"])
def test_a_copy_of_a_checkpoint_stays_where_its_user_put_it(every_step, name, tmp_path):
    tiny, checkpoints = Experiment.from_dict(TINY), tmp_path / "checkpoints"

    halt_at(3, tiny, tmp_path)
    shutil.copytree(checkpoints / "checkpoint-2", checkpoints / name)
    (checkpoints / "notes.txt").write_text("mine")
    assert train_into(tiny, tmp_path).steps == 3
    assert sorted(path.name for path in checkpoints.iterdir()) == sorted([name, "notes.txt"])
    assert (checkpoints / name / "state.json").is_file()
    assert train_into(tiny, tmp_path) is None


def test_a_folder_of_that_name_that_is_no_checkpoint_is_named(every_step, tmp_path):
    tiny, checkpoints = Experiment.from_dict(TINY), tmp_path / "checkpoints"

    halt_at(2, tiny, tmp_path)
    (checkpoints / "checkpoint-9").mkdir()
    with pytest.raises(
        UserError, match=r"checkpoint-9 is no whole checkpoint \(trainer_state.json"
    ):
        train_into(tiny, tmp_path)
    (checkpoints / "checkpoint-9").rmdir()
    assert train_into(tiny, tmp_path).steps == 3


@pytest.mark.parametrize("name", ["adapter", "model", "run.json", "rows.json"])
def test_what_is_not_the_run_s_is_never_replaced(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=f"{name} is there and no run of the kit wrote it"):
        train_into(Experiment.from_dict(TINY), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"experiment": {', "is not JSON"),
        ("[]", "is no record of a run"),
        ('{"experiment": {}}', "'experiment' or 'hashes' is missing"),
        ('{"experiment": {"modle": "pocket"}, "hashes": {}}', "has the key 'modle'"),
    ],
)
def test_a_record_that_is_none_is_refused_and_stays(text, message, tmp_path):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=message):
        train_into(Experiment.from_dict(TINY), tmp_path)
    assert (tmp_path / "run.json").read_text() == text


def test_a_run_that_is_refused_before_its_first_step_leaves_nothing(tmp_path):
    """A token without an embedding is found when the folder is claimed already."""
    model, tokenizer = models.load("pocket")
    tokenizer.add_tokens(["<ticket>"])
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    chat = [{"role": "user", "content": "A <ticket>?"}, {"role": "assistant", "content": "Yes."}]
    (tmp_path / "rows.jsonl").write_text(3 * (json.dumps({"messages": chat}) + "\n"))
    grown = Experiment(str(tmp_path / "model"), data=str(tmp_path / "rows.jsonl"))
    for _ in range(2):
        with pytest.raises(UserError, match="1,281 tokens and the model 1,280: train row 1 uses"):
            train_into(grown, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_the_rows_of_a_run_stand_beside_its_record(tmp_path):
    experiment = Experiment.from_dict({**TINY, "recipe": {**TINY["recipe"], "evaluations": 1}})
    train_into(experiment, tmp_path)
    splits = experiment.load_splits()
    assert train.trained_rows(tmp_path) == {data.row_hash(row) for row in splits["train"]}
    validated = train.trained_rows(tmp_path, "validation")
    assert validated == {data.row_hash(row) for row in splits["validation"]}
    (tmp_path / "rows.json").write_text('{"train": [1]}')
    with pytest.raises(UserError, match=r"rows.json is no list of a run's rows"):
        train.trained_rows(tmp_path)
    (tmp_path / "rows.json").unlink()
    with pytest.raises(UserError, match=r"holds no rows.json"):
        train.trained_rows(tmp_path)


DATED = (
    "{{ bos_token }}{{ '<|system|>' + strftime_now('%d %b %Y %H:%M:%S %f') + '<|end|>' }}"
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] + '<|end|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


@pytest.fixture
def dated(tmp_path):
    """The pocket model with a template that writes the time."""
    shutil.copytree(files.data_path("pocket"), tmp_path / "dated")
    (tmp_path / "dated" / "chat_template.jinja").write_text(DATED)
    return tmp_path / "dated"


def test_a_template_that_writes_the_time_writes_the_record_s(dated, tmp_path):
    experiment = Experiment.from_dict({**TINY, "model": str(dated)})
    train_into(experiment, tmp_path / "one")
    record = Experiment.read(tmp_path / "one")
    assert record.date is not None
    assert train_into(experiment, tmp_path / "one") is None, "the very run, a moment later"
    run = train_into(record, tmp_path / "two")
    assert run.notes == []
    assert outcome(tmp_path / "one") == outcome(tmp_path / "two")


def test_a_record_whose_rows_are_rendered_otherwise_is_another_run_and_says_so(dated, tmp_path):
    save_run(
        experiment := Experiment.from_dict({**TINY, "model": str(dated)}),
        *experiment.run(),
        tmp_path / "one",
    )
    (dated / "chat_template.jinja").write_text(DATED.replace("%Y", "%y"))
    with pytest.warns(UserWarning, match="another run than the record's: the chat template gives"):
        run = train_into(Experiment.read(tmp_path / "one"), tmp_path / "two")
    assert json.loads((tmp_path / "two" / "run.json").read_text())["notes"] == run.notes
    assert weights(tmp_path / "one").read_bytes() != weights(tmp_path / "two").read_bytes()


def test_a_record_whose_data_have_changed_says_so(tmp_path):
    rows = [json.dumps({"prompt": f"Say {n}.", "completion": f"{n}"}) for n in range(12)]
    (tmp_path / "mine.jsonl").write_text("\n".join(rows))
    stated = Experiment.from_dict({**TINY, "rows": None, "data": str(tmp_path / "mine.jsonl")})
    train_into(stated, tmp_path / "one")
    (tmp_path / "mine.jsonl").write_text("\n".join([*rows[:-1], rows[0]]))
    with pytest.warns(UserWarning, match="another run than the record's: the data give other"):
        train_into(Experiment.read(tmp_path / "one"), tmp_path / "two")


def write_judged(folder, *, answer="7", judges=(12, 15)):
    """Rows of which some judge a run's steps: their answers, and how many there are, may change."""
    rows = [{"prompt": f"Say {n}.", "completion": f"{n}", "split": "train"} for n in range(12)]
    rows += [{**rows[0], "prompt": f"Say {n}.", "completion": answer} for n in range(*judges)]
    rows += [{**rows[0], "prompt": "Say 99.", "split": "test"}]
    for row in rows[12:-1]:
        row["split"] = "validation"
    (folder / "mine.jsonl").write_text("\n".join(map(json.dumps, rows)))
    recipe = {"epochs": 1, "batch_size": 4, "evaluations": 3}
    return Experiment(data=str(folder / "mine.jsonl"), lora=TINY["lora"], recipe=Recipe(**recipe))


@pytest.mark.parametrize("changed", [{"answer": "8"}, {"judges": (12, 14)}, {"judges": (0, 0)}])
def test_other_validation_rows_are_another_run(changed, tmp_path, monkeypatch):
    stated, killed = write_judged(tmp_path), tmp_path / "killed"
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "finish", lambda *_: None)  # as if it was killed at its end
        train_into(stated, killed)
    train_into(stated, tmp_path / "done")
    write_judged(tmp_path, **changed)
    for out in (killed, tmp_path / "done"):
        with pytest.raises(UserError, match=r"another run \(hashes\.validation was '.*' and is '"):
            train_into(stated, out)
    with pytest.warns(UserWarning, match="the data give other validation rows"):
        train_into(Experiment.read(tmp_path / "done"), tmp_path / "again")
    write_judged(tmp_path)
    assert train_into(stated, tmp_path / "done") is None
    assert train_into(stated, killed).steps == 3


def test_another_template_is_another_run(dated, tmp_path, monkeypatch):
    """Half a run in one form and half in another is no run at all."""
    stated = Experiment.from_dict({**TINY, "model": str(dated), "date": "2026-07-31"})
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "finish", lambda *_: None)
        train_into(stated, tmp_path / "killed")
    train_into(stated, tmp_path / "done")
    (dated / "chat_template.jinja").write_text(DATED.replace("%Y", "%y"))
    for out in ("killed", "done"):
        with pytest.raises(
            UserError, match=r"another run \(hashes\.rendered was .* the chat templ"
        ):
            train_into(stated, tmp_path / out)
    (dated / "chat_template.jinja").write_text(DATED)
    assert train_into(stated, tmp_path / "done") is None
    assert train_into(stated, tmp_path / "killed").steps == 3


def test_a_record_from_before_validation_rows_were_hashed_is_still_this_run(tmp_path):
    stated = write_judged(tmp_path)
    train_into(stated, tmp_path / "out")
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert list(record["hashes"]) == ["base", "train", "validation", "rendered"]
    del record["hashes"]["validation"]
    (tmp_path / "out" / "run.json").write_text(json.dumps(record))
    assert train_into(stated, tmp_path / "out") is None


def test_a_run_that_diverges_leaves_its_last_good_adapter_and_exits_1(tmp_path):
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "out"
    recipe.write_text(
        "rows: 24\nlora: {r: 2, alpha: 4}\n"
        "recipe: {lr: 1e30, warmup: 0, evaluations: 0, batch_size: 4, epochs: 1}"
    )
    with pytest.warns(UserWarning, match="may well diverge"):
        done = CliRunner().invoke(app, ["train", str(recipe), "--out", str(out)])
    assert done.exit_code == 1
    assert "at step 2 of 6; the weights after step 0 are kept" in done.output
    assert "at step 2 of 6" in json.loads((out / "run.json").read_text())["stopped"]
    tuned, _, _ = reopen(out)
    assert all(p.isfinite().all() for p in tuned.parameters())
    assert sorted(p.name for p in out.iterdir()) == WHOLE
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
    save_run(first, *first.run(), tmp_path / "one")
    second = Experiment.read(tmp_path / "one")
    assert second == dataclasses.replace(first, model="pocket")
    train_into(second, tmp_path / "two")
    assert outcome(tmp_path / "one") == outcome(tmp_path / "two")
    record = json.loads((tmp_path / "one" / "run.json").read_text())
    assert {"seed", "recipe", "hashes", "versions", "scores", "experiment"} <= record.keys()
    assert record["hashes"]["base"] == models.hash_weights(files.data_path("pocket"))


def test_a_run_is_reopened_on_the_base_it_was_trained_on(tmp_path):
    experiment = Experiment.from_dict({**TINY, "quant": "nf4"})
    run, tokenizer = experiment.run()
    folder = save_run(experiment, run, tokenizer, tmp_path / "out")
    tuned, base, _ = reopen(folder)
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        # an adapter in bfloat16, now in float32
        here, there = tuned(tokens).logits, run.model(tokens).logits
        torch.testing.assert_close(here, there, atol=0.01, rtol=0)
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
    monkeypatch.setattr(type(run.model), "save_pretrained", fail)
    with pytest.raises(UserError, match=r"could not write into .*out \(No space left"):
        save_run(Experiment(), run, tokenizer, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_two_notebooks_in_one_folder_get_two_folders(tmp_path):
    """Taken before training: looked up, both would write the same one, and lose an adapter."""
    taken = []
    threads = [
        threading.Thread(target=lambda: taken.append(train.claim_next(tmp_path / "runs")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == [(n, tmp_path / "runs" / f"run-{n}") for n in range(1, 9)]
    assert all(folder.is_dir() for _, folder in taken)
    assert train.claim_next(tmp_path / "runs", 20)[0] == 20


def test_a_place_that_can_not_be_written_into_is_said_beforehand(tmp_path, monkeypatch):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(UserError, match=r"notes.*give a folder that you may write into"):
        train.claim_next(tmp_path / "notes")
    with pytest.raises(UserError, match="is a file; give a folder"):
        train.check_place(Experiment(), tmp_path / "notes")

    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(run_folder.tempfile, "TemporaryFile", refuse)
    with pytest.raises(UserError, match=r"Permission denied.*give a folder that you may write"):
        train.check_place(Experiment(), tmp_path / "new" / "run")
    assert not (tmp_path / "new").exists()


def test_a_folder_that_holds_another_run_keeps_it(tmp_path):
    experiment = Experiment.from_dict(TINY)
    run, tokenizer = experiment.run()
    save_run(experiment, run, tokenizer, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    # the same cell again writes the same, with its scores
    save_run(experiment, run, tokenizer, tmp_path, {"task": 1.0})
    assert train.read_record(tmp_path)["scores"] == {"task": 1.0}
    other = dataclasses.replace(experiment, rows=8)
    with pytest.raises(UserError, match=r"holds another run .rows was 12 and is 8 now"):
        save_run(other, run, tokenizer, tmp_path)
    adapter = tmp_path / "adapter" / "adapter_model.safetensors"
    assert adapter.read_bytes() == before[adapter]
