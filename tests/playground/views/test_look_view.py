"""A query step by step: what the browser gets are the steps' own numbers, of many keys the strongest."""

import json

import numpy as np
import pytest
from test_attention_views import unpacked

from core.analysis.look import Look
from playground.views.look import KEYS, look_spec, query_choices, strongest


def look_of(keys, width=8, hidden=0, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    q, k, v = rng.normal(size=width) * scale, rng.normal(size=(keys, width)), rng.normal(size=(keys, width))
    return Look(keys - hidden - 1, q, k, v, np.arange(keys) < keys - hidden)


def figure_of(look, names=None, **more):
    names = names or [f"t{j}" for j in range(len(look.k))]
    return json.loads(look_spec(look, names[look.query], names, "A head", "a-head", **{"rotary": False, **more}))


@pytest.mark.parametrize(("keys", "hidden"), [(1, 0), (5, 0), (30, 12), (2000, 0), (2000, 1500)])
def test_the_numbers_are_the_steps_own(keys, hidden):
    look = look_of(keys, hidden=hidden)
    figure = figure_of(look)
    places = figure["places"]
    assert len(places) == min(keys, KEYS) and places == sorted(places) and figure["count"] == keys
    assert figure["hidden"] == hidden and figure["query"] == look.query and figure["query_name"] == f"t{look.query}"
    assert figure["keys"] == [f"t{j}" for j in places] and figure["best"] == look.weights.argmax()
    for name, values in (("dots", look.dots), ("scores", look.scores), ("powers", look.exponentials), ("k", look.k),
                         ("weights", look.weights), ("norms", look.value_norms), ("v", look.v)):  # fmt: skip
        np.testing.assert_array_equal(unpacked(figure[name]), values[places].astype(np.float32))
    np.testing.assert_array_equal(unpacked(figure["seen"]), look.visible[places])
    np.testing.assert_array_equal(unpacked(figure["output"]), look.output.astype(np.float32))
    # What the browser goes on to compute with: products, and what comes out.
    q, k, v = (unpacked(figure[name]).astype(float) for name in "qkv")
    np.testing.assert_allclose((q * k).sum(-1) / figure["divisor"], look.scores[places], atol=1e-5)
    largest, total = unpacked(figure["softmax"])
    seen = look.visible[places]
    np.testing.assert_allclose(
        np.where(seen, np.exp(look.scores[places] - largest), 0) / total, look.weights[places], atol=1e-6
    )
    if len(places) == keys:
        np.testing.assert_allclose(unpacked(figure["weights"]) @ v, look.output, atol=1e-5)


def test_of_many_keys_the_strongest_are_sent():
    look = look_of(3000, width=64, scale=3.0)
    text = look_spec(look, "q", ["k"] * 3000, "t", "f", rotary=True)
    assert len(text) < 1_000_000  # bytes
    places = json.loads(text)["places"]
    left = np.delete(look.weights, places)
    assert look.weights[places].min() >= left.max() and int(look.weights.argmax()) in places
    assert strongest(look_of(4), 9).tolist() == [0, 1, 2, 3]


def test_hostile_names_and_broken_models():
    hostile = ["</script>", "&", "<b>"]
    look = look_of(3)
    text = look_spec(look, hostile[2], hostile, "t", "f", rotary=False, written="<i>")
    assert (
        "<" not in text
        and json.loads(text)["keys"] == hostile
        and "(goes on to write <i>)" in json.loads(text)["subtitle"]
    )
    broken = Look(0, np.full(4, np.nan), np.ones((3, 4)), np.ones((3, 4)), np.ones(3, dtype=bool))
    assert np.isnan(unpacked(figure_of(broken)["weights"])).all()


def test_what_the_subtitle_says():
    assert figure_of(look_of(3))["subtitle"] == "query 2 · t2 · 8 numbers a head"
    assert figure_of(look_of(3), rotary=True)["subtitle"].endswith("q and k after rotary positions")


def test_choices_of_queries():
    assert query_choices(["a", "b"]) == [("0 · a", 0), ("1 · b", 1)]
    assert query_choices(["x", "y"], ["a", "b"]) == [("0 · a → x", 0), ("1 · b → y", 1)]
