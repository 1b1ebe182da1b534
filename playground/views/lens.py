"""The logit lens as a figure: layers by positions, with what each would predict and how long its vectors are."""

from collections.abc import Mapping, Sequence

import numpy as np

from core.analysis.lens import Lens, Norms
from playground.views.figure import packed, spec

ADDED = {"self": "self-attention", "cross": "cross-attention", "mlp": "the feed-forward network"}


def lens_spec(
    found: Lens,
    norms: Norms,
    names: Mapping[int, str],
    read: Sequence[str],
    written: Sequence[str],
    vocabulary: int,
    followed: str = "",
    part: str = "",
) -> str:
    """The figure. names: of all ids that the lens holds; read and written: of the tokens at its positions, and
    of those that come after them.

    followed: the name of the one token that is followed; "": at every position the text's own next token. part: which
    positions it is of, where it is not all of them.
    """
    words = {id: place for place, id in enumerate(sorted({*found.ids.ravel().tolist()}))}
    top = np.vectorize(words.__getitem__, otypes=[np.int64])(found.ids) if found.ids.size else found.ids
    chosen = np.array(found.layers)
    added = [
        {"title": ADDED[kind], "values": packed(_rows_of_layers(values, chosen)[:, found.positions])}
        for kind, values in norms.added.items()
    ]
    layers, positions = len(found.layers) - 1, len(found.positions)
    told = [f"{layers} layers × {positions} positions", f"vocabulary of {vocabulary:,}", *([part] if part else [])]
    return spec(
        "lens", "lens", "Logit lens: what each layer would predict", " · ".join(told),
        layers=found.layers, positions=found.positions, read=list(read), written=list(written), vocabulary=vocabulary,
        words=[names[id] for id in words], ids=list(words), top=packed(top, "u2"), shares=packed(found.probabilities),
        final=[names[id] for id in found.final.tolist()],
        followed=[names.get(id, "") for id in found.followed.tolist()], follows=followed,
        entropy=packed(found.entropy), divergence=packed(found.divergence),
        final_rank=packed(found.final_rank), final_logprob=packed(found.final_logprob),
        followed_rank=packed(found.followed_rank), followed_logprob=packed(found.followed_logprob),
        stream=packed(norms.stream[chosen][:, found.positions]), added=added,
    )  # fmt: skip


def _rows_of_layers(values: np.ndarray, layers: np.ndarray) -> np.ndarray:
    """What layers add, (n_layers, T), as rows of the lens: nothing is added where the embeddings stand."""
    nothing = np.full((1, values.shape[1]), np.nan, np.float32)
    return np.concatenate([nothing, values])[layers]
