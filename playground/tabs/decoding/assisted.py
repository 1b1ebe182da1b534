"""Assisted: a smaller model drafts, the header's checks; which drafts it accepts, and what that is worth in time."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from core.decode import generate, stream
from core.decode.config import GenerationConfig
from core.decode.result import Generation, Hypothesis, StreamEvent
from core.decode.scoring import rescored
from core.errors import ConfigError, RunError, UserError
from core.run import Run
from core.tokenizer.visible import visible
from playground.decoding_form import assistants, chosen_assistant
from playground.figure_html import figure_html
from playground.header import NO_MODEL
from playground.models import get_run
from playground.parts import QUIET
from playground.running import Asked, Running
from playground.site import Site, here
from playground.tabs.decoding.settings import MAX_DRAFTS, for_model
from playground.tabs.decoding.work import Work, no_order
from playground.views.assisted import Cost, assisted_spec, costs_html, names_needed
from playground.views.notice import notice

LONGEST = 200  # tokens
EVERY = 0.15  # seconds between two pictures
HOW = [("most probable", "greedy"), ("drawn", "drawn")]
NAMES = ("drafts", "longest", "how", "temperature", "seed")  # in the page's address

_running = Running()


@dataclass
class AssistedPart:
    message: gr.HTML
    figure: gr.HTML
    table: gr.HTML
    assistant: gr.Dropdown
    order: gr.State  # changes when it is to be written
    settings: list[Any]  # as `_config` takes them, behind the assistant
    run: gr.Button
    stop: gr.Button

    @property
    def results(self) -> list[Any]:
        return [self.message, self.figure, self.table]

    @property
    def inputs(self) -> list[Any]:
        return [self.assistant, *self.settings]

    @property
    def shared(self) -> dict[str, Any]:
        return {"assistant": self.assistant} | {
            f"assisted-{name}": field for name, field in zip(NAMES, self.settings, strict=True)
        }


def build(site: Site, work: Work) -> AssistedPart:
    longest = min(LONGEST, site.new_tokens)
    with gr.Row(elem_classes="toolbar tree-toolbar"):
        assistant = gr.Dropdown(
            [], value=None, label="Assistant", info="Runs of the same tokenizer", min_width=200,
            elem_id="assisted-assistant",
            allow_custom_value=True,  # else a page whose list is about to change is refused
        )  # fmt: skip
        settings = [
            gr.Slider(1, MAX_DRAFTS, 5, step=1, label="Drafts", info="Tokens in one go", min_width=150),
            gr.Slider(1, longest, min(80, longest), step=1, label="Longest", info="In tokens", min_width=150),
            gr.Radio(HOW, value="greedy", label="Tokens are", elem_classes="segmented", elem_id="assisted-how"),
            gr.Slider(0.1, 2, 1.0, step=0.05, label="Temperature", info="Of what is drawn", min_width=150),
            gr.Number(0, label="Seed", info="Of what is drawn", precision=0, min_width=90),
        ]
        run = gr.Button("Run", variant="primary", size="sm", scale=0, min_width=90, elem_id="assisted-run")
        stop = gr.Button("Stop", variant="stop", size="sm", scale=0, min_width=90, elem_id="assisted-stop")
    message = gr.HTML("", js_on_load=None)
    figure = figure_html("", "assisted-figure")
    table = gr.HTML("", js_on_load=None, elem_id="assisted-table")
    return AssistedPart(message, figure, table, assistant, no_order(), settings, run, stop)


def wire(part: AssistedPart, work: gr.State) -> None:
    changed = [field.release if isinstance(field, gr.Slider) else field.input for field in part.settings]
    gr.on(
        [part.order.change, part.run.click, part.assistant.input, *changed], write_assisted,
        [work, *part.inputs], part.results, concurrency_limit=2, **QUIET | {"trigger_mode": "multiple"},
    )  # fmt: skip
    part.order.change(show_assistants, [work, part.assistant], part.assistant, **QUIET)
    part.stop.click(stop_assisted, None, None, queue=False, show_progress="hidden", api_visibility="private")


def stop_assisted(request: gr.Request) -> None:
    """The writing ends within a step; what is written stays."""
    _running.stop(request)


def show_assistants(work: Work, assistant: Any) -> Any:
    """The runs that can assist the model."""
    choices = assistants(work.model)
    return gr.Dropdown(choices=choices, value=_suited(work.model, assistant) if choices else None)


def write_assisted(request: gr.Request, work: Work, assistant: Any, *settings: Any) -> Iterator[tuple[Any, ...]]:
    """With the assistant, as it is written, then both again, plainly and with it: message, figure, table."""
    try:
        if not work.model:
            raise RunError(NO_MODEL)
        run = get_run(work.model)
        chosen = _suited(work.model, assistant)
        helper = get_run(chosen)
        config = for_model(_config(settings), run.config.decode)
        plain = replace(config, strategy="sample" if config.draws else "greedy", assisted_sampling=False)
        text, title, itself = work.text or "", f"{work.model}, drafted by {chosen}", chosen == work.model
        with _running.as_job(Asked(), request) as job:
            _warm_up(run, helper, text, config, plain)
            assisted = _Timed(stream(run, text, config, assistant=helper))
            shown = 0.0
            for event in assisted:
                if job.stopped or event.generation is not None:
                    break
                if time.monotonic() - shown > EVERY:
                    shown = time.monotonic()
                    yield "", _figure(run, event.hypothesis, [], title), ""
            first = assisted.generation
            if first is None:
                if _running.is_newest(job, request) and assisted.last is not None:
                    note = "Stopped by you: what was thrown away, and the comparison, are known at the end only."
                    yield notice(note, "info"), _figure(run, assisted.last.hypothesis, [], title), ""
                return
            first = rescored(run, first)
            cut = "The text was longer than the model’s context and was shortened." if first.truncated else ""
            note = notice(cut, "info")
            yield note, _figure(run, first.best, first.work.rounds, title), "…"
            turns = [_Timed(stream(run, text, plain)) for _ in range(2)]
            turns.append(_Timed(stream(run, text, config, assistant=helper)))
            for turn in turns:
                for _ in turn:
                    if job.stopped:
                        break
            if job.stopped:
                if _running.is_newest(job, request):
                    yield notice("Stopped by you before the comparison.", "info"), gr.skip(), ""
                return
            alone = turns[0].generation
            if alone is not None:
                both = min(assisted.seconds, turns[2].seconds), min(turns[0].seconds, turns[1].seconds)
                costs = [
                    Cost(name, len(made.ids), seconds, made.work)
                    for name, made, seconds in zip((f"with {chosen}", "plain"), (first, alone), both, strict=True)
                ]
                same = None if config.draws else alone.ids == first.ids
                yield note, gr.skip(), costs_html(costs, same, itself)
    except UserError as error:
        yield notice(str(error)), "", ""


def _suited(model: str, assistant: Any) -> str:
    """Who assists the model: who was chosen, if that can be, else the first that can."""
    names = [name for _, name in assistants(model)]
    chosen = chosen_assistant(model, assistant) if isinstance(assistant, str) and assistant else ""
    return chosen if chosen and (chosen != model or assistant == model) else next(iter(names), model)


class _Timed:
    """A stream whose own steps are timed, whatever is done between them."""

    def __init__(self, events: Iterator[StreamEvent]) -> None:
        self.events, self.seconds = events, 0.0
        self.last: StreamEvent | None = None
        self.generation: Generation | None = None

    def __iter__(self) -> Iterator[StreamEvent]:
        while True:
            began = time.perf_counter()
            event = next(self.events, None)
            self.seconds += time.perf_counter() - began
            if event is None:
                return
            self.last, self.generation = event, event.generation or self.generation
            yield event


def _warm_up(run: Run, helper: Run, text: str, config: GenerationConfig, plain: GenerationConfig) -> None:
    """A few tokens of both, so that neither pays for what is made once (packed weights, the first pages of memory)."""
    for one, assistant in ((config, helper), (plain, None)):
        few = replace(one, max_new_tokens=min(3, one.max_new_tokens))
        generate(run, [text or ""], few, assistant=assistant)


def _figure(run: Run, hypothesis: Hypothesis, rounds: list[list[int]], title: str) -> str:
    tokenizer = run.tokenizer
    names = {
        token: visible(tokenizer.token_bytes(token)) if tokenizer.has_id(token) else f"#{token}"
        for token in names_needed(hypothesis, rounds)
    }
    count, accepted, drafted = len(hypothesis.ids), sum(hypothesis.drafted), sum(map(len, rounds))
    said = f"{count} token{'s' * (count != 1)}, {accepted} of them drafted"
    if rounds:
        said += f" · {accepted} of {drafted} drafts accepted in {len(rounds)} rounds"
    return assisted_spec(hypothesis, rounds, names, title, said)


def _config(settings: tuple[Any, ...]) -> GenerationConfig:
    drafts, longest, how, temperature, seed = settings
    try:
        drafts, longest, seed = int(drafts), int(longest), int(seed or 0)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError("Drafts, tokens and the seed are whole numbers.") from None
    drawn = how == "drawn"
    return GenerationConfig(
        strategy="assisted", num_assistant_tokens=min(drafts, MAX_DRAFTS), assisted_sampling=drawn,
        max_new_tokens=min(longest, LONGEST, here().new_tokens), temperature=temperature if drawn else 1.0, seed=seed,
        num_candidates=1,
    )  # fmt: skip
