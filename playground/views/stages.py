"""A text on its way through a tokenizer: four stages, one under another, and what each of them made of it."""

from bisect import bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape
from typing import Any

import regex

from core.tokenizer.byte_map import from_visible
from playground.views.tokens import beginning, piece_html

Span = tuple[int, int]

CHUNKS, TOKENS = 200, 400  # of a stage that are drawn
LONG = 60  # bytes of a chunk or a token that are written
CHARACTERS = 1_000  # of the text that is normalised
NEAR = 4_000  # pairs of characters up to which what changed is looked at character by character
COLORS = 8

EXPLAINED = {
    "Normalise": "Writes the text in one of its possible spellings: Unicode forms, capitals, accents.",
    "Pre-tokenise": "Cuts the text into chunks. No token reaches across a cut.",
    "Model": "Makes tokens of each chunk, by itself.",
    "Post-process": "Adds what a model expects around a text, such as a token that begins it.",
}


def stages_html(stages: Any, text: str) -> str:
    """HTML of a core.tokenizer.inspect.Stages of the text."""
    owners = chunks_of(stages.tokens, stages.pre_token_spans)
    made = {
        "Normalise": (stages.normalizer, _normalised(text, stages.normalized, stages.normalizer)),
        "Pre-tokenise": (stages.pre_tokenizer, _chunks(stages, text)),
        "Model": (stages.model, _token_list(stages.tokens[:TOKENS], owners, text) + _rest(len(stages.tokens), TOKENS)),
        "Post-process": (stages.post_processor, _post_processed(stages, owners, text)),
    }
    items = "".join(
        f'<li class="stage"><div class="stage-head"><h3>{name}</h3><p class="stage-kind">{escape(kind)}</p>'
        f'<p class="caption">{EXPLAINED[name]}</p></div>'
        f'<div class="stage-made">{html or _nothing("No text.")}</div></li>'
        for name, (kind, html) in made.items()
    )
    return f'<ol class="stages" aria-label="The stages of the tokenizer">{items}</ol>'


def changes(before: str, after: str) -> list[tuple[str, str]]:
    """What became of which stretch, (before, after), alike and changed ones in turn.

    Words are compared first, then the characters of those that differ: a comparison of all characters would take too
    long for some texts.

    >>> changes("I’d go", "i'd go")
    [('I’', "i'"), ('d go', 'd go')]
    """
    found: list[tuple[str, str]] = []
    for old, new in _compared(_words(before), _words(after)):
        for pair in _compared(old, new) if old != new and len(old) * len(new) <= NEAR else [(old, new)]:
            if found and (found[-1][0] == found[-1][1]) == (pair[0] == pair[1]):
                pair = found[-1][0] + pair[0], found[-1][1] + pair[1]
                found.pop()
            found.append(pair)
    return found


def chunks_of(tokens: Sequence[Any], spans: Sequence[Span]) -> list[int | None]:
    """For each token the number of the chunk that it begins in; None for what lies in no chunk.

    >>> from types import SimpleNamespace as Token
    >>> chunks_of([Token(span=(0, 1)), Token(span=(1, 3)), Token(span=(3, 4)), Token(span=(0, 0))], [(0, 3), (3, 4)])
    [0, 0, 1, None]
    """
    starts = [start for start, _ in spans]
    owners: list[int | None] = []
    for token in tokens:
        start, end = token.span
        place = bisect_right(starts, start) - 1
        owners.append(place if start < end and place >= 0 and start < spans[place][1] else None)
    return owners


def added(tokens: Sequence[Any], processed: Sequence[Any]) -> tuple[int, int]:
    """How many tokens post-processing put before those of the model, and how many after them.

    >>> from types import SimpleNamespace as Token
    >>> added([Token(id=7)], [Token(id=1), Token(id=7), Token(id=2)])
    (1, 1)
    """
    ids, all_ids = [token.id for token in tokens], [token.id for token in processed]
    more = max(0, len(all_ids) - len(ids))
    before = next((n for n in range(more + 1) if all_ids[n : n + len(ids)] == ids), 0)
    return before, more - before


def _words(text: str) -> list[str]:
    return regex.findall(r"\s+|\w+|.", text, regex.DOTALL)


def _compared(before: Sequence[str], after: Sequence[str]) -> list[tuple[str, str]]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [("".join(before[a:b]), "".join(after[c:d])) for _, a, b, c, d in matcher.get_opcodes()]


