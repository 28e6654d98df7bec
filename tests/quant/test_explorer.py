"""The quantization explorer: what is drawn is what was computed, at every position, in bounds."""

import pytest
import torch
from pictures import elements, every_position, numbers, sweep, texts

from ftkit import quant, show


@pytest.fixture(scope="module")
def weights():
    g = torch.Generator().manual_seed(0)
    made = {}
    for layer in (0, 1):
        for matrix, d_out in (("up_proj", 128), ("down_proj", 64)):
            made[f"model.layers.{layer}.mlp.{matrix}"] = torch.randn(d_out, 64, generator=g)
    return made


def test_every_position(weights):
    panel = quant.explore_formats(weights, (16, 64, 4096))
    start = {"layer": 0, "matrix": "up_proj", "format": "nf4", "block": 64}
    assert panel.values() == start
    seen = set()
    for chosen in every_position(panel):
        name = f"layers.{chosen['layer']}.mlp.{chosen['matrix']}"
        asked = quant.inspect_weight(weights[f"model.{name}"], chosen["format"], chosen["block"])
        shown = quant.quant_view(asked, name)
        assert (panel.html, panel.text) == (shown.svg, shown.text)
        seen.add(panel.text)
    assert len(seen) == 4 * len(quant.BITS) * 3


def test_every_control_changes_the_picture(weights):
    panel = quant.explore_formats(weights)
    for name in panel.controls:
        sweep(panel, name)


def test_the_picture_says_what_was_computed_inside_its_bounds(weights):
    W = next(iter(weights.values()))
    for format in quant.BITS:
        seen = quant.inspect_weight(W, format, 64)
        shown = quant.quant_view(seen)
        assert {
            f"{100 * seen.error.relative:.2f} %",
            f"{seen.bits_per_weight:.3f}",
            f"{seen.levels_in_use} of {len(seen.levels)}",
        } <= set(texts(shown))
        bars = [bar for bar in elements(shown.svg, "rect") if bar.get("fill") == show.ACCENT]
        assert len(bars) == len(seen.levels)
        heights = [numbers(bar, "height")[0] for bar in bars]
        tallest = max(range(len(bars)), key=lambda i: seen.taken[i])
        assert heights[tallest] == max(heights)


def test_zeros_and_a_single_value_can_be_drawn():
    for W in (torch.zeros(4, 16), torch.ones(1, 1)):
        shown = quant.quant_view(quant.inspect_weight(W, "int2", 16))
        assert "error ≈0.0 %" in shown.text
