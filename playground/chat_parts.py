"""A rendered chat told apart: what stands in the messages, and what the template adds around them.

The template is rendered once more with every message's text between signs of its own; where those stand, the messages
do. Templates that look into the texts may do something else then: for those the texts are looked for in what was
rendered.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import TextError
from core.tokenizer import Tokenizer
from core.tokenizer.base import clean_text

Message = dict[str, Any]
MARKS = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|</?[a-z_]{1,20}>|<</?[A-Z]{2,10}>>|\[/?[A-Z_]{2,20}\]"
)  # that templates write


@dataclass(frozen=True)
class Part:
    """A stretch of a rendered chat. message: which one it comes from; None: the template wrote it."""

    start: int
    end: int
    message: int | None


@dataclass(frozen=True)
class ChatTokens:
    """The tokens of a rendered chat, and whose they are."""

    ids: list[int]
    pieces: list[bytes]
    special: list[bool]
    message: list[int | None]  # of each token; None: it holds something that the template wrote
    missing: list[str]  # signs of the template that the tokenizer has no token of its own for

    @property
    def of_template(self) -> int:
        return sum(owner is None for owner in self.message)

    def of_message(self, number: int) -> int:
        return sum(owner == number for owner in self.message)


def parts_of(text: str, messages: Sequence[Message], render: Callable[[list[Message]], str]) -> list[Part]:
    """The whole text in parts, in order. render: the same template, on other messages; what it raises is no matter."""
    for strip in (False, True):
        spans = _by_signs(text, messages, render, strip)
        if spans is not None:
            return _with_gaps(spans, len(text))
    return _with_gaps(_by_search(text, messages), len(text))


def _by_signs(
    text: str, messages: Sequence[Message], render: Callable[[list[Message]], str], strip: bool
) -> list[Part] | None:
    """None if the template writes something else when there are signs in the messages."""
    secret = secrets.token_hex(8)
    end = f"\ue002{secret}\ue001"
    try:
        rendered = render([_signed(m, f"\ue000{secret}-{i}\ue001", end, strip) for i, m in enumerate(messages)])
    except TextError:
        return None
    found = re.split(f"(\ue000{secret}-[0-9]+\ue001|{end})", rendered)
    parts: list[Part] = []
    plain: list[str] = []
    place, message = 0, None
    for piece in found:
        if piece.startswith(f"\ue000{secret}"):
            message = int(piece[18:-1])
        elif piece == end:
            message = None
        elif piece:
            if message is not None:
                parts.append(Part(place, place + len(piece), message))
            plain.append(piece)
            place += len(piece)
    return parts if "".join(plain) == text else None


def _signed(message: Message, before: str, after: str, strip: bool) -> Message:
    def sign(content: str) -> str:
        return f"{before}{content.strip() if strip else content}{after}" if content.strip() else content

    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": sign(content)}
    if isinstance(content, list):
        return {**message, "content": [_signed_part(part, sign) for part in content]}
    return message


def _signed_part(part: Any, sign: Callable[[str], str]) -> Any:
    """{"type": "text", "text": ...}; pictures and the like stay as they are."""
    if isinstance(part, dict) and isinstance(part.get("text"), str):
        return {**part, "text": sign(part["text"])}
    return part


def _by_search(text: str, messages: Sequence[Message]) -> list[Part]:
    parts: list[Part] = []
    place = 0
    for number, message in enumerate(messages):
        content = message.get("content")
        wanted = content.strip() if isinstance(content, str) else ""
        start = text.find(wanted, place) if wanted else -1
        if start >= 0:
            place = start + len(wanted)
            parts.append(Part(start, place, number))
    return parts


def _with_gaps(parts: list[Part], length: int) -> list[Part]:
    whole: list[Part] = []
    place = 0
    for part in parts:
        if part.start > place:
            whole.append(Part(place, part.start, None))
        whole.append(part)
        place = part.end
    if place < length:
        whole.append(Part(place, length, None))
    return whole


def tokens_of(tokenizer: Tokenizer, text: str, parts: Sequence[Part]) -> ChatTokens:
    """The text's tokens, special ones parsed, as a model gets them. A token on a border is the template's."""
    text = clean_text(text)
    encoding = tokenizer.encode(text, parse_special=True)
    owners: list[int | None] = []
    place = 0
    for start, end in encoding.char_spans:
        while place + 1 < len(parts) and parts[place].end <= start:
            place += 1
        part = parts[place] if parts else Part(0, 0, None)
        owners.append(part.message if end <= part.end else None)
    written = "\n".join(text[part.start : part.end] for part in parts if part.message is None)
    marks = dict.fromkeys(MARKS.findall(written))
    missing = [mark for mark in marks if mark not in tokenizer.special_tokens]
    return ChatTokens(encoding.ids, encoding.pieces, encoding.special_mask, owners, missing)
