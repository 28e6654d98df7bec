"""The script for a real GPU, rehearsed on a CPU: every stage runs, and what it finds is kept beside
what was there.
"""

import json
import subprocess
import sys
from pathlib import Path

import on_gpu
import pytest

SCRIPT = Path(on_gpu.__file__)


def test_every_stage_runs_and_keeps_what_the_others_found(tmp_path, monkeypatch):
    said = {
        "tour": {"seconds": 1.5},
        "notebooks": {
            "ran": ["11_x"],
            "seconds": {"11_x": 2.5},
            "reasons": {"11_x": "11_x, cell 3: KeyError"},
            "claims": {"11_x": {}},
        },
    }
    asked = []
    monkeypatch.setattr(
        on_gpu.Rig,
        "run",
        lambda self, verb, *more, **env: asked.append((verb, *more, env)) or said[verb],
    )
    monkeypatch.setenv("FTKIT_MODEL", "pocket")  # put back after the test, whatever the script sets
    path = tmp_path / "found.json"
    assert on_gpu.main(["qlora"], True, path) == path
    on_gpu.main(["notebooks", "full", "speed"], True, path)
    found = json.loads(path.read_text())
    assert found["versions"]["torch"]
    rows = {
        stage: [row for row in found["rows"] if row["stage"] == stage] for stage in on_gpu.STAGES
    }
    assert [row["seconds"] for row in rows["notebooks"]] == [1.5, 2.5]
    assert rows["notebooks"][1]["failed"] == "11_x, cell 3: KeyError"
    assert {row["what"] for row in rows["notebooks"]} == {"tour", "notebook 11"}
    assert {env["FTKIT_DTYPE"] for *_, env in asked} == {"bfloat16"}
    assert rows["qlora"][0]["seconds_a_step"] > 0
    assert rows["qlora"][0]["loss"] > 0
    assert [row["said"] for row in rows["full"]] == [None]
    assert rows["speed"][0]["ours"] > 0
    on_gpu.main(["full"], True, path)
    assert len(json.loads(path.read_text())["rows"]) == len(found["rows"]), (
        "a stage that runs again takes its own place"
    )


def test_a_verb_that_fails_says_why(tmp_path, monkeypatch):
    rig = on_gpu.Rig(tmp_path, True)
    assert rig.run("count", "llama-3.1-8b")["trainable"] > 0
    assert "Did you mean 'llama-3.1-8b'" in rig.run("count", "llama-3.1-8")["failed"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [([], 1, "there is no GPU here"), (["memroy"], 2, "there is no stage 'memroy'")],
)
def test_on_a_machine_without_a_gpu(arguments, code, said):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SCRIPT.parents[1])},
    )
    assert done.returncode == code
    assert said in done.stderr
