"""Ablation as figures: the switches of all heads and networks, and what they change, before and after."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from core.analysis.ablation import Ablation
from playground.views.bars import bars_spec
from playground.views.figure import packed, spec

TITLES = {
    "cross": "Cross-attention", "self": "Self-attention", "encoder": "Encoder self-attention", "mlp": "Feed-forward",
    "encoder mlp": "Encoder feed-forward",
}  # fmt: skip
LOSSES = 400  # tokens whose loss is drawn: those that change the most


def switches_spec(
    blocks: Sequence[tuple[str, int, int]],
    off: Sequence[str],
    model: str,
    decoder: bool = False,
    changes: Mapping[str, np.ndarray] | None = None,
    note: str = "",
) -> str:
    """The figure of all switches. blocks: (kind of TITLES, layers, heads; of networks 1).

    off: names of the parts that are switched off, such as "self.1.2" and "mlp.3.1"; what is clicked is sent as {"off":
    all names}. model: whose parts they are; of the same model the figure keeps its own switches. changes: of a kind
    (layers, heads) how the loss changes when a part alone is switched off, NaN where that is not known.
    """
    made = []
    for kind, layers, heads in blocks:
        title = "Decoder self-attention" if decoder and kind == "self" else TITLES[kind]
        made.append({"kind": kind, "title": title, "layers": layers, "heads": heads})
        if changes and kind in changes:
            made[-1]["changes"] = packed(changes[kind])
    told = "Click a part to switch it off or on; a layer’s name switches its whole row."
    return spec(
        "switches", "ablation-heads", "Heads and feed-forward networks", told, blocks=made, off=list(off), of=model,
        note=note,
    )  # fmt: skip


def probabilities_spec(found: Ablation, names: Sequence[str], behind: str) -> str:
    """The next tokens' probabilities before and after."""
    both = np.stack([found.before.probabilities, found.after.probabilities], axis=1)
    return bars_spec(
        "ablation-next", "What comes next", f"behind “{behind}” (position {found.position})", names, both,
        series=("before", "after"), row_axis="token", order="by probability before", most=1.0,
    )  # fmt: skip


def losses_spec(found: Ablation, names: Sequence[str], what: str) -> str:
    """The loss of each token before and after; of a long text those tokens that change the most."""
    both = np.stack([found.before.losses, found.after.losses], axis=1)
    places = list(range(len(names)))
    note = "Choose a token to see what else may stand there." if places else "There is no token to predict."
    if len(places) > LOSSES:
        places = sorted(np.argsort(-np.abs(both[:, 1] - both[:, 0]), kind="stable")[:LOSSES].tolist())
        note += f" Here are the {LOSSES} tokens of {len(names):,} that change the most."
    return bars_spec(
        "ablation-losses", f"Loss of each token of the {what}", "nats: −ln of the probability that the model gave it",
        [f"{i} · {names[i]}" for i in places], both[places], series=("before", "after"), row_axis="token",
        order="as in the text", unit="nats", note=note, sends=places,
        chosen=places.index(found.position) if found.position in places else None,
    )  # fmt: skip


def outcome_html(found: Ablation, off: int, what: str) -> str:
    """The texts and the mean losses, side by side."""
    columns = []
    for title, outcome in (("Before", found.before), (f"After: {off} switched off" if off else "After", found.after)):
        text = escape(outcome.written) or '<span class="nothing">nothing</span>'
        loss = f"{outcome.losses.mean():.4f} nats a token" if len(outcome.losses) else "no token to predict"
        columns.append(
            f'<div class="outcome"><h3 class="small-title">{title}</h3><p class="caption">{what}</p>'
            f'<p class="outcome-text" dir="auto">{text}</p><p class="caption">loss <b>{loss}</b></p></div>'
        )
    change = "" if np.isnan(found.loss_change) else f"The loss changes by {found.loss_change:+.4f} nats a token."
    same = "The texts are the same. " if found.before.written == found.after.written else ""
    return f'<div class="outcomes">{"".join(columns)}</div><p class="caption">{same}{change}</p>'


def progress_html(done: int, count: int, state: str) -> str:
    """How far the parts have been switched off one by one. state: "running", "stopped" or "done"."""
    words = {"running": "switched off alone so far", "stopped": "were switched off alone; then it was stopped",
             "done": "were switched off, each alone"}[state]  # fmt: skip
    bar = (
        f'<progress max="{count}" value="{done}" aria-label="How far it is"></progress> ' if state == "running" else ""
    )
    return f'<p class="caption">{bar}{done} of {count} parts {words}.</p>'
