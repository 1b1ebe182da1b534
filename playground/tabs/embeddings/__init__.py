"""The Embeddings tab: which vectors, of the header's model or of one's own, and the parts that show them."""

from collections.abc import Hashable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gradio as gr

from core.errors import UserError
from playground import models, vectors
from playground.header import Header
from playground.parts import QUIET, Parts, build_parts
from playground.site import OWN, Site, here
from playground.tabs.embeddings import map, positions, word2vec
from playground.tabs.embeddings.word2vec import Change
from playground.vectors import INPUT, Work
from playground.views.notice import notice

NAME = "Embeddings"
PARTS: dict[str, ModuleType] = {"Map": map, "Word2Vec": word2vec, "Positions": positions}
STEADY = ("Positions",)
TIED = "This model makes its logits with its input embeddings: both are the same vectors."


@dataclass(kw_only=True)
class EmbeddingsTab(Parts):
    site: Site
    source: gr.Dropdown
    message: gr.HTML

    @property
    def shared(self) -> dict[str, Any]:
        return {"vectors": self.source} | super().shared

    def refresh(
        self, tab: str, settled: tuple[str, str], source: str | None, opened: str, drawn: dict[str, tuple[Any, ...]],
        *inputs: Any,
    ) -> list[Any]:  # fmt: skip
        """Something changed: the message, the work, what is drawn, and the views of the part that is open."""
        work = Work(*settled, source if isinstance(source, str) else INPUT)
        if tab != NAME or drawn.get(opened, ())[:2] == self.seen(work):
            return [gr.skip()] * (3 + len(self.views))
        try:
            told = notice(TIED, "info") if vectors.is_tied(work) else ""
        except UserError:  # the part that is open says it
            told = ""
        return [told, *self.redraw(work, opened, drawn, *inputs)]

    def on_load(self, demo: gr.Blocks, header: Header) -> None:
        """Word vectors that were trained since the server started are offered when a page opens."""
        demo.load(self.refresh_vectors, None, self.source, api_visibility="private", show_progress="hidden")

    def refresh_vectors(self) -> Any:
        return gr.Dropdown(choices=vectors.choices(self.site))


def stamp(work: Work) -> Hashable:
    """Equal as long as the vectors and the model are the same."""
    return vectors.stamp(work), vectors.stamp(work._replace(source=INPUT))


def build(site: Site = OWN) -> EmbeddingsTab:
    """The tab, with nothing drawn yet: it is when the tab is opened."""
    name, text = models.opening_work()
    with gr.Row(elem_classes="toolbar"):
        source = gr.Dropdown(
            vectors.choices(site), value=INPUT, label="Vectors", elem_id="vectors", elem_classes="grow"
        )
    message = gr.HTML("", elem_id="embeddings-message", js_on_load=None)
    built = build_parts(PARTS, site, Work(name or "", text), stamp, "embeddings-parts", STEADY)
    return EmbeddingsTab(site=site, source=source, message=message, **built)


def wire(tab: EmbeddingsTab, header: Header) -> None:
    """Follow the header and the choice of vectors. What is trained is chosen."""
    gr.on(
        [header.turn(NAME), tab.source.change],
        tab.refresh,
        [header.opened, header.settled, tab.source, tab.opened, tab.drawn, *tab.inputs],
        [tab.message, tab.work, tab.drawn, *tab.views],
        **QUIET,
    )
    tab.wire_parts()
    own = tab.parts["Word2Vec"]
    if own.is_here:
        own.changed.change(choose_vectors, [own.changed, tab.source], tab.source, **QUIET)


def choose_vectors(changed: Change, source: str | None) -> Any:
    """The picker of vectors after a change of one's own: new ones are chosen, those that are gone no more."""
    choices = vectors.choices(here())
    if changed[0]:
        return gr.update(choices=choices, value=vectors.OWN + changed[0])
    gone = (source or "").startswith(vectors.OWN) and source not in [value for _, value in choices]
    return gr.update(choices=choices, value=INPUT) if gone else gr.update(choices=choices)
