"""Make every character of a token visible: spaces, controls, zero-width characters, and bytes that are no character.

>>> visible(b" a\\n")
'·a⏎'
>>> [(s.text, s.kind) for s in segments("か".encode()[:2])]  # the third byte is in the next token
[('E3 81', 'bytes')]
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Kind = Literal["text", "space", "newline", "control", "zero-width", "mark", "bytes"]

_SIGNS: dict[str, tuple[str, Kind]] = {
    " ": ("·", "space"),
    "\n": ("⏎", "newline"),
    "\r": ("␍", "newline"),
    "\t": ("⇥", "space"),
    "\x7f": ("␡", "control"),
    "\x85": ("NEL", "newline"),
    "\u2028": ("LSEP", "newline"),
    "\u2029": ("PSEP", "newline"),
    "\xa0": ("NBSP", "space"),
    "\u202f": ("NNBSP", "space"),
    "\u3000": ("□", "space"),  # as wide as the ideographic space
}
_ZERO_WIDTH = {
    0x00AD: "SHY", 0x034F: "CGJ", 0x061C: "ALM", 0x180E: "MVS", 0x200B: "ZWSP", 0x200C: "ZWNJ", 0x200D: "ZWJ",
    0x200E: "LRM", 0x200F: "RLM", 0x202A: "LRE", 0x202B: "RLE", 0x202C: "PDF", 0x202D: "LRO", 0x202E: "RLO",
    0x2060: "WJ", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xFEFF: "BOM",
    0x115F: "HCF", 0x1160: "HJF", 0x3164: "HF", 0xFFA0: "HHF",
}  # fmt: skip


_MEANT = {sign if len(sign) == 1 else f"<{sign}>": char for char, (sign, _) in _SIGNS.items()}
_MEANT |= {f"<{name}>": chr(code) for code, name in _ZERO_WIDTH.items()}
_MEANT |= {chr(0x2400 + code): chr(code) for code in range(0x20) if chr(code) not in _SIGNS}
_MEANT |= {"Ġ": " ", "Ċ": "\n", "▁": " "}
_SIGN = re.compile("|".join(map(re.escape, _MEANT)))


class Segment(NamedTuple):
    """A run of characters to be shown alike: `text` is what to show, `kind` what it stands for."""

    text: str
    kind: Kind


def sign(char: str) -> Segment:
    """One character, or the sign that stands for it."""
    if char in _SIGNS:
        return Segment(*_SIGNS[char])
    code = ord(char)
    if code < 0x20:
        return Segment(chr(0x2400 + code), "control")  # Unicode's control pictures
    if code < 0x7F:
        return Segment(char, "text")
    if code in _ZERO_WIDTH:
        return Segment(_ZERO_WIDTH[code], "zero-width")
    if 0xFE00 <= code <= 0xFE0F:
        return Segment(f"VS{code - 0xFE00 + 1}", "zero-width")
    if 0xE0100 <= code <= 0xE01EF:
        return Segment(f"VS{code - 0xE0100 + 17}", "zero-width")
    category = unicodedata.category(char)
    if category == "Zs":
        return Segment("·", "space")
    if category == "Cf":
        return Segment(f"U+{code:04X}", "zero-width")
    if category in ("Cc", "Cs", "Co", "Cn"):
        return Segment(f"U+{code:04X}", "control")
    if category in ("Mn", "Me"):
        return Segment(char, "mark")
    return Segment(char, "text")


def from_signs(text: str) -> str:
    """What was meant by a text in which signs stand for what is invisible, as a person may type it: also the signs
    that vocabularies use for a space (Ġ, ▁) and a line end (Ċ).

    >>> from_signs("·low⏎<ZWJ>")
    ' low\\n\\u200d'
    """
    return _SIGN.sub(lambda found: _MEANT[found.group()], text)


def segments(piece: bytes) -> list[Segment]:
    """A token's bytes as runs of text and signs. Bytes that form no character are written in hex.

    A combining mark at the start of a token, whose base is in the token before, gets a dotted circle to sit on.
    """
    if piece.isascii() and (text := piece.decode("ascii")).isprintable() and " " not in text:
        return [Segment(text, "text")] if text else []
    found: list[Segment] = []
    for part in _decodable(piece):
        if isinstance(part, bytes):
            found.append(Segment(part.hex(" ").upper(), "bytes"))
            continue
        for char in part:
            segment = sign(char)
            if segment.kind == "mark" and found and found[-1].kind in ("text", "mark"):
                segment = Segment(segment.text, found[-1].kind)  # drawn over what it follows
            elif segment.kind == "mark":
                segment = Segment("◌" + segment.text, "mark")
            joins = found and segment.kind == found[-1].kind and segment.kind in ("text", "space", "mark")
            if joins:
                found[-1] = Segment(found[-1].text + segment.text, segment.kind)
            else:
                found.append(segment)
    return found


def visible(piece: bytes) -> str:
    """The segments of a token as one string; hex and names stand in angle brackets."""
    return spelled(segments(piece))


def spelled(found: Iterable[Segment]) -> str:
    """Segments as one string, as `visible` writes them."""
    named = ("bytes", "zero-width")
    return "".join(
        f"<{s.text}>" if s.kind in named or (s.kind != "text" and len(s.text) > 1 and s.text.isalnum()) else s.text
        for s in found
    )


def _decodable(piece: bytes) -> Iterator[str | bytes]:
    """Cut bytes into text and what is no text."""
    while piece:
        try:
            yield piece.decode("utf-8")
            return
        except UnicodeDecodeError as error:
            if error.start:
                yield piece[: error.start].decode("utf-8")
            end = error.end
            while end < len(piece) and 0x80 <= piece[end] < 0xC0:  # a run of continuation bytes is shown as one
                end += 1
            yield piece[error.start : end]
            piece = piece[end:]
