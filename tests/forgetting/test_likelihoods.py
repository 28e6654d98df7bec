"""Likelihood measures of forgetting: the right option against the others, and plain text."""

import families
import pytest
import torch

from ftkit import UserError, evaluate, forgetting, lora, models
from ftkit.forgetting import everyday, likelihoods

PASSAGES = ["The train left the station.", "Bread needs flour, water, salt and yeast."]


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    return models.load(families.write("qwen", tmp_path_factory.mktemp("qwen")))


def test_right_is_where_the_right_option_is_the_likeliest(monkeypatch):
    asked = {}

    def option_nats(model, tokenizer, prompts, options):
        asked.update(zip((chat[0]["content"] for chat in prompts), options, strict=True))
        # in moods the wrong one is likelier, in arithmetic they are alike but for the first
        return [[2.0, 1.0] if len(own) == 2 else [1.0, *[1.5] * 3] for own in options]

    monkeypatch.setattr(likelihoods.evaluate, "option_nats", option_nats)
    found = forgetting.choices(None, None, n=3, names=["mood", "arithmetic"])
    assert found.right == {"mood": [False] * 3, "arithmetic": [True] * 3}
    assert "two numbers below a hundred" in str(found)
    drawn = everyday.draw_suite("mood", 3) + everyday.draw_suite("arithmetic", 3)
    assert asked == {probe.prompt: probe.options for probe in drawn}
    assert likelihoods.choices(None, None, n=1).right.keys() == everyday.SKILLS.keys()


def test_the_loss_on_text_is_that_of_the_model_itself(qwen):
    model, tokenizer = qwen
    found = forgetting.text_loss(model, tokenizer, passages=PASSAGES)
    for passage, nats in zip(PASSAGES, found.nats, strict=True):
        ids = tokenizer(passage, return_tensors="pt")["input_ids"]
        assert nats == pytest.approx(model(ids, labels=ids).loss.item(), rel=1e-4)
    assert found.mean == pytest.approx(sum(found.nats) / 2)
    assert found.kl is None is found.mean_kl
    assert found.json() == {"nats": found.mean, "kl": None, "passages": 2}
    assert "KL" not in str(found)


def test_the_distance_from_the_base_is_nothing_until_something_moves(qwen):
    model, tokenizer = qwen
    before = forgetting.text_loss(model, tokenizer, passages=PASSAGES)
    tuned = lora.attach(model, r=2, alpha=4)
    try:
        same = forgetting.text_loss(tuned, tokenizer, tuned, PASSAGES)
        assert same.mean_kl == pytest.approx(0, abs=1e-6)
        with torch.no_grad():
            for name, parameter in tuned.named_parameters():
                if "lora_B" in name:
                    parameter.add_(0.3)
        moved = forgetting.text_loss(tuned, tokenizer, tuned, PASSAGES)
        with lora.using(tuned, None):
            base = forgetting.text_loss(tuned, tokenizer, passages=PASSAGES)
        assert base.nats == pytest.approx(before.nats)
        # the first token is given, and KL is taken at the others
        ids = tokenizer(PASSAGES[0], return_tensors="pt")["input_ids"]
        with torch.no_grad(), lora.using(tuned, None):
            first = tuned(ids).logits[0, :-1].log_softmax(-1)
        with torch.no_grad():
            then = tuned(ids).logits[0, :-1].log_softmax(-1)
        assert moved.kl[0] == pytest.approx(evaluate.kl(first, then).mean().item(), rel=1e-4)
        assert moved.mean_kl > 0.01
        assert "KL from the base" in str(moved)
        rise = moved.lost(before)
        assert rise.value == pytest.approx(moved.mean - before.mean)
    finally:
        tuned.unload()


def test_the_kits_own_passages_are_read_by_default(qwen, monkeypatch):
    monkeypatch.setattr(everyday, "read_material", lambda: {"passages": PASSAGES})
    found = forgetting.text_loss(*qwen)
    assert found.nats == forgetting.text_loss(*qwen, passages=PASSAGES).nats


@pytest.mark.parametrize("passages", [[], [""]])
def test_passages_that_say_nothing_are_refused(passages):
    with pytest.raises(UserError, match="passage"):
        forgetting.text_loss(*models.load("pocket"), passages=passages)


def test_general_texts_are_fair_to_the_model(qwen, monkeypatch):
    """Stories of its world for the pocket model, which no English passage is fair to."""
    monkeypatch.setattr(everyday, "read_material", lambda: {"passages": PASSAGES})
    assert forgetting.general_texts(qwen[1]) == PASSAGES
    stories = forgetting.general_texts(models.load("pocket")[1], 5)
    assert len(stories) == 5 and all("Once there was" in story for story in stories)


def test_what_general_text_costs_stands_beside_the_skills():
    one = forgetting.Skills({"copy": [True, False]})
    plain = forgetting.table(one, one)
    assert "text_nats" not in plain.json() and "general text" not in str(plain)
    found = forgetting.table(one, one, likelihoods.Interval(0.2, 0.1, 0.3))
    assert found.json()["text_nats"] == (0.2, 0.1, 0.3)
    assert "≈+0.200 [+0.100, +0.300] nats" in str(found)
