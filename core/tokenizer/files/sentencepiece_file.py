"""SentencePiece models (.model, .spm), run by the package sentencepiece itself.

A token's span is what the package says that it came from, whatever normalisation did to the text; spaces that the
model drops at the ends of a text belong to no token. "<s>" in a text is text unless special tokens are parsed: then
each part between them is cut by itself.
"""

import random
import re
from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import Any

from core.errors import RunError, TextError
from core.tokenizer.base import Encoding, Tokenizer, clean_text
from core.tokenizer.files.sentencepiece_model import (
    BYTE,
    CONTROL,
    MODEL_TYPES,
    NORMAL,
    SPACE,
    UNKNOWN,
    SentencePieceModel,
    model_to_json,
    read_model,
)
from core.tokenizer.spans import byte_positions

_MAX_PIECE = 10_000  # characters


class PieceTokenizer(Tokenizer):
    """What tokenizers by SentencePiece models share: special tokens cut a text in parts, which models cut further."""

    def encode(self, text: str, *, parse_special: bool = False) -> Encoding:
        text = clean_text(text)
        ids: list[int] = []
        spans: list[tuple[int, int]] = []
        byte_spans: list[tuple[int, int]] = []
        special: list[bool] = []
        byte_at = byte_positions(text)
        start = 0
        for found in [*(self._special_pattern.finditer(text) if parse_special else []), None]:
            end = len(text) if found is None else found.start()
            self._encode_part(text[start:end], start, ids, spans)
            byte_spans += [(byte_at[first], byte_at[last]) for first, last in spans[len(byte_spans) :]]
            special += [False] * (len(ids) - len(special))
            if found is not None:
                ids.append(self.special_tokens[found[0]])
                spans.append(found.span())
                byte_spans.append((byte_at[found.start()], byte_at[found.end()]))
                special.append(True)
                start = found.end()
        self._share_characters(ids, spans, byte_spans)
        data = text.encode("utf-8")
        return Encoding(ids, [data[start:end] for start, end in byte_spans], byte_spans, spans, special)

    @cached_property
    def _special_pattern(self) -> re.Pattern[str]:
        longest_first = sorted(self.special_tokens, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    @abstractmethod
    def _encode_part(self, text: str, offset: int, ids: list[int], spans: list[tuple[int, int]]) -> None:
        """Append the tokens of a text without special tokens, which begins at `offset` of the whole."""

    def _share_characters(
        self, ids: list[int], spans: list[tuple[int, int]], byte_spans: list[tuple[int, int]]
    ) -> None:
        """Tokens that are bytes: the model gives all of the character to the last one."""

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        return [self.encode(text).ids for text in texts]


class SentencePieceTokenizer(PieceTokenizer):
    """One model behind our interface. RunError, one sentence, if the file is none or is broken."""

    def __init__(self, data: bytes, name: str = "The file") -> None:
        self.name, self.data = name, data
        try:
            self.model: SentencePieceModel = read_model(data)
        except RunError as error:
            raise RunError(f"{name} cannot be used: {error}.") from None
        if any(len(piece.text) > _MAX_PIECE for piece in self.model.pieces):
            raise RunError(f"{name} cannot be used: it has a piece of more than {_MAX_PIECE:,} characters.")
        self.processor = open_model(data, name)
        pieces = self.model.pieces
        super().__init__(len(pieces), self.model.of_type(CONTROL, UNKNOWN))
        self.unk_id = next(id for id, piece in enumerate(pieces) if piece.type == UNKNOWN)
        self.control_ids = frozenset(self.model.of_type(CONTROL).values())
        self.byte_of = {
            id: int(piece.text[3:5], 16)
            for id, piece in enumerate(pieces)
            if piece.type == BYTE and re.fullmatch("<0x[0-9A-F]{2}>", piece.text)
        }
        self.model_type = MODEL_TYPES[self.model.model_type]

    @property
    def pad_id(self) -> int | None:
        return self._role(self.processor.pad_id(), super().pad_id)

    @property
    def bos_id(self) -> int | None:
        return self._role(self.processor.bos_id(), super().bos_id)

    @property
    def eos_id(self) -> int | None:
        return self._role(self.processor.eos_id(), super().eos_id)

    def _role(self, id: int, named: int | None) -> int | None:
        return id if id in self.control_ids else named

    def _encode_part(self, text: str, offset: int, ids: list[int], spans: list[tuple[int, int]]) -> None:
        if not text:
            return
        found = self.processor.encode(text, return_type="offset_mapping")
        ids += found["ids"]
        spans += [(offset + start, offset + end) for start, end in found["offsets"]]

    def _share_characters(
        self, ids: list[int], spans: list[tuple[int, int]], byte_spans: list[tuple[int, int]]
    ) -> None:
        """<0xE3><0x81><0x82> are one character: each token touches it, and has a byte of it where normalisation has
        left it as it was."""
        i = 0
        while i < len(ids):
            j = i
            while j < len(ids) - 1 and ids[j] in self.byte_of and byte_spans[j][0] == byte_spans[j][1]:
                j += 1
            if j > i and ids[j] in self.byte_of:
                first, last = byte_spans[j]
                spans[i : j + 1] = [spans[j]] * (j + 1 - i)
                if last - first == j + 1 - i:
                    byte_spans[i : j + 1] = [(at, at + 1) for at in range(first, last)]
            i = j + 1

    def encode_batch(self, texts: Iterable[str]) -> list[list[int]]:
        return self.processor.encode([clean_text(text) for text in texts], return_type=int)

    def token_bytes(self, id: int) -> bytes:
        """Of a token in the middle of a text: "▁the" is " the", "<0x0A>" is a newline."""
        if not 0 <= id < self.vocab_size:
            raise TextError(f"There is no token {id}; ids run from 0 to {self.vocab_size - 1}.")
        if id in self.byte_of:
            return bytes([self.byte_of[id]])
        text = self.model.pieces[id].text
        return (text if id in self.special_ids else text.replace(SPACE, " ")).encode("utf-8")

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """As the package decodes; what was unknown is " ⁇ ". skip_special=False: control tokens show their names."""
        known = [id for id in map(int, ids) if 0 <= id < self.vocab_size]
        if skip_special:
            return self.processor.decode([id for id in known if id not in self.control_ids])
        out = b"".join(b" \xe2\x81\x87 " if id == self.unk_id else self.token_bytes(id) for id in known)
        if self.model.add_dummy_prefix and out.startswith(b" ") and known[0] != self.unk_id:
            out = out[1:]
        return out.decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = True) -> bytes:
        return self.decode(ids, skip_special=skip_special).encode("utf-8")

    @cached_property
    def _json(self) -> str:
        try:
            contents = model_to_json(self.model)
        except RunError as error:
            raise RunError(f"{self.name} cannot be written as tokenizer.json: {error}.") from None
        from core.tokenizer.hub import HubTokenizer

        other = HubTokenizer(contents)
        normalize = other.full.normalizer.normalize_str
        for text in trial_texts(self.model):
            if self.processor.normalize(text) != normalize(text) or self.encode(text).ids != other.encode(text).ids:
                raise RunError(
                    f"{self.name} cannot be written as tokenizer.json: the tokenizers package would cut "
                    f"{text[:40]!r} differently."
                )
        return contents

    def to_json(self) -> str:
        """As tokenizer.json, after both have cut several hundred texts alike. RunError if that is not so."""
        return self._json

    def fast(self) -> Any:
        from core.tokenizer.hub import HubTokenizer

        if self._fast is None:
            self._fast = HubTokenizer(self.to_json()).fast()
        return self._fast


