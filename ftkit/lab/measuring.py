"""TODO header of lab.measuring."""

import dataclasses
import statistics
from collections.abc import Mapping

from .. import data, evaluate, forgetting, lora, merge, models
from ..core.session import setup
from ..lora import spectrum
from .points import CUTS, Point

TESTED = 100  # test rows that a run of the playground's grid is asked


def measure(point: Point) -> dict:
    """Train one point and measure it: task, skills, the update's ranks and intruders; of a full
    update also its truncations.
    """
    setup(seed=point.seed)
    base, tokenizer = models.load("pocket")
    run, _ = point.experiment().run()
    splits = data.load(point.data)
    layers = models.linears(base)
    changes = lora.deltas(run.model, base)
    before = {n: spectrum.svd(layers[n].weight) for n in changes}
    spectra = {n: spectrum.svd(d) for n, d in changes.items()}
    tuned = {n: spectrum.svd(layers[n].weight + d) for n, d in changes.items()}
    row = {
        **dataclasses.asdict(point),
        "trainable": run.trainable,
        "loss": run.loss,
        **scores(run.model, tokenizer, splits, point.data == "facts"),
        "size": relative_size(changes, layers),
        "ranks": {f"{share:g}": spectrum.ranks(spectra).median(share) for share in spectrum.SHARES},
        "intruders": sum(len(spectrum.intruders(before[n], tuned[n])) for n in changes),
    }
    if not point.r:
        row["truncated"] = {}
        for r in (*CUTS, "full"):
            cut = (
                changes
                if r == "full"
                else {n: s.truncate(min(r, len(s.S))) for n, s in spectra.items()}
            )
            with lora.add_updates(base, cut):
                row["truncated"][str(r)] = scores(base, tokenizer, splits, point.data == "facts")
    return {**row, "seconds": round(run.seconds, 1)}


def scores(tuned, tokenizer, splits, stored: bool = False) -> dict:
    """The shares of right answers: on the task's test rows, on its training rows where they are
    facts to be stored, by skill.
    """
    known = (
        {"stored": evaluate.score(tuned, tokenizer, splits["train"]).task.value} if stored else {}
    )
    skills = forgetting.skills(tuned, tokenizer).rates
    return {
        "task": evaluate.score(tuned, tokenizer, splits["test"]).task.value,
        **known,
        "skills": {k: r.value for k, r in skills.items()},
    }


def relative_size(changes: Mapping, layers: Mapping) -> float:
    """‖ΔW‖ / ‖W‖ in the Frobenius norm, the mean over matrices."""
    return statistics.fmean((d.norm() / layers[n].weight.norm()).item() for n, d in changes.items())


def merge_if_exact(tuned, point: Point):
    """The tuned model with its update merged into a copy: half as fast again, and the same within
    rounding; 4-bit ones stay as they are.
    """
    return merge.merge(tuned)[0] if point.method in ("lora", "dora") else tuned


def observe(point: Point) -> dict:
    """Train one point and measure what the plane and the sliders show: curves, task, skills,
    distance from the base, bytes.
    """
    setup(seed=point.seed)
    base, tokenizer = models.load("pocket")
    run, _ = point.experiment().run()
    splits = data.load(point.data)
    test, general = (
        data.first(splits["test"], TESTED),
        data.first(data.load("general")["train"], 60),
    )
    changes = lora.deltas(run.model, base)
    tuned = merge_if_exact(run.model, point)
    step = max(1, len(run.losses) // 20)
    return {
        **dataclasses.asdict(point),
        "method": point.method,
        "trainable": run.trainable,
        "loss": run.loss,
        "curve": run.losses[::step],
        "validation": run.validation,
        **scores(tuned, tokenizer, {"test": test}),
        "size": relative_size(changes, models.linears(base)),
        "kl_task": evaluate.distance(base, tuned, tokenizer, splits["validation"]),
        "kl_general": evaluate.distance(base, tuned, tokenizer, general),
        "seconds": round(run.seconds, 1),
    }
