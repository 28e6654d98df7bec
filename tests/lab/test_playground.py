"""The playground: every control against the pure view; and Train, Stop, a second press and an error
in a real thread.
"""

import dataclasses
import itertools
import json
import statistics
import threading
import xml.etree.ElementTree as ET

import pytest
import torch
from pictures import TorchCalls, elements, every_position, options, texts

from ftkit import UserError, data, forgetting, lab, lora, models, train
from ftkit.core.files import data_path
from ftkit.forgetting import LiveRun, PlaneSetting, explorer, plane
from ftkit.lab import measuring, playground, points
from ftkit.lab.points import PlaygroundRow
from ftkit.show import live, svg
from ftkit.train import Experiment, reopen

HOT = {
    "method": "lora",
    "r": 16,
    "lr": 8e-3,
    "epochs": 2,
    "targets": "all-linear",
    "replay": 0.0,
}
SKILLS = ("known", "copy", "sort", "write_json", "read_json")


def made_up(point, loss=0.9):
    """A row of a grid that nobody ran: hotter learns more and keeps less, a seed moves both a
    little.
    """
    heat = min(1, point.lr * (500 if point.r else 1000) * point.epochs / 8) - point.replay / 4
    task = min(1, 0.3 + 0.7 * heat + 0.01 * point.seed)
    kept = {
        name: round(1 - 0.12 * i * heat - 0.01 * point.seed, 4) for i, name in enumerate(SKILLS)
    }
    curve = [[step, loss / step + 0.001 * point.seed] for step in range(1, 12 * point.epochs, 2)]
    return PlaygroundRow(
        **vars(point),
        trainable=1000 * point.r or 50_000,
        loss=curve[-1][1],
        task=task,
        skills=kept,
        size=0.1,
        curve=curve,
        validation=[],
        kl_task=0.1,
        kl_general=0.1,
        seconds=1.0,
    )


def some_points():
    """A grid with holes: ranks, rates and epochs whole; replay and targets at one place; other
    methods and means here and there.
    """
    small = {"alpha": 16, "rows": 8, "batch_size": 4}
    stated = [
        {"r": r, "lr": lr, "epochs": e}
        for r in (4, 16)
        for lr in (5e-4, 2e-3, 8e-3)
        for e in (1, 2)
    ]
    stated += [
        {"r": 16, "lr": 2e-3, "replay": 0.2},
        {"r": 16, "lr": 2e-3, "targets": "q,v"},
        {"r": 16, "lr": 2e-3, "dora": True},
    ]
    stated += [
        {"r": 16, "lr": 2e-3, "kl": 0.1},
        {"r": 16, "lr": 2e-3, "replay": 0.2, "replayed": "self"},
    ]
    stated += [{"r": 0, "alpha": 0, "lr": lr} for lr in (2e-4, 8e-4)]
    return [points.Point(**small | one, seed=seed) for one in stated for seed in (0, 1, 2)]


@pytest.fixture(scope="module")
def rows():
    return [made_up(point) for point in some_points()]


@pytest.fixture(scope="module")
def found(rows):
    return plane.gather_spots(rows)


@pytest.fixture
def panel(rows, tmp_path):
    return lab.open_playground(rows, tmp_path / "runs")


def test_a_spot_is_the_mean_and_the_range_of_its_seeds(rows, found):
    assert len(found) == len(rows) / 3
    for setting, spot in found.items():
        runs = [row for row in rows if PlaneSetting.of(row) == setting]
        assert spot.seeds == len(runs) == 3
        shares = [run.task for run in runs]
        assert spot.task == (pytest.approx(statistics.fmean(shares)), min(shares), max(shares))
        kept = [statistics.fmean(run.skills.values()) for run in runs]
        assert spot.skills == pytest.approx((statistics.fmean(kept), min(kept), max(kept)))
        assert [step for step, *_ in spot.curve] == [step for step, _ in runs[0].curve]
        assert all(low <= mean <= high for _, mean, low, high in spot.curve)
        assert spot.by_skill["sort"][0] == pytest.approx(
            statistics.fmean(run.skills["sort"] for run in runs)
        )


def test_the_frontier_is_what_nothing_beats(found):
    edge = plane.frontier(found.values())
    for one in found.values():
        pair = one.task[0], one.skills[0]
        beaten = [
            o
            for o in found.values()
            if o.task[0] >= pair[0] and o.skills[0] >= pair[1] and (o.task[0], o.skills[0]) != pair
        ]
        same = [o for o in edge if (o.task[0], o.skills[0]) == pair]
        assert bool(same) == (not beaten)
    assert all(
        a.skills[0] > b.skills[0] and a.task[0] < b.task[0] for a, b in itertools.pairwise(edge)
    )


