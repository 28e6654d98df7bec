"""Code of a reader's own on matrices: what is right is taken, and each mistake is named."""

import math
import re

import pytest
import torch

from ftkit import answers, lora, methods, prefer, quant
from ftkit.answers import check_lora

BASE = torch.nn.Linear(24, 16)


def layer(
    A=lambda r, i, o: (r, i),
    B=lambda r, i, o: (o, r),
    frozen=True,
    scale=lambda a, r: a / r,
    wrap=torch.nn.Parameter,
    **start,
):
    """A LoRA layer with one thing done differently."""

    class Layer(torch.nn.Module):
        def __init__(self, base, r, alpha):
            super().__init__()
            self.base = base.requires_grad_(not frozen)
            sides = r, base.in_features, base.out_features
            self.A = wrap(torch.randn(*A(*sides)) * start.get("a", 1.0))
            self.B = wrap(torch.randn(*B(*sides)) * start.get("b", 0.0))
            self.scale = scale(alpha, r)

        def forward(self, x):
            update = x @ self.A.T @ self.B.T
            return start.get("out", lambda Wx, BAx, s: Wx + s * BAx)(
                self.base(x), update, self.scale
            )

    return Layer


WRONG = {
    "no optimizer ever sees them": layer(wrap=lambda t: t),
    "A and B are swapped": layer(A=lambda r, i, o: (o, r), B=lambda r, i, o: (r, i)),
    "lie on their sides": layer(A=lambda r, i, o: (i, r), B=lambda r, i, o: (r, o)),
    "this W is not square, it is 16 × 24": layer(B=lambda r, i, o: (i, r)),
    r"A is \(8, 8\) and B is \(16, 8\)": layer(A=lambda r, i, o: (r, r)),
    "B does not start at zero": layer(b=0.1),
    "neither would ever move": layer(a=0.0),
    "W still learns": layer(frozen=False),
    "W x is missing": layer(out=lambda Wx, BAx, s: s * BAx),
    "the base layer alone": layer(out=lambda Wx, BAx, s: Wx),
    "alpha is used without / r": layer(scale=lambda a, r: a),
    "the scale alpha / r is missing": layer(scale=lambda a, r: 1),
    "the scale of rsLoRA": layer(scale=lambda a, r: a / math.sqrt(r)),
    "upside down": layer(scale=lambda a, r: r / a),
    "W x is scaled too": layer(out=lambda Wx, BAx, s: s * (Wx + BAx)),
    r"the output is not W x \+": layer(scale=lambda a, r: a / r + 1),
    "it does not run: RuntimeError": layer(out=lambda Wx, BAx, s: Wx + BAx[:, :3]),
    "give the function itself": 5,
}


@pytest.mark.parametrize("mine", [lora.LoRALinear, layer()])
def test_a_right_layer_is_right_and_the_base_is_left_alone(mine):
    before = BASE.weight.detach().clone()
    assert check_lora(mine, BASE).right is True
    assert BASE.weight.requires_grad and torch.equal(BASE.weight, before)


@pytest.mark.parametrize("why", WRONG)
def test_each_mistake_is_named(why):
    verdict = check_lora(WRONG[why], BASE)
    assert verdict.right is False
    assert re.search(why, verdict.text)


@pytest.mark.parametrize("out", [lambda Wx, BAx, s: ..., None])
def test_three_dots_are_no_answer(out):
    class Empty(torch.nn.Module):
        def __init__(self, base, r, alpha):
            super().__init__()
            self.A, self.B = ..., ...

    assert check_lora(layer(out=out) if out else Empty, BASE).right is None


def test_a_square_w_is_no_mistake():
    square = torch.nn.Linear(16, 16, bias=False)
    assert check_lora(lora.LoRALinear, square, r=4).right


