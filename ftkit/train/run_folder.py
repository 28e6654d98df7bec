"""A run in its folder: claimed, trained, saved, recorded, and opened again.

    train_into(experiment, out)              train and save, or go on after a kill
    claim_next(out)                          a new run-N in it, for one caller alone
    check_place(experiment, out)             refuses a place that can't take the run, beforehand
    save_run(experiment, run, tokenizer, out)    run.json beside adapter/ (or model/)
    trained_rows(out)                        what it was trained on, by `data.row_hash`
    reopen(out)                              (tuned, base, tokenizer)

While a run goes on its folder holds checkpoints/ with begun.json, which says whose they are; when
it is done, run.json and the weights alone. That training goes on from the last checkpoint there is
`resuming.py`'s work, what a checkpoint is `checkpoint.py`'s. Taught in notebook 07.
"""

import contextlib
import dataclasses
import itertools
import json
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from .. import data, lora, methods, models
from ..core.errors import UserError
from ..core.files import HALF, whole_or_nothing, write_whole
from ..core.parsing import parse_json, read_text
from ..core.session import is_first, processes
from .checkpoint import (
    BEGUN,
    CHECKPOINTS,
    differences,
    drop_checkpoints,
    explain_write_errors,
    lock_folder,
    refuse_other_tokens,
    sweep,
    whole_checkpoints,
)
from .experiment import Experiment, holds, read_record
from .resuming import tokenize
from .supervised import Diverged, Run, hash_judges, hash_sources, hash_tokens, sft
from .watcher import STEPS, Stop, Watch, as_lines

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


ROWS = "rows.json"  # beside run.json: what the rows said, hashed
# What a run folder holds when the run is done.
WRITTEN = ("adapter", "model", "run.json", ROWS, STEPS)

# What has changed where a hash of a record is another one; each of them moves those below it.
CHANGED = {
    "base": "the base's weights are others",
    "train": "the data give other training rows",
    "validation": "the data give other validation rows",
    "rendered": "the chat template gives other tokens for the same rows",
}

SOURCES = ("base", "train", "validation")  # those that are known before a run begins


class Teaching(NamedTuple):
    """How an experiment is made ready, and what trains it: `sft`, or what `prefer` puts here."""

    ready: Callable[[Experiment], tuple[Any, Any, Any]] = Experiment.prepare
    teach: Callable[[Experiment], Callable[..., Run]] = lambda _: sft


def train_into(
    experiment: Experiment,
    out: str | Path,
    stop: Stop | None = None,
    watch: Watch | None = None,
    teaching: Teaching | None = None,
) -> Run | None:
    """Train and save into the run folder `out`, or go on from the last checkpoint there.

    On a CPU a run that was killed and goes on ends with the same bytes. Returns None where `out`
    holds this very run complete. stop, watch: see `sft`. teaching: for an objective of its own, as
    `prefer.train_into` gives it.

    Raises `UserError` for a folder that holds another run, or that another process is writing into.
    A run that diverges is saved with its last good weights before `Diverged` goes on its way.
    """
    out = Path(out)
    if teaching is None and experiment.objective is not None:
        raise UserError(
            f"the objective is {experiment.goal.name}, not the usual loss; train it by "
            "prefer.train_into, or python -m ftkit train."
        )
    if processes() > 1 and experiment.objective is not None:
        raise UserError(
            f"{processes()} processes share this run, and {experiment.goal.name} is trained in "
            "one; python -m ftkit train."
        )
    if out.is_file():
        raise UserError(f"{out} is a file; give a folder to write into.")
    if not is_first():
        return train_beside(experiment, out, teaching or Teaching())
    with explain_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    try:
        with lock_folder(out):
            return train_locked(experiment, out, stop, watch, teaching or Teaching())
    except UserError:
        with contextlib.suppress(OSError):  # the folder goes again if nothing came of it
            out.rmdir()
        raise


def train_beside(experiment: Experiment, out: Path, teaching: Teaching) -> Run | None:
    """Train along with the first of several processes, which alone writes into `out`.

    Checkpoints are read from there, where it goes on. None where `out` holds a run that is done;
    whether it is this very run the first process says.
    """
    if (out / "run.json").is_file():
        return None
    model, tokenizer, splits = teaching.ready(experiment)
    with data.on_date(experiment.dated(tokenizer).date):
        train = teaching.teach(experiment)
        return train(model, tokenizer, splits, experiment.recipe, None, None, out / CHECKPOINTS)


