"""A run folder looked over: is it whole, is it still what it was, and what do its curves say? One
`Finding` a check, with its cure.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from .. import models, train
from ..core.errors import UserError
from ..core.results import about
from ..core.versions import PACKAGES, version_of
from ..train import CHECKPOINTS, Experiment, digest, read_record, warn_of_rate
from .finding import Finding, Findings

OVERFIT = 1.02  # a last validation loss above so many times the best one is more than noise
ENDS = 5  # steps at either end of a loss curve whose median stands for that end


def examine_run(folder: str | Path) -> Findings:
    """Every check of a run folder; one without run.json is refused, unless it holds the checkpoints
    of a run that was killed.
    """
    folder = Path(folder)
    title = f"The run in {folder}"
    if not (folder / "run.json").is_file() and (folder / CHECKPOINTS / "begun.json").is_file():
        return Findings(title, [unfinished(folder)])
    try:
        known = read_record(folder)
        experiment = Experiment.from_dict(known["experiment"])
    except UserError as error:
        if not (folder / "run.json").is_file():
            raise
        return Findings(
            title,
            [
                Finding(
                    "record",
                    False,
                    str(error).rstrip("."),
                    "train again from the recipe, into another folder",
                )
            ],
        )
    method = "LoRA" if experiment.lora is not None else "full fine-tuning"
    losses, validation = known["losses"], known["validation"]
    found = [
        Finding(
            "record",
            True,
            f"run.json is whole: {known['steps']} steps, {method}, seed {experiment.recipe.seed}",
        ),
        versions(known["versions"], {name: version_of(name) for name in PACKAGES}),
        same_base(known["hashes"].get("base", ""), experiment.model),
        weights(folder / ("adapter" if experiment.lora is not None else "model")),
        rate(experiment.recipe.lr, method),
        diverged(known.get("stopped"), losses),
        fell(losses),
        overfit(validation, experiment.recipe.keep_best),
        same_data(known["hashes"].get("train", ""), experiment),
    ]
    return Findings(title, found)


def unfinished(folder: Path) -> Finding:
    """A run that was killed: its checkpoints are there and its record is not."""
    last = max(train.whole_checkpoints(folder / CHECKPOINTS), default=None)
    place = (
        "no checkpoint was whole yet" if last is None else f"the checkpoint of step {last} is whole"
    )
    cure = f"python -m ftkit train RECIPE --out {folder}, with the recipe that began it, goes on from there"
    return Finding("record", False, f"the run has not ended, or was killed; {place}", cure)


def versions(then: Mapping[str, str], now: Mapping[str, str | None]) -> Finding:
    """The libraries of the run and those of today: other ones give other digits, and a run that is
    not the same to the bit.
    """
    changed = {name: (was, now.get(name)) for name, was in then.items() if was != now.get(name)}
    if not changed:
        return Finding("versions", True, f"the {len(then)} libraries are those of the run")
    said = ", ".join(
        f"{name} was {was} and is {here or 'not installed'} now"
        for name, (was, here) in changed.items()
    )
    pins = " ".join(f"{name}=={was.partition('+')[0]}" for name, (was, _) in changed.items())
    return Finding(
        "versions",
        False,
        f"{said}, so scores and a second run may differ",
        f"to repeat the run exactly: pip install {pins}",
    )


def same_base(was: str, name: str | None) -> Finding:
    """Is the base model still the one that was tuned? A hub model is looked up in the cache alone."""
    try:
        where = models.resolve(name)
    except UserError as error:
        return Finding(
            "base", False, str(error).rstrip("."), "put the base back where the run found it"
        )
    now = models.hash_weights(Path(where)) if Path(where).is_dir() else cached_commit(where)
    if now is None:
        return Finding(
            "base", True, f"not looked at: {name} is not in the hub cache of this machine"
        )
    if was == now:
        return Finding(
            "base",
            True,
            f"{name} is the base that was tuned, to the bit"
            if Path(where).is_dir()
            else f"{name}, {now}",
        )
    said = f"{name} is another base now ({now[:20]}… here, {was[:20]}… in the run), so the adapter's update fits it no longer"
    return Finding("base", False, said, "load the base that was tuned, or train again on this one")


def cached_commit(hub_id: str) -> str | None:
    """The commit of a hub model as `models.fingerprint` states it, if the cache holds the model;
    nothing is downloaded.
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(hub_id, local_files_only=True)
    except (OSError, ValueError):
        return None
    return f"hub commit {getattr(config, '_commit_hash', None) or 'unknown'}"


