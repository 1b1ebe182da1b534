"""What a model has written, token by token, as HTML: tinted by how sure it was, with what else it could have written.

Pure functions: hypotheses in, escaped HTML out. What there is to say of a token stands in its data-say, as JSON that
assets/decoding-columns.js shows when one points at it. A tokenizer is needed for `token_bytes` and `special_ids` only.
"""

import json
import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from core.tokenizer.visible import segments, visible

if TYPE_CHECKING:
    from core.decode.result import Hypothesis
    from core.decode.trace import StepTrace
    from core.tokenizer import Tokenizer

ALTERNATIVES = 6  # told of each token


def token_groups(ids: Sequence[int], tokenizer: "Tokenizer") -> list[list[int]]:
    """Positions of `ids`, grouped so that each group is whole characters where that is possible.

    A byte-level token may be a part of a character: か is three bytes, and its tokens mean something only together.
    """
    groups: list[list[int]] = []
    held: list[int] = []
    data = b""
    for position, token in enumerate(ids):
        if token in tokenizer.special_ids or not tokenizer.has_id(token):
            if held:
                groups.append(held)
            groups.append([position])
            held, data = [], b""
            continue
        held, data = [*held, position], data + tokenizer.token_bytes(token)
        if not _is_cut_short(data):
            groups.append(held)
            held, data = [], b""
    return [*groups, held] if held else groups


def _is_cut_short(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return False


def tokens_html(
    hypothesis: "Hypothesis",
    tokenizer: "Tokenizer",
    explain: bool = True,
    forced: int = 0,
    marked: int | None = None,
) -> str:
    """The continuation, token by token. The tint grows as the probability falls: what is plain was certain.

    forced: so many tokens from the beginning were given, not chosen. marked: the position of a token to be marked.
    """
    parts = []
    for number_of, group in enumerate(token_groups(hypothesis.ids, tokenizer)):
        logprob = sum(hypothesis.logprobs[i] for i in group)
        ids = [hypothesis.ids[i] for i in group]
        text = _text_html(ids, tokenizer)
        drafted = bool(hypothesis.drafted) and all(hypothesis.drafted[i] for i in group)
        look = "decoding-token"
        look += " decoding-drafted" if drafted else ""
        look += " decoding-forced" if group[-1] < forced else ""
        look += " decoding-parts" if marked in group else ""
        style = f'style="--doubt:{doubt(logprob):.3f}"'
        if not explain:
            parts.append(f'<span class="{look}" {style}>{text}</span>')
            continue
        label = escape(f"{token_name(ids, tokenizer)}: probability {percent(math.exp(logprob))}")
        told = [_told(hypothesis, i, tokenizer, i < forced) for i in group]
        parts.append(
            f'<span class="{look}" tabindex="{0 if number_of == 0 else -1}" role="group" aria-label="{label}" '
            f"data-at=\"{group[0]}\" data-say='{attribute(told)}' {style}>{text}</span>"
        )
    return "".join(parts)


def _told(hypothesis: "Hypothesis", position: int, tokenizer: "Tokenizer", forced: bool) -> dict[str, Any]:
    """All that is told of one token, as plain values: the texts are ready to be read."""
    token, logprob = hypothesis.ids[position], hypothesis.logprobs[position]
    step = hypothesis.steps[position] if position < len(hypothesis.steps) else None
    rank = f" · rank {step.rank:,}" if step is not None else ""
    entropy = f" · entropy {number(step.entropy)} nats" if step is not None else ""
    notes = []
    if hypothesis.drafted and hypothesis.drafted[position]:
        notes.append("drafted by the assistant")
    if forced:
        notes.append("given, not chosen")
    return {
        "name": token_name([token], tokenizer),
        "head": f"id {token:,}{rank}",
        "line": f"probability {percent(math.exp(logprob))} · log-probability {number(logprob)}{entropy}",
        "note": " · ".join(notes),
        "options": _options(step, token, tokenizer, forced) if step is not None else [],
    }


def _options(step: "StepTrace", chosen: int, tokenizer: "Tokenizer", forced: bool) -> list[list[Any]]:
    """[id, name, share of 100, probability, chosen, why it was removed] of the most probable tokens."""
    options = []
    names = step.distribution.processors
    for candidate in step.candidates[:ALTERNATIVES]:
        gone = [name for name, value in zip(names, candidate.processed, strict=True) if value is None]
        options.append([
            candidate.id, token_name([candidate.id], tokenizer), round(100 * candidate.probability, 2),
            percent(candidate.probability), int(candidate.id == chosen),
            gone[0].replace("_", "-") if gone and not forced else "",
        ])  # fmt: skip
    return options


def attribute(value: Any) -> str:
    """JSON for an attribute between single quotes: half as long as with its many double quotes escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("&", "&amp;").replace("'", "&#39;").replace("<", "&lt;").replace(">", "&gt;")


def doubt(logprob: float) -> float:
    """0 for a certain token, 1 for one of probability 1% or less; equal steps for equal ratios between."""
    return min(1.0, max(0.0, -logprob / math.log(100)))


def _text_html(ids: Sequence[int], tokenizer: "Tokenizer") -> str:
    """Text as a reader expects it: real spaces and line ends; what cannot be seen gets a sign."""
    if any(token in tokenizer.special_ids or not tokenizer.has_id(token) for token in ids):
        return f'<span class="decoding-sign">{escape(token_name(ids, tokenizer))}</span>'
    return readable(b"".join(tokenizer.token_bytes(token) for token in ids))


def readable(piece: bytes) -> str:
    """HTML of a piece of text as a reader expects it: see `_text_html`."""
    html = ""
    for segment in segments(piece):
        if segment.kind in ("text", "mark"):
            html += escape(segment.text)
        elif segment.kind == "space":
            html += escape(segment.text.replace("·", " ").replace("□", "\u3000").replace("⇥", "\t"))
        else:
            html += f'<span class="decoding-sign">{escape(segment.text)}</span>'
            html += "<br>" if segment.text in ("⏎", "NEL", "LSEP", "PSEP") else ""
    return html


def token_name(ids: Sequence[int], tokenizer: "Tokenizer") -> str:
    """The tokens' text with everything in it visible."""
    known = all(tokenizer.has_id(token) for token in ids)
    return visible(b"".join(tokenizer.token_bytes(token) for token in ids)) if known else f"id {ids[0]}"


def percent(value: float) -> str:
    """A probability as people read it: small ones keep two digits that count."""
    share = 100 * value
    if share >= 99.995:
        return "100 %"
    return f"{share:.1f} %" if share >= 1 else f"{share:.2g} %" if share >= 1e-4 else f"{share:.0e} %"


def number(value: float) -> str:
    return f"{value:,.2f}".replace("-", "−") if abs(value) < 1e6 else f"{value:.2e}"
