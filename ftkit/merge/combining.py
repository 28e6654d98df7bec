"""Several adapters on one base: fold one in for a while, add some up, see what each can still do.

    fold(model)                              inside a `with` block, the adapter merged into W
    combine(model, {name: weight}, way)      a new adapter out of others, by peft
    combination_error(model, name, weights)  how far it is from Σ w · ΔW
    interference(model, tokenizer, tests)    every adapter asked every task

Which adapter is on is chosen with `lora.using`; what an unmerged one costs in time is
`evaluate.latency`'s. A merge for good, with its proof, is made in `merging`. Notebook 13.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from packaging.version import Version

from .. import evaluate, lora, models
from ..core.errors import UserError, is_number, is_whole, nearest, reason
from ..core.parsing import shown
from ..core.results import Result, TableParts
from ..core.statistics import Interval, Rate, paired_difference
from ..core.versions import version_of
from .merging import updates_shared

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ..lora import PeftModel

# fmt: off
WAYS = (
    "cat", "svd", "linear", "ties", "ties_svd", "dare_linear", "dare_linear_svd",
    "dare_ties", "dare_ties_svd", "magnitude_prune", "magnitude_prune_svd",
)
# fmt: on
PRUNING = ("ties", "dare", "magnitude_prune")  # how the ways begin that take a density
KEPT = 0.2  # the usual density
# What else peft can be told of a combination: {option: the part of the names of ways that read it}.
OPTIONS = {
    "svd_rank": "svd", "svd_clamp": "svd", "svd_full_matrices": "svd", "svd_driver": "svd",
    "majority_sign_method": "ties",
}  # fmt: skip
SIGNS, DRIVERS = ("total", "frequency"), ("gesvd", "gesvdj", "gesvda")


@contextmanager
def fold(model: "PreTrainedModel | PeftModel") -> Iterator["PeftModel"]:
    """`model` with its adapter merged into W inside the block, and the very same W after it.

    So it runs without the side path for a while. peft's `unmerge_adapter` subtracts what
    `merge_adapter` added, which rounds; here W is kept and put back. A model without an adapter,
    one on a quantized base, and one on an embedding that shares its matrix are a `UserError`.
    """
    tuned = lora.check_adapters(model)
    if models.is_packed(tuned):
        raise UserError(
            "the base is quantized, and folding would round it again; merge.merge dequantizes it "
            "first."
        )
    if updates_shared(tuned):
        raise UserError(
            "the adapter updates the matrix that embedding and head share, and folding would "
            "change both; use it beside its base."
        )
    # peft puts its layers around the linear ones, whose W they keep as their base layer's
    inner = [getattr(module, "base_layer", None) for module in tuned.modules()]
    weights = [layer.weight for layer in inner if layer is not None]
    with models.replace_weights({W: W for W in weights}):
        tuned.merge_adapter(safe_merge=True)
        try:
            yield tuned
        finally:
            tuned.unmerge_adapter()


def combine(
    model: "PreTrainedModel | PeftModel",
    weights: Mapping[str, float],
    way: str = "cat",
    name: str | None = None,
    density: float | None = None,
    **options: Any,
) -> str:
    """Add an adapter that combines others, {name: weight}, and return its name; none is put on.

    By peft's `add_weighted_adapter`, to which more options go (`OPTIONS`). The ways, where one that
    ends in _svd works on ΔW, and the others on A and B apart:

    cat: Σ w · ΔW exactly, its rank the sum of the ranks; svd: the same cut to a rank. linear: mixes
    A and B, which is *not* Σ w · ΔW. ties: keep the largest `density` of each (by default 0.2),
    elect a sign, average those that agree (Yadav et al. 2023). dare: drop at random and rescale (Yu
    et al. 2024). magnitude_prune: keep the largest `density` of each, and add.

    An unknown way, fewer than two adapters, weights that are no numbers, a name that is taken,
    ranks that the way can't mix, an option that it does not read, and adapters that train more than
    A and B are a `UserError`. After any failure the model carries the adapters that it had before.
    """
    tuned = check_combination(model, weights, way)
    name = f"{way}: {' + '.join(weights)}" if name is None else name
    lora.check_new_name(tuned, name)
    check_options(tuned, list(weights), way, {"density": density, **options})
    pruned = {"density": check_density(density)} if way.startswith(PRUNING) else {}
    with or_nothing(tuned, name, way), plain_configs(tuned, list(weights)):
        scaled = [weight / extra_scale(tuned, part, way) for part, weight in weights.items()]
        tuned.add_weighted_adapter(
            list(weights), scaled, name, combination_type=way, **pruned, **options
        )
    return name


@contextmanager
def or_nothing(model: "PeftModel", name: str, way: str) -> Iterator[None]:
    """What fails inside the block, or makes numbers that are none, leaves no adapter `name`.

    peft notes a new adapter before it computes it. What it fails with is one sentence here.
    """
    try:
        yield
        made = [p for label, p in model.named_parameters() if lora.adapter_of(label) == name]
        if not all(p.isfinite().all() for p in made):
            raise ValueError("it has NaN or infinite values")
    except BaseException as error:  # an interrupt leaves as little behind
        if name in model.peft_config:
            model.delete_adapter(name)
        if not isinstance(error, Exception):
            raise
        raise UserError(
            f"the combination by {way} could not be made ({reason(error)}); give smaller weights, "
            f"or another way, such as {'svd' if way == 'cat' else 'cat'}."
        ) from error


@contextmanager
def plain_configs(model: "PeftModel", names: Sequence[str]) -> Iterator[None]:
    """Inside the block, what peft hands on from the first adapter to a combination says nothing.

    It would scale the sum once more (rsLoRA: peft 3449), change the base (PiSSA), and leave out the
    layers that the first adapter lacks. The combination lies on the layers of all, by name.
    """
    before = {name: model.peft_config[name] for name in names}
    layers = {name for name, _ in lora.adapted_layers(model, names)}
    plain = {
        "target_modules": layers,
        "exclude_modules": None,
        "layers_to_transform": None,
        "layers_pattern": None,
        "use_rslora": False,
        "init_lora_weights": True,
    }
    model.peft_config.update({name: replace(each, **plain) for name, each in before.items()})
    try:
        yield
    finally:
        model.peft_config.update(before)


def check_combination(
    model: "PreTrainedModel | PeftModel", weights: Mapping[str, float], way: str
) -> "PeftModel":
    """The model itself; adapters that can't be combined in this way are refused."""
    check_weights(weights)
    tuned = lora.check_adapters(model, list(weights))
    if way not in WAYS:
        raise UserError(f"way is {way!r}; give one of {', '.join(WAYS)}.{nearest(way, WAYS)}")
    if len(weights) < 2:
        raise UserError(
            f"there are {len(weights)} adapters to combine; give two at least, such as "
            "{'a': 1.0, 'b': 1.0}."
        )
    for name in weights:
        check_factors(tuned, name)
    # peft mixes the factors of adapters as they are, which needs them of one shape
    ranks = {name: ranks_of(tuned, name) for name in weights}
    mixes_factors = way not in ("cat", "svd") and not way.endswith("_svd")
    if mixes_factors and len(set().union(*ranks.values())) > 1:
        told = {name: each[0] if len(each) == 1 else each for name, each in ranks.items()}
        raise UserError(
            f"{way} mixes A and B apart, so all ranks have to be equal; they are {told}. Take "
            "cat, svd or ties_svd."
        )
    return tuned


