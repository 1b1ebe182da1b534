"""What a SentencePiece model file says, read without the package's help, and its tokenizer.json.

The file is a Protocol Buffers message; the numbers of its fields are those of SentencePiece's published
sentencepiece_model.proto.
"""

import base64
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import RunError
from core.tokenizer.base import special_token_entries, tokenizer_json

SPACE = "\u2581"  # SentencePiece's sign for a space: ▁
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # types of pieces
MODEL_TYPES = {1: "Unigram", 2: "BPE", 3: "word", 4: "characters"}
BYTE_SCORE = -1e6  # below every piece's: typed text that reads "<0x0A>" is not taken for the byte


@dataclass(frozen=True)
class Piece:
    text: str
    score: float
    type: int


@dataclass(frozen=True)
class SentencePieceModel:
    """The parts of a model file that say how text is cut."""

    pieces: tuple[Piece, ...]
    model_type: int
    byte_fallback: bool
    space_is_suffix: bool
    normalization: str  # its name, such as nmt_nfkc; "" if it has none
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool

    def of_type(self, *types: int) -> dict[str, int]:
        """Text -> id of the pieces of these types."""
        return {piece.text: id for id, piece in enumerate(self.pieces) if piece.type in types}


def read_model(data: bytes) -> SentencePieceModel:
    """Parse a model file. RunError, one sentence, if it is none or contradicts itself."""
    try:
        pieces: list[Piece] = []
        trainer: dict[int, Any] = {}
        normalizer: dict[int, Any] = {}
        for number, value in _fields(data):
            if number == 1:
                fields = dict(_fields(_bytes(value)))
                score = struct.unpack("<f", _bytes(fields[2]))[0] if 2 in fields else 0.0
                pieces.append(Piece(_bytes(fields[1]).decode("utf-8"), score, int(fields.get(3, NORMAL))))
            elif number == 2:
                trainer = dict(_fields(_bytes(value)))
            elif number == 3:
                normalizer = dict(_fields(_bytes(value)))
        model = SentencePieceModel(
            pieces=tuple(pieces),
            model_type=int(trainer.get(3, 1)),
            byte_fallback=bool(trainer.get(35, 0)),
            space_is_suffix=bool(trainer.get(24, 0)),
            normalization=_bytes(normalizer.get(1, b"")).decode("utf-8"),
            charsmap=_bytes(normalizer.get(2, b"")),
            add_dummy_prefix=bool(normalizer.get(3, 1)),
            remove_extra_whitespaces=bool(normalizer.get(4, 1)),
            escape_whitespaces=bool(normalizer.get(5, 1)),
        )
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise RunError(f"it is not a SentencePiece model ({error})") from None
    if why := _contradiction(model):
        raise RunError(why)
    return model


def _contradiction(model: SentencePieceModel) -> str:
    texts = [piece.text for piece in model.pieces]
    if not texts:
        return "it is not a SentencePiece model (it has no pieces)"
    if len(set(texts)) < len(texts) or "" in texts:
        return "it is a broken SentencePiece model (a piece is empty or there twice)"
    if sum(piece.type == UNKNOWN for piece in model.pieces) != 1:
        return "it is a broken SentencePiece model (it must have one piece for what is unknown)"
    if not all(math.isfinite(piece.score) for piece in model.pieces):
        return "it is a broken SentencePiece model (a score is not a number)"
    if model.model_type not in MODEL_TYPES or not all(1 <= piece.type <= 6 for piece in model.pieces):
        return "it is a SentencePiece model of a kind that is not known here"
    if model.charsmap and not charsmap_is_sound(model.charsmap):
        return "it is a broken SentencePiece model (its normalisation points outside itself)"
    return ""


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of a message: whole numbers as int, everything else as bytes. ValueError."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        value: int | bytes
        if kind == 0:
            value, at = _varint(data, at)
        elif kind in (1, 2, 5):
            if kind == 2:
                size, at = _varint(data, at)
            else:
                size = 8 if kind == 1 else 4
            if size > len(data) - at:
                raise ValueError("it is cut short")
            value = data[at : at + size]
            at += size
        else:
            raise ValueError("it is no Protocol Buffers message")
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("it is no Protocol Buffers message")


def _bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a field is of another kind")
    return value


