"""The parts of a logit as figures: bars, a map of layers and heads, and what a head read at each key."""

from collections.abc import Sequence

import numpy as np

from core.analysis.attribution import Attribution, Part
from playground.views.bars import bars_spec
from playground.views.figure import packed, spec

KINDS = {
    "embedding": "embeddings", "position": "embeddings", "head": "heads", "attention bias": "biases",
    "mlp": "feed-forward networks", "norm bias": "biases", "output bias": "biases",
}  # fmt: skip


def part_name(part: Part, cross: bool) -> str:
    """What a part is called, layers and heads from 1. cross: the model has cross-attention, so that it is said which.

    >>> part_name(Part("head", 0.5, 2, "cross", 4), True)
    'L3 · cross head 5'
    """
    attention = f"{part.attention} " if cross and part.attention else ""
    norm = f"the norm after {part.attention or 'feed-forward'}" if part.layer >= 0 else "the last norm"
    what = {
        "embedding": "token embedding", "position": "position embedding", "head": f"{attention}head {part.head + 1}",
        "attention bias": f"{attention or 'attention '}bias", "mlp": "feed-forward", "output bias": "output bias",
        "norm bias": f"bias of {norm}",
    }[part.kind]  # fmt: skip
    return f"L{part.layer + 1} · {what}" if part.layer >= 0 else what


def parts_spec(found: Attribution, title: str, subtitle: str, cross: bool, chosen: int | None = None) -> str:
    """All parts as bars, which can be summed by layers and by kinds. chosen: the place of a part that is looked at."""
    last = 1 + max(part.layer for part in found.parts)
    layers = [
        f"layer {part.layer + 1}" if part.layer >= 0 else "embeddings" if KINDS[part.kind] == "embeddings" else "output"
        for part in found.parts
    ]
    kinds = [
        KINDS[part.kind] + (f" ({part.attention})" if cross and part.kind == "head" else "") for part in found.parts
    ]
    gap = found.total - found.logit
    return bars_spec(
        "attribution", title, subtitle, [part_name(part, cross) for part in found.parts],
        np.array([part.value for part in found.parts]), groups={"layers": layers, "kinds of parts": kinds},
        total="sum of all parts", row_axis="every part", order="as the model writes them", sorted=True,
        sends=[i if part.kind == "head" else None for i, part in enumerate(found.parts)], chosen=chosen,
        note=f"The {len(found.parts)} parts in {last} layers sum to {found.total:.5f}; the model’s own number is "
        f"{found.logit:.5f} (difference {gap:.1e}). Norms are taken with the scale that they had. Choose a head to see "
        "where it read.",
    )  # fmt: skip


def map_columns(found: Attribution) -> list[tuple[str, str, int]]:
    """(name, attention, head) of the map's columns: heads of each kind, then the feed-forward network, head -1."""
    kinds = list(dict.fromkeys(part.attention for part in found.parts if part.kind == "head"))
    cross = len(kinds) > 1
    heads = [
        (f"{kind} {head + 1}" if cross else f"head {head + 1}", kind, head)
        for kind in kinds
        for head in range(found.heads(kind).shape[1])
    ]
    return [*heads, ("feed-forward", "", -1)]


def map_spec(found: Attribution, title: str, subtitle: str) -> str:
    """Layers by heads and networks: blue speaks for the token, orange against it."""
    columns = map_columns(found)
    layers = 1 + max(part.layer for part in found.parts)
    values = np.zeros((layers, len(columns)), np.float32)
    place = {(kind, head): column for column, (_, kind, head) in enumerate(columns)}
    for part in found.parts:
        if part.kind in ("head", "mlp"):
            values[part.layer, place[part.attention, part.head]] = part.value
    return spec(
        "heatmap", "attribution-map", title, subtitle, values=packed(values), diverging=True, clicks=True,
        rows=[f"layer {layer + 1}" for layer in range(layers)], columns=[name for name, _, _ in columns],
        row_axis="layer", column_axis="what writes", row_name="layer", column_name="column", plain_names=True,
        note="Blue speaks for the token, orange against it. Choose a head to see where it read.",
    )  # fmt: skip


def keys_spec(shares: np.ndarray, keys: Sequence[str], title: str, subtitle: str) -> str:
    """Of what a head adds, the share that it read at each key."""
    return bars_spec(
        "attribution-keys", title, subtitle, [f"{i} · {key}" for i, key in enumerate(keys)], shares,
        total="the head’s part", row_axis="key", order="as in the text", sorted=len(keys) > 40, digits=4,
        note="Weight × value, through the head’s output matrix, times the token’s direction.",
    )  # fmt: skip
