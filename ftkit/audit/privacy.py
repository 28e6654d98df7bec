"""Private things and secrets in rows, found by their pattern, and taken out.

    find_private(rows)     a `Private`: what was found, by kind, row and message
    redact(rows)           the rows with <EMAIL>, <PHONE>, … in place of what was found
    find_in(text)          the same of one text: kinds and places
    KINDS                  what is looked for

Bank and card numbers have to pass their check digits, so that an order number is none. Patterns see
no names, no addresses, no dates of birth and no secret that looks like a word: a file in which
nothing is found may hold all of these. Notebook 05.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import data
from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts

if TYPE_CHECKING:
    from datasets import Dataset

    from .likeness import Rows

MISSED = "names, addresses and dates of birth have no pattern: nobody looked for them"
NAMED = 3  # places that the table names
HALVES = 2  # signs of a find that are shown at its begin
# Phones: by country code, or in groups with brackets or blanks; never a bare run of digits.
PHONES = (
    r"\+\d{1,3}[ .-]?(?:\(\d{1,4}\)[ .-]?)?\d(?:[ .-]?\d){5,12}",  # +49 30 901820
    r"00[1-9]\d{0,2}[ -]\d(?:[ -]?\d){6,11}",  # 0049 30 901820
    r"\(\d{2,5}\) ?(?:\d{5,9}|\d{2,4}(?:[ -]\d{2,5}){1,3})",  # (030) 901820
    r"0\d{2,4}(?:[ /-]\d{3,4}(?:[ -]?\d{2,5}){1,2})",  # 030/9018 20
    r"\d{3}-\d{3}-\d{4}",  # 555-123-4567
)
TOKENS = (
    r"sk-(?:proj-|ant-|live-|test-)?[A-Za-z0-9_-]{20,}",
    r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{16,}",
    r"gh[pousr]_[A-Za-z0-9]{36,}",
    r"github_pat_[A-Za-z0-9_]{22,}",
    r"glpat-[A-Za-z0-9_-]{20,}",
    r"xox[abprs]-[A-Za-z0-9-]{10,}",
    r"(?:AKIA|ASIA)[A-Z0-9]{16}",
    r"AIza[A-Za-z0-9_-]{35}",
    r"hf_[A-Za-z0-9]{30,}",
    r"npm_[A-Za-z0-9]{36}",
    r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",
)
SECRETS = "|".join(
    (
        *(r"api[_-]?key", r"secret[_-]?key", r"(?:access|auth)[_-]?token"),
        *(r"client[_-]?secret", "password", "passwd", "pwd"),
    )
)
# what is stated behind such a word: eight signs or more, a digit among them
SECRET = (
    rf"(?i)(?<![\w-])(?:{SECRETS})[\"']?\s*[:=]\s*[\"']?"
    r"(?P<it>(?=[^\s\"']*\d)[^\s\"',;<>{}]{8,})"
)
CARDS = (
    r"4\d{12}(?:\d{3})?",
    r"(?:5[1-5]|2[2-7])\d{14}",
    r"3[47]\d{13}",
    r"6(?:011|5\d\d)\d{12}",
    r"3(?:0[0-5]|[68]\d)\d{11}|35\d{14}",
)
IBAN = r"[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?"
IP = r"\d{1,3}(?:\.\d{1,3}){3}|(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}"
IN_URL = r"\b[a-z][a-z0-9+.-]*://[^\s/:@]+:(?P<it>[^\s/@]+)@[\w.-]+"
EMAIL = r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[^\W\d_]{2,}(?![\w-])"
KEY = "(?:[A-Z]+ )*PRIVATE KEY-----"
BLOCK = rf"-----BEGIN {KEY}.*?(?:-----END {KEY}|\Z)"


class Found(NamedTuple):
    """Where a text holds something private."""

    kind: str
    start: int
    end: int


def is_iban(text: str) -> bool:
    """Whether a text is an IBAN: its digits, letters as 10 to 35, leave 1 by 97 (ISO 13616)."""
    code = re.sub(r"[ -]", "", text)
    if not 15 <= len(code) <= 34:
        return False
    turned = "".join(str(int(sign, 36)) for sign in code[4:] + code[:4])
    return int(turned) % 97 == 1


def is_card(text: str) -> bool:
    """Whether a text is a card's number: of an issuer's begin and length, and right by Luhn."""
    digits = [int(sign) for sign in text if sign.isdigit()]
    number = "".join(map(str, digits))
    if not re.fullmatch("|".join(CARDS), number):
        return False
    # every second digit from the right counts twice, and 12 as 1 + 2
    twice = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(twice) + sum(digits[-1::-2])) % 10 == 0


def is_address(text: str) -> bool:
    """Whether a text is an IP address, and none that everybody has, such as 127.0.0.1."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return False
    return not (found.is_loopback or found.is_unspecified or found.is_multicast)


def always(text: str) -> bool:
    """What needs no more than its pattern."""
    return True