def test_a_bias_that_is_lost_is_named():
    class Biasless(torch.nn.Module):
        def __init__(self, base, r, alpha):
            super().__init__()
            self.base, self.s = base.requires_grad_(False), alpha / r
            self.A = torch.nn.Parameter(torch.randn(r, base.in_features))
            self.B = torch.nn.Parameter(torch.zeros(base.out_features, r))

        def forward(self, x):
            return x @ (self.base.weight + self.s * self.B @ self.A).T

    assert "the base layer's bias is lost" in check_lora(Biasless).text


def test_columns_in_place_of_rows_are_told_how_rows_are_written():
    class Columns(layer()):
        def forward(self, x):
            return self.base(x) + self.scale * (self.B @ self.A @ x)

    assert "x @ A.T @ B.T" in check_lora(Columns).text


def test_a_forward_still_to_be_written_comes_before_what_else_is_missing():
    class Unwritten(layer(frozen=False)):
        def forward(self, x):
            return ...

    assert check_lora(Unwritten).right is None


def judge(name, code):
    return answers.judge(answers.find_exercise(name), code)


def svd(delta):
    return torch.linalg.svd(delta, full_matrices=False)


def piece(delta, r):
    U, S, Vh = svd(delta)
    return (U[:, :r] * S[:r]) @ Vh[:r]


def in_place(W, delta, r):
    W += piece(delta, r)
    return W


CUTS = {
    "the piece alone": lambda W, delta, r: piece(delta, r),
    "ΔW uncut": lambda W, delta, r: W + delta,
    "the update is lost": lambda W, delta, r: W.clone(),
    "the whole sum was cut": lambda W, delta, r: piece(W + delta, r),
    "the other way round": lambda W, delta, r: piece(W, r) + delta,
    r"the \*last\* r directions": lambda W, delta, r: (
        W + (svd(delta)[0][:, -r:] * svd(delta)[1][-r:]) @ svd(delta)[2][-r:]
    ),
    "one direction too many": lambda W, delta, r: W + piece(delta, r + 1),
    "one direction too few": lambda W, delta, r: W + piece(delta, r - 1),
    "the singular values are missing": lambda W, delta, r: (
        W + svd(delta)[0][:, :r] @ svd(delta)[2][:r]
    ),
    "in it twice": lambda W, delta, r: (
        W + (svd(delta)[0][:, :r] * svd(delta)[1][:r] ** 2) @ svd(delta)[2][:r]
    ),
    "gives Vᵀ already": lambda W, delta, r: (
        W + (svd(delta)[0][:, :r] * svd(delta)[1][:r]) @ svd(delta)[2].T[:r]
    ),
    "that is the rest": lambda W, delta, r: W + delta - piece(delta, r),
    "was changed: make a new matrix": in_place,
    "it has to be \\(12, 8\\)": lambda W, delta, r: piece(delta, r).T,
    "has to be a tensor": lambda W, delta, r: 3,
    "it is not W plus": lambda W, delta, r: W + 2 * piece(delta, r),
    "it does not run: NameError.*import it": lambda W, delta, r: nowhere(W),  # noqa: F821
}


@pytest.mark.parametrize("why", CUTS)
def test_each_mistake_of_a_cut_is_named(why):
    found = judge("01.truncate", CUTS[why])
    assert found.right is False and re.search(why, found.text), found


def low_rank(W, delta, r):
    U, S, V = torch.svd_lowrank(delta, q=8, niter=20)
    return W + U[:, :r] @ torch.diag(S[:r]) @ V[:, :r].T


@pytest.mark.parametrize("cut", [lambda W, delta, r: W + piece(delta, r), low_rank])
def test_a_right_cut_is_right(cut):
    assert judge("01.truncate", cut).right is True
    assert judge("01.truncate", lambda *_: ...).right is None


def cosines(a, b, i, j):
    return a[:, :i].T @ b[:, :j]


