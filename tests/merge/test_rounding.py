"""Rounding: what a dtype costs a merge, and what a format leaves of an update."""

import pytest
import torch

from ftkit import UserError, merge, quant
from ftkit.merge import rounding


def test_a_dtype_costs_what_it_costs_merged_or_not(tuned):
    before = {name: p.detach().clone() for name, p in tuned.named_parameters()}
    reports = merge.compare_dtypes(tuned).reports
    assert list(reports) == ["float32", "bfloat16", "float16"]
    assert reports["float32"]["adapter"].max_logit_gap == 0
    for way in ("cast, merged", "merged, cast"):
        gap = {dtype: ways[way].max_logit_gap for dtype, ways in reports.items()}
        assert gap["float32"] < 1e-4 < gap["float16"] < gap["bfloat16"]
    assert all(torch.equal(p, before[name]) for name, p in tuned.named_parameters())
    assert "bfloat16" in merge.compare_dtypes(tuned, dtypes=["bfloat16"])._repr_html_()
    with pytest.raises(UserError, match=r"dtype is 'bfloat6'.*Did you mean 'bfloat16'\?"):
        merge.compare_dtypes(tuned, dtypes=["bfloat6"])


@pytest.fixture(scope="module")
def matrices():
    """W, and a ΔW of 3 % of its size."""
    g = torch.Generator().manual_seed(0)
    return torch.randn(128, 256, generator=g), 0.03 * torch.randn(128, 256, generator=g)


def test_an_update_arrives_whole_in_float32(matrices):
    exact = merge.round_update(*matrices, "float32")
    assert exact.kept == pytest.approx(1, abs=1e-4)
    assert exact.error < 1e-4
    assert exact.size == pytest.approx(0.03, rel=0.02)


def test_a_w_on_the_levels_holds_a_small_update_back(matrices):
    W, delta = matrices
    on_levels = quant.quantize(W, "nf4").dequantize()
    stuck = merge.round_update(on_levels, delta, "nf4")
    between = merge.round_update(W, delta, "nf4")
    assert stuck.kept < 0.3 and 0.9 < between.kept < 1.1
    assert between.error > 1, "on average right, and noisy"
    assert merge.round_update(on_levels, 10 * delta, "nf4").kept > 0.9
    nothing = merge.round_update(on_levels, 1e-6 * delta, "nf4")
    assert nothing.kept == pytest.approx(0, abs=0.05)
    assert "update kept" in str(nothing)
    rounded = quant.quantize(on_levels + delta, "nf4").dequantize()
    assert torch.equal(stuck.arrived, rounded - rounding.round_to(on_levels, "nf4"))


def test_an_unknown_format_is_named():
    with pytest.raises(UserError, match=r"'nf5'.*Did you mean 'nf4'\?"):
        rounding.round_to(torch.ones(2, 2), "nf5")