Check = Callable[[str], bool]
KINDS: dict[str, tuple[re.Pattern, Check]] = {
    "private key": (re.compile(BLOCK, re.S), always),
    "password in a URL": (re.compile(IN_URL), always),
    "key or token": (re.compile(rf"(?<![\w-])(?:{'|'.join(TOKENS)})(?![\w-])"), always),
    "password": (re.compile(SECRET), always),
    "e-mail": (re.compile(EMAIL), always),
    "IBAN": (re.compile(rf"(?<!\w){IBAN}(?!\w)"), is_iban),
    "card number": (re.compile(r"(?<![\w-])\d(?:[ -]?\d){12,18}(?![\w-])"), is_card),
    "IP address": (re.compile(rf"(?<![\w.:])(?<!ersion )(?:{IP})(?![\w:]|\.\d)"), is_address),
    "phone": (re.compile(rf"(?<![\w+.-])(?:{'|'.join(PHONES)})(?![\w-]|\.\d)"), always),
}


def find_in(text: str, kinds: Sequence[str] = tuple(KINDS)) -> list[Found]:
    """What a text holds, in the order in which it stands there; nothing is found twice."""
    found: list[Found] = []
    for kind in kinds:
        pattern, check = KINDS[kind]
        for match in pattern.finditer(text):
            group = "it" if "it" in pattern.groupindex else 0
            start, end = match.span(group)
            free = all(end <= other.start or start >= other.end for other in found)
            if free and check(match[group]):
                found.append(Found(kind, start, end))
    return sorted(found, key=lambda each: each.start)


def mask(text: str) -> str:
    """A find as it may be shown: its first signs and its length."""
    return f"{text[:HALVES]}… ({len(text)} signs)"


@dataclass(frozen=True, repr=False)
class Private(Result):
    """What was found in rows; what it is, is shown by its first signs alone."""

    rows: int
    found: list[dict]  # kind, row (a place from 0), message, shown

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind was found."""
        return dict(Counter(each["kind"] for each in self.found))

    @property
    def places(self) -> list[int]:
        """The rows in which something was found."""
        return sorted({each["row"] for each in self.found})

    def json(self) -> dict[str, Any]:
        """Every field, the counts, and what nobody looked for."""
        return {**asdict(self), "counts": self.counts, "missed": MISSED}

    def table(self) -> TableParts:
        """A line for each kind, with the first of them."""
        title = f"Something private in {len(self.places):,} of {self.rows:,} rows; {MISSED}"
        lines = []
        for kind, count in self.counts.items():
            first = [each for each in self.found if each["kind"] == kind][:NAMED]
            shown = ", ".join(f"row {each['row'] + 1}: {each['shown']}" for each in first)
            lines.append((kind, f"{count:,}", shown))
        return title, ("what", "times", "the first"), lines


def find_private(rows: "Rows", kinds: Sequence[str] = tuple(KINDS)) -> Private:
    """What the messages of rows hold: see `KINDS`. Raises UserError for a kind that is none."""
    check_kinds(kinds)
    known = data.as_rows(rows)
    found = [
        {
            "kind": each.kind,
            "row": place,
            "message": number,
            "shown": mask(text[each.start : each.end]),
        }
        for place, row in enumerate(known)
        for number, text in enumerate(texts_of(row))
        for each in find_in(text, kinds)
    ]
    return Private(len(known), found)


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse what is no kind."""
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(
                f"there is no kind {kind!r}; give some of {', '.join(KINDS)}.{nearest(kind, KINDS)}"
            )


def texts_of(row: Mapping) -> list[str]:
    """The text of each message of a row, its tool calls behind it."""
    return [
        f"{message.get('content') or ''}{spelled(message.get('tool_calls'))}"
        for message in row["messages"]
    ]


def spelled(calls: object) -> str:
    """Every text in a message's tool calls."""
    if isinstance(calls, Mapping):
        return "".join(map(spelled, calls.values()))
    if isinstance(calls, list | tuple):
        return "".join(map(spelled, calls))
    return f"\n{calls}" if isinstance(calls, str) else ""


def redact(rows: "Rows", kinds: Sequence[str] = tuple(KINDS)) -> "Dataset | list[dict]":
    """The rows with a mark such as <EMAIL> in place of whatever was found, in every text.

    A Dataset gives a Dataset. What `find_private` does not see stays: look at the rows.
    """
    check_kinds(kinds)
    known = [without(row, kinds) for row in data.as_rows(rows)]
    return known if isinstance(rows, list | tuple) else data.to_dataset(known)


def without(value: Any, kinds: Sequence[str]) -> Any:
    """A value of a row in which every text is redacted, at any depth."""
    if isinstance(value, Mapping):
        return {key: without(part, kinds) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [without(part, kinds) for part in value]
    if not isinstance(value, str):
        return value
    for each in reversed(find_in(value, kinds)):
        name = each.kind.upper().replace("-", "").replace(" ", "_")
        value = f"{value[: each.start]}<{name}>{value[each.end :]}"
    return value
