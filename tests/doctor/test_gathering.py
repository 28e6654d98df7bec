"""What the doctor asks of a machine: planted metadata, folders and limits come back as values."""

import importlib.util
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from findings import plant
from packaging.version import Version

from ftkit.core import versions
from ftkit.doctor import gathering, judging

ALL_MEMORY = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_requirements_are_read_from_the_metadata(tmp_path, monkeypatch):
    wants = [
        "huggingface-hub<2.0,>=1.3",
        "no-such-thing>=1",
        'gone; python_version < "3"',
        'extra-thing==1; extra == "more"',
        "tqdm",
    ]
    plant(tmp_path, "transformers", "5.15.0", wants)
    plant(tmp_path, "huggingface_hub", "2.4.0")
    plant(tmp_path, "datasets", "5.2.0", ["huggingface-hub<3,>=1.31"])
    monkeypatch.syspath_prepend(tmp_path)
    asked = gathering.installed_requirements(["transformers", "datasets", "never-installed"])
    assert set(asked) == {"transformers", "datasets", "huggingface-hub", "no-such-thing", "tqdm"}
    assert set(asked["huggingface-hub"]) == {"transformers 5.15.0", "datasets 5.2.0"}
    assert asked["huggingface-hub"]["transformers 5.15.0"] == ">=1.3,<2.0"


@pytest.mark.parametrize(("step", "accepted"), [(-1, False), (0, True), (1, True)])
def test_torchao_is_judged_as_peft_judges_it(step, accepted, tmp_path, monkeypatch):
    from peft import import_utils

    minimum = Version(gathering.torchao_minimum())
    version = f"{minimum.major}.{minimum.minor + step}.0"
    plant(tmp_path, "torchao", version)
    (tmp_path / "torchao").mkdir()
    (tmp_path / "torchao" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    found = judging.check_torchao(versions.version_of("torchao"), str(minimum))
    assert found.ok == accepted
    if accepted:
        assert import_utils.is_torchao_available.__wrapped__()
        return
    with pytest.raises(ImportError, match=f"Found version {version}.* above {minimum}"):
        import_utils.is_torchao_available.__wrapped__()


@pytest.mark.parametrize(
    ("source", "minimum"),
    [
        ('    TORCHAO_MINIMUM_VERSION = packaging.version.parse("0.4.0")\n', "0.4.0"),
        ("TORCHAO = 1\n", None),
        (None, None),
    ],
)
def test_the_lowest_torchao_is_read_in_pefts_source(source, minimum, tmp_path, monkeypatch):
    if source is not None:
        (tmp_path / "import_utils.py").write_text(source)
    package = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: package)
    assert gathering.torchao_minimum() == minimum
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert gathering.torchao_minimum() is None


def test_a_default_dtype_of_bfloat16_is_a_request_for_it(monkeypatch):
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        assert gathering.bfloat16_requests() == ["torch.set_default_dtype(torch.bfloat16)"]
    finally:
        torch.set_default_dtype(before)
    assert gathering.bfloat16_requests() == []
    monkeypatch.setenv("FTKIT_DTYPE", "bfloat16")
    assert gathering.bfloat16_requests() == ["FTKIT_DTYPE=bfloat16"]


@pytest.mark.parametrize(
    ("proc", "limit", "free"),
    [
        ("MemTotal: 9 kB\nMemAvailable:   2000000 kB\n", None, 2_048_000_000),
        ("MemAvailable: 2000000 kB\n", "max\n", 2_048_000_000),
        ("MemAvailable: 2000000 kB\n", "1000000000\n", 1_000_000_000),
        (None, "1000", ALL_MEMORY),
        ("nothing known", None, ALL_MEMORY),
    ],
)
def test_memory_is_what_is_free_or_what_the_container_allows(proc, limit, free, tmp_path):
    for name, text in (("proc", proc), ("cgroup", limit)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert gathering.free_memory(tmp_path / "proc", tmp_path / "cgroup") == free


def test_memory_is_unknown_where_no_system_says_it(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert gathering.free_memory(tmp_path / "none") is None


def test_disk_is_asked_where_a_folder_would_be_made(tmp_path, monkeypatch):
    assert gathering.free_disk(tmp_path / "to" / "be" / "made") > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=0, free=0))
    assert gathering.free_disk(tmp_path) is None, "a file system without a size, such as /proc"


@pytest.mark.parametrize(
    ("text", "most"),
    [("max 100000", None), ("150000 100000", 2), ("10000 100000", 1), ("", None), (None, None)],
)
def test_cores_are_those_of_the_containers_quota(text, most, tmp_path):
    here = gathering.usable_cores(tmp_path / "none")
    assert 1 <= here <= os.cpu_count()
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    assert gathering.usable_cores(tmp_path / "cpu.max") == min(here, most or here)


def test_caches_are_where_the_libraries_look_for_them():
    import huggingface_hub
    import matplotlib

    here = gathering.cache_folders()
    assert here["Hugging Face home"][0] == Path(huggingface_hub.constants.HF_HOME)
    assert here["hub cache"][0] == Path(huggingface_hub.constants.HF_HUB_CACHE)
    assert here["matplotlib folder"][0] == Path(matplotlib.get_configdir())
    moved = gathering.cache_folders({"HF_HOME": "/a", "MPLCONFIGDIR": "/b", "TMPDIR": "/c"})
    assert [(str(folder), variable) for folder, variable in moved.values()] == [
        ("/a", "HF_HOME"), ("/a/hub", "HF_HOME"), ("/b", "MPLCONFIGDIR"), ("/c", "TMPDIR")
    ]  # fmt: skip
    own = gathering.cache_folders({"HF_HUB_CACHE": "/d"})
    assert own["hub cache"] == (Path("/d"), "HF_HUB_CACHE")


def test_a_place_that_cannot_be_written_has_a_reason_and_nothing_is_left_in_one_that_can(tmp_path):
    assert gathering.write_error(tmp_path / "new" / "hub") is None
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert gathering.write_error(tmp_path / "file" / "hub") == "Not a directory"
    assert gathering.write_error(Path("/proc/new")) is not None


def test_packages_without_compiled_files_are_named(tmp_path, monkeypatch):
    (tmp_path / "ftkit_planted.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    names = ["ftkit_planted", "json", "no_such_module"]
    assert gathering.uncompiled_packages(names) == ["ftkit_planted"]
