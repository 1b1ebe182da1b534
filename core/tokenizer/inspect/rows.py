"""Rows of a token table, and counts. Pure functions for views.

>>> from core.tokenizer import train_bpe
>>> tokenizer = train_bpe(["low lower"] * 9, vocab_size=262)
>>> [(row.id, row.text, row.bytes_hex) for row in token_rows(tokenizer.encode("low é"), "low é")]
[(260, 'low', '6C 6F 77'), (223, '·', '20'), (130, '<C3>', 'C3'), (105, '<A9>', 'A9')]
"""

from dataclasses import dataclass
from functools import lru_cache

import regex

from core.tokenizer.base import Encoding, clean_text
from core.tokenizer.spans import Span
from core.tokenizer.visible import visible

_GRAPHEME = regex.compile(r"\X")


@dataclass(slots=True)  # not frozen: long texts have many rows, and those are slow to make
class TokenRow:
    """One token of a table. `shares_with`: the tokens (this one included) that hold parts of the same `characters`."""

    index: int
    id: int
    text: str  # visible
    bytes_hex: str
    char_span: Span
    byte_span: Span
    is_special: bool
    is_partial: bool  # holds part of a character
    characters: str  # the whole characters that it touches
    shares_with: tuple[int, ...] = ()


def token_rows(encoding: Encoding, text: str, start: int = 0, stop: int | None = None) -> list[TokenRow]:
    """Rows for the tokens from `start` to `stop`, of the text that was encoded."""
    text = clean_text(text)
    rows = []
    for i in range(max(0, start), len(encoding) if stop is None else min(stop, len(encoding))):
        piece, span = encoding.pieces[i], encoding.char_spans[i]
        shown, bytes_hex, partial = _look(piece)
        rows.append(
            TokenRow(
                index=i,
                id=encoding.ids[i],
                text=shown,
                bytes_hex=bytes_hex,
                char_span=span,
                byte_span=encoding.byte_spans[i],
                is_special=encoding.special_mask[i],
                is_partial=partial,
                characters=text[slice(*span)],
                shares_with=shared_tokens(encoding, i) if partial else (),
            )
        )
    return rows


@lru_cache(maxsize=20_000)  # a long text repeats its tokens
def _look(piece: bytes) -> tuple[str, str, bool]:
    return visible(piece), piece.hex(" ").upper(), is_partial(piece)


def is_partial(piece: bytes) -> bool:
    """Whether the piece begins or ends within a character."""
    try:
        piece.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def shared_tokens(encoding: Encoding, index: int) -> tuple[int, ...]:
    """The run of neighbouring tokens that overlap with this one, character by character."""
    spans = encoding.char_spans
    first = last = index
    while first > 0 and spans[first - 1][1] > spans[index][0]:
        first -= 1
    while last + 1 < len(spans) and spans[last + 1][0] < spans[index][1]:
        last += 1
    return tuple(range(first, last + 1))


@dataclass(frozen=True)
class Counts:
    """Sizes of a text and of its tokenisation. A word is what stands between white space."""

    tokens: int
    characters: int  # Unicode code points
    graphemes: int  # what a reader takes for one character
    bytes: int  # of UTF-8
    words: int

    @property
    def chars_per_token(self) -> float:
        return self.characters / self.tokens if self.tokens else 0.0

    @property
    def bytes_per_token(self) -> float:
        return self.bytes / self.tokens if self.tokens else 0.0

    @property
    def tokens_per_word(self) -> float:
        return self.tokens / self.words if self.words else 0.0


def count(encoding: Encoding, text: str) -> Counts:
    """Counts of a text and its encoding."""
    text = clean_text(text)
    return count_text(text, len(encoding))


def count_text(text: str, tokens: int) -> Counts:
    """Counts of a clean text that has so many tokens."""
    graphemes = len(text) - text.count("\r\n") if text.isascii() else sum(1 for _ in _GRAPHEME.finditer(text))
    return Counts(tokens, len(text), graphemes, len(text.encode("utf-8")), len(text.split()))
