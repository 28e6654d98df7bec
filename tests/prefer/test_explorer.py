"""Pictures of preferences: numbers in, a drawing out, and controls that offer what there is."""

import dataclasses
import re

import pytest

from ftkit import UserError, prefer
from ftkit.prefer import Pushes, explorer

SCORES = {"pairs right": 1.0, "unsure": 0.1, "right": 0.25, "over_refusal": 0.0, "skills": 0.5}


def pair_row(lr=2e-3, beta=0.1, seed=0, right=0.25):
    return prefer.PreferenceRow(
        lr=lr, beta=beta, seed=seed, scores={**SCORES, "right": right},
        before={"right": 1.0, "unsure": 0.0, "over_refusal": 0.0, "skills": 1.0},
        columns=("step", "loss", "right", "chosen", "rejected", "fell"),
        curve=[[1, 0.7, 0, -12, -6, 0], [2, 0.1, 1, -20 - seed, -90, 1]],
        sample="IIII", stopped=None, seconds=1.0,
    )  # fmt: skip


def reward_row(source="words", beta=0.0, group=8, seed=0, stop_at=0.0, steps=16):
    return prefer.PreferenceRow(
        study="hacking", teacher="rloo", source=source, beta=beta, group=group, seed=seed,
        stop_at=stop_at, steps=steps, scores={}, before={},
        columns=("step", "reward", "kl", "gold"),
        curve=[[1, 1.5, 0.0, 1.9], [2, 4.0 + seed, 30.0, -4.0]],
        sample="", stopped=None, seconds=1.0,
    )  # fmt: skip


def test_pairs_show_what_the_loss_hides():
    drawn = prefer.pairs_view([pair_row(seed=seed, right=0.2 + 0.1 * seed) for seed in (0, 1)])
    assert "100 % of the pairs right, 25 % of the known facts" in drawn.svg
    assert drawn.text.startswith("dpo, rate 0.002, β 0.1: pairs right ≈100 %")
    # two seeds and their mean, of two columns, and two axes; a tick for each of four befores
    assert drawn.svg.count("<polyline") >= 6 + 1 + 4


def test_settings_are_not_mixed():
    with pytest.raises(UserError, match="these are runs of 2 settings; give the seeds of one"):
        prefer.pairs_view([pair_row(), pair_row(beta=0.5)])
    with pytest.raises(UserError, match="no run of the grid has this setting"):
        prefer.pairs_view([])
    other = dataclasses.replace(pair_row(), start="sft")
    with pytest.raises(UserError, match=r"several values of start \(base, sft\)"):
        prefer.explore_pairs([pair_row(), other])
    with pytest.raises(UserError, match="there are no such runs"):
        prefer.explore_rewards([pair_row()])


def test_a_rate_offers_the_strengths_that_were_tried_with_it():
    panel = prefer.explore_pairs([pair_row(), pair_row(beta=0.5), pair_row(lr=1e-2)])
    panel.choose(lr=2e-3, beta=0.5)
    assert "β 0.5" in panel.html
    panel.choose(lr=1e-2)
    assert panel.values() == {"lr": 1e-2, "beta": 0.1}


def test_a_reward_is_shown_beside_gold_and_distance():
    rows = [reward_row(seed=0), reward_row(seed=1), reward_row(beta=0.3), reward_row(stop_at=5.0)]
    panel = prefer.explore_rewards([*rows, reward_row(steps=40)])
    panel.choose(source="words", group=8, beta=0.0)
    assert "reward 1.5 → 4.5, gold 1.9 → -4.0" in panel.html
    assert "kl ≈0 → ≈30" in panel.text


def test_tokens_are_pushed_up_and_down():
    pushes = Pushes((["I", " don't"], [-3.0, 1.0]), (["No"], [-9.0]))
    drawn = prefer.pushes_view(pushes)
    assert "The chosen answer falls by 2.0 nats, the rejected falls by 9.0" in drawn.svg
    assert drawn.text == "chosen ≈-2 nats, rejected ≈-9 nats; of the chosen 'I' loses most, ≈-3"
    assert drawn.svg.count("#4a7fe2") == 2  # both that lost three nats or more
    panel = prefer.explore_pushes({0: pushes, 5: pushes})
    panel.choose(step=5)
    with pytest.raises(UserError, match="there are no steps"):
        prefer.explore_pushes({})


def test_a_number_does_not_lie_on_the_tick_of_before():
    drawn = prefer.pairs_view([pair_row(right=0.95)])
    (x,) = re.findall(r"x='([\d.]+)'[^>]*>95<", drawn.svg)
    assert float(x) > explorer.BARS.left + explorer.BARS.width  # the tick, at 100 %


def test_large_numbers_at_an_axis_are_written_out():
    assert [explorer.tick(value) for value in (187.99, -4.05, 0.0)] == ["188", "-4", "0"]
