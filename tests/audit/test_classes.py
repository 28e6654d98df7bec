"""Classes are counted by field, column, function or answer, and a rare one is not hidden."""

import json

import pytest
from audit_rows import row

from ftkit import UserError, audit, data

ROWS = [row(f"q{n}", json.dumps({"urgent": n < 2, "kind": "a"}), day=n % 3) for n in range(10)]


def test_a_class_is_a_field_a_column_a_function_or_the_answer():
    assert audit.balance(ROWS, "urgent").counts == {"false": 8, "true": 2}
    assert audit.balance(ROWS, "day").counts == {"0": 4, "1": 3, "2": 3}
    assert audit.balance(ROWS, len).counts == {"30": 8, "29": 2}
    whole = audit.balance(ROWS)
    assert (whole.rows, whole.baseline, whole.label) == (10, 0.8, "the answer")
    assert "always 'false' would be right in 80.0%" in str(audit.balance(ROWS, "urgent"))
    assert audit.balance(ROWS, "urgent").picture().text.startswith("Always 'false'")
    assert audit.balance(ROWS, "urgent").json()["baseline"] == 0.8


def test_an_answer_without_the_field_is_a_class_of_its_own():
    found = audit.balance([*ROWS, row("q", "no JSON"), row("q", '{"urgent": null}')], "urgent")
    assert found.counts[audit.WITHOUT] == 2
    assert audit.label_of('{"urgent": true, "urgent": false}', "urgent") == audit.WITHOUT
    assert [audit.label_of(f'{{"a": {v}}}', "a") for v in ('"1"', "1", "1.5", "[1]")] == [
        "1", "1", "1.5", "[1]",
    ]  # fmt: skip


def test_one_class_and_many_are_shown():
    assert audit.balance([row("a"), row("b")]).rarest == "Yes."
    many = audit.balance([row("q", f"a{n}") for n in range(30)])
    assert "…" in str(many) and len(many.counts) == 30


def test_recall_tells_what_accuracy_hides():
    golds = ["red"] * 95 + ["black"] * 5
    found = audit.by_class(golds, ["red"] * 100)
    assert (found.accuracy.value, found.baseline, found.balanced) == (0.95, 0.95, 0.5)
    assert found.recalls["black"].value == 0 and found.recalls["black"].interval[1] > 0.4
    assert found.precisions["black"].n == 0 and found.precisions["red"].value == 0.95
    assert found.json()["classes"]["black"]["precision"]["value"] is None
    # a reply of no class is of none of them
    half = audit.by_class(["red", "black"], ["red", "what?"])
    assert half.recalls["black"].value == 0 and half.precisions["red"].value == 1
    by_field = audit.by_class(['{"a": 1}', '{"a": 2}'], ['{"a": 1}', '{"a": 1}'], "a")
    assert by_field.recalls["2"].value == 0 and by_field.accuracy.hits == 1


def test_a_rare_class_is_repeated_up_to_its_share_and_nothing_is_lost():
    for share, most in ((0.5, 16), (0.2, 10), (0.1, 10)):
        more = audit.oversample(ROWS, "urgent", True, share)
        counts = audit.balance(more, "urgent").counts
        assert len(more) == most and counts["true"] / most >= share
        assert all(each in more for each in ROWS)
    times = [
        more.count(each)
        for each in ROWS[:2]
        for more in [audit.oversample(ROWS, "urgent", True, 0.5)]
    ]
    assert times == [4, 4]
    assert audit.oversample(ROWS, "urgent", True, 0.5) == audit.oversample(
        ROWS, "urgent", True, 0.5
    )
    assert audit.oversample(ROWS, "urgent", True, 0.5, seed=1) != audit.oversample(
        ROWS, "urgent", True, 0.5
    )
    drawn = audit.oversample(
        data.to_dataset(
            [row(r["messages"][0]["content"], r["messages"][1]["content"]) for r in ROWS]
        ),
        "urgent",
        True,
        0.5,
    )
    assert drawn.column_names == ["messages"] and len(drawn) == 16


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: audit.balance([]), "there are no rows"),
        (lambda: audit.balance(ROWS, "urgnt"), "Did you mean 'urgent'"),
        (lambda: audit.balance([row("q", "a")], "x"), "no answer is a JSON object"),
        (lambda: audit.balance(ROWS, 5), "label is 5"),
        (lambda: audit.balance(ROWS, lambda text: text[99]), "label fails for the answer"),
        (lambda: audit.by_class(["a"], []), "1 golds and 0 replies"),
        (lambda: audit.by_class([], []), "one at least"),
        (lambda: audit.by_class(["a"], ["a"], "x"), "no gold has the field 'x'"),
        (lambda: audit.oversample(ROWS, "urgent", "tru", 0.5), "Did you mean 'true'"),
        (lambda: audit.oversample(ROWS, "kind", "a", 0.5), "every row is of the class"),
        (lambda: audit.oversample(ROWS, "urgent", True, 1), "share is 1"),
    ],
)
def test_what_can_not_be_is_one_sentence(call, sentence):
    with pytest.raises(UserError, match=sentence):
        call()
