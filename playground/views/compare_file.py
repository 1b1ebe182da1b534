"""A whole file counted by several tokenizers: table, chart, CSV, and one line of how far it is.

Counts come as a playground.file_counts.Counted.
"""

import csv
import io
from html import escape
from typing import TYPE_CHECKING, Any

from playground.views.notice import notice
from playground.views.tokens import ratio

if TYPE_CHECKING:
    import plotly.graph_objects as go

# Okabe and Ito's colours, as assets/base.css has them for tokens: a lane has the same colour everywhere.
PALETTE = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#c9b800", "#0072b2")
INK, GRID = "#7d8590", "rgba(125, 133, 144, 0.22)"  # these read on white and on black
MEASURES = {
    "character": ("Tokens per character", "characters"),
    "word": ("Tokens per word", "words"),
    "byte": ("Tokens per byte", "bytes"),
}
SHOWN_GROUPS = 200
BARS = 30  # groups of the chart
POINTS = 2_000  # lines of the chart


def progress_line(counted: Any) -> str:
    """How far it is, and what is left out."""
    if counted.state == "failed":
        return notice(counted.doing)
    told = f"{counted.done:,} of {counted.lines:,} lines" if counted.lines else ""
    if counted.state == "running":
        return notice(f"{counted.doing} … {told or f'{counted.seconds:.0f} s'}", "busy")
    said = f"{told} in {counted.seconds:.1f} s."
    if counted.state == "stopped":
        said = f"{counted.doing}: {told} are counted."
    return notice(" ".join([said, *counted.notes]), "info")


def groups_table(counted: Any, measure: str) -> str:
    """Tokens of the whole file and, where there are several, of each group; the best of a row marked."""
    if not counted.groups:
        return ""
    title, unit = MEASURES[measure]
    whole = counted.total
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in counted.names)
    rows = [
        _row("Tokens", "", whole, [f"{tokens:,}" for tokens in whole.tokens]),
        _row(title, "", whole, [ratio(tokens, getattr(whole, unit)) for tokens in whole.tokens]),
    ]
    caption = f"{whole.lines:,} lines, {whole.characters:,} characters, {whole.words:,} words, {whole.bytes:,} bytes."
    if len(counted.groups) > 1:
        by_line = counted.by == "line"
        groups = list(counted.groups.items())
        if by_line:  # the dearest first: those are what one looks for
            groups = [(name, group) for name, group in groups if getattr(group, unit)]
            groups.sort(key=lambda item: -max(item[1].tokens) / getattr(item[1], unit))
            caption += f" Below it are the {min(SHOWN_GROUPS, len(groups)):,} lines with the most {title.lower()}."
        else:
            groups.sort(key=lambda item: -item[1].characters)
        rows += [
            _row(f"line {name}" if by_line else name, f"{group.characters:,}", group,
                 [ratio(tokens, getattr(group, unit)) for tokens in group.tokens])
            for name, group in groups[:SHOWN_GROUPS]
        ]  # fmt: skip
        if not by_line and len(groups) > SHOWN_GROUPS:
            caption += f" Here are the largest {SHOWN_GROUPS} of {len(groups):,} groups; the file has them all."
    return (
        f'<p class="caption">{caption}</p><div class="compare-scroll compare-file-groups">'
        '<table class="compare-groups">'
        f'<thead><tr><th scope="col"></th><th scope="col">Characters</th>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, size: str, group: Any, figures: list[str]) -> str:
    fewest = min(group.tokens, default=0)
    cells = "".join(
        f"<td{' class=best' if tokens == fewest and len(group.tokens) > 1 else ''}>{figure}</td>"
        for tokens, figure in zip(group.tokens, figures)
    )
    return f'<tr><th scope="row">{escape(name)}</th><td>{size}</td>{cells}</tr>'


def chart(counted: Any, measure: str) -> "go.Figure | None":
    """Bars by group, or of lines a point each: how many tokens for how many characters (words, bytes)."""
    import plotly.graph_objects as go

    if not counted.groups:
        return None
    title, unit = MEASURES[measure]
    figure = go.Figure()
    if counted.by == "line":
        _scatter(figure, counted, unit)
    else:
        groups = sorted(counted.groups.items(), key=lambda item: -item[1].characters)[:BARS]
        for place, name in enumerate(counted.names):
            figure.add_bar(
                x=["the whole file" if len(groups) == 1 and group == "all" else _plain(group) for group, _ in groups],
                y=[g.tokens[place] / getattr(g, unit) if getattr(g, unit) else None for _, g in groups],
                name=_plain(name), marker={"color": PALETTE[place % len(PALETTE)]},
                customdata=[[g.tokens[place], getattr(g, unit)] for _, g in groups],
                hovertemplate="<b>%{x}</b><br>%{y:.3f}: %{customdata[0]:,} tokens, %{customdata[1]:,} " + unit
                + "<extra>%{fullData.name}</extra>",
            )  # fmt: skip
    by_line = counted.by == "line"
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    figure.update_layout(
        height=380,
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        barmode="group",
        showlegend=True,
        xaxis={
            **axis,
            "title": {"text": f"{unit} of a line" if by_line else ""},
            "type": "linear" if by_line else "category",
        },
        yaxis={**axis, "title": {"text": "tokens" if by_line else title.lower()}, "rangemode": "tozero"},
    )
    return figure


def _scatter(figure: Any, counted: Any, unit: str) -> None:
    lines = list(counted.groups.items())
    step = -(-len(lines) // POINTS)
    lines = lines[::step]
    for place, name in enumerate(counted.names):
        figure.add_scatter(
            x=[getattr(group, unit) for _, group in lines], y=[group.tokens[place] for _, group in lines],
            mode="markers", name=_plain(name), text=[f"line {number}" for number, _ in lines],
            marker={"color": PALETTE[place % len(PALETTE)], "size": 5, "opacity": 0.6},
            hovertemplate="<b>%{text}</b><br>%{y:,} tokens, %{x:,} " + unit + "<extra>%{fullData.name}</extra>",
        )  # fmt: skip


def _plain(name: str) -> str:
    """Plotly reads some HTML in its texts."""
    return name.replace("&", "&amp;").replace("<", "&lt;")


def as_csv(counted: Any) -> str:
    """All groups, a row each."""
    out = io.StringIO()
    writer = csv.writer(out)
    tokens = [f"tokens {name}" for name in counted.names]
    writer.writerow([counted.by.removeprefix("column:"), "lines", "characters", "bytes", "words", *tokens])
    for name, group in counted.groups.items():
        writer.writerow([name, group.lines, group.characters, group.bytes, group.words, *group.tokens])
    return out.getvalue()
