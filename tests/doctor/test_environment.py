"""The doctor of the environment: every clash is planted, found and given its cure, and a healthy
installation has none.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ftkit.core import versions
from ftkit.doctor import environment
from ftkit.doctor.finding import Finding, Findings

GB = 10**9


def plant(folder, name, version, requires=()):
    """An installed distribution, as far as metadata go, with an empty package."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    wants = "".join(f"Requires-Dist: {r}\n" for r in requires)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{wants}"
    )
    return folder


def verb(*words, **env):
    done = subprocess.run(
        [sys.executable, "-m", "ftkit", "doctor", *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | env,
    )
    assert "Traceback" not in done.stderr
    return done


def wrong(finding, *parts):
    """A finding that something is wrong, with these words in what it says and in its cure."""
    assert not finding.ok
    assert finding.cure
    assert [p for p in parts if p not in finding.detail] == []
    return True


def test_the_healthy_environment_here_is_all_ok():
    done = verb("--json")
    findings = json.loads(done.stdout)["findings"]
    assert [f for f in findings if not f["ok"]] == []
    assert done.returncode == 0
    assert all(f.keys() >= {"check", "ok", "detail"} and f["detail"] for f in findings)
    checks = [f["check"] for f in findings]
    assert len(set(checks)) == len(checks) == 20
    assert [c for c in checks if c.startswith("self-test")] == [
        f"self-test: {step}"
        for step in ("imports", "model", "answer", "training", "merging", "widget")
    ]


def test_a_hub_client_too_new_is_found_although_transformers_refuses_to_be_imported(tmp_path):
    plant(tmp_path, "huggingface_hub", "99.0")
    done = verb("--json", PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    assert done.returncode == 1
    bad = [f for f in json.loads(done.stdout)["findings"] if not f["ok"]]
    assert [f["check"] for f in bad] == ["requirements", "self-test: imports"]
    theirs = environment.asked(["transformers"])["huggingface-hub"]
    assert (
        f"transformers {versions.version_of('transformers')} takes huggingface-hub{theirs.popitem()[1]}"
        in bad[0]["detail"]
    )
    assert bad[0]["cure"].startswith('pip install "huggingface-hub>=')
    assert "huggingface-hub" in bad[1]["detail"], "the words of transformers itself"


def test_requirements_are_read_from_the_metadata(tmp_path, monkeypatch):
    wants = [
        "huggingface-hub<2.0,>=1.3",
        "no-such-thing>=1",
        'gone; python_version < "3"',
        'extra-thing==1; extra == "more"',
        "tqdm",
    ]
    plant(plant(tmp_path, "transformers", "5.15.0", wants), "huggingface_hub", "2.4.0")
    plant(tmp_path, "datasets", "5.2.0", ["huggingface-hub<3,>=1.31"])
    monkeypatch.syspath_prepend(tmp_path)
    asked = environment.asked(["transformers", "datasets", "never-installed"])
    assert set(asked) == {"transformers", "datasets", "huggingface-hub", "no-such-thing", "tqdm"}
    hub, missing = environment.requirements(asked)
    assert wrong(
        hub, "huggingface-hub is 2.4.0", "transformers 5.15.0 takes huggingface-hub<2.0,>=1.3"
    )
    assert "datasets" not in hub.said, "which takes it"
    assert hub.cure == 'pip install "huggingface-hub>=1.31,<2.0"'
    assert wrong(missing, "no-such-thing is not installed", 'pip install "no-such-thing>=1"')


def test_a_library_of_the_kit_that_is_missing_is_found():
    (found,) = environment.requirements({"trl": {}}, lambda name: None)
    assert wrong(found, "trl is not installed, and the kit needs it", 'pip install "trl"')
    (found,) = environment.requirements(
        {"trl": {"ftkit 0.1": SpecifierSet(">=1.16")}}, lambda name: "1.16.0"
    )
    assert found.ok


def test_the_tightest_range_lies_in_all():
    ranges = [SpecifierSet(r) for r in (">=1.2,<3", ">=1.10,!=1.11", "<2,>=0.5")]
    found = environment.tightest(ranges)
    assert found == ">=1.10,<2,!=1.11"
    for version in ("0.9", "1.2", "1.10", "1.11", "1.12", "2.0", "3.0"):
        assert (version in SpecifierSet(found)) == all(version in r for r in ranges)
    assert environment.tightest([]) == ""


@pytest.mark.parametrize(("step", "accepted"), [(-1, False), (0, True), (1, True)])
def test_torchao_is_judged_as_peft_judges_it(step, accepted, tmp_path, monkeypatch):
    from peft import import_utils

    minimum = Version(environment.torchao_minimum())
    version = f"{minimum.major}.{minimum.minor + step}.0"
    plant(tmp_path, "torchao", version)
    (tmp_path / "torchao").mkdir()
    (tmp_path / "torchao" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    found = environment.torchao(versions.version_of("torchao"), environment.torchao_minimum())
    assert found.ok == accepted
    if accepted:
        assert import_utils.is_torchao_available.__wrapped__()
        return
    assert wrong(found, version, str(minimum), "pip uninstall -y torchao")
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
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")),
    )
    assert environment.torchao_minimum() == minimum
    assert environment.torchao("0.1", minimum).ok == (minimum is None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert environment.torchao_minimum() is None


SEVEN, EIGHT = ">=1.0.0,<3", "~=3.0.15"  # what fits ipywidgets 7.7.1 and 8.1.9


@pytest.mark.parametrize(
    ("kernel", "front", "lab", "wanted", "colab", "cure"),
    [
        ("8.1.9", "3.0.17", "4.6.6", EIGHT, False, None),
        ("7.7.1", "1.1.4", "3.6", SEVEN, False, None),
        ("7.7.1", None, None, SEVEN, True, None),
        ("7.7.1", None, "4.0", SEVEN, True, None),
        ("8.1.9", None, None, EIGHT, False, None),
        ("8.1.9", "1.1.4", "4.6.6", EIGHT, False, 'pip install "jupyterlab_widgets~=3.0.15"'),
        ("8.1.9", None, "4.6.6", EIGHT, False, 'pip install "jupyterlab_widgets~=3.0.15"'),
        ("7.7.1", "3.0.17", "4.6.6", SEVEN, False, 'pip install "jupyterlab_widgets>=1.0.0,<3"'),
        (None, None, "4.6.6", "", False, 'pip install "ipywidgets>=8,<9"'),
    ],
)
def test_widgets_need_the_front_end_that_fits(kernel, front, lab, wanted, colab, cure):
    found = environment.widgets(kernel, front, lab, wanted, colab)
    assert found.ok == (cure is None)
    if cure:
        assert wrong(found, cure)


@pytest.mark.parametrize(
    ("kernel", "states", "front", "fits"),
    [("8.1.9", "~=3.0.15", "1.1.4", EIGHT), ("7.7.1", ">=1.0.0", "3.0.17", SEVEN)],
)
def test_a_front_end_that_does_not_fit_is_found_by_the_metadata(
    kernel, states, front, fits, tmp_path, monkeypatch
):
    plant(
        plant(tmp_path, "ipywidgets", kernel, [f"jupyterlab_widgets{states}"]),
        "jupyterlab_widgets",
        front,
    )
    monkeypatch.syspath_prepend(plant(tmp_path, "jupyterlab", "4.6.6"))
    found = next(f for f in environment.installation() if f.check == "widgets")
    assert wrong(found, f"ipywidgets {kernel}", front, f'pip install "jupyterlab_widgets{fits}"')
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    assert next(f for f in environment.installation() if f.check == "widgets").ok


def test_a_module_that_was_replaced_under_the_session_is_found(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "1.0.0")
    found = next(f for f in environment.installation() if f.check == "loaded modules")
    assert wrong(
        found,
        f"torch 1.0.0 is loaded and {versions.version_of('torch')} is installed",
        "restart the kernel",
    )
    monkeypatch.undo()
    assert next(f for f in environment.installation() if f.check == "loaded modules").ok


@pytest.mark.parametrize(
    ("loaded", "installed", "different"),
    [
        ("2.11.0+cu128", "2.11.0+cu128", False),
        ("2.11.0+cu128", "2.11.0", False),
        ("2.11.0+cpu", "2.11.0+cu128", True),
        ("2.11", "2.11.0", False),
        ("2.11.0", "2.13.0", True),
        ("2.11.0", None, True),
        ("unknown", "unknown", False),
        ("unknown", "1.0", True),
    ],
)
def test_versions_that_are_one_and_versions_that_are_not(loaded, installed, different):
    assert environment.differs(loaded, installed) == different


@pytest.mark.parametrize("capability", [(7, 5), (6, 1), (8, 0), (9, 0)])
def test_bfloat16_goes_by_the_capability_whatever_torch_calls_supported(capability, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    found = next(f for f in environment.machine() if f.check == "bfloat16")
    assert found.ok == (capability >= (8, 0))
    if not found.ok:
        assert wrong(
            found,
            "ACCELERATE_MIXED_PRECISION=bf16",
            ".".join(map(str, capability)),
            "fp16=True, bf16=False",
        )
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    quiet = next(f for f in environment.machine() if f.check == "bfloat16")
    assert quiet.ok
    assert ("fp16=True, bf16=False" in quiet.said) == (capability < (8, 0))


def test_a_default_dtype_of_bfloat16_is_a_wish_for_it():
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.bfloat16)
        assert environment.bfloat16_wanted() == ["torch.set_default_dtype(torch.bfloat16)"]
    finally:
        torch.set_default_dtype(before)
    assert environment.bfloat16_wanted() == []


def test_bitsandbytes_without_its_cuda_library_is_found_where_there_is_a_gpu(monkeypatch):
    from bitsandbytes import cextension

    if cextension.lib.compiled_with_cuda:
        pytest.skip(
            "bitsandbytes has its CUDA library here; the clash is planted where there is none"
        )
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    found = next(f for f in environment.machine() if f.check == "bitsandbytes")
    assert wrong(
        found,
        "CUDA 12.8",
        ", ".join(cextension.get_available_cuda_binary_versions()),
        "--force-reinstall --no-deps bitsandbytes",
    )
    monkeypatch.setattr(cextension, "lib", SimpleNamespace(compiled_with_cuda=True))
    assert next(f for f in environment.machine() if f.check == "bitsandbytes").ok
    assert environment.cuda_library(None, False, []).ok
    assert wrong(environment.cuda_library("14.0", False, []), "none")


@pytest.mark.parametrize(
    ("proc", "limit", "left"),
    [
        ("MemTotal: 9 kB\nMemAvailable:   2000000 kB\n", None, 2_048_000_000),
        ("MemAvailable: 2000000 kB\n", "max\n", 2_048_000_000),
        ("MemAvailable: 2000000 kB\n", "1000000000\n", 1_000_000_000),
        (None, "1000", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
        ("nothing known", None, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")),
    ],
)
def test_memory_is_what_is_left_or_what_the_container_allows(proc, limit, left, tmp_path):
    for name, text in (("proc", proc), ("cgroup", limit)):
        if text is not None:
            (tmp_path / name).write_text(text)
    assert environment.memory_left(tmp_path / "proc", tmp_path / "cgroup") == left


def test_memory_is_unknown_where_no_system_says_it(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sysconf")
    assert environment.memory_left(tmp_path / "none") is None
    assert environment.memory(None).ok
    assert "unknown" in environment.memory(None).said
    assert environment.memory(int(1.6 * GB)).ok
    assert wrong(
        environment.memory(GB), "≈1 GB are free and the kit wants ≈1.5 GB", "other kernels"
    )


def test_disk_is_judged_where_there_is_least(tmp_path, monkeypatch):
    assert environment.disk({"hub cache": 3 * GB, "temporary folder": 2 * GB, "other": None}).ok
    assert wrong(
        environment.disk({"hub cache": 3 * GB, "temporary folder": GB // 2}),
        "≈0.5 GB are free for the temporary folder",
        "≈1 GB",
    )
    assert "unknown" in environment.disk({"hub cache": None}).said
    assert environment.disk({"hub cache": None}).ok
    assert environment.free_bytes(tmp_path / "to" / "be" / "made") > 0
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(total=0, free=0))
    assert environment.free_bytes(tmp_path) is None, "a file system without a size, such as /proc"


@pytest.mark.parametrize(
    ("text", "most"),
    [("max 100000", None), ("150000 100000", 2), ("10000 100000", 1), ("", None), (None, None)],
)
def test_cores_are_those_of_the_containers_quota(text, most, tmp_path):
    here = environment.cores(tmp_path / "none")
    assert 1 <= here <= os.cpu_count()
    if text is not None:
        (tmp_path / "cpu.max").write_text(text)
    assert environment.cores(tmp_path / "cpu.max") == min(here, most or here)


def test_threads_above_the_cores_are_found():
    assert environment.threads(2, {"OMP_NUM_THREADS": "2"}, 2).ok
    assert environment.threads(2, {"OMP_NUM_THREADS": "many"}, None).ok
    assert wrong(
        environment.threads(2, {"OMP_NUM_THREADS": "8"}, 1),
        "OMP_NUM_THREADS is 8",
        "2 cores",
        "export OMP_NUM_THREADS=2",
    )
    assert wrong(
        environment.threads(1, {"MKL_NUM_THREADS": "4,2"}, 1), "MKL_NUM_THREADS is 4", "1 core,"
    )
    assert wrong(environment.threads(1, {}, 32), "torch uses 32 threads", "setup(threads=1)")


def test_caches_are_where_the_libraries_look_for_them():
    import huggingface_hub
    import matplotlib

    here = environment.caches()
    assert here["Hugging Face home"][0] == Path(huggingface_hub.constants.HF_HOME)
    assert here["hub cache"][0] == Path(huggingface_hub.constants.HF_HUB_CACHE)
    assert here["matplotlib folder"][0] == Path(matplotlib.get_configdir())
    moved = environment.caches({"HF_HOME": "/a", "MPLCONFIGDIR": "/b", "TMPDIR": "/c"})
    assert [(str(folder), variable) for folder, variable in moved.values()] == [
        ("/a", "HF_HOME"), ("/a/hub", "HF_HOME"), ("/b", "MPLCONFIGDIR"), ("/c", "TMPDIR")
    ]  # fmt: skip
    assert environment.caches({"HF_HUB_CACHE": "/d"})["hub cache"] == (Path("/d"), "HF_HUB_CACHE")


def test_a_place_that_cannot_be_written_is_found_and_nothing_is_left_in_one_that_can(tmp_path):
    assert environment.writable("hub cache", tmp_path / "new" / "hub", "HF_HOME").ok
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    found = environment.writable("hub cache", tmp_path / "file" / "hub", "HF_HOME")
    assert wrong(found, str(tmp_path / "file" / "hub"), 'export HF_HOME="$(mktemp -d)"')
    assert wrong(
        environment.writable("hub cache", Path("/proc/new"), "HF_HOME"), "can't be written"
    )


def test_compiled_files_count_where_python_may_not_write_them(tmp_path, monkeypatch):
    (tmp_path / "ftkit_planted.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert environment.uncompiled(["ftkit_planted", "json", "no_such_module"]) == ["ftkit_planted"]
    assert wrong(
        environment.bytecode(True, ["ftkit_planted"]),
        "PYTHONDONTWRITEBYTECODE",
        "ftkit_planted",
        "unset PYTHONDONTWRITEBYTECODE",
    )
    assert environment.bytecode(True, []).ok
    assert environment.bytecode(False, ["ftkit_planted"]).ok


def test_in_a_notebook_pip_is_a_magic_and_the_kernel_restarts(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp", raising=False)
    assert environment.pip("install x") == "pip install x"
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", SimpleNamespace())
    assert environment.pip("install x") == "%pip install x, then restart the kernel"


def test_the_table_shows_each_check_and_each_cure():
    found = Findings(
        "Here", [Finding("one", True, "fine"), Finding("two", False, "it is broken", "mend it")]
    )
    assert str(found).splitlines() == [
        "Here: 1 of 2 checks found something to mend",
        "check",
        "one    ok     fine",
        "two    WRONG  it is broken",
        "       →      mend it",
    ]
    assert found.json()["findings"][1] == {
        "check": "two",
        "ok": False,
        "detail": "it is broken: mend it",
        "cure": "mend it",
    }
    assert str(Findings("Here", found.findings[:1])).startswith("Here: all 1 checks are fine")
