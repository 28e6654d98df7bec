"""The verbs around a run: `tour`, `train`, `runs`, `evaluate`, `merge`, `report`.

    tour       the whole road in a minute                       lab.run_tour
    train      a recipe or a record into a run folder           train.Experiment
    runs       run folders side by side, with what each cost    cost.list_runs
    evaluate   a run beside its base, or one model alone        evaluate.compare, forgetting
    merge      a run's adapter folded into its base, proven     merge.merge
    report     a run as one page: what may be said of it        lab.report

A run folder is what `train --out` and `tour --out` write, and what the others read. Whether it
is whole is asked by `doctor` (`upkeep.py`). Notebooks 00, 07, 09 and 13 do the same step by step.
"""

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .. import cost as costs
from .. import data as sets
from .. import evaluate as evaluation
from .. import forgetting, lab, models
from .. import merge as merging
from .. import prefer as preferring
from .. import train as training
from ..core.session import is_first, setup
from .app import Encoding, Json, Out, app, one_sentence, say, show

if TYPE_CHECKING:
    from datasets import Dataset

Recipe = Annotated[Path, typer.Argument(help="A YAML recipe, a run.json or the folder of a run.")]
Model = Annotated[
    str,
    typer.Argument(
        help="'pocket', 'smollm2', 'hub', a model directory, a hub id, or the folder of a run."
    ),
]


