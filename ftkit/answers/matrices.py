"""Code of a reader's own that works on matrices, held against the kit's: the first mistake by name.

    check_lora(mine), check_dora(weight)      a LoRA layer; weight(W, A, B, m, alpha): DoRA's
    check_ia3(forward)                        forward(x, layer, factor, inputs): IA³'s
    check_truncate(cut)                       cut(W, delta, r): W and the best piece of delta
    check_overlap(phi)                        phi(a, b, i, j): how much two spaces share
    check_four_bits((quantize, dequantize))   sixteen levels, a scale per block, and back
    check_merge(merged)                       merged(W, A, B, alpha): a merge in NF4, in place
    check_untrained(find)                     find(tensors): the layers whose B is still 0
    check_dpo(loss)                           loss(new, old, answer, beta): DPO's, by token
    check_advantages(advantages)              advantages(rewards): RLOO's, of groups of replies

The code is run on matrices of the check's own: only what it does counts. Training steps and tests
are in `loops`. Notebooks 01, 02, 03, 08, 11, 12 and 13.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import torch
from torch.nn.functional import logsigmoid

from .comparing import attempt
from .exercise import UNANSWERED, Feedback

Module = TypeVar("Module", bound=torch.nn.Module)
BLOCK = 64  # weights that share a scale


def noise(shape: Sequence[int], seed: int = 0) -> torch.Tensor:
    """Normal numbers, the same on every call."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def seeded(module: Module, seed: int = 7) -> Module:
    """A module whose parameters are the same on every call, whatever was drawn before."""
    with torch.no_grad():
        for place, parameter in enumerate(module.parameters()):
            parameter.copy_(0.3 * noise(parameter.shape, seed + place))
    return module


def is_close(out: Any, wanted: torch.Tensor) -> bool:
    """Whether a tensor has this shape and, up to rounding, these numbers."""
    if not isinstance(out, torch.Tensor) or out.shape != wanted.shape:
        return False
    return torch.allclose(out.to(wanted), wanted, rtol=1e-4, atol=1e-4)


def first_match(out: Any, wrong: Mapping[str, torch.Tensor]) -> str:
    """The first mistake whose result this is, or ""."""
    return next((why for why, value in wrong.items() if is_close(out, value)), "")


def shape_fault(out: Any, wanted: torch.Tensor, what: str) -> str:
    """What is wrong with the kind or shape of a result, or ""."""
    if not isinstance(out, torch.Tensor):
        return f"{what} has to be a tensor; this is of type {type(out).__name__}."
    if out.shape != wanted.shape:
        return f"{what} is {tuple(out.shape)}; it has to be {tuple(wanted.shape)}."
    return ""


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


def check_lora(
    mine: Callable[[torch.nn.Linear, int, float], LoRALayer],
    base: torch.nn.Linear | None = None,
    r: int = 8,
    alpha: float = 32,
) -> Feedback:
    """Hold a LoRA layer that a reader wrote against the paper, and name the first mistake.

    mine: called as mine(base, r, alpha), it gives a torch module with the parameters A (r, d_in)
    and B (d_out, r), and W x + (alpha/r) · B A x (Hu et al. 2021, §4.1). base: W (d_out, d_in), a
    linear layer, which is copied first; by default one that is not square and has a bias.
    """
    if base is None:
        base = seeded(torch.nn.Linear(24, 16))
    layer, fault = attempt(mine, copy.deepcopy(base), r, alpha)
    if fault is not None:
        return fault
    # a layer that lacks a part, or does not run, is a wrong answer too
    missing = [name for name in ("A", "B") if not hasattr(layer, name)]
    if missing:
        return Feedback(False, f"the layer has no `self.{missing[0]}`: keep A and B as attributes.")
    if layer.A is ... or layer.B is ...:
        return UNANSWERED
    x = noise((5, base.in_features)).to(base.weight)
    with torch.no_grad():
        _, fault = attempt(layer, x)
    if fault is not None and fault.right is None:
        return fault
    if mistake := start_mistake(layer, base, r):
        return Feedback(False, mistake)
    if fault is not None:
        return fault
    if mistake := run_mistake(layer, base, x, r, alpha):
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
            "B does not start at zero, so the layer does not start as the base. How much harm that "
            "does depends on its size (section 4); zero does none."
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