def check_weights(weights: object) -> None:
    """Refuse weights that are no numbers by the names of adapters."""
    if not isinstance(weights, Mapping):
        raise UserError(
            f"weights is {shown(weights)}; give each adapter its weight, such as "
            "{'a': 1.0, 'b': 1.0}."
        )
    for name, weight in weights.items():
        if not is_number(weight):
            raise UserError(f"the weight of {name!r} is {shown(weight)}; give a number.")


def ranks_of(model: "PeftModel", name: str) -> list[int]:
    """The ranks that an adapter has, which a rank_pattern may make several."""
    return sorted({module.r[name] for _, module in lora.adapted_layers(model, [name])})  # type: ignore


def check_factors(model: "PeftModel", name: str) -> None:
    """Refuse an adapter that is more than A and B, which peft's combinations drop or mix up.

    So are DoRA's lengths, biases, and what is trained whole (peft 3761).
    """
    config = model.peft_config[name]
    more = [
        models.plain_name(label)
        for label, _ in model.named_parameters()
        if lora.adapter_of(label) == name
        and not re.search(r"\.lora_(embedding_)?[AB]\.[^.]+(\.weight)?$", label)
    ]
    if parameters := getattr(config, "target_parameters", None):
        more += parameters
    if more:
        raise UserError(
            f"the adapter {name!r} is more than A and B ({more[0]}, {len(more)} in all), which no "
            "combination takes along; combine adapters that are plain LoRA, or merge this one for "
            "itself."
        )


