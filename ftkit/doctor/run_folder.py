"""A run folder looked over: is it whole, is it still what it was, and what do its curves say?

    examine_run(folder)    nine checks of a finished run, one of a run that was killed

Each check takes what the record holds and gives a finding with its cure. How a run folder is made
and read is `train`'s business (`train/run_folder.py`); the machine is looked over in
`environment.py`. Shown by `python -m ftkit doctor FOLDER`.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import models, train
from ..core.errors import UserError
from ..core.results import about
from ..core.versions import PACKAGES, version_of
from ..train import CHECKPOINTS, Experiment, hash_rows, read_record, warn_of_rate
from .finding import Finding, Findings

OVERFIT = 1.02  # a last validation loss above so many times the best one is more than noise
ENDS = 5  # steps at either end of a loss curve whose median stands for that end
UNIT = "nats per answer token"
AGAIN = "train again; the record makes the same run: python -m ftkit train RUN/run.json --out NEW"

Points = Sequence[Sequence[float]]  # a curve of a record: [[step, loss], …]


def examine_run(folder: str | Path) -> Findings:
    """Every check of a run folder; of one that was killed the one that says how far it came.

    Raises `UserError` for a folder that holds neither run.json nor the checkpoints of a run.
    """
    folder = Path(folder)
    title = f"The run in {folder}"
    has_record = (folder / "run.json").is_file()
    if not has_record and (folder / CHECKPOINTS / "begun.json").is_file():
        return Findings(title, [describe_unfinished(folder)])
    try:
        record = read_record(folder)
        experiment = Experiment.from_dict(record["experiment"])
    except UserError as error:
        if not has_record:
            raise
        cure = "train again from the recipe, into another folder"
        return Findings(title, [Finding.wrong("record", sentence(error), cure)])
    return Findings(title, check_record(folder, record, experiment))


def check_record(folder: Path, record: Mapping[str, Any], experiment: Experiment) -> list[Finding]:
    """The checks of a run whose record can be read."""
    hashes, losses = record["hashes"], record["losses"]
    recipe, is_lora = experiment.recipe, experiment.lora is not None
    method = "LoRA" if is_lora else "full fine-tuning"
    whole = f"run.json is whole: {record['steps']} steps, {method}, seed {recipe.seed}"
    return [
        Finding.fine("record", whole),
        check_versions(record["versions"], {name: version_of(name) for name in PACKAGES}),
        check_base(hashes.get("base", ""), experiment.model),
        check_weights(folder / ("adapter" if is_lora else "model")),
        check_rate(recipe.lr, method),
        check_divergence(record.get("stopped"), losses),
        check_training_loss(losses),
        check_overfitting(record["validation"], keeps_best=recipe.keep_best),
        check_data(hashes.get("train", ""), experiment),
    ]


def sentence(error: UserError) -> str:
    """What an error says, without the point at its end: a cure may follow."""
    return str(error).rstrip(".")


def describe_unfinished(folder: Path) -> Finding:
    """A run that was killed: its checkpoints are there and its record is not."""
    last = max(train.whole_checkpoints(folder / CHECKPOINTS), default=None)
    place = "no checkpoint was whole yet"
    if last is not None:
        place = f"the checkpoint of step {last} is whole"
    return Finding.wrong(
        "record",
        f"the run has not ended, or was killed; {place}",
        f"python -m ftkit train RECIPE --out {folder}, with the recipe that began it, goes on "
        "from there",
    )


def check_versions(then: Mapping[str, str], now: Mapping[str, str | None]) -> Finding:
    """Are the libraries those of the run?

    Other ones give other digits, and a run that is not the same to the bit.
    """
    changed = {name: was for name, was in then.items() if was != now.get(name)}
    if not changed:
        return Finding.fine("versions", f"the {len(then)} libraries are those of the run")
    moved = [
        f"{name} was {was} and is {now.get(name) or 'not installed'} now"
        for name, was in changed.items()
    ]
    pins = [f"{name}=={was.partition('+')[0]}" for name, was in changed.items()]
    return Finding.wrong(
        "versions",
        f"{', '.join(moved)}, so scores and a second run may differ",
        f"to repeat the run exactly: pip install {' '.join(pins)}",
    )


def check_base(was: str, name: str | None) -> Finding:
    """Is the base model still the one that was tuned? A hub model is looked up in the cache alone.

    was: its fingerprint in the record.
    """
    # where it is now, and what it is there
    try:
        where = models.resolve(name)
    except UserError as error:
        return Finding.wrong("base", sentence(error), "put the base back where the run found it")
    local = Path(where).is_dir()
    now = models.hash_weights(Path(where)) if local else models.hub_commit(where)
    if now is None:
        return Finding.fine(
            "base", f"not looked at: {name} is not in the hub cache of this machine"
        )
    # is it what it was?
    if was != now:
        return Finding.wrong(
            "base",
            f"{name} is another base now ({now[:20]}… here, {was[:20]}… in the run), "
            "so the adapter's update fits it no longer",
            "load the base that was tuned, or train again on this one",
        )
    same = f"{name} is the base that was tuned, to the bit" if local else f"{name}, {now}"
    return Finding.fine("base", same)


def check_weights(folder: Path) -> Finding:
    """Is every safetensors file of the run whole, and every number in it finite?"""
    check = folder.name
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        return Finding.wrong(check, f"{folder} holds no *.safetensors file", AGAIN)
    tensors = numbers = 0
    for file in files:
        # whole?
        try:
            models.check_safetensors(file)
        except UserError as error:
            return Finding.wrong(check, str(error).partition(";")[0], AGAIN)
        # finite? One tensor at a time, so that no more than one is in memory
        for name, tensor in models.read_tensors(file):
            broken = int((~tensor.isfinite()).sum())
            if broken:
                return Finding.wrong(
                    check,
                    f"{models.plain_name(name)} holds {broken:,} values that are NaN or infinite, "
                    "so every answer will be noise",
                    "train again at a lower learning rate, or with a longer warm-up",
                )
            tensors, numbers = tensors + 1, numbers + tensor.numel()
    return Finding.fine(check, f"{tensors} tensors, {numbers:,} numbers, all finite")


def check_rate(lr: float, method: str) -> Finding:
    """Does the learning rate lie where people's do?"""
    if warning := warn_of_rate(lr, method):
        cure = "train again with a rate in that range"
        return Finding.wrong("learning rate", warning.rstrip("."), cure)
    return Finding.fine("learning rate", f"{lr:g} is no unusual rate for {method}")


