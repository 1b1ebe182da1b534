"""Several tokenizers on one text: what assets/tokenizer-compare.js draws, and the table of counts."""

import json
import unicodedata
from collections.abc import Sequence
from html import escape
from typing import Any

from core.tokenizer.visible import sign
from playground.views.tokens import ratio, steps, token_type

WIDE = ("W", "F")  # East Asian widths that take two columns of a terminal, and here


def ruler_data(comparison: Any) -> str:
    """JSON of a core.tokenizer.inspect Comparison.

    "text"; "cells": [what to show, its kind, how many columns it takes] of each character that is not itself in one
    column; "lanes": name and tokens of each tokenizer, with types and spans as `views.tokens.token_data` writes them;
    "differing": start and end of each stretch where not all lanes cut alike, one after the other.
    """
    made = json.dumps(
        {
            "text": comparison.text,
            "cells": cells(comparison.text),
            "lanes": [_lane(lane) for lane in comparison.lanes],
            "differing": [place for stretch in comparison.differing for place in stretch],
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    return made.replace("<", "\\u003c")  # a value of the page must not look like a tag of it


def _lane(lane: Any) -> dict[str, Any]:
    encoding = lane.encoding
    types: dict[tuple[int, bytes, bool], int] = {}
    tokens = [types.setdefault(key, len(types)) for key in zip(encoding.ids, encoding.pieces, encoding.special_mask)]
    return {
        "name": lane.name,
        "types": [token_type(*key) for key in types],
        "tokens": tokens,
        "chars": steps(encoding.char_spans, 0),
        "bytes": steps(encoding.byte_spans, 0),
    }


def cells(text: str) -> dict[str, tuple[str, str, int]]:
    """The characters of a text that need more than their own sign in one column: (sign, kind, columns).

    A combining mark sits on a dotted circle, since what it combines with is in the cell before.

    >>> cells("a か\\u200b")
    {' ': ('·', 'space', 1), '\\u200b': ('ZWSP', 'zero-width', 2), 'か': ('か', 'text', 2)}
    """
    found: dict[str, tuple[str, str, int]] = {}
    for char in sorted(set(text)):
        shown = sign(char)
        text_of = "◌" + shown.text if shown.kind == "mark" else shown.text
        named = shown.kind != "mark" and len(text_of) > 1
        columns = -(-len(text_of) // 2) if named else 2 if unicodedata.east_asian_width(char) in WIDE else 1
        if (text_of, shown.kind, columns) != (char, "text", 1):
            found[char] = (text_of, shown.kind, columns)
    return found


def counts_table(comparison: Any, vocabularies: Sequence[int]) -> str:
    """HTML table of the lanes' counts, the best of each column marked. vocabularies: their sizes, a lane each."""
    lanes = comparison.lanes
    if not lanes:
        return ""
    fewest = min(lane.counts.tokens for lane in lanes)
    most = max(1, max(lane.counts.tokens for lane in lanes))
    rows = []
    for number, (lane, vocabulary) in enumerate(zip(lanes, vocabularies, strict=True)):
        counts = lane.counts
        # All columns but the last are of the same text, so the same lanes are best in each of them.
        best = ' class="best"' if counts.tokens == fewest and len(lanes) > 1 else ""
        figures = (
            f"{counts.tokens:,}",
            ratio(counts.characters, counts.tokens),
            ratio(counts.bytes, counts.tokens),
            ratio(counts.tokens, counts.words),
        )
        bar = f'<span class="compare-bar" style="width:{100 * counts.tokens / most:.1f}%"></span>'
        rows.append(
            f'<tr style="--c:var(--token-{number})"><th scope="row"><b>{number + 1}</b>{escape(lane.name)}</th>'
            + f'<td class="bar" aria-hidden="true">{bar}</td>'
            + "".join(f"<td{best}>{figure}</td>" for figure in figures)
            + f"<td>{vocabulary:,}</td></tr>"
        )
    return (
        '<div class="compare-scroll"><table class="compare-counts"><thead><tr><th scope="col">Tokenizer</th>'
        '<td></td><th scope="col">Tokens</th><th scope="col">Characters per token</th>'
        '<th scope="col">Bytes per token</th><th scope="col">Tokens per word</th><th scope="col">Vocabulary</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def agreement(comparison: Any) -> str:
    """One sentence: how far the lanes cut alike."""
    if len(comparison.lanes) < 2 or not comparison.text:
        return ""
    stretches, agreed = len(comparison.differing), len(comparison.agreed)
    ends = {end for lane in comparison.lanes for end in lane.boundaries}
    if not stretches:
        return "All cut this text alike."
    places = "1 stretch" if stretches == 1 else f"{stretches:,} stretches"
    shared = len(ends & set(comparison.agreed))
    if not agreed:
        return f"They differ in {places}, and share no end of a token."
    return f"They differ in {places}; {shared:,} of the {len(ends):,} ends of tokens are shared by all."
