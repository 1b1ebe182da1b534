"""Side by side: greedy, beam search and a third strategy on the header's text, as they are written.

One generator drives the three streams in turn, a step each, so that a column's speed is measured on its own steps and
stopping takes effect within one of them. A newer request of the same page makes an older one end. On Modal the streams
come from one container; there too stopping takes effect at once, while it starts as well.
"""

import time
from collections import OrderedDict
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import gradio as gr

from core.decode.config import GenerationConfig
from core.errors import RunError, UserError
from playground.decoding_form import (
    LOCAL,
    LONGEST,
    MAX_BEAMS,
    MAX_SAMPLES,
    MODAL,
    PLACES,
    THIRD,
    assistants,
    chosen_assistant,
    configs,
    titles,
)
from playground.header import NO_MODEL
from playground.models import get_run
from playground.parts import QUIET
from playground.site import Site
from playground.tabs.decoding.there import steps_there, with_event, write_there
from playground.tabs.decoding.work import Work
from playground.views.decoding import Column, column_html

REFRESH = 0.06  # seconds between two pictures of a column
INTRO = (
    '<p class="decoding-intro">Three ways to choose the next token, on the same model and text; '
    "the third is for you to pick. "
    '<span class="decoding-scale">certain <span aria-hidden="true"></span> unlikely.</span> '
    "Point at a token, or move to it with Tab, to see what else was likely.</p>"
)


@dataclass
class ColumnsPart:
    columns: list[gr.HTML]
    run: gr.Button
    stop: gr.Button
    beams: gr.Slider
    length_penalty: gr.Slider
    temperature: gr.Slider
    top_p: gr.Slider
    top_k: gr.Slider
    max_new_tokens: gr.Slider
    repetition_penalty: gr.Slider
    seed: gr.Number
    third: gr.Dropdown
    diversity_penalty: gr.Slider
    penalty_alpha: gr.Slider
    assistant: gr.Dropdown
    drafts: gr.Slider
    samples: gr.Slider
    metric: gr.Dropdown
    where: gr.Radio
    order: gr.State  # changes when the columns are to be written

    @property
    def settings(self) -> list[Any]:
        return [
            self.beams, self.length_penalty, self.temperature, self.top_p, self.top_k, self.max_new_tokens,
            self.repetition_penalty, self.seed, self.third, *self.of_the_third, self.where,
        ]  # fmt: skip

    @property
    def of_the_third(self) -> list[Any]:
        """Shown as far as they act on the third column."""
        return [
            self.diversity_penalty, self.penalty_alpha, self.assistant, self.drafts, self.samples, self.metric
        ]  # fmt: skip

    @property
    def views(self) -> list[Any]:
        return [*self.columns, self.order]

    @property
    def inputs(self) -> list[Any]:
        return self.settings


