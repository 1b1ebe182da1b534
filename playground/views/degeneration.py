"""What becomes of text that strategies write, beside what people wrote: two figures and some of the texts.

Pure functions of the experiment's results (core.evaluate.experiment).
"""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from core.evaluate.degeneration import DISTINCT, REPEATED, Measures
from playground.views.figure import packed, spec
from playground.views.written import tokens_html

if TYPE_CHECKING:
    from core.evaluate.experiment import Case, ColumnResult
    from core.tokenizer import Tokenizer

SHOWN = 3  # prompts whose continuations are shown
LONGEST = 600  # characters of a prompt that is shown
WITH = "The line is people’s text, judged by the same model: the nearer to it, the more like theirs."
WITHOUT = "What people would have written is not known here, so there is no line to compare with."

# name, what it says, digits, and the number. Percent is easier to read than shares.
_PANELS: list[tuple[str, str, int, Any]] = [
    ("Perplexity", "by the model itself; low: it says what it finds likely", 2, lambda m: m.perplexity),
    ("Self-BLEU", "of each text with all others; high: all alike", 1, lambda m: m.self_bleu),
    ("Zipf exponent", "of the tokens’ frequencies; high: few tokens do all", 2, lambda m: m.zipf),
    ("Looping, %", "texts that end in one phrase, three times or more", 1, lambda m: 100 * m.looping),
    ("Repeated 4-grams, %", "seq-rep-4, within a text", 1, lambda m: _percent(m.repeated[4])),
    ("Distinct 1-grams, %", "different tokens of all tokens", 1, lambda m: _percent(m.distinct[1])),
    ("Distinct 2-grams, %", "different pairs of all pairs", 1, lambda m: _percent(m.distinct[2])),
    ("Length, tokens", "mean; the end token counts", 1, lambda m: m.length),
    ("BLEU", "against the references", 1, lambda m: m.bleu),
    ("chrF", "against the references", 1, lambda m: m.chrf),
    ("Tokens a second", "on this machine, all prompts together", 0, lambda m: m.tokens_per_second),
]


def measures_spec(columns: Sequence["ColumnResult"], subtitle: str) -> str:
    """A panel for every measure, in it a bar for every strategy, and people's value as a line across."""
    people = next((place for place, column in enumerate(columns) if column.config is None), None)
    strategies = [column for column in columns if column.config is not None]
    panels = []
    for title, meaning, digits, value in _PANELS:
        values = _numbers([value(column.measures) for column in strategies])
        human = None if people is None else value(columns[people].measures)
        if np.isfinite(values).any() or (human is not None and not strategies):
            panels.append({"title": title, "meaning": meaning, "digits": digits, "values": packed(values),
                           "human": human})  # fmt: skip
    names, rows = _table(columns)
    return spec(
        "measures", "degeneration", "Strategies beside what people wrote" if people is not None else "Strategies",
        subtitle, rows=[column.title for column in strategies], panels=panels, columns=names, numbers=rows,
        note=f"{WITH if people is not None else WITHOUT} After Holtzman et al. (2020), table 1.",
    )  # fmt: skip


def probability_spec(columns: Sequence["ColumnResult"], subtitle: str) -> str:
    """The model's probability of what stands at each place, as figure 2 of Holtzman et al. (2020)."""
    lines = [
        {"name": column.title, "x": packed(np.arange(1, len(column.curve) + 1)), "y": packed(np.array(column.curve)),
         "dashed": column.config is None or place > 7}
        for place, column in enumerate(columns) if column.curve
    ]  # fmt: skip
    return spec(
        "curves", "degeneration-probability", "How probable each token is to the model", subtitle, lines=lines,
        x_axis="place in the continuation", left_axis="probability, mean", left_range=[0, 1],
        note="What people write surprises again and again; what is searched for as most probable rises towards 1 as "
        "it repeats itself. After Holtzman et al. (2020), figure 2.",
    )  # fmt: skip


def texts_html(columns: Sequence["ColumnResult"], cases: Sequence["Case"], tokenizer: "Tokenizer") -> str:
    """The first prompts and what everybody wrote behind them, each token tinted by its probability."""
    parts = ""
    for place, case in enumerate(cases[:SHOWN]):
        rows = "".join(
            f'<tr><th scope="row">{escape(column.title)}</th><td dir="auto">'
            f"{tokens_html(column.hypotheses[place], tokenizer, explain=False)}</td></tr>"
            for column in columns if place < len(column.hypotheses)
        )  # fmt: skip
        prompt = case.prompt if len(case.prompt) <= LONGEST else f"… {case.prompt[-LONGEST:]}"
        if rows:
            parts += (
                f'<details class="degeneration-texts"{" open" if place == 0 else ""}>'
                f"<summary>What was written behind prompt {place + 1}</summary>"
                f'<p class="degeneration-prompt" dir="auto">{escape(prompt) or "(the beginning of a text)"}</p>'
                f'<div class="scroller"><table>{rows}</table></div></details>'
            )
    return parts


def progress_html(sentence: str, share: float) -> str:
    """How far it is: share from 0 to 1."""
    return (
        f'<div class="notice notice-busy" role="status"><span class="notice-sign" aria-hidden="true"></span>'
        f'<span><progress max="1" value="{min(max(share, 0), 1):.3f}" aria-label="How far it is"></progress> '
        f"{escape(sentence)}</span></div>"
    )


def _table(columns: Sequence["ColumnResult"]) -> tuple[list[str], list[list[Any]]]:
    """All measures of all columns, as the files have them."""
    names = ["texts by", "texts", "tokens", "length", "log-probability", "per token", "perplexity"]
    names += [*(f"distinct-{n}" for n in DISTINCT), *(f"seq-rep-{n}" for n in REPEATED), "looping", "Zipf", "self-BLEU"]
    names += ["BLEU", "chrF", "tokens/s", "forward passes"]
    rows = []
    for column in columns:
        m: Measures = column.measures
        rows.append([
            column.title, m.samples, m.tokens, m.length, m.logprob, m.logprob_per_token, m.perplexity,
            *(m.distinct[n] for n in DISTINCT), *(m.repeated[n] for n in REPEATED), m.looping, m.zipf, m.self_bleu,
            m.bleu, m.chrf, m.tokens_per_second, m.forward_passes,
        ])  # fmt: skip
    return names, rows


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _numbers(values: Sequence[float | None]) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], np.float32)
