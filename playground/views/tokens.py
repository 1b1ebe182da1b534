"""A text as its tokens: what assets/tokens.js draws of them, and the line of counts."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from core.tokenizer.inspect import is_partial
from core.tokenizer.visible import Segment, segments, spelled, visible


def token_data(encoding: Any, text: str, start: int, stop: int, name: str) -> str:
    """JSON of the tokens from `start` to `stop` of an Encoding, small enough for hundreds of thousands of them.

    "types": [id, HTML, bytes in hex, visible text, whether part of a character, whether special, the characters
    that it touches if they are more than itself] of each distinct token; "tokens": which of them stands there. "chars"
    and "bytes": for each token where it starts, counted from the start of the one before, and how long it is; the
    first counts from "first". "text": the characters of these tokens.
    """
    types: dict[tuple[int, bytes, bool, str], int] = {}
    tokens = []
    char_spans, byte_spans = encoding.char_spans[start:stop], encoding.byte_spans[start:stop]
    ids, pieces, special = encoding.ids[start:stop], encoding.pieces[start:stop], encoding.special_mask[start:stop]
    for i, (id, piece) in enumerate(zip(ids, pieces)):
        whole = text[slice(*char_spans[i])] if is_partial(piece) else ""
        tokens.append(types.setdefault((id, piece, special[i], whole), len(types)))
    all_of_it = stop - start == len(encoding)
    first, last, first_byte = 0, len(text), 0
    if char_spans and not all_of_it:
        first, last, first_byte = char_spans[0][0], max(end for _, end in char_spans), byte_spans[0][0]
    data = json.dumps(
        {
            "name": name,
            "total": len(encoding),
            "start": start,
            "text": text[first:last],
            "first": [first, first_byte],
            "types": [token_type(*key) for key in types],
            "tokens": tokens,
            "chars": steps(char_spans, first),
            "bytes": steps(byte_spans, first_byte),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return data.replace("<", "\\u003c")  # Gradio warns of a script in a text


def token_type(id: int, piece: bytes, special: bool, whole: str = "") -> list[Any]:
    """A distinct token as assets/tokens.js takes it. whole: of a token that is part of a character, the character."""
    shown = visible(whole.encode("utf-8")) if whole else ""
    found = segments(piece)
    partial = int(is_partial(piece))
    return [id, segments_html(found), piece.hex(" ").upper(), spelled(found), partial, int(special), shown]


def steps(spans: Sequence[tuple[int, int]], first: int) -> list[int]:
    """
    >>> steps([(5, 7), (7, 8), (7, 8)], 5)
    [0, 2, 2, 1, 0, 1]
    """
    found, before = [], first
    for start, end in spans:
        found += [start - before, end - start]
        before = start
    return found


def piece_html(piece: bytes) -> str:
    """The piece with signs for what cannot be seen, each marked by its kind."""
    return segments_html(segments(piece))


def segments_html(found: Iterable[Segment]) -> str:
    return "".join(
        escape(segment.text) if segment.kind == "text" else f'<i class="{segment.kind}">{escape(segment.text)}</i>'
        for segment in found
    )


def beginning(piece: bytes, most: int) -> bytes:
    """At most so many bytes of a piece, not cut within a character.

    >>> beginning("aé".encode(), 2)
    b'a'
    """
    end = most
    while end < len(piece) and end > most - 3 and piece[end] & 0xC0 == 0x80:
        end -= 1
    return piece[:end]


def counts_line(counts: Any) -> str:
    """HTML of the counts (a core.tokenizer.inspect.Counts)."""
    items = [
        (f"{counts.tokens:,}", "token" if counts.tokens == 1 else "tokens"),
        (f"{counts.characters:,}", "character" if counts.characters == 1 else "characters"),
        (f"{counts.bytes:,}", "byte" if counts.bytes == 1 else "bytes"),
        (ratio(counts.characters, counts.tokens), "characters per token"),
        (ratio(counts.bytes, counts.tokens), "bytes per token"),
        (ratio(counts.tokens, counts.words), "tokens per word"),
    ]
    cells = "".join(f"<div><dd>{value}</dd><dt>{name}</dt></div>" for value, name in items)
    return f'<dl class="counts" aria-label="Counts">{cells}</dl>'


def ratio(part: int, whole: int) -> str:
    """
    >>> ratio(7, 2), ratio(7, 0)
    ('3.50', '–')
    """
    return f"{part / whole:.2f}" if whole else "–"
