"""The header: which model, and the one text that all tabs share.

Typing settles after a pause, with Enter or when the field is left; choosing a model settles at once. Whatever settles
is put into `Header.settled`. Of what has settled only the tab that is open hears, and any other when it is opened:
`gr.on([header.turn("Tokenizer")], fn, [header.settled, …], …)`. A page of many parts spends most of its time on telling
events to the fields that they belong to, so what nobody looks at has none.
"""

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from threading import Thread
from typing import Any

import gradio as gr

from core.errors import UserError
from core.hub import Progress, is_hub_name
from core.run import Run
from playground import models
from playground.running import MOMENT, Latest, page_of
from playground.site import OWN, Site, here
from playground.views.facts import facts, megabytes
from playground.views.notice import notice

TICK = 0.3  # seconds between two looks at a download
LOADING = re.compile(r"<\s*(img|video|audio|source|iframe|link|object|embed|picture|style|svg)\b[^>]*>", re.IGNORECASE)
NO_MODEL = (
    "There is no trained model yet: start a training run in the Training tab, or run `llm-scratch train demo "
    "--run-name first`, then choose it here."
)
# What each page has chosen and typed last, by its own clock: Gradio begins waiting events of different kinds in any
# order, and a text may be typed while a model is downloaded. Whichever event ends last settles the same.
_models, _texts = Latest(), Latest()


@dataclass
class Header:
    """Components of the header. `settled` holds (model, text) as the tabs are to show them, `target` what somebody
    typed as the translation, with the `settled` that it was typed for, `opened` the name of the tab that is open.
    """

    model: gr.Dropdown
    text: gr.Textbox
    examples: gr.Dropdown
    facts: gr.HTML
    card: gr.Markdown
    message: gr.HTML
    settled: gr.State
    target: gr.State
    opened: gr.State
    turns: dict[str, gr.State] = field(default_factory=dict)  # tab -> a state that changes when the tab is to look

    def turn(self, name: str) -> Any:
        """Trigger: the tab of this name is open, and was opened just now, or the model, the text or the target has
        changed."""
        if name not in self.turns:
            self.turns[name] = gr.State(None)
        return self.turns[name].change

    @property
    def inputs(self) -> list[Any]:
        """The model's name and the text: what tabs take as inputs."""
        return [self.model, self.text]


def build_header(site: Site = OWN) -> Header:
    """The header with the default model and its default text."""
    name, text = models.opening_work()
    run, problem = _open(name)
    with gr.Column(elem_id="header"):
        gr.HTML(masthead(site), elem_id="masthead", js_on_load=None)
        with gr.Row(elem_id="header-row"):
            model = gr.Dropdown(
                models.model_choices(), value=name, label="Model", allow_custom_value=site.hub, elem_id="model",
                scale=2, min_width=220,
            )  # fmt: skip
            text_box = gr.Textbox(
                text, label="Text", lines=1, max_lines=6, elem_id="text", scale=5, min_width=260,
                placeholder="Type a text; every tab follows it", max_length=site.characters if site.is_hosted else None,
            )  # fmt: skip
            examples = gr.Dropdown(
                _example_choices(run), value=None, label="Examples", elem_id="examples", scale=2, min_width=200
            )
        message = gr.HTML(notice(problem), elem_id="message", js_on_load=None)
        shown_facts = gr.HTML(_facts(run), elem_id="facts", js_on_load=None)
        with gr.Accordion("Model card", open=False, elem_id="card"):
            card = gr.Markdown(_card(run))
        settled = gr.State((name or "", text))
    return Header(model, text_box, examples, shown_facts, card, message, settled, gr.State(None), gr.State("Tokenizer"))


def wire_header(header: Header, demo: gr.Blocks) -> None:
    """Bind the header's own events."""
    moment = gr.Number(visible=False, label="Moment")
    gr.on(
        [header.model.change],
        change_model,
        [header.model, header.text, header.settled, moment],
        [header.text, header.examples, header.facts, header.card, header.message, header.settled],
        api_visibility="private",
        show_progress="hidden",
        js=MOMENT,
        trigger_mode="multiple",  # another model may be chosen while one is downloaded
        concurrency_limit=None,
    )
    gr.on(
        [header.text.submit, header.text.blur],
        settle_text,
        [header.model, header.text, header.settled, moment],
        [header.message, header.settled],
        api_visibility="private",
        show_progress="hidden",
        js=MOMENT,
        trigger_mode="always_last",
    )
    header.examples.input(
        use_example,
        [header.examples, header.model, header.settled, moment],
        [header.text, header.message, header.settled],
        api_visibility="private",
        show_progress="hidden",
        js=MOMENT,
    )
    demo.load(refresh_models, None, header.model, api_visibility="private", show_progress="hidden")


def wire_turns(header: Header, tabs: dict[str, gr.Tab]) -> None:
    """Tell the tab that is open of what has changed. Bound when all tabs have asked for their turn."""
    turns, latest = list(header.turns), Latest()
    moment = gr.Number(visible=False, label="Moment")
    private: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}

    def give_turn(opened: str, *_: Any) -> list[Any]:
        return [time.monotonic_ns() if name == opened else gr.skip() for name in turns]

    gr.on(
        [header.settled.change, header.target.change], give_turn, header.opened, list(header.turns.values()), **private
    )
    for name, tab in tabs.items():

        def open_tab(opened: str, at: Any, request: gr.Request, name: str = name) -> list[Any]:
            newest = latest.is_latest(page_of(request), name, at)
            if not newest or opened == name:  # the first one, when the page opens: it is drawn
                return [gr.skip()] * (1 + len(turns))
            return [name, *give_turn(name)]

        tab.select(
            open_tab, [header.opened, moment], [header.opened, *header.turns.values()], js=MOMENT, **private
        )  # fmt: skip


