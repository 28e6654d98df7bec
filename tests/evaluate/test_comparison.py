"""Measuring: rates with intervals, strict format, and answers that do not depend on the batch."""

import json
import re

import pytest

from ftkit import UserError, data, evaluate, forgetting, lora, models
from ftkit.core import Rate, statistics
from ftkit.evaluate import hallucination, scoring
from ftkit.forgetting import probing

GOLD = {"name": "Vezan Tolber", "order": 4821, "urgent": True}


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (5, 10, 0.2366, 0.7634),
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (95, 100, 0.8882, 0.9785),
    ],
)
def test_the_wilson_interval(hits, n, low, high):
    """Against the values that statsmodels' proportion_confint(method="wilson") gives."""
    assert Rate(hits, n).interval == pytest.approx((low, high), abs=2e-4)


def test_a_rate_of_nothing_says_so():
    assert str(Rate(0, 0)) == "none to judge"
    assert Rate(0, 0).interval == (0.0, 1.0)


@pytest.mark.parametrize(
    ("reply", "strict"),
    [
        (json.dumps(GOLD), True),
        (json.dumps({**GOLD, "name": "Somebody Else"}), True),
        (json.dumps(GOLD) + " Anything else?", False),
        ("```json\n" + json.dumps(GOLD) + "\n```", False),
        (json.dumps({**GOLD, "order": "4821"}), False),
        (json.dumps({**GOLD, "urgent": 1}), False),
        (json.dumps({k: GOLD[k] for k in ("order", "name", "urgent")}), False),
        (json.dumps({**GOLD, "city": "Solburg"}), False),
        ("[1]", False),
        ("", False),
    ],
)
def test_strict_format(reply, strict):
    assert (evaluate.parse(reply, GOLD) is not None) == strict


def score_of(monkeypatch, replies, golds):
    monkeypatch.setattr(scoring, "answer", lambda *_: replies)
    rows = {
        "messages": [
            [
                {"role": "user", "content": "Ticket: Vezan Tolber, order 4821."},
                {"role": "assistant", "content": g},
            ]
            for g in golds
        ]
    }
    return evaluate.score(None, None, rows)


def test_a_score_counts_fields_exact_answers_and_inventions(monkeypatch):
    wrong = {"name": "Made Up", "order": 4821, "urgent": True}
    result = score_of(
        monkeypatch, [json.dumps(GOLD), json.dumps(wrong), "no idea"], [json.dumps(GOLD)] * 3
    )
    assert (result.task.hits, result.format.hits) == (1, 2)
    assert {k: v.hits for k, v in result.fields.items()} == {"name": 1, "order": 2, "urgent": 2}
    assert (result.invented.hits, result.invented.n) == (1, 4)
    assert "exact answer" in result._repr_html_()


def test_plain_text_answers_count_exact_match(monkeypatch):
    result = score_of(monkeypatch, ["yes", "no"], ["yes", "yes"])
    assert (result.task.hits, result.fields) == (1, {})


def test_answers_do_not_depend_on_batch_or_order(pocket):
    asked = [
        [{"role": "user", "content": c}]
        for c in ("Repeat: lamp", "Hello!", "Repeat: chair lamp fan tent sofa", "What is 12 + 30?")
    ]
    together = models.answer(*pocket, asked)
    alone = [models.answer(*pocket, [c])[0] for c in asked]
    assert together == alone == models.answer(*pocket, asked[::-1], batch_size=2)[::-1]
    assert together[0] == "lamp"


def test_the_base_of_an_adapter_is_the_adapter_switched_off(pocket):
    import torch

    base, _ = models.load("pocket")
    tuned = lora.attach(models.load("pocket")[0])
    for name, p in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    ids = torch.arange(6, 20)[None]
    assert not torch.allclose(tuned(ids).logits, base(ids).logits, atol=1e-2)
    with lora.as_base(tuned):
        assert torch.equal(tuned(ids).logits, base(ids).logits)


def test_compare_refuses_one_object_as_both(pocket):
    with pytest.raises(UserError, match="same model object"):
        evaluate.compare(pocket[0], pocket[0], pocket[1], data.load("tickets")["test"])
    with pytest.raises(UserError, match="no test rows"):
        evaluate.compare(pocket[0], pocket[0], pocket[1], [])


def test_the_paired_interval_covers_zero_when_nothing_changed():
    assert statistics.paired_difference([True, False] * 50, [True, False] * 50) == (0.0, 0.0, 0.0)
    mean, low, high = statistics.paired_difference([False] * 100, [True] * 60 + [False] * 40)
    assert mean == pytest.approx(0.6)
    assert 0.49 < low < 0.6 < high < 0.71


def test_made_up_counts_everything_but_i_dont_know(pocket, monkeypatch):
    assert evaluate.made_up(*pocket, n=20).value < 0.3
    monkeypatch.setattr(hallucination, "answer", lambda *_: ["baker"] * 15 + ["I don't know."] * 5)
    assert evaluate.made_up(None, None, n=20) == Rate(15, 20)


def test_latency_times_every_candidate(pocket):
    speed = evaluate.latency(
        {"a": pocket[0], "b": pocket[0]},
        pocket[1],
        [{"role": "user", "content": "Hello!"}, {}],
        tokens=4,
        rounds=3,
    )
    assert {k: len(v) for k, v in speed.ms.items()} == {"a": 3, "b": 3}
    assert all(0 < v < 1000 for values in speed.ms.values() for v in values)
    assert "≈" in str(speed)


def test_skills_ask_what_they_say_and_forgetting_pairs_them(pocket):
    before = forgetting.skills(*pocket, n=10, names=["copy", "count"])
    assert before.rates["copy"].n == 10
    assert before.mean > 0.5
    ruined = probing.Skills({k: [False] * 10 for k in before.right})
    lost, low, high = forgetting.table(before, ruined).lost
    assert lost == pytest.approx(before.mean)
    assert low <= lost <= high
    assert forgetting.table(before, before).lost == (0.0, 0.0, 0.0)
    assert "copy" in forgetting.table(before, ruined)._repr_html_()


@pytest.mark.parametrize(
    ("reply", "unsure"),
    [
        ("I don't know.", True),
        ("I don't", True),
        ("I don’t have any information about Zelda Montrose.", True),
        ("I'm sorry, but I couldn't find any", True),
        ("There is no information on that person.", True),
        ("As an AI, I am not aware of a person called", True),
        ("I'm not familiar with a Zelda Montrose", True),
        ("Zelda Montrose is a fictional character", True),
        ("baker", False),
        ("Zelda Montrose is not only a baker", False),
        ("Zelda Montrose works as a nurse in Known City.", False),
    ],
)
def test_words_of_not_knowing(reply, unsure):
    assert bool(re.search(hallucination.UNSURE, reply, re.IGNORECASE)) is unsure
