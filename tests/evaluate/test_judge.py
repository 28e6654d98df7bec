"""A judge's bias is measured: planted biases are found, and an unbiased judge shows none."""

import pytest
import torch

from ftkit import UserError, evaluate, models
from ftkit.evaluate import judge


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


def longest(shown):
    return [float(len(first) - len(second)) for _, first, second in shown]


def always_first(shown):
    return [1.0] * len(shown)


def oracle(pairs):
    """A judge that knows the right answers."""
    known = {pair.question: pair.right for pair in pairs}
    return lambda shown: [1.0 if first == known[q] else -1.0 for q, first, _ in shown]


def test_pairs_are_right_wrong_and_the_same_in_every_form():
    bare = judge.draw_pairs(30)
    sentence = judge.draw_pairs(30, "sentence", "bare")
    ties = judge.draw_pairs(30, "sentence", "bare", tie=True)
    for b, s, t in zip(bare, sentence, ties, strict=True):
        ticket = b.question.split("\n")[0]
        assert b.question == s.question == t.question
        assert b.right in ticket
        assert b.right != b.other
        assert s.right == t.right == f"The {b.question.split()[-1][:-1]} is {b.right}."
        assert (s.other, t.other, t.tie) == (b.other, b.right, True)
    assert judge.draw_pairs(30) == bare
    others = {pair.question for pair in judge.draw_pairs(30, split="train")}
    assert others.isdisjoint(pair.question for pair in bare)
    with pytest.raises(UserError, match=r"no form 'sentense'.*'sentence'"):
        judge.draw_pairs(3, "sentense")


def test_an_oracle_has_no_bias():
    pairs = judge.draw_pairs(40)
    result = judge.examine(oracle(pairs), pairs)
    assert (result.right_first.value, result.right_second.value) == (1, 1)
    assert (result.flipped.value, result.averaged.value) == (0, 1)
    assert result.prefers_right == [True] * 40
    assert result.position.word == "can't be told apart"


def test_a_position_bias_is_found_and_does_not_survive_the_average():
    pairs = judge.draw_pairs(40)
    result = judge.examine(always_first, pairs)
    assert (result.right_first.value, result.right_second.value) == (1, 0)
    assert (result.flipped.value, result.averaged.value) == (1, 0)
    assert (result.position.word, result.position.change) == ("better", 1.0)
    leaning = judge.examine(lambda shown: [m + 0.5 for m in oracle(pairs)(shown)], pairs)
    assert (leaning.flipped.value, leaning.averaged.value) == (0, 1)


def test_a_length_bias_is_found():
    results = judge.examine_lengths(longest, 40)
    assert {name: one.averaged.value for name, one in results.items()} == {
        "right is shorter": 0,
        "right is longer": 1,
        "both right": 1,
    }
    assert all(one.flipped.value == 0 for one in results.values())


def test_the_likelihood_judge_takes_the_difference_of_log_probabilities(pocket):
    shown = [
        ("Repeat: lamp", "lamp", "chair"),
        ("Repeat: lamp", "chair", "lamp"),
        ("What is 12 + 30?", "42", "The sum is 42."),
    ]
    total, mean = (judge.by_likelihood(*pocket, per_token=each)(shown) for each in (False, True))
    assert total[0] == -total[1] > 0
    by_hand = []
    for question, *answers in shown:
        asked = {"role": "user", "content": question}
        chats = [[asked, {"role": "assistant", "content": answer}] for answer in answers]
        by_hand.append([evaluate.surprisals(*pocket, [chat])[0] for chat in chats])
    assert total == pytest.approx([b.nats - a.nats for a, b in by_hand], abs=1e-3)
    means = [b.nats / b.tokens - a.nats / a.tokens for a, b in by_hand]
    assert mean == pytest.approx(means, abs=1e-3)


def test_a_judge_that_is_asked_reads_the_two_letters(pocket):
    """Each margin stands at its pair, whatever the batches; here against each prompt alone."""
    model, tokenizer = pocket
    shown = [(pair.question, pair.right, pair.other) for pair in judge.draw_pairs(5)]
    margins = judge.by_asking(model, tokenizer, batch_size=2)(shown)
    a, b = (tokenizer(letter, add_special_tokens=False)["input_ids"][0] for letter in "AB")
    for (question, first, second), margin in zip(shown, margins, strict=True):
        prompt = judge.ASK.format(question=question, first=first, second=second)
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )["input_ids"]
        with torch.no_grad():
            logits = model(ids).logits[0, -1]
        assert margin == pytest.approx((logits[a] - logits[b]).item(), abs=1e-3)


def test_training_rows_put_the_right_letter_under_either_order():
    pairs = judge.draw_pairs(50, split="train")
    by_question = {pair.question: pair for pair in pairs}
    for both, n in ((False, 50), (True, 100)):
        chats = judge.training_rows(pairs, both_orders=both)["messages"]
        letters = [chat[-1]["content"] for chat in chats]
        assert len(chats) == n
        assert 0.3 * n < letters.count("A") < 0.7 * n
        for chat in chats:
            question, rest = chat[0]["content"].split("\nA: ")
            first, rest = rest.split("\nB: ")
            assert (first == by_question[question].right) == (chat[1]["content"] == "A")
    assert letters.count("A") == 50


def test_the_table_has_a_line_per_judge_and_nothing_to_judge_is_refused():
    pairs = judge.draw_pairs(10)
    judges = {"first": always_first, "oracle": oracle(pairs)}
    shown = judge.table({name: judge.examine(one, pairs) for name, one in judges.items()})
    assert [row[0] for row in shown.rows] == ["first", "oracle"]
    assert "n = 10 pairs" in str(shown)
    with pytest.raises(UserError, match="no pairs"):
        judge.examine(always_first, [])


def test_agreement_beyond_chance_is_with_the_truth_and_between_judges():
    """A judge of one letter is right on half of all and has κ 0; two of them agree by chance."""
    pairs = judge.draw_pairs(40)
    right = judge.examine(oracle(pairs), pairs)
    wrong = judge.examine(lambda shown: [-m for m in oracle(pairs)(shown)], pairs)
    lazy = judge.examine(always_first, pairs)
    assert right.kappa.value == pytest.approx(1) and wrong.kappa.value == pytest.approx(-1)
    assert lazy.kappa == (0, 0, 0)
    assert judge.agreement(wrong, wrong).value == pytest.approx(1), "alike, and both wrong"
    assert judge.agreement(right, wrong).value == pytest.approx(-1)
    assert judge.agreement(lazy, lazy) is None, "one letter: chance alone would agree"
    with pytest.raises(UserError, match="other pairs"):
        judge.agreement(right, judge.examine(always_first, pairs[:3]))
