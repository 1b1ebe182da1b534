"""A vocabulary: what a search found as a table, and what there is in all: lengths, scripts, the longest tokens."""

from collections.abc import Sequence
from html import escape
from typing import Any

from playground.views.tokens import piece_html

BARS, SCRIPTS = 24, 14  # lengths and scripts with a bar of their own
HEX = 16  # bytes that are written in the table

KINDS = {
    "special": "Special tokens",
    "added": "Added tokens",
    "byte": "Single bytes",
    "partial": "Parts of characters",
    "space": "Only white space",
    "word": "Beginnings of words",
    "part": "Without a space before",
}
NAMES = {
    "special": "special",
    "added": "added",
    "byte": "byte",
    "partial": "part of a character",
    "space": "white space",
    "word": "begins a word",
    "part": "no space before",
}


def kind_choices(size: int, kinds: Sequence[tuple[str, int]], unreachable: int | None) -> list[tuple[str, str]]:
    """(label, value) of what the search can be limited to.

    >>> kind_choices(300, [("special", 4), ("word", 296)], 2)[1:]
    [('Special tokens (4)', 'special'), ('Beginnings of words (296)', 'word'), ('Unreachable (2)', 'unreachable')]
    """
    found = [(f"All ({size:,})", "all"), *((f"{KINDS[kind]} ({count:,})", kind) for kind, count in kinds)]
    return [*found, ("Unreachable" if unreachable is None else f"Unreachable ({unreachable:,})", "unreachable")]


