"""From scores to weights as a figure: one query of one head, what each key gets of it, and why."""

from collections.abc import Sequence

import numpy as np

from core.analysis.look import Look
from playground.views.figure import packed, spec

KEYS = 512  # that are sent at most, and
NUMBERS = 2**16  # of keys and of values together; of a longer text those with the largest weights


def look_spec(
    look: Look, query_name: str, keys: Sequence[str], title: str, file_name: str, rotary: bool, written: str = ""
) -> str:
    """The figure of a `Look`. query_name, keys: names of the tokens. written: what a decoder writes at the query's
    place. rotary: queries and keys are those after rotary positions."""
    sent = strongest(look, max(16, min(KEYS, NUMBERS // (2 * len(look.q)))))
    subtitle = f"query {look.query} · {query_name}"
    if written:
        subtitle += f" (goes on to write {written})"
    subtitle += f" · {len(look.q)} numbers a head"
    if rotary:
        subtitle += " · q and k after rotary positions"
    weights, norms = look.weights, look.value_norms
    return spec(
        "look", file_name, title, subtitle, query=look.query, query_name=query_name, keys=[keys[j] for j in sent],
        places=sent.tolist(), count=len(keys), hidden=int((~look.visible).sum()), divisor=look.divisor,
        softmax=packed(np.array([look.largest, look.exponentials.sum()])), best=int(weights.argmax()), q=packed(look.q),
        k=packed(look.k[sent]), v=packed(look.v[sent]), dots=packed(look.dots[sent]), scores=packed(look.scores[sent]),
        seen=packed(look.visible[sent], "u1"), powers=packed(look.exponentials[sent]), weights=packed(weights[sent]),
        norms=packed(norms[sent]), output=packed(look.output),
    )  # fmt: skip


def strongest(look: Look, most: int) -> np.ndarray:
    """Places of at most `most` keys, in the order of the text: all, or those with the largest weights."""
    count = len(look.k)
    if count <= most:
        return np.arange(count)
    return np.sort(np.argsort(-look.weights, kind="stable")[:most])


def query_choices(names: Sequence[str], reads: Sequence[str] | None = None) -> list[tuple[str, int]]:
    """(label, place) of the queries. reads: what each has read, where `names` say what it writes."""
    if reads is None:
        return [(f"{place} · {name}", place) for place, name in enumerate(names)]
    return [(f"{place} · {read} → {name}", place) for place, (read, name) in enumerate(zip(reads, names))]
