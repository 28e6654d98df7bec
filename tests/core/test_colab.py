"""Colab, emulated: its packages as stubs, and a plan that replaces none that must stay."""

import inspect
import os
import shutil
import subprocess
import sys
import types
import zipfile
from pathlib import Path

import lazy_loader
import packaging
import peft.import_utils
import pytest
from colab_resolve import fake_colab, judge, metadata, needs, pins, plan, table, write_stubs
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from ftkit import UserError
from ftkit.core import colab
from ftkit.tools import stamp

ROOT = Path(__file__).parents[2]
COLAB = {name: package["version"] for name, package in table().items()}
TRL_NEEDS = [
    "datasets>=4.7", "pyarrow>=21", "huggingface_hub>=0.34", "transformers>=4.56.2",
    "accelerate>=1.10.1",
]  # fmt: skip
# What a registry offers: what the plan asks for, releases that would drag a newer hub in, and newer
# ones of what must stay.
REGISTRY = {
    "trl": [("1.16.0", TRL_NEEDS)],
    "bitsandbytes": [("0.50.2", ["torch<3,>=2.4", "numpy>=1.17"])],
    "datasets": [
        ("5.2.0", ["huggingface_hub<3,>=1.31", "pyarrow>=24"]),
        ("5.0.1", ["huggingface_hub<2,>=0.25", "pyarrow>=21"]),
    ],
    "pyarrow": [("26.0.1", [])],
    "huggingface-hub": [("1.33.0", []), ("2.4.0", [])],
    "torch": [("2.13.0", [])],
    "numpy": [("2.4.6", [])],
    "transformers": [("5.24.0", ["huggingface_hub<3"])],
    "ipywidgets": [("8.1.9", [])],
}


# The plan


def test_the_plan_for_colab():
    todo = plan()
    assert {Requirement(r).name for r in todo.install} == {"bitsandbytes", "datasets", "trl"}
    assert todo.remove == ("torchao",)
    assert {
        f"{name}=={COLAB[name]}"
        for name in ("torch", "numpy", "transformers", "ipywidgets", "huggingface-hub")
    } <= set(todo.keep)


def test_what_the_plan_leaves_behind_needs_no_plan():
    after = COLAB | {"trl": "1.16.0", "bitsandbytes": "0.50.2", "datasets": "5.0.1"}
    del after["torchao"]
    assert not colab.plan(after, needs())


def test_a_torchao_that_peft_accepts_stays():
    assert colab.plan(COLAB | {"torchao": "0.16.0"}, needs()).remove == ()


def test_peft_refuses_what_the_plan_removes_and_nothing_else():
    (bound,) = SpecifierSet(colab.BROKEN["torchao"])
    assert (
        f'TORCHAO_MINIMUM_VERSION = packaging.version.parse("{bound.version}")'
        in inspect.getsource(peft.import_utils)
    )
    assert bound.operator == ">="


def test_extras_and_markers_of_other_pythons_are_not_needed():
    assert not colab.plan({}, ['lm-eval>=0.4; extra == "eval"', 'tomli; python_version < "3.11"'])


@pytest.mark.parametrize(
    ("name", "version"),
    [("transformers", "5.13.1"), ("transformers", "6.0.0"), ("torch", "2.10.0+cu128")],
)
def test_a_runtime_that_would_need_a_replacement_is_refused(name, version):
    brings = rf"brings {name} {version.replace('+', '.')} \(not .*"
    with pytest.raises(UserError, match=f"{brings}choose another runtime version under Runtime"):
        colab.plan(COLAB | {name: version}, needs())


def test_installed_reads_what_the_stubs_claim(tmp_path):
    write_stubs(tmp_path, table())
    assert colab.list_installed([str(tmp_path)]) == COLAB


def module(version):
    found = types.ModuleType("stub")
    found.__version__ = version
    return found


def test_only_what_changed_under_the_session_is_stale():
    loaded = {
        "torch": module("2.11.0"),
        "huggingface_hub": module("1.27.0"),
        "datasets": module("4.0.0"),
        "torchao": module("0.10.0"),
    }
    have = {
        "torch": "2.11.0+cu128",
        "huggingface-hub": "1.27.0",
        "datasets": "5.0.1",
        "pyarrow": "26.0.1",
    }
    assert colab.stale_modules(loaded, have) == [
        "datasets 4.0.0 (installed: 5.0.1)",
        "torchao 0.10.0 (installed: none)",
    ]


# The question to the registry


def test_what_pip_would_replace_is_judged():
    found = [
        {"name": n, "version": v}
        for n, v in (("trl", "1.16.0"), ("pyarrow", "26.0.1"), ("huggingface_hub", "2.4.0"))
    ]
    replaced = ["huggingface-hub 1.27.0 → 2.4.0", "pyarrow 18.1.0 → 26.0.1"]
    assert judge(found) == (["trl 1.16.0"], replaced, ["huggingface-hub"])


def test_the_pins_make_colabs_versions_but_for_what_the_kit_replaces():
    pinned = dict(line.split("==") for line in pins())
    assert (pinned["torch"], pinned["transformers"], pinned["ipywidgets"]) == (
        "2.11.0",
        "5.15.0",
        "7.7.1",
    )
    assert not {"datasets", "pyarrow", "trl"} & pinned.keys()


def test_without_a_registry_nothing_is_claimed():
    env = os.environ | {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": "",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]]),
    }
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "colab_resolve.py"],
        capture_output=True,
        text=True,
        env=env,
    )
    assert (done.returncode, done.stdout.split(":")[0]) == (0, "SKIPPED, nothing was resolved"), (
        done.stderr
    )


# A session


