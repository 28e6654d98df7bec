"""One file audited: all that was found is told by line, as table, JSON and page."""

import json

import pytest
from audit_rows import row

from ftkit import UserError, audit, models


def write(path, rows):
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    rows = [
        row("Is it so?", '{"a": 1}', split="train", day="Monday"),
        row("Is it so?", '{"a": 1}', split="train", day="Friday"),
        row("Write to ann@example.com", '{"a": 2}', split="train", day="Monday"),
        row("Where is Vezan Tolber?", '{"a": 1}', split="train", day="Monday"),
        row("Is it so?", '{"a": 1}', split="test", day="Monday"),
        row("The job of Vezan Tolber?", '{"a": 1}', split="test", day="Monday"),
        row("東京はどこですか", '{"a": 1}', split="test", day="Monday"),
        row("Something else", '{"a": 1}', split="test", day="Monday"),
    ]
    return write(tmp_path_factory.mktemp("audit") / "rows.jsonl", rows)


def test_all_is_told_by_line(file):
    found = audit.audit(file, tests={"short": lambda row: len(audit.question(row)) < 20})
    assert found.named(found.copies) == ["line 2", "line 5"]
    leak = found.leaks["test in train"]
    assert (leak.exact, leak.asked, leak.by_entity) == ([4], [4], [5])
    values = found.json()
    assert values["leaks"]["test in train"]["entities"] == {"Vezan Tolber": ["line 6"]}
    assert values["groups"] == [["line 1", "line 2", "line 5"]]
    assert values["private"][0]["row"] == "line 3" and values["failed"]["short"] == [
        "line 3",
        "line 4",
        "line 6",
    ]
    assert json.loads(json.dumps(values)) == values
    for words in ("line 2, line 5", "leak: test in train", "private: e-mail", "not short"):
        assert words in str(found)


def test_a_label_is_a_field_or_a_column_of_the_file(file):
    assert audit.audit(file, label="a").balances["a"].counts == {"1": 7, "2": 1}
    assert audit.audit(file, label="day").balances["day"].counts == {"Monday": 7, "Friday": 1}
    assert list(audit.audit(file).balances) == ["the answer", "a"]
    with pytest.raises(UserError, match="no answer has a field 'dai'"):
        audit.audit(file, label="dai")


def test_a_second_file_is_held_against_it(file, tmp_path):
    other = write(tmp_path / "o.jsonl", [row("Something else", '{"a": 1}')])
    found = audit.audit(file, other)
    assert found.leaks[f"in {other}"].exact == [7]
    clean = audit.audit(other, "tickets")
    assert "no row, question or name is shared" in str(clean)
    assert "nothing by pattern" in str(clean)


def test_with_a_tokenizer_the_cuts_are_counted_and_the_page_holds_it_all(file):
    tokenizer = models.load_tokenizer(models.resolve("pocket"))
    found = audit.audit("facts", tokenizer=tokenizer, max_length=16)
    assert found.json()["lengths"]["lost"] > 200 and "answer gone" in str(found)
    page = audit.to_html(found)
    assert page.startswith("<!doctype html>") and page.count("<svg") == len(found.pictures()) == 3
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "")


def test_a_bad_row_is_refused_and_so_is_a_bad_option(file, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": []}\n', encoding="utf-8")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    for call, sentence in (
        (lambda: audit.audit(bad), "line 1"),
        (lambda: audit.audit(empty), "is empty"),
        (lambda: audit.audit(tmp_path / "no.jsonl"), "there is no file"),
        (lambda: audit.audit(file, "tiketts"), "Did you mean 'tickets'"),
        (lambda: audit.audit(file, max_length=0), "max_length is 0"),
        (lambda: audit.audit(file, tests={"t": lambda row: row["x"]}), "'t' fails at row 1"),
    ):
        with pytest.raises(UserError, match=sentence):
            call()


def test_the_encoding_is_that_of_both_files(tmp_path):
    line = '{"prompt": "Où est le café numéro un?", "completion": "À Zürich."}\n'
    for name in ("mine.jsonl", "test.jsonl"):
        (tmp_path / name).write_text(line, encoding="cp1252")
    mine, test = tmp_path / "mine.jsonl", tmp_path / "test.jsonl"
    found = audit.audit(mine, test, encoding="cp1252")
    assert found.leaks[f"in {test}"].exact == [0]
