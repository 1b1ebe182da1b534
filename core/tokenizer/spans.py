"""Where tokens lie in a text: from their bytes to positions in UTF-8 and in characters.

>>> exact_spans([b"a", b"\\xc3", b"\\xa9"])  # "aé", whose second character has two bytes
([(0, 1), (1, 2), (2, 3)], [(0, 1), (1, 2), (1, 2)])
"""

import itertools
from collections.abc import Sequence

Span = tuple[int, int]

_IS_FIRST = bytes(byte & 0xC0 != 0x80 for byte in range(256))  # 1 for a byte that begins a character, else 0


def byte_positions(text: str) -> Sequence[int]:
    """Where each character starts in the text's UTF-8, and where the last one ends.

    >>> byte_positions("aéb")
    [0, 1, 3, 4]
    """
    if text.isascii():
        return range(len(text) + 1)
    data = text.encode("utf-8")
    return [*itertools.compress(range(len(data)), data.translate(_IS_FIRST)), len(data)]


def exact_spans(pieces: Sequence[bytes]) -> tuple[list[Span], list[Span]]:
    """Byte and character spans of pieces that follow each other without a gap: joined they are the text."""
    ends = list(itertools.accumulate(map(len, pieces)))
    byte_spans = list(zip([0, *ends], ends, strict=False))
    data = b"".join(pieces)
    if data.isascii():
        return byte_spans, byte_spans.copy()
    # How many characters have begun before each byte. A byte's own character is the last that has begun with it.
    begun = [0, *itertools.accumulate(data.translate(_IS_FIRST))]
    begun.append(begun[-1] + 1)
    return byte_spans, [(begun[start + 1] - 1, begun[end]) for start, end in byte_spans]


def matched_spans(
    pieces: list[bytes], char_spans: list[Span], byte_at: Sequence[int], data: bytes
) -> tuple[list[bytes], list[Span], list[Span]]:
    """Pieces, byte and character spans where not every token's bytes are the text's.

    A token whose bytes follow in the text (perhaps without a space that was put in front of it) has just those; a token
    of characters that were normalised has all that the package says it came from.
    """
    matched: list[bytes] = []
    byte_spans: list[Span] = []
    spans: list[Span] = []
    position, char = 0, 0  # in bytes, and the character that lies there
    for piece, (first, last) in zip(pieces, char_spans, strict=True):
        start, end = byte_at[first], byte_at[last]
        here = max(position, start)
        if not data.startswith(piece, here) and piece[:1] == b" ":
            piece = piece[1:]
        if data.startswith(piece, here) and here + len(piece) <= end:
            start, end = here, here + len(piece)
            char = max(char, first)
            while char < last and byte_at[char + 1] <= start:
                char += 1
            first = last = char
            while byte_at[last] < end:
                last += 1
        matched.append(data[start:end])
        byte_spans.append((start, end))
        spans.append((first, last))
        position = max(position, end)
    return matched, byte_spans, spans
