"""`decide`: answers as options, and a recommendation as text or JSON."""

import json

from verbs import invoke, modules_after

from ftkit import decide

HEAVY = {"torch", "transformers", "peft", "trl", "datasets", "matplotlib"}


def test_the_verb_says_what_choose_says():
    done = invoke("decide", "--lacks", "facts", "--facts-change", "weekly", "--cites")
    expected = decide.choose(lacks="facts", facts_change="weekly", cites=True)
    assert (done.exit_code, done.stdout) == (0, f"{expected}\n")
    assert invoke("decide").stdout == f"{decide.choose()}\n"


def test_json_is_one_object_with_every_answer():
    done = invoke("decide", "--rows", 30, "--no-tests", "--json")
    stated = json.loads(done.stdout)
    assert stated["what"] == "build a test set" and stated["situation"]["rows"] == 30
    assert stated["situation"].keys() == decide.QUESTIONS.keys()


def test_an_answer_that_is_none_is_one_sentence_and_exit_1():
    done = invoke("decide", "--lacks", "fcts")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("ftkit: lacks is 'fcts'; give one of format, judgement, facts")
    assert invoke("decide", "--rows", -1).exit_code == 1
    assert invoke("decide", "--rows", "many").exit_code == 2


def test_it_is_quick_to_ask():
    assert not modules_after("decide") & HEAVY
