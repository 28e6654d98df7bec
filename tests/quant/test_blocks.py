"""Quantization: bit for bit as bitsandbytes on a CPU, bits and bytes as predicted, and what is
refused.
"""

import sys

import pytest
import torch

from ftkit import UserError, data, evaluate, lora, models, quant
from ftkit.evaluate import likelihood
from ftkit.quant import blocks, formats

DTYPES = (torch.float32, torch.bfloat16, torch.float16)


@pytest.fixture(scope="module")
def bnb():
    """bitsandbytes; its fallback for odd row lengths would be compiled anew for every shape."""
    with torch.compiler.set_stance("force_eager"):
        yield quant.library()


@pytest.fixture(scope="module")
def pocket():
    return models.load("pocket")


def drawn(seed):
    """A random weight of an odd kind: size, scale, dtype, and by turns zeros, ties at halves, whole
    blocks of zeros, equal values.
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
    """Whether bitsandbytes 0.50 dequantizes W rightly everywhere: with AVX-512 a row of k · 16
    values must be whole blocks.
    """
    return W.shape[0] > 1 and (W.shape[1] % block == 0 or W.shape[1] % 16 != 0)


def assert_equal(bnb, W, format, block, double):
    """Codes, packing and scales to the last bit; the dequantized values too, wherever bitsandbytes'
    own are right.
    """
    ours = quant.quantize(W, format, block, double)
    packed, state = bnb.quantize_4bit(
        W, blocksize=block, quant_type=format, compress_statistics=double
    )
    assert torch.equal(ours.packed, packed.flatten())
    assert torch.equal(formats.unpack(packed, W.numel()).view(W.shape), ours.codes)
    scales = ours.absmax
    if double:
        assert torch.equal(scales.codes, state.absmax)
        assert torch.equal(scales.absmax, state.state2.absmax)
        assert torch.equal(scales.offset, state.offset)
        assert torch.equal(
            scales.restore(), bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
        )
    else:
        assert torch.equal(scales, state.absmax)
    if whole := whole_rows(W, block):
        assert torch.equal(ours.dequantize(), bnb.dequantize_4bit(packed, state))
    return whole


def test_the_levels_are_those_of_bitsandbytes(bnb):
    for format in ("nf4", "fp4"):
        assert torch.equal(quant.levels(format), bnb.get_4bit_type(format, device="cpu"))
    assert torch.equal(formats.dynamic_levels(), bnb.create_dynamic_map())


def test_nf4_levels_hold_equal_shares_of_a_normal_sample():
    """Seven levels below zero, eight above; inside, neighbours are one step of probability apart."""
    table = quant.levels("nf4")
    assert (int((table < 0).sum()), int((table == 0).sum()), int((table > 0).sum())) == (7, 1, 8)
    reach = -torch.special.ndtri(torch.tensor(1 - formats.OFFSET))
    steps = torch.special.ndtr(table * reach).diff()
    torch.testing.assert_close(
        steps[:7], torch.full((7,), (formats.OFFSET - 0.5) / 7), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        steps[7:], torch.full((8,), (formats.OFFSET - 0.5) / 8), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize(("format", "n"), [("int8", 255), ("int4", 15), ("int3", 7), ("int2", 3)])
def test_integer_levels_are_even_and_hold_zero(format, n):
    table = quant.levels(format)
    assert len(table) == n == 2 ** quant.BITS[format] - 1
    assert 0.0 in table and table[0] == -1 and table[-1] == 1
    torch.testing.assert_close(table.diff(), torch.full((n - 1,), 2 / (n - 1)))


@pytest.mark.parametrize("format", ["nf4", "fp4"])
def test_random_weights_come_out_bit_for_bit(bnb, format):
    """126 drawn weights, odd shapes, zeros, ties, three dtypes, five block sizes, with and without
    double quantization.
    """
    compared = sum(
        assert_equal(bnb, drawn(seed), format, (32, 64, 128, 256, 4096)[seed % 5], double)
        for seed in range(126)
        for double in (False, True)
    )
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
    borders = (torch.arange(65_535) + 0.5) / formats.HALF - 1
    scales = torch.cat([torch.rand(400_000, generator=g) ** 4, borders, torch.zeros(300)])
    codes, state = bnb.quantize_blockwise(scales - scales.mean(), blocksize=256)
    ours = blocks.compress(scales)
    assert torch.equal(ours.codes, codes)
    assert torch.equal(ours.absmax, state.absmax)
    middle = blocks.compress(torch.tensor([1.0, 2.0, 3.0]))
    assert formats.dynamic_levels()[middle.codes.long()][1] > 0
    assert torch.equal(
        middle.codes, bnb.quantize_blockwise(torch.tensor([-1.0, 0.0, 1.0]), blocksize=256)[0]
    )


def test_no_value_moves_further_than_half_a_gap_of_its_block():
    """Also in the shapes whose dequantized values bitsandbytes gets wrong: |W − Ŵ| ≤ absmax · half
    the widest gap.
    """
    for shape in ((67, 48), (3, 16), (5, 7), (1, 1), (130,)):
        W = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        for format in quant.BITS:
            q = quant.quantize(W, format, 32)
            bound = (
                blocks.spread(q.absmax, 32, W.numel()).view(shape)
                * quant.levels(format).sort().values.diff().max()
                / 2
            )
            assert ((W - q.dequantize()).abs() <= bound * (1 + 1e-6)).all()


def test_packing_round_trips_and_puts_the_first_code_in_the_high_half():
    assert formats.pack(torch.tensor([1, 2, 15], dtype=torch.uint8)).tolist() == [0x12, 0xF0]
    codes = torch.randint(16, (101,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    assert torch.equal(formats.unpack(formats.pack(codes), 101), codes)
    with pytest.raises(UserError, match="format is int3"):
        _ = quant.quantize(torch.ones(2, 8), "int3", 8).packed


def test_a_block_of_zeros_and_a_largest_value_stay_exact():
    W = torch.zeros(2, 64)
    W[1, 5] = -3.7
    for format in quant.BITS:
        for double in (False, True):
            assert not quant.quantize(W, format, 64, double).dequantize()[0].any()
        assert quant.quantize(W, format, 64).dequantize()[1, 5] == W[1, 5]


def test_bits_are_what_the_codes_and_scales_take():
    assert quant.bits("nf4", 64, double=True) == 4 + 8 / 64 + 32 / (64 * 256)
    assert quant.bits("nf4", 64) == 4.5
    assert round(quant.bits(double=True), 3) == 4.127
    W = torch.randn(128, 256)
    for format in quant.BITS:
        for block in (16, 64, 1024):
            assert quant.quantize(W, format, block).bits == quant.bits(format, block)
    assert quant.quantize(W, "nf4", 64, double=True).bits == quant.bits("nf4", 64, double=True)


def test_bits_are_the_bytes_that_bitsandbytes_holds(pocket):
    from bitsandbytes.nn import Params4bit

    model, _ = models.load("pocket", quant="nf4")
    found = quant.hold(model)
    assert found.parameters == sum(m.weight.numel() for m in models.linears(pocket[0]).values())
    assert found.bits == quant.bits("nf4", 64, double=True)
    layers = len(models.linears(model))
    assert (found.offsets, found.tables) == (4 * layers, 4 * (16 + 256) * layers)
    assert (
        found.total
        == found.codes + found.scales + found.second_scales + found.offsets + found.tables
    )
    plain = torch.nn.Linear(256, 128, bias=False)
    plain.weight = Params4bit(
        plain.weight.detach(), requires_grad=False, quant_type="nf4", compress_statistics=False
    ).to("cpu")
    assert quant.hold(plain).bits == quant.bits("nf4", 64) == 4.5
    with pytest.raises(UserError, match=r"no 4-bit layer.*quant='nf4'"):
        quant.hold(pocket[0])


def test_error_is_relative_and_falls_with_bits_and_with_smaller_blocks():
    W = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    by_format = [quant.error(W, f).relative for f in ("int2", "int3", "int4", "nf4", "int8")]
    assert by_format == sorted(by_format, reverse=True)
    by_block = [quant.error(W, "nf4", b).relative for b in (16, 64, 256, 1024, 65536)]
    assert by_block == sorted(by_block)
    one = quant.error(W, "nf4")
    gap = W - quant.quantize(W).dequantize()
    assert one.relative == pytest.approx((gap.norm() / W.norm()).item())
    assert one.largest == gap.abs().max().item()
    assert quant.error(1000 * W, "nf4").relative == pytest.approx(one.relative, rel=1e-4)
    assert quant.error(torch.zeros(4, 64)).relative == 0.0
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
        assert torch.equal(
            W,
            quant.quantize(
                before[f"base_model.model.{name}.base_layer.weight"], "int2"
            ).dequantize(),
        )
        changed = {n for n, p in adapted.named_parameters() if not torch.equal(p, before[n])}
        assert changed and all(".base_layer." in n for n in changed), (
            "adapters, norms, embeddings and head are left alone"
        )
        raise RuntimeError("on purpose")
    assert all(torch.equal(p, before[n]) for n, p in adapted.named_parameters())


def test_quantized_here_predicts_as_bitsandbytes_does(pocket):
    model, tokenizer = pocket
    rows = data.load("general")["train"].select(range(12))
    real = evaluate.answer_logs(models.load("pocket", quant="nf4")[0], tokenizer, rows)
    whole = evaluate.answer_logs(model, tokenizer, rows)
    with quant.in_format(model, "nf4", 64, double=True):
        ours = evaluate.answer_logs(model, tokenizer, rows)
    torch.testing.assert_close(ours.logs, real.logs, atol=1e-3, rtol=1e-4)
    assert (whole.logs - real.logs).abs().max() > 0.1, (
        "the tolerance above is far below what quantizing does"
    )


def test_gradients_pass_a_four_bit_model_after_an_evaluation():
    model = lora.attach(models.load("pocket", quant="nf4")[0], r=2)
    ids = torch.arange(6, 40)[None]
    with torch.no_grad():
        model.eval()(ids)
    model.train()(ids, labels=ids).loss.backward()
    grads = [p.grad for n, p in model.named_parameters() if "lora_B" in n]
    assert len(grads) == len(models.linears(models.load("pocket")[0]))
    assert all(g.any() for g in grads)
    assert quant.hold(model).bits == quant.bits("nf4", 64, double=True), (
        "the scales are still in 8 bits"
    )


def test_answers_and_their_cost(pocket):
    model, tokenizer = pocket
    rows = data.load("general")["train"].select(range(7))
    found = evaluate.answer_logs(model, tokenizer, rows, batch_size=3)
    assert found.rows.tolist() == sorted(found.rows.tolist())
    assert [int((found.rows == i).sum()) for i in range(7)] == [
        data.answer_tokens(m, tokenizer) for m in rows["messages"]
    ]
    assert tokenizer.decode(found.tokens[found.rows == 6]).startswith(
        rows[6]["messages"][-1]["content"]
    )
    one = tokenizer.apply_chat_template(rows[6]["messages"], tokenize=False)
    ids = tokenizer(one, add_special_tokens=False, return_tensors="pt")["input_ids"]
    alone = model(ids).logits.detach().log_softmax(-1)[0]
    n = int((found.rows == 6).sum())
    torch.testing.assert_close(
        found.logs[found.rows == 6], alone[-n - 1 : -1], atol=1e-4, rtol=1e-4
    )
    same = evaluate.cost(found, found)
    assert (same.kl, same.agreement) == (0.0, 1.0)
    uniform = likelihood.Answers(
        torch.full_like(found.logs, -(torch.tensor(float(found.logs.shape[1])).log())),
        found.tokens,
        found.rows,
    )
    flat = evaluate.cost(found, uniform)
    assert flat.loss == pytest.approx(torch.tensor(1280.0).log().item(), rel=1e-5)
    assert flat.kl > 4 and flat.agreement < 0.5
    assert len(found.kl(uniform)) == 7


@pytest.mark.parametrize(
    ("format", "hint"),
    [("nf5", "Did you mean 'nf4'"), ("nf44", "Did you mean 'nf4'"), ("INT4", "one of nf4, fp4")],
)
def test_an_unknown_format(format, hint):
    for call in (
        lambda: quant.quantize(torch.ones(2, 64), format),
        lambda: quant.bits(format),
        lambda: quant.levels(format),
    ):
        with pytest.raises(UserError, match=f"format is '{format}'.*{hint}"):
            call()


@pytest.mark.parametrize("block", [0, -64, 48, 4, 1 << 21, 64.0, True, "64"])
def test_a_block_that_is_no_power_of_two_or_out_of_range(block):
    for call in (
        lambda: quant.quantize(torch.ones(2, 64), "nf4", block),
        lambda: quant.bits("nf4", block),
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


def test_without_bitsandbytes_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match=r"could not be imported.*pip install"):
        quant.library()


def test_without_its_compiled_kernels_too(monkeypatch):
    from bitsandbytes import cextension

    monkeypatch.setattr(
        cextension, "lib", cextension.ErrorHandlerMockBNBNativeLibrary("no library")
    )
    with pytest.raises(UserError, match="without its compiled CPU kernels"):
        quant.library()


def test_records_read_as_tables():
    q = quant.quantize(torch.ones(2, 64), double=True)
    assert "2 × 64" in str(q) and "in 8 bits" in str(q) and "second scales" in str(q.absmax)
    assert "KL from before" in str(likelihood.Cost(0.1, 0.2, 0.3))
