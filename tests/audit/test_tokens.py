"""What max_length leaves of answers, counted as the rows are really cut."""

import pytest
from audit_rows import row

from ftkit import UserError, audit, data, models


@pytest.fixture(scope="module")
def tokenizer():
    return models.load_tokenizer(models.resolve("pocket"))


@pytest.fixture(scope="module")
def counted(tokenizer):
    return {
        name: audit.lengths(data.read(data.sets.find_file(name)), tokenizer)
        for name in ("tickets", "facts", "general")
    }


def test_tickets_are_cut_as_the_lesson_says(counted):
    found = counted["tickets"]
    for size in (64, 96, 128, 256):
        assert sum(found.at(size)) == 560
    assert found.at(256) == (560, 0, 0) and found.at(found.needed) == (560, 0, 0)
    assert found.at(found.needed - 1).whole < 560
    assert found.at(64).lost > 200 and found.at(64).whole == 0
    assert found.at(1) == (0, 0, 560)


def test_it_counts_what_rendering_says(tokenizer, counted):
    rows = data.read(data.sets.find_file("facts"))
    for size in (16, 24):
        learned = [data.render(row["messages"], tokenizer).learned for row in rows]
        lost = sum(not any(each[:size]) for each in learned)
        whole = sum(sum(each[:size]) == sum(each) for each in learned)
        assert counted["facts"].at(size) == (whole, 480 - whole - lost, lost)


def test_a_filter_by_length_drops_all_facts_and_no_ticket(counted):
    assert len(counted["facts"].shorter()) == 480
    assert counted["tickets"].shorter() == []
    assert len(counted["general"].shorter()) > 500


def test_several_answers_of_a_chat_are_cut_together(tokenizer):
    chat = [*row("Hello!", "Hello!")["messages"], *row("Hello!", "Goodbye!")["messages"]]
    found = audit.lengths([{"messages": chat}], tokenizer)
    assert found.at(found.tokens[0] - 1) == (0, 1, 0)
    assert found.at(found.begins[0] + 1) == (0, 1, 0) and found.at(found.begins[0]) == (0, 0, 1)


def test_it_shows_itself_and_refuses_what_it_can_not(counted, tokenizer):
    assert "carry loss" in str(counted["tickets"])
    assert "no answer is cut" in counted["tickets"].picture().text
    assert counted["facts"].json()["at"][64]["whole"] == 480
    for call in (
        lambda: counted["facts"].at(0),
        lambda: audit.lengths([], tokenizer),
        lambda: audit.lengths([row("a"), {"messages": [{"role": "x"}]}], tokenizer),
    ):
        with pytest.raises(UserError):
            call()