def run_mistake(
    layer: LoRALayer, base: torch.nn.Linear, x: torch.Tensor, r: int, alpha: float
) -> str:
    """What is wrong with a LoRA layer's output on noise, or ""."""
    with torch.no_grad():
        # B starts at zero, where every scale gives the same
        layer.B.copy_(noise(layer.B.shape, seed=1))
        out, Wx = layer(x), base(x)
        side = x @ layer.A.T @ layer.B.T
        if base.bias is not None and is_close(out, Wx - base.bias + alpha / r * side):
            return "the base layer's bias is lost: call the base layer itself, `self.base(x)`."
        return output_mistake(out, Wx, side, alpha, r)


def output_mistake(
    out: torch.Tensor, Wx: torch.Tensor, BAx: torch.Tensor, alpha: float, r: int
) -> str:
    """What is wrong with `out`, which has to be Wx + (alpha/r) · BAx, or "".

    All three are (rows, d_out).
    """

    scale, rank_scale = alpha / r, alpha / math.sqrt(r)
    if is_close(out, Wx + scale * BAx):
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
        if is_close(out, wrong):
            return mistake
    return "the output is not W x + (alpha / r) · B A x."


def check_dora(weight: Callable[..., torch.Tensor]) -> Feedback:
    """Hold weight(W, A, B, m, alpha) against m ⊙ (W + ΔW) / ‖W + ΔW‖, by rows, and its gradients.

    W (d_out, d_in), A (r, d_in), B (d_out, r) and m (d_out,); ΔW = (alpha/r) · B A. Backward, the
    norm counts as a constant (Liu et al. 2024, eq. 5 and §4.3).
    """
    W, A, B, m = noise((10, 6)), noise((2, 6), 1), noise((10, 2), 2), 1 + noise((10,), 3).abs()
    A.requires_grad_()
    out, fault = attempt(weight, W.clone(), A, B, m, 8)
    if fault is not None:
        return fault
    wanted = dora_weight(W, A, B, m, 8)
    if mistake := dora_mistake(out, W, A, B, m):
        return Feedback(False, mistake)

    # the same numbers, and the same way back
    pull = noise(wanted.shape, 4)
    if not out.requires_grad:
        return Feedback(False, "the numbers are right, but nothing flows back to A: no no_grad().")
    ways = [torch.autograd.grad((w * pull).sum(), A)[0] for w in (out, wanted)]
    if is_close(ways[0], ways[1]):
        return Feedback(True, "weight and gradients are those of the paper.")
    return Feedback(
        False,
        "the numbers are right, the gradients are not the paper's: the norm counts as a constant, "
        "so `.detach()` it.",
    )


def dora_weight(
    W: torch.Tensor, A: torch.Tensor, B: torch.Tensor, m: torch.Tensor, alpha: float
) -> torch.Tensor:
    """DoRA's weight, (d_out, d_in)."""
    V = W + alpha / A.shape[0] * (B @ A)
    return (m / V.norm(dim=1).detach())[:, None] * V


def dora_mistake(
    out: Any, W: torch.Tensor, A: torch.Tensor, B: torch.Tensor, m: torch.Tensor
) -> str:
    """The first mistake of DoRA's weight at alpha = 8, or ""."""
    with torch.no_grad():
        if mistake := shape_fault(out, W, "the weight"):
            return mistake
        side, scale, column = B @ A, 8 / A.shape[0], m[:, None]
        V = W + scale * side
        rows = V.norm(dim=1, keepdim=True)
        if is_close(out, column / rows * V):
            return ""
        # what people write instead
        wrong = {
            "m is missing: the rows have length 1.": V / rows,
            "the length is not taken out: divide W + ΔW by its norm first.": column * V,
            "that is LoRA's W + ΔW: DoRA sets the length of each row besides.": V,
            "that is W with m for its lengths: ΔW is missing.": (
                column * W / W.norm(dim=1, keepdim=True)
            ),
            "the norm is that of W; it has to be that of W + ΔW.": (
                column * V / W.norm(dim=1, keepdim=True)
            ),
            "one norm for the whole matrix: each row has its own, `V.norm(dim=1)`.": (
                column * V / V.norm()
            ),
            "that is the norm of each column, `dim=0`; torch keeps an output in a row, `dim=1`.": (
                column * V / V.norm(dim=0)
            ),
            "the norm is squared: it is the root of the sum of squares.": column * V / rows**2,
        }
        wrong |= wrong_scales(W, side, column, scale)
    return first_match(out, wrong) or "it is not m ⊙ (W + ΔW) / ‖W + ΔW‖, row by row."