def train_locked(
    experiment: Experiment,
    out: Path,
    stop: Stop | None,
    watch: Watch | None,
    teaching: Teaching,
) -> Run | None:
    """`train_into`, in a folder that no other process writes into."""
    for left in out.glob(f"{HALF}*"):  # of a process that was killed while it saved
        shutil.rmtree(left, ignore_errors=True)
    model, tokenizer, splits = teaching.ready(experiment)
    made_from = hash_sources(model, splits["train"])
    if not experiment.goal.drawn:  # which looks at no validation rows
        made_from |= hash_judges(splits, experiment.recipe)
    experiment = continue_date(experiment, out).dated(tokenizer)
    if claim_folder(experiment, out, made_from):
        with data.on_date(experiment.date):
            check_tokens(experiment, out, (model, tokenizer, splits))
        return None

    # train, and save what came of it
    said, checkpoints = explain_changes(experiment.hashes, made_from), out / CHECKPOINTS
    try:
        with data.on_date(experiment.date):
            train = teaching.teach(experiment)
            run = train(model, tokenizer, splits, experiment.recipe, stop, watch, checkpoints)
    except Diverged as error:
        finish(experiment, error.run, tokenizer, out)
        raise
    except UserError:
        if not whole_checkpoints(checkpoints):  # nothing came of it
            tidy(out)
        raise
    said = said or explain_changes(experiment.hashes, run.hashes)
    hashes = {**made_from, **run.hashes}
    run = dataclasses.replace(run, notes=[*run.notes, *said], hashes=hashes)
    finish(experiment, run, tokenizer, out)
    return run


def stated_in(out: Path) -> tuple[Path, dict[str, Any]] | None:
    """The file that says which run `out` holds, run.json or begun.json, and what it says.

    None where there is neither. Raises `UserError` for one that is no record of a run.
    """
    for file in (out / "run.json", out / CHECKPOINTS / BEGUN):
        if not file.is_file():
            continue
        record = parse_json(read_text(file), file)
        if not (holds(record, "experiment", Mapping) and holds(record, "hashes", Mapping)):
            raise UserError(
                f"{file} is no record of a run: 'experiment' or 'hashes' is missing; "
                "give another --out, or remove it."
            )
        return file, record
    return None


def continue_date(experiment: Experiment, out: Path) -> Experiment:
    """The experiment on the date of the run that `out` holds, where it states none itself."""
    stated = stated_in(out)
    date = stated[1]["experiment"].get("date") if stated else None
    return dataclasses.replace(experiment, date=experiment.date or date)


def explain_changes(was: Mapping[str, str] | None, now: Mapping[str, str]) -> list[str]:
    """Why a run that is made again from a record is another one, warned of: a sentence, or none.

    was: the hashes of the record; None for a run that is made from no record.
    """
    for name, what in CHANGED.items():
        if was and name in was and name in now and was[name] != now[name]:
            sentence = (
                f"this is another run than the record's: {what} "
                f"({was[name][:12]}… then, {now[name][:12]}… now)."
            )
            warnings.warn(sentence, stacklevel=2)
            return [sentence]
    return []


def claim_folder(experiment: Experiment, out: Path, made_from: Mapping[str, str]) -> bool:
    """Make `out` ready for a run; True where it holds this run complete.

    made_from: the hashes of the base, of the training rows and of those that judge the steps.
    Raises `UserError` for a folder that belongs to another run or holds what is none, and where
    this run is there but broke off.
    """
    checkpoints = out / CHECKPOINTS
    found = stated_in(out)
    if found is None:
        begin(experiment, checkpoints, made_from)
        return False

    # is it this very run?
    stated, record = found
    before = {name: value for name, value in record["hashes"].items() if name in SOURCES}
    now = dict(made_from)
    if "validation" not in before:  # of a record from before these were hashed
        now.pop("validation", None)
    theirs = identity(Experiment.from_dict(record["experiment"]), before)
    if other := differences(theirs, identity(experiment, now)):
        raise UserError(
            f"{out} holds another run ({'; '.join(other)}); "
            "give another --out, the same recipe, or remove that folder."
        )

    # is it under way, or done?
    if stated.parent == checkpoints:
        sweep(checkpoints)
        return False
    tidy(out)
    if stopped := record.get("stopped"):
        raise UserError(f"{out} holds this run already, and it broke off: {stopped}")
    return True


