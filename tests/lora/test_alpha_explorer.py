"""Alpha and the learning rate, drawn: every position of the sliders against the pure view, and the
means over seeds that it shows.
"""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from pictures import TorchCalls, every_position, sweep, texts

from ftkit import UserError, lora

ALPHAS, LRS = (4, 8.0, 16.0), (0.001, 0.002, 0.004, 0.008)


def row(alpha, lr, seed, task, skill, **more):
    """One run of a grid, with what the explorer reads of it."""
    setting = {"data": "tickets", "r": 8, "targets": "all-linear", "epochs": 2}
    place = {"alpha": alpha, "lr": lr, "seed": seed}
    measured = {"task": task, "skills": {"copy": skill, "sort": 1.0}}
    return SimpleNamespace(**{**setting, **place, **measured, **more})


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    runs = [
        row(a, b, s, rng.random(), rng.random())
        for a in ALPHAS
        for b in LRS
        for s in range(3)
        if (a, b) != (16, 0.008)
    ]
    full = [row(0, lr, 0, 1.0, 1.0, r=0) for lr in np.linspace(1e-4, 1e-3, 20)]
    return [
        *full,
        row(2, 0.001, 0, 1.0, 1.0, r=1),
        *runs,
        row(16, 0.3, 0, 0.0, 0.0, targets=["q_proj"]),
    ]


def test_every_position_of_the_alpha_explorer(rows):
    panel = lora.explore_alphas(rows)
    assert (panel.controls["alpha"].value, panel.controls["lr"].value) == (8, 0.004)
    for alpha, lr in itertools.product(ALPHAS, LRS):
        panel.controls["alpha"].value, panel.controls["lr"].value = alpha, lr
        shown = lora.alpha_view(lora.alpha_grid(rows), alpha, lr)
        assert (panel.html, panel.text) == (shown.svg, shown.text)
        assert f"alpha = {alpha:g} (scale {alpha / 8:g}), lr = {lr:g}" in panel.text
        texts(shown)
        for name in panel.controls:
            sweep(panel, name)


def test_cells_are_means_over_seeds_of_the_largest_grid(rows):
    grid = lora.alpha_grid(rows)
    assert sorted(grid) == [(a, b) for a in ALPHAS for b in LRS if (a, b) != (16, 0.008)]
    runs = [r for r in rows if (r.alpha, r.lr, r.targets) == (16, 0.002, "all-linear")]
    tasks = [r.task for r in runs]
    skills = [(r.skills["copy"] + 1) / 2 for r in runs]
    cell = grid[16, 0.002]
    assert (cell.r, cell.seeds) == (8, 3)
    assert cell.task == pytest.approx((sum(tasks) / 3, min(tasks), max(tasks)))
    assert cell.skills == pytest.approx((sum(skills) / 3, min(skills), max(skills)))


def test_rows_without_a_lora_are_refused(rows):
    with pytest.raises(UserError, match="no LoRA run among the 1 rows"):
        lora.alpha_grid(rows[:1])


def test_the_alpha_view_in_numbers():
    grid = lora.alpha_grid(
        [row(8, 0.001, s, t, t) for s, t in ((0, 0.5), (1, 0.7))] + [row(16, 0.002, 0, 1.0, 1.0)]
    )
    shown = lora.alpha_view(grid, 8, 0.001)
    assert shown.text == (
        "r = 8, alpha = 8 (scale 1), lr = 0.001: task right ≈60.0 % [50.0, 70.0], "
        "skills kept ≈80.0 % [75.0, 85.0], mean and range of 2 seeds"
    )
    written = texts(shown)
    assert written.count("60.0") == 1 and written.count("–") == 4, (
        "two maps of four squares, two of them without runs"
    )
    assert lora.alpha_view(grid, 16, 0.001).text.endswith("lr = 0.001: no run here")
    assert lora.alpha_view(grid, 16, 0.002).text.endswith("mean and range of 1 seed")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ((32, 0.001), r"alpha is 32; the grid has runs at 4, 8, 16\."),
        ((8, 0.5), r"lr is 0\.5; the grid has runs at 0\.001, 0\.002, 0\.004, 0\.008\."),
    ],
)
def test_a_place_beside_the_grid_is_refused(rows, place, message):
    with pytest.raises(UserError, match=message):
        lora.alpha_view(lora.alpha_grid(rows), *place)


def test_it_is_drawn_without_torch(rows):
    panel = lora.explore_alphas(rows)
    with TorchCalls() as calls:
        assert sum(1 for _ in every_position(panel)) == len(ALPHAS) * len(LRS)
    assert not calls, calls.largest
