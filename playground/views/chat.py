"""A rendered chat: its text with the template's part told apart, its tokens, and what each costs."""

from collections.abc import Sequence
from html import escape
from typing import Any

from playground.views.tokens import piece_html

SHOWN_CHARACTERS = 10_000
SHOWN_TOKENS = 3_000
COLOURS = {"system": 7, "developer": 7, "user": 0, "assistant": 2, "model": 2, "tool": 1}


def colour(role: str) -> str:
    return f"--c:var(--token-{COLOURS.get(role, 3)})"


def text_html(text: str, parts: Sequence[Any], roles: Sequence[str]) -> str:
    """The chat as one text. parts: playground.chat_parts.Part; roles: of the messages."""
    shown = "".join(
        f'<span class="chat-template">{_lines(text[part.start : min(part.end, SHOWN_CHARACTERS)])}</span>'
        if part.message is None
        else f'<span class="chat-message" style="{colour(roles[part.message])}" title="{escape(roles[part.message])}">'
        f"{_lines(text[part.start : min(part.end, SHOWN_CHARACTERS)])}</span>"
        for part in parts
        if part.start < SHOWN_CHARACTERS
    )
    more = f" Here are its first {SHOWN_CHARACTERS:,}." if len(text) > SHOWN_CHARACTERS else ""
    return (
        '<h3 class="small-title">As the model reads it</h3><p class="caption">'
        f'<span class="chat-template">What the template adds</span> and the messages: {len(text):,} characters.{more}'
        "</p>"
        f'<pre class="chat-text" tabindex="0" aria-label="The rendered chat">{shown}</pre>'
    )


def _lines(text: str) -> str:
    """Text whose line ends are seen and kept."""
    return escape(text).replace("\n", '<i aria-hidden="true">⏎</i>\n')


def tokens_html(tokens: Any, roles: Sequence[str], name: str) -> str:
    """The tokens one after the other (a playground.chat_parts.ChatTokens)."""
    boxes = []
    for id, piece, special, owner in list(zip(tokens.ids, tokens.pieces, tokens.special, tokens.message))[
        :SHOWN_TOKENS
    ]:
        names = "chat-token" + (" special" if special else "") + (" chat-added" if owner is None else "")
        style = "" if owner is None else f' style="{colour(roles[owner])}"'
        boxes.append(f'<span class="{names}"{style} data-id="{id}">{piece_html(piece)}</span>')
        if piece.endswith(b"\n"):
            boxes.append("<br>")
    more = f" Here are the first {SHOWN_TOKENS:,}." if len(tokens.ids) > SHOWN_TOKENS else ""
    return (
        f'<h3 class="small-title">As tokens of {escape(name)}</h3><p class="caption">Special tokens are read as such '
        f"and have a dashed frame; a token across a border counts as the template's.{more}</p>"
        f'<div class="chat-tokens">{"".join(boxes)}</div>'
    )


def counts_html(tokens: Any, roles: Sequence[str], characters: Sequence[int]) -> str:
    """What each message and the template cost. characters: of each message, then of the template."""
    total = len(tokens.ids)
    rows = [
        (f'<b style="{colour(role)}"></b>{escape(role)}', tokens.of_message(number), characters[number])
        for number, role in enumerate(roles)
    ]
    rows.append(('<b class="chat-added"></b>the template', tokens.of_template, characters[-1]))
    body = "".join(
        f'<tr><th scope="row">{name}</th><td>{count:,}</td><td>{100 * count / max(1, total):.0f} %</td>'
        f"<td>{length:,}</td></tr>"
        for name, count, length in rows
    )
    return (
        f'<p class="chat-cost"><b>{total:,}</b> tokens, of which the template adds <b>{tokens.of_template:,}</b>.</p>'
        '<div class="compare-scroll"><table class="chat-counts"><thead><tr><th scope="col">From</th>'
        '<th scope="col">Tokens</th><th scope="col">Share</th><th scope="col">Characters</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def missing_sentence(missing: Sequence[str], name: str) -> str:
    """Why a template's signs cost many tokens, if they do."""
    if not missing:
        return ""
    listed = ", ".join(missing[:4]) + (" and others" if len(missing) > 4 else "")
    return f"{name} has no token of its own for {listed}: these signs are cut like any text."