def open_model(data: bytes, name: str) -> Any:
    """The package's processor of a model. RunError, one sentence, if it is none."""
    try:
        import sentencepiece
    except ImportError:
        raise RunError(f"{name} needs the package sentencepiece: pip install sentencepiece.") from None
    try:
        if not data:
            raise RuntimeError("it is empty")
        return sentencepiece.SentencePieceProcessor(model_proto=data)
    except (OSError, RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:200]
        raise RunError(f"{name} is not a SentencePiece model ({said}).") from None


def trial_texts(model: SentencePieceModel) -> list[str]:
    """Texts on which two readings of a model are held against each other: odd ones, and random ones of its pieces."""
    odd = [
        "", " ", "  ", "a", " a", "a ", "  a  b  ", "Hello, world! 12345", "\n", "a\nb", "\t a\t", "\r\n", "\0", "▁",
        "a▁b", "▁▁ a ▁", "<s>", "</s> <unk> <pad>", "<0x0A>", "<0xE3><0x81>", "déjà vu", "e\u0301", "東京 は",
        "ｶﾞ ﬁ ① Ⅷ", "\u00a0x", "\u3000全角\u3000", "👩\u200d💻🇯🇵", "\u200b\ufeff\u00ad", "ÅÅ", "한국어",
        "नमस्ते", "مرحبا", "\ufffd", "İıſß",
    ]  # fmt: skip
    rng = random.Random(0)
    pieces = [piece.text.replace(SPACE, " ") for piece in model.pieces if piece.type not in (CONTROL, BYTE)]
    characters = sorted({c for piece in model.pieces if piece.type == NORMAL for c in piece.text.replace(SPACE, " ")})
    made = ["".join(rng.choices(pieces, k=rng.randint(1, 12))) for _ in range(200)]
    made += ["".join(rng.choices(characters or ["a"], k=rng.randint(1, 30))) for _ in range(200)]
    made += ["".join(rng.choices([*characters, *pieces[:200], *odd], k=rng.randint(2, 8))) for _ in range(200)]
    return [*odd, *made]
