"""Figures of the Embeddings tab: what is sent is what was computed, and anybody's strings stay strings."""

import json

import numpy as np
import pytest

from core.analysis.embeddings import Neighbour
from core.analysis.own_vectors import About
from core.analysis.positions import Positions
from core.analysis.word2vec import Settings
from playground.views.embeddings import (
    KINDS,
    analogy_spec,
    kind_of,
    loss_spec,
    map_spec,
    neighbours_spec,
    own_table,
)
from playground.views.positions import COLUMNS, distance_spec, similarity_spec, table_spec
from tests.playground.views.test_attention_views import unpacked

NASTY = "</script><b>&\"'"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("·the", 0), ("the", 1), ("·", 4), ("", 4), ("···", 4), ("<pad>", 5), ("[CLS]", 5), ("#12", 5), ("7", 2),
        ("·1999", 2), ("か", 3), ("·слово", 3), ("<E3 81>", 6), ("a<E3>", 6), ("naïve", 1), ("⏎", 4), ("<", 4),
    ],
)  # fmt: skip
def test_kinds_of_tokens(name, kind):
    assert KINDS[kind_of(name)] == KINDS[kind]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_map_holds_the_points_and_where_the_marked_tokens_are(dimensions):
    points = np.random.default_rng(0).random((4, dimensions), dtype=np.float32)
    names, ids = ["·a", NASTY, "b", "東"], [9, 3, 5, 7]
    figure = json.loads(
        map_spec(points, names, ids, np.ones(4), np.arange(4), ["x", "y", "z"], NASTY, "", [3, 77], 5, [9, 1])
    )
    np.testing.assert_array_equal(unpacked(figure["points"]), points)
    assert figure["names"] == names and figure["ids"] == ids and figure["kinds"] == [0, 1, 1, 3]
    assert figure["in_text"] == [1] and figure["chosen"] == 2 and figure["near"] == [0]
    assert "<" not in map_spec(points, names, ids, np.ones(4), np.arange(4), ["x"], NASTY, "")
    words = json.loads(map_spec(points[:2], ["red", "blue"], [0, 1], np.ones(2), np.arange(2), [], "", "", chosen=8))
    assert words["kinds"] == [0, 0] and words["chosen"] == -1


def test_bars_can_be_chosen():
    found = [Neighbour(4, NASTY, 0.5), Neighbour(2, "b", 0.25)]
    for text in (neighbours_spec("a", "cosine", found, "of"), analogy_spec("a", "b", "c", "mul", found, "of")):
        figure = json.loads(text)
        assert unpacked(figure["values"]).ravel().tolist() == [0.5, 0.25] and figure["rows"] == [NASTY, "b"]
        assert figure["sends"] == [4, 2]
    for metric in ("euclidean", "dot"):
        assert json.loads(neighbours_spec("a", metric, [], "of"))["rows"] == []


def test_a_loss_that_is_not_known_yet_is_left_out():
    line = json.loads(loss_spec([0, 10, 20], [float("nan"), 3.0, 2.0], "x"))["lines"][0]
    assert unpacked(line["x"]).tolist() == [10, 20] and unpacked(line["y"]).tolist() == [3, 2]
    assert json.loads(loss_spec([], [], "x"))["lines"] == [] == json.loads(loss_spec([0], [float("nan")], "x"))["lines"]


def test_own_vectors_are_a_table():
    about = About("mine", "2026-01-31T12:00:00Z", NASTY, 1234, Settings(size=7), bytes=2_500_000)
    html = own_table([about])
    assert "<script" not in html and "<b>" not in html and "1,234" in html and "2.5 MB" in html and ">–<" in html
    assert "None yet" in own_table([])


@pytest.mark.parametrize("kind", ["sinusoidal", "learned", "rotary"])
def test_positions(kind):
    table = np.random.default_rng(0).standard_normal((5, COLUMNS + 4)).astype(np.float32)
    frequencies = None if kind == "learned" else np.linspace(0.1, 1, 8)
    found = Positions(kind, table, frequencies, 99)
    figure = json.loads(table_spec(found, NASTY))
    np.testing.assert_array_equal(unpacked(figure["values"]), table[:, :COLUMNS])
    assert f"the first {COLUMNS} of {COLUMNS + 4}" in figure["subtitle"] and "99" in figure["subtitle"]
    assert figure["rows"] == ["0", "1", "2", "3", "4"]
    alike = table[:, :5]
    np.testing.assert_array_equal(unpacked(json.loads(similarity_spec(found, alike, "r"))["values"]), alike)
    lines = json.loads(distance_spec(kind, [("a", alike[0]), ("b", alike[1])], "r"))["lines"]
    assert [line["name"] for line in lines] == ["a", "b"] and unpacked(lines[0]["x"]).tolist() == [0, 1, 2, 3, 4]
