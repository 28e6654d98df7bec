"""Format errors: each kind apart, by the gold's keys or by a JSON Schema; and fuzzy likeness."""

import builtins
import json
import socket

import pytest

from ftkit import UserError, evaluate
from ftkit.evaluate import formats

GOLD = {"name": "Vezan Tolber", "order": 4821, "urgent": True}
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "order": {"type": "integer", "minimum": 1000},
        "urgent": {"type": "boolean"},
    },
    "required": ["name", "order"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("reply", "in_format"),
    [
        (json.dumps(GOLD), True),
        (json.dumps({**GOLD, "name": "Somebody Else"}), True),
        (json.dumps(GOLD) + " Anything else?", False),
        ("```json\n" + json.dumps(GOLD) + "\n```", False),
        (json.dumps({**GOLD, "order": "4821"}), False),
        (json.dumps({**GOLD, "order": 4821.0}), False),
        (json.dumps({**GOLD, "urgent": 1}), False),
        (json.dumps({**GOLD, "city": "Solburg"}), False),
        (json.dumps(GOLD).replace("4821", "NaN"), False),
        (json.dumps(GOLD)[:-1] + ', "order": 4821}', False),
        (json.dumps({"name": "Vezan Tolber", "order": 4821}), False),
        ("[1]", False),
        ("null", False),
        ("", False),
        ("{" * 100_000, False),
    ],
)
def test_strict_format(reply, in_format):
    assert (evaluate.parse(reply, GOLD) is not None) == in_format


def test_the_order_of_keys_means_nothing_unless_it_is_asked_for():
    turned = json.dumps({key: GOLD[key] for key in ("order", "name", "urgent")})
    assert evaluate.parse(turned, GOLD) == GOLD
    assert evaluate.parse(turned, GOLD, strict_order=True) is None
    assert evaluate.parse(json.dumps(GOLD), GOLD, strict_order=True) == GOLD


def test_a_list_is_in_the_format_of_a_list():
    assert evaluate.parse("[1, 2]", ["a"]) == [1, 2]
    assert evaluate.parse('{"a": 1}', ["a"]) is None


KEYS = [
    (json.dumps(GOLD), []),
    ("no idea", ["not JSON"]),
    (json.dumps(GOLD) + " Anything else?", ["not JSON"]),
    (json.dumps(GOLD)[:-1] + ', "order": 4821}', ["not JSON"]),
    (json.dumps({"name": "Ann", "order": 1}), ["missing key"]),
    (json.dumps({**GOLD, "city": "Solburg"}), ["extra key"]),
    (json.dumps({**GOLD, "order": "4821"}), ["wrong type"]),
    (json.dumps({"name": 5, "city": "Solburg"}), ["missing key", "extra key", "wrong type"]),
    ("[1]", ["wrong type"]),
]


@pytest.mark.parametrize(("reply", "kinds"), KEYS)
def test_each_kind_of_error_is_told_apart(reply, kinds):
    value, found = formats.find_errors(reply, GOLD)
    assert found == kinds
    assert (value is None) == (kinds == ["not JSON"])
    assert (evaluate.parse(reply, GOLD) is not None) == (not kinds), "no kind: in format"


def test_order_alone_is_no_error_unless_the_schema_or_the_user_says_so():
    turned = json.dumps({key: GOLD[key] for key in ("order", "name", "urgent")})
    assert formats.find_errors(turned, GOLD)[1] == []
    assert formats.find_errors(turned, GOLD, formats.Schema(SCHEMA))[1] == []
    asked = formats.Schema({**SCHEMA, "propertyOrdering": ["name", "order"]})
    assert formats.find_errors(turned, GOLD, asked)[1] == ["keys in another order"]
    assert formats.find_errors(json.dumps(GOLD), GOLD, asked)[1] == []
    assert formats.find_errors(turned, GOLD, strict_order=True)[1] == ["keys in another order"]
    both = formats.find_errors(turned[:-1] + ', "x": 1}', GOLD, strict_order=True)[1]
    assert both == ["extra key", "keys in another order"]


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ({"name": "Ann", "order": 4821}, []),
        ({"name": "Ann", "order": 4821.0}, []),
        ({"name": "Ann"}, ["missing key"]),
        ({"name": "Ann", "order": 4821, "x": 1, "y": 2}, ["extra key"]),
        ({"name": "Ann", "order": "4821"}, ["wrong type"]),
        ({"name": "Ann", "order": 7}, ["against a rule of the schema"]),
        ([], ["wrong type"]),
    ],
)
def test_a_schema_stands_in_place_of_the_golds_keys(value, kinds):
    """An optional key may be left out; 4821.0 is an integer to JSON Schema."""
    assert formats.find_errors(json.dumps(value), GOLD, formats.Schema(SCHEMA))[1] == kinds


def test_a_schema_that_is_none_is_refused_in_a_sentence(tmp_path):
    for schema, said in (
        ({"type": "strng"}, r"at /type, 'strng'"),
        ([1], r"give a JSON Schema as a dict"),
        ({"propertyOrdering": "name"}, r"give a list of keys"),
        ({"properties": {"name": {"pattern": "("}}}, r"at /properties/name/pattern"),
    ):
        with pytest.raises(UserError, match=said):
            formats.Schema(schema)
    path = tmp_path / "s.json"
    path.write_text('{"type": 5}')
    with pytest.raises(UserError, match=r"s\.json: the schema is no JSON Schema"):
        formats.read_schema(path)
    path.write_text(json.dumps(SCHEMA))
    assert formats.read_schema(path).find_errors(GOLD) == []
    with pytest.raises(UserError, match="could not read"):
        formats.read_schema(tmp_path / "none.json")


def test_nothing_is_fetched_for_a_reference(monkeypatch):
    """jsonschema's own registry would open the address (python-jsonschema 1012)."""
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda *given, **_: asked.append(given))
    far = formats.Schema({"properties": {"name": {"$ref": "http://example.com/s.json"}}})
    with pytest.raises(UserError, match=r"nothing is fetched for a \$ref"):
        far.find_errors(GOLD)
    assert asked == []
    near = {"properties": {"name": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "integer"}}}
    assert formats.Schema(near).find_errors(GOLD) == ["wrong type"]


def test_an_older_draft_is_read_as_such():
    """exclusiveMinimum was a truth value in draft 4, and is a number since."""
    old = {"$schema": "http://json-schema.org/draft-04/schema#", "properties": {
        "order": {"minimum": 4821, "exclusiveMinimum": True}}}  # fmt: skip
    assert formats.Schema(old).find_errors(GOLD) == ["against a rule of the schema"]
    with pytest.raises(UserError, match="no JSON Schema"):
        formats.Schema({key: old[key] for key in ("properties",)})


def test_likeness_is_the_share_of_letters_kept():
    alike = formats.likeness(["abcd", "abcd", "", "abxd"], ["abcd", "", "", "abcd"])
    assert alike == pytest.approx([1, 0, 1, 0.75])


@pytest.mark.parametrize(
    ("library", "call"),
    [
        ("jsonschema", lambda: formats.Schema(SCHEMA)),
        ("rapidfuzz", lambda: formats.likeness(["a"], ["a"])),
    ],
)
def test_a_library_that_is_not_installed_is_one_sentence(monkeypatch, library, call):
    real = builtins.__import__

    def without(name, *rest):
        if name.split(".")[0] == library:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match=rf"{library}, which is not installed; pip install"):
        call()
