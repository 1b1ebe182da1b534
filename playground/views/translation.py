"""A translation with what it looked at: source and produced tokens as a figure; all candidates and their scores."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np

from playground.views.figure import packed, spec
from playground.views.written import number

CELLS = 300_000  # weights that a figure has


@dataclass(frozen=True)
class Candidate:
    """A translation, and where it is from. score: of beams the normalised sum; of a sample none."""

    kind: Literal["beam", "mbr"]
    ids: tuple[int, ...]
    text: str
    logprob: float
    score: float | None
    finished: bool
    utility: float | None = None  # 0 to 100: how much it is like the samples


def attention_spec(layers: Sequence[np.ndarray], source: Sequence[str], produced: Sequence[str], title: str) -> str:
    """The figure. layers: for each the mean of its heads, (produced, source). Of a long text only the mean of all
    layers and the last layer are sent."""
    weights = {"mean": np.mean(layers, axis=0)} | {str(layer): values for layer, values in enumerate(layers)}
    if (len(layers) + 1) * weights["mean"].size > CELLS:
        weights = {name: weights[name] for name in ("mean", str(len(layers) - 1))}
    names = {
        name: "the mean of all layers" if name == "mean" else f"layer {int(name) + 1} of {len(layers)}"
        for name in weights
    }
    return spec(
        "translation", "translation", title,
        f"{len(source)} source tokens → {len(produced)} produced tokens · cross-attention, mean of the heads",
        source=list(source), produced=list(produced), layers=[[name, words] for name, words in names.items()],
        weights={name: packed(values) for name, values in weights.items()},
    )  # fmt: skip


def candidates_html(
    candidates: Sequence[Candidate], samples: int, metric: str, reference: Sequence[tuple[float, float]] = ()
) -> str:
    """The n-best list and the minimum-Bayes-risk choice. samples: that utilities are means over. reference: BLEU and
    chrF of each candidate against a reference."""
    rows, best = "", [max((scores[i] for scores in reference), default=None) for i in (0, 1)]
    for place, one in enumerate(candidates):
        name = f"beam {place + 1}" if one.kind == "beam" else "minimum Bayes risk"
        utility = "–" if one.utility is None else f"{one.utility:.2f}"
        cells = [
            f"<b>{value:.2f}</b>" if value == top else f"{value:.2f}"
            for value, top in zip(reference[place] if reference else (), best, strict=False)
        ]
        against = "".join(f'<td class="decoding-number">{cell}</td>' for cell in cells)
        text = escape(one.text or "(nothing)") + ("" if one.finished else " …")
        score = "–" if one.score is None else f"{one.score:.4f}".replace("-", "−")
        rows += (
            f'<tr><th scope="row">{name}</th><td dir="auto" lang="">{text}</td><td class="decoding-number">{score}</td>'
            f'<td class="decoding-number">{number(one.logprob)}</td><td class="decoding-number">{len(one.ids)}</td>'
            f'<td class="decoding-number">{utility}</td>{against}</tr>'
        )
    heads = ["from", "translation", "score", "log-probability", "tokens", f"likeness ({metric})"]
    heads += ["BLEU", "chrF"] if reference else []
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        '<div class="scroller" tabindex="0" role="region" aria-label="Candidates">'
        f'<table class="number-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        + _said(candidates, samples)
    )


def _said(candidates: Sequence[Candidate], samples: int) -> str:
    """How the two choices compare."""
    chosen = next((one for one in candidates if one.kind == "mbr"), None)
    if chosen is None or not candidates or candidates[0].kind != "beam" or chosen.utility is None:
        return ""
    first = candidates[0]
    told = (
        f"Likeness is the mean over {samples} samples of the model, each taken as a reference: minimum Bayes risk "
        "takes the sample for which it is highest, beam search what is most probable. "
    )
    if first.text == chosen.text:
        told += "Here both are the same."
    elif first.utility is not None:
        told += (
            f"The beam’s choice has {first.utility:.2f} and log-probability {number(first.logprob)}; the other one "
            f"{chosen.utility:.2f} and {number(chosen.logprob)}."
        )
    return f'<p class="caption">{escape(told)}</p>'
