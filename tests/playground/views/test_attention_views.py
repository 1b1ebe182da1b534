"""Attention as figures: what is sent are the weights themselves, of a long text pooled and so labelled."""

import json
from base64 import b64decode

import numpy as np
import pytest

from core.analysis.head_scores import SCORES
from core.analysis.survey import Survey
from playground.views.attention import AXES, FAINT, LINES, Place, heads_spec, lines_spec, map_spec, parts
from playground.views.figure import packed, spec


def unpacked(value):
    """A second implementation of what the browser does with `packed`."""
    kinds = {"f4": "<f4", "u1": "u1", "u2": "<u2"}
    flat = np.frombuffer(b64decode(value["data"]), dtype=kinds[value["dtype"]])
    if not value["lower"]:
        return flat.reshape(value["shape"])
    full = np.zeros(value["shape"], np.float32)
    full[..., np.tri(value["shape"][-1], dtype=bool)] = flat.reshape(*value["shape"][:-2], -1)
    return full


def attention(rng, *shape, causal=False):
    scores = rng.normal(size=shape) * 2
    if causal:
        scores[..., ~np.tri(shape[-1], dtype=bool)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return (weights / weights.sum(-1, keepdims=True)).astype(np.float32)


def test_arrays_arrive_as_they_were():
    rng = np.random.default_rng(0)
    for array in (rng.normal(size=(3, 4, 5)), np.zeros((0, 3)), np.array([[np.nan, np.inf]])):
        np.testing.assert_array_equal(unpacked(packed(array)), array.astype(np.float32))
    lower = np.tril(rng.normal(size=(2, 6, 6))).astype(np.float32)
    assert len(packed(lower, lower=True)["data"]) < 0.7 * len(packed(lower)["data"])
    np.testing.assert_array_equal(unpacked(packed(lower, lower=True)), lower)
    numbers = np.array([0, 255, 70_000 % 65_536])
    np.testing.assert_array_equal(unpacked(packed(numbers, "u2")), numbers)


def test_a_figures_text_is_data_and_nothing_else():
    hostile = "</script><script>alert(1)</script>"
    text = spec("heatmap", "x", hostile, rows=[hostile])
    assert "<" not in text and json.loads(text)["rows"] == [hostile]
    with pytest.raises(ValueError):
        spec("heatmap", "x", "t", value=float("nan"))


@pytest.mark.parametrize(("kind", "queries", "keys"), [("self", 9, 9), ("cross", 5, 11), ("encoder", 1, 1)])
def test_a_matrix_is_sent_whole(kind, queries, keys):
    weights = attention(np.random.default_rng(1), queries, keys, causal=kind == "self")
    rows, columns = [f"r{i}" for i in range(queries)], [f"c{i}" for i in range(keys)]
    figure = json.loads(map_spec(weights, rows, columns, kind, "Title", "file", outline=[(0, 0)]))
    np.testing.assert_array_equal(unpacked(figure["values"]), weights)
    assert (figure["rows"], figure["columns"], figure["outline"]) == (rows, columns, [[0, 0]])
    assert (figure["row_axis"], figure["column_axis"]) == AXES[kind] and figure["causal"] == (kind == "self")
    assert f"weights from 0 to {weights.max():.3f}" in figure["subtitle"] and figure["note"] == "Each row sums to 1."


def test_a_part_is_cut_out_and_a_very_long_text_pooled_and_so_labelled():
    weights = attention(np.random.default_rng(2), 1030, 1030, causal=True)
    names = [str(i) for i in range(1030)]
    choices = dict(parts(1030, 1030, True))
    assert list(choices)[0] == "whole text, pooled" and "queries 0–127 × keys 128–255" not in choices
    whole = json.loads(map_spec(weights, names, names, "self", "T", "f"))
    values = unpacked(whole["values"])
    assert values.shape == (344, 344) and "a cell is the mean of 3 × 3 tokens" in whole["subtitle"]
    assert whole["rows"][1] == "3 …" and whole["note"] == ""
    for i, j in ((0, 0), (7, 3), (343, 0), (343, 343)):
        np.testing.assert_allclose(values[i, j], weights[3 * i : 3 * i + 3, 3 * j : 3 * j + 3].mean(), rtol=1e-5)
    part = json.loads(
        map_spec(weights, names, names, "self", "T", "f", choices["queries 128–255 × keys 0–127"], [(130, 2)])
    )
    np.testing.assert_array_equal(unpacked(part["values"]), weights[128:256, :128])
    assert (part["rows"][0], part["columns"][0], part["outline"], part["causal"]) == ("128", "0", [[2, 2]], False)
    corner = json.loads(map_spec(weights, names, names, "self", "T", "f", "8,8"))
    np.testing.assert_array_equal(unpacked(corner["values"]), weights[1024:, 1024:])
    assert parts(128, 5, False) == [("whole text", "whole")]


def test_at_512_tokens_and_144_heads_no_view_is_over_two_megabytes():
    rng = np.random.default_rng(3)
    names = ["·understanding"] * 512
    both = attention(rng, 12, 512, 512)
    assert len(map_spec(both[0], names, names, "encoder", "T", "f").encode()) < 2e6
    assert len(lines_spec(both, names, names, "encoder", 0, 12, 0, "T").encode()) < 2e6
    small = rng.integers(0, 255, (12, 12, 32, 32), dtype=np.uint8)
    scores = {name: rng.normal(size=(12, 12)) for name in SCORES}
    assert len(heads_spec(Survey("self", small, scores, both[0]), SCORES, "T").encode()) < 1e6


def test_small_pictures_come_with_the_scores_that_are_defined():
    small = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 2, 2)
    values = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 6.0]])
    survey = Survey("self", small, {"entropy": values, "induction": np.full((2, 3), np.nan)}, np.ones((1, 1)))
    figure = json.loads(heads_spec(survey, SCORES, "All", 1, 2))
    np.testing.assert_array_equal(unpacked(figure["small"]), small)
    assert [score["name"] for score in figure["scores"]] == ["entropy"] and (figure["layer"], figure["head"]) == (1, 2)
    np.testing.assert_array_equal(unpacked(figure["scores"][0]["values"]), values.astype(np.float32))
    assert "ln" in figure["scores"][0]["formula"]


