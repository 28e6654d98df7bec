"""What the doctor makes of values: every clash is found and given its cure, and no other is."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from findings import is_wrong
from packaging.specifiers import SpecifierSet

from ftkit.doctor import judging

GB = 10**9
SEVEN, EIGHT = ">=1.0.0,<3", "~=3.0.15"  # what fits ipywidgets 7.7.1 and 8.1.9


def test_a_distribution_that_is_missing_or_not_taken_is_found():
    takes = {name: SpecifierSet(r) for name, r in (("a 1", "<2.0,>=1.3"), ("b 2", "<3,>=1.31"))}
    here = {"hub": "2.4.0", "lone": None, "fits": "1.0"}
    wanted = {"hub": takes, "lone": {"a 1": SpecifierSet(">=1")}, "fits": {"a 1": SpecifierSet()}}
    hub, missing = judging.check_requirements(wanted, here.get)
    assert is_wrong(hub, "hub is 2.4.0, and a 1 takes hub<2.0,>=1.3")
    assert "b 2" not in hub.message, "which takes it"
    assert hub.cure == 'pip install "hub>=1.31,<2.0"'
    assert is_wrong(missing, "lone is not installed", 'pip install "lone>=1"')


def test_a_library_of_the_kit_that_is_missing_is_found():
    (found,) = judging.check_requirements({"trl": {}}, lambda name: None)
    assert is_wrong(found, "trl is not installed, and the kit needs it", 'pip install "trl"')
    asks = {"trl": {"ftkit 0.1": SpecifierSet(">=1.16")}}
    (found,) = judging.check_requirements(asks, lambda name: "1.16.0")
    assert found.ok


def test_the_narrowest_range_lies_in_all():
    ranges = [SpecifierSet(r) for r in (">=1.2,<3", ">=1.10,!=1.11", "<2,>=0.5")]
    found = judging.narrowest_range(ranges)
    assert found == ">=1.10,<2,!=1.11"
    for version in ("0.9", "1.2", "1.10", "1.11", "1.12", "2.0", "3.0"):
        assert (version in SpecifierSet(found)) == all(version in r for r in ranges)
    assert judging.narrowest_range([]) == ""


@pytest.mark.parametrize(
    ("here", "minimum", "ok"),
    [
        (None, "0.16.0", True),
        ("0.1", None, True),
        ("0.16.0", "0.16.0", True),
        ("0.9", "0.16", False),
    ],
)
def test_a_torchao_that_is_too_old_for_peft_is_found(here, minimum, ok):
    found = judging.check_torchao(here, minimum)
    assert found.ok if ok else is_wrong(found, "0.9", "0.16", "pip uninstall -y torchao")


@pytest.mark.parametrize(
    ("kernel", "stated", "fits"),
    [("8.1.9", ["~=3.0.15"], EIGHT), ("7.7.1", [">=1.0.0"], SEVEN), (None, [], "")],
)
def test_the_front_end_of_ipywidgets_7_ends_below_3(kernel, stated, fits):
    assert judging.front_end_range(kernel, map(SpecifierSet, stated)) == fits


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
    found = judging.check_widgets(kernel, front, lab, wanted, colab=colab)
    assert found.ok == (cure is None)
    if cure:
        assert is_wrong(found, cure)


def test_a_module_that_was_replaced_under_the_session_is_found():
    found = judging.check_loaded_modules({"a": "1.0", "b": "2"}, {"a": "1.1", "b": "2.0"})
    assert is_wrong(found, "a 1.0 is loaded and 1.1 is installed", "restart the kernel")
    assert "b 2" not in found.message
    gone = judging.check_loaded_modules({"a": "1.0"}, {"a": None})
    assert is_wrong(gone, "a 1.0 is loaded and none is installed")
    assert "the 1 imported" in judging.check_loaded_modules({"b": "2"}, {"b": "2.0"}).message
    assert "nothing is imported" in judging.check_loaded_modules({}, {}).message


def test_memory_below_what_a_run_takes_is_found():
    assert judging.check_memory(None).ok
    assert "unknown" in judging.check_memory(None).message
    assert judging.check_memory(int(1.6 * GB)).ok
    little = judging.check_memory(GB)
    assert is_wrong(little, "≈1 GB are free and the kit wants ≈1.5 GB", "other kernels")


def test_disk_is_judged_where_there_is_least():
    assert judging.check_disk({"hub cache": 3 * GB, "temporary": 2 * GB, "other": None}).ok
    little = judging.check_disk({"hub cache": 3 * GB, "temporary folder": GB // 2})
    assert is_wrong(little, "≈0.5 GB are free for the temporary folder", "≈1 GB")
    unknown = judging.check_disk({"hub cache": None})
    assert unknown.ok
    assert "unknown" in unknown.message


def test_threads_above_the_cores_are_found():
    assert judging.check_threads(2, {"OMP_NUM_THREADS": "2"}, 2).ok
    assert judging.check_threads(2, {"OMP_NUM_THREADS": "many"}, None).ok
    over = judging.check_threads(2, {"OMP_NUM_THREADS": "8"}, 1)
    assert is_wrong(over, "OMP_NUM_THREADS is 8", "2 cores", "export OMP_NUM_THREADS=2")
    nested = judging.check_threads(1, {"MKL_NUM_THREADS": "4,2"}, 1)
    assert is_wrong(nested, "MKL_NUM_THREADS is 4", "1 core,")
    torch_alone = judging.check_threads(1, {}, 32)
    assert is_wrong(torch_alone, "torch uses 32 threads", "setup(threads=1)")


def test_asserts_that_are_left_out_are_found():
    assert judging.check_asserts(off=False).ok
    found = judging.check_asserts(off=True)
    assert is_wrong(found, "without a word", "unset PYTHONOPTIMIZE")


def test_a_place_that_cannot_be_written_is_found():
    assert judging.check_writable("hub cache", Path("/x"), "HF_HOME", None).ok
    found = judging.check_writable("hub cache", Path("/x/hub"), "HF_HOME", "Read-only file system")
    assert is_wrong(found, "/x/hub can't be written (Read-only file system)")
    assert found.cure.startswith('export HF_HOME="$(mktemp -d)"')


def test_a_cuda_library_that_is_not_loaded_is_found():
    assert judging.check_cuda_library(None, [], loaded=False).ok
    assert judging.check_cuda_library("12.8", ["12.8"], loaded=True).ok
    missing = judging.check_cuda_library("14.0", ["12.8", "13.0"], loaded=False)
    assert is_wrong(missing, "CUDA 14.0", "12.8, 13.0", "--force-reinstall --no-deps bitsandbytes")
    assert is_wrong(judging.check_cuda_library("14.0", [], loaded=False), "shipped with none")


def test_compiled_files_count_where_python_may_not_write_them():
    found = judging.check_compiled(["planted"], off=True)
    assert is_wrong(found, "planted", "unset PYTHONDONTWRITEBYTECODE")
    assert judging.check_compiled([], off=True).ok
    assert judging.check_compiled(["planted"], off=False).ok


def test_in_a_notebook_pip_is_a_magic_and_the_kernel_restarts(monkeypatch):
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp", raising=False)
    assert judging.pip("install x") == "pip install x"
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", SimpleNamespace())
    assert judging.pip("install x") == "%pip install x, then restart the kernel"
