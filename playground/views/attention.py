"""Attention as figures: one head as a matrix, all heads as small pictures, a layer's heads as lines between tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.analysis.head_scores import Score
from core.analysis.survey import Survey, block, pool
from playground.views.figure import packed, spec

CELLS = 512  # rows and columns of a matrix that is sent; of a longer text a cell is the mean of several tokens
PART = 128  # tokens on a side of a part in full detail
WHOLE = "whole"
LINES = 8  # of each query and head, the strongest
FAINT = 0.01  # a line that is weaker is not sent
KINDS = {"cross": "Cross-attention", "encoder": "Encoder self-attention", "self": "Self-attention"}
AXES = {  # of a kind: what its rows and its columns are
    "cross": ("token being written (query)", "source token looked at (key)"),
    "encoder": ("token that looks (query)", "token looked at (key)"),
    "self": ("token that looks (query)", "token looked at (key)"),
}


@dataclass(frozen=True)
class Place:
    """Which head it is, for people: `title` and `file_name`. layer and head count from 0.

    key_value: the key and value head that it reads and how many there are, where several query heads share one.
    """

    kind: str
    layer: int
    head: int
    layers: int
    heads: int
    key_value: tuple[int, int] | None = None
    decoder: bool = False  # of a model that also has an encoder

    @property
    def title(self) -> str:
        kind = "Decoder self-attention" if self.decoder and self.kind == "self" else KINDS[self.kind]
        title = f"{kind} · layer {self.layer + 1} of {self.layers} · head {self.head + 1} of {self.heads}"
        if self.key_value:
            title += f" · key-value head {self.key_value[0] + 1} of {self.key_value[1]}"
        return title

    @property
    def file_name(self) -> str:
        return f"attention-{self.kind}-layer-{self.layer + 1}-head-{self.head + 1}"


def map_spec(
    weights: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    kind: str,
    title: str,
    file_name: str,
    part: str = WHOLE,
    outline: Sequence[tuple[int, int]] = (),
    note: str = "",
    most: float | None = None,
) -> str:
    """The figure of one matrix of attention (queries, keys). rows, columns: names of queries and keys.

    part: of `parts`. outline: cells to be marked. most: the weight of the strongest colour; by default the largest.
    """
    causal = kind == "self"
    values = np.asarray(weights, dtype=np.float32)
    row_axis, column_axis = AXES[kind]
    told = []
    if part == WHOLE:
        steps = block(values.shape[0], CELLS), block(values.shape[1], CELLS)
        if max(steps) > 1:
            values = pool(values, CELLS, CELLS)
            rows, columns = pooled_names(rows, steps[0]), pooled_names(columns, steps[1])
            outline = ()
            told.append(f"pooled: a cell is the mean of {steps[0]} × {steps[1]} tokens")
        square = causal
    else:
        row, column = (int(number) * PART for number in part.split(","))
        told.append(
            f"queries {row}–{min(row + PART, len(rows)) - 1}, keys {column}–{min(column + PART, len(columns)) - 1}"
        )
        values = values[row : row + PART, column : column + PART]
        rows, columns = rows[row : row + PART], columns[column : column + PART]
        outline = [(i - row, j - column) for i, j in outline if 0 <= i - row < PART and 0 <= j - column < PART]
        square = causal and row == column
    told.append(f"weights from 0 to {float(values.max(initial=0)):.3f}")
    if not note:
        note = "Each row sums to 1." if part == WHOLE and len(told) == 1 else ""
    return spec(
        "heatmap", file_name, title, " · ".join(told), values=packed(values, lower=square), rows=list(rows),
        columns=list(columns), row_axis=row_axis, column_axis=column_axis, causal=square, sink=True,
        outline=[list(pair) for pair in outline], note=note, most=most,
    )  # fmt: skip


def pooled_names(names: Sequence[str], step: int) -> list[str]:
    """The first name of each block, marked as a block."""
    return [f"{names[i]} …" for i in range(0, len(names), step)] if step > 1 else list(names)


def parts(queries: int, keys: int, causal: bool) -> list[tuple[str, str]]:
    """(label, value) of what can be looked at of a long text: the whole, then blocks of PART tokens."""
    if queries <= PART and keys <= PART:
        return [("whole text", WHOLE)]
    pooled = "whole text, pooled" if max(queries, keys) > CELLS else "whole text"
    found = [(pooled, WHOLE)]
    for row in range(-(-queries // PART)):
        for column in range(-(-keys // PART)):
            if not (causal and column > row):
                last_row, last_column = min(queries, (row + 1) * PART) - 1, min(keys, (column + 1) * PART) - 1
                label = f"queries {row * PART}–{last_row} × keys {column * PART}–{last_column}"
                found.append((label, f"{row},{column}"))
    return found


def heads_spec(survey: Survey, scores: Mapping[str, Score], title: str, layer: int = -1, head: int = -1) -> str:
    """The figure of all heads: small pictures that can be sorted by any score that is defined for some head."""
    told = [score for score in told_scores(survey, scores) if np.isfinite(survey.scores[score["name"]]).any()]
    return spec(
        "heads", f"attention-{survey.kind}-all-heads", title,
        "choose one; the pictures show square roots of the weights", small=packed(survey.small, "u1"), scores=told,
        layer=layer, head=head,
    )  # fmt: skip


def told_scores(survey: Survey, scores: Mapping[str, Score]) -> list[dict[str, Any]]:
    """The survey's scores with what they mean, for a figure."""
    return [
        {"name": name, "title": scores[name].title, "formula": scores[name].formula, "meaning": scores[name].meaning,
         "values": packed(values)}
        for name, values in survey.scores.items()
    ]  # fmt: skip


def lines_spec(
    weights: np.ndarray,
    queries: Sequence[str],
    keys: Sequence[str],
    kind: str,
    layer: int,
    layers: int,
    head: int,
    title: str,
) -> str:
    """The figure of a layer's heads (heads, queries, keys) as lines between tokens: of each query and head the LINES
    strongest that are not FAINT. Axes as in `AXES`; head: the one that is shown first."""
    heads = len(weights)
    most = min(LINES, weights.shape[2])
    keys_of = np.argpartition(weights, -most, axis=-1)[..., -most:]  # (heads, queries, most)
    strength = np.take_along_axis(weights, keys_of, axis=-1)
    kept = strength >= FAINT
    head_of, query_of, _ = np.nonzero(kept)
    row_axis, column_axis = AXES[kind]
    return spec(
        "lines", f"attention-{kind}-layer-{layer + 1}-lines", title,
        f"of every query and head the {most} strongest weights from {FAINT} up · {heads} heads",
        left=list(queries), right=list(keys), left_axis=row_axis, right_axis=column_axis, heads=heads, head=head,
        queries=packed(query_of, "u2"), keys=packed(keys_of[kept], "u2"), of=packed(head_of, "u2"),
        weights=packed(strength[kept]),
    )  # fmt: skip
