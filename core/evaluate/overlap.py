"""How much of what a model is evaluated on stands in its training data.

    overlap(pairs, load_corpus(run.config.data, "pairs").train).summary()

Of pairs: the same source, the same target, both together, whatever the case and the spacing. Of texts: whole documents,
and runs of 13 words, the measure of Brown et al. (2020, appendix C) for text that a language model may have seen. Only
what is evaluated is kept in memory, as hashes; the training data passes by.
"""

import itertools
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from core.data.corpus import Pair
from core.data.splits import beginning, key
from core.errors import DataError

if TYPE_CHECKING:
    from core.config import DataConfig
    from core.run import Run

GRAM = 13  # words
MOST_GRAMS = 10_000_000  # runs of words that are looked for: 80 MB of hashes
MOST_ROWS = 2_000_000  # training examples that are looked at
NUMBERS = 1_000
_TOGETHER = 500  # training examples between two reports of progress
_WORDS_TOGETHER = 100_000  # that are hashed at a time
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd; 2^64 over the golden ratio

# Where words have no spaces between them (kana, Chinese characters, Thai to Khmer), a character is a word.
_WORD = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
    r"|[^\W\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)

Progress = Callable[[float, str], Any]


@dataclass(frozen=True)
class Overlap:
    """Numbers of evaluated examples that stand in the training data too.

    sources, targets, pairs: of translations; a pair counts whose source and target stand side by side in training.
    documents, grams: of texts; grams_of is how many different runs of 13 words were looked for.
    numbers: which examples (from 1) are meant by each count, the first NUMBERS of them.
    """

    kind: str  # "pairs" or "text"
    examples: int
    training: int  # training examples that were looked at
    complete: bool  # whether that was all, and all of the evaluated text was looked for
    sources: int = 0
    targets: int = 0
    pairs: int = 0
    documents: int = 0
    grams: int = 0
    grams_of: int = 0
    numbers: dict[str, list[int]] = field(default_factory=dict)

    def summary(self) -> str:
        """One sentence.

        >>> overlap([Pair("yes", "ja"), Pair("no", "nein")], [Pair("Yes", "ja")]).summary()
        'Of 2 pairs, 1 source, 1 target and 1 pair also stand in the training data (1 pair).'
        """
        what = "pair" if self.kind == "pairs" else "document"
        training = f"the training data ({'the first ' if not self.complete else ''}{_count(self.training, what)})"
        if self.kind == "pairs":
            found = (
                f"{_count(self.sources, 'source')}, {_count(self.targets, 'target')} and {_count(self.pairs, 'pair')}"
            )
            return f"Of {_count(self.examples, 'pair')}, {found} also stand in {training}."
        share = 100 * self.grams / self.grams_of if self.grams_of else 0.0
        return (
            f"Of {_count(self.examples, 'document')}, {self.documents:,} also stand in {training}, and {share:.1f}% of "
            f"{self.grams_of:,} different runs of {GRAM} words."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values: what there is for this kind, and the sentence."""
        counts = ("sources", "targets", "pairs") if self.kind == "pairs" else ("documents", "grams", "grams_of")
        shown = ("kind", "examples", "training", "complete", *counts, "numbers")
        return {name: getattr(self, name) for name in shown} | {"summary": self.summary()}


def overlap(
    evaluated: Sequence[Pair] | Sequence[str],
    training: Iterable[Pair] | Iterable[str],
    progress: Progress | None = None,
    most: int = 0,
    total: int = 0,
) -> Overlap:
    """Look for pairs (or documents) in training data, which is gone through once.

    most: training examples to look at (0: all). total: how many there are, for progress. Raises DataError.
    """
    if not evaluated:
        raise DataError("There is nothing to look for: no examples are given.")
    passing = _Passing(training, progress, most, total)
    if isinstance(evaluated[0], str):
        return _of_texts(evaluated, passing)  # type: ignore[arg-type]
    return _of_pairs(evaluated, passing)  # type: ignore[arg-type]


def overlap_with_training(run: "Run", evaluated: Sequence[Any], progress: Progress | None = None) -> Overlap:
    """Look for examples in what a run was trained on (that is without its validation data).

    Raises DataError if that data is not known or not within reach.
    """
    config = run.config.data
    if not config.name and not config.src:
        raise DataError(f"What {run.name} was trained on is not known, so overlaps cannot be looked for.")
    examples, total = training_examples(config, "pairs" if run.is_translation else "text", run.config.seed)
    with closing(examples):
        return overlap(evaluated, examples, progress, MOST_ROWS, total)


def training_examples(
    config: "DataConfig", kind: Literal["pairs", "text"], seed: int
) -> tuple[Generator[Any, None, None], int]:
    """What is trained on, one by one, and its number (of a stream 0 where it is not known). Raises DataError."""
    from core.data.sources import is_stream, load_corpus, typed

    if not is_stream(config):
        train = load_corpus(config, kind, seed).train
        return (example for example in train), len(train)
    from core.data.head import read_head
    from core.data.prefetch import Life, Prefetch

    head = read_head(config, kind, seed)

    def chunks(life: Life) -> Iterator[list[Any]]:
        for shard in range(head.shards.count):
            chunk: list[Any] = []
            for item in head.items.of(head.shards, shard):
                life.beat()
                if not head.items.is_empty(item) and not head.held.holds(item):
                    pair = Pair(item.text, item.target)
                    chunk.append(item.text if kind == "text" else typed(pair, config) if config.pretokenized else pair)
                if len(chunk) >= _TOGETHER:
                    yield chunk
                    chunk = []
            yield chunk

    def rows() -> Generator[Any, None, None]:
        reader = Prefetch(chunks, 2, config.timeout, head.shards.title)
        try:
            for chunk in reader:
                yield from chunk
        finally:
            reader.close()

    return rows(), config.max_examples or head.shards.total


class _Passing:
    """Training examples as they pass by, counted."""

    def __init__(self, training: Iterable[Any], progress: Progress | None, most: int, total: int) -> None:
        self.training, self.progress, self.most, self.total = training, progress, most, total
        self.count, self.complete = 0, True

    def __iter__(self) -> Iterator[Any]:
        for example in self.training:
            if self.most and self.count >= self.most:
                self.complete = False
                return
            if self.progress is not None and self.count % _TOGETHER == 0:
                share = min(1.0, self.count / self.total) if self.total else 0.0
                self.progress(share, f"looking for overlaps in {self.count:,} training examples")
            self.count += 1
            yield example


# -------------------------------------------------------------------------------------------------------- pairs


def _of_pairs(evaluated: Sequence[Pair], training: _Passing) -> Overlap:
    by_source: dict[str, list[int]] = {}
    by_target: dict[str, list[int]] = {}
    for number, pair in enumerate(evaluated, start=1):
        by_source.setdefault(key(pair.src), []).append(number)
        by_target.setdefault(key(pair.tgt), []).append(number)
    by_source.pop("", None)
    by_target.pop("", None)
    sources, targets, pairs = set[int](), set[int](), set[int]()
    for pair in training:
        same_source = by_source.get(key(pair.src), ())
        same_target = by_target.get(key(pair.tgt), ())
        sources.update(same_source)
        targets.update(same_target)
        if same_source and same_target:
            pairs.update(set(same_source).intersection(same_target))
    found = {"sources": sources, "targets": targets, "pairs": pairs}
    return Overlap(
        "pairs", len(evaluated), training.count, training.complete,
        sources=len(sources), targets=len(targets), pairs=len(pairs), numbers=_numbers(found),
    )  # fmt: skip


# -------------------------------------------------------------------------------------------------------- texts


def _of_texts(evaluated: Sequence[str], training: _Passing) -> Overlap:
    by_key: dict[str, list[int]] = {}
    begins = set()
    parts: list[np.ndarray] = []
    owners: list[np.ndarray] = []
    room = MOST_GRAMS
    for number, text in enumerate(evaluated, start=1):
        if text.strip():
            by_key.setdefault(key(text), []).append(number)
            begins.add(beginning(text))
        for hashes in grams_of(text):
            kept = hashes[:room]
            room -= len(kept)
            parts.append(kept)
            owners.append(np.full(len(kept), number))
            if len(kept) < len(hashes):
                training.complete = False
    wanted, first = np.unique(np.concatenate([np.empty(0, np.uint64), *parts]), return_index=True)
    found = np.zeros(len(wanted), dtype=bool)
    documents: set[int] = set()
    for text in training:
        if beginning(text) in begins:
            documents.update(by_key.get(key(text), ()))
        if not len(wanted):
            continue
        for hashes in grams_of(text):
            places = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
            found[places[wanted[places] == hashes]] = True
    holders = np.concatenate([np.empty(0, np.int64), *owners])[first[found]]
    return Overlap(
        "text", len(evaluated), training.count, training.complete,
        documents=len(documents), grams=int(found.sum()), grams_of=len(wanted),
        numbers=_numbers({"documents": documents, "grams": set(holders.tolist())}),
    )  # fmt: skip


def grams_of(text: str) -> Iterator[np.ndarray]:
    """Hashes of all runs of GRAM words of a text, in order, whatever the case and the punctuation: (runs,) arrays.

    A run's hash is a polynomial of its words' hashes modulo 2^64, so that all are computed at once.
    """
    words = (match.group() for match in _WORD.finditer(text.casefold()))
    last = np.empty(0, np.uint64)
    while chunk := list(itertools.islice(words, _WORDS_TOGETHER)):
        hashes = np.fromiter((hash(word) for word in chunk), np.int64, len(chunk)).view(np.uint64)
        hashes = np.concatenate([last, hashes])
        count = len(hashes) - GRAM + 1
        if count > 0:
            sums = np.zeros(count, np.uint64)
            for place in range(GRAM):
                sums = sums * _FACTOR + hashes[place : place + count]
            yield sums
        last = hashes[-(GRAM - 1) :]


# ------------------------------------------------------------------------------------------------------ helpers


def _numbers(found: dict[str, set[int]]) -> dict[str, list[int]]:
    return {name: sorted(numbers)[:NUMBERS] for name, numbers in found.items()}


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
