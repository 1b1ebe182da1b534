"""GPT-2's way to write any byte as one visible character, used in the vocabularies of byte-level tokenizers.

Printable bytes stand for themselves, the 68 others are moved to U+0100 and above (Radford et al. 2019, encoder.py).

>>> to_visible(b" caf\\xc3\\xa9")
'ĠcafÃ©'
>>> from_visible("Ġhi")
b' hi'
"""

_PRINTABLE = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
_OTHERS = [b for b in range(256) if b not in set(_PRINTABLE)]

BYTE_TO_CHAR = {b: chr(b) for b in _PRINTABLE} | {b: chr(256 + i) for i, b in enumerate(_OTHERS)}
CHAR_TO_BYTE = {c: b for b, c in BYTE_TO_CHAR.items()}
BYTE_ORDER = [*_PRINTABLE, *_OTHERS]  # by code point of the character: the order of the bytes' ids in vocabularies


def to_visible(data: bytes) -> str:
    """Bytes as GPT-2 characters, one each."""
    return "".join([BYTE_TO_CHAR[b] for b in data])


def from_visible(text: str) -> bytes | None:
    """The bytes of a token as it is written in a vocabulary; None if it holds any other character."""
    try:
        return bytes([CHAR_TO_BYTE[c] for c in text])
    except KeyError:
        return None
