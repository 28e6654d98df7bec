"""One training step and where its bytes are: the setting that every view of it takes, and the
record that every view gives.
"""

import dataclasses
from dataclasses import dataclass, field
from functools import cache

from .. import lora
from ..core.errors import UserError, nearest
from ..core.results import Result
from ..models import architecture

METHODS = ("full", "lora", "qlora")
DTYPES = tuple(lora.DTYPES)
CHOICES = {
    "method": METHODS,
    "dtype": DTYPES,
    "autocast": ("same", None, "bfloat16", "float16"),
    "adapter_dtype": (None, *DTYPES),
    "attention": ("sdpa", "eager", "flash"),
    "optimizer": ("adamw", "adamw_foreach", "adamw_8bit", "paged_adamw_8bit"),
    "loss": ("full", "held", "tiled"),
    "device": ("cuda", "cpu"),
}
PARTS = (
    "weights",
    "quant_state",
    "adapter",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "workspace",
)
POSITIONS = ("max_position_embeddings", "n_positions")
LAYERS = ("num_hidden_layers", "n_layer")
TILE = (4096, 32768)  # tokens × vocabulary: how much of the logits TRL 1.16 holds at a time
UNIT = 512  # CUDA's caching allocator hands out multiples of this many bytes
WORKSPACE = (
    2 * (2 * 4096 + 8 * 16) * 1024
)  # cuBLAS takes 8.125 MiB for each of two threads, forward and backward
GIB = 2**30


@dataclass(frozen=True)
class Step:
    """One training step: every choice that decides its memory. `setting` makes and checks it."""

    config: dict = field(repr=False)
    name: str
    method: str = "full"  # full: every weight; lora: an adapter on the base as it is; qlora: an adapter on an NF4 base
    rank: int = 16
    targets: str | list[str] = "all-linear"  # what `lora.attach` takes
    seq: int = 2048
    batch: int = 1
    checkpointing: bool = True  # a layer keeps its input alone, and runs again in the backward pass
    dtype: str = "bfloat16"  # of the weights
    autocast: str | None = (
        "same"  # what linear layers compute in; "same": dtype, on a GPU and where that has 16 bits
    )
    adapter_dtype: str | None = (
        None  # None: what peft makes it (float32), and TRL for QLoRA (bfloat16)
    )
    attention: str = "sdpa"
    optimizer: str = "adamw"  # torch's fused kernel; "adamw_foreach" is torch's older one
    double_quant: bool = True
    kbit_prepare: bool = (
        False  # peft's prepare_model_for_kbit_training: what is not 4 bits wide becomes float32
    )
    loss: str = "full"  # full: transformers' own; held: the loop holds `outputs` meanwhile; tiled: TRL 1.16's
    device: str = "cuda"

    @property
    def tokens(self) -> int:
        """batch · seq."""
        return self.batch * self.seq

    @property
    def stream(self) -> int:
        """Bytes of one number in the residual stream, in embeddings and norms."""
        return width("float32" if self.kbit_prepare else self.dtype)

    @property
    def compute(self) -> int:
        """Bytes of one number that goes into a matrix product."""
        return width(self.autocast or self.dtype)

    def assumptions(self) -> dict:
        """Every choice by name, and in words what no choice changes."""
        values = {
            f.name: getattr(self, f.name)
            for f in dataclasses.fields(self)
            if f.name not in ("config", "name")
        }
        return {**values, "architecture": self.name, "always": list(ALWAYS)}


ALWAYS = (
    "the parts are what is alive at the peak: gradients are 0 where it falls before there are any",
    "one GPU, one step, no gradient accumulation; gradients are set to None after each step",
    "the optimizer's state has the dtype of what it trains, or 8 bits for tensors of 4,096 numbers and more",
    "every row is as long as seq: no padding, no mask, no dropout, no sliding window shorter than seq",
    "sdpa runs torch's flash kernel, which needs 16-bit numbers and compute capability 8; elsewhere it can need more",
    "paged states count as if they lay on the GPU",
    "cuBLAS takes 8.125 MiB for each of two threads; 32 MiB on Hopper",
    "bytes are those that torch's allocator hands out; the CUDA context and the allocator's reserve come on top",
)


def width(dtype: str) -> int:
    """Bytes of one number."""
    return lora.DTYPES[dtype][1]


