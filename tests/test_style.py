"""Code that a person can read aloud: all that is public says what it does, nothing is long.

What ruff can hold (columns, complexity, annotations) stands in pyproject.toml; how the wings hang
together in `test_structure.py`.
"""

import ast
import functools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ftkit

PACKAGE = Path(ftkit.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
ROOMS = [path for path in FILES if not path.stem.startswith("__")]
HEAVY = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "bitsandbytes",
    "matplotlib",
    "ipywidgets",
)
# What has to stay quick to ask: nothing of it may import torch.
WITHOUT_TORCH = (
    "import ftkit.__main__",
    "from ftkit import lora; lora.count('llama-3.1-8b', 16)",
    "from ftkit import memory; memory.fits('llama-3.1-8b', 'T4 16', method='qlora')",
    "from ftkit import data; data.read",
    "from ftkit.lab import grids; grids.read('lora')",
    "from ftkit.world import World; World()",
)
UNSAFE_WORDS = ("torch.load(", "trust_remote_code")
UNSAFE_LIBRARIES = {"pickle", "dill", "cloudpickle", "joblib"}
LONGEST_FUNCTION = 40
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path):
    """ "memory/formula" for ftkit/memory/formula.py."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def code_of(tree):
    """A file's code without comments and docstrings."""
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.ClassDef | FUNCTIONS)
        if documented and ast.get_docstring(node) is not None:
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def libraries(tree):
    """The top-level names of everything that is imported absolutely."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def undocumented(tree):
    """Public functions and classes, and public methods of public classes, without a docstring."""
    public = [n for n in tree.body if isinstance(n, FUNCTIONS | ast.ClassDef)]
    public = [n for n in public if not n.name.startswith("_")]
    for node in list(public):
        if isinstance(node, ast.ClassDef):
            methods = [m for m in node.body if isinstance(m, FUNCTIONS | ast.ClassDef)]
            public += [m for m in methods if not m.name.startswith("_")]
    return [node.name for node in public if ast.get_docstring(node) is None]


def too_long(tree):
    """{function: lines} of those that no screen holds."""
    functions = [n for n in ast.walk(tree) if isinstance(n, FUNCTIONS)]
    lines = {f.name: f.end_lineno - f.lineno + 1 for f in functions}
    return {name: n for name, n in lines.items() if n > LONGEST_FUNCTION}


def prints(tree):
    """The lines on which a file calls print."""
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call)]
    return [n.lineno for n in calls if isinstance(n.func, ast.Name) and n.func.id == "print"]


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_unsafe(path):
    tree = tree_of(path)
    assert not UNSAFE_LIBRARIES & set(libraries(tree))
    code = code_of(tree).replace("trust_remote_code=False", "")  # said, or transformers asks
    assert [word for word in UNSAFE_WORDS if word in code] == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_everything_public_is_documented(path):
    assert undocumented(tree_of(path)) == []


@pytest.mark.parametrize("path", ROOMS, ids=name_of)
def test_a_rooms_header_says_what_it_answers_in_a_few_lines(path):
    header = ast.get_docstring(tree_of(path))
    assert 3 <= len(header.splitlines()) <= 14
    assert header.splitlines()[0].endswith((".", ":", "?"))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_function_fits_on_a_screen(path):
    assert too_long(tree_of(path)) == {}


@pytest.mark.parametrize("path", ROOMS, ids=name_of)
def test_results_are_returned_and_not_printed(path):
    allowed = ("core/colab",)  # before any
    assert name_of(path) in allowed or prints(tree_of(path)) == []


@pytest.mark.parametrize("code", WITHOUT_TORCH)
def test_what_should_be_quick_imports_nothing_heavy(code):
    shown = f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_face_brings_a_room_only_when_it_is_named():
    code = "import sys; from ftkit import lab; print('ftkit.lab.playground' in sys.modules,"
    code += " callable(lab.open_playground), 'ftkit.lab.playground' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False True True\n"


def test_every_name_that_a_face_hands_out_is_there():
    for wing in ftkit.WINGS:
        face = getattr(ftkit, wing)
        assert all(getattr(face, name) is not None for name in getattr(face, "__all__", []))


def map_lines(face):
    """(call, room) of each line of a face's map: ("architecture.read", "architecture.py")."""
    for line in ast.get_docstring(ast.parse(face)).splitlines():
        if found := re.match(r" {4}([\w.]+).* (\w+\.py)$", line):
            yield found.groups()


@pytest.mark.parametrize("wing", [wing for wing in ftkit.WINGS if wing != "cli"])
def test_a_map_names_rooms_and_calls_that_are_there(wing):
    face = (PACKAGE / wing / "__init__.py").read_text(encoding="utf-8")
    lines = list(map_lines(face))
    assert len(lines) >= 3
    rooms = [path.name for path in ROOMS if path.parent.name == wing]
    assert [room for room in rooms if room not in face] == [], "rooms that the map leaves out"
    for call, room in lines:
        assert (PACKAGE / wing / room).is_file(), f"{wing} has no {room}"
        target = functools.reduce(getattr, call.split("."), getattr(ftkit, wing))
        home = getattr(target, "__module__", f"ftkit.{wing}.{room[:-3]}")
        assert home.split(".")[0] != "ftkit" or home == f"ftkit.{wing}.{room[:-3]}", (call, home)


def test_a_line_of_a_map_is_read_right():
    lines = "    a.read(x, …)   words about it   a.py\n    b, c           more   two.py\n"
    face = f'"""Map.\n\n{lines}\nEnd."""'
    assert list(map_lines(face)) == [("a.read", "a.py"), ("b", "two.py")]


def test_comments_and_docstrings_are_not_code():
    source = '"""trust_remote_code"""\ndef f():\n    "torch.load("  # trust_remote_code\n'
    tree = ast.parse(source + "    return torch.load(1)")
    assert "trust_remote_code" not in code_of(tree)
    assert code_of(tree).count("torch.load(") == 1


def test_what_breaks_a_rule_is_seen():
    source = (
        "def a(): pass\ndef _b(): pass\nclass C:\n    'c'\n    def d(self):\n        def e(): pass"
    )
    assert undocumented(ast.parse(source)) == ["a", "d"]
    assert too_long(ast.parse("def f():\n" + "    x = 1\n" * 40)) == {"f": 41}
    assert prints(ast.parse("x = 1\nprint(x)")) == [2]
