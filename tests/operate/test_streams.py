"""Simulated streams: what is planted is there, from its day on, and nothing else is."""

import json

import numpy as np
import pytest

from ftkit import UserError, data, operate
from ftkit.operate import streams

SCENE = operate.Scene(days=20, per_day=200)


@pytest.fixture(scope="module")
def pools():
    usual = operate.draw_tickets(60)
    known = [chat[0]["content"] for chat in usual["messages"]]
    changed = operate.draw_tickets(60, "new wordings")
    return operate.Pool.of(usual, 0.95, known=known), operate.Pool.of(changed, 0.0, known=known)


def flat(stream):
    return [stream.right, stream.judged, stream.thumbs, stream.latency, stream.tokens]


@pytest.mark.parametrize("change", operate.CHANGES)
def test_a_ticket_is_answered_by_what_stands_in_it(change):
    rows = operate.draw_tickets(20, change)
    for question, answer in rows["messages"]:
        fields = json.loads(answer["content"])
        assert set(fields) == {"name", "city", "item", "issue", "order", "urgent"}
        text = question["content"]
        assert all(str(fields[key]) in text for key in ("name", "city", "item", "issue", "order"))
    assert len({chat[0]["content"] for chat in rows["messages"]}) == 20
    first = operate.draw_tickets(5, change)
    assert first["messages"] == rows["messages"][:5]
    assert operate.draw_tickets(5, change, seed=1)["messages"] != first["messages"]


def test_each_change_changes_its_one_thing():
    fields = {}
    for change in operate.CHANGES:
        chats = operate.draw_tickets(30, change)["messages"]
        fields[change] = [json.loads(chat[1]["content"]) for chat in chats]
    known = {field["item"] for field in fields["usual"]}
    assert {len(str(field["order"])) for field in fields["longer order numbers"]} == {6}
    assert {len(str(field["order"])) for field in fields["new products"]} == {4}
    assert not {field["item"] for field in fields["new products"]} & known
    items = {field["item"] for field in fields["longer order numbers"]}
    assert items <= set(streams.world.lexicon.ITEMS)


def test_words_are_seen_by_their_form():
    assert streams.forms_of("My order 4711: the Dunix is late.") == [
        "Xx", "order", "9999", "the", "Xx", "is", "late",
    ]  # fmt: skip
    found = streams.features_of(["the fan is late 12", "the Fan"], {"the", "is", "late"})
    assert found["words"].tolist() == [5, 2]
    assert found["digits"].tolist() == [2, 0]
    assert found["names"].tolist() == [0, 1]
    assert found["new words"].tolist() == [2, 1]  # fan and 99; Xx


def test_the_same_seed_is_the_same_stream(pools):
    shift = operate.Shift("inputs", 0.3, 10)
    one, same, other = (operate.simulate(*pools, shift, 2, SCENE, seed=seed) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(flat(one), flat(same), strict=True))
    assert (one.latency != other.latency).all()
    assert one.right.shape == (2, 20, 200) and one.days == 20


KINDS = {
    "inputs": (0.5, lambda s: s.features["new words"].mean((0, 2)) > 0.5),
    "quality": (0.5, lambda s: s.right.mean((0, 2)) < 0.7),
    "latency": (0.5, lambda s: np.median(s.latency, 2).mean(0) > 210),
    "tail": (0.2, lambda s: np.quantile(s.latency, 0.95, 2).mean(0) > 500),
    "tokens": (0.2, lambda s: s.tokens.mean((0, 2)) > 82),
    "mood": (2.0, lambda s: (s.thumbs < 0).mean((0, 2)) > 0.05),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_shift_is_there_from_its_day_on_and_touches_nothing_before(pools, kind):
    size, is_there = KINDS[kind]
    stream = operate.simulate(*pools, operate.Shift(kind, size, 10), 20, SCENE)
    assert is_there(stream).tolist() == [False] * 10 + [True] * 10
    healthy = operate.simulate(*pools, None, 20, SCENE)
    for a, b in zip(flat(stream), flat(healthy), strict=True):
        assert (a[:, :10] == b[:, :10]).all()


def test_thumbs_and_golds_come_as_often_as_they_are_said_to(pools):
    stream = operate.simulate(pools[0], None, operate.Shift("quality", 0.5, 0), 10, SCENE)
    users = SCENE.users
    down = stream.thumbs < 0
    assert down[~stream.right].mean() == pytest.approx(users.down_if_wrong, abs=0.01)
    assert down[stream.right].mean() == pytest.approx(users.down_if_right, abs=0.005)
    assert (stream.thumbs[stream.right] > 0).mean() == pytest.approx(users.up_if_right, abs=0.01)
    assert not (stream.thumbs[~stream.right] > 0).any()
    assert stream.judged.mean() == pytest.approx(SCENE.judged, abs=0.005)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (lambda p: operate.draw_tickets(3, "new wording"), "Did you mean 'new wordings'"),
        (lambda p: operate.draw_tickets(0), "n is 0"),
        (lambda p: operate.Shift("input", 0.1), "Did you mean 'inputs'"),
        (lambda p: operate.Shift("inputs", 1.5), "a share from 0 to 1"),
        (lambda p: operate.Shift("latency", -1), "a number from 0 on"),
        (lambda p: operate.Shift("latency", 1, -3), "day is -3"),
        (lambda p: operate.simulate(p[0], None, operate.Shift("inputs", 0.1)), "changed pool"),
        (lambda p: operate.simulate(p[0], streams=0), "streams is 0"),
        (lambda p: operate.simulate(p[0], None, operate.Shift("tail", 1, 20), 1, SCENE), "to 19"),
        (lambda p: operate.Scene(days=0), "days is 0"),
        (lambda p: operate.Scene(per_day=1.5), "per_day is 1.5"),
        (lambda p: operate.Scene(judged=0), "judged is 0"),
        (lambda p: operate.Pool.of(operate.draw_tickets(3), [True]), "3 rows, 1 marks"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_sentence(pools, asked, said):
    with pytest.raises(UserError, match=said):
        asked(pools)


def test_a_pool_takes_what_was_measured():
    rows = data.first(operate.draw_tickets(4), 4)
    pool = operate.Pool.of(rows, [True, False, True, True], [10, 20, 30, 40])
    assert pool.right.tolist() == [True, False, True, True] and len(pool) == 4
    assert pool.tokens.tolist() == [10, 20, 30, 40]
