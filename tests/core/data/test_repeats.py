"""`builtin:repeats`: every passage twice, made of the grammar's sentences of the same split."""

from collections import Counter

from core.config import DataConfig
from core.data.grammar import generate
from core.data.repeats import MOST, SHUFFLED, passages, repeats_corpus
from core.data.sources import load_corpus


def test_every_passage_is_said_twice_and_most_are_shuffled():
    texts = passages(900, 3, "train")
    sentences = [example.src for example in generate(900, 3, "train")]
    at, kept, counts = 0, 0, Counter()
    for text in texts:
        first, second = text.split("\n")
        assert first == second
        words = Counter(first.split(" "))
        count = next(n for n in range(1, MOST + 1) if Counter(" ".join(sentences[at : at + n]).split(" ")) == words)
        kept += first == " ".join(sentences[at : at + count])
        counts[count] += 1
        at += count
    assert at == 900  # every sentence once, in order
    assert set(counts) == set(range(1, MOST + 1))
    assert abs(1 - kept / len(texts) - SHUFFLED) < 0.1


def test_the_same_everywhere_and_of_disjoint_splits():
    corpus = load_corpus(DataConfig(name="builtin:repeats", max_examples=20), "text", seed=5)
    again, other = repeats_corpus(20, seed=5), repeats_corpus(20, seed=6)
    assert (corpus.train, corpus.val, corpus.test) == (again.train, again.val, again.test)
    assert len(corpus.train) == 20 and corpus.train != other.train and corpus.val == other.val
    assert corpus.kind == "text" and 400 < len(corpus.val) < 600
    assert not set(corpus.val) & set(corpus.test) and not set(corpus.train) & set(corpus.val)
    # a sum over all characters, so that no platform makes other sentences
    assert sum(map(ord, "".join(passages(30, 0, "val")))) == 205_214
