"""The verbs that keep a model alive: `registry` and `verify`.

    registry publish, list, compare, promote, rollback    operate.Registry
    verify                                                 operate.verify

`registry` has verbs of its own. Exit 1 where a record no longer holds. Notebook 15 does the same
step by step.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from .. import data as sets
from .. import operate
from ..core.session import setup
from .app import Encoding, Json, app, one_sentence, say, show

Folder = Annotated[Path, typer.Argument(help="The folder of the registry.")]
Name = Annotated[str, typer.Argument(help="What the versions are versions of, such as tickets.")]
Why = Annotated[str, typer.Option(help="Why, in a few words, for the log.")]
Who = Annotated[str | None, typer.Option(help="Who does it; by default the user of this machine.")]

shelf = typer.Typer(no_args_is_help=True, help="Versions of an adapter, with a way back.")
app.add_typer(shelf, name="registry")


@shelf.command()
def publish(
    run: Annotated[Path, typer.Argument(help="The folder of a run, or of an adapter.")],
    to: Annotated[Path, typer.Option("--to", help="The folder of the registry.")],
    name: Annotated[str, typer.Option(help="What it is a version of, such as tickets.")],
    why: Why = "",
    who: Who = None,
    base: Annotated[
        str | None, typer.Option(help="The base of an adapter that names none.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy a run's adapter into the registry as its next version, with its hashes."""
    with one_sentence():
        version = operate.Registry(to).publish(run, name, why, who=who, base=base)
        show(version, as_json, version.json())


@shelf.command("list")
def list_versions(
    folder: Folder,
    name: Annotated[str | None, typer.Option(help="The history of this name alone.")] = None,
    as_json: Json = False,
) -> None:
    """All versions and which is live; or all that was done with one name."""
    with one_sentence():
        registry = operate.Registry(folder)
        found = registry.listing() if name is None else registry.history(name)
        rows = [dict(zip(keys(found.heads), row, strict=True)) for row in found.rows]
        show(found, as_json, {"rows": rows})


def keys(heads: Sequence[str]) -> list[str]:
    """The heads of a table as keys of JSON; the one without a head says what is live."""
    return [head or "live" for head in heads]


@shelf.command()
def compare(
    folder: Folder,
    name: Name,
    first: Annotated[str, typer.Argument(help="A version, such as v1.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
    data: Annotated[str, typer.Option(help="A task of the kit or a file of rows.")],
    encoding: Encoding = None,
    as_json: Json = False,
) -> None:
    """Two versions on the same rows, with the interval of their difference."""
    with one_sentence():
        rows = sets.test_rows(data, encoding)
        setup(seed=0)
        say(f"asking {first} and {second} {len(rows)} test rows each")
        compared = operate.Registry(folder).compare(name, first, second, rows)
        show(compared, as_json, compared.json())


@shelf.command()
def promote(
    folder: Folder,
    name: Name,
    version: Annotated[str, typer.Argument(help="The version that is to be live.")],
    why: Why,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Make a version the live one; every file of it is held against its hash."""
    with one_sentence():
        live = operate.Registry(folder).promote(name, version, why, who=who)
        show(f"{name} {live.label} is live now.", as_json, live.json())


@shelf.command()
def rollback(
    folder: Folder,
    name: Name,
    why: Why,
    to: Annotated[
        str | None, typer.Option(help="An earlier version; by default the one before.")
    ] = None,
    who: Who = None,
    as_json: Json = False,
) -> None:
    """Make the version live again that was so before, to the bit."""
    with one_sentence():
        live = operate.Registry(folder).roll_back(name, why, to=to, who=who)
        show(f"{name} is back at {live.label}.", as_json, live.json())


@app.command()
def verify(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    again: Annotated[
        bool, typer.Option("--again", help="Train it again, too: are the weights the same bits?")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a run's figures again, or say what has drifted: base, rows, template, libraries.

    Exit 1 where the record no longer holds.
    """
    with one_sentence():
        setup(seed=0)
        say(f"asking the model of {run} again")
        verified = operate.verify(run, again=again)
        show(verified, as_json, verified.json())
        if not verified.ok:
            raise typer.Exit(1)
