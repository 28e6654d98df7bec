"""The memory explorer: what is drawn is what was computed, at every position, in bounds."""

from unittest.mock import Mock

import pytest
from pictures import TorchCalls, elements, numbers, options, texts

from ftkit import memory
from ftkit.memory import CHOICES, PARTS, explorer
from ftkit.memory.explorer import COLOURS, GIB
from ftkit.models import architecture

CARDS = {name: 0.95 * memory.usable_bytes(name) for name in memory.cards()}
MODELS = {
    name: architecture.read(name)["max_position_embeddings"]
    for name in ("llama-3.1-8b", "qwen2.5-0.5b", "llama-2-7b")
}
OTHER = {
    "model": "llama-2-7b", "length": 4096, "batch": 4, "method": "full", "rank": 64, "checkpoint": "off",
    "optimizer": "adamw_8bit", "loss": "tiled", "card": "A100 40",
}  # fmt: skip


@pytest.fixture
def panel():
    return memory.explore_fits(memory.predict, CARDS, MODELS, CHOICES)


def widths(svg, part):
    """The widths of a part's boxes, its swatch of 10 among them."""
    boxes = [box for box in elements(svg, "rect") if box.get("fill") == COLOURS[part]]
    return [width for box in boxes for width in numbers(box, "width")]


def expected(values):
    """What the panel must show, asked of the formula itself."""
    names = {"length": "seq", "checkpoint": "checkpointing"}
    options = {
        names.get(k, k): v == "on" if k == "checkpoint" else v
        for k, v in values.items()
        if k not in ("model", "card")
    }
    return memory.memory_view(
        memory.predict(values["model"], **options), values["card"], CARDS[values["card"]]
    )


def test_every_part_has_a_colour_of_its_own():
    assert set(COLOURS) == set(PARTS)
    assert len(set(COLOURS.values())) == len(PARTS)


@pytest.mark.parametrize("name", OTHER)
def test_every_control_moves_the_picture(panel, name):
    before = panel.html
    panel.controls[name].value = OTHER[name]
    assert panel.html != before
    shown = expected(panel.values())
    assert (panel.html, panel.text) == (shown.svg, shown.text)


def test_every_value_of_every_control_asks_the_formula_once_and_no_torch():
    predict, seen = Mock(wraps=memory.predict), set()
    panel = memory.explore_fits(predict, CARDS, MODELS, CHOICES)
    assert set(panel.controls) == set(OTHER)
    with TorchCalls() as calls:
        for chosen in panel.controls.values():
            for value in options(chosen):
                moved = chosen.value != value
                predict.reset_mock()
                chosen.value = value
                assert predict.call_count == moved
                assert panel.html == expected(panel.values()).svg
                seen.add(panel.text)
    assert len(seen) > 30
    assert not calls, calls.largest


def test_a_row_is_never_longer_than_the_model_takes(panel):
    panel.controls["length"].value = 131072
    panel.controls["model"].value = "llama-2-7b"
    assert panel.values()["length"] == max(options(panel.controls["length"])) == 4096


@pytest.mark.parametrize("method", CHOICES["method"])
@pytest.mark.parametrize("card", CARDS)
def test_the_verdict_is_the_sum_and_the_bar_is_to_scale(method, card):
    found = memory.predict("llama-3.1-8b", method=method)
    shown = memory.memory_view(found, card, CARDS[card])
    assert ("does not fit" in shown.text) is (found.peak > CARDS[card])
    assert (
        f"{abs(CARDS[card] - found.peak) / GIB:,.2f} GiB {'too much' if found.peak > CARDS[card] else 'left'}"
        in shown.text
    )
    unit = explorer.WIDE / explorer.axis_end(max(found.peak, CARDS[card]))
    for part, size in found.parts.items():
        assert bool(widths(shown.svg, part)[:1]) is bool(size)
        if size:
            assert widths(shown.svg, part)[0] == pytest.approx(size / GIB * unit, abs=0.06)
    written = set(texts(shown))
    assert {f"{size / GIB:,.3f} GiB" for size in found.parts.values() if size} <= written
    assert {f"{size / GIB:,.2f}" for size in found.phases.values()} <= written


def test_stacks_share_one_axis():
    found = {method: memory.predict("llama-3.1-8b", method=method) for method in CHOICES["method"]}
    shown = memory.steps_view(found, "Three methods")
    bars = widths(shown.svg, "weights")
    assert len(bars) == 3 + 1, "a bar for each, and the swatch"
    for width, ledger in zip(bars, found.values(), strict=False):
        assert width / bars[0] == pytest.approx(
            ledger.parts["weights"] / found["full"].parts["weights"], abs=1e-3
        )
    assert all(
        f"{name} {ledger.peak / GIB:,.3f} GiB" in shown.text for name, ledger in found.items()
    )
    assert texts(shown)


@pytest.mark.parametrize(("size", "end"), [(0.5, 1), (15.9, 24), (16, 24), (15, 16), (2000, 2200)])
def test_the_axis_ends_beyond_what_it_shows(size, end):
    assert explorer.axis_end(size * GIB) == pytest.approx(end)
