"""MinHash finds what exact Jaccard finds but for a few pairs, and groups are what pairs join."""

import random

import numpy as np
import pytest
from audit_rows import row

from ftkit import UserError, audit, data
from ftkit.audit import likeness

WORDS = "the cat dog sat on a mat and ran over red old hill with two big hats".split()


def drawn_rows(n=60, seed=0):
    rng = random.Random(seed)
    rows = [row(" ".join(rng.choices(WORDS, k=30))) for _ in range(n)]
    for place in range(0, n, 3):  # near copies with one to eight words changed
        said = rows[place]["messages"][0]["content"].split()
        for spot in rng.sample(range(30), 1 + place % 8):
            said[spot] = rng.choice(WORDS)
        rows.append(row(" ".join(said)))
    return rows


def test_a_signature_estimates_the_share_that_two_sets_have_in_common():
    one, other = set(range(300)), set(range(100, 400))  # 200 of 400
    a, b = (audit.signature(parts, 4096) for parts in (one, other))
    assert abs((a == b).mean() - 0.5) < 0.03
    assert (audit.signature([*one, 1, 1], 64) == audit.signature(one, 64)).all()
    assert (audit.signature(one, 64, seed=1) != audit.signature(one, 64)).any()
    # BLAKE2b and PCG64 are the same everywhere
    assert audit.signature({("a", "b")}, 2).tolist() == [2062771520, 168236783]
    assert audit.signature([]).shape == (128,)


def test_rows_meet_in_a_band_as_often_as_the_formula_says():
    assert audit.chance(1) == 1 and audit.chance(0) == 0
    assert abs(audit.chance(0.5, 2, 1) - 0.75) < 1e-12
    rng = np.random.default_rng(0)
    met = []
    for trial in range(300):  # two sets that share half of all parts
        parts = rng.integers(0, 10**9, 30).tolist()
        a, b = (audit.signature(p, 8, trial).reshape(4, 2) for p in (parts[:20], parts[10:]))
        met.append((a == b).all(1).any())
    assert abs(np.mean(met) - audit.chance(1 / 3, 4, 2)) < 0.08


@pytest.mark.parametrize("least", [0.5, 0.8])
def test_what_minhash_finds_is_right_and_nearly_all_there_is(least):
    rows = drawn_rows()
    exact, found = data.near_pairs(rows, least), audit.minhash_pairs(rows, least)
    assert found.items() <= exact.items()
    sure = {pair for pair, alike in exact.items() if audit.chance(alike) > 0.99999}
    assert sure and sure <= found.keys()
    assert audit.minhash_pairs(rows, least) == found


def test_what_is_no_setting_is_refused():
    for options, word in (
        ({"bands": 0}, "bands is 0"),
        ({"depth": True}, "depth is True"),
        ({"likeness": 1.5}, "likeness is 1.5"),
    ):
        with pytest.raises(UserError, match=word):
            audit.minhash_pairs(drawn_rows(3), **options)


def test_groups_are_chains_of_near_copies():
    long = "the code of the red box on the upper shelf of the third room behind the old door is"
    rows = [row("a b"), row(f"{long} five"), row(f"{long} four"), row("a b"), row("c"), row("a b")]
    found = audit.groups(rows)
    assert found.groups == [[0, 3, 5], [1, 2]] and found.spare == 3
    assert found.pairs[0, 3] == 1 and 0.8 < found.pairs[1, 2] < 1
    assert "3 of 6 rows say again" in found.picture().text
    assert "row 1, 4, 6" in str(found)
    assert audit.groups(rows, pairs={(0, 1): 0.5, (1, 4): 0.5}).groups == [[0, 1, 4]]
    none = audit.groups([row("a"), row("b")])
    assert none.groups == [] and "0 groups" in none.picture().text
    assert found.json()["pairs"][0][2] == 1
    many = audit.groups([row("a b")] * 500)
    assert many.spare == 499 and many.picture().svg.count("<circle") == 40


def test_pairs_of_equal_keys_leave_out_none():
    assert likeness.pairs_of_equal(["a", None, "a", "b", None, "a"]) == {(0, 2), (0, 5), (2, 5)}
