"""Byte-pair encoding of one word, merge by merge, and the tree that the merges make.

>>> from core.tokenizer import train_bpe
>>> tokenizer = train_bpe(["low lower"] * 9, vocab_size=262)
>>> [(step.rank, step.merged, step.pieces) for step in merge_steps(tokenizer, "lows")]
[(0, b'lo', [b'lo', b'w', b's']), (1, b'low', [b'low', b's'])]
>>> [(root.piece, [child.piece for child in root.children]) for root in merge_tree(tokenizer, "lows")]
[(b'low', [b'lo', b'w']), (b's', [])]

A word here is what the model is given: a chunk of the pre-tokenised text (`chunks`). For byte-level tokenizers it
begins as its bytes; otherwise as its characters, as the `tokenizers` package begins (a character that the vocabulary
lacks becomes bytes written <0xE3>, or the unknown token, or nothing).
"""

import functools
import itertools
import re
from dataclasses import dataclass

from core.errors import RunError, TextError
from core.tokenizer.base import Tokenizer, clean_text
from core.tokenizer.bpe import BPETokenizer
from core.tokenizer.byte_map import CHAR_TO_BYTE, from_visible, to_visible
from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer
from core.tokenizer.files.sentencepiece_model import NORMAL, SPACE, USER_DEFINED, model_to_json
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.spans import Span

MAX_BYTES = 1000  # of a word whose merges are shown

Pair = tuple[int, int]
Symbol = tuple[int, bytes]  # a token's id, and the bytes of the word that it stands for


@dataclass(frozen=True)
class MergeStep:
    """A merge: of the pieces at `position` and `position + 1` before it; `pieces` are what is left after it."""

    rank: int  # see rank_meaning
    position: int
    left: bytes
    right: bytes
    merged: bytes
    pieces: list[bytes]
    id: int  # of the merged token


@dataclass(frozen=True)
class MergeNode:
    """A token of the tree. A leaf (a byte, a character, or a word that needed no merge) has no rank and no children."""

    piece: bytes
    id: int | None
    rank: int | None
    step: int | None  # which of merge_steps made it
    start: int  # where it begins, in bytes of the word
    children: tuple["MergeNode", ...] = ()


def merge_steps(tokenizer: Tokenizer, chunk: str, max_bytes: int = MAX_BYTES) -> list[MergeStep]:
    """Every merge of one word in order: the pair of lowest rank, leftmost first. TextError for tokenizers without
    merges, and for long words.

    The word is taken whole; `chunks` and `stages` show how a text is cut into words. With `ignore_merges` a word that
    is a token needs no merge; its merges are shown all the same.
    """
    return _merged(tokenizer, chunk, max_bytes)[1]


def merge_tree(tokenizer: Tokenizer, chunk: str, max_bytes: int = MAX_BYTES) -> list[MergeNode]:
    """The tokens of a word as trees of the merges that made them: the roots are the final tokens, the leaves what the
    word began as. TextErrors as of merge_steps."""
    symbols, steps = _merged(tokenizer, chunk, max_bytes)
    nodes, start = [], 0
    for id, piece in symbols:
        nodes.append(MergeNode(piece, id, None, None, start))
        start += len(piece)
    for number, step in enumerate(steps):
        left, right = nodes[step.position : step.position + 2]
        made = MergeNode(step.merged, step.id, step.rank, number, left.start, (left, right))
        nodes[step.position : step.position + 2] = [made]
    whole = _whole_token(_checked(tokenizer), chunk)
    if whole is not None and [node.id for node in nodes] != [whole]:
        return [MergeNode(clean_text(chunk).encode("utf-8"), whole, None, None, 0)]
    return nodes


def chunks(tokenizer: Tokenizer, text: str) -> list[tuple[str, Span]]:
    """The words of a text whose merges can be shown, each as the model is given it, with its characters in the text.

    White space that the pre-tokenisation drops, and tokens that were added to the vocabulary, are no words.
    TextError for tokenizers without merges.
    """
    text = clean_text(text)
    if isinstance(tokenizer, SentencePieceTokenizer):
        _checked(tokenizer)
        return _sentencepiece_words(tokenizer, text)
    tokenizer = _checked(tokenizer)
    if isinstance(tokenizer, BPETokenizer):
        found, position = [], 0
        for chunk in tokenizer.splitter(text):
            found.append((chunk, (position, position + len(chunk))))
            position += len(chunk)
        return found
    return readable_words(tokenizer, text)


def readable_words(tokenizer: HubTokenizer, text: str) -> list[tuple[str, Span]]:
    """The chunks that the model is given, without added tokens; those of byte-level tokenizers as text again."""
    words = [(word, span) for word, span, is_added in tokenizer.pre_tokens(text) if not is_added]
    if not tokenizer.is_byte_level:
        return words
    return [((from_visible(word) or word.encode("utf-8")).decode("utf-8", "replace"), span) for word, span in words]


def _sentencepiece_words(tokenizer: SentencePieceTokenizer, text: str) -> list[tuple[str, Span]]:
    """The normalised text without user-defined pieces, which nothing is merged with, cut before each sign for a space.
    What lies between is one chunk for the model, but no merge crosses those cuts; where a piece does, it is left whole.
    """
    normalized, offsets = tokenizer.processor.normalize(text, with_offsets=True)
    crossing = any(SPACE in piece.text.lstrip(SPACE) for piece in tokenizer.model.pieces if piece.type == NORMAL)
    whole = sorted(tokenizer.model.of_type(USER_DEFINED), key=len, reverse=True)  # the longest match wins
    found = [match.span() for match in re.finditer("|".join(map(re.escape, whole)), normalized)] if whole else []
    words: list[Span] = []
    start = 0
    for end, following in [*found, (len(normalized), 0)]:
        inner = [] if crossing else [i for i in range(start + 1, end) if _begins_word(normalized, i)]
        words += itertools.pairwise([start, *inner, end])
        start = following
    return [(normalized[a:b], (offsets[a], offsets[b])) for a, b in words if b > a]


