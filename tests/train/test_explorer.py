"""The batch explorer: it counts what the rows hold, at every position, and draws inside its bounds."""

import statistics
import time
import xml.etree.ElementTree as ET

import pytest

from ftkit import train
from ftkit.show import ACCENT
from ftkit.train import explorer

SVG = "{http://www.w3.org/2000/svg}"
ROWS = [[(10 + i % 7, 3 + i % 5)] for i in range(21)]
ORDERS = {
    "as drawn": ROWS,
    "by length": sorted(ROWS, key=lambda r: sum(r[0])),
    "packed": [[example for row in ROWS[i : i + 3] for example in row] for i in range(0, 21, 3)],
}


def test_padding_is_what_fills_up_to_the_longest():
    assert train.padded([[(3, 2)], [(1, 1)], [(4, 4)]], packed=False) == 3 + 6
    assert train.padded([[(3, 2)], [(1, 1)], [(4, 4)]], packed=True) == 0
    assert train.padded([[(3, 2), (4, 1)]], packed=False) == 0


def test_every_position():
    panel = train.explore_batches(ORDERS, (1, 4, 8))
    assert panel.controls["size"].value == 8
    seen, seconds = set(), []
    for order, rows in ORDERS.items():
        panel.controls["order"].value = order
        for size in (1, 4, 8):
            panel.controls["size"].value = size
            batches = [rows[i : i + size] for i in range(0, len(rows), size)]
            assert [value for _, value in panel.controls["step"].options] == list(
                range(len(batches))
            )
            for step in range(len(batches)):
                began = time.perf_counter()
                panel.controls["step"].value = step
                seconds.append(time.perf_counter() - began)
                seen.add((order, size, panel.text))
                drawn = [
                    b
                    for b in ET.fromstring(panel.html).iter(f"{SVG}rect")
                    if b.get("fill") == ACCENT
                ]
                assert len(drawn) == sum(map(len, batches[step]))
    assert len(seen) == sum(-(-len(rows) // size) for rows in ORDERS.values() for size in (1, 4, 8))
    assert statistics.median(seconds) < 0.05


def test_the_shares_are_those_of_the_epoch():
    shown = explorer.batch_view([[[(6, 2)], [(2, 2)]], [[(4, 4)]]], 0)
    assert "2 steps an epoch, padding ≈16.7 %, carrying loss ≈33.3 %" in shown.text
    assert "batch 0 has 2 rows" in shown.text


@pytest.mark.parametrize("count", [1, 3, 16])
def test_a_batch_stays_inside_its_picture(count):
    shown = explorer.batch_view([ROWS[:count]], 0)
    root = ET.fromstring(shown.svg)
    assert all(
        0 < float(t.get("x")) < 760 and 8 < float(t.get("y")) < 316 for t in root.iter(f"{SVG}text")
    )
    for bar in list(root.iter(f"{SVG}rect"))[1:]:
        assert float(bar.get("x")) + float(bar.get("width")) <= 560
        assert float(bar.get("y")) + float(bar.get("height")) <= 290


def test_tokens_are_drawn_one_box_each_and_wrap():
    tokens, learned = ["<|user|>", " hello", "\n", "<b>"] * 30, [False, False, True, True] * 30
    shown = train.tokens_view(tokens, learned, [t.startswith("<|") for t in tokens])
    assert shown.text == "120 tokens, 60 of them carry loss, 30 are marks of the template"
    root = ET.fromstring(shown.svg)
    texts = ["".join(t.itertext()) for t in root.iter(f"{SVG}text")]
    assert texts[1:5] == ["<|user|>", "·hello", "⏎", "<b>"]
    boxes = list(root.iter(f"{SVG}rect"))[1:]
    assert len(boxes) == 120
    assert len({b.get("y") for b in boxes}) > 3
    assert max(float(b.get("x")) + float(b.get("width")) for b in boxes) <= 744
    height = float(root.get("viewBox").split()[3])
    assert max(float(b.get("y")) + float(b.get("height")) for b in boxes) < height
