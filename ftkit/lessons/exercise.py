"""Exercises that answer back: a check names the likely mistake instead of only saying "wrong".

    check(answer, right, mistakes)   hold a number or a choice against the right one
    check_lora(mine, base)           hold a LoRA layer that a reader wrote against the paper

Both return a `Feedback`, which a notebook shows as "Right", "Not yet" or "Your turn"; a wrong
answer raises nothing. The exercises themselves stand at the end of each notebook.
"""

import copy
import html
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

HEADS = {None: "Your turn", True: "Right", False: "Not yet"}


@dataclass(frozen=True, repr=False)
class Feedback:
    """What a check says about an answer; `right` is None as long as there is no answer."""

    right: bool | None
    text: str

    def __repr__(self) -> str:
        return f"{HEADS[self.right]}: {self.text}"

    def _repr_html_(self) -> str:
        return f"<b>{HEADS[self.right]}:</b> {html.escape(self.text)}"


class LoRALayer(Protocol):
    """What a reader's layer has: A (r, d_in), B (d_out, r), and x (…, d_in) in, (…, d_out) out."""

    A: torch.nn.Parameter
    B: torch.nn.Parameter

    def __call__(self, x: torch.Tensor, /) -> torch.Tensor:
        """W x + (alpha / r) · B A x."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """All of them, as a torch module gives them."""
        ...


UNANSWERED = Feedback(None, "put your answer in place of the three dots and run the cell again.")


def check(
    answer: object, right: object, mistakes: Mapping[object, str] | None = None, because: str = ""
) -> Feedback:
    """Hold `answer` against `right` (numbers to six digits).

    mistakes: wrong answers that people do give, each with what went wrong; because: said with a
    right answer.
    """
    if answer is None or answer is ...:
        return UNANSWERED
    if is_same(answer, right):
        return Feedback(True, because or f"{right}.")
    # the first mistake that fits, in the order given
    for wrong, why in (mistakes or {}).items():
        if is_same(answer, wrong):
            return Feedback(False, why)
    return Feedback(
        False,
        f"{answer!r} is not it, and not one of the usual mistakes either; look at the cell above "
        "once more.",
    )


def is_same(a: object, b: object) -> bool:
    """Equal; numbers up to a relative 1e-6."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6)
    return a == b


def check_lora(
    mine: Callable[[torch.nn.Linear, int, float], LoRALayer],
    base: torch.nn.Linear,
    r: int = 8,
    alpha: float = 32,
) -> Feedback:
    """Hold a LoRA layer that a reader wrote against the paper, and name the first mistake.

    mine: called as mine(base, r, alpha), it gives a torch module with the parameters A (r, d_in)
    and B (d_out, r), and W x + (alpha/r) · B A x (Hu et al. 2021, §4.1). base: W (d_out, d_in), a
    linear layer, which is copied first; let it not be square, or d_in and d_out can't be told
    apart.
    """
    # a layer that does not run is a wrong answer too
    try:
        layer = mine(copy.deepcopy(base), r, alpha)
        if layer.A is ... or layer.B is ...:
            return UNANSWERED
        if mistake := start_mistake(layer, base, r):
            return Feedback(False, mistake)
        mistake = run_mistake(layer, base, r, alpha)
    except (TypeError, RuntimeError, AttributeError) as error:
        return Feedback(False, f"it does not run: {type(error).__name__}, {error}.")
    if mistake is None:
        return UNANSWERED
    if mistake:
        return Feedback(False, mistake)
    return Feedback(True, "shapes, start, frozen W and scale are those of the paper.")


