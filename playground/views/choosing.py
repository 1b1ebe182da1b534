"""How WordPiece and Unigram find the tokens of a word: what was tried, and the pieces that fit."""

from collections.abc import Sequence
from html import escape
from typing import Any

from playground.views.tokens import piece_html

TRIES = 8  # that are written of a place; the others are counted
COLORS = 8


def matches_html(matches: Sequence[Any], prefix: str, unknown: str) -> str:
    """HTML of WordPiece at work (core.tokenizer.inspect.choosing.Match). prefix: "##"; unknown: the token's name."""
    failed = any(match.id is None for match in matches)
    tokens = [(unknown, "")] if failed else [(match.tried[-1], str(match.id)) for match in matches]
    items = "".join(_match(match, place, prefix) for place, match in enumerate(matches))
    end = (
        f"At one place nothing fits, so the whole word is {escape(unknown)}."
        if failed
        else f"The word is {_count(len(tokens), 'token')}"
        + (f"; {escape(prefix)} marks those that continue it." if len(tokens) > 1 else ".")
    )
    return (
        '<p class="player-said">Nothing is merged here. From the start, WordPiece takes the longest entry of the '
        f"vocabulary that fits, then the longest that continues the word, and so on. {end}</p>"
        f'{_pieces(tokens)}<ol class="matches">{items}</ol>'
    )


def _match(match: Any, place: int, prefix: str) -> str:
    prefix = prefix if match.start else ""
    tried, found = list(match.tried), match.id is not None
    last = tried.pop() if found and tried else ""
    hidden = len(tried) - TRIES
    if hidden > 1:
        tried[TRIES // 2 : -(TRIES // 2)] = [None]
    lines = "".join(
        f'<span class="try">{_written(text, prefix)}</span>'
        if text is not None
        else f'<span class="try caption">… {hidden:,} more …</span>'
        for text in tried
    )
    if found:
        lines += (
            f'<span class="try found"><b class="piece" style="--c: var(--token-{place % COLORS})">'
            f"{_written(last, prefix)}</b><small>id {match.id}</small></span>"
        )
    said = "No entry fits" if not found else f"Try {len(match.tried)} fits" if len(match.tried) > 1 else "Fits at once"
    return f'<li><p class="small-title">{said}, from character {match.start}</p><div class="tries">{lines}</div></li>'


def _written(text: str, prefix: str) -> str:
    return f'<span class="prefix">{escape(prefix)}</span>{piece_html(text[len(prefix) :].encode("utf-8"))}'


def lattice_html(word: str, lattice: Any) -> str:
    """HTML of a Unigram model at work (core.tokenizer.inspect.choosing.Lattice)."""
    chosen = [candidate for candidate in lattice.candidates if candidate.is_chosen]
    ways = "is one way" if lattice.ways == 1 else f"are {_large(lattice.ways)} ways"
    characters = "".join(
        f'<span class="at" style="grid-column: {i}; grid-row: 1">{piece_html(char.encode("utf-8"))}</span>'
        for i, char in enumerate(word, start=1)
    )
    return (
        '<p class="player-said">Nothing is merged here. Every piece has a score, the logarithm of its probability; '
        f"there {ways} to make the word of pieces, and Unigram takes the one of the highest sum: {lattice.score:.2f}. "
        f"The word is {_count(len(chosen), 'piece')}.</p>"
        + _pieces([(c.text, "unknown" if c.id is None else str(c.id)) for c in chosen])
        + '<p class="small-title">All pieces that fit</p>'
        '<div class="lattice-box" tabindex="0" role="region" aria-label="All pieces that fit">'
        f'<div class="lattice" style="grid-template-columns: repeat({max(1, len(word))}, minmax(52px, 76px))">'
        f"{characters}{_bars(lattice.candidates)}</div></div>"
    )


def _bars(candidates: Sequence[Any]) -> str:
    """Each piece under its characters: the chosen ones in the first row, the others where there is room."""
    free = [0]  # for each row after the first, from where on it is free
    bars, place = [], 0
    for candidate in candidates:
        style = ""
        if candidate.is_chosen:
            row, style = 2, f"--c: var(--token-{place % COLORS}); "
            place += 1
        else:
            line = next((i for i, end in enumerate(free) if end <= candidate.start), len(free))
            free[line : line + 1] = [candidate.end]
            row = line + 3
        about = "unknown" if candidate.id is None else f"id {candidate.id}"
        bars.append(
            f'<span class="candidate{" chosen" if candidate.is_chosen else ""}" title="{about}, score '
            f'{candidate.score:.4f}" style="{style}grid-column: {candidate.start + 1} / {candidate.end + 1}; '
            f'grid-row: {row}"><b>{piece_html(candidate.text.encode("utf-8"))}</b>'
            f"<small>{candidate.score:.2f}</small></span>"
        )
    return "".join(bars)


def _pieces(tokens: Sequence[tuple[str, str]]) -> str:
    shown = "".join(
        f'<span class="piece" role="listitem" style="--c: var(--token-{i % COLORS})">'
        f"<b>{piece_html(text.encode('utf-8'))}</b><small>{below}</small></span>"
        for i, (text, below) in enumerate(tokens)
    )
    return f'<div class="player-pieces" role="list" aria-label="Tokens">{shown}</div>'


def _count(number: int, name: str) -> str:
    return f"1 {name}" if number == 1 else f"{number} {name}s"


def _large(number: int) -> str:
    """
    >>> _large(1234), _large(10**30)
    ('1,234', 'about 1.0e+30')
    """
    return f"{number:,}" if number < 10**9 else f"about {number:.1e}"
