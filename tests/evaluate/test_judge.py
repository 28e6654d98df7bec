"""A judge's bias is measured: planted biases are found in the right size, and an unbiased judge
shows none.
"""

import math

import pytest

from ftkit import UserError, data, evaluate, models
from ftkit.evaluate import judge


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


def longest(asked):
    return [float(len(a) - len(b)) for _, a, b in asked]


def always_first(asked):
    return [1.0] * len(asked)


def oracle(found):
    """A judge that knows the right answers."""
    known = {p.question: p.right for p in found}
    return lambda asked: [1.0 if first == known[q] else -1.0 for q, first, _ in asked]


def test_pairs_are_right_wrong_and_the_same_in_every_form():
    bare, sentence, ties = (
        judge.pairs(30),
        judge.pairs(30, "sentence", "bare"),
        judge.pairs(30, "sentence", "bare", tie=True),
    )
    for b, s, t in zip(bare, sentence, ties, strict=True):
        ticket = b.question.split("\n")[0]
        assert b.question == s.question == t.question
        assert b.right in ticket
        assert b.right != b.other
        assert s.right == t.right == f"The {b.question.split()[-1][:-1]} is {b.right}."
        assert (s.other, t.other, t.tie) == (b.other, b.right, True)
    assert judge.pairs(30) == bare
    assert {p.question for p in judge.pairs(30, split="train")}.isdisjoint(p.question for p in bare)
    with pytest.raises(UserError, match=r"no form 'sentense'.*'sentence'"):
        judge.pairs(3, "sentense")


def test_an_oracle_has_no_bias():
    found = judge.pairs(40)
    result = judge.try_judge(oracle(found), found)
    assert (
        result.right_first.value,
        result.right_second.value,
        result.flipped.value,
        result.averaged.value,
    ) == (1, 1, 0, 1)
    assert result.position.word == "can't be told apart"


def test_a_position_bias_is_found_and_does_not_survive_the_average():
    found = judge.pairs(40)
    result = judge.try_judge(always_first, found)
    assert (result.right_first.value, result.right_second.value, result.flipped.value) == (1, 0, 1)
    assert (result.position.word, result.position.change, result.averaged.value) == (
        "better",
        1.0,
        0,
    )
    leaning = judge.try_judge(lambda asked: [m + 0.5 for m in oracle(found)(asked)], found)
    assert (leaning.flipped.value, leaning.averaged.value) == (0, 1)


def test_a_length_bias_is_found():
    found = judge.by_length(longest, 40)
    assert {name: t.averaged.value for name, t in found.items()} == {
        "right is shorter": 0,
        "right is longer": 1,
        "both right": 1,
    }
    assert all(t.flipped.value == 0 for t in found.values())


def test_the_likelihood_judge_takes_the_difference_of_log_probabilities(pocket):
    asked = [
        ("Repeat: lamp", "lamp", "chair"),
        ("Repeat: lamp", "chair", "lamp"),
        ("What is 12 + 30?", "42", "The sum is 42."),
    ]
    total, mean = (judge.likelihood(*pocket, per_token=p)(asked) for p in (False, True))
    assert total[0] == -total[1] > 0
    chats = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
        for q, *both in asked
        for a in both
    ]
    by_hand = [evaluate.surprises(*pocket, [c])[0] for c in chats]
    assert total == pytest.approx(
        [b[0] - a[0] for a, b in zip(by_hand[::2], by_hand[1::2], strict=True)], abs=1e-3
    )
    assert mean == pytest.approx(
        [b[0] / b[1] - a[0] / a[1] for a, b in zip(by_hand[::2], by_hand[1::2], strict=True)],
        abs=1e-3,
    )


def test_the_asker_reads_the_two_letters(pocket):
    import torch

    model, tokenizer = pocket
    asked = [(p.question, p.right, p.other) for p in judge.pairs(3)]
    found = judge.asker(model, tokenizer, batch_size=2)(asked)
    chat = [
        {
            "role": "user",
            "content": judge.ASK.format(
                question=asked[0][0], first=asked[0][1], second=asked[0][2]
            ),
        }
    ]
    ids = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    a, b = (tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "AB")
    with torch.no_grad():
        logits = model(ids).logits[0, -1]
    assert found[0] == pytest.approx((logits[a] - logits[b]).item(), abs=1e-3)


def test_examples_put_the_right_letter_under_either_order():
    found = judge.pairs(50, split="train")
    by_question = {p.question: p for p in found}
    for both, n in ((False, 50), (True, 100)):
        rows = judge.examples(found, both)["messages"]
        letters = [m[-1]["content"] for m in rows]
        assert len(rows) == n
        assert 0.3 * n < letters.count("A") < 0.7 * n
        for m in rows:
            question, rest = m[0]["content"].split("\nA: ")
            first, rest = rest.split("\nB: ")
            assert (first == by_question[question].right) == (m[1]["content"] == "A")
    assert letters.count("A") == 50


def test_the_table_has_a_line_a_judge_and_nothing_to_judge_is_refused():
    found = judge.pairs(10)
    shown = judge.table(
        {
            "first": judge.try_judge(always_first, found),
            "oracle": judge.try_judge(oracle(found), found),
        }
    )
    assert [row[0] for row in shown.rows] == ["first", "oracle"]
    assert "n = 10 pairs" in str(shown)
    with pytest.raises(UserError, match="no pairs"):
        judge.try_judge(always_first, [])


def test_perplexity_is_exp_of_the_mean_surprise_of_a_loop_over_rows(pocket):
    import torch

    model, tokenizer = pocket
    rows = data.first(data.load("general")["train"], 12)
    nats, tokens = 0.0, 0
    for messages in rows["messages"]:
        ids = tokenizer.apply_chat_template(messages, return_tensors="pt", return_dict=True)[
            "input_ids"
        ]
        n = data.answer_tokens(messages, tokenizer)
        with torch.no_grad():
            log_p = model(ids).logits[0, :-1].log_softmax(-1)
        nats -= log_p.gather(-1, ids[0, 1:, None])[-n:].sum().item()
        tokens += n
    assert evaluate.perplexity(model, tokenizer, rows) == pytest.approx(
        math.exp(nats / tokens), rel=1e-4
    )
