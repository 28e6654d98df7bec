"""Train one point of a grid, and measure it.

    measure_lora(point)        a `LoraRow`: what the update ΔW is made of
    measure_playground(point)  a `PlaygroundRow`: what was learned, and what it cost elsewhere
    measure_real(point)        a `RealRow`: SmolLM2-135M on movie reviews, by likelihood

All train from the point's own seed and change nothing on disk; `runner` calls them for every point
of a grid and stores the rows. The real model and its rows are fetched (`python -m ftkit fetch
smollm2`, `fetch reviews`): it answers little to the letter, so likelihood is measured, about three
minutes a run on one thread. Long runs, looked at after every epoch, are measured in `epochs`.
"""

import statistics
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .. import data, evaluate, forgetting, lora, merge, models
from ..core.session import setup
from ..core.statistics import Rate
from ..lora import spectrum
from .points import CUTS, MODEL, LoraRow, PlaygroundRow, Point, RealRow, RealRun, Scores

if TYPE_CHECKING:
    import torch
    from datasets import Dataset
    from torch.nn import Linear
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
    from transformers.pytorch_utils import Conv1D


TESTED = 100  # test rows that a run of the playground's grid is asked
GENERAL = 60  # general rows that its distance from the base is taken on
PLACES = 20  # about how many points of its loss curve are kept
REAL_TEST = {"movies": 100, "tweets": 60}  # test rows by kind; it trains on movies
REAL_VALIDATION = 40  # rows that the loss and the distance from the base are taken on
REAL_PROBES = 8  # in each everyday suite


def measure_lora(point: Point) -> LoraRow:
    """Train one point and measure task, skills, the ranks of its update and its intruders.

    A full update is also truncated, to each rank of CUTS, and the base with what is left of it
    measured again.
    """
    setup(seed=point.seed)
    base, tokenizer = models.load(MODEL)
    run, _ = point.experiment().run()
    # facts are learned to be stored: there the training rows are a question too
    splits = data.load(point.data)
    to_store = splits["train"] if point.data == "facts" else None
    scores = score_run(run.model, tokenizer, splits["test"], to_store)
    # ΔW of every matrix and its spectrum
    updates = lora.deltas(run.model, base)
    spectra = {name: spectrum.svd(update) for name, update in updates.items()}
    ranks = spectrum.ranks(spectra)
    # what a full update still does when it is cut to a rank
    truncated: dict[str, Scores] = {}
    for rank, cut in [] if point.r else truncations(updates, spectra):
        with lora.add_updates(base, cut):
            truncated[rank] = score_run(base, tokenizer, splits["test"], to_store)
    return LoraRow(
        **vars(point),
        **vars(scores),
        trainable=run.trainable,
        loss=run.loss,
        size=relative_size(updates, models.linears(base)),
        ranks={f"{share:g}": ranks.median(share) for share in spectrum.SHARES},
        intruders=count_intruders(updates, models.linears(base)),
        truncated=truncated or None,
        seconds=round(run.seconds, 1),
    )


