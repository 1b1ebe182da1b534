"""An evaluation as it goes: measured, stopped, gone on with, and what is shown of it."""

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from core.decode.config import GenerationConfig
from core.errors import RunError, UserError
from core.evaluate import store
from core.evaluate.degeneration import Measures
from core.evaluate.evaluation import evaluating
from core.evaluate.experiment import ColumnResult
from core.evaluate.request import Evaluation, Progress, Request
from core.evaluate.scores import LABELS
from core.run import Run, default_runs_dir
from playground.decoding_form import LOCAL, MODAL
from playground.header import NO_MODEL
from playground.models import get_run
from playground.running import Asked, Running
from playground.site import here
from playground.tabs.decoding.work import Work
from playground.tabs.evaluate import form, lines, outcomes
from playground.tabs.evaluate.form import Form
from playground.views.degeneration import measures_spec, probability_spec, progress_html
from playground.views.evaluation import lengths_spec, scores_html, shown_score
from playground.views.notice import notice

EVERY = 0.3  # seconds between two pictures
RESULTS = 5 + 5  # values of what is shown of an evaluation: see `show_evaluation`

OWN_DATA = "the validation split of"  # so begins the name of what a run keeps for validation

_running = Running()


def stop_measuring(request: gr.Request) -> None:
    """It ends within a step; what is there is kept."""
    _running.stop(request)


def measure(request: gr.Request, work: Work, *fields: Any) -> Iterator[tuple[Any, ...]]:
    """The evaluation as it goes: message, what was asked, buttons, id, results."""
    try:
        if not work.model:
            raise RunError(NO_MODEL)
        run, given = get_run(work.model), Form(*fields)
        wanted = form.request_of(run, given)
        place = given.place if given.place in (LOCAL, MODAL) and not here().is_hosted else LOCAL
    except UserError as error:
        yield notice(str(error)), gr.skip(), *_buttons(False), gr.skip(), *[gr.skip()] * RESULTS
        return
    yield from _measured(request, (work.model, wanted, place))


def go_on_measuring(request: gr.Request, asked: Any) -> Iterator[tuple[Any, ...]]:
    """The same once more: what is there is not decoded again."""
    if not isinstance(asked, tuple) or len(asked) != 3:
        yield (
            notice("There is nothing to go on with: press Measure."),
            gr.skip(),
            *_buttons(False),
            *[gr.skip()] * (1 + RESULTS),
        )
        return
    yield from _measured(request, asked)


def _measured(request: gr.Request, asked: tuple[str, Request, str]) -> Iterator[tuple[Any, ...]]:
    model, wanted, place = asked
    nothing = [gr.skip()] * (1 + RESULTS)
    at: Progress | None = None
    found: Evaluation | None = None
    problem, began = "", time.time()
    try:
        with _running.as_job(Asked(), request) as job:
            yield progress_html("The data is read …", 0), asked, *_buttons(True), *nothing
            run = get_run(model)
            seen = time.monotonic()
            with closing(steps_of(run, wanted, place)) as steps:
                while not job.stopped:
                    try:
                        at = next(steps)
                    except StopIteration as end:
                        found = end.value
                        break
                    if time.monotonic() - seen > EVERY:
                        seen = time.monotonic()
                        yield progress_html(_said(at), at.share), *[gr.skip()] * 4, *nothing
        if found is None:
            problem = "Stopped by you."
    except UserError as error:  # also of a hosted page, whose time is over
        problem = str(error)
    if found is not None:
        id = found.id
        if here().is_hosted:
            outcomes.remember(outcomes.Outcome(replace(found, lines=()), found.lines, (found.id, found.created)))
        yield "", asked, *_buttons(False), id, *show_evaluation(id, None, "worst", "chrf", "")
        return
    id = "" if here().is_hosted else _left(model, began)
    if id:
        told = f"{problem} What is there is kept: “Go on” takes it up again."
        yield notice(told, "info"), asked, *_buttons(False, True), id, *show_evaluation(id, None, "input", "chrf", "")
    else:
        kind = "info" if problem.startswith("Stopped") else "error"
        yield notice(problem + _so_far(at), kind), asked, *_buttons(False), *nothing


def steps_of(run: Run, request: Request, place: str) -> Generator[Progress, None, Evaluation]:
    """The evaluation on this machine, or on Modal."""
    if place == MODAL:
        from remote.client import evaluating_there, there

        return evaluating_there(there(run.name), request, default_runs_dir())
    return evaluating(run, request, default_runs_dir(), keep=not here().is_hosted)


def show_evaluation(id: Any, drawn: Any, order: Any, metric: Any, contains: Any) -> list[Any]:
    """Values for `results`: of an evaluation that was opened, measured or linked to."""
    if not id:
        return [gr.skip()] * RESULTS
    try:
        found = outcomes.outcome(id)
    except UserError as error:
        return [None, notice(str(error), "info"), "", "", "", *hidden_lines()]
    if drawn == found.stamp:
        return [gr.skip()] * RESULTS
    return [
        found.stamp, scores_html(found.evaluation, found.how), lengths_spec(found.evaluation),
        *written(found.evaluation), *lines.show_lines(id, order, metric, contains, 1),
    ]  # fmt: skip


