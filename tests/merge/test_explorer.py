"""The merging explorer: what is drawn is what was computed, at every position, in bounds."""

import pytest
import torch
from pictures import TorchCalls, elements, every_position, numbers, sweep, texts

from ftkit import merge, quant
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
