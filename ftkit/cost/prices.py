"""Prices: dated, with their source, as ranges; the kit's own table, and yours before it.

    read_prices(path)            the kit's `Prices`, with those of a file of yours before them
    prices.of(kind, name)        the range of one, a `Price`: over all who name it
    price_range("1.5,3.5")       a price of your own, or two, as (lowest, highest)

data/prices.json holds what guides and price lists named at their dates. The kit looks none up, and
a table without a date is refused. A file of yours (JSON or YAML) has the same keys: date, currency
and prices, each with kind, name, low, high and source. What follows from a price is `paying.py`'s.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..core.errors import UserError, is_number, nearest
from ..core.files import data_path
from ..core.parsing import check_keys, parse_json, parse_yaml, read_text, shown
from ..core.results import Result, TableParts

# What is priced, and per what.
KINDS = {
    "card hour": "per hour and card",
    "training tokens": "per million training tokens",
    "prompt tokens": "per million prompt tokens",
    "reply tokens": "per million reply tokens",
    "rows made": "for so many rows",
}
KEYS = ("about", "date", "currency", "prices")
ROW_KEYS = ("kind", "name", "low", "high", "date", "source")
DATE = re.compile(r"\d{4}-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01]))?")
Range = tuple[float, float]  # lowest, highest


@dataclass(frozen=True)
class Price:
    """What somebody asked for something on a date: from low to high, in the table's currency."""

    kind: str
    name: str
    low: float
    high: float
    date: str
    source: str

    @property
    def range(self) -> Range:
        """(low, high)."""
        return self.low, self.high


@dataclass(frozen=True, repr=False)
class Prices(Result):
    """A table of prices; where it is of several sources a price is the range over them."""

    rows: tuple[Price, ...]
    currency: str

    def of(self, kind: str, name: str) -> Price:
        """The range of one price over all rows that name it; UserError where there is none."""
        check_kind(kind, "kind")
        known = self.names(kind)
        found = [row for row in self.rows if (row.kind, row.name) == (kind, name)]
        if not found:
            raise UserError(
                f"no {kind} of {name!r} is in the table; there are {', '.join(known) or 'none'}: "
                f"state it in a file of your own, --prices FILE.{nearest(name, known)}"
            )
        return Price(
            kind,
            name,
            min(row.low for row in found),
            max(row.high for row in found),
            min(row.date for row in found),
            "; ".join(dict.fromkeys(row.source for row in found)),
        )

    def names(self, kind: str) -> list[str]:
        """Everything of a kind that has a price, in the order of the table."""
        return list(dict.fromkeys(row.name for row in self.rows if row.kind == kind))

    def table(self) -> TableParts:
        """A line per price, with its unit, date and source."""
        rows = [
            (row.name, in_money(row.range, self.currency), KINDS[row.kind], row.date, row.source)
            for row in self.rows
        ]
        return "Prices, unverified", ("what", "price", "unit", "date", "who says so"), rows


def in_money(amount: Range | float, currency: str = "USD") -> str:
    """An amount or a range with its currency: in_money((1.5, 3)) is "$1.50 to $3.00"."""
    ends = amount if isinstance(amount, tuple) else (amount, amount)
    sign = {"USD": "$", "EUR": "€", "GBP": "£"}.get(currency, f"{currency} ")
    texts = [f"{sign}{end:,.0f}" if end >= 100 else f"{sign}{end:,.2f}" for end in ends]
    if ends[1] < 0.095:  # a call, say
        texts = [f"{sign}{end:.3g}" for end in ends]
    return texts[0] if ends[0] == ends[1] else f"{texts[0]} to {texts[1]}"


def who_says(price: Price) -> str:
    """The titles of a price's sources alone, up to the first dash, colon or comma."""
    titles = [re.split(r" — |: |, a ", source)[0] for source in price.source.split("; ")]
    return "; ".join(dict.fromkeys(titles))


def read_prices(path: str | Path | None = None) -> Prices:
    """The kit's prices; with a file, those of it in place of the kit's of the same kind and name.

    Raises UserError for a file that cannot be read, a table without a date, and a row whose price
    is no range.
    """
    if path is None:
        return shipped()
    file = Path(path)
    if not file.is_file():
        beside = [one.name for one in file.parent.glob("*.[jy]*")]
        raise UserError(
            f"there is no price table {str(file)!r}; give a JSON or YAML file."
            f"{nearest(file.name, beside)}"
        )
    read = parse_json if file.suffix == ".json" else parse_yaml
    mine, kits = check_table(read(read_text(file), file), file), shipped()
    if mine.currency != kits.currency:  # the kit's would be another money
        return mine
    stated = {(row.kind, row.name) for row in mine.rows}
    rest = [row for row in kits.rows if (row.kind, row.name) not in stated]
    return Prices((*mine.rows, *rest), mine.currency)


