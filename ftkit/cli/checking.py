"""The verbs that look over a file of rows before any run: `check` and `audit`.

    check    every bad row by line, copies, leaks, lengths    data.check, data.to_html
    audit    what is wrong with rows that are each right      audit.audit, audit.to_html

Exit 1 where a row is bad; copies and leaks are told and are no error. With --html they write a page
of all that was found. Notebook 07 says what a row has to be, notebook 05 what a set of them.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from .. import audit as wing
from .. import data, evaluate, models
from ..core.errors import UserError
from ..core.files import write_whole
from ..core.session import quiet
from ..train import Experiment, Recipe
from .app import Encoding, Json, app, one_sentence, say, show

File = Annotated[
    str, typer.Argument(help="A task of the kit, or JSONL, JSON, CSV, TSV, Parquet, or a folder.")
]
Model = Annotated[
    str | None,
    typer.Option(help="Hold the rows to the chat template of this model, or of this run's base."),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Tokens after which training cuts a row; by default the run's, or a recipe's usual.",
    ),
]
Against = Annotated[
    str | None, typer.Option(help="A second file, which should have no row of this one.")
]
Page = Annotated[Path | None, typer.Option("--html", help="Write all that was found as a page.")]

Field = Annotated[
    str | None, typer.Option(help="Count its classes: a field of answers in JSON, or a column.")
]
Template = Annotated[str | None, typer.Option(help="Count tokens by the template of this model.")]
Cut = Annotated[int, typer.Option(min=1, help="Where training cuts a row.")]


@app.command()
def check(
    file: File,
    model: Model = None,
    max_length: MaxLength = None,
    against: Against = None,
    encoding: Encoding = None,
    page: Page = None,
    as_json: Json = False,
) -> None:
    """Look over a file of rows: bad ones by line, copies, leaks, lengths.

    Exit 1 where a row is bad.
    """
    with one_sentence():
        options: dict[str, Any] = {}
        if model is not None:
            say("reading the model's chat template")
            quiet()
            options = ask_model(model)
        options["max_length"] = max_length or options.get("max_length", Recipe.max_length)
        checked = data.check(file, against=against, encoding=encoding, **options)
        if page is not None:
            write_page(page, data.to_html(checked))
        show(checked, as_json, checked.json())
        if checked.errors:
            raise typer.Exit(1)


@app.command()
def audit(
    file: File,
    against: Against = None,
    label: Field = None,
    model: Template = None,
    max_length: Cut = Recipe.max_length,
    encoding: Encoding = None,
    page: Page = None,
    as_json: Json = False,
) -> None:
    """Audit rows that are each right: copies, leaks, balance, secrets, lengths.

    Exit 0 whatever is found; a bad row is exit 1 (`check` names them all).
    """
    with one_sentence():
        options: dict[str, Any] = {"max_length": max_length, "encoding": encoding}
        if model is not None:
            say("reading the model's chat template")
            quiet()
            options["tokenizer"] = models.load_tokenizer(models.resolve(model))
        options["tests"] = {"grounded in the question": evaluate.is_grounded}
        audited = wing.audit(file, against, label, **options)
        if page is not None:
            write_page(page, wing.to_html(audited))
        show(audited, as_json, audited.json())


def ask_model(name: str) -> dict[str, Any]:
    """What a model says of lengths, as options of `data.check`; of a run, its base and recipe."""
    options: dict[str, Any] = {}
    if Path(name, "run.json").is_file():
        experiment = Experiment.read(name)
        options["max_length"], name = experiment.recipe.max_length, experiment.model or "pocket"
    where = models.resolve(name)
    config = models.architecture.read(where)
    config = config.get("text_config", config)
    options["positions"] = config.get("max_position_embeddings", config.get("n_positions"))
    return {**options, "tokenizer": models.load_tokenizer(where)}


def write_page(page: Path, text: str) -> None:
    """Write the page; its folder has to be there."""
    if page.is_dir() or not page.parent.is_dir():
        raise UserError(f"--html is {page}; give the name of a file in a folder that is there.")
    try:
        write_whole(page, text)
    except OSError as error:
        raise UserError(f"could not write {page} ({error.strerror or error}).") from error
