"""Rows T1 to T9, T11 and P1 to P4 of the ledger: training, preferences and rewards.

    CLAIMS    the claims, in order

Scores are those of the grids "playground", "epochs", "methods", "ranks", "real" and "preferences",
three seeds each, as shares from 0 to 1; two within five points count as equal. T9 and T11 train for
some seconds. Notebooks 07, 07b, 08, 12 and 12b show where the figures come from.
"""

import importlib
import inspect
import itertools
import json
import math
import operator
import statistics
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import data, lab, methods, models, train
from ..core.files import data_path
from ..core.statistics import Rate
from ..studies import ledger
from .claim import UNVERIFIED, Claim, Figure, exact, of_rate, of_seeds, query
from .data_rows import ABOVE, ALL, BETTER, NO_WORSE, minus, over, runs, stated, within
from .judges import all_within, each, each_clear

SHORT = {"epochs": 2, "targets": "all-linear", "quant": None, "dora": False, "replay": 0.0}
PLAIN = {"kl": 0.0, "weight_decay": 0.0}
DORA_LORA = ("dora", "lora")
CLEAN, WRONG = {"wrong": 0.0}, {"wrong": 0.25, "dropout": 0.0}
# the step with the lowest loss, of the sixty of ten epochs
LOWEST = "lambda row: min(row.validation, key=lambda point: point[1])[0]"
Read = Callable[[Any], float]


def playground(**where: object) -> list[Any]:
    """Runs of the grid "playground" with nothing against forgetting; two epochs unless stated."""
    return lab.grids.select(lab.grids.read("playground"), **(SHORT | PLAIN | where))


def by_seed(rows: Iterable[Any], read: Read | str = "task") -> dict[int, float]:
    """{seed: a value} of runs that differ in their seeds."""
    value = lab.grids.reader(read)
    return {row.seed: value(row) for row in rows}


def best(rows: Iterable[Any], read: Read | str = "task") -> list[Any]:
    """Of runs at several rates those at the rate with the highest mean."""
    by_rate: dict[float, list[Any]] = {}
    for row in rows:
        by_rate.setdefault(row.lr, []).append(row)
    value = lab.grids.reader(read)
    return max(by_rate.values(), key=lambda runs: statistics.fmean(map(value, runs)))


# What each row of T measures.


def scripts_as_printed() -> Sequence[Figure]:
    """T1: arguments of each guide's script that the installed signatures refuse."""
    stated_calls = json.loads(data_path("guides.json").read_text(encoding="utf-8"))["calls"]
    return [
        Figure(
            f"arguments of the script of {guide} that are refused",
            sum(is_refused(call, name) for call, names in calls.items() for name in names),
            n=sum(map(len, calls.values())),
            said=(0, 0),
        )
        for guide, calls in stated_calls.items()
    ]


def is_refused(call: str, name: str) -> bool:
    """Whether the installed signature of a call, such as "trl.SFTConfig", takes no such name."""
    library, _, place = call.partition(".")
    signature = inspect.signature(operator.attrgetter(place)(importlib.import_module(library)))
    try:
        signature.bind_partial(**{name: None})
    except TypeError:
        return True
    return False


def usual_rates() -> Sequence[Figure]:
    """T2: LoRA's rate over full fine-tuning's, and what the guides' own rates teach."""
    low, high = 1e-4, 3e-4
    found = {r: where_learned(playground(r=r)) for r in (16, 0)}
    real = lab.grids.read("real")
    (untrained,) = [row for row in real if not row.lr]
    at_high = [row for row in real if (row.lr, row.r, row.quant) == (high, 8, None)]
    gain = {row.seed: row.task["movies"] - untrained.task["movies"] for row in at_high}
    ratio = {"LoRA's rate at 90 % right over that of full fine-tuning": over(*found.values())}
    rate = {"pocket model: LoRA's rate at which 90 % are right after 48 steps": found[16]}
    learned = {"SmolLM2, 20 steps at 3e-4: reviews right beyond the base's": gain}
    shown = {
        f"pocket model at 5e-4: right after {24 * n} steps": by_seed(
            playground(r=16, lr=5e-4, epochs=n)
        )
        for n in (2, 12)
    }
    return [
        *within((1.0, math.inf), ratio),
        *within((low, high), rate),
        *within((0.2, math.inf), learned),
        *within(None, shown),
    ]


