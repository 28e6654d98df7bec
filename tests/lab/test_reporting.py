"""A run folder as a page: what stands on it, what is read and what asked, and what is refused."""

import dataclasses
import functools
import json
import re
import shutil

import pytest
from verbs import invoke
from version_folders import write_run

from ftkit import UserError, audit, data, doctor, evaluate, lab, operate
from ftkit.core.files import data_path
from ftkit.lab import reporting

SUITES = {"copy": (50, 10), "sort": (50, 50)}


def answers(task=(0, 60), name="tickets", hashed="h"):
    """What `forgetting.ask_run` gives, made up: 100 test rows and two skills of 50 questions."""

    def rows(counts, n):
        base, tuned = ([1] * count + [0] * (n - count) for count in counts)
        return {"base": base, "tuned": tuned}

    def shares(counts, n=100):
        return {"base": counts[0] / n, "tuned": counts[1] / n, "n": n}

    flag = {"harm": 0.4, "interval": [0.3, 0.5], "limit": 0.02, "rule": "mean skill lost > 2.0 %"}
    return {
        "test": {"name": name, "hash": hashed, "n": 100},
        "values": {
            "task": shares(task),
            "format": shares((0, 90)),
            "hallucination": shares((0, 0)),
            "fields": {"city": shares((0, 70))},
            "latency_ms": {"base": 1.0, "tuned": 1.2},
            "skills": {
                suite: {"before": before / 50, "after": after / 50, "n": 50}
                for suite, (before, after) in SUITES.items()
            },
            "flags": {"forgetting": flag},
        },
        "answers": {
            "task": rows(task, 100),
            "skills": {suite: rows(counts, 50) for suite, counts in SUITES.items()},
        },
        "broken": [["copy", f"Repeat: {n}", str(n), "?"] for n in range(40)],
        "probes": "p",
        "seconds": 3.0,
    }


CHECK, AUDIT = data.check, audit.audit


@functools.cache
def looked_over():
    """The kit's tickets, checked and audited."""
    return CHECK("tickets"), AUDIT("tickets")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "one", 1, seconds=4.0, total=9)


@pytest.fixture
def asked(monkeypatch):
    """What the models are said to answer, by the run's name; and who was asked."""
    said, calls = {}, []

    def ask_run(folder, test, name, *, again=False, probes=None, say=print):
        calls.append((folder.name, test if test is None else len(test), again))
        return said.get(folder.name, answers())

    found = doctor.Findings("x", [doctor.Finding.fine("record", "whole")])
    monkeypatch.setattr(reporting.forgetting, "ask_run", ask_run)
    monkeypatch.setattr(reporting.doctor, "examine", lambda _: found)
    # the same rows are looked over once, and all of them are new to the run
    monkeypatch.setattr(reporting.data, "check", lambda *_, **__: looked_over()[0])
    monkeypatch.setattr(reporting.audit, "audit", lambda *_, **__: looked_over()[1])
    unseen = lambda rows, *_, **__: evaluate.Unseen(rows, [], 0, 0)  # noqa: E731
    monkeypatch.setattr(reporting.evaluate, "keep_unseen", unseen)
    holds = operate.Verified("x", [], [])
    monkeypatch.setattr(reporting.operate, "verify", lambda *_, **__: holds)
    said["calls"] = calls
    return said


def another(written, place, **changed):
    """A copy of a run with other settings of its recipe, or of its record."""
    run = shutil.copytree(written, place)
    record = json.loads((run / "run.json").read_text())
    for name, value in changed.items():
        part = record["experiment"]["recipe"] if name in ("seed", "lr") else record
        part[name] = value
    (run / "run.json").write_text(json.dumps(record))
    return run


