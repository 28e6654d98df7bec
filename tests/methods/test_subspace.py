"""A subspace moves every weight by z alone, in steps as long as z's; d90 is read off scores."""

import pytest
import torch

from ftkit import UserError, methods


def small():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 3))


def test_it_starts_as_the_model_and_trains_z_alone():
    model, x = small(), torch.randn(4, 6)
    want = model(x)
    sub = methods.Subspace(model, 10)
    assert torch.equal(sub(x), want)
    assert [n for n, p in sub.named_parameters() if p.requires_grad] == ["z"]
    before = sub(x).pow(2).mean()
    optimizer = torch.optim.Adam([sub.z], lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        sub(x).pow(2).mean().backward()
        optimizer.step()
    assert sub(x).pow(2).mean() < before / 2
    after = sub(x)
    assert torch.allclose(sub.written()(x), after)


def test_a_step_in_z_is_as_long_in_the_weights():
    sub = methods.Subspace(torch.nn.Linear(400, 250), 50, seed=3)
    sub.z.data = torch.randn(50)
    moved = [w - sub.start[name] for name, w in sub.weights().items()]
    length = sum(m.detach().pow(2).sum() for m in moved).sqrt().item()
    assert length == pytest.approx(sub.z.norm().item(), rel=0.02)
    same = methods.Subspace(torch.nn.Linear(400, 250), 50, seed=3)
    assert all(torch.equal(sub.of[name], same.of[name]) for name in sub.of)


def test_directions_that_cannot_be_are_refused():
    for d in (0, 76 + 8, 2.5):
        with pytest.raises(UserError, match="directions from 1 to 83"):
            methods.Subspace(small(), d)


def test_d90():
    points = [(10, 0.1), (100, 0.95), (30, 0.88), (50, 0.9)]
    assert methods.smallest_enough(points, full=1.0) == 50
    assert methods.smallest_enough(points, full=1.1) is None
