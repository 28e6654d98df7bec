"""The house is kept: wings in one order, no circles, one door per library, faces that are maps.

A new room costs no edit here, and a new wing one word in `ftkit.WINGS`. Each rule is tried on a
small house with that one fault planted.
"""

import ast
from pathlib import Path

import pytest

import ftkit

PACKAGE = Path(ftkit.__file__).parent
GROUND = ("core", "show")  # their rooms are imported straight; all other wings at their face
DOORS = {
    "peft": ("lora/by_peft", "methods/by_peft"),
    "trl": ("train/trainer", "prefer/by_trl"),
    "lm_eval": ("forgetting/harness",),
    "BitsAndBytesConfig": ("models/loading",),
}
DRAWS = ("core", "show")  # what an explorer imports besides its own wing: its views take numbers
FACE_LINES, ROOMS = 40, 10


def imports(file, wing):
    """(module, name) of everything that a file imports: ("ftkit.models", "load"), ("torch", "").

    A library that stands under `if TYPE_CHECKING` alone, for an annotation, is not imported.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    branches = (n for n in ast.walk(tree) if isinstance(n, ast.If))
    for_types = {
        node for n in branches if ast.unparse(n.test) == "TYPE_CHECKING" for node in ast.walk(n)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and node not in for_types:
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.level or node not in for_types):
            above = ["ftkit", wing][: 3 - node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from ((module, alias.name) for alias in node.names)


def handed_out(wing, whole=True):
    """The names that a wing's face hands out; without its whole rooms where `whole` is false."""
    stub = wing / "__init__.pyi"
    nodes = ast.parse(stub.read_text(encoding="utf-8")).body if stub.is_file() else []
    return {alias.name for node in nodes if node.module or whole for alias in node.names}


def room_faults(room, root, wings):
    """What one file imports against the rules, and the rooms of its own wing that it imports."""
    wing, own, found = room.parent.name, set(), []
    place = f"{wing}/{room.stem}"
    for module, name in imports(room, wing):
        head, *inside = module.split(".")
        for library in {head, name} & DOORS.keys():
            if place not in DOORS[library]:
                found.append(f"{place} opens a second door to {library}")
        if head != "ftkit":
            continue
        other, *rooms = inside or [name]
        if other == wing:
            own.add((rooms or [name])[0])
        elif other not in wings[: wings.index(wing)]:
            found.append(f"{place} imports {other}, which stands to its right")
        elif other not in GROUND and (rooms or (inside and name not in handed_out(root / other))):
            found.append(f"{place} passes the face of {other}: {'.'.join([*inside, name])}")
        if room.stem.endswith("explorer") and other not in (*DRAWS, wing):
            found.append(f"{place} is an explorer and imports {other}")
    return found, own


def circle_through(room, arrows, seen=()):
    """Whether the imports lead from a room back to itself."""
    return room in seen or any(
        circle_through(to, arrows, (*seen, room)) for to in arrows.get(room, ()) if room not in seen
    )


def faults(root, wings):
    """Every breach of the rules in the package `root`, whose wings stand in the order `wings`."""
    for wing in sorted(path.parent for path in root.glob("*/*.py") if path.stem == "__init__"):
        if wing.name not in wings:
            yield f"{wing.name} has no place in WINGS"
            continue
        rooms = {path.stem: path for path in wing.glob("*.py") if path.stem != "__init__"}
        face = (wing / "__init__.py").read_text(encoding="utf-8")
        if len(rooms) > ROOMS:
            yield f"{wing.name} has {len(rooms)} rooms"
        if (
            len(face.splitlines()) > FACE_LINES
            or "def " in face
            or not ast.get_docstring(ast.parse(face))
        ):
            yield f"{wing.name} has a face that is no map"
        if both := rooms.keys() & handed_out(wing, whole=False):
            yield f"{wing.name} has a room and a function named {both.pop()}"
        arrows = {}
        for name, room in sorted(rooms.items()):
            found, arrows[name] = room_faults(room, root, wings)
            yield from found
        if round_trips := [name for name in rooms if circle_through(name, arrows)]:
            yield f"{wing.name} has a circle through {round_trips[0]}"


def test_the_house_is_kept():
    assert list(faults(PACKAGE, ftkit.WINGS)) == []


FACE = '"""A map."""\n'
HOUSE = {
    "core/__init__.py": FACE,
    "core/errors.py": "",
    "models/__init__.py": FACE,
    "models/__init__.pyi": "from .loading import load as load\nfrom . import parts as parts",
    "models/loading.py": "from . import parts\nfrom ..core.errors import UserError\nimport torch",
    "models/parts.py": "",
    "train/__init__.py": FACE,
    "train/runs.py": "from .. import models\nfrom ..models import load, parts",
    "train/explorer.py": "from ..core import errors\nfrom . import runs",
    "prefer/__init__.py": FACE,
}


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("core/errors.py", "", None),
        ("core/errors.py", "from ..models import load", "core/errors imports models"),
        ("models/parts.py", "def f():\n    import ftkit.train", "models/parts imports train"),
        ("models/parts.py", "from .. import setup", "models/parts imports setup"),
        ("models/parts.py", "from .loading import load", "models has a circle through"),
        ("models/parts.py", "import peft.utils", "models/parts opens a second door to peft"),
        ("train/runs.py", "from trl import X", "train/runs opens a second door to trl"),
        ("prefer/by_trl.py", "from trl import X", None),
        ("prefer/tuning.py", "from trl import X", "prefer/tuning opens a second door to trl"),
        ("train/runs.py", "if TYPE_CHECKING:\n    from trl import X", None),
        ("core/errors.py", "if TYPE_CHECKING:\n    from ..train import X", "imports train"),
        ("train/runs.py", "from transformers import BitsAndBytesConfig", "a second door to Bits"),
        ("train/runs.py", "from ..models.loading import x", "passes the face of models"),
        ("train/runs.py", "from ..models import x", "passes the face of models"),
        ("train/explorer.py", "from .. import models", "is an explorer and imports models"),
        ("models/__init__.py", FACE + "# more\n" * 40, "models has a face that is no map"),
        ("models/__init__.py", "import lazy_loader", "models has a face that is no map"),
        ("models/load.py", "def load(): pass", "models has a room and a function named load"),
        ("other/__init__.py", FACE, "other has no place in WINGS"),
    ],
)  # fmt: skip
def test_every_rule_is_seen_to_be_broken(tmp_path, file, text, fault):
    for name, source in {**HOUSE, file: text}.items():
        tmp_path.joinpath(name).parent.mkdir(exist_ok=True)
        tmp_path.joinpath(name).write_text(source, encoding="utf-8")
    found = list(faults(tmp_path, ("core", "models", "train", "prefer")))
    assert len(found) == (fault is not None), found
    assert fault is None or fault in found[0]


def test_a_wing_has_ten_rooms_at_most(tmp_path):
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text(FACE)
    for n in range(ROOMS + 1):
        (tmp_path / "core" / f"room{n}.py").touch()
    assert list(faults(tmp_path, ("core",))) == ["core has 11 rooms"]
