"""A model's positions, to be looked at: the numbers that say where a token stands, and how alike two places are.

Sinusoidal and learned positions are vectors that are added to a token's; how alike two are is their cosine. Rotary
positions turn each pair of a query's and a key's numbers by an angle that grows with the position; how alike two places
are is what is left of a dot product when both are turned.

>>> rotary_similarity(np.array([1.0, 0.01]), np.array([0, 3])).round(3).tolist()
[1.0, 0.005]
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from core.run import Run

Kind = Literal["sinusoidal", "learned", "rotary", "none"]


@dataclass(frozen=True)
class Positions:
    """table: (T, D) float32, what is added at each position; of rotary ones (T, D) the cosines of the D angles, one a
    pair of numbers. frequencies: (D,) radians that a pair turns a position, of rotary and sinusoidal ones.
    length: how many positions the model has in all."""

    kind: Kind
    table: np.ndarray
    frequencies: np.ndarray | None
    length: int

    @property
    def wavelengths(self) -> np.ndarray | None:
        """Positions until a pair is back where it was: 2π / frequency."""
        return None if self.frequencies is None else 2 * np.pi / self.frequencies


def positions_of(run: "Run", limit: int = 512) -> Positions:
    """The positions of a run, the first `limit`."""
    model, config = run.model, run.config.model
    length = min(limit, config.max_seq_len)
    if model.rotary is not None:
        # The model's own cosines and sines: whatever scaling it has is in them.
        half = config.d_head // 2
        cos, sin = (_numbers(table)[: max(2, length), :half] for table in (model.rotary.cos, model.rotary.sin))
        frequencies = np.arctan2(sin[-1], cos[-1]) if len(cos) < 2 else np.arctan2(sin[1], cos[1])
        return Positions("rotary", cos[:length], frequencies.astype(np.float64), config.max_seq_len)
    if model.positions is None:
        return Positions("none", np.zeros((length, 0), np.float32), None, config.max_seq_len)
    if config.positions == "learned":
        return Positions("learned", _numbers(model.positions.weight)[:length], None, config.max_seq_len)  # type: ignore
    frequencies = sinusoidal_frequencies(config.d_model)
    return Positions("sinusoidal", _numbers(model.positions.table)[:length], frequencies, config.max_seq_len)  # type: ignore


def sinusoidal_frequencies(d_model: int) -> np.ndarray:
    """(d_model / 2,) radians a position: 10,000^(−2i / d_model). Vaswani et al. (2017), section 3.5."""
    return 10_000.0 ** (-np.arange(0, d_model, 2) / d_model)


def similarity(positions: Positions, length: int | None = None) -> np.ndarray:
    """(T, T) float32: how alike any two of the first `length` positions are, 1 if they are the same.

    The cosine of their vectors; of rotary positions `rotary_similarity` of their distance.
    """
    table = positions.table[:length]
    if positions.kind == "rotary" and positions.frequencies is not None:
        by_distance = rotary_similarity(positions.frequencies, np.arange(len(table)))
        places = np.arange(len(table))
        return by_distance[np.abs(places[:, None] - places)].astype(np.float32)
    unit = table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)
    return unit @ unit.T


def rotary_similarity(frequencies: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Mean over the pairs of cos(frequency · distance), for each distance.

    A vector q turned for position m has this dot product with itself turned for position n, on average over random
    directions and as a share of |q|²: (R_m q)·(R_n q) = Σ_i |q_i|² cos(θ_i (m − n)), Su et al., "RoFormer" (2021).
    The cosine of two sinusoidal position vectors is the same function of their distance.
    """
    return np.cos(np.multiply.outer(np.asarray(distances, np.float64), frequencies)).mean(-1)


def decay_bound(frequencies: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """The upper bound of RoFormer's section 3.4.3, as a share of its value at distance 0: mean over i of |S_i|, where
    S_i = Σ_{j<i} e^{i · distance · θ_j}. It says how large a dot product of any query and key can still be."""
    turned = np.exp(1j * np.multiply.outer(np.asarray(distances, np.float64), frequencies))
    sums = np.abs(np.cumsum(turned, axis=-1)).mean(-1)
    return sums / (np.arange(1, len(frequencies) + 1).mean())


def by_distance(positions: Positions, length: int | None = None) -> np.ndarray:
    """(T,): the mean similarity of all pairs of positions that are 0, 1, 2 … apart."""
    alike = similarity(positions, length)
    return np.array([np.diagonal(alike, distance).mean() for distance in range(len(alike))], np.float32)


def _numbers(tensor: object) -> np.ndarray:
    return tensor.detach().float().cpu().numpy()  # type: ignore[attr-defined, no-any-return]
