"""Base beside tuned: each model is asked as what it is, and one object cannot be both."""

import dataclasses
import json
from functools import partial

import pytest
import torch

from ftkit import UserError, data, evaluate, lora, models
from ftkit.core import Rate
from ftkit.evaluate import comparison


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


@pytest.fixture(scope="module")
def tuned():
    """A model with an adapter that has a real effect."""
    model = lora.attach(models.load("pocket")[0], r=4)
    torch.manual_seed(1)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=1.0)
    return model


@pytest.fixture(scope="module")
def rows():
    return data.load("tickets")["test"].select(range(4))


@pytest.fixture
def quick(monkeypatch):
    """Four timed tokens, where time is not what is tested."""
    monkeypatch.setattr(comparison, "latency", partial(evaluate.latency, tokens=4))


def test_compare_refuses_one_object_as_both(pocket, rows):
    model, tokenizer = pocket
    with pytest.raises(UserError, match="same model object"):
        evaluate.compare(model, model, tokenizer, rows)
    with pytest.raises(UserError, match="no test rows"):
        evaluate.compare(model, model, tokenizer, [])


def test_the_base_inside_a_tuned_model_is_asked_with_the_adapter_off(pocket, tuned, rows, quick):
    """Given as another model, as the base inside, or as the tuned model itself: the same base."""
    model, tokenizer = pocket
    alone = evaluate.score(model, tokenizer, rows).replies
    for base in (model, tuned.get_base_model(), tuned):
        compared = evaluate.compare(base, tuned, tokenizer, rows, strangers=2)
        assert compared.base.replies == alone != compared.tuned.replies


def test_the_json_is_one_entry_per_dimension(pocket, tuned, rows, quick):
    compared = evaluate.compare(tuned, tuned, pocket[1], rows, strangers=2)
    record = json.loads(json.dumps(compared.json()))
    dimensions = ["task", "format", "format_errors", "key_order", "cut_off", "fields"]
    dimensions += ["hallucination", "invented", "gain", "latency_ms", "latency_p95_ms"]
    assert list(record) == dimensions
    kinds = ["not JSON", "missing key", "extra key", "wrong type"]
    assert list(record["format_errors"]) == kinds
    assert record["format_errors"]["not JSON"]["n"] == 4
    assert record["task"]["n"] == 4
    assert record["hallucination"]["n"] == 2
    assert list(record["latency_ms"]) == ["base", "tuned"]
    assert record["gain"] == list(compared.gain)
    assert "task: exact answer" in str(compared)


def test_keys_in_another_order_and_replies_cut_off_are_said_where_there_are_any(pocket):
    speed = evaluate.Latency({"base": [1.0] * 3, "tuned": [1.0] * 3})
    made_up = {"base": Rate(0, 2), "tuned": Rate(0, 2)}
    plain = evaluate.Score(
        "model", [""], [True], Rate(1, 1), {}, Rate(0, 0), Rate(1, 1), Rate(0, 1)
    )
    odd = dataclasses.replace(plain, order=Rate(0, 1), cut_off=Rate(1, 1))
    assert "keys" not in str(evaluate.Comparison(plain, plain, made_up, speed))
    shown = str(evaluate.Comparison(plain, odd, made_up, speed))
    assert "keys in the gold's order" in shown
    assert "replies cut off" in shown


def test_kinds_of_format_errors_are_lines_where_one_of_the_two_has_some():
    speed = evaluate.Latency({"base": [1.0] * 3, "tuned": [1.0] * 3})
    made_up = {"base": Rate(0, 2), "tuned": Rate(0, 2)}
    clean = {"not JSON": Rate(0, 4), "missing key": Rate(0, 4)}
    tuned = evaluate.Score("tuned", [""], [True], Rate(1, 1), {}, Rate(0, 0), errors=clean)
    base = dataclasses.replace(tuned, name="base", errors={**clean, "missing key": Rate(3, 4)})
    compared = evaluate.Comparison(base, tuned, made_up, speed)
    assert "· missing key" in str(compared)
    assert "not JSON" not in str(compared)
    record = compared.json()["format_errors"]["missing key"]
    assert (record["base"], record["tuned"], record["n"]) == (0.75, 0, 4)
    # a score that was made without them has none to judge
    old = dataclasses.replace(base, errors={})
    assert (
        evaluate.Comparison(old, tuned, made_up, speed).json()["format_errors"]["not JSON"]["base"]
        is None
    )


def test_a_schema_judges_both(pocket, tuned, rows, quick):
    schema = {"required": ["name"], "propertyOrdering": ["name", "city"]}
    compared = evaluate.compare(tuned, tuned, pocket[1], rows, strangers=2, schema=schema)
    rule = "against a rule of the schema"
    assert rule in compared.base.errors and rule in compared.tuned.errors
    assert "keys in another order" in compared.json()["format_errors"]


def test_free_text_has_no_format_in_a_record():
    words = evaluate.Score("model", [""], [True], Rate(0, 0), {}, Rate(0, 0))
    speed = evaluate.Latency({"base": [1.0] * 3, "tuned": [1.0] * 3})
    made_up = {"base": Rate(0, 2), "tuned": Rate(0, 2)}
    record = evaluate.Comparison(words, words, made_up, speed).json()
    assert (record["format"]["base"], record["format"]["tuned"]) == (None, None)


def test_a_base_that_has_answered_is_not_asked_again(pocket, tuned, rows, quick):
    base, tokenizer = pocket
    first = evaluate.compare(base, tuned, tokenizer, rows, strangers=3)
    again = evaluate.compare_again(first, base, tuned, tokenizer, rows)
    assert again.base is first.base and again.tuned == first.tuned
    assert again.hallucination == first.hallucination
    with pytest.raises(UserError, match="on other rows"):
        evaluate.compare_again(first, base, tuned, tokenizer, rows.select([2, 3]))
