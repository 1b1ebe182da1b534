"""A model's positions as figures: the numbers, how alike two positions are, and that over their distance.

Positions, and the numbers of a vector, count from 0 here, as in the formulas.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from playground.views.figure import packed, spec

COLUMNS = 128  # of the table that are drawn
KINDS = {
    "sinusoidal": ("Sinusoidal positions", "sines and cosines, added to the token embeddings", "number"),
    "learned": ("Learned positions", "vectors that were trained, added to the token embeddings", "number"),
    "rotary": ("Rotary positions", "cosines of the angles by which pairs of a query's and a key's numbers are turned",
               "pair"),
}  # fmt: skip


def table_spec(positions: Any, run: str) -> str:
    """The figure of core.analysis.positions.Positions: a row a position."""
    title, meaning, column = KINDS[positions.kind]
    table = positions.table[:, :COLUMNS]
    of = positions.table.shape[1]
    cut = f" · the first {COLUMNS} of {of} {column}s" if of > COLUMNS else f" · {of} {column}s"
    waves = positions.wavelengths
    note = ""
    if waves is not None:
        note = f"Wavelengths from {waves.min():,.1f} to {waves.max():,.0f} positions."
    return _heatmap(
        f"{positions.kind}-positions", f"{title} of {run}", f"{len(table)} of {positions.length:,} positions{cut}",
        table, [str(i) for i in range(len(table))], [str(i) for i in range(table.shape[1])],
        row_axis="position", column_axis=column, row_name="position", column_name=column,
        note=f"{meaning[0].upper()}{meaning[1:]}. {note}",
    )  # fmt: skip


def similarity_spec(positions: Any, alike: np.ndarray, run: str) -> str:
    """The figure of how alike any two positions are."""
    names = [str(i) for i in range(len(alike))]
    how = (
        "What is left, on average, of the dot product of a vector with itself when both are turned."
        if positions.kind == "rotary"
        else "The cosine between the vectors of two positions."
    )
    return _heatmap(
        f"{positions.kind}-similarity", f"How alike positions are · {run}", f"{len(alike)} positions", alike, names,
        names, row_axis="position", column_axis="position", row_name="position", column_name="position", note=how,
        most=1.0,
    )  # fmt: skip


def distance_spec(kind: str, curves: Sequence[tuple[str, np.ndarray]], run: str) -> str:
    """The figure of similarity over distance. curves: names and values at 0, 1, 2 … positions apart."""
    lines = [
        {"name": name, "x": packed(np.arange(len(values))), "y": packed(values), "dashed": place > 0}
        for place, (name, values) in enumerate(curves)
    ]
    notes = {
        "sinusoidal": "Of sinusoidal positions the similarity is a function of the distance alone: the mean of the "
        "cosines of frequency · distance.",
        "learned": "The mean over all pairs of positions that are so far apart. Nothing makes learned positions alike "
        "but training.",
        "rotary": "Mean of cos(θ · distance) over the pairs; and RoFormer's bound (Su et al., 2021, section 3.4.3), "
        "which says how large the dot product of any query and key can still be. Both as shares of what they are at 0.",
    }
    return spec(
        "curves", f"{kind}-by-distance", f"Similarity over distance · {run}", "", lines=lines,
        x_axis="positions apart", left_axis="similarity", note=notes[kind],
    )  # fmt: skip


def _heatmap(
    name: str, title: str, subtitle: str, values: np.ndarray, rows: Sequence[str], columns: Sequence[str], **more: Any
) -> str:
    return spec(
        "heatmap", name, title, subtitle, values=packed(values), rows=list(rows), columns=list(columns),
        diverging=True, plain_names=True, **more,
    )  # fmt: skip
