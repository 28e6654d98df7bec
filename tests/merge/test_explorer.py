"""The merging explorer: what is drawn is what was computed, at every position, in bounds."""

import pytest
import torch
from pictures import TorchCalls, elements, every_position, numbers, sweep, texts

from ftkit import UserError, merge, quant
from ftkit.merge import explorer

FORMATS = ("bfloat16", "int8", "nf4")


@pytest.fixture(scope="module")
def starts():
    g = torch.Generator().manual_seed(0)
    names = [f"model.layers.{i}.mlp.{m}" for i in (0, 1) for m in ("up_proj", "down_proj")]
    trained = {name: torch.randn(128, 64, generator=g) for name in names}
    levels = {name: quant.quantize(W, "nf4").dequantize() for name, W in trained.items()}
    return {"as trained": trained, "on the levels": levels}


@pytest.fixture(scope="module")
def updates(starts):
    g = torch.Generator().manual_seed(1)
    return {name: 0.03 * torch.randn(128, 64, generator=g) for name in starts["as trained"]}


def test_every_position(starts, updates):
    panel = merge.explore_rounding(starts, updates, FORMATS)
    assert panel.values() == {
        "layer": 0,
        "matrix": "up_proj",
        "W": "as trained",
        "format": "bfloat16",
        "factor": 1.0,
    }
    seen = set()
    for chosen in every_position(panel):
        layer, matrix, start, format, factor = chosen.values()
        name = f"layers.{layer}.mlp.{matrix}"
        W, delta = starts[start][f"model.{name}"], factor * updates[f"model.{name}"]
        rounded = merge.round_update(W, delta, format)
        shown = merge.rounding_view(rounded, name, f"{format}, W {start}, ΔW × {factor:g}")
        assert (panel.html, panel.text) == (shown.svg, shown.text)
        seen.add(panel.text)
    assert len(seen) == 4 * len(starts) * len(FORMATS) * len(merge.FACTORS)


def test_a_position_that_was_seen_is_not_computed_again(starts, updates):
    panel = merge.explore_rounding(starts, updates, FORMATS)
    first = [panel.text for _ in every_position(panel, "format", "factor")]
    with TorchCalls() as calls:
        assert [panel.text for _ in every_position(panel, "format", "factor")] == first
    assert not calls, calls.largest


def test_every_control_changes_the_picture(starts, updates):
    panel = merge.explore_rounding(starts, updates, FORMATS)
    for name in panel.controls:
        sweep(panel, name)


def test_the_picture_is_whole_and_inside_its_bounds(starts, updates):
    name = next(iter(updates))
    rounded = merge.round_update(starts["on the levels"][name], 50 * updates[name], "nf4")
    shown = merge.rounding_view(rounded, name, "nf4")
    dots = [numbers(dot, "cx", "cy") for dot in elements(shown.svg, "circle")]
    assert explorer.DOTS <= len(dots) <= 2 * explorer.DOTS
    assert all(60 <= x <= 480 and 62 <= y <= 288 for x, y in dots)
    shares = (f"{100 * rounded.kept:.0f} %", f"{100 * rounded.error:.0f} %")
    assert {*shares, f"{100 * rounded.size:.1f} %"} <= set(texts(shown))


def test_an_update_that_is_lost_and_one_that_is_whole_say_so():
    """Beside a 1 in its block a tiny update rounds to zero, of which nothing arrives."""
    W = torch.zeros(8, 64)
    W[:, 0] = 1
    lost = merge.round_update(W, 1e-6 * (1 - W), "nf4")
    assert "kept ≈0.0 %" in merge.rounding_view(lost).text
    whole = merge.round_update(W, torch.full((8, 64), 0.5), "float32")
    assert "kept ≈100.0 %" in merge.rounding_view(whole).text
    least = merge.round_update(W, 1e-30 * torch.ones(8, 64), "nf4")  # its square is no float32
    assert "matrix merged in" in merge.rounding_view(least).text


RIGHT = {"in place": 0.0, "into the dequantized base": 0.905, "into the original base": 0.9}


def test_three_ways_to_merge_and_what_each_leaves():
    shown = merge.routes_view(RIGHT, 0.905)
    assert {"0 %", "90 %", *RIGHT} <= set(texts(shown))
    assert shown.text == (
        "three ways to merge a QLoRA, right as trained ≈90.5 %: in place ≈0.0 %, "
        "into the dequantized base ≈90.5 %, into the original base ≈90.0 %"
    )
    assert "Merged in place, what was trained in four bits is lost" in shown.svg
    kept = merge.routes_view(dict.fromkeys(RIGHT, 0.9), 0.905)
    assert "survives on every way" in kept.svg and "is lost" not in kept.svg
    with pytest.raises(UserError, match="right has in place; give in place, into the dequant"):
        merge.routes_view({"in place": 0.0}, 0.9)


@pytest.mark.parametrize(
    ("weight", "delta", "arrived"),
    [
        (0.25, 0.1, 0.0),
        (0.25, 0.13, 0.25),
        (0.35, 0.05, 0.25),
        (0.25, -0.3, -0.25),
        (0.9, 9.0, 0.0),
    ],
)
def test_a_weight_moves_by_whole_levels(weight, delta, arrived):
    """As `round_update` counts it: the level of W + ΔW less the level of W."""
    shown = merge.weight_view(weight, delta, [-1, -0.5, -0.25, 0, 0.25, 0.5, 1])
    assert f"; {arrived:.3f} arrives" in shown.text
    assert ("nothing of it arrives" in shown.text) == (arrived == 0)
    assert texts(shown)


def test_from_a_level_half_a_step_is_lost_and_between_two_it_may_arrive():
    panel = merge.explore_weight(quant.levels("nf4").tolist())
    found = {(c["W"], c["update"]): "falls back" not in panel.text for c in every_position(panel)}
    assert not any(found["on a level", u] for u in (0.1, 0.2, 0.3, 0.4))
    assert found["on a level", 0.6] and found["between two", 0.2]
    assert all(texts(panel.shown) for _ in every_position(panel))
