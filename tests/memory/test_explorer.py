"""The memory explorer: what is drawn is what was computed, at every position, in bounds."""

import pytest
from pictures import TorchCalls, elements, every_position, numbers, options, sweep, texts

from ftkit import UserError, memory
from ftkit.core.results import GIB
from ftkit.memory import METHODS, PARTS, explorer
from ftkit.memory.explorer import COLOURS

CARDS = {name: 0.95 * memory.usable_bytes(name) for name in memory.cards()}
MODELS = ("llama-3.1-8b", "qwen2.5-0.5b", "llama-2-7b")
OTHER = {
    "model": "llama-2-7b", "length": 4096, "batch": 4, "method": "full", "rank": 64,
    "checkpoint": "off", "optimizer": "adamw_8bit", "loss": "tiled", "card": "A100 40",
}  # fmt: skip


@pytest.fixture
def panel():
    return memory.explore_fits(MODELS)


def widths(svg, part):
    """The widths of a part's boxes, its swatch of 10 among them."""
    boxes = [box for box in elements(svg, "rect") if box.get("fill") == COLOURS[part]]
    return [numbers(box, "width")[0] for box in boxes]


def expected(values):
    """What the panel must show, asked of the formula itself."""
    choices = dict(values)
    model, card = choices.pop("model"), choices.pop("card")
    choices["seq"] = choices.pop("length")
    choices["checkpointing"] = choices.pop("checkpoint") == "on"
    return memory.memory_view(memory.predict(model, **choices), card, CARDS[card])


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


def test_every_value_of_every_control_is_shown_without_a_call_of_torch(panel):
    assert set(panel.controls) == set(OTHER)
    seen = set()
    for control in panel.controls.values():
        for value in options(control):
            with TorchCalls() as calls:
                control.value = value
            assert not calls
            assert panel.html == expected(panel.values()).svg
            seen.add(panel.text)
    assert len(seen) > 30


@pytest.mark.parametrize("name", ["model", "batch", "method", "optimizer", "loss", "card"])
def test_no_two_positions_of_a_control_show_the_same(panel, name):
    panel.controls["method"].value = "full"
    sweep(panel, name)


def test_the_cards_can_be_chosen():
    panel = memory.explore_fits(["qwen2.5-0.5b"], ["L4 24"])
    assert options(panel.controls["card"]) == ["L4 24"]
    assert options(memory.explore_fits(MODELS).controls["card"]) == list(CARDS)


def test_a_row_is_never_longer_than_the_model_takes(panel):
    panel.controls["length"].value = 131072
    panel.controls["model"].value = "llama-2-7b"
    assert panel.values()["length"] == max(options(panel.controls["length"])) == 4096


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("card", CARDS)
def test_the_verdict_is_the_sum_and_the_bar_is_to_scale(method, card):
    ledger, limit = memory.predict("llama-3.1-8b", method=method), CARDS[card]
    shown = memory.memory_view(ledger, card, limit)
    beyond = ledger.peak > limit
    assert ("does not fit" in shown.text) is beyond
    gap = f"{abs(limit - ledger.peak) / GIB:,.2f} GiB {'too much' if beyond else 'left'}"
    assert gap in shown.text
    unit = explorer.BAR.width / explorer.axis_end(max(ledger.peak, limit))
    for part, size in ledger.parts.items():
        assert bool(widths(shown.svg, part)[:1]) is bool(size)
        if size:
            assert widths(shown.svg, part)[0] == pytest.approx(size / GIB * unit, abs=0.06)
    written = set(texts(shown))
    assert {f"{size / GIB:,.3f} GiB" for size in ledger.parts.values() if size} <= written
    assert {f"{size / GIB:,.2f}" for size in ledger.phases.values()} <= written