@cache
def shipped() -> Prices:
    """data/prices.json."""
    file = data_path("prices.json")
    return check_table(json.loads(file.read_text(encoding="utf-8")), file)


def check_table(stated: object, where: object) -> Prices:
    """What a file states as `Prices`; UserError, which names it by `where`, for what is none."""
    if not isinstance(stated, Mapping) or not isinstance(stated.get("prices"), list):
        raise UserError(
            f"{where} is no table of prices; give the keys date, currency and prices, as in "
            "data/prices.json."
        )
    check_keys(stated, KEYS, where)
    rows = stated["prices"]
    # prices without a day are true of none
    date = as_date(stated.get("date"), where) if stated.get("date") is not None else None
    if date is None and not all(isinstance(row, Mapping) and row.get("date") for row in rows):
        raise UserError(
            f"{where} has no date, and a price is only true of a day; state date: 2026-10, or a "
            "date in every row."
        )
    currency = stated.get("currency", "USD")
    if not isinstance(currency, str) or not currency.strip():
        raise UserError(f"currency in {where} is {shown(currency)}; give a word such as USD.")
    prices = [check_row(row, number, date, where) for number, row in enumerate(rows, 1)]
    return Prices(tuple(prices), currency.strip().upper())


def check_row(row: object, number: int, date: str | None, where: object) -> Price:
    """One row as a `Price`, on the table's date where it has none of its own."""
    place = f"price {number} of {where}"
    if not isinstance(row, Mapping):
        raise UserError(f"{place} is {shown(row)}; give kind, name, low, high and source.")
    check_keys(row, ROW_KEYS, place)
    kind, name, source = (row.get(key) for key in ("kind", "name", "source"))
    check_kind(kind, f"kind of {place}")
    for key, value in {"name": name, "source": source}.items():
        if not isinstance(value, str) or not value.strip():
            raise UserError(
                f"{key} of {place} is {shown(value)}; give a text: who says so, of what."
            )
    low, high = check_range((row.get("low"), row.get("high")), f"the range of {place}")
    own = as_date(row["date"], place) if row.get("date") else date
    return Price(str(kind), str(name), low, high, str(own), str(source))


def check_kind(kind: object, what: str) -> None:
    """Refuse what nothing is priced by."""
    if kind not in list(KINDS):
        raise UserError(
            f"{what} is {shown(kind)}; give one of {', '.join(KINDS)}.{nearest(kind, KINDS)}"
        )


def as_date(value: object, where: object) -> str:
    """A date as text, which YAML may have read as one; UserError for what is none."""
    text = str(value)
    if not DATE.fullmatch(text):
        raise UserError(f"date of {where} is {shown(value)}; write it as 2026-10 or 2026-10-31.")
    return text


def check_range(ends: Any, what: str, most: float | None = None) -> Range:
    """(low, high) as it is; UserError for what is no range from 0 on, up to `most` if there is one.

    One number alone is no range: who knows a price exactly states it twice.
    """
    up_to = " on" if most is None else f" to {most:,}"
    pair: tuple[Any, ...] = tuple(ends) if isinstance(ends, list | tuple) else (ends,)
    right = len(pair) == 2 and all(is_number(end) and end >= 0 for end in pair)
    if not right or pair[0] > pair[1] or (most is not None and pair[1] > most):
        given = shown(pair[0] if len(set(map(repr, pair))) == 1 else pair)
        raise UserError(
            f"{what} is {given}; give low and high, numbers from 0{up_to}, the lower one first, or "
            "the same number twice."
        )
    return float(pair[0]), float(pair[1])


def price_range(text: str, what: str = "the price", most: float | None = None) -> Range:
    """(lowest, highest) of a text such as "1.5,3.5", or "2" for (2, 2); for options of a verb.

    Raises UserError for another one, which names it by `what`.
    """
    up_to = "" if most is None else f" to {most:,}"
    try:
        ends = [float(part) for part in text.split(",")]
        return check_range(ends * 2 if len(ends) == 1 else ends, what, most)
    except ValueError as error:
        raise UserError(
            f"{what} is {text!r}; give a number from 0{up_to or ' on'}, or two with a comma "
            "between, the lower one first."
        ) from error
