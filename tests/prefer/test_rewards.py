"""Rewards are asked in a way that no slip goes unseen, and tasks are worth what they say."""

import math
import statistics

import pytest

from ftkit import UserError, models, prefer
from ftkit.prefer import rewards
from ftkit.world import World, lexicon

ROWS = prefer.sorting(2)


def slip(error):
    raise error


@pytest.mark.parametrize(
    ("reward", "sentence"),
    [
        (lambda rows, replies: None, "returned None; return a list of numbers"),
        (lambda rows, replies: [1.0], "gave 1 values for 4 replies; return one for each"),
        (lambda rows, replies: [1.0, math.nan, 0, 0], "gave nan for reply 2, 'b'; give a finite"),
        (lambda rows, replies: [1.0, None, 0, 0], "gave None for reply 2, 'b'"),
        (lambda rows, replies: [1.0, 1, 1, "1"], "gave '1' for reply 4, 'd'"),
        (lambda rows, replies: slip(KeyError("gold")), "raised KeyError: there is no 'gold'"),
        (lambda rows, replies: slip(ZeroDivisionError("by 0")), "raised ZeroDivisionError: by 0"),
    ],
)
def test_a_reward_that_gives_no_numbers_is_refused(reward, sentence):
    with pytest.raises(UserError, match=f"the reward <lambda> {sentence}"):
        prefer.ask_reward(reward, ROWS, list("abcd"))


def test_each_reply_is_judged_by_its_own_row():
    right = [row["messages"][-1]["content"] for row in ROWS]
    replies = [right[0], right[1], right[1] + " ", right[0]]
    assert prefer.ask_reward(prefer.exact, ROWS, replies) == [1, 0, 1, 0]
    assert prefer.words(ROWS, ["a b c", ""]) == [0.3, 0]


def test_a_description_is_worth_its_true_sentences():
    world = World()
    row = prefer.describing(1, seed=2)[0]
    facts = [f.say(lexicon.SENTENCE[f.attribute]) for f in world.biographies[row["entity"]]]
    one, two = facts[:2]
    counted = prefer.count_sentences(row["entity"], f"{one} {two} {one} Nobody works as a king.")
    assert counted == (2, 1, 1) and counted.gold == 0
    assert prefer.gold([row], [" ".join(facts)]) == [4]
    # the blind spot: many words without a full stop are one wrong sentence
    assert prefer.gold([row], ["The " * 90]) == [-1]


def test_descriptions_of_both_parts_are_of_others_and_right():
    sides = (prefer.describing(99, part) for part in ("train", "test"))
    train, test = ({row["entity"] for row in side} for side in sides)
    assert train and test and not train & test
    rows = prefer.describing(20)
    assert prefer.gold(rows, [r["messages"][-1]["content"] for r in rows]) == [
        r["messages"][-1]["content"].count(".") for r in rows
    ]


def test_digits_are_held_out_and_sums_are_out_of_reach():
    sides = (prefer.sorting(60, split=side) for side in ("train", "test"))
    train, test = ({row["messages"][0]["content"] for row in side} for side in sides)
    assert len(train) == 60 and not train & test
    row = prefer.adding(1)[0]
    a, b, c = (int(word.strip("?")) for word in row["messages"][0]["content"].split()[2::2])
    assert row["messages"][1]["content"] == str(a + b + c)


def test_a_reward_model_reads_answers_as_it_was_trained():
    base, tokenizer = models.load("pocket")
    model = prefer.make_reward_model(base, seed=1, r=4)
    rows = prefer.honesty(4, seed=1)
    pairs = prefer.honesty_pairs(rows)
    tokens = prefer.tokenize_pairs(pairs, tokenizer, base)
    before = prefer.rank_right(prefer.ModelReward(model, tokenizer), pairs)
    losses = list(prefer.tune_reward_model(model, tokenizer, tokens, prefer.Pace(1e-2, 12)))
    reward = prefer.ModelReward(model, tokenizer)
    after = prefer.rank_right(reward, pairs)
    assert after.hits == 8 > before.hits and losses[-1] < 0.3 < losses[0]
    # the very numbers that the loss saw, moved and scaled as told
    chosen = rewards.read_scores(model, [[*p.prompt, *p.chosen] for p in tokens], 0).tolist()
    gold = [pair["chosen"][0]["content"] for pair in pairs]
    assert reward(rows, gold) == pytest.approx(chosen, abs=1e-4)
    scaled = prefer.ModelReward(model, tokenizer, mean=1.0, spread=2.0)(rows, gold)
    assert statistics.fmean(scaled) == pytest.approx((statistics.fmean(chosen) - 1) / 2, abs=1e-4)


def test_a_model_that_carries_an_adapter_is_no_start_for_a_reward_model():
    base, _ = models.load("pocket")
    model = prefer.make_reward_model(base, r=4)
    with pytest.raises(UserError, match="carries the adapter 'default'; merge it first"):
        prefer.make_reward_model(model)
