"""Copies are what their kind says, and every tool finds what it can and no more."""

import random

import pytest
from audit_rows import row

from ftkit import UserError, audit, data
from ftkit.audit import planting
from ftkit.world import turns


@pytest.fixture(scope="module")
def planted(tickets):
    return audit.plant(tickets, 40)


@pytest.fixture(scope="module")
def found(planted):
    return audit.detection(planted)


def test_every_kind_is_planted_and_keeps_the_answer(planted, tickets):
    assert planted.rows[:300] == tickets and len(planted.copies) == 240
    for (place, copy), kind in planted.copies.items():
        one, other = planted.rows[place], planted.rows[copy]
        assert one["messages"][1] == other["messages"][1]
        same = one["messages"][0] == other["messages"][0]
        assert same == (kind == "exact") or kind == "shuffled"
    assert audit.plant(tickets, 40) == planted
    assert audit.plant(tickets, 40, seed=1) != planted


def test_a_reworded_ticket_says_the_same_in_other_sentences():
    for seed in range(50):
        text, fields = turns.ticket(random.Random(seed), "train", "train")
        half = planting.reword(text, 0.5, random.Random(1))
        whole = planting.reword(text, 1, random.Random(1))
        for new, changed in ((half, 2), (whole, 4)):
            said = planting.split_ticket(new)
            values = {name: value for _, _, given in said for name, value in given.items()}
            assert values == {k: str(v) for k, v in fields.items() if k != "urgent"}
            before = {s for s, field, _ in planting.split_ticket(text) if field}
            assert len({s for s, field, _ in said if field} - before) == changed
        urgent = any(s in planting.lexicon.URGENT for s, _, _ in planting.split_ticket(whole))
        assert urgent == fields["urgent"]


def test_n_grams_find_five_kinds_and_no_full_rewording(found):
    by_jaccard = found.found["Jaccard of word pairs ≥ 0.5"]
    assert by_jaccard["all reworded"] == 0
    assert all(by_jaccard[kind] == 40 for kind in audit.KINDS[:4])
    assert by_jaccard["half reworded"] >= 36
    assert found.precision("Jaccard of word pairs ≥ 0.5") == 1
    assert found.recall("the same text") == pytest.approx(1 / 6, abs=0.01)
    # MinHash is the same but for what it misses
    minhash = found.found["MinHash, verified ≥ 0.5"]
    assert all(minhash[kind] <= by_jaccard[kind] for kind in minhash)
    assert sum(minhash.values()) >= sum(by_jaccard.values()) - 4


def test_who_and_what_finds_the_full_rewording(found):
    by_name = found.found["the same names and numbers"]
    assert by_name["all reworded"] == 40 and by_name["case"] == 0


def test_a_detection_shows_itself(found):
    assert "the same names and numbers" in str(found)
    assert found.picture().text.startswith("1 of 7 tools finds most of the copies 'all reworded'")
    assert found.json()["rates"]["the same text"]["precision"] == 1
    nothing = audit.detection(
        audit.Planted([row("a"), row("b")], {(0, 1): "exact"}), {"no": lambda rows: []}
    )
    assert nothing.recall("no") == 0 and "nothing found" in str(nothing)


def test_what_is_found_and_was_not_planted_counts_against_a_tool():
    rows = [row("a"), row("a"), row("b"), row("b")]
    tools = {"all": lambda rows: data.near_pairs(rows, 1)}
    found = audit.detection(audit.Planted(rows, {(0, 1): "exact"}), tools)
    assert (found.precision("all"), found.recall("all")) == (0.5, 1)


def test_four_kinds_can_be_planted_anywhere_and_rewordings_in_tickets_alone():
    rows = [row(f"Number {n}. It stands there. Is it so?") for n in range(12)]
    planted = audit.plant(rows, 3, audit.KINDS[:4])
    assert len(planted.rows) == 24
    for options, word in (
        ({"each": 2}, "is no ticket of the kit"),
        ({"each": 3}, "from 1 to 2"),
        ({"each": 1, "kinds": ["exat"]}, "Did you mean 'exact'"),
        ({"each": 1, "seed": -1}, "seed is -1"),
    ):
        with pytest.raises(UserError, match=word):
            audit.plant(rows, **options)
