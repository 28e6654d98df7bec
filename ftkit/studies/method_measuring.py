"""Train one run of the grid "methods", and ask what it learned, forgot and merges to.

    measure_method(run)    a `MethodRow`

Everything is drawn from the run's own seed and nothing on disk changes. What a run is stands in
`method_runs`; `lab` makes all of them. Notebook 08.
"""

import time
import warnings
from typing import TYPE_CHECKING, Any

from .. import data, evaluate, forgetting, merge, methods, models, train
from ..core.errors import UserError
from ..core.session import setup
from .method_runs import BATCH, TASKS, TEXT, MethodRow, MethodRun

if TYPE_CHECKING:
    from datasets import DatasetDict
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TESTED = 60  # test tickets that are asked
PROBES = 20  # probes in a suite of skills
PLACES = 16  # about how many points of the curve are kept


def measure_method(run: MethodRun) -> MethodRow:
    """Train a method on its task and measure it."""
    setup(seed=run.seed)
    base, tokenizer = models.load("pocket")
    options: dict[str, Any] = {"text": TEXT, "tokenizer": tokenizer} if run.start else {}
    adapted = methods.attach(base, run.method, seed=run.seed, **options)

    # rates outside the usual ones are what is tried
    rows, steps = TASKS[run.task]
    splits = data.load(run.task)
    splits["train"] = data.first(splits["train"], rows)
    epochs = train.epochs_of(steps, rows, BATCH)
    recipe = train.Recipe(run.lr, epochs, BATCH, evaluations=0, keep_best=False, seed=run.seed)
    began = time.perf_counter()
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        done = train_to_end(adapted, tokenizer, splits, recipe)
    seconds = time.perf_counter() - began

    # what came of it: merged where it merges, which asks the same model faster
    tuned, proof = merged_if_it_can(done.model, run.method)
    return MethodRow(
        **vars(run),
        trainable=done.trainable,
        epochs=steps * BATCH / rows,
        **ask(run, tuned, tokenizer, splits),
        curve=done.losses[:: max(1, len(done.losses) // PLACES)],
        merges=methods.METHODS[run.method].merges,
        gap=proof and proof.max_logit_gap,
        adapter_gap=proof and proof.adapter_gap,
        stopped=done.stopped,
        seconds=round(seconds, 1),
    )


def train_to_end(
    model: Any, tokenizer: "PreTrainedTokenizerBase", splits: "DatasetDict", recipe: train.Recipe
) -> train.Run:
    """A run on the training rows alone; one that diverges is the run up to there."""
    try:
        return train.sft(model, tokenizer, {"train": splits["train"]}, recipe)
    except train.Diverged as error:
        return error.run


def merged_if_it_can(
    tuned: "PreTrainedModel", method: str
) -> tuple["PreTrainedModel", merge.MergeReport | None]:
    """(the merged model, its proof), or the tuned one alone where there is nothing to merge."""
    if method == "full" or not methods.METHODS[method].merges:
        return tuned, None
    try:
        return merge.merge(tuned)
    except UserError:  # a run that broke off may leave numbers that no merge keeps
        return tuned, None


def ask(
    run: MethodRun,
    tuned: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    splits: "DatasetDict",
) -> dict[str, Any]:
    """The shares of right answers, by the names of `MethodRow`."""
    skills = forgetting.skills(tuned, tokenizer, PROBES).rates
    kept = {name: rate.value for name, rate in skills.items()}
    if run.task == "tickets":
        score = evaluate.score(tuned, tokenizer, data.first(splits["test"], TESTED))
        form, reworded = score.format.value, None
    else:
        # facts are learned to be stored: asked in their own words, and in others
        score = evaluate.score(tuned, tokenizer, splits["train"])
        others = data.first(splits["test"], len(splits["train"]))
        form, reworded = None, evaluate.score(tuned, tokenizer, others).task.value
    return {
        "exact": score.task.value,
        "format": form,
        "reworded": reworded,
        "skills": kept,
    }