def test_axes_are_stretched_towards_a_hundred_and_keep_the_order():
    places = [explorer.stretch(i / 100) for i in range(101)]
    assert places == sorted(places)
    assert places[0] == -1
    assert places[100] == 0
    assert places[100] - places[99] == pytest.approx(0.1)


def test_every_setting_is_drawn_inside_its_bounds_without_a_widget(found):
    base = dict.fromkeys(SKILLS, 1.0)
    for setting, spot in found.items():
        shown = forgetting.plane_view(found, setting, base)
        assert isinstance(shown, svg.Drawing)
        said = texts(shown)
        assert {
            f"{100 * spot.task[0]:.1f} %",
            f"{100 * spot.skills[0]:.1f} %",
            f"{spot.loss:.3g}",
            *SKILLS,
        } <= set(said)
        assert shown.text.startswith(str(setting))
        # every setting, the chosen one with its ring, and the key of what is there
        assert len(elements(shown.svg, "circle")) == len(found) + 2 + 3
        corner = forgetting.plane_view(found, setting, base, zoom=True)
        assert shown.text == corner.text and texts(corner)


def test_a_run_made_here_says_how_far_it_is_from_the_grid(found):
    setting = PlaneSetting()
    spot = found[setting]
    inside = LiveRun(
        1,
        setting,
        3,
        24,
        [(1, 0.9), (24, 0.1)],
        spot.task[0],
        {n: v[0] for n, v in spot.by_skill.items()},
    )
    outside = dataclasses.replace(
        inside, number=2, task=spot.task[2] - 0.1, by_skill=dict.fromkeys(SKILLS, 1.0)
    )
    stopped = LiveRun(3, setting, 5, 7, [(1, 0.9), (7, 0.5)])
    assert inside.gaps(spot) == ((0, True), (pytest.approx(0), True))
    (gap, within), (more, _) = outside.gaps(spot)
    assert gap == pytest.approx(spot.task[2] - 0.1 - spot.task[0])
    assert more > 0
    assert not within
    shown = forgetting.plane_view(
        found, setting, {}, [inside, outside, stopped], [(1, 0.9), (2, 0.8)]
    )
    assert {"1", "2"} <= set(texts(shown))
    assert "run 1 (seed 3): task" in shown.text
    assert "outside their range" in shown.text
    assert "run 3: 7 steps, stopped before it was measured" in shown.text


def test_every_position_of_the_controls_is_the_pure_view(panel, found, monkeypatch):
    """It is drawn from what was read beforehand: no file is opened and torch is not called."""
    monkeypatch.setattr("builtins.open", None)
    seen = set()
    with TorchCalls() as calls:
        for chosen in every_position(panel, *playground.CONTROLS):
            setting = panel.setting(**chosen)
            shown = forgetting.plane_view(found, setting, panel.base)
            assert (panel.html, panel.text) == (shown.svg, shown.text)
            assert (setting in found) == ("is not in the grid; nearest: " not in shown.text)
            seen.add(setting)
    assert seen > {setting for setting in found if setting.offered}
    assert not calls, calls.largest


def test_a_panel_may_show_some_of_its_controls_and_call_train_otherwise(rows, tmp_path):
    few = lab.open_playground(rows, tmp_path, "Tune it now", controls=("lr",))
    assert few.buttons["train"].description == "Tune it now"
    assert few.status.value.startswith("Tune it now makes")
    shown = [name for name, control in few.controls.items() if control.layout.display != "none"]
    assert shown == ["lr"]
    # a hidden control keeps its value
    few.choose(lr=2e-3)
    assert few.values()["r"] == HOT["r"]
    with pytest.raises(UserError, match="there is no control 'rank'"):
        lab.open_playground(rows, tmp_path, controls=("rank",))


def test_no_control_moves_another_one(panel):
    assert panel.values() == {**HOT, "zoom": False}
    offered = {name: options(panel.controls[name]) for name in playground.CONTROLS}
    assert offered["r"] == [4, 16]
    assert offered["lr"] == [2e-4, 5e-4, 8e-4, 2e-3, 8e-3]
    assert offered["replay"] == [0.0, 0.2]
    panel.controls["epochs"].value = 1
    panel.controls["replay"].value = 0.2
    panel.controls["method"].value = "full"
    assert panel.values() == {**HOT, "method": "full", "epochs": 1, "replay": 0.2, "zoom": False}
    assert {name: options(panel.controls[name]) for name in playground.CONTROLS} == offered
    assert panel.text.startswith(
        "full fine-tuning, lr 0.008, 1 epoch, 20 % replay is not in the grid; "
        "nearest: full fine-tuning, lr 0.0008, 2 epochs; "
    )
    assert any("is not in the grid; nearest" in said for said in texts(panel.shown))


