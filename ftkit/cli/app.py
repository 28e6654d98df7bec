"""What every verb shares: the app, the usual options, and one sentence for a user's mistake.

    with one_sentence():                     a UserError becomes its sentence and exit code 1
        show(result, as_json, values)        the result as a table, or its values as JSON

Exit codes: 0 fine, 1 what was asked about is bad (one clear sentence, no traceback), 2 bad usage.
With `--json` a verb prints one JSON object on standard output, and nothing else there; progress
goes to standard error. The verbs themselves stand in the other rooms of this wing.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ..core.errors import UserError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run what fine-tuning guides only tell.",
)
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on standard output and nothing else.")
]
Encoding = Annotated[
    str | None, typer.Option(help="Of a file of rows that is not in UTF-8, such as cp1252.")
]
UPKEEP = "To keep the kit right, or make what it ships"  # a panel of --help
Out = Annotated[Path, typer.Option("--out", help="Folder to write into.")]


def say(text: str) -> None:
    """Progress goes to standard error."""
    typer.echo(f"… {text}", err=True)


@contextmanager
def one_sentence() -> Iterator[None]:
    """A user's mistake becomes its sentence and exit code 1, without a traceback."""
    try:
        yield
    except UserError as error:
        typer.echo(f"ftkit: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:  # a name that is too long, a folder that may not be read, a full disk
        if error.filename is None:
            raise
        sentence = f"could not read or write {error.filename} ({error.strerror})."
        typer.echo(f"ftkit: {UserError(sentence)}", err=True)
        raise typer.Exit(1) from None


def show(result: object, as_json: bool, values: dict) -> None:
    """The result as a table, or its values as JSON."""
    typer.echo(json.dumps(values) if as_json else str(result))
