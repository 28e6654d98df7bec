"""Files that people write, read strictly: YAML and JSON in UTF-8, each key stated once.

    read_text(path)          the text of a file in UTF-8, with or without a byte order mark
    parse_yaml(text, where)  what a YAML file says
    parse_json(text, where)  what a JSON file says
    JsonReader().read(text)  the same of any text, with what is wrong as words
    check_keys(stated, …)    refuses a key that is not among the known ones

Whatever is in the file, the answer is its content or one `UserError` that names the place: no
encoding is guessed, and of a key that stands there twice neither value is taken. Which keys are
known is for the reader of the file to say (`train.Experiment`). No notebook needs it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import Repr
from typing import TYPE_CHECKING, Any

from .errors import UserError, nearest

if TYPE_CHECKING:
    import yaml

# How other encodings begin that editors write; UTF-32 first, whose mark begins like UTF-16's.
MARKS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
# Numbers to YAML 1.1 that mean another one to most people: 010 is 8, and 1:30 is 90.
OCTAL, BASE_60 = re.compile(r"[-+]?0[0-9_]*[1-9][0-9_]*"), re.compile(r"[-+]?[0-9_]+(:[0-9_.]+)+")
BLANK = re.compile(r"[ \t\r\n]*")

shorten = Repr()
shorten.maxstring = shorten.maxother = shorten.maxlong = 60


def shown(value: object) -> str:
    """A value as Python writes it, short: whatever a file holds, an error stays one sentence."""
    return shorten.repr(value)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, its byte order mark left out.

    Raises UserError for a file that may not be read, and for bytes that are no UTF-8, with the line
    of the first.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"could not read {path} ({error.strerror or error}).") from error

    # other encodings: those that say so, and those that are seen by their bytes
    cure = "save it as UTF-8"
    if found := next((name for mark, name in MARKS.items() if raw.startswith(mark)), None):
        raise UserError(f"{path} is in {found}; {cure}.")
    if b"\x00" in raw:
        line = 1 + raw.count(b"\n", 0, raw.index(b"\x00"))
        raise UserError(
            f"{path} holds a NUL byte in line {line}, so it is no text in UTF-8; {cure}."
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # the decoder counts from behind the mark
        begun = len(raw) - len(error.object)
        line = 1 + raw.count(b"\n", 0, begun + error.start)
        raise UserError(
            f"{path} is not UTF-8: line {line} holds the byte 0x{error.object[error.start]:02x}; "
            f"{cure}."
        ) from error


def check_keys(
    stated: Mapping,
    known: Sequence[str],
    where: object,
    hint: Callable[[object, Sequence[str]], str] = nearest,
) -> None:
    """Refuse keys that are not among the known ones; hint: what a key was meant to be."""
    for key in stated:
        if key not in known:
            raise UserError(
                f"{where} has the key {shown(key)}; the keys are {', '.join(known)}."
                f"{hint(key, known)}"
            )


def parse_json(text: str, where: object) -> Any:
    """What a JSON text says, NaN too. Raises UserError, which names the file `where`."""
    reader = JsonReader(takes_nan=True)
    try:
        value = reader.decoder.decode(text)
    except RecursionError as error:
        raise UserError(
            f"{where} is not JSON that can be read: it is nested too deeply."
        ) from error
    except ValueError as error:
        raise UserError(f"{where} is not JSON: {' '.join(str(error).split())}.") from error
    if reader.fault:
        raise UserError(f"{where} {reader.fault}.")
    return value


class JsonReader:
    """A JSON decoder that notes what Python takes without a word and JSON does not.

    takes_nan: NaN and the infinities are taken, which Python's own writer puts into JSON.
    """

    def __init__(self, *, takes_nan: bool = False) -> None:
        self.fault = ""
        strict: dict[str, Any] = {
            "parse_constant": self.take_constant,
            "parse_float": self.take_float,
        }
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self.take_object, **({} if takes_nan else strict)
        )

    def take_object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """An object; a key that it states twice is a fault."""
        stated: dict[str, Any] = {}
        for key, value in pairs:
            if key in stated:
                self.fault = self.fault or stated_twice(key, stated[key], value)
            stated[key] = value
        return stated

    def take_constant(self, word: str) -> None:
        """NaN and Infinity, which are no JSON."""
        self.fault = self.fault or f"{word} is no number in JSON; write null, or leave it out"

    def take_float(self, digits: str) -> float:
        """A number with a point or an exponent; one too large to hold is a fault."""
        number = float(digits)
        if number in (float("inf"), float("-inf")):
            self.fault = self.fault or f"{digits} is too large a number; write it as text"
        return number

    def read_first(self, text: str, start: int = 0) -> tuple[Any, int, str]:
        """The value that begins at `start`, where it ends, and what is wrong ("" if nothing)."""
        self.fault = ""
        try:
            value, end = self.decoder.raw_decode(text, start)
            return value, end, self.fault
        except json.JSONDecodeError as error:
            # the column in its line
            column = error.pos - text.rfind("\n", 0, error.pos)
            return None, -1, f"not JSON ({error.msg} at column {column})"
        except RecursionError:
            return None, -1, "nested too deeply to be read; flatten it"
        except ValueError:  # Python's own limit
            return None, -1, "a number of thousands of digits; write it as text"

    def read(self, text: str) -> tuple[Any, str]:
        """The value that a text is, white space around it apart, and what is wrong."""
        value, end, fault = self.read_first(text, skip_blank(text, 0))
        if fault:
            return value, fault
        rest = skip_blank(text, end)
        if text[rest:].strip() == ",":
            return value, "not JSON (there is a comma behind it; leave that out)"
        if rest < len(text):
            return value, f"not JSON (more than one value: the second begins at column {rest + 1})"
        return value, ""


def skip_blank(text: str, place: int) -> int:
    """Where the next sign stands that is no white space of JSON."""
    return BLANK.match(text, place).end()  # type: ignore  # it matches anything


def stated_twice(key: object, first: object, second: object) -> str:
    """The words on a key that stands there twice."""
    return f"states {shown(key)} twice, as {shown(first)} and as {shown(second)}; keep one"


def parse_yaml(text: str, where: object) -> Any:
    """What a YAML text says, in plain values. Raises UserError, which names the file `where`.

    Beside what is not YAML, that is a key that stands there twice, a merge key (<<), and a number
    that YAML 1.1 reads as another one than it says: 010, or 1:30.
    """
    import yaml

    loader = None
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        for each in walk(node):
            check_node(each, where)
        return loader.construct_document(node)
    except UserError:
        raise
    except RecursionError as error:
        raise UserError(
            f"{where} is not YAML that can be read: it is nested too deeply."
        ) from error
    except Exception as error:  # a tag such as !!bool before other text breaks off in many ways
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = reason.replace(' in "<unicode string>",', " in")
        tabs = ", and YAML indents by blanks, never tabs" if r"'\t'" in reason else ""
        raise UserError(f"{where} is not YAML: {reason}{tabs}.") from error
    finally:
        if loader is not None:
            loader.dispose()


def walk(root: "yaml.Node") -> Iterator["yaml.Node"]:
    """Every node below one, each once however often the text points to it."""
    import yaml

    seen, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in reversed(node.value) for part in reversed(pair)]
        elif isinstance(node, yaml.SequenceNode):
            waiting += reversed(node.value)


def check_node(node: "yaml.Node", where: object) -> None:
    """Refuse what YAML would take without a word and its writer did not mean."""
    import yaml

    # a number in a form that means another one
    kind = node.tag.rpartition(":")[2]
    if isinstance(node, yaml.ScalarNode) and node.style is None and kind in ("int", "float"):
        if OCTAL.fullmatch(node.value) or BASE_60.fullmatch(node.value):
            raise UserError(
                f"{where} states {node.value} in line {node.start_mark.line + 1}, which YAML reads "
                f"in base {60 if ':' in node.value else 8}; write the number in base 10."
            )

    # a day that there is not
    if isinstance(node, yaml.ScalarNode) and kind == "timestamp":
        try:
            yaml.constructor.SafeConstructor().construct_yaml_timestamp(node)
        except ValueError as error:
            raise UserError(
                f"{where} states the date {node.value} in line {node.start_mark.line + 1}, which "
                f"there is not ({error}); give one such as 2026-07-31."
            ) from error

    # a key twice
    if not isinstance(node, yaml.MappingNode):
        return
    stated: dict[tuple[str, str], str] = {}
    for key, value in node.value:
        if key.tag == "tag:yaml.org,2002:merge":
            raise UserError(f"{where} has the merge key <<; state the keys themselves.")
        if not isinstance(key, yaml.ScalarNode):
            continue
        name, said = (key.tag, key.value), describe(value)
        if name in stated:
            raise UserError(f"{where} {stated_twice(key.value, stated[name], said)}.")
        stated[name] = said


def describe(node: "yaml.Node") -> Any:
    """What a node says, as its text: a number or a word as it stands there."""
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        return "a list" if isinstance(node, yaml.SequenceNode) else "keys and values"
    return node.value
