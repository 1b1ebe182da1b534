"""An evaluation as HTML: its scores with their signatures, what they follow from, and how to do it again.

Pure functions of core.evaluate.request.Evaluation. Texts in it may be anybody's: all are escaped.
"""

from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from core.evaluate.scores import LABELS, length_unit
from core.evaluate.scores import LOWER_IS_BETTER as LOWER
from core.evaluate.scores import METRICS as SCORED
from playground.views.bars import bars_spec
from playground.views.facts import SCORES

if TYPE_CHECKING:
    from core.evaluate.request import Evaluation

METRICS = {name: LABELS[name].replace("exact", "Exact") for name in SCORED}
DIGITS = {"comet": 4}  # behind the point; of all others 2
LOWER_IS_BETTER = (*LOWER, "loss_per_token", "perplexity", "perplexity_per_word", "bits_per_token", "bits_per_byte")
# Of language models: key, name, digits, what it says.
FIGURES = [
    ("bits_per_byte", "Bits per byte", 4, "comparable between tokenizers"),
    ("perplexity", "Perplexity per token", 3, "of models with this tokenizer only"),
    ("perplexity_per_word", "Perplexity per word", 2, "comparable between tokenizers"),
    ("loss_per_token", "Loss per token", 4, "in nats"),
    ("bits_per_token", "Bits per token", 4, "the loss in bits"),
]


def title_of(metric: str) -> str:
    """
    >>> title_of("chrf++"), title_of("bits_per_byte")
    ('chrF2++', 'Bits per byte')
    """
    return METRICS.get(metric) or next((name for key, name, _, _ in FIGURES if key == metric), metric)


def shown_score(metric: str, value: float | None) -> str:
    """
    >>> shown_score("bleu", 41.6092), shown_score("bits_per_byte", 1.23456), shown_score("ter", None)
    ('41.61', '1.2346', '–')
    """
    if value is None or value != value:
        return "–"
    digits = next((digits for key, _, digits, _ in FIGURES if key == metric), DIGITS.get(metric, 2))
    return f"{value:,.{digits}f}"


def figures_of(evaluation: "Evaluation") -> dict[str, float]:
    """Every score and figure of it that is a number, by its key."""
    found = {name: score.score for name, score in evaluation.scores.items()}
    values: dict[str, Any] = {
        **evaluation.numbers, "loss_per_token": evaluation.loss_per_token, "perplexity": evaluation.perplexity,
    }  # fmt: skip
    keys = [key for key, *_ in FIGURES] if evaluation.kind == "language" else ["loss_per_token", "perplexity"]
    return found | {key: values[key] for key in keys if isinstance(values.get(key), (int, float))}


def scores_html(evaluation: "Evaluation", strategy: str = "") -> str:
    """The scores as large numbers, each with its signature and a button that copies it, and what they follow from.

    strategy: what the decoding settings are called.
    """
    found = figures_of(evaluation)
    cards = ""
    for name, score in evaluation.scores.items():
        title, value = title_of(name), shown_score(name, score.score)
        told = f"<code>{escape(score.signature)}</code>{copy_button(f'{title} {value} {score.signature}')}"
        cards += _card(title, value, told, name in LOWER_IS_BETTER)
    for key, name, _, meaning in FIGURES:
        if key in found and (evaluation.kind == "language" or key == "loss_per_token"):
            meaning = meaning if evaluation.kind == "language" else "of the references, in nats"
            cards += _card(name, shown_score(key, found[key]), f"<span>{escape(meaning)}</span>", True)
    return (
        '<section class="evaluation" aria-label="Scores">'
        f'<h3 class="small-title">{_headline(evaluation, strategy)}</h3>'
        f'<dl class="evaluation-scores">{cards}</dl>{facts_html(evaluation)}{again_html(evaluation)}</section>'
    )