def wrong_scales(
    W: torch.Tensor, side: torch.Tensor, column: torch.Tensor, scale: float
) -> dict[str, torch.Tensor]:
    """DoRA's weight with B A multiplied by something else, by what is wrong with it."""
    factors = {
        "the scale alpha / r is missing.": 1.0,
        "alpha is used without / r.": 8.0,
        "the scale is upside down: it is alpha / r.": 1 / scale,
    }
    made = {}
    for why, factor in factors.items():
        V = W + factor * side
        made[why] = column * V / V.norm(dim=1, keepdim=True)
    return made


Forward = Callable[[torch.Tensor, torch.nn.Linear, torch.Tensor, bool], torch.Tensor]


def check_ia3(forward: Forward) -> Feedback:
    """Hold forward(x, layer, factor, inputs) against IA³: a factor per output, or per input.

    layer: a linear layer with a bias, (d_out, d_in); factor: (d_out,), or (d_in,) where `inputs`.
    What comes back is (…, d_out) (Liu et al. 2022, §3.3).
    """
    layer = seeded(torch.nn.Linear(24, 16))
    x = noise((5, 24))
    for inputs, side in ((False, 16), (True, 24)):
        factor = 1 + 0.5 * noise((side,), seed=3)
        with torch.no_grad():
            out, fault = attempt(forward, x.clone(), layer, factor.clone(), inputs)
            if fault is not None and "must match the size" in fault.text:
                whose, place = ("in", "before") if inputs else ("out", "behind")
                return Feedback(
                    False,
                    f"with inputs={inputs} the factor has d_{whose} numbers, {side} here: it "
                    f"stands {place} the layer.",
                )
            if fault is not None:
                return fault
            if mistake := ia3_mistake(out, x, layer, factor):
                return Feedback(False, f"with inputs={inputs}: {mistake}")
    return Feedback(True, "outputs of keys and values, inputs of the matrix that ends an MLP.")


def ia3_mistake(out: Any, x: torch.Tensor, layer: torch.nn.Linear, factor: torch.Tensor) -> str:
    """The first mistake of IA³'s output, or ""; which side is scaled shows in the factor's size."""
    inputs = len(factor) == layer.in_features
    plain, bias = layer(x), layer.bias
    if mistake := shape_fault(out, plain, "what comes back"):
        return mistake
    scaled = layer(x * factor) if inputs else plain * factor
    if is_close(out, scaled):
        return ""
    # what people write instead
    grown = layer(x * (1 + factor)) if inputs else plain * (1 + factor)
    wrong = {
        "that is the layer alone: the factor changes nothing.": plain,
        "1 was added to the factor, or the layer's own output to it: factors begin as 1, and what "
        "they scale is all.": grown,
        "the bias is lost: call the layer itself, `layer(…)`.": scaled - bias
        if inputs
        else (plain - bias) * factor,
        "the factor is added; it has to multiply.": layer(x + factor) if inputs else plain + factor,
    }
    if not inputs:
        wrong["the bias is not scaled: the factor belongs to all that the layer gives."] = (
            plain - bias
        ) * factor + bias
    return first_match(out, wrong) or "it is not the layer with a factor per output, or per input."


BETA = 0.5


