"""What the site says: its pages as Sphinx reads them, written from what the repository holds.

    write_pages(folder, commands)   all pages, and the live explorers beside them
    for_site(nb, name, lives)       a notebook without a kernel: live pages in place of widgets
    linked(text, file, page)        Markdown of the repository whose links lead to the site's pages
    describe_wing(wing)             every name of a face, for Sphinx to look its docstring up

Nothing is said here that the repository does not say somewhere: README, notebooks, docstrings, the
ledger, the cards. `site` makes HTML of the pages. No notebook teaches it.
"""

import ast
import html
import importlib
import inspect
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..core.errors import UserError
from ..core.files import data_path
from ..core.session import quiet
from ..show import Drawing
from ..show.page import read_pictures
from .edition import lesson_calls
from .explorers import EXPLORERS
from .notebooks import CHECKOUT, import_jupyter
from .stamp import BADGE, BRANCH, COLAB, GITHUB, address

if TYPE_CHECKING:
    from nbformat import NotebookNode

ASSETS = Path(__file__).with_name("site_assets")
# Which page a document of the repository becomes; every notebook is one under its own name.
DOCUMENTS = {
    "README.md": "handbook.md",
    "notebooks/TEACHING.md": "teaching.md",
    "data/pocket/README.md": "model_card.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
PICTURES = {".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp"}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)(?=[)#])")
READERS = re.compile(r"^\| you \|.*\n(?:\|.*\n)*", re.MULTILINE)  # README's table of who reads what
NUMBER = re.compile(r"(?<![\w.\[/])(?:ten|\d\d[a-z]?)(?![\w\]])")  # a notebook, where it is no link
STILL = re.compile(r"\A<style>[^<]*</style>(?=<div class=.ft-still)")
SHOWS = re.compile(r"\b(explore_\w+|open_playground)\(")
GUESS = '<p class="ft-open">Open the notebook to answer; here the answer is one fold away.</p>'
ANSWER = '<p class="ft-open"><b>Your turn:</b> open the notebook to answer.</p>'
ICON = '<link rel="icon" href="../_static/ftkit.svg">'
MOVE = '<p class="ft-open">A picture. Open the notebook to move its controls.</p>'
USE = '<p class="ft-open">Open the notebook to use this.</p>'


@dataclass(frozen=True)
class Live:
    """An explorer of the kit as a page of its own: what it is, what shows it, and its pictures.

    call: what shows it in a notebook; pictures: every one that its page holds.
    """

    name: str
    title: str
    about: str
    call: str
    first: str
    pictures: frozenset[str] = frozenset()

    @property
    def function(self) -> str:
        """The name of the function that is called."""
        return self.call.partition("(")[0].rpartition(".")[2]


def write_pages(folder: Path, commands: Mapping[str, Any]) -> None:
    """Write every page into `folder`/pages, and what is copied as it is into `folder`/extra.

    commands: the verbs, {name: click's command}. Raises UserError where there is no checkout, for a
    section that README lacks, and for a link that leads nowhere.
    """
    if not (CHECKOUT / "README.md").is_file() or not (CHECKOUT / "notebooks").is_dir():
        raise UserError(
            "the site is made of the repository's README and notebooks, which an installed package "
            'has not; run it in a checkout: git clone, pip install -e ".[site]".'
        )
    pages, extra = folder / "pages", folder / "extra"
    for path in (pages / "notebooks", pages / "explorers", pages / "reference", extra / "live"):
        path.mkdir(parents=True)
    shutil.copytree(ASSETS / "static", pages / "_static")

    # what is read, and what is moved
    lives = write_explorers(pages / "explorers", extra / "live")
    write_notebooks(pages / "notebooks", extra / "notebooks", lives)
    write_documents(pages)

    # what is looked up
    write_reference(pages / "reference", commands)
    (pages / "ledger.md").write_text(ledger_page(), encoding="utf-8")
    (pages / "interview.md").write_text(interview_page(), encoding="utf-8")


# The repository's own words.


def write_documents(pages: Path) -> None:
    """README, the teacher's guide and their like as pages; the front page and the map from them."""
    for file, page in DOCUMENTS.items():
        if (path := CHECKOUT / file).is_file():
            text = linked(path.read_text(encoding="utf-8"), file, page)
            text = re.sub(r"\A# ftkit$", "# Handbook", text, flags=re.MULTILINE)
            copy_pictures(path, pages)
        else:
            text = f"# {page.removesuffix('.md').title()}\n\nThis checkout has no `{file}` yet.\n"
        (pages / page).write_text(text, encoding="utf-8")
    readme = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    (pages / "index.md").write_text(front_page(readme), encoding="utf-8")
    (pages / "map.md").write_text(map_page(readme), encoding="utf-8")


def front_page(readme: str) -> str:
    """What it is, two commands, one picture: as README has them."""
    lead = READERS.sub("", readme.partition("\n## ")[0].partition("\n")[2]).strip()
    commands = re.findall(r"^```bash\n.*?^```$", section(readme, "Start"), re.DOTALL | re.MULTILINE)
    return Template((ASSETS / "index.md").read_text(encoding="utf-8")).substitute(
        lead=linked(lead, "README.md", "index.md"),
        commands="\n\n".join(commands[:2]),
        notebooks="\n".join(in_short()),
        explorers="\n".join(f"explorers/{name}" for name in EXPLORERS),
        wings="\n".join(f"reference/{wing}" for wing in reference_names()),
    )


def in_short() -> list[str]:
    """The notebooks for a list beside the page: number and name, as TEACHING calls them."""
    teaching = (CHECKOUT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
    names = dict(re.findall(r"^\| \[\w+\]\((\w+)\.ipynb\) ([^|<]+?) \|", teaching, re.MULTILINE))
    entries = []
    for path in notebook_files():
        name = (
            f"{path.stem.split('_')[0]} · {names[path.stem]}" if path.stem in names else path.stem
        )
        entries.append(f"{name} <notebooks/{path.stem}>")
    return entries


def map_page(readme: str) -> str:
    """Which notebook for whom: README's table of readers and of notebooks, and what needs what."""
    teaching = (CHECKOUT / "notebooks" / "TEACHING.md").read_text(encoding="utf-8")
    tree = re.search(r"^```\n.*?^```$", section(teaching, "The map"), re.DOTALL | re.MULTILINE)
    readers = READERS.search(readme)
    parts = [
        "# Which notebook for whom",
        numbered(readers[0]) if readers else "",
        "## All of them",
        section(readme, "The notebooks").strip(),
        "## What needs what",
        tree[0] if tree else "",
    ]
    return linked("\n\n".join(parts), "README.md", "map.md") + "\n"


def numbered(table: str) -> str:
    """A table of readers whose last column names notebooks by number, with each number a link."""
    files = {path.stem.split("_")[0]: path.name for path in notebook_files()}

    def link(found: re.Match) -> str:
        known = files.get(found[0])
        return f"[{found[0]}](notebooks/{known})" if known else found[0]

    lines = []
    for line in table.splitlines():
        *cells, last, end = line.split("|")
        lines.append("|".join([*cells, NUMBER.sub(link, last), end]))
    return "\n".join(lines)


def section(text: str, title: str) -> str:
    """What stands below a heading of the second level. Raises UserError where there is none."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if not found:
        raise UserError(f"there is no section {title!r}, of which a page of the site is made.")
    return found[1]


def linked(text: str, file: str, page: str) -> str:
    """Markdown of `file` for `page`: links to documents and notebooks become links to their pages.

    file, page: paths from the top of the repository and of the site. What is in the repository and
    no page leads to the repository's address. Raises UserError for a link that leads nowhere.
    """

    def place(found: re.Match) -> str:
        target = Path(os.path.normpath(CHECKOUT / Path(file).parent / found[1]))
        if not target.exists() or CHECKOUT not in target.parents:
            raise UserError(f"{file} links to {found[1]}, which is not in the repository.")
        within = target.relative_to(CHECKOUT).as_posix()
        if target.suffix in PICTURES:
            to = f"pictures/{target.name}"
        elif re.fullmatch(r"notebooks/\w+\.ipynb", within):
            to = within
        elif within in DOCUMENTS:
            to = DOCUMENTS[within]
        else:
            return f"{address()}/{'tree' if target.is_dir() else 'blob'}/{BRANCH}/{within}"
        return os.path.relpath(to, Path(page).parent)

    return LINK.sub(place, text)


def copy_pictures(path: Path, pages: Path) -> None:
    """The pictures that a document shows, beside the pages."""
    for found in LINK.finditer(path.read_text(encoding="utf-8")):
        picture = path.parent / found[1]
        if picture.suffix in PICTURES:
            (pages / "pictures").mkdir(exist_ok=True)
            shutil.copyfile(picture, pages / "pictures" / picture.name)


# Notebooks and explorers.


def notebook_files() -> list[Path]:
    """The notebooks in README's order: first the one that needs ten minutes."""
    paths = (CHECKOUT / "notebooks").glob("*.ipynb")
    return sorted(paths, key=lambda path: (path.stem[0].isdigit(), path.stem))


def write_notebooks(pages: Path, extra: Path, lives: Mapping[str, Live]) -> None:
    """Every notebook as a page, and as it is for those who want to run it."""
    nbformat = import_jupyter()[1]
    extra.mkdir(parents=True)
    for path in notebook_files():
        shutil.copyfile(path, extra / path.name)
        nb = nbformat.read(path, as_version=4)
        for_site(nb, path.name, lives)
        nbformat.write(nb, pages / path.name)


def for_site(nb: "NotebookNode", name: str, lives: Mapping[str, Live]) -> None:
    """Make a notebook one that is read: its links lead to pages, its widgets are answered.

    lives: {name: explorer}. Code and folds stay as they are.
    """
    page = f"notebooks/{name}"
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = linked(BADGE.sub(get_it(name), cell.source), page, page)
            continue
        for output in cell.get("outputs", []):
            if "text/html" in (data := output.get("data", {})):
                drawn = data.pop("image/svg+xml", "")
                data["text/html"] = answered(data["text/html"], drawn, cell.source, lives)


def get_it(name: str) -> str:
    """In place of the badge, whose picture lies elsewhere: where to get the notebook itself."""
    colab = f"{address().replace(GITHUB, f'{COLAB}github/')}/blob/{BRANCH}/notebooks/{name}"
    return (
        f'<p class="ft-get"><a href="{name}" download>Download this notebook</a> · '
        f'<a href="{colab}">open it in Colab</a> · you read its committed outputs</p>\n\n'
    )


def answered(shown: str, drawn: str, source: str, lives: Mapping[str, Live]) -> str:
    """What a cell shows, without a kernel.

    shown, drawn: its HTML, and its SVG where it has one. An explorer whose page holds this very
    picture is shown alive; another of the same kind is named below the picture.
    """
    still = STILL.sub("", shown)
    if any(lesson_calls(source, "check")) and "Your turn" in shown:
        return ANSWER
    if any(lesson_calls(source, "predict")):
        return still + GUESS
    if same := [live for live in lives.values() if drawn in live.pictures]:
        return frame(same[0], "../")
    # a picture with controls, here or in the cell that made the panel
    asked = SHOWS.search(source)
    if kin := [live for live in lives.values() if asked and live.function == asked[1]]:
        return still + f'<p class="ft-open">{kin_line(kin[0])}</p>'
    is_panel = still != shown and not any(lesson_calls(source, "reveal"))
    has_picture = "<img" in still or "<svg" in still
    return still + (MOVE if has_picture else USE) if is_panel else still


def kin_line(live: Live) -> str:
    """Where the same explorer moves, on other numbers."""
    link = f'<a href="../explorers/{live.name}.html">{html.escape(live.title)}</a>'
    return f"A picture. The same explorer moves on the kit's own numbers: {link}."


def frame(live: Live, up: str) -> str:
    """An explorer alive within a page; up: the way from there to the top of the site."""
    title = html.escape(live.title)
    return (
        f'<iframe class="ft-live" src="{up}live/{live.name}.html" title="{title}" loading="lazy">'
        f'</iframe><p class="ft-open">It moves here, without a kernel. '
        f'<a href="{up}live/{live.name}.html">Open {title} by itself</a>.</p>'
    )


def write_explorers(pages: Path, live: Path) -> dict[str, Live]:
    """Every explorer as a file that moves, a page around it, and a list of them."""
    quiet()
    lives = {name: write_live(name, live / f"{name}.html") for name in EXPLORERS}
    for name, one in lives.items():
        text = f"# {one.title}\n\n{one.about} In a notebook: `{one.call}`.\n\n{frame(one, '../')}\n"
        (pages / f"{name}.md").write_text(text, encoding="utf-8")
    head = (ASSETS / "explorers.md").read_text(encoding="utf-8")
    cards = f'<div class="ft-cards">{"".join(map(card, lives.values()))}</div>'
    (pages / "index.md").write_text(f"{head}\n{cards}\n", encoding="utf-8")
    return lives


def write_live(name: str, path: Path) -> Live:
    """One explorer as a file that moves."""
    explorer = EXPLORERS[name]
    panel = explorer.make()
    panel.save(path, **explorer.only)
    # without an icon of its own a browser asks the host for one
    page = path.read_text(encoding="utf-8").replace("<title>", f"{ICON}<title>", 1)
    path.write_text(page, encoding="utf-8")
    about = " ".join((explorer.make.__doc__ or "").split())
    first = panel.shown._repr_html_() if isinstance(panel.shown, Drawing) else ""
    return Live(
        name,
        title=panel.title,
        about=about,
        call=panel.call,
        first=first,
        pictures=read_pictures(path),
    )


def card(live: Live) -> str:
    """A link with a picture."""
    return (
        f'<a class="ft-card" href="{live.name}.html">{live.first}<b>{html.escape(live.title)}</b>'
        f"<span>{html.escape(live.about)}</span></a>"
    )


# What is looked up.


def reference_names() -> list[str]:
    """The pages of the reference, in their order."""
    return ["index", "verbs", *wings()]


def wings() -> list[str]:
    """The wings with a face of names, in their order; the verbs have a page of their own."""
    return [wing for wing in importlib.import_module("..", __package__).WINGS if wing != "cli"]


def write_reference(folder: Path, commands: Mapping[str, Any]) -> None:
    """A page for each wing, one for the verbs, and a list of them."""
    (folder / "verbs.md").write_text(verbs_page(commands), encoding="utf-8")
    rows = []
    for wing in wings():
        face = importlib.import_module(f"..{wing}", __package__)
        (folder / f"{wing}.rst").write_text(describe_wing(face), encoding="utf-8")
        rows.append(f"| [{wing}]({wing}.rst) | {first_line(face)} |")
    head = (ASSETS / "reference.md").read_text(encoding="utf-8")
    table = "\n".join(["| wing | what it answers |", "|---|---|", *rows])
    (folder / "index.md").write_text(f"{head}\n{table}\n", encoding="utf-8")


def first_line(thing: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def describe_wing(face: ModuleType) -> str:
    """A wing's page: its map as it stands, then every name that its face hands out, by room."""
    wing = face.__name__.rpartition(".")[2]
    lines = [wing, "=" * len(wing), "", ".. code-block:: text", "   :class: ft-map", ""]
    lines += [f"   {line}".rstrip() for line in (inspect.getdoc(face) or "").splitlines()]
    rooms = names_by_room(face)
    handed_out = {name for names in rooms.values() for name in names}
    for room, names in rooms.items():
        module = importlib.import_module(f"{face.__name__}.{room}")
        lines += ["", room, "-" * len(room), ""]
        if room in names:
            lines += [f".. automodule:: {module.__name__}", "   :members:"]
            lines += [f"   :exclude-members: {', '.join(sorted(handed_out))}", ""]
            lines += [".. py:currentmodule:: None", ""]
        else:
            lines += [plain(first_line(module)), ""]
        for name in names:
            if name != room:
                lines += describe(f"{face.__name__}.{name}", getattr(face, name))
    return "\n".join(lines) + "\n"


def names_by_room(face: ModuleType) -> dict[str, list[str]]:
    """{room: the names that a face hands out of it}, with its own where it is one of them."""
    stub = Path(str(face.__file__)).with_suffix(".pyi").read_text(encoding="utf-8")
    rooms: dict[str, list[str]] = {}
    for node in ast.parse(stub).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                rooms.setdefault(node.module or alias.name, []).append(alias.name)
    return rooms


def describe(name: str, thing: object) -> list[str]:
    """The lines that have Sphinx describe one name: by its docstring, a constant by its value."""
    home = (getattr(thing, "__module__", None) or "").partition(".")[0]
    if inspect.isclass(thing) and home == "ftkit":
        kind = "exception" if issubclass(thing, Exception) else "class"
        return [f".. auto{kind}:: {name}", "   :members:", ""]
    if inspect.isroutine(thing) and home == "ftkit":
        return [f".. autofunction:: {name}", ""]
    if home not in ("ftkit", "builtins", "", "typing", "collections"):
        return [f".. py:data:: {name}", "", f"   {home}'s own.", ""]
    value = repr(thing)
    lines = [f".. py:data:: {name}"]
    lines += [f"   :value: {value}"] if len(value) <= 60 and "<" not in value else []
    return [*lines, "", f"   {plain(kind_of(thing))}", ""]


def kind_of(thing: object) -> str:
    """What a constant is, in a few words; what a small table is about."""
    if isinstance(thing, Mapping):
        return f"A table of {len(thing)}: {', '.join(map(str, list(thing)[:12]))}."
    if isinstance(thing, list | tuple | set | frozenset):
        return f"{len(thing)} values."
    return f"Of type {type(thing).__name__}."


def plain(text: str) -> str:
    """Words for reStructuredText: backticks make code, no other sign means anything."""
    parts = re.split(r"`+([^`]+)`+", text)
    for at in range(0, len(parts), 2):
        parts[at] = re.sub(r"([\\*_|`<>])", r"\\\1", parts[at])
    for at in range(1, len(parts), 2):
        # code has to stand alone, and may not begin or end with a blank
        parts[at] = f"\\ ``{parts[at].strip()}``\\ "
    return "".join(parts)


def verbs_page(commands: Mapping[str, Any], level: int = 2) -> str:
    """Every verb of the command line with what it may be told."""
    lines = [(ASSETS / "verbs.md").read_text(encoding="utf-8")] if level == 2 else []
    for name, command in commands.items():
        lines += [f"{'#' * level} {name}", "", inspect.cleandoc(command.help or ""), ""]
        if subcommands := getattr(command, "commands", None):
            lines.append(verbs_page(subcommands, level + 1))
            continue
        rows = [f"| `{told(param)}` | {said(param)} |" for param in command.params]
        lines += ["| it takes | meaning |", "|---|---|", *rows, ""] if rows else []
    return "\n".join(lines)


def told(param: Any) -> str:
    """An option as it is written, an argument in capitals."""
    if param.param_type_name == "argument":
        return param.name.upper()
    return ", ".join([*param.opts, *param.secondary_opts])


def said(param: Any) -> str:
    """An option's own words, in one cell of a table."""
    return " ".join((getattr(param, "help", "") or "").split()).replace("|", "\\|")


def ledger_page() -> str:
    """The ledger of claims, its rows to be opened; a sentence where none was written yet."""
    head = (ASSETS / "ledger.md").read_text(encoding="utf-8") + shown_in("17")
    if not data_path("claims.json").is_file():
        return f"{head}\nIt has not been written yet: `python -m ftkit claims --write`.\n"
    verdicts = importlib.import_module("..verdicts", __package__).recorded()
    parts = [verdicts.counted(), verdicts.conflicts(), verdicts]
    titles = ("How many of each", "Where the guides differ", "Every claim")
    tables = (
        f"## {title}\n\n{block(part._repr_html_())}"
        for title, part in zip(titles, parts, strict=True)
    )
    return head + "\n" + "\n\n".join(tables) + "\n"


def shown_in(number: str) -> str:
    """Which notebook is about a page, where there is one of this number."""
    found = [path for path in notebook_files() if path.stem.startswith(f"{number}_")]
    return f"\nNotebook [{number}](notebooks/{found[0].name}) is about them.\n" if found else ""


def block(markup: str) -> str:
    """HTML as one block of Markdown, which an empty line would end."""
    inner = re.sub(r"\n\s*\n", "\n&#8203;\n", markup)
    return f'<div class="ft-wide">{inner}</div>'


def interview_page() -> str:
    """The cards of an interview, each folded up below its question; a sentence without any."""
    head = (ASSETS / "interview.md").read_text(encoding="utf-8") + shown_in("16")
    if not data_path("interview.json").is_file():
        return f"{head}\nThe cards are not in this checkout yet.\n"
    cards = importlib.import_module("..lessons", __package__).interview
    parts = []
    for one in cards.cards():
        who = "asked by the guides" if one.origin == "guides" else "our own"
        call = f"`interview.card({one.id!r}).demo()`"
        parts += [f"## {one.question}", f"*{one.id}, {who}*", block(cards.folds(one))]
        parts += [f"Demonstration: {one.shows} {call}"]
    return head + "\n" + "\n\n".join(parts) + "\n"
