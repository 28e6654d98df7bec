"""The decision is held to the guides' own examples, and every rule of it decides something."""

import itertools
import json

import pytest

from ftkit import UserError
from ftkit.decide import ANSWERS, QUESTIONS, Situation, cards, choose, choosing

PROMPT = choosing.PROMPT
RULES = {rule.name: rule for rule in choosing.RULES}
# One situation that each rule decides, and what it says.
DECIDED = {
    "no test set": ({"tests": False, "lacks": "facts"}, "build a test set"),
    "facts": ({"lacks": "facts", "rows": 10_000}, "retrieve"),
    "facts, and a format by prompt": ({"lacks": "both", "prompted": "not yet"}, "retrieve"),
    "facts, and a format to be tuned": ({"lacks": "both", "rows": 50}, "tune and retrieve"),
    "facts, and too few rows": ({"lacks": "format", "cites": True, "rows": 49}, "retrieve"),
    "it works, and costs little": ({"lacks": "nothing"}, "prompt"),
    "it works, and costs much": ({"prompted": "is enough", "latency": "tight"}, "tune"),
    "it works, and can't be taught yet": ({"lacks": "nothing", "private": True, "rows": 9}, PROMPT),
    "no prompt was tried": ({"lacks": "judgement", "prompted": "not yet"}, "prompt"),
    "behaviour that changes": ({"behaviour_changes": True}, "prompt"),
    "too few rows": ({"lacks": "judgement", "rows": 99}, "prompt"),
    "behaviour": ({"lacks": "judgement", "rows": 100}, "tune"),
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_every_rule_decides_a_situation(name):
    answers, what = DECIDED[name]
    found = choose(**answers)
    assert (found.rule, found.what) == (name, what)


def test_there_are_cards_enough_of_every_guide_and_outcome():
    dealt = cards()
    assert len(dealt) >= 30
    assert len({card.guide for card in dealt}) == 5
    assert {card.expected for card in dealt} == {rule.what for rule in choosing.RULES}


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.sentence[:40])
def test_a_guides_example_comes_out_as_it_says_or_its_disagreement_is_named(card):
    found = choose(card.situation)
    if not card.disputed:
        assert found.what == card.expected
        return
    # another guide says otherwise, and both are quoted
    assert found.what != card.expected
    question = choosing.question_of_guides(card.disputed)
    assert question in found.disagreements
    assert len({said.guide for said in question.sayings}) >= 2


def test_what_would_change_it_does():
    for answers, what in DECIDED.values():
        found = choose(**answers)
        for change, other in found.changes.items():
            name, value = change.split(" = ")
            typed = {"True": True, "False": False}.get(value, value)
            typed = int(value) if value.isdigit() else typed
            assert choose(found.situation, **{name: typed}).what == other != what


def test_every_combination_of_answers_has_one_recommendation():
    """The answers that matter, all of them: none raises, and only what is named comes out."""
    asked = {name: taken for name, taken in ANSWERS.items() if isinstance(taken, tuple)}
    asked |= {"rows": (0, 75, 1000), "calls": (1, 10**7)}
    del asked["tests"]
    seen = set()
    for values in itertools.product(*asked.values()):
        seen.add(choosing.rule_for(Situation(**dict(zip(asked, values, strict=True)))).name)
    assert seen == set(RULES) - {"no test set"}


def test_facts_that_have_to_be_cited_or_change_are_retrieved_whatever_else_is_wrong():
    assert choose(cites=True).what == choose(facts_change="weekly").what == "tune and retrieve"
    assert choose(lacks="nothing", cites=True).what == "prompt"


def test_a_recommendation_shows_its_reasons_and_the_sentences():
    found = choose(rows=100)
    said = str(found)
    assert said.startswith("Recommendation: tune\n  by the rule: behaviour\n  because: the failure")
    assert "“Do you have < 1000 examples?”" in said
    assert all(len(line) <= choosing.LINE for line in said.splitlines())
    assert "<table>" in found._repr_html_()
    assert json.loads(json.dumps(found.json()))["what"] == "tune"
    # where no guide asks for more rows, they are no question
    assert not any("rows" in asked.question for asked in choose(rows=1000).guides)


def test_every_question_is_asked_and_every_answer_is_a_field():
    assert set(ANSWERS) == set(QUESTIONS) == set(vars(Situation()))


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"lacks": "fcts"}, "lacks is 'fcts'; give one of format,"),
        ({"lacks": "fcts"}, "Did you mean 'facts'?"),
        ({"lacks": None}, "lacks is None"),
        ({"cites": 1}, "cites is 1; give one of False, True."),
        ({"tests": "yes"}, "tests is 'yes'; give one of False, True."),
        ({"rows": -1}, "rows is -1; give a whole number from 0 on."),
        ({"rows": 1.0}, "rows is 1.0;"),
        ({"rows": True}, "rows is True;"),
        ({"lack": "facts"}, "there is no question 'lack'; there are lacks, prompted"),
    ],
)
def test_an_answer_that_a_question_does_not_take_is_refused(answers, said):
    with pytest.raises(UserError) as error:
        choose(**answers)
    assert said in str(error.value)