def test_a_step_is_drawn_in_gb_as_the_guides_write():
    ledger = memory.predict("llama-3.1-8b", method="qlora", batch=6, seq=512)
    shown = memory.memory_view(ledger, "a guide", 12e9, unit="GB")
    written = " ".join(texts(shown))
    assert "GiB" not in written + shown.text
    assert "a guide: 12.00 GB" in written
    assert (
        f"{ledger.peak / 1e9:.2f} GB at the peak: fits, {12 - ledger.peak / 1e9:.2f} GB" in written
    )
    # the bar and the line lie on the same axis as in GiB, only its unit is another one
    long = explorer.BAR.width * ledger.parts["weights"] / 1e9 / explorer.axis_end(12e9, "GB")
    assert widths(shown.svg, "weights")[0] == pytest.approx(long, abs=0.06)


def test_bytes_are_written_in_two_units_only():
    ledger = memory.predict("llama-3.1-8b", method="qlora")
    with pytest.raises(UserError, match="unit is 'MB'; give 'GiB' or 'GB'"):
        memory.memory_view(ledger, "a card", 12e9, unit="MB")


def test_stacks_share_one_axis():
    ledgers = {m: memory.predict("llama-3.1-8b", method=m) for m in METHODS}
    shown = memory.steps_view(ledgers, "Three methods")
    *bars, _swatch = widths(shown.svg, "weights")
    assert len(bars) == 3
    full = ledgers["full"].parts["weights"]
    for width, ledger in zip(bars, ledgers.values(), strict=True):
        assert width / bars[0] == pytest.approx(ledger.parts["weights"] / full, abs=1e-3)
    for name, ledger in ledgers.items():
        assert f"{name} {ledger.peak / GIB:,.3f} GiB" in shown.text
    assert {"full", "lora", "qlora"} <= set(texts(shown))


@pytest.mark.parametrize(("size", "end"), [(0.5, 1), (15.9, 24), (16, 24), (15, 16), (2000, 2200)])
def test_the_axis_ends_beyond_what_it_shows(size, end):
    assert explorer.axis_end(size * GIB) == pytest.approx(end)


def test_a_course_has_the_peak_of_the_trace_and_every_part_as_an_area():
    options = {"method": "lora", "seq": 64, "checkpointing": False, "loss": "full"}
    course = memory.trace_course("pocket", **options)
    assert course.peak == memory.trace("pocket", every_layer=True, **options).peak
    phases = list(dict.fromkeys(phase for phase, _ in course.moments))
    assert phases[0] == "forward" and phases[-1] == "optimizer"
    weights = [parts[PARTS.index("weights")] for _, parts in course.moments]
    assert len(set(weights)) == 1, "what goes when the step is over is no part of it"
    limits = {"half": 0.5 * course.peak, "twice": 2 * course.peak}
    shown = memory.course_view(course.moments, limits, "Pocket")
    colours = {area.get("fill") for area in elements(shown.svg, "polygon")}
    assert {COLOURS[part] for part in ("weights", "activations", "logits")} <= colours
    assert shown.text.endswith("; more than half")
    assert any(said.startswith("twice: ") for said in texts(shown))
    parts = [said for said in texts(shown) if said in ("forward", "loss", "backward", "optimizer")]
    assert parts == ["forward", "loss", "backward", "optimizer"]
    assert not {"bottom", "end", "top back"} & set(texts(shown))


def test_fewer_moments_keep_every_phase_and_the_peak():
    moments = [("forward", (i % 7, 0)) for i in range(100)] + [("loss", (50, 1)), ("loss", (3, 3))]
    kept = explorer.thin_out(moments, 20)
    assert len(kept) <= 21
    assert max(sum(parts) for _, parts in kept) == 51
    assert list(dict.fromkeys(phase for phase, _ in kept)) == ["forward", "loss"]
    assert explorer.thin_out(moments, 500) == moments


def test_courses_are_chosen_by_name():
    course = memory.trace_course("pocket", method="lora", seq=32)
    panel = memory.explore_courses({"one": course, "two": course}, ["T4 16"])
    assert [panel.text.split(":")[0] for _ in every_position(panel)] == ["one", "two"]
