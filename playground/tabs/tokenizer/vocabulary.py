"""Vocabulary: all tokens of the tokenizer, to search and to look through."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import TextError, UserError
from core.tokenizer.inspect import Vocabulary, rank_meaning, vocabulary
from playground import tokenizers
from playground.memory import Memory
from playground.site import Site
from playground.tokenizers import Work
from playground.views.notice import notice
from playground.views.vocabulary import (
    kind_choices,
    narrowed_html,
    overview_html,
    reach_html,
    results_html,
)

PAGE = 100  # tokens that are shown at once
QUERY = 500  # characters of a search
LONGEST = 12
BY = [("Text", "text"), ("Regular expression", "regex"), ("Id", "id"), ("Bytes in hex", "bytes")]
ORDER = [("By id", "id"), ("Longest first", "longest"), ("Shortest first", "shortest"), ("By text", "text")]
CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-narrow]');
  if (!button) return;
  const on = button.getAttribute('aria-pressed') !== 'true';
  document.querySelectorAll('#vocabulary-overview [data-narrow]').forEach((bar) =>
    bar.setAttribute('aria-pressed', String(bar === button && on)));
  trigger('select', {narrow: on ? button.dataset.narrow : ''});
});
"""
# The tokens that no text becomes take seconds to find in a large vocabulary: asked for when the part is looked at.
ASK = """
let asked = null;
const ask = () => {
  const pending = element.querySelector('[data-pending]');
  if (!pending || pending === asked || !element.offsetParent) return;
  asked = pending;
  trigger('select', {});
  // A drawing that was on its way may take the answer's place: ask again as long as nothing is told.
  setTimeout(() => { asked = null; ask(); }, 4000);
};
new IntersectionObserver(ask).observe(element);
watch('value', ask);
"""

_vocabularies: Memory[Vocabulary] = Memory(maximum=4)


@dataclass
class VocabularyPart:
    query: gr.Textbox
    by: gr.Radio
    only: gr.Dropdown
    order: gr.Dropdown
    message: gr.HTML
    narrowed: gr.HTML
    results: gr.HTML
    before: gr.Button
    after: gr.Button
    reach: gr.HTML
    overview: gr.HTML
    narrow: gr.State  # "", "script:Latin", "length:3" or "length:25+"
    offset: gr.State

    @property
    def views(self) -> list[Any]:
        return [*self.found, self.only, self.narrowed, self.narrow, self.reach, self.overview]

    @property
    def found(self) -> list[Any]:
        return [self.message, self.results, self.offset, self.before, self.after]

    @property
    def inputs(self) -> list[Any]:
        return [self.query, self.by, self.only, self.order, self.narrow]

    @property
    def shared(self) -> dict[str, Any]:
        return {"find": self.query, "by": self.by, "only": self.only, "order": self.order}


def build(site: Site, work: Work) -> VocabularyPart:
    made = _everything(work, "", "text", "all", "id", "")
    message, results, offset, before, after, only, narrowed, narrow, reach, overview = made
    with gr.Row(elem_classes="toolbar"):
        query = gr.Textbox(
            "", label="Search", placeholder="the", lines=1, max_lines=1, max_length=QUERY, elem_id="vocabulary-query",
            elem_classes=["grow", "settles"],
        )  # fmt: skip
        by = gr.Radio(BY, value="text", label="By", elem_id="vocabulary-by", elem_classes="segmented")
        only_box = gr.Dropdown(label="Which", elem_id="vocabulary-only", min_width=230, **only)
        order = gr.Dropdown(ORDER, value="id", label="Order", elem_id="vocabulary-order", min_width=150)
    message_html = gr.HTML(message, elem_id="vocabulary-message", js_on_load=None)
    with gr.Row(elem_classes="vocabulary-row"):
        with gr.Column(scale=8, min_width=320):
            narrowed_box = gr.HTML(narrowed, js_on_load=CLICK)
            results_box = gr.HTML(results, elem_id="vocabulary-results", js_on_load=None)
            with gr.Row(elem_classes="pager"):
                before_button = gr.Button("‹ Before", size="sm", scale=0, min_width=110, **before)
                after_button = gr.Button("Further ›", size="sm", scale=0, min_width=110, **after)
        with gr.Column(scale=4, min_width=280):
            reach_box = gr.HTML(reach, elem_id="vocabulary-reach", js_on_load=ASK)
            overview_box = gr.HTML(overview, elem_id="vocabulary-overview", js_on_load=CLICK)
    return VocabularyPart(
        query, by, only_box, order, message_html, narrowed_box, results_box, before_button, after_button, reach_box,
        overview_box, gr.State(narrow), gr.State(offset),
    )  # fmt: skip


def wire(part: VocabularyPart, work: gr.State) -> None:
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "trigger_mode": "always_last"}
    asked = [work, *part.inputs]
    gr.on(
        [
            *(part.query.submit, part.query.blur, part.by.input, part.only.input, part.order.input),
            part.narrow.change,
        ],
        search_vocabulary, asked, part.found, **quiet,
    )  # fmt: skip
    part.before.click(page_before, [*asked, part.offset], part.found, **quiet)
    part.after.click(page_after, [*asked, part.offset], part.found, **quiet)
    gr.on(
        [part.overview.select, part.narrowed.select],
        narrow_vocabulary, None, [part.narrowed, part.narrow], **quiet,
    )  # fmt: skip
    part.reach.select(count_unreachable, [work, part.only], [part.reach, part.only], **quiet)


