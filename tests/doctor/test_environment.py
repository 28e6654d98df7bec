"""The environment looked over: planted clashes are found, and a healthy installation has none."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from findings import is_wrong, plant

from ftkit.core import versions
from ftkit.doctor import environment, gathering

STEPS = ("imports", "model", "answer", "training", "merging", "widget")


def doctor(**env):
    """`python -m ftkit doctor --json` in this environment and with more variables."""
    done = subprocess.run(
        [sys.executable, "-m", "ftkit", "doctor", "--json"],
        capture_output=True,
        text=True,
        env=os.environ | env,
    )
    assert "Traceback" not in done.stderr
    return done


def check_of(findings, check):
    """The one finding of a check."""
    (found,) = [finding for finding in findings if finding.check == check]
    return found


def test_the_healthy_environment_here_is_all_ok():
    done = doctor()
    findings = json.loads(done.stdout)["findings"]
    assert [f for f in findings if not f["ok"]] == []
    assert done.returncode == 0
    assert all(f.keys() == {"check", "ok", "detail", "cure"} and f["detail"] for f in findings)
    checks = [f["check"] for f in findings]
    assert len(set(checks)) == len(checks) == 21
    assert checks[-6:] == [f"self-test: {step}" for step in STEPS]


def test_a_hub_client_too_new_is_found_although_transformers_refuses_to_be_imported(tmp_path):
    plant(tmp_path, "huggingface_hub", "99.0")
    done = doctor(PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]]))
    assert done.returncode == 1
    bad = [f for f in json.loads(done.stdout)["findings"] if not f["ok"]]
    assert [f["check"] for f in bad] == ["requirements", "self-test: imports"]
    (range_,) = gathering.installed_requirements(["transformers"])["huggingface-hub"].values()
    who = f"transformers {versions.version_of('transformers')}"
    assert f"{who} takes huggingface-hub{range_}" in bad[0]["detail"]
    assert bad[0]["cure"].startswith('pip install "huggingface-hub>=')
    assert "huggingface-hub" in bad[1]["detail"], "the words of transformers itself"


@pytest.mark.parametrize(
    ("kernel", "states", "front", "fits"),
    [("8.1.9", "~=3.0.15", "1.1.4", "~=3.0.15"), ("7.7.1", ">=1.0.0", "3.0.17", ">=1.0.0,<3")],
)
def test_a_front_end_that_does_not_fit_is_found_by_the_metadata(
    kernel, states, front, fits, tmp_path, monkeypatch
):
    plant(tmp_path, "ipywidgets", kernel, [f"jupyterlab_widgets{states}"])
    plant(tmp_path, "jupyterlab_widgets", front)
    plant(tmp_path, "jupyterlab", "4.6.6")
    monkeypatch.syspath_prepend(tmp_path)
    found = check_of(environment.examine_installation(), "widgets")
    assert is_wrong(found, f"ipywidgets {kernel}", front, f'pip install "jupyterlab_widgets{fits}"')
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    assert check_of(environment.examine_installation(), "widgets").ok


def test_a_module_that_was_replaced_under_the_session_is_found(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "1.0.0")
    found = check_of(environment.examine_installation(), "loaded modules")
    here = f"torch 1.0.0 is loaded and {versions.version_of('torch')} is installed"
    assert is_wrong(found, here, "restart the kernel")
    monkeypatch.undo()
    assert check_of(environment.examine_installation(), "loaded modules").ok


@pytest.mark.parametrize("capability", [(7, 5), (6, 1), (8, 0), (9, 0)])
def test_bfloat16_goes_by_the_capability_whatever_torch_calls_supported(capability, monkeypatch):
    native = capability >= (8, 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    asked = check_of(environment.examine_machine(), "bfloat16")
    number = ".".join(map(str, capability))
    words = ("ACCELERATE_MIXED_PRECISION=bf16", number, "fp16=True, bf16=False")
    assert asked.ok if native else is_wrong(asked, *words)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "fp16")
    not_asked = check_of(environment.examine_machine(), "bfloat16")
    assert not_asked.ok
    assert ("fp16=True, bf16=False" in not_asked.message) == (not native)


def test_bitsandbytes_without_its_cuda_library_is_found_where_there_is_a_gpu(monkeypatch):
    from bitsandbytes import cextension

    if cextension.lib.compiled_with_cuda:
        pytest.skip("bitsandbytes has its CUDA library; the clash is planted where there is none")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    found = check_of(environment.examine_machine(), "bitsandbytes")
    shipped = ", ".join(cextension.get_available_cuda_binary_versions())
    assert is_wrong(found, "CUDA 12.8", shipped, "--force-reinstall --no-deps bitsandbytes")
    monkeypatch.setattr(cextension, "lib", SimpleNamespace(compiled_with_cuda=True))
    assert check_of(environment.examine_machine(), "bitsandbytes").ok


def test_the_environment_is_looked_over_without_what_may_be_broken():
    code = (
        "import sys; from ftkit import doctor; doctor.examine; "
        "print([m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
