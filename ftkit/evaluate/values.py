"""What does a JSON reply state? Its values, and whether the prompt holds them.

    read_value(text)                 the JSON object or list that a text is, and nothing else
    same_value(one, other)           equal in value and kind: 1, 1.0 and true are three
    list_claims(value)               the strings and numbers in a JSON value, at any depth
    Source(messages, tools)          all that a model was shown before it answered
    source.holds(claim)              does that say it, as whole words or as a number?
    is_grounded(row)                 does a row's question hold every value of its answer?

A value that stands nowhere may be made up, or put in other words: `scoring.py` counts them. Whether
a reply is in format at all is found by `formats`. Notebook 09.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property

from ..core.parsing import JsonReader
from ..data import THOUGHTS, UNSPACED, Tools

Claim = str | int | float

# Letters and digits, but for those of scripts that put no blanks between words.
WORDLY = rf"[^\W{UNSPACED}]"
# A number in a text: its sign, groups of three digits, a decimal point or comma, an exponent.
NUMBER = re.compile(r"(?<![\w.,])[-+−]?\d+(?:[.,'’]\d+)*(?:[eE][-+]?\d{1,3})?(?!\d)")
SPACED = re.compile(r"(?<![\w.,])\d{1,3}(?: \d{3})+(?!\d)")  # 1 200 000
SIGN = re.compile(r"(?<=[\w)])[-−](?=\d)")  # from 3-5: no sign
GROUPS = re.compile(r"\d{1,3}(?:([.,'’])\d{3})(?:\1\d{3})*")
SAID = ("content", "name", *THOUGHTS, "tool_calls")


def read_value(text: str) -> dict | list | None:
    """The JSON object or list that `text` is, or None.

    None too where an object has a key twice, and for NaN and Infinity, which are no JSON.
    """
    value, fault = JsonReader().read(text)
    return value if isinstance(value, dict | list) and not fault else None


def same_value(one: object, other: object) -> bool:
    """Whether two JSON values are equal in value and kind; the order of keys means nothing."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same_value, one, other))
    return one == other


def list_claims(value: object) -> list[Claim]:
    """The strings and numbers in a JSON value, inside lists and objects too.

    null, true, false and an empty text claim nothing that could stand in a text.
    """
    if isinstance(value, Mapping):
        return [claim for part in value.values() for claim in list_claims(part)]
    if isinstance(value, list):
        return [claim for part in value for claim in list_claims(part)]
    if isinstance(value, bool) or value is None:
        return []
    if isinstance(value, str):
        return [value] if value.strip() else []
    return [value] if isinstance(value, int | float) else []


class Source:
    """All that a model was shown before it answered: every message, and the tools."""

    def __init__(self, messages: Sequence[Mapping], tools: Tools = None) -> None:
        said = [message.get(key) for message in messages for key in SAID]
        parts = [*said, JsonReader().read(tools)[0] if isinstance(tools, str) else tools]
        self.text = "\n".join(clean(text) for part in parts for text in texts_in(part))

    @cached_property
    def numbers(self) -> set[Decimal]:
        """The numbers in it, whatever their spelling."""
        apart = SIGN.sub(" ", self.text)
        spaced = [found.replace(" ", "") for found in SPACED.findall(apart)]
        return {n for found in [*NUMBER.findall(apart), *spaced] for n in read_number(found)}

    def holds(self, claim: Claim) -> bool:
        """Whether it says a claim: a text as whole words, a number in any usual spelling.

        A blank text claims nothing.
        """
        if isinstance(claim, str):
            text = clean(claim)
            if not text:
                return True
            # "5" is not in "15", nor "Ann" in "Annabel"
            before = rf"(?<!{WORDLY})" if re.match(WORDLY, text) else ""
            behind = rf"(?!{WORDLY})" if re.match(WORDLY, text[-1]) else ""
            if re.search(before + re.escape(text) + behind, self.text):
                return True
        values = read_number(str(claim)) if NUMBER.fullmatch(str(claim)) else set()
        return not self.numbers.isdisjoint(values)


def is_grounded(row: Mapping) -> bool:
    """Whether all that a row's answer states stands in what comes before it, and in the tools.

    Of an answer in JSON and of a tool call's arguments every text and number, of any other the
    whole answer. `audit.sift` takes it as a test of rows that a model has written.
    """
    *before, last = row["messages"]
    text = last["content"] or ""
    value = read_value(text)
    claims = [text] if value is None else list_claims(value)
    for call in last.get("tool_calls") or []:
        claims += claims_of_call(call)
    source = Source(before, row.get("tools"))
    return all(source.holds(claim) for claim in claims)


def claims_of_call(call: Mapping) -> list[Claim]:
    """The texts and numbers that a tool is called with; its name is the kit's, not the prompt's."""
    arguments = call.get("function", call).get("arguments")
    value = read_value(arguments) if isinstance(arguments, str) else arguments
    return list_claims(arguments if value is None else value)


def texts_in(value: object) -> Iterator[str]:
    """Every text and number in a message, keys included; what is JSON as its values too."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield str(key)
            yield from texts_in(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from texts_in(part)
    elif isinstance(value, str):
        yield value
        if value.lstrip()[:1] in ("{", "["):
            yield from texts_in(read_value(value))
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def clean(text: str) -> str:
    """A text in Unicode's composed form, with single blanks for all white space."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def read_number(text: str) -> set[Decimal]:
    """The numbers that a spelling may mean: 1,200 is 1200, and to some 1.2."""
    plain = text.replace("−", "-").lstrip("+")
    spellings = {plain, plain.replace(",", "."), re.sub(r"[,'’]", "", plain)}
    # thousands in groups, with a point or a comma behind them: 1.200,50
    sign, digits = plain[: plain.startswith("-")], plain.lstrip("-")
    if groups := GROUPS.match(digits):
        whole = groups[0].replace(groups[1], "")
        spellings.add(sign + whole + digits[groups.end() :].replace(",", "."))
    numbers = set()
    for spelling in spellings:
        try:
            numbers.add(Decimal(spelling))
        except InvalidOperation:
            continue
    return numbers
