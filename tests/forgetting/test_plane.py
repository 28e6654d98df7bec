"""The plane's numbers: spots over seeds, the frontier, and a run made here beside the grid."""

import dataclasses
import itertools
import statistics
from types import SimpleNamespace

import pytest

from ftkit.forgetting import LiveRun, PlaneSetting, plane

SKILLS = ("known", "copy", "sort", "write_json", "read_json")
SEEDS = (0, 1, 2)


def grid_row(setting, seed):
    """A row of a grid that nobody ran: hotter learns more and keeps less; a seed moves both."""
    heat = min(1, setting.lr * 125 * setting.epochs) - setting.replay / 4
    skills = {name: round(1 - 0.12 * i * heat - 0.01 * seed, 4) for i, name in enumerate(SKILLS)}
    curve = [(step, 0.9 / step + 0.001 * seed) for step in range(1, 12 * setting.epochs, 2)]
    measured = {"trainable": 1000, "task": 0.3 + 0.6 * heat + 0.01 * seed, "skills": skills}
    return SimpleNamespace(**dataclasses.asdict(setting), **measured, curve=curve)


@pytest.fixture(scope="module")
def rows():
    settings = [PlaneSetting(lr=lr, epochs=e) for lr in (5e-4, 2e-3, 8e-3) for e in (1, 2)]
    settings += [PlaneSetting(replay=0.2), PlaneSetting(method="full", r=0), PlaneSetting(kl=0.1)]
    return [grid_row(setting, seed) for setting in settings for seed in SEEDS]


@pytest.fixture(scope="module")
def spots(rows):
    return plane.gather_spots(rows)


def test_a_spot_is_the_mean_and_the_range_of_its_seeds(rows, spots):
    assert len(spots) == len(rows) / 3
    for setting, spot in spots.items():
        runs = [row for row in rows if PlaneSetting.of(row) == setting]
        assert spot.seeds == len(runs) == 3
        shares = [run.task for run in runs]
        assert spot.task == (pytest.approx(statistics.fmean(shares)), min(shares), max(shares))
        kept = [statistics.fmean(run.skills.values()) for run in runs]
        assert spot.skills == pytest.approx((statistics.fmean(kept), min(kept), max(kept)))
        assert [step for step, *_ in spot.curve] == [step for step, _ in runs[0].curve]
        assert all(low <= mean <= high for _, mean, low, high in spot.curve)
        sort = statistics.fmean(run.skills["sort"] for run in runs)
        assert spot.by_skill["sort"].value == pytest.approx(sort)
        assert spot.loss == spot.curve[-1][1]


def test_the_frontier_is_what_nothing_beats(spots):
    edge = plane.frontier(spots.values())
    for one in spots.values():
        pair = one.task.value, one.skills.value
        others = [(spot.task.value, spot.skills.value) for spot in spots.values()]
        beaten = any(o[0] >= pair[0] and o[1] >= pair[1] and o != pair for o in others)
        assert beaten != any((spot.task.value, spot.skills.value) == pair for spot in edge)
    assert all(
        a.skills.value > b.skills.value and a.task.value < b.task.value
        for a, b in itertools.pairwise(edge)
    )


def test_a_setting_in_words_leaves_out_what_is_usual():
    assert str(PlaneSetting()) == "LoRA r = 16, lr 0.002, 2 epochs"
    assert str(PlaneSetting(method="full", r=0, epochs=1)) == "full fine-tuning, lr 0.002, 1 epoch"
    means = PlaneSetting(targets="q,v", replay=0.2, replayed="self", weight_decay=0.1, kl=0.3)
    assert means.aside == (
        "2 epochs, on q,v, 20 % replay of its own answers, weight decay 0.1, KL 0.3"
    )
    assert PlaneSetting().offered and not means.offered


def live_run(spot, number=1):
    """A run made here that came out as the grid's mean did."""
    skills = {name: seeds.value for name, seeds in spot.by_skill.items()}
    return LiveRun(number, spot.setting, 3, 24, [(1, 0.9), (24, 0.1)], spot.task.value, skills)


def test_a_run_made_here_says_how_far_it_is_from_the_grid(spots):
    spot = spots[PlaneSetting()]
    inside = live_run(spot)
    assert inside.gaps(spot) == ((0, True), (pytest.approx(0), True))
    text = plane.describe_run(inside, spots)
    assert text.startswith("run 1 (seed 3): task ≈")
    assert "outside" not in text

    perfect = dict.fromkeys(SKILLS, 1.0)
    outside = dataclasses.replace(inside, number=2, task=spot.task.high - 0.1, by_skill=perfect)
    task, skills = outside.gaps(spot)
    assert task.above == pytest.approx(spot.task.high - 0.1 - spot.task.value)
    assert skills.above > 0
    assert not task.inside
    assert "outside their range" in plane.describe_run(outside, spots)


def test_a_run_that_was_stopped_or_has_no_spot_says_so(spots):
    setting = PlaneSetting()
    stopped = LiveRun(3, setting, 5, 7, [(1, 0.9), (7, 0.5)])
    said = plane.describe_run(stopped, spots)
    assert said == "run 3: 7 steps, stopped before it was measured"
    elsewhere = dataclasses.replace(live_run(spots[setting]), setting=PlaneSetting(lr=0.123))
    assert "grid" not in plane.describe_run(elsewhere, spots)
