"""All heads of a kind of attention at one look: a small picture and the scores of each, and the mean of all.

Layer by layer, and of a layer no more heads at once than BLOCK has room for: what is held does not grow with the number
of layers and heads, but for the small pictures.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.analysis.head_scores import SCORES, head_scores

if TYPE_CHECKING:
    from core.analysis.reading import Reading

BLOCK = 2**22  # weights that are held at once: 16 MiB of float32


@dataclass(frozen=True)
class Survey:
    """small: uint8 (layers, heads, rows, columns), 255 · sqrt(weight / the largest of its picture), pooled, so that
    faint patterns are seen. scores: of every name in `head_scores.SCORES` that the kind has, (layers, heads), NaN where
    a score is not defined. mean: float32 (queries, keys), over all heads and layers.
    """

    kind: str
    small: np.ndarray
    scores: dict[str, np.ndarray]
    mean: np.ndarray

    @property
    def nbytes(self) -> int:
        return self.small.nbytes + self.mean.nbytes + sum(values.nbytes for values in self.scores.values())


def survey(reading: "Reading", kind: str, cells: int = 32) -> Survey:
    """Look at all heads once. cells: rows and columns that a small picture has at most."""
    queries, keys = reading.query_ids(kind), reading.key_ids(kind)
    shape = (reading.n_layers(kind), reading.n_heads)
    small = np.zeros((*shape, *(-(-n // block(n, cells)) for n in (len(queries), len(keys)))), dtype=np.uint8)
    scores = {name: np.empty(shape) for name, score in SCORES.items() if kind in score.kinds}
    mean = np.zeros((len(queries), len(keys)), dtype=np.float32)
    for layer, heads, weights in head_blocks(reading, kind):
        small[layer, heads] = thumbnails(weights, cells)
        for name, values in head_scores(weights, kind, queries, keys).items():
            scores[name][layer, heads] = values
        mean += weights.sum(axis=0)
    mean /= shape[0] * shape[1]
    return Survey(kind, small, scores, mean)


def head_blocks(reading: "Reading", kind: str, layer: int | None = None) -> Iterator[tuple[int, slice, np.ndarray]]:
    """(layer, heads, their attention (heads, queries, keys) float32), one after the other; of one layer or of all."""
    import torch

    cells = len(reading.query_ids(kind)) * len(reading.key_ids(kind))
    step = max(1, BLOCK // cells)
    for chosen in range(reading.n_layers(kind)) if layer is None else [layer]:
        for start in range(0, reading.n_heads, step):
            heads = slice(start, min(start + step, reading.n_heads))
            with torch.inference_mode():
                weights = reading.heads(kind, chosen).attention(heads)[0].float().cpu().numpy()
            yield chosen, heads, weights


def thumbnails(weights: np.ndarray, cells: int) -> np.ndarray:
    """(..., Q, K) -> uint8 (..., rows, columns): square roots of pooled weights, 255 for the largest of each picture.

    >>> thumbnails(np.array([[0.25, 0.0], [0.75, 1.0]]), 2).tolist()
    [[128, 0], [221, 255]]
    """
    roots = np.sqrt(pool(weights, cells, cells))
    shades = np.rint(roots * (255 / roots.max(axis=(-2, -1), keepdims=True)))
    return np.nan_to_num(shades).astype(np.uint8)  # a model whose training has diverged attends to nothing


def pool(weights: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Shrink the last two axes to at most rows x columns cells, each the mean of the weights it covers.

    The cells are of equal size but for the last ones, which cover what is left.

    >>> pool(np.array([[1.0, 3.0, 5.0], [1.0, 3.0, 5.0]]), 1, 2).tolist()
    [[2.0, 5.0]]
    """
    weights = _row_means(weights, block(weights.shape[-2], rows))
    return _row_means(weights.swapaxes(-2, -1), block(weights.shape[-1], columns)).swapaxes(-2, -1)


def _row_means(weights: np.ndarray, step: int) -> np.ndarray:
    """Each `step` rows become one, their mean."""
    if step == 1:
        return weights
    starts = range(0, weights.shape[-2], step)
    return np.stack([weights[..., start : start + step, :].mean(axis=-2) for start in starts], axis=-2)


def block(length: int, cells: int) -> int:
    """How many positions one cell covers when `length` positions are shown in at most `cells` cells.

    >>> block(128, 128), block(129, 128)
    (1, 2)
    """
    return max(1, -(-length // cells))
