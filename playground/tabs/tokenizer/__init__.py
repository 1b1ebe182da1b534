"""The Tokenizer tab: which tokenizer, and what can be seen of it and of the text, each part in a tab of its own.

A part is a module with build(site, work), show(work, *inputs) and wire(part, work); what is shown of it are its
`views`, which follow from the work and its `inputs`. Only the part that is open is computed: when the work changes,
and when it is opened.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import gradio as gr

from core.errors import UserError
from playground import models, tokenizers
from playground.header import Header
from playground.site import OWN, Site
from playground.tabs.tokenizer import chat, compare, merges, own, stages, tokens, training, vocabulary
from playground.tokenizers import MODELS_OWN, Work
from playground.views.notice import notice

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


@dataclass
class TokenizerTab:
    site: Site
    tokenizer: gr.Dropdown
    parse_special: gr.Checkbox
    message: gr.HTML
    work: gr.State
    opened: gr.State  # the name of the part that is open
    drawn: gr.State  # part -> what it was drawn of last, as `seen` says it
    tabs: dict[str, gr.Tab]
    parts: dict[str, Any]

    @property
    def inputs(self) -> list[Any]:
        return [component for part in self.parts.values() for component in part.inputs]

    @property
    def views(self) -> list[Any]:
        return [component for part in self.parts.values() for component in part.views]

    @property
    def shared(self) -> dict[str, Any]:
        """What belongs in the page's address: names there -> components."""
        own = {"tokenizer": self.tokenizer, "special": self.parse_special}
        for part in self.parts.values():
            own |= getattr(part, "shared", {})
        return own

    def refresh(
        self,
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
        try:
            tokenizers.open_tokenizer(work.tokenizer, work.model)
        except UserError as error:
            return [notice(str(error)), gr.skip(), gr.skip(), *[gr.skip()] * len(self.views)]
        return ["", work, drawn | {opened: seen(work, self.own(opened, inputs))}, *self.show(work, opened, *inputs)]

    def show(self, work: Work, opened: str, *inputs: Any) -> list[Any]:
        """Values for `views`, all but the opened part's as they are."""
        shown: list[Any] = []
        for name, part in self.parts.items():
            if name == opened:
                shown += PARTS[name].show(work, *self.own(name, inputs))
            else:
                shown += [gr.skip()] * len(part.views)
        return shown

    def own(self, name: str, inputs: Sequence[Any]) -> Sequence[Any]:
        """The values of one part's inputs, of those of all parts."""
        start = 0
        for part_name, part in self.parts.items():
            if part_name == name:
                return inputs[start : start + len(part.inputs)]
            start += len(part.inputs)
        raise KeyError(name)

    def on_load(self, demo: gr.Blocks, header: Header) -> None:
        """Tokenizers that were made since the server started are offered when a page opens."""
        demo.load(self.refresh_tokenizers, None, self.tokenizer, api_visibility="private", show_progress="hidden")

    def refresh_tokenizers(self) -> Any:
        return gr.Dropdown(choices=tokenizers.choices(self.site))

    def opening(self, name: str) -> Callable[..., Any]:
        """What happens when a part is opened: nothing, if all that it shows is there. (What somebody types into it
        meanwhile would be answered too, and the answer to the opening could come after that.)"""

        def open_part(work: Work, drawn: dict[str, tuple[Any, ...]], *inputs: Any) -> Any:
            if name in STEADY and drawn.get(name) == seen(work, inputs):
                return name, gr.skip(), *[gr.skip()] * len(self.parts[name].views)
            return name, drawn | {name: seen(work, inputs)}, *PARTS[name].show(work, *inputs)

        return open_part

    def catch_up(self, drawn: dict[str, tuple[Any, ...]], opened: str, work: Work, *inputs: Any) -> list[Any]:
        """A part that was opened while the work changed is still of the work before: draw it once more."""
        if drawn.get(opened, ())[:2] == seen(work):
            return [gr.skip(), *[gr.skip()] * len(self.views)]
        return [drawn | {opened: seen(work, self.own(opened, inputs))}, *self.show(work, opened, *inputs)]


def seen(work: Work, fields: Sequence[Any] = ()) -> tuple[Any, ...]:
    """All that a part's views follow from: the work, the tokenizer as it is now (another may have been trained under
    the same name), and the values of the part's inputs."""
    try:
        stamp = tokenizers.stamp(work.tokenizer, work.model)
    except UserError:
        stamp = None
    return work, stamp, *fields


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
    tabs, parts = {}, {}
    with gr.Tabs(elem_id="tokenizer-parts", elem_classes="parts"):
        for name, module in PARTS.items():
            with gr.Tab(name, id=name.lower(), elem_id=f"part-{name.lower()}") as tab:
                tabs[name], parts[name] = tab, module.build(site, work)
    first = next(iter(PARTS))
    opened = gr.State(first)
    drawn = gr.State({name: seen(work, [field.value for field in parts[name].inputs]) for name in (first, *STEADY)})
    return TokenizerTab(site, tokenizer, parse_special, message, gr.State(work), opened, drawn, tabs, parts)


def wire(tab: TokenizerTab, header: Header) -> None:
    """Follow the header and the tab's own controls."""
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}
    gr.on(
        [*header.changes, tab.tokenizer.change, tab.parse_special.change],
        tab.refresh,
        [header.settled, tab.tokenizer, tab.parse_special, tab.opened, tab.drawn, *tab.inputs],
        [tab.message, tab.work, tab.drawn, *tab.views],
        **quiet,
    )
    tab.drawn.change(tab.catch_up, [tab.drawn, tab.opened, tab.work, *tab.inputs], [tab.drawn, *tab.views], **quiet)
    for name, part in tab.parts.items():
        tab.tabs[name].select(
            tab.opening(name), [tab.work, tab.drawn, *part.inputs], [tab.opened, tab.drawn, *part.views], **quiet
        )
        PARTS[name].wire(part, tab.work)
    if tab.parts["Train"].own is not None:
        tab.parts["Train"].trained.change(
            own.choose_trained, [tab.parts["Train"].trained, tab.tokenizer], tab.tokenizer, **quiet
        )
