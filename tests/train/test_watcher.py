"""Where no bar can be drawn, a run tells how far it is at each quarter, and how long it takes."""

import pytest
import torch
from transformers import set_seed

from ftkit import data, lora, models
from ftkit.train import Recipe, TokenLosses, sft, tell_steps, watcher


def told(monkeypatch, seconds_per_step, steps):
    """What is said over a run whose every step takes so long."""
    clock, said = [0.0], []
    monkeypatch.setenv("FTKIT_PROGRESS", "0")
    monkeypatch.setattr(watcher.time, "monotonic", lambda: clock[0])
    watch = tell_steps(said.append)
    losses = []
    for step in range(1, steps + 1):
        clock[0] += seconds_per_step
        watch(step, steps, losses, [])
        losses.append((step, 1 / step))
    return said


def test_a_line_at_each_quarter_with_the_time_to_go(monkeypatch):
    assert told(monkeypatch, 10.0, 8) == [
        "step 2 of 8, loss 1.000, about 60 s to go",
        "step 4 of 8, loss 0.333, about 40 s to go",
        "step 6 of 8, loss 0.200, about 20 s to go",
    ]


def test_a_run_of_few_steps_tells_no_step_twice_and_the_last_one_not_at_all(monkeypatch):
    assert told(monkeypatch, 30.0, 2) == ["step 1 of 2, about 30 s to go"]
    assert told(monkeypatch, 30.0, 1) == []


def test_what_is_over_in_a_moment_tells_nothing(monkeypatch):
    assert told(monkeypatch, 0.01, 100) == []


def test_where_a_bar_shows_nothing_is_told_beside_it(monkeypatch):
    monkeypatch.setenv("FTKIT_PROGRESS", "1")
    assert tell_steps(print) is None


def test_token_losses_are_noted_and_leave_the_run_as_it_was():
    rows = data.first(data.load("tickets")["train"], 8)
    recipe = Recipe(lr=2e-3, epochs=2, batch_size=4, evaluations=0)
    runs, seen = [], None
    for watched in (False, True):
        model, tokenizer = models.load("pocket")
        set_seed(0)
        adapted = lora.attach(model, r=4, alpha=8)
        if watched:
            seen = TokenLosses(adapted, tokenizer, rows[0]["messages"], at=[2])
        runs.append(sft(adapted, tokenizer, {"train": rows}, recipe, watch=seen))
    plain, watched = runs
    assert plain.losses == watched.losses
    assert list(seen.losses) == [0, 2, 4]
    assert len(seen.tokens) == len(seen.learned) == len(seen.losses[4])

    # as the model's own loss counts them, before and after
    def own(step):
        pairs = zip(seen.losses[step], seen.learned, strict=True)
        learned = [loss for loss, own in pairs if own]
        return sum(learned) / len(learned)

    ids = torch.tensor([seen.ids])
    labels = ids.masked_fill(~torch.tensor([seen.learned]), -100)
    with torch.no_grad():
        now = watched.model.eval()(input_ids=ids, labels=labels).loss.item()
    assert own(4) == pytest.approx(now, rel=1e-4)
    assert own(4) < own(2) < own(0)
