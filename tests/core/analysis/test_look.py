"""From scores to weights: every step in loops, and the model's own attention and weighted values at the end."""

import math

import numpy as np
import pytest
import torch
from internals_cases import SHAPES, case

from core.analysis.look import look


@pytest.mark.parametrize("name", SHAPES)
def test_steps(name):
    reading = case(name, length=9, source=6)
    for kind in reading.kinds:
        queries, keys = len(reading.query_ids(kind)), len(reading.key_ids(kind))
        for layer, head, query in [
            (0, 0, 0),
            (reading.n_layers(kind) - 1, reading.n_heads - 1, queries - 1),
            (0, 1, 3),
        ]:
            found = look(reading, kind, layer, head, query)
            heads = reading.heads(kind, layer)
            group = heads.q.shape[1] // heads.k.shape[1]
            q = heads.q[0, head, query].tolist()
            width = len(q)
            for key in range(keys):
                k, v = heads.k[0, head // group, key].tolist(), heads.v[0, head // group, key].tolist()
                products = [a * b for a, b in zip(q, k, strict=True)]
                assert found.products[key].tolist() == products
                assert found.dots[key] == pytest.approx(sum(products), rel=1e-12, abs=1e-12)
                assert found.scores[key] == pytest.approx(sum(products) / math.sqrt(width), rel=1e-12, abs=1e-12)
                assert (found.products[key] / found.divisor).sum() == pytest.approx(found.scores[key], abs=1e-12)
                assert found.value_norms[key] == pytest.approx(math.hypot(*v))
                assert found.visible[key] == (kind != "self" or key <= query)
            powers = [
                math.exp(score - found.largest) if seen else 0 for score, seen in zip(found.scores, found.visible)
            ]
            assert found.exponentials == pytest.approx(powers) and max(found.exponentials) == 1
            assert found.weights == pytest.approx(np.array(powers) / sum(powers))
            assert found.weights.sum() == pytest.approx(1, abs=1e-12) and (found.weights[~found.visible] == 0).all()
            np.testing.assert_allclose(found.weights, reading.attention(kind, layer, head)[query], atol=1e-6)
            values = heads.values()[0, head].double().numpy()
            np.testing.assert_allclose(found.output, found.weights @ values, atol=1e-12)


def test_the_output_is_what_the_layer_goes_on_with():
    """PyTorch's fused attention, which the model itself used, gives the same means of values."""
    reading = case("llama")
    heads = reading.heads("self", 2)
    fused = torch.nn.functional.scaled_dot_product_attention(heads.q, heads.k, heads.v, is_causal=True, enable_gqa=True)
    for head in range(reading.n_heads):
        np.testing.assert_allclose(look(reading, "self", 2, head, 7).output, fused[0, head, 7], atol=1e-5)


def test_huge_scores_do_not_overflow():
    reading = case("gpt")
    heads = reading.trace.heads["self"][0]
    heads.q = heads.q * 1e4
    found = look(reading, "self", 0, 0, 12)
    assert np.isfinite(found.weights).all() and found.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(("head", "query"), [(4, 0), (-1, 0), (0, 13), (0, -1), (10**9, 0)])
def test_what_does_not_exist(head, query):
    with pytest.raises(ValueError, match="There is no query"):
        look(case("gpt"), "self", 0, head, query)
