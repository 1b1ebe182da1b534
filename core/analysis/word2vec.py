"""Word vectors from a text: skip-gram with negative sampling, from scratch.

Mikolov et al., "Distributed Representations of Words and Phrases and their Compositionality" (2013). Every word has two
vectors, v as the word in the centre and u as a word around it. For a pair of words (centre, context) that stand near
each other, and k words n drawn at random, the loss is

    −log σ(u_context · v_centre) − Σ_k log σ(−u_n · v_centre)

As in the first published program: a centre sees b words on either side, b drawn anew from 1 … window; a word of
frequency f (a share of the text) is kept with probability √(t/f) + t/f; noise is drawn by count^0.75; the learning rate
falls linearly. Unlike there, the text is worked on in blocks of chunks of consecutive words. All windows of a chunk are
one small matrix product, of which a band counts, and they share their noise words (Ji et al., "Parallelizing Word2Vec
in Shared and Distributed Memory", 2016), each weighted so that the expected gradient is that of k words a pair.

>>> *_, last = train([["a", "b", "c"], ["b", "c", "d"]], Settings(size=4, epochs=1, min_count=1))
>>> last.model.words, last.model.input.shape
(['b', 'c', 'a', 'd'], (4, 4))
"""

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from core.errors import ConfigError, DataError

CHUNK = 16  # centres whose windows are one product
BLOCK = 64  # chunks between two updates of the vectors, at most
OFTEN = 24  # times that a word may be a centre between two updates, at the usual learning rate: see `block_size`
LONGEST = 1.0  # that a vector is moved at once: only texts of a few words again and again come near it
NOISE = 16  # noise words that a chunk shares
LAST_RATE = 1e-4  # that the learning rate ends with, as a share of the first: of word2vec.c
TICK = 0.2  # seconds between two tellings of the progress


@dataclass(frozen=True)
class Settings:
    """How to train. ConfigError for what cannot be."""

    size: int = 100  # of a vector
    window: int = 5  # words on either side, at most
    negative: int = 5  # noise words a pair
    epochs: int = 5
    min_count: int = 3  # rarer words are left out
    max_words: int = 50_000  # the most frequent ones, that get vectors
    sample: float = 1e-3  # t; 0: no word is left out because it is frequent
    learning_rate: float = 0.025
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("size", 2, 1_000), ("window", 1, 20), ("negative", 1, 50), ("epochs", 1, 1_000),
            ("min_count", 1, 1_000_000), ("max_words", 2, 1_000_000), ("seed", 0, 2**32 - 1),
        ):  # fmt: skip
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise ConfigError(f"{name} must be a whole number from {low:,} to {high:,}, not {value!r}.")
        if not 0 <= self.sample <= 1:
            raise ConfigError(f"sample must lie between 0 and 1, not {self.sample!r}.")
        if not 0 < self.learning_rate <= 1:
            raise ConfigError(f"learning_rate must be above 0 and at most 1, not {self.learning_rate!r}.")


@dataclass(frozen=True)
class Word2Vec:
    """The vectors of a vocabulary, the most frequent word first.

    input: (V, size) float32, of words in the centre: what is meant by "the word's vector". output: the same of words
    around. counts: (V,), how often a word occurs in the text.
    """

    words: list[str]
    counts: np.ndarray
    input: np.ndarray
    output: np.ndarray
    settings: Settings


@dataclass(frozen=True)
class Progress:
    """How far a training is. words: of the text, worked on so far; loss: a pair's, on average since the last one told
    (NaN at first)."""

    share: float
    words: int
    loss: float
    seconds: float
    model: Word2Vec | None = None  # the last one has it

    @property
    def words_per_second(self) -> float:
        return self.words / self.seconds if self.seconds > 0 else 0.0


