"""Compare: kept evaluations beside each other. One table and figure, whether differences may be chance, and the outputs
sentence by sentence; from here evaluations are opened and deleted too.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from core.errors import ConfigError, DataError, UserError
from core.evaluate import store
from core.evaluate.scores import METRICS
from core.evaluate.significance import MOST_SAMPLES, SAMPLES, SEED, Comparison, paired
from core.run import default_runs_dir
from playground.figure_html import figure_html
from playground.memory import Memory
from playground.parts import QUIET
from playground.running import Asked, Running
from playground.site import Site, here
from playground.tabs.decoding.work import Work
from playground.tabs.evaluate import lines, outcomes
from playground.tabs.evaluate.form import strategy_name
from playground.tabs.evaluate.measure import MeasurePart, metric_choices
from playground.tabs.evaluate.outcomes import Outcome, names_of
from playground.tabs.evaluate.watched import Tell, Watched
from playground.views.degeneration import progress_html
from playground.views.evaluation import figures_of, shown_score, title_of
from playground.views.evaluation_compare import figures_spec, table_html
from playground.views.evaluation_list import KeptRow, kept_html
from playground.views.notice import notice

METHODS = [("Paired bootstrap", "bootstrap"), ("Approximate randomisation", "randomisation"), ("None", "none")]
TESTED = ("bleu", "chrf")  # at first
MOST_STRANGERS = 1_000  # samples, on a hosted page
MOST_ROWS = 200  # that are listed
CLICK = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-act]');
  if (!button) return;
  const clicked = {act: button.dataset.act, id: button.dataset.id, on: Boolean(button.checked)};
  window.keptClicks.push(clicked);
  trigger('select', clicked);
});
"""
# What is chosen is known to the page at once: a second click may come before the answer to the first.
CHOOSE = f"(chosen) => window.chooseKept(chosen, {lines.MOST})"
OPEN_MEASURE = "() => { window.openPlace('Evaluate', 'Measure'); }"

_running = Running()
_tests: Memory[Comparison] = Memory(maximum=64)


@dataclass
class ComparePart:
    table: gr.HTML  # the kept evaluations
    ask: gr.Row
    question: gr.HTML
    sure: gr.Button
    spare: gr.Button
    asked: gr.State  # the evaluation that the question is about
    chosen: gr.Textbox  # ids, with commas between them, in the order in which they were chosen
    opened: gr.State  # (id, a new number): what was opened last
    method: gr.Radio
    metrics: gr.CheckboxGroup
    samples: gr.Number
    seed: gr.Number
    run: gr.Button
    stop: gr.Button
    message: gr.HTML
    figure: gr.HTML
    scores: gr.HTML
    lines: lines.LinesPart

    @property
    def results(self) -> list[Any]:
        return [self.message, self.figure, self.scores, *self.lines.views]

    @property
    def views(self) -> list[Any]:
        """A question that is open stays, whatever else is shown anew."""
        return [self.table, *self.results]

    @property
    def inputs(self) -> list[Any]:
        return [self.chosen, *self.settings, self.lines.order, self.lines.metric, self.lines.contains]

    @property
    def settings(self) -> list[Any]:
        return [self.method, self.metrics, self.samples, self.seed]

    @property
    def shared(self) -> dict[str, Any]:
        return {"compared": self.chosen}


