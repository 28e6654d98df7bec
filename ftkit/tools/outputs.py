"""What the cells of a notebook show: compared with what is committed, and made the same every time.

    difference(committed, new)   the first output that is not as committed, or None
    keep_equal(committed, new)   take over old outputs that differ in approximate numbers only
    tidy(nb)                     fixed ids, counts 1..n, no times, no widgets, all marks of a fold
    is_folded(cell)              whether its source is out of sight until a reader opens it
    count_claims(nb)             how the pocket model's claims came out, on another model

The kernel that fills the cells is run in `notebooks`; `tests/sanitize.cfg` tells nbval the same.
"""

import json
import re
from typing import TYPE_CHECKING

from ..core.results import ABOUT
from ..lessons import OTHER, SAME, UNASKED

if TYPE_CHECKING:
    from nbformat import NotebookNode

WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
IGNORED = "nbval-ignore-output"  # the tag of a cell that is not compared
FOLDED = "hide-input"  # the tag of a cell whose source is folded away
# A still before its widget (`show.still_and_live`), by a name that is drawn anew each time.
STILL, UNNAMED = r"ft-still(?: ft-still-[0-9a-f]+)?", "ft-still"
IMAGE = r"<img [^>]*data:image/[^>]*>"  # a picture within HTML
# What differs between machines, hidden on both sides before two outputs are compared.
SANITIZE = (
    # a picture, whose digits differ; the line of text beside it is compared
    (rf"(?s)<svg\b.*?</svg>|{IMAGE}", "<svg>"),
    # a number marked ≈, with its unit and interval; in HTML it stands in a span instead
    (rf"\u2248\s*{ABOUT}|<span class=.ft-near.>[^<]*</span>", "~N"),
    # the columns beside such a number, which are as wide as it is
    (r"[ ]{2,}", "|"),
    # the random name of a still, by which its widget hides it
    (STILL, UNNAMED),
)


def code_cells(nb: "NotebookNode") -> "list[NotebookNode]":
    """The cells that run: code, and not blank."""
    return [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]


def sanitize(text: str) -> str:
    """`text` as it is compared."""
    for pattern, replacement in SANITIZE:
        text = re.sub(pattern, replacement, text)
    return text


def output_parts(cell: "NotebookNode", *, pictures: bool) -> list[tuple[str, str]]:
    """What a cell shows, as (kind, sanitized text); never a widget's random id.

    pictures: count them too, byte for byte.
    """
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append((output.name, sanitize(output.text)))
        elif output.output_type == "error":
            parts.append(("error", sanitize(f"{output.ename}: {output.evalue}")))
        else:
            parts += data_parts(output.data, pictures=pictures)
    return parts


def data_parts(data: "NotebookNode", *, pictures: bool) -> list[tuple[str, str]]:
    """The same for one displayed value, which may come in several kinds: text, HTML, a picture."""
    parts = []
    for kind, value in sorted(data.items()):
        if kind in PICTURES:
            # compared byte for byte, or not at all
            parts += [(kind, value)] if pictures else []
        elif kind != WIDGET:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            parts.append((kind, sanitize(text)))
            parts += [(kind, image) for image in re.findall(IMAGE, text) if pictures]
    return parts


def is_ignored(cell: "NotebookNode") -> bool:
    """Whether a cell's tag says that its outputs are not compared."""
    return IGNORED in tags_of(cell)


def tags_of(cell: "NotebookNode") -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def is_folded(cell: "NotebookNode") -> bool:
    """Whether any front end is told to fold the source of a cell away."""
    hidden = cell.metadata.get("jupyter", {}).get("source_hidden", False)
    return hidden or FOLDED in tags_of(cell) or cell.metadata.get("cellView") == "form"


def fold(cell: "NotebookNode") -> None:
    """Fold the source of a cell away everywhere: each front end knows a mark of its own."""
    cell.metadata["jupyter"] = {**cell.metadata.get("jupyter", {}), "source_hidden": True}
    cell.metadata["cellView"] = "form"
    if FOLDED not in tags_of(cell):
        cell.metadata["tags"] = [*tags_of(cell), FOLDED]


def difference(committed: "NotebookNode", new: "NotebookNode") -> str | None:
    """The first output that is not as committed, with its cell's number, or None."""
    pairs = zip(code_cells(committed), code_cells(new), strict=True)
    for number, (old, cell) in enumerate(pairs, 1):
        if is_ignored(cell):
            continue
        before, after = output_parts(old, pictures=False), output_parts(cell, pictures=False)
        # the first that changed says more than that there are fewer or more of them
        for was, now in zip(before, after, strict=False):
            if was != now:
                return f"cell {number}: {was[0]} was {was[1]!r} and is now {now[1]!r}"
        if len(before) != len(after):
            return (
                f"cell {number}: {len(before)} outputs are committed and it now gives {len(after)}"
            )
    return None


def keep_equal(committed: "NotebookNode", new: "NotebookNode") -> None:
    """Take over old outputs that differ in approximate numbers only.

    So a run leaves no trace where nothing changed.
    """
    old = {cell.source: cell for cell in code_cells(committed)}
    for cell in code_cells(new):
        before = old.get(cell.source)
        if before is None:
            continue
        if output_parts(before, pictures=True) == output_parts(cell, pictures=True):
            cell.outputs = before.outputs


def tidy(nb: "NotebookNode") -> None:
    """Replace all that is random or says when and where: ids, counts, times, widget state.

    An output that is a widget and nothing else goes: without its kernel it shows nothing.
    """
    # the notebook itself: which kernel ran it is nobody's business
    nb.nbformat, nb.nbformat_minor = 4, 5
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nb.metadata.clear()
    nb.metadata["kernelspec"] = kernel
    nb.metadata["language_info"] = {"name": "python"}
    # every cell: an id by its place, a fold with all of its marks, outputs without what is random
    for index, cell in enumerate(nb.cells):
        cell.id = f"c{index:02d}"
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        if is_folded(cell):
            fold(cell)
        cell.outputs = [
            output for output in cell.outputs if set(output.get("data", [0])) != {WIDGET}
        ]
        for position, output in enumerate(cell.outputs):
            output.pop("transient", None)
            tidy_data(output.get("data", {}), f"{index:016x}{position:016x}")
    # the cells that ran: counts from 1
    for count, cell in enumerate(code_cells(nb), 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def tidy_data(data: "NotebookNode | dict", number: str) -> None:
    """One displayed value: a widget's id becomes this number, a still has no name of its own."""
    if view := data.get(WIDGET):
        view["model_id"] = number
    if "text/html" in data:
        data["text/html"] = re.sub(STILL, UNNAMED, data["text/html"])


def count_claims(nb: "NotebookNode") -> dict[str, int]:
    """How the claims of the pocket model came out in an executed notebook: {"✓ …": so many, …}."""
    counts: dict[str, int] = dict.fromkeys((SAME, OTHER, UNASKED), 0)
    for cell in code_cells(nb):
        for output in cell.outputs:
            said = output.text if output.get("name") == "stdout" else ""
            said += output.get("data", {}).get("text/plain", "")
            for line in said.splitlines():
                for way in counts:
                    counts[way] += line.startswith(way)
    return counts
