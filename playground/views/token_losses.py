"""A text, each token shaded by its loss: what the model expected is plain, what surprised it stands out.

Pure functions of a `core.evaluate.token_losses.TokenLosses`. What there is to say of a token stands in its data-say,
which assets/decoding-columns.js shows when one points at it or goes to it with the keyboard.
"""

import math
from html import escape
from typing import TYPE_CHECKING, Any

from playground.views.written import attribute, number, percent, readable

if TYPE_CHECKING:
    from core.evaluate.token_losses import TokenLosses

SHOWN = 1_000  # tokens on a page
TOLD = 40  # tokens of a group
DARKEST = 10.0  # bits: a probability of about 0.1 %
LONGEST = 1_000  # characters of a source that are shown


def token_losses_html(losses: "TokenLosses", start: int = 0, count: int = SHOWN) -> str:
    """The text from token `start` on, `count` tokens of it (never a part of a character), under its legend."""
    count = max(1, count)
    start = max(0, min(start, len(losses) - 1))
    shown = [group for group in losses.groups if start <= group.start < start + count]
    shown = shown or [group for group in losses.groups if start in group]
    spans = losses.encoding.char_spans
    parts = []
    place = spans[shown[0].start][0] if shown and start else 0  # characters up to here are there
    for index, group in enumerate(shown):
        begin, end = spans[group.start][0], max(spans[position][1] for position in group)
        if begin > place:  # what no token stands for: space that a tokenizer takes away
            parts.append(readable(losses.text[place:begin].encode()))
        parts.append(_token(losses, group, losses.text[begin:end], 0 if index == 0 else -1))
        place = max(place, end)
    if shown and shown[-1].stop == len(losses):
        parts.append(readable(losses.text[place:].encode()))
    return (
        '<section class="losses" aria-label="Loss of each token">'
        f'{_source(losses)}<p class="caption">{_legend(losses, shown)}</p>'
        f'<div class="decoding-text losses-text" lang="" dir="auto">{"".join(parts)}</div></section>'
    )


def losses_facts(figures: dict[str, Any]) -> str:
    """The figures of a text (`TokenLosses.figures`, or the result of core.evaluate.evaluate_language) on one line."""
    rows = [
        ("Tokens", f"{figures['tokens']:,}"),
        ("Words", "–" if figures["words"] is None else f"{figures['words']:,}"),
        ("Bytes", f"{figures['bytes']:,}"),
        ("Loss per token", f"{number(figures['loss_per_token'])} nats · {number(figures['bits_per_token'])} bits"),
        ("Perplexity", _large(figures["perplexity"])),
        ("Perplexity per word", _large(figures["perplexity_per_word"])),
        ("Bits per byte", f"{figures['bits_per_byte']:.3f}"),
    ]
    items = "".join(f'<div class="fact"><dt>{name}</dt><dd>{value}</dd></div>' for name, value in rows)
    return f'<dl class="facts" aria-label="Measured on the text">{items}</dl>'


def shade(nats: float) -> float:
    """0 for what was certain, 1 for a loss of DARKEST bits and more; even between.

    >>> shade(0.0), round(shade(5 * math.log(2)), 3), shade(math.inf)
    (0.0, 0.5, 1.0)
    """
    return min(1.0, max(0.0, nats / math.log(2) / DARKEST))


def _token(losses: "TokenLosses", group: range, text: str, tab: int) -> str:
    """Tokens that are shown together: one, or those of one character."""
    nats = float(losses.nats[group.start : group.stop].sum())
    names = "".join(losses.name(losses.encoding.ids[position]) for position in group)
    # What is no text (an end token), or stands for none of it, has its name.
    shown = readable(text.encode()) if text else f'<span class="decoding-sign">{escape(names)}</span>'
    label = escape(f"{names}: {_loss(nats)}")
    told = attribute([_told(losses, position) for position in group[:TOLD]])
    return (
        f'<span class="decoding-token" tabindex="{tab}" role="group" aria-label="{label}" data-at="{group.start}" '
        f"data-say='{told}' style=\"--doubt:{shade(nats):.3f}\">{shown}</span>"
    )


def _told(losses: "TokenLosses", position: int) -> dict[str, Any]:
    """All that is told of one token, as plain values: the texts are ready to be read."""
    token, nats = losses.encoding.ids[position], float(losses.nats[position])
    probability = math.exp(-nats)
    candidates = list(zip(losses.best[position].tolist(), losses.best_probabilities[position].tolist()))
    if token not in [other for other, _ in candidates]:
        candidates.append((token, probability))
    return {
        "name": losses.name(token),
        "head": f"id {token:,} · rank {int(losses.ranks[position]):,} · token {position + 1:,} of {len(losses):,}",
        "line": f"{_loss(nats)} · probability {percent(probability)} · entropy "
        f"{number(float(losses.entropies[position]))} nats",
        "note": "",
        "options": [
            [other, losses.name(other), round(100 * share, 2), percent(share), int(other == token), ""]
            for other, share in candidates
        ],
    }


def _loss(nats: float) -> str:
    return f"loss {number(nats)} nats, {number(nats / math.log(2))} bits"


def _large(value: float | None) -> str:
    return "–" if value is None else number(value)


def _source(losses: "TokenLosses") -> str:
    if not losses.source:
        return ""
    cut = "…" if len(losses.source) > LONGEST else ""
    text = readable(losses.source[:LONGEST].encode())
    return f'<p class="losses-source" lang="" dir="auto"><span class="caption">Source</span> {text}{cut}</p>'


def _legend(losses: "TokenLosses", shown: list[range]) -> str:
    legend = (
        'Shaded by loss, <span class="losses-scale">0 <span aria-hidden="true"></span> '
        f"{DARKEST:.0f} bits or more</span> (a probability of 0.1 %). Point at a token for all of it."
    )
    first, last = shown[0].start + 1, shown[-1].stop
    if last - first + 1 < len(losses):
        legend += f" Tokens {first:,} to {last:,} of {len(losses):,}."
    return legend
