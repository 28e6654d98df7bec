"""Data sets: found by name, split as they state or by seed, every bad row named."""

import json

import pytest

from ftkit import UserError, data, models
from ftkit.data import sets


@pytest.fixture(scope="module")
def tokenizer():
    return models.load("pocket")[1]


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


CHAT = {
    "messages": [{"role": "user", "content": "Hello!"}, {"role": "assistant", "content": "Hi."}]
}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"prompt": ', "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"question": "x"}', "question fit no known format"),
        ('{"messages": []}', "at least one message"),
        ('{"messages": [{"role": "user", "content": "x"}]}', "not an answer of the assistant"),
        ('{"messages": [{"role": "boss", "content": "x"}]}', "needs a role"),
        ('{"prompt": "x", "completion": 3}', "text content"),
        ('{"prompt": "x", "completion": " "}', "nothing to learn"),
    ],
)
def test_a_bad_row_is_named_by_line_and_reason(tmp_path, line, reason):
    path = write(tmp_path / "d.jsonl", CHAT, line)
    with pytest.raises(UserError) as error:
        sets.read(path)
    assert "line 2" in str(error.value)
    assert reason in str(error.value)


def test_three_bad_rows_are_named_and_the_rest_counted(tmp_path):
    with pytest.raises(UserError, match=r"5 bad rows: line 1: .*line 3: .*…"):
        sets.read(write(tmp_path / "d.jsonl", *["{"] * 5))


def test_a_line_ends_where_json_lines_says_it_does(tmp_path):
    """Other line ends of Unicode stand inside strings, as a JSON writer may leave them."""
    row = {"prompt": "first\u2028second\x85third", "completion": "Hi."}
    path = write(tmp_path / "d.jsonl", json.dumps(row, ensure_ascii=False), CHAT)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    rows = sets.read(path)
    assert [r["messages"][0]["content"] for r in rows] == [row["prompt"], "Hello!"]


def test_a_missing_file_an_empty_file_and_an_unknown_task(tmp_path):
    write(tmp_path / "tickets2.jsonl", CHAT)
    with pytest.raises(UserError, match=r"Did you mean 'tickets2.jsonl'"):
        data.load(tmp_path / "ticket2.jsonl")
    with pytest.raises(UserError, match="is empty"):
        data.load(write(tmp_path / "empty.jsonl"))
    with pytest.raises(UserError, match="Did you mean 'tickets'"):
        data.load("tiketts")


def test_two_rows_cannot_be_split(tmp_path):
    with pytest.raises(UserError, match="has 2 rows"):
        data.load(write(tmp_path / "d.jsonl", CHAT, CHAT))


def test_a_file_is_split_by_seed(tmp_path):
    rows = [{"prompt": str(i), "completion": "x"} for i in range(50)]
    path = write(tmp_path / "d.jsonl", *rows)
    first, again, other = data.load(path), data.load(path), data.load(path, seed=1)
    assert {s: len(d) for s, d in first.items()} == {"train": 40, "validation": 5, "test": 5}
    assert first["test"]["messages"] == again["test"]["messages"] != other["test"]["messages"]
    everything = sorted(int(m[0]["content"]) for d in first.values() for m in d["messages"])
    assert everything == list(range(50))


def test_the_tickets_keep_their_splits(tokenizer):
    splits = data.load("tickets", tokenizer)
    assert {s: len(d) for s, d in splits.items()} == {"train": 300, "validation": 60, "test": 200}


def test_a_file_without_splits_is_judged_whole(tmp_path):
    assert len(sets.test_rows(write(tmp_path / "d.jsonl", CHAT, CHAT))) == 2
    assert len(sets.test_rows("tickets")) == 200
    with pytest.raises(UserError, match="has no test rows"):
        sets.test_rows("general")
