"""Batches: everything once an epoch, within the budget, in an order that is a function of seed and epoch."""

import itertools
import random

import numpy as np
import pytest
import torch

from core.data.batching import IGNORE, BlockBatches, PairBatches, StepStream


def some_pairs(count=500, seed=0):
    rng = random.Random(seed)
    return [
        (
            [rng.randrange(3, 90) for _ in range(rng.randint(1, 30))],
            [rng.randrange(3, 90) for _ in range(rng.randint(1, 30))],
        )
        for _ in range(count)
    ]


def test_every_pair_once_an_epoch_and_within_the_budget():
    pairs = some_pairs()
    source = PairBatches(pairs, batch_tokens=256, max_seq_len=64, seed=3)
    for epoch in (0, 1, 7):
        seen = []
        for batch in source.epoch(epoch):
            assert max(batch.src_ids.numel(), batch.input_ids.numel()) <= 256
            assert batch.num_target_tokens == int((batch.targets != IGNORE).sum())
            for src, mask, ids, targets in zip(batch.src_ids, batch.src_mask, batch.input_ids, batch.targets):
                target = targets[targets != IGNORE].tolist()
                assert src[mask][-1] == 2 and target[-1] == 2 and ids[0] == 1
                assert ids[1 : len(target)].tolist() == target[:-1]
                seen.append((src[mask][:-1].tolist(), target[:-1]))
        assert sorted(seen) == sorted(pairs)


def test_little_is_padding():
    source = PairBatches(some_pairs(5_000), batch_tokens=2_048, max_seq_len=64)
    tokens = [(b.num_target_tokens, b.targets.numel()) for b in source.epoch(0)]
    assert sum(t for t, _ in tokens) / sum(n for _, n in tokens) > 0.9


def test_the_order_is_a_function_of_seed_and_epoch():
    pairs = some_pairs()
    order = lambda seed, epoch: [b.tolist() for b in PairBatches(pairs, 256, 64, seed).batches(epoch)]  # noqa: E731
    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3) != order(2, 3)


def test_pairs_that_do_not_fit_are_counted():
    source = PairBatches([([3], [4]), ([], [4]), ([3], []), ([3] * 8, [4]), ([3], [4] * 7), ([3], [4] * 8)], 64, 8)
    assert (len(source.pairs), source.dropped) == (2, 4)
    assert len(PairBatches([([3] * 60, [4])], 16, 64).batches(0)) == 1  # longer than the budget: a batch by itself


@pytest.mark.parametrize("length", [2, 63, 64, 65, 1_000])
def test_blocks_predict_every_token_once_in_validation(length):
    ids = np.arange(3, 3 + length, dtype=np.int32)
    source = BlockBatches(ids, batch_tokens=256, max_seq_len=64)
    targets = torch.cat([b.targets[b.targets != IGNORE] for b in source.epoch(0, shuffle=False)])
    assert targets.tolist() == ids.tolist()
    assert sum(b.num_target_tokens for b in source.epoch(0, shuffle=False)) == length
    for batch in source.epoch(0):
        assert (batch.input_ids[:, 0] == 1).all()
        assert torch.equal(batch.input_ids[:, 1:], batch.targets[:, :-1])
        assert batch.input_ids.numel() <= 256


def test_epochs_cut_at_different_places():
    source = BlockBatches(np.arange(1_000, dtype=np.int32), 256, 64)
    starts = [set(np.concatenate(source.batches(e)).tolist()) for e in range(4)]
    assert len(set(map(frozenset, starts))) == 4
    assert all(len(s) >= 14 for s in starts)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_stream_continues_at_any_place(accumulate):
    source = PairBatches(some_pairs(200), 256, 64)
    steps = list(itertools.islice(StepStream(source, accumulate), 40))
    assert steps[-1][2][0] >= 1  # went into another epoch
    for at in (0, 1, 17, 30):
        place = steps[at][2]
        rest = itertools.islice(StepStream(source, accumulate, place), 5)
        for (mine, count, after), (theirs, tokens, expected) in zip(rest, steps[at + 1 :]):
            assert after == expected and count == tokens
            assert all(torch.equal(a.input_ids, b.input_ids) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("world", [2, 3, 40])
@pytest.mark.parametrize("kind", ["pairs", "blocks"])
def test_ranks_share_the_same_steps(kind, world):
    """Together the ranks see every target of a step of one process once, and agree on its tokens and place."""
    ids = np.random.default_rng(0).integers(3, 90, 3_000).astype(np.int32)
    source = PairBatches(some_pairs(200), 256, 64) if kind == "pairs" else BlockBatches(ids, 256, 32)
    whole = itertools.islice(StepStream(source, 2), 20)
    parts = [StepStream(source, 2, rank=rank, world=world) for rank in range(world)]
    for (batches, tokens, place), *shares in zip(whole, *parts):
        assert tokens == sum(batch.num_target_tokens for batch in batches)
        assert all((count, after) == (tokens, place) for _, count, after in shares)
        kept = lambda steps: sorted(  # noqa: E731
            row[row != IGNORE].tolist() for batches in steps for batch in batches for row in batch.targets
        )
        assert kept([batches]) == kept([mine for mine, _, _ in shares])
        assert sum(b.num_target_tokens for mine, _, _ in shares for b in mine) == tokens
        if world == 40:
            assert any(not mine for mine, _, _ in shares)
