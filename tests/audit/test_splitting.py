"""Five ways to split: nothing is lost, groups stay together, and what leaks is told."""

import pytest
from audit_rows import row

from ftkit import UserError, audit, data
from ftkit.audit import splitting

DATED = [row(f"What was said on day {n}?", f"{n}", day=f"2026-07-{n:02d}") for n in range(1, 21)]


def all_rows(parts):
    return [row["messages"] for part in parts.values() for row in part]


@pytest.fixture(scope="module")
def people(facts):
    return data.as_rows(facts["train"]) + data.as_rows(facts["test"])


@pytest.mark.parametrize("by", ["random", "entity", "wording", "hard"])
def test_every_row_is_in_one_part(people, by):
    parts = audit.split(people, by, seed=3)
    assert sorted(map(str, all_rows(parts))) == sorted(str(r["messages"]) for r in people)
    assert list(parts) == ["train", "validation", "test"]
    assert len(parts["test"]) >= 48 and len(parts["train"]) >= 340
    assert "split" not in parts["train"].column_names
    again = audit.split(people, by, seed=3)
    assert all(again[name].to_list() == parts[name].to_list() for name in parts)


def test_no_entity_straddles_and_no_wording_does(people):
    by_entity = audit.split(people, "entity")
    assert audit.leaks(by_entity["test"], by_entity["train"]).by_entity == []
    assert audit.leaks(by_entity["validation"], by_entity["train"]).by_entity == []
    by_wording = audit.split(people, "wording")
    assert splitting.shared_wordings(by_wording["test"], by_wording["train"]) == 0
    own = audit.split(people, "entity", key=lambda row: row["messages"][-1]["content"])
    answers = [{r["messages"][-1]["content"] for r in own[name]} for name in ("train", "test")]
    assert not answers[0] & answers[1]


def test_by_time_the_latest_are_test_and_a_day_stays_whole():
    parts = audit.split(DATED, "time", column="day", test=0.2, validation=0)
    assert list(parts) == ["train", "test"]
    assert [r["messages"][1]["content"] for r in parts["test"]] == ["17", "18", "19", "20"]
    doubled = [{**r, "day": r["day"][:-1]} for r in DATED]  # 01-09, 10-19, 20
    whole = audit.split(doubled, "time", column="day", test=0.1, validation=0)
    assert len(whole["test"]) == 11


def test_the_hard_split_takes_what_is_least_like_the_rest():
    rows = [row(f"What is the job of number {n}?") for n in range(18)]
    rows.insert(4, row("Quite another thing, said in no other words"))
    parts = audit.split(rows, "hard", test=0.05, validation=0)
    assert [r["messages"] for r in parts["test"]] == [rows[4]["messages"]]


def test_a_template_has_holes_for_names_and_numbers():
    small = frozenset({"what", "is", "the", "job", "of"})
    same = {audit.template_of(text, small) for text in (
        "What is the job of Vezan Tolber?", "What is the job of Ana Marta Lopez?",
        "What is the job of 8217?",
    )}  # fmt: skip
    assert same == {"what is the job of _ ?"}


def test_what_leaks_under_each_way_is_told(people):
    found = audit.compare_splits(people)
    assert list(found.leaks) == ["random", "entity", "wording", "hard"]
    assert len(found.leaks["random"].by_entity) == found.leaks["random"].rows
    assert found.leaks["entity"].by_entity == []
    assert found.wordings["wording"] == 0 and found.wordings["random"] > 0.8
    assert found.json()["sizes"]["random"]["test"] == 48
    dated = audit.compare_splits(DATED, column="day")
    assert "time" in dated.leaks and "no row has a name" in dated.refused["entity"]
    assert "no row has a name" in str(dated)


SAME = [row("Ana Lopez", f"{n}") for n in range(9)]


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: audit.split(DATED, "times"), "Did you mean 'time'"),
        (lambda: audit.split(DATED, "time"), "needs the column"),
        (lambda: audit.split(DATED, column="day"), "the split is by 'random'"),
        (lambda: audit.split(DATED, "time", column="dai"), "Did you mean 'day'"),
        (lambda: audit.split([*DATED, row("a", day=5)], "time", column="day"), "no order"),
        (lambda: audit.split(DATED, "hard", key=len), "leave it out"),
        (lambda: audit.split(DATED, "entity"), "no row has a name or a number"),
        (lambda: audit.split(SAME, "entity"), "0 of 9 are left to train on"),
        (lambda: audit.split(DATED, "entity", key=lambda row: row["x"]), "key fails for row 1"),
        (
            lambda: audit.split([row(f"{c} is") for c in "abcdef"], "wording"),
            "wording of their own",
        ),
        (lambda: audit.split(DATED, test=0), "test is 0"),
        (lambda: audit.split(DATED, test=0.6, validation=0.5), "nothing to train on"),
        (lambda: audit.split(DATED[:2]), "there are 2 rows"),
        (lambda: audit.split([]), "there are no rows"),
        (lambda: audit.compare_splits(DATED, ["rnd"]), "there is no split by 'rnd'"),
    ],
)
def test_what_can_not_be_split_is_one_sentence(call, sentence):
    with pytest.raises(UserError, match=sentence):
        call()