def made_up_pairs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(new, old, answer) for three pairs: a prompt of three tokens, answers of two to five.

    Each is (pairs, 2, tokens). As in a model, both rows of a pair have the same numbers in the
    prompt; what fills a row up has some, too.
    """
    new, old = -noise((3, 2, 8)).abs(), -noise((3, 2, 8), seed=1).abs()
    answer = torch.zeros(3, 2, 8)
    for pair, lengths in enumerate(((2, 4), (5, 3), (3, 3))):
        for row, length in enumerate(lengths):
            answer[pair, row, 3 : 3 + length] = 1
    for log_p in (new, old):
        log_p[:, 1, :3] = log_p[:, 0, :3]
    return new, old, answer


def check_dpo(loss: Callable[..., torch.Tensor]) -> Feedback:
    """Hold loss(new, old, answer, beta) against DPO's (Rafailov et al. 2023, eq. 7).

    new, old: (pairs, 2, tokens), log p of each token by the model and by its reference; a pair's
    first row ends in the chosen answer, its second in the rejected one. answer: 1 where a token is
    of an answer, 0 in the prompt and in what fills a row up. One number comes back, with its
    gradient: the mean over the pairs.
    """
    new, old, answer = made_up_pairs()
    asked = new.clone().requires_grad_()
    with torch.enable_grad():
        out, fault = attempt(loss, asked, old.clone(), answer.clone(), BETA)
    if fault is not None:
        return fault
    right = dpo_of((new * answer).sum(-1), (old * answer).sum(-1)).mean()
    number = out if isinstance(out, torch.Tensor) else torch.tensor(out)
    if is_close(number, right):
        if not isinstance(out, torch.Tensor) or not out.requires_grad:
            return Feedback(
                False,
                "the number is right, but no gradient can reach the model: return the tensor.",
            )
        return Feedback(True, "log p of whole answers, less the reference's; chosen less rejected.")
    return Feedback(False, dpo_mistake(number, new, old, answer))


def dpo_of(new: torch.Tensor, old: torch.Tensor, beta: float = BETA) -> torch.Tensor:
    """The loss of each pair, of log p of both answers (pairs, 2)."""
    gain = new - old
    return -logsigmoid(beta * (gain[:, 0] - gain[:, 1]))


def dpo_mistake(
    number: torch.Tensor, new: torch.Tensor, old: torch.Tensor, answer: torch.Tensor
) -> str:
    """The first mistake of a loss of three pairs."""
    now, then = (new * answer).sum(-1), (old * answer).sum(-1)
    tokens = answer.sum(-1)
    each, margin = dpo_of(now, then), (now - then) @ torch.tensor([1.0, -1.0])
    wrong = {
        "one number for each pair: take their mean.": each,
        "the pairs are summed: take their mean.": each.sum(),
        "the sign: −log σ(…) is above 0, and small where the pair is right.": -each.mean(),
        "chosen and rejected are the wrong way round.": dpo_of(now, then, -BETA).mean(),
        "the reference is forgotten: what counts is how much each answer *gained* on `old`.": (
            dpo_of(now, 0 * then).mean()
        ),
        "means over tokens in place of sums: log p of an answer is the sum over its tokens.": (
            dpo_of(now / tokens, then / tokens).mean()
        ),
        "every token is counted, the prompt's and what fills the rows up: `answer` says which are "
        "the answer's.": dpo_of(new.sum(-1), old.sum(-1)).mean(),
        "beta is forgotten: it belongs in front of the margin.": dpo_of(now, then, 1.0).mean(),
        "beta stands outside: it belongs inside the sigmoid, in front of the margin.": (
            BETA * dpo_of(now, then, 1.0).mean()
        ),
        "the logarithm is missing: −log σ, and not −σ.": -torch.sigmoid(BETA * margin).mean(),
        "that is 1 − σ: take −log σ.": 1 - torch.sigmoid(BETA * margin).mean(),
        "the mean is taken before the sigmoid: each pair has a loss of its own.": -logsigmoid(
            BETA * margin.mean()
        ),
        "that is the margin alone: −log σ of it is missing.": BETA * margin.mean(),
        "that is the loss of the chosen answers alone: SFT's.": -now[:, 0].mean(),
    }
    return first_match(number, wrong) or f"of these pairs it is {each.mean():.4f}, not this."


REWARDS = ((1.0, 0.0, 0.0, 1.0), (0.0, 0.0, 2.0, 0.5), (1.0, 1.0, 1.0, 1.0))


def check_advantages(advantages: Callable[[torch.Tensor], torch.Tensor]) -> Feedback:
    """Hold advantages(rewards) against RLOO's (Ahmadian et al. 2024): less the others' mean.

    rewards: (prompts, group), and so is what comes back.
    """
    rewards = torch.tensor(REWARDS)
    out, fault = attempt(advantages, rewards.clone())
    if fault is not None:
        return fault
    others = rewards.shape[1] - 1
    right = rewards - (rewards.sum(1, keepdim=True) - rewards) / others
    if mistake := shape_fault(out, right, "what comes back"):
        return Feedback(False, mistake)
    if is_close(out, right):
        return Feedback(True, "less the mean of the *others*; a group of equals gives zeros.")
    return Feedback(False, advantages_mistake(out, rewards, right))


def advantages_mistake(out: torch.Tensor, rewards: torch.Tensor, right: torch.Tensor) -> str:
    """The first mistake of advantages, or what they are and should be."""
    centred = rewards - rewards.mean(1, keepdim=True)
    by_spread = centred / (rewards.std(1, keepdim=True) + 1e-4)
    wrong = {
        "the reply's own reward is in the mean: leave it out.": centred,
        "that is divided by the spread, as GRPO does: RLOO leaves it.": by_spread,
        "the mean is over all prompts: each group has its own.": rewards - rewards.mean(),
        "the others are those of the group, not of all prompts: `sum(1, …)`.": rewards
        - (rewards.sum() - rewards) / (rewards.numel() - 1),
        "the others are n − 1, not n: divide their sum by that.": rewards
        - (rewards.sum(1, keepdim=True) - rewards) / rewards.shape[1],
        "nothing is taken off: every reply would be made likelier.": rewards,
        "the sum of the others is taken off: their mean is.": 2 * rewards
        - rewards.sum(1, keepdim=True),
        "the sign: a reply that is better than the others has an advantage above 0.": -right,
        "the mean runs over the prompts: a group is a row.": rewards - rewards.mean(0),
    }
    if named := first_match(out, wrong):
        return named
    # without 1e-4 below the line, the group of equals is no number
    mixed = out[:-1].to(right)
    if out[-1].isnan().any() and torch.allclose(mixed, by_spread[:-1], rtol=1e-3):
        return (
            "that is divided by the spread, as GRPO does: RLOO leaves it. In a group of equals the "
            "spread is 0, and 0/0 is NaN."
        )
    wanted, given = ([round(value, 3) for value in one[1].tolist()] for one in (right, out))
    return f"of {list(REWARDS[1])} it is {wanted}; yours gives {given}."


def best_piece(delta: torch.Tensor, r: int) -> torch.Tensor:
    """The best approximation of rank r (Eckart and Young 1936)."""
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    return (U[:, :r] * S[:r]) @ Vh[:r]


def check_truncate(cut: Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]) -> Feedback:
    """Hold cut(W, delta, r) against W and the best piece of delta of rank r.

    W and delta are (d_out, d_in), and so is what comes back; W is left as it was.
    """
    W, delta, r = noise((12, 8)), noise((12, 8), seed=1), 3
    W_in, delta_in = W.clone(), delta.clone()
    out, fault = attempt(cut, W_in, delta_in, r)
    if fault is not None:
        return fault
    if not torch.equal(W_in, W) or not torch.equal(delta_in, delta):
        return Feedback(False, "W or delta itself was changed: make a new matrix and return it.")
    wanted = W + best_piece(delta, r)
    if is_close(out, wanted):
        return Feedback(True, "the best piece of that rank, added to W.")
    return Feedback(False, truncate_mistake(out, W, delta, r))


def truncate_mistake(out: Any, W: torch.Tensor, delta: torch.Tensor, r: int) -> str:
    """The first mistake of a cut update."""
    piece = best_piece(delta, r)
    if mistake := shape_fault(out, W, "what comes back"):
        return mistake
    # what people write instead
    U, S, Vh = torch.linalg.svd(delta, full_matrices=False)
    tilted = (U[:, :r] * S[:r]) @ Vh.T[:r]
    wrong = {
        "that is the piece alone: add it to W, or the old matrix is gone.": piece,
        "that is W + ΔW uncut: keep the first r directions only.": W + delta,
        "that is W: the update is lost.": W,
        "the whole sum was cut; cut the update alone, W is not low-rank.": best_piece(W + delta, r),
        "W was cut and the update added whole: it is the other way round.": best_piece(W, r)
        + delta,
        "those are the *last* r directions: singular values come largest first.": (
            W + delta - best_piece(delta, len(S) - r)
        ),
        "one direction too many: the first r are `[:r]`.": W + best_piece(delta, r + 1),
        "one direction too few: the first r are `[:r]`.": W + best_piece(delta, r - 1),
        "the singular values are missing: each direction is multiplied by its σ.": (
            W + U[:, :r] @ Vh[:r]
        ),
        "the singular values are in it twice.": W + (U[:, :r] * S[:r] ** 2) @ Vh[:r],
        "torch.linalg.svd gives Vᵀ already: do not transpose it again.": W + tilted,
        "that is the rest: what the cut leaves out.": W + delta - piece,
    }
    return first_match(out, wrong) or "it is not W plus the first r terms σᵢ uᵢ vᵢᵀ of ΔW."


Overlap = Callable[[torch.Tensor, torch.Tensor, int, int], object]


def check_overlap(phi: Overlap) -> Feedback:
    """Hold phi(a, b, i, j) against how much of a's first i directions lies in b's first j.

    a and b hold orthonormal directions as columns, (d, n) and (d, m); what comes back is a number.
    """
    a, b = (torch.linalg.qr(noise((12, n), seed=n))[0] for n in (6, 7))
    for i, j in ((2, 5), (5, 3)):
        out, fault = attempt(phi, a.clone(), b.clone(), i, j)
        if fault is not None and "mat1 and mat2" in fault.text:
            return Feedback(
                False, "the shapes do not fit: directions are columns, `a[:, :i].T @ b[:, :j]`."
            )
        if fault is not None:
            return fault
        if not isinstance(out, float | int) and getattr(out, "shape", None) != ():
            return Feedback(False, f"φ({i}, {j}) is one number; this is {overlap_kind(out)}.")
        found = torch.tensor(float(out))
        cosines = a[:, :i].T @ b[:, :j]
        if not is_close(found, (cosines**2).sum() / min(i, j)):
            wrong = overlap_mistakes(a, b, i, j)
            named = first_match(found, wrong) or "it is not Σ cos² over all pairs, / min(i, j)."
            return Feedback(False, f"φ({i}, {j}): {named}")
    return Feedback(True, "all cosines squared and added, as a share of the most they can be.")


def overlap_kind(out: object) -> str:
    """What came back in place of a number."""
    shape = getattr(out, "shape", None)
    return f"of type {type(out).__name__}" if shape is None else f"of shape {tuple(shape)}"


def overlap_mistakes(a: torch.Tensor, b: torch.Tensor, i: int, j: int) -> dict[str, torch.Tensor]:
    """{why: what comes out} of the usual mistakes in an overlap."""
    cosines = a[:, :i].T @ b[:, :j]
    total, whole = (cosines**2).sum(), ((a.T @ b) ** 2).sum()
    return {
        "the cosines are added as they are: square each one.": cosines.sum() / min(i, j),
        "their sizes are added: square each cosine.": cosines.abs().sum() / min(i, j),
        "the norm is not squared: without the root, please.": total.sqrt() / min(i, j),
        "that is the root of it: φ takes no root.": (total / min(i, j)).sqrt(),
        "it is not divided yet: by min(i, j), the most that the sum can be.": total,
        "divided by the larger count: the smaller space decides how much can be shared.": (
            total / max(i, j)
        ),
        "that is the mean over all pairs: divide by min(i, j), not by i · j.": total / (i * j),
        "that is the largest cosine alone: add the squares of all.": cosines.abs().max(),
        "all directions were taken: only the first i of a, and the first j of b.": (
            whole / min(i, j)
        ),
        "that is direction i against direction j alone: take all up to them.": (
            (a[:, i - 1] @ b[:, j - 1]) ** 2
        ),
        "the rows were cut: directions are columns, `a[:, :i]`.": (
            ((a[:i].T @ b[:i]) ** 2).sum() / min(i, j)
        ),
    }


Quantize = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
Dequantize = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def check_four_bits(pair: tuple[Quantize, Dequantize]) -> Feedback:
    """Hold quantize(blocks, levels) and dequantize(codes, absmax, levels) against NF4 by blocks.

    blocks: (n, 64); codes: (n, 64), places in the table from 0; absmax: (n,). What comes back from
    the second is (n, 64) again.
    """
    from .. import quant

    if not isinstance(pair, list | tuple) or len(pair) != 2:
        return Feedback(False, "give both: check('03.nf4', (quantize, dequantize)).")
    levels = quant.levels("nf4").float()
    blocks = noise((6, BLOCK)) * torch.tensor([0.1, 0.5, 1.0, 2.0, 0.3, 4.0])[:, None]
    blocks[1, 3] = -3.0  # the largest of its block is below zero
    absmax = blocks.abs().amax(1)
    codes = nearest_codes(blocks / absmax[:, None], levels)
    found, fault = attempt(pair[0], blocks.clone(), levels.clone())
    if fault is not None:
        return fault
    if mistake := quantize_mistake(found, blocks, levels):
        return Feedback(False, mistake)

    # the way back, from codes and scales that are right
    back, fault = attempt(pair[1], codes, absmax, levels.clone())
    if fault is not None:
        return fault
    if mistake := dequantize_mistake(back, codes, absmax, levels):
        return Feedback(False, mistake)
    return Feedback(True, "codes, scales and what comes back are those of NF4.")


def nearest_codes(scaled: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """The place of the nearest level of each number."""
    return (scaled[..., None] - levels).abs().argmin(-1)


def quantize_mistake(found: Any, blocks: torch.Tensor, levels: torch.Tensor) -> str:
    """The first mistake of codes and scales, or ""."""
    if not isinstance(found, list | tuple) or len(found) != 2:
        return "quantize has to return two things: the codes and absmax."
    codes, scales = found
    absmax = blocks.abs().amax(1)
    if not isinstance(codes, torch.Tensor) or not isinstance(scales, torch.Tensor):
        return "codes and absmax have to be tensors."
    if codes.shape == absmax.shape and scales.shape == blocks.shape:
        return "the two are swapped: return the codes first, then absmax."
    if mistake := scale_mistake(scales, blocks):
        return mistake
    if mistake := shape_fault(codes, blocks, "codes"):
        return mistake
    return code_mistake(codes, blocks, levels)


def scale_mistake(scales: torch.Tensor, blocks: torch.Tensor) -> str:
    """The first mistake of the scales, or ""."""
    absmax = blocks.abs().amax(1)
    flat = scales.flatten()
    if scales.numel() == 1:
        return "one scale for all: every block has its own, or one outlier spoils the rest."
    if flat.shape != absmax.shape:
        return f"absmax has {flat.numel()} numbers; there are {len(blocks)} blocks, one for each."
    wrong = {
        "that is the largest value, with its sign: take the largest *absolute* one.": (
            blocks.amax(1)
        ),
        "that is the standard deviation: some weights would lie beyond ±1.": blocks.std(1),
        "that is the mean of the absolute values, not the largest.": blocks.abs().mean(1),
        "one scale for all blocks: every block has its own.": absmax.max().expand(len(blocks)),
        "the scale is upside down.": 1 / absmax,
    }
    if is_close(flat, absmax):
        return ""
    return first_match(flat, wrong) or "absmax is not the largest absolute value of each block."


def code_mistake(codes: torch.Tensor, blocks: torch.Tensor, levels: torch.Tensor) -> str:
    """The first mistake of the codes, or ""."""
    scaled = blocks / blocks.abs().amax(1)[:, None]
    wanted = nearest_codes(scaled, levels)
    if is_close(codes, levels[wanted]):
        return "those are levels; a code is the level's place in the table, from 0 to 15."
    if is_close(codes.float(), wanted.float()):
        return "" if not codes.is_floating_point() else "codes are places: whole numbers."
    below = (torch.searchsorted(levels, scaled, right=True) - 1).clamp(min=0)
    wrong = {
        "each weight went to the next level *below*; take the nearest.": below,
        "each weight went to the next level *above*; take the nearest.": (
            torch.searchsorted(levels, scaled).clamp(max=15)
        ),
        "the weights were not divided by their block's absmax.": nearest_codes(blocks, levels),
        "those are equal steps; NF4's levels are not.": ((scaled + 1) * 7.5).round().long(),
        "the places count from 1: the first level is 0.": wanted + 1,
        "all were divided by one scale: divide by each block's own.": nearest_codes(
            blocks / blocks.abs().max(), levels
        ),
    }
    wrong = {why: value.float() for why, value in wrong.items()}
    return first_match(codes.float(), wrong) or "the codes are not those of the nearest levels."


def dequantize_mistake(
    back: Any, codes: torch.Tensor, absmax: torch.Tensor, levels: torch.Tensor
) -> str:
    """The first mistake of the way back, or ""."""
    wanted = levels[codes] * absmax[:, None]
    if is_close(back, wanted):
        return ""
    if mistake := shape_fault(back, wanted, "what comes back"):
        return mistake
    wrong = {
        "the levels were looked up and not multiplied: times each block's absmax.": levels[codes],
        "the levels were divided by absmax: quantizing divides, coming back multiplies.": (
            levels[codes] / absmax[:, None]
        ),
        "the codes themselves were multiplied: look up `levels[codes]` first.": (
            codes * absmax[:, None]
        ),
        "one scale for all blocks: each has its own.": levels[codes] * absmax.max(),
    }
    return first_match(back, wrong) or "it is not level times the block's absmax."


Merge = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]


def check_merge(merged: Merge) -> Feedback:
    """Hold merged(W, A, B, alpha) against a merge in place: W + (alpha/r) B A, rounded to NF4.

    W: (d_out, d_in), on NF4's levels at blocks of 64; A: (r, d_in); B: (d_out, r). What comes back
    is the rounded matrix in full precision.
    """
    W = rounded(0.1 * noise((16, 128)))
    A, B, alpha = 0.1 * noise((4, 128), seed=1), 0.2 * noise((16, 4), seed=2), 8.0
    out, fault = attempt(merged, W.clone(), A.clone(), B.clone(), alpha)
    if fault is not None:
        return fault
    total = W + alpha / 4 * (B @ A)
    if is_close(out, rounded(total)):
        return Feedback(True, "W + (α / r) B A, rounded to NF4 with scales of its own.")
    if mistake := shape_fault(out, W, "what comes back"):
        return Feedback(False, mistake)

    # what people write instead
    wrong = {
        "that is the sum, not rounded: in place it has to go back into four bits.": total,
        "B A was added without α / r, and rounded.": rounded(W + B @ A),
        "B A was added with α, without / r.": rounded(W + alpha * (B @ A)),
        "the factor is upside down: α / r, not r / α.": rounded(W + 4 / alpha * (B @ A)),
        "the update was rounded by itself and added: the sum then lies on no level.": (
            W + rounded(alpha / 4 * (B @ A))
        ),
        "that is W: the update is lost.": W,
        "that is the update alone, rounded: add it to W first.": rounded(alpha / 4 * (B @ A)),
        "the sum was rounded in int4; W lies on NF4's levels.": rounded(total, "int4"),
        "one scale for the whole matrix: NF4 has one per 64 weights.": rounded(
            total, block=1 << 20
        ),
    }
    why = first_match(out, wrong) or "it is not W + (α / r) B A rounded to NF4 at blocks of 64."
    return Feedback(False, why)


def rounded(W: torch.Tensor, name: str = "nf4", block: int = BLOCK) -> torch.Tensor:
    """A matrix after one way into four bits and back."""
    from .. import quant

    return quant.quantize(W, name, block).dequantize()


def make_adapter(untrained: Sequence[str] = (), zero_a: Sequence[str] = ()) -> dict[str, Any]:
    """The tensors of an adapter on four layers, as peft names them in its file."""
    tensors = {}
    for place, layer in enumerate(("0.self_attn.q_proj", "0.mlp.up_proj", "1.self_attn.q_proj")):
        name = f"base_model.model.model.layers.{layer}"
        B = noise((6, 2), place)
        if place:
            B[-1, -1] -= B.sum()  # its sum is 0, and it is not
        tensors[f"{name}.lora_A.weight"] = noise((2, 5), 9 + place) * (layer not in zero_a)
        tensors[f"{name}.lora_B.weight"] = B * (layer not in untrained)
    return tensors


def check_untrained(find: Callable[[Mapping[str, torch.Tensor]], Sequence[str]]) -> Feedback:
    """Hold find(tensors) against the names of the B that are 0 in an adapter's file."""
    cases = (("0.mlp.up_proj",), (), ("0.self_attn.q_proj", "0.mlp.up_proj", "1.self_attn.q_proj"))
    for zero in cases:
        tensors = make_adapter(zero, zero_a=("1.self_attn.q_proj",))
        found, fault = attempt(find, dict(tensors))
        if fault is not None:
            return fault
        if mistake := untrained_mistake(found, tensors):
            return Feedback(False, mistake)
    return Feedback(True, "every B that is 0 from its first number to its last, and no A.")


def untrained_mistake(found: Any, tensors: Mapping[str, torch.Tensor]) -> str:
    """What is wrong with a list of the B that are 0, or ""."""
    updates = {name: tensor for name, tensor in tensors.items() if "lora_B" in name}
    right = {name for name, tensor in updates.items() if not tensor.any()}
    if isinstance(found, bool) or not isinstance(found, Sequence | set) or isinstance(found, str):
        return f"give the list of their names; this is of type {type(found).__name__}."
    given = set(found)
    if given == right:
        return ""
    if any("lora_A" in str(name) for name in given):
        return "an A is among them: A is drawn at random, it is B that begins at 0."
    if given == updates.keys():
        return "these are all B; only those are asked for that are 0 throughout."
    if given == {name for name, tensor in updates.items() if tensor.sum().abs() < 1e-4}:
        return (
            "a sum of 0 is not enough: 1 and −1 add up to it, too. Ask whether any number is not 0."
        )
    if given == {name for name, tensor in updates.items() if (tensor == 0).any()}:
        return "one number that is 0 is not enough: all of them have to be."
    if given == updates.keys() - right:
        return "upside down: these are the B that were trained."
    return f"{len(given)} names came back, and {len(right)} B are 0; give the names as in the file."
