"""Run notebooks as a reader would and write them back tidy, or compare them with what is committed.

    run_notebooks(names)               run and write back: a `NotebookReport`
    run_notebooks(names, check=True)   run, compare, and write nothing

The outputs in the repository are made here and nowhere else: a fresh kernel of this interpreter,
every cell in order, then fixed ids, counts 1..n and no widget state, so that a second run gives the
same bytes (`outputs`). With FTKIT_MODEL at another model the committed outputs stay, and the report
says which of the pocket model's claims carry over. `python -m ftkit notebooks` is the verb.
"""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..core.errors import UserError, nearest
from ..core.files import write_whole
from ..core.results import Result, TableParts, decimal_bytes
from ..core.session import chosen_model, progress_wanted
from . import budgets
from .outputs import code_cells, count_claims, difference, keep_equal, tidy
from .processes import Cost, cost_so_far

if TYPE_CHECKING:
    from nbclient import NotebookClient
    from nbformat import NotebookNode

CHECKOUT = Path(__file__).parents[2]  # the repository, where the package was not installed from it
CELL_SECONDS = 1800  # a real model is slow on two cores that do other things, too


@dataclass(frozen=True, repr=False)
class NotebookReport(Result):
    """Which notebooks ran, in order, which of them failed and why, and the seconds that each took.

    claims: on another model, {notebook: {how it came out: how many of the pocket model's claims}}.
    costs: seconds of processor time and the most bytes of memory of each one's kernel.
    """

    ran: list[str]
    failed: list[str]
    seconds: dict[str, float]
    reasons: dict[str, str] = field(default_factory=dict)
    claims: dict[str, dict[str, int]] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)

    def table(self) -> TableParts:
        """One line per notebook: what it took, result, on another model how its claims came out."""
        rows = []
        for name in self.ran:
            cost, came = self.costs.get(name, Cost(0, 0)), self.reasons.get(name, "ok")
            took = [f"≈{self.seconds[name]:.0f}", f"≈{cost.seconds:.0f}", decimal_bytes(cost.peak)]
            row = [name, *took, came]
            if name in self.claims:
                counts = self.claims[name].items()
                row.append(", ".join(f"{count} {way[0]}" for way, count in counts))
            rows.append(row)
        heads = ["notebook", "seconds", "of processor", "memory", "result"]
        heads += ["the pocket model's claims here"] if self.claims else []
        return f"Notebooks: {len(self.ran)} ran, {len(self.failed)} failed", heads, rows


def run_notebooks(
    names: Sequence[str] = (),
    *,
    check: bool = False,
    folder: Path | None = None,
    out: Path | None = None,
    budget: float | None = None,
) -> NotebookReport:
    """Execute the notebooks called `names` (all without any) and write each back, or only compare.

    names, folder: see `find_notebooks`. check: compare the new outputs with the committed ones,
    pictures and widget views left out, and write nothing. out: a folder that gets the executed
    notebooks instead, failed ones too. budget: with `check`, how many times what is recorded of it
    a notebook may take (`budgets`). A notebook that fails or differs stands in the report, and its
    file stays; so do all of them on another model than the pocket model, whose outputs these are.
    Raises UserError for `check` with another model or `out`, and for a budget without `check`.
    """
    other = chosen_model() != "pocket"
    check_asked(check=check, out=out, budget=budget)
    seconds, reasons, claims, costs = {}, {}, {}, {}
    limits = budgets.limits(budget) if budget is not None else {}
    for path in find_notebooks(names, folder):
        # once as it is committed, once to be executed in place
        began = time.perf_counter()
        committed, new = (import_jupyter()[1].read(path, as_version=4) for _ in range(2))
        reason, cost = execute(new, path)
        if check:
            reason = reason or difference(committed, new) or budgets.over(path.stem, cost, limits)
        seconds[path.stem], costs[path.stem] = round(time.perf_counter() - began, 2), cost
        reasons |= {path.stem: f"{path.stem}, {reason}"} if reason else {}
        if other:
            claims[path.stem] = count_claims(new)
        # into `out` whatever came of it, back only where it may be committed
        if out:
            write_tidy(new, out / path.name)
        elif not (check or other or reason):
            keep_equal(committed, new)
            write_tidy(new, path)
            budgets.record(path, cost)
    return NotebookReport(list(seconds), list(reasons), seconds, reasons, claims, costs)


def check_asked(*, check: bool, out: Path | None, budget: float | None) -> None:
    """Refuse to compare what cannot be compared, and a budget of a run that is not compared."""
    if check and (chosen_model() != "pocket" or out):
        raise UserError(
            "--check compares with the committed outputs, which are the pocket model's; unset "
            "FTKIT_MODEL and drop --out, or drop --check."
        )
    if budget is not None and not check:
        raise UserError("--budget goes with --check; give both, or drop it.")


def write_tidy(nb: "NotebookNode", path: Path) -> None:
    """Write an executed notebook, tidied, and the folder that it is to lie in."""
    tidy(nb)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, import_jupyter()[1].writes(nb) + "\n")