def turn_to_evaluation(
    request: gr.Request, id: Any, drawn: Any, order: Any, metric: Any, contains: Any, asked: Any
) -> list[Any]:
    """Another evaluation is shown: what is asked for by going on, the button for that, and `results`."""
    return [*_going_on(request, id, asked), *show_evaluation(id, drawn, order, metric, contains)]


def _going_on(request: gr.Request, id: Any, asked: Any) -> list[Any]:
    """Of what was stopped, whoever has stopped it: the request once more. Typed texts are known to their page alone."""
    if _running.is_busy(request):  # it shows its own buttons
        return [gr.skip(), gr.skip()]
    try:
        found = outcomes.outcome(id).evaluation
    except UserError:
        return [None, gr.Button(visible=False)]
    if found.state != "stopped" or here().is_hosted:
        return [gr.skip(), gr.Button(visible=False)]
    wanted = found.request
    if not wanted.is_own or found.data.startswith(OWN_DATA):
        return [(found.run, wanted, MODAL if found.place == "modal" else LOCAL), gr.Button(visible=True)]
    same = (
        isinstance(asked, tuple) and len(asked) == 3 and asked[0] == found.run
        and replace(asked[1], pairs=None, documents=None) == wanted
    )  # fmt: skip
    return [gr.skip(), gr.Button(visible=same)]


def written(evaluation: Evaluation) -> list[str]:
    """Two figures of what a language model wrote behind prompts, if it was asked to: see tabs/decoding/degeneration."""
    found = evaluation.degeneration
    if not found:
        return ["", ""]
    try:
        columns = [_column(values) for values in found["columns"]]
        subtitle = (
            f"{evaluation.run} · prompts: {found['prompts']:,} · new tokens of each: {found['new_tokens']:,} at most"
        )
        scores = [f"{values['title']} {values['mauve']:.3f}" for values in found["columns"] if "mauve" in values]
        if scores:
            subtitle += f" · MAUVE, read by {evaluation.request.mauve}: {', '.join(scores)}"
        return [measures_spec(columns, subtitle), probability_spec(columns, subtitle)]
    except (KeyError, TypeError, ValueError, AttributeError):  # a file that something else has written
        return ["", ""]


def _column(values: dict[str, Any]) -> ColumnResult:
    """A column as it was before it became plain values; without the texts."""
    known = {name: values[name] for name in Measures.__dataclass_fields__}
    known |= {name: {int(n): share for n, share in known[name].items()} for name in ("distinct", "repeated")}
    config = None if values["settings"] is None else GenerationConfig()
    return ColumnResult(values["title"], config, [], Measures(**known), list(values["curve"]), float(values["seconds"]))


def hidden_lines() -> list[Any]:
    return [gr.Column(visible=False), "", "", gr.skip(), gr.skip()]


def _buttons(busy: bool, can_go_on: bool = False) -> tuple[Any, Any, Any]:
    return gr.Button(visible=not busy), gr.Button(visible=busy), gr.Button(visible=can_go_on)


def _left(model: str, since: float) -> str:
    """The id of what was being measured of a model when it was stopped; "" if nothing had begun."""
    newest, when = "", since - 1
    for listed in store.list_evaluations(default_runs_dir(), get_run(model).name):
        if listed.evaluation is None or listed.evaluation.state != "stopped":
            continue
        try:
            changed = (listed.directory / store.RESULT).stat().st_mtime
        except OSError:
            continue
        if changed > when:
            newest, when = listed.id, changed
    return newest


def _said(at: Progress) -> str:
    told = f"{at.what[0].upper()}{at.what[1:]}" if at.what else "Measuring"
    if at.total:
        told += f": {at.done:,} of {at.total:,}"
    if at.scores:
        told += " · " + ", ".join(
            f"{LABELS.get(name, name)} {shown_score(name, value)}" for name, value in at.scores.items()
        )
        told += " so far"
    if at.seconds_left is not None and at.seconds_left == at.seconds_left:
        told += f" · about {duration(at.seconds_left)} left"
    return f"{told}."


def _so_far(at: Progress | None) -> str:
    if at is None or not at.scores:
        return ""
    scores = ", ".join(f"{LABELS.get(name, name)} {shown_score(name, value)}" for name, value in at.scores.items())
    return f" Of the first {at.done:,} of {at.total:,} it had: {scores}."


def duration(seconds: float) -> str:
    """
    >>> duration(4.2), duration(312), duration(9000)
    ('4 s', '5 min', '2.5 h')
    """
    if seconds < 100:
        return f"{max(0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6_000 else f"{seconds / 3_600:.1f} h"
