"""Word alignment: attention with the gold links outlined, what a head says of a sentence, and how often heads err."""

from collections.abc import Sequence
from html import escape

import numpy as np

from core.analysis.alignment import AlignmentScores
from playground.views.figure import packed, spec

ROW_AXES = {"written": "token being written", "read": "token just read"}


def sentence_spec(
    weights: np.ndarray, rows: Sequence[str], columns: Sequence[str], links: np.ndarray, of: str, whose: str, name: str
) -> str:
    """Cross-attention (1 + target tokens, source tokens + 1) of a sentence, gold links (target, source) outlined.

    of: of `core.analysis.alignment.ROWS`: row t stands for target token t, or for the token before it.
    """
    first = 0 if of == "written" else 1
    outline = [[int(target) + first, int(source)] for target, source in zip(*np.nonzero(links))]
    return spec(
        "heatmap", name, whose, f"{len(outline)} gold links, outlined", values=packed(weights), rows=list(rows),
        columns=list(columns), row_axis=ROW_AXES[of], column_axis="source token looked at", causal=False, sink=False,
        outline=outline, note="Outlined: what the grammar says belongs together. Each row sums to 1.",
    )  # fmt: skip


def links_html(target: list[str], source: list[str], gold: np.ndarray, said: np.ndarray, error: float) -> str:
    """A table: each target token, its gold source tokens and those that a head says. gold, said: (target, source)."""
    rows = []
    for t, token in enumerate(target):
        right, wrong = said[t] & gold[t], said[t] & ~gold[t]
        told = [
            f'<span class="{"link-right" if right[s] else "link-wrong"}">{escape(source[s])}</span>'
            for s in np.flatnonzero(said[t])
        ]
        wanted = [escape(source[s]) for s in np.flatnonzero(gold[t])]
        missed = int((gold[t] & ~said[t]).sum())
        verdict = ", ".join(
            f"{count} {word}"
            for count, word in ((int(right.sum()), "right"), (int(wrong.sum()), "wrong"), (missed, "missed"))
            if count
        )
        none = '<span class="quiet">none</span>'
        rows.append(
            f'<tr><th scope="row">{escape(token)}</th><td>{" ".join(wanted) or none}</td>'
            f"<td>{' '.join(told) or none}</td><td>{verdict or 'right: none'}</td></tr>"
        )
    head = "".join(f'<th scope="col">{name}</th>' for name in ("Target token", "Gold", "The head says", ""))
    return (
        f'<p class="alignment-error">Alignment error rate on this sentence: <b>{error:.3f}</b></p>'
        '<div class="scroller" tabindex="0" role="region" aria-label="Links of this sentence">'
        f'<table class="alignment-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def errors_spec(scores: AlignmentScores, model: str) -> str:
    """The error rate of every head, and of the mean of each layer's heads, as a matrix."""
    layers, heads = scores.by_head.shape
    values = np.concatenate([scores.by_head, scores.by_layer[:, None]], axis=1)
    return spec(
        "heatmap", "alignment-errors", f"Alignment error rate of the heads of {model}",
        f"{scores.sentences:,} sentences · 0 is perfect · a row stands for the {ROW_AXES[scores.rows]}",
        values=packed(values), rows=[f"layer {layer + 1}" for layer in range(layers)],
        columns=[*(f"head {head + 1}" for head in range(heads)), "mean of heads"], row_axis="layer", column_axis="head",
        causal=False, sink=False, plain_names=True, outline=[list(scores.best)], most=1.0,
        clicks={"kind": "cross", "heads": heads}, note="Outlined: the lowest error. Choose a head to open it.",
    )  # fmt: skip


def summary_html(scores: AlignmentScores) -> str:
    """The best head and what it is to be compared with, in a sentence or two."""
    layer, head = scores.best
    best_layer = int(np.argmin(scores.by_layer))
    left_out = f" {scores.left_out:,} are longer than the model reads." if scores.left_out else ""
    return (
        f'<p class="alignment-summary">Best is layer {layer + 1}, head {head + 1}: error rate '
        f"<b>{scores.by_head[layer, head]:.3f}</b>, precision {scores.precision[layer, head]:.3f}, recall "
        f"{scores.recall[layer, head]:.3f}. The mean of the heads of layer {best_layer + 1}: "
        f"{scores.by_layer[best_layer]:.3f}. A diagonal, which knows no words: {scores.diagonal:.3f}. "
        f"Counted on {scores.sentences:,} held-out sentences.{left_out}</p>"
    )