def build(site: Site, work: Work) -> ColumnsPart:
    """The components, columns still empty. What the site does not offer (Modal, so many beams) is refused too."""
    modal = site.launch
    places = [(title, place) for place, title in PLACES.items() if modal or place != MODAL]
    with gr.Row(elem_classes="decoding-top"):
        gr.HTML(INTRO, padding=False, js_on_load=None)
        where = gr.Radio(
            places, value=LOCAL, label="Where", show_label=False, container=False, min_width=210, scale=0,
            elem_id="decoding-where", visible=modal,
        )  # fmt: skip
        third = gr.Dropdown(
            [(title, strategy) for strategy, title in THIRD.items()], value="sample", elem_id="decoding-third",
            label="Third strategy", show_label=False, container=False, min_width=190, scale=0,
        )  # fmt: skip
        run = gr.Button("Run", variant="primary", min_width=90, scale=0, elem_id="decoding-run")
        stop = gr.Button("Stop", variant="stop", min_width=90, scale=0, elem_id="decoding-stop")
    with gr.Row(elem_classes="decoding-columns", equal_height=False):
        waiting = [Column(title, config) for title, config in zip(titles(), configs(), strict=True)]
        columns = [
            gr.HTML(column_html(column), elem_id=f"decoding-{name}", padding=False, js_on_load=None)
            for name, column in zip(("greedy", "beam", "top-p"), waiting, strict=True)
        ]
    with gr.Accordion("Settings", open=False), gr.Row():
        beams = gr.Slider(1, min(MAX_BEAMS, site.beams), 5, step=1, label="Beams", min_width=220)
        length_penalty = gr.Slider(
            -1, 3, 1.0, step=0.1, label="Length penalty", info="Above 0 favours longer", min_width=220
        )
        temperature = gr.Slider(0, 2, 1.0, step=0.05, label="Temperature", info="0 is greedy", min_width=220)
        top_p = gr.Slider(0.05, 1, 0.9, step=0.05, label="Top-p", info="1 is off", min_width=220)
        top_k = gr.Slider(0, 200, 0, step=1, label="Top-k", info="0 is off", min_width=220)
        longest = min(LONGEST, site.new_tokens)
        max_new_tokens = gr.Slider(1, longest, 60, step=1, label="Longest, in tokens", min_width=220)
        repetition_penalty = gr.Slider(
            1, 2, 1.0, step=0.05, label="Repetition penalty", info="1 is off; acts on all columns", min_width=220
        )
        seed = gr.Number(0, label="Seed", precision=0, info="Of whatever is drawn", min_width=220)
        diversity_penalty = gr.Slider(
            0, 5, 0.5, step=0.1, label="Diversity penalty", info="Of diverse beams", min_width=220, visible=False
        )
        penalty_alpha = gr.Slider(
            0, 1, 0.6, step=0.05, label="Degeneration penalty", info="Of contrastive search; top-k: its candidates",
            min_width=220, visible=False,
        )  # fmt: skip
        assistant = gr.Dropdown(
            assistants(work.model), label="Assistant", info="Runs of the same tokenizer", min_width=220, visible=False,
            allow_custom_value=True,  # else a page whose list is about to change is refused
        )  # fmt: skip
        drafts = gr.Slider(1, 20, 5, step=1, label="Drafts", info="Tokens in one go", min_width=220, visible=False)
        samples = gr.Slider(
            2, min(MAX_SAMPLES, site.samples), 16, step=1, label="Samples", info="To choose from", min_width=220,
            visible=False,
        )  # fmt: skip
        metric = gr.Dropdown(
            [("chrF", "chrf"), ("BLEU", "bleu")], value="chrf", label="Likeness", info="Of minimum Bayes risk",
            min_width=220, visible=False,
        )  # fmt: skip
    return ColumnsPart(
        columns, run, stop, beams, length_penalty, temperature, top_p, top_k, max_new_tokens, repetition_penalty, seed,
        third, diversity_penalty, penalty_alpha, assistant, drafts, samples, metric, where, gr.State(0),
    )  # fmt: skip


def wire(part: ColumnsPart, work: gr.State) -> None:
    gr.on(
        [part.order.change, part.run.click, part.third.input, part.where.input],
        decode_columns, [work, *part.settings], part.columns,
        show_progress="hidden", trigger_mode="multiple", concurrency_limit=None, api_visibility="private",
    )  # fmt: skip
    gr.on([part.order.change, part.third.input], show_settings, [work, part.third, part.assistant], part.of_the_third,
          **QUIET)  # fmt: skip
    part.stop.click(stop_columns, None, None, queue=False, show_progress="hidden", api_visibility="private")


def show(work: Work, *settings: Any) -> list[Any]:
    """Values of `views`: nothing yet, and the order to write."""
    return [*[gr.skip()] * 3, time.monotonic_ns()]


def show_settings(work: Work, third: str, assistant: str | None) -> list[Any]:
    """The settings that act on the third column, and the runs that can assist the model."""
    choices = assistants(work.model)
    names = [name for _, name in choices]
    shown = {
        "diversity_penalty": third == "diverse_beam", "penalty_alpha": third == "contrastive",
        "assistant": third == "assisted", "drafts": third == "assisted", "samples": third in ("best_of", "mbr"),
        "metric": third == "mbr",
    }  # fmt: skip
    updates = [gr.update(visible=visible) for visible in shown.values()]
    chosen = assistant if assistant in names else next(iter(names), None)
    updates[2] = gr.update(visible=shown["assistant"], choices=choices, value=chosen)
    return updates


# ------------------------------------------------------------------------------------------------------- events


