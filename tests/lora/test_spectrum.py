"""The mathematics of one matrix, against numpy and against matrices whose answer is known."""

import numpy as np
import pytest
import torch

from ftkit import UserError
from ftkit.lora import spectrum


def planted(values, d_out=12, d_in=20, seed=0):
    """A matrix with the given singular values in random directions."""
    generator = torch.Generator().manual_seed(seed)
    U, _ = torch.linalg.qr(torch.randn(d_out, len(values), generator=generator))
    V, _ = torch.linalg.qr(torch.randn(d_in, len(values), generator=generator))
    return (U * torch.tensor(values)) @ V.T


def test_a_spectrum_is_numpys():
    W = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    s = spectrum.svd(W)
    np.testing.assert_allclose(s.S.numpy(), np.linalg.svd(W.numpy(), compute_uv=False), rtol=1e-5)
    assert s.shape == (7, 5)
    torch.testing.assert_close(s.truncate(5), W)


def test_energy_error_and_rank_of_known_values():
    s = spectrum.svd(planted([4.0, 2.0, 1.0]))
    np.testing.assert_allclose(s.energy[:4], [0, 16 / 21, 20 / 21, 1], atol=1e-6)
    assert [s.rank(x) for x in (0.5, 0.9, 0.96)] == [1, 2, 3]
    assert s.error(1) == pytest.approx((5 / 21) ** 0.5, abs=1e-6)
    assert s.error(12) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("r", [0, 1, 3, 6])
def test_the_error_is_the_norm_of_what_is_left_and_no_rank_r_matrix_does_better(r):
    W = torch.randn(9, 6, generator=torch.Generator().manual_seed(2))
    s = spectrum.svd(W)
    left = (W - s.truncate(r)).norm() / W.norm()
    assert s.error(r) == pytest.approx(left.item(), abs=1e-5)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        other = s.truncate(r) + 1e-2 * torch.randn(9, r, generator=generator) @ torch.randn(
            r, 6, generator=generator
        )
        if torch.linalg.matrix_rank(other) <= r:
            assert (W - other).norm() >= (W - s.truncate(r)).norm() - 1e-5


def test_rescaling_touches_the_named_directions_only():
    W = planted([3.0, 2.0, 1.0])
    s = spectrum.svd(W)
    torch.testing.assert_close(s.rescale([1], 1.0), W)
    again = spectrum.svd(s.rescale([0], 0.5)).S[:3]
    torch.testing.assert_close(again, torch.tensor([2.0, 1.5, 1.0]))


def test_a_random_matrix_has_the_shape_and_the_norm():
    W = planted([3.0, 2.0])
    noise = spectrum.random_like(W)
    assert noise.shape == W.shape
    assert noise.norm().item() == pytest.approx(W.norm().item(), rel=1e-5)
    assert torch.equal(noise, spectrum.random_like(W))
    assert spectrum.svd(noise).rank(0.9) > spectrum.svd(W).rank(0.9)


def test_overlap_of_spaces_with_a_known_angle():
    a, b = (
        spectrum.svd(torch.diag(torch.tensor([4.0, 3, 2, 1]))),
        spectrum.svd(torch.diag(torch.tensor([3.0, 4, 2, 1]))),
    )
    phi = spectrum.overlap(a, b)
    assert phi[0, 0].item() == pytest.approx(0, abs=1e-6)  # e1 against e2
    assert phi[0, 1].item() == pytest.approx(1, abs=1e-6)  # e1 lies in the span of e1, e2
    assert phi[1, 1].item() == pytest.approx(1, abs=1e-6)
    torch.testing.assert_close(spectrum.overlap(b, a), phi.T)
    W = torch.randn(30, 300, generator=torch.Generator().manual_seed(3))
    other = torch.randn(30, 300, generator=torch.Generator().manual_seed(4))
    chance = spectrum.overlap(spectrum.svd(W), spectrum.svd(other))
    assert chance[19, 19].item() == pytest.approx(20 / 300, rel=0.3)
    assert spectrum.overlap(spectrum.svd(W), spectrum.svd(other), "left")[
        29, 29
    ].item() == pytest.approx(1, abs=1e-4)


def test_amplification_of_a_planted_update():
    W, hidden = planted([10.0, 5.0, 0.5], 12, 12), planted([10.0, 5.0, 0.5], 12, 12)
    s = spectrum.svd(W)
    delta = 3.0 * torch.outer(s.U[:, 2], s.Vh[2])  # amplifies the direction that W has at 0.5
    found = spectrum.amplification(spectrum.svd(hidden), spectrum.svd(delta), 1)
    assert found.W_in_delta == pytest.approx(0.5, rel=1e-4)
    assert found.W_in_W == pytest.approx(10, rel=1e-4)
    assert found.delta == pytest.approx(3, rel=1e-4)
    assert found.factor == pytest.approx(6, rel=1e-4)
    assert found.W_in_random < found.W_in_W


def test_a_planted_intruder_is_found_and_nothing_else():
    W = torch.diag(torch.tensor([5.0, 4, 3, 2, 0, 0]))[:, :4]
    before = spectrum.svd(W)
    assert spectrum.intruders(before, spectrum.svd(1.1 * W), k=4) == []
    new = torch.zeros(6, 4)
    new[5, 3] = 10.0  # an output direction that W does not have
    assert spectrum.intruders(before, spectrum.svd(W + new), k=4) == [0]


def test_ranks_by_kind_of_matrix():
    spectra = {
        f"layers.{i}.q_proj": spectrum.svd(planted([4.0, 2.0, 1.0], seed=i)) for i in range(3)
    }
    found = spectrum.ranks(spectra)
    assert found.ranks == {"q_proj": [(1, 2, 3)] * 3}
    assert found.median(0.5) == pytest.approx(1 / 12)
    assert "share of the full rank" in str(found)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: spectrum.svd(torch.ones(3)), "needs a matrix"),
        (
            lambda s: spectrum.svd(torch.tensor([[1.0, float("nan")]]), "v_proj"),
            "v_proj holds 1 values that are NaN or infinite, of 2",
        ),
        (lambda s: spectrum.svd(torch.tensor([[float("inf"), 1.0]])), "NaN or infinite"),
        (
            lambda s: s.truncate(13),
            "r is 13; for a 12 × 20 matrix give a whole number from 0 to 12",
        ),
        (lambda s: s.error(-1), "r is -1"),
        (lambda s: s.error(1.5), "r is 1.5"),
        (lambda s: s.error(True), "r is True"),
        (lambda s: s.rank(0), "share of energy is 0"),
        (lambda s: s.rank(1.2), "share of energy is 1.2"),
        (lambda s: spectrum.overlap(s, s, "top"), "side is 'top'"),
        (lambda s: spectrum.overlap(s, spectrum.svd(torch.eye(3))), "20 and 3 coordinates"),
        (
            lambda s: spectrum.amplification(s, spectrum.svd(torch.eye(3)), 1),
            "both must be of one layer",
        ),
        (lambda s: spectrum.intruders(s, spectrum.svd(torch.eye(3))), "compare one layer"),
    ],
)
def test_mistakes_are_one_sentence(call, message):
    with pytest.raises(UserError, match=message):
        call(spectrum.svd(planted([3.0, 1.0])))


def test_the_zero_matrix_has_rank_nothing():
    s = spectrum.svd(torch.zeros(3, 4))
    assert (s.rank(0.9), s.error(0)) == (0, 0.0)
