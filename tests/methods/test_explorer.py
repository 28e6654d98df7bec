"""The methods drawn: every name is there, every control can be moved, what is wrong is named."""

import re
from dataclasses import replace

import pytest
from method_rows import ROWS

from ftkit import UserError, methods
from ftkit.core.statistics import Interval
from ftkit.methods.comparing import Difference
from ftkit.show.svg import PLAIN


@pytest.fixture(scope="module")
def found():
    return methods.outcomes(ROWS)


def test_rates_have_a_row_per_method_and_their_scores(found):
    (ax,) = methods.rates_figure(found).axes
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    assert names == ["full fine-tuning", "LoRA", "IA³", "prompt tuning, text"]  # by their own rate
    assert ax.get_xscale() == "log" and ax.yaxis_inverted()
    scores = {text.xy: text.get_text() for text in ax.texts}
    of_lora = [one for one in found if one.label == "lora"]
    assert all(scores[one.lr, 1] == f"{100 * one.exact.value:.0f}" for one in of_lora)
    # what reaches the bar is filled, and the ring stands at the own rate
    dots = [line for line in ax.lines if len(line.get_xydata()) == 1 and line.get_marker() == "o"]
    filled = {tuple(dot.get_xydata()[0]) for dot in dots if dot.get_mfc() == PLAIN}
    assert {(one.lr, 1) for one in of_lora if one.exact.value >= 0.9} <= filled
    assert all((one.lr, 1) not in filled for one in of_lora if one.exact.value < 0.9)
    rings = [dot.get_xydata()[0] for dot in dots if dot.get_mfc() == "none"]
    assert [tuple(ring) for ring in rings] == [(1e-3, 0), (4e-3, 1), (1e-1, 2), (3e-1, 3)]
    (ax,) = methods.rates_figure(found, ["ia3"]).axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["IA³"]
    with pytest.raises(UserError, match=r"method is 'lorra'; the rows have lora.*'lora'\?"):
        methods.rates_figure(found, ["lorra"])


def test_the_plane_shows_all_methods_and_the_rates_of_one(found):
    drawn = methods.methods_view(found, "lora")
    for name in ("IA³", "prompt tuning, text", "full fine-tuning"):
        assert name in drawn.svg
    for rate in ("0.001", "0.004", "0.01"):
        assert f">{rate}<" in drawn.svg
    assert drawn.text == (
        "LoRA at rate 0.004: task ≈95.0 %, skills ≈92.0 %, worst copy ≈92.0 %, sort ≈92.0 %; "
        "100 trained"
    )
    assert "at rate 0.01:" in methods.methods_view(found, "lora", 3).text
    with pytest.raises(UserError, match="rate is 4; this method has the rates 1 to 3"):
        methods.methods_view(found, "lora", 4)


def test_every_position_of_the_controls_can_be_seen(found):
    panel = methods.explore_methods(found)
    seen = set()
    for label in ("full", "lora", "ia3", "prompt, text"):
        panel.choose(method=label)
        seen.add(panel.text)
        rates = panel.controls["rate"].options
        panel.choose(rate=rates[-1][1])
        seen.add(panel.text)
    assert len(seen) >= 6


def test_differences_have_their_p(found):
    figure = methods.differences_figure(methods.differences(ROWS))
    labels = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert any(label.startswith("IA³ (p ") for label in labels)


def test_only_what_the_corrected_p_settles_is_in_colour():
    change = Interval(0.03, 0.01, 0.05)
    found = [Difference("lora", change, p) for p in (0.04, 0.12)]
    dots = methods.differences_figure(found).axes[0].lines[:2]
    assert [dot.get_color() == "gray" for dot in dots] == [True, False], "the first row is on top"


def test_a_difference_far_off_the_others_is_written_at_the_edge():
    near = [
        Difference(label, Interval(x, x - 0.02, x + 0.02), 0.5)
        for label, x in (("lora", 0.01), ("oft", 0.02), ("dora", -0.01))
    ]
    far = Difference("ia3", Interval(-0.42, -0.53, -0.32), 0.03)
    (ax,) = methods.differences_figure([*near, far]).axes
    (said,) = ax.texts
    assert said.get_text() == "← −42 [−53, −32]" and said.xy == (0.01, 0)  # the lowest row
    assert ax.get_xlim()[0] > -10 and said.get_color() != "gray"
    # nothing is hidden where all are of a kind, and one that reaches in from afar is drawn
    assert not methods.differences_figure(near).axes[0].texts
    wide = Difference("vera", Interval(-0.2, -0.45, 0.05), 0.5)
    assert not methods.differences_figure([*near, wide]).axes[0].texts


def test_a_picture_of_nothing_is_refused():
    with pytest.raises(UserError, match=r"no differences to draw; give those of methods\.diff"):
        methods.differences_figure([])
    with pytest.raises(UserError, match=r"no outcomes to draw; give those of methods\.outcomes"):
        methods.rates_figure([])


def test_rates_that_crowd_do_not_write_over_each_other(found):
    """All rates of one method at one place: only the one that is looked at has its name."""
    (one, *_) = [outcome for outcome in found if outcome.label == "lora"]
    crowd = [replace(one, lr=lr) for lr in (1e-3, 2e-3, 4e-3)]
    drawn = methods.methods_view(crowd, "lora", rate=2)
    names = re.findall(r">(0\.00\d)<", drawn.svg)
    assert names == ["0.002"]
