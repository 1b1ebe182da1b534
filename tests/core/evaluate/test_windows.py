"""Sliding windows: each token once, whatever the sizes; what follows changes nothing; what cannot be is said."""

import random

import numpy as np
import pytest
import torch

from core.config import ModelConfig
from core.errors import ConfigError, TextError
from core.evaluate import windows
from core.model import build_model


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    shape = {"family": "gpt", "vocab_size": 50, "d_model": 16, "n_layers": 2, "n_heads": 2, "max_seq_len": 12}
    return build_model(ModelConfig(**shape)).eval()


def test_every_token_is_scored_once():
    rng = random.Random(0)
    for _ in range(300):
        context, count = rng.randint(1, 30), rng.randint(1, 200)
        stride = rng.randint(1, context)
        found = [windows.window(n, count, context, stride) for n in range(windows.num_windows(count, context, stride))]
        scored = [place for window in found for place in range(window.first, window.end)]
        assert scored == list(range(count))
        assert all(window.end - window.start <= context and window.start <= window.first for window in found)
        # No window could be left out: each has a token of its own, and all but the last are full.
        assert all(window.first < window.end for window in found)
        assert all(window.end - window.start == context for window in found[:-1])


def test_stride_decides_how_much_stands_before_a_token(model):
    ids = np.random.default_rng(1).integers(0, 50, 100)
    blocks = windows.window_losses(model, ids)
    np.testing.assert_array_equal(blocks, windows.window_losses(model, ids, 12, 12))
    np.testing.assert_allclose(blocks[:12], windows.window_losses(model, ids, 0, 3)[:12], atol=1e-6)  # the first window
    assert np.abs(blocks[12:] - windows.window_losses(model, ids, 0, 3)[12:]).max() > 1e-4
    # A context of 1 is a model that sees the begin token only.
    alone = windows.window_losses(model, ids, 1)
    expected = -model(torch.tensor([[model.bos_id]])).logits[0, 0].log_softmax(-1)[ids].detach().numpy()
    np.testing.assert_allclose(alone, expected, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 5, 12])
def test_what_follows_changes_nothing(model, stride):
    ids = np.random.default_rng(2).integers(0, 50, 70)
    whole = windows.window_losses(model, ids, 12, stride)
    for count in (1, 11, 12, 13, 40, 69):
        np.testing.assert_allclose(windows.window_losses(model, ids[:count], 12, stride), whole[:count], atol=1e-6)


def test_by_step_is_in_order_and_can_be_stopped(model, monkeypatch):
    monkeypatch.setattr(windows, "BATCH_TOKENS", 24)
    ids = np.random.default_rng(4).integers(0, 50, 100)
    steps = windows.losses_by_step(model, ids, 12, 4)
    parts = list(steps)
    assert [part.first for part in parts] == np.cumsum([0, *(len(part.nats) for part in parts[:-1])]).tolist()
    np.testing.assert_array_equal(
        np.concatenate([part.nats for part in parts]), windows.window_losses(model, ids, 12, 4)
    )
    read, whole = [], model.hidden
    monkeypatch.setattr(model, "hidden", lambda ids: read.append(ids.numel()) or whole(ids), raising=False)
    steps = windows.losses_by_step(model, ids, 12, 4)
    next(steps)
    steps.close()
    assert read == [24]
    shares = []
    windows.window_losses(model, ids, 12, 4, lambda share, what: shares.append(share))
    assert shares == sorted(shares) and shares[-1] == 1.0 and len(shares) == len(parts)


def test_few_logits_are_held_at_a_time(model, monkeypatch):
    ids = np.random.default_rng(5).integers(0, 50, 60)
    expected = windows.window_losses(model, ids)
    sizes, whole = [], model.logits
    monkeypatch.setattr(windows, "TOGETHER", 7 * 50)
    monkeypatch.setattr(model, "logits", lambda x: sizes.append(len(x)) or whole(x), raising=False)
    np.testing.assert_allclose(windows.window_losses(model, ids), expected, atol=1e-6)
    assert max(sizes) == 7 and sum(sizes) == 60


@pytest.mark.parametrize("context, stride, sentence", [
    (13, 0, "context is 13"), (-1, 0, "context is -1"), (12, 13, "stride is 13"), (4, 5, "stride is 5"),
    (0, 13, "stride is 13"), (0, -1, "stride is -1"),
])  # fmt: skip
def test_windows_that_cannot_be(model, context, stride, sentence):
    with pytest.raises(ConfigError, match=sentence):
        windows.window_losses(model, [1, 2, 3], context, stride)


def test_ids_that_cannot_be(model):
    for ids in ([1, 50], [-1]):
        with pytest.raises(TextError, match="There is no token"):
            windows.window_losses(model, ids)
    assert windows.window_losses(model, []).shape == (0,)
