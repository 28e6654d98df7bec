"""What a LoRA trains on a real architecture, by formula: r · (d_in + d_out) numbers per target.

    count(source, r, targets)            what it trains, and the bytes of the saved adapter
    count_and_check(source, r, targets)  the same, held to peft's own count
    count_all(r, targets)                every architecture of the kit

`count` builds nothing and needs no torch; peft is asked on the meta device, where a model has
shapes but no memory. How many bytes training takes is `memory`'s business. Notebook 02.
"""

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from ..core.errors import UserError, nearest
from ..core.results import Result, TableParts, megabytes
from ..core.session import DTYPES, Dtype
from ..models import architecture, skeleton
from .targets import check_rank, choose_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Source: TypeAlias = "dict | str | Path | PreTrainedModel"  # what `architecture.read` takes
Targets = str | list[str]

LINEAR_KINDS = ("linear", "conv1d")
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

    base: the parameters of the base. note: what a LoRA does to a mixture of experts. peft: what
    peft counted, where it was asked. layers: every pair by its name in the saved file.
    """

    name: str
    r: int
    targets: str
    base: int
    parts: tuple[Part, ...]
    note: str = ""
    peft: int | None = None
    layers: dict[str, SavedLayer] = field(default_factory=dict)

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
    """What a LoRA of rank r on `targets` trains; nothing is built.

    source: what `architecture.read` takes: a name in data/configs, a config.json, a directory, a
    hub id, a config, a model. targets: what `lora.attach` takes: "all-linear", "attention", "mlp",
    "q,v" or names of layers. What can't be attached is a `UserError`, as it would be there.
    """
    # the base
    config = architecture.read(source)
    weights = architecture.shapes(config)
    base = sum(weight.numel for weight in weights)
    note = experts_note(weights, base, targets)

    # what is picked in it: where a name is missing, the note says why
    try:
        picked = pick_targets(weights, r, targets)
    except UserError as error:
        raise UserError(f"{error} {note}".strip()) from None
    linear = [target.weight for target in picked if target.weight.kind in LINEAR_KINDS]
    check_rank(r, min(min(weight.d_out, weight.d_in) for weight in linear))

    # both together, by kind and by layer
    named = isinstance(source, str | Path)
    name = str(source) if named else config.get("_name_or_path") or config["model_type"]
    layers = dict(saved_layer(target) for target in picked)
    parts = group_by_part(picked)
    return Count(name, r, targets_in_words(targets), base, parts, note, layers=layers)


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
    """The targets of each kind as one `Part`, in the order in which they come."""
    parts: dict[str, Part] = {}
    for _, weight, r in picked:
        copies = parts[weight.part].copies if weight.part in parts else 0
        parts[weight.part] = Part(weight.part, weight.d_out, weight.d_in, r, copies + weight.each)
    return tuple(parts.values())


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


def experts_note(weights: list[architecture.Weight], base: int, targets: Targets) -> str:
    """What a LoRA on `targets` does to a mixture of experts, one sentence; "" for other models."""
    experts = sum(weight.numel for weight in weights if weight.kind == "expert")
    if not experts:
        return ""
    share = (
        f"The experts, {experts:,} numbers and {100 * experts / base:.1f} % of the base, "
        "are fused 3-D tensors and no linear layers"
    )
    if targets == "all-linear":
        return (
            f"{share}; peft's all-linear reaches them and the router all the same, "
            "gate_up_proj with rank 2r for the two it holds."
        )
    return f"{share}, so they get no LoRA by name; all-linear reaches them."


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
    # imported here: all the rest of this room does without torch
    import torch

    from .by_peft import attach, trainable

    with torch.device("meta"), warnings.catch_warnings():
        # for fused experts peft fills rank_pattern itself, and then warns that it fits no layer
        warnings.filterwarnings(
            "ignore", message=".*_pattern keys did not match any targeted module.*"
        )
        adapted = attach(model if model is not None else skeleton(source), r=r, targets=targets)
    counted = trainable(adapted)
    adapted.unload()
    return counted


def count_and_check(source: Source, r: int = 16, targets: Targets = "all-linear") -> Count:
    """`count`, held to `peft_count`: they are equal, or it is a `UserError`."""
    counted = count(source, r, targets)
    trainable, total = peft_count(source, r, targets)
    if (trainable, total) != (counted.trainable, counted.total):
        raise UserError(
            f"the formula gives {counted.trainable:,} of {counted.total:,} and peft counts "
            f"{trainable:,} of {total:,} for {counted.name}: its layers are not what its config "
            "says here; trust peft's count."
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