OVERLAPS = {
    "added as they are": lambda a, b, i, j: cosines(a, b, i, j).sum() / min(i, j),
    "their sizes are added": lambda a, b, i, j: cosines(a, b, i, j).abs().sum() / min(i, j),
    "the norm is not squared": lambda a, b, i, j: cosines(a, b, i, j).norm() / min(i, j),
    "that is the root of it": lambda a, b, i, j: cosines(a, b, i, j).norm() / min(i, j) ** 0.5,
    "it is not divided yet": lambda a, b, i, j: cosines(a, b, i, j).norm() ** 2,
    "divided by the larger count": lambda a, b, i, j: cosines(a, b, i, j).norm() ** 2 / max(i, j),
    r"φ\(5, 3\): divided by the larger": lambda a, b, i, j: cosines(a, b, i, j).norm() ** 2 / i,
    "the mean over all pairs": lambda a, b, i, j: (cosines(a, b, i, j) ** 2).mean(),
    "the largest cosine alone": lambda a, b, i, j: cosines(a, b, i, j).abs().max(),
    "all directions were taken": lambda a, b, i, j: (a.T @ b).norm() ** 2 / min(i, j),
    "direction i against direction j": lambda a, b, i, j: (a[:, i - 1] @ b[:, j - 1]) ** 2,
    "the rows were cut": lambda a, b, i, j: (a[:i].T @ b[:i]).norm() ** 2 / min(i, j),
    "the shapes do not fit: directions are columns": lambda a, b, i, j: (a[:i] @ b[:j].T).sum(),
    r"one number; this is of shape \(2, 5\)": lambda a, b, i, j: cosines(a, b, i, j) ** 2,
    "one number; this is of type str": lambda a, b, i, j: "most of it",
    "it is not Σ cos²": lambda a, b, i, j: 2.0,
}


@pytest.mark.parametrize("why", OVERLAPS)
def test_each_mistake_of_an_overlap_is_named(why):
    found = judge("01b.overlap", OVERLAPS[why])
    assert found.right is False and re.search(why, found.text), found


def by_spectra(a, b, i, j):
    """The kit's own φ, of matrices that have these directions."""
    spectra = [lora.spectrum.svd(m * torch.linspace(2, 1, m.shape[1])) for m in (a, b)]
    return lora.spectrum.overlap(*spectra, side="left")[i - 1, j - 1].item()


@pytest.mark.parametrize(
    "phi",
    [by_spectra, lambda a, b, i, j: float((cosines(a, b, i, j) ** 2).sum() / min(i, j))],
)
def test_a_right_overlap_is_right(phi):
    assert judge("01b.overlap", phi).right is True
    assert judge("01b.overlap", lambda *_: ...).right is None


def quantize(blocks, levels, scale=lambda b: b.abs().amax(1), code=None):
    absmax = scale(blocks)
    scaled = blocks / absmax.reshape(-1, 1)
    nearest = (scaled[..., None] - levels).abs().argmin(-1)
    return nearest if code is None else code(scaled, nearest, levels, blocks), absmax


def dequantize(codes, absmax, levels):
    return levels[codes] * absmax[:, None]


def scaled_by(scale):
    return lambda blocks, levels: quantize(blocks, levels, scale)


def coded_by(code):
    return lambda blocks, levels: quantize(blocks, levels, code=code)


