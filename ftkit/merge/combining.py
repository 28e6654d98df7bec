"""Several adapters on one base: use one, fold it in and out, combine them, and what each
combination can still do.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .. import evaluate, lora, models
from ..core.errors import UserError, nearest
from ..core.results import Result, percent
from ..core.statistics import Rate, paired_difference
from ..core.versions import version_of
from ..lora import check_adapters, using

WAYS = ("cat", "svd", "linear", "ties", "ties_svd", "dare_linear", "dare_linear_svd", "dare_ties", "dare_ties_svd", "magnitude_prune",
        "magnitude_prune_svd")  # fmt: skip
PRUNING = ("ties", "dare", "magnitude_prune")


@contextmanager
def fold(model) -> Iterator:
    """`model` with its adapter merged into W inside the block, so that it runs without the side
    path; after it the very same W again.

    peft's `unmerge_adapter` subtracts what `merge_adapter` added, which rounds; here W is kept and
    put back.
    """
    check_adapters(model, [])
    if models.is_packed(model):
        raise UserError(
            "the base is quantized, and folding would round it again; merge.merge dequantizes it first."
        )
    layers = [m.base_layer.weight for m in model.modules() if hasattr(m, "base_layer")]
    with models.replace_weights({W: W for W in layers}):
        model.merge_adapter(safe_merge=True)
        try:
            yield model
        finally:
            model.unmerge_adapter()


def combine(
    model,
    weights: Mapping[str, float],
    way: str = "cat",
    name: str | None = None,
    density: float = 0.2,
    **options,
) -> str:
    """Add an adapter that combines others, {name: weight}, by peft's `add_weighted_adapter`;
    returns its name. None is switched on.

    cat: Σ w · ΔW exactly, its rank the sum of the ranks; svd: the same cut to a rank; linear: mixes
    A and B apart, which is *not* Σ w · ΔW; ties: on A and B apart, ties_svd: on ΔW: keep the
    largest `density` of each, elect a sign, average those that agree (Yadav et al. 2023); dare:
    drop at random and rescale (Yu et al. 2024). More options go to peft.
    """
    check_adapters(model, list(weights))
    if way not in WAYS:
        raise UserError(f"way is {way!r}; give one of {', '.join(WAYS)}.{nearest(way, WAYS)}")
    if len(weights) < 2:
        raise UserError(
            f"there are {len(weights)} adapters to combine; give two at least, such as {{'a': 1.0, 'b': 1.0}}."
        )
    name = f"{way}: {' + '.join(weights)}" if name is None else name
    lora.check_new_name(model, name)
    ranks = {a: model.peft_config[a].r for a in weights}
    if len(set(ranks.values())) > 1 and way not in ("cat", "svd") and not way.endswith("_svd"):
        raise UserError(
            f"{way} mixes A and B apart, so all ranks have to be equal; they are {ranks}. Take cat, svd or ties_svd."
        )
    pruned = {"density": density} if way.startswith(PRUNING) else {}
    given = [w / extra_scale(model, a, way) for a, w in weights.items()]
    model.add_weighted_adapter(
        list(weights), given, name, combination_type=way, **pruned, **options
    )
    return name


def extra_scale(model, name: str, way: str) -> float:
    """The factor alpha / r that peft before 0.21 multiplies onto ΔW, which has it already, in the
    ways that end in an SVD; else 1.
    """
    from packaging.version import Version

    if not way.endswith("svd") or Version(version_of("peft")) >= Version("0.21"):
        return 1.0
    return next(
        m.scaling[name]
        for m in model.modules()
        if hasattr(m, "get_delta_weight") and name in m.scaling
    )


def combination_error(model, name: str, weights: Mapping[str, float]) -> float:
    """How far the adapter `name` is from Σ w · ΔW of others, {name: w}: ‖difference‖ / ‖Σ w · ΔW‖
    over all layers, Frobenius.
    """
    total: dict = {}
    for part, w in weights.items():
        for layer, delta in lora.deltas(model, adapter=part).items():
            total[layer] = total.get(layer, 0) + w * delta
    found = lora.deltas(model, adapter=name)
    missed = sum((found[layer] - wanted).square().sum().item() for layer, wanted in total.items())
    return math.sqrt(missed / sum(wanted.square().sum().item() for wanted in total.values()))


@dataclass(frozen=True, repr=False)
class Interference(Result):
    """Each task's test rows under each adapter: rates[adapter][task]; right[adapter][task] holds
    every single answer.
    """

    right: dict[str, dict[str, list[bool]]]

    @property
    def rates(self) -> dict[str, dict[str, Rate]]:
        """The share right with its interval."""
        return {
            a: {t: Rate(sum(x), len(x)) for t, x in row.items()} for a, row in self.right.items()
        }

    def change(self, task: str, adapter: str, against: str) -> tuple[float, float, float]:
        """Share of `task` right under `adapter` less that under `against`: (difference, low, high),
        paired bootstrap.
        """
        return paired_difference(self.right[against][task], self.right[adapter][task])

    def table(self):
        """One line an adapter, one column a task."""
        tasks = list(next(iter(self.right.values())))
        rows = [(a, *(percent(rates[t].value) for t in tasks)) for a, rates in self.rates.items()]
        n = [f"{t}, n = {len(next(iter(self.right.values()))[t])}" for t in tasks]
        return "Exact answers by adapter and task", ("adapter", *n), rows


def interference(
    model, tokenizer, tests: Mapping[str, object], adapters: Sequence[str | None] | None = None
) -> Interference:
    """Ask every adapter of the model (None: the base) every task's rows, {task: chat rows}; exact
    match.
    """
    names = [None, *model.peft_config] if adapters is None else adapters
    right: dict[str, dict[str, list[bool]]] = {}
    for name in names:
        with using(model, name):
            right[name or "base"] = {
                task: evaluate.score(model, tokenizer, rows).exact for task, rows in tests.items()
            }
    return Interference(right)


def slowdown(
    ms: Sequence[float], against: Sequence[float], draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """(median ratio, low, high) of two candidates of one `evaluate.latency`, round by round; 95 %
    bootstrap interval over rounds.
    """
    import numpy as np

    ratios = np.asarray(ms) / np.asarray(against)
    medians = np.median(
        ratios[np.random.default_rng(seed).integers(0, len(ratios), (draws, len(ratios)))], axis=1
    )
    low, high = np.quantile(medians, [0.025, 0.975])
    return statistics.median(ratios.tolist()), float(low), float(high)
