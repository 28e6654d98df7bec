"""What is measured on a run: a point in, a row out."""

import json

import pytest

from ftkit.lab import measuring, runner
from ftkit.lab.points import LoraRow, PlaygroundRow, Point, read_row


def test_a_run_of_the_lora_grid_is_measured():
    point = Point("facts", r=2, alpha=4, lr=5e-3, epochs=1)
    row = measuring.measure_lora(point)
    assert row.point == point
    assert row.trainable == 32_768
    assert 0 <= row.task <= row.stored + 0.1 <= 1.1
    assert set(row.skills) >= {"known", "copy", "refusal"}
    assert row.ranks["0.99"] <= 2 / 128
    assert row.size > 0
    assert row.truncated is None
    stored = json.loads(json.dumps(runner.columns(row)))
    assert read_row(LoraRow, stored).loss == pytest.approx(row.loss, rel=1e-4)


def test_a_full_update_is_truncated(monkeypatch):
    """Cut to nothing the base is left, and uncut the tuned model; here with one score a model."""
    monkeypatch.setattr(measuring, "CUTS", (0, 4))
    asked = []

    def score(model, *_):
        asked.append({n: p.detach().clone() for n, p in model.named_parameters()})
        return measuring.Scores(0.0, {}, None)

    monkeypatch.setattr(measuring, "score_run", score)
    row = measuring.measure_lora(Point(r=0, alpha=0, lr=1e-3, epochs=1, rows=16, batch_size=4))
    assert list(row.truncated) == ["0", "4", "full"]
    tuned, nothing, four, whole = asked
    base, _ = measuring.models.load("pocket")
    for name, layer in measuring.models.linears(base).items():
        name = f"{name}.weight"
        assert nothing[name].equal(layer.weight)
        assert whole[name].allclose(tuned[name], atol=1e-6)
        assert not four[name].equal(nothing[name])
        assert not four[name].allclose(whole[name], atol=1e-6)


def test_a_run_of_the_playground_is_measured():
    point = Point(
        r=4, rows=16, batch_size=8, epochs=1, evaluations=1, replay=0.2, replayed="self", kl=0.5
    )
    row = measuring.measure_playground(point)
    assert row.point == point
    assert row.experiment() == point.experiment()
    assert row.method == "lora"
    assert 0 < row.kl_general < row.kl_task
    assert [step for step, _ in row.curve] == [1, 2, 3]
    assert len(row.validation) == 1
    stored = json.loads(json.dumps(runner.columns(row)))
    assert read_row(PlaygroundRow, stored).point == point