def build(site: Site, work: Work) -> ComparePart:
    table = gr.HTML("", js_on_load=CLICK, padding=False, elem_id="compare-kept")
    with gr.Row(visible=False, elem_id="compare-ask") as ask:
        question = gr.HTML("", padding=False, js_on_load=None)
        sure = gr.Button("Delete it for good", variant="stop", min_width=140, size="sm", elem_id="compare-sure")
        spare = gr.Button("Keep it", min_width=90, size="sm", elem_id="compare-spare")
    chosen = gr.Textbox("", label="Compared evaluations", visible="hidden", max_length=200, elem_id="compare-chosen")
    most = MOST_STRANGERS if site.is_hosted else MOST_SAMPLES
    with gr.Row(elem_classes="toolbar"):
        method = gr.Radio(METHODS, value="bootstrap", label="Test of the difference from the first one",
                          elem_classes="segmented", elem_id="compare-method")  # fmt: skip
        metrics = gr.CheckboxGroup(metric_choices(), value=list(TESTED), label="Tested", elem_id="compare-metrics")
        samples = gr.Number(0, label="Samples", info="0: as sacreBLEU", precision=0, minimum=0, maximum=most,
                            min_width=110, elem_id="compare-samples")  # fmt: skip
        seed = gr.Number(SEED, label="Seed", info="sacreBLEU’s own", precision=0, minimum=1, maximum=2**31,
                         min_width=110, elem_id="compare-seed")  # fmt: skip
        run = gr.Button("Test", variant="primary", min_width=100, scale=0, elem_id="compare-run")
        stop = gr.Button("Stop", variant="stop", visible=False, min_width=90, scale=0, elem_id="compare-stop")
    message = gr.HTML("", js_on_load=None, elem_id="compare-message")
    figure = figure_html("", "compare-figure")
    scores = gr.HTML("", js_on_load=None, padding=False, elem_id="compare-scores")
    beside = lines.build_lines(site, "compare", chosen, "difference")
    return ComparePart(
        table, ask, question, sure, spare, gr.State(None), chosen, gr.State(None), method, metrics, samples, seed, run,
        stop, message, figure, scores, beside,
    )  # fmt: skip


def wire(part: ComparePart, work: gr.State) -> None:
    every = QUIET | {"trigger_mode": "multiple", "concurrency_limit": 1}
    part.table.select(None, part.chosen, part.chosen, js=CHOOSE, api_visibility="private", trigger_mode="multiple")
    part.table.select(
        act_on_kept, part.chosen, [part.ask, part.question, part.asked, part.message, part.opened], **every
    )
    part.chosen.change(show_compared, part.inputs, [part.table, *part.results], **QUIET)
    part.run.click(
        test_difference, part.inputs, [*part.results[:3], part.run, part.stop], concurrency_limit=2,
        **QUIET | {"trigger_mode": "once"},
    )  # fmt: skip
    part.stop.click(stop_testing, None, None, queue=False, show_progress="hidden", api_visibility="private")


def wire_kept(part: ComparePart, measure: MeasurePart, site: Site) -> None:
    """Opening an evaluation shows it under Measure; where something is kept, it can be deleted."""
    part.opened.change(
        open_kept, part.opened, measure.shown, **QUIET
    ).success(None, None, None, js=OPEN_MEASURE, api_visibility="private")  # fmt: skip
    if site.is_hosted:
        return
    part.sure.click(
        delete_kept, [part.asked, part.chosen], [part.table, part.ask, part.asked, part.chosen, part.message], **QUIET
    )
    part.spare.click(keep_it, None, [part.ask, part.asked], **QUIET)


def show(work: Work, chosen: Any, *given: Any) -> list[Any]:
    """Values for `views`."""
    return show_compared(chosen, *given)


# ---------------------------------------------------------------------------------------------------- what is kept


def kept_rows() -> list[KeptRow]:
    """All evaluations, the newest first."""
    if here().is_hosted:
        return [_row(one) for one in outcomes.remembered()]
    rows = []
    for listed in store.list_evaluations(default_runs_dir())[:MOST_ROWS]:
        if listed.evaluation is None:
            rows.append(KeptRow(listed.id, listed.run, "", "", "", "", 0.0, "broken", listed.error))
        else:
            rows.append(_row(Outcome(listed.evaluation)))
    return rows


def _row(found: Outcome) -> KeptRow:
    one = found.evaluation
    what = "pairs" if one.kind == "translation" else "tokens"
    count = f"{one.done:,}" if one.state == "done" else f"{one.done:,} of {one.total:,}"
    figures = figures_of(one)
    names = ("bleu", "chrf") if one.kind == "translation" else ("bits_per_byte", "perplexity")
    scores = " · ".join(f"{title_of(name)} {shown_score(name, figures[name])}" for name in names if name in figures)
    place = " · Modal" if one.place == "modal" else ""
    how = f"{found.how or strategy_name(one.decode)}{place}"
    return KeptRow(one.id, one.run, one.data, how, f"{count} {what}", scores, one.created, one.state)


