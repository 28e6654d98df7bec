"""The quantization explorer: what is drawn is what was computed, at every position, in bounds."""

from unittest.mock import Mock

import pytest
import torch
from pictures import TorchCalls, elements, every_position, numbers, options, sweep, texts

from ftkit import quant, show
from ftkit.quant import inspection


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


def test_a_moved_control_inspects_one_weight_once(weights, monkeypatch):
    inspect = Mock(wraps=quant.inspect_weight)
    monkeypatch.setattr(inspection, "inspect_weight", inspect)
    panel = quant.explore_formats(weights)
    for name, value in (("format", "int2"), ("block", 16), ("matrix", "down_proj"), ("layer", 1)):
        inspect.reset_mock()
        panel.controls[name].value = value
        inspect.assert_called_once()


def test_the_view_itself_calls_no_torch(weights):
    seen = quant.inspect_weight(weights["model.layers.0.mlp.up_proj"], "nf4", 64)
    with TorchCalls() as calls:
        quant.quant_view(seen)
    assert not calls, calls.largest


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


def test_a_weight_falls_to_the_level_that_the_quantizer_gives_it():
    panel = quant.explore_levels(0.1, ["nf4", "fp4"])
    offered = options(panel.controls["weight"])
    weights = torch.tensor(offered)
    for format in ("nf4", "fp4"):
        # each weight is the first of a block whose absmax is 0.1; zeros fill it up
        rows = torch.zeros(len(weights), 64)
        rows[:, 0], rows[:, 1] = weights, 0.1
        read_back = quant.quantize(rows, format).dequantize()[:, 0]
        for weight, back in zip(offered, read_back.tolist(), strict=True):
            panel.choose(format=format, weight=weight)
            assert f"read back {back:.4g}" in panel.text or abs(back) < 1e-8
            assert texts(panel.shown)


def test_the_code_stands_in_the_upper_half_of_its_byte():
    levels = quant.levels("nf4").tolist()
    shown = quant.level_view(0.05, 0.1, levels, neighbour=7)
    assert shown.text.startswith(
        "nf4: 0.05 of a block with absmax 0.1 is 0.500, takes level 0.4407"
    )
    assert "code 12 (1100), byte 199 with its neighbour" in shown.text
    bits = [said for said in texts(shown) if said in ("0", "1")]
    assert "11000111" in "".join(bits)
    assert texts(quant.level_view(0.0, 0.1, levels))
