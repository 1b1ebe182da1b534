"""The Decoding tab: how the header's model goes on from the header's text, token by token, each part in its own way.

Nothing is computed before the tab is opened, and then only for the part that is open: it is given an order. Orders come
from one event alone, and each view is written by one event alone, which is asked again for what has changed meanwhile;
so no late answer can stand where a newer one belongs.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gradio as gr

from playground import models
from playground.header import Header
from playground.parts import QUIET
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


@dataclass(kw_only=True)
class DecodingTab:
    """parts: each has an `order`, a state that changes when the part is to do its work."""

    work: gr.State
    opened: gr.Textbox  # the name of the part that is open; the browser writes it
    told: gr.State  # part -> the work that it was told of last
    tabs: dict[str, gr.Tab]
    parts: dict[str, Any]

    @property
    def orders(self) -> list[gr.State]:
        return [part.order for part in self.parts.values()]

    @property
    def shared(self) -> dict[str, Any]:
        """What belongs in the page's address: names there -> components."""
        return {name: field for part in self.parts.values() for name, field in getattr(part, "shared", {}).items()}

    def on_load(self, demo: gr.Blocks, header: Header) -> None:
        """A page that is closed lets its columns and its places in texts go."""
        demo.unload(forget)

    def refresh(self, tab: str, settled: Sequence[str], opened: Any, told: dict[str, Any] | None) -> list[Any]:
        """Something changed, or another part was opened: the work, what parts were told of, and their orders."""
        work = Work(*settled)
        now = work, stamp(work)
        known = told or {}
        if tab != NAME or opened not in list(self.parts) or known.get(opened) == now:
            return [gr.skip()] * (2 + len(self.parts))
        orders = [time.monotonic_ns() if name == opened else gr.skip() for name in self.parts]
        return [work, known | {opened: now}, *orders]


def forget(request: gr.Request) -> None:
    columns.forget(request)
    next_token.forget(request)


def build(site: Site = OWN) -> DecodingTab:
    """The tab, empty: what it shows is computed when it is opened."""
    name, text = models.opening_work()
    work = Work(name or "", text)
    tabs, parts = {}, {}
    with gr.Tabs(elem_id="decoding-parts", elem_classes="parts"):
        for part, module in PARTS.items():
            with gr.Tab(part, id=part.lower(), elem_id=f"part-{part.lower().replace(' ', '-')}") as tab:
                tabs[part], parts[part] = tab, module.build(site, work)
    opened = gr.Textbox(next(iter(PARTS)), label="Part", visible="hidden", elem_id="decoding-opened")
    return DecodingTab(work=gr.State(work), opened=opened, told=gr.State(None), tabs=tabs, parts=parts)


def wire(tab: DecodingTab, header: Header) -> None:
    """Follow the header while the tab is open, and the part that is open."""
    for order in tab.orders:
        order.render()
    for name, opened in tab.tabs.items():
        opened.select(None, None, tab.opened, js=f"() => {json.dumps(name)}", api_visibility="private")
    gr.on(
        [header.turn(NAME), tab.opened.change],
        tab.refresh,
        [header.opened, header.settled, tab.opened, tab.told],
        [tab.work, tab.told, *tab.orders],
        **QUIET,
    )
    for name, part in tab.parts.items():
        PARTS[name].wire(part, tab.work)
    columns.wire_loading(tab.parts["Side by side"], tab.work, header)