def act_on_kept(chosen: Any, event: gr.EventData) -> list[Any]:
    """Something was clicked in the list: question's row, question, asked, message, opened. chosen: the page adds to it
    and takes from it by itself; what is said here is why it did not."""
    data = event._data if isinstance(event._data, dict) else {}
    act, id = data.get("act"), data.get("id")
    nothing = [gr.skip()] * 5
    if not isinstance(id, str) or not store.ID.fullmatch(id):
        return nothing
    if act == "choose":
        ids = _ids(chosen)
        if data.get("on") is True and id not in ids and len(ids) >= lines.MOST:
            told = f"{lines.MOST} evaluations are the most that are compared: take one out first."
            return [*nothing[:3], notice(told), gr.skip()]
        return nothing
    if act == "open":
        return [*nothing[:4], (id, time.monotonic_ns())]
    if act == "delete" and not here().is_hosted:
        try:
            one = outcomes.outcome(id).evaluation
            called = f"the evaluation of {one.run} on {one.data}"
        except UserError:
            called = f"the evaluation {id}"
        question = notice(f"Delete {called} with its outputs, for good?")
        return [gr.Row(visible=True), question, id, gr.skip(), gr.skip()]
    return nothing


def open_kept(opened: Any) -> Any:
    """The id for the Measure part."""
    id = opened[0] if isinstance(opened, (tuple, list)) and opened else ""
    if not isinstance(id, str) or not store.ID.fullmatch(id):
        raise gr.Error("There is no such evaluation any more.", print_exception=False)
    return id


def keep_it() -> tuple[Any, None]:
    return gr.Row(visible=False), None


def delete_kept(asked: Any, chosen: Any) -> list[Any]:
    """Delete what was asked about: list, question's row, asked, chosen, message."""
    ids = [name for name in _ids(chosen) if name != asked]
    try:
        if not isinstance(asked, str):
            raise DataError("Choose the evaluation to delete again.")
        store.delete_evaluation(asked, default_runs_dir())
        said = notice("The evaluation is deleted.", "info")
    except UserError as error:
        said, ids = notice(str(error)), _ids(chosen)
    return [kept_html(kept_rows(), ids), gr.Row(visible=False), None, ",".join(ids), said]


# ------------------------------------------------------------------------------------------------------- comparing


def show_compared(
    chosen: Any, method: Any, metrics: Any, samples: Any, seed: Any, order: Any, by: Any, contains: Any
) -> list[Any]:
    """The list and `results`: those that are chosen beside each other, tested if that is known already."""
    changing = not here().is_hosted
    ids = _ids(chosen)
    table = kept_html(kept_rows(), ids, changing)
    if len(ids) < 2:
        told = "Choose two evaluations or more on the same data: the first is the baseline." if ids else ""
        return [table, notice(told, "info"), "", "", *_hidden()]
    try:
        found = lines.outcomes_of(",".join(ids))
        known = _tests.known(_key(found, *_test_of(found, method, metrics, samples, seed)))
    except UserError as error:
        return [table, notice(str(error)), "", "", *_hidden()]
    shown = lines.show_lines(",".join(ids), order, by, contains, 1)
    return [table, "", *pictures(found, known), *shown]


def pictures(found: Sequence[Outcome], known: Comparison | None) -> list[str]:
    """The figure and the table."""
    names = names_of(found)
    figures = [figures_of(one.evaluation) for one in found]
    if found[0].evaluation.kind == "translation":  # the loss is of the references, whatever the strategy
        same = len({one.evaluation.weights_sha256 for one in found}) == 1
        figures = [{key: value for key, value in all.items() if key in METRICS or not same} for all in figures]
    runs = ", ".join(dict.fromkeys(one.evaluation.run for one in found))
    subtitle = f"{runs} · {found[0].evaluation.data} · {found[0].evaluation.done:,} "
    subtitle += "pairs" if found[0].evaluation.kind == "translation" else "tokens"
    return [figures_spec(names, figures, subtitle, known), table_html(names, figures, known)]