def check_density(density: float | None) -> float:
    """The share of the numbers to keep; refused where it is none."""
    density = KEPT if density is None else density
    if not is_number(density) or not 0 < density <= 1:
        raise UserError(
            f"density is {shown(density)}; it is the share of the numbers that is kept, above 0 "
            "and up to 1."
        )
    return density


def check_options(
    model: "PeftModel", names: Sequence[str], way: str, options: Mapping[str, Any]
) -> None:
    """Refuse an option of peft's that the way does not read, and a value that can't be.

    None leaves an option to peft. names: the adapters that are combined.
    """
    readers = {option: [w for w in WAYS if part in w] for option, part in OPTIONS.items()}
    readers["density"] = [w for w in WAYS if w.startswith(PRUNING)]
    for option, value in options.items():
        if option not in readers:
            raise UserError(
                f"there is no option {option!r}; there are {', '.join(readers)}."
                f"{nearest(option, readers)}"
            )
        if value is not None and way not in readers[option]:
            raise UserError(
                f"{option} is {shown(value)}, and {way} does not read it; leave it out, or take "
                f"one of {', '.join(readers[option])}."
            )
    check_svd(model, names, options)
    sign = options.get("majority_sign_method", SIGNS[0])
    if sign not in SIGNS:
        raise UserError(
            f"majority_sign_method is {shown(sign)}; give {' or '.join(SIGNS)}."
            f"{nearest(sign, SIGNS)}"
        )


def check_svd(model: "PeftModel", names: Sequence[str], options: Mapping[str, Any]) -> None:
    """Refuse a rank that the layers can't have, and what torch's SVD does not take."""
    rank, clamp, driver = (options.get(f"svd_{part}") for part in ("rank", "clamp", "driver"))
    layers: list[Any] = [layer for _, layer in lora.adapted_layers(model, names)]
    most = min(min(layer.in_features, layer.out_features) for layer in layers)
    if rank is not None and (not is_whole(rank) or not 1 <= rank <= most):
        raise UserError(
            f"svd_rank is {shown(rank)}; give a whole number from 1 to {most:,}, the shorter side "
            "of the narrowest layer."
        )
    # of values that lie around 0, half are below it
    if clamp is not None and (not is_number(clamp) or not 0.5 < clamp <= 1):
        raise UserError(
            f"svd_clamp is {shown(clamp)}; it is the quantile of the values at which they are cut, "
            "above 0.5 and up to 1."
        )
    whole = options.get("svd_full_matrices", True)
    if not isinstance(whole, bool):
        raise UserError(f"svd_full_matrices is {shown(whole)}; give True or False.")
    if driver is not None and (driver not in DRIVERS or model.device.type != "cuda"):
        raise UserError(
            f"svd_driver is {shown(driver)}; on a GPU it is one of {', '.join(DRIVERS)}, and on a "
            f"CPU there is none to choose: leave it out.{nearest(driver, DRIVERS)}"
        )


