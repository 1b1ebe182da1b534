"""Neighbours and analogies against gensim and plain loops; tokens that are looked for; a run's matrices."""

import math

import numpy as np
import pytest

from core import load
from core.analysis.embeddings import (
    Vectors,
    analogy,
    choose,
    find,
    matrices,
    model_vectors,
    neighbours,
    word_vectors,
)
from core.analysis.word2vec import Settings, train
from core.errors import TextError


def some_vectors(count=200, size=12, seed=0):
    matrix = np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)
    return Vectors("random", [f"w{i}" for i in range(count)], matrix)


@pytest.fixture(scope="module")
def gensims():
    from gensim.models import KeyedVectors

    ours = some_vectors()
    theirs = KeyedVectors(ours.size)
    theirs.add_vectors(ours.names, ours.matrix)
    return ours, theirs


@pytest.mark.parametrize("word", [0, 7, 199])
def test_neighbours_are_gensims(gensims, word):
    ours, theirs = gensims
    found = neighbours(ours, word, top=15)
    expected = theirs.most_similar(f"w{word}", topn=15)
    assert [n.name for n in found] == [name for name, _ in expected]
    np.testing.assert_allclose([n.value for n in found], [value for _, value in expected], atol=1e-5)
    among = theirs.most_similar(f"w{word}", topn=5, restrict_vocab=50)
    assert [n.name for n in neighbours(ours, word, top=5, most_frequent=50)] == [name for name, _ in among]


@pytest.mark.parametrize("three", [(0, 1, 2), (5, 9, 100), (3, 4, 3)])
def test_analogies_are_gensims(gensims, three):
    ours, theirs = gensims
    a, b, c = (f"w{id}" for id in three)
    positive = [a, c] if a != c else [(a, 2.0)]
    expected = theirs.most_similar(positive=positive, negative=[b], topn=10)
    assert [n.name for n in analogy(ours, *three)] == [name for name, _ in expected]
    if a != c:
        expected = theirs.most_similar_cosmul(positive=[a, c], negative=[b], topn=10)
        found = analogy(ours, *three, method="mul")
        assert [n.name for n in found] == [name for name, _ in expected]
        # gensim adds 0.000001 to the divisor, the paper 0.001.
        np.testing.assert_allclose([n.value for n in found], [value for _, value in expected], rtol=0.02)


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "dot"])
def test_every_metric_by_a_plain_loop(metric):
    vectors = some_vectors(40, 5)
    plain = {
        "cosine": lambda x, y: sum(a * b for a, b in zip(x, y)) / math.hypot(*x) / math.hypot(*y),
        "euclidean": lambda x, y: -math.dist(x, y),
        "dot": lambda x, y: sum(a * b for a, b in zip(x, y)),
    }[metric]
    rows = vectors.matrix.astype(float).tolist()
    values = {id: plain(rows[3], row) for id, row in enumerate(rows) if id != 3}
    found = neighbours(vectors, 3, top=40, metric=metric)
    assert [n.id for n in found] == sorted(values, key=values.get, reverse=True)
    np.testing.assert_allclose([n.value for n in found], [abs(values[n.id]) if metric == "euclidean" else values[n.id]
                                                          for n in found], rtol=1e-4, atol=1e-5)  # fmt: skip
    assert neighbours(vectors, vectors.matrix[3], top=1, metric="euclidean")[0].id == 3


def test_zeros_equal_vectors_and_few_tokens():
    vectors = Vectors("", ["a", "b", "c"], np.array([[0, 0], [1, 0], [1, 0]], np.float32))
    assert [n.name for n in neighbours(vectors, 1)] == ["c", "a"]
    assert [n.value for n in neighbours(vectors, 0)] == [0, 0]
    assert neighbours(vectors, 0, top=0) == [] and analogy(vectors, 0, 1, 2) == []
    broken = Vectors("", ["a", "b", "c"], np.array([[1, 0], [np.nan, 0], [1, 0]], np.float32))
    assert [n.name for n in neighbours(broken, 0)] == ["c"]


def test_the_more_frequent_is_known_by_counts_or_by_ids():
    vectors = Vectors("", ["low", "·mid", "top", "9", "!"], np.eye(5, dtype=np.float32), np.array([1, 5, 9, 7, 7]))
    assert vectors.by_frequency.tolist() == [2, 3, 4, 1, 0] and vectors.ranks.tolist() == [4, 3, 0, 1, 2]
    assert choose(vectors, 3) == [2, 3, 4] and choose(vectors, 9, "words") == [2, 1, 0]
    assert choose(vectors, 3, "words", also=[4, 4, 77, -1]) == [4, 2, 1]
    assert choose(Vectors("", ["a", "b"], np.eye(2, dtype=np.float32)), 1) == [0]


NAMES = ["<s>", "k", "king", "·king", "·queen", "queen", "·", "⏎", "東", "#2", "·Paris"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("#3", 3), (" king", 3), ("·king", 3), ("king", 2), ("queen", 4), (" queen", 4), ("QUEEN", 4), (" ", 6),
        ("\n", 7), ("東", 8), ("#2", 2), ("<s>", 0), ("Paris", 10), ("king ", 2),
    ],
)  # fmt: skip
def test_tokens_are_found(query, found):
    assert find(Vectors("", NAMES, np.zeros((len(NAMES), 1))), query) == found


@pytest.mark.parametrize("query", ["", "kingdom", "#99", "#-1", "\x00", "\ud800", "a" * 10_000, "<script>", "   x"])
def test_what_is_no_token_is_one_sentence(query):
    with pytest.raises(TextError) as told:
        find(Vectors("", NAMES, np.zeros((len(NAMES), 1))), query)
    assert len(str(told.value)) < 300


def test_one_that_is_near_is_offered():
    with pytest.raises(TextError, match="there is king, ·king"):
        find(Vectors("", NAMES, np.zeros((len(NAMES), 1))), "kin")


@pytest.mark.parametrize("name", ["enja-transformer", "shakespeare-gpt", "pydocs-llama"])
def test_a_runs_vectors_are_its_weights(name):
    run = load(name)
    for which in matrices(run):
        vectors = model_vectors(run, which)
        weight = run.model.token_embedding.weight if which == "input" else run.model.output.weight
        np.testing.assert_array_equal(vectors.matrix, weight.detach().numpy())
        assert len(vectors) == run.config.model.vocab_size and which in vectors.title
    assert matrices(run) == (["input"] if run.model.output is None else ["input", "output"])
    id = run.tokenizer.encode("the").ids[0]
    assert find(vectors, f"#{id}") == id and vectors.names[id] in ("the", "·the", "th", "t")


def test_a_word2vec_is_looked_up_like_any_other():
    *_, last = train([["red", "green"], ["green", "blue"]] * 5, Settings(size=4, min_count=1))
    vectors = word_vectors(last.model, "colours")
    assert vectors.counts.tolist() == [10, 5, 5] and find(vectors, "Red") == vectors.names.index("red")
    np.testing.assert_array_equal(word_vectors(last.model, "colours", "output").matrix, last.model.output)
