"""Dropout: its share, its scale, its randomness."""

import math

import pytest
import torch

from core.model.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.25, 0.5, 0.9])
def test_the_share_and_the_scale(p):
    torch.manual_seed(0)
    x = torch.ones(1_000, 1_003)
    y = Dropout(p)(x)
    dropped = (y == 0).float().mean().item()
    assert dropped == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / x.numel()))
    kept = y[y != 0]
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)), rtol=1e-4)
    assert y.mean().item() == pytest.approx(1, abs=0.01)


def test_elements_fall_independently():
    """Four of them come from one draw: neighbours, rows and draws are not correlated."""
    torch.manual_seed(0)
    mask = Dropout(0.5).keep(torch.Size([400_000])).float() - 0.5
    for shift in (1, 2, 3, 4, 5, 8, 64):
        assert abs((mask[shift:] * mask[:-shift]).mean().item() * 4) < 5 / math.sqrt(len(mask))
    for place in range(4):
        assert abs(mask[place::4].mean().item() * 2) < 5 / math.sqrt(len(mask) / 4)


def test_the_gradient_flows_where_the_value_did():
    torch.manual_seed(0)
    x = torch.randn(64, 65, requires_grad=True)
    y = Dropout(0.3)(x)
    y.sum().backward()
    assert torch.equal(x.grad == 0, y == 0)


def test_evaluation_and_none_change_nothing():
    x = torch.randn(5, 7)
    assert Dropout(0.5).eval()(x) is x
    assert Dropout(0.0)(x) is x


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 3, 7), (0, 4)])
def test_any_shape_and_type(shape):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        y = Dropout(0.5)(torch.ones(shape, dtype=dtype))
        assert y.shape == shape and y.dtype == dtype


def test_the_seed_decides():
    def draw(seed):
        torch.manual_seed(seed)
        return Dropout(0.5)(torch.ones(1_000))

    assert torch.equal(draw(1), draw(1)) and not torch.equal(draw(1), draw(2))
