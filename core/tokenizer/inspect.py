"""Look into a tokenisation: rows of a table, counts, the stages, and each merge of a word. Pure functions for views.

>>> from core.tokenizer import train_bpe
>>> tokenizer = train_bpe(["low lower"] * 9, vocab_size=262)
>>> [(step.rank, step.merged, step.pieces) for step in merge_steps(tokenizer, "lows")]
[(0, b'lo', [b'lo', b'w', b's']), (1, b'low', [b'low', b's'])]
"""

from dataclasses import dataclass
from functools import lru_cache

import regex

from core.errors import TextError
from core.tokenizer.base import Encoding, Tokenizer, clean_text
from core.tokenizer.bpe import BPETokenizer
from core.tokenizer.byte_map import to_visible
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.visible import visible

Span = tuple[int, int]


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
    graphemes = sum(1 for _ in regex.finditer(r"\X", text))
    return Counts(len(encoding), len(text), graphemes, len(text.encode("utf-8")), len(text.split()))


@dataclass(frozen=True)
class MergeStep:
    """A merge: of the pieces at `position` and `position + 1` before it; `pieces` are what is left after it."""

    rank: int
    position: int
    left: bytes
    right: bytes
    merged: bytes
    pieces: list[bytes]


def merge_steps(tokenizer: Tokenizer, chunk: str, max_bytes: int = 1000) -> list[MergeStep]:
    """Every merge of one chunk (word) in order. TextError for tokenizers without byte-level merges, and long chunks.

    The chunk is taken whole; `stages` shows how a text is cut into chunks. With `ignore_merges` a chunk that is a
    token needs no merge; its merges are shown all the same.
    """
    if not isinstance(tokenizer, BPETokenizer):
        raise TextError("Merges can be shown for byte-level BPE tokenizers only; choose one of those.")
    data = clean_text(chunk).encode("utf-8")
    if len(data) > max_bytes:
        raise TextError(f"Merges are shown for words of at most {max_bytes} bytes; this one has {len(data)}.")
    ids = [tokenizer.vocab[bytes([b])] for b in data]
    steps: list[MergeStep] = []
    while True:
        found = [
            (tokenizer.ranks[pair], i)
            for i, pair in enumerate(zip(ids, ids[1:], strict=False))
            if pair in tokenizer.ranks
        ]
        if not found:
            return steps
        (rank, new), i = min(found)
        left, right = tokenizer.token_bytes(ids[i]), tokenizer.token_bytes(ids[i + 1])
        ids[i : i + 2] = [new]
        pieces = [tokenizer.token_bytes(id) for id in ids]
        steps.append(MergeStep(rank, i, left, right, left + right, pieces))


@dataclass(frozen=True)
class Stages:
    """What each stage of a tokenizer makes of a text, as the `tokenizers` package names and writes it."""

    normalized: str
    pre_tokens: list[tuple[str, Span]]  # chunks as the model sees them (byte-level: GPT-2's characters), with positions
    tokens: list[tuple[str, int]]  # the model's tokens and ids
    post_processed: list[tuple[str, int]]  # with what the tokenizer adds around a text


def stages(tokenizer: Tokenizer, text: str) -> Stages:
    """Normalise → pre-tokenise → model → post-process. Special tokens in the text are text."""
    text = clean_text(text)
    fast = tokenizer.fast()
    normalized = fast.normalizer.normalize_str(text) if fast.normalizer is not None else text
    if isinstance(tokenizer, BPETokenizer):
        pre_tokens, position = [], 0
        for chunk in tokenizer.splitter(text):
            pre_tokens.append((to_visible(chunk.encode("utf-8")), (position, position + len(chunk))))
            position += len(chunk)
    elif fast.pre_tokenizer is not None:
        pre_tokens = fast.pre_tokenizer.pre_tokenize_str(normalized)
    else:
        pre_tokens = [(normalized, (0, len(normalized)))] if normalized else []
    encoded = fast.encode(text, add_special_tokens=False)
    processor = tokenizer.full if isinstance(tokenizer, HubTokenizer) else fast
    processed = processor.post_process(encoded)
    return Stages(
        normalized,
        pre_tokens,
        list(zip(encoded.tokens, encoded.ids, strict=True)),
        list(zip(processed.tokens, processed.ids, strict=True)),
    )