def facts_html(evaluation: "Evaluation") -> str:
    """What the scores follow from: data, machine, time, and what has to be known to believe them."""
    one = evaluation
    if one.kind == "translation":
        facts = [f"{one.done:,} pairs"]
        if one.examples_per_second:
            facts.append(
                f"{one.examples_per_second:,.1f} sentences and {one.tokens_per_second or 0:,.0f} tokens a second"
            )
    else:
        facts = [f"{one.tokens:,} tokens", f"context {one.context:,}, stride {one.stride:,}"]
        facts += [f"{int(one.numbers[key] or 0):,} {key}" for key in ("words", "bytes") if one.numbers.get(key)]
    facts += [f"{one.seconds:,.1f} s" if one.seconds else "", f"{one.device}, {one.precision}"]
    facts += ["on Modal" if one.place == "modal" else "", f"data {one.data_sha256[:12]}" if one.data_sha256 else ""]
    facts += [f"weights {one.weights_sha256[:12]}" if one.weights_sha256 else ""]
    lines = [" · ".join(filter(None, facts))]
    if one.state == "stopped":
        lines.append("It goes on from there when the same is measured again.")
    if one.truncated:
        lines.append(
            f"{one.truncated:,} source{'s are' if one.truncated != 1 else ' is'} longer than the model’s context: only "
            f"the beginning was translated."
        )
    summary = one.overlap.get("summary")
    lines += [summary] if isinstance(summary, str) else []
    return "".join(f'<p class="caption">{escape(line)}</p>' for line in lines if line)


def again_html(evaluation: "Evaluation") -> str:
    """The calls that do the same evaluation again."""
    calls = "".join(
        f'<div class="decoding-call"><span>{name}</span>{copy_button(text)}<pre tabindex="0">{escape(text)}</pre></div>'
        for name, text in (("Command line", evaluation.command), ("Python", evaluation.python)) if text
    )  # fmt: skip
    if not calls:
        return ""
    return f'<details class="decoding-again"><summary>Do it again</summary>{calls}</details>'


def carried_html(name: str, scores: dict[str, Any]) -> str:
    """The scores that a run carries with it, before anything was measured here; "" if it has none."""
    cards = ""
    details = scores.get("details") if isinstance(scores.get("details"), dict) else {}
    for key, title in SCORES.items():
        value = scores.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            signature = scores.get(f"{key}_signature") or (details or {}).get(f"{key}_signature") or ""
            told = ""
            if isinstance(signature, str) and signature:
                told = f"<code>{escape(signature)}</code>{copy_button(f'{title} {value:.4g} {signature}')}"
            cards += _card(title, f"{value:.4g}", told, key in LOWER_IS_BETTER)
    if not cards:
        return ""
    return (
        '<section class="evaluation" aria-label="Scores of the run">'
        f'<h3 class="small-title">{escape(name)}: the scores that it came with</h3>'
        f'<dl class="evaluation-scores">{cards}</dl></section>'
    )


def lengths_spec(evaluation: "Evaluation") -> str:
    """The scores by length class as bars; "" where there are none."""
    classes = evaluation.length_classes
    metrics = [name for name in METRICS if any(name in one.scores for one in classes)]
    if not classes or not metrics:
        return ""
    unit = length_unit(evaluation.language)
    rows = [f"{length_name(one.low, one.high)} ({one.examples:,})" for one in classes]
    values = [[one.scores.get(metric, float("nan")) for metric in metrics] for one in classes]
    return bars_spec(
        "length-classes", "Scores by length",
        f"{evaluation.run} · {evaluation.data} · by the length of the reference in {unit} (in brackets: sentences)",
        rows, np.array(values, np.float32), [title_of(metric) for metric in metrics],
        row_axis=f"length of the reference in {unit}", order="by length", digits=1,
        note="Each class is scored as a corpus of its own. Of TER, lower is better." if "ter" in metrics
        else "Each class is scored as a corpus of its own.",
    )  # fmt: skip


def length_name(low: int, high: int) -> str:
    """
    >>> length_name(1, 10), length_name(5, 5)
    ('1 to 10', '5')
    """
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def copy_button(text: str) -> str:
    """A button that copies the text: see assets/evaluate.js."""
    return f'<button type="button" class="evaluation-copy" data-copy-text="{escape(text)}">Copy</button>'


def _card(name: str, value: str, told: str, lower: bool) -> str:
    hint = ' <small title="The lower, the better">↓</small>' if lower else ""
    return (
        f'<div class="evaluation-score"><dt>{escape(name)}{hint}</dt><dd>{escape(value)}</dd>'
        f'<dd class="evaluation-how">{told}</dd></div>'
    )


def _headline(evaluation: "Evaluation", strategy: str) -> str:
    parts = [f"{evaluation.run} on {evaluation.data}"]
    if evaluation.state == "stopped":
        parts.append(f"stopped after {evaluation.done:,} of {evaluation.total:,}")
    return escape(" · ".join([*parts, *([strategy] if strategy else [])]))
