"""Files: whole or not there, and measurements with what made them."""

import json

import pytest

from ftkit import UserError
from ftkit.core import files
from ftkit.core.versions import PACKAGES


def test_the_kits_own_data_is_found():
    assert files.data_path("pocket", "config.json").is_file()


def test_a_folder_that_was_not_finished_is_not_there(tmp_path):
    with pytest.raises(RuntimeError), files.whole_or_nothing(tmp_path / "out") as new:
        (new / "half").write_text("x")
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_a_finished_folder_replaces_what_was_there(tmp_path):
    out = tmp_path / "out"
    for text in ("one", "two"):
        with files.whole_or_nothing(out) as new:
            (new / "folder").mkdir()
            (new / "folder" / text).write_text(text)
            (new / "record").write_text(text)
    assert [path.name for path in (out / "folder").iterdir()] == ["two"]
    assert (out / "record").read_text() == "two"
    assert sorted(path.name for path in out.iterdir()) == ["folder", "record"]


def test_a_file_is_no_folder_to_write_into(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"), files.whole_or_nothing(tmp_path / "file"):
        pass


def test_a_text_is_written_whole(tmp_path):
    for text in ("one", "zwei ≈"):
        files.write_whole(tmp_path / "file", text)
    assert (tmp_path / "file").read_text(encoding="utf-8") == "zwei ≈"
    assert len(list(tmp_path.iterdir())) == 1


def test_measurements_say_what_made_them(tmp_path):
    rows = [{"a": 1}, {"a": 2.5}]
    path = files.write_rows(tmp_path / "new" / "m.json", {"command": "x"}, rows, {"seconds": 3})
    text = path.read_text(encoding="utf-8")
    assert text.splitlines()[1:] == ['"rows": [', '{"a": 1},', '{"a": 2.5}', "]}"]
    read = json.loads(text)
    assert list(read) == ["command", "versions", "seconds", "rows"]
    assert (read["rows"], list(read["versions"])) == (rows, list(PACKAGES))