def where_learned(rows: Iterable[Any], level: float = 0.9) -> dict[int, float]:
    """{seed: the rate at which the task first reaches a level}, between two rates in logarithms."""
    found = {}
    for seed in lab.SEEDS:
        points = sorted((math.log(row.lr), row.task) for row in rows if row.seed == seed)
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            if y0 < level <= y1:
                found[seed] = math.exp(x0 + (level - y0) / (y1 - y0) * (x1 - x0))
                break
    return found


def long_runs(**where: object) -> list[Any]:
    """Runs of the grid "epochs": ten epochs of 24 tickets, looked at after each."""
    return lab.grids.select(lab.grids.read("epochs"), **where)


def few_epochs() -> Sequence[Figure]:
    """T3: the score after three and after five epochs, less that after ten."""
    lacking = {
        f"rate {rate:g}: score after {epochs} epochs less that after ten": {
            row.seed: row.task[epochs - 1][1] - row.task[-1][1]
            for row in long_runs(lr=rate, **CLEAN)
        }
        for rate in (4e-3, 1e-3)
        for epochs in (5, 3)
    }
    return within(NO_WORSE, lacking)


def epochs_after_best(row: Any) -> float:
    """How many of the ten epochs came after the lowest validation loss."""
    values = [loss for _, loss in row.validation]
    return len(values) - 1 - values.index(min(values))


def gain_of_best(row: Any) -> float:
    """What the checkpoint with the lowest validation loss scores more than the last one."""
    return dict(row.task)[lab.epochs.best_step(row.validation)] - row.task[-1][1]


def best_checkpoint() -> Sequence[Figure]:
    """T4: what comes after the lowest validation loss, and what the best checkpoint gains."""
    settings = {
        "clean rows, 4e-3": long_runs(lr=4e-3, **CLEAN),
        "clean rows, 1e-3": long_runs(lr=1e-3, **CLEAN),
        "a quarter wrong, 4e-3": long_runs(lr=4e-3, **WRONG),
    }
    after = {
        f"{name}: epochs of ten after the lowest loss": by_seed(rows, epochs_after_best)
        for name, rows in settings.items()
    }
    many = [row for row in lab.grids.read("playground") if len(row.validation) >= 3]
    early = Rate(sum(epochs_after_best(row) > 0 for row in many), len(many))
    gains = by_seed(settings["a quarter wrong, 4e-3"], gain_of_best)
    return [
        *within(ABOVE, after),
        of_rate("runs of 3 epochs and more whose last is not the best", early, (0.5, 1.0)),
        of_seeds("a quarter wrong: score of the best less the last", gains),
    ]


def bad_run_mended() -> Sequence[Figure]:
    """T5: ten epochs at 1e-3, ten at 4e-3 on wrong labels, and the cures."""
    hot, milder = long_runs(lr=4e-3, **WRONG), long_runs(lr=1e-3, **WRONG)
    clean, dropped = long_runs(lr=1e-3, **CLEAN), long_runs(lr=4e-3, wrong=0.25, dropout=0.1)
    ended, mild, dropped = (
        by_seed(rows, lambda row: row.task[-1][1]) for rows in (hot, milder, dropped)
    )
    asked = {
        "1e-3, clean rows: epochs after the lowest loss": by_seed(clean, epochs_after_best),
        "1e-3, a quarter wrong: the same": by_seed(milder, epochs_after_best),
        "4e-3, a quarter wrong: early stopping gains": by_seed(hot, gain_of_best),
        "the same: dropout of 0.1 gains": minus(dropped, ended),
        "the same: a quarter of the rate gains": minus(mild, ended),
    }
    shown = {"4e-3, a quarter wrong: epochs after it": by_seed(hot, epochs_after_best)}
    return [*within(ABOVE, asked), *within(None, shown)]


