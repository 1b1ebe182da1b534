"""Attention as pictures and numbers: all heads as small pictures, one head as a large heatmap, its table and CSV."""

import csv
import io
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from core.analysis.attention import AttentionMaps, block, entropy, pool
from playground.views.image import data_url, plotly_scale, png

CELLS = 128  # rows and columns of a heatmap; longer texts are pooled, or seen part by part
LINEAR = 48  # up to so many, colours show the weights themselves
THUMBNAIL = 32  # the same for the small pictures
TABLE = 48  # rows and columns of the table of numbers; the CSV has them all
WHOLE = "whole"
TITLES = {
    "cross": "Cross-attention",
    "encoder": "Encoder self-attention",
    "self": "Self-attention",
}


@dataclass(frozen=True)
class HeadView:
    """One head, ready to be drawn. values: float (rows, columns), NaN where a causal model cannot look."""

    title: str
    subtitle: str
    values: np.ndarray
    rows: list[str]  # names with numbers: no two are alike
    columns: list[str]
    row_ticks: list[str]  # the same without numbers, for the axes
    column_ticks: list[str]
    row_axis: str
    column_axis: str
    entropy: float  # mean over queries, in nats
    power: float  # colours show weight ** power: 1, or 0.5 where many small weights would all look like none


def head_view(maps: AttentionMaps, kind: str, layer: int, head: int, part: str = WHOLE, decoder: str = "") -> HeadView:
    """layer, head: from 0. part: of `parts(maps)`. decoder: what a decoder's self-attention is called, if not plain."""
    weights = maps.weights[layer, head]
    layers, heads = maps.weights.shape[:2]
    # A decoder's row is best known by the word it is about to write; where it looks for that is the question.
    row_names = maps.written if kind == "cross" else maps.queries
    rows, columns = numbered(row_names), numbered(maps.keys)
    row_ticks, column_ticks = row_names, maps.keys
    values = weights.astype(np.float64)
    if maps.causal:
        values = np.where(np.tri(*values.shape, dtype=np.bool_), values, np.nan)
    subtitle = ""
    if part == WHOLE:
        row_step, column_step = block(values.shape[0], CELLS), block(values.shape[1], CELLS)
        if row_step > 1 or column_step > 1:
            values = pool(weights, CELLS, CELLS)
            if maps.causal:
                values = np.where(np.tri(*values.shape, dtype=np.bool_), values, np.nan)
            rows, columns = pooled_names(rows, row_step), pooled_names(columns, column_step)
            row_ticks, column_ticks = pooled_names(row_names, row_step), pooled_names(maps.keys, column_step)
            subtitle = f"pooled: a cell is the mean of {row_step} × {column_step} tokens · "
    else:
        row, column = (int(number) * CELLS for number in part.split(","))
        values = values[row : row + CELLS, column : column + CELLS]
        rows, columns = rows[row : row + CELLS], columns[column : column + CELLS]
        row_ticks, column_ticks = row_ticks[row : row + CELLS], column_ticks[column : column + CELLS]
        subtitle = f"queries {row}–{row + len(rows) - 1}, keys {column}–{column + len(columns) - 1} · "
    power = 1.0 if max(values.shape) <= LINEAR else 0.5
    if power != 1.0:
        subtitle += "colours by square root · "
    highest = float(np.nanmax(values)) if np.isfinite(values).any() else 0.0
    return HeadView(
        title=f"{decoder or TITLES[kind]} · layer {layer + 1} of {layers} · head {head + 1} of {heads}",
        subtitle=f"{subtitle}weights from 0 to {highest:.3f}",
        values=values,
        rows=rows,
        columns=columns,
        row_ticks=row_ticks,
        column_ticks=column_ticks,
        row_axis="token being written (query)" if kind == "cross" else "token that looks (query)",
        column_axis="source token looked at (key)" if kind == "cross" else "token looked at (key)",
        entropy=float(entropy(weights).mean()),
        power=power,
    )


def numbered(names: list[str]) -> list[str]:
    return [f"{name} {i}" for i, name in enumerate(names)]


