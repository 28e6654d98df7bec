"""Figures, and what a claim makes of them."""

import math

import pytest

from ftkit import verdicts
from ftkit.core import Rate
from ftkit.verdicts import Claim, Figure

INF = math.inf


def claim(judge=verdicts.each, measure=lambda: [Figure("x", 1.0, said=(0, 2))], **columns):
    usual = {"id": "L1", "sentence": "x is 1", "kind": "C", "sources": ("G1",), "decides": "x()"}
    usual |= {"rule": "as it is", "notebook": "02"}
    return Claim(measure=measure, judge=judge, **(usual | columns))


@pytest.mark.parametrize(
    ("value", "low", "high", "said", "answer"),
    [
        (1, None, None, (1, 1), True),
        (1.1, None, None, (1, 1), False),
        (1, 0.5, 1.5, (0, 2), True),
        (1, 0.5, 2.5, (0, 2), None),
        (5, 4, 6, (0, 2), False),
        (0, None, None, (0, INF), False),  # above 0 is not 0
        (0, 0, 0, (-INF, 0), False),
        (1, 0.1, 2, (0, INF), True),
        (1, -1, 2, (0, INF), None),
        (1, math.nan, math.nan, (0, INF), None),
        (1, 0.5, 1.5, None, None),
    ],
)
def test_an_answer_is_yes_no_or_not_known(value, low, high, said, answer):
    assert Figure("x", value, low, high, said=said).answer is answer


def test_what_was_written_stands_for_what_is_rounded_to_it():
    assert verdicts.as_written("0.78") == pytest.approx((0.775, 0.785))
    assert verdicts.as_written("131,072") == (131072, 131072)


def test_figures_say_what_they_were_taken_of():
    seeds = verdicts.of_seeds("x", {0: 1.0, 1: 2.0, 2: 3.0}, said=(0, 9))
    assert (seeds.value, seeds.seeds) == (2.0, 3) and seeds.low < 1 < 3 < seeds.high
    assert "3 seeds" in seeds.in_words and seeds.measured
    rate = verdicts.of_rate("x", Rate(8, 10))
    assert (rate.value, rate.n) == (0.8, 10) and rate.low < 0.8 < rate.high
    assert not verdicts.exact("x", 3).measured and verdicts.exact("x", 3, "GB").in_words == "3 GB"


def test_a_single_seed_settles_nothing():
    alone = verdicts.of_seeds("x", [1.0], said=(0, 2))
    assert alone.answer is None and claim().verdict([alone]) == "cannot be told"


def test_a_changed_figure_changes_the_word():
    settled = claim().settle()
    assert settled.verdict == "holds"
    (figure,) = settled.figures
    assert settled.claim.verdict([figure._replace(value=3.0)]) == "fails"
    assert settled.claim.verdict([figure._replace(seeds=3)]) == "holds here"
    assert settled.claim.verdict([figure._replace(low=-1, high=3)]) == "cannot be told"


def test_a_word_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'true', which is none of"):
        claim(judge=lambda figures: "true").settle()


def test_a_settled_claim_shows_figures_rule_source_and_cell():
    settled = claim(quote={"G1": "x is <1>"}).settle()
    shown = str(settled)
    for part in ("L1 · HOLDS · x is 1", "0 to 2", "Rule: as it is", "How to Fine-Tune", "x()"):
        assert part in shown
    page = settled._repr_html_()
    assert "x is &lt;1&gt;" in page and "<pre>x()</pre>" in page
    assert {"torch", "python", "processor"} <= settled.machine.keys()


def test_a_source_is_a_title_and_a_date():
    assert verdicts.source("G1")["date"] == "March 2026"
    assert verdicts.source("paper")["date"] == "2021"
    assert verdicts.source("somebody") == {"id": "somebody", "title": "somebody", "date": ""}
