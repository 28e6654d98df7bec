"""`decide`: answers as options, and a recommendation. `claims`: the ledger, or some of its rows."""

import json

from verbs import invoke, modules_after

from ftkit import decide, verdicts

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


def test_claims_are_the_ledger_as_it_is_recorded():
    done = invoke("claims")
    assert (done.exit_code, done.stdout) == (0, f"{verdicts.recorded()}\n")
    assert max(map(len, done.stdout.splitlines()[1:])) <= 80, "a terminal has so many characters"


def test_a_claim_is_told_with_figures_quotes_and_proof_cell():
    told = invoke("claims", "l2", "M5").stdout
    assert "L2 · FAILS · " in told and "13,631,488" in told and "you train approximately" in told
    assert "lora.count_and_check(" in told and "M5 · FAILS · " in told


def test_claims_as_json_and_measured_again_are_the_same():
    (entry,) = json.loads(invoke("claims", "L2", "--json").stdout)["claims"]
    assert (entry["id"], entry["verdict"]) == ("L2", "fails")
    assert entry["figures"][0]["value"] == 13_631_488
    assert len(json.loads(invoke("claims", "--json").stdout)["claims"]) == 77
    again = json.loads(invoke("claims", "L2", "--again", "--json").stdout)["claims"]
    assert again == [entry]


def test_an_unknown_claim_is_refused_with_the_nearest():
    done = invoke("claims", "L22")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "no claim 'L22'" in done.stderr and "'L2'" in done.stderr


def test_reading_the_ledger_is_quick():
    assert not modules_after("claims", "L2") & HEAVY
