"""What a LoRA trains on a real architecture, by formula: r · (d_in + d_out) numbers per target.

    count(source, r, targets)            what it trains, and the bytes of the saved adapter
    count_and_check(source, r, targets)  the same, held to peft's own count
    count_all(r, targets)                every architecture of the kit

For a family that `models.architecture` knows nothing is built and no torch is needed. Any other is
built on the meta device, where a model has shapes but no memory, and peft's LoRA is read off there.
How many bytes training takes is `memory`'s business. Notebook 02b.
"""

import json
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from .. import models
from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts, megabytes
from ..core.session import DTYPES, Dtype
from ..models import architecture
from .targets import check_rank, choose_layers, narrowest_side

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from .by_peft import PeftModel

Source: TypeAlias = "dict | str | Path | PreTrainedModel"  # what `architecture.read` takes
Targets = str | list[str]

LINEAR_KINDS = ("linear", "conv1d")
FORMULA, META_DEVICE = "formula", "meta device"  # by which a `Count` was made
ADAPTER = "default"  # the name that peft gives to an only adapter, and leaves out in the file
INSIDE = "base_model.model."  # what it puts before every name
SAVED_DTYPES = ("float32", "bfloat16")  # in which tables and JSON give an adapter's size


def adapter_parameters(r: int, d_out: int, d_in: int) -> int:
    """r · (d_in + d_out): the numbers in A (r, d_in) and B (d_out, r), beside W (d_out, d_in)."""
    return r * (d_in + d_out)


class SavedLayer(NamedTuple):
    """A pair as peft saves it: A (r, d_in) and B (d_out, r)."""

    r: int
    d_out: int
    d_in: int


@dataclass(frozen=True)
class Part:
    """One kind of target: W is d_out × d_in, and the model has `copies` of it, each with rank r."""

    part: str
    d_out: int
    d_in: int
    r: int
    copies: int

    @property
    def trainable(self) -> int:
        """copies · r · (d_in + d_out)."""
        return self.copies * adapter_parameters(self.r, self.d_out, self.d_in)


@dataclass(frozen=True, repr=False)
class Count(Result):
    """What a LoRA trains, what the base holds besides, and the bytes of the saved adapter.

    base: the parameters of the base. note: what a LoRA does to a mixture of experts, and what else
    has to be said. peft: what peft counted, where it was asked. layers: every pair by its name in
    the saved file. counted_by: FORMULA or META_DEVICE.
    """

    name: str
    r: int
    targets: str
    base: int
    parts: tuple[Part, ...]
    note: str = ""
    peft: int | None = None
    layers: dict[str, SavedLayer] = field(default_factory=dict)
    counted_by: str = FORMULA

    @property
    def trainable(self) -> int:
        """The sum of r · (d_in + d_out) over all targets."""
        return sum(part.trainable for part in self.parts)

    @property
    def total(self) -> int:
        """base + trainable: what peft calls all params."""
        return self.base + self.trainable

    @property
    def percent(self) -> float:
        """100 · trainable / total, as peft's `print_trainable_parameters` gives it."""
        return 100 * self.trainable / self.total

    def adapter_bytes(self, dtype: str = "float32") -> int:
        """The exact size of the adapter_model.safetensors that peft's `save_pretrained` writes.

        dtype: peft trains and saves in float32, also on a 16-bit base. One that no adapter has is a
        `UserError`.
        """
        if dtype not in DTYPES:
            raise UserError(
                f"dtype is {dtype!r}; give {', '.join(map(repr, DTYPES))}.{nearest(dtype, DTYPES)}"
            )
        shapes = {}
        for name, (r, d_out, d_in) in self.layers.items():
            shapes[f"base_model.model.{name}.lora_A.weight"] = (r, d_in)
            shapes[f"base_model.model.{name}.lora_B.weight"] = (d_out, r)
        return safetensors_bytes(shapes, DTYPES[dtype])

    def json(self) -> dict:
        """The values that `python -m ftkit count --json` prints."""
        # W's sides, not A's and B's: those follow from the rank
        parts = {
            part.part: {
                "shape": [part.d_out, part.d_in],
                "rank": part.r,
                "copies": part.copies,
                "trainable": part.trainable,
            }
            for part in self.parts
        }
        return {
            "trainable": self.trainable,
            "total": self.total,
            "percent": round(self.percent, 4),
            "base": self.base,
            "rank": self.r,
            "targets": self.targets,
            "parts": parts,
            "adapter_bytes": {dtype: self.adapter_bytes(dtype) for dtype in SAVED_DTYPES},
            "note": self.note,
            "peft": self.peft,
            "counted_by": self.counted_by,
        }

    def table(self) -> TableParts:
        """One line per kind of target: W, rank, copies and trained numbers; below them the sums."""
        # what is trained, by kind of target
        rows: list[Sequence[object]] = []
        for part in self.parts:
            shape = f"{part.d_out:,} × {part.d_in:,}"
            rows.append((part.part, shape, part.r, part.copies, f"{part.trainable:,}"))

        # sums have no shape, no rank and no copies
        sums = {"trainable": f"{self.trainable:,}"}
        if self.peft is not None:
            sums["peft's own count"] = f"{self.peft:,}"
        sums["base, frozen"] = f"{self.base:,}"
        sums["base + adapter"] = f"{self.total:,}"
        sums["trainable share"] = f"{self.percent:.4f} %"
        for dtype in SAVED_DTYPES:
            sums[f"saved adapter, {dtype}"] = megabytes(self.adapter_bytes(dtype))
        rows += [(label, "", "", "", value) for label, value in sums.items()]

        title = f"LoRA on {self.name}, r = {self.r}, targets {self.targets}"
        if self.note:
            title += f"\n{self.note}"
        return title, ("weight", "d_out × d_in", "r", "copies", "numbers"), rows


