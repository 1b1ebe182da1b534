"""`builtin:enja`: an endless supply of English sentences with their Japanese translations and gold word alignments.

A synchronous grammar (Aho and Ullman, 1969; Shieber and Schabes, 1990) builds both sentences from the same choices, so
every English sentence has exactly one translation, and which word came from which is known. It needs no download,
and a small Transformer learns it within minutes, word order and all:

>>> example = generate(1, seed=6)[0]
>>> len(example.src_words) > 0 and all(0 <= i < len(example.src_words) for i, _ in example.alignment)
True

Splits are disjoint by construction: a hash of the Japanese sentence says which split a pair may occur in, so neither
a sentence nor a paraphrase of it ("do not" for "don't") occurs in two of them.
"""

import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from core.data import complex_sentences as c
from core.data import descriptions as d
from core.data import sentences as s
from core.data.clauses import Sentence
from core.data.corpus import Corpus, Pair
from core.data.phrases import Draw, Example, Tokens, align, english_text, finish, japanese_text

__all__ = ["Example", "Split", "enja_corpus", "generate", "generate_pairs", "held_out", "split_of"]

Split = Literal["train", "val", "test"]
DEFAULT_TRAIN, DEFAULT_HELD_OUT = 25_000, 500
MAX_WORDS = 14  # of an English sentence, the final mark not counted

_WEIGHTS: list[tuple[Callable[[Draw], Sentence], int]] = [
    (s.statement, 24),
    (s.animal_statement, 2),
    (s.yes_no_question, 8),
    (s.wh_question, 8),
    (s.request, 9),
    (s.modal, 11),
    (d.description, 9),
    (d.existence, 8),
    (d.possession, 7),
    (d.transfer, 6),
    (d.weather, 2),
    (c.relative_person, 5),
    (c.relative_thing, 6),
    (c.comparison, 4),
    (c.because, 4),
    (c.before_or_after, 4),
    (c.when, 4),
    (c.condition, 4),
    (c.thought, 6),
    (c.two_actions, 4),
]
_TEMPLATES = [template for template, weight in _WEIGHTS for _ in range(weight)]


def split_of(japanese: str) -> Split:
    """The split that a sentence pair belongs to, by its Japanese side: 84% train, 8% val, 8% test."""
    share = zlib.crc32(japanese.encode()) % 25
    return "val" if share < 2 else "test" if share < 4 else "train"


def generate(n: int, seed: int = 0, split: Split | None = "train") -> list[Example]:
    """`n` distinct examples of a split (None: of all), the same for the same seed on every machine."""
    return [finish(*drawn.tokens) for drawn in _draw(n, seed, split)]


def generate_pairs(n: int, seed: int = 0, split: Split | None = "train") -> list[Pair]:
    """The same as `generate`, as pairs; their alignment counts words and morphemes as `Example` does."""
    return [_pair(drawn) for drawn in _draw(n, seed, split)]


def enja_corpus(max_examples: int = 0, seed: int = 0) -> Corpus:
    """The default corpus: 25,000 training pairs (or max_examples) by seed; 500 to validate and 500 to test, always
    the same ones, so that scores of different seeds compare."""
    val, test = held_out(DEFAULT_HELD_OUT)
    return Corpus(
        "pairs",
        generate_pairs(max_examples or DEFAULT_TRAIN, seed),
        [Pair(example.src, example.tgt, example.alignment) for example in val],
        [Pair(example.src, example.tgt, example.alignment) for example in test],
        description="Built-in English-Japanese grammar",
        src_language="en",
        tgt_language="ja",
    )


def held_out(n: int) -> tuple[list[Example], list[Example]]:
    """The first `n` examples of val and of test: fixed, whatever the training seed."""
    found: dict[str, list[Example]] = {"val": [], "test": []}
    for drawn in _stream(Draw("enja-held-out")):
        if drawn.split != "train" and len(found[drawn.split]) < n:
            found[drawn.split].append(finish(*drawn.tokens))
        elif min(len(found["val"]), len(found["test"])) >= n:
            break
    return found["val"], found["test"]


class _Drawn(NamedTuple):
    split: Split
    english: str
    japanese: str
    tokens: tuple[Tokens, Tokens]


def _pair(drawn: _Drawn) -> Pair:
    return Pair(drawn.english, drawn.japanese, align(*drawn.tokens))


def _draw(n: int, seed: int, split: Split | None) -> Iterator[_Drawn]:
    fitting = (drawn for drawn in _stream(Draw(f"enja-{seed}")) if split is None or drawn.split == split)
    return itertools.islice(fitting, n)


def _stream(draw: Draw) -> Iterator[_Drawn]:
    """Distinct sentences without end, of all shapes in the proportions of _WEIGHTS, each with its split."""
    seen: set[str] = set()
    while True:
        template = draw.pick(_TEMPLATES)
        sentence = None
        while sentence is None or len(sentence[0]) > MAX_WORDS + 1:
            sentence = template(draw)
        english = english_text(sentence[0])
        if english not in seen:
            seen.add(english)
            japanese = japanese_text(sentence[1])
            yield _Drawn(split_of(japanese), english, japanese, sentence)
