"""Degeneration: what becomes of text that strategies write, beside what people wrote (Holtzman et al., 2020), on one's
own model: many prompts, every strategy that is chosen, measures and figures as in the paper.

Nothing is written before somebody asks for it. Stopped, or when the time is over: what is there is shown.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr

from core.decode.config import GenerationConfig
from core.decode.presets import PRESETS, preset
from core.errors import ConfigError, RunError, UserError
from core.evaluate.experiment import (
    Case,
    ColumnResult,
    Progress,
    default_columns,
    experiment,
)
from core.run import Run
from playground.figure_html import figure_html
from playground.header import NO_MODEL
from playground.models import get_run
from playground.parts import CHANGING, QUIET
from playground.running import Asked, Running
from playground.site import Site, here
from playground.tabs.decoding.prompts import (
    DATA,
    SOURCES,
    TEXT,
    TEXTS,
    TYPED,
    are_examples,
    cases_of,
    data_sets,
    example_prompts,
)
from playground.tabs.decoding.settings import for_model
from playground.tabs.decoding.work import Work, no_order, stamp
from playground.views.degeneration import measures_spec, probability_spec, progress_html, texts_html
from playground.views.notice import notice

STRATEGIES = [(known.title, name) for name, known in PRESETS.items() if known.config.strategy != "assisted"]
USUAL = [name for name, known in PRESETS.items() if (known.title, known.config) in default_columns()]
MOST_COLUMNS = 12
MOST_PROMPTS, MOST_STRANGERS = 100, 16  # on one's own page, and on a hosted one
LONGEST, LONGEST_PROMPT = 200, 200  # tokens
EVERY = 0.3  # seconds between two pictures
INTRO = (
    '<p class="caption">Many prompts, every strategy that is chosen, and the same measures of each beside what people '
    "wrote: which of them repeats itself, which wanders off, which is most like people’s text.</p>"
)

_running = Running()


@dataclass
class DegenerationPart:
    source: gr.Radio
    typed: gr.Textbox
    text: gr.Textbox
    data: gr.Dropdown
    settings: list[Any]  # strategies, prompts, tokens of a prompt, new tokens, seed
    start: gr.Button
    stop: gr.Button
    message: gr.HTML
    measures: gr.HTML
    curves: gr.HTML
    texts: gr.HTML
    about: gr.State  # the model that the form suits, and that the results are of
    order: gr.State  # changes when the form is to suit the model

    @property
    def fields(self) -> list[Any]:
        return [self.source, self.typed, self.text, self.data]

    @property
    def results(self) -> list[Any]:
        return [self.message, self.measures, self.curves, self.texts]

    @property
    def views(self) -> list[Any]:
        """What `suit_model` gives."""
        return [self.about, self.source, self.typed, self.text, self.data, *self.results]


def build(site: Site, work: Work) -> DegenerationPart:
    most = MOST_STRANGERS if site.is_hosted else MOST_PROMPTS
    longest = min(LONGEST, site.new_tokens)
    gr.HTML(INTRO, padding=False, js_on_load=None)
    with gr.Row(elem_classes="degeneration-form"):
        with gr.Column(scale=1, min_width=300):
            source = gr.Radio(
                SOURCES, value=TYPED, label="Prompts", elem_classes="segmented", elem_id="degeneration-source"
            )
            typed = gr.Textbox(
                "", label="One a line", info="\\n is a line end; behind a tab, what a person wrote", lines=4,
                max_lines=8, max_length=site.characters, elem_id="degeneration-typed",
            )  # fmt: skip
            text = gr.Textbox(
                "", label="Text", lines=4, max_lines=8, max_length=site.characters, visible=False,
                placeholder="Paste a long text: prompts are cut from it, and how it goes on is people’s text.",
                elem_id="degeneration-text",
            )  # fmt: skip
            data = gr.Dropdown(
                TEXTS, value=TEXTS[0][1], label="Data set", info="The part that no bundled run has seen", visible=False,
                elem_id="degeneration-data", **CHANGING,
            )  # fmt: skip
        with gr.Column(scale=1, min_width=300):
            strategies = gr.CheckboxGroup(
                STRATEGIES, value=USUAL, label="Strategies", elem_id="degeneration-strategies"
            )
            with gr.Row(elem_classes="toolbar"):
                settings = [
                    strategies,
                    gr.Slider(1, most, min(12, most), step=1, label="Prompts", min_width=140),
                    gr.Slider(1, LONGEST_PROMPT, 32, step=1, label="Tokens of a prompt", min_width=140),
                    gr.Slider(1, longest, min(40, longest), step=1, label="New tokens", min_width=140,
                              elem_id="degeneration-tokens"),
                    gr.Number(0, label="Seed", precision=0, min_width=100),
                ]  # fmt: skip
            with gr.Row(elem_classes="train-buttons"):
                start = gr.Button("Run", variant="primary", min_width=120, scale=0, elem_id="degeneration-run")
                stop = gr.Button("Stop", variant="stop", visible=False, min_width=90, scale=0,
                                 elem_id="degeneration-stop")  # fmt: skip
    message = gr.HTML("", js_on_load=None, elem_id="degeneration-message")
    measures = figure_html("", "degeneration-measures")
    curves = figure_html("", "degeneration-curves")
    texts = gr.HTML("", js_on_load=None, elem_id="degeneration-texts")
    return DegenerationPart(
        source, typed, text, data, settings, start, stop, message, measures, curves, texts, gr.State(None), no_order()
    )


def wire(part: DegenerationPart, work: gr.State) -> None:
    part.order.change(suit_model, [work, part.about, part.typed], part.views, **QUIET)
    part.source.input(choose_prompts, part.source, [part.typed, part.text, part.data], **QUIET)
    part.start.click(
        run_experiment, [work, *part.fields, *part.settings], [*part.results, part.start, part.stop],
        concurrency_limit=2, **QUIET | {"trigger_mode": "once"},
    )  # fmt: skip
    part.stop.click(stop_experiment, None, None, **QUIET)


def suit_model(work: Work, about: Any, typed: Any) -> list[Any]:
    """Values for `views`. Another model: the results go, and prompts of one's own stay."""
    now = (work.model, stamp(work))
    if about == now:
        return [gr.skip()] * 9
    try:
        if not work.model:
            raise RunError(NO_MODEL)
        run = get_run(work.model)
    except UserError as error:
        return [now, *[gr.skip()] * 4, notice(str(error)), "", "", ""]
    choices = data_sets(run)
    own = run.config.data.name
    suits = own in [name for _, name in choices]
    data = gr.Dropdown(choices=choices, value=own if suits else choices[0][1], visible=suits)
    lines = (
        typed if isinstance(typed, str) and typed.strip() and not are_examples(typed, about) else example_prompts(run)
    )
    source = DATA if suits else TYPED
    return [
        now, source, gr.Textbox(lines, visible=not suits), gr.Textbox(visible=False), data, *[""] * 4
    ]  # fmt: skip