def write_wheel(folder, name, version, requires, package=None):
    """A wheel with the Python files of a package, or with metadata alone."""
    stem = f"{name.replace('-', '_')}-{version}"
    modules = sorted(package.rglob("*.py*")) if package else []
    files = {
        f"{name}/{module.relative_to(package)}": module.read_text(encoding="utf-8")
        for module in modules
        if module.suffix in (".py", ".pyi")
    }
    files[f"{stem}.dist-info/METADATA"] = metadata(name, version, requires)
    files[f"{stem}.dist-info/WHEEL"] = (
        "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    files[f"{stem}.dist-info/RECORD"] = "".join(
        f"{file},,\n" for file in [*files, f"{stem}.dist-info/RECORD"]
    )
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as wheel:
        for file, text in files.items():
            wheel.writestr(file, text)


COLAB_KERNEL = "import google.colab"
# IPython's shell, which takes the kit from the registry where a reader's takes it from the
# repository.
SHELL = """
import subprocess, sys, types
def system(command):
    print("fetching", file=sys.stderr)
    words = command.replace("git+" + ADDRESS, "ftkit").split()
    subprocess.run([sys.executable, "-m", *words], check=True)
get_ipython = lambda: types.SimpleNamespace(system=system)
"""


class Session:
    """An environment that answers like Colab's, with pip and a registry, in which code runs as in a
    first cell.
    """

    def __init__(self, folder):
        self.folder, self.site = folder, next((folder / "venv").glob("lib/python*/site-packages"))

    @classmethod
    def make(cls, folder):
        fake_colab(folder / "venv", with_pip=True)
        session = cls(folder)
        for library in (packaging, lazy_loader):  # Colab has these, and the kit imports them
            (session.site / library.__name__).symlink_to(Path(library.__file__).parent)
        (session.site / "google" / "colab").mkdir(parents=True)
        (session.site / "google" / "colab" / "__init__.py").touch()
        (folder / "registry").mkdir()
        for name, releases in REGISTRY.items():
            for version, requires in releases:
                write_wheel(folder / "registry", name, version, requires)
        write_wheel(folder / "registry", "ftkit", "0.1.0", needs(), ROOT / "ftkit")
        return session

    def run(self, *before):
        """The stamped lines and `import ftkit` in a new kernel, after the code `before`."""
        address = stamp.address()
        code = "\n".join(
            [f"ADDRESS = {address!r}", SHELL, *before, stamp.setup_lines(address), "import ftkit"]
        )
        env = os.environ | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.folder / "registry")}
        env["PYTHONPATH"] = str(ROOT / "tests" / "offline")
        command = [self.folder / "venv" / "bin" / "python", "-c", code]
        return subprocess.run(
            command, capture_output=True, text=True, env=env, cwd=self.folder, timeout=120
        )

    def installed(self):
        return {
            name: version
            for name, version in colab.list_installed([str(self.site)]).items()
            if name not in ("pip", "setuptools")
        }


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return Session.make(tmp_path_factory.mktemp("image")).folder


@pytest.fixture
def session(image, tmp_path):
    """A fresh session of the image."""
    return Session(Path(shutil.copytree(image, tmp_path / "session", symlinks=True)))


def sentence(done):
    """The last line of a traceback."""
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().splitlines()[-1]


def test_a_first_cell_on_colab_says_in_one_line_what_it_did_and_then_nothing_more(session):
    before = session.installed()
    first = session.run(COLAB_KERNEL)
    assert first.stdout == (
        "ftkit on Colab: added bitsandbytes 0.50.2, trl 1.16.0; "
        "replaced datasets 4.0.0 → 5.0.1, pyarrow 18.1.0 → 26.0.1; removed torchao 0.10.0; "
        "torch, numpy, transformers and ipywidgets are Colab's own.\n"
    ), first.stderr
    after = session.installed()
    assert {name for name in before if after.get(name) != before[name]} == {
        "datasets",
        "pyarrow",
        "torchao",
    }
    second = session.run(COLAB_KERNEL)
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert session.installed() == after


def test_elsewhere_the_first_cell_does_nothing(session):
    before = session.installed()
    done = session.run()
    assert sentence(done) == "ModuleNotFoundError: No module named 'ftkit'", (
        "nothing was fetched, so nothing is there"
    )
    assert (done.stdout, "fetching" in done.stderr) == ("", False)
    assert session.installed() == before


def test_what_pip_cannot_do_is_one_sentence_and_changes_nothing(session):
    next((session.folder / "registry").glob("datasets-5.0.1*")).unlink()
    before = session.installed()
    said = sentence(session.run(COLAB_KERNEL))
    assert said.startswith(
        "ftkit.core.errors.UserError: pip install failed on this Colab ("
    ) and said.endswith("Change runtime type.")
    assert session.installed() == before | {"ftkit": "0.1.0"}


def test_a_session_that_holds_an_older_pyarrow_is_told_to_restart(session):
    loaded = "import types; sys.modules['pyarrow'] = types.SimpleNamespace(__version__='18.1.0')"
    done = session.run(COLAB_KERNEL, loaded)
    assert done.stdout.startswith("ftkit on Colab: added")
    restart = (
        "ftkit.core.errors.UserError: this session still holds pyarrow 18.1.0 (installed: 26.0.1); "
        "choose Runtime → Restart session and run the cell again."
    )
    assert sentence(done) == restart
    again = session.run(COLAB_KERNEL, loaded)
    assert sentence(again) == restart, "running it again does not help"
    assert session.run(COLAB_KERNEL).returncode == 0, "restarting does"


def test_a_folder_that_is_not_installed_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(UserError, match="as a folder and not installed"):
        colab.prepare()
