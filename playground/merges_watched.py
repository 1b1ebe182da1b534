"""Merges as they form, and how a sample sentence is cut by those that there are so far.

>>> watched = Watched("low lower", "gpt2")
>>> watched.add([(0, b"l", b"o", 7), (1, b"lo", b"w", 7), (2, b"e", b"r", 2)])
>>> watched.sample
[[b'low'], [b' ', b'low', b'er']]
"""

from collections.abc import Iterable
from itertools import pairwise

from core.tokenizer.base import clean_text
from core.tokenizer.bpe_train import count_chunks, learn_merges
from core.tokenizer.split import Splitter

Formed = tuple[int, bytes, bytes, int]  # rank, the two tokens that became one, how often they stood so

SAMPLE = 400  # characters of the sample
AT_ONCE = (2_000, 200)  # characters, and merges, of what is trained in place while the page is made


class Watched:
    """All merges so far, in order, and the sample's chunks as pieces.

    A merge's tokens are older than itself, so applying each to the whole sample when it forms gives what encoding with
    all of them would.
    """

    def __init__(self, sample: str, pattern: str) -> None:
        self.merges: list[Formed] = []
        self.total = 0  # merges that are asked for
        self.characters, self.sampled = len(sample), SAMPLE  # of what is given, and how many of them are watched
        chunks = Splitter(pattern)(clean_text(sample[:SAMPLE]))
        self.sample = [[bytes([byte]) for byte in chunk.encode("utf-8")] for chunk in chunks]
        self._pairs = self._neighbours()

    def add(self, merges: Iterable[Formed]) -> None:
        for rank, left, right, count in merges:
            self.merges.append((rank, left, right, count))
            if (left, right) in self._pairs:
                for chunk in self.sample:
                    _merge(chunk, left, right)
                self._pairs = self._neighbours()

    def _neighbours(self) -> set[tuple[bytes, bytes]]:
        return {pair for chunk in self.sample for pair in pairwise(chunk)}

    @property
    def counts(self) -> list[int]:
        return [count for _, _, _, count in self.merges]


def _merge(pieces: list[bytes], left: bytes, right: bytes) -> None:
    """Join every `left` that is followed by `right`, from the left."""
    i = 0
    while i + 1 < len(pieces):
        if pieces[i] == left and pieces[i + 1] == right:
            pieces[i : i + 2] = [left + right]
        i += 1


def merges_of(text: str, pattern: str) -> Watched:
    """What a short text alone would teach: trained here and now on its beginning, the text itself as the sample.

    A text is short enough that this takes milliseconds. TextError for a pattern that cannot be used.
    """
    characters, most = AT_ONCE
    watched = Watched(text, pattern)
    watched.total = most

    def progress(done: int, total: int, merge: tuple[bytes, bytes], count: int) -> None:
        watched.add([(done - 1, *merge, count)])

    learn_merges(count_chunks([clean_text(text[:characters])], Splitter(pattern)), most, progress=progress)
    return watched
