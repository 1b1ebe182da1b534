"""What the Attention and the Internals tab look at: a model's reading of a text, kept while its visitor looks at it."""

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import gradio as gr
import numpy as np
from gradio.context import LocalContext

from core.analysis.reading import Reading, read
from core.analysis.survey import Survey, survey
from core.errors import UserError
from playground import models
from playground.memory import Memory

EACH = 4  # readings that are kept for a visitor
TOTAL = 640 * 2**20  # bytes of all readings together; one alone is bounded by core.analysis.reading
NO_MODEL = "No model is chosen, so there is nothing to see: choose one above."


class Work(NamedTuple):
    """target: of a translator, what somebody typed; None: the model's own translation. kind, layer and head: what is
    looked at, counted from 0; "" and -1: whatever is best to begin with."""

    model: str
    text: str
    target: str | None = None
    kind: str = ""
    layer: int = -1
    head: int = -1


@dataclass
class Kept:
    """A reading with what was computed of it."""

    reading: Reading
    surveys: dict[str, Survey] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        return self.reading.nbytes + sum(seen.nbytes for seen in self.surveys.values())


_kept: Memory[Kept] = Memory(maximum=64, max_size=TOTAL, size=lambda kept: kept.nbytes, each=EACH)


def reading_of(work: Work) -> Reading:
    """The model's reading of the text. UserError when there is nothing to read."""
    return _of(work).reading


def survey_of(work: Work) -> Survey:
    """All heads of the work's kind of attention."""
    kept, kind = _of(work), work.kind
    if kind not in kept.surveys:
        kept.surveys[kind] = survey(kept.reading, kind)
    return kept.surveys[kind]


def stamp(work: Work) -> Hashable:
    """Equal as long as the model's files are the same."""
    try:
        return models.run_stamp(models.get_run(work.model)) if work.model else None
    except UserError:
        return None


def within(work: Work) -> Work:
    """The nearest work that the reading has: its kind, its layers, its heads. UserError as `reading_of`.

    Without a layer and a head it is the head that finds most of the keys.
    """
    reading = reading_of(work)
    kind = work.kind if work.kind in reading.kinds else reading.kinds[0]
    work = work._replace(kind=kind)
    layers, heads = reading.n_layers(kind), reading.n_heads
    if work.layer < 0 or work.head < 0:
        best = int(np.argmax(survey_of(work).scores["coverage"]))
        return work._replace(layer=best // heads, head=best % heads)
    return work._replace(layer=min(work.layer, layers - 1), head=min(work.head, heads - 1))


def forget(request: gr.Request) -> None:
    """A page was closed: let its readings go."""
    _kept.forget(str(request.session_hash or ""))


# ---- the place that is looked at, as one text: "cross.2.5" in the address, layer and head counted from 1


def place_of(work: Work) -> str:
    return f"{work.kind}.{work.layer + 1}.{work.head + 1}"


def at_place(work: Work, place: Any) -> Work:
    """The work at a place that somebody chose, or that a link names; what is no place changes nothing.

    >>> at_place(Work("m", "t"), "cross.2.5")
    Work(model='m', text='t', target=None, kind='cross', layer=1, head=4)
    >>> at_place(Work("m", "t"), "nonsense").kind
    ''
    """
    found = re.fullmatch(r"(cross|encoder|self)\.(\d{1,4})\.(\d{1,4})", place) if isinstance(place, str) else None
    if not found:
        return work
    return work._replace(kind=found[1], layer=max(0, int(found[2]) - 1), head=max(0, int(found[3]) - 1))


def _of(work: Work) -> Kept:
    if not work.model:
        raise UserError(NO_MODEL)
    run = models.get_run(work.model)
    target = work.target if run.is_translation else None
    key = models.run_stamp(run), work.text, target
    return _kept.get(key, lambda: Kept(read(run, work.text, target)), owner())


def owner() -> str:
    """The page that asks; "" outside of one."""
    request = LocalContext.request.get(None)
    return str(getattr(request, "session_hash", None) or "")
