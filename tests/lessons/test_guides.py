"""The guides' arguments: what a signature is said to refuse, the library itself refuses, and what
replaces it is taken.
"""

import inspect

import pytest

from ftkit import UserError
from ftkit.lessons import guides


@pytest.fixture(scope="module")
def report():
    return guides.check_scripts()


def test_every_stated_argument_has_the_verdict_of_its_signature(report):
    """Asked anew, without the kit: bind the argument alone, in the place of **kwargs if need be."""
    stated = [
        (g, c, n)
        for g, calls in guides.scripts()["calls"].items()
        for c, names in calls.items()
        for n in names
    ]
    assert [(a.guide, a.call, a.name) for a in report.arguments] == stated
    for argument in report.arguments:
        signature = inspect.signature(guides.find_callable(argument.call))
        try:
            bound = signature.bind_partial(**{argument.name: None}).arguments
            expected = guides.TAKEN if argument.name in bound else guides.OPEN
        except TypeError:
            expected = guides.REFUSED
        assert argument.verdict == expected, argument


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("def call(a, *, b=1): pass", {"a": "taken", "b": "taken", "c": "refused"}),
        ("def call(a, **more): pass", {"a": "taken", "more": "open", "c": "open"}),
        ("def call(*more): pass", {"more": "refused", "c": "refused"}),
        ("def call(a, /): pass", {"a": "refused"}),
    ],
)
def test_a_verdict_is_read_off_the_signature(monkeypatch, signature, said):
    namespace = {}
    exec(signature, namespace)
    monkeypatch.setattr(guides, "find_callable", lambda _: namespace["call"])
    assert {name: guides.verdict("call", name) for name in said} == said


def test_what_is_refused_raises_when_it_is_called(report):
    assert report.of(guides.REFUSED)
    for argument in report.of(guides.REFUSED):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{argument.name}'"):
            guides.find_callable(argument.call)(**{argument.name: None})


def test_what_replaces_it_is_in_the_signature(report):
    for argument in report.of(guides.REFUSED):
        call, name = argument.instead.split()
        assert name in inspect.signature(guides.find_callable(call)).parameters


def test_what_is_taken_is_in_the_signature(report):
    for argument in report.of(guides.TAKEN):
        assert argument.name in inspect.signature(guides.find_callable(argument.call)).parameters
        assert argument.instead == ""


def test_keywords_that_take_any_name_are_not_called_taken():
    assert (
        guides.verdict("transformers.AutoModelForCausalLM.from_pretrained", "no_such_name")
        == guides.OPEN
    )
    assert guides.verdict("transformers.BitsAndBytesConfig", "load_in_4bit") == guides.TAKEN


def test_an_unknown_name_gets_the_nearest_spelling_and_a_cure_that_is_gone_is_not_offered():
    stated = {
        "calls": {"X": {"trl.SFTConfig": ["max_lenght", "zzz"]}},
        "instead": {"trl.SFTConfig zzz": "trl.SFTConfig max_seq_length"},
    }
    found = guides.check_scripts(stated)
    assert [(a.verdict, a.instead) for a in found.arguments] == [
        (guides.REFUSED, "trl.SFTConfig max_length"),
        (guides.REFUSED, ""),
    ]
    assert "2 of 2 arguments are refused" in str(found)
    assert "?" in str(found)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("trl.SFTTrainr", r"trl has no 'SFTTrainr'\. Did you mean 'SFTTrainer'\?"),
        ("nolib.x", "nolib is not installed"),
    ],
)
def test_a_call_that_is_not_there_is_one_sentence(call, said):
    with pytest.raises(UserError, match=said):
        guides.find_callable(call)
