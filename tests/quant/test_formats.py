"""Levels and codes: those of bitsandbytes where it has them, and what a format must hold."""

import pytest
import torch

from ftkit import UserError, quant
from ftkit.quant import formats


def test_the_levels_are_those_of_bitsandbytes(bnb):
    for format in ("nf4", "fp4"):
        assert torch.equal(quant.levels(format), bnb.get_4bit_type(format, device="cpu"))
    assert torch.equal(formats.dynamic_levels(), bnb.create_dynamic_map())


def test_nf4_levels_hold_equal_shares_of_a_normal_sample():
    """Seven levels below zero, eight above; inside, neighbours are equal probabilities apart."""
    table = quant.levels("nf4")
    assert (int((table < 0).sum()), int((table == 0).sum()), int((table > 0).sum())) == (7, 1, 8)
    reach = -torch.special.ndtri(torch.tensor(1 - formats.OUTERMOST))
    steps = torch.special.ndtr(table * reach).diff()
    below = torch.full((7,), (formats.OUTERMOST - 0.5) / 7)
    above = torch.full((8,), (formats.OUTERMOST - 0.5) / 8)
    torch.testing.assert_close(steps[:7], below, atol=1e-5, rtol=0)
    torch.testing.assert_close(steps[7:], above, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("format", "n"), [("int8", 255), ("int4", 15), ("int3", 7), ("int2", 3)])
def test_integer_levels_are_even_and_hold_zero(format, n):
    table = quant.levels(format)
    assert len(table) == n == 2 ** quant.BITS[format] - 1
    assert 0.0 in table and table[0] == -1 and table[-1] == 1
    torch.testing.assert_close(table.diff(), torch.full((n - 1,), 2 / (n - 1)))


def test_packing_puts_the_first_code_in_the_high_half():
    assert formats.pack(torch.tensor([1, 2, 15], dtype=torch.uint8)).tolist() == [0x12, 0xF0]
    codes = torch.randint(16, (101,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    packed = formats.pack(codes)
    assert torch.equal(packed >> 4, codes[::2])
    assert torch.equal((packed & 15)[:-1], codes[1::2])


@pytest.mark.parametrize(
    ("format", "hint"),
    [("nf5", "Did you mean 'nf4'"), ("nf44", "Did you mean 'nf4'"), ("INT4", "one of nf4, fp4")],
)
def test_an_unknown_format(format, hint):
    for call in (
        lambda: quant.quantize(torch.ones(2, 64), format),
        lambda: quant.bits_per_weight(format),
        lambda: quant.levels(format),
    ):
        with pytest.raises(UserError, match=f"format is '{format}'.*{hint}"):
            call()
