"""The verbs around a run: what they print, what they leave on disk, and a mistake's sentence."""

import json
import re
import shutil
from pathlib import Path

import pytest
from verbs import invoke, run_verb

from ftkit import data as sets
from ftkit import evaluate, forgetting
from ftkit.cli import runs
from ftkit.core.files import data_path

KEYS = {"seconds", "trainable", "task", "format", "skills", "hallucination", "latency_ms", "merge"}


@pytest.fixture(scope="module")
def tour(tmp_path_factory):
    """One tour for all tests here: its folder and its JSON."""
    out = tmp_path_factory.mktemp("tour") / "run"
    done = run_verb("tour", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_tour_prints_one_json_object_with_its_keys(tour):
    _, found = tour
    assert found.keys() >= KEYS
    assert all({"base", "tuned"} <= found[k].keys() for k in ("task", "format", "hallucination"))
    assert all({"before", "after"} <= v.keys() for v in found["skills"].values())
    assert found["latency_ms"].keys() == {"base", "adapter", "merged"}
    assert {"max_logit_gap", "top1_agreement"} <= found["merge"].keys()


def test_the_tour_keeps_its_promises(tour):
    _, found = tour
    assert found["format"]["base"] == 0
    assert found["format"]["tuned"] >= 0.98
    assert found["task"]["tuned"] >= 0.90
    assert 0 < found["merge"]["max_logit_gap"] <= 1e-4
    assert found["skill_lost"][0] <= 0.03
    assert (
        found["hot"]["skill_lost"][1] > found["skill_lost"][2]
    )  # intervals apart: the hot road forgets more


def test_readmes_table_is_what_a_tour_gives(tour):
    """Another machine may differ by a few answers of 200; nobody's typing may differ at all."""
    _, found = tour
    text = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = {
        m[1]: [float(x) / 100 for x in re.findall(r"([\d.]+) %", m[2])]
        for m in re.finditer(r"^\| ([a-z][^|]+?) \|(.*)$", text, re.M)
    }
    assert shown["exact JSON on 200 unseen tickets"] == pytest.approx(
        [found["task"]["base"], found["task"]["tuned"], found["hot"]["task"]], abs=0.03
    )
    assert shown["strict format"] == pytest.approx(
        [found["format"]["base"], found["format"]["tuned"], found["hot"]["format"]], abs=0.02
    )
    assert shown["skill lost, 95 % interval"][-2] == pytest.approx(found["skill_lost"][0], abs=0.02)
    assert shown["skill lost, 95 % interval"][-1] == pytest.approx(
        found["hot"]["skill_lost"][0], abs=0.15
    )


def test_the_run_folder_is_peft_transformers_and_json(tour):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out, found = tour
    assert {p.name for p in out.iterdir()} == {
        "run.json",
        "rows.json",
        "steps.jsonl",
        "tour.json",
        "adapter",
        "merged",
        "skills.png",
        "loss.png",
    }
    record = json.loads((out / "run.json").read_text())
    assert record["scores"]["task"] == found["task"]
    base = AutoModelForCausalLM.from_pretrained(data_path("pocket"))
    assert PeftModel.from_pretrained(base, out / "adapter")
    assert AutoModelForCausalLM.from_pretrained(out / "merged")
    assert AutoTokenizer.from_pretrained(out / "merged").chat_template
    assert not list(out.rglob("*.bin")) + list(out.rglob("*.pt"))


def test_merge_evaluate_and_train_read_the_run_folder(tour, tmp_path):
    out, found = tour
    merged = invoke("merge", out, "--out", tmp_path / "merged", "--json")
    assert merged.exit_code == 0, merged.stderr
    assert json.loads(merged.stdout)["max_logit_gap"] <= 1e-4
    half = invoke("merge", out, "--out", tmp_path / "half", "--dtype", "bfloat16", "--json")
    assert json.loads(half.stdout)["dtype"] == "bfloat16"
    refused = invoke("merge", out, "--out", out)
    assert refused.exit_code == 1 and "is the folder of a run" in refused.stderr
    compared = invoke("evaluate", out, "--data", "tickets", "--json")
    assert compared.exit_code == 0, compared.stderr
    # general text costs more, by a little: beside the skills, with its interval
    rise, low, high = json.loads(compared.stdout)["text_nats"]
    assert low <= rise <= high and -0.1 < rise < 1
    assert json.loads(compared.stdout)["task"]["tuned"] == pytest.approx(
        found["task"]["tuned"], abs=0.011
    )
    alone = invoke("evaluate", tmp_path / "merged", "--data", "tickets", "--json")
    assert json.loads(alone.stdout)["task"] == pytest.approx(found["task"]["tuned"], abs=0.011)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A run on 20 rows of its own, whose template writes the date; its folder, data and base."""
    folder = tmp_path_factory.mktemp("tuned")
    rows = [{"prompt": f"Say word {n}.", "completion": f"w{n}"} for n in range(20)]
    (folder / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(data_path("pocket"), folder / "base")
    template = folder / "base" / "chat_template.jinja"
    template.write_text("{{ strftime_now('%Y') }}" + template.read_text())
    (folder / "r.yaml").write_text(
        f"model: {folder / 'base'}\ndata: {folder / 'd.jsonl'}\ndate: 1999-01-01\n"
        "lora: {r: 2}\nrecipe: {epochs: 1, lr: 0.001, evaluations: 0, warmup: 0}\n"
    )
    done = invoke("train", folder / "r.yaml", "--out", folder / "run")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def asked(monkeypatch):
    """The prompts of the rows that `evaluate` scores, and the year that each is asked in."""
    found, plain = [], evaluate.score

    def score(model, tokenizer, test, name, schema=None):
        for chat in test["messages"]:
            text = sets.render_prompt(chat[:1], tokenizer)
            found.append((chat[0]["content"], text[:4]))
        return plain(model, tokenizer, test, name)

    monkeypatch.setattr(runs.evaluation, "score", score)
    monkeypatch.setattr(runs.forgetting, "skills", lambda *_: forgetting.Skills({"copy": [True]}))
    return found


def test_a_model_out_of_a_run_is_not_asked_what_it_was_trained_on(tuned, asked, monkeypatch):
    """Merged, or its adapter alone: the file that it was trained on would flatter it."""
    merged, file = tuned / "merged", tuned / "d.jsonl"
    done = invoke("merge", tuned / "run", "--out", merged)
    assert done.exit_code == 0, done.output
    done = invoke("evaluate", merged, "--data", file, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["left_out"] == 18
    # and by the record's date, as the run itself is
    assert [year for _, year in asked] == ["1999"] * 2

    # a run on top of the merged model has seen both runs' rows
    (tuned / "r2.yaml").write_text(
        f"model: {merged}\ndata: facts\nrows: 4\nlora: {{r: 2}}\n"
        "recipe: {epochs: 1, lr: 0.001, evaluations: 0}\n"
    )
    done = invoke("train", tuned / "r2.yaml", "--out", tuned / "second")
    assert done.exit_code == 0, done.output
    compared = []
    monkeypatch.setattr(runs, "compare_run", lambda *asked: compared.append(asked) or ("", {}))
    done = invoke("evaluate", tuned / "second" / "adapter", "--data", file, "--json")
    assert compared[0][0] == tuned / "second", "the adapter is the run"
    assert json.loads(done.stdout)["left_out"] == 18, done.output

    # without the run, what is not known is said
    (tuned / "run").rename(tuned / "moved")
    done = invoke("evaluate", merged, "--data", file, "--json")
    (tuned / "moved").rename(tuned / "run")
    assert "which is not there: rows that it was trained on" in json.loads(done.stdout)["notes"][0]


def test_format_errors_apart_by_a_schema_and_fuzzy_likeness(tmp_path, monkeypatch):
    """The keys that were there stay; new ones stand beside them."""
    monkeypatch.setattr(runs.forgetting, "skills", lambda *_: forgetting.Skills({"copy": [True]}))
    rows = [{"prompt": f"JSON with order {n}.", "completion": f'{{"order": {n}}}'} for n in (5, 6)]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "s.json").write_text('{"required": ["order"], "maxProperties": 1}')
    words = ["evaluate", "pocket", "--data", tmp_path / "d.jsonl"]
    plain = json.loads(invoke(*words, "--json").stdout)
    assert list(plain) == ["notes", "task", "format", "format_errors", "cut_off", "skills"]
    more = [*words, "--schema", tmp_path / "s.json", "--fuzzy"]
    found = json.loads(invoke(*more, "--json").stdout)
    assert {*found["format_errors"]} - {*plain["format_errors"]} == {"against a rule of the schema"}
    assert found["fuzzy"]["n"] == 2
    assert "fuzzy match, n = 2" in invoke(*more).stdout


def test_train_from_a_recipe_file(tmp_path):
    recipe = tmp_path / "r.yaml"
    rows = data_path("tasks", "tickets.jsonl").read_text().splitlines()[:40]
    (tmp_path / "d.jsonl").write_text(
        "\n".join(json.dumps({"messages": json.loads(r)["messages"]}) for r in rows)
    )
    stated = "lora: {r: 2, alpha: 4}\nrecipe: {epochs: 1, lr: 0.002}\n"
    recipe.write_text(f"data: {tmp_path / 'd.jsonl'}\n{stated}")
    done = run_verb("train", recipe, "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() >= {"loss", "steps", "seconds", "adapter", "record"}
    assert (tmp_path / "run" / "adapter" / "adapter_model.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "nothing.yaml", "--out", "out"], "no recipe file"),
        (["evaluate", "pokcet", "--data", "tickets"], "Did you mean 'pocket'"),
        (["evaluate", "pocket", "--data", "nothing.jsonl"], "no file 'nothing.jsonl'"),
        (
            ["evaluate", "pocket", "--data", "tickets", "--schema", "none.json"],
            "could not read none.json",
        ),
        (
            ["evaluate", "pocket", "--data", "bad.jsonl"],
            "bad.jsonl has 1 bad row: line 2: not JSON",
        ),
        (["merge", "somewhere", "--out", "out"], "no run.json"),
        (["train", "rank.yaml", "--out", "out"], "r is 0"),
    ],
)
def test_a_mistake_is_one_sentence_exit_1_and_leaves_nothing(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "completion": "b"}\n{"prompt": \n')
    (tmp_path / "rank.yaml").write_text("lora: {r: 0}\n")
    before = sorted(tmp_path.iterdir())
    done = invoke(*words, "--json")
    assert done.exit_code == 1, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(tmp_path.iterdir()) == before


def test_a_mistake_ends_a_process_the_same_way(tmp_path):
    done = run_verb("merge", tmp_path, "--out", tmp_path / "out", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "no run.json" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_encoding_of_a_file_is_passed_on(tmp_path):
    file = tmp_path / "d.jsonl"
    file.write_bytes('{"prompt": "a", "completion": "é"}\n'.encode("cp1252"))
    for more, reason in (((), "is not UTF-8: line 1"), (("--encoding", "ascii"), "is not ascii")):
        done = invoke("evaluate", "pocket", "--data", file, *more)
        assert (done.exit_code, reason in done.stderr) == (1, True), done.output