def train(sentences: Iterable[Sequence[str]], settings: Settings | None = None) -> Iterator[Progress]:
    """Train on lists of words (of any kind: words, or tokens of a tokenizer). Tells how far it is a few times a second;
    whoever stops asking has stopped it. The last Progress has the model. DataError if there is too little text."""
    settings = settings or Settings()
    sentences = list(sentences)
    words, counts = vocabulary(sentences, settings)
    ids, borders = encode(sentences, words)
    random = np.random.default_rng(settings.seed)
    size, total = settings.size, settings.epochs * len(ids)
    centre = ((random.random((len(words), size), dtype=np.float32) - 0.5) / size).astype(np.float32)
    context = np.zeros((len(words), size), np.float32)
    keep, noise = keep_probability(counts, settings.sample), NoiseWords(counts, random)
    per_block = block_size(counts * keep, settings.learning_rate)
    began = told = time.monotonic()
    losses: list[float] = []
    loss = float("nan")
    for epoch in range(settings.epochs):
        kept = random.random(len(ids)) < keep[ids]
        chunks = Chunks(ids[kept], borders[kept], settings.window)
        order = random.permutation(len(chunks))
        for number, start in enumerate(range(0, len(order), per_block)):
            done = epoch * len(ids) + int(len(ids) * start / len(order))
            rate = settings.learning_rate * max(LAST_RATE, 1 - done / total)
            block = chunks.block(order[start : start + per_block], random)
            drawn = noise.draw((len(block.centres), NOISE))
            found = step(centre, context, block, drawn, settings.negative, rate, told=number % 8 == 0)
            losses += [] if found is None else [found]
            if time.monotonic() - told > TICK:
                told, loss, losses = time.monotonic(), float(np.mean(losses)) if losses else loss, []
                yield Progress(done / total, done, loss, told - began)
    loss = float(np.mean(losses)) if losses else loss
    yield Progress(1.0, total, loss, time.monotonic() - began, Word2Vec(words, counts, centre, context, settings))


def block_size(kept: np.ndarray, rate: float) -> int:
    """Chunks between two updates. kept: (V,), how often a word is expected to be kept.

    All gradients of a block are taken at the same vectors. Those of a word that occurs in it again and again would be
    one step that is too long; so the block is the smaller, the more frequent the most frequent word is.
    """
    often = OFTEN * min(1.0, Settings.learning_rate / rate)
    return int(np.clip(often * kept.sum() / kept.max() / CHUNK, 1, BLOCK))


# ------------------------------------------------------------------------------------------------------------- the text


def vocabulary(sentences: Sequence[Sequence[str]], settings: Settings) -> tuple[list[str], np.ndarray]:
    """The words that get vectors, the most frequent first (of equal ones the first in the text), and their counts."""
    counted: Counter[str] = Counter()
    for sentence in sentences:
        counted.update(sentence)
    kept = [(word, n) for word, n in counted.most_common() if n >= settings.min_count][: settings.max_words]
    if len(kept) < 2:
        raise DataError(
            f"The text has {len(counted):,} different words, of which {len(kept)} occur {settings.min_count} times or "
            "more: give more text, or ask for less often."
        )
    return [word for word, _ in kept], np.array([n for _, n in kept], np.int64)


def encode(sentences: Sequence[Sequence[str]], words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The known words' ids, all sentences behind each other, and which sentence each is in: two (N,) int32."""
    id_of = {word: id for id, word in enumerate(words)}
    rows = [[id_of[word] for word in sentence if word in id_of] for sentence in sentences]
    ids = np.fromiter((id for row in rows for id in row), np.int32, sum(map(len, rows)))
    return ids, np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])


def keep_probability(counts: np.ndarray, sample: float) -> np.ndarray:
    """(V,): √(t/f) + t/f, at most 1: rarely of frequent words. The paper has 1 − √(t/f) for leaving one out; this is
    what its program does.

    >>> keep_probability(np.array([990, 10]), 0.1).round(3).tolist()
    [0.419, 1.0]
    """
    if not sample:
        return np.ones(len(counts))
    share = sample * counts.sum() / counts
    return np.minimum(1.0, np.sqrt(share) + share)


class NoiseWords:
    """Words drawn with a probability that is proportional to count^0.75."""

    def __init__(self, counts: np.ndarray, random: np.random.Generator) -> None:
        self.bounds, self.random = np.cumsum(counts**0.75), random
        self.drawn = np.empty(0, np.int32)

    def draw(self, shape: tuple[int, int]) -> np.ndarray:
        need = shape[0] * shape[1]
        if len(self.drawn) < need:  # many at once cost little more than a few
            points = self.random.random(max(need, 65_536)) * self.bounds[-1]
            self.drawn = np.searchsorted(self.bounds, points, side="right").astype(np.int32)
        now, self.drawn = self.drawn[:need], self.drawn[need:]
        return now.reshape(shape)


@dataclass(frozen=True)
class Block:
    """Some chunks. centres: (B, CHUNK) ids. around: (B, CHUNK + 2·window) ids, from `window` words before a chunk to
    `window` words behind it. pairs: (B, CHUNK, CHUNK + 2·window) float32, 1 where the one sees the other."""

    centres: np.ndarray
    around: np.ndarray
    pairs: np.ndarray


