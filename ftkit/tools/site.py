"""All of the kit as one site: notebooks, live explorers, reference, ledger, cards and a search.

    build_site(out, commands)   the site in a folder, whole or not at all: `Site`
    check_links(folder)         every link within it leads somewhere, and nothing is fetched
    setup(app)                  what Sphinx is taught: formulas without a script, plain docstrings

Sphinx with MyST-NB and furo makes HTML of the pages that `site_pages` writes, from committed
outputs and without a network; a warning ends it. `python -m ftkit site` is the verb, and it needs a
checkout and the extra `site`. Other kinds of export of a notebook are nbconvert's business.
"""

import importlib.util
import io
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ..core.errors import UserError
from ..core.files import whole_or_nothing
from ..core.results import Result, TableParts, decimal_bytes
from .site_pages import plain, write_pages

NEEDED = ("sphinx", "myst_nb", "furo")
SETTINGS = {
    "project": "ftkit",
    "html_title": "ftkit",
    "html_theme": "furo",
    "language": "en",
    "extensions": ["myst_nb", "sphinx.ext.autodoc", "ftkit.tools.site"],
    "html_static_path": ["_static"],
    "html_css_files": ["site.css"],
    "html_js_files": ["site.js"],
    "html_favicon": "_static/ftkit.svg",
    "html_show_copyright": False,
    "html_copy_source": False,
    "html_show_sourcelink": False,
    "html_math_renderer": "mathml",
    # notebooks: what is committed is shown, and no widget asks another host for its script
    "nb_execution_mode": "off",
    "nb_ipywidgets_js": {},
    "nb_code_prompt_show": "Show the code",
    "nb_code_prompt_hide": "Hide the code",
    "myst_enable_extensions": ["dollarmath"],
    "myst_dmath_double_inline": True,
    "myst_heading_anchors": 4,
    # Markdown is read as Jupyter reads it
    "myst_disable_syntax": [
        "myst_line_comment", "myst_block_break", "myst_target", "myst_role", "colon_fence",
    ],
    # the reference
    "autodoc_member_order": "bysource",
    "autodoc_typehints_format": "short",
    "autodoc_preserve_defaults": True,
    "maximum_signature_line_length": 80,
    "python_use_unqualified_type_names": True,
    "toc_object_entries_show_parents": "hide",
}  # fmt: skip
# LaTeX that docutils has no word for, in words that it has; a bracket grows by itself.
SAME_LATEX = {r"\dots": r"\ldots", r"\Big": "", r"\big": ""}
FETCHED = {"src", "srcset", "poster", "data"}  # attributes whose address a browser fetches itself


@dataclass(frozen=True, repr=False)
class Site(Result):
    """A site that was built: its pages, links within it that were followed, bytes and seconds."""

    folder: str
    pages: int
    links: int
    bytes: int
    seconds: float

    def table(self) -> TableParts:
        """One line of what there is."""
        heads = ("pages", "links followed", "size", "seconds")
        row = (self.pages, self.links, decimal_bytes(self.bytes), f"≈{self.seconds:.0f}")
        return f"The site in {self.folder}: open index.html", heads, [row]


def build_site(out: str | Path, commands: Mapping[str, Any]) -> Site:
    """Build the site into the folder `out`, whole or not at all.

    commands: the verbs, {name: click's command}, which know their options. Raises UserError where
    Sphinx is not installed or this is no checkout, for whatever Sphinx warns of, for a link that
    leads nowhere and for anything that a page would fetch from another host.
    """
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        raise UserError(
            f'the site needs {", ".join(missing)}, not installed here: pip install -e ".[site]"'
        )
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary, whole_or_nothing(Path(out)) as new:
        folder = Path(temporary)
        write_pages(folder, commands)
        run_sphinx(folder, new)
        links = check_links(new)
        files = [path for path in new.rglob("*") if path.is_file()]
        pages = sum(path.suffix == ".html" for path in files)
        size = sum(path.stat().st_size for path in files)
    return Site(str(out), pages, links, size, round(time.perf_counter() - began, 1))