def stop_testing(request: gr.Request) -> None:
    _running.stop(request)


def test_difference(request: gr.Request, chosen: Any, *given: Any) -> Iterator[tuple[Any, ...]]:
    """The paired test: message, figure, table, buttons."""
    busy, ready = (
        (gr.Button(visible=False), gr.Button(visible=True)),
        (gr.Button(visible=True), gr.Button(visible=False)),
    )
    try:
        found = lines.outcomes_of(",".join(_ids(chosen)))
        if len(found) < 2:
            raise DataError("Choose two evaluations or more in the list: the first is the baseline.")
        if found[0].evaluation.kind != "translation":
            raise DataError(
                "The tests are of translations; figures of language models stand beside each other as they are."
            )
        names = names_of(found)
        method, metrics, samples, seed = _test_of(found, *given[:4])
        if method == "none":
            raise ConfigError("Choose a test: paired bootstrap, or approximate randomisation.")
        key = _key(found, method, metrics, samples, seed)
        known = _tests.known(key)
        if known is None:
            outputs = [{one.number: one for one in other.outputs} for other in found]
            numbers = [number for number in outputs[0] if all(number in other for other in outputs)]
            references = [outputs[0][number].reference for number in numbers]
            sources = [outputs[0][number].source for number in numbers]
            systems = {name: [own[n].output for n in numbers] for name, own in zip(names, outputs)}
            language = found[0].evaluation.language

            def test(tell: Tell) -> Comparison:
                return paired(
                    systems, references, language, metrics, method, samples or None, seed, tell, sources  # type: ignore[arg-type]
                )  # fmt: skip

            with _running.as_job(Asked(), request) as job, Watched(test) as watched:
                yield progress_html("Testing …", 0), gr.skip(), gr.skip(), *busy
                for share in watched:
                    if job.stopped:
                        break
                    yield progress_html(f"Drawing samples: {share:.0%}.", share), gr.skip(), gr.skip(), *busy
                if job.stopped:
                    yield notice("Stopped by you.", "info"), gr.skip(), gr.skip(), *ready
                    return
                done = watched.value
            known = _tests.get(key, lambda: done)
        yield "", *pictures(found, known), *ready
    except UserError as error:
        yield notice(str(error)), gr.skip(), gr.skip(), *ready


def _test_of(found: Sequence[Outcome], method: Any, metrics: Any, samples: Any, seed: Any) -> tuple[Any, ...]:
    """Method, metrics, samples and seed, whatever the fields hold. ConfigError for what cannot be."""
    method = method if method in [name for _, name in METHODS] else "bootstrap"
    wanted = metrics if isinstance(metrics, (list, tuple)) else ()
    chosen = tuple(name for name in METRICS if name in wanted and name != "comet")
    if not chosen:
        raise ConfigError("Choose a metric at least that is tested.")
    most = MOST_STRANGERS if here().is_hosted else MOST_SAMPLES
    count = _whole("The number of samples", samples, most, 0)
    if not count and method in SAMPLES:
        count = min(SAMPLES[method], most)
    return method, chosen, count, _whole("The seed", SEED if seed is None else seed, 2**31, 1)


def _key(found: Sequence[Outcome], *test: Any) -> Any:
    return tuple(one.stamp for one in found), *test


def _ids(chosen: Any) -> list[str]:
    if not isinstance(chosen, str):
        return []
    return list(dict.fromkeys(name for name in chosen.split(",")[:20] if store.ID.fullmatch(name)))


def _whole(name: str, value: Any, most: int, least: int) -> int:
    value = 0 if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or not least <= value <= most:
        raise ConfigError(f"{name} must be a whole number from {least:,} to {most:,}.")
    return int(value)


def _hidden() -> list[Any]:
    return [gr.Column(visible=False), "", "", gr.skip(), gr.skip()]
