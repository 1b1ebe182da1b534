"""The Decoding tab: how the header's model goes on from the header's text, token by token, each part in its own way.

Nothing is computed before the tab is opened, and then only for the part that is open.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gradio as gr

from playground import models
from playground.header import Header
from playground.parts import QUIET, Parts, build_parts
from playground.site import OWN, Site
from playground.tabs.decoding import assisted, columns, degeneration, next_token, translation, tree
from playground.tabs.decoding.work import Work, stamp

NAME = "Decoding"
PARTS: dict[str, ModuleType] = {
    "Side by side": columns,
    "Next token": next_token,
    "Beam tree": tree,
    "Translation": translation,
    "Assisted": assisted,
    "Degeneration": degeneration,
}
STEADY = ("Side by side", "Beam tree", "Translation")  # follow from the work and from their own fields alone


@dataclass(kw_only=True)
class DecodingTab(Parts):
    def on_load(self, demo: gr.Blocks, header: Header) -> None:
        """A page that is closed lets its columns go."""
        demo.unload(columns.forget)

    def refresh(
        self, tab: str, settled: tuple[str, str], opened: str, drawn: dict[str, tuple[Any, ...]], *inputs: Any
    ) -> list[Any]:
        """Something changed: the work, what is drawn, and the views of the part that is open."""
        work = Work(*settled)
        if tab != NAME or drawn.get(opened, ())[:2] == self.seen(work):
            return [gr.skip()] * (2 + len(self.views))
        return self.redraw(work, opened, drawn, *inputs)


def build(site: Site = OWN) -> DecodingTab:
    """The tab, empty: what it shows is computed when it is opened."""
    name, text = models.opening_work()
    return DecodingTab(**build_parts(PARTS, site, Work(name or "", text), stamp, "decoding-parts", STEADY))


def wire(tab: DecodingTab, header: Header) -> None:
    """Follow the header while the tab is open."""
    gr.on(
        [*header.changes, header.opened.change],
        tab.refresh,
        [header.opened, header.settled, tab.opened, tab.drawn, *tab.inputs],
        [tab.work, tab.drawn, *tab.views],
        **QUIET,
    )
    tab.wire_parts()
    columns.wire_loading(tab.parts["Side by side"], tab.work, header)
