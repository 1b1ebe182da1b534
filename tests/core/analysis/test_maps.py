"""Principal components against scikit-learn's, and t-SNE: what it keeps together, that it can be stopped."""

import threading
import time

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness

from core.analysis import maps
from core.analysis.maps import pca, tsne
from core.errors import ConfigError, DataError


def groups(count=150, size=20, kinds=4, seed=0):
    random = np.random.default_rng(seed)
    kind = random.integers(kinds, size=count)
    points = random.standard_normal((count, size)) + 6 * random.standard_normal((kinds, size))[kind]
    return points.astype(np.float32), kind


@pytest.mark.parametrize("shape", [(200, 30), (20, 50), (7, 7), (3, 100), (1000, 2)])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_components_are_scikit_learns_but_for_the_sign(shape, dimensions):
    matrix = np.random.default_rng(1).standard_normal(shape) * np.linspace(1, 4, shape[1]) + 10
    found = pca(matrix, dimensions)
    wanted = min(dimensions, *shape)
    theirs = PCA(wanted, svd_solver="full").fit(matrix)
    for axis, column in enumerate(theirs.transform(matrix).T[: min(wanted, shape[0] - 1)]):
        sign = np.sign(column @ found.points[:, axis])
        np.testing.assert_allclose(found.points[:, axis], sign * column, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.explained[:wanted], theirs.explained_variance_ratio_, rtol=1e-5, atol=1e-9)
    assert found.points.shape == (shape[0], dimensions) and not found.points[:, wanted:].any()
    np.testing.assert_allclose(found.project(matrix[:2]), found.points[:2], atol=1e-4)


@pytest.mark.parametrize("matrix", [np.zeros((0, 4)), np.zeros((5, 4)), np.ones((1, 3)), np.full((3, 1), 7.0)])
def test_components_of_next_to_nothing(matrix):
    found = pca(matrix, 3)
    assert found.points.shape == (len(matrix), 3) and not found.points.any() and found.explained == [0.0] * 3


def test_an_axis_points_where_its_largest_part_is_positive():
    matrix = np.outer(np.arange(9.0), [1.0, -5.0, 2.0])
    assert (np.diff(pca(matrix).points[:, 0]) < 0).all() and (np.diff(pca(-matrix).points[:, 0]) > 0).all()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_tsne_keeps_near_what_is_near(dimensions):
    points, kind = groups()
    told = list(tsne(points, dimensions, iterations=150))
    last = told[-1]
    assert last.points.shape == (150, dimensions) and last.points.dtype == np.float32 and last.share == 1
    assert [p.iteration for p in told] == sorted(p.iteration for p in told) and len(told) > 10
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    trust = trustworthiness(unit, last.points, n_neighbors=10)
    assert trust > 0.9 and trust > trustworthiness(unit, told[0].points, n_neighbors=10) - 0.02
    distances = np.linalg.norm(last.points[:, None] - last.points, axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (kind[distances.argmin(1)] == kind).mean() > 0.98


def test_the_divergence_is_that_of_the_definition():
    """KL(P‖Q) with Q from the points of the map (Student's t) and P from openTSNE's own affinities."""
    from openTSNE.affinity import PerplexityBasedNN

    points, _ = groups(60)
    *_, last = tsne(points, iterations=60, perplexity=10)
    unit = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    p = PerplexityBasedNN(unit, perplexity=10, metric="euclidean", n_jobs=1, random_state=0).P.toarray()
    q = 1 / (1 + ((last.points[:, None].astype(float) - last.points) ** 2).sum(-1))
    np.fill_diagonal(q, 0)
    there = p > 0
    assert last.divergence == pytest.approx((p[there] * np.log(p[there] / (q / q.sum())[there])).sum(), rel=0.02)


def test_the_same_vectors_give_the_same_map():
    points, _ = groups(50)
    first, second = (list(tsne(points, iterations=30))[-1].points for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_stopping_ends_the_work_at_once():
    points, _ = groups(400)
    before = threading.active_count()
    stream = tsne(points, iterations=10_000)
    next(stream)
    began = time.monotonic()
    stream.close()
    assert threading.active_count() == before and time.monotonic() - began < 5


@pytest.mark.parametrize("matrix", [np.zeros((6, 3)), np.ones((4, 1)), np.repeat(np.eye(2), 20, 0)])
def test_equal_points_are_no_trouble(matrix):
    *_, last = tsne(matrix, iterations=30)
    assert np.isfinite(last.points).all() and last.iteration == 30


def test_an_error_in_the_work_is_raised_where_the_progress_is_asked_for(monkeypatch):
    monkeypatch.setattr(maps, "_optimise", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(tsne(np.eye(5)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"dimensions": 4},
        {"perplexity": 1},
        {"perplexity": float("nan")},
        {"iterations": 0},
        {"iterations": 10**9},
        {"seed": -1},
        {"seed": 2**32},
    ],
)
def test_what_cannot_be_is_said(wrong):
    with pytest.raises(ConfigError):
        next(tsne(np.eye(10), **wrong))
    for count in (0, 3, maps.MAX_POINTS + 1):
        with pytest.raises(ConfigError, match="points"):
            next(tsne(np.zeros((count, 2))))
    for count in (4, 20):
        diverged = np.full((count, 9), np.nan, np.float32)
        for draw in (pca, lambda vectors: next(tsne(vectors))):
            with pytest.raises(DataError, match="no numbers"):
                draw(diverged)
