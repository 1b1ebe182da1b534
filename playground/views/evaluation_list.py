"""The kept evaluations as a table: which are compared, which is opened, which goes. Pure functions, escaped texts."""

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape

from playground.views.training_runs import ago


@dataclass(frozen=True)
class KeptRow:
    """What the table says of an evaluation."""

    id: str
    run: str
    data: str
    how: str  # the strategy, or context and stride
    examples: str
    scores: str
    created: float
    state: str = "done"
    problem: str = ""  # why it cannot be read


def kept_html(
    rows: Sequence[KeptRow], chosen: Collection[str] = (), changing: bool = True, now: float | None = None
) -> str:
    """The table: a box for each that is to be compared, a button that opens it and one that deletes it.

    changing: whether evaluations can be deleted here.
    """
    if not rows:
        return (
            '<p class="nothing">Nothing has been measured here yet: what is measured under “Measure”, or with '
            "<code>llm-scratch eval</code>, is listed here.</p>"
        )
    heads = ("", "run", "data", "how", "measured", "scores", "when", "")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    body = "".join(_row(row, row.id in chosen, changing, now or time.time()) for row in rows)
    return (
        '<div class="scroller evaluation-kept" tabindex="0" role="region" aria-label="Kept evaluations"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _row(row: KeptRow, chosen: bool, changing: bool, now: float) -> str:
    name = escape(row.id)
    called = escape(f"{row.run} on {row.data}, {row.how}")
    box = (
        f'<input type="checkbox" data-act="choose" data-id="{name}" aria-label="Compare {called}"{" checked" * chosen}>'
    )
    open_it = f'<button type="button" data-act="open" data-id="{name}" title="Show it">{escape(row.run)}</button>'
    delete = (
        f'<button type="button" class="evaluation-delete" data-act="delete" data-id="{name}" '
        f'aria-label="Delete {called}">Delete</button>'
    )
    if row.problem:
        return (
            f'<tr><td></td><th scope="row">{escape(row.run)}</th><td colspan="5" class="evaluation-problem">'
            f"{escape(row.problem)}</td><td>{delete if changing else ''}</td></tr>"
        )
    state = ' <span class="evaluation-state">stopped</span>' if row.state != "done" else ""
    return (
        f'<tr><td>{box if row.state == "done" else ""}</td><th scope="row">{open_it}</th>'
        f'<td data-label="data">{escape(row.data)}</td><td data-label="how">{escape(row.how)}</td>'
        f'<td class="number" data-label="measured">{escape(row.examples)}{state}</td>'
        f'<td data-label="scores">{escape(row.scores)}</td><td data-label="when">{escape(ago(row.created, now))}</td>'
        f"<td>{delete if changing else ''}</td></tr>"
    )