def extra_scale(model: torch.nn.Module, name: str, way: str) -> float:
    """The factor alpha / r that peft multiplies onto ΔW once too often; else 1.

    peft before 0.21 does so in the ways that end in an SVD, whose ΔW has it already.
    """
    if not way.endswith("svd") or Version(version_of("peft") or "0") >= Version("0.21"):
        return 1.0
    # LoRA's layers have {adapter: scale}; attention has a number of the same name
    scales = [getattr(module, "scaling", None) for module in model.modules()]
    return next(scale[name] for scale in scales if isinstance(scale, dict) and name in scale)


def combination_error(
    model: "PreTrainedModel | PeftModel", name: str, weights: Mapping[str, float]
) -> float:
    """How far the adapter `name` is from Σ w · ΔW of others, {name: w}.

    ‖difference‖ / ‖Σ w · ΔW‖ over all layers, Frobenius. A sum of 0, of which nothing is a share,
    is a `UserError`, and so are weights that are no numbers.
    """
    check_weights(weights)
    lora.check_adapters(model, [name, *weights])
    wanted: dict[str, torch.Tensor] = {}
    for part, weight in weights.items():
        for layer, delta in lora.deltas(model, adapter=part).items():
            wanted[layer] = wanted.get(layer, torch.zeros_like(delta)) + weight * delta

    combined = lora.deltas(model, adapter=name)
    missed, size, nothing = 0.0, 0.0, torch.zeros(())
    # a layer that only one of them changes counts too
    for layer in wanted.keys() | combined.keys():
        total, made = wanted.get(layer, nothing), combined.get(layer, nothing)
        missed += (made - total).square().sum().item()
        size += total.square().sum().item()
    if not size:
        raise UserError(
            f"Σ w · ΔW of {', '.join(map(repr, weights))} is 0 at the weights "
            f"{', '.join(map(shown, weights.values()))}, so nothing is a share of it; give weights "
            "that leave something."
        )
    return math.sqrt(missed / size)


@dataclass(frozen=True, repr=False)
class Interference(Result):
    """Each task's test rows under each adapter."""

    right: dict[str, dict[str, list[bool]]]  # by adapter and by task: every single answer

    @property
    def rates(self) -> dict[str, dict[str, Rate]]:
        """By adapter and by task: the share right with its interval."""
        rates: dict[str, dict[str, Rate]] = {}
        for adapter, tasks in self.right.items():
            rates[adapter] = {task: Rate(sum(right), len(right)) for task, right in tasks.items()}
        return rates

    def change(self, task: str, adapter: str, against: str) -> Interval:
        """The share of a task right under `adapter` less that under `against`, another adapter.

        Paired bootstrap over the rows.
        """
        return paired_difference(self.right[against][task], self.right[adapter][task])

    def table(self) -> TableParts:
        """One line per adapter, one column per task: the share right with its 95 % interval."""
        asked = {task: len(right) for task, right in next(iter(self.right.values())).items()}
        rows: list[Sequence[object]] = [
            (adapter, *(str(rates[task]) for task in asked))
            for adapter, rates in self.rates.items()
        ]
        heads = ("adapter", *(f"{task}, n = {n}" for task, n in asked.items()))
        return "Exact answers by adapter and task", heads, rows


def interference(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    tests: "Mapping[str, Dataset]",
    adapters: Sequence[str | None] | None = None,
) -> Interference:
    """Ask every adapter every task's rows; exact match.

    tests: {task: chat rows}; adapters: some of the model's, None among them for the base; by
    default all, and the base.
    """
    every = [None, *lora.check_adapters(model).peft_config]
    right: dict[str, dict[str, list[bool]]] = {}
    for name in every if adapters is None else adapters:
        with lora.using(model, name):
            right[name or "base"] = {
                task: evaluate.score(model, tokenizer, rows).exact for task, rows in tests.items()
            }
    return Interference(right)
