"""One training step, and where its bytes are: what every view of it takes and gives.

    make_step(source, **options)    a checked `Step`: every choice that decides its memory
    Ledger                          where its bytes are at its peak, part by part
    CHOICES, METHODS, PARTS         what the options may be, and the parts of a ledger

Three views fill a ledger: `formula.predict`, `fake_step.trace` and `real_step.measure`. Nothing is
computed here but the check. Notebook 04.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .. import lora, methods
from ..core.errors import UserError, is_whole, nearest
from ..core.results import Result, TableParts, gibibytes
from ..core.session import DTYPES
from .sizes import Architecture, Sizes, Tensors, read_architecture

if TYPE_CHECKING:
    from .sizes import Source

METHODS = ("full", "lora", "qlora")  # those that the formula models
OTHERS = tuple(name for name in methods.METHODS if name not in METHODS)  # those that are traced
CHOICES = {
    "method": (*METHODS, *OTHERS),
    "dtype": tuple(DTYPES),
    "autocast": ("same", None, "bfloat16", "float16"),
    "adapter_dtype": (None, *DTYPES),
    "attention": ("sdpa", "eager", "flash"),
    "optimizer": ("adamw", "adamw_foreach", "adamw_8bit", "paged_adamw_8bit"),
    "loss": ("full", "held", "tiled"),
    "device": ("cuda", "cpu"),
}
# The parts of a ledger, in the order in which it lists them.
PARTS: tuple[str, ...] = (
    "weights", "quant_state", "adapter", "gradients", "optimizer",
    "activations", "logits", "workspace",
)  # fmt: skip

# Families whose attention has a bound that torch's own does not know.
WITHOUT_SDPA = ("gemma2",)

# How much of the logits TRL 1.16 holds at a time.
TILE_TOKENS, TILE_WORDS = 4096, 32768
# CUDA's caching allocator hands out multiples of this many bytes.
UNIT = 512
# cuBLAS takes two buffers of 4 MiB and eight of 16 KiB for each of two threads, which run the
# forward and the backward pass.
WORKSPACE = 2 * (2 * 4096 + 8 * 16) * 1024

ALWAYS = (
    "the parts are what is alive at the peak: gradients are 0 where it falls before there are any",
    "one GPU, one step, no gradient accumulation; gradients are set to None after each step",
    "the optimizer's state has the dtype of what it trains, or 8 bits for tensors of 4,096 numbers "
    "and more",
    "every row is as long as seq: no padding, no mask, no dropout, no sliding window shorter than "
    "seq",
    "sdpa runs torch's flash kernel, which needs 16-bit numbers and compute capability 8; "
    "elsewhere it can need more",
    "paged states count as if they lay on the GPU",
    "a 4-bit layer brings its weight back for every product; for fewer than 1,536 tokens some "
    "cards have a kernel that does not",
    "cuBLAS takes 8.125 MiB for each of two threads; 32 MiB on Hopper",
    "bytes are those that torch's allocator hands out; the CUDA context and the allocator's "
    "reserve come on top",
)


@dataclass(frozen=True)
class Step:
    """One training step: every choice that decides its memory. `make_step` makes and checks it.

    architecture    the model's name, config and sizes
    method          "full": every weight; "lora": an adapter on the base; "qlora": on an NF4 base
    rank            r of A and B, from 1 to the shorter side of the narrowest target; of a method
                    that is traced its usual one, where none is given
    targets         what `lora.attach` takes: "all-linear", "attention", "mlp", "q,v" or names
    seq             tokens per row, from 1 to the model's positions
    batch           rows, from 1
    checkpointing   True: a layer keeps its input alone, and runs again in the backward pass
    dtype           of the weights: "float32", "bfloat16" or "float16"
    autocast        of the linear layers' products: "bfloat16", "float16" or None for dtype;
                    "same" becomes dtype on a GPU where that has 16 bits, else None
    adapter_dtype   one of dtype's; None becomes what peft makes it (float32), and TRL for QLoRA
                    (bfloat16)
    attention       "sdpa", "eager" or "flash"; "sdpa" becomes "eager" for Gemma 2, which bounds
                    attention's scores and has no sdpa in transformers
    optimizer       "adamw": torch's fused kernel; "adamw_foreach": torch's older one; "adamw_8bit"
                    and "paged_adamw_8bit": bitsandbytes'
    double_quant    True: the scales of NF4 in 8 bits
    kbit_prepare    True: peft's prepare_model_for_kbit_training, so that what is not 4 bits wide
                    becomes float32
    loss            "full": transformers' own; "held": the loop holds `outputs` meanwhile; "tiled":
                    TRL 1.16's
    device          "cuda" or "cpu"
    """

    architecture: Architecture
    method: str = "full"
    rank: int = 16
    targets: str | list[str] = "all-linear"
    seq: int = 2048
    batch: int = 1
    checkpointing: bool = True
    dtype: str = "bfloat16"
    autocast: str | None = "same"
    adapter_dtype: str | None = None
    attention: str = "sdpa"
    optimizer: str = "adamw"
    double_quant: bool = True
    kbit_prepare: bool = False
    loss: str = "full"
    device: str = "cuda"

    @property
    def name(self) -> str:
        """The architecture's name."""
        return self.architecture.name

    @property
    def sizes(self) -> Sizes:
        """The architecture's widths; UserError outside the Llama family."""
        return self.architecture.sizes

    @property
    def tokens(self) -> int:
        """batch · seq."""
        return self.batch * self.seq

    @property
    def unit(self) -> int:
        """Bytes are handed out in multiples of this."""
        return UNIT if self.device == "cuda" else 1

    def round_up(self, size: float) -> int:
        """Bytes as the allocator hands them out."""
        return -(-int(size) // self.unit) * self.unit

    @property
    def weight_bytes(self) -> int:
        """Bytes of one number in the linear layers of an unquantized base."""
        return dtype_bytes(self.dtype)

    @property
    def stream_dtype(self) -> str:
        """The dtype of embeddings and norms, and of the residual stream where it begins."""
        return "float32" if self.kbit_prepare else self.dtype

    @property
    def stream_bytes(self) -> int:
        """Bytes of one number in embeddings and norms."""
        return dtype_bytes(self.stream_dtype)

    @property
    def trained_dtype(self) -> str:
        """The dtype of what trains."""
        return self.dtype if self.method == "full" else self.adapter_dtype or "float32"

    @property
    def trained_bytes(self) -> int:
        """Bytes of one number that trains."""
        return dtype_bytes(self.trained_dtype)

    @cached_property
    def trained_layers(self) -> tuple[str, ...]:
        """The linear layers of a block that train, or whose adapters do, such as "q_proj".

        Raises UserError for targets that the model does not have, and for a rank above the
        narrowest one's shorter side.
        """
        if self.method == "full":
            return tuple(self.sizes.sides)
        names = lora.choose_layers(self.sizes.linear_names, self.targets)
        layers = tuple(name.rpartition(".")[2] for name in names)
        lora.check_rank(self.rank, min(min(self.sizes.sides[layer]) for layer in layers))
        return layers

    @cached_property
    def trained_tensors(self) -> list[Tensors]:
        """Every tensor that trains: all weights, or A (r, d_in) and B (d_out, r) of each target."""
        if self.method == "full":
            return [*self.sizes.others, *self.sizes.linear]
        sides = [side for layer in self.trained_layers for side in self.sizes.sides[layer]]
        return [Tensors(self.rank * side, self.sizes.layers) for side in sides]

    def at_depth(self, layers: int) -> "Step":
        """The same step on the first `layers` layers."""
        return dataclasses.replace(self, architecture=self.architecture.at_depth(layers))

    def assumptions(self) -> dict:
        """Every choice by name, and in words what no choice changes."""
        choices = {name: getattr(self, name) for name in OPTIONS}
        return {**choices, "architecture": self.name, "always": list(ALWAYS)}


OPTIONS = [option.name for option in dataclasses.fields(Step) if option.name != "architecture"]


def dtype_bytes(dtype: str) -> int:
    """Bytes of one number: 2 for "bfloat16"."""
    return DTYPES[dtype].width


def make_step(source: "Source | Step", **options: Any) -> Step:
    """A checked `Step`.

    source: what `models.architecture.read` takes (a name in data/configs, a config.json, a
    directory, a hub id, a config, a model), or another step, whose choices then hold where no
    option is given.
    options: the fields of `Step`. A wrong one is a UserError, and so is a rank or a choice of
    targets for a traced method that has none.
    """
    if unknown := [name for name in options if name not in OPTIONS]:
        raise UserError(
            f"there is no option {unknown[0]!r}; there are {', '.join(OPTIONS)}."
            f"{nearest(unknown[0], OPTIONS)}"
        )
    # The choices, from another step or from the defaults.
    if isinstance(source, Step):
        step = dataclasses.replace(source, **options)
    else:
        step = Step(read_architecture(source), **options)
    # First every choice by itself, then what was left open, then what goes together.
    check_choices(step)
    check_row(step)
    check_dials(step.method, options)
    step = choose_rank(source, step, options)
    step = choose_attention(choose_dtypes(step))
    check_together(step)
    return step


def check_choices(step: Step) -> None:
    """Raise UserError for a choice that is none."""
    for name, known in CHOICES.items():
        value = getattr(step, name)
        if value not in known:
            hint = nearest(value, [choice for choice in known if choice])
            raise UserError(f"{name} is {value!r}; give {', '.join(map(repr, known))}.{hint}")


def check_row(step: Step) -> None:
    """Raise UserError for a batch or a row of no whole size, or one longer than the model takes."""
    longest = step.architecture.positions
    if not is_whole(step.batch) or step.batch < 1:
        raise UserError(f"batch is {step.batch!r}; give a whole number from 1 on.")
    if not is_whole(step.seq) or step.seq < 1 or (longest and step.seq > longest):
        upto = f"to {longest:,}, the positions of {step.name}" if longest else "on"
        raise UserError(f"seq is {step.seq!r}; give a whole number from 1 {upto}.")


def check_dials(method: str, options: Mapping[str, Any]) -> None:
    """Raise UserError for a rank or targets that a traced method lacks; "full" passes over them."""
    usual = {"rank": Step.rank, "targets": Step.targets}
    given = {name: options[name] for name in usual if options.get(name, usual[name]) != usual[name]}
    if method in OTHERS:
        methods.read_dials(method, given)


def choose_rank(source: "Source | Step", step: Step, options: Mapping[str, Any]) -> Step:
    """The same step with a traced method's usual rank, where no rank was chosen for it."""
    chosen = "rank" in options or (isinstance(source, Step) and has_rank(source.method))
    if step.method in OTHERS and has_rank(step.method) and not chosen:
        return dataclasses.replace(step, rank=methods.METHODS[step.method].options["r"])
    return step


def has_rank(method: str) -> bool:
    """Whether rank decides what a method trains."""
    return method == "qlora" or "rank" in methods.dials_of(method)


def check_together(step: Step) -> None:
    """Raise UserError for choices that don't go together."""
    if step.attention == "flash" and (step.autocast or step.dtype) == "float32":
        raise UserError(
            "attention is 'flash', whose kernels take 16-bit numbers only; give dtype='bfloat16', "
            "or attention='sdpa'."
        )
    if mixes_on_cpu(step):
        raise UserError(
            f"autocast is {step.autocast!r} and dtype {step.dtype!r}, two kinds of 16 bits that a "
            f"CPU does not join; give autocast={step.dtype!r}, or device='cuda'."
        )
    if step.kbit_prepare and step.method != "qlora":
        raise UserError(
            f"kbit_prepare is for a quantized base, and method is {step.method!r}; "
            "give method='qlora'."
        )


def mixes_on_cpu(step: Step) -> bool:
    """Whether a CPU's autocast meets 16-bit numbers of the other kind, which it refuses.

    A 4-bit layer gives what it is given; any other gives autocast's own.
    """
    two_kinds = {step.autocast, step.stream_dtype} == {"bfloat16", "float16"}
    return step.device == "cpu" and step.method == "qlora" and two_kinds


def choose_dtypes(step: Step) -> Step:
    """The same step with the dtypes that were left to it: autocast "same" and no adapter_dtype."""
    autocast, adapter = step.autocast, step.adapter_dtype
    if autocast == "same":
        sixteen_bits = step.device == "cuda" and dtype_bytes(step.dtype) == 2
        autocast = step.dtype if sixteen_bits else None
    if adapter is None:
        # TRL casts the adapters of a quantized base to bfloat16; peft alone makes them float32.
        by_trl = step.method == "qlora" and step.dtype == "bfloat16" and not step.kbit_prepare
        adapter = "bfloat16" if by_trl else "float32"
    return dataclasses.replace(step, autocast=autocast, adapter_dtype=adapter)


def choose_attention(step: Step) -> Step:
    """The same step with the attention that transformers runs for it."""
    replaced = step.attention == "sdpa" and step.architecture.config["model_type"] in WITHOUT_SDPA
    return dataclasses.replace(step, attention="eager") if replaced else step


@dataclass(frozen=True, repr=False)
class Ledger(Result):
    """Where the bytes of one training step are at its peak; the parts sum to the peak."""

    step: Step
    view: str  # "formula", "trace" or "measure"
    phase: str  # in which the peak falls
    parts: dict[str, int]  # by PARTS, at the peak; empty where a view can't tell them apart
    phases: dict[str, int]  # the peak of every phase
    peak: int
    reserved: int | None = None  # what CUDA's allocator holds for it, where that is known
    notes: tuple[str, ...] = ()

    def json(self) -> dict:
        """The values that `python -m ftkit memory --json` prints; bytes."""
        return {
            **self.parts,
            "peak": self.peak,
            "phase": self.phase,
            "phases": self.phases,
            "reserved": self.reserved,
            "view": self.view,
            "notes": list(self.notes),
            "assumptions": self.step.assumptions(),
        }

    def table(self) -> TableParts:
        """Each part that is not empty in GiB of 2³⁰ bytes and as a share, and the peak."""
        # The parts, then the sums.
        rows = []
        for part, size in self.parts.items():
            if size:
                rows.append((part, gibibytes(size), f"{100 * size / self.peak:.1f} %"))
        rows.append((f"peak ({self.phase})", gibibytes(self.peak), ""))
        if self.reserved:
            rows.append(("reserved by the allocator", gibibytes(self.reserved), ""))
        # The choices that matter most, in one line.
        step = self.step
        rows_of_step = f"batch {step.batch} × {step.seq:,} tokens"
        checkpointing = f"checkpointing {'on' if step.checkpointing else 'off'}"
        title = (
            f"{step.name}: {step.method}, {rows_of_step}, {step.dtype}, {checkpointing}, "
            f"{step.optimizer}, {step.loss} loss ({self.view})"
        )
        return title, ("part", "GiB", "of the peak"), rows


def make_ledger(
    step: Step, view: str, phases: Mapping[str, dict[str, int]], reserved: int | None = None
) -> Ledger:
    """The `Ledger` of a step whose parts are known at the peak of every phase.

    phases: {phase: {part: bytes}}; the step peaks in the phase whose parts sum to most.
    """
    peaks = {phase: sum(parts.values()) for phase, parts in phases.items()}
    top = max(peaks, key=peaks.__getitem__)
    return Ledger(step, view, top, phases[top], peaks, peaks[top], reserved)
