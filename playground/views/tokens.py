"""A text as its tokens: coloured pieces, and a table with what each one is made of."""

from collections.abc import Sequence
from html import escape
from typing import Any

from core.tokenizer.visible import segments

COLOURS = 8  # --token-0 .. --token-7


def token_strip(rows: Sequence[Any], pieces: Sequence[bytes]) -> str:
    """HTML of the tokens in reading order. rows: TokenRows; pieces: the bytes of each row's token.

    A token carries its number in `data-i`, as its table row does: the page lights up both. Tokens that hold parts of
    one character stand in a frame under that character. One token can be reached with Tab, the others with arrow keys.
    """
    if not rows:
        return '<p class="nothing">No tokens: the text is empty.</p>'
    parts = ['<div class="token-strip" data-tokens role="list" aria-label="The text as tokens; move with arrow keys">']
    shared: tuple[int, ...] = ()  # the tokens of the frame that is open
    for number, (row, piece) in enumerate(zip(rows, pieces, strict=True)):
        if not shared and len(row.shares_with) > 1:
            shared = row.shares_with
            parts.append('<span class="shared">')
        parts.append(_token(row, piece, first=number == 0))
        if shared and (row.index == shared[-1] or number == len(rows) - 1):
            parts.append(f'<span class="shared-whole" aria-hidden="true">{escape(row.characters)}</span></span>')
            shared = ()
        if piece.endswith(b"\n"):
            parts.append("<br>")
    return "".join(parts) + "</div>"


def _token(row: Any, piece: bytes, first: bool) -> str:
    """Its id and bytes are attributes that the stylesheet shows: selecting the text selects nothing else."""
    kind = " special" if row.is_special else ""
    label = escape(f"Token {row.index}: {row.text}, id {row.id}, bytes {row.bytes_hex}", quote=True)
    return (
        f'<span class="token{kind}" role="listitem" style="--c:var(--token-{row.index % COLOURS})" '
        f'data-i="{row.index}"{_kin(row)} data-id="{row.id}" data-bytes="{row.bytes_hex}" '
        f'tabindex="{0 if first else -1}" aria-label="{label}">{piece_html(piece)}</span>'
    )


def _kin(row: Any) -> str:
    """The first of the tokens that share a character, for linking them."""
    return f' data-kin="{row.shares_with[0]}"' if len(row.shares_with) > 1 else ""


def piece_html(piece: bytes) -> str:
    """The piece with signs for what cannot be seen, each marked by its kind."""
    return "".join(
        escape(segment.text) if segment.kind == "text" else f'<i class="{segment.kind}">{escape(segment.text)}</i>'
        for segment in segments(piece)
    )


def token_table(rows: Sequence[Any], pieces: Sequence[bytes]) -> str:
    """HTML table: number, id, text, bytes in hexadecimal, character span, byte span, special or not."""
    if not rows:
        return ""
    body = "".join(
        f'<tr data-i="{row.index}"{_kin(row)} style="--c:var(--token-{row.index % COLOURS})">'
        f'<th scope="row">{row.index}</th><td class="number">{row.id}</td>'
        f'<td class="text"><span class="piece">{piece_html(piece)}</span>{_whole(row)}</td>'
        f'<td class="hex">{row.bytes_hex}</td><td class="number">{span(row.char_span)}</td>'
        f'<td class="number">{span(row.byte_span)}</td><td>{"special" if row.is_special else ""}</td></tr>'
        for row, piece in zip(rows, pieces, strict=True)
    )
    head = "".join(
        f'<th scope="col">{name}</th>' for name in ("#", "Id", "Text", "Bytes", "Characters", "In bytes", "Kind")
    )
    return (
        '<div class="scroller" tabindex="0" role="region" aria-label="Table of tokens"><table class="token-table" '
        f"data-tokens><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _whole(row: Any) -> str:
    return f" <small>part of {escape(row.characters)}</small>" if row.is_partial else ""


def span(pair: tuple[int, int]) -> str:
    """
    >>> span((3, 7))
    '3–7'
    """
    return f"{pair[0]}–{pair[1]}"


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


def ids_line(ids: Sequence[int]) -> str:
    """The ids as a list that can be copied."""
    listed = ", ".join(map(str, ids))
    return f'<code class="ids" tabindex="0" aria-label="Token ids">[{listed}]</code>'
