"""Pretraining: packed documents do not see each other, and a killed run goes on with the same
bytes.
"""

import dataclasses

import pytest
import torch

from ftkit import UserError
from ftkit.pocket import pretraining
from ftkit.pocket.batches import make_batch
from ftkit.pocket.plan import Plan, new_model, train_tokenizer
from ftkit.world import World, corpus, turns

PLAN = Plan(
    vocabulary=512,
    hidden=64,
    layers=2,
    heads=4,
    kv_heads=2,
    mlp=64,
    steps=6,
    phases=(2, 3, 4, 5),
    warmup=2,
    tokens_per_step=768,
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(PLAN)


def test_a_killed_run_continues_with_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "quick_probes", lambda *_: {})
    whole, _, log = pretraining.pretrain(PLAN, tmp_path / "whole", save_every=3)
    pretraining.pretrain(PLAN, tmp_path / "killed", save_every=3, stop_at=4)
    resumed, _, log2 = pretraining.pretrain(PLAN, tmp_path / "killed", save_every=3)
    assert log["tokens"] == log2["tokens"]
    assert log["step"] == log2["step"] == 6
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    fresh = new_model(PLAN, train_tokenizer(PLAN)).state_dict()
    assert not torch.equal(fresh["model.norm.weight"], whole.state_dict()["model.norm.weight"])


def test_a_checkpoint_of_another_plan_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "quick_probes", lambda *_: {})
    pretraining.pretrain(PLAN, tmp_path, stop_at=1)
    with pytest.raises(UserError, match=r"steps was 6 and is 7 now"):
        pretraining.pretrain(dataclasses.replace(PLAN, steps=7), tmp_path)


def test_packed_documents_do_not_see_each_other(tokenizer):
    model = new_model(PLAN, tokenizer).eval()
    model.set_attn_implementation("eager")
    data = make_batch(PLAN, World(), tokenizer, 3)
    row = data["input_ids"][0]
    starts = [i for i, token in enumerate(row.tolist()) if token == tokenizer.bos_token_id]
    assert len(starts) >= 3
    with torch.no_grad():
        packed = model(
            input_ids=data["input_ids"], position_ids=data["position_ids"], use_cache=False
        ).logits[0, starts[1] : starts[2]]
        alone = model(input_ids=row[None, starts[1] : starts[2]]).logits[0]
        leaking = model(input_ids=data["input_ids"][:1], use_cache=False).logits[
            0, starts[1] : starts[2]
        ]
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-4)
    assert (leaking - alone).abs().max() > 1e-3


def test_long_documents_come_in_every_eighth_step(tokenizer):
    plan = Plan(vocabulary=512)
    short, long = (make_batch(plan, World(), tokenizer, step)["input_ids"] for step in (2000, 2007))
    assert short.shape == (12, 192)
    assert long.shape == (6, 384)


def test_the_template_renders_what_the_corpus_writes(tokenizer):
    turn = turns.Turn("Who is it?", "Vezan Tolber", system="Answer in a sentence.")
    messages = [
        {"role": r, "content": c}
        for r, c in (("system", turn.system), ("user", turn.prompt), ("assistant", turn.answer))
    ]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    assert rendered == "".join(text for text, _ in corpus.chat(turn))
    marked = tokenizer.apply_chat_template(
        messages, return_assistant_tokens_mask=True, return_dict=True
    )
    answer = [i for i, on in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if on]
    assert tokenizer.decode(answer) == "Vezan Tolber<|end|>"


def test_the_learning_rate_warms_up_holds_and_falls_to_zero():
    plan = Plan(steps=100, warmup=10, decay=0.2, lr=1.0)
    rates = [pretraining.learning_rate(plan, s) for s in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:80] == [1.0] * 70
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)
    again = [
        pretraining.learning_rate(dataclasses.replace(plan, steps=150, reheat=100), s)
        for s in range(150)
    ]
    assert again[:100] == rates
    assert max(again[100:]) == pytest.approx(0.5 * 41 / 50, abs=0.02)
    assert again[149] == pytest.approx(0.01)


def test_known_and_unknown_names_tokenise_alike():
    """Names of this world are as many tokens long as strangers': one token for a known name would
    give 'I don't know' away.
    """
    import random

    from transformers import AutoTokenizer

    from ftkit.core.files import data_path
    from ftkit.world.entities import new_name

    pocket = AutoTokenizer.from_pretrained(data_path("pocket"))
    rng = random.Random(0)
    known = [name for name, facts in World().biographies.items() if facts[0].kind == "person"]
    strangers = [new_name("person", rng, "test") for _ in range(300)]
    lengths = [
        sum(len(pocket(n, add_special_tokens=False)["input_ids"]) for n in group) / len(group)
        for group in (known, strangers)
    ]
    assert abs(lengths[0] - lengths[1]) < 0.6
