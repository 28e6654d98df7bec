"""A layer of packed codes computes, and passes gradients, as bitsandbytes' own does."""

import bitsandbytes
import pytest
import torch

from ftkit import UserError, lora, models, quant


def weight(d_out=64, d_in=128, seed=0):
    return torch.randn(d_out, d_in, generator=torch.Generator().manual_seed(seed))


def theirs(layer, kind, double):
    made = bitsandbytes.nn.Linear4bit(
        layer.in_features,
        layer.out_features,
        bias=layer.bias is not None,
        compute_dtype=torch.float32,
        quant_type=kind,
        compress_statistics=double,
    )
    made.load_state_dict(layer.state_dict())
    made.support_avx512bf16_for_cpu = False  # see models.loading.keep_unpacked
    return made.to("cpu")


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
def test_it_is_bitsandbytes_forward_and_backward(kind, double):
    layer = torch.nn.Linear(128, 64)
    mine, packed = quant.FourBitLinear(layer, kind, double=double), theirs(layer, kind, double)
    x, y = (torch.randn(5, 128, generator=torch.Generator().manual_seed(1)) for _ in "xy")
    x.requires_grad_(), y.requires_grad_()
    packed(y)  # packs its weight
    one, other = mine(x), packed(y)
    assert torch.allclose(one, other, atol=1e-5)
    (one**2).sum().backward()
    (other**2).sum().backward()
    assert torch.allclose(x.grad, y.grad, atol=1e-4)
    assert [name for name, p in mine.named_parameters() if p.requires_grad] == []


@pytest.mark.parametrize(("d_out", "d_in"), [(64, 128), (3, 5)])
@pytest.mark.parametrize("double", [False, True])
def test_its_weight_is_the_dequantized_one_in_four_bits(d_out, d_in, double):
    layer = torch.nn.Linear(d_in, d_out, bias=False)
    mine = quant.FourBitLinear(layer, double=double)
    want = quant.quantize(layer.weight, "nf4", double=double)
    assert torch.equal(mine.weight, want.dequantize())
    if d_in == 128:
        assert mine.nbytes * 8 / (d_out * d_in) == pytest.approx(want.bits_per_weight, abs=0.01)


def test_an_adapter_on_it_learns_what_the_layer_lacks():
    layer = torch.nn.Linear(32, 16, bias=False)
    adapted = lora.LoRALinear(quant.FourBitLinear(layer), r=4, alpha=4)
    optimizer = torch.optim.Adam([p for p in adapted.parameters() if p.requires_grad], lr=1e-2)
    x = torch.randn(200, 32, generator=torch.Generator().manual_seed(1))
    losses = []
    for _ in range(100):
        loss = (adapted(x) - layer(x).detach()).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_loftq_starts_nearer_to_w_than_rounding_does():
    W = models.load("pocket")[0].model.layers[0].self_attn.q_proj.weight.detach()
    plain = quant.rounding_error(W).relative
    errors = []
    for steps in (1, 5):
        made, A, B = quant.loftq(W, r=16, steps=steps)
        errors.append(((W - made.dequantize() - B @ A).norm() / W.norm()).item())
    assert errors[1] < errors[0] < plain
    # one step is the best rank 16 of what rounding lost: no other pair comes nearer
    lost = W - quant.quantize(W).dequantize()
    best = torch.linalg.svdvals(lost)[16:].norm() / W.norm()
    assert errors[0] == pytest.approx(best.item(), rel=1e-4)


def start(steps):
    """(the error that it says, each layer's (W − Ŵ − ΔW, W), the model) of a fresh LoRA on int2."""
    exact = models.linears(models.load("pocket")[0])
    model = lora.attach(models.load("pocket")[0], r=4, alpha=16, targets="q,v", seed=0)
    error = quant.start_rounded(model, "int2", steps=steps)
    updates, gaps = lora.deltas(model), []
    for name, layer in lora.adapted_layers(model, ["default"]):
        W = exact[name].weight
        gaps.append((W - layer.get_base_layer().weight - updates[name], W))
    return error, gaps, model


@pytest.fixture(scope="module")
def starts():
    return {steps: start(steps) for steps in (0, 1, 5)}


@pytest.mark.parametrize("steps", [0, 1, 5])
def test_a_model_starts_on_rounded_weights(starts, steps):
    error, gaps, model = starts[steps]
    lost = sum(gap.norm().item() ** 2 for gap, _ in gaps)
    total = sum(W.norm().item() ** 2 for _, W in gaps)
    assert error == pytest.approx((lost / total) ** 0.5, rel=1e-4)
    # the base holds the codes' values: three levels in every block
    (_, layer), *_ = lora.adapted_layers(model, ["default"])
    assert len(layer.get_base_layer().weight.flatten()[: quant.blocks.BLOCK].unique()) <= 3
    # what no adapter stands beside stays exact
    exact = models.load("pocket")[0].model.layers[0].mlp.up_proj.weight
    assert torch.equal(model.base_model.model.model.layers[0].mlp.up_proj.weight, exact)
    assert (lora.describe_start(model) == "untouched adapter") is (steps == 0)


def test_loftq_brings_a_model_nearer_to_its_weights(starts):
    errors = [error for error, *_ in starts.values()]
    assert errors[0] > errors[1] > errors[2]


def test_a_start_that_is_over_is_refused(starts):
    model = starts[1][-1]
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(UserError, match="is trained already, and its start is over"):
        quant.start_rounded(model)
    with pytest.raises(UserError, match="without an adapter"):
        quant.start_rounded(models.load("pocket")[0])
    dora = lora.attach(models.load("pocket")[0], use_dora=True)
    with pytest.raises(UserError, match="'default' is no plain LoRA"):
        quant.start_rounded(dora)
    fresh = lora.attach(models.load("pocket")[0], r=4)
    with pytest.raises(UserError, match="the format is 'nf2'"):
        quant.start_rounded(fresh, "nf2")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match="rank of a LoRA here is a whole number from 1 to 64"):
        quant.loftq(weight(), r=65)
    with pytest.raises(UserError, match="steps is 0"):
        quant.loftq(weight(), steps=0)
    with pytest.raises(UserError, match="only 4-bit codes are packed"):
        quant.FourBitLinear(torch.nn.Linear(8, 8), "int3")
