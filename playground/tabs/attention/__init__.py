"""The Attention tab: which kind, layer and head of the header's model on the header's text, and the parts that show it.

What is looked at is one text, the place ("cross.2.5"), which also stands in the page's address; the pickers show it.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gradio as gr

from core.errors import UserError
from playground import models
from playground.header import Header
from playground.parts import QUIET, Parts, build_parts
from playground.readings import Work, at_place, place_of, reading_of, stamp, within
from playground.site import OWN, Site
from playground.tabs.attention import alignment, heads, lines, look, scores, training
from playground.tabs.target import TargetRow, build_target, show_target, typed_target, wire_target

NAME = "Attention"
PARTS: dict[str, ModuleType] = {
    "Heads": heads,
    "Lines": lines,
    "Scores": scores,
    "From scores to weights": look,
    "Alignment": alignment,
    "Through training": training,
}
STEADY = ("Lines", "From scores to weights")
KIND_NAMES = {"cross": "Cross", "encoder": "Encoder self", "self": "Decoder self"}
ONLY_SELF = {"self": "Self"}
PLACE = "(kind, layer, head) => `${kind}.${layer}.${head}`"
MARK = "(place) => { window.figures?.mark('#head-grid', place); }"


@dataclass(kw_only=True)
class AttentionTab(Parts):
    site: Site
    place: gr.Textbox
    kind: gr.Radio
    layer: gr.Radio
    head: gr.Radio
    pickers: gr.Row
    target: TargetRow

    @property
    def shared(self) -> dict[str, Any]:
        return {"look": self.place} | super().shared

    @property
    def controls(self) -> list[Any]:
        return [self.place, self.pickers, self.kind, self.layer, self.head, *self.target.views]

    def refresh(
        self,
        tab: str,
        settled: tuple[str, str],
        target: Any,
        place: str,
        opened: str,
        drawn: dict[str, tuple[Any, ...]],
        *inputs: Any,
    ) -> list[Any]:
        """Something changed: the controls, the work, what is drawn, and the views of the part that is open."""
        nothing = [gr.skip()] * (len(self.controls) + 2 + len(self.views))
        if tab != NAME:
            return nothing
        work = at_place(Work(*settled, typed_target(settled, target)), place)
        try:
            work = within(work)
        except UserError:  # the open part says it
            return [
                place,
                gr.Row(visible=False),
                *nothing[:5],
                *self.redraw(work, opened, drawn, *inputs),
            ]
        if drawn.get(opened, ())[:2] == self.seen(work) and place == place_of(work):
            return nothing
        return [*self.show_controls(work, settled, target), *self.redraw(work, opened, drawn, *inputs)]

    def show_controls(self, work: Work, settled: tuple[str, str], target: Any) -> list[Any]:
        kind, layer, head = pickers(work)
        return [
            place_of(work), gr.Row(visible=True), gr.Radio(**kind), gr.Radio(**layer), gr.Radio(**head),
            *show_target(work, settled, target),
        ]  # fmt: skip


def pickers(work: Work) -> list[dict[str, Any]]:
    """What the fields of kind, layer and head hold."""
    reading = reading_of(work)
    names = KIND_NAMES if reading.is_translation else ONLY_SELF
    return [
        {"choices": [(names[kind], kind) for kind in reading.kinds], "value": work.kind},
        {"choices": list(range(1, reading.n_layers(work.kind) + 1)), "value": work.layer + 1},
        {"choices": list(range(1, reading.n_heads + 1)), "value": work.head + 1},
    ]


def build(site: Site = OWN) -> AttentionTab:
    """The tab with the heads of the model and the text that the page opens with."""
    name, text = models.opening_work()
    work, problem = Work(name or "", text), False
    fields: list[dict[str, Any]] = [{"choices": [], "value": None}] * 3
    target = None
    try:
        work = within(work)
        fields = pickers(work)
        target = reading_of(work).target if reading_of(work).is_translation else None
    except UserError:  # the open part says it
        problem = True
    with gr.Row(elem_classes="toolbar", visible=not problem) as row:
        kind = gr.Radio(label="Kind of attention", elem_classes="segmented", elem_id="attention-kind", **fields[0])
        layer = gr.Radio(label="Layer (1 is next to the input)", elem_classes="segmented compact",
                         elem_id="attention-layer", **fields[1])  # fmt: skip
        head = gr.Radio(label="Head", elem_classes="segmented compact", elem_id="attention-head", **fields[2])
    target_row = build_target(site, "attention", target)
    built = build_parts(PARTS, site, work, stamp, "attention-parts", STEADY, full=("Heads",))
    place = gr.Textbox("" if problem else place_of(work), label="Place", visible="hidden", elem_id="attention-place")
    return AttentionTab(
        site=site,
        place=place,
        kind=kind,
        layer=layer,
        head=head,
        pickers=row,
        target=target_row,
        **built,
    )


def wire(tab: AttentionTab, header: Header) -> None:
    """Follow the header, the target and the place. A head that is chosen anywhere becomes the place."""
    gr.on(
        [header.turn(NAME), tab.place.change],
        tab.refresh,
        [header.opened, header.settled, header.target, tab.place, tab.opened, tab.drawn, *tab.inputs],
        [*tab.controls, tab.work, tab.drawn, *tab.views],
        **QUIET,
    )
    gr.on([tab.kind.input, tab.layer.input, tab.head.input], None, [tab.kind, tab.layer, tab.head], tab.place,
          js=PLACE)  # fmt: skip
    tab.place.change(None, tab.place, None, js=MARK)
    wire_target(tab.target, header)
    for part in tab.parts.values():
        if hasattr(part, "opens"):
            part.opens.select(heads.open_head, tab.place, tab.place, **QUIET | {"trigger_mode": "multiple"})
    tab.wire_parts()
