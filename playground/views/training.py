"""A training run as pictures: curves (Plotly), state, samples as they change, log. Pure functions."""

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from core.run import RunInfo, Status

HEIGHT = 360  # pixels
POINTS = 1_000  # a curve is thinned out to so many
INK = "#7d8590"  # reads on white and on black
GRID = "rgba(125, 133, 144, 0.22)"
TRAINING, VALIDATION = "#7aa6d6", "#d1751f"  # differ in lightness too
SHOWN_STEPS = 6  # of the samples


def curves(name: str, metrics: Sequence[dict[str, Any]], trained_here: bool = True) -> "go.Figure":
    """Training and validation loss over the steps, both in nats per token, in one figure."""
    import plotly.graph_objects as go

    training = _points(metrics, "loss")
    validation = _points(metrics, "val_loss")
    figure = go.Figure()
    figure.add_scatter(
        x=training[0], y=training[1], mode="lines", name="training loss", line={"color": TRAINING, "width": 1.5},
        hovertemplate="step %{x:,}<br>training loss %{y:.4f}<extra></extra>",
    )  # fmt: skip
    figure.add_scatter(
        x=validation[0], y=validation[1], mode="lines+markers", name="validation loss",
        line={"color": VALIDATION, "width": 2}, marker={"size": 7, "symbol": "diamond"},
        hovertemplate="step %{x:,}<br>validation loss %{y:.4f}<extra></extra>",
    )  # fmt: skip
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        hovermode="x",
        showlegend=True,
        uirevision=name,  # a zoomed curve stays zoomed while it grows
        xaxis={**axis, "title": {"text": "step", "font": {"size": 13}}, "rangemode": "tozero"},
        yaxis={**axis, "title": {"text": "loss (nats per token)", "font": {"size": 13}}},
    )
    if not training[0] and not validation[0]:
        figure.add_annotation(
            text="The curve begins with the first step." if trained_here else "It was not trained here.",
            showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper",
        )  # fmt: skip
    return figure


def _points(metrics: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float | None]]:
    """Steps and values; a loss that is not a number leaves a gap."""
    found = [(line["step"], line[key]) for line in metrics if key in line and isinstance(line.get("step"), int)]
    if len(found) > POINTS:
        every = math.ceil(len(found) / POINTS)
        found = [*found[:-1:every], found[-1]]
    finite = [value if isinstance(value, (int, float)) and math.isfinite(value) else None for _, value in found]
    return [step for step, _ in found], finite


def status_html(name: str, status: "Status", metrics: Sequence[dict[str, Any]]) -> str:
    """State, how far it is, how fast, how long still."""
    share = min(1.0, status.step / status.steps) if status.steps else 0.0
    words = {
        "queued": "waiting to start", "running": "training", "stopping": "stopping after this step", "done": "done",
        "failed": "failed", "cancelled": "stopped",
    }  # fmt: skip
    losses, trained, rates, seconds, steps = (
        [line[key] for line in metrics if isinstance(line.get(key), (int, float))]
        for key in ("val_loss", "loss", "tokens_per_second", "seconds", "step")
    )
    step = status.step or max(steps, default=0)
    rows = []
    if step or status.steps:  # an imported one has none
        rows.append(("step", f"{step:,}" + (f" of {status.steps:,}" if status.steps else "")))
    if trained:
        rows.append(("training loss", f"{trained[-1]:.3f}"))
    if losses:
        rows.append(("best validation loss", f"{min(losses):.3f}"))
    if status.tokens_per_second or rates:
        rows.append(("tokens/s", f"{status.tokens_per_second or rates[-1]:,.0f}"))
    if status.is_active and status.eta is not None:
        rows.append(("time left", duration(status.eta)))
    if seconds:
        rows.append(("trained for", duration(max(seconds))))
    cells = "".join(f"<div><dt>{title}</dt><dd>{escape(value)}</dd></div>" for title, value in rows)
    what = words.get(status.state, status.state)
    note = status.error or ("" if status.message in ("training", "finished", "") else status.message)
    bar = ""
    if status.steps:
        bar = (
            '<div class="training-bar" role="progressbar" aria-label="steps done" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{share * 100:.0f}">'
            f'<span style="width:{share * 100:.1f}%"></span></div>'
        )
    problem = " training-problem" if status.error else ""
    return (
        f'<div class="training-status"><p class="training-state"><b>{escape(name)}</b> '
        f'<span class="training-badge training-{escape(status.state)}">{escape(what)}</span></p>{bar}'
        f'<dl class="training-figures">{cells}</dl>'
        + (f'<p class="training-note{problem}">{escape(note)}</p>' if note else "")
        + "</div>"
    )


def samples_html(samples: Sequence[dict[str, Any]], trained_here: bool = True) -> str:
    """What the model made of the same few texts at each time it was asked, the newest first."""
    shown = [line for line in samples if isinstance(line.get("samples"), list)][::-1]
    if not shown:
        said = "Samples appear here while it learns." if trained_here else "Samples are written by a training run."
        return f'<p class="training-empty">{said}</p>'
    if len(shown) > SHOWN_STEPS:  # the newest and the first, and some between
        picks = sorted({round(i * (len(shown) - 1) / (SHOWN_STEPS - 1)) for i in range(SHOWN_STEPS)})
        shown = [shown[i] for i in picks]
    blocks = []
    for place, first in enumerate(shown[0]["samples"]):
        rows = ""
        for line in shown:
            if place < len(line["samples"]):
                output = str(line["samples"][place].get("output", ""))
                rows += (
                    f'<tr><th scope="row">step {line.get("step", 0):,}</th>'
                    f'<td dir="auto">{escape(output) or "<i>(nothing)</i>"}</td></tr>'
                )
        reference = str(first.get("reference") or "")
        told = '<tr class="training-reference"><th scope="row">reference</th>'
        told += f'<td dir="auto">{escape(reference)}</td></tr>'
        prompt = escape(str(first.get("prompt", ""))) or "<i>(no prompt)</i>"
        blocks.append(
            f'<div class="training-sample"><p class="training-prompt" dir="auto">{prompt}</p>'
            f"<table><tbody>{told if reference else ''}{rows}</tbody></table></div>"
        )
    return f'<div class="training-samples">{"".join(blocks)}</div>'


def log_html(log: str) -> str:
    return f'<pre class="training-log" tabindex="0" aria-label="Log">{escape(log) or "The log is empty."}</pre>'


def run_label(info: "RunInfo") -> str:
    """A run in the list of runs to follow."""
    status = info.status
    if info.error:
        return f"{info.name} · broken"
    words = {"running": "training", "cancelled": "stopped"}
    return f"{info.name} · {'bundled' if info.bundled else words.get(status.state, status.state)}"


def duration(seconds: float) -> str:
    """
    >>> duration(75), duration(7300)
    ('1 min 15 s', '2 h 1 min')
    """
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"
