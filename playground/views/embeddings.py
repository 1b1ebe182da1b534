"""Embeddings as figures: a map of tokens, the nearest ones as bars, the loss of a Word2Vec; own ones as a table."""

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from playground.views.bars import bars_spec
from playground.views.figure import packed, spec
from playground.views.series import thin

KINDS = [
    "begins a word",
    "within a word, or a word",
    "number",
    "other script",
    "mark or space",
    "special",
    "part of a character",
]
MEANINGS = {"cosine": "cosine", "euclidean": "distance", "dot": "dot product"}


def kind_of(name: str) -> int:
    """Which of KINDS a token is, by its name.

    >>> [KINDS[kind_of(name)] for name in ("·the", "ing", "42", "東京", "·.", "<s>", "<E6 9D>")][3:]
    ['other script', 'mark or space', 'special', 'part of a character']
    """
    bare = name.strip("·")
    if re.search(r"<[0-9A-F]{2}( [0-9A-F]{2})*>", bare):
        return 6
    if re.fullmatch(r"<[^<>\s]+>|\[[A-Z]+\]|#\d+", bare):
        return 5
    if not any(letter.isalnum() for letter in bare):
        return 4
    if bare.isdecimal():
        return 2
    if any(ord(letter) > 0x24F and letter.isalpha() for letter in bare):
        return 3
    return 0 if name.startswith("·") else 1


def map_spec(
    points: np.ndarray, names: Sequence[str], ids: Sequence[int], norms: np.ndarray, ranks: np.ndarray,
    axes: Sequence[str], title: str, subtitle: str, in_text: Sequence[int] = (), chosen: int | None = None,
    near: Sequence[int] = (), note: str = "",
) -> str:  # fmt: skip
    """The figure of N tokens at their points (N, 2 or 3). in_text, chosen, near: ids among `ids`.

    ranks: (N,), 0 for the most frequent token of the vocabulary. Choosing a token sends {"id": its id}.
    """
    spaced = any(name.startswith("·") for name in names)  # else all are words
    kinds = [kind_of(name) for name in names]
    place = {id: i for i, id in enumerate(ids)}
    return spec(
        "map", "embedding-map", title, subtitle, points=packed(points), names=list(names), ids=list(ids),
        norms=packed(norms), ranks=packed(ranks), kinds=[kind if spaced or kind != 1 else 0 for kind in kinds],
        kind_names=KINDS, axes=list(axes),
        in_text=[place[id] for id in in_text if id in place], chosen=-1 if chosen is None else place.get(chosen, -1),
        near=[place[id] for id in near if id in place], note=note,
    )  # fmt: skip


def neighbours_spec(token: str, metric: str, found: Sequence[Any], of: str) -> str:
    """The figure of a token's nearest (core.analysis.embeddings.Neighbour). Choosing a bar sends {"row": its id}."""
    note = {
        "cosine": "Cosine of the angle between the vectors: 1 is the same direction.",
        "euclidean": "Euclidean distance between the vectors: 0 is the same place.",
        "dot": "Dot product: grows with the cosine and with both lengths.",
    }[metric]
    return bars_spec(
        "nearest-tokens", f"Nearest to {token}", of, [n.name for n in found], np.array([n.value for n in found]),
        series=[MEANINGS[metric]], row_axis="token", order="nearest first", note=note, sends=[n.id for n in found],
    )  # fmt: skip


def analogy_spec(a: str, b: str, c: str, method: str, found: Sequence[Any], of: str) -> str:
    """The figure of what a − b + c comes near to."""
    note = {
        "add": "3CosAdd: the cosine with a − b + c of unit vectors. The three themselves are left out.",
        "mul": "3CosMul: cos(x, a) · cos(x, c) / (cos(x, b) + 0.001), cosines moved to 0 … 1.",
    }[method]
    return bars_spec(
        "analogy", f"{a} − {b} + {c}", of, [n.name for n in found], np.array([n.value for n in found]),
        series=["score"], row_axis="token", order="best first", note=note, sends=[n.id for n in found],
    )  # fmt: skip


def loss_spec(words: Sequence[float], losses: Sequence[float], name: str) -> str:
    """The figure of a Word2Vec's loss over the words that were worked on."""
    x, y = thin(np.asarray(words, float), np.asarray(losses, float), 400)
    there = np.isfinite(y)
    line = {"name": "loss of a pair", "x": packed(x[there]), "y": packed(y[there])}
    return spec(
        "curves", "word2vec-loss", f"Loss of {name}", "", lines=[line] if there.any() else [], x_axis="words",
        left_axis="loss", note="−log σ(u·v) of a pair of words that stand near each other, and −log σ(−u·v) of the "
        "noise words drawn for it.",
    )  # fmt: skip


def _loss(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.3f}"


def own_table(abouts: Sequence[Any]) -> str:
    """HTML of one's own word vectors (core.analysis.own_vectors.About)."""
    if not abouts:
        return '<p class="nothing">None yet. What is trained here is kept, and can be chosen above.</p>'
    rows = "".join(
        f'<tr><th scope="row">{escape(about.name)}</th><td class="number">{about.words:,}</td>'
        f'<td class="number">{about.settings.size}</td><td class="number">{_loss(about.loss)}</td>'
        f'<td class="number">{about.seconds:.1f} s</td><td>{escape(about.data)}</td>'
        f'<td class="number">{about.bytes / 1e6:.1f} MB</td></tr>'
        for about in abouts
    )
    return (
        '<div class="scroller" tabindex="0" role="region" aria-label="Your word vectors"><table class="own-vectors">'
        '<thead><tr><th scope="col">Name</th><th scope="col">Words</th><th scope="col">Size</th>'
        '<th scope="col">Loss</th><th scope="col">Trained in</th><th scope="col">From</th><th scope="col">On disk</th>'
        f"</tr></thead><tbody>{rows}</tbody></table></div>"
    )
