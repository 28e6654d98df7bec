"""The verbs that keep all as it should be: `doctor`, `notebooks`, `explorers`, `site`, `bench`.

    doctor      environment, run or adapter: what is wrong, what mends it   doctor.examine
    notebooks   restart and run all, compare, stamp, or hand out            tools.run_notebooks
    explorers   the explorers as pages without a kernel                     tools.save_explorers
    site        all of the kit as pages, with a search                      tools.build_site
    bench       what the kit's shortcuts save                               tools.run_bench

`doctor` and `explorers` are for every reader, the other two keep the repository right.
"""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from .. import doctor as doctors
from .. import tools
from ..core.errors import UserError
from ..core.session import setup
from .app import UPKEEP, Json, app, one_sentence, say, show

# What the notebooks may be told.
Names = Annotated[list[str] | None, typer.Argument(help="Notebook names; all by default.")]
Check = Annotated[
    bool, typer.Option("--check", help="Compare with what is committed and write nothing.")
]
Stamp = Annotated[
    bool,
    typer.Option(
        "--stamp", help="Run nothing; write the project's address into badge and setup lines."
    ),
]
Student = Annotated[
    bool,
    typer.Option(
        "--student", help="Run nothing; write an edition without outputs, solutions and guesses."
    ),
]
Budget = Annotated[
    float | None,
    typer.Option(help="With --check: times what is recorded of it that each may take, as 1.5."),
]
Executed = Annotated[
    Path | None,
    typer.Option(
        "--out", help="A folder for the executed notebooks, or for --student; the others stay."
    ),
]


@app.command()
def doctor(
    run: Annotated[
        Path | None,
        typer.Argument(help="A run or an adapter to look over; without one, the environment is."),
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Of an adapter: its base, where it names none that is here.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look for what is wrong, with the environment, a run or an adapter, and say what mends it.

    Exit 1 where something is.
    """
    with one_sentence():
        environment = "looking at the environment, and training for a moment"
        say(environment if run is None else f"looking at {run}")
        findings = doctors.examine(run, base) if base else doctors.examine(run)
        # the findings come first, then the exit code
        show(findings, as_json, findings.json())
        if findings.wrong:
            raise typer.Exit(1)


@app.command()
def notebooks(
    names: Names = None,
    check: Check = False,
    stamp: Stamp = False,
    student: Student = False,
    out: Executed = None,
    budget: Budget = None,
    as_json: Json = False,
) -> None:
    """Restart and run all notebooks, clean them and write them back.

    With FTKIT_MODEL only report; with --stamp only write the address; with --student only write
    what to hand out, into --out or ./student.
    """
    with one_sentence():
        if student:
            if check or stamp:
                raise UserError(
                    "--student writes an edition to hand out; drop --check and --stamp, or drop it."
                )
            editions = tools.write_editions(names or [], out or Path("student"))
            show(editions, as_json, dataclasses.asdict(editions))
            return
        if stamp:
            stamps = tools.stamp_notebooks(names or [], check=check)
            show(stamps, as_json, dataclasses.asdict(stamps))
            raise typer.Exit(int(check and bool(stamps.stamped)))
        # a report comes first, then the exit code
        report = tools.run_notebooks(names or [], check=check, out=out, budget=budget)
        show(report, as_json, dataclasses.asdict(report))
        if report.failed:
            raise typer.Exit(1)


@app.command()
def explorers(
    folder: Annotated[Path, typer.Argument(help="The folder to write into; it is made.")],
    names: Annotated[list[str] | None, typer.Argument(help="Which; all by default.")] = None,
    as_json: Json = False,
) -> None:
    """Write the explorers as pages that need no kernel and no network.

    In each, every position of its controls works: to be put on a site, sent, or shown in a lecture.
    """
    with one_sentence():
        pages = tools.save_explorers(folder, names or [])
        show(pages, as_json, dataclasses.asdict(pages))


@app.command(rich_help_panel=UPKEEP)
def site(
    out: Annotated[Path, typer.Option(help="The folder to write into.")] = Path("build/site"),
    as_json: Json = False,
) -> None:
    """Build the site: notebooks, live explorers, reference, ledger and cards, with a search.

    From what the repository holds, without a network; it needs a checkout and the extra `site`.
    """
    with one_sentence():
        say("building the site, which takes some minutes")
        built = tools.build_site(out, vars(typer.main.get_command(app))["commands"])
        show(built, as_json, dataclasses.asdict(built))


@app.command(rich_help_panel=UPKEEP)
def bench(as_json: Json = False) -> None:
    """Time the kit's shortcuts against doing the same without them."""
    with one_sentence():
        setup(seed=0)
        report = tools.run_bench(say)
        show(report, as_json, report.json())
