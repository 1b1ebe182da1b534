"""A column of the Decoding tab as HTML: what was written, figures, what else was found, and how to make it again.

Pure functions: hypotheses in, escaped HTML out. See playground.views.written for the tokens.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Literal

from core.decode.config import GenerationConfig
from playground.views.column_settings import settings_line
from playground.views.written import number, tokens_html

if TYPE_CHECKING:
    from core.decode.result import Generation, Hypothesis
    from core.evaluate.degeneration import Measures
    from core.tokenizer import Tokenizer

State = Literal["waiting", "writing", "done", "stopped", "failed"]
LONG = 30  # tokens from which on variety says something
LIVE = 4  # hypotheses that are listed while a column is being written
EXPLAINED = 2_500  # tokens of a column that are explained: of the best hypotheses first


@dataclass(frozen=True)
class Again:
    """How to make a column again, as others read it."""

    python: str
    command: str
    json: str


@dataclass(frozen=True)
class Column:
    """What there is to show of one decoding, finished or not."""

    title: str
    config: GenerationConfig | None  # None: its settings cannot be
    state: State = "waiting"
    hypothesis: "Hypothesis | None" = None
    beams: Sequence["Hypothesis"] = field(default_factory=list)  # of beams and of samples: best or first drawn first
    seconds: float = 0.0  # of this decoding alone
    generation: "Generation | None" = None  # when it is done, without its trace
    message: str = ""  # why it failed
    note: str = ""  # in the place of the text, while or because there is none
    measures: "Measures | None" = None  # when it has ended
    again: Again | None = None  # when it is done


def column_html(
    column: Column, tokenizer: "Tokenizer | None" = None, place: int = 0, parts_at: int | None = None
) -> str:
    """The whole column. While it is being written the explanations of single tokens are left out, to stay light.

    place: which column it is, from 0. parts_at: the position of the first token that differs from another column's.
    """
    hypothesis, config = column.hypothesis, column.config
    parts = [
        f'<h3 class="decoding-title"><button type="button" data-act="choose" title="Change its settings">'
        f'<span class="decoding-place">{place + 1}</span> {escape(column.title)}</button></h3>',
        f'<p class="decoding-how">{escape(settings_line(config)) if config else ""}</p>',
    ]
    if config is not None and config.forced_prefix_ids:
        given = len(config.forced_prefix_ids)
        parts.append(
            f'<p class="decoding-branch">Branched: {given:,} {"token is" if given == 1 else "tokens are"} given. '
            '<button type="button" data-act="unbranch">Undo</button></p>'
        )
    if column.message:
        parts.append(f'<p class="decoding-problem" role="alert">{escape(column.message)}</p>')
    if hypothesis is not None and tokenizer is not None:
        parts += [_texts_html(column, tokenizer, parts_at), f'<p class="decoding-end">{escape(end_line(column))}</p>']
        parts.append(figures_html(column))
        if column.measures is not None:
            parts.append(measures_html(column.measures))
        if column.beams:
            parts.append(beams_html(column))
        if column.again is not None:
            parts.append(again_html(column.again, place))
    elif column.state in ("waiting", "writing"):
        note = escape(column.note or "…")
        parts.append(f'<div class="decoding-text decoding-empty" aria-busy="true">{note}</div>')
    elif column.note:
        parts.append(f'<div class="decoding-text decoding-empty">{escape(column.note)}</div>')
    return (
        f'<section class="decoding-column" data-column="{place}" aria-label="{escape(column.title)}">'
        f"{''.join(parts)}</section>"
    )


def _texts_html(column: Column, tokenizer: "Tokenizer", parts_at: int | None) -> str:
    """The text, and hidden behind it those of the other hypotheses, as far as they are explained."""
    assert column.hypothesis is not None
    writing = column.state == "writing"
    forced = len(column.config.forced_prefix_ids) if column.config else 0
    hypotheses = [column.hypothesis] if writing or not column.beams else list(column.beams)
    html, left = "", EXPLAINED
    for index, hypothesis in enumerate(hypotheses):
        left -= len(hypothesis.ids)
        if index and left < 0:
            break
        body = tokens_html(hypothesis, tokenizer, not writing, forced, parts_at if index == 0 else None)
        body = body or '<span class="decoding-empty">(nothing)</span>'
        caret = '<span class="decoding-caret" aria-hidden="true"></span>' if writing else ""
        ids = "" if writing else f' data-ids="{",".join(map(str, hypothesis.ids))}"'
        html += (
            f'<div class="decoding-text" lang="" dir="auto" aria-busy="{"true" if writing else "false"}" '
            f'data-index="{index}"{ids}{" hidden" if index else ""}>{body}{caret}</div>'
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
        *work_rows(column),
    ]
    cells = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    return f'<dl class="decoding-figures">{cells}</dl>'


def work_rows(column: Column) -> list[tuple[str, str]]:
    """What the column took, and what its hypotheses were ranked by."""
    hypothesis, config = column.hypothesis, column.config
    assert hypothesis is not None and config is not None
    several = config.draws and not config.reranks and len(column.beams) > 1
    count = sum(len(h.ids) for h in column.beams) if several else len(hypothesis.ids)
    rows = [("tokens/s", f"{count / column.seconds:,.0f}" if column.seconds > 0 and count else "–")]
    if config.searches_beams or config.reranks:
        rows.append(("score", number(hypothesis.score)))
    if column.generation is not None:
        work = column.generation.work
        rows.append(("passes", f"{work.forward_passes:,}"))
        if config.strategy == "assisted":
            rows.append(("kept", f"{work.accepted:,}/{work.drafted:,}"))
    return rows


def measures_html(measures: "Measures") -> str:
    """How varied the text is, and how often it repeats itself; of several samples together."""
    rows = [
        *((f"distinct-{n}", value, f"Different {n}-grams of all {n}-grams") for n, value in measures.distinct.items()),
        *((f"repeat-{n}", measures.repeated[n], f"{n}-grams that were there before") for n in (2, 3, 4)),
        ("Zipf", measures.zipf, "Exponent of Zipf's law; about 1 in natural language"),
        ("self-BLEU", measures.self_bleu, "How like each other the samples are, 0 to 100"),
        ("looping", measures.looping, "Share of texts that end in one phrase, three times or more"),
    ]
    cells = "".join(
        f'<div title="{escape(title)}"><dt>{name}</dt><dd>{number(value)}</dd></div>'
        for name, value, title in rows
        if value is not None
    )
    opened = " open" if measures.tokens >= LONG else ""
    return (
        f'<details class="decoding-measures"{opened}><summary>Variety and repetition</summary>'
        f'<dl class="decoding-figures">{cells}</dl></details>'
    )


def beams_html(column: Column) -> str:
    """The hypotheses with their scores: a row shows its text above, token by token."""
    ranked = column.config is not None and (column.config.searches_beams or column.config.reranks)
    explained: list[bool] = []
    left = EXPLAINED
    for beam in column.beams:
        left -= len(beam.ids)
        explained.append(column.state != "writing" and (left >= 0 or not explained))
    rows = ""
    writing = column.state == "writing"
    for place, (beam, known) in enumerate(zip(column.beams, explained, strict=True)):
        if writing and place >= LIVE:
            break
        text = escape(beam.text + ("" if beam.finished else " …")) if beam.ids else "(nothing)"
        title = "" if writing else f' title="{text}"'
        shown = f"<span{title}>{text.replace(chr(10), ' ⏎ ')}</span>"
        if known:
            pressed = "true" if place == 0 else "false"
            shown = f'<button type="button" data-show="{place}" aria-pressed="{pressed}">{shown}</button>'
        score = f'<td class="decoding-number">{number(beam.score)}</td>' if ranked else ""
        rows += (
            f'<tr><td>{place + 1}</td>{score}<td class="decoding-number">{number(beam.total_logprob)}</td>'
            f'<td dir="auto">{shown}</td></tr>'
        )
    head = f"The {len(column.beams)} best" if ranked else f"The {len(column.beams)} samples"
    score = '<th scope="col">score</th>' if ranked else ""
    return (
        f'<details class="decoding-beams" open><summary>{head}</summary><table><thead><tr>'
        f'<th scope="col">#</th>{score}<th scope="col">log-prob</th><th scope="col">text</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def again_html(again: Again, place: int) -> str:
    """The calls that make the column again, and what it was made of, for a file."""
    calls = "".join(
        f'<div class="decoding-call"><span>{name}</span><button type="button" data-copy>Copy</button>'
        f"<pre>{escape(text)}</pre></div>"
        for name, text in (("Python", again.python), ("Command line", again.command))
    )
    return (
        f'<details class="decoding-again"><summary>Make it again</summary>{calls}'
        f'<button type="button" class="decoding-save" data-save="column-{place + 1}.json">Save as JSON</button>'
        f'<span class="decoding-json" hidden>{escape(again.json, quote=False)}</span></details>'
    )


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
    if column.generation is not None and column.generation.truncated:
        said += " The text was longer than the model's context and was shortened."
    return said.strip()