def test_the_page_holds_everything_and_needs_nothing(written, asked, tmp_path):
    found = lab.report(written)
    page = found.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert asked["calls"] == [("one", 200, False)]
    assert len(page) < 300_000
    titles = re.findall(r"<h2 [^>]*>([^<]+)", page)
    assert titles == [
        "What may be said",
        "What may not be said",
        "What the answers follow from",
        "Base beside tuned",
        "What was forgotten",
        "Red flags",
        "The data",
        "The recipe",
        "The curves",
        "What it cost",
        "The record",
    ]
    without_pictures = re.sub(r'src="data:image/svg[^"]*"', "", page)
    assert not re.search(r"https?:|<script", without_pictures)
    alts = re.findall(r'<img alt="([^"]*)"', page)
    assert len(alts) == 3 and all(len(alt) > 30 for alt in alts)
    for part in (
        "Red: forgetting.",
        "copy fell most, by 80 points",
        "560 rows",
        " Wh<",
        "16aa0f8e",
    ):
        assert part in page, part
    assert page.count("Repeat: ") == reporting.TOLD
    assert found.json()["red_flags"] == ["forgetting"]


def test_sentences_follow_from_the_figures(written, asked):
    found = lab.report(written)
    assert found.findings[0].startswith("Better on the task: yes, by 4")
    assert "(0.0 % before, 60.0 % after)" in found.findings[0]
    assert any(one.startswith("Forgets copy: yes, by ") for one in found.findings)
    assert any("6 comparisons were made" in one for one in found.findings)
    assert "≈" not in "".join(found.findings) and "≈" in str(found)
    asked["one"] = answers(task=(60, 0))
    assert lab.report(written).findings[0].startswith("Better on the task: no, ")
    asked["one"] = answers(task=(50, 51))
    assert lab.report(written).findings[0].startswith("Better on the task: cannot be told.")


def test_one_seed_is_said_to_be_one_and_three_are_compared(written, asked, tmp_path):
    assert any("one run with one seed, 0" in one for one in lab.report(written).limits)
    seeds = [another(written, tmp_path / f"seed{seed}", seed=seed) for seed in (1, 2)]
    for seed, run in enumerate(seeds):
        asked[run.name] = answers(task=(0, 61 + seed))
    found = lab.report(written, seeds)
    assert "on 3 seeds, 0, 1, 2" in found.findings[0]
    assert not any("one seed" in one for one in found.limits)
    assert "The runs beside each other" in found.html()
    # three seeds are three, and the test rows the same: what that leaves open is said
    (rows,) = [one for one in found.limits if "an interval over seeds has no other" in one]
    assert "no closer than ≈61.0 % [51.2, 70.0]" in rows
    assert not any("over seeds" in one for one in lab.report(written).limits)


def test_what_no_run_was_asked_has_no_column(written, asked, tmp_path):
    other = another(written, tmp_path / "seed1", seed=1)
    _, heads, rows = lab.report(written, other).sections[0].shown[0].table()
    assert "in format" in heads and all(len(row) == len(heads) for row in rows)
    without = answers()
    without["values"].pop("format")
    asked["one"] = asked["seed1"] = without
    _, heads, rows = lab.report(written, other).sections[0].shown[0].table()
    assert heads == ("run", "recipe", "seed", "exactly right", "made up", "skills right")
    assert all(len(row) == len(heads) for row in rows)


def test_the_picture_says_yes_and_no_at_their_rows(written, asked):
    picture = lab.report(written).sections[0].shown[0]
    words = [text.get_text() for text in picture.axes[0].texts]
    assert (words.count("yes"), words.count("cannot be told")) == (4, 2)
    assert "grey: cannot be told once p is corrected for all 6" in picture.axes[0].get_xlabel()


def test_recipes_are_compared_by_seed_or_else_by_row(written, asked, tmp_path):
    hot = [another(written, tmp_path / f"hot{seed}", seed=seed, lr=0.5) for seed in (0, 1)]
    asked["hot0"] = asked["hot1"] = answers(task=(0, 20))
    by_row = lab.report(written, hot[0]).findings
    better = next(one for one in by_row if one.startswith("Better on the task than with lr 0.5"))
    assert re.search(r"yes, by .* on 100 unseen test rows", better)
    second = another(written, tmp_path / "seed1", seed=1)
    by_seed = lab.report(written, [second, *hot]).findings
    better = next(one for one in by_seed if one.startswith("Better on the task than with lr 0.5"))
    assert "on 2 seeds, 0, 1" in better


