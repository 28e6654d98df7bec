"""Rows in texts and tables: where each stands, and what JSON and CSV leave open is a fault."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from ftkit import UserError, data
from ftkit.data import records

A, B = {"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": "d"}


def values(found):
    assert [record.fault for record in found] == [""] * len(found)
    return [record.value for record in found]


@pytest.mark.parametrize(
    "text",
    [
        f"{json.dumps(A)}\n{json.dumps(B)}\n",
        f"\n {json.dumps(A)}\r\n\r\n{json.dumps(B)}",
        json.dumps([A, B]),
        json.dumps([A, B], indent=1),
        f"[\n{json.dumps(A)},\n{json.dumps(B)}\n]\n",
        json.dumps({"data": [A, B]}),
        json.dumps({"version": 1, "rows": [A, B]}, indent=2),
    ],
)
def test_json_lines_and_every_kind_of_json_hold_the_same_rows(text):
    assert values(records.read_json(text, "f")) == [A, B]


def test_an_object_may_be_one_row_or_hold_a_list_per_split():
    for row in (A, {"messages": [A]}, {"prompt": [A], "completion": [B]}):
        assert values(records.read_json(json.dumps(row, indent=1), "f")) == [row]
    found = records.read_json(json.dumps({"train": [A], "dev": [B]}), "f")
    assert [(record.split, record.value) for record in found] == [("train", A), ("validation", B)]
    with pytest.raises(records.BadFile, match=r"several lists \(one, two\)"):
        records.read_json(json.dumps({"one": [A], "two": [B]}), "f")


def test_what_an_object_says_beside_its_rows_goes_with_the_first():
    for rows in ({"data": [A, B]}, {"train": [A], "test": [B]}):
        text = json.dumps({"version": 1, "features": [{"name": "a"}], **rows, "system": "s"})
        first, second = records.read_json(text, "f")
        assert first.around == {"version": 1, "features": [{"name": "a"}], "system": "s"}
        assert (first.value, second.value, second.around) == (A, B, {})


@pytest.mark.parametrize(
    "row",
    [
        {**A, "citations": [{"title": "x"}]},
        {"instruction": "a", "output": "b", "sources": [{"title": "x"}]},
        {"dialogue": [{"role": "user", "content": "a"}]},
        {"turns": [{"from": "human", "value": "a"}], "tools": [{"name": "f"}]},
    ],
)
def test_a_file_of_one_row_is_that_row_whatever_lists_it_has(row):
    assert values(records.read_json(json.dumps(row), "f")) == [row]


@pytest.mark.parametrize("end", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\r"])
def test_a_line_ends_at_a_line_feed_alone(end):
    """Other line ends stand inside strings, raw or escaped (wbolster/jsonlines 53)."""
    row = {"prompt": f"one{end}two", "completion": "b"}
    text = json.dumps(row, ensure_ascii=False)
    assert values(records.read_json(f"{text}\n{json.dumps(A)}\n", "f")) == [row, A]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"prompt": ', "not JSON (Expecting value at column 11)"),
        ("{'prompt': 1}", "not JSON (Expecting property name"),
        ('{"prompt": "a"},', "not JSON (there is a comma behind it; leave that out)"),
        ('{"a": 1} {"a": 2}', "more than one value: the second begins at column 10"),
        ('{"a": "b", "a": "c"}', "states 'a' twice, as 'b' and as 'c'; keep one"),
        ('{"a": {"b": 1, "b": 1}}', "states 'b' twice, as 1 and as 1"),
        ('{"a": NaN}', "NaN is no number in JSON"),
        ('{"a": -Infinity}', "-Infinity is no number in JSON"),
        ('{"a": 1e999}', "1e999 is too large a number"),
        (f'{{"a": {"9" * 5000}}}', "a number of thousands of digits"),
        (f"{'[' * 100_000}", "nested too deeply"),
    ],
)
def test_a_fault_is_told_by_line_and_the_others_are_read(line, fault):
    found = records.read_json(f"{json.dumps(A)}\n\n{line}\n{json.dumps(B)}\n", "f")
    assert [record.where for record in found] == ["line 1", "line 3", "line 4"]
    assert fault in found[1].fault
    assert [found[0].value, found[2].value] == [A, B]


@pytest.mark.parametrize(
    ("rest", "where", "fault"),
    [
        ('{"a": 1, "a": 2}]', "row 2", "states 'a' twice"),
        ('{"a": }]', "row 2", "not JSON (Expecting value at column 7), in line 2"),
        ('{"a": 1}', "row 2", "the array breaks off"),
        ('{"a": 1} {"b": 1}]', "row 2", "not JSON behind it, in line 2"),
        ('{"a": 1}] more', "row 2", "not JSON behind it, in line 2"),
    ],
)
def test_a_fault_in_an_array_is_told_by_row(rest, where, fault):
    found = records.read_json(f"[{json.dumps(A)},\n{rest}", "f")
    assert found[0] == records.Record("row 1", 1, A)
    assert (found[-1].where, found[-1].line) == (where, 2)
    assert fault in found[-1].fault


def test_nothing_is_no_rows():
    for text in ("", "\n \n", "[]", " [ ]\n"):
        assert records.read_json(text, "f") == []
    assert records.read_csv("prompt,completion\n", "f") == []


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_a_table_is_read_by_its_head(mark):
    text = f'prompt{mark}completion\r\n"one\ntwo{mark} ""three"""{mark}NA\r\n\r\n5{mark}'
    found = records.read_csv(text, "f")
    told = {"prompt": f'one\ntwo{mark} "three"', "completion": "NA"}
    assert values(found) == [told, {"prompt": "5", "completion": ""}]
    assert [record.where for record in found] == ["line 2", "line 5"]


