"""What a LoRA trains, on real architectures: by formula, and by peft's own count on a model that
has shapes but no memory.
"""

import json
import math
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..core.errors import UserError, nearest
from ..core.results import Result, megabytes
from ..models import architecture, skeleton
from .by_peft import attach, trainable
from .targets import check_rank, choose_layers

LINEAR = ("linear", "conv1d")
DTYPES = {"float32": ("F32", 4), "bfloat16": ("BF16", 2), "float16": ("F16", 2)}


def pair(r: int, d_out: int, d_in: int) -> int:
    """r · (d_in + d_out): the numbers in A (r, d_in) and B (d_out, r) that stand for an update of W
    (d_out, d_in).
    """
    return r * (d_in + d_out)


@dataclass(frozen=True)
class Part:
    """One kind of target: W is d_out × d_in, the model has `copies` of it, and a LoRA of rank r
    trains r · (d_in + d_out) for each.
    """

    part: str
    d_out: int
    d_in: int
    r: int
    copies: int

    @property
    def trainable(self) -> int:
        """copies · r · (d_in + d_out)."""
        return self.copies * pair(self.r, self.d_out, self.d_in)


@dataclass(frozen=True, repr=False)
class Count(Result):
    """What a LoRA trains, what the base holds besides, and the bytes of the saved adapter."""

    name: str
    r: int
    targets: str
    base: int
    parts: tuple[Part, ...]
    note: str = ""
    peft: int | None = None  # what peft counted, where it was asked
    layers: dict[str, tuple[int, int, int]] = field(
        default_factory=dict
    )  # name in the saved file → rows of A, d_out, d_in

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

        8 bytes for the header's length, the header (JSON that names every tensor, its dtype, shape
        and place, filled up with spaces to a multiple of 8), and the numbers. peft trains and saves
        in float32 also on a 16-bit base.
        """
        if dtype not in DTYPES:
            raise UserError(
                f"dtype is {dtype!r}; give {', '.join(map(repr, DTYPES))}.{nearest(dtype, DTYPES)}"
            )
        label, width = DTYPES[dtype]
        shapes = {}
        for name, (r, d_out, d_in) in self.layers.items():
            shapes[f"base_model.model.{name}.lora_A.weight"] = [r, d_in]
            shapes[f"base_model.model.{name}.lora_B.weight"] = [d_out, r]
        header: dict = {"__metadata__": {"format": "pt"}}
        end = 0
        for name in sorted(shapes):
            start, end = end, end + width * math.prod(shapes[name])
            header[name] = {"dtype": label, "shape": shapes[name], "data_offsets": [start, end]}
        text = len(json.dumps(header, separators=(",", ":")))
        return 8 + (text + 7) // 8 * 8 + end

    def json(self) -> dict:
        """The values that `python -m ftkit count --json` prints."""
        sizes = {dtype: self.adapter_bytes(dtype) for dtype in ("float32", "bfloat16")}
        parts = {
            p.part: {
                "shape": [p.d_out, p.d_in],
                "rank": p.r,
                "copies": p.copies,
                "trainable": p.trainable,
            }
            for p in self.parts
        }
        return {
            "trainable": self.trainable, "total": self.total, "percent": round(self.percent, 4), "base": self.base, "rank": self.r,
            "targets": self.targets, "parts": parts, "adapter_bytes": sizes, "note": self.note, "peft": self.peft,
        }  # fmt: skip

    def table(self):
        """One line a kind of target, then the sums."""
        rows = [
            (p.part, f"{p.d_out:,} × {p.d_in:,}", p.r, p.copies, f"{p.trainable:,}")
            for p in self.parts
        ]
        rows += [
            ("trainable", "", "", "", f"{self.trainable:,}"),
            *(
                [("peft's own count", "", "", "", f"{self.peft:,}")]
                if self.peft is not None
                else []
            ),
            ("base, frozen", "", "", "", f"{self.base:,}"),
            ("base + adapter", "", "", "", f"{self.total:,}"),
            ("trainable share", "", "", "", f"{self.percent:.4f} %"),
            *(
                (f"saved adapter, {dtype}", "", "", "", megabytes(self.adapter_bytes(dtype)))
                for dtype in ("float32", "bfloat16")
            ),
        ]
        title = f"LoRA on {self.name}, r = {self.r}, targets {self.targets}" + (
            f"\n{self.note}" if self.note else ""
        )
        return title, ("weight", "d_out × d_in", "r", "copies", "numbers"), rows


def count(source, r: int = 16, targets: str | list[str] = "all-linear") -> Count:
    """What a LoRA of rank r on `targets` trains, by the formula r · (d_in + d_out) a target;
    nothing is built.

    source: what `architecture.read` takes: a name in data/configs, a config.json, a directory, a
    hub id, a config, a model.
    targets: what `lora.attach` takes: "all-linear", "attention", "mlp", "q,v" or names of layers.
    """
    config = architecture.read(source)
    weights = architecture.shapes(config)
    base = sum(w.numel for w in weights)
    note = experts_note(weights, base, targets)
    try:
        picked = pick_targets(weights, r, targets)
    except UserError as error:
        raise UserError(f"{error} {note}".strip()) from None
    check_rank(r, min(min(w.d_out, w.d_in) for _, w, _ in picked if w.kind in LINEAR))
    parts: dict[str, Part] = {}
    layers = {}
    for name, w, rank in picked:
        copies = parts[w.part].copies if w.part in parts else 0
        parts[w.part] = Part(w.part, w.d_out, w.d_in, rank, copies + w.each)
        layers[saved_name(name, w)] = (rank * w.each, w.d_out, w.d_in)
    label = targets if isinstance(targets, str) else ",".join(targets)
    name = (
        str(source)
        if isinstance(source, str | Path)
        else config.get("_name_or_path") or config["model_type"]
    )
    return Count(name, r, label, base, tuple(parts.values()), note, layers=layers)


def pick_targets(
    weights: list[architecture.Weight], r: int, targets: str | list[str]
) -> list[tuple[str, architecture.Weight, int]]:
    """(name, weight, rank) of every target, as peft picks them.

    In a mixture of experts "all-linear" means what it meant when each expert was a linear layer of
    its own: peft also takes the router and the fused experts, with rank 2r where one tensor holds
    gate and up, and leaves a dense layer's MLP alone.
    """
    linear = {name: w for w in weights if w.kind in LINEAR for name in w.names}
    found = [(name, linear[name], r) for name in choose_layers(linear, targets)]
    experts = [w for w in weights if w.kind in ("router", "expert")]
    if targets != "all-linear" or not experts:
        return found
    found = [target for target in found if not target[1].part.startswith("mlp.")]
    return found + [
        (name, w, 2 * r if w.part.endswith("gate_up_proj") else r)
        for w in experts
        for name in w.names
    ]


def saved_name(name: str, weight: architecture.Weight) -> str:
    """What peft calls a target in the saved file: both tensors of experts sit on one module, so one
    wraps the other.
    """
    if weight.kind != "expert":
        return name
    module = name.rpartition(".")[0]
    return f"{module}.base_layer" if name.endswith("gate_up_proj") else module


def experts_note(weights: list[architecture.Weight], base: int, targets: str | list[str]) -> str:
    """What a LoRA on `targets` does to a mixture of experts, in one sentence; "" for other models."""
    experts = sum(w.numel for w in weights if w.kind == "expert")
    if not experts:
        return ""
    share = f"The experts, {experts:,} numbers and {100 * experts / base:.1f} % of the base, are fused 3-D tensors and no linear layers"
    if targets == "all-linear":
        return f"{share}; peft's all-linear reaches them and the router all the same, gate_up_proj with rank 2r for the two it holds."
    return f"{share}, so they get no LoRA by name; all-linear reaches them."


def peft_count(
    source, r: int = 16, targets: str | list[str] = "all-linear", model=None
) -> tuple[int, int]:
    """(trainable, total) as peft counts them: a LoRA attached to the real architecture on the meta
    device, and taken off again.

    model: a `skeleton` that several counts may share; None builds one.
    """
    import torch

    with torch.device("meta"), warnings.catch_warnings():
        # for fused experts peft fills rank_pattern itself, and then warns that it matches no linear
        # layer
        warnings.filterwarnings(
            "ignore", message=".*_pattern keys did not match any targeted module.*"
        )
        adapted = attach(model if model is not None else skeleton(source), r=r, targets=targets)
    counted = trainable(adapted)
    adapted.unload()
    return counted


def count_and_check(source, r: int = 16, targets: str | list[str] = "all-linear") -> Count:
    """`count`, held to `peft_count`: they are equal, or it is an error."""
    counted = count(source, r, targets)
    theirs = peft_count(source, r, targets)
    if theirs != (counted.trainable, counted.total):
        raise UserError(
            f"the formula gives {counted.trainable:,} of {counted.total:,} and peft counts {theirs[0]:,} of {theirs[1]:,} for "
            f"{counted.name}: its layers are not what its config says here; trust peft's count."
        )
    return replace(counted, peft=theirs[0])


@dataclass(frozen=True, repr=False)
class Counts(Result):
    """The same LoRA on every architecture of the kit; `refused` holds the sentence where it can't
    be attached.
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
            "counts": {n: c.json() for n, c in self.counts.items()},
            "refused": self.refused,
        }

    def table(self):
        """One line an architecture, from the smallest share to the largest."""
        rows = [
            (
                c.name,
                f"{c.base:,}",
                f"{c.trainable:,}",
                f"{c.percent:.4f} %",
                megabytes(c.adapter_bytes("float32")),
            )
            for c in sorted(self.counts.values(), key=lambda c: c.percent)
        ]
        rows += [(name, "", "", "", sentence) for name, sentence in self.refused.items()]
        heads = ("architecture", "base", "trainable", "trainable share", "adapter, float32")
        return (
            f"LoRA on every architecture of the kit, r = {self.r}, targets {self.targets}",
            heads,
            rows,
        )


def count_all(r: int = 16, targets: str | list[str] = "all-linear") -> Counts:
    """`count` for all of `architecture.names()`."""
    counts, refused = {}, {}
    for name in architecture.names():
        try:
            counts[name] = count(name, r, targets)
        except UserError as error:
            refused[name] = str(error)
    if not counts:
        raise UserError(next(iter(refused.values())))
    return Counts(r, targets if isinstance(targets, str) else ",".join(targets), counts, refused)
