"""The verb `check`: exit codes, JSON, and a page."""

import json

from verbs import invoke, modules_after

GOOD = {"prompt": "a", "completion": "b"}


def test_a_good_file_is_exit_0_and_a_bad_row_exit_1(tmp_path):
    file = tmp_path / "d.jsonl"
    file.write_text(json.dumps(GOOD) + "\n", encoding="utf-8")
    done = invoke("check", file)
    assert done.exit_code == 0, done.output
    assert "1 rows, 1 of them good; prompt and completion" in done.output

    file.write_text(f'{json.dumps(GOOD)}\n{{"prompt": "a", "completion": 5}}\n', encoding="utf-8")
    done = invoke("check", file, "--json")
    values = json.loads(done.stdout)
    reason = "completion is 5, a number; write it as text"
    assert done.exit_code == 1
    assert values["errors"] == [{"line": 2, "where": "line 2", "reason": reason}]
    counts = {name: values[name] for name in ("rows", "valid", "duplicates", "near_duplicates")}
    assert counts == {"rows": 2, "valid": 1, "duplicates": 0, "near_duplicates": 0}
    assert values["format"] == "prompt and completion"


def test_a_mistake_is_a_sentence_and_bad_usage_exit_2(tmp_path):
    for words, reason in (
        (("check", tmp_path / "no.jsonl"), "there is no file"),
        (("check", "facts", "--encoding", "utf-88"), "Did you mean 'utf"),
        (("check", "facts", "--against", "tiketts"), "Did you mean 'tickets'"),
        (("check", "facts", "--html", tmp_path), "give the name of a file"),
    ):
        done = invoke(*words)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        assert reason in done.stderr
    assert invoke("check").exit_code == 2
    assert invoke("check", "facts", "--max-length", "0").exit_code == 2
    assert invoke("check", "facts", "--modle", "pocket").exit_code == 2


def test_with_a_model_lengths_are_counted_and_a_page_is_written(tmp_path):
    page = tmp_path / "page.html"
    done = invoke("check", "facts", "--model", "pocket", "--json", "--html", page)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["tokens"]["positions"] == 1024
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_a_run_says_where_it_cuts_and_an_option_says_it_again(tmp_path):
    run = {"experiment": {"model": "pocket", "data": "facts", "recipe": {"max_length": 20}}}
    (tmp_path / "run.json").write_text(json.dumps(run), encoding="utf-8")
    file = tmp_path / "d.jsonl"
    file.write_text(json.dumps({**GOOD, "prompt": "a b " * 20}), encoding="utf-8")
    for more, most in (((), 20), (("--max-length", 60), 60)):
        done = invoke("check", file, "--model", tmp_path, *more, "--json")
        tokens = json.loads(done.stdout)["tokens"]
        assert (tokens["max_length"], tokens["lost"]) == (most, int(most == 20)), done.output


def test_without_a_model_nothing_heavy_is_imported():
    assert not modules_after("check", "facts") & {"torch", "transformers", "datasets"}


def test_an_audit_tells_leaks_and_is_exit_0(tmp_path):
    file, page = tmp_path / "d.jsonl", tmp_path / "page.html"
    rows = [{**GOOD, "split": "train"}, {**GOOD, "split": "test"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    done = invoke("audit", file, "--html", page)
    assert done.exit_code == 0, done.output
    assert "leak: test in train" in done.output and "the same row: line 2" in done.output
    assert "not grounded in the question" in done.output
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    done = invoke("audit", file, "--against", "facts", "--json")
    values = json.loads(done.stdout)
    assert values["leaks"]["test in train"]["exact"] == ["line 2"]
    assert values["leaks"]["in facts"]["by_entity"] == []


def test_an_audit_with_a_model_counts_what_is_cut():
    done = invoke("audit", "facts", "--model", "pocket", "--max-length", "16", "--json")
    assert json.loads(done.stdout)["lengths"]["lost"] > 200, done.output


def test_an_audit_refuses_what_it_can_not_read(tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text(f'{json.dumps(GOOD)}\n{{"prompt": "a"}}\n', encoding="utf-8")
    for words, reason in (
        (("audit", bad), "line 2"),
        (("audit", "tickets", "--label", "urgnt"), "Did you mean 'urgent'"),
        (("audit", "tiketts"), "Did you mean 'tickets'"),
        (("audit", "facts", "--against", tmp_path / "no.csv"), "there is no file"),
    ):
        done = invoke(*words)
        assert (done.exit_code, done.stdout) == (1, ""), done.output
        assert reason in done.stderr
    assert invoke("audit").exit_code == 2


def test_an_audit_without_a_model_imports_nothing_heavy():
    assert not modules_after("audit", "facts") & {"torch", "transformers", "datasets"}
