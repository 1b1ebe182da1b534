"""Where tokens lie in a text: from their bytes to positions in UTF-8 and in characters.

>>> exact_spans([b"a", b"\\xc3", b"\\xa9"], byte_positions("aé"))
([(0, 1), (1, 2), (2, 3)], [(0, 1), (1, 2), (1, 2)])
"""

import itertools

Span = tuple[int, int]


def byte_positions(text: str) -> list[int] | range:
    """Where each character starts in the text's UTF-8, and where the last one ends."""
    if text.isascii():
        return range(len(text) + 1)
    return [0, *itertools.accumulate(len(char.encode("utf-8")) for char in text)]


def exact_spans(pieces: list[bytes], byte_at: list[int] | range) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Byte and character spans of pieces that follow each other without a gap."""
    byte_spans, char_spans = [], []
    start, first = 0, 0  # byte position, and the character that it lies in
    for piece in pieces:
        end = start + len(piece)
        while byte_at[first] < start and byte_at[first + 1] <= start:
            first += 1
        last = first
        while byte_at[last] < end:
            last += 1
        byte_spans.append((start, end))
        char_spans.append((first, last))
        start = end
        first = max(first, last - 1)
    return byte_spans, char_spans


def matched_spans(
    pieces: list[bytes], char_spans: list[tuple[int, int]], byte_at: list[int] | range, data: bytes
) -> tuple[list[bytes], list[tuple[int, int]], list[tuple[int, int]]]:
    """Pieces, byte and character spans where not every token's bytes are the text's.

    A token whose bytes follow in the text (perhaps without a space that was put in front of it) has just those; a token
    of characters that were normalised has all that the package says it came from.
    """
    matched: list[bytes] = []
    byte_spans: list[tuple[int, int]] = []
    spans: list[tuple[int, int]] = []
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
