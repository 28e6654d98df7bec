"""The environment of the test session and of all that it starts: no network, one thread, no bars.

It stands at the top so that it also holds for `pytest notebooks/…`.
"""

import gc
import importlib.util
import os
import sys
from pathlib import Path

import pytest

OFFLINE = Path(__file__).parent / "tests" / "offline"


def block_network() -> None:
    """Install the block in this process, and put it on PYTHONPATH for all children."""
    spec = importlib.util.spec_from_file_location(
        "ftkit_tests_offline", OFFLINE / "sitecustomize.py"
    )
    offline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(offline)
    offline.install()
    paths = [
        p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p and p != str(OFFLINE)
    ]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(OFFLINE), *paths])


def pytest_configure() -> None:
    """Before the first import of torch, which reads OMP_NUM_THREADS once."""
    block_network()
    os.environ.update(
        HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false", OMP_NUM_THREADS="1", FTKIT_PROGRESS="0"
    )
    os.environ.pop("MPLBACKEND", None)  # a kernel that finds one set shows no figures
    os.environ.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # without compiled files every kernel compiles transformers again
    sys.dont_write_bytecode = False


# What takes longest goes first, so that no process is left with it at the end.
SLOWEST = (
    "notebooks/",
    "tests/tools/test_another_model",
    "tests/test_",
    "tests/cli/",
    "tests/train/",
)


def pytest_collection_modifyitems(items):
    """A file's tests stay in one process, which makes its fixtures once; files go slowest first.

    Each notebook on another architecture has nothing in common with the next, so each goes alone.
    """
    root = Path(__file__).parent

    def file_of(item):
        return (
            item.path.relative_to(root).as_posix() if root in item.path.parents else item.path.name
        )

    def slowness(item):
        file = file_of(item)
        return next((i for i, head in enumerate(SLOWEST) if file.startswith(head)), len(SLOWEST))

    items.sort(key=slowness)
    for item in items:
        file = file_of(item)
        alone = file.startswith("tests/tools/test_another_model")
        item.add_marker(pytest.mark.xdist_group(item.nodeid if alone else file))


def pytest_collection_finish():
    """TRL collects garbage at each start: what is imported by now need not be searched again."""
    gc.collect()
    gc.freeze()
