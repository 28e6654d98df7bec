"""Exercises that answer back: a check names the likely mistake instead of only saying 'wrong'."""

import copy
import html
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, repr=False)
class Verdict:
    """What a check says about an answer; `right` is None as long as there is no answer."""

    right: bool | None
    text: str

    def __repr__(self) -> str:
        return f"{ {None: 'Your turn', True: 'Right', False: 'Not yet'}[self.right] }: {self.text}"

    def _repr_html_(self) -> str:
        head, text = repr(self).split(": ", 1)
        return f"<b>{head}:</b> {html.escape(text)}"


UNANSWERED = Verdict(None, "put your answer in place of the three dots and run the cell again.")


def check(
    answer: object, right: object, mistakes: Mapping[object, str] | None = None, because: str = ""
) -> Verdict:
    """Hold `answer` against `right` (numbers to six digits).

    mistakes: wrong answers that people do give, each with what went wrong; because: said with a
    right answer.
    """
    if answer is None or answer is ...:
        return UNANSWERED
    if same(answer, right):
        return Verdict(True, because or f"{right}.")
    for wrong, why in (mistakes or {}).items():
        if same(answer, wrong):
            return Verdict(False, why)
    return Verdict(
        False,
        f"{answer!r} is not it, and not one of the usual mistakes either; look at the cell above once more.",
    )


def same(a: object, b: object) -> bool:
    """Equal; numbers up to a relative 1e-6."""
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-6)
    return a == b


def check_lora(mine: Callable, base, r: int = 8, alpha: float = 32) -> Verdict:
    """Hold a LoRA layer that a reader wrote against the paper (Hu et al. 2021, §4.1), and name the
    first mistake.

    mine: called as mine(base, r, alpha), it gives a torch module with the parameters A (r, d_in)
    and B (d_out, r). base: a linear layer, which is copied first; let it not be square, or d_in and
    d_out can't be told apart.
    """
    import torch

    try:
        layer = mine(copy.deepcopy(base), r, alpha)
        A, B = layer.A, layer.B
        if A is ... or B is ...:
            return UNANSWERED
        if mistake := start_mistake(layer, base, r):
            return Verdict(False, mistake)
        noise = torch.Generator().manual_seed(0)
        x = torch.randn(5, base.in_features, generator=noise).to(base.weight)
        with torch.no_grad():
            B.copy_(torch.randn(B.shape, generator=noise))
            out = layer(x)
            if out is ...:
                return UNANSWERED
            mistake = output_mistake(out, base(x), x @ A.T @ B.T, alpha, r)
    except (TypeError, RuntimeError, AttributeError) as error:
        return Verdict(False, f"it does not run: {type(error).__name__}, {error}.")
    if mistake:
        return Verdict(False, mistake)
    return Verdict(True, "shapes, start, frozen W and scale are those of the paper.")


def start_mistake(layer, base, r: int) -> str:
    """What is wrong with a LoRA layer before its first step, or "".

    The shapes come first: a wrong shape is what a square W hides.
    """
    import torch

    A, B = layer.A, layer.B
    d_out, d_in = base.weight.shape
    if not (isinstance(A, torch.nn.Parameter) and isinstance(B, torch.nn.Parameter)):
        return "A and B have to be torch.nn.Parameter, or no optimizer ever sees them."
    if mistake := shape_mistake(tuple(A.shape), tuple(B.shape), d_out, d_in, r):
        return mistake
    if B.any():
        return "B does not start at zero, so the layer does not start as the base: the first step would begin from a damaged model."
    if not A.any():
        return "A starts at zero as B does: each one's gradient is multiplied by the other, so neither would ever move."
    trained = {id(p) for p in layer.parameters() if p.requires_grad}
    if trained - {id(A), id(B)}:
        return "W still learns: freeze the base layer with base.requires_grad_(False), or you tune fully and pay for it."
    return ""


def shape_mistake(A: tuple, B: tuple, d_out: int, d_in: int, r: int) -> str:
    """What is wrong with the shapes of A and B, which are (r, d_in) and (d_out, r), or ""."""
    if (A, B) == ((r, d_in), (d_out, r)):
        return ""
    if (A, B) == ((d_out, r), (r, d_in)):
        return "A and B are swapped: A (r, d_in) reads the input, B (d_out, r) writes the output."
    if (A, B) == ((d_in, r), (r, d_out)):
        return (
            "A and B lie on their sides: that is Aᵀ and Bᵀ of peft's A (r, d_in) and B (d_out, r)."
        )
    if (A, B) in (((r, d_in), (d_in, r)), ((r, d_out), (d_out, r))):
        return f"this W is not square, it is {d_out} × {d_in}: A has d_in = {d_in} columns, B has d_out = {d_out} rows."
    return f"A is {A} and B is {B}; for W {d_out} × {d_in} and r = {r} they are {(r, d_in)} and {(d_out, r)}."


def output_mistake(out, plain, update, alpha: float, r: int) -> str:
    """What is wrong with `out`, which has to be plain + (alpha/r) · update, or ""; `update` is B A
    x.
    """
    import torch

    def equal(a, b) -> bool:
        return a.shape == b.shape and torch.allclose(a, b, rtol=1e-4, atol=1e-4)

    scale = alpha / r
    known = {
        "W x is missing: the side path is added to the base layer's output.": scale * update,
        "B A x is missing: this is the base layer alone.": plain,
        "alpha is used without / r: the scale is alpha / r, or every change of r changes the size of the update too.": alpha
        * update
        + plain,
        "the scale alpha / r is missing.": update + plain,
        "that is alpha / √r, the scale of rsLoRA; the paper's is alpha / r.": alpha
        / math.sqrt(r)
        * update
        + plain,
        "the scale is upside down: it is alpha / r, not r / alpha.": r / alpha * update + plain,
        "W x is scaled too: alpha / r belongs to B A x alone.": scale * (update + plain),
    }
    if equal(out, scale * update + plain):
        return ""
    return next(
        (why for why, wrong in known.items() if equal(out, wrong)),
        "the output is not W x + (alpha / r) · B A x.",
    )
