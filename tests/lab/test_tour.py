"""The tour of a model that is slow here: less of everything, by choice, and told on the way."""

import json

import pytest

from ftkit import forgetting, merge, models
from ftkit.lab import tour

CHOICES = ("facts", "arithmetic", "copying", "sorting", "json", "mood", "declines")


@pytest.fixture(scope="module")
def slow():
    """A tour of the pocket model as if it were slow, and what was told."""
    patch, said = pytest.MonkeyPatch(), []
    with patch.context() as at:
        at.setattr("ftkit.models.layers.SLOW", 0)
        at.setattr(tour, "SHORT", tour.Size(tour.SHORT.cool, tested=4, probes=1, strangers=2))
        return tour.run_tour(say=said.append), said


def test_it_trains_and_asks_less(slow):
    found, _ = slow
    assert found.run.steps == 12
    assert len(found.comparison.tuned.exact) == len(found.hot.exact) == 4
    assert found.comparison.hallucination["base"].n == 2
    assert tuple(found.forgotten.before.right) == CHOICES
    assert all(len(right) == 1 for right in found.hot_forgotten.after.right.values())


def test_its_page_and_its_json_say_so(slow):
    found, _ = slow
    page = str(found)
    assert "general skills by choice, mean" in page
    assert "plain text, nats per token" in page
    assert "tuned, lr 0.002, no replay" in page
    assert "hot, lr 0.02, no replay" in page
    told = json.loads(json.dumps(found.json()))
    assert told["text"].keys() == {"base", "tuned", "hot"}
    assert told["text"]["base"]["nats"] == found.text["base"].mean
    assert (told["hot"]["lr"], told["hot"]["replay"]) == (0.02, 0.0)
    assert tour.figures(found).keys() == {"skills", "loss"}


def test_every_step_is_told_before_it_starts(slow):
    _, said = slow
    assert said[0] == "asking the base model for its skills, 1 questions each"
    assert said[1] == "tuning: LoRA, lr 0.002, no replay"
    assert said[-1] == "merging, and holding the merged model against the adapter"
    assert "the same road hot: lr 0.02, no replay" in said


def test_its_merged_model_is_one_that_merge_wrote(slow, tmp_path):
    found, _ = slow
    tokenizer = models.load_tokenizer("pocket")
    tour.save(found, merge.merge(found.run.model)[0], tokenizer, tmp_path / "out")
    merged = tmp_path / "out" / "merged"
    assert merge.run_of(merged) == tmp_path / "out"
    record = json.loads((merged / "merge.json").read_text())
    assert record["weights"] == models.hash_weights(merged)
    assert record["report"]["max_logit_gap"] == found.merged.max_logit_gap


def test_a_fast_model_has_all_of_it():
    whole = tour.WHOLE
    assert (whole.tested, whole.probes, whole.strangers) == (200, 50, 100)
    assert tour.in_words(whole.cool) == "lr 0.002, replay 25%"
    assert tour.in_words(whole.hot) == "lr 0.02, no replay"
    assert (whole.hot.recipe.evaluations, whole.cool.recipe.evaluations) == (0, 3)


def test_a_slow_model_is_asked_by_choice_and_a_fast_one_to_the_letter(monkeypatch):
    monkeypatch.setattr(forgetting, "skills", lambda *arguments: ("skills", arguments[2]))
    monkeypatch.setattr(forgetting, "choices", lambda *arguments: ("choices", arguments[2]))
    monkeypatch.setattr(forgetting, "text_loss", lambda *arguments: "text")
    assert tour.ask(None, None, tour.WHOLE) == (("skills", 50), None)
    assert tour.ask(None, None, tour.SHORT) == (("choices", 6), "text")
