"""Word2Vec against gensim, on one thread: words a second, and how good the vectors are."""

import functools

from tests.benchmarks.measure import Row, against, floor_rate

EPOCHS = 3


@functools.cache
def sentences() -> list[list[str]]:
    from core.analysis.words import words_of
    from core.data.grammar import generate

    return [words_of(example.src) for example in generate(25_000)]


def ours(seed: int = 0) -> "object":
    from core.analysis.word2vec import Settings, train

    *_, last = train(sentences(), Settings(min_count=1, epochs=EPOCHS, seed=seed))
    return last.model


def gensims(seed: int = 0) -> "object":
    from gensim.models import Word2Vec

    return Word2Vec(
        sentences(), vector_size=100, window=5, min_count=1, negative=5, sg=1, epochs=EPOCHS, workers=1, seed=seed
    )


def floor() -> float:
    """Words a second, if nothing but the products of the kept words' pairs, and reading and writing their vectors once
    an update, took time."""
    from core.analysis.word2vec import Settings, keep_probability, vocabulary

    settings = Settings(min_count=1)
    _, counts = vocabulary(sentences(), settings)
    kept = float((counts * keep_probability(counts, settings.sample)).sum() / counts.sum())
    pairs = settings.window + 1  # of a centre, on average
    products = 3 * 2 * settings.size * pairs * (1 + settings.negative)
    return floor_rate(1, kept * products, kept * 4 * 4 * settings.size)


def word2vec() -> list[Row]:
    from tests.core.analysis.test_word2vec import share_of_class

    amount = EPOCHS * sum(map(len, sentences()))
    rows = against(
        "Word2Vec, size 100", "words/s", amount, lambda: ours(), [("gensim, 1 worker", lambda: gensims())], floor()
    )
    mine, theirs = ours(1), gensims(1)
    good = share_of_class(mine.words, mine.input)  # type: ignore[attr-defined]
    peer = share_of_class(theirs.wv.index_to_key, theirs.wv.vectors)  # type: ignore[attr-defined]
    rows.append(
        Row("Word2Vec, neighbours of a kind", "share", good, peer, "gensim", 1.0, "five neighbours of each noun")
    )
    return rows