@app.command()
def tour(
    out: Annotated[
        Path | None, typer.Option(help="Folder for run.json, adapter/, merged/ and figures.")
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
    recipe: Recipe,
    out: Out,
    wanted: Annotated[
        int | None,
        typer.Option(
            "--processes", help="Refuse to train in more or fewer: torchrun --nproc_per_node N."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train from a recipe or from the record of an earlier run.

    Killed, the same command goes on from the last checkpoint. `torchrun --nproc_per_node N -m ftkit
    train …` shares the rows of each step among N processes, the first of which writes and speaks.
    """
    with one_sentence():
        training.check_processes(wanted)
        experiment = training.Experiment.read(recipe)
        setup(seed=experiment.recipe.seed)
        if is_first():
            say(f"training into {out}{training.told_processes()}")
        watch = training.tell_steps(say) if is_first() else None
        run = preferring.train_into(experiment, out, watch=watch)
        if not is_first():
            return
        # the record speaks for a run that was there already, too
        record = training.read_record(out)
        weights = "adapter" if experiment.trains_adapter else "model"
        values = {
            "loss": record["losses"][-1][1] if record["losses"] else None,
            "steps": record["steps"],
            "seconds": record["seconds"],
            "adapter": str(out / weights),
            "record": str(out / "run.json"),
        }
        nothing_left = f"{out} holds this very run already; nothing was left to train."
        show(run or nothing_left, as_json, values)


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="A folder of run folders, or one of them.")],
    by: Annotated[
        str | None, typer.Option(help="A column or a score to sort by, the lowest first.")
    ] = None,
    watts: Annotated[
        str | None, typer.Option(help="Power the machine draws: 65, or 15,125 for low and high.")
    ] = None,
    price_per_hour: Annotated[
        str | None, typer.Option(help="Of the machine: 2, or 1.5,3.5; without it no money.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show run folders side by side: what each learned, how long it took and what that cost."""
    with one_sentence():
        drawn = None if watts is None else costs.price_range(watts, "watts")
        hour = None if price_per_hour is None else costs.price_range(price_per_hour)
        found = costs.list_runs(folder, by=by, watts=drawn, per_hour=hour)
        show(found, as_json, found.json())


@app.command()
def evaluate(
    model: Model,
    data: Annotated[str, typer.Option(help="A task of the kit or a file of rows.")],
    everything: Annotated[
        bool, typer.Option("--all", help="Score the rows that the run was trained on, too.")
    ] = False,
    schema: Annotated[
        Path | None,
        typer.Option(
            help="A file with a JSON Schema: it judges format, not the right answers' keys."
        ),
    ] = None,
    fuzzy: Annotated[
        bool, typer.Option("--fuzzy", help="How like the gold are replies that are not exact?")
    ] = False,
    encoding: Encoding = None,
    as_json: Json = False,
) -> None:
    """Five dimensions: a run's model beside its base, or one model alone.

    Rows that the run was trained on or validated with are left out.
    """
    with one_sentence():
        setup(seed=0)
        asked = Asked(schema and evaluation.read_schema(schema), fuzzy)
        test = sets.test_rows(data, encoding)
        runs = find_runs(model)
        notes, values = [] if runs else explain_lost(model), {}
        if not everything:
            test, notes, values = keep_new(test, runs, notes)
        text, measured = (
            compare_run(runs[0], test, asked)
            if runs and Path(model).resolve() in (runs[0].resolve(), runs[0].resolve() / "adapter")
            else score_model(model, test, runs, asked)
        )
        show("\n\n".join([*notes, text]), as_json, {**values, "notes": notes, **measured})


@dataclasses.dataclass(frozen=True)
class Asked:
    """What `evaluate` is asked for beside the usual."""

    schema: "evaluation.Schema | None" = None
    fuzzy: bool = False

    def __post_init__(self) -> None:
        if self.fuzzy:  # said before anything is asked of a model
            evaluation.likeness([], [])

    def near(self, *scores: "evaluation.Score") -> tuple[list[str], dict]:
        """How like the golds the replies of some scores are: as texts and as JSON values."""
        if not self.fuzzy:
            return [], {}
        found = [evaluation.fuzzy(score) for score in scores]
        values = {one.name: one.json() for one in found}
        return list(map(str, found)), {"fuzzy": values if len(found) > 1 else found[0].json()}


def find_runs(model: str) -> list[Path]:
    """The runs that a model comes from: its own, and that of its base, if that was tuned too."""
    runs: list[Path] = []
    base: str | None = model
    while base is not None and (run := find_run(base)) and run not in runs:
        runs.append(run)
        base = training.read_record(run)["experiment"].get("model")
    return runs


def find_run(model: str) -> Path | None:
    """The run that a model is, lies in (adapter/, model/), or was merged from."""
    place = Path(model)
    if not place.is_dir():
        return None
    folders = [place, place.absolute().parent, merging.run_of(place)]
    return next((run for run in folders if run is not None and (run / "run.json").is_file()), None)


def explain_lost(model: str) -> list[str]:
    """What has to be said of a merged model whose run is gone; nothing of any other."""
    run = merging.run_of(model) if Path(model).is_dir() else None
    gone = f"{model} was merged from {run}, which is not there: "
    return [] if run is None else [f"{gone}rows that it was trained on would flatter it."]


def keep_new(
    test: "Dataset", runs: Sequence[Path], notes: Sequence[str]
) -> "tuple[Dataset, list[str], dict]":
    """(the rows that none of the runs has seen, the notes and what there is to say, in JSON)."""
    said, left_out, near = list(notes), 0, 0
    for run in runs:
        unseen = evaluation.keep_unseen(test, run)
        test, left_out = unseen.rows, left_out + unseen.left_out
        near = None if near is None or unseen.near is None else near + unseen.near
        said += unseen.notes
    return test, said, {"left_out": left_out, "near_copies": near} if runs else {}


def compare_run(folder: Path, test: "Dataset", asked: Asked) -> tuple[str, dict]:
    """A run's model beside its base, what it forgot, and red flags: as text and as JSON values."""
    tuned, base, tokenizer = training.reopen(folder)
    # a chat template that writes the date writes the one that it was trained on
    with sets.on_date(date_of(folder)):
        say(f"asking base and tuned {len(test)} test rows each")
        compared = evaluation.compare(base, tuned, tokenizer, test, schema=asked.schema)
        say("asking both for their skills")
        before, after = (forgetting.skills(each, tokenizer) for each in (base, tuned))
    # what general text costs them, beside the skills
    texts = forgetting.general_texts(tokenizer)
    was, now = (forgetting.text_loss(one, tokenizer, passages=texts) for one in (base, tuned))
    forgotten = forgetting.table(before, after, now.lost(was))
    raised = evaluation.flags(compared, forgotten)
    near, alike = asked.near(compared.base, compared.tuned)
    values = {**compared.json(), **alike, **forgotten.json(), **raised.json()}
    return "\n\n".join(map(str, (compared, *near, forgotten, raised))), values


def date_of(folder: Path) -> str | None:
    """The date on which a run was trained, where its chat template writes one."""
    return training.read_record(folder)["experiment"].get("date")


def score_model(name: str, test: "Dataset", runs: Sequence[Path], asked: Asked) -> tuple[str, dict]:
    """One model's answers to the test rows, and its skills: as text and as JSON values."""
    base, tokenizer = models.load(name)
    say(f"asking {name} {len(test)} test rows, then for its skills")
    with sets.on_date(date_of(runs[0]) if runs else None):
        score = evaluation.score(base, tokenizer, test, name, schema=asked.schema)
        skills = forgetting.skills(base, tokenizer)
    values = {
        "task": score.task.value,
        "format": score.format.value if score.format.n else None,
        "format_errors": {kind: rate.hits for kind, rate in score.errors.items()},
        "cut_off": score.cut_off.hits,
        "skills": {name: rate.value for name, rate in skills.rates.items()},
    }
    near, alike = asked.near(score)
    return "\n\n".join(map(str, (score, *near, skills))), {**values, **alike}


@app.command()
def merge(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    out: Out,
    dtype: Annotated[
        str | None,
        typer.Option(help="float32, bfloat16 or float16; by default that of the base on disk."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Fold a run's adapter into its base, write a model directory, prove that nothing moved."""
    with one_sentence():
        setup(seed=0)
        tuned, _, tokenizer = training.reopen(run)
        report = merging.write(tuned, tokenizer, out, dtype, run)
        show(report, as_json, dataclasses.asdict(report))


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    against: Annotated[
        list[Path] | None,
        typer.Option(help="Another run, compared by seed or by row; may be given several times."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The page; RUN/report.html by default.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Rows to judge on; by default the run's own test rows.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Ask the models anew what was asked before.")
    ] = False,
    probes: Annotated[
        int | None,
        typer.Option(help="Questions for each skill; by default 50, or 6 if the model is slow."),
    ] = None,
    price_per_hour: Annotated[
        str | None, typer.Option(help="Of the machine: 2, or 1.5,3.5; by default of rented cards.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run as one page: what came of it, what it cost, and what may be said of it."""
    with one_sentence():
        setup(seed=0)
        hour = None if price_per_hour is None else costs.price_range(price_per_hour)
        page = run / "report.html" if out is None else lab.check_page(out)
        options = {"again": again, "per_hour": hour, "probes": probes}
        found = lab.report(run, against or (), rows=data, **options, say=say)
        file = found.save(page)
        told = f"{found.text(shutil.get_terminal_size().columns)}\n\nThe page is {file}"
        show(told, as_json, {"file": str(file), **found.json()})
