"""Word2Vec: its gradients against autograd, its vectors' quality against gensim's, and what it refuses."""

import numpy as np
import pytest
import torch

from core.analysis import word2vec
from core.analysis.word2vec import (
    CHUNK,
    Chunks,
    NoiseWords,
    Settings,
    add_rows,
    block_size,
    encode,
    keep_probability,
    loss_and_gradients,
    train,
    vocabulary,
)
from core.analysis.words import words_of
from core.data.grammar import generate
from core.data.lexicon import NOUNS
from core.errors import ConfigError, DataError

MARGIN = 0.06  # of the share of right neighbours that ours may have less than gensim's; chance is 0.16


@pytest.fixture(scope="module")
def sentences():
    return [words_of(example.src) for example in generate(12_000)]


@pytest.fixture(scope="module")
def trained(sentences):
    *_, last = train(sentences, Settings(min_count=1, epochs=6))
    return last


def share_of_class(words, matrix):
    """Of the five nouns next to each noun of the grammar: the share that is of its kind (drinks, animals ...)."""
    place = {word: i for i, word in enumerate(words)}
    nouns = [noun for noun in NOUNS.values() if noun.classes and noun.en in place]
    unit = matrix[[place[noun.en] for noun in nouns]]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    alike = unit @ unit.T
    np.fill_diagonal(alike, -2)
    best = np.argsort(-alike, axis=1)[:, :5]
    return np.mean([[bool(noun.classes & nouns[j].classes) for j in row] for noun, row in zip(nouns, best)])


def test_neighbours_are_as_good_as_gensims(sentences, trained):
    from gensim.models import Word2Vec as Gensim

    theirs = Gensim(sentences, vector_size=100, window=5, min_count=1, negative=5, sg=1, epochs=6, workers=1, seed=1)
    ours = share_of_class(trained.model.words, trained.model.input)
    assert ours >= share_of_class(theirs.wv.index_to_key, theirs.wv.vectors) - MARGIN
    start = np.random.default_rng(0).random(trained.model.input.shape) - 0.5
    assert ours > share_of_class(trained.model.words, start) + 0.3


