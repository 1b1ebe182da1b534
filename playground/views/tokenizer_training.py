"""A tokenizer that is trained: how its pattern cuts, its merges as they form, and the list of one's own tokenizers."""

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from core.tokenizer.visible import visible
from playground.views.series import sparkline
from playground.views.tokens import piece_html

LISTED = 100  # merges, the newest first
CHUNKS = 400  # that are shown of a cut text


def the_text(characters: int, most: int) -> str:
    """What to call the text above if only so many of its characters are taken.

    >>> the_text(10, 2_000), the_text(5_000, 2_000)
    ('the text above', 'the first 2,000 characters of the text above')
    """
    return "the text above" if characters <= most else f"the first {most:,} characters of the text above"


def cut_html(chunks: Sequence[str], text: str = "the text above") -> str:
    """A text in the chunks that merges never cross. text: what it is called."""
    if not chunks:
        return '<p class="caption">The text is empty, so there is nothing to cut.</p>'
    boxes = "".join(
        f'<span class="cut" style="--c:var(--token-{i % 8})">{piece_html(chunk.encode("utf-8"))}</span>'
        for i, chunk in enumerate(chunks[:CHUNKS])
    )
    more = f" Here are the first {CHUNKS:,}." if len(chunks) > CHUNKS else ""
    return (
        f'<p class="caption">{_capital(text)} in {len(chunks):,} {"chunk" if len(chunks) == 1 else "chunks"}: merges '
        f'never cross them.{more}</p><div class="cut-text">{boxes}</div>'
    )


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]


def merges_html(watched: Any, heading: str) -> str:
    """The newest merges, how often their pairs stood, and the sample as it is cut by all so far.

    watched: a playground.merges_watched.Watched.
    """
    merges = watched.merges
    rows = "".join(
        f'<tr><th scope="row">{rank:,}</th><td>{_piece(left)} {_piece(right)}</td><td>{_piece(left + right)}</td>'
        f"<td>{count:,}</td></tr>"
        for rank, left, right, count in reversed(merges[-LISTED:])
    )
    earlier = len(merges) - LISTED
    more = f'<p class="caption">and {earlier:,} before them</p>' if earlier > 0 else ""
    table = (
        '<div class="scroller formed" tabindex="0" role="region" aria-label="Merges">'
        '<table class="formed-table"><thead><tr><th scope="col">Rank</th>'
        '<th scope="col">Pair</th><th scope="col">Token</th><th scope="col">Count</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{more}"
        if merges
        else '<p class="caption">It has no pair that could be merged.</p>'
    )
    return (
        f'<h3 class="small-title">{escape(heading)}</h3>{bar_html(len(merges), watched.total)}'
        f'<div class="formed-row"><div>{table}</div>'
        f"<div>{sample_html(watched.sample, text=the_text(watched.characters, watched.sampled))}"
        f"{_curve(watched.counts)}</div></div>"
    )


def bar_html(done: int, total: int) -> str:
    if not total or done >= total:
        return ""
    return f'<div class="training-bar"><span style="width:{100 * done / total:.1f}%"></span></div>'


def sample_html(
    chunks: Sequence[Sequence[bytes]], by: str = "by the merges so far", text: str = "the text above"
) -> str:
    """The sample's pieces, chunk by chunk. text: what it is a sample of."""
    number = 0
    words = []
    for chunk in chunks:
        boxes = []
        for piece in chunk:
            boxes.append(f'<span class="cut" style="--c:var(--token-{number % 8})">{piece_html(piece)}</span>')
            number += 1
        words.append(f'<span class="cut-chunk">{"".join(boxes)}</span>')
    if not words:
        return ""
    count = f"{number:,} {'token' if number == 1 else 'tokens'}"
    return f'<p class="caption">{_capital(text)}, cut {by}: {count}.</p><div class="cut-text">{"".join(words)}</div>'


def _piece(piece: bytes) -> str:
    return f'<span class="formed-piece" title="{escape(visible(piece))}">{piece_html(piece)}</span>'


def _curve(counts: Sequence[int]) -> str:
    if len(counts) < 3:
        return ""
    curve = sparkline(np.log10(np.maximum(1, np.array(counts, dtype=float))), 240, 44)
    return (
        f'<figure class="formed-curve"><figcaption class="caption">How often each pair stood, by rank '
        f"(logarithmic): from {counts[0]:,} to {counts[-1]:,}</figcaption>{curve}</figure>"
    )


def own_table(abouts: Sequence[Any]) -> str:
    """One's own tokenizers (core.tokenizer.own.About)."""
    if not abouts:
        return '<p class="caption">There is none yet: train one, or add a file.</p>'
    origins = [f"{about.how} on {about.data}" if about.how == "trained" else about.data for about in abouts]
    rows = "".join(
        f'<tr><th scope="row">{escape(about.name)}</th><td>{escape(about.kind)}</td><td>{about.vocab_size:,}</td>'
        f"<td>{escape(about.made[:16].replace('T', ' '))}</td>"
        f'<td class="wide">{escape(origin)}</td></tr>'
        for about, origin in zip(abouts, origins)
    )
    return (
        '<div class="scroller own-tokenizers" tabindex="0" role="region" aria-label="Your tokenizers">'
        '<table class="formed-table"><thead><tr><th scope="col">Name</th>'
        '<th scope="col">Kind</th><th scope="col">Tokens</th><th scope="col">Made (UTC)</th><th scope="col">From</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def how_to_use(name: str, vocab_size: int) -> str:
    """What a new tokenizer is good for, in a few lines."""
    command = f"llm-scratch train gpt-shakespeare --run-name NAME --set tokenizer.path={name}"
    return (
        f'<p class="trained-how"><b>{escape(name)}</b> with {vocab_size:,} tokens is chosen above: all parts show it. '
        "To train a model with it, choose it in the Training tab, or run "
        f"<code>{escape(command)}</code></p>"
    )
