"""How results look in a cell, in a terminal and in JSON: one table, from one list of rows.

    Result                              what functions return: a frozen dataclass with a `table()`
    Table(title, heads, rows)           rows that a cell has made itself, shown the same way
    about, percent, percent_in          numbers that another machine may give a little differently
    decimal_bytes, megabytes, gigabytes sizes of files and of a machine, in powers of ten
    gibibytes                           sizes in a GPU's memory, in powers of two
    html_text                           words for HTML, where such a number needs no sign

A number behind ≈ is compared by no test of a notebook; what must hold about it is claimed. Whether
a difference between numbers says anything is for `statistics`. Seen in every notebook.
"""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

TableParts = tuple[str, Sequence[str], Sequence[Sequence[object]]]  # title, column heads, rows
GIB = 2**30  # bytes
LEFT = "style='text-align:left'"
CAPTION = "style='text-align:left;white-space:nowrap'"
NUMBER = r"[-+\u2212]?[0-9][0-9.,]*(?:e[-+]?[0-9]+)?"
ABOUT = (
    rf"{NUMBER}(?: ?%)?(?: \[[^\]\n]*\])?"  # what may stand behind ≈: with its unit and interval
)


def about(value: float, digits: int = 3, unit: str = "") -> str:
    """A number that another machine may give differently in its last digits, marked as such.

    about(0.1342) is "≈0.134".
    """
    return f"≈{value:.{digits}g}{unit}"


def percent(value: float) -> str:
    """A measured share, marked as machine-dependent: percent(0.987) is "≈98.7 %"."""
    return f"≈{100 * value:.1f} %"


def percent_in(value: float, low: float, high: float) -> str:
    """A measured share with its interval: percent_in(0.5, 0.4, 0.6) is "≈50.0 % [40.0, 60.0]"."""
    return f"{percent(value)} [{100 * low:.1f}, {100 * high:.1f}]"


class Result:
    """Something found out, which shows itself as a table.

    Subclasses are frozen dataclasses with `repr=False` that fill `table()`.
    """

    def table(self) -> TableParts:
        """(title, column heads, rows): what is shown, a cell's value each entry of a row."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, heads, rows = self.table()
        lines = [[str(value) for value in row] for row in (heads, *rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = [title]
        for line in lines:
            padded = [text.ljust(width) for text, width in zip(line, widths, strict=True)]
            shown.append("  ".join(padded).rstrip())
        return "\n".join(shown)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        title, heads, rows = self.table()
        caption = f"<caption {CAPTION}><b>{html_text(title)}</b></caption>"
        body = "".join(html_row(row, "td") for row in rows)
        return f"<table>{caption}{html_row(heads, 'th')}{body}</table>"


def html_row(values: Sequence[object], tag: str, look: str = LEFT) -> str:
    """A row of an HTML table; tag: "th" for its heads, "td" for what stands below them.

    look: attributes of every cell; by default what a notebook needs, which sets them to the right.
    """
    opening = f"{tag} {look}".rstrip()
    cells = [f"<{opening}>{html_text(value)}</{tag}>" for value in values]
    return f"<tr>{''.join(cells)}</tr>"


def html_text(value: object) -> str:
    """A value as it reads in HTML: escaped, and what stands behind ≈ in a span instead.

    The span is what tests of notebooks know such a number by; a reader sees neither.
    """
    text = re.sub(rf"≈\s*({ABOUT})", r'<span class="ft-near">\1</span>', html.escape(str(value)))
    return without_mark(text)


def without_mark(text: str) -> str:
    """Words for a picture: numbers without the ≈ before them; it stays between two sides."""
    return re.sub(r"≈(?=\S)", "", text)


@dataclass(frozen=True, repr=False)
class Table(Result):
    """Rows that were computed elsewhere, to be shown as they are."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[object]]

    def table(self) -> TableParts:
        """As given."""
        return self.title, self.heads, list(self.rows)


def decimal_bytes(size: float) -> str:
    """Bytes in three digits and the decimal unit that suits: decimal_bytes(16384) is "16.4 kB"."""
    for unit in ("B", "kB", "MB"):
        if size < 999.5:  # 999.6 kB in three digits is 1 MB
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def megabytes(size: float) -> str:
    """Bytes in MB of 10⁶ bytes, for files: megabytes(52_500_000) is "52.5 MB"."""
    return f"{size / 1e6:,.1f} MB"


def gigabytes(size: float) -> str:
    """Bytes in GB of 10⁹ bytes, marked as one machine's: gigabytes(7_460_000_000) is "≈7.5 GB"."""
    return about(size / 1e9, 2, " GB")


def gibibytes(size: float, digits: int = 3) -> str:
    """Bytes in GiB of 2³⁰ bytes, the unit left to the head of the column: "1.500".

    GPUs are sold in GB and hold GiB, so all that is said of a card's memory is in GiB.
    """
    return f"{size / GIB:,.{digits}f}"
