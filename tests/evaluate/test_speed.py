"""Speed: every candidate is timed as often, and a slowdown is a ratio with its interval."""

import pytest
import torch

from ftkit import evaluate, lora, models


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


CHAT = [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hello!"}]


def test_latency_times_every_candidate(pocket):
    model, tokenizer = pocket
    speed = evaluate.latency({"a": model, "b": model}, tokenizer, CHAT, tokens=4, rounds=3)
    assert {name: len(values) for name, values in speed.ms.items()} == {"a": 3, "b": 3}
    assert all(value > 0 for values in speed.ms.values() for value in values)
    assert "≈" in str(speed)


def test_an_adapter_is_off_while_its_base_is_timed(pocket, monkeypatch):
    """What the timed model writes is what the base writes, and each answer has all its tokens."""
    base, tokenizer = pocket
    tuned = lora.attach(models.load("pocket")[0], r=2)
    with torch.no_grad():
        for name, p in tuned.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=1.0)
    written, generate = [], tuned.generate
    monkeypatch.setattr(
        tuned, "generate", lambda **asked: written.append(generate(**asked)) or written[-1]
    )
    candidates = {"off": evaluate.AdapterOff(tuned), "on": tuned}
    evaluate.latency(candidates, tokenizer, CHAT, tokens=6, rounds=1)
    ids = tokenizer.apply_chat_template(
        CHAT[:1], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    alone = base.generate(ids, max_new_tokens=6, min_new_tokens=6, do_sample=False)
    assert [torch.equal(ids, alone) for ids in written] == [True, False, True, False]
    assert all(ids.shape == alone.shape for ids in written)


def test_a_slowdown_is_the_median_ratio_of_the_rounds():
    speed = evaluate.Latency({"adapter": [2.0, 4.4, 6.0, 8.0], "merged": [1.0, 2.0, 3.0, 4.0]})
    assert speed.slowdown("adapter", "merged") == (2.0, 2.0, 2.2)
    assert speed.slowdown("merged", "merged") == (1.0, 1.0, 1.0)


def test_a_clock_of_your_own_is_the_one_that_is_read(pocket):
    model, tokenizer = pocket
    ticks = iter(range(1000))
    speed = evaluate.latency(
        {"a": model}, tokenizer, CHAT, tokens=4, rounds=3, clock=lambda: 4 * next(ticks)
    )
    assert speed.ms["a"] == [1000.0] * 3  # four seconds by this clock, over four tokens


def test_p95_is_what_95_of_100_rounds_stay_within():
    speed = evaluate.Latency({"a": [float(n) for n in range(1, 102)], "b": [3.0, 1.0]})
    assert speed.p95("a") == pytest.approx(96)
    assert 2.8 < speed.p95("b") <= 3
    assert "p95" in str(speed)
