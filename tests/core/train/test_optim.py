"""Schedules against their formulas, Muon against PyTorch's, AdamW's groups."""

import math

import pytest
import torch

from core.config import ModelConfig, OptimConfig
from core.model import build_model
from core.train import optim
from core.train.optim import Muon, make_optimizers, orthogonalise
from core.train.schedule import learning_rate_factor


def test_every_schedule_warms_up_to_its_peak():
    for schedule in ("cosine", "wsd", "inverse_sqrt", "linear", "constant"):
        config = OptimConfig(schedule=schedule, warmup_steps=10)
        assert [learning_rate_factor(s, 100, config) for s in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])


def test_warm_up_stable_decay():
    config = OptimConfig(schedule="wsd", warmup_steps=10, min_lr_ratio=0.1, decay_fraction=0.25)
    factors = [learning_rate_factor(step, 200, config) for step in range(201)]
    assert factors[9:151] == [1.0] * 142  # the last quarter begins at step 150
    assert factors[175] == pytest.approx(0.1 + 0.9 * 0.5) and factors[200] == pytest.approx(0.1)
    longer = [learning_rate_factor(step, 400, config) for step in range(150)]
    assert longer == factors[:150]  # what was trained before the decay is the same of a longer run
    short = OptimConfig(schedule="wsd", warmup_steps=10, decay_fraction=1.0)
    assert learning_rate_factor(9, 20, short) == 1.0 and learning_rate_factor(20, 20, short) == pytest.approx(0.1)


def test_schedules_end_where_they_should():
    at = {s: OptimConfig(schedule=s, warmup_steps=10, min_lr_ratio=0.1) for s in ("cosine", "linear", "inverse_sqrt")}
    assert learning_rate_factor(110, 110, at["cosine"]) == pytest.approx(0.1)
    assert learning_rate_factor(60, 110, at["cosine"]) == pytest.approx(0.55)
    assert learning_rate_factor(35, 110, at["linear"]) == pytest.approx(0.1 + 0.9 * 0.75)
    assert learning_rate_factor(39, 110, at["inverse_sqrt"]) == pytest.approx(math.sqrt(10 / 40))
    assert learning_rate_factor(0, 5, OptimConfig(warmup_steps=0)) == pytest.approx(1.0)
    for config in at.values():
        factors = [learning_rate_factor(s, 110, config) for s in range(9, 110)]
        assert all(a >= b for a, b in zip(factors, factors[1:]))


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 8, 40), (1, 40, 8), (2, 144, 160)])
def test_orthogonalise_keeps_directions_and_levels_sizes(shape, bfloat16, monkeypatch):
    """Matrices large and small, in the precision of a machine with bfloat16 units and of one without."""
    monkeypatch.setattr(optim, "has_bfloat16_units", lambda device: bfloat16)
    torch.manual_seed(0)
    x = torch.randn(shape)
    u, _, v = torch.linalg.svd(x, full_matrices=False)
    y = orthogonalise(x)
    sizes = torch.linalg.svdvals(y)
    assert y.dtype == torch.float32
    assert torch.linalg.svdvals(y)[:, : min(shape[1:]) * 9 // 10].min() > 0.3  # the very smallest are left behind
    assert sizes.max() < 1.3
    core = u.mT @ y @ v.mT  # diagonal if the singular vectors are the same
    torch.testing.assert_close(
        core, torch.diag_embed(core.diagonal(dim1=-2, dim2=-1)), atol=6e-2 if bfloat16 else 1e-4, rtol=0
    )
    exact = u @ v
    cosine = (y * exact).sum((-2, -1)) / (y.norm(dim=(-2, -1)) * exact.norm(dim=(-2, -1)))
    assert cosine.min() > 0.95


def test_muon_follows_pytorchs_muon():
    """PyTorch's orthogonalises in bfloat16, so the paths agree to its precision."""
    torch.manual_seed(0)
    ours, theirs = torch.nn.Parameter(torch.randn(24, 16)), torch.nn.Parameter(torch.zeros(24, 16))
    theirs.data.copy_(ours.data)
    start = ours.data.clone()
    a = Muon([("x.weight", ours)], lr=0.02, weight_decay=0.1)
    b = torch.optim.Muon([theirs], lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True)
    for _ in range(10):
        gradient = torch.randn(24, 16)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        a.step()
        b.step()
    moved = (ours - start).norm()
    assert (ours - theirs).norm() < 0.03 * moved


def test_stacked_matrices_are_orthogonalised_one_by_one():
    torch.manual_seed(0)
    qkv = torch.nn.Parameter(torch.randn(24, 8))
    parts = [torch.nn.Parameter(qkv.data[i : i + 8].clone()) for i in (0, 8, 16)]
    gradient = torch.randn(24, 8) * torch.tensor([1.0] * 8 + [100.0] * 8 + [0.01] * 8)[:, None]
    qkv.grad = gradient
    Muon([("layers.0.attention.qkv.weight", qkv)], lr=0.1).step()
    for i, part in enumerate(parts):
        part.grad = gradient[8 * i : 8 * i + 8]
    Muon([(f"p{i}", part) for i, part in enumerate(parts)], lr=0.1).step()
    torch.testing.assert_close(qkv.data, torch.cat([p.data for p in parts]))


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("family", ["gpt", "llama", "transformer"])
def test_every_parameter_belongs_to_one_group(family, optimizer):
    model = build_model(
        ModelConfig(
            family=family, vocab_size=50, d_model=16, n_layers=1, n_heads=2, max_seq_len=8, tie_embeddings=False
        )
    )
    optimizers = make_optimizers(model, OptimConfig(optimizer=optimizer))
    members = [id(p) for o in optimizers for g in o.param_groups for p in g["params"]]
    assert sorted(members) == sorted(id(p) for p in model.parameters())
    decayed = {id(p) for o in optimizers for g in o.param_groups if g["weight_decay"] for p in g["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in decayed) == (parameter.dim() == 2 and name != "positions.weight"), name
