"""The verbs that look after things: a report first, and then the exit code."""

import json
from types import SimpleNamespace

import pytest
from verbs import invoke, run_verb

from ftkit import doctor, tools
from ftkit.tools import stamp
from ftkit.tools.bench import Bench, Measurement
from ftkit.tools.notebooks import NotebookReport


@pytest.mark.parametrize(("failed", "code"), [([], 0), (["00_a"], 1)])
def test_notebooks_report_before_they_fail(monkeypatch, failed, code):
    asked = []

    def run(names, **options):
        asked.append((names, options))
        return NotebookReport(["00_a"], failed, {"00_a": 1.0})

    monkeypatch.setattr(tools, "run_notebooks", run)
    done = invoke("notebooks", "00", "--check", "--json")
    assert done.exit_code == code
    report = json.loads(done.stdout)
    assert report.keys() == {"ran", "failed", "seconds", "reasons", "claims", "costs"}
    assert report["failed"] == failed
    assert asked == [(["00"], {"check": True, "out": None, "budget": None})]


@pytest.mark.parametrize(
    ("words", "stamped", "code"),
    [([], ["00_a"], 0), (["--check"], ["00_a"], 1), (["--check"], [], 0)],
)
def test_stamping_fails_only_where_a_check_finds_something(monkeypatch, words, stamped, code):
    monkeypatch.setattr(tools, "stamp_notebooks", lambda *_, **__: stamp.Stamps(stamped, ["01_b"]))
    monkeypatch.setattr(tools, "run_notebooks", None)
    done = invoke("notebooks", "--stamp", *words, "--json")
    assert done.exit_code == code, done.output
    assert json.loads(done.stdout) == {"stamped": stamped, "unchanged": ["01_b"]}


def test_students_get_their_edition_and_nothing_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(tools, "run_notebooks", None)
    done = invoke("notebooks", "00", "--student", "--out", str(tmp_path / "class"), "--json")
    assert done.exit_code == 0, done.output
    assert list(json.loads(done.stdout)["kept_back"]) == ["00_start_here"]
    assert [path.name for path in (tmp_path / "class").iterdir()] == ["00_start_here.ipynb"]
    done = run_verb("notebooks", "--student", "--check")
    assert (done.returncode, done.stdout) == (1, "")
    assert "drop --check and --stamp" in done.stderr


def test_a_notebook_that_is_not_there_is_one_sentence():
    done = run_verb("notebooks", "99_none", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no notebook '99_none'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("wrong", "code"), [([], 0), (["memory"], 1)])
def test_doctor_says_what_it_looks_at_and_fails_where_something_is_wrong(monkeypatch, wrong, code):
    looked = []

    def examine(run):
        looked.append(run)
        return SimpleNamespace(json=lambda: {"wrong": len(wrong)}, wrong=wrong)

    monkeypatch.setattr(doctor, "examine", examine)
    done = invoke("doctor", "runs/mine", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (code, {"wrong": len(wrong)})
    assert "looking at runs/mine" in done.stderr
    assert "the environment" in invoke("doctor").stderr
    assert [looked[1], str(looked[0])] == [None, "runs/mine"]


def test_bench_prints_one_json_object(monkeypatch):
    row = Measurement("what", "s", 2.0, 1.0, "the plain way", 6.0)
    monkeypatch.setattr(tools, "run_bench", lambda say: Bench((row,)))
    done = invoke("bench", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["rows"][0] == {
        "what": "what",
        "unit": "s",
        "ours": 2.0,
        "bound": 1.0,
        "plain_way": "the plain way",
        "plain": 6.0,
        "ratio": 3.0,
        "verdict": "OVER 1 s",
    }
