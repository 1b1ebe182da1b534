"""Character level: every character is a token. The shortest vocabulary, the longest sequences.

>>> tokenizer = CharTokenizer.train(["abba"])
>>> tokenizer.encode("abc").ids  # 0-3 are <pad>, <s>, </s>, <unk>
[4, 5, 3]

Its tokenizer.json is a BPE without merges and without pre-tokenisation, which the `tokenizers` package reads as this.
"""

from collections.abc import Iterable
from typing import Any

import regex

from core.errors import TextError
from core.tokenizer.base import Encoding, Tokenizer, clean_text, special_token_entries, tokenizer_json
from core.tokenizer.spans import exact_spans

UNK = "<unk>"
SPECIAL_TOKENS = ("<pad>", "<s>", "</s>", UNK)


class CharTokenizer(Tokenizer):
    """Characters that were not seen in training become <unk>; the encoding's `pieces` still hold their bytes."""

    def __init__(self, chars: dict[str, int], special_tokens: dict[str, int]) -> None:
        super().__init__(max([*chars.values(), *special_tokens.values()]) + 1, special_tokens)
        self.chars = chars
        self.unk_id = special_tokens[UNK]
        self._id_of = special_tokens | chars
        self._text_of = {id: text for text, id in self._id_of.items()}
        names = sorted(special_tokens, key=len, reverse=True)
        self._special = regex.compile("|".join(regex.escape(name) for name in names) + "|(?s:.)")

    @classmethod
    def train(cls, texts: Iterable[str], special_tokens: Iterable[str] = SPECIAL_TOKENS) -> "CharTokenizer":
        """All characters of the texts, in the order of their code points, after the special tokens."""
        names = list(dict.fromkeys([*special_tokens, UNK]))
        if single := next((name for name in names if len(name) < 2), None):
            raise TextError(f"The special token {single!r} must be longer than a character.")
        seen: set[str] = set()
        for text in texts:
            seen.update(clean_text(text))
        return cls(
            {char: len(names) + i for i, char in enumerate(sorted(seen))}, {name: i for i, name in enumerate(names)}
        )

    def encode(self, text: str, *, parse_special: bool = False) -> Encoding:
        text = clean_text(text)
        parts = self._special.findall(text) if parse_special else list(text)
        special_mask = [len(part) > 1 for part in parts]
        ids = [self._id_of.get(part, self.unk_id) for part in parts]
        pieces = [part.encode("utf-8") for part in parts]
        return Encoding(ids, pieces, *exact_spans(pieces), special_mask)

    def token_bytes(self, id: int) -> bytes:
        if id not in self._text_of:
            raise TextError(f"There is no token {id}; ids run from 0 to {self.vocab_size - 1}.")
        return self._text_of[id].encode("utf-8")

    def to_json(self) -> str:
        vocab = dict(sorted(self._id_of.items(), key=lambda item: item[1]))
        model: dict[str, Any] = {
            "type": "BPE",
            "dropout": None,
            "unk_token": UNK,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocab,
            "merges": [],
        }
        return tokenizer_json(
            added_tokens=special_token_entries(self.special_tokens), decoder={"type": "Fuse"}, model=model
        )

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> "CharTokenizer | None":
        """The tokenizer of a parsed tokenizer.json, or None if it is of another kind."""
        model = document.get("model") or {}
        vocab = model.get("vocab") or {}
        special_tokens = {entry["content"]: entry["id"] for entry in document.get("added_tokens") or []}
        if (
            model.get("type") != "BPE"
            or model.get("merges")
            or model.get("unk_token") != UNK
            or model.get("fuse_unk")
            or document.get("normalizer")
            or document.get("pre_tokenizer")
            or document.get("decoder") != {"type": "Fuse"}
            or UNK not in special_tokens
        ):
            return None
        chars = {text: id for text, id in vocab.items() if text not in special_tokens}
        return cls(chars, special_tokens) if all(len(text) == 1 for text in chars) else None