def test_a_cell_may_be_long_and_hold_a_list_and_an_empty_split_is_none():
    long, chat = "x" * 200_000, json.dumps([A]).replace('"', '""')
    text = f'text,messages,split\n{long},"{chat}",\n,[1,test\n'
    first, second = records.read_csv(text, "f")
    assert first.value == {"text": long, "messages": [A]}
    assert second.fault.startswith("messages: not JSON")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a,b\n1,2,3\n", "3 cells under 2 heads"),
        ("a,b\n1\n", "1 cells under 2 heads"),
        ('a,b\n"1,2\n', "not CSV (unexpected end of data"),
        ('a,b\n"1"2,3\n', "not CSV"),
        ('messages,b\n"[{""a"": 1, ""a"": 2}]",x\n', "messages: states 'a' twice"),
    ],
)
def test_a_bad_line_of_a_table_is_told(text, fault):
    found = records.read_csv(text, "f")
    assert found[0].where == "line 2"
    assert fault in found[0].fault


@pytest.mark.parametrize("head", ["a,a", "a,", ",b"])
def test_columns_have_a_name_each(head):
    with pytest.raises(records.BadFile, match="name each column once"):
        records.read_csv(f"{head}\n1,2\n", "f")


def test_json_is_no_table():
    with pytest.raises(records.BadFile, match="holds JSON"):
        records.read_csv(json.dumps(A), "f")


def as_parquet(rows):
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue().to_pybytes()


def test_a_parquet_table_gives_its_rows_and_a_null_split_is_none():
    found = records.read_parquet(as_parquet([{**A, "split": "test"}, B]), "f")
    assert values(found) == [{**A, "split": "test"}, B]
    assert [record.where for record in found] == ["row 1", "row 2"]
    with pytest.raises(records.BadFile, match="cannot be read as Parquet"):
        records.read_parquet(as_parquet([A])[:-20], "f")


@pytest.mark.parametrize(
    ("word", "split"),
    [
        *[(word, "train") for word in ("train", "Train", "TRAINING", " train ")],
        *[(word, "validation") for word in ("val", "valid", "Validation", "dev", "eval")],
        *[(word, "test") for word in ("test", "Testing")],
        *[(word, None) for word in ("tset", "", "train2", "0")],
    ],
)
def test_a_split_has_usual_names(word, split):
    assert records.find_split(word) == split


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train.jsonl", "train"),
        ("VAL.csv.gz", "validation"),
        ("test-00000-of-00001.parquet", "test"),
        ("train_2.jsonl", "train"),
        ("trains.jsonl", None),
        ("test-set.jsonl", None),
    ],
)
def test_a_file_is_named_by_its_split(name, split):
    assert records.split_of_file(name) == split


def test_what_is_no_row_among_rows_is_named_and_takes_no_split_away(tmp_path):
    chat = {"prompt": "Q", "completion": "A"}
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"train": [chat] * 3, "test": [chat, None]}))
    with pytest.raises(UserError, match="1 bad row"):
        data.read(file)


def test_what_stands_behind_the_json_in_a_cell_is_named(tmp_path):
    chat = '[{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]'
    file = tmp_path / "mine.csv"
    quoted = chat.replace('"', '""')
    file.write_text(f'messages\n"{quoted}"\n')
    assert len(data.read(file)) == 1
    file.write_text(f'messages\n"{quoted} and more"\n')
    with pytest.raises(UserError, match="more than one value"):
        data.read(file)


@pytest.mark.parametrize(
    ("beside", "reason"),
    [
        ({"train": [A, B], "test": A}, "its 'test' is {.*an object; write a list of rows, or"),
        ({"train": [A, B], "test": [["q", "a"]]}, "its 'test' is .*a list; write a list of rows"),
        ({"train": [A, B], "dev": "dev.jsonl"}, "its 'dev' is 'dev.jsonl', a text"),
        ({"train": [A, B], "tests": A}, "its 'tests' is .*write a list of rows named 'test'"),
        ({"data": [A, B], "Test": [["q", "a"]]}, "its 'Test' is .*write a list of rows"),
    ],
)
def test_a_split_that_is_no_list_of_rows_is_refused(beside, reason):
    with pytest.raises(UserError, match=reason):
        records.read_json(json.dumps(beside), "d.json")


@pytest.mark.parametrize(
    "beside",
    [
        {"train": [A], "test": [], "dev": None, "info": {"by": "me"}},
        {"data": [A], "eval": 0.5, "dev": "Ann", "features": [["a"]]},
    ],
)
def test_what_is_no_split_may_stand_beside_rows(beside):
    assert values(records.read_json(json.dumps(beside), "d.json")) == [A]


def test_messages_in_a_cell_are_read():
    chat = [{"role": "user", "content": "hi, you"}]
    cells = ",".join('"' + json.dumps(chat).replace('"', '""') + '"' for _ in range(2))
    read = values(records.read_csv(f"prompt,chosen,rejected\n{cells},[no]\n", "d.csv"))
    assert read == [{"prompt": chat, "chosen": chat, "rejected": "[no]"}]
