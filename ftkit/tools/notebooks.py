"""Run notebooks as a reader would and write them back tidy, or compare them with what is committed.

The outputs in the repository are made here and nowhere else: a fresh kernel of this interpreter,
every cell in order, then fixed ids, counts 1..n and no widget state, so that a second run gives the
same bytes. With FTKIT_MODEL at another model they run as they are, for a report of which claims
carry over, and the committed outputs stay.
"""

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.pocket_claims import OTHER, SAME, UNASKED
from ..core.results import Result, about
from ..core.session import chosen_model, progress_wanted

CELL_SECONDS = 600
WIDGET = "application/vnd.jupyter.widget-view+json"
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
# What differs between machines, hidden on both sides before two outputs are compared;
# tests/sanitize.cfg tells nbval the same.
SANITIZE = (
    # a drawing, whose digits differ; the line of text beside it is compared
    (r"(?s)<svg\b.*?</svg>|<img [^>]*data:image/svg[^>]*>", "<svg>"),
    (
        r"\u2248\s*[-+\u2212]?[0-9][0-9.,]*(?:e[-+]?[0-9]+)?(?: ?%)?(?: \[[^\]\n]*\])?",
        "~N",
    ),  # a number marked ≈, with its unit and interval
    (r"[ ]{2,}", "|"),  # the columns beside it, which are as wide as it is
)


@dataclass(frozen=True, repr=False)
class NotebookReport(Result):
    """Which notebooks ran, in order, which of them failed and why, and the seconds that each took.

    claims: on another model, {notebook: {how it came out: how many of the pocket model's claims}}.
    """

    ran: list[str]
    failed: list[str]
    seconds: dict[str, float]
    reasons: dict[str, str] = field(default_factory=dict)
    claims: dict[str, dict[str, int]] = field(default_factory=dict)

    def table(self):
        """One line a notebook; on another model with the number of claims for each way they came
        out.
        """
        told = {
            name: (", ".join(f"{n} {how[0]}" for how, n in counts.items()),)
            for name, counts in self.claims.items()
        }
        rows = [
            (name, about(self.seconds[name]), self.reasons.get(name, "ok"), *told.get(name, ()))
            for name in self.ran
        ]
        heads = (
            "notebook",
            "seconds",
            "result",
            *(["the pocket model's claims here"] if told else []),
        )
        return f"Notebooks: {len(self.ran)} ran, {len(self.failed)} failed", heads, rows


def run_notebooks(
    names: Sequence[str] = (),
    check: bool = False,
    folder: Path | None = None,
    out: Path | None = None,
) -> NotebookReport:
    """Execute the notebooks called `names` (all without any) and write each back, or with `check`
    only compare.

    names: "03_four_bits", "03_four_bits.ipynb" or "03"; a name that is not there raises UserError.
    check: compare the new outputs with the committed ones, pictures and widget views left out, and
    write nothing.
    folder: where the notebooks are; the checkout's own by default, else `notebooks` below the
    current directory.
    out: a folder that gets the executed notebooks, failed ones too, instead. With another model
    than the pocket model, whose outputs the committed ones are, nothing is written back, and
    `check` is refused. A notebook that fails or differs stands in the report's `failed` and
    `reasons`, and its file stays as it was.
    """
    other = chosen_model() != "pocket"
    if check and (other or out):
        raise UserError(
            "--check compares with the committed outputs, which are the pocket model's; unset FTKIT_MODEL and drop --out, or drop --check."
        )
    seconds, reasons, claims = {}, {}, {}
    for path in find(names, folder):
        began = time.perf_counter()
        committed, new = (jupyter()[1].read(path, as_version=4) for _ in range(2))
        if reason := execute(new, path) or (difference(committed, new) if check else None):
            reasons[path.stem] = f"{path.stem}, {reason}"
        seconds[path.stem] = round(time.perf_counter() - began, 2)
        if other:
            claims[path.stem] = carried_over(new)
        if not check:
            keep(committed, new, reason, path, out, other)
    return NotebookReport(list(seconds), list(reasons), seconds, reasons, claims)


