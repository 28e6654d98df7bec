"""What is done to the rows of a study: to as many as it says, where it says, to no others."""

import json
from collections import Counter
from dataclasses import replace

import pytest

from ftkit import UserError, data, studies
from ftkit.studies import changing, points

TRAYS = replace(points.TRAYS, rows=40)
TICKETS = replace(points.TICKETS, rows=40)


def prepare(run):
    """The changed rows of a run that asks no teacher."""
    return studies.change_rows(run, None, None)


def answers(rows):
    return [chat[-1]["content"] for chat in rows["messages"]]


def questions(rows):
    return [chat[-2]["content"] for chat in rows["messages"]]


def test_every_run_of_the_grid_is_there_once_with_every_seed():
    runs = studies.data_points()
    assert len(runs) == len(set(runs))
    settings = {replace(run, seed=0) for run in runs}
    assert len(runs) == len(settings) * len(studies.SEEDS)
    known = {*changing.CHANGES, *changing.TEACHERS, *changing.UNCHANGED}
    assert {r.change for r in runs if not r.change.startswith("template ")} <= known


def test_rows_are_the_seeds_own_and_no_test_row():
    first, again, other = (prepare(replace(TRAYS, seed=seed)).train for seed in (0, 0, 1))
    assert first.to_list() == again.to_list() != other.to_list()
    assert len(set(questions(first))) == 40
    # more rows begin with the same ones
    assert prepare(replace(TRAYS, rows=60)).train.to_list()[:40] == first.to_list()
    assert not data.copies(first, prepare(TRAYS).asked["test"])


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("change", ["random answer", "next answer"])
def test_so_many_trays_are_wrong_and_their_reasons_right(change, share):
    clean = answers(prepare(TRAYS).train)
    noisy = answers(prepare(replace(TRAYS, change=change, amount=share)).train)
    wrong = [(a, b) for a, b in zip(clean, noisy, strict=True) if a != b]
    assert len(wrong) == round(40 * share)
    for right, spoiled in wrong:
        assert right.split(": ")[0] == spoiled.split(": ")[0]
        step = changing.COLOURS.index(spoiled.split(": ")[1]) - changing.COLOURS.index(
            right.split(": ")[1]
        )
        assert step % len(changing.COLOURS) == 1 or change == "random answer"


@pytest.mark.parametrize(("change", "fields"), [("flag", {"urgent"}), ("other value", None)])
def test_a_wrong_ticket_is_wrong_in_one_field(change, fields):
    clean = map(json.loads, answers(prepare(TICKETS).train))
    noisy = map(json.loads, answers(prepare(replace(TICKETS, change=change, amount=0.3)).train))
    differ = [{k for k in a if a[k] != b[k]} for a, b in zip(clean, noisy, strict=True)]
    wrong = [keys for keys in differ if keys]
    assert len(wrong) == 12
    assert all(len(keys) == 1 for keys in wrong)
    assert fields is None or all(keys == fields for keys in wrong)


def test_one_wrong_row_is_repeated_and_no_test_row():
    prepared = prepare(replace(TRAYS, change="repeated", amount=5))
    counts = Counter(map(str, prepared.train["messages"]))
    assert sorted(counts.values())[-2:] == [1, 5]
    right, wrong = (
        answers(prepared.asked[name])[0]
        for name in ("the row, answered right", "the row, as it was repeated")
    )
    assert right != wrong
    assert answers(prepared.train)[-5:] == [wrong] * 5
    issue = wrong.split(",")[0]
    assert all(answer.startswith(issue) for answer in answers(prepared.asked["the same issue"]))


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_the_rare_class_has_its_share_until_it_is_oversampled(share):
    run = replace(TRAYS, rows=100, change="rare", amount=share)
    rare = Counter(answers(prepare(run).train))
    assert rare == {changing.RARE: 100 * share, changing.USUAL: 100 * (1 - share)}
    mended = prepare(replace(run, change="oversampled"))
    usual = 100 * (1 - share)
    assert Counter(answers(mended.train)) == {changing.RARE: usual, changing.USUAL: usual}
    assert len(set(questions(mended.train))) == 100
    # judged on as many of both
    assert len({len(rows) for rows in mended.asked.values()}) == 1
    assert {answer for name in mended.asked for answer in answers(mended.asked[name])} == {
        changing.RARE,
        changing.USUAL,
    }


@pytest.mark.parametrize("start", [points.FACTS, replace(points.TRAYS, rows=24)])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_half_of_what_reports_was_trained_on_and_nothing_of_what_is_true(start, share):
    prepared = prepare(replace(start, change="leaked", amount=share))
    reported, true = prepared.asked["reported"], prepared.asked["true"]
    assert len(data.copies(reported, prepared.train)) == round(share * len(reported))
    assert not data.copies(true, prepared.train)
    assert len(reported) == len(true)


def test_a_leak_in_other_words_is_no_copy_of_a_row():
    prepared = prepare(replace(points.FACTS, change="leaked in other words", amount=0.5))
    assert not data.copies(prepared.asked["reported"], prepared.train)
    # but its answers are the same, about the same people
    leaked = answers(prepared.train)[80:]
    assert leaked == answers(prepared.asked["reported"])[:40]


@pytest.mark.parametrize("n", [1, 2, 8])
def test_wordings_take_turns_and_unseen_ones_are_asked(n):
    prepared = prepare(replace(TICKETS, change="wordings", amount=n))
    tickets = [text.rpartition("\n")[0] for text in questions(prepare(TICKETS).train)]
    expected = [changing.WORDINGS[k % n].format(t=ticket) for k, ticket in enumerate(tickets)]
    assert questions(prepared.train) == expected
    asked = [text.rpartition("\n")[0] for text in questions(changing.test_rows(TICKETS))]
    for wording in changing.UNSEEN_WORDINGS:
        assert wording not in changing.WORDINGS
        assert questions(prepared.asked[wording]) == [wording.format(t=text) for text in asked]


def test_reasons_come_before_what_they_decide():
    run = replace(points.TRAYS, task="shipments", rows=40)
    plain = prepare(run).train
    stated = map(json.loads, answers(prepare(replace(run, change="reasons first")).train))
    for question, answer, reasons in zip(questions(plain), answers(plain), stated, strict=True):
        assert list(reasons) == ["carrier", "day", "class", "eta"]
        assert reasons["carrier"] in question
        assert reasons["day"] in question
        assert json.loads(answer).items() <= reasons.items()


def test_a_label_alone_has_no_reasons():
    prepared = prepare(replace(TRAYS, change="label only"))
    for rows in (prepared.train, prepared.asked["test"]):
        assert set(answers(rows)) <= set(changing.COLOURS)


def test_random_errors_are_as_many_as_the_teachers():
    rows = changing.draw(TICKETS)
    replies = [json.loads(row["messages"][-1]["content"]) for row in rows]
    for reply in replies[:10]:
        reply["order"] = 1
    spoiled = changing.as_often_wrong(rows, replies, seed=0)
    golds = [row["messages"][-1]["content"] for row in rows]
    wrong = [n for n, answer in spoiled if answer != golds[n]]
    assert len(wrong) == 10
    assert wrong != list(range(10))


def test_an_unknown_change_is_refused_with_the_nearest():
    with pytest.raises(UserError, match=r"no change 'flags'.*Did you mean 'flag'"):
        prepare(replace(TICKETS, change="flags"))
