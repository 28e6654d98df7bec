"""Pretraining: a killed run goes on with the same bytes, and only with its own plan."""

import dataclasses

import pytest
import torch

from ftkit import UserError
from ftkit.pocket import pretraining
from ftkit.pocket.plan import Plan, new_model, train_tokenizer

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


@pytest.fixture
def unasked(monkeypatch):
    """Checkpoints without probes, which would take most of the time."""
    monkeypatch.setattr(pretraining, "quick_probes", lambda *_: {})


def test_a_killed_run_continues_with_the_same_bytes(tmp_path, unasked):
    whole, _, log = pretraining.pretrain(PLAN, tmp_path / "whole", save_every=3)
    pretraining.pretrain(PLAN, tmp_path / "killed", save_every=3, stop_at=4)
    resumed, _, log2 = pretraining.pretrain(PLAN, tmp_path / "killed", save_every=3)
    assert log.tokens == log2.tokens
    assert log.step == log2.step == 6
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    fresh = new_model(PLAN, train_tokenizer(PLAN)).state_dict()
    assert not torch.equal(fresh["model.norm.weight"], whole.state_dict()["model.norm.weight"])


def test_one_checkpoint_is_kept_and_what_a_kill_left_is_swept(tmp_path, unasked):
    pretraining.pretrain(PLAN, tmp_path, save_every=1, stop_at=3)
    folder = tmp_path / "checkpoints"
    assert [path.name for path in folder.iterdir()] == ["checkpoint-3"]
    (folder / ".new-5").mkdir()
    _, _, log = pretraining.pretrain(PLAN, tmp_path, stop_at=4)
    assert log.step == 4
    assert [path.name for path in folder.iterdir()] == ["checkpoint-4"]


@pytest.mark.parametrize(
    ("change", "told"),
    [({"steps": 7}, "steps was 6 and is 7 now"), ({"hidden": 32}, "hidden was 64 and is 32 now")],
)
def test_a_checkpoint_of_another_plan_is_refused(change, told, tmp_path, unasked):
    pretraining.pretrain(PLAN, tmp_path, stop_at=1)
    with pytest.raises(UserError, match=told):
        pretraining.pretrain(dataclasses.replace(PLAN, **change), tmp_path)


def test_the_learning_curve_has_the_mean_loss_and_every_skill(tmp_path, monkeypatch):
    monkeypatch.setattr(pretraining, "CURVE_EVERY", 2)
    monkeypatch.setattr(pretraining, "QUICK", 1)
    _, _, log = pretraining.pretrain(PLAN, tmp_path, save_every=3, stop_at=4)
    assert [point["step"] for point in log.curve] == [2, 4]
    assert all(5 < point["loss"] < 7 for point in log.curve)
    assert [point["step"] for point in log.probes] == [3, 4]
    assert {"known", "copy", "read_json"} < log.probes[0].keys()


def test_a_model_is_shipped_with_its_card_and_its_checkpoints_go(tmp_path, unasked):
    text = pretraining.pretrain_and_ship(PLAN, tmp_path, probes=1)
    assert text == (tmp_path / "README.md").read_text()
    assert text.startswith("# The pocket model")
    names = {path.name for path in tmp_path.iterdir()}
    assert {"card.json", "README.md", "model.safetensors", "tokenizer.json"} < names
    assert "checkpoints" not in names


def test_the_learning_rate_warms_up_holds_and_falls_to_zero():
    plan = Plan(steps=100, warmup=10, decay=0.2, lr=1.0)
    rates = [pretraining.learning_rate(plan, s) for s in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[10:80] == [1.0] * 70
    assert rates[90] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.05)
    reheated = dataclasses.replace(plan, steps=150, reheat=100)
    again = [pretraining.learning_rate(reheated, s) for s in range(150)]
    assert again[:100] == rates
    assert max(again[100:]) == pytest.approx(0.5 * 41 / 50, abs=0.02)
    assert again[149] == pytest.approx(0.01)
