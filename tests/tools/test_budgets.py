"""What a notebook may take: its recorded processor time and memory, stated in its head."""

import json
import math
import os
import re

import nbformat
import pytest

from ftkit import UserError
from ftkit.tools import budgets, notebooks
from ftkit.tools.processes import Cost, cost_so_far

COMMITTED = sorted((notebooks.CHECKOUT / "notebooks").glob("*.ipynb"))
# In the table of a notebook's head: "31 to read, 3 to run, 26 for the exercises" and "1.2 GB".
RUN, MEMORY = re.compile(r"(\d+) to run"), re.compile(r"(\d\.\d) GB of memory")


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A repository of its own, with one notebook of 40 seconds and 1 GB."""
    file = tmp_path / "data" / "measurements" / "notebooks.json"
    file.parent.mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    costs = {"00_a": [40, 10**9], "yardstick": [2, 10**9]}
    file.write_text(json.dumps({"costs": costs}))
    monkeypatch.setattr(budgets, "data_path", lambda _: file)
    return tmp_path / "notebooks" / "00_a.ipynb"


def test_a_notebook_that_takes_more_is_named_with_both_figures(kept, monkeypatch):
    monkeypatch.setattr(budgets, "run_fresh", lambda _: Cost(1.0, 1))  # a faster machine
    most = budgets.limits(1.5)
    assert budgets.over("00_a", Cost(60.0, 10**9), most) is None
    assert budgets.over("00_b", Cost(999.0, 10**11), most) is None  # nothing is recorded of it
    told = budgets.over("00_a", Cost(61.0, 10**9), most)
    assert told == "it took 61 s of processor, and its budget is 60 s"
    told = budgets.over("00_a", Cost(9.0, 2 * 10**9), most)
    assert told == "it took 2 GB, and its budget is 1.5 GB"
    # half as fast: twice the seconds, the same memory
    monkeypatch.setattr(budgets, "run_fresh", lambda _: Cost(4.0, 1))
    assert budgets.limits(1.5)["00_a"] == (120, 1.5 * 10**9)
    with pytest.raises(UserError, match=r"budget is 0\.5; give a number from 1 on"):
        budgets.limits(0.5)
    with pytest.raises(UserError, match="--budget goes with --check"):
        notebooks.run_notebooks(budget=1.5)


def test_what_is_kept_changes_with_what_is_told_apart(kept, monkeypatch):
    monkeypatch.setattr(budgets, "run_fresh", lambda _: Cost(2.0, 1))  # as fast as it was
    before = budgets.read()
    budgets.record(kept, Cost(49.0, 9 * 10**8))  # within a quarter
    budgets.record(kept.with_name("elsewhere") / "00_a.ipynb", Cost(99.0, 1))
    assert budgets.read() == before
    budgets.record(kept, Cost(51.0, 10**9))
    assert budgets.read()["00_a"] == (51, 10**9)
    assert budgets.read()["yardstick"] == before["yardstick"]
    # on a machine that is busy: half as fast
    monkeypatch.setattr(budgets, "run_fresh", lambda _: Cost(4.0, 1))
    budgets.record(kept, Cost(102.0, 10**9))
    assert budgets.read()["00_a"] == (51, 10**9)
    budgets.record(kept, Cost(160.0, 10**9))
    assert budgets.read()["00_a"] == (80, 10**9)


def test_the_cost_of_a_running_process():
    cost = cost_so_far(os.getpid())
    assert cost.seconds > 0
    assert cost.peak > 10**7


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_the_head_states_what_was_measured(path):
    cells = nbformat.read(path, as_version=4).cells
    head = next(cell.source for cell in cells if "| minutes | needs |" in cell.source)
    cost = budgets.read()[path.stem]
    assert int(RUN.search(head).group(1)) == math.ceil(cost.seconds / 60)
    assert float(MEMORY.search(head).group(1)) == math.ceil(cost.peak / 1e8) / 10
