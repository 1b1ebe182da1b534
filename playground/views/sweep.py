"""A sweep as pictures: trials as a table and as parallel coordinates, what it costs, how it goes. Pure functions."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from playground.views.training import dollars, duration
from playground.views.training_place import from_to

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from core.run import Status
    from remote.client import Estimate

HEIGHT = 340  # pixels
INK = "#7d8590"  # reads on white and on black
GRID = "rgba(125, 133, 144, 0.35)"
# From the best to the worst: Okabe and Ito's blue, purple and vermilion, which colour-blind readers can tell apart.
COLOURS = ((0, 114, 178), (204, 121, 167), (213, 94, 0))
STATES = {
    "waiting": "waiting", "running": "training", "resting": "waiting at a rung", "stopped early": "stopped early",
    "done": "done", "failed": "failed", "stopped": "stopped by hand", "gone": "gone",
}  # fmt: skip
METRICS = {
    "val_loss": "validation loss", "val_bits_per_byte": "bits per byte", "bleu": "BLEU", "chrf": "chrF",
}  # fmt: skip
SHORT = {"val_loss": "loss", "val_bits_per_byte": "bits/byte", "bleu": "BLEU", "chrf": "chrF"}
HIGHER = ("bleu", "chrf")
LABELS = 6  # of a column, at most


def cost_html(trials: int, parts: Sequence[tuple[int, int]], seconds: float, told_by: str) -> str:
    """How much is trained, and about how long that takes."""
    steps = " + ".join(f"{count} × {each:,}" for count, each in parts)
    source = f"by the speed of {told_by}" if told_by else "a rough guess: no model of this size was trained here yet"
    return (
        f'<p class="sweep-cost"><b>{trials} trial{"s" if trials != 1 else ""}</b>, {steps} steps: about '
        f"{escape(duration(seconds))} <span>({escape(source)})</span></p>"
    )


def words_there(estimate: "Estimate", planned: int, hours: float) -> str:
    """What all trials take and cost on Modal. planned: steps of all; hours: after which one training is stopped."""
    time, price = from_to(*map(duration, estimate.seconds)), from_to(*map(dollars, estimate.usd))
    words = f"about {time} of rented time, {price}"
    if estimate.steps[0] < planned:
        words += f"; a trial is stopped after {hours:.3g} h, which may be before it has made its steps"
    return words


def cost_there_html(
    trials: int, parts: Sequence[tuple[int, int]], estimate: "Estimate", gpu: str, hours: float, date: str
) -> str:
    """`cost_html` of trials that are trained on Modal."""
    steps = " + ".join(f"{count} × {each:,}" for count, each in parts)
    words = words_there(estimate, sum(count * each for count, each in parts), hours)
    return (
        f'<p class="sweep-cost"><b>{trials} trial{"s" if trials != 1 else ""}</b>, {steps} steps on Modal, '
        f"{escape(gpu)}: {escape(words)} <span>(prices of {escape(date)}; the bill is Modal's)</span></p>"
    )


def status_html(name: str, status: "Status", rungs: Sequence[int], rung: int, metric: str, best: str) -> str:
    """State, how far it is, which rung."""
    words = {"queued": "starting", "running": "training", "cancelled": "stopped"}
    share = min(1.0, status.step / status.steps) if status.steps else 0.0
    share = 1.0 if status.state == "done" else share  # trials that failed have left steps out
    where = f"rung {rung + 1} of {len(rungs)}, at step {rungs[rung]:,}" if len(rungs) > 1 else f"to step {rungs[-1]:,}"
    left = f", about {duration(status.eta)} left" if status.is_active and status.eta else ""
    said = status.message if not status.is_active or status.message.startswith("waiting: ") else ""
    told = [f"best so far: {best}" if best and status.is_active else "", said]
    note = status.error or "; ".join(filter(None, told))
    problem = " training-problem" if status.error else ""
    return (
        f'<div class="training-status"><p class="training-state"><b>{escape(name)}</b> '
        f'<span class="training-badge training-{escape(status.state)}">'
        f"{escape(words.get(status.state, status.state))}</span> "
        f'<span class="sweep-where">{escape(where)}, by {escape(METRICS.get(metric, metric))}{escape(left)}</span></p>'
        '<div class="training-bar" role="progressbar" aria-label="steps done" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{share * 100:.0f}"><span style="width:{share * 100:.1f}%"></span></div>'
        + (f'<p class="training-note{problem}">{escape(note)}</p>' if note else "")
        + "</div>"
    )


def table_html(trials: Sequence[Mapping[str, Any]], axes: Sequence[str], metric: str) -> str:
    """The trials, the best first; those without a figure after them.

    trials: run, values {key: value}, step, value, state, error.
    """
    if not trials:
        return '<p class="training-empty">The trials of a sweep appear here.</p>'
    heads = [*(key.rpartition(".")[2] for key in axes), "step", METRICS.get(metric, metric), "state"]
    rows = ""
    for place, trial in enumerate(ordered(trials, metric)):
        best = place == 0 and is_number(trial["value"])
        cells = [show(trial["values"].get(key)) for key in axes]
        cells += [f"{trial['step']:,}", f"{trial['value']:.4f}" if is_number(trial["value"]) else "–"]
        figures = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        state = str(trial["state"])
        told = escape(STATES.get(state, state))
        why = f'<span class="sweep-why">{escape(str(trial["error"]))}</span>' if trial["error"] else ""
        rows += (
            f'<tr{" class=sweep-best" if best else ""}><th scope="row">{escape(str(trial["run"]))}</th>{figures}'
            f'<td class="sweep-state sweep-{escape(state.replace(" ", "-"))}">{told}{why}</td>'
            "</tr>"
        )
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in ["run", *heads])
    return (
        '<div class="sweep-scroll" tabindex="0" aria-label="Trials"><table class="sweep-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def ordered(trials: Sequence[Mapping[str, Any]], metric: str) -> list[Mapping[str, Any]]:
    """Those that came further first, then the better ones: losses of different steps do not compare."""
    sign = -1.0 if metric in HIGHER else 1.0

    def key(trial: Mapping[str, Any]) -> tuple[bool, float, float]:
        known = is_number(trial["value"])
        return not known, -trial["step"] if known else 0, sign * trial["value"] if known else 0

    return sorted(trials, key=key)


def parallel(name: str, trials: Sequence[Mapping[str, Any]], axes: Sequence[str], metric: str) -> "go.Figure":
    """Parallel coordinates: a line a trial through its values to what came of it; blue ones are the best.

    Lines of SVG, unlike Plotly's own parallel coordinates, which need WebGL and tell nothing when pointed at.
    """
    import numpy as np
    import plotly.graph_objects as go

    shown = [trial for trial in trials if is_number(trial["value"])]
    columns = [_Column([t["values"].get(key) for t in trials], key.rpartition(".")[2]) for key in axes]
    columns.append(_Column([t["value"] for t in shown], SHORT.get(metric, metric), result=True))
    figure = go.Figure()
    places = np.arange(len(columns), dtype=np.float32)
    last = columns[-1]
    for trial in reversed(ordered(shown, metric)):  # the best on top
        heights = [column.place(trial["values"].get(key)) for column, key in zip(columns, axes)]
        end = last.place(trial["value"])
        share = (1 - end) if metric in HIGHER else end
        told = "<br>".join(f"{escape(key.rpartition('.')[2])} {escape(show(trial['values'].get(key)))}" for key in axes)
        figure.add_scatter(
            x=places, y=np.array([*heights, end], dtype=np.float32), mode="lines+markers",
            line={"color": colour(share), "width": 2}, marker={"size": 6},
            opacity=0.9 if trial["state"] in ("done", "running", "resting") else 0.65, showlegend=False,
            hovertemplate=f"<b>{escape(str(trial['run']))}</b><br>{told}<br>{METRICS.get(metric, metric)} "
            f"{trial['value']:.4f} at step {trial['step']:,}<extra></extra>",
        )  # fmt: skip
    for place, column in enumerate(columns):
        figure.add_shape(type="line", x0=place, x1=place, y0=0, y1=1, line={"color": GRID, "width": 1}, layer="below")
        side = "left" if place == 0 else "right" if place == len(columns) - 1 else ""
        figure.add_annotation(
            x=place, y=1.07, text=escape(column.title), showarrow=False, yanchor="bottom", font={"size": 13},
            xanchor=side or "center", xshift={"left": -66, "right": 46, "": 0}[side],
        )  # fmt: skip
        for height, text in column.labels():  # beside the lines at the ends, above them in the middle
            figure.add_annotation(
                x=place, y=height, text=escape(text), showarrow=False, font={"size": 12},
                xanchor="right" if side == "left" else "left", xshift={"left": -7, "right": 7, "": 4}[side],
                yshift=0 if side else 9,
            )  # fmt: skip
    hidden = {"visible": False, "fixedrange": True}
    figure.update_layout(
        height=HEIGHT, margin={"l": 74, "r": 48, "t": 4, "b": 4}, uirevision=name, hovermode="closest",
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13, "family": "system-ui, sans-serif"},
        xaxis={**hidden, "range": [-0.02, len(columns) - 0.98]}, yaxis={**hidden, "range": [-0.06, 1.2]},
    )  # fmt: skip
    if not shown:
        figure.add_annotation(text="A line for each trial, once it has validated.", showarrow=False, x=0.5, y=0.5,
                              xref="paper", yref="paper")  # fmt: skip
    return figure


def colour(share: float) -> str:
    """
    >>> colour(0.0), colour(0.25)
    ('rgb(0, 114, 178)', 'rgb(102, 118, 172)')
    """
    place = min(int(share * 2), 1)
    first, second = COLOURS[place], COLOURS[place + 1]
    return f"rgb({', '.join(str(round(a + (b - a) * (share * 2 - place))) for a, b in zip(first, second))})"


class _Column:
    """Values of one key along a line from 0 to 1: numbers by size (by order of magnitude, if they span several), all
    else in the order in which it comes."""

    def __init__(self, values: Sequence[Any], title: str, result: bool = False) -> None:
        self.title, self.result = title, result
        self.numbers = sorted({float(v) for v in values if is_number(v)})
        self.is_number = all(is_number(v) for v in values) and bool(values)
        self.names = list(dict.fromkeys(show(v) for v in values))
        self.log = self.is_number and self.numbers[0] > 0 and self.numbers[-1] / self.numbers[0] >= 5 and not result

    def place(self, value: Any) -> float:
        if not self.is_number:
            return self._share(self.names.index(show(value)), 0, len(self.names) - 1)
        low, high, value = self.numbers[0], self.numbers[-1], float(value)
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self._share(value, low, high)

    @staticmethod
    def _share(value: float, low: float, high: float) -> float:
        return (value - low) / (high - low) if high > low else 0.5

    def labels(self) -> list[tuple[float, str]]:
        """(height, text) of the ends and of what lies between them far enough apart."""
        if self.is_number:
            texts = [(self.place(n), f"{n:.3g}" if not self.result else f"{n:.3f}") for n in self.numbers]
        else:
            texts = [(self.place_name(name), name) for name in self.names]
        kept: list[tuple[float, str]] = []
        for height, text in [*texts[:1], *texts[-1:], *texts[1:-1]]:
            if all(abs(height - other) > 1 / LABELS for other, _ in kept):
                kept.append((height, text if len(text) <= 18 else text[:17] + "…"))
        return kept

    def place_name(self, name: str) -> float:
        return self._share(self.names.index(name), 0, len(self.names) - 1)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def show(value: Any) -> str:
    """
    >>> show(0.0031622), show(True), show([0.9, 0.98]), show("cosine"), show(4096)
    ('0.003162', 'true', '[0.9, 0.98]', 'cosine', '4,096')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
