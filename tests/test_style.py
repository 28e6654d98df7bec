"""The house is kept: imports go one way, each library has one door, nothing unsafe, everything
documented and short.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ftkit"
FILES = sorted(PACKAGE.rglob("*.py"))

# A module may import what stands left of it.
ORDER = """
    runtime checkpoint world everyday data architecture models quant spectrum layers lora count
    ledger memory room tape trace measure trainer train experiment prefer evaluate forgetting harness verdict judge merge adapters export
    registry checkup selftest
""".split()
WORLD = "lexicon entities turns corpus skills tasks plan batches card pretrain".split()
# Leaves: anyone may import them; what they may import themselves.
LEAVES = {
    "record": set(),
    "carryover": set(),
    "exercise": set(),
    "drawing": {"record"},
    "panel": {"drawing"},
    "plots": {"record", "drawing"},
    "explore": {"record", "drawing", "panel"},
    "explore_quant": {"record", "drawing", "panel", "explore"},
    "explore_memory": {"record", "drawing", "panel"},
    "explore_merge": {"record", "drawing", "panel", "explore"},
    "explore_train": {"record", "drawing", "panel", "explore"},
    "explore_plane": {"record", "drawing", "explore"},
}
# Small calculators and checks, each on its own: they may import the order, and only the entries
# import them.
CHECKS = {"decide", "cost", "claims", "doctor", "guides", "colab"}
# Entries may import anything; nothing imports them but entries.
ENTRIES = {
    "__init__",
    "__main__",
    "tour",
    "grids",
    "bench",
    "notebooks",
    "stamp",
    "playground",
    "overfit",
}
# The package's own names besides its modules, which `from ftkit import …` may give.
NAMES = {"setup", "Environment", "UserError", "__version__"}
# Modules that also are entry points, and what they may import besides.
BESIDES = {
    "world.pretrain": {"forgetting"},
    "world.card": {"models", "forgetting"},
    "explore": {"playground"},
}

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "bitsandbytes",
    "matplotlib",
    "ipywidgets",
    "nbclient",
)


def module_of(path):
    """ "world.corpus" for ftkit/world/corpus.py, "world" for ftkit/world/__init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if len(parts) > 1 and parts[-1] == "__init__" else parts)


def allowed(module):
    """The top-level modules that `module` may import; None for any. A module without a place is an
    error.
    """
    top, _, inside = module.partition(".")
    everywhere = set(LEAVES)
    assert top != "world" or not inside or inside in WORLD, (
        f"ftkit/world/{inside}.py: give it a place in the order (WORLD)"
    )
    if top in ENTRIES:
        return None
    if top in LEAVES:
        return LEAVES[top] | BESIDES.get(module, set())
    if top in CHECKS:
        return everywhere | set(ORDER)
    if top in ORDER:
        return everywhere | set(ORDER[: ORDER.index(top)]) | BESIDES.get(module, set())
    raise AssertionError(
        f"ftkit/{module}.py: give it a place in the order (ORDER, LEAVES, CHECKS or ENTRIES in {__file__})"
    )


def own_imports(tree, path):
    """The modules of ours that a file imports, relative to ftkit: {"record", "world.corpus"};
    `ftkit` itself is "__init__".
    """
    package = ["ftkit", *path.relative_to(PACKAGE).parent.parts]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == "ftkit":
                yield "__init__"
            elif name.startswith("ftkit."):
                yield "__init__" if name.split(".")[1] in NAMES else name.removeprefix("ftkit.")


def violations(source, path):
    """What a file imports against the order."""
    module = module_of(path)
    top, _, inside = module.partition(".")
    permitted = allowed(module)
    for target in own_imports(ast.parse(source), path):
        first, _, rest = target.partition(".")
        if top == first == "world":
            earlier = WORLD[: WORLD.index(inside)] if inside else []
            if rest.split(".")[0] not in earlier:
                yield f"{module} imports {target}"
        elif permitted is not None and first not in permitted:
            yield f"{module} imports {target}"


def code_of(tree):
    """A file's code without comments and docstrings."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and ast.get_docstring(node) is not None
        ):
            node.body[0] = ast.Pass()
    return ast.unparse(tree)


def libraries(tree):
    """The top-level names of everything imported absolutely."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.split(".")[0]


