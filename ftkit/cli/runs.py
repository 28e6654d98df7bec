"""The verbs around a run: `tour`, `train`, `evaluate`, `merge`."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from .. import data as sets
from .. import evaluate as evaluation
from .. import forgetting, lab, models
from .. import merge as merging
from .. import train as training
from ..core.files import whole_or_nothing
from ..core.session import setup
from .app import Json, Out, app, one_sentence, say, show


@app.command()
def tour(
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for run.json, adapter/, merged/ and figures."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Tune a model in a minute, and see what it cost: notebook 00 without the notebook."""
    with one_sentence():
        say("importing torch, transformers, peft and TRL")
        setup(seed=0)
        result = lab.run_tour(out, say)
        show(result, as_json, result.json())


@app.command()
def train(
    recipe: Annotated[
        Path, typer.Argument(help="A YAML recipe, a run.json or the folder of a run.")
    ],
    out: Out,
    as_json: Json = False,
) -> None:
    """Train from a recipe or from the record of an earlier run.

    Killed, the same command goes on from the last checkpoint.
    """
    with one_sentence():
        experiment = training.Experiment.read(recipe)
        setup(seed=experiment.recipe.seed)
        run = experiment.into(out)
        record = json.loads((out / "run.json").read_text(encoding="utf-8"))
        values = {
            "loss": record["losses"][-1][1],
            "steps": record["steps"],
            "seconds": record["seconds"],
            "adapter": str(out / ("adapter" if experiment.lora is not None else "model")),
            "record": str(out / "run.json"),
        }
        nothing_left = f"{out} holds this very run already; nothing was left to train."
        show(run or nothing_left, as_json, values)


@app.command()
def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="'pocket', 'hub', a model directory, a hub id, or the folder of a run."
        ),
    ],
    data: Annotated[str, typer.Option("--data", help="A task of the kit or a JSONL file.")],
    as_json: Json = False,
) -> None:
    """Five dimensions: a run's model beside its base, or one model alone."""
    with one_sentence():
        setup(seed=0)
        test = sets.test_rows(data)
        if Path(model, "run.json").is_file():
            tuned, base, tokenizer = training.reopen(model)
            compared = evaluation.compare(base, tuned, tokenizer, test)
            before, after = (forgetting.skills(each, tokenizer) for each in (base, tuned))
            forgotten = forgetting.table(before, after)
            raised = evaluation.flags(compared, forgotten)
            values = {**compared.json(), **forgotten.json(), **raised.json()}
            show(f"{compared}\n\n{forgotten}\n\n{raised}", as_json, values)
            return
        base, tokenizer = models.load(model)
        score = evaluation.score(base, tokenizer, test, model)
        skills = forgetting.skills(base, tokenizer)
        values = {
            "task": score.task.value,
            "format": score.format.value,
            "skills": {name: rate.value for name, rate in skills.rates.items()},
        }
        show(f"{score}\n\n{skills}", as_json, values)


@app.command()
def merge(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Fold a run's adapter into its base, prove that nothing moved, write a plain model directory."""
    with one_sentence():
        setup(seed=0)
        tuned, _, tokenizer = training.reopen(run)
        merged, report = merging.merge(tuned)
        with whole_or_nothing(out) as new:
            merged.save_pretrained(new)
            tokenizer.save_pretrained(new)
        show(report, as_json, dataclasses.asdict(report))
