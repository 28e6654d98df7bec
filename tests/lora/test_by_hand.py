"""LoRA and DoRA written by hand, held against peft on a real layer with real hidden states: output,
gradients, merge.
"""

import ast
import inspect
import subprocess
import sys

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora import Linear

from ftkit import lora, models

NAMES = {
    "A": "lora_A.default.weight",
    "B": "lora_B.default.weight",
    "base.weight": "base_layer.weight",
    "m": "lora_magnitude_vector.default.weight",
}


@pytest.fixture(scope="module")
def hidden():
    """(what k_proj of layer 1 reads, its W): the pocket model's own hidden states."""
    model, tokenizer = models.load("pocket")
    layer = model.model.layers[1].self_attn.k_proj
    seen = []
    handle = layer.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model(**tokenizer("The order is late. Send a new one.", return_tensors="pt"))
    handle.remove()
    return seen[0], layer.weight.detach()


def linear(W, bias=False):
    """A fresh linear layer with W, and a bias of its own."""
    layer = torch.nn.Linear(W.shape[1], W.shape[0], bias=bias)
    layer.weight.data.copy_(W)
    return layer


def both(W, r, alpha, dora=False, bias=False, seed=0):
    """The layer by hand and peft's, with the same W, the same A and a B that is not zero."""
    torch.manual_seed(seed)
    base = linear(W, bias)
    config = LoraConfig(r=r, lora_alpha=alpha, use_dora=dora)
    theirs = Linear(linear(W, bias), "default", config=config, r=r, lora_alpha=alpha)
    mine = (lora.DoRALinear if dora else lora.LoRALinear)(base, r, alpha)
    if bias:
        theirs.base_layer.bias.data.copy_(base.bias)
    with torch.no_grad():
        torch.nn.init.normal_(theirs.lora_B["default"].weight, std=0.02)
        mine.A.copy_(theirs.lora_A["default"].weight)
        mine.B.copy_(theirs.lora_B["default"].weight)
    return mine, theirs


def gradients(layer, x):
    """The output, and the gradients of its squared norm by the names of the layer by hand."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    out = layer(x)
    out.square().sum().backward()
    mine = {theirs: mine for mine, theirs in NAMES.items()}
    grads = {mine.get(name, name): p.grad for name, p in layer.named_parameters()}
    return out, {name: grad for name, grad in grads.items() if grad is not None} | {"x": x.grad}


@pytest.mark.parametrize("dora", [False, True])
@pytest.mark.parametrize(("r", "alpha"), [(1, 1), (4, 8), (8, 4), (128, 16)])
def test_output_and_gradients_are_pefts(hidden, r, alpha, dora):
    x, W = hidden
    mine, theirs = both(W, r, alpha, dora)
    (out, grads), (peft_out, peft_grads) = gradients(mine, x), gradients(theirs, x)
    torch.testing.assert_close(out, peft_out, atol=1e-5, rtol=1e-5)
    assert {"A", "B", "x"} | ({"m"} if dora else set()) == set(grads) <= set(peft_grads)
    for name, grad in grads.items():
        torch.testing.assert_close(grad, peft_grads[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dora", [False, True])
def test_merging_is_pefts_and_gives_the_same_output(hidden, dora):
    x, W = hidden
    mine, theirs = both(W, 8, 16, dora)
    before = mine(x)
    theirs.merge()
    merged = mine.merge()
    assert not torch.equal(merged.weight, W)
    torch.testing.assert_close(merged.weight, theirs.base_layer.weight, atol=1e-6, rtol=0)
    torch.testing.assert_close(merged(x), before, atol=1e-5, rtol=1e-5)


def test_delta_w_is_pefts(hidden):
    mine, theirs = both(hidden[1], 8, 32)
    wanted = theirs.get_delta_weight("default")
    torch.testing.assert_close(lora.delta_w(mine.A, mine.B, 32), wanted, atol=1e-6, rtol=0)
    A, B = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0], [10.0]])
    assert lora.delta_w(A, B, alpha=2).tolist() == [[2, 4, 6], [20, 40, 60]]


@pytest.mark.parametrize("dora", [False, True])
def test_a_bias_stays_outside_the_update(hidden, dora):
    x, W = hidden
    mine, theirs = both(W, 4, 8, dora, bias=True)
    assert mine.base.bias.any()
    torch.testing.assert_close(mine(x), theirs(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("make", [lora.LoRALinear, lora.DoRALinear])
def test_the_start_is_the_base_and_only_the_adapter_learns(hidden, make):
    x, W = hidden
    layer = make(linear(W), 8, 16)
    torch.testing.assert_close(layer(x), linear(W)(x), atol=1e-6, rtol=1e-6)
    assert layer.A.any() and not layer.B.any()
    assert layer.A.abs().max() <= W.shape[1] ** -0.5
    trained = {name for name, p in layer.named_parameters() if p.requires_grad}
    assert trained == {"A", "B"} | ({"m"} if make is lora.DoRALinear else set())


def test_pefts_weights_load_by_name(hidden):
    x, W = hidden
    _, theirs = both(W, 8, 16)
    mine = lora.LoRALinear(linear(W), 8, 16)
    state = theirs.state_dict()
    mine.load_state_dict({name: state[NAMES[name]] for name in mine.state_dict()})
    torch.testing.assert_close(mine(x), theirs(x), atol=1e-6, rtol=1e-6)


def test_the_whole_model_by_hand_is_the_whole_model_by_peft():
    theirs = lora.attach(models.load("pocket")[0], r=4, alpha=8)
    mine, _ = models.load("pocket")
    for name, layer in models.linears(mine).items():
        mine.set_submodule(name, lora.LoRALinear(layer, 4, 8))
    state = {models.plain_name(n): p for n, p in theirs.named_parameters()}
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=0.02)
        for name, p in mine.named_parameters():
            if name.endswith((".A", ".B")):
                p.copy_(state[f"{name[:-1]}{NAMES[name[-1]]}"])
    ids = torch.arange(6, 26)[None]
    base = models.load("pocket")[0](ids).logits
    torch.testing.assert_close(mine(ids).logits, theirs(ids).logits, atol=1e-4, rtol=1e-4)
    assert (theirs(ids).logits - base).abs().max() > 0.01


def code_lines(cls):
    """The lines of a class without docstrings, comments and empty lines."""
    source = inspect.getsource(cls)
    lines = dict(enumerate(source.splitlines(), 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            for number in range(node.body[0].lineno, node.body[0].end_lineno + 1):
                del lines[number]
    stripped = (line.strip() for line in lines.values())
    return [line for line in stripped if line and not line.startswith("#")]


@pytest.mark.parametrize("layer", [lora.LoRALinear, lora.DoRALinear])
def test_a_layer_is_twenty_lines(layer):
    lines = code_lines(layer)
    assert {"@torch.no_grad()", "return self.base"} <= set(lines)
    assert len(lines) <= 20


def test_naming_lora_needs_no_torch_until_a_layer_is_named():
    code = "import sys; from ftkit import lora; print('torch' in sys.modules); "
    code += "lora.delta_w; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
    with pytest.raises(AttributeError, match=r"No ftkit\.lora attribute LoRALiner"):
        lora.LoRALiner  # noqa: B018
