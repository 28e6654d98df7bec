"""BM25 by hand is the BM25 of a library, ties go by place, and passages reach the prompt whole."""

import itertools
import random

import bm25s
import numpy as np
import pytest

from ftkit import UserError
from ftkit.decide import Index, recall_at, retrieval, retrieve, with_passages
from ftkit.world import World

PASSAGES = ["The river of Dria is the Balo.", "Dria exports tea.", "Tea is green.", "Nobody came."]


def sentences(n=300):
    """Sentences of the world, many of them alike."""
    rng = random.Random(0)
    facts = World().facts
    return [rng.choice(facts).state(rng) for _ in range(n)]


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (1.2, 0.0), (0.9, 1.0), (0.0, 0.5)])
def test_the_scores_are_those_of_bm25s(k1, b):
    corpus = sentences()
    theirs = bm25s.BM25(k1=k1, b=b, method="lucene", dtype="float64")
    theirs.index([retrieval.words_of(text) for text in corpus], show_progress=False)
    ours = Index(corpus, k1, b)
    for query in [corpus[3], corpus[50] + " " + corpus[7], "the the capital", "tea and salt"]:
        expected = theirs.get_scores(retrieval.words_of(query))
        np.testing.assert_allclose(ours.scores(query), expected, rtol=1e-12, atol=1e-12)
        assert max(expected) > 0


def test_bm25s_finds_the_same_passages_where_no_scores_are_equal():
    corpus = list(dict.fromkeys(sentences()))
    theirs = bm25s.BM25(dtype="float64")
    theirs.index([retrieval.words_of(text) for text in corpus], show_progress=False)
    ours, compared = Index(corpus), 0
    for query in corpus:
        scores = sorted(ours.scores(query), reverse=True)[:4]
        if min(a - b for a, b in itertools.pairwise(scores)) < 1e-9:
            continue
        places, _ = theirs.retrieve([retrieval.words_of(query)], k=3, show_progress=False)
        assert ours.rank(query, 3) == places[0].tolist()
        compared += 1
    assert compared >= 20


def test_of_equal_scores_the_earlier_passage_comes_first():
    index = Index(["a b", "c", "b a", "a b"])
    assert index.rank("a", 4) == [0, 2, 3, 1]
    assert index.search("nothing of it", 2) == ["a b", "c"]


def test_words_are_found_in_any_case_and_script():
    assert Index(PASSAGES).search("TEA, green?", 2) == ["Tea is green.", "Dria exports tea."]
    assert Index(["北京是首都", "上海很大", "Москва"]).rank("首都在哪", 1) == [0]
    assert Index(["北京是首都", "上海很大", "Москва"]).rank("МОСКВА", 1) == [2]


def test_recall_counts_the_queries_whose_passage_is_among_the_first():
    index = Index(PASSAGES)
    queries = ["tea, tea", "Which river?", "tea"]
    assert [recall_at(index, queries, [1, 0, 2], k).hits for k in (1, 2, 4)] == [2, 3, 3]
    assert recall_at(index, queries, [1, 0, 2], 1).n == 3


def test_passages_stand_in_the_last_question_and_the_rest_stays():
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Who is {q}?"}]
    framed = with_passages([chat], [["It says {q}.", "And {facts}."]])
    assert framed[0][0] == chat[0]
    assert framed[0][1]["content"] == "Facts: It says {q}. And {facts}. Question: Who is {q}?"
    assert chat[1]["content"] == "Who is {q}?"
    other = with_passages([chat], [["One."]], "{q} ({facts})")
    assert other[0][1]["content"] == "Who is {q}? (One.)"


def test_a_part_of_the_question_can_be_searched_for():
    chats = [[{"role": "user", "content": "Dria exports what?\nThe green tea is green."}]]
    whole = retrieve(chats, Index(PASSAGES), 1)
    part = retrieve(chats, Index(PASSAGES), 1, query=lambda text: text.split("\n")[0])
    assert "Tea is green." in whole[0][-1]["content"]
    assert "Dria exports tea." in part[0][-1]["content"]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Index([]), "the passages are an empty list; give a list of one text"),
        (lambda: Index("tea"), "the passages are one text"),
        (lambda: Index(["tea", " . "]), "passage 2 of 2 is ' . ' and holds no word"),
        (lambda: Index(["tea", None]), "passage 2 of 2 is None"),
        (lambda: Index(["tea"], k1=-1), "k1 is -1 and b 0.75; give k1 ≥ 0"),
        (lambda: Index(["tea"], b=2), "b 2; give k1 ≥ 0 and b from 0 to 1"),
        (lambda: Index(PASSAGES).search("tea", 5), "k is 5; give a whole number from 1 to 4"),
        (lambda: Index(PASSAGES).search("tea", 0), "k is 0;"),
        (lambda: Index(PASSAGES).search("tea", True), "k is True;"),
        (lambda: recall_at(Index(PASSAGES), [], [], 1), "0 queries and 0 places"),
        (lambda: recall_at(Index(PASSAGES), ["a"], [1, 2], 1), "1 queries and 2 places"),
        (lambda: recall_at(Index(PASSAGES), ["a"], [4], 1), "query 1 is 4; give one from 0 to 3"),
        (lambda: recall_at(Index(PASSAGES), ["a"], [0], 9), "k is 9;"),
        (lambda: with_passages([], [], "Facts: {facts}"), "the frame is 'Facts: {facts}'; give"),
        (lambda: with_passages([[]], [[]]), "the last message of a chat is no user's text"),
        (lambda: retrieve([[{"role": "assistant", "content": "x"}]], Index(["a"]), 1), "no user's"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_in_a_sentence(call, said):
    with pytest.raises(UserError) as error:
        call()
    assert said in str(error.value)