def weights(folder: Path) -> Finding:
    """Is every safetensors file of the run whole, and every number in it finite?"""
    check = folder.name
    files = sorted(folder.glob("*.safetensors"))
    again = (
        "train again; the record makes the same run: python -m ftkit train RUN/run.json --out NEW"
    )
    if not files:
        return Finding(check, False, f"{folder} holds no *.safetensors file", again)
    tensors = numbers = 0
    for file in files:
        try:
            models.check_safetensors(file)
        except UserError as error:
            return Finding(check, False, str(error).partition(";")[0], again)
        for name, tensor in models.read_tensors(file):
            if bad := int((~tensor.isfinite()).sum()):
                said = f"{models.plain_name(name)} holds {bad:,} values that are NaN or infinite, so every answer will be noise"
                return Finding(
                    check,
                    False,
                    said,
                    "train again at a lower learning rate, or with a longer warm-up",
                )
            tensors, numbers = tensors + 1, numbers + tensor.numel()
    return Finding(check, True, f"{tensors} tensors, {numbers:,} numbers, all finite")


def rate(lr: float, method: str) -> Finding:
    """Does the learning rate lie where people's do?"""
    if said := warn_of_rate(lr, method):
        return Finding(
            "learning rate", False, said.rstrip("."), "train again with a rate in that range"
        )
    return Finding("learning rate", True, f"{lr:g} is no unusual rate for {method}")


def diverged(stopped: str | None, losses: Sequence[Sequence[float]]) -> Finding:
    """Did the run break off, or is a loss in its curve not a number?"""
    lost = next((int(step) for step, loss in losses if not math.isfinite(loss)), None)
    if stopped or lost is not None:
        said = (
            (stopped or f"the loss of step {lost} is not finite")
            .partition(" To mend it")[0]
            .rstrip(".")
        )
        return Finding(
            "divergence",
            False,
            f"the run broke off: {said}",
            "lower the learning rate or warm up longer, and train again",
        )
    return Finding("divergence", True, "the run went to its end, and every loss is finite")


def fell(losses: Sequence[Sequence[float]]) -> Finding:
    """Is the loss lower at the end than at the start? Both ends are medians of up to `ENDS` steps,
    since single steps are noisy.
    """
    finite = [loss for _, loss in losses if math.isfinite(loss)]
    if len(finite) < 2:
        return Finding(
            "training loss", True, f"not looked at: a curve of {len(finite)} steps has no direction"
        )
    n = max(1, min(ENDS, len(finite) // 3))
    first, last = statistics.median(finite[:n]), statistics.median(finite[-n:])
    span = f"{about(first)} → {about(last)} nats per answer token"
    if last >= first:
        said = f"it did not fall ({span}), so the model learned nothing or lost what it knew"
        return Finding(
            "training loss",
            False,
            said,
            "look at the rows the model sees, then lower the learning rate or raise the epochs",
        )
    return Finding("training loss", True, f"it fell: {span}")


def overfit(validation: Sequence[Sequence[float]], kept_best: bool) -> Finding:
    """Did the validation loss end above its best? Then the last steps learned the training rows by
    heart.
    """
    points = [(int(step), loss) for step, loss in validation if math.isfinite(loss)]
    if not points:
        return Finding("over-fitting", True, "not looked at: the run has no validation points")
    (at, best), (end, last) = min(points, key=lambda p: p[1]), points[-1]
    if last <= OVERFIT * best:
        return Finding(
            "over-fitting", True, f"the validation loss ended at its best, {about(last)}"
        )
    kept = "the best step's weights were kept" if kept_best else "the last step's weights were kept"
    said = f"the validation loss was {about(best)} at step {at} and rose to {about(last)} at step {end}; {kept}"
    cure = "train fewer epochs, more rows or a smaller rank" + (
        "" if kept_best else ", or set keep_best: true"
    )
    return Finding("over-fitting", False, said, cure)


def same_data(was: str, experiment: Experiment) -> Finding:
    """Do the data give the very rows that the run was trained on? Looked at where they are here and
    no model is needed for them.
    """
    if experiment.replay and experiment.replayed == "self":
        return Finding(
            "data",
            True,
            "not looked at: the replayed answers are the base's own, and writing them again takes the model",
        )
    try:
        rows = experiment.splits(None, None)["train"]
    except UserError as error:
        return Finding("data", True, f"not looked at: {str(error).rstrip('.')}")
    if digest(rows) == was:
        return Finding("data", True, f"{len(rows):,} training rows, the same as in the run")
    said = f"{experiment.data} now gives other training rows than the run saw, so the record no longer makes the same run"
    return Finding(
        "data", False, said, "put the file back as it was, or train again and keep the new record"
    )