def measure_playground(point: Point) -> PlaygroundRow:
    """Train one point and measure what plane and sliders show: curves, task, skills, distance."""
    setup(seed=point.seed)
    base, tokenizer = models.load(MODEL)
    run, _ = point.experiment().run()
    # a part of the rows, for there are hundreds of runs
    splits = data.load(point.data)
    test = data.first(splits["test"], TESTED)
    general = data.first(data.load("general")["train"], GENERAL)
    tuned = merge.merge_if_exact(run.model)
    scores = score_run(tuned, tokenizer, test)
    # every so many steps of the training loss, PLACES of them or a few more
    every = max(1, len(run.losses) // PLACES)
    return PlaygroundRow(
        **vars(point),
        task=scores.task,
        skills=scores.skills,
        trainable=run.trainable,
        loss=run.loss,
        curve=run.losses[::every],
        validation=run.validation,
        size=relative_size(lora.deltas(run.model, base), models.linears(base)),
        kl_task=evaluate.kl_from_base(base, tuned, tokenizer, splits["validation"]),
        kl_general=evaluate.kl_from_base(base, tuned, tokenizer, general),
        seconds=round(run.seconds, 1),
    )


def score_run(
    tuned: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: "Dataset",
    to_store: "Dataset | None" = None,
) -> Scores:
    """The shares of right answers: on test rows, by skill, and on rows that were to be stored."""
    # facts that were to be stored are asked for in the very words of their training
    stored = None
    if to_store is not None:
        stored = evaluate.score(tuned, tokenizer, to_store).task.value
    skills = forgetting.skills(tuned, tokenizer).rates
    return Scores(
        task=evaluate.score(tuned, tokenizer, test).task.value,
        skills={name: rate.value for name, rate in skills.items()},
        stored=stored,
    )


def truncations(
    updates: Mapping[str, "torch.Tensor"], spectra: Mapping[str, spectrum.Spectrum]
) -> Iterator[tuple[str, Mapping[str, "torch.Tensor"]]]:
    """(rank, every ΔW (d_out, d_in) cut to it) for each of CUTS, then ("full", ΔW itself)."""
    for r in CUTS:
        # a matrix whose full rank is lower is kept whole
        yield str(r), {name: s.truncate(min(r, len(s.S))) for name, s in spectra.items()}
    yield "full", updates


def count_intruders(
    updates: Mapping[str, "torch.Tensor"], layers: Mapping[str, "Linear | Conv1D"]
) -> int:
    """How many directions of W + ΔW resemble none of W's, over all matrices."""
    count = 0
    for name, update in updates.items():
        W = layers[name].weight
        count += len(spectrum.intruders(spectrum.svd(W), spectrum.svd(W + update)))
    return count


def relative_size(
    updates: Mapping[str, "torch.Tensor"], layers: Mapping[str, "Linear | Conv1D"]
) -> float:
    """‖ΔW‖ / ‖W‖ in the Frobenius norm, the mean over matrices."""
    sizes = []
    for name, update in updates.items():
        sizes.append((update.norm() / layers[name].weight.norm()).item())
    return statistics.fmean(sizes)


def measure_real(point: RealRun) -> RealRow:
    """Train one point, and measure task, shift, validation, plain text and everyday skills."""
    setup(seed=point.seed)
    base, tokenizer = models.load(point.MODEL)
    tuned, columns = base, {"trainable": 0, "curve": [], "seconds": 0.0}
    if point.lr:
        run, _ = point.experiment().run()
        tuned = run.model
        columns = {"trainable": run.trainable, "curve": run.losses, "seconds": run.seconds}
    # on the task's own kind of text, and on one that it never saw
    task = {}
    for kind, n in REAL_TEST.items():
        rows = data.first(data.test_rows(f"reviews/{kind}"), n)
        task[kind] = choose_labels(tuned, tokenizer, rows)
    validation = data.first(data.load("reviews")["validation"], REAL_VALIDATION)
    trained = tuned is not base
    text = forgetting.text_loss(tuned, tokenizer, base if trained else None)
    chosen = forgetting.choices(tuned, tokenizer, REAL_PROBES)
    kl_task = evaluate.kl_from_base(base, tuned, tokenizer, validation) if trained else 0.0
    return RealRow(
        **vars(point),
        **columns,
        task=task,
        validation=mean_loss(tuned, tokenizer, validation),
        kl_task=kl_task,
        text=text.mean,
        kl_text=text.mean_kl or 0.0,
        skills={name: rate.value for name, rate in chosen.rates.items()},
    )


def choose_labels(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: "Dataset"
) -> float:
    """The share of rows whose own label is likelier than the other one, as `option_nats` has it."""
    prompts = [chat[:-1] for chat in rows["messages"]]
    golds = [chat[-1]["content"] for chat in rows["messages"]]
    labels = sorted(set(golds))
    nats = evaluate.option_nats(model, tokenizer, prompts, [labels] * len(prompts))
    likeliest = [labels[of_row.index(min(of_row))] for of_row in nats]
    right = sum(one == gold for one, gold in zip(likeliest, golds, strict=True))
    return Rate(right, len(golds)).value


def mean_loss(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: "Dataset"
) -> float:
    """The mean −log p of the rows' right answers, in nats per answer token."""
    answers = evaluate.surprisals_of(model, tokenizer, rows)
    return sum(answer.nats for answer in answers) / sum(answer.tokens for answer in answers)
