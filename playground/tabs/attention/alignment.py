"""Alignment: a sentence whose word alignment is known, what a head makes of it, and how often each head errs."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import gradio as gr
import numpy as np

from core.analysis.alignment import (
    ROWS,
    AlignmentScores,
    alignment_error_rate,
    alignment_scores,
    can_align,
    gold_alignment,
    head_links,
    reading_of,
    scoring,
    target_rows,
)
from core.analysis.reading import Reading, token_names
from core.data.grammar import Example, held_out
from core.errors import RunError, UserError
from core.run import Run
from playground import models
from playground.figure_html import figure_html
from playground.memory import Memory
from playground.parts import QUIET
from playground.readings import NO_MODEL, Work, stamp
from playground.running import Asked, Running
from playground.site import Site
from playground.views.alignment import errors_spec, links_html, sentence_spec, summary_html
from playground.views.notice import notice

SENTENCES = 500  # the held-out ones of builtin:enja
FIRST = 60  # sentences that errors are counted on without being asked, if the model is a small one
SMALL = 20_000_000  # weights
WHOSE = ("head", "layer")

_running = Running()
_readings: Memory[Reading] = Memory(maximum=24, max_size=64 * 2**20, size=lambda reading: reading.nbytes)
_errors: Memory[AlignmentScores] = Memory(maximum=64)


@dataclass
class AlignmentPart:
    number: gr.Number
    another: gr.Button
    rows: gr.Radio
    whose: gr.Radio
    count: gr.Slider
    measure: gr.Button
    stop: gr.Button
    message: gr.HTML
    map: gr.HTML
    links: gr.HTML
    summary: gr.HTML
    errors: gr.HTML

    @property
    def views(self) -> list[Any]:
        return [self.message, self.map, self.links, self.summary, self.errors]

    @property
    def inputs(self) -> list[Any]:
        return [self.number, self.rows, self.whose, self.count]

    @property
    def opens(self) -> gr.HTML:
        return self.errors

    @property
    def shared(self) -> dict[str, Any]:
        return {"sentence": self.number, "rows": self.rows}


def build(site: Site, work: Work) -> AlignmentPart:
    with gr.Row(elem_classes="toolbar"):
        number = gr.Number(
            1, label=f"Sentence (of {SENTENCES} held out)", precision=0, minimum=1, maximum=SENTENCES, scale=0,
            min_width=190, elem_id="alignment-number", elem_classes="settles",
        )  # fmt: skip
        another = gr.Button("Another sentence", scale=0, min_width=160, size="sm")
        rows = gr.Radio(
            [("being written", "written"), ("just read", "read")], value="written",
            label="A row stands for the token", elem_classes="segmented", elem_id="alignment-rows",
        )  # fmt: skip
        whose = gr.Radio(
            [("the chosen head", "head"), ("the mean of its layer", "layer")], value="head", label="Attention of",
            elem_classes="segmented", elem_id="alignment-whose",
        )  # fmt: skip
    message = gr.HTML("", js_on_load=None, elem_id="alignment-message")
    with gr.Row(elem_classes="attention-row"):
        with gr.Column(scale=7, min_width=320):
            large = figure_html("", "alignment-map")
        with gr.Column(scale=5, min_width=300):
            links = gr.HTML("", js_on_load=None, elem_id="alignment-links")
    with gr.Row(elem_classes="toolbar"):
        count = gr.Slider(20, SENTENCES, value=FIRST, step=20, label="Sentences",
                          elem_id="alignment-count")  # fmt: skip
        measure = gr.Button("Count the errors", variant="primary", scale=0, min_width=180, elem_id="alignment-measure")
        stop = gr.Button("Stop", visible=False, scale=0, min_width=90, elem_id="alignment-stop")
    summary = gr.HTML("", js_on_load=None, elem_id="alignment-summary")
    errors = figure_html("", "alignment-errors")
    return AlignmentPart(number, another, rows, whose, count, measure, stop, message, large, links, summary, errors)


def wire(part: AlignmentPart, work: gr.State) -> None:
    sentence = [part.message, part.map, part.links]
    gr.on([part.number.submit, part.number.blur, part.whose.input], show_sentence,
          [work, part.number, part.rows, part.whose], sentence, **QUIET)  # fmt: skip
    part.rows.input(show, [work, *part.inputs], part.views, **QUIET)
    part.another.click(another_sentence, [work, part.number, part.rows, part.whose], [part.number, *sentence], **QUIET)
    part.measure.click(
        count_errors, [work, part.rows, part.count], [part.summary, part.errors, part.measure, part.stop],
        api_visibility="private", show_progress="hidden",
    )  # fmt: skip
    part.stop.click(stop_counting, None, None, **QUIET)


def show(work: Work, number: Any, rows: str, whose: str, count: Any) -> tuple[Any, ...]:
    """Values of `views`: the sentence, and the errors as far as they are known or quickly counted."""
    _running.leave(_about(work, rows))
    shown = show_sentence(work, number, rows, whose)
    try:
        run, rows, sentences = _run(work), _rows(rows), _count(count)
        known = _errors.known(_key(run, rows, sentences))
        if known is None and _is_small(run):
            known = errors_of(run, rows, FIRST)
        if known is None:
            return *shown, notice("Press “Count the errors” to see how well each head aligns.", "info"), ""
        return *shown, summary_html(known), errors_spec(known, run.name)
    except UserError:
        return *shown, "", ""


def show_sentence(work: Work, number: Any, rows: str, whose: str) -> tuple[str, str, str]:
    """Message, attention with the gold links outlined, and the links as a table."""
    try:
        run, rows = _run(work), _rows(rows)
        place = _number(number)
        example = sentences()[place - 1]
        gold = gold_alignment(run, example)
        reading = _readings.get((models.run_stamp(run), place), lambda: reading_of(run, example))
        layer, head = _chosen(work, reading, gold.links, rows)
        weights = reading.layer_attention("cross", layer)
        weights = weights.mean(axis=0) if whose == "layer" else weights[head]
        of_whom = "mean of its heads" if whose == "layer" else f"head {head + 1}"
        names = reading.written if rows == "written" else reading.names
        figure = sentence_spec(
            weights, names, reading.source_names, gold.links, rows,
            f"Cross-attention layer {layer + 1}, {of_whom}: {example.src} → {example.tgt}",
            f"alignment-sentence-{place}",
        )  # fmt: skip
        said = head_links(target_rows(weights, rows))
        target = token_names(run.tokenizer.for_target(), gold.target)
        error = alignment_error_rate(said, gold.links)
        return "", figure, links_html(target, reading.source_names[:-1], gold.links, said, error)
    except UserError as error:
        return notice(str(error), "info"), "", ""


def another_sentence(work: Work, number: Any, rows: str, whose: str) -> tuple[Any, ...]:
    other = random.choice([place for place in range(1, SENTENCES + 1) if place != number])
    return other, *show_sentence(work, other, rows, whose)


def count_errors(work: Work, rows: str, count: Any, request: gr.Request) -> Iterator[tuple[Any, ...]]:
    """Count, telling how far it is; what was counted until somebody stopped it stands."""
    idle = [gr.update(visible=True), gr.update(visible=False)]
    busy = [gr.update(visible=False), gr.update(visible=True)]
    try:
        run, rows, wanted = _run(work), _rows(rows), _count(count)
        key = _key(run, rows, wanted)
        known = _errors.known(key)
        if known is None:
            with _running.as_job(Asked(_about(work, rows)), request) as job:
                for known in scoring(run, sentences()[:wanted], rows=rows):
                    if job.left:
                        yield gr.skip(), gr.skip(), *idle
                        return
                    if job.stopped:
                        break
                    done = known.sentences + known.left_out
                    yield notice(f"{done:,} of {wanted:,} sentences", "busy"), errors_spec(known, run.name), *busy
        assert known is not None  # scoring raises, or says something
        scores = known
        if scores.sentences + scores.left_out == wanted:
            _errors.get(key, lambda: scores)
        yield summary_html(scores), errors_spec(scores, run.name), *idle
    except UserError as error:
        yield notice(str(error)), "", *idle


def stop_counting(request: gr.Request) -> None:
    _running.stop(request)


def errors_of(run: Run, rows: str, count: int) -> AlignmentScores:
    """The errors on the first `count` sentences, kept."""
    key = _key(run, rows, count)
    return _errors.get(key, lambda: alignment_scores(run, sentences()[:count], rows=rows))


@lru_cache(maxsize=1)
def sentences() -> list[Example]:
    """The held-out test sentences: no run has been trained on them."""
    return held_out(SENTENCES)[1]


def _chosen(work: Work, reading: Reading, links: np.ndarray, rows: str) -> tuple[int, int]:
    """The work's head if it is one of the cross-attention, else the one that aligns this sentence best."""
    layers, heads = reading.n_layers("cross"), reading.n_heads
    if work.kind == "cross" and work.layer >= 0 and work.head >= 0:
        return min(work.layer, layers - 1), min(work.head, heads - 1)
    errors = [
        alignment_error_rate(head_links(target_rows(weights, rows)), links)
        for layer in range(layers)
        for weights in reading.layer_attention("cross", layer)
    ]
    best = int(np.nanargmin(errors))
    return best // heads, best % heads


def _run(work: Work) -> Run:
    if not work.model:
        raise UserError(NO_MODEL)
    run = models.get_run(work.model)
    if not can_align(run):
        raise RunError(
            "Whether attention is right is known of the built-in sentences in English and Japanese: choose a model "
            "that translates these, such as enja-transformer."
        )
    return run


def _is_small(run: Run) -> bool:
    return run.model.num_parameters() <= SMALL


def _key(run: Run, rows: str, count: int) -> tuple[Any, ...]:
    return models.run_stamp(run), rows, count


def _about(work: Work, rows: Any) -> tuple[Any, ...]:
    """What errors are counted of, however many sentences."""
    return work.model, stamp(work), _rows(rows)


def _rows(rows: Any) -> str:
    return rows if isinstance(rows, str) and rows in ROWS else "written"


def _number(number: Any) -> int:
    """The place of a sentence, whatever the field holds."""
    return _whole(number, 1, SENTENCES, 1)


def _count(count: Any) -> int:
    return _whole(count, 1, SENTENCES, FIRST)


def _whole(value: Any, low: int, high: int, otherwise: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
        return otherwise
    return int(min(max(value, low), high))