FOUR_BITS = {
    "one scale for all: every block": (scaled_by(lambda b: b.abs().max()), dequantize),
    "one scale for all blocks: every": (
        scaled_by(lambda b: b.abs().max().expand(len(b))),
        dequantize,
    ),
    "the largest value, with its sign": (scaled_by(lambda b: b.amax(1)), dequantize),
    "standard deviation": (scaled_by(lambda b: b.std(1)), dequantize),
    "the mean of the absolute values": (scaled_by(lambda b: b.abs().mean(1)), dequantize),
    "upside down": (scaled_by(lambda b: 1 / b.abs().amax(1)), dequantize),
    "is not the largest absolute": (scaled_by(lambda b: 2 * b.abs().amax(1)), dequantize),
    "there are 6 blocks": (lambda b, levels: (quantize(b, levels)[0], b.abs().amax(0)), dequantize),
    "those are levels": (coded_by(lambda s, n, levels, b: levels[n]), dequantize),
    "whole numbers": (coded_by(lambda s, n, levels, b: n.float()), dequantize),
    r"next level \*below\*": (
        coded_by(lambda s, n, levels, b: (torch.bucketize(s, levels, right=True) - 1).clamp(0)),
        dequantize,
    ),
    r"next level \*above\*": (
        coded_by(lambda s, n, levels, b: torch.bucketize(s, levels).clamp(max=15)),
        dequantize,
    ),
    "not divided by their block's": (
        coded_by(lambda s, n, levels, b: (b[..., None] - levels).abs().argmin(-1)),
        dequantize,
    ),
    "equal steps": (coded_by(lambda s, n, levels, b: ((s + 1) * 7.5).round().long()), dequantize),
    "count from 1": (coded_by(lambda s, n, levels, b: n + 1), dequantize),
    "divided by one scale": (
        coded_by(
            lambda s, n, levels, b: ((b / b.abs().max())[..., None] - levels).abs().argmin(-1)
        ),
        dequantize,
    ),
    "not those of the nearest": (coded_by(lambda s, n, levels, b: 15 - n), dequantize),
    "the two are swapped": (lambda b, levels: quantize(b, levels)[::-1], dequantize),
    "return two things": (lambda b, levels: quantize(b, levels)[0], dequantize),
    "not multiplied": (quantize, lambda c, a, levels: levels[c]),
    "divided by absmax": (quantize, lambda c, a, levels: levels[c] / a[:, None]),
    "codes themselves": (quantize, lambda c, a, levels: c * a[:, None]),
    "one scale for all blocks: each": (quantize, lambda c, a, levels: levels[c] * a.max()),
    "it is not level times": (quantize, lambda c, a, levels: -levels[c] * a[:, None]),
    "it does not run": (quantize, lambda c, a, levels: levels[c] * a),
    "give both": quantize,
}


@pytest.mark.parametrize("why", FOUR_BITS)
def test_each_mistake_of_four_bits_is_named(why):
    found = judge("03.nf4", FOUR_BITS[why])
    assert found.right is False and re.search(why, found.text), found


def test_right_four_bits_are_right():
    def columns(blocks, levels):
        codes, absmax = quantize(blocks, levels)
        return codes.to(torch.uint8), absmax[:, None]

    assert judge("03.nf4", (quantize, dequantize)).right is True
    assert judge("03.nf4", [columns, dequantize]).right is True
    assert judge("03.nf4", (quantize, ...)).right is None
    assert judge("03.nf4", (quantize, lambda *_: None)).right is None
    assert judge("03.nf4", (lambda *_: (..., ...), lambda *_: ...)).right is None


def nf4(W, name="nf4", block=64):
    return quant.quantize(W, name, block).dequantize()


MERGES = {
    "that is the sum, not rounded": lambda W, A, B, alpha: W + alpha / len(A) * B @ A,
    "B A was added without": lambda W, A, B, alpha: nf4(W + B @ A),
    "with α, without / r": lambda W, A, B, alpha: nf4(W + alpha * B @ A),
    "the factor is upside down": lambda W, A, B, alpha: nf4(W + len(A) / alpha * B @ A),
    "rounded by itself and added": lambda W, A, B, alpha: W + nf4(alpha / len(A) * B @ A),
    "that is W: the update": lambda W, A, B, alpha: W,
    "the update alone": lambda W, A, B, alpha: nf4(alpha / len(A) * B @ A),
    "rounded in int4": lambda W, A, B, alpha: nf4(W + alpha / len(A) * B @ A, "int4"),
    "one scale for the whole": lambda W, A, B, alpha: nf4(
        W + alpha / len(A) * B @ A, block=1 << 20
    ),
    "it is not W \\+": lambda W, A, B, alpha: nf4(W - alpha / len(A) * B @ A),
    "has to be a tensor": lambda W, A, B, alpha: quant.quantize(W, "nf4", 64),
    "it does not run": lambda W, A, B, alpha: W + A @ B,
}


@pytest.mark.parametrize("why", MERGES)
def test_each_mistake_of_a_merge_is_named(why):
    found = judge("13.merge", MERGES[why])
    assert found.right is False and re.search(why, found.text), found