def results_html(entries: Sequence[Any], total: int, offset: int, query: str, rank_name: str) -> str:
    """HTML of entries (core.tokenizer.inspect.Entry). query: a part of their texts that is marked. rank_name: what
    their ranks count, if they have any."""
    if not total:
        return '<p class="nothing">No token fits. Try fewer letters, another way to search, or all tokens.</p>'
    scored, ranked = any(e.score is not None for e in entries), bool(rank_name)
    rows = "".join(_row(entry, query, ranked, scored) for entry in entries)
    more = f'<th scope="col" title="{escape(rank_name)}">Rank</th>' if ranked else ""
    more += '<th scope="col" title="natural logarithm of its probability">Score</th>' if scored else ""
    return (
        f'<p class="caption vocabulary-found" role="status">{_shown(total, offset, len(entries))}</p>'
        '<div class="scroller" tabindex="0" role="region" aria-label="Tokens found"><table class="vocabulary-table">'
        '<thead><tr><th scope="col">Id</th><th scope="col">Token</th><th scope="col">Bytes</th>'
        f'<th scope="col">Length</th>{more}<th scope="col">Kind</th><th scope="col">Script</th>'
        f'<th scope="col">Reachable</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _shown(total: int, offset: int, count: int) -> str:
    if total == count:
        return "1 token" if total == 1 else f"{total:,} tokens"
    return f"{offset + 1:,} to {offset + count:,} of {total:,} tokens"


def _row(entry: Any, query: str, ranked: bool, scored: bool) -> str:
    shown = entry.bytes[:HEX].hex(" ").upper() + (" …" if len(entry.bytes) > HEX else "")
    more = f'<td class="number">{"" if entry.rank is None else f"{entry.rank:,}"}</td>' if ranked else ""
    more += f'<td class="number">{"" if entry.score is None else f"{entry.score:.3f}"}</td>' if scored else ""
    if entry.kind == "special":
        reach = f'<td class="why caption">{escape(entry.why_not)}</td>'
    elif entry.reachable:
        reach = '<td><span class="reachable">yes</span></td>'
    else:
        reach = f'<td class="why"><b>no:</b> {escape(entry.why_not)}</td>'
    return (
        f'<tr><th scope="row">{entry.id}</th><td class="token-cell"><span class="entry entry-{entry.kind}">'
        f'{marked(entry.bytes, query)}</span></td><td class="hex" title="{entry.bytes.hex(" ").upper()}">{shown}</td>'
        f'<td class="number">{len(entry.bytes)}</td>{more}<td>{NAMES[entry.kind]}</td><td>{escape(entry.script)}</td>'
        f"{reach}</tr>"
    )


def marked(data: bytes, query: str) -> str:
    """HTML of a token with the places marked that hold the query.

    >>> marked(b"<low>", "o")
    '&lt;l<mark>o</mark>w&gt;'
    """
    wanted = query.encode("utf-8", "replace")
    if not wanted or wanted not in data:
        return piece_html(data)
    mark = f"<mark>{piece_html(wanted)}</mark>"
    return mark.join(piece_html(part) if part else "" for part in data.split(wanted))


def overview_html(
    lengths: Sequence[tuple[int, int]], scripts: Sequence[tuple[str, int]], longest: Sequence[Any], narrow: str
) -> str:
    """HTML of both histograms, whose bars limit the search when they are clicked, and of the longest tokens.

    narrow: what it is limited to: "length:3", "length:25+", "script:Latin", or nothing.
    """
    return (
        '<section><h3 class="small-title">Lengths, in bytes</h3>'
        '<div class="length-bars" role="group" aria-label="Tokens by length in bytes">'
        f"{_length_bars(lengths, narrow)}</div></section>"
        '<section><h3 class="small-title">Scripts</h3>'
        '<div class="script-bars" role="group" aria-label="Tokens by script">'
        f"{_script_bars(scripts, narrow)}</div></section>"
        f'<section><h3 class="small-title">Longest tokens</h3>{_longest(longest)}</section>'
    )


def _length_bars(lengths: Sequence[tuple[int, int]], narrow: str) -> str:
    bars = [(str(length), f"length:{length}", count) for length, count in lengths if length <= BARS]
    if beyond := sum(count for length, count in lengths if length > BARS):
        bars.append((f"{BARS + 1}+", f"length:{BARS + 1}+", beyond))
    most = max((count for *_, count in bars), default=1)
    return "".join(
        f'<button type="button" data-narrow="{value}" aria-pressed="{str(value == narrow).lower()}" '
        f'aria-label="{name} {"byte" if name == "1" else "bytes"}: {_tokens(count)}" title="{_tokens(count)}">'
        f'<span class="bar"><i style="height: {100 * count / most:.2f}%"></i></span><small>{name}</small></button>'
        for name, value, count in bars
    )


def _script_bars(scripts: Sequence[tuple[str, int]], narrow: str) -> str:
    most = max((count for _, count in scripts), default=1)
    bars = [
        f'<button type="button" data-narrow="script:{escape(name)}" '
        f'aria-pressed="{str(f"script:{name}" == narrow).lower()}"><span class="name">{escape(name)}</span>'
        f'<span class="bar"><i style="width: {100 * count / most:.2f}%"></i></span>'
        f'<span class="count">{count:,}</span></button>'
        for name, count in scripts
    ]
    rest = bars[SCRIPTS:]
    folded = f"<details><summary>{len(rest)} more</summary>{''.join(rest)}</details>" if rest else ""
    return "".join(bars[:SCRIPTS]) + folded


def _longest(entries: Sequence[Any]) -> str:
    items = "".join(
        f'<li><span class="entry">{piece_html(entry.bytes)}</span><span class="count">{len(entry.bytes)} bytes '
        f"· id {entry.id}</span></li>"
        for entry in entries
    )
    return f'<ol class="longest">{items}</ol>'


def reach_html(unreachable: int | None, size: int) -> str:
    """HTML of how many tokens no text becomes; None: not counted yet; the page asks for it."""
    if unreachable is None:
        return '<p class="caption" data-pending>Tokens that no text becomes are being looked for …</p>'
    if not unreachable:
        return '<p class="caption">Every token can be reached: a text is known that becomes it.</p>'
    of = f"{_tokens(unreachable)} of {size:,}"
    are = "is" if unreachable == 1 else "are"
    return f'<p class="caption"><b>{of}</b> {are} unreachable: no text is known to become one.</p>'


def narrowed_html(narrow: str) -> str:
    """HTML of what the search is limited to by a bar, with a button that takes it away."""
    if not narrow:
        return ""
    kind, _, value = narrow.partition(":")
    said = f"script: {value}" if kind == "script" else f"length: {value} {'byte' if value == '1' else 'bytes'}"
    return (
        f'<button type="button" class="narrowed" data-narrow="" aria-label="Not only {escape(said)}">{escape(said)} '
        '<span aria-hidden="true">×</span></button>'
    )


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count:,} tokens"
