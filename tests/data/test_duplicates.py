"""Copies: found whatever their white space, and near ones exactly where the definition says so."""

import random

import pytest

from ftkit import UserError, data
from ftkit.data import duplicates


def row(question, answer="Yes.", **more):
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": chat, **more}


def test_a_hash_is_of_what_a_row_says():
    same = [
        row("Is it so?"),
        row(" Is  it\nso? "),
        row("Is it so?", split="test", tools=[{"name": "f"}]),
        row("Is it so?")["messages"],
        [{**message, "weight": 1, "name": None} for message in row("Is it so?")["messages"]],
    ]
    assert {data.row_hash(each) for each in same} == {"2b4eef661865aad1967b9df1ea2cf52b"}
    system = [{"role": "system", "content": "S"}, *row("Is it so?")["messages"]]
    calls = [*row("Is it so?")["messages"][:1], {"role": "assistant", "tool_calls": [{"a": 1}]}]
    others = [row("Is it so?", "No."), row("is it so?"), system, calls]
    assert len({data.row_hash(each) for each in [*same, *others]}) == 5


def test_copies_are_told_with_the_first_of_them():
    rows = [row("a"), row("b"), row("a "), row("c"), row("a")]
    assert data.copies(rows) == {2: 0, 4: 0}
    assert data.copies(rows, [row("c"), row("b"), row("b")]) == {1: 1, 3: 0}
    assert data.copies([]) == data.near_copies([]) == {}


LONG = "The code of the red box on the upper shelf of the third room behind the old door is"


def test_near_copies_share_most_of_their_pairs_of_words():
    rows = [row(f"{LONG} what?"), row(f"{LONG.upper()}, what?"), row(f"{LONG} not here, but what?")]
    assert data.near_copies(rows) == {1: 0}
    assert data.near_copies(rows[1:], rows[:1]) == {0: 0}
    # system turns that all rows share are no sign
    system = {"role": "system", "content": LONG}
    shared = [{"messages": [system, *row(question)["messages"]]} for question in ("a?", "b!")]
    assert data.near_copies(shared) == {}


def test_signs_and_scripts_without_blanks_count():
    assert data.near_copies([row("2 + 2"), row("2 - 2")]) == {}
    text = "东京的天气怎么样今天下雨吗我想知道明天会不会更冷一些谢谢你"
    assert data.near_copies([row(text), row(text.replace("雨", "雪"))]) == {1: 0}


@pytest.mark.parametrize("likeness", [0.3, 0.5, 0.8, 1])
def test_they_are_what_comparing_all_rows_finds(likeness):
    draw = random.Random(0)
    texts = [" ".join(draw.choices("abcde", k=draw.randint(0, 12))) for _ in range(150)]
    rows = [row(text, "") for text in texts]
    pairs = [duplicates.word_pairs(each) for each in rows]

    def like(a, b):
        both = len(a & b)
        return both >= likeness * (len(a) + len(b) - both)

    alike = {n for n, one in enumerate(pairs) if any(like(one, p) for p in pairs[:n] if one or p)}
    found = data.near_copies(rows, likeness=likeness)
    assert found.keys() == {n for n in alike if pairs[n]}
    assert all(other < n and like(pairs[n], pairs[other]) for n, other in found.items())


@pytest.mark.parametrize("likeness", [0, 1.1, "0.8", None, True])
def test_likeness_is_a_share(likeness):
    with pytest.raises(UserError, match="likeness is"):
        data.near_copies([row("a")], likeness=likeness)


def test_a_row_has_messages():
    with pytest.raises(UserError, match="a row is 5; give a row with messages"):
        data.copies([5])


def test_all_pairs_are_those_that_comparing_each_with_each_finds():
    rng = random.Random(5)
    words = LONG.split()
    rows = []
    for _ in range(60):
        said = words.copy()
        for place in rng.sample(range(len(said)), rng.randint(0, 4)):
            said[place] = rng.choice(words)
        rows.append(row(" ".join(said)))
    pairs = [duplicates.word_pairs(each) for each in rows]
    for likeness in (0.5, 0.8, 1):
        right = {}
        for one in range(60):
            for other in range(one + 1, 60):
                both, either = pairs[one] & pairs[other], pairs[one] | pairs[other]
                if len(both) / len(either) >= likeness:
                    right[one, other] = len(both) / len(either)
        assert data.near_pairs(rows, likeness) == right
    with pytest.raises(UserError, match="likeness is 0"):
        data.near_pairs(rows, 0)


def test_other_thoughts_are_no_copy():
    first, second = ({"role": "assistant", "content": "a", "thinking": t} for t in ("x", "y"))
    assert data.copies([[first], [second], [{**first, "thinking": None}], [first]]) == {3: 0}
    renamed = {"role": "assistant", "content": "a", "reasoning_content": " x"}
    assert data.row_hash([renamed]) == data.row_hash([first])


def test_other_tool_calls_are_no_near_copy():
    question = {"role": "user", "content": "a b c"}
    rows = [
        [question, {"role": "assistant", "content": "", "tool_calls": [{"name": n}]}]
        for n in ("look up", "send off", "look up")
    ]
    assert data.near_copies(rows) == {2: 0}
