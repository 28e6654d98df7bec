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
    os.environ["FTKIT_JOURNAL"] = "0"  # a reader's answers from before change no test
    os.environ.pop("MPLBACKEND", None)  # a kernel that finds one set shows no figures
    os.environ.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # without compiled files every kernel compiles transformers again
    sys.dont_write_bytecode = False


# What takes longest goes first, so that no process is left with it at the end.
SLOWEST = (
    "tests/tools/test_another_model",
    "tests/train/test_run_folder",
    "tests/cli/test_runs",
    "notebooks/",
    "tests/memory/test_fake_step",
    "tests/test_",
    "tests/forgetting/test_harness",
)


def pytest_collection_modifyitems(items):
    """A file's tests stay together in one process, as a notebook's cells must; slow files first.

    Those that are marked `weekly` are skipped with that reason, unless FTKIT_WEEKLY is 1.
    """
    root = Path(__file__).parent
    if os.environ.get("FTKIT_WEEKLY") != "1":
        for item in items:
            if item.get_closest_marker("weekly"):
                item.add_marker(pytest.mark.skip(reason="runs once a week: FTKIT_WEEKLY=1"))

    def slowness(item):
        file = item.path.relative_to(root).as_posix() if root in item.path.parents else ""
        return next((i for i, head in enumerate(SLOWEST) if file.startswith(head)), len(SLOWEST))

    items.sort(key=slowness)


def pytest_collection_finish():
    """TRL collects garbage at each start: what is imported by now need not be searched again."""
    gc.collect()
    gc.freeze()