def change_model(
    name: str | None, text: str, settled: tuple[str, str], moment: Any, request: gr.Request
) -> Iterator[tuple[Any, ...]]:
    """Show another model; while it is downloaded, how far that is. Ends when the page wants another one by then."""
    page = page_of(request)
    if not _models.is_latest(page, name or "", moment):
        return
    if name and is_hub_name(name) and here().hub:
        came = (0, 0)

        def tell(done: int, total: int) -> None:
            nonlocal came
            came = done, total

        download = Thread(target=_open, args=(name, tell), daemon=True)
        download.start()
        while download.is_alive():
            download.join(TICK)
            if _models.last(page) != name:
                return
            if download.is_alive():
                how_far = f"is being downloaded: {megabytes(*came)}" if any(came) else "is looked for on the hub …"
                yield *[gr.skip()] * 4, notice(f"{name.strip()} {how_far}", "busy"), gr.skip()
    shown = choose_model(name, text, settled, _texts.after(page, moment))
    if _models.last(page) == (name or ""):
        yield shown


def choose_model(name: str | None, text: str, settled: tuple[str, str], typed: str | None = None) -> tuple[Any, ...]:
    """Show another model. An example of another family gives way to one of this; a text of one's own stays. typed: what
    has been typed since."""
    run, problem = _open(name)
    if run is None:
        return gr.skip(), gr.skip(), "", "", notice(problem), gr.skip()
    shown = gr.skip()  # whoever is typing goes on
    if typed is not None:
        text = typed
    elif models.is_example(text) and text not in models.examples(run):
        text = shown = models.default_text(run)
    problem = text_problem(text)
    now = settled if problem else (name, text)
    choices = gr.Dropdown(choices=_example_choices(run), value=None)
    return shown, choices, _facts(run), _card(run), notice(problem), now


def settle_text(
    name: str | None, text: str, settled: tuple[str, str], moment: Any = None, request: gr.Request | None = None
) -> tuple[Any, Any]:
    """Take a typed text over, if the model can be opened."""
    page, too_long = page_of(request), text_problem(text)
    if page and not too_long:
        if not _texts.is_latest(page, text, moment):
            return gr.skip(), gr.skip()
        name = _models.after(page, moment) or name
    run, problem = _open(name)
    problem = problem or too_long
    return notice(problem), (settled if problem else (name, text))


def use_example(
    text: str | None,
    name: str | None,
    settled: tuple[str, str],
    moment: Any = None,
    request: gr.Request | None = None,
) -> tuple[Any, Any, Any]:
    """Put an example into the text field."""
    if not text:
        return gr.skip(), gr.skip(), gr.skip()
    message, settled = settle_text(name, text, settled, moment, request)
    return text, message, settled


def refresh_models() -> Any:
    """The model picker with the runs that exist now; what is chosen stays."""
    return gr.Dropdown(choices=models.model_choices())


def text_problem(text: str) -> str:
    """The sentence for a text that is too much for one page; empty if it is not."""
    most = here().characters
    if len(text) > most:
        return (
            f"The text has {len(text):,} characters; the page takes up to {most:,}. "
            "Shorten it, or use the command line."
        )
    return ""


def _open(name: str | None, progress: Progress | None = None) -> tuple[Run | None, str]:
    """The run, or the sentence why not."""
    if not name:
        return None, "Choose a model." if models.model_choices() else NO_MODEL
    try:
        here().check_model(name)
        return models.get_run(name, progress), ""
    except UserError as error:
        return None, str(error)


def _facts(run: Run | None) -> str:
    return facts(run.config, models.num_parameters(run.config.model), run.scores) if run else ""


def _card(run: Run | None) -> str:
    if run is None:
        return ""
    return safe_card(run.card) or "This run has no model card."


def safe_card(markdown: str) -> str:
    """A model card without images: the page asks no other machine for anything."""
    without = re.sub(r"!\[([^\]]*)\]\([^)]*\)", r"\1", markdown)
    return LOADING.sub("", without)


def _example_choices(run: Run | None) -> list[tuple[str, str]]:
    return [(text.replace("\n", " ⏎ "), text) for text in (models.examples(run) if run else [])]


def masthead(site: Site) -> str:
    """The title; where there is a way in or out, with a link to it."""
    link = ""
    if site.signin or site.signout:
        words = "Sign in" if site.signin else "Sign out"
        link = f'<a class="theme-toggle" href="{escape(site.signin or site.signout)}">{words}</a>\n  '
    return TITLE.replace("<button", f"{link}<button", 1)


TITLE = """
<div class="masthead">
  <h1>LLM from scratch</h1>
  <p class="journey" aria-label="text, tokens, attention, logits, next token">
    text <i>→</i> tokens <i>→</i> attention <i>→</i> logits <i>→</i> next token</p>
  <button type="button" class="theme-toggle" data-action="share" title="A link to this page as it is now">
    <span class="share-words" role="status">Copy link</span></button>
  <button type="button" class="theme-toggle" data-action="theme" aria-label="Switch between light and dark">
    <span aria-hidden="true">◐</span> <span class="theme-name">Light / dark</span></button>
</div>
"""