def find_notebooks(names: Sequence[str], folder: Path | None) -> list[Path]:
    """The files that `names` mean, each once, in the order given; all of them without any name.

    names: "03_four_bits", "03_four_bits.ipynb" or "03". folder: where they are; the checkout's own
    by default, else `notebooks` below the current directory. Raises UserError, with the nearest
    spelling, for a name that is not there.
    """
    if folder is None:
        beside = CHECKOUT / "notebooks"
        folder = beside if beside.is_dir() else Path("notebooks")
    paths = {path.stem: path for path in sorted(Path(folder).glob("*.ipynb"))}
    if not paths:
        raise UserError(
            f"there are no notebooks in {folder}; give the folder that holds them, or run this in "
            "a checkout."
        )
    # a number alone is enough: "03" for "03_four_bits"
    numbers = {stem.split("_")[0]: stem for stem in paths}
    chosen = {}
    for name in names or paths:
        stem = str(name).removesuffix(".ipynb")
        stem = numbers.get(stem, stem)
        if stem not in paths:
            known = nearest(stem, paths) or f" There are {', '.join(paths)}."
            raise UserError(f"there is no notebook {name!r} in {folder}.{known}")
        chosen[stem] = paths[stem]
    return list(chosen.values())


def import_jupyter() -> tuple[ModuleType, ModuleType]:
    """The modules `(nbclient, nbformat)`; UserError that says what to install where they lack."""
    try:
        import ipykernel  # noqa: F401  the kernel needs it
        import nbclient
        import nbformat
    except ImportError as error:
        raise UserError(
            'running notebooks needs nbclient and ipykernel: pip install "ftkit[lab]"'
        ) from error
    return nbclient, nbformat


def execute(nb: "NotebookNode", path: Path) -> tuple[str | None, Cost]:
    """Run every cell of `nb` in place, in the folder of `path`: (None or why it failed, its cost).

    The reason is the cell's number and one line; the cost is that of the kernel.
    """
    from tqdm import tqdm

    number, cost = 0, Cost(0.0, 0)

    def count(cell: "NotebookNode", cell_index: int) -> None:
        nonlocal number
        number += 1

    def look(**_: object) -> None:
        nonlocal cost
        cost = cost_so_far(kernel.km.provisioner.pid)  # type: ignore # there while a cell runs
        bar.update()

    # the run; a bar, where one is wanted, goes to stderr
    off = not progress_wanted()
    cells = len(code_cells(nb))
    with tqdm(total=cells, desc=path.stem, unit="cell", disable=off) as bar:
        kernel = make_client(nb, path.parent, count, look)
        try:
            kernel.execute(env=environment(), stderr=subprocess.DEVNULL)
        except import_jupyter()[0].exceptions.CellExecutionError as error:
            return f"cell {number}: {first_line(f'{error.ename}: {error.evalue}')}", cost
        # a cell that takes too long, or a kernel that died
        except (TimeoutError, RuntimeError) as error:
            return f"cell {number}: {first_line(str(error))}", cost
    # what ran to its end may still have left what it must not
    for i, cell in enumerate(code_cells(nb), 1):
        if problem := find_problem(cell):
            return f"cell {i}: {problem}", cost
    return None, cost


def make_client(
    nb: "NotebookNode", folder: Path, on_cell_execute: Callable, on_cell_executed: Callable
) -> "NotebookClient":
    """nbclient's client, with a kernel of this very interpreter.

    An installed kernel named "python3" may be another interpreter's.
    """
    # only here, for readers who run no notebooks by the kit need not have them
    nbclient = import_jupyter()[0]
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        kernel_spec = KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())  # type: ignore # fixed

    return nbclient.NotebookClient(
        nb,
        kernel_manager_class=ThisPython,
        kernel_name="python3",
        timeout=CELL_SECONDS,
        coalesce_streams=True,
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=on_cell_execute,
        on_cell_executed=on_cell_executed,
    )


def environment() -> dict[str, str]:
    """The kernel's environment: one thread unless OMP_NUM_THREADS says more, no bars, no journal.

    With PYTEST_CURRENT_TEST ipykernel captures output as it does under nbval.
    """
    # MPLBACKEND, where it is set, would hide the figures
    inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    stated = {"FTKIT_PROGRESS": "0", "PYTEST_CURRENT_TEST": "python -m ftkit notebooks"}
    # what somebody has answered in that folder before is no part of a notebook
    return {"OMP_NUM_THREADS": "1"} | inherited | stated | {"FTKIT_JOURNAL": "0"}


def first_line(message: str) -> str:
    """The first line of an error's message, without the colon that an empty message leaves."""
    return message.strip().splitlines()[0].rstrip(": ")


def find_problem(cell: "NotebookNode") -> str | None:
    """What a cell that ran must not leave: stderr, or no exception where its tag promises one."""
    for output in cell.outputs:
        if output.get("name") == "stderr":
            return f"it wrote to stderr: {first_line(output.text or ' ')}"
    raised = any(output.output_type == "error" for output in cell.outputs)
    if "raises-exception" in cell.metadata.get("tags", []) and not raised:
        return "it is tagged raises-exception and raised nothing"
    return None