def check_tokens(experiment: Experiment, out: Path, ready: tuple[Any, Any, Any]) -> None:
    """Refuse a run that is done where its rows are other tokens now; of the usual loss alone.

    ready: the model, the tokenizer and the splits. A record may state no hash of its tokens.
    """
    stated = stated_in(out)
    was = stated[1]["hashes"].get("rendered") if stated else None
    if was is None or experiment.objective is not None:
        return
    model, tokenizer, splits = ready
    train = tokenize(splits, model, tokenizer, experiment.recipe)[0]["train"]
    refuse_other_tokens(out, was, hash_tokens(train, experiment.recipe.max_length))


def identity(experiment: Experiment, hashes: Mapping[str, str]) -> dict[str, Any]:
    """What makes two runs the same one."""
    return {**unreported(experiment.to_dict()), "hashes": dict(hashes)}


def unreported(stated: Mapping[str, Any]) -> dict[str, Any]:
    """A stated experiment without where it is reported to, which makes no other run of it."""
    recipe = stated.get("recipe", {})
    told = {name: value for name, value in recipe.items() if name != "report_to"}
    return {**stated, "recipe": told}


def begin(experiment: Experiment, checkpoints: Path, made_from: Mapping[str, str]) -> None:
    """Write begun.json into a new folder of checkpoints; refused where there are some already.

    So is a folder that holds something else by a name that the run will need.
    """
    for name in WRITTEN:
        if (place := checkpoints.with_name(name)).exists():
            raise UserError(
                f"{place} is there and no run of the kit wrote it; give another --out, or move it "
                "away."
            )
    if whole_checkpoints(checkpoints):
        raise UserError(
            f"{checkpoints} holds checkpoints and no begun.json, so they are of no run of the kit; "
            "give another --out."
        )
    begun = {"experiment": experiment.to_dict(), "hashes": dict(made_from)}
    with explain_write_errors(checkpoints.parent):
        checkpoints.mkdir(exist_ok=True)
        write_whole(checkpoints / BEGUN, json.dumps(begun))


def finish(
    experiment: Experiment, run: Run, tokenizer: "PreTrainedTokenizerBase", out: Path
) -> None:
    """Save a run that is done, then remove its checkpoints."""
    with explain_write_errors(out / CHECKPOINTS):
        save_run(experiment, run, tokenizer, out)
    tidy(out)


def tidy(out: Path) -> None:
    """Remove the checkpoints of a run that is done, and nothing else that may lie beside them."""
    checkpoints = out / CHECKPOINTS
    drop_checkpoints(checkpoints, but=())
    sweep(checkpoints)
    with contextlib.suppress(OSError):
        (checkpoints / STEPS).unlink(missing_ok=True)
        (checkpoints / BEGUN).unlink(missing_ok=True)
        checkpoints.rmdir()


def claim_next(out: str | Path, first: int = 1) -> tuple[int, Path]:
    """(N, the new and empty folder out/run-N), N from `first` on: nobody else is given it.

    Two notebooks in one folder so get two, and each fills its own by `save_run`. Raises `UserError`
    where nothing can be written, before anything is trained.
    """
    out = Path(out)
    with explain_write_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(first):
            # made in one move: who comes second finds it there
            with contextlib.suppress(FileExistsError):
                (out / f"run-{number}").mkdir()
                break
    return number, out / f"run-{number}"


def check_place(experiment: Experiment, out: str | Path) -> None:
    """Refuse a folder that holds another run, and one that can't be written into."""
    out = Path(out)
    if out.is_file():
        raise UserError(f"{out} is a file; give a folder to write into.")
    stated = stated_in(out)
    theirs = unreported(stated[1]["experiment"]) if stated else {}
    ours = unreported(experiment.to_dict())
    # no date stated takes the record's
    theirs = {name: value for name, value in theirs.items() if name != "date" or name in ours}
    if theirs and (other := differences(theirs, ours)):
        raise UserError(
            f"{out} holds another run ({'; '.join(other)}), which would be lost; give another "
            "folder, or remove that one."
        )
    there = next(place for place in (out, *out.absolute().parents) if place.is_dir())
    with explain_write_errors(out), tempfile.TemporaryFile(dir=there):
        pass


