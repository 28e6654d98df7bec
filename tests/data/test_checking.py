"""A file looked over: every fault by line, what stands there twice, what leaks, how long it is."""

import copy
import json

import pytest

from ftkit import UserError, data, models


@pytest.fixture(scope="module")
def tokenizer():
    return models.load("pocket")[1]


def row(question, answer="Yes.", **more):
    chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": chat, **more}


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_a_good_file_has_no_error(tmp_path):
    checked = data.check(write(tmp_path / "d.jsonl", row("a"), row("b"), row("c")))
    assert (checked.rows, checked.valid, checked.errors) == (3, 3, [])
    assert (checked.format, checked.formats) == ("messages", {"messages": 3})
    assert "drawn by seed" in str(checked)


def test_every_fault_is_told_by_line(tmp_path):
    path = write(tmp_path / "d.jsonl", row("a"), "", "{", *["1"] * 9, {"text": "x"}, row("b"))
    checked = data.check(path)
    assert [error["line"] for error in checked.errors] == [*range(3, 14)]
    assert (checked.rows, checked.valid) == (13, 2)
    assert checked.formats == {"messages": 2, "unknown": 10, "text": 1}
    assert checked.format == "mixed"
    assert "not JSON" in checked.errors[0]["reason"]
    assert str(checked).count("bad row ") == 5
    assert "11" in str(checked).split("bad rows")[1]


def test_copies_and_contradictions_are_counted(tmp_path):
    long = "Please tell me, in a single word and nothing else, whether the red door is open now"
    rows = [row("a"), row("a "), row(long), row(f"{long}?"), row("a", "No.")]
    checked = data.check(write(tmp_path / "d.jsonl", *rows))
    assert (checked.duplicates, checked.copies) == (1, [["line 2", "line 1"]])
    assert (checked.near_duplicates, checked.near_copies) == (1, [["line 4", "line 3"]])
    assert checked.other_answers == 1
    assert checked.answers == [["Yes.", 4], ["No.", 1]]
    assert "line 2 as line 1" in str(checked)


def test_what_leaks_from_training_is_told_per_split_and_per_file(tmp_path):
    splits = ["train", "train", "val", "test"]
    rows = [row(text, split=split) for text, split in zip("abab", splits, strict=True)]
    path = write(tmp_path / "d.jsonl", *rows, row("c", split="test"))
    checked = data.check(path, against=write(tmp_path / "e.jsonl", row("c"), row("d")))
    assert checked.splits == {"train": 2, "validation": 1, "test": 2}
    leak = {"duplicates": 1, "near_duplicates": 0}
    assert checked.leaks == {"validation": leak, "test": leak}
    assert list(checked.against.values()) == [leak]
    lines = [line for line in str(checked).splitlines() if line.startswith("leak")]
    assert [line.split()[1:3] for line in lines] == [
        *(["1", "validation"], ["1", "test"], ["1", "rows"])
    ]


def test_splits_of_some_rows_are_an_error_of_the_file(tmp_path):
    checked = data.check(write(tmp_path / "d.jsonl", row("a", split="test"), row("b")))
    assert checked.errors[0]["where"] == "the file"
    assert "1 of 2 rows state a split" in checked.errors[0]["reason"]


def test_splits_without_rows_are_said(tmp_path):
    shown = str(data.check(write(tmp_path / "d.jsonl", row("a", split="train"))))
    assert [line.split()[1] for line in shown.splitlines() if line.startswith("split")] == [
        *("1", "0", "0")
    ]