def test_lines_are_the_strongest_of_each_query_and_head():
    weights = attention(np.random.default_rng(4), 3, 20, 30)
    figure = json.loads(lines_spec(weights, ["q"] * 20, ["k"] * 30, "cross", 1, 4, 2, "T"))
    queries, keys, heads, sent = (unpacked(figure[name]) for name in ("queries", "keys", "of", "weights"))
    expected = set()
    for head in range(3):
        for query in range(20):
            best = np.argsort(-weights[head, query])[:LINES]
            expected |= {(head, query, int(key)) for key in best if weights[head, query, key] >= FAINT}
    assert {tuple(map(int, line)) for line in zip(heads, queries, keys)} == expected
    np.testing.assert_array_equal(sent, weights[heads, queries, keys])
    few = json.loads(lines_spec(np.ones((1, 1, 1), np.float32), ["q"], ["k"], "self", 0, 1, 0, "T"))
    assert unpacked(few["weights"]).tolist() == [1.0]


def test_titles_name_kind_layer_head_and_group():
    assert (
        Place("self", 1, 2, 6, 6, (0, 2)).title == "Self-attention · layer 2 of 6 · head 3 of 6 · key-value head 1 of 2"
    )
    assert Place("self", 0, 0, 3, 8, decoder=True).title.startswith("Decoder self-attention · layer 1 of 3")
    assert Place("cross", 0, 0, 3, 8, decoder=True).file_name == "attention-cross-layer-1-head-1"
