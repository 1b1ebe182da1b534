"""The Decoding tab: greedy, beam search and top-p on the header's text, written side by side.

One generator drives the three streams in turn, a step each, so that a column's speed is measured on its own steps and
stopping takes effect within one of them. A newer request of the same page makes an older one end.
"""

import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import gradio as gr

from core.decode.config import GenerationConfig
from core.errors import RunError, UserError
from playground.header import NO_MODEL
from playground.models import get_run
from playground.views.decoding import Column, column_html

TITLES = ("Greedy", "Beam search", "Top-p")
REFRESH = 0.06  # seconds between two pictures of a column
LONGEST = 400  # new tokens
MAX_BEAMS = 12
INTRO = (
    '<p class="decoding-intro">Three ways to choose the next token, on the same model and text. '
    '<span class="decoding-scale">certain <span aria-hidden="true"></span> unlikely.</span> '
    "Point at a token, or move to it with Tab, to see what else was likely.</p>"
)


@dataclass
class DecodingTab:
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

    @property
    def settings(self) -> list[Any]:
        return [
            self.beams, self.length_penalty, self.temperature, self.top_p, self.top_k, self.max_new_tokens,
            self.repetition_penalty, self.seed,
        ]  # fmt: skip

    def on_load(self, demo: gr.Blocks, header: Any) -> None:
        """What is shown on arrival: the default model at work on the default text."""
        demo.load(
            decode_columns, [*header.inputs, *self.settings], self.columns,
            show_progress="hidden", trigger_mode="multiple", concurrency_limit=None, api_visibility="private",
        )  # fmt: skip


def build(model: str | None = None, text: str = "") -> DecodingTab:
    """The components, columns still empty: `on_load` fills them."""
    with gr.Row(elem_classes="decoding-top"):
        gr.HTML(INTRO, padding=False, js_on_load=None)
        run = gr.Button("Run", variant="primary", min_width=90, scale=0, elem_id="decoding-run")
        stop = gr.Button("Stop", variant="stop", min_width=90, scale=0, elem_id="decoding-stop")
    with gr.Row(elem_classes="decoding-columns", equal_height=False):
        waiting = [Column(title, config) for title, config in zip(TITLES, configs(), strict=True)]
        columns = [
            gr.HTML(column_html(column), elem_id=f"decoding-{name}", padding=False, js_on_load=None)
            for name, column in zip(("greedy", "beam", "top-p"), waiting, strict=True)
        ]
    with gr.Accordion("Settings", open=False), gr.Row():
        beams = gr.Slider(1, MAX_BEAMS, 5, step=1, label="Beams", min_width=220)
        length_penalty = gr.Slider(
            -1, 3, 1.0, step=0.1, label="Length penalty", info="Above 0 favours longer", min_width=220
        )
        temperature = gr.Slider(0, 2, 1.0, step=0.05, label="Temperature", info="0 is greedy", min_width=220)
        top_p = gr.Slider(0.05, 1, 0.9, step=0.05, label="Top-p", info="1 is off", min_width=220)
        top_k = gr.Slider(0, 200, 0, step=1, label="Top-k", info="0 is off", min_width=220)
        max_new_tokens = gr.Slider(1, LONGEST, 60, step=1, label="Longest, in tokens", min_width=220)
        repetition_penalty = gr.Slider(
            1, 2, 1.0, step=0.05, label="Repetition penalty", info="1 is off; acts on all columns", min_width=220
        )
        seed = gr.Number(0, label="Seed", precision=0, info="Of the top-p column", min_width=220)
    return DecodingTab(
        columns, run, stop, beams, length_penalty, temperature, top_p, top_k, max_new_tokens, repetition_penalty, seed
    )


def wire(tab: DecodingTab, header: Any) -> None:
    inputs = [*header.inputs, *tab.settings]
    gr.on(
        [*header.changes, tab.run.click],
        decode_columns, inputs, tab.columns,
        show_progress="hidden", trigger_mode="multiple", concurrency_limit=None, api_visibility="private",
    )  # fmt: skip
    tab.stop.click(stop_columns, None, None, queue=False, show_progress="hidden", api_visibility="private")


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


def configs(
    beams: int = 5,
    length_penalty: float = 1.0,
    temperature: float = 1.0,
    top_p: float = 0.9,
    top_k: int = 0,
    max_new_tokens: int = 60,
    repetition_penalty: float = 1.0,
    seed: int = 0,
) -> list[GenerationConfig]:
    """The settings of the three columns. ConfigError for what no strategy can do."""
    common = GenerationConfig(
        max_new_tokens=int(max_new_tokens), repetition_penalty=float(repetition_penalty), num_candidates=10
    )
    beams = int(beams)
    return [
        common,
        replace(
            common, strategy="beam", num_beams=beams, num_return_sequences=beams, length_penalty=float(length_penalty)
        ),
        replace(
            common, strategy="sample", temperature=float(temperature), top_p=float(top_p), top_k=int(top_k),
            seed=int(seed or 0),
        ),
    ]  # fmt: skip


def stop_columns(request: gr.Request) -> None:
    _requests.stop(_page(request))


def decode_columns(
    model: str,
    text: str,
    beams: int,
    length_penalty: float,
    temperature: float,
    top_p: float,
    top_k: int,
    max_new_tokens: int,
    repetition_penalty: float,
    seed: int,
    request: gr.Request,  # gradio hands it over by its place, so the settings are named one by one
) -> Iterator[list[str]]:
    """Write the three columns; yields their HTML as they grow. What goes wrong is said in the columns."""
    page = _page(request)
    number = _requests.begin(page)
    columns = [Column(title, config) for title, config in zip(TITLES, configs(), strict=True)]
    try:
        chosen = configs(beams, length_penalty, temperature, top_p, top_k, max_new_tokens, repetition_penalty, seed)
        columns = [replace(c, config=config) for c, config in zip(columns, chosen, strict=True)]
        if not model:
            raise RunError(NO_MODEL)
        run = get_run(model)
        run.model  # noqa: B018 - read from disk here, so that a broken file is said in place
        for picture in _write(run, text or "", columns, lambda: _requests.state(page, number)):
            columns = picture
            yield [column_html(column, run.tokenizer) for column in columns]
    except UserError as error:
        yield [column_html(replace(column, state="failed", message=str(error))) for column in columns]


def _write(run: Any, text: str, columns: list[Column], ask: Any) -> Iterator[list[Column]]:
    """All columns after each picture; the last one when all are done, or at the step at which it was stopped."""
    from core.decode import stream

    columns = [replace(column, state="writing") for column in columns]
    streams = [stream(run, text, column.config, trace=True) for column in columns]
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
    if event is None:
        return replace(column, state="done")
    if event.generation is None:
        return replace(column, hypothesis=event.hypothesis, beams=event.beams, forward_passes=column.forward_passes + 1)
    generation = event.generation
    beams = generation.hypotheses if column.config.strategy == "beam" and not column.config.is_greedy else []
    return replace(
        column, state="done", hypothesis=generation.best, beams=beams, forward_passes=generation.forward_passes,
        truncated=generation.truncated,
    )  # fmt: skip


def _page(request: gr.Request | None) -> str:
    return str(getattr(request, "session_hash", None) or "")