def save_run(
    experiment: Experiment,
    run: Run,
    tokenizer: "PreTrainedTokenizerBase",
    out: str | Path,
    scores: Mapping[str, Any] | None = None,
) -> Path:
    """Write run.json, its rows, its steps and adapter/ (or model/ after full fine-tuning).

    Returns `out`. steps.jsonl has a line for all that was logged at a step, such as the rate;
    rows.json says what the run was trained on and validated with (see `trained_rows`). All of it
    arrives in `out`, or nothing does. scores: what was measured of the run, for its record. Raises
    `UserError` for a folder that holds another run.
    """
    out = Path(out)
    check_place(experiment, out)
    experiment = dataclasses.replace(experiment, date=run.date or experiment.date)
    record = {"experiment": experiment.to_dict(), **run.json(), "scores": scores or {}}
    begun = out / CHECKPOINTS  # where there are some, the sentence says which one is safe
    with explain_write_errors(begun if begun.is_dir() else out), whole_or_nothing(out) as new:
        weights = new / ("adapter" if lora.is_attached(run.model) else "model")
        run.model.save_pretrained(str(weights))
        tokenizer.save_pretrained(weights)
        text = json.dumps(record, indent=1) + "\n"
        (new / "run.json").write_text(text, encoding="utf-8")
        (new / ROWS).write_text(json.dumps(run.rows, indent=0) + "\n", encoding="utf-8")
        (new / STEPS).write_text(as_lines(run.trainer.state.log_history), encoding="utf-8")
    return out


def trained_rows(folder: str | Path, split: str = "train") -> set[str]:
    """What the rows said that a run was trained on, as `data.row_hash` of each.

    split: "validation" gives those that chose its best checkpoint. Raises `UserError` for a run
    folder without the list, as older ones are, and for a list that is none.
    """
    file = Path(folder) / ROWS
    if not file.is_file():
        raise UserError(f"{folder} holds no {ROWS}, which says what the run was trained on.")
    stated = parse_json(read_text(file), file)
    rows = stated.get(split, []) if isinstance(stated, Mapping) else None
    if not isinstance(rows, list) or not all(isinstance(row, str) for row in rows):
        raise UserError(f"{file} is no list of a run's rows; copy it again, or train again.")
    return set(rows)


def reopen(
    folder: str | Path,
) -> "tuple[PreTrainedModel, PreTrainedModel, PreTrainedTokenizerBase]":
    """`(tuned, base, tokenizer)` of a run folder; base and tuned are two models, loaded afresh.

    tuned: after a LoRA, peft's model around the base's twin, which has the same calls.

    Raises `UserError` where the base is no longer the one that was tuned.
    """
    folder = Path(folder)
    record = read_record(folder)
    experiment = Experiment.from_dict(record["experiment"])
    if experiment.goal.name == "reward":
        raise UserError(
            f"{folder} holds a model of rewards, which gives numbers and no replies; open it by "
            "prefer.open_reward."
        )
    base, tokenizer = models.load(experiment.model, experiment.quant)
    check_same_base(folder, record, base)
    if not experiment.trains_adapter:
        return models.load(folder / "model")[0], base, tokenizer
    second, _ = models.load(experiment.model, experiment.quant)
    tuned = cast("PreTrainedModel", methods.load(second, folder / "adapter").eval())
    return tuned, base, tokenizer


def check_same_base(folder: str | Path, record: Mapping, base: "PreTrainedModel") -> None:
    """Refuse a base that is no longer the one on which the run of a folder was trained."""
    was, now = record["hashes"].get("base", "unknown"), models.fingerprint(base)
    if was != now:
        raise UserError(
            f"{folder} was trained on another {record['experiment']['model']!r} ({was[:12]}…, here "
            f"{now[:12]}…); give it the base it was trained on."
        )
