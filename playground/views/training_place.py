"""What a place to train costs, and the runs that lie there. Pure functions."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from playground.views.training import WORDS, dollars, duration

if TYPE_CHECKING:
    from remote.client import Estimate


def gpu_label(name: str, memory_gib: int, usd_per_hour: float) -> str:
    """
    >>> gpu_label("L4", 24, 1.1)
    'L4 · 24 GiB · $1.10 an hour'
    """
    return f"{name} · {memory_gib} GiB · ${usd_per_hour:.2f} an hour"


def from_to(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def cost_words(estimate: "Estimate", steps: int, hours: float = 0.0, done: int = 0) -> str:
    """From the least to the most that is to be expected. steps: in all, of which `done` are made; hours: after which it
    stops."""
    time, price = from_to(*map(duration, estimate.seconds)), from_to(*map(dollars, estimate.usd))
    fewest, most = (min(steps, done + made) for made in estimate.steps)
    if fewest >= steps:
        return f"about {time}, {price}"
    where = from_to(about(fewest), about(most) if most < steps else f"{steps:,}")
    return f"about {time}, {price}; it stops after {hours:.3g} h, at about step {where} of {steps:,}"


def about(number: int) -> str:
    """
    >>> about(12_345), about(789), about(7)
    ('12,000', '790', '7')
    """
    return f"{round(number, 2 - len(str(number))):,}"


def cost_html(
    estimate: "Estimate", date: str, source: str, steps: int, hours: float = 0.0, done: int = 0, place: str = ""
) -> str:
    """`cost_words`, and what they are reckoned from. place: said before them, where nothing else says it."""
    words = cost_words(estimate, steps, hours, done)
    words = f"{place}: {words}" if place else words[0].upper() + words[1:]
    return (
        f'<p class="training-about">{escape(words)}'
        f"<br><span>{escape(dollars(estimate.usd_per_hour))} an hour with cores and memory, by the prices of "
        f"{escape(date)} ({escape(source)}); the bill is Modal's</span></p>"
    )


def remote_runs_html(runs: Sequence[Mapping[str, Any]], here: Sequence[str]) -> str:
    """The runs of the Volume, and which of them are on this machine too."""
    if not runs:
        return '<p class="training-empty">There are no runs on Modal yet.</p>'
    rows = "".join(
        f"<tr><th scope='row'>{escape(str(run.get('name', '')))}</th>"
        f"<td>{escape(WORDS.get(str(run.get('state')), str(run.get('state') or '–')))}</td>"
        f"<td>{escape(str(run.get('family') or '–'))}</td>"
        f"<td>{int(run.get('step') or 0):,} of {int(run.get('steps') or 0):,}</td>"
        f"<td>{'yes' if run.get('name') in here else 'no'}</td></tr>"
        for run in runs
    )
    head = "".join(f"<th scope='col'>{title}</th>" for title in ("run", "state", "family", "steps", "here too"))
    return (
        f'<div class="training-runs scroller"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
