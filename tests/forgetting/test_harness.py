"""lm-eval sees the same skills, and the same forgetting, probe by probe."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from ftkit import UserError, data, forgetting, lora, models, train
from ftkit.core.files import data_path
from ftkit.forgetting import harness
from ftkit.world import World, skills

EVERY = list(skills.SKILLS | skills.LIMITS | skills.SAFETY)


@pytest.fixture(scope="module")
def hot():
    """A model that twenty hot steps made forget, with its adapter still on; and the tokenizer."""
    base, tokenizer = models.load("pocket")
    rows = data.first(data.load("tickets")["train"], 160)
    recipe = train.Recipe(lr=3e-2, epochs=1, batch_size=8, evaluations=0)
    adapted = lora.attach(base, r=8, alpha=16, seed=0)  # another A may forget nothing
    run = train.sft(adapted, tokenizer, {"train": rows}, recipe)
    return run.model, tokenizer


def test_what_is_written_is_whole_and_the_same_again(tmp_path):
    for name in ("a", "b"):
        assert harness.write_tasks(tmp_path / name, n=3, names=["copy", "sort"]) == tmp_path / name
    files = {f.name: f.read_text(encoding="utf-8") for f in (tmp_path / "a").iterdir()}
    assert files == {
        f.name: f.read_text(encoding="utf-8").replace("/b/", "/a/")
        for f in (tmp_path / "b").iterdir()
    }
    suites = [f"{name}.{ending}" for name in ("copy", "sort") for ending in ("jsonl", "yaml")]
    assert sorted(files) == sorted([*suites, "ftkit_skills.yaml"])
    assert yaml.safe_load(files["ftkit_skills.yaml"])["task"] == ["ftkit_copy", "ftkit_sort"]
    probes = [json.loads(line) for line in files["copy.jsonl"].splitlines()]
    assert [list(probe) for probe in probes] == [["prompt", "answer"]] * 3


def test_without_lm_eval_the_cure_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(UserError, match=r"pip install lm-eval, or ftkit\[eval\]"):
        harness.skills(None, None)


def test_every_suite_reaches_lm_eval_word_for_word(tmp_path):
    """Nothing on the way makes a date of a string or a number of a digit."""
    manager = pytest.importorskip("lm_eval.tasks").TaskManager
    folder = harness.write_tasks(tmp_path / "tasks", n=20, names=EVERY)
    tasks = manager(include_path=folder, include_defaults=False).load([harness.GROUP])["tasks"]
    assert list(tasks) == [f"ftkit_{name}" for name in EVERY]
    for name in EVERY:
        task = tasks[f"ftkit_{name}"]
        theirs = [(task.doc_to_text(doc), task.doc_to_target(doc)) for doc in task.test_docs()]
        assert theirs == [(p.prompt, p.answer) for p in skills.draw_suite(World(), name, 20)]


def test_lm_eval_finds_the_same_before_and_after(hot, capfd):
    """Every probe of all 14 suites, n = 50: the base and the model with its adapter on."""
    pytest.importorskip("lm_eval")
    tuned, tokenizer = hot
    pairs = []
    for model in (models.load("pocket")[0], tuned):
        state = torch.get_rng_state()
        capfd.readouterr()
        theirs = harness.skills(model, tokenizer)
        assert capfd.readouterr() == ("", "")
        same = torch.equal(state, torch.get_rng_state())
        assert same, "lm-eval drew from the session's random numbers"
        pairs.append((forgetting.skills(model, tokenizer), theirs))
    for ours, theirs in pairs:
        assert list(theirs.right) == list(skills.SKILLS)
        assert theirs.right == ours.right
    before, after = (theirs for _, theirs in pairs)
    assert forgetting.table(before, after).lost[1] > 0.05, "the hot run forgot, and lm-eval sees it"


@pytest.mark.weekly
def test_the_command_line_finds_it_too(hot, tmp_path):
    pytest.importorskip("lm_eval")
    tuned, tokenizer = hot
    tuned.save_pretrained(tmp_path / "adapter")
    names = ["copy", "read_json", "sentiment"]
    folder = harness.write_tasks(tmp_path / "tasks", n=20, names=names)
    asked = {
        "model": "hf",
        "model_args": f"pretrained={data_path('pocket')},peft={tmp_path / 'adapter'}",
        "tasks": harness.GROUP,
        "include_path": folder,
        "output_path": tmp_path / "found",
        "batch_size": 20,
        "device": "cpu",
    }
    options = [str(word) for key, value in asked.items() for word in (f"--{key}", value)]
    command = [sys.executable, "-m", "lm_eval", *options, "--apply_chat_template"]
    home = os.environ | {"HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=home)
    assert done.returncode == 0, done.stderr
    written = next(Path(tmp_path, "found").rglob("results_*.json"))
    results = json.loads(written.read_text(encoding="utf-8"))["results"]
    ours = forgetting.skills(tuned, tokenizer, n=20, names=names)
    theirs = {name: results[f"ftkit_{name}"]["exact_match,stripped"] for name in names}
    assert theirs == {name: rate.value for name, rate in ours.rates.items()}
    assert results[harness.GROUP]["exact_match,stripped"] == pytest.approx(ours.mean)
    assert 0 < ours.mean < 1
