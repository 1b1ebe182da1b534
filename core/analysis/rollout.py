"""Attention rollout: which input tokens a position has its content from, if attention alone carried it.

A layer keeps half of what a position holds (the residual connection) and takes half from where it looks, the mean of
all heads: Â = ½ A + ½ I. The product of all layers' Â leads from the last layer back to the input tokens (Abnar and
Zuidema, "Quantifying Attention Flow in Transformers", 2020).
"""

from typing import TYPE_CHECKING

import numpy as np

from core.analysis.survey import head_blocks

if TYPE_CHECKING:
    from core.analysis.reading import Reading


def rollout(reading: "Reading", kind: str) -> np.ndarray:
    """float32 (queries, keys): rows sum to 1.

    "encoder": of its own layers. "self" of a language model: of all layers. In a translator's decoder half of what a
    layer holds comes through its self-attention and half of that again through its cross-attention, which reads the
    encoder's last layer: "cross" is the share that came from each source token, by way of the encoder's own rollout,
    and "self" the share of each target token; both scaled so that the rows sum to 1 (the idea of Chefer et al.,
    "Generic Attention-model Explainability", 2021, with Abnar and Zuidema's plain means).
    """
    if kind == "encoder" or "cross" not in reading.kinds:
        return _through(reading, kind)
    target, source = _decoder(reading)
    return _rows(source if kind == "cross" else target)


def layer_mean(reading: "Reading", kind: str, layer: int) -> np.ndarray:
    """float32 (queries, keys): the mean over the heads of a layer."""
    mean = np.zeros((len(reading.query_ids(kind)), len(reading.key_ids(kind))), dtype=np.float32)
    for _, _, weights in head_blocks(reading, kind, layer):
        mean += weights.sum(axis=0)
    return mean / reading.n_heads


def _through(reading: "Reading", kind: str) -> np.ndarray:
    """The product of Â over all layers, first to last."""
    rolled = _half(layer_mean(reading, kind, 0))
    for layer in range(1, reading.n_layers(kind)):
        rolled = _half(layer_mean(reading, kind, layer)) @ rolled
    return _rows(rolled)


def _decoder(reading: "Reading") -> tuple[np.ndarray, np.ndarray]:
    """How much of the last layer's states comes from each target token (T, T) and from each source token (T, S)."""
    encoder = _through(reading, "encoder")
    target: np.ndarray = np.eye(len(reading.ids), dtype=np.float32)
    source: np.ndarray = np.zeros((len(reading.ids), len(reading.source)), dtype=np.float32)
    for layer in range(reading.n_layers("self")):
        own = _half(layer_mean(reading, "self", layer))
        target, source = own @ target, own @ source
        target, source = target / 2, source / 2 + layer_mean(reading, "cross", layer) @ encoder / 2
    return target, source


def _half(attention: np.ndarray) -> np.ndarray:
    """½ A + ½ I.

    >>> _half(np.array([[1.0, 0.0], [0.5, 0.5]])).tolist()
    [[1.0, 0.0], [0.25, 0.75]]
    """
    return (attention + np.eye(len(attention), dtype=attention.dtype)) / 2


def _rows(shares: np.ndarray) -> np.ndarray:
    """Scaled so that each row sums to 1."""
    return shares / shares.sum(axis=-1, keepdims=True)
