"""From lists of ids to batches: token-budget buckets for pairs, packed blocks for language modelling.

The order of batches is a pure function of (seed, epoch), so a place in the data is two numbers, (epoch, index), and a
resumed run continues with the very batch that would have come next. Streams have places of their own: see stream.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from core.data.ragged import Ragged, buckets

IGNORE = -100  # targets with this value do not count in the loss: PyTorch's default


@dataclass
class Batch:
    """One micro-batch. input_ids and targets (B, T): targets[t] is the token after input_ids[t], IGNORE on padding.
    src_ids and src_mask (B, S) for pairs, else None."""

    input_ids: Tensor
    targets: Tensor
    num_target_tokens: int
    src_ids: Tensor | None = None
    src_mask: Tensor | None = None

    def to(self, device: torch.device) -> "Batch":
        moved = [t.to(device, non_blocking=True) if t is not None else None for t in (self.src_ids, self.src_mask)]
        return Batch(self.input_ids.to(device), self.targets.to(device), self.num_target_tokens, *moved)


class Epochs:
    """What sets that are held in memory share: batches epoch after epoch."""

    def batches(self, epoch: int, shuffle: bool = True) -> list[np.ndarray]:
        """The rows of each batch of an epoch."""
        raise NotImplementedError

    def walk(self, place: tuple[int, ...]) -> "Walked":
        """Endless batches from a place on: what makes them, their rows, and the place after each."""
        epoch, index = place
        order = self.batches(epoch)
        if not order:
            raise ValueError("There is no batch to train on.")
        while True:
            if index >= len(order):
                epoch, index = epoch + 1, 0
                order = self.batches(epoch)
            index += 1
            yield self, order[index - 1], (epoch, index)  # type: ignore[misc]

    def epoch_of(self, place: tuple[int, ...]) -> float:
        """How often the data was gone through."""
        epoch, index = place
        return epoch + index / max(1, len(self.batches(epoch)) if index else 1)


class PairBatches(Epochs):
    """Sentence pairs, sorted into batches of similar length so that little of a batch is padding: see `buckets`."""

    def __init__(
        self,
        pairs: Sequence[tuple[Sequence[int], Sequence[int]]] | tuple[Ragged, Ragged],
        batch_tokens: int,
        max_seq_len: int,
        seed: int = 0,
        bos_id: int = 1,
        eos_id: int = 2,
        pad_id: int = 0,
    ) -> None:
        """pairs: of lists of ids, or the sources and the targets."""
        self.bos_id, self.eos_id, self.pad_id = bos_id, eos_id, pad_id
        self.batch_tokens, self.seed = batch_tokens, seed
        if isinstance(pairs, tuple) and len(pairs) == 2 and isinstance(pairs[0], Ragged):
            self.src, self.tgt = pairs
        else:
            self.src, self.tgt = Ragged.of(src for src, _ in pairs), Ragged.of(tgt for _, tgt in pairs)
        lengths = np.stack([self.src.lengths, self.tgt.lengths], axis=1)
        fits = (lengths.min(axis=1, initial=max_seq_len) > 0) & (lengths.max(axis=1, initial=0) < max_seq_len)
        self.kept = np.flatnonzero(fits)  # which pairs of those that were given
        self.dropped = len(lengths) - len(self.kept)  # empty, or longer than the context with its end token
        self.lengths = lengths[self.kept] + 1

    @property
    def pairs(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The ids of the pairs that are not left out."""
        return [(self.src[i], self.tgt[i]) for i in self.kept.tolist()]

    def __len__(self) -> int:
        """Batches of the first epoch; others differ by one or two."""
        return len(self.batches(0))

    def batches(self, epoch: int, shuffle: bool = True) -> list[np.ndarray]:
        """Indices of the pairs of each batch of an epoch."""
        return self.ordered(np.random.default_rng((self.seed, epoch)) if shuffle else None)

    def ordered(self, rng: np.random.Generator | None) -> list[np.ndarray]:
        return buckets(self.lengths, self.batch_tokens, rng)

    def target_tokens(self, indices: np.ndarray) -> int:
        """Of the batch of these pairs, without making it."""
        return int(self.lengths[indices, 1].sum())

    def batch(self, indices: np.ndarray) -> Batch:
        rows = self.kept[indices]
        src_ids = torch.from_numpy(self.src.padded(rows, self.pad_id, last=self.eos_id))
        src_lengths = torch.from_numpy(self.lengths[indices, 0])
        return Batch(
            input_ids=torch.from_numpy(self.tgt.padded(rows, self.pad_id, first=self.bos_id)),
            targets=torch.from_numpy(self.tgt.padded(rows, IGNORE, last=self.eos_id)),
            num_target_tokens=self.target_tokens(indices),
            src_ids=src_ids,
            src_mask=torch.arange(src_ids.shape[1]) < src_lengths[:, None],
        )

    def epoch(self, epoch: int, shuffle: bool = True) -> Iterator[Batch]:
        for indices in self.batches(epoch, shuffle):
            yield self.batch(indices)


