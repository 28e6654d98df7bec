"""Quantization: bit for bit as bitsandbytes on a CPU; its bits, its error, what is refused."""

import pytest
import torch

from ftkit import UserError, data, evaluate, lora, models, quant
from ftkit.quant import blocks, formats

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def drawn(seed):
    """A random weight of an odd kind: size, scale and dtype are drawn.

    By turns it has zeros, ties at halves, whole blocks of zeros, equal values, columns that stand
    out.
    """
    g = torch.Generator().manual_seed(seed)
    d_out, d_in = torch.randint(1, 200, (2,), generator=g).tolist()
    W = torch.randn(d_out, d_in, generator=g)
    kind = seed % 6
    if kind == 1:
        W[torch.rand(W.shape, generator=g) < 0.3] = 0
    elif kind == 2:
        W = (2 * W).round() / 2
    elif kind == 3:
        W[: (d_out + 1) // 2] = 0
    elif kind == 4:
        W = torch.full_like(W, -0.25)
    elif kind == 5:
        W[:, ::7] *= 30
    return (W * 10 ** float(torch.randn(1, generator=g))).to(DTYPES[seed % 3])


def whole_rows(W, block):
    """Whether bitsandbytes 0.50 dequantizes W rightly everywhere.

    With AVX-512 a row of k · 16 values must be whole blocks.
    """
    return W.shape[0] > 1 and (W.shape[1] % block == 0 or W.shape[1] % 16 != 0)


def assert_equal(bnb, W, format, block, *, double):
    """Codes and scales equal bitsandbytes' to the last bit, packed and unpacked.

    The dequantized values too, wherever bitsandbytes' own are right; returns whether they are.
    """
    ours = quant.quantize(W, format, block, double=double)
    options = {"blocksize": block, "quant_type": format, "compress_statistics": double}
    packed, state = bnb.quantize_4bit(W, **options)
    assert torch.equal(ours.packed, packed.flatten())
    halves = torch.stack([packed.flatten() >> 4, packed.flatten() & 15], 1)
    assert torch.equal(halves.flatten()[: W.numel()], ours.codes.flatten())
    scales = ours.absmax
    if double:
        assert torch.equal(scales.codes, state.absmax)
        assert torch.equal(scales.absmax, state.state2.absmax)
        assert torch.equal(scales.offset, state.offset)
        theirs = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
        assert torch.equal(scales.restore(), theirs)
    else:
        assert torch.equal(scales, state.absmax)
    if whole := whole_rows(W, block):
        assert torch.equal(ours.dequantize(), bnb.dequantize_4bit(packed, state))
    return whole


@pytest.mark.parametrize("format", ["nf4", "fp4"])
def test_random_weights_come_out_bit_for_bit(bnb, format):
    """126 drawn weights: odd shapes, zeros, ties, three dtypes, five block sizes, one or two
    quantizations.
    """
    compared = 0
    for seed in range(126):
        block = (32, 64, 128, 256, 4096)[seed % 5]
        for double in (False, True):
            compared += assert_equal(bnb, drawn(seed), format, block, double=double)
    assert compared > 200, "most of them in their dequantized values too"


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_pocket_models_weights_come_out_bit_for_bit(bnb, pocket, dtype):
    for layer in models.linears(pocket[0]).values():
        for format in ("nf4", "fp4"):
            assert assert_equal(bnb, layer.weight.detach().to(dtype), format, 64, double=True)


def test_exact_ties_and_the_ends(bnb):
    """Every level, every half-way point between two of them and its neighbours in float32, in
    blocks whose largest value is one.
    """
    for format in ("nf4", "fp4"):
        table = quant.levels(format).unique()
        middles = (table[:-1] + table[1:]) / 2
        up, down = (torch.nextafter(middles, torch.tensor(end)) for end in (2.0, -2.0))
        values = torch.cat([table, middles, up, down])
        for part in values.split(31):
            W = torch.nn.functional.pad(part, (0, 32 - len(part)), value=1.0).repeat(2, 1)
            assert assert_equal(bnb, W, format, 32, double=False)


def test_scales_take_the_level_that_the_kernel_looks_up(bnb):
    """Half a million scales, those at the grid's own borders among them, and an exact zero, which
    becomes a level just above it.
    """
    g = torch.Generator().manual_seed(0)
    borders = (torch.arange(65_535) + 0.5) / formats.HALF_GRID - 1
    scales = torch.cat([torch.rand(400_000, generator=g) ** 4, borders, torch.zeros(300)])
    codes, state = bnb.quantize_blockwise(scales - scales.mean(), blocksize=256)
    ours = blocks.quantize_scales(scales)
    assert torch.equal(ours.codes, codes)
    assert torch.equal(ours.absmax, state.absmax)
    three = blocks.quantize_scales(torch.tensor([1.0, 2.0, 3.0]))
    assert formats.dynamic_levels()[three.codes.long()][1] > 0
    codes, _ = bnb.quantize_blockwise(torch.tensor([-1.0, 0.0, 1.0]), blocksize=256)
    assert torch.equal(three.codes, codes)


def test_no_value_moves_further_than_half_a_gap_of_its_block():
    """Also in the shapes whose dequantized values bitsandbytes gets wrong: |W − Ŵ| ≤ absmax · half
    the widest gap.
    """
    for shape in ((67, 48), (3, 16), (5, 7), (1, 1), (130,)):
        W = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        for format in quant.BITS:
            q = quant.quantize(W, format, 32)
            absmax = blocks.repeat_scales(q.absmax, 32, W.numel()).view(shape)
            bound = absmax * quant.levels(format).sort().values.diff().max() / 2
            assert ((W - q.dequantize()).abs() <= bound * (1 + 1e-6)).all()


def test_only_codes_of_four_bits_are_packed():
    with pytest.raises(UserError, match="format is int3"):
        _ = quant.quantize(torch.ones(2, 8), "int3", 8).packed


def test_a_block_of_zeros_and_a_largest_value_stay_exact():
    W = torch.zeros(2, 64)
    W[1, 5] = -3.7
    for format in quant.BITS:
        for double in (False, True):
            assert not quant.quantize(W, format, 64, double=double).dequantize()[0].any()
        assert quant.quantize(W, format, 64).dequantize()[1, 5] == W[1, 5]


def test_bits_are_what_the_codes_and_scales_take():
    assert quant.bits_per_weight("nf4", 64, double=True) == 4 + 8 / 64 + 32 / (64 * 256)
    assert quant.bits_per_weight("nf4", 64) == 4.5
    assert round(quant.bits_per_weight(double=True), 3) == 4.127
    W = torch.randn(128, 256)
    for format in quant.BITS:
        for block in (16, 64, 1024):
            taken = quant.quantize(W, format, block).bits_per_weight
            assert taken == quant.bits_per_weight(format, block)
    double = quant.quantize(W, "nf4", 64, double=True)
    assert double.bits_per_weight == quant.bits_per_weight("nf4", 64, double=True)


def test_error_is_relative_and_falls_with_bits_and_with_smaller_blocks():
    W = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    rising = ("int2", "int3", "int4", "nf4", "int8")
    by_format = [quant.rounding_error(W, format).relative for format in rising]
    assert by_format == sorted(by_format, reverse=True)
    sizes = (16, 64, 256, 1024, 65536)
    by_block = [quant.rounding_error(W, "nf4", block).relative for block in sizes]
    assert by_block == sorted(by_block)
    one = quant.rounding_error(W, "nf4")
    gap = W - quant.quantize(W).dequantize()
    assert one.relative == pytest.approx((gap.norm() / W.norm()).item())
    assert one.largest == gap.abs().max().item()
    assert quant.rounding_error(1000 * W).relative == pytest.approx(one.relative, rel=1e-4)
    assert quant.rounding_error(torch.zeros(4, 64)).relative == 0.0
    assert "nf4, block 64" in str(one)


def test_a_quantized_model_is_the_same_model_again_after_the_block():
    model, _ = models.load("pocket")
    adapted = lora.attach(model, r=2)
    before = {n: p.detach().clone() for n, p in adapted.named_parameters()}
    name = "model.layers.1.mlp.up_proj"
    W = model.get_submodule(name).base_layer.weight
    with (
        pytest.raises(RuntimeError, match="on purpose"),
        quant.in_format(adapted, "int2", 64) as same,
    ):
        assert same is adapted
        old = before[f"base_model.model.{name}.base_layer.weight"]
        assert torch.equal(W, quant.quantize(old, "int2").dequantize())
        changed = {n for n, p in adapted.named_parameters() if not torch.equal(p, before[n])}
        assert changed
        assert all(".base_layer." in n for n in changed), "adapters, norms and head are left alone"
        raise RuntimeError("on purpose")
    assert all(torch.equal(p, before[n]) for n, p in adapted.named_parameters())


def test_quantized_here_predicts_as_bitsandbytes_does(pocket):
    model, tokenizer = pocket
    rows = data.load("general")["train"].select(range(12))
    real = evaluate.answer_log_probs(models.load("pocket", quant="nf4")[0], tokenizer, rows)
    whole = evaluate.answer_log_probs(model, tokenizer, rows)
    with quant.in_format(model, "nf4", 64, double=True):
        ours = evaluate.answer_log_probs(model, tokenizer, rows)
    torch.testing.assert_close(ours.log_p, real.log_p, atol=1e-3, rtol=1e-4)
    moved = (whole.log_p - real.log_p).abs().max()
    assert moved > 0.1, "the tolerance above is far below what quantizing does"


@pytest.mark.parametrize("block", [0, -64, 48, 4, 1 << 21, 64.0, True, "64"])
def test_a_block_that_is_no_power_of_two_or_out_of_range(block):
    for call in (
        lambda: quant.quantize(torch.ones(2, 64), "nf4", block),
        lambda: quant.bits_per_weight("nf4", block),
    ):
        with pytest.raises(UserError, match=r"block is .*power of two from 8 to 1,048,576"):
            call()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_weight_that_is_not_finite_is_refused_and_nothing_is_changed(value):
    model, _ = models.load("pocket")
    name = "model.layers.3.mlp.down_proj"
    first = next(iter(models.linears(model).values())).weight
    before = first.detach().clone()
    with torch.no_grad():
        model.get_submodule(name).weight[0, :2] = value
    with (
        pytest.raises(UserError, match=rf"{name} holds 2 values that are NaN or infinite"),
        quant.in_format(model, "nf4"),
    ):
        pass
    assert torch.equal(first, before)


def test_packed_and_empty_weights_are_refused():
    with pytest.raises(UserError, match="holds uint8, so it is packed already"):
        quant.quantize(torch.zeros(8, 1, dtype=torch.uint8))
    with pytest.raises(UserError, match=r"shape \(0, 4\)"):
        quant.quantize(torch.zeros(0, 4))
    model, _ = models.load("pocket", quant="nf4")
    with (
        pytest.raises(UserError, match=r"q_proj holds uint8.*without quant"),
        quant.in_format(model),
    ):
        pass


def test_results_read_as_tables():
    q = quant.quantize(torch.ones(2, 64), double=True)
    assert "2 × 64" in str(q)
    assert "in 8 bits" in str(q)
    assert "second scales" in str(q.absmax)
