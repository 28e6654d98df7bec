"""What pip would do on Colab, asked of pip itself; no test, because those have no network.

    python tests/colab_resolve.py                             exit code 1 where the plan fails, or
                                                              would replace what must stay
    python tests/colab_resolve.py --pins                      constraints for a real environment
                                                              like Colab's
    python tests/colab_resolve.py --refresh LIST --date DATE  write colab.json anew from a list of
                                                              name==version lines of Colab's

In an empty environment, stubs claim to be Colab's packages, at Colab's versions and with their own
requirements (colab.json); `pip install --dry-run` then resolves against the registry. Without a
registry it says so and exits 0.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Container
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ftkit import UserError
from ftkit.core import Table, colab

TABLE = Path(__file__).with_name("colab.json")
PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
# Besides the closure of what the kit needs: what else sits on torch, in the kernel, or pins
# something that trl could move.
BESIDES = (
    "gcsfs", "ipykernel", "ipython", "pandas", "scipy", "torchao", "torchaudio", "torchvision",
)  # fmt: skip
UPGRADED = ("trl", "peft", "transformers", "bitsandbytes")  # what people upgrade at once
# They bring a Jupyter server that nothing here can move, and their own clouds.
LEAVES = ("gcsfs", "widgetsnbextension")


def needs() -> list[str]:
    """The kit's requirements as pyproject.toml has them."""
    return tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]


def table() -> dict[str, dict]:
    """{name: {"version": …, "requires": […]}} of Colab's packages that matter here."""
    return json.loads(TABLE.read_text(encoding="utf-8"))["packages"]


def plan() -> colab.Plan:
    """The kit's plan for Colab as it is in the table."""
    return colab.plan({name: package["version"] for name, package in table().items()}, needs())


def metadata(name: str, version: str, requires: list[str]) -> str:
    """A distribution's METADATA file."""
    return "\n".join(
        [
            "Metadata-Version: 2.1",
            f"Name: {name}",
            f"Version: {version}",
            *(f"Requires-Dist: {r}" for r in requires),
            "",
        ]
    )


def write_stubs(folder: Path, packages: dict[str, dict]) -> None:
    """A dist-info folder for each package, with nothing to import.

    importlib and pip believe such metadata, and pip can remove it.
    """
    for name, package in packages.items():
        info = folder / f"{name.replace('-', '_')}-{package['version']}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(
            metadata(name, package["version"], package["requires"]), encoding="utf-8"
        )
        (info / "RECORD").write_text(
            f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n", encoding="utf-8"
        )


def fake_colab(folder: Path, *, with_pip: bool = False) -> Path:
    """The interpreter of an environment in `folder` that holds the stubs, and on wish pip."""
    venv.create(folder, with_pip=with_pip)
    python = folder / "bin" / "python"
    ask = "import sysconfig; print(sysconfig.get_path('purelib'))"
    command = [python, "-c", ask]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    write_stubs(Path(done.stdout.strip()), table())
    return python


