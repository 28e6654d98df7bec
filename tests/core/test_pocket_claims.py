"""Claims of the pocket model: asserts on it, one line of output each on another."""

import ast
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell

from ftkit.core import pocket_claims
from ftkit.tools import outputs

COMMITTED = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
CELL = '''gained = {"a": 2}
assert gained["a"] > 1  # pocket
for x in (1, 3):
    assert x < 2, "x stays below two"  # pocket
assert (
    gained["b"]
    > 0
)  # pocket
assert gained  # holds everywhere
text = """
assert False  # pocket
"""
'''


@pytest.fixture
def shell(monkeypatch):
    """An IPython as a kernel has it."""
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    yield shell
    InteractiveShell.clear_instance()


def printed(capsys):
    return capsys.readouterr().out.splitlines()


def test_on_another_model_each_claim_is_tried_and_told(shell, capsys):
    pocket_claims.watch_cells("owner/name")
    assert shell.run_cell(CELL).success
    assert printed(capsys) == [
        '✓ as with the pocket model: gained["a"] > 1',
        "✓ as with the pocket model: x stays below two",
        "✗ unlike the pocket model: x stays below two",
        '– cannot be asked of this model, KeyError: gained["b"] > 0',
    ]
    assert shell.user_ns["text"] == "\nassert False  # pocket\n", "a string stays as it is"


def test_claims_that_hold_for_every_model_still_stop_the_run(shell, capsys):
    pocket_claims.watch_cells("owner/name")
    assert isinstance(shell.run_cell("assert 1 > 2").error_in_exec, AssertionError)


def test_on_the_pocket_model_they_are_asserts(shell, capsys):
    pocket_claims.watch_cells("owner/name")
    pocket_claims.watch_cells("pocket")
    assert isinstance(shell.run_cell("assert 1 > 2  # pocket").error_in_exec, AssertionError)
    assert pocket_claims.rewrite_cell not in shell.input_transformers_post


def test_watching_twice_is_watching_once(shell):
    for _ in range(2):
        pocket_claims.watch_cells("owner/name")
    assert shell.input_transformers_post.count(pocket_claims.rewrite_cell) == 1


def test_outside_ipython_nothing_happens():
    InteractiveShell.clear_instance()
    pocket_claims.watch_cells("owner/name")


def test_every_other_line_stays_where_it_is():
    lines = CELL.splitlines(keepends=True)
    new = pocket_claims.rewrite_cell(lines)
    assert len(new) == len(lines)
    changed = [i for i, (a, b) in enumerate(zip(lines, new, strict=True)) if a != b]
    assert changed == [1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("source", ["for x in", "%%bash\nls", "x = 'a", ""])
def test_what_is_not_python_yet_is_left_alone(source):
    lines = source.splitlines(keepends=True)
    assert pocket_claims.rewrite_cell(lines) == lines


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_notebooks_mark_asserts_and_nothing_else(path):
    """A mark that stands anywhere else, or an assert that asks for the model itself, would do
    nothing or hide a claim.
    """
    for cell in outputs.code_cells(nbformat.read(path, as_version=4)):
        lines = cell.source.splitlines(keepends=True)
        assert len(pocket_claims.rewrite_cell(lines)) == len(lines), cell.source
        marks = sum(line.rstrip().endswith(pocket_claims.MARK) for line in lines)
        assert marks == len(pocket_claims.marked_claims(cell.source)), cell.source
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Assert):
                names = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
                assert "pocket" not in names, cell.source
