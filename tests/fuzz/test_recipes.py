"""Recipes and records of runs that are wrong somewhere: read as they are written, or refused."""

import datetime
import json

import pytest
import yaml
from fuzzing import as_json, mutate, run_cases, scramble

from ftkit.train import Experiment
from ftkit.train.experiment import as_number

RIGHT = {
    "model": "pocket",
    "data": "tickets",
    "rows": 48,
    "replay": 0.2,
    "replayed": "general",
    "lora": {"r": 8, "alpha": 16, "targets": ["q_proj", "v_proj"], "dropout": 0.1,
    "use_dora": True},
    "recipe": {
        "lr": 2e-3, "epochs": 2, "batch_size": 16, "warmup": 0.05, "schedule": "cosine",
        "weight_decay": 0.01, "micro_batch": 4, "checkpointing": True, "max_length": 256,
        "packing": True, "evaluations": 4, "keep_best": False, "kl": 0.5, "patience": 2, "seed": 7,
    },
}  # fmt: skip
RECORD = {"experiment": RIGHT, "hashes": {"base": "0" * 64, "train": "1" * 64}, "steps": 6}
LINES = (
    "lora: {r: 8}", "lora: null", "lora:", "rows: 010", "rows: 1_000", "rows: 1:30", "rows: 0x10",
    "seed: 3", "recipe: {lr: 1e-3}", "recipe: {lr: .inf}", "recipe: *none", "data: &a tickets",
    "model: !!str 5", "model: !!python/object/apply:os.system [true]", "<<: {rows: 5}",
    "replay: 1/2",
    "\tdata: tickets", "? rows", "rows: 5", "date: 2026-07-31", "date: 2026-07-31 12:00:00",
    "date: yesterday", "quant: nf4", "quant: int4", "replay: yes", "replayed: self", "- rows",
    "rows: 1e2", "rows: 1e999999999", "data: [tickets]", "encoding: cp1252", "lora: no", "...",
    "---",
    "? {a: b}\n: c", "? [a]\n: c", "rows: .nan", "rows: '5'", "recipe: {seed: -1}", "%YAML 1.2",
)  # fmt: skip


def draw_stated(rng):
    """What a recipe may state: a part of the right one, with none or some faults in it."""
    stated = {key: value for key, value in RIGHT.items() if rng.random() < 0.6}
    for part in ("lora", "recipe"):
        if part in stated:
            kept = {key: value for key, value in stated[part].items() if rng.random() < 0.5}
            stated[part] = {**kept, "batch_size": 16} if part == "recipe" else kept
    return mutate(stated, rng, rng.choice([1, 1, 2])) if rng.random() < 0.7 else stated


def draw_recipe(case):
    """A YAML or JSON file, or a record."""
    rng = case.rng
    stated = draw_stated(rng)
    kind = rng.choice([".yaml", ".yaml", ".yml", ".json", "run.json"])
    if kind == "run.json":
        record = {**RECORD, "experiment": stated}
        record = mutate(record, rng) if rng.random() < 0.5 else record
        return write_text(case, "run.json", as_json(record, rng))
    if kind == ".json":
        return write_text(case, "mine.json", as_json(stated, rng))
    try:
        text = yaml.safe_dump(stated, allow_unicode=True, sort_keys=False)
    except (yaml.YAMLError, RecursionError):
        text = "lora: {r: 8}\n"
    while rng.random() < 0.4:
        lines = text.split("\n")
        lines.insert(rng.randrange(len(lines)), rng.choice(LINES))
        text = "\n".join(lines)
    return write_text(case, f"mine{kind}", text)


def write_text(case, name, text):
    raw = text.encode("utf-8", "surrogatepass")
    return case.write(name, scramble(raw, case.rng) if case.rng.random() < 0.3 else raw)


def read_recipe(case):
    """A file gives an experiment that says what the file says, or one sentence."""
    path = draw_recipe(case)
    experiment, refused = case.call(Experiment.read, path)
    if experiment is None:
        if case.rng.random() < 0.3:
            shown = case.verb("train", path, "--out", case.folder / "out", "--json")
            assert shown.code == 1 and shown.said == [f"ftkit: {refused}"]
        return

    # what is stated is what will be done
    text = path.read_bytes().decode("utf-8-sig")
    stated = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    if "experiment" in stated:
        stated = stated["experiment"]
    for key, value in (stated or {}).items():
        same(getattr(experiment, key), value, key)
    for key, value in (stated.get("recipe") or {}).items():
        same(getattr(experiment.recipe, key), value, key)

    # and the same again after a round trip
    again = case.write("again.json", json.dumps(experiment.to_dict()))
    back, refused = case.call(Experiment.read, again)
    assert back is not None, refused
    assert back.to_dict() == experiment.to_dict(), "a round trip changed it"


def same(taken, stated, key):
    """What an experiment has taken is what the file states."""
    if isinstance(stated, dict):
        for name, value in stated.items():
            if key == "lora":
                same(taken[name], value, name)
        return
    if key in ("recipe", "lora") and stated is None:
        return
    if isinstance(stated, datetime.date):
        stated = stated.isoformat()
    number = stated if isinstance(taken, str) else as_number(stated)
    assert type(taken) in (type(stated), type(number)), f"{key} is {stated!r} and became {taken!r}"
    assert taken == number, f"{key} is {stated!r} and became {taken!r}"


def test_a_recipe_is_done_as_it_is_written_or_refused(tmp_path):
    run_cases("recipes", 600, read_recipe, tmp_path)


def test_the_fuzz_finds_a_value_that_is_dropped(tmp_path, monkeypatch):
    def forgets(cls, stated):
        return cls(**{key: value for key, value in stated.items() if key in ("data", "model")})

    monkeypatch.setattr(Experiment, "from_dict", classmethod(forgets))
    with pytest.raises(AssertionError, match="became"):
        run_cases("recipes", 60, read_recipe, tmp_path)
