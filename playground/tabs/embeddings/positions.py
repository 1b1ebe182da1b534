"""Positions: the numbers that tell the model where a token stands, and how alike two places are."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from core.analysis.positions import by_distance, decay_bound, positions_of, similarity
from core.errors import ConfigError, UserError
from playground import models
from playground.figure_html import figure_html
from playground.parts import QUIET
from playground.site import Site
from playground.vectors import NO_MODEL, Work
from playground.views.notice import notice
from playground.views.positions import distance_spec, similarity_spec, table_spec

LENGTHS = [16, 32, 64, 128, 256]


@dataclass
class PositionsPart:
    length: gr.Radio
    message: gr.HTML
    table: gr.HTML
    alike: gr.HTML
    apart: gr.HTML

    @property
    def views(self) -> list[Any]:
        return [self.message, self.table, self.alike, self.apart]

    @property
    def inputs(self) -> list[Any]:
        return [self.length]

    @property
    def shared(self) -> dict[str, Any]:
        return {"positions": self.length}


def build(site: Site, work: Work) -> PositionsPart:
    with gr.Row(elem_classes="toolbar"):
        length = gr.Radio(
            LENGTHS, value=64, label="Positions, from the first", elem_classes="segmented", elem_id="positions-length"
        )
    message = gr.HTML("", js_on_load=None)
    table = figure_html("", "positions-table")
    with gr.Row(elem_classes="embedding-row", equal_height=False):
        with gr.Column(scale=1, min_width=320):
            alike = figure_html("", "positions-alike")
        with gr.Column(scale=1, min_width=320):
            apart = figure_html("", "positions-apart")
    return PositionsPart(length, message, table, alike, apart)


def wire(part: PositionsPart, work: gr.State) -> None:
    part.length.input(show_positions, [work, part.length], part.views, **QUIET)


def show(work: Work, length: int) -> tuple[str, ...]:
    return show_positions(work, length)


def show_positions(work: Work, length: int) -> tuple[str, ...]:
    """Values for `PositionsPart.views`."""
    try:
        if length not in LENGTHS:
            raise ConfigError("Choose how many positions to see from the list.")
        if not work.model:
            raise ConfigError(NO_MODEL)
        run = models.get_run(work.model)
        found = positions_of(run, length)
        if found.kind == "none":
            raise ConfigError(f"{run.name} has no positions.")
        curves = [("similarity", by_distance(found))]
        if found.kind == "rotary" and found.frequencies is not None:
            curves.append(("RoFormer's bound", decay_bound(found.frequencies, np.arange(len(found.table)))))
        return (
            "", table_spec(found, run.name), similarity_spec(found, similarity(found), run.name),
            distance_spec(found.kind, curves, run.name),
        )  # fmt: skip
    except UserError as error:
        return notice(str(error)), "", "", ""
