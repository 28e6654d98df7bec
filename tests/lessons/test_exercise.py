"""The checks of exercises: they take what is right and name what is wrong."""

import math
import re

import pytest
import torch

from ftkit import lora
from ftkit.lessons import check, check_lora

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
}


def test_a_check_names_the_mistake():
    mistakes = {65536: "k_proj is not square"}
    assert check(..., 49152, mistakes).right is None
    assert check(49152, 49152, mistakes, because="because").right is True
    wrong = check(65536, 49152, mistakes)
    assert (wrong.right, wrong.text) == (False, "k_proj is not square")
    assert "7" in check(7, 49152, mistakes).text


def test_numbers_are_equal_to_six_digits():
    assert check(0.1 + 0.2, 0.3, {}).right is True
    assert check(0.3001, 0.3, {}).right is False


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
