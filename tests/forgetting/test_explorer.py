"""The plane's picture: whole, inside its bounds, and true to the numbers that it is given."""

import dataclasses

import pytest
from pictures import elements, texts

from ftkit import forgetting
from ftkit.core.statistics import Range
from ftkit.forgetting import LiveRun, PlaneSetting, explorer, plane
from ftkit.show import svg

SKILLS = ("known", "copy", "sort")


def spot(setting, task, skills):
    """A spot whose seeds lie a percent apart."""
    seeds = Range(skills, skills - 0.01, skills + 0.01)
    curve = [(step, 1 / step, 0.9 / step, 1.1 / step) for step in range(1, 24)]
    return plane.Spot(
        setting=setting,
        seeds=3,
        trainable=1000,
        task=Range(task, task - 0.01, task + 0.01),
        skills=seeds,
        by_skill=dict.fromkeys(SKILLS, seeds),
        curve=curve,
    )


@pytest.fixture(scope="module")
def spots():
    places = {
        PlaneSetting(): (0.95, 0.9),
        PlaneSetting(lr=8e-3): (0.98, 0.6),
        PlaneSetting(replay=0.2): (0.9, 0.98),
        PlaneSetting(method="full", r=0): (0.85, 0.8),
    }
    return {setting: spot(setting, *shares) for setting, shares in places.items()}


def test_axes_are_stretched_towards_a_hundred_and_keep_the_order():
    places = [explorer.stretch(percent / 100) for percent in range(101)]
    assert places == sorted(places)
    assert (places[0], places[100]) == (-1, 0)
    assert places[100] - places[99] == pytest.approx(0.1)


def test_every_setting_is_drawn_inside_its_bounds(spots):
    base = dict.fromkeys(SKILLS, 1.0)
    for setting, here in spots.items():
        shown = forgetting.plane_view(spots, setting, base)
        assert isinstance(shown, svg.Drawing)
        numbers = {f"{100 * here.task.value:.1f} %", f"{100 * here.skills.value:.1f} %"}
        assert {*numbers, f"{here.loss:.3g}", *SKILLS} <= set(texts(shown))
        assert shown.text.startswith(str(setting))
        # every spot, the chosen one with its ring, and the key, in which no run was made here
        assert len(elements(shown.svg, "circle")) == len(spots) + 2 + 3
        assert "run here" not in texts(shown) and "full" in texts(shown)


def test_where_only_the_rate_differs_it_is_the_name_and_no_full_run_is_in_the_key(spots):
    rates = [PlaneSetting(lr=lr) for lr in (1e-3, 2e-3, 4e-3)]
    given = list(spots.values())
    alone = {
        setting: dataclasses.replace(spot, setting=setting)
        for setting, spot in zip(rates, given, strict=False)
    }
    shown = texts(forgetting.plane_view(alone, rates[0]))
    # each of them, those that another one beats as well
    named = [said for said in shown if said.startswith("lr 0.00")]
    assert sorted(named) == ["lr 0.001", "lr 0.002", "lr 0.004"]
    assert not [said for said in shown if said.startswith("LoRA, ")]
    assert "full" not in shown and "both axes are stretched towards 100 %" in shown


def test_runs_made_here_are_numbered_and_a_stopped_one_has_only_its_loss(spots):
    setting = PlaneSetting()
    run = LiveRun(1, setting, 3, 24, [(1, 0.9), (24, 0.1)], 0.94, dict.fromkeys(SKILLS, 0.5))
    elsewhere = dataclasses.replace(run, number=2, setting=PlaneSetting(lr=0.1))
    stopped = LiveRun(3, setting, 5, 7, [(1, 0.9), (7, 0.5)])
    plain = forgetting.plane_view(spots, setting)
    shown = forgetting.plane_view(spots, setting, {}, [run, elsewhere, stopped], [(1, 0.9)])
    assert {"1", "2"} <= set(texts(shown))
    assert "3" not in texts(shown)
    more = len(elements(shown.svg, "circle")) - len(elements(plain.svg, "circle"))
    assert more == 3  # two runs, and the mark of such in the key
    for part in ("run 1 (seed 3): task", "run 2: task", "run 3: 7 steps, stopped"):
        assert part in shown.text
