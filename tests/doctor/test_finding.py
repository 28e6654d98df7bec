"""Findings as a table and as JSON."""

from ftkit.doctor.finding import Finding, Findings


def test_the_table_shows_each_check_and_each_cure():
    fine, wrong = Finding.fine("one", "fine"), Finding.wrong("two", "it is broken", "mend it")
    both = Findings("Here", [fine, wrong])
    assert str(both).splitlines() == [
        "Here: 1 of 2 checks found something to mend",
        "check",
        "one    ok     fine",
        "two    WRONG  it is broken",
        "       →      mend it",
    ]
    assert both.wrong == [wrong]
    assert both.json()["findings"][1] == {
        "check": "two",
        "ok": False,
        "detail": "it is broken: mend it",
        "cure": "mend it",
    }
    assert str(Findings("Here", [fine])).startswith("Here: all 1 checks are fine")
