"""A run folder is asked once: kept by its rows and its weights, row by row."""

import json

import pytest
from safetensors.torch import load_file, save_file
from version_folders import write_run

from ftkit import UserError, data, evaluate, forgetting
from ftkit.forgetting import folders, probing


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "one", 1)


@pytest.fixture
def few(monkeypatch):
    """A probe of every skill and two strangers, and how often two models were compared."""
    monkeypatch.setattr(probing, "USUAL", 1)
    monkeypatch.setattr(folders, "STRANGERS", 2)
    compare, calls = evaluate.compare, []

    def counted(*words, **options):
        calls.append(len(words[3]))
        return compare(*words, **options)

    monkeypatch.setattr(evaluate, "compare", counted)
    return calls


def test_it_is_asked_once_and_again_when_rows_or_weights_are_others(run, few):
    test, said = data.first(data.load("tickets")["test"], 2), []
    found = forgetting.ask_run(run, test, "tickets", say=said.append)
    assert few == [2] and "one: asking 2 test rows" in said
    assert found["test"] == {"name": "tickets", "hash": forgetting.hash_test(test), "n": 2}
    values, rows = found["values"], found["answers"]
    for name in ("task", "format"):
        for who in ("base", "tuned"):
            assert sum(rows[name][who]) == round(2 * values[name][who])
    assert len(rows["skills"]) == 14 and values["flags"].keys() >= {"task", "latency"}
    assert all(len(one) == 4 for one in found["broken"])
    # what is there is read, as it was
    assert forgetting.ask_run(run, test) == found and few == [2]
    # other weights answer for themselves
    file = run / "adapter" / "adapter_model.safetensors"
    save_file({name: 2 * numbers for name, numbers in load_file(file).items()}, file)
    assert folders.recall(run, test) is None


def test_a_base_is_asked_once_for_all_its_runs(tmp_path, few, monkeypatch):
    asked, score = [], evaluate.comparison.score

    def noted(model, tokenizer, rows, name, **rules):
        asked.append(name)
        return score(model, tokenizer, rows, name, **rules)

    monkeypatch.setattr(evaluate.comparison, "score", noted)
    monkeypatch.setattr(folders, "COMPARED", {})
    test = data.first(data.load("tickets")["test"], 3)
    runs = [write_run(tmp_path / name, seed) for seed, name in enumerate(("one", "two"))]
    found = [forgetting.ask_run(run, test) for run in runs]
    assert asked == ["base", "tuned", "tuned"]
    assert found[0]["answers"]["task"]["base"] == found[1]["answers"]["task"]["base"]
    # what the base said is the same as if it was asked anew
    monkeypatch.setattr(folders, "COMPARED", {})
    anew = forgetting.ask_run(runs[1], test, again=True)
    assert anew["answers"] == found[1]["answers"] and asked[3:] == ["base", "tuned"]


def test_how_long_many_rows_take_is_told_beforehand(monkeypatch):
    asked = []
    monkeypatch.setattr(evaluate, "score", lambda model, tokenizer, rows: asked.append(len(rows)))
    test = data.load("tickets")["test"]
    assert folders.tell_time(None, None, test).startswith(", at most ")
    assert asked == [folders.TRIED] and folders.tell_time(None, None, data.first(test, 9)) == ""


def test_without_test_rows_skills_alone_are_asked(run, few):
    found = forgetting.ask_run(run, None)
    assert few == [] and found["test"]["n"] == 0
    assert found["answers"].keys() == {"skills"} and "flags" not in found["values"]


def test_a_torn_file_is_asked_again_and_mended(run, few):
    (run / folders.ASKED).write_text('{"half": ')
    assert folders.recall(run, None) is None
    forgetting.ask_run(run, None)
    assert forgetting.hash_test(None) in json.loads((run / folders.ASKED).read_text())


def test_a_run_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no run\.json"):
        forgetting.ask_run(tmp_path, None)
