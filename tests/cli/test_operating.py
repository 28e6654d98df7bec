"""Verbs that keep a model alive: what they print, their JSON, and a sentence for a mistake."""

import json
from types import SimpleNamespace

import pytest
from verbs import invoke, modules_after
from version_folders import write_adapter

from ftkit import core, data, operate


@pytest.fixture
def shelf(tmp_path):
    """A registry with two versions of an adapter, of which the first is live."""
    folder = tmp_path / "registry"
    for value in (1.0, 2.0):
        source = write_adapter(tmp_path / f"adapter{value:g}", value)
        words = ("registry", "publish", source, "--to", folder, "--name", "tickets", "--json")
        done = invoke(*words, "--why", f"value {value:g}", "--who", "ada")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["label"] == f"v{value:g}"
    assert invoke("registry", "promote", folder, "tickets", "v1", "--why", "go").exit_code == 0
    return folder


def test_the_way_there_and_back(shelf):
    done = invoke("registry", "promote", shelf, "tickets", "v2", "--why", "better")
    assert done.stdout == "tickets v2 is live now.\n"
    done = invoke("registry", "rollback", shelf, "tickets", "--why", "worse", "--json")
    assert json.loads(done.stdout)["label"] == "v1"
    rows = json.loads(invoke("registry", "list", shelf, "--json").stdout)["rows"]
    assert [(row["version"], row["live"], row["who"]) for row in rows] == [
        ("v1", "live", "ada"), ("v2", "", "ada"),
    ]  # fmt: skip
    history = invoke("registry", "list", shelf, "--name", "tickets")
    assert "roll back  v1" in history.stdout and "worse" in history.stdout


def test_two_versions_on_a_file_of_rows(shelf, monkeypatch):
    asked = []

    def compare(self, name, first, second, rows):
        asked.append((name, first, second, len(rows)))
        score = SimpleNamespace(task=core.Rate(1, 2), format=core.Rate(2, 2))
        difference = core.compare_answers([True, False], [True, False])
        return operate.Compared(name, (first, second), (score, score), difference)

    monkeypatch.setattr(operate.Registry, "compare", compare)
    words = ("registry", "compare", shelf, "tickets", "v1", "v2", "--data", "tickets")
    values = json.loads(invoke(*words, "--json").stdout)
    assert values["exact"] == {"v1": 0.5, "v2": 0.5} and values["verdict"] == "can't be told apart"
    assert asked == [("tickets", "v1", "v2", len(data.test_rows("tickets")))]
    assert "tickets on 2 rows" in invoke(*words).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("list", "{none}"), "there is no registry"),
        (("promote", "{shelf}", "tickets", "v3", "--why", "x"), "there are v1, v2"),
        (("promote", "{shelf}", "tikets", "v1", "--why", "x"), "Did you mean 'tickets'?"),
        (("rollback", "{shelf}", "tickets", "--why", "x"), "no version to go back to"),
        (("publish", "{none}", "--to", "{shelf}", "--name", "tickets"), "there is no folder"),
        (("publish", "{shelf}", "--to", "{shelf}", "--name", "../up"), "name is '../up'"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_1(shelf, words, said):
    places = {"shelf": str(shelf), "none": str(shelf / "none")}
    done = invoke("registry", *(word.format(**places) for word in words), "--json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_a_torn_file_is_named(shelf):
    file = shelf / "tickets" / "v2" / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    done = invoke("registry", "promote", shelf, "tickets", "v2", "--why", "x")
    assert done.exit_code == 1 and "adapter_model.safetensors is not what was published" in (
        done.stderr
    )


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_verify_reports_before_it_fails(monkeypatch, tmp_path, ok, code):
    def verify(run, *, again):
        figure = operate.verifying.Figure("task", 0.9, 0.9 if ok else 0.8, 0.01)
        return operate.Verified(str(run), [], [figure], [], again or None)

    monkeypatch.setattr(operate, "verify", verify)
    done = invoke("verify", tmp_path, "--json")
    assert done.exit_code == code and json.loads(done.stdout)["ok"] is ok
    assert json.loads(invoke("verify", tmp_path, "--again", "--json").stdout)["again"] is True
    monkeypatch.undo()
    done = invoke("verify", tmp_path)
    assert done.exit_code == 1 and "holds no run.json" in done.stderr


def test_listing_imports_nothing_heavy(shelf):
    heavy = {"torch", "transformers", "peft", "trl", "datasets"}
    assert not modules_after("registry", "list", shelf) & heavy
