"""A weight in a format, counted: every weight once, on the level that it takes."""

import torch

from ftkit import quant


def test_every_weight_is_counted_once():
    W = torch.randn(128, 64, generator=torch.Generator().manual_seed(0))
    for format in quant.BITS:
        seen = quant.inspect_weight(W, format, 64)
        assert sum(seen.taken) == sum(seen.counts) == W.numel()
        back = quant.quantize(W, format, 64)
        levels = quant.levels(format)[back.codes.long()]
        assert seen.taken == [int((levels == level).sum()) for level in seen.levels]
        assert seen.levels_in_use == len(levels.unique())
        assert seen.error == quant.rounding_error(W, format, 64)
        assert seen.bits_per_weight == quant.bits_per_weight(format, 64)
        assert f"{seen.levels_in_use} of {len(seen.levels)}" in str(seen)
