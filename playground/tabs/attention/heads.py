"""Heads: all heads of the kind as small pictures, and the chosen one large."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.analysis.head_scores import SCORES
from core.errors import UserError
from playground.figure_html import figure_html
from playground.parts import CHANGING, QUIET
from playground.readings import Work, at_place, place_of, reading_of, stamp, survey_of, within
from playground.site import Site
from playground.tabs.attention.names import place_for_people, row_names
from playground.views.attention import WHOLE, heads_spec, map_spec, parts
from playground.views.notice import notice


@dataclass
class HeadsPart:
    message: gr.HTML
    grid: gr.HTML
    map: gr.HTML
    part: gr.Dropdown
    shown: gr.State  # what the small pictures are of

    @property
    def views(self) -> list[Any]:
        return [self.message, self.grid, self.map, self.part, self.shown]

    @property
    def inputs(self) -> list[Any]:
        return [self.part, self.shown]

    @property
    def opens(self) -> gr.HTML:
        return self.grid


def build(site: Site, work: Work) -> HeadsPart:
    message, grid, large, part, shown = _draw(work, WHOLE, None)
    message_html = gr.HTML(message, js_on_load=None)
    with gr.Row(elem_classes="attention-row"):
        with gr.Column(scale=4, min_width=300):
            grid_html = figure_html(grid or "", "head-grid")
        with gr.Column(scale=7, min_width=320):
            part_box = gr.Dropdown(label="Part of the text", elem_id="attention-part", **part, **CHANGING)
            map_html = figure_html(large, "attention-map")
    return HeadsPart(message_html, grid_html, map_html, part_box, gr.State(shown))


def wire(part: HeadsPart, work: gr.State) -> None:
    part.part.input(change_part, [work, part.part], part.map, **QUIET)


def show(work: Work, part: str, shown: Any) -> tuple[Any, ...]:
    message, grid, large, box, now = _draw(work, part, shown)
    return message, gr.skip() if grid is None else grid, large, gr.Dropdown(**box), now


def change_part(work: Work, part: str) -> str:
    return _draw(work, part, None)[2]


def _draw(work: Work, part: str, shown: Any) -> tuple[str, str | None, str, dict[str, Any], Any]:
    """Message, small pictures (None: as they are), matrix, what the field of parts holds, what the pictures are of."""
    hidden: dict[str, Any] = {"choices": [], "value": None, "visible": False}
    try:
        work = within(work)
        reading = reading_of(work)
        place = place_for_people(work)
        weights = reading.attention(work.kind, work.layer, work.head)
        choices = parts(len(weights), weights.shape[1], reading.is_causal(work.kind))
        if part not in [value for _, value in choices]:
            part = WHOLE
        rows, columns = row_names(reading, work.kind), reading.keys(work.kind)
        large = map_spec(weights, rows, columns, work.kind, place.title, place.file_name, part)
        now = (*work._replace(layer=0, head=0), stamp(work))
        grid = None
        if now != shown:
            grid = heads_spec(survey_of(work), SCORES, "All heads", work.layer, work.head)
        box = {"choices": choices, "value": part, "visible": len(choices) > 1}
        return notice(" ".join(reading.notes), "info"), grid, large, box, now
    except UserError as error:
        return notice(str(error)), "", "", hidden, None


def open_head(place: str, event: gr.EventData) -> Any:
    """A head was chosen in a figure: the new place."""
    data = event._data if isinstance(event._data, dict) else {}
    layer, head = data.get("layer"), data.get("head")
    if not isinstance(layer, int) or not isinstance(head, int) or not (0 <= layer < 1_000 and 0 <= head < 1_000):
        return gr.skip()
    work = at_place(Work("", ""), place)
    kind = data["kind"] if data.get("kind") in ("cross", "encoder", "self") else work.kind
    return place_of(work._replace(kind=kind or "self", layer=layer, head=head))