def lora_over_full() -> Sequence[Figure]:
    """T6: score of LoRA over that of full fine-tuning, each at its best rate, by set and size."""
    ratios = {
        f"{rows} {task}, r = 8": over(by_seed(ours, "exact"), by_seed(full, "exact"))
        for (task, rows), (ours, full) in by_rows().items()
    }
    ours, full = (by_seed(best(reviews(r), movies), movies) for r in (8, 0))
    return within((0.95, math.inf), {**ratios, "SmolLM2, 160 reviews, r = 8": over(ours, full)})


def by_rows() -> dict[tuple[str, int], tuple[list[Any], list[Any]]]:
    """{(task, rows): (LoRA r = 8, full)}, each at its best rate, as notebook 08 has them."""
    grid = lab.grids.select(lab.grids.read("ranks"), question="rows")
    found = {}
    for task, rows in dict.fromkeys((row.task, int(row.amount)) for row in grid):
        of_size = lab.grids.select(grid, task=task, amount=rows)
        ours, full = (lab.grids.select(of_size, setting=what) for what in ("lora", "full"))
        found[task, rows] = best(ours, "exact"), best(full, "exact")
    return found


def by_method(first: str, second: str, task: str) -> tuple[Sequence[Any], Sequence[Any]]:
    """Two methods of the grid "methods", each at its own rate, as notebook 08 has it."""
    chosen = methods.choose_rates(lab.grids.read("methods"), task)
    return chosen[first].runs, chosen[second].runs


def reviews(r: int) -> list[Any]:
    """SmolLM2's runs at a rank, 0 for full fine-tuning."""
    found = lab.grids.select(lab.grids.read("real"), r=r, quant=None)
    return [row for row in found if row.lr]


def movies(row: Any) -> float:
    """The share of movie reviews whose label is the likelier."""
    return row.task["movies"]


def full_with_more_rows() -> Sequence[Figure]:
    """T7: the most rows that both learned; full fine-tuning less LoRA, by set and size."""
    pairs = by_rows()
    gains, kept = (
        {
            f"{rows} {task}: full less LoRA, {what}": minus(
                by_seed(full, name), by_seed(ours, name)
            )
            for (task, rows), (ours, full) in pairs.items()
        }
        for what, name in (("score", "exact"), ("skills kept", "skills"))
    )
    most = max(rows for _, rows in pairs)
    count = exact("the most rows that both were trained on", most, "rows", (10_000, math.inf))
    return [count, *within(ABOVE, gains), *within(None, kept)]


def only_with_much_data(figures: Sequence[Figure]) -> str:
    """Unverified while no set is as large as what is spoken of; then as `each` says of the rest."""
    return each(figures[1:]) if figures[0].answer else UNVERIFIED


def dora_and_others() -> Sequence[Figure]:
    """T8: DoRA less LoRA on the mean of the same four rates; and which others learn the tickets."""
    gaps = {
        f"{task}: DoRA less LoRA, {what}": minus(*(over_rates(m, task, read) for m in DORA_LORA))
        for task in ("tickets", "facts")
        for what, read in (("score", "exact"), ("skills kept", lab.grids.skill))
    }
    figures = within(BETTER, gaps)
    chosen = methods.choose_rates(lab.grids.read("methods"), "tickets")
    for name in ("bottleneck", "prefix", "prompt", "ia3"):
        one = chosen[name]
        what = f"{one.title}, {one.trainable:,} trained: tickets right"
        figures.append(of_seeds(what, by_seed(one.runs, "exact")))
    return figures


def over_rates(method: str, task: str, read: Read | str) -> dict[int, float]:
    """{seed: the mean of a value over all rates} of a method in the grid "methods"."""
    rows = lab.grids.select(lab.grids.read("methods"), method=method, task=task)
    value = lab.grids.reader(read)
    return {s: statistics.fmean(value(r) for r in rows if r.seed == s) for s in lab.SEEDS}


