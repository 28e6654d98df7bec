"""Run folders side by side: their records' own numbers, their cost by hand, and what is no run."""

import json

import pytest
from verbs import invoke, modules_after

from ftkit import UserError, cost


@pytest.fixture
def folder(tmp_path):
    """Three runs, a folder that is none, a torn record, a run under way and a file."""

    def write(name, seconds, validation, **more):
        place = tmp_path / name
        place.mkdir()
        record = {
            "experiment": {
                "model": "pocket", "data": "tickets", "lora": {"r": 4},
                "recipe": {"lr": 0.002, "epochs": 2}, **more.pop("stated", {}),
            },
            "hashes": {}, "versions": {}, "steps": 8, "losses": [[1, 2.0], [8, 0.25]],
            "validation": validation, "seconds": seconds, "stopped": None, **more,
        }  # fmt: skip
        (place / "run.json").write_text(json.dumps(record), encoding="utf-8")

    write("a", 3600.0, [[4, 0.5], [8, 0.75]], scores={"task": 0.9, "skills": {"count": 0.5}})
    write("b", 1800.0, [], scores={"task": 0.7}, stated={"quant": "nf4"})
    write("c", 7200.0, [[8, 0.25]], stated={"lora": None, "objective": {"name": "dpo"}})
    (tmp_path / "photos").mkdir()
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "run.json").write_text('{"experiment"', encoding="utf-8")
    (tmp_path / "going" / "checkpoints").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    return tmp_path


def names(found):
    return [run.values["run"] for run in found.runs]


def test_a_line_is_the_record_and_its_cost_by_hand(folder):
    found = cost.list_runs(folder, watts=(100, 200), per_hour=(2, 3))
    a, b, c = found.runs
    assert (a.values["loss"], a.values["validation"], a.seconds) == (0.25, 0.5, 3600)
    assert a.kwh == pytest.approx((0.1, 0.2 * 1.58)) and a.money == (2, 3)
    assert c.kwh == pytest.approx((0.2, 0.4 * 1.58)) and c.money == (4, 6)
    methods = [run.values["method"] for run in found.runs]
    assert methods == ["lora r 4", "lora r 4 on nf4", "full, dpo"]
    assert b.values["validation"] is None and b.value("skills.count") is None
    assert "100 to 200 W all the time" in str(found) and "≈2 to ≈3" in str(found)
    assert "money" not in str(cost.list_runs(folder))
    assert "<table>" in found._repr_html_()


def test_what_is_no_run_is_told_by_its_name_and_stops_nothing(folder):
    notes = cost.list_runs(folder).notes
    assert len(notes) == 3
    told = "\n".join(notes)
    assert "photos holds no run.json, so it is no run" in told
    assert "going is not done" in told and "torn" in told and "notes.txt" not in told
    assert told in str(cost.list_runs(folder))


@pytest.mark.parametrize(
    ("by", "order"),
    [
        (None, "abc"), ("seconds", "bac"), ("kwh", "bac"), ("validation", "cab"),
        ("task", "bac"), ("skills.count", "abc"), ("method", "cab"), ("run", "abc"),
    ],
)  # fmt: skip
def test_any_column_and_any_score_sorts_them(folder, by, order):
    found = cost.list_runs(folder, by=by)
    assert names(found) == list(order)
    if by == "skills.count":
        assert "skills.count" in str(found) and "skills.count" not in str(cost.list_runs(folder))


def edit(folder, **changed):
    """Change some keys of a record; ... drops one."""
    path = folder / "run.json"
    record = {**json.loads(path.read_text()), **changed}
    record = {key: value for key, value in record.items() if value is not ...}
    path.write_text(json.dumps(record), encoding="utf-8")


def test_seconds_that_a_record_does_not_state_are_none_and_not_nought(folder):
    edit(folder / "b", seconds=...)
    found = cost.list_runs(folder, by="seconds", per_hour=(2, 3))
    assert names(found) == list("acb")
    assert found.runs[-1].seconds is found.runs[-1].kwh is found.runs[-1].money is None
    assert str(found).splitlines()[-1].split()[-3:] == ["–", "–", "–"]


def test_a_run_that_broke_off_is_told_and_a_loss_that_is_none_comes_last(folder):
    stopped = "the loss is nan at step 2 of 6; the weights after step 1 are kept. Lower lr."
    nan = float("nan")
    edit(
        folder / "a", losses=[[1, 2.0], [2, nan]], validation=[[1, nan], [2, 0.5]], stopped=stopped
    )
    found = cost.list_runs(folder, by="loss")
    assert names(found) == list("bca")
    assert found.runs[-1].values["loss"] is None and found.runs[-1].values["validation"] == 0.5
    assert "a broke off: the loss is nan at step 2 of 6." in found.notes
    assert "NaN" not in json.dumps(found.json())


def test_a_record_whose_parts_are_of_another_kind_stops_nothing(folder):
    edit(folder / "a", experiment={"model": "pocket", "lora": "x", "recipe": [1]})
    assert cost.list_runs(folder).runs[0].values["lr"] is None


def test_one_run_is_a_table_of_one(folder):
    assert names(cost.list_runs(folder / "a")) == ["a"]
    assert str(cost.list_runs(folder / "a")).startswith("1 run in ")


@pytest.mark.parametrize(
    ("place", "options", "said"),
    [
        (".", {"by": "los"}, "no run has a column 'los'.*Did you mean 'loss'"),
        ("phots", {}, "there is no folder .*Did you mean 'photos'"),
        ("photos", {}, "holds no run; give the folder that holds those"),
        ("torn", {}, r"holds no run \(.*run.json is not JSON"),
        ("notes.txt", {}, "there is no folder"),
        (".", {"watts": (0, 5)}, "watts begins at 0"),
        (".", {"per_hour": (3, 1)}, "the price per hour is"),
    ],
)
def test_what_is_no_table_is_a_sentence(folder, place, options, said):
    with pytest.raises(UserError, match=said):
        cost.list_runs(folder / place, **options)


def test_the_verb_is_quick_and_prints_values(folder):
    done = invoke(
        "runs", folder, "--by", "task", "--price-per-hour", "2", "--watts", "65", "--json"
    )
    values = json.loads(done.stdout)
    assert [run["run"] for run in values["runs"]] == list("bac")
    assert values["runs"][1]["money"] == [2, 2] and "65 W" in values["assumed"]
    done = invoke("runs", folder / "nothing")
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert "torch" not in modules_after("runs", folder, "--json")
