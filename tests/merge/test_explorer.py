"""The merging explorer: what is drawn is what was computed, at every position, in bounds."""

import pytest
import torch
from pictures import TorchCalls, elements, every_position, numbers, texts

from ftkit import merge, quant
from ftkit.merge import explorer

FORMATS = ("bfloat16", "int8", "nf4")


@pytest.fixture(scope="module")
def matrices():
    g = torch.Generator().manual_seed(0)
    names = [f"model.layers.{i}.mlp.{m}" for i in (0, 1) for m in ("up_proj", "down_proj")]
    starts = {"as trained": {n: torch.randn(128, 64, generator=g) for n in names}}
    starts["on the levels"] = {
        n: quant.quantize(W, "nf4").dequantize() for n, W in starts["as trained"].items()
    }
    return starts, {n: 0.03 * torch.randn(128, 64, generator=g) for n in names}


def test_every_position(matrices):
    starts, updates = matrices
    panel = merge.explore_rounding(starts, updates, merge.round_update, FORMATS)
    assert list(panel.values().values()) == [0, "up_proj", "as trained", "bfloat16", 1.0]
    seen = set()
    for chosen in every_position(panel):
        layer, matrix, W, format, factor = chosen.values()
        name = f"layers.{layer}.mlp.{matrix}"
        start, update = starts[W][f"model.{name}"], factor * updates[f"model.{name}"]
        rounded = merge.round_update(start, update, format)
        shown = merge.rounding_view(rounded, name, f"{format}, W {W}, ΔW × {factor:g}")
        assert (panel.html, panel.text) == (shown.svg, shown.text)
        seen.add(panel.text)
    assert len(seen) == 2 * 2 * 2 * len(FORMATS) * len(merge.FACTORS)


def test_a_position_that_was_seen_is_not_computed_again(matrices):
    panel = merge.explore_rounding(*matrices, merge.round_update, FORMATS)
    first = [panel.text for _ in every_position(panel, "format", "factor")]
    with TorchCalls() as calls:
        assert [panel.text for _ in every_position(panel, "format", "factor")] == first
    assert not calls, calls.largest


def test_the_picture_is_whole_and_inside_its_bounds(matrices):
    starts, updates = matrices
    name = next(iter(updates))
    rounded = merge.round_update(starts["on the levels"][name], 50 * updates[name], "nf4")
    shown = merge.rounding_view(rounded, name, "nf4")
    dots = [numbers(dot, "cx", "cy") for dot in elements(shown.svg, "circle")]
    assert explorer.DOTS <= len(dots) <= 2 * explorer.DOTS
    assert all(60 <= x <= 480 and 62 <= y <= 288 for x, y in dots)
    assert f"{100 * rounded.kept:.0f} %" in texts(shown)


def test_an_update_of_nothing():
    W = torch.zeros(8, 64)
    W[:, 0] = 1
    shown = merge.rounding_view(merge.round_update(W, 1e-30 * torch.ones(8, 64), "nf4"))
    assert "kept" in shown.text