def spikes_tamed() -> Sequence[Figure]:
    """T9: the highest loss after the first step over the first, with one cure at a time."""
    cures: dict[str, dict[str, Any]] = {
        "as it is": {},
        "gradients clipped at 1": {"clip": 1.0},
        "four times the batch": {"size": 8, "rows": 48},
        "a warm-up of three of six steps": {"warm": 3},
        "a tenth of the rate": {"lr": 1e-3},
    }
    figures = []
    for name, how in cures.items():
        curves = [first_steps(seed, **how) for seed in lab.SEEDS]
        spikes = [max(losses[1:]) / losses[0] for losses in curves]
        said = None if name in ("as it is", "a tenth of the rate") else (0.0, 1.2)
        figures.append(in_range(f"highest loss / first: {name}", spikes, said))
        figures.append(in_range(f"loss at the last step: {name}", [c[-1] for c in curves], None))
    for name, clip in (("SGD as it is", math.inf), ("SGD, clipped at 1", 1.0)):
        tops = [max(first_steps(s, lr=3.0, rows=14, clip=clip, adam=False)) for s in (0, 1)]
        figures.append(in_range(f"highest loss: {name}", tops, (0.0, 10.0) if clip == 1 else None))
    return figures


def in_range(what: str, values: Sequence[float], said: tuple[float, float] | None) -> Figure:
    """The mean of a few seeds, with their range."""
    mean, ends = statistics.fmean(values), (min(values), max(values))
    return Figure(what, mean, *ends, seeds=len(values), said=said)


def first_steps(
    seed: int,
    *,
    lr: float = 1e-2,
    rows: int = 12,
    size: int = 2,
    warm: int = 0,
    clip: float = math.inf,
    adam: bool = True,
) -> list[float]:
    """The losses of one epoch of full fine-tuning on some tickets, from the untouched model."""
    import torch

    model, tokenizer = models.load("pocket")
    some = train.as_trl(data.load("tickets", tokenizer)["train"], tokenizer)
    some = some.shuffle(seed=seed).select(range(rows))
    drawn = torch.randperm(rows, generator=torch.Generator().manual_seed(seed)).tolist()
    count, losses = math.ceil(rows / size), []
    make = torch.optim.AdamW if adam else torch.optim.SGD
    optimizer = make(model.parameters(), lr=lr, weight_decay=0)
    model.train()
    for step in range(count):
        # the rate rises over the warm-up, and falls to 0 in a line
        rate = step / warm if step < warm else (count - step) / (count - warm)
        optimizer.param_groups[0]["lr"] = lr * rate
        chosen = [some[place] for place in drawn[step * size : (step + 1) * size]]
        loss = answer_loss(model, tokenizer.pad_token_id, chosen)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        losses.append(loss.item())
    return losses


def answer_loss(model: Any, pad: Any, rows: Sequence[Mapping]) -> Any:
    """The mean loss over the answer tokens of some rows, filled up to the longest."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    ids, labels = (
        pad_sequence([torch.tensor(row[key]) for row in rows], True, fill).to(model.device)
        for key, fill in (("input_ids", pad), ("labels", train.NO_LOSS))
    )
    logits = model(input_ids=ids).logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten())


def record_of_a_run() -> Sequence[Figure]:
    """T11: what run.json says, and whether it makes the same adapter again."""
    recipe = train.Recipe(epochs=1, batch_size=4, evaluations=0, seed=5)
    asked = train.Experiment("pocket", rows=8, recipe=recipe)
    with tempfile.TemporaryDirectory() as folder:
        first = train.save_run(asked, *asked.run(), Path(folder, "first"))
        again = train.Experiment.read(first / "run.json")
        second = train.save_run(again, *again.run(), Path(folder, "second"))
        other = replace(asked, recipe=replace(recipe, seed=6))
        third = train.save_run(other, *other.run(), Path(folder, "third"))
        record = json.loads((first / "run.json").read_text(encoding="utf-8"))
        same, unlike = (equal_tensors(first, one) for one in (second, third))
    wanted = ("seed", "recipe", "versions", "scores", "losses")
    hashed = ("base", "train")
    stated_there = sum(key in record for key in wanted) + sum(k in record["hashes"] for k in hashed)
    return [
        exact("of seed, recipe, versions, scores, losses and two hashes", stated_there, "", (7, 7)),
        Figure("tensors equal to the bit, made from it", same.value, n=same.n, said=(1.0, 1.0)),
        Figure("tensors equal with another seed", unlike.value, n=unlike.n, said=(0.0, 0.5)),
    ]


def equal_tensors(one: Path, other: Path) -> Rate:
    """How many of two runs' adapter tensors are equal to the bit."""
    import torch
    from safetensors.torch import load_file

    ours, theirs = (load_file(f / "adapter" / "adapter_model.safetensors") for f in (one, other))
    return Rate(sum(torch.equal(ours[k], theirs[k]) for k in ours), len(ours))


