"""Every row is kept or dropped once, by the first test it fails; replies agree by what they say."""

import pytest
from audit_rows import row

from ftkit import UserError, audit, evaluate

ROWS = [
    row("Order 4261 is late, says Ana", '{"order": 4261, "name": "Ana"}'),
    row("Order 4261 is late, says Ana", '{"order": 42, "name": "Ana"}'),
    row("Order 4261 is late, says Annabel", '{"order": 4261, "name": "Ann"}'),
    row("Say Ana", "Ana"),
]


def test_a_value_is_grounded_as_a_whole_word():
    assert [evaluate.is_grounded(each) for each in ROWS] == [True, False, False, True]


def test_every_row_is_kept_or_dropped_for_one_reason():
    found = audit.sift(
        ROWS, {"grounded": evaluate.is_grounded, "agreed": [False, False, True, True]}
    )
    assert found.places == [3] and found.kept == [ROWS[3]]
    assert found.dropped == {"grounded": [1, 2], "agreed": [0]} and found.rows == 4
    assert "1 of 4 rows kept" in str(found) and found.json()["kept"] == 1


def test_replies_agree_by_what_they_say():
    pairs = [
        ('{"a": 1, "b": "x"}', '{"b":"x","a":1}', True),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": 1}', '{"a": 1.0}', False),
        ("late,  yes", "late, yes", True),
        ("Late", "late", False),
        ("", "", False),
        ('{"a": 1, "a": 1}', '{"a": 1}', False),
        ("[1, 2]", "[2, 1]", False),
    ]
    ones, others, same = zip(*pairs, strict=True)
    assert audit.agree(ones, others) == list(same)


def test_synthetic_rows_are_capped_and_marked():
    real, made = [row(f"r{n}") for n in range(10)], [row(f"s{n}") for n in range(30)]
    for share, taken in ((0.5, 10), (0.2, 2), (0, 0), (0.9, 30)):
        mixed = audit.cap(real, made, share)
        assert [each["synthetic"] for each in mixed].count(True) == taken
        assert len(mixed) == 10 + taken and taken / len(mixed) <= share + 1e-9
    assert audit.cap(real, made, 0.5) == audit.cap(real, made, 0.5)


def test_what_can_not_be_is_one_sentence():
    for call, sentence in (
        (lambda: audit.sift(ROWS, {}), "there are no tests"),
        (lambda: audit.sift(ROWS, {"t": [True]}), "1 truths for 4 rows"),
        (lambda: audit.sift(ROWS, {"t": lambda row: row["x"]}), "'t' fails at row 1"),
        (lambda: audit.sift([], {"t": len}), "there are no rows"),
        (lambda: audit.agree(["a"], []), "1 replies and 0"),
        (lambda: audit.cap(ROWS, ROWS, 1), "share is 1"),
        (lambda: audit.cap(ROWS, [], 0.5), "there are no synthetic rows"),
    ):
        with pytest.raises(UserError, match=sentence):
            call()
