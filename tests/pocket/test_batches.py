"""Batches: packed documents do not see each other, and long ones have room."""

import pytest
import torch

from ftkit.pocket.batches import loss_weight, make_batch
from ftkit.pocket.plan import Plan, new_model, train_tokenizer
from ftkit.world import World

PLAN = Plan(vocabulary=512, hidden=64, layers=2, heads=4, kv_heads=2, mlp=64, tokens_per_step=768)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(PLAN)


def test_packed_documents_do_not_see_each_other(tokenizer):
    model = new_model(PLAN, tokenizer).eval()
    model.set_attn_implementation("eager")
    data = make_batch(PLAN, World(), tokenizer, 3)
    ids, positions = data["input_ids"][:1], data["position_ids"][:1]
    starts = [i for i, token in enumerate(ids[0].tolist()) if token == tokenizer.bos_token_id]
    assert len(starts) >= 3
    second = slice(starts[1], starts[2])
    with torch.no_grad():
        packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0, second]
        alone = model(input_ids=ids[:, second]).logits[0]
        leaking = model(input_ids=ids, use_cache=False).logits[0, second]
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-4)
    assert (leaking - alone).abs().max() > 1e-3


def test_long_documents_come_in_every_eighth_step(tokenizer):
    plan = Plan(vocabulary=512)
    short, long = (make_batch(plan, World(), tokenizer, step)["input_ids"] for step in (2000, 2007))
    assert short.shape == (12, 192)
    assert long.shape == (6, 384)


def test_a_short_answer_counts_as_much_as_six_tokens():
    assert 2 * loss_weight("answer", 2, answering=True) == 6
    assert loss_weight("answer", 10, answering=True) == 1
    assert loss_weight("mark", 1, answering=False) == 0