def test_a_file_that_cannot_be_read_is_one_error_with_its_line(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_bytes(b"\n\n\xe9")
    checked = data.check(path)
    assert (checked.rows, checked.format, checked.errors[0]["line"]) == (0, "unknown", 3)
    path.write_bytes(json.dumps(row("é"), ensure_ascii=False).encode("cp1252"))
    assert data.check(path, encoding="cp1252").errors == []
    # the second file may be in UTF-8 all the same
    for other in (path, write(tmp_path / "other.jsonl", row("é"))):
        checked = data.check(path, encoding="cp1252", against=other)
        assert checked.against[str(other)]["duplicates"] == 1
    with pytest.raises(UserError, match="there is no file"):
        data.check(tmp_path / "e.jsonl")


def test_pairs_are_checked_as_pairs(tmp_path):
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    checked = data.check(write(tmp_path / "d.jsonl", pair, {**pair, "rejected": "b"}))
    assert (checked.format, checked.valid) == ("preference pairs", 1)
    assert "say the same" in checked.errors[0]["reason"]
    assert "objective dpo, kto or reward takes them" in str(checked)


def test_pairs_are_held_against_pairs(tmp_path):
    pair = {"prompt": "a", "chosen": "b", "rejected": "c"}
    other = write(tmp_path / "e.jsonl", pair, {**pair, "prompt": "z"})
    checked = data.check(write(tmp_path / "d.jsonl", pair), against=other)
    assert checked.against[str(other)]["duplicates"] == 1


def test_what_stands_around_the_rows_is_told(tmp_path):
    path = tmp_path / "d.json"
    path.write_text(json.dumps({"license": "MIT", "data": [row("a"), row("b")]}))
    assert data.check(path).left_out == ["license (of the file)"]


def test_a_template_by_hand_and_one_without_an_end_are_told(tmp_path, tokenizer):
    """Rows that are in a template already get a second one around them."""
    path = write(tmp_path / "d.jsonl", row("<|user|>a"), row("b"))
    checked = data.check(path, tokenizer)
    assert (checked.marks, checked.endless) == ({"<|user|>": 1}, False)
    assert "rows say <|user|>" in str(checked)
    endless = copy.deepcopy(tokenizer)
    endless.chat_template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    checked = data.check(path, endless)
    assert checked.endless and "no end behind an answer" in str(checked)


def test_what_nothing_reads_and_lost_bytes_are_told(tmp_path):
    stray = row("a\ufffd", id=1, **{"\ud83d": 1})
    stray["messages"][0]["when"] = "now"
    checked = data.check(write(tmp_path / "d.jsonl", stray, row("b", skill="x")))
    assert checked.left_out == ["id", r"'\ud83d'", "when (of a message)"]
    assert checked.lost_bytes == 1


def test_lengths_and_the_template_are_the_models(tmp_path, tokenizer):
    named = row("a")
    named["messages"][0]["name"] = "Ann"
    path = write(tmp_path / "d.jsonl", row("a"), row("a b " * 50), row("c", "b " * 50), named)
    checked = data.check(path, tokenizer, max_length=30, positions=20)
    short, question, answer = (
        len(data.render(each["messages"], tokenizer).ids) for each in data.read(path)[:3]
    )
    assert [error["line"] for error in checked.errors] == [4]
    assert "leaves out the name 'Ann'" in checked.errors[0]["reason"]
    tokens = checked.tokens
    assert tokens["all"] == short + question + answer
    assert (tokens["shortest"], tokens["longest"]) == (short, max(question, answer))
    assert (tokens["cut"], tokens["lost"], tokens["too_long"]) == (2, 1, 2)
    assert "no token to learn" in str(checked)
    for length in (0, True, 2.0):
        with pytest.raises(UserError, match="max_length is"):
            data.check(path, tokenizer, max_length=length)


def test_the_page_needs_nothing_else_and_escapes_what_rows_say(tmp_path):
    bad = {"<script>": 1}
    path = write(tmp_path / "d.jsonl", *[bad] * 9, row("<b>", "<i>"), row("<b>", "<i>"))
    page = data.to_html(data.check(path))
    assert page.count("line 9") == 1  # all of them, where the table names five
    assert "&lt;script&gt;" in page and "&lt;i&gt;" in page
    assert not any(tag in page for tag in ("<script", "<i>", "<b><", "http", "src="))


def test_ranked_answers_are_checked_as_pairs(tmp_path):
    ranked = {"prompt": "a", "responses": ["b", "c", "d"], "scores": [1, 3, 2]}
    same = {**ranked, "scores": [1, 1, 1]}
    checked = data.check(write(tmp_path / "d.jsonl", ranked, same))
    assert (checked.format, checked.rows, checked.valid) == ("ranked answers", 2, 1)
    assert (checked.pairs, checked.duplicates, checked.both_ways) == (3, 0, 0)
    assert "all scores are the same" in checked.errors[0]["reason"]
    chat = {**row("a"), "responses": "a column of one's own"}
    assert not data.check(write(tmp_path / "d.jsonl", chat)).errors


def test_pairs_that_contradict_each_other_are_counted(tmp_path):
    pair = {"prompt": "p", "chosen": "a", "rejected": "b"}
    other = {**pair, "chosen": "b", "rejected": "a"}
    third = {**pair, "rejected": "c"}
    checked = data.check(write(tmp_path / "d.jsonl", pair, other, third, pair))
    assert (checked.both_ways, checked.duplicates, checked.other_answers) == (2, 1, 0)
    assert checked.copies == [["line 4", "line 1"]]
    assert "pairs say the contrary of an earlier one" in str(checked)


def test_a_file_of_pairs_and_chats_is_a_fault(tmp_path):
    pair = {"prompt": "p", "chosen": "a", "rejected": "b"}
    checked = data.check(write(tmp_path / "d.jsonl", pair, row("a")))
    assert [error["where"] for error in checked.errors] == ["the file"]
    assert "1 of its rows are pairs and 1 have one answer" in checked.errors[0]["reason"]
    ranked = {"prompt": "a", "responses": ["b", "c"], "scores": [1, 3]}
    assert not data.check(write(tmp_path / "d.jsonl", pair, ranked)).errors


def test_the_rejected_answer_of_a_pair_is_rendered_too(tmp_path, tokenizer):
    pair = {"prompt": "p", "chosen": "a", "rejected": "b <|end|> c"}
    checked = data.check(write(tmp_path / "d.jsonl", pair), tokenizer)
    assert "holds '<|end|>'" in checked.errors[0]["reason"]


def test_tool_calls_are_answers_that_differ(tmp_path):
    def calling(arguments, **more):
        call = {"function": {"name": "f", "arguments": arguments}, **more}
        return [*row("a")["messages"][:1], {"role": "assistant", "tool_calls": [call]}]

    said = [calling({"a": 1}), calling('{"a":1}', id="x"), calling({"a": 2})]
    checked = data.check(write(tmp_path / "d.jsonl", *({"messages": chat} for chat in said)))
    assert checked.answers == [['f({"a": 1})', 2], ['f({"a": 2})', 1]]
    assert (checked.different_answers, checked.copies) == (2, [["line 2", "line 1"]])
