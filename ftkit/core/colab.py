"""Make a Colab session fit for the kit, and touch nothing that Colab has loaded.

    prepare()             what `import ftkit` calls; anywhere but on Colab it does nothing
    plan(have, needs)     what pip must do, as a pure function

Colab brings torch, transformers and hundreds more, lacks TRL and bitsandbytes, and has a torchao
that peft refuses. The first lines of a notebook (`tools.stamp`) fetch the kit alone, with
`pip install --no-deps`, if it is not there yet. They name no other package, so that a copy of a
notebook in somebody's Drive keeps working when Colab's image or the kit's bounds move; what else is
missing is added here. What is wrong with an installation elsewhere is for `doctor` to say.
"""

import importlib
import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from .errors import UserError
from .versions import loaded_versions, replaced_modules

# What a running kernel, Colab's front end or most of Colab's other packages rest on.
KEEP = (
    "torch", "torchvision", "torchaudio", "triton", "numpy", "pandas", "scipy", "matplotlib",
    "ipython", "ipykernel", "ipywidgets", "transformers", "tokenizers", "huggingface-hub",
    "safetensors", "peft", "accelerate",
)  # fmt: skip
# Optional packages that break others when they are older: peft raises at the sight of such a one.
BROKEN = {"torchao": ">=0.16.0"}
# Modules that stay as they are in a session, whatever pip writes to the disk.
LOADED = (
    "torch", "transformers", "datasets", "pyarrow", "peft", "accelerate", "huggingface_hub",
    "numpy", "pandas", "torchao",
)  # fmt: skip
OTHER = "choose another runtime version under Runtime → Change runtime type"


@dataclass(frozen=True)
class Plan:
    """What pip is asked to do.

    install: requirements; keep: constraints meanwhile; remove: distributions that break others.
    """

    install: tuple[str, ...]
    keep: tuple[str, ...]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        """False when nothing is left to do."""
        return bool(self.install or self.remove)


def list_installed(path: Iterable[str] | None = None) -> dict[str, str]:
    """{normalized name: version} of the distributions on `path`, by default this interpreter's."""
    importlib.invalidate_caches()
    places = sys.path if path is None else list(path)
    versions: dict[str, str] = {}
    for distribution in importlib.metadata.distributions(path=places):
        # Of two with one name, the first on the path is the one that is imported.
        if distribution.name:
            versions.setdefault(canonicalize_name(distribution.name), distribution.version)
    return versions


def plan(have: Mapping[str, str], needs: Iterable[str]) -> Plan:
    """What pip must do so that `needs` hold beside what is installed.

    have: {normalized name: version}; needs: requirement strings. Every package of KEEP that is
    installed becomes a constraint at its very version: pip either finds releases of the others that
    fit it or fails, and then nothing has changed. So no upper bound has to be guessed: a Colab that
    moves to hub 2 moves the plan. Raises UserError when a need can only be met by replacing a
    package of KEEP.
    """
    unmet: dict[str, Requirement] = {}
    for need in map(Requirement, needs):
        # Extras and needs of other Pythons are nobody's here.
        applies = need.marker is None or need.marker.evaluate({"extra": ""})
        name = canonicalize_name(need.name)
        if applies and not meets(have.get(name), need.specifier):
            unmet[name] = need

    # What Colab rests on may be missing, but not replaced.
    clashing = [name for name in unmet if name in KEEP and name in have]
    if clashing:
        clashes = [f"{name} {have[name]} (not {unmet[name].specifier})" for name in clashing]
        raise UserError(
            f"this Colab runtime brings {', '.join(clashes)}, "
            f"which ftkit would have to replace under your session; {OTHER}."
        )
    broken = [
        name
        for name, bound in BROKEN.items()
        if name in have and not meets(have[name], SpecifierSet(bound))
    ]
    pinned = [f"{name}=={have[name]}" for name in KEEP if name in have]
    return Plan(tuple(map(str, unmet.values())), tuple(pinned), tuple(broken))


def meets(version: str | None, bounds: SpecifierSet) -> bool:
    """Whether an installed version is within bounds; None, which is none, never is."""
    return version is not None and bounds.contains(version, prereleases=True)


def run_pip(*arguments: str) -> None:
    """Run pip in this interpreter's environment; raises UserError with its first complaint."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.splitlines() or ["no reason given"]
        complaint = next((line for line in lines if line.startswith("ERROR")), lines[0])
        raise UserError(
            f"pip {arguments[0]} failed on this Colab "
            f"({complaint.removeprefix('ERROR: ').rstrip('. ')}); {OTHER}."
        )


def install_arguments(todo: Plan, folder: Path) -> list[str]:
    """pip's arguments for what `todo` adds; the constraints are written into `folder`."""
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(todo.keep), encoding="utf-8")
    return ["install", "--constraint", str(constraints), *todo.install]


def carry_out(todo: Plan) -> None:
    """Let pip do it: first what may fail, so that a failure leaves all as it was."""
    if todo.install:
        with tempfile.TemporaryDirectory() as folder:
            run_pip(*install_arguments(todo, Path(folder)))
    if todo.remove:
        run_pip("uninstall", "--yes", *todo.remove)


def describe_changes(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What happened between two sets of installed distributions, in one line."""
    changes: dict[str, list[str]] = {"added": [], "replaced": [], "removed": []}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is None:
            changes["added"].append(f"{name} {new}")
        elif new is None:
            changes["removed"].append(f"{name} {old}")
        elif old != new:
            changes["replaced"].append(f"{name} {old} → {new}")
    parts = [f"{what} {', '.join(names)}" for what, names in changes.items() if names]
    colabs = "torch, numpy, transformers and ipywidgets are Colab's own"
    return f"ftkit on Colab: {'; '.join(parts)}; {colabs}."


def stale_modules(modules: Mapping[str, object], have: Mapping[str, str]) -> list[str]:
    """Which of a session's modules are not what is installed now.

    Each as "datasets 4.0.0 (installed: 4.8.5)". have: {normalized name: version}.
    """
    loaded = loaded_versions(LOADED, modules)
    installed = {name: have.get(canonicalize_name(name)) for name in loaded}
    return [
        f"{module.name} {module.loaded} (installed: {module.installed or 'none'})"
        for module in replaced_modules(loaded, installed)
    ]


def prepare() -> None:
    """On Colab: add what is missing, remove what is broken, and say so in one line.

    It says nothing where all is there, and does nothing elsewhere. `import ftkit` calls it before
    any wing, and so before torch or peft, can be imported: what this session has loaded is seen
    from inside alone, and a failing import is what stops "Run all". Raises UserError, one sentence,
    when pip fails, when the runtime does not fit, and when the session has already imported
    something that is another version on the disk: only a restart mends that.
    """
    if "google.colab" not in sys.modules:
        return
    try:
        needs = importlib.metadata.requires("ftkit") or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "ftkit is on this Colab as a folder and not installed; "
            "run %pip install --no-deps on that folder."
        ) from None

    # Let pip do what has to be done, and look whether it has.
    before = have = list_installed()
    if todo := plan(before, needs):
        carry_out(todo)
        have = list_installed()
        if left := plan(have, needs):
            raise UserError(
                f"pip ran, and still {', '.join(left.install + left.remove)} "
                f"is not as ftkit needs it; {OTHER}."
            )
        print(describe_changes(before, have))

    # What this session had imported before is what it will go on with.
    if old := stale_modules(sys.modules, have):
        raise UserError(
            f"this session still holds {', '.join(old)}; "
            "choose Runtime → Restart session and run the cell again."
        )