def test_a_right_merge_is_right():
    right = judge("13.merge", lambda W, A, B, alpha: nf4(W + alpha / len(A) * B @ A))
    assert right.right is True
    assert judge("13.merge", lambda *_: None).right is None


def dora(W, A, B, m, alpha):
    V = W + alpha / len(A) * (B @ A)
    return (m / V.norm(dim=1).detach())[:, None] * V


def scaled(factor):
    """DoRA's weight with another factor before B A, a function of alpha and r."""

    def weight(W, A, B, m, alpha):
        V = W + factor(alpha, len(A)) * B @ A
        return m[:, None] * V / V.norm(dim=1, keepdim=True)

    return weight


def of(form):
    """A weight made of W, V = W + ΔW and m as a column."""
    return lambda W, A, B, m, alpha: form(W, W + alpha / len(A) * B @ A, m[:, None])


DORA = {
    "m is missing": of(lambda W, V, m: V / V.norm(dim=1, keepdim=True)),
    "length is not taken out": of(lambda W, V, m: m * V),
    "that is LoRA's": of(lambda W, V, m: V),
    "ΔW is missing": of(lambda W, V, m: m * W / W.norm(dim=1, keepdim=True)),
    "the norm is that of W;": of(lambda W, V, m: m * V / W.norm(dim=1, keepdim=True)),
    "one norm for the whole": of(lambda W, V, m: m * V / V.norm()),
    "the norm of each column": of(lambda W, V, m: m * V / V.norm(dim=0)),
    "the norm is squared": of(lambda W, V, m: m * V / V.square().sum(1, keepdim=True)),
    "alpha / r is missing": scaled(lambda alpha, r: 1),
    "alpha is used without": scaled(lambda alpha, r: alpha),
    "upside down": scaled(lambda alpha, r: r / alpha),
    "is not m ⊙": of(lambda W, V, m: m * V + 1),
    "(10, 6)": lambda W, A, B, m, alpha: dora(W, A, B, m, alpha).T,
    "`.detach()` it": of(lambda W, V, m: m * V / V.norm(dim=1, keepdim=True)),
    "no no_grad": lambda *given: dora(*given).detach(),
    "it does not run": lambda W, A, B, m, alpha: W + A @ B,
}


@pytest.mark.parametrize("why", DORA)
def test_each_mistake_of_dora_is_named(why):
    found = judge("02b.dora", DORA[why])
    assert found.right is False and why in found.text, found


def test_a_right_weight_of_dora_is_right_and_nothing_is_no_answer():
    assert judge("02b.dora", dora).right is True
    assert judge("02b.dora", lambda *given: ...).right is None
    layer = lora.DoRALinear(torch.nn.Linear(6, 10, bias=False), r=2, alpha=8)
    torch.nn.init.normal_(layer.B)
    given = layer.base.weight, layer.A, layer.B, layer.m
    torch.testing.assert_close(dora(*given, 8), layer.weight())


def zero(tensors, part="lora_B"):
    return [name for name, tensor in tensors.items() if part in name and not tensor.any()]


UNTRAINED = {
    "an A is among them": lambda tensors: zero(tensors, "lora"),
    "a sum of 0 is not enough": lambda tensors: [
        name for name, t in tensors.items() if "lora_B" in name and abs(t.sum()) < 1e-4
    ],
    "these are all B": lambda tensors: [name for name in tensors if "lora_B" in name],
    "upside down": lambda tensors: [
        name for name, tensor in tensors.items() if "lora_B" in name and tensor.any()
    ],
    "give the list of their names": lambda tensors: bool(zero(tensors)),
    "0 names came back, and 1 B are 0": lambda tensors: [],
}


@pytest.mark.parametrize("why", UNTRAINED)
def test_each_mistake_of_a_rule_for_untrained_b_is_named(why):
    found = judge("11.untrained", UNTRAINED[why])
    assert found.right is False and why in found.text, found


