"""The verbs that take a run out of the notebook: `export`, `serve`.

    export    a run as another program takes it, proven      ship.export
    serve     several runs on one base, over HTTP            ship.serve

What there is to export to is listed by `export --list`, from `ship.targets`. Notebook 13.
"""

from pathlib import Path
from typing import Annotated

import typer

from .. import ship
from ..core.session import setup
from .app import Json, app, one_sentence, say, show

Without = Annotated[
    str,
    typer.Option(
        help="What of the recipe may be left out where a trainer has no word for it: kl,patience"
    ),
]


@app.command()
def export(
    run: Annotated[Path | None, typer.Argument(help="The folder of a run.")] = None,
    to: Annotated[str, typer.Option(help="What for, such as gguf; --list names all.")] = "gguf",
    out: Annotated[Path | None, typer.Option(help="Folder to write into.")] = None,
    part: Annotated[
        str | None, typer.Option(help="merged, base or adapter; by default as the target has it.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(help="Of a GGUF: f32, f16, bf16, q8_0, q4_0 …; of a merged folder its dtype."),
    ] = None,
    prompts: Annotated[int, typer.Option(help="How many replies are compared.")] = ship.PROMPTS,
    without: Without = "",
    listed: Annotated[
        bool, typer.Option("--list", help="List the targets, and how each was checked.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a run as another program takes it, and prove that it is the same model."""
    with one_sentence():
        if listed:
            table = ship.targets()
            rows = [dict(zip(table.heads, row, strict=True)) for row in table.rows]
            show(table, as_json, {"targets": rows})
            return
        if run is None or out is None:
            raise typer.BadParameter("give the folder of a run and --out, or --list alone.")
        ship.find_target(to)
        setup(seed=0)
        say(f"exporting {run} to {to}")
        left = [name.strip() for name in without.split(",") if name.strip()]
        done = ship.export(run, to, out, part=part, kind=kind, prompts=prompts, without=left)
        show(done, as_json, done.json())


@app.command()
def serve(
    runs: Annotated[list[Path], typer.Argument(help="Folders of runs on one base.")],
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8000,
    tokens: Annotated[int, typer.Option(help="Tokens of a reply at most.")] = 512,
    waiting: Annotated[int, typer.Option(help="Requests at a time at most.")] = 64,
) -> None:
    """Serve several adapters on one base; the field "model" of a request names a run's folder."""
    with one_sentence():
        limits = ship.Limits(tokens=tokens, waiting=waiting)
        ship.check_port(host, port)
        setup(seed=0)
        say(f"serving {', '.join(run.name for run in runs)} on http://{host}:{port}; Ctrl-C stops")
        ship.serve(runs, host, port, limits)