def functions(tree):
    return [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def undocumented(tree):
    """Public functions and classes of a module, and public methods of its public classes, that have
    no docstring.
    """
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    public = [
        node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")
    ]
    for node in list(public):
        if isinstance(node, ast.ClassDef):
            public += [m for m in node.body if isinstance(m, kinds) and not m.name.startswith("_")]
    return [node.name for node in public if ast.get_docstring(node) is None]


@pytest.fixture(params=FILES, ids=module_of)
def path(request):
    return request.param


@pytest.fixture
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def test_imports_go_one_way(path):
    assert list(violations(path.read_text(encoding="utf-8"), path)) == []


def test_each_library_has_one_door(path, tree):
    doors = {"peft": {"lora"}, "trl": {"trainer", "prefer"}, "lm_eval": {"harness"}}
    for library in set(libraries(tree)) & set(doors):
        assert module_of(path) in doors[library], (
            f"{library} is imported by {' and '.join(doors[library])} only"
        )
    if "BitsAndBytesConfig" in code_of(tree):
        assert module_of(path) == "models", "only models.py configures bitsandbytes"


def test_nothing_unsafe(tree):
    code = code_of(tree)
    assert [word for word in ("torch.load(", "trust_remote_code") if word in code] == []
    assert not {"pickle", "dill", "cloudpickle", "joblib"} & set(libraries(tree))


def test_everything_public_is_documented(tree):
    assert ast.get_docstring(tree), "the module has no docstring"
    assert undocumented(tree) == []


def test_functions_are_short(tree):
    long = {f.name: f.end_lineno - f.lineno + 1 for f in functions(tree)}
    assert {name: lines for name, lines in long.items() if lines > 60} == {}


def test_importing_the_package_is_light():
    code = f"import sys, ftkit; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout == "[]\n"


def test_explorers_bring_the_playground_only_when_it_is_named():
    code = "import sys; from ftkit import explore; print('ftkit.playground' in sys.modules, callable(explore.playground))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert done.stdout == "False True\n"


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("lora.py", "from .train import sft", ["lora imports train.sft"]),
        ("lora.py", "from . import models, runtime", []),
        ("lora.py", "def f():\n    from . import evaluate", ["lora imports evaluate"]),
        ("models.py", "import ftkit.merge", ["models imports merge"]),
        ("models.py", "from ftkit import setup", ["models imports __init__"]),
        ("models.py", "import torch, json\nfrom .record import Record", []),
        ("record.py", "from . import runtime", ["record imports runtime"]),
        ("plots.py", "from .record import about", []),
        ("plots.py", "from . import evaluate", ["plots imports evaluate"]),
        ("tour.py", "from . import merge, notebooks", []),
        ("merge.py", "from . import tour", ["merge imports tour"]),
        ("cost.py", "from . import memory, claims", ["cost imports claims"]),
        ("world/entities.py", "from . import lexicon", []),
        (
            "world/entities.py",
            "from .corpus import text",
            ["world.entities imports world.corpus.text"],
        ),
        ("world/skills.py", "from .. import evaluate", ["world.skills imports evaluate"]),
        (
            "world/pretrain.py",
            "from .. import evaluate\nfrom ..forgetting import skills",
            ["world.pretrain imports evaluate"],
        ),
        ("forgetting.py", "from .world import skills\nfrom .world.entities import World", []),
    ],
)
def test_the_order_is_read_right(file, source, found):
    assert list(violations(source, PACKAGE / file)) == found


@pytest.mark.parametrize("file", ["helpers.py", "world/more.py", "other/x.py"])
def test_a_new_module_needs_a_place(file):
    with pytest.raises(AssertionError, match="give it a place in the order"):
        list(violations("", PACKAGE / file))


def test_comments_and_docstrings_are_not_code():
    tree = ast.parse(
        '"""trust_remote_code"""\ndef f():\n    "torch.load("  # trust_remote_code\n    return torch.load(1)'
    )
    assert "trust_remote_code" not in code_of(tree)
    assert code_of(tree).count("torch.load(") == 1


def test_missing_docstrings_are_seen():
    source = "def a(): pass\ndef _b(): pass\nclass C:\n    'c'\n    def d(self):\n        def e(): pass\n    def _f(self): pass"
    assert undocumented(ast.parse(source)) == ["a", "d"]