def run_sphinx(folder: Path, out: Path) -> None:
    """Make HTML of `folder`/pages in `out`. Raises UserError with Sphinx's first warning."""
    of_sphinx = importlib.import_module("sphinx.application")
    warnings = io.StringIO()
    settings = {**SETTINGS, "html_extra_path": [str(folder / "extra")]}
    app = of_sphinx.Sphinx(
        folder / "pages", None, out, folder / "doctrees", "html", settings,
        status=None, warning=warnings, freshenv=True,
    )  # fmt: skip
    app.build()
    said = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in warnings.getvalue().splitlines() if line]
    if said:
        first = said[0].replace(str(folder / "pages"), "").lstrip("/")
        raise UserError(f"Sphinx warns of {len(said)} things, first of: {first}")
    (out / ".buildinfo").unlink(missing_ok=True)
    (out / ".nojekyll").touch()


# What a browser would stumble over.


class Addresses(HTMLParser):
    """The addresses that a page names, those that it fetches by itself, and its own anchors."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element's addresses."""
        for name, value in attrs:
            if name in ("id", "name"):
                self.anchors.add(value or "")
            elif name in FETCHED or (tag == "link" and name == "href"):
                self.fetched.append(value or "")
            elif name == "href":
                self.links.append(value or "")


def check_links(folder: Path) -> int:
    """How many addresses within the site its pages name, every one of which is there.

    Raises UserError for one that is not, a page or a place on it, and for anything that would be
    fetched from another host.
    """
    folder, read = folder.resolve(), {}
    for path in sorted(folder.rglob("*.html")):
        read[path] = Addresses()
        read[path].feed(path.read_text(encoding="utf-8"))
    count = 0
    for path, page in read.items():
        at = path.relative_to(folder)
        for address in page.fetched:
            if urlsplit(address).netloc:
                raise UserError(f"{at} fetches {address} from another host.")
        for target, anchor in inner(path, [*page.fetched, *page.links]):
            count += 1
            there = (
                folder in target.parents
                and target.is_file()
                and (not anchor or target not in read or anchor in read[target].anchors)
            )
            if not there:
                to = target.relative_to(folder) if folder in target.parents else target
                raise UserError(f"{at} links to {to}#{anchor}, which is not there.")
    return count


def inner(path: Path, addresses: list[str]) -> Iterator[tuple[Path, str]]:
    """(file, place on it) of the addresses of one page that lie within the site."""
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        # a path from the root of a host is none of the site's, which may lie below it
        target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        yield (target / "index.html" if target.is_dir() else target), unquote(parts.fragment)


# What Sphinx is taught.


def setup(app: Any) -> dict[str, bool]:
    """Teach Sphinx to write formulas as MathML, and that docstrings are plain text."""
    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.connect("autodoc-process-docstring", as_plain)
    app.connect("autodoc-skip-member", leave_out)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def write_formula(writer: Any, node: Any) -> None:
    """A formula as MathML, which browsers draw without a script; docutils translates it."""
    nodes, maths = map(importlib.import_module, ("docutils.nodes", "docutils.utils.math"))
    logger = importlib.import_module("sphinx.util.logging").getLogger(__name__)
    block = node.tagname == "math_block"
    try:
        formula = as_mathml(node.astext(), block=block)
    except maths.MathError as error:
        logger.warning("%s in %r", error, node.astext(), location=node)
    else:
        writer.body.append(f'<div class="math block">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def as_mathml(latex: str, *, block: bool = False) -> str:
    """A formula of LaTeX as MathML. Raises docutils' MathError for what that does not know."""
    translator = importlib.import_module("docutils.utils.math.latex2mathml")
    for word, same in SAME_LATEX.items():
        latex = re.sub(rf"{re.escape(word)}(?![A-Za-z])", lambda _, same=same: same, latex)
    return translator.tex2mathml(latex, as_block=block)


def as_plain(
    app: Any, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """A docstring in reStructuredText: backticks are code, what is set in is shown as it stands."""
    lines[:] = restructured("\n".join(lines))


def restructured(docstring: str) -> list[str]:
    """The lines of a plain docstring for reStructuredText."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", docstring.strip("\n")):
        given = paragraph.splitlines()
        if all(line.startswith("    ") for line in given):
            lines += [".. code-block:: text", "", *(f"   {line}" for line in given), ""]
            continue
        # what is set in below a line of text stands by itself
        words = [line for line in given if not line.startswith("    ")]
        lines += [*plain("\n".join(words)).splitlines(), ""]
        if inset := [line for line in given if line.startswith("    ")]:
            lines += [".. code-block:: text", "", *(f"   {line}" for line in inset), ""]
    return lines


def leave_out(app: Any, what: str, name: str, obj: object, *args: object) -> bool | None:
    """Members that say nothing: the fields of a named tuple as Python describes them."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field") else None