def choose_prompts(source: Any) -> tuple[Any, Any, Any]:
    """Where prompts come from: the field for it."""
    return gr.Textbox(visible=source == TYPED), gr.Textbox(visible=source == TEXT), gr.Dropdown(visible=source == DATA)


def stop_experiment(request: gr.Request) -> None:
    """It ends within a step and shows what there is."""
    _running.stop(request)


def run_experiment(
    request: gr.Request, work: Work, source: Any, typed: Any, text: Any, data: Any, names: Any, prompts: Any,
    prompt_tokens: Any, new_tokens: Any, seed: Any,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """The experiment as it goes: message, both figures, texts, and the buttons."""
    busy, ready = (
        (gr.Button(visible=False), gr.Button(visible=True)),
        (gr.Button(visible=True), gr.Button(visible=False)),
    )
    shown: _Shown | None = None
    progress: Progress | None = None
    problem = ""
    try:
        if not work.model:
            raise RunError(NO_MODEL)
        run = get_run(work.model)
        count = _whole("The number of prompts", prompts, MOST_STRANGERS if here().is_hosted else MOST_PROMPTS)
        prompt_tokens = _whole("Tokens of a prompt", prompt_tokens, LONGEST_PROMPT)
        new_tokens = _whole("New tokens", new_tokens, min(LONGEST, here().new_tokens))
        columns = _columns(run, names, seed)
        with _running.as_job(Asked(), request) as job:
            yield progress_html("The prompts are read …", 0), "", "", "", *busy
            cases = cases_of(run, source, typed, text, data, count, prompt_tokens, new_tokens)
            subtitle = f"{run.name} · prompts: {len(cases):,} · new tokens of each: {new_tokens:,} at most"
            shown = _Shown(run, cases, subtitle)
            steps = experiment(run, cases, columns, new_tokens)
            began = seen = time.monotonic()
            with closing(steps):
                for progress in steps:
                    if job.stopped:
                        break
                    news = len(progress.columns) > shown.count
                    if news or time.monotonic() - seen > EVERY:
                        seen = time.monotonic()
                        said = _said(progress, seen - began)
                        pictures = shown.pictures(progress.columns) if news else [gr.skip()] * 3
                        yield progress_html(said, progress.share), *pictures, *busy
            problem = "Stopped by you: this is what there is." if job.stopped else ""
    except UserError as error:  # also of a hosted page, whose time is over
        problem = str(error)
    there = progress.finish() if progress is not None else []
    pictures = shown.pictures(there) if shown is not None and there else ["", "", ""]
    yield notice(problem, "info" if there else "error"), *pictures, *ready


@dataclass
class _Shown:
    """What the pictures are made of."""

    run: Run
    cases: list[Case]
    subtitle: str
    count: int = 0  # columns that are shown

    def pictures(self, columns: Sequence[ColumnResult]) -> list[str]:
        self.count = len(columns)
        tokenizer = self.run.tokenizer.for_target() if self.run.is_translation else self.run.tokenizer
        return [
            measures_spec(columns, self.subtitle), probability_spec(columns, self.subtitle),
            texts_html(columns, self.cases, tokenizer),
        ]  # fmt: skip


def _said(progress: Progress, seconds: float) -> str:
    left = seconds * (1 - progress.share) / progress.share if progress.share > 0.1 else None
    about = f", about {left:.0f} s left" if left is not None else ""
    return f"{progress.title}: {progress.done:,} of {progress.total:,} prompts are done{about}."


# ------------------------------------------------------------------------------------------------ what is asked for


def _columns(run: Run, names: Any, seed: Any) -> list[tuple[str, GenerationConfig]]:
    if not isinstance(names, (list, tuple)) or not names:
        raise ConfigError("Choose a strategy at least.")
    if len(names) > MOST_COLUMNS:
        raise ConfigError(f"{MOST_COLUMNS} strategies are the most; take some out.")
    offered = [name for _, name in STRATEGIES]
    seed = _whole("The seed", 0 if seed is None else seed, 2**63 - 1, least=0)
    columns = []
    for name in dict.fromkeys(map(str, names)):
        known = preset(name)
        if name not in offered:
            raise ConfigError(f"{known.title} writes as another strategy does: leave it out.")
        columns.append((known.title, for_model(replace(known.config, seed=seed), run.config.decode)))
    return columns


def _whole(name: str, value: Any, most: int, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or not least <= value <= most:
        raise ConfigError(f"{name} must be a whole number from {least:,} to {most:,}.")
    return int(value)
