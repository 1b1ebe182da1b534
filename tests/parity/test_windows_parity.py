"""Losses in sliding windows against transformers: token by token, and by the loop of its guide to perplexity."""

import math

import numpy as np
import pytest
import torch
from hf_models import gpt2, llama, make

from core.evaluate.windows import num_windows, tokens_read, window_losses
from core.model.hf import import_pretrained

CONTEXTS = [(0, 0), (48, 17), (16, 16), (16, 5), (1, 1), (7, 0)]


@pytest.fixture(scope="module", params=[gpt2, llama], ids=["gpt2", "llama"])
def models(request, tmp_path_factory):
    """Ours and theirs, of equal weights."""
    directory = tmp_path_factory.mktemp("checkpoint")
    theirs = make(request.param())
    theirs.save_pretrained(directory)
    return import_pretrained(str(directory)).model, theirs


def stream(count, seed=0):
    return np.random.default_rng(seed).integers(0, 101, count)


@torch.inference_mode()
def token_by_token(theirs, bos, ids, context):
    """Each token from the begin token and the context - 1 tokens before it, alone in the model."""
    losses = []
    for place, token in enumerate(ids):
        before = [bos, *ids[max(0, place - context + 1) : place]]
        losses.append(-float(theirs(torch.tensor([before])).logits[0, -1].log_softmax(-1)[token]))
    return np.array(losses)


@torch.inference_mode()
def guide(theirs, bos, ids, context, stride):
    """Window after window, each scored on the tokens that none before it has."""
    losses, reached = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + context, len(ids))
        logits = theirs(torch.tensor([[bos, *ids[begin : end - 1]]])).logits[0].log_softmax(-1)
        losses += [-float(logits[place - begin, ids[place]]) for place in range(reached, end)]
        reached = end
        if end == len(ids):
            return np.array(losses)
    return np.array(losses)


def test_stride_1_is_the_brute_force(models):
    ours, theirs = models
    for count, context in ((130, 16), (60, 48), (48, 48), (5, 48)):
        ids = stream(count)
        expected = token_by_token(theirs, ours.bos_id, ids.tolist(), context)
        found = window_losses(ours, ids, context, 1)
        assert abs(found.mean() - expected.mean()) < 1e-6
        assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize("context, stride", CONTEXTS)
@pytest.mark.parametrize("count", [1, 49, 131])
def test_windows_are_those_of_the_guide(models, count, context, stride):
    ours, theirs = models
    ids = stream(count, seed=count)
    expected = guide(theirs, ours.bos_id, ids.tolist(), context or 48, stride or context or 48)
    found = window_losses(ours, ids, context, stride)
    assert found.dtype == np.float64 and found.shape == (count,)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found.mean() - expected.mean()) < 1e-6


def test_what_is_read_is_what_is_told(models, monkeypatch):
    """No window more than is needed, and batches no larger than allowed."""
    from core.evaluate import windows

    ours, _ = models
    monkeypatch.setattr(windows, "BATCH_TOKENS", 64)
    shapes, whole = [], ours.hidden
    monkeypatch.setattr(ours, "hidden", lambda ids, *rest: shapes.append(ids.shape) or whole(ids, *rest), raising=False)
    for count, context, stride in ((131, 16, 5), (131, 16, 16), (10, 48, 1), (1, 48, 48)):
        shapes.clear()
        found = window_losses(ours, stream(count), context, stride)
        assert sum(math.prod(shape) for shape in shapes) == tokens_read(count, context, stride)
        assert tokens_read(count, context, stride) <= math.ceil(context / stride) * (count + context)
        assert sum(rows for rows, _ in shapes) == num_windows(count, context, stride)
        assert max(math.prod(shape) for shape in shapes) <= 64
        monkeypatch.setattr(windows, "BATCH_TOKENS", 1)  # one by one: the same
        np.testing.assert_allclose(window_losses(ours, stream(count), context, stride), found, atol=1e-5)
        monkeypatch.setattr(windows, "BATCH_TOKENS", 64)
