"""Setup: it seeds, turns the dial, chooses device and dtype, and keeps the libraries quiet."""

import os
import random
import subprocess
import sys
import warnings

import pytest
import torch

from ftkit import UserError, setup
from ftkit.core import session
from ftkit.core.versions import PACKAGES


def test_setup_seeds_and_says_so(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    first = setup(seed=5)
    drawn = torch.rand(3).tolist(), random.random()
    setup(seed=5)
    assert (torch.rand(3).tolist(), random.random()) == drawn
    assert (first.seed, first.threads, first.device) == (5, 1, "cpu")
    assert list(first.versions) == list(PACKAGES)
    assert torch.get_num_threads() == 1


def test_setup_turns_the_dial_for_the_whole_process(monkeypatch):
    monkeypatch.setenv("FTKIT_MODEL", "pocket")
    env = setup(model="owner/name")
    assert env.model == os.environ["FTKIT_MODEL"] == "owner/name"
    assert "is tried on yours" in str(env)
    assert "is tried on yours" not in str(setup(model="pocket"))


@pytest.mark.parametrize(("flags", "told"), [((), False), (("-O",), True)])
def test_where_asserts_are_left_out_setup_says_so(flags, told):
    code = (
        "from ftkit.core import Environment\n"
        "print(Environment(0, 'pocket', 'cpu', 'float32', 1, '3.11'))"
    )
    run = [sys.executable, *flags, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert ("asserts  off, by python -O or PYTHONOPTIMIZE" in done.stdout) is told


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None, True])
def test_a_bad_seed_is_refused(seed):
    with pytest.raises(UserError, match=f"seed is {seed!r}; give a whole number from 0 on"):
        setup(seed=seed)


def test_the_dial_is_the_argument_then_the_environment_then_pocket(monkeypatch):
    monkeypatch.delenv("FTKIT_MODEL", raising=False)
    assert session.chosen_model() == "pocket"
    monkeypatch.setenv("FTKIT_MODEL", "hub")
    assert session.chosen_model() == session.HUB
    assert session.chosen_model("pocket") == "pocket"


@pytest.mark.parametrize(
    ("cuda", "capability", "model", "asked", "answer"),
    [
        (False, 0, "hub", "", ("cpu", "float32")),
        (True, 8, "hub", "", ("cuda", "bfloat16")),
        (True, 7, "hub", "", ("cuda", "float16")),
        (True, 9, "pocket", "", ("cuda", "float32")),
        (True, 7, "hub", "bfloat16", ("cuda", "bfloat16")),
    ],
)
def test_device_and_dtype(monkeypatch, cuda, capability, model, asked, answer):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (capability, 0))
    monkeypatch.setenv("FTKIT_MODEL", model)
    monkeypatch.setenv("FTKIT_DTYPE", asked)
    assert session.device_and_dtype() == answer


def test_a_dtype_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("FTKIT_DTYPE", "bfloat61")
    with pytest.raises(UserError, match=r"FTKIT_DTYPE is 'bfloat61'.*Did you mean 'bfloat16'"):
        session.device_and_dtype()


def test_future_warnings_are_silenced_for_the_whole_process_as_the_docstring_says():
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        session.quiet()
        warnings.warn("of any package", FutureWarning, stacklevel=1)
        warnings.warn("another kind", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["another kind"]
    for word in ("FutureWarning", "os.environ", "FTKIT_MODEL"):
        assert word in setup.__doc__


@pytest.mark.parametrize(
    ("stated", "terminal", "notebook", "wanted"),
    [
        (None, True, False, True),
        (None, False, True, True),
        (None, False, False, False),
        ("0", True, True, False),
        ("1", False, False, True),
        ("", False, False, False),
    ],
)
def test_bars_are_drawn_where_somebody_watches(monkeypatch, stated, terminal, notebook, wanted):
    monkeypatch.delenv("FTKIT_PROGRESS", raising=False)
    if stated is not None:
        monkeypatch.setenv("FTKIT_PROGRESS", stated)
    modules = {name: module for name, module in sys.modules.items() if name != "ipykernel"}
    monkeypatch.setattr(sys, "modules", modules | ({"ipykernel": sys} if notebook else {}))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert session.progress_wanted() is wanted


def test_a_bar_has_the_time_to_go_and_hides_what_is_over_in_a_moment(monkeypatch, capsys):
    monkeypatch.setenv("FTKIT_PROGRESS", "1")
    assert list(session.progress(range(3), "quick", 3)) == [0, 1, 2]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(session, "PATIENCE", 0)
    assert list(session.progress(iter("ab"), "letters", 2)) == ["a", "b"]
    assert "letters:" in capsys.readouterr().err
    monkeypatch.setenv("FTKIT_PROGRESS", "0")
    assert list(session.progress(range(2), "hidden", 2)) == [0, 1]
    assert capsys.readouterr().err == ""
