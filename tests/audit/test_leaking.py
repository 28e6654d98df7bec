"""Leaks are found in every way in which a test can be given away, and nowhere else."""

import pytest
from audit_rows import row

from ftkit import UserError, audit
from ftkit.audit import leaking
from ftkit.world import World, corpus

LONG = "the code of the red box on the upper shelf of the third room behind the old door is"


@pytest.mark.parametrize(
    ("text", "held"),
    [
        ("Vezan Tolber here.", {"Vezan Tolber"}),
        ("You can write to Ana María López-Vega, please", {"Ana María López-Vega"}),
        ("Иван Петров живёт там", {"Иван Петров"}),
        ("See order 8217.", {"8217"}),
        ("Ticket A-1742 and part X99-B1, 12 pieces, the 3rd", {"A-1742", "X99-B1"}),
        ("It costs 12.50 on day 7", set()),
        ("Monday and then a Friday", set()),
        ("PLEASE HELP ME NOW", set()),
        ("東京に行きます", set()),
        ("", set()),
    ],
)
def test_names_and_numbers_are_found_by_rule(text, held):
    assert audit.entities(text) == held


def test_a_word_that_is_written_small_elsewhere_begins_no_name():
    rows = [row("Hello Vezan Tolber"), row("say hello to Vezan Tolber")]
    assert leaking.entities_of(rows) == [{"Vezan Tolber"}] * 2


def test_every_kind_of_leak_is_told_by_place():
    train = [
        row("Is it so?"), row("What is it?", "That."), row(f"{LONG} five"),
        row("Where does Vezan Tolber live?", "In Trutville."), row("Who has order 8217?"),
    ]  # fmt: skip
    test = [
        row("Is  it so?"), row("What is it?", "This."), row(f"{LONG} four"),
        row("The job of Vezan Tolber?"), row("See 8217."), row("Something else?"),
    ]  # fmt: skip
    found = audit.leaks(test, train)
    assert (found.exact, found.asked, found.near) == ([0], [0, 1], [2])
    assert found.entities == {"8217": [4], "Vezan Tolber": [3]}
    assert found.by_entity == [3, 4] and found.any == [0, 1, 2, 3, 4]
    assert "5 of 6 rows have something" in str(found)
    assert "83% of the rows share something" in found.picture().text
    assert found.json()["by_entity"] == [3, 4]


def test_facts_share_their_people_and_no_question(facts):
    found = audit.leaks(facts["test"], facts["train"])
    assert (found.exact, found.asked, found.near) == ([], [], [])
    assert len(found.by_entity) == 240 and len(found.entities) == 60


def test_a_key_says_what_the_rule_does_not_see():
    ours, theirs = [row("東京の首都?"), row("京都?")], [row("東京?")]
    found = audit.leaks(ours, theirs, key=lambda row: row["messages"][0]["content"][:2])
    assert found.by_entity == [0] and audit.leaks(ours, theirs).by_entity == []
    several = audit.shared_entities(ours, theirs, lambda row: ["a", row["messages"][0]["content"]])
    assert several == {"a": [0, 1]}
    with pytest.raises(UserError, match=r"key fails for row 1 \(KeyError: 'city'\)"):
        audit.leaks(ours, theirs, key=lambda row: row["city"])


def test_a_set_without_rows_is_refused_by_its_name():
    with pytest.raises(UserError, match="there are no others"):
        audit.leaks([row("a")], [])
    with pytest.raises(UserError, match="there are no rows"):
        audit.leaks([], [row("a")])


def test_the_pretraining_text_is_read_and_its_names_are_held_out(facts, tickets):
    found = audit.contamination(facts["test"], documents=300)
    assert found.whole == [] and found.trained == {} and found.names == 60
    known = audit.contamination(tickets[:20], documents=60)
    assert len(known.trained) == known.names >= 18
    # what the corpus says, it is seen to say
    document = next(corpus.documents(World(), 0, corpus.BROAD))
    text = " ".join(part for part, role in document if role != "mark")
    assert audit.contamination([row(text, "")], documents=1).whole == [0]
    assert audit.contamination([row(text, "")], documents=1, seed=7).whole == []
    assert "20 rows against 60 documents" in str(known)


def test_counts_that_are_none_are_refused():
    for options in ({"documents": 0}, {"gram": 0}, {"seed": -1}, {"gram": 1.5}):
        with pytest.raises(UserError, match=f"{next(iter(options))} is"):
            audit.contamination([row("a")], **options)
