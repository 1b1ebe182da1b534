"""The Tokenizer tab: the header's text as tokens, and what each token is made of."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import UserError
from core.tokenizer.base import Encoding, clean_text
from core.tokenizer.inspect import count, token_rows
from playground import models
from playground.header import Header
from playground.memory import Memory
from playground.site import OWN, Site
from playground.views.notice import notice
from playground.views.tokens import counts_line, ids_line, token_strip, token_table

PAGE = 2_000  # tokens on the screen at once
SHOW = [("Nothing", "text"), ("Id", "ids"), ("Bytes", "bytes")]

_encodings: Memory[Encoding] = Memory(maximum=16)


@dataclass
class TokenizerTab:
    message: gr.HTML
    counts: gr.HTML
    strip: gr.HTML
    table: gr.HTML
    ids: gr.HTML
    parse_special: gr.Checkbox
    show: gr.Radio
    page: gr.Slider

    @property
    def views(self) -> list[Any]:
        return [self.message, self.counts, self.strip, self.table, self.ids]


def build(site: Site = OWN) -> TokenizerTab:
    """The tab with the tokens of the text that the page opens with."""
    name, text = models.opening_work()
    message, counts, strip, table, ids, page = tokenize(name, text, False)
    with gr.Row(elem_classes="toolbar"):
        counts_html = gr.HTML(counts, elem_id="token-counts", elem_classes="grow", js_on_load=None)
        show = gr.Radio(SHOW, value="ids", label="Under each token", elem_id="token-show", elem_classes="segmented")
        parse_special = gr.Checkbox(False, label="Read <s> in the text as the token", elem_id="token-special")
    message_html = gr.HTML(message, js_on_load=None)
    page_slider = gr.Slider(
        1, page["maximum"], value=1, step=1, label=f"Part of {PAGE:,} tokens", visible=page["visible"],
        elem_id="token-page",
    )  # fmt: skip
    strip_html = gr.HTML(strip, elem_id="token-strip", js_on_load=None)
    with gr.Accordion("Table of tokens", open=True):
        table_html = gr.HTML(table, elem_id="token-table", js_on_load=None)
    with gr.Accordion("Ids as a list", open=False):
        ids_html = gr.HTML(ids, elem_id="token-ids", js_on_load=None)
    return TokenizerTab(message_html, counts_html, strip_html, table_html, ids_html, parse_special, show, page_slider)


def wire(tab: TokenizerTab, header: Header) -> None:
    """Follow the header and the tab's own controls."""
    gr.on(
        [*header.changes, tab.parse_special.change],
        first_page,
        [header.settled, tab.parse_special],
        [*tab.views, tab.page],
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    tab.page.release(
        other_page,
        [header.settled, tab.parse_special, tab.page],
        tab.views,
        api_visibility="private",
        show_progress="hidden",
        trigger_mode="always_last",
    )
    tab.show.change(None, tab.show, None, js="mode => { document.body.dataset.tokens = mode; }")


def tokenize(name: str | None, text: str, parse_special: bool, page: int = 1) -> tuple[Any, ...]:
    """HTML of message, counts, tokens, table and ids, and how the page slider is to be."""
    try:
        if not name:
            raise UserError("No model is chosen, so there is no tokenizer.")
        encoding = _encode(name, text, parse_special)
    except UserError as error:
        return notice(str(error)), "", "", "", "", {"maximum": 2, "visible": False}
    total = len(encoding)
    pages = max(1, -(-total // PAGE))
    page = min(max(1, int(page)), pages)
    start, stop = (page - 1) * PAGE, min(page * PAGE, total)
    rows = token_rows(encoding, text, start, stop)
    pieces = encoding.pieces[start:stop]
    sentences = []
    if pages > 1:
        sentences.append(f"Shown are tokens {start:,} to {stop - 1:,} of {total:,}; the counts are for the whole text.")
    if clean_text(text) != text:
        sentences.append("Half surrogate pairs have no UTF-8: each was read as U+FFFD.")
    return (
        notice(" ".join(sentences), "info"),
        counts_line(count(encoding, text)),
        token_strip(rows, pieces),
        token_table(rows, pieces),
        ids_line(encoding.ids[start:stop]),
        {"maximum": max(2, pages), "visible": pages > 1},
    )


def first_page(settled: tuple[str, str], parse_special: bool) -> tuple[Any, ...]:
    """The header or a setting changed."""
    *views, page = tokenize(*settled, parse_special)
    return *views, gr.Slider(value=1, **page)


def other_page(settled: tuple[str, str], parse_special: bool, page: int) -> tuple[Any, ...]:
    return tokenize(*settled, parse_special, page)[:-1]


def _encode(name: str, text: str, parse_special: bool) -> Encoding:
    run = models.get_run(name)
    key = (models.run_stamp(run), text, parse_special)
    return _encodings.get(key, lambda: run.tokenizer.encode(text, parse_special=parse_special))