def test_a_right_rule_for_untrained_b_is_right_and_nothing_is_no_answer():
    for kind in (list, set, tuple):
        assert judge("11.untrained", lambda tensors, kind=kind: kind(zero(tensors))).right is True
    assert judge("11.untrained", lambda tensors: ...).right is None


def ia3(x, layer, factor, inputs):
    return layer(x * factor) if inputs else layer(x) * factor


def per_output(form):
    """IA³ with something else done to outputs; inputs as they should be."""
    return lambda x, layer, f, inputs: ia3(x, layer, f, inputs) if inputs else form(x, layer, f)


def per_input(form):
    """The same with inputs."""
    return lambda x, layer, f, inputs: form(x, layer, f) if inputs else ia3(x, layer, f, inputs)


IA3 = {
    "inputs=False: that is the layer alone": lambda x, layer, f, inputs: layer(x),
    "inputs=True: that is the layer alone": per_input(lambda x, layer, f: layer(x)),
    "inputs=False: 1 was added": per_output(lambda x, layer, f: layer(x) * (1 + f)),
    "inputs=True: 1 was added": per_input(lambda x, layer, f: layer(x * (1 + f))),
    "or the layer's own output": per_output(lambda x, layer, f: layer(x) + layer(x) * f),
    "inputs=False: the bias is lost": per_output(lambda x, layer, f: x @ layer.weight.T * f),
    "inputs=True: the bias is lost": per_input(lambda x, layer, f: (x * f) @ layer.weight.T),
    "the bias is not scaled": per_output(lambda x, layer, f: x @ layer.weight.T * f + layer.bias),
    "inputs=False: the factor is added": per_output(lambda x, layer, f: layer(x) + f),
    "inputs=True: the factor is added": per_input(lambda x, layer, f: layer(x + f)),
    "it is not the layer with a factor": per_output(lambda x, layer, f: layer(x) * f**2),
    "what comes back is (16,)": per_output(lambda x, layer, f: layer(x[0]) * f),
    "inputs=True the factor has d_in numbers, 24 here: it stands before the layer.": (
        lambda x, layer, f, inputs: layer(x) * f
    ),
    "inputs=False the factor has d_out numbers, 16 here: it stands behind the layer.": (
        lambda x, layer, f, inputs: layer(x * f)
    ),
}


@pytest.mark.parametrize("why", IA3)
def test_each_mistake_of_ia3_is_named(why):
    found = judge("08.ia3", IA3[why])
    assert found.right is False and why in found.text, found


def test_a_right_ia3_is_right_and_equals_the_kits_layer():
    assert judge("08.ia3", ia3).right is True
    assert judge("08.ia3", lambda *given: ...).right is None

    def by_layer(x, layer, factor, inputs):
        scaled = methods.IA3Linear(layer, inputs=inputs)
        scaled.factor.data.copy_(factor)
        return scaled(x)

    assert judge("08.ia3", by_layer).right is True


def dpo(new, old, answer, beta):
    gain = ((new - old) * answer).sum(-1)
    return -torch.nn.functional.logsigmoid(beta * (gain[:, 0] - gain[:, 1])).mean()


def by_kit(new, old, answer, beta):
    """The kit's own loss, of sums."""
    now, then, tokens = (new * answer).sum(-1), (old * answer).sum(-1), answer.sum(-1)
    both = [part[:, side] for part in (now, then, tokens) for side in (0, 1)]
    return prefer.losses.dpo(prefer.PairLogs(*both), beta)


def margins(new, old, answer):
    gain = ((new - old) * answer).sum(-1)
    return gain[:, 0] - gain[:, 1]