def _begins_word(text: str, i: int) -> bool:
    return text[i] == SPACE and text[i - 1] != SPACE


def rank_meaning(tokenizer: Tokenizer) -> str:
    """What `rank` counts, for people.

    tiktoken has no list of merges: any two neighbours are joined whose bytes are a token, and the rank is that token's
    id. Files that were made from it list every cut of a token as a merge; there the id is shown, which its users know,
    and so it is for SentencePiece's BPE, which joins neighbours in the same way, the highest score (lowest id) first.
    """
    return "id of the merged token" if _ranks_are_ids(_checked(tokenizer)) else "place in the list of merges"


def rank_of_token(tokenizer: Tokenizer) -> dict[int, int]:
    """The rank of the first merge that makes a token, by its id; empty for tokenizers without merges."""
    found = _bpe(tokenizer)
    if found is None:
        return {}
    by_id = _ranks_are_ids(found)
    ranks: dict[int, int] = {}
    for rank, id in found.ranks.values():
        ranks[id] = id if by_id else min(rank, ranks.get(id, rank))
    return ranks


def merge_ranks(tokenizer: Tokenizer) -> dict[Pair, int]:
    """The rank of every pair of tokens (their ids) that is ever merged. TextError for tokenizers without merges."""
    found = _checked(tokenizer)
    by_id = _ranks_are_ids(found)
    return {pair: made[by_id] for pair, made in found.ranks.items()}


@functools.lru_cache(maxsize=4)
def _ranks_are_ids(tokenizer: BPETokenizer | HubTokenizer) -> bool:
    made = [id for _, id in sorted(tokenizer.ranks.values())]
    return len(set(made)) < len(made) and made == sorted(made)


def _bpe(tokenizer: Tokenizer) -> BPETokenizer | HubTokenizer | None:
    """The tokenizer as one whose merges are known; None if it has none."""
    if isinstance(tokenizer, SentencePieceTokenizer) and tokenizer.model_type == "BPE":
        return _as_json(tokenizer)
    is_bpe = isinstance(tokenizer, HubTokenizer) and tokenizer.model_type == "BPE"
    return tokenizer if is_bpe or isinstance(tokenizer, BPETokenizer) else None  # type: ignore[return-value]


@functools.lru_cache(maxsize=2)
def _as_json(tokenizer: SentencePieceTokenizer) -> HubTokenizer | None:
    """Its model only: what the normaliser does has been done when a word is given."""
    try:
        return HubTokenizer(model_to_json(tokenizer.model))
    except RunError:
        return None


def _checked(tokenizer: Tokenizer) -> BPETokenizer | HubTokenizer:
    found = _bpe(tokenizer)
    if found is None:
        if isinstance(tokenizer, SentencePieceTokenizer) and tokenizer.model_type == "BPE":
            raise TextError("This SentencePiece model joins pieces in a way that cannot be shown; choose another one.")
        raise TextError("Only byte-pair encoding (BPE) has merges to show; choose a BPE tokenizer.")
    return found


def _merged(tokenizer: Tokenizer, chunk: str, max_bytes: int) -> tuple[list[Symbol], list[MergeStep]]:
    """What the word begins as, and every merge of it."""
    tokenizer, chunk = _checked(tokenizer), clean_text(chunk)
    if (size := len(chunk.encode("utf-8"))) > max_bytes:
        raise TextError(f"Merges are shown for words of at most {max_bytes} bytes; this one has {size}.")
    by_id, ranks = _ranks_are_ids(tokenizer), tokenizer.ranks
    first = _first_symbols(tokenizer, chunk)
    symbols = list(first)
    steps: list[MergeStep] = []
    while True:
        found = [
            (ranks[pair][by_id], i, ranks[pair][1])
            for i, pair in enumerate(zip([s[0] for s in symbols], [s[0] for s in symbols[1:]], strict=False))
            if pair in ranks
        ]
        if not found:
            return first, steps
        rank, i, new = min(found)
        left, right = symbols[i][1], symbols[i + 1][1]
        symbols[i : i + 2] = [(new, left + right)]
        pieces = [piece for _, piece in symbols]
        steps.append(MergeStep(rank, i, left, right, left + right, pieces, new))


def _first_symbols(tokenizer: BPETokenizer | HubTokenizer, chunk: str) -> list[Symbol]:
    if isinstance(tokenizer, BPETokenizer):
        return [(tokenizer.vocab[bytes([b])], bytes([b])) for b in chunk.encode("utf-8")]
    if not tokenizer.is_byte_level:
        return tokenizer.first_symbols(chunk)
    symbols = tokenizer.first_symbols(to_visible(chunk.encode("utf-8")))
    return [(id, bytes([CHAR_TO_BYTE[c] for c in piece.decode("utf-8")])) for id, piece in symbols]


def _whole_token(tokenizer: BPETokenizer | HubTokenizer, chunk: str) -> int | None:
    """The id of a word that is a token and is taken as it is, whatever its merges (`ignore_merges`)."""
    data = clean_text(chunk).encode("utf-8")
    if isinstance(tokenizer, BPETokenizer):
        return tokenizer.vocab.get(data) if tokenizer.ignore_merges else None
    return tokenizer.whole_token(to_visible(data) if tokenizer.is_byte_level else clean_text(chunk))
