"""Source, reference and outputs side by side, what is in no reference marked; a click on a line opens it elsewhere.

Pure functions of plain values. The texts may be anybody's: all are escaped.
"""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from playground.views.evaluation import shown_score, title_of

if TYPE_CHECKING:
    from core.evaluate.side_by_side import Line

LONGEST = 1_500  # characters of a text that is shown; the files have all
Segments = Sequence[tuple[str, bool]]  # as core.evaluate.side_by_side.marked gives them


def lines_html(
    lines: Sequence["Line"],
    marks: Mapping[tuple[int, str], Segments],
    names: Sequence[str],
    metrics: Sequence[str],
    languages: tuple[str, str] = ("", ""),
) -> str:
    """The table. marks: (line's number, name) -> the output in segments, True what stands in the reference too; names:
    of the outputs, in their order; languages: of the sources and of the references, such as "en"."""
    if not lines:
        return '<p class="nothing">No sentence fits.</p>'
    one = len(names) == 1
    heads = ["", "Source", "Reference", *(["Output"] if one else names), *(map(title_of, metrics) if one else [])]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in heads)
    body = "".join(_row(line, marks, names, metrics, languages) for line in lines)
    return (
        '<div class="scroller evaluation-lines" tabindex="0" role="region" aria-label="Sentences side by side"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(
    line: "Line",
    marks: Mapping[tuple[int, str], Segments],
    names: Sequence[str],
    metrics: Sequence[str],
    languages: tuple[str, str],
) -> str:
    source, target = languages
    first = next(iter(names), "")
    cells = (
        f'<th scope="row"><button type="button" data-line="{line.number}" data-name="{escape(first)}" '
        f'title="Look at this sentence in the Attention tab" aria-label="Sentence {line.number}: look at it in the '
        f'Attention tab">{line.number:,}</button></th>'
        f"{_text(line.source, source, 'Source')}{_text(line.reference, target, 'Reference')}"
    )
    for name in names:
        text = line.outputs.get(name, "")
        shown = _segments(marks.get((line.number, name)) or [(text, True)])
        label = name if len(names) > 1 else "Output"
        scores = (
            "" if len(names) == 1 else f'<p class="evaluation-small">{_scores(line.scores.get(name, {}), metrics)}</p>'
        )
        cells += f'<td dir="auto" lang="{escape(target)}" data-label="{escape(label)}">{shown}{scores}</td>'
    if len(names) == 1:
        found = line.scores.get(first, {})
        cells += "".join(
            f'<td class="number" data-label="{escape(title_of(metric))}">{_score(metric, found)}</td>'
            for metric in metrics
        )
    return f'<tr data-line="{line.number}">{cells}</tr>'


def _text(text: str, language: str, label: str) -> str:
    return f'<td dir="auto" lang="{escape(language)}" data-label="{label}">{escape(shortened(text))}</td>'


def _segments(segments: Segments) -> str:
    """What is not in the reference is marked, up to LONGEST characters in all."""
    shown, left = "", LONGEST
    for text, known in segments:
        cut = text[:left]
        left -= len(cut)
        shown += escape(cut) if known or not cut.strip() else f"<mark>{escape(cut)}</mark>"
        if left <= 0:
            return f"{shown} …"
    return shown or '<span class="evaluation-nothing">(nothing)</span>'


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} …"


def _scores(scores: Mapping[str, float], metrics: Sequence[str]) -> str:
    return " · ".join(f"{escape(title_of(metric))} {_score(metric, scores)}" for metric in metrics)


def _score(metric: str, scores: Mapping[str, float]) -> str:
    """Of one sentence: with a digit less than of a corpus."""
    value: Any = scores.get(metric)
    if not isinstance(value, (int, float)) or value != value:
        return "–"
    return shown_score(metric, value) if metric == "comet" else f"{value:.1f}"


def place_html(first: int, last: int, total: int, all_lines: int) -> str:
    """Which lines are shown, of how many that fit and how many there are."""
    if not all_lines:
        return ""
    told = f"{first:,} to {last:,} of {total:,}" if total else "none"
    told += f" that fit, of {all_lines:,}" if total != all_lines else ""
    return f'<p class="caption" role="status">Sentences {told}</p>'
