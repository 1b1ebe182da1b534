"""The four stages of a tokenizer: normalise → pre-tokenise → model → post-process, each with what it makes of a text.

>>> from core.tokenizer import train_bpe
>>> seen = stages(train_bpe(["low lower"] * 9, vocab_size=262), "low é")
>>> seen.pre_tokenizer, seen.pre_tokens
("GPT-2's pattern, then bytes", [('low', (0, 3)), ('ĠÃ©', (3, 5))])
>>> [token.text for token in seen.tokens]
['low', 'Ġ', 'Ã', '©']

Everything is written as the `tokenizers` package writes it: equal to its `normalize_str`, `pre_tokenize_str`, `encode`
and `post_process`.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.tokenizer.base import Encoding, Tokenizer, clean_text
from core.tokenizer.bpe import BPETokenizer
from core.tokenizer.byte_map import to_visible
from core.tokenizer.files.marian import MarianTokenizer
from core.tokenizer.files.sentencepiece_file import SentencePieceTokenizer
from core.tokenizer.hub import HubTokenizer
from core.tokenizer.inspect.describe import (
    describe_model,
    describe_normalizer,
    describe_pattern,
    describe_pre_tokenizer,
    describe_processor,
)
from core.tokenizer.spans import Span


@dataclass(slots=True)  # not frozen: long texts have many, and those are slow to make
class StageToken:
    """A token as the vocabulary writes it (byte-level: GPT-2's characters), its id, and its characters in the text."""

    text: str
    id: int
    span: Span
    special: bool = False


@dataclass(frozen=True)
class Stages:
    """What each stage makes of a text, and one line each that says what the stage is."""

    normalized: str
    pre_tokens: list[tuple[str, Span]]  # chunks as the model is given them, with their places in `normalized`
    pre_token_spans: list[Span]  # their characters in the text itself
    tokens: list[StageToken]
    post_processed: list[StageToken]  # with what the tokenizer adds around a text
    normalizer: str
    pre_tokenizer: str
    model: str
    post_processor: str


def stages(tokenizer: Tokenizer, text: str, *, parse_special: bool = False) -> Stages:
    """The stages of a text. Special tokens in it are text, unless `parse_special`: then each is a chunk of its own,
    which no stage changes."""
    text = clean_text(text)
    if isinstance(tokenizer, BPETokenizer):
        return _own_bpe(tokenizer, text, parse_special)
    if isinstance(tokenizer, HubTokenizer):
        return _hub(tokenizer, text, parse_special)
    return _one_chunk(tokenizer, text, parse_special)


def _own_bpe(tokenizer: BPETokenizer, text: str, parse_special: bool) -> Stages:
    words, position = [], 0
    for part, special in tokenizer.parts(text) if parse_special else [(text, False)]:
        for chunk in [part] if special else tokenizer.splitter(part):
            span = (position, position + len(chunk))
            words.append((chunk if special else to_visible(chunk.encode("utf-8")), span))
            position += len(chunk)
    encoding = tokenizer.encode(text, parse_special=parse_special)
    tokens = _tokens(encoding, tokenizer)
    processed = tokens
    if tokenizer.post_processor is not None:
        fast = tokenizer.parsing() if parse_special else tokenizer.fast()
        processed = _package_tokens(fast.encode(text), tokenizer, parse_special)
    return Stages(
        text,
        words,
        [span for _, span in words],
        tokens,
        processed,
        "none",
        describe_pattern(tokenizer.splitter.name) + ", then bytes",
        f"BPE, {len(tokenizer.merges):,} merges" + (", a word in the vocabulary needs none" * tokenizer.ignore_merges),
        describe_processor(tokenizer.post_processor),
    )


def _hub(tokenizer: HubTokenizer, text: str, parse_special: bool) -> Stages:
    document = tokenizer.document
    segments = tokenizer.pre_tokens(text, parse_special=parse_special, only_normalize=True)
    found = tokenizer.pre_tokens(text, parse_special=parse_special)
    normalized, places = "", []
    pre_tokenizer = tokenizer.full.pre_tokenizer
    for segment, _, is_added in segments:
        inner = [(segment, (0, len(segment)))]
        if not is_added and pre_tokenizer is not None:
            inner = pre_tokenizer.pre_tokenize_str(segment)
        places += [(start + len(normalized), end + len(normalized)) for _, (start, end) in inner]
        normalized += segment
    words = [(word, place) for (word, _, _), place in zip(found, places, strict=True)]
    encoded = tokenizer.model_output(text, parse_special=parse_special)
    tokens = processed = _package_tokens(encoded, tokenizer, parse_special)
    if document.get("post_processor"):
        processed = _package_tokens(tokenizer.post_processed(encoded), tokenizer, parse_special)
    return Stages(
        normalized,
        words,
        [span for _, span, _ in found],
        tokens,
        processed,
        describe_normalizer(document.get("normalizer")),
        describe_pre_tokenizer(document.get("pre_tokenizer")),
        describe_model(document["model"]),
        describe_processor(document.get("post_processor")),
    )


def _one_chunk(tokenizer: Tokenizer, text: str, parse_special: bool) -> Stages:
    """Characters, and SentencePiece models: without pre-tokenisation a text is one chunk, or what lies between special
    tokens."""
    encoding = tokenizer.encode(text, parse_special=parse_special)
    tokens = _tokens(encoding, tokenizer)
    special = [span for span, is_special in zip(encoding.char_spans, encoding.special_mask, strict=True) if is_special]
    edges = [0, *(edge for span in special for edge in span), len(text)]
    spans = [span for span in itertools.pairwise(edges) if span[1] > span[0]]
    normalize = _normalize(tokenizer)
    words, normalized = [], ""
    for start, end in spans:
        chunk = text[start:end] if (start, end) in special else normalize(text[start:end])
        words.append((chunk, (len(normalized), len(normalized) + len(chunk))))
        normalized += chunk
    kept = [(word, span) for word, span in zip(words, spans, strict=True) if word[0]]
    normalizer, model = "none", f"characters, {tokenizer.vocab_size - len(tokenizer.special_tokens):,} of them"
    if isinstance(tokenizer, SentencePieceTokenizer):
        normalizer = f"SentencePiece's {tokenizer.model.normalization or 'own'}, spaces as '▁'"
        model = f"SentencePiece {tokenizer.model_type}, {tokenizer.vocab_size:,} pieces"
    elif isinstance(tokenizer, MarianTokenizer):
        normalizer = "SentencePiece's own, spaces as '▁'"
        model = f"a SentencePiece model for each language, {tokenizer.vocab_size:,} pieces in all"
    return Stages(
        normalized,
        [word for word, _ in kept],
        [span for _, span in kept],
        tokens,
        tokens,
        normalizer,
        "none",
        model,
        "none",
    )


def _normalize(tokenizer: Tokenizer) -> Callable[[str], str]:
    if isinstance(tokenizer, SentencePieceTokenizer):
        return tokenizer.processor.normalize
    return tokenizer.source.normalize if isinstance(tokenizer, MarianTokenizer) else str


def _written(tokenizer: Tokenizer, id: int) -> str:
    """A token as its vocabulary writes it."""
    if isinstance(tokenizer, SentencePieceTokenizer):
        return tokenizer.model.pieces[id].text
    if isinstance(tokenizer, MarianTokenizer):
        return tokenizer.piece_of[id]
    data = tokenizer.token_bytes(id)
    if isinstance(tokenizer, BPETokenizer) and id not in tokenizer.special_ids:
        return to_visible(data)
    return data.decode("utf-8", "replace")


def _tokens(encoding: Encoding, tokenizer: Tokenizer) -> list[StageToken]:
    written = {id: _written(tokenizer, id) for id in set(encoding.ids)}
    columns = zip(encoding.ids, encoding.char_spans, encoding.special_mask, strict=True)
    return [StageToken(written[id], id, span, special) for id, span, special in columns]


def _package_tokens(encoded: Any, tokenizer: Tokenizer, parse_special: bool) -> list[StageToken]:
    unk_id = tokenizer.unk_id if isinstance(tokenizer, HubTokenizer) else None
    parsed = tokenizer.special_ids - {unk_id} if parse_special else frozenset()
    # A template may add ids without names: only what has both is shown.
    columns = zip(encoded.tokens, encoded.ids, encoded.offsets, encoded.special_tokens_mask, strict=False)
    return [StageToken(text, id, span, bool(added) or id in parsed) for text, id, span, added in columns]
