"""Marian's tokenizer: two SentencePiece models, one a language, and a vocabulary of their pieces that both share.

A source is cut by source.spm, a translation is put together by target.spm, and vocab.json says which id a piece has.
Sources of models with several target languages begin with a code such as >>fra<<, which is a token. Equal to
transformers' MarianTokenizer where that has no package sacremoses to change punctuation with.
"""

import copy
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.errors import RunError, TextError
from core.tokenizer.files.sentencepiece_file import PieceTokenizer, open_model
from core.tokenizer.files.sentencepiece_model import SPACE

FILES = ("source.spm", "target.spm", "vocab.json")
SETTINGS = "tokenizer_config.json"
ROLES = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}  # SETTINGS may name others
_CODE = re.compile(r">>.*?<<", re.DOTALL)


def has_marian_files(directory: Path) -> bool:
    return all((directory / name).is_file() for name in FILES)


class MarianTokenizer(PieceTokenizer):
    """A directory with source.spm, target.spm and vocab.json behind our interface. RunError if a file is broken."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.vocab = _vocabulary(directory)
        settings = _settings(directory)
        self.roles = {role: _content(settings.get(role), usual) for role, usual in ROLES.items()}
        if self.roles["unk_token"] not in self.vocab:
            raise RunError(f"vocab.json of {directory.name} has no {self.roles['unk_token']}; download it again.")
        special = {name: self.vocab[name] for name in self.roles.values() if name in self.vocab}
        super().__init__(max(self.vocab.values()) + 1, special)
        self.source, self.target = (_sentencepiece(directory / name) for name in FILES[:2])
        self.piece_of = {id: piece for piece, id in self.vocab.items()}

    @property
    def pad_id(self) -> int | None:
        return self.vocab.get(self.roles["pad_token"])

    @property
    def eos_id(self) -> int | None:
        return self.vocab.get(self.roles["eos_token"])

    def _encode_part(self, text: str, offset: int, ids: list[int], spans: list[tuple[int, int]]) -> None:
        """Of a text of the source language. What no piece covers is <unk>."""
        code = _CODE.match(text)
        if code:
            ids.append(self._id(code[0]))
            spans.append((offset, offset + code.end()))
            text, offset = text[code.end() :], offset + code.end()
        found = self.source.encode(text, return_type="offset_mapping")
        ids += map(self._id, found["pieces"])
        spans += [(offset + start, offset + end) for start, end in found["offsets"]]

    def _id(self, piece: str) -> int:
        return self.vocab.get(piece, self.vocab[self.roles["unk_token"]])

    def token_bytes(self, id: int) -> bytes:
        """Of a token in the middle of a text: "▁the" is " the"."""
        if id not in self.piece_of:
            raise TextError(f"There is no token {id}; ids run from 0 to {self.vocab_size - 1}.")
        return self.piece_of[id].replace(SPACE, " ").encode("utf-8")

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """A text of the target language. Ids without a token are left out."""
        out = ""
        pieces: list[str] = []
        for id in map(int, ids):
            if id in self.special_ids:
                if not skip_special:  # not for SentencePiece, which has tokens of the same names
                    out += self.target.decode_pieces(pieces) + self.piece_of[id] + " "
                    pieces = []
            elif id in self.piece_of:
                pieces.append(self.piece_of[id])
        return (out + self.target.decode_pieces(pieces)).replace(SPACE, " ").strip()

    def decode_bytes(self, ids: Iterable[int], *, skip_special: bool = True) -> bytes:
        return self.decode(ids, skip_special=skip_special).encode("utf-8")

    def for_target(self) -> "MarianTokenizer":
        """As this one, but it also cuts texts of the target language."""
        other = copy.copy(self)
        other.source = self.target
        return other

    def copy_to(self, directory: Path) -> None:
        """Write the tokenizer's files there, under their names."""
        for name in (*FILES, SETTINGS):
            if (self.directory / name).is_file():
                shutil.copyfile(self.directory / name, directory / name)

    def fast(self) -> Any:
        raise self._no_json()

    def to_json(self) -> str:
        raise self._no_json()

    def _no_json(self) -> RunError:
        return RunError(
            f"The tokenizer of {self.directory.name} is a pair of SentencePiece models, which cannot be written as "
            "tokenizer.json; it serves this model only."
        )


def _sentencepiece(path: Path) -> Any:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise RunError(f"{path.name} of {path.parent.name} cannot be read: {error.strerror}.") from None
    return open_model(data, f"{path.name} of {path.parent.name}")


def _vocabulary(directory: Path) -> dict[str, int]:
    try:
        vocab = json.loads((directory / "vocab.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"vocab.json of {directory.name} cannot be read: {error}.") from None
    if not isinstance(vocab, dict) or not vocab or any(type(id) is not int or id < 0 for id in vocab.values()):
        raise RunError(f"vocab.json of {directory.name} does not give every piece an id; download it again.")
    return vocab


def _settings(directory: Path) -> dict[str, Any]:
    """tokenizer_config.json, if there is one. RunError for two vocabularies, which our models have no place for."""
    try:
        settings = json.loads((directory / SETTINGS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    settings = settings if isinstance(settings, dict) else {}
    if settings.get("separate_vocabs"):
        raise RunError(f"{directory.name} has separate_vocabs = True: our models have one vocabulary for both sides.")
    return settings


def _content(given: Any, usual: str) -> str:
    """A token's name: text, or an object with it."""
    given = given.get("content") if isinstance(given, dict) else given
    return given if isinstance(given, str) and given else usual
