"""The Evaluate tab: how good the header's model is, in numbers that others can check, each part in its own way.

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
from playground.tabs.decoding.work import Work, stamp
from playground.tabs.evaluate import compare, lines, measure, outcomes, text

NAME = "Evaluate"
PARTS: dict[str, ModuleType] = {"Measure": measure, "Compare": compare, "Text": text}


@dataclass(kw_only=True)
class EvaluateTab(Parts):
    site: Site

    def on_load(self, demo: gr.Blocks, header: Header) -> None:
        """A page that is closed lets its evaluations go."""
        demo.unload(outcomes.forget)

    def refresh(
        self, tab: str, settled: tuple[str, str], opened: str, drawn: dict[str, tuple[Any, ...]], *inputs: Any
    ) -> list[Any]:
        """Something changed: the work, what is drawn, and the views of the part that is open."""
        work = Work(*settled)
        if tab != NAME or drawn.get(opened, ())[:2] == self.seen(work):
            return [gr.skip()] * (2 + len(self.views))
        return self.redraw(work, opened, drawn, *inputs)


def build(site: Site = OWN) -> EvaluateTab:
    """The tab, empty: what it shows is computed when it is opened."""
    name, words = models.opening_work()
    return EvaluateTab(site=site, **build_parts(PARTS, site, Work(name or "", words), stamp, "evaluate-parts"))


def wire(tab: EvaluateTab, header: Header) -> None:
    """Follow the header while the tab is open."""
    gr.on(
        [header.turn(NAME)],
        tab.refresh,
        [header.opened, header.settled, tab.opened, tab.drawn, *tab.inputs],
        [tab.work, tab.drawn, *tab.views],
        **QUIET,
    )
    tab.wire_parts()
    for part in (tab.parts["Measure"], tab.parts["Compare"]):
        lines.wire_lines(part.lines, tab.site)
        lines.wire_looking(part.lines, header)
    compare.wire_kept(tab.parts["Compare"], tab.parts["Measure"], tab.site)
