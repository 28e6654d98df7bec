"""Make a Colab session fit for the kit, and touch nothing that Colab has loaded. Anywhere else this
module does nothing.

Colab brings torch, transformers and hundreds more, lacks TRL and bitsandbytes, and has a torchao
that peft refuses. The road there:

1. The first lines of a notebook (`stamp.setup_lines`) fetch the kit alone, `pip install --no-deps`,
if it is not there yet. They name
   no other package, so a copy of a notebook in somebody's Drive keeps working when Colab's image or our bounds move.
2. `import ftkit` calls `prepare`, before any stage, and so before torch or peft, can be imported.
It happens there because what this
   session has loaded is seen from inside alone, and because a failing import is what stops "Run all". `prepare` reads what is installed,
   plans (`plan`, a pure function), and lets pip add what is missing.

Nothing is replaced because every package of KEEP that is installed is a constraint at its very
version: pip either finds releases of the others that fit it or fails, and then nothing has changed.
No upper bound has to be guessed: a Colab that moves to hub 2 moves the plan.
"""

import importlib
import importlib.metadata
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import UserError

# What a running kernel, Colab's front end or most of Colab's other packages rest on.
KEEP = (
    "torch", "torchvision", "torchaudio", "triton", "numpy", "pandas", "scipy", "matplotlib", "ipython", "ipykernel", "ipywidgets",
    "transformers", "tokenizers", "huggingface-hub", "safetensors", "peft", "accelerate",
)  # fmt: skip
# Optional packages that break others when they are older than this: peft raises at the sight of
# such a torchao.
BROKEN = {"torchao": ">=0.16.0"}
# Modules that stay as they are in a session, whatever pip writes to the disk.
LOADED = (
    "torch",
    "transformers",
    "datasets",
    "pyarrow",
    "peft",
    "accelerate",
    "huggingface_hub",
    "numpy",
    "pandas",
    "torchao",
)
OTHER = "choose another runtime version under Runtime → Change runtime type"


@dataclass(frozen=True)
class Plan:
    """What pip is asked to do: requirements to install, constraints meanwhile, and distributions to
    remove.
    """

    install: tuple[str, ...]
    keep: tuple[str, ...]
    remove: tuple[str, ...]

    def __bool__(self) -> bool:
        """False when nothing is left to do."""
        return bool(self.install or self.remove)


def installed(path: Iterable[str] | None = None) -> dict[str, str]:
    """{normalized name: version} of the distributions on `path`, by default this interpreter's."""
    from packaging.utils import canonicalize_name

    importlib.invalidate_caches()
    found = importlib.metadata.distributions(**({} if path is None else {"path": list(path)}))
    pairs = [(canonicalize_name(d.name), d.version) for d in found if d.name]
    return dict(
        reversed(pairs)
    )  # of two with one name, the first on the path is the one that is imported


def plan(have: Mapping[str, str], needs: Iterable[str]) -> Plan:
    """What pip must do so that `needs` (requirement strings) hold beside the installed `have`
    ({normalized name: version}).

    Raises UserError when a need can only be met by replacing a package of KEEP.
    """
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name

    def holds(specifier: SpecifierSet, name: str) -> bool:
        return name in have and specifier.contains(have[name], prereleases=True)

    parsed = [Requirement(need) for need in needs]
    named = {
        canonicalize_name(r.name): r
        for r in parsed
        if r.marker is None or r.marker.evaluate({"extra": ""})
    }
    if clash := [
        f"{name} {have[name]} (not {r.specifier})"
        for name, r in named.items()
        if name in KEEP and not holds(r.specifier, name) and name in have
    ]:
        raise UserError(
            f"this Colab runtime brings {', '.join(clash)}, which ftkit would have to replace under your session; {OTHER}."
        )
    return Plan(
        tuple(str(r) for name, r in named.items() if not holds(r.specifier, name)),
        tuple(f"{name}=={have[name]}" for name in KEEP if name in have),
        tuple(
            name
            for name, bound in BROKEN.items()
            if name in have and not holds(SpecifierSet(bound), name)
        ),
    )


def pip(*arguments: str) -> None:
    """Run pip in this interpreter's environment; raises UserError with its first complaint."""
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (
            [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            or done.stderr.splitlines()
            or ["no reason given"]
        )
        raise UserError(
            f"pip {arguments[0]} failed on this Colab ({said[0].removeprefix('ERROR: ').rstrip('. ')}); {OTHER}."
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
            pip(*install_arguments(todo, Path(folder)))
    if todo.remove:
        pip("uninstall", "--yes", *todo.remove)


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What happened between two sets of installed distributions, in one line."""
    added = [f"{name} {after[name]}" for name in sorted(after.keys() - before.keys())]
    moved = [
        f"{name} {before[name]} → {after[name]}"
        for name in sorted(after.keys() & before.keys())
        if after[name] != before[name]
    ]
    gone = [f"{name} {before[name]}" for name in sorted(before.keys() - after.keys())]
    parts = [
        f"{what} {', '.join(names)}"
        for what, names in (("added", added), ("replaced", moved), ("removed", gone))
        if names
    ]
    return f"ftkit on Colab: {'; '.join(parts)}; torch, numpy, transformers and ipywidgets are Colab's own."


def stale(modules: Mapping[str, object], have: Mapping[str, str]) -> list[str]:
    """Which of the session's `modules` are not what is installed now, as "datasets 4.0.0
    (installed: 4.8.5)".
    """
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    versions = {
        name: str(modules[name].__version__)
        for name in LOADED
        if hasattr(modules.get(name), "__version__")
    }
    pairs = {
        name: (version, have.get(canonicalize_name(name))) for name, version in versions.items()
    }
    # without the local part, such as +cu128, which some modules leave out of __version__
    moved = {
        name: (was, now)
        for name, (was, now) in pairs.items()
        if now is None or Version(was).public != Version(now).public
    }
    return [f"{name} {was} (installed: {now or 'none'})" for name, (was, now) in moved.items()]


def prepare() -> None:
    """On Colab: add what is missing, remove what is broken, and say so in one line; nothing if all
    is there, nothing elsewhere.

    Raises UserError, one sentence, when pip fails, when the runtime does not fit, and when the
    session has already imported
    something that is another version on the disk: only a restart mends that.
    """
    if "google.colab" not in sys.modules:
        return
    try:
        needs = importlib.metadata.requires("ftkit") or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            "ftkit is on this Colab as a folder and not installed; run %pip install --no-deps on that folder."
        ) from None
    before = have = installed()
    if todo := plan(before, needs):
        carry_out(todo)
        have = installed()
        if left := plan(have, needs):
            raise UserError(
                f"pip ran, and still {', '.join(left.install + left.remove)} is not as ftkit needs it; {OTHER}."
            )
        print(changes(before, have))
    if old := stale(sys.modules, have):
        raise UserError(
            f"this session still holds {', '.join(old)}; choose Runtime → Restart session and run the cell again."
        )