@pytest.mark.parametrize(
    ("asked", "near"),
    [
        ({"r": 16, "lr": 2e-3, "epochs": 2}, {"r": 16, "lr": 2e-3, "epochs": 2}),
        ({"r": 64, "lr": 8e-3, "epochs": 6}, {"r": 16, "lr": 8e-3, "epochs": 2}),
        ({"method": "dora", "r": 16, "lr": 5e-4}, {"method": "dora", "r": 16, "lr": 2e-3}),
        ({"lr": 2e-3, "targets": "q,v", "epochs": 1}, {"lr": 2e-3, "targets": "q,v", "epochs": 2}),
        ({"lr": 3e-3, "replay": 0.1}, {"lr": 2e-3, "replay": 0.0}),
    ],
)
def test_what_comes_nearest(found, asked, near):
    assert plane.nearest_setting(PlaneSetting(**asked), found) == PlaneSetting(**near)


def test_paths_join_one_method_over_rising_rates(found):
    joined = {
        tuple(spot.setting.lr for spot in path): path[0].setting
        for path in plane.paths(found.values())
    }
    assert set(joined) == {(5e-4, 2e-3, 8e-3), (2e-4, 8e-4)}
    assert all(len(path) > 1 for path in plane.paths(found.values()))


def test_the_corner_can_be_zoomed_and_names_the_frontier(panel, found):
    whole = panel.html
    panel.controls["zoom"].value = True
    assert panel.html != whole
    said = texts(panel.shown)
    assert {"90", "95", "98", "99.5"} <= set(said) and "50" not in said
    inside = [s for s in plane.frontier(found.values()) if min(s.task[0], s.skills[0]) >= 0.9]
    assert {spot.setting.short for spot in inside} <= set(said)
    panel.controls["zoom"].value = False
    assert panel.html == whole
    assert {s.setting.short for s in plane.frontier(found.values())} <= set(texts(panel.shown))


def test_a_choice_that_the_grid_has_not_can_be_trained(panel):
    point = panel.point_of(PlaneSetting(r=4, lr=8e-3, targets="q,v", replay=0.2))
    assert (point.r, point.alpha, point.lr, point.replay) == (4, 16, 8e-3, 0.2)
    assert (point.targets, point.rows, point.batch_size) == ("q,v", 8, 4)
    full = panel.point_of(PlaneSetting("full", 0, 8e-3, 1))
    assert (full.r, full.alpha, full.method) == (0, 0, "full")
    assert panel.point_of(PlaneSetting("dora", 4)).method == "dora"


def test_it_stands_in_a_page_that_shows_no_widget(panel):
    shown = live.still_bundle(panel.shown, panel.text, "x")
    assert {"text/plain", "text/html", "image/svg+xml"} == set(shown)
    assert shown["text/plain"] == repr(panel) == panel.text
    ET.fromstring(shown["image/svg+xml"])