# What the rows of P measure beside `studies.ledger`.


def dpo_without_a_reward() -> Sequence[Figure]:
    """P1: pairs put in order with no reward model, and what becomes of known answers."""
    right = ledger.scored("pairs right")
    pairs = {
        "behind SFT: share of pairs in the right order": runs().tuned(right, ledger.BEHIND_SFT),
        "descriptions: the same": runs().tuned(right, ledger.BY_GOLD),
    }
    return [*within((0.5, math.inf), pairs), *stated("P1")]


def hacked_rewards() -> Sequence[Figure]:
    """P4: the statements, and a smaller price on distance."""
    cheap = replace(ledger.HACKED, beta=0.05)
    gap = runs().tuned(ledger.gained("gold"), cheap)
    what = "a nat costs 0.05: gold falls by less than half a sentence"
    return [*stated("P4"), of_seeds(what, gap, "sentences", (-0.5, math.inf))]


PREFERENCES = (
    "from ftkit import lab, studies\n"
    "found = studies.weigh_preferences(lab.grids.read('preferences')).weighed\n"
    "[(one.statement.sentence, one.measured) for one in found if one.statement.row == {!r}]"
)
CLAIMS = (
    Claim(
        "T1",
        "The guides' training scripts run as they are printed",
        "M",
        ("G1", "G3", "G4"),
        "from ftkit.lessons import check_scripts\ncheck_scripts()",
        "A script runs where the installed libraries refuse none of its arguments.",
        scripts_as_printed,
        each,
        "07b",
        {"G3": "Last tested: 2026-04"},
        dear=True,
    ),
    Claim(
        "T2",
        "LoRA learns at 1e-4 to 3e-4, and full fine-tuning wants a lower rate",
        "M",
        ALL,
        query(
            "playground",
            "r=16, targets='all-linear', epochs=2, replay=0, kl=0, weight_decay=0",
            "'task'",
            "lr",
        ),
        "LoRA's rate must be the higher one, and the guides' rates must teach; it depends where "
        "they teach one model in its steps and not another.",
        usual_rates,
        each,
        "07b",
        {
            "G5": "Learning rate ~1e-4 to 3e-4 for LoRA",
        },
    ),
    Claim(
        "T3",
        "One to three epochs are enough, or one to five",
        "M",
        ALL,
        query("epochs", "wrong=0.0", "lambda row: row.task[2][1] - row.task[-1][1]", "lr"),
        "The score must be within five points of that after ten epochs; it depends where it is at "
        "one rate and not at another.",
        few_epochs,
        each,
        "07b",
        {"G3": "Often just 1-3 is enough", "G5": "1–3 passes often enough"},
    ),
    Claim(
        "T4",
        "Validation loss is lowest before the end, and the last checkpoint is rarely the best",
        "M",
        ("G2", "G5"),
        query("epochs", "wrong=0.25, dropout=0.0", LOWEST, "lr"),
        "Epochs must be left after the lowest loss, and in more than half of all longer runs; it "
        "depends where that is so with wrong labels and not with clean rows.",
        best_checkpoint,
        each,
        "07b",
        {
            "G2": "The best checkpoint is rarely the last one.",
            "G5": "stop early when it flatlines or train loss diverges from eval (overfitting)",
        },
    ),
    Claim(
        "T5",
        "Ten epochs at 1e-3 over-fit; a lower rate, early stopping and dropout mend it",
        "M",
        ("G3",),
        query("epochs", "lr=1e-3", LOWEST, "wrong"),
        "Epochs must be left after the lowest validation loss at 1e-3, and each cure must gain on "
        "the test; cures were tried at 4e-3 on wrong labels, where some are left. The exercise "
        "names no model and no method: this is LoRA.",
        bad_run_mended,
        all_within,
        "07b",
        {"G3": "Run a fine-tune with intentionally bad hyperparams (LR=1e-3, 10 epochs)"},
    ),
    Claim(
        "T6",
        "LoRA reaches 95 % of what full fine-tuning does",
        "M",
        ("G1",),
        query("ranks", 'setting="lora", task="facts", amount=80', "'exact'", "lr"),
        "It holds where LoRA's score over that of full fine-tuning, each at its best rate, lies "
        "above 0.95 on some set that both learned and below it on none.",
        lora_over_full,
        each_clear,
        "08",
        {"G1": "LoRA achieves 95%+ of full fine-tuning quality"},
    ),
    Claim(
        "T7",
        "With much data full fine-tuning wins",
        "M",
        ALL,
        query("ranks", 'setting="full", task="facts", amount=240', "'exact'", "lr"),
        "Unverified while both had fewer rows than the 10,000 of which a guide speaks; then it "
        "holds where full fine-tuning scores higher.",
        full_with_more_rows,
        only_with_much_data,
        "08",
        {
            "G1": "Consider full fine-tuning at this scale",
            "G4": "You have > 100K high-quality examples",
        },
    ),
    Claim(
        "T8",
        "DoRA is even better than LoRA",
        "M",
        ("G3", "G5"),
        "from ftkit import lab, methods\nmethods.compare_methods(lab.grids.read('methods'))",
        "It must win by more than five points in score or skills kept, on the mean of four rates. "
        "What the methods reach that are said to pursue the same goal is shown.",
        dora_and_others,
        each,
        "08",
        {"G3": "latest, even better", "G5": "pursue the same goal"},
    ),
    Claim(
        "T9",
        "Warm-up, clipping and larger batches tame a loss that spikes",
        "M",
        ("G3",),
        "from ftkit import verdicts\nverdicts.find_claim('T9').settle()",
        "A cure tames full fine-tuning at ten times its rate where no loss rises above 1.2 times "
        "the first (for SGD: above 10 nats); it depends where one does and another does not.",
        spikes_tamed,
        each,
        "07b",
        {"G3": "Gradient clipping, warmup schedule, data quality audit"},
        dear=True,
    ),
    Claim(
        "T11",
        "A run should write down seed, base, data, dials and scores, so that it can be repeated",
        "M",
        ("G5",),
        "from ftkit import train\ntrain.Experiment.read('run.json').run()  # of a run of yours",
        "The record must have all of them, a second run from it the same adapter to the bit, and "
        "one with another seed not: on one machine, on its processor.",
        record_of_a_run,
        all_within,
        "07",
        {"G5": "Log everything: seed, base model revision, dataset hash, hyperparameters"},
        dear=True,
    ),
    Claim(
        "P1",
        "DPO replaces a reward model and reinforcement learning by one loss of a classifier",
        "M",
        ("G2", "G3"),
        PREFERENCES.format("P1"),
        "Pairs must come into order with no reward model, and what was known must stay; it depends "
        "where that is so from one start and not from another.",
        dpo_without_a_reward,
        each,
        "12",
        {"G2": "using a simple binary cross-entropy loss", "G3": "simpler RLHF alternative"},
    ),
    Claim(
        "P2",
        "DPO is three to four times as fast as RLHF, and more stable",
        "M",
        ("G2",),
        PREFERENCES.format("P2"),
        "Time must be within 3 to 4, gold no less, and DPO bear twice the rate: it cannot be told "
        "while one is open. That a reward model takes over twice the time is clear.",
        lambda: stated("P2"),
        each,
        "12",
        {"G2": "DPO is 3–4x faster to train, far more stable"},
    ),
    Claim(
        "P3",
        "GRPO suits tasks whose answers can be verified",
        "M",
        ("G3",),
        PREFERENCES.format("P3"),
        "It must gain where some answers are right, and where none is; it depends on that.",
        lambda: stated("P3"),
        each,
        "12b",
        {"G3": "latest for reasoning"},
    ),
    Claim(
        "P4",
        "A badly specified reward is hacked; a second metric shows it, and a KL penalty holds it",
        "M",
        ("G3",),
        PREFERENCES.format("P4"),
        "The reward must rise while gold falls, and a penalty hold gold to half a sentence; it "
        "depends where a high price does, and a low one or a limit does not.",
        hacked_rewards,
        each,
        "12b",
        {"G3": "High reward scores but poor actual output quality"},
    ),
)
