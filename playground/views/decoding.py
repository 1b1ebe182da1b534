"""One column of the Decoding tab as HTML: tokens shaded by how sure the model was, what else it could have written,
figures, and for beams and chosen samples the list of the best hypotheses.

Pure functions: hypotheses in, escaped HTML out. A tokenizer is needed only for `token_bytes` and `special_ids`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Literal

from core.decode.config import GenerationConfig
from core.tokenizer.visible import segments, visible

if TYPE_CHECKING:
    from core.decode.result import Hypothesis, Work
    from core.decode.trace import StepTrace
    from core.tokenizer import Tokenizer

State = Literal["waiting", "writing", "done", "stopped", "failed"]
ALTERNATIVES = 5  # shown of each token


@dataclass(frozen=True)
class Column:
    """What there is to show of one decoding, finished or not."""

    title: str
    config: GenerationConfig
    state: State = "waiting"
    hypothesis: "Hypothesis | None" = None
    beams: Sequence["Hypothesis"] = field(default_factory=list)  # of beams and of chosen samples: best first
    seconds: float = 0.0  # of this decoding alone
    work: "Work | None" = None  # when it is done
    truncated: bool = False
    message: str = ""  # why it failed
    note: str = ""  # in the place of the text, while or because there is none


def column_html(column: Column, tokenizer: "Tokenizer | None" = None) -> str:
    """The whole column. While it is being written the explanations of single tokens are left out, to stay light."""
    hypothesis = column.hypothesis
    parts = [
        f'<h3 class="decoding-title">{escape(column.title)}</h3>',
        f'<p class="decoding-how">{escape(settings_line(column.config))}</p>',
    ]
    if column.message:
        parts.append(f'<p class="decoding-problem" role="alert">{escape(column.message)}</p>')
    if hypothesis is not None and tokenizer is not None:
        if hypothesis.ids:
            body = tokens_html(hypothesis, tokenizer, explain=column.state != "writing")
        else:
            body = '<span class="decoding-empty">(nothing)</span>'
        caret = '<span class="decoding-caret" aria-hidden="true"></span>' if column.state == "writing" else ""
        busy = "true" if column.state == "writing" else "false"
        parts.append(f'<div class="decoding-text" lang="" dir="auto" aria-busy="{busy}">{body}{caret}</div>')
        parts.append(f'<p class="decoding-end">{escape(end_line(column))}</p>')
        parts.append(figures_html(column))
        if column.beams:
            parts.append(beams_html(column.beams))
    elif column.state in ("waiting", "writing"):
        note = escape(column.note or "…")
        parts.append(f'<div class="decoding-text decoding-empty" aria-busy="true">{note}</div>')
    elif column.note:
        parts.append(f'<div class="decoding-text decoding-empty">{escape(column.note)}</div>')
    return f'<section class="decoding-column" aria-label="{escape(column.title)}">{"".join(parts)}</section>'


# ------------------------------------------------------------------------------------------------------ tokens


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


def tokens_html(hypothesis: "Hypothesis", tokenizer: "Tokenizer", explain: bool = True) -> str:
    """The continuation, token by token. The tint grows as the probability falls: what is plain was certain."""
    parts = []
    for group in token_groups(hypothesis.ids, tokenizer):
        logprob = sum(hypothesis.logprobs[i] for i in group)
        ids = [hypothesis.ids[i] for i in group]
        text = _text_html(ids, tokenizer)
        style = f'style="--doubt:{doubt(logprob):.3f}"'
        drafted = bool(hypothesis.drafted) and all(hypothesis.drafted[i] for i in group)
        look = "decoding-token decoding-drafted" if drafted else "decoding-token"
        if not explain:
            parts.append(f'<span class="{look}" {style}>{text}</span>')
            continue
        label = escape(f"{_name(ids, tokenizer)}: probability {percent(math.exp(logprob))}")
        steps = [hypothesis.steps[i] if i < len(hypothesis.steps) else None for i in group]
        tip = "".join(
            _explanation(hypothesis.ids[i], hypothesis.logprobs[i], step, tokenizer)
            for i, step in zip(group, steps, strict=True)
        )
        tip += '<span class="decoding-tip-line">drafted by the assistant</span>' if drafted else ""
        parts.append(
            f'<span class="{look}" tabindex="0" role="group" aria-label="{label}" {style}>{text}'
            f'<span class="decoding-tip" role="tooltip">{tip}</span></span>'
        )
    return "".join(parts)


def doubt(logprob: float) -> float:
    """0 for a certain token, 1 for one of probability 1% or less; equal steps for equal ratios between."""
    return min(1.0, max(0.0, -logprob / math.log(100)))


def _text_html(ids: Sequence[int], tokenizer: "Tokenizer") -> str:
    """Text as a reader expects it: real spaces and line ends; what cannot be seen gets a sign."""
    if any(token in tokenizer.special_ids or not tokenizer.has_id(token) for token in ids):
        return f'<span class="decoding-sign">{escape(_name(ids, tokenizer))}</span>'
    html = ""
    for segment in segments(b"".join(tokenizer.token_bytes(token) for token in ids)):
        if segment.kind in ("text", "mark"):
            html += escape(segment.text)
        elif segment.kind == "space":
            html += escape(segment.text.replace("·", " ").replace("□", "\u3000").replace("⇥", "\t"))
        else:
            html += f'<span class="decoding-sign">{escape(segment.text)}</span>'
            html += "<br>" if segment.text in ("⏎", "NEL", "LSEP", "PSEP") else ""
    return html


def _name(ids: Sequence[int], tokenizer: "Tokenizer") -> str:
    known = all(tokenizer.has_id(token) for token in ids)
    return visible(b"".join(tokenizer.token_bytes(token) for token in ids)) if known else f"id {ids[0]}"


def _explanation(token: int, logprob: float, step: "StepTrace | None", tokenizer: "Tokenizer") -> str:
    """What the tooltip says of one token."""
    rank = f" · rank {step.rank:,}" if step is not None else ""
    html = (
        f'<span class="decoding-tip-head"><b>{escape(_name([token], tokenizer))}</b> id {token:,}{rank}</span>'
        f'<span class="decoding-tip-line">probability {percent(math.exp(logprob))} · '
        f"log-probability {number(logprob)}"
        + (f" · entropy {number(step.entropy)} nats" if step is not None else "")
        + "</span>"
    )
    if step is None:
        return html
    for candidate in step.candidates[:ALTERNATIVES]:
        width = 100 * candidate.probability
        chosen = " decoding-chosen" if candidate.id == token else ""
        html += (
            f'<span class="decoding-option{chosen}"><span class="decoding-option-text">'
            f"{escape(_name([candidate.id], tokenizer))}</span>"
            f'<span class="decoding-bar"><span style="width:{width:.2f}%"></span></span>'
            f'<span class="decoding-option-number">{percent(candidate.probability)}</span></span>'
        )
    return html


# ----------------------------------------------------------------------------------------------------- figures


def figures_html(column: Column) -> str:
    hypothesis = column.hypothesis
    assert hypothesis is not None
    count, total = len(hypothesis.ids), hypothesis.total_logprob
    mean = total / count if count else 0.0
    rows = [
        ("log-prob", number(total)),
        ("per token", number(mean)),
        ("perplexity", number(math.exp(min(-mean, 700)))),
        ("tokens", f"{count:,}"),
        ("tokens/s", f"{count / column.seconds:,.0f}" if column.seconds > 0 and count else "–"),
    ]
    if column.config.strategy in ("beam", "diverse_beam") or column.config.reranks:
        rows.append(("score", number(hypothesis.score)))
    if column.config.strategy == "assisted" and column.work is not None:
        rows.append(("passes", f"{column.work.forward_passes:,}"))
        rows.append(("kept", f"{column.work.accepted:,}/{column.work.drafted:,}"))
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="decoding-figures">{cells}</dl>'


def beams_html(beams: Sequence["Hypothesis"]) -> str:
    """The best hypotheses with their scores, the winner first."""
    rows = ""
    for place, beam in enumerate(beams, start=1):
        text = escape(beam.text + ("" if beam.finished else " …")) if beam.ids else "(nothing)"
        rows += (
            f'<tr><td>{place}</td><td class="decoding-number">{number(beam.score)}</td>'
            f'<td class="decoding-number">{number(beam.total_logprob)}</td>'
            f'<td dir="auto"><span title="{text}">{text.replace(chr(10), " ⏎ ")}</span></td></tr>'
        )
    return (
        f'<details class="decoding-beams" open><summary>The {len(beams)} best</summary><table><thead><tr>'
        '<th scope="col">#</th><th scope="col">score</th><th scope="col">log-prob</th><th scope="col">text</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def settings_line(config: GenerationConfig) -> str:
    """The settings that act on this column, in words."""
    penalty = "" if config.repetition_penalty == 1 else f", repetition penalty {config.repetition_penalty:g}"
    if config.strategy == "assisted" and config.is_greedy:
        return f"as greedy; {config.num_assistant_tokens} tokens drafted in one go, underlined where kept" + penalty
    if config.is_greedy:
        return "always the most probable token" + penalty
    if config.searches_beams:
        line = f"{config.num_beams} hypotheses at a time, length penalty {config.length_penalty:g}"
        if config.strategy == "diverse_beam":
            line += f", in {config.beam_groups} groups, diversity penalty {config.diversity_penalty:g}"
        return line + penalty
    if config.strategy == "contrastive":
        line = f"of the {config.rows} most probable the least like what was said, weight {config.penalty_alpha:g}"
        return line + penalty
    parts = []
    if config.top_p < 1:
        parts.append(f"from the most probable {config.top_p:.0%}")
    if config.top_k:
        parts.append(f"from the {config.top_k:,} most probable")
    parts += [f"temperature {config.temperature:g}", f"seed {config.seed}"]
    drawn = "drawn " + ", ".join(parts) + penalty
    if config.strategy == "best_of":
        return f"the most probable of {config.num_samples} samples, {drawn}"
    if config.strategy == "mbr":
        metric = {"chrf": "chrF", "bleu": "BLEU"}[config.mbr_metric]
        return f"of {config.num_samples} samples the most like all others by {metric}, {drawn}"
    return drawn


def end_line(column: Column) -> str:
    hypothesis = column.hypothesis
    assert hypothesis is not None
    if column.state == "writing":
        return "writing"
    if column.state == "stopped":
        said = "Stopped by you; what was written is kept."
    else:
        said = {
            "end": "Ended by itself.",
            "stop": "Ended at a stop text.",
            "length": "Cut at the longest length allowed.",
            "dead_end": "No token was left: the settings removed all.",
        }.get(hypothesis.finish_reason, "")
    if column.truncated:
        said += " The text was longer than the model's context and was shortened."
    return said.strip()


def percent(value: float) -> str:
    """A probability as people read it: small ones keep two digits that count."""
    share = 100 * value
    if share >= 99.995:
        return "100 %"
    return f"{share:.1f} %" if share >= 1 else f"{share:.2g} %" if share >= 1e-4 else f"{share:.0e} %"


def number(value: float) -> str:
    return f"{value:,.2f}".replace("-", "−") if abs(value) < 1e6 else f"{value:.2e}"
