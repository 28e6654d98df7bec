"""The pictures of cost: to scale, in bounds, and every control moves them."""

import pytest
from pictures import TorchCalls, elements, numbers, options, sweep, texts

from ftkit import UserError, cost
from ftkit.cost import explorer
from ftkit.show.svg import ACCENT, PLAIN


@pytest.fixture
def panel():
    return cost.explore_cost()


def test_every_control_moves_the_picture_without_a_call_of_torch(panel):
    for name in panel.controls:
        with TorchCalls() as calls:
            sweep(panel, name)
        assert not calls


def test_the_extremes_stay_in_bounds(panel):
    for value in (0, -1):
        panel.choose(**{name: options(control)[value] for name, control in panel.controls.items()})
        assert len(texts(panel.shown)) > 10


def test_a_bar_reaches_from_one_outcome_to_the_other():
    found = cost.sensitivity()
    shown = cost.cost_view(found, {"one": (1, 2), "another": (0.5, 1.5)})
    bars = [box for box in elements(shown.svg, "rect") if box.get("fill") in (ACCENT, PLAIN)]
    assert len(bars) == len(found.swings)
    span, _ = explorer.axis_of([0.5, 2, *(s[1] for w in found.swings for s in w[1:])])
    frame = explorer.BARS.frame(span, (0, 1), log_x=True)
    for bar, swing in zip(bars, found.swings, strict=True):
        x, width = numbers(bar, "x", "width")
        low, high = sorted((swing.first[1], swing.last[1]))
        assert x == pytest.approx(frame.at(low, 0)[0], abs=0.1)
        assert x + width == pytest.approx(frame.at(high, 0)[0], abs=0.1)
    assert {"one says", "another says", "tokens per row", "2,048"} <= set(texts(shown))
    assert "one 60 min to 2.0 h" in shown.text


def test_an_axis_holds_what_it_shows():
    for hours in ([0.1, 2], [1e-4, 1e5], [5.0]):
        (begin, end), ticks = explorer.axis_of(hours)
        assert begin < min(hours) <= max(hours) < end and len(ticks) >= 2


def test_what_guides_say_of_this_size_stands_above(panel):
    assert "How to Fine-Tune an LLM" in panel.text and "Tecorb" in panel.text
    panel.choose(model="llama-3.1-70b", method="qlora", card="A100 80")
    assert "8.0 h to 16.0 h" in panel.text and "Tecorb" not in panel.text
    panel.choose(rows=300)
    assert "16.0 h" not in panel.text


def test_lines_cross_where_the_arithmetic_says():
    shown = cost.break_even_view({"api": (0, 0.01), "own": (100, 0.002)}, 20_000)
    assert shown.text.endswith("api and own cost the same after 12,500 calls")
    assert cost.break_even(0.01, 0.002, 100).calls == 12_500
    assert len(elements(shown.svg, "circle")) == 1
    assert {"api", "own", "calls", "money spent"} <= set(texts(shown))
    never = cost.break_even_view({"api": (0, 0.001), "own": (100, 0.002)}, 1000)
    assert "no two ways cost the same within 1,000 calls" in never.text
    assert "no two ways cost the same within 1,000 calls" in texts(never)


def test_the_crossing_is_said_in_the_picture_and_no_title_ends_in_a_colon():
    ways = {"api": (0, 0.01), "own": (100, 0.002)}
    shown = cost.break_even_view(ways, 20_000, "rows", "Tuning 8B")
    said = "api and own cost the same after 12,500 rows"
    assert shown.text == f"Tuning 8B: {said}" and said in texts(shown)
    assert cost.break_even_view(ways, 20_000).text.startswith("When has it paid? api and own cost")
    noted = cost.break_even_view(ways, 20_000, note="at $8 per million")
    assert "at $8 per million" in texts(noted) and said.split(" rows")[0] in noted.text
    # of several crossings the places, since their names are more than a line holds
    three = cost.break_even_view(ways | {"third": (10, 0.006)}, 50_000)
    assert "two lines cross after 2,500 and 12,500 and 22,500 calls" in texts(three)
    assert three.text.count("cost the same after") == 3


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: cost.break_even_view(dict.fromkeys("abcd", (0, 1)), 9), "costs names 4 ways"),
        (lambda: cost.break_even_view({}, 9), "costs names 0 ways; give 1 to 3"),
        (lambda: cost.break_even_view({"a": (0, 0)}, 9), "nothing is spent on a"),
        (lambda: cost.break_even_view({"a": (-1, 1)}, 9), "what a costs is -1"),
        (lambda: cost.break_even_view({"a": (0, 1)}, 0), "most is 0; give a number above 0"),
        (lambda: cost.cost_view(cost.sensitivity(of="money")), "found is a sensitivity of money"),
        (lambda: cost.cost_view(cost.sensitivity(), dict.fromkeys("abcd", (1, 2))), "4 guides"),
    ],
)
def test_what_cannot_be_drawn_is_a_sentence(call, said):
    with pytest.raises(UserError, match=said):
        call()


@pytest.mark.parametrize(("amount", "end"), [(120, 200), (1, 1), (81, 100), (0.03, 0.04)])
def test_an_axis_of_money_ends_at_a_round_number(amount, end):
    assert explorer.round_end(amount) == pytest.approx(end)
