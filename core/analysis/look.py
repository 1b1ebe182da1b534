"""From scores to weights: how one query of one head comes to look where it looks, step by step.

q · k  ->  / sqrt(d_head)  ->  mask  ->  softmax  ->  weighted values          (Vaswani et al., 2017, section 3.2)
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from core.analysis.reading import Reading


@dataclass(frozen=True)
class Look:
    """One query of one head, and all K keys, in float64, from the model's own queries, keys and values.

    q (d,), k and v (K, d): after rotary positions, if the model has them.
    products (K, d): q · k, a dimension each; divided by `divisor` they are what each dimension adds to the score.
    dots (K,): their sums. scores (K,): dots / divisor. visible (K,) bool: False where the mask hides a key.
    exponentials (K,): exp(score - the largest visible score), 0 where hidden. weights (K,): exponentials / their sum.
    output (d,): the sum of weights · v.
    """

    query: int
    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    visible: np.ndarray

    @property
    def divisor(self) -> float:
        return math.sqrt(len(self.q))

    @property
    def products(self) -> np.ndarray:
        return self.q * self.k

    @property
    def dots(self) -> np.ndarray:
        return self.products.sum(axis=-1)

    @property
    def scores(self) -> np.ndarray:
        return self.dots / self.divisor

    @property
    def largest(self) -> float:
        """The largest score that is not hidden."""
        return float(self.scores[self.visible].max())

    @property
    def exponentials(self) -> np.ndarray:
        powers: np.ndarray = np.exp(np.where(self.visible, self.scores - self.largest, -np.inf))
        return powers

    @property
    def weights(self) -> np.ndarray:
        powers = self.exponentials
        return powers / powers.sum()

    @property
    def value_norms(self) -> np.ndarray:
        """(K,): the lengths of the values. weights · value_norms is what a key can move the output by."""
        return np.sqrt((self.v**2).sum(axis=-1))

    @property
    def output(self) -> np.ndarray:
        return self.weights @ self.v


def look(reading: "Reading", kind: str, layer: int, head: int, query: int) -> Look:
    """The query at place `query` of a head, from the reading's trace. All from 0; ValueError if there is no such."""
    heads = reading.heads(kind, layer)
    n_heads, queries = heads.q.shape[1:3]
    if not (0 <= head < n_heads and 0 <= query < queries):
        raise ValueError(f"There is no query {query} of head {head}; there are {n_heads} heads and {queries} queries.")
    shared = heads.key_value_head(head)
    visible, keys = heads.visible(), heads.k.shape[2]
    if visible is None:
        seen = np.ones(keys, dtype=np.bool_)
    else:
        seen = visible.expand(1, n_heads, queries, keys)[0, head, query].cpu().numpy()
    q, k, v = (
        tensor.double().cpu().numpy() for tensor in (heads.q[0, head, query], heads.k[0, shared], heads.v[0, shared])
    )
    return Look(query, q, k, v, seen)
