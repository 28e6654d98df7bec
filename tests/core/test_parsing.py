"""Files that people write are read to the letter, or refused in one sentence."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as draw

from ftkit import UserError
from ftkit.core import parsing


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("größe: 1".encode("latin-1"), r"is not UTF-8: line 1 holds the byte 0xf6"),
        (b"a: 1\r\nb: \xe9", r"line 2 holds the byte 0xe9; save it as UTF-8"),
        (b"\xef\xbb\xbfa: 1\nb: \xe9", "line 2 holds the byte 0xe9"),
        ("a: 1".encode("utf-16"), "is in UTF-16; save it as UTF-8"),
        ("a: 1".encode("utf-32"), "is in UTF-32"),
        ("a: 1\nb: 2".encode("utf-16-le"), "holds a NUL byte in line 1"),
    ],
)
def test_an_encoding_that_is_not_utf_8_is_named_with_its_place(raw, message, tmp_path):
    (tmp_path / "r.yaml").write_bytes(raw)
    with pytest.raises(UserError, match=message):
        parsing.read_text(tmp_path / "r.yaml")


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xef\xbb\xbfdata: a\xc3\xb6")
    assert parsing.read_text(tmp_path / "r.yaml") == "data: aö"


def test_what_may_not_be_read_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"could not read .* \(Is a directory\)"):
        parsing.read_text(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: 1e-3\nepochs: 1\nlr: 5e-2", "r states 'lr' twice, as '1e-3' and as '5e-2'; keep one"),
        ("a: {b: 1, b: [2]}", "states 'b' twice, as '1' and as 'a list'"),
        ("a: 1\n'a': 2", "states 'a' twice"),
        ("rows: 0100", "r states 0100 in line 1, which YAML reads in base 8"),
        ("\nrows: 1:30", "states 1:30 in line 2, which YAML reads in base 60"),
        ("a: &x {b: 1}\nc: {<<: *x}", "has the merge key <<"),
        ("\tlr: 1", "is not YAML: .*YAML indents by blanks, never tabs"),
        ("a: [", "r is not YAML"),
        ("a: 1\n---\nb: 2", "is not YAML: expected a single document"),
        ("a: !!bool maybe", "is not YAML"),
        ("a: !!timestamp x", "is not YAML"),
        ("a: 2024-99-99", r"r states the date 2024-99-99 in line 1, .*\(month must be in 1..12\)"),
        (f"a: {'9' * 5000}", "is not YAML: Exceeds the limit"),
        ("a: !!python/object/apply:os.system [x]", "is not YAML: could not determine a constr"),
        ("[" * 3000, "is not YAML"),
    ],
)
def test_what_yaml_would_take_without_a_word_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parsing.parse_yaml(text, "r")


def test_yaml_that_says_what_it_means_is_taken():
    text = "a: &x [1, 0, 0.5, 1_000]\nb: *x\nc: {a: 'a: 1', on: 10:30 Uhr}\n"
    said = {"a": [1, 0, 0.5, 1000], "b": [1, 0, 0.5, 1000], "c": {"a": "a: 1", True: "10:30 Uhr"}}
    assert parsing.parse_yaml(text, "r") == said
    assert parsing.parse_yaml("# nothing", "r") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"lr": 1, "lr": 2}', "r states 'lr' twice, as 1 and as 2; keep one"),
        ('{"a": [{"b": {}, "b": null}]}', "states 'b' twice, as {} and as None"),
        ('{"a": ', "r is not JSON: Expecting value"),
        ("[" * 100_000, "is not JSON"),
        ("9" * 5000, "is not JSON"),
    ],
)
def test_json_that_is_none_or_says_a_key_twice_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        parsing.parse_json(text, "r")


def test_an_error_stays_one_sentence_whatever_a_value_is():
    endless = []
    endless.append(endless)
    for value in (endless, "x" * 10_000, {n: [n] * 99 for n in range(999)}, 10**4000):
        assert len(parsing.shown(value)) < 400
    assert parsing.shown("0.1") == "'0.1'"


@settings(max_examples=200, derandomize=True, deadline=None, database=None)
@given(draw.text(alphabet="ab01:.-[]{}&*!<>|'\"#?,%@ \n\t\\é", max_size=40))
def test_any_text_is_read_or_refused_in_one_sentence(text):
    for parse in (parsing.parse_yaml, parsing.parse_json):
        try:
            parse(text, "r")
        except UserError as error:
            assert "\n" not in str(error)
