"""Write the Colab badge and the setup lines into the notebooks, from the address in pyproject.toml.

    stamp_notebooks(names)               write them where they differ: `Stamps`
    stamp_notebooks(names, check=True)   only say where they would

Neither changes what a cell shows outside Colab, so outputs and counts stay as they are and nothing
has to run again. What the kit needs on Colab besides itself is `core.colab`'s business.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from ..core.files import write_whole
from ..core.results import Result, TableParts
from .notebooks import CHECKOUT, find_notebooks, import_jupyter
from .outputs import code_cells

if TYPE_CHECKING:
    from nbformat import NotebookNode

PYPROJECT = CHECKOUT / "pyproject.toml"
GITHUB, COLAB = "https://github.com/", "https://colab.research.google.com/"
BRANCH = "main"
BADGE = re.compile(r"^\[!\[Open in Colab\]\(.*\n\n?", re.MULTILINE)
SETUP = re.compile(r'\Aif "google\.colab" in .*\n(?:[ ]{4}.*\n)+')


@dataclass(frozen=True, repr=False)
class Stamps(Result):
    """Which notebooks got a new stamp, or with `check` would get one, and which had it already."""

    stamped: list[str]
    unchanged: list[str]

    def table(self) -> TableParts:
        """One line per notebook, in their order."""
        rows = [(name, "new") for name in self.stamped]
        rows += [(name, "as it was") for name in self.unchanged]
        return "Badge and setup lines", ("notebook", "stamp"), sorted(rows)


def address(pyproject: Path = PYPROJECT) -> str:
    """The project's URL: what pyproject.toml says under [project.urls] Repository.

    Raises UserError where there is no such file, or where it says nothing that Colab can open.
    """
    if not pyproject.is_file():
        raise UserError(
            f"there is no {pyproject}; stamp the notebooks in a checkout of the repository."
        )
    # an address of another kind would stamp a badge that opens nothing
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    url = project.get("urls", {}).get("Repository", "")
    if not re.fullmatch(rf"{re.escape(GITHUB)}[\w.-]+/[\w.-]+", url):
        raise UserError(
            f"Repository under [project.urls] in {pyproject} is {url!r}; Colab opens "
            f"{GITHUB}OWNER/NAME."
        )
    return url


def badge(url: str, name: str) -> str:
    """The line of Markdown that opens `notebooks/name` of the repository `url` on Colab."""
    target = f"{url.replace(GITHUB, f'{COLAB}github/')}/blob/{BRANCH}/notebooks/{name}"
    return f"[![Open in Colab]({COLAB}assets/colab-badge.svg)]({target})\n\n"


def setup_lines(url: str) -> str:
    """What stands above the imports of a first cell: on Colab it fetches the kit where it lacks.

    Elsewhere it does nothing. It is plain Python, without a magic and without a name that stays.
    """
    return (
        'if "google.colab" in __import__("sys").modules '
        'and not __import__("importlib.util").util.find_spec("ftkit"):\n'
        f'    get_ipython().system("pip install -q --no-deps git+{url}")\n'
    )


def without_setup(source: str) -> str:
    """A code cell without setup lines: what its author wrote."""
    return SETUP.sub("", source).lstrip("\n")


def stamp(nb: "NotebookNode", url: str, name: str) -> None:
    """Put the badge below the title of `nb` and the setup lines above its first code.

    Older ones make room. Raises UserError, with `name`, where there is no title or no code.
    """
    if not (nb.cells and nb.cells[0].source.startswith("# ") and code_cells(nb)):
        raise UserError(
            f"{name} has no place for a badge and setup lines; begin it with a '# title' and have "
            "a code cell."
        )
    title, code = nb.cells[0], code_cells(nb)[0]
    head, _, rest = BADGE.sub("", title.source).partition("\n")
    title.source = f"{head}\n\n{badge(url, name)}" + rest.lstrip("\n")
    code.source = setup_lines(url) + "\n" + without_setup(code.source)


def stamp_notebooks(
    names: Sequence[str] = (),
    *,
    check: bool = False,
    folder: Path | None = None,
    pyproject: Path = PYPROJECT,
) -> Stamps:
    """Stamp the notebooks called `names` (see `run_notebooks`), or with `check` change nothing.

    The report says which ones disagreed with pyproject.toml.
    """
    nbformat = import_jupyter()[1]
    url, stamps = address(pyproject), Stamps([], [])
    for path in find_notebooks(names, folder):
        before = path.read_text(encoding="utf-8")
        nb = nbformat.reads(before, as_version=4)
        stamp(nb, url, path.name)
        after = nbformat.writes(nb) + "\n"
        # a notebook that is right already is not touched
        if after == before:
            stamps.unchanged.append(path.stem)
            continue
        stamps.stamped.append(path.stem)
        if not check:
            write_whole(path, after)
    return stamps
