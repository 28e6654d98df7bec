"""Notebooks to hand out: as committed, without what a class is to find out by itself.

    write_editions(names, out)   a folder of notebooks for students: `Editions`
    student_edition(nb)          one of them, in place

Outputs and counts go, and with them every answer; so do cells tagged "solution" or "teacher", calls
of `solution`, teacher's notes and solutions folded into Markdown, guesses that are written in, and
the badge, which would open the notebook with all of that. What is said right behind an answer is
folded, for whoever scrolls ahead of a guess. Claims stay, folded: they try what the class has run.
The committed notebooks are made by `notebooks`.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.files import write_whole
from ..core.results import Result, TableParts
from .notebooks import find_notebooks, import_jupyter
from .outputs import tags_of
from .stamp import BADGE

if TYPE_CHECKING:
    from nbformat import NotebookNode

KEPT_BACK = {"solution", "teacher"}  # tags of cells that are not handed out
# A fold of Markdown that begins with one of these words; folds within folds are not written.
NOTES = re.compile(
    r"<details\b[^>]*>\s*<summary>\W*(?:<\w+>)?\s*"
    r"(?:solutions?|answers?|(?:for )?(?:the )?teachers?)\b.*?</details>\s*",
    re.IGNORECASE | re.DOTALL,
)


# What stands before the next heading, fold or question of a cell.
BEHIND_AN_ANSWER = re.compile(
    r"\A(?!#|<details)(?P<said>.+?)\s*(?=^#|^<details|^[^\n]*\*\*Predict|\Z)",
    re.DOTALL | re.MULTILINE,
)
FOLDED = "<details><summary><b>When you have answered</b></summary>\n\n{said}\n\n</details>\n\n"


@dataclass(frozen=True, repr=False)
class Editions(Result):
    """Which notebooks were written for students, where, and how many cells each kept back."""

    folder: str
    kept_back: dict[str, int]

    def table(self) -> TableParts:
        """One line per notebook."""
        rows = list(self.kept_back.items())
        return f"For students, in {self.folder}", ("notebook", "cells kept back"), rows


def write_editions(names: Sequence[str], out: Path, *, folder: Path | None = None) -> Editions:
    """Write the notebooks called `names` (see `run_notebooks`) for students into the folder `out`.

    Raises UserError where `out` is the folder of the notebooks themselves.
    """
    nbformat = import_jupyter()[1]
    paths = find_notebooks(names, folder)
    if out.resolve() == paths[0].parent.resolve():
        raise UserError(
            f"--out is {out}, where the notebooks themselves are; give another folder, such as "
            "--out student."
        )
    out.mkdir(parents=True, exist_ok=True)
    kept_back = {}
    for path in paths:
        nb = nbformat.read(path, as_version=4)
        before = len(nb.cells)
        student_edition(nb)
        kept_back[path.stem] = before - len(nb.cells)
        write_whole(out / path.name, nbformat.writes(nb) + "\n")
    return Editions(str(out), kept_back)


def student_edition(nb: "NotebookNode") -> None:
    """Take out of a notebook what its readers are to find out by themselves."""
    nb.metadata.pop("widgets", None)
    kept: list[NotebookNode] = []
    answers = False  # whether the cell before gives one
    for cell in nb.cells:
        if KEPT_BACK & set(tags_of(cell)) or gives_solution(cell):
            continue
        if cell.cell_type == "markdown":
            cell.source = NOTES.sub("", BADGE.sub("", cell.source)).strip()
            # a cell that was nothing but a note
            if not cell.source:
                continue
            if answers:
                cell.source = BEHIND_AN_ANSWER.sub(fold, cell.source, count=1).strip()
            answers = False
        elif cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
            cell.source = without_guesses(cell.source)
            answers = answers or any(lesson_calls(cell.source, "reveal"))
        kept.append(cell)
    nb.cells = kept


def fold(found: re.Match) -> str:
    """What is said behind an answer, to be opened."""
    return FOLDED.format(said=found["said"].strip())


def gives_solution(cell: "NotebookNode") -> bool:
    """Whether a code cell calls `solution`."""
    return cell.cell_type == "code" and any(lesson_calls(cell.source, "solution"))


def lesson_calls(source: str, name: str) -> list[ast.Call]:
    """The calls of one of `lessons`' functions, which begin with an id such as "00.1".

    The last one comes first. `memory.predict`, which begins with a model, is none of them; neither
    is anything in a cell that is no Python.
    """
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return []
    calls = []
    for node in nodes:
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (name, f"lessons.{name}"):
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and re.fullmatch(r"\w+\.\w+", str(first.value)):
                calls.append(node)
    return sorted(calls, key=lambda call: (call.lineno, call.col_offset), reverse=True)


def without_guesses(source: str) -> str:
    """A cell whose calls of `predict` name their question alone."""
    lines = source.splitlines(keepends=True)
    for call in lesson_calls(source, "predict"):
        if len(call.args) + len(call.keywords) < 2:
            continue
        # all of the call's lines become one; `ast` counts columns in bytes
        first, last = call.lineno - 1, (call.end_lineno or call.lineno) - 1
        asked = ast.unparse(call.args[0]).replace("'", '"')
        head = lines[first].encode()[: call.col_offset].decode()
        tail = lines[last].encode()[call.end_col_offset :].decode()
        lines[first : last + 1] = [f"{head}{ast.unparse(call.func)}({asked}){tail}"]
    return "".join(lines)
