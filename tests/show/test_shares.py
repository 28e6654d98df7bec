"""Bars of shares: each as long as its share, with its range, and said in one line."""

import re

from ftkit import show


def widths(drawn):
    found = re.findall(r"width=.([\d.]+). height=.20.0.", drawn.svg)
    return [float(width) for width in found]


def test_a_bar_is_as_long_as_its_share_and_the_line_says_it():
    drawn = show.share_bars("Shares", {"a": 0.5, "b": (0.25, 0.1, 0.3), "c": 1.2}, "n = 3")
    lengths = [w for w in widths(drawn) if w != 420.0]
    assert lengths == [210.0, 105.0]
    assert drawn.text == "Shares: a 50.0 %, b 25.0 %, c 120.0 %"
    assert drawn.svg.count("<polyline") == 1  # the range of b alone
    assert "n = 3" in drawn.svg


def test_a_bar_may_have_a_colour_of_its_own():
    drawn = show.share_bars("S", {"a": 0.5, "b": 0.25}, colours={"b": "#123456"})
    assert drawn.svg.count("#123456") == 1 and drawn.svg.count("#d1495b") == 1


def test_a_range_of_nothing_has_no_line():
    assert "<polyline" not in show.share_bars("S", {"a": (0.5, 0.5, 0.5)}).svg
