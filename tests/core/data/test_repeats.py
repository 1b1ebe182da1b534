"""`builtin:repeats`: every passage twice, made of the grammar's sentences of the same split."""

import re
from collections import Counter

from core.config import DataConfig
from core.data.grammar import generate
from core.data.repeats import AS_THEY_ARE, MOST, SHUFFLED, passages, repeats_corpus
from core.data.sources import load_corpus


def taken_apart(text, sentences):
    """(sentences that it took, how it is made, whether it is said again from its start, and on a new line)."""
    words = re.split(r"[ \n]", text)
    for count in range(1, MOST + 1):
        plain = " ".join(sentences[:count]).split(" ")
        first, again = words[: len(plain)], words[len(plain) :]
        if len(first) == len(plain) and again and again == first[-len(again) :]:
            kind = "plain" if first == plain else "shuffled" if Counter(first) == Counter(plain) else "made up"
            return count, kind, len(again) == len(first), "\n" in text
    raise AssertionError(text)


def test_every_passage_is_said_twice():
    texts = passages(1_200, 3, "train")
    sentences = [example.src for example in generate(1_200, 3, "train")]
    found = []
    for text in texts:
        found.append(taken_apart(text, sentences))
        sentences = sentences[found[-1][0] :]
    assert sentences == []  # every one was used, in order
    share = {key: n / len(texts) for part in zip(*found, strict=True) for key, n in Counter(part).items() if key != 1}
    assert abs(share["plain"] - AS_THEY_ARE) < 0.08 and abs(share["shuffled"] - SHUFFLED) < 0.08
    starts, lines = (Counter(part) for part in list(zip(*found, strict=True))[2:])
    assert 0.4 < starts[True] / len(texts) < 0.65 and 0.4 < lines[True] / len(texts) < 0.6
    assert {count for count, *_ in found} == set(range(1, MOST + 1))


def test_the_same_everywhere_and_of_disjoint_splits():
    corpus = load_corpus(DataConfig(name="builtin:repeats", max_examples=20), "text", seed=5)
    again, other = repeats_corpus(20, seed=5), repeats_corpus(20, seed=6)
    assert (corpus.train, corpus.val, corpus.test) == (again.train, again.val, again.test)
    assert len(corpus.train) == 20 and corpus.train != other.train and corpus.val == other.val
    assert corpus.kind == "text" and 400 < len(corpus.val) < 600
    assert not set(corpus.val) & set(corpus.test) and not set(corpus.train) & set(corpus.val)
    # a sum over all characters, so that no platform makes other sentences
    assert sum(map(ord, "".join(passages(30, 0, "val")))) == 164_980
