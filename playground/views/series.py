"""Curves made fit to be looked at: smoothed without a bias, thinned out without losing a peak. Pure numpy."""

import numpy as np

POINTS = 800  # a curve is thinned out to at most so many


def smooth(values: np.ndarray, weight: float) -> np.ndarray:
    """An exponential moving average of (N,) values, weight in [0, 1), without the bias to zero at its start.

    As TensorBoard's: average / (1 - weight^n). What is not finite stays, and does not count.

    >>> smooth(np.array([2.0, 2.0, 2.0]), 0.9).round(6).tolist()
    [2.0, 2.0, 2.0]
    """
    if not 0 < weight < 1:
        return values
    smoothed = np.array(values, dtype=float)
    average, unbiased = 0.0, 1.0
    for place, value in enumerate(smoothed.tolist()):
        if np.isfinite(value):
            average = weight * average + (1 - weight) * value
            unbiased *= weight
            smoothed[place] = average / (1 - unbiased)
    return smoothed


def thin(x: np.ndarray, y: np.ndarray, points: int = POINTS) -> tuple[np.ndarray, np.ndarray]:
    """At most about `points` of a curve's points: of every stretch the lowest and the highest, and both ends.

    A stretch with a value that is not a number keeps one, so that the gap is still seen.
    """
    count = len(x)
    if count <= points:
        return x, y
    stretches = max(1, (points - 2) // 2)
    edges = np.linspace(0, count, stretches + 1).astype(int)
    low, high = np.where(np.isnan(y), np.inf, y), np.where(np.isnan(y), -np.inf, y)
    keep = {0, count - 1}
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist()):
        if begin < end:
            keep.update((begin + int(low[begin:end].argmin()), begin + int(high[begin:end].argmax())))
            gaps = np.flatnonzero(np.isnan(y[begin:end]))
            if len(gaps):
                keep.add(begin + int(gaps[0]))
    chosen = np.array(sorted(keep))
    return x[chosen], y[chosen]


def sparkline(values: np.ndarray, width: int = 96, height: int = 22) -> str:
    """SVG of a small curve of (N,) finite values without axes; empty for fewer than two."""
    values = values[np.isfinite(values)]
    if len(values) < 2:
        return ""
    x, y = thin(np.linspace(1, width - 1, len(values)), values, 80)
    span = float(y.max() - y.min())
    down = np.full(len(y), height / 2) if not span else 2 + (height - 4) * (float(y.max()) - y) / span
    path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, down))
    return (
        f'<svg class="sparkline" viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{path}"/></svg>'
    )
