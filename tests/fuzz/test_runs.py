"""Runs for real, of rows and folders that are wrong somewhere: a whole run, or no folder at all."""

import json
import os
import shutil

import pytest
from families import write
from fuzzing import SIZES, as_json, change, mutate, run_cases, scramble
from safetensors.torch import load_file
from verbs import invoke

from ftkit import train
from ftkit.train import Experiment, checkpoint

ROWS = [{"prompt": f"Q {n}", "completion": f"A{n}"} for n in range(10)]
RECIPE = {"epochs": 1, "batch_size": 4, "evaluations": 1, "max_length": 64}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write("qwen", tmp_path_factory.mktemp("base"), **SIZES)


def train_any(case, base, whole):
    """Rows and a recipe with a fault in them: a whole run, or one sentence and nothing left."""
    rng = case.rng
    rows = mutate(ROWS, rng) if rng.random() < 0.5 else ROWS
    lines = "\n".join(json.dumps(row) for row in rows) if isinstance(rows, list) else ""
    data = case.write("rows.jsonl", lines)
    stated = {"model": str(base), "data": str(data), "lora": {"r": 2}, "recipe": RECIPE}
    if rng.random() < 0.6:
        where = rng.choice(["recipe", "lora", ""])
        key, value = rng.choice(EXTRAS)
        part = {**(stated[where] if where else stated), key: value}
        stated = {**stated, where: part} if where else part
    recipe = case.write("mine.json", as_json(stated, rng))
    out = case.folder / "out"
    done = case.verb("train", recipe, "--out", out, "--json", out=out)
    if done.code == 0:
        whole.append(case)
        assert {"run.json", "rows.json"} <= {path.name for path in out.iterdir()}
        assert train.read_record(out)["steps"] == done.values["steps"] > 0
        again = case.verb("train", recipe, "--out", out, "--json", out=out)
        assert again.values == done.values, "the same command says something else"


EXTRAS = (
    ("epochs", 0.1), ("epochs", 2), ("batch_size", 100), ("max_length", 1), ("max_length", 12),
    ("packing", True), ("evaluations", 0), ("evaluations", 50), ("kl", 0.5), ("patience", 1),
    ("micro_batch", 2), ("checkpointing", True), ("keep_best", False), ("lr", 0), ("lr", 1e30),
    ("warmup", 0.9), ("schedule", "cosine"), ("rows", 1), ("rows", 100), ("quant", "nf4"),
    ("lora", None), ("lora", {"r": 2, "use_dora": True}), ("lora", {"targets": "mlp"}),
    ("lora", {"r": 1000}), ("lora", {"targets": ["x"]}),
    ("r", 1000), ("alpha", 4), ("targets", ["x"]), ("targets", "mlp"), ("use_dora", True),
    ("replay", 0.5), ("data", "nothing"),
    ("replayed", "self"), ("model", "nothing"), ("date", "2026-01-01"), ("encoding", "utf-16"),
)  # fmt: skip


def test_a_run_is_whole_or_leaves_nothing(tmp_path, base):
    whole = []
    run_cases("trained", 24, lambda case: train_any(case, base, whole), tmp_path)
    assert whole or os.environ.get("FTKIT_FUZZ"), "every run was refused"


@pytest.fixture(scope="module")
def broken_off(base, tmp_path_factory):
    """(recipe, a folder whose run was broken off, the weights of the same run undisturbed)."""
    root = tmp_path_factory.mktemp("broken")
    (root / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    stated = {"model": str(base), "data": str(root / "rows.jsonl"), "lora": {"r": 2}}
    stated["recipe"] = {**RECIPE, "epochs": 3}
    (root / "mine.json").write_text(json.dumps(stated))
    experiment = Experiment.read(root / "mine.json")
    train.train_into(experiment, root / "whole")

    def stop_here(*_, **__):
        if max(train.whole_checkpoints(root / "half" / "checkpoints"), default=0) >= 2:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", 0.0)
        patch.setattr(checkpoint, "SHARE", 1e9)
        with pytest.raises(KeyboardInterrupt):
            train.train_into(experiment, root / "half", watch=stop_here)
    return root / "mine.json", root / "half", load_file(root / "whole/adapter" / WEIGHTS)


WEIGHTS = "adapter_model.safetensors"


def go_on(case, broken_off, ended):
    """A run goes on from what is whole and ends with the same weights, or says what is not."""
    recipe, half, right = broken_off
    rng, out = case.rng, case.folder / "run"
    shutil.copytree(half, out)
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    name = rng.choice(files)
    case.did.append(name)
    if rng.random() < 0.3:  # what is not the run's own is no hindrance
        (out / "checkpoints" / rng.choice(["notes.txt", "begun.json.bak"])).write_text("mine")
    elif rng.random() < 0.2:
        (out / name).unlink()
    elif name.endswith(".json") and rng.random() < 0.5:
        value = json.loads((out / name).read_text())
        change((value, rng.choice(sorted(value))), rng)
        (out / name).write_text(as_json(value, rng))
    else:
        (out / name).write_bytes(scramble((out / name).read_bytes(), rng))
    result = invoke("train", recipe, "--out", out, "--json")
    if result.exit_code == 0:
        found = load_file(out / "adapter" / WEIGHTS)
        assert found.keys() == right.keys(), "it went on and ended with other tensors"
        same = all((found[key] == values).all() for key, values in right.items())
        assert same, "it went on and ended with other weights"
        ended.append(case)
        return
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert result.stderr.strip().split("\n")[-1].startswith("ftkit: ")


def test_a_run_that_broke_off_goes_on_or_says_why(tmp_path, broken_off):
    ended = []
    run_cases("checkpoints", 12, lambda case: go_on(case, broken_off, ended), tmp_path)
    assert ended or os.environ.get("FTKIT_FUZZ"), "no run went on"
