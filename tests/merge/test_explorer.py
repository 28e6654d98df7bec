"""The merging explorer: what is drawn is what was computed, at every position, in bounds and in
time.
"""

import statistics
import time
import xml.etree.ElementTree as ET

import pytest
import torch

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
    panel = merge.explore_arrivals(starts, updates, merge.what_arrives, FORMATS)
    assert panel.values() == {
        "layer": 0,
        "matrix": "up_proj",
        "W": "as trained",
        "format": "bfloat16",
        "factor": 1.0,
    }
    seen, seconds = set(), []
    for layer in (0, 1):
        for W in starts:
            for format in FORMATS:
                for factor in merge.FACTORS:
                    began = time.perf_counter()
                    for name, value in {
                        "layer": layer,
                        "W": W,
                        "format": format,
                        "factor": factor,
                    }.items():
                        panel.controls[name].value = value
                    seconds.append(time.perf_counter() - began)
                    name = f"model.layers.{layer}.mlp.up_proj"
                    arrived = merge.what_arrives(starts[W][name], factor * updates[name], format)
                    shown = merge.arrival_view(
                        arrived, name.removeprefix("model."), f"{format}, W {W}, ΔW × {factor:g}"
                    )
                    assert (panel.html, panel.text) == (shown.svg, shown.text)
                    seen.add(panel.text)
    assert len(seen) == 2 * 2 * len(FORMATS) * len(merge.FACTORS)
    assert statistics.median(seconds) < 0.05


def test_the_picture_is_whole_and_inside_its_bounds(matrices):
    starts, updates = matrices
    name = next(iter(updates))
    arrived = merge.what_arrives(starts["on the levels"][name], 50 * updates[name], "nf4")
    shown = merge.arrival_view(arrived, name, "nf4")
    dots = [e for e in ET.fromstring(shown.svg).iter() if e.tag.endswith("circle")]
    assert explorer.DOTS <= len(dots) <= 2 * explorer.DOTS
    assert all(60 <= float(d.get("cx")) <= 480 and 62 <= float(d.get("cy")) <= 288 for d in dots)
    assert f"{100 * arrived.kept:.0f} %" in shown.svg


def test_an_update_of_nothing():
    W = torch.zeros(8, 64)
    W[:, 0] = 1
    shown = merge.arrival_view(merge.what_arrives(W, 1e-30 * torch.ones(8, 64), "nf4"))
    assert "kept" in shown.text
