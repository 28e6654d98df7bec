"""Run folders that are wrong somewhere: `doctor`, `evaluate` and `merge` say what is."""

import json
import os
import shutil
from collections import Counter

import pytest
from families import write
from fuzzing import SIZES, as_json, change, mutate, run_cases, scramble
from verbs import invoke

from ftkit import doctor, train

ROWS = [
    {"messages": [{"role": "user", "content": f"Q {n}"}, {"role": "assistant", "content": f"A{n}"}]}
    for n in range(12)
]
VERBS = ("doctor", "merge", "evaluate", "train")
RECIPE = {"epochs": 1, "batch_size": 4, "evaluations": 1, "max_length": 64}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with a small model, rows, and a run of the one on the other."""
    root = tmp_path_factory.mktemp("runs")
    base = write("phi", root / "base", ending=30.0, **SIZES)
    (root / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    recipe = {
        "model": str(base),
        "data": str(root / "rows.jsonl"),
        "lora": {"r": 2},
        "recipe": RECIPE,
    }
    (root / "mine.json").write_text(json.dumps(recipe))
    done = invoke("train", root / "mine.json", "--out", root / "run", "--json")
    assert done.exit_code == 0, done.stderr
    return root / "run"


def draw_run(case, source):
    """A copy of the run with a fault in it."""
    rng, folder = case.rng, case.folder / "run"
    shutil.copytree(source, folder)
    files = sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
    )
    name = rng.choice(["run.json", "run.json", "run.json", rng.choice(files)])
    way = rng.randrange(8)
    if way == 0:
        (folder / name).unlink()
        case.did.append(f"without {name}")
    elif way < 3 or not name.endswith(".json"):
        case.write(f"run/{name}", scramble((folder / name).read_bytes(), rng))
    else:
        value = json.loads((folder / name).read_text())
        if way < 6:
            value = mutate(value, rng)
        else:
            change((value, rng.choice(sorted(value))), rng)
        case.did.append(f"{name}: {value if name == 'run.json' else ''}")
        case.write(f"run/{name}", as_json(value, rng).encode("utf-8", "surrogatepass"))
    return folder


def ask_run(case, source, answered):
    """A verb about a run: a report or a sentence."""
    folder, rng = draw_run(case, source), case.rng
    verb = rng.choice(["doctor", *VERBS])
    if verb == "doctor":
        done = case.verb("doctor", folder, "--json", told=True)
        answered[verb] += bool(done.values)
    elif verb == "merge":
        out = case.folder / "out"
        done = case.verb("merge", folder, "--out", out, "--json", out=out)
        answered[verb] += done.code == 0
        if done.code == 0:
            assert {"config.json", "merge.json"} <= {path.name for path in out.iterdir()}
    elif verb == "evaluate":
        answered[verb] += case.call(train.reopen, folder)[1] is None
        case.call(train.trained_rows, folder)
    else:
        answered[verb] += case.call(train.Experiment.read, folder)[1] is None


def test_a_wrong_run_folder_is_told(tmp_path, run):
    answered = Counter()
    run_cases("runs", 80, lambda case: ask_run(case, run, answered), tmp_path)
    if not os.environ.get("FTKIT_FUZZ"):
        assert [verb for verb in VERBS if not answered[verb]] == [], "every run was refused"


def test_the_fuzz_finds_a_check_that_breaks_off(tmp_path, run, monkeypatch):
    monkeypatch.setattr(doctor.run_folder, "check_rate", lambda *given: given[0] / 0)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run_cases("runs", 20, lambda case: ask_run(case, run, Counter()), tmp_path)
