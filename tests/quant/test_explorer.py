"""The quantization explorer: what is drawn is what was computed, at every position, in bounds and
in time.
"""

import statistics
import time
import xml.etree.ElementTree as ET

import pytest
import torch

from ftkit import quant, show


@pytest.fixture(scope="module")
def weights():
    g = torch.Generator().manual_seed(0)
    return {
        f"model.layers.{i}.mlp.{m}": torch.randn(d, 64, generator=g)
        for i in (0, 1)
        for m, d in (("up_proj", 128), ("down_proj", 64))
    }


def test_a_look_counts_every_weight_once(weights):
    W = next(iter(weights.values()))
    for format in quant.BITS:
        seen = quant.inspect_weight(W, format, 64)
        assert sum(seen.taken) == sum(seen.counts) == W.numel()
        back = quant.quantize(W, format, 64)
        levels = quant.levels(format)[back.codes.long()]
        assert seen.taken == [int((levels == level).sum()) for level in seen.levels]
        assert seen.error == quant.error(W, format, 64)
        assert seen.bits == quant.bits(format, 64)
        assert f"of {len(seen.levels)}" in str(seen)


def test_every_position(weights):
    panel = quant.explore_formats(weights, quant.inspect_weight, list(quant.BITS), (16, 64, 4096))
    assert {name: chosen.value for name, chosen in panel.controls.items()} == {
        "layer": 0,
        "matrix": "up_proj",
        "format": "nf4",
        "block": 64,
    }
    seen, seconds = set(), []
    for layer in (0, 1):
        panel.controls["layer"].value = layer
        for matrix in ("up_proj", "down_proj"):
            panel.controls["matrix"].value = matrix
            for format in quant.BITS:
                panel.controls["format"].value = format
                for block in (16, 64, 4096):
                    began = time.perf_counter()
                    panel.controls["block"].value = block
                    seconds.append(time.perf_counter() - began)
                    name = f"layers.{layer}.mlp.{matrix}"
                    shown = quant.quant_view(
                        quant.inspect_weight(weights[f"model.{name}"], format, block), name
                    )
                    assert (panel.html, panel.text) == (shown.svg, shown.text)
                    seen.add(panel.text)
    assert len(seen) == 4 * len(quant.BITS) * 3
    assert statistics.median(seconds) < 0.05


def test_the_picture_says_what_was_computed_inside_its_bounds(weights):
    W = next(iter(weights.values()))
    for format in quant.BITS:
        seen = quant.inspect_weight(W, format, 64)
        shown = quant.quant_view(seen)
        root = ET.fromstring(shown.svg)
        texts = list(root.iter("{http://www.w3.org/2000/svg}text"))
        said = ["".join(t.itertext()) for t in texts]
        assert {
            f"{100 * seen.error.relative:.2f} %",
            f"{seen.bits:.3f}",
            f"{sum(map(bool, seen.taken))} of {len(seen.levels)}",
        } <= set(said)
        assert all(0 < float(t.get("x")) < 760 and 8 < float(t.get("y")) < 330 for t in texts)
        bars = [
            b for b in root.iter("{http://www.w3.org/2000/svg}rect") if b.get("fill") == show.ACCENT
        ]
        assert len(bars) == len(seen.levels)
        tallest = max(range(len(bars)), key=lambda i: seen.taken[i])
        assert float(bars[tallest].get("height")) == max(float(b.get("height")) for b in bars)


def test_zeros_and_a_single_value_can_be_drawn():
    for W in (torch.zeros(4, 16), torch.ones(1, 1)):
        shown = quant.quant_view(quant.inspect_weight(W, "int2", 16))
        assert "error ≈0.0 %" in shown.text
