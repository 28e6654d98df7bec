"""A page to be read: nothing from elsewhere, words for every picture, dark and light."""

import re

import pytest

from ftkit import UserError
from ftkit.core.results import Table
from ftkit.show import Section, document, lines
from ftkit.show.svg import drawing


def picture():
    return lines({"a": [(0, 1), (1, 2)]}, "x", "y").describe("It <rises>", "from 1 to ≈2")


def test_a_page_needs_nothing_from_elsewhere():
    table = Table("≈3 rows", ("a", "b"), [("<b>", "≈1.5"), ("x", "y")])
    drawn = drawing("A title", [], "what it shows")
    sections = [
        Section("One & all", ["A sentence."], [table, picture(), drawn]),
        Section("Two", ["What: this.", "No colon."], listed=True),
    ]
    page = document("The <title>", ["A lead."], sections)
    # but for the names that SVG gives its own tags
    assert set(re.findall(r"https?://[^/]+", page)) == {"http://www.w3.org"}
    without_pictures = re.sub(r'src="data:image/svg[^"]*"', "", page)
    assert not re.search(r"https?:|<script|@import|url\(", without_pictures)
    assert "prefers-color-scheme:dark" in page and "@media print" in page
    assert '<meta name="viewport"' in page and '<html lang="en">' in page
    assert re.findall(r'<a href="#([^"]+)"', page) == ["one-all", "two"]
    assert re.findall(r'<h2 id="([^"]+)"', page) == ["one-all", "two"]
    assert "<li><strong>What:</strong> this.</li><li>No colon.</li>" in page
    assert "The &lt;title&gt;" in page and "&lt;b&gt;" in page and "≈" not in page
    assert [alt for alt in re.findall(r'<img alt="([^"]*)"', page)] == [
        "It &lt;rises&gt;. from 1 to 2",
        "what it shows",
    ]
    assert page.count('tabindex="0"') == 3


def test_the_same_picture_is_the_same_text():
    one, other = (document("t", [], [Section("s", shown=[picture()])]) for _ in range(2))
    assert one == other


def test_a_figure_without_words_is_refused():
    with pytest.raises(UserError, match=r"figure.describe\(title\)"):
        document("t", [], [Section("s", shown=[lines({"a": [(0, 1)]}, "x", "y")])])
