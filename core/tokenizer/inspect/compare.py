"""Several tokenizers on the same text: where they cut it, and where they differ.

>>> from core.tokenizer import train_bpe
>>> few, many = (train_bpe(["low lower lowest"] * 9, vocab_size=size) for size in (260, 270))
>>> seen = compare("low lows", {"few": few, "many": many})
>>> [(lane.name, lane.boundaries) for lane in seen.lanes]
[('few', [2, 3, 4, 6, 7, 8]), ('many', [3, 7, 8])]
>>> seen.agreed, seen.differing
([3, 7, 8], [(0, 3), (3, 7)])
"""

import bisect
import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from core.errors import TextError
from core.tokenizer.base import Encoding, Tokenizer, clean_text
from core.tokenizer.inspect.rows import Counts, count, count_text
from core.tokenizer.spans import Span, byte_positions

MOST = 6  # tokenizers side by side
SLICE = 1000  # lines that are tokenised at a time


@dataclass(frozen=True)
class Lane:
    """One tokenizer's way to cut the text."""

    name: str
    encoding: Encoding
    counts: Counts
    boundaries: list[int]  # characters of the text after which a token ends and none goes on, in order
    inside: list[tuple[int, int]]  # ends within a character: (that character, bytes of it before), in order


@dataclass(frozen=True)
class Comparison:
    """All lanes on one ruler: positions are characters of `text`."""

    text: str  # as the tokenizers see it: lone surrogates are U+FFFD
    lanes: list[Lane]
    agreed: list[int]  # boundaries that all lanes have
    differing: list[Span]  # stretches from one agreed boundary to the next that are not cut alike by all


def compare(text: str, tokenizers: dict[str, Tokenizer], parse_special: bool = False) -> Comparison:
    """The text cut by up to six tokenizers. TextError for more, or none."""
    _check(tokenizers)
    text = clean_text(text)
    lanes = []
    for name, tokenizer in tokenizers.items():
        encoding = tokenizer.encode(text, parse_special=parse_special)
        boundaries, inside = _boundaries(encoding, text)
        lanes.append(Lane(name, encoding, count(encoding, text), boundaries, inside))
    agreed = sorted(set.intersection(*(set(lane.boundaries) for lane in lanes)))
    return Comparison(text, lanes, agreed, _differing(lanes, agreed, len(text)))


def _boundaries(encoding: Encoding, text: str) -> tuple[list[int], list[tuple[int, int]]]:
    ends: list[int] = []
    inside: list[tuple[int, int]] = []
    byte_at = byte_positions(text)
    following = [*(start for start, _ in encoding.char_spans), len(text)][1:]
    for (_, last_byte), (start, end), next_start in zip(
        encoding.byte_spans, encoding.char_spans, following, strict=True
    ):
        if next_start < end:  # the next token has a part of the same character
            inside.append((end - 1, last_byte - byte_at[end - 1]))
        elif end > start and end > (ends[-1] if ends else 0):
            ends.append(end)
    return ends, sorted(set(inside))


def _differing(lanes: list[Lane], agreed: list[int], length: int) -> list[Span]:
    """The stretches between agreed boundaries that hold a boundary of some lanes only, or a character that is cut at
    other bytes."""
    common = set(agreed)
    parts = [set(lane.inside) for lane in lanes]
    marks = {position for lane in lanes for position in lane.boundaries if position not in common}
    everywhere = functools.reduce(set.intersection, parts)
    marks |= {char + 1 for part in parts for char, _ in part - everywhere}
    edges = sorted({0, *agreed, length})
    stretches = {bisect.bisect_left(edges, mark) for mark in marks}
    return [(edges[i - 1], edges[i]) for i in sorted(stretches)]


@dataclass(frozen=True)
class GroupCounts:
    """Sums over the lines of one group (a language, a script, a line), by the names of the tokenizers."""

    group: str
    lines: int
    counts: dict[str, Counts]


def compare_texts(
    rows: Iterable[tuple[str, str]], tokenizers: dict[str, Tokenizer], stop: Callable[[], bool] | None = None
) -> list[GroupCounts]:
    """Counts of many texts, each with the name of its group; groups in the order of their first lines.

    Only ids are made, a slice of lines at a time. `stop` is asked between slices; then what was counted so far is
    returned. Special tokens in the texts are text. TextError for more than six tokenizers, or none.
    """
    _check(tokenizers)
    lines: dict[str, int] = {}
    sums: dict[str, dict[str, list[int]]] = {}
    rows = iter(rows)
    while (batch := list(itertools.islice(rows, SLICE))) and not (stop is not None and stop()):
        texts = [clean_text(text) for _, text in batch]
        sizes = [count_text(text, 0) for text in texts]
        for group, _ in batch:
            lines[group] = lines.get(group, 0) + 1
        for name, tokenizer in tokenizers.items():
            for (group, _), size, ids in zip(batch, sizes, tokenizer.encode_batch(texts), strict=True):
                total = sums.setdefault(group, {}).setdefault(name, [0] * 5)
                for i, value in enumerate((len(ids), size.characters, size.graphemes, size.bytes, size.words)):
                    total[i] += value
    return [
        GroupCounts(group, n, {name: Counts(*total) for name, total in sums[group].items()})
        for group, n in lines.items()
    ]


def _check(tokenizers: dict[str, Tokenizer]) -> None:
    if not 1 <= len(tokenizers) <= MOST:
        raise TextError(f"Compare one to {MOST} tokenizers, not {len(tokenizers)}.")
