"""The Tokenizer tab: which tokenizer, and what can be seen of it and of the text, each part in a tab of its own."""

from collections.abc import Hashable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gradio as gr

from core.errors import UserError
from playground import models, tokenizers
from playground.header import Header
from playground.parts import QUIET, Parts, build_parts
from playground.site import OWN, Site
from playground.tabs.tokenizer import chat, compare, merges, own, stages, tokens, training, vocabulary
from playground.tokenizers import MODELS_OWN, Work
from playground.views.notice import notice

NAME = "Tokenizer"
PARTS: dict[str, ModuleType] = {
    "Tokens": tokens,
    "Stages": stages,
    "Merges": merges,
    "Compare": compare,
    "Vocabulary": vocabulary,
    "Chat": chat,
    "Train": training,
}
STEADY = ("Stages", "Merges", "Vocabulary")  # what they show follows from the work and from their own fields alone


@dataclass(kw_only=True)
class TokenizerTab(Parts):
    site: Site
    tokenizer: gr.Dropdown
    parse_special: gr.Checkbox
    message: gr.HTML

    @property
    def shared(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer, "special": self.parse_special} | super().shared

    def refresh(
        self,
        tab: str,
        settled: tuple[str, str],
        key: str | None,
        parse_special: bool,
        opened: str,
        drawn: dict[str, tuple[Any, ...]],
        *inputs: Any,
    ) -> list[Any]:
        """Something changed: the message, the work, what is drawn, and the views of the part that is open."""
        key = key.strip() if isinstance(key, str) else MODELS_OWN
        work = Work(key, settled[0] or None, settled[1], bool(parse_special))
        if tab != NAME:  # chosen by a link to another tab
            return [gr.skip()] * (3 + len(self.views))
        try:
            tokenizers.open_tokenizer(work.tokenizer, work.model)
        except UserError as error:
            return [notice(str(error)), gr.skip(), gr.skip(), *[gr.skip()] * len(self.views)]
        if drawn.get(opened, ())[:2] == self.seen(work):  # the tab was opened again
            return ["", *[gr.skip()] * (2 + len(self.views))]
        return ["", *self.redraw(work, opened, drawn, *inputs)]

    def on_load(self, demo: gr.Blocks, header: Header) -> None:
        """Tokenizers that were made since the server started are offered when a page opens."""
        demo.load(self.refresh_tokenizers, None, self.tokenizer, api_visibility="private", show_progress="hidden")

    def refresh_tokenizers(self) -> Any:
        return gr.Dropdown(choices=tokenizers.choices(self.site))


def stamp(work: Work) -> Hashable:
    """The tokenizer as it is now: another may have been trained under the same name."""
    try:
        return tokenizers.stamp(work.tokenizer, work.model)
    except UserError:
        return None


def build(site: Site = OWN) -> TokenizerTab:
    """The tab with the work that the page opens with, done in every part of it."""
    model, text = models.opening_work()
    work = Work(MODELS_OWN, model, text, False)
    with gr.Row(elem_classes="toolbar"):
        tokenizer = gr.Dropdown(
            tokenizers.choices(site), value=MODELS_OWN, label="Tokenizer", allow_custom_value=site.hub,
            elem_id="tokenizer", elem_classes="grow",
        )  # fmt: skip
        parse_special = gr.Checkbox(
            False, label="Special tokens in the text (<s> …) are tokens", elem_id="token-special"
        )
    message = gr.HTML("", elem_id="tokenizer-message", js_on_load=None)
    built = build_parts(PARTS, site, work, stamp, "tokenizer-parts", STEADY, full=("Tokens", *STEADY))
    return TokenizerTab(site=site, tokenizer=tokenizer, parse_special=parse_special, message=message, **built)


def wire(tab: TokenizerTab, header: Header) -> None:
    """Follow the header and the tab's own controls."""
    gr.on(
        [header.turn(NAME), tab.tokenizer.change, tab.parse_special.change],
        tab.refresh,
        [header.opened, header.settled, tab.tokenizer, tab.parse_special, tab.opened, tab.drawn, *tab.inputs],
        [tab.message, tab.work, tab.drawn, *tab.views],
        **QUIET,
    )
    tab.wire_parts()
    if tab.parts["Train"].own is not None:
        tab.parts["Train"].trained.change(
            own.choose_trained, [tab.parts["Train"].trained, tab.tokenizer], tab.tokenizer, **QUIET
        )
