"""One look at all heads equals looking at each, however small the blocks and however little the trace has kept."""

import numpy as np
import pytest
from internals_cases import SHAPES, case
from test_head_scores import plain

import core.analysis.survey as module
from core.analysis.survey import block, head_blocks, pool, survey, thumbnails


def plain_pool(weights, rows, columns):
    """Means of equal blocks, in loops."""
    down, across = block(len(weights), rows), block(len(weights[0]), columns)
    return np.array(
        [
            [weights[i : i + down, j : j + across].mean() for j in range(0, weights.shape[1], across)]
            for i in range(0, weights.shape[0], down)
        ]
    )


@pytest.mark.parametrize("cells", [1, 4, 32])
@pytest.mark.parametrize("name", SHAPES)
def test_survey(name, cells):
    reading = case(name, length=21, source=10)
    for kind in reading.kinds:
        found = survey(reading, kind, cells)
        heads = np.stack([reading.layer_attention(kind, layer) for layer in range(reading.n_layers(kind))])
        np.testing.assert_allclose(found.mean, heads.mean(axis=(0, 1)), atol=1e-6)
        assert found.mean.dtype == np.float32 and found.small.dtype == np.uint8
        assert found.small.shape[:2] == heads.shape[:2] and max(found.small.shape[2:]) <= cells
        for layer, head in np.ndindex(heads.shape[:2]):
            pooled = plain_pool(heads[layer, head], cells, cells)
            shades = 255 * np.sqrt(pooled / pooled.max())
            assert np.abs(found.small[layer, head] - shades).max() < 0.51 and found.small[layer, head].max() == 255
            expected = plain(heads[layer, head].astype(float).tolist(), kind, reading.query_ids(kind))
            assert set(expected) == set(found.scores)
            for score, value in expected.items():
                assert found.scores[score][layer, head] == pytest.approx(value, abs=2e-6, nan_ok=True), score
        assert found.nbytes == found.small.nbytes + found.mean.nbytes + 8 * len(found.scores) * heads[..., 0, 0].size


def test_blocks_and_room_change_nothing(monkeypatch):
    whole = case("post")
    expected = {kind: survey(whole, kind) for kind in whole.kinds}
    monkeypatch.setattr(module, "BLOCK", 1)  # one head at once
    for reading in (whole, case("post")):
        for kind in reading.kinds:
            if reading is not whole:
                reading.trace.heads[kind] = [None] * reading.n_layers(kind)  # as if the room had been too small
            assert [h for _, h, _ in head_blocks(reading, kind)] == [slice(i, i + 1) for i in range(4)] * len(
                reading.trace.heads[kind]
            )
            found = survey(reading, kind)
            assert (found.small == expected[kind].small).all()
            np.testing.assert_allclose(found.mean, expected[kind].mean, atol=1e-6)
            for name, values in found.scores.items():
                np.testing.assert_allclose(values, expected[kind].scores[name], atol=1e-6)


def test_one_layer_only():
    reading = case("gpt")
    (found,) = head_blocks(reading, "self", 1)
    assert found[0] == 1 and found[1] == slice(0, 4)
    assert (found[2] == reading.layer_attention("self", 1)).all()


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (32, 33), (100, 3)])
@pytest.mark.parametrize("cells", [1, 2, 7, 32, 200])
def test_pool(shape, cells):
    weights = np.random.default_rng(1).random((2, *shape)).astype(np.float32)
    pooled = pool(weights, cells, cells)
    assert pooled.dtype == np.float32 and max(pooled.shape[1:]) <= cells
    for head in range(2):
        np.testing.assert_allclose(pooled[head], plain_pool(weights[head], cells, cells), rtol=1e-5)
    if cells >= max(shape):
        assert (pooled == weights).all()


def test_thumbnails_of_a_single_weight():
    assert thumbnails(np.ones((3, 1, 1), dtype=np.float32), 32).tolist() == [[[255]]] * 3
