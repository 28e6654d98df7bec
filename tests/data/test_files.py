"""Files as people have them: kinds, packing, folders and encodings; no byte is replaced."""

import gzip
import json

import pytest

from ftkit import UserError, data
from ftkit.data import files
from ftkit.data.records import BadFile

ROW = {"prompt": "Where is the café?", "completion": "In Zürich — “there”."}
TEXT = json.dumps(ROW, ensure_ascii=False) + "\n"


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def answer(path, **options):
    return data.read(path, **options)[0]["messages"][1]["content"]


@pytest.mark.parametrize("name", ["d.jsonl", "d.ndjson", "d.json", "D.JSONL", "d.jsonl.gz", "d.gz"])
def test_a_suffix_says_what_kind_it_is(tmp_path, name):
    content = gzip.compress(TEXT.encode(), mtime=0) if name.endswith(".gz") else TEXT
    if name == "d.gz":
        with pytest.raises(UserError, match=r"ends in .gz; a file of rows ends in .jsonl"):
            files.read_records(write(tmp_path / name, content))
    else:
        assert answer(write(tmp_path / name, content)) == ROW["completion"]


def test_a_packed_file_without_the_suffix_is_unpacked(tmp_path):
    assert (
        answer(write(tmp_path / "d.jsonl", gzip.compress(TEXT.encode(), mtime=0)))
        == ROW["completion"]
    )


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("d.jsonl", b"", "is empty"),
        ("d.jsonl", "\n \n", "is empty"),
        ("d.csv", "prompt,completion\n", "is empty"),
        ("d.json", "[]", "is empty"),
        ("d.parquet", b"", "is no Parquet|cannot be read as Parquet"),
        ("d.parquet", TEXT, "is no Parquet; write it again"),
        ("d.jsonl", b"PAR1....", "is Parquet; name it .parquet"),
        ("d.xlsx", b"PK\x03\x04..", "a zip archive or a workbook"),
        ("d.csv", TEXT, "holds JSON; give it the suffix .jsonl"),
        ("d.txt", TEXT, "ends in .txt; a file of rows ends in"),
        ("d.jsonl.gz", TEXT, "is not packed by gzip"),
        ("d.jsonl.gz", gzip.compress(TEXT.encode(), mtime=0)[:-9], "breaks off or is damaged"),
        ("d.jsonl", TEXT.encode() + b"\x00\x00\n", "holds a NUL in line 2"),
        ("d.jsonl", TEXT.encode("utf-16"), "is in UTF-16; save it as UTF-8, or name"),
        ("d.jsonl", TEXT.encode("utf-16-le"), "holds a NUL in line 1|is not UTF-8: line 1"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_one_sentence(tmp_path, name, content, reason):
    with pytest.raises(UserError, match=reason) as error:
        data.read(write(tmp_path / name, content))
    assert "\n" not in str(error.value)


def test_a_byte_that_is_no_utf8_is_named_and_never_replaced(tmp_path):
    """Windows-1252 was trained on with U+FFFD for its accents (lightning-flash 987)."""
    good = '{"prompt": "a", "completion": "b"}\n'
    path = write(tmp_path / "d.jsonl", good.encode() * 12 + TEXT.encode("cp1252"))
    with pytest.raises(BadFile, match=r"line 13 holds the byte 0xe9 at its byte 29; .*cp1252"):
        data.read(path)
    assert data.read(path, encoding="cp1252")[12]["messages"][1]["content"] == ROW["completion"]


@pytest.mark.parametrize(
    ("encoding", "named"),
    [("utf-8-sig", None), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("utf-16-be", "utf_16_be")],
)
def test_marks_and_named_encodings(tmp_path, encoding, named):
    path = write(tmp_path / "d.jsonl", TEXT.encode(encoding))
    assert answer(path, encoding=named) == ROW["completion"]
    for kind, text in ((".csv", "prompt,completion\na,é\n"), (".json", json.dumps([ROW]))):
        path = write(tmp_path / f"d{kind}", text.encode(encoding))
        assert answer(path, encoding=named) in ("é", ROW["completion"])


@pytest.mark.parametrize("encoding", ["cp1253x", "base64", "rot13", "", 5, "a\x00b"])
def test_an_encoding_has_a_name_that_python_knows(tmp_path, encoding):
    with pytest.raises(UserError, match=r"encoding is .* give a name that Python knows"):
        data.read(write(tmp_path / "d.jsonl", TEXT), encoding=encoding)


def test_a_wrong_encoding_is_refused_where_it_can_be_seen(tmp_path):
    with pytest.raises(UserError, match="begins with the mark of UTF-8 and encoding is 'cp1252'"):
        data.read(write(tmp_path / "d.jsonl", TEXT.encode("utf-8-sig")), encoding="cp1252")
    with pytest.raises(UserError, match="is not ascii: line 1 holds the byte 0xc3"):
        data.read(write(tmp_path / "d.jsonl", TEXT), encoding="ascii")


def test_a_folder_has_a_file_per_split(tmp_path):
    write(tmp_path / "train.jsonl", TEXT * 2)
    write(tmp_path / "dev.csv", "prompt,completion\na,b\n")
    write(tmp_path / "README.md", "about it")
    splits = data.load(tmp_path)
    assert {name: len(rows) for name, rows in splits.items()} == {"train": 2, "validation": 1}
    write(tmp_path / "test.jsonl", json.dumps({**ROW, "split": "train"}))
    with pytest.raises(UserError, match=r"test.jsonl line 1: split is 'train' in .* test rows"):
        data.load(tmp_path)
    write(tmp_path / "more.jsonl", TEXT)
    with pytest.raises(UserError, match=r"holds more.jsonl, whose names are no splits"):
        data.load(tmp_path)


def test_a_folder_without_rows_and_what_is_no_file(tmp_path):
    with pytest.raises(UserError, match="holds no file of rows"):
        data.load(tmp_path)
    write(tmp_path / "tickets2.jsonl.gz", TEXT)
    with pytest.raises(UserError, match=r"Did you mean 'tickets2.jsonl.gz'"):
        data.read(tmp_path / "ticket2.jsonl.gz")
    for name in ("not/there.jsonl", "a\x00b.jsonl", "x" * 5000 + ".jsonl"):
        with pytest.raises(UserError, match="there is no file"):
            data.read(tmp_path / name)
    with pytest.raises(UserError, match="there is no data set 'xxx"):
        data.load("x" * 5000)


@pytest.mark.parametrize(
    "name",
    ["train-00001.jsonl.bz2", "test.xlsx", "test.txt", "val.arrow", "test", "more.jsonl.zst"],
)
def test_rows_of_a_folder_that_nothing_reads_are_refused(tmp_path, name):
    write(tmp_path / "train.jsonl", TEXT)
    write(tmp_path / name, b"x")
    with pytest.raises(UserError, match=f"holds {name}, which is in no form that is read"):
        files.read_records(tmp_path)


def test_a_folder_of_a_split_is_refused_and_notes_are_not(tmp_path):
    write(tmp_path / "train.jsonl", TEXT)
    for name in ("README", "LICENSE", "train.yaml", "train.py", "notes.txt", ".train.jsonl.swp"):
        write(tmp_path / name, b"x")
    tmp_path.joinpath("old").mkdir()
    assert len(files.read_records(tmp_path)) == 1
    tmp_path.joinpath("test").mkdir()
    with pytest.raises(UserError, match="holds the folder test, which is not looked into"):
        files.read_records(tmp_path)


def test_a_list_of_another_split_than_its_files_is_a_fault(tmp_path):
    write(tmp_path / "train.jsonl", TEXT)
    write(tmp_path / "test.json", json.dumps({"train": [ROW], "test": [ROW]}))
    faults = [record.fault for record in files.read_records(tmp_path)]
    assert [bool(fault) for fault in faults] == [True, False, False]
    assert "in a list of train rows, in a file of test rows" in faults[0]
