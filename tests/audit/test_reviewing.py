"""A sheet is blind, comes back whole, and is refused where it belongs to other rows."""

import csv
import json

import pytest
from audit_rows import row

from ftkit import UserError, audit, data
from ftkit.audit import reviewing

ROWS = [row(f"Question {n}?", f"Answer {n}", split="train", model="m7") for n in range(30)]


def judged(sheet, path, verdicts):
    rows = [
        dict(zip(reviewing.HEADS, r, strict=True)) for r in csv.reader(sheet.csv().splitlines())
    ]
    for each, verdict in zip(rows[1:], verdicts, strict=False):
        each["verdict"] = verdict
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, reviewing.HEADS)
        writer.writeheader()
        writer.writerows(rows[1:])
    return path


def test_a_sheet_is_a_blind_sample_in_random_order(tmp_path):
    sheet = audit.make_sheet(ROWS, 10)
    assert sheet == audit.make_sheet(list(reversed(ROWS)), 10) != audit.make_sheet(ROWS, 10, seed=1)
    assert len({each.id for each in sheet.rows}) == 10
    for path in (sheet.save(tmp_path / "s.csv"), sheet.save(tmp_path / "s.html")):
        text = path.read_text(encoding="utf-8")
        assert all(each.answer in text for each in sheet.rows)
        assert "m7" not in text and "train" not in text and "http" not in text
    twice = audit.make_sheet([row("a"), row("a "), row("b")], 2)
    assert twice.of == 2 and "2 of 2 rows to be judged" in str(twice)


def test_what_a_row_says_is_no_code_on_the_page_or_in_a_spreadsheet():
    rows = [row("</script><script>alert(1)</script>", "=1+1"), row("-2", "ok")]
    sheet = audit.make_sheet(rows, 2)
    assert "</script><script>" not in sheet.html()
    cells = [cell for line in csv.reader(sheet.csv().splitlines()) for cell in line]
    assert "'=1+1" in cells and "'-2" in cells and "=1+1" not in cells


def test_turns_system_and_tool_calls_are_seen():
    calls = [{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]
    chat = [
        {"role": "system", "content": "Short."}, *row("Hi", "Hello")["messages"],
        {"role": "user", "content": "And?"},
        {"role": "assistant", "content": "", "tool_calls": calls},
    ]  # fmt: skip
    asked = audit.make_sheet([{"messages": chat}], 1).rows[0]
    assert asked.question == "[system] Short.\n\n[user] Hi\n\n[assistant] Hello\n\n[user] And?"
    assert '"name": "f"' in asked.answer


def test_verdicts_come_back_with_an_interval(tmp_path):
    sheet = audit.make_sheet(ROWS, 10)
    path = judged(sheet, tmp_path / "a.csv", ["right"] * 7 + ["WRONG ", "unsure", ""])
    found = audit.review(ROWS, path)
    assert found.verdicts == [{"right": 7, "wrong": 1, "unsure": 1}]
    assert (found.right[0].hits, found.right[0].n) == (7, 8)
    assert "87.5 %" in str(found) and found.json()["rows"] == 30


def test_two_reviewers_agree_beyond_chance_or_not(tmp_path):
    sheet = audit.make_sheet(ROWS, 10)
    one = judged(sheet, tmp_path / "a.csv", ["right"] * 5 + ["wrong"] * 5)
    other = [
        {"id": r.id, "verdict": v}
        for r, v in zip(sheet.rows, ["right"] * 4 + ["wrong"] * 6, strict=True)
    ]
    page = tmp_path / "verdicts.json"
    page.write_text(json.dumps(other), encoding="utf-8")
    found = audit.review(ROWS, one, page)
    # p = 0.9, e = 0.5 · 0.4 + 0.5 · 0.6 = 0.5
    assert (found.both, found.agreed) == (10, 0.9) and found.kappa == pytest.approx(0.8)
    low, high = found.kappa_interval
    assert -1 <= low < 0.8 < high <= 1
    assert f"κ = 0.80 [{low:.2f}, {high:.2f}]" in str(found)
    same = dict.fromkeys(audit.read_verdicts(one), "right")
    assert audit.review(ROWS, same, same).kappa is None
    opposite = {
        k: "wrong" if v == "right" else "right" for k, v in audit.read_verdicts(one).items()
    }
    assert audit.review(ROWS, one, opposite).kappa == pytest.approx(-1)


def test_a_spreadsheet_may_part_columns_by_semicolons(tmp_path):
    path = tmp_path / "s.csv"
    name = audit.make_sheet(ROWS, 1).rows[0].id
    path.write_text(f"\ufeffid;verdict\n{name};right\n", encoding="utf-8")
    assert audit.read_verdicts(path) == {name: "right"}


def test_what_is_no_sheet_is_one_sentence(tmp_path):
    sheet = audit.make_sheet(ROWS, 5)
    good = judged(sheet, tmp_path / "a.csv", ["right"] * 5)
    bad, empty, text = (tmp_path / name for name in ("b.csv", "c.csv", "d.csv"))
    judged(sheet, bad, ["rihgt"])
    judged(sheet, empty, [])
    text.write_text("a,b\n1,2\n", encoding="utf-8")
    twice = tmp_path / "t.json"
    twice.write_text('[{"id": "x", "verdict": "right"}, {"id": "x", "verdict": "wrong"}]')
    apart = [{each.id: "right"} for each in sheet.rows[:2]]
    for call, sentence in (
        (lambda: audit.review([row("other")], good), "is no sheet of these rows: 5 of its 5"),
        (lambda: audit.review(ROWS, bad), "Did you mean 'right'"),
        (lambda: audit.review(ROWS, empty), "holds no verdict"),
        (lambda: audit.review(ROWS, text), "no id and verdict in row 1"),
        (lambda: audit.review(ROWS, twice), "judges x twice"),
        (lambda: audit.review(ROWS, tmp_path / "no.csv"), "there is no file"),
        (lambda: audit.review(ROWS), "there is no sheet"),
        (lambda: audit.review(ROWS, *apart), "no judged row in common"),
        (lambda: audit.make_sheet(ROWS, 31), "from 1 to 30"),
        (lambda: audit.make_sheet(ROWS, 0), "n is 0"),
        (lambda: sheet.save(tmp_path / "s.txt"), "ends in .csv or .html"),
        (lambda: sheet.save(tmp_path / "no" / "s.csv"), "there is no folder"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=sentence):
            call()
    assert data.as_rows(ROWS) == ROWS


def test_verdicts_come_back_by_a_column_that_no_reviewer_saw():
    """Rows that say the same count for each of the models that wrote them."""
    rows = [row("1?", "one", model="a"), row("1?", "one", model="b"), row("2?", "two", model="b")]
    ids = {each.answer: each.id for each in audit.make_sheet(rows, 2).rows}
    found = audit.review(rows, {ids["one"]: "right", ids["two"]: "wrong"}, by="model")
    assert {name: (one.hits, one.n) for name, (one,) in found.by.items()} == {
        "a": (1, 1), "b": (1, 2)
    }  # fmt: skip
    assert found.json()["by"]["b"][0]["share"] == 0.5
    assert "b, reviewer 1" in str(found)
    with pytest.raises(UserError, match=r"row 1 has no 'modle'.*Did you mean 'model'"):
        audit.review(rows, {ids["one"]: "right"}, by="modle")