logsigmoid = torch.nn.functional.logsigmoid
DPO = {
    "one number for each pair": lambda n, o, a, b: -logsigmoid(b * margins(n, o, a)),
    "the pairs are summed": lambda n, o, a, b: -logsigmoid(b * margins(n, o, a)).sum(),
    "the sign": lambda n, o, a, b: -dpo(n, o, a, b),
    "wrong way round": lambda n, o, a, b: dpo(n, o, a, -b),
    "the reference is forgotten": lambda n, o, a, b: dpo(n, 0 * o, a, b),
    "means over tokens": lambda n, o, a, b: dpo(n, o, a / a.sum(-1, keepdim=True), b),
    "every token is counted": lambda n, o, a, b: dpo(n, o, torch.ones_like(a), b),
    "beta is forgotten": lambda n, o, a, b: dpo(n, o, a, 1.0),
    "beta stands outside": lambda n, o, a, b: b * dpo(n, o, a, 1.0),
    "the logarithm is missing": lambda n, o, a, b: -torch.sigmoid(b * margins(n, o, a)).mean(),
    "that is 1 − σ": lambda n, o, a, b: 1 - torch.sigmoid(b * margins(n, o, a)).mean(),
    "the mean is taken before": lambda n, o, a, b: -logsigmoid(b * margins(n, o, a).mean()),
    "that is the margin alone": lambda n, o, a, b: b * margins(n, o, a).mean(),
    "SFT's": lambda n, o, a, b: -(n * a).sum(-1)[:, 0].mean(),
    "no gradient can reach": lambda n, o, a, b: dpo(n, o, a, b).item(),
    "of these pairs it is 0.": lambda n, o, a, b: dpo(n, o, a, b) + 1,
    "does not run: IndexError": lambda n, o, a, b: n[9],
}


@pytest.mark.parametrize("why", DPO)
def test_each_mistake_of_a_loss_of_pairs_is_named(why):
    found = judge("12.dpo", DPO[why])
    assert found.right is False and why in found.text, found


def test_a_right_loss_of_pairs_is_right_and_the_prompt_cancels():
    assert judge("12.dpo", dpo).right is True
    assert judge("12.dpo", by_kit).right is True
    assert judge("12.dpo", lambda *given: ...).right is None

    # the prompt is the same in both rows, so counting it changes nothing; what fills up does
    def with_prompt(new, old, answer, beta):
        counted = answer.clone()
        counted[..., :3] = 1
        return dpo(new, old, counted, beta)

    assert judge("12.dpo", with_prompt).right is True


def rloo(rewards):
    n = rewards.shape[1]
    return rewards - (rewards.sum(1, keepdim=True) - rewards) / (n - 1)


ADVANTAGES = {
    "own reward is in the mean": lambda r: r - r.mean(1, keepdim=True),
    "divided by the spread": prefer.losses.grpo_advantages,
    "0/0 is NaN": lambda r: (r - r.mean(1, keepdim=True)) / r.std(1, keepdim=True),
    "over all prompts": lambda r: r - r.mean(),
    "not of all prompts": lambda r: r - (r.sum() - r) / (r.numel() - 1),
    "n − 1, not n": lambda r: r - (r.sum(1, keepdim=True) - r) / r.shape[1],
    "nothing is taken off": lambda r: r,
    "the sum of the others": lambda r: r - (r.sum(1, keepdim=True) - r),
    "the sign": lambda r: -rloo(r),
    "a group is a row": lambda r: r - r.mean(0),
    "it is [-0.833, -0.833, 1.833, -0.167]; yours gives [0.0, 0.0, 0.0, 0.0]": lambda r: 0 * r,
    "it has to be (3, 4)": lambda r: rloo(r)[0],
    "has to be a tensor": lambda r: rloo(r).tolist(),
}


@pytest.mark.parametrize("why", ADVANTAGES)
def test_each_mistake_of_an_advantage_is_named(why):
    found = judge("12b.rloo", ADVANTAGES[why])
    assert found.right is False and why in found.text, found


def test_right_advantages_are_right():
    assert judge("12b.rloo", rloo).right is True
    assert judge("12b.rloo", prefer.losses.rloo_advantages).right is True

    def scaled(rewards):
        n = rewards.shape[1]
        return (rewards - rewards.mean(1, keepdim=True)) * n / (n - 1)

    assert judge("12b.rloo", scaled).right is True
    assert judge("12b.rloo", lambda rewards: None).right is None