def safetensors_bytes(shapes: Mapping[str, Sequence[int]], dtype: Dtype) -> int:
    """The exact size of a safetensors file with these tensors, {name: shape}, as peft writes it.

    8 bytes for the header's length; the header, JSON that names every tensor, its dtype, shape and
    place, filled up with spaces to a multiple of 8; and the numbers.
    """
    header: dict = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in sorted(shapes):
        start, end = end, end + dtype.width * math.prod(shapes[name])
        header[name] = {
            "dtype": dtype.label,
            "shape": list(shapes[name]),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, separators=(",", ":"))
    return 8 + 8 * math.ceil(len(text) / 8) + end


class Target(NamedTuple):
    """One target of a LoRA: its full name, its weight, and the rank that it gets."""

    name: str
    weight: architecture.Weight
    r: int


def count(source: Source, r: int = 16, targets: Targets = "all-linear") -> Count:
    """What a LoRA of rank r on `targets` trains.

    source: what `architecture.read` takes: a name in data/configs, a config.json, a directory, a
    hub id, a config, a model. targets: what `lora.attach` takes: "all-linear", "attention", "mlp",
    "q,v" or names of layers. What can't be attached is a `UserError`, as it would be there.

    By arithmetic, at once; a family that `architecture.shapes` does not know is built on the meta
    device, and peft's own LoRA is counted there.
    """
    config = architecture.read(source)
    named = isinstance(source, str | Path)
    name = str(source) if named else config.get("_name_or_path") or config["model_type"]
    if architecture.is_known(config):
        counted = count_by_formula(config, str(name), r, targets)
        if counted is not None:
            return counted
    return count_on_meta(config, str(name), r, targets)


def count_by_formula(config: dict, name: str, r: int, targets: Targets) -> Count | None:
    """`count` by arithmetic; None for what it does not model.

    That is a LoRA on the dense MLP of a mixture of experts: peft moves it to the experts.
    """
    # the base
    weights = architecture.shapes(config)
    base = sum(weight.numel for weight in weights)
    note = experts_note(weights, targets)

    # what is picked in it: where a name is missing, the note says why
    try:
        picked = pick_targets(weights, r, targets)
    except UserError as error:
        raise UserError(f"{error} {note}".strip()) from None
    linear = [target for target in picked if target.weight.kind in LINEAR_KINDS]
    check_rank(r, narrowest_side({t.name: (t.weight.d_out, t.weight.d_in) for t in linear}))
    if note and targets != "all-linear":
        if any(target.weight.part.startswith("mlp.") for target in picked):
            return None

    # both together, by kind and by layer
    layers = dict(saved_layer(target) for target in picked)
    parts = group_by_part(picked)
    said = join_notes([note, rank_note(picked), quantized_note(config)])
    return Count(name, r, targets_in_words(targets), base, parts, said, layers=layers)