def start_mistake(layer: LoRALayer, base: torch.nn.Linear, r: int) -> str:
    """What is wrong with a LoRA layer before its first step, or "".

    The shapes come first: a wrong shape is what a square W hides.
    """
    A, B = layer.A, layer.B
    d_out, d_in = base.weight.shape
    if not (isinstance(A, torch.nn.Parameter) and isinstance(B, torch.nn.Parameter)):
        return "A and B have to be torch.nn.Parameter, or no optimizer ever sees them."
    if mistake := shape_mistake(tuple(A.shape), tuple(B.shape), d_out, d_in, r):
        return mistake
    # the start: B = 0 and A ≠ 0
    if B.any():
        return (
            "B does not start at zero, so the layer does not start as the base: the first step "
            "would begin from a damaged model."
        )
    if not A.any():
        return (
            "A starts at zero as B does: each one's gradient is multiplied by the other, so "
            "neither would ever move."
        )
    # nothing but A and B is trained
    trained = {id(parameter) for parameter in layer.parameters() if parameter.requires_grad}
    if trained - {id(A), id(B)}:
        return (
            "W still learns: freeze the base layer with base.requires_grad_(False), or you tune "
            "fully and pay for it."
        )
    return ""


def shape_mistake(A: tuple[int, ...], B: tuple[int, ...], d_out: int, d_in: int, r: int) -> str:
    """What is wrong with the shapes of A and B, which are (r, d_in) and (d_out, r), or ""."""
    if (A, B) == ((r, d_in), (d_out, r)):
        return ""
    if (A, B) == ((d_out, r), (r, d_in)):
        return "A and B are swapped: A (r, d_in) reads the input, B (d_out, r) writes the output."
    if (A, B) == ((d_in, r), (r, d_out)):
        return (
            "A and B lie on their sides: that is Aᵀ and Bᵀ of peft's A (r, d_in) and B (d_out, r)."
        )
    # as if W were square, with one of its two sides for both
    if (A, B) in (((r, d_in), (d_in, r)), ((r, d_out), (d_out, r))):
        return (
            f"this W is not square, it is {d_out} × {d_in}: A has d_in = {d_in} columns, B has "
            f"d_out = {d_out} rows."
        )
    return (
        f"A is {A} and B is {B}; for W {d_out} × {d_in} and r = {r} they are {(r, d_in)} and "
        f"{(d_out, r)}."
    )


def run_mistake(layer: LoRALayer, base: torch.nn.Linear, r: int, alpha: float) -> str | None:
    """What is wrong with a LoRA layer's output on noise, or ""; None where it gives three dots."""
    noise = torch.Generator().manual_seed(0)
    x = torch.randn(5, base.in_features, generator=noise).to(base.weight)
    with torch.no_grad():
        # B starts at zero, where every scale gives the same
        layer.B.copy_(torch.randn(layer.B.shape, generator=noise))
        out = layer(x)
        if out is ...:
            return None
        return output_mistake(out, base(x), x @ layer.A.T @ layer.B.T, alpha, r)


def output_mistake(
    out: torch.Tensor, Wx: torch.Tensor, BAx: torch.Tensor, alpha: float, r: int
) -> str:
    """What is wrong with `out`, which has to be Wx + (alpha/r) · BAx, or "".

    All three are (rows, d_out).
    """

    def is_out(wanted: torch.Tensor) -> bool:
        return out.shape == wanted.shape and torch.allclose(out, wanted, rtol=1e-4, atol=1e-4)

    scale, rank_scale = alpha / r, alpha / math.sqrt(r)
    if is_out(Wx + scale * BAx):
        return ""
    # what people write instead, each with its name
    mistakes = {
        "W x is missing: the side path is added to the base layer's output.": scale * BAx,
        "B A x is missing: this is the base layer alone.": Wx,
        "alpha is used without / r: the scale is alpha / r, or every change of r changes the size "
        "of the update too.": Wx + alpha * BAx,
        "the scale alpha / r is missing.": Wx + BAx,
        "that is alpha / √r, the scale of rsLoRA; the paper's is alpha / r.": Wx + rank_scale * BAx,
        "the scale is upside down: it is alpha / r, not r / alpha.": Wx + r / alpha * BAx,
        "W x is scaled too: alpha / r belongs to B A x alone.": scale * (Wx + BAx),
    }
    for mistake, wrong in mistakes.items():
        if is_out(wrong):
            return mistake
    return "the output is not W x + (alpha / r) · B A x."
