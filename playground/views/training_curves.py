"""Curves of one run, or of several compared (Plotly). Pure functions of columns of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from playground.views.series import smooth, thin

if TYPE_CHECKING:
    import plotly.graph_objects as go

HEIGHT = 360  # pixels
INK = "#7d8590"  # reads on white and on black
GRID = "rgba(125, 133, 144, 0.22)"
TRAINING, VALIDATION = "#4c8fd6", "#d1751f"  # of a single run; they differ in lightness too
# Of runs that are compared: Okabe and Ito's colours, those that read on white and on black.
PALETTE = ("#0f82c8", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c8c8c", "#a58b00")
FAINT = 0.28

# What can be looked at: key -> (label, title of the axis, columns that are drawn solid, columns that are drawn dashed).
CHARTS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "loss": ("Loss", "loss (nats per token)", ("loss",), ("val_loss",)),
    "perplexity": ("Perplexity", "perplexity", ("loss",), ("val_loss",)),
    "score": ("Score", "", ("bleu", "val_bits_per_byte"), ("chrf",)),
    "lr": ("Learning rate", "learning rate", ("lr",), ()),
    "grad_norm": ("Gradient", "norm of the gradient, before clipping", ("grad_norm",), ()),
    "speed": ("Tokens/s", "tokens per second", ("tokens_per_second",), ()),
    "peak": ("Peak", "share of the machine's peak (%)", ("peak_share",), ()),
    "memory": ("Memory", "memory (GB)", ("memory_bytes",), ()),
}
NAMES = {
    "loss": "training loss", "val_loss": "validation loss", "bleu": "BLEU", "chrf": "chrF",
    "val_bits_per_byte": "bits per byte", "lr": "learning rate", "grad_norm": "gradient norm",
    "tokens_per_second": "tokens/s", "peak_share": "share of peak", "memory_bytes": "memory",
}  # fmt: skip
X_AXES = {"step": ("Step", "step"), "tokens": ("Tokens", "target tokens"), "time": ("Time", "minutes of training")}
SMOOTHED = ("loss", "grad_norm", "tokens_per_second", "peak_share")  # those that jump from line to line
NOTHING = {
    "score": "BLEU and chrF of a translator, bits per byte of a language model: they come with a validation.",
    "peak": "The share of the peak was not measured in this run.", "memory": "Memory was not measured in this run.",
}  # fmt: skip


@dataclass(frozen=True)
class Look:
    """How curves are looked at."""

    chart: str = "loss"
    x: str = "step"
    smoothing: float = 0.0
    log: bool = False


def curves(
    runs: Sequence[tuple[str, Mapping[str, np.ndarray]]], look: Look = Look(), trained_here: bool = True
) -> "go.Figure":
    """One figure of one or several runs: (name, columns of metrics.jsonl, see playground.figures).

    Of several runs each has its colour: training solid, validation dashed. Smoothed curves have the measured one
    faintly behind them.
    """
    import plotly.graph_objects as go

    _, title, solid, dashed = CHARTS[look.chart]
    figure = go.Figure()
    drawn: set[str] = set()
    for place, (name, figures) in enumerate(runs):
        for key in (*solid, *dashed):
            x, y = _points(figures, key, look)
            if len(x):
                drawn.add(key)
                _add(figure, _plain(name), key, x, y, look, PALETTE[place % len(PALETTE)] if len(runs) > 1 else "")
    mixed = {"bleu", "val_bits_per_byte"} <= drawn
    if look.chart == "score":
        title = "bits per byte" if drawn == {"val_bits_per_byte"} else "BLEU, chrF" if "chrf" in drawn else "BLEU"
    if len(runs) > 1 and drawn & {"val_loss", "chrf"} and len(drawn) > 1:  # what the dashes mean
        figure.add_scatter(
            x=[None], y=[None], mode="lines", line={"color": INK, "width": 1.8, "dash": "dash"}, hoverinfo="skip",
            name="chrF" if look.chart == "score" else "validation",
        )  # fmt: skip
    _lay_out(figure, look, title, [name for name, _ in runs], mixed)
    if not drawn:
        waiting = "The curve begins with the first step." if trained_here else "It was not trained here."
        figure.add_annotation(
            text=NOTHING.get(look.chart, waiting) if trained_here else waiting,
            showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper",
        )  # fmt: skip
        figure.update_layout(xaxis={"range": [0, 1]}, yaxis={"range": [0, 1], "type": "linear"})
    return figure


def _points(figures: Mapping[str, np.ndarray], key: str, look: Look) -> tuple[np.ndarray, np.ndarray]:
    """x and y of the lines that have the key; a value that is not a number is a gap."""
    values = figures[key]
    has = ~np.isnan(values)
    if key == "loss":  # of a diverged run: lines of training without a loss
        has |= np.isnan(values) & ~np.isnan(figures["lr"])
    x = along(figures, look.x)[has]
    y = values[has]
    with np.errstate(over="ignore", invalid="ignore"):
        if look.chart == "perplexity":
            y = np.exp(y)
        elif look.chart == "peak":
            y = 100 * y
        elif look.chart == "memory":
            y = y / 1e9
        y = np.where(np.isfinite(y), y, np.nan)
        if look.log:
            y = np.where(y > 0, y, np.nan)
    return x, y


def along(figures: Mapping[str, np.ndarray], axis: str) -> np.ndarray:
    """Where each line lies on an axis: its step, its tokens, or its minutes of training.

    Lines of a validation do not say how many tokens there were: they lie between the lines of training around them.
    """
    step = figures["step"]
    if axis == "step":
        return step
    values = figures["tokens"] if axis == "tokens" else figures["seconds"] / 60
    known = ~np.isnan(values)
    if not known.any():
        return np.full(len(step), np.nan)
    order = np.argsort(step[known], kind="stable")
    return np.where(known, values, np.interp(step, step[known][order], values[known][order]))


def _add(figure: Any, name: str, key: str, x: np.ndarray, y: np.ndarray, look: Look, colour: str) -> None:
    compared = bool(colour)
    validation = key in ("val_loss", "chrf") or (not compared and key in ("val_bits_per_byte", "bleu"))
    colour = colour or (VALIDATION if validation else TRAINING)
    label = "perplexity" if look.chart == "perplexity" and key == "loss" else NAMES[key]
    label = "validation perplexity" if look.chart == "perplexity" and key == "val_loss" else label
    shown = f"{name}, {label}" if compared else label
    scale = ",.0f" if key == "tokens_per_second" else ".4g"
    told = f"{X_AXES[look.x][1]} %{{x:,.6~g}}<br>{label} %{{y:{scale}}}"
    common: dict[str, Any] = {
        "legendgroup": name if compared else key,
        "yaxis": "y2" if key == "val_bits_per_byte" and look.chart == "score" and compared else "y",
    }
    line = {"color": colour, "width": 2 if not compared or not validation else 1.8}
    if compared and validation:
        line["dash"] = "dash"
    smoothed = smooth(y, look.smoothing) if key in SMOOTHED else y
    if smoothed is not y and len(x) > 1:
        raw = thin(x, y)
        figure.add_scatter(
            x=raw[0], y=raw[1], mode="lines", line={"color": colour, "width": 1}, opacity=FAINT, hoverinfo="skip",
            showlegend=False, name=shown, **common,
        )  # fmt: skip
    x, y = thin(x, smoothed)
    marked = validation or key in ("bleu", "val_bits_per_byte")
    few = len(x) == 1 or (marked and len(x) <= 60)
    figure.add_scatter(
        x=x, y=y, mode="lines+markers" if few else "lines", name=name if compared else label, line=line,
        marker={"size": 7 if marked else 5, "symbol": "diamond" if marked else "circle", "color": colour},
        showlegend=not compared or not any(t.legendgroup == name and t.showlegend for t in figure.data),
        hovertemplate=(f"<b>{name}</b><br>" if compared else "") + told + "<extra></extra>", **common,
    )  # fmt: skip


def _plain(name: str) -> str:
    """Plotly reads some HTML in its texts."""
    return name.replace("&", "&amp;").replace("<", "&lt;")


def _lay_out(figure: Any, look: Look, title: str, names: list[str], mixed: bool) -> None:
    axis = {"gridcolor": GRID, "zeroline": False, "linecolor": GRID, "automargin": True}
    small = {"size": 13}
    figure.update_layout(
        height=HEIGHT,
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        legend={"orientation": "h", "x": 0, "y": 1.02, "xanchor": "left", "yanchor": "bottom"},
        hovermode="closest" if len(names) > 1 else "x",
        showlegend=True,
        # A zoomed curve stays zoomed while it grows; another chart has other ranges.
        uirevision=f"{'/'.join(names)} {look.chart} {look.x} {look.log}",
        xaxis={**axis, "title": {"text": X_AXES[look.x][1], "font": small}, "rangemode": "tozero"},
        yaxis={**axis, "title": {"text": title, "font": small}, "type": "log" if look.log else "linear"},
    )
    if look.log:
        figure.update_yaxes(dtick="D1" if look.chart in ("lr", "loss") else None, exponentformat="power")
    if mixed and len(names) > 1:
        figure.update_layout(
            yaxis2={**axis, "title": {"text": "bits per byte", "font": small}, "overlaying": "y", "side": "right",
                    "showgrid": False, "type": "log" if look.log else "linear"}
        )  # fmt: skip
    elif look.chart == "score":
        figure.for_each_trace(lambda trace: trace.update(yaxis="y"))
