"""Weights: how the chosen head comes to look where it looks, for one query, in real numbers."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.analysis.look import look
from core.errors import UserError
from playground.figure_html import figure_html
from playground.parts import CHANGING, QUIET
from playground.readings import Work, reading_of, within
from playground.site import Site
from playground.tabs.attention.names import place_for_people
from playground.views.look import look_spec, query_choices
from playground.views.notice import notice


@dataclass
class LookPart:
    message: gr.HTML
    token: gr.Dropdown
    query: gr.Textbox  # the place of the query, which also stands in the page's address; "": none yet
    figure: gr.HTML

    @property
    def views(self) -> list[Any]:
        return [self.message, self.token, self.figure]

    @property
    def inputs(self) -> list[Any]:
        return [self.query]

    @property
    def shared(self) -> dict[str, Any]:
        return {"query": self.query}


def build(site: Site, work: Work) -> LookPart:
    message = gr.HTML("", js_on_load=None)
    with gr.Row(elem_classes="toolbar"):
        token = gr.Dropdown([], label="Query: the token that looks", elem_id="look-query", **CHANGING)
    query = gr.Textbox("", label="Place of the query", visible="hidden", elem_id="look-place")
    return LookPart(message, token, query, figure_html("", "attention-look"))


def wire(part: LookPart, work: gr.State) -> None:
    part.token.input(None, part.token, part.query, js="(place) => String(place)")
    part.query.change(change_query, [work, part.query], part.views, **QUIET)


def change_query(work: Work, query: str) -> tuple[Any, ...]:
    return show(work, query)


def show(work: Work, query: str) -> tuple[Any, ...]:
    """Values for `views`."""
    try:
        work = within(work)
        reading, kind = reading_of(work), work.kind
        names = reading.queries(kind)
        place = int(query) if isinstance(query, str) and query.isascii() and query.isdigit() and len(query) < 7 else -1
        if not 0 <= place < len(names):  # none yet, or of another text: what a language model looks at to go on writing
            place = len(names) - 1 if kind == "self" else 0
        of = place_for_people(work)
        writes = reading.written if kind != "encoder" else None
        figure = look_spec(
            look(reading, kind, work.layer, work.head, place), names[place], reading.keys(kind), of.title,
            f"{of.file_name}-query-{place}", reading.run.config.model.positions == "rope",
            writes[place] if writes else "",
        )  # fmt: skip
        choices = query_choices(writes, names) if writes else query_choices(names)
        return notice(" ".join(reading.notes), "info"), gr.Dropdown(choices=choices, value=place, visible=True), figure
    except UserError as error:
        return notice(str(error)), gr.Dropdown(choices=[], value=None, visible=False), ""