def count_on_meta(config: dict, name: str, r: int, targets: Targets) -> Count:
    """`count` off peft's own LoRA on the model that transformers builds on the meta device."""
    from .by_peft import trainable

    # the base, and the LoRA on it
    model = models.skeleton(config)
    weights, base = models.list_weights(model), models.count_numbers(model)
    adapted = attach_to(model, r, targets)
    picked = [as_target(pair) for pair in pairs_of(adapted)]
    layers = {layer: SavedLayer(*sizes) for layer, sizes in saved_layers(adapted).items()}

    # what has to be said of it
    notes = [
        meta_note(config, model.config.model_type),
        experts_note(weights, targets, picked),
        stacks_note(picked),
        rank_note(picked),
        quantized_note(config),
    ]
    counted = Count(
        name, r, targets_in_words(targets), base, group_by_part(picked), join_notes(notes)
    )
    by_peft, _ = trainable(adapted)
    return replace(counted, peft=by_peft, layers=layers, counted_by=META_DEVICE)


class Pair(NamedTuple):
    """A (each · r, d_in) and B (d_out, each · r) on one layer, or on a tensor of `each` experts."""

    name: str
    d_out: int
    d_in: int
    r: int
    each: int


def attach_to(model: "PreTrainedModel", r: int, targets: Targets) -> "PeftModel":
    """`lora.attach` on a `models.skeleton`, whose A and B then are without memory too."""
    # imported here, as all that is about torch and peft: the arithmetic does without
    import torch

    from .by_peft import attach

    with torch.device("meta"), warnings.catch_warnings():
        # for fused experts peft fills rank_pattern itself, and then warns that it fits no layer
        warnings.filterwarnings(
            "ignore", message=".*_pattern keys did not match any targeted module.*"
        )
        return attach(model, r=r, targets=targets)


