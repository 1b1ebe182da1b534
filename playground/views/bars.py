"""Signed horizontal bars as a figure: named numbers, alone or as two series, by themselves or summed in groups."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from playground.views.figure import packed, spec


def bars_spec(
    name: str,
    title: str,
    subtitle: str,
    rows: Sequence[str],
    values: np.ndarray,
    series: Sequence[str] = ("value",),
    groups: Mapping[str, Sequence[str]] | None = None,
    total: str = "",
    **more: Any,
) -> str:
    """The figure. rows: names; values (rows,), or (rows, series) for several bars a row; NaN draws none.

    groups: what the rows can be summed by: title -> each row's group. total: what the sum of all is called; "": it is
    not drawn. more: row_axis (what rows are), order (the rows' own), digits, unit, note, most (the end of the axis),
    sends (for each row what is sent, as {"row": ...}, when it is chosen; None: it cannot be), chosen (a row's place),
    sorted (by size at first).
    """
    table = np.asarray(values, np.float32)
    if table.size != len(rows) * len(series):
        raise ValueError(f"{len(rows)} rows of {len(series)} series, but {table.size} numbers")
    table = table.reshape(len(rows), len(series))  # there may be no row
    by = [{"title": group, "of": list(names)} for group, names in (groups or {}).items()]
    return spec(
        "bars", name, title, subtitle, rows=list(rows), values=packed(table), series=list(series), groups=by,
        total=total, **more,
    )  # fmt: skip
