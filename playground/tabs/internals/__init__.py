"""The Internals tab: what the header's model makes of the header's text on the way to its logits."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gradio as gr

from core.errors import UserError
from playground import models
from playground.header import Header
from playground.parts import QUIET, Parts, build_parts
from playground.readings import Work, reading_of, stamp
from playground.site import OWN, Site
from playground.tabs.internals import ablation, attribution, lens
from playground.tabs.target import TargetRow, build_target, show_target, typed_target, wire_target
from playground.views.notice import notice

NAME = "Internals"
PARTS: dict[str, ModuleType] = {"Lens": lens, "Attribution": attribution, "Ablation": ablation}
STEADY = ("Lens", "Attribution")


@dataclass(kw_only=True)
class InternalsTab(Parts):
    message: gr.HTML
    target: TargetRow

    @property
    def controls(self) -> list[Any]:
        return [self.message, *self.target.views]

    def refresh(
        self,
        tab: str,
        settled: tuple[str, str],
        target: Any,
        opened: str,
        drawn: dict[str, tuple[Any, ...]],
        *inputs: Any,
    ) -> list[Any]:
        """Something changed: message, target, work, what is drawn, and the views of the part that is open."""
        work = Work(*settled, typed_target(settled, target))
        if tab != NAME:
            return [gr.skip()] * (len(self.controls) + 2 + len(self.views))
        try:
            notes = " ".join(reading_of(work).notes)
            controls = [notice(notes, "info"), *show_target(work, settled, target)]
        except UserError:  # the open part says it
            controls = ["", gr.Row(visible=False), gr.skip()]
        if drawn.get(opened, ())[:2] == self.seen(work):  # by the part itself, which was opened
            return [*controls, *[gr.skip()] * (2 + len(self.views))]
        return [*controls, *self.redraw(work, opened, drawn, *inputs)]


def build(site: Site = OWN) -> InternalsTab:
    """The tab, empty: what it shows is computed when it is opened."""
    name, text = models.opening_work()
    message = gr.HTML("", js_on_load=None)
    target = build_target(site, "internals", None)
    built = build_parts(PARTS, site, Work(name or "", text), stamp, "internals-parts", STEADY)
    return InternalsTab(message=message, target=target, **built)


def wire(tab: InternalsTab, header: Header) -> None:
    """Follow the header and the target, while the tab is open."""
    gr.on(
        [header.turn(NAME)],
        tab.refresh,
        [header.opened, header.settled, header.target, tab.opened, tab.drawn, *tab.inputs],
        [*tab.controls, tab.work, tab.drawn, *tab.views],
        **QUIET,
    )
    wire_target(tab.target, header)
    tab.wire_parts()
    tab.parts["Lens"].figure.select(
        attribution.pick_in_lens, tab.parts["Attribution"].place, tab.parts["Attribution"].place,
        **QUIET | {"trigger_mode": "multiple"},
    )  # fmt: skip
