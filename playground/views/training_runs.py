"""The list of runs as a table. Pure functions: plain values -> HTML."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from playground.views.training import short_state

FAMILIES = {"transformer": "Transformer", "gpt": "GPT", "llama": "Llama"}


@dataclass(frozen=True)
class RunRow:
    """What the table says of a run."""

    name: str
    state: str  # as in status.json, or "bundled" or "broken"
    family: str = ""
    step: int = 0
    steps: int = 0
    best_loss: float | None = None
    score: str = ""
    started: float = 0.0  # time.time(); 0: not known
    note: str = ""
    problem: str = ""


def runs_html(rows: Sequence[RunRow], followed: str | None, now: float | None = None) -> str:
    """A table with a button a run, which follows it."""
    if not rows:
        return '<p class="training-empty">There are no runs yet.</p>'
    body = "".join(_row(row, row.name == followed, now or time.time()) for row in rows)
    titles = ("run", "state", "family", "steps", "best loss", "score", "started", "note")
    head = "".join(f'<th scope="col">{title}</th>' for title in titles)
    return (
        '<div class="scroller training-runs"><table aria-label="All runs">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: RunRow, followed: bool, now: float) -> str:
    steps = f"{row.step:,}" + (f" of {row.steps:,}" if row.steps and row.steps != row.step else "")
    state = row.state if row.state in ("bundled", "broken") else short_state(row.state)
    note = escape(row.note) or (f'<span class="training-why">{escape(row.problem)}</span>' if row.problem else "")
    loss = "" if row.best_loss is None else f"{row.best_loss:.3f}"
    return (
        f"<tr{' class=followed aria-current=true' if followed else ''}>"
        f'<th scope="row"><button type="button" data-run="{escape(row.name)}">{escape(row.name)}</button></th>'
        f'<td><span class="training-badge training-{escape(row.state)}">{escape(state)}</span></td>'
        f"<td>{escape(FAMILIES.get(row.family, row.family))}</td>"
        f'<td class="number">{steps if row.step or row.steps else ""}</td>'
        f'<td class="number">{loss}</td><td class="number">{escape(row.score)}</td>'
        f"<td>{escape(ago(row.started, now))}</td><td>{note}</td></tr>"
    )


def ago(then: float, now: float) -> str:
    """When something was, from seconds since the epoch.

    >>> ago(0, 100), ago(940, 1000), ago(1000, 8200), ago(1000, 200_000)
    ('', '1 min ago', '2 h ago', '2 days ago')
    """
    if not 0 < then <= now + 60:
        return ""
    seconds = max(0, now - then)
    if seconds < 3600:
        return f"{seconds / 60:.0f} min ago" if seconds >= 30 else "just now"
    if seconds < 86_400:
        return f"{seconds / 3600:.0f} h ago"
    days = round(seconds / 86_400)
    return f"{days} day{'s' * (days != 1)} ago"
