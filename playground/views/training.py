"""A training run as it stands: figures with their small curves, samples as they change, log. Pure functions."""

import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from playground.views.series import sparkline

if TYPE_CHECKING:
    from core.run import RunInfo, Status

SHOWN_STEPS = 6  # of the samples
WORDS = {
    "queued": "waiting to start", "running": "training", "paused": "paused", "stopping": "stopping after this step",
    "done": "done", "failed": "failed", "cancelled": "stopped",
}  # fmt: skip


def status_html(
    name: str, status: "Status", figures: Mapping[str, np.ndarray], snapshots: int = 0, wandb_sync: str = "",
    pausing: bool = False,
) -> str:  # fmt: skip
    """State, how far it is, how fast, how long still, and every figure with its small curve.

    figures: columns of metrics.jsonl. snapshots: kept copies of the weights. wandb_sync: the command that sends what
    was logged offline. pausing: it was asked to pause, and has not yet.
    """
    share = min(1.0, max(0.0, status.step / status.steps)) if status.steps > 0 else 0.0
    tiles = "".join(
        f'<div class="training-tile"><dt>{escape(title)}</dt><dd>{escape(value)}</dd>{curve}</div>'
        for title, value, curve in tiles_of(status, figures, snapshots)
    )
    what = WORDS.get(status.state, status.state)
    if pausing and status.state in ("queued", "running"):
        what = "pausing after this step"
    message = "" if status.message in ("training", "finished", "paused", "") else status.message
    doing = f' <span class="training-doing">{escape(message)}</span>' if message and not status.error else ""
    place = f" on {escape(place_of(status))}" if status.backend != "local" else ""
    bar = ""
    if status.steps > 0:
        bar = (
            '<div class="training-bar" role="progressbar" aria-label="steps done" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{share * 100:.0f}">'
            f'<span style="width:{share * 100:.1f}%"></span></div>'
        )
    told = f'<p class="training-note training-problem">{escape(status.error)}</p>' if status.error else ""
    return (
        f'<div class="training-status"><p class="training-state"><b>{escape(name)}</b> '
        f'<span class="training-badge training-{escape(status.state)}">{escape(what)}</span>'
        f"{place}{doing}{_wandb(status.wandb_url, wandb_sync)}</p>"
        f'{bar}<dl class="training-tiles">{tiles}</dl>{told}</div>'
    )


def tiles_of(status: "Status", figures: Mapping[str, np.ndarray], snapshots: int = 0) -> list[tuple[str, str, str]]:
    """(title, value, SVG of its small curve) of what is known of a run."""

    def last(key: str) -> float | None:
        found = figures[key][np.isfinite(figures[key])]
        return float(found[-1]) if len(found) else None

    def best(key: str, choose: Any = np.max) -> float | None:
        found = figures[key][np.isfinite(figures[key])]
        return float(choose(found)) if len(found) else None

    rows: list[tuple[str, str, str]] = []

    def add(title: str, value: str | None, key: str = "") -> None:
        if value is not None:
            rows.append((title, value, sparkline(figures[key]) if key else ""))

    def shown(value: float | None, form: str) -> str | None:
        return None if value is None else format(value, form)

    steps = figures["step"]
    step = status.step or (int(steps.max()) if len(steps) else 0)
    if step or status.steps:  # an imported one has none
        add("step", f"{step:,}" + (f" of {status.steps:,}" if status.steps else ""))
    if status.is_active and status.eta is not None and math.isfinite(status.eta):
        add("time left", duration(status.eta))
    seconds = max(status.seconds, best("seconds") or 0.0)
    if seconds:
        add("trained for", duration(seconds))
    add("training loss", shown(last("loss"), ".3f"), "loss")
    add("best validation loss", shown(best("val_loss", np.min), ".3f"), "val_loss")
    lowest = best("val_loss", np.min)
    add("perplexity", None if lowest is None else perplexity(lowest))
    add("BLEU", shown(last("bleu"), ".1f"), "bleu")
    add("chrF", shown(last("chrf"), ".1f"), "chrf")
    add("bits per byte", shown(best("val_bits_per_byte", np.min), ".3f"), "val_bits_per_byte")
    add("learning rate", shown(last("lr"), ".2e"), "lr")
    add("gradient norm", shown(last("grad_norm"), ".2f"), "grad_norm")
    add("tokens/s", shown(status.tokens_per_second or last("tokens_per_second"), ",.0f"), "tokens_per_second")
    peak = status.peak_share if status.peak_share is not None else last("peak_share")
    add("share of peak", None if peak is None else f"{100 * peak:.0f}%", "peak_share")
    memory = status.memory_bytes or last("memory_bytes")
    add("memory", None if not memory else gigabytes(memory))
    if status.price_per_hour > 0:
        # Only the time on that machine: some of its steps may have been made on one's own.
        add("price so far", dollars(status.price_per_hour * status.rented_seconds / 3600))
        if status.is_active and status.eta is not None:
            add("price in all, about", dollars(status.price_per_hour * (status.rented_seconds + status.eta) / 3600))
    if snapshots:
        add("snapshots", f"{snapshots}")
    return rows


def perplexity(loss: float) -> str:
    """
    >>> perplexity(2.0), perplexity(9.0), perplexity(1000.0)
    ('7.389', '8,103', 'over 1e+15')
    """
    if loss > 34:
        return "over 1e+15"
    value = math.exp(loss)
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.4g}"


def gigabytes(number: float) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def dollars(amount: float) -> str:
    return f"${amount:,.2f}"


def _wandb(url: str, sync: str) -> str:
    """The link to the run's page, or how to send what was logged offline. Only https links are links."""
    if re.fullmatch(r"https://[\w.-]+(:\d+)?(/[^\s\"<>]*)?", url):
        return f' <a class="download" href="{escape(url)}" target="_blank" rel="noopener noreferrer">wandb ↗</a>'
    if sync:
        return f' <span class="training-sync">wandb: offline; <code>{escape(sync)}</code> sends it</span>'
    return ""


def samples_html(samples: Sequence[dict[str, Any]], trained_here: bool = True) -> str:
    """What the model made of the same few texts at each time it was asked, the newest first."""
    shown = [line for line in samples if _is_sample(line)][::-1]
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


def _is_sample(line: dict[str, Any]) -> bool:
    found = line.get("samples")
    return isinstance(found, list) and all(isinstance(one, dict) for one in found) and isinstance(line.get("step"), int)


def log_html(log: str) -> str:
    return f'<pre class="training-log" tabindex="0" aria-label="Log">{escape(log) or "The log is empty."}</pre>'


def run_label(info: "RunInfo") -> str:
    """A run in the list of runs to follow."""
    status = info.status
    if info.error:
        return f"{info.name} · broken"
    place = " on Modal" if status.backend == "modal" and status.is_active else ""
    return f"{info.name} · {'bundled' if info.bundled else short_state(status.state)}{place}"


def place_of(status: "Status") -> str:
    """Where a run trains that does not train here."""
    name = "Modal" if status.backend == "modal" else status.backend
    return f"{name}, {status.machine}" if status.machine else name


def short_state(state: str) -> str:
    return {"queued": "waiting", "running": "training", "cancelled": "stopped"}.get(state, state)


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
