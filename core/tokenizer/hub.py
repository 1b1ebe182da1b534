"""Any tokenizer.json, run by the `tokenizers` package: Unigram, WordPiece, SentencePiece-like BPE, normalisers.

The package reports which characters a token came from; `pieces` are the bytes of those characters. For byte-level
tokenizers without normalisation the pieces are exact, so that joined they are the text.
"""

import json
import re
import secrets
from collections.abc import Iterable
from typing import Any

from core.errors import RunError, TextError
from core.tokenizer.base import Encoding, Tokenizer, clean_text
from core.tokenizer.byte_map import from_visible

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class HubTokenizer(Tokenizer):
    """A tokenizer of the `tokenizers` package behind our interface."""

    def __init__(self, contents: str) -> None:
        import tokenizers

        self._json = contents
        try:
            self.full = tokenizers.Tokenizer.from_str(contents)  # special tokens in texts are parsed
            document = json.loads(contents)
        except Exception as error:  # the package raises bare Exceptions
            raise RunError(f"The tokenizer.json cannot be read: {_one_line(error)}.") from error
        self.full.no_padding()
        self.full.no_truncation()
        self.model_type = document["model"].get("type", "")
        added = document.get("added_tokens") or []
        vocab = self.full.get_vocab(with_added_tokens=True)
        super().__init__(
            max(vocab.values(), default=-1) + 1, {t["content"]: t["id"] for t in added if t.get("special")}
        )
        self._token_of = {id: token for token, id in vocab.items()}
        self._added = {t["id"]: t["content"] for t in added}
        self._byte_fallback = bool(document["model"].get("byte_fallback"))
        self.is_byte_level = "ByteLevel" in _types(document.get("pre_tokenizer")) + _types(document.get("normalizer"))
        self._document = document

    def fast(self) -> Any:
        """The same tokenizer, but special tokens in texts stay text.

        Where a special token is an ordinary entry of the model's vocabulary (Unigram, WordLevel) it could still be
        produced from typed text: there its entry is renamed to something that no text contains.
        """
        if self._fast is None:
            import tokenizers

            document = self._document | {"post_processor": None, "truncation": None, "padding": None}
            document["added_tokens"] = [t for t in document.get("added_tokens") or [] if not t.get("special")]
            model = dict(document["model"])
            renamed = {name: f"\ue000{secrets.token_hex(16)}" for name in self.special_tokens}
            renamed.pop(model.get("unk_token") or "", None)
            if self.model_type == "Unigram":
                unk = model.get("unk_id")
                model["vocab"] = [
                    [piece if i == unk else renamed.get(piece, piece), score]
                    for i, (piece, score) in enumerate(model["vocab"])
                ]
            else:
                merged = {"".join(m.split(" ") if isinstance(m, str) else m) for m in model.get("merges") or []}
                model["vocab"] = {
                    piece if piece in merged else renamed.get(piece, piece): id for piece, id in model["vocab"].items()
                }
            document["model"] = model
            self._fast = tokenizers.Tokenizer.from_str(json.dumps(document))
        return self._fast

    def encode(self, text: str, *, parse_special: bool = False) -> Encoding:
        text = clean_text(text)
        encoded = (self.full if parse_special else self.fast()).encode(text, add_special_tokens=False)
        ids = encoded.ids
        special_mask = [parse_special and id in self.special_ids and id != self._unk_id() for id in ids]
        char_spans = encoded.offsets
        byte_at = _byte_positions(text)
        if self.is_byte_level:
            pieces = [self.token_bytes(id) for id in ids]
            data = text.encode("utf-8")
            if b"".join(pieces) == data:
                return Encoding(ids, pieces, *_exact_spans(pieces, byte_at), special_mask)
        byte_spans = [(byte_at[start], byte_at[end]) for start, end in char_spans]
        if self._byte_fallback:
            self._split_characters(ids, byte_spans)
        data = text.encode("utf-8")
        pieces = [data[start:end] for start, end in byte_spans]
        return Encoding(ids, pieces, byte_spans, char_spans, special_mask)

    def _unk_id(self) -> int | None:
        model = self._document["model"]
        if self.model_type == "Unigram":
            return model.get("unk_id")
        return self.full.token_to_id(model["unk_token"]) if model.get("unk_token") else None

    def _split_characters(self, ids: list[int], byte_spans: list[tuple[int, int]]) -> None:
        """<0xE3><0x81><0x82> all name the same character; give each its own byte of it."""
        i = 0
        while i < len(ids):
            j = i
            while j < len(ids) and byte_spans[j] == byte_spans[i] and _BYTE_TOKEN.fullmatch(self._token_of[ids[j]]):
                j += 1
            start, end = byte_spans[i]
            if j - i > 1 and j - i == end - start:
                byte_spans[i:j] = [(start + k, start + k + 1) for k in range(j - i)]
            i = max(j, i + 1)

    def token_bytes(self, id: int) -> bytes:
        """Of a token in the middle of a text: "▁the" is " the", "##ing" is "ing", "<0x0A>" is a newline."""
        token = self._token_of.get(id)
        if token is None:
            raise TextError(f"There is no token {id}; ids run from 0 to {self.vocab_size - 1}.")
        if id in self._added:
            return self._added[id].encode("utf-8")
        if self.is_byte_level:
            data = from_visible(token)
            return token.encode("utf-8") if data is None else data
        if self._byte_fallback and (match := _BYTE_TOKEN.fullmatch(token)):
            return bytes([int(match[1], 16)])
        if self.model_type == "WordPiece":
            token = token.removeprefix(self._document["model"].get("continuing_subword_prefix", "##"))
        return token.replace("▁", " ").encode("utf-8")

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        return self.full.decode([int(id) for id in ids], skip_special_tokens=skip_special)

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = True) -> bytes:
        if self.is_byte_level:
            return super().decode_bytes(ids, skip_special=skip_special)
        return self.decode(ids, skip_special=skip_special).encode("utf-8")

    def to_json(self) -> str:
        return self._json


def _types(section: Any) -> list[str]:
    """The type names in a section of a tokenizer.json, sequences opened."""
    if not isinstance(section, dict):
        return []
    inner = [*section.get("pretokenizers", []), *section.get("normalizers", []), *section.get("decoders", [])]
    return [section.get("type", ""), *(name for part in inner for name in _types(part))]


def _byte_positions(text: str) -> list[int] | range:
    """Where each character starts in the text's UTF-8, and where the last one ends."""
    if text.isascii():
        return range(len(text) + 1)
    positions, position = [0], 0
    for char in text:
        position += len(char.encode("utf-8"))
        positions.append(position)
    return positions


def _exact_spans(
    pieces: list[bytes], byte_at: list[int] | range
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".")
