"""Evaluations beside each other: one table, one figure with intervals, and whether differences may be chance.

Pure functions of core.evaluate.significance.Comparison and of kept evaluations; all names are escaped.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from playground.views.evaluation import DIGITS, FIGURES, LOWER_IS_BETTER, METRICS, copy_button, shown_score, title_of
from playground.views.figure import packed, spec

if TYPE_CHECKING:
    from core.evaluate.significance import Comparison

SURE = 0.05  # a difference with a smaller p-value is called significant, as by sacrebleu
METHODS = {"bootstrap": "paired bootstrap resampling", "randomisation": "paired approximate randomisation"}


def figures_spec(
    names: Sequence[str],
    figures: Sequence[Mapping[str, float]],
    subtitle: str,
    comparison: "Comparison | None" = None,
) -> str:
    """A panel for each metric, in it a bar for each evaluation; with a bootstrap the 95 % interval of each.

    names: of the evaluations, the first of them the baseline; figures: of each, by metric.
    """
    order = [*METRICS, *(key for key, *_ in FIGURES)]
    metrics = [key for key in order if any(key in found for found in figures)]
    panels: list[dict[str, Any]] = []
    for metric in metrics:
        values = np.array([found.get(metric, math.nan) for found in figures], np.float32)
        half, p = np.full(len(names), math.nan), np.full(len(names), math.nan)
        for place, tested in enumerate(comparison.systems if comparison else ()):
            result = tested.scores.get(metric)
            if result is not None and place < len(names):
                half[place] = math.nan if result.interval is None else result.interval
                p[place] = _p_value(comparison, metric, result)
        digits = next((digits for key, _, digits, _ in FIGURES if key == metric), DIGITS.get(metric, 2))
        panels.append({
            "title": title_of(metric), "lower": metric in LOWER_IS_BETTER, "digits": digits,
            "values": packed(values), "half": packed(half), "p": packed(p),
        })  # fmt: skip
    return spec(
        "intervals", "evaluations", "Evaluations beside each other", subtitle, rows=list(names), panels=panels,
        sure=SURE, note=_note(comparison),
    )  # fmt: skip


def _note(comparison: "Comparison | None") -> str:
    if comparison is None:
        return "The first one is the baseline."
    told = f"The first one is the baseline, tested by {METHODS.get(comparison.method, comparison.method)}"
    told += f" ({comparison.samples:,} samples, seed {comparison.seed}). "
    if comparison.method == "bootstrap":
        told += "Lines across the bars: the interval that holds 95 % of the resampled scores. "
    return told + f"Filled: different from the baseline with p < {SURE}."


def table_html(
    names: Sequence[str], figures: Sequence[Mapping[str, float]], comparison: "Comparison | None" = None
) -> str:
    """All scores, with interval and p-value where they were tested; the best of each in bold."""
    order = [*METRICS, *(key for key, *_ in FIGURES)]
    metrics = [key for key in order if any(key in found for found in figures)]
    tested = list(comparison.systems) if comparison else []
    best = {metric: _best(metric, figures) for metric in metrics}
    rows = ""
    for place, (name, found) in enumerate(zip(names, figures, strict=True)):
        cells = ""
        for metric in metrics:
            value = found.get(metric)
            shown = escape(shown_score(metric, value))
            shown = f"<b>{shown}</b>" if value is not None and value == best[metric] and len(names) > 1 else shown
            result = tested[place].scores.get(metric) if place < len(tested) else None
            told = _told(metric, result, _p_value(comparison, metric, result)) if result is not None else ""
            cells += f'<td class="number" data-label="{escape(title_of(metric))}">{shown}{told}</td>'
        rows += f'<tr><th scope="row">{escape(name)}{" (baseline)" if not place else ""}</th>{cells}</tr>'
    head = "".join(
        f'<th scope="col">{escape(title_of(metric))}{" ↓" if metric in LOWER_IS_BETTER else ""}</th>'
        for metric in metrics
    )
    return (
        '<div class="scroller evaluation-compared" tabindex="0" role="region" aria-label="Scores beside each other">'
        f'<table><thead><tr><th scope="col">evaluation</th>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        + signatures_html(comparison)
    )


def signatures_html(comparison: "Comparison | None") -> str:
    """The signatures that belong to the tested scores."""
    if comparison is None:
        return ""
    lines = "".join(
        f"<li>{escape(title_of(metric))} <code>{escape(signature)}</code> {copy_button(signature)}</li>"
        for metric, signature in comparison.metrics.items()
    )
    return (
        '<details class="decoding-again"><summary>Signatures</summary>'
        f'<ul class="evaluation-signatures">{lines}</ul></details>'
    )


def _p_value(comparison: "Comparison | None", metric: str, result: Any) -> float:
    """The p-value; NaN for the baseline, and where there is no difference to be tested: of equal scores sacreBLEU's
    bootstrap says the smallest p that there is."""
    baseline = comparison.systems[0].scores.get(metric) if comparison else None
    if result.p_value is None or (baseline is not None and baseline.score == result.score):
        return math.nan
    return float(result.p_value)


def _told(metric: str, result: Any, p: float) -> str:
    parts = []
    if result.interval is not None:
        parts.append(f"{result.mean:.{DIGITS.get(metric, 2)}f} ± {result.interval:.{DIGITS.get(metric, 2)}f}")
    if p == p:
        parts.append(f"p = {p:.4f}{'*' if p < SURE else ''}")
    elif result.p_value is not None:
        parts.append("no difference")
    return f'<span class="evaluation-small">{escape(" · ".join(parts))}</span>' if parts else ""


def _best(metric: str, figures: Sequence[Mapping[str, float]]) -> float | None:
    known = [found[metric] for found in figures if metric in found and found[metric] == found[metric]]
    return (min(known) if metric in LOWER_IS_BETTER else max(known)) if known else None
