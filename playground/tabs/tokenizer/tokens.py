"""Tokens: the text in its tokens, the text itself and the table of tokens, each linked to the others."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from core.tokenizer.base import clean_text
from core.tokenizer.inspect import count
from playground import tokenizers
from playground.site import Site
from playground.tokenizers import Work
from playground.views.notice import notice
from playground.views.tokens import counts_line, token_data

PAGE = 100_000  # tokens that the page holds at once; of those it draws what is in view
SHOW = [("Nothing", "text"), ("Id", "ids"), ("Bytes", "bytes")]
# assets/tokens.js draws; it may be loaded after this.
DRAW = """
const draw = () => window.tokenView ? window.tokenView(element, props.value) : setTimeout(draw, 20);
watch('value', draw);
draw();
"""


@dataclass
class TokensPart:
    message: gr.HTML
    counts: gr.HTML
    tokens: gr.HTML
    page: gr.Slider
    show: gr.Radio

    @property
    def views(self) -> list[Any]:
        return [self.message, self.counts, self.tokens, self.page]

    @property
    def inputs(self) -> list[Any]:
        return []

    @property
    def shared(self) -> dict[str, Any]:
        return {"under": self.show}


def build(site: Site, work: Work) -> TokensPart:
    message, counts, tokens, page = page_of(work, 1)
    with gr.Row(elem_classes="toolbar"):
        counts_html = gr.HTML(counts, elem_id="token-counts", elem_classes="grow", js_on_load=None)
        show_radio = gr.Radio(
            SHOW, value="ids", label="Under each token", elem_id="token-show", elem_classes="segmented"
        )
    message_html = gr.HTML(message, js_on_load=None)
    slider = gr.Slider(
        1, page["maximum"], value=1, step=1, label=f"Part of {PAGE:,} tokens", visible=page["visible"],
        elem_id="token-page",
    )  # fmt: skip
    view = gr.HTML(tokens, html_template='<div class="token-view"></div>', js_on_load=DRAW, elem_id="token-view")
    return TokensPart(message_html, counts_html, view, slider, show_radio)


def wire(part: TokensPart, work: gr.State) -> None:
    part.page.release(
        other_page,
        [work, part.page],
        [part.message, part.tokens],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    part.show.change(None, part.show, None, js="mode => { document.body.dataset.tokens = mode; }")


def show(work: Work) -> tuple[Any, ...]:
    """The first page of the work's tokens."""
    message, counts, tokens, page = page_of(work, 1)
    return message, counts, tokens, gr.Slider(value=1, **page)


def other_page(work: Work, page: int) -> tuple[str, str]:
    message, _, tokens, _ = page_of(work, page)
    return message, tokens


def page_of(work: Work, page: int) -> tuple[str, str, str, dict[str, Any]]:
    """HTML of message and counts, the tokens as assets/tokens.js draws them, and how the page slider is to be."""
    try:
        encoding = tokenizers.encoding_of(work)
    except UserError as error:
        return notice(str(error)), "", "", {"maximum": 2, "visible": False}
    total = len(encoding)
    pages = max(1, -(-total // PAGE))
    page = min(max(1, int(page)), pages)
    start, stop = (page - 1) * PAGE, min(page * PAGE, total)
    sentences = []
    if pages > 1:
        sentences.append(
            f"Here are tokens {start:,} to {stop - 1:,} of {total:,}; the counts are for the whole text, copies and "
            "files for this part."
        )
    if clean_text(work.text) != work.text:
        sentences.append("Half surrogate pairs have no UTF-8: each was read as U+FFFD.")
    return (
        notice(" ".join(sentences), "info"),
        counts_line(count(encoding, work.text)),
        token_data(encoding, clean_text(work.text), start, stop, name=tokenizers.label(work.tokenizer, work.model)),
        {"maximum": max(2, pages), "visible": pages > 1},
    )
