"""Runs of a real model on real rows: the grid "real", which shows what the pocket model only hints.

    points()          its runs: LoRA, full fine-tuning and QLoRA at several rates, seed by seed
    measure(point)    train one and measure what it learned and what it cost: a `RealRow`

SmolLM2-135M learns to tell positive movie reviews from negative ones. Both are fetched, not shipped
(`python -m ftkit fetch smollm2`, `fetch reviews`); the finished rows ship. A model of this size
answers little to the letter, so what is measured is likelihood. `python -m ftkit grid real` makes
the grid (`runner`): about three minutes a run on one thread.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

from .. import data, evaluate, forgetting, models
from ..core.session import setup
from ..core.statistics import Rate
from .points import SEEDS, RealRun
from .rows import RealRow

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TEST = {"movies": 100, "tweets": 60}  # test rows by kind; it trains on movies
VALIDATION = 40  # rows that the loss and the distance from the base are taken on
PROBES = 8  # in each everyday suite
SETTINGS = (
    RealRun(lr=0.0, r=0),  # the base itself
    *(RealRun(lr=lr) for lr in (3e-3, 3e-4, 1e-3, 1e-2)),
    *(RealRun(lr=lr, r=0) for lr in (5e-5, 2e-4, 1e-5)),
    RealRun(quant="nf4"),
)


def points() -> list[RealRun]:
    """Every run, seed by seed, so that a part of them is even; the base, untrained, once."""
    runs = [replace(setting, seed=seed) for seed in SEEDS for setting in SETTINGS]
    return [run for run in runs if run.lr or run.seed == SEEDS[0]]


def measure(point: RealRun) -> RealRow:
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
    for kind, n in TEST.items():
        rows = data.first(data.test_rows(f"reviews/{kind}"), n)
        task[kind] = choose_labels(tuned, tokenizer, rows)
    validation = data.first(data.load("reviews")["validation"], VALIDATION)
    trained = tuned is not base
    text = forgetting.text_loss(tuned, tokenizer, base if trained else None)
    chosen = forgetting.choices(tuned, tokenizer, PROBES)
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
    answers = evaluate.surprisals(model, tokenizer, rows["messages"])
    return sum(answer.nats for answer in answers) / sum(answer.tokens for answer in answers)