def show(work: Work, query: str, by: str, only: str, order: str, narrow: str) -> tuple[Any, ...]:
    """The same search in another vocabulary."""
    made = _everything(work, query, by, only, order, narrow)
    return *_found_updates(made[:5]), gr.Dropdown(**made[5]), *made[6:]


def search_vocabulary(work: Work, query: str, by: str, only: str, order: str, narrow: str) -> tuple[Any, ...]:
    """What is looked for has changed: its first page."""
    return _found_updates(_found(work, query, by, only, order, narrow, 0))


def page_before(work: Work, query: str, by: str, only: str, order: str, narrow: str, offset: int) -> tuple[Any, ...]:
    return _found_updates(_found(work, query, by, only, order, narrow, offset - PAGE))


def page_after(work: Work, query: str, by: str, only: str, order: str, narrow: str, offset: int) -> tuple[Any, ...]:
    return _found_updates(_found(work, query, by, only, order, narrow, offset + PAGE))


def narrow_vocabulary(event: gr.EventData) -> tuple[str, str]:
    """A bar was clicked, or what it limited the search to was taken away. What is found is written by one event alone,
    the search, which follows: a click on a bar also leaves the field of the query, and of two answers the wrong one
    could come last."""
    narrow = str(event._data.get("narrow") or "")[:60] if isinstance(event._data, dict) else ""
    return narrowed_html(narrow), narrow


def count_unreachable(work: Work, only: str) -> tuple[Any, Any]:
    """The tokens that no text becomes are counted; in a vocabulary of 50,000 that takes about a second."""
    try:
        words = vocabulary_of(work)
        unreachable = len(words.unreachable)
    except UserError:
        return "", gr.skip()
    return reach_html(unreachable, words.size), gr.Dropdown(choices=_kinds(words, unreachable), value=only)


def vocabulary_of(work: Work) -> Vocabulary:
    """The vocabulary of the work's tokenizer, made once."""
    tokenizer = tokenizers.open_tokenizer(work.tokenizer, work.model)
    return _vocabularies.get(tokenizers.stamp(work.tokenizer, work.model), lambda: vocabulary(tokenizer))


def limits(narrow: str) -> dict[str, Any]:
    """What a bar limits the search to, as arguments of Vocabulary.search.

    >>> limits("length:3"), limits("script:Latin"), limits("")
    ({'lengths': range(3, 4)}, {'script': 'Latin'}, {})
    """
    kind, _, value = narrow.partition(":")
    number = value.removesuffix("+")
    if kind == "script":
        return {"script": value}
    if kind == "length" and number.isdecimal() and len(number) < 10:
        return {"lengths": range(int(number), 10**9 if value.endswith("+") else int(number) + 1)}
    return {}


def _found(work: Work, query: str, by: str, only: str, order: str, narrow: str, offset: int) -> list[Any]:
    """Message, results, offset, and how the buttons before and after are to be."""
    try:
        words = vocabulary_of(work)
        query, offset = query or "", max(0, int(offset))
        if len(query) > QUERY:
            raise TextError(f"A search has at most {QUERY} characters.")
        found = words.search(query, by, only=only, order=order, offset=offset, limit=PAGE, **limits(narrow))
    except UserError as error:
        return [notice(str(error)), "", 0, {"visible": False}, {"visible": False}]
    many = found.total > PAGE
    return [
        "",
        results_html(found.entries, found.total, offset, query if by == "text" else "", _rank_name(words)),
        offset,
        {"visible": many, "interactive": offset > 0},
        {"visible": many, "interactive": offset + PAGE < found.total},
    ]


def _everything(work: Work, query: str, by: str, only: str, order: str, narrow: str) -> list[Any]:
    """The views, some as arguments of their components."""
    try:
        words = vocabulary_of(work)
    except UserError as error:
        nothing: dict[str, Any] = {"choices": kind_choices(0, [], None), "value": "all"}
        return [notice(str(error)), "", 0, {"visible": False}, {"visible": False}, nothing, "", "", "", ""]
    scripts = words.script_histogram()
    if narrow.startswith("script:") and narrow.removeprefix("script:") not in dict(scripts):
        narrow = ""
    choices = _kinds(words, None)
    only = only if only in [value for _, value in choices] else "all"
    return [
        *_found(work, query, by, only, order, narrow, 0),
        {"choices": choices, "value": only},
        narrowed_html(narrow),
        narrow,
        reach_html(None, words.size),
        overview_html(words.length_histogram(), scripts, words.longest(LONGEST), narrow),
    ]


def _found_updates(found: list[Any]) -> tuple[Any, ...]:
    message, results, offset, before, after = found
    return message, results, offset, gr.Button(**before), gr.Button(**after)


def _kinds(words: Vocabulary, unreachable: int | None) -> list[tuple[str, str]]:
    return kind_choices(words.size, words.kind_histogram(), unreachable)


def _rank_name(words: Vocabulary) -> str:
    try:
        return rank_meaning(words.tokenizer)
    except TextError:  # it has no merges
        return ""