def test_the_records_own_scores_are_read_and_asked_only_again(written, asked, tmp_path):
    scores = answers(task=(0, 30))["values"]
    run = another(written, tmp_path / "scored", scores=scores)
    found = lab.report(run)
    assert asked["calls"] == []
    assert "(0.0 % before, 30.0 % after)" in found.findings[0]
    assert any("--again" in one for one in found.limits)
    lab.report(run, again=True)
    assert asked["calls"] == [("scored", 200, True)]


@pytest.mark.parametrize(
    "scores", [{"task": {"base": 0.1, "tuned": 2, "n": 9}}, [1], {"task": 3}, {"skills": {"a": 1}}]
)
def test_scores_in_another_form_are_asked_instead(written, asked, tmp_path, scores):
    lab.report(another(written, tmp_path / "odd", scores=scores))
    assert asked["calls"] == [("odd", 200, False)]


def test_parts_of_scores_in_another_form_are_left_out(written, asked, tmp_path):
    odd = {"skills": {"a": 0.5}, "fields": [], "flags": {"x": 1}, "latency_ms": "fast"}
    scores = {**answers()["values"], **odd}
    found = lab.report(another(written, tmp_path / "odd", scores=scores))
    assert asked["calls"] == [] and found.findings[0].startswith("Better on the task: yes")
    assert "No skills were asked" in found.html() and "were not judged" in found.html()


def test_a_base_that_is_gone_leaves_a_page(written, asked, tmp_path, monkeypatch):
    def gone(*_, **__):
        raise UserError("there is no model 'x'.")

    monkeypatch.setattr(reporting.forgetting, "ask_run", gone)
    found = lab.report(written)
    assert found.findings == []
    assert any("could not be asked: there is no model 'x'." in one for one in found.limits)
    assert "Nothing was asked, so nothing follows" in found.html()
    run = another(written, tmp_path / "scored", scores=answers()["values"])
    assert lab.report(run, again=True).findings


def test_without_test_rows_the_task_is_left_and_the_cure_named(written, asked, tmp_path):
    file = tmp_path / "mine.jsonl"
    rows = [
        {**row, "split": "train"} for row in data.read(data_path("tasks", "tickets.jsonl"))[:12]
    ]
    file.write_text("\n".join(json.dumps(row) for row in rows))
    run = another(written, tmp_path / "none")
    record = json.loads((run / "run.json").read_text())
    record["experiment"]["data"] = str(file)
    (run / "run.json").write_text(json.dumps(record))
    asked["none"] = {**answers(), "test": {"name": "x", "hash": "", "n": 0}}
    found = lab.report(run)
    assert asked["calls"] == [("none", None, False)]
    assert any("no test rows to ask" in one and "--data FILE" in one for one in found.limits)
    with pytest.raises(UserError, match=r"none no test rows"):
        lab.report(written, run)


def test_runs_on_other_test_rows_are_refused_by_name(written, asked, tmp_path):
    run = another(written, tmp_path / "other", lr=0.5)
    record = json.loads((run / "run.json").read_text())
    record["experiment"]["data"] = "shipments"
    (run / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"200 test rows of tickets and .*other .* of shipments"):
        lab.report(written, run)
    assert asked["calls"] == []


def test_the_same_run_twice_is_refused(written, asked, tmp_path):
    copy = shutil.copytree(written, tmp_path / "copy")
    with pytest.raises(UserError, match="the same recipe with the same seed, 0; leave one"):
        lab.report(written, copy)


