"""The shipped model is the one on its card, and it stands at its bars."""

import json

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from ftkit import forgetting, models
from ftkit.core.files import data_path
from ftkit.pocket.card import as_markdown
from ftkit.world import skills

CARD = json.loads(data_path("pocket", "card.json").read_text())


@pytest.fixture(scope="module")
def measured():
    """Every suite of the card, measured again on 100 other probes."""
    names = [*skills.SKILLS, *skills.LIMITS]
    return forgetting.skills(*models.load("pocket"), n=100, seed=7, names=names).rates


def test_the_weights_are_the_cards_and_small_enough_to_ship():
    assert models.hash_weights(data_path("pocket")) == CARD["weights"]
    assert data_path("pocket", "model.safetensors").stat().st_size <= 12_000_000


def test_widths_suit_every_quantizer():
    config = json.loads(data_path("pocket", "config.json").read_text())
    assert config["hidden_size"] % 256 == config["intermediate_size"] % 256 == 0
    # k and v are not square: a lesson needs that
    assert config["num_key_value_heads"] < config["num_attention_heads"]


def test_the_model_loads_as_any_other_in_transformers():
    tokenizer = AutoTokenizer.from_pretrained(data_path("pocket"))
    model = AutoModelForCausalLM.from_pretrained(data_path("pocket"))
    assert "{% generation %}" in tokenizer.chat_template
    assert sum(p.numel() for p in model.parameters()) == CARD["parameters"]


@pytest.mark.parametrize("name", [k for k, s in skills.SKILLS.items() if s.bar])
def test_the_card_meets_its_bars(name):
    score = CARD["skills"][name]
    assert score["right"] / score["n"] >= skills.SKILLS[name].bar


@pytest.mark.parametrize("name", [*skills.SKILLS, *skills.LIMITS])
def test_other_probes_agree_with_the_card(name, measured):
    card = (CARD["skills"] | CARD["limits"])[name]
    low, high = measured[name].interval
    assert low - 0.03 <= card["right"] / card["n"] <= high + 0.03


def test_the_readable_card_shows_the_cards_numbers():
    assert data_path("pocket", "README.md").read_text() == as_markdown(CARD)
