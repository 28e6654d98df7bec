"""JSON replies: their values, and whether what was asked holds them."""

import json

import pytest

from ftkit.evaluate import values

GOLD = {"name": "Vezan Tolber", "order": 4821, "urgent": True}


@pytest.mark.parametrize(
    ("one", "other"),
    [(1, 1.0), (1, True), (0, False), ("1", 1), (None, ""), ([1], [True]), ({"a": 1}, {"a": 1.0})],
)
def test_values_of_another_kind_are_not_the_same(one, other):
    assert not values.same_value(one, other)
    assert values.same_value(one, one)


def test_the_same_values_are_the_same_in_any_order_of_keys():
    assert values.same_value({"a": 1, "b": [{}]}, {"b": [{}], "a": 1})
    assert not values.same_value([1, 2], [2, 1])
    assert not values.same_value({"a": 1}, {"a": 1, "b": 1})


def test_claims_are_strings_and_numbers_at_any_depth():
    stated = {
        "name": "Ann",
        "city": None,
        "tags": ["new", 5, {"deep": [1.5, "", " ", True]}],
        "urgent": False,
    }
    assert values.list_claims(stated) == ["Ann", "new", 5, 1.5]
    assert values.list_claims(None) == []


@pytest.mark.parametrize(
    ("claim", "text", "held"),
    [
        # whole words
        ("Ann", "I am Ann.", True),
        ("Ann", "Annabel", False),
        ("ann", "I am Ann.", False),
        ("Ann Bell", "Ann  \n Bell", True),
        ("C++", "in C++ now", True),
        ("A3", "box A3", True),
        ("caf\u00e9", "cafe\u0301", True),
        ("\u6771\u4eac", "\u6771\u4eac\u90fd\u306b", True),
        # whole numbers, as text or not
        ("5", "15", False),
        (5, "15", False),
        (5, "5.5", False),
        (5, "1.5", False),
        (3, "box A3", False),
        (4821, "order 4821.", True),
        (48, "order 4821", False),
        (5, "a 5kg box", True),
        (5, "pages 3-5", True),
        (-5, "pages 3-5", False),
        (-5, "at -5 degrees", True),
        (5, "on 2024-05-12", True),
        # in another spelling
        (1200, "1,200 euro", True),
        (1200, "1200.0", True),
        (1200.0, "1200", True),
        (1200, "1 200", True),
        (1200, "1'200", True),
        ("1,200", "it cost 1200.", True),
        (1200.5, "1.200,50", True),
        (12.5, "12,5 kg", True),
        (1000000, "1,000,000", True),
        (1000, "1e3", True),
        (0, "0", True),
        (0, "none", False),
        (10**30, str(10**30), True),
    ],
)
def test_what_a_text_holds(claim, text, held):
    assert values.Source([{"role": "user", "content": text}]).holds(claim) is held


def test_all_that_stands_before_the_answer_is_searched():
    """The name in the system message, the tags in an earlier turn, the city in a tool's result."""
    call = {"function": {"name": "find", "arguments": {"street": "Elm"}}}
    messages = [
        {"role": "system", "content": "The customer is Ann."},
        {"role": "user", "content": "It is new.", "name": "Bob"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": json.dumps({"city": 'S\u00e3o "Paulo"'})},
        {"role": "user", "content": "Go on.", "weight": 7},
    ]
    tools = [{"function": {"name": "find", "parameters": {"enum": ["red"]}}}]
    for shown in (tools, json.dumps(tools)):
        source = values.Source(messages, shown)
        held = ["Ann", "new", "Bob", "Elm", 'S\u00e3o "Paulo"', "red"]
        assert [claim for claim in held if not source.holds(claim)] == []
        assert [claim for claim in ("user", "system", "Eve", 7) if source.holds(claim)] == []


@pytest.mark.parametrize(
    ("answer", "grounded"),
    [
        ('{"order": 4261, "urgent": true}', True),
        ('{"order": 42}', False),
        ('{"name": "An"}', False),
        ("Ann", True),
        ("Bob", False),
    ],
)
def test_grounded_means_whole_words_and_numbers(answer, grounded):
    asked = {"role": "user", "content": "Order 4261 for Ann."}
    row = {"messages": [asked, {"role": "assistant", "content": answer}]}
    assert values.is_grounded(row) == grounded


@pytest.mark.parametrize(
    ("arguments", "grounded"),
    [({"order": 4261}, True), ('{"who": "Ann"}', True), ({"order": 4262}, False), ({}, True)],
)
def test_a_tool_call_is_grounded_by_what_it_is_called_with(arguments, grounded):
    """Its text is empty, which was an IndexError."""
    asked = {"role": "user", "content": "Order 4261 for Ann."}
    call = {"type": "function", "function": {"name": "find", "arguments": arguments}}
    for content in ("", " ", None):
        said = {"role": "assistant", "content": content, "tool_calls": [call]}
        assert values.is_grounded({"messages": [asked, said]}) == grounded
