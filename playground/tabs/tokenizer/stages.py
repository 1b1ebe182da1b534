"""Stages: normalise, pre-tokenise, model, post-process, and what each makes of the text."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from core.tokenizer.base import clean_text
from core.tokenizer.inspect import Stages, stages
from playground import tokenizers
from playground.memory import Memory
from playground.site import Site
from playground.tokenizers import Work
from playground.views.notice import notice
from playground.views.stages import stages_html

READ = 10_000  # characters of the text that go through the stages

_stages: Memory[Stages] = Memory(maximum=8, max_size=1_000_000, size=lambda made: len(made.tokens))


@dataclass
class StagesPart:
    message: gr.HTML
    stages: gr.HTML

    @property
    def views(self) -> list[Any]:
        return [self.message, self.stages]

    @property
    def inputs(self) -> list[Any]:
        return []


def build(site: Site, work: Work) -> StagesPart:
    message, html = show(work)
    intro = (
        '<p class="caption">Point at a chunk, or move to it with Tab and the arrow keys, to see the tokens that it '
        "became.</p>"
    )
    gr.HTML(intro, js_on_load=None)
    return StagesPart(gr.HTML(message, js_on_load=None), gr.HTML(html, elem_id="stages", js_on_load=None))


def wire(part: StagesPart, work: gr.State) -> None:
    """The stages follow the work, and have no events of their own."""


def show(work: Work) -> tuple[str, str]:
    """HTML of a message and of the stages."""
    try:
        out = stages_html(stages_of(work), clean_text(work.text[:READ]))
    except UserError as error:
        return notice(str(error)), ""
    part = f"Here are the stages of the first {READ:,} characters of {len(work.text):,}."
    return notice(part if len(work.text) > READ else "", "info"), out


def stages_of(work: Work) -> Stages:
    """The stages of the beginning of the text, computed once."""
    tokenizer = tokenizers.open_tokenizer(work.tokenizer, work.model)
    text = work.text[:READ]
    key = (tokenizers.stamp(work.tokenizer, work.model), text, work.parse_special)
    return _stages.get(key, lambda: stages(tokenizer, text, parse_special=work.parse_special))