def keep(committed, new, reason: str | None, path: Path, out: Path | None, other: bool) -> None:
    """Write an executed notebook into `out`, or back where it came from if it ran on the pocket
    model.
    """
    if out is None and (other or reason):
        return
    if out is None:
        keep_equal(committed, new)
    else:
        out.mkdir(parents=True, exist_ok=True)
    tidy(new)
    write((out or path.parent) / path.name, jupyter()[1].writes(new) + "\n")


def carried_over(nb) -> dict[str, int]:
    """How the claims of the pocket model came out in an executed notebook: {"✓ …": so many, …}."""
    lines = [
        line
        for cell in code_cells(nb)
        for o in cell.outputs
        if o.get("name") == "stdout"
        for line in o.text.splitlines()
    ]
    ways = (SAME, OTHER, UNASKED)
    return {way: sum(line.startswith(way) for line in lines) for way in ways}


def find(names: Sequence[str], folder: Path | None) -> list[Path]:
    """The files that `names` mean, each once, in the order given."""
    beside = Path(__file__).parents[1] / "notebooks"
    folder = Path(folder) if folder else beside if beside.is_dir() else Path("notebooks")
    paths = {p.stem: p for p in sorted(folder.glob("*.ipynb"))}
    if not paths:
        raise UserError(
            f"there are no notebooks in {folder}; give the folder that holds them, or run this in a checkout."
        )
    numbers = {stem.split("_")[0]: stem for stem in paths}
    chosen = {}
    for name in names or paths:
        stem = str(name).removesuffix(".ipynb")
        stem = numbers.get(stem, stem)
        if stem not in paths:
            raise UserError(
                f"there is no notebook {name!r} in {folder}.{nearest(stem, paths) or ' There are ' + ', '.join(paths) + '.'}"
            )
        chosen[stem] = paths[stem]
    return list(chosen.values())


def write(path: Path, text: str) -> None:
    """Replace a file as a whole: whoever reads it meanwhile finds the old text or the new one."""
    fresh = path.with_name(f".{path.name}.tmp")
    fresh.write_text(text, encoding="utf-8")
    os.replace(fresh, path)


def jupyter():
    """The modules `(nbclient, nbformat)`."""
    try:
        import ipykernel  # noqa: F401 (the kernel needs it)
        import nbclient
        import nbformat
    except ImportError as error:
        raise UserError(
            'running notebooks needs nbclient and ipykernel: pip install "ftkit[lab]"'
        ) from error
    return nbclient, nbformat


def code_cells(nb) -> list:
    """The cells that run: code, and not blank."""
    return [c for c in nb.cells if c.cell_type == "code" and c.source.strip()]


def execute(nb, path: Path) -> str | None:
    """Run every cell of `nb` in place, in the folder of `path`; None, or why it failed: the cell's
    number and one line.
    """
    from tqdm import tqdm

    number = 0
    with tqdm(
        total=len(code_cells(nb)), desc=path.stem, unit="cell", disable=not progress_wanted()
    ) as bar:

        def on_cell_execute(cell, cell_index):
            nonlocal number
            number += 1

        try:
            client(nb, path.parent, on_cell_execute, lambda **_: bar.update()).execute(
                env=environment(), stderr=subprocess.DEVNULL
            )
        except jupyter()[0].exceptions.CellExecutionError as error:
            return f"cell {number}: {first_line(f'{error.ename}: {error.evalue}')}"
        except (
            TimeoutError,
            RuntimeError,
        ) as error:  # a cell that takes too long, or a kernel that died
            return f"cell {number}: {first_line(str(error))}"
    return next(
        (
            f"cell {i}: {problem}"
            for i, cell in enumerate(code_cells(nb), 1)
            if (problem := unwanted(cell))
        ),
        None,
    )