def dry_run(arguments: list[str], python: str | Path = sys.executable) -> list[dict]:
    """The metadata of what `pip install …` would install for that interpreter.

    Raises UserError with pip's complaint.
    """
    command = [sys.executable, "-m", "pip", "--python", str(python), *arguments]
    command += ["--quiet", "--dry-run", "--report", "-"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError((done.stderr.strip() or "pip gave no reason").splitlines()[-1])
    return [item["metadata"] for item in json.loads(done.stdout)["install"]]


def judge(installs: list[dict]) -> tuple[list[str], list[str], list[str]]:
    """What would be added, what replaced, and which of those must stay as they are."""
    have = {name: package["version"] for name, package in table().items()}
    new = {canonicalize_name(m["name"]): m["version"] for m in installs}
    added = [f"{name} {version}" for name, version in sorted(new.items()) if name not in have]
    replaced = [
        f"{name} {have[name]} → {version}" for name, version in sorted(new.items()) if name in have
    ]
    return added, replaced, sorted(set(new) & set(have) & set(colab.KEEP))


def pins() -> list[str]:
    """Constraints for a real environment like Colab's."""
    # TRL wants a newer pyarrow; the other two follow the build of torch.
    free = {"pyarrow", "triton", "setuptools"}
    free |= {canonicalize_name(Requirement(need).name) for need in plan().install}
    return [
        f"{name}=={package['version'].split('+')[0]}"
        for name, package in table().items()
        if name not in free
    ]


def questions(folder: Path) -> dict[str, list[str]]:
    """What people write, and last what the kit's plan makes of it."""
    return {
        "pip install trl bitsandbytes": ["install", "trl", "bitsandbytes"],
        f"pip install -U {' '.join(UPGRADED)}": ["install", "-U", *UPGRADED],
        "pip install ftkit, with its dependencies": ["install", *needs()],
        "import ftkit": colab.install_arguments(plan(), folder),
    }


def main() -> int:
    """Ask the questions, show the answers; 0 when the kit's plan keeps what must stay."""
    with tempfile.TemporaryDirectory() as name:
        python = fake_colab(Path(name) / "venv")
        try:
            dry_run(["install", "--no-deps", "--retries", "1", "trl"], python)
        except UserError as error:
            print(f"SKIPPED, nothing was resolved: the registry cannot be reached ({error})")
            return 0
        rows, last = [], None
        for question, arguments in questions(Path(name)).items():
            try:
                added, replaced, last = judge(dry_run(arguments, python))
                rows += [
                    (question, "adds", ", ".join(added)),
                    ("", "replaces", ", ".join(replaced)),
                    ("", "forbidden", ", ".join(last)),
                ]
            except UserError as error:
                rows.append((question, "fails", last := str(error)))
    print(Table("What pip would do on Colab", ("command", "what", "packages"), rows))
    return int(bool(last))


def refresh(listing: Path, date: str) -> None:
    """Write colab.json: of the listed packages, the closure of what the kit needs.

    Each with its version in the list, and the requirements that the registry has for it.
    """
    versions = {}
    for line in listing.read_text(encoding="utf-8").splitlines():
        if "==" in line and line[0] != "#":
            name, version = line.strip().split("==")
            versions[canonicalize_name(name)] = version

    # What the kit needs, then what that needs, and so on, as far as the list goes.
    todo = {canonicalize_name(Requirement(need).name) for need in needs()} | set(BESIDES)
    packages: dict[str, dict] = {}
    while todo := (todo & versions.keys()) - packages.keys():
        exact = [f"{name}=={versions[name].split('+')[0]}" for name in sorted(todo)]
        for item in dry_run(["install", "--no-deps", "--ignore-installed", *exact]):
            name = canonicalize_name(item["name"])
            requires = applicable(item.get("requires_dist", []), versions)
            packages[name] = {"version": versions[name], "requires": requires}
            if name not in LEAVES:
                todo |= {canonicalize_name(Requirement(r).name) for r in requires}

    # Requirements of what was left out would never hold.
    for package in packages.values():
        package["requires"] = applicable(package["requires"], packages)
    source = "of the packages on a Colab GPU runtime, as its backend-info publishes them, "
    source += "those the kit's needs lead to"
    content = {"source": source, "date": date, "packages": dict(sorted(packages.items()))}
    TABLE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def applicable(requires: list[str], names: Container[str]) -> list[str]:
    """Those of a package's requirements that apply here and whose name is among `names`."""
    kept = []
    for need in map(Requirement, requires):
        applies = need.marker is None or need.marker.evaluate({"extra": ""})
        # The registry's torch is not Colab's build: it wants another CUDA.
        cuda = need.name.startswith(("nvidia", "cuda"))
        if applies and not cuda and canonicalize_name(need.name) in names:
            kept.append(str(need))
    return kept


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pins", action="store_true")
    parser.add_argument("--refresh", type=Path, metavar="LIST")
    parser.add_argument("--date")
    options = parser.parse_args()
    if options.pins:
        sys.exit(print("\n".join(pins())))
    sys.exit(refresh(options.refresh, options.date) if options.refresh else main())
