"""Write the Colab badge and the setup lines into the notebooks, from the one address in
pyproject.toml.

Neither changes what a cell shows outside Colab, so outputs and counts stay as they are and nothing
has to run again.
"""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UserError
from ..core.results import Result
from .notebooks import code_cells, find, jupyter, write

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
BRANCH = "main"
BADGE = re.compile(r"^\[!\[Open in Colab\]\(.*\n\n?", re.MULTILINE)
SETUP = re.compile(r'\Aif "google\.colab" in .*\n(?:[ ]{4}.*\n)+')


@dataclass(frozen=True, repr=False)
class Stamps(Result):
    """Which notebooks got a new stamp, or with `check` would get one, and which had the right one."""

    stamped: list[str]
    unchanged: list[str]

    def table(self):
        """One line a notebook."""
        rows = [(name, "new") for name in self.stamped] + [
            (name, "as it was") for name in self.unchanged
        ]
        return "Badge and setup lines", ("notebook", "stamp"), sorted(rows)


def address(pyproject: Path = PYPROJECT) -> str:
    """The project's URL: what pyproject.toml says under [project.urls] Repository; UserError where
    it says nothing that Colab can open.
    """
    if not pyproject.is_file():
        raise UserError(
            f"there is no {pyproject}; stamp the notebooks in a checkout of the repository."
        )
    url = (
        tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
        .get("urls", {})
        .get("Repository", "")
    )
    if not re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", url):
        raise UserError(
            f"Repository under [project.urls] in {pyproject} is {url!r}; Colab opens https://github.com/OWNER/NAME."
        )
    return url


def badge(url: str, name: str) -> str:
    """The line of Markdown that opens `notebooks/name` of the repository `url` on Colab."""
    target = f"{url.replace('https://github.com/', 'https://colab.research.google.com/github/')}/blob/{BRANCH}/notebooks/{name}"
    return f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({target})\n\n"


def setup_lines(url: str) -> str:
    """What stands above the imports of a first cell: on Colab it fetches the kit if it is not
    there, elsewhere it does nothing.

    What the kit needs besides comes with `import ftkit` (see `colab`). It is plain Python, without
    a magic and without a name that stays.
    """
    return (
        'if "google.colab" in __import__("sys").modules and not __import__("importlib.util").util.find_spec("ftkit"):\n'
        f'    get_ipython().system("pip install -q --no-deps git+{url}")\n'
    )


def unstamped(source: str) -> str:
    """A code cell without setup lines: what its author wrote."""
    return SETUP.sub("", source).lstrip("\n")


def stamp(nb, url: str, name: str) -> None:
    """Put the badge below the title of `nb` and the setup lines above its first code, in place of
    older ones.

    Raises UserError, with `name`, where there is no title or no code.
    """
    if not (nb.cells and nb.cells[0].source.startswith("# ") and code_cells(nb)):
        raise UserError(
            f"{name} has no place for a badge and setup lines; begin it with a '# title' and have a code cell."
        )
    title, code = nb.cells[0], code_cells(nb)[0]
    head, _, rest = BADGE.sub("", title.source).partition("\n")
    title.source = f"{head}\n\n{badge(url, name)}" + rest.lstrip("\n")
    code.source = setup_lines(url) + "\n" + unstamped(code.source)


def stamp_notebooks(
    names: Sequence[str] = (),
    check: bool = False,
    folder: Path | None = None,
    pyproject: Path = PYPROJECT,
) -> Stamps:
    """Stamp the notebooks called `names` (see `notebooks.run`), or with `check` only say which ones
    disagree with pyproject.toml.
    """
    nbformat = jupyter()[1]
    url, report = address(pyproject), Stamps([], [])
    for path in find(names, folder):
        before = path.read_text(encoding="utf-8")
        nb = nbformat.reads(before, as_version=4)
        stamp(nb, url, path.name)
        after = nbformat.writes(nb) + "\n"
        (report.unchanged if after == before else report.stamped).append(path.stem)
        if after != before and not check:
            write(path, after)
    return report
