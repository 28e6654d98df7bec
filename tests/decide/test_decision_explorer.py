"""The widget shows what `choose` says, wherever its menus stand."""

import html
import re

import pytest

from ftkit import decide
from ftkit.decide import decision_explorer


@pytest.mark.parametrize(
    ("answers", "boxes"),
    [
        ({"lacks": "facts"}, ["✓ retrieve"]),
        ({"lacks": "both", "rows": 80}, ["✓ retrieve", "✓ tune"]),
        ({"tests": False}, ["✓ a test set"]),
        ({"prompted": "is enough"}, ["✓ prompt"]),
    ],
)
def test_what_is_recommended_is_ticked(answers, boxes):
    found = decide.choose(**answers)
    drawn = decide.decision_view(found)
    names = decision_explorer.NAMES.values()
    assert [f"✓ {name}" for name in names if f">✓ {name}<" in drawn.svg] == sorted(
        boxes, key=[f"✓ {name}" for name in names].index
    )
    assert drawn.text == f"{found.what}, because {found.why}; next: {found.then}"


def test_the_guides_are_quoted_and_nothing_runs_out_of_the_picture():
    drawn = decide.decision_view(decide.choose(lacks="both", rows=80))
    shown = html.unescape(drawn.svg)
    assert "The guides disagree: How many rows is it worth it from?" in shown
    assert "The Fine-Tuning Decision: “Do you have < 1000 examples?”" in shown
    # every guide's sentence is there to its last word, broken into lines
    found = decide.choose(lacks="both", rows=80)
    words = re.sub(r"</text>.*?>", " ", shown)
    for asked in found.guides:
        assert all(f": “{said.sentence}”" in words for said in asked.sayings)
    feet = [float(part.split("'")[0]) for part in shown.split(" y='")[1:]]
    assert max(feet) <= float(shown.partition('height="')[2].partition('"')[0])


def test_a_moved_menu_is_another_recommendation():
    panel = decide.explore_decision()
    assert panel.text.startswith("prompt, because")
    panel.choose(lacks="facts", facts_change="weekly")
    assert panel.text.startswith("retrieve, because")
    panel.choose(lacks="nothing", calls="millions", rows=1000)
    assert panel.text.startswith("tune, because")


def test_every_position_is_saved_as_one_page(tmp_path):
    page = decide.explore_decision().save(tmp_path / "decision.html")
    assert page.stat().st_size < 100_000
