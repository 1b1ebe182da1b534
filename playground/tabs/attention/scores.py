"""Scores: all heads with what each does as numbers, and their means and the rollout as a matrix."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from core.analysis.head_scores import SCORES
from core.analysis.rollout import layer_mean, rollout
from core.errors import UserError
from playground.figure_html import figure_html
from playground.parts import QUIET
from playground.readings import Work, reading_of, stamp, survey_of, within
from playground.site import Site
from playground.tabs.attention.names import place_for_people, row_names
from playground.views.attention import map_spec
from playground.views.head_scores import formulas, scores_spec
from playground.views.notice import notice

AVERAGES = {
    "head": "The chosen head",
    "layer": "Mean of its layer",
    "all": "Mean of all heads",
    "rollout": "Rollout",
}
ROLLED = (
    "What a position of the last layer comes from, if attention alone carried it: the product over the layers of ½ of "
    "the mean of its heads and ½ of what was there before (Abnar and Zuidema, 2020). Each row sums to 1."
)
ROLLED_CROSS = (
    "How much of a position of the last layer comes from each source token, by way of the encoder's own rollout: every "
    "layer keeps one half and takes one half from where it looks (after Abnar and Zuidema, 2020). Each row sums to 1."
)


@dataclass
class ScoresPart:
    message: gr.HTML
    table: gr.HTML
    formulas: gr.HTML
    average: gr.Radio
    map: gr.HTML
    shown: gr.State  # what the matrix is of

    @property
    def views(self) -> list[Any]:
        return [self.message, self.table, self.formulas, self.map, self.shown]

    @property
    def inputs(self) -> list[Any]:
        return [self.average, self.shown]

    @property
    def shared(self) -> dict[str, Any]:
        return {"average": self.average}

    @property
    def opens(self) -> gr.HTML:
        return self.table


def build(site: Site, work: Work) -> ScoresPart:
    message = gr.HTML("", js_on_load=None)
    with gr.Row(elem_classes="attention-row"):
        with gr.Column(scale=6, min_width=320):
            table = figure_html("", "head-scores")
            formulas_html = gr.HTML("", js_on_load=None)
        with gr.Column(scale=5, min_width=320):
            average = gr.Radio(
                [(label, value) for value, label in AVERAGES.items()], value="all", label="Matrix",
                elem_classes="segmented", elem_id="attention-average",
            )  # fmt: skip
            matrix = figure_html("", "attention-average-map")
    return ScoresPart(message, table, formulas_html, average, matrix, gr.State(None))


def wire(part: ScoresPart, work: gr.State) -> None:
    part.average.change(change_average, [work, part.average, part.shown], [part.map, part.shown], **QUIET)


def show(work: Work, average: str, shown: Any) -> tuple[Any, ...]:
    """Values for `views`."""
    try:
        work = within(work)
        survey = survey_of(work)
        table = scores_spec(survey, SCORES, f"Head scores · {_of(work)}", work.layer, work.head)
        told = notice(" ".join(reading_of(work).notes), "info")
        return told, table, formulas(survey, SCORES), *change_average(work, average, shown)
    except UserError as error:
        return notice(str(error)), "", "", "", None


def change_average(work: Work, average: str, shown: Any) -> tuple[Any, Any]:
    """The matrix, and what it is of; nothing is computed again if it is what is shown."""
    try:
        work = within(work)
        # A mean of all heads is the same whichever of them is chosen.
        layer, head = (work.layer if average in ("head", "layer") else 0), (work.head if average == "head" else 0)
        now = (average, work._replace(layer=layer, head=head), stamp(work))
        if now == shown:
            return gr.skip(), gr.skip()
        return _matrix(work, average), now
    except UserError:
        return "", None  # `show` says why


def _matrix(work: Work, average: str) -> str:
    reading, kind = reading_of(work), work.kind
    place = place_for_people(work)
    values: np.ndarray
    if average == "head":
        values = reading.attention(kind, work.layer, work.head)
        title, name, note = place.title, place.file_name, ""
    elif average == "layer":
        values, note = layer_mean(reading, kind, work.layer), ""
        title = f"{place.title.split(' · head ')[0]} · mean of {place.heads} heads"
        name = f"attention-{kind}-layer-{work.layer + 1}-mean"
    elif average == "rollout":
        values = rollout(reading, kind)
        title, name = f"{_of(work)} · rollout", f"attention-{kind}-rollout"
        note = ROLLED_CROSS if kind == "cross" else ROLLED
    else:
        values, note = survey_of(work).mean, ""
        title = f"{_of(work)} · mean of {place.layers} × {place.heads} heads"
        name = f"attention-{kind}-mean"
    return map_spec(values, row_names(reading, kind), reading.keys(kind), kind, title, name, note=note)


def _of(work: Work) -> str:
    """What the kind of attention is called."""
    return place_for_people(work).title.split(" · ")[0]
