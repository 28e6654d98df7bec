"""Rows that were only stretched have a length, rows that were only turned a direction."""

import pytest
import torch

from ftkit import UserError, lora, methods, models
from ftkit.methods.directions import rows_moved


def test_length_and_direction_are_told_apart():
    W = torch.tensor([[3.0, 4.0], [0.0, 2.0]])
    turned = torch.tensor([[-4.0, 3.0], [2.0, 0.0]])  # a right angle, of the same length
    stretched, other = rows_moved({"a": 0.5 * W, "b": turned - W}, {"a": W, "b": W})
    assert (stretched.length, stretched.direction) == pytest.approx((0.5, 0.0), abs=1e-6)
    assert (other.length, other.direction) == pytest.approx((0.0, 1.0), abs=1e-6)


def test_of_a_model_with_an_adapter():
    base, _ = models.load("pocket")
    tuned = lora.attach(models.load("pocket")[0], r=2, alpha=4, targets="q,v", seed=0)
    for name, parameter in tuned.named_parameters():
        if ".lora_B." in name:
            parameter.data += 0.1 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(1)
            )
    found = methods.moved(tuned, base)
    assert len(found) == 8 and all(one.length > 0 and one.direction > 0 for one in found)
    assert -1 <= methods.correlation(found) <= 1
    with pytest.raises(UserError, match="2 layers moved"):
        methods.correlation(found[:2])
