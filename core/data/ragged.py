"""Many rows of ids in one array, and the order in which rows of similar length form batches. Numpy only.

>>> rows = Ragged.of([[5, 6], [], [7, 8, 9]])
>>> rows[2].tolist(), rows.lengths.tolist()
([7, 8, 9], [2, 0, 3])
>>> rows.padded(np.array([2, 0]), value=0).tolist()
[[7, 8, 9], [5, 6, 0]]
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ragged:
    """Row i is ids[ends[i - 1]:ends[i]]. ids may be a file that is mapped into memory."""

    ids: np.ndarray  # (total,) int32
    ends: np.ndarray  # (rows,) int64

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> "Ragged":
        rows = list(rows)
        ends = np.cumsum(np.fromiter(map(len, rows), dtype=np.int64, count=len(rows)), dtype=np.int64)
        ids = np.empty(int(ends[-1]) if rows else 0, dtype=np.int32)
        for row, end in zip(rows, ends.tolist()):
            ids[end - len(row) : end] = row
        return cls(ids, ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, index: int) -> np.ndarray:
        index = range(len(self.ends))[index]
        return self.ids[self.ends[index - 1] if index else 0 : self.ends[index]]

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.ends, prepend=0)

    def take(self, indices: np.ndarray) -> "Ragged":
        """These rows, copied, in this order."""
        starts = self._starts(indices)
        lengths = self.ends[indices] - starts
        ends = np.cumsum(lengths, dtype=np.int64)
        total = int(ends[-1]) if len(ends) else 0
        at = np.arange(total) + np.repeat(starts - (ends - lengths), lengths)
        return Ragged(self.ids[at], ends)

    def padded(self, indices: np.ndarray, value: int, first: int | None = None, last: int | None = None) -> np.ndarray:
        """These rows as one array (rows, longest) of int64, filled up on the right with `value`; each row begins with
        the id `first` and ends with the id `last` if they are given."""
        rows = self.take(indices)
        lengths, before = rows.lengths, first is not None
        width = int(lengths.max(initial=0)) + before + (last is not None)
        out = np.full((len(rows), width), value, dtype=np.int64)
        columns = np.arange(width - before - (last is not None))
        out[:, int(before) :][:, : len(columns)][columns < lengths[:, None]] = rows.ids
        if first is not None:
            out[:, 0] = first
        if last is not None:
            out[np.arange(len(rows)), lengths + before] = last
        return out

    def _starts(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices, dtype=np.int64)
        return np.where(indices > 0, self.ends[indices - 1], 0)


def buckets(lengths: np.ndarray, batch_tokens: int, rng: np.random.Generator | None = None) -> list[np.ndarray]:
    """Rows of `lengths` (rows, 2: of source and target) -> the indices of each batch.

    A batch has as many rows of similar length as fit into batch_tokens, padding included, counted on its longer side.
    rng: shuffles rows of equal lengths, and the batches; without it both stay in order.
    """
    tie = rng.random(len(lengths)) if rng else np.arange(len(lengths))
    order = np.lexsort((tie, lengths[:, 0], lengths[:, 1]))
    batches, start, widest = [], 0, 0
    for end, length in enumerate(lengths.max(axis=1, initial=0)[order].tolist()):
        widest = max(widest, length)
        if widest * (end + 1 - start) > batch_tokens and end > start:
            batches.append(order[start:end])
            start, widest = end, length
    if start < len(order):
        batches.append(order[start:])
    if rng:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches
