"""The count of operations against PyTorch's own counter."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from core.config import ModelConfig
from core.data.batching import IGNORE, Batch
from core.model import build_model
from core.train.module import loss_sum
from core.train.throughput import machine_peak, memory_held, step_operations


def batch(rows, length, source=0, padding=0):
    targets = torch.randint(3, 50, (rows, length))
    if padding:
        targets[:, -padding:] = IGNORE
    src = torch.randint(3, 50, (rows, source)) if source else None
    return Batch(
        torch.randint(3, 50, (rows, length)), targets, int((targets != IGNORE).sum()), src,
        torch.ones(rows, source, dtype=torch.bool) if source else None,
    )  # fmt: skip


@pytest.mark.parametrize(
    "shape",
    [
        {"family": "gpt", "n_heads": 4},
        {"family": "llama", "n_heads": 4, "n_kv_heads": 2},
        {"family": "transformer", "n_heads": 2, "n_encoder_layers": 3},
    ],
)
def test_operations_are_those_that_pytorch_counts(shape, monkeypatch):
    """Products alone, as PyTorch's counter sees them; attention is taken out of both, since the counter counts what a
    causal mask hides, and cannot see into a fused kernel on a CPU."""
    config = ModelConfig(vocab_size=50, d_model=32, n_layers=2, max_seq_len=64, **shape)
    model = build_model(config)
    monkeypatch.setattr("core.model.linear._TRAINS_WITH_ONEDNN", False)  # the counter knows PyTorch's own products
    one = batch(3, 20, 12 if shape["family"] == "transformer" else 0, padding=4)
    with FlopCounterMode(display=False) as counter:
        loss_sum(model, one).backward()
    seen = counter.get_flop_counts()["Global"]
    counted = sum(n for op, n in seen.items() if "mm" in str(op) and "bmm" not in str(op))
    causal = 4 * 20 * 20 * 32 / 2 * 3 * config.n_layers
    encoder = 4 * 12 * 12 * 32 * 3 * config.n_encoder_layers
    cross = 4 * 20 * 12 * 32 * 3 * config.n_layers if config.n_encoder_layers else 0
    assert step_operations(config, [one]) - 3 * (causal + encoder + cross) == pytest.approx(counted, rel=1e-9)


def test_micro_batches_add_up():
    config = ModelConfig(family="gpt", vocab_size=50, d_model=32, n_layers=2, n_heads=4, max_seq_len=64)
    parts = [batch(2, 16), batch(5, 8)]
    assert step_operations(config, parts) == sum(step_operations(config, [part]) for part in parts)
    assert step_operations(config, []) == 0


def test_the_peak_is_more_than_any_small_product_reaches():
    peak = machine_peak(torch.device("cpu"), "32")
    assert 1e9 < peak < 1e14


def test_measuring_draws_no_random_numbers():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    machine_peak(torch.device("cpu"), "32")
    assert torch.equal(before, torch.get_rng_state())


def test_memory_grows_with_what_is_held():
    before = memory_held(torch.device("cpu"))
    data = torch.ones(64 * 2**20 // 4)
    assert memory_held(torch.device("cpu")) - before > 40 * 2**20
    assert data[0] == 1
