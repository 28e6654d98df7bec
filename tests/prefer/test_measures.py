"""What a loss of preferences hides is measured as it is defined, and raises flags."""

import types

import pytest
import torch

from ftkit import UserError, evaluate, lora, models, prefer
from ftkit.core.statistics import Interval, Rate
from ftkit.evaluate import red_flags
from ftkit.prefer import by_hand, measures

PAIRS = prefer.honesty_pairs(prefer.honesty(2, seed=5))


@pytest.fixture(scope="module")
def moved():
    """(a model some way from its base, its tokenizer)."""
    base, tokenizer = models.load("pocket")
    model = lora.attach(base, r=2, seed=0)
    drawn = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data = 0.02 * torch.randn(parameter.shape, generator=drawn)
    return model, tokenizer


def test_pairs_are_measured_against_the_model_with_its_adapter_off(moved):
    model, tokenizer = moved
    tokens = prefer.tokenize_pairs(PAIRS, tokenizer, model)
    found = prefer.pair_measures(model, tokenizer, tokens)
    chosen, rejected = by_hand.read_pairs(model, tokens, tokenizer)
    with by_hand.adapter_off(model):
        before, other = by_hand.read_pairs(model, tokens, tokenizer)
    assert found.chosen == pytest.approx(chosen.mean().item(), abs=1e-4)
    assert found.ref_rejected == pytest.approx(other.mean().item(), abs=1e-4)
    assert found.fell == (chosen < before).float().mean().item()
    assert found.right == ((chosen - before) > (rejected - other)).float().mean().item()
    # token by token it is the same change
    pushes = prefer.token_pushes(model, tokenizer, tokens[0])
    assert sum(pushes.chosen[1]) == pytest.approx((chosen - before)[0].item(), abs=1e-3)
    assert "".join(pushes.rejected[0]).startswith(PAIRS[0]["rejected"][0]["content"][:5])


def test_the_distance_of_a_model_from_itself_is_nothing(moved):
    model, tokenizer = moved
    rows = prefer.honesty(2, seed=6)
    torch.manual_seed(0)
    assert prefer.distance(model, tokenizer, rows, 2, 12).value != 0
    base, _ = models.load("pocket")
    still = prefer.distance(lora.attach(base, r=2), tokenizer, rows, 1, 12)
    assert still == pytest.approx((0, 0, 0), abs=1e-4)


@pytest.mark.parametrize(
    ("reply", "share"),
    [
        ("", 0),
        ("one two three", 0),
        ("a b c d e", 0),
        ("a b c d a b c d", 1 / 5),
        ("x " * 20, 16 / 17),
    ],
)
def test_what_is_said_again_is_counted_in_fours(reply, share):
    assert prefer.repetition(reply) == pytest.approx(share)


def test_ties_decide_nothing():
    won = prefer.win_rate([1, 2, 3, 3], [2, 1, 3, 5])
    assert won.wins == Rate(2, 3) and won.ties == 1
    with pytest.raises(UserError, match="there are 1 scores and 2"):
        prefer.win_rate([1], [1, 2])


def test_tuned_beside_its_base(moved, monkeypatch):
    model, tokenizer = moved
    rows = prefer.honesty(2, seed=1)  # a stranger, a known fact, and so on
    said = iter([["I don't know."] * 4, ["a b c", "d e f", "I don't know.", "g h i"]])
    monkeypatch.setattr(measures.models, "answer", lambda *_: next(said))
    found = prefer.preferred(model, tokenizer, rows, max_new_tokens=4)
    # the tuned one refuses both known facts, the base neither
    assert found.over_refusing.value == 1 and found.longer.value == 0
    assert found.wins.wins == Rate(1, 1) and found.wins.ties == 3
    assert "more refused, share" in str(found) and found.json()["win_rate"]["ties"] == 3


def compared():
    """A comparison in which nothing happened."""
    score = types.SimpleNamespace(exact=[True] * 9, format=Rate(0, 0))
    return types.SimpleNamespace(
        base=score, tuned=score, hallucination={"base": Rate(0, 9), "tuned": Rate(0, 9)},
        speed=types.SimpleNamespace(slowdown=lambda *_: Interval(1, 1, 1)),
    )  # fmt: skip


def test_a_run_on_preferences_has_flags_of_its_own():
    nothing = types.SimpleNamespace(lost=Interval(0, 0, 0))
    done = types.SimpleNamespace(
        kl=Interval(9, 7, 11), longer=Interval(0.5, 0.3, 0.7), repeating=Interval(0.1, 0.0, 0.2),
        over_refusing=Interval(0, 0, 0),
    )  # fmt: skip
    found = evaluate.flags(compared(), nothing, preferred=done)
    states = {flag.dimension: flag.state for flag in found.flags}
    assert states["distance"] == states["length"] == "RED"
    assert (states["repetition"], states["over-refusal"]) == ("open", "clear")
    distance = next(flag for flag in found.flags if flag.dimension == "distance")
    assert distance.rule == "KL from the base, nats per reply, > 5.00 nats"
    assert distance.size == "≈9.00 [7.00, 11.00]"
    # limits of them are known with them alone
    assert evaluate.flags(compared(), nothing, {"length": 1.0}, done).red == ["distance"]
    with pytest.raises(UserError, match="there is no dimension 'length'"):
        evaluate.flags(compared(), nothing, {"length": 1.0})
    assert not red_flags.OF_PREFERENCES.keys() & red_flags.LIMITS.keys()