class _Requests:
    """Which request of a page is the newest, and whether it was asked to stop."""

    def __init__(self) -> None:
        self.newest: OrderedDict[str, list] = OrderedDict()  # page -> [number, stopped]
        self.lock = Lock()

    def begin(self, page: str) -> int:
        with self.lock:
            number = self.newest.pop(page, [0])[0] + 1
            self.newest[page] = [number, False]
            while len(self.newest) > 1_000:
                self.newest.popitem(last=False)
            return number

    def stop(self, page: str) -> None:
        with self.lock:
            if page in self.newest:
                self.newest[page][1] = True

    def state(self, page: str, number: int) -> str:
        with self.lock:
            newest, stopped = self.newest.get(page, (number, False))
        return "old" if newest != number else "stopped" if stopped else "going"


_requests = _Requests()


def stop_columns(request: gr.Request) -> None:
    _requests.stop(_page(request))


def decode_columns(
    work: Work,
    beams: int,
    length_penalty: float,
    temperature: float,
    top_p: float,
    top_k: int,
    max_new_tokens: int,
    repetition_penalty: float,
    seed: int,
    third: str,
    diversity_penalty: float,
    penalty_alpha: float,
    assistant: str | None,
    drafts: int,
    samples: int,
    metric: str,
    where: str,
    request: gr.Request,  # gradio hands it over by its place, so the settings are named one by one
) -> Iterator[list[str]]:
    """Write the three columns; yields their HTML as they grow. What goes wrong is said in the columns."""
    page = _page(request)
    number = _requests.begin(page)
    model, text = work
    columns = [Column(title, config) for title, config in zip(titles(third), configs(), strict=True)]
    try:
        chosen = configs(
            beams, length_penalty, temperature, top_p, top_k, max_new_tokens, repetition_penalty, seed, third,
            diversity_penalty, penalty_alpha, drafts, samples, metric,
        )  # fmt: skip
        columns = [replace(c, config=config) for c, config in zip(columns, chosen, strict=True)]
        if not model:
            raise RunError(NO_MODEL)
        run = get_run(model)
        if where != MODAL:
            run.model  # noqa: B018 - read from disk here, so that a broken file is said in place
        # What this model must never write, and what ends a text of it, is not up to the settings.
        own = {name: getattr(run.config.decode, name) for name in ("bad_words_ids", "stop_ids", "forced_prefix_ids")}
        columns = [replace(column, config=replace(column.config, **own)) for column in columns]
        helper = chosen_assistant(model, assistant) if third == "assisted" else model
        if where == MODAL:
            steps = steps_there(model, text or "", [column.config for column in columns], helper, REFRESH)
            pictures = write_there(steps, columns, lambda: _requests.state(page, number), REFRESH)
        else:
            streams = [_stream(run, text or "", column.config, helper) for column in columns]
            pictures = _write(streams, columns, lambda: _requests.state(page, number))
        for picture in pictures:
            columns = picture
            yield [column_html(column, run.tokenizer) for column in columns]
    except UserError as error:
        yield [column_html(replace(column, state="failed", message=str(error))) for column in columns]


def _stream(run: Any, text: str, config: GenerationConfig, assistant: str) -> Generator[Any, None, None]:
    """A column's events; nothing is done before the first is asked for, so that its errors are its own."""
    from core.decode import stream

    helper = get_run(assistant) if config.strategy == "assisted" else None
    yield from stream(run, text, config, trace=True, assistant=helper)


def _write(streams: list[Generator[Any, None, None]], columns: list[Column], ask: Any) -> Iterator[list[Column]]:
    """All columns after each picture; the last one when all are done, or at the step at which it was stopped."""
    columns = [replace(column, state="writing") for column in columns]
    shown = 0.0
    while any(column.state == "writing" for column in columns):
        for place, events in enumerate(streams):
            if columns[place].state != "writing":
                continue
            said = ask()
            if said != "going":
                for each in streams:
                    each.close()
                if said == "stopped":
                    yield [replace(c, state="stopped") if c.state == "writing" else c for c in columns]
                return
            columns[place] = _advance(columns[place], events)
        if time.monotonic() - shown >= REFRESH:
            shown = time.monotonic()
            yield columns
    yield columns


def _advance(column: Column, events: Iterator[Any]) -> Column:
    """One more step of one column."""
    began = time.perf_counter()
    try:
        event = next(events, None)
    except UserError as error:  # of this column's settings; the others go on
        return replace(column, state="failed", message=str(error))
    column = replace(column, seconds=column.seconds + time.perf_counter() - began)
    return with_event(column, event) if event is not None else replace(column, state="done")


def _page(request: gr.Request | None) -> str:
    return str(getattr(request, "session_hash", None) or "")