class Chunks:
    """A text of N ids, cut into chunks."""

    def __init__(self, ids: np.ndarray, borders: np.ndarray, window: int) -> None:
        count = -(-len(ids) // CHUNK)
        missing = count * CHUNK - len(ids)
        self.window = window
        self.ids = np.pad(ids, (window, window + missing))
        # Nothing beyond the text is in a sentence, and nothing there is in the same one as anything else.
        self.borders = np.pad(borders, (window, window + missing), constant_values=-1)
        self.count = count
        self.places = np.arange(CHUNK + 2 * window)
        self.distance = np.abs(self.places - window - np.arange(CHUNK)[:, None])
        self.distance[self.distance == 0] = window + 1  # no word sees itself

    def __len__(self) -> int:
        return self.count

    def block(self, which: np.ndarray, random: np.random.Generator) -> Block:
        where = which[:, None] * CHUNK + self.places
        around, borders = self.ids[where], self.borders[where]
        inner = slice(self.window, self.window + CHUNK)
        reach = random.integers(1, self.window, size=(len(which), CHUNK, 1), endpoint=True)
        centre_borders = borders[:, inner, None]
        pairs = (self.distance <= reach) & (borders[:, None, :] == centre_borders) & (centre_borders >= 0)
        return Block(around[:, inner], around, pairs.astype(np.float32))


# ------------------------------------------------------------------------------------------------------------- the step


def step(
    centre: np.ndarray, context: np.ndarray, block: Block, noise: np.ndarray, negative: int, rate: float, told: bool
) -> float | None:
    """One step of gradient descent on a block, in place. noise: (B, n) ids that a chunk's centres share.

    Returns the mean loss of a pair before the step, if it is to be told.
    """
    loss, (of_centres, of_around, of_noise) = loss_and_gradients(
        centre[block.centres], context[block.around], context[noise], block.pairs, negative, told
    )
    add_rows(centre, block.centres, of_centres, -rate, LONGEST)
    ids = np.concatenate([block.around.ravel(), noise.ravel()])
    size = context.shape[1]
    add_rows(context, ids, np.concatenate([of_around.reshape(-1, size), of_noise.reshape(-1, size)]), -rate, LONGEST)
    return loss


def loss_and_gradients(
    v: np.ndarray, u: np.ndarray, n: np.ndarray, pairs: np.ndarray, negative: int, told: bool = True
) -> tuple[float | None, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The mean loss of the pairs (None: not asked for), and the gradients of their summed loss.

    v: (B, C, D) of the centres. u: (B, K, D) of the words around. n: (B, N, D) of noise. pairs: (B, C, K), 0 or 1. Each
    pair has `negative` noise words: of a centre with m pairs, each of the N counts m · negative / N times.
    The derivative of −log σ(x) is σ(x) − 1, that of −log σ(−x) is σ(x).
    """
    loss = None
    with np.errstate(over="ignore"):  # 1 / (1 + infinity) is the right 0
        near, far = v @ u.swapaxes(1, 2), v @ n.swapaxes(1, 2)
        weight = pairs.sum(2, keepdims=True) * np.float32(negative / n.shape[1])
        if told and (number := float(pairs.sum())):
            losses = (pairs * np.logaddexp(0, -near)).sum() + (weight * np.logaddexp(0, far)).sum()
            loss = float(losses) / number
        g_near = -pairs / (1 + np.exp(near))
        g_far = weight / (1 + np.exp(-far))
        return loss, (g_near @ u + g_far @ n, g_near.swapaxes(1, 2) @ v, g_far.swapaxes(1, 2) @ v)


def add_rows(
    matrix: np.ndarray, ids: np.ndarray, rows: np.ndarray, factor: float, longest: float = float("inf")
) -> None:
    """matrix[id] += factor · row for every id and its row, in place; an id may come several times. longest: what is
    added to one id in all is cut to this length.

    The sum of the rows of each id is a product with a sparse matrix, several times as quick as numpy's add.at.

    >>> a = np.zeros((3, 1), np.float32)
    >>> add_rows(a, np.array([2, 0, 2]), np.array([[1], [2], [3]], np.float32), 10)
    >>> a.ravel().tolist()
    [20.0, 0.0, 40.0]
    """
    from scipy.sparse import csc_matrix

    unique, place = np.unique(ids, return_inverse=True)
    number = place.size
    values, ends = np.full(number, factor, np.float32), np.arange(number + 1)
    sums = csc_matrix((values, place.ravel(), ends), shape=(len(unique), number))
    steps = sums @ rows.reshape(number, -1)
    if longest < float("inf"):
        lengths = np.sqrt(np.einsum("ij,ij->i", steps, steps))
        steps *= (longest / np.maximum(lengths, longest))[:, None]
    matrix[unique] += steps