def charsmap_is_sound(charsmap: bytes) -> bool:
    """Whether the table of normalisation stays within itself: 4 bytes with a size, a trie of 4-byte units (a double
    array, as the library darts-clone lays it out), and the replacements, each ended by a NUL.

    Neither package looks where it reads, so a broken one could end the process.
    """
    import numpy as np

    if len(charsmap) < 8:
        return False
    size = int.from_bytes(charsmap[:4], "little")
    if size % 4 or size < 1024 or size + 4 > len(charsmap):
        return False
    units = np.frombuffer(charsmap, dtype="<u4", count=size // 4, offset=4).astype(np.int64)
    replaced = charsmap[4 + size :]
    if not replaced.endswith(b"\0"):
        return False
    seen = np.zeros(len(units), dtype=bool)
    nodes = np.zeros(1, dtype=np.int64)  # the root
    while len(nodes):
        seen[nodes] = True
        unit = units[nodes]
        base = nodes ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6))  # its children are at base ^ their byte
        if ((base | 255) >= len(units)).any():
            return False
        leaves = base[(unit >> 8) & 1 == 1]
        if ((units[leaves] & 0x7FFFFFFF) >= len(replaced)).any():
            return False
        children = (base[:, None] ^ np.arange(1, 256)).ravel()
        labels = np.tile(np.arange(1, 256), len(base))
        nodes = np.unique(children[(units[children] & 0x800000FF) == labels])
        nodes = nodes[~seen[nodes]]
    return True


# ------------------------------------------------------------------------------------------------- as tokenizer.json


def model_to_json(model: SentencePieceModel) -> str:
    """The model as a tokenizer.json. RunError for what that format has no way to say; whether the rest is equal has to
    be tried (see SentencePieceTokenizer.to_json)."""
    if model.model_type == 3 or model.space_is_suffix or not model.escape_whitespaces:
        raise RunError("it cuts text in a way that tokenizer.json has no words for")
    if any(piece.type == UNUSED for piece in model.pieces):
        raise RunError("it has unused pieces, which tokenizer.json has no words for")
    special = model.of_type(CONTROL, UNKNOWN)
    users = model.of_type(USER_DEFINED)
    added = special_token_entries({**special, **users})
    for entry in added:
        entry["special"] = entry["content"] in special
    steps: list[dict[str, Any]] = []
    if model.charsmap:
        steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(model.charsmap).decode("ascii")})
    if model.remove_extra_whitespaces:
        steps.append(_replace({"Regex": rf"\A +|[ {SPACE}]+\z"}, ""))
        steps.append(_replace({"Regex": " {2,}"}, " "))
    if model.add_dummy_prefix:
        steps.append({"type": "Prepend", "prepend": SPACE})
    steps.append(_replace({"String": " "}, SPACE))
    decoders: list[dict[str, Any]] = [_replace({"String": SPACE}, " "), {"type": "ByteFallback"}, {"type": "Fuse"}]
    if model.add_dummy_prefix:
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return tokenizer_json(
        added_tokens=added,
        normalizer={"type": "Sequence", "normalizers": steps},
        decoder={"type": "Sequence", "decoders": decoders},
        model=_unigram(model) if model.model_type == 1 else _bpe(model),
    )


def _replace(pattern: dict[str, str], content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _unigram(model: SentencePieceModel) -> dict[str, Any]:
    vocab = [[piece.text, BYTE_SCORE if piece.type == BYTE else piece.score] for piece in model.pieces]
    unk = next(id for id, piece in enumerate(model.pieces) if piece.type == UNKNOWN)
    return {"type": "Unigram", "unk_id": unk, "vocab": vocab, "byte_fallback": model.byte_fallback}


def _bpe(model: SentencePieceModel) -> dict[str, Any]:
    """SentencePiece joins any two neighbours whose concatenation is a piece, the highest score first."""
    score = {piece.text: piece.score for piece in model.pieces if piece.type == NORMAL}
    ids = {piece.text: id for id, piece in enumerate(model.pieces)}
    merges: list[list[str]] = []
    if model.model_type == 2:
        for text in sorted(score, key=lambda text: (-score[text], ids[text])):
            cuts = [(text[:i], text[i:]) for i in range(1, len(text))]
            known = [(left, right) for left, right in cuts if left in score and right in score]
            merges += [list(cut) for cut in sorted(known, key=lambda cut: (ids[cut[0]], ids[cut[1]]))]
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": next(piece.text for piece in model.pieces if piece.type == UNKNOWN),
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": True,
        "byte_fallback": model.byte_fallback,
        "ignore_merges": False,
        "vocab": ids,
        "merges": merges,
    }
