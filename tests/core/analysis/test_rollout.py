"""Rollout: rows sum to 1, and the same by following one token's content back through the layers, in loops."""

import numpy as np
import pytest
import torch
from internals_cases import SHAPES, case

from core.analysis.rollout import layer_mean, rollout
from core.model.trace import Heads

SHAPE = {"length": 11, "source": 6}


def give(reading, kind, weights):
    """Heads with the attention that is asked for (layers, queries, keys): their scores are its logarithms."""
    layers = []
    for attention in torch.tensor(np.array(weights), dtype=torch.float32):
        q = attention.clamp(min=1e-30).log()[None, None].repeat(1, reading.n_heads, 1, 1)  # (1, H, Q, K), d_head = K
        keys = attention.shape[-1]
        k = (torch.eye(keys) * keys**0.5)[None, None].repeat(1, reading.n_heads, 1, 1)
        layers.append(Heads(q, k, k))
    reading.trace.heads[kind] = layers


def walk(reading, kind):
    """Where what the last layer holds at each place comes from: each layer is undone in a loop over places."""

    def back(row, attention):
        """row: a place -> its share. Half stays where it is, half goes to where that place looked."""
        out = np.zeros(attention.shape[1])
        for place, share in enumerate(row):
            out[place] += share / 2
            for key, weight in enumerate(attention[place]):
                out[key] += share / 2 * weight
        return out

    def means(kind):
        return [reading.layer_attention(kind, layer).mean(axis=0) for layer in range(reading.n_layers(kind))]

    through = "encoder" if kind == "cross" else kind
    rows = []
    for query in range(len(reading.query_ids(kind))):
        row = np.eye(len(reading.query_ids(kind)))[query]
        found = np.zeros(len(reading.source))  # shares that have left for the encoder's last layer
        for layer in reversed(range(reading.n_layers(kind))):
            if "cross" in reading.kinds and kind != "encoder":
                for place, share in enumerate(row):
                    found += share / 2 * means("cross")[layer][place]
                row = back(row / 2, means("self")[layer])
            else:
                row = back(row, means(kind)[layer])
        if kind == "cross":
            row = found
            for attention in reversed(means(through)):
                row = back(row, attention)
        rows.append(row / row.sum())
    return np.array(rows)


@pytest.mark.parametrize("name", ["gpt", "gpt-untied", "llama", "pre", "post", "post-marian"])
def test_against_a_walk(name):
    reading = case(name, **SHAPE)
    for kind in reading.kinds:
        found = rollout(reading, kind)
        assert found.dtype == np.float32
        assert found.shape == (len(reading.query_ids(kind)), len(reading.key_ids(kind)))
        np.testing.assert_allclose(found, walk(reading, kind), atol=1e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_rows_sum_to_one(name):
    reading = case(name, **SHAPE)
    for kind in reading.kinds:
        found = rollout(reading, kind)
        np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-6)
        assert (found >= 0).all() and (kind != "self" or (np.triu(found, 1) == 0).all())
    mean = layer_mean(reading, kind, 0)
    np.testing.assert_allclose(mean, reading.layer_attention(kind, 0).mean(axis=0), atol=1e-6)


def test_closed_forms():
    reading = case("gpt", length=8)
    layers, eye = 3, np.eye(8)
    give(reading, "self", [eye] * layers)
    np.testing.assert_allclose(rollout(reading, "self"), eye, atol=1e-6)
    give(reading, "self", [np.full((8, 8), 1 / 8)] * layers)
    even = (1 - 0.5**layers) / 8  # what has ever left its place is spread evenly
    np.testing.assert_allclose(rollout(reading, "self"), even + eye * 0.5**layers, atol=1e-6)
    one = np.zeros((8, 8))
    one[:, 0] = 1
    give(reading, "self", [one] * layers)
    np.testing.assert_allclose(rollout(reading, "self"), one * (1 - 0.5**layers) + eye * 0.5**layers, atol=1e-6)


def test_cross_by_way_of_the_encoder():
    """Decoder places look at source place 0 only; the encoder's place 0 holds half of its own, half of place 3."""
    reading = case("post", **SHAPE)
    to_first, to_third = np.zeros((2, 11, 6)), np.stack([np.eye(6)] * 4)
    to_first[:, :, 0] = 1
    to_third[-1, 0] = np.eye(6)[3]
    give(reading, "cross", to_first)
    give(reading, "encoder", to_third)
    np.testing.assert_allclose(rollout(reading, "cross"), [[0.5, 0, 0, 0.5, 0, 0]] * 11, atol=1e-6)
