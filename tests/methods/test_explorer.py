"""The methods drawn: every name is there, every control can be moved, what is wrong is named."""

import re
from dataclasses import replace

import pytest
from method_rows import ROWS

from ftkit import UserError, methods
from ftkit.core.statistics import Interval
from ftkit.methods.comparing import Difference


@pytest.fixture(scope="module")
def found():
    return methods.outcomes(ROWS)


def test_score_by_rate_names_each_method(found):
    figure = methods.rates_figure(found, ["lora", "ia3", "prompt, text"])
    (ax,) = figure.axes
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["LoRA", "IA³", "prompt tuning, text"]
    assert len({line.get_marker() for line in ax.lines}) == 4  # told apart without colours
    assert ax.get_xscale() == "log" and len(ax.lines) == 4  # three methods and the bar
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


def test_rates_that_crowd_do_not_write_over_each_other(found):
    """All rates of one method at one place: only the one that is looked at has its name."""
    (one, *_) = [outcome for outcome in found if outcome.label == "lora"]
    crowd = [replace(one, lr=lr) for lr in (1e-3, 2e-3, 4e-3)]
    drawn = methods.methods_view(crowd, "lora", rate=2)
    names = re.findall(r">(0\.00\d)<", drawn.svg)
    assert names == ["0.002"]
