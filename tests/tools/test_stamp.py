"""The stamps: one address in pyproject.toml, and a badge and setup lines that say it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from ftkit import UserError
from ftkit.tools import outputs, stamp

ROOT = Path(__file__).parents[2]


def test_every_notebook_has_the_projects_badge_and_setup_lines():
    stamps = stamp.stamp_notebooks(check=True, folder=ROOT / "notebooks")
    assert stamps.stamped == [], "run: python -m ftkit notebooks --stamp"


@pytest.fixture
def checkout(tmp_path):
    """A folder with two of the notebooks, and a fork's pyproject.toml."""
    (tmp_path / "notebooks").mkdir()
    for name in ("00_start_here", "07_supervised_fine_tuning"):
        shutil.copy(ROOT / "notebooks" / f"{name}.ipynb", tmp_path / "notebooks")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\n[project.urls]\nRepository = "https://github.com/me/my-fork"\n'
    )
    return tmp_path


def stamped(checkout, check=False):
    return stamp.stamp_notebooks(
        check=check, folder=checkout / "notebooks", pyproject=checkout / "pyproject.toml"
    )


def test_a_fork_edits_one_line_and_stamps(checkout):
    assert stamped(checkout).unchanged == []
    again = stamped(checkout)
    assert (again.stamped, again.unchanged) == ([], ["00_start_here", "07_supervised_fine_tuning"])
    for path in (checkout / "notebooks").glob("*.ipynb"):
        text = path.read_text(encoding="utf-8")
        assert text.count("me/my-fork") == 2
        assert (
            text.count("https://colab.research.google.com/github/"),
            text.count("git+https"),
        ) == (1, 1)
        assert "github.com/ftkit/ftkit" not in text


def test_check_writes_nothing(checkout):
    before = {path: path.read_bytes() for path in (checkout / "notebooks").iterdir()}
    assert len(stamped(checkout, check=True).stamped) == 2
    assert {path: path.read_bytes() for path in (checkout / "notebooks").iterdir()} == before


def test_a_stamp_leaves_all_but_two_cells_as_they_were(checkout):
    path = checkout / "notebooks" / "00_start_here.ipynb"
    old = nbformat.read(path, as_version=4)
    stamped(checkout)
    new = nbformat.read(path, as_version=4)
    first = old.cells.index(outputs.code_cells(old)[0])
    assert [i for i, (a, b) in enumerate(zip(old.cells, new.cells, strict=True)) if a != b] == [
        0,
        first,
    ]
    assert stamp.without_setup(new.cells[first].source) == stamp.without_setup(
        old.cells[first].source
    )
    assert {**new.cells[first], "source": ""} == {**old.cells[first], "source": ""}, (
        "its output and its count stay"
    )
    title, blank, badge = new.cells[0].source.splitlines()[:3]
    site = "https://colab.research.google.com"
    target = f"{site}/github/me/my-fork/blob/main/notebooks/00_start_here.ipynb"
    assert (title, blank) == (old.cells[0].source.splitlines()[0], "")
    assert badge == f"[![Open in Colab]({site}/assets/colab-badge.svg)]({target})"


@pytest.mark.parametrize("urls", ["", '[project.urls]\nRepository = "https://example.org/x/y"\n'])
def test_an_address_that_colab_cannot_open_is_refused(checkout, urls):
    (checkout / "pyproject.toml").write_text(f'[project]\nname = "x"\n{urls}')
    with pytest.raises(UserError, match=r"Colab opens https://github\.com/OWNER/NAME"):
        stamped(checkout)


def test_a_notebook_without_a_title_is_refused(checkout):
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")]),
        checkout / "notebooks" / "01_bare.ipynb",
    )
    with pytest.raises(UserError, match=r"01_bare\.ipynb has no place for a badge"):
        stamped(checkout)


def test_the_verb_stamps_and_checks(checkout):
    shutil.copytree(
        ROOT / "ftkit", checkout / "ftkit", ignore=shutil.ignore_patterns("__pycache__")
    )

    def verb(*words):
        return subprocess.run(
            [sys.executable, "-m", "ftkit", "notebooks", "--stamp", *words, "--json"],
            capture_output=True,
            text=True,
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": str(checkout)},
        )

    for words, code, new in ((["--check"], 1, 1), ([], 0, 1)):
        done = verb("00", *words)
        assert (done.returncode, len(json.loads(done.stdout)["stamped"])) == (code, new), (
            done.stderr
        )
