"""The verbs that make again what the kit ships: `grid`, `pretrain`, `tasks`.

    grid       a grid of runs, which lessons read            lab.make_grid
    pretrain   the pocket model and its card                 pocket.pretrain_and_ship
    tasks      the data sets of data/tasks                   world.tasks.write

Nobody who reads the notebooks needs them. A `grid` or a `pretrain` that was interrupted goes on
where it was when the same command is given again.
"""

from pathlib import Path
from typing import Annotated

import typer

from .. import lab, pocket, world
from ..core.session import quiet
from .app import UPKEEP, Json, app, one_sentence, say, show

# The grids, by name; `lab` would take seconds to say them.
GRIDS = (
    "lora, playground, epochs, real, ward, healthy, "
    "data, methods, ranks, deciding, preferences or safety"
)

# How a grid's runs are shared out.
Parts = Annotated[
    Path | None,
    typer.Option(help="Folder for finished rows; a command that finds some goes on from there."),
]
Worker = Annotated[int, typer.Option(help="Which share of the points to make, from 0.")]
Workers = Annotated[int, typer.Option(help="Into how many shares the points are split.")]

# What decides the pocket model; what is not given is as in the plan of the one that ships.
Steps = Annotated[int | None, typer.Option(min=1, help="Optimizer steps of about 2,200 tokens.")]
Seed = Annotated[int | None, typer.Option(help="Seed of world, corpus and weights.")]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads.")]
Bfloat16 = Annotated[
    bool | None,
    typer.Option(
        "--bfloat16/--no-bfloat16",
        help="Autocast to bfloat16: about twice as fast where the processor has units for it.",
    ),
]
Probes = Annotated[int, typer.Option(min=1, help="Probes in each suite of the card.")]


@app.command(rich_help_panel=UPKEEP)
def grid(
    name: Annotated[str, typer.Argument(help=f"One of {GRIDS}.")],
    parts: Parts = None,
    worker: Worker = 0,
    workers: Workers = 1,
    as_json: Json = False,
) -> None:
    """Make the runs of a grid; who finishes the last one writes data/grids/NAME.json."""
    with one_sentence():
        path = lab.make_grid(name, parts, worker, workers, say)
        text = f"wrote {path}" if path else "this share is done; others are still missing"
        show(text, as_json, {"file": str(path) if path else None})


@app.command(rich_help_panel=UPKEEP)
def pretrain(
    out: Annotated[
        Path,
        typer.Option(help="Folder for the model; a killed run goes on from `checkpoints/` in it."),
    ] = Path("data/pocket"),
    steps: Steps = None,
    seed: Seed = None,
    threads: Threads = None,
    bfloat16: Bfloat16 = None,
    probes: Probes = 400,
) -> None:
    """Train the pocket model from nothing, score it and write its card.

    Run again after a kill, it goes on where it was.
    """
    with one_sentence():
        quiet()
        # the plan of the shipped model, but for what is stated
        options = {"steps": steps, "seed": seed, "threads": threads, "bfloat16": bfloat16}
        stated = {name: value for name, value in options.items() if value is not None}
        typer.echo(pocket.pretrain_and_ship(pocket.Plan(**stated), out, probes))


@app.command(rich_help_panel=UPKEEP)
def tasks(
    out: Annotated[Path, typer.Option(help="Folder for the JSONL files.")] = Path("data/tasks"),
) -> None:
    """Draw the data sets of data/tasks from the micro-world again."""
    with one_sentence():
        world.tasks.write(out, world.World())