def client(nb, folder: Path, on_cell_execute: Callable, on_cell_executed: Callable):
    """nbclient's client, with a kernel of this very interpreter: an installed "python3" may be
    another one's.
    """
    nbclient = jupyter()[0]
    from ipykernel.kernelspec import RESOURCES, get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class ThisPython(AsyncKernelManager):
        kernel_spec = KernelSpec(resource_dir=RESOURCES, **get_kernel_dict())

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
    """The kernel's environment: one thread unless OMP_NUM_THREADS says more, no bars, output
    captured as under nbval.
    """
    inherited = {
        k: v for k, v in os.environ.items() if k != "MPLBACKEND"
    }  # set, it would hide the figures
    return (
        {"OMP_NUM_THREADS": "1"}
        | inherited
        | {"FTKIT_PROGRESS": "0", "PYTEST_CURRENT_TEST": "python -m ftkit notebooks"}
    )


def first_line(message: str) -> str:
    """The first line of an error's message, without the colon that an empty message leaves."""
    return message.strip().splitlines()[0].rstrip(": ")


def unwanted(cell) -> str | None:
    """What a cell that ran must not leave: stderr, or no exception where its tag promises one."""
    for output in cell.outputs:
        if output.get("name") == "stderr":
            return f"it wrote to stderr: {first_line(output.text or ' ')}"
    raised = any(output.output_type == "error" for output in cell.outputs)
    if "raises-exception" in cell.metadata.get("tags", []) and not raised:
        return "it is tagged raises-exception and raised nothing"
    return None


def sanitize(text: str) -> str:
    """`text` as it is compared."""
    for pattern, replacement in SANITIZE:
        text = re.sub(pattern, replacement, text)
    return text


def shown(cell, pictures: bool) -> list[tuple[str, str]]:
    """What a cell shows, as (kind, sanitized text); `pictures` counts them too, byte for byte;
    never a widget's random id.
    """
    parts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            parts.append((output.name, sanitize(output.text)))
        elif output.output_type == "error":
            parts.append(("error", sanitize(f"{output.ename}: {output.evalue}")))
        else:
            wanted = {
                k: v
                for k, v in output.data.items()
                if k != WIDGET and (pictures or k not in PICTURES)
            }
            texts = {
                k: v if isinstance(v, str) else json.dumps(v, sort_keys=True)
                for k, v in sorted(wanted.items())
            }
            parts += [(k, v if k in PICTURES else sanitize(v)) for k, v in texts.items()]
    return parts


def difference(committed, new) -> str | None:
    """The first output that is not as committed, or None; cells marked nbval-ignore-output are not
    compared.
    """
    for number, (old, cell) in enumerate(
        zip(code_cells(committed), code_cells(new), strict=True), 1
    ):
        if (
            "nbval-ignore-output" in cell.metadata.get("tags", [])
            or "NBVAL_IGNORE_OUTPUT" in cell.source
        ):
            continue
        before, after = shown(old, pictures=False), shown(cell, pictures=False)
        for was, now in zip(before, after, strict=False):
            if was != now:
                return f"cell {number}: {was[0]} was {was[1]!r} and is now {now[1]!r}"
        if len(before) != len(after):
            return (
                f"cell {number}: {len(before)} outputs are committed and it now gives {len(after)}"
            )
    return None


def keep_equal(committed, new) -> None:
    """Take over old outputs that differ in approximate numbers only: a run leaves no trace where
    nothing changed.
    """
    old = {cell.source: cell for cell in code_cells(committed)}
    for cell in code_cells(new):
        before = old.get(cell.source)
        if before is not None and shown(before, pictures=True) == shown(cell, pictures=True):
            cell.outputs = before.outputs


def tidy(nb) -> None:
    """Replace all that is random or says when and where the notebook ran: ids, counts, times,
    widget state.
    """
    nb.nbformat, nb.nbformat_minor = 4, 5
    nb.metadata.clear()
    nb.metadata["kernelspec"] = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    nb.metadata["language_info"] = {"name": "python"}
    for index, cell in enumerate(nb.cells):
        cell.id = f"c{index:02d}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.execution_count = None
        for position, output in enumerate(cell.get("outputs", [])):
            output.pop("transient", None)
            if view := output.get("data", {}).get(WIDGET):
                view["model_id"] = f"{index:016x}{position:016x}"
    for count, cell in enumerate(code_cells(nb), 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
