"""Facts change their value alone, and who still says the old one is counted."""

import re

import pytest

from ftkit import UserError, data, decide, world


@pytest.fixture(scope="module")
def facts():
    return decide.new_facts()


def test_the_new_facts_are_those_of_the_data_set(facts):
    rows = data.load("facts")
    assert decide.questions(facts).to_list() == rows["test"].to_list()
    assert decide.questions(facts, "train").to_list() == rows["train"].to_list()


def test_an_update_changes_values_and_nothing_else(facts):
    after = decide.update_facts(facts)
    changed = [(old, new) for old, new in zip(facts, after, strict=True) if old != new]
    assert len(changed) == 48
    for old, new in changed:
        assert old.fact.value != new.fact.value
        assert (old.fact.entity, old.fact.attribute) == (new.fact.entity, new.fact.attribute)
        assert old[1:] == new[1:]
    assert decide.update_facts(facts) == after != decide.update_facts(facts, seed=1)
    assert len(decide.update_facts(facts, len(facts))) == len(facts)


def test_a_passage_says_name_and_value_in_the_same_words_after_an_update(facts):
    after = decide.update_facts(facts)
    before, then = decide.sentences(facts), decide.sentences(after)
    for old, new, was, now in zip(facts, after, before, then, strict=True):
        value = re.compile(re.escape(old.fact.value), re.IGNORECASE)
        assert old.fact.entity in was and value.search(was)
        assert now.lower() == value.sub(new.fact.value, was).lower()
    assert len(set(before)) == 240
    # the world's own facts are stated, too
    assert (
        decide.sentences(world.World().facts[:1])[0].lower().count(world.World().facts[0].value)
        == 1
    )


def test_staleness_counts_the_new_the_old_and_neither():
    def rows(*answers):
        asked = [{"role": "user", "content": f"{n}?"} for n in range(len(answers))]
        said = [{"role": "assistant", "content": answer} for answer in answers]
        return data.to_dataset([{"messages": list(pair)} for pair in zip(asked, said, strict=True)])

    before, after = rows("a", "b", "c", "d", "e"), rows("A", "B", "C", "d", "e")
    found = decide.staleness(["A ", "b", "x", "d", "x"], before, after)
    assert (found.right.hits, found.stale.hits, found.other.hits, found.right.n) == (1, 1, 1, 3)
    assert (found.unchanged.hits, found.unchanged.n) == (1, 2)
    assert "After an update of 3 of 5 answers" in str(found)
    with pytest.raises(UserError, match="no answer changed"):
        decide.staleness(["a"] * 5, before, before)
    with pytest.raises(UserError, match="5 rows before the update, 4 after it and 5 replies"):
        decide.staleness(["a"] * 5, before, rows("A", "B", "C", "d"))


@pytest.mark.parametrize("n", [0, 241, 1.0, True])
def test_more_changes_than_facts_are_refused(facts, n):
    with pytest.raises(UserError, match="give a whole number from 1 to 240, the facts there are"):
        decide.update_facts(facts, n)
