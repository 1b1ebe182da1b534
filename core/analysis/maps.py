"""Vectors of many dimensions drawn in two or three: principal components, and t-SNE.

>>> line = np.outer(np.arange(5.0), [3.0, 4.0])
>>> found = pca(line, 1)
>>> found.points.ravel().round(3).tolist(), found.explained
([-10.0, -5.0, 0.0, 5.0, 10.0], [1.0])
"""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.errors import ConfigError, DataError

EXAGGERATED = 250  # iterations of t-SNE's first phase, in which near points attract each other 12 times as much
EVERY = 10  # iterations between two tellings
MAX_POINTS = 20_000  # of a t-SNE: memory and time stay bounded


@dataclass(frozen=True)
class Map:
    """points: (N, 2 or 3) float32. explained: the share of the variance of each axis. mean: (D,), axes: (2 or 3, D)."""

    points: np.ndarray
    explained: list[float]
    mean: np.ndarray
    axes: np.ndarray

    def project(self, vectors: np.ndarray) -> np.ndarray:
        """Where other vectors (M, D) lie on the same axes: (M, 2 or 3) float32."""
        return ((np.asarray(vectors, np.float64) - self.mean) @ self.axes.T).astype(np.float32)


@dataclass(frozen=True)
class TsneProgress:
    """points: (N, 2 or 3) as they are now. divergence: Kullback-Leibler, between who is near whom there and here."""

    iteration: int
    iterations: int
    divergence: float
    points: np.ndarray

    @property
    def share(self) -> float:
        return self.iteration / self.iterations


def pca(matrix: np.ndarray, dimensions: int = 2) -> Map:
    """The first principal components of (N, D) vectors: the directions in which they differ most, from their mean.

    Exact: a singular value decomposition of the centred vectors, or, as there are mostly more vectors than numbers in
    each, of their covariance. An axis points to where its largest part is positive; where the vectors fill fewer
    dimensions, the rest is 0. DataError where a vector holds what is no number.
    """
    _check_finite(matrix)
    wide = matrix.shape[1]
    mean: np.ndarray = np.asarray(matrix, np.float64).mean(axis=0) if len(matrix) else np.zeros(wide)
    centred = np.asarray(matrix, np.float64) - mean
    if len(centred) > wide:
        variances, axes = np.linalg.eigh(centred.T @ centred)
        axes, variances = axes[:, ::-1].T, variances[::-1]
    else:
        _, singular, axes = np.linalg.svd(centred, full_matrices=False)
        variances = singular**2
    kept = min(dimensions, len(axes))
    axes, variances = np.pad(axes[:kept], [(0, dimensions - kept), (0, 0)]), np.maximum(variances, 0)
    axes *= np.where(axes[np.arange(dimensions), np.abs(axes).argmax(1)] < 0, -1, 1)[:, None]
    total = float(variances.sum())
    explained = [float(v) / total if total else 0.0 for v in variances[:kept]] + [0.0] * (dimensions - kept)
    return Map((centred @ axes.T).astype(np.float32), explained, mean, axes)


def tsne(
    matrix: np.ndarray, dimensions: int = 2, perplexity: float = 30.0, iterations: int = 750, seed: int = 0
) -> Iterator[TsneProgress]:
    """t-SNE of (N, D) vectors by their cosines, through openTSNE: who is near whom is kept, distances are not.

    van der Maaten and Hinton, "Visualizing Data using t-SNE" (2008); begun from principal components, so that the same
    vectors give the same map. Tells how far it is; whoever closes the iterator has stopped it. perplexity: about how
    many neighbours count, at most a third of the points. ConfigError for what cannot be, DataError as in `pca`.
    """
    if dimensions not in (2, 3):
        raise ConfigError(f"A map has 2 or 3 dimensions, not {dimensions!r}.")
    if not 4 <= len(matrix) <= MAX_POINTS:
        raise ConfigError(f"t-SNE takes 4 to {MAX_POINTS:,} points, not {len(matrix):,}.")
    if not 2 <= perplexity <= 200:
        raise ConfigError(f"The perplexity must lie between 2 and 200, not {perplexity!r}.")
    if not 1 <= iterations <= 10_000:
        raise ConfigError(f"t-SNE takes 1 to 10,000 iterations, not {iterations!r}.")
    if not 0 <= seed < 2**32:
        raise ConfigError(f"The seed must lie between 0 and {2**32 - 1:,}, not {seed!r}.")
    _check_finite(matrix)
    told: queue.Queue[TsneProgress | BaseException | None] = queue.Queue()
    stopped = threading.Event()
    unit = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    arguments = (unit.astype(np.float32), dimensions, min(perplexity, (len(matrix) - 1) / 3), iterations, seed)
    worker = threading.Thread(target=_work, args=(*arguments, told, stopped), daemon=True)
    worker.start()
    try:
        while (message := told.get()) is not None:
            if isinstance(message, BaseException):
                raise message
            yield message
    finally:
        stopped.set()
        worker.join()


def _check_finite(matrix: np.ndarray) -> None:
    if not np.isfinite(matrix).all():
        raise DataError("Some of the vectors are no numbers, as after a training that has diverged: choose others.")


def _work(
    unit: np.ndarray, dimensions: int, perplexity: float, iterations: int, seed: int,
    told: "queue.Queue[TsneProgress | BaseException | None]", stopped: threading.Event,
) -> None:  # fmt: skip
    """In a thread of its own, since openTSNE tells its progress by calling back."""
    try:
        _optimise(unit, dimensions, perplexity, iterations, seed, told, stopped)
    except BaseException as error:
        told.put(error)
    told.put(None)


def _optimise(
    unit: np.ndarray, dimensions: int, perplexity: float, iterations: int, seed: int,
    told: "queue.Queue[TsneProgress | BaseException | None]", stopped: threading.Event,
) -> None:  # fmt: skip
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import PerplexityBasedNN
    from openTSNE.callbacks import Callback

    first, gain = min(EXAGGERATED, iterations // 3), 0

    class Tell(Callback):
        def __call__(self, iteration: int, error: float, embedding: Any) -> bool:
            points = np.array(embedding, np.float32)
            told.put(TsneProgress(gain + iteration, iterations, float(error), points))
            return stopped.is_set()

    affinities = PerplexityBasedNN(unit, perplexity=perplexity, metric="euclidean", n_jobs=1, random_state=seed)
    if stopped.is_set():
        return
    start = pca(unit, dimensions).points.astype(np.float64)
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)
    # Points that are the same would stay so for ever: nothing would tell them in which direction to part.
    start += np.random.default_rng(seed).normal(0, 1e-6, start.shape)
    map = TSNEEmbedding(start, affinities, negative_gradient_method="bh", n_jobs=1, random_state=seed)
    common = {"callbacks": [Tell()], "callbacks_every_iters": EVERY, "inplace": True}
    if first:
        map.optimize(first, exaggeration=12, momentum=0.5, **common)
        gain = first
    if not stopped.is_set():
        map.optimize(iterations - first, momentum=0.8, **common)
        told.put(TsneProgress(iterations, iterations, float(map.kl_divergence), np.array(map, np.float32)))