def pooled_names(names: list[str], step: int) -> list[str]:
    """The first name of each block, marked as a block."""
    return [f"{names[i]} …" for i in range(0, len(names), step)] if step > 1 else names


def parts(maps: AttentionMaps) -> list[tuple[str, str]]:
    """(label, value) of the parts of a text that is longer than a heatmap: the whole, then blocks of full detail."""
    queries, keys = maps.weights.shape[2:]
    if queries <= CELLS and keys <= CELLS:
        return [("whole text", WHOLE)]
    found = [("whole text, pooled", WHOLE)]
    for row in range(-(-queries // CELLS)):
        for column in range(-(-keys // CELLS)):
            if maps.causal and column > row:
                continue
            last_row, last_column = min(queries, (row + 1) * CELLS) - 1, min(keys, (column + 1) * CELLS) - 1
            label = f"queries {row * CELLS}–{last_row} × keys {column * CELLS}–{last_column}"
            found.append((label, f"{row},{column}"))
    return found


def heatmap(view: HeadView) -> Any:
    """A Plotly figure of explicit height. Text is escaped: Plotly would take <s> for markup."""
    import plotly.graph_objects as go

    rows, columns = [escape(name, quote=False) for name in view.rows], [escape(c, quote=False) for c in view.columns]
    pairs = [[f"{row} → {column}" for column in columns] for row in rows]
    figure = go.Figure(
        go.Heatmap(
            z=view.values.astype(np.float32),
            customdata=pairs,
            hovertemplate="%{customdata}<br><b>%{z:.4f}</b><extra></extra>",
            hoverongaps=False,
            colorscale=plotly_scale(view.power),
            zmin=0,
            zmax=max(float(np.nanmax(view.values)), 1e-6),
            xgap=1 if len(columns) <= 40 else 0,
            ygap=1 if len(rows) <= 40 else 0,
            colorbar={"title": {"text": "weight", "side": "right"}, "thickness": 10, "outlinewidth": 0, "len": 0.9},
        )
    )
    figure.update_layout(
        hoverlabel={"bgcolor": "#1d2129", "bordercolor": "#1d2129", "font": {"color": "#ffffff", "size": 13}},
        modebar={"remove": ["select2d", "lasso2d", "autoScale2d"], "bgcolor": "rgba(0,0,0,0)"},
        title={"text": f"{escape(view.title)}<br><sub>{escape(view.subtitle)}</sub>", "x": 0, "xref": "container",
               "font": {"size": 15}},
        height=height(len(rows)),
        margin={"l": 8, "r": 8, "t": 64, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, 'Noto Sans', 'Hiragino Sans', 'Noto Sans CJK JP', sans-serif", "size": 12},
        xaxis=_axis(view.column_ticks, view.column_axis) | ({} if len(columns) <= 10 else {"tickangle": -60}),
        yaxis=_axis(view.row_ticks, view.row_axis) | {"autorange": "reversed"},
    )  # fmt: skip
    return figure


def height(rows: int) -> int:
    """Pixels: room for every row's name while there are few, a full screen for many."""
    return min(860, max(340, 22 * rows + 190))


def _axis(names: list[str], title: str) -> dict[str, Any]:
    step = block(len(names), 48)  # names that would overlap are left out; pointing at a cell gives them
    ticks = list(range(0, len(names), step))
    return {
        "title": {"text": title, "font": {"size": 12}, "standoff": 8},
        "tickvals": ticks,
        "ticktext": [escape(shorten(names[i]), quote=False) for i in ticks],
        "tickfont": {"size": 12 if len(names) <= 32 else 10},
        "showgrid": False,
        "zeroline": False,
        "showline": False,
        "ticks": "",
        "automargin": True,
        "fixedrange": False,
    }


def shorten(name: str, length: int = 22) -> str:
    """
    >>> shorten("a" * 30, 8)
    'aaaaaaa…'
    """
    return name if len(name) <= length else name[: length - 1] + "…"


def head_grid(maps: AttentionMaps, layer: int, head: int) -> str:
    """HTML: every head of every layer as a button with a small picture, cut out of one image. layer, head: from 0.

    Pictures show the square root of the weights, so that faint patterns are seen, the darkest being the head's own
    largest weight.
    """
    weights = maps.weights
    layers, heads = weights.shape[:2]
    small = np.sqrt(np.clip(pool(weights, THUMBNAIL, THUMBNAIL), 0, 1))
    small = small / np.maximum(small.max(axis=(2, 3), keepdims=True), 1e-9)
    high, wide = small.shape[2:]
    pixels = np.rint(small * 255).astype(np.uint8).transpose(0, 2, 1, 3).reshape(layers * high, heads * wide)
    mean_entropy = entropy(weights).mean(axis=-1)
    columns = "".join(f'<span class="grid-name" aria-hidden="true">{number + 1}</span>' for number in range(heads))
    cells = []
    for i in range(layers):
        cells.append(f'<span class="grid-name" aria-hidden="true">{i + 1}</span>')
        for j in range(heads):
            chosen = "true" if (i, j) == (layer, head) else "false"
            x, y = percent(j, heads), percent(i, layers)
            label = f"Layer {i + 1}, head {j + 1}, mean entropy {mean_entropy[i, j]:.2f} nats"
            cells.append(
                f'<button type="button" class="head-cell" data-layer="{i}" data-head="{j}" aria-pressed="{chosen}" '
                f'aria-label="{label}" title="{label}" style="background-position:{x} {y}"></button>'
            )
    shape = f"--layers:{layers};--heads:{heads};--sprite:url({data_url(png(pixels))})"
    return (
        f'<div class="grid-scroller"><div class="head-grid" role="group" aria-label="All heads: rows are layers, '
        f'columns are heads" style="{shape}"><span class="grid-corner" aria-hidden="true">layer ↓\nhead →</span>'
        f"{columns}{''.join(cells)}</div></div>"
    )


def percent(index: int, count: int) -> str:
    """Where the index-th of `count` pictures lies, as CSS counts background positions."""
    return f"{100 * index / (count - 1):.4f}%" if count > 1 else "0%"


def numbers(view: HeadView) -> str:
    """HTML: the weights as a table (its first rows and columns, if there are many) and all of them as CSV."""
    shown = view.values[:TABLE, :TABLE]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in view.columns[:TABLE])
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{'' if np.isnan(value) else f'{value:.4f}'}</td>" for value in line)
        + "</tr>"
        for name, line in zip(view.rows[:TABLE], shown, strict=True)
    )
    cut = ""
    if shown.shape != view.values.shape:
        cut = f" The table shows the first {len(shown)} × {shown.shape[1]} of {len(view.rows)} × {len(view.columns)}."
    data = b64encode(to_csv(view).encode("utf-8-sig")).decode("ascii")
    name = view.title.lower().replace(" · ", "-").replace(" ", "-")
    return (
        f'<p class="numbers-title">{escape(view.title)} ({escape(view.subtitle)}).{cut} '
        f'<a class="download" download="{name}.csv" href="data:text/csv;base64,{data}">Download CSV</a></p>'
        f'<div class="scroller" tabindex="0" role="region" aria-label="Weights"><table class="number-table">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def to_csv(view: HeadView) -> str:
    """First line: key tokens; first column: query tokens. Six digits; empty where a causal model cannot look."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["", *view.columns])
    for name, line in zip(view.rows, view.values, strict=True):
        writer.writerow([name, *("" if np.isnan(value) else f"{value:.6f}" for value in line)])
    return file.getvalue()


def caption(view: HeadView) -> str:
    """A sentence under the heatmap."""
    keys = len(view.columns)
    return (
        f'<p class="caption">Each row sums to 1. Mean entropy {view.entropy:.2f} nats; even attention over '
        f"{keys} {'token' if keys == 1 else 'tokens'} would have {np.log(max(keys, 1)):.2f}.</p>"
    )