def make_step(source, **options) -> Step:
    """A checked `Setting`: what `architecture.read` takes, or another setting, and the fields of
    `Setting` to choose.
    """
    fields = [f.name for f in dataclasses.fields(Step)][2:]
    if unknown := [name for name in options if name not in fields]:
        raise UserError(
            f"there is no option {unknown[0]!r}; there are {', '.join(fields)}.{nearest(unknown[0], fields)}"
        )
    if isinstance(source, Step):
        return check_step(dataclasses.replace(source, **options))
    config = read_named(source) if isinstance(source, str) else architecture.read(source)
    name = (
        source
        if isinstance(source, str)
        else config.get("_name_or_path") or config.get("model_type", "a config")
    )
    made = check_step(Step(config, str(name), **options))
    autocast, adapter = made.autocast, made.adapter_dtype
    if autocast == "same":
        autocast = made.dtype if made.device == "cuda" and width(made.dtype) == 2 else None
    if adapter is None:
        # TRL casts the adapters of a quantized base to bfloat16; peft alone makes them float32.
        adapter = (
            "bfloat16"
            if made.method == "qlora" and made.dtype == "bfloat16" and not made.kbit_prepare
            else "float32"
        )
    if made.attention == "flash" and (autocast or made.dtype) == "float32":
        raise UserError(
            "attention is 'flash', whose kernels take 16-bit numbers only; give dtype='bfloat16', or attention='sdpa'."
        )
    return dataclasses.replace(made, autocast=autocast, adapter_dtype=adapter)


@cache
def read_named(name: str) -> dict:
    """`architecture.read`, once for each name: a slider asks often."""
    return architecture.read(name)


def check_step(made: Step) -> Step:
    """The setting itself, or a sentence that says which field is wrong."""
    for name, known in CHOICES.items():
        value = getattr(made, name)
        if value not in known:
            raise UserError(
                f"{name} is {value!r}; give {', '.join(map(repr, known))}.{nearest(value, [k for k in known if k])}"
            )
    most = next((made.config[key] for key in POSITIONS if made.config.get(key)), None)
    for name, limit in (("batch", None), ("seq", most)):
        value = getattr(made, name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < 1
            or (limit and value > limit)
        ):
            upto = f"to {limit:,}, the positions of {made.name}" if limit else "on"
            raise UserError(f"{name} is {value!r}; give a whole number from 1 {upto}.")
    if made.kbit_prepare and made.method != "qlora":
        raise UserError(
            f"kbit_prepare is for a quantized base, and method is {made.method!r}; give method='qlora'."
        )
    return made


def depth(config: dict) -> int:
    """The number of layers."""
    return next(config[key] for key in LAYERS if config.get(key))


def at_depth(made: Step, layers: int) -> Step:
    """The same step on the first `layers` layers."""
    key = next(key for key in LAYERS if made.config.get(key))
    config = {**made.config, key: layers}
    if config.get("layer_types"):
        config["layer_types"] = config["layer_types"][:layers]
    return dataclasses.replace(made, config=config)


@dataclass(frozen=True, repr=False)
class Ledger(Result):
    """Where the bytes of one training step are at its peak; the parts sum to the peak."""

    setting: Step
    view: str  # formula, trace or measure
    phase: str  # in which the peak falls
    parts: dict[
        str, int
    ]  # by PARTS, at the peak; a view that can't tell them apart leaves them out
    phases: dict[str, int]  # the peak of every phase
    peak: int
    reserved: int | None = None  # what CUDA's allocator holds for it, where that is known
    notes: tuple[str, ...] = ()

    def json(self) -> dict:
        """The values that `python -m ftkit memory --json` prints; bytes."""
        more = {
            "phase": self.phase,
            "phases": self.phases,
            "reserved": self.reserved,
            "view": self.view,
            "notes": list(self.notes),
        }
        return {**self.parts, "peak": self.peak, **more, "assumptions": self.setting.assumptions()}

    def table(self):
        """One line a part, in GiB of 2³⁰ bytes, then the peak."""
        rows = [
            (part, gib(size), f"{100 * size / self.peak:.1f} %")
            for part, size in self.parts.items()
            if size
        ]
        rows.append((f"peak ({self.phase})", gib(self.peak), ""))
        if self.reserved:
            rows.append(("reserved by the allocator", gib(self.reserved), ""))
        s = self.setting
        how = f"{s.method}, batch {s.batch} × {s.seq:,} tokens, {s.dtype}, checkpointing {'on' if s.checkpointing else 'off'}"
        return (
            f"{s.name}: {how}, {s.optimizer}, {s.loss} loss ({self.view})",
            ("part", "GiB", "of the peak"),
            rows,
        )


def gib(size: float) -> str:
    """Bytes in GiB: gib(1.5 · 2³⁰) is "1.500"."""
    return f"{size / GIB:,.3f}"


def refuse_experts(config: dict, weights: list[architecture.Weight]) -> None:
    """Which experts a token goes to decides a mixture's memory; nothing here knows that."""
    if any(w.kind == "expert" for w in weights):
        raise UserError(
            f"{config['model_type']!r} is a mixture of experts, whose memory depends on the routing; give a dense model."
        )
