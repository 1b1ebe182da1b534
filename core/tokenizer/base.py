"""What every tokenizer answers: text → Encoding (ids with their bytes and spans) → text.

>>> Encoding(ids=[7], pieces=[b"hi"], byte_spans=[(0, 2)], char_spans=[(0, 2)], special_mask=[False]).ids
[7]
"""

import json
import os
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import RunError, TextError

# Names that tokenizers in the wild give to the three tokens that training and decoding must know.
PAD_NAMES = ("<pad>", "[PAD]", "<|pad|>", "<|padding|>", "<|finetune_right_pad_id|>", "<PAD>")
BOS_NAMES = (
    "<s>",
    "<bos>",
    "<|begin_of_text|>",
    "<|startoftext|>",
    "<|begin▁of▁sentence|>",
    "[BOS]",
    "[CLS]",
    "<|endoftext|>",
)
EOS_NAMES = ("</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>", "<|end▁of▁sentence|>", "[EOS]", "[SEP]")

_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Encoding:
    """A text's tokens, five lists of equal length.

    pieces: the bytes of the text that each token stands for. byte_spans: where they lie in the text's UTF-8.
    char_spans: the characters that the token touches; a token that is part of a character spans the whole character,
    so neighbours may overlap. special_mask: True for special tokens that were parsed out of the text.
    """

    ids: list[int] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    byte_spans: list[tuple[int, int]] = field(default_factory=list)
    char_spans: list[tuple[int, int]] = field(default_factory=list)
    special_mask: list[bool] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)


def clean_text(text: str) -> str:
    """Lone surrogates have no UTF-8: each becomes U+FFFD, so that character positions stay. All else is kept."""
    if not isinstance(text, str):
        raise TextError(f"A tokenizer takes text, not {type(text).__name__}.")
    if text.isascii():
        return text
    return _SURROGATES.sub("\ufffd", text)


class Tokenizer(ABC):
    """Base class. `special_tokens` maps text to id; ids run from 0 to vocab_size - 1 (others' files may have gaps)."""

    vocab_size: int
    special_tokens: dict[str, int]

    def __init__(self, vocab_size: int, special_tokens: dict[str, int]) -> None:
        self.vocab_size = vocab_size
        self.special_tokens = special_tokens
        self.special_ids = frozenset(special_tokens.values())
        self._fast: Any = None  # the `tokenizers` package's tokenizers, made when they are first needed
        self._parsing: Any = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}(vocab_size={self.vocab_size})"

    def _named(self, names: Sequence[str]) -> int | None:
        return next((self.special_tokens[name] for name in names if name in self.special_tokens), None)

    @property
    def pad_id(self) -> int | None:
        return self._named(PAD_NAMES)

    @property
    def bos_id(self) -> int | None:
        return self._named(BOS_NAMES)

    @property
    def eos_id(self) -> int | None:
        return self._named(EOS_NAMES)

    @abstractmethod
    def encode(self, text: str, *, parse_special: bool = False) -> Encoding:
        """Never adds bos or eos. "<s>" in the text is three characters unless `parse_special`."""

    @abstractmethod
    def token_bytes(self, id: int) -> bytes:
        """The bytes a token stands for (a special token: its name). TextError if there is no such id."""

    @abstractmethod
    def to_json(self) -> str:
        """The contents of a tokenizer.json in the format of the `tokenizers` package."""

    def for_target(self) -> "Tokenizer":
        """The tokenizer of what a translator writes: this one, but where each language has its own."""
        return self

    def has_id(self, id: int) -> bool:
        """Whether there is a token of that id; a model's vocabulary may be padded beyond the tokenizer's."""
        try:
            self.token_bytes(id)
        except TextError:
            return False
        return True

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = True) -> bytes:
        """The tokens' bytes, joined. Ids without a token are left out, as the `tokenizers` package does."""
        kept = [int(id) for id in ids]
        if skip_special:
            kept = [id for id in kept if id not in self.special_ids]
        return b"".join(self.token_bytes(id) for id in kept if self.has_id(id))

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Back to text; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids, skip_special=skip_special).decode("utf-8", errors="replace")

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        """Ids of many texts by the `tokenizers` package (parallel, Rust): the same ids as `encode`."""
        return [e.ids for e in self.fast().encode_batch_fast([clean_text(t) for t in texts], add_special_tokens=False)]

    def fast(self) -> Any:
        """This tokenizer as the `tokenizers` package reads it, with special tokens in texts left as text."""
        if self._fast is None:
            import tokenizers

            fast = tokenizers.Tokenizer.from_str(self.to_json())
            fast.encode_special_tokens = True
            self._fast = fast
        return self._fast

    def parsing(self) -> Any:
        """This tokenizer as the `tokenizers` package reads it, with special tokens in texts parsed."""
        if self._parsing is None:
            import tokenizers

            self._parsing = tokenizers.Tokenizer.from_str(self.to_json())
        return self._parsing

    def save(self, path: str | Path) -> None:
        """Write tokenizer.json at once or not at all. A directory gets a file of that name."""
        path = Path(path)
        if path.is_dir():
            path = path / "tokenizer.json"
        try:
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(self.to_json())
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(temporary, 0o644)
                os.replace(temporary, path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise RunError(f"The tokenizer cannot be written to {path}: {error.strerror or error}.") from error


def special_token_entries(special_tokens: dict[str, int]) -> list[dict[str, Any]]:
    """The `added_tokens` section of a tokenizer.json, by id."""
    return [
        {
            "id": id,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for text, id in sorted(special_tokens.items(), key=lambda item: item[1])
    ]


def tokenizer_json(**sections: Any) -> str:
    """A tokenizer.json document, with the sections that are not given left empty."""
    document: dict[str, Any] = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": None,
    }
    return json.dumps(document | sections, ensure_ascii=False, indent=1)