def check_divergence(stopped: str | None, losses: Points) -> Finding:
    """Did the run break off, or is a loss in its curve not a number?

    stopped: why it broke off, as the record says it.
    """
    broken = next((int(step) for step, loss in losses if not math.isfinite(loss)), None)
    if not stopped and broken is None:
        return Finding.fine("divergence", "the run went to its end, and every loss is finite")
    reason = stopped or f"the loss of step {broken} is not finite"
    reason = reason.partition(" To mend it")[0].rstrip(".")
    return Finding.wrong(
        "divergence",
        f"the run broke off: {reason}",
        "lower the learning rate or warm up longer, and train again",
    )


def check_training_loss(losses: Points) -> Finding:
    """Is the loss lower at the end than at the start?

    Both ends are medians of up to `ENDS` steps, since single steps are noisy.
    """
    finite = [loss for _, loss in losses if math.isfinite(loss)]
    if len(finite) < 2:
        short = f"not looked at: a curve of {len(finite)} steps has no direction"
        return Finding.fine("training loss", short)
    n = max(1, min(ENDS, len(finite) // 3))
    first, last = statistics.median(finite[:n]), statistics.median(finite[-n:])
    span = f"{about(first)} → {about(last)} {UNIT}"
    if last < first:
        return Finding.fine("training loss", f"it fell: {span}")
    return Finding.wrong(
        "training loss",
        f"it did not fall ({span}), so the model learned nothing or lost what it knew",
        "look at the rows the model sees, then lower the learning rate or raise the epochs",
    )


def check_overfitting(validation: Points, *, keeps_best: bool) -> Finding:
    """Did the validation loss end above its best? Then the last steps learned by heart.

    keeps_best: the run kept the weights of the best point, not those of the last step.
    """
    points = [(int(step), loss) for step, loss in validation if math.isfinite(loss)]
    if not points:
        return Finding.fine("over-fitting", "not looked at: the run has no validation points")
    best_step, best = min(points, key=lambda point: point[1])
    last_step, last = points[-1]
    if last <= OVERFIT * best:
        ended = f"the validation loss ended at its best, {about(last)}"
        return Finding.fine("over-fitting", ended)
    cure = "train fewer epochs, more rows or a smaller rank"
    return Finding.wrong(
        "over-fitting",
        f"the validation loss was {about(best)} at step {best_step} and rose to {about(last)} "
        f"at step {last_step}; the {'best' if keeps_best else 'last'} step's weights were kept",
        cure if keeps_best else f"{cure}, or set keep_best: true",
    )


def check_data(was: str, experiment: Experiment) -> Finding:
    """Do the data give the very rows that the run was trained on?

    Looked at where they are here and no model is needed for them. was: their hash in the record.
    """
    try:
        rows = experiment.load_splits()["train"]
    except UserError as error:
        return Finding.fine("data", f"not looked at: {sentence(error)}")
    if hash_rows(rows) == was:
        return Finding.fine("data", f"{len(rows):,} training rows, the same as in the run")
    return Finding.wrong(
        "data",
        f"{experiment.data} now gives other training rows than the run saw, "
        "so the record no longer makes the same run",
        "put the file back as it was, or train again and keep the new record",
    )
