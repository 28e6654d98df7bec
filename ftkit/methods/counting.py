"""What a method trains on a real architecture, by formula: no weight is built, no torch needed.

    count(source, name, **options)    the numbers that it trains, part by part: a `MethodCount`

The tests hold every formula to peft's own count. LoRA's, with its ranks and its file, is counted by
`lora.count`. How many bytes a step takes is `memory`'s business. Notebook 08.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import lora
from ..core.results import Result, TableParts
from ..models import architecture
from .catalogue import KEYS_AND_VALUES, LAYER_ENDS, METHODS, MLP_ENDS, check_options

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedModel

    Source = dict | str | Path | PreTrainedModel  # what `models.architecture.read` takes


@dataclass(frozen=True, repr=False)
class MethodCount(Result):
    """What a method trains on an architecture whose base has so many parameters."""

    name: str
    method: str
    trainable: int
    base: int

    @property
    def percent(self) -> float:
        """100 · trained / (base + what is added); of full fine-tuning 100."""
        added = 0 if self.method == "full" else self.trainable
        return 100 * self.trainable / (self.base + added)

    def json(self) -> dict:
        """The values that `python -m ftkit count --method NAME --json` prints."""
        return {
            "method": self.method,
            "trainable": self.trainable,
            "base": self.base,
            "percent": round(self.percent, 4),
            "merges": METHODS[self.method].merges,
        }

    def table(self) -> TableParts:
        """What is trained, and of how much."""
        method = METHODS[self.method]
        rows = [
            ("trains", method.trains),
            ("trainable parameters", f"{self.trainable:,}"),
            ("parameters of the base", f"{self.base:,}"),
            ("share", f"{self.percent:.4g} %"),
            ("merges", "yes" if method.merges else f"no: {method.why}"),
        ]
        return f"{method.title} on {self.name}", ("", "value"), rows


def count(source: "Source", name: str, **options: Any) -> MethodCount:
    """What a method trains on an architecture that the kit knows (see `architecture.read`).

    options: as for `attach`. A method or an option that there is not, and an architecture that has
    no formula, are a `UserError`.
    """
    config = architecture.read(source)
    title = str(source) if isinstance(source, str) else config["model_type"]
    weights = architecture.shapes(config)
    base = sum(weight.numel for weight in weights)
    chosen = check_options(name, options)
    if name in ("lora", "dora"):
        trainable = count_low_rank(source, name, chosen)
    else:
        trainable = FORMULAS[name](config, weights, chosen)
    return MethodCount(title, name, trainable, base)


def count_low_rank(source: "Source", name: str, chosen: dict[str, Any]) -> int:
    """A (r, d_in) and B (d_out, r) of every target, and for DoRA a length per row."""
    counted = lora.count(source, chosen["r"], chosen["targets"])
    rows = sum(part.copies * part.d_out for part in counted.parts)
    return counted.trainable + (rows if name == "dora" else 0)


def linear(weights: Iterable[architecture.Weight]) -> list[architecture.Weight]:
    """The matrices of the blocks; the head and embeddings are none."""
    return [w for w in weights if w.kind in ("linear", "conv1d") and w.layers]


def ending(
    weights: Iterable[architecture.Weight], ends: Iterable[str]
) -> list[architecture.Weight]:
    """Those whose names end so."""
    dotted = tuple(f".{end}" for end in ends)
    return [weight for weight in weights if f".{weight.name}".endswith(dotted)]


def width_of(weights: list[architecture.Weight]) -> int:
    """d, the width of a token's vector."""
    return next(weight.d_in for weight in weights if weight.kind == "embedding")


def targeted(
    weights: list[architecture.Weight], chosen: dict[str, Any]
) -> list[architecture.Weight]:
    """The matrices that `targets` means."""
    found = linear(weights)
    names = set(lora.choose_layers([weight.name for weight in found], chosen["targets"]))
    return [weight for weight in found if weight.name in names]


def count_full(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """Every weight."""
    return sum(weight.numel for weight in weights)


def count_adalora(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """first_r · (d_in + d_out + 1) per target: Q, P and Λ."""
    r = chosen["first_r"]
    return sum(w.copies * r * (w.d_in + w.d_out + 1) for w in targeted(weights, chosen))


def count_vera(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """r + d_out per target: d and b."""
    return sum(w.copies * (chosen["r"] + w.d_out) for w in targeted(weights, chosen))


def count_oft(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """Per block of inputs the numbers of a skew-symmetric matrix, block · (block − 1) / 2."""
    block = chosen["block"]
    each = block * (block - 1) // 2
    return sum(w.copies * (w.d_in // block) * each for w in targeted(weights, chosen))


def count_ia3(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """A number per key, per value and per hidden unit."""
    found = linear(weights)
    outputs, inputs = ending(found, KEYS_AND_VALUES), ending(found, MLP_ENDS)
    return sum(w.copies * w.d_out for w in outputs) + sum(w.copies * w.d_in for w in inputs)


def count_norms(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """The gains of the norms, and their shifts where there are some."""
    norms = {weight.name for weight in weights if weight.kind == "norm"}
    return sum(w.numel for w in weights if w.name.removesuffix(".bias") in norms)


def count_prompt(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """A vector per virtual token."""
    return chosen["tokens"] * width_of(weights)


def count_prefix(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """A key and a value per virtual token, layer and head of keys."""
    heads = config.get("num_attention_heads") or config["n_head"]
    width = config.get("head_dim") or width_of(weights) // heads
    keys = config.get("num_key_value_heads") or heads
    layers = config.get("num_hidden_layers") or config["n_layer"]
    return chosen["tokens"] * layers * 2 * keys * width


def count_p_tuning(config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]) -> int:
    """A vector per virtual token, and three layers d → hidden → hidden → d."""
    d, h = width_of(weights), chosen["hidden"]
    return chosen["tokens"] * d + (d * h + h) + (h * h + h) + (h * d + d)


def count_bottleneck(
    config: dict, weights: list[architecture.Weight], chosen: dict[str, Any]
) -> int:
    """down and up with their biases, behind each layer that ends attention or MLP."""
    ends, width = ending(linear(weights), LAYER_ENDS), chosen["width"]
    return sum(w.copies * (2 * w.d_out * width + width + w.d_out) for w in ends)


FORMULAS: dict[str, Callable[[dict, list[architecture.Weight], dict[str, Any]], int]] = {
    "full": count_full,
    "adalora": count_adalora,
    "vera": count_vera,
    "oft": count_oft,
    "ia3": count_ia3,
    "ln_tuning": count_norms,
    "prompt": count_prompt,
    "prefix": count_prefix,
    "p_tuning": count_p_tuning,
    "bottleneck": count_bottleneck,
}
