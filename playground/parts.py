"""A tab of parts: each a tab inside the tab, of which only the one that is open is computed.

A part is a module with build(site, work), show(work, *inputs) and wire(part, work); what is shown of it are its
`views`, which follow from the work (what the whole tab is about: a text, a model, ...) and its `inputs`. So a change of
the work computes the open part, and opening a part computes it, if it was not drawn of the same work before.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import gradio as gr
from gradio.context import LocalContext

from playground.running import MOMENT, Latest, page_of
from playground.site import Site

# Of a dropdown whose choices follow from the work: a page may still hold a value of before, and Gradio would refuse
# every event that the field is an input of. Whoever reads it takes what is no choice for the first.
CHANGING: dict[str, Any] = {"allow_custom_value": True}
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}


@dataclass(kw_only=True)
class Parts:
    """modules: by the names of the parts. steady: parts whose views follow from the work and from their own fields
    alone. stamp: of a work, what its views follow from besides it (files that may change)."""

    modules: dict[str, ModuleType]
    steady: Sequence[str]
    stamp: Callable[[Any], Hashable]
    work: gr.State
    opened: gr.State  # the name of the part that is open
    drawn: gr.State  # part -> what it was drawn of last, as `seen` says it
    late: gr.State  # changes when the part that is open is found to be of a work before
    tabs: dict[str, gr.Tab]
    parts: dict[str, Any]
    moment: gr.Number  # when a part was opened, by the page's clock
    latest: Latest = field(default_factory=Latest)  # which part each page has opened last

    @property
    def inputs(self) -> list[Any]:
        return [component for part in self.parts.values() for component in part.inputs]

    @property
    def views(self) -> list[Any]:
        return [component for part in self.parts.values() for component in part.views]

    @property
    def shared(self) -> dict[str, Any]:
        """What belongs in the page's address: names there -> components."""
        fields: dict[str, Any] = {}
        for part in self.parts.values():
            fields |= getattr(part, "shared", {})
        return fields

    def seen(self, work: Any, fields: Sequence[Any] = ()) -> tuple[Any, ...]:
        """All that a part's views follow from: the work, its stamp, and the values of the part's inputs."""
        return work, self.stamp(work), *fields

    def redraw(self, work: Any, opened: str, drawn: dict[str, tuple[Any, ...]], *inputs: Any) -> list[Any]:
        """The work changed: the work, what is drawn, and the views of the part that is open."""
        return [work, drawn | {opened: self.seen(work, self.own(opened, inputs))}, *self.show(work, opened, *inputs)]

    def show(self, work: Any, opened: str, *inputs: Any) -> list[Any]:
        """Values for `views`, all but the opened part's as they are."""
        shown: list[Any] = []
        for name, part in self.parts.items():
            if name == opened:
                shown += self.modules[name].show(work, *self.own(name, inputs))
            else:
                shown += [gr.skip()] * len(part.views)
        return shown

    def own(self, name: str, inputs: Sequence[Any]) -> Sequence[Any]:
        """The values of one part's inputs, of those of all parts."""
        start = 0
        for part_name, part in self.parts.items():
            if part_name == name:
                return inputs[start : start + len(part.inputs)]
            start += len(part.inputs)
        raise KeyError(name)

    def opening(self, name: str) -> Callable[..., Any]:
        """What happens when a part is opened: nothing, if all that it shows is there. (What somebody types into it
        meanwhile would be answered too, and the answer to the opening could come after that.) Of parts that are opened
        one after the other the last one is open, whichever is begun or drawn first."""

        def open_part(work: Any, drawn: dict[str, tuple[Any, ...]], *given: Any) -> Any:
            page = page_of(LocalContext.request.get(None))
            *inputs, moment = given
            if not self.latest.is_latest(page, name, moment):
                return [gr.skip()] * (2 + len(self.parts[name].views))
            if name in self.steady and drawn.get(name) == self.seen(work, inputs):
                return name, gr.skip(), *[gr.skip()] * len(self.parts[name].views)
            now_drawn = drawn | {name: self.seen(work, inputs)}
            shown = self.modules[name].show(work, *inputs)
            return name if self.latest.last(page) in (name, "") else gr.skip(), now_drawn, *shown

        return open_part

    def catch_up(self, drawn: dict[str, tuple[Any, ...]], opened: str, work: Any, *inputs: Any) -> list[Any]:
        """A part that was opened while the work changed is still of the work before: draw it once more."""
        if drawn.get(opened, ())[:2] == self.seen(work):
            return [gr.skip(), *[gr.skip()] * len(self.views)]
        return [drawn | {opened: self.seen(work, self.own(opened, inputs))}, *self.show(work, opened, *inputs)]

    def find_late(self, drawn: dict[str, tuple[Any, ...]], opened: str, work: Any) -> Any:
        """Whether there is something to catch up with. (Asked after every drawing, so of three fields only.)"""
        return gr.skip() if drawn.get(opened, ())[:2] == self.seen(work) else time.monotonic_ns()

    def wire_parts(self) -> None:
        """Bind the opening of parts, and the parts' own events."""
        self.drawn.change(self.find_late, [self.drawn, self.opened, self.work], self.late, **QUIET)
        self.late.change(
            self.catch_up, [self.drawn, self.opened, self.work, *self.inputs], [self.drawn, *self.views], **QUIET
        )
        # Gradio begins waiting events of different kinds in any order, those of one kind in theirs.
        in_turn: dict[str, Any] = {"concurrency_id": f"parts: {', '.join(self.parts)}", "concurrency_limit": None}
        for name, part in self.parts.items():
            self.tabs[name].select(
                self.opening(name), [self.work, self.drawn, *part.inputs, self.moment],
                [self.opened, self.drawn, *part.views], js=MOMENT, **QUIET, **in_turn,
            )  # fmt: skip
            self.modules[name].wire(part, self.work)


def build_parts(
    modules: dict[str, ModuleType],
    site: Site,
    work: Any,
    stamp: Callable[[Any], Hashable],
    elem_id: str,
    steady: Sequence[str] = (),
    full: Sequence[str] = (),
) -> dict[str, Any]:
    """The parts' tabs, as arguments of `Parts`. full: the parts that `build` has drawn of the work already; the others
    are drawn when they are opened."""
    tabs, parts = {}, {}
    with gr.Tabs(elem_id=elem_id, elem_classes="parts"):
        for name, module in modules.items():
            with gr.Tab(name, id=name.lower(), elem_id=f"part-{name.lower().replace(' ', '-')}") as tab:
                tabs[name], parts[name] = tab, module.build(site, work)
    drawn = {name: (work, stamp(work), *[field.value for field in parts[name].inputs]) for name in full}
    return {
        "modules": modules, "steady": steady, "stamp": stamp, "work": gr.State(work), "tabs": tabs, "parts": parts,
        "opened": gr.State(next(iter(modules))), "drawn": gr.State(drawn), "late": gr.State(None),
        "moment": gr.Number(visible=False, label="Moment"),
    }  # fmt: skip