def _normalised(text: str, normalized: str, normalizer: str) -> str:
    if text == normalized:
        why = "the text stays as it is." if normalizer == "none" else "this text is written that way already."
        return _nothing(f"Nothing to do: {why}") if text else ""
    shown, count = [], 0
    stretches = changes(text[:CHARACTERS], _as_much(text, normalized))
    if len(text) > CHARACTERS and len(stretches) > 1 and stretches[-1][0] != stretches[-1][1]:
        stretches.pop()  # where the two were cut
    for before, after in stretches:
        if before == after:
            shown.append(_signs(after))
            continue
        count += 1
        was = f"<del>{_signs(before)}</del>" if before else ""
        shown.append(f'<span class="changed">{was}{f"<ins>{_signs(after)}</ins>" if after else ""}</span>')
    places = "1 place" if count == 1 else f"{count:,} places"
    rest = f" Here are the first {CHARACTERS:,} characters of {len(text):,}." if len(text) > CHARACTERS else ""
    return (
        f'<p class="stage-text">{"".join(shown)}</p>'
        f'<p class="caption">Changed in {places}: <del>before</del> <ins>after</ins>.{rest}</p>'
    )


def _as_much(text: str, normalized: str) -> str:
    """As much of the normalised text as the shown part of the text became, about; some characters become 18."""
    share = normalized if len(text) <= CHARACTERS else normalized[: len(normalized) * CHARACTERS // len(text)]
    return share[: 4 * CHARACTERS]


def _chunks(stages: Any, text: str) -> str:
    if len(stages.pre_tokens) == 1 and stages.pre_tokens[0][0] == stages.normalized:
        return _nothing("Nothing to do: the text goes to the model in one piece.")
    shown = "".join(
        _chip(word, text[slice(*span)], i, f"{span[0]}–{span[1]}", f"chunk {i}, characters {span[0]} to {span[1]}")
        for i, ((word, _), span) in enumerate(zip(stages.pre_tokens[:CHUNKS], stages.pre_token_spans))
    )
    return (_list("Chunks", shown) if shown else "") + _rest(len(stages.pre_tokens), CHUNKS)


def _token_list(tokens: Sequence[Any], owners: Sequence[int | None], text: str) -> str:
    shown = "".join(_token(token, owner, text) for token, owner in zip(tokens, owners))
    return _list("Tokens", shown) if shown else ""


def _token(token: Any, owner: int | None, text: str, kind: str = "") -> str:
    return _chip(token.text, text[slice(*token.span)], owner, str(token.id), f"id {token.id}", kind)


def _post_processed(stages: Any, owners: Sequence[int | None], text: str) -> str:
    tokens, processed = stages.tokens, stages.post_processed
    before, after = added(tokens, processed)
    if not before and not after:
        why = "" if stages.post_processor == "none" else ", in this text"
        return _nothing(f"Nothing to do: no token is added{why}.") if tokens else ""
    end = len(processed) - after
    shown = [_token(token, None, "", "added") for token in processed[:before]]
    shown += [_token(token, owner, text) for token, owner in zip(processed[before:end][:TOKENS], owners)]
    if end - before > TOKENS:
        shown.append(f'<span class="caption" role="listitem">… {end - before - TOKENS:,} more …</span>')
    shown += [_token(token, None, "", "added") for token in processed[end:]]
    number = "1 token" if before + after == 1 else f"{before + after} tokens"
    return _list("Tokens", "".join(shown)) + f'<p class="caption">{number} added, {len(processed):,} in all.</p>'


def _chip(written: str, text: str, chunk: int | None, below: str, label: str, kind: str = "") -> str:
    """A chunk or a token. Where bytes are written as GPT-2's characters, what they stand for comes first."""
    data = from_visible(written)
    spelling = ""
    if data is not None and data != written.encode("utf-8") and data in text.encode("utf-8"):
        spelling = f'<span class="chip-spelling">{escape(written[:LONG])}{"…" * (len(written) > LONG)}</span>'
    else:
        data = written.encode("utf-8")
    shown = piece_html(beginning(data, LONG)) + "…" * (len(data) > LONG)
    link = "" if chunk is None else f' data-chunk="{chunk}" style="--c: var(--token-{chunk % COLORS})"'
    title = escape(f"{label}, {kind}" if kind else label)
    return (
        f'<span class="chip {kind}" role="listitem" tabindex="{0 if chunk == 0 else -1}"{link} title="{title}">'
        f"<b>{shown or '∅'}</b>{spelling}<small>{below}</small></span>"
    )


def _list(name: str, chips: str) -> str:
    return f'<div class="chips" role="list" aria-label="{name}">{chips}</div>'


def _rest(total: int, shown: int) -> str:
    return f'<p class="caption">… and {total - shown:,} more, of {total:,}.</p>' if total > shown else ""


def _nothing(sentence: str) -> str:
    return f'<p class="stage-nothing">{sentence}</p>'


def _signs(text: str) -> str:
    return piece_html(text.encode("utf-8"))