def test_a_panel_opened_during_a_run_takes_it_over(panel, rows, tmp_path, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def slow(self, stop, watch):
        begun.set()
        while not stop():
            go_on.wait(0.01)
        raise UserError("it was stopped.")

    monkeypatch.setattr(Experiment, "run", slow)
    panel.train()
    assert begun.wait(60)
    newer = lab.open_playground(rows, tmp_path / "runs")
    assert "goes on, begun before this panel was opened" in newer.status.value
    assert newer.buttons["train"].disabled and not newer.buttons["stop"].disabled
    newer.train()
    assert "One run at a time" in newer.status.value
    newer.buttons["stop"].click()
    newer.wait(60)
    assert "it was stopped" in newer.status.value
    for each in (panel, newer):
        assert not each.buttons["train"].disabled and each.buttons["stop"].disabled
    assert playground.UNDER_WAY == []
    newer.stop()
    assert "no run to stop" in newer.status.value


def test_a_run_of_a_cell_is_told_in_the_panel(panel):
    with train.alone("the loop in cell 7"):
        panel.train()
        panel.wait(60)
    assert "the loop in cell 7" in panel.status.value
    assert not panel.buttons["train"].disabled


def test_train_runs_here_saves_pins_and_measures_as_the_grid_does(panel, found):
    panel.choose(epochs=1, lr=2e-3)
    setting, before = PlaneSetting(epochs=1), panel.html
    panel.train()
    panel.train()
    assert "One run at a time" in panel.status.value
    panel.controls["epochs"].value = 2  # the kernel is free meanwhile
    panel.controls["epochs"].value = 1
    panel.wait(300)
    assert panel.error is None
    (run,) = panel.runs
    assert (run.number, run.setting, run.seed, run.steps) == (1, setting, 3, 2)
    assert panel.text == forgetting.plane_view(found, setting, panel.base, [run]).text
    assert panel.html != before
    assert "run 1 (seed 3)" in panel.status.value
    assert "points from the finished runs" in panel.status.value
    assert "Runs made here" in panel.made.value
    assert not panel.buttons["train"].disabled
    assert panel.buttons["stop"].disabled
    record = json.loads((panel.out / "run-1" / "run.json").read_text())
    assert record["scores"] == {"task": run.task, "skills": run.by_skill}
    tuned, _, tokenizer = reopen(panel.out / "run-1")
    names = ["copy", "read_json"]
    again = forgetting.skills(tuned, tokenizer, names=names).rates
    assert {name: again[name].value for name in names} == {
        name: run.by_skill[name] for name in names
    }


def test_stop_leaves_an_adapter_that_loads(panel):
    panel.buttons["train"].click()
    panel.buttons["stop"].click()  # before the first step: it ends after it
    panel.wait(300)
    assert panel.error is None
    (run,) = panel.runs
    assert run.steps == 1
    assert run.task is None
    assert "stopped before it was measured" in panel.status.value
    model, _ = models.load("pocket")
    assert lora.is_attached(lora.load(model, panel.out / "run-1" / "adapter"))
    assert "–" in str(panel.table())


def test_an_error_ends_in_the_panel_and_the_next_run_may_start(panel, monkeypatch):
    for error, shown in (
        (UserError("the disk is full; give another folder."), "the disk is full"),
        (KeyError("x"), "KeyError"),
    ):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(Experiment, "run", fail)
        panel.train()
        panel.wait(60)
        assert panel.error is error
        assert shown in panel.status.value
        assert not panel.buttons["train"].disabled
    assert panel.runs == []


def test_a_number_is_never_given_twice(panel, monkeypatch):
    (panel.out / "run-1").mkdir(parents=True)
    asked = []
    monkeypatch.setattr(Experiment, "run", lambda self, *_: asked.append(self.recipe.seed) or [][0])
    panel.train()
    panel.wait(60)
    assert asked == [4]  # run-2


def test_a_run_is_measured_as_the_grid_measures(panel, monkeypatch):
    monkeypatch.setattr(playground, "TESTED", 10)
    model, tokenizer = models.load("pocket")
    test = data.first(data.load("tickets")["test"], 10)
    job = playground.Job(PlaneSetting(), panel)
    scores = playground.score(model, tokenizer, points.Point(), job)
    assert scores == measuring.score_run(model, tokenizer, test)
    job.halt.set()
    assert playground.score(model, tokenizer, points.Point(), job) is None


def test_a_run_without_validation_is_the_same_run():
    point = points.Point(rows=8, batch_size=4, epochs=2, evaluations=2)
    validated, plain = (
        dataclasses.replace(point, evaluations=n).experiment().run()[0] for n in (2, 0)
    )
    assert validated.validation
    assert not plain.validation
    assert validated.losses == plain.losses
    for (name, one), (_, other) in zip(
        validated.model.named_parameters(), plain.model.named_parameters(), strict=True
    ):
        assert torch.equal(one, other), name


@pytest.mark.skipif(
    not data_path("grids", "playground.json").is_file(),
    reason="data/grids/playground.json has not been made",
)
def test_every_position_of_the_shipped_grid():
    panel = lab.open_playground()
    assert panel.values() == {**HOT, "zoom": False}
    assert lab.open_playground(zoom=True).values() == {**HOT, "zoom": True}
    for setting, spot in panel.spots.items():
        assert spot.seeds == 3, setting
        texts(forgetting.plane_view(panel.spots, setting, panel.base))
    assert set(panel.spots[PlaneSetting()].by_skill) == set(panel.base)


def test_a_grid_without_runs_for_the_controls_is_refused(rows):
    with pytest.raises(UserError, match="no run for the controls"):
        lab.open_playground([row for row in rows if row.kl])


def test_a_run_left_in_its_thread_uses_the_threads_that_were_set(panel, monkeypatch):
    seen = []
    monkeypatch.setattr(Experiment, "run", lambda *_: seen.append(torch.get_num_threads()) or [][0])
    panel.train()
    panel.wait(60)
    assert seen == [torch.get_num_threads()]
