"""The verbs that make again what the kit ships: `grid`, `pretrain`, `tasks`."""

from pathlib import Path
from typing import Annotated

import typer

from .. import lab, pocket, world
from ..core.session import quiet
from .app import Json, app, one_sentence, say, show


@app.command()
def grid(
    name: Annotated[str, typer.Argument(help="lora, playground or epochs.")],
    parts: Annotated[
        Path | None,
        typer.Option(
            help="Folder for finished rows; a command that finds some goes on from there."
        ),
    ] = None,
    worker: Annotated[int, typer.Option(help="Which share of the points to make, from 0.")] = 0,
    workers: Annotated[int, typer.Option(help="Into how many shares the points are split.")] = 1,
    as_json: Json = False,
) -> None:
    """Make the runs of a grid; whoever finishes the last one writes data/grids/NAME.json."""
    with one_sentence():
        path = lab.make_grid(name, parts, worker, workers, say)
        text = f"wrote {path}" if path else "this share is done; others are still missing"
        show(text, as_json, {"file": str(path) if path else None})


@app.command()
def pretrain(
    out: Annotated[
        Path,
        typer.Option(help="Folder for the model; a killed run goes on from `checkpoint/` in it."),
    ] = Path("data/pocket"),
    steps: Annotated[
        int | None, typer.Option(help="Optimizer steps of about 2,200 tokens.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of world, corpus and weights.")] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads.")] = None,
    bfloat16: Annotated[
        bool | None,
        typer.Option(
            "--bfloat16/--no-bfloat16",
            help="Autocast to bfloat16: about twice as fast where the processor has units for it.",
        ),
    ] = None,
    probes: Annotated[int, typer.Option(help="Probes in each suite of the card.")] = 400,
) -> None:
    """Train the pocket model from nothing, score it and write its card.

    Run again after a kill, it goes on where it was.
    """
    with one_sentence():
        quiet()
        stated = {"steps": steps, "seed": seed, "threads": threads, "bfloat16": bfloat16}
        plan = pocket.Plan(**{name: v for name, v in stated.items() if v is not None})
        typer.echo(pocket.pretrain_and_ship(plan, out, probes))


@app.command()
def tasks(
    out: Annotated[Path, typer.Option(help="Folder for the JSONL files.")] = Path("data/tasks"),
) -> None:
    """Draw the data sets of data/tasks from the micro-world again."""
    with one_sentence():
        world.tasks.write(out, world.World())
