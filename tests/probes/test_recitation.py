"""The longest run of training tokens in a reply; what its own prompt holds does not count."""

import itertools
import random

import pytest

from ftkit import UserError, models, probes
from ftkit.probes import recitation


def by_hand(answer, prompt, corpus):
    """Every piece, one after the other: the longest that is in the corpus and not in the prompt."""
    spans = itertools.combinations(range(len(answer) + 1), 2)
    pieces = (answer[a:b] for a, b in spans)
    return max((len(p) for p in pieces if p in corpus and p not in prompt), default=0)


def test_the_longest_run_is_that_of_a_search_for_every_piece():
    rng = random.Random(0)
    for _ in range(300):
        corpus, prompt, answer = (
            "".join(rng.choices("abc", k=rng.randint(0, n))) for n in (30, 6, 12)
        )
        found = recitation.longest_run(answer, prompt, corpus)
        assert len(found) == by_hand(answer, prompt, corpus), (answer, prompt, corpus)


def chat(question, answer):
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


@pytest.fixture(scope="module")
def tokenizer():
    return models.load_tokenizer("pocket")


def test_a_training_answer_said_again_is_recited_whole(tokenizer):
    rows = [chat("Sort: 3 1 2", "1 2 3"), chat("Tell me.", "the old red lamp is late and dirty")]
    asked = [chat("Say something.", "no idea"), chat("the old red lamp is late", "yes")]
    said = "the old red lamp is late and dirty"
    found = probes.longest_runs(tokenizer, rows, asked, [said, "the old red lamp is late"], least=5)
    tokens = len(tokenizer(said, add_special_tokens=False)["input_ids"])
    assert found.runs[0] == tokens and found.longest == said
    assert found.runs[1] < 5, "it stands in its own prompt"
    assert (found.rate.hits, found.rate.n, found.gold_rate.hits) == (1, 2, 0)
    assert found.json()["longest_tokens"] == tokens
    assert "5 tokens in a row" in str(found)


def test_a_run_does_not_reach_from_one_row_into_the_next(tokenizer):
    rows = [chat("Hi", "red lamp"), chat("blue chair", "Ho")]
    found = probes.longest_runs(tokenizer, rows, [chat("?", "?")], ["red lamp blue chair"])
    assert found.runs == [len(tokenizer("red lamp", add_special_tokens=False)["input_ids"])]


def test_replies_have_to_fit_the_rows(tokenizer):
    with pytest.raises(UserError, match="1 replies to 2 rows"):
        probes.longest_runs(tokenizer, [chat("a", "b")], [chat("a", "b")] * 2, ["a"])
    with pytest.raises(UserError, match="least is 0"):
        probes.longest_runs(tokenizer, [chat("a", "b")], [chat("a", "b")], ["a"], least=0)
