"""Is a reply in the wanted format, and what is wrong with it if not? Each kind of error apart.

    parse(reply, gold)              the reply as a JSON value if it is strictly in format
    find_errors(reply, gold)        (its value, the kinds of what is wrong): see KINDS
    Schema(schema), read_schema(f)  a JSON Schema in place of the gold's own keys (jsonschema)
    likeness(replies, golds)        how like two texts are, from 0 to 1 (rapidfuzz)

The order of keys means nothing in JSON, so it is an error only where `strict_order` or the schema's
`propertyOrdering` says so. A gold that is neither an object nor a list has no format. What a reply
in format states is for `values`, how many there are for `scoring`. Notebook 09.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from ..core.errors import UserError
from ..core.parsing import parse_json, read_text, shown
from .values import read_value

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

Kind = TypeVar("Kind", bound=dict | list)
NOT_JSON, MISSING, EXTRA, TYPE = "not JSON", "missing key", "extra key", "wrong type"
ORDER, RULE = "keys in another order", "against a rule of the schema"
KINDS = (NOT_JSON, MISSING, EXTRA, TYPE, ORDER, RULE)
# What is wrong by the keyword of the schema that a value breaks; by any other it is RULE.
BY_KEYWORD = {
    "required": MISSING,
    "dependentRequired": MISSING,
    "additionalProperties": EXTRA,
    "unevaluatedProperties": EXTRA,
    "type": TYPE,
}
ORDERING = "propertyOrdering"  # no keyword of JSON Schema itself, but of OpenAPI's relatives


class Schema:
    """A JSON Schema that replies have to obey, checked by the package jsonschema.

    Its `$schema` says which draft, 2020-12 if none. Nothing is fetched for a `$ref`. Raises
    UserError for what is no schema, and where jsonschema is not installed.
    """

    def __init__(self, schema: Mapping) -> None:
        if not isinstance(schema, Mapping):
            raise UserError(f"the schema is {shown(schema)}; give a JSON Schema as a dict.")
        self.stated = dict(schema)
        order = self.stated.get(ORDERING, [])
        if not isinstance(order, list) or not all(isinstance(key, str) for key in order):
            raise UserError(f"{ORDERING} of the schema is {shown(order)}; give a list of keys.")
        self.order: list[str] = order
        self.validator  # noqa: B018 # faults are said here, not at the first reply

    @cached_property
    def validator(self) -> "Validator":
        """The validator of its draft."""
        try:
            from jsonschema import Draft202012Validator, SchemaError
            from jsonschema.validators import validator_for
            from referencing import Registry
        except ImportError as error:
            raise UserError(
                "a JSON Schema needs the package jsonschema, which is not installed; "
                'pip install "ftkit[eval]" brings it.'
            ) from error
        draft = validator_for(self.stated, default=Draft202012Validator)
        try:
            draft.check_schema(self.stated)
        except SchemaError as error:
            place = "".join(f"/{part}" for part in error.absolute_path) or "/"
            raise UserError(
                f"the schema is no JSON Schema: at {place}, {' '.join(error.message.split())}."
            ) from error
        # a registry of its own, or a $ref would be looked for in the net
        return draft(self.stated, registry=Registry())

    def find_errors(self, value: Any) -> list[str]:
        """The kinds of what is wrong with a value, each once, in the order of KINDS."""
        from referencing.exceptions import Unresolvable

        try:
            broken = {
                BY_KEYWORD.get(str(error.validator), RULE)
                for error in self.validator.iter_errors(value)
            }
        except Unresolvable as error:
            raise UserError(
                f"the schema cannot be followed: {' '.join(str(error).split())}; nothing is "
                "fetched for a $ref, so state the part in the schema itself."
            ) from error
        if isinstance(value, dict) and self.order:
            stated = [key for key in value if key in self.order]
            if stated != [key for key in self.order if key in value]:
                broken.add(ORDER)
        return [kind for kind in KINDS if kind in broken]


def read_schema(path: str | Path) -> Schema:
    """The schema in a JSON file; UserError, which names the file, for what is none."""
    path = Path(path)
    try:
        return Schema(parse_json(read_text(path), path))
    except UserError as error:
        said = str(error)
        raise UserError(said if str(path) in said else f"{path}: {said}") from error


def find_errors(
    reply: str, gold: dict | list, schema: Schema | None = None, *, strict_order: bool = False
) -> tuple[dict | list | None, list[str]]:
    """(the JSON value of a reply, what is wrong with its format), each kind once.

    In format is one JSON object and nothing else, with gold's keys, each once, and gold's types; a
    list where the gold is one. schema: what it has to obey instead. strict_order: and gold's order
    of keys. A reply that is no JSON object or list, or states a key twice, is NOT_JSON alone.
    """
    value = read_value(reply)
    if value is None:
        return None, [NOT_JSON]
    kinds = schema.find_errors(value) if schema else compare_keys(value, gold)
    if strict_order and not same_order(value, gold) and ORDER not in kinds:
        kinds = [kind for kind in KINDS if kind in (*kinds, ORDER)]
    return value, kinds


def compare_keys(value: dict | list, gold: dict | list) -> list[str]:
    """What is wrong with the keys of an object and the types of its values, held against gold's."""
    if type(value) is not type(gold):
        return [TYPE]
    if not isinstance(value, dict) or not isinstance(gold, dict):
        return []
    shared = value.keys() & gold.keys()
    broken = {
        MISSING: gold.keys() - shared,
        EXTRA: value.keys() - shared,
        TYPE: [key for key in shared if type(value[key]) is not type(gold[key])],
    }
    return [kind for kind, keys in broken.items() if keys]


def parse(reply: str, gold: Kind, *, strict_order: bool = False) -> Kind | None:
    """The reply as a JSON value if it is strictly in the gold's format, else None.

    See `find_errors`; strict_order: in gold's order of keys, too, which means nothing in JSON.
    """
    value, kinds = find_errors(reply, gold, strict_order=strict_order)
    return None if kinds else cast("Kind | None", value)


def same_order(value: dict | list, gold: dict | list) -> bool:
    """Whether the keys that two objects share stand in the same order; lists have none."""
    if not isinstance(value, dict) or not isinstance(gold, dict):
        return True
    return [key for key in value if key in gold] == [key for key in gold if key in value]


def likeness(replies: Sequence[str], golds: Sequence[str]) -> list[float]:
    """How like each reply is to its gold, from 0 to 1, by the package rapidfuzz.

    1 − d / (m + n) with d the fewest letters to take out and put in, m and n the two lengths
    (normalized Indel similarity). Raises UserError where rapidfuzz is not installed.
    """
    try:
        from rapidfuzz import fuzz
    except ImportError as error:
        raise UserError(
            "a fuzzy match needs the package rapidfuzz, which is not installed; "
            'pip install "ftkit[eval]" brings it.'
        ) from error
    return [fuzz.ratio(one, other) / 100 for one, other in zip(replies, golds, strict=True)]
