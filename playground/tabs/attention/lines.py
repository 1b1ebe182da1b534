"""Lines: the heads of a layer as lines from the tokens that look to the tokens that are looked at."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from playground.figure_html import figure_html
from playground.readings import Work, reading_of, within
from playground.site import Site
from playground.tabs.attention.names import place_for_people, row_names
from playground.views.attention import lines_spec
from playground.views.notice import notice


@dataclass
class LinesPart:
    message: gr.HTML
    lines: gr.HTML

    @property
    def views(self) -> list[Any]:
        return [self.message, self.lines]

    @property
    def inputs(self) -> list[Any]:
        return []


def build(site: Site, work: Work) -> LinesPart:
    return LinesPart(gr.HTML("", js_on_load=None), figure_html("", "attention-lines"))


def wire(part: LinesPart, work: gr.State) -> None:
    """Nothing of its own: what is shown is chosen in the browser."""


def show(work: Work) -> tuple[str, str]:
    try:
        work = within(work)
        reading = reading_of(work)
        place = place_for_people(work)
        weights = reading.layer_attention(work.kind, work.layer)
        title = place.title.rsplit(" · head ", 1)[0]
        figure = lines_spec(
            weights, row_names(reading, work.kind), reading.keys(work.kind), work.kind, work.layer, place.layers,
            work.head, title,
        )  # fmt: skip
        return notice(" ".join(reading.notes), "info"), figure
    except UserError as error:
        return notice(str(error)), ""