def test_a_run_that_was_killed_is_told_as_far_as_it_came(written, asked, tmp_path):
    run, record = tmp_path / "killed", json.loads((written / "run.json").read_text())
    (run / "checkpoints").mkdir(parents=True)
    begun = {"experiment": record["experiment"], "hashes": record["hashes"]}
    (run / "checkpoints" / "begun.json").write_text(json.dumps(begun))
    steps = ['{"step": 1, "loss": 0.9}', '{"step": 2, "loss": 0.5}', '{"step": 2, "eval_l']
    (run / "checkpoints" / "steps.jsonl").write_text("\n".join(steps))
    found = lab.report(run)
    assert asked["calls"] == [] and found.findings == []
    assert "it was killed after step 2" in found.limits[0]
    assert any("nothing was asked of it" in one for one in found.limits)
    assert "from 0.90 to 0.50 in 2 steps" in found.html()
    with pytest.raises(UserError, match=r"killed after step 2.*leave it out"):
        lab.report(another(written, tmp_path / "hot", lr=0.5), run)


def test_a_run_that_broke_off_says_so(written, asked, tmp_path):
    run = another(written, tmp_path / "off", stopped="the loss is NaN.")
    assert lab.report(run).limits[0] == "What the whole run does: it broke off (the loss is NaN)."


def test_what_is_no_run_and_what_is_no_place_are_refused(written, asked, tmp_path):
    with pytest.raises(UserError, match=r"holds no run.json"):
        lab.report(tmp_path)
    with pytest.raises(UserError, match="a folder that is there"):
        lab.report(written).save(tmp_path / "nowhere" / "page.html")


def test_the_verb_writes_the_page_and_prints_the_figures(written, asked, tmp_path):
    page = tmp_path / "page.html"
    done = invoke("report", written, "--out", page, "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["file"] == str(page) and page.is_file()
    assert found["answers"][0]["question"] == "Better on the task"
    assert found["answers"][0]["answer"] == "yes"
    assert invoke("report", tmp_path).exit_code == 1
    asked["calls"].clear()
    assert invoke("report", written, "--out", tmp_path / "no" / "page.html").exit_code == 1
    assert asked["calls"] == []


def test_a_terminal_shows_the_pages_own_headings_in_its_width(
    written, asked, tmp_path, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "60")
    page = tmp_path / "page.html"
    done = invoke("report", written, "--out", page)
    assert done.exit_code == 0, done.output
    first, *lines, last = done.stdout.strip().splitlines()
    assert first == "Report on one" and last == f"The page is {page}"
    assert "≈" not in done.stdout and max(map(len, lines)) <= 60
    titles = re.findall(r"<h2 [^>]*>([^<]+)", page.read_text(encoding="utf-8"))
    assert [line for line in lines if line in titles] == titles[:2]
    # every sentence is there, whole once its lines are joined
    shown = " ".join(" ".join(lines).split())
    found = lab.report(written)
    assert all(" ".join(f"- {one}".split()) in shown for one in found.findings)


def test_a_row_that_repeats_one_is_told_in_the_singular():
    one, two = (evaluate.Unseen(range(200), [], 0, near) for near in (1, 2))
    assert "1 of 200 nearly repeats a training row" in reporting.told_unseen(one, 200)[0]
    assert "2 of 200 nearly repeat a training row" in reporting.told_unseen(two, 200)[0]


@pytest.mark.parametrize(
    ("objective", "words", "axis"),
    [
        (
            None,
            "The loss is in nats per answer token: the mean of −log p of the right next token.",
            "loss, nats per answer token",
        ),
        (
            "dpo",
            "The loss is in nats per pair: the mean of −log σ of beta times",
            "loss, nats per pair",
        ),
        (
            {"name": "dpo", "sft": 0.5},
            "The loss is per pair: .*, and 0.5 times −log p",
            "loss, per pair",
        ),
        ("kto", "The loss is per answer: the mean of 1 − σ of", "loss, per answer"),
        ("grpo", "The loss is a policy's: it stays near 0", "loss, a policy's"),
    ],
)
def test_a_loss_is_told_in_its_own_unit(objective, words, axis, written):
    case = reporting.open_run(written)
    stated = dataclasses.replace(case.experiment, objective=objective)
    section = reporting.section_curves(dataclasses.replace(case, experiment=stated))
    assert re.match(words, section.words[0])
    assert section.shown[0].axes[0].get_ylabel() == axis
