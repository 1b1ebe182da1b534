"""Beam tree: a beam search with every hypothesis that it looked at, step by step, and why the winner won."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.decode import stream
from core.decode.config import GenerationConfig
from core.decode.result import Generation
from core.decode.trace import StepTrace
from core.decode.tree import Tree, TreeNode, beam_tree, grow
from core.errors import ConfigError, RunError, UserError
from core.run import Run
from core.tokenizer.visible import visible
from playground.decoding_form import MAX_BEAMS
from playground.figure_html import figure_html
from playground.header import NO_MODEL
from playground.models import get_run
from playground.parts import QUIET
from playground.running import Asked, Running
from playground.site import Site, here
from playground.tabs.decoding.settings import for_model
from playground.tabs.decoding.work import Work, no_order
from playground.views.beam_tree import hypotheses_html, tree_spec
from playground.views.notice import notice

LONGEST = 100  # tokens
EVERY = 0.25  # seconds between two pictures
FORMULAS = [("sum / length^penalty", "hf"), ("sum / ((5 + length) / 6)^penalty", "gnmt")]
ENDS = [("when none can be better", "false"), ("with enough finished ones", "true"), ("never before the end", "never")]
NAMES = ("beams", "longest", "penalty", "scores", "ends", "groups", "diversity", "ngrams")  # in the page's address

_running = Running()


@dataclass
class TreePart:
    message: gr.HTML
    figure: gr.HTML
    table: gr.HTML
    order: gr.State  # changes when the search is to be made
    settings: list[Any]  # as `_config` takes them
    run: gr.Button
    stop: gr.Button

    @property
    def results(self) -> list[Any]:
        return [self.message, self.figure, self.table]

    @property
    def shared(self) -> dict[str, Any]:
        return {f"tree-{name}": field for name, field in zip(NAMES, self.settings, strict=True)}


def build(site: Site, work: Work) -> TreePart:
    with gr.Row(elem_classes="toolbar tree-toolbar"):
        settings = [
            gr.Slider(2, min(MAX_BEAMS, site.beams), 5, step=1, label="Beams", min_width=150, elem_id="tree-beams"),
            gr.Slider(1, min(LONGEST, site.new_tokens), 30, step=1, label="Longest", info="In tokens", min_width=150,
                      elem_id="tree-longest"),
            gr.Slider(-1, 3, 1.0, step=0.1, label="Length penalty", info="Above 0 favours longer", min_width=150),
            gr.Dropdown(FORMULAS, value="hf", label="Scores", min_width=210),
        ]  # fmt: skip
        run = gr.Button("Search", variant="primary", size="sm", scale=0, min_width=90, elem_id="tree-run")
        stop = gr.Button("Stop", variant="stop", size="sm", scale=0, min_width=90, elem_id="tree-stop")
    with gr.Accordion("More settings", open=False), gr.Row(elem_classes="toolbar"):
        settings += [
            gr.Dropdown(ENDS, value="false", label="The search ends", min_width=210),
            gr.Slider(1, MAX_BEAMS, 1, step=1, label="Groups", info="Above 1: diverse beams", min_width=150),
            gr.Slider(0, 5, 0.5, step=0.1, label="Diversity penalty", info="Between groups", min_width=150),
            gr.Slider(0, 5, 0, step=1, label="No n-grams twice", info="Of so many tokens; 0 is off", min_width=150),
        ]
    message = gr.HTML("", js_on_load=None)
    figure = figure_html("", "tree-figure")
    table = gr.HTML("", js_on_load=None, elem_id="tree-table")
    return TreePart(message, figure, table, no_order(), settings, run, stop)


def wire(part: TreePart, work: gr.State) -> None:
    changed = [field.release if isinstance(field, gr.Slider) else field.input for field in part.settings]
    gr.on(
        [part.order.change, part.run.click, *changed], grow_tree,
        [work, *part.settings], part.results, concurrency_limit=2, **QUIET | {"trigger_mode": "multiple"},
    )  # fmt: skip
    part.stop.click(stop_tree, None, None, queue=False, show_progress="hidden", api_visibility="private")


def stop_tree(request: gr.Request) -> None:
    """The search ends within a step; its steps so far stay."""
    _running.stop(request)


def grow_tree(request: gr.Request, work: Work, *settings: Any) -> Iterator[tuple[Any, ...]]:
    """The tree as it grows: message, figure, table."""
    trace: list[StepTrace] = []
    try:
        config = _config(settings)
        if not work.model:
            raise RunError(NO_MODEL)
        run = get_run(work.model)
        config = for_model(config, run.config.decode)
        with _running.as_job(Asked(), request) as job:
            shown = time.monotonic()
            for event in stream(run, work.text or "", config, trace=True):
                if job.stopped:
                    if not _running.is_newest(job, request):
                        return
                    note = "Stopped by you: the tree has the steps that were made."
                    yield notice(note, "info"), _figure(run, grow(trace), config), ""
                    return
                trace += event.trace
                if event.generation is not None:
                    yield _ended(run, event.generation, config)
                elif time.monotonic() - shown > EVERY:
                    yield "", _figure(run, grow(trace), config), ""
                    shown = time.monotonic()
    except UserError as error:
        figure = _figure(run, grow(trace), config) if trace else ""
        yield notice(str(error)), figure, ""


def _ended(run: Run, generation: Generation, config: GenerationConfig) -> tuple[Any, ...]:
    tree = beam_tree(generation, config)
    ends = {tuple(tree.nodes[place].id for place in tree.path(p)): node.cumulative
            for p, node in enumerate(tree.nodes) if node.state == "finished"}  # fmt: skip
    sums = [ends.get(tuple(hypothesis.ids)) for hypothesis in generation.hypotheses]
    note = "The text was longer than the model’s context and was shortened." if generation.truncated else ""
    table = hypotheses_html(generation.hypotheses, sums, tree.why)
    return notice(note, "info"), _figure(run, tree.nodes, config, tree), table


def _figure(run: Run, nodes: list[TreeNode], config: GenerationConfig, tree: Tree | None = None) -> str:
    tokenizer = run.tokenizer
    names = {
        token: visible(tokenizer.token_bytes(token)) if tokenizer.has_id(token) else f"#{token}"
        for token in {node.id for node in nodes}
    }
    if tree is None:
        return tree_spec(nodes, names, config)
    return tree_spec(nodes, names, config, tree.winner, tree.runner_up, tree.why)


def _config(settings: tuple[Any, ...]) -> GenerationConfig:
    """What the fields mean. ConfigError for what no search can do, or the site does not offer."""
    beams, longest, penalty, formula, ends, groups, diversity, ngrams = settings
    known: dict[Any, Any] = {"false": False, "true": True, "never": "never"}
    early = known.get(ends) if isinstance(ends, str) else None
    if early is None or any(isinstance(value, bool) for value in (beams, longest, groups, ngrams)):
        raise ConfigError("The page does not offer that: load it again.")
    try:
        beams, longest, groups, ngrams = (int(value) for value in (beams, longest, groups, ngrams))
    except (TypeError, ValueError, OverflowError):
        raise ConfigError("Beams, tokens, groups and n-grams are whole numbers.") from None
    most = min(MAX_BEAMS, here().beams)
    if not 2 <= beams <= most:
        raise ConfigError(f"A tree has 2 to {most} beams, not {beams}.")
    if groups > 1 and beams % groups:
        raise ConfigError(f"{beams} beams cannot be parted into {groups} groups: choose a number that divides them.")
    diverse: dict[str, Any] = {"num_beam_groups": groups, "diversity_penalty": diversity} if groups > 1 else {}
    return GenerationConfig(
        strategy="diverse_beam" if groups > 1 else "beam", num_beams=beams, num_return_sequences=beams,
        max_new_tokens=min(longest, LONGEST, here().new_tokens), length_penalty=penalty,
        length_penalty_formula=formula, early_stopping=early, no_repeat_ngram_size=ngrams, num_candidates=1, **diverse,
    )  # type: ignore[arg-type]  # fmt: skip
