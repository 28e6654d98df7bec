"""How results look in a cell, in a terminal and in JSON: one table, from one list of rows."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

TableParts = tuple[str, Sequence[str], list[Sequence[object]]]  # a title, column heads and rows
GIB = 2**30  # bytes


def about(value: float, digits: int = 3, unit: str = "") -> str:
    """A number that another machine may give differently in its last digits, marked as such:
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
    """A result with a title, column heads and rows; subclasses are frozen dataclasses that fill
    `table()`.
    """

    def table(self) -> TableParts:
        """(title, column heads, rows)."""
        raise NotImplementedError

    def __repr__(self) -> str:
        title, heads, rows = self.table()
        cells = [[str(c) for c in row] for row in [heads, *rows]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
        lines = [
            "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]
        return "\n".join([title, *lines])

    __str__ = __repr__

    def _repr_html_(self) -> str:
        title, heads, rows = self.table()
        head = "".join(f"<th style='text-align:left'>{html.escape(str(h))}</th>" for h in heads)
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(str(c))}</td>" for c in row)
            + "</tr>"
            for row in rows
        )
        return f"<table><caption style='text-align:left'><b>{html.escape(title)}</b></caption><tr>{head}</tr>{body}</table>"


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
