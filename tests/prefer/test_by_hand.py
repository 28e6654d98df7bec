"""The loops by hand: what they draw, step by, and that TRL takes the same steps."""

import math

import pytest
import torch

from ftkit import UserError, data, lora, models, prefer, train
from ftkit.prefer import by_hand, losses


@pytest.fixture
def pocket():
    """(a fresh adapter, its tokenizer)."""
    base, tokenizer = models.load("pocket")
    return lora.attach(base, r=2, seed=0), tokenizer


PAIRS = prefer.honesty_pairs(prefer.honesty(3, seed=5))


def test_replies_are_drawn_in_order_and_end_with_their_mark(pocket):
    model, tokenizer = pocket
    chats = [[{"role": "user", "content": f"Sort: {digits}"}] for digits in ("3 1 2", "9 8 7 6")]
    torch.manual_seed(0)
    drawn = prefer.sample(model, tokenizer, chats, 2, max_new_tokens=10)
    assert drawn.group == 2 and len(drawn.texts) == 4
    assert drawn.texts[0].startswith("1") and drawn.texts[3].startswith("6")
    ids = drawn.ids[:, -drawn.replied.shape[1] :]
    for row, count in zip(ids, drawn.lengths, strict=True):
        assert row[count - 1] == tokenizer.eos_token_id
    # log p of a reply is that of the very tokens
    chat = [*chats[0], {"role": "assistant", "content": drawn.texts[0]}]
    answer = data.render(chat, tokenizer)
    said = answer.answer_ids
    pair = prefer.TokenPair(answer.ids[: answer.answer.start], said, said)
    with torch.no_grad():
        log_p = by_hand.answer_logs(model, drawn).sum(1)[0]
        again = by_hand.pair_log_probs(model, [pair], 0)[0]
    assert log_p.item() == pytest.approx(again.item(), abs=1e-4)


@pytest.mark.parametrize(
    ("options", "sentence"), [({"n": 0}, "n is 0"), ({"temperature": 0}, "temperature is 0")]
)
def test_what_cannot_be_drawn_is_refused(pocket, options, sentence):
    with pytest.raises(UserError, match=sentence):
        prefer.sample(*pocket, [[{"role": "user", "content": "Hi"}]], **{"n": 1, **options})


def test_the_first_steps_are_trls(pocket):
    model, tokenizer = pocket
    recipe = train.Recipe(lr=2e-3, epochs=2, batch_size=6, evaluations=0, warmup=0)
    run = prefer.tune(model, tokenizer, PAIRS, "dpo", recipe)
    theirs = [loss for _, loss in run.losses]
    base, _ = models.load("pocket")
    fresh = lora.attach(base, r=2, seed=0)
    tokens = prefer.tokenize_pairs(PAIRS, tokenizer, base)
    steps = list(prefer.tune_on_pairs(fresh, tokenizer, tokens, pace=prefer.Pace(2e-3, 2, 6)))
    # all rows are one batch, so their order does not matter
    assert [step.loss for step in steps] == pytest.approx(theirs, abs=1e-5)
    assert steps[0].loss == pytest.approx(math.log(2), abs=1e-6) and steps[0].right == 0


def test_a_loss_that_breaks_ends_the_loop(pocket):
    model, tokenizer = pocket
    tokens = prefer.tokenize_pairs(PAIRS, tokenizer, model)
    loop = prefer.tune_on_pairs(model, tokenizer, tokens, lambda logs: losses.dpo(logs) * math.nan)
    with pytest.raises(FloatingPointError, match="the loss is nan"):
        next(loop)


@pytest.mark.parametrize("advantages", [losses.rloo_advantages, losses.grpo_advantages])
def test_a_step_makes_the_rewarded_replies_likelier(pocket, advantages):
    model, tokenizer = pocket
    rows = prefer.sorting(2, seed=4)

    def shorter(rows, replies):
        return [-float(len(reply)) for reply in replies]

    torch.manual_seed(1)
    pace = prefer.Pace(5e-3, 6, falls=False)
    drawing = prefer.Rollouts(2, 8, 16, beta=0.01, advantages=advantages)
    loop = prefer.reinforce(model, tokenizer, rows, shorter, pace, drawing)
    steps = list(loop)
    assert steps[-1].tokens < steps[0].tokens and steps[0].kl == pytest.approx(0, abs=1e-4)
    assert steps[-1].kl != 0 and len(steps[0].rows) == len(steps[0].texts) == 16


def test_what_never_is_right_moves_nothing_at_all(pocket):
    model, tokenizer = pocket
    before = models.sums(model)
    pace, drawing = prefer.Pace(2e-3, 2), prefer.Rollouts(2, 2, 6)
    steps = list(prefer.reinforce(model, tokenizer, prefer.adding(4), prefer.exact, pace, drawing))
    assert [step.dead for step in steps] == [1, 1] and models.sums(model) == before


def test_a_model_without_an_adapter_is_no_reference_of_its_own():
    base, tokenizer = models.load("pocket")
    tokens = prefer.tokenize_pairs(PAIRS, tokenizer, base)
    with pytest.raises(UserError, match="no adapter, so it can't be its own reference"):
        prefer.pair_logs(base, tokens, tokenizer)