def test_the_vocabulary_is_gensims(sentences, trained):
    from gensim.models import Word2Vec as Gensim

    theirs = Gensim(vector_size=2, min_count=4, sg=1, workers=1)
    theirs.build_vocab(sentences)
    words, counts = vocabulary(sentences, Settings(min_count=4))
    assert dict(zip(words, counts.tolist())) == {w: theirs.wv.get_vecattr(w, "count") for w in theirs.wv.key_to_index}
    kept = keep_probability(counts, 1e-3)
    for word, probability in zip(words, kept):  # gensim keeps it as a share of 2^32
        assert probability == pytest.approx(theirs.wv.get_vecattr(word, "sample_int") / 2**32, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradients_are_autograds(seed):
    random = np.random.default_rng(seed)
    v, u, n = (random.standard_normal((3, rows, 8)).astype(np.float32) for rows in (5, 9, 4))
    pairs = (random.random((3, 5, 9)) < 0.4).astype(np.float32)
    loss, found = loss_and_gradients(v, u, n, pairs, negative=5)
    tensors = [torch.tensor(x, requires_grad=True) for x in (v, u, n)]
    of_v, of_u, of_n = tensors
    total = torch.zeros(())
    for b in range(3):  # as the formula is written: pair by pair, each with its share of the noise words
        for i, j in np.argwhere(pairs[b]):
            total = total - torch.nn.functional.logsigmoid(of_u[b, j] @ of_v[b, i])
            for k in range(4):
                total = total - 5 / 4 * torch.nn.functional.logsigmoid(-of_n[b, k] @ of_v[b, i])
    total.backward()
    assert loss == pytest.approx(total.item() / pairs.sum(), rel=1e-5)
    for mine, tensor in zip(found, tensors):
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_gradients_of_what_is_far_out_are_finite_and_of_no_pairs_nothing():
    v = np.full((1, 2, 4), 1e4, np.float32)
    _, found = loss_and_gradients(v, -v, v, np.ones((1, 2, 2), np.float32), 5)
    assert all(np.isfinite(part).all() for part in found)
    loss, found = loss_and_gradients(v, v, v, np.zeros((1, 2, 2), np.float32), 5)
    assert loss is None and not any(part.any() for part in found)


@pytest.mark.parametrize("window", [1, 5, 20])
def test_a_block_has_the_pairs_of_a_plain_loop(window):
    random = np.random.default_rng(0)
    lengths = [1, 2, 3, 40, 0, 5, 17]
    borders = np.repeat(np.arange(len(lengths)), lengths).astype(np.int32)
    ids = np.arange(len(borders), dtype=np.int32)  # a word's id is its place

    class Widest:  # every window as wide as it can be
        def integers(self, low, high, size, endpoint):
            return np.full(size, high)

    chunks = Chunks(ids, borders, window)
    block = chunks.block(random.permutation(len(chunks)), Widest())
    found = {(int(block.centres[b, i]), int(block.around[b, j])) for b, i, j in np.argwhere(block.pairs)}
    expected = {
        (i, j)
        for i in ids.tolist()
        for j in ids.tolist()
        if i != j and abs(i - j) <= window and borders[i] == borders[j]
    }
    assert found == expected and block.pairs.sum() == len(expected)


def test_windows_are_drawn_evenly_and_are_the_same_on_both_sides():
    chunks = Chunks(np.arange(CHUNK * 400), np.zeros(CHUNK * 400, np.int32), 4)
    pairs = chunks.block(np.arange(1, 399), np.random.default_rng(0)).pairs
    widths = pairs.sum(2).ravel()
    assert set(widths) == {2, 4, 6, 8}
    assert np.abs(np.bincount(widths.astype(int))[2::2] / len(widths) - 0.25).max() < 0.03


def test_noise_is_drawn_by_count_to_the_power_of_three_quarters():
    counts = np.array([1000, 100, 10, 1])
    drawn = NoiseWords(counts, np.random.default_rng(0)).draw((1000, 200))
    share = np.bincount(drawn.ravel(), minlength=4) / drawn.size
    np.testing.assert_allclose(share, counts**0.75 / (counts**0.75).sum(), atol=0.005)


def test_rows_are_added_as_add_at_does():
    random = np.random.default_rng(0)
    matrix, ids = random.random((20, 3)).astype(np.float32), random.integers(20, size=(7, 30))
    rows = random.random((7, 30, 3)).astype(np.float32)
    expected = matrix.copy()
    np.add.at(expected, ids.ravel(), 0.5 * rows.reshape(-1, 3))
    add_rows(matrix, ids, rows, 0.5)
    np.testing.assert_allclose(matrix, expected, rtol=1e-5)


def test_progress_is_told_and_the_loss_falls(sentences, monkeypatch):
    monkeypatch.setattr(word2vec, "TICK", 0.0)
    told = list(train(sentences[:1500], Settings(size=20, epochs=4)))
    assert [p.share for p in told] == sorted(p.share for p in told) and told[-1].share == 1
    assert all(p.model is None for p in told[:-1]) and told[-1].words == told[-1].model.counts.sum() * 4
    losses = [p.loss for p in told]
    assert np.mean(losses[-20:]) < 0.85 * losses[0]
    assert losses[0] == pytest.approx(6 * np.log(2), rel=0.02)  # vectors begin so small that every σ is a half


def test_the_same_seed_gives_the_same_vectors(sentences):
    runs = [list(train(sentences[:500], Settings(size=10, epochs=1, seed=seed)))[-1].model for seed in (3, 3, 4)]
    assert (runs[0].input == runs[1].input).all() and not (runs[0].input == runs[2].input).all()


@pytest.mark.parametrize(
    "sentences",
    [
        [["a", "b"] * 500], [["a"], ["b"]] * 100, [["a"] * 1000 + ["b"]], [["a", "b"], [], ["b"]] * 3,
        [[chr(0x100 + i) for i in range(2000)]] * 2,
    ],
)  # fmt: skip
@pytest.mark.parametrize("sample", [0, 1e-5, 1])
def test_odd_texts_are_trained_on(sentences, sample):
    *_, last = train(sentences, Settings(size=8, epochs=3, min_count=1, sample=sample))
    assert np.isfinite(last.model.input).all() and np.abs(last.model.input).max() < 50


def test_blocks_are_smaller_where_a_word_comes_again_and_again():
    assert block_size(np.array([1.0] * 1000), 0.025) == word2vec.BLOCK
    assert block_size(np.array([1.0, 1.0]), 0.025) == 3 and block_size(np.array([1.0, 1.0]), 1.0) == 1


def test_too_little_text_is_one_sentence():
    for few in ([], [[]], [["a"]], [["a", "b", "c"]]):
        with pytest.raises(DataError, match="give more text"):
            list(train(few))


def test_steps_that_are_too_large_harm_the_vectors_but_not_the_numbers(sentences):
    settings = Settings(size=50, epochs=3, learning_rate=1.0, negative=50, sample=0)
    *_, last = train(sentences[:2000], settings)
    assert np.isfinite(last.model.input).all() and np.isfinite(last.model.output).all()


@pytest.mark.parametrize(
    "wrong",
    [{"size": 1}, {"size": 10**6}, {"window": 0}, {"epochs": 0}, {"negative": 0}, {"min_count": 0}, {"seed": -1},
     {"size": 2.5}, {"size": True}, {"sample": -1.0}, {"sample": float("nan")}, {"learning_rate": 0.0},
     {"learning_rate": float("nan")}],
)  # fmt: skip
def test_settings_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Settings(**wrong)


def test_words_become_ids():
    ids, borders = encode([["x", "y"], ["?"], ["y"]], ["y", "x"])
    assert ids.tolist() == [1, 0, 0] and borders.tolist() == [0, 0, 2]