class BlockBatches(Epochs):
    """One long stream of ids, cut into blocks of max_seq_len tokens; every block is predicted from its start.

    A block's input begins with the begin token, so that a model always has seen it when it starts on a prompt. Each
    epoch cuts at another offset, so the model does not see the same borders again.
    """

    def __init__(self, ids: np.ndarray, batch_tokens: int, max_seq_len: int, seed: int = 0, bos_id: int = 1) -> None:
        self.ids, self.seed, self.bos_id = ids, seed, bos_id
        self.block = max(1, min(max_seq_len, len(ids)))
        self.rows = max(1, batch_tokens // self.block)

    def __len__(self) -> int:
        return len(self.batches(0))

    def batches(self, epoch: int, shuffle: bool = True) -> list[np.ndarray]:
        """Start offsets of the blocks of each batch of an epoch."""
        if shuffle:
            rng = np.random.default_rng((self.seed, epoch))
            spare = len(self.ids) - self.block
            first = int(rng.integers(0, min(self.block, spare + 1))) if spare else 0
            starts = rng.permutation(np.arange(first, len(self.ids) - self.block + 1, self.block))
        else:
            starts = np.arange(0, len(self.ids), self.block)  # the last block may be short
        return [starts[i : i + self.rows] for i in range(0, len(starts), self.rows)]

    def target_tokens(self, starts: np.ndarray) -> int:
        """Of the batch of these blocks, without making it."""
        return int(np.minimum(self.block, len(self.ids) - starts).sum())

    def batch(self, starts: np.ndarray) -> Batch:
        rows = [self.ids[s : s + self.block] for s in starts]
        longest = max(len(row) for row in rows)
        targets = np.full((len(rows), longest), IGNORE, dtype=np.int64)
        for row, values in zip(targets, rows, strict=True):
            row[: len(values)] = values
        inputs = np.where(targets == IGNORE, 0, targets)
        inputs = np.concatenate([np.full((len(rows), 1), self.bos_id), inputs[:, :-1]], axis=1)
        return Batch(torch.from_numpy(inputs), torch.from_numpy(targets), int(sum(len(row) for row in rows)))

    def epoch(self, epoch: int, shuffle: bool = True) -> Iterator[Batch]:
        for starts in self.batches(epoch, shuffle):
            yield self.batch(starts)


Walked = Iterator[tuple[PairBatches | BlockBatches, np.ndarray, tuple[int, ...]]]


class Walk(Protocol):
    """What training reads: sets in memory (`Epochs`), and streams (core.data.stream)."""

    def walk(self, place: tuple[int, ...]) -> "Walked":
        """Endless batches from a place on: what makes them, their rows, and the place after each."""

    def epoch_of(self, place: tuple[int, ...]) -> float:
        """How often the data was gone through."""


class StepStream:
    """Endless optimiser steps, each a list of micro-batches; knows its place and can begin at any.

    Several processes train together when each has the same stream but its own rank: all walk through the same steps,
    and of every micro-batch a rank takes each world-th row. A rank for which no rows are left gets an empty list.
    """

    def __init__(
        self,
        source: "Walk",
        accumulate: int,
        place: tuple[int, ...] = (0, 0),
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.source, self.accumulate = source, accumulate
        self.place = place  # of the next batch to be given out; of sets in memory: (epoch, index)
        self.rank, self.world = rank, world

    def __iter__(self) -> Iterator[tuple[list[Batch], int, tuple[int, ...]]]:
        """Yields the rank's micro-batches of a step, the target tokens of the whole step (of all ranks), and the place
        after it. The place travels with the step because a loader may have fetched further ahead than training has
        come."""
        walk = self.source.walk(self.place)
        place = self.place
        while True:
            step: list[Batch] = []
            tokens = 0
            for _ in range(self.accumulate):
                batches, rows, place = next(walk)
                tokens += batches.target_tokens(rows)
                mine = rows[self.rank :: self.world]
                if len(mine):
                    step.append(batches.batch(mine))
            yield step, tokens, place