def pairs_of(adapted: "PeftModel") -> list[Pair]:
    """Every pair that trains, in the model's order; one that several layers share comes once."""
    pairs = []
    for name, module in adapted.named_modules():
        if ADAPTER not in getattr(module, "lora_A", ()):
            continue
        layer: Any = module
        (rank, d_in), (d_out, _) = (
            tuple(side[ADAPTER].weight.shape) for side in (layer.lora_A, layer.lora_B)
        )
        # both tensors of experts sit on one module, so that one of them wraps the other
        each, tensor = getattr(layer, "num_experts", 1), getattr(layer, "parameter_name", "weight")
        name = name.removeprefix(INSIDE).replace(".base_layer", "")
        if tensor != "weight":
            name = f"{name}.{tensor}"
        pairs.append(Pair(name, d_out, d_in, rank // each, each))
    return pairs


def saved_layers(adapted: "PeftModel") -> dict[str, tuple[int, int, int]]:
    """{layer: (r, d_out, d_in)} of the pairs that peft's `save_pretrained` writes.

    A pair that several layers share is written for each of them.
    """
    state = adapted.state_dict()
    layers = {}
    for name, A in state.items():
        layer, is_a, _ = name.partition(f".lora_A.{ADAPTER}.")
        if is_a:
            B = state[name.replace(".lora_A.", ".lora_B.")]
            layers[layer.removeprefix(INSIDE)] = (A.shape[0], B.shape[0], A.shape[1])
    return layers


def as_target(pair: Pair) -> Target:
    """A pair on the meta device as a target, whose weight's name has * for every number."""
    words = ["*" if word.isdigit() else word for word in pair.name.split(".")]
    kind = "expert" if pair.each > 1 else "linear"
    weight = architecture.Weight(".".join(words), pair.d_out, pair.d_in, kind, each=pair.each)
    return Target(pair.name, weight, pair.r)


def targets_in_words(targets: Targets) -> str:
    """What a table calls the targets: ["q_proj", "v_proj"] is "q_proj,v_proj"."""
    return targets if isinstance(targets, str) else ",".join(targets)


def pick_targets(weights: list[architecture.Weight], r: int, targets: Targets) -> list[Target]:
    """Every target as peft picks it.

    In a mixture of experts "all-linear" means what it meant when each expert was a linear layer of
    its own: peft also takes the router and the fused experts, with rank 2r where one tensor holds
    gate and up, and leaves a dense layer's MLP alone.
    """
    # the linear layers
    linear = {
        name: weight for weight in weights if weight.kind in LINEAR_KINDS for name in weight.names
    }
    picked = [Target(name, linear[name], r) for name in choose_layers(linear, targets)]

    # and the experts, which are none
    experts = [weight for weight in weights if weight.kind in ("router", "expert")]
    if targets != "all-linear" or not experts:
        return picked
    picked = [target for target in picked if not target.weight.part.startswith("mlp.")]
    for weight in experts:
        rank = 2 * r if weight.part.endswith("gate_up_proj") else r
        picked += [Target(name, weight, rank) for name in weight.names]
    return picked


def group_by_part(picked: Sequence[Target]) -> tuple[Part, ...]:
    """The targets of each kind as one `Part`, in the order in which they come.

    A kind is called by its name inside a layer, or by its whole name in a model of several stacks
    of layers; with its shape where the name has several.
    """
    # how many there are of each
    copies: dict[tuple[str, int, int, int], int] = {}
    several = len(count_stacks(picked)) > 1
    for _, weight, r in picked:
        name = weight.name if several else inside_layer(weight.name)
        key = (name, weight.d_out, weight.d_in, r)
        copies[key] = copies.get(key, 0) + weight.each

    # and what each is called
    names = [name for name, *_ in copies]
    parts = []
    for (name, d_out, d_in, r), times in copies.items():
        label = name if names.count(name) == 1 else f"{name} {d_out}x{d_in}"
        parts.append(Part(label, d_out, d_in, r, times))
    return tuple(parts)


def inside_layer(name: str) -> str:
    """A name behind its first *: "mlp.up_proj" for "model.layers.*.mlp.up_proj"."""
    return name.partition("*.")[2] or name


def saved_layer(target: Target) -> tuple[str, SavedLayer]:
    """A target's name and shapes in the saved file.

    The experts of a layer are one tensor and share one A and one B, so r grows with their number.
    Both tensors of experts sit on one module, so that one of them wraps the other.
    """
    name, weight, r = target
    if weight.kind == "expert":
        module = name.rpartition(".")[0]
        name = f"{module}.base_layer" if name.endswith("gate_up_proj") else module
    return name, SavedLayer(r * weight.each, weight.d_out, weight.d_in)


def join_notes(notes: Iterable[str]) -> str:
    """All sentences that have something to say, in one line."""
    return " ".join(note for note in notes if note)


def experts_note(
    weights: list[architecture.Weight], targets: Targets, picked: Sequence[Target] | None = None
) -> str:
    """What a LoRA on `targets` does to a mixture of experts, one sentence; "" for other models.

    picked: what peft picked, where it was asked; None for the families known by arithmetic, whose
    experts peft's all-linear reaches.
    """
    # how much of the base the experts are
    base = sum(weight.numel for weight in weights)
    experts = sum(weight.numel for weight in weights if weight.kind == "expert")
    if not experts:
        return ""
    share = (
        f"The experts, {experts:,} numbers and {100 * experts / base:.1f} % of the base, "
        "are fused 3-D tensors and no linear layers"
    )

    # and whether they are reached
    reached = targets == "all-linear"
    if picked is not None:
        reached = any(target.weight.kind == "expert" for target in picked)
    if reached and targets == "all-linear":
        return (
            f"{share}; peft's all-linear reaches them and the router all the same, "
            "gate_up_proj with rank 2r for the two it holds."
        )
    if reached:
        return f"{share}; of these targets peft makes the experts' as well."
    if picked is not None:
        return f"{share}, so they get no LoRA: peft reaches none of them by these targets."
    return f"{share}, so they get no LoRA by name; all-linear reaches them."


def meta_note(config: dict, family: str) -> str:
    """That no arithmetic was done, and on which part of a model that also sees or hears."""
    stated = config["model_type"]
    note = f"Counted on the meta device: no formula here knows the family {stated!r}."
    if architecture.is_known(config):
        note = (
            "Counted on the meta device: no formula here knows these targets of a model of experts."
        )
    if family != stated:
        note += f" Of it transformers builds a {family!r}, the language model that trains."
    return note


def count_stacks(picked: Sequence[Target]) -> dict[str, int]:
    """{stack of layers: its targets}; a model that also sees has a vision tower beside its own."""
    stacks: dict[str, int] = {}
    for target in picked:
        stack, layer, _ = target.weight.name.partition(".*.")
        if layer:
            stacks[stack] = stacks.get(stack, 0) + 1
    return stacks


def stacks_note(picked: Sequence[Target]) -> str:
    """Where the targets lie, if in more than one stack of layers."""
    stacks = count_stacks(picked)
    if len(stacks) < 2:
        return ""
    places = ", ".join(f"{number:,} in {stack}" for stack, number in stacks.items())
    return f"The targets lie in several stacks of layers: {places}."


def rank_note(picked: Sequence[Target]) -> str:
    """Which targets are narrower than their rank, so that a part of A and B serves nothing."""
    narrow = {}
    for _, weight, r in picked:
        if r > min(weight.d_out, weight.d_in):
            narrow[inside_layer(weight.name)] = min(weight.d_out, weight.d_in)
    if not narrow:
        return ""
    sides = ", ".join(f"{part} ({side})" for part, side in narrow.items())
    return f"The rank is more than the shorter side of {sides}, which can't use all of it."


def quantized_note(config: dict) -> str:
    """That numbers are counted, and not what a quantized checkpoint packs them into."""
    stated = config.get("quantization_config")
    if not stated:
        return ""
    method = stated.get("quant_method") if isinstance(stated, dict) else None
    return (
        f"The checkpoint is quantized{f' ({method})' if method else ''}: counted are the numbers "
        "that its weights stand for."
    )


def peft_count(
    source: Source,
    r: int = 16,
    targets: Targets = "all-linear",
    model: "PreTrainedModel | None" = None,
) -> tuple[int, int]:
    """(trainable, total) as peft counts them, on the real architecture without its memory.

    model: a `skeleton` of `source` that several counts may share; None builds one. The LoRA is
    taken off it again.
    """
    from .by_peft import trainable

    adapted = attach_to(model if model is not None else models.skeleton(source), r, targets)
    counted = trainable(adapted)
    adapted.unload()
    return counted


def count_and_check(source: Source, r: int = 16, targets: Targets = "all-linear") -> Count:
    """`count`, held to peft's own: they are equal, or it is a `UserError`."""
    counted = count(source, r, targets)
    if counted.peft is None:
        trainable, total = peft_count(source, r, targets)
    else:
        trainable, total = counted.peft, counted.base + counted.peft
    if (trainable, total) != (counted.trainable, counted.total):
        raise UserError(
            f"the {counted.counted_by} gives {counted.trainable:,} of {counted.total:,} and peft "
            f"counts {trainable:,} of {total:,} for {counted.name}: its layers are not what its "
            "config says here; trust peft's count."
        )
    return replace(counted, peft=trainable)


@dataclass(frozen=True, repr=False)
class Counts(Result):
    """The same LoRA on every architecture of the kit.

    refused: {architecture: the sentence} where it can't be attached.
    """

    r: int
    targets: str
    counts: dict[str, Count]
    refused: dict[str, str]

    def json(self) -> dict:
        """Every count by name."""
        return {
            "rank": self.r,
            "targets": self.targets,
            "counts": {name: counted.json() for name, counted in self.counts.items()},
            "refused": self.refused,
        }

    def table(self) -> TableParts:
        """One line per architecture, from the smallest trained share to the largest."""
        rows: list[Sequence[object]] = []
        for counted in sorted(self.counts.values(), key=lambda counted: counted.percent):
            trained, share = f"{counted.trainable:,}", f"{counted.percent:.4f} %"
            saved = megabytes(counted.adapter_bytes("float32"))
            rows.append((counted.name, f"{counted.base:,}", trained, share, saved))
        rows += [(name, "", "", "", sentence) for name, sentence in self.refused.items()]
        heads = ("architecture", "base", "trainable", "trainable share", "adapter, float32")
        title = f"LoRA on every architecture of the kit, r = {self.r}, targets {self.targets}"
        return title, heads, rows


def count_all(r: int = 16, targets: Targets = "all-linear") -> Counts:
    """`count` for all of `architecture.names()`; a `UserError` only where all of them refuse."""
    counts, refused = {}, {}
    for name in architecture.names():
        try:
            counts[name] = count(name, r, targets)
        except UserError as error:
            refused[name] = str(error)
    if not counts:
        raise UserError(next(iter(refused.values())))
    return Counts(r, targets_in_words(targets), counts, refused)
